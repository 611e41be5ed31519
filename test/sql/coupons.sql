-- Coupons: what a step offers, who gets a code, and what it takes off.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SET search_path = pg_catalog;
CREATE SCHEMA cp;
SELECT incomplete_orders.create_shop('cou', 'Coupons', 'EUR') AS shop \gset
SELECT incomplete_orders.create_shop('cou-b', 'Other coupons', 'EUR') AS other \gset
SELECT incomplete_orders.configure_shop('cou', '{"consent_rule": "none", "min_gap": "0", "cap_per_person": 100, "cap_per_episode": 100, "quiet_from": null, "quiet_to": null}');
CREATE FUNCTION cp.cart(session text, email text, value numeric DEFAULT 100, currency text DEFAULT NULL, customer_id text DEFAULT NULL, locale text DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart(session, jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', 1, 'unit_price', value)), email => email,
		currency => currency, customer_id => customer_id, context => jsonb_build_object('locale', locale), shop => 'cou')
$$;
-- abandons it, and sends its offer: what the mail says of it
CREATE FUNCTION cp.offer(session text, email text, value numeric DEFAULT 100, currency text DEFAULT NULL, customer_id text DEFAULT NULL, locale text DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	id uuid := cp.cart(session, email, value, currency, customer_id, locale);
	given jsonb;
BEGIN
	PERFORM incomplete_orders.mark_abandoned(id);
	PERFORM incomplete_orders.send_recovery_email(id, 'discount_offer');
	SELECT c.message -> 'order' INTO STRICT given FROM incomplete_orders.claim_messages('w') c WHERE c.message #>> '{order,id}' = id::text;
	RETURN given;
END
$$;
-- the code is random, and the day is today's
CREATE FUNCTION cp.plain(said text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace(regexp_replace(said, '^[0-9A-HJKMNP-TV-Z]{10}:', 'CODE:'), '[0-9]{4}-[0-9]{2}-[0-9]{2}', 'DAY') $$;
CREATE FUNCTION cp.state_of(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	EXECUTE command; RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ' ' || said;
END
$$;
CREATE FUNCTION cp.redeem(code text, id uuid, at timestamptz DEFAULT now()) RETURNS text LANGUAGE sql AS $$
	SELECT cp.state_of(format('SELECT incomplete_orders.redeem_coupon(%L, %L, %L)', code, id, at)) $$;

--
-- What a step offers: nothing until somebody says so.
--
CREATE VIEW cp.steps AS SELECT step, message_type, template FROM incomplete_orders.campaign_steps s JOIN incomplete_orders.shops h USING (shop_id) WHERE h.shop = 'cou' AND campaign = 'cart' ORDER BY step;
SELECT * FROM cp.steps;
SELECT cp.offer('none', 'none@cou.example') ? 'coupon' AS without_configuration;
SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10, "minimum_value": 50}', shop => 'cou');
SELECT * FROM cp.steps;
-- again: the former step is remembered, not the offer
SELECT incomplete_orders.configure_coupon('cart', '{"amount": "7.50", "valid_for": "2 days", "cool_down": "1 day"}', shop => 'cou');
SELECT campaign, step, kind, value, currency, minimum_value, valid_for, cool_down, former_type, former_template FROM incomplete_orders.coupons;
SELECT incomplete_orders.remove_coupon('cart', shop => 'cou') AS removed, incomplete_orders.remove_coupon('cart', shop => 'cou') AS again;
SELECT * FROM cp.steps;
-- malformed ones
SELECT s, cp.state_of(format('SELECT incomplete_orders.configure_coupon(''cart'', %L, shop => ''cou'')', s)) FROM unnest(ARRAY[NULL, '[]', '{}', '{"percentage": 10, "amount": 5}',
	'{"percentage": 0}', '{"percentage": 101}', '{"percentage": -1}', '{"amount": 0}', '{"amount": "x"}', '{"amount": 1.1234567}', '{"amount": "NaN"}', '{"percentage": 5, "code": "SAVE"}',
	'{"percentage": 5, "minimum_value": -1}', '{"percentage": 5, "valid_for": "23 hours"}', '{"percentage": 5, "valid_for": "x"}', '{"percentage": 5, "cool_down": "366 days"}',
	'{"percentage": 5, "cool_down": 3}', '{"percentage": null}']) s;
SELECT cp.state_of('SELECT incomplete_orders.configure_coupon(''cart'', ''{"percentage": 5}'', 4, ''cou'')') AS no_step,
	cp.state_of('SELECT incomplete_orders.configure_coupon(''card'', ''{"percentage": 5}'', shop => ''cou'')') AS no_campaign,
	cp.state_of('SELECT incomplete_orders.remove_coupon(''cart'', NULL, ''cou'')') AS null_step;
SELECT count(*) AS configured FROM incomplete_orders.coupons;

--
-- A code of its own for each message, the same at every attempt.
--
SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 12.5, "minimum_value": 50}', shop => 'cou');
SELECT cp.offer('ann', 'ann@cou.example') AS ann \gset
SELECT cp.plain(:'ann'::jsonb ->> 'discount_offer') AS line, :'ann'::jsonb #>> '{coupon,code}' ~ '^[0-9A-HJKMNP-TV-Z]{10}$' AS code, :'ann'::jsonb -> 'coupon' ->> 'percentage' AS percentage,
	:'ann'::jsonb #>> '{coupon,minimum_value}' AS minimum_value, (:'ann'::jsonb #>> '{coupon,expires_at}')::timestamptz BETWEEN now() + interval '7 days' - interval '1 minute' AND clock_timestamp() + interval '7 days' AS expires_at,
	split_part(:'ann'::jsonb ->> 'discount_offer', ':', 1) = :'ann'::jsonb #>> '{coupon,code}' AS that_code;
UPDATE incomplete_orders.messages SET due_at = now() - interval '1 second' WHERE status = 'sending' AND order_id = (:'ann'::jsonb ->> 'id')::uuid;
SELECT c.message -> 'order' = :'ann'::jsonb AS same_mail FROM incomplete_orders.claim_messages('w') c;
SELECT cp.plain(cp.offer('uwe', 'uwe@cou.example', locale => 'de-AT') ->> 'discount_offer') AS german;
SELECT incomplete_orders.configure_shop('cou', '{"words": {"de-CH": {"from": "schon ab", "until": "bis zum"}}}');
SELECT cp.plain(cp.offer('urs', 'urs@cou.example', locale => 'de-CH') ->> 'discount_offer') AS own_words;
SELECT incomplete_orders.configure_shop('cou', '{"words": null}');
SELECT count(*) AS codes, count(DISTINCT code) AS unlike FROM incomplete_orders.issued_coupons;

--
-- Nobody gets two: not for another cart, not under another identity that is known,
-- not for the same cart under another address; not beside another discount.
--
SELECT cp.offer('ann-2', 'ANN@cou.example') -> 'discount_offer' AS other_cart;
SELECT cp.offer('eve', 'eve@cou.example', customer_id => 'E') ? 'coupon' AS eve, cp.offer('eve-2', 'eve-2@cou.example', customer_id => 'E') ? 'coupon' AS by_customer;
SELECT cp.offer('ann', 'not-ann@cou.example') ? 'coupon' AS other_address;
SELECT incomplete_orders.capture_cart('has', '[{"sku": "A", "quantity": 1, "unit_price": 100}]', email => 'has@cou.example', coupon_code => 'SUMMER', coupon_discount => 5, shop => 'cou') AS has \gset
SELECT cp.offer('has', 'has@cou.example') ? 'coupon' AS beside_another;
SELECT cp.offer('usd', 'usd@cou.example', currency => 'USD') ? 'coupon' AS other_currency;
-- too long ago, and used, or no longer valid
UPDATE incomplete_orders.issued_coupons SET issued_at = now() - interval '31 days', expires_at = now() + interval '1 hour';
UPDATE incomplete_orders.coupon_persons SET issued_at = now() - interval '31 days';
SELECT cp.offer('ann-3', 'ann@cou.example') ? 'coupon' AS still_valid;
UPDATE incomplete_orders.issued_coupons SET used_at = now() - interval '29 days', expires_at = now() WHERE code = :'ann'::jsonb #>> '{coupon,code}';
SELECT cp.offer('ann-3', 'ann@cou.example') ? 'coupon' AS used_of_late;
UPDATE incomplete_orders.issued_coupons SET used_at = now() - interval '31 days' WHERE code = :'ann'::jsonb #>> '{coupon,code}';
SELECT cp.offer('ann-3', 'ann@cou.example') ? 'coupon' AS cooled_down;

--
-- What it takes off, from whom, and when.
--
SELECT cp.offer('bob', 'bob@cou.example', 80.04) AS bob \gset
SELECT :'bob'::jsonb #>> '{coupon,code}' AS code, (:'bob'::jsonb ->> 'id')::uuid AS id \gset
SELECT cp.cart('mallory', 'mallory@cou.example') AS mallory \gset
SELECT incomplete_orders.capture_cart('b', '[{"sku": "A", "quantity": 1, "unit_price": 100}]', email => 'bob@cou.example', shop => 'cou-b') AS elsewhere \gset
-- one answer for all that a guesser could want to know
SELECT cp.redeem(:'code', :'mallory') AS somebody_elses, cp.redeem('0000000000', :'mallory') AS unknown, cp.redeem(:'code', :'id', now() + interval '8 days') AS expired,
	cp.redeem(:'code', :'elsewhere') AS other_shop;
SELECT cp.redeem('', :'id') AS empty, cp.redeem(NULL, :'id') AS no_code, cp.redeem(:'code', NULL) AS no_order, cp.redeem(:'code', gen_random_uuid()) AS no_such_order;
SELECT coupon_code = :'code' AS code, coupon_discount, currency, total, expires_at > now() AS expires_at FROM incomplete_orders.redeem_coupon(lower(left(:'code', 5)) || '-' || substr(:'code', 6), :'id');
SELECT status, coupon_code = :'code' AS code, coupon_discount, version FROM incomplete_orders.open_orders WHERE id = :'id';
SELECT event, status_after, value FROM incomplete_orders.order_events WHERE order_id = :'id' ORDER BY event_id DESC LIMIT 2;
-- another cart of that person can have it, too; it is used up by the first that is ordered
SELECT cp.cart('bob-2', 'bob@cou.example') AS bob2 \gset
SELECT coupon_discount FROM incomplete_orders.redeem_coupon(:'code', :'bob2');
-- the goods changed: what it takes off is found anew, and never more than that
SELECT cp.cart('bob', 'bob@cou.example', 60) = :'id' AS fewer;
SELECT * FROM incomplete_orders.can_convert(:'id');
SELECT cp.state_of(format('SELECT incomplete_orders.convert_order(%L)', :'id')) AS too_much;
SELECT cp.cart('bob', 'bob@cou.example', 49.99) = :'id' AS too_few;
SELECT cp.redeem(:'code', :'id') AS below_minimum, cp.state_of(format('SELECT incomplete_orders.convert_order(%L)', :'id')) AS conversion;
SELECT cp.cart('bob', 'bob@cou.example', 70) = :'id' AS enough;
SELECT coupon_discount, total FROM incomplete_orders.redeem_coupon(:'code', :'id');
SELECT * FROM incomplete_orders.can_convert(:'id');
SELECT cp.state_of(format('SELECT incomplete_orders.convert_order(%L, at => now() + interval ''8 days'')', :'id')) AS expired;
SELECT total FROM incomplete_orders.convert_order(:'id');
SELECT event, coupon_cost, paid_amount FROM incomplete_orders.order_events WHERE order_id = :'id' AND event = 'converted';
SELECT coupon_cost FROM incomplete_orders.order_event_tail WHERE order_id = :'id' AND event = 'converted';
SELECT used_by = :'id' AS used_by, used_at IS NOT NULL AS used_at, cost FROM incomplete_orders.issued_coupons WHERE code = :'code';
SELECT cp.redeem(:'code', :'id') AS closed, cp.redeem(:'code', :'bob2') AS used, cp.state_of(format('SELECT incomplete_orders.convert_order(%L)', :'bob2')) AS conversion;
SELECT can FROM incomplete_orders.can_convert(:'bob2');
-- nobody gets one who used one of late
SELECT cp.offer('bob-3', 'bob@cou.example') ? 'coupon' AS used_of_late;

-- By a part and a payment that comes: the cost is that of the first part; what was paid is never refused.
SELECT incomplete_orders.configure_coupon('cart', '{"amount": 30, "valid_for": "1 day"}', shop => 'cou');
SELECT cp.offer('cid', 'cid@cou.example', 20) AS cid \gset
SELECT cp.plain(:'cid'::jsonb ->> 'discount_offer') AS line, :'cid'::jsonb -> 'coupon' ->> 'amount' AS amount;
SELECT :'cid'::jsonb #>> '{coupon,code}' AS code, (:'cid'::jsonb ->> 'id')::uuid AS id \gset
-- never more than the goods
SELECT coupon_discount, total FROM incomplete_orders.redeem_coupon(:'code', :'id');
SELECT incomplete_orders.capture_cart('cid', '[{"sku": "A", "quantity": 4, "unit_price": 20}]', shop => 'cou') = :'id' AS more;
SELECT coupon_discount, total FROM incomplete_orders.redeem_coupon(:'code', :'id');
SELECT part, total FROM incomplete_orders.convert_order(:'id', '[{"sku": "A", "quantity": 3, "unit_price": 20}]', idempotency_key => '1');
SELECT part, total FROM incomplete_orders.convert_order(:'id');
SELECT event, coupon_cost FROM incomplete_orders.order_events WHERE order_id = :'id' AND event IN ('partly_converted', 'converted') ORDER BY event_id;
SELECT cp.offer('dan', 'dan@cou.example') AS dan \gset
SELECT :'dan'::jsonb #>> '{coupon,code}' AS code, (:'dan'::jsonb ->> 'id')::uuid AS id \gset
SELECT cp.redeem(:'code', :'id') AS redeemed, incomplete_orders.mark_payment_pending(:'id', 'ref');
SELECT cp.redeem(:'code', :'id') AS payment_awaited;
SELECT total FROM incomplete_orders.convert_order(:'id', at => now() + interval '2 days');
SELECT event, coupon_cost FROM incomplete_orders.order_events WHERE order_id = :'id' AND event = 'converted';
-- The shop's own till: what it says was paid, and the coupon is used up all the same.
SELECT cp.offer('fay', 'fay@cou.example') AS fay \gset
SELECT cp.redeem(:'fay'::jsonb #>> '{coupon,code}', (:'fay'::jsonb ->> 'id')::uuid) AS redeemed;
SELECT total FROM incomplete_orders.record_order('F-1', (:'fay'::jsonb ->> 'id')::uuid, total => 71, shop => 'cou');
SELECT used_at IS NOT NULL AS used, cost FROM incomplete_orders.issued_coupons WHERE code = :'fay'::jsonb #>> '{coupon,code}';
-- Not on top of another code; the shop's own codes are none of ours.
SELECT cp.offer('gil', 'gil@cou.example') AS gil \gset
SELECT incomplete_orders.capture_cart('gil', '[{"sku": "A", "quantity": 1, "unit_price": 100}]', coupon_code => 'SUMMER', coupon_discount => 5, shop => 'cou') = (:'gil'::jsonb ->> 'id')::uuid AS same;
SELECT cp.redeem(:'gil'::jsonb #>> '{coupon,code}', (:'gil'::jsonb ->> 'id')::uuid) AS stacked;
SELECT total FROM incomplete_orders.convert_order((:'gil'::jsonb ->> 'id')::uuid);
SELECT coupon_cost FROM incomplete_orders.order_events WHERE order_id = (:'gil'::jsonb ->> 'id')::uuid AND event = 'converted';
SELECT used_at FROM incomplete_orders.issued_coupons WHERE code = :'gil'::jsonb #>> '{coupon,code}';

-- Who is forgotten is known by no coupon any more.
SELECT cp.offer('kim', 'kim@cou.example') ? 'coupon' AS kim;
SELECT f.action, f.n FROM incomplete_orders.forget_customer('kim@cou.example', shop => 'cou') f WHERE f.relation = 'coupon_persons';
SELECT count(*) AS known FROM incomplete_orders.coupon_persons p WHERE p.shop_id = :shop AND p.person = ANY (incomplete_orders._person_keys(:shop, NULL, 'kim@cou.example', NULL));

--
-- Retention: of no use after two years.
--
SELECT count(*) > 0 AS any FROM incomplete_orders.issued_coupons WHERE shop_id = :shop;
SELECT incomplete_orders._retire_persons(:shop, now() + interval '729 days');
SELECT count(*) > 0 AS persons FROM incomplete_orders.coupon_persons WHERE shop_id = :shop;
SELECT incomplete_orders._retire_persons(:shop, now() + interval '731 days');
SELECT count(*) AS persons FROM incomplete_orders.coupon_persons WHERE shop_id = :shop;

SET client_min_messages = warning;
DROP SCHEMA cp CASCADE;
SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('cou', false);
SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('cou-b', false);

-- Consents, and a person who asks what is known of them and wants to be forgotten.
\pset null (null)
SELECT incomplete_orders.create_shop('priv', 'Privacy') AS shop_id \gset
SELECT incomplete_orders.create_shop('priv-2', 'Another') AS shop_2 \gset
CREATE SCHEMA priv;
CREATE FUNCTION priv.keys(email text DEFAULT NULL, customer_id text DEFAULT NULL) RETURNS bigint[] LANGUAGE sql STABLE AS $$
	SELECT incomplete_orders._person_keys((SELECT shop_id FROM incomplete_orders.shops WHERE shop = 'priv'), customer_id, email, NULL) $$;
CREATE FUNCTION priv.has(email text DEFAULT NULL, customer_id text DEFAULT NULL, context jsonb DEFAULT NULL) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT incomplete_orders._has_consent((SELECT shop_id FROM incomplete_orders.shops WHERE shop = 'priv'), priv.keys(email, customer_id), context) $$;
CREATE VIEW priv.suppressed AS
	SELECT CASE ARRAY[s.person] WHEN priv.keys('ann@example.com') THEN 'ann' WHEN priv.keys('bob@example.com') THEN 'bob' WHEN priv.keys(NULL, 'c-1') THEN 'c-1' ELSE 'other' END AS who,
		s.scope, s.reason, s.at::date AS at FROM incomplete_orders.suppressions s JOIN incomplete_orders.shops h USING (shop_id) WHERE h.shop = 'priv' ORDER BY 1, 2;

-- Consents: the newest of the address and the customer is in force, told by its instant and not by the time it was recorded.
SELECT priv.has('ann@example.com', 'c-1') AS never;
SELECT incomplete_orders.record_consent(' Ann@Example.com ', 'granted', text_version => 'v1', source => 'checkout', shop => 'priv', at => '2024-01-02 Z') AS fresh,
	priv.has('ANN@example.com') AS has, priv.has('bob@example.com') AS another, priv.has('ann@example.com', 'c-1') AS either;
SELECT incomplete_orders.record_consent('ann@example.com', 'granted', text_version => 'v2', shop => 'priv', at => '2024-01-03 Z') AS granted_before;
SELECT incomplete_orders.record_consent('ann@example.com', 'granted', text_version => 'v2', shop => 'priv', at => '2024-01-03 Z') AS same_again;
SELECT incomplete_orders.record_consent('ann@example.com', 'withdrawn', shop => 'priv', at => '2024-01-01 Z') AS older, priv.has('ann@example.com') AS has;
SELECT incomplete_orders.record_consent(NULL, 'withdrawn', customer_id => 'c-1', shop => 'priv', at => '2024-02-01 Z') AS fresh,
	priv.has('ann@example.com') AS address, priv.has(NULL, 'c-1') AS customer, priv.has('ann@example.com', 'c-1') AS both;
SELECT incomplete_orders.record_consent('ann@example.com', 'withdrawn', purpose => 'newsletter', shop => 'priv', at => '2024-03-01 Z') AS another_purpose, priv.has('ann@example.com') AS has;
SELECT incomplete_orders.record_consent('ann@example.com', 'granted', shop => 'priv-2') AS another_shop;
SELECT (at AT TIME ZONE 'UTC')::date AS at, purpose, status, text_version, source, ARRAY[person] = priv.keys('ann@example.com') AS ann FROM incomplete_orders.consents WHERE shop_id = :shop_id ORDER BY 1, 2;
-- The context of an order counts for it alone; without an instant that is one it is older than any row.
SELECT c AS context, priv.has('bob@example.com', context => c::jsonb) AS alone, priv.has('ann@example.com', context => c::jsonb) AS with_rows
FROM unnest(ARRAY['{"consent": {"status": "granted"}}', '{"consent": {"status": "withdrawn"}}', '{"consent": {"status": "withdrawn", "at": "2024-01-02T23:59:59.5Z"}}',
	'{"consent": {"status": "withdrawn", "at": "2024-01-03"}}', '{"consent": {"status": "withdrawn", "at": "2024-01-03T00:00:01"}}',
	'{"consent": {"status": "withdrawn", "at": "2024-01-03T00:59:00+01:00"}}', '{"consent": {"status": "withdrawn", "at": "2024-01-03T01:01:00+0100"}}',
	'{"consent": {"status": "withdrawn", "at": "2024-02-30T00:00:00Z"}}', '{"consent": {"status": "withdrawn", "at": "tomorrow"}}', '{"consent": {"status": "yes"}}',
	'{"consent": true}', '{"consent": [1]}', '{}', '[]', '1']) WITH ORDINALITY t (c, n) ORDER BY n;
SELECT priv.has(NULL, 'c-1', '{"consent": {"status": "granted", "at": "2024-02-02"}}') AS granted_later, priv.has(NULL, 'c-1', '{"consent": {"status": "granted", "at": "2999-01-01"}}') AS in_the_future;
\set VERBOSITY terse
SELECT incomplete_orders.record_consent('nobody', 'granted', shop => 'priv');
SELECT incomplete_orders.record_consent(NULL, 'granted', shop => 'priv');
SELECT incomplete_orders.record_consent('ann@example.com', 'maybe', shop => 'priv');
SELECT incomplete_orders.record_consent('ann@example.com', NULL, shop => 'priv');
SELECT incomplete_orders.record_consent('ann@example.com', 'granted', purpose => '', shop => 'priv');
SELECT incomplete_orders.record_consent('ann@example.com', 'granted', source => repeat('x', 256), shop => 'priv');
SELECT incomplete_orders.record_consent('ann@example.com', 'granted', shop => 'nowhere');
\set VERBOSITY default

-- Opting in ends what the person said themselves before, and nothing else.
SELECT incomplete_orders.suppress('bob@example.com', 'unsubscribed', 'priv', '2024-04-01');
SELECT incomplete_orders.record_consent('bob@example.com', 'granted', shop => 'priv', at => '2024-03-31') AS earlier, count(*) AS suppressed FROM priv.suppressed;
SELECT incomplete_orders.record_consent('bob@example.com', 'granted', purpose => 'newsletter', shop => 'priv', at => '2024-04-02') AS other, count(*) AS suppressed FROM priv.suppressed;
SELECT incomplete_orders.record_consent('bob@example.com', 'granted', shop => 'priv', at => '2024-04-02') AS later;
TABLE priv.suppressed;
SELECT r.r AS reason, incomplete_orders.suppress('bob@example.com', r.r, 'priv', '2024-04-01') AS suppressed,
	incomplete_orders.record_consent('bob@example.com', 'granted', shop => 'priv', at => '2024-05-01'::timestamptz + r.n * interval '1 day') AS fresh,
	(SELECT count(*) FROM incomplete_orders.suppressions s WHERE s.shop_id = :shop_id) AS before
FROM unnest(ARRAY['suppressed', 'hard_bounce', 'not_me', 'complaint']) WITH ORDINALITY r (r, n) ORDER BY n;
TABLE priv.suppressed;
SELECT incomplete_orders.unsuppress('bob@example.com', 'priv');

-- Ann: an abandoned cart with two waiting messages, one that was sent, one given up; a purchase; a payment on its way; a cart of her browser
-- from before she said who she is, one that was merged, and one by phone. Bob has the like. Both are on the shop's list of exclusions.
\set cart '[{"sku":"A","name":"Ring","quantity":1,"unit_price":5,"engraving":"Ann R."},{"sku":"A","name":"Ring","quantity":2,"unit_price":5}]'
SELECT incomplete_orders.capture_cart('ann-0', :'cart', context => '{"ip": "192.0.2.7"}', shop => 'priv', at => '2024-01-01 Z') AS early \gset
SELECT incomplete_orders.dismiss_order(:'early', 'Ann R. changed her mind', at => '2024-01-02');
SELECT incomplete_orders.capture_cart('ann-0', :'cart', email => 'Ann@Example.com', name => 'Ann R.', phone => '+49 30 5550199', context => '{"ip": "192.0.2.7", "device": "mobile", "notes": "ring twice"}',
	address => '{"city": "Berlin"}', shop => 'priv', at => '2024-06-01 10:00') AS open \gset
SELECT incomplete_orders.capture_cart('ann-1', :'cart', email => 'ann@example.com', customer_id => 'c-1', shop => 'priv', at => '2024-06-01 10:00') AS bought \gset
SELECT order_number, total FROM incomplete_orders.convert_order(:'bought', at => '2024-06-01 10:05') \gset
SELECT incomplete_orders.capture_cart('ann-2', :'cart', customer_id => 'c-1', coupon_code => 'ANN10', shop => 'priv', at => '2024-06-01 10:00') AS paying \gset
SELECT incomplete_orders.mark_payment_pending(:'paying', 'pay-1', '2090-01-01', at => '2024-06-01 10:01');
SELECT incomplete_orders.capture_cart('ann-3', :'cart', phone => '(0049) 0', shop => 'priv', at => '2024-06-01 10:00') AS short \gset
SELECT incomplete_orders.capture_cart('ann-4', :'cart', phone => '+49 (30) 555-0199', shop => 'priv', at => '2024-06-01 10:00') AS by_phone \gset
SELECT incomplete_orders.capture_cart('ann-5', :'cart', context => '{"ip": "192.0.2.7"}', shop => 'priv', at => '2024-06-01 10:00') AS merged \gset
SELECT incomplete_orders.merge_carts('ann-5', 'ann-0', shop => 'priv', at => '2024-06-01 10:02') = :'open' AS merged_into;
SELECT incomplete_orders.capture_cart('bob', :'cart', email => 'bob@example.com', name => 'Bob', phone => '+49 30 5550200', shop => 'priv', at => '2024-06-01 10:00') AS bob \gset
SELECT incomplete_orders.capture_cart('far', :'cart', email => 'ann@example.com', name => 'Ann R.', shop => 'priv-2', at => '2024-06-01 10:00') AS far \gset
SELECT incomplete_orders.mark_abandoned(i, 'Ann R. left', at => '2024-06-01 12:00') FROM unnest(ARRAY[:'open', :'bob', :'far']::uuid[]) i;
SELECT incomplete_orders.add_note(i, 'call Ann', '2024-06-01 12:00') > 0 AS note FROM unnest(ARRAY[:'open', :'bought', :'bob']::uuid[]) i;
SELECT incomplete_orders.edit_order(:'open', '{"name": "Ann Roe"}', (SELECT version FROM incomplete_orders.open_orders WHERE id = :'open'), '2024-06-01 12:00') > 0 AS edited;
CREATE FUNCTION priv.message(order_id uuid, recipient text, step integer, status text DEFAULT 'queued') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, token, order_id, root_id, episode, step, message_type, template, subject, recipient, queued_at, give_up_at, sent_at, response)
	SELECT incomplete_orders.shop_of(order_id), incomplete_orders._new_id(incomplete_orders.shop_of(order_id)), now(), status::incomplete_orders.message_status,
		CASE WHEN status = 'queued' THEN 0 ELSE 1 END, order_id, order_id, 1, step, 'abandoned_cart', 'cart_abandoned', 'For ' || recipient, recipient, now(), now() + interval '5 days',
		CASE status WHEN 'sent' THEN now() END, CASE WHEN status IN ('sent', 'dead') THEN '250 <' || recipient || '> ok' END
	RETURNING id
$$;
SELECT priv.message(:'open', 'Ann@Example.com', 1, 'sent') AS sent, priv.message(:'open', 'Ann@Example.com', 2, 'sending') AS sending, priv.message(:'open', 'Ann@Example.com', 3) AS waiting,
	priv.message(:'open', 'old@example.com', 4, 'dead') AS dead, priv.message(:'bob', 'bob@example.com', 1) AS bobs, priv.message(:'far', 'ann@example.com', 1) AS fars \gset
SELECT incomplete_orders.configure_shop('priv', '{"exclusions": {"addresses": ["ANN@example.com", "bob@example.com"], "customers": ["c-1", "c-2"], "domains": ["example.org"]}}') IS NOT NULL AS excluded;
CREATE TABLE priv.before AS SELECT e FROM incomplete_orders.export_shop('priv-2') e;
CREATE VIEW priv.bob AS SELECT o.email, o.name, o.phone, o.session_id, o.items, o.version, m.status, m.recipient, m.subject, n.note
	FROM incomplete_orders.incomplete_orders o JOIN incomplete_orders.messages m ON m.order_id = o.id JOIN incomplete_orders.order_notes n ON n.order_id = o.id WHERE o.session_id = 'bob';
CREATE TABLE priv.bob_before AS TABLE priv.bob;

-- Everything that is known of her, and nothing of anybody else; by whichever name she is asked for.
CREATE FUNCTION priv.summary(export jsonb) RETURNS TABLE (relation text, n bigint) LANGUAGE sql AS $$
	SELECT key, jsonb_array_length(value) FROM jsonb_each(export) WHERE jsonb_typeof(value) = 'array' ORDER BY key $$;
SELECT incomplete_orders.export_customer('ANN@example.com', shop => 'priv') AS ann \gset
SELECT * FROM priv.summary(:'ann');
SELECT key, value FROM jsonb_each(:'ann'::jsonb) WHERE jsonb_typeof(value) <> 'array' AND key <> 'exported_at';
SELECT :'ann' ~ 'bob|5550200|token|person"' AS of_others, (:'ann'::jsonb #>> '{orders,0,order_number}') = :'order_number' AS order_made;
SELECT jsonb_path_query_array(:'ann', '$.order_notes[*].note') AS notes, jsonb_path_query_array(:'ann', '$.messages[*].recipient') AS recipients, :'ann'::jsonb #> '{open_orders,0,items,0}' AS line;
SELECT incomplete_orders.export_customer(NULL, 'c-1', 'priv') #> '{closed_orders,0,email}' AS by_customer;
SELECT * FROM priv.summary(incomplete_orders.export_customer('nobody@example.com', shop => 'priv')) WHERE n > 0;

\set VERBOSITY terse
SELECT incomplete_orders.export_customer(shop => 'priv');
SELECT incomplete_orders.export_customer(' ', '', 'priv');
SELECT incomplete_orders.forget_customer(shop => 'priv');
SELECT incomplete_orders.forget_customer('not an address', shop => 'priv');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT incomplete_orders.forget_customer('ann@example.com', shop => 'priv');
ROLLBACK;
\set VERBOSITY default

-- What staff had open before does not bring her back.
SELECT version AS stale FROM incomplete_orders.open_orders WHERE id = :'open' \gset
SELECT * FROM incomplete_orders.forget_customer(' Ann@EXAMPLE.com', shop => 'priv', at => '2024-06-20');
SELECT * FROM priv.summary(incomplete_orders.export_customer('ann@example.com', 'c-1', 'priv')) WHERE n > 0;
SELECT kind, status, session_id, customer_id, email, phone, name, items, coupon_code, address, context, abandonment_reason, payment_reference, close_reason, total
FROM incomplete_orders.incomplete_orders WHERE id IN (:'early', :'open', :'bought', :'paying', :'by_phone', :'merged') ORDER BY id;
SELECT order_number = :'order_number' AS number, total = :total AS total, (SELECT jsonb_agg(i.extras) FROM incomplete_orders.order_items i WHERE i.order_id = o.order_id) AS extras
FROM incomplete_orders.orders o WHERE incomplete_order_id = :'bought';
SELECT step, status, reason, recipient, subject, response FROM incomplete_orders.messages WHERE order_id = :'open' ORDER BY step;
SELECT step, reason, at::date FROM incomplete_orders.message_skips WHERE order_id = :'open' ORDER BY step;
SELECT count(*) >= 3 AS events_stay FROM incomplete_orders.order_events WHERE order_id = :'open';
SELECT exclusions FROM incomplete_orders.shops WHERE shop = 'priv';
TABLE priv.suppressed;
\set VERBOSITY sqlstate
SELECT incomplete_orders.edit_order(:'open', '{"email": "ann@example.com"}', :stale, '2024-06-20 01:00');
\set VERBOSITY default
-- nobody else is touched: neither in this shop, nor whose phone is no number, nor in another shop
(TABLE priv.bob EXCEPT TABLE priv.bob_before) UNION ALL (TABLE priv.bob_before EXCEPT TABLE priv.bob);
SELECT session_id, phone FROM incomplete_orders.incomplete_orders WHERE id = :'short';
(TABLE priv.before EXCEPT SELECT e FROM incomplete_orders.export_shop('priv-2') e) UNION ALL (SELECT e FROM incomplete_orders.export_shop('priv-2') e EXCEPT TABLE priv.before);
-- again: nothing is left to do
SELECT * FROM incomplete_orders.forget_customer('ann@example.com', 'c-1', 'priv', '2024-07-02');

-- The mail that was on its way did leave; what the server said of it is not kept. Links in it still unsubscribe.
SELECT incomplete_orders.ack_message(:'sending', 1, '250 2.1.5 <ann@example.com> queued') AS acked;
SELECT incomplete_orders.retry_message(:'dead') AS retried;
SELECT step, status, recipient, response FROM incomplete_orders.messages WHERE order_id = :'open' ORDER BY step;
SELECT incomplete_orders.unsuppress('ann@example.com', 'priv') AS was_suppressed;
SELECT unsubscribe AS link FROM incomplete_orders._link_tokens(:'sent', now()) \gset
SELECT incomplete_orders.unsubscribe(:'link', at => '2024-07-03') AS done;
SELECT incomplete_orders.record_message_event(:'sent', 'complained', at => '2024-07-04') AS recorded;
TABLE priv.suppressed;
-- Retention deletes such messages like others.
SELECT incomplete_orders.dismiss_order(:'open', at => '2024-06-21');
BEGIN;
SELECT incomplete_orders._allow_retention();
SELECT deleted FROM incomplete_orders._retire(:shop_id, '00000000-0000-0000-0000-000000000000', incomplete_orders._id_at('2100-01-01'), 'infinity', 100);
COMMIT;
SELECT count(*) AS messages FROM incomplete_orders.messages WHERE order_id = :'open';
SELECT count(*) AS kept FROM incomplete_orders.past_recipients WHERE shop_id = :shop_id;
-- So do consents that something newer replaced longer ago than the retention; what is in force stays.
SELECT incomplete_orders.record_consent('cy@example.com', st, shop => 'priv', at => a::timestamptz)
FROM (VALUES ('granted', '2020-01-01'), ('withdrawn', '2020-06-01'), ('granted', '2020-12-31'), ('granted', '2021-02-01')) v (st, a);
BEGIN;
SELECT incomplete_orders._allow_retention();
SELECT incomplete_orders._retire_persons(:shop_id, '2022-01-15');
COMMIT;
SELECT at::date, status FROM incomplete_orders.consents WHERE ARRAY[person] = priv.keys('cy@example.com') ORDER BY 1;
BEGIN;
SELECT incomplete_orders._allow_retention();
SELECT incomplete_orders._retire_persons(:shop_id, '2040-01-15');
COMMIT;
SELECT at::date, status FROM incomplete_orders.consents WHERE ARRAY[person] = priv.keys('cy@example.com') ORDER BY 1;

-- Who is told of by a source that is older than the wish is captured without personal data; who acts again is a customer again, and suppressed until they opt in.
SELECT * FROM incomplete_orders.forget_customer('ann@example.com', 'c-1', 'priv', '2024-08-01');
SELECT incomplete_orders.capture_cart('old', :'cart', email => 'ann@example.com', name => 'Ann', phone => '1', context => '{"ip": "192.0.2.7", "source": "ad"}', address => '{"city": "Berlin"}',
	shop => 'priv', at => '2024-05-01') AS old \gset
SELECT c.error FROM incomplete_orders.capture_carts(jsonb_build_array(jsonb_build_object('session_id', 'old-2', 'items', :'cart'::jsonb, 'customer_id', 'c-1', 'name', 'Ann', 'at', '2024-07-31')), 'priv') c;
SELECT incomplete_orders.capture_cart('new', :'cart', email => 'ann@example.com', name => 'Ann', context => '{"ip": "192.0.2.7"}', shop => 'priv', at => '2024-08-02') AS new \gset
SELECT incomplete_orders.capture_cart('now', :'cart', customer_id => 'c-1', email => 'ann@example.com', shop => 'priv') AS now \gset
SELECT session_id, email, customer_id, name, phone, context, address, jsonb_array_length(items) AS lines, total FROM incomplete_orders.incomplete_orders
WHERE session_id IN ('old', 'old-2', 'new', 'now') AND shop = 'priv' ORDER BY 1;
-- A source that only repeats what it has says so: whenever it does, by whatever name it knows her. Others' carts are theirs, and one that she began anew stays hers.
SELECT c.n, c.error FROM incomplete_orders.capture_carts(jsonb_build_array(
	jsonb_build_object('session_id', 'fill-1', 'items', :'cart'::jsonb, 'email', ' ANN@example.com', 'name', 'Ann', 'phone', '030 5550199', 'context', '{"ip": "192.0.2.7", "device": "mobile"}'::jsonb, 'backfill', true),
	jsonb_build_object('session_id', 'fill-2', 'items', :'cart'::jsonb, 'customer_id', 'c-1', 'address', '{"city": "Berlin"}'::jsonb, 'backfill', true),
	jsonb_build_object('session_id', 'fill-3', 'items', :'cart'::jsonb, 'phone', '+49 30 5550199', 'name', 'Ann', 'backfill', true),
	jsonb_build_object('session_id', 'fill-4', 'items', :'cart'::jsonb, 'email', 'ben@example.com', 'phone', '+49 30 5550199', 'name', 'Ben', 'backfill', true),
	jsonb_build_object('session_id', 'fill-5', 'items', :'cart'::jsonb, 'phone', '+49 30 5550199', 'name', 'Ann', 'backfill', false),
	jsonb_build_object('session_id', 'fill-6', 'items', :'cart'::jsonb, 'email', 'ann@example.com', 'backfill', 'yes'),
	jsonb_build_object('session_id', 'now', 'items', :'cart'::jsonb, 'email', 'ann@example.com', 'name', 'Ann of old', 'backfill', true)), 'priv') c;
SELECT session_id, email, customer_id, name, phone, context, address, jsonb_array_length(items) AS lines, total FROM incomplete_orders.incomplete_orders
WHERE (session_id LIKE 'fill-%' OR session_id = 'now') AND shop = 'priv' ORDER BY 1;
-- Whoever has her phone may be mailed, and learns nothing of her.
SELECT incomplete_orders.export_customer('ben@example.com', shop => 'priv') -> 'suppressions' AS bens;
SELECT scope, reason, ARRAY[person] = incomplete_orders._person_keys(:shop_id, NULL, NULL, '+49 30 5550199') AS her_phone FROM incomplete_orders.suppressions WHERE shop_id = :shop_id AND scope = 'data';
SELECT incomplete_orders.mark_abandoned(id, at => now()) FROM incomplete_orders.open_orders WHERE shop_id = :shop_id AND session_id = 'fill-4';
SELECT incomplete_orders.record_consent('ben@example.com', 'granted', shop => 'priv') AS agreed;
SELECT incomplete_orders.send_recovery_email(id) IS NOT NULL AS mailed FROM incomplete_orders.open_orders WHERE shop_id = :shop_id AND session_id = 'fill-4';
TABLE priv.suppressed;
-- by the address alone: the customer who has it is meant, too
SELECT incomplete_orders.record_consent('ann@example.com', 'granted', shop => 'priv') AS fresh;
TABLE priv.suppressed;
SELECT priv.has('ann@example.com', 'c-1') AS has;

-- Two persons' carts are not one person's: neither by a link that was forwarded nor by a merge on a device that they share.
SELECT incomplete_orders.capture_cart('dora', :'cart', email => 'dora@example.com', shop => 'priv', at => '2024-06-01') AS dora \gset
SELECT incomplete_orders.capture_cart('fay', :'cart', email => 'fay@example.com', shop => 'priv') AS fay \gset
SELECT incomplete_orders.capture_cart('eve', :'cart', email => 'eve@example.com', shop => 'priv') AS eve \gset
SELECT incomplete_orders.mark_abandoned(:'dora', at => '2024-06-02');
SELECT restore AS link FROM priv.message(:'dora', 'dora@example.com', 1, 'sent') m, incomplete_orders._link_tokens(m, now()) \gset
SELECT id = :'eve' AS into_eves FROM incomplete_orders.restore_cart(:'link', 'eve', 'priv', '2024-06-03');
SELECT incomplete_orders.merge_carts('fay', 'eve', shop => 'priv') = :'eve' AS into_eves;
SELECT who, e::text ~ 'dora@' AS dora, e::text ~ 'fay@' AS fay, e::text ~ 'eve@' AS eve
FROM unnest(ARRAY['dora', 'eve', 'fay']) who, incomplete_orders.export_customer(who || '@example.com', shop => 'priv') e;
SELECT count(*) AS forgotten FROM incomplete_orders.forget_customer('eve@example.com', shop => 'priv') WHERE relation ~ 'open_orders|closed_orders';
SELECT email FROM incomplete_orders.incomplete_orders WHERE id IN (:'dora', :'eve', :'fay') ORDER BY 1;

-- An order that was hers when a mail went out and has another address since stays with that; the mail and the former value are hers.
SELECT incomplete_orders.capture_cart('gus', :'cart', email => 'hal@example.com', shop => 'priv', at => '2024-06-01') AS gus \gset
SELECT priv.message(:'gus', 'hal@example.com', 1, 'sent') IS NOT NULL AS sent;
SELECT incomplete_orders.edit_order(:'gus', '{"email": "gus@example.com"}', 1, '2024-06-02');
SELECT jsonb_path_query_array(incomplete_orders.export_customer('hal@example.com', shop => 'priv'), '$.messages[*].recipient') AS mails_to_hal;
SELECT * FROM incomplete_orders.forget_customer('hal@example.com', shop => 'priv', at => '2024-06-03');
SELECT o.email, m.recipient, m.subject, m.response, (SELECT count(*) FROM incomplete_orders.order_changes c WHERE c.order_id = o.id) AS changes
FROM incomplete_orders.open_orders o JOIN incomplete_orders.messages m ON m.order_id = o.id WHERE o.id = :'gus';

-- The extras of two lines that are one without them, and more than one line can hold.
SELECT incomplete_orders._without_extras(i::incomplete_orders.line_items)::jsonb FROM unnest(ARRAY['[]', '[{"sku":"A","quantity":1,"unit_price":1,"variant":"red","to":"Ann"}]',
	'[{"sku":"A","quantity":600000,"unit_price":1,"to":"Ann"},{"sku":"A","quantity":600000,"unit_price":1,"to":"Bob"}]']) i;

-- Nothing of it remains for the next test.
SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('priv', false);
SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('priv-2', false);
\set VERBOSITY terse
DROP SCHEMA priv CASCADE;

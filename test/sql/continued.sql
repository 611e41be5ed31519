-- What an attached shop takes back and has bought again is counted as one order: by
-- its state, as direct, and by what became of its abandonment.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
SET search_path = pg_catalog;
SET client_min_messages = warning;
CREATE ROLE regress_con;
SELECT incomplete_orders.create_shop('con', 'Continued', 'EUR') AS shop \gset
SELECT incomplete_orders.configure_shop('con', '{"consent_rule": "none", "from_email": "hello@shop.example", "postal_address": "Shop Ltd, 1 Main Street",
	"base_url": "https://mail.shop.example/", "min_gap": "0", "quiet_from": "0:00", "quiet_to": "0:00"}');
SELECT incomplete_orders.grant_to('regress_con', 'admin', 'con');
SELECT incomplete_orders.enable_campaign('cart', 'con') IS NOT NULL AS enabled;
CREATE SCHEMA con AUTHORIZATION regress_con;
SET ROLE regress_con;
CREATE TABLE con.carts (id integer PRIMARY KEY, email text, state text NOT NULL DEFAULT 'cart', number text, total numeric, bought timestamptz);
CREATE TABLE con.lines (id serial PRIMARY KEY, cart integer, sku text, qty numeric DEFAULT 1, price numeric DEFAULT 10);
CREATE INDEX ON con.lines (cart);
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('con', NULL, '{
	"cart": {"table": "con.carts", "id": "id", "email": "email", "completed_at": "bought", "order_number": "number"},
	"lines": {"table": "con.lines", "id": "id", "cart": "cart", "sku": "sku", "quantity": "qty", "unit_price": "price"},
	"money": "major", "total": "cart.total", "completed": "cart.state = ''done''"}', 'con');
RESET ROLE;

CREATE PROCEDURE con.tick(later interval DEFAULT '6 seconds') LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, clock_timestamp() + later);
	IF (r ->> 'refused')::integer > 0 THEN
		RAISE EXCEPTION 'refused: %', r;
	END IF;
END
$$;
CREATE FUNCTION con.id(cart integer) RETURNS uuid LANGUAGE sql STABLE AS $$
	SELECT o.id FROM incomplete_orders.incomplete_orders o WHERE o.shop = 'con' AND o.cart_key = $1::text ORDER BY o.id DESC LIMIT 1
$$;
CREATE FUNCTION con.events(cart integer) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(e.event, ' ' ORDER BY e.event_id) FROM incomplete_orders.order_events e
	JOIN incomplete_orders.incomplete_orders o ON o.shop = 'con' AND o.id = e.order_id AND o.cart_key = $1::text WHERE e.event !~ '^message_|recounted'
$$;
-- The cart's customer went away three hours ago, and is mailed.
CREATE PROCEDURE con.abandon(VARIADIC carts integer[]) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE incomplete_orders.open_orders o SET last_activity_at = now() - interval '3 hours', created_at = least(created_at, now() - interval '3 hours'), next_action_at = now() - interval '2 hours'
	WHERE o.id IN (SELECT con.id(c) FROM unnest(carts) c);
	-- not at once where a mark of the cart waits to be read once more
	FOR i IN 1 .. 200 LOOP
		CALL con.tick('0');
		EXIT WHEN NOT EXISTS (SELECT FROM unnest(carts) c WHERE NOT EXISTS (SELECT FROM incomplete_orders.messages m WHERE m.order_id = con.id(c)));
		PERFORM pg_sleep(0.1);
	END LOOP;
	PERFORM incomplete_orders.ack_message(m.message_id, m.token, 'OK') FROM incomplete_orders.claim_messages('regress', 100) m WHERE m.shop = 'con';
END
$$;
CREATE PROCEDURE con.buy(cart integer, number text, total numeric DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE con.carts c SET state = 'done', number = $2, total = $3, bought = clock_timestamp() WHERE id = $1;
	CALL con.tick();
END
$$;
CREATE PROCEDURE con.take_back(cart integer) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE con.carts c SET state = 'cart', bought = NULL, total = NULL WHERE id = $1;
	CALL con.tick();
END
$$;
CREATE PROCEDURE con.click(cart integer, at timestamptz DEFAULT now()) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM incomplete_orders.record_message_event(m.id, 'clicked', at => $2) FROM incomplete_orders.messages m
	JOIN incomplete_orders.incomplete_orders o ON o.id = m.order_id WHERE o.shop = 'con' AND o.cart_key = $1::text AND m.status = 'sent';
END
$$;
CREATE FUNCTION con.report() RETURNS TABLE (total bigint, pending bigint, abandoned bigint, converted bigint, converted_value numeric, direct bigint,
	recovered bigint, recovered_value numeric, assisted bigint, unaided bigint, recoverable bigint) LANGUAGE sql AS $$
	SELECT s.total, s.pending, s.abandoned, s.converted, s.converted_value, s.direct, s.recovered, s.recovered_value, s.assisted, s.unaided, s.recoverable
	FROM incomplete_orders.statistics('con') s
$$;
-- All reports, which no fold may change.
CREATE FUNCTION con.all_reports() RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_array((SELECT jsonb_agg(t) FROM incomplete_orders.statistics('con') t), (SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_day('con') t),
		(SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_value('con') t), (SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_step('con') t),
		(SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_device('con') t), (SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_campaign('con') t),
		(SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_product('con') t), (SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_cohort('con') t),
		(SELECT jsonb_agg(t) FROM incomplete_orders.statistics_by_recovery_time('con') t), (SELECT jsonb_agg(t) FROM incomplete_orders.funnel('con') t))
$$;
-- The same folded and computed anew, and as a plain reading of the orders.
CREATE FUNCTION con.wrong() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	before jsonb := con.all_reports();
	changed bigint;
BEGIN
	WHILE incomplete_orders._tick_fold(2) > 0 LOOP
		IF con.all_reports() <> before THEN
			RETURN NEXT 'folding changed reports';
		END IF;
	END LOOP;
	SET LOCAL ROLE regress_con;
	changed := incomplete_orders.rebuild_analytics() + (SELECT sum(u.changed) FROM incomplete_orders.update_analytics(current_date) u);
	RESET ROLE;
	IF changed <> 0 OR con.all_reports() <> before THEN
		RETURN NEXT format('%s rows are others computed anew', changed);
	END IF;
	RETURN QUERY SELECT format('direct %s: %s, %s', r.question, sum(r.direct), sum(r.direct_value)) FROM incomplete_orders.rollup_episodes r, incomplete_orders.shops s
		WHERE s.shop = 'con' AND r.shop_id = s.shop_id GROUP BY r.question, r.bucket, r.day
		HAVING sum(r.direct) < 0 OR sum(r.direct_value) < 0 OR sum(r.direct) = 0 AND sum(r.direct_value) <> 0;
END
$$;

--
-- Bought at once, taken back, and bought again: one direct purchase.
--
INSERT INTO con.carts (id, email) SELECT n, 'c' || n || '@shop.example' FROM generate_series(1, 7) n;
INSERT INTO con.lines (cart, sku) SELECT n, 'A' FROM generate_series(1, 7) n;
CALL con.tick();
CALL con.buy(1, 'N-1', 234);
SELECT * FROM con.report();
CALL con.take_back(1);
SELECT * FROM con.report();
SELECT direct, direct_value FROM incomplete_orders.statistics_by_value('con') WHERE direct <> 0 OR direct_value <> 0;
SELECT con.wrong();
CALL con.buy(1, 'N-1', 34);
SELECT * FROM con.report();
SELECT con.wrong();
SELECT con.events(1);

--
-- Abandoned, mailed, clicked, bought, taken back, bought again, twice: recovered once.
--
CALL con.abandon(2, 3, 4, 5);
CALL con.click(2);
SELECT * FROM con.report();
CALL con.buy(2, 'N-2');
SELECT * FROM con.report();
CALL con.take_back(2);
SELECT * FROM con.report();
SELECT con.wrong();
UPDATE con.lines SET qty = 5 WHERE cart = 2;
CALL con.buy(2, 'N-2');
SELECT * FROM con.report();
SELECT con.wrong();
CALL con.take_back(2);
SELECT con.wrong();
INSERT INTO con.lines (cart, sku) VALUES (2, 'B');
CALL con.buy(2, 'N-2b', 77);
SELECT * FROM con.report();
SELECT con.wrong();
SELECT con.events(2);
SELECT count(*) AS orders, count(DISTINCT root_id) AS roots FROM incomplete_orders.incomplete_orders WHERE shop = 'con' AND cart_key = '2';
SELECT product, abandoned, recovered, recovered_quantity, recovered_value FROM incomplete_orders.statistics_by_product('con') ORDER BY 1;
SELECT step, queued, sent, clicked, converted, revenue FROM incomplete_orders.statistics_by_campaign('con');
-- given back
SELECT incomplete_orders.record_refund(order_id, 7) FROM incomplete_orders.orders WHERE shop_id = :shop AND foreign_order = 'N-2b';
SELECT recovered, recovered_value FROM con.report();
SELECT con.wrong();

--
-- Told of late: a click on the message of the order that was taken back.
--
SELECT clock_timestamp() AS before \gset
CALL con.buy(3, 'N-3');
CALL con.take_back(3);
CALL con.buy(3, 'N-3');
SELECT recovered, assisted FROM con.report();
SELECT con.wrong();
CALL con.click(3, :'before');
SELECT recovered, assisted, recovered_value FROM con.report();
SELECT con.wrong();

--
-- The order that continues is abandoned itself, and bought then.
--
CALL con.buy(6, 'N-6');
CALL con.take_back(6);
CALL con.abandon(6);
CALL con.buy(6, 'N-6');
SELECT recovered, assisted, direct FROM con.report();
SELECT con.wrong();
SELECT con.events(6);

--
-- What goes stays counted: of a chain its beginning first, then the rest.
--
CREATE FUNCTION con.retire(of_orders uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM incomplete_orders._allow_retention(), incomplete_orders._lock_rollups(true);
	PERFORM incomplete_orders._retire_details(array_agg(c.shop_id), array_agg(c.id), array_agg(c.root_id)) FROM incomplete_orders.closed_orders c WHERE c.id = ANY (of_orders);
	DELETE FROM incomplete_orders.closed_orders c WHERE c.id = ANY (of_orders);
END
$$;
CREATE TEMP TABLE before AS SELECT con.all_reports() AS reports;
SELECT con.retire(ARRAY(SELECT id FROM incomplete_orders.closed_orders WHERE shop_id = :shop AND id = root_id AND status = 'reversed'));
SELECT con.wrong();
SELECT con.all_reports() = reports AS same FROM before;
SELECT kept, count(*) FROM incomplete_orders.order_outcomes WHERE shop_id = :shop GROUP BY 1;
-- a click that is told of now changes nothing of what is kept
CALL con.click(3);
SELECT recovered, assisted FROM con.report();
SELECT con.wrong();
UPDATE before SET reports = con.all_reports();
SELECT con.retire(ARRAY(SELECT id FROM incomplete_orders.closed_orders WHERE shop_id = :shop));
SELECT con.wrong();
SELECT con.all_reports() = reports AS same FROM before;
SELECT count(*) FROM incomplete_orders.continued_orders WHERE shop_id = :shop;
SELECT incomplete_orders._retire_orphans(:shop, incomplete_orders._id_at(clock_timestamp() + interval '1 hour'));
SELECT count(*) FROM incomplete_orders.order_outcomes WHERE shop_id = :shop;
SELECT con.all_reports() = reports AS same FROM before;
SELECT con.wrong();
-- of one that is bought when its beginning is gone nobody can tell that it was abandoned
CALL con.buy(4, 'N-4');
CALL con.take_back(4);
SELECT con.retire(ARRAY(SELECT id FROM incomplete_orders.closed_orders WHERE shop_id = :shop AND cart_key = '4'));
SELECT con.wrong();
CALL con.buy(4, 'N-4b');
SELECT con.wrong();
SELECT * FROM con.report();

SELECT count(*) > 0 AS detached FROM incomplete_orders.detach('con', 'con');
DROP SCHEMA con CASCADE;
SELECT object FROM incomplete_orders.delete_shop('con', dry_run => false) WHERE object ~ 'continued';
SELECT incomplete_orders.revoke_from('regress_con', 'admin');
DROP ROLE regress_con;

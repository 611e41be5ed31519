-- The life of an order: the transition table, invariants that hold whoever
-- writes, exact thresholds, `at`, ids and references.
SET search_path = pg_catalog;
\pset null (null)
CREATE TEMP TABLE made (name text PRIMARY KEY, id uuid NOT NULL);
CREATE FUNCTION pg_temp.cart(sku text, quantity integer DEFAULT 2, price numeric DEFAULT 1.50) RETURNS incomplete_orders.line_items
LANGUAGE sql AS $$ SELECT jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity, 'unit_price', price)) $$;
-- An order of a session that carries the name given.
CREATE FUNCTION pg_temp.make(name text, at timestamptz DEFAULT now()) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO made VALUES (name, incomplete_orders.capture_cart('life-' || name, pg_temp.cart('A'), at => at)) RETURNING id
$$;
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql AS $$ SELECT id FROM made WHERE made.name = id.name $$;
-- What a statement leads to, up to what a commit would check; it is undone.
CREATE FUNCTION pg_temp.outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
BEGIN
	EXECUTE command;
	SET CONSTRAINTS ALL IMMEDIATE;
	RAISE 'undo' USING ERRCODE = 'UNDO0';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN CASE state WHEN 'UNDO0' THEN 'done' ELSE state || ': ' || regexp_replace(message, '[0-9a-f]{8}-[0-9a-f-]{27}|(?<=closed_orders_)\d{4}_\d\d', 'X', 'g') END;
END
$$;
CREATE FUNCTION pg_temp.story(id uuid) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s -> %s, episode %s', event, coalesce(status_before::text, '-'), status_after, episode)
	FROM incomplete_orders.order_events WHERE order_id = story.id ORDER BY event_id
$$;

--
-- One order in each state.
--
SELECT count(pg_temp.make(s::text)) FROM unnest(enum_range(NULL::incomplete_orders.order_status)) s;
BEGIN;
SET LOCAL search_path = incomplete_orders, pg_catalog;
UPDATE open_orders SET status = 'abandoned', abandoned_at = now() WHERE id = pg_temp.id('abandoned');
UPDATE open_orders SET status = 'payment_pending' WHERE id = pg_temp.id('payment_pending');
UPDATE open_orders SET status = 'payment_failed' WHERE id = pg_temp.id('payment_failed');
SELECT count(*) FROM made, convert_order(made.id) WHERE name IN ('converted', 'reversed');
-- closing without a function, whole: it is allowed when all of it is right
WITH gone AS (DELETE FROM open_orders WHERE id IN (pg_temp.id('expired'), pg_temp.id('dismissed'), pg_temp.id('deleted')) RETURNING *)
INSERT INTO closed_orders SELECT * FROM (SELECT (g.*).*, now(), NULL::text, false FROM gone g) x;
UPDATE closed_orders SET status = 'expired' WHERE id = pg_temp.id('expired');
UPDATE closed_orders SET status = 'dismissed' WHERE id = pg_temp.id('dismissed');
UPDATE closed_orders SET status = 'deleted' WHERE id = pg_temp.id('deleted');
UPDATE closed_orders SET status = 'reversed' WHERE id = pg_temp.id('reversed');
COMMIT;
SELECT m.name, o.status::text = m.name AS "is", o.closed_at IS NULL AS open
FROM made m JOIN incomplete_orders.incomplete_orders o USING (id) ORDER BY o.status;

--
-- The whole transition table, by direct updates of a superuser: "." changes
-- nothing, "yes" may be committed as it stands, IC004 is refused at once, and
-- IC012 is a move that exists but is not all that it takes.
--
CREATE TEMP TABLE moved AS
SELECT f AS before, t AS after,
	pg_temp.outcome(format('UPDATE incomplete_orders.%s SET status = %L WHERE id = %L',
		CASE WHEN f <= 'abandoned' THEN 'open_orders' ELSE 'closed_orders' END, t, pg_temp.id(f::text))) AS outcome
FROM unnest(enum_range(NULL::incomplete_orders.order_status)) f, unnest(enum_range(NULL::incomplete_orders.order_status)) t;
SELECT before, (SELECT string_agg(rpad(CASE WHEN before = m.after AND outcome = 'done' THEN '.' WHEN outcome = 'done' THEN 'yes' ELSE left(outcome, 5) END, 5), ' ' ORDER BY after)
	FROM moved m WHERE m.before = b.before) AS "pend. p.pen p.fai aband conve expir dismi delet rever"
FROM (SELECT DISTINCT before FROM moved) b ORDER BY before;
-- Both states are named.
SELECT count(*) AS refused, bool_and(outcome = format('IC004: order X cannot go from %s to %s', before, after)) AS names_both
FROM moved WHERE outcome LIKE 'IC004%';
SELECT DISTINCT outcome FROM moved WHERE outcome LIKE 'IC012%' ORDER BY 1;

--
-- What a superuser cannot break with direct statements.
--
SELECT count(pg_temp.make(s)) FROM unnest(ARRAY['whole', 'parts', 'parts done', 'open', 'free', 'outside', 'gift']) s;
UPDATE incomplete_orders.open_orders SET items = pg_temp.cart('A', 2, 0) WHERE id = pg_temp.id('gift');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('gift'));
SELECT part, total FROM incomplete_orders.convert_order(pg_temp.id('whole'));
SELECT part, total FROM incomplete_orders.convert_order(pg_temp.id('parts'), pg_temp.cart('A', 1), idempotency_key => 'one');
SELECT part, total FROM incomplete_orders.convert_order(pg_temp.id('parts done'), pg_temp.cart('A', 1), idempotency_key => 'one');
SELECT part, total FROM incomplete_orders.convert_order(pg_temp.id('parts done'));
SELECT count(*) FROM incomplete_orders.record_order('life-outside', id => pg_temp.id('outside'), total => 7);
CREATE FUNCTION pg_temp.copy(name text, tab text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE tab WHEN 'open' THEN 'INSERT INTO incomplete_orders.open_orders SELECT ' || replace(c, 'next_action_at', 'now()') || ' FROM incomplete_orders.closed_orders WHERE id = ' || quote_literal(pg_temp.id(name))
		ELSE 'INSERT INTO incomplete_orders.closed_orders (' || c || ', closed_at) SELECT ' || c || ', now() FROM incomplete_orders.open_orders WHERE id = ' || quote_literal(pg_temp.id(name)) END
	FROM (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS c FROM pg_attribute
		WHERE attrelid = 'incomplete_orders.open_orders'::regclass AND attnum > 0 AND NOT attisdropped) x
$$;
CREATE TEMP TABLE attack (n integer GENERATED ALWAYS AS IDENTITY, what text, command text);
INSERT INTO attack (what, command)
SELECT what, 'SET LOCAL search_path = incomplete_orders, pg_catalog; ' || command FROM (VALUES
	(1, 'delete an open order', format('DELETE FROM open_orders WHERE id = %L', pg_temp.id('open'))),
	(2, 'delete a converted one', format('DELETE FROM closed_orders WHERE id = %L', pg_temp.id('whole'))),
	(3, 'delete an expired one', format('DELETE FROM closed_orders WHERE id = %L', pg_temp.id('expired'))),
	(4, 'open a closed one again', pg_temp.copy('whole', 'open')),
	(5, 'close an open one twice', pg_temp.copy('open', 'closed')),
	(6, 'closed without an order', format('WITH g AS (DELETE FROM open_orders WHERE id = %L RETURNING *) INSERT INTO closed_orders SELECT * FROM (SELECT (g.*).*, now(), NULL::text, false FROM g) x', pg_temp.id('open'))),
	(7, 'another id', format('UPDATE open_orders SET id = _new_id(1) WHERE id = %L', pg_temp.id('open'))),
	(8, 'another shop', format('UPDATE open_orders SET shop_id = 999 WHERE id = %L', pg_temp.id('open'))),
	(9, 'another id, closed', format('UPDATE closed_orders SET id = _new_id(1) WHERE id = %L', pg_temp.id('whole'))),
	(10, 'another id, across partitions', format('UPDATE closed_orders SET id = _id_at(''2000-01-01'') WHERE id = %L', pg_temp.id('whole'))),
	(11, 'another cart under an order', format('UPDATE closed_orders SET items = pg_temp.cart(''A'', 3) WHERE id = %L', pg_temp.id('whole'))),
	(12, 'partial is a cart again', format('UPDATE open_orders SET kind = ''cart'' WHERE id = %L', pg_temp.id('parts'))),
	(13, 'filled is forgotten', format('UPDATE open_orders SET items = pg_temp.cart(''A'', 2), kind = ''partial'' WHERE id = %L', pg_temp.id('parts'))),
	(14, 'delete an order', format('DELETE FROM orders WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(15, 'delete an order with its lines', format('WITH o AS (DELETE FROM orders WHERE incomplete_order_id = %L RETURNING order_id) DELETE FROM order_items i USING o WHERE i.order_id = o.order_id', pg_temp.id('whole'))),
	(16, 'delete one part', format('WITH o AS (DELETE FROM orders WHERE incomplete_order_id = %L AND part = 2 RETURNING order_id) DELETE FROM order_items i USING o WHERE i.order_id = o.order_id', pg_temp.id('parts done'))),
	(17, 'an order on a pending one', format('INSERT INTO orders (shop_id, order_id, order_number, incomplete_order_id, currency, total, converted_at) VALUES (1, _new_id(1), ''x-1'', %L, ''USD'', 0, now())', pg_temp.id('open'))),
	(18, 'an order with lines on a pending one', format('WITH o AS (INSERT INTO orders (shop_id, order_id, order_number, incomplete_order_id, currency, total, converted_at) VALUES (1, _new_id(1), ''x-1'', %L, ''USD'', 3, now()) RETURNING *) INSERT INTO order_items (shop_id, order_id, line, sku, quantity, unit_price) SELECT 1, order_id, 1, ''A'', 2, 1.50 FROM o', pg_temp.id('open'))),
	(19, 'a second order on a converted one', format('WITH o AS (INSERT INTO orders (shop_id, order_id, order_number, incomplete_order_id, part, currency, total, converted_at) VALUES (1, _new_id(1), ''x-1'', %L, 2, ''USD'', 3, now()) RETURNING *) INSERT INTO order_items (shop_id, order_id, line, sku, quantity, unit_price) SELECT 1, order_id, 1, ''A'', 2, 1.50 FROM o', pg_temp.id('whole'))),
	(20, 'the same part twice', format('INSERT INTO orders (shop_id, order_id, order_number, incomplete_order_id, currency, total, converted_at) VALUES (1, _new_id(1), ''x-1'', %L, ''USD'', 3, now())', pg_temp.id('whole'))),
	(21, 'an order on nothing', 'INSERT INTO orders (shop_id, order_id, order_number, currency, total, converted_at) VALUES (1, _new_id(1), ''x-1'', ''USD'', 3, now())'),
	(22, 'an order on an unknown one', 'INSERT INTO orders (shop_id, order_id, order_number, incomplete_order_id, foreign_order, currency, total, converted_at) VALUES (1, _new_id(1), ''x-1'', _new_id(1), ''x-1'', ''USD'', 3, now())'),
	(23, 'another total', format('UPDATE orders SET total = 2.99 WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(24, 'another charge', format('UPDATE orders SET shipping = 1 WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(25, 'a negative total', format('UPDATE orders SET discount = 5, total = -2 WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(26, 'no total', format('UPDATE orders SET total = NULL WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(27, 'half a cent', format('UPDATE orders SET shipping = 0.005, total = 3.005 WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(28, 'another quantity', format('UPDATE order_items SET quantity = 3 WHERE order_id = (SELECT order_id FROM orders WHERE incomplete_order_id = %L)', pg_temp.id('whole'))),
	(29, 'another price', format('UPDATE order_items SET unit_price = 0.01 WHERE order_id = (SELECT order_id FROM orders WHERE incomplete_order_id = %L)', pg_temp.id('whole'))),
	(30, 'another quantity of a gift', format('UPDATE order_items SET quantity = 3 WHERE order_id = (SELECT order_id FROM orders WHERE incomplete_order_id = %L)', pg_temp.id('gift'))),
	(31, 'a line less', format('DELETE FROM order_items WHERE order_id = (SELECT order_id FROM orders WHERE incomplete_order_id = %L)', pg_temp.id('gift'))),
	(32, 'a line more', format('INSERT INTO order_items (shop_id, order_id, line, sku, quantity, unit_price) SELECT shop_id, order_id, 2, ''B'', 1, 0 FROM orders WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(33, 'a line of no order', 'INSERT INTO order_items (shop_id, order_id, line, sku, quantity, unit_price) VALUES (1, _new_id(1), 1, ''B'', 1, 0)'),
	(34, 'an order moved to another incomplete one', format('UPDATE orders SET incomplete_order_id = %L WHERE incomplete_order_id = %L', pg_temp.id('open'), pg_temp.id('whole'))),
	(35, 'an order without its incomplete one', format('UPDATE orders SET incomplete_order_id = NULL WHERE incomplete_order_id = %L', pg_temp.id('whole'))),
	(36, 'a foreign order''s own total', format('UPDATE orders SET total = 8 WHERE incomplete_order_id = %L', pg_temp.id('outside'))),
	(37, 'no longer a foreign order', format('UPDATE orders SET foreign_order = NULL WHERE incomplete_order_id = %L', pg_temp.id('outside'))),
	(38, 'a session twice', format('UPDATE open_orders SET session_id = ''life-open'' WHERE id = %L', pg_temp.id('free'))),
	(39, 'a reference twice', format('UPDATE open_orders SET reference = (SELECT reference FROM open_orders WHERE id = %L) WHERE id = %L', pg_temp.id('open'), pg_temp.id('free'))),
	(40, 'a dismissed partial one is a cart again', format('WITH g AS (DELETE FROM open_orders WHERE id = %1$L RETURNING *) INSERT INTO closed_orders SELECT * FROM (SELECT (g.*).*, now(), NULL::text, false FROM g) x;
		UPDATE closed_orders SET status = ''dismissed'' WHERE id = %1$L; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; UPDATE closed_orders SET kind = ''cart'' WHERE id = %1$L', pg_temp.id('parts'))),
	(41, 'closed with a part, as dismissed', format('UPDATE open_orders SET status = ''dismissed'' WHERE id = %L', pg_temp.id('parts'))),
	(42, 'truncate open orders', 'TRUNCATE open_orders'),
	(43, 'truncate closed orders', 'TRUNCATE closed_orders'),
	(44, 'truncate the default partition', 'TRUNCATE closed_orders_default'),
	(45, 'truncate this month', format('TRUNCATE %s', (SELECT tableoid::regclass FROM incomplete_orders.closed_orders WHERE id = pg_temp.id('whole')))),
	(46, 'truncate orders', 'TRUNCATE orders'),
	(47, 'truncate lines', 'TRUNCATE order_items'),
	(48, 'truncate all', 'TRUNCATE open_orders, closed_orders, orders, order_items'),
	(49, 'a merge', format('MERGE INTO open_orders o USING (SELECT 1) s ON o.id = %L WHEN MATCHED THEN UPDATE SET status = ''expired''', pg_temp.id('open'))),
	(50, 'an upsert', format('INSERT INTO open_orders SELECT * FROM open_orders WHERE id = %L ON CONFLICT (shop_id, id) DO UPDATE SET status = ''converted''', pg_temp.id('open')))
) a (n, what, command) ORDER BY n;
SELECT what, pg_temp.outcome(command) FROM attack ORDER BY n;
-- No trigger watches the lines of an open order, which would cost each capture;
-- what was ordered already is not ordered again all the same.
SELECT pg_temp.outcome(format('UPDATE incomplete_orders.open_orders SET items = pg_temp.cart(''A'', 2) WHERE id = %1$L; SELECT incomplete_orders.convert_order(%1$L)', pg_temp.id('parts')));
SELECT pg_temp.outcome(format('UPDATE incomplete_orders.open_orders SET items = pg_temp.cart(''A'', 2) WHERE id = %1$L; SELECT incomplete_orders.convert_order(%1$L, pg_temp.cart(''A'', 1), idempotency_key => ''two'')', pg_temp.id('parts')));
SELECT pg_temp.outcome(format('UPDATE incomplete_orders.open_orders SET items = pg_temp.cart(''A'', 2) WHERE id = %1$L; SELECT incomplete_orders.dismiss_order(%1$L)', pg_temp.id('parts')));
-- A check that failed inside a savepoint fails again at commit.
BEGIN;
UPDATE incomplete_orders.open_orders SET status = 'converted' WHERE id = pg_temp.id('open');
SAVEPOINT before;
\set VERBOSITY sqlstate
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK TO before;
COMMIT;
\set VERBOSITY default
SELECT status FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('open');

--
-- Exact thresholds: whoever comes late writes what was due when it was due.
-- The default shop: abandoned after 60 minutes, expired after 30 days.
--
SELECT count(pg_temp.make(s, '2020-01-01 12:00+00')) FROM unnest(ARRAY['before', 'at', 'after', 'bought', 'gone', 'gone and bought', 'lost', 'emptied', 'waits', 'waits long']) s;
-- one microsecond before, exactly at, and long after the cut-off
SELECT name, incomplete_orders.capture_cart('life-' || name, pg_temp.cart('A', 3), at => at) = made.id AS same_order
FROM made JOIN (VALUES ('before', '2020-01-01 12:59:59.999999+00'::timestamptz), ('at', '2020-01-01 13:00+00'), ('after', '2020-01-05 00:00+00')) x (name, at) USING (name) ORDER BY name;
SELECT made.name, status, episode, abandoned_at, last_activity_at, next_action_at, expires_at
FROM made JOIN incomplete_orders.open_orders USING (id) WHERE made.name IN ('before', 'at', 'after') ORDER BY 1;
SELECT event, at, status_before, status_after, episode, abandoned_at, actor IS NOT NULL AS somebody
FROM incomplete_orders.order_events WHERE order_id = pg_temp.id('after') ORDER BY event_id;
-- a purchase after the cut-off counts as recovered: the abandonment is there, and of this episode
SELECT total, converted_at FROM incomplete_orders.convert_order(pg_temp.id('bought'), at => '2020-01-01 13:00+00');
SELECT event, at, status_before, status_after, episode, abandoned_at
FROM incomplete_orders.order_events WHERE order_id = pg_temp.id('bought') ORDER BY event_id;
-- expired exactly 30 days after its beginning: the next capture starts a new order
SELECT incomplete_orders.capture_cart('life-gone', pg_temp.cart('A'), at => '2020-01-30 23:59+00') = pg_temp.id('gone') AS same_order;
SELECT expires_at FROM incomplete_orders.open_orders WHERE id = pg_temp.id('gone');
SELECT incomplete_orders.capture_cart('life-gone', pg_temp.cart('A'), at => '2020-02-29 23:59+00') = pg_temp.id('gone') AS same_order;
SELECT status, closed_at, late FROM incomplete_orders.closed_orders WHERE id = pg_temp.id('gone');
SELECT event, at, status_before, status_after FROM incomplete_orders.order_events WHERE order_id = pg_temp.id('gone') ORDER BY event_id;
-- an order that expired is taken when it is paid, as late
SELECT pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L, paid => false, at => ''2020-01-31 12:00+00'')', pg_temp.id('gone and bought')));
SELECT total FROM incomplete_orders.convert_order(pg_temp.id('gone and bought'), at => '2020-01-31 12:00+00');
SELECT status, closed_at, late FROM incomplete_orders.closed_orders WHERE id = pg_temp.id('gone and bought');
SELECT * FROM pg_temp.story(pg_temp.id('gone and bought'));
-- lost: 14 days without activity, the sequence and its attribution being over
SELECT incomplete_orders.capture_cart('life-lost', NULL, at => '2020-01-15 12:00+00') = pg_temp.id('lost') AS same_order;
SELECT event, at, status_before, status_after, episode FROM incomplete_orders.order_events WHERE order_id = pg_temp.id('lost') ORDER BY event_id;
SELECT status, lost_at, episode FROM incomplete_orders.open_orders WHERE id = pg_temp.id('lost');
-- an emptied cart is not abandoned, and can be again from when it was refilled
SELECT incomplete_orders.capture_cart('life-emptied', '[]', at => '2020-01-01 12:30+00') = pg_temp.id('emptied') AS same_order;
SELECT incomplete_orders.capture_cart('life-emptied', pg_temp.cart('B'), at => '2020-01-03 12:00+00') = pg_temp.id('emptied') AS same_order;
SELECT status, episode, abandoned_at, next_action_at <= '2020-01-03 13:00+00' AS in_time FROM incomplete_orders.open_orders WHERE id = pg_temp.id('emptied');
-- one that was empty from the start is looked at in time once it is filled
SELECT incomplete_orders.capture_cart('life-filled', '[]', at => '2020-01-01 12:00+00') AS id \gset
SELECT next_action_at FROM incomplete_orders.open_orders WHERE id = :'id';
SELECT incomplete_orders.capture_cart('life-filled', pg_temp.cart('B'), at => '2020-01-01 12:30+00') = :'id' AS same_order;
SELECT next_action_at FROM incomplete_orders.open_orders WHERE id = :'id';
-- the end comes to an active order too
UPDATE incomplete_orders.open_orders SET last_activity_at = '2020-01-31 11:30+00' WHERE id = :'id';
SELECT incomplete_orders.capture_cart('life-filled', pg_temp.cart('B'), at => '2020-01-31 11:59:59.999999+00') = :'id' AS same_order;
SELECT incomplete_orders.capture_cart('life-filled', pg_temp.cart('B'), at => '2020-01-31 12:00+00') = :'id' AS same_order;
SELECT status, closed_at FROM incomplete_orders.closed_orders WHERE id = :'id';
-- a pending payment is neither abandoned nor expired before its deadline
UPDATE incomplete_orders.open_orders o SET status = 'payment_pending', payment_deadline = deadline
FROM made JOIN (VALUES ('waits', '2020-01-10 00:00+00'::timestamptz), ('waits long', '2020-03-01 00:00+00')) x (name, deadline) USING (name)
WHERE o.id = made.id;
SELECT count(incomplete_orders.capture_cart('life-' || name, NULL, at => '2020-01-09 23:59:59+00')) FROM made WHERE name LIKE 'waits%';
SELECT made.name, status, abandoned_at FROM made JOIN incomplete_orders.open_orders USING (id) WHERE made.name LIKE 'waits%' ORDER BY 1;
SELECT count(incomplete_orders.capture_cart('life-' || name, NULL, at => '2020-02-20 00:00+00')) FROM made WHERE name LIKE 'waits%';
SELECT m.name, e.event, e.at, e.status_before, e.status_after, e.episode FROM made m JOIN incomplete_orders.order_events e ON e.order_id = m.id
WHERE name LIKE 'waits%' ORDER BY name, event_id;

--
-- `at`: for admin only, never backwards, only instants that can be stored.
--
SELECT pg_temp.make('clock', '2020-06-01 12:00+00') IS NOT NULL AS made;
SELECT incomplete_orders.capture_cart('life-clock', pg_temp.cart('A', 4), at => '2020-05-01 12:00+00') = pg_temp.id('clock') AS same_order;
SELECT last_activity_at, created_at, incomplete_orders.item_count(items) FROM incomplete_orders.open_orders WHERE id = pg_temp.id('clock');
SELECT at, pg_temp.outcome(format('SELECT incomplete_orders.capture_cart(''life-clock'', ''[]'', at => %L)', at))
FROM unnest(ARRAY['infinity', '-infinity', '1969-12-31 23:59:59.999999+00', '1970-01-01 00:00+00', '9999-12-31 23:59:59.999999+00', '10000-01-01 00:00+00', '294276-12-31 23:59:59+00', '4714-11-24 00:00+00 BC']) at;
-- the id is of the wall clock
SELECT (pg_temp.id('clock') > incomplete_orders._id_at(now() - interval '1 hour')) AS of_today;
CREATE ROLE regress_life_app;
GRANT EXECUTE ON FUNCTION incomplete_orders.capture_cart, incomplete_orders.convert_order TO regress_life_app;
INSERT INTO incomplete_orders.shop_members (shop_id, role_name, purpose, role_oid, cluster_id, granted_by)
SELECT 1, 'regress_life_app', 'app', oid, incomplete_orders._cluster_id(), 'test' FROM pg_roles WHERE rolname = 'regress_life_app';
SET ROLE regress_life_app;
SELECT incomplete_orders.capture_cart('life-app', '[]') IS NOT NULL AS captured;
SELECT incomplete_orders.capture_cart('life-app', '[]', at => now()) IS NOT NULL AS captured;
\set VERBOSITY sqlstate
SELECT incomplete_orders.capture_cart('life-app', '[]', at => now() - interval '1 second');
SELECT incomplete_orders.capture_cart('life-app', '[]', at => clock_timestamp());
\set VERBOSITY default
RESET ROLE;
DELETE FROM incomplete_orders.shop_members WHERE role_name = 'regress_life_app';
DROP OWNED BY regress_life_app;
DROP ROLE regress_life_app;

--
-- A hostile search_path changes nothing.
--
CREATE SCHEMA evil;
CREATE TABLE evil.called (what text);
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT ALL ON evil.called TO PUBLIC;
DO $$
DECLARE
	t text;
	op text;
BEGIN
	FOREACH t IN ARRAY ARRAY['uuid', 'text', 'integer', 'bigint', 'numeric', 'timestamptz', 'boolean',
		'incomplete_orders.order_status', 'incomplete_orders.order_kind', 'incomplete_orders.line_items', 'oid', 'name'] LOOP
		EXECUTE format('CREATE FUNCTION evil.f_%s(a %s, b %s) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.called VALUES (%L); RETURN true; END $f$',
			replace(t, '.', '_'), t, t, t);
		FOREACH op IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>='] LOOP
			EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.f_%s)', op, t, t, replace(t, '.', '_'));
		END LOOP;
	END LOOP;
	FOREACH t IN ARRAY ARRAY['integer', 'bigint', 'numeric'] LOOP
		EXECUTE format('CREATE FUNCTION evil.g_%s(a %s, b %s) RETURNS %s LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO evil.called VALUES (%L); RETURN a; END $f$', t, t, t, t, t);
		FOREACH op IN ARRAY ARRAY['+', '-', '*'] LOOP
			EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.g_%s)', op, t, t, t);
		END LOOP;
	END LOOP;
END
$$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.called VALUES ('now'); RETURN '2000-01-01'; END $$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.called VALUES ('clock'); RETURN '2000-01-01'; END $$;
CREATE FUNCTION evil.nextval(text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.called VALUES ('nextval'); RETURN 1; END $$;
CREATE FUNCTION evil.jsonb_strip_nulls(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.called VALUES ('strip'); RETURN '{}'; END $$;
CREATE FUNCTION evil.cat(jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.called VALUES ('cat'); RETURN '{}'; END $$;
CREATE OPERATOR evil.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.cat);
CREATE FUNCTION evil.arrow(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.called VALUES ('arrow'); RETURN 'x'; END $$;
CREATE OPERATOR evil.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = evil.arrow);
-- A new session, so that every plan is made under that path.
\connect -
SET search_path = evil, pg_catalog;
\set cart '[{"sku":"E","quantity":3,"unit_price":"2.00"}]'
SELECT incomplete_orders.capture_cart('life-evil', :'cart', email => 'e@example.com', customer_id => 'evil', name => 'E', currency => 'eur', step => 'payment',
	shipping => 1, tax => 2, discount => 0, coupon_code => 'c', coupon_discount => 0, address => '{"city":"x"}', context => '{"device":"phone","source":"web"}') AS id \gset
SELECT incomplete_orders.capture_cart('life-evil', :'cart', context => '{"notes":"n"}', address => '{"country":"y"}', tax => 3) OPERATOR(pg_catalog.=) :'id'::uuid AS same_order;
-- the same through the executor
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT incomplete_orders.capture_cart('life-evil', :'cart', context => '{"notes":"n"}', address => '{"country":"y"}', tax => 3, step => 'review', kind => 'cart') OPERATOR(pg_catalog.=) :'id'::uuid AS same_order;
COMMIT;
SELECT incomplete_orders.capture_cart('life-evil', :'cart', at => pg_catalog.now() OPERATOR(pg_catalog.+) interval '2 days') OPERATOR(pg_catalog.=) :'id'::uuid AS same_order;
SELECT can FROM incomplete_orders.can_convert(:'id');
SELECT part, total FROM incomplete_orders.convert_order(:'id', '[{"sku":"E","quantity":1,"unit_price":"2.00"}]', idempotency_key => 'k');
SELECT order_id, part, total FROM incomplete_orders.convert_order(:'id', '[{"sku":"E","quantity":1,"unit_price":"2.00"}]', idempotency_key => 'k2') \gset
SELECT :part AS part, :total AS total;
SELECT incomplete_orders.capture_cart('life-evil', :'cart') OPERATOR(pg_catalog.=) :'id'::uuid AS same_order;
SELECT part, total FROM incomplete_orders.convert_order(:'id');
SELECT part, total FROM incomplete_orders.convert_order(:'id');
SELECT incomplete_orders.record_payment(:'order_id'), incomplete_orders.record_refund(:'order_id', 1, 'k'), incomplete_orders.record_refund(:'order_id', 1, 'k');
SELECT total FROM incomplete_orders.record_order('life-evil', session_id => 'life-evil', total => 9);
SELECT total FROM incomplete_orders.record_order('life-evil-2', session_id => 'life-evil-2', customer_id => 'evil', total => 9);
SELECT incomplete_orders.capture_cart('life-evil', :'cart') OPERATOR(pg_catalog.=) :'id'::uuid AS same_order;
UPDATE incomplete_orders.shops SET name = name;
SELECT o.status, o.episode, o.version, o.email, o.address, o.context, o.currency, o.shipping, o.tax FROM incomplete_orders.closed_orders o WHERE o.id OPERATOR(pg_catalog.=) :'id';
SELECT * FROM evil.called;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA evil CASCADE;
RESET client_min_messages;

--
-- Ids rise in one session, are distinct, and know their shop; so do references.
--
CREATE TEMP TABLE ids AS SELECT n, incomplete_orders._new_id(1 + n % 2000000000) AS id FROM generate_series(1, 200000) n;
SELECT count(*), count(DISTINCT id) AS "distinct", bool_and(incomplete_orders.shop_of(id) = 1 + n % 2000000000) AS shop FROM ids;
SELECT count(*) AS backwards FROM (SELECT id <= lag(id) OVER (ORDER BY n) AS bad FROM ids) x WHERE bad;
SELECT incomplete_orders.shop_of(incomplete_orders._new_id(2147483647)), incomplete_orders.shop_of(gen_random_uuid()), incomplete_orders.shop_of('00000000-0000-0000-0000-000000000000');
SELECT count(DISTINCT incomplete_orders._reference_of(n)) AS "distinct", bool_and(incomplete_orders._reference_of(n) ~ '^INC-[0-9A-HJKMNP-TV-Z]{10}$') AS form FROM generate_series(1, 200000) n;
SELECT count(DISTINCT incomplete_orders._reference_of((2::numeric ^ 50 - n)::bigint)) AS "distinct" FROM generate_series(1, 1000) n;

--
-- Captures of an open order stay HOT: nothing that they change is indexed.
--
SELECT pg_stat_force_next_flush() IS NOT NULL AS flush;
SELECT set_config('life.updates', n_tup_upd::text, false) AS updates, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relid = 'incomplete_orders.open_orders'::regclass \gset before_
DO $$
BEGIN
	FOR i IN 1 .. 1500 LOOP
		PERFORM incomplete_orders.capture_cart('life-hot-' || i % 100,
			jsonb_build_array(jsonb_build_object('sku', 'A-' || i, 'quantity', 1 + i % 5, 'unit_price', i / 100.0), jsonb_build_object('sku', 'B', 'quantity', 1, 'unit_price', 2)),
			email => 'p' || i % 100 || '@example.com', customer_id => 'c' || i % 100, step => 'shipping', shipping => i % 7, context => jsonb_build_object('device', 'phone'));
		COMMIT;
	END LOOP;
END
$$;
SELECT pg_stat_force_next_flush() IS NOT NULL AS flush;
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN (SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'incomplete_orders.open_orders'::regclass) >= 1400 + current_setting('life.updates')::bigint;
		PERFORM pg_sleep(0.1);
	END LOOP;
END
$$;
SELECT n_tup_upd - :before_updates >= 1400 AS counted, (n_tup_hot_upd - :before_hot) / (n_tup_upd - :before_updates)::numeric >= 0.95 AS stays_hot
FROM pg_stat_user_tables WHERE relid = 'incomplete_orders.open_orders'::regclass;
-- every invariant, over all that this test has left
SELECT count(*) FILTER (WHERE (o.id IS NULL) = (c.id IS NULL)) AS not_in_one_place FROM incomplete_orders.open_orders o FULL JOIN incomplete_orders.closed_orders c USING (shop_id, id);
SELECT count(*) AS state_is_not_the_last_event FROM incomplete_orders.incomplete_orders o
JOIN LATERAL (SELECT status_after FROM incomplete_orders.order_events e WHERE e.order_id = o.id AND e.status_after IS NOT NULL ORDER BY event_id DESC LIMIT 1) e ON true
WHERE e.status_after <> o.status AND o.session_id ~ '^life-(evil|hot|before|at|after|bought|gone|lost|clock|app)';
SELECT count(*) AS tail_is_not_history FROM incomplete_orders.order_events FULL JOIN incomplete_orders.order_event_tail USING (shop_id, event_id) WHERE order_events.event IS DISTINCT FROM order_event_tail.event;

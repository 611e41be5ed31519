-- Attached shops: with whose rights their tables are read, and what carts become.
SET search_path = pg_catalog;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
SET client_min_messages = warning;
\pset null (null)
\set VERBOSITY terse
CREATE ROLE regress_att;
CREATE ROLE regress_att_other;
SELECT incomplete_orders.create_shop('att', 'Attached') > 0 AS made;
SELECT incomplete_orders.configure_shop('att', '{"consent_rule": "none", "from_email": "hello@shop.example", "postal_address": "Shop Ltd, 1 Main Street",
	"base_url": "https://mail.shop.example/", "min_gap": "0", "quiet_from": "0:00", "quiet_to": "0:00"}');
SELECT incomplete_orders.grant_to('regress_att', 'admin', 'att');
CREATE SCHEMA att AUTHORIZATION regress_att;
SET ROLE regress_att;
CREATE TABLE att.carts (id integer PRIMARY KEY, email text, session text, state text NOT NULL DEFAULT 'cart', number text, changed timestamptz, bought timestamptz, gone timestamptz);
CREATE TABLE att.lines (id serial PRIMARY KEY, cart integer, sku text, qty numeric DEFAULT 1, price numeric DEFAULT 10);
CREATE INDEX ON att.lines (cart);
-- what was there before the shop was attached
INSERT INTO att.carts (id, email, changed) VALUES (1, 'old@shop.example', '2020-01-01'), (2, 'new@shop.example', now() - interval '10 minutes');
INSERT INTO att.carts (id, state, number, bought) VALUES (3, 'done', 'N-3', '2020-01-01');
INSERT INTO att.lines (cart, sku) VALUES (1, 'A'), (2, 'A'), (3, 'A');
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('att', NULL, '{
	"cart": {"table": "att.carts", "id": "id", "email": "email", "session": "session", "deleted_at": "gone", "updated_at": "changed", "completed_at": "bought", "order_number": "number"},
	"lines": {"table": "att.lines", "id": "id", "cart": "cart", "sku": "sku", "quantity": "qty", "unit_price": "price"},
	"money": "major", "completed": "cart.state = ''done''", "in_progress": "cart.state = ''paying''", "superseded": "cart.state = ''merged''"}', 'att');
RESET ROLE;

-- A tick as of so much later, and what it says of carts.
CREATE PROCEDURE pg_temp.tick(later interval DEFAULT '6 seconds', INOUT did text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, clock_timestamp() + later);
	did := format('%s read, %s refused', r -> 'carts', r -> 'refused');
END
$$;
CREATE FUNCTION pg_temp.carts() RETURNS TABLE (cart text, status incomplete_orders.order_status, reason text, email text, session text, items text, episode integer)
LANGUAGE sql AS $$
	SELECT o.cart_key, o.status, o.close_reason, o.email, o.session_id,
		(SELECT string_agg(format('%s %s', i ->> 'quantity', i ->> 'sku'), ', ' ORDER BY i ->> 'sku') FROM jsonb_array_elements(o.items) i), o.episode
	FROM incomplete_orders.incomplete_orders o WHERE o.shop = 'att' ORDER BY o.cart_key::integer, o.created_at, o.id
$$;
CREATE FUNCTION pg_temp.events(cart text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(e.event, ', ' ORDER BY e.event_id) FROM incomplete_orders.order_events e
	JOIN incomplete_orders.incomplete_orders o ON o.shop = 'att' AND o.id = e.order_id AND o.cart_key = $1
$$;
CREATE FUNCTION pg_temp.health() RETURNS TABLE (check_name text, state text, value text) LANGUAGE sql AS $$
	SELECT h.check_name, h.state, regexp_replace(h.value, 'since .* UTC', 'since then') FROM incomplete_orders.health() h
	WHERE h.check_name IN ('attachments', 'attached carts') AND h.state <> 'ok'
$$;

--
-- What was there is told of again: nobody acted.  An old cart has its age, what was
-- bought before is none of ours.
--
CALL pg_temp.tick();
CALL pg_temp.tick();
SELECT * FROM pg_temp.carts();
SELECT cart_key, last_activity_at < now() - interval '9 minutes' AS aged, abandoned_at FROM incomplete_orders.incomplete_orders WHERE shop = 'att' ORDER BY 1;
UPDATE att.carts SET number = 'N-3b' WHERE id = 3;
CALL pg_temp.tick();
SELECT count(*) FROM incomplete_orders.orders WHERE foreign_order LIKE 'N-3%';

--
-- With whose rights
--
CREATE TABLE att.loot (who text, did text);
GRANT ALL ON att.loot TO PUBLIC;
-- Everything that code of the shop's could try, in the hands of a superuser's tick.
CREATE FUNCTION att.evil(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF statement = 'who' THEN
		RAISE EXCEPTION 'anna@shop.example is %', current_user USING ERRCODE = 'undefined_column';
	END IF;
	EXECUTE statement;
	RETURN true;
END
$$;
GRANT USAGE ON SCHEMA att TO PUBLIC;
CREATE PROCEDURE pg_temp.try(statement text) LANGUAGE plpgsql AS $$
DECLARE
	did text;
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION att.predicate() RETURNS boolean LANGUAGE plpgsql AS %L', format('BEGIN RETURN att.evil(%L); END', statement));
	EXECUTE 'DROP POLICY IF EXISTS evil ON att.carts';
	EXECUTE 'CREATE POLICY evil ON att.carts USING (att.predicate())';
	UPDATE att.lines SET qty = qty + 1 WHERE cart = 1;
END
$$;
ALTER TABLE att.carts ENABLE ROW LEVEL SECURITY;
ALTER TABLE att.carts FORCE ROW LEVEL SECURITY;
CREATE PROCEDURE pg_temp.tried(statement text, INOUT told text DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
	SELECT coalesce(problem_sqlstate || ' ' || problem, 'read') INTO told FROM incomplete_orders.attached_tables WHERE name = 'att';
END
$$;
CALL pg_temp.try('SELECT 1 / (current_user = ''regress_att'' AND current_setting(''search_path'') = ''pg_catalog, pg_temp'')::integer');
CALL pg_temp.tick('10 seconds');
CALL pg_temp.tried('the role that attached');
-- what it says may be personal
CALL pg_temp.try('who');
CALL pg_temp.tick('20 seconds');
CALL pg_temp.tried('who');
CALL pg_temp.try('INSERT INTO incomplete_orders.order_notes (shop_id, order_id, at, actor, note) SELECT shop_id, id, now(), ''x'', ''x'' FROM incomplete_orders.open_orders');
CALL pg_temp.tick('1 hour');
CALL pg_temp.tried('our tables');
CALL pg_temp.try('INSERT INTO att.loot VALUES (current_user, ''wrote'')');
CALL pg_temp.tick('2 hours');
CALL pg_temp.tried('its own tables');
CALL pg_temp.try('SET ROLE postgres');
CALL pg_temp.tick('3 hours');
CALL pg_temp.tried('another role');
CALL pg_temp.try('SET SESSION AUTHORIZATION postgres');
CALL pg_temp.tick('4 hours');
CALL pg_temp.tried('another session');
CALL pg_temp.try('CREATE TEMP TABLE left_behind (x integer)');
CALL pg_temp.tick('5 hours');
CALL pg_temp.tried('something left behind');
CALL pg_temp.try('CREATE FUNCTION att.more() RETURNS integer LANGUAGE sql AS ''SELECT 1''');
CALL pg_temp.tick('6 hours');
CALL pg_temp.tried('more functions');
CALL pg_temp.try('SET transaction_read_only = off');
CALL pg_temp.tick('7 hours');
CALL pg_temp.tried('to write after all');
CALL pg_temp.try('CALL incomplete_orders.tick()');
CALL pg_temp.tick('8 hours');
CALL pg_temp.tried('a tick in the tick');
CALL pg_temp.try('SELECT incomplete_orders.delete_order(id) FROM incomplete_orders.incomplete_orders');
CALL pg_temp.tick('9 hours');
CALL pg_temp.tried('our functions');
SET incomplete_orders.hook_timeout = 100;
CALL pg_temp.try('SELECT pg_sleep(60)');
CALL pg_temp.tick('10 hours');
CALL pg_temp.tried('to stay for ever');
RESET incomplete_orders.hook_timeout;
SELECT * FROM att.loot;
SELECT * FROM pg_temp.health();
SHOW search_path;
SHOW timezone;
SELECT current_user = session_user AS same, pg_my_temp_schema() <> 0 AS temp, to_regclass('pg_temp.left_behind');
-- and it catches up
DROP POLICY evil ON att.carts;
ALTER TABLE att.carts DISABLE ROW LEVEL SECURITY;
CALL pg_temp.tick('11 hours');
CALL pg_temp.tried('nothing');
CALL pg_temp.tick('11 hours');
SELECT items FROM pg_temp.carts() WHERE cart = '1';
SELECT * FROM pg_temp.health();

-- a right that was taken away
ALTER TABLE att.carts OWNER TO postgres;
UPDATE att.lines SET qty = 2 WHERE cart = 2;
CALL pg_temp.tick('12 hours');
CALL pg_temp.tried('no right');
GRANT SELECT ON att.carts TO regress_att;
CALL pg_temp.tick('13 hours');
CALL pg_temp.tried('the right is back');
-- a role that is admin no more
SELECT incomplete_orders.revoke_from('regress_att', 'admin', 'att');
UPDATE att.lines SET qty = 3 WHERE cart = 2;
CALL pg_temp.tick('14 hours');
CALL pg_temp.tried('no admin');
SELECT incomplete_orders.grant_to('regress_att', 'admin', 'att');
-- another role of that name
ALTER ROLE regress_att RENAME TO regress_att_former;
CALL pg_temp.tick('15 hours');
CALL pg_temp.tried('renamed');
ALTER ROLE regress_att_other RENAME TO regress_att;
SELECT incomplete_orders.grant_to('regress_att', 'admin', 'att');
GRANT SELECT ON ALL TABLES IN SCHEMA att TO PUBLIC;
CALL pg_temp.tick('16 hours');
CALL pg_temp.tried('another one of that name');
SELECT incomplete_orders.revoke_from('regress_att', 'admin', 'att');
ALTER ROLE regress_att RENAME TO regress_att_other;
ALTER ROLE regress_att_former RENAME TO regress_att;
SELECT incomplete_orders.grant_to('regress_att', 'admin', 'att');
CALL pg_temp.tick('17 hours');
CALL pg_temp.tick('17 hours');
CALL pg_temp.tried('all is well');
SELECT items FROM pg_temp.carts() WHERE cart = '2';
-- who may tick at all
SET ROLE regress_att_other;
SELECT incomplete_orders._tick_attachments('{1}', now());
SELECT * FROM incomplete_orders._tick_carts(1, now(), 1);
RESET ROLE;
TRUNCATE att.loot;

--
-- What a cart becomes
--
DELETE FROM att.lines;
DELETE FROM att.carts;
CALL pg_temp.tick('1 day');
SELECT cart, status, reason FROM pg_temp.carts();
-- The shop's own call captured the session first: it is the same cart.
SELECT incomplete_orders.capture_cart('s10', '[{"sku": "A", "quantity": 1, "unit_price": "10"}]', email => 'ten@shop.example', shop => 'att') IS NOT NULL AS captured;
INSERT INTO att.carts (id, session) VALUES (10, 's10');
INSERT INTO att.lines (cart, sku, qty) VALUES (10, 'A', 2);
CALL pg_temp.tick();
SELECT * FROM pg_temp.carts() WHERE cart = '10';
SELECT count(*) FROM incomplete_orders.incomplete_orders WHERE shop = 'att' AND session_id = 's10';
-- The session goes on with another cart; the former one stays its own.
UPDATE att.carts SET session = NULL WHERE id = 10;
INSERT INTO att.carts (id, session) VALUES (11, 's10');
INSERT INTO att.lines (cart, sku) VALUES (11, 'B');
CALL pg_temp.tick();
SELECT * FROM pg_temp.carts() WHERE cart IN ('10', '11');
-- Another order of that session was captured meanwhile: both are one.
INSERT INTO att.carts (id) VALUES (12);
INSERT INTO att.lines (cart, sku) VALUES (12, 'C');
CALL pg_temp.tick();
SELECT incomplete_orders.capture_cart('s12', '[{"sku": "C", "quantity": 1, "unit_price": "10"}]', email => 'twelve@shop.example', shop => 'att') IS NOT NULL AS captured;
UPDATE att.carts SET session = 's12' WHERE id = 12;
CALL pg_temp.tick();
SELECT * FROM pg_temp.carts() WHERE cart = '12';
SELECT status, close_reason FROM incomplete_orders.incomplete_orders WHERE shop = 'att' AND session_id = 's12' AND cart_key IS NULL;

-- Paying, broken off, bought, taken back, bought again under the same number.
UPDATE att.carts SET state = 'paying' WHERE id = 10;
CALL pg_temp.tick();
SELECT status, kind, furthest_step, payment_deadline = expires_at AS waits FROM incomplete_orders.incomplete_orders WHERE shop = 'att' AND cart_key = '10';
UPDATE att.carts SET state = 'cart' WHERE id = 10;
CALL pg_temp.tick();
SELECT status, kind FROM incomplete_orders.incomplete_orders WHERE shop = 'att' AND cart_key = '10';
UPDATE att.carts SET state = 'done', number = 'N-10', bought = clock_timestamp() WHERE id = 10;
CALL pg_temp.tick();
SELECT o.order_id, count(*) OVER () AS orders FROM incomplete_orders.orders o WHERE o.foreign_order = 'N-10' \gset
SELECT paid, total FROM incomplete_orders.orders WHERE order_id = :'order_id';
SELECT count(*) FROM incomplete_orders.person_orders WHERE order_id = :'order_id';
UPDATE att.carts SET state = 'cart', bought = NULL WHERE id = 10;
CALL pg_temp.tick();
SELECT paid, paid_at FROM incomplete_orders.orders WHERE order_id = :'order_id';
SELECT count(*) FROM incomplete_orders.person_orders WHERE order_id = :'order_id';
SELECT n.status, n.root_id = r.id AS same_root, n.continues_id = r.id AS continues, r.status AS former, n.email = r.email AS same_person
FROM incomplete_orders.incomplete_orders n JOIN incomplete_orders.incomplete_orders r ON r.id = n.continues_id WHERE n.shop = 'att' AND n.cart_key = '10';
UPDATE att.carts SET state = 'done', bought = clock_timestamp() WHERE id = 10;
UPDATE att.lines SET qty = 5 WHERE cart = 10;
CALL pg_temp.tick();
SELECT order_id = :'order_id' AS the_same, paid, total, (SELECT sum(quantity) FROM incomplete_orders.order_items i WHERE i.order_id = o.order_id) AS pieces
FROM incomplete_orders.orders o WHERE foreign_order = 'N-10';
SELECT pg_temp.events('10');
SELECT event, paid_amount, refund_amount FROM incomplete_orders.order_events e WHERE e.order_ref = :'order_id' ORDER BY event_id;

-- The threshold is exact: what the customer did before it was not read yet.
INSERT INTO att.carts (id, email) VALUES (20, 'twenty@shop.example');
INSERT INTO att.lines (cart, sku) VALUES (20, 'A');
CALL pg_temp.tick();
UPDATE att.lines SET qty = 2 WHERE cart = 20;
-- settling until then; nothing falls due for the cart before it is read
UPDATE incomplete_orders.attached_tables SET settle = '3 hours' WHERE name = 'att';
CALL pg_temp.tick('0');
UPDATE incomplete_orders.due_carts SET first_marked_at = first_marked_at + interval '3 hours' WHERE key = '20';
CALL pg_temp.tick('2 hours');
SELECT status, items FROM pg_temp.carts() WHERE cart = '20';
UPDATE incomplete_orders.attached_tables SET settle = '5 seconds' WHERE name = 'att';
UPDATE incomplete_orders.due_carts SET first_marked_at = marked_at WHERE key = '20';
CALL pg_temp.tick('2 hours');
CALL pg_temp.tick('2 hours');
SELECT status, abandoned_at - last_activity_at AS after, items -> 0 ->> 'quantity' AS quantity, episode FROM incomplete_orders.incomplete_orders WHERE shop = 'att' AND cart_key = '20';
-- Only what the customer does brings them back: not a price.
UPDATE att.lines SET price = 12 WHERE cart = 20;
CALL pg_temp.tick('2 hours');
SELECT status, items -> 0 ->> 'unit_price' AS price, episode FROM incomplete_orders.incomplete_orders WHERE shop = 'att' AND cart_key = '20';

--
-- No message leaves for what was bought a moment ago
--
SELECT incomplete_orders.enable_campaign('cart', 'att') IS NOT NULL AS enabled;
INSERT INTO att.carts (id, email) SELECT n, 'c' || n || '@shop.example' FROM generate_series(30, 33) n;
INSERT INTO att.lines (cart, sku) SELECT n, 'A' FROM generate_series(30, 33) n;
CALL pg_temp.tick();
UPDATE incomplete_orders.open_orders o SET last_activity_at = now() - interval '3 hours', created_at = now() - interval '3 hours', next_action_at = now() - interval '2 hours'
FROM incomplete_orders.shops s WHERE s.shop = 'att' AND o.shop_id = s.shop_id AND o.cart_key IN ('30', '31', '32', '33');
CALL pg_temp.tick('0');
SELECT count(*) FROM incomplete_orders.messages m WHERE m.status = 'queued' AND m.recipient LIKE 'c3_@shop.example';
UPDATE att.carts SET state = 'done', number = 'N-31', bought = clock_timestamp() WHERE id = 31;
DELETE FROM att.carts WHERE id = 32;
INSERT INTO att.lines (cart, sku) VALUES (33, 'B');
SELECT recipient FROM incomplete_orders.claim_messages('regress', 100) WHERE shop = 'att';
CALL pg_temp.tick();
SELECT m.recipient, m.status, m.reason FROM incomplete_orders.messages m WHERE m.recipient LIKE 'c3_@shop.example' ORDER BY 1;
-- nor while nobody can say
INSERT INTO att.carts (id, email) VALUES (34, 'c34@shop.example');
INSERT INTO att.lines (cart, sku) VALUES (34, 'A');
CALL pg_temp.tick();
UPDATE incomplete_orders.open_orders o SET last_activity_at = now() - interval '3 hours', created_at = now() - interval '3 hours', next_action_at = now() - interval '2 hours'
FROM incomplete_orders.shops s WHERE s.shop = 'att' AND o.shop_id = s.shop_id AND o.cart_key = '34';
CALL pg_temp.tick('0');
REVOKE SELECT ON att.lines FROM regress_att, PUBLIC;
ALTER TABLE att.lines OWNER TO postgres;
SELECT recipient FROM incomplete_orders.claim_messages('regress', 100) WHERE shop = 'att';
GRANT SELECT ON att.lines TO regress_att;
UPDATE incomplete_orders.messages SET due_at = now() WHERE recipient = 'c34@shop.example';
SELECT recipient FROM incomplete_orders.claim_messages('regress', 100) WHERE shop = 'att';

--
-- Somebody who was forgotten is not told of again, until they act
--
INSERT INTO att.carts (id, email) VALUES (40, 'forty@shop.example');
INSERT INTO att.lines (cart, sku) VALUES (40, 'A');
CALL pg_temp.tick();
SELECT count(*) > 0 AS erased FROM incomplete_orders.forget_customer('forty@shop.example', shop => 'att');
SELECT incomplete_orders.reconcile('att', 'att');
CALL pg_temp.tick();
CALL pg_temp.tick();
UPDATE att.lines SET price = 11 WHERE cart = 40;
CALL pg_temp.tick();
SELECT status, email, items FROM pg_temp.carts() WHERE cart = '40';
UPDATE att.lines SET qty = 2 WHERE cart = 40;
CALL pg_temp.tick();
SELECT status, email, items FROM pg_temp.carts() WHERE cart = '40';

-- Gone with everything of it.
SELECT count(*) > 0 AS detached FROM incomplete_orders.detach('att', 'att');
SELECT count(*) FROM incomplete_orders.due_carts;
DROP SCHEMA att CASCADE;
SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('att', dry_run => false);
SELECT incomplete_orders.revoke_from('regress_att', 'admin');
DROP ROLE regress_att, regress_att_other;

-- What conversions write is not read again by the deferred triggers; whatever
-- else touches the same rows in the same transaction is, and what a trigger of
-- somebody else's changes or keeps out.
SET search_path = incomplete_orders, pg_catalog;
CREATE FUNCTION pg_temp.cart() RETURNS line_items LANGUAGE sql AS $$
	SELECT '[{"sku": "A", "quantity": 2, "unit_price": 10}, {"sku": "B", "quantity": 1, "unit_price": 5}]'::line_items
$$;
-- A new order of that session, and what conversion made of it.
CREATE FUNCTION pg_temp.converted(session text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	made uuid := capture_cart(session, pg_temp.cart());
BEGIN
	PERFORM convert_order(made);
	RETURN made;
END
$$;
-- What a transaction leads to, up to its commit; ids and months left out.
CREATE FUNCTION pg_temp.outcome(VARIADIC commands text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	command text;
BEGIN
	FOREACH command IN ARRAY commands LOOP
		EXECUTE command;
	END LOOP;
	SET CONSTRAINTS ALL IMMEDIATE;
	RAISE 'undo' USING ERRCODE = 'UNDO0';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE SQLSTATE WHEN 'UNDO0' THEN 'done'
		ELSE SQLSTATE || ': ' || regexp_replace(SQLERRM, '[0-9a-f]{8}-[0-9a-f-]{27}|(?<=closed_orders_)\d{4}_\d\d', 'X', 'g') END;
END
$$;

-- Conversions alone, one or many; in the other mode of constraints too.
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')');
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v'' || i) FROM generate_series(1, 40) i');
SELECT pg_temp.outcome('SET CONSTRAINTS ALL IMMEDIATE', 'SELECT pg_temp.converted(''v1'')');

-- What follows in the same transaction is checked.
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'UPDATE orders SET total = total + 1');
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'UPDATE order_items SET quantity = 5');
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'DELETE FROM order_items WHERE line = 1');
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'DELETE FROM order_items', 'DELETE FROM orders');
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'DELETE FROM closed_orders');
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'UPDATE closed_orders SET status = ''reversed''',
	'UPDATE closed_orders SET items = ''[]''');
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')',
	'INSERT INTO open_orders (shop_id, id, root_id, reference, currency, expires_at, next_action_at, items)
	SELECT shop_id, id, root_id, reference, currency, expires_at, now(), items FROM closed_orders');
-- By the same statement too.
SELECT pg_temp.outcome('SELECT capture_cart(''v1'', pg_temp.cart())', 'WITH more AS (INSERT INTO order_items
	(shop_id, order_id, line, sku, quantity, unit_price) SELECT shop_id, id, 1, ''A'', 1, 1 FROM open_orders)
	SELECT convert_order(id) FROM open_orders');
-- And after a savepoint in which a conversion failed half way: its number is taken.
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'SELECT capture_cart(''v2'', pg_temp.cart())',
	'UPDATE orders SET order_number = ''N1'' WHERE incomplete_order_id = (SELECT id FROM closed_orders WHERE session_id = ''v1'')',
	'DO $do$ BEGIN
		PERFORM incomplete_orders.convert_order(id, order_number => ''N1'') FROM incomplete_orders.open_orders WHERE session_id = ''v2'';
		RAISE ''converted'';
	EXCEPTION WHEN SQLSTATE ''IC013'' THEN NULL; END $do$',
	'SELECT convert_order(id) FROM open_orders WHERE session_id = ''v2''', 'UPDATE orders SET total = total + 1');

-- With constraints immediate, the second statement is checked as the first was.
SELECT pg_temp.outcome('SELECT pg_temp.converted(''v1'')', 'SET CONSTRAINTS ALL IMMEDIATE', 'UPDATE orders SET shipping = shipping',
	'UPDATE orders SET total = total + 1');

-- Triggers of somebody else's that change a row or keep it out.
CREATE FUNCTION pg_temp.change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.total := NEW.total + 1; RETURN NEW; END $$;
CREATE FUNCTION pg_temp.keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN UPDATE incomplete_orders.orders SET total = 0 WHERE order_id = NEW.order_id; RETURN NULL; END $$;
SELECT pg_temp.outcome('CREATE TRIGGER other BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pg_temp.change()',
	'SELECT pg_temp.converted(''v1'')');
SELECT pg_temp.outcome('CREATE TRIGGER other AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pg_temp.meddle()',
	'SELECT pg_temp.converted(''v1'')');
SELECT pg_temp.outcome(format('CREATE TRIGGER other BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.keep_out()', event, relation),
	'SELECT pg_temp.converted(''v1'')')
FROM (VALUES ('DELETE', 'open_orders'), ('INSERT', 'closed_orders_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')),
	('INSERT', 'orders'), ('INSERT', 'order_items')) v (event, relation);

-- A column that a user added to both tables moves along, from the next call on.
CREATE TEMP TABLE made AS SELECT pg_temp.converted('v1') AS id;
ALTER TABLE open_orders ADD COLUMN gift text;
ALTER TABLE closed_orders ADD COLUMN gift text;
INSERT INTO made SELECT capture_cart('v2', pg_temp.cart());
UPDATE open_orders SET gift = 'wrapped' WHERE session_id = 'v2';
SELECT count(*) FROM made, convert_order(made.id);
SELECT session_id, status, gift FROM closed_orders WHERE id IN (SELECT id FROM made) ORDER BY id;
ALTER TABLE open_orders DROP COLUMN gift;
ALTER TABLE closed_orders DROP COLUMN gift;
INSERT INTO made VALUES (pg_temp.converted('v3'));
SELECT session_id, status FROM closed_orders WHERE id IN (SELECT id FROM made) ORDER BY id;

BEGIN;
SELECT _allow_purge();
DELETE FROM order_items WHERE order_id IN (SELECT order_id FROM orders WHERE incomplete_order_id IN (SELECT id FROM made));
DELETE FROM orders WHERE incomplete_order_id IN (SELECT id FROM made);
DELETE FROM closed_orders WHERE id IN (SELECT id FROM made);
DELETE FROM order_events WHERE order_id IN (SELECT id FROM made);
DELETE FROM order_event_tail WHERE order_id IN (SELECT id FROM made);
COMMIT;

-- An ordinary capture goes past the executor.  Whatever a user adds to the table
-- must still do what it does for any UPDATE.
SET client_min_messages = warning;
SELECT incomplete_orders.capture_cart('direct', '[{"sku":"A","quantity":1,"unit_price":1}]', email => 'a@example.org') AS id \gset
CREATE FUNCTION pg_temp.capture(quantity integer, name text DEFAULT NULL, context jsonb DEFAULT NULL, email text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
	SELECT 'captured' FROM incomplete_orders.capture_cart('direct',
		jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', quantity, 'unit_price', 1))::incomplete_orders.line_items,
		name => name, context => context, email => email)
$$;
CREATE VIEW pg_temp.now_stored AS
	SELECT incomplete_orders.item_count(items) AS n, version, name, email, context FROM incomplete_orders.open_orders WHERE session_id = 'direct';
SELECT pg_temp.capture(2, name => 'Ann', context => '{"device":"phone"}');
SELECT * FROM now_stored;
SELECT pg_temp.capture(3, name => '', context => '{"device":null,"locale":"de"}', email => 'a@example.org');
SELECT * FROM now_stored;

-- an indexed fact that changes, and its index
SELECT pg_temp.capture(4, email => 'b@example.org');
SELECT count(*) FROM incomplete_orders.find_orders('b@example.org');
SELECT count(*) FROM incomplete_orders.find_orders('a@example.org') WHERE session_id = 'direct';

-- a row trigger that changes the row, and one that only looks, at one column
CREATE FUNCTION pg_temp.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := 'seen ' || NEW.version; RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE UPDATE ON incomplete_orders.open_orders FOR EACH ROW EXECUTE FUNCTION pg_temp.shout();
SELECT pg_temp.capture(5);
SELECT * FROM now_stored;
DROP TRIGGER shout ON incomplete_orders.open_orders;
CREATE TABLE seen (n integer);
CREATE FUNCTION pg_temp.look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO public.seen VALUES (1); RETURN NULL; END $$;
CREATE TRIGGER look AFTER UPDATE OF items ON incomplete_orders.open_orders FOR EACH ROW EXECUTE FUNCTION pg_temp.look();
SELECT pg_temp.capture(6);
SELECT count(*) FROM seen;
DROP TRIGGER look ON incomplete_orders.open_orders;
CREATE TRIGGER look AFTER UPDATE ON incomplete_orders.open_orders EXECUTE FUNCTION pg_temp.look();
SELECT pg_temp.capture(7);
SELECT count(*) FROM seen;
DROP TRIGGER look ON incomplete_orders.open_orders;
CREATE TRIGGER look AFTER UPDATE OF bot ON incomplete_orders.open_orders FOR EACH ROW EXECUTE FUNCTION pg_temp.look();
SELECT pg_temp.capture(8);
SELECT count(*) FROM seen;
SELECT pg_temp.capture(8, context => '{"bot":false}');
SELECT count(*) FROM seen;
DROP TRIGGER look ON incomplete_orders.open_orders;
DROP TABLE seen;

-- CHECK, NOT NULL, generated column, rule, row security, a foreign key to the table, an index on what changes
\set VERBOSITY sqlstate
ALTER TABLE incomplete_orders.open_orders ADD CONSTRAINT few CHECK (session_id <> 'direct' OR incomplete_orders.item_count(items) < 10);
SELECT pg_temp.capture(10);
ALTER TABLE incomplete_orders.open_orders DROP CONSTRAINT few;
UPDATE incomplete_orders.open_orders SET name = '?' WHERE name IS NULL;
ALTER TABLE incomplete_orders.open_orders ALTER name SET NOT NULL;
SELECT pg_temp.capture(11, name => '');
ALTER TABLE incomplete_orders.open_orders ALTER name DROP NOT NULL;
ALTER TABLE incomplete_orders.open_orders ADD COLUMN twice bigint GENERATED ALWAYS AS (incomplete_orders.item_count(items) * 2) STORED;
SELECT pg_temp.capture(12);
SELECT twice FROM incomplete_orders.open_orders WHERE session_id = 'direct';
ALTER TABLE incomplete_orders.open_orders DROP COLUMN twice;
CREATE RULE never AS ON UPDATE TO incomplete_orders.open_orders DO INSTEAD NOTHING;
SELECT pg_temp.capture(13);
DROP RULE never ON incomplete_orders.open_orders;
SELECT n FROM now_stored;
CREATE TABLE referring (shop_id integer, id uuid, FOREIGN KEY (shop_id, id) REFERENCES incomplete_orders.open_orders);
INSERT INTO referring VALUES (incomplete_orders.shop_of(:'id'), :'id');
SELECT pg_temp.capture(14);
DROP TABLE referring;
CREATE INDEX open_orders_mine ON incomplete_orders.open_orders (incomplete_orders.item_count(items));
SELECT pg_temp.capture(15);
SET enable_seqscan = off;
SELECT session_id FROM incomplete_orders.open_orders WHERE incomplete_orders.item_count(items) = 15;
RESET enable_seqscan;
DROP INDEX incomplete_orders.open_orders_mine;

-- read only, another isolation level, twice in one statement, rolled back
BEGIN READ ONLY;
SELECT pg_temp.capture(16);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.capture(17);
COMMIT;
SELECT pg_temp.capture(18), pg_temp.capture(19);
SELECT n FROM now_stored;
BEGIN;
SELECT pg_temp.capture(20);
SAVEPOINT s;
SELECT pg_temp.capture(21);
ROLLBACK TO s;
SELECT n FROM now_stored;
COMMIT;
SELECT n FROM now_stored;
-- without the index that finds the row, the executor finds another way
DROP INDEX incomplete_orders.open_orders_session;
SELECT pg_temp.capture(22);
CREATE UNIQUE INDEX open_orders_session ON incomplete_orders.open_orders (shop_id, session_id);
SELECT pg_temp.capture(23);
SELECT n FROM now_stored;
SELECT incomplete_orders.delete_order(:'id');

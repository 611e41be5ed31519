-- The trigger on a shop's own tables, and the way of its marks to due_carts.
-- The triggers are made here by hand, as attach() makes them.
SET timezone = 'UTC';
\set VERBOSITY terse
CREATE ROLE regress_marks_shop;
CREATE SCHEMA marks;
GRANT ALL ON SCHEMA marks TO regress_marks_shop;
SET search_path = marks, pg_catalog;
INSERT INTO incomplete_orders.attached_tables (shop_id, attachment, name, mapping, role_name, role_oid, cluster_id, tables, read_query, list_query)
SELECT 1, a, 'marks ' || a, '{}', 'postgres', 10, incomplete_orders._cluster_id(), '[]', '', '' FROM unnest('{901, 902}'::integer[]) a;

CREATE PROCEDURE watch(relation regclass, path integer, key_column text, attachment integer DEFAULT 901) LANGUAGE plpgsql AS $$
DECLARE
	name text := format('incomplete_orders_mark_%s_%s', attachment, path);
	call text := format('EXECUTE FUNCTION incomplete_orders._mark_cart(%L, %L, %L, %L, %L)', attachment, path, relation::oid,
		(SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attname = key_column), key_column);
BEGIN
	EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW %s', name, relation, call);
	EXECUTE format('CREATE TRIGGER %I AFTER TRUNCATE ON %s FOR EACH STATEMENT %s', name || '_truncate', relation, call);
END
$$;
-- The marks that there are now, in the order of their writing; *: all carts. Then they are gone.
CREATE FUNCTION marks() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	found text;
BEGIN
	SELECT string_agg(format('%s%s', CASE WHEN m.path > 0 THEN m.path || ':' END, coalesce(m.key, '*')), ' ' ORDER BY m.segment, m.ctid) INTO found
	FROM incomplete_orders.cart_marks m WHERE m.attachment = 901;
	TRUNCATE incomplete_orders.cart_marks;
	RETURN coalesce(found, 'none');
END
$$;
-- What is due, and then is not.
CREATE FUNCTION due() RETURNS text LANGUAGE sql AS $$
	WITH d AS (DELETE FROM incomplete_orders.due_carts WHERE attachment BETWEEN 901 AND 909 RETURNING *)
	SELECT coalesce(string_agg(format('%s:%s', path, coalesce(nullif(key, ''), '*')), ' ' ORDER BY attachment, path, key), 'none') FROM d
$$;
CREATE PROCEDURE drain(rotate boolean DEFAULT false) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM incomplete_orders._tick_marks(i, rotate) FROM generate_series(0, 3) i;
END
$$;
TRUNCATE incomplete_orders.cart_marks;

--
-- rows
--
CREATE TABLE line (junk integer, id integer PRIMARY KEY, cart integer, quantity integer, note text);
ALTER TABLE line DROP COLUMN junk;
CALL watch('line', 1, 'cart');
INSERT INTO line VALUES (1, 10, 1), (2, 10, 1), (3, 11, 1), (4, NULL, 1);
SELECT marks() AS "each cart once, no mark for null";
UPDATE line SET cart = 12 WHERE id = 3;
SELECT marks() AS "re-pointed: both carts";
UPDATE line SET cart = 12 WHERE id = 4;
UPDATE line SET cart = NULL WHERE id = 4;
SELECT marks() AS "from null, to null";
DELETE FROM line WHERE id = 4;
SELECT marks() AS "deleted with a null key";
UPDATE line SET quantity = quantity, note = note;
SELECT marks() AS "written as it was";
UPDATE line SET note = repeat('a long note ', 10000) WHERE id = 1;
SELECT marks() AS "toasted";
UPDATE line SET note = note, quantity = quantity WHERE id = 1;
SELECT marks() AS "toasted, as it was";
UPDATE line SET quantity = NULL WHERE id = 2;
SELECT marks() AS "to null";
DELETE FROM line WHERE cart = 10;
SELECT marks() AS "deleted";
INSERT INTO line VALUES (3, 12, 5) ON CONFLICT (id) DO UPDATE SET quantity = excluded.quantity;
INSERT INTO line VALUES (3, 12, 5) ON CONFLICT DO NOTHING;
SELECT marks() AS "upsert, nothing";
COPY line FROM stdin;
5	20	1	\N
6	21	1	\N
7	20	1	\N
\.
SELECT marks() AS "COPY";
WITH gone AS (DELETE FROM line WHERE id = 5 RETURNING *) INSERT INTO line SELECT id + 100, 30, quantity FROM gone;
SELECT marks() AS "moved in one statement";
TRUNCATE line;
SELECT marks() AS "TRUNCATE: all carts";
INSERT INTO line SELECT i, i % 3000 FROM generate_series(1, 9000) i;
SELECT count(*) AS marks, count(DISTINCT key) AS carts FROM incomplete_orders.cart_marks;
SELECT marks() IS NOT NULL AS done;
TRUNCATE line;
SELECT marks();

-- cascades; the cart, its lines and its order have one key, hence one mark
CREATE TABLE cart (id integer PRIMARY KEY, email text);
CREATE TABLE cart_line (id integer PRIMARY KEY, cart integer REFERENCES cart ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE customer (id integer PRIMARY KEY, email text);
CALL watch('cart', 0, 'id');
CALL watch('cart_line', 1, 'cart');
CALL watch('customer', 3, 'id');
BEGIN;
INSERT INTO cart VALUES (1), (2);
INSERT INTO cart_line VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO customer VALUES (1);
COMMIT;
SELECT marks() AS "one mark for cart and lines";
UPDATE cart SET id = 5 WHERE id = 1;
SELECT marks() AS "cascaded update";
DELETE FROM cart WHERE id = 5;
SELECT marks() AS "cascaded delete";
TRUNCATE cart, cart_line;
SELECT marks() AS "TRUNCATE of both";

--
-- savepoints
--
BEGIN;
INSERT INTO line VALUES (1, 1);
SAVEPOINT a;
UPDATE line SET quantity = 1;
INSERT INTO line VALUES (2, 2);
ROLLBACK TO a;
COMMIT;
SELECT marks() AS "the outer mark stays";
BEGIN;
SAVEPOINT a;
UPDATE line SET quantity = 2;
ROLLBACK TO a;
UPDATE line SET quantity = 3;
COMMIT;
SELECT marks() AS "marked again after the rollback";
BEGIN;
SAVEPOINT a;
UPDATE line SET quantity = 4;
RELEASE a;
UPDATE line SET quantity = 5;
COMMIT;
SELECT marks() AS "released: once";
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
UPDATE line SET quantity = 6;
RELEASE b;
SAVEPOINT c;
INSERT INTO line VALUES (2, 2);
ROLLBACK TO c;
UPDATE line SET quantity = 7;
ROLLBACK TO a;
INSERT INTO line VALUES (3, 3);
SAVEPOINT d;
UPDATE line SET quantity = 8;
ROLLBACK TO d;
UPDATE line SET quantity = 9;
COMMIT;
SELECT marks() AS "nested: 1 is marked again, 3 is not";
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		BEGIN
			UPDATE line SET quantity = 1000 + i;
			INSERT INTO line VALUES (1000 + i, i % 7 + 100);
			IF i % 2 = 0 THEN
				RAISE division_by_zero;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
		END;
	END LOOP;
END
$$;
SELECT marks() AS "each once, however many blocks failed";
BEGIN;
UPDATE line SET quantity = 1;
ROLLBACK;
SELECT marks() AS "rolled back";
BEGIN;
UPDATE line SET quantity = quantity + 1 WHERE id = 1;
PREPARE TRANSACTION 'marks';
UPDATE line SET quantity = quantity + 1 WHERE id = 3;
COMMIT PREPARED 'marks';
SELECT marks() AS "prepared";
TRUNCATE line;
SELECT marks();

--
-- what keeps triggers from firing
--
SET session_replication_role = replica;
INSERT INTO line VALUES (1, 1);
SELECT marks() AS "as a replica";
ALTER TABLE line ENABLE ALWAYS TRIGGER incomplete_orders_mark_901_1;
UPDATE line SET quantity = 1;
SELECT marks() AS "as a replica, always";
RESET session_replication_role;

--
-- who writes, and how
--
GRANT ALL ON line TO regress_marks_shop;
SET ROLE regress_marks_shop;
SELECT has_function_privilege('incomplete_orders._mark_cart()', 'EXECUTE') AS function, has_table_privilege('incomplete_orders.cart_marks', 'INSERT') AS marks;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE line SET quantity = 2;
COMMIT;
SET search_path = pg_catalog, marks;
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE line SET quantity = 3;
COMMIT;
SET search_path = marks, pg_catalog;
RESET ROLE;
SELECT marks() AS "without any right";
BEGIN;
INSERT INTO line VALUES (2, 2);
INSERT INTO line VALUES (2, 2);
COMMIT;
SELECT marks() AS "a statement of the shop's own that fails";
SET statement_timeout = '50ms';
INSERT INTO line SELECT i + 100, i FROM generate_series(1, 100000000) i;
RESET statement_timeout;
SELECT marks() AS "a statement that is cancelled";
CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE serialization_failure; END $$;
CREATE TRIGGER z AFTER UPDATE ON line FOR EACH ROW EXECUTE FUNCTION fails();
\set VERBOSITY sqlstate
UPDATE line SET quantity = 4;
\set VERBOSITY terse
DROP TRIGGER z ON line;
SELECT marks() AS "40001 of somebody else";

--
-- keys
--
CREATE DOMAIN cart_id AS bigint;
CREATE TYPE letter AS ENUM ('alpha', 'beta');
CREATE TABLE keys (a smallint, b bigint, c text, d varchar(40), e uuid, f numeric, g char(6), h cart_id, i letter, j name, k "char");
CALL watch('keys', 3, 'a');
CALL watch('keys', 4, 'b');
CALL watch('keys', 5, 'c');
CALL watch('keys', 6, 'd');
CALL watch('keys', 7, 'e');
CALL watch('keys', 8, 'f');
CALL watch('keys', 9, 'g');
CALL watch('keys', 10, 'h');
CALL watch('keys', 11, 'i');
CALL watch('keys', 12, 'j');
INSERT INTO keys VALUES (-5, -9223372036854775808, 'Ünï "x"', 'v', '00000000-0000-4000-8000-00000000000A', 1.50, 'abc', 9223372036854775807, 'beta', 'n');
SELECT marks();
INSERT INTO keys (c) VALUES (repeat('x', 255)), (repeat('y', 256));
SELECT replace(marks(), repeat('x', 255), '255 x') AS "too long: all carts";
INSERT INTO keys (c) VALUES (repeat('z', 1000000)), (repeat(md5('z'), 100000));
INSERT INTO keys (f) VALUES (10 ^ 300::numeric), (repeat('9', 100000)::numeric);
SELECT marks() AS "very long";
INSERT INTO keys (c) VALUES ('');
SELECT marks() AS "an empty text is no cart's";

--
-- the shop's migrations
--
ALTER TABLE cart_line RENAME cart TO basket;
INSERT INTO cart VALUES (1);
SELECT marks();
INSERT INTO cart_line VALUES (1, 1);
SELECT marks() AS "renamed";
ALTER TABLE cart_line RENAME TO basket_line;
UPDATE basket_line SET id = 2;
SELECT marks() AS "the table renamed";
ALTER TABLE basket_line ADD COLUMN cart integer DEFAULT 77;
UPDATE basket_line SET id = 3;
SELECT marks() AS "a new column of the old name";
ALTER TABLE basket_line DROP CONSTRAINT cart_line_cart_fkey;
ALTER TABLE basket_line ALTER basket TYPE text USING 'k' || basket;
SELECT marks() AS "retyped (not a write of rows)";
UPDATE basket_line SET id = 4;
SELECT marks() AS "retyped";
ALTER TABLE basket_line ALTER basket TYPE jsonb USING jsonb_build_array(basket);
UPDATE basket_line SET id = 5;
SELECT marks() AS "a type that no key has";
ALTER TABLE basket_line DROP COLUMN basket;
UPDATE basket_line SET id = 6;
SELECT marks() AS "dropped: all carts";
ALTER TABLE basket_line SET SCHEMA public;
UPDATE public.basket_line SET id = 7;
DROP TABLE public.basket_line;
SELECT marks() AS "moved";

-- in one transaction with what it changes
CREATE TABLE moving (id integer, cart integer);
CALL watch('moving', 1, 'cart');
BEGIN;
INSERT INTO moving VALUES (1, 1);
ALTER TABLE moving ALTER cart TYPE bigint;
INSERT INTO moving VALUES (2, 2);
ALTER TABLE moving DROP COLUMN cart;
INSERT INTO moving VALUES (3);
ROLLBACK;
INSERT INTO moving VALUES (4, 4);
SELECT marks() AS "migrated, rolled back";

-- after dump and restore the oid is another one, and the numbers of columns may be
CREATE TABLE restored (cart integer, id integer);
CREATE TRIGGER incomplete_orders_mark_901_1 AFTER INSERT OR UPDATE ON restored FOR EACH ROW EXECUTE FUNCTION incomplete_orders._mark_cart('901', '1', '4000000000', '2', 'cart');
CREATE TRIGGER strange AFTER INSERT ON restored FOR EACH ROW EXECUTE FUNCTION incomplete_orders._mark_cart('x', '1', '1', '2', 'cart');
CREATE TRIGGER stranger AFTER INSERT ON restored FOR EACH ROW EXECUTE FUNCTION incomplete_orders._mark_cart();
CREATE TRIGGER strangest AFTER INSERT ON restored FOR EACH ROW EXECUTE FUNCTION incomplete_orders._mark_cart('99999999999', '1', '1', '2', 'cart');
INSERT INTO restored VALUES (1, 50);
SELECT marks() AS "found by its name";
ALTER TABLE restored RENAME cart TO basket;
UPDATE restored SET id = 51;
SELECT marks() AS "not found: all carts";

--
-- partitions
--
CREATE TABLE parted (id integer, cart integer, at date) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE parted_2 (at date, gone text, cart integer, id integer);
ALTER TABLE parted_2 DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CALL watch('parted', 1, 'cart');
INSERT INTO parted VALUES (1, 11, '2026-01-05'), (2, 12, '2026-02-05');
SELECT marks() AS "other numbers of columns";
CREATE TABLE parted_3 (cart integer, at date, id integer);
INSERT INTO parted_3 VALUES (13, '2026-03-05', 3);
ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
SELECT marks() AS "attached";
UPDATE parted SET id = id + 10;
SELECT marks();
UPDATE parted SET at = '2026-03-06' WHERE cart = 11;
SELECT marks() AS "moved to another partition";
UPDATE parted_3 SET cart = 14 WHERE cart = 13;
SELECT marks() AS "written directly";
ALTER TABLE parted RENAME cart TO basket;
ALTER TABLE parted ADD COLUMN cart integer;
UPDATE parted SET id = id + 10;
SELECT marks() AS "renamed";
CREATE TABLE parted_4 PARTITION OF parted FOR VALUES FROM ('2026-04-01') TO ('2026-06-01') PARTITION BY RANGE (at);
CREATE TABLE parted_4_1 (cart integer, at date, id integer, basket integer);
ALTER TABLE parted_4 ATTACH PARTITION parted_4_1 FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
INSERT INTO parted (id, basket, at) VALUES (4, 15, '2026-04-05');
SELECT marks() AS "partition of a partition";
TRUNCATE parted;
SELECT marks() AS "TRUNCATE";
ALTER TABLE parted DETACH PARTITION parted_2;
INSERT INTO parted_2 VALUES ('2026-02-05', 12, 2);
SELECT marks() AS "detached: its trigger is gone";

--
-- without our tables
--
BEGIN;
ALTER TABLE incomplete_orders.cart_marks_0 RENAME TO away_0;
ALTER TABLE incomplete_orders.cart_marks_1 RENAME TO away_1;
ALTER TABLE incomplete_orders.cart_marks_2 RENAME TO away_2;
ALTER TABLE incomplete_orders.cart_marks_3 RENAME TO away_3;
INSERT INTO moving VALUES (5, 5);
ROLLBACK;
BEGIN;
ALTER TABLE incomplete_orders.cart_marks DROP COLUMN attachment;
INSERT INTO moving VALUES (5, 5);
ROLLBACK;
BEGIN;
ALTER TABLE incomplete_orders.cart_marks DROP COLUMN marked_at, ADD COLUMN marked_at integer;
INSERT INTO moving VALUES (5, 5);
ROLLBACK;
SELECT marks() AS "nowhere to write to";
BEGIN;
INSERT INTO moving VALUES (6, 6);
ROLLBACK;
BEGIN;
SAVEPOINT a;
INSERT INTO moving VALUES (6, 6);
ROLLBACK TO a;
COMMIT;
SELECT marks() AS "nothing was committed";
INSERT INTO moving VALUES (6, 6);
SELECT marks() AS "what was missed is made up for";
INSERT INTO moving VALUES (6, 6);
SELECT marks() AS "once";
-- somebody's index and column
BEGIN;
ALTER TABLE incomplete_orders.cart_marks ADD COLUMN host text;
CREATE INDEX ON incomplete_orders.cart_marks (key);
INSERT INTO moving SELECT 7, 100 + i FROM generate_series(1, 20) i;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT count(*) FROM incomplete_orders.cart_marks WHERE key = '110';
ROLLBACK;
SELECT marks() AS "rolled back";

--
-- the way to due_carts
--
CALL drain();
SELECT due();
INSERT INTO moving VALUES (7, 7), (8, 8);
CALL drain();
SELECT due() AS "once";
CALL drain();
SELECT due() AS "not again";
BEGIN;
INSERT INTO moving VALUES (9, 9);
SAVEPOINT a;
INSERT INTO moving VALUES (10, 10);
CALL drain();
INSERT INTO moving VALUES (11, 11);
CALL drain();
COMMIT;
CALL drain();
SELECT due() AS "a transaction that ticks itself";
CALL drain();
SELECT due() AS "it may repeat its own marks, but once";
CALL drain();
SELECT due() AS "no more";
TRUNCATE moving;
INSERT INTO moving VALUES (12, 12);
CALL drain();
SELECT due() AS "everything";
DELETE FROM incomplete_orders.attached_tables WHERE attachment = 902;
CALL watch('moving', 4, 'cart', 902);
INSERT INTO moving VALUES (13, 13);
CALL drain();
SELECT due() AS "902 is attached no more";
DROP TRIGGER incomplete_orders_mark_902_4 ON moving;

-- the instants
INSERT INTO incomplete_orders.due_carts VALUES (901, 0, '14', now() - interval '1 hour', now() - interval '1 hour'), (901, 0, '15', 'infinity', 'infinity');
INSERT INTO moving VALUES (14, 14), (15, 15);
CALL drain();
SELECT key, first_marked_at < now() - interval '50 minutes' AS first_kept, marked_at BETWEEN now() - interval '5 minutes' AND clock_timestamp() AS moved,
	first_marked_at <= clock_timestamp() AS not_later, marked_at = 'infinity' AS last_kept
FROM incomplete_orders.due_carts WHERE attachment = 901 ORDER BY key;
SELECT due();

-- another cluster, another database, a snapshot of long ago: all is read again
UPDATE incomplete_orders.cart_mark_progress SET cluster_id = 1;
CALL drain();
SELECT due() LIKE '%0:14 0:15%' AS again;
UPDATE incomplete_orders.cart_mark_progress SET database_oid = 1;
CALL drain();
SELECT due() LIKE '%0:14 0:15%' AS again;
CALL drain();
SELECT due();

-- what a snapshot saw: the row's transaction and the one that it names
SELECT t.i, t.top, incomplete_orders._is_fresh_mark(t.i::text::xid, t.top::text::xid8, '100:200:150,160', '170') AS fresh
FROM (VALUES (90, 90), (120, 120), (150, 150), (155, 150), (150, 120), (200, 120), (120, 200), (170, 170), (172, 170)) t (i, top);
SELECT incomplete_orders._is_fresh_mark('90', '90', NULL, '1') AS no_snapshot,
	incomplete_orders._is_fresh_mark('90', '9000000000000000000', '100:200:', '1') AS of_another_server;

-- Emptied when it has come to rest. No mark is written to that partition now.
SELECT (extract(epoch FROM now())::bigint / 60 + 2) % 4 AS s \gset
INSERT INTO incomplete_orders.cart_marks SELECT pg_current_xact_id(), now(), 901, 0, :s, 'k' || i FROM generate_series(1, 3) i;
CREATE FUNCTION size(segment integer) RETURNS bigint LANGUAGE sql AS $$ SELECT pg_relation_size('incomplete_orders.cart_marks_' || segment) $$;
SELECT incomplete_orders._tick_marks(:s, true), size(:s) > 0 AS "not at once", due();
SELECT incomplete_orders._tick_marks(:s, true), size(:s) > 0 AS "not within a minute", due();
UPDATE incomplete_orders.cart_mark_progress SET drained_at = now() - interval '61 seconds';
SELECT incomplete_orders._tick_marks(:s, false), size(:s) > 0 AS "not where it cannot commit";
SELECT incomplete_orders._tick_marks(:s, true), size(:s) AS "then", due();
INSERT INTO incomplete_orders.cart_marks SELECT pg_current_xact_id(), now(), 901, 0, :s, 'k' || i FROM generate_series(4, 6) i;
SELECT incomplete_orders._tick_marks(:s, true), size(:s) > 0 AS "new ones stay", due();
SELECT incomplete_orders._tick_marks(4, true);
SELECT incomplete_orders._tick_marks(-1, true);

SELECT incomplete_orders._mark_cart();
CREATE TRIGGER before BEFORE INSERT ON moving FOR EACH ROW EXECUTE FUNCTION incomplete_orders._mark_cart('901', '1', '1', '1', 'cart');
INSERT INTO moving VALUES (1, 1);

DELETE FROM incomplete_orders.attached_tables WHERE attachment = 901;
TRUNCATE incomplete_orders.cart_marks;
DELETE FROM incomplete_orders.cart_mark_progress;
SET client_min_messages = warning;
DROP SCHEMA marks CASCADE;
DROP ROLE regress_marks_shop;

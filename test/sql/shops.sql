-- Shops: made, exported, never lost by accident, deleted whole.
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('sh-a', 'Shop A', 'EUR', 'Europe/Berlin') AS a \gset
SELECT incomplete_orders.create_shop('sh_b', 'Shop B') AS b \gset
SELECT :b - :a AS one_after_the_other;
SELECT shop, name, currency, time_zone FROM incomplete_orders.shops WHERE shop IN ('sh-a', 'sh_b') ORDER BY shop;

-- Refused, and the sequence of ids is all that moved.
SELECT incomplete_orders.create_shop('sh-a', 'again');
\echo :LAST_ERROR_SQLSTATE
SELECT shop, incomplete_orders.create_shop(shop, 'x') FROM (VALUES ('*')) v (shop);
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.create_shop('', 'x');
SELECT incomplete_orders.create_shop(repeat('x', 64), 'x');
SELECT incomplete_orders.create_shop(E'sh\n', 'x');
SELECT incomplete_orders.create_shop('sh-c', '');
SELECT incomplete_orders.create_shop('sh-c', 'C', 'euro');
SELECT incomplete_orders.create_shop('sh-c', 'C', 'EUR', 'CET+1');
SELECT incomplete_orders.create_shop(NULL, 'C');
SELECT count(*) FROM incomplete_orders.shops WHERE shop LIKE 'sh%';
INSERT INTO incomplete_orders.shops (shop_id, shop, name) VALUES (0, 'sh-c', 'C');
INSERT INTO incomplete_orders.shops (shop_id, shop, name) VALUES (-1, 'sh-c', 'C');
UPDATE incomplete_orders.shops SET shop_id = shop_id + 1000 WHERE shop = 'sh-a';
-- A key of 63 bytes is found through the cache, too.
SELECT incomplete_orders.create_shop(repeat('z', 63), 'long') > 0 AS made;
SELECT incomplete_orders.shop_settings(repeat('z', 63)) ->> 'name' AS name;
SELECT object FROM incomplete_orders.delete_shop(repeat('z', 63), false) WHERE object LIKE '%shops';

-- Both shops get the same carts, and one order each.
SELECT incomplete_orders.capture_cart('sh-1', '[{"sku":"A","quantity":2,"unit_price":"19.90"}]', email => 'sh@example.com', shop => s) IS NOT NULL AS captured
FROM unnest(ARRAY['sh-a', 'sh_b']) s;
SELECT incomplete_orders.capture_cart('sh-2', '[{"sku":"B","quantity":1,"unit_price":"5"}]', shop => s) IS NOT NULL AS captured
FROM unnest(ARRAY['sh-a', 'sh_b']) s;
SELECT c.part, c.total, c.currency FROM incomplete_orders.open_orders o, incomplete_orders.convert_order(o.id) c
WHERE o.shop_id IN (:a, :b) AND o.session_id = 'sh-2' ORDER BY o.shop_id;

-- Everything of the shop and nothing of the other is in the export: as many
-- rows as the tables have, and each table of setup() is looked at.
CREATE TEMP TABLE export AS SELECT e ->> 'table' AS name, e -> 'row' AS row FROM incomplete_orders.export_shop('sh-a') e;
SELECT name, count(*) FROM export GROUP BY name ORDER BY name COLLATE "C";
SELECT count(*) AS of_another_shop FROM export WHERE row ->> 'shop_id' <> :a::text;
SELECT row -> 'session_id' AS session, row -> 'items' AS items, row -> 'currency' AS currency FROM export WHERE name = 'open_orders';
SELECT c.relname, r.kind
FROM pg_class c FULL JOIN incomplete_orders._relations() r ON r.relation = c.relname
WHERE (c.oid IS NULL OR c.relnamespace = 'incomplete_orders'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i' AND d.classid = 'pg_class'::regclass))
	AND (c.oid IS NULL OR r.relation IS NULL OR r.kind <> CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END
		OR r.by_shop <> EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'shop_id' AND c.relkind <> 'v'));
-- The export of one instant does not depend on settings of the session.
SELECT md5(string_agg(e::text, '' ORDER BY e::text)) AS before FROM incomplete_orders.export_shop('sh-a') e \gset
SET intervalstyle = 'sql_standard';
SET timezone = 'Asia/Tokyo';
SET datestyle = 'German';
SELECT md5(string_agg(e::text, '' ORDER BY e::text)) = :'before' AS the_same FROM incomplete_orders.export_shop('sh-a') e;
RESET intervalstyle;
RESET timezone;
RESET datestyle;

-- A shop in use stays, with its rows, whoever deletes.
DELETE FROM incomplete_orders.shops WHERE shop = 'sh-a';
\echo :LAST_ERROR_SQLSTATE
TRUNCATE incomplete_orders.shops;
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM incomplete_orders.delete_shop('default', false);
\echo :LAST_ERROR_SQLSTATE
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM incomplete_orders.delete_shop('sh-a', false);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- No row of a shop that is not there.
INSERT INTO incomplete_orders.open_orders (shop_id, id, reference, currency, expires_at, next_action_at, root_id, items)
SELECT 2000000000, i, 'INC-0000000000', 'EUR', 'infinity', 'infinity', i, '[]'
FROM (VALUES ('01900000-0000-7000-8000-000077359400'::uuid)) v (i);
\echo :LAST_ERROR_SQLSTATE

-- dry_run, the default, says what the real run then does, and does nothing.
CREATE TEMP TABLE planned AS SELECT * FROM incomplete_orders.delete_shop('sh-a');
SELECT * FROM planned;
SELECT count(*) FROM incomplete_orders.delete_shop('sh-a', NULL);
SELECT count(*) FROM incomplete_orders.open_orders WHERE shop_id = :a;
CREATE TEMP TABLE other AS SELECT e FROM incomplete_orders.export_shop('sh_b') e;
CREATE TEMP TABLE done AS SELECT * FROM incomplete_orders.delete_shop('sh-a', false);
TABLE planned EXCEPT TABLE done;
SELECT * FROM incomplete_orders.export_shop('sh-a');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.capture_cart('sh-1', '[]', shop => 'sh-a');
\echo :LAST_ERROR_SQLSTATE
TABLE other EXCEPT SELECT e FROM incomplete_orders.export_shop('sh_b') e;
SELECT count(*) AS deleted FROM incomplete_orders.delete_shop('sh_b', false);
-- An empty shop may simply be deleted.
SELECT incomplete_orders.create_shop('sh-a', 'A') > :b AS a_new_id;
DELETE FROM incomplete_orders.shops WHERE shop = 'sh-a';

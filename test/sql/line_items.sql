-- The type line_items: input and output, refusals, merge, canonical form,
-- casts, operators, total, item_count, unnest, diff.
SET search_path = incomplete_orders;
\pset null (null)

-- Canonical form: known keys in order, then extras sorted; no white space;
-- prices as strings without trailing zeros; filled only if it is not 0.
SELECT '[{"z": {"b": [1, 2.50, null, true], "a": "x"}, "url": "https://e.x/p/1", "image_url": "https://e.x/i.jpg",
	"variant": "M / blue", "product_id": "p-7", "filled": 1, "unit_price": "19.90", "quantity": 2,
	"name": "Blue shirt", "sku": "A-1", "colour": "blue"}]'::line_items;
-- Aliases, numbers as strings and the other way round, null for absent.
SELECT '[{"product_sku": 1234, "product_name": "Cup", "variant_name": 7, "qty": "3", "price": 5.00,
	"product_id": 42, "filled": 0, "url": null, "image_url": null}]'::line_items;
SELECT '[{"sku":"a","name":null,"quantity":1,"unit_price":0,"filled":null,"product_id":null,"variant":null,"x":null}]'::line_items;
SELECT '[]'::line_items, ' [ ] '::line_items, E'\n[\t{ "sku" : "a" ,\r\n"qty" : 1 , "price" : 1 } ]\n'::line_items;
-- An empty text is not an absent one.
SELECT '[{"sku":"a","qty":1,"price":1,"name":"","url":""}]'::line_items;

-- Prices: however they are written.
SELECT written, (u).unit_price
FROM unnest(ARRAY['0', '-0', '0.000000', '0e999999999', '"-0.00"', '1', '1.0', '"1.10"', '"007.50"', '1.5e1', '15e-1', '1E+2', '0.000001',
	'1e-6', '10e-7', '0.0000010000000000', '999999999999.999999', '"999999999999.999999"', '9e11', '123456.789', '1.000000e3',
	'0.00000000000000000001e20', '100000000000000000000e-20']) AS written,
	LATERAL (SELECT u FROM unnest(format('[{"sku":"a","qty":1,"price":%s}]', written)::line_items) u) x;

-- Texts: escapes, surrogate pairs, the slash that PHP escapes.
SELECT '[{"sku":"\u0041\/\"\\\b\f\n\r\t\u00e9\u20ac\ud83d\ude00","qty":1,"price":1,"n\u0061me":"\u001f","\u0065xtra":"\/\u0001"}]'::line_items;
SELECT sku = E'A/"\\\b\f\n\r\té€😀' AS decoded FROM unnest('[{"sku":"\u0041\/\"\\\b\f\n\r\t\u00e9\u20ac\ud83d\ude00","qty":1,"price":1}]'::line_items);
-- Numbers in extras stay as they were written, objects in them are sorted.
SELECT '[{"sku":"a","qty":1,"price":1,"n":[1.0,-0,1E5,1e-400,0.10],"o":{"b":1,"a":{"d":{},"c":[]},"":"\u0022"}}]'::line_items;

-- Lines equal but for quantity and filled merge, the others stay in order.
SELECT '[{"sku":"a","qty":1,"price":"1.50"},{"sku":"b","qty":1,"price":1},{"price":1.5,"sku":"\u0061","qty":2,"filled":1},
	{"sku":"a","qty":5,"price":1.51},{"sku":"b","qty":4,"price":1,"filled":4}]'::line_items;
SELECT '[{"sku":"a","qty":1,"price":1,"k":{"x":1,"y":2}},{"sku":"a","qty":1,"price":1,"k":{"y":2, "x":1}},
	{"sku":"a","qty":1,"price":1,"url":"u"},{"sku":"a","qty":1,"price":1,"image_url":"u"},{"sku":"a","qty":1,"price":1,"variant":"u"}]'::line_items;
SELECT '[{"sku":"a","qty":1,"price":1,"image_url":"ab","url":"c"},{"sku":"a","qty":1,"price":1,"image_url":"a","url":"bc"},
	{"sku":"a","qty":1,"price":1,"image_url":"ab"},{"sku":"a","qty":1,"price":1,"url":"ab"}]'::line_items;
SELECT '[{"sku":"a","qty":999999,"price":1},{"sku":"a","qty":1,"price":1}]'::line_items;

-- Refusals.  They name line and key, never what was given, and all have 22023.
CREATE FUNCTION pg_temp.refused(items text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
BEGIN
	RETURN 'accepted: ' || left(items::incomplete_orders.line_items::text, 60);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', state, message, '/' || nullif(detail, ''));
END
$$;
CREATE TEMP TABLE bad (n serial, items text);
INSERT INTO bad (items) VALUES
	-- not an array of objects
	(''), (' '), ('{}'), ('null'), ('1'), ('"a"'), ('true'), ('x'), ('[null]'), ('[1]'), ('[[]]'), ('["a"]'), ('[{}]'),
	('[{"sku":"a","qty":1,"price":1},null]'),
	-- malformed JSON
	('['), (']'), ('[{'), ('[}'), ('[,]'), ('[{]'), ('[{"sku"]'), ('[{"sku":}]'), ('[{"sku" "a"}]'), ('[{"sku"="a"}]'),
	('[{sku:"a","qty":1,"price":1}]'), ('[{''sku'':"a"}]'), ('[{"sku":"a",}]'), ('[{,"sku":"a"}]'), ('[{"sku":"a" "qty":1}]'),
	('[{"sku":"a","qty":1,"price":1}'), ('[{"sku":"a","qty":1,"price":1},]'), ('[{"sku":"a","qty":1,"price":1}{}]'),
	('[{"sku":"a","qty":1,"price":1}] x'), ('[{"sku":"a","qty":1,"price":1}][]'), ('[]]'), ('[],'),
	('[{"sku":"a'), ('[{"sku":"a\'), ('[{"sku":"a\"}]'), (E'[{"sku":"a\nb","qty":1,"price":1}]'), (E'[{"sku":"a\tb","qty":1,"price":1}]'),
	('[{"sku":"\x","qty":1,"price":1}]'), ('[{"sku":"\u12","qty":1,"price":1}]'), ('[{"sku":"\u00g0","qty":1,"price":1}]'),
	('[{"sku":"\u0000","qty":1,"price":1}]'), ('[{"sku":"\ud83d","qty":1,"price":1}]'), ('[{"sku":"\ude00","qty":1,"price":1}]'),
	('[{"sku":"\ud83d\u0041","qty":1,"price":1}]'), ('[{"sku":"\ud83dx","qty":1,"price":1}]'), ('[{"sku":"\ud83d\ud83d","qty":1,"price":1}]'),
	('[{"\u0000":1}]'), ('[{"x":"\u0000"}]'), ('[{"x":["\ud800"]}]'), ('[{"x":{"\udc00":1}}]'),
	('[{"sku":tru}]'), ('[{"sku":nul}]'), ('[{"qty":01}]'), ('[{"qty":1.}]'), ('[{"qty":.5}]'), ('[{"qty":+1}]'), ('[{"qty":1e}]'),
	('[{"qty":--1}]'), ('[{"qty":0x10}]'), ('[{"price":NaN}]'), ('[{"price":Infinity}]'), ('[{"price":-Infinity}]'), ('[{"x":[1,]}]'), ('[{"x":[,1]}]'), ('[{"x":[1 2]}]'),
	('[{"x":{"a"}}]'), ('[{"x":{"a":1,}}]'), ('[{"x":{1:1}}]'), ('[{"x":{"a":1 "b":2}}]'), ('[{"x":[}]'), ('[{"x":{]}]'),
	('/* c */ []'), ('[] // c'),
	-- missing, null and duplicate keys
	('[{"qty":1,"price":1}]'), ('[{"sku":"a","price":1}]'), ('[{"sku":"a","qty":1}]'),
	('[{"sku":"a","qty":1,"price":1},{"sku":"b","qty":1}]'),
	('[{"sku":null,"qty":1,"price":1}]'), ('[{"sku":"a","qty":null,"price":1}]'), ('[{"sku":"a","qty":1,"price":null}]'),
	('[{"sku":"a","sku":"a","qty":1,"price":1}]'), ('[{"sku":"a","product_sku":"a","qty":1,"price":1}]'),
	('[{"sku":"a","qty":1,"quantity":1,"price":1}]'), ('[{"sku":"a","qty":1,"price":1,"unit_price":1}]'),
	('[{"sku":"a","qty":1,"price":1,"name":"x","product_name":null}]'), ('[{"sku":"a","qty":1,"price":1,"variant":"x","variant_name":"x"}]'),
	('[{"sku":"a","qty":1,"price":1,"x":1,"x":1}]'), ('[{"sku":"a","qty":1,"price":1,"x":1,"\u0078":2}]'),
	('[{"sku":"a","qty":1,"price":1,"x":{"k":1,"j":2,"k":1}}]'), ('[{"sku":"a","qty":1,"price":1,"s\u006bu":"b"}]'),
	-- sku
	('[{"sku":"","qty":1,"price":1}]'), ('[{"sku":true,"qty":1,"price":1}]'), ('[{"sku":[],"qty":1,"price":1}]'), ('[{"sku":{"a":1},"qty":1,"price":1}]'),
	('[{"sku":"' || repeat('x', 129) || '","qty":1,"price":1}]'), ('[{"sku":"' || repeat('é', 65) || '","qty":1,"price":1}]'),
	-- quantity
	('[{"sku":"a","qty":0,"price":1}]'), ('[{"sku":"a","qty":-1,"price":1}]'), ('[{"sku":"a","qty":-0,"price":1}]'), ('[{"sku":"a","qty":1.5,"price":1}]'), ('[{"sku":"a","qty":2.0,"price":1}]'),
	('[{"sku":"a","qty":1e1,"price":1}]'), ('[{"sku":"a","qty":1000001,"price":1}]'), ('[{"sku":"a","qty":99999999999999999999,"price":1}]'),
	('[{"sku":"a","qty":"","price":1}]'), ('[{"sku":"a","qty":" 1","price":1}]'), ('[{"sku":"a","qty":"1 ","price":1}]'), ('[{"sku":"a","qty":"+1","price":1}]'), ('[{"sku":"a","qty":"one","price":1}]'), ('[{"sku":"a","qty":"1\u0030x","price":1}]'),
	('[{"sku":"a","qty":true,"price":1}]'), ('[{"sku":"a","qty":[1],"price":1}]'),
	('[{"sku":"a","qty":999999,"price":1},{"sku":"a","qty":2,"price":1}]'),
	-- unit_price
	('[{"sku":"a","qty":1,"price":-1}]'), ('[{"sku":"a","qty":1,"price":"-0.000001"}]'), ('[{"sku":"a","qty":1,"price":0.0000001}]'), ('[{"sku":"a","qty":1,"price":1.0000001}]'),
	('[{"sku":"a","qty":1,"price":1000000000000}]'), ('[{"sku":"a","qty":1,"price":1e12}]'), ('[{"sku":"a","qty":1,"price":1e131071}]'), ('[{"sku":"a","qty":1,"price":1e-131071}]'),
	('[{"sku":"a","qty":1,"price":1e99999999999999999999}]'), ('[{"sku":"a","qty":1,"price":1e-99999999999999999999}]'), ('[{"sku":"a","qty":1,"price":1' || repeat('0', 100000) || '}]'), ('[{"sku":"a","qty":1,"price":0.' || repeat('0', 100000) || '1}]'),
	('[{"sku":"a","qty":1,"price":"NaN"}]'), ('[{"sku":"a","qty":1,"price":"Infinity"}]'), ('[{"sku":"a","qty":1,"price":""}]'), ('[{"sku":"a","qty":1,"price":"."}]'), ('[{"sku":"a","qty":1,"price":"1."}]'), ('[{"sku":"a","qty":1,"price":".5"}]'),
	('[{"sku":"a","qty":1,"price":"1.2.3"}]'), ('[{"sku":"a","qty":1,"price":"1e"}]'), ('[{"sku":"a","qty":1,"price":"1e+"}]'), ('[{"sku":"a","qty":1,"price":"1e1x"}]'), ('[{"sku":"a","qty":1,"price":"1,50"}]'), ('[{"sku":"a","qty":1,"price":"$1"}]'), ('[{"sku":"a","qty":1,"price":" 1"}]'),
	('[{"sku":"a","qty":1,"price":"--1"}]'), ('[{"sku":"a","qty":1,"price":"-"}]'), ('[{"sku":"a","qty":1,"price":false}]'), ('[{"sku":"a","qty":1,"price":{"amount":1}}]'),
	-- filled
	('[{"sku":"a","qty":1,"price":1,"filled":2}]'), ('[{"filled":2,"sku":"a","qty":1,"price":1}]'), ('[{"sku":"a","qty":1,"price":1,"filled":-1}]'), ('[{"sku":"a","qty":1,"price":1,"filled":0.5}]'), ('[{"sku":"a","qty":1,"price":1,"filled":true}]'),
	-- texts
	('[{"sku":"a","qty":1,"price":1,"name":5}]'), ('[{"sku":"a","qty":1,"price":1,"name":["x"]}]'), ('[{"sku":"a","qty":1,"price":1,"url":1}]'), ('[{"sku":"a","qty":1,"price":1,"image_url":{}}]'), ('[{"sku":"a","qty":1,"price":1,"product_id":false}]'), ('[{"sku":"a","qty":1,"price":1,"variant":[]}]'),
	('[{"sku":"a","qty":1,"price":1,"name":"' || repeat('x', 1001) || '"}]'), ('[{"sku":"a","qty":1,"price":1,"product_id":"' || repeat('x', 256) || '"}]'), ('[{"sku":"a","qty":1,"price":1,"variant":"' || repeat('x', 256) || '"}]'),
	('[{"sku":"a","qty":1,"price":1,"url":"' || repeat('x', 2049) || '"}]'), ('[{"sku":"a","qty":1,"price":1,"image_url":"' || repeat('x', 2049) || '"}]'),
	-- extras
	('[{"sku":"a","qty":1,"price":1,"x":1e401}]'), ('[{"sku":"a","qty":1,"price":1,"x":[1e-401]}]'), ('[{"sku":"a","qty":1,"price":1,"x":' || repeat('9', 1001) || '}]'),
	('[{"sku":"a","qty":1,"price":1,"x":' || repeat('[', 33) || repeat(']', 33) || '}]'), ('[{"sku":"a","qty":1,"price":1,"x":' || repeat('[', 100000)), ('[{"sku":"a","qty":1,"price":1,"x":' || repeat('{"a":', 40000)), (repeat('[', 200000)),
	-- sizes and sums
	('[{"sku":"a","qty":1,"price":1,"x":"' || repeat('x', 262144) || '"}]'), (repeat(' ', 262143) || '[]'),
	('[' || repeat('{"sku":"a","qty":1,"price":1},', 1000) || '{"sku":"a","qty":1,"price":1}]'),
	('[{"sku":"a","qty":1000000,"price":9223372.036855}]'), ('[{"sku":"a","qty":1000000,"price":999999999999}]'),
	('[{"sku":"a","qty":1,"price":999999999999},{"sku":"b","qty":1000000,"price":9000000},{"sku":"c","qty":1,"price":1}]');
SELECT n, CASE WHEN length(items) > 70 THEN left(items, 60) || '...' ELSE items END AS items, pg_temp.refused(items) FROM bad ORDER BY n;

-- What is just inside the bounds.
SELECT left(pg_temp.refused(items), 100) FROM (VALUES
	('[{"sku":"' || repeat('x', 128) || '","qty":1,"price":1}]'),
	('[{"sku":"a","qty":1000000,"price":9223372.036854}]'),
	('[{"sku":"a","qty":1,"price":1,"name":"' || repeat('x', 1000) || '"}]'),
	('[{"sku":"a","qty":1,"price":1,"url":"' || repeat('x', 2048) || '"}]'),
	('[{"sku":"a","qty":1,"price":1,"x":' || repeat('[', 32) || repeat(']', 32) || '}]'),
	(repeat(' ', 262142) || '[]')) v(items);
SELECT item_count(items), total(items), length(items::text)
FROM (SELECT ('[' || string_agg(format('{"sku":"%s","qty":1000000,"price":0.01}', i), ',') || ']')::line_items AS items FROM generate_series(1, 1000) i) x;
-- Whatever was accepted can be restored from a dump: the limit holds for the
-- canonical form too, which is longer here (qty, price).
SELECT length(items) <= 262144 AS input_fits, pg_temp.refused(items)
FROM (SELECT '[' || string_agg(format('{"sku":"%s","qty":1,"price":1,"x":"%s"}', i, repeat('x', 220)), ',') || ']' AS items FROM generate_series(1, 1000) i) x;

-- Casts
SELECT '[{"sku":"a","qty":1,"price":1.50}]'::jsonb::line_items, '[{"sku":"a","qty":1,"price":1.50}]'::json::line_items, '[{"sku":"a","qty":1,"price":1.50}]'::text::line_items;
SELECT '[{"sku":"a","qty":1,"price":"1.50","x":{"y":"\""}}]'::line_items::jsonb, '[]'::line_items::text;
-- A jsonb that is no array, and one whose text would be 4 GB.
CREATE FUNCTION pg_temp.refused_jsonb(items jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN 'accepted: ' || left(items::incomplete_orders.line_items::text, 60);
EXCEPTION WHEN OTHERS THEN
	RETURN concat_ws(' ', SQLSTATE, SQLERRM);
END
$$;
SELECT pg_temp.refused_jsonb(j::jsonb) FROM (VALUES ('{}'), ('1'), ('"a"'), ('null'), ('true'), ('[1]'), ('[{"sku":"a"}]'), ('[{"sku":"a","qty":1,"price":1,"x":[]}]'),
	('[{"sku":"a\u0001\"","qty":1,"price":1,"x":[{},[],[[1]],{"a":{"c":null,"b":[true,false,"x"]}},1.50],"y":{}}]'),
	('[' || repeat('1e131071,', 30000) || '1]')) v(j);
CREATE TEMP TABLE carts (id integer PRIMARY KEY, items line_items NOT NULL);
INSERT INTO carts VALUES (1, '[{"sku":"a","qty":1,"price":1}]'::jsonb);
INSERT INTO carts VALUES (2, '[{"sku":"b","qty":1,"price":1}]'::json);
INSERT INTO carts VALUES (3, '[{"sku":"c","qty":1,"price":1}]'::text);
INSERT INTO carts SELECT 4, jsonb_build_array(jsonb_build_object('sku', 'd', 'quantity', 2, 'unit_price', 0.10));
CREATE TEMP TABLE other (j jsonb, t text);
INSERT INTO other SELECT items, items FROM carts;
SELECT * FROM other ORDER BY t;
SELECT total('[{"sku":"a","qty":2,"price":1.25}]'::jsonb) AS jsonb_is_implicit;
SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod FROM pg_cast WHERE 'line_items'::regtype IN (castsource, casttarget) ORDER BY 1, 2;

-- Order, hash, DISTINCT, joins, indexes
SELECT '[{"sku":"a","qty":1,"price":"1.0"}]'::line_items = '[{"price":1,"qty":1,"sku":"a"}]' AS eq,
	'[{"sku":"a","qty":1,"price":1}]'::line_items <> '[{"sku":"a","qty":2,"price":1}]' AS ne,
	'[]'::line_items = '[]' AS eq_empty, '[]'::line_items <> '[]' AS ne_empty;
SELECT count(*) AS pairs,
	count(*) FILTER (WHERE ((a < b)::int + (a = b)::int + (a > b)::int) = 1 AND (a <= b) = NOT (a > b) AND (a >= b) = NOT (a < b)
		AND (a <> b) = NOT (a = b) AND (a < b) = (b > a)) AS consistent
FROM (SELECT items AS a FROM carts) x, (SELECT items AS b FROM carts) y;
INSERT INTO carts SELECT i, format('[{"sku":"s%s","qty":1,"price":1,"url":"https://e.x/%s"}]', i % 50, i % 50) FROM generate_series(5, 204) i;
SELECT count(DISTINCT items) FROM carts;
SELECT count(*) FROM (SELECT items FROM carts GROUP BY items) x;
CREATE INDEX carts_btree ON carts USING btree (items);
CREATE INDEX carts_hash ON carts USING hash (items);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM carts ORDER BY items LIMIT 1;
SELECT count(*) FROM carts WHERE items = '[{"sku":"s7","qty":1,"price":1,"url":"https://e.x/7"}]';
DROP INDEX carts_btree;
SELECT count(*) FROM carts WHERE items = '[{"sku":"s7","qty":1,"price":1,"url":"https://e.x/7"}]';
RESET enable_seqscan;
RESET enable_bitmapscan;
SET enable_nestloop = off;
SET enable_mergejoin = off;
SELECT count(*) FROM carts a JOIN carts b USING (items);
SET enable_hashjoin = off;
SET enable_mergejoin = on;
SELECT count(*) FROM carts a JOIN carts b USING (items);
RESET enable_nestloop;
RESET enable_hashjoin;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'line_items_ops';

-- Stored out of line and compressed, with short and long headers, and by composites.
CREATE TEMP TABLE big (items line_items);
INSERT INTO big SELECT ('[' || string_agg(format('{"sku":"%s","qty":%s,"price":0.01,"name":"%s"}', i, i, md5(i::text)), ',') || ']')::line_items FROM generate_series(1, 1000) i;
INSERT INTO big VALUES ('[]'), ('[{"sku":"a","qty":1,"price":1}]');
SELECT item_count(items), total(items), (SELECT sum(quantity) FROM unnest(items)), (SELECT count(*) FROM unnest(items)), items = items::text::line_items AS same FROM big;
SELECT count(*) FROM big a JOIN big b ON a.items = b.items;

-- total, item_count
SELECT total('[{"sku":"a","qty":3,"price":"19.99"},{"sku":"b","qty":1,"price":"0.000001"}]'), item_count('[{"sku":"a","qty":3,"price":"19.99"},{"sku":"b","qty":1,"price":"0.000001"}]');
SELECT total('[]'), item_count('[]'), total(NULL), item_count(NULL);
SELECT total('[{"sku":"a","qty":1000000,"price":"9223372.036854"}]');

-- unnest
SELECT * FROM unnest('[{"sku":"a","qty":2,"price":"1.50","name":"n","filled":1,"product_id":7,"variant":"v","image_url":"https://e.x/i","url":"https://e.x/u","k":1},
	{"sku":"b","qty":1,"price":0},
	{"sku":"c","qty":1,"price":100,"image_url":"https://e.x/image","url":"https://e.x/u"},
	{"sku":"d","qty":1,"price":1,"image_url":"","url":"https"},
	{"sku":"e","qty":1,"price":1,"image_url":"https://e.x/i","url":"https://e.x/é"},
	{"sku":"f","qty":1,"price":1,"image_url":"https://e.x/i","url":"https://e.x/è"}]'::line_items);
SELECT * FROM unnest('[]'::line_items);
SELECT * FROM unnest(NULL::line_items);
SELECT id, u.line, u.sku FROM carts, unnest(items) u WHERE id < 4 ORDER BY id;
SELECT id, (unnest(items)).sku FROM carts WHERE id < 4 ORDER BY id;

-- diff
SELECT diff('[]', '[]'), diff('[{"sku":"a","qty":1,"price":1}]', '[{"sku":"a","qty":1,"price":1.0}]');
SELECT jsonb_array_elements(diff(
	'[{"sku":"a","qty":1,"price":1},{"sku":"b","qty":1,"price":1},{"sku":"c","qty":5,"price":2.50,"filled":1},{"sku":"d","variant":"M","qty":1,"price":1},{"sku":"d","variant":"L","qty":1,"price":1}]',
	'[{"sku":"d","variant":"L","qty":1,"price":1},{"sku":"c","qty":4,"price":"2.49","filled":2},{"sku":"a","qty":1,"price":1},{"sku":"d","variant":"M","qty":2,"price":1},{"sku":"e","qty":1,"price":9,"filled":1}]'));
SELECT jsonb_array_elements(diff(
	'[{"sku":"a","qty":1,"price":1,"name":"x","url":"u","x":1},{"sku":"b","qty":1,"price":1}]',
	'[{"sku":"a","qty":1,"price":1,"name":"\"y\"","image_url":"i","product_id":5},{"sku":"b","qty":1,"price":1,"x":[]}]'));
-- Two lines of one sku that changed places are no change.
SELECT diff('[{"sku":"a","qty":1,"price":1},{"sku":"a","qty":1,"price":0}]', '[{"sku":"a","qty":1,"price":0},{"sku":"a","qty":1,"price":1}]');
SELECT diff(NULL, '[]') IS NULL AS strict;

-- Binary: a version byte and the JSON, as jsonb has it.
SELECT convert_from(substr(_line_items_send('[{"sku":"é","qty":1,"price":1}]'), 2), 'UTF8') AS sent, get_byte(_line_items_send('[]'), 0) AS version;

-- Three realistic lines take less than half of what jsonb takes.
SELECT pg_column_size(j) AS jsonb_bytes, pg_column_size(j::line_items) AS line_items_bytes, pg_column_size(j::line_items) < pg_column_size(j) / 2 AS less_than_half
FROM (SELECT '[{"sku":"TSH-BLU-M-0041","name":"Organic Cotton T-Shirt, Blue, M","quantity":2,"unit_price":19.90,"product_id":10482,"variant":"Blue / M",
	"image_url":"https://shop.example.com/media/tsh-blu-m-0041.jpg","url":"https://shop.example.com/p/organic-cotton-t-shirt"},
	{"sku":"MUG-CER-0007","name":"Ceramic Mug 350 ml","quantity":1,"unit_price":12.50,"product_id":10990,"variant":"White",
	"image_url":"https://shop.example.com/media/mug-cer-0007.jpg","url":"https://shop.example.com/p/ceramic-mug"},
	{"sku":"BAG-CNV-0112","name":"Canvas Tote Bag","quantity":3,"unit_price":8.00,"product_id":11203,
	"image_url":"https://shop.example.com/media/bag-cnv-0112.jpg","url":"https://shop.example.com/p/canvas-tote"}]'::jsonb AS j) x;

-- All of them are pure, and PUBLIC may execute them.
SELECT proname, provolatile, proparallel, proisstrict, has_function_privilege('public', oid, 'EXECUTE') AS public
FROM pg_proc WHERE prosrc LIKE 'ico\_line\_items\_%' AND (provolatile, proparallel, proisstrict, has_function_privilege('public', oid, 'EXECUTE')) <> ('i', 's', true, true);
RESET search_path;

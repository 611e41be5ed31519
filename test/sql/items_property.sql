-- Property: on 10,000 random carts every sum is exactly what numeric computes
-- from the same JSON through jsonb, and every form leads back to the same value.
SET search_path = incomplete_orders;
SELECT setseed(0.2) IS NOT NULL AS seeded;

-- Random from 0 to n - 1.
CREATE FUNCTION pg_temp.any_of(n integer) RETURNS integer LANGUAGE sql VOLATILE AS 'SELECT floor(random() * n)::integer';
-- A price written in one of many ways: number or string, zeros at the end, exponents.
CREATE FUNCTION pg_temp.price() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	decimals integer := pg_temp.any_of(7);
	digits text := floor(random() * 10 ^ (1 + pg_temp.any_of(9)))::bigint::text;
	p text;
BEGIN
	p := CASE pg_temp.any_of(6)
		WHEN 0 THEN digits || 'e-' || decimals
		WHEN 1 THEN digits || '.' || repeat('0', pg_temp.any_of(10))  || '0E0'
		WHEN 2 THEN (digits::numeric / 10 ^ decimals)::numeric(20, 6)::text || '000'
		ELSE round(digits::numeric / (10 ^ decimals)::numeric, decimals)::text
	END;
	RETURN CASE WHEN random() < 0.5 THEN p ELSE '"' || p || '"' END;
END
$$;
CREATE FUNCTION pg_temp.word() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT (ARRAY['a', 'Blue shirt', 'M / L', '\u00e9\u20ac', '\ud83d\ude00', 'https:\/\/e.x\/i\/1.jpg', 'https://e.x/i/2.jpg', 'https://e.x/i/22.jpg', '"', '', 'é€😀', '\n\u0001', '\\'])[1 + pg_temp.any_of(13)]
$$;
CREATE FUNCTION pg_temp.cart() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	lines text[] := '{}';
	quantity integer;
	line text;
BEGIN
	FOR i IN 1 .. pg_temp.any_of(8) LOOP
		quantity := 1 + floor(random() * 10 ^ pg_temp.any_of(7))::integer % 999999;
		line := format('"sku":"%s"', pg_temp.any_of(3)) ||
			format(CASE WHEN random() < 0.5 THEN ',"qty": %s' ELSE ' , "quantity":"%s"' END, quantity) ||
			CASE WHEN random() < 0.3 THEN ',"price":1' WHEN random() < 0.5 THEN ',"price":' || pg_temp.price() ELSE ',"unit_price" : ' || pg_temp.price() END;
		IF random() < 0.3 THEN line := line || ',"filled":' || pg_temp.any_of(quantity + 1); END IF;
		IF random() < 0.3 THEN line := format('"name":%s,', replace(to_json(pg_temp.word())::text, '\\', '\')) || line; END IF;
		IF random() < 0.3 THEN line := line || format(',"image_url":%s', replace(to_json(pg_temp.word())::text, '\\', '\')); END IF;
		IF random() < 0.3 THEN line := line || format(',"url":%s', replace(to_json(pg_temp.word())::text, '\\', '\')); END IF;
		IF random() < 0.1 THEN line := line || ',"variant":null,"product_id":' || pg_temp.any_of(3); END IF;
		IF random() < 0.2 THEN line := line || ',"z":[1,{"b":2, "a":null}],"k":{"y":true,"x":"q"}'; END IF;
		lines := lines || ('{' || line || '}');
	END LOOP;
	RETURN '[' || array_to_string(lines, ', ') || ']';
END
$$;

CREATE TEMP TABLE carts AS SELECT n, pg_temp.cart() AS json FROM generate_series(1, 10000) n;
CREATE TEMP TABLE expected AS
	SELECT n, json,
		coalesce(sum(coalesce(l ->> 'qty', l ->> 'quantity')::numeric * coalesce(l ->> 'price', l ->> 'unit_price')::numeric), 0) AS total,
		coalesce(sum(coalesce(l ->> 'qty', l ->> 'quantity')::bigint), 0) AS item_count,
		coalesce(sum((l ->> 'filled')::bigint), 0) AS filled
	FROM carts LEFT JOIN LATERAL jsonb_array_elements(json::jsonb) l ON true GROUP BY n, json;

-- Each is read, or refused for a reason that numeric sees too.
CREATE FUNCTION pg_temp.try(json text, OUT items line_items, OUT refused text) LANGUAGE plpgsql AS $$
BEGIN
	items := json;
EXCEPTION WHEN invalid_parameter_value THEN
	refused := SQLERRM;
END
$$;
CREATE TEMP TABLE read AS SELECT e.*, t.items, t.refused FROM expected e, pg_temp.try(e.json) t;
SELECT count(*) AS carts, count(items) > 9000 AS nearly_all_read, count(*) FILTER (WHERE items IS NULL) > 10 AS some_refused,
	sum(item_count) > 0 AND sum(filled) > 0 AS not_trivial,
	count(*) FILTER (WHERE jsonb_array_length(items::jsonb) < jsonb_array_length(json::jsonb)) > 100 AS some_merged FROM read;
SELECT n, json, refused, total FROM read
WHERE items IS NULL AND NOT (refused = 'total of the line items is too large' AND total > 9223372036854.775807
	OR refused LIKE '%"quantity", added to%' AND item_count > 1000000);
-- Sums
SELECT n, json, items, total FROM read
WHERE items IS NOT NULL AND (total(items) <> total OR item_count(items) <> item_count OR total > 9223372036854.775807);
SELECT n, json, items FROM read,
	LATERAL (SELECT sum(u.quantity * u.unit_price) AS total, sum(u.quantity) AS quantity, sum(u.filled) AS filled FROM unnest(items) u) s
WHERE items IS NOT NULL AND (coalesce(s.total, 0), coalesce(s.quantity, 0), coalesce(s.filled, 0)) IS DISTINCT FROM (read.total, read.item_count, read.filled);
-- Forms
SELECT n, json, items FROM read
WHERE items::text::line_items <> items OR items::jsonb::line_items <> items OR items::text::line_items::text <> items::text;
SELECT n, json, items FROM read WHERE CASE WHEN items IS NOT NULL THEN diff(items, json::line_items) <> '[]' END;
-- Binary
CREATE TEMP TABLE copied (n integer, items line_items);
COPY (SELECT n, items FROM read WHERE items IS NOT NULL) TO PROGRAM 'cat > items_property.copy' WITH (FORMAT binary);
COPY copied FROM PROGRAM 'cat items_property.copy; rm items_property.copy' WITH (FORMAT binary);
SELECT count(*) = (SELECT count(items) FROM read) AS all_copied, bool_and(copied.items = read.items) AS same FROM copied JOIN read USING (n);
-- Equal means equal canonical text, and equal hashes.
SELECT count(DISTINCT items) = count(DISTINCT items::text) AS same_classes, count(DISTINCT items) < count(items) AS some_equal FROM read;
SELECT count(*) FROM read a JOIN read b ON a.items = b.items WHERE _line_items_hash(a.items) <> _line_items_hash(b.items) OR _line_items_hash_extended(a.items, 7) <> _line_items_hash_extended(b.items, 7);
RESET search_path;

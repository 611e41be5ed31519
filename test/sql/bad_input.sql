-- Bad input: each call of the table below is refused with the SQLSTATE beside
-- it, and none of them changes anything.
-- What is refused for a reason of our own has a detail and a hint.
SET search_path = pg_catalog;
SET client_min_messages = warning;
CREATE TEMP TABLE made (name text PRIMARY KEY, id uuid, order_id uuid);
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT id FROM made WHERE made.name = id.name $$;
CREATE FUNCTION pg_temp.ord(name text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT order_id FROM made WHERE made.name = ord.name $$;
INSERT INTO made SELECT name, incomplete_orders.capture_cart('bad-' || name, items::incomplete_orders.line_items, discount => discount, at => at)
FROM (VALUES
	('open', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now()),
	('empty', '[]', 0, now()),
	('negative', '[{"sku":"A","quantity":2,"unit_price":10}]', 21, now()),
	('huge', '[{"sku":"A","quantity":1000000,"unit_price":9223372}]', 0, now()),
	('old', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now() - interval '31 days'),
	('converted', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now()),
	('unpaid', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now()),
	('partial', '[{"sku":"A","quantity":3,"unit_price":10}]', 0, now()),
	('pays', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now()),
	('dismissed', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now()),
	('deleted', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now()),
	('abandoned', '[{"sku":"A","quantity":2,"unit_price":10}]', 0, now() - interval '1 day')) x (name, items, discount, at);
SELECT count(incomplete_orders.capture_cart('bad-huge', NULL, tax => 999999999999));
UPDATE made m SET order_id = c.order_id FROM incomplete_orders.convert_order(pg_temp.id('converted'), order_number => 'BAD-1') c WHERE name = 'converted';
UPDATE made m SET order_id = c.order_id FROM incomplete_orders.convert_order(pg_temp.id('unpaid'), paid => false) c WHERE name = 'unpaid';
UPDATE made m SET order_id = c.order_id FROM incomplete_orders.convert_order(pg_temp.id('partial'), '[{"sku":"A","quantity":1,"unit_price":10}]', idempotency_key => 'k') c WHERE name = 'partial';
SELECT incomplete_orders.record_refund(pg_temp.ord('converted'), 5, 'r');
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('pays'), 'p-1', now() + interval '1 day');
SELECT incomplete_orders.dismiss_order(pg_temp.id('dismissed')), incomplete_orders.delete_order(pg_temp.id('deleted')), incomplete_orders.mark_abandoned(pg_temp.id('abandoned'));
SELECT incomplete_orders.create_shop('bad-shop', 'Bad shop') IS NOT NULL AS created;

-- A call is a function of incomplete_orders, or a whole statement.
CREATE TEMP TABLE bad (n integer GENERATED ALWAYS AS IDENTITY, state text, call text);
-- the lines of a cart
INSERT INTO bad (state, call) SELECT '22023', format('capture_cart(''bad-open'', %L)', items) FROM unnest(ARRAY[
	'', ' ', 'x', 'null', '1', '"a"', '{}', '[', ']', '[]]', '[] []', '[,]', '[1]', '[null]', '["a"]', '[[]]', '[true]', '[{}]', '[{]', '[{"sku"}]', '[{"sku":}]', '[{"sku":"a",}]', '[{''sku'':"a"}]',
	'[{"sku":"a"}]', '[{"quantity":1,"unit_price":1}]', '[{"sku":"a","unit_price":1}]', '[{"sku":"a","quantity":1}]',
	'[{"sku":"","quantity":1,"unit_price":1}]', '[{"sku":null,"quantity":1,"unit_price":1}]', '[{"sku":[],"quantity":1,"unit_price":1}]', '[{"sku":true,"quantity":1,"unit_price":1}]',
	'[{"sku":"a","sku":"a","quantity":1,"unit_price":1}]', '[{"sku":"a","product_sku":"a","quantity":1,"unit_price":1}]', '[{"sku":"a","qty":1,"quantity":1,"unit_price":1}]', '[{"sku":"a","quantity":1,"price":1,"unit_price":1}]',
	'[{"sku":"a","quantity":1,"unit_price":1,"x":1,"x":2}]', '[{"sku":"a","quantity":1,"unit_price":1,"x":{"y":1,"y":2}}]',
	'[{"sku":"a","quantity":0,"unit_price":1}]', '[{"sku":"a","quantity":-1,"unit_price":1}]', '[{"sku":"a","quantity":1.5,"unit_price":1}]', '[{"sku":"a","quantity":"","unit_price":1}]', '[{"sku":"a","quantity":"x","unit_price":1}]',
	'[{"sku":"a","quantity":1000001,"unit_price":1}]', '[{"sku":"a","quantity":1e400,"unit_price":1}]', '[{"sku":"a","quantity":99999999999999999999,"unit_price":1}]', '[{"sku":"a","quantity":null,"unit_price":1}]', '[{"sku":"a","quantity":true,"unit_price":1}]', '[{"sku":"a","quantity":[1],"unit_price":1}]', '[{"sku":"a","quantity":"0x10","unit_price":1}]',
	'[{"sku":"a","quantity":1,"unit_price":-1}]', '[{"sku":"a","quantity":1,"unit_price":-0.01}]', '[{"sku":"a","quantity":1,"unit_price":NaN}]', '[{"sku":"a","quantity":1,"unit_price":"NaN"}]', '[{"sku":"a","quantity":1,"unit_price":"Infinity"}]', '[{"sku":"a","quantity":1,"unit_price":1e12}]', '[{"sku":"a","quantity":1,"unit_price":1e131071}]',
	'[{"sku":"a","quantity":1,"unit_price":0.0000001}]', '[{"sku":"a","quantity":1,"unit_price":"1,5"}]', '[{"sku":"a","quantity":1,"unit_price":""}]', '[{"sku":"a","quantity":1,"unit_price":null}]', '[{"sku":"a","quantity":1,"unit_price":{}}]', '[{"sku":"a","quantity":1,"unit_price":false}]', '[{"sku":"a","quantity":1,"unit_price":"1e"}]', '[{"sku":"a","quantity":1,"unit_price":01}]', '[{"sku":"a","quantity":1,"unit_price":"$1"}]',
	'[{"sku":"a","quantity":1,"unit_price":1,"filled":-1}]', '[{"sku":"a","quantity":1,"unit_price":1,"filled":2}]', '[{"sku":"a","quantity":1,"unit_price":1,"filled":0.5}]', '[{"sku":"a","quantity":1,"unit_price":1,"filled":"x"}]',
	'[{"sku":"a\u0000","quantity":1,"unit_price":1}]', '[{"sku":"\ud800","quantity":1,"unit_price":1}]', '[{"sku":"\x","quantity":1,"unit_price":1}]', '[{"sku":"a","quantity":1,"unit_price":1,"name":{}}]', '[{"sku":"a","quantity":1,"unit_price":1,"url":[]}]',
	'[{"sku":"' || repeat('a', 129) || '","quantity":1,"unit_price":1}]', '[{"sku":"' || repeat('€', 43) || '","quantity":1,"unit_price":1}]',
	'[{"sku":"a","quantity":1000000,"unit_price":1},{"sku":"a","quantity":1,"unit_price":1}]', '[{"sku":"a","quantity":1000000,"unit_price":9223373}]',
	'[{"sku":"a","quantity":1,"unit_price":1,"x":"' || repeat('x', 262144) || '"}]',
	(SELECT '[' || string_agg(format('{"sku":"%s","quantity":1,"unit_price":1}', n), ',') || ']' FROM generate_series(1, 1001) n)]) items;
-- nesting beyond what the server's stack allows
INSERT INTO bad (state, call) SELECT state, format('capture_cart(''bad-open'', %L)', '[{"sku":"a","quantity":1,"unit_price":1,"x":' || repeat('[', depth) || repeat(']', depth) || '}]') FROM (VALUES ('22023', 100000)) x (state, depth);
-- who and where
INSERT INTO bad (state, call) SELECT state, replace(calls, '#', key) FROM (VALUES
	('22023', 'NULL'), ('22023', ''''''), ('22023', format('%L', repeat('s', 256))), ('22023', 'E''a\tb'''), ('22023', 'E''\x7f''')) k (state, key),
	unnest(ARRAY['capture_cart(#, ''[]'')', 'save_checkout(#, ''{}'')', 'track_abandonment(#)', 'identify_cart(#, ''c'')', 'merge_carts(#, ''bad-open'')', 'merge_carts(''bad-open'', #)', 'record_order(#, total => 1)']) calls;
INSERT INTO bad (state, call) SELECT 'IC002', replace(calls, '#', shop) FROM unnest(ARRAY['shop => ''nowhere''', 'shop => ''''', format('shop => %L', repeat('x', 100))]) shop,
	unnest(ARRAY['capture_cart(''s'', ''[]'', #)', 'capture_carts(''[]'', #)', 'save_checkout(''s'', ''{}'', #)', 'track_abandonment(''s'', #)', 'identify_cart(''s'', ''c'', #)', 'merge_carts(''s'', ''t'', #)',
	'record_order(''web'', total => 1, #)', 'list_orders(#)', 'find_orders(''x'', #)', 'orders_of(''c'', #)', 'shop_settings(#)', 'export_shop(#)', 'configure_shop(settings => ''{}'', #)', 'delete_shop(#)']) calls;
INSERT INTO bad (state, call) SELECT state, replace(calls, '#', id) FROM (VALUES
	('22023', 'NULL'), ('IC003', '''00000000-0000-0000-0000-000000000000'''), ('IC003', '''ffffffff-ffff-ffff-ffff-ffffffffffff'''), ('IC003', 'gen_random_uuid()'), ('IC003', 'incomplete_orders._new_id(1)'), ('IC003', 'incomplete_orders._new_id(2000000000)'), ('22P02', '''x''')) k (state, id),
	unnest(ARRAY['convert_order(#)', 'record_payment(#)', 'record_refund(#, 1)', 'mark_payment_pending(#, ''p'')', 'mark_payment_failed(#)', 'mark_abandoned(#)', 'dismiss_order(#)', 'delete_order(#)', 'add_note(#, ''n'')',
	'edit_order(#, ''{}'', 1)', 'record_checkout_error(#, ''general'')', 'order_history(#)']) calls;
INSERT INTO bad (state, call) SELECT '22023', replace(calls, '#', at) FROM unnest(ARRAY['at => ''infinity''', 'at => ''-infinity''', 'at => ''1969-12-31''', 'at => ''10000-01-02''', 'at => ''294276-12-31''']) at,
	unnest(ARRAY['capture_cart(''s'', ''[]'', #)', 'convert_order(pg_temp.id(''open''), #)', 'mark_abandoned(pg_temp.id(''open''), #)', 'record_payment(pg_temp.ord(''unpaid''), #)', 'record_order(''web'', total => 1, #)', 'add_note(pg_temp.id(''open''), ''n'', #)']) calls;
-- the rest of their arguments
INSERT INTO bad (state, call) VALUES
	('22023', 'capture_cart(''bad-open'', ''[]'', currency => ''E'')'), ('22023', 'capture_cart(''bad-open'', ''[]'', currency => ''EURO'')'), ('22023', 'capture_cart(''bad-open'', ''[]'', currency => '''')'), ('22023', 'capture_cart(''bad-open'', ''[]'', currency => ''12A'')'), ('22023', 'capture_cart(''bad-open'', ''[]'', currency => ''€'')'),
	('22P02', 'capture_cart(''bad-open'', ''[]'', step => ''paying'')'), ('22P02', 'capture_cart(''bad-open'', ''[]'', kind => ''order'')'), ('22P02', 'capture_cart(''bad-open'', ''[]'', shipping => ''x'')'), ('22P02', 'capture_cart(''bad-open'', ''[]'', address => ''x'')'),
	('22023', 'capture_carts(NULL)'), ('22023', 'capture_carts(''{}'')'), ('22023', 'capture_carts(''1'')'),
	('22023', 'track_abandonment(''bad-open'', ''nowhere'')'),
	('22023', 'record_checkout_error(pg_temp.id(''open''), ''nonsense'')'), ('22023', 'record_checkout_error(pg_temp.id(''open''), NULL)'), ('IC004', 'record_checkout_error(pg_temp.id(''converted''), ''payment_failed'')'),
	('22023', 'merge_carts(''bad-open'', ''bad-open'')'), ('22023', 'merge_carts(''bad-open'', ''bad-empty'', ''nonsense'')'),
	('22023', 'identify_cart(''bad-open'')'),
	('IC004', 'mark_payment_pending(pg_temp.id(''converted''), ''p'')'), ('IC004', 'mark_payment_pending(pg_temp.id(''dismissed''), ''p'')'), ('IC006', 'mark_payment_pending(pg_temp.id(''old''), ''p'')'),
	('22023', 'mark_payment_pending(pg_temp.id(''open''), ''p'', ''infinity'')'),
	('22023', format('mark_payment_pending(pg_temp.id(''open''), %L)', repeat('p', 256))),
	('IC004', 'mark_payment_failed(pg_temp.id(''converted''))'), ('IC004', 'mark_payment_failed(pg_temp.id(''deleted''))'), ('IC006', 'mark_payment_failed(pg_temp.id(''old''))'),
	('IC004', 'mark_abandoned(pg_temp.id(''converted''))'), ('IC004', 'mark_abandoned(pg_temp.id(''dismissed''))'), ('IC004', 'mark_abandoned(pg_temp.id(''deleted''))'),
	('IC004', 'dismiss_order(pg_temp.id(''converted''))'), ('IC004', 'dismiss_order(pg_temp.id(''deleted''))'), ('IC004', 'delete_order(pg_temp.id(''converted''))'), ('IC004', 'delete_order(pg_temp.id(''dismissed''))'),
	('22023', 'add_note(pg_temp.id(''open''), NULL)'), ('22023', 'add_note(pg_temp.id(''open''), '''')'), ('22023', format('add_note(pg_temp.id(''open''), %L)', repeat('n', 100000))),
	('22023', 'edit_order(pg_temp.id(''open''), NULL, 1)'), ('22023', 'edit_order(pg_temp.id(''open''), ''[]'', 1)'), ('22023', 'edit_order(pg_temp.id(''open''), ''{"status":"converted"}'', 1)'), ('22023', 'edit_order(pg_temp.id(''open''), ''{"last_activity_at":"2020-01-01"}'', 1)'),
	('22023', 'edit_order(pg_temp.id(''open''), ''{"name":"x"}'', NULL)'), ('IC009', 'edit_order(pg_temp.id(''open''), ''{"name":"x"}'', 99)'), ('IC009', 'edit_order(pg_temp.id(''open''), ''{"name":"x"}'', 0)'), ('IC004', 'edit_order(pg_temp.id(''converted''), ''{"name":"x"}'', 1)'),
	('22023', 'edit_order(pg_temp.id(''open''), ''{"items":[{"sku":"a"}]}'', 1)'), ('22023', 'edit_order(pg_temp.id(''open''), ''{"shipping":-1}'', 1)'), ('22023', 'edit_order(pg_temp.id(''open''), ''{"shipping":"x"}'', 1)'), ('22023', 'edit_order(pg_temp.id(''open''), ''{"currency":"x"}'', 1)'), ('22023', 'edit_order(pg_temp.id(''open''), ''{"email":"nobody"}'', 1)'),
	('22023', 'mark_abandoned_many(array_fill(pg_temp.id(''open''), ARRAY[10001]))'), ('22023', 'convert_orders(array_fill(pg_temp.id(''open''), ARRAY[10001]))'),
	('IC005', 'convert_order(pg_temp.id(''empty''))'), ('IC007', 'convert_order(pg_temp.id(''negative''))'), ('22003', 'convert_order(pg_temp.id(''huge''))'), ('IC006', 'convert_order(pg_temp.id(''old''), paid => false)'), ('IC004', 'convert_order(pg_temp.id(''dismissed''), paid => false)'),
	('22023', 'convert_order(pg_temp.id(''open''), ''[{"sku":"A","quantity":1,"unit_price":10}]'')'), ('IC005', 'convert_order(pg_temp.id(''open''), ''[]'', idempotency_key => ''k'')'), ('IC005', 'convert_order(pg_temp.id(''open''), ''[{"sku":"A","quantity":3,"unit_price":10}]'', idempotency_key => ''k'')'),
	('IC005', 'convert_order(pg_temp.id(''open''), ''[{"sku":"A","quantity":1,"unit_price":0.01}]'', idempotency_key => ''k'')'), ('IC005', 'convert_order(pg_temp.id(''converted''), ''[{"sku":"A","quantity":1,"unit_price":10}]'', idempotency_key => ''k'')'),
	('IC004', 'convert_order(pg_temp.id(''dismissed''), ''[{"sku":"A","quantity":1,"unit_price":10}]'', idempotency_key => ''k'')'), ('IC008', 'convert_order(pg_temp.id(''partial''), ''[{"sku":"A","quantity":2,"unit_price":10}]'', idempotency_key => ''k'')'), ('IC008', 'convert_order(pg_temp.id(''partial''), idempotency_key => ''k'')'),
	('22023', format('convert_order(pg_temp.id(''open''), idempotency_key => %L)', repeat('k', 256))), ('22023', 'convert_order(pg_temp.id(''open''), idempotency_key => E''a\nb'')'),
	('IC013', 'convert_order(pg_temp.id(''open''), order_number => ''BAD-1'')'), ('22023', 'convert_order(pg_temp.id(''open''), order_number => ''IO-1'')'), ('22023', format('convert_order(pg_temp.id(''open''), order_number => %L)', repeat('9', 256))),
	('22023', 'record_order(''bad-web'')'), ('22023', 'record_order(''bad-web'', total => -0.01)'), ('22023', 'record_order(''bad-web'', total => ''NaN'')'), ('22023', 'record_order(''bad-web'', total => ''Infinity'')'), ('22023', 'record_order(''bad-web'', total => 1e12)'), ('22023', 'record_order(''bad-web'', total => 1e-7)'),
	('22023', 'record_order(''bad-web'', total => 1, currency => ''x'')'), ('IC003', 'record_order(''bad-web'', id => incomplete_orders._new_id(1), total => 1)'), ('IC003', 'record_order(''bad-web'', id => incomplete_orders._new_id(2000000000), total => 1)'), ('22023', format('record_order(''bad-web'', session_id => %L, total => 1)', repeat('s', 256))),
	('IC004', 'record_refund(pg_temp.ord(''unpaid''), 1)'), ('22023', 'record_refund(pg_temp.ord(''converted''), NULL)'), ('22023', 'record_refund(pg_temp.ord(''converted''), 0)'), ('22023', 'record_refund(pg_temp.ord(''converted''), -1)'), ('22023', 'record_refund(pg_temp.ord(''converted''), 15.01)'), ('22023', 'record_refund(pg_temp.ord(''converted''), 0.001)'), ('22023', 'record_refund(pg_temp.ord(''converted''), ''NaN'')'), ('IC008', 'record_refund(pg_temp.ord(''converted''), 6, ''r'')'),
	('IC003', 'record_refund(pg_temp.id(''converted''), 1)'), ('IC003', 'record_payment(pg_temp.id(''converted''))'), ('IC003', 'convert_order(pg_temp.ord(''converted''))'),
	('22023', 'list_orders(sort => ''nonsense'')'), ('22023', 'list_orders(sort => '''')'), ('22023', 'list_orders(after => ''nonsense'')'), ('22023', 'list_orders(page_size => 0)'), ('22023', 'list_orders(page_size => -1)'), ('22023', 'list_orders(page_size => 100000)'),
	('22P02', 'list_orders(status => ''{lost}'')'), ('22P02', 'list_orders(kind => ''order'')'),
	('22023', 'create_shop(NULL, ''x'')'), ('22023', 'create_shop('''', ''x'')'), ('22023', 'create_shop(''*'', ''x'')'), ('22023', 'create_shop(''bad-2'', NULL)'), ('22023', 'create_shop(''bad-2'', '''')'), ('IC013', 'create_shop(''bad-shop'', ''again'')'), ('22023', 'create_shop(''bad-2'', ''x'', ''euro'')'), ('22023', 'create_shop(''bad-2'', ''x'', ''EUR'', ''Mars/Olympus'')'), ('22023', format('create_shop(%L, ''x'')', repeat('s', 64))),
	('22023', 'configure_shop(''bad-shop'', NULL)'), ('22023', 'configure_shop(''bad-shop'', ''[]'')'), ('22023', 'configure_shop(''bad-shop'', ''{"nonsense":1}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"cut_off":"never"}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"cut_off":"-1 hour"}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"expiry":"0"}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"currency":"x"}'')'),
	('22023', 'configure_shop(''bad-shop'', ''{"time_zone":"Mars"}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"holdout":2}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"consent_rule":"maybe"}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"cap_per_episode":-1}'')'), ('22023', 'configure_shop(''bad-shop'', ''{"shop_id":7}'')'),
	('22023', 'grant_to(''postgres'', ''king'')'), ('42704', 'grant_to(NULL, ''app'')'), ('42704', 'grant_to(''nobody_of_that_name'', ''app'')'), ('IC002', 'grant_to(''postgres'', ''app'', ''nowhere'')'), ('22023', 'revoke_from(''postgres'', ''king'')'),
	('22023', '_id_at(''1969-12-31'')'), ('22023', '_id_at(''infinity'')'),
	('IC004', 'UPDATE incomplete_orders.open_orders SET status = ''reversed'' WHERE id = pg_temp.id(''open'')'), ('IC012', 'UPDATE incomplete_orders.open_orders SET status = ''expired'' WHERE id = pg_temp.id(''open'')'), ('IC012', 'DELETE FROM incomplete_orders.open_orders WHERE id = pg_temp.id(''open'')'), ('IC012', 'TRUNCATE incomplete_orders.orders'),
	('IC014', 'DELETE FROM incomplete_orders.shops WHERE shop = ''default''');

CREATE FUNCTION pg_temp.fingerprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t regclass;
	one text;
	result text := '';
BEGIN
	FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'incomplete_orders'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname LOOP
		EXECUTE format('SELECT md5(string_agg(x::text, E''\n'' ORDER BY x::text)) || count(*) FROM %s x', t) INTO one;
		result := result || t::text || coalesce(one, '') || ' ';
	END LOOP;
	RETURN md5(result);
END
$$;
CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE CASE WHEN call ~ '^[A-Z]' THEN call ELSE 'SELECT * FROM incomplete_orders.' || call END;
	SET CONSTRAINTS ALL IMMEDIATE;
	SET CONSTRAINTS ALL DEFERRED;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || CASE WHEN SQLSTATE LIKE 'IC%' AND (detail = '' OR hint = '') THEN ' without detail or hint' ELSE '' END;
END
$$;
SELECT pg_temp.fingerprint() AS before \gset
SELECT count(*) >= 150 AS at_least_150, count(DISTINCT state) AS states FROM bad;
SELECT state AS should_be, outcome AS "is", left(call, 150) AS call FROM bad, LATERAL (SELECT pg_temp.outcome(call) AS outcome OFFSET 0) x WHERE outcome <> state ORDER BY n;
SELECT pg_temp.fingerprint() = :'before' AS nothing_changed;
SELECT string_agg(DISTINCT state, ' ') AS seen FROM bad;

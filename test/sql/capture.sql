-- capture_cart: what a shop relies on.
SET search_path = pg_catalog;
\pset null (null)
\set shirt '[{"sku":"S-1","name":"Shirt","quantity":2,"unit_price":"19.90"}]'
\set cup '[{"sku":"C-1","quantity":1,"unit_price":"5.00"}]'
\set both '[{"sku":"S-1","name":"Shirt","quantity":2,"unit_price":"19.90"},{"sku":"C-1","quantity":1,"unit_price":"5.00"}]'
CREATE TEMP VIEW mine AS SELECT * FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'cap-%';

-- The first capture makes an order, the next ones update it.
SELECT incomplete_orders.capture_cart('cap-1', :'shirt') AS id \gset
SELECT incomplete_orders.capture_cart('cap-1', :'both') = :'id' AS same_order;
SELECT kind, status, session_id, items, currency, total, item_count, is_guest, can_convert, is_expired, days_old, furthest_step, episode, version, shop, order_number FROM mine WHERE id = :'id';
SELECT reference ~ '^INC-[0-9A-Z]{10}$' AS reference, root_id = id AS root, created_at = last_activity_at AS made_once, expires_at - created_at AS lives, next_action_at - created_at AS looked_at_after FROM mine WHERE id = :'id';
-- A mere update writes no event.
SELECT event, status_before, status_after, value, item_count, currency FROM incomplete_orders.order_events WHERE order_id = :'id';
-- Another session is another order, another shop's too.
SELECT incomplete_orders.capture_cart('cap-2', '[]') <> :'id' AS another;

-- NULL leaves what is stored, '' clears a text, 0 a sum.
SELECT incomplete_orders.capture_cart('cap-1', NULL, email => 'Ann@Example.com', phone => '+49 30 123', customer_id => 'c-1', name => 'Ann', currency => 'eur', step => 'payment', kind => 'cart',
	shipping => 4.90, tax => 1.25, discount => 2, coupon_code => 'TEN', coupon_discount => 3.5, address => '{"city":"Berlin","country":"DE"}', context => '{"device":"phone","locale":"de-DE"}') = :'id' AS same_order;
CREATE TEMP VIEW facts AS SELECT email, phone, customer_id, name, currency, furthest_step AS step, shipping, tax, discount, coupon_code AS code, coupon_discount AS coupon, address, context, total, item_count AS n, is_guest FROM mine;
SELECT f.* FROM facts f WHERE customer_id = 'c-1';
SELECT incomplete_orders.capture_cart('cap-1', NULL) = :'id' AS same_order;
SELECT f.* FROM facts f WHERE customer_id = 'c-1';
SELECT incomplete_orders.capture_cart('cap-1', NULL, email => '', phone => ' ', name => '', shipping => 0, tax => 0, discount => 0, coupon_code => '', coupon_discount => 0) = :'id' AS same_order;
SELECT f.* FROM facts f WHERE customer_id = 'c-1';
SELECT incomplete_orders.capture_cart('cap-1', NULL, customer_id => '') = :'id' AS same_order;
SELECT is_guest, customer_id FROM mine WHERE id = :'id';
-- The furthest step stays, whatever page comes next.
SELECT incomplete_orders.capture_cart('cap-1', NULL, step => 'contact') = :'id' AS same_order;
SELECT furthest_step FROM mine WHERE id = :'id';
SELECT incomplete_orders.capture_cart('cap-1', NULL, step => 'review') = :'id' AS same_order;
SELECT furthest_step FROM mine WHERE id = :'id';

-- Address and context are merged key by key; '' and null clear a key.
SELECT incomplete_orders.capture_cart('cap-1', NULL, address => '{"city":"Bonn","first_name":"Ann"}', context => '{"source":"newsletter","utm":{"a":[1,2]}}') = :'id' AS same_order;
SELECT address, context FROM mine WHERE id = :'id';
SELECT incomplete_orders.capture_cart('cap-1', NULL, address => '{"city":"","first_name":null}', context => '{"device":null,"utm":null,"bot":true}') = :'id' AS same_order;
SELECT address, context, bot FROM mine WHERE id = :'id';
SELECT incomplete_orders.capture_cart('cap-1', NULL, context => '{"bot":"no","consent":{"status":"yes","at":"2024-01-01"}}') = :'id' AS same_order;
SELECT context, bot FROM mine WHERE id = :'id';
SELECT incomplete_orders.capture_cart('cap-3', '[]', address => '{"city":null}', context => '{"device":""}') IS NOT NULL AS captured;
SELECT address, context FROM mine WHERE session_id = 'cap-3';

-- An emptied cart stays, open, and is refilled.
SELECT incomplete_orders.capture_cart('cap-1', '[]') = :'id' AS same_order;
SELECT status, items, total, item_count, can_convert FROM mine WHERE id = :'id';
SELECT incomplete_orders.capture_cart('cap-1', :'cup') = :'id' AS same_order;
SELECT status, items, total, can_convert FROM mine WHERE id = :'id';
SELECT incomplete_orders.capture_cart('cap-4', NULL) IS NOT NULL AS captured;
SELECT items, status FROM mine WHERE session_id = 'cap-4';

-- No fact beside session, items, currency and shop can lose a cart: it is cut
-- or left out, and a notice names it but not its value.
SELECT incomplete_orders.capture_cart('cap-bad', :'cup', email => 'good@example.com', phone => '123', customer_id => 'c', name => 'Good', shipping => 1, tax => 1, discount => 1, coupon_discount => 1, coupon_code => 'X') AS bad \gset
SELECT incomplete_orders.capture_cart('cap-bad', :'shirt', email => 'no address', phone => repeat('1', 300), customer_id => repeat('x', 256), name => repeat('ä', 201), shipping => -1, tax => 'NaN', discount => 'Infinity',
	coupon_discount => 1e12, coupon_code => E'a\nb') = :'bad' AS same_order;
SELECT email, phone, customer_id, length(name) AS name, shipping, tax, discount, coupon_discount AS coupon, coupon_code AS code, items FROM mine WHERE id = :'bad';
SELECT translate(left(mail, 20), E'\r\n', '_') AS mail, incomplete_orders.capture_cart('cap-bad', NULL, email => mail) = :'bad' AS captured, (SELECT o.email FROM incomplete_orders.open_orders o WHERE o.id = :'bad') AS before
FROM unnest(ARRAY['a@b', '@b', 'a@', 'a@b@c', 'a b@c', E'a@b\r\nBcc: x@y', '<a@b>', 'ä@ö.de', repeat('a', 250) || '@b.de', '  a@b.de  ']) mail;
SELECT incomplete_orders.capture_cart('cap-bad', NULL, name => E'A\tB\nC', shipping => 0.0000001, tax => 999999999999.999999, discount => 1e131071) = :'bad' AS same_order;
SELECT name, shipping, tax, discount FROM mine WHERE id = :'bad';
SELECT incomplete_orders.capture_cart('cap-bad', NULL, tax => 0, address => '[1]', context => '"x"') = :'bad' AS same_order;
SELECT incomplete_orders.capture_cart('cap-bad', NULL, address => '{"city":["x"],"planet":"Mars","postal_code":12345,"country":true}', context => jsonb_build_object('ip', '1.2.3.4.5', 'time_zone', 'Mars/Olympus', 'bot', 'maybe',
	'user_agent', repeat('u', 600), 'referrer', repeat('r', 3000), 'locale', jsonb_build_object('a', 1), 'notes', 'kept')) = :'bad' AS same_order;
SELECT address, context ->> 'notes' AS notes, length(context ->> 'user_agent') AS user_agent, length(context ->> 'referrer') AS referrer, context ?| ARRAY['ip', 'time_zone', 'bot', 'locale'] AS left_out FROM mine WHERE id = :'bad';
SELECT ip, incomplete_orders.capture_cart('cap-bad', NULL, context => jsonb_build_object('ip', ip, 'time_zone', zone)) = :'bad' AS same_order
FROM (VALUES ('192.0.2.7', 'Europe/Berlin'), ('2001:db8::1', 'UTC'), ('::ffff:192.0.2.1', 'America/New_York')) x (ip, zone);
SELECT context ->> 'ip' AS ip, context ->> 'time_zone' AS zone FROM mine WHERE id = :'bad';
SELECT incomplete_orders.capture_cart('cap-bad', NULL, context => jsonb_build_object('big', repeat('x', 20000))) = :'bad' AS same_order;
SELECT incomplete_orders.capture_cart('cap-bad', NULL, context => ('{"deep":' || repeat('[', 500) || repeat(']', 500) || '}')::jsonb) IS NOT NULL AS captured;
-- a byte limit that would cut a character in two
SELECT incomplete_orders.capture_cart('cap-bad', NULL, address => jsonb_build_object('city', repeat('€', 99) || 'xy')) = :'bad' AS same_order;
SELECT length(address ->> 'city') AS characters, right(address ->> 'city', 2) AS last FROM mine WHERE id = :'bad';
-- The four things that are refused.
\set VERBOSITY sqlstate
SELECT incomplete_orders.capture_cart(NULL, '[]');
SELECT incomplete_orders.capture_cart('', '[]');
SELECT incomplete_orders.capture_cart(repeat('s', 256), '[]');
SELECT incomplete_orders.capture_cart('cap-1', '[{"sku":"x"}]');
SELECT incomplete_orders.capture_cart('cap-1', '[]', currency => 'euro');
SELECT incomplete_orders.capture_cart('cap-1', '[]', shop => 'no such shop');
\set VERBOSITY default
SELECT items FROM mine WHERE id = :'id';
-- 255 bytes are well.
SELECT incomplete_orders.capture_cart(repeat('€', 85), '[]') IS NOT NULL AS captured;

-- What was filled stays filled, whatever the page sends next.
SELECT incomplete_orders.capture_cart('cap-part', '[{"sku":"A","quantity":3,"unit_price":2},{"sku":"B","quantity":1,"unit_price":1}]') AS part \gset
SELECT total FROM incomplete_orders.convert_order(:'part', '[{"sku":"A","quantity":2,"unit_price":2}]', idempotency_key => 'k');
SELECT incomplete_orders.capture_cart('cap-part', '[{"sku":"A","quantity":1,"unit_price":2,"filled":1}]') = :'part' AS same_order;
SELECT kind, items FROM mine WHERE id = :'part';
SELECT incomplete_orders.capture_cart('cap-part', '[{"sku":"C","quantity":1,"unit_price":7}]', kind => 'cart') = :'part' AS same_order;
SELECT kind, items FROM mine WHERE id = :'part';
SELECT incomplete_orders.capture_cart('cap-part', '[]') = :'part' AS same_order;
SELECT kind, items FROM mine WHERE id = :'part';
-- An order that is half delivered already when it is captured: only the rest is ordered.
SELECT incomplete_orders.capture_cart('cap-half', '[{"sku":"A","quantity":3,"filled":1,"unit_price":2}]', kind => 'partial') AS half \gset
SELECT incomplete_orders.capture_cart('cap-half', '[{"sku":"A","quantity":3,"filled":2,"unit_price":2}]') = :'half' AS same_order;
SELECT total FROM incomplete_orders.convert_order(:'half');
SELECT kind, status, items FROM mine WHERE id = :'half';
SELECT incomplete_orders.capture_cart('cap-half-2', '[{"sku":"A","quantity":3,"filled":1,"unit_price":2}]') AS half \gset
SELECT total FROM incomplete_orders.convert_order(:'half');

-- A cart of the most lines and the most money.
SELECT incomplete_orders.capture_cart('cap-big', (SELECT jsonb_agg(jsonb_build_object('sku', 's' || n, 'quantity', 1, 'unit_price', '0.01')) FROM generate_series(1, 1000) n)) AS big \gset
SELECT total, item_count FROM mine WHERE id = :'big';
SELECT incomplete_orders.capture_cart('cap-big', '[{"sku":"a","quantity":1000000,"unit_price":"9000000"}]', tax => 200000000000) = :'big' AS same_order;
SELECT total FROM mine WHERE id = :'big';
-- More than an order may come to is still a cart, and can be read; it is not converted.
SELECT incomplete_orders.capture_cart('cap-big', NULL, tax => 999999999999.999999, shipping => 999999999999.99) = :'big' AS same_order;
SELECT incomplete_orders.capture_cart('cap-bigger', '[{"sku":"a","quantity":1000000,"unit_price":"9223372.036854"}]', tax => 999999999999.999999) AS bigger \gset
SELECT total, item_count FROM mine WHERE id IN (:'big', :'bigger') ORDER BY 1;
\set VERBOSITY sqlstate
SELECT total FROM incomplete_orders.convert_order(:'bigger');
\set VERBOSITY default

-- Currencies round as they must, half up, also below the cent.
SELECT count(incomplete_orders.capture_cart(format('cap-%s-%s', currency, tax), '[{"sku":"a","quantity":1,"unit_price":"1.2345"},{"sku":"b","quantity":1,"unit_price":"0.0005"}]', currency => currency, tax => tax))
FROM unnest(ARRAY['USD', 'JPY', 'KWD', 'CLF']) currency, unnest(ARRAY[0.265, 0.264999, 0.27, 0.269999, 0.0005, 0.00049]) tax;
SELECT currency, array_agg(tax ORDER BY tax) AS tax, array_agg(total ORDER BY tax) AS total FROM mine WHERE session_id ~ '^cap-[A-Z]{3}-' GROUP BY 1 ORDER BY 1;

-- In one statement many carts, in one transaction the same cart again and again.
SELECT count(DISTINCT incomplete_orders.capture_cart('cap-many-' || n % 10, '[]')) FROM generate_series(1, 100) n;
BEGIN;
SELECT incomplete_orders.capture_cart('cap-tx', :'cup') AS tx \gset
SELECT incomplete_orders.capture_cart('cap-tx', :'shirt') = :'tx' AS same_order;
SAVEPOINT s;
SELECT incomplete_orders.capture_cart('cap-tx', '[]', email => 'x@y') = :'tx' AS same_order;
ROLLBACK TO s;
SELECT incomplete_orders.capture_cart('cap-tx', NULL, name => 'N') = :'tx' AS same_order;
COMMIT;
SELECT items, email, name FROM mine WHERE session_id = 'cap-tx';
BEGIN;
SELECT incomplete_orders.capture_cart('cap-rolled-back', '[]') IS NOT NULL AS captured;
ROLLBACK;
SELECT count(*) FROM mine WHERE session_id = 'cap-rolled-back';

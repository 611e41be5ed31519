-- A capture takes one of two paths: straight to the table, or through the
-- executor (here: at REPEATABLE READ). Both leave the same row, whatever is given.
SET search_path = pg_catalog;
SET client_min_messages = warning;
CREATE TEMP TABLE calls (n integer GENERATED ALWAYS AS IDENTITY, arguments text);
INSERT INTO calls (arguments) VALUES
	($$'[{"sku":"A","quantity":2,"unit_price":"19.90"}]'$$),
	($$'[{"sku":"A","quantity":3,"unit_price":"19.90"}]'$$),
	($$NULL$$),
	($$NULL, email => 'a@example.com', phone => '1', customer_id => 'c'$$),
	($$NULL, email => 'a@example.com', phone => '1', customer_id => 'c', name => 'Ann'$$),
	($$NULL, email => 'b@example.com', name => 'Bea'$$),
	($$NULL, email => '', phone => '', name => ''$$),
	($$NULL, currency => 'eur', step => 'payment', shipping => 4.90, tax => 1.25, discount => 2, coupon_code => 'TEN', coupon_discount => 3.5$$),
	($$'[]', step => 'contact', shipping => 0, tax => 0.000001$$),
	($$NULL, step => 'review', coupon_code => '', discount => 0, coupon_discount => 0$$),
	($$NULL, address => '{"city":"Berlin","country":"DE"}', context => '{"device":"phone","locale":"de-DE"}'$$),
	($$NULL, address => '{"city":"Bonn","first_name":"Ann"}', context => '{"source":"mail","utm":{"a":[1,null,{"b":null}]},"bot":true}'$$),
	($$NULL, address => '{"city":"","first_name":null}', context => '{"device":null,"utm":null,"bot":false}'$$),
	($$NULL, address => '{"country":""}', context => '{"source":"","locale":"","bot":null}'$$),
	($$NULL, kind => 'payment'$$),
	($$NULL, kind => 'cart', name => 'N'$$),
	($$(SELECT jsonb_agg(jsonb_build_object('sku', 's' || n, 'quantity', n, 'unit_price', '0.01', 'note', md5(n::text))) FROM generate_series(1, 1000) n)::jsonb, context => jsonb_build_object('notes', repeat('n', 2000))$$),
	($$NULL, name => repeat('ä', 300), phone => repeat('1', 100), shipping => -1$$),
	($$'[{"sku":"A","quantity":1,"unit_price":1}]', at => now() - interval '1 minute'$$),
	($$'[{"sku":"A","quantity":2,"unit_price":1}]', at => now() + interval '59 minutes'$$),
	($$'[{"sku":"A","quantity":3,"unit_price":1}]', at => now() + interval '2 days'$$),
	($$'[{"sku":"A","quantity":4,"unit_price":1}]', at => now() + interval '2 days 1 hour'$$),
	($$'[{"sku":"A","quantity":5,"unit_price":1}]', at => now() + interval '40 days'$$);
CREATE TEMP TABLE images (path text, n integer, image jsonb);
-- Instants are those of the call, so each is written as its distance from now().
CREATE FUNCTION pg_temp.run(path text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	call record;
	image jsonb;
	key text;
BEGIN
	FOR call IN SELECT * FROM calls ORDER BY n LOOP
		EXECUTE format('SELECT incomplete_orders.capture_cart(%L, %s)', 'path-' || path, call.arguments);
		SELECT to_jsonb(o) - '{id,root_id,reference,session_id}'::text[] INTO image
		FROM incomplete_orders.open_orders o WHERE session_id = 'path-' || path;
		FOREACH key IN ARRAY ARRAY['created_at', 'last_activity_at', 'expires_at', 'next_action_at', 'abandoned_at', 'lost_at'] LOOP
			image := jsonb_set(image, ARRAY[key], coalesce(to_jsonb((image ->> key)::timestamptz - now()), 'null'));
		END LOOP;
		INSERT INTO images VALUES (path, call.n, image);
	END LOOP;
END
$$;
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT pg_temp.run('straight');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.run('executor');
COMMIT;
SELECT count(*) AS compared FROM images s JOIN images e USING (n) WHERE s.path = 'straight' AND e.path = 'executor';
SELECT n, key, s.value AS straight, e.value AS executor FROM images i, jsonb_each(image) s, LATERAL (SELECT image -> s.key AS value FROM images x WHERE x.n = i.n AND x.path = 'executor') e
WHERE i.path = 'straight' AND s.value IS DISTINCT FROM e.value ORDER BY n, key;
-- what they left
SELECT n, image ->> 'furthest_step' AS step, image -> 'address' AS address, image #> '{context,device}' AS device, image #> '{context,utm}' AS utm, image ->> 'name' AS name, image ->> 'shipping' AS shipping
FROM images WHERE path = 'straight' AND n BETWEEN 8 AND 16 ORDER BY n;
SELECT array_agg(event ORDER BY event_id) AS events FROM incomplete_orders.order_events e JOIN incomplete_orders.incomplete_orders o ON o.id = e.order_id
WHERE session_id LIKE 'path-%' GROUP BY session_id;

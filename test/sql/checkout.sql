-- What a shop knows of a checkout beside the cart.
SET search_path = pg_catalog;
\pset null (null)
\set VERBOSITY terse
\set shirt '[{"sku":"S-1","name":"Shirt","quantity":2,"unit_price":"20.00"}]'
\set cup '[{"sku":"C-1","quantity":1,"unit_price":"5.00"}]'
CREATE TEMP VIEW mine AS SELECT * FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'co-%';
CREATE FUNCTION pg_temp.story(id uuid) RETURNS TABLE (event text, before text, after text, reason text, episode text) LANGUAGE sql AS $$
	SELECT event, detail ->> 'status_before', detail ->> 'status_after', detail ->> 'reason', detail ->> 'episode' FROM incomplete_orders.order_history(story.id)
$$;

--
-- save_checkout: a form, half filled
--
SELECT incomplete_orders.capture_cart('co-1', :'shirt') AS id \gset
SELECT incomplete_orders.save_checkout('co-1', '{"email": "ann@example.com"}') = :'id' AS same_order;
SELECT email, furthest_step, items, version FROM mine WHERE id = :'id';
SELECT incomplete_orders.save_checkout('co-1', '{"full_name": " Anna Maria  van der Berg ", "phone": 49301234, "email": ""}') = :'id' AS same_order;
SELECT email, phone, name, address, furthest_step FROM mine WHERE id = :'id';
SELECT incomplete_orders.save_checkout('co-1', '{"company": "Lee Ltd", "address_line_1": "Main St 1", "address_line_2": " ", "city": "Bonn", "state": null, "postal_code": 53111, "country": "DE",
	"delivery_instructions": "ring twice", "coupon_code": "TEN", "notes": "a gift"}') = :'id' AS same_order;
SELECT email, name, address, context, coupon_code, furthest_step, total FROM mine WHERE id = :'id';
-- nested; what is said of first and last name wins over the split
SELECT incomplete_orders.save_checkout('co-1', '{"address": {"city": "Berlin", "email": "billing@example.com"}, "full_name": "Ann Lee Smith", "last_name": "Lee Smith", "first_name": "Ann"}') = :'id' AS same_order;
SELECT email, name, address FROM mine WHERE id = :'id';
SELECT incomplete_orders.save_checkout('co-2', '{"first_name": "Bob", "last_name": "Ray"}') IS NOT NULL AS made, incomplete_orders.save_checkout('co-3', '{"full_name": "Cher"}') IS NOT NULL AS made_too;
SELECT session_id, name, address, items, furthest_step FROM mine WHERE session_id IN ('co-2', 'co-3') ORDER BY 1;
-- never an error for a bad value, and never a card number
SELECT incomplete_orders.save_checkout('co-1', '{"email": "no address", "city": ["x"], "postal_code": "0123456789012345678901", "full_name": 7, "card_number": "4111111111111111", "password": "x"}') = :'id' AS same_order;
SELECT email, name, address ->> 'city' AS city, address ->> 'postal_code' AS postal_code, row_to_json(m)::text LIKE '%4111%' AS card FROM mine m WHERE id = :'id';
SELECT incomplete_orders.save_checkout('co-1', f) = :'id' AS same_order FROM unnest(ARRAY['{}', '[]', '1', 'null', NULL]::jsonb[]) f;
SELECT incomplete_orders.save_checkout(NULL, '{}');
SELECT incomplete_orders.save_checkout('co-1', '{}', 'no-such');

--
-- track_abandonment: the same order, however often; the cut-off alone abandons
--
SELECT incomplete_orders.capture_cart('co-10', :'cup', at => now() - interval '30 minutes') AS id \gset
SELECT incomplete_orders.track_abandonment('co-10') = :'id' AS one, incomplete_orders.track_abandonment('co-10') = :'id' AS two, incomplete_orders.track_abandonment('co-10', 'cart') = :'id' AS three;
SELECT count(*) AS orders, min(status) AS status, min(furthest_step) AS step, min(abandonment_reason) AS reason, bool_and(last_activity_at > created_at) AS active FROM mine WHERE session_id = 'co-10';
CREATE FUNCTION pg_temp.track(stage text, OUT step incomplete_orders.checkout_step, OUT version integer) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM incomplete_orders.track_abandonment('co-10', stage, CASE WHEN stage = 'payment' THEN 'Shipping is too dear!' END);
	SELECT o.furthest_step, o.version INTO step, version FROM incomplete_orders.open_orders o WHERE session_id = 'co-10';
END
$$;
SELECT stage, t.* FROM unnest(ARRAY['checkout', 'shipping', 'payment', 'session_timeout', 'browser_close', 'cart', 'payment', 'checkout']) stage, pg_temp.track(stage) t;
SELECT abandonment_reason, status FROM mine WHERE id = :'id';
SELECT * FROM pg_temp.story(:'id');
SELECT count(*) AS words_in_events FROM incomplete_orders.order_events e WHERE order_id = :'id' AND e::text LIKE '%dear%';
-- leaving is an act of the customer, that a session ran out is not
SELECT incomplete_orders.capture_cart('co-11', :'cup', at => now() - interval '5 hours') AS id \gset
SELECT incomplete_orders.track_abandonment('co-11', 'session_timeout', at => now() - interval '3 hours') = :'id' AS same_order;
SELECT status, episode, last_activity_at = created_at AS inactive, abandoned_at - created_at AS abandoned_after FROM mine WHERE id = :'id';
SELECT incomplete_orders.track_abandonment('co-11', 'browser_close', 'later') = :'id' AS same_order;
SELECT status, episode, abandonment_reason, last_activity_at = created_at AS inactive FROM mine WHERE id = :'id';
SELECT * FROM pg_temp.story(:'id');
-- an act never moves activity backwards
SELECT incomplete_orders.track_abandonment('co-11', at => now() - interval '1 day') = :'id' AS same_order;
SELECT last_activity_at > now() - interval '1 hour' AS recent FROM mine WHERE id = :'id';
-- nothing to track, and no new order for it
SELECT incomplete_orders.track_abandonment('co-none') AS none;
SELECT incomplete_orders.capture_cart('co-12', :'cup') AS id \gset
SELECT incomplete_orders.dismiss_order(:'id');
SELECT incomplete_orders.track_abandonment('co-12') AS none;
SELECT incomplete_orders.capture_cart('co-13', :'cup', at => now() - interval '60 days') AS id \gset
SELECT incomplete_orders.track_abandonment('co-13') AS none;
SELECT count(*) AS orders, min(status) AS status FROM mine WHERE session_id = 'co-13';
SELECT incomplete_orders.track_abandonment('co-10', 'checkout_page');
SELECT incomplete_orders.track_abandonment('');

--
-- record_checkout_error
--
SELECT incomplete_orders.capture_cart('co-20', :'cup') AS id \gset
SELECT k AS kind, incomplete_orders.record_checkout_error(:'id', k, 'about ' || k) AS state FROM unnest(ARRAY['general', 'validation_error', 'shipping_error', 'inventory_error', 'payment_failed', 'payment_failed', 'general']) k;
SELECT incomplete_orders.record_checkout_error(:'id', 'general'), incomplete_orders.record_checkout_error(:'id', 'general', '') AS again;
SELECT * FROM pg_temp.story(:'id');
SELECT note FROM incomplete_orders.order_notes WHERE order_id = :'id' ORDER BY note_id;
SELECT count(*) AS words_in_events FROM incomplete_orders.order_events e WHERE order_id = :'id' AND e::text LIKE '%about%';
SELECT incomplete_orders.record_checkout_error(:'id', 'general', repeat('ä', 20000));
SELECT octet_length(note) AS kept FROM incomplete_orders.order_notes WHERE order_id = :'id' ORDER BY note_id DESC LIMIT 1;
SELECT incomplete_orders.record_checkout_error(:'id', 'payment');
SELECT incomplete_orders.record_checkout_error(:'id', NULL);
SELECT incomplete_orders.record_checkout_error(NULL, 'general');
SELECT incomplete_orders.record_checkout_error('00000000-0000-7000-8000-000000000000', 'general');
-- a closed order keeps its state: another error is noted, a failed payment refused
SELECT incomplete_orders.dismiss_order(:'id');
SELECT incomplete_orders.record_checkout_error(:'id', 'general', 'too late');
DO $$
BEGIN
	PERFORM incomplete_orders.record_checkout_error((SELECT id FROM incomplete_orders.orders_of(session_id => 'co-20')), 'payment_failed');
EXCEPTION WHEN SQLSTATE 'IC004' THEN
	RAISE NOTICE 'refused';
END
$$;

--
-- identify_cart
--
SELECT incomplete_orders.capture_cart('co-30', :'cup', phone => '123') AS id \gset
SELECT incomplete_orders.identify_cart('co-30', 'c-30', 'ann@example.com') = :'id' AS same_order;
SELECT customer_id, email, phone, items, is_guest FROM mine WHERE id = :'id';
SELECT incomplete_orders.identify_cart('co-30', email => 'bob@example.com') = :'id' AS same_order, incomplete_orders.identify_cart('co-30', email => 'no address') = :'id' AS again;
SELECT customer_id, email FROM mine WHERE id = :'id';
SELECT incomplete_orders.identify_cart('co-none', 'c-30') AS none, incomplete_orders.identify_cart('co-13', 'c-30') AS closed;
SELECT count(*) AS orders FROM mine WHERE session_id IN ('co-none', 'co-13');
SELECT incomplete_orders.identify_cart('co-30');

--
-- merge_carts
--
CREATE FUNCTION pg_temp.pair(n text, a jsonb, b jsonb, OUT a_id uuid, OUT b_id uuid) LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart('co-a' || n, a, email => 'a@example.com', phone => '1', address => '{"city":"Bonn","country":"DE"}', step => 'shipping', coupon_code => 'TEN', coupon_discount => 1, at => now() - interval '20 minutes'),
		incomplete_orders.capture_cart('co-b' || n, b, phone => '2', address => '{"city":"Berlin"}', shipping => 3, at => now() - interval '10 minutes')
$$;
-- both: equal lines are added up, what is missing is taken from the first
SELECT a_id, b_id FROM pg_temp.pair('1', '[{"sku":"X","quantity":2,"unit_price":1},{"sku":"Y","quantity":1,"unit_price":2}]', '[{"sku":"X","quantity":3,"unit_price":1},{"sku":"X","quantity":1,"unit_price":9}]') \gset
SELECT incomplete_orders.merge_carts('co-a1', 'co-b1') = :'b_id' AS remains;
SELECT session_id, status, items, email, phone, address, furthest_step, shipping, coupon_code, coupon_discount, total, last_activity_at > now() - interval '1 minute' AS active FROM mine WHERE id = :'b_id';
SELECT session_id, status, close_reason, items, total FROM mine WHERE id = :'a_id';
SELECT * FROM pg_temp.story(:'a_id');
-- again: the first is gone, the second stays as it is
SELECT version FROM mine WHERE id = :'b_id' \gset
SELECT incomplete_orders.merge_carts('co-a1', 'co-b1') = :'b_id' AS remains;
SELECT version = :version AS untouched FROM mine WHERE id = :'b_id';
-- latest: the lines, and the charges that were reckoned for them, of the later one
SELECT a_id, b_id FROM pg_temp.pair('2', :'shirt', :'cup') \gset
SELECT incomplete_orders.merge_carts('co-a2', 'co-b2', 'keep_latest') = :'b_id' AS remains;
SELECT items, email, shipping, coupon_code, total FROM mine WHERE id = :'b_id';
SELECT a_id, b_id FROM pg_temp.pair('3', :'shirt', :'cup') \gset
SELECT incomplete_orders.merge_carts('co-b3', 'co-a3', 'keep_latest') = :'a_id' AS remains;
SELECT items, phone, shipping, coupon_code, total FROM mine WHERE id = :'a_id';
-- only one of both is there
SELECT incomplete_orders.capture_cart('co-c1', :'cup') AS id \gset
SELECT incomplete_orders.merge_carts('co-c1', 'co-c2') = :'id' AS moved;
SELECT session_id, status FROM mine WHERE id = :'id';
SELECT incomplete_orders.merge_carts('co-c1', 'co-c2') = :'id' AS stays, incomplete_orders.merge_carts('co-c1', 'co-c3') AS none;
SELECT incomplete_orders.capture_cart('co-c2', NULL) = :'id' AS captured_further, incomplete_orders.capture_cart('co-c1', :'cup') <> :'id' AS new_order;
-- an expired one is no cart any more; an abandoned one comes back
SELECT incomplete_orders.capture_cart('co-d1', :'cup', at => now() - interval '60 days') AS old, incomplete_orders.capture_cart('co-d2', :'shirt', at => now() - interval '5 hours') AS id \gset
SELECT incomplete_orders.merge_carts('co-d1', 'co-d2') = :'id' AS stays;
SELECT session_id, status, items FROM mine WHERE session_id IN ('co-d1', 'co-d2') ORDER BY 1;
SELECT incomplete_orders.merge_carts('co-d2', 'co-d3') = :'id' AS moved;
SELECT * FROM pg_temp.story(:'id');
-- facts of another customer are not taken, the lines are
SELECT incomplete_orders.capture_cart('co-e1', :'cup', customer_id => 'c-1', email => 'one@example.com', name => 'One', address => '{"city":"Bonn"}', context => '{"locale":"de"}') AS a_id,
	incomplete_orders.capture_cart('co-e2', :'shirt', customer_id => 'c-2') AS b_id \gset
SELECT incomplete_orders.merge_carts('co-e1', 'co-e2') = :'b_id' AS remains;
SELECT customer_id, email, name, address, context, item_count FROM mine WHERE id = :'b_id';
-- what was ordered stays with its own order: only the rest moves
SELECT incomplete_orders.capture_cart('co-f1', '[{"sku":"X","quantity":5,"unit_price":1},{"sku":"Y","quantity":1,"unit_price":1}]') AS a_id,
	incomplete_orders.capture_cart('co-f2', '[{"sku":"X","quantity":4,"unit_price":1}]') AS b_id \gset
SELECT count(c.order_id) FROM (VALUES (:'a_id'::uuid, '[{"sku":"X","quantity":2,"unit_price":1},{"sku":"Y","quantity":1,"unit_price":1}]'::jsonb), (:'b_id', '[{"sku":"X","quantity":1,"unit_price":1}]')) v (id, lines),
	incomplete_orders.convert_order(v.id, v.lines, idempotency_key => 'k') c;
SELECT incomplete_orders.merge_carts('co-f1', 'co-f2') = :'b_id' AS remains;
SELECT status, kind, items FROM mine WHERE id IN (:'a_id', :'b_id') ORDER BY id;
SELECT incomplete_orders.capture_cart('co-f3', :'cup') AS c_id \gset
SELECT incomplete_orders.merge_carts('co-f3', 'co-f2', 'keep_latest') = :'b_id' AS remains;
SELECT status, kind, items FROM mine WHERE id = :'b_id';
SELECT c.part, c.total FROM incomplete_orders.convert_order(:'b_id') c;
-- prices of two currencies are not added up
SELECT incomplete_orders.capture_cart('co-g1', :'cup', currency => 'EUR') AS a_id, incomplete_orders.capture_cart('co-g2', :'shirt', currency => 'USD') AS b_id \gset
SELECT incomplete_orders.merge_carts('co-g1', 'co-g2');
SELECT incomplete_orders.capture_cart('co-g1', NULL) = :'a_id' AS later;
SELECT incomplete_orders.merge_carts('co-g1', 'co-g2', 'keep_latest') = :'b_id' AS remains;
SELECT currency, items, total FROM mine WHERE id = :'b_id';
SELECT incomplete_orders.capture_cart('co-g3', :'cup', currency => 'EUR') AS a_id, incomplete_orders.capture_cart('co-g4', '[]', currency => 'USD') AS b_id \gset
SELECT incomplete_orders.merge_carts('co-g3', 'co-g4') = :'b_id' AS remains;
SELECT currency, items FROM mine WHERE id = :'b_id';
-- a payment in flight keeps its order
SELECT incomplete_orders.capture_cart('co-h1', :'cup') AS a_id, incomplete_orders.capture_cart('co-h2', :'shirt') AS b_id \gset
SELECT incomplete_orders.mark_payment_pending(:'a_id');
DO $$
BEGIN
	PERFORM incomplete_orders.merge_carts('co-h1', 'co-h2');
EXCEPTION WHEN SQLSTATE 'IC004' THEN
	RAISE NOTICE 'refused';
END
$$;
SELECT session_id, status, item_count FROM mine WHERE id IN (:'a_id', :'b_id') ORDER BY 1;
SELECT incomplete_orders.merge_carts('co-h2', 'co-h1') = :'a_id' AS other_way;
SELECT status, item_count FROM mine WHERE id = :'a_id';
-- beyond the bounds of a cart nothing changes
SELECT incomplete_orders.capture_cart('co-i1', '[{"sku":"X","quantity":600000,"unit_price":1}]') AS a_id, incomplete_orders.capture_cart('co-i2', '[{"sku":"X","quantity":600000,"unit_price":1}]') AS b_id \gset
SELECT incomplete_orders.merge_carts('co-i1', 'co-i2');
SELECT session_id, status, item_count FROM mine WHERE id IN (:'a_id', :'b_id') ORDER BY 1;
-- what cannot be asked
SELECT incomplete_orders.merge_carts('co-i1', 'co-i1');
SELECT incomplete_orders.merge_carts('co-i1', 'co-i2', 'keep');
SELECT incomplete_orders.merge_carts('co-i1', NULL);
SELECT incomplete_orders.merge_carts('co-i1', 'co-i2', NULL, 'no-such');
-- every history ends in the state that the order has
SELECT count(*) AS wrong FROM mine o JOIN LATERAL (SELECT status_after FROM incomplete_orders.order_events e WHERE e.order_id = o.id AND e.status_after IS NOT NULL ORDER BY event_id DESC LIMIT 1) e ON true WHERE e.status_after <> o.status;

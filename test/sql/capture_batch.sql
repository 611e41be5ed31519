-- capture_carts: many carts in one call, and one bad cart among them.
SET search_path = pg_catalog;
\pset null (null)
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('batch-b', 'Batches', 'EUR') AS b \gset
CREATE TEMP VIEW mine AS SELECT * FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'batch-%';

-- One row per cart, in its order; the keys are the arguments of capture_cart.
CREATE TEMP TABLE result AS SELECT * FROM incomplete_orders.capture_carts('[
	{"session_id": "batch-2", "items": [{"sku": "A", "quantity": 2, "unit_price": "1.50"}], "email": "b2@example.com", "phone": 49301234, "customer_id": 7,
	 "name": "Bea", "currency": "eur", "step": "shipping", "kind": "payment", "shipping": "4.90", "tax": 1.25, "discount": 0.5, "coupon_code": "TEN", "coupon_discount": "0.25",
	 "address": {"city": "Bonn"}, "context": {"device": "phone", "bot": false}},
	{"session_id": "batch-1", "items": [{"sku": "B", "quantity": 1, "unit_price": 3}]},
	{"session_id": "batch-3", "items": [], "shop": "batch-b"},
	{"session_id": "batch-1", "items": [{"sku": "C", "quantity": 5, "unit_price": 3}], "email": null}]');
SELECT r.n, r.error, m.session_id, m.shop, m.items, m.email, m.phone, m.customer_id, m.name, m.currency, m.furthest_step, m.kind, m.total, m.coupon_code, m.address, m.context, m.version
FROM result r JOIN mine m USING (id) ORDER BY r.n;
-- The same as by single calls; null and a key that is not there leave what is stored.
SELECT count(*) AS same FROM result r, LATERAL (SELECT c.id FROM incomplete_orders.capture_carts('[{"session_id": "batch-2", "email": null, "shipping": null}]') c) c WHERE c.id = r.id AND r.n = 1;
SELECT items, email, shipping, version FROM mine WHERE session_id = 'batch-2';
SELECT count(*) FROM incomplete_orders.capture_carts('[]');
SELECT event, count(*) FROM incomplete_orders.order_events WHERE order_id IN (SELECT id FROM mine) GROUP BY event;

-- Carts with nothing but lines: open orders, a new one, an abandoned one, a
-- partial one, an emptied one, and one of which there are two.
SELECT incomplete_orders.capture_cart('batch-gone', '[{"sku":"A","quantity":1,"unit_price":1}]', at => now() - interval '5 hours') IS NOT NULL AS gone,
	incomplete_orders.capture_cart('batch-part', '[{"sku":"A","quantity":2,"unit_price":1}]') AS part, incomplete_orders.capture_cart('batch-old', '[]', at => now() - interval '60 days') IS NOT NULL AS old, incomplete_orders.capture_cart('batch-twice', '[{"sku":"A","quantity":1,"unit_price":1}]') IS NOT NULL AS twice \gset
SELECT c.part, c.total FROM incomplete_orders.convert_order(:'part', '[{"sku":"A","quantity":1,"unit_price":1}]', idempotency_key => 'k') c;
CREATE TEMP TABLE before AS SELECT id, session_id, version FROM mine;
CREATE TEMP TABLE plain AS SELECT * FROM incomplete_orders.capture_carts((SELECT jsonb_agg(jsonb_build_object('session_id', s, 'items', jsonb_build_array(jsonb_build_object('sku', 'N' || n, 'quantity', n, 'unit_price', 1))) || CASE n WHEN 7 THEN '{"name": "Twice"}'::jsonb ELSE '{}' END ORDER BY n)
	FROM unnest(ARRAY['batch-2', 'batch-new', 'batch-gone', 'batch-1', 'batch-3', 'batch-part', 'batch-twice', 'batch-twice', 'batch-old']) WITH ORDINALITY x (s, n)));
SELECT p.n, p.error, m.session_id, m.id = b.id AS same_order, m.status, m.episode, m.version - b.version AS versions, m.items
FROM plain p JOIN mine m USING (id) LEFT JOIN before b ON b.session_id = m.session_id ORDER BY p.n;

-- A bad cart has its error and stops nobody; the message never shows the cart.
SELECT n, id IS NOT NULL AS captured, error FROM incomplete_orders.capture_carts('[
	{"session_id": "batch-10", "items": [{"sku": "A", "quantity": 1, "unit_price": 1}]},
	{"session_id": "batch-11", "items": [{"sku": "secret", "quantity": -1, "unit_price": 1}]},
	{"session_id": "batch-12", "items": "secret"},
	{"session_id": "batch-13", "items": {"secret": 1}},
	{"items": []},
	{"session_id": "", "items": []},
	{"session_id": null, "items": []},
	{"session_id": ["secret"], "items": []},
	{"session_id": true, "items": []},
	{"session_id": "batch-14", "currency": "secret"},
	{"session_id": "batch-15", "currency": 1},
	{"session_id": "batch-16", "shop": "secret"},
	{"session_id": "batch-17", "at": "secret"},
	{"session_id": "batch-18", "at": "infinity"},
	{"session_id": "batch-19", "at": {}},
	{"session_id": "batch-20", "e-mail": "secret"},
	"secret", null, 1, [],
	{"session_id": "batch-21", "items": [{"sku": "Z", "quantity": 1, "unit_price": 1}]}]');
SELECT session_id, items FROM mine WHERE session_id ~ '^batch-(1\d|2\d)$' ORDER BY session_id;
SELECT length(error) AS shown FROM incomplete_orders.capture_carts(jsonb_build_array(jsonb_build_object('session_id', 'batch-22', repeat('ä', 5000), 1)));
-- Any other fact is left out with a notice, as in a single call.
SELECT n, id IS NOT NULL AS captured, error FROM incomplete_orders.capture_carts('[{"session_id": "batch-30", "items": [{"sku": "A", "quantity": 1, "unit_price": 1}], "email": "secret", "step": "secret", "kind": 1, "shipping": "secret",
	"tax": -1, "discount": true, "coupon_discount": {"secret": 1}, "phone": ["secret"], "address": "secret", "context": [1]}]');
SELECT items, email, furthest_step, kind, shipping, tax, discount, coupon_discount, phone, address, context FROM mine WHERE session_id = 'batch-30';
-- at, for all or for one
SELECT error FROM incomplete_orders.capture_carts('[{"session_id": "batch-40", "items": []}, {"session_id": "batch-41", "items": [], "at": "2031-02-03 04:05:06Z"}]', at => '2031-01-01Z');
SELECT session_id, created_at AT TIME ZONE 'UTC' AS created_at FROM mine WHERE session_id IN ('batch-40', 'batch-41') ORDER BY 1;

-- What cannot be asked.
SELECT * FROM incomplete_orders.capture_carts(NULL);
SELECT * FROM incomplete_orders.capture_carts('{"session_id": "batch-1"}');
SELECT * FROM incomplete_orders.capture_carts('1');
SELECT * FROM incomplete_orders.capture_carts('[]', 'secret');
SELECT * FROM incomplete_orders.capture_carts((SELECT jsonb_agg(jsonb_build_object('session_id', 'batch-x', 'items', '[]'::jsonb)) FROM generate_series(1, 1001)));
SELECT count(*), count(DISTINCT id) FROM incomplete_orders.capture_carts((SELECT jsonb_agg(jsonb_build_object('session_id', 'batch-many-' || i % 500, 'items', '[]'::jsonb)) FROM generate_series(1, 1000) i));

-- Only an admin may name another instant, in a cart too.
CREATE ROLE regress_batch_app;
SELECT incomplete_orders.grant_to('regress_batch_app', 'app', 'batch-b');
SET ROLE regress_batch_app;
SELECT n, id IS NOT NULL AS captured, error FROM incomplete_orders.capture_carts('[{"session_id": "batch-50", "items": []}, {"session_id": "batch-51", "items": [], "at": "2031-01-01"}, {"session_id": "batch-52", "items": [], "shop": "default"}]');
SELECT * FROM incomplete_orders.capture_carts('[]', at => '2031-01-01');
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_batch_app', 'app', 'batch-b');
DROP ROLE regress_batch_app;

-- What a trigger of the shop refuses is that cart's error; what is nobody's
-- fault (a deadlock, a cancel) ends the call and leaves nothing of it.
CREATE FUNCTION public.batch_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'refused by the shop' USING ERRCODE = split_part(NEW.session_id, '-', 3);
END
$$;
CREATE TRIGGER batch_refuse BEFORE INSERT ON incomplete_orders.open_orders FOR EACH ROW WHEN (NEW.session_id LIKE 'batch-refuse-%') EXECUTE FUNCTION public.batch_refuse();
SELECT code, x.* FROM unnest(ARRAY['P0001', '23514', '22000']) code, LATERAL (
	SELECT n, id IS NOT NULL AS captured, error FROM incomplete_orders.capture_carts(jsonb_build_array(jsonb_build_object('session_id', 'batch-60-' || code, 'items', '[]'::jsonb), jsonb_build_object('session_id', 'batch-refuse-' || code, 'items', '[]'::jsonb)))) x;
DO $$
DECLARE
	code text;
	state text;
BEGIN
	FOREACH code IN ARRAY ARRAY['40001', '40P01', '57014', '57P01', '53100', '55P03', 'XX000'] LOOP
		BEGIN
			PERFORM incomplete_orders.capture_carts(jsonb_build_array(jsonb_build_object('session_id', 'batch-61', 'items', '[]'::jsonb), jsonb_build_object('session_id', 'batch-refuse-' || code, 'items', '[]'::jsonb)));
			RAISE WARNING '% was swallowed', code;
		EXCEPTION WHEN query_canceled OR OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
			RAISE NOTICE '% ends the call: %', code, state = code;
		END;
	END LOOP;
END
$$;
SELECT count(*) AS left_over FROM mine WHERE session_id = 'batch-61';
DROP TRIGGER batch_refuse ON incomplete_orders.open_orders;
DROP FUNCTION public.batch_refuse();
-- Inside a transaction a bad cart leaves the rest of it alone.
BEGIN;
SELECT incomplete_orders.capture_cart('batch-70', '[]') IS NOT NULL AS captured;
SELECT count(error) AS bad FROM incomplete_orders.capture_carts('[{"session_id": "batch-71", "items": []}, {"items": []}]');
COMMIT;
SELECT session_id FROM mine WHERE session_id LIKE 'batch-7%' ORDER BY 1;

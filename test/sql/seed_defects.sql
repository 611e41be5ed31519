-- What goes wrong in systems of this kind, and does not here: one paragraph per
-- defect of capture and conversion.  Races are in test/isolation, crashes in test/t.
\set VERBOSITY sqlstate

-- Converting different carts at the same time fails on the order number.
SELECT count(DISTINCT c.order_number) AS numbers, count(*) AS orders
FROM generate_series(1, 20) i,
	LATERAL incomplete_orders.capture_cart('defect-number-' || i, '[{"sku":"A","quantity":1,"unit_price":1}]') AS id,
	LATERAL incomplete_orders.convert_order(id) c;

-- A stale save turns a converted order back to pending, and it converts again.
SELECT incomplete_orders.capture_cart('defect-stale', '[{"sku":"A","quantity":1,"unit_price":1}]') AS id \gset
SELECT order_id FROM incomplete_orders.convert_order(:'id') \gset
UPDATE incomplete_orders.closed_orders SET status = 'pending' WHERE id = :'id';
SELECT incomplete_orders.capture_cart('defect-stale', '[{"sku":"A","quantity":5,"unit_price":1}]') <> :'id' AS a_new_order;
SELECT order_id = :'order_id' AS the_same_order FROM incomplete_orders.convert_order(:'id');
SELECT status FROM incomplete_orders.incomplete_orders WHERE id = :'id';

-- So does marking a converted order abandoned.
SELECT incomplete_orders.mark_abandoned(:'id');
SELECT result FROM incomplete_orders.mark_abandoned_many(ARRAY[:'id']::uuid[]);

-- Empty carts and carts of a negative total convert.
SELECT incomplete_orders.convert_order(incomplete_orders.capture_cart('defect-empty', '[]'));
SELECT incomplete_orders.convert_order(incomplete_orders.capture_cart('defect-negative',
	'[{"sku":"A","quantity":1,"unit_price":1}]', discount => 2));

-- Three page unloads make three abandoned orders.
SELECT incomplete_orders.capture_cart('defect-unload', '[{"sku":"A","quantity":1,"unit_price":1}]') AS id \gset
SELECT count(DISTINCT incomplete_orders.track_abandonment('defect-unload', 'browser_close')) AS orders FROM generate_series(1, 3);
SELECT count(*) AS rows FROM incomplete_orders.incomplete_orders WHERE session_id = 'defect-unload';

-- A long referrer or phone is an error, and the capture is lost.
SET client_min_messages = error;
SELECT item_count, phone, length(context ->> 'referrer') AS referrer
FROM incomplete_orders.incomplete_orders
WHERE id = (SELECT incomplete_orders.capture_cart('defect-long', '[{"sku":"A","quantity":1,"unit_price":1}]',
	phone => repeat('1', 300), context => jsonb_build_object('referrer', repeat('x', 5000))));
SELECT item_count, phone, length(context ->> 'referrer') AS referrer
FROM incomplete_orders.incomplete_orders WHERE session_id = 'defect-long';
RESET client_min_messages;

-- A failed payment can never convert.
SELECT incomplete_orders.capture_cart('defect-failed', '[{"sku":"A","quantity":1,"unit_price":1}]') AS id \gset
SELECT incomplete_orders.mark_payment_failed(:'id');
SELECT can FROM incomplete_orders.can_convert(:'id');
SELECT total FROM incomplete_orders.convert_order(:'id');

-- Age counts from creation, not from what the customer did last.
SELECT incomplete_orders.capture_cart('defect-age', '[{"sku":"A","quantity":1,"unit_price":1}]', at => now() - interval '100 minutes') AS id \gset
SELECT incomplete_orders.capture_cart('defect-age', '[{"sku":"A","quantity":2,"unit_price":1}]', at => now() - interval '50 minutes') = :'id' AS same;
SELECT incomplete_orders.capture_cart('defect-age', '[{"sku":"A","quantity":3,"unit_price":1}]') = :'id' AS same;
SELECT episode, abandoned_at FROM incomplete_orders.open_orders WHERE id = :'id';

-- Conversions that come late are lost.
SELECT incomplete_orders.capture_cart('defect-late', '[{"sku":"A","quantity":1,"unit_price":1}]', at => now() - interval '40 days') AS id \gset
SELECT total FROM incomplete_orders.convert_order(:'id', paid => false);
SELECT total FROM incomplete_orders.convert_order(:'id', paid => true);
SELECT status, late FROM incomplete_orders.incomplete_orders WHERE id = :'id';

-- The customer can set the unit price of a captured line while buying it.
SELECT incomplete_orders.capture_cart('defect-price', '[{"sku":"A","quantity":1,"unit_price":"100"}]') AS id \gset
SELECT incomplete_orders.convert_order(:'id', lines => '[{"sku":"A","quantity":1,"unit_price":"0.01"}]', idempotency_key => 'cheap');

-- Any user reads, converts and deletes the orders of others.
CREATE ROLE regress_nobody;
SET ROLE regress_nobody;
SELECT incomplete_orders.convert_order(:'id');
SELECT incomplete_orders.delete_order(:'id');
SELECT count(*) FROM incomplete_orders.incomplete_orders;
SELECT count(*) FROM incomplete_orders.open_orders;
RESET ROLE;
DROP ROLE regress_nobody;

-- Errors show raw SQL.
\set VERBOSITY terse
SELECT incomplete_orders.convert_order(:'id', order_number => 'N-1') IS NOT NULL AS converted;
DO $$
DECLARE
	message text;
	detail text;
	context text;
BEGIN
	PERFORM incomplete_orders.convert_order(incomplete_orders.capture_cart('defect-raw',
		'[{"sku":"A","quantity":1,"unit_price":1}]'), order_number => 'N-1');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
	RAISE NOTICE '% % | % | shows our SQL: %', SQLSTATE, message, detail, context ~* 'insert into|update incomplete';
END
$$;

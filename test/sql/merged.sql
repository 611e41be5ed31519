-- An order whose lines went into another one is never converted: they would be ordered twice.
SELECT incomplete_orders.capture_cart('merged-a', '[{"sku":"A","quantity":2,"unit_price":1}]') AS a \gset
SELECT incomplete_orders.capture_cart('merged-b', '[{"sku":"A","quantity":1,"unit_price":1}]') AS b \gset
SELECT incomplete_orders.merge_carts('merged-a', 'merged-b') = :'b' AS the_second_remains;
\set VERBOSITY sqlstate
SELECT incomplete_orders.convert_order(:'a');
SELECT incomplete_orders.convert_order(:'a', paid => false);
\set VERBOSITY default
SELECT * FROM incomplete_orders.can_convert(:'a');
-- an order of the shop's own under the old session or id stands alone
SELECT incomplete_order_id FROM incomplete_orders.record_order('merged-1', session_id => 'merged-a', total => 5);
SELECT incomplete_order_id FROM incomplete_orders.record_order('merged-2', id => :'a', total => 5);
SELECT total FROM incomplete_orders.convert_order(:'b');

-- A session lives on: an order recorded long after what it bought before is another one.
SELECT order_id FROM incomplete_orders.convert_order(incomplete_orders.capture_cart('merged-c',
	'[{"sku":"A","quantity":1,"unit_price":1}]', at => now() - interval '3 hours'), at => now() - interval '2 hours') \gset
SELECT order_id = :'order_id' AS adopted FROM incomplete_orders.record_order('merged-3', session_id => 'merged-c', total => 7);
SELECT total FROM incomplete_orders.orders WHERE order_id = :'order_id';
SELECT order_id = :'order_id' AS adopted FROM incomplete_orders.record_order('merged-4', session_id => 'merged-c', total => 1,
	at => now() - interval '110 minutes');

-- Conversion: whole, in parts, late, from outside; payments and refunds.
SET search_path = pg_catalog;
\pset null (null)
\set two '[{"sku":"A","name":"Axe","quantity":3,"unit_price":"10.00"},{"sku":"B","variant":"red","quantity":2,"unit_price":"2.505","colour":"r"}]'
\set a1 '[{"sku":"A","quantity":1,"unit_price":10}]'
\set a2 '[{"sku":"A","quantity":2,"unit_price":10}]'
\set b1 '[{"sku":"B","quantity":1,"unit_price":2.505}]'
CREATE FUNCTION pg_temp.outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN regexp_replace(concat_ws(': ', state, message, nullif(detail, '')), '[0-9a-f]{8}-[0-9a-f-]{27}', 'X', 'g');
END
$$;
CREATE FUNCTION pg_temp.parts(id uuid) RETURNS TABLE (part integer, total numeric, shipping numeric, tax numeric, discount numeric, coupon numeric, currency text, paid boolean, late boolean, lines text) LANGUAGE sql AS $$
	SELECT part, total, shipping, tax, discount, coupon_discount, currency, paid, late,
	(SELECT string_agg(format('%sx%s', quantity, sku), ' ' ORDER BY line) FROM incomplete_orders.order_items i WHERE (i.shop_id, i.order_id) = (o.shop_id, o.order_id)) AS lines
	FROM incomplete_orders.orders o WHERE incomplete_order_id = parts.id ORDER BY part
$$;
CREATE FUNCTION pg_temp.story(id uuid) RETURNS TABLE (event text, before incomplete_orders.order_status, after incomplete_orders.order_status, value numeric, paid numeric, refund numeric, names_order boolean) LANGUAGE sql AS $$
	SELECT event, status_before, status_after, value, paid_amount, refund_amount, order_ref IS NOT NULL FROM incomplete_orders.order_events WHERE order_id = story.id ORDER BY event_id
$$;

-- Whole: the order, its lines with frozen prices, the closed cart, the event.
SELECT incomplete_orders.capture_cart('con-1', :'two', email => 'a@b', shipping => 4.9, tax => 1, discount => 2, coupon_discount => 0.4, step => 'review') AS id \gset
SELECT * FROM incomplete_orders.can_convert(:'id');
SELECT order_id, order_number FROM incomplete_orders.convert_order(:'id') \gset
SELECT :'order_number' ~ '^IO-[0-9]+$' AS number, incomplete_orders.shop_of(:'order_id') AS shop;
SELECT * FROM pg_temp.parts(:'id') \gx
SELECT line, sku, name, quantity, unit_price, variant, extras FROM incomplete_orders.order_items WHERE order_id = :'order_id' ORDER BY line;
SELECT status, items, email, total, can_convert, late, closed_at IS NOT NULL AS closed, order_number = :'order_number' AS number FROM incomplete_orders.incomplete_orders WHERE id = :'id';
SELECT * FROM pg_temp.story(:'id');
SELECT * FROM incomplete_orders.can_convert(:'id');
-- Again is the same order, whatever else is said.
SELECT order_id = :'order_id' AS same, order_number = :'order_number' AS number, incomplete_order_id = :'id' AS incomplete, part, total, currency, paid FROM incomplete_orders.convert_order(:'id');
SELECT order_id = :'order_id' AS same, paid FROM incomplete_orders.convert_order(:'id', paid => false, order_number => 'other', idempotency_key => 'k');
SELECT count(*) FROM pg_temp.parts(:'id');
-- But a part of what is ordered already is not there any more.
SELECT pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L, %L, idempotency_key => ''p'')', :'id', :'a1'));
-- The session's next capture is a new order.
SELECT incomplete_orders.capture_cart('con-1', :'two') <> :'id' AS new_order;
-- Two numbers never meet, and a number of one's own is kept.
SELECT incomplete_orders.capture_cart('con-2', :'two') AS id2 \gset
SELECT incomplete_orders.capture_cart('con-3', :'two') AS id3 \gset
SELECT order_number FROM incomplete_orders.convert_order(:'id2', order_number => 'W-1');
SELECT pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L, order_number => ''W-1'')', :'id3'));
SELECT pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L, order_number => ''IO-77'')', :'id3'));
SELECT status FROM incomplete_orders.incomplete_orders WHERE id = :'id3';
SELECT order_number FROM incomplete_orders.convert_order(:'id3', order_number => 'W-2');
-- Unpaid, then paid.
SELECT incomplete_orders.capture_cart('con-4', :'two') AS id \gset
SELECT order_id, paid FROM incomplete_orders.convert_order(:'id', paid => false) \gset
SELECT :'paid' AS paid, incomplete_orders.record_payment(:'order_id') AS now, incomplete_orders.record_payment(:'order_id') AS again;
SELECT paid, paid_at IS NOT NULL AS at FROM incomplete_orders.orders WHERE order_id = :'order_id';
-- Refunds: in parts, never more than was paid; a key makes one of two.
SELECT incomplete_orders.record_refund(:'order_id', 5), incomplete_orders.record_refund(:'order_id', 0.01, 'r1'), incomplete_orders.record_refund(:'order_id', 0.01, 'r1'), incomplete_orders.record_refund(:'order_id', 0.01);
SELECT pg_temp.outcome(format('SELECT incomplete_orders.record_refund(%L, %s)', :'order_id', r)) FROM unnest(ARRAY['0.02, ''r1''', '30.00', '0', '-1', '''NaN''', '0.001', 'NULL']) r;
SELECT incomplete_orders.record_refund(:'order_id', 29.99), refunded = total AS all_of_it FROM incomplete_orders.orders WHERE order_id = :'order_id';
SELECT refunded, total FROM incomplete_orders.orders WHERE order_id = :'order_id';
SELECT refund, amount, idempotency_key FROM incomplete_orders.order_refunds WHERE order_id = :'order_id' ORDER BY refund;
SELECT * FROM pg_temp.story(:'id');
SELECT incomplete_orders.capture_cart('con-5', :'two') AS id \gset
SELECT order_id FROM incomplete_orders.convert_order(:'id', paid => false) \gset
SELECT pg_temp.outcome(format('SELECT incomplete_orders.record_refund(%L, 1)', :'order_id'));

-- In parts: charges are borne by the first, quantities are never exceeded.
SELECT incomplete_orders.capture_cart('con-6', :'two', shipping => 4.9, discount => 1) AS id \gset
SELECT part, total, incomplete_order_id = :'id' AS incomplete FROM incomplete_orders.convert_order(:'id', :'a2', idempotency_key => 'first');
SELECT kind, status, items, can_convert FROM incomplete_orders.incomplete_orders WHERE id = :'id';
-- the same key again is the same part; with other arguments it is an error
SELECT part, total FROM incomplete_orders.convert_order(:'id', :'a2', idempotency_key => 'first');
SELECT what, pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L, %s)', :'id', args)) FROM (VALUES
	('other lines', format('%L, idempotency_key => ''first''', :'a1')), ('unpaid', format('%L, idempotency_key => ''first'', paid => false', :'a2')), ('whole', 'idempotency_key => ''first'''),
	('another number', format('%L, idempotency_key => ''first'', order_number => ''x''', :'a2')),
	('no key', format('%L', :'a1')), ('more than remains', format('%L, idempotency_key => ''k''', :'a2')), ('another price', '''[{"sku":"A","quantity":1,"unit_price":9}]'', idempotency_key => ''k'''),
	('another variant', '''[{"sku":"B","variant":"blue","quantity":1,"unit_price":2.505}]'', idempotency_key => ''k'''), ('unknown', '''[{"sku":"Z","quantity":1,"unit_price":1}]'', idempotency_key => ''k'''),
	('nothing', '''[]'', idempotency_key => ''k'''), ('one of two', '''[{"sku":"A","quantity":1,"unit_price":10},{"sku":"A","quantity":1,"unit_price":10.0,"name":"x"}]'', idempotency_key => ''k''')) x (what, args);
SELECT * FROM pg_temp.parts(:'id');
SELECT part, total FROM incomplete_orders.convert_order(:'id', :'b1', idempotency_key => 'second', paid => false);
SELECT kind, status, items FROM incomplete_orders.incomplete_orders WHERE id = :'id';
-- the rest of it, at once
SELECT part, total FROM incomplete_orders.convert_order(:'id');
SELECT * FROM pg_temp.parts(:'id');
SELECT kind, status, items FROM incomplete_orders.incomplete_orders WHERE id = :'id';
SELECT * FROM pg_temp.story(:'id');
-- the keys still answer
SELECT part FROM incomplete_orders.convert_order(:'id', :'b1', idempotency_key => 'second', paid => false);
-- the last part by its lines closes it too
SELECT incomplete_orders.capture_cart('con-7', :'a2') AS id \gset
SELECT part, total FROM incomplete_orders.convert_order(:'id', :'a2', idempotency_key => 'all');
SELECT kind, status FROM incomplete_orders.incomplete_orders WHERE id = :'id';
-- one key is of one incomplete order
SELECT incomplete_orders.capture_cart('con-8', :'a2') AS id \gset
SELECT part, total FROM incomplete_orders.convert_order(:'id', :'a2', idempotency_key => 'all');
-- whoever buys a part is back: the next episode
SELECT incomplete_orders.capture_cart('con-9', :'a2', at => now() - interval '2 hours') AS id \gset
SELECT part, total FROM incomplete_orders.convert_order(:'id', :'a1', idempotency_key => 'k');
SELECT status, episode FROM incomplete_orders.open_orders WHERE id = :'id';
SELECT event, before, after FROM pg_temp.story(:'id');

-- What cannot be converted.
SELECT incomplete_orders.capture_cart('con-empty', '[]') AS empty \gset
SELECT incomplete_orders.capture_cart('con-negative', :'a1', discount => 10.01) AS negative \gset
SELECT incomplete_orders.capture_cart('con-coupon', :'a1', discount => 9, coupon_discount => 1.005) AS coupon \gset
SELECT incomplete_orders.capture_cart('con-old', :'a1', at => now() - interval '31 days') AS old \gset
SELECT name, can, reason, pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L, paid => false)', id)), pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L)', id)) AS paid
FROM (VALUES ('empty', :'empty'::uuid), ('negative', :'negative'), ('coupon', :'coupon'), ('old', :'old')) x (name, id), incomplete_orders.can_convert(id) ORDER BY name;
SELECT pg_temp.outcome(format('SELECT incomplete_orders.%s', call)) FROM unnest(ARRAY['convert_order(NULL)', 'convert_order(''00000000-0000-0000-0000-000000000000'')', 'convert_order(incomplete_orders._new_id(1))',
	'convert_order(incomplete_orders._new_id(4711))', 'can_convert(incomplete_orders._new_id(1))', 'record_payment(incomplete_orders._new_id(1))', 'record_refund(incomplete_orders._new_id(1), 1)']) call;
-- A total of nothing is an order; so is one whose discounts just meet it, after rounding.
SELECT incomplete_orders.capture_cart('con-free', :'a1', discount => 10) AS id \gset
SELECT total FROM incomplete_orders.convert_order(:'id');
-- Charges are of the first part only: the second cannot be negative for them.
SELECT incomplete_orders.capture_cart('con-disc', :'a2', discount => 10) AS id \gset
SELECT part, total FROM incomplete_orders.convert_order(:'id', :'a1', idempotency_key => 'a');
SELECT part, total FROM incomplete_orders.convert_order(:'id');

-- Late: a closed order is taken when it is paid, whole.
SELECT incomplete_orders.capture_cart('con-late', :'two', at => now() - interval '31 days') AS id \gset
SELECT pg_temp.outcome(format('SELECT incomplete_orders.convert_order(%L, %L, idempotency_key => ''k'')', :'id', :'a1'));
SELECT status FROM incomplete_orders.incomplete_orders WHERE id = :'id';
SELECT part, total, paid FROM incomplete_orders.convert_order(:'id', paid => true);
SELECT status, late FROM incomplete_orders.closed_orders WHERE id = :'id';
SELECT event, before, after FROM pg_temp.story(:'id');
SELECT late FROM pg_temp.parts(:'id');
-- a partial one that expired: what remained
SELECT incomplete_orders.capture_cart('con-late-part', :'a2', at => now() - interval '31 days') AS id \gset
SELECT part, total FROM incomplete_orders.convert_order(:'id', :'a1', idempotency_key => 'k', at => now() - interval '31 days');
SELECT incomplete_orders.capture_cart('con-late-part', :'a2') <> :'id' AS new_order;
SELECT part, total FROM incomplete_orders.convert_order(:'id');
SELECT status, late, items FROM incomplete_orders.closed_orders WHERE id = :'id';
SELECT part, late, lines FROM pg_temp.parts(:'id');

-- Orders that the shop made itself.
SELECT incomplete_orders.capture_cart('con-for-1', :'two', customer_id => 'con-cust', shipping => 1) AS f1 \gset
SELECT incomplete_orders.capture_cart('con-for-2', :'a2', customer_id => 'con-cust') AS f2 \gset
SELECT order_number, incomplete_order_id = :'f1' AS by_session, part, total, currency, paid FROM incomplete_orders.record_order('web-1', session_id => 'con-for-1', customer_id => 'con-cust', total => 33.33);
SELECT order_number, incomplete_order_id = :'f1' AS by_session, total FROM incomplete_orders.record_order('web-1', session_id => 'con-for-2', total => 44);
SELECT order_number, incomplete_order_id = :'f2' AS by_customer, total FROM incomplete_orders.record_order('web-2', session_id => 'con-for-none', customer_id => 'con-cust');
SELECT order_number, incomplete_order_id, total, paid FROM incomplete_orders.record_order('web-3', session_id => 'con-for-none', total => 5, currency => 'jpy', paid => false);
SELECT foreign_order, total, currency, paid, incomplete_order_id IS NULL AS alone FROM incomplete_orders.orders WHERE foreign_order LIKE 'web-%' ORDER BY 1;
SELECT status, items FROM incomplete_orders.closed_orders WHERE id = :'f1';
-- one of ours is then known to the shop under a number of its own
SELECT incomplete_orders.capture_cart('con-for-4', :'a2') AS f4 \gset
SELECT order_number AS ours FROM incomplete_orders.convert_order(:'f4', paid => false) \gset
SELECT order_number = :'ours' AS ours, incomplete_order_id = :'f4' AS same, total, paid FROM incomplete_orders.record_order('web-4', id => :'f4', total => 21.5);
SELECT order_number = :'ours' AS ours, total, paid FROM incomplete_orders.record_order('web-4', id => :'f4');
SELECT total, paid FROM incomplete_orders.convert_order(:'f4');
SELECT * FROM pg_temp.story(:'f4');
-- an expired cart, late; an empty one; even one whose total would be negative
SELECT incomplete_orders.capture_cart('con-for-5', :'a2', at => now() - interval '40 days') AS f5 \gset
SELECT incomplete_order_id = :'f5' AS late, total FROM incomplete_orders.record_order('web-5', id => :'f5', total => 20, paid => false);
SELECT status, late FROM incomplete_orders.closed_orders WHERE id = :'f5';
SELECT incomplete_orders.capture_cart('con-for-6', '[]') AS f6 \gset
SELECT incomplete_order_id = :'f6' AS empty, total FROM incomplete_orders.record_order('web-6', id => :'f6', total => 20);
SELECT incomplete_order_id = :'negative' AS negative, total FROM incomplete_orders.record_order('web-7', id => :'negative', total => 0);
SELECT pg_temp.outcome(format('SELECT incomplete_orders.record_order(%s)', args)) FROM unnest(ARRAY['NULL', '''''', '''web-8''', '''web-8'', total => -1', '''web-8'', total => ''NaN''', '''web-8'', total => 1e12', '''web-8'', total => 1, currency => ''x''',
	'''web-8'', id => incomplete_orders._new_id(1), total => 1', '''web-8'', id => incomplete_orders._new_id(4711), total => 1', '''web-8'', total => 1, shop => ''nowhere''']) args;
SELECT order_id FROM incomplete_orders.orders WHERE foreign_order = 'web-3' \gset
SELECT incomplete_orders.record_payment(:'order_id') AS paid, incomplete_orders.record_refund(:'order_id', 5) AS refunded;
SELECT pg_temp.outcome(format('SELECT incomplete_orders.record_refund(%L, 0.5)', :'order_id'));

-- What one transaction does can be undone, and what fails leaves nothing.
SELECT incomplete_orders.capture_cart('con-undo', :'two') AS id \gset
BEGIN;
SELECT count(*) FROM incomplete_orders.convert_order(:'id');
ROLLBACK;
SELECT status, (SELECT count(*) FROM pg_temp.parts(:'id')) AS orders, (SELECT count(*) FROM pg_temp.story(:'id')) AS events FROM incomplete_orders.open_orders WHERE id = :'id';
BEGIN;
SELECT incomplete_orders.capture_cart('con-undo', :'a1') = :'id' AS same_order;
SELECT total FROM incomplete_orders.convert_order(:'id');
SELECT incomplete_orders.capture_cart('con-undo', :'a2') <> :'id' AS new_order;
COMMIT;
SELECT status, total FROM incomplete_orders.incomplete_orders WHERE session_id = 'con-undo' ORDER BY id;

-- Whatever this test did: in one place each, no order too many, totals right.
SELECT count(*) AS orders, count(*) FILTER (WHERE foreign_order IS NULL AND total <> floor((i.sum + shipping + tax - discount - coupon_discount) * 100 + 0.5) / 100) AS wrong
FROM incomplete_orders.orders o, LATERAL (SELECT sum(quantity * unit_price) FROM incomplete_orders.order_items i WHERE i.order_id = o.order_id) i
WHERE o.incomplete_order_id IN (SELECT id FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'con-%');
SELECT count(*) AS not_in_one_place FROM incomplete_orders.open_orders o JOIN incomplete_orders.closed_orders c USING (shop_id, id);
SELECT count(*) AS events_without_tail FROM incomplete_orders.order_events e WHERE NOT EXISTS (SELECT FROM incomplete_orders.order_event_tail t WHERE t.event_id = e.event_id AND t.event = e.event AND t.value IS NOT DISTINCT FROM e.value);

-- find_orders, orders_of and order_history.
SET search_path = pg_catalog;
\pset null (null)
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('find-a', 'Finds') AS a \gset
SELECT incomplete_orders.create_shop('find-b', 'Other finds') AS b \gset
\set cart '[{"sku":"A","quantity":2,"unit_price":"3.00"}]'
SELECT incomplete_orders.capture_cart('f-ann', :'cart', email => 'Ann.Lee@Example.com', phone => '+49 (30) 123-45', customer_id => 'c-1', shop => 'find-a', at => now() - interval '3 hours') AS ann \gset
SELECT incomplete_orders.capture_cart('f-bob', :'cart', email => 'bob@example.com', phone => '030 12399', customer_id => 'c-2', shop => 'find-a', at => now() - interval '2 hours') AS bob \gset
SELECT incomplete_orders.capture_cart('f-ann2', :'cart', email => 'ann.lee@example.com', customer_id => 'c-1', shop => 'find-a', at => now() - interval '1 hour') AS ann2 \gset
SELECT incomplete_orders.capture_cart('f-odd', :'cart', email => 'annä_%@example.com', customer_id => 'f-bob', shop => 'find-a', at => now() - interval '1 minute') AS odd \gset
SELECT incomplete_orders.capture_cart('f-ann', :'cart', email => 'ann.lee@example.com', customer_id => 'c-1', shop => 'find-b') AS other \gset
SELECT order_id, order_number FROM incomplete_orders.convert_order(:'ann2', order_number => 'N-77') \gset
SELECT count(*) FROM incomplete_orders.record_order('SHOP/9', id => :'bob', total => 6, shop => 'find-a');

CREATE FUNCTION pg_temp.found(search text) RETURNS TABLE (sessions text[]) LANGUAGE sql AS $$
	SELECT array_agg(session_id) FROM incomplete_orders.find_orders(search, 'find-a')
$$;
-- The newest first, open and closed; any case of an e-mail.
SELECT s AS search, f.sessions FROM unnest(ARRAY['ann.lee@example.com', ' ANN.LEE@EXAMPLE.COM ', 'ann.lee@example.co', 'nn.lee@example.com',
	'ann*', 'ANN.L*', 'an*', '*', 'annä*', 'ann_%*', '@example*', 'bob', 'annä_%@example.com']) s, pg_temp.found(s) f;
-- Phones by their digits; customers and sessions as they are.
SELECT s AS search, f.sessions FROM unnest(ARRAY['+493012345', '49 30 123 45', '4930/12345', '03012399', '12345', '+', 'c-1', 'C-1', 'f-ann', 'f-bob', 'f-an']) s, pg_temp.found(s) f;
-- Order numbers, ours and the shop's.
SELECT s AS search, f.sessions FROM unnest(ARRAY['N-77', 'n-77', 'SHOP/9', 'SHOP']) s, pg_temp.found(s) f;
-- An id, that of its order too, however it is written.
SELECT f.sessions FROM unnest(ARRAY[:'ann'::text, upper(:'ann'), replace(:'ann', '-', ''), '{' || :'ann' || '}', :'order_id', left(:'ann', 35), :'other']) s, pg_temp.found(s) f;
-- A reference as it is read aloud.
SELECT reference FROM incomplete_orders.incomplete_orders WHERE id = :'ann' \gset
SELECT count(*) AS ways, bool_and(f.sessions = '{f-ann}') AS found FROM unnest(ARRAY[:'reference', lower(:'reference'), substr(:'reference', 5), lower(substr(:'reference', 5)),
	'inc' || substr(:'reference', 5), 'INC ' || substr(:'reference', 5, 5) || '-' || substr(:'reference', 10),
	translate(:'reference', '10', 'LO'), 'INC-' || translate(substr(:'reference', 5), '10', 'Io')]) s, pg_temp.found(s) f;
SELECT f.sessions FROM unnest(ARRAY[left(:'reference', 13), :'reference' || '0', 'INC-']) s, pg_temp.found(s) f;
-- References with the letters that are misread, and one that begins like the prefix.
SET session_replication_role = replica;
UPDATE incomplete_orders.open_orders SET reference = 'INC-01AB01CD01' WHERE id = :'ann';
UPDATE incomplete_orders.open_orders SET reference = 'INC-1NCAAAAAAA' WHERE id = :'odd';
RESET session_replication_role;
SELECT s AS search, f.sessions FROM unnest(ARRAY['INC-01AB01CD01', 'oiabOLcdo1', 'inc-olabOIcdOI', 'INCAAAAAAA', 'INC-INCAAAAAAA', 'inclncaaaaaaa']) s, pg_temp.found(s) f;
-- Nothing of another shop, not by its id either; * means all that may be seen.
SELECT count(*) FROM incomplete_orders.find_orders(:'other', 'find-a');
SELECT shop, session_id FROM incomplete_orders.find_orders('ann.lee@example.com', '*') WHERE shop LIKE 'find-%';
SELECT session_id FROM incomplete_orders.find_orders('', 'find-a');
SELECT session_id FROM incomplete_orders.find_orders(NULL, 'find-a');
SELECT session_id FROM incomplete_orders.find_orders(E'a\nb', 'find-a');
-- At most the 100 newest.
SELECT count(incomplete_orders.capture_cart('f-many-' || i, '[]', email => 'many@example.com', shop => 'find-b', at => now() - make_interval(mins => i))) FROM generate_series(1, 120) i;
SELECT count(*), count(*) FILTER (WHERE replace(session_id, 'f-many-', '')::integer <= 100) AS newest FROM incomplete_orders.find_orders('many@*', 'find-b');
-- list_orders pages through the same matches.
SELECT count(*) FROM incomplete_orders.list_orders('find-b', search => 'many@example.com', page_size => 1000);

-- orders_of: a customer, a session, or both.
SELECT session_id, status FROM incomplete_orders.orders_of('c-1', shop => 'find-a');
SELECT session_id FROM incomplete_orders.orders_of(session_id => 'f-bob', shop => 'find-a');
SELECT session_id FROM incomplete_orders.orders_of('c-1', 'f-bob', 'find-a');
SELECT count(*) FROM incomplete_orders.orders_of('c-9', 'f-none', 'find-a');
SELECT session_id FROM incomplete_orders.orders_of(shop => 'find-a');
SELECT session_id FROM incomplete_orders.orders_of('', '', 'find-a');

-- order_history: what happened, with changes and notes.
SELECT incomplete_orders.add_note(:'ann', 'rang twice') IS NOT NULL AS noted;
SELECT version FROM incomplete_orders.open_orders WHERE id = :'ann' \gset
SELECT incomplete_orders.edit_order(:'ann', '{"phone": "123"}', :version) = :version + 1 AS edited;
SELECT incomplete_orders.dismiss_order(:'ann', 'test_order');
SELECT event, who = current_user AS me, jsonb_pretty(detail) AS detail FROM incomplete_orders.order_history(:'ann');
SELECT at - lag(at) OVER (ORDER BY n) >= interval '0' AS in_order FROM (SELECT row_number() OVER () AS n, at FROM incomplete_orders.order_history(:'ann')) h OFFSET 1;
SELECT event, detail ->> 'order_id' = :'order_id' AS its_order, detail -> 'paid_amount' AS paid FROM incomplete_orders.order_history(:'ann2') WHERE event = 'converted';
SELECT incomplete_orders.order_history(NULL);
\echo :LAST_ERROR_SQLSTATE
-- IC003 for an id that never was, one of a shop that never was, one that is not ours
DO $$
DECLARE
	id uuid;
BEGIN
	FOREACH id IN ARRAY ARRAY[incomplete_orders._new_id(incomplete_orders._enter_shop('find_orders', 'find-a', NULL)), incomplete_orders._new_id(2000000000), gen_random_uuid()] LOOP
		BEGIN
			PERFORM incomplete_orders.order_history(id);
			RAISE NOTICE 'found';
		EXCEPTION WHEN SQLSTATE 'IC003' THEN
			RAISE NOTICE 'no such order';
		END;
	END LOOP;
END
$$;

-- Lists for staff, page by page: messages, events, items, suppressions, consents;
-- and lists of orders that are bounded, with their counts.
SET search_path = pg_catalog;
\pset null (null)
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('pages-a', 'Pages') AS a \gset
SELECT incomplete_orders.create_shop('pages-b', 'Other pages') AS b \gset

SELECT count(incomplete_orders.capture_cart('p-' || i, (SELECT jsonb_agg(jsonb_build_object('sku', 'S' || k, 'quantity', k, 'unit_price', '2.50')) FROM generate_series(1, 1 + i % 3) k),
	email => 'p' || i || '@example.com', shop => CASE i % 4 WHEN 0 THEN 'pages-b' ELSE 'pages-a' END)) AS made
FROM generate_series(1, 30) i;
CREATE TEMP VIEW mine AS SELECT * FROM incomplete_orders.incomplete_orders WHERE shop IN ('pages-a', 'pages-b');
SELECT count(incomplete_orders.dismiss_order(id)) AS dismissed FROM mine WHERE session_id IN ('p-3', 'p-5');
SELECT count(incomplete_orders.mark_payment_pending(id)) AS pending FROM mine WHERE session_id IN ('p-6', 'p-7');
SELECT count(c.order_id) AS converted FROM mine m, incomplete_orders.convert_order(m.id, order_number => 'P' || m.session_id) c WHERE session_id IN ('p-9', 'p-10');
-- messages of all states and types
INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at)
SELECT m.shop_id, incomplete_orders._new_id(m.shop_id), now(), (enum_range(NULL::incomplete_orders.message_status))[1 + (s + m.days_old + n::integer) % 5], m.id, m.root_id, 1, s,
	CASE s WHEN 1 THEN 'abandoned_cart' ELSE 'payment_reminder' END, 'cart_abandoned', m.email, now(), now() + interval '5 days'
FROM (SELECT *, row_number() OVER (ORDER BY session_id) AS n FROM mine) m, generate_series(1, 2) s;
UPDATE incomplete_orders.messages m SET campaign = 'cart', variant = CASE WHEN m.recipient LIKE '%1@%' THEN 'b' END WHERE m.shop_id = :a AND m.step = 2;
SELECT count(incomplete_orders.suppress('s' || i || '@example.com', CASE WHEN i % 2 = 0 THEN 'complaint' ELSE 'suppressed' END, 'pages-a')) AS suppressed FROM generate_series(1, 7) i;
SELECT count(incomplete_orders.record_consent('s' || i % 3 || '@example.com', CASE WHEN i > 5 THEN 'withdrawn' ELSE 'granted' END, source => 'n' || i, shop => 'pages-a')) AS consents
FROM generate_series(1, 7) i;

-- Pages of any size follow each other without a gap or a repetition, newest first.
CREATE FUNCTION pg_temp.walk(list text, key text, arguments text, page_size integer) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	found text[] := '{}';
	page text[];
	last text;
	n integer;
BEGIN
	FOR i IN 1 .. 200 LOOP
		EXECUTE format('SELECT array_agg(k ORDER BY n) FILTER (WHERE k IS NOT NULL), (array_agg(cursor ORDER BY n DESC))[1], count(*)
			FROM (SELECT row_number() OVER () AS n, %s AS k, l.cursor FROM incomplete_orders.%I(%s, after => %L, page_size => %s) l) x',
			key, list, arguments, last, page_size) INTO page, last, n;
		found := found || page;
		EXIT WHEN n = 0;
	END LOOP;
	RETURN found;
END
$$;
CREATE TEMP TABLE walks (list text, key text, arguments text, truth text);
INSERT INTO walks VALUES
	('list_messages', 'l.message_id::text', 'shop => ''pages-a''', 'SELECT m.id FROM incomplete_orders.messages m WHERE shop_id = $1 ORDER BY m.id DESC'),
	('list_messages', 'l.message_id::text', 'shop => ''pages-a'', status => ''{dead}''', 'SELECT m.id FROM incomplete_orders.messages m WHERE shop_id = $1 AND status = ''dead'' ORDER BY m.id DESC'),
	('list_messages', 'l.message_id::text', 'shop => ''pages-a'', status => ''{dead,sent}'', message_type => ''abandoned_cart''', 'SELECT m.id FROM incomplete_orders.messages m WHERE shop_id = $1 AND status IN (''dead'', ''sent'') AND step = 1 ORDER BY m.id DESC'),
	('list_messages', 'l.message_id::text', 'shop => ''pages-a'', campaign => ''cart''', 'SELECT m.id FROM incomplete_orders.messages m WHERE shop_id = $1 AND step = 2 ORDER BY m.id DESC'),
	('list_messages', 'l.message_id::text', 'shop => ''pages-a'', variant => ''b''', 'SELECT m.id FROM incomplete_orders.messages m WHERE shop_id = $1 AND variant = ''b'' ORDER BY m.id DESC'),
	('list_messages', 'l.message_id::text', 'shop => ''*'', recipient => ''P10@Example.COM''', 'SELECT m.id FROM incomplete_orders.messages m WHERE shop_id = $1 AND recipient = ''p10@example.com'' ORDER BY m.id DESC'),
	('list_messages', 'l.message_id::text', 'shop => ''*'', recipient => ''p1@example.com'', message_type => ''payment_reminder'', campaign => ''cart''', 'SELECT m.id FROM incomplete_orders.messages m WHERE shop_id = $1 AND recipient = ''p1@example.com'' AND step = 2 ORDER BY m.id DESC'),
	('list_messages', 'l.message_id::text', 'shop => ''*'', since => now() - interval ''1 hour'', until => now() + interval ''1 hour''', 'SELECT m.id FROM incomplete_orders.messages m JOIN mine o ON o.id = m.order_id WHERE $1 > 0 ORDER BY m.id DESC'),
	('list_events', 'l.event_id::text', 'shop => ''pages-a''', 'SELECT e.event_id FROM incomplete_orders.order_events e WHERE shop_id = $1 ORDER BY e.order_id DESC, e.event_id DESC'),
	('list_events', 'l.event_id::text', 'shop => ''pages-a'', events => ''{created,dismissed}''', 'SELECT e.event_id FROM incomplete_orders.order_events e WHERE shop_id = $1 AND event IN (''created'', ''dismissed'') ORDER BY e.order_id DESC, e.event_id DESC'),
	('list_items', 'l.order_id || '' '' || l.line', 'shop => ''pages-a''', 'SELECT o.id || '' '' || i.n FROM mine o, jsonb_array_elements(o.items) WITH ORDINALITY i (i, n) WHERE shop_id = $1 ORDER BY o.id DESC, i.n DESC'),
	('list_items', 'l.order_id || '' '' || l.line', 'shop => ''pages-a'', sku => ''S2''', 'SELECT o.id || '' '' || i.n FROM mine o, jsonb_array_elements(o.items) WITH ORDINALITY i (i, n) WHERE shop_id = $1 AND i ->> ''sku'' = ''S2'' ORDER BY o.id DESC, i.n DESC'),
	('list_suppressions', 'l.person', 'shop => ''pages-a''', 'SELECT to_hex(u.person) FROM incomplete_orders.suppressions u WHERE shop_id = $1 ORDER BY u.at DESC, u.person DESC'),
	('list_consents', 'l.source || l.in_force', 'shop => ''pages-a''', 'SELECT c.source || (c.consent_id = (SELECT max(d.consent_id) FROM incomplete_orders.consents d WHERE d.person = c.person)) FROM incomplete_orders.consents c WHERE shop_id = $1 ORDER BY c.at DESC, c.consent_id DESC');
CREATE FUNCTION pg_temp.truth(query text, shop_id integer) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	found text[];
BEGIN
	EXECUTE format('SELECT array_agg(t.k::text ORDER BY t.n) FROM (SELECT x.k, row_number() OVER () AS n FROM (%s) x (k)) t', query) INTO found USING shop_id;
	RETURN found;
END
$$;
SELECT w.list, w.arguments, p AS page_size, cardinality(t.truth) AS rows, pg_temp.walk(w.list, w.key, w.arguments, p) = t.truth AS same
FROM walks w, unnest(ARRAY[1, 7, 100]) p, pg_temp.truth(w.truth, :a) t (truth);

-- Of one order, message and person.
SELECT id AS ten FROM mine WHERE session_id = 'p-10' \gset
SELECT shop, order_id = :'ten' AS its, step, status, message_type, recipient FROM incomplete_orders.list_messages(id => :'ten');
SELECT m.step FROM incomplete_orders.list_messages(message_id => (SELECT message_id FROM incomplete_orders.list_messages(id => :'ten') ORDER BY step LIMIT 1)) m;
SELECT shop, event, who = current_user AS me, status_before, status_after, value, paid_amount FROM incomplete_orders.list_events(id => :'ten');
SELECT shop, status, line, sku, quantity, unit_price, total_price, filled, currency FROM incomplete_orders.list_items(id => :'ten');
SELECT order_number, part, currency, total, paid, refunded, items, refunds FROM incomplete_orders.list_conversions(:'ten');
SELECT count(incomplete_orders.record_refund(order_id, 1.5, 'k')) AS refunded FROM incomplete_orders.list_conversions(:'ten');
SELECT refunded, refunds #- '{0,refunded_at}' AS refunds FROM incomplete_orders.list_conversions(:'ten');
SELECT count(*) AS none FROM incomplete_orders.list_conversions((SELECT id FROM mine WHERE session_id = 'p-1'));
SELECT incomplete_orders.list_conversions('00000000-0000-7000-8000-000000000000');
SELECT (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(o) k) @> '{items,history,orders,total,can_convert}' AS keys, o -> 'history' -> 0 ->> 'event' AS first,
	jsonb_array_length(o -> 'history') AS events, o -> 'orders' -> 0 ->> 'order_number' AS number FROM incomplete_orders.show_order(:'ten') o;
-- what the same statement wrote is seen
SELECT incomplete_orders.show_order(id) -> 'history' -> 1 -> 'detail' ->> 'note' AS note
FROM (SELECT id, incomplete_orders.add_note(id, 'called') AS n FROM mine WHERE session_id = 'p-1' OFFSET 0) x WHERE n > 0;
-- A program of the shop reads an order, but not what staff did with it.
CREATE ROLE regress_pages_app;
SELECT incomplete_orders.grant_to('regress_pages_app', 'app', 'pages-a');
SET ROLE regress_pages_app;
SELECT o ->> 'email' AS email, o -> 'total' AS total, o ? 'history' AS history, o ? 'orders' AS orders FROM incomplete_orders.show_order(:'ten') o;
SELECT incomplete_orders.show_order('00000000-0000-7000-8000-000000000000');
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_pages_app', 'app', 'pages-a');
DROP ROLE regress_pages_app;
SELECT incomplete_orders.show_order('00000000-0000-7000-8000-000000000000');
SELECT reason, scope FROM incomplete_orders.list_suppressions('pages-a', ' S2@Example.com');
SELECT status, source, in_force FROM incomplete_orders.list_consents('pages-a', 's1@example.com');
SELECT count(*) FROM incomplete_orders.list_suppressions('pages-b', 's2@example.com');
SELECT shop FROM incomplete_orders.list_shops() WHERE shop LIKE 'pages%';
SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10}', shop => 'pages-a');
SELECT shop, campaign, step, kind, value, currency, valid_for FROM incomplete_orders.list_coupons('pages-a');

-- What cannot be asked.
SELECT incomplete_orders.list_messages('pages-a', page_size => 0);
SELECT incomplete_orders.list_events('pages-a', page_size => 201);
SELECT incomplete_orders.list_items('pages-a', after => 'x');
SELECT incomplete_orders.list_suppressions('pages-a', after => '1_2');
SELECT incomplete_orders.list_consents('pages-a', after => ''';');
SELECT incomplete_orders.list_messages('pages-none');

-- count_orders counts what list_orders would give.
SELECT f.arguments, c.count = n.n AS same, c.capped FROM unnest(ARRAY['', ', status => ''{dismissed}''', ', status => ''{payment_pending,converted}''', ', guest => true', ', search => ''p-9''',
	', expired => true', ', attempts => 0, since => now() - interval ''1 hour''', ', status => ''{}''']) f (arguments),
	LATERAL (SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT c.count AS c FROM incomplete_orders.count_orders(''*''%s) c', f.arguments), false, true, '')))[1]::text::bigint AS count,
		(xpath('/row/c/text()', query_to_xml(format('SELECT c.capped AS c FROM incomplete_orders.count_orders(''*''%s) c', f.arguments), false, true, '')))[1]::text AS capped) c,
	LATERAL (SELECT (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM incomplete_orders.list_orders(''*'', page_size => 1000%s) c', f.arguments), false, true, '')))[1]::text::bigint AS n) n;

-- A large shop: rare states have their index, other filters a window, counts a cap.
SET session_replication_role = replica;
INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, reference, currency, created_at, expires_at, next_action_at, items, status, customer_id, recovery_attempts)
SELECT :b, id, id, 'P' || n, 'USD', now() - make_interval(secs => n), now() + interval '1 day', now(), '[{"sku":"A","quantity":1,"unit_price":1}]',
	CASE WHEN n IN (1, 12345) THEN 'payment_failed' ELSE 'pending' END::incomplete_orders.order_status, CASE WHEN n IN (5, 12000, 20499) THEN 'c' END, 9
FROM (SELECT n, incomplete_orders._new_id(:b) AS id FROM generate_series(1, 20500) n) x;
INSERT INTO incomplete_orders.closed_orders (shop_id, id, root_id, reference, status, currency, created_at, expires_at, next_action_at, items, closed_at, customer_id)
SELECT :b, id, id, 'P' || n, CASE WHEN n % 5000 = 0 THEN 'dismissed' ELSE 'expired' END::incomplete_orders.order_status, 'USD', now() - make_interval(secs => n), now(), now(),
	'[{"sku":"A","quantity":1,"unit_price":1}]', now(), CASE WHEN n = 23000 THEN 'c' END
FROM (SELECT n, incomplete_orders._new_id(:b) AS id FROM generate_series(20001, 40500) n) x;
INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at)
SELECT :b, id, now(), CASE WHEN n IN (11, 19999) THEN 'dead' WHEN n IN (12, 19998) THEN 'cancelled' ELSE 'sent' END::incomplete_orders.message_status, id, id, 1, 1, 'abandoned_cart',
	'cart_abandoned', 'm@example.com', now(), now() FROM (SELECT n, incomplete_orders._new_id(:b) AS id FROM generate_series(1, 21000) n) x;
RESET session_replication_role;
ANALYZE incomplete_orders.open_orders, incomplete_orders.closed_orders, incomplete_orders.messages;
CREATE FUNCTION pg_temp.blocks(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	-- makes the plans that are kept, and fills the caches of the planner
	EXECUTE query;
	EXECUTE query;
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
	RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END
$$;
SELECT pg_temp.blocks($$SELECT * FROM incomplete_orders.list_orders('pages-b', status => '{dismissed}', bounded => true)$$) < 100 AS rare_closed,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_orders('pages-b', status => '{payment_failed}')$$) < 100 AS rare_open,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_messages('pages-b')$$) < 200 AS messages,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_messages('pages-b', status => '{dead}')$$) < 200 AS dead,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_messages('pages-b', recipient => 'nobody@example.com')$$) < 200 AS of_nobody,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_items('pages-b')$$) < 600 AS items,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_events('pages-b')$$) < 200 AS events;
SELECT session_id, status, reference FROM incomplete_orders.list_orders('pages-b', status => '{payment_failed,dismissed}', bounded => true) WHERE reference LIKE 'P%';
-- three customers among 41000 guests: three pages, each with what 10000 orders of both tables gave
SELECT array_agg(reference ORDER BY n) AS found, (array_agg(cursor ORDER BY n DESC))[1] AS cursor FROM (SELECT row_number() OVER () AS n, * FROM incomplete_orders.list_orders('pages-b', guest => false, bounded => true)) l \gset first_
SELECT :'first_found' AS first;
SELECT array_agg(reference ORDER BY n) AS found, (array_agg(cursor ORDER BY n DESC))[1] AS cursor FROM (SELECT row_number() OVER () AS n, * FROM incomplete_orders.list_orders('pages-b', guest => false, bounded => true, after => :'first_cursor')) l \gset second_
SELECT :'second_found' AS second;
SELECT array_agg(reference ORDER BY n) AS found, (array_agg(cursor ORDER BY n DESC))[1] AS cursor FROM (SELECT row_number() OVER () AS n, * FROM incomplete_orders.list_orders('pages-b', guest => false, bounded => true, after => :'second_cursor')) l \gset third_
SELECT :'third_found' AS third;
SELECT (SELECT array_agg(k) FROM unnest(pg_temp.walk('list_orders', 'l.reference', 'shop => ''pages-b'', guest => false, bounded => true, sort => ''-created_at''', 2)) k) AS down,
	(SELECT array_agg(k) FROM unnest(pg_temp.walk('list_orders', 'l.reference', 'shop => ''pages-b'', guest => false, bounded => true, sort => ''created_at''', 20)) k) AS up,
	cardinality(pg_temp.walk('list_messages', 'l.message_id::text', 'shop => ''pages-b'', status => ''{cancelled}'', since => ''2000-01-01''', 20)) AS cancelled,
	cardinality(pg_temp.walk('list_messages', 'l.message_id::text', 'shop => ''pages-b'', status => ''{dead}''', 20)) AS dead;
SELECT count(*) AS unbounded FROM incomplete_orders.list_orders('pages-b', guest => false);
-- A search that finds much: the newest 2000 of it, and the count says that there are more.
SET session_replication_role = replica;
UPDATE incomplete_orders.open_orders SET email = 'wide' || reference || '@example.com' WHERE shop_id = :b AND reference IN (SELECT 'P' || n FROM generate_series(1, 2500) n);
RESET session_replication_role;
SELECT * FROM incomplete_orders.count_orders('pages-b', search => 'wide*');
SELECT * FROM incomplete_orders.count_orders('pages-b', search => 'widep77@*');
SELECT cardinality(k) AS n, k[1] AS newest, k[cardinality(k)] AS oldest FROM pg_temp.walk('list_orders', 'l.reference', 'shop => ''pages-b'', search => ''wide*'', bounded => true', 500) k;
SELECT cardinality(k) AS unbounded FROM pg_temp.walk('list_orders', 'l.reference', 'shop => ''pages-b'', search => ''wide*''', 500) k;
SELECT * FROM incomplete_orders.count_orders('pages-b');
SELECT * FROM incomplete_orders.count_orders('pages-b', guest => false);
SELECT * FROM incomplete_orders.count_orders('pages-b', status => '{dismissed}');
SELECT c.* FROM incomplete_orders.closed_orders o, incomplete_orders.count_orders('pages-b', until => o.created_at) c WHERE o.shop_id = :b AND o.reference = 'P40300';
SELECT incomplete_orders.list_orders('pages-b', sort => 'total_amount', bounded => true);
SELECT count(*) FROM incomplete_orders.list_orders('pages-b', sort => 'total_amount', bounded => true, since => now() - interval '9000 seconds');
SELECT count(*) FROM incomplete_orders.list_orders('pages-a', sort => '-updated_at', bounded => true);

SET session_replication_role = replica;
DELETE FROM incomplete_orders.open_orders WHERE shop_id = :b AND reference LIKE 'P%';
DELETE FROM incomplete_orders.closed_orders WHERE shop_id = :b AND reference LIKE 'P%';
DELETE FROM incomplete_orders.messages WHERE shop_id IN (:a, :b);
RESET session_replication_role;
SELECT incomplete_orders.remove_coupon('cart', shop => 'pages-a');
-- What a bulk action says of an error that is none of ours.
SELECT incomplete_orders._own_words('IC004', 'order x cannot go') AS ours, incomplete_orders._own_words('23505', 'duplicate key value violates unique constraint "secret"') AS other;

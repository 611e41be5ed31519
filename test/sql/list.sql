-- list_orders: pages of open and closed orders of a shop, and their order.
SET search_path = pg_catalog;
\pset null (null)
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('list-a', 'Lists') AS a \gset
SELECT incomplete_orders.create_shop('list-b', 'Other lists') AS b \gset

-- Open and closed orders of all kinds; several share a moment, a total, a count of attempts.
SELECT count(incomplete_orders.capture_cart('l-' || i, jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', 1 + i % 4, 'unit_price', '2.50')),
	email => CASE WHEN i % 3 = 0 THEN 'list' || i || '@example.com' END, customer_id => CASE WHEN i % 2 = 0 THEN 'c-' || i % 6 END,
	kind => CASE WHEN i % 7 = 0 THEN 'payment' END::incomplete_orders.order_kind, shop => 'list-a', at => now() - make_interval(hours => i / 3))) AS made
FROM generate_series(1, 40) i;
SELECT count(incomplete_orders.capture_cart('l-1', '[{"sku":"B","quantity":1,"unit_price":1}]', shop => 'list-b')) AS other_shop;
CREATE TEMP VIEW mine AS SELECT * FROM incomplete_orders.incomplete_orders WHERE shop = 'list-a';
SELECT count(incomplete_orders.dismiss_order(id)) AS dismissed FROM mine WHERE session_id IN ('l-3', 'l-12', 'l-21', 'l-30');
SELECT count(c.order_id) AS converted FROM mine m, incomplete_orders.convert_order(m.id, order_number => 'L' || m.session_id) c WHERE session_id IN ('l-4', 'l-5', 'l-40');
SELECT count(incomplete_orders.mark_abandoned(id)) AS abandoned FROM mine WHERE session_id IN ('l-7', 'l-8', 'l-9');
UPDATE incomplete_orders.open_orders SET recovery_attempts = 2 WHERE shop_id = :a AND session_id IN ('l-7', 'l-8');
UPDATE incomplete_orders.open_orders SET context = jsonb_build_object('device', CASE session_id WHEN 'l-13' THEN 'mobile' ELSE 'desktop' END, 'source', 'news'),
	furthest_step = 'shipping', currency = CASE session_id WHEN 'l-14' THEN 'EUR' ELSE currency END, phone = CASE session_id WHEN 'l-14' THEN '5550100' END
	WHERE shop_id = :a AND session_id IN ('l-13', 'l-14', 'l-15');
INSERT INTO incomplete_orders.order_outcomes (shop_id, root_id, outcome, currency, bot, day, hour, value, step, reason, device, source, minutes, revenue, coupon_cost, paid_day)
SELECT :a, root_id, CASE session_id WHEN 'l-4' THEN 'recovered' ELSE 'unaided' END, 'USD', false, current_date, '', '', '', '', '', '', '', 1, 0, current_date FROM mine WHERE session_id IN ('l-4', 'l-5');
-- open, but its time is over
UPDATE incomplete_orders.open_orders SET expires_at = now() - interval '1 day' WHERE shop_id = :a AND session_id IN ('l-10', 'l-11');

-- The columns are the view's and the cursor; the rows are the view's.
SELECT array_agg(j.key ORDER BY j.key) = (SELECT array_agg(attname::text ORDER BY attname::text) FROM pg_attribute WHERE attrelid = 'incomplete_orders.incomplete_orders'::regclass AND attnum > 0) AS same_columns
FROM incomplete_orders.list_orders('list-a', page_size => 1) l, jsonb_each(to_jsonb(l) - 'cursor') j;
BEGIN;
SELECT count(*), count(*) FILTER (WHERE to_jsonb(l) - 'cursor' = to_jsonb(m)) AS same FROM incomplete_orders.list_orders('list-a', page_size => 1000) l JOIN mine m USING (id);
COMMIT;

-- Twenty by default, the newest first.
SELECT count(*), array_agg(session_id ORDER BY n) AS sessions FROM (SELECT row_number() OVER () AS n, session_id FROM incomplete_orders.list_orders('list-a')) l;

-- Each sort is that of the view, ties by id; and pages of any size follow each
-- other without a gap or a repetition.
CREATE FUNCTION pg_temp.paged(sort text, page_size integer) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
	found uuid[] := '{}';
	page uuid[];
	last text;
BEGIN
	FOR i IN 1 .. 100 LOOP
		SELECT array_agg(l.id ORDER BY n), (array_agg(l.cursor ORDER BY n DESC))[1] INTO page, last
		FROM (SELECT row_number() OVER () AS n, * FROM incomplete_orders.list_orders('list-a', sort => paged.sort, after => last, page_size => paged.page_size)) l;
		EXIT WHEN page IS NULL;
		found := found || page;
	END LOOP;
	RETURN found;
END
$$;
CREATE FUNCTION pg_temp.expected(sort text) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
	found uuid[];
	way text := CASE WHEN sort LIKE '-%' THEN 'DESC' ELSE 'ASC' END;
BEGIN
	EXECUTE format('SELECT array_agg(id ORDER BY %I %s, id %s) FROM mine', CASE ltrim(sort, '-')
		WHEN 'updated_at' THEN 'last_activity_at' WHEN 'total_amount' THEN 'total' ELSE ltrim(sort, '-') END, way, way) INTO found;
	RETURN found;
END
$$;
SELECT sort, page_size, pg_temp.paged(sort, page_size) = pg_temp.expected(sort) AS same
FROM unnest(ARRAY['created_at', '-created_at', 'updated_at', '-updated_at', 'total_amount', '-total_amount', 'recovery_attempts', '-recovery_attempts']) sort,
	unnest(ARRAY[1, 7, 1000]) page_size ORDER BY ltrim(sort, '-'), sort, page_size;
-- A total below zero and a large one have cursors too.
SELECT incomplete_orders.capture_cart('l-1', NULL, discount => 100, shop => 'list-a') IS NOT NULL AS below_zero,
	incomplete_orders.capture_cart('l-2', '[{"sku":"A","quantity":1000000,"unit_price":"900000"}]', shop => 'list-a') IS NOT NULL AS large;
SELECT pg_temp.paged(s, 1) = pg_temp.expected(s) AS same FROM unnest(ARRAY['total_amount', '-total_amount']) s;

-- Filters, alone and together.
CREATE TEMP TABLE filters (name text, call text, condition text);
INSERT INTO filters VALUES
	('one state', 'status => ''{abandoned}''', 'status = ''abandoned'''),
	('open states', 'status => ''{pending,abandoned}''', 'status IN (''pending'', ''abandoned'')'),
	('closed states', 'status => ''{converted,dismissed}''', 'status IN (''converted'', ''dismissed'')'),
	('both', 'status => ''{abandoned,NULL,converted}''', 'status IN (''abandoned'', ''converted'')'),
	('no state', 'status => ''{}''', 'false'),
	('kind', 'kind => ''payment''', 'kind = ''payment'''),
	('since', 'since => now() - interval ''6 hours''', 'created_at >= now() - interval ''6 hours'''),
	('until', 'until => now() - interval ''6 hours''', 'created_at < now() - interval ''6 hours'''),
	('expired', 'expired => true', 'is_expired'),
	('not expired', 'expired => false', 'NOT is_expired'),
	('guest', 'guest => true', 'is_guest'),
	('not guest', 'guest => false', 'NOT is_guest'),
	('attempts', 'attempts => 2', 'recovery_attempts = 2'),
	('no attempt', 'attempts => 0', 'recovery_attempts = 0'),
	('search', 'search => ''c-2''', 'customer_id = ''c-2'''),
	('several', 'status => ''{pending}'', guest => false, kind => ''cart'', attempts => 0, search => ''c-2'', expired => false, since => now() - interval ''10 hours''',
		'status = ''pending'' AND NOT is_guest AND kind = ''cart'' AND recovery_attempts = 0 AND customer_id = ''c-2'' AND NOT is_expired AND created_at >= now() - interval ''10 hours'''),
	('blank search', 'search => ''''', 'true'),
	('abandoned since', 'abandoned_since => now() - interval ''1 hour''', 'abandoned_at >= now() - interval ''1 hour'''),
	('abandoned until', 'abandoned_until => now() - interval ''1 hour''', 'abandoned_at < now() - interval ''1 hour'''),
	('expires since', 'expires_since => now()', 'expires_at >= now()'),
	('expires until', 'expires_until => now()', 'expires_at < now()'),
	('can convert', 'can_convert => true', 'can_convert'),
	('cannot convert', 'can_convert => false', 'NOT can_convert'),
	('total', 'total_from => 5, total_to => 7.5', 'total BETWEEN 5 AND 7.5'),
	('currency', 'currency => ''EUR''', 'currency = ''EUR'''),
	('step', 'step => ''shipping''', 'furthest_step = ''shipping'''),
	('device', 'device => ''mobile''', 'context ->> ''device'' = ''mobile'''),
	('source', 'source => ''news''', 'context ->> ''source'' = ''news'''),
	('contactable', 'contactable => true', 'email IS NOT NULL OR phone IS NOT NULL'),
	('not contactable', 'contactable => false', 'email IS NULL AND phone IS NULL'),
	('recovered', 'outcome => ''recovered''', 'session_id = ''l-4'''),
	('unaided', 'outcome => ''unaided''', 'session_id = ''l-5'''),
	('more, sorted', 'sort => ''-total_amount'', can_convert => true, contactable => true, total_from => 5, status => ''{pending,abandoned}''',
		'can_convert AND (email IS NOT NULL OR phone IS NOT NULL) AND total >= 5 AND status IN (''pending'', ''abandoned'')'),
	('more, bounded', 'bounded => true, step => ''shipping'', contactable => false', 'furthest_step = ''shipping'' AND email IS NULL AND phone IS NULL');
CREATE FUNCTION pg_temp.filtered(call text, condition text) RETURNS TABLE (n bigint, same boolean) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT cardinality(a.ids)::bigint, a.ids = b.ids FROM (SELECT array_agg(id ORDER BY id) AS ids FROM incomplete_orders.list_orders(''list-a'', page_size => 1000, %s)) a,
		(SELECT array_agg(id ORDER BY id) AS ids FROM mine WHERE %s) b', call, condition);
END
$$;
BEGIN;
SELECT f.name, x.n, x.same FROM filters f, pg_temp.filtered(f.call, f.condition) x;
COMMIT;
-- They count the same.
CREATE FUNCTION pg_temp.counted(call text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT count FROM incomplete_orders.count_orders(''list-a'', %s)', call) INTO n;
	RETURN n;
END
$$;
SELECT f.name AS miscounted FROM filters f, pg_temp.filtered(f.call, f.condition) x
WHERE f.call !~ 'sort|bounded' AND pg_temp.counted(f.call) IS DISTINCT FROM coalesce(x.n, 0);
-- since is inclusive and until exclusive
SELECT count(*) FILTER (WHERE l.id = m.id) AS since, (SELECT count(*) FROM incomplete_orders.list_orders('list-a', until => m.created_at, page_size => 1000) u WHERE u.id = m.id) AS until
FROM mine m, incomplete_orders.list_orders('list-a', since => m.created_at, page_size => 1000) l WHERE m.session_id = 'l-20' GROUP BY m.id, m.created_at;

-- What cannot be asked.
SELECT session_id FROM incomplete_orders.list_orders('list-a', sort => 'email');
SELECT session_id FROM incomplete_orders.list_orders('list-a', sort => 'created_at DESC; --');
SELECT session_id FROM incomplete_orders.list_orders('list-a', page_size => 0);
SELECT session_id FROM incomplete_orders.list_orders('list-a', page_size => 1001);
SELECT session_id FROM incomplete_orders.list_orders('list-a', after => 'x');
SELECT session_id FROM incomplete_orders.list_orders('list-a', after => repeat('zz', 25));
SELECT cursor FROM incomplete_orders.list_orders('list-a', page_size => 1) \gset
SELECT session_id FROM incomplete_orders.list_orders('list-a', after => :'cursor', sort => 'created_at');
SELECT session_id FROM incomplete_orders.list_orders('list-a', after => :'cursor' || '00');
SELECT count(*) FROM incomplete_orders.list_orders('list-a', after => upper(:'cursor'));
SELECT session_id FROM incomplete_orders.list_orders('list-a', search => repeat('x', 256));
SELECT session_id FROM incomplete_orders.list_orders('list-none');
\echo :LAST_ERROR_SQLSTATE

-- Shops: one's own when there is only one, all that may be seen with *.
CREATE ROLE regress_list_a;
CREATE ROLE regress_list_ab;
SELECT incomplete_orders.grant_to('regress_list_a', 'admin', 'list-a'), incomplete_orders.grant_to('regress_list_ab', 'admin', 'list-a'), incomplete_orders.grant_to('regress_list_ab', 'admin', 'list-b');
SET ROLE regress_list_a;
SELECT shop, count(*) FROM incomplete_orders.list_orders(page_size => 1000) GROUP BY shop;
SELECT shop, count(*) FROM incomplete_orders.list_orders('*', page_size => 1000) GROUP BY shop;
SELECT count(*) FROM incomplete_orders.list_orders('list-b');
SET ROLE regress_list_ab;
SELECT shop, count(*) FROM incomplete_orders.list_orders('*', page_size => 1000) GROUP BY shop ORDER BY shop;
SELECT shop FROM incomplete_orders.list_orders('*', sort => '-created_at', page_size => 1);
RESET ROLE;
SELECT incomplete_orders.revoke_from(r, 'admin', s) FROM (VALUES ('regress_list_a', 'list-a'), ('regress_list_ab', 'list-a'), ('regress_list_ab', 'list-b')) v (r, s);
DROP ROLE regress_list_a, regress_list_ab;

-- A page of a large shop is read through the index: few blocks, not the table.
SET session_replication_role = replica;
INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, reference, currency, created_at, expires_at, next_action_at, items)
SELECT :b, id, id, 'L' || n, 'USD', now() - make_interval(secs => n), now() + interval '1 day', now(), '[{"sku":"A","quantity":1,"unit_price":1}]'
FROM (SELECT n, incomplete_orders._new_id(:b) AS id FROM generate_series(1, 20000) n) x;
INSERT INTO incomplete_orders.closed_orders (shop_id, id, root_id, reference, status, currency, created_at, expires_at, next_action_at, items, closed_at)
SELECT :b, id, id, 'L' || n, 'deleted', 'USD', now() - make_interval(secs => n), now() + interval '1 day', now(), '[{"sku":"A","quantity":1,"unit_price":1}]', now()
FROM (SELECT n, incomplete_orders._new_id(:b) AS id FROM generate_series(20001, 40000) n) x;
RESET session_replication_role;
ANALYZE incomplete_orders.open_orders, incomplete_orders.closed_orders;
CREATE FUNCTION pg_temp.blocks(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE query;				-- makes the plan that is kept
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
	RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
END
$$;
SELECT relpages > 200 AS large FROM pg_class WHERE oid = 'incomplete_orders.open_orders'::regclass;
SELECT pg_temp.blocks($$SELECT * FROM incomplete_orders.list_orders('list-b')$$) < 200 AS newest,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_orders('list-b', sort => 'created_at')$$) < 200 AS oldest,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_orders('list-b', until => now() - interval '3 hours')$$) < 200 AS since_long,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.list_orders('*')$$) < 400 AS all_shops,
	pg_temp.blocks($$SELECT * FROM incomplete_orders.find_orders('nobody@example.com', 'list-b')$$) < 200 AS found;
SET session_replication_role = replica;
DELETE FROM incomplete_orders.open_orders WHERE shop_id = :b;
DELETE FROM incomplete_orders.closed_orders WHERE shop_id = :b;
RESET session_replication_role;

-- Lists for staff, page by page: newest first, from behind a cursor on.
--
-- A page is found by an index.  What a filter without an index leaves is looked for
-- in so many rows of each shop as the windows below say: when the page is not full by
-- then, its last row holds nothing but the cursor from which the next page goes on.
-- In SQL, because results have columns with the names of arguments; limits inside are
-- constants, which the planner can see.

CREATE FUNCTION incomplete_orders._read_cursor(after text, pattern text, page_size integer) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parts text[] := regexp_match(after, '^' || pattern || '$');
BEGIN
	IF page_size IS NULL OR page_size NOT BETWEEN 1 AND 200 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'argument "page_size" must be from 1 to 200';
	END IF;
	IF after IS NOT NULL AND parts IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "after" is not a cursor of this list',
			DETAIL = 'A cursor is the last column of the last row of the page before.',
			HINT = 'Leave it out for the first page.';
	END IF;
	RETURN parts;
END
$$;
COMMENT ON FUNCTION incomplete_orders._read_cursor(text, text, integer) IS 'The parts of a cursor, null without one; checks the size of the page, too. 22023';

-- In a function of its own, planned once: the planner of every page would look at all partitions.
CREATE FUNCTION incomplete_orders._roots_of_email(shop_id integer, email text) RETURNS TABLE (root_id uuid)
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER ROWS 5 SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
	of_shop CONSTANT integer := _roots_of_email.shop_id;
	wanted CONSTANT text := lower(_roots_of_email.email COLLATE "C");
BEGIN
	RETURN QUERY SELECT DISTINCT o.root_id FROM (
		(SELECT o.root_id FROM incomplete_orders.open_orders o WHERE o.shop_id = of_shop AND lower(o.email COLLATE "C") = wanted ORDER BY o.id DESC LIMIT 1000)
		UNION ALL
		(SELECT o.root_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = of_shop AND lower(o.email COLLATE "C") = wanted ORDER BY o.id DESC LIMIT 1000)
	) o;
END
$$;
ALTER FUNCTION incomplete_orders._roots_of_email OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._roots_of_email IS 'The roots of the newest orders of an address, in any case: 1000 open and 1000 closed ones';

CREATE FUNCTION incomplete_orders.list_messages(shop text DEFAULT NULL, id uuid DEFAULT NULL, message_id uuid DEFAULT NULL,
	status incomplete_orders.message_status[] DEFAULT NULL, message_type text DEFAULT NULL, since timestamptz DEFAULT NULL,
	until timestamptz DEFAULT NULL, after text DEFAULT NULL, page_size integer DEFAULT 20, campaign text DEFAULT NULL, variant text DEFAULT NULL,
	recipient text DEFAULT NULL)
RETURNS TABLE (message_id uuid, shop text, order_id uuid, episode integer, campaign text, step integer, ordinal integer, variant text,
	status incomplete_orders.message_status, message_type text, template text, subject text, recipient text, queued_at timestamptz,
	due_at timestamptz, attempts integer, sent_at timestamptz, mail_message_id text, response text, reason text, delivered_at timestamptz,
	opened_at timestamptz, clicked_at timestamptz, replied_at timestamptz, bounced_at timestamptz, complained_at timestamptz,
	unsubscribed_at timestamptz, cursor text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH v AS MATERIALIZED (
		SELECT unnest(incomplete_orders._visible_shops('list_messages', coalesce($1, CASE WHEN $2 IS NOT NULL OR $3 IS NOT NULL THEN '*' END))) AS shop_id
	), c AS MATERIALIZED (
		-- between which ids: they carry the time at which the message was queued; page_size from here, so that it is checked
		SELECT $9 AS page_size, least(coalesce((incomplete_orders._read_cursor($8, '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})', $9))[1]::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
				CASE WHEN isfinite($7) THEN incomplete_orders._id_at(greatest($7, 'epoch')) END) AS below,
			CASE WHEN isfinite($6) THEN incomplete_orders._id_at(greatest($6, 'epoch')) ELSE '00000000-0000-0000-0000-000000000000' END AS above
	), b AS MATERIALIZED (
		SELECT w.id FROM c, v CROSS JOIN LATERAL (
			SELECT m.id FROM incomplete_orders.messages m WHERE m.shop_id = v.shop_id AND m.id < c.below AND m.id >= c.above
			ORDER BY m.id DESC OFFSET 10000 LIMIT 1
		) w
		WHERE $2 IS NULL AND $3 IS NULL AND $12 IS NULL AND ($4 IS NOT NULL AND $4 <> '{dead}' OR $5 IS NOT NULL OR $10 IS NOT NULL OR $11 IS NOT NULL)
		ORDER BY w.id DESC LIMIT 1
	), page AS MATERIALIZED (
		SELECT m.m FROM c, v CROSS JOIN LATERAL (
			(SELECT m FROM incomplete_orders.messages m
			 WHERE $2 IS NULL AND $3 IS NULL AND $12 IS NULL AND $4 IS DISTINCT FROM '{dead}' AND m.shop_id = v.shop_id AND m.id < c.below
				AND m.id >= coalesce((SELECT b.id FROM b), c.above) AND ($4 IS NULL OR m.status = ANY ($4)) AND ($5 IS NULL OR m.message_type = $5)
				AND ($10 IS NULL OR m.campaign = $10) AND ($11 IS NULL OR m.variant = $11)
			 ORDER BY m.id DESC LIMIT 200)
			UNION ALL
			(SELECT m FROM incomplete_orders.messages m
			 WHERE $2 IS NULL AND $3 IS NULL AND $12 IS NULL AND $4 = '{dead}' AND m.status = 'dead' AND m.shop_id = v.shop_id AND m.id < c.below AND m.id >= c.above
				AND ($5 IS NULL OR m.message_type = $5)
				AND ($10 IS NULL OR m.campaign = $10) AND ($11 IS NULL OR m.variant = $11)
			 ORDER BY m.id DESC LIMIT 200)
			UNION ALL
			(SELECT m FROM incomplete_orders.messages m
			 WHERE m.shop_id = v.shop_id AND m.id = $3 AND m.id < c.below AND m.id >= c.above AND ($2 IS NULL OR m.order_id = $2)
				AND ($4 IS NULL OR m.status = ANY ($4)) AND ($5 IS NULL OR m.message_type = $5)
				AND ($10 IS NULL OR m.campaign = $10) AND ($11 IS NULL OR m.variant = $11) AND ($12 IS NULL OR lower(m.recipient COLLATE "C") = lower($12 COLLATE "C")))
			UNION ALL
			SELECT m FROM incomplete_orders.messages m
			WHERE $2 IS NOT NULL AND $3 IS NULL AND m.shop_id = v.shop_id AND m.order_id = $2 AND m.root_id = (
					SELECT o.root_id FROM incomplete_orders.open_orders o WHERE o.shop_id = v.shop_id AND o.id = $2
					UNION ALL SELECT o.root_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = v.shop_id AND o.id = $2 LIMIT 1)
				AND m.id < c.below AND m.id >= c.above AND ($4 IS NULL OR m.status = ANY ($4)) AND ($5 IS NULL OR m.message_type = $5)
				AND ($10 IS NULL OR m.campaign = $10) AND ($11 IS NULL OR m.variant = $11) AND ($12 IS NULL OR lower(m.recipient COLLATE "C") = lower($12 COLLATE "C"))
			UNION ALL
			-- no index has the recipients: by the orders of that address
			-- the inner one is found by nothing but the root
			(SELECT k.m FROM incomplete_orders._roots_of_email(v.shop_id, $12) r CROSS JOIN LATERAL (
				SELECT m FROM incomplete_orders.messages m WHERE m.shop_id = v.shop_id AND m.root_id = r.root_id OFFSET 0) k
			 WHERE $12 IS NOT NULL AND $2 IS NULL AND $3 IS NULL AND (k.m).id < c.below AND (k.m).id >= c.above AND ($4 IS NULL OR (k.m).status = ANY ($4))
				AND ($5 IS NULL OR (k.m).message_type = $5) AND ($10 IS NULL OR (k.m).campaign = $10) AND ($11 IS NULL OR (k.m).variant = $11)
				AND lower((k.m).recipient COLLATE "C") = lower($12 COLLATE "C")
			 ORDER BY (k.m).id DESC LIMIT 200)
		) m
		ORDER BY (m.m).id DESC LIMIT (SELECT c.page_size FROM c)
	)
	SELECT (p.m).id, s.shop, (p.m).order_id, (p.m).episode, (p.m).campaign, (p.m).step, (p.m).ordinal, (p.m).variant, (p.m).status, (p.m).message_type,
		(p.m).template, (p.m).subject, (p.m).recipient, (p.m).queued_at, (p.m).due_at, (p.m).attempts, (p.m).sent_at, (p.m).mail_message_id, (p.m).response,
		(p.m).reason, (p.m).delivered_at, (p.m).opened_at, (p.m).clicked_at, (p.m).replied_at, (p.m).bounced_at, (p.m).complained_at, (p.m).unsubscribed_at,
		p.cursor::text
	FROM (
		SELECT page.m, (page.m).id AS cursor FROM page
		UNION ALL SELECT NULL, b.id FROM b WHERE (SELECT count(*) FROM page) < $9
	) p LEFT JOIN incomplete_orders.shops s ON s.shop_id = (p.m).shop_id
	ORDER BY p.cursor DESC
$$;
ALTER FUNCTION incomplete_orders.list_messages OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_messages IS
	'A page of recovery messages, the newest first: of an order (id), of a state, type, campaign and variant, queued since and before until; recipient: of the newest 1000 open and 1000 closed orders with that address, any case; message_id: that one. after is the cursor of the last row of the page before; page_size 1 to 200. The last row of a page may hold nothing but a cursor: 10000 messages were looked at, and it goes on. shop ''*'', and null with an id: all that the caller may see. IC002, 22023';

CREATE FUNCTION incomplete_orders.list_events(shop text DEFAULT NULL, id uuid DEFAULT NULL, events text[] DEFAULT NULL,
	since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, after text DEFAULT NULL, page_size integer DEFAULT 20)
RETURNS TABLE (event_id bigint, shop text, order_id uuid, at timestamptz, event text, who text, episode integer,
	status_before incomplete_orders.order_status, status_after incomplete_orders.order_status, kind incomplete_orders.order_kind, currency text, value numeric,
	item_count bigint, furthest_step incomplete_orders.checkout_step, reason text, campaign text, step integer, variant text, holdout boolean,
	message_id uuid, machine boolean, completed_order_id uuid, paid_amount numeric, refund_amount numeric, coupon_cost numeric, changes jsonb, cursor text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH v AS MATERIALIZED (
		SELECT unnest(incomplete_orders._visible_shops('list_events', coalesce($1, CASE WHEN $2 IS NOT NULL THEN '*' END))) AS shop_id
	), c AS MATERIALIZED (
		SELECT $7 AS page_size, coalesce(p.parts[1]::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') AS order_id, coalesce(p.parts[2]::bigint, 9223372036854775807) AS event_id
		FROM (SELECT incomplete_orders._read_cursor($6, '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{1,18})', $7) AS parts) p
	), b AS MATERIALIZED (
		SELECT w.order_id, w.event_id FROM c, v CROSS JOIN LATERAL (
			SELECT e.order_id, e.event_id FROM incomplete_orders.order_events e
			WHERE e.shop_id = v.shop_id AND (e.order_id, e.event_id) < (c.order_id, c.event_id)
			ORDER BY e.order_id DESC, e.event_id DESC OFFSET 10000 LIMIT 1
		) w
		WHERE $2 IS NULL AND ($3 IS NOT NULL OR $4 IS NOT NULL OR $5 IS NOT NULL)
		ORDER BY w.order_id DESC, w.event_id DESC LIMIT 1
	), page AS MATERIALIZED (
		SELECT e.e FROM c, v CROSS JOIN LATERAL (
			(SELECT e FROM incomplete_orders.order_events e
			 WHERE $2 IS NULL AND e.shop_id = v.shop_id AND (e.order_id, e.event_id) < (c.order_id, c.event_id)
				AND (e.order_id, e.event_id) >= (coalesce((SELECT b.order_id FROM b), '00000000-0000-0000-0000-000000000000'), coalesce((SELECT b.event_id FROM b), 0))
				AND e.event <> 'recounted' AND ($3 IS NULL OR e.event = ANY ($3)) AND ($4 IS NULL OR e.at >= $4) AND ($5 IS NULL OR e.at < $5)
			 ORDER BY e.order_id DESC, e.event_id DESC LIMIT 200)
			UNION ALL
			(SELECT e FROM incomplete_orders.order_events e
			 WHERE e.shop_id = v.shop_id AND e.order_id = $2 AND (e.order_id, e.event_id) < (c.order_id, c.event_id)
				AND e.event <> 'recounted' AND ($3 IS NULL OR e.event = ANY ($3)) AND ($4 IS NULL OR e.at >= $4) AND ($5 IS NULL OR e.at < $5)
			 ORDER BY e.order_id DESC, e.event_id DESC LIMIT 200)
		) e
		ORDER BY (e.e).order_id DESC, (e.e).event_id DESC LIMIT (SELECT c.page_size FROM c)
	)
	SELECT (p.e).event_id, s.shop, (p.e).order_id, (p.e).at, (p.e).event, (p.e).actor, (p.e).episode, (p.e).status_before, (p.e).status_after, (p.e).kind,
		(p.e).currency, (p.e).value, (p.e).item_count, (p.e).furthest_step, (p.e).reason_code, (p.e).campaign, (p.e).step, (p.e).variant, (p.e).holdout,
		(p.e).message_id, (p.e).machine, (p.e).order_ref, (p.e).paid_amount, (p.e).refund_amount, (p.e).coupon_cost,
		CASE WHEN (p.e).event NOT IN ('abandoned', 'reanimated') THEN (SELECT h.changes FROM incomplete_orders.order_changes h
			WHERE h.shop_id = (p.e).shop_id AND h.order_id = (p.e).order_id AND h.event_id = (p.e).event_id) END,
		p.order_id || '-' || p.event_id
	FROM (
		SELECT page.e, (page.e).order_id, (page.e).event_id FROM page
		UNION ALL SELECT NULL, b.order_id, b.event_id FROM b WHERE (SELECT count(*) FROM page) < $7
	) p LEFT JOIN incomplete_orders.shops s ON s.shop_id = (p.e).shop_id
	ORDER BY p.order_id DESC, p.event_id DESC
$$;
ALTER FUNCTION incomplete_orders.list_events OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_events IS
	'A page of the history of all orders: the newest order first, and its newest event first; of an order (id), of these events, at since and before until. after, page_size, shop and a last row that is only a cursor as in list_messages(). The notes and the differences between two abandonments are in order_history(). IC002, 22023';

CREATE FUNCTION incomplete_orders.list_items(shop text DEFAULT NULL, id uuid DEFAULT NULL, sku text DEFAULT NULL, after text DEFAULT NULL,
	page_size integer DEFAULT 20)
RETURNS TABLE (order_id uuid, shop text, reference text, status incomplete_orders.order_status, created_at timestamptz, currency text, line integer,
	sku text, name text, quantity integer, unit_price numeric, total_price numeric, filled integer, product_id text, variant text, image_url text, url text,
	extras jsonb, cursor text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH v AS MATERIALIZED (
		SELECT unnest(incomplete_orders._visible_shops('list_items', coalesce($1, CASE WHEN $2 IS NOT NULL THEN '*' END))) AS shop_id
	), c AS MATERIALIZED (
		SELECT $5 AS page_size, coalesce(p.parts[1]::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') AS order_id, coalesce(p.parts[2]::integer, 2147483647) AS line
		FROM (SELECT incomplete_orders._read_cursor($4, '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9]{1,9})', $5) AS parts) p
	), o AS MATERIALIZED (
		-- as many orders as surely are looked through
		SELECT o.* FROM (
			SELECT o.* FROM c, v CROSS JOIN LATERAL (
				(SELECT o.shop_id, o.id, o.reference, o.status, o.created_at, o.currency, o.items FROM incomplete_orders.open_orders o
				 WHERE $2 IS NULL AND $3 IS NULL AND o.shop_id = v.shop_id AND o.id <= c.order_id ORDER BY o.id DESC LIMIT 201)
				UNION ALL
				(SELECT o.shop_id, o.id, o.reference, o.status, o.created_at, o.currency, o.items FROM incomplete_orders.closed_orders o
				 WHERE $2 IS NULL AND $3 IS NULL AND o.shop_id = v.shop_id AND o.id <= c.order_id ORDER BY o.id DESC LIMIT 201)
				UNION ALL
				(SELECT o.shop_id, o.id, o.reference, o.status, o.created_at, o.currency, o.items FROM incomplete_orders.open_orders o
				 WHERE $2 IS NULL AND $3 IS NOT NULL AND o.shop_id = v.shop_id AND o.id <= c.order_id ORDER BY o.id DESC LIMIT 2001)
				UNION ALL
				(SELECT o.shop_id, o.id, o.reference, o.status, o.created_at, o.currency, o.items FROM incomplete_orders.closed_orders o
				 WHERE $2 IS NULL AND $3 IS NOT NULL AND o.shop_id = v.shop_id AND o.id <= c.order_id ORDER BY o.id DESC LIMIT 2001)
				UNION ALL
				SELECT o.shop_id, o.id, o.reference, o.status, o.created_at, o.currency, o.items FROM incomplete_orders.open_orders o
				WHERE o.shop_id = v.shop_id AND o.id = $2 AND o.id <= c.order_id
				UNION ALL
				SELECT o.shop_id, o.id, o.reference, o.status, o.created_at, o.currency, o.items FROM incomplete_orders.closed_orders o
				WHERE o.shop_id = v.shop_id AND o.id = $2 AND o.id <= c.order_id
			) o
		) o
		ORDER BY o.id DESC LIMIT CASE WHEN $3 IS NULL THEN 201 ELSE 2001 END
	), b AS MATERIALIZED (
		SELECT o.id AS order_id FROM o ORDER BY o.id DESC OFFSET CASE WHEN $3 IS NULL THEN 200 ELSE 2000 END
	), page AS MATERIALIZED (
		-- the lines of an order from the last one down, so that one comparison pages
		SELECT o.shop_id, o.id, o.reference, o.status, o.created_at, o.currency, i.line, i.sku, i.name, i.quantity, i.unit_price, i.filled, i.product_id,
			i.variant, i.image_url, i.url, i.extras
		FROM c, o CROSS JOIN LATERAL incomplete_orders.unnest(o.items) i
		WHERE (o.id, i.line) < (c.order_id, c.line) AND ($3 IS NULL OR i.sku = $3) AND o.id IS DISTINCT FROM (SELECT b.order_id FROM b)
		ORDER BY o.id DESC, i.line DESC LIMIT (SELECT c.page_size FROM c)
	)
	SELECT p.id, s.shop, p.reference, p.status, p.created_at, p.currency, p.line, p.sku, p.name, p.quantity, p.unit_price, p.unit_price * p.quantity, p.filled,
		p.product_id, p.variant, p.image_url, p.url, p.extras, coalesce(p.id, b.order_id) || '-' || coalesce(p.line, 999999999)
	FROM page p FULL JOIN (SELECT b.order_id FROM b WHERE (SELECT count(*) FROM page) < $5) b ON b.order_id = p.id
	LEFT JOIN incomplete_orders.shops s USING (shop_id)
	ORDER BY coalesce(p.id, b.order_id) DESC, p.line DESC
$$;
ALTER FUNCTION incomplete_orders.list_items OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_items IS
	'A page of the lines of carts, those of the newest order first and each order''s last line first; of an order (id), of a product (sku). after, page_size, shop and a last row that is only a cursor (200 orders were looked through, 2000 for a sku) as in list_messages(). IC002, 22023';

CREATE FUNCTION incomplete_orders.list_conversions(id uuid)
RETURNS TABLE (order_id uuid, order_number text, part integer, foreign_order text, currency text, shipping numeric, tax numeric, discount numeric,
	coupon_discount numeric, total numeric, paid boolean, paid_at timestamptz, refunded numeric, converted_at timestamptz, items jsonb, refunds jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_shop CONSTANT integer := incomplete_orders._enter_order('list_conversions', list_conversions.id);
BEGIN
	RETURN QUERY
	SELECT r.order_id, r.order_number, r.part, r.foreign_order, r.currency, r.shipping, r.tax, r.discount, r.coupon_discount, r.total, r.paid, r.paid_at,
		r.refunded, r.converted_at,
		(SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('sku', i.sku, 'name', i.name, 'quantity', i.quantity, 'unit_price', i.unit_price,
			'product_id', i.product_id, 'variant', i.variant)) ORDER BY i.line) FROM incomplete_orders.order_items i WHERE i.shop_id = r.shop_id AND i.order_id = r.order_id),
		(SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('refund', f.refund, 'amount', f.amount, 'idempotency_key', f.idempotency_key,
			'refunded_at', f.refunded_at)) ORDER BY f.refund) FROM incomplete_orders.order_refunds f WHERE f.shop_id = r.shop_id AND f.order_id = r.order_id)
	FROM incomplete_orders.orders r WHERE r.shop_id = of_shop AND r.incomplete_order_id = list_conversions.id
	ORDER BY r.part;
END
$$;
ALTER FUNCTION incomplete_orders.list_conversions OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_conversions IS
	'The completed orders that an incomplete one became, with their lines, whether they are paid, and what was paid back; no row: none so far. IC003';

CREATE FUNCTION incomplete_orders._persons_page(shops integer[], email text, customer_id text)
RETURNS TABLE (shop_id integer, person bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT s, unnest(incomplete_orders._person_keys(s, $3, $2, NULL)) FROM unnest($1) s $$;
ALTER FUNCTION incomplete_orders._persons_page OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._persons_page IS 'The keys of one person in each of these shops';

CREATE FUNCTION incomplete_orders.list_suppressions(shop text DEFAULT NULL, email text DEFAULT NULL, after text DEFAULT NULL, page_size integer DEFAULT 20)
RETURNS TABLE (shop text, person text, scope text, reason text, at timestamptz, message_id uuid, cursor text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH v AS MATERIALIZED (
		SELECT incomplete_orders._visible_shops('list_suppressions', $1) AS shops
	), c AS MATERIALIZED (
		SELECT $4 AS page_size, coalesce(timestamptz 'epoch' + p.parts[1]::bigint * interval '1 microsecond', 'infinity') AS at, coalesce(p.parts[2]::bigint, 0) AS person,
			coalesce(p.parts[3], '') AS scope
		FROM (SELECT incomplete_orders._read_cursor($3, '([0-9]{1,16})_(-?[0-9]{1,19})_([a-z]+)', $4) AS parts) p
	), page AS MATERIALIZED (
		SELECT u.u FROM c, v CROSS JOIN LATERAL unnest(v.shops) s CROSS JOIN LATERAL (
			(SELECT u FROM incomplete_orders.suppressions u WHERE $2 IS NULL AND u.shop_id = s AND (u.at, u.person, u.scope) < (c.at, c.person, c.scope)
			 ORDER BY u.at DESC, u.person DESC, u.scope DESC LIMIT 200)
			UNION ALL
			SELECT u FROM incomplete_orders._persons_page(ARRAY[s], $2, NULL) k JOIN incomplete_orders.suppressions u USING (shop_id, person)
			WHERE $2 IS NOT NULL AND (u.at, u.person, u.scope) < (c.at, c.person, c.scope)
		) u
		ORDER BY (u.u).at DESC, (u.u).person DESC, (u.u).scope DESC LIMIT (SELECT c.page_size FROM c)
	)
	SELECT s.shop, to_hex((p.u).person), (p.u).scope, (p.u).reason, (p.u).at, (p.u).message_id,
		(extract(epoch FROM (p.u).at) * 1000000)::bigint || '_' || (p.u).person || '_' || (p.u).scope
	FROM page p JOIN incomplete_orders.shops s ON s.shop_id = (p.u).shop_id
	ORDER BY (p.u).at DESC, (p.u).person DESC, (p.u).scope DESC
$$;
ALTER FUNCTION incomplete_orders.list_suppressions OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_suppressions IS
	'A page of who may not be mailed, the newest first; email: only that address. There are keyed hashes of addresses (person), not the addresses. Scope data: the address itself may be mailed. after, page_size and shop as in list_messages(). IC002, 22023';

CREATE FUNCTION incomplete_orders.list_consents(shop text DEFAULT NULL, email text DEFAULT NULL, customer_id text DEFAULT NULL, after text DEFAULT NULL,
	page_size integer DEFAULT 20)
RETURNS TABLE (shop text, person text, purpose text, status text, at timestamptz, text_version text, source text, in_force boolean, cursor text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH v AS MATERIALIZED (
		SELECT incomplete_orders._visible_shops('list_consents', $1) AS shops
	), c AS MATERIALIZED (
		SELECT $5 AS page_size, coalesce(timestamptz 'epoch' + p.parts[1]::bigint * interval '1 microsecond', 'infinity') AS at, coalesce(p.parts[2]::bigint, 0) AS consent_id
		FROM (SELECT incomplete_orders._read_cursor($4, '([0-9]{1,16})_([0-9]{1,18})', $5) AS parts) p
	), page AS MATERIALIZED (
		SELECT n.n FROM c, v CROSS JOIN LATERAL unnest(v.shops) s CROSS JOIN LATERAL (
			(SELECT n FROM incomplete_orders.consents n WHERE $2 IS NULL AND $3 IS NULL AND n.shop_id = s AND (n.at, n.consent_id) < (c.at, c.consent_id)
			 ORDER BY n.at DESC, n.consent_id DESC LIMIT 200)
			UNION ALL
			SELECT n FROM incomplete_orders._persons_page(ARRAY[s], $2, $3) k JOIN incomplete_orders.consents n USING (shop_id, person)
			WHERE ($2 IS NOT NULL OR $3 IS NOT NULL) AND (n.at, n.consent_id) < (c.at, c.consent_id)
		) n
		ORDER BY (n.n).at DESC, (n.n).consent_id DESC LIMIT (SELECT c.page_size FROM c)
	)
	SELECT s.shop, to_hex((p.n).person), (p.n).purpose, (p.n).status, (p.n).at, (p.n).text_version, (p.n).source,
		NOT EXISTS (SELECT FROM incomplete_orders.consents l WHERE l.shop_id = (p.n).shop_id AND l.person = (p.n).person AND l.purpose = (p.n).purpose
			AND (l.at, l.consent_id) > ((p.n).at, (p.n).consent_id)),
		(extract(epoch FROM (p.n).at) * 1000000)::bigint || '_' || (p.n).consent_id
	FROM page p JOIN incomplete_orders.shops s ON s.shop_id = (p.n).shop_id
	ORDER BY (p.n).at DESC, (p.n).consent_id DESC
$$;
ALTER FUNCTION incomplete_orders.list_consents OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_consents IS
	'A page of what persons agreed to or withdrew, the newest first; email, customer_id: only of that person. There are keyed hashes of persons, not addresses. in_force: no newer row of that person and purpose. after, page_size and shop as in list_messages(). IC002, 22023';

CREATE FUNCTION incomplete_orders.list_shops()
RETURNS TABLE (shop text, name text, currency text, time_zone text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 5 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.shop, s.name, s.currency, s.time_zone
	FROM (SELECT incomplete_orders._visible_shops('list_shops', '*') AS shops OFFSET 0) v JOIN incomplete_orders.shops s ON s.shop_id = ANY (v.shops)
	ORDER BY s.shop
$$;
ALTER FUNCTION incomplete_orders.list_shops OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_shops IS 'The shops in which the caller is staff or analyst';

CREATE FUNCTION incomplete_orders.list_coupons(shop text DEFAULT NULL)
RETURNS TABLE (shop text, campaign text, step integer, kind text, value numeric, currency text, minimum_value numeric, valid_for interval,
	cool_down interval, changed_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 3 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('list_coupons', $1) AS shops OFFSET 0) v
	CROSS JOIN LATERAL (
		SELECT s.shop, c.campaign, c.step, c.kind, c.value, c.currency, c.minimum_value, c.valid_for, c.cool_down, c.changed_at
		FROM incomplete_orders.coupons c JOIN incomplete_orders.shops s USING (shop_id)
		WHERE c.shop_id = ANY (v.shops)
		ORDER BY s.shop, c.campaign, c.step
		OFFSET 0
	) d
$$;
ALTER FUNCTION incomplete_orders.list_coupons OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_coupons IS 'The discounts that the steps of campaigns offer; shop ''*'': all that the caller may see. IC002';

-- VOLATILE although it only reads: so it sees what the statement that calls it wrote.
-- Programs of the shop may read an order, but not what staff did and noted.
CREATE FUNCTION incomplete_orders.show_order(id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	of_shop CONSTANT integer := incomplete_orders._enter_order('show_order', show_order.id);
	of_staff CONSTANT boolean := of_shop = ANY (incomplete_orders._visible_shops('order_history', '*'));
	shown jsonb;
BEGIN
	IF of_staff THEN
		SELECT to_jsonb(o) - 'shop_id' INTO shown FROM incomplete_orders.incomplete_orders o WHERE o.shop_id = of_shop AND o.id = show_order.id;
		-- order_history() refuses an order that is not there
		RETURN (SELECT shown || jsonb_build_object('history', jsonb_agg(to_jsonb(h) - 'n' ORDER BY h.n))
				FROM (SELECT row_number() OVER () AS n, r.* FROM incomplete_orders.order_history(show_order.id) r) h)
			|| jsonb_build_object('orders', coalesce((SELECT jsonb_agg(to_jsonb(c) ORDER BY c.part) FROM incomplete_orders.list_conversions(show_order.id) c), '[]'));
	END IF;
	PERFORM incomplete_orders.can_convert(show_order.id);		-- refuses it likewise
	SELECT to_jsonb(o) - '{shop_id,cursor}'::text[] INTO shown
	FROM (
		SELECT c.customer_id, c.session_id FROM incomplete_orders.open_orders c WHERE c.shop_id = of_shop AND c.id = show_order.id
		UNION ALL
		SELECT c.customer_id, c.session_id FROM incomplete_orders.closed_orders c WHERE c.shop_id = of_shop AND c.id = show_order.id
	) k CROSS JOIN LATERAL incomplete_orders.orders_of(CASE WHEN k.session_id IS NULL THEN k.customer_id END, k.session_id,
		(SELECT s.shop FROM incomplete_orders.shops s WHERE s.shop_id = of_shop)) o
	WHERE (k.customer_id IS NOT NULL OR k.session_id IS NOT NULL) AND o.id = show_order.id;
	RETURN coalesce(shown, jsonb_build_object('id', show_order.id));
END
$$;
ALTER FUNCTION incomplete_orders.show_order OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.show_order IS
	'One incomplete order, open or closed, as an object: the columns of the view; for staff also its history (order_history()) and the orders that it became (list_conversions()). IC003';

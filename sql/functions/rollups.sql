-- The rollups: what each event adds to them, said once as the text of a query over
-- a set of events, so that tick (over the tail), the reports (over what is not folded
-- yet) and a computation anew (over the history) cannot differ.
--
-- Facts of an event are those of its order when it was written.  An order counts in the
-- state that its last event left it in: each change of state takes it out of one and
-- puts it into another.

-- Inlined, which a SET would forbid; its names are bound now, so none is needed.
CREATE FUNCTION incomplete_orders._value_bucket(value numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value < 1 THEN '0' ELSE
	('{1,2,5,10,20,50,100,200,500,1000,2000,5000,10000,20000,50000,100000,200000,500000,1000000}'::text[])
	[width_bucket(value, '{1,2,5,10,20,50,100,200,500,1000,2000,5000,10000,20000,50000,100000,200000,500000,1000000}'::numeric[])] END;
COMMENT ON FUNCTION incomplete_orders._value_bucket(numeric) IS 'The lower bound of the range of values that reports put an order into';

CREATE FUNCTION incomplete_orders._event_kind(event text) RETURNS "char"
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_event_kind';
COMMENT ON FUNCTION incomplete_orders._event_kind(text) IS
	'An event as one character: n created, a abandoned, c converted, e expired, l lost, r reversed, t recounted, w continued, x coupon_redeemed, h holdout; of message_...: q queued, s sent, d delivered, o opened, k clicked, f failed, y replied, u unsubscribed, b bounced, p complained; a space: another one';

CREATE FUNCTION incomplete_orders._local_time(at timestamptz, zone text) RETURNS timestamp
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_local_time';
COMMENT ON FUNCTION incomplete_orders._local_time(timestamptz, text) IS 'at AT TIME ZONE zone, without looking up the zone''s rules each time';

-- Of the queries: source, a set of events with two columns more, what (_event_kind) and the
-- time_zone of its shop; by_columns, which of the rollup's keys to add up by; chosen, a condition
-- on e with these keys as columns.  A report needs few of them, and fewer sums are faster.

CREATE FUNCTION incomplete_orders._with_zones(source text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('(SELECT g.*, z.time_zone FROM %s g JOIN incomplete_orders.shops z ON z.shop_id = g.shop_id)', source)
$$;
COMMENT ON FUNCTION incomplete_orders._with_zones(text) IS 'Those events with the time zones of their shops, as part of a query';

-- Added up by what is stored first: states are named only in what is left.
CREATE FUNCTION incomplete_orders._states_query(source text, by_columns text[] DEFAULT '{shop_id,day,currency,bot,step}', chosen text DEFAULT 'true') RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT %1$s,
			%2$s,
			%3$s,
			coalesce(sum(x.days_to_abandon), 0) AS days_to_abandon, coalesce(sum(x.n) FILTER (WHERE x.first), 0)::bigint AS first_abandoned
		FROM (
			SELECT %1$s, CASE WHEN e.merged THEN 'merged' ELSE e.status_after::text END AS after, e.status_before::text AS before, e.first, count(*) AS n, sum(e.value) AS value,
				sum(CASE WHEN e.first THEN extract(epoch FROM e.at - e.created_at) / 86400 END) AS days_to_abandon
			FROM (
				SELECT e.shop_id, incomplete_orders._local_time(e.created_at, e.time_zone)::date AS day, e.currency, e.bot, e.furthest_step AS step,
					e.status_before, e.status_after, e.status_after = 'deleted' AND e.reason_code = 'merged' AS merged,
					e.what = 'a' AND e.episode = 1 AS first, e.value, e.at, e.created_at
				FROM %4$s e
				WHERE e.status_before <> e.status_after OR e.what = 'n' OR e.what = 't' OR e.what = 'w'
				OFFSET 0
			) e
			WHERE %5$s
			GROUP BY %1$s, e.status_after, e.status_before, e.merged, e.first
		) x
		GROUP BY %1$s
	$q$,
	(SELECT string_agg(quote_ident(k), ', ') FROM unnest(by_columns) k),
	(SELECT string_agg(format('coalesce(sum(CASE WHEN x.after = %1$L THEN x.n ELSE 0 END - CASE WHEN x.before = %1$L THEN x.n ELSE 0 END), 0)::bigint AS %1$I', state), E',\n\t\t\t')
		FROM unnest('{pending,payment_pending,payment_failed,abandoned,converted,expired,dismissed,deleted,merged,reversed}'::text[]) state),
	(SELECT string_agg(format('coalesce(sum(CASE WHEN x.after = %1$L THEN x.value END), 0) - coalesce(sum(CASE WHEN x.before = %1$L THEN x.value END), 0) AS %2$I',
			state, state || '_value'), E',\n\t\t\t')
		FROM unnest('{payment_pending,payment_failed,abandoned,converted,expired,dismissed}'::text[]) state),
	source, chosen)
$$;
COMMENT ON FUNCTION incomplete_orders._states_query(text, text[], text) IS 'What those events add to rollup_states';

-- Orders by the day they were begun (created, direct), abandonments by theirs.  A bucket
-- becomes text when all that is in it is added up.
CREATE FUNCTION incomplete_orders._episodes_query(source text, questions text[] DEFAULT '{hour,value,step,reason,device,source}',
	by_columns text[] DEFAULT '{shop_id,day,currency,bot}', chosen text DEFAULT 'true') RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT %1$s%2$s AS question, coalesce(%3$s) AS bucket,
			count(*) FILTER (WHERE e.what = 'n') AS created,
			coalesce(sum(e.bought), 0)::bigint AS direct,
			coalesce(sum(e.bought * e.value), 0) AS direct_value,
			count(*) FILTER (WHERE e.what = 'a') AS abandoned,
			coalesce(sum(e.value) FILTER (WHERE e.what = 'a'), 0) AS abandoned_value,
			count(*) FILTER (WHERE e.what = 'q' OR e.what = 'h') AS recoverable,
			count(*) FILTER (WHERE e.what = 'l') AS lost,
			coalesce(sum(e.value) FILTER (WHERE e.what = 'l'), 0) AS lost_value
		FROM (
			SELECT e.shop_id, e.what, e.currency, e.bot, e.value, e.local::date AS day,
				-- 1: was bought; -1: was counted with other facts, or taken back by the shop
				CASE WHEN e.what = 'c' OR e.what = 'r' OR e.what = 't'
					THEN (e.status_after IS NOT DISTINCT FROM 'converted')::integer - (e.status_before IS NOT DISTINCT FROM 'converted')::integer END AS bought,
				-- of the week: the first day of the calendar is a Monday
				(e.local::date - '0001-01-01'::date) %% 7 * 24 + date_part('hour', e.local)::integer AS by_hour,
				incomplete_orders._value_bucket(e.value) AS by_value, e.furthest_step AS by_step,
				CASE WHEN e.what = 'a' THEN coalesce(e.reason_code, '') ELSE '' END AS by_reason, coalesce(e.device, '') AS by_device, coalesce(e.source, '') AS by_source
			FROM (
				SELECT e.*, incomplete_orders._local_time(CASE e.what WHEN 'n' THEN e.created_at WHEN 'c' THEN e.created_at WHEN 'r' THEN e.created_at WHEN 't' THEN e.created_at ELSE e.abandoned_at END, e.time_zone) AS local
				FROM %4$s e
				WHERE CASE e.what WHEN 'n' THEN true WHEN 'a' THEN true WHEN 'l' THEN true
					WHEN 'c' THEN e.episode = 1 AND e.abandoned_at IS NULL AND 'converted' IN (e.status_before, e.status_after)
					WHEN 'r' THEN e.episode = 1 AND e.abandoned_at IS NULL AND 'converted' IN (e.status_before, e.status_after)
					WHEN 't' THEN e.episode = 1 AND e.abandoned_at IS NULL AND 'converted' IN (e.status_before, e.status_after)
					WHEN 'q' THEN e.reason_code = 'first' AND e.abandoned_at IS NOT NULL
					WHEN 'h' THEN e.reason_code = 'first' AND e.abandoned_at IS NOT NULL END
				OFFSET 0
			) e
			OFFSET 0
		) e
		WHERE %5$s
		GROUP BY %6$s
	$q$,
	(SELECT string_agg(format('e.%I, ', k), '') FROM unnest(by_columns) k),
	CASE cardinality(questions) WHEN 1 THEN quote_literal(questions[1])
		ELSE (SELECT 'CASE grouping(' || string_agg(format('e.by_%s', q.question), ', ' ORDER BY q.n) || ')'
			|| string_agg(format(' WHEN %s THEN %L', (1 << cardinality(questions)) - 1 - (1 << cardinality(questions) - q.n::integer), q.question), '' ORDER BY q.n) || ' END') END,
	string_agg(format('e.by_%s::text', q.question), ', ' ORDER BY q.n),
	source, chosen,
	CASE cardinality(questions) WHEN 1 THEN (SELECT string_agg(format('e.%I, ', k), '') FROM unnest(by_columns) k) || 'e.by_' || questions[1]
		ELSE 'GROUPING SETS (' || string_agg(format('(%se.by_%s)', (SELECT string_agg(format('e.%I, ', k), '') FROM unnest(by_columns) k), q.question), ', ' ORDER BY q.n) || ')' END)
	FROM unnest(questions) WITH ORDINALITY q (question, n)
$$;
COMMENT ON FUNCTION incomplete_orders._episodes_query(text, text[], text[], text) IS 'What those events add to rollup_episodes of these questions, but what became of the abandonments';

CREATE FUNCTION incomplete_orders._messages_query(source text, by_columns text[] DEFAULT '{shop_id,day,campaign,step,variant,currency}', chosen text DEFAULT 'true') RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT %1$s, %2$s
		FROM (
			SELECT e.shop_id, incomplete_orders._local_time(e.at, e.time_zone)::date AS day, coalesce(e.campaign, '') AS campaign, coalesce(e.step, 0) AS step,
				coalesce(e.variant, '') AS variant, e.currency, e.what
			FROM %3$s e
			WHERE e.what = ANY ('{q,h,s,f,d,o,k,y,u,b,p}'::"char"[]) AND e.machine IS NOT TRUE AND NOT e.bot
			OFFSET 0
		) e
		WHERE %4$s
		GROUP BY %1$s
	$q$,
	(SELECT string_agg(quote_ident(k), ', ') FROM unnest(by_columns) k),
	(SELECT string_agg(format('count(*) FILTER (WHERE e.what = %L) AS %I', incomplete_orders._event_kind(CASE what WHEN 'held_out' THEN 'holdout' ELSE 'message_' || what END), what), ', ')
		FROM unnest('{queued,held_out,sent,failed,delivered,opened,clicked,replied,unsubscribed,bounced,complained}'::text[]) what),
	source, chosen)
$$;
COMMENT ON FUNCTION incomplete_orders._messages_query(text, text[], text) IS 'What those events add to rollup_messages';

-- What became of abandoned orders that were paid, from their whole history: paid only,
-- by the abandonment before the payment.  Attributed (recovered): a person clicked a
-- link or redeemed a coupon of a message within the shop's attribution window before
-- it; assisted: a message was sent within it; unaided otherwise.  An order that the
-- shop took back and those that continue it are one, of which only the last can have
-- been paid.
CREATE FUNCTION incomplete_orders._outcomes(shop_ids integer[], root_ids uuid[], with_products boolean DEFAULT true)
RETURNS TABLE (shop_id integer, root_id uuid, outcome text, currency text, bot boolean, day date, hour text, value text, step text, reason text,
	device text, source text, minutes text, revenue numeric, coupon_cost numeric, paid_day date, campaign text, message_step integer, variant text, products jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	-- Read once, by the key, and sorted once: no plan depends on how many there are.
	-- What was paid in another currency than the first part is not added to it.
	SELECT o.shop_id, o.root_id,
		CASE WHEN (o.click).event_id IS NOT NULL THEN 'recovered' WHEN (o.message).event_id IS NOT NULL THEN 'assisted' ELSE 'unaided' END,
		o.currency, o.bot, t.local::date, (extract(isodow FROM t.local) * 24 - 24 + extract(hour FROM t.local))::text,
		incomplete_orders._value_bucket((o.a).value), (o.a).furthest_step::text, coalesce((o.a).reason_code, ''),
		coalesce((o.a).device, ''), coalesce((o.a).source, ''), floor(extract(epoch FROM o.paid_at - (o.a).abandoned_at) / 60)::bigint::text,
		-- what was paid is less what a coupon took off already
		o.paid - o.refunded, o.coupon_cost, (o.paid_at AT TIME ZONE o.time_zone)::date,
		CASE WHEN (o.click).event_id IS NOT NULL THEN (o.click).campaign ELSE (o.message).campaign END,
		CASE WHEN (o.click).event_id IS NOT NULL THEN (o.click).step ELSE (o.message).step END,
		CASE WHEN (o.click).event_id IS NOT NULL THEN (o.click).variant ELSE (o.message).variant END,
		CASE WHEN $3 AND (o.click).event_id IS NOT NULL THEN
			(SELECT jsonb_object_agg(i.sku, jsonb_build_array(i.quantity, i.value)) FROM (
				SELECT i.sku, sum(i.quantity) AS quantity, sum(i.quantity * i.unit_price) AS value
				FROM incomplete_orders.orders p JOIN incomplete_orders.order_items i ON i.shop_id = p.shop_id AND i.order_id = p.order_id
				WHERE p.shop_id = o.shop_id AND p.incomplete_order_id = ANY (o.paid_orders) AND p.paid AND p.currency = o.currency GROUP BY i.sku) i) END
	FROM (
		SELECT e.shop_id, e.root_id, s.time_zone, e.currency, e.bot, e.paid_at,
			sum((e.event).paid_amount) FILTER (WHERE e.counts AND (e.event).currency = e.currency) AS paid,
			coalesce(sum((e.event).refund_amount) FILTER (WHERE e.counts AND (e.event).currency = e.currency), 0) AS refunded,
			coalesce(sum((e.event).coupon_cost) FILTER (WHERE e.counts AND (e.event).currency = e.currency), 0) AS coupon_cost,
			array_agg(DISTINCT e.order_id) FILTER (WHERE e.counts AND (e.event).paid_amount IS NOT NULL) AS paid_orders,
			(array_agg(e.event ORDER BY e.at DESC, e.event_id DESC) FILTER (WHERE e.what = 'a' AND e.at <= e.paid_at))[1] AS a,
			(array_agg(e.event ORDER BY e.at DESC, e.event_id DESC) FILTER (WHERE (e.what = 'k' OR e.what = 'x')
				AND e.at BETWEEN e.paid_at - s.attribution_window AND e.paid_at))[1] AS click,
			(array_agg(e.event ORDER BY e.at DESC, e.event_id DESC) FILTER (WHERE e.what = 's'
				AND ((e.event).message_id = ANY (e.bounced)) IS NOT TRUE AND e.at BETWEEN e.paid_at - s.attribution_window AND e.paid_at))[1] AS message
		FROM (
			SELECT e.shop_id, u.root_id, e.order_id, e.event_id, e.what, e.at, NOT e.reversed AS counts, e.whole AS event,
				first_value(e.currency) OVER w AS currency, first_value(e.bot) OVER w AS bot,
				first_value(CASE WHEN NOT e.reversed AND e.paid_amount IS NOT NULL THEN e.at END) OVER w AS paid_at,
				array_agg(e.message_id) FILTER (WHERE e.what = 'b') OVER (PARTITION BY e.shop_id, u.root_id) AS bounced
			FROM unnest($1, $2) u (shop_id, root_id)
			CROSS JOIN LATERAL (SELECT u.root_id AS id UNION ALL
				SELECT c.order_id FROM incomplete_orders.continued_orders c WHERE c.shop_id = u.shop_id AND c.root_id = u.root_id) m
			-- OFFSET 0: looked up for each order, never the other way round; nothing is in the
			-- partitions of months to come
			CROSS JOIN LATERAL (
				SELECT q.*, bool_or(q.what = 'r') OVER () AS reversed
				FROM (
					SELECT h AS whole, h.shop_id, h.order_id, h.event_id, incomplete_orders._event_kind(h.event) AS what, h.at, h.currency, h.bot, h.paid_amount, h.message_id
					FROM incomplete_orders.order_events h
					WHERE h.shop_id = u.shop_id AND h.order_id = m.id AND h.recorded_at < now() + interval '1 day'
						AND CASE incomplete_orders._event_kind(h.event) WHEN 'a' THEN true WHEN 's' THEN true WHEN 'b' THEN true WHEN 'x' THEN true WHEN 'r' THEN true
							ELSE incomplete_orders._event_kind(h.event) = 'k' AND h.machine IS NOT TRUE
								OR h.paid_amount IS NOT NULL OR h.refund_amount IS NOT NULL OR h.coupon_cost IS NOT NULL END
				) q
				OFFSET 0
			) e
			WHERE NOT EXISTS (SELECT FROM incomplete_orders.order_outcomes k WHERE k.shop_id = u.shop_id AND k.root_id = u.root_id AND k.kept OFFSET 0)
			WINDOW w AS (PARTITION BY e.shop_id, u.root_id ORDER BY e.reversed OR e.paid_amount IS NULL, e.at, e.event_id)
		) e JOIN incomplete_orders.shops s ON s.shop_id = e.shop_id
		WHERE e.paid_at IS NOT NULL
		GROUP BY e.shop_id, e.root_id, s.time_zone, e.currency, e.bot, e.paid_at
		HAVING bool_or(e.what = 'a' AND e.at <= e.paid_at)
	) o CROSS JOIN LATERAL (SELECT (o.a).abandoned_at AT TIME ZONE o.time_zone AS local OFFSET 0) t
$$;
ALTER FUNCTION incomplete_orders._outcomes(integer[], uuid[], boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._outcomes(integer[], uuid[], boolean) IS 'What became of those orders, with those that continue them; of those that were abandoned and paid';

-- The orders of events whose outcome may be another than before, by the first of those
-- that continue each other.  OFFSET 0: looked up for each, however few outcomes there
-- are; they become many.
CREATE FUNCTION incomplete_orders._touched_query(source text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT DISTINCT e.shop_id, e.root_id FROM %s e
		WHERE CASE WHEN e.what = 'r' OR e.paid_amount IS NOT NULL OR e.refund_amount IS NOT NULL THEN e.episode > 1 OR e.abandoned_at IS NOT NULL ELSE false END
			OR CASE WHEN e.what = 's' OR e.what = 'a' OR e.what = 'k' OR e.what = 'b' OR e.what = 'x' THEN
				EXISTS (SELECT FROM incomplete_orders.order_outcomes o WHERE o.shop_id = e.shop_id AND o.root_id = e.root_id OFFSET 0) ELSE false END
	$q$, source)
$$;
COMMENT ON FUNCTION incomplete_orders._touched_query(text) IS 'Orders that those events may give another outcome';

-- What outcomes add to rollup_episodes: sign 1, or -1 to take them out.
CREATE FUNCTION incomplete_orders._outcome_episodes_query(source text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT o.shop_id, q.question, o.day, o.currency, o.bot, q.bucket,
			coalesce(sum(o.sign) FILTER (WHERE o.outcome = 'recovered'), 0)::bigint AS recovered,
			coalesce(sum(o.sign * o.revenue) FILTER (WHERE o.outcome = 'recovered'), 0) AS recovered_value,
			coalesce(sum(o.sign) FILTER (WHERE o.outcome = 'assisted'), 0)::bigint AS assisted,
			coalesce(sum(o.sign * o.revenue) FILTER (WHERE o.outcome = 'assisted'), 0) AS assisted_value,
			coalesce(sum(o.sign) FILTER (WHERE o.outcome = 'unaided'), 0)::bigint AS unaided,
			coalesce(sum(o.sign * o.revenue) FILTER (WHERE o.outcome = 'unaided'), 0) AS unaided_value,
			coalesce(sum(o.sign * o.coupon_cost), 0) AS coupon_cost
		FROM %s o
		CROSS JOIN LATERAL (VALUES ('hour', o.hour), ('value', o.value), ('step', o.step), ('reason', o.reason), ('device', o.device),
			('source', o.source), ('minutes', CASE WHEN o.outcome = 'recovered' THEN o.minutes END)) q (question, bucket)
		WHERE q.bucket IS NOT NULL
		GROUP BY 1, 2, 3, 4, 5, 6
	$q$, source)
$$;
COMMENT ON FUNCTION incomplete_orders._outcome_episodes_query(text) IS 'What those outcomes, with a sign, add to rollup_episodes';

CREATE FUNCTION incomplete_orders._outcome_messages_query(source text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT o.shop_id, o.paid_day AS day, coalesce(o.campaign, '') AS campaign, o.message_step AS step, coalesce(o.variant, '') AS variant, o.currency,
			sum(o.sign)::bigint AS converted, sum(o.sign * o.revenue) AS revenue, sum(o.sign * o.coupon_cost) AS coupon_cost
		FROM %s o WHERE o.outcome = 'recovered' AND o.message_step IS NOT NULL AND NOT o.bot
		GROUP BY 1, 2, 3, 4, 5, 6
	$q$, source)
$$;
COMMENT ON FUNCTION incomplete_orders._outcome_messages_query(text) IS 'What those outcomes, with a sign, add to rollup_messages';

CREATE FUNCTION incomplete_orders._outcome_products_query(source text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT o.shop_id, w.days, w.day, o.currency, i.product, sum(o.sign)::bigint AS recovered,
			sum(o.sign * (i.sums ->> 0)::bigint)::bigint AS recovered_quantity, sum(o.sign * (i.sums ->> 1)::numeric) AS recovered_value
		FROM %s o CROSS JOIN LATERAL jsonb_each(o.products) i (product, sums)
		CROSS JOIN LATERAL (VALUES (1, o.day), (7, date_trunc('week', o.day::timestamp)::date)) w (days, day)
		WHERE o.outcome = 'recovered' AND NOT o.bot
		GROUP BY 1, 2, 3, 4, 5
	$q$, source)
$$;
COMMENT ON FUNCTION incomplete_orders._outcome_products_query(text) IS 'What those outcomes, with a sign, add to rollup_recovered_products';

-- The cart of an abandonment: the one kept when the customer came back, if they did;
-- else what is in the order.  A product may lie in a cart on several lines.
CREATE FUNCTION incomplete_orders._products_query(source text, by_columns text[] DEFAULT '{shop_id,day,currency,product}', chosen text DEFAULT 'true') RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		SELECT %1$s, max(l.name COLLATE "C") AS name, count(*) AS abandoned, sum(l.quantity)::bigint AS quantity, sum(l.value) AS value
		FROM (
			SELECT e.shop_id, e.day, e.currency, i.sku AS product, max(i.name COLLATE "C") AS name, sum(i.quantity) AS quantity, sum(i.quantity * i.unit_price) AS value
			FROM (
				SELECT e.shop_id, e.event_id, e.currency, e.day,
					coalesce((SELECT (h.changes -> 'abandoned_items')::incomplete_orders.line_items FROM incomplete_orders.order_changes h
							WHERE h.shop_id = e.shop_id AND h.order_id = e.order_id AND h.event_id > e.event_id AND h.changes ? 'abandoned_items'
							ORDER BY h.event_id LIMIT 1),
						(SELECT o.items FROM incomplete_orders.open_orders o WHERE o.shop_id = e.shop_id AND o.id = e.order_id),
						(SELECT c.items FROM incomplete_orders.closed_orders c WHERE c.shop_id = e.shop_id AND c.id = e.order_id)) AS items
				FROM (
					SELECT e.shop_id, e.order_id, e.event_id, e.currency, incomplete_orders._local_time(e.abandoned_at, e.time_zone)::date AS day
					FROM %2$s e WHERE e.what = 'a' AND NOT e.bot OFFSET 0
				) e
				WHERE %3$s OFFSET 0
			) e CROSS JOIN LATERAL incomplete_orders.unnest(e.items) i
			GROUP BY e.event_id, i.sku, e.shop_id, e.day, e.currency
		) l GROUP BY %1$s
	$q$, (SELECT string_agg(quote_ident(k), ', ') FROM unnest(by_columns) k), source, chosen)
$$;
COMMENT ON FUNCTION incomplete_orders._products_query(text, text[], text) IS 'What those events add to rollup_products';

CREATE FUNCTION incomplete_orders._name_products(query text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('INSERT INTO incomplete_orders.product_names AS n (shop_id, product, name) SELECT q.shop_id, q.product, max(q.name) FROM (%s) q
		WHERE q.name IS NOT NULL GROUP BY 1, 2
		-- most are known
		HAVING (SELECT k.name FROM incomplete_orders.product_names k WHERE k.shop_id = q.shop_id AND k.product = q.product) IS DISTINCT FROM max(q.name)
		ORDER BY 1, 2 ON CONFLICT (shop_id, product) DO UPDATE SET name = excluded.name WHERE n.name <> excluded.name', query)
$$;
COMMENT ON FUNCTION incomplete_orders._name_products(text) IS 'The statement that keeps the names of what a query yields';

CREATE FUNCTION incomplete_orders._add_products(source text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('products AS MATERIALIZED (%s), add_products AS (
			INSERT INTO incomplete_orders.rollup_products AS r (shop_id, days, day, currency, product, abandoned, quantity, value)
			SELECT q.shop_id, 1, q.day, q.currency, q.product, q.abandoned, q.quantity, q.value FROM products q
			UNION ALL SELECT q.shop_id, 7, date_trunc(''week'', q.day::timestamp)::date, q.currency, q.product, sum(q.abandoned), sum(q.quantity), sum(q.value)
			FROM products q GROUP BY 1, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
			ON CONFLICT (shop_id, days, day, currency, product) DO UPDATE
			SET abandoned = r.abandoned + excluded.abandoned, quantity = r.quantity + excluded.quantity, value = r.value + excluded.value
		), add_names AS (%s)', incomplete_orders._products_query(source), incomplete_orders._name_products('SELECT * FROM products'))
$$;
COMMENT ON FUNCTION incomplete_orders._add_products(text) IS 'The parts of a statement that add the carts of abandonments to rollup_products, once and for all';

CREATE FUNCTION incomplete_orders._state_measures() RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '{pending,payment_pending,payment_failed,abandoned,converted,expired,dismissed,deleted,merged,reversed,payment_pending_value,payment_failed_value,abandoned_value,converted_value,expired_value,dismissed_value,days_to_abandon,first_abandoned}'::text[]
$$;
COMMENT ON FUNCTION incomplete_orders._state_measures() IS 'The columns of rollup_states that are added up';

-- The rollups, with what a set of events adds to them, and what a set of outcomes
-- does.  Every rollup has a column day.
CREATE FUNCTION incomplete_orders._event_rollups(source text) RETURNS TABLE (rollup text, key_columns text[], measures text[], query text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES ('rollup_states', '{shop_id,day,currency,bot,step}'::text[], incomplete_orders._state_measures(), incomplete_orders._states_query(source)),
		('rollup_episodes', '{shop_id,question,day,currency,bot,bucket}', '{created,direct,direct_value,abandoned,abandoned_value,recoverable,lost,lost_value}',
			incomplete_orders._episodes_query(source)),
		('rollup_messages', '{shop_id,day,campaign,step,variant,currency}',
			'{queued,held_out,sent,failed,delivered,opened,clicked,replied,unsubscribed,bounced,complained}', incomplete_orders._messages_query(source))
$$;
COMMENT ON FUNCTION incomplete_orders._event_rollups(text) IS 'The rollups and what those events add to them';

CREATE FUNCTION incomplete_orders._outcome_rollups(source text) RETURNS TABLE (rollup text, key_columns text[], measures text[], query text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES ('rollup_episodes', '{shop_id,question,day,currency,bot,bucket}'::text[],
			'{recovered,recovered_value,assisted,assisted_value,unaided,unaided_value,coupon_cost}'::text[], incomplete_orders._outcome_episodes_query(source)),
		('rollup_messages', '{shop_id,day,campaign,step,variant,currency}', '{converted,revenue,coupon_cost}', incomplete_orders._outcome_messages_query(source)),
		('rollup_recovered_products', '{shop_id,days,day,currency,product}', '{recovered,recovered_quantity,recovered_value}', incomplete_orders._outcome_products_query(source))
$$;
COMMENT ON FUNCTION incomplete_orders._outcome_rollups(text) IS 'The rollups and what those outcomes, with a sign, add to them';

-- In the order of the key, so that nobody waits for each other.
CREATE FUNCTION incomplete_orders._add_query(rollup text, key_columns text[], measures text[], query text, kinds text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('INSERT INTO incomplete_orders.%1$I AS r (%2$s, kept, %3$s) SELECT %2$s, k.kept, %4$s FROM (%5$s) q CROSS JOIN (VALUES %6$s) k (kept, way)'
			' ORDER BY %2$s, k.kept ON CONFLICT (%2$s, kept) DO UPDATE SET %7$s',
		rollup, (SELECT string_agg(quote_ident(k), ', ') FROM unnest(key_columns) k), (SELECT string_agg(quote_ident(m), ', ') FROM unnest(measures) m),
		(SELECT string_agg(format('k.way * q.%I', m), ', ') FROM unnest(measures) m), query, kinds,
		(SELECT string_agg(format('%1$I = r.%1$I + excluded.%1$I', m), ', ') FROM unnest(measures) m))
$$;
COMMENT ON FUNCTION incomplete_orders._add_query(text, text[], text[], text, text) IS
	'The statement that adds what a query yields to a rollup; kinds: to which rows, (false, 1), or which it moves, (true, 1), (false, -1)';

CREATE FUNCTION incomplete_orders._add_events(source text, kinds text DEFAULT '(false, 1)') RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('add_%s AS (%s)', r.rollup, incomplete_orders._add_query(r.rollup, r.key_columns, r.measures, r.query, kinds)), ', ')
	FROM incomplete_orders._event_rollups(source) r
$$;
COMMENT ON FUNCTION incomplete_orders._add_events(text, text) IS 'The parts of a statement that add events to the rollups';

CREATE FUNCTION incomplete_orders._add_outcomes(source text, kinds text DEFAULT '(false, 1)') RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('add_%s AS (%s)', r.rollup, incomplete_orders._add_query(r.rollup, r.key_columns, r.measures, r.query, kinds)), ', ')
	FROM incomplete_orders._outcome_rollups(source) r
$$;
COMMENT ON FUNCTION incomplete_orders._add_outcomes(text, text) IS 'The parts of a statement that add outcomes, with a sign, to the rollups';

-- Changes of the outcomes of those orders: the stored ones are taken out, the new put in.
CREATE FUNCTION incomplete_orders._outcome_changes(shop_ids integer[], root_ids uuid[], with_products boolean DEFAULT true)
RETURNS TABLE (sign integer, shop_id integer, root_id uuid, outcome text, currency text, bot boolean, day date, hour text, value text, step text, reason text,
	device text, source text, minutes text, revenue numeric, coupon_cost numeric, paid_day date, campaign text, message_step integer, variant text, products jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	WITH fresh AS (SELECT * FROM incomplete_orders._outcomes($1, $2, $3)),
	stored AS (SELECT o.shop_id, o.root_id, o.outcome, o.currency, o.bot, o.day, o.hour, o.value, o.step, o.reason, o.device, o.source, o.minutes, o.revenue,
			o.coupon_cost, o.paid_day, o.campaign, o.message_step, o.variant, CASE WHEN $3 THEN o.products END
		FROM unnest($1, $2) u (shop_id, root_id)
		CROSS JOIN LATERAL (SELECT q.* FROM incomplete_orders.order_outcomes q WHERE q.shop_id = u.shop_id AND q.root_id = u.root_id AND NOT q.kept OFFSET 0) o)
	SELECT -1, s.* FROM (SELECT * FROM stored EXCEPT SELECT * FROM fresh) s
	UNION ALL SELECT 1, f.* FROM (SELECT * FROM fresh EXCEPT SELECT * FROM stored) f
$$;
ALTER FUNCTION incomplete_orders._outcome_changes(integer[], uuid[], boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._outcome_changes(integer[], uuid[], boolean) IS 'What is to be taken out of (-1) and put into (1) the rollups for those orders';

CREATE FUNCTION incomplete_orders._fold_outcomes(shop_ids integer[], root_ids uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed bigint;
BEGIN
	EXECUTE format($q$
		WITH c AS MATERIALIZED (SELECT * FROM incomplete_orders._outcome_changes($1, $2)),
		gone AS (DELETE FROM incomplete_orders.order_outcomes o WHERE o.ctid = ANY (ARRAY(
			SELECT t.ctid FROM (SELECT c.shop_id, c.root_id FROM c GROUP BY 1, 2 HAVING sum(c.sign) < 0) g
			CROSS JOIN LATERAL (SELECT q.ctid FROM incomplete_orders.order_outcomes q WHERE q.shop_id = g.shop_id AND q.root_id = g.root_id OFFSET 0) t))),
		put AS (INSERT INTO incomplete_orders.order_outcomes AS o (shop_id, root_id, outcome, currency, bot, day, hour, value, step, reason, device, source,
				minutes, revenue, coupon_cost, paid_day, campaign, message_step, variant, products)
			SELECT shop_id, root_id, outcome, currency, bot, day, hour, value, step, reason, device, source, minutes, revenue, coupon_cost,
				paid_day, campaign, message_step, variant, products FROM c WHERE sign = 1
			ON CONFLICT (shop_id, root_id) DO UPDATE SET (outcome, currency, bot, day, hour, value, step, reason, device, source, minutes, revenue,
				coupon_cost, paid_day, campaign, message_step, variant, products) = (excluded.outcome, excluded.currency, excluded.bot, excluded.day, excluded.hour,
				excluded.value, excluded.step, excluded.reason, excluded.device, excluded.source, excluded.minutes, excluded.revenue,
				excluded.coupon_cost, excluded.paid_day, excluded.campaign, excluded.message_step, excluded.variant, excluded.products)),
		names AS (%s),
		%s
		SELECT count(*) FROM c
	$q$, incomplete_orders._name_products('SELECT i.shop_id, i.sku AS product, max(i.name) AS name FROM c
			CROSS JOIN LATERAL (SELECT c.root_id AS id UNION ALL
				SELECT k.order_id FROM incomplete_orders.continued_orders k WHERE k.shop_id = c.shop_id AND k.root_id = c.root_id) m
			CROSS JOIN LATERAL (SELECT q.* FROM incomplete_orders.orders q WHERE q.shop_id = c.shop_id AND q.incomplete_order_id = m.id AND q.paid OFFSET 0) p
			CROSS JOIN LATERAL (SELECT q.* FROM incomplete_orders.order_items q WHERE q.shop_id = p.shop_id AND q.order_id = p.order_id OFFSET 0) i
			WHERE c.sign = 1 AND c.outcome = ''recovered'' GROUP BY 1, 2'), incomplete_orders._add_outcomes('c'))
	INTO changed USING shop_ids, root_ids;
	RETURN changed;
END
$$;
ALTER FUNCTION incomplete_orders._fold_outcomes(integer[], uuid[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._fold_outcomes(integer[], uuid[]) IS 'Brings the outcomes of those orders, and the rollups, up to date; how many changes';

-- Whoever changes the rollups has this lock until the commit.
CREATE FUNCTION incomplete_orders._lock_rollups(wait boolean) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF wait THEN
		PERFORM pg_advisory_xact_lock(1229147906, 0);
		RETURN true;
	END IF;
	RETURN pg_try_advisory_xact_lock(1229147906, 0);
END
$$;
COMMENT ON FUNCTION incomplete_orders._lock_rollups(boolean) IS 'Whether this transaction may change the rollups now; only one may';

-- Exactly once, because what is added is deleted from the tail in the same
-- transaction.  The rows are found first: then the statement is planned for as many as
-- there are.
CREATE FUNCTION incomplete_orders._fold(chosen text, most integer, of_shops integer[], of_orders uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
DECLARE
	rows tid[];
	folded bigint;
	told bigint;
	shop_ids integer[];
	root_ids uuid[];
BEGIN
	EXECUTE format('SELECT array_agg(c.ctid) FROM (%s) c', chosen) INTO rows USING most, of_shops, of_orders;
	IF rows IS NULL THEN
		RETURN 0;
	END IF;
	EXECUTE format($q$
		WITH gone AS MATERIALIZED (
			DELETE FROM incomplete_orders.order_event_tail t WHERE t.ctid = ANY ($1) RETURNING t.*, incomplete_orders._event_kind(t.event) AS what
		), touched AS MATERIALIZED (%s), %s, %s, %s
		SELECT (SELECT count(*) FROM gone), (SELECT array_agg(t.shop_id) FROM touched t), (SELECT array_agg(t.root_id) FROM touched t), (SELECT count(*) FROM told)
	$q$, incomplete_orders._touched_query('gone'), incomplete_orders._add_events(incomplete_orders._with_zones('gone')),
		incomplete_orders._add_products(incomplete_orders._with_zones('gone')), incomplete_orders._tell_webhooks('gone'))
	INTO folded, shop_ids, root_ids, told USING rows;
	IF told > 0 THEN
		PERFORM pg_notify('incomplete_orders', '');
	END IF;
	IF shop_ids IS NOT NULL THEN
		PERFORM incomplete_orders._fold_outcomes(shop_ids, root_ids);
	END IF;
	RETURN folded;
END
$$;
ALTER FUNCTION incomplete_orders._fold(text, integer, integer[], uuid[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._fold(text, integer, integer[], uuid[]) IS 'Folds the events of the tail whose ctid a query yields ($1 most, $2 shops, $3 orders); how many. Call _lock_rollups() before';

CREATE FUNCTION incomplete_orders._fold_batch(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- an older snapshot might not see a shop's time zone as it is now
	IF current_setting('transaction_isolation') <> 'read committed' OR NOT incomplete_orders._lock_rollups(false) THEN
		RETURN 0;
	END IF;
	RETURN incomplete_orders._fold('SELECT q.ctid FROM incomplete_orders.order_event_tail q LIMIT $1', most, NULL, NULL);
END
$$;
ALTER FUNCTION incomplete_orders._fold_batch(integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._fold_batch(integer) IS 'Folds at most so many events of the tail into the rollups; how many, 0 also when somebody else is at it';

-- Never fails: reports read what is not folded from the tail, and health() sees it grow.
CREATE FUNCTION incomplete_orders._tick_fold(most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN incomplete_orders._fold_batch(most);
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING 'could not fold events into the rollups' USING ERRCODE = SQLSTATE, DETAIL = SQLERRM;
	RETURN 0;
END
$$;
ALTER FUNCTION incomplete_orders._tick_fold(integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_fold(integer) IS 'One batch of tick: folds at most so many events of the tail into the rollups; how many';

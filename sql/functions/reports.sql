-- Statistics by one question at a time.  What is sums of rollup_episodes comes from
-- _figures(); an abandonment is called an episode, as everywhere.

-- by: bucket, day or week.
CREATE FUNCTION incomplete_orders._figures(shop_ids integer[], question text, by text, since date, until date)
RETURNS TABLE (key text, currency text, created bigint, direct bigint, direct_value numeric, episodes bigint, episode_value numeric, recoverable bigint,
	recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric, lost bigint, lost_value numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s, %s
		SELECT x.key, x.currency, sum(x.created)::bigint, sum(x.direct)::bigint, sum(x.direct_value), sum(x.abandoned)::bigint, sum(x.abandoned_value),
			sum(x.recoverable)::bigint, sum(x.recovered)::bigint, sum(x.recovered_value), sum(x.assisted)::bigint, sum(x.assisted_value),
			sum(x.unaided)::bigint, sum(x.unaided_value), sum(x.lost)::bigint, sum(x.lost_value)
		FROM (SELECT %s AS key, e.* FROM episodes e) x GROUP BY 1, 2
		-- what was taken out again may have left nothing
		HAVING sum(x.created) <> 0 OR sum(x.direct) <> 0 OR sum(x.abandoned) <> 0 OR sum(x.recoverable) <> 0 OR sum(x.lost) <> 0
			OR sum(x.recovered) <> 0 OR sum(x.assisted) <> 0 OR sum(x.unaided) <> 0
	$q$, incomplete_orders._changes_report(),
		incomplete_orders._episodes_report(ARRAY[question], CASE by WHEN 'bucket' THEN 'currency, bucket' ELSE 'currency, day' END),
		CASE by WHEN 'bucket' THEN 'e.bucket' WHEN 'day' THEN 'e.day::text' ELSE 'date_trunc(''week'', e.day::timestamp)::date::text' END)
	USING shop_ids, since, until;
END
$$;
ALTER FUNCTION incomplete_orders._figures(integer[], text, text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._figures(integer[], text, text, date, date) IS 'What became of the abandonments of those shops and days, by one question, by day or by week';

CREATE FUNCTION incomplete_orders.statistics_by_day(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (day date, currency text, total bigint, converted bigint, converted_value numeric, conversion_rate numeric, direct bigint, direct_value numeric,
	episodes bigint, episode_value numeric, recoverable bigint, recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric,
	unaided bigint, unaided_value numeric, lost bigint, lost_value numeric, recovery_rate numeric, recovery_attempts bigint, messages_sent bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_day', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	IF days.until - days.since > 36600 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "since" is too long before "until"',
			DETAIL = format('There is a row for each of %s days; at most 36600 are possible.', days.until - days.since),
			HINT = 'statistics() adds up any number of days.';
	END IF;
	RETURN QUERY EXECUTE format($q$
		WITH %s, %s, %s, %s,
		orders AS (
			SELECT day, currency, pending + payment_pending + payment_failed + abandoned + converted + expired + dismissed + deleted AS total,
				converted, converted_value FROM states
		),
		shown AS (
			SELECT d.day, c.currency FROM (SELECT $2 + n AS day FROM generate_series(0, $3 - $2 - 1) n) d
			CROSS JOIN (SELECT currency FROM orders WHERE total <> 0 UNION SELECT currency FROM episodes WHERE abandoned <> 0 OR recovered + assisted + unaided <> 0
				UNION SELECT currency FROM messages UNION SELECT s.currency FROM incomplete_orders.shops s WHERE s.shop_id = ANY ($1)) c
		)
		SELECT f.day, f.currency, coalesce(o.total, 0)::bigint, coalesce(o.converted, 0)::bigint, coalesce(o.converted_value, 0),
			incomplete_orders._rate(o.converted, o.total), coalesce(e.direct, 0)::bigint, coalesce(e.direct_value, 0), coalesce(e.abandoned, 0)::bigint,
			coalesce(e.abandoned_value, 0), coalesce(e.recoverable, 0)::bigint, coalesce(e.recovered, 0)::bigint, coalesce(e.recovered_value, 0),
			coalesce(e.assisted, 0)::bigint, coalesce(e.assisted_value, 0), coalesce(e.unaided, 0)::bigint, coalesce(e.unaided_value, 0),
			coalesce(e.lost, 0)::bigint, coalesce(e.lost_value, 0), incomplete_orders._rate(e.recovered, e.recoverable),
			coalesce(m.queued, 0)::bigint, coalesce(m.sent, 0)::bigint
		FROM shown f
		LEFT JOIN orders o ON o.day = f.day AND o.currency = f.currency
		LEFT JOIN episodes e ON e.day = f.day AND e.currency = f.currency
		LEFT JOIN messages m ON m.day = f.day AND m.currency = f.currency
		ORDER BY f.day, f.currency
	$q$, incomplete_orders._states_report('day, currency'), incomplete_orders._changes_report(),
		incomplete_orders._episodes_report('{step}', 'day, currency'), incomplete_orders._messages_report('day, currency'))
	USING shop_ids, days.since, days.until;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_day(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_day(text, date, date) IS
$c$A row for every day from since to before until and every currency, also where nothing happened. Days are those of the shop's time zone.
  total, converted, converted_value, direct, direct_value = orders begun on that day (event created): all; made into orders by now, and their totals; bought before ever being abandoned. conversion_rate = converted / total.
  episodes, episode_value = abandonments of that day (event abandoned, by abandoned_at) and what was in them. recoverable to lost_value = what became of these, as in statistics(), with the money that was paid less refunds. recovery_rate = recovered / recoverable.
  recovery_attempts, messages_sent = messages queued and sent on that day.
At most 36,600 days. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_hour(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (weekday integer, hour integer, currency text, created bigint, direct bigint, direct_value numeric, episodes bigint, episode_value numeric,
	recoverable bigint, recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric,
	lost bigint, lost_value numeric, recovery_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_hour', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY
		WITH f AS MATERIALIZED (SELECT * FROM incomplete_orders._figures(shop_ids, 'hour', 'bucket', days.since, days.until))
		SELECT h / 24 + 1, h % 24, c.currency, coalesce(f.created, 0), coalesce(f.direct, 0), coalesce(f.direct_value, 0), coalesce(f.episodes, 0),
			coalesce(f.episode_value, 0), coalesce(f.recoverable, 0), coalesce(f.recovered, 0), coalesce(f.recovered_value, 0), coalesce(f.assisted, 0),
			coalesce(f.assisted_value, 0), coalesce(f.unaided, 0), coalesce(f.unaided_value, 0), coalesce(f.lost, 0), coalesce(f.lost_value, 0),
			incomplete_orders._rate(f.recovered, f.recoverable)
		FROM generate_series(0, 167) h
		CROSS JOIN (SELECT f.currency FROM f UNION SELECT s.currency FROM incomplete_orders.shops s WHERE s.shop_id = ANY (shop_ids)) c
		LEFT JOIN f ON f.key = h::text AND f.currency = c.currency
		ORDER BY c.currency, h;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_hour(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_hour(text, date, date) IS
$c$A row for each hour of the week (weekday 1 is Monday, hour 0 to 23, in the shop's time zone) and currency: 168 of each.
  created, direct, direct_value = by the hour in which the order was begun (created_at): all, and those bought before ever being abandoned.
  episodes, episode_value = by the hour of abandoned_at. recoverable to lost_value = what became of these, as in statistics(). recovery_rate = recovered / recoverable. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_value(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (currency text, value_from numeric, value_before numeric, direct bigint, direct_value numeric, episodes bigint, episode_value numeric,
	recoverable bigint, recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric,
	lost bigint, lost_value numeric, recovery_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_value', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY
		-- 1, 2, 5, 10, 20, 50 and so on
		SELECT f.currency, f.key::numeric, 
			CASE WHEN f.key = '0' THEN 1 WHEN f.key = '1000000' THEN NULL WHEN left(f.key, 1) = '2' THEN f.key::bigint * 5 / 2 ELSE f.key::bigint * 2 END::numeric,
			f.direct, f.direct_value, f.episodes, f.episode_value, f.recoverable, f.recovered, f.recovered_value, f.assisted, f.assisted_value,
			f.unaided, f.unaided_value, f.lost, f.lost_value, incomplete_orders._rate(f.recovered, f.recoverable)
		FROM incomplete_orders._figures(shop_ids, 'value', 'bucket', days.since, days.until) f
		WHERE f.direct <> 0 OR f.episodes <> 0 OR f.recoverable <> 0 OR f.lost <> 0 OR f.recovered <> 0 OR f.assisted <> 0 OR f.unaided <> 0
		ORDER BY f.currency, f.key::numeric;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_value(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_value(text, date, date) IS
$c$By what was in the order (value), from value_from to below value_before (null: no bound): 0, 1, 2, 5, 10, 20, 50 ... 1,000,000; a row for each range that has something, for each currency.
  direct, direct_value = orders begun on these days and bought before ever being abandoned, by the total of the order made.
  episodes, episode_value = abandonments (event abandoned), by the value when abandoned; recoverable and lost by that when the event was written. recovered to unaided_value = what became of these, as in statistics(). recovery_rate = recovered / recoverable. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_step(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (step incomplete_orders.checkout_step, currency text, direct bigint, direct_value numeric, episodes bigint, episode_value numeric,
	recoverable bigint, recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric,
	lost bigint, lost_value numeric, recovery_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_step', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY
		SELECT f.key::incomplete_orders.checkout_step, f.currency, f.direct, f.direct_value, f.episodes, f.episode_value, f.recoverable, f.recovered, f.recovered_value,
			f.assisted, f.assisted_value, f.unaided, f.unaided_value, f.lost, f.lost_value, incomplete_orders._rate(f.recovered, f.recoverable)
		FROM incomplete_orders._figures(shop_ids, 'step', 'bucket', days.since, days.until) f
		WHERE f.direct <> 0 OR f.episodes <> 0 OR f.recoverable <> 0 OR f.lost <> 0 OR f.recovered <> 0 OR f.assisted <> 0 OR f.unaided <> 0
		ORDER BY f.currency, f.key::incomplete_orders.checkout_step;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_step(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_step(text, date, date) IS
$c$By how far the customer had come (furthest_step): cart, contact, shipping, payment, review; a row for each step that has something, for each currency.
  direct, direct_value = orders begun on these days and bought before ever being abandoned. episodes, episode_value = abandonments (event abandoned). recoverable to lost_value = what became of these, as in statistics(). recovery_rate = recovered / recoverable. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_reason(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (reason text, currency text, episodes bigint, episode_value numeric, recovered bigint, recovered_value numeric, assisted bigint,
	assisted_value numeric, unaided bigint, unaided_value numeric, recovered_share numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_reason', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY
		SELECT nullif(f.key, ''), f.currency, f.episodes, f.episode_value, f.recovered, f.recovered_value, f.assisted, f.assisted_value, f.unaided,
			f.unaided_value, incomplete_orders._rate(f.recovered, f.episodes)
		FROM incomplete_orders._figures(shop_ids, 'reason', 'bucket', days.since, days.until) f
		WHERE f.episodes <> 0 OR f.recovered <> 0 OR f.assisted <> 0 OR f.unaided <> 0
		ORDER BY f.currency, f.episodes DESC, f.key COLLATE "C";
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_reason(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_reason(text, date, date) IS
$c$By why the order was abandoned, as far as it was said (reason_code of the event abandoned, which is a code of small letters, digits and _; null: nobody said), most frequent first, for each currency.
  episodes, episode_value = abandonments. recovered to unaided_value = what became of these, as in statistics(). recovered_share = recovered / episodes. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders._by_word(shop_ids integer[], question text, since date, until date)
RETURNS TABLE (word text, currency text, created bigint, direct bigint, direct_value numeric, episodes bigint, episode_value numeric,
	recoverable bigint, recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric,
	lost bigint, lost_value numeric, recovery_rate numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT nullif(f.key, ''), f.currency, f.created, f.direct, f.direct_value, f.episodes, f.episode_value, f.recoverable, f.recovered, f.recovered_value,
		f.assisted, f.assisted_value, f.unaided, f.unaided_value, f.lost, f.lost_value, incomplete_orders._rate(f.recovered, f.recoverable)
	FROM incomplete_orders._figures($1, $2, 'bucket', $3, $4) f
	ORDER BY f.currency, f.created DESC, f.episodes DESC, f.key COLLATE "C"
$$;
ALTER FUNCTION incomplete_orders._by_word(integer[], text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._by_word(integer[], text, date, date) IS 'Figures by something that is told with a cart: device or source';

CREATE FUNCTION incomplete_orders.statistics_by_device(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (device text, currency text, created bigint, direct bigint, direct_value numeric, episodes bigint, episode_value numeric,
	recoverable bigint, recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric,
	lost bigint, lost_value numeric, recovery_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_device', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY SELECT * FROM incomplete_orders._by_word(shop_ids, 'device', days.since, days.until);
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_device(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_device(text, date, date) IS
$c$By with which device (context.device when the event was written; null: not told), most orders first, for each currency.
  created, direct, direct_value = orders begun on these days: all, and those bought before ever being abandoned. episodes, episode_value = abandonments (event abandoned). recoverable to lost_value = what became of these, as in statistics(). recovery_rate = recovered / recoverable. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_source(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (source text, currency text, created bigint, direct bigint, direct_value numeric, episodes bigint, episode_value numeric,
	recoverable bigint, recovered bigint, recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric,
	lost bigint, lost_value numeric, recovery_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_source', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY SELECT * FROM incomplete_orders._by_word(shop_ids, 'source', days.since, days.until);
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_source(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_source(text, date, date) IS
$c$By where the customer came from (context.source when the event was written; null: not told), most orders first, for each currency.
  created, direct, direct_value = orders begun on these days: all, and those bought before ever being abandoned. episodes, episode_value = abandonments (event abandoned). recoverable to lost_value = what became of these, as in statistics(). recovery_rate = recovered / recoverable. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_product(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (product text, name text, currency text, abandoned bigint, abandoned_quantity bigint, abandoned_value numeric,
	recovered bigint, recovered_quantity bigint, recovered_value numeric, recovered_share numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_product', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s, fresh AS MATERIALIZED (%s),
		-- whole weeks, and the days before and after
		spans AS (
			SELECT s.* FROM (SELECT date_trunc('week', $2 + interval '6 days')::date AS first, date_trunc('week', $3::timestamp)::date AS last) w
			CROSS JOIN LATERAL (VALUES (7, w.first, w.last), (1, $2, least(w.first, $3)), (1, greatest(w.first, w.last, $2), $3)) s (days, since, until)
			WHERE s.since < s.until
		),
		-- each added up by itself: a row has few columns then
		sums AS (
			SELECT x.product, x.currency, max(x.name COLLATE "C") AS name, sum(x.abandoned)::bigint AS abandoned, sum(x.quantity)::bigint AS quantity, sum(x.value) AS value,
				sum(x.recovered)::bigint AS recovered, sum(x.recovered_quantity)::bigint AS recovered_quantity, sum(x.recovered_value) AS recovered_value
			FROM (
				SELECT r.product, r.currency, NULL AS name, sum(r.abandoned) AS abandoned, sum(r.quantity) AS quantity, sum(r.value) AS value,
					0 AS recovered, 0 AS recovered_quantity, 0 AS recovered_value
				FROM spans p JOIN incomplete_orders.rollup_products r ON r.shop_id = ANY ($1) AND r.days = p.days AND r.day >= p.since AND r.day < p.until
				GROUP BY 1, 2
				UNION ALL SELECT f.product, f.currency, f.name, f.abandoned, f.quantity, f.value, 0, 0, 0 FROM fresh f
				UNION ALL SELECT r.product, r.currency, NULL, 0, 0, 0, sum(r.recovered), sum(r.recovered_quantity), sum(r.recovered_value)
				FROM spans p JOIN incomplete_orders.rollup_recovered_products r ON r.shop_id = ANY ($1) AND r.days = p.days AND r.day >= p.since AND r.day < p.until
				GROUP BY 1, 2
				UNION ALL SELECT c.product, c.currency, NULL, 0, 0, 0, c.recovered, c.recovered_quantity, c.recovered_value FROM (%s) c
				WHERE c.days = 1 AND c.day >= $2 AND c.day < $3
			) x GROUP BY 1, 2
		), names AS (
			SELECT n.product, max(n.name) AS name FROM incomplete_orders.product_names n WHERE n.shop_id = ANY ($1) GROUP BY 1
		)
		SELECT s.product, coalesce(s.name, n.name), s.currency, s.abandoned, s.quantity, s.value, s.recovered, s.recovered_quantity, s.recovered_value,
			incomplete_orders._rate(s.recovered, s.abandoned)
		FROM sums s LEFT JOIN names n ON n.product = s.product
		WHERE s.abandoned <> 0 OR s.recovered <> 0
		ORDER BY s.currency, s.abandoned DESC, s.product COLLATE "C"
	$q$, incomplete_orders._changes_report(true), incomplete_orders._products_query(incomplete_orders._tail_source(), '{currency,product}', 'e.day >= $2 AND e.day < $3'),
		incomplete_orders._outcome_products_query('changes'))
	USING shop_ids, days.since, days.until;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_product(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_product(text, date, date) IS
$c$By product (sku), with the name it was last called by, for each currency; most often abandoned first. Both by the day of the abandonment.
  abandoned = abandonments (event abandoned) whose cart it lay in; abandoned_quantity, abandoned_value = how many of it, and at which price (quantity * unit_price, before discounts). The cart is the one kept when the customer came back (order_changes of the event reanimated), else what is in the order when it is counted, which is once: it is never computed anew.
  recovered = recovered orders, as in statistics(), in which it was paid for (order_items); recovered_quantity, recovered_value = how many of it, and at which price. Something that was added later may have been abandoned less often than it was recovered.
  recovered_share = recovered / abandoned. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_campaign(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (campaign text, step integer, variant text, currency text, queued bigint, held_out bigint, sent bigint, failed bigint, delivered bigint,
	opened bigint, clicked bigint, replied bigint, unsubscribed bigint, bounced bigint, complained bigint, converted bigint, revenue numeric, coupon_cost numeric,
	open_rate numeric, click_rate numeric, conversion_rate numeric, unsubscribe_rate numeric, bounce_rate numeric, complaint_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_campaign', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s, %s
		SELECT nullif(m.campaign, ''), m.step, nullif(m.variant, ''), m.currency, m.queued::bigint, m.held_out::bigint, m.sent::bigint, m.failed::bigint,
			m.delivered::bigint, m.opened::bigint, m.clicked::bigint, m.replied::bigint, m.unsubscribed::bigint, m.bounced::bigint, m.complained::bigint,
			m.converted::bigint, m.revenue, m.coupon_cost, incomplete_orders._rate(m.opened, m.sent), incomplete_orders._rate(m.clicked, m.sent),
			incomplete_orders._rate(m.converted, m.sent), incomplete_orders._rate(m.unsubscribed, m.sent), incomplete_orders._rate(m.bounced, m.sent),
			incomplete_orders._rate(m.complained, m.sent)
		FROM messages m
		WHERE m.queued <> 0 OR m.held_out <> 0 OR m.sent <> 0 OR m.failed <> 0 OR m.delivered <> 0 OR m.opened <> 0 OR m.clicked <> 0 OR m.replied <> 0
			OR m.unsubscribed <> 0 OR m.bounced <> 0 OR m.complained <> 0 OR m.converted <> 0
		ORDER BY m.campaign COLLATE "C", m.step, m.variant COLLATE "C", m.currency
	$q$, incomplete_orders._changes_report(), incomplete_orders._messages_report('campaign, step, variant, currency'))
	USING shop_ids, days.since, days.until;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_campaign(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_campaign(text, date, date) IS
$c$By campaign (null: by hand), step of it, variant (null: the step has none) and currency of the order; each column by the day on which that happened, in the shop's time zone.
  queued, sent, failed, delivered, opened, clicked, replied, unsubscribed, bounced, complained = messages of which that was recorded (events message_queued and so on), by persons: what machines opened or clicked (machine) is left out.
  held_out = orders whose person is held out (event holdout), once an episode.
  converted = orders recovered by a message of that row: its link was clicked, or its coupon redeemed, last before the payment and within the attribution window; by the day of the payment. revenue = paid_amount - refund_amount of these. coupon_cost = what the coupons took off.
  open_rate, click_rate, conversion_rate, unsubscribe_rate, bounce_rate, complaint_rate = opened, clicked and so on / sent. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_cohort(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (week date, currency text, days_old integer, mature boolean, episodes bigint, episode_value numeric, recoverable bigint, recovered bigint,
	recovered_value numeric, assisted bigint, assisted_value numeric, unaided bigint, unaided_value numeric, lost bigint, lost_value numeric,
	recovery_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_cohort', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY
		SELECT w.week, f.currency, a.days_old, a.mature, f.episodes, f.episode_value, f.recoverable, f.recovered, f.recovered_value, f.assisted,
			f.assisted_value, f.unaided, f.unaided_value, f.lost, f.lost_value, incomplete_orders._rate(f.recovered, f.recoverable)
		FROM incomplete_orders._figures(shop_ids, 'step', 'week', date_trunc('week', days.since::timestamp)::date,
			(date_trunc('week', (days.until - 1)::timestamp) + interval '7 days')::date) f
		CROSS JOIN LATERAL (SELECT f.key::date AS week) w
		CROSS JOIN LATERAL (
			SELECT greatest(0, min((now() AT TIME ZONE s.time_zone)::date) - w.week - 6) AS days_old,
				bool_and(now() >= incomplete_orders._later(incomplete_orders._later((w.week + 7)::timestamp AT TIME ZONE s.time_zone, interval '3 days'), s.attribution_window)) AS mature
			FROM incomplete_orders.shops s WHERE s.shop_id = ANY (shop_ids)
		) a
		WHERE f.episodes <> 0 OR f.recoverable <> 0 OR f.recovered <> 0 OR f.assisted <> 0 OR f.unaided <> 0 OR f.lost <> 0
		ORDER BY w.week, f.currency;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_cohort(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_cohort(text, date, date) IS
$c$By the week of the abandonment (its Monday, by abandoned_at in the shop's time zone); weeks that since and until fall into are whole. A row for each week that has abandonments, and currency.
  days_old = days since the last day of the week, 0 while it lasts. mature = three days (the steps of a campaign) and the attribution window are over for all of it: only then compare it with others.
  episodes, episode_value = abandonments. recoverable to lost_value = what became of these up to now, as in statistics(). recovery_rate = recovered / recoverable. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_cohort_age(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (week date, currency text, days_from integer, days_before integer, state text, mature boolean, episodes bigint, recoverable bigint,
	recovered bigint, recovered_value numeric, recovered_so_far bigint, recovered_value_so_far numeric, recovery_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_cohort_age', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
	bounds CONSTANT integer[] := '{0,1,2,3,5,7,14,30}';
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s,
		weeks AS MATERIALIZED (
			SELECT w.week, g.currency, m.mature, m.today, g.episodes, g.recoverable
			FROM incomplete_orders._figures($1, 'step', 'week', $2, $3) g
			CROSS JOIN LATERAL (SELECT g.key::date AS week) w
			CROSS JOIN LATERAL (
				SELECT min((now() AT TIME ZONE s.time_zone)::date) AS today,
					bool_and(now() >= incomplete_orders._later(incomplete_orders._later((w.week + 7)::timestamp AT TIME ZONE s.time_zone, interval '3 days'), s.attribution_window)) AS mature
				FROM incomplete_orders.shops s WHERE s.shop_id = ANY ($1)
			) m
			WHERE g.episodes <> 0 OR g.recoverable <> 0 OR g.recovered <> 0
		),
		f AS MATERIALIZED (
			SELECT date_trunc('week', x.day::timestamp)::date AS week, x.currency, width_bucket(x.bucket::bigint / 1440, $4::bigint[]) AS age,
				sum(x.recovered) AS recovered, sum(x.recovered_value) AS recovered_value
			FROM (
				SELECT r.day, r.currency, r.bucket, r.recovered, r.recovered_value FROM incomplete_orders.rollup_episodes r
				WHERE r.shop_id = ANY ($1) AND r.question = 'minutes' AND NOT r.bot
					AND r.day >= $2 AND r.day < $3
				UNION ALL SELECT q.day, q.currency, q.bucket, q.recovered, q.recovered_value FROM (%s) q
				WHERE q.question = 'minutes' AND NOT q.bot AND q.day >= $2 AND q.day < $3
			) x GROUP BY 1, 2, 3
		)
		SELECT w.week, w.currency, $4[a], $4[a + 1],
			CASE WHEN $4[a + 1] IS NULL THEN CASE WHEN w.mature THEN 'over' ELSE 'growing' END
				WHEN w.today < w.week + $4[a] THEN 'to come' WHEN w.today > w.week + 6 + $4[a + 1] THEN 'over' ELSE 'growing' END,
			w.mature, w.episodes, w.recoverable, coalesce(f.recovered, 0)::bigint, coalesce(f.recovered_value, 0),
			coalesce(sum(f.recovered) OVER so_far, 0)::bigint, coalesce(sum(f.recovered_value) OVER so_far, 0),
			incomplete_orders._rate(coalesce(sum(f.recovered) OVER so_far, 0), w.recoverable)
		FROM weeks w
		CROSS JOIN generate_series(1, cardinality($4)) a
		LEFT JOIN f ON f.week = w.week AND f.currency = w.currency AND f.age = a
		WINDOW so_far AS (PARTITION BY w.week, w.currency ORDER BY a)
		ORDER BY w.week, w.currency, a
	$q$, incomplete_orders._changes_report(), incomplete_orders._outcome_episodes_query('changes'))
	USING shop_ids, date_trunc('week', days.since::timestamp)::date, (date_trunc('week', (days.until - 1)::timestamp) + interval '7 days')::date, bounds;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_cohort_age(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_cohort_age(text, date, date) IS
$c$How much of each week's abandonments had come back after so many days: the weeks of statistics_by_cohort(), each eight times, by the days from the abandonment to the payment, from days_from to before days_before (null: no bound).
  recovered, recovered_value = as in statistics(), of that age. recovered_so_far, recovered_value_so_far = with all younger ones. recovery_rate = recovered_so_far / recoverable.
  state = to come: no abandonment of the week is so old; growing: not all are older; over: nothing of that age can come any more (of the last row: mature). IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_by_recovery_time(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (currency text, time_from interval, time_before interval, recovered bigint, recovered_value numeric, share numeric, share_before numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_by_recovery_time', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
	bounds CONSTANT integer[] := '{0,15,30,60,120,240,480,720,1440,2880,4320,5760,7200,10080,20160,43200}';
BEGIN
	-- there are about as many rows of minutes as recovered orders: only two sums of them
	RETURN QUERY EXECUTE format($q$
		WITH %s, f AS MATERIALIZED (
			SELECT x.currency, width_bucket(x.bucket::integer, $4) AS bucket, sum(x.recovered) AS recovered, sum(x.recovered_value) AS recovered_value FROM (
				SELECT r.currency, r.bucket, r.recovered, r.recovered_value FROM incomplete_orders.rollup_episodes r
				WHERE r.shop_id = ANY ($1) AND r.question = 'minutes' AND r.day >= $2 AND r.day < $3 AND NOT r.bot
				UNION ALL SELECT q.currency, q.bucket, q.recovered, q.recovered_value FROM (%s) q
				WHERE q.question = 'minutes' AND q.day >= $2 AND q.day < $3 AND NOT q.bot
			) x GROUP BY 1, 2
		)
		SELECT c.currency, make_interval(days => $4[b] / 1440, mins => $4[b] %% 1440), make_interval(days => $4[b + 1] / 1440, mins => $4[b + 1] %% 1440),
			coalesce(f.recovered, 0)::bigint, coalesce(f.recovered_value, 0), incomplete_orders._rate(coalesce(f.recovered, 0), sum(f.recovered) OVER whole),
			incomplete_orders._rate(coalesce(sum(f.recovered) OVER (PARTITION BY c.currency ORDER BY b), 0), sum(f.recovered) OVER whole)
		FROM (SELECT DISTINCT f.currency FROM f WHERE f.recovered > 0) c
		CROSS JOIN generate_series(1, cardinality($4)) b
		LEFT JOIN f ON f.currency = c.currency AND f.bucket = b
		WINDOW whole AS (PARTITION BY c.currency)
		ORDER BY c.currency, b
	$q$, incomplete_orders._changes_report(), incomplete_orders._outcome_episodes_query('changes'))
	USING shop_ids, days.since, days.until, bounds;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_by_recovery_time(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_by_recovery_time(text, date, date) IS
$c$How long it took from the abandonment to the payment (paid - abandoned_at), of what was recovered of the abandonments of these days: from time_from to before time_before (null: no bound), all ranges for each currency that has any.
  recovered, recovered_value = as in statistics(). share = recovered / all recovered. share_before = the same of this range and all shorter ones. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.funnel(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (currency text, stage integer, step text, orders bigint, share numeric, from_previous numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('funnel', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s, %s,
		stages AS (SELECT n::integer AS stage, word FROM unnest('{cart,contact,shipping,payment,review,converted}'::text[]) WITH ORDINALITY s (word, n)),
		-- how far they came: who bought came all the way
		reached AS (
			SELECT r.currency, r.stage, sum(r.orders) AS orders FROM (
				SELECT x.currency, s.stage, x.payment_pending + x.payment_failed + x.abandoned + x.expired + x.dismissed + x.deleted AS orders
				FROM states x JOIN stages s ON s.word = x.step::text
				UNION ALL SELECT x.currency, 6, x.converted FROM states x
				UNION ALL SELECT o.currency, s.stage, o.orders FROM open o JOIN stages s ON s.word = o.step::text
				-- emptied ones began, at least
				UNION ALL SELECT currency, 1, sum(orders) FROM (SELECT x.currency, x.pending AS orders FROM states x UNION ALL SELECT o.currency, -o.orders FROM open o) e GROUP BY 1
			) r GROUP BY 1, 2
		),
		counted AS (
			SELECT c.currency, s.stage, s.word, coalesce((SELECT sum(r.orders) FROM reached r WHERE r.currency = c.currency AND r.stage >= s.stage), 0) AS orders
			FROM (SELECT currency FROM reached GROUP BY 1 HAVING sum(orders) > 0
				UNION SELECT s.currency FROM incomplete_orders.shops s WHERE s.shop_id = ANY ($1)) c CROSS JOIN stages s
		)
		SELECT c.currency, c.stage, c.word, c.orders::bigint, incomplete_orders._rate(c.orders, first_value(c.orders) OVER w), incomplete_orders._rate(c.orders, lag(c.orders) OVER w)
		FROM counted c WINDOW w AS (PARTITION BY c.currency ORDER BY c.stage) ORDER BY c.currency, c.stage
	$q$, incomplete_orders._states_report('currency, step'), incomplete_orders._open_report('currency, step', false, false))
	USING shop_ids, days.since, days.until;
END
$$;
ALTER FUNCTION incomplete_orders.funnel(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.funnel(text, date, date) IS
$c$How far the orders came that were begun on these days (event created), up to now: six rows for each currency.
  step = cart, contact, shipping, payment, review (furthest_step), then converted. orders = those that came so far or further; who bought came all the way, whether or not the shop told of each step. The first row is total of statistics().
  share = orders / orders of the first row. from_previous = orders / orders of the row before. IC002, 22023$c$;

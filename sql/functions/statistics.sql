-- Reports: what is folded and what is not yet, in one snapshot.  Each adds up a few
-- rows a day, so none depends on the number of orders.

-- The days of a report, in the zones of its shops: from since to the day before until.
CREATE FUNCTION incomplete_orders._report_days(shop_ids integer[], INOUT since date, INOUT until date)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF until IS NULL THEN
		SELECT coalesce(max((now() AT TIME ZONE s.time_zone)::date), (now() AT TIME ZONE 'UTC')::date) + 1 INTO until
		FROM incomplete_orders.shops s WHERE s.shop_id = ANY (shop_ids);
		IF since >= until THEN
			until := since + 30;
		END IF;
	END IF;
	since := coalesce(since, until - 30);
	IF until <= since OR NOT isfinite(since) OR NOT isfinite(until) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "until" must be a day after "since"',
			DETAIL = format('A report is of the days from since to the one before until; here: %s and %s.', since, until),
			HINT = 'By default it is of the last 30 days.';
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders._report_days(integer[], date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._report_days(integer[], date, date) IS 'The days of a report, by default the last 30; 22023';

-- The events of the shops $1 that are not folded yet, as part of a query.
CREATE FUNCTION incomplete_orders._tail_source() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '(SELECT * FROM incomplete_orders.order_event_tail t WHERE t.shop_id = ANY ($1))'
$$;
COMMENT ON FUNCTION incomplete_orders._tail_source() IS 'The events of the shops $1 that are not folded yet, as part of a query';

-- CTEs: states (by currency and step), of the shops $1 and days $2 to before $3.
CREATE FUNCTION incomplete_orders._states_report(by_columns text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('states AS MATERIALIZED (SELECT %1$s, %2$s FROM (SELECT %1$s, %3$s FROM incomplete_orders.rollup_states r
			WHERE r.shop_id = ANY ($1) AND r.day >= $2 AND r.day < $3 AND NOT r.bot
			UNION ALL SELECT %1$s, %3$s FROM (%4$s) q WHERE q.day >= $2 AND q.day < $3 AND NOT q.bot) x GROUP BY %1$s)',
		by_columns, (SELECT string_agg(format('sum(%1$I) AS %1$I', m), ', ') FROM unnest(incomplete_orders._state_measures()) m),
		(SELECT string_agg(quote_ident(m), ', ') FROM unnest(incomplete_orders._state_measures()) m),
		incomplete_orders._states_query(incomplete_orders._tail_source()))
$$;
COMMENT ON FUNCTION incomplete_orders._states_report(text) IS 'The part of a report that counts orders by their state';

-- CTEs: changes, the outcomes that are not folded yet.
CREATE FUNCTION incomplete_orders._changes_report() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'touched AS MATERIALIZED (' || incomplete_orders._touched_query(incomplete_orders._tail_source()) || '),
		changes AS MATERIALIZED (SELECT c.* FROM (SELECT array_agg(t.shop_id) AS shop_ids, array_agg(t.order_id) AS order_ids FROM touched t) t
			CROSS JOIN LATERAL incomplete_orders._outcome_changes(t.shop_ids, t.order_ids) c WHERE t.shop_ids IS NOT NULL)'
$$;
COMMENT ON FUNCTION incomplete_orders._changes_report() IS 'The part of a report that finds outcomes which are not folded yet';

-- CTEs: episodes, by currency, bucket and what else is named.
CREATE FUNCTION incomplete_orders._episodes_report(questions text[], by_columns text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH m AS (
		SELECT string_agg(format('sum(%1$I) AS %1$I', m), ', ' ORDER BY n) AS sums, string_agg(quote_ident(m), ', ' ORDER BY n) AS names,
			string_agg(CASE WHEN n <= 8 THEN quote_ident(m) ELSE '0' END, ', ' ORDER BY n) AS of_events,
			string_agg(CASE WHEN n > 8 THEN quote_ident(m) ELSE '0' END, ', ' ORDER BY n) AS of_outcomes
		FROM unnest('{created,direct,direct_value,abandoned,abandoned_value,recoverable,lost,lost_value,recovered,recovered_value,assisted,assisted_value,unaided,unaided_value,coupon_cost}'::text[])
			WITH ORDINALITY m (m, n)
	)
	SELECT format('episodes AS MATERIALIZED (SELECT %1$s, %2$s FROM (SELECT %1$s, %3$s FROM incomplete_orders.rollup_episodes r
			WHERE r.shop_id = ANY ($1) AND r.question = ANY (%4$L) AND r.day >= $2 AND r.day < $3 AND NOT r.bot
			UNION ALL SELECT %1$s, %5$s FROM (%6$s) q WHERE q.day >= $2 AND q.day < $3 AND NOT q.bot
			UNION ALL SELECT %1$s, %7$s FROM (%8$s) q WHERE q.question = ANY (%4$L) AND q.day >= $2 AND q.day < $3 AND NOT q.bot) x GROUP BY %1$s)',
		by_columns, m.sums, m.names, questions, m.of_events,
		incomplete_orders._episodes_query(incomplete_orders._tail_source(), array_remove(questions, 'minutes')), m.of_outcomes,
		incomplete_orders._outcome_episodes_query('changes'))
	FROM m
$$;
COMMENT ON FUNCTION incomplete_orders._episodes_report(text[], text) IS 'The part of a report that counts abandonments and what became of them';

-- CTEs: messages, by what is named.
CREATE FUNCTION incomplete_orders._messages_report(by_columns text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH m AS (
		SELECT string_agg(format('sum(%1$I) AS %1$I', m), ', ' ORDER BY n) AS sums, string_agg(quote_ident(m), ', ' ORDER BY n) AS names,
			string_agg(CASE WHEN n <= 11 THEN quote_ident(m) ELSE '0' END, ', ' ORDER BY n) AS of_events,
			string_agg(CASE WHEN n > 11 THEN quote_ident(m) ELSE '0' END, ', ' ORDER BY n) AS of_outcomes
		FROM unnest('{queued,held_out,sent,failed,delivered,opened,clicked,replied,unsubscribed,bounced,complained,converted,revenue,coupon_cost}'::text[])
			WITH ORDINALITY m (m, n)
	)
	SELECT format('messages AS MATERIALIZED (SELECT %1$s, %2$s FROM (SELECT %1$s, %3$s FROM incomplete_orders.rollup_messages r
			WHERE r.shop_id = ANY ($1) AND r.day >= $2 AND r.day < $3
			UNION ALL SELECT %1$s, %4$s FROM (%5$s) q WHERE q.day >= $2 AND q.day < $3
			UNION ALL SELECT %1$s, %6$s FROM (%7$s) q WHERE q.day >= $2 AND q.day < $3) x GROUP BY %1$s)',
		by_columns, m.sums, m.names, m.of_events, incomplete_orders._messages_query(incomplete_orders._tail_source()), m.of_outcomes,
		incomplete_orders._outcome_messages_query('changes'))
	FROM m
$$;
COMMENT ON FUNCTION incomplete_orders._messages_report(text) IS 'The part of a report that counts messages';

CREATE FUNCTION incomplete_orders._rate(part numeric, whole numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN whole > 0 THEN round(part / whole, 4) END;
COMMENT ON FUNCTION incomplete_orders._rate(numeric, numeric) IS 'part of the whole, 0 to 1 with four decimals; null where there is nothing';

CREATE FUNCTION incomplete_orders.statistics(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (currency text, total bigint, pending bigint, payment_pending bigint, payment_failed bigint, abandoned bigint, converted bigint,
	expired bigint, dismissed bigint, total_value numeric, abandoned_value numeric, converted_value numeric, lost_value numeric, recovered_value numeric,
	recovery_attempts bigint, messages_sent bigint, recovered bigint, assisted bigint, unaided bigint, direct bigint, conversion_rate numeric,
	abandonment_rate numeric, checkout_abandonment_rate numeric, recovery_rate numeric, average_days_to_abandon numeric,
	median_time_to_recover interval, p90_time_to_recover interval, lift numeric, lift_low numeric, lift_high numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s, %s, %s, %s,
		by_currency AS (
			SELECT currency, sum(pending) AS pending, sum(payment_pending) AS payment_pending, sum(payment_failed) AS payment_failed,
				sum(abandoned) AS abandoned, sum(converted) AS converted, sum(expired) AS expired, sum(dismissed) AS dismissed,
				sum(deleted + reversed) AS deleted, sum(payment_pending_value + payment_failed_value + abandoned_value + converted_value
					+ expired_value + dismissed_value) AS value, sum(abandoned_value) AS abandoned_value, sum(converted_value) AS converted_value,
				sum(days_to_abandon) AS days_to_abandon, sum(first_abandoned) AS first_abandoned,
				sum(converted) FILTER (WHERE step <> 'cart') AS checkouts_converted,
				sum(payment_pending + payment_failed + abandoned + converted + expired + dismissed + deleted + reversed) FILTER (WHERE step <> 'cart') AS checkouts
			FROM states GROUP BY currency
		),
		-- a capture changes what is in a pending order without an event
		open AS (
			SELECT o.currency, sum(incomplete_orders._order_total(o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency)) AS value
			FROM incomplete_orders.shops s
			CROSS JOIN LATERAL (SELECT q.* FROM incomplete_orders.open_orders q
				WHERE q.shop_id = s.shop_id AND q.next_action_at <= now() + s.cut_off AND q.status = 'pending' AND NOT q.bot OFFSET 0) o
			CROSS JOIN LATERAL (SELECT (o.created_at AT TIME ZONE s.time_zone)::date AS day) d
			WHERE s.shop_id = ANY ($1) AND d.day >= $2 AND d.day < $3 GROUP BY 1
		),
		outcome AS (
			SELECT currency, sum(direct) AS direct, sum(recoverable) AS recoverable, sum(lost_value) AS lost_value, sum(recovered) AS recovered,
				sum(recovered_value) AS recovered_value, sum(assisted) AS assisted, sum(unaided) AS unaided
			FROM episodes WHERE question = 'step' GROUP BY currency
		),
		-- the smallest number of minutes within which so many had paid
		times AS (
			SELECT t.currency, min(t.minutes) FILTER (WHERE t.running * 2 >= t.n) AS median, min(t.minutes) FILTER (WHERE t.running * 10 >= t.n * 9) AS p90
			FROM (SELECT currency, bucket::bigint AS minutes, sum(recovered) OVER (PARTITION BY currency ORDER BY bucket::bigint) AS running,
					sum(recovered) OVER (PARTITION BY currency) AS n
				FROM episodes WHERE question = 'minutes' AND recovered > 0) t GROUP BY t.currency
		),
		currencies AS (
			SELECT currency FROM by_currency UNION SELECT currency FROM outcome UNION SELECT currency FROM messages
			UNION SELECT s.currency FROM incomplete_orders.shops s WHERE s.shop_id = ANY ($1)
		)
		SELECT c.currency, t.total, coalesce(b.pending, 0)::bigint, coalesce(b.payment_pending, 0)::bigint, coalesce(b.payment_failed, 0)::bigint,
			coalesce(b.abandoned, 0)::bigint, coalesce(b.converted, 0)::bigint, coalesce(b.expired, 0)::bigint, coalesce(b.dismissed, 0)::bigint,
			coalesce(b.value, 0) + coalesce(o.value, 0), coalesce(b.abandoned_value, 0), coalesce(b.converted_value, 0),
			coalesce(u.lost_value, 0), coalesce(u.recovered_value, 0),
			coalesce(m.queued, 0)::bigint, coalesce(m.sent, 0)::bigint, coalesce(u.recovered, 0)::bigint, coalesce(u.assisted, 0)::bigint,
			coalesce(u.unaided, 0)::bigint, coalesce(u.direct, 0)::bigint,
			incomplete_orders._rate(b.converted, t.total), 1 - incomplete_orders._rate(b.converted, t.total),
			1 - incomplete_orders._rate(coalesce(b.checkouts_converted, 0), b.checkouts), incomplete_orders._rate(u.recovered, u.recoverable),
			CASE WHEN b.first_abandoned > 0 THEN round(b.days_to_abandon / b.first_abandoned, 4) END,
			make_interval(mins => i.median::integer), make_interval(mins => i.p90::integer), NULL::numeric, NULL::numeric, NULL::numeric
		FROM currencies c
		LEFT JOIN by_currency b ON b.currency = c.currency
		LEFT JOIN open o ON o.currency = c.currency
		LEFT JOIN outcome u ON u.currency = c.currency
		LEFT JOIN messages m ON m.currency = c.currency
		LEFT JOIN times i ON i.currency = c.currency
		CROSS JOIN LATERAL (SELECT coalesce(b.pending + b.payment_pending + b.payment_failed + b.abandoned + b.converted + b.expired + b.dismissed + b.deleted, 0)::bigint AS total) t
		ORDER BY c.currency
	$q$, incomplete_orders._states_report('currency, step'), incomplete_orders._changes_report(),
		incomplete_orders._episodes_report('{step,minutes}', 'question, currency, bucket'), incomplete_orders._messages_report('currency'))
	USING shop_ids, days.since, days.until;
END
$$;
ALTER FUNCTION incomplete_orders.statistics(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics(text, date, date) IS 'Figures of a shop and the days from since to before until (by default the last 30), one row for each currency. IC002, 22023';

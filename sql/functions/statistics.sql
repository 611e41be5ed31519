-- Reports: what is folded and what is not yet, in one snapshot.  Each adds up a few
-- rows a day, so none depends on the number of orders.
--
-- work_mem: the buckets of all shops are added up by hashing; sorted first, on disk, they
-- take four times as long.

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

-- The events of the shops $1 that are not folded yet, as part of a query.  The shops are
-- looked up by the join, not in a list for each event.
CREATE FUNCTION incomplete_orders._tail_source() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '(SELECT t.*, incomplete_orders._event_kind(t.event) AS what, z.time_zone FROM incomplete_orders.order_event_tail t
		JOIN incomplete_orders.shops z ON z.shop_id = t.shop_id WHERE z.shop_id = ANY ($1) OFFSET 0)'
$$;
COMMENT ON FUNCTION incomplete_orders._tail_source() IS 'The events of the shops $1 that are not folded yet, as part of a query';

-- CTEs: states, by what is named, of the shops $1 and days $2 to before $3.
CREATE FUNCTION incomplete_orders._states_report(by_columns text, bots boolean DEFAULT false) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('states AS (SELECT %1$s, %2$s FROM (SELECT %1$s, %3$s FROM incomplete_orders.rollup_states r
			WHERE r.shop_id = ANY ($1) AND r.day >= $2 AND r.day < $3 AND r.bot = %5$L
			UNION ALL SELECT %1$s, %3$s FROM (%4$s) q) x GROUP BY %1$s)',
		by_columns, (SELECT string_agg(format('sum(%1$I) AS %1$I', m), ', ') FROM unnest(incomplete_orders._state_measures()) m),
		(SELECT string_agg(quote_ident(m), ', ') FROM unnest(incomplete_orders._state_measures()) m),
		incomplete_orders._states_query(incomplete_orders._tail_source(), string_to_array(by_columns, ', '),
			format('e.day >= $2 AND e.day < $3 AND e.bot = %L', bots)), bots)
$$;
COMMENT ON FUNCTION incomplete_orders._states_report(text, boolean) IS 'The part of a report that counts orders by their state';

-- CTEs: open.  A capture changes what is in a pending order, and how far it came, without
-- an event: it is read where it lies.  Emptied ones, which are worth nothing, are not in it.
CREATE FUNCTION incomplete_orders._open_report(by_columns text, bots boolean DEFAULT false, with_value boolean DEFAULT true) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('open AS MATERIALIZED (
			SELECT %1$s, count(*) AS orders%4$s
			FROM (
				SELECT o.currency, d.day, o.furthest_step AS step, o.items, o.shipping, o.tax, o.discount, o.coupon_discount
				FROM incomplete_orders.shops s
				CROSS JOIN LATERAL (SELECT q.* FROM incomplete_orders.open_orders q
					WHERE q.shop_id = s.shop_id AND q.next_action_at <= now() + s.cut_off AND q.status = %2$L AND q.bot = %3$L OFFSET 0) o
				CROSS JOIN LATERAL (SELECT incomplete_orders._local_time(o.created_at, s.time_zone)::date AS day OFFSET 0) d
				WHERE s.shop_id = ANY ($1) AND d.day >= $2 AND d.day < $3
			) o GROUP BY %1$s)', by_columns, 'pending', bots,
		CASE WHEN with_value THEN ', sum(incomplete_orders._order_total(o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency)) AS value' ELSE '' END)
$$;
COMMENT ON FUNCTION incomplete_orders._open_report(text, boolean, boolean) IS 'The part of a report that reads pending orders';

-- CTEs: changes, the outcomes that are not folded yet.
CREATE FUNCTION incomplete_orders._changes_report(with_products boolean DEFAULT false) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'touched AS MATERIALIZED (' || incomplete_orders._touched_query(incomplete_orders._tail_source()) || '),
		changes AS MATERIALIZED (SELECT c.* FROM (SELECT array_agg(t.shop_id) AS shop_ids, array_agg(t.root_id) AS root_ids FROM touched t) t
			CROSS JOIN LATERAL incomplete_orders._outcome_changes(t.shop_ids, t.root_ids, ' || with_products || ') c WHERE t.shop_ids IS NOT NULL)'
$$;
COMMENT ON FUNCTION incomplete_orders._changes_report(boolean) IS 'The part of a report that finds outcomes which are not folded yet';

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
	SELECT format('episodes AS (SELECT %1$s, %2$s FROM (SELECT %1$s, %3$s FROM incomplete_orders.rollup_episodes r
			WHERE r.shop_id = ANY ($1) AND r.question = ANY (%4$L) AND r.day >= $2 AND r.day < $3 AND NOT r.bot
			%6$s
			UNION ALL SELECT %1$s, %5$s FROM (%7$s) q WHERE q.question = ANY (%4$L) AND q.day >= $2 AND q.day < $3 AND NOT q.bot) x GROUP BY %1$s)',
		by_columns, m.sums, m.names, questions, m.of_outcomes,
		-- minutes are of outcomes only
		CASE WHEN questions <> '{minutes}' THEN format('UNION ALL SELECT %s, %s FROM (%s) q', by_columns, m.of_events,
			incomplete_orders._episodes_query(incomplete_orders._tail_source(), array_remove(questions, 'minutes'),
				array_remove(string_to_array(by_columns, ', '), 'bucket'), 'e.day >= $2 AND e.day < $3 AND NOT e.bot')) END,
		incomplete_orders._outcome_episodes_query('changes'))
	FROM m
$$;
COMMENT ON FUNCTION incomplete_orders._episodes_report(text[], text) IS 'The part of a report that counts abandonments and what became of them';

-- CTEs: minutes, by currency: there are many of them, and only one sum is needed.
CREATE FUNCTION incomplete_orders._minutes_report() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('minutes AS MATERIALIZED (SELECT x.currency, x.bucket::bigint AS minutes, sum(x.recovered) AS recovered FROM (
			SELECT r.currency, r.bucket, r.recovered FROM incomplete_orders.rollup_episodes r
			WHERE r.shop_id = ANY ($1) AND r.question = %1$L AND r.day >= $2 AND r.day < $3 AND NOT r.bot
			UNION ALL SELECT q.currency, q.bucket, q.recovered FROM (%2$s) q WHERE q.question = %1$L AND q.day >= $2 AND q.day < $3 AND NOT q.bot) x
			GROUP BY x.currency, x.bucket)', 'minutes', incomplete_orders._outcome_episodes_query('changes'))
$$;
COMMENT ON FUNCTION incomplete_orders._minutes_report() IS 'The part of a report that says how long it took to recover';

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
	SELECT format('messages AS (SELECT %1$s, %2$s FROM (SELECT %1$s, %3$s FROM incomplete_orders.rollup_messages r
			WHERE r.shop_id = ANY ($1) AND r.day >= $2 AND r.day < $3
			UNION ALL SELECT %1$s, %4$s FROM (%5$s) q
			UNION ALL SELECT %1$s, %6$s FROM (%7$s) q WHERE q.day >= $2 AND q.day < $3) x GROUP BY %1$s)',
		by_columns, m.sums, m.names, m.of_events, incomplete_orders._messages_query(incomplete_orders._tail_source(), string_to_array(by_columns, ', '),
			'e.day >= $2 AND e.day < $3'), m.of_outcomes, incomplete_orders._outcome_messages_query('changes'))
	FROM m
$$;
COMMENT ON FUNCTION incomplete_orders._messages_report(text) IS 'The part of a report that counts messages';

CREATE FUNCTION incomplete_orders._rate(part numeric, whole numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN whole > 0 THEN round(part / whole, 4) END;
COMMENT ON FUNCTION incomplete_orders._rate(numeric, numeric) IS 'part of the whole, 0 to 1 with four decimals; null where there is nothing';

-- CTEs: orders, by currency, from states and open.
CREATE FUNCTION incomplete_orders._orders_report(bots boolean) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT incomplete_orders._states_report('currency, step', bots) || ', ' || incomplete_orders._open_report('currency', bots) || $q$,
		by_currency AS (
			SELECT currency, sum(pending) AS pending, sum(payment_pending) AS payment_pending, sum(payment_failed) AS payment_failed,
				sum(abandoned) AS abandoned, sum(converted) AS converted, sum(expired) AS expired, sum(dismissed) AS dismissed,
				sum(deleted) AS deleted, sum(payment_pending_value + payment_failed_value + abandoned_value + converted_value
					+ expired_value + dismissed_value) AS value, sum(abandoned_value) AS abandoned_value, sum(converted_value) AS converted_value,
				sum(days_to_abandon) AS days_to_abandon, sum(first_abandoned) AS first_abandoned,
				sum(converted) FILTER (WHERE step <> 'cart') AS checkouts_converted,
				sum(payment_pending + payment_failed + abandoned + converted + expired + dismissed + deleted) FILTER (WHERE step <> 'cart') AS checkouts
			FROM states GROUP BY currency
		),
		orders AS (
			SELECT currency, (b.pending + b.payment_pending + b.payment_failed + b.abandoned + b.converted + b.expired + b.dismissed + b.deleted) AS total,
				b.pending, b.payment_pending, b.payment_failed, b.abandoned, b.converted, b.expired, b.dismissed, b.value + coalesce(o.value, 0) AS total_value,
				b.abandoned_value, b.converted_value, b.days_to_abandon, b.first_abandoned, b.checkouts_converted, b.checkouts
			FROM by_currency b LEFT JOIN open o USING (currency)
		)$q$
$$;
COMMENT ON FUNCTION incomplete_orders._orders_report(boolean) IS 'The part of a report that says in which state the orders of each currency are';

CREATE FUNCTION incomplete_orders.statistics(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (currency text, total bigint, pending bigint, payment_pending bigint, payment_failed bigint, abandoned bigint, converted bigint,
	expired bigint, dismissed bigint, total_value numeric, abandoned_value numeric, converted_value numeric, lost_value numeric, recovered_value numeric,
	recovery_attempts bigint, messages_sent bigint, recovered bigint, assisted bigint, unaided bigint, direct bigint, conversion_rate numeric,
	abandonment_rate numeric, checkout_abandonment_rate numeric, recovery_rate numeric, average_days_to_abandon numeric,
	median_time_to_recover interval, p90_time_to_recover interval, lift numeric, lift_low numeric, lift_high numeric,
	recoverable bigint, treated bigint, held_out bigint, lift_reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s, %s, %s, %s, %s, %s,
		outcome AS (
			SELECT currency, sum(direct) AS direct, sum(recoverable) AS recoverable, sum(lost_value) AS lost_value, sum(recovered) AS recovered,
				sum(recovered_value) AS recovered_value, sum(assisted) AS assisted, sum(unaided) AS unaided
			FROM episodes GROUP BY currency
		),
		-- the smallest number of minutes within which so many had paid
		times AS (
			SELECT t.currency, min(t.minutes) FILTER (WHERE t.running * 2 >= t.n) AS median, min(t.minutes) FILTER (WHERE t.running * 10 >= t.n * 9) AS p90
			FROM (SELECT currency, minutes, sum(recovered) OVER (PARTITION BY currency ORDER BY minutes) AS running,
					sum(recovered) OVER (PARTITION BY currency) AS n
				FROM minutes WHERE recovered > 0) t GROUP BY t.currency
		),
		currencies AS (
			SELECT currency FROM orders WHERE total <> 0 UNION SELECT currency FROM outcome WHERE recovered + assisted + unaided + lost_value <> 0
			UNION SELECT currency FROM messages UNION SELECT currency FROM arms
			UNION SELECT s.currency FROM incomplete_orders.shops s WHERE s.shop_id = ANY ($1)
		)
		SELECT c.currency, coalesce(o.total, 0)::bigint, coalesce(o.pending, 0)::bigint, coalesce(o.payment_pending, 0)::bigint,
			coalesce(o.payment_failed, 0)::bigint, coalesce(o.abandoned, 0)::bigint, coalesce(o.converted, 0)::bigint, coalesce(o.expired, 0)::bigint,
			coalesce(o.dismissed, 0)::bigint, coalesce(o.total_value, 0), coalesce(o.abandoned_value, 0), coalesce(o.converted_value, 0),
			coalesce(u.lost_value, 0), coalesce(u.recovered_value, 0),
			coalesce(m.queued, 0)::bigint, coalesce(m.sent, 0)::bigint, coalesce(u.recovered, 0)::bigint, coalesce(u.assisted, 0)::bigint,
			coalesce(u.unaided, 0)::bigint, coalesce(u.direct, 0)::bigint,
			incomplete_orders._rate(o.converted, o.total), 1 - incomplete_orders._rate(o.converted, o.total),
			1 - incomplete_orders._rate(coalesce(o.checkouts_converted, 0), o.checkouts), incomplete_orders._rate(u.recovered, u.recoverable),
			CASE WHEN o.first_abandoned > 0 THEN round(o.days_to_abandon / o.first_abandoned, 4) END,
			make_interval(mins => i.median::integer), make_interval(mins => i.p90::integer), l.lift, l.lift_low, l.lift_high,
			coalesce(u.recoverable, 0)::bigint, coalesce(a.treated, 0), coalesce(a.held_out, 0), l.reason
		FROM currencies c
		LEFT JOIN orders o ON o.currency = c.currency
		LEFT JOIN outcome u ON u.currency = c.currency
		LEFT JOIN messages m ON m.currency = c.currency
		LEFT JOIN times i ON i.currency = c.currency
		LEFT JOIN arms a ON a.currency = c.currency
		CROSS JOIN LATERAL incomplete_orders._lift(a.treated, coalesce(a.treated_converted, 0), a.held_out, coalesce(a.held_out_converted, 0), a.shops) l
		ORDER BY c.currency
	$q$, incomplete_orders._orders_report(false), incomplete_orders._changes_report(),
		incomplete_orders._episodes_report('{step}', 'currency'), incomplete_orders._minutes_report(), incomplete_orders._messages_report('currency'),
		incomplete_orders._arms_report())
	USING shop_ids, days.since, days.until;
END
$$;
ALTER FUNCTION incomplete_orders.statistics(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics(text, date, date) IS
$c$Figures of a shop ('*': all that the caller may see) and the days from since to before until, in the shop's time zone; by default the last 30. One row for each currency: nothing is added up across currencies. Bots are left out. Source: order_events, by the rollups.
Orders, by the day they were begun (event created):
  total = all of them, but those merged into another, and those that the shop took back, which another one continues; deleted ones too. pending, payment_pending, payment_failed, abandoned, converted, expired, dismissed = how many of them are in that state now (status_after of the last event).
  total_value = what is in them now (value; open_orders where pending). abandoned_value, converted_value = what is in those abandoned now; the totals of the orders made.
  direct = bought before ever being abandoned.
  conversion_rate = converted / total. abandonment_rate = 1 - converted / total. checkout_abandonment_rate = the same of orders that came beyond the step cart (furthest_step) and are not pending.
  average_days_to_abandon = from the beginning to the first abandonment (abandoned_at).
Abandonments, by the day of abandoned_at; an order that is abandoned again counts again:
  recoverable = a first message was queued, or withheld from a person held out (message_queued, holdout). recovery_rate = recovered / recoverable.
  recovered = paid (paid_amount), and a person clicked a link or redeemed a coupon of a message within the attribution window before (message_clicked, coupon_redeemed). assisted = paid, a message was sent within that window and did not bounce (message_sent, message_bounced), no click. unaided = paid without either.
  recovered_value = paid_amount - refund_amount of the recovered ones; what coupons took off is not in what was paid. lost_value = value of those given up (event lost).
  median_, p90_time_to_recover = paid - abandoned_at of the recovered ones, in whole minutes: the smallest within which a half, nine of ten had paid.
Messages, by their day: recovery_attempts = queued (message_queued), messages_sent = sent (message_sent).
Persons, by the day they were drawn (person_arms, by the currency of the order drawn for), once the attribution window and three days are over: treated, held_out = how many; who was added up stays on that day, also when the shop's time zone changes. lift = share of the treated that ordered within that time - the same of those held out; lift_low, lift_high = its 95 % interval (Newcombe). All three are null where lift_reason says why: "not enough data" (fewer than 100 persons in an arm), or "several shops" (which may hold out different shares).
Rates are shares from 0 to 1 with four decimals, null where there is nothing to divide by. IC002, 22023$c$;

CREATE FUNCTION incomplete_orders.statistics_of_bots(shop text DEFAULT NULL, since date DEFAULT NULL, until date DEFAULT NULL)
RETURNS TABLE (currency text, total bigint, pending bigint, payment_pending bigint, payment_failed bigint, abandoned bigint, converted bigint,
	expired bigint, dismissed bigint, total_value numeric, abandoned_value numeric, converted_value numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('statistics_of_bots', shop);
	days record := incomplete_orders._report_days(shop_ids, since, until);
BEGIN
	RETURN QUERY EXECUTE format($q$
		WITH %s
		SELECT o.currency, o.total::bigint, o.pending::bigint, o.payment_pending::bigint, o.payment_failed::bigint, o.abandoned::bigint, o.converted::bigint,
			o.expired::bigint, o.dismissed::bigint, o.total_value, o.abandoned_value, o.converted_value
		FROM orders o WHERE o.total <> 0 ORDER BY o.currency
	$q$, incomplete_orders._orders_report(true))
	USING shop_ids, days.since, days.until;
END
$$;
ALTER FUNCTION incomplete_orders.statistics_of_bots(text, date, date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.statistics_of_bots(text, date, date) IS
	'The orders of bots (context.bot when captured), which are in no other report: one row for each currency that has any; columns as in statistics(). IC002, 22023';

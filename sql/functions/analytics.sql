-- The rollups kept true: what stays of events that go, and what is computed anew
-- from those that are there.

-- Events that were recorded before are in rows with kept = true already.
CREATE FUNCTION incomplete_orders._kept_before() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce((SELECT h.at FROM incomplete_orders.heartbeats h WHERE h.job = 'analytics'), '-infinity') $$;
COMMENT ON FUNCTION incomplete_orders._kept_before() IS 'Events recorded before are counted for good: their partition was dropped, or is about to be';

-- What was in a cart that was abandoned is looked up when the event is folded: before
-- its order goes.
CREATE FUNCTION incomplete_orders._fold_orders(shop_ids integer[], order_ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
	IF EXISTS (SELECT FROM incomplete_orders.order_event_tail) THEN
		PERFORM incomplete_orders._fold('SELECT t.ctid FROM incomplete_orders.order_event_tail t WHERE (t.shop_id, t.event_id) IN (SELECT e.shop_id, e.event_id FROM unnest($2, $3) u (shop_id, order_id)
			CROSS JOIN LATERAL (SELECT q.shop_id, q.event_id FROM incomplete_orders.order_events q WHERE q.shop_id = u.shop_id AND q.order_id = u.order_id OFFSET 0) e)',
			NULL, shop_ids, order_ids);
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders._fold_orders(integer[], uuid[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._fold_orders(integer[], uuid[]) IS 'Folds the events of those orders. Call _lock_rollups() before';

-- The caller deletes the events next, in the same transaction.  An outcome of which
-- another order is left, one that continues another, is kept as it is.
CREATE FUNCTION incomplete_orders._keep_orders(shop_ids integer[], order_ids uuid[], root_ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
	IF shop_ids IS NULL OR cardinality(shop_ids) = 0 THEN
		RETURN;
	END IF;
	-- with those that continue them: what became of these hangs on events that go now
	PERFORM incomplete_orders._fold_orders(array_agg(o.shop_id), array_agg(o.order_id)) FROM (
		SELECT u.shop_id, u.order_id FROM unnest(shop_ids, order_ids) u (shop_id, order_id)
		UNION SELECT c.shop_id, c.order_id FROM unnest(shop_ids, root_ids) u (shop_id, root_id)
		CROSS JOIN LATERAL (SELECT k.* FROM incomplete_orders.continued_orders k WHERE k.shop_id = u.shop_id AND k.root_id = u.root_id OFFSET 0) c) o;
	EXECUTE format('WITH gone AS MATERIALIZED (SELECT e.*, incomplete_orders._event_kind(e.event) AS what FROM unnest($1, $2) u (shop_id, order_id) CROSS JOIN LATERAL
			(SELECT q.* FROM incomplete_orders.order_events q WHERE q.shop_id = u.shop_id AND q.order_id = u.order_id AND q.recorded_at >= $3 OFFSET 0) e), %s SELECT',
		incomplete_orders._add_events(incomplete_orders._with_zones('gone'), '(true, 1), (false, -1)'))
	USING shop_ids, order_ids, incomplete_orders._kept_before();
	EXECUTE format('WITH found AS MATERIALIZED (SELECT t.*, EXISTS (SELECT FROM incomplete_orders.continued_orders k WHERE k.shop_id = t.shop_id AND k.root_id = t.root_id) AS shared
			FROM (SELECT DISTINCT u.shop_id, u.root_id FROM unnest($1, $2) u (shop_id, root_id)) u
			CROSS JOIN LATERAL (SELECT q.ctid, q.* FROM incomplete_orders.order_outcomes q WHERE q.shop_id = u.shop_id AND q.root_id = u.root_id OFFSET 0) t),
		gone AS (DELETE FROM incomplete_orders.order_outcomes o WHERE o.ctid = ANY (ARRAY(SELECT f.ctid FROM found f WHERE NOT f.shared))),
		held AS (UPDATE incomplete_orders.order_outcomes o SET kept = true WHERE o.ctid = ANY (ARRAY(SELECT f.ctid FROM found f WHERE f.shared AND NOT f.kept))),
		moved AS MATERIALIZED (SELECT 1 AS sign, f.* FROM found f WHERE NOT f.kept), %s SELECT',
		incomplete_orders._add_outcomes('moved', '(true, 1), (false, -1)'))
	USING shop_ids, root_ids;
END
$$;
ALTER FUNCTION incomplete_orders._keep_orders(integer[], uuid[], uuid[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._keep_orders(integer[], uuid[], uuid[]) IS 'What the events of those orders add to the rollups is kept for good: they are deleted next. Call _lock_rollups() before';

-- A month of events is about to be dropped.  The orders of outcomes may have later
-- events that stay, from which alone no outcome could be told: what they count as
-- now stays, too.
CREATE FUNCTION incomplete_orders._keep_events(before timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	after timestamptz := incomplete_orders._kept_before();
BEGIN
	PERFORM incomplete_orders._fold(format('SELECT t.ctid FROM incomplete_orders.order_event_tail t WHERE (t.shop_id, t.event_id) IN (SELECT e.shop_id, e.event_id FROM incomplete_orders.order_events e
		WHERE e.recorded_at >= %L AND e.recorded_at < %L)', after, before), NULL, NULL, NULL);
	EXECUTE format('WITH gone AS MATERIALIZED (SELECT e.*, incomplete_orders._event_kind(e.event) AS what FROM incomplete_orders.order_events e WHERE e.recorded_at >= $1 AND e.recorded_at < $2), %s SELECT',
		incomplete_orders._add_events(incomplete_orders._with_zones('gone'), '(true, 1), (false, -1)'))
	USING after, before;
	EXECUTE format('WITH moved AS (UPDATE incomplete_orders.order_outcomes o SET kept = true WHERE NOT o.kept AND (o.shop_id, o.root_id) IN
			(SELECT e.shop_id, e.root_id FROM incomplete_orders.order_events e WHERE e.recorded_at >= $1 AND e.recorded_at < $2) RETURNING 1 AS sign, o.*), %s SELECT',
		incomplete_orders._add_outcomes('moved', '(true, 1), (false, -1)'))
	USING after, before;
	INSERT INTO incomplete_orders.heartbeats (job, at, report) VALUES ('analytics', before, '{}')
	ON CONFLICT (job) DO UPDATE SET at = excluded.at;
END
$$;
ALTER FUNCTION incomplete_orders._keep_events(timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._keep_events(timestamptz) IS 'What events recorded before that instant add to the rollups is kept for good. Call _lock_rollups() before';

-- The events of the shops $1 that are folded and not kept, as part of a query; $3 is _kept_before().
CREATE FUNCTION incomplete_orders._folded_source() RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '(SELECT e.*, incomplete_orders._event_kind(e.event) AS what FROM incomplete_orders.order_events e WHERE e.shop_id = ANY ($1) AND e.recorded_at >= $3 AND NOT EXISTS
		(SELECT FROM incomplete_orders.order_event_tail t WHERE t.shop_id = e.shop_id AND t.event_id = e.event_id))'
$$;
COMMENT ON FUNCTION incomplete_orders._folded_source() IS 'The events of the shops $1 that are folded and not kept for good, as part of a query';

-- The rows of a rollup as they must be; only those that differ are written.
CREATE FUNCTION incomplete_orders._recompute(rollup text, shop_ids integer[], day date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	events record;
	outcomes record;
	keys text;
	sums text;
	names text;
	something text;
	changed bigint;
BEGIN
	SELECT r.* INTO events FROM incomplete_orders._event_rollups(incomplete_orders._with_zones(incomplete_orders._folded_source())) r WHERE r.rollup = _recompute.rollup;
	SELECT r.* INTO outcomes FROM incomplete_orders._outcome_rollups('(SELECT 1 AS sign, o.* FROM incomplete_orders.order_outcomes o
		WHERE o.shop_id = ANY ($1) AND NOT o.kept)') r WHERE r.rollup = _recompute.rollup;
	SELECT string_agg(quote_ident(k), ', ' ORDER BY n) INTO keys FROM unnest(coalesce(events.key_columns, outcomes.key_columns)) WITH ORDINALITY k (k, n);
	SELECT string_agg(quote_ident(m), ', ' ORDER BY n), string_agg(format('sum(x.%I)', m), ', ' ORDER BY n), string_agg(format('r.%I <> 0', m), ' OR ' ORDER BY n)
	INTO names, sums, something FROM unnest(events.measures || outcomes.measures) WITH ORDINALITY m (m, n);
	EXECUTE format($q$
		WITH fresh AS MATERIALIZED (
			SELECT * FROM (SELECT %2$s, %4$s FROM (%5$s) x WHERE $2 IS NULL OR x.day = $2 GROUP BY %2$s) r (%2$s, %3$s) WHERE %6$s
		), stored AS MATERIALIZED (
			SELECT %2$s, %3$s FROM incomplete_orders.%1$I r WHERE r.shop_id = ANY ($1) AND NOT r.kept AND ($2 IS NULL OR r.day = $2)
		), differ AS MATERIALIZED (
			SELECT * FROM fresh EXCEPT SELECT * FROM stored
		), put AS (
			INSERT INTO incomplete_orders.%1$I AS r (%2$s, %3$s) SELECT %2$s, %3$s FROM differ ORDER BY %2$s
			ON CONFLICT (%2$s, kept) DO UPDATE SET (%3$s) = ROW (%7$s)
		), surplus AS (
			SELECT %2$s FROM stored EXCEPT SELECT %2$s FROM fresh
		), gone AS (
			DELETE FROM incomplete_orders.%1$I d USING surplus s WHERE NOT d.kept AND %8$s RETURNING d.*
		)
		SELECT (SELECT count(*) FROM differ) + (SELECT count(*) FROM gone r WHERE %6$s)
	$q$, rollup, keys, names, sums,
		concat_ws(' UNION ALL ',
			'SELECT ' || keys || (SELECT string_agg(format(', q.%I::numeric', m), '') FROM unnest(events.measures) m)
				|| coalesce((SELECT string_agg(format(', 0::numeric AS %I', m), '') FROM unnest(outcomes.measures) m), '') || format(' FROM (%s) q', events.query),
			'SELECT ' || keys || coalesce((SELECT string_agg(format(', 0::numeric AS %I', m), '') FROM unnest(events.measures) m), '')
				|| (SELECT string_agg(format(', q.%I::numeric', m), '') FROM unnest(outcomes.measures) m) || format(' FROM (%s) q', outcomes.query)),
		something, (SELECT string_agg(format('excluded.%I', m), ', ') FROM unnest(events.measures || outcomes.measures) m),
		(SELECT string_agg(format('d.%1$I = s.%1$I', k), ' AND ') FROM unnest(coalesce(events.key_columns, outcomes.key_columns)) k))
	INTO changed USING shop_ids, day, incomplete_orders._kept_before();
	RETURN changed;
END
$$;
ALTER FUNCTION incomplete_orders._recompute(text, integer[], date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._recompute(text, integer[], date) IS
	'Computes the rows of a rollup of those shops and that day (null: all) anew from the events; how many were others. Call _lock_rollups() before';

-- What became of orders, then every rollup.
CREATE FUNCTION incomplete_orders._refresh_rollups(shop_ids integer[], day date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
	orders record;
	name text;
	changed bigint := 0;
BEGIN
	FOR orders IN
		SELECT array_agg(o.shop_id) AS of_shops, array_agg(o.root_id) AS ids
		FROM (
			SELECT o.shop_id, o.root_id, row_number() OVER (ORDER BY o.shop_id, o.root_id) / 10000 AS part
			FROM (
				SELECT e.shop_id, e.root_id FROM incomplete_orders.order_events e JOIN incomplete_orders.shops s ON s.shop_id = e.shop_id
				WHERE e.shop_id = ANY (shop_ids) AND e.recorded_at >= incomplete_orders._kept_before() AND (e.episode > 1 OR e.abandoned_at IS NOT NULL)
					AND (e.paid_amount IS NOT NULL AND (day IS NULL OR (e.at AT TIME ZONE s.time_zone)::date = day)
						OR e.event = 'abandoned' AND (e.abandoned_at AT TIME ZONE s.time_zone)::date = day)
				UNION SELECT o.shop_id, o.root_id FROM incomplete_orders.order_outcomes o
				WHERE o.shop_id = ANY (shop_ids) AND NOT o.kept AND (day IS NULL OR day IN (o.day, o.paid_day))
			) o
		) o GROUP BY o.part
	LOOP
		changed := changed + incomplete_orders._fold_outcomes(orders.of_shops, orders.ids);
	END LOOP;
	FOR name IN SELECT r.rollup FROM incomplete_orders._event_rollups('') r UNION SELECT r.rollup FROM incomplete_orders._outcome_rollups('') r LOOP
		changed := changed + incomplete_orders._recompute(name, shop_ids, day);
	END LOOP;
	RETURN changed;
END
$$;
ALTER FUNCTION incomplete_orders._refresh_rollups(integer[], date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._refresh_rollups(integer[], date) IS
	'Computes what the rollups say of those shops and that day (null: all) anew; how many rows were others. Call _lock_rollups() before';

-- In batches, because what a statement adds up is kept in memory.
CREATE FUNCTION incomplete_orders._fold_all() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	WHILE incomplete_orders._fold('SELECT q.ctid FROM incomplete_orders.order_event_tail q LIMIT $1', 100000, NULL, NULL) >= 100000 LOOP
		NULL;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders._fold_all() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._fold_all() IS 'Folds what is in the tail. Call _lock_rollups() before';

CREATE FUNCTION incomplete_orders.update_analytics(day date DEFAULT NULL) RETURNS TABLE (analytics_day date, changed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('update_analytics', '*');
BEGIN
	IF NOT isfinite(update_analytics.day) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "day" must be a finite day', HINT = 'Leave it out for yesterday.';
	END IF;
	PERFORM incomplete_orders._lock_rollups(true);
	PERFORM incomplete_orders._fold_all();
	analytics_day := coalesce(update_analytics.day, (SELECT min((now() AT TIME ZONE s.time_zone)::date) - 1 FROM incomplete_orders.shops s
		WHERE s.shop_id = ANY (shop_ids)));
	IF analytics_day IS NOT NULL THEN
		changed := incomplete_orders._refresh_rollups(shop_ids, analytics_day);
		RETURN NEXT;
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders.update_analytics(date) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.update_analytics(date) IS
	'Folds what is not folded yet, computes what reports say of a day anew from the events, and says how many figures were others: 0 unless somebody changed tables by hand. By default the last day that is over in all shops that the caller may see; those of deleted events stay. 22023';

CREATE FUNCTION incomplete_orders.rebuild_analytics() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('rebuild_analytics', '*');
BEGIN
	PERFORM incomplete_orders._lock_rollups(true);
	PERFORM incomplete_orders._fold_all();
	RETURN incomplete_orders._refresh_rollups(shop_ids, NULL);
END
$$;
ALTER FUNCTION incomplete_orders.rebuild_analytics() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.rebuild_analytics() IS
	'Folds what is not folded yet and computes everything that reports add up anew from the events, for the shops that the caller may see; how many rows were others. What deleted events added stays, and which products were abandoned';

CREATE FUNCTION incomplete_orders._move_days() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM incomplete_orders._lock_rollups(true);
	PERFORM incomplete_orders._refresh_rollups(ARRAY[NEW.shop_id], NULL);
	RETURN NULL;
END
$$;
ALTER FUNCTION incomplete_orders._move_days() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._move_days() IS 'A shop''s time zone changed: its days begin at another hour, and its rollups are computed anew';

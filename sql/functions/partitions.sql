-- Partitions by month: closed_orders by the time in the id (creation),
-- order_events by recorded_at.  Months are those of UTC.  What a partition holds
-- is read from its bounds, never from its name.

CREATE FUNCTION incomplete_orders._time_of(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'epoch'::timestamptz + interval '1 millisecond'
		* ('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint
$$;
COMMENT ON FUNCTION incomplete_orders._time_of(uuid) IS 'The millisecond that an id carries: _id_at() the other way round';

-- The settings make the bounds of order_events readable for the cast.
CREATE FUNCTION incomplete_orders._partitions(parent text) RETURNS TABLE (relation name, low timestamptz, high timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $body$
DECLARE
	bound text[];
BEGIN
	FOR relation, bound IN
		SELECT c.relname, regexp_match(pg_get_expr(c.relpartbound, c.oid),
			$re$^FOR VALUES FROM \((?:'([^']*)'|MINVALUE)\) TO \((?:'([^']*)'|MAXVALUE)\)$$re$)
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = to_regclass(format('incomplete_orders.%I', parent))
	LOOP
		CONTINUE WHEN bound IS NULL;	-- DEFAULT
		IF parent = 'closed_orders' THEN
			low := incomplete_orders._time_of(bound[1]::uuid);
			high := incomplete_orders._time_of(bound[2]::uuid);
		ELSE
			low := bound[1]::timestamptz;
			high := bound[2]::timestamptz;
		END IF;
		low := coalesce(low, '-infinity');
		high := coalesce(high, 'infinity');
		RETURN NEXT;
	END LOOP;
END
$body$;
COMMENT ON FUNCTION incomplete_orders._partitions(text) IS 'The partitions of closed_orders or order_events and the times that their bounds stand for, without DEFAULT';

CREATE FUNCTION incomplete_orders._default_partition(parent text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT nullif(p.partdefid, 0)::regclass FROM pg_partitioned_table p
	WHERE p.partrelid = to_regclass(format('incomplete_orders.%I', parent))
$$;
COMMENT ON FUNCTION incomplete_orders._default_partition(text) IS 'The DEFAULT partition; null when somebody dropped it';

-- From this month to the twelfth after it, and the months of what landed in
-- DEFAULT: orders that closed after their month was dropped, rows of a clock
-- that was wrong or of a time in which no tick ran.
CREATE FUNCTION incomplete_orders._missing_partitions() RETURNS TABLE (parent text, month timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	months timestamptz[];
	of_default timestamptz[];
	fallback regclass;
BEGIN
	FOREACH parent IN ARRAY ARRAY['closed_orders', 'order_events'] LOOP
		months := ARRAY(SELECT date_trunc('month', clock_timestamp()) + make_interval(months => i) FROM generate_series(0, 12) i);
		fallback := incomplete_orders._default_partition(parent);
		IF fallback IS NOT NULL THEN
			EXECUTE format('SELECT ARRAY(SELECT DISTINCT date_trunc(''month'', t) FROM (SELECT %s FROM %s) r (t) WHERE t < ''10000-01-01'' AND isfinite(t) LIMIT 24)',
				CASE parent WHEN 'closed_orders' THEN 'CASE WHEN incomplete_orders.shop_of(id) = shop_id THEN incomplete_orders._time_of(id) END'
					ELSE 'recorded_at' END, fallback)
			INTO of_default;
			months := months || of_default;
		END IF;
		RETURN QUERY
			SELECT DISTINCT _missing_partitions.parent, m FROM unnest(months) m
			WHERE NOT EXISTS (SELECT FROM incomplete_orders._partitions(_missing_partitions.parent) p
				WHERE p.low < m + interval '1 month' AND p.high > m)
			ORDER BY m;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._missing_partitions() IS 'Months that have no partition and should';

-- Made apart, filled with that month's rows of DEFAULT, then attached: only
-- DEFAULT is locked against everybody.  A user's own columns, defaults, checks
-- and generated columns of the parent go along, or it could not be attached.
CREATE FUNCTION incomplete_orders._make_partition(parent text, month timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
DECLARE
	part text := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
	fallback regclass := incomplete_orders._default_partition(parent);
	key text := CASE parent WHEN 'closed_orders' THEN 'id' ELSE 'recorded_at' END;
	low text;
	high text;
	columns text;
	filled boolean := false;
BEGIN
	IF parent = 'closed_orders' THEN
		low := incomplete_orders._id_at(month);
		high := incomplete_orders._id_at(month + interval '1 month');
	ELSE
		low := month;
		high := month + interval '1 month';
	END IF;
	EXECUTE format('LOCK TABLE ONLY incomplete_orders.%I IN SHARE UPDATE EXCLUSIVE MODE', parent);
	IF fallback IS NOT NULL THEN
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', fallback);
		EXECUTE format('SELECT EXISTS (SELECT FROM %1$s WHERE %2$I >= %3$L AND %2$I < %4$L)', fallback, key, low, high) INTO filled;
	END IF;
	EXECUTE format('CREATE TABLE incomplete_orders.%I (LIKE incomplete_orders.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)', part, parent);
	IF filled THEN
		SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns
		FROM pg_attribute a WHERE a.attrelid = fallback AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
		PERFORM incomplete_orders._allow_retention();
		EXECUTE format('WITH moved AS (DELETE FROM %1$s WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING %5$s) INSERT INTO incomplete_orders.%6$I (%5$s) SELECT %5$s FROM moved',
			fallback, key, low, high, columns, part);
	END IF;
	EXECUTE format('ALTER TABLE incomplete_orders.%I ATTACH PARTITION incomplete_orders.%I FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
	IF parent = 'closed_orders' THEN
		-- the parent's does not fire for a partition that is named itself
		EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.%I EXECUTE FUNCTION incomplete_orders._refuse_truncate()', part);
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders._make_partition(text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._make_partition(text, timestamptz) IS 'Makes the partition of one month and moves its rows out of DEFAULT';

CREATE FUNCTION incomplete_orders._make_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing record;
	made integer := 0;
BEGIN
	FOR missing IN SELECT m.parent, m.month FROM incomplete_orders._missing_partitions() m LOOP
		PERFORM incomplete_orders._make_partition(missing.parent, missing.month);
		made := made + 1;
	END LOOP;
	RETURN made;
END
$$;
ALTER FUNCTION incomplete_orders._make_partitions() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._make_partitions() IS 'Makes every partition that is missing; returns how many';

-- A month goes when its end is longer ago than the longest retention and the
-- longest expiry of any shop, and, of closed_orders, when nothing in it closed
-- within the longest retention: an order lives longer when its customer comes
-- back, or is paid late.  order_events hold no personal data and go by time alone.
CREATE FUNCTION incomplete_orders._is_over(parent text, part name, longest interval, edge timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	kept boolean;
BEGIN
	IF parent <> 'closed_orders' THEN
		RETURN true;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM incomplete_orders.%I WHERE closed_at > $1)', part) INTO kept USING edge - longest;
	RETURN NOT kept;
END
$$;
ALTER FUNCTION incomplete_orders._is_over(text, name, interval, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._is_over(text, name, interval, timestamptz) IS 'Whether a month that is long ago holds nothing to be kept; through the BRIN index, whatever its size';

-- One at a time: the lock on the parent, which DETACH takes, must not be held
-- while the next one is waited for.  Not CONCURRENTLY: that cannot run in a function.
CREATE FUNCTION incomplete_orders._drop_partition(edge timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
	longest interval;
	expiry interval;
	over record;
BEGIN
	SELECT max(s.retention), max(s.expiry) INTO longest, expiry FROM incomplete_orders.shops s;
	FOR over IN
		SELECT r.parent, p.relation, p.high FROM unnest(ARRAY['closed_orders', 'order_events']) r (parent), incomplete_orders._partitions(r.parent) p
		WHERE isfinite(p.high) AND p.high + longest + expiry <= edge ORDER BY p.high
	LOOP
		CONTINUE WHEN NOT incomplete_orders._is_over(over.parent, over.relation, longest, edge);
		-- what its events add to the reports is kept first, while nobody is shut out
		IF over.parent = 'order_events' AND incomplete_orders._kept_before() < over.high THEN
			CONTINUE WHEN NOT incomplete_orders._lock_rollups(false);
			PERFORM incomplete_orders._keep_events(over.high);
			RETURN true;
		END IF;
		EXECUTE format('LOCK TABLE ONLY incomplete_orders.%I IN ACCESS EXCLUSIVE MODE', over.parent);
		EXECUTE format('LOCK TABLE incomplete_orders.%I IN ACCESS EXCLUSIVE MODE', over.relation);
		-- a payment that came late meanwhile
		CONTINUE WHEN NOT incomplete_orders._is_over(over.parent, over.relation, longest, edge);
		EXECUTE format('ALTER TABLE incomplete_orders.%I DETACH PARTITION incomplete_orders.%I', over.parent, over.relation);
		EXECUTE format('DROP TABLE incomplete_orders.%I', over.relation);
		RETURN true;
	END LOOP;
	RETURN false;
END
$$;
ALTER FUNCTION incomplete_orders._drop_partition(timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._drop_partition(timestamptz) IS 'Drops the oldest month whose retention is over at that time, or does what comes before; false when there is none';

-- Never waits longer than lock_timeout for a lock, and never fails: a lock that
-- is not had, or a change of the user's that stands in the way, is tried again
-- by the next tick; health() sees what it leads to.
CREATE FUNCTION incomplete_orders._tick_partitions(at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $$
DECLARE
	missing record;
	changed integer := 0;
BEGIN
	-- an older snapshot might not see what must be kept
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RETURN 0;
	END IF;
	FOR missing IN SELECT m.parent, m.month FROM incomplete_orders._missing_partitions() m LOOP
		BEGIN
			PERFORM incomplete_orders._make_partition(missing.parent, missing.month);
			changed := changed + 1;
		EXCEPTION
			WHEN lock_not_available OR deadlock_detected OR object_in_use THEN
				EXIT;
			WHEN OTHERS THEN
				RAISE WARNING 'could not make the partition of % for %', missing.parent, to_char(missing.month AT TIME ZONE 'UTC', 'YYYY-MM')
					USING ERRCODE = SQLSTATE, DETAIL = SQLERRM;
		END;
	END LOOP;
	-- the locks of those just made are held until the commit
	IF changed > 0 THEN
		RETURN changed;
	END IF;
	BEGIN
		IF incomplete_orders._drop_partition(least(at, clock_timestamp())) THEN
			changed := 1;
		END IF;
	EXCEPTION
		WHEN lock_not_available OR deadlock_detected OR object_in_use THEN
			NULL;
		WHEN OTHERS THEN
			RAISE WARNING 'could not drop a partition whose retention is over' USING ERRCODE = SQLSTATE, DETAIL = SQLERRM;
	END;
	RETURN changed;
END
$$;
ALTER FUNCTION incomplete_orders._tick_partitions(timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_partitions(timestamptz) IS
	'Makes the partitions that are missing, or drops one whose retention is over; returns how many. Commit, and call it again while it returns more than 0';

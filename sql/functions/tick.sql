-- The clock: what falls due by itself.

CREATE FUNCTION incomplete_orders._due_step(status incomplete_orders.order_status, is_empty boolean,
	last_activity_at timestamptz, abandoned_at timestamptz, lost_at timestamptz, expires_at timestamptz,
	payment_deadline timestamptz, cut_off interval, attribution_window interval,
	OUT step text, OUT due_at timestamptz, OUT next_at timestamptz)
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_due_step';
COMMENT ON FUNCTION incomplete_orders._due_step IS
	'What falls due next for an order in that state (abandoned, lost, expired), when, and what follows it';

-- next_action_at is never later than what can be due: only what was put further
-- away than it is now changes, mostly the carts of the last hour.
CREATE FUNCTION incomplete_orders._rearm_orders() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE incomplete_orders.open_orders o
	SET next_action_at = (incomplete_orders._due_step(o.status, incomplete_orders.item_count(o.items) = 0, o.last_activity_at, o.abandoned_at,
		o.lost_at, o.expires_at, o.payment_deadline, NEW.cut_off, NEW.attribution_window)).due_at
	WHERE o.shop_id = NEW.shop_id AND o.next_action_at > (incomplete_orders._due_step(o.status, incomplete_orders.item_count(o.items) = 0,
		o.last_activity_at, o.abandoned_at, o.lost_at, o.expires_at, o.payment_deadline, NEW.cut_off, NEW.attribution_window)).due_at;
	RETURN NULL;
END
$$;
ALTER FUNCTION incomplete_orders._rearm_orders() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._rearm_orders() IS 'A shop''s cut-off or attribution window became shorter: its open orders are due earlier';

CREATE FUNCTION incomplete_orders._tick_batch(shops integer[], at timestamptz, per_shop integer, most integer)
RETURNS TABLE (shop_id integer, abandoned integer, lost integer, expired integer, looked_at integer, more boolean)
LANGUAGE c STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_tick_batch';
ALTER FUNCTION incomplete_orders._tick_batch OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_batch IS
	'One batch of tick: at most per_shop due orders of each of these shops, at most so many in all; one row per shop that had any. more: this shop may have more. No row with shop_id null: another tick holds the lock';

CREATE FUNCTION incomplete_orders._tick_payments(shops integer[], at timestamptz, most integer) RETURNS integer
LANGUAGE c STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_tick_payments';
ALTER FUNCTION incomplete_orders._tick_payments OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_payments IS
	'Asks payment_state(reference) of the shops that name one, for payments whose deadline is over; how many were asked for, -1 when another tick holds the lock';

CREATE FUNCTION incomplete_orders._tick_heartbeat(report jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO incomplete_orders.heartbeats (job, at, report) VALUES ('tick', pg_catalog.clock_timestamp(), $1)
	ON CONFLICT (job) DO UPDATE SET at = excluded.at, report = excluded.report;
	-- what still fails does so every quarter of an hour
	DELETE FROM incomplete_orders.hook_failures f
	WHERE f.hook = 'tick' AND f.failed_at < pg_catalog.clock_timestamp() - interval '1 hour'
		OR EXISTS (SELECT FROM incomplete_orders.shops s WHERE s.shop_id = f.shop_id
			AND (f.hook = 'payment_state' AND s.payment_state IS NULL OR f.hook = 'availability' AND s.availability IS NULL))
$$;
ALTER FUNCTION incomplete_orders._tick_heartbeat OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_heartbeat IS 'Notes that tick ran, for health()';

-- Neither SECURITY DEFINER nor SET: a procedure with one of them may not commit.
CREATE PROCEDURE incomplete_orders.tick(INOUT report jsonb DEFAULT NULL, at timestamptz DEFAULT now(), max_seconds integer DEFAULT 50)
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_tick';
COMMENT ON PROCEDURE incomplete_orders.tick IS
	'Makes everything happen that is due at `at`, in short committed batches, for at most max_seconds; report says what it did. Inside a transaction block it commits nothing. IC001';

-- health(): every check can be ok, and can be otherwise.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
CREATE SCHEMA hlt;
SELECT incomplete_orders.create_shop('hlt-a', 'A') AS a \gset
SELECT incomplete_orders.create_shop('hlt-b', 'B') AS b \gset
CREATE ROLE regress_hlt_a;
CREATE ROLE regress_hlt_b;
CREATE ROLE regress_hlt_app;
SELECT incomplete_orders.grant_to('regress_hlt_a', 'sender', 'hlt-a'), incomplete_orders.grant_to('regress_hlt_b', 'admin', 'hlt-b'),
	incomplete_orders.grant_to('regress_hlt_app', 'app', 'hlt-a'), incomplete_orders.grant_to('regress_hlt_app', 'analyst', 'hlt-a');
CREATE VIEW hlt.bad AS SELECT check_name, state, advice IS NOT NULL AS advised FROM incomplete_orders.health() WHERE state <> 'ok';
CREATE FUNCTION hlt.beat(ago interval) RETURNS void LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.heartbeats (job, at) VALUES ('tick', clock_timestamp() - ago) ON CONFLICT (job) DO UPDATE SET at = excluded.at
$$;
-- What other tests left is not looked at: a role of one shop asks.
SET ROLE regress_hlt_app;
SELECT * FROM incomplete_orders.health();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
GRANT USAGE ON SCHEMA hlt TO regress_hlt_a, regress_hlt_b;
GRANT SELECT ON hlt.bad TO regress_hlt_a, regress_hlt_b;

-- The clock.
DELETE FROM incomplete_orders.heartbeats WHERE job = 'tick';
SET ROLE regress_hlt_a;
SELECT check_name, state FROM incomplete_orders.health();
RESET ROLE;
SELECT hlt.beat('90 s');
SELECT state FROM incomplete_orders.health() WHERE check_name = 'tick';
SELECT hlt.beat('121 s');
SELECT state, value ~ '^ended 00:02:0\d ago$' AS says, advice FROM incomplete_orders.health() WHERE check_name = 'tick';
SELECT hlt.beat('-2 min');
SELECT state, advice FROM incomplete_orders.health() WHERE check_name = 'tick';
SELECT hlt.beat('0');

-- What is overdue, by shop.
SELECT incomplete_orders.capture_cart('hlt-1', '[{"sku":"A","quantity":1,"unit_price":1}]', shop => 'hlt-b', at => now() - interval '2 hours') IS NOT NULL AS made;
SET ROLE regress_hlt_a;
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'overdue';
SET ROLE regress_hlt_b;
-- due an hour ago: late, but not yet an alarm
SELECT state, value ~ '^01:00:0\d, in shop "hlt-b"$' AS says FROM incomplete_orders.health() WHERE check_name = 'overdue';
RESET ROLE;
UPDATE incomplete_orders.open_orders SET next_action_at = now() - interval '2 days' WHERE session_id = 'hlt-1';
SET ROLE regress_hlt_b;
TABLE hlt.bad;
RESET ROLE;
UPDATE incomplete_orders.open_orders SET next_action_at = now() - interval '1 minute' WHERE session_id = 'hlt-1';
SET ROLE regress_hlt_b;
TABLE hlt.bad;
RESET ROLE;

-- Hooks that fail, by shop.
INSERT INTO incomplete_orders.hook_failures (shop_id, hook, failed_at, failures, sqlstate) VALUES (:a, 'payment_state', now(), 3, '22012');
SET ROLE regress_hlt_a;
SELECT state, value, advice IS NOT NULL AS advised FROM incomplete_orders.health() WHERE check_name = 'hooks';
SET ROLE regress_hlt_b;
TABLE hlt.bad;
RESET ROLE;
DELETE FROM incomplete_orders.hook_failures;

-- Partitions.
CREATE FUNCTION hlt.drop_month(parent text, ahead integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT format('DROP TABLE incomplete_orders.%I', relation) FROM incomplete_orders._partitions(parent) WHERE low = date_trunc('month', now()) + make_interval(months => ahead));
END
$$;
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT hlt.drop_month('order_events', 1);
SELECT check_name, state, value = format('until %s', to_char(date_trunc('month', now()) + interval '1 month', 'YYYY-MM-DD')) AS says, advice FROM incomplete_orders.health() WHERE check_name = 'partitions of order_events';
SELECT hlt.drop_month('closed_orders', 0);
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'partitions of closed_orders';
SELECT incomplete_orders._tick_partitions(now()) AS made;
SET LOCAL ROLE regress_hlt_b;
TABLE hlt.bad;
ROLLBACK;
INSERT INTO incomplete_orders.order_events (recorded_at, event_id, shop_id, order_id, root_id, episode, event, at)
VALUES ('infinity', 0, :a, incomplete_orders._new_id(:a), incomplete_orders._new_id(:a), 1, 'test', now());
SELECT state, value ~ '^until .*, rows in DEFAULT$' AS says FROM incomplete_orders.health() WHERE check_name = 'partitions of order_events';
DELETE FROM incomplete_orders.order_events_default;

-- Settings of the procedure that would keep it from committing.
ALTER PROCEDURE incomplete_orders.tick SET work_mem = '4MB';
SELECT state, value, advice FROM incomplete_orders.health() WHERE check_name = 'procedures';
ALTER PROCEDURE incomplete_orders.tick RESET ALL;
ALTER PROCEDURE incomplete_orders.tick SECURITY DEFINER;
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'procedures';
ALTER PROCEDURE incomplete_orders.tick SECURITY INVOKER;

-- Triggers that do not fire.
ALTER TABLE incomplete_orders.orders DISABLE TRIGGER check_order;
ALTER TABLE incomplete_orders.shops ENABLE TRIGGER invalidate_cache;
SELECT state, value, advice FROM incomplete_orders.health() WHERE check_name = 'triggers';
ALTER TABLE incomplete_orders.orders ENABLE TRIGGER check_order;
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'triggers';
SELECT incomplete_orders.setup();
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'triggers';

-- The schema's version.
BEGIN;
COMMENT ON TABLE incomplete_orders.shops IS 'Shops (schema version 0)';
SELECT state, value, advice FROM incomplete_orders.health() WHERE check_name = 'setup';
ROLLBACK;

-- Who holds old row versions; a role that may not see others is told so.
BEGIN;
SELECT txid_current() > 0 AS writes;
PREPARE TRANSACTION 'regress_hlt';
SELECT state, value ~ '"regress_hlt"$' AS says FROM incomplete_orders.health() WHERE check_name = 'oldest snapshot';
ROLLBACK PREPARED 'regress_hlt';
SET ROLE regress_hlt_a;
SELECT state, value, advice FROM incomplete_orders.health() WHERE check_name = 'oldest snapshot';
RESET ROLE;

SELECT count(*) AS gone FROM incomplete_orders.delete_shop('hlt-a', false);
SELECT count(*) AS gone FROM incomplete_orders.delete_shop('hlt-b', false);
SET client_min_messages = warning;
DROP OWNED BY regress_hlt_a, regress_hlt_b, regress_hlt_app;
DROP ROLE regress_hlt_a, regress_hlt_b, regress_hlt_app;
DROP SCHEMA hlt CASCADE;

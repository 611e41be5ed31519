-- What is kept no longer: months whose retention is over, rows of shops with a
-- shorter one; what landed in DEFAULT; and what must stay.
\set VERBOSITY sqlstate
\pset null (null)
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE SCHEMA ret;
-- A closed order that began and ended so many days ago; orders made from it stay of today.
CREATE FUNCTION ret.make(name text, began integer, ended integer, shop text DEFAULT 'default', action text DEFAULT 'dismiss') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	made uuid := incomplete_orders.capture_cart('ret-' || name, '[{"sku":"A","quantity":1,"unit_price":1}]', name => name, shop => shop);
	old uuid;
	began_at timestamptz := now() - make_interval(days => began);
BEGIN
	PERFORM incomplete_orders.add_note(made, 'note'), incomplete_orders.edit_order(made, '{"email": "a@shop.example"}', 1);
	IF action = 'convert' THEN
		PERFORM incomplete_orders.convert_order(made);
	ELSE
		PERFORM incomplete_orders.dismiss_order(made);
	END IF;
	old := (left(incomplete_orders._id_at(began_at)::text, 14) || substr(made::text, 15))::uuid;
	PERFORM incomplete_orders._allow_retention(), incomplete_orders._allow_purge();
	WITH g AS (DELETE FROM incomplete_orders.closed_orders c WHERE id = made RETURNING *)
	INSERT INTO incomplete_orders.closed_orders SELECT (jsonb_populate_record(NULL::incomplete_orders.closed_orders, to_jsonb(g)
		|| jsonb_build_object('id', old, 'root_id', old, 'closed_at', now() - make_interval(days => ended), 'items', items::jsonb))).* FROM g;
	UPDATE incomplete_orders.orders SET incomplete_order_id = old WHERE incomplete_order_id = made;
	UPDATE incomplete_orders.order_events SET order_id = old, recorded_at = began_at WHERE order_id = made;
	UPDATE incomplete_orders.order_notes SET order_id = old WHERE order_id = made;
	UPDATE incomplete_orders.order_changes SET order_id = old WHERE order_id = made;
	DELETE FROM incomplete_orders.order_event_tail WHERE order_id = made;
END
$$;
CREATE VIEW ret.left_over AS
	SELECT c.name, (SELECT count(*) FROM incomplete_orders.order_events e WHERE e.order_id = c.id) AS events,
		(SELECT count(*) FROM incomplete_orders.order_notes n WHERE n.order_id = c.id) AS notes,
		(SELECT count(*) FROM incomplete_orders.order_changes n WHERE n.order_id = c.id) AS changes
	FROM incomplete_orders.closed_orders c WHERE c.session_id LIKE 'ret-%' ORDER BY c.name;
CREATE VIEW ret.orphans AS
	SELECT (SELECT count(*) FROM incomplete_orders.order_notes n WHERE n.order_id < incomplete_orders._id_at(now() - interval '2 days') AND NOT EXISTS (SELECT FROM incomplete_orders.incomplete_orders i WHERE i.id = n.order_id)) AS notes,
		(SELECT count(*) FROM incomplete_orders.order_changes n WHERE n.order_id < incomplete_orders._id_at(now() - interval '2 days') AND NOT EXISTS (SELECT FROM incomplete_orders.incomplete_orders i WHERE i.id = n.order_id)) AS changes;
-- ticks until there is nothing to do; each call stands for a transaction of tick
CREATE FUNCTION ret.partitions(at timestamptz DEFAULT now()) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	changed boolean := false;
BEGIN
	FOR i IN 1 .. 50 LOOP
		IF incomplete_orders._tick_partitions(at) = 0 THEN
			RETURN changed;
		END IF;
		changed := true;
	END LOOP;
	RAISE EXCEPTION 'there is no end to it';
END
$$;
CREATE FUNCTION ret.sweep(most integer DEFAULT 1000, at timestamptz DEFAULT now()) RETURNS TABLE (calls integer, deleted bigint) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE incomplete_orders.heartbeats h SET at = '-infinity' WHERE job = 'retention';
	calls := 0;
	deleted := 0;
	LOOP
		calls := calls + 1;
		deleted := deleted + incomplete_orders._tick_retention(sweep.at, most);
		IF (SELECT h.report ->> 'finished' FROM incomplete_orders.heartbeats h WHERE job = 'retention')::boolean THEN
			RETURN NEXT;
			RETURN;
		END IF;
	END LOOP;
END
$$;

--
-- Partitions.
--
-- Nothing to do: 13 months each are there, and DEFAULT is empty.
SELECT incomplete_orders._tick_partitions(now());
SELECT r.parent, count(*) AS partitions, min(p.low) = date_trunc('month', now()) AS from_this_month, max(p.high) = date_trunc('month', now()) + interval '13 months' AS for_a_year
FROM (VALUES ('closed_orders'), ('order_events')) r (parent), incomplete_orders._partitions(r.parent) p GROUP BY r.parent ORDER BY 1;
SELECT incomplete_orders._time_of(incomplete_orders._id_at('2026-03-01 12:34:56.789')) AS time_of;

-- One that is missing is made, with a user's columns, checks and generated columns; rows that came meanwhile move into it.
CREATE FUNCTION ret.drop_month(parent text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT format('DROP TABLE incomplete_orders.%I', relation) FROM incomplete_orders._partitions(parent) WHERE low <= now() AND high > now());
END
$$;
SELECT ret.drop_month('closed_orders'), ret.drop_month('order_events');
ALTER TABLE incomplete_orders.closed_orders ADD COLUMN ret_gone text, ADD COLUMN ret_shade text DEFAULT 'grey' CHECK (ret_shade <> 'black'),
	ADD COLUMN ret_long text GENERATED ALWAYS AS (ret_shade || '!') STORED;
ALTER TABLE incomplete_orders.closed_orders DROP COLUMN ret_gone;
SELECT incomplete_orders.dismiss_order(incomplete_orders.capture_cart('ret-today', '[{"sku":"A","quantity":1,"unit_price":1}]', name => 'today'));
SELECT c.tableoid::regclass, c.name, c.ret_shade, c.ret_long FROM incomplete_orders.closed_orders c WHERE session_id LIKE 'ret-%';
SELECT incomplete_orders._tick_partitions(now());
SELECT starts_with(c.tableoid::regclass::text, 'incomplete_orders.closed_orders_2') AS moved, c.name, c.ret_shade, c.ret_long FROM incomplete_orders.closed_orders c WHERE session_id LIKE 'ret-%';
SELECT count(*) FROM incomplete_orders.closed_orders_default;
SELECT count(*) FROM incomplete_orders.order_events_default;
TABLE ret.left_over;
UPDATE incomplete_orders.closed_orders SET ret_shade = 'black' WHERE session_id = 'ret-today';
TRUNCATE incomplete_orders.closed_orders;
DO $$
BEGIN
	EXECUTE (SELECT format('TRUNCATE incomplete_orders.%I', relation) FROM incomplete_orders._partitions('closed_orders') WHERE low < now() AND high > now());
EXCEPTION WHEN SQLSTATE 'IC012' THEN
	RAISE NOTICE 'IC012';
END
$$;
ALTER TABLE incomplete_orders.closed_orders DROP COLUMN ret_long, DROP COLUMN ret_shade;
-- It makes the same as setup() does, which meets rows in DEFAULT too.
SELECT ret.drop_month('order_events');
SELECT incomplete_orders.add_note(incomplete_orders.capture_cart('ret-open', '[{"sku":"A","quantity":1,"unit_price":1}]'), 'stays') IS NOT NULL AS noted;
SELECT count(*) > 0 AS in_default FROM incomplete_orders.order_events_default;
SELECT incomplete_orders.setup();
SELECT count(*) > 0 AS in_default FROM incomplete_orders.order_events_default;
-- What no month fits stays in DEFAULT, and stops nothing.
INSERT INTO incomplete_orders.order_events (recorded_at, event_id, shop_id, order_id, root_id, episode, event, at)
VALUES ('infinity', 0, 1, incomplete_orders._new_id(1), incomplete_orders._new_id(1), 1, 'test', now());
SELECT incomplete_orders._tick_partitions(now());
DELETE FROM incomplete_orders.order_events_default;

--
-- A month goes when the longest retention (365 days) and the longest expiry (30) are over.
--
SELECT ret.make('old', 470, 460), ret.make('older', 500, 480, action => 'convert'), ret.make('late payment', 540, 100), ret.make('young', 200, 190);
SELECT ret.partitions();
-- of the month in which one was paid late nothing is dropped; its events go by time alone
TABLE ret.left_over;
SELECT * FROM ret.orphans;
-- Notes and edits of what went with its partition go too, those of open orders stay.
SELECT * FROM ret.sweep();
SELECT * FROM ret.orphans;
SELECT count(*) AS notes_of_open FROM incomplete_orders.order_notes n JOIN incomplete_orders.open_orders o ON o.id = n.order_id WHERE session_id = 'ret-open';
-- The order made from one that went stays, whole, and can still be refunded.
SELECT o.total, (SELECT count(*) FROM incomplete_orders.order_items i WHERE i.order_id = o.order_id) AS lines,
	incomplete_orders.record_refund(o.order_id, 1) AS refunded
FROM incomplete_orders.orders o WHERE o.incomplete_order_id < incomplete_orders._id_at(now() - interval '2 days') AND NOT EXISTS (SELECT FROM incomplete_orders.incomplete_orders i WHERE i.id = o.incomplete_order_id);
-- A tick of the past or of the future destroys nothing that the clock does not.
SELECT ret.partitions('2020-01-01'), ret.partitions(now() + interval '100 years');
SELECT * FROM ret.sweep(at => now() + interval '100 years');
SELECT name FROM ret.left_over;
-- When the last one is over the month goes.
UPDATE incomplete_orders.closed_orders SET closed_at = now() - interval '366 days' WHERE session_id = 'ret-late payment';
SELECT ret.partitions();
SELECT name FROM ret.left_over;

--
-- A shop with a shorter retention: its rows go one by one, in batches, nobody else's.
--
SELECT incomplete_orders.create_shop('ret-short', 'Short') IS NOT NULL AS made;
SELECT incomplete_orders.configure_shop('ret-short', '{"retention": "60 days", "expiry": "20 days"}');
SELECT ret.make('short ' || i, 100 - i, 90 - i, 'ret-short') FROM generate_series(1, 8) i;
SELECT ret.make('short sold', 95, 90, 'ret-short', 'convert'), ret.make('short late', 100, 59, 'ret-short'), ret.make('short young', 50, 40, 'ret-short'),
	ret.make('long', 100, 95);
SELECT ret.partitions();
SELECT * FROM ret.sweep(4);
TABLE ret.left_over;
SELECT * FROM ret.orphans;
SELECT count(*) AS orders_stay FROM incomplete_orders.orders o JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'ret-short';
-- Once a day is enough.
UPDATE incomplete_orders.closed_orders SET closed_at = now() - interval '61 days' WHERE session_id = 'ret-short late';
SELECT incomplete_orders._tick_retention(now(), 1000) AS today;
UPDATE incomplete_orders.heartbeats SET at = at - interval '1 day' WHERE job = 'retention';
SELECT incomplete_orders._tick_retention(now(), 1000) AS tomorrow;
-- A clock that had been set ahead does not stop it.
UPDATE incomplete_orders.closed_orders SET closed_at = now() - interval '61 days', id = id WHERE session_id = 'ret-short young';
UPDATE incomplete_orders.heartbeats SET at = now() + interval '1 year' WHERE job = 'retention';
SELECT incomplete_orders._tick_retention(now(), 1000) AS by_its_id_too_young;
SELECT at <= now() AS back FROM incomplete_orders.heartbeats WHERE job = 'retention';
-- A month held up by one that lived on: the others go one by one, months later.
SELECT ret.make('held', 560, 550), ret.make('holds', 560, 20);
SELECT ret.partitions();
SELECT * FROM ret.sweep();
SELECT name FROM ret.left_over;

--
-- The exception is for closed orders, in its own transaction.
--
BEGIN;
SELECT incomplete_orders._allow_retention();
DELETE FROM incomplete_orders.open_orders WHERE session_id = 'ret-open';
COMMIT;
DELETE FROM incomplete_orders.closed_orders WHERE session_id = 'ret-long';
BEGIN;
SELECT incomplete_orders._allow_retention();
INSERT INTO incomplete_orders.closed_orders SELECT (jsonb_populate_record(NULL::incomplete_orders.closed_orders,
	to_jsonb(o) || '{"items": [{"sku":"A","quantity":1,"unit_price":1}], "status": "dismissed", "closed_at": "2026-01-01", "late": false}')).*
FROM incomplete_orders.open_orders o WHERE session_id = 'ret-open';
COMMIT;

SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('ret-short', false);
SELECT incomplete_orders._allow_retention(), incomplete_orders.dismiss_order(id) FROM incomplete_orders.open_orders WHERE session_id = 'ret-open';
BEGIN;
SELECT incomplete_orders._allow_retention();
DELETE FROM incomplete_orders.closed_orders WHERE session_id LIKE 'ret-%';
COMMIT;
SET client_min_messages = warning;
DROP SCHEMA ret CASCADE;

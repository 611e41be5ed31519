-- The rows of an event go past the executor.  Whatever a user adds to their
-- tables must still do what it does for any INSERT.
SET client_min_messages = warning;
CREATE SEQUENCE pg_temp.sessions;
CREATE FUNCTION pg_temp.capture() RETURNS text LANGUAGE sql AS $$
	SELECT 'captured' FROM incomplete_orders.capture_cart('append-' || nextval('pg_temp.sessions'),
		'[{"sku":"A","quantity":2,"unit_price":"1.50"}]', customer_id => 'append', step => 'shipping', shipping => 0.5,
		context => '{"device":"phone","source":null}')
$$;
CREATE FUNCTION pg_temp.convert() RETURNS text LANGUAGE sql AS $$
	SELECT 'converted' FROM incomplete_orders.open_orders o CROSS JOIN LATERAL incomplete_orders.convert_order(o.id) c
	WHERE o.customer_id = 'append' ORDER BY o.id LIMIT 1
$$;
-- every column but those that differ from event to event
CREATE VIEW pg_temp.history AS
	SELECT event_id, to_jsonb(e) - '{recorded_at,event_id,order_id,root_id,order_ref,at,created_at,abandoned_at}'::text[] AS facts,
		order_id = root_id AS same, recorded_at > now() - interval '1 hour' AS recorded, at = created_at AS first, order_ref IS NOT NULL AS ordered
	FROM incomplete_orders.order_events e
	WHERE order_id IN (SELECT id FROM incomplete_orders.incomplete_orders WHERE customer_id = 'append');
CREATE VIEW pg_temp.tail AS
	SELECT event_id, to_jsonb(e) - '{event_id,order_id,root_id,at,created_at,abandoned_at}'::text[] AS facts, order_id = root_id AS same, at = created_at AS first
	FROM incomplete_orders.order_event_tail e WHERE event_id IN (SELECT event_id FROM pg_temp.history);
SELECT pg_temp.capture();
SELECT pg_temp.convert();
SELECT facts - 'actor', same, recorded, first, ordered FROM pg_temp.history ORDER BY event_id;
SELECT facts->>'actor' = current_user AS by_me FROM pg_temp.history;
SELECT facts, same, first FROM pg_temp.tail ORDER BY event_id;
-- found by their indexes, too
SET enable_seqscan = off;
SELECT count(*) FROM incomplete_orders.order_events e WHERE e.shop_id = 1
	AND e.order_id = (SELECT id FROM incomplete_orders.closed_orders WHERE shop_id = 1 AND session_id = 'append-1');
SELECT count(*) FROM incomplete_orders.order_event_tail e WHERE e.shop_id = 1 AND e.event_id = (SELECT min(event_id) FROM pg_temp.history);
RESET enable_seqscan;

-- the executor writes the same: a trigger that does nothing makes it do so
SELECT c.oid::regclass AS leaf FROM pg_class c WHERE c.oid = (SELECT tableoid FROM incomplete_orders.order_events ORDER BY event_id DESC LIMIT 1) \gset
CREATE TABLE seen (table_name text);
CREATE FUNCTION pg_temp.look() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO public.seen VALUES (TG_TABLE_NAME); RETURN NEW; END $$;
CREATE TRIGGER look AFTER INSERT ON incomplete_orders.order_events FOR EACH ROW EXECUTE FUNCTION pg_temp.look();
CREATE TRIGGER look AFTER INSERT ON incomplete_orders.order_event_tail FOR EACH ROW EXECUTE FUNCTION pg_temp.look();
SELECT pg_temp.capture();
SELECT pg_temp.convert();
SELECT count(*), count(*) FILTER (WHERE table_name = 'order_event_tail') AS tail FROM seen;
SELECT count(DISTINCT facts) AS kinds, count(*) FROM pg_temp.history;
SELECT count(DISTINCT facts) AS kinds, count(*) FROM pg_temp.tail;
DROP TRIGGER look ON incomplete_orders.order_events;
DROP TRIGGER look ON incomplete_orders.order_event_tail;
TRUNCATE seen;

-- a trigger of the statement on the whole, and one of the row on the partition
CREATE TRIGGER look AFTER INSERT ON incomplete_orders.order_events EXECUTE FUNCTION pg_temp.look();
SELECT pg_temp.capture();
SELECT count(*) FROM seen;
DROP TRIGGER look ON incomplete_orders.order_events;
CREATE TRIGGER look BEFORE INSERT ON :leaf FOR EACH ROW EXECUTE FUNCTION pg_temp.look();
SELECT pg_temp.capture();
SELECT count(*) FROM seen;
DROP TRIGGER look ON :leaf;
DROP TABLE seen;

-- a column with a default, a generated one, one that is just there
ALTER TABLE incomplete_orders.order_events ADD COLUMN mine text DEFAULT 'mine';
ALTER TABLE incomplete_orders.order_event_tail ADD COLUMN twice integer GENERATED ALWAYS AS (step * 2) STORED, ADD COLUMN nothing text;
SELECT pg_temp.capture();
SELECT facts ->> 'mine' AS mine FROM pg_temp.history ORDER BY event_id DESC LIMIT 1;
SELECT facts ? 'twice' AS twice, facts -> 'nothing' AS nothing FROM pg_temp.tail ORDER BY event_id DESC LIMIT 1;
ALTER TABLE incomplete_orders.order_events DROP COLUMN mine;
ALTER TABLE incomplete_orders.order_event_tail DROP COLUMN twice;
SELECT pg_temp.capture();
SELECT facts -> 'nothing' AS nothing FROM pg_temp.tail ORDER BY event_id DESC LIMIT 1;
ALTER TABLE incomplete_orders.order_event_tail DROP COLUMN nothing;

-- CHECK, NOT NULL, a rule, a unique index, an index on an expression
\set VERBOSITY sqlstate
ALTER TABLE incomplete_orders.order_events ADD CONSTRAINT never CHECK (item_count <> 2) NOT VALID;
SELECT pg_temp.capture();
ALTER TABLE incomplete_orders.order_events DROP CONSTRAINT never;
ALTER TABLE incomplete_orders.order_event_tail ADD CONSTRAINT never CHECK (value <> 3.50) NOT VALID;
SELECT pg_temp.capture();
ALTER TABLE incomplete_orders.order_event_tail DROP CONSTRAINT never;
BEGIN;
DELETE FROM incomplete_orders.order_event_tail;
ALTER TABLE incomplete_orders.order_event_tail ALTER source SET NOT NULL;
SELECT pg_temp.capture();
ROLLBACK;
BEGIN;
DELETE FROM incomplete_orders.order_event_tail;
CREATE UNIQUE INDEX ON incomplete_orders.order_event_tail (event);
SELECT pg_temp.capture();
SELECT pg_temp.capture();
ROLLBACK;
CREATE RULE never AS ON INSERT TO incomplete_orders.order_event_tail DO INSTEAD NOTHING;
SELECT count(*) AS before FROM incomplete_orders.order_event_tail \gset
SELECT pg_temp.capture();
SELECT count(*) - :before AS more FROM incomplete_orders.order_event_tail;
DROP RULE never ON incomplete_orders.order_event_tail;
CREATE INDEX events_mine ON incomplete_orders.order_events ((upper(event)));
SELECT pg_temp.capture();
SET enable_seqscan = off;
SELECT upper(event) FROM incomplete_orders.order_events WHERE upper(event) = 'CREATED' AND event_id = (SELECT max(event_id) FROM pg_temp.history);
RESET enable_seqscan;
DROP INDEX incomplete_orders.events_mine;

-- no partition for this month: the default one; none of one's own any more: the next one made
SELECT event_id FROM pg_temp.history ORDER BY event_id DESC LIMIT 1 \gset
BEGIN;
ALTER TABLE incomplete_orders.order_events DETACH PARTITION :leaf;
SELECT pg_temp.capture();
SELECT e.tableoid::regclass AS leaf FROM incomplete_orders.order_events e WHERE e.event_id > :event_id;
ROLLBACK;
SELECT pg_temp.capture();
SELECT e.tableoid::regclass = :'leaf'::regclass AS back FROM incomplete_orders.order_events e WHERE e.event_id > :event_id;

-- read only; rolled back; another isolation level
BEGIN READ ONLY;
SELECT pg_temp.capture();
ROLLBACK;
SELECT count(*) AS before FROM pg_temp.history \gset
BEGIN;
SELECT pg_temp.capture();
ROLLBACK;
SELECT count(*) - :before AS more FROM pg_temp.history;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pg_temp.capture();
SELECT count(*) - :before AS more FROM pg_temp.history;
COMMIT;
SELECT incomplete_orders.delete_order(id) FROM incomplete_orders.open_orders WHERE customer_id = 'append';

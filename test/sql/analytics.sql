-- The rollups: whatever is folded, recounted, computed anew, moved or deleted, they
-- say what a plain reading of the orders and their events says.
\set QUIET on
SET client_min_messages = warning;
SELECT incomplete_orders.create_shop('ana', 'Analytics', 'EUR', 'Europe/Berlin') > 0 AS made;
SELECT shop_id AS shop FROM incomplete_orders.shops WHERE shop = 'ana' \gset
\set cart '[{"sku":"A","quantity":2,"unit_price":"10"}]'

-- Of this shop alone: other tests deleted events by hand.
CREATE ROLE regress_ana;
SELECT incomplete_orders.grant_to('regress_ana', 'admin', 'ana');
CREATE FUNCTION pg_temp.rebuild() RETURNS bigint LANGUAGE plpgsql SET role = regress_ana AS $$ BEGIN RETURN incomplete_orders.rebuild_analytics(); END $$;
CREATE FUNCTION pg_temp.update(day date DEFAULT NULL) RETURNS TABLE (analytics_day date, changed bigint) LANGUAGE plpgsql SET role = regress_ana AS $$
	BEGIN RETURN QUERY SELECT * FROM incomplete_orders.update_analytics(day); END
$$;
CREATE FUNCTION pg_temp.fold() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE incomplete_orders._tick_fold(3) > 0 LOOP NULL; END LOOP;
END
$$;
-- What the rollups say of the states, as rows: day, currency, step, state, how many, how much.
CREATE FUNCTION pg_temp.counted(of_shop integer) RETURNS TABLE (day date, currency text, bot boolean, state text, n numeric, value numeric) LANGUAGE sql AS $$
	SELECT r.day, r.currency, r.bot, s.state, sum((to_jsonb(r) ->> s.state)::numeric), sum((to_jsonb(r) ->> (s.state || '_value'))::numeric)
	FROM incomplete_orders.rollup_states r, unnest('{pending,payment_pending,payment_failed,abandoned,converted,expired,dismissed,deleted,merged,reversed}'::text[]) s (state)
	WHERE r.shop_id = of_shop GROUP BY 1, 2, 3, 4 HAVING sum((to_jsonb(r) ->> s.state)::numeric) <> 0 OR sum((to_jsonb(r) ->> (s.state || '_value'))::numeric) <> 0
$$;
-- The same from the orders themselves: what was bought is worth what the orders made from it come to.
CREATE FUNCTION pg_temp.plain(of_shop integer) RETURNS TABLE (day date, currency text, bot boolean, state text, n numeric, value numeric) LANGUAGE sql AS $$
	SELECT (o.created_at AT TIME ZONE s.time_zone)::date, coalesce(b.currency, o.currency), o.bot,
		CASE WHEN o.status = 'deleted' AND o.close_reason = 'merged' THEN 'merged' ELSE o.status::text END,
		count(*), CASE WHEN o.status NOT IN ('pending', 'deleted', 'reversed') THEN sum(coalesce(b.total, o.total)) END
	FROM incomplete_orders.incomplete_orders o JOIN incomplete_orders.shops s USING (shop_id)
	LEFT JOIN LATERAL (SELECT min(r.currency) AS currency, sum(r.total) AS total FROM incomplete_orders.orders r
		WHERE r.shop_id = o.shop_id AND r.incomplete_order_id = o.id AND o.status = 'converted' HAVING count(*) > 0) b ON true
	WHERE o.shop_id = of_shop GROUP BY 1, 2, 3, 4, o.status
$$;
CREATE FUNCTION pg_temp.differences(of_shop integer) RETURNS TABLE (seen text, what text) LANGUAGE sql AS $$
	SELECT 'rollup', c::text FROM (SELECT * FROM pg_temp.counted(of_shop) EXCEPT SELECT * FROM pg_temp.plain(of_shop)) c
	UNION ALL SELECT 'orders', c::text FROM (SELECT * FROM pg_temp.plain(of_shop) EXCEPT SELECT * FROM pg_temp.counted(of_shop)) c
$$;
CREATE FUNCTION pg_temp.id(session text) RETURNS uuid LANGUAGE sql AS $$
	SELECT id FROM incomplete_orders.incomplete_orders WHERE session_id = session AND shop = 'ana' ORDER BY created_at DESC LIMIT 1
$$;

--
-- Facts that change without a change of state are recounted.
--
SELECT count(incomplete_orders.capture_cart('s' || n, :'cart', shop => 'ana', at => '2026-03-01 10:00')) FROM generate_series(1, 12) n;
SELECT pg_temp.fold();
SELECT * FROM pg_temp.counted(:shop);
-- an ordinary capture writes no event, one with another currency, or of a bot, does
SELECT count(incomplete_orders.capture_cart(s, :'cart', currency => 'EUR', shop => 'ana', at => '2026-03-01 10:05')) FROM unnest('{s1,s2}'::text[]) s;
SELECT count(incomplete_orders.capture_cart('s1', :'cart', currency => 'USD', shop => 'ana', at => '2026-03-01 10:06'));
SELECT count(incomplete_orders.capture_cart('s2', :'cart', context => '{"bot": true}', shop => 'ana', at => '2026-03-01 10:06'));
-- also where the executor has to write it
SELECT count(incomplete_orders.capture_cart('s3', :'cart', email => 'a@example.com', currency => 'USD', shop => 'ana', at => '2026-03-01 10:06'));
SELECT count(incomplete_orders.capture_cart('s3', :'cart', email => 'b@example.com', currency => 'USD', shop => 'ana', at => '2026-03-01 10:07'));
SELECT session_id, event, status_before, status_after, e.currency, value, e.bot FROM incomplete_orders.order_events e
JOIN incomplete_orders.incomplete_orders o ON o.id = e.order_id AND o.shop = 'ana' WHERE session_id IN ('s1', 's2', 's3') ORDER BY session_id, event_id;
-- value and step of orders that are not pending
SELECT incomplete_orders.mark_payment_pending(pg_temp.id(s), at => '2026-03-01 10:10') FROM unnest('{s4,s5}'::text[]) s;
SELECT count(incomplete_orders.capture_cart('s4', '[{"sku":"A","quantity":3,"unit_price":"10"}]', shop => 'ana', at => '2026-03-01 10:11'));
SELECT incomplete_orders.mark_payment_failed(pg_temp.id('s6'), at => '2026-03-01 10:10');
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('s6'), at => '2026-03-01 10:11');
SELECT incomplete_orders.mark_abandoned(pg_temp.id(s), 'too_dear', at => '2026-03-01 10:12') FROM unnest('{s7,s8,s9,s10}'::text[]) s;
SELECT incomplete_orders.edit_order(pg_temp.id('s7'), '{"shipping": 5}', version, '2026-03-01 10:15') FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('s7');
SELECT incomplete_orders.edit_order(pg_temp.id('s8'), '{"currency": "USD"}', version, '2026-03-01 10:15') FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('s8');
SELECT incomplete_orders.edit_order(pg_temp.id('s9'), '{"name": "Ann"}', version, '2026-03-01 10:15') FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('s9');
-- what the shop says an order comes to, in which currency, at once and later
SELECT total, currency FROM incomplete_orders.record_order('F-9', pg_temp.id('s9'), total => 17, shop => 'ana', at => '2026-03-01 10:20');
SELECT total, currency FROM incomplete_orders.record_order('F-10', pg_temp.id('s10'), total => 18, currency => 'GBP', paid => false, shop => 'ana', at => '2026-03-01 10:20');
SELECT total, currency FROM incomplete_orders.record_order('F-11', pg_temp.id('s11'), total => 19, currency => 'GBP', shop => 'ana', at => '2026-03-01 10:20');
SELECT total FROM incomplete_orders.convert_order(pg_temp.id('s12'), at => '2026-03-01 10:19');
SELECT total, currency FROM incomplete_orders.record_order('F-12', pg_temp.id('s12'), total => 25, shop => 'ana', at => '2026-03-01 10:20');
SELECT session_id, event, status_before, status_after, e.currency, value, paid_amount FROM incomplete_orders.order_events e
JOIN incomplete_orders.incomplete_orders o ON o.id = e.order_id AND o.shop = 'ana' WHERE session_id IN ('s9', 's10', 's12') ORDER BY session_id, event_id;
-- money is of the currency of the order that was made
SELECT incomplete_orders.record_payment(order_id) FROM incomplete_orders.orders WHERE shop_id = :shop AND foreign_order = 'F-10';
SELECT incomplete_orders.record_refund(order_id, 3) FROM incomplete_orders.orders WHERE shop_id = :shop AND foreign_order = 'F-10';
SELECT event, currency, paid_amount, refund_amount FROM incomplete_orders.order_events WHERE order_id = pg_temp.id('s10') AND event IN ('paid', 'refunded') ORDER BY event_id;
SELECT pg_temp.fold();
SELECT * FROM pg_temp.differences(:shop);
SELECT state, currency, bot, n, value FROM pg_temp.counted(:shop) ORDER BY state COLLATE "C", currency COLLATE "C", bot;
-- an expired one that was paid elsewhere; merged ones; parts
SELECT count(incomplete_orders.capture_cart('t' || n, :'cart', step => 'payment', shop => 'ana', at => '2026-01-01 10:00')) FROM generate_series(1, 5) n;
SELECT result, count(*) FROM incomplete_orders.expire_orders(at => '2026-02-20 10:00') WHERE id IN (SELECT pg_temp.id('t' || n) FROM generate_series(1, 5) n) GROUP BY 1;
SELECT total FROM incomplete_orders.record_order('F-t1', pg_temp.id('t1'), total => 30, shop => 'ana');
SELECT total FROM incomplete_orders.convert_order(pg_temp.id('t2'), paid => true);
SELECT count(incomplete_orders.capture_cart('m' || n, :'cart', currency => 'USD', shop => 'ana', at => '2026-03-03 10:00')) FROM generate_series(1, 3) n;
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('m2'), at => '2026-03-03 10:10');
SELECT incomplete_orders.merge_carts('m1', 'm2', shop => 'ana', at => '2026-03-03 10:12') IS NOT NULL AS merged;
SELECT part, total FROM incomplete_orders.convert_order(pg_temp.id('m3'), '[{"sku":"A","quantity":1,"unit_price":"10"}]', idempotency_key => 'k', at => '2026-03-03 10:20');
SELECT pg_temp.fold();
SELECT * FROM pg_temp.differences(:shop);
SELECT part, total FROM incomplete_orders.record_order('F-m3', pg_temp.id('m3'), total => 11, shop => 'ana', at => '2026-03-03 10:21');
SELECT pg_temp.fold();
SELECT * FROM pg_temp.differences(:shop);

--
-- Computed anew: nothing is wrong; what somebody changed by hand is put right.
--
SELECT * FROM pg_temp.update('2026-03-01');
SELECT pg_temp.rebuild();
CREATE TEMP TABLE before AS SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01');
SELECT currency, total, pending, abandoned, converted, expired, total_value, converted_value, recovered, unaided, recovered_value FROM before ORDER BY currency COLLATE "C";
UPDATE incomplete_orders.rollup_states SET abandoned = abandoned + 1 WHERE shop_id = :shop AND day = '2026-03-01' AND currency = 'EUR' AND NOT bot AND step = 'cart';
DELETE FROM incomplete_orders.rollup_episodes WHERE shop_id = :shop AND day = '2026-03-01' AND question = 'reason' AND currency = 'EUR';
INSERT INTO incomplete_orders.rollup_messages (shop_id, day, campaign, step, variant, currency, sent) VALUES (:shop, '2026-03-01', 'no', 1, '', 'EUR', 1);
UPDATE incomplete_orders.order_outcomes SET outcome = 'recovered' WHERE shop_id = :shop AND day = '2026-03-01' AND currency = 'GBP';
SELECT changed > 0 AS changed FROM pg_temp.update('2026-03-01');
SELECT * FROM pg_temp.update('2026-03-01');
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
DELETE FROM incomplete_orders.rollup_states WHERE shop_id = :shop;
DELETE FROM incomplete_orders.rollup_episodes WHERE shop_id = :shop;
DELETE FROM incomplete_orders.order_outcomes WHERE shop_id = :shop;
SELECT pg_temp.rebuild() > 0 AS rebuilt;
SELECT * FROM pg_temp.differences(:shop);
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
SELECT pg_temp.rebuild();
\set SHOW_CONTEXT never
SELECT incomplete_orders.update_analytics('infinity');
\set SHOW_CONTEXT errors
SELECT analytics_day = (now() AT TIME ZONE 'UTC')::date - 1 OR analytics_day = (now() AT TIME ZONE 'UTC')::date - 2 AS yesterday, changed FROM pg_temp.update();
-- what is not folded is not counted twice
SELECT count(incomplete_orders.capture_cart('u1', :'cart', shop => 'ana', at => '2026-03-01 11:00'));
SELECT pg_temp.rebuild();
SELECT pg_temp.fold();
SELECT pg_temp.rebuild();
SELECT * FROM pg_temp.differences(:shop);

--
-- A shop's days begin when its time zone says so.
--
SELECT incomplete_orders.capture_cart('night', :'cart', shop => 'ana', at => '2026-03-01 22:30+00') IS NOT NULL AS night;
SELECT incomplete_orders.mark_abandoned(pg_temp.id('night'), at => '2026-03-01 22:50+00');
SELECT pg_temp.fold();
SELECT sum(n) FROM pg_temp.counted(:shop) WHERE day = '2026-03-01';
SELECT incomplete_orders.configure_shop('ana', '{"time_zone": "Asia/Tokyo"}');
SELECT sum(n) FROM pg_temp.counted(:shop) WHERE day = '2026-03-01';
SELECT day, bucket FROM incomplete_orders.rollup_episodes WHERE shop_id = :shop AND question = 'hour' AND abandoned > 0 ORDER BY day, bucket;
SELECT * FROM pg_temp.differences(:shop);
SELECT pg_temp.rebuild();
SELECT incomplete_orders.configure_shop('ana', '{"time_zone": "Europe/Berlin"}');

--
-- What deleted orders counted as stays, and is neither lost nor doubled by
-- computing anew.
--
DELETE FROM before;
INSERT INTO before SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01');
SELECT incomplete_orders.dismiss_order(pg_temp.id('s8'), at => '2026-03-02 10:00');
SET ROLE regress_ana;
SELECT action, n FROM incomplete_orders.cleanup(1) WHERE n > 0;
RESET ROLE;
SELECT count(*) AS gone FROM incomplete_orders.order_events e WHERE e.shop_id = :shop
	AND NOT EXISTS (SELECT FROM incomplete_orders.incomplete_orders o WHERE o.id = e.order_id);
SELECT state, sum(n), sum(value) FROM pg_temp.counted(:shop) WHERE state IN ('dismissed', 'expired', 'merged') GROUP BY 1 ORDER BY 1;
SELECT sum(dismissed) AS dismissed, sum(expired) AS expired FROM incomplete_orders.rollup_states WHERE shop_id = :shop AND kept;
SELECT pg_temp.rebuild();
SELECT state, sum(n), sum(value) FROM pg_temp.counted(:shop) WHERE state IN ('dismissed', 'expired', 'merged') GROUP BY 1 ORDER BY 1;
-- retention takes them all, with what became of them
SELECT outcome, currency, kept FROM incomplete_orders.order_outcomes WHERE shop_id = :shop ORDER BY 1, 2;
DELETE FROM before;
INSERT INTO before SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01');
BEGIN;
-- closed long ago, and begun then
UPDATE incomplete_orders.closed_orders SET closed_at = '2026-03-04' WHERE shop_id = :shop;
SELECT incomplete_orders._allow_retention();
SELECT incomplete_orders._lock_rollups(true);
SELECT incomplete_orders._retire_details(array_agg(c.shop_id), array_agg(c.id), array_agg(c.root_id)) FROM incomplete_orders.closed_orders c WHERE c.shop_id = :shop;
SELECT count(*) FROM incomplete_orders.order_outcomes WHERE shop_id = :shop;
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
SELECT pg_temp.rebuild();
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
ROLLBACK;
-- a month of events: the same, and later events of its orders change nothing of what is kept
BEGIN;
SELECT incomplete_orders._lock_rollups(true);
SELECT count(incomplete_orders.capture_cart('u2', :'cart', shop => 'ana', at => '2026-03-01 11:00'));
DELETE FROM before;
INSERT INTO before SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01');
SELECT incomplete_orders._keep_events(clock_timestamp());
SELECT count(*) AS tail FROM incomplete_orders.order_event_tail;
SELECT count(*) AS of_now FROM incomplete_orders.rollup_states WHERE shop_id = :shop AND NOT kept AND (pending <> 0 OR abandoned <> 0 OR converted <> 0);
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
SELECT incomplete_orders._keep_events(clock_timestamp());
SELECT pg_temp.rebuild();
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
DELETE FROM incomplete_orders.order_events WHERE shop_id = :shop;
SELECT pg_temp.rebuild();
SELECT incomplete_orders.record_refund(order_id, 2) FROM incomplete_orders.orders WHERE shop_id = :shop AND foreign_order = 'F-9';
SELECT pg_temp.fold();
SELECT pg_temp.rebuild();
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
SELECT incomplete_orders.dismiss_order(pg_temp.id('u2'), at => '2026-03-02 10:00');
SELECT pg_temp.fold();
SELECT b.pending - s.pending AS pending, s.dismissed - b.dismissed AS dismissed, s.total - b.total AS total
FROM before b JOIN incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') s USING (currency) WHERE currency = 'EUR';
ROLLBACK;

-- So does tick: one batch keeps what a month counted, the next one drops it.
BEGIN;
UPDATE incomplete_orders.shops SET retention = '365 days', expiry = '30 days', cut_off = '1 hour';
DELETE FROM incomplete_orders.heartbeats WHERE job = 'analytics';
SELECT incomplete_orders._make_partition('order_events', '2019-01-01');
SELECT pg_temp.fold();
DELETE FROM before;
INSERT INTO before SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01');
-- the beginnings of some orders, whole lives of others
UPDATE incomplete_orders.order_events e SET recorded_at = '2019-01-15' WHERE e.shop_id = :shop AND (e.event IN ('created', 'abandoned') OR e.value > 20);
SELECT incomplete_orders._tick_partitions(now()) AS kept;
SELECT incomplete_orders._kept_before() AT TIME ZONE 'UTC' AS before;
SELECT count(*) > 0 AS still_there FROM incomplete_orders.order_events_2019_01;
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
SELECT incomplete_orders._tick_partitions(now()) AS dropped, to_regclass('incomplete_orders.order_events_2019_01') IS NULL AS gone;
-- and those that other tests left
DO $$ BEGIN WHILE incomplete_orders._tick_partitions(now()) > 0 LOOP NULL; END LOOP; END $$;
SELECT pg_temp.rebuild();
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
SELECT kept, count(*) FROM incomplete_orders.order_outcomes WHERE shop_id = :shop GROUP BY 1;
-- an order of which a part is gone counts as it did
SELECT incomplete_orders.record_refund(order_id, 2) FROM incomplete_orders.orders WHERE shop_id = :shop AND foreign_order = 'F-9';
SELECT pg_temp.fold();
SELECT pg_temp.rebuild();
SELECT count(*) AS others FROM (SELECT * FROM incomplete_orders.statistics('ana', '2026-01-01', '2027-01-01') EXCEPT TABLE before) x;
ROLLBACK;

--
-- One at a time.
--
BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SELECT count(incomplete_orders.capture_cart('u3', :'cart', shop => 'ana', at => '2026-03-01 11:00'));
SELECT incomplete_orders._tick_fold(100) AS folded;
ROLLBACK;
-- a rollup that refuses holds up nobody: the events stay in the tail
SELECT count(incomplete_orders.capture_cart('u4', :'cart', shop => 'ana', at => '2026-03-01 11:00'));
ALTER TABLE incomplete_orders.rollup_states ADD CONSTRAINT never CHECK (false) NOT VALID;
SET client_min_messages = error;
SELECT incomplete_orders._tick_fold(100) AS folded;
RESET client_min_messages;
ALTER TABLE incomplete_orders.rollup_states DROP CONSTRAINT never;
SELECT count(*) AS waiting FROM incomplete_orders.order_event_tail WHERE shop_id = :shop;
SELECT incomplete_orders._tick_fold(100) AS folded;
SELECT * FROM incomplete_orders.delete_shop('ana', dry_run => false) WHERE object ~ 'rollup_states' AND object !~ '^0';
SELECT count(*) FROM incomplete_orders.rollup_states WHERE shop_id = :shop;
SELECT incomplete_orders.revoke_from('regress_ana', 'admin');
DROP ROLE regress_ana;

--
-- Local times are those of AT TIME ZONE, in any order of instants.
--
SELECT count(*) AS instants, count(*) FILTER (WHERE incomplete_orders._local_time(x.at, x.zone) IS DISTINCT FROM x.at AT TIME ZONE x.zone) AS others
FROM (
	SELECT zone, at FROM unnest('{UTC,Europe/Berlin,America/New_York,Australia/Lord_Howe,Asia/Kolkata,Africa/Casablanca,America/Havana,Pacific/Apia,CET,EST,+03:30}'::text[]) zone,
		generate_series('2024-01-01 UTC'::timestamptz, '2027-01-01 UTC', '5 hours 17 minutes 3.5 seconds') at
	ORDER BY md5(zone || extract(epoch FROM at))
) x;
SELECT incomplete_orders._local_time('infinity', 'Europe/Berlin') AS never;
SELECT incomplete_orders._local_time('2026-07-01 12:00 UTC', 'Europe/Atlantis') AS nowhere;
-- every event that a rollup counts has a character of its own
SELECT count(*) AS events, count(DISTINCT incomplete_orders._event_kind(event)) AS kinds, incomplete_orders._event_kind('edited') AS another
FROM unnest('{created,abandoned,converted,expired,lost,reversed,recounted,continued,coupon_redeemed,holdout,message_queued,message_sent,message_delivered,message_opened,message_clicked,message_failed,message_replied,message_unsubscribed,message_bounced,message_complained}'::text[]) event;

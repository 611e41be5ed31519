-- Statistics: a month of two shops whose figures are computed by hand, folded or not.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'Europe/Berlin';
SET datestyle = 'ISO';
SET search_path = pg_catalog;
SELECT incomplete_orders.create_shop('stat', 'Statistics', 'EUR', 'Europe/Berlin') AS shop \gset
SELECT incomplete_orders.create_shop('stat-us', 'Statistics, overseas', 'USD', 'America/New_York') AS other \gset
SELECT incomplete_orders.configure_shop(s, '{"consent_rule": "none", "min_gap": "0", "cap_per_episode": 1, "quiet_from": "00:00", "quiet_to": "00:00"}') FROM unnest('{stat,stat-us}'::text[]) s;
SELECT incomplete_orders.enable_campaign('cart', s, at => '2024-03-01') FROM unnest('{stat,stat-us}'::text[]) s;
SELECT incomplete_orders.save_variant('cart', 1, 'a', shop => 'stat-us');
CREATE SCHEMA st;
CREATE TABLE st.made (name text PRIMARY KEY, id uuid);
-- a cart worth so much, of somebody with an address of that name
CREATE FUNCTION st.cart(name text, value numeric, at timestamptz, step incomplete_orders.checkout_step DEFAULT NULL, device text DEFAULT NULL, source text DEFAULT NULL,
	email text DEFAULT NULL, currency text DEFAULT NULL, bot boolean DEFAULT NULL, shop text DEFAULT 'stat') RETURNS void LANGUAGE sql AS $$
	INSERT INTO st.made SELECT $1, incomplete_orders.capture_cart($1, jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', 1, 'unit_price', $2)),
		email => coalesce($7, $1 || '@st.example'), currency => $8, step => $4, context => jsonb_strip_nulls(jsonb_build_object('device', $5, 'source', $6, 'bot', $9)), shop => $10, at => $3)
	ON CONFLICT (name) DO UPDATE SET id = excluded.id
$$;
CREATE FUNCTION st.id(name text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT m.id FROM st.made m WHERE m.name = $1 $$;
CREATE FUNCTION st.mail(name text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT m.id FROM incomplete_orders.messages m WHERE m.order_id = st.id($1) ORDER BY m.queued_at DESC LIMIT 1 $$;
CREATE PROCEDURE st.tick(at timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, at);
END
$$;
-- an event that only the clock of today could write, at another instant: as the last one of that order, or of its message
CREATE FUNCTION st.event(name text, event text, at timestamptz, status_before text DEFAULT NULL, status_after text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	WITH e AS (
		INSERT INTO incomplete_orders.order_events (recorded_at, event_id, shop_id, order_id, root_id, episode, event, at, status_before, status_after, kind, currency, value,
			item_count, furthest_step, device, source, bot, created_at, abandoned_at, campaign, step, variant, message_id)
		SELECT clock_timestamp(), nextval('incomplete_orders.event_seq'), l.shop_id, l.order_id, l.root_id, l.episode, $2, $3, $4::incomplete_orders.order_status,
			coalesce($5::incomplete_orders.order_status, l.status_after), l.kind, l.currency, l.value, l.item_count, l.furthest_step, l.device, l.source, l.bot, l.created_at,
			l.abandoned_at, l.campaign, l.step, l.variant, l.message_id
		FROM incomplete_orders.order_events l WHERE l.order_id = st.id($1) AND ($2 NOT LIKE 'message%' OR l.event = 'message_queued') ORDER BY l.event_id DESC LIMIT 1
		RETURNING *
	)
	INSERT INTO incomplete_orders.order_event_tail (event_id, shop_id, order_id, root_id, episode, event, at, status_before, status_after, kind, currency, value, item_count,
		furthest_step, device, source, bot, created_at, abandoned_at, campaign, step, variant)
	SELECT e.event_id, e.shop_id, e.order_id, e.root_id, e.episode, e.event, e.at, e.status_before, e.status_after, e.kind, e.currency, e.value, e.item_count,
		e.furthest_step, e.device, e.source, e.bot, e.created_at, e.abandoned_at, e.campaign, e.step, e.variant FROM e
$$;
CREATE FUNCTION st.buy(name text, at timestamptz, paid boolean DEFAULT true) RETURNS numeric LANGUAGE sql AS $$
	SELECT total FROM incomplete_orders.convert_order(st.id($1), paid => $3, at => $2)
$$;

--
-- What happens. Times are Berlin's; an abandonment is an hour after the last activity, its message an hour later.
--
-- Monday: bought at once; begun on Monday and abandoned on Tuesday; never bought, and expired after thirty days
SELECT st.cart('direct', 30, '2024-03-25 10:00', 'review', 'mobile', 'ads'), st.buy('direct', '2024-03-25 10:30');
SELECT st.cart('expired', 5, '2024-03-25 08:00', email => '');
SELECT st.cart('clicked', 100, '2024-03-25 23:30', 'payment', 'desktop', 'ads');
CALL st.tick('2024-03-26 02:00');
SELECT st.event('clicked', 'message_sent', '2024-03-26 02:00');
SELECT incomplete_orders.record_message_event(st.mail('clicked'), w, m, at) FROM (VALUES ('delivered', '{}'::jsonb, '2024-03-26 02:01'::timestamptz), ('opened', '{"machine": true}', '2024-03-26 02:01'),
	('clicked', '{"machine": true}', '2024-03-26 02:01'), ('opened', '{}', '2024-03-26 03:00'), ('clicked', '{}', '2024-03-26 03:00')) v (w, m, at);
SELECT st.buy('clicked', '2024-03-26 04:00');
SELECT incomplete_orders.record_refund(o.order_id, 25, at => '2024-03-27 10:00') FROM incomplete_orders.orders o WHERE o.incomplete_order_id = st.id('clicked');
-- a mail and no click; a click, and bought more than five days later
SELECT st.cart('assisted', 60, '2024-03-26 12:00', 'contact', 'mobile'), st.cart('too_late', 50, '2024-03-26 15:00', 'contact', 'mobile');
CALL st.tick('2024-03-26 14:00');
CALL st.tick('2024-03-26 17:30');
SELECT st.event('assisted', 'message_sent', '2024-03-26 14:00'), st.event('too_late', 'message_sent', '2024-03-26 17:30');
SELECT incomplete_orders.record_message_event(st.mail('too_late'), 'clicked', at => '2024-03-26 18:00');
SELECT incomplete_orders.record_message_event(st.mail('assisted'), 'replied', at => '2024-03-26 18:00');
-- nobody to write to; who left said why
SELECT st.cart('unaided', 40, '2024-03-27 09:00', email => '');
SELECT incomplete_orders.track_abandonment('unaided', 'shipping', 'shipping_cost', 'stat', '2024-03-27 09:00') = st.id('unaided') AS tracked;
CALL st.tick('2024-03-27 10:30');
SELECT st.buy('unaided', '2024-03-27 11:00');
SELECT st.buy('assisted', '2024-03-28 10:00');
-- one of two lines, the other one a little later: one order, one recovery
INSERT INTO st.made SELECT 'partial', incomplete_orders.capture_cart('partial', '[{"sku": "A", "quantity": 1, "unit_price": 30}, {"sku": "B", "quantity": 1, "unit_price": 20}]',
	email => 'partial@st.example', step => 'shipping', shop => 'stat', at => '2024-03-28 10:00');
CALL st.tick('2024-03-28 12:30');
SELECT st.event('partial', 'message_sent', '2024-03-28 12:30');
SELECT incomplete_orders.record_message_event(st.mail('partial'), 'clicked', at => '2024-03-28 13:00');
SELECT total FROM incomplete_orders.convert_order(st.id('partial'), '[{"sku": "A", "quantity": 1, "unit_price": 30}]', idempotency_key => 'p1', at => '2024-03-28 13:10');
SELECT total FROM incomplete_orders.convert_order(st.id('partial'), at => '2024-03-28 13:40');
-- the shop's own total; a bot
SELECT st.cart('foreign', 45, '2024-03-29 10:00', 'review');
SELECT total FROM incomplete_orders.record_order('F-1', id => st.id('foreign'), total => 55.50, currency => 'EUR', paid => true, shop => 'stat', at => '2024-03-29 10:20');
SELECT st.cart('bot', 500, '2024-03-29 12:00', bot => true);
-- by staff, who dismisses it; the clock goes forward; the sequence ends without anything
SELECT st.cart('dismissed', 15, '2024-03-30 10:00', email => '');
SELECT incomplete_orders.mark_abandoned(st.id('dismissed'), 'too_expensive', at => '2024-03-30 10:10');
SELECT incomplete_orders.dismiss_order(st.id('dismissed'), 'duplicate', at => '2024-03-30 12:00');
SELECT st.cart('spring', 10, '2024-03-31 01:30', email => '');
SELECT st.cart('lost', 20, '2024-04-01 10:00', 'cart', 'mobile', 'ads');
CALL st.tick('2024-04-01 12:30');
SELECT st.event('lost', 'message_sent', '2024-04-01 12:30');
SELECT incomplete_orders.record_message_event(st.mail('lost'), w, at => '2024-04-01 13:00') FROM unnest('{bounced,unsubscribed,complained}'::text[]) w;
SELECT st.buy('too_late', '2024-04-02 10:00');
-- paid later than ordered, and of the click we hear last; withheld from a person
SELECT st.cart('click_later', 90, '2024-04-02 10:00', 'payment', 'desktop');
CALL st.tick('2024-04-02 12:00');
SELECT st.event('click_later', 'message_sent', '2024-04-02 12:00');
SELECT st.buy('click_later', '2024-04-02 18:00', false);
SELECT incomplete_orders.record_payment(o.order_id, at => '2024-04-03 09:00') FROM incomplete_orders.orders o WHERE o.incomplete_order_id = st.id('click_later');
SELECT incomplete_orders.configure_shop('stat', '{"holdout": 1}');
SELECT st.cart('held_out', 70, '2024-04-03 10:00', 'contact');
CALL st.tick('2024-04-03 12:00');
SELECT incomplete_orders.configure_shop('stat', '{"holdout": 0}');
SELECT st.buy('held_out', '2024-04-03 15:00');
-- payments in between; a conversion that was taken back; another currency; merged and deleted
SELECT st.cart('pays', 80, '2024-04-04 10:00', 'payment'), st.cart('reversed', 33, '2024-04-05 10:00', 'payment');
SELECT incomplete_orders.mark_payment_pending(st.id('pays'), deadline => '2124-01-01', at => '2024-04-04 10:05');
CALL st.tick('2024-04-05 12:00');
SELECT st.event('reversed', 'message_sent', '2024-04-05 12:00');
SELECT incomplete_orders.record_message_event(st.mail('reversed'), 'clicked', at => '2024-04-05 12:10');
SELECT st.buy('reversed', '2024-04-05 12:15');
SELECT st.cart('dollars', 200, '2024-04-05 12:00', 'review', currency => 'USD'), st.buy('dollars', '2024-04-05 12:10');
SELECT st.cart('merged', 10, '2024-04-06 10:00', email => ''), st.cart('into', 10, '2024-04-06 10:00', 'contact');
SELECT incomplete_orders.merge_carts('merged', 'into', shop => 'stat', at => '2024-04-06 10:05') = st.id('into') AS merged;
SELECT st.buy('into', '2024-04-06 10:10');
SELECT st.cart('deleted', 7, '2024-04-06 11:00', email => '');
SELECT incomplete_orders.delete_order(st.id('deleted'), 'test', at => '2024-04-06 11:10');
SELECT st.cart('fails', 35, '2024-04-07 10:00', 'payment', email => '');
SELECT incomplete_orders.mark_payment_pending(st.id('fails'), deadline => '2024-05-01', at => '2024-04-07 10:05');
-- overseas it is still Sunday; a mail that did not arrive assisted nobody
SELECT st.cart('overseas', 11, '2024-04-01 05:30', email => '', shop => 'stat-us'), st.cart('bounced', 44, '2024-04-10 16:00', shop => 'stat-us');
SELECT incomplete_orders.record_checkout_error(st.id('overseas'), 'shipping_error', 'no carrier', '2024-04-01 05:31');
CALL st.tick('2024-04-10 18:30');
SELECT st.event('bounced', 'message_sent', '2024-04-10 18:30'), st.event('bounced', 'message_bounced', '2024-04-10 18:31'), st.buy('bounced', '2024-04-11 10:00');
-- twice abandoned: once mailed by hand, once by the campaign
SELECT st.cart('twice', 25, '2024-04-16 16:00', shop => 'stat-us');
SELECT incomplete_orders.send_recovery_email(st.id('twice'), at => '2024-04-16 17:10') IS NOT NULL AS by_hand;
CALL st.tick('2024-04-16 18:30');
SELECT st.cart('twice', 26, '2024-04-18 16:00', shop => 'stat-us');
CALL st.tick('2024-04-18 18:30');
SELECT st.buy('twice', '2024-04-19 10:00');
CALL st.tick('2024-04-24 15:00');
SELECT incomplete_orders.mark_payment_failed(st.id('fails'), 'card_declined', '2024-04-24 15:00');
-- what is learned late
SELECT incomplete_orders.record_message_event(st.mail('click_later'), 'clicked', at => '2024-04-02 17:00');
SELECT st.event('reversed', 'reversed', '2024-04-24 16:00', 'converted', 'reversed');

--
-- The reports.
--
CREATE ROLE regress_stat;
SELECT incomplete_orders.grant_to('regress_stat', 'analyst', s) FROM unnest('{stat,stat-us}'::text[]) s;
GRANT USAGE ON SCHEMA st TO regress_stat;
CREATE VIEW st.reports AS SELECT * FROM (VALUES ('statistics'), ('statistics_of_bots'), ('statistics_by_day'), ('statistics_by_hour'), ('statistics_by_value'), ('statistics_by_step'), ('statistics_by_reason'),
	('statistics_by_device'), ('statistics_by_source'), ('statistics_by_product'), ('statistics_by_campaign'), ('statistics_by_cohort'), ('statistics_by_cohort_age'), ('statistics_by_recovery_time'), ('funnel')) r (report);
GRANT SELECT ON st.reports TO regress_stat;
-- every row of every report of the shop, of both, and of a part of the days
CREATE FUNCTION st.all_reports() RETURNS TABLE (report text, arguments text, n bigint, line jsonb) LANGUAGE plpgsql SET role = regress_stat AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM st.reports, (VALUES ('''stat'', ''2024-03-25'', ''2024-04-08'''), ('''*'', ''2024-03-20'', ''2024-11-01'''), ('''stat'', ''2024-03-28'', ''2024-04-03''')) a (arguments) LOOP
		RETURN QUERY EXECUTE format('SELECT %L::text, %L::text, row_number() OVER (), to_jsonb(q) FROM incomplete_orders.%I(%s) q', r.report, r.arguments, r.report, r.arguments);
	END LOOP;
END
$$;
SET ROLE regress_stat;
\x on
SELECT * FROM incomplete_orders.statistics('stat', '2024-03-25', '2024-04-08');
\x off
SELECT * FROM incomplete_orders.statistics_of_bots('stat', '2024-03-25', '2024-04-08');
SELECT * FROM incomplete_orders.statistics_by_day('stat', '2024-03-25', '2024-04-08') WHERE currency = 'EUR';
SELECT * FROM incomplete_orders.statistics_by_day('stat', '2024-03-25', '2024-04-08') WHERE currency = 'USD' AND total > 0;
SELECT count(*) AS hours, count(DISTINCT (weekday, hour)) AS different, sum(created) AS created FROM incomplete_orders.statistics_by_hour('stat', '2024-03-25', '2024-04-08') WHERE currency = 'EUR';
SELECT * FROM incomplete_orders.statistics_by_hour('stat', '2024-03-25', '2024-04-08') WHERE created + direct + episodes + recovered + assisted + unaided + lost > 0;
SELECT * FROM incomplete_orders.statistics_by_value('stat', '2024-03-25', '2024-04-08');
SELECT * FROM incomplete_orders.statistics_by_step('stat', '2024-03-25', '2024-04-08');
SELECT * FROM incomplete_orders.statistics_by_reason('stat', '2024-03-25', '2024-04-08');
SELECT * FROM incomplete_orders.statistics_by_device('stat', '2024-03-25', '2024-04-08');
SELECT * FROM incomplete_orders.statistics_by_source('stat', '2024-03-25', '2024-04-08');
SELECT * FROM incomplete_orders.statistics_by_campaign('stat', '2024-03-25', '2024-04-08');
SELECT week, currency, days_old = current_date - (week + 6) AS days_old, mature, episodes, episode_value, recoverable, recovered, recovered_value, assisted, assisted_value, unaided, unaided_value, lost,
	lost_value, recovery_rate FROM incomplete_orders.statistics_by_cohort('stat', '2024-03-28', '2024-04-03');
SELECT week, currency, days_from, days_before, state, episodes, recoverable, recovered, recovered_value, recovered_so_far, recovered_value_so_far, recovery_rate
FROM incomplete_orders.statistics_by_cohort_age('stat', '2024-03-28', '2024-04-03') WHERE recovered > 0 OR days_before IS NULL;
SELECT * FROM incomplete_orders.statistics_by_recovery_time('stat', '2024-03-25', '2024-04-08') WHERE recovered > 0;
SELECT count(*) AS ranges, min(time_from), max(time_before), max(share_before) FROM incomplete_orders.statistics_by_recovery_time('stat', '2024-03-25', '2024-04-08');
SELECT * FROM incomplete_orders.funnel('stat', '2024-03-25', '2024-04-08');
SELECT report, count(*) AS rows FROM st.all_reports() WHERE arguments LIKE '%*%' GROUP BY report ORDER BY report COLLATE "C";
-- both shops, each day where the shop is
SELECT currency, total, converted, expired, recovered, unaided, recovery_attempts FROM incomplete_orders.statistics('*', '2024-03-25', '2024-04-15');
SELECT day, total, episodes, unaided, unaided_value, recovery_attempts FROM incomplete_orders.statistics_by_day('stat-us', '2024-03-25', '2024-04-15') WHERE total + episodes + recovery_attempts > 0;
SELECT campaign, step, variant, currency, queued, sent, bounced, converted FROM incomplete_orders.statistics_by_campaign('stat-us', '2024-03-25', '2024-04-15');
SELECT day, total, episodes, episode_value, recoverable, recovered, unaided, unaided_value, recovery_attempts FROM incomplete_orders.statistics_by_day('stat-us', '2024-04-16', '2024-04-19');
SELECT total, converted, recoverable, recovery_rate, average_days_to_abandon FROM incomplete_orders.statistics('stat-us', '2024-04-16', '2024-04-19');
SELECT reason, episodes, episode_value FROM incomplete_orders.statistics_by_reason('stat-us', '2024-03-25', '2024-04-15');
RESET ROLE;
-- what is added up by one question is what is added up by another
CREATE FUNCTION st.sums() RETURNS TABLE (report text, currency text, episodes numeric, episode_value numeric, recovered numeric, recovered_value numeric, assisted numeric, unaided numeric) LANGUAGE plpgsql AS $$
BEGIN
	FOR report IN SELECT r.report FROM st.reports r WHERE r.report ~ '_(day|hour|value|step|reason|device|source)$' LOOP
		RETURN QUERY EXECUTE format('SELECT %L::text, q.currency, sum(q.episodes), sum(q.episode_value), sum(q.recovered), sum(q.recovered_value), sum(q.assisted), sum(q.unaided)
			FROM incomplete_orders.%I(''stat'', ''2024-03-25'', ''2024-04-08'') q WHERE q.currency = ''EUR'' GROUP BY 1, 2', report, report);
	END LOOP;
END
$$;
SELECT count(*) AS reports, currency, episodes, episode_value, recovered, recovered_value, assisted, unaided FROM st.sums() GROUP BY 2, 3, 4, 5, 6, 7, 8;

--
-- The night on which the clock goes back: its day has 25 hours, and two o'clock comes twice.
--
SELECT st.cart('autumn1', 1, '2024-10-26 23:30+00', email => ''), st.cart('autumn2', 2, '2024-10-27 00:30+00', email => ''), st.cart('autumn3', 4, '2024-10-27 21:30+00', email => ''),
	st.cart('autumn4', 8, '2024-10-27 22:30+00', email => '');
CALL st.tick('2024-10-28 02:00');
SELECT day, total, episodes, episode_value FROM incomplete_orders.statistics_by_day('stat', '2024-10-26', '2024-10-29');
SELECT weekday, hour, created, episodes, episode_value FROM incomplete_orders.statistics_by_hour('stat', '2024-10-26', '2024-10-29') WHERE created + episodes > 0;
-- what was left open in spring has expired meanwhile; a payment that failed is abandoned for that reason
SELECT day, r.reason, r.episodes, r.episode_value FROM generate_series(date '2024-04-07', date '2024-04-25', interval '1 day') d (day), incomplete_orders.statistics_by_reason('stat', day::date, day::date + 1) r;
SELECT total, pending, payment_pending, payment_failed, abandoned, converted, expired, dismissed, total_value, abandoned_value FROM incomplete_orders.statistics('stat', '2024-03-25', '2024-04-08') WHERE currency = 'EUR';

--
-- Lift: 200 persons treated, 30 of them ordered in time; 150 held out, 15 of them ordered. Newcombe's interval was computed elsewhere.
--
CREATE FUNCTION st.arm(shop integer, person bigint, holdout boolean, at timestamptz, drawn_for bigint DEFAULT NULL, currency text DEFAULT 'USD') RETURNS boolean LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.person_arms (shop_id, person, holdout, assigned_at, drawn_for, drawn_at, currency) VALUES ($1, $2, $3, $4, lpad(to_hex(coalesce($5, $2)), 32, '0')::uuid, $4, $6) RETURNING true
$$;
CREATE FUNCTION st.orders(shop integer, person bigint, at timestamptz) RETURNS boolean LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.person_orders (shop_id, person, ordered_at, order_id) VALUES ($1, $2, $3, gen_random_uuid()) RETURNING true
$$;
CREATE VIEW st.lift AS SELECT treated, held_out, lift, lift_low, lift_high, lift_reason FROM incomplete_orders.statistics('stat-us', '2024-05-01', '2024-05-02') WHERE currency = 'USD';
SELECT count(st.arm(:other, n, n > 200, '2024-05-01 14:00')) FROM generate_series(1, 350) n;
SELECT count(st.orders(:other, n, '2024-05-02 10:00')) FROM generate_series(1, 29) n;
SELECT count(st.orders(:other, n, '2024-05-02 10:00')) FROM generate_series(201, 215) n;
-- the thirtieth by another of their keys, at the last instant; too late, and before
SELECT st.arm(:other, 1030, false, '2024-05-01 14:00', 30), st.orders(:other, 1030, '2024-05-09 14:00'), st.orders(:other, 31, '2024-05-09 14:00:01'), st.orders(:other, 32, '2024-05-01 13:59');
-- twice is once; a second draw for somebody who had one counts nobody
SELECT st.orders(:other, 1, '2024-05-03 10:00'), st.arm(:other, 2, false, '2024-05-01 14:00:01', 2002);
SELECT * FROM st.lift;
SELECT incomplete_orders._count_arms(ARRAY[:other], '2024-05-09 13:59', NULL) AS too_early, incomplete_orders._count_arms(ARRAY[:other], '2024-05-09 14:00', NULL, 200) AS counted, incomplete_orders._count_arms(ARRAY[:other], '2024-05-09 14:00', NULL, 200) AS the_rest, incomplete_orders._count_arms(ARRAY[:other], '2024-05-10', NULL) AS second_draw,
	incomplete_orders._count_arms(ARRAY[:other], '2024-05-10', NULL) AS again;
SELECT day, currency, holdout, persons, converted FROM incomplete_orders.rollup_arms WHERE shop_id = :other;
SELECT * FROM st.lift;
-- what retention deletes stays counted
SELECT incomplete_orders._retire_persons(:other, '2026-05-10');
SELECT count(*) AS arms FROM incomplete_orders.person_arms WHERE shop_id = :other;
SELECT * FROM st.lift;
-- 99 held out are not enough, 100 are
SELECT count(st.arm(:other, n, n > 5150, '2024-05-03 14:00')) FROM generate_series(5001, 5249) n;
SELECT treated, held_out, lift, lift_low, lift_high, lift_reason FROM incomplete_orders.statistics('stat-us', '2024-05-03', '2024-05-04') WHERE currency = 'USD';
SELECT st.arm(:other, 5250, true, '2024-05-03 14:00');
SELECT treated, held_out, lift, lift_low, lift_high, lift_reason FROM incomplete_orders.statistics('stat-us', '2024-05-03', '2024-05-04') WHERE currency = 'USD';
-- shops may hold out different shares, so what they have together says nothing
SELECT st.arm(:shop, 6000, true, '2024-05-03 14:00');
SET ROLE regress_stat;
SELECT treated, held_out, lift, lift_reason FROM incomplete_orders.statistics('*', '2024-05-03', '2024-05-04') WHERE currency = 'USD';
RESET ROLE;
-- a person is one, with all addresses; who is forgotten is counted first, whose time is not over is not
SELECT incomplete_orders.configure_shop('stat-us', '{"holdout": 0.5}');
SELECT incomplete_orders.capture_cart('first', '[{"sku": "A", "quantity": 1, "unit_price": 5}]', email => 'one@st.example', customer_id => 'c-1', shop => 'stat-us', at => now() - interval '4 hours') AS first \gset
CALL st.tick(now());
SELECT incomplete_orders.dismiss_order(:'first', 'test');
SELECT incomplete_orders.capture_cart('second', '[{"sku": "A", "quantity": 1, "unit_price": 5}]', email => 'two@st.example', customer_id => 'c-1', shop => 'stat-us', at => now() - interval '3 hours') AS second \gset
CALL st.tick(now());
SELECT count(*) AS keys, count(DISTINCT drawn_for) AS persons, count(DISTINCT drawn_at) AS draws, bool_and(drawn_for = :'first') AS drawn_for, count(*) FILTER (WHERE counted) AS with_others
FROM incomplete_orders.person_arms WHERE shop_id = :other AND drawn_at > now() - interval '1 day';
SELECT treated + held_out AS counted FROM incomplete_orders.statistics('stat-us') WHERE currency = 'USD';
SELECT incomplete_orders.convert_order(:'second') IS NOT NULL AS bought;
SELECT count(*) > 0 AS forgotten FROM incomplete_orders.forget_customer('two@st.example', shop => 'stat-us');
SELECT treated + held_out AS counted FROM incomplete_orders.statistics('stat-us') WHERE currency = 'USD';
SELECT persons, converted FROM incomplete_orders.rollup_arms WHERE shop_id = :other AND day > '2024-06-01';
SELECT incomplete_orders.configure_shop('stat-us', '{"holdout": 0}');

--
-- Always current: what this transaction has just captured, also what a capture changes without an event.
--
BEGIN;
SELECT incomplete_orders.create_shop('stat-now', 'Now', 'EUR') IS NOT NULL AS made;
SELECT st.cart('now', 12, now() - interval '5 minutes', 'contact', shop => 'stat-now'), st.cart('emptied', 9, now() - interval '4 minutes', 'shipping', shop => 'stat-now');
SELECT incomplete_orders.capture_cart('now', '[{"sku": "A", "quantity": 3, "unit_price": 5}]', step => 'payment', shop => 'stat-now') = st.id('now') AS changed,
	incomplete_orders.capture_cart('emptied', '[]', shop => 'stat-now') = st.id('emptied') AS emptied;
SELECT currency, total, pending, total_value FROM incomplete_orders.statistics('stat-now');
SELECT step, orders, share, from_previous FROM incomplete_orders.funnel('stat-now');
SELECT count(*) AS days, sum(total) AS total, max(day) = (now() AT TIME ZONE 'UTC')::date AS to_today FROM incomplete_orders.statistics_by_day('stat-now');
-- a coupon is not in what was paid; it names the message that it came with
SELECT incomplete_orders.configure_shop('stat-now', '{"consent_rule": "none", "quiet_from": "00:00", "quiet_to": "00:00"}');
SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10}', shop => 'stat-now');
SELECT st.cart('coupon', 100, now() - interval '3 hours', shop => 'stat-now');
SELECT incomplete_orders.mark_abandoned(st.id('coupon'));
SELECT incomplete_orders.send_recovery_email(st.id('coupon'), 'discount_offer') IS NOT NULL AS queued;
SELECT c.message_id, c.token, c.message #>> '{order,coupon,code}' AS code FROM incomplete_orders.claim_messages('w') c WHERE c.shop = 'stat-now' \gset
SELECT incomplete_orders.ack_message(:'message_id', :'token', 'OK') AS sent;
SELECT coupon_discount, total FROM incomplete_orders.redeem_coupon(:'code', st.id('coupon'));
SELECT st.buy('coupon', now());
SELECT recovered, recovered_value, recovery_attempts, messages_sent FROM incomplete_orders.statistics('stat-now');
SELECT campaign, step, queued, sent, converted, revenue, coupon_cost FROM incomplete_orders.statistics_by_campaign('stat-now');
ROLLBACK;

--
-- Folded or not, as far as one likes: the same.
--
SELECT incomplete_orders._tick_fold(100000) >= 0 AS folded;
CREATE TABLE st.expected AS SELECT * FROM st.all_reports();
DELETE FROM incomplete_orders.rollup_states WHERE shop_id IN (:shop, :other);
DELETE FROM incomplete_orders.rollup_episodes WHERE shop_id IN (:shop, :other);
DELETE FROM incomplete_orders.rollup_messages WHERE shop_id IN (:shop, :other);
DELETE FROM incomplete_orders.rollup_products WHERE shop_id IN (:shop, :other);
DELETE FROM incomplete_orders.rollup_recovered_products WHERE shop_id IN (:shop, :other);
DELETE FROM incomplete_orders.order_outcomes WHERE shop_id IN (:shop, :other);
SELECT string_agg(a.attname, ', ') AS tail FROM pg_attribute a WHERE a.attrelid = 'incomplete_orders.order_event_tail'::regclass AND a.attnum > 0 AND NOT a.attisdropped \gset
-- in another order than they happened
INSERT INTO incomplete_orders.order_event_tail (:tail) SELECT :tail FROM incomplete_orders.order_events WHERE shop_id IN (:shop, :other) ORDER BY hashint8(event_id);
CREATE PROCEDURE st.fold_and_compare(OUT positions integer, OUT differences bigint) LANGUAGE plpgsql AS $$
BEGIN
	positions := 0;
	differences := 0;
	LOOP
		positions := positions + 1;
		differences := differences + (SELECT count(*) FROM ((TABLE st.expected EXCEPT SELECT * FROM st.all_reports()) UNION ALL (SELECT * FROM st.all_reports() EXCEPT TABLE st.expected)) d);
		EXIT WHEN incomplete_orders._tick_fold(25) = 0;
	END LOOP;
END
$$;
CALL st.fold_and_compare(NULL, NULL);
SELECT count(*) AS compared, count(DISTINCT report) AS reports FROM st.expected;
SELECT count(*) AS unfolded FROM incomplete_orders.order_event_tail WHERE shop_id IN (:shop, :other);
SELECT changed FROM incomplete_orders.update_analytics('2024-03-26');

--
-- Whose days, and which.
--
SET ROLE regress_stat;
SELECT * FROM incomplete_orders.statistics('stat', '2024-04-08', '2024-04-08');
SELECT * FROM incomplete_orders.funnel('stat', '-infinity');
SELECT * FROM incomplete_orders.statistics_by_day('stat', '1900-01-01', '2024-04-08');
SELECT * FROM incomplete_orders.statistics_by_campaign('nowhere');
SELECT * FROM incomplete_orders.statistics_by_campaign('default');
SELECT count(*) FROM incomplete_orders.rollup_states;
SELECT * FROM incomplete_orders._figures('{1}', 'step', 'day', '2024-01-01', '2025-01-01');
-- since alone: up to today; until alone: thirty days
SELECT min(day), max(day) - current_date BETWEEN -1 AND 1 AS to_today FROM incomplete_orders.statistics_by_day('stat', '2024-04-01');
SELECT min(day), max(day) FROM incomplete_orders.statistics_by_day('stat', until => '2024-04-08');
-- an app has no reports
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_stat', 'analyst', s) FROM unnest('{stat,stat-us}'::text[]) s;
SELECT incomplete_orders.grant_to('regress_stat', 'app', 'stat');
SET ROLE regress_stat;
SELECT * FROM incomplete_orders.statistics('stat');
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_stat', 'app', 'stat');
SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('stat', false);
SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('stat-us', false);
SELECT count(*) AS left_behind FROM incomplete_orders.rollup_arms WHERE shop_id IN (:shop, :other);
DROP SCHEMA st CASCADE;
DROP ROLE regress_stat;

-- Experiments: who is held out of recovery messages, and who gets which variant.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SET search_path = pg_catalog;
SELECT incomplete_orders.create_shop('exp', 'Experiments') AS shop \gset
SELECT incomplete_orders.configure_shop('exp', '{"consent_rule": "none", "min_gap": "0", "quiet_from": "00:00", "quiet_to": "00:00"}');
SELECT incomplete_orders.enable_campaign('cart', 'exp', at => '2024-01-01');
CREATE FUNCTION pg_temp.cart(email text, at timestamptz, customer_id text DEFAULT NULL, session_id text DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart(coalesce(session_id, email), '[{"sku": "A", "quantity": 2, "unit_price": 5}]', email => email, customer_id => customer_id,
		shop => 'exp', at => at)
$$;
CREATE PROCEDURE pg_temp.tick(at timestamptz, INOUT did text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, at);
	did := format('%s queued, %s skipped', r ->> 'queued', r ->> 'skipped');
END
$$;
CREATE VIEW pg_temp.facts AS
	SELECT e.order_id, o.email, e.event, e.at, e.step, e.variant, e.holdout, e.episode
	FROM incomplete_orders.order_events e JOIN incomplete_orders.open_orders o ON o.shop_id = e.shop_id AND o.id = e.order_id
	WHERE e.shop_id = (SELECT s.shop_id FROM incomplete_orders.shops s WHERE s.shop = 'exp') AND e.event IN ('message_queued', 'holdout');
CREATE VIEW pg_temp.arms AS SELECT a.* FROM incomplete_orders.person_arms a WHERE a.shop_id = (SELECT s.shop_id FROM incomplete_orders.shops s WHERE s.shop = 'exp');
-- within six standard deviations of the share that is expected
CREATE FUNCTION pg_temp.about(n bigint, of bigint, share float8) RETURNS boolean LANGUAGE sql AS $$ SELECT abs(n - of * share) <= 6 * sqrt(of * share * (1 - share)) $$;

--
-- The draw: even, its own for each shop, purpose and address, and always the same.
--
CREATE TABLE pg_temp.draws AS SELECT n, incomplete_orders._draw(:shop, 'holdout', n || '@draw.example') AS u FROM generate_series(1, 10000) n;
SELECT pg_temp.about(count(*) FILTER (WHERE u < 0.1), 10000, 0.1) AS tenth, pg_temp.about(count(*) FILTER (WHERE u < 0.5), 10000, 0.5) AS half,
	min(u) > 0 AND max(u) < 1 AS inside, count(DISTINCT u) AS different FROM draws;
SELECT count(*) FILTER (WHERE u = incomplete_orders._draw(:shop, 'holdout', n || '@draw.example')) AS again,
	count(*) FILTER (WHERE u = incomplete_orders._draw(:shop, 'holdout', '  ' || n || '@DRAW.example ')) AS as_written,
	count(*) FILTER (WHERE u = incomplete_orders._draw(:shop + 1, 'holdout', n || '@draw.example')) AS other_shop,
	count(*) FILTER (WHERE u = incomplete_orders._draw(:shop, 'holdout2', n || '@draw.example')) AS other_purpose,
	pg_temp.about(count(*) FILTER (WHERE u < 0.5 AND incomplete_orders._draw(:shop, 'variant', n || '@draw.example') < 0.5), 10000, 0.25) AS independent FROM draws;
-- Two addresses of each arm at a half.
SELECT max(CASE WHEN u < 0.5 AND r = 1 THEN email END) AS held, max(CASE WHEN u < 0.5 AND r = 2 THEN email END) AS held2,
	max(CASE WHEN u >= 0.5 AND r = 1 THEN email END) AS free, max(CASE WHEN u >= 0.5 AND r = 2 THEN email END) AS free2
FROM (SELECT e.email, u.u, row_number() OVER (PARTITION BY u.u < 0.5 ORDER BY n) AS r FROM generate_series(1, 200) n
	CROSS JOIN LATERAL (SELECT n || '@some.example') e (email) CROSS JOIN LATERAL (SELECT incomplete_orders._draw(:shop, 'holdout', e.email)) u (u)) x \gset
CREATE FUNCTION pg_temp.who(email text) RETURNS text LANGUAGE sql AS $$
	SELECT name FROM (VALUES (current_setting('t.held'), 'held'), (current_setting('t.held2'), 'held2'), (current_setting('t.free'), 'free'), (current_setting('t.free2'), 'free2')) w (address, name)
	WHERE address = email
$$;
SET t.held = :'held'; SET t.held2 = :'held2'; SET t.free = :'free'; SET t.free2 = :'free2';

--
-- No holdout: nobody is asked and nothing is written.
--
SELECT pg_temp.cart('before@exp.example', '2024-02-01 10:00') IS NOT NULL AS made;
CALL pg_temp.tick('2024-02-01 12:00');
SELECT email, event, step, variant, holdout FROM facts;
SELECT count(*) AS arms FROM arms;

--
-- A half is held out: every step is skipped, the event tells of it once.
--
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 0.5}');
SELECT pg_temp.cart(:'held', '2024-03-01 10:00', 'c-1') AS held_cart, pg_temp.cart(:'free', '2024-03-01 10:00', 'c-2') AS free_cart \gset
SELECT pg_temp.who(recipient) AS who, step, action, reason, variant FROM incomplete_orders.preview_recovery('exp', '2024-03-01 12:00') ORDER BY 1;
SELECT count(*) AS arms FROM arms;
CALL pg_temp.tick('2024-03-01 12:00');
SELECT pg_temp.who(email) AS who, event, step, variant, holdout, at FROM facts WHERE at >= '2024-03-01' ORDER BY 1, at;
SELECT holdout, count(*), min(assigned_at) FROM arms GROUP BY 1 ORDER BY 1;
SELECT count(*) AS queued FROM incomplete_orders.messages WHERE shop_id = :shop AND recipient = :'held';
UPDATE incomplete_orders.messages SET status = 'sent', sent_at = queued_at WHERE shop_id = :shop AND status = 'queued';
CALL pg_temp.tick('2024-03-02 12:00');
CALL pg_temp.tick('2024-03-06 12:00');
SELECT pg_temp.who(email) AS who, event, step, holdout FROM facts WHERE at >= '2024-03-01' ORDER BY 1, at;
SELECT step, reason FROM incomplete_orders.message_skips WHERE order_id = :'held_cart' ORDER BY step;
SELECT w.step, w.reason FROM incomplete_orders.why_not_sent(:'held_cart') w;
SELECT count(*) AS tail, count(*) FILTER (WHERE holdout) AS held FROM incomplete_orders.order_event_tail WHERE order_id = :'held_cart' AND event = 'holdout';
-- a new episode is told of again
SELECT pg_temp.cart(:'held', '2024-03-07 10:00', 'c-1') = :'held_cart' AS same;
CALL pg_temp.tick('2024-03-07 12:00');
SELECT episode, at FROM facts WHERE order_id = :'held_cart' ORDER BY at;

--
-- The arm is the person's: by the customer with another address, and whatever the share becomes.
--
SELECT incomplete_orders.dismiss_order(:'held_cart', 'test', at => '2024-03-08');
SELECT incomplete_orders.dismiss_order(:'free_cart', 'test', at => '2024-03-08');
SELECT pg_temp.cart(:'free2', '2024-03-09 10:00', 'c-1', 'second address') AS moved \gset
SELECT pg_temp.cart(:'held2', '2024-03-09 10:00', 'c-2', 'second too') AS moved2 \gset
CALL pg_temp.tick('2024-03-09 12:00');
SELECT pg_temp.who(email) AS who, event, holdout FROM facts WHERE order_id IN (:'moved', :'moved2') ORDER BY 1;
SELECT holdout, count(*) FROM arms GROUP BY 1 ORDER BY 1;
SELECT incomplete_orders.dismiss_order(:'moved', 'test', at => '2024-03-10'), incomplete_orders.dismiss_order(:'moved2', 'test', at => '2024-03-10');
-- everybody and nobody: those who are new go by the share, the others by what was
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 1}');
SELECT pg_temp.cart(:'free', '2024-03-11 10:00', 'c-2') AS c1, pg_temp.cart('new1@exp.example', '2024-03-11 10:00') AS c2 \gset
CALL pg_temp.tick('2024-03-11 12:00');
SELECT coalesce(pg_temp.who(email), 'new') AS who, event, holdout FROM facts WHERE at = '2024-03-11 12:00' ORDER BY 1;
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 0.000001}');
SELECT pg_temp.cart(:'held', '2024-03-12 10:00', 'c-1') AS c3, pg_temp.cart('new2@exp.example', '2024-03-12 10:00') AS c4 \gset
CALL pg_temp.tick('2024-03-12 12:00');
SELECT coalesce(pg_temp.who(email), email) AS who, event, holdout FROM facts WHERE at = '2024-03-12 12:00' AND step = 1 ORDER BY 1;
-- 0 ends the experiment: everybody is mailed, and what was drawn stays
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 0}');
CALL pg_temp.tick('2024-03-13 12:00');
SELECT coalesce(pg_temp.who(email), email) AS who, event, step, holdout FROM facts WHERE at = '2024-03-13 12:00' ORDER BY 1;
SELECT count(*) > 0 AS stay FROM arms;

--
-- By hand: send_recovery_emails holds out, staff that sends one mail may know better, and the event says so.
--
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 0.5}');
UPDATE incomplete_orders.open_orders SET next_message_at = NULL WHERE shop_id = :shop;
DELETE FROM incomplete_orders.person_arms WHERE shop_id = :shop;
SELECT incomplete_orders.dismiss_order(o.id, 'test', at => '2024-03-20') IS NOT NULL AS closed FROM incomplete_orders.open_orders o WHERE shop_id = :shop \g /dev/null
SELECT pg_temp.cart(:'held', '2024-04-01 10:00') AS h, pg_temp.cart(:'free', '2024-04-01 10:00') AS f, pg_temp.cart(:'held2', '2024-04-01 10:00') AS h2 \gset
SELECT pg_temp.who(recipient) AS who, action, reason FROM incomplete_orders.send_recovery_emails(dry_run => true, shop => 'exp', at => '2024-04-01 13:00') ORDER BY 1;
SELECT count(*) AS arms FROM arms;
-- without the campaign, so that tick queues nothing first
SELECT incomplete_orders.disable_campaign('cart', 'exp', at => '2024-04-01 10:00');
SELECT pg_temp.who(recipient) AS who, action, reason FROM incomplete_orders.send_recovery_emails(shop => 'exp', at => '2024-04-01 13:00') ORDER BY 1;
SELECT pg_temp.who(recipient) AS who, action, reason FROM incomplete_orders.send_recovery_emails(shop => 'exp', at => '2024-04-01 14:00') ORDER BY 1;
SELECT incomplete_orders.send_recovery_email(:'h2', at => '2024-04-01 15:00') IS NOT NULL AS sent;
SELECT pg_temp.who(email) AS who, event, step, holdout FROM facts WHERE at >= '2024-04-01' ORDER BY at, 1;
SELECT incomplete_orders.forget_customer(email => :'held', shop => 'exp', at => '2024-04-02') \g /dev/null
SELECT holdout, count(*) FROM arms GROUP BY 1 ORDER BY 1;
-- with the shop's retention an arm goes
SELECT incomplete_orders._retire_persons(:shop, '2054-04-02');
SELECT count(*) AS arms FROM arms;

--
-- Variants: shares as the weights, the same for a person every time.
--
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 0}');
SELECT incomplete_orders.dismiss_order(o.id, 'test', at => '2024-04-20') IS NOT NULL AS closed FROM incomplete_orders.open_orders o WHERE shop_id = :shop \g /dev/null
SELECT incomplete_orders.enable_campaign('cart', 'exp', at => '2024-05-01');
SELECT incomplete_orders.save_variant('cart', 1, 'a', weight => 3, shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, 'b', 'cart_final', shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, 'paused', 'cart_final', 0, 'exp');
SELECT incomplete_orders.save_variant('cart', 2, 'a', shop => 'exp'), incomplete_orders.save_variant('cart', 2, 'b', shop => 'exp');
SELECT * FROM incomplete_orders.list_variants('exp');
SELECT template, steps FROM incomplete_orders.list_templates('exp') WHERE template IN ('cart_abandoned', 'cart_final') AND locale = 'en';
SELECT count(*) AS carts FROM (SELECT pg_temp.cart(n || '@variants.example', '2024-05-01 10:00') FROM generate_series(1, 2000) n OFFSET 0) c;
CREATE TABLE pg_temp.said AS SELECT * FROM incomplete_orders.preview_recovery('exp', '2024-05-01 12:00');
DO $$ DECLARE r jsonb; BEGIN FOR i IN 1..20 LOOP CALL incomplete_orders.tick(r, '2024-05-01 12:00'); EXIT WHEN NOT (r ->> 'queued')::int > 0; END LOOP; END $$;
SELECT count(*) AS messages, pg_temp.about(count(*) FILTER (WHERE variant = 'a'), 2000, 0.75) AS a, pg_temp.about(count(*) FILTER (WHERE variant = 'b'), 2000, 0.25) AS b,
	count(*) FILTER (WHERE template <> CASE variant WHEN 'a' THEN 'cart_abandoned' ELSE 'cart_final' END) AS other_text
FROM incomplete_orders.messages WHERE shop_id = :shop AND campaign = 'cart' AND step = 1 AND queued_at = '2024-05-01 12:00';
SELECT count(*) AS as_previewed FROM said s JOIN incomplete_orders.messages m ON m.order_id = s.order_id AND m.step = s.step AND m.variant = s.variant WHERE m.shop_id = :shop;
SELECT count(*) FILTER (WHERE e.variant = m.variant AND e.holdout IS NULL) AS events FROM incomplete_orders.order_events e JOIN incomplete_orders.messages m ON m.shop_id = e.shop_id AND m.id = e.message_id
WHERE e.shop_id = :shop AND e.event = 'message_queued' AND m.queued_at = '2024-05-01 12:00';
-- whoever sends it is told
SELECT count(*) AS claimed, count(*) FILTER (WHERE c.message #>> '{message,variant}' = m.variant) AS told, count(DISTINCT m.variant) AS variants
FROM incomplete_orders.claim_messages('w', 200) c JOIN incomplete_orders.messages m ON m.id = c.message_id WHERE c.shop = 'exp';
UPDATE incomplete_orders.messages SET status = 'sent', sent_at = queued_at WHERE shop_id = :shop AND status IN ('queued', 'sending');
-- the second step draws anew
DO $$ DECLARE r jsonb; BEGIN FOR i IN 1..20 LOOP CALL incomplete_orders.tick(r, '2024-05-02 12:00'); EXIT WHEN NOT (r ->> 'queued')::int > 0; END LOOP; END $$;
SELECT pg_temp.about(count(*) FILTER (WHERE n.variant = 'a'), count(*), 0.5) AS independent
FROM incomplete_orders.messages m JOIN incomplete_orders.messages n ON n.shop_id = m.shop_id AND n.order_id = m.order_id AND n.step = 2 AND n.queued_at = '2024-05-02 12:00'
WHERE m.shop_id = :shop AND m.step = 1 AND m.variant = 'b' AND m.queued_at = '2024-05-01 12:00';
-- a holdout beside it
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 0.3}');
SELECT pg_temp.about(count(*) FILTER (WHERE incomplete_orders._draw(:shop, 'holdout', s.recipient) < 0.3), 2000, 0.3) AS share FROM said s;
SELECT count(*) AS others FROM incomplete_orders.preview_recovery('exp', '2024-05-04 12:00') p
WHERE (p.action = 'skipped' AND p.reason = 'holdout') <> (incomplete_orders._draw(:shop, 'holdout', p.recipient) < 0.3);
SELECT incomplete_orders.configure_shop('exp', '{"holdout": 0}');
-- A third variant takes its share from the others, and nobody goes from one of these to the other; without it all is as it was.
CREATE TABLE pg_temp.first AS SELECT order_id, recipient, variant FROM said;
SELECT incomplete_orders.save_variant('cart', 1, 'c', 'cart_reminder', 4, 'exp');
UPDATE incomplete_orders.open_orders SET sequence_step = 0, next_message_at = '2024-05-01 11:00' WHERE shop_id = :shop;
DELETE FROM incomplete_orders.messages WHERE shop_id = :shop;
DELETE FROM incomplete_orders.person_messages WHERE shop_id = :shop;
SELECT pg_temp.about(count(*) FILTER (WHERE p.variant = 'c'), 2000, 0.5) AS half, count(*) FILTER (WHERE p.variant NOT IN (f.variant, 'c')) AS changed
FROM first f JOIN incomplete_orders.preview_recovery('exp', '2024-05-01 12:00') p USING (order_id);
SELECT incomplete_orders.delete_variant('cart', 1, 'c', 'exp') AS deleted, incomplete_orders.delete_variant('cart', 1, 'c', 'exp') AS again;
SELECT count(*) FILTER (WHERE p.variant = f.variant) AS as_before FROM first f JOIN incomplete_orders.preview_recovery('exp', '2024-05-01 12:00') p USING (order_id);
SELECT incomplete_orders.save_variant('cart', 1, 'a', weight => 0, shop => 'exp'), incomplete_orders.save_variant('cart', 1, 'b', weight => 0, shop => 'exp');
SELECT DISTINCT variant, action FROM incomplete_orders.preview_recovery('exp', '2024-05-01 12:00');

--
-- What is no variant; what a variant needs.
--
SELECT incomplete_orders.save_variant('cart', 9, 'a', shop => 'exp');
SELECT incomplete_orders.save_variant('cart', NULL, 'a', shop => 'exp');
SELECT incomplete_orders.save_variant('basket', 1, 'a', shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, 'A', shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, NULL, shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, 'a', weight => 1001, shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, 'a', weight => NULL, shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, 'a', 'nothing', shop => 'exp');
SELECT incomplete_orders.save_variant('cart', 1, 'a', shop => 'nowhere');
SELECT incomplete_orders.delete_variant('cart', 9, 'a', 'exp') AS deleted;
SELECT incomplete_orders.save_template('own_text', 'en', '{"subject": "s", "preheader": "", "headline": "h", "body": "b", "button": "b", "footer": "f"}', 'exp');
SELECT incomplete_orders.save_variant('cart', 3, 'own', 'own_text', shop => 'exp');
SELECT incomplete_orders.delete_template('own_text', 'en', 'exp');
SELECT p #>> '{message,step}' AS step, p #>> '{message,variant}' AS variant FROM incomplete_orders.preview_message('own_text', shop => 'exp') p;
DELETE FROM incomplete_orders.campaign_steps WHERE shop_id = :shop AND campaign = 'cart' AND step = 3;
SELECT DISTINCT step FROM incomplete_orders.list_variants('exp') ORDER BY 1;
SELECT incomplete_orders.delete_shop('exp', false) \g /dev/null

-- Who is queued when, and why not: campaigns, the steps of a sequence, the ledger.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SET search_path = pg_catalog;
SELECT incomplete_orders.create_shop('camp', 'Campaigns') AS shop \gset
SELECT incomplete_orders.create_shop('camp-other', 'Not to be touched') AS other \gset
-- these people need not agree: consent has a test of its own (rules)
UPDATE incomplete_orders.shops SET consent_rule = 'none' WHERE shop_id = :shop;
CREATE ROLE regress_camp_admin;
CREATE ROLE regress_camp_app;
SELECT incomplete_orders.grant_to('regress_camp_admin', 'admin', 'camp');
SELECT incomplete_orders.grant_to('regress_camp_app', 'app', 'camp');
CREATE TEMP TABLE made (name text PRIMARY KEY, id uuid);
GRANT ALL ON made TO regress_camp_admin;
CREATE PROCEDURE pg_temp.cart(name text, at timestamptz, email text DEFAULT NULL, skus text DEFAULT 'A', customer_id text DEFAULT NULL, phone text DEFAULT NULL,
	context jsonb DEFAULT NULL, kind incomplete_orders.order_kind DEFAULT NULL) LANGUAGE sql AS $$
	INSERT INTO made SELECT name, incomplete_orders.capture_cart(name, (SELECT jsonb_agg(jsonb_build_object('sku', s, 'quantity', 2, 'unit_price', 5))
		FROM regexp_split_to_table(skus, '') s), email => email, customer_id => customer_id, phone => phone, context => context, kind => kind, shop => 'camp', at => at)
	ON CONFLICT (name) DO UPDATE SET id = excluded.id
$$;
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT m.id FROM made m WHERE m.name = $1 $$;
CREATE PROCEDURE pg_temp.tick(at timestamptz, INOUT did text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, at);
	did := format('%s queued, %s skipped', r ->> 'queued', r ->> 'skipped');
END
$$;
CREATE VIEW pg_temp.sequence AS
	SELECT m.name, o.status, o.episode, o.sequence_step AS step, o.next_message_at FROM made m JOIN incomplete_orders.open_orders o USING (id);
CREATE VIEW pg_temp.mails AS
	SELECT m.name, q.episode, q.step, q.campaign, q.message_type, q.template, q.recipient, q.due_at, q.status, q.reason
	FROM made m JOIN incomplete_orders.messages q ON q.order_id = m.id;
CREATE VIEW pg_temp.ledger AS
	SELECT m.name, k.episode, k.step, k.campaign, k.at, k.reason, k.message_id IS NOT NULL AS of_message, k.skip_id
	FROM made m JOIN incomplete_orders.message_skips k ON k.order_id = m.id;
CREATE VIEW pg_temp.campaigns AS
	SELECT c.campaign, c.enabled, c.not_before FROM incomplete_orders.campaigns c JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'camp';
GRANT SELECT ON pg_temp.sequence, pg_temp.mails, pg_temp.ledger, pg_temp.campaigns TO regress_camp_admin;

-- Each shop has a campaign for each kind of order, off.
SELECT campaign, kind, enabled, not_before FROM incomplete_orders.campaigns WHERE shop_id = :shop ORDER BY kind;
SELECT campaign, step, delay, message_type, template FROM incomplete_orders.campaign_steps WHERE shop_id = :shop ORDER BY campaign, step;
SET ROLE regress_camp_admin;
CALL pg_temp.cart('off', '2024-03-01 10:00', 'off@example.com');
CALL pg_temp.tick('2024-03-02 11:00');
SELECT * FROM pg_temp.sequence;
SELECT step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('off'));

--
-- Turning on: what was abandoned before is mailed only from not_older_than on.
--
-- abandoned at 11:00, at 11:00:00.000001 and later
CALL pg_temp.cart('older', '2024-03-01 09:59:59.999999', 'older@example.com');
CALL pg_temp.cart('edge', '2024-03-01 10:00', 'edge@example.com');
CALL pg_temp.cart('young', '2024-03-02 09:30', 'young@example.com');
CALL pg_temp.tick('2024-03-02 10:59');
SELECT incomplete_orders.enable_campaign('cart', 'camp', at => '2024-03-02 11:00');
SELECT campaign, enabled, not_before FROM pg_temp.campaigns ORDER BY campaign;
-- what is late already is due at once
SELECT * FROM pg_temp.sequence ORDER BY name;
CALL pg_temp.tick('2024-03-02 11:00');
SELECT name, step, due_at FROM pg_temp.mails ORDER BY name;
SELECT at, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('older'));
-- a second call forgets nothing, and may reach further back
SELECT incomplete_orders.enable_campaign('cart', 'camp', '0', '2024-03-02 11:10');
SELECT not_before FROM pg_temp.campaigns WHERE campaign = 'cart';
SELECT incomplete_orders.enable_campaign('cart', 'camp', '25:30', '2024-03-02 11:20');
SELECT name, next_message_at FROM pg_temp.sequence WHERE name = 'older';
RESET ROLE;
SELECT enabled FROM incomplete_orders.campaigns WHERE shop_id = :other;
SET ROLE regress_camp_admin;
-- mistakes
SELECT incomplete_orders.enable_campaign('carts', 'camp');
SELECT incomplete_orders.disable_campaign(NULL, 'camp');
SELECT incomplete_orders.enable_campaign('cart', 'camp', '-1 hour');
SELECT incomplete_orders.enable_campaign('cart', 'camp-other');
SET ROLE regress_camp_app;
SELECT incomplete_orders.enable_campaign('cart', 'camp');
RESET ROLE;

--
-- The sequence, each step at its instant and not before, and then no more.
--
SET ROLE regress_camp_admin;
CALL pg_temp.cart('steps', '2024-04-01 10:00', 'Steps@Example.com');
CALL pg_temp.tick('2024-04-01 11:00');
SELECT * FROM pg_temp.sequence WHERE name = 'steps';
SELECT at, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('steps'));
CALL pg_temp.tick('2024-04-01 11:59:59.999999');
CALL pg_temp.tick('2024-04-01 12:00');
CALL pg_temp.tick('2024-04-01 12:00');
CALL pg_temp.tick('2024-04-02 10:59:59');
CALL pg_temp.tick('2024-04-02 11:00');
CALL pg_temp.tick('2024-04-04 11:00');
CALL pg_temp.tick('2024-04-05 11:00');
SELECT step, campaign, message_type, template, recipient, due_at, status FROM pg_temp.mails WHERE name = 'steps' ORDER BY step;
SELECT status, step, next_message_at FROM pg_temp.sequence WHERE name = 'steps';
SELECT at, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('steps'));
RESET ROLE;
-- each with its event, and only a message's own
SELECT e.event, e.at, e.actor, e.status_after, e.episode, e.campaign, e.step, e.value, q.step AS of_message
FROM incomplete_orders.order_events e JOIN incomplete_orders.messages q ON q.shop_id = e.shop_id AND q.id = e.message_id
WHERE e.order_id = pg_temp.id('steps') ORDER BY e.event_id;
SELECT count(*) FROM incomplete_orders.order_event_tail t WHERE t.order_id = pg_temp.id('steps') AND t.event = 'message_queued';

--
-- Late: nobody gets two at once; the distance of the steps stays.
--
SET ROLE regress_camp_admin;
CALL pg_temp.cart('late', '2024-05-01 10:00', 'late@example.com');
CALL pg_temp.cart('late-lost', '2024-04-20 10:00', 'lost@example.com');
CALL pg_temp.tick('2024-05-11 10:00');
SELECT name, step, due_at FROM pg_temp.mails WHERE name LIKE 'late%' ORDER BY name, step;
SELECT status, step, next_message_at FROM pg_temp.sequence WHERE name = 'late';
CALL pg_temp.tick('2024-05-11 10:01');
CALL pg_temp.tick('2024-05-12 08:59:59');
CALL pg_temp.tick('2024-05-12 09:00');
-- fourteen days idle: lost before the third
CALL pg_temp.tick('2024-05-20 10:00');
SELECT name, step, due_at FROM pg_temp.mails WHERE name LIKE 'late%' ORDER BY name, step;
SELECT at, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('late-lost'));
-- lost or expired already, though it is not written yet
CALL pg_temp.cart('unwritten', '2024-06-01 10:00', 'u@example.com');
CALL pg_temp.tick('2024-06-01 11:00');
SELECT queued, skipped, more FROM incomplete_orders._tick_messages(ARRAY[:shop], '2024-06-15 10:00', 10, 10);
CALL pg_temp.tick('2024-06-15 10:00');
CALL pg_temp.cart('unwritten-2', '2024-06-01 10:00', 'u@example.com');
CALL pg_temp.tick('2024-06-01 11:00');
SELECT queued, skipped FROM incomplete_orders._tick_messages(ARRAY[:shop], '2024-08-01 10:00', 10, 10);
SELECT name, step, reason FROM pg_temp.ledger WHERE name LIKE 'unwritten%' ORDER BY name;
SELECT name, step, next_message_at FROM pg_temp.sequence WHERE name LIKE 'unwritten%' ORDER BY name;
CALL pg_temp.tick('2024-08-20 10:00');
RESET ROLE;

--
-- Each reason alone.  Beside each stands the same without it, which is mailed.
--
SET ROLE regress_camp_admin;
CALL pg_temp.cart('no recipient', '2024-09-01 10:00', phone => '555 1');
CALL pg_temp.cart('bot', '2024-09-01 10:00', 'bot@example.com', context => '{"bot": true}');
CALL pg_temp.cart('no bot', '2024-09-01 10:00', 'nobot@example.com', context => '{"bot": false}');
CALL pg_temp.cart('empty', '2024-09-01 10:00', 'empty@example.com');
CALL pg_temp.cart('suppressed', '2024-09-01 10:00', 'Stop@example.com');
SELECT incomplete_orders.suppress('stop@EXAMPLE.com', 'unsubscribed', 'camp', '2024-09-01 09:00');
CALL pg_temp.cart('bounced', '2024-09-01 10:00', 'gone@example.com');
SELECT incomplete_orders.suppress('gone@example.com', 'hard_bounce', 'camp', '2024-09-01 09:00');
-- that person orders by another cart: after the abandonment, and while this one is open
CALL pg_temp.cart('ordered', '2024-09-01 10:00', 'buyer@example.com');
CALL pg_temp.cart('ordered meanwhile', '2024-09-01 10:00', 'b2@example.com', customer_id => 'c-2');
CALL pg_temp.cart('ordered by phone', '2024-09-01 10:00', 'b3@example.com', phone => '+1 (555) 0103');
CALL pg_temp.cart('buys', '2024-09-01 10:05', 'BUYER@example.com', 'B');
CALL pg_temp.cart('buys-2', '2024-09-01 10:05', 'other2@example.com', 'B', customer_id => 'c-2');
CALL pg_temp.cart('buys-3', '2024-09-01 10:05', 'other3@example.com', 'B', phone => '1-555-0103');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('buys-2'), at => '2024-09-01 10:30');
CALL pg_temp.tick('2024-09-01 11:30');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('buys'), at => '2024-09-01 11:40');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('buys-3'), at => '2024-09-01 11:40');
-- an order of the shop's own, of which only the customer is known; he logs in later
CALL pg_temp.cart('ordered elsewhere', '2024-09-01 10:20', 'b4@example.com');
SELECT count(*) FROM incomplete_orders.record_order('camp-2', customer_id => 'c-4', total => 5, shop => 'camp', at => '2024-09-01 10:22');
CALL pg_temp.cart('ordered elsewhere', '2024-09-01 10:25', customer_id => 'c-4');
CALL pg_temp.cart('sleeps', '2024-09-01 10:20', 'b5@example.com', customer_id => 'c-5');
RESET ROLE;
UPDATE incomplete_orders.open_orders SET items = '[]' WHERE id = pg_temp.id('empty');
SELECT count(*) FROM incomplete_orders.record_order('camp-1', id => NULL, session_id => NULL, customer_id => NULL, total => 5, shop => 'camp', at => '2024-09-01 11:50');
-- none of these says who
SELECT count(*) AS purchases FROM incomplete_orders.person_orders WHERE shop_id = :shop AND ordered_at > '2024-09-01 11:45';
SET ROLE regress_camp_admin;
CALL pg_temp.tick('2024-09-01 12:30');
SELECT name, step, campaign, at, reason FROM pg_temp.ledger WHERE at >= '2024-09-01' ORDER BY name;
SELECT name, step FROM pg_temp.mails WHERE due_at >= '2024-09-01' ORDER BY name;
-- the next step is asked again: the address was found
SELECT incomplete_orders.edit_order(pg_temp.id('no recipient'), '{"email": "found@example.com"}', 1, '2024-09-01 13:00');
SELECT incomplete_orders.unsuppress('gone@example.com', 'camp');
-- as far behind the first decision as the steps are apart
CALL pg_temp.tick('2024-09-02 11:29:59');
CALL pg_temp.tick('2024-09-02 11:30');
SELECT name, step, recipient FROM pg_temp.mails WHERE due_at = '2024-09-02 11:30' AND name IN ('no recipient', 'bounced') ORDER BY name;
-- whoever returns after a purchase may be reminded of what is left then
CALL pg_temp.cart('ordered', '2024-09-03 10:00', 'buyer@example.com', 'AC');
CALL pg_temp.tick('2024-09-03 12:00');
SELECT episode, step FROM pg_temp.mails WHERE name = 'ordered';
RESET ROLE;

-- A cart opened soon after a purchase is mailed only for what is new in it.
SET ROLE regress_camp_admin;
CALL pg_temp.cart('bought', '2024-10-01 10:00', 'again@example.com', 'AB');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('bought'), at => '2024-10-01 10:10');
CALL pg_temp.cart('bought too', '2024-10-01 10:00', 'later@example.com', 'AB');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('bought too'), at => '2024-10-01 10:10');
CALL pg_temp.cart('left behind', '2024-10-01 10:10', 'again@example.com', 'AB');
CALL pg_temp.cart('looked again', '2024-10-06 10:09', 'again@example.com', 'A');
CALL pg_temp.cart('something new', '2024-10-01 10:20', 'again@example.com', 'ABC');
CALL pg_temp.cart('long after', '2024-10-06 10:10', 'later@example.com', 'A');
CALL pg_temp.cart('somebody else', '2024-10-01 10:20', 'else@example.com', 'A');
CALL pg_temp.tick('2024-10-06 13:00');
SELECT name, step, reason FROM pg_temp.ledger WHERE at >= '2024-10-01' AND reason <> 'expired' ORDER BY name;
SELECT name, step FROM pg_temp.mails WHERE due_at >= '2024-10-01' ORDER BY name;
RESET ROLE;

--
-- The text follows the kind, each with its own campaign.  A part that was ordered
-- does not stop the mail for the rest.
--
SET ROLE regress_camp_admin;
CALL pg_temp.cart('kind cart', '2024-11-01 10:00', 'k1@example.com');
CALL pg_temp.cart('kind payment', '2024-11-01 10:00', 'k2@example.com');
CALL pg_temp.cart('kind partial', '2024-11-01 10:00', 'k3@example.com');
SELECT incomplete_orders.mark_payment_failed(pg_temp.id('kind payment'), at => '2024-11-01 10:00');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('kind partial'), '[{"sku": "A", "quantity": 1, "unit_price": 5}]', idempotency_key => '1', at => '2024-11-01 10:00');
CALL pg_temp.tick('2024-11-01 12:00');
SELECT name, campaign, message_type, template FROM pg_temp.mails WHERE due_at >= '2024-11-01' ORDER BY name;
SELECT incomplete_orders.enable_campaign('payment', 'camp', at => '2024-11-01 12:00'), incomplete_orders.enable_campaign('partial', 'camp', at => '2024-11-01 12:00');
CALL pg_temp.tick('2024-11-01 12:00');
CALL pg_temp.tick('2024-11-02 12:00');
CALL pg_temp.tick('2024-11-04 12:00');
SELECT name, step, campaign, message_type, template FROM pg_temp.mails WHERE due_at >= '2024-11-01' ORDER BY name, step;
RESET ROLE;

--
-- What waits is cancelled by whatever ends the abandonment.
--
SET ROLE regress_camp_admin;
DO $$ DECLARE w text; BEGIN
	FOREACH w IN ARRAY '{bought,part,recorded,dismissed,deleted,returns,edits,merged from,merged into,pays,stays}'::text[] LOOP
		CALL pg_temp.cart('end ' || w, '2025-01-01 10:00', replace(w, ' ', '-') || '@example.com');
	END LOOP;
END $$;
CALL pg_temp.tick('2025-01-01 12:00');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('end bought'), at => '2025-01-01 13:00');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('end part'), '[{"sku": "A", "quantity": 1, "unit_price": 5}]', idempotency_key => '1', at => '2025-01-01 13:00');
SELECT count(*) FROM incomplete_orders.record_order('camp-3', session_id => 'end recorded', total => 10, shop => 'camp', at => '2025-01-01 13:00');
SELECT incomplete_orders.dismiss_order(pg_temp.id('end dismissed'), at => '2025-01-01 13:00');
SELECT incomplete_orders.delete_order(pg_temp.id('end deleted'), at => '2025-01-01 13:00');
CALL pg_temp.cart('end returns', '2025-01-01 13:00', skus => 'AB');
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('end pays'), at => '2025-01-01 13:00');
SELECT incomplete_orders.merge_carts('end merged from', 'end merged into', shop => 'camp', at => '2025-01-01 13:00') = pg_temp.id('end merged into') AS merged;
-- an edit of staff is none
SELECT incomplete_orders.edit_order(pg_temp.id('end edits'), '{"name": "N"}', 1, '2025-01-01 13:00');
SELECT name, status, reason FROM pg_temp.mails WHERE name LIKE 'end %' ORDER BY name;
SELECT name, episode, step, at, reason, of_message FROM pg_temp.ledger WHERE name LIKE 'end %' ORDER BY name;
SELECT * FROM pg_temp.sequence WHERE name LIKE 'end %' ORDER BY name;
-- expiry: by tick, and by hand
CALL pg_temp.tick('2025-02-03 10:00');
SELECT name, status, reason FROM pg_temp.mails WHERE name IN ('end stays', 'end edits') AND step = 1 ORDER BY name;
CALL pg_temp.cart('expires', '2025-03-01 10:00', 'x@example.com');
CALL pg_temp.tick('2025-03-01 12:00');
SELECT count(*) FROM incomplete_orders.expire_orders(at => '2025-04-10 10:00');
SELECT status, reason FROM pg_temp.mails WHERE name = 'expires';
SELECT at, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('expires'));
-- paid late
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('expires'), at => '2025-04-11 10:00');
SELECT at, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('expires'));
RESET ROLE;
-- closed rows wait for nothing
SELECT count(*) FROM incomplete_orders.closed_orders WHERE next_message_at IS NOT NULL OR sequence_step <> 0;
SELECT count(*) FROM incomplete_orders.open_orders WHERE (status <> 'abandoned' OR lost_at IS NOT NULL) AND next_message_at IS NOT NULL;
SELECT count(*) FROM incomplete_orders.open_orders WHERE status <> 'abandoned' AND sequence_step <> 0;

--
-- A customer who returns begins a new sequence.
--
SET ROLE regress_camp_admin;
CALL pg_temp.cart('twice', '2025-05-01 10:00', 'twice@example.com');
CALL pg_temp.tick('2025-05-01 12:00');
CALL pg_temp.cart('twice', '2025-05-01 13:00');
CALL pg_temp.tick('2025-05-01 15:00');
CALL pg_temp.tick('2025-05-02 14:00');
SELECT episode, step, due_at, status, reason FROM pg_temp.mails WHERE name = 'twice' ORDER BY episode, step;
SELECT at, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('twice'));

--
-- Turning off cancels what waits; on again goes on behind the last step.
--
SELECT incomplete_orders.disable_campaign('cart', 'camp', '2025-05-02 15:00');
SELECT episode, step, status, reason FROM pg_temp.mails WHERE name = 'twice' ORDER BY episode, step;
SELECT step, next_message_at FROM pg_temp.sequence WHERE name = 'twice';
SELECT at > '2025-05-02 15:00' AS later, step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('twice')) OFFSET 3;
CALL pg_temp.tick('2025-05-04 15:00');
SELECT incomplete_orders.enable_campaign('cart', 'camp', '4 days', '2025-05-04 16:00');
CALL pg_temp.tick('2025-05-04 16:00');
SELECT episode, step, due_at, status FROM pg_temp.mails WHERE name = 'twice' AND episode = 2 ORDER BY step;
-- turned off by the owner's own statement: tick says so, once
CALL pg_temp.cart('by hand', '2025-05-04 10:00', 'h@example.com');
CALL pg_temp.tick('2025-05-04 11:00');
RESET ROLE;
UPDATE incomplete_orders.campaigns SET enabled = false WHERE shop_id = :shop AND campaign = 'cart';
SET ROLE regress_camp_admin;
CALL pg_temp.tick('2025-05-04 16:01');
CALL pg_temp.tick('2025-05-04 17:00');
SELECT step, reason FROM pg_temp.ledger WHERE name = 'by hand';
SELECT incomplete_orders.enable_campaign('cart', 'camp', at => '2025-05-05 10:00');
RESET ROLE;

-- Steps that the owner changed count for what waits once the campaign is turned on again.
BEGIN;
CALL pg_temp.cart('shorter', '2025-05-20 10:00', 'shorter@example.com');
CALL pg_temp.cart('by hand too', '2025-05-20 10:00', 'hand@example.com');
CALL pg_temp.tick('2025-05-20 12:00');
SELECT incomplete_orders.send_recovery_email(pg_temp.id('by hand too'), at => '2025-05-20 12:30') IS NOT NULL AS sent;
SELECT name, next_message_at FROM pg_temp.sequence WHERE name IN ('shorter', 'by hand too') ORDER BY name;
UPDATE incomplete_orders.campaign_steps SET delay = '4 hours' WHERE shop_id = :shop AND campaign = 'cart' AND step = 2;
SELECT incomplete_orders.enable_campaign('cart', 'camp', at => '2025-05-20 13:00');
SELECT name, next_message_at FROM pg_temp.sequence WHERE name IN ('shorter', 'by hand too') ORDER BY name;
ROLLBACK;

-- Steps that the owner puts in another order, or too close together, are never two at once.
BEGIN;
UPDATE incomplete_orders.shops SET min_gap = '0', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id = :shop;
UPDATE incomplete_orders.campaign_steps SET delay = CASE step WHEN 1 THEN interval '2 hours' WHEN 2 THEN '1 hour' ELSE '2 hours' END WHERE shop_id = :shop AND campaign = 'cart';
CALL pg_temp.cart('close', '2025-06-01 10:00', 'close@example.com');
CALL pg_temp.tick('2025-06-01 20:00');
CALL pg_temp.tick('2025-06-01 20:59:59');
CALL pg_temp.tick('2025-06-01 21:00');
CALL pg_temp.tick('2025-06-01 22:00');
SELECT step, due_at FROM pg_temp.mails WHERE name = 'close' ORDER BY step;
-- steps that are gone end the sequence
CALL pg_temp.cart('gone', '2025-06-02 10:00', 'steps@example.com');
CALL pg_temp.tick('2025-06-02 11:00');
DELETE FROM incomplete_orders.campaign_steps WHERE shop_id = :shop AND campaign = 'cart';
CALL pg_temp.tick('2025-06-02 14:00');
SELECT step, next_message_at FROM pg_temp.sequence WHERE name = 'gone';
SELECT step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('gone'));
ROLLBACK;

--
-- What a user's constraint refuses holds up nobody.
--
ALTER TABLE incomplete_orders.messages ADD CONSTRAINT camp_refuses CHECK (recipient <> 'refused@example.com');
SET ROLE regress_camp_admin;
CALL pg_temp.cart('fine 1', '2025-07-01 10:00', 'fine1@example.com');
CALL pg_temp.cart('fine 2', '2025-07-01 10:00', 'fine2@example.com');
CALL pg_temp.cart('fine 3', '2025-07-01 10:00', 'fine3@example.com');
CALL pg_temp.cart('refused', '2025-07-01 10:00', 'refused@example.com');
SET client_min_messages = error;
CALL pg_temp.tick('2025-07-01 12:00');
RESET client_min_messages;
SELECT name, step FROM pg_temp.mails WHERE due_at = '2025-07-01 12:00' ORDER BY name;
SELECT name, step, next_message_at FROM pg_temp.sequence WHERE name = 'refused';
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'hooks';
RESET ROLE;
ALTER TABLE incomplete_orders.messages DROP CONSTRAINT camp_refuses;
SET ROLE regress_camp_admin;
CALL pg_temp.tick('2025-07-01 12:15');
SELECT name, step FROM pg_temp.mails WHERE name = 'refused';
RESET ROLE;

--
-- Messages and their ledger go with their order; purchases when they can stop nothing any more.
--
SET ROLE regress_camp_admin;
CALL pg_temp.cart('kept', '2025-08-01 10:00', 'kept@example.com');
CALL pg_temp.cart('swept', '2025-08-01 10:00', 'swept@example.com');
CALL pg_temp.tick('2025-08-01 12:00');
SELECT incomplete_orders.dismiss_order(pg_temp.id('swept'), at => '2025-08-01 13:00');
SELECT n > 0 AS some FROM incomplete_orders.cleanup(30, at => '2025-09-15') WHERE action = 'delete dismissed';
RESET ROLE;
SELECT name, (SELECT count(*) FROM pg_temp.mails q WHERE q.name = m.name) AS messages, (SELECT count(*) FROM pg_temp.ledger k WHERE k.name = m.name) AS ledger
FROM made m WHERE name IN ('kept', 'swept') ORDER BY name;
-- expiry and attribution window of the shop: 35 days
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('kept'), at => '2025-08-02 10:00');
SELECT incomplete_orders._retire_persons(:shop, '2025-09-06 10:00');
SELECT ordered_at FROM incomplete_orders.person_orders WHERE shop_id = :shop;
SELECT incomplete_orders._retire_persons(:shop, '2025-09-06 10:00:01');
SELECT ordered_at FROM incomplete_orders.person_orders WHERE shop_id = :shop;
-- messages to a person are counted for 30 days, from when they were sent, which may be days later
SELECT incomplete_orders._retire_persons(:shop, '2025-09-07 12:00');
SELECT count(*) > 0 AS kept FROM incomplete_orders.person_messages WHERE shop_id = :shop;
SELECT incomplete_orders._retire_persons(:shop, '2025-09-07 12:00:01');
SELECT count(*) > 0 AS kept FROM incomplete_orders.person_messages WHERE shop_id = :shop;

DROP VIEW pg_temp.sequence, pg_temp.mails, pg_temp.ledger, pg_temp.campaigns;
SELECT count(*) > 0 AS removed FROM incomplete_orders.delete_shop('camp', false);
SELECT count(*) > 0 AS removed FROM incomplete_orders.delete_shop('camp-other', false);
DROP OWNED BY regress_camp_admin, regress_camp_app;
DROP ROLE regress_camp_admin;
DROP ROLE regress_camp_app;

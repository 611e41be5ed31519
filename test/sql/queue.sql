-- The queue: what a claim gives, what it refuses and why, what becomes of answers.
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('q-a', 'Shop A', 'EUR') AS a \gset
SELECT incomplete_orders.create_shop('q-b', 'Shop B') AS b \gset
-- Consent, gaps and quiet hours have a test of their own (rules).
UPDATE incomplete_orders.shops SET consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id IN (:a, :b);
SELECT incomplete_orders.configure_shop('q-a', '{"base_url": "https://www.shop-a.example/", "from_email": "orders@mail.shop-a.example", "restore_url": "https://www.shop-a.example/cart?t={token}"}');
INSERT INTO incomplete_orders.templates (shop_id, template, locale, subject, preheader, headline, body, button, footer)
SELECT s, 'q-words', l, CASE s WHEN 0 THEN 'default' ELSE 'own' END || ' ' || l || ' subject', 'preheader', 'headline', 'body', 'button', 'footer'
FROM (VALUES (0, 'en'), (0, 'de'), (:a, 'de-AT'), (:a, 'fr')) v (s, l);
CREATE SCHEMA q;
-- an abandoned order; a message for it that is due
CREATE FUNCTION q.cart(session text, shop text DEFAULT 'q-a', email text DEFAULT 'ann@example.com', context jsonb DEFAULT NULL,
	items text DEFAULT '[{"sku":"A","name":"Tea","quantity":2,"unit_price":"19.9","url":"https://x.example/a"},{"sku":"B","quantity":1,"unit_price":"0.005"}]') RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
	id uuid := incomplete_orders.capture_cart(session, items::incomplete_orders.line_items, email => email, name => 'Ann', context => context, shop => shop);
BEGIN
	PERFORM incomplete_orders.mark_abandoned(id);
	RETURN id;
END
$$;
CREATE FUNCTION q.queue(order_id uuid, step integer DEFAULT 1, due_at timestamptz DEFAULT now() - interval '1 minute', campaign text DEFAULT NULL) RETURNS uuid
LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.messages (shop_id, id, due_at, order_id, root_id, episode, step, campaign, message_type, template, recipient, queued_at, give_up_at)
	SELECT o.shop_id, incomplete_orders._new_id(o.shop_id), $3, o.id, o.root_id, o.episode, $2, $4, 'abandoned_cart', 'q-words', 'old@example.com', now(), now() + interval '5 days'
	FROM incomplete_orders.open_orders o WHERE o.id = $1 RETURNING id
$$;
CREATE FUNCTION q.claim(batch integer DEFAULT 100, worker text DEFAULT 'w') RETURNS SETOF record LANGUAGE sql AS $$
	SELECT c.message_id, c.token, c.shop, c.recipient, c.message FROM incomplete_orders.claim_messages(worker, batch) c
$$;
CREATE VIEW q.messages AS
SELECT o.session_id AS session, m.step, m.status, m.reason, m.attempts, m.token, m.response, m.id, m.order_id, m.shop_id, m.due_at
FROM incomplete_orders.messages m LEFT JOIN (SELECT id, session_id FROM incomplete_orders.open_orders UNION ALL SELECT id, session_id FROM incomplete_orders.closed_orders) o ON o.id = m.order_id;
CREATE VIEW q.skips AS
SELECT m.session, s.step, s.reason FROM incomplete_orders.message_skips s JOIN q.messages m ON m.id = s.message_id;
CREATE VIEW q.events AS
SELECT e.event, m.session, e.step, e.reason_code, e.actor IS NULL AS by_clock FROM incomplete_orders.order_events e JOIN q.messages m ON m.id = e.message_id;
CREATE FUNCTION q.stale() RETURNS bigint LANGUAGE sql AS $$ SELECT coalesce(sum((report ->> 'n')::bigint), 0)::bigint FROM incomplete_orders.heartbeats WHERE job = 'stale_tokens' $$;
-- what a lease or a wait would bring by itself
CREATE FUNCTION q.make_due(session text) RETURNS void LANGUAGE sql AS $$
	UPDATE incomplete_orders.messages m SET due_at = now() - interval '1 second' FROM q.messages v WHERE v.id = m.id AND v.session = $1 AND m.status IN ('queued', 'sending')
$$;

CREATE FUNCTION q.refused(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '(id)');
END
$$;
-- what other tests left
DELETE FROM incomplete_orders.messages;

-- Nothing is due, not even what is queued for later.
SELECT q.queue(q.cart('q-later'), due_at => now() + interval '1 hour') IS NOT NULL AS queued;
SELECT count(*) AS claimed FROM incomplete_orders.claim_messages('w');
SELECT incomplete_orders._next_message_due() = now() + interval '1 hour' OR incomplete_orders._next_message_due() > now() + interval '59 minutes' AS in_an_hour;

-- One message with all that the mail is made of.
SELECT q.queue(q.cart('q-1', context => '{"locale": "de_AT"}')) AS m1 \gset
SELECT incomplete_orders._next_message_due() < now() AS one_is_due;
SELECT c.message_id AS id, c.token, c.shop, c.recipient, c.message FROM incomplete_orders.claim_messages('w') c \gset
SELECT :'id' = :'m1' AS that_one, :'token' AS token, :'shop' AS shop, :'recipient' AS recipient;
SELECT part, jsonb_pretty(value - CASE part WHEN 'order' THEN '{id,reference,expires_at}'::text[] WHEN 'message' THEN '{id,queued_at,mail_message_id}' ELSE '{}' END) AS value
FROM jsonb_each(:'message') e (part, value) WHERE part <> 'links' ORDER BY part COLLATE "C";
SELECT :'message'::jsonb #>> '{message,mail_message_id}' = '<' || :'m1' || '@mail.shop-a.example>' AS mail_message_id,
	:'message'::jsonb #>> '{message,id}' = :'m1' AS id, (:'message'::jsonb #>> '{message,queued_at}')::timestamptz = m.queued_at AS queued_at,
	:'message'::jsonb #>> '{order,id}' = o.id::text AS order_id, :'message'::jsonb #>> '{order,reference}' = o.reference AS reference,
	(:'message'::jsonb #>> '{order,expires_at}')::timestamptz = o.expires_at AS expires_at
FROM incomplete_orders.messages m JOIN incomplete_orders.open_orders o ON o.id = m.order_id WHERE m.id = :'m1';
SELECT :'message'::jsonb -> 'links' = to_jsonb(t) AS links FROM incomplete_orders._link_tokens(:'m1', now()) t;
-- The address is that of the order as it is now, and stays with the message.
SELECT status, attempts, token, recipient, claimed_by, mail_message_id LIKE '<%@mail.shop-a.example>' AS mail_message_id, due_at BETWEEN now() + interval '4 minutes' AND clock_timestamp() + interval '5 minutes' AS leased
FROM incomplete_orders.messages WHERE id = :'m1';
SELECT count(*) AS claimed_again FROM incomplete_orders.claim_messages('other');

-- A lease that ended: the same mail once more, with another token; the first one is stale.
SELECT q.make_due('q-1');
SELECT c.token AS token2, c.message = jsonb_set(:'message', '{message,attempt}', '2') AS same_mail FROM incomplete_orders.claim_messages('other', lease => '1 h') c \gset
\echo :token2 :same_mail
SELECT incomplete_orders.ack_message(:'id', :token, 'stale') AS ack, incomplete_orders.fail_message(:'id', :token, true, 'stale') AS fail, incomplete_orders.extend_message(:'id', :token, '1 min') AS extend,
	incomplete_orders.extend_message(:'id', :token, '0') AS give_back, q.stale() AS counted;
SELECT q.stale() AS counted;
SELECT status, attempts, token, response, claimed_by, due_at > now() + interval '59 minutes' AS leased FROM incomplete_orders.messages WHERE id = :'m1';
SELECT incomplete_orders.extend_message(:'id', :token2, '2 h') AS extended;
SELECT due_at > now() + interval '119 minutes' AS leased FROM incomplete_orders.messages WHERE id = :'m1';

-- Sent: the message, its order, one event; once more changes nothing.
SELECT incomplete_orders.ack_message(:'id', :token2, '250 2.0.0 queued') AS ack;
CREATE TABLE q.before AS SELECT m.*, o.recovery_attempts, o.last_recovery_at FROM incomplete_orders.messages m JOIN incomplete_orders.open_orders o ON o.id = m.order_id WHERE m.id = :'m1';
SELECT status, sent_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS sent_at, response, recovery_attempts, last_recovery_at = sent_at AS last_recovery_at FROM q.before;
SELECT incomplete_orders.ack_message(:'id', :token2, '250 again') AS again;
SELECT count(*) AS changed FROM (TABLE q.before EXCEPT SELECT m.*, o.recovery_attempts, o.last_recovery_at FROM incomplete_orders.messages m JOIN incomplete_orders.open_orders o ON o.id = m.order_id WHERE m.id = :'m1') c;
SELECT * FROM q.events;
SELECT count(*) AS in_the_tail FROM incomplete_orders.order_event_tail WHERE event = 'message_sent' AND shop_id = :a;
SELECT incomplete_orders.fail_message(:'id', :token2, true, 'x') AS fail_after_ack, incomplete_orders.extend_message(:'id', :token2, '1 min') AS extend_after_ack;
SELECT status, response FROM incomplete_orders.messages WHERE id = :'m1';

-- An ack goes through the executor where something of the user's asks for it: the same rows.
CREATE TABLE q.pair AS SELECT n, q.queue(q.cart('q-pair-' || n, context => '{"device": "phone", "source": "mail"}'), 3, campaign => 'cart') AS id FROM generate_series(1, 2) n;
UPDATE incomplete_orders.messages m SET variant = 'b' FROM q.pair p WHERE p.id = m.id;
UPDATE q.pair p SET n = n FROM incomplete_orders.claim_messages('w') c WHERE c.message_id = p.id;
SELECT incomplete_orders.ack_message(id, 1, '250 ok') FROM q.pair WHERE n = 1;
CREATE TABLE q.fired (relation text, n integer);
CREATE FUNCTION q.notice_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO q.fired VALUES (TG_RELNAME, 1); RETURN NEW; END $$;
CREATE TRIGGER q_notice BEFORE UPDATE ON incomplete_orders.messages FOR EACH ROW EXECUTE FUNCTION q.notice_update();
CREATE TRIGGER q_notice AFTER UPDATE OF recovery_attempts ON incomplete_orders.open_orders FOR EACH ROW EXECUTE FUNCTION q.notice_update();
SELECT incomplete_orders.ack_message(id, 1, '250 ok') FROM q.pair WHERE n = 2;
DROP TRIGGER q_notice ON incomplete_orders.messages;
DROP TRIGGER q_notice ON incomplete_orders.open_orders;
SELECT relation, sum(n) FROM q.fired GROUP BY relation ORDER BY relation;
CREATE FUNCTION q.bare(r jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT r - '{id,order_id,root_id,message_id,event_id,recorded_at,at,abandoned_at,created_at,due_at,queued_at,give_up_at,sent_at,mail_message_id,reference,session_id,next_action_at,expires_at,last_activity_at,last_recovery_at}'::text[] $$;
SELECT what, count(*) AS rows, count(DISTINCT r) AS kinds FROM (
	SELECT 'message' AS what, q.bare(to_jsonb(m)) AS r FROM incomplete_orders.messages m JOIN q.pair USING (id)
	UNION ALL SELECT 'order', q.bare(to_jsonb(o)) FROM incomplete_orders.open_orders o JOIN incomplete_orders.messages m ON m.order_id = o.id JOIN q.pair p ON p.id = m.id
	UNION ALL SELECT 'event', q.bare(to_jsonb(e)) FROM incomplete_orders.order_events e JOIN q.pair p ON p.id = e.message_id WHERE e.event = 'message_sent'
	UNION ALL SELECT 'tail', q.bare(to_jsonb(t)) FROM incomplete_orders.order_event_tail t JOIN incomplete_orders.messages m USING (order_id) JOIN q.pair p ON p.id = m.id WHERE t.event = 'message_sent') x
GROUP BY what ORDER BY what;
SELECT campaign, step, variant, kind, currency, value, item_count, device, source, status_before, status_after, furthest_step, abandoned_at IS NOT NULL AS abandoned_at
FROM incomplete_orders.order_events e JOIN q.pair p ON p.id = e.message_id AND n = 1 WHERE e.event = 'message_sent';

-- Words: the shop's own in the locale, the default in it, the language, English; a subject by hand wins.
SELECT q.queue(q.cart('q-words-' || n, context => jsonb_build_object('locale', l))) IS NOT NULL AS queued
FROM (VALUES (1, 'de-DE'), (2, 'fr'), (3, 'fr-CA'), (4, 'pt-BR'), (5, 'en'), (6, '../x'), (7, 'de-AT')) v (n, l);
UPDATE incomplete_orders.messages SET subject = 'By hand' WHERE id = (SELECT id FROM q.messages WHERE session = 'q-words-7');
SELECT m.session, c.message #>> '{message,locale}' AS locale, c.message #>> '{text,subject}' AS subject
FROM (SELECT * FROM incomplete_orders.claim_messages('w')) c JOIN q.messages m ON m.id = c.message_id ORDER BY m.session;

-- The lines: twenty at most, without what was filled; other shops and addresses.
SELECT q.queue(q.cart('q-many', items => (SELECT jsonb_agg(jsonb_build_object('sku', 'S' || lpad(i::text, 2, '0'), 'quantity', 2, 'unit_price', '1.25')) FROM generate_series(1, 23) i)::text)) IS NOT NULL AS queued;
SELECT jsonb_array_length(c.message #> '{order,items}') AS lines, c.message #>> '{order,more_items}' AS more, c.message #>> '{order,item_count}' AS item_count, c.message #>> '{order,total}' AS total,
	c.message #> '{order,items,0}' AS first FROM incomplete_orders.claim_messages('w') c;
SELECT incomplete_orders.capture_cart('q-part', '[{"sku":"A","quantity":3,"unit_price":"10"},{"sku":"B","quantity":1,"unit_price":"4"}]', email => 'part@example.com', shipping => 5, shop => 'q-b') AS id \gset
SELECT c.part FROM incomplete_orders.convert_order(:'id', '[{"sku":"A","quantity":1,"unit_price":"10"},{"sku":"B","quantity":1,"unit_price":"4"}]', idempotency_key => 'k') c;
SELECT incomplete_orders.mark_abandoned(:'id');
SELECT q.queue(:'id') IS NOT NULL AS queued;
SELECT c.shop, c.message #>> '{order,kind}' AS kind, c.message #>> '{order,total}' AS total, c.message #>> '{order,items}' AS items,
	c.message #>> '{message,mail_message_id}' LIKE '<%@incomplete-orders.invalid>' AS domain FROM incomplete_orders.claim_messages('w') c;
SELECT incomplete_orders.configure_shop('q-b', '{"base_url": "https://shop-b.example:8443/x"}');
SELECT q.queue(q.cart('q-domain', 'q-b')) IS NOT NULL AS queued;
SELECT c.message #>> '{message,mail_message_id}' LIKE '<%@shop-b.example>' AS domain FROM incomplete_orders.claim_messages('w') c;

-- Not claimed any more, each for its reason, whatever the cancelling itself may have missed.
DELETE FROM incomplete_orders.messages;
CREATE TABLE q.orders AS SELECT n, q.cart('q-' || n, email => n || '@example.com') AS id FROM unnest(ARRAY['good', 'back', 'again', 'bot', 'silent', 'lost', 'lost-by-hand', 'unsubscribed', 'ordered',
	'before', 'dismissed', 'deleted', 'converted', 'gone', 'old', 'tired']) n;
SELECT q.queue(id, campaign => CASE WHEN n = 'lost' THEN 'cart' END) IS NOT NULL AS queued, count(*) FROM q.orders GROUP BY 1;
SELECT count(incomplete_orders.capture_cart('q-' || n, '[{"sku":"A","quantity":1,"unit_price":"1"}]', shop => 'q-a')) AS returned FROM unnest(ARRAY['back', 'again']) n;
SELECT incomplete_orders.mark_abandoned(id) FROM q.orders WHERE n = 'again';
UPDATE incomplete_orders.open_orders o SET bot = true FROM q.orders q WHERE q.id = o.id AND n = 'bot';
UPDATE incomplete_orders.open_orders o SET email = NULL FROM q.orders q WHERE q.id = o.id AND n = 'silent';
UPDATE incomplete_orders.open_orders o SET lost_at = now() FROM q.orders q WHERE q.id = o.id AND n LIKE 'lost%';
INSERT INTO incomplete_orders.suppressions (shop_id, person, scope, reason, at)
SELECT :a, (incomplete_orders._person_keys(:a, NULL, 'UNSUBSCRIBED@example.com', NULL))[1], 'recovery', 'unsubscribed', now();
-- the same address in another shop is another person
INSERT INTO incomplete_orders.suppressions (shop_id, person, scope, reason, at)
SELECT :b, (incomplete_orders._person_keys(:b, NULL, 'good@example.com', NULL))[1], 'recovery', 'unsubscribed', now();
INSERT INTO incomplete_orders.person_orders (shop_id, person, ordered_at, order_id)
SELECT :a, k, o.abandoned_at, o.id FROM q.orders q JOIN incomplete_orders.open_orders o USING (id), unnest(incomplete_orders._person_keys(:a, NULL, o.email, NULL)) k WHERE n = 'ordered'
UNION ALL SELECT :a, k, o.abandoned_at - interval '1 microsecond', o.id FROM q.orders q JOIN incomplete_orders.open_orders o USING (id), unnest(incomplete_orders._person_keys(:a, NULL, o.email, NULL)) k WHERE n = 'before';
SELECT incomplete_orders.dismiss_order(id) FROM q.orders WHERE n = 'dismissed';
SELECT incomplete_orders.delete_order(id) FROM q.orders WHERE n = 'deleted';
SELECT c.part FROM q.orders, incomplete_orders.convert_order(id) c WHERE n = 'converted';
-- closed, or gone, behind the back of everything that would have cancelled
BEGIN;
SELECT incomplete_orders._allow_purge();
DELETE FROM incomplete_orders.open_orders o USING q.orders q WHERE q.id = o.id AND n = 'gone';
COMMIT;
UPDATE incomplete_orders.messages m SET give_up_at = now() FROM q.orders q WHERE q.id = m.order_id AND n = 'old';
UPDATE incomplete_orders.messages m SET attempts = 16 FROM q.orders q WHERE q.id = m.order_id AND n = 'tired';
UPDATE incomplete_orders.messages m SET status = 'queued', reason = NULL FROM q.orders q WHERE q.id = m.order_id AND status = 'cancelled';
DELETE FROM incomplete_orders.message_skips WHERE shop_id = :a;
SELECT c.recipient FROM incomplete_orders.claim_messages('w') c ORDER BY 1;
SELECT n, m.status, m.reason, m.attempts, s.reason AS ledger, s.step FROM q.orders JOIN incomplete_orders.messages m ON m.order_id = q.orders.id LEFT JOIN incomplete_orders.message_skips s ON s.message_id = m.id
ORDER BY n COLLATE "C";
-- what is dead is in the history
SELECT e.event, n, e.reason_code FROM incomplete_orders.order_events e JOIN q.orders ON q.orders.id = e.order_id WHERE e.event = 'message_failed' ORDER BY n;

-- What was cancelled while it was being sent did leave: the ack says so, and the ledger still why it should not have.
SELECT q.queue(q.cart('q-2'), 2) AS m2 \gset
SELECT c.token FROM incomplete_orders.claim_messages('w') c \gset
SELECT c.part FROM incomplete_orders.convert_order((SELECT order_id FROM q.messages WHERE id = :'m2')) c;
SELECT status, reason FROM q.messages WHERE id = :'m2';
SELECT incomplete_orders.extend_message(:'m2', :token, '1 min') AS not_to_be_sent, incomplete_orders.extend_message(:'m2', :token, '0') AS nor_given_back,
	incomplete_orders.fail_message(:'m2', :token, false, '421 later') AS fail;
SELECT status, reason, response FROM q.messages WHERE id = :'m2';
SELECT incomplete_orders.ack_message(:'m2', :token, '250 ok') AS ack;
SELECT status, reason, response FROM q.messages WHERE id = :'m2';
SELECT event, step FROM q.events WHERE session = 'q-2';
SELECT recovery_attempts, last_recovery_at IS NOT NULL AS last_recovery_at FROM incomplete_orders.closed_orders WHERE session_id = 'q-2';
SELECT step, reason FROM q.skips WHERE session = 'q-2';

-- Failures that pass: the wait doubles from a minute to six hours, a quarter more or less.
SELECT q.queue(q.cart('q-3', email => 'three@example.com')) AS m3 \gset
CREATE TABLE q.waits (attempt integer, wait interval);
DO $$
DECLARE
	c record;
BEGIN
	FOR i IN 1..15 LOOP
		SELECT * INTO STRICT c FROM incomplete_orders.claim_messages('w');
		IF NOT incomplete_orders.fail_message(c.message_id, c.token, false, '451 4.3.0 later') THEN
			RAISE 'attempt % was not taken back', i;
		END IF;
		-- once more is no other failure
		IF NOT incomplete_orders.fail_message(c.message_id, c.token, false, '451 4.3.0 later') THEN
			RAISE 'attempt % was not taken back again', i;
		END IF;
		INSERT INTO q.waits SELECT m.attempts, m.due_at - clock_timestamp() FROM incomplete_orders.messages m WHERE m.id = c.message_id AND m.status = 'queued' AND m.response = '451 4.3.0 later';
		PERFORM q.make_due('q-3');
	END LOOP;
END
$$;
SELECT count(*) AS waits, bool_and(wait BETWEEN 0.75 * w - interval '10 seconds' AND 1.25 * w) AS in_bounds, count(DISTINCT wait / extract(epoch FROM w)) > 5 AS jitter, max(w) AS longest
FROM q.waits, LATERAL (SELECT least(interval '1 minute' * 2 ^ (attempt - 1), interval '6 hours')) l (w);
-- the sixteenth is the last, and an ack with its token still counts
SELECT c.token FROM incomplete_orders.claim_messages('w') c \gset
SELECT incomplete_orders.fail_message(:'m3', :token, false, '451 4.3.0 never') AS failed;
SELECT status, reason, attempts, token, response FROM q.messages WHERE id = :'m3';
SELECT incomplete_orders.ack_message(:'m3', :token, '250 after all') AS ack;
SELECT status, reason, response FROM q.messages WHERE id = :'m3';
SELECT event, reason_code, by_clock FROM q.events WHERE session = 'q-3' ORDER BY event;
-- five days are over
SELECT q.queue(q.cart('q-4', email => 'four@example.com')) AS m4 \gset
SELECT c.token FROM incomplete_orders.claim_messages('w') c \gset
UPDATE incomplete_orders.messages SET give_up_at = now() WHERE id = :'m4';
SELECT incomplete_orders.fail_message(:'m4', :token, false, '451 later') AS failed;
SELECT status, reason, attempts FROM q.messages WHERE id = :'m4';

-- Given back at once, as if never tried; again changes nothing.
SELECT q.queue(q.cart('q-5', email => 'five@example.com')) AS m5 \gset
SELECT c.token FROM incomplete_orders.claim_messages('w') c \gset
SELECT incomplete_orders.extend_message(:'m5', :token, '0') AS back, incomplete_orders.extend_message(:'m5', :token, '0') AS back_again, incomplete_orders.extend_message(:'m5', :token, '1 min') AS not_held;
SELECT status, attempts, token, due_at <= clock_timestamp() AS due FROM q.messages WHERE id = :'m5';
SELECT c.message_id = :'m5' AS claimed, c.token - :token AS later, c.message #>> '{message,attempt}' AS attempt, c.token AS token FROM incomplete_orders.claim_messages('w') c \gset
\echo :claimed :later :attempt
-- a reply of any length, cut
SELECT incomplete_orders.fail_message(:'m5', :token, true, repeat('x', 5000)) AS failed;
SELECT status, reason, length(response) FROM q.messages WHERE id = :'m5';

-- Replies that say there is no such recipient suppress the address, others do not.
CREATE TABLE q.replies AS SELECT n, reply, q.cart('q-r' || n, email => 'r' || n || '@example.com') AS id FROM (VALUES
	(1, '550 5.1.1 <r1@example.com>: no such user'), (2, '550-5.1.10 null MX'), (3, '5.1.2 no such host'), (4, '550 no such user'), (5, '550 5.7.1 spam'),
	(6, '553 5.1.8 sender address rejected'), (7, '550 5.1.7 bad sender'), (8, '554 5.1.'), (9, '450 4.1.1 later'), (10, '550 from 5.1.1.1'), (11, NULL)) v (n, reply);
SELECT q.queue(id) IS NOT NULL AS queued, count(*) FROM q.replies GROUP BY 1;
-- another message to the first address waits, in another order; and one in another shop
SELECT q.queue(q.cart('q-same', email => 'R1@example.com'), due_at => now() + interval '1 day') IS NOT NULL AS queued;
UPDATE incomplete_orders.messages SET recipient = 'R1@example.com' WHERE id = (SELECT id FROM q.messages WHERE session = 'q-same');
SELECT q.queue(q.cart('q-elsewhere', 'q-b', email => 'r1@example.com'), due_at => now() + interval '1 day') IS NOT NULL AS queued;
SELECT bool_and(incomplete_orders.fail_message(c.message_id, c.token, true, r.reply)) AS failed, count(*) FROM incomplete_orders.claim_messages('w') c JOIN incomplete_orders.messages m ON m.id = c.message_id JOIN q.replies r ON r.id = m.order_id;
SELECT n, r.reply, m.status, m.reason, m.bounced_at IS NOT NULL AS bounced, (SELECT string_agg(e.event, ' ' ORDER BY e.event) FROM incomplete_orders.order_events e WHERE e.message_id = m.id) AS events,
	(SELECT s.reason FROM incomplete_orders.suppressions s WHERE s.shop_id = m.shop_id AND s.person = ANY (incomplete_orders._person_keys(m.shop_id, NULL, m.recipient, NULL))) AS suppressed,
	(SELECT string_agg(s.reason, ' ') FROM incomplete_orders.message_skips s WHERE s.message_id = m.id) AS ledger
FROM q.replies r JOIN incomplete_orders.messages m ON m.order_id = r.id ORDER BY n;
SELECT session, status, reason FROM q.messages WHERE session IN ('q-same', 'q-elsewhere') ORDER BY session;

-- also when the message was cancelled meanwhile
SELECT q.queue(q.cart('q-9', email => 'nine@example.com')) AS m9 \gset
SELECT c.token FROM incomplete_orders.claim_messages('w') c \gset
SELECT incomplete_orders.dismiss_order((SELECT order_id FROM q.messages WHERE id = :'m9'));
SELECT incomplete_orders.fail_message(:'m9', :token, true, '550 5.1.1 no such user') AS failed;
SELECT m.status, m.reason, m.bounced_at IS NOT NULL AS bounced, (SELECT s.reason FROM incomplete_orders.suppressions s WHERE s.person = ANY (incomplete_orders._person_keys(:a, NULL, 'nine@example.com', NULL))) AS suppressed
FROM incomplete_orders.messages m WHERE m.id = :'m9';
SELECT event FROM q.events WHERE session = 'q-9';

-- Dead ones: seen, tried again, discarded.
SELECT d.shop, d.recipient, d.message_type, d.attempts, d.response, d.reason, d.dead_since BETWEEN now() - interval '1 minute' AND clock_timestamp() AS dead_since
FROM incomplete_orders.dead_messages('q-a') d WHERE d.reason = 'rejected' AND d.response ~ '^55' ORDER BY d.response COLLATE "C";
SELECT m.id AS dead FROM q.messages m WHERE m.session = 'q-r5' \gset
SELECT incomplete_orders.retry_message(:'dead') AS retried, incomplete_orders.retry_message(:'dead') AS again, incomplete_orders.discard_message(:'dead') AS discarded;
SELECT c.message_id = :'dead' AS claimed, c.message #>> '{message,attempt}' AS attempt, c.token FROM incomplete_orders.claim_messages('w') c;
SELECT token, give_up_at > now() + interval '119 hours' AS five_more_days, reason FROM incomplete_orders.messages WHERE id = :'dead';
SELECT incomplete_orders.ack_message(:'dead', 2, '250 ok') AS ack;
SELECT m.id AS dead FROM q.messages m WHERE m.session = 'q-r6' \gset
SELECT incomplete_orders.discard_message(:'dead') AS discarded, incomplete_orders.discard_message(:'dead') AS again, incomplete_orders.retry_message(:'dead') AS retried;
SELECT status, reason FROM q.messages WHERE id = :'dead';
SELECT reason FROM q.skips WHERE session = 'q-r6' ORDER BY reason;
-- one whose address is suppressed is not sent by trying again
SELECT m.id AS dead FROM q.messages m WHERE m.session = 'q-r1' \gset
SELECT incomplete_orders.retry_message(:'dead') AS retried;
SELECT count(*) AS claimed FROM incomplete_orders.claim_messages('w');
SELECT status, reason FROM q.messages WHERE id = :'dead';

-- Depth and age by state.
SELECT s.shop, s.status, s.messages, s.oldest_due_at = (SELECT min(m.due_at) FROM incomplete_orders.messages m JOIN incomplete_orders.shops h USING (shop_id) WHERE h.shop = s.shop AND m.status::text = s.status) AS oldest
FROM incomplete_orders.queue_status('*') s WHERE s.shop LIKE 'q-%' ORDER BY 1, 2;

-- Never claimed: no token fits, not even 0.
SELECT q.queue(q.cart('q-6', email => 'six@example.com')) AS m6 \gset
SELECT incomplete_orders.ack_message(:'m6', 0, 'x') AS ack, incomplete_orders.fail_message(:'m6', 0, true, 'x') AS fail, incomplete_orders.extend_message(:'m6', 0, '0') AS extend;
SELECT status FROM q.messages WHERE id = :'m6';
SELECT count(*) FROM incomplete_orders.claim_messages('w');

-- Shops take turns: the large one does not delay the others, and all gets done.
SELECT count(q.queue(q.cart('q-big-' || i, email => 'big' || i || '@example.com'), due_at => now() - interval '1 day')) AS big FROM generate_series(1, 40) i;
SELECT count(q.queue(q.cart('q-small-' || i, 'q-b', email => 'small' || i || '@example.com'))) AS small FROM generate_series(1, 3) i;
CREATE TABLE q.turns (turn integer, shop text, id uuid);
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		INSERT INTO q.turns SELECT i, c.shop, c.message_id FROM incomplete_orders.claim_messages('w', 4) c;
		EXIT WHEN NOT FOUND;
	END LOOP;
END
$$;
SELECT shop, count(*), count(DISTINCT id) AS different, max(turn) <= 3 AS at_once FROM q.turns GROUP BY shop ORDER BY shop;
-- what comes in before the place that was reached is found, too
SELECT count(q.queue(q.cart('q-late-' || i, email => 'late' || i || '@example.com'))) AS late FROM generate_series(1, 2) i;
SELECT count(*) FROM incomplete_orders.claim_messages('w', 1);
SELECT q.queue(q.cart('q-early', email => 'early@example.com'), due_at => now() - interval '10 days') IS NOT NULL AS queued;
SELECT count(*) > 0 AS goes_on FROM incomplete_orders.claim_messages('w');
SELECT count(*) <= 1 AS used_up FROM incomplete_orders.claim_messages('w');
SELECT status FROM q.messages WHERE session = 'q-early';
-- many of one instant
SELECT count(q.queue(q.cart('q-tie-' || i, email => 'tie' || i || '@example.com'), due_at => '2026-01-01 12:00Z')) AS ties FROM generate_series(1, 12) i;
SELECT count(DISTINCT c.message_id) FROM generate_series(1, 4) n, LATERAL (SELECT c.message_id FROM incomplete_orders.claim_messages('w' || n, 3) c) c;

-- Roles: a sender claims and answers for its shop alone; the address of a dead one is for staff.
CREATE ROLE regress_q_sender;
CREATE ROLE regress_q_admin_b;
CREATE ROLE regress_q_app;
SELECT incomplete_orders.grant_to('regress_q_sender', 'sender', 'q-a');
SELECT incomplete_orders.grant_to('regress_q_admin_b', 'admin', 'q-b');
SELECT incomplete_orders.grant_to('regress_q_app', 'app', 'q-a');
GRANT USAGE ON SCHEMA q TO PUBLIC;
SELECT q.queue(q.cart('q-7', email => 'seven@example.com')) AS m7 \gset
SET ROLE regress_q_admin_b;
SELECT incomplete_orders._next_message_due() > now() AS nothing_is_due;
SELECT count(*) AS claimed FROM incomplete_orders.claim_messages('w');
SELECT q.refused(format('SELECT incomplete_orders.ack_message(%L, 1, ''x'')', :'m7'));
SELECT q.refused(format('SELECT incomplete_orders.fail_message(%L, 1, true, ''x'')', :'m7'));
SELECT q.refused(format('SELECT incomplete_orders.extend_message(%L, 1, ''0'')', :'m7'));
SELECT q.refused(format('SELECT incomplete_orders.retry_message(%L)', :'m7'));
SELECT q.refused(format('SELECT incomplete_orders.discard_message(%L)', :'m7'));
SELECT * FROM incomplete_orders.dead_messages('q-a');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM incomplete_orders.queue_status('q-a');
SELECT DISTINCT d.shop FROM incomplete_orders.dead_messages('*') d;
SELECT DISTINCT s.shop FROM incomplete_orders.queue_status('*') s;
SET ROLE regress_q_app;
SELECT count(*) FROM incomplete_orders.claim_messages('w');
SET ROLE regress_q_sender;
SELECT incomplete_orders._next_message_due() < now() AS due;
SELECT c.message_id = :'m7' AS claimed, c.recipient, c.token AS token FROM incomplete_orders.claim_messages('w') c \gset
\echo :claimed :recipient
SELECT incomplete_orders.fail_message(:'m7', :token, true, '550 no') AS failed;
SELECT d.recipient IS NULL AS hidden, d.message_type FROM incomplete_orders.dead_messages() d WHERE d.message_id = :'m7';
SELECT incomplete_orders.retry_message(:'m7', now() + interval '1 day');
SELECT incomplete_orders.discard_message(:'m7') AS discarded;
RESET ROLE;
SELECT d.recipient FROM incomplete_orders.dead_messages('*') d WHERE d.response = '550 5.7.1 spam' OR d.response = '553 5.1.8 sender address rejected' OR d.reason = 'too_old' ORDER BY 1;

-- What is wrong is refused.
SELECT * FROM incomplete_orders.claim_messages(NULL);
SELECT * FROM incomplete_orders.claim_messages('');
SELECT * FROM incomplete_orders.claim_messages(repeat('x', 201));
SELECT * FROM incomplete_orders.claim_messages('w', 0);
SELECT * FROM incomplete_orders.claim_messages('w', 10001);
SELECT * FROM incomplete_orders.claim_messages('w', NULL);
SELECT * FROM incomplete_orders.claim_messages('w', lease => '0');
SELECT * FROM incomplete_orders.claim_messages('w', lease => '-1 day');
SELECT * FROM incomplete_orders.claim_messages('w', lease => '2 days');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.ack_message(NULL, 1);
SELECT incomplete_orders.ack_message(:'m7', NULL);
SELECT incomplete_orders.extend_message(:'m7', 1, '-1 s');
SELECT incomplete_orders.extend_message(:'m7', 1, NULL);
SELECT q.refused(format('SELECT incomplete_orders.retry_message(%L)', incomplete_orders._new_id(:a)));
SELECT q.refused('SELECT incomplete_orders.ack_message(gen_random_uuid(), 1)');
SELECT incomplete_orders.ack_message(incomplete_orders._new_id(:a), 1) AS no_such_message;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM incomplete_orders.claim_messages('w');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM incomplete_orders.claim_messages('w');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- Steps that waited while there was no sender do not leave together: the first one goes, and
-- the next keeps the distance from it that they were queued with.
SELECT q.cart('q-steps', email => 'steps@example.com') AS steps \gset
SELECT q.queue(:'steps', 1), q.queue(:'steps', 2), q.queue(:'steps', 3) \gset step_
UPDATE incomplete_orders.messages SET give_up_at = give_up_at - make_interval(hours => 72 - CASE step WHEN 1 THEN 1 WHEN 2 THEN 24 ELSE 72 END) WHERE order_id = :'steps';
CREATE VIEW q.steps AS SELECT step, status, attempts, round(extract(epoch FROM due_at - now()) / 3600) AS hours FROM q.messages WHERE session = 'q-steps';
SELECT c.message -> 'message' ->> 'step' AS step, c.message_id AS first, c.token FROM incomplete_orders.claim_messages('w') c \gset claimed_
\echo :claimed_step
SELECT * FROM q.steps ORDER BY step;
-- nor while the first is on its way, or failed for now
SELECT q.make_due('q-steps');
UPDATE incomplete_orders.messages SET due_at = now() + interval '10 minutes' WHERE id = :'claimed_first';
SELECT count(*) AS claimed FROM incomplete_orders.claim_messages('w');
SELECT incomplete_orders.ack_message(:'claimed_first', :claimed_token);
SELECT q.make_due('q-steps');
SELECT count(*) AS claimed FROM incomplete_orders.claim_messages('w');
SELECT * FROM q.steps ORDER BY step;
-- 23 hours later
UPDATE incomplete_orders.messages SET sent_at = sent_at - interval '23 hours' WHERE id = :'claimed_first';
SELECT q.make_due('q-steps');
SELECT c.message -> 'message' ->> 'step' AS step, c.message_id AS second, c.token FROM incomplete_orders.claim_messages('w') c \gset claimed_
\echo :claimed_step
SELECT incomplete_orders.ack_message(:'claimed_second', :claimed_token);
SELECT q.make_due('q-steps');
SELECT count(*) AS claimed FROM incomplete_orders.claim_messages('w');
SELECT * FROM q.steps ORDER BY step;
-- what was given up pushes nothing
UPDATE incomplete_orders.messages SET status = 'dead', sent_at = NULL WHERE order_id = :'steps' AND step < 3;
SELECT q.make_due('q-steps');
SELECT c.message -> 'message' ->> 'step' AS step FROM incomplete_orders.claim_messages('w') c;

-- A claim that is taken back is found again.
SELECT q.queue(q.cart('q-8', email => 'eight@example.com')) IS NOT NULL AS queued;
BEGIN;
SELECT c.recipient FROM incomplete_orders.claim_messages('w') c;
ROLLBACK;
SELECT c.recipient, c.token FROM incomplete_orders.claim_messages('w') c;

SELECT q.stale() AS stale;
DELETE FROM incomplete_orders.heartbeats WHERE job = 'stale_tokens';
DELETE FROM incomplete_orders.templates WHERE template = 'q-words';
SELECT incomplete_orders.revoke_from('regress_q_sender', 'sender', 'q-a');
SELECT incomplete_orders.revoke_from('regress_q_admin_b', 'admin', 'q-b');
SELECT incomplete_orders.revoke_from('regress_q_app', 'app', 'q-a');
SET client_min_messages = warning;
DROP SCHEMA q CASCADE;
RESET client_min_messages;
SELECT bool_and(rows >= 0) AS deleted FROM (SELECT count(*) AS rows FROM unnest(ARRAY['q-a', 'q-b']) s, incomplete_orders.delete_shop(s, false) d) x;
SELECT (SELECT count(*) FROM incomplete_orders.messages WHERE shop_id IN (:a, :b)) AS messages, (SELECT count(*) FROM incomplete_orders.message_skips WHERE shop_id IN (:a, :b)) AS skips,
	(SELECT count(*) FROM incomplete_orders.suppressions WHERE shop_id IN (:a, :b)) AS suppressions;
DROP ROLE regress_q_sender, regress_q_admin_b, regress_q_app;

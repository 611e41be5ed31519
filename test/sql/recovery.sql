-- Recovery messages by hand, without any campaign that is on.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SET search_path = pg_catalog;
SELECT incomplete_orders.create_shop('byhand', 'By hand') AS shop \gset
-- consent and quiet hours have a test of their own (rules)
UPDATE incomplete_orders.shops SET consent_rule = 'none', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id = :shop;
CREATE ROLE regress_hand_admin;
CREATE ROLE regress_hand_sender;
CREATE ROLE regress_hand_app;
SELECT incomplete_orders.grant_to('regress_hand_' || p, p, 'byhand') FROM unnest('{admin,sender,app}'::text[]) p;
CREATE TEMP TABLE made (name text PRIMARY KEY, id uuid);
GRANT ALL ON made TO regress_hand_admin;
CREATE PROCEDURE pg_temp.cart(name text, at timestamptz, email text DEFAULT NULL, skus text DEFAULT 'A', context jsonb DEFAULT NULL) LANGUAGE sql AS $$
	INSERT INTO made SELECT name, incomplete_orders.capture_cart(name, (SELECT jsonb_agg(jsonb_build_object('sku', s, 'quantity', 2, 'unit_price', 5))
		FROM regexp_split_to_table(skus, '') s), email => email, context => context, shop => 'byhand', at => at)
	ON CONFLICT (name) DO UPDATE SET id = excluded.id
$$;
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT m.id FROM made m WHERE m.name = $1 $$;
-- what send_recovery_emails says, and would say
CREATE FUNCTION pg_temp.run(at timestamptz, hours_after integer DEFAULT 2, max_attempts integer DEFAULT 3, dry_run boolean DEFAULT false)
RETURNS TABLE (name text, recipient text, message_type text, action text, reason text) LANGUAGE sql AS $$
	SELECT m.name, r.recipient, r.message_type, r.action, r.reason
	FROM incomplete_orders.send_recovery_emails(hours_after, max_attempts, dry_run, 'byhand', at) r JOIN made m ON m.id = r.order_id ORDER BY m.name
$$;
CREATE VIEW pg_temp.mails AS
	SELECT m.name, q.episode, q.step, q.ordinal, q.campaign, q.message_type, q.template, q.subject, q.status, q.due_at
	FROM made m JOIN incomplete_orders.messages q ON q.order_id = m.id;
CREATE VIEW pg_temp.ledger AS
	SELECT m.name, k.step, k.at, k.reason FROM made m JOIN incomplete_orders.message_skips k ON k.order_id = m.id;
CREATE VIEW pg_temp.rows AS
	SELECT m.name, o.status, o.abandoned_at, o.lost_at, o.sequence_step, o.next_message_at, o.recovery_attempts FROM made m JOIN incomplete_orders.open_orders o USING (id);
GRANT SELECT ON pg_temp.mails, pg_temp.ledger, pg_temp.rows TO regress_hand_admin;

--
-- send_recovery_emails: what is due is abandoned first; a dry run only says it.
--
SET ROLE regress_hand_admin;
CALL pg_temp.cart('a', '2024-01-01 10:00', 'a@example.com');
CALL pg_temp.cart('not idle', '2024-01-01 11:30', 'b@example.com');
CALL pg_temp.cart('still there', '2024-01-01 12:30', 'c@example.com');
CALL pg_temp.cart('nobody', '2024-01-01 10:00');
CALL pg_temp.cart('bot', '2024-01-01 10:00', 'bot@example.com', context => '{"bot": true}');
CALL pg_temp.cart('stopped', '2024-01-01 10:00', 'stop@example.com');
SELECT incomplete_orders.suppress('stop@example.com', 'complaint', 'byhand', '2024-01-01 09:00');
CALL pg_temp.cart('ordered', '2024-01-01 10:00', 'd@example.com');
CALL pg_temp.cart('orders', '2024-01-01 10:01', 'd@example.com');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('orders'), at => '2024-01-01 10:30');
CALL pg_temp.cart('left behind', '2024-01-01 10:31', 'd@example.com');
-- expired by then, and one that only becomes abandoned because its payment did not come
CALL pg_temp.cart('expired', '2023-11-20 10:00', 'e@example.com');
CALL pg_temp.cart('lost', '2023-12-15 10:00', 'l@example.com');
CALL pg_temp.cart('pays', '2024-01-01 10:00', 'p@example.com');
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('pays'), deadline => '2024-01-01 12:00', at => '2024-01-01 10:00');
SELECT * FROM pg_temp.run('2024-01-01 12:40', dry_run => true);
SELECT count(*) AS abandoned FROM pg_temp.rows WHERE status = 'abandoned';
CREATE TEMP TABLE said AS SELECT * FROM pg_temp.run('2024-01-01 12:40', dry_run => true);
CREATE TEMP TABLE done AS SELECT * FROM pg_temp.run('2024-01-01 12:40');
SELECT count(*) AS both FROM (TABLE said INTERSECT TABLE done) b;
TABLE said EXCEPT TABLE done UNION ALL (TABLE done EXCEPT TABLE said);
SELECT * FROM pg_temp.rows ORDER BY name;
SELECT name, step, campaign, message_type, template, status, due_at FROM pg_temp.mails ORDER BY name;
SELECT name, step, reason FROM pg_temp.ledger ORDER BY name;
-- four runs in a second send one step, and the ledger says a thing once
SELECT action, reason, count(*) FROM generate_series(1, 4) n, LATERAL pg_temp.run('2024-01-01 12:40'::timestamptz + n * interval '0.2 s') r
WHERE r.name IN ('a', 'nobody') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM pg_temp.mails WHERE name = 'a';
SELECT count(*) FROM pg_temp.ledger WHERE name = 'nobody';
-- steps are as far apart as in the campaign, and end with max_attempts
SELECT name, action, reason FROM pg_temp.run('2024-01-02 11:39:59') WHERE name = 'a';
SELECT name, action, reason FROM pg_temp.run('2024-01-02 11:40', max_attempts => 1) WHERE name = 'a';
SELECT name, message_type, action, reason FROM pg_temp.run('2024-01-02 11:40') WHERE name = 'a';
SELECT name, message_type, action, reason FROM pg_temp.run('2024-01-04 11:40', dry_run => true) WHERE name = 'a';
SELECT name, message_type, action, reason FROM pg_temp.run('2024-01-04 11:40') WHERE name = 'a';
SELECT name, message_type, action, reason FROM pg_temp.run('2024-01-06 11:40', max_attempts => 20) WHERE name = 'a';
SELECT step, ordinal, message_type, template, due_at FROM pg_temp.mails WHERE name = 'a' ORDER BY step;
-- mistakes
SELECT * FROM incomplete_orders.send_recovery_emails(-1, shop => 'byhand');
SELECT * FROM incomplete_orders.send_recovery_emails(max_attempts => 0, shop => 'byhand');
SELECT * FROM incomplete_orders.send_recovery_emails(NULL, shop => 'byhand');
SELECT * FROM incomplete_orders.send_recovery_emails();
SET ROLE regress_hand_app;
SELECT * FROM incomplete_orders.send_recovery_emails(shop => 'byhand');
SET ROLE regress_hand_sender;
SELECT count(*) FROM incomplete_orders.send_recovery_emails(shop => 'byhand', dry_run => true) WHERE action = 'queued';
-- the future is for admins
SELECT * FROM incomplete_orders.send_recovery_emails(shop => 'byhand', at => now() + interval '1 day');
RESET ROLE;

--
-- Beside a campaign: one sequence, whoever queues its steps.
--
SET ROLE regress_hand_admin;
SELECT incomplete_orders.enable_campaign('cart', 'byhand', at => '2024-02-01');
CALL pg_temp.cart('both', '2024-02-01 10:00', 'both@example.com');
SELECT name, action FROM pg_temp.run('2024-02-01 11:10', 1) WHERE name = 'both';
SELECT sequence_step, next_message_at FROM pg_temp.rows WHERE name = 'both';
CALL incomplete_orders.tick(at => '2024-02-01 12:30') \g /dev/null
CALL incomplete_orders.tick(at => '2024-02-02 11:00') \g /dev/null
SELECT name, action, reason FROM pg_temp.run('2024-02-02 11:30') WHERE name = 'both';
SELECT step, due_at FROM pg_temp.mails WHERE name = 'both' ORDER BY step;

--
-- send_recovery_email: one message now.  The sequence waits for the shop's gap.
--
CALL pg_temp.cart('one', '2024-03-01 10:00', 'one@example.com');
-- abandoned at that instant, and not written yet
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), idempotency_key => 'k', at => '2024-03-01 11:00') AS sent \gset
SELECT status, abandoned_at, next_message_at FROM pg_temp.rows WHERE name = 'one';
-- again: the same message
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), idempotency_key => 'k', at => '2024-03-01 11:01') = :'sent' AS same;
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), 'abandoned_cart', idempotency_key => 'k', at => '2024-03-01 11:01') = :'sent' AS same;
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), 'final_reminder', idempotency_key => 'k', at => '2024-03-01 11:01');
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), subject => 'Hello', idempotency_key => 'k', at => '2024-03-01 11:01');
-- the type by the attempts, or any that is named, and a subject of one's own
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), at => '2024-03-01 11:02') IS NOT NULL AS sent;
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), subject => 'Für Sie', at => '2024-03-01 11:03') IS NOT NULL AS sent;
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), at => '2024-03-01 11:04') IS NOT NULL AS sent;
SELECT incomplete_orders.send_recovery_email(pg_temp.id('one'), t, at => '2024-03-01 11:05') IS NOT NULL AS sent
FROM unnest('{abandoned_cart,payment_reminder,final_reminder,discount_offer}'::text[]) t;
SELECT step, ordinal, campaign, message_type, template, subject, status FROM pg_temp.mails WHERE name = 'one' ORDER BY ordinal;
SELECT sequence_step, next_message_at FROM pg_temp.rows WHERE name = 'one';
RESET ROLE;
SELECT e.at, e.actor, e.campaign, e.step, q.ordinal FROM incomplete_orders.order_events e JOIN incomplete_orders.messages q ON q.shop_id = e.shop_id AND q.id = e.message_id
WHERE e.order_id = pg_temp.id('one') AND e.event = 'message_queued' ORDER BY e.event_id LIMIT 2;
SET ROLE regress_hand_admin;
-- the key is the order's own
CALL pg_temp.cart('two', '2024-03-01 10:00', 'two@example.com');
SELECT incomplete_orders.send_recovery_email(pg_temp.id('two'), idempotency_key => 'k', at => '2024-03-01 12:00') <> :'sent' AS another;
-- mistakes
SELECT incomplete_orders.send_recovery_email(pg_temp.id('two'), 'newsletter', at => '2024-03-01 12:00');
SELECT incomplete_orders.send_recovery_email(pg_temp.id('two'), subject => E'a\r\nBcc: x@example.com', at => '2024-03-01 12:00');
SELECT incomplete_orders.send_recovery_email(pg_temp.id('two'), subject => repeat('ü', 201), at => '2024-03-01 12:00');
SELECT incomplete_orders.send_recovery_email(pg_temp.id('two'), subject => repeat('ü', 200), at => '2024-03-01 12:00') IS NOT NULL AS sent;
SELECT incomplete_orders.send_recovery_email(NULL);
-- a run waits for the gap, too, and goes on with as many attempts
SELECT message_type, action, reason FROM pg_temp.run('2024-03-02 03:59:59') WHERE name = 'two';
SELECT message_type, action, reason FROM pg_temp.run('2024-03-02 04:00') WHERE name = 'two';
RESET ROLE;

-- Refused, each with its reason.
CREATE FUNCTION pg_temp.refusal(name text, at timestamptz) RETURNS TABLE (state text, reason text, hint text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM incomplete_orders.send_recovery_email(pg_temp.id(name), at => at);
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, reason = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT;
END
$$;
SET ROLE regress_hand_admin;
DO $$ DECLARE n text; BEGIN
	FOREACH n IN ARRAY '{pending,no recipient,empty,suppressed,has ordered,converted,dismissed,deleted,expires,robot}'::text[] LOOP
		CALL pg_temp.cart('r ' || n, '2024-04-01 10:00', CASE n WHEN 'no recipient' THEN NULL ELSE replace(n, ' ', '-') || '@r.example' END,
			context => CASE n WHEN 'robot' THEN '{"bot": true}'::jsonb END);
	END LOOP;
END $$;
CALL pg_temp.cart('r pending', '2024-04-01 11:30');
SELECT incomplete_orders.suppress('suppressed@r.example', 'not_me', 'byhand', '2024-04-01 10:00');
CALL pg_temp.cart('r other', '2024-04-01 10:05', 'has-ordered@r.example');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('r other'), at => '2024-04-01 11:30');
SELECT count(*) FROM incomplete_orders.convert_order(pg_temp.id('r converted'), at => '2024-04-01 11:30');
SELECT incomplete_orders.dismiss_order(pg_temp.id('r dismissed'), at => '2024-04-01 11:30'), incomplete_orders.delete_order(pg_temp.id('r deleted'), at => '2024-04-01 11:30');
SELECT incomplete_orders.mark_abandoned(pg_temp.id('r empty'), at => '2024-04-01 11:00');
RESET ROLE;
UPDATE incomplete_orders.open_orders SET items = '[]' WHERE id = pg_temp.id('r empty');
SET ROLE regress_hand_admin;
-- staff may mail what looks like a robot
SELECT m.name, r.* FROM made m, LATERAL pg_temp.refusal(m.name, CASE m.name WHEN 'r expires' THEN '2024-05-02'::timestamptz ELSE '2024-04-01 12:00' END) r
WHERE m.name LIKE 'r %' AND m.name <> 'r other' ORDER BY m.name;

-- Many: one bad id does not stop the others, and none is mailed twice.  Who only looks sends nothing; who asks again with the same key, nothing more.
CALL pg_temp.cart('m 1', '2024-06-01 10:00', 'm1@example.com');
CALL pg_temp.cart('m 2', '2024-06-01 10:00');
CALL pg_temp.cart('m 3', '2024-06-01 10:00', 'm3@example.com');
SELECT m.name, r.result, regexp_replace(r.reason, '[0-9a-f-]{36}', 'X') AS reason
FROM incomplete_orders.send_recovery_emails_many(ARRAY[pg_temp.id('m 1'), pg_temp.id('m 2'), '00000000-0000-7000-8000-000000000000'], dry_run => true, idempotency_key => 'looks',
	at => '2024-06-01 12:00') WITH ORDINALITY r (id, result, reason, n) LEFT JOIN made m USING (id) ORDER BY r.n;
SELECT name FROM pg_temp.mails WHERE name LIKE 'm %';
SELECT m.name, r.result, regexp_replace(r.reason, '[0-9a-f-]{36}', 'X') AS reason
FROM incomplete_orders.send_recovery_emails_many(ARRAY[pg_temp.id('m 1'), pg_temp.id('m 2'), '00000000-0000-7000-8000-000000000000', pg_temp.id('m 3'), pg_temp.id('m 1')],
	'final_reminder', 'Last call', at => '2024-06-01 12:00') WITH ORDINALITY r (id, result, reason, n) LEFT JOIN made m USING (id) ORDER BY r.n;
SELECT name, ordinal, template, subject FROM pg_temp.mails WHERE name LIKE 'm %' ORDER BY name;
CALL pg_temp.cart('m 4', '2024-06-01 10:00', 'm4@example.com');
CALL pg_temp.cart('m 5', '2024-06-01 10:00', 'm5@example.com');
SELECT r.result, r.reason FROM generate_series(1, 2), incomplete_orders.send_recovery_emails_many(ARRAY[pg_temp.id('m 4'), pg_temp.id('m 5')], idempotency_key => 'many', at => '2024-06-01 12:00') r;
SELECT name, ordinal FROM pg_temp.mails WHERE name IN ('m 4', 'm 5') ORDER BY name;
SELECT result, reason FROM incomplete_orders.send_recovery_emails_many(ARRAY[pg_temp.id('m 4')], 'final_reminder', idempotency_key => 'many', at => '2024-06-01 12:00');
SELECT result, reason FROM incomplete_orders.send_recovery_emails_many(ARRAY[pg_temp.id('m 1')], 'newsletter', at => '2024-06-01 12:00');
SELECT count(*) FROM incomplete_orders.send_recovery_emails_many(NULL);
SELECT count(*) FROM incomplete_orders.send_recovery_emails_many(array_fill(pg_temp.id('m 1'), '{10001}'));
SET ROLE regress_hand_app;
SELECT count(*) FROM incomplete_orders.send_recovery_emails_many('{}');
RESET ROLE;
-- by hand nothing is counted as sent, and nobody is notified: who sends does the one, tick the other
SELECT count(*) FROM pg_temp.rows WHERE recovery_attempts <> 0;

DROP VIEW pg_temp.mails, pg_temp.ledger, pg_temp.rows;
SELECT count(*) > 0 AS removed FROM incomplete_orders.delete_shop('byhand', false);
DROP OWNED BY regress_hand_admin, regress_hand_sender, regress_hand_app;
DROP ROLE regress_hand_admin;
DROP ROLE regress_hand_sender;
DROP ROLE regress_hand_app;

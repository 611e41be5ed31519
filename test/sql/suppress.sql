-- Who may not be mailed: suppress, unsuppress, unsubscribe, and what is learned of a message later.
\pset null (null)
SELECT incomplete_orders.create_shop('sup', 'Suppressions') AS shop_id \gset
SELECT incomplete_orders.create_shop('sup-2', 'Another') AS shop_2 \gset
-- Consent, gaps and quiet hours have a test of their own (rules).
UPDATE incomplete_orders.shops SET consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id IN (:shop_id, :shop_2);
CREATE SCHEMA sup;
-- One waiting message of an order, to an address.
CREATE FUNCTION sup.message(order_id uuid, recipient text, step integer DEFAULT 1, status text DEFAULT 'queued') RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at)
	SELECT incomplete_orders.shop_of(order_id), incomplete_orders._new_id(incomplete_orders.shop_of(order_id)), now(), status::incomplete_orders.message_status,
		order_id, order_id, 1, step, 'abandoned_cart', 'cart_abandoned', recipient, now(), now() + interval '5 days'
	RETURNING id
$$;
CREATE VIEW sup.state AS
	SELECT o.session_id AS of, m.step, m.recipient, m.status, m.reason FROM incomplete_orders.messages m
	JOIN incomplete_orders.incomplete_orders o ON o.id = m.order_id WHERE m.shop_id IN (:shop_id, :shop_2) ORDER BY m.shop_id, 1, 2;
\set cart '[{"sku":"A","quantity":1,"unit_price":5}]'
SELECT incomplete_orders.capture_cart('one', :'cart', email => 'Ann@Example.com', shop => 'sup') AS one \gset
SELECT incomplete_orders.capture_cart('two', :'cart', email => 'ann@example.com', shop => 'sup') AS two \gset
SELECT incomplete_orders.capture_cart('bob', :'cart', email => 'bob@example.com', shop => 'sup') AS bob \gset
SELECT incomplete_orders.capture_cart('far', :'cart', email => 'ann@example.com', shop => 'sup-2') AS far \gset
SELECT count(sup.message(:'one', 'Ann@Example.com', s, t)) FROM (VALUES (1, 'sent'), (2, 'sending'), (3, 'queued'), (4, 'dead')) v (s, t);
SELECT count(sup.message(o, r)) FROM (VALUES (:'two'::uuid, 'ANN@example.com'), (:'bob', 'bob@example.com'), (:'far', 'ann@example.com')) v (o, r);

-- Case and blanks do not matter; only what waits for that address in that shop is cancelled, with its rows in the ledger.
SELECT incomplete_orders.suppress(' aNN@example.COM ', shop => 'sup', at => '2030-01-01') AS fresh;
TABLE sup.state;
SELECT s.step, s.reason, s.at = '2030-01-01' AS at, m.status FROM incomplete_orders.message_skips s JOIN incomplete_orders.messages m ON m.id = s.message_id
WHERE s.shop_id = :shop_id AND s.order_id IN (:'one', :'two') ORDER BY s.order_id, s.step;
-- Nothing of the address is kept.
SELECT shop_id = :shop_id AS shop, scope, reason, at = '2030-01-01' AS at, message_id,
	ARRAY[person] = incomplete_orders._person_keys(:shop_id, NULL, 'ann@example.com', NULL) AS hashed FROM incomplete_orders.suppressions WHERE shop_id IN (:shop_id, :shop_2);
-- Again: known already. A stronger reason replaces a weaker one, never the other way round.
SELECT r, incomplete_orders.suppress('ann@example.com', r, 'sup') AS fresh, (SELECT reason FROM incomplete_orders.suppressions WHERE shop_id = :shop_id) AS before
FROM unnest(ARRAY['suppressed', 'unsubscribed', 'hard_bounce', 'complaint', 'not_me', 'erased', 'complaint']) r;
SELECT reason FROM incomplete_orders.suppressions WHERE shop_id = :shop_id;
SELECT incomplete_orders.unsuppress('ANN@example.com', 'sup') AS was, incomplete_orders.unsuppress('ann@example.com', 'sup') AS again;
-- what was cancelled stays so
SELECT DISTINCT status FROM sup.state WHERE of = 'two';
\set VERBOSITY terse
SELECT incomplete_orders.suppress('ann@example.com', 'because', 'sup');
SELECT incomplete_orders.suppress('ann@example.com', NULL, 'sup');
SELECT incomplete_orders.suppress('not an address', shop => 'sup');
SELECT incomplete_orders.suppress(NULL, shop => 'sup');
SELECT incomplete_orders.suppress('', shop => 'sup');
SELECT incomplete_orders.unsuppress('  ', 'sup');
SELECT incomplete_orders.suppress('ann@example.com', shop => 'nowhere');
\set VERBOSITY default

-- A link acts for the address its message went to, whatever became of the order; what waits for an order goes to the address that it has now.
SELECT sup.message(:'bob', 'old@example.com', 2, 'sent') AS m \gset
SELECT count(sup.message(:'bob', 'old@example.com', 3)) AS waiting;
SELECT unsubscribe, not_me FROM incomplete_orders._link_tokens(:'m', now()) \gset
SELECT incomplete_orders.unsubscribe(:'unsubscribe') AS done, incomplete_orders.unsubscribe(:'unsubscribe') AS again;
SELECT step, recipient, status, reason FROM sup.state WHERE of = 'bob';
SELECT incomplete_orders.dismiss_order(:'bob');
SELECT incomplete_orders.unsubscribe(:'unsubscribe', 'all') AS closed_too;
SELECT incomplete_orders.unsubscribe(:'not_me') AS stronger;
SELECT scope, reason, message_id = :'m' AS by_message, ARRAY[person] = incomplete_orders._person_keys(:shop_id, NULL, 'old@example.com', NULL) AS old
FROM incomplete_orders.suppressions WHERE shop_id = :shop_id ORDER BY scope;
-- told once
SELECT event, reason_code, actor IS NOT NULL AS actor FROM incomplete_orders.order_events WHERE shop_id = :shop_id AND event = 'message_unsubscribed';
SELECT unsubscribed_at IS NOT NULL AS noted FROM incomplete_orders.messages WHERE id = :'m';
-- who subscribed again and unsubscribes again is heard
SELECT incomplete_orders.unsuppress('old@example.com', 'sup');
SELECT incomplete_orders.unsubscribe(:'unsubscribe');
SELECT count(*) FROM incomplete_orders.suppressions WHERE shop_id = :shop_id;
\set VERBOSITY terse
SELECT incomplete_orders.unsubscribe(:'unsubscribe', 'everything');
SELECT incomplete_orders.unsubscribe(:'unsubscribe', NULL);
\set VERBOSITY default
-- A message that is gone leads nowhere.
BEGIN;
DELETE FROM incomplete_orders.messages WHERE id = :'m';
SELECT incomplete_orders.unsubscribe(:'unsubscribe');
ROLLBACK;

-- What is learned of a message: the first instant of each, one event of each kind.
SELECT incomplete_orders.capture_cart('hear', :'cart', email => 'hear@example.com', shop => 'sup') AS hear \gset
SELECT sup.message(:'hear', 'hear@example.com', 1, 'sent') AS m \gset
SELECT n, event, meta, incomplete_orders.record_message_event(:'m', event, meta::jsonb, timestamptz '2030-01-01 00:00+00' + n * interval '1 h') AS fresh
FROM (VALUES (1, 'delivered', NULL), (2, 'delivered', '{}'), (3, 'opened', '{"machine": true}'), (4, 'opened', '{"machine": true}'), (5, 'opened', '{"machine": false}'),
	(6, 'opened', NULL), (7, 'clicked', '{"machine": true, "agent": "x"}'), (8, 'clicked', '{"machine": null}'), (9, 'replied', '{"machine": true}'), (10, 'replied', NULL),
	(11, 'bounced', '{"permanent": false}'), (12, 'bounced', '{"permanent": false}')) v (n, event, meta);
SELECT extract(hour FROM delivered_at AT TIME ZONE 'UTC') AS delivered, extract(hour FROM opened_at AT TIME ZONE 'UTC') AS opened,
	extract(hour FROM clicked_at AT TIME ZONE 'UTC') AS clicked, extract(hour FROM replied_at AT TIME ZONE 'UTC') AS replied,
	extract(hour FROM bounced_at AT TIME ZONE 'UTC') AS bounced, complained_at, unsubscribed_at, status FROM incomplete_orders.messages WHERE id = :'m';
SELECT e.event, e.machine, e.reason_code, e.message_id = :'m' AS message, t.event IS NOT NULL AS in_tail FROM incomplete_orders.order_events e
LEFT JOIN incomplete_orders.order_event_tail t USING (shop_id, event_id) WHERE e.order_id = :'hear' AND e.event LIKE 'message%' ORDER BY e.event_id;
-- a soft bounce suppresses nobody
SELECT count(*) FROM incomplete_orders.suppressions WHERE shop_id = :shop_id AND person = ANY (incomplete_orders._person_keys(:shop_id, NULL, 'hear@example.com', NULL));
-- A hard one, a complaint and an unsubscription do, and cancel what waits; again if it was lifted meanwhile.
CREATE FUNCTION sup.refused(session_id text, event text, meta jsonb DEFAULT NULL) RETURNS TABLE (fresh boolean, again boolean, reason text, waiting text, lifted boolean, thrice boolean, back text)
LANGUAGE plpgsql AS $$
DECLARE
	address text := session_id || '@example.com';
	id uuid := incomplete_orders.capture_cart(session_id, '[{"sku":"A","quantity":1,"unit_price":5}]', email => address, shop => 'sup');
	m uuid := sup.message(id, address, 1, 'sent');
	keys bigint[] := incomplete_orders._person_keys(incomplete_orders.shop_of(id), NULL, address, NULL);
BEGIN
	PERFORM sup.message(id, address, 2);
	fresh := incomplete_orders.record_message_event(m, event, meta);
	again := incomplete_orders.record_message_event(m, event, meta);
	reason := (SELECT s.reason FROM incomplete_orders.suppressions s WHERE s.person = ANY (keys));
	waiting := (SELECT s.status || ' ' || s.reason FROM sup.state s WHERE s.of = session_id AND s.step = 2);
	lifted := incomplete_orders.unsuppress(address, 'sup');
	thrice := incomplete_orders.record_message_event(m, event, meta);
	back := (SELECT s.reason FROM incomplete_orders.suppressions s WHERE s.person = ANY (keys));
	RETURN NEXT;
END
$$;
SELECT v.*, r.* FROM (VALUES ('hard', 'bounced', '{"permanent": true}'), ('silent', 'bounced', NULL), ('angry', 'complained', '{}'), ('tired', 'unsubscribed', NULL)) v (who, event, meta),
	sup.refused(v.who, v.event, v.meta::jsonb) r;
-- soft, then hard: both are told, the first instant stays
SELECT incomplete_orders.record_message_event(:'m', 'bounced', '{"permanent": true}') AS fresh;
SELECT reason_code FROM incomplete_orders.order_events WHERE order_id = :'hear' AND event = 'message_bounced' ORDER BY event_id;
SELECT bounced_at = '2030-01-01 11:00+00' AS first FROM incomplete_orders.messages WHERE id = :'m';
\set VERBOSITY terse
SELECT incomplete_orders.record_message_event(:'m', 'vanished');
SELECT incomplete_orders.record_message_event(:'m', NULL);
SELECT incomplete_orders.record_message_event(:'m', 'opened', '[]');
SELECT incomplete_orders.record_message_event(:'m', 'opened', '"x"');
SELECT incomplete_orders.record_message_event(:'m', 'opened', '{"machine": "yes"}');
SELECT incomplete_orders.record_message_event(:'m', 'opened', '{"permanent": 1}');
SELECT incomplete_orders.record_message_event(NULL, 'opened');
SELECT incomplete_orders.record_message_event('00000000-0000-0000-0000-000000000000', 'opened');
\set VERBOSITY default
SET client_min_messages = warning;
DROP SCHEMA sup CASCADE;
SELECT count(*) > 0 AS deleted FROM unnest(ARRAY['sup', 'sup-2']) s, incomplete_orders.delete_shop(s, false);
-- nothing of the shop is left
SELECT count(*) FROM incomplete_orders.suppressions WHERE shop_id IN (:shop_id, :shop_2);

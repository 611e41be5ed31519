-- Webhooks: who may hear what, the queue, what mail services tell.  What goes over
-- HTTP is in test/sidecar.
\set VERBOSITY terse
SET client_min_messages = notice;
CREATE SCHEMA hooks;
CREATE FUNCTION hooks.refused(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
	RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE VIEW hooks.queue AS SELECT d.webhook, d.event, d.status, d.attempts, d.http_status, d.problem FROM incomplete_orders.webhook_deliveries d
	JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'hooks-a' ORDER BY 1, 2, d.id;
SELECT incomplete_orders.create_shop('hooks-a', 'A') AS a \gset
SELECT incomplete_orders.create_shop('hooks-b', 'B') AS b \gset
UPDATE incomplete_orders.shops SET consent_rule = 'none' WHERE shop_id IN (:a, :b);
-- everything else is folded
SELECT incomplete_orders._tick_fold(1000000) IS NOT NULL AS folded;

-- HMAC: RFC 4231, cases 1 and 6
SELECT incomplete_orders._hmac_sha256(decode(repeat('0b', 20), 'hex'), 'Hi There') = '\xb0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7' AS short_key,
	incomplete_orders._hmac_sha256(decode(repeat('aa', 131), 'hex'), 'Test Using Larger Than Block-Size Key - Hash Key First') = '\x60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54' AS long_key;

-- What a webhook may be.
SELECT left(name, 10) AS name, left(url, 40) AS url, hooks.refused(format('SELECT incomplete_orders.configure_webhook(%L, %L, %L, shop => ''hooks-a'')', name, url, events)) AS refused
FROM (VALUES ('x', NULL, NULL), (NULL, 'https://a.example/', NULL), ('', 'https://a.example/', NULL), ('A', 'https://a.example/', NULL), ('a b', 'https://a.example/', NULL),
	(repeat('a', 64), 'https://a.example/', NULL), ('x', '', NULL), ('x', 'a.example', NULL), ('x', 'ftp://a.example/', NULL), ('x', 'file:///etc/passwd', NULL), ('x', 'gopher://a.example/', NULL),
	('x', 'https://user:password@a.example/', NULL), ('x', 'https://a.example/#part', NULL), ('x', E'https://a.example/\r\nHost: b', NULL), ('x', 'https://a.example/ b', NULL), ('x', 'https://', NULL), ('x', 'https:///path', NULL),
	('x', 'https://a.example:port/', NULL), ('x', 'https://a.example\@b.example/', NULL), ('x', 'https://a.example/' || repeat('a', 2000), NULL), ('x', 'https://a.example/', '{}'), ('x', 'https://a.example/', '{abandoned,eaten}'),
	('x', 'https://a.example/', '{NULL}')) c (name, url, events);
SELECT incomplete_orders.configure_webhook(name, url, shop => 'hooks-b') ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS good
FROM (VALUES ('a', 'https://a.example'), ('b', 'http://127.0.0.1:8080/hook'), ('c', 'https://[2001:db8::1]:8443/a?b=c&d=%20'), (repeat('d', 63), 'HTTPS://A.Example/'), ('0_-', 'https://a/')) c (name, url);
SELECT count(incomplete_orders.configure_webhook('n' || n, 'https://a.example/', shop => 'hooks-b')) FROM generate_series(1, 15) n;
SELECT hooks.refused('SELECT incomplete_orders.configure_webhook(''more'', ''https://a.example/'', shop => ''hooks-b'')');
SELECT count(*) FILTER (WHERE incomplete_orders.delete_webhook(w.webhook, 'hooks-b')) AS gone FROM incomplete_orders.list_webhooks('hooks-b') w;
SELECT incomplete_orders.delete_webhook('a', 'hooks-b') AS once_more;

-- Made, changed, turned off; the secret comes once.
SELECT incomplete_orders.configure_webhook('crm', 'https://crm.example/', '{abandoned,converted}', shop => 'hooks-a', at => '2026-01-01') IS NOT NULL AS secret;
SELECT incomplete_orders.configure_webhook('crm', contact => true, shop => 'hooks-a', at => '2026-01-02') AS secret;
SELECT webhook, url, events, contact, active, starts_at, changed_at, failures, waiting, dead FROM incomplete_orders.list_webhooks('hooks-a');
SELECT incomplete_orders.configure_webhook('crm', active => false, shop => 'hooks-a', at => '2026-01-03') AS secret;
SELECT incomplete_orders.configure_webhook('crm', contact => false, active => true, shop => 'hooks-a', at => '2026-01-04') AS secret;
SELECT incomplete_orders.configure_webhook('crm', active => true, shop => 'hooks-a', at => '2026-01-05') AS secret;
SELECT contact, active, starts_at, changed_at FROM incomplete_orders.list_webhooks('hooks-a');
SELECT s.former IS NULL AS first FROM incomplete_orders.shop_secrets s WHERE s.shop_id = :a;
SELECT incomplete_orders.configure_webhook('crm', new_secret => true, shop => 'hooks-a') IS NOT NULL AS secret;
SELECT s.former <> s.secret AS another, s.former_until - clock_timestamp() BETWEEN '23:59' AND '24:00' AS for_a_day FROM incomplete_orders.shop_secrets s WHERE s.shop_id = :a;
SELECT count(*) FROM incomplete_orders.export_shop('hooks-a') e WHERE e ->> 'table' = 'webhooks';
SELECT count(*) FROM incomplete_orders.export_shop('hooks-a') e WHERE e ->> 'table' = 'shop_secrets' OR e::text ~ (SELECT encode(s.secret, 'hex') FROM incomplete_orders.shop_secrets s WHERE s.shop_id = :a);

-- What is queued: what was chosen, from then on, and nothing of robots.
SELECT incomplete_orders.capture_cart('w-1', '[{"sku":"A","quantity":2,"unit_price":"5"}]', email => 'ann@example.com', phone => '+1 555 0100', name => 'Ann', shop => 'hooks-a', at => '2026-01-03 12:00') AS early \gset
SELECT incomplete_orders.mark_abandoned(:'early', at => '2026-01-03 13:00');
SELECT incomplete_orders.capture_cart('w-2', '[{"sku":"A","quantity":2,"unit_price":"5"}]', email => 'ann@example.com', phone => '+1 555 0100', name => 'Ann', shop => 'hooks-a') AS sold \gset
SELECT incomplete_orders.mark_abandoned(:'sold', 'because Ann said so');
SELECT part FROM incomplete_orders.convert_order(:'sold', '[{"sku":"A","quantity":1,"unit_price":"5"}]', idempotency_key => 'w-1');
SELECT part FROM incomplete_orders.convert_order(:'sold', idempotency_key => 'w-2');
SELECT incomplete_orders.capture_cart('w-3', '[{"sku":"A","quantity":1,"unit_price":"5"}]', context => '{"bot": true}', shop => 'hooks-a') AS bot \gset
SELECT incomplete_orders.mark_abandoned(:'bot');
SELECT incomplete_orders.capture_cart('w-4', '[{"sku":"A","quantity":1,"unit_price":"5"}]', shop => 'hooks-b') AS other \gset
SELECT incomplete_orders.mark_abandoned(:'other');
BEGIN;
SELECT incomplete_orders._tick_fold(1000) > 0 AS folded;
ROLLBACK;
TABLE hooks.queue;
SELECT incomplete_orders._tick_fold(1000) > 0 AS folded;
TABLE hooks.queue;
SELECT incomplete_orders._tick_fold(1000) AS folded;
SELECT count(*) FROM hooks.queue;
SELECT string_agg(d.facts::text, '') ~* 'ann|555|said' AS of_a_person FROM incomplete_orders.webhook_deliveries d WHERE d.shop_id = :a;

-- Pages.
SELECT l.event, l.order_id = :'sold' AS of_it, l.status FROM incomplete_orders.list_deliveries(shop => 'hooks-a') l ORDER BY 1;
SELECT count(*) AS first, min(l.cursor) AS cursor FROM incomplete_orders.list_deliveries(shop => 'hooks-a', page_size => 2) l \gset
SELECT :first AS first, count(*) AS second FROM incomplete_orders.list_deliveries(shop => 'hooks-a', page_size => 2, cursor => :'cursor') l;
SELECT count(*) FROM incomplete_orders.list_deliveries('crm', 'queued', 'hooks-a') UNION ALL SELECT count(*) FROM incomplete_orders.list_deliveries('crm', 'dead', 'hooks-a')
UNION ALL SELECT count(*) FROM incomplete_orders.list_deliveries('other', shop => 'hooks-a');
SELECT call, hooks.refused('SELECT * FROM incomplete_orders.list_deliveries(' || call || ')') FROM unnest(ARRAY['status => ''gone''', 'cursor => ''x''', 'page_size => 0', 'page_size => 1001', 'shop => ''nowhere''']) call;

-- Claims, answers, and their tokens.
SELECT call, hooks.refused('SELECT * FROM incomplete_orders.claim_deliveries(' || call || ')') FROM unnest(ARRAY['NULL', '''''', '''w'', 0', '''w'', 1001', '''w'', 1, ''1 s''', '''w'', 1, ''2 hours''']) call;
CREATE TABLE hooks.claimed AS SELECT * FROM incomplete_orders.claim_deliveries('w');
SELECT c.shop, c.webhook, c.url, c.event, c.token, c.body::jsonb #>> '{order,sale,part}' AS part, c.body::jsonb #>> '{order,sale,total}' AS total, c.body::jsonb -> 'order' ? 'reference' AS reference,
	c.body::jsonb ? 'customer' AS customer, array_length(string_to_array(c.signature, ' '), 1) AS signatures FROM hooks.claimed c ORDER BY c.event, 6;
SELECT count(*) FROM incomplete_orders.claim_deliveries('w');
SELECT bool_and(c.signature LIKE 'v1,' || encode(incomplete_orders._hmac_sha256(s.secret, convert_to(format('%s.%s.%s', c.delivery_id, c.signed_at, c.body), 'UTF8')), 'base64') || ' %') AS signed,
	bool_and(abs(c.signed_at - extract(epoch FROM now())) < 60) AS now FROM hooks.claimed c, incomplete_orders.shop_secrets s WHERE s.shop_id = :a;
SELECT delivery_id AS sale FROM hooks.claimed WHERE event = 'converted' ORDER BY delivery_id LIMIT 1 \gset
SELECT delivery_id AS gone FROM hooks.claimed WHERE event = 'abandoned' \gset
SELECT incomplete_orders.ack_delivery(:'sale', 2, 200) AS wrong, incomplete_orders.ack_delivery(:'sale', 1, 200) AS good, incomplete_orders.ack_delivery(:'sale', 1, 200) AS again,
	incomplete_orders.fail_delivery(:'sale', 1, 500) AS too_late, incomplete_orders.release_delivery(:'sale', 1) AS too_late;
SELECT incomplete_orders.fail_delivery(:'gone', 1, 500, repeat('x', 400)) AS failed;
SELECT webhook, event, status, attempts, http_status, length(problem) AS problem FROM hooks.queue;
SELECT w.failures, w.failing_since IS NOT NULL AS failing, w.retry_at > now() AS avoided, w.waiting FROM incomplete_orders.list_webhooks('hooks-a') w;
SELECT incomplete_orders._next_delivery_due() > clock_timestamp() AS later;
SELECT d.due_at - clock_timestamp() BETWEEN '9 s' AND '10 s' AS in_ten_seconds FROM incomplete_orders.webhook_deliveries d WHERE d.id = :'gone';
-- An address that does not answer gets one at a time, also when more is due.
SELECT count(incomplete_orders.ping_webhook('crm', 'hooks-a')) FROM generate_series(1, 3);
UPDATE incomplete_orders.webhooks SET retry_at = now() - interval '1 s' WHERE shop_id = :a;
SELECT delivery_id AS sent, token, event, body::jsonb ? 'order' AS has_order FROM incomplete_orders.claim_deliveries('w') \gset
SELECT :'event' AS event, :'has_order' AS has_order, count(*) AS more FROM incomplete_orders.claim_deliveries('w');
SELECT incomplete_orders.release_delivery(:'sent', :token) AS released;
UPDATE incomplete_orders.webhooks SET retry_at = now() - interval '1 s' WHERE shop_id = :a;
SELECT delivery_id AS sent, token FROM incomplete_orders.claim_deliveries('w') \gset
SELECT incomplete_orders.ack_delivery(:'sent', :token, 204) AS taken;
SELECT w.failures, w.failing_since, w.retry_at FROM incomplete_orders.list_webhooks('hooks-a') w;
-- The answer of a single delivery is not the address's fault.
SELECT delivery_id AS sent, token FROM incomplete_orders.claim_deliveries('w', 1) \gset
SELECT incomplete_orders.fail_delivery(:'sent', :token, 422, 'it answered with status 422', '1 hour') AS failed;
SELECT w.failures FROM incomplete_orders.list_webhooks('hooks-a') w;
SELECT d.due_at - clock_timestamp() BETWEEN '59 min' AND '1 hour' AS as_it_asked FROM incomplete_orders.webhook_deliveries d WHERE d.id = :'sent';
-- The facts stay as they were told first.
SELECT md5(facts::text) AS facts FROM incomplete_orders.webhook_deliveries WHERE id = :'gone' \gset
SELECT count(*) AS forgotten FROM incomplete_orders.forget_customer('ann@example.com', shop => 'hooks-a') WHERE n > 0 \gset
UPDATE incomplete_orders.webhook_deliveries SET due_at = now() - interval '1 s' WHERE id = :'gone';
SELECT incomplete_orders.configure_webhook('crm', contact => true, shop => 'hooks-a') AS secret;
SELECT c.body::jsonb -> 'customer' AS nobody FROM incomplete_orders.claim_deliveries('w') c WHERE c.delivery_id = :'gone';
SELECT md5(facts::text) = :'facts' AS the_same FROM incomplete_orders.webhook_deliveries WHERE id = :'gone';
-- Three days after the first attempt it is given up.
UPDATE incomplete_orders.webhook_deliveries SET give_up_at = now() - interval '1 s', due_at = now() - interval '1 s' WHERE shop_id = :a AND status IN ('queued', 'sending');
SELECT count(*) FROM incomplete_orders.claim_deliveries('w');
SELECT status, count(*) FROM hooks.queue GROUP BY 1 ORDER BY 1;
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'webhooks';
SELECT w.status, w.deliveries FROM incomplete_orders.webhook_status('hooks-a') w;
SELECT incomplete_orders.retry_delivery(:'gone') AS again, incomplete_orders.retry_delivery(:'gone') AS once, incomplete_orders.retry_delivery(:'sale') AS delivered;
SELECT hooks.refused(format('SELECT incomplete_orders.retry_delivery(%L)', i)) ~ '^IC003 delivery .* does not exist$' FROM unnest(ARRAY[NULL, incomplete_orders._new_id(:a), gen_random_uuid()]) i;
SELECT c.delivery_id = :'gone' AS the_same_id, c.body::jsonb ->> 'type' AS type FROM incomplete_orders.claim_deliveries('w') c;
SELECT hooks.refused('SELECT incomplete_orders.ping_webhook(''none'', ''hooks-a'')');

-- Retention: what was delivered a week ago, given up a month ago, or is of no webhook.
UPDATE incomplete_orders.webhook_deliveries SET status = CASE WHEN id = :'sale' THEN 'delivered' ELSE 'dead' END WHERE shop_id = :a;
SELECT incomplete_orders._retire_deliveries(:a, now() + interval '6 days');
SELECT count(*) FROM hooks.queue;
SELECT incomplete_orders._retire_deliveries(:a, now() + interval '8 days');
SELECT status, count(*) FROM hooks.queue GROUP BY 1;
SELECT incomplete_orders._retire_deliveries(:a, now() + interval '31 days');
SELECT count(*) FROM hooks.queue;
INSERT INTO incomplete_orders.webhook_deliveries (shop_id, id, webhook, due_at, event, at, queued_at, facts) VALUES (:a, incomplete_orders._new_id(:a), 'none', now(), 'ping', now(), now(), '{}');
SELECT count(*) FROM incomplete_orders.claim_deliveries('w');
SELECT incomplete_orders._retire_deliveries(:a, now() + interval '8 days');
SELECT count(*) FROM hooks.queue;

-- What mail services tell: the message behind an id; refused texts.
SELECT t, incomplete_orders._message_of(t) FROM unnest(ARRAY['01A204d2-1b9b-71d7-8000-00006221ac45', ' <01a204d2-1b9b-71d7-8000-00006221ac45@shop.example> ', '01a204d2-1b9b-71d7-8000-00006221ac45@x', '<01a204d2-1b9b-71d7-8000-00006221ac45@a@b>',
	'01a204d21b9b71d7800000006221ac45', '<x01a204d2-1b9b-71d7-8000-00006221ac45@x>', '<>', '', NULL]) t;
SELECT t, hooks.refused(format('SELECT incomplete_orders._check_mail_events(%L)', t)) FROM unnest(ARRAY['[]', '{"events": []}', '{"events": {}}', '{}', '"x"', 'x', NULL, '[{"message_id": 1, "event": "opened"}]', '[{"message_id": "x", "event": "opened", "machine": 1}]']) t;
SELECT incomplete_orders._check_mail_events('{"message_id": "x", "event": "opened", "machine": true, "ip": "1.2.3.4"}');
SELECT r.* FROM incomplete_orders.rotate_mail_secret('hooks-a') s, incomplete_orders.receive_mail_events('[]', extract(epoch FROM now())::bigint::text,
	encode(incomplete_orders._hmac_sha256(decode(substr(s, 7), 'base64'), convert_to(extract(epoch FROM now())::bigint || '.[]', 'UTF8')), 'hex'), shop => 'hooks-a') r;
SELECT told, incomplete_orders._ses_events(told::jsonb) FROM (VALUES
	('{"notificationType": "Bounce", "bounce": {"bounceType": "Permanent"}, "mail": {"commonHeaders": {"messageId": "<a@b>"}}}'),
	('{"eventType": "Bounce", "bounce": {"bounceType": "Undetermined"}, "mail": {}}'), ('{"eventType": "Bounce"}'),
	('{"eventType": "Complaint", "complaint": {"complaintFeedbackType": "not-spam"}}'), ('{"eventType": "Complaint", "complaint": {}}'),
	('{"eventType": "Open", "open": {"userAgent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"}}'), ('{"eventType": "Open", "open": {"userAgent": "Mozilla/5.0 (iPhone)"}}'),
	('{"eventType": "Click", "click": {"userAgent": "curl/7.88"}}'), ('{"eventType": "Send"}'), ('{"eventType": 5}'), ('{}'), ('{"eventType": "Delivery", "mail": {"headers": "x"}}')) t (told);

SELECT count(*) > 0 AS deleted FROM unnest(ARRAY['hooks-a', 'hooks-b']) s, incomplete_orders.delete_shop(s, false);
SELECT (SELECT count(*) FROM incomplete_orders.webhooks w WHERE w.shop_id IN (:a, :b)) + (SELECT count(*) FROM incomplete_orders.shop_secrets w WHERE w.shop_id IN (:a, :b)) AS left_over;
SET client_min_messages = warning;
DROP SCHEMA hooks CASCADE;

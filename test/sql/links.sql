-- The links of a message: their tokens, what is shown, what is restored.
\pset null (null)
SELECT incomplete_orders.create_shop('lnk', 'Links & Co') AS shop_id \gset
SELECT incomplete_orders.create_shop('lnk-2', 'Another') AS shop_2 \gset
-- Consent, gaps and quiet hours have a test of their own (rules).
UPDATE incomplete_orders.shops SET consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id IN (:shop_id, :shop_2);
SELECT incomplete_orders.configure_shop('lnk', '{"base_url": "https://shop.example", "restore_url": "https://shop.example/cart?restore={token}", "logo_url": "https://shop.example/l.png", "colour": "#123456"}');
CREATE SCHEMA lnk;
-- An order that was abandoned, with a message that was sent for it; its tokens.
CREATE FUNCTION lnk.mailed(session_id text, items text, OUT id uuid, OUT message uuid, OUT restore text, OUT click text, OUT open text, OUT unsubscribe text, OUT not_me text)
LANGUAGE plpgsql AS $$
BEGIN
	id := incomplete_orders.capture_cart(session_id, items::incomplete_orders.line_items, email => session_id || '@example.com', customer_id => 'c-' || session_id, name => 'N. ' || session_id,
		shipping => 4.9, tax => 2, context => '{"locale": "de-AT"}', shop => 'lnk', at => now() - interval '3 h');
	PERFORM incomplete_orders.mark_abandoned(id);
	INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at, sent_at)
	SELECT incomplete_orders.shop_of(mailed.id), incomplete_orders._new_id(incomplete_orders.shop_of(mailed.id)), now(), s::incomplete_orders.message_status,
		mailed.id, mailed.id, 1, n, 'abandoned_cart', 'cart_abandoned', session_id || '@example.com', now(), now() + interval '5 days', now()
	FROM (VALUES (1, 'sent'), (2, 'queued')) v (n, s);
	message := (SELECT m.id FROM incomplete_orders.messages m WHERE m.order_id = mailed.id AND m.step = 1);
	SELECT t.restore, t.click, t.open, t.unsubscribe, t.not_me INTO restore, click, open, unsubscribe, not_me FROM incomplete_orders._link_tokens(message, now()) t;
END
$$;
CREATE VIEW lnk.orders AS
	SELECT session_id, status, (SELECT e.episode FROM incomplete_orders.open_orders e WHERE e.id = o.id) AS episode, email, customer_id, name,
		(SELECT string_agg(i->>'sku' || ' ' || (i->>'quantity'), ', ' ORDER BY i->>'sku', i->>'quantity') FROM jsonb_array_elements(items) i) AS lines, total, close_reason
	FROM incomplete_orders.incomplete_orders o WHERE shop = 'lnk';
CREATE FUNCTION lnk.lines(items jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(i->>'sku' || ' ' || (i->>'quantity') || ' ' || (i->>'line_total'), ', ' ORDER BY i->>'sku', i->>'quantity') FROM jsonb_array_elements(items) i
$$;
\set cart '[{"sku":"A","quantity":2,"unit_price":"10","name":"A \\"b\\" <c>","variant":"red","url":"https://shop.example/a"},{"sku":"B","quantity":1,"unit_price":"0.5","url":"javascript:alert(1)"},{"sku":"C","quantity":3,"unit_price":1}]'

-- Tokens: 43 characters, one for each link, the same on the same day, others on another.
SELECT * FROM lnk.mailed('one', :'cart') \gset
SELECT length(:'restore'), :'restore' ~ '^[A-Za-z0-9_-]{43}$' AS alphabet,
	(SELECT count(DISTINCT t) FROM unnest(ARRAY[:'restore', :'click', :'open', :'unsubscribe', :'not_me']) t) AS distinct,
	:'restore' = restore AS same FROM incomplete_orders._link_tokens(:'message', date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');
SELECT :'restore' = restore AS same FROM incomplete_orders._link_tokens(:'message', now() - interval '1 day');
-- each opens its own link only
CREATE FUNCTION lnk.opens(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	what text;
	opened text[];
BEGIN
	FOREACH what IN ARRAY ARRAY['preview_unsubscribe(%L)', 'preview_cart(%L)', 'restore_cart(%L)', 'link_target(%L, 1)', 'open_link(%L)', 'unsubscribe(%L)'] LOOP
		BEGIN
			EXECUTE format('SELECT incomplete_orders.' || what, token);
			opened := opened || split_part(what, '(', 1);
			RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
		EXCEPTION WHEN SQLSTATE 'ZZZZZ' OR SQLSTATE 'IC011' THEN NULL;
		END;
	END LOOP;
	RETURN array_to_string(opened, ' ');
END
$$;
SELECT link, lnk.opens(token) FROM (VALUES ('restore', :'restore'), ('click', :'click'), ('open', :'open'), ('unsubscribe', :'unsubscribe'), ('not_me', :'not_me'), ('none', NULL), ('empty', ''),
	-- another spelling of the same bytes, one character more or less, padding, the other alphabet
	('last', left(:'restore', 42) || chr(ascii(right(:'restore', 1)) + 1)), ('more', :'restore' || 'A'), ('less', left(:'restore', 42)), ('padded', :'restore' || '='),
	('blank', ' ' || :'restore'), ('umlaut', left(:'restore', 41) || 'ä')) v (link, token);
-- expired: 60 days for the cart, five years for unsubscribing
SELECT days, lnk.opens(restore) AS restore, lnk.opens(click) AS click, lnk.opens(open) AS open, lnk.opens(unsubscribe) AS unsubscribe, lnk.opens(not_me) AS not_me
FROM unnest(ARRAY[60, 61, 1830, 1831]) days, incomplete_orders._link_tokens(:'message', now() - days * interval '24 h');
-- expired is said of true ones only
SELECT incomplete_orders.preview_cart(restore) FROM incomplete_orders._link_tokens(:'message', now() - interval '61 days');
SELECT incomplete_orders.preview_cart(left(restore, 30) || 'AAAAAAAAAAAAA') FROM incomplete_orders._link_tokens(:'message', now() - interval '61 days');
-- A new key: it signs from now on, old links stay. The person's key is not touched.
SELECT incomplete_orders.rotate_link_key() > 1 AS newer;
SELECT restore = :'restore' AS same, lnk.opens(restore) AS opens, lnk.opens(:'restore') AS old_opens FROM incomplete_orders._link_tokens(:'message', now());
-- a key without which no link can be valid any more goes; the last 60 stay
BEGIN;
UPDATE incomplete_orders.secret_keys SET created_at = now() - interval '1832 days';
SELECT incomplete_orders.rotate_link_key() - min(key_id) AS kept FROM incomplete_orders.secret_keys WHERE purpose = 'link';
SELECT lnk.opens(:'restore') AS forgotten;
SELECT count(incomplete_orders.rotate_link_key()) FROM generate_series(1, 57);
SELECT count(*), purpose FROM incomplete_orders.secret_keys GROUP BY purpose ORDER BY purpose;
SELECT count(*) FROM incomplete_orders._person_keys(:shop_id, 'c', NULL, NULL);
SELECT incomplete_orders.rotate_link_key() FROM generate_series(1, 2);
ROLLBACK;
SELECT lnk.opens(:'restore') AS after_rollback;

-- What a GET shows, and that it writes nothing: in a transaction that may not.
CREATE FUNCTION lnk.everything() RETURNS TABLE (relation text, rows bigint, hash text) LANGUAGE plpgsql AS $$
BEGIN
	FOR relation IN SELECT r.relation FROM incomplete_orders._relations() r WHERE r.kind = 'table' ORDER BY 1 LOOP
		EXECUTE format('SELECT count(*), md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '''')) FROM incomplete_orders.%I t', relation) INTO rows, hash;
		RETURN NEXT;
	END LOOP;
END
$$;
CREATE TABLE lnk.before AS SELECT * FROM lnk.everything();
\x on
BEGIN READ ONLY;
SELECT message_id = :'message' AS message, order_id = :'id' AS id, shop, shop_name, locale, reference LIKE 'INC-%' AS reference, status, jsonb_pretty(items) AS items, total, currency,
	logo_url, colour, restore_url, base_url FROM incomplete_orders.preview_cart(:'restore');
\x off
SELECT line, message_id = :'message' AS message, CASE WHEN url = '/r/' || :'restore' THEN 'restore page' ELSE url END AS url
FROM unnest(ARRAY[1, 2, 3, 4, 0, -1, NULL, 2147483647]) line, incomplete_orders.link_target(:'click', line);
SELECT incomplete_orders.open_link(:'open') = :'message' AS message;
SELECT message_id = :'message' AS message, shop, shop_name, locale, logo_url, colour FROM incomplete_orders.preview_unsubscribe(:'unsubscribe');
SELECT shop FROM incomplete_orders.preview_unsubscribe(:'not_me');
COMMIT;
SELECT count(*) > 15 AS tables FROM lnk.before;
(TABLE lnk.before EXCEPT SELECT * FROM lnk.everything()) UNION ALL (SELECT * FROM lnk.everything() EXCEPT TABLE lnk.before);
-- Nobody is named in it.
SELECT row_to_json(p)::text ~ 'one@|c-one|N\. one' AS named FROM incomplete_orders.preview_cart(:'restore') p;

-- Restored where it is: the customer is back, what waited is cancelled. Twice is as once.
SELECT id = :'id' AS id, lnk.lines(items) AS lines, removed, changed, session FROM incomplete_orders.restore_cart(:'restore');
SELECT id = :'id' AS id, session FROM incomplete_orders.restore_cart(:'restore', 'one', 'lnk');
TABLE lnk.orders;
SELECT step, status, reason FROM incomplete_orders.messages WHERE order_id = :'id' ORDER BY step;
SELECT event FROM incomplete_orders.order_events WHERE order_id = :'id' ORDER BY event_id;
-- Into a session that has none: the order moves there as it is.
SELECT id = :'id' AS id, session FROM incomplete_orders.restore_cart(:'restore', 'phone');
SELECT * FROM lnk.orders;
-- Into one that has another: its lines are added there, and nothing of the person.
SELECT incomplete_orders.capture_cart('friend', '[{"sku":"A","quantity":1,"unit_price":"10"},{"sku":"F","quantity":1,"unit_price":7}]', shop => 'lnk') AS friend \gset
SELECT id = :'friend' AS id, lnk.lines(items) AS lines, session FROM incomplete_orders.restore_cart(:'restore', 'friend');
SELECT id = :'friend' AS id, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'friend');
SELECT * FROM lnk.orders ORDER BY session_id COLLATE "C";
SELECT address, context, phone FROM incomplete_orders.open_orders WHERE id = :'friend';
-- What the friend took out comes back with the link, what the friend has more of stays.
SELECT incomplete_orders.capture_cart('friend', '[{"sku":"A","quantity":5,"unit_price":"10","name":"A \"b\" <c>","variant":"red","url":"https://shop.example/a"}]', shop => 'lnk') = :'friend' AS id;
SELECT id = :'friend' AS id, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'friend');

-- A closed order never reopens: its lines begin a new one, without the person.
SELECT * FROM lnk.mailed('late', :'cart') \gset
SELECT incomplete_orders.dismiss_order(:'id');
SELECT status, lnk.lines(items) AS lines, total FROM incomplete_orders.preview_cart(:'restore');
SELECT id AS made, id <> :'id' AS another, lnk.lines(items) AS lines, session AS made_session, session ~ '^restored-[A-Za-z0-9_-]{43}$' AS session FROM incomplete_orders.restore_cart(:'restore') \gset
SELECT :'another' AS another, :'lines' AS lines, :'session' AS session;
SELECT id = :'made' AS same, session = :'made_session' AS session FROM incomplete_orders.restore_cart(:'restore');
SELECT status, email, customer_id, name, lines, total FROM lnk.orders WHERE session_id = :'made_session';
SELECT continues_id = :'id' AS continues, root_id = id AS own_root, shipping, tax FROM incomplete_orders.open_orders WHERE id = :'made';
SELECT value, item_count FROM incomplete_orders.order_events WHERE order_id = :'made' AND event = 'created';
SELECT status, close_reason, lines FROM lnk.orders WHERE session_id = 'late';
-- it comes along into the first session that the shop names; another one gets its own
SELECT id = :'made' AS same, session, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'desk');
SELECT id = :'made' AS same, session, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'desk');
SELECT id = :'made' AS same, session, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'tablet');
-- A session that has an order already keeps it; it is brought up to date first.
SELECT incomplete_orders.capture_cart('busy', '[{"sku":"C","quantity":1,"unit_price":1},{"sku":"X","quantity":1,"unit_price":1}]', shop => 'lnk', at => now() - interval '2 h') AS busy \gset
SELECT id = :'busy' AS same, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'busy');
SELECT id = :'busy' AS same, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'busy');
SELECT event FROM incomplete_orders.order_events WHERE order_id = :'busy' ORDER BY event_id;
SELECT incomplete_orders.capture_cart('empty', '[]', currency => 'EUR', shop => 'lnk') AS empty \gset
SELECT id = :'empty' AS same, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'empty');
SELECT currency, shipping FROM incomplete_orders.open_orders WHERE id = :'empty';
SELECT incomplete_orders.capture_cart('euros', '[{"sku":"C","quantity":1,"unit_price":1}]', currency => 'EUR', shop => 'lnk') AS euros \gset
SELECT incomplete_orders.restore_cart(:'restore', 'euros');

-- Expired, found out by the restore itself.
SELECT * FROM lnk.mailed('gone', :'cart') \gset
SELECT status FROM incomplete_orders.preview_cart(:'restore');
SELECT id <> :'id' AS another, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'gone', at => now() + interval '40 days');
SELECT status FROM incomplete_orders.preview_cart(:'restore');

-- Ordered in part: what is left. The first part bore the charges.
SELECT * FROM lnk.mailed('part', '[{"sku":"A","quantity":5,"unit_price":10},{"sku":"B","quantity":1,"unit_price":3,"url":"https://shop.example/b"}]') \gset
SELECT order_number IS NOT NULL AS ordered FROM incomplete_orders.convert_order(:'id', '[{"sku":"A","quantity":5,"unit_price":10}]', idempotency_key => 'p');
SELECT status, lnk.lines(items) AS lines, total FROM incomplete_orders.preview_cart(:'restore');
SELECT url FROM incomplete_orders.link_target(:'click', 1);
SELECT id = :'id' AS id, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'part-2');
SELECT incomplete_orders.delete_order(:'id');
SELECT id <> :'id' AS another, lnk.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'part-3');
SELECT shipping, total FROM incomplete_orders.incomplete_orders WHERE session_id = 'part-3';

-- Ordered: the page can say so, nothing is put into a cart again, no number is told.
SELECT * FROM lnk.mailed('done', :'cart') \gset
SELECT order_number IS NOT NULL AS ordered FROM incomplete_orders.convert_order(:'id', order_number => 'SECRET-1');
SELECT status FROM incomplete_orders.preview_cart(:'restore');
SELECT incomplete_orders.restore_cart(:'restore', 'new');
SELECT url = '/r/' || :'restore' AS restore_page FROM incomplete_orders.link_target(:'click', 9);
-- A payment in flight keeps its cart.
SELECT * FROM lnk.mailed('paying', :'cart') \gset
SELECT incomplete_orders.mark_payment_pending(:'id');
CREATE FUNCTION lnk.refusal(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '[0-9a-f]{8}-[0-9a-f-]{27}', '(id)');
END
$$;
SELECT lnk.refusal(format('SELECT incomplete_orders.restore_cart(%L, %L)', :'restore', 'busy'));
SELECT status, id = :'id' AS moved FROM incomplete_orders.restore_cart(:'restore', 'elsewhere') r JOIN incomplete_orders.incomplete_orders o USING (id);
\set VERBOSITY terse
-- the shop, if it is named, must be the message's
SELECT incomplete_orders.restore_cart(:'restore', 'x', 'lnk-2');
SELECT incomplete_orders.restore_cart(:'restore', 'x', 'nowhere');
SELECT incomplete_orders.restore_cart(:'restore', E'x\ny');
-- without the order or the message the link leads nowhere
BEGIN;
DELETE FROM incomplete_orders.messages WHERE id = :'message';
SELECT incomplete_orders.preview_cart(:'restore');
ROLLBACK;
BEGIN;
DELETE FROM incomplete_orders.messages WHERE id = :'message';
SELECT incomplete_orders.open_link(:'open');
ROLLBACK;
-- Retention deletes message and order: unsubscribing by the link in the mail works all the same, other links do not.
BEGIN;
SELECT id AS past, unsubscribe AS past_unsubscribe, open AS past_open FROM lnk.mailed('past', :'cart') \gset
UPDATE incomplete_orders.messages SET status = 'sent' WHERE order_id = :'past';
SELECT incomplete_orders.dismiss_order(:'past');
SELECT incomplete_orders._allow_retention();
SELECT deleted > 0 AS deleted FROM incomplete_orders._retire(:shop_id, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', now(), 1000);
SELECT count(*) AS messages FROM incomplete_orders.messages WHERE order_id = :'past';
SELECT shop, shop_name, locale FROM incomplete_orders.preview_unsubscribe(:'past_unsubscribe');
SELECT incomplete_orders.unsubscribe(:'past_unsubscribe'), incomplete_orders.unsubscribe(:'past_unsubscribe', 'all');
SELECT s.scope, s.reason FROM incomplete_orders.suppressions s
WHERE s.shop_id = :shop_id AND s.person = (incomplete_orders._person_keys(:shop_id, NULL, 'past@example.com', NULL))[1] ORDER BY s.scope;
SELECT incomplete_orders._retire_persons(:shop_id, now() + interval '5 years');
SELECT incomplete_orders.unsubscribe(:'past_unsubscribe') AS while_it_is_valid;
SELECT incomplete_orders._retire_persons(:shop_id, now() + interval '5 years 10 days');
SELECT count(*) AS past_recipients FROM incomplete_orders.past_recipients WHERE shop_id = :shop_id;
SELECT incomplete_orders.open_link(:'past_open');
ROLLBACK;
\set VERBOSITY default
SET client_min_messages = warning;
DROP SCHEMA lnk CASCADE;
SELECT count(*) > 0 AS deleted FROM unnest(ARRAY['lnk', 'lnk-2']) s, incomplete_orders.delete_shop(s, false);

-- What a shop can still sell: its function availability() in claims and restored carts.
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('stock', 'Stock', 'EUR') AS shop_id \gset
UPDATE incomplete_orders.shops SET consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id = :shop_id;
DELETE FROM incomplete_orders.messages;
CREATE SCHEMA stock;
CREATE TABLE stock.products (sku text, available integer, unit_price numeric);
INSERT INTO stock.products VALUES ('tea', 10, 19.90), ('cup', 2, 5), ('pot', 0, 30), ('ebook', NULL, NULL), ('cake', 10, 4.5), ('owed', -3, 1);
CREATE TABLE stock.calls (skus text[], as_role text, acting text);
CREATE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO stock.calls SELECT array_agg(s ORDER BY s COLLATE "C"), current_user, incomplete_orders._acting_role() FROM unnest(skus) s;
	RETURN QUERY SELECT p.* FROM stock.products p;
END
$$;
CREATE FUNCTION stock.cart(session text, items text, currency text DEFAULT NULL, shipping numeric DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	id uuid := incomplete_orders.capture_cart(session, items::incomplete_orders.line_items, email => session || '@example.com', currency => currency, shipping => shipping, shop => 'stock');
BEGIN
	PERFORM incomplete_orders.mark_abandoned(id);
	RETURN id;
END
$$;
CREATE FUNCTION stock.line(sku text, quantity integer, unit_price numeric DEFAULT 5) RETURNS text LANGUAGE sql AS $$
	SELECT format('{"sku": "%s", "name": "The %s", "quantity": %s, "unit_price": "%s"}', $1, $1, $2, $3)
$$;
CREATE FUNCTION stock.queue(order_id uuid, step integer DEFAULT 1) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.messages (shop_id, id, due_at, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at)
	SELECT o.shop_id, incomplete_orders._new_id(o.shop_id), now() - interval '1 minute', o.id, o.root_id, o.episode, $2, 'abandoned_cart', 'cart_abandoned', o.email, now(), now() + interval '5 days'
	FROM incomplete_orders.open_orders o WHERE o.id = $1 RETURNING id
$$;
CREATE FUNCTION stock.claim(OUT session text, OUT items text, OUT facts jsonb) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT split_part(c.recipient, '@', 1), (SELECT string_agg(format('%s x %s at %s = %s%s', i ->> 'quantity', i ->> 'sku', i ->> 'unit_price', i ->> 'line_total',
			CASE WHEN i ?| '{line,quantity_was,unit_price_was}' THEN ' ' || (i - '{sku,url,name,variant,quantity,image_url,line_total,unit_price}'::text[])::text ELSE '' END), ', ')
			FROM jsonb_array_elements(c.message #> '{order,items}') i),
		jsonb_strip_nulls(jsonb_build_object('total', c.message #> '{order,total}', 'count', c.message #> '{order,item_count}', 'unavailable', c.message #> '{order,unavailable}'))
	FROM incomplete_orders.claim_messages('w') c ORDER BY 1
$$;
CREATE VIEW stock.messages AS
SELECT split_part(m.recipient, '@', 1) AS session, m.status, m.attempts, m.reason, m.due_at > now() + interval '14 minutes' AND m.due_at < clock_timestamp() + interval '16 minutes' AS in_15_minutes
FROM incomplete_orders.messages m WHERE m.shop_id = (SELECT s.shop_id FROM incomplete_orders.shops s WHERE s.shop = 'stock') ORDER BY 1;
CREATE VIEW stock.failures AS
SELECT f.hook, f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'stock';
CREATE FUNCTION stock.make_due() RETURNS void LANGUAGE sql AS $$
	UPDATE incomplete_orders.messages SET due_at = now() - interval '1 second' WHERE status IN ('queued', 'sending')
$$;

-- Without the function every line can be sold.
SELECT stock.queue(stock.cart('all', format('[%s,%s]', stock.line('pot', 1, 30), stock.line('nobody knows', 2)))) IS NOT NULL AS queued;
SELECT * FROM stock.claim();
SELECT count(*) AS calls FROM stock.calls;

-- With it: all of it, fewer, none, another price, not in the answer, as many as anybody wants, owed.
SELECT incomplete_orders.configure_shop('stock', '{"availability": "stock.availability"}');
DELETE FROM incomplete_orders.messages;
SELECT count(stock.queue(stock.cart(v.session, format('[%s]', v.items), v.currency, v.shipping))) AS queued FROM (VALUES
	('a-same', stock.line('tea', 2, 19.90), NULL, 4.90),
	('b-fewer', stock.line('cup', 5), NULL, 4.90),
	('c-left-out', stock.line('pot', 1) || ',' || stock.line('tea', 1, 19.90) || ',' || stock.line('gone', 1), NULL, NULL),
	('d-price', stock.line('cake', 2, 4) || ',' || stock.line('tea', 1, 21), NULL, NULL),
	('e-ebook', stock.line('ebook', 1000, 1), NULL, NULL),
	('f-nothing', stock.line('pot', 1) || ',' || stock.line('owed', 1), NULL, NULL),
	('g-dollars', stock.line('cake', 1, 6), 'USD', NULL),
	('h-two-lines', stock.line('cup', 1) || ',{"sku": "cup", "name": "Red", "quantity": 3, "unit_price": "5"},{"sku": "cup", "name": "Blue", "quantity": 1, "unit_price": "5"}', NULL, NULL)
) v (session, items, currency, shipping);
SELECT * FROM stock.claim();
SELECT session, status, attempts, reason FROM stock.messages WHERE status <> 'sending';
SELECT reason, step FROM incomplete_orders.message_skips WHERE shop_id = :shop_id;
-- Asked once for the whole batch, each sku once, as the role that named it.
SELECT skus, as_role = current_user AND acting = current_user AS as_me FROM stock.calls;
SELECT count(*) AS failures FROM stock.failures;
-- What was ordered of a line is not asked for again and cannot be missing.
DELETE FROM incomplete_orders.messages;
DELETE FROM stock.calls;
SELECT stock.cart('part', format('[%s,%s]', stock.line('pot', 1, 30), stock.line('cup', 4))) AS id \gset
UPDATE incomplete_orders.open_orders SET items = '[{"sku":"pot","quantity":1,"unit_price":"30","filled":1},{"sku":"cup","quantity":4,"unit_price":"5","filled":1}]' WHERE id = :'id';
SELECT stock.queue(:'id') IS NOT NULL AS queued;
SELECT * FROM stock.claim();
SELECT skus FROM stock.calls;

-- An error: the messages wait, those by hand too; no attempt is counted, health() says it.
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO stock.calls VALUES (skus);
	PERFORM 1 / 0;
END
$$;
DELETE FROM incomplete_orders.messages;
DELETE FROM stock.calls;
SELECT stock.queue(stock.cart('fails', format('[%s]', stock.line('tea', 1)))) IS NOT NULL AS queued;
SELECT stock.queue(stock.cart('fails-by-hand', format('[%s]', stock.line('tea', 1))), 0) IS NOT NULL AS queued;
SELECT * FROM stock.claim();
SELECT * FROM stock.messages;
SELECT * FROM stock.failures;
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'hooks';
SELECT count(*) AS left_behind FROM stock.calls;
SELECT count(*) AS claimed_at_once FROM incomplete_orders.claim_messages('w');
-- Nor is another shop delayed by that.
SELECT incomplete_orders.create_shop('stock-b', 'Other', 'EUR') AS other \gset
UPDATE incomplete_orders.shops SET consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id = :other;
SELECT incomplete_orders.capture_cart('other', '[{"sku": "pot", "quantity": 1, "unit_price": "1"}]', email => 'other@example.com', shop => 'stock-b') AS id \gset
SELECT incomplete_orders.mark_abandoned(:'id');
SELECT stock.queue(:'id') IS NOT NULL AS queued;
SELECT stock.make_due();
SELECT session, items FROM stock.claim();
SELECT failures FROM stock.failures;

-- It takes too long.
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS $$
	SELECT 'tea', 1, 1.0 FROM pg_sleep(60)
$$;
SET incomplete_orders.hook_timeout = 50;
SELECT stock.make_due();
SELECT count(*) FILTER (WHERE shop = 'stock') AS claimed FROM incomplete_orders.claim_messages('w');
SELECT * FROM stock.messages;
SELECT * FROM stock.failures;
RESET incomplete_orders.hook_timeout;

-- An answer that is none: a sku twice, a price that is none, another function by that name.
CREATE FUNCTION stock.answers(answer text, OUT claimed bigint, OUT sqlstate text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'DROP FUNCTION stock.availability(text[])';
	EXECUTE 'CREATE FUNCTION stock.availability(skus text[]) ' || answer;
	PERFORM stock.make_due();
	claimed := (SELECT count(*) FROM incomplete_orders.claim_messages('w') c WHERE c.shop = 'stock');
	sqlstate := (SELECT f.sqlstate FROM stock.failures f);
END
$$;
SELECT * FROM stock.answers($$RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS 'VALUES (''tea'', 1, 1.0), (''tea'', 2, 1.0)'$$);
SELECT * FROM stock.answers($$RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS 'VALUES (''tea'', 1, ''NaN''::numeric)'$$);
SELECT * FROM stock.answers($$RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS 'VALUES (''tea'', 1, -0.01)'$$);
SELECT * FROM stock.answers($$RETURNS TABLE (sku text, stock integer) LANGUAGE sql AS 'VALUES (''tea'', 1)'$$);
-- It calls what calls it.
SELECT * FROM stock.answers($$RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS 'SELECT c.shop, 1, 1.0 FROM incomplete_orders.claim_messages(''w'') c'$$);
SELECT * FROM stock.messages;
-- It answers again: nothing was lost, and health() is quiet.
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS $$
	SELECT p.* FROM stock.products p
$$;
SELECT stock.make_due();
SELECT session, items FROM stock.claim();
SELECT count(*) AS failures FROM stock.failures;

-- With the rights of the role that named it, as long as it has them.
CREATE ROLE regress_stock_admin;
GRANT USAGE ON SCHEMA stock TO regress_stock_admin;
GRANT SELECT ON stock.products TO regress_stock_admin;
SELECT incomplete_orders.grant_to('regress_stock_admin', 'admin', 'stock');
SET ROLE regress_stock_admin;
SELECT incomplete_orders.configure_shop('stock', '{"availability": null}');
SELECT incomplete_orders.configure_shop('stock', '{"availability": "stock.availability"}');
RESET ROLE;
CREATE FUNCTION stock.claimed(OUT claimed bigint, OUT sqlstate text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM stock.make_due();
	claimed := (SELECT count(*) FROM incomplete_orders.claim_messages('w') c WHERE c.shop = 'stock');
	sqlstate := (SELECT f.sqlstate FROM stock.failures f);
END
$$;
SELECT * FROM stock.claimed();
REVOKE SELECT ON stock.products FROM regress_stock_admin;
SELECT * FROM stock.claimed();
GRANT SELECT ON stock.products TO regress_stock_admin;
SELECT incomplete_orders.revoke_from('regress_stock_admin', 'admin', 'stock');
SELECT * FROM stock.claimed();
SELECT incomplete_orders.grant_to('regress_stock_admin', 'admin', 'stock');
SELECT * FROM stock.claimed();
SELECT incomplete_orders.revoke_from('regress_stock_admin', 'admin', 'stock');
DROP OWNED BY regress_stock_admin;
DROP ROLE regress_stock_admin;
SELECT * FROM stock.claimed();
SELECT DISTINCT status, attempts > 0 AS was_claimed, in_15_minutes FROM stock.messages;
-- A function that nobody names any more does not fail.
SELECT incomplete_orders.configure_shop('stock', '{"availability": null}');
CALL incomplete_orders.tick() \g /dev/null
SELECT count(*) AS failures FROM stock.failures;

-- The link of a mail: what is left out and what differs is said, and the order keeps it.
SELECT incomplete_orders.configure_shop('stock', '{"availability": "stock.availability"}');
DELETE FROM incomplete_orders.messages;
SELECT stock.cart('link', format('[%s,%s,%s,%s]', stock.line('pot', 1, 30), stock.line('cup', 4), stock.line('cake', 2, 4), stock.line('tea', 1, 19.9)), shipping => 4.9) AS id \gset
SELECT stock.queue(:'id') AS message \gset
SELECT restore FROM incomplete_orders._link_tokens(:'message', now()) \gset
CREATE FUNCTION stock.lines(items jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s x %s at %s', i ->> 'quantity', i ->> 'sku', i ->> 'unit_price'), ', ') FROM jsonb_array_elements(items) i
$$;
SELECT stock.lines(items) AS lines, total, jsonb_pretty(removed) AS removed, jsonb_pretty(changed) AS changed FROM incomplete_orders.preview_cart(:'restore');
SELECT stock.lines(m.object #> '{order,items}') AS lines, m.object #> '{order,unavailable}' AS unavailable FROM incomplete_orders.preview_message('cart_abandoned', id => :'id') m (object);
SELECT id = :'id' AS id, stock.lines(items) AS lines, stock.lines(removed) AS removed, stock.lines(changed) AS changed FROM incomplete_orders.restore_cart(:'restore', 'phone');
SELECT stock.lines(items::jsonb) AS lines FROM incomplete_orders.open_orders WHERE id = :'id';
-- What comes back into stock comes back into the cart.
UPDATE stock.products SET available = 1, unit_price = NULL WHERE sku = 'pot';
SELECT stock.lines(items) AS lines, stock.lines(removed) AS removed FROM incomplete_orders.restore_cart(:'restore', 'phone');
-- A closed one.
SELECT incomplete_orders.dismiss_order(:'id', 'test');
SELECT id <> :'id' AS another, stock.lines(items) AS lines, stock.lines(removed) AS removed, stock.lines(changed) AS changed FROM incomplete_orders.restore_cart(:'restore', 'phone');
-- Nothing at all.
UPDATE stock.products SET available = 0;
SELECT items, total, stock.lines(removed) AS removed, changed FROM incomplete_orders.preview_cart(:'restore');
-- It fails: the cart is as it was captured; who restores it leaves word of that.
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'closed';
END
$$;
SELECT stock.lines(items) AS lines, total, removed, changed FROM incomplete_orders.preview_cart(:'restore');
SELECT * FROM stock.failures;
SELECT stock.lines(items) AS lines, removed, changed FROM incomplete_orders.restore_cart(:'restore', 'phone');
SELECT * FROM stock.failures;


--
-- Before a message is queued: the best cart is the best of what can be sold, and the
-- dry run says the same.
--
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO stock.calls SELECT array_agg(s ORDER BY s COLLATE "C"), current_user, incomplete_orders._acting_role() FROM unnest(skus) s;
	RETURN QUERY SELECT p.* FROM stock.products p;
END
$$;
BEGIN;
SELECT incomplete_orders._allow_purge();
DELETE FROM incomplete_orders.open_orders WHERE shop_id = :shop_id;
COMMIT;
DELETE FROM incomplete_orders.message_skips WHERE shop_id = :shop_id;
DELETE FROM stock.calls;
TRUNCATE stock.products;
INSERT INTO stock.products VALUES ('tea', 10, 20), ('cup', 2, 5), ('pot', 0, 30), ('cake', 10, 90);
SELECT incomplete_orders.enable_campaign('cart', 'stock', at => '2024-01-01');
SET timezone = 'UTC';
CREATE FUNCTION stock.person(session text, email text, items text, currency text DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart(session, format('[%s]', items)::incomplete_orders.line_items, email => email, currency => currency, shop => 'stock', at => '2024-03-01 10:00')
$$;
SELECT count(stock.person(v.session, v.email, v.items)) AS carts FROM (VALUES
	('a sold out', 'a@example.com', stock.line('pot', 9, 100)), ('a worth little', 'a@example.com', stock.line('tea', 1, 20)),
	('b fewer', 'b@example.com', stock.line('cup', 100, 5)), ('b best', 'b@example.com', stock.line('tea', 1, 20)),
	('c dearer now', 'c@example.com', stock.line('cake', 1, 1)), ('c other', 'c@example.com', stock.line('tea', 1, 20)),
	('d nothing', 'd@example.com', stock.line('pot', 1, 30) || ',' || stock.line('gone', 1)), ('e', 'e@example.com', stock.line('tea', 1, 20))) v (session, email, items);
CREATE FUNCTION stock.said(at timestamptz) RETURNS TABLE (session text, step integer, action text, reason text, due_at timestamptz) LANGUAGE sql AS $$
	SELECT o.session_id, p.step, p.action, p.reason, p.due_at FROM incomplete_orders.preview_recovery('stock', $1) p JOIN incomplete_orders.open_orders o ON o.id = p.order_id ORDER BY 1
$$;
CREATE FUNCTION stock.did(at timestamptz) RETURNS TABLE (session text, step integer, action text, reason text) LANGUAGE sql AS $$
	SELECT * FROM (SELECT o.session_id, m.step, 'queued', NULL FROM incomplete_orders.messages m JOIN incomplete_orders.open_orders o ON o.id = m.order_id
		WHERE m.queued_at = $1 UNION ALL SELECT o.session_id, k.step, 'skipped', k.reason FROM incomplete_orders.message_skips k
		JOIN incomplete_orders.open_orders o ON o.id = k.order_id WHERE k.at = $1) x ORDER BY 1
$$;
SELECT session, step, action, reason FROM stock.said('2024-03-01 12:00');
-- a campaign that is off, too
SELECT incomplete_orders.disable_campaign('cart', 'stock');
SELECT o.session_id, p.action, p.reason FROM incomplete_orders.preview_recovery('stock', '2024-03-01 12:00', '{cart}') p JOIN incomplete_orders.open_orders o ON o.id = p.order_id
WHERE o.session_id LIKE 'a%' OR o.session_id LIKE 'd%' ORDER BY 1;
SELECT incomplete_orders.enable_campaign('cart', 'stock', at => '2024-01-01');
CALL incomplete_orders.tick(at => '2024-03-01 12:00') \g /dev/null
SELECT * FROM stock.did('2024-03-01 12:00');
-- asked once by each, for all of it
SELECT DISTINCT skus, as_role = current_user AND acting = current_user AS as_me FROM stock.calls;
SELECT count(*) AS calls FROM stock.calls;
SELECT session, items FROM stock.claim();
UPDATE incomplete_orders.messages SET status = 'sent', sent_at = queued_at WHERE shop_id = :shop_id;
-- What comes back is mailed with the next step; a cart of which too little is left is not worth one.
UPDATE stock.products SET available = 1 WHERE sku = 'pot';
SELECT incomplete_orders.configure_shop('stock', '{"exclusions": {"minimum_value": 25}}');
SELECT session, step, action, reason FROM stock.said('2024-03-02 12:00');
CALL incomplete_orders.tick(at => '2024-03-02 12:00') \g /dev/null
SELECT * FROM stock.did('2024-03-02 12:00');
-- the claim asks the same again
UPDATE stock.products SET unit_price = 24 WHERE sku = 'pot';
SELECT session, items FROM stock.claim();
SELECT o.session_id, k.reason FROM incomplete_orders.message_skips k JOIN incomplete_orders.open_orders o ON o.id = k.order_id WHERE k.message_id IS NOT NULL ORDER BY 1;
SELECT incomplete_orders.configure_shop('stock', '{"exclusions": {}}');
UPDATE stock.products SET unit_price = NULL, available = 1;
UPDATE incomplete_orders.messages SET status = 'sent', sent_at = queued_at WHERE shop_id = :shop_id AND status <> 'cancelled';
-- It fails: what is due waits, nothing is decided, health() says so; the dry run, too, with a warning and without a trace.
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'closed';
END
$$;
SELECT * FROM stock.said('2024-03-04 12:00');
SELECT count(*) AS failures FROM stock.failures;
CALL incomplete_orders.tick(at => '2024-03-04 12:00') \g /dev/null
SELECT * FROM stock.did('2024-03-04 12:00');
SELECT session_id, next_message_at FROM incomplete_orders.open_orders WHERE shop_id = :shop_id AND next_message_at IS NOT NULL ORDER BY 1;
SELECT * FROM stock.failures;
-- who mails by hand queues, and the claim waits
SELECT o.session_id, r.action, r.reason FROM incomplete_orders.send_recovery_emails(shop => 'stock', dry_run => true, max_attempts => 20, at => '2024-03-04 12:00') r
JOIN incomplete_orders.open_orders o ON o.id = r.order_id ORDER BY 1;
-- It answers again.
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS $$
	SELECT p.* FROM stock.products p WHERE p.sku <> 'tea'
$$;
BEGIN READ ONLY;
SELECT session, step, action, reason FROM stock.said('2024-03-04 12:15');
COMMIT;
SELECT o.session_id, r.action, r.reason FROM incomplete_orders.send_recovery_emails(shop => 'stock', dry_run => true, max_attempts => 20, at => '2024-03-04 12:15') r
JOIN incomplete_orders.open_orders o ON o.id = r.order_id ORDER BY 1;
-- another shop's function never does: it uses up the time there is for all, and those behind it are asked in the next batch
CREATE FUNCTION stock.slow(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS $$ SELECT 'tea', 1, 1.0 FROM pg_sleep(60) $$;
SELECT incomplete_orders.configure_shop('stock-b', '{"availability": "stock.slow"}');
SELECT incomplete_orders.enable_campaign('cart', 'stock-b', at => '2024-01-01');
SELECT incomplete_orders.capture_cart('slow', format('[%s]', stock.line('tea', 1))::incomplete_orders.line_items, email => 'slow@example.com', shop => 'stock-b', at => '2024-03-04 10:00') IS NOT NULL AS captured;
SET incomplete_orders.hook_timeout = 500;
CALL incomplete_orders.tick(at => '2024-03-04 12:15') \g /dev/null
RESET incomplete_orders.hook_timeout;
SELECT o.next_message_at, f.sqlstate FROM incomplete_orders.open_orders o JOIN incomplete_orders.hook_failures f USING (shop_id) WHERE o.session_id = 'slow';
SELECT incomplete_orders.configure_shop('stock-b', '{"availability": null}');
SELECT incomplete_orders.disable_campaign('cart', 'stock-b');
DELETE FROM incomplete_orders.hook_failures WHERE shop_id = :other;
SELECT * FROM stock.did('2024-03-04 12:15');
SELECT count(*) AS failures FROM stock.failures;
SELECT incomplete_orders.disable_campaign('cart', 'stock');

--
-- A coupon is for what can be sold; a preview shows it and gives none out.
--
UPDATE incomplete_orders.messages SET status = 'sent' WHERE shop_id = :shop_id;
SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10, "minimum_value": 50}', shop => 'stock');
UPDATE stock.products SET available = 2, unit_price = 20 WHERE sku = 'cup';
UPDATE stock.products SET available = 10, unit_price = 60 WHERE sku = 'cake';
CREATE FUNCTION stock.offer(session text, items text) RETURNS TABLE (previewed jsonb, line boolean, mailed jsonb, codes bigint) LANGUAGE plpgsql AS $$
DECLARE
	id uuid := stock.cart(session, format('[%s]', items));
	object jsonb := incomplete_orders.preview_message('cart_offer', id => id);
BEGIN
	previewed := object #> '{order,coupon}' #- '{expires_at}';
	line := object #>> '{order,discount_offer}' LIKE 'PREVIEW: -10 % (from 50.00 EUR, until %)';
	codes := (SELECT count(*) FROM incomplete_orders.issued_coupons);
	PERFORM incomplete_orders.send_recovery_email(id, 'discount_offer');
	mailed := (SELECT (c.message #> '{order,coupon}') - '{expires_at,code}'::text[] FROM incomplete_orders.claim_messages('w') c WHERE c.message #>> '{order,id}' = id::text);
	RETURN NEXT;
END
$$;
SELECT v.session, o.* FROM (VALUES ('o-enough', stock.line('cake', 1, 60)), ('o-clamped', stock.line('cup', 9, 20)), ('o-dearer', stock.line('cake', 1, 30)), ('o-cheaper', stock.line('cup', 2, 30))) v (session, items)
CROSS JOIN LATERAL stock.offer(v.session, v.items) o ORDER BY 1;
-- not to somebody who got one; nor does the sample of a text ask anybody
SELECT o.previewed, o.line, o.mailed FROM stock.offer('o-enough', stock.line('cake', 2, 60)) o;
SELECT p #>> '{order,discount_offer}' AS sample FROM incomplete_orders.preview_message('cart_offer', shop => 'stock') p;
-- a cart that the stock has shrunk between two attempts: the same code, but not shown
UPDATE stock.products SET unit_price = 40 WHERE sku = 'cake';
SELECT stock.make_due();
SELECT c.recipient, c.message #> '{order,coupon}' AS coupon, c.message #> '{order,discount_offer}' AS line FROM incomplete_orders.claim_messages('w') c WHERE c.shop = 'stock' AND c.recipient = 'o-dearer@example.com';
-- excluded lines are not in the preview, as not in the mail
SELECT incomplete_orders.configure_shop('stock', '{"exclusions": {"products": ["cup"]}}');
SELECT stock.cart('o-excluded', format('[%s,%s]', stock.line('cup', 1), stock.line('cake', 1)), shipping => 5) AS id \gset
SELECT stock.lines(p #> '{order,items}') AS lines, p #>> '{order,total}' AS total FROM incomplete_orders.preview_message('cart_abandoned', id => :'id') p;
SELECT incomplete_orders.configure_shop('stock', '{"exclusions": {}}');

-- A restored cart: what its session had already is asked for, too.
SELECT stock.queue(stock.cart('r-other', format('[%s]', stock.line('cake', 1)))) AS message \gset
SELECT restore FROM incomplete_orders._link_tokens(:'message', now()) \gset
SELECT incomplete_orders.capture_cart('r-phone', format('[%s]', stock.line('pot', 3))::incomplete_orders.line_items, shop => 'stock') IS NOT NULL AS captured;
UPDATE stock.products SET available = 0 WHERE sku = 'pot';
SELECT stock.lines(items) AS lines, stock.lines(removed) AS removed, availability_failed FROM incomplete_orders.restore_cart(:'restore', 'r-phone');
SELECT availability_failed FROM incomplete_orders.preview_cart(:'restore');
-- It fails: said, and the customer finds the cart.
CREATE OR REPLACE FUNCTION stock.availability(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS $$ SELECT 'x', 1 / 0, 1.0 $$;
SELECT availability_failed, stock.lines(items) AS lines FROM incomplete_orders.preview_cart(:'restore');
SELECT availability_failed, stock.lines(items) AS lines FROM incomplete_orders.restore_cart(:'restore', 'r-phone');
SELECT stock.lines(p #> '{order,items}') AS lines FROM incomplete_orders.preview_message('cart_abandoned', id => :'id') p;

BEGIN;
SELECT incomplete_orders._allow_purge();
DELETE FROM incomplete_orders.open_orders WHERE shop_id = :shop_id;
COMMIT;
SELECT incomplete_orders.remove_coupon('cart', shop => 'stock') AS removed;
DELETE FROM incomplete_orders.issued_coupons;
DELETE FROM incomplete_orders.coupon_persons;
DROP SCHEMA stock CASCADE;
SELECT incomplete_orders.configure_shop('stock', '{"availability": null}');
DELETE FROM incomplete_orders.messages;
DELETE FROM incomplete_orders.hook_failures WHERE shop_id = :shop_id;

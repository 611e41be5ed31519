-- A small shop for the browser tests: forty days of customers, by public functions with
-- `at`, as if the last of them were now.  Every k-th customer's fate follows from k.
-- The sender's clock is the real one: what it wrote is put to the time of the tick, as
-- if the mail had left then.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION incomplete_orders;
SELECT incomplete_orders.setup();

SELECT incomplete_orders.configure_shop('default', '{"name": "Lamp House", "currency": "EUR", "time_zone": "Europe/Berlin", "from_email": "hello@shop.example",
	"reply_to": "help@shop.example", "postal_address": "Lamp House, Lindenweg 3, 10115 Berlin", "base_url": "https://mail.shop.example/",
	"restore_url": "https://shop.example/cart?restore={token}", "colour": "#0b6e4f", "expiry": "12 days", "holdout": 0.2, "consent_rule": "strict",
	"min_gap": "0", "quiet_from": "00:00", "quiet_to": "00:00", "exclusions": {"products": ["GIFT-CARD"], "domains": ["shop.example"]}}');
SELECT incomplete_orders.configure_shop('default', '{"image_hosts": ["https://images.shop.example"]}')
	WHERE incomplete_orders.shop_settings('default') ? 'image_hosts';
SELECT incomplete_orders.create_shop('books', 'Book Nook <b>& Sons</b>', 'USD', 'America/New_York');

DO $$
DECLARE
	of record;
BEGIN
	FOR of IN SELECT * FROM (VALUES ('web_admin', 'LOGIN'), ('web_analyst', 'LOGIN'), ('web_books', 'LOGIN'), ('web_nobody', 'LOGIN'), ('web_super', 'LOGIN SUPERUSER'),
		('web_shop', 'NOLOGIN')) r (name, options) LOOP
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = of.name) THEN
			EXECUTE format('CREATE ROLE %I %s', of.name, of.options);
		END IF;
		EXECUTE format('ALTER ROLE %I PASSWORD %L', of.name, 'web-' || of.name);
	END LOOP;
END
$$;
SELECT incomplete_orders.grant_to(role, purpose, shop) FROM (VALUES ('web_admin', 'admin', 'default'), ('web_admin', 'admin', 'books'),
	('web_analyst', 'analyst', 'default'), ('web_books', 'admin', 'books'), ('web_shop', 'admin', 'default')) g (role, purpose, shop);

SELECT incomplete_orders.enable_campaign(c, at => now() - interval '41 days') FROM unnest('{cart,payment,partial}'::text[]) c;
SELECT incomplete_orders.save_template('cart_friendly', 'en', '{"subject": "Still thinking it over, {{customer_name}}?", "preheader": "Your lamps are here",
	"headline": "Your cart is waiting", "body": "We kept {{total_items}} things for you.", "button": "Back to my cart", "footer": "Lamp House"}', at => now() - interval '41 days');
SELECT incomplete_orders.save_template('cart_abandoned', 'de', '{"subject": "Dein Warenkorb bei {{shop_name}}"}', at => now() - interval '41 days');
SELECT incomplete_orders.save_variant('cart', 1, 'plain', weight => 1, shop => 'default', at => now() - interval '41 days'),
	incomplete_orders.save_variant('cart', 1, 'friendly', 'cart_friendly', 1, 'default', now() - interval '41 days');
SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10, "minimum_value": 20, "valid_for": "7 days"}', 3, 'default', now() - interval '41 days');
SELECT incomplete_orders.configure_webhook('erp', 'https://erp.example/hooks/carts', '{abandoned,converted}', shop => 'default', at => now() - interval '4 days') IS NOT NULL,
	incomplete_orders.configure_webhook('crm', 'https://crm.example/in?x=1', '{recovered}', active => false, shop => 'default', at => now() - interval '4 days') IS NOT NULL;

-- Who: names and goods, some of them hostile.
CREATE TEMP TABLE people (n serial, name text, city text, country text);
INSERT INTO people (name, city, country) VALUES ('Jane Doe', 'Berlin', 'DE'), ('Ana Sofía Núñez', 'Madrid', 'ES'), ('王小明', '北京', 'CN'), ('Søren Ångström', 'Malmö', 'SE'),
	('<img src=x onerror=alert(1)>', '"><script>alert(2)</script>', 'GB'), ('Grace O''Hara', 'Cork', 'IE'), ('أحمد علي', 'القاهرة', 'EG'), ('Max Mustermann', 'Köln', 'DE'),
	('"><script>alert(3)</script>', 'Rome', 'IT'), (E'Eve \u202Emoc.live', 'Oslo', 'NO'), (repeat('Wolfeschlegelsteinhausen', 12), repeat('Llanfair', 12), 'GB'),
	('🦄 Úna 👩‍👩‍👧‍👦', 'Dublin', 'IE'), ('javascript:alert(4)', '{{shop_name}} ${1+1}', 'US'), ('Lena Berg', 'Wien', 'AT'), ('Oleg Petrov', 'Riga', 'LV');
CREATE TEMP TABLE goods (n serial, sku text, name text, price numeric, variant text, image text, url text);
INSERT INTO goods (sku, name, price, variant, image, url) VALUES
	('LAMP-1', 'Desk lamp "Havel"', 49.90, 'brass', 'https://images.shop.example/havel.png', 'https://shop.example/havel'),
	('LAMP-2', 'Floor lamp', 129, NULL, 'https://images.shop.example/floor.png', 'https://shop.example/floor'),
	('BULB-9', 'Bulb E27, warm', 4.5, '7 W', NULL, NULL),
	('HACK-1', '<img src=x onerror=alert(5)>', 19.99, '"><script>alert(6)</script>', 'javascript:alert(7)', 'javascript:alert(8)'),
	('SHADE-3', 'Shade', 24.95, 'linen', 'https://images.shop.example/shade.png', NULL),
	('LONG-1', repeat('Donaudampfschifffahrtsgesellschaft', 8), 9.99, repeat('x', 100), NULL, NULL),
	('EMO-1', E'Lampion 🏮 \u202Eevoba', 15, NULL, NULL, 'https://shop.example/lampion'),
	('GIFT-CARD', 'Gift card', 25, NULL, NULL, NULL), ('CORD-2', 'Textile cord, 2 m', 12.30, 'red', NULL, NULL);

CREATE TEMP TABLE plan (at timestamptz, seq serial, k integer, what text);
-- More in the evening, more lately; the last two days have as many as the week before.
INSERT INTO plan (at, k, what)
SELECT now() - interval '40 days' * (1 - (k / 320.0) ^ 0.8) - interval '1 minute' * (k * 37 % 50) - interval '2 minutes', k, 'cart' FROM generate_series(1, 320) k;
INSERT INTO plan (at, k, what) SELECT now() - interval '4 minutes' * (333 - k), k, 'cart' FROM generate_series(321, 332) k;
INSERT INTO plan (at, k, what) SELECT p.at + f.delay, p.k, f.deed FROM plan p, LATERAL (VALUES
		(0, interval '12 minutes', 'address'), (1, '12 minutes', 'address'), (3, '5 minutes', 'address'), (4, '10 minutes', 'address'), (6, '3 minutes', 'address'),
		(0, '25 minutes', 'buy'), (1, '50 minutes', 'buy'), (2, '4 minutes', 'leave'), (3, '15 minutes', 'leave'),
		(3, '5 hours', 'return'), (3, '5 hours 10 minutes', 'buy'), (4, '27 hours', 'return'), (4, '27 hours 8 minutes', 'buy'),
		(6, '20 minutes', 'awaiting'), (6, CASE WHEN k % 20 = 6 THEN interval '40 minutes' ELSE '90 days' END, 'declined'), (6, CASE WHEN k % 40 = 36 THEN interval '3 hours' ELSE '90 days' END, 'buy'),
		(7, '30 minutes', 'part'), (8, CASE WHEN k % 30 = 8 THEN interval '2 hours' ELSE '90 days' END, 'dismiss'), (8, CASE WHEN k % 30 = 18 THEN interval '1 hour' ELSE '90 days' END, 'delete'),
		(9, '3 days', 'return'), (5, '6 minutes', 'trouble')) f (rest, delay, deed)
	WHERE p.what = 'cart' AND k % 10 = rest AND p.at + f.delay < now() - interval '1 minute';
INSERT INTO plan (at, k, what) SELECT t, 0, 'tick' FROM generate_series(now() - interval '40 days', now() - interval '1 minute', interval '3 hours') t;
INSERT INTO plan (at, k, what) SELECT now() - interval '1 minute' * m, 0, 'tick' FROM unnest('{1,4,30,60,90,120,150}'::integer[]) m;

DO $$
DECLARE
	began CONSTANT timestamptz := now();
	step record;
	who people;
	line_items jsonb;
	oid uuid;
	m record;
	fate integer;
	open_status text;
	report jsonb;
BEGIN
	FOR step IN SELECT * FROM plan ORDER BY at, seq LOOP
		SELECT * INTO who FROM people p WHERE p.n = step.k % 15 + 1;
		SELECT o.id, o.status INTO oid, open_status FROM incomplete_orders.orders_of(session_id => 'session-' || step.k) o WHERE o.status IN ('pending', 'payment_pending', 'payment_failed', 'abandoned') LIMIT 1;
		CASE step.what
		WHEN 'tick' THEN
			CALL incomplete_orders.tick(report, step.at);
			-- the last messages still wait
			CONTINUE WHEN step.at > began - interval '70 minutes';
			FOR m IN SELECT c.* FROM incomplete_orders.claim_messages('fill', 100) c LOOP
				fate := ('x' || right(replace(m.message_id::text, '-', ''), 4))::bit(16)::integer % 12;
				IF fate = 11 THEN
					PERFORM incomplete_orders.fail_message(m.message_id, m.token, true, '550 5.1.1 <no such user> "' || m.recipient || '"');
				ELSIF fate = 10 AND step.at > began - interval '3 days' THEN
					PERFORM incomplete_orders.fail_message(m.message_id, m.token, false, '451 4.7.1 Try again later');
				ELSE
					PERFORM incomplete_orders.ack_message(m.message_id, m.token, '250 2.0.0 Ok: queued');
					UPDATE incomplete_orders.order_events e SET at = step.at WHERE e.event = 'message_sent' AND e.at >= began;
					UPDATE incomplete_orders.order_event_tail e SET at = step.at WHERE e.event = 'message_sent' AND e.at >= began;
					UPDATE incomplete_orders.messages e SET sent_at = step.at WHERE e.sent_at >= began;
					PERFORM incomplete_orders.record_message_event(m.message_id, f.event, f.meta, at => step.at + f.delay) FROM (VALUES
						('delivered', '{}'::jsonb, interval '1 minute', fate <> 9), ('bounced', '{"permanent": false}', '2 minutes', fate = 9), ('opened', '{}', '20 minutes', fate % 2 = 0),
						('clicked', '{}', '25 minutes', fate % 4 = 0), ('opened', '{"machine": true}', '10 seconds', fate = 3), ('complained', '{}', '1 hour', fate = 7 AND step.k % 9 = 0)) f (event, meta, delay, holds)
						WHERE f.holds AND step.at + f.delay < began;
				END IF;
			END LOOP;
		WHEN 'cart', 'return' THEN
			SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('sku', g.sku, 'name', g.name, 'quantity', 1 + (step.k + g.n) % 3, 'unit_price', g.price, 'variant', g.variant, 'image_url', g.image, 'url', g.url)))
			INTO line_items FROM goods g WHERE g.n = step.k % 9 + 1 OR g.n = step.k * 7 % 9 + 1 AND step.k % 3 > 0 OR g.n = step.k % 4 + 1 AND step.k % 5 = 0;
			PERFORM incomplete_orders.capture_cart('session-' || step.k, line_items,
				email => CASE WHEN step.k % 9 <> 5 THEN 'customer' || step.k % 130 || '@mail' || step.k % 3 || '.example' END,
				phone => CASE WHEN step.k % 4 = 0 THEN '+49 30 ' || 1000000 + step.k END, customer_id => CASE WHEN step.k % 3 = 0 THEN 'C-' || step.k % 130 END,
				name => CASE WHEN step.k % 9 <> 5 THEN who.name END, currency => CASE step.k % 16 WHEN 4 THEN 'USD' WHEN 9 THEN 'JPY' WHEN 14 THEN 'BHD' ELSE 'EUR' END,
				shipping => CASE WHEN step.k % 2 = 0 THEN 4.9 END, kind => CASE WHEN step.k % 10 = 7 THEN 'partial' WHEN step.k % 20 = 16 THEN 'payment' END::incomplete_orders.order_kind,
				step => ((enum_range(NULL::incomplete_orders.checkout_step))[step.k % 5 + 1]),
				context => jsonb_build_object('locale', (ARRAY['en', 'de', 'en-GB'])[step.k % 3 + 1], 'device', (ARRAY['phone', 'desktop', 'tablet'])[step.k % 3 + 1],
					'source', (ARRAY['newsletter', 'search', '<b>ad</b>', 'direct'])[step.k % 4 + 1], 'consent', jsonb_build_object('status', CASE WHEN step.k % 8 = 6 THEN 'denied' ELSE 'granted' END, 'at', step.at)),
				shop => 'default', at => step.at);
		WHEN 'address' THEN
			PERFORM incomplete_orders.save_checkout('session-' || step.k, jsonb_build_object('full_name', who.name, 'address_line1', step.k || ' Main Street', 'postal_code', 10000 + step.k, 'city', who.city, 'country', who.country), 'default', step.at);
		WHEN 'leave' THEN
			PERFORM incomplete_orders.track_abandonment('session-' || step.k, (ARRAY['cart', 'shipping', 'payment', 'browser_close'])[step.k / 10 % 4 + 1],
				(ARRAY['too_expensive', 'shipping_cost', 'just_looking'])[step.k / 10 % 3 + 1], 'default', step.at);
		ELSE
			CONTINUE WHEN oid IS NULL;
			CASE step.what
			WHEN 'buy' THEN PERFORM incomplete_orders.convert_order(oid, at => step.at);
			WHEN 'awaiting' THEN PERFORM incomplete_orders.mark_payment_pending(oid, 'pi_' || step.k, step.at + CASE WHEN step.k % 20 = 16 THEN interval '40 days' ELSE '2 hours' END, step.at);
			WHEN 'declined' THEN PERFORM incomplete_orders.mark_payment_failed(oid, 'card_declined', step.at);
			WHEN 'trouble' THEN PERFORM incomplete_orders.record_checkout_error(oid, 'shipping_error', 'no carrier for <b>this</b> address', at => step.at);
			WHEN 'part' THEN
				PERFORM incomplete_orders.convert_order(oid, (SELECT jsonb_build_array(jsonb_build_object('sku', u.sku, 'quantity', 1, 'unit_price', u.unit_price)) FROM incomplete_orders.open_orders o, incomplete_orders.unnest(o.items) u
					WHERE o.id = oid ORDER BY u.line LIMIT 1)::text::incomplete_orders.line_items, idempotency_key => 'part-' || step.k, at => step.at);
			WHEN 'dismiss' THEN PERFORM incomplete_orders.dismiss_order(oid, 'test order', at => step.at);
			WHEN 'delete' THEN PERFORM incomplete_orders.delete_order(oid, 'spam', at => step.at);
			END CASE;
		END CASE;
	END LOOP;
END
$$;

-- Now: notes, edits, money that went back, who wants no mail.
DO $$
DECLARE
	o record;
BEGIN
	FOR o IN SELECT i.id, i.version, row_number() OVER (ORDER BY i.created_at DESC) AS n FROM incomplete_orders.open_orders i ORDER BY i.created_at DESC LIMIT 12 LOOP
		PERFORM incomplete_orders.add_note(o.id, CASE o.n WHEN 1 THEN '<script>alert(9)</script> Called, wants to pay by invoice' ELSE 'Called, wants it in blue' END);
		IF o.n % 4 = 0 THEN
			PERFORM incomplete_orders.edit_order(o.id, '{"phone": "+49 40 555"}', o.version);
		END IF;
	END LOOP;
	PERFORM incomplete_orders.mark_payment_failed(i.id, 'card_declined') FROM incomplete_orders.open_orders i WHERE i.session_id IN ('session-321', 'session-325');
	PERFORM incomplete_orders.mark_payment_pending(i.id, 'pi_322', now() + interval '2 hours') FROM incomplete_orders.open_orders i WHERE i.session_id = 'session-322';
	PERFORM incomplete_orders.record_refund(c.order_id, 3, idempotency_key => 'refund-' || c.order_id)
	FROM (SELECT order_id FROM incomplete_orders.orders WHERE paid_at IS NOT NULL AND currency = 'EUR' ORDER BY order_number DESC LIMIT 3) c;
	PERFORM incomplete_orders.suppress(e, 'suppressed', 'default') FROM unnest('{nobody@mail1.example,gone@mail2.example,customer7@mail1.example}'::text[]) e;
	PERFORM incomplete_orders.record_consent('customer' || n || '@mail0.example', CASE n % 3 WHEN 0 THEN 'withdrawn' ELSE 'granted' END, source => 'newsletter form', shop => 'default') FROM generate_series(1, 8) n;
	PERFORM incomplete_orders.capture_cart('book-' || n, jsonb_build_array(jsonb_build_object('sku', 'BOOK-' || n, 'name', 'The book no. ' || n, 'quantity', 1, 'unit_price', 10 + n)),
		email => 'reader' || n || '@mail.example', name => 'Reader ' || n, shop => 'books', at => now() - interval '1 hour' * n) FROM generate_series(1, 12) n;
	PERFORM incomplete_orders.mark_abandoned(i.id) FROM incomplete_orders.open_orders i JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'books' AND i.created_at < now() - interval '5 hours';
END
$$;
-- one is being sent
SELECT count(*) FROM incomplete_orders.claim_messages('mail-1', 1);
SELECT CASE n WHEN 3 THEN incomplete_orders.fail_delivery(d, t, 500, 'The server said 500: <b>oops</b>') WHEN 4 THEN NULL ELSE incomplete_orders.ack_delivery(d, t, 204) END
FROM (SELECT delivery_id, token, row_number() OVER () FROM incomplete_orders.claim_deliveries('fill', 8)) c (d, t, n);

-- A shop's own tables: one attached, one whose column went away afterwards.
CREATE SCHEMA webshop AUTHORIZATION web_shop;
SET ROLE web_shop;
CREATE TABLE webshop.baskets (id integer PRIMARY KEY, email text, currency text, changed timestamptz, bought boolean NOT NULL DEFAULT false);
CREATE TABLE webshop.basket_lines (id integer PRIMARY KEY, basket integer REFERENCES webshop.baskets, sku text, title text, quantity integer, price numeric);
CREATE INDEX ON webshop.basket_lines (basket);
CREATE TABLE webshop.wishes (LIKE webshop.baskets INCLUDING ALL);
CREATE TABLE webshop.wish_lines (id integer PRIMARY KEY, basket integer REFERENCES webshop.wishes, sku text, title text, quantity integer, price numeric);
CREATE INDEX ON webshop.wish_lines (basket);
INSERT INTO webshop.baskets SELECT n, 'attached' || n || '@mail.example', 'EUR', now() - interval '1 minute' * n, n % 4 = 0 FROM generate_series(1, 8) n;
INSERT INTO webshop.basket_lines SELECT n, 1 + n % 8, 'AT-' || n, CASE n WHEN 1 THEN '<img src=x onerror=alert(10)>' ELSE 'Article ' || n END, 1 + n % 2, 5 + n FROM generate_series(1, 16) n;
SELECT count(*) FROM incomplete_orders.attach('webshop', mapping => '{"schema": "webshop", "cart": {"table": "baskets", "id": "id", "email": "email", "currency": "currency", "updated_at": "changed"},
	"lines": {"table": "basket_lines", "cart": "basket", "id": "id", "sku": "sku", "name": "title", "quantity": "quantity", "unit_price": "price"}, "money": "major", "completed": "cart.bought"}', shop => 'default');
SELECT count(*) FROM incomplete_orders.attach('wishes', mapping => '{"schema": "webshop", "cart": {"table": "wishes", "id": "id", "email": "email", "currency": "currency", "updated_at": "changed"},
	"lines": {"table": "wish_lines", "cart": "basket", "id": "id", "sku": "sku", "name": "title", "quantity": "quantity", "unit_price": "price"}, "money": "major", "completed": "cart.bought"}', shop => 'default');
RESET ROLE;
CALL incomplete_orders.tick();
ALTER TABLE webshop.wish_lines DROP COLUMN price;
INSERT INTO webshop.wishes VALUES (1, 'x@mail.example', 'EUR', now());
CALL incomplete_orders.tick(at => now() + interval '10 seconds');
ANALYZE;

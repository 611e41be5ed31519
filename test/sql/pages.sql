-- What a shop's pages are known by, and how much they are looked at.
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('page-a', 'A') > 0 AND incomplete_orders.create_shop('page-b', 'B') > 0 AS made;
SELECT incomplete_orders.configure_shop('page-a', '{"allowed_origins": ["https://a.example", "http://localhost:3000"], "page_prices": "accept", "consent_rule": "none"}');
CREATE ROLE regress_page_app;
CREATE ROLE regress_page_both;
SELECT incomplete_orders.grant_to('regress_page_app', 'app', 'page-a'), incomplete_orders.grant_to('regress_page_both', 'app');

-- There is none until it is asked for; each is new and long.
SELECT incomplete_orders.shop_settings('page-a') ->> 'publishable_key' AS none;
SELECT count(*) AS nobody FROM incomplete_orders.shop_of_key(NULL);
SELECT incomplete_orders.rotate_publishable_key('page-a') AS first \gset
SELECT incomplete_orders.rotate_publishable_key('page-b') AS other \gset
SELECT :'first' ~ '^pk_[A-Za-z0-9_-]{43}$' AS long, :'first' <> :'other' AS new, incomplete_orders.shop_settings('page-a') ->> 'publishable_key' = :'first' AS shown;
SELECT * FROM incomplete_orders.shop_of_key(:'first');
SELECT * FROM incomplete_orders.shop_of_key(:'other');
SELECT count(*) AS nobody FROM unnest(ARRAY['', 'pk_', upper(:'first'), :'first' || ' ', left(:'first', -1), 'page-a']) k, incomplete_orders.shop_of_key(k);

-- A role learns only of the shops that it serves.
SET ROLE regress_page_app;
SELECT shop FROM incomplete_orders.shop_of_key(:'first');
SELECT count(*) AS nobody FROM incomplete_orders.shop_of_key(:'other');
SELECT incomplete_orders.rotate_publishable_key('page-a');
SET ROLE regress_page_both;
SELECT count(*) AS both FROM unnest(ARRAY[:'first', :'other']) k, incomplete_orders.shop_of_key(k);
RESET ROLE;

-- Two are valid while pages change over; a third ends the first.
SELECT incomplete_orders.rotate_publishable_key('page-a', '2 days') AS second \gset
SELECT k.n, s.shop, CASE WHEN isfinite(s.valid_until) THEN round(extract(epoch FROM s.valid_until - now()) / 86400) END AS days FROM (VALUES (1, :'first'), (2, :'second')) k (n, key), incomplete_orders.shop_of_key(k.key) s ORDER BY 1;
SELECT incomplete_orders.rotate_publishable_key('page-a') AS third \gset
SELECT k.n, s.shop FROM (VALUES (1, :'first'), (2, :'second'), (3, :'third')) k (n, key), incomplete_orders.shop_of_key(k.key) s ORDER BY 1;
-- The former one runs out, or is of no use at once.
SELECT incomplete_orders.rotate_publishable_key('page-a', '1 day', now() - interval '2 days') AS fourth \gset
SELECT k.n FROM (VALUES (3, :'third'), (4, :'fourth')) k (n, key), incomplete_orders.shop_of_key(k.key) s ORDER BY 1;
SELECT incomplete_orders.rotate_publishable_key('page-a') AS fifth \gset
SELECT incomplete_orders.rotate_publishable_key('page-a', '0') AS sixth \gset
SELECT k.n FROM (VALUES (4, :'fourth'), (5, :'fifth'), (6, :'sixth')) k (n, key), incomplete_orders.shop_of_key(k.key) s ORDER BY 1;
SELECT incomplete_orders.rotate_publishable_key('page-a', keep) FROM unnest(ARRAY[NULL, interval '-1 s']) keep;
SELECT incomplete_orders.rotate_publishable_key('page-a', '2 years');

-- Nobody chooses a key: it could be one that another shop's pages still use.
SELECT incomplete_orders.configure_shop('page-b', jsonb_build_object('publishable_key', :'fifth'));
SELECT incomplete_orders.configure_shop('page-b', jsonb_build_object('publishable_key', :'other'));
SELECT incomplete_orders.configure_shop('page-b', '{"publishable_key": null}');
SELECT count(*) AS shut_out FROM incomplete_orders.shop_of_key(:'other');
SELECT incomplete_orders.configure_shop('page-a', '{"publishable_key": null}');
SELECT publishable_key, former_key, former_key_until FROM incomplete_orders.shops WHERE shop = 'page-a';

-- Engagement is added up, of scroll the furthest is kept; nothing else of the order changes but its version.
SELECT incomplete_orders.capture_cart('page-1', '[{"sku":"A","quantity":1,"unit_price":"2"}]', context => '{"device": "phone", "engagement": "soon"}', shop => 'page-a') AS id \gset
CREATE TEMP TABLE before AS SELECT * FROM incomplete_orders.open_orders WHERE id = :'id';
SELECT incomplete_orders.track_engagement('page-1', 1, 30, 80, 'page-a') = :'id' AS same;
SELECT incomplete_orders.track_engagement('page-1', seconds => 12, scroll => 40, shop => 'page-a') = :'id' AS same;
SELECT incomplete_orders.track_engagement('page-1', 0, shop => 'page-a') = :'id' AS same;
SELECT context FROM incomplete_orders.open_orders WHERE id = :'id';
SELECT o.version - b.version AS versions, (to_jsonb(o) - 'context' - 'version') = (to_jsonb(b) - 'context' - 'version') AS else_the_same
FROM incomplete_orders.open_orders o JOIN before b USING (shop_id, id);
SELECT count(*) AS events FROM incomplete_orders.order_history(:'id');
-- It keeps no tab alive.
SELECT incomplete_orders.mark_abandoned(:'id');
SELECT incomplete_orders.track_engagement('page-1', shop => 'page-a') = :'id' AS same;
SELECT status FROM incomplete_orders.open_orders WHERE id = :'id';
-- No order of that session, in that shop, or any more.
SELECT incomplete_orders.track_engagement('page-2', shop => 'page-a'), incomplete_orders.track_engagement('page-1', shop => 'page-b');
SELECT incomplete_orders.dismiss_order(:'id');
SELECT incomplete_orders.track_engagement('page-1', shop => 'page-a');
SELECT incomplete_orders.track_engagement('page-1', -1, shop => 'page-a');
SELECT incomplete_orders.track_engagement('page-1', 1, 86401, shop => 'page-a');
SELECT incomplete_orders.track_engagement('page-1', 1, 1, 101, shop => 'page-a');
SELECT incomplete_orders.track_engagement('');
-- What was counted does not run over.
SELECT incomplete_orders.capture_cart('page-3', '[]', context => '{"engagement": {"views": 999999, "seconds": 1e30, "scroll": 7}}', shop => 'page-a') IS NOT NULL AS captured;
SELECT incomplete_orders.track_engagement('page-3', 1000, 86400, shop => 'page-a') IS NOT NULL AS counted;
SELECT context -> 'engagement' AS engagement FROM incomplete_orders.open_orders WHERE session_id = 'page-3';

-- What a page may say of a cart: consent_rule is none in a, strict in b; a takes its prices, b does not.
CREATE FUNCTION pg_temp.say(shop text, session text, cart jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT incomplete_orders.capture_page_cart(session, cart, 'Mozilla/5.0', shop) -> 'left_out' $$;
CREATE VIEW stored AS SELECT s.shop, o.session_id AS session, o.email, o.name, o.phone, o.customer_id, o.kind, o.bot, o.furthest_step AS step, o.shipping, o.items::jsonb #>> '{0,sku}' AS sku,
	o.coupon_code AS coupon, o.address, o.context FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s USING (shop_id) WHERE session_id LIKE 'page-c%';
\set said '{"session_id": "x", "items": [{"sku": "A", "quantity": 1, "unit_price": "2"}], "currency": "eur", "step": "contact", "coupon_code": "TEN", "email": "a@example.com", "phone": "+1 555", "name": "Ann", "address": {"city": "Rome"}, "shipping": "4", "context": {"locale": "it", "bot": true, "engagement": 9, "ip": "::1", "consent": 1, "notes": "ring twice", "x": 1}, "customer_id": "c-1", "kind": "partial", "shop": "page-b", "at": "2020-01-01", "bot": true, "__proto__": 1}'
SELECT pg_temp.say('page-a', 'page-c1', :'said');
SELECT pg_temp.say('page-b', 'page-c1', :'said');
SELECT pg_temp.say('page-b', 'page-c1', jsonb :'said' - 'items');
SELECT pg_temp.say('page-b', 'page-c2', jsonb :'said' - 'items' || '{"consent": {"status": "granted", "at": "2026-01-31T10:00:00Z", "text_version": "3", "more": 1}}');
SELECT pg_temp.say('page-b', 'page-c3', '{"email": "b@example.com", "context": {"consent": {"status": "granted", "source": "banner"}}}');
SELECT pg_temp.say('page-b', 'page-c4', ('{"email": "b@example.com", "consent": ' || consent || '}')::jsonb)
FROM unnest(ARRAY['"granted"', 'true', '{"status": "withdrawn"}', '{"status": ["granted"]}', '{"status": "GRANTED"}', '{}', '[]', 'null']) consent;
\x on
SELECT * FROM stored ORDER BY shop, session COLLATE "C";
\x off
-- Null says nothing, '' takes back; the one order of the session stays the one.
SELECT pg_temp.say('page-a', 'page-c1', '{"email": "", "phone": null, "items": null, "step": "payment"}');
SELECT email, phone, sku, step FROM stored WHERE shop = 'page-a' AND session = 'page-c1';
SELECT count(*) AS orders FROM stored WHERE shop = 'page-a';
-- Malformed, too many names, and none at all.
SELECT pg_temp.say('page-a', 'page-c5', cart) FROM unnest(ARRAY[NULL, '[]', '1']::jsonb[]) cart LIMIT 1;
SELECT pg_temp.say('page-a', 'page-c5', '[]');
SELECT pg_temp.say('page-a', 'page-c5', '{"items": [{"sku": "A", "quantity": 1, "unit_price": "2"}, 1]}');
SELECT pg_temp.say('page-a', 'page-c5', '{"items": [{"sku": "A", "quantity": 1, "unit_price": 1e131071}]}');
SELECT pg_temp.say('page-a', 'page-c5', '{"items": "A"}');
SELECT pg_temp.say('page-a', NULL, '{}');
SELECT jsonb_array_length(l) AS named, octet_length(l ->> 0) AS longest FROM pg_temp.say('page-a', 'page-c6', (SELECT jsonb_object_agg(repeat('ä', 100) || n, 1) FROM generate_series(1, 30) n)) l;
DROP VIEW stored;

-- Lines at the shop's own prices, whatever the page says they cost.
CREATE SCHEMA pages;
CREATE FUNCTION pages.stock(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE plpgsql AS $$
BEGIN
	IF 'BROKEN' = ANY (skus) THEN
		RAISE EXCEPTION 'no stock today';
	END IF;
	RETURN QUERY SELECT p.sku, p.available, p.unit_price FROM (VALUES ('A', NULL, 19.90), ('B', 3, 5.00), ('SOLD-OUT', 0, 7.00), ('UNPRICED', 9, NULL)) p (sku, available, unit_price) WHERE p.sku = ANY (skus);
END
$$;
SELECT incomplete_orders.configure_shop('page-b', '{"page_prices": "check"}');
SELECT pg_temp.say('page-b', 'page-d1', '{"items": [{"sku": "A", "quantity": 1, "unit_price": "0.01"}]}');
SELECT incomplete_orders.configure_shop('page-b', '{"availability": "pages.stock"}');
CREATE VIEW lines AS SELECT o.session_id AS session, o.currency, o.shipping, o.total, l ->> 'sku' AS sku, l ->> 'quantity' AS quantity, l ->> 'unit_price' AS unit_price, l ->> 'filled' AS filled, l ->> 'url' AS url, l ->> 'image_url' AS image_url
	FROM incomplete_orders.incomplete_orders o LEFT JOIN jsonb_array_elements(o.items) l ON true WHERE o.session_id LIKE 'page-d%';
SELECT pg_temp.say('page-b', 'page-d1', '{"items": [{"sku": "A", "quantity": 1, "unit_price": "0.01", "filled": 1}, {"sku": "B", "quantity": 5, "unit_price": "0"}, {"sku": "SOLD-OUT", "quantity": 1, "unit_price": "1"},
	{"sku": "UNPRICED", "quantity": 1, "unit_price": "1"}, {"sku": "MADE-UP", "quantity": 1, "unit_price": "1"}], "shipping": "0.01", "discount": "10"}');
SELECT * FROM lines WHERE session = 'page-d1';
-- A shop that cannot say what it costs keeps what is there; health() tells of it.
SELECT pg_temp.say('page-b', 'page-d1', '{"items": [{"sku": "BROKEN", "quantity": 1, "unit_price": "1"}], "step": "payment"}');
SELECT sku, unit_price FROM lines WHERE session = 'page-d1';
SELECT hook FROM incomplete_orders.hook_failures JOIN incomplete_orders.shops USING (shop_id) WHERE shop = 'page-b';
-- Its prices are in its own currency, which the cart then has.
SELECT pg_temp.say('page-b', 'page-d1', '{"items": [{"sku": "A", "quantity": 1, "unit_price": "1"}], "currency": "CHF"}');
SELECT incomplete_orders.capture_cart('page-d2', '[]', currency => 'CHF', shop => 'page-b') IS NOT NULL AS captured;
SELECT pg_temp.say('page-b', 'page-d2', '{"items": [{"sku": "A", "quantity": 2, "unit_price": "1"}]}');
SELECT currency, total FROM lines WHERE session = 'page-d2';
SELECT count(*) AS failures FROM incomplete_orders.hook_failures JOIN incomplete_orders.shops USING (shop_id) WHERE shop = 'page-b';
-- Links and pictures end up in the shop's mails: only those of its own origins are kept.
SELECT pg_temp.say('page-a', 'page-d3', (SELECT jsonb_build_object('items', jsonb_agg(jsonb_build_object('sku', n, 'quantity', 1, 'unit_price', 1, 'url', u, 'image_url', u)))
	FROM unnest(ARRAY['https://a.example/x', 'HTTPS://A.example?x', 'http://localhost:3000', 'https://a.example.evil/', 'https://a.example@evil.example/', 'https://evil.example/https://a.example/', '/x', 'javascript:alert(1)', 'http://localhost:30001/'])
	WITH ORDINALITY v (u, n)));
SELECT sku, url, image_url FROM lines WHERE session = 'page-d3';
DROP VIEW lines;
SET client_min_messages = warning;
DROP SCHEMA pages CASCADE;
RESET client_min_messages;

SELECT count(*) > 0 AS deleted FROM unnest(ARRAY['page-a', 'page-b']) s, incomplete_orders.delete_shop(s, false);
SET client_min_messages = warning;
DROP OWNED BY regress_page_app, regress_page_both;
DROP ROLE regress_page_app, regress_page_both;

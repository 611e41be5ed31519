-- The rules of a shop: who may be mailed, which cart, how often, and when.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SET search_path = pg_catalog;
SELECT incomplete_orders.create_shop('rul', 'Rules') AS shop \gset
SELECT incomplete_orders.enable_campaign('cart', 'rul', at => '2024-01-01');
CREATE TEMP TABLE made (name text PRIMARY KEY, id uuid);
CREATE PROCEDURE pg_temp.cart(name text, at timestamptz, email text DEFAULT NULL, items jsonb DEFAULT '[{"sku": "A", "quantity": 2, "unit_price": 5}]',
	customer_id text DEFAULT NULL, phone text DEFAULT NULL, context jsonb DEFAULT NULL, address jsonb DEFAULT NULL, currency text DEFAULT NULL) LANGUAGE sql AS $$
	INSERT INTO made SELECT name, incomplete_orders.capture_cart(name, items, email => email, customer_id => customer_id, phone => phone, context => context,
		address => address, currency => currency, shop => 'rul', at => at)
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
CREATE VIEW pg_temp.mails AS
	SELECT m.name, q.step, q.queued_at, q.status, q.reason, q.id FROM made m JOIN incomplete_orders.messages q ON q.order_id = m.id;
CREATE VIEW pg_temp.ledger AS
	SELECT m.name, k.step, k.at, k.reason, k.message_id IS NOT NULL AS of_message FROM made m JOIN incomplete_orders.message_skips k ON k.order_id = m.id;
CREATE FUNCTION pg_temp.by_hand(name text, at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	reason text;
BEGIN
	PERFORM incomplete_orders.send_recovery_email(pg_temp.id(name), at => at);
	RETURN 'queued';
EXCEPTION WHEN SQLSTATE 'IC015' THEN
	GET STACKED DIAGNOSTICS reason = PG_EXCEPTION_DETAIL;
	RETURN reason;
END
$$;
CREATE PROCEDURE pg_temp.configure(settings jsonb) LANGUAGE sql AS $$ SELECT incomplete_orders.configure_shop('rul', settings) $$;
-- what a claim gives of these, in one batch; the others wait
CREATE FUNCTION pg_temp.claim() RETURNS TABLE (name text, items text, total text) LANGUAGE sql AS $$
	SELECT (SELECT m.name FROM made m WHERE m.id = (c.message #>> '{order,id}')::uuid),
		(SELECT string_agg(i ->> 'sku', ',' ORDER BY n) FROM jsonb_array_elements(c.message #> '{order,items}') WITH ORDINALITY x (i, n)), c.message #>> '{order,total}'
	FROM incomplete_orders.claim_messages('regress', 1000) c ORDER BY 1
$$;

--
-- Consent: strict unless the shop says otherwise.
--
SELECT incomplete_orders.shop_settings('rul') -> 'consent_rule' AS rule;
DO $$ DECLARE c record; BEGIN
	FOR c IN SELECT * FROM (VALUES ('granted', '{"consent": {"status": "granted", "at": "2024-02-01T09:00:00Z", "source": "checkout", "text_version": "3"}}'::jsonb),
		('none', NULL), ('other facts', '{"device": "phone"}'), ('withdrawn', '{"consent": {"status": "withdrawn"}}'), ('no word', '{"consent": "granted"}'),
		('no status', '{"consent": {}}'), ('null', '{"consent": null}'), ('list', '{"consent": ["granted"]}'), ('number', '{"consent": {"status": 1}}'),
		('longer', '{"consent": {"status": "granted not"}}')) c (name, context) LOOP
		CALL pg_temp.cart('c ' || c.name, '2024-02-01 10:00', replace(c.name, ' ', '-') || '@consent.example', context => c.context);
	END LOOP;
END $$;
CALL pg_temp.tick('2024-02-01 12:00');
SELECT name, step FROM pg_temp.mails ORDER BY name;
SELECT name, step, reason FROM pg_temp.ledger ORDER BY name;
-- by hand too, one or all
SELECT name, pg_temp.by_hand(name, '2024-02-01 12:00') FROM (VALUES ('c granted'), ('c none')) x (name);
SELECT m.name, r.action, r.reason FROM incomplete_orders.send_recovery_emails(shop => 'rul', dry_run => true, at => '2024-02-02 10:00') r JOIN made m ON m.id = r.order_id
WHERE m.name IN ('c granted', 'c none') ORDER BY 1;
-- it is asked again for each step, and by the claim
CALL pg_temp.configure('{"consent_rule": "none"}');
CALL pg_temp.tick('2024-02-02 11:00');
SELECT name, step FROM pg_temp.mails WHERE queued_at = '2024-02-02 11:00' ORDER BY name;
CALL pg_temp.configure('{"consent_rule": "strict", "quiet_from": "0:00", "quiet_to": "0:00", "min_gap": "0"}');
SELECT name, items FROM pg_temp.claim();
SELECT name, step, reason, of_message FROM pg_temp.ledger WHERE of_message ORDER BY name;

--
-- Exclusions, each alone, beside one that is next to it.
--
CALL pg_temp.configure('{"consent_rule": "none", "exclusions": {"minimum_value": 10, "products": ["X", "P-9"], "domains": ["Bad.example", "@worse.example"],
	"customers": ["c-1"], "addresses": [" Boss@Shop.example "], "bots": true}}');
DO $$ DECLARE c record; BEGIN
	FOR c IN SELECT * FROM (VALUES
		('value 9.99', 'v1@e.example', '[{"sku": "A", "quantity": 1, "unit_price": 9.99}]'::jsonb, NULL, NULL::jsonb),
		('value 10', 'v2@e.example', '[{"sku": "A", "quantity": 2, "unit_price": 5}]', NULL, NULL),
		('value with X', 'v3@e.example', '[{"sku": "A", "quantity": 1, "unit_price": 9}, {"sku": "X", "quantity": 1, "unit_price": 100}]', NULL, NULL),
		('only X', 'p1@e.example', '[{"sku": "X", "quantity": 1, "unit_price": 100}]', NULL, NULL),
		('only X and P-9', 'p2@e.example', '[{"sku": "X", "quantity": 1, "unit_price": 100}, {"sku": "B", "product_id": "P-9", "quantity": 1, "unit_price": 20}]', NULL, NULL),
		('X and more', 'p3@e.example', '[{"sku": "A", "quantity": 1, "unit_price": 30}, {"sku": "X", "quantity": 1, "unit_price": 100}, {"sku": "B", "product_id": "P-9", "quantity": 1, "unit_price": 20}]', NULL, NULL),
		('x is another', 'p4@e.example', '[{"sku": "x", "quantity": 1, "unit_price": 100}]', NULL, NULL),
		('domain', 'a@BAD.example', NULL, NULL, NULL), ('domain below', 'a@mail.bad.example', NULL, NULL, NULL), ('domain with @', 'a@worse.example', NULL, NULL, NULL),
		('other domain', 'a@notbad.example', NULL, NULL, NULL), ('longer domain', 'a@bad.example.com', NULL, NULL, NULL),
		('customer', 'c1@e.example', NULL, 'c-1', NULL), ('other customer', 'c2@e.example', NULL, 'C-1', NULL),
		('address', 'boss@shop.example', NULL, NULL, NULL), ('other address', 'a.boss@shop.example', NULL, NULL, NULL),
		('flagged', 'b1@e.example', NULL, NULL, '{"bot": true}'), ('crawler', 'b2@e.example', NULL, NULL, '{"user_agent": "Mozilla/5.0 (compatible; ExampleBot/2.1)"}'),
		('browser', 'b3@e.example', NULL, NULL, '{"user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"}')) c (name, email, items, customer_id, context) LOOP
		CALL pg_temp.cart('e ' || c.name, '2024-03-01 10:00', c.email, coalesce(c.items, '[{"sku": "A", "quantity": 2, "unit_price": 5}]'), customer_id => c.customer_id, context => c.context);
	END LOOP;
END $$;
CALL pg_temp.tick('2024-03-01 12:00');
SELECT name, step, reason FROM pg_temp.ledger WHERE at >= '2024-03-01' AND name LIKE 'e %' ORDER BY name;
SELECT name FROM pg_temp.mails WHERE queued_at >= '2024-03-01' AND name LIKE 'e %' ORDER BY name;
SELECT name, pg_temp.by_hand(name, '2024-03-01 12:00') FROM unnest('{e value 9.99,e only X,e domain,e customer,e address,e flagged,e crawler,e browser}'::text[]) name;
-- the mail leaves the excluded lines out, and so do its count and total
SELECT name, items, total FROM pg_temp.claim() WHERE name IN ('e X and more', 'e value 10');
-- the claim asks again
CALL pg_temp.tick('2024-03-02 12:00');
CALL pg_temp.configure('{"exclusions": {"addresses": ["p3@e.example"], "products": []}}');
SELECT count(*) FROM pg_temp.claim();
SELECT name, step, reason, of_message FROM pg_temp.ledger WHERE of_message AND name LIKE 'e %' ORDER BY name;
CALL pg_temp.configure('{"exclusions": {}}');

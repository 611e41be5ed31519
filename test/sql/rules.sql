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
-- what waits was sent at once
CREATE PROCEDURE pg_temp.deliver() LANGUAGE sql AS $$ UPDATE incomplete_orders.messages SET status = 'sent', sent_at = queued_at WHERE status = 'queued' $$;
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

--
-- One person, several carts: one mail, for the best one.
--
CALL pg_temp.configure('{"consent_rule": "none", "quiet_from": null, "quiet_to": null, "min_gap": null}');
CREATE FUNCTION pg_temp.worth(price numeric, quantity integer DEFAULT 1, sku text DEFAULT 'A') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity, 'unit_price', price))
$$;
-- by address, customer and phone, whatever way they are written
CALL pg_temp.cart('b1 best', '2024-04-01 10:00', 'Best@b1.example', pg_temp.worth(30));
CALL pg_temp.cart('b1 less', '2024-04-01 10:05', 'best@B1.example', pg_temp.worth(20));
CALL pg_temp.cart('b1 least', '2024-04-01 10:06', 'best@b1.example', pg_temp.worth(10));
CALL pg_temp.cart('b2 best', '2024-04-01 10:00', 'one@b2.example', pg_temp.worth(30), customer_id => 'b2');
CALL pg_temp.cart('b2 less', '2024-04-01 10:05', 'two@b2.example', pg_temp.worth(20), customer_id => 'b2');
CALL pg_temp.cart('b3 best', '2024-04-01 10:00', 'one@b3.example', pg_temp.worth(30), phone => '+49 30 1234');
CALL pg_temp.cart('b3 less', '2024-04-01 10:05', 'two@b3.example', pg_temp.worth(20), phone => '49-30-1234');
-- alike: the one with the latest activity
CALL pg_temp.cart('b4 earlier', '2024-04-01 10:00', 'b4@b.example', pg_temp.worth(20));
CALL pg_temp.cart('b4 later', '2024-04-01 10:05', 'b4@b.example', pg_temp.worth(10, 2));
-- currencies are not compared: the one in which the person was active last, and of its carts the best
CALL pg_temp.cart('b5 yen', '2024-04-01 10:00', 'b5@b.example', pg_temp.worth(3000), currency => 'JPY');
CALL pg_temp.cart('b5 dollar', '2024-04-01 10:01', 'b5@b.example', pg_temp.worth(20));
CALL pg_temp.cart('b5 last yen', '2024-04-01 10:01', 'b5-2@b.example', pg_temp.worth(3), currency => 'JPY');
CALL pg_temp.cart('b5 first dollar', '2024-04-01 10:00', 'b5-2@b.example', pg_temp.worth(20));
CALL pg_temp.cart('b5 best dollar', '2024-04-01 10:00', 'b5-3@b.example', pg_temp.worth(50));
CALL pg_temp.cart('b5 middle euro', '2024-04-01 10:03', 'b5-3@b.example', pg_temp.worth(70), currency => 'EUR');
CALL pg_temp.cart('b5 last dollar', '2024-04-01 10:05', 'b5-3@b.example', pg_temp.worth(20));
-- ... but for those that nobody would be mailed for
CALL pg_temp.cart('b5 bot in euro', '2024-04-01 10:05', 'b5-4@b.example', pg_temp.worth(70), currency => 'EUR', context => '{"bot": true}');
CALL pg_temp.cart('b5 euro', '2024-04-01 10:00', 'b5-4@b.example', pg_temp.worth(7), currency => 'EUR');
CALL pg_temp.cart('b5 yuan', '2024-04-01 10:03', 'b5-4@b.example', pg_temp.worth(7), currency => 'CNY');
-- a better one that nobody would be mailed for stands in nobody's way
CALL pg_temp.cart('b6 phone only', '2024-04-01 10:00', NULL, pg_temp.worth(90), phone => '555 6');
CALL pg_temp.cart('b6 bot', '2024-04-01 10:00', 'b6@b.example', pg_temp.worth(90), phone => '555 6', context => '{"bot": true}');
CALL pg_temp.cart('b6 mailed', '2024-04-01 10:00', 'b6@b.example', pg_temp.worth(10), phone => '555 6');
CALL pg_temp.cart('b7 still there', '2024-04-01 11:30', 'b7@b.example', pg_temp.worth(90));
CALL pg_temp.cart('b7 mailed', '2024-04-01 10:00', 'b7@b.example', pg_temp.worth(10));
-- what people write who have no phone makes nobody of them the same person
CALL pg_temp.cart('b7 no phone', '2024-04-01 10:00', 'b7x@b.example', pg_temp.worth(90), phone => 'n/a');
CALL pg_temp.cart('b7 none either', '2024-04-01 10:00', 'b7y@b.example', pg_temp.worth(10), phone => 'n/a');
-- what is excluded is no value
CALL pg_temp.configure('{"exclusions": {"products": ["GIFT"]}}');
CALL pg_temp.cart('b8 gift', '2024-04-01 10:00', 'b8@b.example', pg_temp.worth(500, 1, 'GIFT') || pg_temp.worth(1));
CALL pg_temp.cart('b8 best', '2024-04-01 10:00', 'b8@b.example', pg_temp.worth(10));
-- a best one that is mailed later counts already
CALL pg_temp.cart('b9 later', '2024-04-01 10:50', 'b9@b.example', pg_temp.worth(90));
CALL pg_temp.cart('b9 sooner', '2024-04-01 10:00', 'b9@b.example', pg_temp.worth(10));
CALL pg_temp.tick('2024-04-01 12:06');
SELECT name FROM pg_temp.mails WHERE name LIKE 'b%' ORDER BY name;
SELECT name, step, reason FROM pg_temp.ledger WHERE name LIKE 'b%' ORDER BY name;
-- by hand: many go by the rule, one does not
SELECT name, pg_temp.by_hand(name, '2024-04-01 12:10') FROM unnest('{b1 less}'::text[]) name;
-- the next step is decided anew: that cart was bought, this one is the best now
SELECT incomplete_orders.dismiss_order(pg_temp.id('b2 best'), at => '2024-04-01 13:00');
CALL pg_temp.tick('2024-04-02 12:06');
SELECT name, step FROM pg_temp.mails WHERE name LIKE 'b%' AND queued_at >= '2024-04-02' ORDER BY name;
CALL pg_temp.tick('2024-04-05 13:00');
-- the best has had its sequence, and so has the person
SELECT name, count(*) FROM pg_temp.mails WHERE name LIKE 'b1%' AND step > 0 GROUP BY name;
CALL pg_temp.configure('{"exclusions": {}}');

-- without a campaign: the same
CALL pg_temp.cart('s best', '2024-05-01 10:00', 's@s.example', pg_temp.worth(30));
CALL pg_temp.cart('s less', '2024-05-01 10:05', 's@s.example', pg_temp.worth(20));
CALL pg_temp.cart('s too fresh', '2024-05-01 11:51', 's@s.example', pg_temp.worth(40));
SELECT m.name, r.action, r.reason FROM incomplete_orders.send_recovery_emails(1, shop => 'rul', at => '2024-05-01 12:50') r JOIN made m ON m.id = r.order_id
WHERE m.name LIKE 's %' ORDER BY 1;

--
-- The gap between two messages to one person, also of different orders and by hand: the step waits.
--
SELECT incomplete_orders.enable_campaign('cart', 'rul', at => '2024-05-01');
CALL pg_temp.configure('{"min_gap": "30 hours"}');
CALL pg_temp.cart('g a', '2024-06-01 10:00', 'g@g.example', pg_temp.worth(20));
CALL pg_temp.tick('2024-06-01 12:00');
CALL pg_temp.deliver();
SELECT incomplete_orders.dismiss_order(pg_temp.id('g a'), at => '2024-06-01 12:30');
CALL pg_temp.cart('g b', '2024-06-01 13:00', 'G@g.example', pg_temp.worth(10));
CALL pg_temp.cart('g other', '2024-06-01 13:00', 'g2@g.example');
CALL pg_temp.tick('2024-06-01 15:00');
SELECT name, queued_at FROM pg_temp.mails WHERE name LIKE 'g %' ORDER BY name;
SELECT o.session_id, o.sequence_step, o.next_message_at FROM incomplete_orders.open_orders o WHERE o.id = pg_temp.id('g b');
SELECT step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('g b'));
CALL pg_temp.tick('2024-06-02 17:59');
CALL pg_temp.tick('2024-06-02 18:00');
SELECT name, step, queued_at FROM pg_temp.mails WHERE name = 'g b';
-- what was never sent counts for nothing: the customer came back
CALL pg_temp.cart('g b', '2024-06-02 18:10', 'G@g.example', pg_temp.worth(10));
CALL pg_temp.tick('2024-06-02 20:10');
CALL pg_temp.deliver();
SELECT name, step, queued_at, status FROM pg_temp.mails WHERE name = 'g b' ORDER BY queued_at;
-- staff is not bound, but counts
SELECT pg_temp.by_hand('g b', '2024-06-02 20:20');
CALL pg_temp.tick('2024-06-03 19:10');
SELECT next_message_at FROM incomplete_orders.open_orders WHERE id = pg_temp.id('g b');

--
-- Caps: in one episode, and for a person in 30 days.
--
CALL pg_temp.configure('{"min_gap": null, "cap_per_episode": 2, "cap_per_person": 3}');
CALL pg_temp.cart('k 1', '2024-07-01 10:00', 'k@k.example');
CALL pg_temp.tick('2024-07-01 12:00');
CALL pg_temp.deliver();
CALL pg_temp.tick('2024-07-02 11:00');
CALL pg_temp.deliver();
CALL pg_temp.tick('2024-07-04 11:00');
SELECT name, step, reason FROM pg_temp.ledger WHERE name = 'k 1';
SELECT sequence_step, next_message_at FROM incomplete_orders.open_orders WHERE id = pg_temp.id('k 1');
-- the next episode begins anew, the person does not
CALL pg_temp.cart('k 1', '2024-07-05 10:00', 'k@k.example', pg_temp.worth(7));
CALL pg_temp.tick('2024-07-05 12:00');
CALL pg_temp.deliver();
CALL pg_temp.tick('2024-07-06 11:00');
SELECT step, queued_at FROM pg_temp.mails WHERE name = 'k 1' ORDER BY queued_at;
SELECT name, step, reason FROM pg_temp.ledger WHERE name = 'k 1';
-- what was queued 30 days ago or earlier counts no more
CALL pg_temp.cart('k 2', '2024-07-31 10:00', 'k@k.example', pg_temp.worth(9));
CALL pg_temp.tick('2024-07-31 12:00');
CALL pg_temp.deliver();
SELECT count(*) FROM pg_temp.mails WHERE name = 'k 2';
CALL pg_temp.tick('2024-08-01 11:00');
SELECT step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('k 2'));
-- staff is not bound
SELECT pg_temp.by_hand('k 2', '2024-08-01 12:00');
CALL pg_temp.configure('{"cap_per_person": 0}');
CALL pg_temp.cart('k 3', '2024-08-20 10:00', 'k3@k.example');
CALL pg_temp.tick('2024-08-20 12:00');
SELECT step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('k 3')) LIMIT 1;
CALL pg_temp.configure('{"cap_per_episode": 0, "cap_per_person": null}');
CALL pg_temp.cart('k 4', '2024-08-20 10:00', 'k4@k.example');
CALL pg_temp.tick('2024-08-20 12:00');
SELECT step, reason FROM incomplete_orders.why_not_sent(pg_temp.id('k 4')) LIMIT 1;
CALL pg_temp.configure('{"cap_per_episode": null}');

--
-- Quiet hours: 21:00 to 08:00 where the person is.
--
CREATE FUNCTION pg_temp.awake(at timestamptz, zone text, country text DEFAULT NULL, from_time time DEFAULT '21:00', to_time time DEFAULT '08:00') RETURNS timestamptz LANGUAGE sql AS $$
	SELECT incomplete_orders._awake(at, jsonb_build_object('time_zone', zone), jsonb_build_object('country', country), 'America/New_York', from_time, to_time)
$$;
-- the edges
SELECT at, pg_temp.awake(at, 'UTC') FROM unnest('{2024-01-10 20:59:59.999999+0,2024-01-10 21:00+0,2024-01-10 23:59:59+0,2024-01-11 00:00+0,2024-01-11 07:59:59.999999+0,2024-01-11 08:00+0}'::timestamptz[]) at;
-- hours by day; none; nearly all
SELECT at, pg_temp.awake(at, 'UTC', from_time => '12:00', to_time => '14:30') FROM unnest('{2024-01-10 11:59+0,2024-01-10 12:00+0,2024-01-10 14:30+0}'::timestamptz[]) at;
SELECT pg_temp.awake('2024-01-10 03:00+0', 'UTC', from_time => '08:00', to_time => '08:00'), pg_temp.awake('2024-01-10 12:00+0', 'UTC', from_time => '8:00', to_time => '07:59');
SELECT pg_temp.awake('2024-01-10 23:00+0', 'UTC', to_time => '24:00'), pg_temp.awake('infinity', 'UTC');
-- whose clock: the context's, the country's, the shop's
SELECT zone, country, pg_temp.awake('2024-01-10 06:30+0', zone, country) FROM (VALUES ('Europe/Berlin', 'JP'), ('Asia/Tokyo', NULL), (NULL, 'DE'), (NULL, ' de '), (NULL, 'JP'), (NULL, 'US'),
	(NULL, 'Germany'), (NULL, 'XX'), (NULL, NULL), ('Nowhere/Atall', 'JP'), ('', NULL)) x (zone, country);
SELECT incomplete_orders._awake('2024-01-10 06:30+0', x, x, 'Europe/Paris', '21:00', '08:00') FROM unnest(ARRAY['null', '[]', '"x"', '5']::jsonb[]) x;
-- every zone that we name is one: then the shop's does not matter
SELECT count(*) FROM (SELECT chr(65 + a) || chr(65 + b) AS c FROM generate_series(0, 25) a, generate_series(0, 25) b) x
WHERE incomplete_orders._awake('2024-01-10 12:00+0', NULL, jsonb_build_object('country', c), 'Pacific/Kiritimati', '00:00', '23:59')
	= incomplete_orders._awake('2024-01-10 12:00+0', NULL, jsonb_build_object('country', c), 'Pacific/Pago_Pago', '00:00', '23:59');
-- clocks are set forward (31 March, 02:00 to 03:00 in Berlin) and back (27 October, 03:00 to 02:00)
SELECT at, pg_temp.awake(at, 'Europe/Berlin') FROM unnest('{2024-03-30 20:30+0,2024-10-26 19:30+0}'::timestamptz[]) at;
SELECT at, pg_temp.awake(at, 'Europe/Berlin', from_time => '00:00', to_time => '02:30') FROM unnest('{2024-03-31 00:30+0,2024-03-31 01:00+0,2024-10-26 23:30+0,2024-10-27 00:40+0,2024-10-27 01:20+0}'::timestamptz[]) at;
SELECT at, pg_temp.awake(at, 'Europe/Berlin', from_time => '02:30', to_time => '03:30') FROM unnest('{2024-03-31 00:59+0,2024-03-31 01:00+0}'::timestamptz[]) at;
-- never quiet when it is over, never back, every half hour of a year in zones with all kinds of clocks
SELECT zone, count(*) FILTER (WHERE a < at OR a > at + interval '12 hours' OR (a AT TIME ZONE zone)::time >= '21:00' OR (a AT TIME ZONE zone)::time < '08:00') AS wrong, count(*) FILTER (WHERE a > at) > 7000 AS quiet
FROM unnest('{Europe/Berlin,America/New_York,Australia/Lord_Howe,Asia/Kathmandu,Pacific/Apia,Europe/Dublin,Africa/Casablanca,America/Santiago}'::text[]) zone,
	generate_series('2024-01-01 00:00+0'::timestamptz, '2024-12-31 23:30+0', '30 minutes') at, LATERAL (SELECT pg_temp.awake(at, zone) AS a OFFSET 0) x GROUP BY zone ORDER BY zone;

-- tick lets the step wait, and it is no decision
CALL pg_temp.cart('q berlin', '2024-09-01 17:30', 'q1@q.example', context => '{"time_zone": "Europe/Berlin"}');
CALL pg_temp.cart('q japan', '2024-09-01 17:30', 'q2@q.example', address => '{"country": "JP"}');
CALL pg_temp.cart('q shop', '2024-09-01 17:30', 'q3@q.example');
CALL pg_temp.tick('2024-09-01 19:30');
SELECT m.name, o.sequence_step, o.next_message_at FROM incomplete_orders.open_orders o JOIN made m USING (id) WHERE m.name LIKE 'q %' ORDER BY 1;
SELECT name, step, queued_at FROM pg_temp.mails WHERE name LIKE 'q %' ORDER BY name;
SELECT count(*) FROM pg_temp.ledger WHERE name LIKE 'q %';
-- those behind keep their distance from it
CALL pg_temp.tick('2024-09-02 06:00');
SELECT step, queued_at FROM pg_temp.mails WHERE name = 'q berlin';
SELECT sequence_step, next_message_at FROM incomplete_orders.open_orders WHERE id = pg_temp.id('q berlin');
-- the gap is over in the night: it waits for the morning
CALL pg_temp.configure('{"min_gap": "40 hours"}');
CALL pg_temp.tick('2024-09-03 05:00');
SELECT next_message_at FROM incomplete_orders.open_orders WHERE id = pg_temp.id('q berlin');

--
-- A person with thousands of carts takes time like thousands of persons, not like millions.
--
CALL pg_temp.configure('{"min_gap": "0", "cap_per_person": 10000, "quiet_from": "0:00", "quiet_to": "0:00"}');
SELECT count(incomplete_orders.capture_cart('many ' || n, pg_temp.worth(n), email => 'many@b.example', customer_id => CASE WHEN n % 2 = 0 THEN 'many' END, phone => '+1 ' || n % 7,
	shop => 'rul', at => '2024-10-01 10:00')) AS carts FROM generate_series(1, 4000) n;
SET statement_timeout = '15s';
SELECT action, reason, count(*), min(recipient) FROM incomplete_orders.preview_recovery('rul', '2024-10-01 12:00') WHERE recipient = 'many@b.example' GROUP BY 1, 2 ORDER BY 1;
RESET statement_timeout;
SELECT count(incomplete_orders.dismiss_order(o.id, at => '2024-10-02')) AS dismissed FROM incomplete_orders.open_orders o WHERE o.email = 'many@b.example';
CALL pg_temp.configure('{"quiet_from": null, "quiet_to": null, "cap_per_person": null, "min_gap": null}');

--
-- The dry run says what tick then does, at every instant, whatever happens between.
--
CALL pg_temp.configure('{"min_gap": null, "cap_per_episode": 2, "cap_per_person": 4, "exclusions": {"minimum_value": 8, "domains": ["no.example"]}, "consent_rule": "strict", "holdout": 0.2}');
SELECT incomplete_orders.enable_campaign('payment', 'rul', at => '2025-01-01');
SELECT incomplete_orders.save_variant('cart', 1, v, shop => 'rul') FROM unnest('{a,b}'::text[]) v \g /dev/null
-- most are not drawn: the key is another one each time; the others' are written when they are
INSERT INTO incomplete_orders.person_arms (shop_id, person, holdout, assigned_at)
SELECT :shop, k, p % 8 = 3, '2025-01-01' FROM generate_series(0, 31) p
CROSS JOIN LATERAL unnest(incomplete_orders._person_keys(:shop, 'p-' || p, format('%s@%s.example', p, CASE WHEN p % 11 = 0 THEN 'no' ELSE 'p' END), NULL)) k;
SELECT setseed(0.25);
CREATE TEMP TABLE decided (at timestamptz, due_at timestamptz, order_id uuid, step integer, action text, reason text);
CREATE TEMP TABLE wrong (LIKE decided, said text);
DO $$
DECLARE
	now_is timestamptz := '2025-01-01 09:00';
	p integer;
	report jsonb;
BEGIN
	FOR n IN 1 .. 60 LOOP
		FOR i IN 1 .. 12 LOOP
			p := floor(random() * 40);
			PERFORM incomplete_orders.capture_cart(format('p %s %s', p, floor(random() * 3)), jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', 1 + floor(random() * 3), 'unit_price', 4)),
				email => CASE WHEN p % 9 > 0 THEN format('%s@%s.example', p, CASE WHEN p % 11 = 0 THEN 'no' ELSE 'p' END) END,
				customer_id => CASE WHEN random() < 0.3 THEN 'p-' || p END,
				context => jsonb_build_object('time_zone', (ARRAY['Europe/Berlin', 'America/Los_Angeles', 'Asia/Tokyo'])[1 + p % 3],
					'consent', jsonb_build_object('status', CASE WHEN p % 7 = 0 THEN 'withdrawn' ELSE 'granted' END), 'bot', p % 13 = 0),
				shop => 'rul', at => now_is - random() * interval '20 minutes');
		END LOOP;
		PERFORM incomplete_orders.dismiss_order(o.id, at => now_is) FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s USING (shop_id)
		WHERE s.shop = 'rul' AND o.session_id LIKE 'p %' AND random() < 0.01;
		PERFORM incomplete_orders.convert_order(o.id, at => now_is) FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s USING (shop_id)
		WHERE s.shop = 'rul' AND o.session_id LIKE 'p %' AND random() < 0.01;
		now_is := now_is + CASE WHEN random() < 0.05 THEN interval '6 days' ELSE random() * interval '9 hours' END;
		CREATE TEMP TABLE said AS SELECT r.* FROM incomplete_orders.preview_recovery('rul', now_is) r;
		CALL incomplete_orders.tick(report, now_is);
		INSERT INTO decided SELECT now_is, r.due_at, r.order_id, r.step, r.action, r.reason FROM said r;
		-- what it did: messages, rows of the ledger, steps that wait for the instant that was said
		INSERT INTO wrong
		WITH did AS (
			SELECT q.order_id, q.step, 'queued' AS action, q.variant AS reason FROM incomplete_orders.messages q JOIN incomplete_orders.shops s USING (shop_id)
			WHERE s.shop = 'rul' AND q.queued_at = now_is
			UNION ALL SELECT k.order_id, k.step, 'skipped', k.reason FROM incomplete_orders.message_skips k JOIN incomplete_orders.shops s USING (shop_id)
			WHERE s.shop = 'rul' AND k.at = now_is AND k.message_id IS NULL
			UNION ALL SELECT r.order_id, r.step, r.action, coalesce(r.reason, r.variant) FROM said r JOIN incomplete_orders.open_orders o ON o.id = r.order_id
			WHERE r.action = 'postponed' AND o.next_message_at = r.due_at AND o.status = 'abandoned'
		), plan AS (SELECT r.order_id, r.step, r.action, coalesce(r.reason, r.variant) FROM said r)
		SELECT now_is, NULL::timestamptz, x.*, 'said' FROM (TABLE plan EXCEPT ALL TABLE did) x
		UNION ALL SELECT now_is, NULL, x.*, 'did' FROM (TABLE did EXCEPT ALL TABLE plan) x;
		UPDATE incomplete_orders.messages SET status = 'sent', sent_at = queued_at WHERE status = 'queued' AND random() < 0.8;
		DROP TABLE said;
	END LOOP;
END
$$;
SELECT action, reason, count(*) > 0 AS seen, bool_and(due_at <= at OR action = 'postponed') AS was_due FROM decided GROUP BY action, reason ORDER BY action, reason;
SELECT * FROM wrong ORDER BY at LIMIT 10;
-- and none of it broke a rule
SELECT count(*) AS too_close FROM (SELECT p.queued_at - lag(p.queued_at) OVER (PARTITION BY p.person ORDER BY p.queued_at, p.message_id) AS gap
	FROM incomplete_orders.person_messages p JOIN incomplete_orders.messages q ON q.id = p.message_id WHERE p.shop_id = :shop AND p.queued_at > '2025-01-01' AND q.status <> 'cancelled') x WHERE gap < interval '16 hours';
SELECT count(*) AS in_the_night FROM incomplete_orders.messages q JOIN incomplete_orders.open_orders o ON o.id = q.order_id
CROSS JOIN LATERAL (SELECT (q.queued_at AT TIME ZONE (o.context ->> 'time_zone'))::time AS clock) c WHERE q.shop_id = :shop AND q.queued_at > '2025-01-01' AND (c.clock < '08:00' OR c.clock >= '21:00');
SELECT count(*) AS too_many FROM (SELECT FROM incomplete_orders.messages q WHERE q.shop_id = :shop AND q.queued_at > '2025-01-01' AND q.status <> 'cancelled'
	GROUP BY q.root_id, q.episode HAVING count(*) > 2) x;
SELECT count(*) AS too_often FROM (SELECT count(*) OVER (PARTITION BY p.person ORDER BY p.queued_at RANGE BETWEEN '30 days' PRECEDING AND CURRENT ROW) AS n
	FROM incomplete_orders.person_messages p JOIN incomplete_orders.messages q ON q.id = p.message_id WHERE p.shop_id = :shop AND p.queued_at > '2025-01-01' AND q.status <> 'cancelled') x WHERE n > 4;
-- nobody who is held out got one, everybody else's say so, and an arm is a person's
SELECT count(*) AS held_out FROM incomplete_orders.person_messages p JOIN incomplete_orders.person_arms a USING (shop_id, person)
WHERE p.shop_id = :shop AND p.queued_at > '2025-01-01' AND a.holdout;
SELECT count(*) AS not_kept FROM incomplete_orders.person_messages p
WHERE p.shop_id = :shop AND p.queued_at > '2025-01-01' AND NOT EXISTS (SELECT FROM incomplete_orders.person_arms a WHERE a.shop_id = p.shop_id AND a.person = p.person AND a.assigned_at <= p.queued_at);
SELECT count(*) > 0 AS some, count(*) FILTER (WHERE e.holdout IS DISTINCT FROM (SELECT a.holdout FROM incomplete_orders.person_arms a
	WHERE a.shop_id = o.shop_id AND a.person = ANY (incomplete_orders._person_keys(o.shop_id, NULL, o.email, NULL)) ORDER BY a.assigned_at LIMIT 1)) AS other_than_kept
FROM incomplete_orders.order_events e JOIN incomplete_orders.incomplete_orders o ON o.id = e.order_id
WHERE e.shop_id = :shop AND e.at > '2025-01-01' AND e.event IN ('message_queued', 'holdout');
SELECT e.event, e.holdout, e.variant IS NOT NULL AS variant, count(*) > 0 AS seen FROM incomplete_orders.order_events e
WHERE e.shop_id = :shop AND e.at > '2025-01-01' AND e.step = 1 AND e.kind = 'cart' AND e.event IN ('message_queued', 'holdout') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT count(*) AS twice FROM (SELECT FROM incomplete_orders.order_events e WHERE e.shop_id = :shop AND e.event = 'holdout' GROUP BY e.order_id, e.episode HAVING count(*) > 1) x;
-- it changes nothing, also where nothing can be changed
BEGIN READ ONLY;
SELECT count(*) > 0 AS some FROM incomplete_orders.preview_recovery('rul', '2025-06-01');
COMMIT;
SELECT incomplete_orders.preview_recovery('nowhere');
SELECT incomplete_orders.preview_recovery('rul', 'infinity');

--
-- The claim asks again, by the clock on the wall: gap, caps and quiet hours.
--
UPDATE incomplete_orders.messages SET status = 'cancelled' WHERE shop_id = :shop AND status IN ('queued', 'sending');
UPDATE incomplete_orders.campaigns SET enabled = false WHERE shop_id = :shop;
CALL pg_temp.configure('{"min_gap": null, "cap_per_episode": null, "cap_per_person": null, "exclusions": {}, "consent_rule": "none", "quiet_from": "0:00", "quiet_to": "0:00"}');
-- orders of one person, and of others; each message was queued when the order says
CREATE PROCEDURE pg_temp.queue(age interval, VARIADIC whose text[]) LANGUAGE plpgsql AS $$
DECLARE
	w text;
BEGIN
	FOREACH w IN ARRAY whose LOOP
		CALL pg_temp.cart(w, now() - age - interval '3 hours', split_part(w, ' ', 2) || '@w.example', customer_id => 'w ' || split_part(w, ' ', 2));
		PERFORM incomplete_orders.mark_abandoned(pg_temp.id(w), at => now() - age - interval '1 hour');
	END LOOP;
	INSERT INTO incomplete_orders.messages (shop_id, id, due_at, order_id, root_id, episode, step, campaign, message_type, template, recipient, queued_at, give_up_at)
	SELECT o.shop_id, incomplete_orders._new_id(o.shop_id), now() - age, o.id, o.root_id, o.episode, 1, 'cart', 'abandoned_cart', 'cart_abandoned', o.email, now() - age, now() + interval '4 days'
	FROM incomplete_orders.open_orders o WHERE o.id IN (SELECT pg_temp.id(x) FROM unnest(whose) x);
	INSERT INTO incomplete_orders.person_messages (shop_id, person, queued_at, message_id)
	SELECT q.shop_id, k, q.queued_at, q.id FROM incomplete_orders.messages q JOIN incomplete_orders.open_orders o ON o.id = q.order_id,
		unnest(incomplete_orders._person_keys(o.shop_id, o.customer_id, o.email, o.phone)) k WHERE o.id IN (SELECT pg_temp.id(x) FROM unnest(whose) x);
END
$$;
-- how long those of that name wait still
CREATE FUNCTION pg_temp.waits(whose text) RETURNS TABLE (name text, status text, reason text, waits interval) LANGUAGE sql AS $$
	SELECT m.name, m.status::text, m.reason, CASE WHEN m.status = 'queued' THEN date_trunc('hour', q.due_at - now() + interval '30 minutes') END
	FROM pg_temp.mails m JOIN incomplete_orders.messages q USING (id) WHERE m.name LIKE whose AND q.step = 1 ORDER BY m.name
$$;
CREATE PROCEDURE pg_temp.ack(age interval DEFAULT '0') LANGUAGE sql AS $$
	UPDATE incomplete_orders.messages SET status = 'sent', sent_at = now() - age WHERE status = 'sending'
$$;
-- two of one person are due together: the one that was queued first goes, the other after it
CALL pg_temp.queue('2 hours', 'w1 ann');
CALL pg_temp.queue('1 hour', 'w2 ann', 'w3 bob');
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('w2%');
CALL pg_temp.ack('3 hours');
UPDATE incomplete_orders.messages SET due_at = now() - interval '1 minute' WHERE shop_id = :shop AND status = 'queued';
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('w2%');
-- the gap is over
UPDATE incomplete_orders.messages SET sent_at = now() - interval '16 hours' WHERE shop_id = :shop AND status = 'sent' AND sent_at > now() - interval '1 day';
UPDATE incomplete_orders.messages SET due_at = now() - interval '1 minute' WHERE shop_id = :shop AND status = 'queued';
SELECT name FROM pg_temp.claim();
CALL pg_temp.ack();
-- by hand at once, whatever was sent
SELECT pg_temp.by_hand('w1 ann', now());
SELECT name FROM pg_temp.claim();
CALL pg_temp.ack();
-- and what the sequence queued before that waits for it: no two together
CALL pg_temp.queue('1 hour', 'w9 hal');
SELECT pg_temp.by_hand('w9 hal', now());
SELECT name FROM pg_temp.claim();
CALL pg_temp.ack();
UPDATE incomplete_orders.messages SET due_at = now() - interval '1 minute' WHERE shop_id = :shop AND status = 'queued';
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('w9%');
-- somebody who was forgotten, and is known by the customer only
CALL pg_temp.queue('1 hour', 'wa ivy');
SELECT count(*) > 0 AS suppressed FROM incomplete_orders.forget_customer(customer_id => 'w zoe', shop => 'rul');
SELECT incomplete_orders.edit_order(pg_temp.id('wa ivy'), '{"customer_id": "w zoe"}', 1) AS version;
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('wa%');
-- an address that staff corrected: who gets it is counted
CALL pg_temp.queue('1 hour', 'w4 cat');
SELECT incomplete_orders.edit_order(pg_temp.id('w4 cat'), '{"email": "dan@w.example"}', 1) AS version;
SELECT name FROM pg_temp.claim();
CALL pg_temp.ack();
CALL pg_temp.queue('1 hour', 'w5 dan');
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('w5%');
-- caps
CALL pg_temp.configure('{"min_gap": "0", "cap_per_person": 1}');
UPDATE incomplete_orders.messages SET due_at = now() - interval '1 minute' WHERE shop_id = :shop AND status = 'queued';
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('w5%');
CALL pg_temp.configure('{"cap_per_person": 10, "cap_per_episode": 0}');
CALL pg_temp.queue('1 hour', 'w6 eve');
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('w6%');
SELECT name, reason FROM pg_temp.ledger WHERE of_message AND name LIKE 'w%' ORDER BY name;
CALL pg_temp.configure('{"cap_per_person": null, "cap_per_episode": null, "min_gap": null}');
-- quiet from an hour ago on for five hours, for all but those by hand
SELECT incomplete_orders.configure_shop('rul', jsonb_build_object('quiet_from', to_char(now() AT TIME ZONE 'UTC' - interval '1 hour', 'HH24:MI'), 'quiet_to', to_char(now() AT TIME ZONE 'UTC' + interval '4 hours', 'HH24:MI')));
CALL pg_temp.queue('1 hour', 'w7 fay', 'w8 gus');
SELECT pg_temp.by_hand('w8 gus', now());
SELECT name FROM pg_temp.claim();
SELECT * FROM pg_temp.waits('w7%');
-- another clock: six hours later, and it leaves
UPDATE incomplete_orders.open_orders SET context = jsonb_build_object('time_zone', 'Etc/GMT-6') WHERE id = pg_temp.id('w7 fay');
UPDATE incomplete_orders.messages SET due_at = now() - interval '1 minute' WHERE shop_id = :shop AND status = 'queued' AND recipient LIKE 'fay%';
SELECT name FROM pg_temp.claim();

DROP VIEW pg_temp.mails, pg_temp.ledger;
SELECT count(*) > 0 AS removed FROM incomplete_orders.delete_shop('rul', false);

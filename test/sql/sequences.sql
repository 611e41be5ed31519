-- A campaign's sequence as its editor saves it, texts that are not saved yet, and the
-- coupons that went out.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SELECT incomplete_orders.create_shop('seq', 'Sequences', currency => 'EUR') AS shop \gset
SELECT incomplete_orders.configure_shop('seq', '{"quiet_from": "00:00", "quiet_to": "00:00", "consent_rule": "none", "cap_per_episode": 50, "cap_per_person": 100, "min_gap": "0"}');
CREATE FUNCTION pg_temp.cart(session_id text, at timestamptz) RETURNS uuid LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart(session_id, '[{"sku": "A", "quantity": 2, "unit_price": 50}]', email => session_id || '@example.com', shop => 'seq', at => at)
$$;
CREATE PROCEDURE pg_temp.tick(at timestamptz, INOUT did text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, at);
	did := format('%s queued', r ->> 'queued');
END
$$;
CREATE FUNCTION pg_temp.save(steps jsonb, dry_run boolean DEFAULT false, campaign text DEFAULT 'cart') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT s::text FROM incomplete_orders.save_campaign(campaign, steps, 'seq', dry_run) s
$$;
CREATE VIEW pg_temp.steps AS SELECT step, delay, message_type, template, variants, coupon FROM incomplete_orders.list_campaigns('seq') WHERE campaign = 'cart';
CREATE VIEW pg_temp.mails AS SELECT o.name, m.step, m.template, m.variant, m.queued_at FROM incomplete_orders.messages m
	CROSS JOIN LATERAL (SELECT split_part(m.recipient, '@', 1) AS name) o WHERE m.shop_id = (SELECT shop_id FROM incomplete_orders.shops WHERE shop = 'seq') ORDER BY m.queued_at, o.name;

-- Three orders in the sequence: ann had step 1 and 2, bea step 1, cat nothing.
SELECT incomplete_orders.enable_campaign('cart', 'seq', '365 days', at => '2024-03-01 00:00');
SELECT pg_temp.cart('ann', '2024-03-01 09:00') AS ann \gset
CALL pg_temp.tick('2024-03-01 11:00');
SELECT pg_temp.cart('bea', '2024-03-02 09:00') AS bea \gset
CALL pg_temp.tick('2024-03-02 11:00');
SELECT pg_temp.cart('cat', '2024-03-02 10:30') AS cat \gset
CALL pg_temp.tick('2024-03-02 11:30');
SELECT name, step, template FROM pg_temp.mails;
CREATE TABLE pg_temp.before AS SELECT o::text FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop UNION ALL SELECT c::text FROM incomplete_orders.campaign_steps c WHERE c.shop_id = :shop;

-- A step between the first and the second pushes those behind it up; a dry run says so and changes nothing.
\set four '[{"step": 1, "delay": "1 hour", "template": "cart_abandoned"}, {"delay": "12 hours", "template": "cart_offer", "coupon": {"percentage": 10, "valid_for": "3 days"}}, {"step": 2, "delay": "30 hours", "template": "cart_reminder", "variants": [{"variant": "a", "weight": 1}, {"variant": "b", "weight": 0, "template": "cart_final"}]}, {"step": 3, "delay": "72 hours", "template": "cart_final"}]'
SELECT pg_temp.save(:'four', true);
SELECT count(*) AS changed FROM (SELECT o::text FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop UNION ALL SELECT c::text FROM incomplete_orders.campaign_steps c WHERE c.shop_id = :shop
	EXCEPT SELECT * FROM pg_temp.before) d;
SELECT pg_temp.save(:'four');
SELECT * FROM pg_temp.steps;
SELECT campaign, step, kind, value, valid_for FROM incomplete_orders.list_coupons('seq');
SELECT step, variant, weight, template FROM incomplete_orders.list_variants('seq');
SELECT split_part(email, '@', 1) AS name, sequence_step, next_message_at FROM incomplete_orders.open_orders WHERE shop_id = :shop ORDER BY 1;
-- nobody gets a text again that they had, and everybody gets what is left
CALL pg_temp.tick('2024-03-03 12:00');
CALL pg_temp.tick('2024-03-04 12:00');
CALL pg_temp.tick('2024-03-06 12:00');
CALL pg_temp.tick('2024-03-07 12:00');
SELECT name, string_agg(step || ' ' || template, ', ' ORDER BY queued_at) FROM pg_temp.mails GROUP BY 1 ORDER BY 1;

-- A step that moves to the front; the discount goes, and the step is again of the type it was.
SELECT pg_temp.save('[{"step": 1, "delay": "1 hour", "template": "cart_abandoned"}, {"step": 4, "delay": "2 hours", "template": "cart_final"}, {"step": 2, "delay": "1 day", "template": "cart_offer"}]');
SELECT * FROM pg_temp.steps;
-- numbers that are used up begin again when nobody is in the middle
UPDATE incomplete_orders.campaign_steps SET step = 20 WHERE shop_id = :shop AND step = 4 AND campaign = 'cart';
SELECT pg_temp.save('[{"step": 20, "delay": "1 hour", "template": "cart_final"}, {"step": 1, "delay": "2 hours", "template": "cart_abandoned"}]');
UPDATE incomplete_orders.open_orders SET sequence_step = 0 WHERE shop_id = :shop;
SELECT pg_temp.save('[{"step": 20, "delay": "1 hour", "template": "cart_final"}, {"step": 1, "delay": "2 hours", "template": "cart_abandoned"}]');
SELECT step, template FROM pg_temp.steps;
SELECT pg_temp.save('[]');
SELECT * FROM pg_temp.steps;

-- What is wrong is said with the member that it is.
CREATE FUNCTION pg_temp.fault(steps jsonb, campaign text DEFAULT 'cart') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	at text;
	said text;
BEGIN
	PERFORM incomplete_orders.save_campaign(campaign, steps, 'seq');
	RETURN 'saved';
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS at = COLUMN_NAME, said = MESSAGE_TEXT;
	RETURN concat_ws(': ', nullif(at, ''), said);
END
$$;
SELECT pg_temp.fault(steps::jsonb) FROM (VALUES ('{}'), ('[1]'), (NULL), ('[{"wait": "1 h"}]'), ('[{"step": 9, "delay": "1 h", "template": "cart_final"}]'),
	('[{"delay": "soon", "template": "cart_final"}]'), ('[{"template": "cart_final"}]'), ('[{"delay": "1 h", "template": "nothing"}]'), ('[{"delay": "1 h"}]'),
	('[{"delay": "1 h", "template": "cart_final"}, {"delay": "1 h", "template": "cart_final"}]'),
	('[{"delay": "1 h", "template": "cart_final", "coupon": {"percentage": 200}}]'), ('[{"delay": "1 h", "template": "cart_final", "coupon": 3}]'),
	('[{"delay": "1 h", "template": "cart_final", "variants": 3}]'), ('[{"delay": "1 h", "template": "cart_final", "variants": [{"variant": "A b"}]}]'),
	('[{"delay": "1 h", "template": "cart_final", "variants": [{"variant": "a"}, {"variant": "a"}]}]'),
	('[{"delay": "1 h", "template": "cart_final", "variants": [{"variant": "a"}, {"variant": "b", "weight": -1}]}]')) f (steps);
SELECT pg_temp.fault((SELECT jsonb_agg(jsonb_build_object('delay', n || ' h', 'template', 'cart_final')) FROM generate_series(1, 21) n));
SELECT pg_temp.fault('[]', 'nonsense');

-- Texts that are not saved: each field that is wrong, and where.
SELECT field, line, "column", problem FROM incomplete_orders.check_texts('{"subject": "Hi {{customer}}", "body": "One\ntwo {{#items}}", "headline": "", "button": "Go", "footer": null, "nonsense": "x"}');
SELECT * FROM incomplete_orders.check_texts('{}');
SELECT * FROM incomplete_orders.check_texts('[]');

-- Coupons that went out, by state and page by page.
INSERT INTO incomplete_orders.issued_coupons (shop_id, code, message_id, root_id, kind, value, currency, minimum_value, issued_at, expires_at, used_at, used_by, cost)
SELECT :shop, 'SEQ' || n, coalesce((SELECT m.id FROM incomplete_orders.messages m WHERE m.shop_id = :shop AND n = 1 ORDER BY m.id LIMIT 1), gen_random_uuid()), gen_random_uuid(), 'percentage', 10, 'EUR', 0,
	now() - n * interval '1 day', now() + (3 - n) * interval '1 day', CASE WHEN n = 2 THEN now() END, CASE WHEN n = 2 THEN :'ann'::uuid END, CASE WHEN n = 2 THEN 5 END
FROM generate_series(1, 4) n;
SELECT code, state, campaign, step, recipient, value, cost, used_by = :'ann' AS by_ann FROM incomplete_orders.list_issued_coupons('seq');
SELECT code FROM incomplete_orders.list_issued_coupons('seq', 'open');
SELECT code FROM incomplete_orders.list_issued_coupons('seq', 'expired');
SELECT cursor FROM incomplete_orders.list_issued_coupons('seq', page_size => 2) ORDER BY issued_at LIMIT 1 \gset
SELECT code FROM incomplete_orders.list_issued_coupons('seq', after => :'cursor', page_size => 2);
SELECT code FROM incomplete_orders.list_issued_coupons('seq', after => 'x');

SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('seq', false);

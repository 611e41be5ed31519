-- What a manager does: see the campaigns and change their steps, look at who would get what
-- before a campaign is on, and read the ledger of a shop.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'UTC';
SELECT incomplete_orders.create_shop('man', 'Managers', currency => 'EUR') AS shop \gset
SELECT incomplete_orders.configure_shop('man', '{"quiet_from": "00:00", "quiet_to": "00:00"}');
CREATE FUNCTION pg_temp.cart(session_id text, at timestamptz, consent text DEFAULT 'granted') RETURNS uuid LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart(session_id, '[{"sku": "A", "quantity": 2, "unit_price": 5}]', email => session_id || '@example.com',
		context => jsonb_build_object('consent', jsonb_build_object('status', consent)), shop => 'man', at => at)
$$;
CREATE PROCEDURE pg_temp.tick(at timestamptz, INOUT did text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, at);
	did := format('%s queued, %s skipped', r ->> 'queued', r ->> 'skipped');
END
$$;
CREATE FUNCTION pg_temp.preview(at timestamptz, campaigns text[] DEFAULT NULL, not_older_than interval DEFAULT '1 day')
RETURNS TABLE (due_at timestamp, who text, campaign text, step integer, action text, reason text) LANGUAGE sql AS $$
	SELECT p.due_at, split_part(p.recipient, '@', 1), p.campaign, p.step, p.action, p.reason FROM incomplete_orders.preview_recovery('man', at, campaigns, not_older_than) p ORDER BY 1, 2
$$;

-- The campaigns as they are made, and what is missing before anything may leave.
SELECT * FROM incomplete_orders.list_campaigns('man');
SELECT incomplete_orders.configure_shop('man', '{"from_email": "us@shop.example", "base_url": "https://mail.shop.example/", "postal_address": "1 Main Street"}');
SELECT incomplete_orders.configure_coupon('cart', '{"percentage": 10}', shop => 'man'), incomplete_orders.configure_coupon('payment', '{"amount": 5.50}', shop => 'man');
SELECT incomplete_orders.save_variant('cart', 1, 'a', shop => 'man'), incomplete_orders.save_variant('cart', 1, 'b', 'cart_reminder', shop => 'man');
SELECT campaign, step, template, variants, coupon, missing FROM incomplete_orders.list_campaigns('man') WHERE variants > 0 OR coupon IS NOT NULL;
SELECT shop FROM incomplete_orders.list_campaigns('*') WHERE shop IN ('man', 'default') GROUP BY 1 ORDER BY 1;

-- Before a campaign is on: nobody would get anything, and with it who would. What is asked changes nothing.
SELECT pg_temp.cart('ann', '2024-03-01 10:00') AS ann, pg_temp.cart('bea', '2024-03-01 10:00', 'withdrawn') AS bea, pg_temp.cart('old', '2024-02-28 10:00') AS old \gset
CALL pg_temp.tick('2024-03-01 12:00');
CREATE TABLE pg_temp.before AS SELECT o::text FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop UNION ALL SELECT c::text FROM incomplete_orders.campaigns c WHERE c.shop_id = :shop;
SELECT * FROM pg_temp.preview('2024-03-01 13:00');
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{cart}');
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{cart,payment,partial}', '7 days');
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{payment}');
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{}');
-- somebody who is still there: not abandoned before, but by then
SELECT pg_temp.cart('cyd', '2024-03-01 11:30') AS cyd \gset
SELECT * FROM pg_temp.preview('2024-03-01 14:00', '{cart}');
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{cart,nonsense}');
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{cart,NULL}');
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{cart}', NULL);
SELECT * FROM pg_temp.preview('2024-03-01 13:00', '{cart}', '-1 day');
(TABLE pg_temp.before EXCEPT (SELECT o::text FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop UNION ALL SELECT c::text FROM incomplete_orders.campaigns c WHERE c.shop_id = :shop));
-- it is what then happens
SELECT incomplete_orders.enable_campaign('cart', 'man', at => '2024-03-01 12:00');
SELECT * FROM pg_temp.preview('2024-03-01 14:00');
SELECT campaign, enabled, not_before, step FROM incomplete_orders.list_campaigns('man') WHERE enabled;
-- what is on and lacks a setting shows in health()
SELECT h.value ~ 'shop "man"' AS man FROM incomplete_orders.health() h WHERE h.check_name = 'campaigns';
SELECT incomplete_orders.configure_shop('man', '{"base_url": null, "postal_address": null}');
SELECT h.state, substring(h.value FROM 'shop "man"[^;]*') AS man, h.advice FROM incomplete_orders.health() h WHERE h.check_name = 'campaigns';
SELECT incomplete_orders.configure_shop('man', '{"base_url": "https://mail.shop.example/", "postal_address": "1 Main Street"}');
CALL pg_temp.tick('2024-03-01 14:00');
SELECT w.at, w.step, w.reason FROM incomplete_orders.why_not_sent(:'bea') w;

-- A step may come earlier or later: whoever waits follows, what is queued stays, and an order whose sequence is over gets nothing more.
SELECT split_part(o.email, '@', 1) AS who, o.sequence_step, o.next_message_at FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop ORDER BY o.email;
SELECT incomplete_orders.configure_step('cart', 2, '{"delay": "10 hours"}', 'man');
SELECT incomplete_orders.configure_step('cart', 3, '{"template": "cart_reminder"}', 'man');
SELECT step, delay, template, message_type FROM incomplete_orders.list_campaigns('man') WHERE campaign = 'cart';
SELECT split_part(o.email, '@', 1) AS who, o.sequence_step, o.next_message_at FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop ORDER BY o.email;
SELECT incomplete_orders.remove_step('cart', 2, 'man') AS removed, incomplete_orders.remove_step('cart', 2, 'man') AS again;
SELECT split_part(o.email, '@', 1) AS who, o.sequence_step, o.next_message_at FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop ORDER BY o.email;
SELECT incomplete_orders.remove_step('cart', 3, 'man');
SELECT count(*) AS coupons FROM incomplete_orders.coupons WHERE shop_id = :shop AND campaign = 'cart';
CALL pg_temp.tick('2024-03-05 14:00');
SELECT incomplete_orders.configure_step('cart', 4, '{"delay": "5 days", "template": "cart_final"}', 'man');
SELECT split_part(o.email, '@', 1) AS who, o.sequence_step, o.next_message_at FROM incomplete_orders.open_orders o WHERE o.shop_id = :shop ORDER BY o.email;
-- what was never mailed when the only step of a campaign that is off is added waits until it is on
SELECT incomplete_orders.remove_step('partial', n, 'man') FROM generate_series(1, 3) n;
SELECT * FROM incomplete_orders.list_campaigns('man') WHERE campaign = 'partial';
SELECT incomplete_orders.configure_step('partial', 1, '{"delay": "0", "template": "partial_final"}', 'man');
SELECT incomplete_orders.configure_step('payment', 4, '{"delay": "90 hours", "template": "payment_final"}', 'man');
SELECT campaign, step, delay, message_type, template FROM incomplete_orders.list_campaigns('man');
\set VERBOSITY default
SELECT incomplete_orders.configure_step('cart', 1, '{"delay": "6 days"}', 'man');
\set VERBOSITY terse
SELECT incomplete_orders.configure_step('cart', 4, '{"delay": "1 hour"}', 'man');
SELECT incomplete_orders.configure_step('cart', 2, '{"delay": "2 hours"}', 'man');
SELECT incomplete_orders.configure_step('cart', 2, '{"template": "cart_final"}', 'man');
SELECT incomplete_orders.configure_step('cart', 1, '{"template": "nonsense"}', 'man');
SELECT incomplete_orders.configure_step('cart', 1, '{"template": null}', 'man');
SELECT incomplete_orders.configure_step('cart', 1, '{"delay": "soon"}', 'man');
SELECT incomplete_orders.configure_step('cart', 1, '{"delay": "-1 hour"}', 'man');
SELECT incomplete_orders.configure_step('cart', 1, '{"delay": 1}', 'man');
SELECT incomplete_orders.configure_step('cart', 1, '{"subject": "Hello"}', 'man');
SELECT incomplete_orders.configure_step('cart', 1, '[]', 'man');
SELECT incomplete_orders.configure_step('cart', 1, NULL, 'man');
SELECT incomplete_orders.configure_step('cart', 21, '{"delay": "9 days", "template": "cart_final"}', 'man');
SELECT incomplete_orders.configure_step('cart', NULL, '{}', 'man');
SELECT incomplete_orders.configure_step('nonsense', 1, '{}', 'man');
SELECT incomplete_orders.remove_step('nonsense', 1, 'man');

-- The ledger of the shop, counted: by campaign, step and reason, in a span of time.
SELECT pg_temp.cart('dan', '2024-03-10 10:00', 'withdrawn') AS dan, pg_temp.cart('eli', '2024-03-10 10:00', 'withdrawn') AS eli, pg_temp.cart('fay', '2024-03-10 10:00') AS fay \gset
SELECT incomplete_orders.suppress('fay@example.com', 'complaint', 'man', '2024-03-10 11:00');
CALL pg_temp.tick('2024-03-10 13:00');
SELECT * FROM incomplete_orders.count_skips('man', NULL);
SELECT reason, messages FROM incomplete_orders.count_skips('man', '2024-03-10', '2024-03-11');
SELECT reason, messages FROM incomplete_orders.count_skips('man', '2024-03-10 13:00', '2024-03-10 13:00');
SELECT count(*) AS lately FROM incomplete_orders.count_skips('man');
-- each reason that why_not_sent() promises has a meaning, and the other way round
SELECT r.reason FROM incomplete_orders._reasons() r WHERE
	obj_description('incomplete_orders.why_not_sent(uuid)'::regprocedure, 'pg_proc') !~ ('\m' || r.reason || '\M');

SELECT count(*) > 0 AS deleted FROM incomplete_orders.delete_shop('man', false);

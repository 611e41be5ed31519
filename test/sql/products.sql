-- Statistics by product: what lay in carts that were abandoned, and what was bought
-- after all, folded or not.
\set VERBOSITY terse
\pset null (null)
SET timezone = 'Europe/Berlin';
SET search_path = pg_catalog;
SELECT incomplete_orders.create_shop('prod', 'Products', 'EUR', 'Europe/Berlin') AS shop \gset
SELECT incomplete_orders.configure_shop('prod', '{"consent_rule": "none", "quiet_from": "00:00", "quiet_to": "00:00"}');
SELECT incomplete_orders.enable_campaign('cart', 'prod', at => '2024-03-01');
CREATE SCHEMA pr;
CREATE FUNCTION pr.cart(name text, items jsonb, at timestamptz, context jsonb DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart($1, $2, email => $1 || '@pr.example', context => $4, shop => 'prod', at => $3)
$$;
CREATE FUNCTION pr.id(name text) RETURNS uuid LANGUAGE sql STABLE AS $$
	SELECT o.id FROM incomplete_orders.incomplete_orders o WHERE o.shop = 'prod' AND o.session_id = $1
$$;
CREATE FUNCTION pr.fold() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WHILE incomplete_orders._tick_fold(1000) > 0 LOOP NULL; END LOOP;
END
$$;
CREATE FUNCTION pr.report(since date DEFAULT '2024-03-01', until date DEFAULT '2024-04-01') RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', product, name, currency, abandoned, abandoned_quantity, abandoned_value, recovered, recovered_quantity, recovered_value, recovered_share)
	FROM incomplete_orders.statistics_by_product('prod', since, until)
$$;
SELECT pr.fold();

-- an empty shop has no products
SELECT pr.report();
SELECT pr.cart('one', '[{"sku":"A","name":"Apple","quantity":2,"unit_price":"1.50"},{"sku":"B","quantity":1,"unit_price":"10"}]', '2024-03-05 10:00');
SELECT pr.cart('two', '[{"sku":"A","name":"Apple","quantity":1,"unit_price":"1.50"},{"sku":"A","name":"Apple","variant":"red","quantity":3,"unit_price":"2"}]', '2024-03-05 10:00');
SELECT pr.cart('bot', '[{"sku":"A","quantity":9,"unit_price":"9"}]', '2024-03-05 10:00', '{"bot": true}');
SELECT incomplete_orders.mark_abandoned(pr.id(n), at => '2024-03-05 23:50') FROM unnest('{one,two,bot}'::text[]) n;
-- not folded yet: twice on lines of a cart is one cart; no bots
SELECT pr.report();
-- back with another cart: what was abandoned is the one before
SELECT pr.cart('one', '[{"sku":"C","name":"Cherry","quantity":1,"unit_price":"5"}]', '2024-03-06 00:10');
SELECT pr.report();
SELECT pr.fold();
SELECT pr.report();
-- abandoned again (by the clock, too, at ten past one) on another day, with a new name of A
SELECT pr.cart('one', '[{"sku":"C","name":"Cherry","quantity":1,"unit_price":"5"},{"sku":"A","name":"Apple, ripe","quantity":1,"unit_price":"1"}]', '2024-03-06 10:00');
SELECT incomplete_orders.mark_abandoned(pr.id('one'), at => '2024-03-06 12:00');
SELECT pr.report('2024-03-06', '2024-03-07');
SELECT pr.fold();
SELECT pr.report();
-- days before, within and after whole weeks, added up in any way
CREATE TABLE pr.days AS SELECT d::date AS day, coalesce((SELECT sum(p.abandoned_value) FROM incomplete_orders.statistics_by_product('prod', d::date, d::date + 1) p), 0) AS value
FROM generate_series('2024-02-20'::timestamp, '2024-03-20', '1 day') d;
SELECT s AS since, u AS until, (SELECT sum(d.value) FROM pr.days d WHERE d.day >= s AND d.day < u) AS by_day, p.value AS by_span
FROM generate_series(0, 16, 2) a, generate_series(0, 13) b, LATERAL (SELECT '2024-02-20'::date + a AS s, '2024-03-06'::date + b AS u) x,
LATERAL (SELECT coalesce(sum(p.abandoned_value), 0) AS value FROM incomplete_orders.statistics_by_product('prod', s, u) p) p
WHERE s < u AND p.value <> (SELECT sum(d.value) FROM pr.days d WHERE d.day >= s AND d.day < u);
-- nothing is counted twice or forgotten by computing anew
SELECT incomplete_orders.rebuild_analytics() >= 0 AS rebuilt;
SELECT pr.report();

--
-- Recovered: a person clicked, then paid.
--
SELECT incomplete_orders.send_recovery_email(pr.id('one'), at => '2024-03-06 13:00') AS mail \gset
SELECT incomplete_orders.record_message_event(:'mail', 'clicked', at => '2024-03-06 14:00');
SELECT total, paid FROM incomplete_orders.convert_order(pr.id('one'), paid => true, at => '2024-03-06 15:00');
SELECT pr.report();
CREATE TABLE pr.before AS SELECT * FROM pr.report();
SELECT pr.fold();
SELECT * FROM pr.before EXCEPT SELECT * FROM pr.report();
SELECT product, recovered, recovered_quantity, recovered_value, kept FROM incomplete_orders.rollup_recovered_products WHERE shop_id = :shop AND days = 1 ORDER BY 1;
-- the recovered side is computed anew from the history
UPDATE incomplete_orders.rollup_recovered_products SET recovered = 7 WHERE shop_id = :shop AND product = 'A';
SELECT incomplete_orders.rebuild_analytics() > 0 AS mended;
SELECT * FROM pr.before EXCEPT SELECT * FROM pr.report();

--
-- What is forgotten, cleaned up or deleted by retention stays counted.
--
SELECT incomplete_orders.dismiss_order(pr.id('two'), at => '2024-03-10');
CREATE ROLE regress_prod;
SELECT incomplete_orders.grant_to('regress_prod', 'admin', 'prod');
SET ROLE regress_prod;
SELECT action, n FROM incomplete_orders.cleanup(1) WHERE n > 0;
RESET ROLE;
SELECT * FROM pr.before EXCEPT SELECT * FROM pr.report();
BEGIN;
SELECT incomplete_orders._allow_retention(), incomplete_orders._lock_rollups(true);
SELECT incomplete_orders._retire_details(ARRAY[:shop], ARRAY[pr.id('one')], ARRAY[pr.id('one')]);
COMMIT;
SELECT product, recovered, kept FROM incomplete_orders.rollup_recovered_products WHERE shop_id = :shop AND recovered <> 0 AND days = 1 ORDER BY 1;
SELECT * FROM pr.before EXCEPT SELECT * FROM pr.report();
SELECT incomplete_orders.rebuild_analytics() >= 0 AS rebuilt;
SELECT * FROM pr.before EXCEPT SELECT * FROM pr.report();
-- so does what nobody folded before: the order goes with its cart, or the cart that was kept of it
SELECT pr.cart(n, '[{"sku":"D","quantity":4,"unit_price":"2"}]', '2024-03-12 10:00') FROM unnest('{gone,back}'::text[]) n;
SELECT incomplete_orders.mark_abandoned(pr.id(n), at => '2024-03-12 12:00') FROM unnest('{gone,back}'::text[]) n;
SELECT incomplete_orders.dismiss_order(pr.id('gone'), at => '2024-03-12 13:00');
SELECT pr.cart('back', '[{"sku":"E","quantity":1,"unit_price":"3"}]', '2024-03-12 14:00');
SELECT pr.report('2024-03-12', '2024-03-13');
BEGIN;
SELECT incomplete_orders._allow_retention(), incomplete_orders._lock_rollups(true);
SELECT deleted FROM incomplete_orders._retire(:shop, '00000000-0000-0000-0000-000000000000', incomplete_orders._id_at(clock_timestamp() + interval '1 minute'), '2024-03-20', 100);
COMMIT;
SELECT pr.id('gone');
SELECT pr.report('2024-03-12', '2024-03-13');
SELECT relation FROM incomplete_orders.forget_customer('back@pr.example', shop => 'prod') WHERE relation = 'order_changes';
SELECT pr.report('2024-03-12', '2024-03-13');
SELECT pr.fold();
SELECT pr.report('2024-03-12', '2024-03-13');

SELECT incomplete_orders.revoke_from('regress_prod', 'admin', 'prod');
DROP ROLE regress_prod;
SET client_min_messages = warning;
DROP SCHEMA pr CASCADE;

-- cleanup() and expire_orders(): what staff do by hand, and what dry_run shows of it.
\set VERBOSITY terse
SET timezone = 'UTC';
CREATE SCHEMA cln;
SELECT incomplete_orders.create_shop('cln-a', 'A') AS a \gset
SELECT incomplete_orders.create_shop('cln-b', 'B') AS b \gset
CREATE ROLE regress_cln_admin;
CREATE ROLE regress_cln_app;
SELECT incomplete_orders.grant_to('regress_cln_admin', 'admin', 'cln-a');
SELECT incomplete_orders.grant_to('regress_cln_app', 'app', 'cln-a');
-- Everything of both shops, to see whether anything changed.
CREATE FUNCTION cln.state() RETURNS text LANGUAGE sql AS $$
	SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM (SELECT incomplete_orders.export_shop('cln-a') UNION ALL SELECT incomplete_orders.export_shop('cln-b')) x (e)
$$;
CREATE FUNCTION cln.make(name text, shop text, at timestamptz DEFAULT now()) RETURNS uuid LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart('cln-' || name, '[{"sku":"A","quantity":2,"unit_price":1}]', name => name, shop => shop, at => at)
$$;

--
-- cleanup: closed 100 days ago and 10 days ago, in each way.
--
CREATE FUNCTION cln.close(id uuid, how text, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM incomplete_orders.add_note(id, 'note');
	CASE how
		WHEN 'expired' THEN PERFORM incomplete_orders._expire_order(id, at, false);
		WHEN 'dismissed' THEN PERFORM incomplete_orders.dismiss_order(id, at => at);
		WHEN 'deleted' THEN PERFORM incomplete_orders.delete_order(id, at => at);
		WHEN 'converted' THEN PERFORM incomplete_orders.convert_order(id, at => at);
		-- a part is ordered, the rest given up
		WHEN 'partial' THEN
			PERFORM incomplete_orders.convert_order(id, '[{"sku":"A","quantity":1,"unit_price":1}]', idempotency_key => 'k', at => at),
				incomplete_orders.dismiss_order(id, at => at);
	END CASE;
END
$$;
SELECT count(cln.close(cln.make(how || ' ' || days || ' ' || shop, shop, now() - make_interval(days => days + CASE how WHEN 'expired' THEN 31 ELSE 1 END)), how, now() - make_interval(days => days)))
FROM unnest(ARRAY[10, 100]) days, unnest(ARRAY['dismissed', 'deleted', 'converted', 'partial', 'expired']) how, unnest(ARRAY['cln-a', 'cln-b']) shop;
SELECT cln.make('open', 'cln-a') IS NOT NULL AS open;
-- more than ten, to see that ten are named, the first ones
SELECT count(cln.close(cln.make('many ' || i, 'cln-a', now() - interval '210 days'), 'dismissed', now() - interval '200 days' + make_interval(mins => i))) FROM generate_series(1, 12) i;

SELECT cln.state() AS before \gset
SELECT incomplete_orders.cleanup(0);
SELECT incomplete_orders.cleanup(-1);
SELECT incomplete_orders.cleanup(NULL);
SELECT incomplete_orders.cleanup(2000000000);
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_cln_app;
SELECT incomplete_orders.cleanup();
SET ROLE regress_cln_admin;
-- null is no permission to delete
SELECT action, n FROM incomplete_orders.cleanup(dry_run => NULL);
CREATE TEMP TABLE would AS SELECT * FROM incomplete_orders.cleanup(dry_run => true);
-- One that was said to be old is not older than the clock says.
SELECT action, n FROM incomplete_orders.cleanup(at => '2200-01-01', dry_run => true);
RESET ROLE;
SELECT :'before' = cln.state() AS unchanged;
SELECT w.action, w.n, (SELECT string_agg(o.name, ', ' ORDER BY e.n) FROM unnest(w.examples) WITH ORDINALITY e (reference, n)
	JOIN incomplete_orders.incomplete_orders o ON o.reference = e.reference AND o.shop = 'cln-a') AS examples FROM would w;
SET ROLE regress_cln_admin;
CREATE TEMP TABLE did AS SELECT * FROM incomplete_orders.cleanup();
SELECT sum(n) AS again FROM incomplete_orders.cleanup();
RESET ROLE;
SELECT count(*) AS the_same_as_it_said FROM (TABLE would INTERSECT TABLE did) x;
SELECT shop, name, status FROM incomplete_orders.incomplete_orders WHERE session_id LIKE 'cln-%' ORDER BY 1, 2;
SELECT s.shop, count(*) AS orders, (SELECT count(*) FROM incomplete_orders.order_items i WHERE i.shop_id = s.shop_id) AS items
FROM incomplete_orders.orders o JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop LIKE 'cln-%' GROUP BY s.shop, s.shop_id ORDER BY 1;
-- Nothing of those that went is left.
SELECT (SELECT count(*) FROM incomplete_orders.order_notes x WHERE x.shop_id = :a AND NOT EXISTS (SELECT FROM incomplete_orders.incomplete_orders i WHERE i.id = x.order_id)) AS notes,
	(SELECT count(*) FROM incomplete_orders.order_events x WHERE x.shop_id = :a AND NOT EXISTS (SELECT FROM incomplete_orders.incomplete_orders i WHERE i.id = x.order_id)) AS events;

--
-- expire_orders: past its deadline at `at`, as tick would.
--
SELECT count(*) AS gone FROM incomplete_orders.delete_shop('cln-a', false);
SELECT count(*) AS gone FROM incomplete_orders.delete_shop('cln-b', false);
SELECT incomplete_orders.create_shop('cln-a', 'A') AS a \gset
SELECT incomplete_orders.create_shop('cln-b', 'B') AS b \gset
SELECT incomplete_orders.grant_to('regress_cln_admin', 'admin', 'cln-a');
SELECT cln.make('due', 'cln-a', now() - interval '31 days') AS due, cln.make('not due', 'cln-a', now() - interval '29 days') AS young,
	cln.make('other shop', 'cln-b', now() - interval '31 days') AS other,
	cln.make('pays', 'cln-a', now() - interval '31 days') AS pays, cln.make('paid too late', 'cln-a', now() - interval '31 days') AS late \gset
SELECT incomplete_orders.mark_payment_pending(:'pays', 'p', now() + interval '1 hour', now() - interval '31 days'),
	incomplete_orders.mark_payment_pending(:'late', 'p', now() - interval '1 hour', now() - interval '31 days');
SELECT cln.state() AS before \gset
SET ROLE regress_cln_app;
SELECT incomplete_orders.expire_orders();
SET ROLE regress_cln_admin;
SELECT incomplete_orders.expire_orders(false, 'infinity');
SELECT o.name, e.result, e.reason FROM incomplete_orders.expire_orders(true) e JOIN incomplete_orders.incomplete_orders o USING (id) ORDER BY 1;
SELECT count(*) AS null_is_a_dry_run FROM incomplete_orders.expire_orders(NULL);
SELECT count(*) AS later FROM incomplete_orders.expire_orders(true, now() + interval '2 days');
RESET ROLE;
SELECT :'before' = cln.state() AS unchanged;
SET ROLE regress_cln_admin;
SELECT o.name, e.result, e.reason FROM incomplete_orders.expire_orders() e JOIN incomplete_orders.incomplete_orders o USING (id) ORDER BY 1;
SELECT count(*) AS again FROM incomplete_orders.expire_orders();
RESET ROLE;
-- With the exact instants, by the clock and not by who called it.
SELECT i.name, i.status, i.closed_at = i.expires_at AS on_time, e.episode, e.event, e.actor FROM incomplete_orders.incomplete_orders i
JOIN incomplete_orders.order_events e ON e.order_id = i.id AND e.event IN ('abandoned', 'lost', 'expired')
WHERE i.session_id LIKE 'cln-%' AND i.shop_id = :a ORDER BY i.name, e.event_id;
SELECT name, status FROM incomplete_orders.incomplete_orders WHERE shop_id = :b;
-- Where the shop names a payment_state, that is asked first: tick does.
CREATE FUNCTION cln.payment_state(reference text) RETURNS text LANGUAGE sql AS $$ SELECT 'pending' $$;
SELECT incomplete_orders.configure_shop('cln-a', '{"payment_state": "cln.payment_state"}');
SELECT cln.make('asked', 'cln-a', now() - interval '31 days') AS asked \gset
SELECT incomplete_orders.mark_payment_pending(:'asked', 'p', now() - interval '1 hour', now() - interval '31 days');
SET ROLE regress_cln_admin;
SELECT result, reason FROM incomplete_orders.expire_orders();
RESET ROLE;
SELECT status FROM incomplete_orders.incomplete_orders WHERE id = :'asked';
SELECT incomplete_orders.configure_shop('cln-a', '{"payment_state": null}');

SELECT count(*) AS gone FROM incomplete_orders.delete_shop('cln-a', false);
SELECT count(*) AS gone FROM incomplete_orders.delete_shop('cln-b', false);
DROP OWNED BY regress_cln_admin, regress_cln_app;
DROP ROLE regress_cln_admin, regress_cln_app;
SET client_min_messages = warning;
DROP SCHEMA cln CASCADE;

-- Each rule alone, and each two together: the one that stands first in the list
-- below is named, in the dry run and by tick, and no two of them let a message go.
\set VERBOSITY terse
SET timezone = 'UTC';
SET search_path = pg_catalog;
SELECT incomplete_orders.create_shop('pairs', 'Pairs') AS shop \gset
SELECT incomplete_orders.enable_campaign('cart', 'pairs', at => '2024-01-01');
CREATE SCHEMA regress_pairs;
CREATE FUNCTION regress_pairs.only_best(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE sql AS $$ SELECT 'BEST', 5, NULL::numeric $$;
CREATE PROCEDURE pg_temp.configure(settings jsonb) LANGUAGE sql AS $$ SELECT incomplete_orders.configure_shop('pairs', settings) $$;
CREATE PROCEDURE pg_temp.cart(session text, at timestamptz, email text DEFAULT NULL, sku text DEFAULT 'A', context jsonb DEFAULT NULL) LANGUAGE sql AS $$
	SELECT incomplete_orders.capture_cart(session, jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', 1, 'unit_price', CASE sku WHEN 'BEST' THEN 90 ELSE 9 END)),
		email => email, customer_id => 'pat', context => context, shop => 'pairs', at => at)
$$;
CREATE FUNCTION pg_temp.id(session text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT o.id FROM incomplete_orders.orders_of(session_id => $1, shop => 'pairs') o $$;
CALL pg_temp.configure('{"consent_rule": "none", "min_gap": "0", "quiet_from": "0:00", "quiet_to": "0:00", "cap_per_episode": 20, "cap_per_person": 20}');
CALL pg_temp.cart('pat', '2024-02-01 10:00', 'pat@pairs.example');

-- place, reason, what makes it apply to that cart
CREATE TEMP TABLE rules (n integer PRIMARY KEY, reason text, waits boolean, apply text);
INSERT INTO rules VALUES
	(1, 'bot', false, $$CALL pg_temp.cart('pat', '2024-02-01 10:00', context => '{"bot": true}')$$),
	(2, 'no_recipient', false, $$CALL pg_temp.cart('pat', '2024-02-01 10:00', '')$$),
	(3, 'suppressed', false, $$SELECT incomplete_orders.suppress('pat@pairs.example', shop => 'pairs', at => '2024-02-01 11:00')$$),
	(4, 'no_consent', false, $$CALL pg_temp.configure('{"consent_rule": "strict"}')$$),
	(5, 'excluded_domain', false, $$CALL pg_temp.configure('{"exclusions": {"domains": ["pairs.example"]}}')$$),
	(6, 'ordered', false, $$CALL pg_temp.cart('bought', '2024-02-01 10:10', sku => 'B'); SELECT incomplete_orders.convert_order(pg_temp.id('bought'), at => '2024-02-01 10:30')$$),
	(7, 'already_bought', false, $$CALL pg_temp.cart('before', '2024-02-01 09:00'); SELECT incomplete_orders.convert_order(pg_temp.id('before'), at => '2024-02-01 09:30')$$),
	(8, 'cap_per_episode', false, $$CALL pg_temp.configure('{"cap_per_episode": 0}')$$),
	(9, 'other_cart', false, $$CALL pg_temp.cart('best', '2024-02-01 10:00', 'pat@best.example', 'BEST')$$),
	(10, 'min_gap', true, $$CALL pg_temp.cart('mailed', '2024-02-01 05:00', 'pat@mailed.example', 'C'); SELECT incomplete_orders.mark_abandoned(pg_temp.id('mailed'), at => '2024-02-01 06:00');
		INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, ordinal, message_type, template, recipient, queued_at, sent_at, give_up_at)
		SELECT o.shop_id, incomplete_orders._new_id(o.shop_id), '2024-02-01 06:30', 'sent', o.id, o.root_id, 1, 0, 1, 'abandoned_cart', 'cart_abandoned', o.email, '2024-02-01 06:30', '2024-02-01 06:30', '2024-02-06 06:30'
		FROM incomplete_orders.open_orders o WHERE o.id = pg_temp.id('mailed');
		INSERT INTO incomplete_orders.person_messages (shop_id, person, queued_at, message_id)
		SELECT q.shop_id, k, q.queued_at, q.id FROM incomplete_orders.messages q, unnest(incomplete_orders._person_keys(q.shop_id, 'pat', q.recipient, NULL)) k WHERE q.order_id = pg_temp.id('mailed');
		SELECT incomplete_orders.dismiss_order(pg_temp.id('mailed'), at => '2024-02-01 07:00'); CALL pg_temp.configure('{"min_gap": "30 hours"}')$$),
	(11, 'quiet_hours', true, $$CALL pg_temp.configure('{"quiet_from": "11:00", "quiet_to": "13:00"}')$$),
	(12, 'cap_per_person', false, $$CALL pg_temp.configure('{"cap_per_person": 0}')$$),
	(13, 'unavailable', false, $$CALL pg_temp.configure('{"availability": "regress_pairs.only_best"}')$$),
	(14, 'holdout', false, $$CALL pg_temp.configure('{"holdout": 1}')$$);

-- what the dry run says of that cart, and what tick then does; all is taken back
CREATE FUNCTION pg_temp.outcome(which integer[], OUT said text, OUT did text) LANGUAGE plpgsql AS $$
DECLARE
	statement text;
	report jsonb;
	cart CONSTANT uuid := pg_temp.id('pat');
BEGIN
	BEGIN
		FOR statement IN SELECT r.apply FROM rules r WHERE r.n = ANY (which) ORDER BY r.n LOOP
			EXECUTE statement;
		END LOOP;
		SELECT string_agg(coalesce(p.reason, p.action), ' ') INTO said FROM incomplete_orders.preview_recovery('pairs', '2024-02-01 12:00') p WHERE p.order_id = cart;
		CALL incomplete_orders.tick(report, '2024-02-01 12:00');
		SELECT string_agg(x.w, ' ') INTO did FROM (
			SELECT 'queued' AS w FROM incomplete_orders.messages m WHERE m.order_id = cart
			UNION ALL SELECT k.reason FROM incomplete_orders.message_skips k WHERE k.order_id = cart
			UNION ALL SELECT 'waits' FROM incomplete_orders.open_orders o WHERE o.id = cart AND o.sequence_step = 0 AND o.next_message_at > '2024-02-01 12:00') x;
		RAISE EXCEPTION USING ERRCODE = 'RP001';
	EXCEPTION WHEN SQLSTATE 'RP001' THEN
		NULL;
	END;
END
$$;
SELECT * FROM pg_temp.outcome('{}');
SELECT r.n, r.reason, o.said, o.did FROM rules r, pg_temp.outcome(ARRAY[r.n]) o ORDER BY 1;
-- in pairs: those that are not as they should be
SELECT a.reason, b.reason AS and_reason, o.said, o.did FROM rules a JOIN rules b ON b.n > a.n, LATERAL (SELECT * FROM pg_temp.outcome(ARRAY[a.n, b.n]) OFFSET 0) o
WHERE o.said IS DISTINCT FROM a.reason OR o.did IS DISTINCT FROM CASE WHEN a.waits THEN 'waits' ELSE a.reason END ORDER BY a.n, b.n;
SELECT count(*) AS pairs FROM rules a JOIN rules b ON b.n > a.n;

SELECT count(*) > 0 AS removed FROM incomplete_orders.delete_shop('pairs', false);
DROP FUNCTION regress_pairs.only_best(text[]);
DROP SCHEMA regress_pairs;

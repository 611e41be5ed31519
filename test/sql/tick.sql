-- tick(): what falls due by itself, and when.
SET search_path = pg_catalog;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
\pset null (null)
\set VERBOSITY terse
CREATE ROLE regress_tick_admin;
CREATE ROLE regress_tick_sender;
CREATE ROLE regress_tick_nobody;
SELECT count(incomplete_orders.create_shop(s, s)) FROM unnest('{tick-a,tick-b}'::text[]) s;
SELECT incomplete_orders.grant_to('regress_tick_admin', 'admin', 'tick-a'), incomplete_orders.grant_to('regress_tick_admin', 'admin', 'tick-b');
SELECT incomplete_orders.grant_to('regress_tick_sender', 'sender', 'tick-a');

CREATE TEMP TABLE made (name text PRIMARY KEY, id uuid NOT NULL);
GRANT ALL ON made TO PUBLIC;
CREATE FUNCTION pg_temp.cart(quantity integer DEFAULT 2) RETURNS incomplete_orders.line_items LANGUAGE sql AS $$
	SELECT CASE quantity WHEN 0 THEN '[]' ELSE jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', quantity, 'unit_price', 1.50)) END $$;
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT id FROM made WHERE made.name = id.name $$;
CREATE FUNCTION pg_temp.make(name text, at timestamptz, quantity integer DEFAULT 2, shop text DEFAULT 'tick-a') RETURNS text LANGUAGE sql AS $$
	INSERT INTO made VALUES (name, incomplete_orders.capture_cart('tick-' || name, pg_temp.cart(quantity), shop => shop, at => at)) RETURNING name
$$;
-- A tick, and what it says that it did.
CREATE PROCEDURE pg_temp.tick(at timestamptz, max_seconds integer DEFAULT 50, INOUT did text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, at, max_seconds);
	SELECT string_agg(format('%s %s', value, key), ', ' ORDER BY key) INTO did FROM jsonb_each_text(r)
	WHERE key IN ('abandoned', 'lost', 'expired', 'payments', 'purged') AND value <> '0';
	did := coalesce(did, 'nothing') || CASE WHEN NOT (r ->> 'finished')::boolean THEN ', not finished' ELSE '' END;
END
$$;
-- The steps of orders, each with its distance from the order's creation.
CREATE FUNCTION pg_temp.story(names text) RETURNS TABLE (name text, step text, after interval, episode integer) LANGUAGE sql AS $$
	SELECT m.name, e.event, e.at - o.created_at, e.episode
	FROM made m JOIN incomplete_orders.order_events e ON e.order_id = m.id JOIN incomplete_orders.incomplete_orders o ON o.id = m.id
	WHERE m.name LIKE names AND e.event <> 'created' ORDER BY m.name, e.event_id
$$;
CREATE FUNCTION pg_temp.state(names text) RETURNS TABLE (name text, status incomplete_orders.order_status, episode integer) LANGUAGE sql AS $$
	SELECT m.name, o.status, o.episode FROM made m JOIN incomplete_orders.incomplete_orders o ON o.id = m.id WHERE m.name LIKE names ORDER BY m.name
$$;
GRANT SELECT ON incomplete_orders.order_events TO regress_tick_admin;
SET ROLE regress_tick_admin;

--
-- The threshold is exact, and what is written is the threshold.
--
SELECT pg_temp.make('exact', '2024-03-01 12:00');
CALL pg_temp.tick('2024-03-01 12:59:59.999999');
CALL pg_temp.tick('2024-03-01 13:00');
CALL pg_temp.tick('2024-03-01 13:00');
SELECT pg_temp.make('later', '2024-03-01 12:00');
CALL pg_temp.tick('2024-03-01 14:37:11');
SELECT * FROM pg_temp.story('exact'), LATERAL (SELECT abandoned_at FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('exact')) o;
SELECT * FROM pg_temp.story('later');
-- An active customer is looked at once per cut-off, and abandoned from the last activity on.
SELECT pg_temp.make('active', '2024-03-02 12:00');
SELECT count(pg_temp.make('active-' || n, '2024-03-02 12:00')) FROM generate_series(1, 3) n;
SELECT count(incomplete_orders.capture_cart('tick-active', pg_temp.cart(n), shop => 'tick-a', at => '2024-03-02 12:00'::timestamptz + n * interval '10 minutes')) FROM generate_series(1, 5) n;
CALL pg_temp.tick('2024-03-02 13:00');
SELECT next_action_at FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('active');
CALL pg_temp.tick('2024-03-02 13:49:59.999999');
CALL pg_temp.tick('2024-03-02 13:50');
SELECT * FROM pg_temp.story('active');
-- Each shop has its own cut-off and expiry.
SELECT incomplete_orders.configure_shop('tick-b', '{"cut_off": "10 minutes", "expiry": "2 days", "attribution_window": "0"}');
SELECT pg_temp.make('b', '2024-03-02 12:00', shop => 'tick-b');
CALL pg_temp.tick('2024-03-02 12:10');
CALL pg_temp.tick('2024-03-04 12:00');
SELECT * FROM pg_temp.story('b');
-- A shorter one counts at once, for carts that are there already; a longer one
-- when their old deadline comes.
SELECT incomplete_orders.configure_shop('tick-b', '{"cut_off": "5 hours", "expiry": null, "attribution_window": "30 days"}');
SELECT pg_temp.make('b-shorter', '2024-03-03 12:00', shop => 'tick-b'), pg_temp.make('b-lost', '2024-03-03 12:00', shop => 'tick-b'), pg_temp.make('b-empty', '2024-03-03 12:00', 0, 'tick-b');
SELECT incomplete_orders.mark_abandoned(pg_temp.id('b-lost'), at => '2024-03-03 12:00');
SELECT incomplete_orders.configure_shop('tick-b', '{"cut_off": "20 minutes", "attribution_window": null}');
SELECT m.name, o.next_action_at FROM made m JOIN incomplete_orders.incomplete_orders o USING (id) WHERE m.name LIKE 'b-%' ORDER BY 1;
CALL pg_temp.tick('2024-03-03 12:20');
SELECT incomplete_orders.capture_cart('tick-b-shorter', pg_temp.cart(1), shop => 'tick-b', at => '2024-03-03 13:00') = pg_temp.id('b-shorter') AS same;
SELECT incomplete_orders.configure_shop('tick-b', '{"cut_off": null}');
CALL pg_temp.tick('2024-03-03 13:59');
CALL pg_temp.tick('2024-03-03 14:00');
SELECT * FROM pg_temp.story('b-shorter');

--
-- Reanimation opens the next episode, and is due on time.
--
SELECT pg_temp.make('again', '2024-03-05 12:00');
CALL pg_temp.tick('2024-03-05 20:00');
SELECT incomplete_orders.capture_cart('tick-again', pg_temp.cart(1), shop => 'tick-a', at => '2024-03-05 21:00') = pg_temp.id('again') AS same;
CALL pg_temp.tick('2024-03-05 21:59');
CALL pg_temp.tick('2024-03-05 22:00');
SELECT * FROM pg_temp.story('again');

--
-- An emptied cart is never abandoned; it is due from its refill on.
--
SELECT pg_temp.make('empty', '2024-03-06 12:00', 0), pg_temp.make('refill', '2024-03-06 12:00', 0), pg_temp.make('emptied', '2024-03-06 12:00');
SELECT count(incomplete_orders.capture_cart('tick-emptied', '[]', shop => 'tick-a', at => '2024-03-06 12:30'));
CALL pg_temp.tick('2024-03-07 12:00');
SELECT count(incomplete_orders.capture_cart('tick-refill', pg_temp.cart(), shop => 'tick-a', at => '2024-03-07 12:10'));
CALL pg_temp.tick('2024-03-07 13:09');
CALL pg_temp.tick('2024-03-07 13:10');
SELECT * FROM pg_temp.state('%') WHERE name IN ('refill', 'emptied');
CALL pg_temp.tick('2024-04-06 12:00');
SELECT * FROM pg_temp.story('e%') WHERE name <> 'exact';

--
-- After a pause everything is caught up in one tick: each order gets the state
-- that it should have now, every step once, at its own instant.
--
SELECT count(pg_temp.make('pause-' || n, '2024-05-01 12:00'::timestamptz - n * interval '11 hours')) FROM generate_series(0, 40, 10) n;
CALL pg_temp.tick('2024-05-11 12:00');
SELECT * FROM pg_temp.story('pause-%');
-- and after one of 60 days
CALL pg_temp.tick('2024-06-30 12:00');
SELECT * FROM pg_temp.story('pause-%') WHERE step <> 'abandoned';
SELECT pg_temp.make('long', '2024-05-01 12:00');
CALL pg_temp.tick('2024-06-30 12:00');
SELECT * FROM pg_temp.story('long');
CALL pg_temp.tick('2024-06-30 12:00');
SELECT status, closed_at, late FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('long');

--
-- A pending payment is neither abandoned nor expired before its deadline; one
-- that failed is due from then on.
--
SELECT pg_temp.make('pay-long', '2024-07-01 12:00'), pg_temp.make('pay-short', '2024-07-01 12:00'), pg_temp.make('pay-fails', '2024-07-01 12:00');
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('pay-long'), deadline => '2024-08-20 12:00', at => '2024-07-01 12:05'),
	incomplete_orders.mark_payment_pending(pg_temp.id('pay-short'), deadline => '2024-07-01 12:10', at => '2024-07-01 12:05'),
	incomplete_orders.mark_payment_pending(pg_temp.id('pay-fails'), at => '2024-07-01 12:05');
CALL pg_temp.tick('2024-07-01 13:04');
CALL pg_temp.tick('2024-07-01 13:05');
SELECT incomplete_orders.mark_payment_failed(pg_temp.id('pay-fails'), 'declined', at => '2024-07-04 12:00');
CALL pg_temp.tick('2024-07-04 11:59');
CALL pg_temp.tick('2024-07-04 12:00');
CALL pg_temp.tick('2024-08-20 11:59');
SELECT * FROM pg_temp.state('pay-%');
CALL pg_temp.tick('2024-08-20 12:00');
SELECT * FROM pg_temp.story('pay-%');

--
-- The hook payment_state is asked first.
--
RESET ROLE;
CREATE SCHEMA tick_hooks AUTHORIZATION regress_tick_admin;
GRANT USAGE ON SCHEMA tick_hooks TO PUBLIC;
SET ROLE regress_tick_admin;
CREATE TABLE tick_hooks.calls (n serial, reference text, as_role name, acting text, path text);
CREATE FUNCTION tick_hooks.payment_state(reference text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tick_hooks.calls (reference, as_role, path) VALUES (reference, current_user, current_setting('search_path'));
	RETURN CASE reference
		WHEN 'error' THEN (1 / (length(reference) - 5))::text
		WHEN 'null' THEN NULL
		ELSE reference END;
END
$$;
SELECT incomplete_orders.configure_shop('tick-a', '{"payment_state": "tick_hooks.payment_state"}');
SELECT count(pg_temp.make('ask-' || r, '2024-09-01 12:00', CASE r WHEN 'empty' THEN 0 ELSE 2 END)) FROM unnest('{paid,failed,pending,"null",error,whatever,empty}'::text[]) r;
SELECT incomplete_orders.mark_payment_pending(id, CASE name WHEN 'ask-empty' THEN 'paid' ELSE substr(name, 5) END, '2024-09-01 14:00', '2024-09-01 12:01')
FROM made WHERE name LIKE 'ask-%';
RESET ROLE;
-- they are due at the same instant; asked in this order, the faults come last
CREATE FUNCTION pg_temp.line_up() RETURNS void LANGUAGE sql AS $$
	UPDATE incomplete_orders.open_orders o SET next_action_at = o.next_action_at - w.n * interval '1 ms'
	FROM made m, unnest('{empty,whatever,error,null,pending,failed,paid}'::text[]) WITH ORDINALITY w (reference, n)
	WHERE o.id = m.id AND m.name = 'ask-' || w.reference
$$;
SELECT pg_temp.line_up();
SET ROLE regress_tick_admin;
-- not before the deadline
CALL pg_temp.tick('2024-09-01 13:59:59');
SELECT count(*) FROM tick_hooks.calls;
CALL pg_temp.tick('2024-09-01 14:00');
SELECT reference, as_role, path FROM tick_hooks.calls ORDER BY reference;
SELECT * FROM pg_temp.state('ask-%');
SELECT * FROM pg_temp.story('ask-%') WHERE step NOT IN ('payment_pending');
SELECT part, total, paid, converted_at FROM incomplete_orders.convert_order(pg_temp.id('ask-paid'));
-- what could not be answered is asked again later, not at once
RESET ROLE;
SELECT pg_temp.line_up();
SET ROLE regress_tick_admin;
CALL pg_temp.tick('2024-09-01 14:14:59');
CALL pg_temp.tick('2024-09-01 14:15');
RESET ROLE;
SELECT pg_temp.line_up();
SET ROLE regress_tick_admin;
-- also in the future only up to now: what will be is not known
BEGIN;
CALL pg_temp.tick('2199-01-01');
SELECT * FROM pg_temp.state('ask-%');
RESET ROLE;
-- the last one was paid and has no lines
SELECT f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
ROLLBACK;
RESET ROLE;
SELECT f.hook, f.failures, f.failed_at > now() - interval '1 hour' AS failed_now FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
-- the faults end, and the failure is forgotten
SET ROLE regress_tick_admin;
CREATE OR REPLACE FUNCTION tick_hooks.payment_state(reference text) RETURNS text LANGUAGE sql AS $$ SELECT 'failed' $$;
CALL pg_temp.tick('2024-09-01 14:30');
SELECT * FROM pg_temp.state('ask-%');
RESET ROLE;
SELECT count(*) FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';

-- It has the rights of the role that named it, and no others.  tick is called by
-- a superuser here.
CREATE FUNCTION pg_temp.ask(reference text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.make('evil-' || reference, '2024-09-02 12:00');
	SELECT incomplete_orders.mark_payment_pending(pg_temp.id('evil-' || reference), reference, '2024-09-02 12:10', '2024-09-02 12:01')::text;
$$;
SELECT pg_temp.make('not-mine', '2024-09-02 12:00', shop => 'default');
CREATE TABLE tick_hooks.victim AS SELECT pg_temp.id('not-mine') AS id;
GRANT SELECT ON tick_hooks.victim TO PUBLIC;
SET ROLE regress_tick_admin;
CREATE FUNCTION tick_hooks.attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE OR REPLACE FUNCTION tick_hooks.payment_state(reference text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	command text;
BEGIN
	FOREACH command IN ARRAY ARRAY[
		'DELETE FROM incomplete_orders.open_orders', 'UPDATE incomplete_orders.shops SET name = shop', 'TABLE incomplete_orders.closed_orders',
		'SET ROLE incomplete_orders_owner', 'RESET ROLE', 'SET SESSION AUTHORIZATION postgres', 'SET LOCAL ROLE NONE',
		'CREATE TEMP TABLE left_behind ()', 'SELECT incomplete_orders.dismiss_order((SELECT id FROM tick_hooks.victim))',
		$q$SELECT incomplete_orders.configure_shop('default', '{}')$q$, $q$SELECT incomplete_orders.grant_to('regress_tick_admin', 'admin')$q$,
		'SELECT 1 / (count(*) - count(*)) FROM incomplete_orders.incomplete_orders WHERE shop_id = 1 HAVING count(*) > 0', 'CALL incomplete_orders.tick()']
	LOOP
		INSERT INTO tick_hooks.calls (reference, path, acting) VALUES ('evil', command, regexp_replace(tick_hooks.attempt(command), '[0-9a-f-]{36}', 'X'));
	END LOOP;
	PERFORM set_config('work_mem', '77MB', false), set_config('incomplete_orders.staff', 'somebody else', false);
	RETURN 'pending';
END
$$;
RESET ROLE;
SELECT pg_temp.ask('evil');
CALL incomplete_orders.tick(at => '2024-09-02 13:05') \g /dev/null
SELECT path AS command, acting AS came_of_it FROM tick_hooks.calls WHERE reference = 'evil' ORDER BY n;
SELECT current_user = session_user AS still_me, current_setting('work_mem') AS work_mem, current_setting('incomplete_orders.staff') AS staff;
SELECT * FROM pg_temp.state('not-mine');

-- one that takes too long is stopped, and one that says that it was cancelled is not believed
SET ROLE regress_tick_admin;
CREATE OR REPLACE FUNCTION tick_hooks.payment_state(reference text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF reference = 'cancel' THEN
		RAISE 'canceling statement due to user request' USING ERRCODE = 'query_canceled';
	END IF;
	PERFORM pg_sleep(600);
	RETURN 'paid';
END
$$;
RESET ROLE;
SELECT pg_temp.ask('cancel');
CALL incomplete_orders.tick(at => '2024-09-02 13:15') \g /dev/null
SELECT f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
SET incomplete_orders.hook_timeout = '50 ms';
SELECT pg_temp.ask('slow'), pg_temp.ask('slower');
CALL incomplete_orders.tick(at => '2024-09-02 13:30') \g /dev/null
SELECT f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
RESET incomplete_orders.hook_timeout;
-- a user's cancel still ends it: the timeout of the statement here
SET statement_timeout = '100 ms';
CALL incomplete_orders.tick(at => '2024-09-02 13:45') \g /dev/null
RESET statement_timeout;
-- one that would do the work itself may not: it answers, nothing else
SET ROLE regress_tick_admin;
CREATE OR REPLACE FUNCTION tick_hooks.payment_state(reference text) RETURNS text LANGUAGE sql AS $$
	SELECT incomplete_orders.convert_order(o.id) FROM incomplete_orders.incomplete_orders o WHERE o.payment_reference = $1;
	SELECT 'paid';
$$;
RESET ROLE;
CALL incomplete_orders.tick(at => '2024-09-02 14:00') \g /dev/null
SELECT f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
CREATE OR REPLACE FUNCTION tick_hooks.payment_state(reference text) RETURNS text LANGUAGE sql AS $$ SELECT 'paid' $$;
CALL incomplete_orders.tick(at => '2024-09-02 14:15') \g /dev/null
SELECT * FROM pg_temp.state('evil-%');

-- a function that was dropped, a role that may no more, a role that is gone
SELECT pg_temp.ask('gone');
SELECT incomplete_orders.revoke_from('regress_tick_admin', 'admin', 'tick-a');
CALL incomplete_orders.tick(at => '2024-09-02 15:00') \g /dev/null
SELECT f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
SELECT incomplete_orders.grant_to('regress_tick_admin', 'admin', 'tick-a');
DROP FUNCTION tick_hooks.payment_state;
CALL incomplete_orders.tick(at => '2024-09-02 15:15') \g /dev/null
SELECT f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
CREATE ROLE regress_tick_passing;
SELECT incomplete_orders.grant_to('regress_tick_passing', 'admin', 'tick-a');
CREATE FUNCTION tick_hooks.payment_state(reference text) RETURNS text LANGUAGE sql AS $$ SELECT 'paid' $$;
SELECT incomplete_orders.configure_shop('tick-a', '{"payment_state": null}');
SET ROLE regress_tick_passing;
SELECT incomplete_orders.configure_shop('tick-a', '{"payment_state": "tick_hooks.payment_state"}');
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_tick_passing', 'admin', 'tick-a');
DROP ROLE regress_tick_passing;
CALL incomplete_orders.tick(at => '2024-09-02 15:30') \g /dev/null
SELECT f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'tick-a';
SELECT * FROM pg_temp.state('evil-gone');
-- without a hook it is given up
SELECT incomplete_orders.configure_shop('tick-a', '{"payment_state": null}');
CALL incomplete_orders.tick(at => '2024-09-02 15:45') \g /dev/null
SELECT * FROM pg_temp.story('evil-gone');
DROP SCHEMA tick_hooks CASCADE;

--
-- Who may tick what.
--
SELECT pg_temp.make('mine', '2024-10-01 12:00'), pg_temp.make('other', '2024-10-01 12:00', shop => 'tick-b');
SET ROLE regress_tick_nobody;
CALL incomplete_orders.tick();
SET ROLE regress_tick_sender;
CALL pg_temp.tick('2024-10-01 14:00');
-- not those of others, and not what has not come yet
SELECT * FROM incomplete_orders._tick_batch(ARRAY[1], now(), 10, 10);
SELECT incomplete_orders._tick_payments(ARRAY[1], now(), 10);
CALL incomplete_orders.tick(at => now() + interval '1 day');
CALL incomplete_orders.tick(at => 'infinity');
CALL incomplete_orders.tick(at => '-infinity');
RESET ROLE;
CALL incomplete_orders.tick(at => 'infinity');
SELECT * FROM pg_temp.state('mine') UNION ALL SELECT * FROM pg_temp.state('other');
SET ROLE regress_tick_admin;
CALL pg_temp.tick('2024-10-01 14:00');
SELECT * FROM pg_temp.state('other');

--
-- In a transaction block it commits nothing, alone it commits every batch.
--
SELECT pg_temp.make('block', '2024-10-02 12:00');
BEGIN;
CALL pg_temp.tick('2024-10-02 14:00');
SELECT * FROM pg_temp.state('block');
ROLLBACK;
SELECT * FROM pg_temp.state('block');
BEGIN;
CALL incomplete_orders.tick(at => '2024-10-02 14:00') \g /dev/null
COMMIT;
SELECT * FROM pg_temp.state('block');
-- a shop with much and others with little: when its time is over it stops, and
-- everybody had a turn
SELECT count(pg_temp.make('much-' || n, '2024-10-03 12:00')), count(incomplete_orders.capture_cart('tick-little-' || n, pg_temp.cart(), shop => 'tick-b', at => '2024-10-03 12:00')) FILTER (WHERE n <= 3)
FROM generate_series(1, 4200) n;
CREATE PROCEDURE pg_temp.short_tick(at timestamptz, INOUT done boolean DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	CALL incomplete_orders.tick(r, at, 0);
	done := (r ->> 'abandoned')::integer > 0;
END
$$;
CALL pg_temp.short_tick('2024-10-03 14:00');
SELECT count(*) FROM incomplete_orders.incomplete_orders WHERE shop = 'tick-b' AND status = 'abandoned' AND created_at = '2024-10-03 12:00';
CALL incomplete_orders.tick(at => '2024-10-03 14:00') \g /dev/null
SELECT status, count(*), count(DISTINCT abandoned_at) FROM incomplete_orders.incomplete_orders WHERE created_at = '2024-10-03 12:00' GROUP BY status;

--
-- What a user's foreign key refuses holds up nobody else.
--
RESET ROLE;
SELECT pg_temp.make('held', '2024-10-04 12:00'), pg_temp.make('free', '2024-10-04 12:00'), pg_temp.make('free-b', '2024-10-04 12:00', shop => 'tick-b');
CREATE TABLE public.tick_reservations (shop_id integer, id uuid, FOREIGN KEY (shop_id, id) REFERENCES incomplete_orders.open_orders);
INSERT INTO public.tick_reservations SELECT incomplete_orders.shop_of(pg_temp.id('held')), pg_temp.id('held');
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('held'), deadline => '2024-12-01', at => '2024-10-04 12:01') AS none_asks_for_it;
SELECT * FROM pg_temp.state('held') UNION ALL SELECT * FROM pg_temp.state('free%');
SET client_min_messages = error;	-- the warnings name ids
SET ROLE regress_tick_admin;
CALL pg_temp.tick('2024-12-01');
SELECT * FROM pg_temp.state('held') UNION ALL SELECT * FROM pg_temp.state('free%');
RESET ROLE;
SELECT s.shop, f.hook, f.failures, f.sqlstate FROM incomplete_orders.hook_failures f JOIN incomplete_orders.shops s USING (shop_id);
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'hooks';
SET ROLE regress_tick_admin;
CALL pg_temp.tick('2024-12-01 00:14');
RESET client_min_messages;
RESET ROLE;
DROP TABLE public.tick_reservations;
SET ROLE regress_tick_admin;
CALL pg_temp.tick('2024-12-01 00:15');
SELECT * FROM pg_temp.story('held') WHERE step <> 'payment_pending';
RESET ROLE;
UPDATE incomplete_orders.hook_failures SET failed_at = now() - interval '61 minutes';
CALL incomplete_orders.tick(at => '2024-01-01') \g /dev/null
SELECT count(*) FROM incomplete_orders.hook_failures;
SET ROLE regress_tick_admin;

--
-- A tick far in the future destroys nothing.
--
SELECT count(pg_temp.make('last-' || n, '2025-01-01 12:00')) FROM generate_series(1, 5) n;
SELECT count(*) AS orders FROM incomplete_orders.incomplete_orders \gset
RESET ROLE;
SELECT count(*) AS events FROM incomplete_orders.order_events \gset
SET ROLE regress_tick_admin;
CALL pg_temp.tick('9990-01-01');
SELECT count(*) = :orders AS all_there, count(*) FILTER (WHERE closed_at IS NULL) AS open FROM incomplete_orders.incomplete_orders;
RESET ROLE;
SELECT count(*) > :events AS more_events FROM incomplete_orders.order_events;
-- and the next capture starts anew
SELECT incomplete_orders.capture_cart('tick-exact', pg_temp.cart(), shop => 'tick-a') <> pg_temp.id('exact') AS new;

SELECT count(*) > 0 AS gone FROM incomplete_orders.delete_shop('tick-a', false);
SELECT count(*) > 0 AS gone FROM incomplete_orders.delete_shop('tick-b', false);
SELECT incomplete_orders.dismiss_order(pg_temp.id('not-mine'), at => '2024-09-02 12:00');
REVOKE ALL ON incomplete_orders.order_events FROM regress_tick_admin;
DROP OWNED BY regress_tick_admin, regress_tick_sender;
DROP ROLE regress_tick_admin, regress_tick_sender, regress_tick_nobody;

-- health(): one row per check.  What the tables say is read as
-- incomplete_orders_owner (_health_of_tables); what the server and pg_cron say
-- is read as the caller, who may see more or less of it.

CREATE FUNCTION incomplete_orders._health_of_tables(every interval) RETURNS TABLE (check_name text, state text, value text, advice text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('health', '*');
	clock timestamptz := clock_timestamp();
	seen record;
	parent text;
	ahead timestamptz;
	filled boolean;
BEGIN
	check_name := 'setup';
	SELECT substring(obj_description(to_regclass('incomplete_orders.shops'), 'pg_class') FROM 'schema version ([0-9]+)')::integer AS version INTO seen;
	value := format('schema version %s', coalesce(seen.version::text, 'unknown'));
	state := CASE WHEN seen.version = incomplete_orders._schema_version() THEN 'ok' ELSE 'alarm' END;
	advice := CASE WHEN state <> 'ok' THEN format('The extension needs schema version %s: SELECT incomplete_orders.setup();', incomplete_orders._schema_version()) END;
	RETURN NEXT;

	check_name := 'tick';
	SELECT clock - h.at AS age, h.report INTO seen FROM incomplete_orders.heartbeats h WHERE h.job = 'tick';
	IF NOT FOUND THEN
		state := 'warn';
		value := 'never ran';
		advice := 'SELECT * FROM incomplete_orders.schedule_jobs(); or run incomplete-orders tick --every 60s';
	ELSE
		state := CASE WHEN seen.age > 2 * every THEN 'alarm' WHEN seen.age < interval '-1 minute' THEN 'warn' ELSE 'ok' END;
		value := format('ended %s ago', date_trunc('second', seen.age));
		advice := CASE state WHEN 'alarm' THEN format('It should run every %s. See SELECT * FROM incomplete_orders.jobs(), or the service of incomplete-orders tick.', every)
			WHEN 'warn' THEN 'It ran in the future: the clock was set back.' END;
	END IF;
	RETURN NEXT;

	check_name := 'overdue';
	SELECT s.shop, clock - o.next_action_at AS age INTO seen
	FROM incomplete_orders.shops s CROSS JOIN LATERAL (
		SELECT least((SELECT q.next_action_at FROM incomplete_orders.open_orders q WHERE q.shop_id = s.shop_id ORDER BY q.next_action_at LIMIT 1),
			(SELECT q.next_message_at FROM incomplete_orders.open_orders q WHERE q.shop_id = s.shop_id AND q.next_message_at IS NOT NULL
				ORDER BY q.next_message_at LIMIT 1)) AS next_action_at) o
	WHERE s.shop_id = ANY (shop_ids) ORDER BY o.next_action_at LIMIT 1;
	IF seen.age IS NULL OR seen.age <= interval '0' THEN
		state := 'ok';
		value := 'nothing';
		advice := NULL;
	ELSE
		state := CASE WHEN seen.age > 2 * every + interval '1 hour' THEN 'alarm' WHEN seen.age > 2 * every + interval '1 minute' THEN 'warn' ELSE 'ok' END;
		value := format('%s, in shop "%s"', date_trunc('second', seen.age), seen.shop);
		advice := CASE WHEN state <> 'ok' THEN 'Tick does not keep up or passes by that shop: its role must be sender or admin there, and no transaction may hold the row locked for long.' END;
	END IF;
	RETURN NEXT;

	FOREACH parent IN ARRAY ARRAY['closed_orders', 'order_events'] LOOP
		check_name := format('partitions of %s', parent);
		ahead := date_trunc('month', clock);
		WHILE EXISTS (SELECT FROM incomplete_orders._partitions(parent) p WHERE p.low <= ahead AND p.high >= ahead + interval '1 month')
			AND ahead < clock + interval '10 years' LOOP
			ahead := ahead + interval '1 month';
		END LOOP;
		EXECUTE format('SELECT EXISTS (SELECT FROM %s)', coalesce(incomplete_orders._default_partition(parent)::text, '(SELECT 1 WHERE false) x')) INTO filled;
		state := CASE WHEN filled OR ahead <= clock THEN 'alarm' WHEN ahead <= clock + interval '1 month' THEN 'warn' ELSE 'ok' END;
		value := CASE WHEN ahead <= clock THEN 'none for this month' ELSE format('until %s', to_char(ahead, 'YYYY-MM-DD')) END
			|| CASE WHEN filled THEN ', rows in DEFAULT' ELSE '' END;
		advice := CASE WHEN state <> 'ok' THEN format('Tick makes partitions and empties DEFAULT as soon as it gets the locks: look for "partition of %s" in the server''s log and for transactions that are open for long.', parent) END;
		RETURN NEXT;
	END LOOP;

	check_name := 'retention';
	SELECT clock - nullif(h.at, '-infinity') AS age, (h.report ->> 'deleted')::bigint AS deleted, (h.report ->> 'failed')::integer AS failed INTO seen
	FROM incomplete_orders.heartbeats h WHERE h.job = 'retention';
	state := CASE WHEN seen.failed > 0 OR seen.age > interval '2 days' THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.age IS NULL THEN 'not yet' ELSE format('swept %s ago, %s orders deleted', date_trunc('second', seen.age), seen.deleted) END
		|| CASE WHEN seen.failed > 0 THEN format(', of %s shop%s not', seen.failed, CASE seen.failed WHEN 1 THEN '' ELSE 's' END) ELSE '' END;
	advice := CASE WHEN seen.failed > 0 THEN 'Something refuses the deletion, a foreign key perhaps: look for "whose retention is over" in the server''s log.'
		WHEN state <> 'ok' THEN 'A sweep begins once a day and is made by tick.' END;
	RETURN NEXT;

	check_name := 'hooks';
	SELECT count(*) AS n, string_agg(format('%s of shop "%s" (%s, %s times)', f.hook, s.shop, f.sqlstate, f.failures), ', ' ORDER BY f.failed_at DESC) AS names,
		bool_and(f.hook = 'tick') AS refused INTO seen
	FROM (SELECT * FROM incomplete_orders.hook_failures f WHERE f.shop_id = ANY (shop_ids) ORDER BY f.failed_at DESC LIMIT 10) f
	JOIN incomplete_orders.shops s USING (shop_id);
	state := CASE WHEN seen.n > 0 THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.n > 0 THEN seen.names ELSE 'none fails' END;
	advice := CASE WHEN seen.refused THEN 'Something that was added to the tables, a foreign key perhaps, refuses what is due: look for "tick could not" in the server''s log.'
		WHEN seen.n > 0 THEN 'The orders concerned wait until the function answers. It runs with the rights of the role that named it: call it as that role.' END;
	RETURN NEXT;

	-- what cannot be read keeps its marks, and is read once it can be again
	check_name := 'attachments';
	SELECT count(*) AS n, string_agg(format('"%s" of shop "%s" since %s: %s', a.name, a.shop, to_char(a.problem_at, 'YYYY-MM-DD HH24:MI UTC'), a.problem), '; ') AS names,
		bool_or(a.problem_at < clock - interval '1 hour') AS long, bool_or(a.problem_sqlstate = '57014') AS slow INTO seen
	FROM (SELECT a.*, s.shop FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id)
		WHERE a.shop_id = ANY (shop_ids) AND a.state = 'broken' ORDER BY a.problem_at LIMIT 10) a;
	state := CASE WHEN seen.long THEN 'alarm' WHEN seen.n > 0 THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.n > 0 THEN seen.names ELSE 'all can be read' END;
	advice := CASE WHEN seen.slow THEN 'Reading is slow: the lines need an index on their column of the cart; incomplete_orders.hook_timeout is how long it may take.'
		WHEN seen.n > 0 THEN 'The shop''s tables, a right or the role changed: GRANT what is missing, or call attach() again with that name and what it is called now. Nothing is lost meanwhile, and carts that changed since are neither abandoned nor mailed; tick reads them as soon as it can.' END;
	RETURN NEXT;

	check_name := 'attached tables';
	SELECT count(*) AS n, string_agg(format('"%s" of shop "%s": %s', u.name, u.shop, u.fault), '; ') AS names INTO seen
	FROM (SELECT * FROM incomplete_orders._unwatched_tables(shop_ids) LIMIT 10) u;
	state := CASE WHEN seen.n > 0 THEN 'alarm' ELSE 'ok' END;
	value := CASE WHEN seen.n > 0 THEN seen.names ELSE 'all are watched' END;
	advice := CASE WHEN seen.n > 0 THEN 'Carts that change there are not heard of: call attach() again with that name, which makes the triggers anew and reads all carts, or enable the triggers and call reconcile().' END;
	RETURN NEXT;

	check_name := 'attached carts';
	SELECT count(*) AS n, string_agg(DISTINCT format('"%s" of shop "%s": %s (cart %s)', c.name, c.shop, c.problem, c.hash), '; ') AS names INTO seen
	FROM (SELECT a.name, s.shop, d.problem, left(encode(sha256(convert_to(d.key, 'UTF8')), 'hex'), 12) AS hash
		FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id)
		CROSS JOIN LATERAL (SELECT q.key, q.problem FROM incomplete_orders.due_carts q WHERE q.attachment = a.attachment AND q.problem IS NOT NULL LIMIT 5) d
		WHERE a.shop_id = ANY (shop_ids) LIMIT 10) c;
	state := CASE WHEN seen.n > 0 THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.n > 0 THEN seen.names ELSE 'none is refused' END;
	advice := CASE WHEN seen.n > 0 THEN 'Such a cart is neither abandoned nor mailed until the shop''s tables say something that an order can have; it is tried again at its next change, and every quarter of an hour. Its name here is the beginning of the sha256 of its id.' END;
	RETURN NEXT;

	check_name := 'unread carts';
	SELECT a.name, s.shop, clock - (SELECT min(d.first_marked_at) FROM incomplete_orders.due_carts d WHERE d.attachment = a.attachment AND d.problem IS NULL) AS age INTO seen
	FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id)
	WHERE a.shop_id = ANY (shop_ids) AND a.state = 'ok' ORDER BY 3 DESC NULLS LAST LIMIT 1;
	state := CASE WHEN seen.age > 2 * every + interval '1 hour' THEN 'alarm' WHEN seen.age > 2 * every + interval '5 minutes' THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.age IS NULL THEN 'none' ELSE format('changed %s ago, in "%s" of shop "%s"', date_trunc('second', greatest(seen.age, interval '0')), seen.name, seen.shop) END;
	advice := CASE WHEN state <> 'ok' THEN 'Tick does not keep up, or does not run as a role that is sender or admin of that shop.' END;
	RETURN NEXT;

	check_name := 'campaigns';
	SELECT count(DISTINCT s.shop_id) AS n, string_agg(DISTINCT format('shop "%s" has no %s', s.shop, array_to_string(l.missing, ', ')), '; ') FILTER (WHERE l.missing <> '{}') AS lacking INTO seen
	FROM incomplete_orders.campaigns c JOIN incomplete_orders.shops s USING (shop_id) CROSS JOIN LATERAL (SELECT incomplete_orders._missing_settings(s.from_email, s.base_url, s.postal_address) AS missing) l
	WHERE c.enabled AND c.shop_id = ANY (shop_ids);
	state := CASE WHEN seen.lacking IS NOT NULL THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.n = 0 THEN 'none is on' ELSE coalesce(left(seen.lacking, 1000), format('on in %s shop%s', seen.n, CASE seen.n WHEN 1 THEN '' ELSE 's' END)) END;
	advice := CASE WHEN state <> 'ok' THEN 'configure_shop() sets them. Without from_email and base_url mails leave only where incomplete-orders send has --from and --base-url; many countries want a postal address.' END;
	RETURN NEXT;

	check_name := 'message queue';
	SELECT s.shop, clock - m.due_at AS age, m.status INTO seen
	FROM incomplete_orders.shops s CROSS JOIN LATERAL (
		SELECT q.due_at, q.status FROM incomplete_orders.messages q WHERE q.shop_id = s.shop_id AND q.status IN ('queued', 'sending')
		ORDER BY q.due_at LIMIT 1) m
	WHERE s.shop_id = ANY (shop_ids) ORDER BY m.due_at LIMIT 1;
	state := CASE WHEN seen.age > interval '1 hour' THEN 'alarm' WHEN seen.age > interval '10 minutes' THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.age IS NULL THEN 'nothing waits' WHEN seen.age <= interval '0' THEN 'nothing is due'
		WHEN seen.status = 'sending' THEN format('a lease ended %s ago, in shop "%s"', date_trunc('second', seen.age), seen.shop)
		ELSE format('the oldest waits for %s, in shop "%s"', date_trunc('second', seen.age), seen.shop) END;
	advice := CASE WHEN state <> 'ok' THEN 'Nobody sends, or too slowly: incomplete-orders send must run as a role that is sender for that shop. Messages not sent within five days are given up.' END;
	RETURN NEXT;

	check_name := 'dead messages';
	SELECT count(*) AS n, (SELECT string_agg(DISTINCT format('"%s"', s.shop), ', ') FROM incomplete_orders.shops s WHERE s.shop_id = ANY (array_agg(d.shop_id))) AS names
	INTO seen FROM (
		SELECT m.shop_id FROM incomplete_orders.messages m WHERE m.status = 'dead' AND m.shop_id = ANY (shop_ids) LIMIT 1000) d;
	state := CASE WHEN seen.n > 0 THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.n > 0 THEN format('%s%s, of shop %s', seen.n, CASE WHEN seen.n = 1000 THEN ' or more' ELSE '' END, seen.names) ELSE 'none' END;
	advice := CASE WHEN seen.n > 0 THEN 'SELECT * FROM incomplete_orders.dead_messages(shop) says why; retry_message(id) sends one again, discard_message(id) forgets it.' END;
	RETURN NEXT;

	check_name := 'webhooks';
	SELECT count(*) FILTER (WHERE w.failing_since IS NOT NULL) AS failing, sum(d.dead) AS dead,
		max(clock - greatest(q.due_at, w.retry_at)) AS waits, min(w.failing_since) AS failing_since,
		string_agg(format('"%s" of shop "%s"', w.webhook, s.shop), ', ' ORDER BY s.shop, w.webhook) FILTER (WHERE w.failing_since IS NOT NULL OR d.dead > 0) AS names
	INTO seen FROM incomplete_orders.webhooks w JOIN incomplete_orders.shops s USING (shop_id)
	LEFT JOIN LATERAL (SELECT m.due_at FROM incomplete_orders.webhook_deliveries m
		WHERE m.shop_id = w.shop_id AND m.webhook = w.webhook AND m.status IN ('queued', 'sending') ORDER BY m.due_at LIMIT 1) q ON true
	CROSS JOIN LATERAL (SELECT count(*) AS dead FROM (SELECT FROM incomplete_orders.webhook_deliveries m
		WHERE m.shop_id = w.shop_id AND m.webhook = w.webhook AND m.status = 'dead' LIMIT 1000) m) d
	WHERE w.shop_id = ANY (shop_ids) AND w.active;
	state := CASE WHEN seen.waits > interval '1 hour' THEN 'alarm'
		WHEN seen.waits > interval '10 minutes' OR seen.failing > 0 OR seen.dead > 0 THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN seen.failing > 0 THEN format('%s not answering since %s: %s', seen.failing, to_char(seen.failing_since, 'YYYY-MM-DD HH24:MI UTC'), seen.names)
			WHEN seen.dead > 0 THEN format('%s deliveries given up: %s', seen.dead, seen.names) WHEN seen.waits > interval '0' THEN 'something is due' ELSE 'nothing is due' END
		|| CASE WHEN seen.waits > interval '10 minutes' THEN format(', the oldest for %s', date_trunc('second', seen.waits)) ELSE '' END;
	advice := CASE WHEN seen.waits > interval '10 minutes' THEN 'Nobody tells them, or too slowly: incomplete-orders send must run, not with --webhooks=off, as a role that is sender for that shop.'
		WHEN state <> 'ok' THEN 'SELECT * FROM incomplete_orders.list_deliveries() says why; what was given up after three days goes again with retry_delivery(id).' END;
	RETURN NEXT;

	check_name := 'event tail';
	-- tick folds it: reports add up what is left in it each time
	SELECT count(*) AS n INTO seen FROM (SELECT FROM incomplete_orders.order_event_tail LIMIT 200001) t;
	state := CASE WHEN seen.n > 200000 THEN 'warn' ELSE 'ok' END;
	value := format('%s%s events, %s', CASE WHEN seen.n > 200000 THEN 'more than ' END, least(seen.n, 200000),
		pg_size_pretty(pg_table_size('incomplete_orders.order_event_tail')));
	advice := CASE WHEN state <> 'ok' THEN 'Reports are slower the more events are not folded yet. tick does that, after everything that is due: call it more often, or with more max_seconds; the server log has a warning where it fails.' END;
	RETURN NEXT;
END
$$;
ALTER FUNCTION incomplete_orders._health_of_tables(interval) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._health_of_tables(interval) IS 'The part of health() that reads our tables';

CREATE FUNCTION incomplete_orders._health_of_objects() RETURNS TABLE (check_name text, state text, value text, advice text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrong text;
BEGIN
	check_name := 'procedures';
	SELECT string_agg(format('%s: %s', p.proname, CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' ELSE array_to_string(p.proconfig, ', ') END), '; ') INTO wrong
	FROM pg_proc p WHERE p.pronamespace = 'incomplete_orders'::regnamespace AND p.prokind = 'p' AND (p.prosecdef OR p.proconfig IS NOT NULL);
	state := CASE WHEN wrong IS NULL THEN 'ok' ELSE 'alarm' END;
	value := coalesce(wrong, 'commit their batches');
	advice := CASE WHEN wrong IS NOT NULL THEN 'A procedure with settings of its own may not commit: ALTER PROCEDURE incomplete_orders.tick RESET ALL; ALTER PROCEDURE incomplete_orders.tick SECURITY INVOKER;' END;
	RETURN NEXT;

	-- those on a function of ours, on our tables and on a shop's own
	check_name := 'triggers';
	SELECT string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ' ORDER BY t.tgrelid::regclass::text, t.tgname) INTO wrong
	FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
	WHERE p.pronamespace = 'incomplete_orders'::regnamespace AND NOT t.tgisinternal
		AND (t.tgenabled IN ('D', 'R') OR t.tgenabled <> 'A' AND p.proname = '_invalidate_cache');
	state := CASE WHEN wrong IS NULL THEN 'ok' ELSE 'alarm' END;
	value := CASE WHEN wrong IS NULL THEN 'enabled' ELSE left(wrong, 500) END;
	advice := CASE WHEN wrong IS NOT NULL THEN 'They do not fire, or not always. SELECT incomplete_orders.setup() repairs invalidate_cache; ALTER TABLE ... ENABLE TRIGGER the others.' END;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION incomplete_orders._health_of_objects() IS 'The part of health() that reads the catalog';

-- What keeps old row versions of the hot tables from being removed.  Without
-- pg_read_all_stats only the caller's own sessions are seen.
CREATE FUNCTION incomplete_orders._health_of_server() RETURNS TABLE (check_name text, state text, value text, advice text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	oldest record;
	sees_all boolean := pg_has_role('pg_read_all_stats', 'USAGE');
BEGIN
	check_name := 'oldest snapshot';
	SELECT x.what, x.held INTO oldest FROM (
		SELECT format('process %s of role "%s"', a.pid, a.usename) AS what, clock_timestamp() - a.xact_start AS held
		FROM pg_stat_activity a
		WHERE a.datname = current_database() AND a.backend_xmin IS NOT NULL AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
		UNION ALL
		SELECT format('prepared transaction "%s"', p.gid), clock_timestamp() - p.prepared FROM pg_prepared_xacts p WHERE p.database = current_database()
	) x ORDER BY x.held DESC NULLS LAST LIMIT 1;
	state := CASE WHEN oldest.held > interval '12 hours' THEN 'alarm' WHEN oldest.held > interval '1 hour' THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN oldest.held IS NOT NULL THEN format('%s, %s', date_trunc('second', oldest.held), oldest.what) ELSE 'none' END
		|| CASE WHEN sees_all THEN '' ELSE ' (other roles'' sessions are not shown to this one)' END;
	advice := CASE WHEN state <> 'ok' THEN 'End that transaction: while it is open no dead row version can be removed, and every capture leaves one.'
		WHEN NOT sees_all THEN 'GRANT pg_read_all_stats to the role that asks.' END;
	RETURN NEXT;

	check_name := 'replication slots';
	SELECT s.slot_name AS what, greatest(age(s.xmin), 0) AS held INTO oldest FROM pg_replication_slots s
	WHERE s.xmin IS NOT NULL ORDER BY 2 DESC LIMIT 1;
	state := CASE WHEN oldest.held > 100000000 THEN 'alarm' WHEN oldest.held > 10000000 THEN 'warn' ELSE 'ok' END;
	value := CASE WHEN oldest.held IS NOT NULL THEN format('%s transactions behind: "%s"', oldest.held, oldest.what) ELSE 'none holds row versions' END;
	advice := CASE WHEN state <> 'ok' THEN 'Let its standby catch up, or drop the slot.' END;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION incomplete_orders._health_of_server() IS 'The part of health() that reads the server''s statistics';

CREATE FUNCTION incomplete_orders._health_of_cron() RETURNS TABLE (check_name text, state text, value text, advice text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	cron record := incomplete_orders._cron();
	seen record;
	last record;
	failures bigint;
BEGIN
	check_name := 'pg_cron';
	state := 'ok';
	IF NOT cron.usable THEN
		value := CASE cron.place WHEN 'absent' THEN 'not loaded' WHEN 'uncreated' THEN 'not created in this database'
			WHEN 'here' THEN 'not shown to this role' ELSE 'in ' || cron.told END;
		advice := CASE WHEN cron.place = 'absent' THEN 'incomplete-orders tick --every 60s does its work.'
			ELSE 'SELECT * FROM incomplete_orders.schedule_jobs() gives the statements for a superuser; the outcome of its runs is in cron.job_run_details there.' END;
		RETURN NEXT;
		RETURN;
	END IF;
	FOR seen IN
		SELECT w.job, c.jobid, c.active, c.role FROM incomplete_orders._wanted_jobs() w
		LEFT JOIN incomplete_orders._cron_jobs() c ON c.job = w.job ORDER BY w.job DESC, c.role
	LOOP
		check_name := format('pg_cron job %s', seen.job);
		advice := NULL;
		IF seen.jobid IS NULL THEN
			state := 'warn';
			value := 'not scheduled, or by a role whose jobs are not shown to this one';
			advice := 'SELECT * FROM incomplete_orders.schedule_jobs(); not needed where incomplete-orders tick runs.';
			RETURN NEXT;
			CONTINUE;
		END IF;
		-- the last that ended, and of the last thousand lines of the log those that failed within a day
		EXECUTE 'SELECT d.status, d.return_message, d.start_time FROM cron.job_run_details d
			WHERE d.jobid = $1 AND d.status IN (''succeeded'', ''failed'') ORDER BY d.runid DESC LIMIT 1'
		INTO last USING seen.jobid;
		EXECUTE 'SELECT count(*) FROM (SELECT * FROM cron.job_run_details d ORDER BY d.runid DESC LIMIT 1000) d
			WHERE d.jobid = $1 AND d.status = ''failed'' AND d.start_time > now() - interval ''1 day'''
		INTO failures USING seen.jobid;
		state := CASE WHEN NOT seen.active OR last.status = 'failed' THEN 'alarm' WHEN failures > 0 THEN 'warn' ELSE 'ok' END;
		value := format('as role "%s", %s', seen.role, CASE WHEN NOT seen.active THEN 'paused'
				WHEN last.status = 'failed' THEN 'failed: ' || left(coalesce(last.return_message, '?'), 300)
				WHEN last.status IS NULL THEN 'no run has ended yet' ELSE 'succeeded' END)
			|| CASE WHEN failures > 0 THEN format(', %s failures within a day', failures) ELSE '' END;
		advice := CASE WHEN NOT seen.active THEN 'SELECT * FROM incomplete_orders.schedule_jobs() makes it anew.'
			WHEN state <> 'ok' THEN 'See SELECT * FROM incomplete_orders.jobs(), cron.job_run_details and the server''s log.' END;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._health_of_cron() IS 'The part of health() that reads pg_cron''s tables';

-- How often tick is to run: as pg_cron calls it, exact for what runs every so many minutes or
-- seconds, else once a minute.
CREATE FUNCTION incomplete_orders._tick_every() RETURNS interval
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(min(CASE
		WHEN c.schedule ~ '^\d{1,6} seconds$' THEN make_interval(secs => substring(c.schedule FROM '\d+')::integer)
		WHEN c.schedule ~ '^(\*|\*/\d{1,4})( \*){4}$' THEN make_interval(mins => coalesce(substring(c.schedule FROM '\d+'), '1')::integer)
		WHEN c.schedule ~ '^\S+( \*){4}$' THEN interval '1 hour'
		ELSE interval '1 day' END), interval '1 minute')
	FROM incomplete_orders._cron_jobs() c WHERE c.active AND c.command = 'CALL incomplete_orders.tick()'
$$;
COMMENT ON FUNCTION incomplete_orders._tick_every() IS 'How often tick is to run';

CREATE FUNCTION incomplete_orders.health() RETURNS TABLE (check_name text, state text, value text, advice text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass('incomplete_orders.shops') IS NULL THEN
		RETURN QUERY VALUES ('setup', 'alarm', 'not set up', 'SELECT incomplete_orders.setup();');
		RETURN;
	END IF;
	RETURN QUERY SELECT * FROM incomplete_orders._health_of_tables(incomplete_orders._tick_every());
	RETURN QUERY SELECT * FROM incomplete_orders._health_of_cron();
	RETURN QUERY SELECT * FROM incomplete_orders._health_of_objects();
	RETURN QUERY SELECT * FROM incomplete_orders._health_of_server();
END
$$;
COMMENT ON FUNCTION incomplete_orders.health() IS
	'One row per check: ok, warn or alarm, what was found, and what to do. Of orders only the shops for which the calling role is sender or admin are looked at; pg_cron and other sessions as far as that role may see them';

CREATE FUNCTION incomplete_orders._tick_ended_at() RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM incomplete_orders._visible_shops('scheduler_status', '*');
	RETURN (SELECT h.at FROM incomplete_orders.heartbeats h WHERE h.job = 'tick');
END
$$;
ALTER FUNCTION incomplete_orders._tick_ended_at() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_ended_at() IS 'When tick last ended';

CREATE FUNCTION incomplete_orders.scheduler_status() RETURNS TABLE (state text, ended_at timestamptz, every_seconds integer)
LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	clock CONSTANT timestamptz := clock_timestamp();
BEGIN
	ended_at := incomplete_orders._tick_ended_at();
	every_seconds := extract(epoch FROM incomplete_orders._tick_every());
	state := CASE WHEN ended_at IS NULL THEN 'never' WHEN ended_at > clock + interval '1 minute' THEN 'ahead'
		WHEN clock - ended_at > 2 * make_interval(secs => every_seconds) THEN 'stopped' ELSE 'ok' END;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION incomplete_orders.scheduler_status() IS
	'Whether tick runs, asked as often as one likes: ok, stopped (it last ended more than two of its turns ago), never (it has not run yet) or ahead (it ran in the future: the clock was set back). health() says the same, and more. IC001';

-- Who calls tick(): pg_cron where there is one, `incomplete-orders tick` elsewhere.
--
-- pg_cron runs a job as the role that scheduled it, and its functions exist in
-- one database of a server only.  So nothing here is SECURITY DEFINER: the
-- caller is the role that ticks, and what the caller may not do is printed for
-- an administrator.

-- What pg_cron identifies a job by is a name of 63 bytes, for each role; jobs of
-- several databases meet in one table.
CREATE FUNCTION incomplete_orders._wanted_jobs() RETURNS TABLE (job text, schedule text, command text, here boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('incomplete_orders %s %s', j.name, CASE WHEN octet_length(current_database()) <= 38 THEN current_database() ELSE md5(current_database()) END),
		j.schedule, j.command, j.here
	FROM (VALUES
		('tick', '* * * * *', 'CALL incomplete_orders.tick()', true),
		-- pg_cron keeps the outcome of every run for ever
		('prune', '17 3 * * *', $sql$DELETE FROM cron.job_run_details WHERE command LIKE '%incomplete_orders.%' AND status IN ('succeeded', 'failed') AND coalesce(end_time, start_time, '-infinity') < now() - interval '7 days'$sql$, false)
	) j (name, schedule, command, here)
$$;
COMMENT ON FUNCTION incomplete_orders._wanted_jobs() IS 'The jobs of this database; here: runs in this database, else in pg_cron''s own';

-- pg_cron's database_name is shown to superusers and pg_read_all_settings only.
CREATE FUNCTION incomplete_orders._cron(OUT place text, OUT told text, OUT usable boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	database text;
BEGIN
	BEGIN
		database := current_setting('cron.database_name', true);
		IF database IS NULL THEN
			place := 'absent';
		ELSIF database <> current_database() THEN
			place := 'elsewhere';
		END IF;
	EXCEPTION WHEN insufficient_privilege THEN
		IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
			place := 'elsewhere';
		END IF;
	END;
	IF place IS NULL THEN
		place := CASE WHEN EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN 'here' ELSE 'uncreated' END;
		database := current_database();
	END IF;
	told := coalesce('database "' || database || '"', 'the database that SHOW cron.database_name names');
	usable := place = 'here' AND has_schema_privilege('cron', 'USAGE');
END
$$;
COMMENT ON FUNCTION incomplete_orders._cron() IS
	'Where pg_cron lives: here, elsewhere, uncreated (here, but without CREATE EXTENSION), absent; told: the same in words; usable: the role may schedule and read its jobs';

-- Read by EXECUTE: the tables may not exist.  A superuser sees the jobs of all
-- roles, everybody else their own (row security of pg_cron).
CREATE FUNCTION incomplete_orders._cron_jobs() RETURNS TABLE (job text, jobid bigint, schedule text, command text, database text, role text, active boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF (incomplete_orders._cron()).usable THEN
		RETURN QUERY EXECUTE 'SELECT j.jobname::text, j.jobid, j.schedule, j.command, j.database, j.username, j.active
			FROM cron.job j WHERE j.jobname::text IN (SELECT w.job FROM incomplete_orders._wanted_jobs() w) ORDER BY j.jobname DESC, j.jobid';
	END IF;
END
$$;
COMMENT ON FUNCTION incomplete_orders._cron_jobs() IS 'The jobs of this database that pg_cron has and this role may see';

CREATE FUNCTION incomplete_orders.schedule_jobs() RETURNS TABLE (job text, schedule text, command text, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	cron record := incomplete_orders._cron();
	wanted record;
	old record;
BEGIN
	-- IC001 before anything else
	IF cardinality(incomplete_orders._visible_shops('schedule_jobs', '*')) = 0 THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role "%s" may not tick for any shop', current_user),
			HINT = 'incomplete_orders.grant_to(role, ''sender'') lets a role tick for all shops.';
	END IF;
	IF cron.place = 'absent' THEN
		RAISE NOTICE 'pg_cron is not loaded in this server: nothing was scheduled'
			USING HINT = 'Run the command that is returned as a service, or add pg_cron to shared_preload_libraries.';
		job := 'tick';
		schedule := 'every 60 s';
		command := 'incomplete-orders tick --every 60s';
		state := 'run this as a service';
		RETURN NEXT;
		RETURN;
	END IF;
	IF NOT (SELECT r.rolcanlogin FROM pg_roles r WHERE r.rolname = current_user) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_role_specification',
			MESSAGE = format('role "%s" cannot log in', current_user),
			DETAIL = 'pg_cron runs a job as the role that scheduled it.',
			HINT = 'Call it as the role that shall tick.';
	END IF;
	IF NOT cron.usable THEN
		RAISE NOTICE 'role "%" cannot reach pg_cron from here: nothing was scheduled', current_user
			USING HINT = 'A superuser runs the commands that are returned, in the database that is named.';
	END IF;

	FOR wanted IN SELECT * FROM incomplete_orders._wanted_jobs() LOOP
		job := wanted.job;
		schedule := wanted.schedule;
		command := wanted.command;
		IF NOT cron.usable THEN
			-- a job of that name is removed first: pg_cron would keep its database
			command := CASE cron.place WHEN 'uncreated' THEN 'CREATE EXTENSION IF NOT EXISTS pg_cron; ' ELSE '' END
				|| format('SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L AND username = %L; ', job, current_user)
				|| format('SELECT cron.schedule_in_database(%L, %L, %L, %s, %L);', job, schedule, command,
					CASE WHEN wanted.here THEN quote_literal(current_database()) ELSE 'current_database()' END, current_user);
			state := 'to be run by a superuser in ' || cron.told;
			RETURN NEXT;
			CONTINUE;
		END IF;
		-- one that does its work stays, with a schedule that somebody changed
		SELECT c.* INTO old FROM incomplete_orders._cron_jobs() c
		WHERE c.job = wanted.job AND c.active AND c.command = wanted.command AND c.database = current_database()
		ORDER BY c.role <> current_user LIMIT 1;
		IF FOUND THEN
			schedule := old.schedule;
			state := CASE WHEN old.role = current_user THEN 'was scheduled' ELSE format('was scheduled as role "%s"', old.role) END;
			RETURN NEXT;
			CONTINUE;
		END IF;
		FOR old IN SELECT c.jobid FROM incomplete_orders._cron_jobs() c WHERE c.job = wanted.job AND c.role = current_user LOOP
			EXECUTE 'SELECT cron.unschedule($1)' USING old.jobid;
		END LOOP;
		EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job, schedule, command;
		state := 'scheduled';
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders.schedule_jobs() IS
	'Lets pg_cron call tick() every minute as the calling role, which is superuser, sender or admin, and prune its own log. What the caller may not do is returned as statements for a superuser; without pg_cron the command that does it instead. May be called again. 42501, IC001';

CREATE FUNCTION incomplete_orders.unschedule_jobs() RETURNS TABLE (job text, schedule text, command text, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	cron record := incomplete_orders._cron();
	old record;
BEGIN
	PERFORM incomplete_orders._visible_shops('unschedule_jobs', '*');
	IF cron.usable THEN
		FOR old IN SELECT * FROM incomplete_orders._cron_jobs() LOOP
			job := old.job;
			schedule := old.schedule;
			command := old.command;
			EXECUTE 'SELECT cron.unschedule($1)' USING old.jobid;
			state := 'unscheduled';
			RETURN NEXT;
		END LOOP;
	ELSIF cron.place IN ('here', 'elsewhere') THEN
		FOR old IN SELECT * FROM incomplete_orders._wanted_jobs() LOOP
			job := old.job;
			schedule := old.schedule;
			command := format('SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L;', old.job);
			state := 'to be run by a superuser in ' || cron.told;
			RETURN NEXT;
		END LOOP;
	END IF;
END
$$;
COMMENT ON FUNCTION incomplete_orders.unschedule_jobs() IS
	'Undoes schedule_jobs(): of the calling role, for a superuser of every role. What the caller may not do is returned as statements for a superuser. IC001';

CREATE FUNCTION incomplete_orders.jobs() RETURNS TABLE (job text, schedule text, command text, state text, role text, last_start timestamptz, last_end timestamptz, last_message text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	cron record := incomplete_orders._cron();
	seen record;
BEGIN
	PERFORM incomplete_orders._visible_shops('jobs', '*');
	FOR seen IN SELECT * FROM incomplete_orders._cron_jobs() LOOP
		job := seen.job;
		schedule := seen.schedule;
		command := seen.command;
		role := seen.role;
		last_start := NULL;
		last_end := NULL;
		last_message := NULL;
		state := NULL;
		-- no index but that of runid; runs that are long ago are pruned
		EXECUTE 'SELECT d.status, d.start_time, d.end_time, d.return_message FROM cron.job_run_details d WHERE d.jobid = $1 ORDER BY d.runid DESC LIMIT 1'
		INTO state, last_start, last_end, last_message USING seen.jobid;
		state := CASE WHEN NOT seen.active THEN 'paused' ELSE coalesce(state, 'scheduled') END;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders.jobs() IS
	'Jobs of this database in pg_cron, as far as the calling role may see them, and how the last run of each ended: scheduled (not run yet), starting, running, succeeded, failed or paused. IC001';

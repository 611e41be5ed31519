-- The way back from setup().  Not SECURITY DEFINER: the kept tables go to the
-- caller and into a schema of the caller's, which needs the caller's rights.

CREATE FUNCTION incomplete_orders.remove(keep_orders boolean DEFAULT true, dry_run boolean DEFAULT true) RETURNS TABLE (action text, object text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	kept text[] := CASE WHEN keep_orders IS NOT FALSE THEN ARRAY['orders', 'order_items', 'order_refunds'] ELSE '{}' END;
	me name := incomplete_orders._acting_role();
	steps jsonb;
	step jsonb;
BEGIN
	IF NOT incomplete_orders._is_owner() THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role "%s" may not call incomplete_orders.remove()', me),
			HINT = 'Superusers and members of incomplete_orders_owner may.';
	END IF;
	PERFORM incomplete_orders._enter_shop('remove', 'default', NULL);
	PERFORM pg_advisory_xact_lock(hashtext('incomplete_orders.setup'));
	-- DDL on a table whose deferred triggers are pending is refused
	SET CONSTRAINTS ALL IMMEDIATE;

	-- Somebody else's schema of that name could take the orders away again.
	IF keep_orders IS NOT FALSE AND EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'incomplete_orders_kept'
		AND NOT pg_has_role(me, n.nspowner, 'USAGE'))
	THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'schema "incomplete_orders_kept" belongs to somebody else',
			DETAIL = 'The orders that are kept would be moved into it.',
			HINT = 'Rename that schema, or call remove() as its owner.';
	END IF;

	-- What is listed is what is done: one list for both, read before anything is
	-- dropped (a table that an open query reads cannot be).
	SELECT jsonb_agg(jsonb_build_array(s.what, s.which, s.command) ORDER BY s.stage, s.n) INTO steps
	FROM (
		SELECT 0 AS stage, row_number() OVER (ORDER BY j.job, j.jobid) AS n, 'unschedule' AS what,
			format('job %s', j.job) AS which, format('SELECT cron.unschedule(%s)', j.jobid) AS command
		FROM incomplete_orders._cron_jobs() j
		UNION ALL
		-- before the roles lose their rights: triggers are dropped as who made them
		SELECT 1, row_number() OVER (ORDER BY a.attachment), 'detach', format('attachment %s of shop %s', a.name, s.shop),
			format('SELECT incomplete_orders._detach(%s, %s, false)', a.shop_id, a.attachment)
		FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id)
		UNION ALL
		SELECT 2, row_number() OVER (ORDER BY m.role_name, m.purpose), 'revoke',
			format('%s from role %I', m.purpose, m.role_name),
			format('SELECT incomplete_orders.revoke_from(%L, %L)', m.role_name, m.purpose)
		FROM (SELECT DISTINCT s.role_name, s.purpose FROM incomplete_orders.shop_members s) m
		UNION ALL
		SELECT 3, 1, 'create', 'schema incomplete_orders_kept', 'CREATE SCHEMA incomplete_orders_kept'
		WHERE keep_orders IS NOT FALSE AND to_regnamespace('incomplete_orders_kept') IS NULL
		UNION ALL
		SELECT 4, 1, 'drop', 'view ' || r.relation, format('DROP VIEW incomplete_orders.%I', r.relation)
		FROM incomplete_orders._relations() r WHERE r.kind = 'view'
		UNION ALL
		SELECT 5, row_number() OVER (ORDER BY c.relname, t.tgname), 'drop', format('trigger %I on %I', t.tgname, c.relname),
			format('DROP TRIGGER %I ON incomplete_orders.%I', t.tgname, c.relname)
		FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
		WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND c.relname = ANY (kept)
			AND p.pronamespace = 'incomplete_orders'::regnamespace AND NOT t.tgisinternal
		UNION ALL
		SELECT 6, r.ordinality, 'keep', format('table %I as incomplete_orders_kept.%1$I', r.relation),
			format('ALTER TABLE incomplete_orders.%1$I SET SCHEMA incomplete_orders_kept; ALTER TABLE incomplete_orders_kept.%1$I OWNER TO %2$I',
				r.relation, me)
		FROM unnest(kept) WITH ORDINALITY AS r (relation, ordinality)
		UNION ALL
		-- in one command, whatever refers to what
		SELECT 7, 1, 'drop', 'tables ' || string_agg(format('%I', r.relation), ', '),
			'DROP TABLE ' || string_agg(format('incomplete_orders.%I', r.relation), ', ')
		FROM incomplete_orders._relations() r WHERE r.kind = 'table' AND r.relation <> ALL (kept)
		UNION ALL
		SELECT 8, row_number() OVER (ORDER BY r.relation), 'drop', 'sequence ' || r.relation, format('DROP SEQUENCE incomplete_orders.%I', r.relation)
		FROM incomplete_orders._relations() r WHERE r.kind = 'sequence'
	) s;
	IF (SELECT c.place = 'elsewhere' OR c.place = 'here' AND NOT c.usable FROM incomplete_orders._cron() c) THEN
		RAISE NOTICE 'jobs that pg_cron may have for this database are not seen from here'
			USING HINT = 'SELECT * FROM incomplete_orders.unschedule_jobs() gives the statements for a superuser.';
	END IF;
	FOR step IN SELECT e FROM jsonb_array_elements(steps) e LOOP
		IF dry_run IS FALSE THEN
			EXECUTE step ->> 2;
		END IF;
		action := step ->> 0;
		object := step ->> 1;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders.remove(boolean, boolean) IS
	'Undoes setup(), with dry_run it only lists how: unschedules the jobs, detaches shops'' tables, takes back what grant_to() gave and drops views, tables and sequences. With keep_orders the tables orders, order_items and order_refunds stay, without our triggers, as plain tables of the caller in schema incomplete_orders_kept. Then DROP EXTENSION works, and setup() too. Superuser or a member of incomplete_orders_owner';

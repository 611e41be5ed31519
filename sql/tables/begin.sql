-- The body of setup() begins: tables/*.sql are its parts, in the Makefile's
-- order.  The tables are ordinary ones, not members of the extension, so that
-- pg_dump, user columns, indexes and foreign keys just work and DROP EXTENSION
-- is refused while they exist.  They belong to incomplete_orders_owner, whoever
-- calls setup(), because setup() is its SECURITY DEFINER function.

CREATE FUNCTION incomplete_orders._schema_version() RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT 1 $$;
COMMENT ON FUNCTION incomplete_orders._schema_version() IS 'The version of the tables that this version of the extension works with';

CREATE FUNCTION incomplete_orders.setup() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $setup$
DECLARE
	target CONSTANT integer := incomplete_orders._schema_version();
	found_version integer;
	comment text;
	member record;
	foreign_relation text;
BEGIN
	SET LOCAL client_min_messages = warning;
	-- concurrent calls serialise; the key is the hash of our name
	PERFORM pg_advisory_xact_lock(hashtext('incomplete_orders.setup'));
	-- DDL after rows of this transaction have pending deferred triggers is refused
	SET CONSTRAINTS ALL IMMEDIATE;

	IF to_regclass('incomplete_orders.shops') IS NULL THEN
		found_version := 0;
	ELSE
		comment := obj_description(to_regclass('incomplete_orders.shops'), 'pg_class');
		found_version := substring(comment FROM 'schema version ([0-9]+)')::integer;
		IF found_version IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = 'table "incomplete_orders.shops" does not carry its schema version',
				DETAIL = 'The version is kept in the comment on that table; a dump made with --no-comments leaves it out.',
				HINT = format('COMMENT ON TABLE incomplete_orders.shops IS ''Shops (schema version %s)'', if the dump came from this version, and call setup() again.', target);
		END IF;
		IF found_version > target THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('the tables are of schema version %s, newer than this extension''s %s', found_version, target),
				HINT = 'ALTER EXTENSION incomplete_orders UPDATE first.';
		END IF;
		SELECT c.relname INTO foreign_relation FROM pg_class c
		WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
			AND c.relowner <> 'incomplete_orders_owner'::regrole
			AND c.relname IN (SELECT r.relation FROM incomplete_orders._relations() r)
		LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('relation "incomplete_orders.%s" does not belong to "incomplete_orders_owner"', foreign_relation),
				DETAIL = 'The functions work with the rights of that role; a restore with --no-owner leaves another owner.',
				HINT = 'Restore without --no-owner, or ALTER TABLE ... OWNER TO incomplete_orders_owner for every relation in schema incomplete_orders.';
		END IF;
	END IF;

	IF found_version < 1 THEN

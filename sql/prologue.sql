\echo Use "CREATE EXTENSION incomplete_orders" to load this file. \quit

-- The extension's own schema is pg_catalog (see the control file), so that no
-- DROP SCHEMA takes it along; the schema of our objects is made here and is a
-- member.  Never OR REPLACE and never IF NOT EXISTS in this script: an object
-- that somebody else prepared must make it fail.

CREATE SCHEMA incomplete_orders;
COMMENT ON SCHEMA incomplete_orders IS 'incomplete_orders: carts, pending payments and partially filled orders';

DO $$
DECLARE
	r record;
BEGIN
	SELECT rolcanlogin, rolsuper INTO r FROM pg_catalog.pg_roles WHERE rolname = 'incomplete_orders_owner';
	IF NOT FOUND THEN
		CREATE ROLE incomplete_orders_owner NOLOGIN NOINHERIT;
	ELSIF r.rolcanlogin OR r.rolsuper THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_role_specification',
			MESSAGE = 'role "incomplete_orders_owner" exists, and can log in or is a superuser',
			DETAIL = 'This role owns the tables and the SECURITY DEFINER functions; it must be NOLOGIN NOSUPERUSER.',
			HINT = 'ALTER ROLE incomplete_orders_owner NOLOGIN NOSUPERUSER, or drop it.';
	END IF;
END
$$;

GRANT USAGE, CREATE ON SCHEMA incomplete_orders TO incomplete_orders_owner;
GRANT USAGE ON SCHEMA incomplete_orders TO PUBLIC;

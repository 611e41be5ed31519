-- Who may use what: the role matrix, and that the real GRANTs are the matrix.
\set VERBOSITY terse
SELECT m.object, m.kind, string_agg(m.purpose, ' ' ORDER BY m.purpose) AS purposes
FROM incomplete_orders._role_matrix() m GROUP BY m.object, m.kind ORDER BY m.kind DESC, m.object COLLATE "C";
-- Every object of the matrix is there, and no name stands for two functions.
SELECT DISTINCT m.object AS missing FROM incomplete_orders._role_matrix() m
WHERE m.kind = 'function' AND to_regproc('incomplete_orders.' || m.object) IS NULL
	OR m.kind = 'view' AND to_regclass('incomplete_orders.' || m.object) IS NULL;
CREATE VIEW functions AS
	SELECT p.oid, p.proname::text AS name, p.proowner::regrole::text AS owner, p.prosecdef, p.proconfig, p.prosqlbody, l.lanname, p.prorettype
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'incomplete_orders'::regnamespace;
SELECT name AS overloaded FROM functions GROUP BY name HAVING count(*) > 1;
-- PUBLIC: the pure functions of the types, and nothing else.
SELECT name AS public FROM functions WHERE has_function_privilege('public', oid, 'EXECUTE') AND NOT starts_with(name, '_line_items_') ORDER BY name COLLATE "C";
SELECT relname AS public FROM pg_class c, LATERAL aclexplode(c.relacl) a WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND a.grantee = 0;
SELECT privilege_type AS public FROM pg_namespace n, LATERAL aclexplode(n.nspacl) a WHERE nspname = 'incomplete_orders' AND a.grantee = 0;
-- For superusers and members of the owner role only: public functions in no purpose.
SELECT name AS owner_only FROM functions f WHERE NOT starts_with(name, '_') AND NOT has_function_privilege('public', oid, 'EXECUTE')
	AND NOT EXISTS (SELECT FROM incomplete_orders._role_matrix() m WHERE m.object = f.name) ORDER BY name COLLATE "C";

-- SECURITY DEFINER never belongs to a superuser, and what a purpose may use belongs to the role that grants it.
SELECT name FROM functions WHERE prosecdef AND owner <> 'incomplete_orders_owner';
SELECT name FROM functions f WHERE owner <> 'incomplete_orders_owner' AND EXISTS (SELECT FROM incomplete_orders._role_matrix() m WHERE m.object = f.name);
SELECT c.relname, c.relowner::regrole FROM pg_class c WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND c.relowner <> 'incomplete_orders_owner'::regrole;
-- Only C does without a pinned path: it qualifies all it says.
SELECT name FROM functions WHERE lanname <> 'c' AND prosqlbody IS NULL AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false);
-- Everything public says what it is.
SELECT name FROM functions WHERE NOT starts_with(name, '_') AND obj_description(oid, 'pg_proc') IS NULL;
SELECT c.relname FROM pg_class c JOIN incomplete_orders._relations() r ON r.relation = c.relname
WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND obj_description(c.oid, 'pg_class') IS NULL;

-- grant_to() makes exactly the matrix.
SELECT incomplete_orders.create_shop('priv', 'Privileges') > 0 AS made;
CREATE ROLE regress_app;
CREATE ROLE regress_sender;
CREATE ROLE regress_analyst;
CREATE ROLE regress_admin;
CREATE VIEW held AS
	SELECT r.rolname::text AS role, f.name AS object FROM functions f, pg_roles r
	WHERE r.rolname ~ '^regress_(app|sender|analyst|admin)$' AND has_function_privilege(r.oid, f.oid, 'EXECUTE') AND NOT has_function_privilege('public', f.oid, 'EXECUTE')
	UNION ALL
	SELECT r.rolname, c.relname FROM pg_class c, pg_roles r
	WHERE r.rolname ~ '^regress_(app|sender|analyst|admin)$' AND c.relnamespace = 'incomplete_orders'::regnamespace AND c.relkind <> 'i'
		AND (c.relkind <> 'S' AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
			OR c.relkind = 'S' AND has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE'));
SELECT * FROM held;
SELECT incomplete_orders.grant_to(role, substring(role FROM 9)::text, 'priv') FROM unnest(ARRAY['regress_app', 'regress_sender', 'regress_analyst', 'regress_admin']::name[]) role;
(TABLE held EXCEPT SELECT 'regress_' || purpose, object FROM incomplete_orders._role_matrix())
UNION ALL (SELECT 'regress_' || purpose, object FROM incomplete_orders._role_matrix() EXCEPT TABLE held);
-- SELECT on a view, never more.
SELECT a.grantee::regrole, a.privilege_type, a.is_grantable, c.relname FROM pg_class c, LATERAL aclexplode(c.relacl) a
WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND a.grantee <> c.relowner AND a.grantee::regrole::text LIKE 'regress%';
-- Refusals.
SELECT incomplete_orders.grant_to('regress_app', 'owner', 'priv');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.grant_to('regress_app', NULL, 'priv');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.grant_to('regress_app', 'app', 'no-such-shop');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.grant_to('regress_nobody', 'app', 'priv');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.grant_to('public', 'app', 'priv');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.revoke_from('regress_nobody', 'app', 'priv');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_admin;
SELECT incomplete_orders.grant_to('regress_admin', 'admin');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.setup();
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.remove(false, false);
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.delete_shop('priv', false);
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders._allow_purge();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
-- Who may call grant_to() by an accident of GRANT is refused by grant_to() itself.
GRANT EXECUTE ON FUNCTION incomplete_orders.grant_to TO regress_app;
SET ROLE regress_app;
SELECT incomplete_orders.grant_to('regress_app', 'admin');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
REVOKE EXECUTE ON FUNCTION incomplete_orders.grant_to FROM regress_app;

-- revoke_from() takes only what no other purpose or shop of that role still gives.
SELECT incomplete_orders.grant_to('regress_app', 'admin', 'priv');
SELECT incomplete_orders.grant_to('regress_app', 'app', 'default');
SELECT incomplete_orders.revoke_from('regress_app', 'app', 'priv');
SELECT string_agg(DISTINCT m.purpose, ' ') AS still FROM incomplete_orders._role_matrix() m
WHERE NOT EXISTS (SELECT FROM incomplete_orders._role_matrix() n WHERE n.purpose = m.purpose AND NOT EXISTS (SELECT FROM held h WHERE h.role = 'regress_app' AND h.object = n.object));
SELECT incomplete_orders.revoke_from('regress_app', 'app');
SELECT string_agg(object, ' ' ORDER BY object) AS not_held FROM incomplete_orders._role_matrix() m
WHERE purpose = 'admin' AND NOT EXISTS (SELECT FROM held h WHERE h.role = 'regress_app' AND h.object = m.object);
SELECT incomplete_orders.revoke_from('regress_app', 'admin');
SELECT count(*) AS left_over FROM held WHERE role = 'regress_app';
SELECT incomplete_orders.revoke_from('regress_app', 'admin');
-- All shops, then one of them less: that cannot be.
SELECT incomplete_orders.grant_to('regress_app', 'app');
SELECT incomplete_orders.grant_to('regress_app', 'app');
SELECT incomplete_orders.revoke_from('regress_app', 'app', 'priv');
\echo :LAST_ERROR_SQLSTATE
SELECT shop_id, role_name, purpose, granted_by = current_user AS by_me FROM incomplete_orders.shop_members WHERE role_name = 'regress_app';
SELECT incomplete_orders.revoke_from('regress_app', 'app');

-- Only an admin of all shops makes one.
SET ROLE regress_admin;
SELECT incomplete_orders.create_shop('priv-2', 'x');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT incomplete_orders.grant_to('regress_admin', 'admin');
SET ROLE regress_admin;
SELECT incomplete_orders.create_shop('priv-2', 'x') > 0 AS made;
SELECT incomplete_orders.shop_settings('priv-2') ->> 'name' AS name;
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_admin', 'admin');
SELECT count(*) FROM incomplete_orders.delete_shop('priv-2', false);

-- A member of the owner role is as good as a superuser, one without INHERIT after SET ROLE.
CREATE ROLE regress_dba IN ROLE incomplete_orders_owner;
CREATE ROLE regress_dba_noinherit NOINHERIT IN ROLE incomplete_orders_owner;
SET ROLE regress_dba;
SELECT incomplete_orders.setup();
SELECT incomplete_orders.create_shop('priv-3', 'x') > 0 AS made;
SELECT incomplete_orders.grant_to('regress_app', 'app', 'priv-3');
SELECT granted_by FROM incomplete_orders.shop_members WHERE role_name = 'regress_app';
SELECT incomplete_orders.revoke_from('regress_app', 'app', 'priv-3');
SELECT count(*) FROM incomplete_orders.delete_shop('priv-3', false);
RESET ROLE;
SET ROLE regress_dba_noinherit;
SELECT incomplete_orders.setup();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SET ROLE incomplete_orders_owner;
SELECT incomplete_orders.setup();
RESET ROLE;
SELECT count(*) FROM incomplete_orders.delete_shop('priv', false);
TABLE held;
DROP VIEW held, functions;
DROP ROLE regress_app, regress_sender, regress_analyst, regress_admin, regress_dba, regress_dba_noinherit;

-- The acting role: SET ROLE is honoured, definers are seen through, a role that
-- is gone takes its rights along.
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('rol-a', 'A') AS a \gset
SELECT incomplete_orders.create_shop('rol-b', 'B') AS b \gset
CREATE ROLE regress_web_a;
CREATE ROLE regress_web_b;
CREATE ROLE regress_authenticator LOGIN NOINHERIT IN ROLE regress_web_a, regress_web_b;
CREATE ROLE regress_staff IN ROLE regress_web_a;
CREATE ROLE regress_both IN ROLE regress_web_a, regress_web_b;
CREATE ROLE regress_nobody;
SELECT incomplete_orders.grant_to(r::name, p, s) FROM (VALUES ('regress_web_a', 'rol-a'), ('regress_web_b', 'rol-b')) v (r, s), unnest(ARRAY['app', 'admin']) p;

-- PostgREST's pattern: one login without rights of its own, SET LOCAL ROLE in each transaction.
SET SESSION AUTHORIZATION regress_authenticator;
SELECT incomplete_orders.capture_cart('rol-1', '[]');
PREPARE capture AS SELECT incomplete_orders.capture_cart($1, '[{"sku":"A","quantity":1,"unit_price":"1"}]') IS NOT NULL AS captured;
PREPARE seen AS SELECT shop, session_id FROM incomplete_orders.incomplete_orders ORDER BY session_id;
BEGIN;
SET LOCAL ROLE regress_web_a;
EXECUTE capture('rol-1');
EXECUTE seen;
COMMIT;
-- The same prepared statements, another role: another shop.
BEGIN;
SET LOCAL ROLE regress_web_b;
EXECUTE capture('rol-2');
EXECUTE seen;
SELECT incomplete_orders.capture_cart('rol-3', '[]', shop => 'rol-a');
ROLLBACK;
BEGIN;
SET LOCAL ROLE regress_web_b;
EXECUTE seen;
EXECUTE capture('rol-2');
-- in the middle of a transaction, too
SET LOCAL ROLE regress_web_a;
EXECUTE seen;
RESET ROLE;
EXECUTE seen;
ROLLBACK;
EXECUTE capture('rol-1');
RESET SESSION AUTHORIZATION;
-- The history names the acting role, not the login and not the owner.
SELECT e.event, e.actor FROM incomplete_orders.order_events e WHERE e.shop_id IN (:a, :b) ORDER BY e.event_id;

-- INHERIT passes a right on, NOINHERIT does not, two shops need a name.
SET ROLE regress_staff;
EXECUTE capture('rol-4');
SELECT count(*) FROM incomplete_orders.incomplete_orders;
SET ROLE regress_both;
EXECUTE capture('rol-4');
SELECT incomplete_orders.capture_cart('rol-5', '[]', shop => 'rol-b') IS NOT NULL AS captured;
SELECT shop, count(*) FROM incomplete_orders.incomplete_orders GROUP BY shop ORDER BY shop;
SET ROLE regress_nobody;
EXECUTE capture('rol-6');
RESET ROLE;
GRANT EXECUTE ON FUNCTION incomplete_orders.capture_cart TO regress_nobody;
SET ROLE regress_nobody;
EXECUTE capture('rol-6');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.capture_cart('rol-6', '[]', shop => 'rol-a');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
-- A definer's function of a shop's role lends no right: who calls it is who acts.
CREATE FUNCTION lend() RETURNS uuid LANGUAGE sql SECURITY DEFINER AS $$ SELECT incomplete_orders.capture_cart('rol-7', '[]', shop => 'rol-a') $$;
ALTER FUNCTION lend() OWNER TO regress_web_a;
SET ROLE regress_nobody;
SELECT lend();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- A right that is taken away is gone at once, also in a session that has used it.
SET ROLE regress_staff;
SELECT incomplete_orders.capture_cart('rol-4', '[]') IS NOT NULL AS captured;
RESET ROLE;
REVOKE regress_web_a FROM regress_staff;
GRANT EXECUTE ON FUNCTION incomplete_orders.capture_cart TO regress_staff;
SET ROLE regress_staff;
SELECT incomplete_orders.capture_cart('rol-4', '[]', shop => 'rol-a');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
-- Forged rows count only with the right oid in the right cluster.
INSERT INTO incomplete_orders.shop_members (shop_id, role_name, purpose, role_oid, cluster_id, granted_by)
SELECT :a, 'regress_staff', 'app', r.oid, incomplete_orders._cluster_id() + 1, 'x' FROM pg_roles r WHERE r.rolname = 'regress_staff';
SET ROLE regress_staff;
SELECT incomplete_orders.capture_cart('rol-4', '[]', shop => 'rol-a');
RESET ROLE;
UPDATE incomplete_orders.shop_members SET cluster_id = incomplete_orders._cluster_id(), role_oid = 10 WHERE role_name = 'regress_staff';
SET ROLE regress_staff;
SELECT incomplete_orders.capture_cart('rol-4', '[]', shop => 'rol-a');
RESET ROLE;
-- From another cluster: setup() finds the role again by its name.
UPDATE incomplete_orders.shop_members SET cluster_id = 1, role_oid = 1 WHERE role_name = 'regress_staff';
SELECT incomplete_orders.setup();
SET ROLE regress_staff;
SELECT incomplete_orders.capture_cart('rol-4', '[]', shop => 'rol-a') IS NOT NULL AS captured;
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_staff', 'app');

-- A renamed role does not take its rights along, and has them again under its name.
ALTER ROLE regress_web_b RENAME TO regress_web_c;
SET ROLE regress_web_c;
SELECT incomplete_orders.capture_cart('rol-8', '[]');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
ALTER ROLE regress_web_c RENAME TO regress_web_b;
SET ROLE regress_web_b;
SELECT incomplete_orders.capture_cart('rol-8', '[]') IS NOT NULL AS captured;
RESET ROLE;

-- A role is dropped: its rows are dead, nobody else is hurt, and a new role of the name gains nothing.
DROP OWNED BY regress_web_b;
DROP ROLE regress_web_b;
SELECT count(*) AS dead FROM incomplete_orders.shop_members WHERE role_name = 'regress_web_b';
SET ROLE regress_web_a;
SELECT incomplete_orders.capture_cart('rol-9', '[]') IS NOT NULL AS captured;
SELECT count(*) > 0 AS sees FROM incomplete_orders.incomplete_orders;
RESET ROLE;
SELECT count(*) > 0 AS sees FROM incomplete_orders.incomplete_orders WHERE shop = 'rol-b';
CREATE ROLE regress_web_b;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA incomplete_orders TO regress_web_b;
GRANT SELECT ON incomplete_orders.incomplete_orders TO regress_web_b;
SET ROLE regress_web_b;
SELECT incomplete_orders.capture_cart('rol-8', '[]', shop => 'rol-b');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM incomplete_orders.incomplete_orders;
RESET ROLE;
SELECT incomplete_orders.setup();
SET ROLE regress_web_b;
SELECT incomplete_orders.capture_cart('rol-8', '[]', shop => 'rol-b');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT incomplete_orders.grant_to('regress_nobody', 'analyst', 'rol-b');
SELECT count(*) AS dead FROM incomplete_orders.shop_members WHERE role_name = 'regress_web_b';
-- revoke_from() works for a role that is gone.
DROP OWNED BY regress_nobody;
DROP ROLE regress_nobody;
SELECT incomplete_orders.revoke_from('regress_nobody', 'analyst');
SELECT incomplete_orders.revoke_from('regress_nobody', 'analyst');
\echo :LAST_ERROR_SQLSTATE

SELECT count(*) FROM unnest(ARRAY['rol-a', 'rol-b']) s, incomplete_orders.delete_shop(s, false);
DROP OWNED BY regress_web_a, regress_web_b, regress_staff, regress_both, regress_authenticator;
DROP ROLE regress_web_a, regress_web_b, regress_staff, regress_both, regress_authenticator;

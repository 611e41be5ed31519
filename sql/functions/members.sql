-- Who works for which shop.  A right is two things: EXECUTE or SELECT, which is
-- given here from the role matrix, and a row of shop_members, which every
-- function and view asks for on each call.

-- All that a purpose may use belongs to incomplete_orders_owner (privileges.sql),
-- so the grants are the owner's and a dump restores them without a superuser.
CREATE FUNCTION incomplete_orders._apply_rights(role_name text, purpose text, granted boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target text;
BEGIN
	FOR target IN
		SELECT CASE m.kind WHEN 'view' THEN 'SELECT ON TABLE' ELSE 'EXECUTE ON ROUTINE' END || format(' incomplete_orders.%I', m.object)
		FROM incomplete_orders._role_matrix() m
		WHERE m.purpose = _apply_rights.purpose
			-- between a new library and ALTER EXTENSION UPDATE some may not be there yet
			AND (m.kind = 'view' OR to_regproc('incomplete_orders.' || m.object) IS NOT NULL)
			-- what another purpose of the same role still gives is not taken away
			AND (granted OR NOT EXISTS (
				SELECT FROM incomplete_orders._role_matrix() o
				JOIN incomplete_orders.shop_members s ON s.purpose = o.purpose
				JOIN pg_roles r ON r.oid = s.role_oid AND r.rolname = s.role_name
				WHERE o.object = m.object AND s.role_name = _apply_rights.role_name
					AND s.cluster_id = incomplete_orders._cluster_id()))
	LOOP
		IF granted THEN
			EXECUTE format('GRANT %s TO %I', target, role_name);
		ELSE
			EXECUTE format('REVOKE %s FROM %I', target, role_name);
		END IF;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders._apply_rights(text, text, boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._apply_rights(text, text, boolean) IS
	'GRANTs what the role matrix gives to a purpose, or REVOKEs what no member row of that role gives any more';

-- A dropped role's rows are dead and harm nothing; they only should not pile up.
CREATE FUNCTION incomplete_orders._sweep_members() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM incomplete_orders.shop_members m
	WHERE m.cluster_id = incomplete_orders._cluster_id()
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = m.role_oid)
$$;
ALTER FUNCTION incomplete_orders._sweep_members() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._sweep_members() IS 'Deletes the member rows of roles that were dropped';

-- The shop_id of a grant: 0 stands for all shops.
CREATE FUNCTION incomplete_orders._enter_grant(object text, purpose text, shop text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found integer;
BEGIN
	IF NOT incomplete_orders._is_owner() THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role "%s" may not call incomplete_orders.%s()', incomplete_orders._acting_role(), object),
			HINT = 'Superusers and members of incomplete_orders_owner may.';
	END IF;
	-- IC001, IC002
	found := incomplete_orders._enter_shop(object, coalesce(shop, 'default'), NULL);
	IF purpose IS NULL OR purpose NOT IN ('app', 'sender', 'analyst', 'admin') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown purpose "%s"', left(purpose, 100)),
			DETAIL = 'The purposes are app, sender, analyst and admin.',
			HINT = 'app: the shop''s program. sender: what sends the mails. analyst: reports. admin: staff.';
	END IF;
	RETURN CASE WHEN shop IS NULL THEN 0 ELSE found END;
END
$$;
ALTER FUNCTION incomplete_orders._enter_grant(text, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._enter_grant(text, text, text) IS 'What grant_to() and revoke_from() check first; the shop_id, 0 for all shops';

CREATE FUNCTION incomplete_orders.grant_to(role name, purpose text, shop text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	found_id integer := incomplete_orders._enter_grant('grant_to', purpose, shop);
	found_oid oid;
BEGIN
	SELECT r.oid INTO found_oid FROM pg_roles r WHERE r.rolname = grant_to.role;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('role "%s" does not exist', grant_to.role),
			HINT = 'CREATE ROLE first; a shop''s staff and programs log in with their own PostgreSQL roles.';
	END IF;
	PERFORM incomplete_orders._sweep_members();
	INSERT INTO incomplete_orders.shop_members AS m (shop_id, role_name, purpose, role_oid, cluster_id, granted_by)
	VALUES (found_id, grant_to.role, grant_to.purpose, found_oid, incomplete_orders._cluster_id(), incomplete_orders._acting_role())
	ON CONFLICT (shop_id, role_name, purpose) DO UPDATE
	SET role_oid = excluded.role_oid, cluster_id = excluded.cluster_id, granted_at = excluded.granted_at, granted_by = excluded.granted_by
	WHERE (m.role_oid, m.cluster_id) <> (excluded.role_oid, excluded.cluster_id);
	PERFORM incomplete_orders._apply_rights(grant_to.role, grant_to.purpose, true);
END
$$;
ALTER FUNCTION incomplete_orders.grant_to(name, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.grant_to(name, text, text) IS
	'Lets a role work for a shop (null: for all shops, later ones too) as app, sender, analyst or admin. Superuser or a member of incomplete_orders_owner';

CREATE FUNCTION incomplete_orders.revoke_from(role name, purpose text, shop text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	found_id integer := incomplete_orders._enter_grant('revoke_from', purpose, shop);
	removed integer;
BEGIN
	DELETE FROM incomplete_orders.shop_members m
	WHERE m.role_name = revoke_from.role AND m.purpose = revoke_from.purpose AND (found_id = 0 OR m.shop_id = found_id);
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = revoke_from.role) THEN
		IF removed = 0 THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('role "%s" does not exist', revoke_from.role),
				HINT = 'Nothing was granted to a role of that name.';
		END IF;
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM incomplete_orders.shop_members m
		WHERE m.role_name = revoke_from.role AND m.purpose = revoke_from.purpose AND m.shop_id = 0)
	THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('role "%s" is %s of all shops', revoke_from.role, revoke_from.purpose),
			DETAIL = 'Taking away one shop would change nothing.',
			HINT = 'Revoke it without a shop, then grant it for the shops that it shall keep.';
	END IF;
	PERFORM incomplete_orders._apply_rights(revoke_from.role, revoke_from.purpose, false);
	IF removed = 0 THEN
		RAISE NOTICE 'role "%" did not have purpose "%" there', revoke_from.role, revoke_from.purpose;
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders.revoke_from(name, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.revoke_from(name, text, text) IS
	'Takes back what grant_to() gave: for one shop, or for all shops (null), those that were given one by one too. Superuser or a member of incomplete_orders_owner';

CREATE FUNCTION incomplete_orders.list_rights(shop text DEFAULT NULL) RETURNS TABLE (object text, kind text)
LANGUAGE c STABLE SECURITY DEFINER ROWS 100 AS 'MODULE_PATHNAME', 'ico_list_rights';
ALTER FUNCTION incomplete_orders.list_rights(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_rights(text) IS
	'The functions and views that the caller''s purposes let it use in a shop; shop ''*'': in any of its shops. IC002';

CREATE FUNCTION incomplete_orders.list_members(shop text DEFAULT NULL)
RETURNS TABLE (role text, purpose text, all_shops boolean, granted_at timestamptz, granted_by text, works boolean, mine boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own_id CONSTANT integer := incomplete_orders._enter_shop('list_members', shop, NULL);
	me CONSTANT name := incomplete_orders._acting_role();
BEGIN
	RETURN QUERY SELECT m.role_name, m.purpose, m.shop_id = 0, m.granted_at, m.granted_by, r.oid IS NOT NULL, r.oid IS NOT NULL AND pg_has_role(me, r.oid, 'USAGE')
	FROM incomplete_orders.shop_members m
	LEFT JOIN pg_roles r ON r.oid = m.role_oid AND r.rolname = m.role_name AND m.cluster_id = incomplete_orders._cluster_id()
	WHERE m.shop_id IN (0, own_id)
	ORDER BY array_position('{admin,analyst,app,sender}', m.purpose), m.role_name, m.shop_id;
END
$$;
ALTER FUNCTION incomplete_orders.list_members(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_members(text) IS
	'Which roles work for a shop, and as what; all_shops: for every shop; works: the role is there still; mine: the caller has its rights. grant_to() and revoke_from() change it. IC002';

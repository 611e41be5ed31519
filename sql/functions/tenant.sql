-- Who may do what for which shop.  The matrix is in src/rights.c.

CREATE FUNCTION incomplete_orders._role_matrix() RETURNS TABLE (object text, kind text, purpose text)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'ico_role_matrix';
COMMENT ON FUNCTION incomplete_orders._role_matrix() IS 'One row per public function or view and purpose that may use it';

CREATE FUNCTION incomplete_orders._enter_shop(object text, shop text, at timestamptz) RETURNS integer
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_enter_shop_sql';
ALTER FUNCTION incomplete_orders._enter_shop(text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._enter_shop(text, text, timestamptz) IS
	'The shop_id of shop (null: the caller''s only shop, else default) if the acting role may use that function there; IC001, IC002';

CREATE FUNCTION incomplete_orders._visible_shops(object text, shop text) RETURNS integer[]
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_visible_shops';
ALTER FUNCTION incomplete_orders._visible_shops(text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._visible_shops(text, text) IS
	'The shop_ids in which the acting role may use that function or view; shop as in lists: null, a shop, or * for all';

CREATE FUNCTION incomplete_orders._acting_role() RETURNS name
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'ico_acting_role';
COMMENT ON FUNCTION incomplete_orders._acting_role() IS 'The role that acts: SET ROLE is honoured, SECURITY DEFINER is seen through';

CREATE FUNCTION incomplete_orders._is_owner() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'ico_is_owner_sql';
COMMENT ON FUNCTION incomplete_orders._is_owner() IS 'Whether the acting role is a superuser or a member of incomplete_orders_owner';

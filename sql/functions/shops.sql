-- Shops, their settings and their members.

CREATE FUNCTION incomplete_orders._check_shop() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN NEW;
END
$$;

CREATE FUNCTION incomplete_orders._refuse_shop_in_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN OLD;
END
$$;

CREATE FUNCTION incomplete_orders._apply_rights(role_name text, purpose text, granted boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
END
$$;

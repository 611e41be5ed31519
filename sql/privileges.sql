-- Nothing is executable by PUBLIC but the pure functions of the types: rights
-- come last in a dump, so an index on total() could not be restored otherwise.
-- Everything else is given by grant_to() from the role matrix.
DO $$
DECLARE
	routine regprocedure;
	-- input, output, casts and operators of line_items are named _line_items_*
	pure CONSTANT text[] := ARRAY['total', 'item_count', 'unnest', 'diff', 'shop_of'];
BEGIN
	FOR routine IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace OPERATOR(pg_catalog.=) 'incomplete_orders'::pg_catalog.regnamespace
		  AND NOT pg_catalog.starts_with(p.proname::text, '_line_items_')
		  AND p.proname::text OPERATOR(pg_catalog.<>) ALL (pure)
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine);
		EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO incomplete_orders_owner', routine);
	END LOOP;
	-- What a purpose may use belongs to the owner role: it gives those rights, and
	-- a dump restores grants of an owner without SET SESSION AUTHORIZATION.
	FOR routine IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace OPERATOR(pg_catalog.=) 'incomplete_orders'::pg_catalog.regnamespace
		  AND p.proname::text OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT m.object FROM incomplete_orders._role_matrix() m WHERE m.kind OPERATOR(pg_catalog.<>) 'view'))
	LOOP
		EXECUTE pg_catalog.format('ALTER ROUTINE %s OWNER TO incomplete_orders_owner', routine);
	END LOOP;
END
$$;

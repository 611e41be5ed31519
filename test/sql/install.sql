-- The extension is created, nothing works before setup(), setup() may be repeated.
CREATE EXTENSION incomplete_orders;
SELECT incomplete_orders.capture_cart('s', '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM incomplete_orders.health();
SELECT incomplete_orders.setup();
SELECT incomplete_orders.setup();
-- Its tables are ordinary ones: none is a member of the extension.
SELECT count(*) AS members FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'incomplete_orders') AND c.relkind IN ('r', 'p', 'v', 'S');
SELECT shop, currency, time_zone FROM incomplete_orders.shops;

-- remove(): back to before setup(), the orders kept or not.
\set VERBOSITY terse
CREATE ROLE regress_remove;
SELECT incomplete_orders.grant_to('regress_remove', 'app');
SELECT incomplete_orders.capture_cart('rm-1', '[{"sku":"A","quantity":2,"unit_price":"19.90"}]') AS id \gset
SELECT total FROM incomplete_orders.convert_order(:'id');
SELECT incomplete_orders.capture_cart('rm-2', '[{"sku":"A","quantity":1,"unit_price":"1"}]') IS NOT NULL AS captured;
-- What the user added to the orders stays with them.
ALTER TABLE incomplete_orders.orders ADD COLUMN erp_number text DEFAULT 'x';
CREATE INDEX orders_erp ON incomplete_orders.orders (erp_number);
CREATE TABLE invoices (shop_id integer, order_id uuid, FOREIGN KEY (shop_id, order_id) REFERENCES incomplete_orders.orders);
INSERT INTO invoices SELECT shop_id, order_id FROM incomplete_orders.orders WHERE incomplete_order_id = :'id';
SELECT count(*) AS orders_before FROM incomplete_orders.orders \gset
SELECT count(*) AS items_before FROM incomplete_orders.order_items \gset

-- The default only lists; the list is what is done.
CREATE TEMP TABLE planned AS SELECT * FROM incomplete_orders.remove();
SELECT * FROM planned WHERE object NOT LIKE '% from role %' OR object LIKE '%regress_remove';
SELECT count(*) FROM incomplete_orders.open_orders WHERE session_id = 'rm-2';
DROP EXTENSION incomplete_orders;
\echo :LAST_ERROR_SQLSTATE
-- Views and tables of others that stand on ours make it fail, and then nothing is done.
CREATE VIEW on_top AS SELECT id FROM incomplete_orders.open_orders;
SELECT count(*) FROM incomplete_orders.remove(dry_run => false);
\echo :LAST_ERROR_SQLSTATE
DROP VIEW on_top;
SELECT count(*) FROM incomplete_orders.open_orders WHERE session_id = 'rm-2';
-- A schema of that name that somebody else made is not trusted with the orders.
CREATE ROLE regress_stranger;
CREATE ROLE regress_dba IN ROLE incomplete_orders_owner;
CREATE SCHEMA incomplete_orders_kept AUTHORIZATION regress_stranger;
SET ROLE regress_dba;
SELECT count(*) FROM incomplete_orders.remove(dry_run => false);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
DROP SCHEMA incomplete_orders_kept;
-- Without the right to make a schema the orders cannot be kept.
SET ROLE regress_dba;
\set VERBOSITY sqlstate
SELECT count(*) FROM incomplete_orders.remove(dry_run => false);
\set VERBOSITY terse
RESET ROLE;

BEGIN;
-- in one transaction with writes whose triggers are pending
SELECT incomplete_orders.capture_cart('rm-3', '[{"sku":"A","quantity":1,"unit_price":"1"}]') IS NOT NULL AS captured;
CREATE TEMP TABLE done AS SELECT * FROM incomplete_orders.remove(dry_run => false);
COMMIT;
(TABLE planned EXCEPT ALL TABLE done) UNION ALL (TABLE done EXCEPT ALL TABLE planned);
SELECT c.relname, c.relkind FROM pg_class c WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S', 'i');
-- Nothing works any more, and says why; the role can be dropped.
SELECT incomplete_orders.capture_cart('rm-1', '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.shop_settings();
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.grant_to('regress_remove', 'app');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.remove();
\echo :LAST_ERROR_SQLSTATE
DROP ROLE regress_remove;
-- The kept tables are plain ones of the caller: writable, with what was added, and without us.
SELECT c.relname, c.relowner::regrole::text = current_user AS mine, (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers
FROM pg_class c WHERE c.relnamespace = 'incomplete_orders_kept'::regnamespace AND c.relkind = 'r' ORDER BY 1;
SELECT (SELECT count(*) FROM incomplete_orders_kept.orders) = :orders_before AND (SELECT count(*) FROM incomplete_orders_kept.order_items) = :items_before AS all_kept;
DROP EXTENSION incomplete_orders;
SELECT o.total, o.erp_number, i.sku, i.quantity FROM invoices v JOIN incomplete_orders_kept.orders o USING (shop_id, order_id) JOIN incomplete_orders_kept.order_items i USING (shop_id, order_id);
UPDATE incomplete_orders_kept.orders SET total = 0 WHERE erp_number = 'x';
DELETE FROM incomplete_orders_kept.order_items;
SELECT count(*) AS functions FROM pg_proc WHERE pronamespace = to_regnamespace('incomplete_orders');
SELECT count(*) AS roles FROM pg_roles WHERE rolname = 'incomplete_orders_owner';

-- And again from the start, now as a member of the owner role who may not make schemas: without keeping.
CREATE EXTENSION incomplete_orders;
SELECT incomplete_orders.setup();
SELECT incomplete_orders.capture_cart('rm-1', '[{"sku":"A","quantity":2,"unit_price":"19.90"}]') AS id \gset
SELECT order_number FROM incomplete_orders.convert_order(:'id');
SET ROLE regress_dba;
SELECT * FROM incomplete_orders.remove(false, false);
RESET ROLE;
-- The kept ones of the first time are in the way of a second time: nothing is overwritten.
SELECT incomplete_orders.setup();
SELECT count(*) FROM incomplete_orders.remove(true, false);
\echo :LAST_ERROR_SQLSTATE
SELECT shop FROM incomplete_orders.shops;
DROP TABLE invoices;
SET client_min_messages = warning;
DROP SCHEMA incomplete_orders_kept CASCADE;
DROP ROLE regress_stranger, regress_dba;

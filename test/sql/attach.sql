-- attach: mappings and their checks, rights, triggers, detach, and what else ends
-- or moves an attachment.  What tick makes of the marks is tested elsewhere.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_shopkeeper;
CREATE ROLE regress_other;
CREATE ROLE regress_triggers;
CREATE ROLE regress_clerk;
SELECT incomplete_orders.create_shop('att-a', 'A') > 0 AS a, incomplete_orders.create_shop('att-b', 'B') > 0 AS b;
SELECT incomplete_orders.grant_to('regress_shopkeeper', 'admin', 'att-a');
SELECT incomplete_orders.grant_to('regress_shopkeeper', 'admin', 'att-b');
SELECT incomplete_orders.grant_to('regress_other', 'admin', 'att-b');
SELECT incomplete_orders.grant_to('regress_triggers', 'admin', 'att-a');
SELECT incomplete_orders.grant_to('regress_clerk', 'app', 'att-a');
CREATE SCHEMA att AUTHORIZATION regress_shopkeeper;
SET ROLE regress_shopkeeper;
SET search_path = att;
CREATE TABLE buyers (id integer PRIMARY KEY, "eMail" text, secret text);
CREATE TABLE "Carts" (id integer PRIMARY KEY, buyer integer REFERENCES buyers, cur text, state text, changed timestamp DEFAULT '2026-01-02 03:04');
CREATE INDEX ON "Carts" (buyer);
CREATE TABLE goods (id integer PRIMARY KEY, sku text, label text);
CREATE TABLE lines (id integer PRIMARY KEY, cart integer, goods integer, quantity integer, price numeric(10,2), kind text);
CREATE INDEX ON lines (cart);
CREATE TABLE purchases (cart text, number text, void boolean);
CREATE VIEW cart_view AS SELECT * FROM "Carts";
INSERT INTO buyers VALUES (1, 'Ann@Example.com', 'pin');
INSERT INTO "Carts" VALUES (1, 1, 'eur', 'open'), (2, NULL, 'eur', 'open'), (3, 1, 'eur', 'bought');
INSERT INTO goods VALUES (1, 'G-1', 'Glove'), (2, '', 'Hat');
INSERT INTO lines VALUES (1, 1, 1, 2, 19.90, NULL), (2, 1, 2, 1, 5, NULL), (3, 1, 2, 1, 0, 'note');
RESET ROLE;
RESET search_path;
SELECT '{
	"cart": {"table": "\"Carts\"", "id": "id", "currency": "cur", "customer": "buyer", "updated_at": "changed",
		"email": {"join": "buyers", "on": "buyers.id = cart.buyer -- the one who came", "column": "eMail"}},
	"lines": {"table": "lines", "id": "id", "cart": "cart", "where": "line.kind IS NULL", "quantity": "quantity", "unit_price": "price", "product": "goods",
		"sku": {"join": "goods", "on": "goods.id = line.goods", "column": "sku"}, "name": {"join": "goods", "on": "goods.id = line.goods", "column": "label"}},
	"money": "major", "completed": "cart.state = ''bought''", "watch": [{"table": "buyers", "column": "id", "cart": "buyer"}]}' AS m \gset

-- --- presets ---
SELECT preset, jsonb_typeof(incomplete_orders.attach_mapping(preset)) FROM incomplete_orders._attach_presets() ORDER BY 1;
SELECT p.preset, f.place, f.kind, incomplete_orders._part_fault(f.kind, f.value) AS fault
FROM incomplete_orders._attach_presets() p, incomplete_orders._mapping_parts(p.mapping) f WHERE incomplete_orders._part_fault(f.kind, f.value) IS NOT NULL;
SELECT incomplete_orders.attach_mapping('magento');
SELECT incomplete_orders.attach_mapping(NULL);
SELECT * FROM incomplete_orders.attach('main', 'magento');
-- Overriding key by key: deep, null removes, one way to say a value takes the place of the other.
SELECT incomplete_orders._merge_mapping('{"a": {"b": 1, "c": 2}, "d": {"join": "x", "on": "y"}, "e": {"join": "x", "on": "y"}, "f": 1, "g": "col", "w": [1, 2]}',
	'{"a": {"b": null, "n": {"o": 5, "p": null}}, "d": {"sql": "z"}, "e": {"on": "q"}, "f": null, "g": {"join": "t"}, "w": [3]}');

-- --- who may ---
SET ROLE regress_clerk;
SELECT * FROM incomplete_orders.attach('main', mapping => :'m');
SELECT incomplete_orders.attach_mapping('vendure');
SET ROLE regress_other;
SELECT * FROM incomplete_orders.attach('main', mapping => :'m', shop => 'att-a');
-- An admin without rights to the tables: nothing is lent to them.
SET search_path = att;
SELECT * FROM incomplete_orders.attach('main', mapping => (:'m'::jsonb || '{"schema": "att"}')::jsonb);
RESET search_path;
SET ROLE regress_shopkeeper;
-- which shop, when there is more than one
SELECT count(*) FROM incomplete_orders.attach('main', mapping => :'m');

-- --- names and mappings ---
SET search_path = att, public;
SELECT * FROM incomplete_orders.attach('Not good', mapping => :'m', shop => 'att-a');
SELECT * FROM incomplete_orders.attach(NULL, mapping => :'m', shop => 'att-a');
SELECT * FROM incomplete_orders.attach('main', mapping => '[]', shop => 'att-a');
SELECT * FROM incomplete_orders.attach('main', shop => 'att-a');
-- Every fault of its kind is named, not only the first.
SELECT * FROM incomplete_orders.attach('main', mapping => '{"schema": 5, "cart": {"table": "a.b.c", "id": "", "colour": "x", "email": {"join": "nowhere", "column": {"sql": ""}, "by": 1}},
	"lines": {"table": "\"lines", "id": "id", "cart": "cart", "where": 1, "sku": {"sql": "a", "join": "b"}, "quantity": "quantity"}, "orders": [], "watch": {}, "money": "cents",
	"settle": "soon", "always": "yes", "on_delete": "shrug", "restore_url": "javascript:alert({id})", "completed": true}', shop => 'att-a');
SELECT * FROM incomplete_orders.attach('main', mapping => jsonb_set(:'m', '{settle}', '"2 hours"'), shop => 'att-a');
-- The same as rows.
SELECT * FROM incomplete_orders.attach('main', mapping => :'m'::jsonb - 'money' || '{"cart": {"table": "nothing", "id": "id"}}', shop => 'att-a', dry_run => true);
-- What does not fit the tables: columns, types, joins, predicates.
SELECT check_name, result FROM incomplete_orders.attach('main', mapping => :'m'::jsonb || '{
	"cart": {"table": "\"Carts\"", "id": "id", "currency": "curr", "email": {"join": "buyers", "on": "buyers.id = cart.\"Buyer\"", "column": "email"}, "updated_at": "state"},
	"lines": {"table": "lines", "id": "id", "cart": "cart", "sku": "sku", "quantity": "kind", "unit_price": {"sql": "price::text"}, "where": "line.kind"},
	"completed": "cart.state = 5 AND false", "in_progress": "count(*) > 1", "superseded": "generate_series(1, 2) > 1", "total": {"join": "goods", "on": "true", "column": "sku"}}',
	shop => 'att-a', dry_run => true) WHERE result LIKE 'FAULT%';
SELECT check_name, result FROM incomplete_orders.attach('main', mapping => :'m'::jsonb || '{"lines": {"table": "lines", "id": "id", "cart": "CART", "sku": "kind", "quantity": "quantity", "unit_price": "price"},
	"watch": [{"table": "buyers", "column": "ID", "cart": "Buyer"}]}', shop => 'att-a', dry_run => true) WHERE result LIKE 'FAULT%';
-- Views see no writes; tables of ours are no shop's.
SELECT check_name, result FROM incomplete_orders.attach('main', mapping => jsonb_set(:'m', '{cart,table}', '"cart_view"'), shop => 'att-a', dry_run => true) WHERE result LIKE 'FAULT%';
SELECT check_name, result FROM incomplete_orders.attach('main', mapping => jsonb_set(:'m', '{watch,0,table}', '"incomplete_orders.open_orders"'), shop => 'att-a', dry_run => true) WHERE result LIKE 'FAULT%';
SELECT check_name, result FROM incomplete_orders.attach('main', mapping => jsonb_set(:'m', '{watch,0,table}', '"pg_catalog.pg_class"'), shop => 'att-a', dry_run => true) WHERE result LIKE 'FAULT%';
-- Nothing that says when a cart is bought.
SELECT * FROM incomplete_orders.attach('main', mapping => :'m'::jsonb - 'completed', shop => 'att-a');
SELECT count(*) FROM incomplete_orders.attach('main', mapping => :'m'::jsonb - 'completed' || '{"on_delete": "converted"}', shop => 'att-a', dry_run => true) WHERE result LIKE 'FAULT%';
SELECT check_name, result FROM incomplete_orders.attach('main', mapping => :'m'::jsonb - 'completed' || '{"orders": {"table": "purchases", "cart": "cart", "order": "number", "live": "NOT purchases.void"}}',
	shop => 'att-a', dry_run => true) WHERE check_name LIKE '%purchases' OR result LIKE 'FAULT%';
RESET ROLE;
-- A predicate is one expression: nothing ends the query around it.
SELECT e.expression, incomplete_orders._expression_fault(e.expression) IS NOT NULL AS refused FROM unnest(ARRAY[
	'true', 'a) OR (b', 'true); DROP TABLE x; --', 'true; SELECT 1', '1 AS x', '1 x', '*', 'cart.*', 'a, b', 'a FROM b', 'a UNION SELECT 1', 'SELECT 1', 'a WHERE true', 'a ORDER BY b',
	'a LIMIT 1', 'a FOR UPDATE', 'a INTO b', 'DISTINCT a', 'a GROUP BY b', 'a HAVING b', 'a /* b', '''a', '"a', '$a$ b', 'x = $1', '(SELECT $2)', '', ' ', '--', 'a -- b', 'a := b',
	'(SELECT 1)', 'a IN (SELECT b FROM c)', E'a\nOR b', 'cart.state = ''a;b''']) WITH ORDINALITY e (expression, n) ORDER BY n;

-- --- rights on tables ---
-- TRIGGER on what is watched and SELECT on what is read is enough; without SELECT it is not.
GRANT USAGE ON SCHEMA att TO regress_triggers;
GRANT TRIGGER ON att."Carts", att.lines, att.buyers TO regress_triggers;
GRANT SELECT ON att."Carts", att.lines, att.goods TO regress_triggers;
GRANT SELECT (id) ON att.buyers TO regress_triggers;
SET ROLE regress_triggers;
SET search_path = att;
SELECT * FROM incomplete_orders.attach('main', mapping => :'m');
RESET ROLE;
GRANT SELECT (id, "eMail") ON att.buyers TO regress_triggers;
SET ROLE regress_triggers;
SELECT * FROM incomplete_orders.attach('main', mapping => :'m'::jsonb || '{"always": true}');
SELECT count(*) FROM incomplete_orders.attach('lent', mapping => :'m') WHERE check_name LIKE 'trigger%';
-- Its owner only can drop the triggers: what is left is said, and nothing is held up by it.
SELECT action, regexp_replace(object, 'mark_[0-9]+', 'mark_N', 'g') AS object FROM incomplete_orders.detach('lent');
SET ROLE regress_shopkeeper;
INSERT INTO att."Carts" VALUES (9, NULL, 'eur', 'open');
DELETE FROM att."Carts" WHERE id = 9;
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT tgname, tgrelid::regclass AS rel FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%' LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.rel);
	END LOOP;
END
$$;
-- A superuser reads tables, and no views: what these call would run as the superuser.
RESET ROLE;
CREATE VIEW att.good_view AS SELECT * FROM att.goods;
SELECT check_name, result FROM incomplete_orders.attach('root', mapping => jsonb_set(:'m', '{lines,sku,join}', '"good_view"'), shop => 'att-a', dry_run => true) WHERE check_name IN ('role', 'lines.sku.join');
SET ROLE regress_shopkeeper;

-- --- attach ---
-- Dry: checks and samples, and nothing is there after it.
SELECT check_name, result FROM incomplete_orders.attach('main', mapping => :'m', shop => 'att-a', dry_run => true);
SELECT count(*) FROM incomplete_orders.attachments;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%';
SELECT regexp_replace(check_name, '[0-9]+', 'N') AS check_name, regexp_replace(result, 'mark_[0-9]+', 'mark_N') AS result
FROM incomplete_orders.attach('main', mapping => :'m', shop => 'att-a') WHERE check_name ~ '^(trigger|backfill)';
SELECT name, shop, preset, tables, role, state, problem, waiting, last_read_at FROM incomplete_orders.attachments;
SELECT cart_key, cart ->> 'email' AS email, cart ->> 'currency' AS currency, cart -> 'items' AS items FROM incomplete_orders.sample_attachment('main') ORDER BY 1;
SELECT count(*) FROM incomplete_orders.sample_attachment('main', 1);
SELECT count(*) FROM incomplete_orders.sample_attachment('main', -1);
-- Where tables without a schema are was decided when it was attached.
RESET search_path;
SELECT count(*) FROM incomplete_orders.sample_attachment('main');
-- The same name again changes it in place.
SELECT attachment AS before FROM incomplete_orders.attachments \gset
SET search_path = att;
SELECT count(*) > 0 AS changed FROM incomplete_orders.attach('main', mapping => :'m'::jsonb - 'watch' || '{"settle": "1 min"}', shop => 'att-a');
SELECT attachment = :before AS same, tables, mapping ? 'watch' AS watches FROM incomplete_orders.attachments;
SELECT tgrelid::regclass, count(*), string_agg(DISTINCT tgenabled::text, '') AS enabled FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%' GROUP BY 1 ORDER BY 1;
SELECT count(*) > 0 AS changed FROM incomplete_orders.attach('main', mapping => :'m'::jsonb || '{"always": true}', shop => 'att-a');
SELECT tgrelid::regclass, count(*), string_agg(DISTINCT tgenabled::text, '') AS enabled FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%' GROUP BY 1 ORDER BY 1;
SELECT count(*) > 0 AS changed FROM incomplete_orders.attach('main', mapping => :'m', shop => 'att-a');
SELECT tgrelid::regclass, count(*), string_agg(DISTINCT tgenabled::text, '') AS enabled FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%' GROUP BY 1 ORDER BY 1;

-- --- what makes writes pass by unseen ---
RESET ROLE;
SELECT value, advice FROM incomplete_orders.health() WHERE check_name = 'attached tables';
BEGIN;
ALTER TABLE att.lines RENAME TO old_lines;
CREATE TABLE att.lines (LIKE att.old_lines);
ALTER TABLE att."Carts" DISABLE TRIGGER USER;
DROP TABLE att.buyers CASCADE;
SELECT state, replace(value, '; ', E'\n') AS value, advice FROM incomplete_orders.health() WHERE check_name = 'attached tables';
ROLLBACK;
BEGIN;
ALTER TABLE att.lines DROP COLUMN cart;
SELECT state, value FROM incomplete_orders.health() WHERE check_name = 'attached tables';
ROLLBACK;
-- A column of another type: the queries are made anew. Where something is missing they stay.
BEGIN;
SELECT incomplete_orders._renew_queries(:before);
DROP VIEW att.cart_view;
ALTER TABLE att."Carts" ALTER COLUMN id TYPE bigint;
SELECT incomplete_orders._renew_queries(:before), incomplete_orders._renew_queries(:before);
SELECT count(*) FROM incomplete_orders.sample_attachment('main');
ALTER TABLE att."Carts" RENAME COLUMN id TO nr;
SELECT incomplete_orders._renew_queries(:before), incomplete_orders._renew_queries(0);
ROLLBACK;
SET ROLE regress_shopkeeper;

-- --- names in more than one shop; other shops see nothing ---
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('main', mapping => :'m', shop => 'att-b');
SELECT incomplete_orders.reconcile('main');
SELECT incomplete_orders.reconcile('main', 'att-b');
SELECT incomplete_orders.reconcile('none');
SET ROLE regress_other;
SELECT name, shop FROM incomplete_orders.attachments;
SELECT incomplete_orders.reconcile('main');
SELECT incomplete_orders.reconcile('main', 'att-a');
SELECT * FROM incomplete_orders.sample_attachment('main', shop => 'att-a');
SELECT * FROM incomplete_orders.detach('main', 'att-a');
SET ROLE regress_clerk;
SELECT * FROM incomplete_orders.attachments;

-- --- what neither admin nor attachment lends ---
-- Who may administer the shop, and not the tables, reads them by sample_attachment as
-- who attached does: that is what admins are for; a role that is no admin any more reads nothing.
RESET ROLE;
SELECT incomplete_orders.revoke_from('regress_shopkeeper', 'admin', 'att-b');
SET ROLE regress_other;
SELECT * FROM incomplete_orders.sample_attachment('main');
-- Another admin of the shop can end it: the triggers go as who attached made them.
SELECT regexp_replace(object, 'mark_[0-9]+', 'mark_N') AS object, action FROM incomplete_orders.detach('main');
RESET ROLE;

-- --- detach ---
SELECT attachment AS a, shop_id AS s FROM incomplete_orders.attached_tables \gset
CREATE TABLE att.held AS SELECT incomplete_orders.capture_cart('att-1', '[{"sku":"A","quantity":1,"unit_price":1}]', email => 'x@example.com', shop => 'att-a') AS id,
	incomplete_orders.capture_cart('att-2', '[{"sku":"A","quantity":1,"unit_price":1}]', shop => 'att-a') AS other;
UPDATE incomplete_orders.open_orders SET attachment = :a, cart_key = 'x' WHERE id = (SELECT id FROM att.held);
SET ROLE regress_shopkeeper;
-- tables that were renamed, or are gone
ALTER TABLE att.lines RENAME TO older_lines;
DROP TABLE att.buyers CASCADE;
SELECT * FROM incomplete_orders.sample_attachment('main');
SELECT regexp_replace(object, 'mark_[0-9]+', 'mark_N') AS object, action FROM incomplete_orders.detach('main');
SELECT * FROM incomplete_orders.detach('main');
RESET ROLE;
SELECT o.status, o.close_reason, o.session_id FROM incomplete_orders.incomplete_orders o WHERE session_id LIKE 'att-_' ORDER BY session_id;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%';
SELECT count(*) FROM incomplete_orders.due_carts;

-- --- links in mails lead to the shop's own cart ---
SELECT incomplete_orders._url_part(E'a b/\u00fc%1~'), incomplete_orders._url_part('');
SELECT incomplete_orders.configure_shop('att-b', '{"consent_rule": "none", "base_url": "https://mail.example/", "from_email": "a@b.example", "postal_address": "x", "restore_url": "https://b.example/?{token}"}');
SELECT incomplete_orders.grant_to('regress_shopkeeper', 'admin', 'att-b');
SET ROLE regress_shopkeeper;
CREATE TABLE att.parcels (id text PRIMARY KEY, mail text, token text, paid boolean);
CREATE TABLE att.parcel_lines (id integer PRIMARY KEY, parcel text, sku text, quantity integer, price numeric);
CREATE INDEX ON att.parcel_lines (parcel);
INSERT INTO att.parcels VALUES ('p/1', 'p@example.com', 'a&b', false);
INSERT INTO att.parcel_lines VALUES (1, 'p/1', 'A', 2, 5);
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('parcels', shop => 'att-b', mapping => '{"schema": "att", "cart": {"table": "parcels", "id": "id", "email": "mail", "session": "token"},
	"lines": {"table": "parcel_lines", "id": "id", "cart": "parcel", "sku": "sku", "quantity": "quantity", "unit_price": "price"}, "money": "major", "completed": "cart.paid",
	"restore_url": "https://b.example/cart?id={id}&s={session}"}');
RESET ROLE;
CALL incomplete_orders.tick(NULL, now() + interval '1 minute') \gset
SELECT id AS parcel FROM incomplete_orders.incomplete_orders WHERE cart_key = 'p/1' \gset
SELECT incomplete_orders.mark_abandoned(:'parcel');
SELECT incomplete_orders.send_recovery_email(:'parcel') AS message \gset
SELECT t.restore FROM incomplete_orders._link_tokens(:'message', now()) t \gset
SELECT restore_url, items FROM incomplete_orders.preview_cart(:'restore');
-- It stays where it is, open or closed: nothing is put into another session.
SELECT id = :'parcel' AS same, items, session FROM incomplete_orders.restore_cart(:'restore', 'elsewhere');
SELECT status, session_id FROM incomplete_orders.incomplete_orders WHERE shop = 'att-b';
SELECT incomplete_orders.dismiss_order(:'parcel');
SELECT id = :'parcel' AS same, items, session FROM incomplete_orders.restore_cart(:'restore', 'elsewhere');
SELECT status, session_id FROM incomplete_orders.incomplete_orders WHERE shop = 'att-b';
-- What an attachment that is gone has left is like any other cart.
SELECT count(*) FROM incomplete_orders.detach('parcels');
SELECT restore_url FROM incomplete_orders.preview_cart(:'restore');
SELECT id = :'parcel' AS same, items, session FROM incomplete_orders.restore_cart(:'restore', 'elsewhere');

-- --- with its shop ---
SET ROLE regress_shopkeeper;
ALTER TABLE att.older_lines RENAME TO lines;
SET search_path = att;
SELECT '{"cart": {"table": "\"Carts\"", "id": "id"}, "lines": {"table": "lines", "id": "id", "cart": "cart", "quantity": "quantity", "unit_price": "price", "sku": "kind"},
	"money": "major", "completed": "cart.state = ''bought''"}' AS small \gset
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('small', mapping => :'small', shop => 'att-a');
-- Lines without an id of their own stand in the order of their sku.
INSERT INTO "Carts" (id) VALUES (77);
INSERT INTO lines (id, cart, kind, quantity, price) VALUES (777, 77, 'b', 1, 2), (778, 77, 'a', 1, 1);
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('small', mapping => :'small'::jsonb #- '{lines,id}', shop => 'att-a');
SELECT cart -> 'items' AS items FROM incomplete_orders.sample_attachment('small', 100) WHERE cart_key = '77';
DELETE FROM lines WHERE cart = 77;
DELETE FROM "Carts" WHERE id = 77;
RESET search_path;
RESET ROLE;
SELECT export_shop ->> 'table' AS exported, export_shop -> 'row' ->> 'name' AS name FROM incomplete_orders.export_shop('att-a') WHERE export_shop ->> 'table' = 'attached_tables';
DELETE FROM incomplete_orders.shops WHERE shop = 'att-a';
-- After a restore the oids are those of another server: found again by name, and by our triggers.
UPDATE incomplete_orders.attached_tables SET role_oid = 1, cluster_id = 1, tables = replace(tables::text, '"relation": ', '"relation": 9')::jsonb;
SELECT incomplete_orders.setup();
SELECT role_oid = 'regress_shopkeeper'::regrole AS role, cluster_id = incomplete_orders._cluster_id() AS cluster, tables #>> '{0,relation}' = 'att."Carts"'::regclass::oid::text AS carts,
	tables #>> '{1,relation}' = 'att.lines'::regclass::oid::text AS lines FROM incomplete_orders.attached_tables;
SELECT regexp_replace(object, 'mark_[0-9]+', 'mark_N') AS object, action FROM incomplete_orders.delete_shop('att-a', false) WHERE object ~ '^(trigger|attachment|[1-9])';
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'incomplete\_orders\_mark%';
SELECT count(*) >= 0 AS deleted FROM incomplete_orders.delete_shop('att-b', false);
DROP SCHEMA att CASCADE;
SELECT incomplete_orders.revoke_from(r, 'admin') FROM unnest(ARRAY['regress_shopkeeper', 'regress_other', 'regress_triggers']::name[]) r;
DROP ROLE regress_shopkeeper, regress_other, regress_triggers, regress_clerk;

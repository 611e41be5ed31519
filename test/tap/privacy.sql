-- The one list of personal data: every column that may hold somebody's words,
-- addresses or hashes is on it, or is known to hold nothing of a customer.
\set QUIET on
BEGIN;
SELECT no_plan();

-- Who adds a column decides: on the list of _personal_data(), or here.
CREATE TEMP TABLE impersonal (relation text, columns text);
INSERT INTO impersonal VALUES
	-- of the order: codes and numbers of the shop's
	('open_orders', 'reference currency'),
	('closed_orders', 'reference currency'),
	('orders', 'order_number foreign_order currency idempotency_key'),
	('order_items', 'sku name product_id variant image_url url'),
	('order_refunds', 'idempotency_key'),
	-- facts for reports: codes; actor is a role
	('order_events', 'event actor currency reason_code device source campaign variant'),
	('order_event_tail', 'event currency reason_code device source campaign variant'),
	('order_notes', 'actor'),
	-- what is sent, and why not
	('campaigns', 'campaign'),
	('campaign_steps', 'campaign message_type template'),
	('step_variants', 'campaign variant template'),
	('coupons', 'campaign kind currency former_type former_template'),
	('issued_coupons', 'code kind currency'),
	('coupon_persons', 'code'),
	('templates', 'template locale subject preheader headline body button footer'),
	('messages', 'campaign variant message_type template claimed_by mail_message_id reason idempotency_key'),
	('message_skips', 'campaign reason'),
	('suppressions', 'scope reason'),
	('consents', 'purpose status'),
	-- ids of carts, for as long as these wait to be read
	('cart_marks', 'key'),
	('due_carts', 'key sqlstate problem'),
	-- of the shop and the server
	('attached_tables', 'name preset mapping role_name tables read_query list_query key_queries restore_url state problem problem_sqlstate list_after'),
	('secret_keys', 'purpose secret'),
	('heartbeats', 'job report'),
	('hook_failures', 'hook sqlstate'),
	('shop_members', 'role_name purpose granted_by'),
	('shops', 'shop name currency time_zone locale base_url restore_url from_email reply_to postal_address logo_url colour consent_rule
		availability availability_role payment_state payment_state_role allowed_origins');
CREATE TEMP VIEW may_be_personal AS
	SELECT c.relname AS relation, a.attname AS column_name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
	WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
		AND (t.typcategory = 'S' OR t.typname IN ('json', 'jsonb', 'bytea', 'line_items', 'inet', 'cidr', 'xml', 'hstore', 'tsvector')
			-- arrays of such; a person by hash
			OR t.typcategory = 'A' AND t.typname NOT IN ('_int4', '_int8', '_uuid') OR a.attname = 'person');
SELECT is_empty('SELECT relation, column_name FROM may_be_personal EXCEPT (SELECT relation, column_name FROM incomplete_orders._personal_data()
	UNION SELECT relation, c FROM impersonal, regexp_split_to_table(columns, ''\s+'') c)', 'every column that may hold personal data is on the list, or known to hold none');
SELECT is_empty('SELECT relation, column_name FROM incomplete_orders._personal_data() EXCEPT SELECT relation, column_name FROM may_be_personal',
	'the list names no column that is not there');
SELECT is_empty('SELECT relation, c FROM impersonal, regexp_split_to_table(columns, ''\s+'') c EXCEPT SELECT relation, column_name FROM may_be_personal',
	'nor does the other');
SELECT is_empty('SELECT relation, column_name FROM incomplete_orders._personal_data()
	INTERSECT SELECT relation, c FROM impersonal, regexp_split_to_table(columns, ''\s+'') c', 'none is on both');

-- What the list says can be done.
SELECT is_empty($$SELECT * FROM incomplete_orders._personal_data() WHERE erasure NOT IN
	('null', 'empty', 'row deleted', 'extras stripped', 'keys stripped', 'null unless awaited', 'null without money', 'removed', 'kept')$$, 'each has a way to be erased, or is kept');
SELECT is_empty($$SELECT p.* FROM incomplete_orders._personal_data() p JOIN pg_attribute a ON a.attrelid = ('incomplete_orders.' || p.relation)::regclass AND a.attname = p.column_name
	WHERE p.erasure LIKE 'null%' AND a.attnotnull$$, 'what is set to null may be null');
SELECT is_empty('SELECT relation FROM incomplete_orders._personal_data() GROUP BY relation HAVING count(DISTINCT (found_by, key)) > 1', 'one way leads to the rows of a relation');
SELECT is_empty($$SELECT relation FROM incomplete_orders._personal_data() GROUP BY relation HAVING bool_or(erasure = 'row deleted') AND NOT bool_and(erasure = 'row deleted')$$,
	'a row is deleted or it is not');
SELECT is_empty($$SELECT p.* FROM incomplete_orders._personal_data() p WHERE NOT EXISTS (SELECT FROM pg_attribute a
	WHERE a.attrelid = ('incomplete_orders.' || p.relation)::regclass AND a.attname = p.key) OR incomplete_orders._found_by(p.found_by, p.key) IS NULL$$, 'and the key is there');
SELECT set_eq($$SELECT DISTINCT relation, column_name FROM incomplete_orders._personal_data() WHERE erasure = 'kept'$$,
	$$VALUES ('open_orders', 'cart_key'), ('closed_orders', 'cart_key'), ('suppressions', 'person'), ('past_recipients', 'person')$$,
	'what is kept: hashes that stop mails, and the number of the shop''s own cart');

-- Consents are only added.
SELECT incomplete_orders.record_consent('tap@example.com', 'granted') AS fresh \gset
SELECT throws_ok('UPDATE incomplete_orders.consents SET status = ''withdrawn''', 'IC012', 'a consent is neither changed nor deleted', 'a consent is not changed');
SELECT throws_ok('DELETE FROM incomplete_orders.consents', 'IC012', 'a consent is neither changed nor deleted', 'nor deleted');
SELECT throws_ok('TRUNCATE incomplete_orders.consents', 'IC012', NULL, 'nor truncated');
SELECT hasnt_column('incomplete_orders', 'consents', 'email', 'they know no address');
SELECT is_empty($$SELECT * FROM incomplete_orders.consents c WHERE c::text LIKE '%tap@example%'$$, 'also not in their words');

SELECT * FROM finish();
ROLLBACK;

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
	('order_outcomes', 'outcome currency hour value step reason device source minutes campaign variant products'),
	('rollup_states', 'currency'),
	('rollup_episodes', 'question currency bucket'),
	('rollup_messages', 'campaign variant currency'),
	('rollup_arms', 'currency'),
	('rollup_products', 'currency product'),
	('rollup_recovered_products', 'currency product'),
	('product_names', 'product name'),
	('person_arms', 'currency'),
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
	('webhooks', 'webhook url events'),
	('webhook_deliveries', 'webhook status event claimed_by problem facts'),
	('shop_secrets', 'purpose name secret former'),
	('heartbeats', 'job report'),
	('hook_failures', 'hook sqlstate'),
	('shop_members', 'role_name purpose granted_by'),
	('shops', 'shop name currency time_zone locale words base_url restore_url from_email reply_to postal_address logo_url colour consent_rule
		availability availability_role payment_state payment_state_role allowed_origins image_hosts page_prices publishable_key former_key');
-- What these say is the same wherever they stand: which row, when, how many, how much.
CREATE TEMP TABLE neutral AS SELECT regexp_split_to_table('shop_id id order_id root_id message_id event_id note_id skip_id consent_id key_id incomplete_order_id continues_id order_ref used_by attachment
	role_oid cluster_id database_oid xid snapshot segment path list_phase list_mark always settle marked_at first_marked_at drained_at drained_by attached_at last_read_at retry_at problem_at request_hash token version episode step sequence_step ordinal line part refund attempts failures recovery_attempts weight
	at created_at changed_at recorded_at last_activity_at next_action_at next_message_at expires_at abandoned_at lost_at closed_at converted_at paid_at refunded_at last_recovery_at payment_deadline
	starts_at failing_since former_until http_status not_before due_at queued_at give_up_at sent_at delivered_at opened_at clicked_at replied_at bounced_at complained_at unsubscribed_at issued_at used_at ordered_at assigned_at drawn_for drawn_at counted granted_at failed_at former_key_until
	day paid_day message_step revenue kept
	kind status status_before status_after furthest_step bot late paid holdout machine enabled contact active
	shipping tax discount coupon_discount total refunded amount value item_count quantity unit_price minimum_value cost paid_amount refund_amount coupon_cost
	delay valid_for cool_down cut_off expiry retention attribution_window min_gap cap_per_episode cap_per_person quiet_from quiet_to', '\s+') AS column_name;
CREATE TEMP VIEW all_columns AS
	SELECT c.relname AS relation, a.attname AS column_name, t.typcategory = 'S' OR t.typname IN ('json', 'jsonb', 'bytea', 'line_items', 'inet', 'cidr', 'xml', 'hstore', 'tsvector')
			-- arrays of such; a person by hash
			OR t.typcategory = 'A' AND t.typname NOT IN ('_int4', '_int8', '_uuid') OR a.attname = 'person' AS may_be
	-- in rollups a number is a sum
	FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
	WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped;
CREATE TEMP VIEW may_be_personal AS SELECT relation, column_name FROM all_columns WHERE may_be;
SELECT is_empty('SELECT relation, column_name FROM all_columns WHERE NOT may_be AND relation NOT LIKE ''rollup\_%'' AND column_name NOT IN (SELECT column_name FROM neutral)
	EXCEPT SELECT relation, column_name FROM incomplete_orders._personal_data()', 'a number or date that is new is on the list, or known to say nothing of a person: none can be a phone or a birthday');
SELECT is_empty('SELECT column_name FROM neutral EXCEPT SELECT column_name FROM all_columns WHERE NOT may_be', 'and what is known is there');
SELECT is_empty('SELECT relation, column_name FROM may_be_personal EXCEPT (SELECT relation, column_name FROM incomplete_orders._personal_data()
	UNION SELECT relation, c FROM impersonal, regexp_split_to_table(columns, ''\s+'') c)', 'every column that may hold personal data is on the list, or known to hold none');
SELECT is_empty('SELECT relation, column_name FROM incomplete_orders._personal_data() EXCEPT SELECT relation, column_name FROM may_be_personal',
	'the list names no column that is not there');
SELECT is_empty('SELECT relation, c FROM impersonal, regexp_split_to_table(columns, ''\s+'') c EXCEPT SELECT relation, column_name FROM may_be_personal',
	'nor does the other');
SELECT is_empty('SELECT relation, column_name FROM incomplete_orders._personal_data()
	INTERSECT SELECT relation, c FROM impersonal, regexp_split_to_table(columns, ''\s+'') c', 'none is on both');

-- A column that somebody adds is noticed, of whatever type.
ALTER TABLE incomplete_orders.orders ADD COLUMN birthday date;
ALTER TABLE incomplete_orders.shops ADD COLUMN owner_phone bigint;
ALTER TABLE incomplete_orders.closed_orders ADD COLUMN remark text;
CREATE TABLE incomplete_orders.friends (shop_id integer, friend text, since date);
SELECT set_eq('SELECT relation, column_name FROM all_columns WHERE NOT may_be AND relation NOT LIKE ''rollup\_%'' AND column_name NOT IN (SELECT column_name FROM neutral)', $$VALUES ('orders', 'birthday'), ('shops', 'owner_phone'), ('friends', 'since')$$, 'numbers and dates');
SELECT set_eq('SELECT relation, column_name FROM may_be_personal EXCEPT (SELECT relation, column_name FROM incomplete_orders._personal_data()
	UNION SELECT relation, c FROM impersonal, regexp_split_to_table(columns, ''\s+'') c)', $$VALUES ('closed_orders', 'remark'), ('friends', 'friend')$$, 'and texts');
ALTER TABLE incomplete_orders.orders DROP COLUMN birthday;
ALTER TABLE incomplete_orders.shops DROP COLUMN owner_phone;
ALTER TABLE incomplete_orders.closed_orders DROP COLUMN remark;
DROP TABLE incomplete_orders.friends;

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
SELECT throws_ok('TRUNCATE incomplete_orders.consents', 'IC012', 'a consent is neither changed nor deleted', 'nor truncated');
SELECT hasnt_column('incomplete_orders', 'consents', 'email', 'they know no address');
SELECT is_empty($$SELECT * FROM incomplete_orders.consents c WHERE c::text LIKE '%tap@example%'$$, 'also not in their words');

SELECT * FROM finish();
ROLLBACK;

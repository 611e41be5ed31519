-- A role of one shop can read, write, count or infer nothing of another, through
-- any function or view; and nobody's search_path has any effect on ours.
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('ten-a', 'Victim') AS a \gset
UPDATE incomplete_orders.shops SET image_hosts = '{https://ten-a.example}' WHERE shop = 'ten-a';
SELECT incomplete_orders.create_shop('ten-b', 'Other') AS b \gset
UPDATE incomplete_orders.shops SET consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00' WHERE shop_id IN (:a, :b);
CREATE ROLE regress_ten_b;
SELECT incomplete_orders.grant_to('regress_ten_b', p, 'ten-b') FROM unnest(ARRAY['app', 'sender', 'analyst', 'admin']) p;

-- The same in both shops: two open orders, a partial one, a completed one, a note, a refund.
CREATE SCHEMA ten;
GRANT USAGE ON SCHEMA ten TO regress_ten_b;
CREATE TABLE ten.made AS
SELECT shop, incomplete_orders.capture_cart('ten-1', '[{"sku":"A","quantity":2,"unit_price":"19.90"}]', email => 'ten@example.com',
		customer_id => 'ten-c', phone => '+1 555 0100', shop => shop) AS id,
	incomplete_orders.capture_cart('ten-2', '[{"sku":"B","quantity":1,"unit_price":"5"}]', email => 'ten@example.com', shop => shop) AS sold,
	incomplete_orders.capture_cart('ten-3', '[{"sku":"C","quantity":3,"unit_price":"7"}]', shop => shop) AS other
FROM unnest(ARRAY['ten-a', 'ten-b']) shop;
ALTER TABLE ten.made ADD COLUMN order_id uuid;
UPDATE ten.made m SET order_id = (SELECT c.order_id FROM incomplete_orders.convert_order(m.sold, order_number => 'N-1', idempotency_key => 'k') c);
SELECT count(incomplete_orders.record_refund(order_id, 1, 'r')) AS refunds, count(incomplete_orders.add_note(id, 'secret')) AS notes FROM ten.made;
-- a recovery message that went out for the first of them
INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at, sent_at)
SELECT incomplete_orders.shop_of(id), incomplete_orders._new_id(incomplete_orders.shop_of(id)), now(), 'sent', id, id, 1, 1, 'abandoned_cart', 'cart_abandoned',
	'ten@example.com', now(), now() + interval '5 days', now() FROM ten.made;
ALTER TABLE ten.made ADD COLUMN message uuid;
UPDATE ten.made t SET message = m.id FROM incomplete_orders.messages m WHERE m.order_id = t.id;
SELECT count(r.order_id) AS recorded FROM ten.made m, incomplete_orders.record_order('F-1', total => 3, currency => 'USD', shop => m.shop) r;

-- a webhook that has given up one delivery
INSERT INTO incomplete_orders.webhooks (shop_id, webhook, url, events, starts_at, changed_at)
SELECT s.shop_id, 'ten-hook', 'https://ten.example/hook', '{abandoned}', now(), now() FROM incomplete_orders.shops s JOIN ten.made USING (shop);
INSERT INTO incomplete_orders.webhook_deliveries (shop_id, id, webhook, due_at, status, token, event, at, queued_at, facts)
SELECT w.shop_id, incomplete_orders._new_id(w.shop_id), w.webhook, now(), 'dead', 1, 'ping', now(), now(), '{}' FROM incomplete_orders.webhooks w WHERE w.webhook = 'ten-hook';

-- pages with a key
SELECT count(incomplete_orders.rotate_publishable_key(shop)) AS keys FROM ten.made;

-- an attachment of the same tables in both
CREATE TABLE ten.carts (id integer PRIMARY KEY, done boolean);
CREATE TABLE ten.lines (id integer PRIMARY KEY, cart integer, sku text, quantity integer, price numeric);
ALTER TABLE ten.carts OWNER TO regress_ten_b;
ALTER TABLE ten.lines OWNER TO regress_ten_b;
INSERT INTO ten.carts VALUES (1, false);
\set mapping '{"cart": {"table": "ten.carts", "id": "id"}, "lines": {"table": "ten.lines", "id": "id", "cart": "cart", "sku": "sku", "quantity": "quantity", "unit_price": "price"}, "money": "major", "completed": "cart.done"}'
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('ten-att', mapping => :'mapping', shop => 'ten-a');
SET ROLE regress_ten_b;
SELECT count(*) > 0 AS attached FROM incomplete_orders.attach('ten-att', mapping => :'mapping');
RESET ROLE;

-- How each function and view is called for somebody's order or shop:
-- {id} open, {sold} converted, {other} open, {order} its order, {shop},
-- {key} of the pages, {delivery} of its webhook, {message} one that was sent, {restore} and so on: the tokens of its links.
CREATE TABLE ten.calls (n integer GENERATED ALWAYS AS IDENTITY, object text, call text);
INSERT INTO ten.calls (object, call) VALUES
	('attach', 'SELECT a.check_name FROM incomplete_orders.attach(''ten-new'', mapping => ''' || :'mapping' || ''', shop => {shop}) a'),
	('attach', 'SELECT a.check_name FROM incomplete_orders.attach(''ten-att'', mapping => ''' || :'mapping' || ''', shop => {shop}) a'),
	('attach', 'SELECT a.check_name FROM incomplete_orders.attach(''ten-new'', ''spree'', shop => {shop}, dry_run => true) a'),
	('attach_mapping', 'SELECT pg_catalog.jsonb_typeof(incomplete_orders.attach_mapping(''vendure''))'),
	('reconcile', 'SELECT incomplete_orders.reconcile(''ten-att'', {shop})'),
	('sample_attachment', 'SELECT s.cart_key FROM incomplete_orders.sample_attachment(''ten-att'', shop => {shop}) s'),
	('detach', 'SELECT d.action FROM incomplete_orders.detach(''ten-att'', {shop}) d'),
	('attachments', 'SELECT a.name, a.tables FROM incomplete_orders.attachments a WHERE a.shop OPERATOR(pg_catalog.=) {shop}'),
	('_mark_cart', 'SELECT incomplete_orders._mark_cart()::pg_catalog.text'),
	('_tick_marks', 'SELECT incomplete_orders._tick_marks(0, false)'),
	('_tick_attachments', 'SELECT * FROM incomplete_orders._tick_attachments(ARRAY[incomplete_orders.shop_of({id})], pg_catalog.now())'),
	('_tick_carts', 'SELECT t.free FROM incomplete_orders._tick_carts({attachment}, pg_catalog.now(), 10) t'),
	('setup', 'SELECT incomplete_orders.setup()'),
	('remove', 'SELECT * FROM incomplete_orders.remove(false, false)'),
	('create_shop', 'SELECT incomplete_orders.create_shop({shop}, ''x'')'),
	('configure_shop', 'SELECT incomplete_orders.configure_shop({shop}, ''{"colour": "#000000"}'')'),
	('shop_settings', 'SELECT incomplete_orders.shop_settings({shop})'),
	('list_settings', 'SELECT s.setting, s.value FROM incomplete_orders.list_settings({shop}) s'),
	('list_rights', 'SELECT m.object FROM incomplete_orders.list_rights({shop}) m LIMIT 1'),
	('list_members', 'SELECT m.role FROM incomplete_orders.list_members({shop}) m'),
	('find_attachable', 'SELECT f.preset FROM incomplete_orders.find_attachable({shop}) f'),
	('scheduler_status', 'SELECT s.state OPERATOR(pg_catalog.=) ''none of these'' FROM incomplete_orders.scheduler_status() s'),
	('_tick_every', 'SELECT incomplete_orders._tick_every() OPERATOR(pg_catalog.<) ''0'''),
	('_tick_ended_at', 'SELECT coalesce(incomplete_orders._tick_ended_at(), ''-infinity'') OPERATOR(pg_catalog.=) ''infinity'''),
	('export_shop', 'SELECT * FROM incomplete_orders.export_shop({shop})'),
	('delete_shop', 'SELECT * FROM incomplete_orders.delete_shop({shop}, false)'),
	('grant_to', 'SELECT incomplete_orders.grant_to(''regress_ten_b'', ''admin'', {shop})'),
	('revoke_from', 'SELECT incomplete_orders.revoke_from(''regress_ten_b'', ''admin'', {shop})'),
	('rotate_publishable_key', 'SELECT incomplete_orders.rotate_publishable_key({shop}) OPERATOR(pg_catalog.~) ''^pk_'''),
	('shop_of_key', 'SELECT k.allowed_origins FROM incomplete_orders.shop_of_key({key}) k'),
	('capture_cart', 'SELECT incomplete_orders.capture_cart(''ten-1'', ''[]'', shop => {shop})'),
	('capture_carts', 'SELECT c.n, c.error FROM incomplete_orders.capture_carts(''[{"session_id": "ten-1", "items": []}, {"session_id": "ten-9", "items": []}]'', {shop}) c'),
	('capture_page_cart', 'SELECT incomplete_orders.capture_page_cart(''ten-1'', ''{"step": "payment"}'', shop => {shop})'),
	('save_checkout', 'SELECT incomplete_orders.save_checkout(''ten-1'', ''{"email": "x@example.com"}'', {shop})'),
	('track_abandonment', 'SELECT incomplete_orders.track_abandonment(''ten-1'', shop => {shop})'),
	('track_engagement', 'SELECT incomplete_orders.track_engagement(''ten-1'', 1, 5, 50, {shop})'),
	('record_checkout_error', 'SELECT incomplete_orders.record_checkout_error({id}, ''general'', ''x'')'),
	('identify_cart', 'SELECT incomplete_orders.identify_cart(''ten-1'', ''c'', ''x@example.com'', {shop})'),
	('merge_carts', 'SELECT incomplete_orders.merge_carts(''ten-1'', ''ten-3'', shop => {shop})'),
	('mark_payment_pending', 'SELECT incomplete_orders.mark_payment_pending({id})'),
	('mark_payment_failed', 'SELECT incomplete_orders.mark_payment_failed({id})'),
	('mark_abandoned', 'SELECT incomplete_orders.mark_abandoned({id})'),
	('mark_abandoned', 'SELECT incomplete_orders.mark_abandoned({id}, dry_run => true)'),
	('dismiss_order', 'SELECT incomplete_orders.dismiss_order({id})'),
	('delete_order', 'SELECT incomplete_orders.delete_order({id})'),
	('delete_order', 'SELECT incomplete_orders.delete_order({sold})'),
	('add_note', 'SELECT incomplete_orders.add_note({id}, ''x'') OPERATOR(pg_catalog.>) 0'),
	('mark_abandoned_many', 'SELECT * FROM incomplete_orders.mark_abandoned_many(ARRAY[{id}, {other}])'),
	('dismiss_orders', 'SELECT * FROM incomplete_orders.dismiss_orders(ARRAY[{id}, {sold}])'),
	('delete_orders', 'SELECT * FROM incomplete_orders.delete_orders(ARRAY[{id}, {sold}], dry_run => true)'),
	('convert_orders', 'SELECT c.id, c.result FROM incomplete_orders.convert_orders(ARRAY[{id}, {sold}]) c'),
	('edit_order', 'SELECT incomplete_orders.edit_order({id}, ''{"email": "x@example.com"}'', 1)'),
	('edit_order', 'SELECT incomplete_orders.edit_order({id}, ''{"email": "x@example.com"}'', 999)'),
	('can_convert', 'SELECT * FROM incomplete_orders.can_convert({id})'),
	('can_convert', 'SELECT * FROM incomplete_orders.can_convert({sold})'),
	('convert_order', 'SELECT c.total FROM incomplete_orders.convert_order({id}) c'),
	('convert_order', 'SELECT c.total FROM incomplete_orders.convert_order({sold}) c'),
	('convert_order', 'SELECT c.total FROM incomplete_orders.convert_order({other}, ''[{"sku":"C","quantity":1,"unit_price":"7"}]'', idempotency_key => ''k'') c'),
	('record_order', 'SELECT c.total FROM incomplete_orders.record_order(''F-1'', shop => {shop}) c'),
	('record_order', 'SELECT c.total FROM incomplete_orders.record_order(''F-2'', {id}, total => 1, currency => ''USD'') c'),
	('record_payment', 'SELECT incomplete_orders.record_payment({order})'),
	('record_refund', 'SELECT incomplete_orders.record_refund({order}, 1, ''r'')'),
	('find_orders', 'SELECT f.id FROM incomplete_orders.find_orders(''ten@example.com'', {shop}) f'),
	('list_orders', 'SELECT l.id FROM incomplete_orders.list_orders({shop}) l'),
	('count_orders', 'SELECT c.count FROM incomplete_orders.count_orders({shop}) c'),
	('show_order', 'SELECT incomplete_orders.show_order({id}) OPERATOR(pg_catalog.->) ''items'''),
	('list_messages', 'SELECT m.recipient FROM incomplete_orders.list_messages({shop}) m'),
	('list_messages', 'SELECT m.recipient FROM incomplete_orders.list_messages(id => {id}) m'),
	('list_messages', 'SELECT m.recipient FROM incomplete_orders.list_messages(message_id => {message}) m'),
	('list_events', 'SELECT e.event, e.value FROM incomplete_orders.list_events({shop}) e'),
	('list_events', 'SELECT e.event, e.value FROM incomplete_orders.list_events(id => {id}) e'),
	('list_items', 'SELECT i.sku FROM incomplete_orders.list_items({shop}) i'),
	('list_items', 'SELECT i.sku FROM incomplete_orders.list_items(id => {id}) i'),
	('list_conversions', 'SELECT c.order_number, c.total FROM incomplete_orders.list_conversions({sold}) c'),
	('list_suppressions', 'SELECT u.reason FROM incomplete_orders.list_suppressions({shop}) u'),
	('list_consents', 'SELECT n.status FROM incomplete_orders.list_consents({shop}) n'),
	('list_image_hosts', 'SELECT h.h OPERATOR(pg_catalog.=) ''https://ten-a.example'' FROM incomplete_orders.list_image_hosts() h (h)'),
	('list_shops', 'SELECT s.shop OPERATOR(pg_catalog.=) ''ten-a'' FROM incomplete_orders.list_shops() s'),
	('list_coupons', 'SELECT c.step FROM incomplete_orders.list_coupons({shop}) c'),
	('list_issued_coupons', 'SELECT c.code FROM incomplete_orders.list_issued_coupons({shop}) c'),
	('order_history', 'SELECT h.event, h.detail FROM incomplete_orders.order_history({id}) h'),
	('orders_of', 'SELECT o.id FROM incomplete_orders.orders_of(''ten-c'', shop => {shop}) o'),
	('incomplete_orders', 'SELECT id, session_id, email, total, order_number, shop FROM incomplete_orders.incomplete_orders WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY[{id}, {sold}, {other}]) ORDER BY session_id'),
	('incomplete_orders', 'SELECT pg_catalog.count(*) FROM incomplete_orders.incomplete_orders WHERE shop OPERATOR(pg_catalog.=) {shop}'),
	('_visible_shops', 'SELECT incomplete_orders._visible_shops(''export_shop'', {shop})'),
	('_order_total', 'SELECT incomplete_orders._order_total(''[]'', 1, 0, 0, 0, ''USD'')'),
	('suppress', 'SELECT incomplete_orders.suppress(''ten@example.com'', shop => {shop})'),
	('unsuppress', 'SELECT incomplete_orders.unsuppress(''ten@example.com'', {shop})'),
	('record_consent', 'SELECT incomplete_orders.record_consent(''ten@example.com'', ''granted'', shop => {shop})'),
	('export_customer', 'SELECT e.e OPERATOR(pg_catalog.->) ''open_orders'' FROM incomplete_orders.export_customer(''ten@example.com'', shop => {shop}) e (e)'),
	('forget_customer', 'SELECT f.relation, f.n FROM incomplete_orders.forget_customer(''ten@example.com'', shop => {shop}) f'),
	('unsubscribe', 'SELECT incomplete_orders.unsubscribe({unsubscribe})'),
	('unsubscribe', 'SELECT incomplete_orders.unsubscribe({not_me}, ''all'')'),
	('preview_unsubscribe', 'SELECT p.shop_name FROM incomplete_orders.preview_unsubscribe({unsubscribe}) p'),
	('preview_cart', 'SELECT p.status, p.items, p.total FROM incomplete_orders.preview_cart({restore}) p'),
	('restore_cart', 'SELECT r.items FROM incomplete_orders.restore_cart({restore}, ''ten-9'') r'),
	('restore_cart', 'SELECT r.items FROM incomplete_orders.restore_cart({restore}, ''ten-3'', {shop}) r'),
	('link_target', 'SELECT incomplete_orders.link_target({click}, 1) IS NOT NULL'),
	('open_link', 'SELECT incomplete_orders.open_link({open}) IS NOT NULL'),
	('record_message_event', 'SELECT incomplete_orders.record_message_event({message}, ''opened'')'),
	('record_message_event', 'SELECT incomplete_orders.record_message_event({message}, ''bounced'', ''{"permanent": true}'')'),
	('rotate_link_key', 'SELECT incomplete_orders.rotate_link_key()'),
	('claim_messages', 'SELECT c.shop FROM incomplete_orders.claim_messages(''w'') c'),
	('ack_message', 'SELECT incomplete_orders.ack_message({message}, 1, ''250 ok'')'),
	('fail_message', 'SELECT incomplete_orders.fail_message({message}, 1, true, ''550 5.1.1 no such user'')'),
	('extend_message', 'SELECT incomplete_orders.extend_message({message}, 1, ''0'')'),
	('retry_message', 'SELECT incomplete_orders.retry_message({message})'),
	('discard_message', 'SELECT incomplete_orders.discard_message({message})'),
	('dead_messages', 'SELECT d.message_id FROM incomplete_orders.dead_messages({shop}) d'),
	('queue_status', 'SELECT q.status FROM incomplete_orders.queue_status({shop}) q'),
	('configure_webhook', 'SELECT incomplete_orders.configure_webhook(''ten-hook'', shop => {shop})'),
	('configure_webhook', 'SELECT incomplete_orders.configure_webhook(''ten-new'', ''https://ten.example/'', shop => {shop}) IS NOT NULL'),
	('list_webhooks', 'SELECT w.shop, w.url FROM incomplete_orders.list_webhooks({shop}) w'),
	('list_deliveries', 'SELECT d.shop, d.event FROM incomplete_orders.list_deliveries(shop => {shop}) d'),
	('ping_webhook', 'SELECT incomplete_orders.ping_webhook(''ten-hook'', {shop}) IS NOT NULL'),
	('claim_deliveries', 'SELECT c.shop, c.event FROM incomplete_orders.claim_deliveries(''w'') c'),
	('ack_delivery', 'SELECT incomplete_orders.ack_delivery({delivery}, 1, 200)'),
	('fail_delivery', 'SELECT incomplete_orders.fail_delivery({delivery}, 1, 500, ''no'')'),
	('release_delivery', 'SELECT incomplete_orders.release_delivery({delivery}, 1)'),
	('retry_delivery', 'SELECT incomplete_orders.retry_delivery({delivery})'),
	('webhook_status', 'SELECT w.shop, w.status FROM incomplete_orders.webhook_status({shop}) w'),
	('_next_delivery_due', 'SELECT incomplete_orders._next_delivery_due()'),
	('delete_webhook', 'SELECT incomplete_orders.delete_webhook(''ten-hook'', {shop})'),
	('rotate_mail_secret', 'SELECT incomplete_orders.rotate_mail_secret({shop}) IS NOT NULL'),
	('receive_mail_events', 'SELECT incomplete_orders.receive_mail_events(''[]'', ''1'', ''00'', shop => {shop})'),
	('receive_ses_event', 'SELECT r.recorded FROM incomplete_orders.receive_ses_event(pg_catalog.jsonb_build_object(''Message'', pg_catalog.jsonb_build_object(''eventType'', ''Delivery'', ''mail'', pg_catalog.jsonb_build_object(''commonHeaders'', pg_catalog.jsonb_build_object(''messageId'', {message}::pg_catalog.text)))::pg_catalog.text)::pg_catalog.text) r'),
	('sender_settings', 'SELECT s.name FROM incomplete_orders.sender_settings({shop}) s'),
	('template_variables', 'SELECT pg_catalog.count(*) FROM incomplete_orders.template_variables()'),
	('list_templates', 'SELECT t.shop, t.own, t.subject FROM incomplete_orders.list_templates({shop}) t'),
	('configure_coupon', 'SELECT incomplete_orders.configure_coupon(''payment'', ''{"percentage": 10}'', shop => {shop})'),
	('remove_coupon', 'SELECT incomplete_orders.remove_coupon(''payment'', shop => {shop})'),
	('redeem_coupon', 'SELECT r.total FROM incomplete_orders.redeem_coupon(''K7Q2M9XWPF'', {id}) r'),
	('save_template', 'SELECT incomplete_orders.save_template(''cart_final'', ''en'', ''{}'', {shop})'),
	('delete_template', 'SELECT incomplete_orders.delete_template(''cart_final'', ''en'', {shop})'),
	('preview_message', 'SELECT incomplete_orders.preview_message(''cart_final'', shop => {shop}) IS NOT NULL'),
	('preview_message', 'SELECT incomplete_orders.preview_message(''cart_final'', id => {id}) IS NOT NULL'),
	('_next_message_due', 'SELECT incomplete_orders._next_message_due()'),
	('tick', 'SELECT ten.tick()'),
	('_tick_batch', 'SELECT * FROM incomplete_orders._tick_batch(ARRAY[incomplete_orders.shop_of({id})], pg_catalog.now(), 1, 1)'),
	('_tick_payments', 'SELECT incomplete_orders._tick_payments(ARRAY[incomplete_orders.shop_of({id})], pg_catalog.now(), 1)'),
	('_tick_campaigns', 'SELECT incomplete_orders._tick_campaigns(ARRAY[incomplete_orders.shop_of({id})])'),
	('_tick_messages', 'SELECT * FROM incomplete_orders._tick_messages(ARRAY[incomplete_orders.shop_of({id})], pg_catalog.now(), 1, 1)'),
	('_tick_heartbeat', 'SELECT incomplete_orders._tick_heartbeat(''{}'')'),
	('_tick_partitions', 'SELECT incomplete_orders._tick_partitions(pg_catalog.now())'),
	('_tick_retention', 'SELECT incomplete_orders._tick_retention(pg_catalog.now(), 10)'),
	('save_variant', 'SELECT incomplete_orders.save_variant(''cart'', 1, ''a'', shop => {shop})'),
	('delete_variant', 'SELECT incomplete_orders.delete_variant(''cart'', 1, ''a'', {shop})'),
	('_tick_fold', 'SELECT incomplete_orders._tick_fold(10)'),
	('update_analytics', 'SELECT u.changed FROM incomplete_orders.update_analytics() u'),
	('rebuild_analytics', 'SELECT incomplete_orders.rebuild_analytics()'),
	('statistics', 'SELECT s.total, s.abandoned_value FROM incomplete_orders.statistics({shop}) s'),
	('statistics_of_bots', 'SELECT s.currency, s.total FROM incomplete_orders.statistics_of_bots({shop}) s'),
	('statistics_by_day', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_day({shop}) s'),
	('statistics_by_hour', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_hour({shop}) s'),
	('statistics_by_value', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_value({shop}) s'),
	('statistics_by_step', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_step({shop}) s'),
	('statistics_by_reason', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_reason({shop}) s'),
	('statistics_by_device', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_device({shop}) s'),
	('statistics_by_source', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_source({shop}) s'),
	('statistics_by_product', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_product({shop}) s'),
	('statistics_by_campaign', 'SELECT s.currency, s.converted FROM incomplete_orders.statistics_by_campaign({shop}) s'),
	('statistics_by_cohort', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_cohort({shop}) s'),
	('statistics_by_cohort_age', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_cohort_age({shop}) s'),
	('statistics_by_recovery_time', 'SELECT s.currency, s.recovered FROM incomplete_orders.statistics_by_recovery_time({shop}) s'),
	('funnel', 'SELECT s.currency, s.orders FROM incomplete_orders.funnel({shop}) s'),
	('list_variants', 'SELECT v.shop, v.variant FROM incomplete_orders.list_variants({shop}) v'),
	('list_campaigns', 'SELECT c.shop, c.step FROM incomplete_orders.list_campaigns({shop}) c'),
	('configure_step', 'SELECT incomplete_orders.configure_step(''cart'', 1, ''{"delay": "1 hour"}'', {shop})'),
	('remove_step', 'SELECT incomplete_orders.remove_step(''cart'', 20, {shop})'),
	('save_campaign', 'SELECT s.moved FROM incomplete_orders.save_campaign(''partial'', ''[{"delay": "1 hour", "template": "partial_abandoned"}]'', {shop}, true) s'),
	('check_texts', 'SELECT pg_catalog.count(*) FROM incomplete_orders.check_texts(''{"subject": "{{x}}"}'')'),
	('count_skips', 'SELECT k.reason, k.messages FROM incomplete_orders.count_skips({shop}) k'),
	('enable_campaign', 'SELECT incomplete_orders.enable_campaign(''cart'', {shop})'),
	('disable_campaign', 'SELECT incomplete_orders.disable_campaign(''cart'', {shop})'),
	('send_recovery_emails', 'SELECT r.recipient, r.reason FROM incomplete_orders.send_recovery_emails(shop => {shop}) r'),
	('send_recovery_email', 'SELECT incomplete_orders.send_recovery_email({id})'),
	('send_recovery_emails_many', 'SELECT * FROM incomplete_orders.send_recovery_emails_many(ARRAY[{id}])'),
	('preview_recovery', 'SELECT r.recipient, r.reason FROM incomplete_orders.preview_recovery({shop}) r'),
	('why_not_sent', 'SELECT w.reason FROM incomplete_orders.why_not_sent({id}) w'),
	('why_not_sent', 'SELECT w.reason FROM incomplete_orders.why_not_sent({sold}) w'),
	('expire_orders', 'SELECT * FROM incomplete_orders.expire_orders()'),
	('cleanup', 'SELECT * FROM incomplete_orders.cleanup(1)'),
	('schedule_jobs', 'SELECT * FROM incomplete_orders.schedule_jobs()'),
	('unschedule_jobs', 'SELECT * FROM incomplete_orders.unschedule_jobs()'),
	('jobs', 'SELECT * FROM incomplete_orders.jobs()'),
	('_wanted_jobs', 'SELECT w.schedule FROM incomplete_orders._wanted_jobs() w'),
	('_cron', 'SELECT * FROM incomplete_orders._cron()'),
	('_cron_jobs', 'SELECT * FROM incomplete_orders._cron_jobs()'),
	('health', 'SELECT h.check_name, h.state FROM incomplete_orders.health() h'),
	('_health_of_tables', 'SELECT h.check_name, h.state FROM incomplete_orders._health_of_tables(''1 min'') h'),
	('_health_of_cron', 'SELECT * FROM incomplete_orders._health_of_cron()'),
	('_health_of_objects', 'SELECT * FROM incomplete_orders._health_of_objects()'),
	('_health_of_server', 'SELECT h.check_name, h.state FROM incomplete_orders._health_of_server() h');
CREATE FUNCTION ten.tick() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	report pg_catalog.jsonb;
BEGIN
	CALL incomplete_orders.tick(report);
	RETURN report OPERATOR(pg_catalog.->>) 'busy'::pg_catalog.text;
END
$$;
-- None is forgotten: every object of the matrix, every public function that is not for everybody.
SELECT object AS forgotten FROM incomplete_orders._role_matrix() m
UNION SELECT proname FROM pg_proc p WHERE pronamespace = 'incomplete_orders'::regnamespace AND NOT starts_with(proname, '_') AND NOT has_function_privilege('public', oid, 'EXECUTE')
EXCEPT SELECT object FROM ten.calls;

-- What a call answers: its rows, or its error with everything it tells. What it did is undone, or kept.
CREATE FUNCTION ten.answer(call text, hostile boolean DEFAULT false, keep boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	answer text;
	message text;
	detail text;
	hint text;
BEGIN
	IF hostile THEN
		PERFORM set_config('search_path', 'evil, pg_catalog, pg_temp, public', true);
	END IF;
	-- nothing but qualified names until the end of the block
	EXECUTE pg_catalog.format('SELECT pg_catalog.string_agg(r::pg_catalog.text, pg_catalog.chr(10)) FROM (%s) r', call) INTO answer;
	SET CONSTRAINTS ALL IMMEDIATE;
	IF keep THEN
		RETURN coalesce(answer, 'nothing');
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'ZZZZZ', MESSAGE = coalesce(answer, 'nothing');
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
	RETURN SQLERRM;
WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLSTATE, message, detail, hint);
END
$$;
-- The call for one shop's orders; for orders and a shop that do not exist.
CREATE FUNCTION ten.fill(call text, id uuid, sold uuid, other uuid, order_id uuid, message uuid, shop text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	link record;
BEGIN
	FOR link IN SELECT e.key, e.value FROM incomplete_orders._link_tokens(message, now()) t, jsonb_each_text(to_jsonb(t)) e LOOP
		call := replace(call, '{' || link.key || '}', quote_literal(link.value));
	END LOOP;
	call := replace(call, '{attachment}', coalesce((SELECT a.attachment FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = fill.shop), 999999)::text);
	call := replace(call, '{delivery}', quote_literal(coalesce((SELECT d.id FROM incomplete_orders.webhook_deliveries d JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = fill.shop), message)) || '::pg_catalog.uuid');
	call := replace(call, '{key}', quote_literal(coalesce((SELECT s.publishable_key FROM incomplete_orders.shops s WHERE s.shop = fill.shop), 'pk_none')));
	RETURN replace(replace(replace(replace(replace(replace(call, '{id}', quote_literal(id) || '::pg_catalog.uuid'), '{sold}', quote_literal(sold) || '::pg_catalog.uuid'),
		'{other}', quote_literal(other) || '::pg_catalog.uuid'), '{order}', quote_literal(order_id) || '::pg_catalog.uuid'),
		'{message}', quote_literal(message) || '::pg_catalog.uuid'), '{shop}', quote_literal(shop));
END
$$;
CREATE TABLE ten.fills AS
SELECT c.n, c.object, c.call,
	ten.fill(c.call, a.id, a.sold, a.other, a.order_id, a.message, 'ten-a') AS victim,
	ten.fill(c.call, b.id, b.sold, b.other, b.order_id, b.message, 'ten-b') AS own,
	-- the id of an order that never was, in the victim's shop and in none
	ten.fill(c.call, d.id, d.id, d.id, d.id, d.id, 'ten-c') AS missing,
	ten.fill(c.call, d.nowhere, d.nowhere, d.nowhere, d.nowhere, d.nowhere, 'ten-c') AS nowhere
FROM ten.calls c, (SELECT * FROM ten.made WHERE shop = 'ten-a') a, (SELECT * FROM ten.made WHERE shop = 'ten-b') b,
	(SELECT incomplete_orders._new_id(:a) AS id, incomplete_orders._new_id(1999999999) AS nowhere) d;
GRANT SELECT ON ten.fills TO regress_ten_b;
-- folded now, so that nobody's call does it
SELECT incomplete_orders._tick_fold(1000000) > 0 AS folded;
CREATE TABLE ten.before AS SELECT e FROM incomplete_orders.export_shop('ten-a') e;

-- Every call for the victim's gets the same answer as one for what does not exist.
SET ROLE regress_ten_b;
CREATE TEMP TABLE answers AS SELECT n, object, call, ten.answer(victim, keep => true) AS victim, ten.answer(missing) AS missing, ten.answer(nowhere) AS nowhere, ten.answer(own) AS own FROM ten.fills;
RESET ROLE;
-- No call for it changed anything in the victim's shop.
(TABLE ten.before EXCEPT SELECT e FROM incomplete_orders.export_shop('ten-a') e)
UNION ALL (SELECT e FROM incomplete_orders.export_shop('ten-a') e EXCEPT TABLE ten.before);
-- ids and the name of the shop are what the caller said, and may be repeated
CREATE FUNCTION ten.same(answer text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(regexp_replace(answer, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '(id)', 'g'), 'ten-a', '(shop)'), 'ten-c', '(shop)')
$$;
SELECT object, call, victim, missing, nowhere FROM answers
WHERE ten.same(victim) IS DISTINCT FROM ten.same(missing) OR ten.same(victim) IS DISTINCT FROM ten.same(nowhere);
SELECT object, string_agg(DISTINCT split_part(ten.same(victim), ' | ', 1) COLLATE "C", ' / ') AS answer FROM answers GROUP BY object ORDER BY object COLLATE "C";
-- The same calls for the own shop get through, so the refusals are not an accident.
SELECT object, string_agg(DISTINCT CASE WHEN own ~ '^[0-9A-Z]{5} ' THEN left(own, 5) END, ' ') AS refused FROM answers
GROUP BY object HAVING bool_and(own ~ '^[0-9A-Z]{5} ') ORDER BY object COLLATE "C";

-- Not through the tables and sequences, not through lists of all shops, not through a cheap function in a view's WHERE.
SET ROLE regress_ten_b;
SELECT r.relation, ten.answer(CASE r.kind WHEN 'sequence' THEN format('SELECT nextval(''incomplete_orders.%I'')', r.relation)
	ELSE format('SELECT count(*) FROM incomplete_orders.%I', r.relation) END) AS answer
FROM (VALUES ('open_orders', 'table'), ('closed_orders', 'table'), ('orders', 'table'), ('order_items', 'table'), ('order_refunds', 'table'),
	('order_events', 'table'), ('order_event_tail', 'table'), ('rollup_states', 'table'), ('rollup_episodes', 'table'), ('rollup_messages', 'table'), ('rollup_arms', 'table'), ('rollup_products', 'table'), ('rollup_recovered_products', 'table'), ('product_names', 'table'), ('order_outcomes', 'table'), ('order_notes', 'table'), ('order_changes', 'table'), ('shop_members', 'table'),
	('heartbeats', 'table'), ('hook_failures', 'table'), ('campaigns', 'table'), ('campaign_steps', 'table'), ('step_variants', 'table'), ('coupons', 'table'), ('issued_coupons', 'table'), ('coupon_persons', 'table'), ('templates', 'table'),
	('messages', 'table'), ('message_skips', 'table'), ('secret_keys', 'table'), ('suppressions', 'table'), ('consents', 'table'), ('past_recipients', 'table'), ('person_orders', 'table'), ('person_messages', 'table'), ('person_arms', 'table'), ('webhooks', 'table'), ('webhook_deliveries', 'table'), ('shop_secrets', 'table'),
	('attached_tables', 'table'), ('continued_orders', 'table'), ('due_carts', 'table'), ('cart_marks', 'table'), ('cart_marks_0', 'table'), ('cart_mark_progress', 'table'), ('attachment_seq', 'sequence'),
	('shops', 'table'), ('reference_seq', 'sequence'), ('order_number_seq', 'sequence'), ('event_seq', 'sequence')) r (relation, kind);
SELECT incomplete_orders._visible_shops('export_shop', '*') = ARRAY[:b] AS only_own;
SELECT DISTINCT shop_id = :b AS only_own FROM incomplete_orders.list_orders('*', page_size => 100);
SELECT DISTINCT shop AS only_own FROM incomplete_orders.incomplete_orders;
CREATE FUNCTION pg_temp.peep(shop_id integer, session_id text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
	IF shop_id <> current_setting('ten.own')::integer THEN
		RAISE NOTICE 'seen: %', session_id;
	END IF;
	RETURN true;
END
$$;
SET ten.own = :b;
SELECT count(*) FROM incomplete_orders.incomplete_orders WHERE pg_temp.peep(shop_id, session_id) AND session_id LIKE 'ten-%';
-- What is unique in the victim's shop is free in one's own.
SELECT incomplete_orders.capture_cart('ten-4', '[{"sku":"B","quantity":1,"unit_price":"5"}]') AS id \gset
SELECT order_number, part FROM incomplete_orders.convert_order(:'id', order_number => 'N-2', idempotency_key => 'k');
RESET ROLE;
SELECT (incomplete_orders.convert_order(id, order_number => 'N-2')).order_number FROM ten.made WHERE shop = 'ten-a';
-- A hostile search_path: functions, operators, types and tables of ours and of
-- pg_catalog, all in front of the real ones, and each of them raises.
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION ten.make_evil() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
	f record;
BEGIN
	FOR f IN
		SELECT DISTINCT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, oidvectortypes(p.proargtypes) AS types
		FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0
			AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t (oid) JOIN pg_type y USING (oid) WHERE y.typtype = 'p' AND y.typname NOT IN ('anyelement', 'anyarray'))
			AND p.proname IN (SELECT regexp_split_to_table('now lower upper length octet_length replace substring left right md5 count coalesce round floor trunc abs date_trunc
				format concat quote_ident quote_literal jsonb_each jsonb_typeof jsonb_array_elements jsonb_array_elements_text jsonb_set jsonb_build_object array_length cardinality
				unnest generate_series to_jsonb clock_timestamp transaction_timestamp statement_timestamp current_setting set_config nextval hashtext
				pg_advisory_xact_lock to_regclass to_regproc to_char make_interval extract date_part obj_description starts_with has_function_privilege has_schema_privilege
				pg_has_role isfinite timezone btrim ltrim rtrim split_part strpos position regexp_replace regexp_matches translate int4eq texteq uuid_eq greatest least', '\s+'))
	LOOP
		EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS text LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''evil function''''; END''', f.proname, f.types);
	END LOOP;
	FOR f IN
		SELECT DISTINCT o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r
		FROM pg_operator o JOIN pg_type x ON x.oid = o.oprleft JOIN pg_type y ON y.oid = o.oprright
		WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND x.typname ~ '^(int[248]|text|name|uuid|numeric|timestamptz|interval|date|time|bool|jsonb|oid|float8|anyarray|anyenum|_text|_int4)$'
			AND y.typname ~ '^(int[248]|text|name|uuid|numeric|timestamptz|interval|date|time|bool|jsonb|oid|float8|anyarray|anyenum|_text|_int4)$'
	LOOP
		EXECUTE format('CREATE OR REPLACE FUNCTION evil.operator(%s, %s) RETURNS boolean LANGUAGE plpgsql AS ''BEGIN RAISE EXCEPTION ''''evil operator''''; END''', f.l, f.r);
		EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.operator)', f.oprname, f.l, f.r);
	END LOOP;
	FOR f IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'incomplete_orders'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
		UNION SELECT unnest(ARRAY['pg_class', 'pg_proc', 'pg_roles', 'pg_namespace', 'pg_trigger', 'pg_attribute', 'pg_timezone_names']) LOOP
		EXECUTE format('CREATE TABLE evil.%I (evil text)', f.relname);
		EXECUTE format('CREATE TEMP TABLE %I (evil text)', f.relname);
	END LOOP;
	FOR f IN SELECT unnest(ARRAY['text', 'numeric', 'uuid', 'jsonb', 'timestamptz', 'interval', 'regclass', 'name', 'line_items', 'order_status']) AS name LOOP
		EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.bool CHECK (false)', f.name);
	END LOOP;
END
$$;
SELECT ten.make_evil();
SELECT count(*) > 100 AS functions FROM pg_catalog.pg_proc WHERE pronamespace = 'evil'::regnamespace;
SELECT count(*) > 200 AS operators FROM pg_catalog.pg_operator WHERE oprnamespace = 'evil'::regnamespace;
-- They do bite.
SELECT ten.answer('SELECT lower(''A''::pg_catalog.text)', true), ten.answer('SELECT 1 = 1', true), ten.answer('SELECT ''a''::text', true), ten.answer('SELECT shop FROM shops', true);
-- Every call as a superuser and as an admin: the answers are those with a clean path.
-- In new sessions, since plans and functions of this one were made with another path.
\c -
CREATE TEMP TABLE hostile AS SELECT n, object, ten.answer(own, true) AS hostile FROM ten.fills WHERE object <> 'export_shop';
CREATE TEMP TABLE clean AS SELECT n, ten.answer(own) AS clean FROM ten.fills;
SELECT object, hostile, clean FROM hostile JOIN clean USING (n)
WHERE ten.same(hostile) IS DISTINCT FROM ten.same(clean) OR hostile LIKE '%evil%';
\c -
SET ROLE regress_ten_b;
CREATE TEMP TABLE hostile AS SELECT n, object, ten.answer(own, true) AS hostile FROM ten.fills;
SELECT object, hostile FROM hostile WHERE hostile LIKE '%evil%';
RESET ROLE;

SELECT count(*) FROM unnest(ARRAY['ten-a', 'ten-b']) s, incomplete_orders.delete_shop(s, false);
SET client_min_messages = warning;
DROP SCHEMA ten CASCADE;
DROP SCHEMA evil CASCADE;
DROP OWNED BY regress_ten_b;
DROP ROLE regress_ten_b;

-- Every SQLSTATE of our own: message, detail and hint, without what differs
-- from run to run.
SET search_path = pg_catalog;
\pset null (null)
CREATE FUNCTION pg_temp.refusal(call text) RETURNS TABLE (state text, message text, detail text, hint text) LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE call;
		SET CONSTRAINTS ALL IMMEDIATE;
		message := 'accepted';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	END;
	message := regexp_replace(message, '[0-9a-f]{8}-[0-9a-f-]{27}', 'X', 'g');
	RETURN NEXT;
END
$$;
\set cart '[{"sku":"A","quantity":2,"unit_price":10}]'
SELECT incomplete_orders.capture_cart('err-open', :'cart') AS open \gset
SELECT incomplete_orders.capture_cart('err-empty', '[]') AS empty \gset
SELECT incomplete_orders.capture_cart('err-negative', :'cart', discount => 30) AS negative \gset
SELECT incomplete_orders.capture_cart('err-old', :'cart', at => now() - interval '31 days') AS old \gset
SELECT incomplete_orders.capture_cart('err-done', :'cart') AS done \gset
SELECT count(*) FROM incomplete_orders.convert_order(:'done', order_number => 'ERR-1', idempotency_key => 'k');
\x on
-- IC001: the tables are not there
BEGIN;
ALTER TABLE incomplete_orders.shops RENAME TO gone;
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.capture_cart(''s'', ''[]'')');
ROLLBACK;
-- IC002: no such shop, and no right to it: one answer for both
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.capture_cart(''s'', ''[]'', shop => ''nowhere'')');
-- IC003: no such order
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.convert_order(incomplete_orders._new_id(1))');
-- IC004: a move that the life of an order does not have
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.dismiss_order(%L)', :'done'));
SELECT * FROM pg_temp.refusal(format('UPDATE incomplete_orders.open_orders SET status = ''reversed'' WHERE id = %L', :'open'));
-- IC005: nothing to convert
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.convert_order(%L)', :'empty'));
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.convert_order(%L, %L, idempotency_key => ''k'')', :'open', '[{"sku":"Z","quantity":1,"unit_price":1}]'));
-- IC006: expired and not paid
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.convert_order(%L, paid => false)', :'old'));
-- IC007: a negative total
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.convert_order(%L)', :'negative'));
-- IC008: a key that was used otherwise
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.convert_order(%L, paid => false, idempotency_key => ''k'')', :'done'));
-- IC009: somebody else was quicker
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.edit_order(%L, ''{"name":"x"}'', 7)', :'open'));
-- IC010: a mapping that does not fit
SELECT * FROM pg_temp.refusal('SELECT * FROM incomplete_orders.attach(''main'', ''magento'')');
SELECT * FROM pg_temp.refusal('SELECT * FROM incomplete_orders.attach(''main'', ''spree'')');
-- IC011: a link that is forged; expired is said only of a true one
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.unsubscribe(''AaIDaulZchKAAAAAUQ-YWwABCdWpJVBL199pr1z-fZ4'')');
SELECT r.* FROM incomplete_orders._link_tokens(:'open', now() - interval '6 years') t, pg_temp.refusal(format('SELECT incomplete_orders.unsubscribe(%L)', t.not_me)) r;
-- IC012: an invariant at commit
SELECT * FROM pg_temp.refusal(format('DELETE FROM incomplete_orders.open_orders WHERE id = %L', :'open'));
SELECT * FROM pg_temp.refusal('TRUNCATE incomplete_orders.orders');
-- IC013: taken
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.convert_order(%L, order_number => ''ERR-1'')', :'open'));
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.create_shop(''default'', ''x'')');
-- IC014: in use
SELECT * FROM pg_temp.refusal('DELETE FROM incomplete_orders.shops WHERE shop = ''default''');
-- IC015: not to be mailed; the detail is the reason
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.send_recovery_email(%L)', :'open'));
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.send_recovery_email(%L)', :'done'));
-- IC016: a coupon that is none, or of somebody else
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.redeem_coupon(''SAVE10'', %L)', :'open'));
-- IC017: a page's lines, which the default shop does not take
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.capture_page_cart(''s'', ''{"items": []}'')');
-- 22023: malformed arguments and lines; the line and the key are named
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.capture_cart('''', ''[]'')');
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.capture_cart(''s'', %L)', '[{"sku":"a","quantity":1,"unit_price":1},{"sku":"secret-7","quantity":-7,"unit_price":1}]'));
SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.convert_order(%L, %L)', :'open', :'cart'));
SELECT * FROM pg_temp.refusal('SELECT incomplete_orders.capture_cart(''s'', ''[]'', at => ''infinity'')');
\x off

-- Conversion: incomplete orders become orders, exactly once.

CREATE FUNCTION incomplete_orders.can_convert(id uuid) RETURNS TABLE (can boolean, reason text)
LANGUAGE c STRICT SECURITY DEFINER ROWS 1 AS 'MODULE_PATHNAME', 'ico_can_convert';
ALTER FUNCTION incomplete_orders.can_convert OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.can_convert IS
	'Whether convert_order(id) would make an order now, paid or not, and if not why; IC003';

CREATE FUNCTION incomplete_orders.convert_order(id uuid, lines incomplete_orders.line_items DEFAULT NULL,
	paid boolean DEFAULT true, order_number text DEFAULT NULL, idempotency_key text DEFAULT NULL,
	at timestamptz DEFAULT now())
RETURNS TABLE (order_id uuid, order_number text, incomplete_order_id uuid, part integer, total numeric, currency text,
	paid boolean, converted_at timestamptz)
LANGUAGE c SECURITY DEFINER ROWS 1 AS 'MODULE_PATHNAME', 'ico_convert_order';
ALTER FUNCTION incomplete_orders.convert_order OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.convert_order IS
	'Makes the order of an incomplete order in one transaction, and returns it; called again it returns the same order. With lines only those are ordered and the rest stays open as kind partial (needs an idempotency key). An expired, dismissed or deleted order is converted only when paid, and flagged late. IC003, IC004, IC005 (nothing to convert), IC006 (expired and unpaid), IC007 (negative total), IC008, IC013 (number taken), IC016 (its coupon is not valid, or gives less)';

CREATE FUNCTION incomplete_orders.record_order(foreign_order text, id uuid DEFAULT NULL, session_id text DEFAULT NULL,
	customer_id text DEFAULT NULL, total numeric DEFAULT NULL, currency text DEFAULT NULL, paid boolean DEFAULT true,
	shop text DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS TABLE (order_id uuid, order_number text, incomplete_order_id uuid, part integer, total numeric, currency text,
	paid boolean, converted_at timestamptz)
LANGUAGE c SECURITY DEFINER ROWS 1 AS 'MODULE_PATHNAME', 'ico_record_order';
ALTER FUNCTION incomplete_orders.record_order OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.record_order IS
	'Records an order that the shop made itself, under its own reference and total, and converts the incomplete order behind it: by id, else the session''s, else the customer''s latest open one; where none matches, incomplete_order_id is null. An order that convert_order made of it a moment ago (by id: ever) takes over the reference and total. Called again with the same reference it returns the same order. IC002, IC003';

CREATE FUNCTION incomplete_orders.record_payment(order_id uuid, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_record_payment';
ALTER FUNCTION incomplete_orders.record_payment OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.record_payment IS
	'Notes that an order (not an incomplete one) was paid; false when it was already. IC003';

CREATE FUNCTION incomplete_orders.record_refund(order_id uuid, amount numeric, idempotency_key text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS numeric
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_record_refund';
ALTER FUNCTION incomplete_orders.record_refund OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.record_refund IS
	'Notes money given back on a paid order, in its currency; returns the sum of all refunds, which never exceeds the total. The same key again changes nothing. IC003, IC008, 22023';

-- Capture: what the customer does, as it happens.

CREATE FUNCTION incomplete_orders._is_ordinary(status incomplete_orders.order_status, kind incomplete_orders.order_kind,
	last_activity_at timestamptz, expires_at timestamptz, next_action_at timestamptz,
	at timestamptz, idle_since timestamptz, next timestamptz) RETURNS boolean
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'ico_is_ordinary';
COMMENT ON FUNCTION incomplete_orders._is_ordinary IS
	'Whether an open order takes a capture at that instant with a mere update: nothing is due, nothing moves but its last activity';

-- No SET search_path: it would cost a GUC level in the hottest call.  All that
-- the C code says in SQL is qualified, and a test proves it.
CREATE FUNCTION incomplete_orders.capture_cart(
	session_id text, items incomplete_orders.line_items,
	email text DEFAULT NULL, phone text DEFAULT NULL, customer_id text DEFAULT NULL, name text DEFAULT NULL,
	currency text DEFAULT NULL, step incomplete_orders.checkout_step DEFAULT NULL,
	kind incomplete_orders.order_kind DEFAULT NULL, shipping numeric DEFAULT NULL, tax numeric DEFAULT NULL,
	discount numeric DEFAULT NULL, coupon_code text DEFAULT NULL, coupon_discount numeric DEFAULT NULL,
	address jsonb DEFAULT NULL, context jsonb DEFAULT NULL, shop text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_capture_cart';
ALTER FUNCTION incomplete_orders.capture_cart OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.capture_cart IS
	'Inserts or updates the open order of that session and returns its id. NULL leaves a stored value, '''' clears a text, 0 a sum. Only session, items, currency and shop can make it fail (22023, IC001, IC002); any other fact that cannot be stored is cut or left out with a NOTICE';

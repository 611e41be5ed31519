-- Capture beside capture_cart(): batches, checkout forms, departures, errors,
-- identities.

CREATE FUNCTION incomplete_orders.capture_carts(carts jsonb, shop text DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS TABLE (n integer, id uuid, error text)
LANGUAGE c SECURITY DEFINER ROWS 10 AS 'MODULE_PATHNAME', 'ico_capture_carts';
ALTER FUNCTION incomplete_orders.capture_carts OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.capture_carts IS
	'Captures up to 1000 carts: an array of objects whose keys are the arguments of capture_cart(). One row per cart, n is its place from 1; a bad cart has the error''s message and does not stop the others';

-- What the shop's own tables say, one row per cart.
SELECT c.id AS cart,
	CASE WHEN c.completed_at IS NOT NULL THEN 'bought' ELSE 'open' END AS state,
	CASE WHEN c.completed_at IS NOT NULL THEN (SELECT k.order_id FROM order_cart k WHERE k.cart_id = c.id AND k.deleted_at IS NULL) END AS order_ref,
	CASE WHEN c.completed_at IS NOT NULL THEN (SELECT (s.totals ->> 'current_order_total')::numeric
		FROM order_cart k JOIN order_summary s ON s.order_id = k.order_id WHERE k.cart_id = c.id AND k.deleted_at IS NULL) END AS total,
	upper(c.currency_code) AS currency,
	c.email,
	c.customer_id AS customer,
	a.first_name || ' ' || a.last_name AS name,
	a.phone,
	coalesce((SELECT json_agg(json_build_array(l.variant_sku, l.product_title, l.quantity, l.unit_price))
		FROM cart_line_item l WHERE l.cart_id = c.id AND l.deleted_at IS NULL), '[]') AS items
FROM cart c LEFT JOIN cart_address a ON a.id = c.shipping_address_id WHERE c.deleted_at IS NULL

-- What was captured: of each cart its open order, or else the last one that was closed.
SELECT DISTINCT ON (o.cart_key) o.cart_key AS cart,
	CASE WHEN o.closed_at IS NULL THEN 'open' WHEN o.status = 'converted' THEN 'bought' ELSE 'gone' END AS state,
	(SELECT p.foreign_order FROM incomplete_orders.orders p WHERE o.status = 'converted' AND (p.shop_id, p.incomplete_order_id) = (o.shop_id, o.id)) AS order_ref,
	(SELECT p.total FROM incomplete_orders.orders p WHERE o.status = 'converted' AND (p.shop_id, p.incomplete_order_id) = (o.shop_id, o.id)) AS total,
	o.currency, o.email, o.customer_id AS customer, o.name, o.phone,
	(SELECT coalesce(json_agg(json_build_array(i ->> 'sku', i ->> 'name', (i ->> 'quantity')::numeric, (i ->> 'unit_price')::numeric)), '[]')
		FROM jsonb_array_elements(o.items) i) AS items
FROM incomplete_orders.incomplete_orders o
WHERE o.attachment = (SELECT a.attachment FROM incomplete_orders.attached_tables a WHERE a.name = %(name)s)
ORDER BY o.cart_key, o.closed_at DESC NULLS FIRST, o.created_at DESC

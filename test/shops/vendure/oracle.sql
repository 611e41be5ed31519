-- What the shop's own tables say, one row per order; names in the channel's language.
SELECT o.id::text AS cart,
	CASE WHEN o."orderPlacedAt" IS NOT NULL THEN 'bought' ELSE 'open' END AS state,
	CASE WHEN o."orderPlacedAt" IS NOT NULL THEN o.code END AS order_ref,
	CASE WHEN o."orderPlacedAt" IS NOT NULL AND o.state <> 'Cancelled' THEN (o."subTotalWithTax" + o."shippingWithTax") / 100.0 END AS total,
	o."currencyCode" AS currency,
	c."emailAddress" AS email,
	o."customerId"::text AS customer,
	c."firstName" || ' ' || c."lastName" AS name,
	c."phoneNumber" AS phone,
	coalesce((SELECT json_agg(json_build_array(v.sku, t.name, n.quantity, l."listPrice" / 100.0))
		FROM order_line l
		-- cancelling takes the quantities away, what was ordered stays beside them
		CROSS JOIN LATERAL (SELECT CASE WHEN o."orderPlacedAt" IS NOT NULL THEN l."orderPlacedQuantity" ELSE l.quantity END) n (quantity)
		JOIN product_variant v ON v.id = l."productVariantId"
		JOIN product_variant_translation t ON t."baseId" = v.id AND t."languageCode" = 'en'
		WHERE l."orderId" = o.id AND n.quantity <> 0), '[]') AS items
FROM "order" o LEFT JOIN customer c ON c.id = o."customerId"

-- Mappings of shops that are known, as data.  What they say of each shop's
-- tables was read from the shops' own sources; attach() checks it against the
-- tables that are there, and every key can be overridden.

CREATE FUNCTION incomplete_orders._attach_presets() RETURNS TABLE (preset text, mapping jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $presets$
	VALUES
	-- The session's token logs a browser in, so only its hash is taken.
	('vendure', $json$ {
		"cart": {"table": "\"order\"", "id": "id", "currency": "currencyCode", "order_number": "code", "updated_at": "updatedAt",
			"email": {"join": "customer", "on": "customer.id = cart.\"customerId\"", "column": "emailAddress"},
			"name": {"join": "customer", "on": "customer.id = cart.\"customerId\"",
				"column": {"sql": "nullif(concat_ws(' ', customer.\"firstName\", customer.\"lastName\"), '')"}},
			"phone": {"join": "customer", "on": "customer.id = cart.\"customerId\"", "column": "phoneNumber"},
			"customer": "customerId",
			"session": {"join": "session", "on": "session.\"activeOrderId\" = cart.id", "order": "session.id",
				"column": {"sql": "encode(sha256(convert_to(session.token, 'UTF8')), 'hex')"}}},
		"lines": {"table": "order_line", "id": "id", "cart": "orderId", "where": "line.quantity > 0",
			"sku": {"join": "product_variant", "on": "product_variant.id = line.\"productVariantId\"", "column": "sku"},
			"name": {"join": "product_variant_translation", "on": "product_variant_translation.\"baseId\" = line.\"productVariantId\"",
				"order": "product_variant_translation.id", "column": "name"},
			"quantity": "quantity", "unit_price": "listPrice", "product": "productVariantId"},
		"money": "minor",
		"completed": "cart.\"orderPlacedAt\" IS NOT NULL",
		"watch": [{"table": "customer", "column": "id", "cart": "customerId"}]
	} $json$::jsonb)
$presets$;
COMMENT ON FUNCTION incomplete_orders._attach_presets() IS 'The mappings of shops that are known';

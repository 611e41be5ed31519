-- Mappings of shops that are known, as data.  What they say of each shop's
-- tables was read from the shops' own sources, Vendure's and Medusa's on running
-- ones; attach() checks it against the tables that are there, and every key can
-- be overridden.
--
-- Vendure and Sylius keep all money in hundredths, whatever the currency.
-- Vendure: the session's token logs a browser in, so only its hash is taken; a
-- seller's order is a part of one that is there anyway, a draft is staff's; a declined payment
-- leaves the state ArrangingPayment, which is therefore no payment under way;
-- cancelling takes the quantities of an order away, what was sold stays beside them.
-- Sylius writes the names on the lines only when the order is placed.
-- Saleor deletes the checkout of an order, and old checkouts too: the order tells.
-- django-oscar: a guest's address is known only when there is an order.
-- Odoo: a guest is the public partner of the website, who is nobody.

CREATE FUNCTION incomplete_orders._attach_presets() RETURNS TABLE (preset text, mapping jsonb)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $presets$
	VALUES
	('vendure', $json$ {
		"cart": {"table": "\"order\"", "id": "id", "where": "cart.type <> 'Seller' AND (cart.active OR cart.\"orderPlacedAt\" IS NOT NULL)", "currency": "currencyCode", "customer": "customerId",
			"email": {"join": "customer", "on": "customer.id = cart.\"customerId\"", "column": "emailAddress"},
			"name": {"join": "customer", "on": "customer.id = cart.\"customerId\"",
				"column": {"sql": "nullif(concat_ws(' ', customer.\"firstName\", customer.\"lastName\"), '')"}},
			"phone": {"join": "customer", "on": "customer.id = cart.\"customerId\"", "column": "phoneNumber"},
			"session": {"join": "session", "on": "session.\"activeOrderId\" = cart.id", "order": "session.id",
				"column": {"sql": "encode(sha256(convert_to(session.token, 'UTF8')), 'hex')"}},
			"order_number": "code", "updated_at": "updatedAt", "completed_at": "orderPlacedAt"},
		"lines": {"table": "order_line", "id": "id", "cart": "orderId", "where": "greatest(line.quantity, line.\"orderPlacedQuantity\") > 0",
			"sku": {"join": "product_variant", "on": "product_variant.id = line.\"productVariantId\"", "column": "sku"},
			"name": {"join": "product_variant_translation", "on": "product_variant_translation.\"baseId\" = line.\"productVariantId\"",
				"order": "(product_variant_translation.\"languageCode\"::text <> 'en', product_variant_translation.\"languageCode\"::text)", "column": "name"},
			"quantity": {"sql": "greatest(line.quantity, line.\"orderPlacedQuantity\")"}, "unit_price": "listPrice", "product": "productVariantId"},
		"money": 2,
		"total": "cart.\"subTotalWithTax\" + cart.\"shippingWithTax\"",
		"completed": "cart.\"orderPlacedAt\" IS NOT NULL AND NOT cart.active",
		"watch": [{"table": "customer", "column": "id", "cart": "customerId"}, {"table": "session", "column": "activeOrderId", "cart": "id"}]
	} $json$::jsonb),
	('medusa', $json$ {
		"cart": {"table": "cart", "id": "id", "currency": "currency_code", "email": "email", "customer": "customer_id", "locale": "locale",
			"name": {"join": "cart_address", "on": "cart_address.id = cart.shipping_address_id",
				"column": {"sql": "nullif(concat_ws(' ', cart_address.first_name, cart_address.last_name), '')"}},
			"phone": {"join": "cart_address", "on": "cart_address.id = cart.shipping_address_id", "column": "phone"},
			"deleted_at": "deleted_at", "updated_at": "updated_at", "completed_at": "completed_at"},
		"lines": {"table": "cart_line_item", "id": "id", "cart": "cart_id", "where": "line.deleted_at IS NULL",
			"sku": "variant_sku", "name": "product_title", "quantity": "quantity", "unit_price": "unit_price", "product": "variant_id", "image": "thumbnail"},
		"money": "major",
		"completed": "cart.completed_at IS NOT NULL",
		"orders": {"table": "order_cart", "cart": "cart_id", "order": "order_id", "live": "order_cart.deleted_at IS NULL",
			"total": {"join": "order_summary", "on": "order_summary.order_id = order_cart.order_id AND order_summary.deleted_at IS NULL",
				"order": "- order_summary.version", "column": {"sql": "(order_summary.totals ->> 'original_order_total')::numeric"}}},
		"watch": [{"table": "cart_address", "column": "id", "cart": "shipping_address_id"}]
	} $json$),
	('saleor', $json$ {
		"cart": {"table": "checkout_checkout", "id": "token", "currency": "currency", "email": "email", "customer": "user_id", "locale": "language_code",
			"name": {"join": "account_user", "on": "account_user.id = cart.user_id",
				"column": {"sql": "nullif(trim(concat_ws(' ', account_user.first_name, account_user.last_name)), '')"}},
			"updated_at": "last_change"},
		"lines": {"table": "checkout_checkoutline", "id": "id", "cart": "checkout_id", "where": "line.quantity > 0",
			"sku": {"join": "product_productvariant", "on": "product_productvariant.id = line.variant_id", "column": "sku"},
			"name": {"join": "product_productvariant", "on": "product_productvariant.id = line.variant_id",
				"column": {"join": "product_product", "on": "product_product.id = product_productvariant.product_id", "column": "name"}},
			"quantity": "quantity", "unit_price": {"sql": "coalesce(line.price_override, line.undiscounted_unit_price_amount)"}, "product": "variant_id"},
		"money": "major",
		"in_progress": "cart.completing_started_at IS NOT NULL",
		"orders": {"table": "order_order", "cart": "checkout_token", "order": "id", "live": "order_order.checkout_token <> ''",
			"total": "total_gross_amount", "currency": "currency", "completed_at": "created_at"},
		"on_delete": "deleted"
	} $json$),
	('django-oscar', $json$ {
		"cart": {"table": "basket_basket", "id": "id", "customer": "owner_id",
			"currency": {"join": "basket_line", "on": "basket_line.basket_id = cart.id", "order": "basket_line.id", "column": "price_currency"},
			"email": {"join": "auth_user", "on": "auth_user.id = cart.owner_id", "column": "email"},
			"name": {"join": "auth_user", "on": "auth_user.id = cart.owner_id",
				"column": {"sql": "nullif(trim(concat_ws(' ', auth_user.first_name, auth_user.last_name)), '')"}},
			"completed_at": "date_submitted"},
		"lines": {"table": "basket_line", "id": "id", "cart": "basket_id", "where": "line.quantity > 0",
			"sku": {"join": "partner_stockrecord", "on": "partner_stockrecord.id = line.stockrecord_id", "column": "partner_sku"},
			"name": {"join": "catalogue_product", "on": "catalogue_product.id = line.product_id", "column": "title"},
			"quantity": "quantity", "unit_price": {"sql": "coalesce(line.price_incl_tax, line.price_excl_tax)"}, "product": "product_id"},
		"money": "major",
		"completed": "cart.status = 'Submitted'",
		"in_progress": "cart.status = 'Frozen'",
		"superseded": "cart.status = 'Merged'",
		"orders": {"table": "order_order", "cart": "basket_id", "order": "number", "total": "total_incl_tax", "currency": "currency", "completed_at": "date_placed"},
		"watch": [{"table": "auth_user", "column": "id", "cart": "owner_id"}]
	} $json$),
	('spree', $json$ {
		"cart": {"table": "spree_orders", "id": "id", "currency": "currency", "email": "email", "customer": "user_id", "session": "token",
			"order_number": "number", "updated_at": "updated_at", "completed_at": "completed_at"},
		"lines": {"table": "spree_line_items", "id": "id", "cart": "order_id", "where": "line.quantity > 0",
			"sku": {"join": "spree_variants", "on": "spree_variants.id = line.variant_id", "column": "sku"},
			"name": {"join": "spree_variants", "on": "spree_variants.id = line.variant_id",
				"column": {"join": "spree_products", "on": "spree_products.id = spree_variants.product_id", "column": "name"}},
			"quantity": "quantity", "unit_price": "price", "product": "variant_id"},
		"money": "major",
		"total": "cart.total",
		"completed": "cart.completed_at IS NOT NULL"
	} $json$),
	('solidus', $json$ {
		"cart": {"table": "spree_orders", "id": "id", "currency": "currency", "email": "email", "customer": "user_id", "session": "guest_token",
			"order_number": "number", "updated_at": "updated_at", "completed_at": "completed_at"},
		"lines": {"table": "spree_line_items", "id": "id", "cart": "order_id", "where": "line.quantity > 0",
			"sku": {"join": "spree_variants", "on": "spree_variants.id = line.variant_id", "column": "sku"},
			"name": {"join": "spree_variants", "on": "spree_variants.id = line.variant_id",
				"column": {"join": "spree_products", "on": "spree_products.id = spree_variants.product_id", "column": "name"}},
			"quantity": "quantity", "unit_price": "price", "product": "variant_id"},
		"money": "major",
		"total": "cart.total",
		"completed": "cart.completed_at IS NOT NULL"
	} $json$),
	('sylius', $json$ {
		"cart": {"table": "sylius_order", "id": "id", "currency": "currency_code", "customer": "customer_id", "session": "token_value", "locale": "locale_code",
			"email": {"join": "sylius_customer", "on": "sylius_customer.id = cart.customer_id", "column": "email"},
			"name": {"join": "sylius_customer", "on": "sylius_customer.id = cart.customer_id",
				"column": {"sql": "nullif(concat_ws(' ', sylius_customer.first_name, sylius_customer.last_name), '')"}},
			"phone": {"join": "sylius_customer", "on": "sylius_customer.id = cart.customer_id", "column": "phone_number"},
			"order_number": "number", "updated_at": "updated_at", "completed_at": "checkout_completed_at"},
		"lines": {"table": "sylius_order_item", "id": "id", "cart": "order_id", "where": "line.quantity > 0",
			"sku": {"join": "sylius_product_variant", "on": "sylius_product_variant.id = line.variant_id", "column": "code"},
			"name": {"join": "sylius_product_variant", "on": "sylius_product_variant.id = line.variant_id",
				"column": {"join": "sylius_product_translation", "on": "sylius_product_translation.translatable_id = sylius_product_variant.product_id",
					"order": "sylius_product_translation.locale <> cart.locale_code",
					"column": {"sql": "coalesce(line.product_name, sylius_product_translation.name)"}}},
			"quantity": "quantity", "unit_price": "unit_price", "product": "variant_id"},
		"money": 2,
		"total": "cart.total",
		"completed": "cart.checkout_completed_at IS NOT NULL AND cart.state <> 'cart'",
		"watch": [{"table": "sylius_customer", "column": "id", "cart": "customer_id"}]
	} $json$),
	('odoo', $json$ {
		"cart": {"table": "sale_order", "id": "id", "where": "cart.website_id IS NOT NULL", "session": "access_token",
			"currency": {"join": "res_currency", "on": "res_currency.id = cart.currency_id", "column": "name"},
			"customer": {"join": "website", "on": "website.id = cart.website_id", "column": {"join": "res_users", "on": "res_users.id = website.user_id",
				"column": {"sql": "nullif(cart.partner_id, res_users.partner_id)"}}},
			"email": {"join": "website", "on": "website.id = cart.website_id", "column": {"join": "res_users", "on": "res_users.id = website.user_id",
				"column": {"join": "res_partner", "on": "res_partner.id = cart.partner_id AND res_partner.id <> res_users.partner_id", "column": "email"}}},
			"name": {"join": "website", "on": "website.id = cart.website_id", "column": {"join": "res_users", "on": "res_users.id = website.user_id",
				"column": {"join": "res_partner", "on": "res_partner.id = cart.partner_id AND res_partner.id <> res_users.partner_id", "column": "name"}}},
			"phone": {"join": "website", "on": "website.id = cart.website_id", "column": {"join": "res_users", "on": "res_users.id = website.user_id",
				"column": {"join": "res_partner", "on": "res_partner.id = cart.partner_id AND res_partner.id <> res_users.partner_id", "column": "phone"}}},
			"locale": {"join": "res_partner", "on": "res_partner.id = cart.partner_id", "column": "lang"},
			"time_zone": {"join": "res_partner", "on": "res_partner.id = cart.partner_id", "column": "tz"},
			"deleted_at": {"sql": "nullif(cart.state = 'cancel', false)"}, "updated_at": "write_date", "completed_at": "date_order"},
		"lines": {"table": "sale_order_line", "id": "id", "cart": "order_id",
			"where": "line.display_type IS NULL AND line.is_delivery IS NOT TRUE AND line.product_uom_qty > 0",
			"sku": {"join": "product_product", "on": "product_product.id = line.product_id", "column": "default_code"},
			"name": "name", "quantity": "product_uom_qty", "unit_price": "price_unit", "product": "product_id"},
		"money": "major",
		"total": "cart.amount_total",
		"completed": "cart.state IN ('sale', 'done')",
		"in_progress": "cart.state = 'sent'",
		"watch": [{"table": "res_partner", "column": "id", "cart": "partner_id"}]
	} $json$)
$presets$;
COMMENT ON FUNCTION incomplete_orders._attach_presets() IS 'The mappings of shops that are known';

-- --- what is there to attach ----------------------------------------------------------

CREATE FUNCTION incomplete_orders.find_attachable(shop text DEFAULT NULL)
RETURNS TABLE (preset text, schema text, tables text[], missing text[], refused text[], attached text)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	own_id CONSTANT integer := incomplete_orders._enter_shop('find_attachable', shop, NULL);
	me CONSTANT name := incomplete_orders._acting_role();
BEGIN
	-- a schema counts when the tables of carts and of lines are there
	RETURN QUERY
	SELECT p.preset, n.nspname::text, w.there, w.missing, w.refused,
		(SELECT a.name FROM incomplete_orders.attached_tables a WHERE a.shop_id = own_id AND a.tables #>> '{0,table}' = w.there[1] ORDER BY a.name LIMIT 1)
	FROM incomplete_orders._attach_presets() p
	JOIN pg_class c ON c.relname = (parse_ident(p.mapping #>> '{cart,table}'))[1] AND c.relkind IN ('r', 'p')
	JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'incomplete_orders')
	CROSS JOIN LATERAL (
		SELECT array_agg(DISTINCT t.path) FILTER (WHERE t.relation IS NOT NULL) AS found,
			array_agg(t.qualified ORDER BY t.path) FILTER (WHERE t.relation IS NOT NULL) AS there,
			coalesce(array_agg(t.qualified || coalesce('.' || quote_ident(t.attname), '') ORDER BY t.path) FILTER (WHERE t.attnum IS NULL), '{}') AS missing,
			coalesce(array_agg(t.qualified ORDER BY t.path) FILTER (WHERE t.relation IS NOT NULL
				AND NOT (has_schema_privilege(me, n.oid, 'USAGE') AND has_table_privilege(me, t.relation, 'SELECT') AND has_table_privilege(me, t.relation, 'TRIGGER'))), '{}') AS refused
		FROM incomplete_orders._watched_tables(p.mapping, ARRAY[n.nspname::text]) t) w
	WHERE w.found @> '{0,1}' AND has_schema_privilege(me, n.oid, 'USAGE')
	ORDER BY cardinality(w.missing), cardinality(w.refused), p.preset, n.nspname;
END
$$;
ALTER FUNCTION incomplete_orders.find_attachable(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.find_attachable(text) IS
	'Tables of this database that look like those of a shop that is known, in schemas that the caller may use: for attach(), with {"schema": ...} as its mapping. missing: tables and columns that are not there; refused: those that the caller may not read or put a trigger on; attached: by this name they are already. IC002';

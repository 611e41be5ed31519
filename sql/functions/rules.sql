-- What a shop's settings say of who may be mailed, and when.

CREATE FUNCTION incomplete_orders._exclusion(exclusions jsonb, items incomplete_orders.line_items, customer_id text, email text, context jsonb, bot boolean)
RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_exclusion';
COMMENT ON FUNCTION incomplete_orders._exclusion IS
	'Why the exclusions of a shop keep a cart from being mailed, or null: bot, excluded_address, excluded_domain, excluded_customer, excluded_products (nothing else is left to buy), excluded_value';

CREATE FUNCTION incomplete_orders._mailed_items(items incomplete_orders.line_items, exclusions jsonb) RETURNS incomplete_orders.line_items
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_mailed_items';
COMMENT ON FUNCTION incomplete_orders._mailed_items IS 'The lines without the products that the exclusions of a shop name';

-- These answer by what the shop's availability() said, while a statement runs for which it was asked.
CREATE FUNCTION incomplete_orders._left_value(shop_id integer, currency text, items incomplete_orders.line_items, exclusions jsonb) RETURNS numeric
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'ico_left_value';
COMMENT ON FUNCTION incomplete_orders._left_value IS
	'What the lines cost that are not ordered yet, not excluded, and can be sold: by it the best of a person''s carts is chosen';

CREATE FUNCTION incomplete_orders._sale_fault(shop_id integer, currency text, items incomplete_orders.line_items, exclusions jsonb) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'ico_sale_fault';
COMMENT ON FUNCTION incomplete_orders._sale_fault IS
	'Why what can be sold of a cart is not mailed, or null: unavailable (none of it), excluded_value (too little of it)';

CREATE FUNCTION incomplete_orders._answer_due(shop_id integer, at timestamptz) RETURNS timestamptz
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'ico_answer_due';
COMMENT ON FUNCTION incomplete_orders._answer_due IS 'at, or a quarter of an hour later where the shop was asked in vain what it can sell';

CREATE FUNCTION incomplete_orders._awake(at timestamptz, context jsonb, address jsonb, shop_zone text, quiet_from time, quiet_to time) RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_awake';
COMMENT ON FUNCTION incomplete_orders._awake IS
	'The first instant from at on that is not in the quiet hours, by the clock of context.time_zone, else of address.country where it has one time zone, else of the shop. No hours are quiet where both times are the same';

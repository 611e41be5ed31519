-- Lists, searches and the history of one order.  In C (src/list.c), because the
-- result's columns have names of arguments, and for speed.
--
-- The columns are those of the view incomplete_orders, then the cursor.

CREATE FUNCTION incomplete_orders.list_orders(
	shop text DEFAULT NULL, status incomplete_orders.order_status[] DEFAULT NULL,
	kind incomplete_orders.order_kind DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	expired boolean DEFAULT NULL, guest boolean DEFAULT NULL, attempts integer DEFAULT NULL,
	search text DEFAULT NULL, sort text DEFAULT '-created_at', after text DEFAULT NULL, page_size integer DEFAULT 20,
	bounded boolean DEFAULT false, abandoned_since timestamptz DEFAULT NULL, abandoned_until timestamptz DEFAULT NULL, expires_since timestamptz DEFAULT NULL,
	expires_until timestamptz DEFAULT NULL, can_convert boolean DEFAULT NULL, total_from numeric DEFAULT NULL, total_to numeric DEFAULT NULL,
	currency text DEFAULT NULL, step incomplete_orders.checkout_step DEFAULT NULL, device text DEFAULT NULL, source text DEFAULT NULL,
	contactable boolean DEFAULT NULL, outcome text DEFAULT NULL)
RETURNS TABLE (
	shop_id integer, id uuid, reference text, kind incomplete_orders.order_kind, status incomplete_orders.order_status,
	session_id text, customer_id text, email text, phone text, name text, items jsonb, currency text, shipping numeric,
	tax numeric, discount numeric, coupon_code text, coupon_discount numeric, furthest_step incomplete_orders.checkout_step,
	episode integer, recovery_attempts integer, last_recovery_at timestamptz, abandonment_reason text, address jsonb,
	context jsonb, version integer, created_at timestamptz, last_activity_at timestamptz, abandoned_at timestamptz,
	lost_at timestamptz, expires_at timestamptz, next_action_at timestamptz, payment_reference text, payment_deadline timestamptz,
	root_id uuid, continues_id uuid, bot boolean, attachment integer, cart_key text, closed_at timestamptz,
	close_reason text, late boolean, shop text, total numeric, item_count bigint, is_guest boolean, is_expired boolean, days_old integer,
	can_convert boolean, order_number text, cursor text)
LANGUAGE c STABLE SECURITY DEFINER ROWS 20 SET jit = off AS 'MODULE_PATHNAME', 'ico_list_orders';
ALTER FUNCTION incomplete_orders.list_orders OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_orders IS
	'A page of incomplete orders, open and closed. shop * means all that the caller may see; since is inclusive, until exclusive, both of created_at; search as in find_orders(); sort is created_at, updated_at (last activity), total_amount or recovery_attempts, with - before it descending; after is the cursor of the last row of the page before; page_size 1 to 1000; abandoned_until and expires_until are exclusive, total_from and total_to inclusive; contactable: an e-mail or a phone is known; outcome: recovered, assisted or unaided, of abandoned orders that were paid, as far as the reports have it. bounded: time is limited, too: a filter without an index (all but since, until, search and rare states) is looked for in 10000 orders of each shop and table, a search hands on its newest 2000, after which the last row of a page may hold nothing but the cursor that it goes on from, and no more than those are sorted by anything but created_at (22023)';

CREATE FUNCTION incomplete_orders.count_orders(
	shop text DEFAULT NULL, status incomplete_orders.order_status[] DEFAULT NULL,
	kind incomplete_orders.order_kind DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
	expired boolean DEFAULT NULL, guest boolean DEFAULT NULL, attempts integer DEFAULT NULL, search text DEFAULT NULL,
	abandoned_since timestamptz DEFAULT NULL, abandoned_until timestamptz DEFAULT NULL, expires_since timestamptz DEFAULT NULL,
	expires_until timestamptz DEFAULT NULL, can_convert boolean DEFAULT NULL, total_from numeric DEFAULT NULL, total_to numeric DEFAULT NULL,
	currency text DEFAULT NULL, step incomplete_orders.checkout_step DEFAULT NULL, device text DEFAULT NULL, source text DEFAULT NULL,
	contactable boolean DEFAULT NULL, outcome text DEFAULT NULL)
RETURNS TABLE (count bigint, capped boolean)
LANGUAGE c STABLE SECURITY DEFINER ROWS 1
-- the newest are found by the index, however few the planner expects in a range
SET jit = off SET enable_sort = off SET enable_bitmapscan = off
AS 'MODULE_PATHNAME', 'ico_count_orders';
ALTER FUNCTION incomplete_orders.count_orders OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.count_orders IS
	'How many orders list_orders() would give in all. It looks at the newest 10000 of each shop and table, or fewer of many shops: count is at most 10000, and 2000 of a search; capped says that there may be more, and that count is the least that it can be';

CREATE FUNCTION incomplete_orders.find_orders(search text, shop text DEFAULT NULL)
RETURNS TABLE (
	shop_id integer, id uuid, reference text, kind incomplete_orders.order_kind, status incomplete_orders.order_status,
	session_id text, customer_id text, email text, phone text, name text, items jsonb, currency text, shipping numeric,
	tax numeric, discount numeric, coupon_code text, coupon_discount numeric, furthest_step incomplete_orders.checkout_step,
	episode integer, recovery_attempts integer, last_recovery_at timestamptz, abandonment_reason text, address jsonb,
	context jsonb, version integer, created_at timestamptz, last_activity_at timestamptz, abandoned_at timestamptz,
	lost_at timestamptz, expires_at timestamptz, next_action_at timestamptz, payment_reference text, payment_deadline timestamptz,
	root_id uuid, continues_id uuid, bot boolean, attachment integer, cart_key text, closed_at timestamptz,
	close_reason text, late boolean, shop text, total numeric, item_count bigint, is_guest boolean, is_expired boolean, days_old integer,
	can_convert boolean, order_number text, cursor text)
LANGUAGE c STABLE SECURITY DEFINER ROWS 5 AS 'MODULE_PATHNAME', 'ico_find_orders';
ALTER FUNCTION incomplete_orders.find_orders OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.find_orders IS
	'The newest 100 incomplete orders of that e-mail (any case; its beginning, of at least 3 characters, with * behind it), phone (blanks and punctuation do not count), customer_id, session_id, reference (any case, with or without INC-, I and L read as 1, O as 0), id, or order number, the shop''s own included';

CREATE FUNCTION incomplete_orders.orders_of(customer_id text DEFAULT NULL, session_id text DEFAULT NULL, shop text DEFAULT NULL)
RETURNS TABLE (
	shop_id integer, id uuid, reference text, kind incomplete_orders.order_kind, status incomplete_orders.order_status,
	session_id text, customer_id text, email text, phone text, name text, items jsonb, currency text, shipping numeric,
	tax numeric, discount numeric, coupon_code text, coupon_discount numeric, furthest_step incomplete_orders.checkout_step,
	episode integer, recovery_attempts integer, last_recovery_at timestamptz, abandonment_reason text, address jsonb,
	context jsonb, version integer, created_at timestamptz, last_activity_at timestamptz, abandoned_at timestamptz,
	lost_at timestamptz, expires_at timestamptz, next_action_at timestamptz, payment_reference text, payment_deadline timestamptz,
	root_id uuid, continues_id uuid, bot boolean, attachment integer, cart_key text, closed_at timestamptz,
	close_reason text, late boolean, shop text, total numeric, item_count bigint, is_guest boolean, is_expired boolean, days_old integer,
	can_convert boolean, order_number text, cursor text)
LANGUAGE c STABLE SECURITY DEFINER ROWS 5 AS 'MODULE_PATHNAME', 'ico_orders_of';
ALTER FUNCTION incomplete_orders.orders_of OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.orders_of IS
	'The incomplete orders of that customer and of that session, newest first, at most 1000; one of both must be given';

CREATE FUNCTION incomplete_orders.order_history(id uuid)
RETURNS TABLE (at timestamptz, event text, who text, detail jsonb)
LANGUAGE c STABLE SECURITY DEFINER ROWS 10 AS 'MODULE_PATHNAME', 'ico_order_history';
ALTER FUNCTION incomplete_orders.order_history OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.order_history IS
	'Everything that happened to an order, with the changes of edits and the notes of staff; who is null for what fell due by itself';

-- Trigger functions and the small C functions that tables and views stand on.
-- Their names and signatures are permanent: tables depend on them.

CREATE FUNCTION incomplete_orders.shop_of(id uuid) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_shop_of_sql';
COMMENT ON FUNCTION incomplete_orders.shop_of(uuid) IS 'The shop_id that an id carries; null for a uuid that is not of our making';

CREATE FUNCTION incomplete_orders._new_id(shop_id integer) RETURNS uuid
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_new_id';
COMMENT ON FUNCTION incomplete_orders._new_id(integer) IS 'A new UUIDv7 of that shop';

CREATE FUNCTION incomplete_orders._id_at(at timestamptz) RETURNS uuid
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_id_at';
COMMENT ON FUNCTION incomplete_orders._id_at(timestamptz) IS 'The least id of that millisecond: a partition bound';

CREATE FUNCTION incomplete_orders._reference_of(n bigint) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_reference_of';
COMMENT ON FUNCTION incomplete_orders._reference_of(bigint) IS 'INC- and 10 Crockford base32 characters; a permutation of 0 .. 2^50 - 1, so distinct numbers give distinct references';

CREATE FUNCTION incomplete_orders._currency_exponent(currency text) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_currency_exponent_sql';
COMMENT ON FUNCTION incomplete_orders._currency_exponent(text) IS 'Decimal places of a currency (ISO 4217)';

CREATE FUNCTION incomplete_orders._order_total(items incomplete_orders.line_items, shipping numeric, tax numeric,
	discount numeric, coupon_discount numeric, currency text) RETURNS numeric
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_order_total_sql';
COMMENT ON FUNCTION incomplete_orders._order_total(incomplete_orders.line_items, numeric, numeric, numeric, numeric, text) IS
	'total(items) + shipping + tax - discount - coupon_discount, rounded half up to the currency''s exponent';

CREATE FUNCTION incomplete_orders._filled_count(items incomplete_orders.line_items) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_filled_count';
COMMENT ON FUNCTION incomplete_orders._filled_count(incomplete_orders.line_items) IS 'Sum of filled over all lines';

CREATE FUNCTION incomplete_orders._cluster_id() RETURNS bigint
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'ico_cluster_id';
COMMENT ON FUNCTION incomplete_orders._cluster_id() IS 'The system identifier of this cluster';

CREATE FUNCTION incomplete_orders._guard_move() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_guard_move';
COMMENT ON FUNCTION incomplete_orders._guard_move() IS 'Refuses every change of state that the transition table does not have';

-- Deferred triggers run at commit, when the definer's rights are gone again.
CREATE FUNCTION incomplete_orders._check_order() RETURNS trigger
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_check_order';
ALTER FUNCTION incomplete_orders._check_order() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._check_order() IS 'Holds the invariants of an incomplete order and its orders at every commit';

-- On a shop's own tables: CREATE TRIGGER asks for the right to execute it, a
-- write of the shop does not.
CREATE FUNCTION incomplete_orders._mark_cart() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_mark_cart';
COMMENT ON FUNCTION incomplete_orders._mark_cart() IS 'Leaves a mark for the cart that a row of a shop''s own table belongs to; made by attach(). It asks for no right of the role that writes, and never fails';

CREATE FUNCTION incomplete_orders._refuse_truncate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_refuse_truncate';
COMMENT ON FUNCTION incomplete_orders._refuse_truncate() IS 'TRUNCATE would pass by every other trigger';

CREATE FUNCTION incomplete_orders._invalidate_cache() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_invalidate_cache';
COMMENT ON FUNCTION incomplete_orders._invalidate_cache() IS 'Tells every backend to read this table again';

CREATE FUNCTION incomplete_orders._guard_consents() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_guard_consents';
COMMENT ON FUNCTION incomplete_orders._guard_consents() IS 'Consents are not changed, and deleted only with their shop, by retention, or when their person is forgotten';

CREATE FUNCTION incomplete_orders._allow_erasure() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_allow_erasure';
ALTER FUNCTION incomplete_orders._allow_erasure() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._allow_erasure() IS 'For the rest of this transaction consents may be deleted: forget_customer';

CREATE FUNCTION incomplete_orders._allow_purge() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_allow_purge';
ALTER FUNCTION incomplete_orders._allow_purge() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._allow_purge() IS 'For the rest of this transaction whole orders may be deleted, with everything made from them: delete_shop';

CREATE FUNCTION incomplete_orders._allow_retention() RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'ico_allow_retention';
ALTER FUNCTION incomplete_orders._allow_retention() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._allow_retention() IS
	'For the rest of this transaction closed orders may be deleted while the orders made from them stay: retention, cleanup, moves between partitions';

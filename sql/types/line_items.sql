-- The lines of a cart: a base type, in src/line_items.c.
--
-- These functions are pure and stay executable by PUBLIC; they are the only
-- ones that do.

CREATE TYPE incomplete_orders.line_items;

CREATE FUNCTION incomplete_orders._line_items_in(cstring) RETURNS incomplete_orders.line_items
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_in';
CREATE FUNCTION incomplete_orders._line_items_out(incomplete_orders.line_items) RETURNS cstring
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_out';
CREATE FUNCTION incomplete_orders._line_items_recv(internal) RETURNS incomplete_orders.line_items
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_recv';
CREATE FUNCTION incomplete_orders._line_items_send(incomplete_orders.line_items) RETURNS bytea
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_send';

CREATE TYPE incomplete_orders.line_items (
	INPUT = incomplete_orders._line_items_in,
	OUTPUT = incomplete_orders._line_items_out,
	RECEIVE = incomplete_orders._line_items_recv,
	SEND = incomplete_orders._line_items_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = int4,
	STORAGE = extended,
	CATEGORY = 'U'
);
COMMENT ON TYPE incomplete_orders.line_items IS 'The lines of a cart, written as a JSON array of objects with sku, quantity, unit_price and more; always valid and priced';

-- Casts

CREATE FUNCTION incomplete_orders._line_items_from_text(text) RETURNS incomplete_orders.line_items
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_from_text';
CREATE FUNCTION incomplete_orders._line_items_from_json(json) RETURNS incomplete_orders.line_items
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_from_text';
CREATE FUNCTION incomplete_orders._line_items_from_jsonb(jsonb) RETURNS incomplete_orders.line_items
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_from_jsonb';
CREATE FUNCTION incomplete_orders._line_items_to_jsonb(incomplete_orders.line_items) RETURNS jsonb
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_to_jsonb';

CREATE CAST (jsonb AS incomplete_orders.line_items)
	WITH FUNCTION incomplete_orders._line_items_from_jsonb(jsonb) AS IMPLICIT;
CREATE CAST (json AS incomplete_orders.line_items)
	WITH FUNCTION incomplete_orders._line_items_from_json(json) AS ASSIGNMENT;
CREATE CAST (text AS incomplete_orders.line_items)
	WITH FUNCTION incomplete_orders._line_items_from_text(text) AS ASSIGNMENT;
CREATE CAST (incomplete_orders.line_items AS jsonb)
	WITH FUNCTION incomplete_orders._line_items_to_jsonb(incomplete_orders.line_items) AS ASSIGNMENT;
CREATE CAST (incomplete_orders.line_items AS text) WITH INOUT AS ASSIGNMENT;

-- What a cart holds

CREATE FUNCTION incomplete_orders.total(items incomplete_orders.line_items) RETURNS numeric
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_total';
COMMENT ON FUNCTION incomplete_orders.total(incomplete_orders.line_items) IS 'Sum of quantity times unit price, exact';

CREATE FUNCTION incomplete_orders.item_count(items incomplete_orders.line_items) RETURNS bigint
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_item_count';
COMMENT ON FUNCTION incomplete_orders.item_count(incomplete_orders.line_items) IS 'Sum of the quantities';

CREATE FUNCTION incomplete_orders.unnest(items incomplete_orders.line_items)
	RETURNS TABLE (line integer, sku text, name text, quantity integer, unit_price numeric, filled integer,
				   product_id text, variant text, image_url text, url text, extras jsonb)
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 3 AS 'MODULE_PATHNAME', 'ico_line_items_unnest';
COMMENT ON FUNCTION incomplete_orders.unnest(incomplete_orders.line_items) IS 'The lines as rows; extras holds all keys that are not known';

CREATE FUNCTION incomplete_orders.diff(before incomplete_orders.line_items, after incomplete_orders.line_items) RETURNS jsonb
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_diff';
COMMENT ON FUNCTION incomplete_orders.diff(incomplete_orders.line_items, incomplete_orders.line_items) IS
	'Array of the lines added, removed and changed, each changed fact as [before, after]; [] when both hold the same lines, in whatever order';

-- Order: that of the canonical bytes, good for indexes, DISTINCT and joins

CREATE FUNCTION incomplete_orders._line_items_eq(incomplete_orders.line_items, incomplete_orders.line_items) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_eq';
CREATE FUNCTION incomplete_orders._line_items_ne(incomplete_orders.line_items, incomplete_orders.line_items) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_ne';
CREATE FUNCTION incomplete_orders._line_items_lt(incomplete_orders.line_items, incomplete_orders.line_items) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_lt';
CREATE FUNCTION incomplete_orders._line_items_le(incomplete_orders.line_items, incomplete_orders.line_items) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_le';
CREATE FUNCTION incomplete_orders._line_items_gt(incomplete_orders.line_items, incomplete_orders.line_items) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_gt';
CREATE FUNCTION incomplete_orders._line_items_ge(incomplete_orders.line_items, incomplete_orders.line_items) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_ge';
CREATE FUNCTION incomplete_orders._line_items_cmp(incomplete_orders.line_items, incomplete_orders.line_items) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_cmp';
CREATE FUNCTION incomplete_orders._line_items_hash(incomplete_orders.line_items) RETURNS integer
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_hash';
CREATE FUNCTION incomplete_orders._line_items_hash_extended(incomplete_orders.line_items, bigint) RETURNS bigint
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_line_items_hash_extended';

CREATE OPERATOR incomplete_orders.= (
	LEFTARG = incomplete_orders.line_items, RIGHTARG = incomplete_orders.line_items,
	FUNCTION = incomplete_orders._line_items_eq,
	COMMUTATOR = OPERATOR(incomplete_orders.=), NEGATOR = OPERATOR(incomplete_orders.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR incomplete_orders.= (incomplete_orders.line_items, incomplete_orders.line_items) IS 'equal: the same canonical form';

CREATE OPERATOR incomplete_orders.<> (
	LEFTARG = incomplete_orders.line_items, RIGHTARG = incomplete_orders.line_items,
	FUNCTION = incomplete_orders._line_items_ne,
	COMMUTATOR = OPERATOR(incomplete_orders.<>), NEGATOR = OPERATOR(incomplete_orders.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR incomplete_orders.<> (incomplete_orders.line_items, incomplete_orders.line_items) IS 'not equal';

CREATE OPERATOR incomplete_orders.< (
	LEFTARG = incomplete_orders.line_items, RIGHTARG = incomplete_orders.line_items,
	FUNCTION = incomplete_orders._line_items_lt,
	COMMUTATOR = OPERATOR(incomplete_orders.>), NEGATOR = OPERATOR(incomplete_orders.>=),
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR incomplete_orders.< (incomplete_orders.line_items, incomplete_orders.line_items) IS 'less, by stored bytes';

CREATE OPERATOR incomplete_orders.<= (
	LEFTARG = incomplete_orders.line_items, RIGHTARG = incomplete_orders.line_items,
	FUNCTION = incomplete_orders._line_items_le,
	COMMUTATOR = OPERATOR(incomplete_orders.>=), NEGATOR = OPERATOR(incomplete_orders.>),
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR incomplete_orders.<= (incomplete_orders.line_items, incomplete_orders.line_items) IS 'less or equal, by stored bytes';

CREATE OPERATOR incomplete_orders.> (
	LEFTARG = incomplete_orders.line_items, RIGHTARG = incomplete_orders.line_items,
	FUNCTION = incomplete_orders._line_items_gt,
	COMMUTATOR = OPERATOR(incomplete_orders.<), NEGATOR = OPERATOR(incomplete_orders.<=),
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR incomplete_orders.> (incomplete_orders.line_items, incomplete_orders.line_items) IS 'greater, by stored bytes';

CREATE OPERATOR incomplete_orders.>= (
	LEFTARG = incomplete_orders.line_items, RIGHTARG = incomplete_orders.line_items,
	FUNCTION = incomplete_orders._line_items_ge,
	COMMUTATOR = OPERATOR(incomplete_orders.<=), NEGATOR = OPERATOR(incomplete_orders.<),
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR incomplete_orders.>= (incomplete_orders.line_items, incomplete_orders.line_items) IS 'greater or equal, by stored bytes';

CREATE OPERATOR CLASS incomplete_orders.line_items_ops
	DEFAULT FOR TYPE incomplete_orders.line_items USING btree AS
		OPERATOR 1 incomplete_orders.<,
		OPERATOR 2 incomplete_orders.<=,
		OPERATOR 3 incomplete_orders.=,
		OPERATOR 4 incomplete_orders.>=,
		OPERATOR 5 incomplete_orders.>,
		FUNCTION 1 incomplete_orders._line_items_cmp(incomplete_orders.line_items, incomplete_orders.line_items);

CREATE OPERATOR CLASS incomplete_orders.line_items_ops
	DEFAULT FOR TYPE incomplete_orders.line_items USING hash AS
		OPERATOR 1 incomplete_orders.=,
		FUNCTION 1 incomplete_orders._line_items_hash(incomplete_orders.line_items),
		FUNCTION 2 incomplete_orders._line_items_hash_extended(incomplete_orders.line_items, bigint);

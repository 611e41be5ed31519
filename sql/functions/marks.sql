-- Marks of changed carts: what the trigger of attach() leaves in cart_marks, and
-- the way from there to due_carts.

CREATE FUNCTION incomplete_orders._is_fresh_mark(inserted_by xid, top xid8, snapshot pg_snapshot, drained_by xid8) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_is_fresh_mark';
COMMENT ON FUNCTION incomplete_orders._is_fresh_mark IS
	'Whether a mark may have come after that snapshot: by the transaction that put the row there and by the one that the row names. True in doubt, and without a snapshot';

CREATE FUNCTION incomplete_orders._tick_marks(segment integer, rotate boolean) RETURNS boolean
LANGUAGE c STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS 'MODULE_PATHNAME', 'ico_tick_marks';
ALTER FUNCTION incomplete_orders._tick_marks OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_marks IS
	'Takes over what is new in a partition of cart_marks into due_carts; rotate: empties the partition where all of it was taken over a minute ago and nobody writes to it. False: another tick holds the lock';

-- Reading the carts that are due.

CREATE FUNCTION incomplete_orders._tick_attachments(shops integer[], at timestamptz) RETURNS integer[]
LANGUAGE c STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_tick_attachments';
ALTER FUNCTION incomplete_orders._tick_attachments OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_attachments IS 'Attachments of these shops that may have carts to be read at that instant, but those that are broken and wait';

CREATE FUNCTION incomplete_orders._tick_carts(attachment integer, at timestamptz, most integer,
	OUT free boolean, OUT carts integer, OUT refused integer, OUT more boolean)
LANGUAGE c STRICT SECURITY DEFINER SET jit = off SET enable_seqscan = off AS 'MODULE_PATHNAME', 'ico_tick_carts';
ALTER FUNCTION incomplete_orders._tick_carts OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_carts IS
	'Reads at most so many carts of an attachment that are due, as the role that attached, and makes of them what they are now. free false: another tick holds the lock; refused: of the carts, how many could not be captured; more: there may be others';

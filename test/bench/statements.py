"""What is measured, and what it is measured against."""

# The plain limit: the least that a shop which keeps carts in one table of its own can do.
PLAIN_TABLE = """CREATE TABLE plain_carts (shop_id int, session_id text, items jsonb, email text,
    updated_at timestamptz, PRIMARY KEY (shop_id, session_id)) WITH (fillfactor = 70)"""
PLAIN = """INSERT INTO plain_carts (shop_id, session_id, items, updated_at) VALUES (1, $1, $2, now())
    ON CONFLICT (shop_id, session_id) DO UPDATE SET items = EXCLUDED.items, updated_at = now()"""

CAPTURE = "SELECT incomplete_orders.capture_cart($1, $2)"
FACTS = "SELECT incomplete_orders.capture_cart($1, $2, email => $3, context => $4)"
BATCH = "SELECT count(id) FROM incomplete_orders.capture_carts($1)"
CONVERT = "SELECT * FROM incomplete_orders.convert_order($1)"

# The same tables with the same indexes and partitions, but no triggers: schema by_hand.
BY_HAND_TABLES = """
DO $$
DECLARE
    name text;
    part record;
BEGIN
    CREATE SCHEMA by_hand;
    FOREACH name IN ARRAY ARRAY['open_orders', 'orders', 'order_items', 'order_event_tail'] LOOP
        EXECUTE format('CREATE TABLE by_hand.%1$I (LIKE incomplete_orders.%1$I INCLUDING ALL)', name);
    END LOOP;
    ALTER TABLE by_hand.open_orders SET (fillfactor = 70);
    CREATE TABLE by_hand.closed_orders (LIKE incomplete_orders.closed_orders INCLUDING ALL) PARTITION BY RANGE (id);
    CREATE TABLE by_hand.order_events (LIKE incomplete_orders.order_events INCLUDING ALL) PARTITION BY RANGE (recorded_at);
    FOR part IN
        SELECT p.relname AS parent, c.relname AS child, pg_get_expr(c.relpartbound, c.oid) AS bound
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.relnamespace = 'incomplete_orders'::regnamespace AND p.relkind = 'p'
    LOOP
        EXECUTE format('CREATE TABLE by_hand.%I PARTITION OF by_hand.%I %s', part.child, part.parent, part.bound);
    END LOOP;
END
$$"""


def conversion_by_hand(columns, events):
    """One data-modifying WITH that does convert_order's work on rows, without its checks."""
    columns = ", ".join(columns)
    statement = f"""
WITH gone AS (
    DELETE FROM by_hand.open_orders WHERE shop_id = 1 AND id = $1 RETURNING *
), closed AS (
    INSERT INTO by_hand.closed_orders ({columns}, status, closed_at)
    SELECT {columns}, 'converted', now() FROM gone RETURNING *
), made AS (
    INSERT INTO by_hand.orders (shop_id, order_id, order_number, incomplete_order_id, part, currency,
        shipping, tax, discount, coupon_discount, total, paid, paid_at, converted_at)
    SELECT shop_id, incomplete_orders._new_id(shop_id), 'IO-' || nextval('incomplete_orders.order_number_seq'), id, 1,
        currency, shipping, tax, discount, coupon_discount,
        round(incomplete_orders.total(items) + shipping + tax - discount - coupon_discount, 2), true, now(), now()
    FROM gone
    RETURNING order_id, order_number, incomplete_order_id, part, total, currency, paid, converted_at
), lines AS (
    INSERT INTO by_hand.order_items (shop_id, order_id, line, sku, name, quantity, unit_price, product_id, variant,
        image_url, url, extras)
    SELECT gone.shop_id, made.order_id, u.line, u.sku, u.name, u.quantity, u.unit_price, u.product_id, u.variant,
        u.image_url, u.url, u.extras
    FROM gone, made, incomplete_orders.unnest(gone.items) u
)"""
    if events:
        facts = """shop_id, order_id, root_id, episode, event, at, status_before, kind, currency, value, item_count,
        furthest_step, bot, created_at, abandoned_at, paid_amount"""
        statement += f""", event AS (
    INSERT INTO by_hand.order_events (event_id, recorded_at, actor, status_after, order_ref, {facts})
    SELECT nextval('incomplete_orders.event_seq'), clock_timestamp(), current_user, 'converted', made.order_id,
        gone.shop_id, gone.id, gone.root_id, gone.episode, 'converted', now(), gone.status, gone.kind, gone.currency,
        made.total, incomplete_orders.item_count(gone.items), gone.furthest_step, gone.bot, gone.created_at,
        gone.abandoned_at, made.total
    FROM gone, made
    RETURNING event_id, {facts}
), tail AS (
    INSERT INTO by_hand.order_event_tail (event_id, {facts}) SELECT event_id, {facts} FROM event
)"""
    return statement + " SELECT * FROM made"

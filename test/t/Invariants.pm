# What must be true of a whole database at any time: a query that names
# everything that is not.
package Invariants;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(violations);

my $query = q{
WITH o AS MATERIALIZED (
	SELECT shop_id, id, status, kind, items, reference, true AS open FROM incomplete_orders.open_orders
	UNION ALL
	SELECT shop_id, id, status, kind, items, reference, false FROM incomplete_orders.closed_orders),
r AS MATERIALIZED (
	SELECT r.*, l.lines, l.quantity FROM incomplete_orders.orders r LEFT JOIN LATERAL (
		SELECT sum(i.quantity * i.unit_price) AS lines, sum(i.quantity) AS quantity
		FROM incomplete_orders.order_items i WHERE (i.shop_id, i.order_id) = (r.shop_id, r.order_id)) l ON true),
e AS MATERIALIZED (SELECT * FROM incomplete_orders.order_events),
story AS MATERIALIZED (SELECT order_id AS id, count(*) FILTER (WHERE event IN ('created', 'continued')) AS created,
	count(*) FILTER (WHERE event IN ('converted', 'partly_converted')) AS conversions,
	(array_agg(status_after ORDER BY event_id DESC))[1] AS last_status FROM e GROUP BY 1),
per AS (SELECT incomplete_order_id AS id, count(*) AS parts, max(part) AS last, sum(quantity) AS quantity, bool_or(foreign_order IS NOT NULL) AS outside
	FROM r WHERE incomplete_order_id IS NOT NULL GROUP BY 1),
-- what is folded, and what is not yet
counted AS (SELECT shop_id, state, sum(n) AS counted FROM (
	SELECT shop_id, CASE s.key WHEN 'merged' THEN 'deleted' ELSE s.key END AS state, s.value::numeric AS n
	FROM incomplete_orders.rollup_states c, jsonb_each_text(to_jsonb(c)) s
	WHERE s.key = 'merged' OR s.key IN (SELECT unnest(enum_range(NULL::incomplete_orders.order_status))::text)
	UNION ALL SELECT shop_id, status_after::text, 1 FROM incomplete_orders.order_event_tail
	WHERE event IN ('created', 'recounted') AND status_after IS NOT NULL OR status_before <> status_after
	UNION ALL SELECT shop_id, status_before::text, -1 FROM incomplete_orders.order_event_tail
	WHERE event = 'recounted' AND status_before IS NOT NULL OR status_before <> status_after) c GROUP BY 1, 2)
SELECT 'in two places: ' || id FROM o GROUP BY id HAVING count(*) <> 1
UNION ALL SELECT 'in the wrong place: ' || id FROM o WHERE open <> (status <= 'abandoned')
UNION ALL SELECT 'events of no order: ' || s.id FROM story s LEFT JOIN o USING (id) WHERE o.id IS NULL
UNION ALL SELECT 'not created, or twice: ' || o.id FROM o LEFT JOIN story s USING (id) WHERE s.created IS DISTINCT FROM 1
UNION ALL SELECT 'state other than its last event: ' || o.id FROM o JOIN story USING (id) WHERE status <> last_status
UNION ALL SELECT 'event and tail differ: ' || event_id FROM e RIGHT JOIN incomplete_orders.order_event_tail t USING (shop_id, event_id, order_id, event)
	WHERE e.at IS DISTINCT FROM t.at OR e.value IS DISTINCT FROM t.value
UNION ALL SELECT 'reports count other orders: ' || coalesce(shop_id, 0) || ' ' || coalesce(state, '') || ' ' || coalesce(counted, 0) || ', not ' || coalesce(there, 0)
	FROM (SELECT shop_id, status::text AS state, count(*) AS there FROM o GROUP BY 1, 2) x FULL JOIN counted USING (shop_id, state)
	WHERE coalesce(counted, 0) <> coalesce(there, 0)
UNION ALL SELECT 'converted without order: ' || id FROM o WHERE status = 'converted' AND NOT EXISTS (SELECT FROM per WHERE per.id = o.id)
UNION ALL SELECT 'order of what is neither converted nor partial: ' || id FROM o JOIN per USING (id) WHERE status NOT IN ('converted', 'reversed') AND kind <> 'partial'
UNION ALL SELECT 'order of no incomplete one: ' || id FROM per WHERE NOT EXISTS (SELECT FROM o WHERE o.id = per.id)
UNION ALL SELECT 'parts are not 1, 2, 3: ' || id FROM per WHERE parts <> last
UNION ALL SELECT 'conversions other than events: ' || id FROM per JOIN story USING (id) WHERE parts <> conversions
UNION ALL SELECT 'quantities ordered other than filled: ' || id FROM o JOIN per USING (id)
	WHERE NOT outside AND quantity <> CASE WHEN incomplete_orders._filled_count(items) > 0 THEN incomplete_orders._filled_count(items) ELSE incomplete_orders.item_count(items) END
UNION ALL SELECT 'total other than lines and charges: ' || order_id FROM r
	WHERE foreign_order IS NULL AND (total <> floor((lines + shipping + tax - discount - coupon_discount) * 100 + 0.5) / 100 OR lines IS NULL)
UNION ALL SELECT 'order number twice: ' || order_number FROM r GROUP BY shop_id, order_number HAVING count(*) > 1
UNION ALL SELECT 'reference twice: ' || reference FROM o GROUP BY shop_id, reference HAVING count(*) > 1
UNION ALL SELECT 'refunds other than their sum: ' || order_id FROM r
	WHERE refunded <> coalesce((SELECT sum(amount) FROM incomplete_orders.order_refunds f WHERE f.order_id = r.order_id), 0) OR refunded > total
LIMIT 20};

# The names of what is wrong; empty when all is well.
sub violations
{
	my ($node, $database) = @_;
	return $node->safe_psql($database // 'postgres', $query);
}

1;

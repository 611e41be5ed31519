-- What the history of an order shows: who, when, and what changed from one abandonment to the next.
SET incomplete_orders.staff = 'Jane';
SELECT incomplete_orders.capture_cart('history', '[{"sku":"A","quantity":1,"unit_price":1}]', at => '2026-01-01 10:00+00') AS id \gset
RESET incomplete_orders.staff;
SELECT incomplete_orders.capture_cart('history', '[{"sku":"A","quantity":2,"unit_price":1}]', at => '2026-01-01 12:00+00') = :'id' AS same;
SELECT incomplete_orders.capture_cart('history', '[{"sku":"A","quantity":2,"unit_price":1},{"sku":"B","quantity":1,"unit_price":5}]',
	at => '2026-01-01 12:30+00') = :'id' AS same;
-- the clock has no name, and the second abandonment shows what the customer changed since the first
CALL incomplete_orders.tick(at => '2026-01-01 14:00+00') \gset
SELECT to_char(h.at AT TIME ZONE 'UTC', 'HH24:MI') AS at, h.event, replace(h.who, current_user, 'me') AS who, h.detail -> 'changes' AS changes
FROM incomplete_orders.order_history(:'id') h;
-- the third: A went; B went too but came back, which is no change
SELECT incomplete_orders.capture_cart('history', '[]', at => '2026-01-01 15:00+00') = :'id' AS same;
SELECT incomplete_orders.capture_cart('history', '[{"sku":"B","quantity":1,"unit_price":5}]', at => '2026-01-01 15:10+00') = :'id' AS same;
CALL incomplete_orders.tick(at => '2026-01-01 17:00+00') \gset
SELECT to_char(h.at AT TIME ZONE 'UTC', 'HH24:MI') AS at, h.event, h.detail ->> 'episode' AS episode, h.detail -> 'changes' AS changes
FROM incomplete_orders.order_history(:'id') h WHERE h.event = 'abandoned';
-- closed, it stays
SELECT incomplete_orders.delete_order(:'id', at => '2026-01-01 18:00+00');
SELECT count(*) AS with_changes FROM incomplete_orders.order_history(:'id') h WHERE h.detail ? 'changes';
-- a name that cannot be one is refused
SET incomplete_orders.staff = E'two\nlines';
SELECT set_config('incomplete_orders.staff', repeat('x', 61), false);

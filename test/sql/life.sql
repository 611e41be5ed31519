-- What staff and payment providers do: payments pending and failed, abandoned,
-- dismissed and deleted by hand, notes, edits, and the same for many.
SET search_path = pg_catalog;
\pset null (null)
\set cart '[{"sku":"A","quantity":2,"unit_price":10}]'
CREATE TEMP TABLE made (name text PRIMARY KEY, id uuid NOT NULL);
CREATE FUNCTION pg_temp.make(name text, at timestamptz DEFAULT now()) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO made VALUES (name, incomplete_orders.capture_cart('staff-' || name, '[{"sku":"A","quantity":2,"unit_price":10}]', at => at)) RETURNING id
$$;
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql AS $$ SELECT id FROM made WHERE made.name = id.name $$;
CREATE FUNCTION pg_temp.outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT * FROM incomplete_orders.' || command INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(SQLSTATE || ': ' || SQLERRM, '[0-9a-f]{8}-[0-9a-f-]{27}', 'X', 'g');
END
$$;
CREATE FUNCTION pg_temp.story(name text) RETURNS TABLE (event text, before incomplete_orders.order_status, after incomplete_orders.order_status, episode integer, reason text, somebody boolean) LANGUAGE sql AS $$
	SELECT event, status_before, status_after, episode, reason_code, actor IS NOT NULL FROM incomplete_orders.order_events WHERE order_id = pg_temp.id(story.name) ORDER BY event_id
$$;
CREATE FUNCTION pg_temp.state(name text) RETURNS TABLE (status incomplete_orders.order_status, kind incomplete_orders.order_kind, episode integer, reason text, closed boolean) LANGUAGE sql AS $$
	SELECT status, kind, episode, abandonment_reason, closed_at IS NOT NULL FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id(state.name)
$$;

-- A payment on its way: the customer's order waits for it.
SELECT pg_temp.make('pay', now() - interval '3 hours') IS NOT NULL AS made;
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('pay'), 'charge-1', now() + interval '2 days', at => now() - interval '150 minutes');
SELECT * FROM pg_temp.state('pay');
SELECT payment_reference, payment_deadline - now() BETWEEN interval '47 hours' AND interval '48 hours' AS deadline, furthest_step, next_action_at = payment_deadline AS looked_at_then FROM incomplete_orders.open_orders WHERE id = pg_temp.id('pay');
-- two hours without activity do not abandon it, nor does a capture end the payment
SELECT incomplete_orders.capture_cart('staff-pay', NULL, email => 'p@example.com') = pg_temp.id('pay') AS same_order;
SELECT * FROM pg_temp.state('pay');
-- again: another reference
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('pay'), 'charge-2');
SELECT payment_reference, payment_deadline = expires_at AS as_long_as_it_lives FROM incomplete_orders.open_orders WHERE id = pg_temp.id('pay');
-- it fails; then it comes after all
SELECT incomplete_orders.mark_payment_failed(pg_temp.id('pay'), 'card_declined');
SELECT * FROM pg_temp.state('pay');
SELECT can FROM incomplete_orders.can_convert(pg_temp.id('pay'));
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('pay'), 'charge-3');
SELECT total FROM incomplete_orders.convert_order(pg_temp.id('pay'));
SELECT * FROM pg_temp.story('pay');
-- a failed payment: the customer comes back
SELECT pg_temp.make('retry') IS NOT NULL AS made;
SELECT incomplete_orders.mark_payment_failed(pg_temp.id('retry'));
SELECT incomplete_orders.capture_cart('staff-retry', :'cart') = pg_temp.id('retry') AS same_order;
SELECT * FROM pg_temp.state('retry');
-- the customer chooses to go back to the cart
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('retry'), 'charge');
SELECT incomplete_orders.capture_cart('staff-retry', NULL, kind => 'cart') = pg_temp.id('retry') AS same_order;
SELECT * FROM pg_temp.state('retry');
SELECT event, before, after FROM pg_temp.story('retry');
-- a payment that begins after the abandonment is the next episode
SELECT pg_temp.make('back', now() - interval '2 hours') IS NOT NULL AS made;
SELECT incomplete_orders.mark_payment_pending(pg_temp.id('back'), 'charge');
SELECT event, before, after, episode FROM pg_temp.story('back');
-- a failed payment is abandoned like a cart
SELECT pg_temp.make('failed', now() - interval '2 hours') IS NOT NULL AS made;
SELECT incomplete_orders.mark_payment_failed(pg_temp.id('failed'), at => now() - interval '90 minutes');
SELECT incomplete_orders.capture_cart('staff-failed', :'cart') = pg_temp.id('failed') AS same_order;
SELECT event, before, after, episode FROM pg_temp.story('failed');

-- Abandoned before its time, with a reason; again changes nothing.
SELECT pg_temp.make(n) IS NOT NULL AS made FROM unnest(ARRAY['left', 'dismissed', 'deleted']) n;
SELECT incomplete_orders.mark_abandoned(pg_temp.id('left'), 'too_expensive', dry_run => true), (SELECT status FROM pg_temp.state('left')) AS still;
SELECT incomplete_orders.mark_abandoned(pg_temp.id('left'), 'too_expensive');
SELECT incomplete_orders.mark_abandoned(pg_temp.id('left'), 'another reason');
SELECT * FROM pg_temp.state('left');
SELECT * FROM pg_temp.story('left');
-- What staff close is closed; the reason stays with it.
SELECT incomplete_orders.dismiss_order(pg_temp.id('dismissed'), dry_run => true), (SELECT status FROM pg_temp.state('dismissed')) AS still;
SELECT incomplete_orders.dismiss_order(pg_temp.id('dismissed'), 'spam'), incomplete_orders.delete_order(pg_temp.id('deleted'), 'removed by the shop');
SELECT incomplete_orders.dismiss_order(pg_temp.id('dismissed')), incomplete_orders.delete_order(pg_temp.id('deleted'));
SELECT session_id, status, close_reason, late FROM incomplete_orders.closed_orders WHERE id IN (pg_temp.id('dismissed'), pg_temp.id('deleted')) ORDER BY 1;
SELECT call, pg_temp.outcome(call) FROM unnest(ARRAY['dismiss_order(pg_temp.id(''deleted''))', 'delete_order(pg_temp.id(''dismissed''))', 'mark_abandoned(pg_temp.id(''dismissed''))', 'mark_abandoned(pg_temp.id(''dismissed''), dry_run => true)',
	'mark_payment_pending(pg_temp.id(''deleted''), ''x'')', 'mark_payment_failed(pg_temp.id(''left''))', 'convert_order(pg_temp.id(''dismissed''), paid => false)']) call;
-- but a payment that arrives is never refused
SELECT total FROM incomplete_orders.convert_order(pg_temp.id('dismissed'));
SELECT status, late FROM incomplete_orders.closed_orders WHERE id = pg_temp.id('dismissed');
-- an emptied cart holds nothing that could be abandoned
SELECT incomplete_orders.capture_cart('staff-left', '[]') = pg_temp.id('left') AS same_order;
SELECT pg_temp.outcome('mark_abandoned(pg_temp.id(''left''))');

-- Notes, in order, on open and closed ones.
SELECT incomplete_orders.add_note(pg_temp.id('left'), 'called her') < incomplete_orders.add_note(pg_temp.id('deleted'), 'why?') AS in_order;
SELECT n.note, n.actor = current_user AS by_me FROM incomplete_orders.order_notes n WHERE order_id IN (pg_temp.id('left'), pg_temp.id('deleted')) ORDER BY note_id;

-- Edits: only on the version that was read, never the activity, with a diff.
SELECT pg_temp.make('edit', now() - interval '10 minutes') IS NOT NULL AS made;
SELECT version, last_activity_at AS active FROM incomplete_orders.open_orders WHERE id = pg_temp.id('edit') \gset
SELECT incomplete_orders.edit_order(pg_temp.id('edit'), '{"email":"staff@example.com","shipping":5,"items":[{"sku":"A","quantity":3,"unit_price":9},{"sku":"B","quantity":1,"unit_price":1}]}', :version) > :version AS newer;
SELECT email, shipping, items, total, last_activity_at = :'active' AS activity_stays FROM incomplete_orders.incomplete_orders WHERE id = pg_temp.id('edit');
SELECT pg_temp.outcome(format('edit_order(pg_temp.id(''edit''), ''{"email":"x@y"}'', %s)', :version));
SELECT version FROM incomplete_orders.open_orders WHERE id = pg_temp.id('edit') \gset
SELECT incomplete_orders.edit_order(pg_temp.id('edit'), '{"email":null,"name":"N","address":{"city":"Bonn"}}', :version) > :version AS newer;
SELECT email, name, address FROM incomplete_orders.open_orders WHERE id = pg_temp.id('edit');
-- an edit that changes nothing leaves no event
SELECT version FROM incomplete_orders.open_orders WHERE id = pg_temp.id('edit') \gset
SELECT incomplete_orders.edit_order(pg_temp.id('edit'), '{"name":"N"}', :version) >= :version AS same;
SELECT event, before, after FROM pg_temp.story('edit');
SELECT changes FROM incomplete_orders.order_changes WHERE order_id = pg_temp.id('edit') ORDER BY event_id;
SELECT pg_temp.outcome(format('edit_order(pg_temp.id(''edit''), %L, %s)', changes, (SELECT version FROM incomplete_orders.open_orders WHERE id = pg_temp.id('edit'))))
FROM unnest(ARRAY['{"items":[{"sku":"A","quantity":0,"unit_price":9}]}', '{"email":"nobody"}', '{"phone":"\u0007"}', '{"status":"converted"}', '{"discount":"NaN"}', '{"currency":"euro"}']) changes;

-- Many at once: one answer each, none stops the others, none changes with dry_run.
SELECT count(pg_temp.make('many-' || n)) FROM generate_series(1, 4) n;
SELECT m.name, r.result, regexp_replace(r.reason, '[0-9a-f]{8}-[0-9a-f-]{27}', 'X') AS reason FROM incomplete_orders.dismiss_orders(ARRAY[pg_temp.id('many-1'), pg_temp.id('pay'), incomplete_orders._new_id(1), NULL, pg_temp.id('many-2')], 'spam', dry_run => true) r LEFT JOIN made m USING (id) ORDER BY name, reason;
SELECT m.name, r.result, regexp_replace(r.reason, '[0-9a-f]{8}-[0-9a-f-]{27}', 'X') AS reason FROM incomplete_orders.dismiss_orders(ARRAY[pg_temp.id('many-1'), pg_temp.id('pay'), incomplete_orders._new_id(1), NULL], 'spam') r LEFT JOIN made m USING (id) ORDER BY name, reason;
SELECT m.name, r.result, regexp_replace(r.reason, 'IO-[0-9]+', 'IO-n') AS reason FROM incomplete_orders.convert_orders(ARRAY[pg_temp.id('many-2'), pg_temp.id('many-1'), pg_temp.id('left')]) r JOIN made m USING (id) ORDER BY name, result;
SELECT m.name, r.result FROM incomplete_orders.mark_abandoned_many(ARRAY[pg_temp.id('many-3'), pg_temp.id('many-2')], 'x') r JOIN made m USING (id) ORDER BY name, result;
SELECT m.name, r.result FROM incomplete_orders.delete_orders(ARRAY[pg_temp.id('many-3'), pg_temp.id('many-4'), pg_temp.id('many-4')], 'x') r JOIN made m USING (id) ORDER BY name, result;
SELECT name, (pg_temp.state(name)).status FROM made WHERE name LIKE 'many%' ORDER BY 1;
SELECT count(*) FROM incomplete_orders.dismiss_orders(NULL) UNION ALL SELECT count(*) FROM incomplete_orders.dismiss_orders('{}');
-- their states and events agree
SELECT count(*) AS state_is_not_the_last_event FROM made JOIN incomplete_orders.incomplete_orders o USING (id)
JOIN LATERAL (SELECT status_after FROM incomplete_orders.order_events e WHERE e.order_id = o.id ORDER BY event_id DESC LIMIT 1) e ON true WHERE e.status_after <> o.status;

-- What is kept no longer.  Whole months go with their partition
-- (partitions.sql); here are the rows that go before, or that remained.

CREATE FUNCTION incomplete_orders._unsubscribe_key(shop_id integer, recipient text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT (incomplete_orders._person_keys($1, NULL, $2, NULL))[1] $$;
COMMENT ON FUNCTION incomplete_orders._unsubscribe_key(integer, text) IS 'What stays of the address that a deleted message went to';

-- The keys only, whatever the statistics say.
CREATE FUNCTION incomplete_orders._retire_details(shop_ids integer[], ids uuid[], root_ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
	PERFORM incomplete_orders._keep_orders(shop_ids, ids, root_ids);
	WITH gone AS MATERIALIZED (
		SELECT g.shop_id, g.id, g.root_id FROM unnest(shop_ids, ids, root_ids) g (shop_id, id, root_id)
	), messages AS (
		DELETE FROM incomplete_orders.messages m USING gone WHERE m.shop_id = gone.shop_id AND m.root_id = gone.root_id AND m.order_id = gone.id
		RETURNING m.shop_id, m.id, m.recipient, m.sent_at
	), recipients AS (
		INSERT INTO incomplete_orders.past_recipients (shop_id, message_id, person)
		SELECT m.shop_id, m.id, incomplete_orders._unsubscribe_key(m.shop_id, m.recipient) FROM messages m WHERE m.sent_at IS NOT NULL AND m.recipient <> ''
	), skips AS (
		DELETE FROM incomplete_orders.message_skips k USING gone WHERE k.shop_id = gone.shop_id AND k.order_id = gone.id
	), notes AS (
		DELETE FROM incomplete_orders.order_notes n USING gone WHERE n.shop_id = gone.shop_id AND n.order_id = gone.id
	), changes AS (
		DELETE FROM incomplete_orders.order_changes n USING gone WHERE n.shop_id = gone.shop_id AND n.order_id = gone.id
	), continued AS (
		DELETE FROM incomplete_orders.continued_orders n USING gone WHERE n.shop_id = gone.shop_id AND n.root_id = gone.root_id AND n.order_id = gone.id
	)
	DELETE FROM incomplete_orders.order_events e USING gone WHERE e.shop_id = gone.shop_id AND e.order_id = gone.id;
END
$$;
ALTER FUNCTION incomplete_orders._retire_details(integer[], uuid[], uuid[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._retire_details(integer[], uuid[], uuid[]) IS
	'Deletes notes, edits, messages, their ledger and events of closed orders that were deleted; keeps by whom an unsubscribe link was got, and what reports counted. Call _allow_retention() and _lock_rollups() before';

-- One shop's closed orders between two ids, the oldest first: those whose
-- retention is over go, with their notes, edits, messages and events.  PL/pgSQL keeps the
-- plan, which over all partitions takes longer to make than to run; the settings
-- let it use the keys whatever the statistics say.
CREATE FUNCTION incomplete_orders._retire(shop_id integer, after uuid, before uuid, closed_before timestamptz, most integer,
	OUT seen integer, OUT deleted integer, OUT last uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
	shops integer[];
	ids uuid[];
	root_ids uuid[];
BEGIN
	-- where it was cut short the next call begins behind the last one deleted
	WITH looked AS MATERIALIZED (
		SELECT c.id, c.closed_at FROM incomplete_orders.closed_orders c
		WHERE c.shop_id = _retire.shop_id AND c.id > after AND c.id < before ORDER BY c.id LIMIT most * 10
	), due AS MATERIALIZED (
		SELECT c.id FROM looked l JOIN incomplete_orders.closed_orders c ON c.id = l.id
		WHERE l.closed_at <= closed_before AND c.closed_at <= closed_before
			AND c.shop_id = _retire.shop_id AND c.id > after AND c.id < before
		ORDER BY l.id LIMIT most FOR UPDATE OF c SKIP LOCKED
	)
	SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM due), ARRAY(SELECT d.id FROM due d),
		CASE WHEN (SELECT count(*) FROM due) = most THEN (SELECT d.id FROM due d ORDER BY d.id DESC LIMIT 1)
			ELSE (SELECT l.id FROM looked l ORDER BY l.id DESC LIMIT 1) END
	INTO seen, deleted, ids, last;
	IF deleted = 0 THEN
		RETURN;
	END IF;
	shops := array_fill(_retire.shop_id, ARRAY[deleted]);
	PERFORM incomplete_orders._fold_orders(shops, ids);	-- while the carts are there
	WITH gone AS (
		DELETE FROM incomplete_orders.closed_orders c USING unnest(ids) due (id)
		WHERE c.shop_id = _retire.shop_id AND c.id = due.id AND c.id > after AND c.id < before RETURNING c.id, c.root_id
	)
	SELECT array_agg(g.id), array_agg(g.root_id) INTO ids, root_ids FROM gone g;
	PERFORM incomplete_orders._retire_details(shops, ids, root_ids);
END
$$;
ALTER FUNCTION incomplete_orders._retire OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._retire IS
	'Deletes at most `most` closed orders of a shop with an id in between and closed by then, looking at ten times as many; orders, order_items and order_refunds stay. Call _allow_retention() and _lock_rollups() before';

-- A partition takes its orders with it, but their notes, edits and messages are
-- elsewhere; a message is never older than its order.
CREATE FUNCTION incomplete_orders._retire_orphans(shop_id integer, before uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
	DELETE FROM incomplete_orders.order_notes n WHERE n.shop_id = _retire_orphans.shop_id AND n.order_id < before
		AND NOT EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id = n.shop_id AND o.id = n.order_id)
		AND NOT EXISTS (SELECT FROM incomplete_orders.closed_orders c WHERE c.shop_id = n.shop_id AND c.id = n.order_id);
	DELETE FROM incomplete_orders.order_changes n WHERE n.shop_id = _retire_orphans.shop_id AND n.order_id < before
		AND NOT EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id = n.shop_id AND o.id = n.order_id)
		AND NOT EXISTS (SELECT FROM incomplete_orders.closed_orders c WHERE c.shop_id = n.shop_id AND c.id = n.order_id);
	WITH messages AS (
		DELETE FROM incomplete_orders.messages n WHERE n.shop_id = _retire_orphans.shop_id AND n.id < before
			AND NOT EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id = n.shop_id AND o.id = n.order_id)
			AND NOT EXISTS (SELECT FROM incomplete_orders.closed_orders c WHERE c.shop_id = n.shop_id AND c.id = n.order_id)
		RETURNING n.shop_id, n.id, n.recipient, n.sent_at
	)
	INSERT INTO incomplete_orders.past_recipients (shop_id, message_id, person)
	SELECT m.shop_id, m.id, incomplete_orders._unsubscribe_key(m.shop_id, m.recipient) FROM messages m WHERE m.sent_at IS NOT NULL AND m.recipient <> '';
	DELETE FROM incomplete_orders.message_skips n WHERE n.shop_id = _retire_orphans.shop_id AND n.order_id < before
		AND NOT EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id = n.shop_id AND o.id = n.order_id)
		AND NOT EXISTS (SELECT FROM incomplete_orders.closed_orders c WHERE c.shop_id = n.shop_id AND c.id = n.order_id);
	DELETE FROM incomplete_orders.continued_orders n WHERE n.shop_id = _retire_orphans.shop_id AND n.order_id < before
		AND NOT EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id = n.shop_id AND o.id = n.order_id)
		AND NOT EXISTS (SELECT FROM incomplete_orders.closed_orders c WHERE c.shop_id = n.shop_id AND c.id = n.order_id);
	-- what they count as is kept; events of theirs that are younger go with their month
	DELETE FROM incomplete_orders.order_outcomes n WHERE n.shop_id = _retire_orphans.shop_id AND n.root_id < before AND n.kept
		AND NOT EXISTS (SELECT FROM incomplete_orders.continued_orders k WHERE k.shop_id = n.shop_id AND k.root_id = n.root_id)
		AND NOT EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id = n.shop_id AND o.id = n.root_id)
		AND NOT EXISTS (SELECT FROM incomplete_orders.closed_orders c WHERE c.shop_id = n.shop_id AND c.id = n.root_id);
END
$$;
ALTER FUNCTION incomplete_orders._retire_orphans(integer, uuid) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._retire_orphans(integer, uuid) IS 'Deletes notes, edits, messages and their ledger of orders older than that id which are gone';

-- No order lives longer than its shop's expiry after it was begun, or begun again.
CREATE FUNCTION incomplete_orders._retire_persons(shop_id integer, at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
	PERFORM incomplete_orders._count_arms(ARRAY[_retire_persons.shop_id], _retire_persons.at, NULL);
	-- five days: an arm is counted by them three days after the window, on the next sweep
	DELETE FROM incomplete_orders.person_orders p USING incomplete_orders.shops s
	WHERE p.shop_id = _retire_persons.shop_id AND s.shop_id = _retire_persons.shop_id
		AND p.ordered_at < incomplete_orders._later(incomplete_orders._later(_retire_persons.at, -greatest(s.expiry, interval '5 days')), -s.attribution_window);
	-- a claim counts from when a message was sent, which may be five days after it was queued
	DELETE FROM incomplete_orders.person_messages p USING incomplete_orders.shops s
	WHERE p.shop_id = _retire_persons.shop_id AND s.shop_id = _retire_persons.shop_id
		AND p.queued_at < incomplete_orders._later(incomplete_orders._later(_retire_persons.at, -greatest(interval '30 days', s.min_gap)), -interval '7 days');
	-- drawn again they are the same, unless the share has changed
	DELETE FROM incomplete_orders.person_arms p USING incomplete_orders.shops s
	WHERE p.shop_id = _retire_persons.shop_id AND s.shop_id = _retire_persons.shop_id
		AND p.counted AND p.assigned_at < incomplete_orders._later(_retire_persons.at, -s.retention);
	-- two years: no coupon is valid, and no cool-down lasts, for longer than one
	DELETE FROM incomplete_orders.coupon_persons p
	WHERE p.shop_id = _retire_persons.shop_id AND p.issued_at < incomplete_orders._later(_retire_persons.at, -interval '730 days');
	DELETE FROM incomplete_orders.issued_coupons i USING incomplete_orders.shops s
	WHERE i.shop_id = _retire_persons.shop_id AND s.shop_id = _retire_persons.shop_id
		AND i.issued_at < incomplete_orders._later(_retire_persons.at, -greatest(interval '730 days', s.retention));
	-- What was in force stays for as long as it may have to be shown; what is in force
	-- stays, because it says whom the shop may mail.
	DELETE FROM incomplete_orders.consents c USING incomplete_orders.shops s
	WHERE c.shop_id = _retire_persons.shop_id AND s.shop_id = _retire_persons.shop_id AND c.at < incomplete_orders._later(_retire_persons.at, -s.retention)
		AND EXISTS (SELECT FROM incomplete_orders.consents n WHERE n.shop_id = c.shop_id AND n.person = c.person AND n.purpose = c.purpose
			AND (n.at, n.consent_id) > (c.at, c.consent_id) AND n.at < incomplete_orders._later(_retire_persons.at, -s.retention));
	-- the links of a message last five years; two days, because they count days
	DELETE FROM incomplete_orders.past_recipients p
	WHERE p.shop_id = _retire_persons.shop_id
		AND p.message_id < incomplete_orders._id_at(greatest(_retire_persons.at - interval '1828 days', 'epoch'));
END
$$;
ALTER FUNCTION incomplete_orders._retire_persons(integer, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._retire_persons(integer, timestamptz) IS
	'Deletes what is known of a shop''s persons and of no use any more: purchases and messages that can stop no message, arms older than the shop''s retention, consents that something newer replaced, recipients of messages whose links are no longer valid';

-- A sweep over all shops, once a day, in as many calls as it takes; where it is
-- stands in heartbeats.  Orders that closed long after they began are looked at
-- once a day until they are due, everything else once.
--
-- A shop with the longest retention leaves its orders to their partition.  Where
-- that stays because a few of its orders lived on, they go here three months later.
CREATE FUNCTION incomplete_orders._tick_retention(at timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	edge timestamptz := least(_tick_retention.at, clock_timestamp());
	sweep record;
	cursor_shop integer;
	cursor_id uuid;
	longest interval;
	expiry interval;
	oldest timestamptz;
	shop record;
	bound timestamptz;
	result record;
	deleted bigint := 0;
	failed integer := 0;
	wanted integer;
	looks integer := 0;
	finished boolean := true;
	zero CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
	shops_per_call CONSTANT integer := 1000;
BEGIN
	IF NOT incomplete_orders._lock_rollups(false) THEN
		RETURN 0;	-- they are being computed anew
	END IF;
	most := greatest(coalesce(most, 1000), 1);
	INSERT INTO incomplete_orders.heartbeats (job, at, report) VALUES ('retention', '-infinity', '{"finished": true}') ON CONFLICT DO NOTHING;
	SELECT h.at, h.report INTO sweep FROM incomplete_orders.heartbeats h WHERE h.job = 'retention' FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN 0;	-- another tick is at it
	END IF;
	-- at every tick, because reports read what waits
	PERFORM incomplete_orders._count_arms(ARRAY(SELECT s.shop_id FROM incomplete_orders.shops s), edge, NULL, most);
	IF coalesce((sweep.report ->> 'finished')::boolean, true) THEN
		-- a clock that was set back must not stop it
		IF edge >= sweep.at AND edge < sweep.at + interval '1 day' THEN
			RETURN 0;
		END IF;
		sweep.at := edge;
		sweep.report := '{}';
	END IF;
	cursor_shop := coalesce((sweep.report ->> 'shop_id')::integer, 0);
	cursor_id := coalesce((sweep.report ->> 'id')::uuid, zero);
	SELECT max(s.retention), max(s.expiry) INTO longest, expiry FROM incomplete_orders.shops s;
	SELECT min(p.low) INTO oldest FROM incomplete_orders._partitions('closed_orders') p;

	PERFORM incomplete_orders._allow_retention();
	FOR shop IN
		SELECT s.shop_id, s.shop, s.retention FROM incomplete_orders.shops s WHERE s.shop_id >= cursor_shop ORDER BY s.shop_id
	LOOP
		looks := looks + 1;
		IF looks > shops_per_call THEN
			cursor_shop := shop.shop_id;
			finished := false;
			EXIT;
		END IF;
		IF shop.shop_id <> cursor_shop THEN
			cursor_id := zero;
		END IF;
		cursor_shop := shop.shop_id;
		bound := greatest(CASE WHEN shop.retention < longest THEN edge - shop.retention
			ELSE edge - longest - expiry - interval '4 months' END, 'epoch');
		IF bound > oldest THEN
			wanted := most - deleted;
			BEGIN
				result := incomplete_orders._retire(shop.shop_id, cursor_id, incomplete_orders._id_at(bound), edge - shop.retention, wanted);
			EXCEPTION WHEN OTHERS THEN
				-- a foreign key of the user's, perhaps: no reason to stop the clock
				RAISE WARNING 'could not delete orders of shop "%" whose retention is over', shop.shop USING ERRCODE = SQLSTATE, DETAIL = SQLERRM;
				failed := failed + 1;
				CONTINUE;
			END;
			deleted := deleted + result.deleted;
			IF result.seen = wanted * 10 OR result.deleted = wanted THEN
				cursor_id := result.last;
				finished := false;
				EXIT;
			END IF;
		END IF;
		PERFORM incomplete_orders._retire_orphans(shop.shop_id, incomplete_orders._id_at(greatest(edge - shop.retention, 'epoch')));
		PERFORM incomplete_orders._retire_persons(shop.shop_id, edge);
		PERFORM incomplete_orders._retire_deliveries(shop.shop_id, edge);
		cursor_id := zero;
	END LOOP;
	UPDATE incomplete_orders.heartbeats h
	SET at = sweep.at, report = jsonb_build_object('finished', finished, 'deleted', coalesce((sweep.report ->> 'deleted')::bigint, 0) + deleted,
			'failed', coalesce((sweep.report ->> 'failed')::integer, 0) + failed)
		|| CASE WHEN finished THEN '{}' ELSE jsonb_build_object('shop_id', cursor_shop, 'id', cursor_id) END
	WHERE h.job = 'retention';
	RETURN deleted;
END
$$;
ALTER FUNCTION incomplete_orders._tick_retention(timestamptz, integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_retention(timestamptz, integer) IS
	'Deletes closed orders whose shop''s retention is over at `at`, at most so many, with their notes, edits, messages and events; returns how many. A sweep a day, continued by the next call; orders, order_items and order_refunds stay';

-- By hand, and only what never became an order, not even in part.
CREATE FUNCTION incomplete_orders.cleanup(days integer DEFAULT 90, dry_run boolean DEFAULT false, at timestamptz DEFAULT now())
RETURNS TABLE (action text, n bigint, examples text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('cleanup', '*');
	edge timestamptz;
	chosen record;
	of_status incomplete_orders.order_status;
BEGIN
	IF days IS NULL OR days NOT BETWEEN 1 AND 36500 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "days" must be between 1 and 36500',
			DETAIL = 'It says how long a closed order is kept.';
	END IF;
	edge := least(cleanup.at, clock_timestamp()) - make_interval(days => days);
	PERFORM incomplete_orders._allow_retention();
	IF dry_run IS FALSE THEN
		PERFORM incomplete_orders._lock_rollups(true);
		PERFORM incomplete_orders._fold_all();	-- while the carts are there
	END IF;
	FOREACH of_status IN ARRAY ARRAY['expired', 'dismissed', 'deleted']::incomplete_orders.order_status[] LOOP
		IF dry_run IS FALSE THEN
			WITH gone AS (
				DELETE FROM incomplete_orders.closed_orders c
				WHERE c.shop_id = ANY (shop_ids) AND c.closed_at < edge AND c.status = of_status
					AND NOT EXISTS (SELECT FROM incomplete_orders.orders o WHERE o.shop_id = c.shop_id AND o.incomplete_order_id = c.id)
				RETURNING c.shop_id, c.id, c.root_id, c.reference, c.closed_at
			)
			SELECT count(*) AS n, ARRAY(SELECT g.reference FROM gone g ORDER BY g.closed_at, g.reference LIMIT 10) AS examples,
				array_agg(gone.shop_id) AS shop_ids, array_agg(gone.id) AS ids, array_agg(gone.root_id) AS root_ids INTO chosen FROM gone;
			PERFORM incomplete_orders._retire_details(chosen.shop_ids, chosen.ids, chosen.root_ids);
		ELSE
			WITH gone AS (
				SELECT c.reference, c.closed_at FROM incomplete_orders.closed_orders c
				WHERE c.shop_id = ANY (shop_ids) AND c.closed_at < edge AND c.status = of_status
					AND NOT EXISTS (SELECT FROM incomplete_orders.orders o WHERE o.shop_id = c.shop_id AND o.incomplete_order_id = c.id)
			)
			SELECT count(*) AS n, ARRAY(SELECT g.reference FROM gone g ORDER BY g.closed_at, g.reference LIMIT 10) AS examples INTO chosen FROM gone;
		END IF;
		action := 'delete ' || of_status;
		n := chosen.n;
		examples := chosen.examples;
		RETURN NEXT;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders.cleanup(integer, boolean, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.cleanup(integer, boolean, timestamptz) IS
	'Deletes what closed as expired, dismissed or deleted more than so many days ago in the caller''s shops, with its notes, edits, messages and events, in one transaction; says how many and names the first ten. Never a converted order, never one of which a part was ordered, never orders, order_items or order_refunds. dry_run changes nothing. 22023';

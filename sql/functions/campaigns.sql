-- Campaigns: which order is mailed what and when.

CREATE FUNCTION incomplete_orders._seed_campaigns() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO incomplete_orders.campaigns (shop_id, campaign, kind)
	SELECT NEW.shop_id, k::text, k FROM unnest(enum_range(NULL::incomplete_orders.order_kind)) k;
	-- 1 h, 24 h and 72 h after the abandonment is the usual sequence of the trade
	INSERT INTO incomplete_orders.campaign_steps (shop_id, campaign, step, delay, message_type, template)
	SELECT NEW.shop_id, k::text, s.step, s.delay,
		CASE WHEN s.step = 3 THEN 'final_reminder' WHEN k = 'payment' THEN 'payment_reminder' ELSE 'abandoned_cart' END,
		k || '_' || s.template
	FROM unnest(enum_range(NULL::incomplete_orders.order_kind)) k
	CROSS JOIN (VALUES (1, interval '1 hour', 'abandoned'), (2, '24 hours', 'reminder'), (3, '72 hours', 'final')) s (step, delay, template);
	RETURN NULL;
END
$$;
ALTER FUNCTION incomplete_orders._seed_campaigns() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._seed_campaigns() IS 'A new shop gets the default campaigns, off';

CREATE FUNCTION incomplete_orders._later(at timestamptz, span interval) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_later';
COMMENT ON FUNCTION incomplete_orders._later(timestamptz, interval) IS
	'at + span with days of 24 hours and months of 30 days, whatever the time zone of the session';

CREATE FUNCTION incomplete_orders._arm_orders(shop_id integer, campaign text, waiting boolean, others boolean) RETURNS bigint
LANGUAGE c STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_arm_orders';
ALTER FUNCTION incomplete_orders._arm_orders(integer, text, boolean, boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._arm_orders(integer, text, boolean, boolean) IS
	'Abandoned orders that a campaign which is on should mail get the instant of their next step: those that wait for one already, the others, or both. How many changed';

-- What decides, here and by hand, is one large statement: compiling it (JIT) takes longer
-- than running it, and a plan that was made when tables were empty must not read them all later.
CREATE FUNCTION incomplete_orders._tick_messages(shops integer[], at timestamptz, per_shop integer, most integer)
RETURNS TABLE (shop_id integer, queued integer, skipped integer, more boolean)
LANGUAGE c STRICT SECURITY DEFINER SET jit = off SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ico_tick_messages';
ALTER FUNCTION incomplete_orders._tick_messages OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_messages IS
	'One batch of tick: queues what is due of the campaigns of these shops, at most per_shop orders of each, at most so many in all, and notifies whoever listens to incomplete_orders; one row per shop that had any. more: this shop may have more. One row with shop_id null: another tick holds the lock';

-- The shop's row is locked for the rest of the transaction: a batch of tick that
-- began before has ended, and none decides by what is changed here.
CREATE FUNCTION incomplete_orders._enter_campaign(right_name text, campaign text, shop text, at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	entered integer := incomplete_orders._enter_shop(right_name, shop, at);
BEGIN
	PERFORM FROM incomplete_orders.shops s WHERE s.shop_id = entered FOR NO KEY UPDATE;
	IF NOT EXISTS (SELECT FROM incomplete_orders.campaigns c WHERE c.shop_id = entered AND c.campaign = _enter_campaign.campaign) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN campaign IS NULL THEN 'argument "campaign" must not be null' ELSE format('there is no campaign "%s"', campaign) END,
			DETAIL = (SELECT 'This shop has ' || coalesce(string_agg(c.campaign, ', ' ORDER BY c.kind), 'none') || '.'
				FROM incomplete_orders.campaigns c WHERE c.shop_id = entered),
			HINT = 'A campaign belongs to a kind of order: cart, payment or partial.';
	END IF;
	RETURN entered;
END
$$;
ALTER FUNCTION incomplete_orders._enter_campaign(text, text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._enter_campaign(text, text, text, timestamptz) IS
	'The shop_id of shop, locked, if the acting role may use that function there and the shop has that campaign; IC001, IC002, 22023';

CREATE FUNCTION incomplete_orders.enable_campaign(campaign text, shop text DEFAULT NULL, not_older_than interval DEFAULT '1 day',
	at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	instant timestamptz := coalesce(enable_campaign.at, now());
	entered integer := incomplete_orders._enter_campaign('enable_campaign', enable_campaign.campaign, enable_campaign.shop, instant);
BEGIN
	IF not_older_than IS NULL OR not_older_than < interval '0' OR not_older_than > interval '365 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "not_older_than" must be between 0 and 365 days',
			DETAIL = 'Orders that were abandoned longer ago than that are never mailed by the campaign.';
	END IF;
	-- one that is on already may reach further back, and forgets no order
	UPDATE incomplete_orders.campaigns c
	SET enabled = true, changed_at = clock_timestamp(),
		not_before = least(CASE WHEN c.enabled THEN c.not_before END, incomplete_orders._later(instant, -not_older_than))
	WHERE c.shop_id = entered AND c.campaign = enable_campaign.campaign;
	PERFORM incomplete_orders._arm_orders(entered, enable_campaign.campaign, true, true);
END
$$;
ALTER FUNCTION incomplete_orders.enable_campaign(text, text, interval, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.enable_campaign(text, text, interval, timestamptz) IS
	'Turns a campaign (cart, payment, partial) on: tick queues its steps for orders of that kind abandoned from not_older_than ago on, never for older ones. Orders abandoned since then get what is due next; called again, it can only reach further back, and waiting orders follow steps that the owner changed in campaign_steps meanwhile. IC002, 22023';

CREATE FUNCTION incomplete_orders.disable_campaign(campaign text, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	instant timestamptz := coalesce(disable_campaign.at, now());
	entered integer := incomplete_orders._enter_campaign('disable_campaign', disable_campaign.campaign, disable_campaign.shop, instant);
BEGIN
	UPDATE incomplete_orders.campaigns c SET enabled = false, changed_at = clock_timestamp()
	WHERE c.shop_id = entered AND c.campaign = disable_campaign.campaign;
	-- messages before orders: whoever holds an order waits for no message
	WITH cancelled AS (
		UPDATE incomplete_orders.messages m SET status = 'cancelled', reason = 'campaign_disabled'
		WHERE m.shop_id = entered AND m.campaign = disable_campaign.campaign AND m.status IN ('queued', 'sending')
		RETURNING m.*
	)
	INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, ordinal, message_id, at, reason)
	SELECT c.shop_id, c.order_id, c.episode, c.campaign, c.step, c.ordinal, c.id, instant, c.reason FROM cancelled c;
	UPDATE incomplete_orders.open_orders o SET next_message_at = NULL
	FROM incomplete_orders.campaigns c
	WHERE c.shop_id = entered AND c.campaign = disable_campaign.campaign AND o.shop_id = entered AND o.kind = c.kind AND o.next_message_at IS NOT NULL;
END
$$;
ALTER FUNCTION incomplete_orders.disable_campaign(text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.disable_campaign(text, text, timestamptz) IS
	'Turns a campaign off: what waits of it is cancelled at once (reason campaign_disabled), and nothing more is queued. Where it is turned on again, orders go on with the step behind the last one that was queued. IC002, 22023';

-- An order that was abandoned in a transaction which ended only after its campaign
-- was turned on could not know of it.
CREATE FUNCTION incomplete_orders._tick_campaigns(shops integer[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(sum(incomplete_orders._arm_orders(c.shop_id, c.campaign, false, true)), 0)::bigint FROM incomplete_orders.campaigns c
	WHERE c.enabled AND c.changed_at > clock_timestamp() - interval '10 minutes'
		AND c.shop_id = ANY ($1) AND c.shop_id = ANY ((SELECT incomplete_orders._visible_shops('tick', '*'))::integer[])
$$;
ALTER FUNCTION incomplete_orders._tick_campaigns(integer[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._tick_campaigns(integer[]) IS
	'For some minutes after a campaign of these shops was turned on: orders that were abandoned at that moment and wait for nothing get their next step; how many';

CREATE FUNCTION incomplete_orders._enter_order(object text, id uuid) RETURNS integer
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_enter_order_sql';
ALTER FUNCTION incomplete_orders._enter_order(text, uuid) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._enter_order(text, uuid) IS 'The shop_id of an order if the acting role may use that function for it; IC001, IC003';

CREATE FUNCTION incomplete_orders.send_recovery_emails(hours_after integer DEFAULT 2, max_attempts integer DEFAULT 3, dry_run boolean DEFAULT false,
	shop text DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS TABLE (order_id uuid, recipient text, message_type text, action text, reason text)
LANGUAGE c SECURITY DEFINER SET jit = off SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ico_send_recovery_emails';
ALTER FUNCTION incomplete_orders.send_recovery_emails(integer, integer, boolean, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.send_recovery_emails(integer, integer, boolean, text, timestamptz) IS
	'Writes what is due for the shop''s orders, then queues the next step of each abandoned order whose customer has been away for hours_after hours and that had fewer than max_attempts messages since it was abandoned; no campaign need be on. The first step is queued at once, later ones keep the distance that the campaign''s steps have. One row per abandoned order, queued or skipped and why (why_not_sent has the reasons, and attempts_exhausted, not_due, min_gap, quiet_hours). dry_run changes nothing and says the same. The sidecar sends. 22023';

CREATE FUNCTION incomplete_orders.send_recovery_email(id uuid, message_type text DEFAULT NULL, subject text DEFAULT NULL, idempotency_key text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_send_recovery_email';
ALTER FUNCTION incomplete_orders.send_recovery_email(uuid, text, text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.send_recovery_email(uuid, text, text, text, timestamptz) IS
	'Queues one message for an abandoned order, whatever was sent before; returns its id. message_type is abandoned_cart, payment_reminder, final_reminder or discount_offer, by default that of as many attempts; subject instead of the template''s. The campaign''s next step then waits for at least the shop''s min_gap. Somebody who is held out may be mailed so; the event says it. The same key returns the same message. IC003, IC008, IC015 (detail: not_abandoned, converted, expired, dismissed, deleted, reversed, no_recipient, empty, ordered, no_consent, bot and excluded_* (by the shop''s settings), or why the person is suppressed), 22023';

-- Each in a subtransaction of its own, as in _for_each().
CREATE FUNCTION incomplete_orders.send_recovery_emails_many(ids uuid[], message_type text DEFAULT NULL, subject text DEFAULT NULL,
	dry_run boolean DEFAULT false, idempotency_key text DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS TABLE (id uuid, result text, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	seen uuid[] := '{}';
BEGIN
	IF cardinality(ids) > 10000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('argument "ids" has %s elements, more than 10000', cardinality(ids)),
			HINT = 'Call it in batches.';
	END IF;
	FOREACH id IN ARRAY coalesce(ids, '{}') LOOP
		result := 'queued';
		reason := NULL;
		-- nobody gets two because a list names an order twice
		IF id = ANY (seen) THEN
			result := 'refused';
			reason := 'named twice';
			RETURN NEXT;
			CONTINUE;
		END IF;
		seen := seen || id;
		BEGIN
			PERFORM incomplete_orders.send_recovery_email(id, send_recovery_emails_many.message_type, send_recovery_emails_many.subject,
				send_recovery_emails_many.idempotency_key || '/' || id, send_recovery_emails_many.at);
			IF dry_run THEN
				RAISE EXCEPTION USING ERRCODE = 'ICDRY';
			END IF;
		EXCEPTION
			WHEN serialization_failure OR deadlock_detected OR query_canceled OR admin_shutdown THEN
				RAISE;
			-- only looked at: it is undone
			WHEN SQLSTATE 'ICDRY' THEN
				NULL;
			WHEN SQLSTATE 'IC015' THEN
				GET STACKED DIAGNOSTICS reason = PG_EXCEPTION_DETAIL;
				result := 'refused';
			WHEN OTHERS THEN
				result := 'refused';
				reason := incomplete_orders._own_words(SQLSTATE, SQLERRM);
		END;
		RETURN NEXT;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders.send_recovery_emails_many(uuid[], text, text, boolean, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.send_recovery_emails_many(uuid[], text, text, boolean, text, timestamptz) IS
	'send_recovery_email() for several orders: one row per id, queued, or refused and why. dry_run says the same and queues nothing. With an idempotency_key nobody gets a second message when the call is repeated';

CREATE FUNCTION incomplete_orders.preview_recovery(shop text DEFAULT NULL, at timestamptz DEFAULT now(), campaigns text[] DEFAULT NULL,
	not_older_than interval DEFAULT '1 day')
RETURNS TABLE (due_at timestamptz, order_id uuid, recipient text, campaign text, step integer, action text, reason text, variant text)
LANGUAGE c SECURITY DEFINER SET jit = off SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'ico_preview_recovery';
ALTER FUNCTION incomplete_orders.preview_recovery(text, timestamptz, text[], interval) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.preview_recovery(text, timestamptz, text[], interval) IS
	'Who would be mailed by the campaigns that are on, or why not, if tick ran at that instant and not before; changes nothing. One row per order whose next step falls due until then, at due_at: queued, skipped with a reason (those of why_not_sent), or postponed until due_at because of min_gap, quiet_hours or availability (the shop''s function failed, which a warning says); variant: which one of the step''s they would get. campaigns: as if enable_campaign() turned these on now, or at that instant if it is past, with not_older_than; all of that is rolled back (it waits for whom enable_campaign() would wait for). Payments that the shop would be asked about (payment_state) are taken for pending; what it can still sell (availability) is asked';

CREATE FUNCTION incomplete_orders.why_not_sent(id uuid) RETURNS TABLE (at timestamptz, step integer, reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_shop integer := incomplete_orders._enter_order('why_not_sent', why_not_sent.id);
	of_order uuid := why_not_sent.id;
BEGIN
	RETURN QUERY
	WITH o AS (
		SELECT o.shop_id, o.id, o.root_id, o.kind, o.status, o.sequence_step, o.next_message_at, o.abandoned_at, o.lost_at, NULL::timestamptz AS closed_at,
			CASE WHEN d.step = 'abandoned' THEN d.due_at END AS abandons_at
		FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s USING (shop_id)
		CROSS JOIN LATERAL incomplete_orders._due_step(o.status, incomplete_orders.item_count(o.items) = 0, o.last_activity_at,
			o.abandoned_at, o.lost_at, o.expires_at, o.payment_deadline, s.cut_off, s.attribution_window) d
		WHERE o.shop_id = of_shop AND o.id = of_order
		UNION ALL
		SELECT o.shop_id, o.id, o.root_id, o.kind, o.status, o.sequence_step, NULL, o.abandoned_at, NULL, o.closed_at, NULL
		FROM incomplete_orders.closed_orders o WHERE o.shop_id = of_shop AND o.id = of_order
	), known AS (
		SELECT k.at, k.step, k.reason FROM incomplete_orders.message_skips k WHERE k.shop_id = of_shop AND k.order_id = of_order
		UNION ALL
		SELECT CASE m.status WHEN 'sent' THEN m.sent_at ELSE m.due_at END, m.step, m.status::text
		FROM o JOIN incomplete_orders.messages m ON m.shop_id = o.shop_id AND m.root_id = o.root_id AND m.order_id = o.id
		WHERE m.status IN ('queued', 'sending', 'sent')
	), now_is AS (
		SELECT CASE WHEN o.closed_at IS NOT NULL THEN o.closed_at
				WHEN o.status <> 'abandoned' THEN o.abandons_at
				WHEN o.lost_at IS NOT NULL THEN o.lost_at
				WHEN o.next_message_at IS NOT NULL THEN o.next_message_at
				WHEN c.enabled IS NOT TRUE THEN c.changed_at
				WHEN o.abandoned_at < c.not_before THEN c.not_before END AS at,
			CASE WHEN o.closed_at IS NULL THEN n.step END AS step,
			CASE WHEN o.closed_at IS NOT NULL THEN o.status::text
				WHEN o.status <> 'abandoned' THEN 'not_abandoned'
				WHEN o.lost_at IS NOT NULL THEN 'lost'
				WHEN o.next_message_at IS NOT NULL THEN CASE WHEN o.next_message_at > now() THEN 'not_due' ELSE 'due' END
				WHEN c.enabled IS NOT TRUE THEN 'campaign_disabled'
				WHEN o.abandoned_at < c.not_before THEN 'before_campaign'
				WHEN n.step IS NULL THEN 'attempts_exhausted'
				ELSE 'not_due' END AS reason
		FROM o LEFT JOIN incomplete_orders.campaigns c ON c.shop_id = o.shop_id AND c.kind = o.kind
		LEFT JOIN LATERAL (SELECT s.step FROM incomplete_orders.campaign_steps s WHERE s.shop_id = c.shop_id AND s.campaign = c.campaign
			AND s.step > o.sequence_step ORDER BY s.step LIMIT 1) n ON true
	)
	SELECT a.at, a.step, a.reason FROM (
		SELECT k.at, k.step, k.reason, 1 AS rank FROM known k
		UNION ALL
		SELECT p.at, p.step, p.reason, 2 FROM now_is p
		WHERE NOT EXISTS (SELECT FROM known k WHERE k.reason = p.reason AND (p.step IS NULL OR k.step = p.step))
	) a ORDER BY a.rank, a.at, a.step;
END
$$;
ALTER FUNCTION incomplete_orders.why_not_sent(uuid) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.why_not_sent(uuid) IS
	'Why an order was mailed or not, oldest first, and last what is true of it now; step 0 is a message by hand. Decided: no_recipient, bot, empty (nothing that is not ordered yet), unsubscribed, not_me, hard_bounce, complaint, erased, suppressed or another reason of suppress(), no_consent (the setting consent_rule), excluded_address, excluded_domain, excluded_customer, excluded_products (nothing else is left to buy), excluded_value (by the setting exclusions), other_cart (that person has a better one, which is mailed), cap_per_episode, cap_per_person (by the settings of these names; the latter counts 30 days), ordered (by another cart since this one was begun), already_bought (a cart opened soon after a purchase that holds nothing new), holdout (the setting of that name), campaign_disabled, before_campaign (abandoned before the campaign was to begin), customer_returned, converted, dismissed, deleted, expired, reversed, lost, attempts_exhausted, unavailable (nothing of it can be sold any more), too_old (not sent within five days), rejected (by the mail server), discarded. Messages: queued, sending, sent. Now: not_abandoned (at: when it will be), not_due (at: when it is), due (tick decides), or one of the above. IC003';

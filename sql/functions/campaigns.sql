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

CREATE FUNCTION incomplete_orders._arm_orders(shop_id integer, campaign text) RETURNS bigint
LANGUAGE c STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_arm_orders';
ALTER FUNCTION incomplete_orders._arm_orders(integer, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._arm_orders(integer, text) IS
	'Abandoned orders that a campaign which is on should mail, and that wait for nothing, get the instant of their next step; how many';

CREATE FUNCTION incomplete_orders._tick_messages(shops integer[], at timestamptz, per_shop integer, most integer)
RETURNS TABLE (shop_id integer, queued integer, skipped integer, more boolean)
LANGUAGE c STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_tick_messages';
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
	PERFORM incomplete_orders._arm_orders(entered, enable_campaign.campaign);
END
$$;
ALTER FUNCTION incomplete_orders.enable_campaign(text, text, interval, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.enable_campaign(text, text, interval, timestamptz) IS
	'Turns a campaign (cart, payment, partial) on: tick queues its steps for orders of that kind abandoned from not_older_than ago on, never for older ones. Orders abandoned since then get what is due next; called again, it can only reach further back. IC002, 22023';

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

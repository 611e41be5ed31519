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

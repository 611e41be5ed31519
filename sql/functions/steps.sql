-- The steps of campaigns, as a manager sees and changes them.

CREATE FUNCTION incomplete_orders._missing_settings(from_email text, base_url text, postal_address text) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY(SELECT w.setting FROM (VALUES (1, 'from_email', $1), (2, 'base_url', $2), (3, 'postal_address', $3)) w (n, setting, value)
		WHERE coalesce(w.value, '') = '' ORDER BY w.n)
$$;
COMMENT ON FUNCTION incomplete_orders._missing_settings(text, text, text) IS 'What a shop lacks before its mails may leave';

CREATE FUNCTION incomplete_orders.list_campaigns(shop text DEFAULT NULL)
RETURNS TABLE (shop text, campaign text, enabled boolean, not_before timestamptz, step integer, delay interval, message_type text, template text,
	variants integer, coupon text, missing text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- lateral and not pulled up: the door is passed first
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('list_campaigns', $1) AS shops OFFSET 0) d0
	CROSS JOIN LATERAL (
		SELECT s.shop, c.campaign, c.enabled, CASE WHEN c.enabled THEN c.not_before END, n.step, n.delay, n.message_type, n.template,
			(SELECT count(*)::integer FROM incomplete_orders.step_variants v WHERE v.shop_id = n.shop_id AND v.campaign = n.campaign AND v.step = n.step),
			q.value || CASE q.kind WHEN 'percentage' THEN ' %' ELSE ' ' || q.currency END,
			nullif(incomplete_orders._missing_settings(s.from_email, s.base_url, s.postal_address), '{}')
		FROM incomplete_orders.shops s JOIN incomplete_orders.campaigns c USING (shop_id)
		LEFT JOIN incomplete_orders.campaign_steps n USING (shop_id, campaign)
		LEFT JOIN incomplete_orders.coupons q USING (shop_id, campaign, step)
		WHERE s.shop_id = ANY (d0.shops)
		ORDER BY s.shop, c.kind, n.step
		OFFSET 0
	) d
$$;
ALTER FUNCTION incomplete_orders.list_campaigns(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_campaigns(text) IS
	'The campaigns of a shop, step by step: whether it is on, and from which abandonment on it mails (not_before); how long after the abandonment each step is due, with which text, how many variants and which discount; which settings the shop lacks without which no mail may leave (missing). shop ''*'': all that the caller may see. IC002';

CREATE FUNCTION incomplete_orders._refuse_step(message text, detail text, hint text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION incomplete_orders._refuse_step(text, text, text) IS 'Raises 22023 for a step of a campaign';

CREATE FUNCTION incomplete_orders._step_delay(settings jsonb) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	result interval;
BEGIN
	IF NOT settings ? 'delay' THEN
		RETURN NULL;
	END IF;
	IF jsonb_typeof(settings -> 'delay') = 'string' THEN
		result := (settings ->> 'delay')::interval;
	END IF;
	IF (result BETWEEN interval '0' AND interval '365 days') IS NOT TRUE THEN
		RAISE EXCEPTION invalid_parameter_value;
	END IF;
	RETURN result;
EXCEPTION WHEN invalid_parameter_value OR invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
	PERFORM incomplete_orders._refuse_step('invalid "delay" of a step', 'It must be an interval of at most 365 days after the abandonment, as text.', 'For example {"delay": "2 hours"}.');
END
$$;
COMMENT ON FUNCTION incomplete_orders._step_delay(jsonb) IS 'The setting delay of configure_step(), checked, or null; 22023';

CREATE FUNCTION incomplete_orders.configure_step(campaign text, step integer, settings jsonb, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered integer := incomplete_orders._enter_campaign('configure_step', configure_step.campaign, configure_step.shop, coalesce(configure_step.at, now()));
	of_kind incomplete_orders.order_kind;
	new_delay interval;
	old incomplete_orders.campaign_steps;
	other record;
	unknown text;
BEGIN
	IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
		PERFORM incomplete_orders._refuse_step('argument "settings" must be a JSON object', 'It has delay, template or both.', 'For example {"delay": "2 hours"}.');
	END IF;
	SELECT k INTO unknown FROM jsonb_object_keys(settings) k WHERE k NOT IN ('delay', 'template') ORDER BY k LIMIT 1;
	IF FOUND THEN
		PERFORM incomplete_orders._refuse_step(format('a step has no setting "%s"', unknown), 'There are delay and template.', 'configure_coupon() gives it a discount, save_variant() variants.');
	END IF;
	IF (configure_step.step BETWEEN 1 AND 20) IS NOT TRUE THEN
		PERFORM incomplete_orders._refuse_step('argument "step" must be between 1 and 20', 'Steps are numbered in the order in which they are sent.', 'incomplete_orders.list_campaigns() shows those that there are.');
	END IF;
	new_delay := incomplete_orders._step_delay(settings);
	IF settings ? 'template' AND NOT EXISTS (SELECT FROM incomplete_orders.templates t WHERE t.shop_id IN (entered, 0) AND t.template = settings ->> 'template') THEN
		PERFORM incomplete_orders._refuse_step(format('there is no template "%s"', coalesce(settings ->> 'template', 'null')), 'A step sends a text that there is, in whatever languages.',
			'incomplete_orders.list_templates() shows those that there are; save_template() makes one.');
	END IF;
	SELECT c.kind INTO of_kind FROM incomplete_orders.campaigns c WHERE c.shop_id = entered AND c.campaign = configure_step.campaign;
	SELECT c.* INTO old FROM incomplete_orders.campaign_steps c
	WHERE c.shop_id = entered AND c.campaign = configure_step.campaign AND c.step = configure_step.step FOR UPDATE;
	IF NOT FOUND AND (new_delay IS NULL OR NOT settings ? 'template') THEN
		PERFORM incomplete_orders._refuse_step(format('campaign "%s" has no step %s yet', configure_step.campaign, configure_step.step),
			'A new step needs both delay and template.', format('For example {"delay": "5 days", "template": "%s_reminder"}.', of_kind));
	END IF;
	new_delay := coalesce(new_delay, old.delay);
	SELECT c.step, c.delay INTO other FROM incomplete_orders.campaign_steps c
	WHERE c.shop_id = entered AND c.campaign = configure_step.campaign
		AND (c.step < configure_step.step AND c.delay >= new_delay OR c.step > configure_step.step AND c.delay <= new_delay)
	ORDER BY abs(c.step - configure_step.step) LIMIT 1;
	IF FOUND THEN
		PERFORM incomplete_orders._refuse_step(format('step %s would not come %s step %s', configure_step.step, CASE WHEN other.step < configure_step.step THEN 'behind' ELSE 'before' END, other.step),
			format('Step %s is due %s after the abandonment, and each step later than the one before it.', other.step, other.delay), 'Change the other one first, or choose another delay.');
	END IF;
	INSERT INTO incomplete_orders.campaign_steps AS c (shop_id, campaign, step, delay, message_type, template)
	VALUES (entered, configure_step.campaign, configure_step.step, new_delay, CASE of_kind WHEN 'payment' THEN 'payment_reminder' ELSE 'abandoned_cart' END, coalesce(settings ->> 'template', old.template))
	ON CONFLICT ON CONSTRAINT campaign_steps_pkey DO UPDATE
	SET delay = excluded.delay, template = excluded.template;
	PERFORM incomplete_orders._arm_orders(entered, configure_step.campaign, true, false);
END
$$;
ALTER FUNCTION incomplete_orders.configure_step(text, integer, jsonb, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.configure_step(text, integer, jsonb, text, timestamptz) IS
	'Changes a step of a campaign, or adds one: delay (after the abandonment, later than that of the step before it), template. Orders that wait for a step follow; whose sequence is over already gets nothing more, and what is queued stays as it is. IC002, 22023';

CREATE FUNCTION incomplete_orders.remove_step(campaign text, step integer, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered integer := incomplete_orders._enter_campaign('remove_step', remove_step.campaign, remove_step.shop, coalesce(remove_step.at, now()));
BEGIN
	DELETE FROM incomplete_orders.campaign_steps c WHERE c.shop_id = entered AND c.campaign = remove_step.campaign AND c.step = remove_step.step;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM incomplete_orders._arm_orders(entered, remove_step.campaign, true, false);
	RETURN true;
END
$$;
ALTER FUNCTION incomplete_orders.remove_step(text, integer, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.remove_step(text, integer, text, timestamptz) IS
	'Takes a step out of a campaign, with its variants and its discount; orders that wait for it wait for the next one. What is queued stays as it is. Whether there was one. IC002, 22023';

-- Experiments: variants of a step, tried against each other.

CREATE FUNCTION incomplete_orders._refuse_variant(message text, detail text, hint text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION incomplete_orders._refuse_variant(text, text, text) IS 'Raises 22023 for a variant of a step';

CREATE FUNCTION incomplete_orders.save_variant(campaign text, step integer, variant text, template text DEFAULT NULL, weight integer DEFAULT 1,
	shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered integer := incomplete_orders._enter_campaign('save_variant', save_variant.campaign, save_variant.shop, coalesce(save_variant.at, now()));
BEGIN
	-- the order of locks is that of a step's deletion
	PERFORM FROM incomplete_orders.campaign_steps c
	WHERE c.shop_id = entered AND c.campaign = save_variant.campaign AND c.step = save_variant.step FOR KEY SHARE;
	IF NOT FOUND THEN
		PERFORM incomplete_orders._refuse_variant(format('campaign "%s" has no step %s', save_variant.campaign, coalesce(save_variant.step::text, 'null')),
			(SELECT 'It has ' || coalesce(string_agg(c.step::text, ', ' ORDER BY c.step), 'none') || '.' FROM incomplete_orders.campaign_steps c
				WHERE c.shop_id = entered AND c.campaign = save_variant.campaign), 'A variant belongs to a step.');
	END IF;
	IF (save_variant.variant ~ '^[a-z0-9][a-z0-9_-]{0,39}$') IS NOT TRUE THEN
		PERFORM incomplete_orders._refuse_variant(format('"%s" cannot be the name of a variant', coalesce(save_variant.variant, 'null')),
			'It may have 40 characters: small letters, digits, - and _.', 'For example a and b.');
	END IF;
	IF (save_variant.weight BETWEEN 0 AND 1000) IS NOT TRUE THEN
		PERFORM incomplete_orders._refuse_variant('argument "weight" must be between 0 and 1000',
			'A variant goes to its weight of the sum of all weights of the step; 0: to nobody.', 'Two variants of the same weight go to as many persons each.');
	END IF;
	IF save_variant.template IS NOT NULL AND NOT EXISTS (SELECT FROM incomplete_orders.templates t
		WHERE t.shop_id IN (entered, 0) AND t.template = save_variant.template)
	THEN
		PERFORM incomplete_orders._refuse_variant(format('there is no template "%s"', save_variant.template), 'A variant sends a text that there is, in whatever languages.',
			'incomplete_orders.list_templates() shows those that there are; save_template() makes one.');
	END IF;
	INSERT INTO incomplete_orders.step_variants AS v (shop_id, campaign, step, variant, weight, template)
	VALUES (entered, save_variant.campaign, save_variant.step, save_variant.variant, save_variant.weight, save_variant.template)
	ON CONFLICT ON CONSTRAINT step_variants_pkey DO UPDATE SET weight = excluded.weight, template = excluded.template;
END
$$;
ALTER FUNCTION incomplete_orders.save_variant(text, integer, text, text, integer, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.save_variant(text, integer, text, text, integer, text, timestamptz) IS
	'What a step of a campaign sends to some of its persons: the text of that template, by default the step''s own. A step with variants sends nothing else, each to its weight of the sum; 0: to nobody. A person gets the same one of a step every time; where variants or weights change, only as many get another as must. What is queued stays as it is. IC002, 22023';

CREATE FUNCTION incomplete_orders.delete_variant(campaign text, step integer, variant text, shop text DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered integer := incomplete_orders._enter_campaign('delete_variant', delete_variant.campaign, delete_variant.shop, coalesce(delete_variant.at, now()));
BEGIN
	DELETE FROM incomplete_orders.step_variants v
	WHERE v.shop_id = entered AND v.campaign = delete_variant.campaign AND v.step = delete_variant.step AND v.variant = delete_variant.variant;
	RETURN FOUND;
END
$$;
ALTER FUNCTION incomplete_orders.delete_variant(text, integer, text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.delete_variant(text, integer, text, text, timestamptz) IS
	'Takes a variant away: its persons get the others, or, when it was the last one, the step''s own text. Whether there was one. IC002, 22023';

CREATE FUNCTION incomplete_orders.list_variants(shop text DEFAULT NULL)
RETURNS TABLE (shop text, campaign text, step integer, variant text, weight integer, template text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- lateral and not pulled up: the door is passed first
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('list_variants', $1) AS shops OFFSET 0) d0
	CROSS JOIN LATERAL (
		SELECT s.shop, v.campaign, v.step, v.variant, v.weight, coalesce(v.template, c.template)
		FROM incomplete_orders.step_variants v
		JOIN incomplete_orders.campaign_steps c USING (shop_id, campaign, step)
		JOIN incomplete_orders.shops s USING (shop_id)
		WHERE v.shop_id = ANY (d0.shops)
		ORDER BY s.shop, v.campaign, v.step, v.variant
		OFFSET 0
	) d
$$;
ALTER FUNCTION incomplete_orders.list_variants(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_variants(text) IS
	'The variants of the steps of a shop''s campaigns, with the text that each sends. shop ''*'': all that the caller may see. IC002';

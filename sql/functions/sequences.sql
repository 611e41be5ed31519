-- A campaign's sequence as a whole, as its editor saves it; what is wrong with texts
-- that are not saved yet; the coupons that were given out.

-- The number that each step of a new sequence has.  An order goes on with the step
-- whose number is above that of its last one, so a number never means an earlier
-- step than before: a step that moves to the front, or a new one between others,
-- pushes those behind it up.
CREATE FUNCTION incomplete_orders._step_numbers(old integer[]) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	numbers integer[] := '{}';
	last integer := 0;
	number integer;
BEGIN
	FOREACH number IN ARRAY old LOOP
		last := CASE WHEN number > last THEN number ELSE last + 1 END;
		numbers := numbers || last;
	END LOOP;
	RETURN numbers;
END
$$;
COMMENT ON FUNCTION incomplete_orders._step_numbers(integer[]) IS
	'New numbers of steps by their old ones (null: a new step), in the new order: the old one where it can be kept, else one above that of the step before';

CREATE FUNCTION incomplete_orders._check_sequence(steps jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unknown text;
BEGIN
	IF jsonb_typeof(steps) IS DISTINCT FROM 'array' OR EXISTS (SELECT FROM jsonb_array_elements(CASE jsonb_typeof(steps) WHEN 'array' THEN steps ELSE '[]' END) e WHERE jsonb_typeof(e) <> 'object') THEN
		PERFORM incomplete_orders._refuse_step('argument "steps" must be an array of objects', 'One for each step, in the order in which they are sent.',
			'For example [{"delay": "1 hour", "template": "cart_abandoned"}].');
	END IF;
	IF jsonb_array_length(steps) > 20 THEN
		PERFORM incomplete_orders._refuse_step(format('argument "steps" has %s elements', jsonb_array_length(steps)), 'A campaign has at most 20 steps.', 'The usual sequence has three.');
	END IF;
	SELECT k INTO unknown FROM jsonb_array_elements(steps) e, jsonb_object_keys(e) k WHERE k NOT IN ('step', 'delay', 'template', 'variants', 'coupon') ORDER BY k LIMIT 1;
	IF FOUND THEN
		PERFORM incomplete_orders._refuse_step(format('a step has no setting "%s"', unknown), 'There are step, delay, template, variants and coupon.', 'step is the number that it has now; a new one has none.');
	END IF;
END
$$;
COMMENT ON FUNCTION incomplete_orders._check_sequence(jsonb) IS '22023 unless it has the form of what save_campaign() takes';

-- What a step was before it had a discount is kept.
CREATE FUNCTION incomplete_orders._write_step(shop text, campaign text, step integer, settings jsonb, old jsonb, after interval, place text, at timestamptz) RETURNS interval
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of_shop CONSTANT integer := (SELECT s.shop_id FROM incomplete_orders.shops s WHERE s.shop = _write_step.shop);
	of_kind CONSTANT text := (SELECT c.kind FROM incomplete_orders.campaigns c WHERE c.shop_id = of_shop AND c.campaign = _write_step.campaign);
	plain_type CONSTANT text := coalesce(old ->> 'former_type', old ->> 'message_type', CASE of_kind WHEN 'payment' THEN 'payment_reminder' ELSE 'abandoned_cart' END);
	field text := 'delay';
	delay interval;
	chosen text := settings ->> 'template';
	v record;
	message text;
	detail text;
	hint text;
BEGIN
	delay := incomplete_orders._step_delay(settings);
	IF delay IS NULL OR delay <= after THEN
		PERFORM incomplete_orders._refuse_step(CASE WHEN delay IS NULL THEN 'a step needs a "delay"' ELSE 'this step would not come behind the one before it' END,
			CASE WHEN delay IS NULL THEN 'It is how long after the abandonment the message is due.' ELSE format('That one is due %s after the abandonment, and each step later than the one before it.', after) END,
			'For example {"delay": "2 hours"}.');
	END IF;
	field := 'template';
	IF NOT EXISTS (SELECT FROM incomplete_orders.templates t WHERE t.shop_id IN (of_shop, 0) AND t.template = chosen) THEN
		PERFORM incomplete_orders._refuse_step(format('there is no template "%s"', coalesce(chosen, 'null')), 'A step sends a text that there is, in whatever languages.',
			'incomplete_orders.list_templates() shows those that there are; save_template() makes one.');
	END IF;
	INSERT INTO incomplete_orders.campaign_steps (shop_id, campaign, step, delay, message_type, template)
	VALUES (of_shop, _write_step.campaign, _write_step.step, delay, plain_type, chosen);
	field := 'coupon';
	IF jsonb_typeof(settings -> 'coupon') IS DISTINCT FROM 'null' AND settings ? 'coupon' THEN
		PERFORM incomplete_orders.configure_coupon(_write_step.campaign, settings -> 'coupon', _write_step.step, _write_step.shop, _write_step.at);
		UPDATE incomplete_orders.coupons c SET former_template = old ->> 'former_template'
		WHERE c.shop_id = of_shop AND c.campaign = _write_step.campaign AND c.step = _write_step.step AND old ->> 'former_template' IS NOT NULL;
		UPDATE incomplete_orders.campaign_steps c SET template = chosen
		WHERE c.shop_id = of_shop AND c.campaign = _write_step.campaign AND c.step = _write_step.step;
	END IF;
	IF jsonb_typeof(coalesce(nullif(settings -> 'variants', 'null'), '[]')) <> 'array' THEN
		field := 'variants';
		PERFORM incomplete_orders._refuse_step('"variants" of a step must be an array', 'Of objects with variant, weight and template.', 'For example [{"variant": "a", "weight": 1}].');
	END IF;
	FOR v IN SELECT e.* FROM jsonb_array_elements(coalesce(nullif(settings -> 'variants', 'null'), '[]')) WITH ORDINALITY e (e, n) LOOP
		field := format('variants[%s]', v.n - 1);
		IF v.e ->> 'weight' !~ '^[0-9]{1,6}$' THEN
			PERFORM incomplete_orders._refuse_step('"weight" of a variant must be a number between 0 and 1000', 'A variant goes to its weight of the sum of all weights of the step.', '0: to nobody.');
		END IF;
		IF EXISTS (SELECT FROM incomplete_orders.step_variants o WHERE o.shop_id = of_shop AND o.campaign = _write_step.campaign AND o.step = _write_step.step AND o.variant = v.e ->> 'variant') THEN
			PERFORM incomplete_orders._refuse_step(format('there are two variants "%s"', v.e ->> 'variant'), 'Each variant of a step has a name of its own.', 'For example a and b.');
		END IF;
		PERFORM incomplete_orders.save_variant(_write_step.campaign, _write_step.step, v.e ->> 'variant', v.e ->> 'template', coalesce((v.e ->> 'weight')::integer, 1), _write_step.shop, _write_step.at);
	END LOOP;
	RETURN delay;
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message, DETAIL = detail, HINT = hint, COLUMN = place || '.' || field;
END
$$;
COMMENT ON FUNCTION incomplete_orders._write_step(text, text, integer, jsonb, jsonb, interval, text, timestamptz) IS
	'Writes a step of a campaign that has none of that number, with its variants and its discount; old: what it was, or null; after: the delay of the step before. Its delay. 22023, the error''s column being which member of place is wrong';

CREATE FUNCTION incomplete_orders.save_campaign(campaign text, steps jsonb, shop text DEFAULT NULL, dry_run boolean DEFAULT false, at timestamptz DEFAULT now())
RETURNS TABLE (numbers integer[], moved bigint, waiting bigint, queued bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	instant timestamptz := coalesce(save_campaign.at, now());
	entered integer := incomplete_orders._enter_campaign('save_campaign', save_campaign.campaign, save_campaign.shop, instant);
	shop_name text := (SELECT s.shop FROM incomplete_orders.shops s WHERE s.shop_id = entered);
	of_kind incomplete_orders.order_kind := (SELECT c.kind FROM incomplete_orders.campaigns c WHERE c.shop_id = entered AND c.campaign = save_campaign.campaign);
	before jsonb;
	old integer[];
	behind interval := '-1 second';
BEGIN
	PERFORM incomplete_orders._check_sequence(steps);
	SELECT coalesce(jsonb_object_agg(c.step, jsonb_build_object('message_type', c.message_type, 'former_type', q.former_type, 'former_template', q.former_template)), '{}') INTO before
	FROM incomplete_orders.campaign_steps c LEFT JOIN incomplete_orders.coupons q USING (shop_id, campaign, step)
	WHERE c.shop_id = entered AND c.campaign = save_campaign.campaign;
	SELECT coalesce(array_agg(CASE WHEN before ? (e ->> 'step') THEN (e ->> 'step')::integer END ORDER BY n), '{}') INTO old
	FROM jsonb_array_elements(steps) WITH ORDINALITY e (e, n);
	IF EXISTS (SELECT FROM unnest(old) o WHERE o IS NOT NULL GROUP BY o HAVING count(*) > 1)
		OR EXISTS (SELECT FROM jsonb_array_elements(steps) e WHERE e ->> 'step' IS NOT NULL AND NOT before ? (e ->> 'step'))
	THEN
		PERFORM incomplete_orders._refuse_step(format('the steps of campaign "%s" have changed meanwhile', save_campaign.campaign),
			'A step that it has not is named, or one twice.', 'Read them again; a new step has no number.');
	END IF;
	numbers := incomplete_orders._step_numbers(old);
	IF 20 < ANY (numbers) THEN
		-- numbers are used up: they begin again where nobody is in the middle of the sequence
		IF EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id = entered AND o.kind = of_kind AND o.sequence_step > 0 AND o.status = 'abandoned' AND o.lost_at IS NULL) THEN
			PERFORM incomplete_orders._refuse_step('this order of the steps needs a number above 20', 'A step that moves to the front pushes those behind it up, so that nobody gets a message twice.',
				'Leave the order as it was, or wait until the orders that are in the sequence are through it.');
		END IF;
		numbers := ARRAY(SELECT n FROM generate_series(1, cardinality(old)) n);
	END IF;
	BEGIN
		DELETE FROM incomplete_orders.campaign_steps c WHERE c.shop_id = entered AND c.campaign = save_campaign.campaign;
		FOR i IN 1 .. cardinality(old) LOOP
			behind := incomplete_orders._write_step(shop_name, save_campaign.campaign, numbers[i], steps -> (i - 1), before -> old[i]::text, behind, format('steps[%s]', i - 1), instant);
		END LOOP;
		-- who had a step that has another number now goes on behind it
		UPDATE incomplete_orders.open_orders o SET sequence_step = m.number
		FROM (SELECT s.s AS step, greatest(s.s, (SELECT max(numbers[i]) FROM generate_subscripts(old, 1) i WHERE old[i] <= s.s)) AS number FROM generate_series(1, 20) s (s)) m
		WHERE o.shop_id = entered AND o.kind = of_kind AND o.sequence_step = m.step AND m.number <> m.step;
		moved := incomplete_orders._arm_orders(entered, save_campaign.campaign, true, false);
		SELECT count(*) INTO waiting FROM incomplete_orders.open_orders o WHERE o.shop_id = entered AND o.kind = of_kind AND o.next_message_at IS NOT NULL;
		SELECT count(*) INTO queued FROM incomplete_orders.messages m
		WHERE m.shop_id = entered AND m.campaign = save_campaign.campaign AND m.status IN ('queued', 'sending');
		IF dry_run THEN
			-- takes all of it back, and does not leave this function
			RAISE EXCEPTION USING ERRCODE = 'ICDRY', MESSAGE = 'dry run';
		END IF;
	EXCEPTION WHEN SQLSTATE 'ICDRY' THEN
		NULL;
	END;
	RETURN NEXT;
END
$$;
ALTER FUNCTION incomplete_orders.save_campaign(text, jsonb, text, boolean, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.save_campaign(text, jsonb, text, boolean, timestamptz) IS
	'The whole sequence of a campaign at once: steps, an array in the order in which they are sent, each with delay, template, and perhaps variants ([{variant, weight, template}]) and coupon (as in configure_coupon()); step: the number that it has now, none for a new one. Says the numbers that the steps have then (a step keeps its own where it can, and nobody who had a step gets it again), of how many orders that wait the next message moved, how many wait, and how many messages are queued, which stay as they are. dry_run: says so and changes nothing. IC002, 22023';

CREATE FUNCTION incomplete_orders.check_texts(fields jsonb) RETURNS TABLE (field text, line integer, "column" integer, problem text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	f record;
	place text;
BEGIN
	PERFORM incomplete_orders._visible_shops('check_texts', '*');
	IF jsonb_typeof(fields) IS DISTINCT FROM 'object' THEN
		PERFORM incomplete_orders._check_fields(fields);
	END IF;
	FOR f IN SELECT j.key, j.value FROM jsonb_each(fields) j WHERE j.value <> 'null' ORDER BY j.key LOOP
		BEGIN
			PERFORM incomplete_orders._check_fields(jsonb_build_object(f.key, f.value));
		EXCEPTION WHEN invalid_parameter_value THEN
			field := f.key;
			GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, place = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			line := (regexp_match(place, '^Line ([0-9]+), column'))[1];
			"column" := (regexp_match(place, '^Line [0-9]+, column ([0-9]+)'))[1];
			hint := concat_ws(' ', CASE WHEN line IS NULL THEN nullif(place, '') END, nullif(hint, ''));
			RETURN NEXT;
		END;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders.check_texts(jsonb) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.check_texts(jsonb) IS
	'What save_template() would refuse of these fields of a text: for each field that is wrong its first fault, with the line and column where it is. Nothing is saved. IC002, 22023';

CREATE FUNCTION incomplete_orders.list_issued_coupons(shop text DEFAULT NULL, state text DEFAULT NULL, after text DEFAULT NULL, page_size integer DEFAULT 20)
RETURNS TABLE (shop text, code text, state text, campaign text, step integer, order_id uuid, recipient text, kind text, value numeric, currency text,
	minimum_value numeric, issued_at timestamptz, expires_at timestamptz, used_at timestamptz, used_by uuid, cost numeric, cursor text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH v AS MATERIALIZED (
		SELECT incomplete_orders._visible_shops('list_issued_coupons', $1) AS shops
	), c AS MATERIALIZED (
		SELECT $4 AS page_size, coalesce(timestamptz 'epoch' + p.parts[1]::bigint * interval '1 microsecond', 'infinity') AS at, coalesce(p.parts[2], '') AS code
		FROM (SELECT incomplete_orders._read_cursor($3, '([0-9]{1,16})_([0-9A-Z]{1,40})', $4) AS parts) p
	), page AS MATERIALIZED (
		SELECT u.u FROM c, v CROSS JOIN LATERAL unnest(v.shops) s CROSS JOIN LATERAL (
			SELECT u FROM incomplete_orders.issued_coupons u WHERE u.shop_id = s AND (u.issued_at, u.code) < (c.at, c.code)
				AND ($2 IS NULL OR $2 = CASE WHEN u.used_at IS NOT NULL THEN 'used' WHEN u.expires_at <= now() THEN 'expired' ELSE 'open' END)
			ORDER BY u.issued_at DESC, u.code DESC LIMIT 200
		) u
		ORDER BY (u.u).issued_at DESC, (u.u).code DESC LIMIT (SELECT c.page_size FROM c)
	)
	SELECT s.shop, (p.u).code, CASE WHEN (p.u).used_at IS NOT NULL THEN 'used' WHEN (p.u).expires_at <= now() THEN 'expired' ELSE 'open' END,
		m.campaign, m.step, m.order_id, m.recipient, (p.u).kind, (p.u).value, (p.u).currency, (p.u).minimum_value, (p.u).issued_at, (p.u).expires_at,
		(p.u).used_at, (p.u).used_by, (p.u).cost, (extract(epoch FROM (p.u).issued_at) * 1000000)::bigint || '_' || (p.u).code
	FROM page p JOIN incomplete_orders.shops s ON s.shop_id = (p.u).shop_id
	LEFT JOIN incomplete_orders.messages m ON m.shop_id = (p.u).shop_id AND m.id = (p.u).message_id
	ORDER BY (p.u).issued_at DESC, (p.u).code DESC
$$;
ALTER FUNCTION incomplete_orders.list_issued_coupons(text, text, text, integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_issued_coupons(text, text, text, integer) IS
	'A page of the coupons that went out with messages, the newest first; state: open, used or expired. campaign, step, order_id and recipient as long as the message is kept; used_by: the incomplete order that was converted with it; cost: what was taken off. after, page_size and shop as in list_messages(). IC002, 22023';

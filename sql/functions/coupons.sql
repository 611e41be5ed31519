-- Coupons: what a step offers, and the codes that were given out.

CREATE FUNCTION incomplete_orders._coupon_code(written text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ SELECT translate(upper($1 COLLATE "C"), 'OIL -', '011') $$;
COMMENT ON FUNCTION incomplete_orders._coupon_code(text) IS 'A code as it is kept, of what somebody typed: Crockford''s base 32 without spaces and hyphens, in upper case';

-- A campaign's step that can have a coupon: locked, as in _enter_campaign.
CREATE FUNCTION incomplete_orders._enter_coupon(right_name text, campaign text, step integer, shop text, at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	entered integer := incomplete_orders._enter_campaign(right_name, campaign, shop, at);
BEGIN
	PERFORM FROM incomplete_orders.campaign_steps s WHERE s.shop_id = entered AND s.campaign = _enter_coupon.campaign AND s.step = _enter_coupon.step FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('campaign "%s" has no step %s', campaign, coalesce(step::text, 'null')),
			DETAIL = (SELECT 'It has ' || coalesce(string_agg(s.step::text, ', ' ORDER BY s.step), 'none') || '.'
				FROM incomplete_orders.campaign_steps s WHERE s.shop_id = entered AND s.campaign = _enter_coupon.campaign);
	END IF;
	RETURN entered;
END
$$;
ALTER FUNCTION incomplete_orders._enter_coupon(text, text, integer, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._enter_coupon(text, text, integer, text, timestamptz) IS
	'The shop_id of shop, locked, if the acting role may use that function there and the campaign has that step; IC001, IC002, 22023';

CREATE FUNCTION incomplete_orders._coupon_setting(settings jsonb, setting text, is_interval boolean, otherwise text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given text := settings ->> setting;
BEGIN
	IF NOT is_interval AND given IS NOT NULL THEN
		-- six decimals and less than 10^12, as all money here
		IF given !~ '^[0-9]{1,12}(\.[0-9]{1,6})?$' THEN
			RAISE EXCEPTION invalid_parameter_value;
		END IF;
	ELSIF given IS NOT NULL AND (jsonb_typeof(settings -> setting) <> 'string' OR given::interval NOT BETWEEN interval '0' AND interval '365 days') THEN
		RAISE EXCEPTION invalid_parameter_value;
	END IF;
	RETURN coalesce(given, otherwise);
EXCEPTION WHEN invalid_parameter_value OR invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = format('invalid "%s" of a coupon', setting),
		DETAIL = CASE WHEN is_interval THEN 'It must be an interval of at most 365 days, as text.'
			ELSE 'It must be a number of at least 0 with at most six decimals.' END;
END
$$;
COMMENT ON FUNCTION incomplete_orders._coupon_setting(jsonb, text, boolean, text) IS 'One setting of configure_coupon(), checked; 22023';

CREATE FUNCTION incomplete_orders.configure_coupon(campaign text, settings jsonb, step integer DEFAULT 3, shop text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered integer := incomplete_orders._enter_coupon('configure_coupon', configure_coupon.campaign, configure_coupon.step, configure_coupon.shop, configure_coupon.at);
	unknown text;
	kind text;
	given numeric;
	minimum numeric;
	valid interval;
	cooling interval;
BEGIN
	IF jsonb_typeof(settings) IS DISTINCT FROM 'object' OR (settings ? 'percentage') = (settings ? 'amount') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "settings" must have either "percentage" or "amount"',
			DETAIL = 'It is an object: percentage or amount, minimum_value, valid_for, cool_down.',
			HINT = '{"percentage": 10, "minimum_value": 50, "valid_for": "7 days"}';
	END IF;
	SELECT k INTO unknown FROM jsonb_object_keys(settings) k WHERE k NOT IN ('percentage', 'amount', 'minimum_value', 'valid_for', 'cool_down') ORDER BY k LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a coupon has no setting "%s"', unknown),
			DETAIL = 'There are percentage, amount, minimum_value, valid_for and cool_down.';
	END IF;
	kind := CASE WHEN settings ? 'percentage' THEN 'percentage' ELSE 'amount' END;
	given := incomplete_orders._coupon_setting(settings, kind, false, '0')::numeric;
	minimum := incomplete_orders._coupon_setting(settings, 'minimum_value', false, '0')::numeric;
	valid := incomplete_orders._coupon_setting(settings, 'valid_for', true, '7 days')::interval;
	cooling := incomplete_orders._coupon_setting(settings, 'cool_down', true, '30 days')::interval;
	IF given <= 0 OR (kind = 'percentage' AND given > 100) OR valid < interval '1 day' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('invalid "%s" of a coupon', CASE WHEN valid < interval '1 day' THEN 'valid_for' ELSE kind END),
			DETAIL = 'A percentage is above 0 and at most 100, an amount above 0, and a coupon is valid for a day at least.';
	END IF;
	INSERT INTO incomplete_orders.coupons AS c (shop_id, campaign, step, kind, value, currency, minimum_value, valid_for, cool_down,
		former_type, former_template, changed_at)
	SELECT entered, s.campaign, s.step, kind, given, (SELECT h.currency FROM incomplete_orders.shops h WHERE h.shop_id = entered),
		minimum, valid, cooling, s.message_type, s.template, clock_timestamp()
	FROM incomplete_orders.campaign_steps s
	WHERE s.shop_id = entered AND s.campaign = configure_coupon.campaign AND s.step = configure_coupon.step
	ON CONFLICT ON CONSTRAINT coupons_pkey DO UPDATE
	SET kind = excluded.kind, value = excluded.value, currency = excluded.currency, minimum_value = excluded.minimum_value,
		valid_for = excluded.valid_for, cool_down = excluded.cool_down, changed_at = excluded.changed_at;
	UPDATE incomplete_orders.campaign_steps s SET message_type = 'discount_offer', template = g.kind || '_offer'
	FROM incomplete_orders.campaigns g
	WHERE s.shop_id = entered AND s.campaign = configure_coupon.campaign AND s.step = configure_coupon.step
		AND g.shop_id = entered AND g.campaign = configure_coupon.campaign AND s.message_type <> 'discount_offer';
END
$$;
ALTER FUNCTION incomplete_orders.configure_coupon(text, jsonb, integer, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.configure_coupon(text, jsonb, integer, text, timestamptz) IS
	'A step of a campaign offers a discount from now on: percentage, or amount in the shop''s currency, for goods of at least minimum_value, valid_for (7 days) after the mail was made, and to nobody who got or used one within cool_down (30 days) or has one that is still valid, nor for a cart of which less than minimum_value can be sold: they get the mail without it. The step becomes a discount_offer with the template <kind>_offer. Codes that are out already keep what they promised. IC002, 22023';

CREATE FUNCTION incomplete_orders.remove_coupon(campaign text, step integer DEFAULT 3, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered integer := incomplete_orders._enter_coupon('remove_coupon', remove_coupon.campaign, remove_coupon.step, remove_coupon.shop, remove_coupon.at);
	gone incomplete_orders.coupons;
BEGIN
	DELETE FROM incomplete_orders.coupons c
	WHERE c.shop_id = entered AND c.campaign = remove_coupon.campaign AND c.step = remove_coupon.step RETURNING c.* INTO gone;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE incomplete_orders.campaign_steps s SET message_type = gone.former_type, template = gone.former_template
	WHERE s.shop_id = entered AND s.campaign = gone.campaign AND s.step = gone.step;
	RETURN true;
END
$$;
ALTER FUNCTION incomplete_orders.remove_coupon(text, integer, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.remove_coupon(text, integer, text, timestamptz) IS
	'A step offers no discount any more and is again what it was before configure_coupon(); codes that are out stay valid. False where it offered none. IC002, 22023';

CREATE FUNCTION incomplete_orders._coupon_offer(shop_id integer, order_id uuid, campaign text, step integer, keys bigint[], goods numeric, at timestamptz)
RETURNS TABLE (kind text, value numeric, currency text, minimum_value numeric, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.kind, c.value, c.currency, c.minimum_value, incomplete_orders._later($7, c.valid_for)
	FROM incomplete_orders.open_orders o
	CROSS JOIN LATERAL (SELECT q.* FROM incomplete_orders.campaigns g JOIN incomplete_orders.coupons q ON q.shop_id = g.shop_id AND q.campaign = g.campaign
		-- by hand: what the kind's last step would offer
		WHERE g.shop_id = o.shop_id AND CASE WHEN $3 IS NULL THEN g.kind = o.kind ELSE q.campaign = $3 AND q.step = $4 END
			AND NOT EXISTS (SELECT FROM incomplete_orders.orders r WHERE r.shop_id = o.shop_id AND r.incomplete_order_id = o.id)
			AND o.coupon_discount = 0 AND (o.currency = q.currency OR (q.kind = 'percentage' AND q.minimum_value = 0))
		ORDER BY q.step DESC LIMIT 1) c
	WHERE o.shop_id = $1 AND o.id = $2 AND $6 >= c.minimum_value
		AND NOT EXISTS (SELECT FROM incomplete_orders.issued_coupons i
			WHERE i.shop_id = o.shop_id
				AND (i.root_id = o.root_id OR i.code = ANY (ARRAY(SELECT p.code FROM incomplete_orders.coupon_persons p WHERE p.shop_id = o.shop_id AND p.person = ANY ($5))))
				AND (i.issued_at > incomplete_orders._later($7, -c.cool_down) OR i.used_at > incomplete_orders._later($7, -c.cool_down)
					OR (i.used_at IS NULL AND i.expires_at > $7)))
$$;
ALTER FUNCTION incomplete_orders._coupon_offer(integer, uuid, text, integer, bigint[], numeric, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._coupon_offer(integer, uuid, text, integer, bigint[], numeric, timestamptz) IS
	'The discount that a message for an order would be sent with; none where its step offers none, the goods that can be sold are worth less than its minimum, the order has a discount already, or that person got or used one too recently';

-- The person's keys are locked before anything is looked up: of two messages that
-- are claimed at the same time only one gets a code.
CREATE FUNCTION incomplete_orders._issue_coupon(shop_id integer, message_id uuid, keys bigint[], goods numeric, at timestamptz)
RETURNS TABLE (code text, kind text, value numeric, currency text, minimum_value numeric, expires_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	of record;
	offer record;
	key bigint;
	random bytea;
	made text;
BEGIN
	SELECT m.shop_id, m.id, m.order_id, m.root_id, m.campaign, m.step, i.code AS issued INTO of
	FROM incomplete_orders.messages m
	LEFT JOIN incomplete_orders.issued_coupons i ON i.shop_id = m.shop_id AND i.message_id = m.id
	WHERE m.shop_id = _issue_coupon.shop_id AND m.id = _issue_coupon.message_id;
	IF of.issued IS NULL THEN
		IF NOT EXISTS (SELECT FROM incomplete_orders.coupons c WHERE c.shop_id = of.shop_id) THEN
			RETURN;
		END IF;
		FOR key IN SELECT DISTINCT k FROM unnest(keys) k ORDER BY k LOOP
			IF NOT pg_try_advisory_xact_lock(key) THEN
				RETURN;
			END IF;
		END LOOP;
		SELECT o.* INTO offer FROM incomplete_orders._coupon_offer(of.shop_id, of.order_id, of.campaign, of.step, keys, goods, _issue_coupon.at) o;
		IF NOT FOUND THEN
			RETURN;
		END IF;
		LOOP
			-- ten characters of five random bits
			random := sha256(uuid_send(gen_random_uuid()));
			SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', get_byte(random, n) % 32 + 1, 1), '' ORDER BY n) INTO made FROM generate_series(0, 9) n;
			INSERT INTO incomplete_orders.issued_coupons (shop_id, code, message_id, root_id, kind, value, currency, minimum_value, issued_at, expires_at)
			VALUES (of.shop_id, made, of.id, of.root_id, offer.kind, offer.value, offer.currency, offer.minimum_value, _issue_coupon.at, offer.expires_at)
			ON CONFLICT ON CONSTRAINT issued_coupons_pkey DO NOTHING;
			EXIT WHEN FOUND;
		END LOOP;
		INSERT INTO incomplete_orders.coupon_persons (shop_id, person, issued_at, code)
		SELECT DISTINCT of.shop_id, k, _issue_coupon.at, made FROM unnest(keys) k;
	END IF;
	RETURN QUERY SELECT i.code, i.kind, i.value, i.currency, i.minimum_value, i.expires_at FROM incomplete_orders.issued_coupons i
		WHERE i.shop_id = of.shop_id AND i.code = coalesce(of.issued, made);
END
$$;
ALTER FUNCTION incomplete_orders._issue_coupon(integer, uuid, bigint[], numeric, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._issue_coupon(integer, uuid, bigint[], numeric, timestamptz) IS
	'The coupon that a message goes out with, the same at every attempt: by _coupon_offer(), with a code of its own';

CREATE FUNCTION incomplete_orders.redeem_coupon(code text, id uuid, at timestamptz DEFAULT now())
RETURNS TABLE (coupon_code text, coupon_discount numeric, currency text, total numeric, expires_at timestamptz)
LANGUAGE c SECURITY DEFINER ROWS 1 AS 'MODULE_PATHNAME', 'ico_redeem_coupon';
ALTER FUNCTION incomplete_orders.redeem_coupon(text, uuid, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.redeem_coupon(text, uuid, timestamptz) IS
	'Puts a coupon that came with a message on an open order: its coupon_code and coupon_discount are set, and what the customer pays is returned. The discount is of the goods as they are now: after they changed call it again. convert_order() looks at the coupon once more and uses it up. Only the person who got it, or the cart it came for, can use it; one per order, not beside another discount code. IC003, IC004 (closed, or the payment is on its way), IC016 (not valid)';

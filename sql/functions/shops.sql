-- Shops, their settings and their members.  What a setting may be is said in
-- one place, the row trigger _check_shop(): it holds whoever writes.

-- Every relation of setup(), so that a table which somebody else made in our
-- schema is never exported, emptied or dropped.  A test compares it with the
-- catalog.  by_shop: it has rows of shops, found by shop_id.
CREATE FUNCTION incomplete_orders._relations() RETURNS TABLE (relation text, kind text, by_shop boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('incomplete_orders', 'view', false),
		('attachments', 'view', false),
		('open_orders', 'table', true),
		('closed_orders', 'table', true),
		('orders', 'table', true),
		('order_items', 'table', true),
		('order_refunds', 'table', true),
		('order_events', 'table', true),
		('order_event_tail', 'table', true),
		('rollup_states', 'table', true),
		('rollup_episodes', 'table', true),
		('rollup_messages', 'table', true),
		('rollup_arms', 'table', true),
		('rollup_products', 'table', true),
		('rollup_recovered_products', 'table', true),
		('product_names', 'table', true),
		('order_outcomes', 'table', true),
		('order_notes', 'table', true),
		('order_changes', 'table', true),
		('step_variants', 'table', true),
		('coupons', 'table', true),
		('issued_coupons', 'table', true),
		('coupon_persons', 'table', true),
		('campaign_steps', 'table', true),
		('campaigns', 'table', true),
		('templates', 'table', true),
		('messages', 'table', true),
		('message_skips', 'table', true),
		('suppressions', 'table', true),
		('consents', 'table', true),
		('past_recipients', 'table', true),
		('person_orders', 'table', true),
		('person_messages', 'table', true),
		('person_arms', 'table', true),
		('webhook_deliveries', 'table', true),
		('webhooks', 'table', true),
		('shop_secrets', 'table', true),
		('attached_tables', 'table', true),
		('continued_orders', 'table', true),
		('cart_marks', 'table', false),
		('cart_mark_progress', 'table', false),
		('due_carts', 'table', false),
		('secret_keys', 'table', false),
		('heartbeats', 'table', false),
		('hook_failures', 'table', true),
		('shop_members', 'table', true),
		('shops', 'table', true),
		('reference_seq', 'sequence', false),
		('order_number_seq', 'sequence', false),
		('event_seq', 'sequence', false),
		('attachment_seq', 'sequence', false)
$$;
COMMENT ON FUNCTION incomplete_orders._relations() IS 'Every relation that setup() makes, but the partitions; by_shop: rows belong to the shop of their shop_id';

CREATE FUNCTION incomplete_orders._refuse_setting(setting text, detail text, hint text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = format('invalid value of setting "%s"', setting),
		DETAIL = detail, HINT = coalesce(hint, 'incomplete_orders.shop_settings() shows the settings of a shop.'),
		SCHEMA = 'incomplete_orders', TABLE = 'shops', COLUMN = setting;
END
$$;
COMMENT ON FUNCTION incomplete_orders._refuse_setting(text, text, text) IS 'Raises 22023 for a column of shops';

-- A hook is called by us with the rights of the role that named it, so it must
-- be one exact function which that role may execute.
CREATE FUNCTION incomplete_orders._check_hook(setting text, hook text, as_role text, argument regtype, outputs text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
	parts text[];
	routine oid;
	found text[];
	name text;
BEGIN
	IF hook IS NULL THEN
		RETURN NULL;
	END IF;
	BEGIN
		parts := parse_ident(hook);
	EXCEPTION WHEN data_exception THEN
		parts := NULL;
	END;
	IF parts IS NULL OR cardinality(parts) <> 2 THEN
		PERFORM incomplete_orders._refuse_setting(setting, 'It must be a function''s name with its schema.', 'Write it as schema.function, without arguments.');
	END IF;
	name := format('%I.%I', parts[1], parts[2]);
	-- not by to_regprocedure(): we need no right to that schema, the role does
	SELECT p.oid, CASE WHEN p.proargmodes IS NULL THEN ARRAY[format_type(p.prorettype, NULL)]
		ELSE (SELECT array_agg(p.proargnames[i] || ' ' || format_type(p.proallargtypes[i], NULL) ORDER BY i)
			FROM generate_subscripts(p.proargmodes, 1) i WHERE p.proargmodes[i] IN ('o', 't')) END
	INTO routine, found
	FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE n.nspname = parts[1] AND p.proname = parts[2] AND p.pronargs = 1 AND p.proargtypes[0] = argument
		AND p.prokind = 'f' AND p.proretset = (cardinality(outputs) > 1);
	IF found IS DISTINCT FROM outputs THEN
		PERFORM incomplete_orders._refuse_setting(setting, format('There is no function %s(%s) that returns %s.', name, argument,
				CASE WHEN cardinality(outputs) > 1 THEN format('TABLE (%s)', array_to_string(outputs, ', ')) ELSE outputs[1] END),
			'Create the function first, with exactly these types and names of columns.');
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = as_role)
		OR NOT has_schema_privilege(as_role, parts[1], 'USAGE') OR NOT has_function_privilege(as_role, routine, 'EXECUTE') THEN
		PERFORM incomplete_orders._refuse_setting(setting, format('Role "%s" may not execute %s(%s).', as_role, name, argument),
			'It is called with the rights of the role that sets it: GRANT EXECUTE on it, and USAGE on its schema, to that role.');
	END IF;
	RETURN name;
END
$body$;
COMMENT ON FUNCTION incomplete_orders._check_hook(text, text, text, regtype, text[]) IS 'The quoted name of a function that a shop names as a hook; 22023 when it is not of that signature or that role may not execute it';

CREATE FUNCTION incomplete_orders._check_exclusions(exclusions jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key text;
	value jsonb;
	shape CONSTANT text := 'Its keys are minimum_value (a number, at least 0), products, domains, customers, addresses (arrays of texts) and bots (true or false).';
BEGIN
	IF jsonb_typeof(exclusions) <> 'object' OR octet_length(exclusions::text) > 262144 THEN
		PERFORM incomplete_orders._refuse_setting('exclusions', 'It must be a JSON object of at most 256 KiB.', shape);
	END IF;
	FOR key, value IN SELECT e.key, e.value FROM jsonb_each(exclusions) e LOOP
		-- the parentheses keep THEN from plpgsql
		IF NOT (CASE
			WHEN key = 'minimum_value' THEN jsonb_typeof(value) = 'number' AND value >= '0' AND value < '1000000000000'
			WHEN key = 'bots' THEN jsonb_typeof(value) = 'boolean'
			WHEN key IN ('products', 'domains', 'customers', 'addresses') THEN jsonb_typeof(value) = 'array'
				AND NOT EXISTS (SELECT FROM jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) v
					WHERE jsonb_typeof(v) <> 'string' OR v = '""')
			ELSE false END)
		THEN
			PERFORM incomplete_orders._refuse_setting('exclusions', format('The key "%s" is unknown or has a value that it cannot have.', key), shape);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._check_exclusions(jsonb) IS 'Raises 22023 when it is not a value of the setting exclusions';

-- What mails say around the texts of templates.
CREATE FUNCTION incomplete_orders._checked_words(words jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tag text;
	of_tag jsonb;
	key text;
	value jsonb;
	shape CONSTANT text := 'Its keys are languages, as de or de-AT, and their values objects with any of total, more, one_more, was, unavailable, reference, link, unsubscribe, not_me, from and until.';
	checked jsonb := '{}';
BEGIN
	IF jsonb_typeof(words) <> 'object' OR octet_length(words::text) > 65536 THEN
		PERFORM incomplete_orders._refuse_setting('words', 'It must be a JSON object of at most 64 KiB.', shape);
	END IF;
	FOR tag, of_tag IN SELECT e.key, e.value FROM jsonb_each(words) e LOOP
		IF incomplete_orders._locale_tag(tag) IS NULL OR jsonb_typeof(of_tag) <> 'object' OR checked ? incomplete_orders._locale_tag(tag) THEN
			PERFORM incomplete_orders._refuse_setting('words', format('"%s" is not the tag of a language, is there twice, or has no object.', left(tag, 100)), shape);
		END IF;
		FOR key, value IN SELECT e.key, e.value FROM jsonb_each(of_tag) e LOOP
			IF NOT (key = ANY ('{total,more,one_more,was,unavailable,reference,link,unsubscribe,not_me,from,until}'::text[])
				AND (jsonb_typeof(value) = 'string') AND char_length(value #>> '{}') BETWEEN 1 AND 200
				AND NOT (value #>> '{}') ~ '[\x01-\x1f\x7f]' AND (key = 'more') = ((value #>> '{}') ~ '^[^%]*%s[^%]*$') AND (key = 'more' OR strpos(value #>> '{}', '%') = 0))
			THEN
				PERFORM incomplete_orders._refuse_setting('words', format('The key "%s" of "%s" is unknown or has a value that it cannot have.', left(key, 100), tag),
					'Each is a text of one line, of 1 to 200 characters and without %; but more, which has %s where the number is to be.');
			END IF;
		END LOOP;
		checked := checked || jsonb_build_object(incomplete_orders._locale_tag(tag), of_tag);
	END LOOP;
	RETURN checked;
END
$$;
COMMENT ON FUNCTION incomplete_orders._checked_words(jsonb) IS 'A value of the setting words, with the tags of its languages as they are kept; raises 22023 when it is none';

CREATE FUNCTION incomplete_orders._check_shop() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
	setting text;
	value text;
	span interval;
	least text;
	-- control characters, space and what would end an attribute, a header or a template's placeholder
	unsafe CONSTANT text := $re$[\x01-\x20\x7f"'<>\\^`{|}]$re$;
	control CONSTANT text := $re$[\x01-\x1f\x7f]$re$;
	host CONSTANT text := $re$([^]/?#@:[]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$re$;
BEGIN
	IF NEW.shop_id <= 0 OR TG_OP = 'UPDATE' AND NEW.shop_id <> OLD.shop_id THEN
		PERFORM incomplete_orders._refuse_setting('shop_id', 'It is positive and never changes: the ids of all its orders carry it.', 'Leave it out; a sequence gives it.');
	END IF;
	IF NEW.shop !~ '^[a-z0-9_-]{1,63}$' THEN
		PERFORM incomplete_orders._refuse_setting('shop', 'A shop''s key is 1 to 63 of the characters a-z, 0-9, _ and -.', 'What people read is the setting "name".');
	END IF;
	IF char_length(NEW.name) NOT BETWEEN 1 AND 200 OR NEW.name ~ control THEN
		PERFORM incomplete_orders._refuse_setting('name', 'It must be 1 to 200 characters, no control characters.', NULL);
	END IF;
	IF NEW.currency !~ '^[A-Z]{3}$' THEN
		PERFORM incomplete_orders._refuse_setting('currency', 'It must be three capital letters.', 'See ISO 4217, for example EUR.');
	END IF;
	-- the view reads all zone files: only when the zone changes
	NEW.locale := coalesce(incomplete_orders._locale_tag(NEW.locale), '');
	IF NEW.locale = '' THEN
		PERFORM incomplete_orders._refuse_setting('locale', 'It must be the tag of a language, and perhaps a country.', 'As in en, de or de-AT.');
	END IF;
	IF (TG_OP = 'INSERT' OR NEW.time_zone <> OLD.time_zone) AND NEW.time_zone <> 'UTC'
		AND NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = NEW.time_zone) THEN
		PERFORM incomplete_orders._refuse_setting('time_zone', 'This server does not know a time zone of that name.', 'pg_timezone_names lists them, for example Europe/Berlin.');
	END IF;

	FOR setting, value IN VALUES ('base_url', NEW.base_url), ('logo_url', NEW.logo_url),
		('restore_url', replace(replace(NEW.restore_url, '{token}', ''), '{id}', '')) LOOP
		IF octet_length(value) > 2048 OR value ~ unsafe OR value !~ ('^https?://' || host || '([/?#].*)?$') THEN
			PERFORM incomplete_orders._refuse_setting(setting, 'It must be an http or https URL of at most 2048 bytes without spaces, quotes, angle brackets, braces, backslashes and control characters.',
				'For example https://shop.example/; restore_url may hold {token} and {id}.');
		END IF;
	END LOOP;
	IF strpos(NEW.restore_url, '{token}') = 0 AND strpos(NEW.restore_url, '{id}') = 0
		OR NEW.restore_url !~ '^https?://[^{}/?#]+([/?#]|$)' THEN
		PERFORM incomplete_orders._refuse_setting('restore_url', 'It must hold {token} or {id} behind the host.', 'For example https://shop.example/cart?restore={token}');
	END IF;
	FOR setting, value IN VALUES ('from_email', NEW.from_email), ('reply_to', NEW.reply_to) LOOP
		IF octet_length(value) > 254 OR value !~ $re$^[^]\x01-\x20\x7f"(),:;<>@[\\]+@[^]\x01-\x20\x7f"(),:;<>@[\\]+$$re$ THEN
			PERFORM incomplete_orders._refuse_setting(setting, 'It must be one bare e-mail address of at most 254 bytes.', 'For example orders@shop.example, without a name.');
		END IF;
	END LOOP;
	IF char_length(NEW.postal_address) NOT BETWEEN 1 AND 500 OR replace(NEW.postal_address, chr(10), '') ~ control THEN
		PERFORM incomplete_orders._refuse_setting('postal_address', 'It must be 1 to 500 characters, no control characters but line feeds.', NULL);
	END IF;
	IF NEW.colour !~ '^#[0-9A-Fa-f]{6}$' THEN
		PERFORM incomplete_orders._refuse_setting('colour', 'It must be # and six hexadecimal digits.', 'For example #1a7f37.');
	END IF;

	FOR setting, span, least IN VALUES ('cut_off', NEW.cut_off, '10 minutes'), ('expiry', NEW.expiry, '10 minutes'),
		('retention', NEW.retention, '1 day'), ('attribution_window', NEW.attribution_window, '0'), ('min_gap', NEW.min_gap, '0') LOOP
		IF NOT isfinite(span) OR span < least::interval OR span > interval '100 years' THEN
			PERFORM incomplete_orders._refuse_setting(setting, format('It must be between %s and 100 years.', least), 'Write it as an interval, for example ''90 minutes''.');
		END IF;
	END LOOP;
	IF extract(year FROM NEW.cut_off) <> 0 OR extract(month FROM NEW.cut_off) <> 0 OR NEW.cut_off >= NEW.expiry THEN
		PERFORM incomplete_orders._refuse_setting('cut_off', 'It must be shorter than the setting "expiry", without months or years.', 'Write it in days, hours or minutes.');
	END IF;
	IF NEW.cap_per_episode < 0 THEN
		PERFORM incomplete_orders._refuse_setting('cap_per_episode', 'It must not be negative.', '0 sends nothing.');
	END IF;
	IF NEW.cap_per_person < 0 THEN
		PERFORM incomplete_orders._refuse_setting('cap_per_person', 'It must not be negative.', '0 sends nothing.');
	END IF;
	IF NEW.holdout NOT BETWEEN 0 AND 1 THEN
		PERFORM incomplete_orders._refuse_setting('holdout', 'It must be a share between 0 and 1.', 'For example 0.1 for one in ten.');
	END IF;
	IF NEW.consent_rule NOT IN ('strict', 'none') THEN
		PERFORM incomplete_orders._refuse_setting('consent_rule', 'It must be strict or none.', NULL);
	END IF;
	PERFORM incomplete_orders._check_exclusions(NEW.exclusions);
	NEW.words := incomplete_orders._checked_words(NEW.words);
	IF cardinality(NEW.allowed_origins) > 100 OR array_ndims(NEW.allowed_origins) > 1
		OR EXISTS (SELECT FROM unnest(NEW.allowed_origins) o
			WHERE o IS NULL OR octet_length(o) > 300 OR o ~ unsafe OR o !~ ('^[a-z][a-z0-9+.-]*://' || host || '$')) THEN
		PERFORM incomplete_orders._refuse_setting('allowed_origins', 'It must be at most 100 origins, each scheme://host or scheme://host:port.', 'For example ["https://shop.example"], without a path.');
	END IF;
	IF cardinality(NEW.image_hosts) > 20 OR array_ndims(NEW.image_hosts) > 1
		OR EXISTS (SELECT FROM unnest(NEW.image_hosts) h
			WHERE h IS NULL OR octet_length(h) > 260 OR h !~ '^https://(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$') THEN
		PERFORM incomplete_orders._refuse_setting('image_hosts', 'It must be at most 20 hosts, each https://host or https://*.host, with :port if need be.', 'For example ["https://images.shop.example"], without a path.');
	END IF;

	IF NEW.page_prices NOT IN ('refuse', 'check', 'accept') THEN
		PERFORM incomplete_orders._refuse_setting('page_prices', 'It must be refuse, check (with the prices of the setting availability) or accept.', NULL);
	END IF;
	IF NEW.publishable_key IS NULL THEN
		NEW.former_key := NULL;
		NEW.former_key_until := NULL;
	END IF;

	-- a hook runs with the rights of the role that named it
	NEW.availability_role := CASE WHEN NEW.availability IS NULL THEN NULL
		WHEN NEW.availability_role IS NULL OR NEW.availability IS DISTINCT FROM OLD.availability AND NEW.availability_role IS NOT DISTINCT FROM OLD.availability_role
			THEN incomplete_orders._acting_role()
		ELSE NEW.availability_role END;
	IF (NEW.availability, NEW.availability_role) IS DISTINCT FROM (OLD.availability, OLD.availability_role) THEN
		NEW.availability := incomplete_orders._check_hook('availability', NEW.availability, NEW.availability_role, 'text[]',
			ARRAY['sku text', 'available integer', 'unit_price numeric']);
	END IF;
	NEW.payment_state_role := CASE WHEN NEW.payment_state IS NULL THEN NULL
		WHEN NEW.payment_state_role IS NULL OR NEW.payment_state IS DISTINCT FROM OLD.payment_state AND NEW.payment_state_role IS NOT DISTINCT FROM OLD.payment_state_role
			THEN incomplete_orders._acting_role()
		ELSE NEW.payment_state_role END;
	IF (NEW.payment_state, NEW.payment_state_role) IS DISTINCT FROM (OLD.payment_state, OLD.payment_state_role) THEN
		NEW.payment_state := incomplete_orders._check_hook('payment_state', NEW.payment_state, NEW.payment_state_role, 'text', ARRAY['text']);
	END IF;
	RETURN NEW;
END
$body$;
COMMENT ON FUNCTION incomplete_orders._check_shop() IS 'What the settings of a shop may be, whoever writes them';

-- A shop's row goes last.  The lock waits for every writer that may still have
-- rows of it; a later one finds at its commit that the shop is gone.
CREATE FUNCTION incomplete_orders._refuse_shop_in_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text;
	found boolean;
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = format('shop "%s" cannot be deleted in a %s transaction', OLD.shop, upper(current_setting('transaction_isolation'))),
			DETAIL = 'Rows that were committed after its snapshot would be missed.',
			HINT = 'Use READ COMMITTED.';
	END IF;
	-- they are settings of the shop, made with it
	DELETE FROM incomplete_orders.campaigns c WHERE c.shop_id = OLD.shop_id;
	DELETE FROM incomplete_orders.templates t WHERE t.shop_id = OLD.shop_id;
	FOR name IN SELECT r.relation FROM incomplete_orders._relations() r WHERE r.by_shop AND r.relation <> 'shops' LOOP
		EXECUTE format('LOCK TABLE incomplete_orders.%I IN SHARE ROW EXCLUSIVE MODE', name);
		EXECUTE format('SELECT EXISTS (SELECT FROM incomplete_orders.%I WHERE shop_id = $1)', name) INTO found USING OLD.shop_id;
		IF found THEN
			RAISE EXCEPTION USING ERRCODE = 'IC014',
				MESSAGE = format('shop "%s" is in use', OLD.shop),
				DETAIL = format('Table "%s" has rows of it.', name),
				HINT = 'incomplete_orders.delete_shop() deletes a shop with all its rows.';
		END IF;
	END LOOP;
	RETURN OLD;
END
$$;
ALTER FUNCTION incomplete_orders._refuse_shop_in_use() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._refuse_shop_in_use() IS 'IC014 when a shop that is to be deleted has rows in any table';

CREATE FUNCTION incomplete_orders.create_shop(shop text, name text, currency text DEFAULT 'USD', time_zone text DEFAULT 'UTC') RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	new_id integer;
BEGIN
	-- IC001 before anything else; a right to one shop is not enough here
	PERFORM incomplete_orders._visible_shops('create_shop', '*');
	IF NOT incomplete_orders._is_owner() AND NOT EXISTS (
		SELECT FROM incomplete_orders.shop_members m
		JOIN pg_roles r ON r.oid = m.role_oid AND r.rolname = m.role_name
		WHERE m.shop_id = 0 AND m.purpose = 'admin' AND m.cluster_id = incomplete_orders._cluster_id()
			AND pg_has_role(incomplete_orders._acting_role(), r.oid, 'USAGE'))
	THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = 'a shop may be created by an admin of all shops only',
			DETAIL = format('Role "%s" is not one.', incomplete_orders._acting_role()),
			HINT = 'incomplete_orders.grant_to(role, ''admin'') makes a role an admin of all shops.';
	END IF;
	INSERT INTO incomplete_orders.shops (shop, name, currency, time_zone)
	-- null is refused like '', in the trigger's words
	VALUES (coalesce(create_shop.shop, ''), coalesce(create_shop.name, ''),
		coalesce(create_shop.currency, 'USD'), coalesce(create_shop.time_zone, 'UTC'))
	ON CONFLICT (shop) DO NOTHING RETURNING shop_id INTO new_id;
	IF new_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'IC013',
			MESSAGE = format('shop "%s" exists already', create_shop.shop),
			DETAIL = 'A shop''s key is unique in the database.',
			HINT = 'Choose another key, or change that shop with incomplete_orders.configure_shop().';
	END IF;
	RETURN new_id;
END
$$;
ALTER FUNCTION incomplete_orders.create_shop(text, text, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.create_shop(text, text, text, text) IS
	'Makes a shop and returns its shop_id. Key: 1 to 63 of a-z, 0-9, _ and -. Admins of all shops only (42501); IC013 when the key is taken';

CREATE FUNCTION incomplete_orders._setting_types() RETURNS TABLE (setting text, json text, sql text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('name', 'string', 'text'), ('currency', 'string', 'text'), ('time_zone', 'string', 'text'), ('locale', 'string', 'text'), ('words', 'object', 'jsonb'),
		('base_url', 'string', 'text'), ('restore_url', 'string', 'text'), ('from_email', 'string', 'text'),
		('reply_to', 'string', 'text'), ('postal_address', 'string', 'text'), ('logo_url', 'string', 'text'),
		('colour', 'string', 'text'), ('cut_off', 'string', 'interval'), ('expiry', 'string', 'interval'),
		('retention', 'string', 'interval'), ('attribution_window', 'string', 'interval'), ('min_gap', 'string', 'interval'),
		('cap_per_episode', 'number', 'integer'), ('cap_per_person', 'number', 'integer'),
		('quiet_from', 'string', 'time'), ('quiet_to', 'string', 'time'), ('holdout', 'number', 'numeric'),
		('consent_rule', 'string', 'text'), ('exclusions', 'object', 'jsonb'), ('availability', 'string', 'text'),
		('payment_state', 'string', 'text'), ('allowed_origins', 'array', 'text[]'), ('image_hosts', 'array', 'text[]'), ('page_prices', 'string', 'text'),
		('publishable_key', 'string', 'text')
$$;
COMMENT ON FUNCTION incomplete_orders._setting_types() IS 'The settings of a shop: name, JSON type, SQL type';

-- "column = value" for an UPDATE; null means the column's default.
CREATE FUNCTION incomplete_orders._assignment(setting text, value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	shape record;
	word text;
BEGIN
	SELECT t.json, t.sql INTO shape FROM incomplete_orders._setting_types() t WHERE t.setting = _assignment.setting;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown setting "%s"', left(setting, 100)),
			DETAIL = 'No column of a shop''s settings has that name.',
			HINT = 'incomplete_orders.shop_settings() shows all of them.';
	END IF;
	IF jsonb_typeof(value) = 'null' THEN
		RETURN format('%I = DEFAULT', setting);
	END IF;
	IF jsonb_typeof(value) <> shape.json THEN
		PERFORM incomplete_orders._refuse_setting(setting, format('It must be a JSON %s, not a JSON %s.', shape.json, jsonb_typeof(value)), NULL);
	END IF;
	IF shape.json = 'array' THEN
		IF EXISTS (SELECT FROM jsonb_array_elements(value) v WHERE jsonb_typeof(v) <> 'string') THEN
			PERFORM incomplete_orders._refuse_setting(setting, 'Every element must be a JSON string.', NULL);
		END IF;
		word := ARRAY(SELECT jsonb_array_elements_text(value))::text;
	ELSE
		word := value #>> '{}';
	END IF;
	BEGIN
		CASE shape.sql
			WHEN 'integer' THEN PERFORM word::integer;
			WHEN 'interval' THEN PERFORM word::interval;
			WHEN 'time' THEN PERFORM word::time;
			ELSE NULL;
		END CASE;
	EXCEPTION WHEN data_exception THEN
		PERFORM incomplete_orders._refuse_setting(setting, format('It cannot be read as %s.', shape.sql), NULL);
	END;
	RETURN format('%I = %L::%s', setting, word, shape.sql);
END
$$;
COMMENT ON FUNCTION incomplete_orders._assignment(text, jsonb) IS 'One setting as part of an UPDATE; 22023 names it when it is unknown or of a wrong type';

CREATE FUNCTION incomplete_orders.configure_shop(shop text, settings jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
	own_id integer := incomplete_orders._enter_shop('configure_shop', shop, NULL);
	assignments text;
	hook text;
BEGIN
	IF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'settings must be a JSON object',
			HINT = 'For example {"currency": "EUR", "cut_off": "45 minutes"}.';
	END IF;
	IF settings -> 'name' = 'null' THEN
		PERFORM incomplete_orders._refuse_setting('name', 'It has no default that null could bring back.', NULL);
	END IF;
	-- a key that somebody chose could be one that another shop's pages use
	IF settings -> 'publishable_key' IS DISTINCT FROM 'null' AND settings ? 'publishable_key' AND NOT EXISTS (
		SELECT FROM incomplete_orders.shops s WHERE s.shop_id = own_id AND to_jsonb(s.publishable_key) = settings -> 'publishable_key')
	THEN
		PERFORM incomplete_orders._refuse_setting('publishable_key', 'It is made by the server; only null can be set, which shuts the shop''s pages out.',
			'incomplete_orders.rotate_publishable_key() makes a new one.');
	END IF;
	SELECT string_agg(incomplete_orders._assignment(s.key, s.value), ', ') INTO assignments FROM jsonb_each(settings) s;
	-- a hook whose role was dropped goes over to the role that names it again
	FOREACH hook IN ARRAY ARRAY['availability', 'payment_state'] LOOP
		IF settings ? hook THEN
			assignments := format('%s, %I = (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.rolname = %2$I)', assignments, hook || '_role');
		END IF;
	END LOOP;
	IF assignments IS NOT NULL THEN
		EXECUTE format('UPDATE incomplete_orders.shops SET %s WHERE shop_id = $1', assignments) USING own_id;
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders.configure_shop(text, jsonb) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.configure_shop(text, jsonb) IS
	'Changes the settings that are named; null brings back a default. 22023 names a setting that is unknown or cannot have that value. A function named by availability or payment_state will be called with the rights of the role that names it';

CREATE FUNCTION incomplete_orders.shop_settings(shop text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
	own_id integer := incomplete_orders._enter_shop('shop_settings', shop, NULL);
BEGIN
	RETURN (SELECT jsonb_object_agg(t.setting, to_jsonb(s) -> t.setting)
		FROM incomplete_orders.shops s, incomplete_orders._setting_types() t WHERE s.shop_id = own_id);
END
$$;
ALTER FUNCTION incomplete_orders.shop_settings(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.shop_settings(text) IS 'All settings of a shop, as configure_shop() takes them';

-- ---- the key of a shop's pages ----

CREATE FUNCTION incomplete_orders.rotate_publishable_key(shop text DEFAULT NULL, keep interval DEFAULT '7 days', at timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own_id integer := incomplete_orders._enter_shop('rotate_publishable_key', shop, rotate_publishable_key.at);
	since timestamptz := coalesce(rotate_publishable_key.at, now());
	made text := 'pk_' || translate(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'), '+/=', '-_');
BEGIN
	IF keep IS NULL OR NOT isfinite(keep) OR keep < interval '0' OR keep > interval '1 year' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "keep" must be between 0 and 1 year',
			DETAIL = 'For so long the shop''s former key is valid beside the new one.',
			HINT = 'Use 0 when the former key must be of no use at once.';
	END IF;
	UPDATE incomplete_orders.shops s SET publishable_key = made,
		former_key = CASE WHEN keep > interval '0' THEN s.publishable_key END,
		former_key_until = CASE WHEN keep > interval '0' AND s.publishable_key IS NOT NULL THEN since + keep END
	WHERE s.shop_id = own_id;
	RETURN made;
END
$$;
ALTER FUNCTION incomplete_orders.rotate_publishable_key(text, interval, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.rotate_publishable_key(text, interval, timestamptz) IS
	'Makes the key by which a shop''s pages are known, and returns it; shop_settings() shows it. The one before it stays valid for keep (0: not at all), one that is older does not. A page with the key can write the open order of a session that it knows, and nothing else: it is no secret. IC002, 22023';

CREATE FUNCTION incomplete_orders.shop_of_key(publishable_key text)
RETURNS TABLE (shop text, allowed_origins text[], consent_rule text, page_prices text, valid_until timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	found_shop text := '';
BEGIN
	-- the empty name first, which is of no shop: IC001 before the table is asked
	FOR tries IN 1 .. 2 LOOP
		BEGIN
			PERFORM incomplete_orders._enter_shop('shop_of_key', found_shop, NULL);
			RETURN QUERY SELECT s.shop, s.allowed_origins, s.consent_rule, s.page_prices,
				CASE WHEN s.publishable_key = shop_of_key.publishable_key THEN timestamptz 'infinity' ELSE s.former_key_until END
			FROM incomplete_orders.shops s WHERE s.shop = found_shop;
			RETURN;
		EXCEPTION WHEN SQLSTATE 'IC002' THEN
			SELECT s.shop INTO found_shop FROM incomplete_orders.shops s
			WHERE s.publishable_key = shop_of_key.publishable_key OR s.former_key = shop_of_key.publishable_key AND s.former_key_until > now();
			EXIT WHEN NOT FOUND;
		END;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders.shop_of_key(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.shop_of_key(text) IS
	'The shop whose publishable key that is, and what the program that serves its pages must know of it; valid_until: of the key, infinity for the present one. No row for a key that is unknown, has run out, or is of a shop that the acting role has nothing to do with';

CREATE FUNCTION incomplete_orders.export_shop(shop text DEFAULT NULL) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres' SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
	own_id integer := incomplete_orders._enter_shop('export_shop', shop, NULL);
	query text;
BEGIN
	-- One query, so one snapshot.  to_jsonb would make a text of line_items.
	SELECT string_agg(format('SELECT jsonb_build_object(''table'', %1$L, ''row'', to_jsonb(t)%2$s) FROM incomplete_orders.%1$I t WHERE t.shop_id = $1',
		r.relation, (SELECT string_agg(format(' || jsonb_build_object(%1$L, t.%1$I::jsonb)', a.attname), '')
			FROM pg_attribute a WHERE a.attrelid = to_regclass('incomplete_orders.' || r.relation)
				AND a.atttypid = 'incomplete_orders.line_items'::regtype)), ' UNION ALL ')
	INTO query FROM incomplete_orders._relations() r WHERE r.by_shop AND r.relation <> 'shop_secrets';
	RETURN QUERY EXECUTE query USING own_id;
END
$$;
ALTER FUNCTION incomplete_orders.export_shop(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.export_shop(text) IS
	'Every row of every table of a shop, as {"table": ..., "row": ...}, of one instant; personal data included, its secrets not. What does not fit work_mem waits in a temporary file';

CREATE FUNCTION incomplete_orders.delete_shop(shop text, dry_run boolean DEFAULT true) RETURNS TABLE (action text, object text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own_id integer := incomplete_orders._enter_shop('delete_shop', shop, NULL);
	tables text[] := ARRAY(SELECT r.relation FROM incomplete_orders._relations() r WHERE r.by_shop);
	name text;
	n bigint;
	counts jsonb := '{}';
	members jsonb;
BEGIN
	IF EXISTS (SELECT FROM incomplete_orders.shops s WHERE s.shop_id = own_id AND s.shop = 'default') THEN
		RAISE EXCEPTION USING ERRCODE = 'IC014',
			MESSAGE = 'shop "default" cannot be deleted',
			DETAIL = 'It is the shop of every call that names none, and setup() would make it again.',
			HINT = 'Delete its data with incomplete_orders.cleanup() or incomplete_orders.remove().';
	END IF;
	IF dry_run IS NOT FALSE THEN
		FOREACH name IN ARRAY tables LOOP
			EXECUTE format('SELECT count(*) FROM incomplete_orders.%I WHERE shop_id = $1', name) INTO n USING own_id;
			action := 'delete';
			object := format('%s rows of %s', n, name);
			RETURN NEXT;
		END LOOP;
		RETURN;
	END IF;

	FOR action, object IN SELECT d.action, d.object FROM incomplete_orders.attached_tables a,
		LATERAL incomplete_orders._detach(a.shop_id, a.attachment, false) d WHERE a.shop_id = own_id ORDER BY a.attachment
	LOOP
		RETURN NEXT;
	END LOOP;
	SELECT jsonb_agg(DISTINCT jsonb_build_array(m.role_name, m.purpose)) INTO members
	FROM incomplete_orders.shop_members m JOIN pg_roles r ON r.oid = m.role_oid AND r.rolname = m.role_name
	WHERE m.shop_id = own_id;
	PERFORM incomplete_orders._allow_purge();
	PERFORM incomplete_orders._lock_rollups(true);
	-- The bulk first, then, with every writer of these tables shut out for a
	-- moment, what came in meanwhile.
	FOR pass IN 1 .. 2 LOOP
		FOREACH name IN ARRAY tables LOOP
			CONTINUE WHEN name = 'shops';
			IF pass = 2 THEN
				EXECUTE format('LOCK TABLE incomplete_orders.%I IN SHARE ROW EXCLUSIVE MODE', name);
			END IF;
			EXECUTE format('DELETE FROM incomplete_orders.%I WHERE shop_id = $1', name) USING own_id;
			GET DIAGNOSTICS n = ROW_COUNT;
			counts := jsonb_set(counts, ARRAY[name], to_jsonb(n + coalesce((counts ->> name)::bigint, 0)));
		END LOOP;
	END LOOP;
	DELETE FROM incomplete_orders.shops WHERE shop_id = own_id;
	GET DIAGNOSTICS n = ROW_COUNT;
	counts := jsonb_set(counts, '{shops}', to_jsonb(n));
	PERFORM incomplete_orders._apply_rights(m ->> 0, m ->> 1, false) FROM jsonb_array_elements(members) m;
	FOREACH name IN ARRAY tables LOOP
		action := 'delete';
		object := format('%s rows of %s', counts ->> name, name);
		RETURN NEXT;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders.delete_shop(text, boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.delete_shop(text, boolean) IS
	'Deletes a shop with all its rows, and the triggers on its attached tables, in one transaction, with dry_run it only counts them. Never the shop default (IC014). Stop the shop''s programs first: its last step shuts out the writers of all shops until the commit, and with calls for this shop under way it can fail as a deadlock, deleting nothing. Superuser or a member of incomplete_orders_owner; READ COMMITTED only';

-- For the policy of the admin's pages, which are of no shop: of all that the caller serves.
CREATE FUNCTION incomplete_orders.list_image_hosts() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT DISTINCT h.host
	FROM (SELECT incomplete_orders._visible_shops('list_image_hosts', '*') AS shops OFFSET 0) v
	JOIN incomplete_orders.shops s ON s.shop_id = ANY (v.shops)
	CROSS JOIN LATERAL (
		SELECT unnest(s.image_hosts)
		UNION ALL SELECT lower(substring(s.logo_url FROM '^(https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?)([/?#]|$)'))
	) h (host)
	WHERE h.host IS NOT NULL
	ORDER BY 1
	LIMIT 100
$$;
ALTER FUNCTION incomplete_orders.list_image_hosts() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_image_hosts() IS
	'From where the admin''s pages may show pictures: the setting image_hosts, and the host of logo_url, of all shops that the caller may see';

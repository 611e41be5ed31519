-- Attach: a shop's own tables are watched and read.  attach() checks a mapping,
-- makes of it the queries that tick runs, and puts our trigger on the tables.
-- All of this runs as incomplete_orders_owner; what is the shop's (predicates,
-- tables, triggers) is planned, read and made as the role that attaches
-- (attach.c), which the owner role has no right to.

CREATE FUNCTION incomplete_orders._expression_fault(expression text) RETURNS text
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'ico_expression_fault';
COMMENT ON FUNCTION incomplete_orders._expression_fault(text) IS 'Why a text is not one SQL expression; null when it is one';

CREATE FUNCTION incomplete_orders._try_query(shop_id integer, role text, query text, lists boolean,
	OUT types text[], OUT fault text, OUT hint text, OUT sqlstate text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'ico_try_query';
COMMENT ON FUNCTION incomplete_orders._try_query(integer, text, text, boolean) IS
	'Runs a query as that role, restricted, for no keys (lists: for no rows): the types of its columns, or what it failed with';

CREATE FUNCTION incomplete_orders._sample_carts(shop_id integer, attachment_name text, role text, role_oid oid, decimals integer, read_query text, list_query text, n integer)
RETURNS TABLE (cart_key text, state text, problem text, items incomplete_orders.line_items, total numeric, updated_at timestamptz,
	session_id text, customer_id text, email text, phone text, name text, locale text, time_zone text, consent text, currency text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'ico_sample_carts';
COMMENT ON FUNCTION incomplete_orders._sample_carts IS 'A few open carts of a shop as tick reads them; IC010 when they cannot be read';

CREATE FUNCTION incomplete_orders._lock_tables(relations oid[], exclusive boolean) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'ico_lock_tables';
COMMENT ON FUNCTION incomplete_orders._lock_tables(oid[], boolean) IS
	'Locks tables and their partitions for making triggers (exclusive: for dropping them), all at once or none; 55P03 when they are not free within five seconds';

CREATE FUNCTION incomplete_orders._make_mark_trigger(role text, attachment integer, path integer, relation oid, attnum integer, attname text, always boolean) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'ico_make_mark_trigger';
COMMENT ON FUNCTION incomplete_orders._make_mark_trigger(text, integer, integer, oid, integer, text, boolean) IS 'Makes the two triggers of a watched table as that role';

CREATE FUNCTION incomplete_orders._drop_mark_trigger(role text, relation oid, trigger_name text) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'ico_drop_mark_trigger';
COMMENT ON FUNCTION incomplete_orders._drop_mark_trigger(text, oid, text) IS 'Drops a trigger of ours as that role; what it failed with, or null';

-- --- mappings -----------------------------------------------------------------

CREATE FUNCTION incomplete_orders._merge_mapping(base jsonb, changes jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	merged jsonb := CASE WHEN jsonb_typeof(base) = 'object' THEN base ELSE '{}' END;
	key text;
	value jsonb;
BEGIN
	IF jsonb_typeof(changes) <> 'object' THEN
		RETURN changes;
	END IF;
	-- one way to say a value takes the place of the other
	IF changes ? 'sql' OR merged ? 'sql' THEN
		merged := '{}';
	END IF;
	FOR key, value IN SELECT e.key, e.value FROM jsonb_each(changes) e LOOP
		IF value = 'null' THEN
			merged := merged - key;
		ELSE
			merged := merged || jsonb_build_object(key, incomplete_orders._merge_mapping(merged -> key, value));
		END IF;
	END LOOP;
	RETURN merged;
END
$$;
COMMENT ON FUNCTION incomplete_orders._merge_mapping(jsonb, jsonb) IS 'A mapping with some keys replaced, at any depth; null removes a key';

CREATE FUNCTION incomplete_orders.attach_mapping(preset text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	found jsonb;
BEGIN
	PERFORM incomplete_orders._visible_shops('attach_mapping', '*');
	SELECT p.mapping INTO found FROM incomplete_orders._attach_presets() p WHERE p.preset = attach_mapping.preset;
	IF found IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'IC010',
			MESSAGE = format('unknown preset "%s"', left(coalesce(attach_mapping.preset, ''), 100)),
			DETAIL = format('The presets are %s.', (SELECT string_agg(p.preset, ', ' ORDER BY p.preset) FROM incomplete_orders._attach_presets() p)),
			HINT = 'For another shop leave it out and give attach() a whole mapping.';
	END IF;
	RETURN found;
END
$$;
ALTER FUNCTION incomplete_orders.attach_mapping(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.attach_mapping(text) IS 'The mapping of a shop that is known; IC010 names the presets that there are';

-- Every part of a mapping: where it stands, what it is to be, what it is, and
-- which rows of the shop it may speak of.
CREATE FUNCTION incomplete_orders._value_parts(at text, given jsonb, rows text) RETURNS TABLE (place text, kind text, value jsonb, scope text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	key text;
	part jsonb;
BEGIN
	IF given IS NULL THEN
		RETURN;
	END IF;
	IF jsonb_typeof(given) <> 'object' THEN
		RETURN QUERY SELECT at, 'column', given, rows;
		RETURN;
	END IF;
	IF given ? 'sql' THEN
		RETURN QUERY SELECT at || '.sql', 'expression', given -> 'sql', rows;
	ELSE
		RETURN QUERY SELECT at || '.join', 'table', coalesce(given -> 'join', 'null'), rows
			UNION ALL SELECT at || '.on', 'expression', coalesce(given -> 'on', 'null'), rows
			UNION ALL SELECT at || '.order', 'expression', given -> 'order', rows WHERE given ? 'order'
			UNION ALL SELECT at || '.as', 'name', given -> 'as', rows WHERE given ? 'as';
		RETURN QUERY SELECT * FROM incomplete_orders._value_parts(at || '.column', coalesce(given -> 'column', 'null'), rows);
	END IF;
	FOR key, part IN SELECT e.key, e.value FROM jsonb_each(given) e LOOP
		IF key <> ALL (CASE WHEN given ? 'sql' THEN ARRAY['sql'] ELSE ARRAY['join', 'on', 'as', 'order', 'column'] END) THEN
			RETURN QUERY SELECT at || '.' || key, 'unknown', part, rows;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._value_parts(text, jsonb, text) IS 'The parts of one value of a mapping: a column, a join or an expression';

CREATE FUNCTION incomplete_orders._mapping_keys() RETURNS TABLE (section text, key text, kind text, needed boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('', 'schema', 'name', false), ('', 'cart', 'section', true), ('', 'lines', 'section', true), ('', 'orders', 'section', false),
		('', 'watch', 'watch', false), ('', 'money', 'money', true), ('', 'total', 'total', false),
		('', 'completed', 'expression', false), ('', 'in_progress', 'expression', false), ('', 'superseded', 'expression', false),
		('', 'on_delete', 'deleted or converted', false), ('', 'restore_url', 'URL', false), ('', 'settle', 'interval', false), ('', 'always', 'boolean', false),
		('cart', 'table', 'table', true), ('cart', 'id', 'name', true), ('cart', 'where', 'expression', false), ('cart', 'currency', 'value', false),
		('cart', 'email', 'value', false), ('cart', 'phone', 'value', false), ('cart', 'name', 'value', false), ('cart', 'customer', 'value', false),
		('cart', 'session', 'value', false), ('cart', 'locale', 'value', false), ('cart', 'time_zone', 'value', false), ('cart', 'consent', 'value', false),
		('cart', 'order_number', 'value', false), ('cart', 'deleted_at', 'value', false), ('cart', 'updated_at', 'value', false),
		('cart', 'completed_at', 'value', false),
		('lines', 'table', 'table', true), ('lines', 'id', 'name', false), ('lines', 'cart', 'name', true), ('lines', 'where', 'expression', false),
		('lines', 'sku', 'value', true), ('lines', 'name', 'value', false), ('lines', 'quantity', 'value', true), ('lines', 'unit_price', 'value', true),
		('lines', 'product', 'value', false), ('lines', 'image', 'value', false),
		('orders', 'table', 'table', true), ('orders', 'cart', 'name', true), ('orders', 'order', 'name', true), ('orders', 'live', 'expression', false),
		('orders', 'as', 'name', false), ('orders', 'total', 'value', false), ('orders', 'currency', 'value', false), ('orders', 'completed_at', 'value', false),
		('watch', 'table', 'table', true), ('watch', 'column', 'name', true), ('watch', 'cart', 'name', true)
$$;
COMMENT ON FUNCTION incomplete_orders._mapping_keys() IS 'The keys of a mapping, by section, and what each is to be';

CREATE FUNCTION incomplete_orders._mapping_parts(mapping jsonb) RETURNS TABLE (place text, kind text, value jsonb, scope text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	part record;
	found record;
BEGIN
	FOR part IN
		SELECT s.at, s.section, s.object FROM (
			SELECT '' AS at, '' AS section, mapping AS object, 0 AS n
			UNION ALL SELECT k.key || '.', k.key, mapping -> k.key, 1 FROM incomplete_orders._mapping_keys() k WHERE k.kind = 'section' AND mapping ? k.key
			UNION ALL SELECT format('watch.%s.', w.n), 'watch', w.object, 2
			FROM jsonb_array_elements(CASE jsonb_typeof(mapping -> 'watch') WHEN 'array' THEN mapping -> 'watch' ELSE '[]' END) WITH ORDINALITY w (object, n)) s
		ORDER BY s.n, s.at
	LOOP
		IF jsonb_typeof(part.object) <> 'object' THEN
			-- of a section it was said already
			RETURN QUERY SELECT rtrim(part.at, '.'), 'object', part.object, '' WHERE part.section = 'watch';
			CONTINUE;
		END IF;
		FOR found IN
			SELECT coalesce(k.key, o.key) AS key, k.kind, k.needed, o.value
			FROM (SELECT * FROM incomplete_orders._mapping_keys() m WHERE m.section = part.section) k
			FULL JOIN jsonb_each(part.object) o (key, value) ON o.key = k.key
			ORDER BY 1
		LOOP
			IF found.kind IS NULL THEN
				RETURN QUERY SELECT part.at || found.key, 'unknown', found.value, part.section;
			ELSIF found.value IS NULL THEN
				RETURN QUERY SELECT part.at || found.key, 'missing', NULL::jsonb, part.section WHERE found.needed;
			ELSIF found.kind = 'value' OR found.kind = 'total' AND jsonb_typeof(found.value) = 'object' THEN
				RETURN QUERY SELECT * FROM incomplete_orders._value_parts(part.at || found.key, found.value, part.section);
			ELSE
				RETURN QUERY SELECT part.at || found.key, CASE found.kind WHEN 'total' THEN 'expression' ELSE found.kind END, found.value, part.section;
			END IF;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._mapping_parts(jsonb) IS 'Every part of a mapping, also what is unknown or missing';

-- What can be said of a part without a look at any table.
CREATE FUNCTION incomplete_orders._part_fault(kind text, value jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	word text := value #>> '{}';
BEGIN
	IF kind = 'unknown' THEN
		RETURN 'There is no such key.';
	ELSIF kind = 'missing' THEN
		RETURN 'It is missing.';
	ELSIF kind IN ('section', 'object') THEN
		RETURN CASE WHEN jsonb_typeof(value) <> 'object' THEN 'It must be a JSON object.' END;
	ELSIF kind = 'watch' THEN
		RETURN CASE WHEN jsonb_typeof(value) <> 'array' OR jsonb_array_length(value) > 100 THEN 'It must be a JSON array of at most 100 objects.' END;
	ELSIF kind = 'boolean' THEN
		RETURN CASE WHEN jsonb_typeof(value) <> 'boolean' THEN 'It must be true or false.' END;
	ELSIF kind = 'money' THEN
		RETURN CASE WHEN value NOT IN ('"minor"', '"major"', '0', '1', '2', '3', '4')
			THEN 'It must be "major", "minor" (the smallest unit of the currency), or how many decimal places are left out, 0 to 4, whatever the currency.' END;
	ELSIF jsonb_typeof(value) <> 'string' OR word = '' THEN
		RETURN 'It must be a JSON string, not empty.';
	ELSIF kind = 'expression' THEN
		RETURN incomplete_orders._expression_fault(word);
	ELSIF kind IN ('name', 'column') THEN
		RETURN CASE WHEN octet_length(word) > 63 THEN 'A name has at most 63 bytes.' END;
	ELSIF kind = 'table' THEN
		BEGIN
			RETURN CASE WHEN cardinality(parse_ident(word)) > 2 THEN 'It must be a table''s name, or schema.table.' END;
		EXCEPTION WHEN data_exception THEN
			RETURN 'It must be a table''s name as in SQL, quoted where it must be: "Order" or shop.carts.';
		END;
	ELSIF kind = 'deleted or converted' THEN
		RETURN CASE WHEN word <> ALL (string_to_array(kind, ' or ')) THEN format('It must be %s.', kind) END;
	ELSIF kind = 'interval' THEN
		BEGIN
			RETURN CASE WHEN word::interval NOT BETWEEN '0' AND '1 hour' THEN 'It must be 0 seconds to 1 hour.' END;
		EXCEPTION WHEN data_exception THEN
			RETURN 'It must be an interval, for example 5 seconds.';
		END;
	ELSIF kind = 'URL' THEN
		RETURN CASE WHEN octet_length(word) > 2048 OR word !~ '^https?://[^{}/?#]+([/?#]|$)' OR word !~ '\{(id|session)\}' OR word ~ $re$[\x01-\x20\x7f"'<>\\^`|]$re$
			THEN 'It must be an http or https URL with {id} or {session} behind the host, for example https://shop.example/cart?id={id}.' END;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION incomplete_orders._part_fault(text, jsonb) IS 'Why a part of a mapping cannot be what it is to be; null when it can';

-- --- from a mapping to queries --------------------------------------------------

-- By the catalog and not by to_regclass(): we need no right to that schema.
CREATE FUNCTION incomplete_orders._find_table(word text, schemas text[]) RETURNS TABLE (relation oid, qualified text, bare text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	parts text[] := parse_ident(word);
BEGIN
	bare := parts[cardinality(parts)];
	IF cardinality(parts) = 2 THEN
		schemas := parts[1:1];
	END IF;
	SELECT c.oid, format('%I.%I', n.nspname, c.relname) INTO relation, qualified
	FROM unnest(schemas) WITH ORDINALITY s (name, place) JOIN pg_namespace n ON n.nspname = s.name
	JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = bare AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
	ORDER BY s.place LIMIT 1;
	-- so that what is made of it names it as it is missing
	qualified := coalesce(qualified, format('%I.%I', coalesce(schemas[1], 'public'), bare));
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION incomplete_orders._find_table(text, text[]) IS 'The table that a mapping names, by its name in these schemas';

CREATE FUNCTION incomplete_orders._value_sql(value jsonb, row_name text, schemas text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	joined record;
	alias text;
BEGIN
	IF value IS NULL THEN
		RETURN 'NULL';
	ELSIF jsonb_typeof(value) = 'string' THEN
		RETURN format('%I.%I', row_name, value #>> '{}');
	ELSIF value ? 'sql' THEN
		-- a comment at its end must not reach what follows
		RETURN format(E'(%s\n)', value ->> 'sql');
	END IF;
	SELECT * INTO joined FROM incomplete_orders._find_table(value ->> 'join', schemas);
	alias := coalesce(value ->> 'as', joined.bare);
	RETURN format(E'(SELECT %s FROM %s AS %I WHERE (%s\n)%s LIMIT 1)', incomplete_orders._value_sql(value -> 'column', alias, schemas),
		joined.qualified, alias, value ->> 'on', ' ORDER BY (' || (value ->> 'order') || E'\n)');
END
$$;
COMMENT ON FUNCTION incomplete_orders._value_sql(jsonb, text, text[]) IS 'A value of a mapping as an SQL expression over that row';

CREATE FUNCTION incomplete_orders._column_of(relation oid, name text) RETURNS TABLE (attnum smallint, type text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- "character" without a length would cut a key to one character
	SELECT a.attnum, CASE WHEN a.atttypid = 'bpchar'::regtype THEN 'bpchar' ELSE format_type(a.atttypid, NULL) END FROM pg_attribute a
	WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION incomplete_orders._column_of(oid, text) IS 'Number and type of a column';

-- A point of time as a value of a mapping; shops that leave the zone out mean UTC.
CREATE FUNCTION incomplete_orders._instant_sql(value jsonb, row_name text, relation oid, schemas text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN value IS NULL THEN 'NULL::timestamptz'
		ELSE incomplete_orders._value_sql(value, row_name, schemas)
			|| CASE (SELECT c.type FROM incomplete_orders._column_of(relation, value #>> '{}') c) WHEN 'timestamp without time zone' THEN ' AT TIME ZONE ''UTC''' ELSE '::timestamptz' END END
$$;
COMMENT ON FUNCTION incomplete_orders._instant_sql(jsonb, text, oid, text[]) IS 'A value of a mapping as a timestamptz';

CREATE FUNCTION incomplete_orders._key_sql(key text, type text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN type = 'uuid' THEN format('CASE WHEN %1$s ~ ''^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'' THEN %1$s::uuid END', key)
		ELSE format('%s::%s', key, type) END
$$;
COMMENT ON FUNCTION incomplete_orders._key_sql(text, text) IS
	'A key as a value of the type of the carts'' ids. Saleor keeps what checkout an order had as a text: what is no uuid is no checkout';

CREATE FUNCTION incomplete_orders._attachment_queries(mapping jsonb, schemas text[], OUT read_query text, OUT list_query text, OUT key_queries jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	cart jsonb := mapping -> 'cart';
	lines jsonb := mapping -> 'lines';
	orders jsonb := mapping -> 'orders';
	carts record;
	rows record;
	links record;
	watch record;
	id text := cart ->> 'id';
	id_type text;
	link_name text;
	link_type text;
	live text;
	where_cart text := CASE WHEN cart ? 'where' THEN format(E'(%s\n)', cart ->> 'where') ELSE 'true' END;
	completed text := CASE WHEN mapping ? 'completed' THEN format(E'coalesce((%s\n), false)', mapping ->> 'completed') END;
	superseded text := CASE WHEN mapping ? 'superseded' THEN format(E'coalesce((%s\n), false)', mapping ->> 'superseded') ELSE 'false' END;
	deleted text := CASE WHEN cart ? 'deleted_at' THEN format('%s IS NOT NULL', incomplete_orders._value_sql(cart -> 'deleted_at', 'cart', schemas)) ELSE 'false' END;
	total text := CASE jsonb_typeof(mapping -> 'total') WHEN 'string' THEN format(E'(%s\n)', mapping ->> 'total')
		ELSE incomplete_orders._value_sql(mapping -> 'total', 'cart', schemas) END || '::text';
	currency text := incomplete_orders._value_sql(cart -> 'currency', 'cart', schemas) || '::text';
	completed_at text;
	link text := 'LEFT JOIN (SELECT NULL::text AS order_ref) AS own_link ON false';
	linked text;
	items text;
	sku text;
	product text;
BEGIN
	SELECT * INTO carts FROM incomplete_orders._find_table(cart ->> 'table', schemas);
	SELECT * INTO rows FROM incomplete_orders._find_table(lines ->> 'table', schemas);
	SELECT c.type INTO id_type FROM incomplete_orders._column_of(carts.relation, id) c;
	completed_at := incomplete_orders._instant_sql(cart -> 'completed_at', 'cart', carts.relation, schemas);
	IF orders IS NOT NULL THEN
		SELECT * INTO links FROM incomplete_orders._find_table(orders ->> 'table', schemas);
		SELECT c.type INTO link_type FROM incomplete_orders._column_of(links.relation, orders ->> 'cart') c;
		link_name := coalesce(orders ->> 'as', links.bare);
		live := CASE WHEN orders ? 'live' THEN format(E'(%s\n)', orders ->> 'live') ELSE 'true' END;
		linked := format('%I.%I::text AS order_ref, %s::text AS total, %s::text AS currency, %s AS completed_at', link_name, orders ->> 'order',
			incomplete_orders._value_sql(orders -> 'total', link_name, schemas), incomplete_orders._value_sql(orders -> 'currency', link_name, schemas),
			incomplete_orders._instant_sql(orders -> 'completed_at', link_name, links.relation, schemas));
		link := format(E'LEFT JOIN LATERAL (SELECT %1$s\n\tFROM %2$s AS %3$I WHERE %3$I.%4$I = cart.%5$I%6$s AND %7$s ORDER BY %3$I.%8$I LIMIT 1) AS own_link ON true',
			linked, links.qualified, link_name, orders ->> 'cart', id, CASE WHEN link_type <> id_type THEN '::text::' || link_type ELSE '' END, live, orders ->> 'order');
		completed := coalesce(completed, 'own_link.order_ref IS NOT NULL');
		total := format('coalesce(own_link.total, %s)', total);
		currency := format('coalesce(%s, own_link.currency)', currency);
		completed_at := format('coalesce(%s, own_link.completed_at)', completed_at);
	END IF;
	completed := coalesce(completed, 'false');

	product := incomplete_orders._value_sql(lines -> 'product', 'line', schemas);
	sku := format('nullif(%s::text, '''')', incomplete_orders._value_sql(lines -> 'sku', 'line', schemas));
	IF lines ? 'product' THEN
		-- a variant without a sku is still that variant
		sku := format('coalesce(%s, %s::text)', sku, product);
	END IF;
	items := format(E'(SELECT json_agg(json_build_object(''sku'', %s, ''name'', %s::text, ''quantity'', %s, ''unit_price'', %s, ''product_id'', %s::text, ''image_url'', %s::text) ORDER BY %s)\n\tFROM %s AS line WHERE line.%I = cart.%I AND %s)',
		sku, incomplete_orders._value_sql(lines -> 'name', 'line', schemas),
		incomplete_orders._value_sql(lines -> 'quantity', 'line', schemas), incomplete_orders._value_sql(lines -> 'unit_price', 'line', schemas),
		product, incomplete_orders._value_sql(lines -> 'image', 'line', schemas), coalesce('line.' || quote_ident(lines ->> 'id'), sku), rows.qualified, lines ->> 'cart', id,
		CASE WHEN lines ? 'where' THEN format(E'(%s\n)', lines ->> 'where') ELSE 'true' END);

	read_query := format(E'SELECT cart.%I::text AS cart_key', id)
		|| (SELECT string_agg(format(E',\n\t%s::text AS %s', incomplete_orders._value_sql(cart -> v.key, 'cart', schemas), v.name), '' ORDER BY v.n)
			FROM (VALUES (1, 'session', 'session_id'), (2, 'customer', 'customer_id'), (3, 'email', 'email'), (4, 'phone', 'phone'), (5, 'name', 'name'),
				(6, 'locale', 'locale'), (7, 'time_zone', 'time_zone'), (8, 'consent', 'consent')) v (n, key, name))
		|| format(E',\n\t%s AS currency,\n\t%s AS total,\n\tcoalesce(%s::text, ''[]'') AS items', currency, total, items)
		|| format(E',\n\t%s AS completed,\n\t%s AS in_progress,\n\t%s AS superseded,\n\t%s AS deleted,\n\t%s AS order_ref,\n\t%s AS updated_at,\n\t%s AS completed_at',
			completed, CASE WHEN mapping ? 'in_progress' THEN format(E'coalesce((%s\n), false)', mapping ->> 'in_progress') ELSE 'false' END, superseded, deleted,
			CASE WHEN orders IS NOT NULL THEN 'own_link.order_ref'
				ELSE format('CASE WHEN %s THEN coalesce(%s::text, cart.%I::text) END', completed, incomplete_orders._value_sql(cart -> 'order_number', 'cart', schemas), id) END,
			incomplete_orders._instant_sql(cart -> 'updated_at', 'cart', carts.relation, schemas), completed_at)
		|| format(E'\nFROM %s AS cart %s\nWHERE cart.%I = ANY (%s) AND %s', carts.qualified, link, id,
			CASE WHEN id_type = 'uuid' THEN format('ARRAY(SELECT %s FROM unnest($1) AS k)', incomplete_orders._key_sql('k', id_type)) ELSE format('$1::%s[]', id_type) END,
			where_cart);
	IF orders IS NOT NULL THEN
		-- the cart is gone, and the order that it became is there
		read_query := read_query || format(E'\nUNION ALL\nSELECT own_link.cart_key%1$s, own_link.currency, own_link.total, ''[]'', true, false, false, true, own_link.order_ref, NULL, own_link.completed_at\nFROM (SELECT DISTINCT ON (%2$I.%3$I) %2$I.%3$I::text AS cart_key, %4$s\n\tFROM %5$s AS %2$I WHERE %2$I.%3$I = ANY ($1::%6$s[]) AND %7$s ORDER BY %2$I.%3$I, %2$I.%8$I) AS own_link\nWHERE (%11$s) IS NOT NULL AND NOT EXISTS (SELECT FROM %9$s AS cart WHERE cart.%10$I = %11$s)',
			repeat(', NULL', 8), link_name, orders ->> 'cart', linked, links.qualified, link_type, live, orders ->> 'order', carts.qualified, id,
			incomplete_orders._key_sql('own_link.cart_key', id_type));
	END IF;

	list_query := format(E'SELECT cart.%1$I::text AS cart_key\nFROM %2$s AS cart %3$s\nWHERE ($1 IS NULL OR cart.%1$I > $1::%4$s) AND %5$s AND NOT (%6$s) AND NOT (%7$s) AND NOT (%8$s)\nORDER BY cart.%1$I LIMIT $2',
		id, carts.qualified, link, id_type, where_cart, completed, superseded, deleted);

	-- What is completed does not change by what is watched beside it.
	key_queries := '{}';
	FOR watch IN SELECT w.object, w.n + 2 AS path FROM jsonb_array_elements(mapping -> 'watch') WITH ORDINALITY w (object, n) LOOP
		IF watch.object ->> 'cart' <> id THEN
			key_queries := key_queries || jsonb_build_object(watch.path::text, format(E'SELECT cart.%I::text AS cart_key, cart.%I::text AS marked_key FROM %s AS cart %s WHERE cart.%I = ANY ($1::%s[]) AND NOT (%s)',
				id, watch.object ->> 'cart', carts.qualified, link, watch.object ->> 'cart',
				(SELECT c.type FROM incomplete_orders._column_of(carts.relation, watch.object ->> 'cart') c), completed));
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._attachment_queries(jsonb, text[]) IS 'The queries of a mapping: carts by key; keys of open carts, after $1, at most $2; keys of carts by what is watched';

CREATE FUNCTION incomplete_orders._url_part(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(string_agg(CASE WHEN c ~ '^[A-Za-z0-9._~-]$' THEN c
		ELSE regexp_replace(upper(encode(convert_to(c, 'UTF8'), 'hex')), '(..)', '%\1', 'g') END, '' ORDER BY n), '')
	FROM regexp_split_to_table(value, '') WITH ORDINALITY s (c, n)
$$;
COMMENT ON FUNCTION incomplete_orders._url_part(text) IS 'A text as it may stand in a URL';

-- --- attach ---------------------------------------------------------------------

-- The tables on which a trigger is put, with the column whose value it notes.
CREATE FUNCTION incomplete_orders._watched_tables(mapping jsonb, schemas text[])
RETURNS TABLE (path integer, kind text, relation oid, qualified text, attnum smallint, attname text, type text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT w.path, w.kind, f.relation, f.qualified, c.attnum, w.attname, c.type
	FROM (
		SELECT 0 AS path, 'cart' AS kind, mapping #>> '{cart,table}' AS word, mapping #>> '{cart,id}' AS attname
		UNION ALL SELECT 1, 'lines', mapping #>> '{lines,table}', mapping #>> '{lines,cart}'
		UNION ALL SELECT 2, 'orders', mapping #>> '{orders,table}', mapping #>> '{orders,cart}' WHERE mapping ? 'orders'
		UNION ALL SELECT 2 + e.n::integer, 'watch', e.object ->> 'table', e.object ->> 'column'
		FROM jsonb_array_elements(mapping -> 'watch') WITH ORDINALITY e (object, n)) w
	CROSS JOIN LATERAL incomplete_orders._find_table(w.word, schemas) f
	LEFT JOIN LATERAL incomplete_orders._column_of(f.relation, w.attname) c ON true
	ORDER BY w.path
$$;
COMMENT ON FUNCTION incomplete_orders._watched_tables(jsonb, text[]) IS 'The tables of a mapping that get a trigger: number, relation, and the column that says which cart';

-- Every check of a mapping against the tables that are there.  ok false: a fault.
CREATE FUNCTION incomplete_orders._check_mapping(shop_id integer, role_name text, mapping jsonb, schemas text[])
RETURNS TABLE (check_name text, ok boolean, result text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	part record;
	seen record;
	tried record;
	queries record;
	query text;
	carts text;
	rows text;
	links text;
	whole boolean := true;
	super CONSTANT boolean := (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = role_name);
BEGIN
	check_name := 'role';
	ok := true;
	result := format('reads as %s', role_name);
	IF super THEN
		result := result || ', a superuser: SET ROLE to the role that owns the shop''s tables before attaching, so that what the shop''s own views and functions do is not done as a superuser';
	END IF;
	RETURN NEXT;

	FOR part IN SELECT * FROM incomplete_orders._mapping_parts(mapping) LOOP
		result := incomplete_orders._part_fault(part.kind, part.value);
		IF result IS NULL AND part.kind = 'table' THEN
			SELECT * INTO seen FROM incomplete_orders._find_table(part.value #>> '{}', schemas);
			result := CASE WHEN seen.relation IS NULL THEN format('There is no table %s.', seen.qualified)
				WHEN (SELECT c.relkind IN ('v', 'f') FROM pg_class c WHERE c.oid = seen.relation) AND super
				THEN format('%s is not a table, and what it calls would run as the superuser %I: attach as the role that owns the shop''s tables.', seen.qualified, role_name) END;
		END IF;
		IF result IS NOT NULL THEN
			check_name := part.place;
			ok := false;
			whole := false;
			RETURN NEXT;
		END IF;
	END LOOP;
	ok := NOT (whole AND NOT mapping ? 'completed' AND NOT mapping ? 'orders' AND coalesce(mapping ->> 'on_delete', 'deleted') <> 'converted');
	IF NOT ok THEN
		check_name := 'completed';
		result := 'Nothing says when a cart is bought: give a predicate "completed", or "orders", or "on_delete": "converted".';
		RETURN NEXT;
	END IF;
	IF NOT whole THEN
		RETURN;
	END IF;

	FOR seen IN
		SELECT w.*, c.relkind, pg_has_role(role_name, c.relowner, 'USAGE') AS owned, has_table_privilege(role_name, c.oid, 'TRIGGER') AS may_watch
		FROM incomplete_orders._watched_tables(mapping, schemas) w JOIN pg_class c ON c.oid = w.relation
	LOOP
		check_name := format('table %s', seen.qualified);
		ok := false;
		IF seen.relkind NOT IN ('r', 'p') THEN
			result := format('It is not a table but a %s, on which no trigger sees the shop''s writes; name the table behind it.',
				CASE seen.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END);
		ELSIF seen.qualified LIKE 'incomplete\_orders.%' THEN
			result := 'It is a table of ours.';
		ELSIF NOT seen.may_watch THEN
			result := format('Role %I neither owns it nor has TRIGGER on it.', role_name);
		ELSIF mapping -> 'always' = 'true' AND NOT seen.owned THEN
			result := format('Role %I does not own it, which "always" needs.', role_name);
		ELSIF seen.attnum IS NULL THEN
			result := format('It has no column %I%s.', seen.attname, coalesce((SELECT format(' (but %I)', a.attname) FROM pg_attribute a
				WHERE a.attrelid = seen.relation AND a.attnum > 0 AND NOT a.attisdropped
					AND translate(lower(a.attname), '_', '') = translate(lower(seen.attname), '_', '') LIMIT 1), ''));
		ELSE
			ok := true;
			result := format('watched, by %I %s', seen.attname, seen.type)
				|| CASE WHEN NOT seen.owned THEN '; its owner must drop the trigger later' ELSE '' END
				|| CASE WHEN seen.kind <> 'watch' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = seen.relation AND i.indkey[0] = seen.attnum)
					THEN format('; no index on it, so each reading goes through the whole table: CREATE INDEX ON %s (%I)', seen.qualified, seen.attname) ELSE '' END;
		END IF;
		whole := whole AND ok;
		RETURN NEXT;
	END LOOP;
	FOR seen IN
		SELECT f.qualified, w.object ->> 'cart' AS attname, c.attnum, f.relation FROM jsonb_array_elements(mapping -> 'watch') w (object)
		CROSS JOIN LATERAL incomplete_orders._find_table(mapping #>> '{cart,table}', schemas) f
		LEFT JOIN LATERAL incomplete_orders._column_of(f.relation, w.object ->> 'cart') c ON true
		UNION ALL
		SELECT f.qualified, mapping #>> ARRAY[k.section, k.key], c.attnum, NULL FROM (VALUES ('lines', 'id'), ('orders', 'order')) k (section, key)
		CROSS JOIN LATERAL incomplete_orders._find_table(mapping #>> ARRAY[k.section, 'table'], schemas) f
		LEFT JOIN LATERAL incomplete_orders._column_of(f.relation, mapping #>> ARRAY[k.section, k.key]) c ON true
		WHERE mapping #> ARRAY[k.section, k.key] IS NOT NULL
	LOOP
		check_name := format('column %I of %s', seen.attname, seen.qualified);
		ok := seen.attnum IS NOT NULL;
		whole := whole AND ok;
		result := CASE WHEN NOT ok THEN 'There is no such column.'
			WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = seen.relation AND i.indkey[0] = seen.attnum) THEN 'ok'
			ELSE format('no index on it, so each change of what is watched reads the whole table: CREATE INDEX ON %s (%I)', seen.qualified, seen.attname) END;
		CONTINUE WHEN ok AND (seen.relation IS NULL OR result = 'ok');
		RETURN NEXT;
	END LOOP;

	-- each value and predicate by itself, so that all faults are named at once
	carts := (SELECT f.qualified FROM incomplete_orders._find_table(mapping #>> '{cart,table}', schemas) f) || ' AS cart';
	rows := carts || ', ' || (SELECT f.qualified FROM incomplete_orders._find_table(mapping #>> '{lines,table}', schemas) f) || ' AS line';
	SELECT coalesce(mapping #>> '{orders,as}', f.bare) INTO links FROM incomplete_orders._find_table(mapping #>> '{orders,table}', schemas) f WHERE mapping ? 'orders';
	FOR part IN
		SELECT CASE k.section WHEN '' THEN '' ELSE k.section || '.' END || k.key AS place, k.section, k.key,
			CASE WHEN k.kind = 'value' OR k.kind = 'total' AND jsonb_typeof(mapping -> 'total') = 'object' THEN 'value' ELSE 'expression' END AS kind,
			CASE WHEN k.section = '' THEN mapping -> k.key ELSE mapping -> k.section -> k.key END AS value
		FROM incomplete_orders._mapping_keys() k
		WHERE k.kind IN ('value', 'expression', 'total') AND CASE WHEN k.section = '' THEN mapping ? k.key ELSE mapping -> k.section ? k.key END
	LOOP
		query := CASE part.kind WHEN 'value' THEN incomplete_orders._value_sql(part.value, CASE part.section WHEN 'lines' THEN 'line'
				WHEN 'orders' THEN links ELSE 'cart' END, schemas)
			ELSE format(E'(%s\n)', part.value #>> '{}') END;
		tried := incomplete_orders._try_query(shop_id, role_name,
			format('SELECT %s AS value FROM %s WHERE %s AND false',
				CASE WHEN part.kind = 'value' OR part.key = 'total' THEN query ELSE 'true' END,
				CASE part.section WHEN 'lines' THEN rows
					WHEN 'orders' THEN (SELECT format('%s AS %I', f.qualified, links) FROM incomplete_orders._find_table(mapping #>> '{orders,table}', schemas) f)
					ELSE carts END,
				CASE WHEN part.kind = 'value' OR part.key = 'total' THEN query || ' IS NOT NULL' ELSE query END), false);
		check_name := part.place;
		ok := false;
		IF tried.fault IS NOT NULL THEN
			result := concat_ws(' ', tried.fault, '(' || tried.sqlstate || ')', tried.hint);
		ELSIF part.key IN ('quantity', 'unit_price', 'total') AND (SELECT t.typcategory FROM pg_type t WHERE t.oid = tried.types[1]::regtype) <> 'N' THEN
			result := format('It must be a number, not %s: {"sql": "...::numeric"} makes one of a text.', tried.types[1]);
		ELSIF part.key IN ('updated_at', 'completed_at') AND (SELECT t.typcategory FROM pg_type t WHERE t.oid = tried.types[1]::regtype) <> 'D' THEN
			result := format('It must be a point of time, not %s.', tried.types[1]);
		ELSIF part.key IN ('updated_at', 'completed_at') AND jsonb_typeof(part.value) = 'object' AND tried.types[1] <> 'timestamp with time zone' THEN
			result := format('It is %s, whose time zone nobody knows: {"sql": "... AT TIME ZONE ''UTC''"} says it.', tried.types[1]);
		ELSE
			ok := true;
			result := CASE part.kind WHEN 'value' THEN tried.types[1] ELSE 'ok' END;
		END IF;
		whole := whole AND ok;
		RETURN NEXT;
	END LOOP;
	IF NOT mapping -> 'cart' ? 'consent' THEN
		check_name := 'cart.consent';
		ok := true;
		result := format('not mapped: consent_rule of the shop decides, which is %s', (SELECT s.consent_rule FROM incomplete_orders.shops s WHERE s.shop_id = _check_mapping.shop_id));
		RETURN NEXT;
	END IF;
	IF NOT whole THEN
		RETURN;
	END IF;

	queries := incomplete_orders._attachment_queries(mapping, schemas);
	check_name := 'queries';
	ok := false;
	tried := incomplete_orders._try_query(shop_id, role_name, queries.read_query, false);
	IF tried.fault IS NULL THEN
		tried := incomplete_orders._try_query(shop_id, role_name, queries.list_query, true);
	END IF;
	FOR query IN SELECT q.value FROM jsonb_each_text(queries.key_queries) q LOOP
		EXIT WHEN tried.fault IS NOT NULL;
		tried := incomplete_orders._try_query(shop_id, role_name, query, false);
	END LOOP;
	ok := tried.fault IS NULL;
	result := coalesce(concat_ws(' ', tried.fault, '(' || tried.sqlstate || ')', tried.hint), 'ok');
	IF ok THEN
		result := 'ok';
	END IF;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION incomplete_orders._check_mapping(integer, text, jsonb, text[]) IS 'Every check of a mapping against the tables that are there; more than one fault where there are more';

CREATE FUNCTION incomplete_orders._attach(shop_id integer, name text, preset text, mapping jsonb, dry_run boolean, schemas text[])
RETURNS TABLE (check_name text, result text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
	me text := incomplete_orders._acting_role();
	complete jsonb;
	place text[];
	checked record;
	queries record;
	watched jsonb;
	own integer;
	faults text[] := '{}';
	step record;
BEGIN
	IF name IS NULL OR name !~ '^[a-z0-9_-]{1,63}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'invalid name of an attachment',
			DETAIL = 'It is 1 to 63 of the characters a-z, 0-9, _ and -.',
			HINT = 'For example SELECT * FROM incomplete_orders.attach(''main'', ''vendure'');';
	END IF;
	IF jsonb_typeof(coalesce(mapping, '{}')) <> 'object' OR octet_length(mapping::text) > 262144 THEN
		RAISE EXCEPTION USING ERRCODE = 'IC010',
			MESSAGE = format('the mapping of attachment "%s" is not a JSON object of at most 256 KiB', name),
			HINT = 'incomplete_orders.attach_mapping(preset) shows one.';
	END IF;
	complete := incomplete_orders._merge_mapping(CASE WHEN preset IS NULL THEN '{}' ELSE incomplete_orders.attach_mapping(preset) END, coalesce(mapping, '{}'));
	-- One schema for all tables that name none: said, or where the cart's table is.
	place := CASE WHEN complete ? 'schema' THEN ARRAY[complete ->> 'schema'] ELSE schemas END;
	IF NOT complete ? 'schema' AND incomplete_orders._part_fault('table', coalesce(complete #> '{cart,table}', 'null')) IS NULL THEN
		place := ARRAY[coalesce((SELECT n.nspname FROM incomplete_orders._find_table(complete #>> '{cart,table}', schemas) f
			JOIN pg_class c ON c.oid = f.relation JOIN pg_namespace n ON n.oid = c.relnamespace), schemas[1], 'public')];
		complete := complete || jsonb_build_object('schema', place[1]);
	END IF;

	FOR checked IN SELECT * FROM incomplete_orders._check_mapping(shop_id, me, complete, place) LOOP
		check_name := checked.check_name;
		result := checked.result;
		IF NOT checked.ok THEN
			faults := faults || format('%s: %s', check_name, result);
			result := 'FAULT: ' || result;
		END IF;
		RETURN NEXT;
	END LOOP;
	IF cardinality(faults) > 0 THEN
		IF dry_run IS FALSE THEN
			RAISE EXCEPTION USING ERRCODE = 'IC010',
				MESSAGE = format('the mapping of attachment "%s" does not fit the shop''s tables', name),
				DETAIL = array_to_string(faults, E'\n'),
				HINT = 'Override what differs, for example attach(name, preset, ''{"cart": {"email": "mail"}}''); with dry_run => true nothing is changed and all checks are shown.';
		END IF;
		RETURN;
	END IF;
	queries := incomplete_orders._attachment_queries(complete, place);
	IF dry_run IS NOT FALSE THEN
		FOR step IN SELECT r.* FROM incomplete_orders._sample(shop_id, name, me, (SELECT o.oid FROM pg_roles o WHERE o.rolname = me), complete, queries.read_query, queries.list_query, 5) r LOOP
			check_name := format('sample %s', step.cart_key);
			result := concat_ws(' ', step.state, step.cart, step.problem);
			RETURN NEXT;
		END LOOP;
		RETURN;
	END IF;

	SELECT jsonb_agg(jsonb_build_object('path', w.path, 'kind', w.kind, 'relation', w.relation::bigint, 'table', w.qualified, 'attnum', w.attnum, 'column', w.attname) ORDER BY w.path)
	INTO watched FROM incomplete_orders._watched_tables(complete, place) w;
	INSERT INTO incomplete_orders.attached_tables AS a (shop_id, attachment, name, preset, mapping, role_name, role_oid, cluster_id, tables,
		read_query, list_query, key_queries, settle, always, restore_url)
	SELECT shop_id, nextval('incomplete_orders.attachment_seq'), name, preset, complete, me, r.oid, incomplete_orders._cluster_id(), watched,
		queries.read_query, queries.list_query, queries.key_queries, coalesce((complete ->> 'settle')::interval, '5 seconds'),
		coalesce((complete ->> 'always')::boolean, false), complete ->> 'restore_url'
	FROM pg_roles r WHERE r.rolname = me
	ON CONFLICT ON CONSTRAINT attached_tables_shop_id_name_key DO UPDATE
	SET preset = excluded.preset, mapping = excluded.mapping, role_name = excluded.role_name, role_oid = excluded.role_oid, cluster_id = excluded.cluster_id,
		tables = excluded.tables, read_query = excluded.read_query, list_query = excluded.list_query, key_queries = excluded.key_queries,
		settle = excluded.settle, always = excluded.always, restore_url = excluded.restore_url,
		state = 'ok', problem = NULL, problem_sqlstate = NULL, problem_at = NULL, failures = 0, retry_at = NULL,
		list_phase = 0, list_after = NULL, list_mark = NULL
	RETURNING a.attachment INTO own;

	-- what an earlier mapping watched and this one does not
	FOR step IN SELECT * FROM incomplete_orders._drop_triggers(own, me, watched) d LOOP
		check_name := step.object;
		result := step.action;
		RETURN NEXT;
	END LOOP;
	PERFORM incomplete_orders._lock_tables(array_agg(DISTINCT w.relation), false) FROM incomplete_orders._watched_tables(complete, place) w;
	FOR step IN SELECT w.* FROM incomplete_orders._watched_tables(complete, place) w LOOP
		PERFORM incomplete_orders._make_mark_trigger(me, own, step.path, step.relation, step.attnum, step.attname, coalesce((complete ->> 'always')::boolean, false));
		check_name := format('trigger on %s', step.qualified);
		result := format('incomplete_orders_mark_%s_%s', own, step.path);
		RETURN NEXT;
	END LOOP;
	PERFORM incomplete_orders._mark_all(own);
	check_name := 'backfill';
	result := 'tick reads the carts that are there';
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION incomplete_orders._attach(integer, text, text, jsonb, boolean, text[]) IS 'attach(), behind its door and with the schemas of the caller''s search_path';

CREATE FUNCTION incomplete_orders.attach(name text, preset text DEFAULT NULL, mapping jsonb DEFAULT '{}', shop text DEFAULT NULL, dry_run boolean DEFAULT false)
RETURNS TABLE (check_name text, result text)
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_attach';
ALTER FUNCTION incomplete_orders.attach(text, text, jsonb, text, boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.attach(text, text, jsonb, text, boolean) IS
	'Captures the carts of a shop from its own tables: checks the mapping (a preset, with the keys of mapping in place of its own; null removes one), puts a trigger on the tables and has tick read the carts that are there. Tables are read as the calling role. With the name of an attachment of that shop it changes its mapping. dry_run only shows checks and sample carts. IC010 names every fault';

CREATE FUNCTION incomplete_orders._mark_all(attachment integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO incomplete_orders.due_carts AS d (attachment, path, key, first_marked_at, marked_at)
	VALUES ($1, -1, '', clock_timestamp(), clock_timestamp())
	ON CONFLICT ON CONSTRAINT due_carts_pkey DO UPDATE SET marked_at = greatest(d.marked_at + interval '1 microsecond', excluded.marked_at)
$$;
COMMENT ON FUNCTION incomplete_orders._mark_all(integer) IS 'Has tick read all carts of an attachment';

CREATE FUNCTION incomplete_orders._decimals(mapping jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE mapping ->> 'money' WHEN 'minor' THEN -1 WHEN 'major' THEN 0 ELSE (mapping ->> 'money')::integer END $$;
COMMENT ON FUNCTION incomplete_orders._decimals(jsonb) IS 'The decimal places that a shop leaves out of money; -1: those of the currency';

CREATE FUNCTION incomplete_orders._sample(shop_id integer, name text, role_name text, role_oid oid, mapping jsonb, read_query text, list_query text, n integer)
RETURNS TABLE (cart_key text, state text, cart jsonb, problem text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.cart_key, c.state, jsonb_strip_nulls(jsonb_build_object('items', c.items::jsonb, 'currency', upper(c.currency), 'total', c.total,
			'session_id', c.session_id, 'customer_id', c.customer_id, 'email', c.email, 'phone', c.phone, 'name', c.name,
			'locale', c.locale, 'time_zone', c.time_zone, 'updated_at', c.updated_at,
			'consent', CASE WHEN mapping -> 'cart' ? 'consent' THEN coalesce(c.consent, 'none') ELSE format('not mapped: consent_rule of the shop decides, %s',
				(SELECT s.consent_rule FROM incomplete_orders.shops s WHERE s.shop_id = _sample.shop_id)) END)), c.problem
	FROM incomplete_orders._sample_carts($1, $2, $3, $4, incomplete_orders._decimals(mapping), $6, $7, $8) c
$$;
COMMENT ON FUNCTION incomplete_orders._sample(integer, text, text, oid, jsonb, text, text, integer) IS 'A few open carts of a shop, for people';

-- A table is the one that has our trigger of that number: under its name of then
-- after a restore, under whatever name else.
CREATE FUNCTION incomplete_orders._resolved_tables(attachment integer, tables jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(jsonb_agg(e.watched || coalesce((
		SELECT jsonb_build_object('relation', t.tgrelid::bigint, 'attnum', coalesce(c.attnum, (e.watched ->> 'attnum')::smallint))
		FROM pg_trigger t LEFT JOIN LATERAL incomplete_orders._column_of(t.tgrelid, e.watched ->> 'column') c ON true
		WHERE t.tgname = format('incomplete_orders_mark_%s_%s', attachment, e.watched ->> 'path')
			AND t.tgfoid = 'incomplete_orders._mark_cart'::regproc AND t.tgparentid = 0
			AND NOT EXISTS (SELECT FROM pg_trigger o WHERE o.tgname = t.tgname AND o.tgrelid = (e.watched ->> 'relation')::oid)
		LIMIT 1), '{}') ORDER BY e.n), '[]')
	FROM jsonb_array_elements(tables) WITH ORDINALITY e (watched, n)
$$;
COMMENT ON FUNCTION incomplete_orders._resolved_tables(integer, jsonb) IS 'The tables of an attachment with their oids of now';

-- The types of ids may have changed, and the names of nothing: the queries are made
-- anew when all that they name is there.
CREATE FUNCTION incomplete_orders._renew_queries(attachment integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	own record;
	queries record;
BEGIN
	SELECT a.mapping, ARRAY[a.mapping ->> 'schema'] AS schemas INTO own
	FROM incomplete_orders.attached_tables a WHERE a.attachment = _renew_queries.attachment;
	IF NOT FOUND OR EXISTS (SELECT FROM incomplete_orders._watched_tables(own.mapping, own.schemas) w WHERE w.attnum IS NULL) THEN
		RETURN false;
	END IF;
	queries := incomplete_orders._attachment_queries(own.mapping, own.schemas);
	UPDATE incomplete_orders.attached_tables a
	SET read_query = queries.read_query, list_query = queries.list_query, key_queries = queries.key_queries,
		-- the last key of another type means nothing
		list_phase = 0, list_after = NULL, list_mark = NULL
	WHERE a.attachment = _renew_queries.attachment
		AND (a.read_query, a.list_query, a.key_queries) IS DISTINCT FROM (queries.read_query, queries.list_query, queries.key_queries);
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION incomplete_orders._renew_queries(integer) IS 'Makes the queries of an attachment anew from its mapping and the tables as they are; whether they changed';

-- What makes writes of the shop pass by unseen: reading alone would not tell.
CREATE FUNCTION incomplete_orders._unwatched_tables(shop_ids integer[]) RETURNS TABLE (name text, shop text, fault text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT w.name, w.shop, CASE
		WHEN w.relation IS NULL THEN format('table %s is not there', w.qualified)
		WHEN w.trigger_on IS NULL THEN format('table %s has no trigger of ours', w.qualified)
		WHEN w.trigger_on <> w.relation THEN format('table %s is another one than the watched, which is %s now', w.qualified, w.trigger_on::regclass)
		WHEN NOT w.enabled THEN format('the trigger on table %s is disabled or does not fire always', w.qualified)
		WHEN w.gone THEN format('column %I of table %s is gone, so each change there reads all carts', w.attname, w.qualified)
		ELSE format('partition %s was added: TRUNCATE on it is not seen', w.partition) END
	FROM (
		SELECT a.name, s.shop, t ->> 'table' AS qualified, t ->> 'column' AS attname, f.relation, g.trigger_on, g.enabled,
			NOT EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = g.trigger_on AND NOT c.attisdropped
				AND (c.attnum = (t ->> 'attnum')::smallint OR c.attname = t ->> 'column')) AS gone,
			(SELECT p.relid::regclass::text FROM pg_partition_tree(g.trigger_on::regclass) p WHERE p.isleaf AND p.level > 0
				AND NOT EXISTS (SELECT FROM pg_trigger x WHERE x.tgrelid = p.relid AND x.tgname = format('incomplete_orders_mark_%s_%s_truncate', a.attachment, t ->> 'path'))
				LIMIT 1) AS partition
		FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id)
		CROSS JOIN LATERAL jsonb_array_elements(a.tables) t
		CROSS JOIN LATERAL incomplete_orders._find_table(t ->> 'table', '{}') f
		LEFT JOIN LATERAL (
			SELECT x.tgrelid AS trigger_on, x.tgenabled = 'A' OR x.tgenabled = 'O' AND NOT a.always AS enabled FROM pg_trigger x
			WHERE x.tgname = format('incomplete_orders_mark_%s_%s', a.attachment, t ->> 'path') AND x.tgfoid = 'incomplete_orders._mark_cart'::regproc AND x.tgparentid = 0
			ORDER BY x.tgrelid = f.relation DESC NULLS LAST LIMIT 1) g ON true
		WHERE a.shop_id = ANY (shop_ids)) w
	WHERE w.relation IS NULL OR w.trigger_on IS DISTINCT FROM w.relation OR NOT w.enabled OR w.gone OR w.partition IS NOT NULL
$$;
COMMENT ON FUNCTION incomplete_orders._unwatched_tables(integer[]) IS 'Attached tables whose writes leave no marks, and why';

-- --- detach, reconcile, sample_attachment ------------------------------------------

CREATE FUNCTION incomplete_orders._enter_attachment(object text, name text, shop text, OUT shop_id integer, OUT attachment integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	seen integer[] := incomplete_orders._visible_shops(object, coalesce(shop, '*'));
	shops text[];
BEGIN
	SELECT array_agg(s.shop ORDER BY s.shop), min(a.shop_id), min(a.attachment) INTO shops, shop_id, attachment
	FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id)
	WHERE a.name = _enter_attachment.name AND a.shop_id = ANY (seen);
	IF shops IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('there is no attachment "%s"', left(coalesce(_enter_attachment.name, ''), 100)),
			DETAIL = format('Role "%s" has none of that name in a shop that it may administer.', incomplete_orders._acting_role()),
			HINT = 'SELECT name, shop FROM incomplete_orders.attachments lists them.';
	ELSIF cardinality(shops) > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'ambiguous_parameter',
			MESSAGE = format('attachment "%s" is in more than one shop', _enter_attachment.name),
			DETAIL = format('Shops %s have one of that name.', array_to_string(shops, ', ')),
			HINT = 'Name the shop in the argument "shop".';
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders._enter_attachment(text, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._enter_attachment(text, text, text) IS 'The attachment of that name in a shop in which the acting role may do this';

-- As who asks, else as who attached; what neither may drop is left to its owner.
CREATE FUNCTION incomplete_orders._drop_triggers(attachment integer, role_name text, kept jsonb) RETURNS TABLE (action text, object text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	found record;
	fault text;
	droppers name[] := ARRAY(SELECT r.rolname FROM pg_roles r WHERE r.rolname IN (incomplete_orders._acting_role(), role_name));
	locked oid[] := '{}';
BEGIN
	FOR found IN
		SELECT t.tgrelid AS relation, t.tgname, format('%I.%I', n.nspname, c.relname) AS qualified,
			array_agg(t.tgrelid) FILTER (WHERE EXISTS (SELECT FROM unnest(droppers) d WHERE pg_has_role(d, c.relowner, 'USAGE'))) OVER () AS droppable
		FROM pg_trigger t
		JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE t.tgfoid = 'incomplete_orders._mark_cart'::regproc AND NOT t.tgisinternal AND t.tgparentid = 0
			AND t.tgname ~ format('^incomplete_orders_mark_%s_[0-9]+(_truncate)?$', attachment)
			AND NOT EXISTS (SELECT FROM jsonb_array_elements(kept) k WHERE (k ->> 'relation')::oid = t.tgrelid
				AND t.tgname ~ format('^incomplete_orders_mark_%s_%s(_truncate)?$', attachment, k ->> 'path'))
			AND NOT EXISTS (SELECT FROM jsonb_array_elements(kept) k, pg_partition_tree((k ->> 'relation')::oid::regclass) p
				WHERE p.relid = t.tgrelid AND t.tgname = format('incomplete_orders_mark_%s_%s_truncate', attachment, k ->> 'path'))
		ORDER BY n.nspname, c.relname, t.tgname
	LOOP
		IF locked = '{}' AND found.droppable IS NOT NULL THEN
			locked := found.droppable;
			PERFORM incomplete_orders._lock_tables(locked, true);
		END IF;
		object := format('trigger %I on %s', found.tgname, found.qualified);
		fault := incomplete_orders._drop_mark_trigger(incomplete_orders._acting_role()::text, found.relation, found.tgname);
		IF fault IS NOT NULL AND role_name <> incomplete_orders._acting_role() THEN
			fault := incomplete_orders._drop_mark_trigger(role_name, found.relation, found.tgname);
		END IF;
		action := CASE WHEN fault IS NULL THEN 'drop' ELSE 'left' END;
		IF fault IS NOT NULL THEN
			object := object || format(' (%s); its owner can: DROP TRIGGER %I ON %s', fault, found.tgname, found.qualified);
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._drop_triggers(integer, text, jsonb) IS 'Drops the triggers of an attachment, but those of the tables in kept';

-- Orders that stay open would be mailed and nobody would hear that they are
-- bought: they are dismissed, and another attachment begins with new ones.
CREATE FUNCTION incomplete_orders._detach(shop_id integer, attachment integer, keep boolean) RETURNS TABLE (action text, object text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	own record;
	batch uuid[];
	refused record;
	n bigint := 0;
BEGIN
	-- no tick reads it any more
	DELETE FROM incomplete_orders.attached_tables a WHERE a.shop_id = _detach.shop_id AND a.attachment = _detach.attachment
	RETURNING a.shop_id, a.attachment, a.name, a.role_name INTO own;
	DELETE FROM incomplete_orders.due_carts d WHERE d.attachment = own.attachment;
	LOOP
		EXIT WHEN NOT keep;
		batch := ARRAY(SELECT o.id FROM incomplete_orders.open_orders o WHERE o.shop_id = own.shop_id AND o.attachment = own.attachment AND o.cart_key IS NOT NULL LIMIT 1000);
		EXIT WHEN batch = '{}';
		SELECT d.id, d.reason INTO refused FROM incomplete_orders.dismiss_orders(batch, 'detached') d WHERE d.result = 'refused' LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('order %s of attachment "%s" cannot be dismissed', refused.id, own.name),
				DETAIL = refused.reason, HINT = 'Nothing was detached. Mend that order and try again.';
		END IF;
		n := n + cardinality(batch);
	END LOOP;
	-- last, because it locks the shop's tables until the commit
	RETURN QUERY SELECT * FROM incomplete_orders._drop_triggers(own.attachment, own.role_name, '[]');
	IF n > 0 THEN
		action := 'dismiss';
		object := format('%s open order%s', n, CASE n WHEN 1 THEN '' ELSE 's' END);
		RETURN NEXT;
	END IF;
	action := 'delete';
	object := format('attachment %s', own.name);
	RETURN NEXT;
END
$$;
ALTER FUNCTION incomplete_orders._detach(integer, integer, boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._detach(integer, integer, boolean) IS 'detach(), behind its door; keep: its orders stay';

CREATE FUNCTION incomplete_orders.detach(name text, shop text DEFAULT NULL) RETURNS TABLE (action text, object text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own record := incomplete_orders._enter_attachment('detach', name, shop);
BEGIN
	RETURN QUERY SELECT * FROM incomplete_orders._detach(own.shop_id, own.attachment, true);
END
$$;
ALTER FUNCTION incomplete_orders.detach(text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.detach(text, text) IS 'Ends an attachment: drops its triggers and what waits to be read. What was captured stays; orders that are still open are dismissed (reason detached), because nobody would hear that they are bought';

CREATE FUNCTION incomplete_orders.reconcile(name text, shop text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own record := incomplete_orders._enter_attachment('reconcile', name, shop);
BEGIN
	PERFORM incomplete_orders._mark_all(own.attachment);
END
$$;
ALTER FUNCTION incomplete_orders.reconcile(text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.reconcile(text, text) IS
	'Has tick read every open cart of an attachment again, in batches: those that are open in the shop and those that are open here';

CREATE FUNCTION incomplete_orders.sample_attachment(name text, n integer DEFAULT 5, shop text DEFAULT NULL)
RETURNS TABLE (cart_key text, state text, cart jsonb, problem text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own record := incomplete_orders._enter_attachment('sample_attachment', name, shop);
BEGIN
	RETURN QUERY SELECT r.* FROM incomplete_orders.attached_tables a,
		LATERAL incomplete_orders._sample(a.shop_id, a.name, a.role_name,
			CASE WHEN a.cluster_id = incomplete_orders._cluster_id() THEN a.role_oid ELSE 0 END, a.mapping, a.read_query, a.list_query, least(greatest(n, 0), 1000)) r
	WHERE a.shop_id = own.shop_id AND a.attachment = own.attachment;
END
$$;
ALTER FUNCTION incomplete_orders.sample_attachment(text, integer, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.sample_attachment(text, integer, text) IS
	'A few open carts of the shop (at most 1000) as tick reads and understands them, with personal data; problem: why one cannot be captured. IC010 when they cannot be read';

-- Personal data: the one list of it, what is agreed to, and the way out.

CREATE FUNCTION incomplete_orders.record_consent(email text, status text, purpose text DEFAULT 'recovery', text_version text DEFAULT NULL,
	source text DEFAULT NULL, customer_id text DEFAULT NULL, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_record_consent';
ALTER FUNCTION incomplete_orders.record_consent OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.record_consent IS
	'Keeps that a person granted or withdrew consent to a purpose, to which version of the text, and where: by keyed hashes of the address and the customer, either may be null. The newest is in force. Granting recovery also ends what unsubscribing or being forgotten suppressed before. Never what bounced, complained or was suppressed by staff. False when nothing changes. 22023';

CREATE FUNCTION incomplete_orders._has_consent(shop_id integer, keys bigint[], context jsonb) RETURNS boolean
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_has_consent';
ALTER FUNCTION incomplete_orders._has_consent(integer, bigint[], jsonb) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._has_consent(integer, bigint[], jsonb) IS
	'Whether the newest consent to recovery messages of the person with those keys, or in the context of the order, is granted; false: it is withdrawn; null: there is none';

-- The one list: every column that may hold something of a person, and what
-- forgetting that person does with it.  export_customer and forget_customer go
-- through it row by row; a test knows every other column by name.
--	kind	what it is
--	erasure	null, empty ('' where it must not be null), row deleted, extras stripped
--		(of lines: every key that is not of the product), keys stripped (of the
--		context: all but bot, device and source), null unless awaited (kept while a
--		payment is on its way), null without money (kept also once there is an order),
--		removed (from the lists that staff made), kept
--	found_by	what leads to the person: incomplete orders (order), their messages and
--		those that went to the address (message), orders made from
--		them (made), keyed hashes (person; buyer: of those orders only), the shop
--	key		the column that has it
-- Kept are hashes that nobody can compute without our key: suppressions, so that
-- nobody mails the person again; past_recipients, so that their unsubscribe links
-- work; and the number that the shop's own tables have for a cart, which is theirs
-- to erase.
CREATE FUNCTION incomplete_orders._personal_data() RETURNS TABLE (relation text, column_name text, kind text, erasure text, found_by text, key text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT o.relation, c.column_name, c.kind, c.erasure, 'order', 'id'
	FROM (VALUES (1, 'open_orders'), (2, 'closed_orders')) o (n, relation), (VALUES
		(1, 'session_id', 'identity', 'null'), (2, 'customer_id', 'identity', 'null'), (3, 'email', 'address', 'null'), (4, 'phone', 'phone', 'null'),
		(5, 'name', 'name', 'null'), (6, 'address', 'postal address', 'null'), (7, 'context', 'device, network, words of the customer', 'keys stripped'),
		(8, 'items', 'wishes for a line', 'extras stripped'), (9, 'coupon_code', 'identity', 'null unless awaited'),
		(10, 'payment_reference', 'identity', 'null without money'), (11, 'abandonment_reason', 'free text', 'null'),
		(12, 'cart_key', 'identity', 'kept'), (13, 'close_reason', 'free text', 'null')) c (n, column_name, kind, erasure)
	WHERE c.column_name <> 'close_reason' OR o.relation = 'closed_orders'
	UNION ALL VALUES
		('order_notes', 'note', 'free text', 'row deleted', 'order', 'order_id'),
		('order_changes', 'changes', 'former values', 'row deleted', 'order', 'order_id'),
		('messages', 'recipient', 'address', 'empty', 'message', 'id'),
		('messages', 'subject', 'free text', 'null', 'message', 'id'),
		('messages', 'response', 'words of a mail server', 'null', 'message', 'id'),
		('order_items', 'extras', 'wishes for a line', 'null', 'made', 'order_id'),
		('person_orders', 'person', 'keyed hash', 'row deleted', 'buyer', 'person'),
		('person_messages', 'person', 'keyed hash', 'row deleted', 'person', 'person'),
		('person_arms', 'person', 'keyed hash', 'row deleted', 'person', 'person'),
		('coupon_persons', 'person', 'keyed hash', 'row deleted', 'person', 'person'),
		('consents', 'person', 'keyed hash', 'row deleted', 'person', 'person'),
		('consents', 'text_version', 'free text', 'row deleted', 'person', 'person'),
		('consents', 'source', 'free text', 'row deleted', 'person', 'person'),
		('suppressions', 'person', 'keyed hash', 'kept', 'person', 'person'),
		('past_recipients', 'person', 'keyed hash', 'kept', 'person', 'person'),
		('shops', 'exclusions', 'addresses and customers', 'removed', 'shop', 'shop_id')
$$;
COMMENT ON FUNCTION incomplete_orders._personal_data() IS
	'Every personal column of every table: what it holds, how forget_customer erases it (null, empty, row deleted, extras stripped, keys stripped, null unless awaited, null without money, removed, kept) and by what its person is found (order, message, made, person, buyer, shop)';

-- Lines that differed in their extras only become one, as everywhere.  Where one
-- line cannot hold that many they stay apart, by a number instead.
CREATE FUNCTION incomplete_orders._without_extras(items incomplete_orders.line_items) RETURNS incomplete_orders.line_items
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known CONSTANT text[] := ARRAY['sku', 'name', 'quantity', 'unit_price', 'filled', 'product_id', 'variant', 'image_url', 'url'];
	lines jsonb := items::jsonb;
	plain jsonb;
BEGIN
	SELECT jsonb_agg((SELECT jsonb_object_agg(k.key, k.value) FROM jsonb_each(l.line) k WHERE k.key = ANY (known)) ORDER BY l.n) INTO plain
	FROM jsonb_array_elements(lines) WITH ORDINALITY l (line, n);
	IF plain IS NULL OR plain = lines THEN
		RETURN items;
	END IF;
	BEGIN
		RETURN plain::incomplete_orders.line_items;
	EXCEPTION WHEN invalid_parameter_value THEN
		RETURN (SELECT jsonb_agg(l.line || jsonb_build_object('line', l.n) ORDER BY l.n) FROM jsonb_array_elements(plain) WITH ORDINALITY l (line, n))::incomplete_orders.line_items;
	END;
END
$$;
COMMENT ON FUNCTION incomplete_orders._without_extras(incomplete_orders.line_items) IS 'The same lines with the keys of the product only';

CREATE FUNCTION incomplete_orders._impersonal_context(context jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT jsonb_object_agg(k.key, k.value) FROM jsonb_each($1) k WHERE k.key IN ('bot', 'device', 'source') $$;
COMMENT ON FUNCTION incomplete_orders._impersonal_context(jsonb) IS 'Of a context what reports count by: bot, device, source; null when nothing remains';

-- Who that is: the orders with that address and that customer; where only the
-- address is known, also of the customers whose orders have it (who has the same
-- customer number is the same person).  And what is without a name but surely
-- theirs: the same browser session, the same phone, a cart that was merged into one
-- of theirs.  Called again with what it found it finds what has come since.
CREATE FUNCTION incomplete_orders._find_person(shop_id integer, email text, customer_id text,
	INOUT customers text[], INOUT phones text[], INOUT sessions text[], INOUT ids uuid[], INOUT roots uuid[], OUT fresh integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	shop CONSTANT integer := _find_person.shop_id;
	wanted CONSTANT text := lower(btrim(email, ' ') COLLATE "C");
	found record;
	before CONSTANT integer := cardinality(ids);
	known integer := -1;
BEGIN
	IF customer_id IS NOT NULL THEN
		customers := ARRAY[customer_id];
	ELSE
		SELECT array_agg(DISTINCT c.customer_id) INTO customers FROM (
			SELECT unnest(customers) AS customer_id
			UNION ALL SELECT o.customer_id FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.email IS NOT NULL AND lower(o.email COLLATE "C") = wanted
			UNION ALL SELECT o.customer_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.email IS NOT NULL AND lower(o.email COLLATE "C") = wanted
		) c WHERE c.customer_id IS NOT NULL;
		customers := coalesce(customers, '{}');
	END IF;
	-- until nothing is added: what is found may lead to more
	WHILE known < cardinality(ids) LOOP
		known := cardinality(ids);
		SELECT coalesce(array_agg(DISTINCT f.id), '{}') AS ids, coalesce(array_agg(DISTINCT f.root_id) FILTER (WHERE f.root_id IS NOT NULL), '{}') AS roots,
			coalesce(array_agg(DISTINCT f.session_id) FILTER (WHERE f.session_id IS NOT NULL), '{}') AS sessions,
			-- shorter ones are no numbers of anybody
			coalesce(array_agg(DISTINCT translate(f.phone, ' ()-./+', '')) FILTER (WHERE length(translate(f.phone, ' ()-./+', '')) >= 7), '{}') AS phones
		INTO found FROM (
			SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.id = ANY (ids)
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.id = ANY (ids)
			UNION ALL SELECT i, NULL, NULL, NULL FROM unnest(ids) i
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.email IS NOT NULL AND lower(o.email COLLATE "C") = wanted
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.email IS NOT NULL AND lower(o.email COLLATE "C") = wanted
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.customer_id = ANY (customers)
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.customer_id = ANY (customers)
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.session_id = ANY (sessions) AND o.email IS NULL AND o.customer_id IS NULL
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.session_id = ANY (sessions) AND o.email IS NULL AND o.customer_id IS NULL
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.phone IS NOT NULL
				AND translate(o.phone, ' ()-./+', '') = ANY (phones) AND o.email IS NULL AND o.customer_id IS NULL
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.phone IS NOT NULL
				AND translate(o.phone, ' ()-./+', '') = ANY (phones) AND o.email IS NULL AND o.customer_id IS NULL
			UNION ALL SELECT o.id, o.session_id, o.phone, o.root_id FROM incomplete_orders.order_changes c JOIN incomplete_orders.closed_orders o
				ON o.shop_id = c.shop_id AND o.id = (c.changes ->> 'merged')::uuid
				WHERE c.shop_id = shop AND c.order_id = ANY (ids) AND c.changes ? 'merged' AND o.email IS NULL AND o.customer_id IS NULL
		) f;
		ids := found.ids;
		SELECT coalesce(array_agg(DISTINCT r), '{}') INTO roots FROM unnest(roots || found.roots) r;
		SELECT coalesce(array_agg(DISTINCT s), '{}') INTO sessions FROM unnest(sessions || found.sessions) s;
		SELECT coalesce(array_agg(DISTINCT p), '{}') INTO phones FROM unnest(phones || found.phones) p;
	END LOOP;
	fresh := cardinality(ids) - before;
END
$$;
ALTER FUNCTION incomplete_orders._find_person OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._find_person IS
	'The incomplete orders of a person, open and closed, with the customers, phones and sessions that lead to them; fresh: how many there are more than were given';

-- By which the person is known in tables without an order: hashes of the address
-- and the customers (named), those and the phones' (keys), the phones' and those of
-- further addresses in their orders (others), and the orders made.
CREATE FUNCTION incomplete_orders._keys_of_person(shop_id integer, email text, customers text[], phones text[], ids uuid[],
	OUT addresses text[], OUT named bigint[], OUT keys bigint[], OUT others bigint[], OUT made uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	shop CONSTANT integer := _keys_of_person.shop_id;
BEGIN
	-- a person who is named by the customer only has the addresses of that customer's orders
	IF email IS NOT NULL THEN
		addresses := ARRAY[btrim(email, ' ')];
	ELSE
		SELECT coalesce(array_agg(DISTINCT a.email ORDER BY a.email), '{}') INTO addresses FROM (
			SELECT o.email FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.customer_id = ANY (customers)
			UNION ALL SELECT o.email FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.customer_id = ANY (customers)
		) a
		-- what somebody wrote into the table by hand may be no address, and nobody can be mailed there
		WHERE a.email ~ '^[^@<>[:space:][:cntrl:]]+@[^@<>[:space:][:cntrl:]]+$' AND octet_length(a.email) <= 254;
	END IF;
	SELECT coalesce(array_agg(DISTINCT k.key), '{}') INTO named FROM (
		SELECT unnest(incomplete_orders._person_keys(shop, NULL, a, NULL)) AS key FROM unnest(addresses) a
		UNION ALL SELECT unnest(incomplete_orders._person_keys(shop, c, NULL, NULL)) FROM unnest(customers) c
	) k;
	others := ARRAY(SELECT unnest(incomplete_orders._person_keys(shop, NULL, NULL, p)) FROM unnest(phones) p);
	keys := named || others;
	-- another address in their orders may be somebody else's, too
	others := others || ARRAY(SELECT k FROM (
			SELECT o.email FROM incomplete_orders.open_orders o WHERE o.shop_id = shop AND o.id = ANY (ids)
			UNION SELECT o.email FROM incomplete_orders.closed_orders o WHERE o.shop_id = shop AND o.id = ANY (ids)
		) a CROSS JOIN LATERAL unnest(incomplete_orders._person_keys(shop, NULL, a.email, NULL)) k WHERE k <> ALL (named));
	SELECT coalesce(array_agg(DISTINCT m.order_id), '{}') INTO made FROM (
		SELECT r.order_id FROM incomplete_orders.orders r WHERE r.shop_id = shop AND r.incomplete_order_id = ANY (ids)
		UNION ALL SELECT p.order_id FROM unnest(named) k (person) CROSS JOIN LATERAL
			(SELECT q.order_id FROM incomplete_orders.person_orders q WHERE q.shop_id = shop AND q.person = k.person) p
	) m;
END
$$;
ALTER FUNCTION incomplete_orders._keys_of_person OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._keys_of_person IS 'The addresses to suppress, the keyed hashes and the completed orders of a person whose incomplete orders were found';

-- Messages of those orders, and those that went to the address for an order which
-- has another by now; one that is being sent went to the order's own.
CREATE FUNCTION incomplete_orders._messages_of_person(shop_id integer, addresses text[], ids uuid[], roots uuid[]) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(f.id), '{}') FROM (
		SELECT m.id FROM incomplete_orders.messages m WHERE m.shop_id = $1 AND m.root_id = ANY ($4) AND m.order_id = ANY ($3)
		UNION SELECT m.id FROM incomplete_orders.messages m WHERE m.shop_id = $1 AND m.status <> 'sending'
			AND lower(m.recipient COLLATE "C") = ANY (ARRAY(SELECT lower(a COLLATE "C") FROM unnest($2) a))
	) f
$$;
ALTER FUNCTION incomplete_orders._messages_of_person(integer, text[], uuid[], uuid[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._messages_of_person(integer, text[], uuid[], uuid[]) IS 'The messages of a person; reads all of a shop''s: there is no index by the address';

CREATE FUNCTION incomplete_orders._check_person(email text, customer_id text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(btrim(email), '') = '' AND coalesce(customer_id, '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'neither "email" nor "customer_id" was given',
			HINT = 'Name the e-mail, the customer, or both.';
	END IF;
END
$$;
COMMENT ON FUNCTION incomplete_orders._check_person(text, text) IS '22023 when nobody is named';

-- As a condition on the table t: $1 the shop, $2 incomplete orders, $3 orders made,
-- $4 keyed hashes, $5 messages.
CREATE FUNCTION incomplete_orders._found_by(found_by text, key text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 't.shop_id = $1 AND ' || CASE $1
		WHEN 'order' THEN format('t.%I = ANY ($2)', $2)
		WHEN 'message' THEN format('t.%I = ANY ($5)', $2)
		WHEN 'made' THEN format('t.%I = ANY ($3)', $2)
		WHEN 'person' THEN format('t.%I = ANY ($4)', $2)
		WHEN 'buyer' THEN format('t.%I = ANY ($4) AND t.order_id = ANY ($3)', $2)
		WHEN 'shop' THEN format('t.%I = $1', $2) END
$$;
COMMENT ON FUNCTION incomplete_orders._found_by(text, text) IS 'Which rows are of a person, as _personal_data() says it, for export_customer and forget_customer';

-- Everything by the list, and beside it what is told of those orders without
-- naming anybody.
CREATE FUNCTION incomplete_orders.export_customer(email text DEFAULT NULL, customer_id text DEFAULT NULL, shop text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own_id CONSTANT integer := incomplete_orders._enter_shop('export_customer', shop, NULL);
	address CONSTANT text := nullif(btrim(email, ' '), '');
	customer CONSTANT text := nullif(customer_id, '');
	person record;
	known record;
	messages uuid[];
	part record;
	found jsonb;
	result jsonb;
BEGIN
	PERFORM incomplete_orders._check_person(address, customer);
	person := incomplete_orders._find_person(own_id, address, customer, '{}', '{}', '{}', '{}', '{}');
	known := incomplete_orders._keys_of_person(own_id, address, person.customers, person.phones, person.ids);
	messages := incomplete_orders._messages_of_person(own_id, known.addresses, person.ids, person.roots);
	SELECT jsonb_build_object('shop', s.shop, 'exported_at', now(), 'email', address, 'customer_id', customer) INTO result
	FROM incomplete_orders.shops s WHERE s.shop_id = own_id;
	FOR part IN
		SELECT DISTINCT p.relation, p.found_by, p.key FROM incomplete_orders._personal_data() p WHERE p.found_by <> 'shop'
		UNION VALUES ('orders', 'made', 'order_id'), ('order_refunds', 'made', 'order_id'), ('order_events', 'order', 'order_id'),
			('message_skips', 'order', 'order_id')
	LOOP
		-- the hashes and a sender's token are no data of the person's, and that
		-- somebody with the same phone was forgotten is theirs
		EXECUTE format('SELECT coalesce(jsonb_agg(r.r - ''person'' - ''token'' ORDER BY r.key, r.r -> ''event_id'', r.r -> ''at''), ''[]'') FROM (SELECT to_jsonb(t)%s AS r, t.%I AS key FROM incomplete_orders.%I t WHERE %s) r',
				CASE WHEN part.relation IN ('open_orders', 'closed_orders') THEN ' || jsonb_build_object(''items'', t.items::jsonb)' END,
				part.key, part.relation,
				incomplete_orders._found_by(part.found_by, part.key) || CASE part.relation WHEN 'suppressions' THEN ' AND t.scope <> ''data''' ELSE '' END)
			INTO found USING own_id, person.ids, known.made, known.keys, messages;
		result := result || jsonb_build_object(part.relation, found);
	END LOOP;
	RETURN result;
END
$$;
ALTER FUNCTION incomplete_orders.export_customer(text, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.export_customer(text, text, text) IS
	'All that a shop has of a person, by table: their incomplete and completed orders, notes, edits, messages and why others were not sent, events, consents, suppressions. Named by the address, the customer or both; by the address alone it includes the customers whose orders have it. 22023';

-- One relation of the list: what is erased there, and how many rows had it.
CREATE FUNCTION incomplete_orders._erase(relation text, shop_id integer, ids uuid[], made uuid[], keys bigint[], messages uuid[],
	OUT action text, OUT n bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	changes record;
	command text;
BEGIN
	SELECT bool_or(c.erasure = 'row deleted') AS delete, min(incomplete_orders._found_by(c.found_by, c.key)) AS condition,
		string_agg(c.column_name || ' = ' || c.value, ', ') AS assignments, string_agg(c.wanted, ' OR ') AS wanted INTO changes
	FROM (
		SELECT p.found_by, p.key, p.erasure, quote_ident(p.column_name) AS column_name, v.value, CASE p.erasure
			WHEN 'extras stripped' THEN format('EXISTS (SELECT FROM incomplete_orders.unnest(t.%I) u WHERE u.extras IS NOT NULL)', p.column_name)
			ELSE format('t.%I IS DISTINCT FROM %s', p.column_name, v.value) END AS wanted
		FROM incomplete_orders._personal_data() p CROSS JOIN LATERAL (SELECT CASE p.erasure
			WHEN 'null' THEN 'NULL'
			WHEN 'empty' THEN ''''''
			WHEN 'extras stripped' THEN format('incomplete_orders._without_extras(t.%I)', p.column_name)
			WHEN 'keys stripped' THEN format('incomplete_orders._impersonal_context(t.%I)', p.column_name)
			WHEN 'null unless awaited' THEN format('CASE WHEN t.status = ''payment_pending'' THEN t.%I END', p.column_name)
			WHEN 'null without money' THEN format('CASE WHEN t.status IN (''payment_pending'', ''converted'', ''reversed'') THEN t.%I END', p.column_name)
			END AS value) v
		WHERE p.relation = _erase.relation AND p.erasure NOT IN ('kept', 'removed')
	) c;
	IF changes.delete THEN
		action := 'delete';
		command := format('DELETE FROM incomplete_orders.%I t WHERE %s', relation, changes.condition);
	ELSIF changes.assignments IS NOT NULL THEN
		action := 'erase';
		-- an edit that was begun before must not bring it back
		command := format('UPDATE incomplete_orders.%I t SET %s%s WHERE %s AND (%s)', relation, changes.assignments,
			CASE WHEN relation = 'open_orders' THEN ', version = t.version + 1' END, changes.condition, changes.wanted);
	ELSE
		n := 0;
		RETURN;
	END IF;
	EXECUTE command USING shop_id, ids, made, keys, messages;
	GET DIAGNOSTICS n = ROW_COUNT;
END
$$;
ALTER FUNCTION incomplete_orders._erase OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._erase IS 'Erases what _personal_data() names of one relation, in the rows of one person';

-- What waits is cancelled, with its row in the ledger; whom it went to stays as a
-- hash.  The rows are locked already.
CREATE FUNCTION incomplete_orders._cancel_of_person(shop_id integer, ids uuid[], messages uuid[], at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	n bigint;
	dead bigint;
BEGIN
	INSERT INTO incomplete_orders.past_recipients (shop_id, message_id, person)
	SELECT m.shop_id, m.id, incomplete_orders._unsubscribe_key(m.shop_id, m.recipient) FROM incomplete_orders.messages m
	WHERE m.shop_id = _cancel_of_person.shop_id AND m.id = ANY (messages) AND m.token > 0 AND m.recipient <> ''
	ON CONFLICT DO NOTHING;
	WITH c AS (
		UPDATE incomplete_orders.messages m SET status = 'cancelled', reason = 'erased'
		WHERE m.shop_id = _cancel_of_person.shop_id AND m.id = ANY (messages) AND m.order_id = ANY (ids) AND m.status IN ('queued', 'sending') RETURNING m.*
	)
	INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, ordinal, message_id, at, reason)
	SELECT c.shop_id, c.order_id, c.episode, c.campaign, c.step, c.ordinal, c.id, _cancel_of_person.at, 'erased' FROM c;
	GET DIAGNOSTICS n = ROW_COUNT;
	-- given up, and told so in the ledger before
	UPDATE incomplete_orders.messages m SET status = 'cancelled', reason = 'erased'
	WHERE m.shop_id = _cancel_of_person.shop_id AND m.id = ANY (messages) AND m.order_id = ANY (ids) AND m.status = 'dead';
	GET DIAGNOSTICS dead = ROW_COUNT;
	RETURN n + dead;
END
$$;
ALTER FUNCTION incomplete_orders._cancel_of_person(integer, uuid[], uuid[], timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._cancel_of_person(integer, uuid[], uuid[], timestamptz) IS 'Ends the messages of those orders because their person is forgotten; returns how many waited or were given up';

-- The lists of staff hold addresses in any case, and customers as they are.
CREATE FUNCTION incomplete_orders._without_person(exclusions jsonb, addresses text[], customers text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT $1 || coalesce(jsonb_object_agg(l.key, l.rest) FILTER (WHERE l.key IS NOT NULL), '{}') FROM (
		SELECT k.key, (SELECT coalesce(jsonb_agg(e.e ORDER BY e.n), '[]') FROM jsonb_array_elements(k.value) WITH ORDINALITY e (e, n)
			WHERE CASE k.key WHEN 'addresses' THEN lower(btrim(e.e #>> '{}', ' ') COLLATE "C") <> ALL ($2)
				ELSE btrim(e.e #>> '{}', ' ') <> ALL ($3) END) AS rest
		FROM jsonb_each($1) k WHERE k.key IN ('addresses', 'customers') AND jsonb_typeof(k.value) = 'array'
	) l
$$;
COMMENT ON FUNCTION incomplete_orders._without_person(jsonb, text[], text[]) IS 'A shop''s exclusions without those addresses and customers';

CREATE FUNCTION incomplete_orders._unlist_person(shop_id integer, addresses text[], customers text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	n bigint;
BEGIN
	UPDATE incomplete_orders.shops s SET exclusions = incomplete_orders._without_person(s.exclusions, addresses, customers)
	WHERE s.shop_id = _unlist_person.shop_id AND s.exclusions <> incomplete_orders._without_person(s.exclusions, addresses, customers);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
ALTER FUNCTION incomplete_orders._unlist_person(integer, text[], text[]) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._unlist_person(integer, text[], text[]) IS 'Takes a person out of the lists of a shop''s exclusions; 1 when they stood there';

-- The addresses with what waits for them, as suppress() does it; then the customers,
-- and the instant where the person was forgotten before.
CREATE FUNCTION incomplete_orders._suppress_forgotten(shop_id integer, addresses text[], named bigint[], at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	n bigint;
BEGIN
	PERFORM incomplete_orders.suppress(a, 'erased', s.shop, _suppress_forgotten.at)
	FROM unnest(addresses) a CROSS JOIN incomplete_orders.shops s WHERE s.shop_id = _suppress_forgotten.shop_id;
	INSERT INTO incomplete_orders.suppressions AS s (shop_id, person, reason, at)
	SELECT _suppress_forgotten.shop_id, k, 'erased', _suppress_forgotten.at FROM unnest(named) k ORDER BY k
	ON CONFLICT (shop_id, person, scope) DO UPDATE SET reason = 'erased', at = greatest(s.at, excluded.at), message_id = NULL;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
ALTER FUNCTION incomplete_orders._suppress_forgotten(integer, text[], bigint[], timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._suppress_forgotten(integer, text[], bigint[], timestamptz) IS 'Suppresses a forgotten person by the hashes of address and customer, and cancels what waits for those addresses; returns how many hashes';

CREATE FUNCTION incomplete_orders._add_count(counts jsonb, relation text, action text, n bigint) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN coalesce($4, 0) = 0 THEN $1 ELSE $1 || jsonb_build_object($2, coalesce($1 -> $2, '{}')
		|| jsonb_build_object($3, $4 + coalesce(($1 -> $2 ->> $3)::bigint, 0))) END
$$;
COMMENT ON FUNCTION incomplete_orders._add_count(jsonb, text, text, bigint) IS 'Adds to a count by relation and action';

-- Locks: that of the rollups, because abandoned carts are counted before they are
-- erased; the shop's row if staff listed the person there, then messages in the order of their ids, suppressions, orders in that of theirs; like everybody who
-- takes several.  What others wrote of the person meanwhile is found by looking
-- again, until nothing is new: from its commit on nothing is left of what was
-- committed before.
CREATE FUNCTION incomplete_orders.forget_customer(email text DEFAULT NULL, customer_id text DEFAULT NULL, shop text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS TABLE (relation text, action text, n bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own_id CONSTANT integer := incomplete_orders._enter_shop('forget_customer', shop, at);
	address CONSTANT text := nullif(btrim(email, ' '), '');
	customer CONSTANT text := nullif(customer_id, '');
	instant CONSTANT timestamptz := coalesce(at, now());
	person record;
	known record;
	late record;
	others bigint[] := '{}';
	messages uuid[];
	part text;
	erased record;
	rows bigint;
	counts jsonb := '{}';
	again boolean := false;
	words text[];
BEGIN
	PERFORM incomplete_orders._check_person(address, customer);
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
			MESSAGE = 'forget_customer() works in READ COMMITTED only',
			DETAIL = 'It looks again for what was written meanwhile, and an older snapshot does not show it.',
			HINT = 'Call it outside of transactions, or begin them with BEGIN ISOLATION LEVEL READ COMMITTED.';
	END IF;
	PERFORM incomplete_orders._lock_rollups(true);
	PERFORM incomplete_orders._allow_erasure();
	person := incomplete_orders._find_person(own_id, address, customer, '{}', '{}', '{}', '{}', '{}');
	known := incomplete_orders._keys_of_person(own_id, address, person.customers, person.phones, person.ids);
	words := ARRAY(SELECT lower(w COLLATE "C") FROM unnest(known.addresses) w);
	counts := incomplete_orders._add_count(counts, 'shops', 'remove', incomplete_orders._unlist_person(own_id, words, person.customers));
	messages := incomplete_orders._messages_of_person(own_id, known.addresses, person.ids, person.roots);
	LOOP
		messages := messages || incomplete_orders._messages_of_person(own_id, '{}', person.ids, person.roots);
		others := others || (incomplete_orders._keys_of_person(own_id, address, person.customers, person.phones, person.ids)).others;
		PERFORM FROM incomplete_orders.messages m WHERE m.shop_id = own_id AND m.id = ANY (messages) ORDER BY m.id FOR UPDATE;
		counts := incomplete_orders._add_count(counts, 'messages', 'cancel', incomplete_orders._cancel_of_person(own_id, person.ids, messages, instant));
		IF NOT again THEN
			counts := incomplete_orders._add_count(counts, 'suppressions', 'suppress', incomplete_orders._suppress_forgotten(own_id, known.addresses, known.named, instant));
		END IF;
		FOREACH part IN ARRAY ARRAY['messages', 'open_orders', 'closed_orders'] LOOP
			IF part = 'open_orders' THEN
				-- an update would take them as it finds them, and merges take two
				PERFORM FROM incomplete_orders.open_orders o WHERE o.shop_id = own_id AND o.id = ANY (person.ids) ORDER BY o.id FOR UPDATE;
			END IF;
			erased := incomplete_orders._erase(part, own_id, person.ids, '{}', '{}', messages);
			counts := incomplete_orders._add_count(counts, part, erased.action, erased.n);
		END LOOP;
		-- what came while we waited: orders, and messages of orders that were locked
		person := incomplete_orders._find_person(own_id, address, customer, person.customers, person.phones, person.sessions, person.ids, person.roots);
		EXIT WHEN person.fresh = 0 AND NOT EXISTS (SELECT FROM incomplete_orders.messages m
			WHERE m.shop_id = own_id AND m.root_id = ANY (person.roots) AND m.order_id = ANY (person.ids) AND m.recipient <> '');
		again := true;
	END LOOP;
	-- Now every order is ours: what stands beside them, and is what led to some of them.
	late := incomplete_orders._keys_of_person(own_id, address, person.customers, person.phones, person.ids);
	-- what reports say of abandoned carts and of lift stays, as far as it is known now
	PERFORM incomplete_orders._fold_orders(ARRAY(SELECT own_id FROM unnest(person.ids)), person.ids);
	PERFORM incomplete_orders._count_arms(ARRAY[own_id], least(instant, clock_timestamp()), known.keys || late.keys);
	FOR part IN
		SELECT DISTINCT p.relation FROM incomplete_orders._personal_data() p WHERE p.relation NOT IN ('messages', 'open_orders', 'closed_orders') ORDER BY 1
	LOOP
		erased := incomplete_orders._erase(part, own_id, person.ids, known.made || late.made, known.keys || late.keys, messages);
		counts := incomplete_orders._add_count(counts, part, erased.action, erased.n);
	END LOOP;
	-- by these a source that knows no more of them is recognised
	INSERT INTO incomplete_orders.suppressions AS s (shop_id, person, scope, reason, at)
	SELECT DISTINCT own_id, k, 'data', 'erased', instant FROM unnest(others || late.others) k WHERE k <> ALL (known.named || late.named) ORDER BY k
	ON CONFLICT (shop_id, person, scope) DO UPDATE SET at = greatest(s.at, excluded.at);
	-- an order that had the address once and is somebody else's now keeps no former value of it
	DELETE FROM incomplete_orders.order_changes c WHERE c.shop_id = own_id
		AND EXISTS (SELECT FROM unnest(words) w WHERE position('"' || w || '"' IN lower(c.changes::text COLLATE "C")) > 0);
	GET DIAGNOSTICS rows = ROW_COUNT;
	counts := incomplete_orders._add_count(counts, 'order_changes', 'delete', rows);
	RETURN QUERY SELECT r.key, a.key, a.value::bigint FROM jsonb_each(counts) r CROSS JOIN LATERAL jsonb_each_text(r.value) a
		WHERE a.value <> '0' ORDER BY r.key, a.key;
END
$$;
ALTER FUNCTION incomplete_orders.forget_customer(text, text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.forget_customer(text, text, text, timestamptz) IS
	'Erases a person from a shop, named by the address, the customer or both (by the address alone: also the customers whose orders have it): what waits for them is cancelled, the address is suppressed by its keyed hash, personal data goes from every table. Orders, amounts, lines and events stay, naming nobody. Returns what was done, by table. Who acts again is a customer again, and suppressed until record_consent() says granted. 22023; READ COMMITTED only';

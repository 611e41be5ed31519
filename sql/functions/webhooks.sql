-- Webhooks out: which program of a shop's hears what, and the queue of what it is to hear.
--
-- Rows of the queue are made by the statement that folds events into the rollups: it
-- deletes them from the tail, so each is told exactly once, whatever is killed, dumped or
-- promoted.  What is told stands in the row and has nothing of a person; who asked for
-- contact data gets it as it is when the row is claimed, so there is nothing to erase.
--
-- Locks: claims and answers take a delivery's row before its webhook's, and claims wait for
-- neither.

CREATE FUNCTION incomplete_orders._hmac_sha256(key bytea, data bytea) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_hmac_sha256';
COMMENT ON FUNCTION incomplete_orders._hmac_sha256(bytea, bytea) IS 'HMAC with SHA-256';

CREATE FUNCTION incomplete_orders._utc_text(at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;
COMMENT ON FUNCTION incomplete_orders._utc_text(timestamptz) IS 'An instant as webhooks say it';

-- What may be told, and what it means; ping is sent on request.
CREATE FUNCTION incomplete_orders._webhook_events() RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT '{abandoned,returned,recovered,converted}'::text[] $$;
COMMENT ON FUNCTION incomplete_orders._webhook_events() IS
	'What a webhook may hear of: abandoned; returned (the customer came back to an abandoned order); converted (an order was made, of all or a part); recovered (an order that had been abandoned was paid)';

-- Part of the statement that folds: source are the events that it takes from the tail.
CREATE FUNCTION incomplete_orders._tell_webhooks(source text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($q$
		told AS (INSERT INTO incomplete_orders.webhook_deliveries (shop_id, id, webhook, event, order_id, event_id, at, due_at, queued_at, facts)
			SELECT e.shop_id, incomplete_orders._new_id(e.shop_id), w.webhook, t.event, e.order_id, e.event_id, e.at, now(), now(),
				jsonb_strip_nulls(jsonb_build_object('kind', e.kind, 'status', e.status_after, 'episode', e.episode, 'currency', e.currency,
					'value', e.value::text, 'item_count', e.item_count, 'furthest_step', e.furthest_step,
					'reason', CASE WHEN t.event = 'abandoned' THEN e.reason_code END, 'device', e.device, 'source', e.source,
					'created_at', incomplete_orders._utc_text(e.created_at), 'abandoned_at', incomplete_orders._utc_text(e.abandoned_at),
					'paid_amount', e.paid_amount::text))
			FROM %s e
			JOIN incomplete_orders.webhooks w ON w.shop_id = e.shop_id AND w.active AND w.starts_at <= e.at
			CROSS JOIN LATERAL (VALUES ('abandoned', e.event = 'abandoned'), ('returned', e.event = 'reanimated'),
				('converted', e.event IN ('converted', 'partly_converted')),
				('recovered', e.event IN ('converted', 'partly_converted', 'paid') AND e.paid_amount IS NOT NULL
					AND (e.episode > 1 OR e.abandoned_at IS NOT NULL))) t (event, holds)
			WHERE t.holds AND t.event = ANY (w.events) AND NOT e.bot
			RETURNING 1)
	$q$, source)
$$;
COMMENT ON FUNCTION incomplete_orders._tell_webhooks(text) IS 'The part of a fold that queues what webhooks are to hear of those events';

-- ---- configuration ----

CREATE FUNCTION incomplete_orders._random_secret() RETURNS bytea
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) $$;
COMMENT ON FUNCTION incomplete_orders._random_secret() IS 'Thirty-two bytes that nobody can guess';

-- A new secret of that name, or the first; the one before stays good for a day.
CREATE FUNCTION incomplete_orders._make_secret(shop_id integer, purpose text, name text) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO incomplete_orders.shop_secrets AS s (shop_id, purpose, name, secret) VALUES ($1, $2, $3, incomplete_orders._random_secret())
	ON CONFLICT ON CONSTRAINT shop_secrets_pkey DO UPDATE SET former = s.secret, former_until = clock_timestamp() + interval '1 day', secret = excluded.secret
	RETURNING 'whsec_' || encode(s.secret, 'base64')
$$;
ALTER FUNCTION incomplete_orders._make_secret(integer, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._make_secret(integer, text, text) IS 'Makes a secret that a shop shares with somebody, and returns it as it is given to them';

CREATE FUNCTION incomplete_orders._check_webhook(webhook text, url text, events text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
	IF webhook IS NULL OR webhook !~ '^[a-z0-9][a-z0-9_-]{0,62}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "webhook" must be a name of 1 to 63 of a-z, 0-9, _ and -';
	END IF;
	-- no user and password, no fragment: what is shown and logged must not be a secret
	IF url IS NOT NULL AND (url !~* $re$^https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?][^][:cntrl:][:space:]"<>\\^`{|}#]*)?$$re$
		OR octet_length(url) > 2000) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "url" must be an address that begins with https://',
			DETAIL = 'At most 2,000 bytes of visible ASCII, with neither a user nor a fragment.',
			HINT = 'http:// is good for tests: incomplete-orders send only follows it with --webhooks=loopback or --webhooks=any.';
	END IF;
	IF cardinality(events) = 0 OR NOT events <@ incomplete_orders._webhook_events() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "events" must name some of abandoned, returned, recovered and converted';
	END IF;
END
$body$;
COMMENT ON FUNCTION incomplete_orders._check_webhook(text, text, text[]) IS 'Raises 22023 when a webhook cannot be like that';

CREATE FUNCTION incomplete_orders.configure_webhook(webhook text, url text DEFAULT NULL, events text[] DEFAULT NULL, contact boolean DEFAULT NULL,
	active boolean DEFAULT NULL, new_secret boolean DEFAULT false, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered CONSTANT integer := incomplete_orders._enter_shop('configure_webhook', configure_webhook.shop, configure_webhook.at);
	known incomplete_orders.webhooks;
BEGIN
	PERFORM incomplete_orders._check_webhook(configure_webhook.webhook, configure_webhook.url, configure_webhook.events);
	SELECT w.* INTO known FROM incomplete_orders.webhooks w WHERE w.shop_id = entered AND w.webhook = configure_webhook.webhook FOR UPDATE;
	IF NOT FOUND THEN
		IF configure_webhook.url IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('there is no webhook "%s" yet: argument "url" must not be null', configure_webhook.webhook);
		END IF;
		IF (SELECT count(*) >= 20 FROM incomplete_orders.webhooks w WHERE w.shop_id = entered) THEN
			RAISE EXCEPTION USING ERRCODE = 'IC014',
				MESSAGE = 'a shop has at most 20 webhooks',
				HINT = 'Take one away with incomplete_orders.delete_webhook().';
		END IF;
		-- what was being queued for one of that name when it was taken away is not for this one
		DELETE FROM incomplete_orders.webhook_deliveries d WHERE d.shop_id = entered AND d.webhook = configure_webhook.webhook;
		-- somebody who makes it at the same time gets a unique violation, not another's secret
		INSERT INTO incomplete_orders.webhooks (shop_id, webhook, url, events, contact, active, starts_at, changed_at)
		VALUES (entered, configure_webhook.webhook, configure_webhook.url, coalesce(configure_webhook.events, incomplete_orders._webhook_events()),
			coalesce(configure_webhook.contact, false), coalesce(configure_webhook.active, true), configure_webhook.at, configure_webhook.at);
		RETURN incomplete_orders._make_secret(entered, 'webhook', configure_webhook.webhook);
	END IF;
	UPDATE incomplete_orders.webhooks w
	SET url = coalesce(configure_webhook.url, w.url), events = coalesce(configure_webhook.events, w.events),
		contact = coalesce(configure_webhook.contact, w.contact), active = coalesce(configure_webhook.active, w.active),
		-- what happened while it was off is not told
		starts_at = CASE WHEN configure_webhook.active AND NOT w.active THEN configure_webhook.at ELSE w.starts_at END,
		changed_at = configure_webhook.at, failing_since = NULL, failures = 0, retry_at = NULL
	WHERE w.shop_id = entered AND w.webhook = configure_webhook.webhook;
	IF configure_webhook.new_secret THEN
		RETURN incomplete_orders._make_secret(entered, 'webhook', configure_webhook.webhook);
	END IF;
	RETURN NULL;
END
$$;
ALTER FUNCTION incomplete_orders.configure_webhook(text, text, text[], boolean, boolean, boolean, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.configure_webhook(text, text, text[], boolean, boolean, boolean, text, timestamptz) IS
	'Makes a webhook of a shop, or changes what is named of it: its address is sent what happens from then on. events: of abandoned, returned, recovered and converted, by default all; contact true: with address, phone, name and customer; active false: nothing new is queued, and what waits is kept. Returns the secret that signs, when it was made or with new_secret: it is never shown again, and the one before signs, too, for a day. IC002, IC014, 22023';

CREATE FUNCTION incomplete_orders.delete_webhook(webhook text, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered CONSTANT integer := incomplete_orders._enter_shop('delete_webhook', delete_webhook.shop, delete_webhook.at);
BEGIN
	-- What a fold queues at this moment belongs to no webhook, is never claimed, and goes with retention.
	DELETE FROM incomplete_orders.webhook_deliveries d WHERE d.shop_id = entered AND d.webhook = delete_webhook.webhook;
	DELETE FROM incomplete_orders.webhooks w WHERE w.shop_id = entered AND w.webhook = delete_webhook.webhook;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	DELETE FROM incomplete_orders.shop_secrets s WHERE s.shop_id = entered AND s.purpose = 'webhook' AND s.name = delete_webhook.webhook;
	RETURN true;
END
$$;
ALTER FUNCTION incomplete_orders.delete_webhook(text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.delete_webhook(text, text, timestamptz) IS
	'Takes a webhook of a shop away, with its secret and all that waits for it; false when there is none of that name. IC002';

CREATE FUNCTION incomplete_orders.list_webhooks(shop text DEFAULT NULL)
RETURNS TABLE (shop text, webhook text, url text, events text[], contact boolean, active boolean, starts_at timestamptz, changed_at timestamptz,
	failing_since timestamptz, failures integer, retry_at timestamptz, waiting bigint, dead bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- lateral and not pulled up: the door is passed first
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('list_webhooks', $1) AS shops OFFSET 0) d0
	CROSS JOIN LATERAL (
		SELECT s.shop, w.webhook, w.url, w.events, w.contact, w.active, w.starts_at, w.changed_at, w.failing_since, w.failures, w.retry_at,
			(SELECT count(*) FROM incomplete_orders.webhook_deliveries q WHERE q.shop_id = w.shop_id AND q.webhook = w.webhook AND q.status IN ('queued', 'sending')),
			(SELECT count(*) FROM incomplete_orders.webhook_deliveries q WHERE q.shop_id = w.shop_id AND q.webhook = w.webhook AND q.status = 'dead')
		FROM incomplete_orders.webhooks w JOIN incomplete_orders.shops s USING (shop_id)
		WHERE w.shop_id = ANY (d0.shops)
		ORDER BY s.shop, w.webhook
		OFFSET 0
	) d
$$;
ALTER FUNCTION incomplete_orders.list_webhooks(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_webhooks(text) IS
	'The webhooks of a shop: never their secrets. failing_since: it did not answer the last time, nor since then; waiting and dead: how many deliveries. shop ''*'': all that the caller may see. IC002';

CREATE FUNCTION incomplete_orders._delivery_page(status text, cursor text, page_size integer) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF status NOT IN ('queued', 'sending', 'delivered', 'dead') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "status" must be one of queued, sending, delivered and dead';
	END IF;
	IF page_size IS NULL OR page_size NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "page_size" must be between 1 and 1000';
	END IF;
	RETURN coalesce(cursor, 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid;
EXCEPTION WHEN invalid_text_representation THEN
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = 'argument "cursor" must be the column "cursor" of a row of the page before';
END
$$;
COMMENT ON FUNCTION incomplete_orders._delivery_page(text, text, integer) IS 'Behind which id a page of list_deliveries() begins; 22023';

CREATE FUNCTION incomplete_orders.list_deliveries(webhook text DEFAULT NULL, status text DEFAULT NULL, shop text DEFAULT NULL, cursor text DEFAULT NULL,
	page_size integer DEFAULT 100)
RETURNS TABLE (delivery_id uuid, shop text, webhook text, event text, order_id uuid, at timestamptz, status text, attempts integer, due_at timestamptz,
	queued_at timestamptz, http_status integer, problem text, cursor text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- lateral and not pulled up: the door is passed first
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('list_deliveries', $3) AS shops, incomplete_orders._delivery_page($2, $4, $5) AS before OFFSET 0) v
	CROSS JOIN LATERAL (
		SELECT q.id, s.shop, q.webhook, q.event, q.order_id, q.at, q.status, q.attempts, q.due_at, q.queued_at, q.http_status, q.problem, q.id::text
		FROM incomplete_orders.shops s CROSS JOIN LATERAL (
			SELECT w.* FROM incomplete_orders.webhook_deliveries w
			WHERE w.shop_id = s.shop_id AND w.id < v.before AND ($1 IS NULL OR w.webhook = $1) AND ($2 IS NULL OR w.status = $2)
			ORDER BY w.id DESC LIMIT $5) q
		WHERE s.shop_id = ANY (v.shops)
		ORDER BY q.id DESC LIMIT $5
	) d
$$;
ALTER FUNCTION incomplete_orders.list_deliveries(text, text, text, text, integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_deliveries(text, text, text, text, integer) IS
	'What the webhooks of a shop were told, and are to be told, newest first; cursor: goes on behind the row that has it. shop ''*'': all that the caller may see. IC002, 22023';

CREATE FUNCTION incomplete_orders.ping_webhook(webhook text, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	entered CONSTANT integer := incomplete_orders._enter_shop('ping_webhook', ping_webhook.shop, ping_webhook.at);
	made uuid;
BEGIN
	INSERT INTO incomplete_orders.webhook_deliveries (shop_id, id, webhook, event, at, due_at, queued_at, facts)
	SELECT entered, incomplete_orders._new_id(entered), w.webhook, 'ping', ping_webhook.at, now(), now(), '{}'
	FROM incomplete_orders.webhooks w WHERE w.shop_id = entered AND w.webhook = ping_webhook.webhook
	RETURNING id INTO made;
	IF made IS NULL THEN
		PERFORM incomplete_orders._refuse_webhook(ping_webhook.webhook);
	END IF;
	PERFORM pg_notify('incomplete_orders', '');
	RETURN made;
END
$$;
ALTER FUNCTION incomplete_orders.ping_webhook(text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.ping_webhook(text, text, timestamptz) IS
	'Queues a delivery with the event ping, to try a webhook; returns its id, under which list_deliveries() says what became of it. IC002, IC003';

CREATE FUNCTION incomplete_orders._refuse_webhook(webhook text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'IC003',
		MESSAGE = format('webhook "%s" does not exist', left(webhook, 100)),
		HINT = 'incomplete_orders.list_webhooks() shows those of a shop.';
END
$$;
COMMENT ON FUNCTION incomplete_orders._refuse_webhook(text) IS 'Raises IC003';

CREATE FUNCTION incomplete_orders.retry_delivery(delivery_id uuid, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	shop_ids CONSTANT integer[] := incomplete_orders._visible_shops('retry_delivery', '*');
	of_shop CONSTANT integer := incomplete_orders.shop_of(delivery_id);
	found_status text;
BEGIN
	SELECT d.status INTO found_status FROM incomplete_orders.webhook_deliveries d
	WHERE d.shop_id = of_shop AND d.shop_id = ANY (shop_ids) AND d.id = delivery_id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'IC003',
			MESSAGE = format('delivery %s does not exist', coalesce(delivery_id::text, 'null')),
			DETAIL = 'There is none with that id in a shop that you may see.';
	END IF;
	PERFORM incomplete_orders._enter_shop('retry_delivery', (SELECT s.shop FROM incomplete_orders.shops s WHERE s.shop_id = of_shop), retry_delivery.at);
	IF found_status <> 'dead' THEN
		RETURN false;
	END IF;
	-- queued anew: three more days
	UPDATE incomplete_orders.webhook_deliveries d
	SET status = 'queued', due_at = retry_delivery.at, queued_at = retry_delivery.at, give_up_at = NULL, problem = NULL
	WHERE d.shop_id = of_shop AND d.id = delivery_id;
	PERFORM pg_notify('incomplete_orders', '');
	RETURN true;
END
$$;
ALTER FUNCTION incomplete_orders.retry_delivery(uuid, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.retry_delivery(uuid, timestamptz) IS
	'A dead delivery is due again at that instant, with the same id and three more days; false when it is not dead. IC003';

-- ---- the queue ----

-- What is told, of what is known now; kept with the row, so that each attempt tells the same.
CREATE FUNCTION incomplete_orders._delivery_facts(shop_id integer, order_id uuid, event_id bigint, event text, facts jsonb) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object('id', $2, 'reference', coalesce(
			(SELECT o.reference FROM incomplete_orders.open_orders o WHERE o.shop_id = $1 AND o.id = $2),
			(SELECT o.reference FROM incomplete_orders.closed_orders o WHERE o.shop_id = $1 AND o.id = $2)))
		|| $5 || jsonb_build_object('sale', CASE WHEN $4 IN ('converted', 'recovered') THEN (
			SELECT jsonb_build_object('order_id', r.order_id, 'order_number', r.order_number, 'foreign_order', r.foreign_order, 'part', r.part,
				'total', r.total::text, 'paid', r.paid, 'late', r.late)
			FROM incomplete_orders.order_events e JOIN incomplete_orders.orders r ON r.shop_id = e.shop_id AND r.order_id = e.order_ref
			WHERE e.shop_id = $1 AND e.order_id = $2 AND e.event_id = $3 LIMIT 1) END,
		'recovery', CASE WHEN $4 = 'recovered' THEN (
			SELECT jsonb_build_object('outcome', u.outcome, 'campaign', u.campaign, 'step', u.message_step, 'variant', u.variant)
			FROM incomplete_orders.order_outcomes u WHERE u.shop_id = $1 AND u.root_id =
				(SELECT e.root_id FROM incomplete_orders.order_events e WHERE e.shop_id = $1 AND e.order_id = $2 AND e.event_id = $3 LIMIT 1)) END))
$$;
ALTER FUNCTION incomplete_orders._delivery_facts(integer, uuid, bigint, text, jsonb) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._delivery_facts(integer, uuid, bigint, text, jsonb) IS 'What a webhook is told of an order, without anything of a person';

CREATE FUNCTION incomplete_orders._delivery_customer(shop_id integer, order_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object('customer_id', c.customer_id, 'email', c.email, 'phone', c.phone, 'name', c.name)) FROM (
		SELECT o.customer_id, o.email, o.phone, o.name FROM incomplete_orders.open_orders o WHERE o.shop_id = $1 AND o.id = $2
		UNION ALL SELECT o.customer_id, o.email, o.phone, o.name FROM incomplete_orders.closed_orders o WHERE o.shop_id = $1 AND o.id = $2) c
	LIMIT 1
$$;
ALTER FUNCTION incomplete_orders._delivery_customer(integer, uuid) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._delivery_customer(integer, uuid) IS 'Contact data of an order, for a webhook that asks for them';

CREATE FUNCTION incomplete_orders._delivery_signature(shop_id integer, webhook text, signed text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'v1,' || encode(incomplete_orders._hmac_sha256(s.secret, convert_to($3, 'UTF8')), 'base64')
		|| CASE WHEN s.former_until > clock_timestamp() THEN ' v1,' || encode(incomplete_orders._hmac_sha256(s.former, convert_to($3, 'UTF8')), 'base64') ELSE '' END
	FROM incomplete_orders.shop_secrets s WHERE s.shop_id = $1 AND s.purpose = 'webhook' AND s.name = $2
$$;
ALTER FUNCTION incomplete_orders._delivery_signature(integer, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._delivery_signature(integer, text, text) IS 'The header webhook-signature over "id.timestamp.body"';

-- An address that did not answer is tried with one delivery at a time.  A delivery is
-- given up three days after its first attempt, or after three days in which its address
-- answered nothing at all; never because nobody sent.
CREATE FUNCTION incomplete_orders.claim_deliveries(worker text, batch integer DEFAULT 20, lease interval DEFAULT '2 minutes')
RETURNS TABLE (delivery_id uuid, token bigint, shop text, webhook text, url text, event text, body text, signed_at bigint, signature text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
	shop_ids CONSTANT integer[] := incomplete_orders._visible_shops('claim_deliveries', '*');
	clock CONSTANT timestamptz := clock_timestamp();
	patience CONSTANT interval := '3 days';
BEGIN
	IF worker IS NULL OR worker = '' OR batch IS NULL OR batch NOT BETWEEN 1 AND 1000 OR lease IS NULL
		OR lease NOT BETWEEN interval '10 seconds' AND interval '1 hour' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a claim needs a worker, a batch between 1 and 1000 and a lease between 10 seconds and 1 hour';
	END IF;
	RETURN QUERY
	WITH hooks AS MATERIALIZED (
		SELECT w.shop_id, w.webhook, w.failures > 0 AS failing, w.failing_since FROM incomplete_orders.webhooks w
		WHERE w.shop_id = ANY (shop_ids) AND w.active AND (w.retry_at IS NULL OR w.retry_at <= clock)
	), looked AS MATERIALIZED (
		SELECT h.shop_id, h.webhook, q.id, q.due_at, q.give_up_at <= clock OR h.failing_since <= clock - patience AND q.queued_at <= clock - patience AS over,
			h.failing
		FROM hooks h CROSS JOIN LATERAL (
			SELECT d.id, d.due_at, d.give_up_at, d.queued_at FROM incomplete_orders.webhook_deliveries d
			WHERE d.shop_id = h.shop_id AND d.webhook = h.webhook AND d.status IN ('queued', 'sending') AND d.due_at <= clock
			ORDER BY d.due_at, d.id LIMIT batch FOR UPDATE SKIP LOCKED) q
	), gone AS (
		UPDATE incomplete_orders.webhook_deliveries d SET status = 'dead', due_at = clock, token = d.token + 1,
			problem = coalesce(d.problem, 'its address answered nothing')
		FROM looked l WHERE d.shop_id = l.shop_id AND d.id = l.id AND l.over
	), chosen AS MATERIALIZED (
		SELECT c.shop_id, c.webhook, c.id, c.failing FROM (
			SELECT l.*, row_number() OVER (PARTITION BY l.shop_id, l.webhook ORDER BY l.due_at, l.id) AS n FROM looked l WHERE l.over IS NOT TRUE) c
		WHERE NOT c.failing OR c.n = 1
		-- the turn of each address comes
		ORDER BY c.n, c.due_at, c.id LIMIT batch
	), tried AS (
		UPDATE incomplete_orders.webhooks w SET retry_at = clock + lease
		FROM (SELECT q.shop_id, q.webhook FROM incomplete_orders.webhooks q JOIN chosen c USING (shop_id, webhook)
			WHERE c.failing FOR UPDATE OF q SKIP LOCKED) c
		WHERE w.shop_id = c.shop_id AND w.webhook = c.webhook
	), taken AS (
		UPDATE incomplete_orders.webhook_deliveries d
		SET status = 'sending', attempts = d.attempts + 1, token = d.token + 1, due_at = clock + lease, claimed_by = left(worker, 100),
			give_up_at = coalesce(d.give_up_at, clock + patience),
			facts = CASE WHEN d.attempts = 0 AND d.order_id IS NOT NULL
				THEN incomplete_orders._delivery_facts(d.shop_id, d.order_id, d.event_id, d.event, d.facts) ELSE d.facts END
		FROM chosen c WHERE d.shop_id = c.shop_id AND d.id = c.id
		RETURNING d.*
	)
	SELECT t.id, t.token, s.shop, t.webhook, w.url, t.event, b.body, b.signed_at,
		incomplete_orders._delivery_signature(t.shop_id, t.webhook, format('%s.%s.%s', t.id, b.signed_at, b.body))
	FROM taken t
	JOIN incomplete_orders.shops s ON s.shop_id = t.shop_id
	JOIN incomplete_orders.webhooks w ON w.shop_id = t.shop_id AND w.webhook = t.webhook
	CROSS JOIN LATERAL (
		SELECT (jsonb_build_object('id', t.id, 'type', t.event, 'at', incomplete_orders._utc_text(t.at), 'shop', s.shop)
			|| CASE WHEN t.order_id IS NULL THEN '{}' ELSE jsonb_build_object('order', t.facts) END
			|| CASE WHEN w.contact AND t.order_id IS NOT NULL
				THEN jsonb_build_object('customer', incomplete_orders._delivery_customer(t.shop_id, t.order_id)) ELSE '{}' END)::text AS body,
			extract(epoch FROM clock)::bigint AS signed_at
		OFFSET 0) b;
END
$$;
ALTER FUNCTION incomplete_orders.claim_deliveries(text, integer, interval) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.claim_deliveries(text, integer, interval) IS
	'What webhooks are to be told, leased to this worker: POST body to url with the headers webhook-id (delivery_id), webhook-timestamp (signed_at) and webhook-signature, then answer with the token by ack_delivery(), fail_delivery() or release_delivery(). No row: nothing is due. Commit before you send';

-- One answer to a claim: the row is changed if the token is still that of the last claim.
CREATE FUNCTION incomplete_orders._answer_delivery(object text, delivery_id uuid, token bigint, new_status text, next_at timestamptz, http_status integer,
	problem text, OUT done boolean, OUT shop_id integer, OUT webhook text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	shop_ids CONSTANT integer[] := incomplete_orders._visible_shops(object, '*');
BEGIN
	UPDATE incomplete_orders.webhook_deliveries d
	SET status = CASE WHEN new_status = 'queued' AND d.give_up_at <= clock_timestamp() THEN 'dead' ELSE new_status END,
		due_at = CASE WHEN new_status = 'queued' AND d.give_up_at <= clock_timestamp() THEN clock_timestamp()
			-- 10 s, 20 s, 40 s and so on, at most 6 hours: some 20 attempts in three days
			ELSE coalesce(next_at, clock_timestamp() + least(interval '6 hours', interval '10 seconds' * power(2, least(d.attempts - 1, 12)))) END,
		http_status = _answer_delivery.http_status, problem = left(_answer_delivery.problem, 300)
	WHERE d.shop_id = incomplete_orders.shop_of(delivery_id) AND d.shop_id = ANY (shop_ids) AND d.id = delivery_id
		AND d.token = _answer_delivery.token AND d.status = 'sending'
	RETURNING d.shop_id, d.webhook INTO shop_id, webhook;
	done := shop_id IS NOT NULL;
END
$$;
ALTER FUNCTION incomplete_orders._answer_delivery OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._answer_delivery IS 'Writes what became of a claimed delivery, if the token is that of its last claim';

CREATE FUNCTION incomplete_orders.ack_delivery(delivery_id uuid, token bigint, http_status integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answered record;
BEGIN
	SELECT * INTO answered FROM incomplete_orders._answer_delivery('ack_delivery', delivery_id, token, 'delivered', clock_timestamp(), http_status, NULL);
	IF answered.done THEN
		UPDATE incomplete_orders.webhooks w SET failing_since = NULL, failures = 0, retry_at = NULL
		WHERE w.shop_id = answered.shop_id AND w.webhook = answered.webhook AND w.failures > 0;
	END IF;
	RETURN answered.done;
END
$$;
ALTER FUNCTION incomplete_orders.ack_delivery(uuid, bigint, integer) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.ack_delivery(uuid, bigint, integer) IS
	'The address has taken it, with a status of 200 to 299. False: somebody else has claimed it since, or it was answered already';

CREATE FUNCTION incomplete_orders.fail_delivery(delivery_id uuid, token bigint, http_status integer DEFAULT NULL, problem text DEFAULT NULL,
	retry_after interval DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answered record;
	clock CONSTANT timestamptz := clock_timestamp();
	-- what the address asks for, within reason
	pause CONSTANT interval := CASE WHEN retry_after IS NOT NULL THEN greatest(least(retry_after, interval '6 hours'), interval '0') END;
BEGIN
	SELECT * INTO answered FROM incomplete_orders._answer_delivery('fail_delivery', delivery_id, token, 'queued', clock + pause, http_status, problem);
	-- the address is at fault, not what it was told
	IF answered.done AND (http_status IS NULL OR http_status NOT BETWEEN 300 AND 499 OR http_status IN (401, 403, 404, 408, 410, 429)) THEN
		UPDATE incomplete_orders.webhooks w SET failing_since = coalesce(w.failing_since, clock), failures = w.failures + 1,
			retry_at = clock + greatest(pause, least(interval '15 minutes', interval '5 seconds' * power(2, least(w.failures, 10))))
		WHERE w.shop_id = answered.shop_id AND w.webhook = answered.webhook;
	END IF;
	RETURN answered.done;
END
$$;
ALTER FUNCTION incomplete_orders.fail_delivery(uuid, bigint, integer, text, interval) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.fail_delivery(uuid, bigint, integer, text, interval) IS
	'The address did not take it: tried again later, each time after a longer while, for three days, then dead. problem in your own words: what the address said may hold personal data. False: somebody else has claimed it since, or it was answered already';

CREATE FUNCTION incomplete_orders.release_delivery(delivery_id uuid, token bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answered record;
BEGIN
	SELECT * INTO answered FROM incomplete_orders._answer_delivery('release_delivery', delivery_id, token, 'queued', clock_timestamp(), NULL, NULL);
	RETURN answered.done;
END
$$;
ALTER FUNCTION incomplete_orders.release_delivery(uuid, bigint) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.release_delivery(uuid, bigint) IS
	'Gives a claimed delivery back, due at once. False: somebody else has claimed it since, or it was answered already';

CREATE FUNCTION incomplete_orders.webhook_status(shop text DEFAULT NULL)
RETURNS TABLE (shop text, webhook text, status text, deliveries bigint, oldest_due_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('webhook_status', $1) AS shops OFFSET 0) v
	CROSS JOIN LATERAL (
		-- two branches, each by its own index
		SELECT s.shop, q.webhook, q.status, count(*), min(q.due_at)
		FROM (
			SELECT w.shop_id, w.webhook, w.status, w.due_at FROM incomplete_orders.webhook_deliveries w WHERE w.status IN ('queued', 'sending') AND w.shop_id = ANY (v.shops)
			UNION ALL
			SELECT w.shop_id, w.webhook, w.status, w.due_at FROM incomplete_orders.webhook_deliveries w WHERE w.status = 'dead' AND w.shop_id = ANY (v.shops)
		) q
		JOIN incomplete_orders.shops s USING (shop_id)
		GROUP BY s.shop, q.webhook, q.status
		ORDER BY s.shop, q.webhook, q.status
	) d
$$;
ALTER FUNCTION incomplete_orders.webhook_status(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.webhook_status(text) IS
	'How many deliveries are queued, being sent and dead, and since when the first of them is due. shop ''*'': all that the caller may see. IC002';

CREATE FUNCTION incomplete_orders._next_delivery_due() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	SELECT min(greatest(q.due_at, w.retry_at))
	FROM (SELECT incomplete_orders._visible_shops('claim_deliveries', '*') AS shops OFFSET 0) v
	CROSS JOIN LATERAL (SELECT h.* FROM incomplete_orders.webhooks h WHERE h.shop_id = ANY (v.shops) AND h.active OFFSET 0) w
	CROSS JOIN LATERAL (SELECT d.due_at FROM incomplete_orders.webhook_deliveries d
		WHERE d.shop_id = w.shop_id AND d.webhook = w.webhook AND d.status IN ('queued', 'sending') ORDER BY d.due_at LIMIT 1) q
$$;
ALTER FUNCTION incomplete_orders._next_delivery_due() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._next_delivery_due() IS
	'When the next delivery is due that the acting role may claim, a lease that ends included; null: none waits';

-- ---- housekeeping ----

CREATE FUNCTION incomplete_orders._retire_deliveries(shop_id integer, at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
BEGIN
	DELETE FROM incomplete_orders.webhook_deliveries d
	WHERE d.shop_id = _retire_deliveries.shop_id AND d.id < incomplete_orders._id_at(greatest(_retire_deliveries.at - interval '7 days', 'epoch'))
		AND (d.status = 'delivered' OR d.status = 'dead' AND d.id < incomplete_orders._id_at(greatest(_retire_deliveries.at - interval '30 days', 'epoch'))
			OR NOT EXISTS (SELECT FROM incomplete_orders.webhooks w WHERE w.shop_id = d.shop_id AND w.webhook = d.webhook));
END
$$;
ALTER FUNCTION incomplete_orders._retire_deliveries(integer, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._retire_deliveries(integer, timestamptz) IS
	'Deletes what webhooks took a week ago, what was given up a month ago, and what is left of webhooks that are gone';

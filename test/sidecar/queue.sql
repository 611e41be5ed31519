-- A stand-in for the queue of messages: functions of the same names that do what
-- their names say and no more, on a table that a test can read and write.
CREATE SCHEMA IF NOT EXISTS incomplete_orders;
CREATE TABLE incomplete_orders.queue (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	n serial,
	shop text NOT NULL DEFAULT 'default',
	recipient text NOT NULL,
	message jsonb NOT NULL,
	status text NOT NULL DEFAULT 'queued',
	due_at timestamptz NOT NULL DEFAULT now(),
	attempts integer NOT NULL DEFAULT 0,
	token bigint NOT NULL DEFAULT 0,
	response text,
	calls text[] NOT NULL DEFAULT '{}'
);
CREATE TABLE incomplete_orders.claims (at timestamptz DEFAULT clock_timestamp(), worker text, batch integer, lease interval,
	isolation text DEFAULT current_setting('transaction_isolation'), n integer);

CREATE TABLE incomplete_orders.shop_rows (shop text, name text, from_email text, reply_to text, base_url text, postal_address text, campaigns text[]);

CREATE FUNCTION incomplete_orders.claim_messages(worker text, batch integer DEFAULT 100, lease interval DEFAULT '5 min')
RETURNS TABLE (message_id uuid, token bigint, shop text, recipient text, message jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	n integer;
BEGIN
	RETURN QUERY
		UPDATE incomplete_orders.queue q SET status = 'sending', due_at = clock_timestamp() + lease, attempts = attempts + 1,
			token = token + 1, calls = calls || 'claim'::text
		WHERE q.id IN (SELECT id FROM incomplete_orders.queue d WHERE d.status IN ('queued', 'sending') AND d.due_at <= clock_timestamp()
			ORDER BY d.n LIMIT batch FOR UPDATE SKIP LOCKED)
		RETURNING q.id, q.token, q.shop, q.recipient, q.message;
	GET DIAGNOSTICS n = ROW_COUNT;
	INSERT INTO incomplete_orders.claims (worker, batch, lease, n) VALUES (worker, batch, lease, n);
END $$;

CREATE FUNCTION incomplete_orders._answer(id uuid, given bigint, status text, due timestamptz, attempts integer, response text, call text)
RETURNS boolean LANGUAGE sql AS $$
	UPDATE incomplete_orders.queue q SET status = $3, due_at = coalesce($4, q.due_at), attempts = q.attempts + $5,
		response = coalesce($6, q.response), calls = q.calls || $7
	WHERE q.id = $1 AND q.token = $2 AND q.status = 'sending' RETURNING true
$$;
CREATE FUNCTION incomplete_orders.ack_message(message_id uuid, token bigint, response text) RETURNS boolean
LANGUAGE sql AS $$ SELECT coalesce(incomplete_orders._answer($1, $2, 'sent', NULL, 0, $3, 'ack'), false) $$;
CREATE FUNCTION incomplete_orders.fail_message(message_id uuid, token bigint, permanent boolean, response text) RETURNS boolean
LANGUAGE sql AS $$
	SELECT coalesce(incomplete_orders._answer($1, $2, CASE WHEN $3 THEN 'dead' ELSE 'queued' END, now() + interval '1 min', 0, $4,
		CASE WHEN $3 THEN 'permanent' ELSE 'transient' END), false)
$$;
CREATE FUNCTION incomplete_orders.extend_message(message_id uuid, token bigint, lease interval, untried boolean DEFAULT false) RETURNS boolean
LANGUAGE sql AS $$
	SELECT coalesce(incomplete_orders._answer($1, $2, CASE WHEN b THEN 'queued' ELSE 'sending' END, clock_timestamp() + $3,
		CASE WHEN b THEN -1 ELSE 0 END, NULL, CASE WHEN $3 = interval '0' THEN 'back' WHEN b THEN 'later' ELSE 'extend' END), false)
	FROM (SELECT $4 OR $3 = interval '0' AS b) x
$$;
CREATE FUNCTION incomplete_orders._next_message_due() RETURNS timestamptz
LANGUAGE sql AS $$ SELECT min(due_at) FROM incomplete_orders.queue WHERE status IN ('queued', 'sending') $$;
CREATE FUNCTION incomplete_orders.sender_settings(shop text DEFAULT NULL)
RETURNS TABLE (shop text, name text, from_email text, reply_to text, base_url text, postal_address text, campaigns text[])
LANGUAGE sql AS 'TABLE incomplete_orders.shop_rows';
CREATE FUNCTION incomplete_orders.queue_status(shop text DEFAULT NULL)
RETURNS TABLE (shop text, status text, messages bigint, oldest_due_at timestamptz)
LANGUAGE sql AS $$
	SELECT q.shop, q.status, count(*), min(q.due_at) FROM incomplete_orders.queue q WHERE q.status IN ('queued', 'sending', 'dead') GROUP BY 1, 2
$$;

-- No shop has a webhook.
CREATE FUNCTION incomplete_orders.claim_deliveries(worker text, batch integer DEFAULT 20, lease interval DEFAULT '2 minutes')
RETURNS TABLE (delivery_id uuid, token bigint, shop text, webhook text, url text, event text, body text, signed_at bigint, signature text)
LANGUAGE sql AS $$ SELECT NULL::uuid, 0::bigint, '', '', '', '', '', 0::bigint, '' WHERE false $$;
CREATE FUNCTION incomplete_orders.ack_delivery(delivery_id uuid, token bigint, http_status integer DEFAULT NULL) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION incomplete_orders.fail_delivery(delivery_id uuid, token bigint, http_status integer DEFAULT NULL, problem text DEFAULT NULL,
	retry_after interval DEFAULT NULL) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION incomplete_orders.release_delivery(delivery_id uuid, token bigint) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION incomplete_orders._next_delivery_due() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
CREATE FUNCTION incomplete_orders.webhook_status(shop text DEFAULT NULL)
RETURNS TABLE (shop text, webhook text, status text, deliveries bigint, oldest_due_at timestamptz)
LANGUAGE sql AS $$ SELECT '', '', '', 0::bigint, NULL::timestamptz WHERE false $$;

-- A message as the queue gives it; what a test wants otherwise is merged into it, part by part.
CREATE FUNCTION incomplete_orders._message(id uuid, changes jsonb) RETURNS jsonb
LANGUAGE sql AS $$
	SELECT jsonb_object_agg(p.key, CASE WHEN jsonb_typeof(p.value) = 'object' THEN p.value || coalesce(changes -> p.key, '{}') ELSE p.value END)
	FROM jsonb_each(jsonb_build_object(
		'message', jsonb_build_object('id', id, 'message_type', 'abandoned_cart', 'template', 'cart_abandoned', 'campaign', 'cart', 'step', 1,
			'attempt', 1, 'queued_at', '2026-03-04T05:06:07.123456+01:00', 'mail_message_id', '<' || id || '@shop.example>', 'locale', 'en'),
		'shop', jsonb_build_object('shop', 'default', 'name', 'Harbour Books', 'from_email', 'books@shop.example', 'reply_to', 'desk@shop.example',
			'postal_address', E'Harbour Books Ltd\n1 Quay Street\nPorttown', 'logo_url', NULL, 'colour', '#0a6e4f',
			'base_url', 'https://books.shop.example/', 'restore_url', NULL),
		'order', jsonb_build_object('id', gen_random_uuid(), 'reference', 'INC-0123456789', 'kind', 'cart', 'customer_name', 'Jane Doe',
			'currency', 'EUR', 'total', '59.7', 'item_count', 3, 'expires_at', '2026-04-01T00:00:00+00:00', 'days_until_expiry', 27,
			'items', '[{"sku":"A-1","name":"Blue shirt","variant":"M","quantity":2,"unit_price":"19.9","line_total":"39.8",
				"image_url":"https://img.shop.example/a.png","url":"https://books.shop.example/a"},
				{"sku":"B-2","name":"Mug","variant":null,"quantity":1,"unit_price":"19.9","line_total":"19.9","image_url":null,"url":null}]'::jsonb,
			'more_items', 0),
		'text', '{"subject":"Your cart at {{shop_name}}","preheader":"{{item_count}} things wait","headline":"Still there",
			"body":"Hello{{#customer_name}} {{customer_name}}{{/customer_name}},\n\nyour cart is as you left it.","button":"Open my cart",
			"footer":"You get this because you left a cart at {{shop_name}}."}'::jsonb,
		'links', '{"restore":"rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr","click":"ccccccccccccccccccccccccccccccccccccccccccc",
			"open":"ooooooooooooooooooooooooooooooooooooooooooo","unsubscribe":"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu",
			"not_me":"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"}'::jsonb)) p
$$;
CREATE FUNCTION incomplete_orders._enqueue(recipient text, changes jsonb DEFAULT '{}', shop text DEFAULT 'default') RETURNS uuid
LANGUAGE sql AS $$
	INSERT INTO incomplete_orders.queue (id, shop, recipient, message)
	SELECT i.id, $3, $1, incomplete_orders._message(i.id, $2) FROM (SELECT gen_random_uuid() AS id OFFSET 0) i RETURNING id
$$;

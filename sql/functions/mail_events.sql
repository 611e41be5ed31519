-- Webhooks in: what a mail service says that became of our messages.
--
-- Both ways end in record_message_event(), which keeps each event once: what is told
-- again changes nothing.  A message that is not known, or another shop's, is counted and
-- not an error, because the service would tell it again for days.

CREATE FUNCTION incomplete_orders.rotate_mail_secret(shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN incomplete_orders._make_secret(incomplete_orders._enter_shop('rotate_mail_secret', rotate_mail_secret.shop, rotate_mail_secret.at), 'mail_events', '');
END
$$;
ALTER FUNCTION incomplete_orders.rotate_mail_secret(text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.rotate_mail_secret(text, timestamptz) IS
	'Makes and returns the secret with which a mail service signs what it tells of a shop''s messages; it is never shown again, and the one before is good for another day. IC002';

-- Our Message-ID is <id@domain>; what comes after @ is for mail servers.
CREATE FUNCTION incomplete_orders._message_of(named text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT substring($1 FROM '^\s*<?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?:@[^\s<>]*)?>?\s*$')::uuid $$;
COMMENT ON FUNCTION incomplete_orders._message_of(text) IS 'The message that an id or a Message-ID of ours names, or null';

-- events: [{"message_id", "event", "machine", "permanent"}], of these shops.  By message, as
-- everybody takes the locks.
CREATE FUNCTION incomplete_orders._record_mail_events(shop_ids integer[], events jsonb, OUT recorded integer, OUT known integer, OUT unknown integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e record;
BEGIN
	recorded := 0;
	known := 0;
	unknown := 0;
	FOR e IN
		SELECT incomplete_orders._message_of(v ->> 'message_id') AS id, v ->> 'event' AS event, v - '{message_id,event}'::text[] AS meta
		FROM jsonb_array_elements(events) WITH ORDINALITY a (v, n) ORDER BY 1, n
	LOOP
		IF e.id IS NULL OR incomplete_orders.shop_of(e.id) = ANY (shop_ids) IS NOT TRUE
			OR NOT EXISTS (SELECT FROM incomplete_orders.messages m WHERE m.shop_id = incomplete_orders.shop_of(e.id) AND m.id = e.id) THEN
			unknown := unknown + 1;
			CONTINUE;
		END IF;
		BEGIN
			IF incomplete_orders.record_message_event(e.id, e.event, e.meta) THEN
				recorded := recorded + 1;
			ELSE
				known := known + 1;
			END IF;
		EXCEPTION WHEN SQLSTATE 'IC003' THEN	-- deleted at this moment
			unknown := unknown + 1;
		END;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders._record_mail_events(integer[], jsonb) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._record_mail_events(integer[], jsonb) IS 'Records what became of messages of these shops; how many were new, known already, or of no message';

-- Compared as hashes under a key that nobody knows, so the time it takes says nothing.
CREATE FUNCTION incomplete_orders._same_bytes(a bytea, b bytea) RETURNS boolean
LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT incomplete_orders._hmac_sha256(r.key, $1) = incomplete_orders._hmac_sha256(r.key, $2) FROM (SELECT incomplete_orders._random_secret() AS key OFFSET 0) r $$;
COMMENT ON FUNCTION incomplete_orders._same_bytes(bytea, bytea) IS 'Whether two secrets are equal, in a time that does not say how much of them is';

-- signatures: one or more, with blanks between, each "v1,BASE64", "sha256=HEX" or either without
-- its prefix.
CREATE FUNCTION incomplete_orders._signature_holds(shop_id integer, signed text, signatures text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given text;
	mac bytea;
	holds boolean := false;
	secret bytea;
BEGIN
	FOR given IN SELECT s FROM regexp_split_to_table(left(signatures, 1000), '\s+') s WHERE s <> '' LIMIT 5 LOOP
		BEGIN
			given := regexp_replace(given, '^(v1,|sha256=)', '');
			mac := CASE WHEN given ~ '^[0-9a-fA-F]{64}$' THEN decode(given, 'hex') ELSE decode(given, 'base64') END;
		EXCEPTION WHEN data_exception THEN
			CONTINUE;
		END;
		FOR secret IN
			SELECT k.key FROM incomplete_orders.shop_secrets s
			CROSS JOIN LATERAL (VALUES (s.secret), (CASE WHEN s.former_until > clock_timestamp() THEN s.former END)) k (key)
			WHERE s.shop_id = _signature_holds.shop_id AND s.purpose = 'mail_events' AND k.key IS NOT NULL
		LOOP
			holds := holds OR incomplete_orders._same_bytes(mac, incomplete_orders._hmac_sha256(secret, convert_to(signed, 'UTF8')));
		END LOOP;
	END LOOP;
	RETURN holds;
END
$$;
ALTER FUNCTION incomplete_orders._signature_holds(integer, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._signature_holds(integer, text, text) IS 'Whether one of the signatures is that of the text with the secret that a shop shares with its mail service';

CREATE FUNCTION incomplete_orders._check_mail_events(body text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	told jsonb;
	events CONSTANT text[] := '{delivered,opened,clicked,bounced,complained,replied,unsubscribed}';
BEGIN
	BEGIN
		told := body::jsonb;
	EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'what the mail service told is not JSON';
	END;
	told := CASE jsonb_typeof(told) WHEN 'object' THEN CASE WHEN told ? 'events' THEN told -> 'events' ELSE jsonb_build_array(told) END ELSE told END;
	IF jsonb_typeof(told) IS DISTINCT FROM 'array' OR jsonb_array_length(CASE jsonb_typeof(told) WHEN 'array' THEN told ELSE '[]' END) > 1000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'what the mail service told is neither an event nor an array of at most 1,000 events';
	END IF;
	IF EXISTS (SELECT FROM jsonb_array_elements(told) e WHERE CASE WHEN jsonb_typeof(e) <> 'object' THEN true ELSE
			jsonb_typeof(e -> 'message_id') IS DISTINCT FROM 'string' OR (e ->> 'event' = ANY (events)) IS NOT TRUE
			OR coalesce(jsonb_typeof(e -> 'machine'), 'null') NOT IN ('boolean', 'null') OR coalesce(jsonb_typeof(e -> 'permanent'), 'null') NOT IN ('boolean', 'null') END) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'an event of the mail service is malformed',
			DETAIL = 'It has message_id, ours or the Message-ID of the mail, and event: delivered, opened, clicked, bounced, complained, replied or unsubscribed.',
			HINT = 'And machine of what was opened or clicked, permanent of what bounced: true or false.';
	END IF;
	RETURN (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('message_id', e -> 'message_id', 'event', e -> 'event',
		'machine', e -> 'machine', 'permanent', e -> 'permanent')) ORDER BY n), '[]') FROM jsonb_array_elements(told) WITH ORDINALITY a (e, n));
END
$$;
COMMENT ON FUNCTION incomplete_orders._check_mail_events(text) IS 'The events that a mail service told, checked; 22023';

CREATE FUNCTION incomplete_orders.receive_mail_events(body text, signed_at text, signature text, webhook_id text DEFAULT NULL, shop text DEFAULT NULL,
	OUT result text, OUT recorded integer, OUT known integer, OUT unknown integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	entered integer;
BEGIN
	BEGIN
		entered := incomplete_orders._enter_shop('receive_mail_events', shop, NULL);
	EXCEPTION WHEN SQLSTATE 'IC002' THEN
		entered := NULL;	-- as if the signature were wrong: it says nothing of what shops there are
	END;
	IF coalesce(signed_at, '') !~ '^[0-9]{1,12}$' OR coalesce(signature, '') = '' OR body IS NULL THEN
		result := 'unsigned';
	ELSIF entered IS NULL OR NOT incomplete_orders._signature_holds(entered, concat(webhook_id || '.', signed_at, '.', body), signature) THEN
		result := 'forged';
	ELSIF abs(extract(epoch FROM clock_timestamp()) - signed_at::bigint) > 300 THEN
		result := 'stale';
	ELSE
		result := 'ok';
		SELECT r.recorded, r.known, r.unknown INTO recorded, known, unknown
		FROM incomplete_orders._record_mail_events(ARRAY[entered], incomplete_orders._check_mail_events(body)) r;
	END IF;
END
$$;
ALTER FUNCTION incomplete_orders.receive_mail_events(text, text, text, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.receive_mail_events(text, text, text, text, text) IS
	'Records what a mail service tells of a shop''s messages. body: an event, an array of events or {"events": [...]}; an event: {"message_id", "event", "machine", "permanent"}. signature: the HMAC with SHA-256 of "signed_at.body", or of "webhook_id.signed_at.body", under the bytes of rotate_mail_secret(); signed_at: seconds of the clock, at most five minutes from ours. result: ok, unsigned, forged or stale; of ok how many were recorded, known already, and of no message. The same again within the five minutes records nothing. 22023';

-- ---- Amazon SES ----

-- What SES publishes, as a notification or as an event.  It says by which program something
-- was opened or clicked, and that is all it says of machines: Apple's and the like, and
-- programs that name themselves.
CREATE FUNCTION incomplete_orders._ses_events(told jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN e.event IS NULL THEN '[]' ELSE jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
		'message_id', coalesce((SELECT h ->> 'value' FROM jsonb_array_elements(CASE jsonb_typeof($1 -> 'mail' -> 'headers') WHEN 'array' THEN $1 -> 'mail' -> 'headers' ELSE '[]' END) h
				WHERE lower(h ->> 'name') = 'message-id' AND incomplete_orders._message_of(h ->> 'value') IS NOT NULL LIMIT 1),
			$1 #>> '{mail,commonHeaders,messageId}', ''),
		'event', e.event,
		'machine', CASE WHEN e.event IN ('opened', 'clicked') THEN
			coalesce(e.agent ~* '(bot|crawl|spider|scan|preview|fetch|proxy|curl|wget|python|java/|httpclient)' OR e.agent ~ '^Mozilla/5\.0$' OR e.agent = '', false) END,
		'permanent', CASE WHEN e.event = 'bounced' THEN $1 #>> '{bounce,bounceType}' IS NOT DISTINCT FROM 'Permanent' END))) END
	FROM (
		SELECT CASE coalesce($1 ->> 'eventType', $1 ->> 'notificationType')
			WHEN 'Delivery' THEN 'delivered' WHEN 'Open' THEN 'opened' WHEN 'Click' THEN 'clicked' WHEN 'Bounce' THEN 'bounced'
			-- the person said that it is no spam
			WHEN 'Complaint' THEN CASE WHEN $1 #>> '{complaint,complaintFeedbackType}' IS DISTINCT FROM 'not-spam' THEN 'complained' END END AS event,
			coalesce($1 #>> '{open,userAgent}', $1 #>> '{click,userAgent}') AS agent) e
$$;
COMMENT ON FUNCTION incomplete_orders._ses_events(jsonb) IS 'What Amazon SES published, as an array of events';

CREATE FUNCTION incomplete_orders.receive_ses_event(body text, OUT recorded integer, OUT known integer, OUT unknown integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	shop_ids CONSTANT integer[] := incomplete_orders._visible_shops('receive_ses_event', '*');
	told jsonb;
BEGIN
	BEGIN
		told := (body::jsonb ->> 'Message')::jsonb;
	EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
		told := NULL;
	END;
	IF jsonb_typeof(told) IS DISTINCT FROM 'object' THEN
		-- SNS says so in words when SES is told to publish there
		recorded := 0;
		known := 0;
		unknown := 1;
		RETURN;
	END IF;
	SELECT r.recorded, r.known, r.unknown INTO recorded, known, unknown FROM incomplete_orders._record_mail_events(shop_ids, incomplete_orders._ses_events(told)) r;
END
$$;
ALTER FUNCTION incomplete_orders.receive_ses_event(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.receive_ses_event(text) IS
	'Records what Amazon SES published through SNS: body is the whole notification of SNS, whose signature the caller has verified. Bounce (Permanent or not), Complaint, Delivery, Open and Click; the message is found by its Message-ID in mail.headers or mail.commonHeaders. Anything else is counted as unknown';

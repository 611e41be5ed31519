-- Links in recovery messages, and what is learned of a message after it was sent.

CREATE FUNCTION incomplete_orders._link_tokens(message_id uuid, issued timestamptz,
	OUT restore text, OUT click text, OUT open text, OUT unsubscribe text, OUT not_me text)
LANGUAGE c STABLE STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_link_tokens_sql';
ALTER FUNCTION incomplete_orders._link_tokens(uuid, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._link_tokens(uuid, timestamptz) IS
	'The tokens of a message''s links, issued on the day of that instant and signed with the newest key';

CREATE FUNCTION incomplete_orders.rotate_link_key() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- the longest that a link is valid, and a day for clocks
	valid CONSTANT interval := '1831 days';
	newest integer;
BEGIN
	IF NOT incomplete_orders._is_owner() THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role "%s" may not call incomplete_orders.rotate_link_key()', incomplete_orders._acting_role()),
			HINT = 'Superusers and members of incomplete_orders_owner may.';
	END IF;
	LOCK TABLE incomplete_orders.secret_keys IN SHARE ROW EXCLUSIVE MODE;
	-- what signed nothing that is still valid, because another one followed long ago
	DELETE FROM incomplete_orders.secret_keys k
	WHERE k.purpose = 'link' AND EXISTS (SELECT FROM incomplete_orders.secret_keys n
		WHERE n.purpose = 'link' AND n.key_id > k.key_id AND n.created_at < now() - valid);
	IF (SELECT count(*) >= 60 FROM incomplete_orders.secret_keys k WHERE k.purpose = 'link') THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
			MESSAGE = 'there are 60 keys for links already',
			DETAIL = 'A key is kept until every link that it signed has expired: five years after the next one came.',
			HINT = 'Delete a key whose links may stop working from incomplete_orders.secret_keys.';
	END IF;
	INSERT INTO incomplete_orders.secret_keys (purpose, key_id, secret)
	SELECT 'link', coalesce(max(k.key_id), 0) + 1,
		sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
	FROM incomplete_orders.secret_keys k WHERE k.purpose = 'link'
	RETURNING key_id INTO newest;
	RETURN newest;
END
$$;
ALTER FUNCTION incomplete_orders.rotate_link_key() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.rotate_link_key() IS
	'A new key signs the links of messages from here on; those that are out stay valid. Returns its number. Superuser or a member of incomplete_orders_owner';

CREATE FUNCTION incomplete_orders.preview_unsubscribe(token text, OUT message_id uuid, OUT shop text, OUT shop_name text, OUT locale text,
	OUT logo_url text, OUT colour text)
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_preview_unsubscribe';
ALTER FUNCTION incomplete_orders.preview_unsubscribe OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.preview_unsubscribe IS
	'What the unsubscribe or "not me" link of a message shows before anything is done: whose messages they are, and how that shop looks. Writes nothing; nothing in it says who is asked. IC011';

CREATE FUNCTION incomplete_orders.unsubscribe(token text, scope text DEFAULT 'recovery', at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_unsubscribe';
ALTER FUNCTION incomplete_orders.unsubscribe OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.unsubscribe IS
	'Whoever follows the unsubscribe or "not me" link of a message wants no more of them: the address that the message went to is suppressed and what waits for it is cancelled. Final from the commit on. scope: recovery, or all for every kind of message. True, the second time too. IC011';

CREATE FUNCTION incomplete_orders.preview_cart(token text, OUT message_id uuid, OUT order_id uuid, OUT shop text, OUT shop_name text,
	OUT locale text, OUT reference text, OUT status incomplete_orders.order_status, OUT items jsonb, OUT total numeric,
	OUT currency text, OUT logo_url text, OUT colour text, OUT restore_url text, OUT base_url text, OUT removed jsonb, OUT changed jsonb,
	OUT availability_failed boolean)
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_preview_cart';
ALTER FUNCTION incomplete_orders.preview_cart OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.preview_cart IS
	'What the restore link of a message shows before anything is done: the state of the order, what is left in its cart (sku, name, variant, quantity, unit_price, line_total, image_url, url), and how the shop looks. Where the shop names availability(), items are those that it can still sell, as many and at the price that it says; removed: those that it cannot (sku, name, variant, quantity), changed: those of which it has fewer or at another price (also quantity_was, unit_price, unit_price_was); availability_failed: it did not answer, and the cart is shown as if all of it could be sold. Writes nothing; nothing in it says whose cart it is. IC011';

CREATE FUNCTION incomplete_orders.restore_cart(token text, session_id text DEFAULT NULL, shop text DEFAULT NULL, at timestamptz DEFAULT now(),
	OUT id uuid, OUT items jsonb, OUT removed jsonb, OUT changed jsonb, OUT session text, OUT availability_failed boolean)
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_restore_cart';
ALTER FUNCTION incomplete_orders.restore_cart OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.restore_cart IS
	'The customer follows the restore link of a message. An open order comes into that session: it moves there, or its lines are added to those of the order that the session has; without session_id it stays in its own. The lines of a closed one go into a new order (continues_id), or into the order of the session, up to the quantity that they had; without session_id into a session of its own, named in session. Restoring again changes nothing. It logs nobody in: a session that gets lines does not get the person, and nothing returned says who that is. items, removed, changed, availability_failed: as in preview_cart(); the order itself keeps its lines until the shop captures the cart anew; session: the one given or made. IC011; IC004 when it was ordered already or a payment for it is in flight';

CREATE FUNCTION incomplete_orders.link_target(token text, line integer, OUT message_id uuid, OUT url text)
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_link_target';
ALTER FUNCTION incomplete_orders.link_target OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.link_target IS
	'Where the click link of a message leads: the http(s) address of that line of what is left in the cart, counted from 1, as it was captured; where there is none, /r/ and the token of the restore page, below wherever the pages are served. Writes nothing. IC011';

CREATE FUNCTION incomplete_orders.open_link(token text) RETURNS uuid
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_open_link';
ALTER FUNCTION incomplete_orders.open_link OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.open_link IS 'The message whose picture was loaded. Writes nothing. IC011';

CREATE FUNCTION incomplete_orders.record_message_event(message_id uuid, event text, meta jsonb DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_record_message_event';
ALTER FUNCTION incomplete_orders.record_message_event OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.record_message_event IS
	'What happened to a message: delivered, opened, clicked, bounced, complained, replied or unsubscribed. meta.machine true: a program opened or clicked, which sets no instant. A bounce whose meta.permanent is not false, a complaint and unsubscribed suppress the address and cancel what waits for it, each time. Kept once for each event, machine or not, and kind of bounce: false when it was known. IC003';

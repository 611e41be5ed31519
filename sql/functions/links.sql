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

CREATE FUNCTION incomplete_orders.unsubscribe(token text, scope text DEFAULT 'recovery', at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_unsubscribe';
ALTER FUNCTION incomplete_orders.unsubscribe OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.unsubscribe IS
	'Whoever follows the unsubscribe or "not me" link of a message wants no more of them: the address that the message went to is suppressed and what waits for it is cancelled. Final from the commit on. scope: recovery, or all for every kind of message. True, the second time too. IC011';

-- The queue: claimed by senders, answered with the token of the claim.

CREATE FUNCTION incomplete_orders.claim_messages(worker text, batch integer DEFAULT 100, lease interval DEFAULT '5 minutes')
RETURNS TABLE (message_id uuid, token bigint, shop text, recipient text, message jsonb)
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_claim_messages';
ALTER FUNCTION incomplete_orders.claim_messages OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.claim_messages IS
	'Messages that are due and may still be sent, with all that the mail is made of, leased to this worker; answer each with its token by ack_message(), fail_message() or extend_message(). No row: nothing is due. READ COMMITTED only; commit before you send';

CREATE FUNCTION incomplete_orders.ack_message(message_id uuid, token bigint, response text DEFAULT NULL) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_ack_message';
ALTER FUNCTION incomplete_orders.ack_message OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.ack_message IS
	'A mail server has accepted the message; once more changes nothing. False: somebody else has claimed it since';

CREATE FUNCTION incomplete_orders.fail_message(message_id uuid, token bigint, permanent boolean, response text DEFAULT NULL) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_fail_message';
ALTER FUNCTION incomplete_orders.fail_message OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.fail_message IS
	'The message could not be sent: tried again later, or dead when permanent or given up. A reply with 5.1.x (no such recipient) suppresses the address. False: somebody else has claimed it since';

CREATE FUNCTION incomplete_orders.extend_message(message_id uuid, token bigint, lease interval, untried boolean DEFAULT false) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_extend_message';
ALTER FUNCTION incomplete_orders.extend_message OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.extend_message IS
	'A new lease, from now; 0 gives the message back, never tried, and so does untried, due when the lease would end. False: it is not to be sent any more, or somebody else has claimed it since';

CREATE FUNCTION incomplete_orders.retry_message(message_id uuid, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_retry_message';
ALTER FUNCTION incomplete_orders.retry_message OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.retry_message IS
	'A dead message is due again at that instant, with new attempts and five more days; false when it is not dead. IC003';

CREATE FUNCTION incomplete_orders.discard_message(message_id uuid, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_discard_message';
ALTER FUNCTION incomplete_orders.discard_message OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.discard_message IS
	'A dead message is not to be sent any more; false when it is not dead. IC003';

CREATE FUNCTION incomplete_orders._next_message_due() RETURNS timestamptz
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_next_message_due';
ALTER FUNCTION incomplete_orders._next_message_due() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._next_message_due() IS
	'When the next message is due that the acting role may claim, a lease that ends included; null: none waits';

-- The address is for staff; a sender sees it with what it claims.
CREATE FUNCTION incomplete_orders.dead_messages(shop text DEFAULT NULL)
RETURNS TABLE (message_id uuid, shop text, order_id uuid, recipient text, message_type text, attempts integer, response text, reason text,
	dead_since timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- lateral and not pulled up: the door is passed first, also where nothing is dead
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('dead_messages', $1) AS shops, incomplete_orders._visible_shops('list_orders', '*') AS staff OFFSET 0) v
	CROSS JOIN LATERAL (
		SELECT m.id, s.shop, m.order_id, CASE WHEN m.shop_id = ANY (v.staff) THEN m.recipient END, m.message_type, m.attempts, m.response, m.reason, m.due_at
		FROM incomplete_orders.messages m
		JOIN incomplete_orders.shops s USING (shop_id)
		WHERE m.status = 'dead' AND m.shop_id = ANY (v.shops)
		ORDER BY m.due_at DESC, m.id
		OFFSET 0
	) d
$$;
ALTER FUNCTION incomplete_orders.dead_messages OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.dead_messages IS
	'Messages that were given up, newest first: see why, then retry_message() or discard_message(). shop ''*'': all that the caller may see. IC002';

CREATE FUNCTION incomplete_orders.queue_status(shop text DEFAULT NULL)
RETURNS TABLE (shop text, status text, messages bigint, oldest_due_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('queue_status', $1) AS shops OFFSET 0) v
	CROSS JOIN LATERAL (
		-- two branches, each by its own index
		SELECT s.shop, q.status::text, count(*), min(q.due_at)
		FROM (
			SELECT m.shop_id, m.status, m.due_at FROM incomplete_orders.messages m WHERE m.status IN ('queued', 'sending') AND m.shop_id = ANY (v.shops)
			UNION ALL
			SELECT m.shop_id, m.status, m.due_at FROM incomplete_orders.messages m WHERE m.status = 'dead' AND m.shop_id = ANY (v.shops)
		) q
		JOIN incomplete_orders.shops s USING (shop_id)
		GROUP BY s.shop, q.status
		ORDER BY s.shop, q.status
	) d
$$;
ALTER FUNCTION incomplete_orders.queue_status OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.queue_status IS
	'How many messages are queued, being sent and dead, and since when the first of them is due. shop ''*'': all that the caller may see. IC002';

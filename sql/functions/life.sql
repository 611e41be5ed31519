-- The life of an order by hand: staff and payment providers.

CREATE FUNCTION incomplete_orders.mark_payment_pending(id uuid, payment_reference text DEFAULT NULL, deadline timestamptz DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS incomplete_orders.order_status
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_mark_payment_pending';
ALTER FUNCTION incomplete_orders.mark_payment_pending OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.mark_payment_pending IS
	'A payment is on its way: the order is neither abandoned nor expired before deadline (null: when the order itself expires). Returns the state. IC003, IC004, IC006';

CREATE FUNCTION incomplete_orders.mark_payment_failed(id uuid, reason text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS incomplete_orders.order_status
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_mark_payment_failed';
ALTER FUNCTION incomplete_orders.mark_payment_failed OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.mark_payment_failed IS
	'The payment did not come: the order waits for the customer again, and may be paid another way. Returns the state. IC003, IC004, IC006';

CREATE FUNCTION incomplete_orders.mark_abandoned(id uuid, reason text DEFAULT NULL, dry_run boolean DEFAULT false,
	at timestamptz DEFAULT now()) RETURNS incomplete_orders.order_status
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_mark_abandoned';
ALTER FUNCTION incomplete_orders.mark_abandoned OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.mark_abandoned IS
	'Abandons an order before its cut-off. Returns the state; dry_run says what it would be and changes nothing. IC003, IC004';

CREATE FUNCTION incomplete_orders.dismiss_order(id uuid, reason text DEFAULT NULL, dry_run boolean DEFAULT false,
	at timestamptz DEFAULT now()) RETURNS incomplete_orders.order_status
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_dismiss_order';
ALTER FUNCTION incomplete_orders.dismiss_order OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.dismiss_order IS
	'Closes an order that staff give up: nothing more is sent for it. Returns the state; dry_run changes nothing. IC003, IC004';

CREATE FUNCTION incomplete_orders.delete_order(id uuid, reason text DEFAULT NULL, dry_run boolean DEFAULT false,
	at timestamptz DEFAULT now()) RETURNS incomplete_orders.order_status
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_delete_order';
ALTER FUNCTION incomplete_orders.delete_order OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.delete_order IS
	'Closes an order whose cart the shop removed. The row stays in closed_orders until its retention is over. Returns the state; dry_run changes nothing. IC003, IC004';

CREATE FUNCTION incomplete_orders.add_note(id uuid, note text, at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_add_note';
ALTER FUNCTION incomplete_orders.add_note OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.add_note IS
	'Keeps a note of staff with an order, open or closed; returns its number. IC003, 22023';

CREATE FUNCTION incomplete_orders.edit_order(id uuid, changes jsonb, expected_version integer, at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_edit_order';
ALTER FUNCTION incomplete_orders.edit_order OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.edit_order IS
	'Staff correct an open order: items, email, phone, customer_id, name, currency, shipping, tax, discount, coupon_code, coupon_discount, address, context; null clears. The customer''s last activity stays; old and new values are kept in the history. Returns the new version. IC003, IC004, IC009 (stale version), 22023';

-- What is none of ours may name tables or values, and goes to the log only.
CREATE FUNCTION incomplete_orders._own_words(state text, message text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF state LIKE 'IC%' OR state = '22023' THEN
		RETURN message;
	END IF;
	RAISE LOG 'a bulk action was refused with SQLSTATE %: %', state, message;
	RETURN format('an unexpected error (SQLSTATE %s), which the server''s log has', state);
END
$$;
COMMENT ON FUNCTION incomplete_orders._own_words(text, text) IS 'The message of an error, if it is ours to tell';

-- One result per id: what one of them may not do does not stop the others.
-- Each runs in its own subtransaction; a cancel, a deadlock or a serialization
-- failure ends the whole call, because then nothing is known of any of them.
CREATE FUNCTION incomplete_orders._for_each(action text, ids uuid[], words text, dry_run boolean, at timestamptz)
RETURNS TABLE (id uuid, result text, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	can boolean;
BEGIN
	IF cardinality(ids) > 10000 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('argument "ids" has %s elements, more than 10000', cardinality(ids)),
			HINT = 'Call it in batches.';
	END IF;
	FOREACH id IN ARRAY coalesce(ids, '{}') LOOP
		result := NULL;
		reason := NULL;
		BEGIN
			CASE action
				WHEN 'mark_abandoned' THEN result := incomplete_orders.mark_abandoned(id, words, dry_run, at)::text;
				WHEN 'dismiss_order' THEN result := incomplete_orders.dismiss_order(id, words, dry_run, at)::text;
				WHEN 'delete_order' THEN result := incomplete_orders.delete_order(id, words, dry_run, at)::text;
				WHEN 'convert_order' THEN
					SELECT c.can, c.reason INTO can, reason FROM incomplete_orders.can_convert(id) c;
					IF NOT can THEN
						result := 'refused';
					ELSIF dry_run THEN
						result := 'converted';
					ELSE
						SELECT 'converted', c.order_number INTO result, reason
						FROM incomplete_orders.convert_order(id, at => at) c;
					END IF;
			END CASE;
		EXCEPTION
			WHEN serialization_failure OR deadlock_detected OR query_canceled OR admin_shutdown THEN
				RAISE;
			WHEN OTHERS THEN
				result := 'refused';
				reason := incomplete_orders._own_words(SQLSTATE, SQLERRM);
		END;
		RETURN NEXT;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders._for_each OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._for_each IS 'Runs one of the single-order functions for each id';

CREATE FUNCTION incomplete_orders.mark_abandoned_many(ids uuid[], reason text DEFAULT NULL, dry_run boolean DEFAULT false,
	at timestamptz DEFAULT now())
RETURNS TABLE (id uuid, result text, reason text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM incomplete_orders._for_each('mark_abandoned', $1, $2, $3, $4) $$;
ALTER FUNCTION incomplete_orders.mark_abandoned_many OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.mark_abandoned_many IS
	'Abandons several orders: one row per id with the state that follows, or refused and why';

CREATE FUNCTION incomplete_orders.dismiss_orders(ids uuid[], reason text DEFAULT NULL, dry_run boolean DEFAULT false,
	at timestamptz DEFAULT now())
RETURNS TABLE (id uuid, result text, reason text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM incomplete_orders._for_each('dismiss_order', $1, $2, $3, $4) $$;
ALTER FUNCTION incomplete_orders.dismiss_orders OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.dismiss_orders IS
	'Dismisses several orders: one row per id with the state that follows, or refused and why';

CREATE FUNCTION incomplete_orders.delete_orders(ids uuid[], reason text DEFAULT NULL, dry_run boolean DEFAULT false,
	at timestamptz DEFAULT now())
RETURNS TABLE (id uuid, result text, reason text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM incomplete_orders._for_each('delete_order', $1, $2, $3, $4) $$;
ALTER FUNCTION incomplete_orders.delete_orders OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.delete_orders IS
	'Deletes several orders: one row per id with the state that follows, or refused and why';

CREATE FUNCTION incomplete_orders.convert_orders(ids uuid[], reason text DEFAULT NULL, dry_run boolean DEFAULT false,
	at timestamptz DEFAULT now())
RETURNS TABLE (id uuid, result text, reason text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM incomplete_orders._for_each('convert_order', $1, $2, $3, $4) $$;
ALTER FUNCTION incomplete_orders.convert_orders OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.convert_orders IS
	'Converts several open orders whole, as paid; the reason of a converted one is its order number. The argument reason only keeps the four bulk functions alike: one row per id with the state that follows, or refused and why';

CREATE FUNCTION incomplete_orders._expire_order(id uuid, at timestamptz, dry_run boolean) RETURNS incomplete_orders.order_status
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_expire_order';
ALTER FUNCTION incomplete_orders._expire_order(uuid, timestamptz, boolean) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._expire_order(uuid, timestamptz, boolean) IS
	'Writes what is due for an order at `at`, as tick would, and returns the state; dry_run only says it. Null when it is open no more';

-- The same steps as tick makes, found by the same index.
CREATE FUNCTION incomplete_orders.expire_orders(dry_run boolean DEFAULT false, at timestamptz DEFAULT now())
RETURNS TABLE (id uuid, result text, reason text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	shop_ids integer[] := incomplete_orders._visible_shops('expire_orders', '*');
	instant timestamptz := coalesce(expire_orders.at, now());
	most CONSTANT integer := 10000;
	due record;
	n integer := 0;
BEGIN
	IF NOT isfinite(instant) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "at" must be a finite instant',
			HINT = 'Leave it out for now().';
	END IF;
	FOR due IN
		SELECT o.id, o.status = 'payment_pending' AND s.payment_state IS NOT NULL AS ask
		FROM incomplete_orders.shops s JOIN incomplete_orders.open_orders o USING (shop_id)
		WHERE s.shop_id = ANY (shop_ids) AND o.next_action_at <= instant AND o.expires_at <= instant
			AND (o.status <> 'payment_pending' OR o.payment_deadline IS NULL OR o.payment_deadline <= instant)
		LIMIT most + 1
	LOOP
		n := n + 1;
		IF n > most THEN
			RAISE NOTICE 'more than % orders are past their deadline: the others are left for the next call', most;
			EXIT;
		END IF;
		id := due.id;
		reason := NULL;
		IF due.ask THEN
			result := 'skipped';
			reason := 'the shop''s payment_state is asked first: tick does';
		ELSE
			result := incomplete_orders._expire_order(due.id, instant, dry_run IS NOT FALSE)::text;
			CONTINUE WHEN result IS NULL;
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
ALTER FUNCTION incomplete_orders.expire_orders(boolean, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.expire_orders(boolean, timestamptz) IS
	'Closes as expired what is past its deadline at `at`, as tick does by itself, in the caller''s shops and in one transaction; at most 10000 orders. A payment on its way is not touched before its deadline. dry_run changes nothing. 22023';

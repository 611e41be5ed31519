-- Capture beside capture_cart(): batches, checkout forms, departures, errors,
-- identities.

CREATE FUNCTION incomplete_orders.capture_carts(carts jsonb, shop text DEFAULT NULL, at timestamptz DEFAULT now())
RETURNS TABLE (n integer, id uuid, error text)
LANGUAGE c SECURITY DEFINER ROWS 10 AS 'MODULE_PATHNAME', 'ico_capture_carts';
ALTER FUNCTION incomplete_orders.capture_carts OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.capture_carts IS
	'Captures up to 1000 carts: an array of objects whose keys are the arguments of capture_cart(). "backfill": true says of a cart that it only repeats what the shop has, and its customer did nothing: whoever was forgotten stays so, whenever that was. One row per cart, n is its place from 1; a bad cart has the error''s message and does not stop the others';

CREATE FUNCTION incomplete_orders.capture_page_cart(session_id text, cart jsonb, user_agent text DEFAULT NULL, shop text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS jsonb
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_capture_page_cart';
ALTER FUNCTION incomplete_orders.capture_page_cart OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.capture_page_cart IS
	'A capture of what a shop''s page says, which anybody can: {"items", "currency", "step", "coupon_code", "email", "phone", "name", "address", "shipping", "tax", "discount", "coupon_discount", "context", "consent"}, as in capture_cart(). By the setting page_prices lines are refused (IC017), or taken at the price of availability(), without those that it does not know, or at any that is said, which alone takes charges, too; links and pictures outside of allowed_origins are left out; email, phone, name and address are left out without {"consent": {"status": "granted"}}, unless consent_rule is none. user_agent goes into a context that is given. Returns {"id", "left_out": keys that were not taken}. 22023';

CREATE FUNCTION incomplete_orders.save_checkout(session_id text, form jsonb, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_save_checkout';
ALTER FUNCTION incomplete_orders.save_checkout OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.save_checkout IS
	'Keeps a half-filled checkout form with the open order of that session; without one it begins an order with an empty cart. Fields: email, phone, full_name (its last word is the last name), first_name, last_name, company, address_line_1, address_line_2, city, state, postal_code, country, delivery_instructions, coupon_code, notes, and address, an object of the same. An empty field leaves what is stored; any other field, or one that cannot be stored, is left out with a NOTICE. The lines stay. Returns the id';

CREATE FUNCTION incomplete_orders.track_abandonment(session_id text, stage text DEFAULT 'cart', reason text DEFAULT NULL,
	shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_track_abandonment';
ALTER FUNCTION incomplete_orders.track_abandonment OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.track_abandonment IS
	'The customer left: at the stage cart, checkout, shipping or payment, or by session_timeout or browser_close. Notes how far the customer came, and the reason; the cut-off alone makes an order abandoned. Leaving is an act of the customer, session_timeout is not. Once in the history per stage and episode. Returns the id, or null when the session has no open order';

-- Looking at pages says nothing of the cart: a tab that is left open must not keep it from being abandoned.
CREATE FUNCTION incomplete_orders.track_engagement(session_id text, views integer DEFAULT 1, seconds integer DEFAULT NULL, scroll integer DEFAULT NULL,
	shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	own_id integer := incomplete_orders._enter_shop('track_engagement', track_engagement.shop, track_engagement.at);
	most CONSTANT integer := 1000000;
	found_id uuid;
BEGIN
	IF track_engagement.session_id IS NULL OR octet_length(track_engagement.session_id) NOT BETWEEN 1 AND 255 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "session_id" must not be null or empty',
			HINT = 'It has 1 to 255 bytes and no control characters.';
	END IF;
	IF views NOT BETWEEN 0 AND 1000 OR seconds NOT BETWEEN 0 AND 86400 OR scroll NOT BETWEEN 0 AND 100 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('argument "%s" is out of range', CASE WHEN views NOT BETWEEN 0 AND 1000 THEN 'views' WHEN seconds NOT BETWEEN 0 AND 86400 THEN 'seconds' ELSE 'scroll' END),
			DETAIL = 'views: 0 to 1000, seconds: 0 to 86400, scroll: 0 to 100 percent.';
	END IF;
	UPDATE incomplete_orders.open_orders o SET version = o.version + 1,
		context = coalesce(o.context, '{}') || jsonb_build_object('engagement', jsonb_build_object(
			'views', least(e.views + coalesce(track_engagement.views, 0), most),
			'seconds', least(e.seconds + coalesce(track_engagement.seconds, 0), most),
			'scroll', greatest(e.scroll, coalesce(track_engagement.scroll, 0))))
	-- what somebody else stored under that name need not be ours
	FROM incomplete_orders.open_orders f, LATERAL (SELECT
		CASE WHEN f.context #>> '{engagement,views}' ~ '^[0-9]{1,7}$' THEN (f.context #>> '{engagement,views}')::integer ELSE 0 END AS views,
		CASE WHEN f.context #>> '{engagement,seconds}' ~ '^[0-9]{1,7}$' THEN (f.context #>> '{engagement,seconds}')::integer ELSE 0 END AS seconds,
		CASE WHEN f.context #>> '{engagement,scroll}' ~ '^[0-9]{1,3}$' THEN (f.context #>> '{engagement,scroll}')::integer ELSE 0 END AS scroll) e
	WHERE o.shop_id = own_id AND o.session_id = track_engagement.session_id AND f.shop_id = own_id AND f.id = o.id
	RETURNING o.id INTO found_id;
	RETURN found_id;
END
$$;
ALTER FUNCTION incomplete_orders.track_engagement(text, integer, integer, integer, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.track_engagement(text, integer, integer, integer, text, timestamptz) IS
	'How much a customer looks at the shop: views and seconds are added to context.engagement of the session''s open order, of scroll (percent) the furthest is kept. It is no activity: it neither puts off nor ends an abandonment. Returns the id, or null when the session has no open order. 22023';

CREATE FUNCTION incomplete_orders.record_checkout_error(id uuid, error_kind text, reason text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS incomplete_orders.order_status
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_record_checkout_error';
ALTER FUNCTION incomplete_orders.record_checkout_error OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.record_checkout_error IS
	'Something went wrong in the checkout: payment_failed, inventory_error, shipping_error, validation_error or general. payment_failed does what mark_payment_failed() does (IC004 when it cannot); the others change no state. The reason is kept as a note. Returns the state. IC003';

CREATE FUNCTION incomplete_orders.identify_cart(session_id text, customer_id text DEFAULT NULL, email text DEFAULT NULL,
	shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_identify_cart';
ALTER FUNCTION incomplete_orders.identify_cart OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.identify_cart IS
	'Who the customer of that session is: one of customer_id and email, or both. Returns the id, or null when the session has no open order';

CREATE FUNCTION incomplete_orders.merge_carts(from_session text, into_session text, strategy text DEFAULT 'keep_both',
	shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_merge_carts';
ALTER FUNCTION incomplete_orders.merge_carts OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.merge_carts IS
	'Merges the open order of one session into that of another, as when a customer logs in. keep_both adds up the lines of both, keep_latest keeps those of the one with the later activity; what was ordered already stays. Facts that the second lacks are taken from the first, unless they are of different customers. The first is closed as deleted, close_reason merged. If only the first has an order, that becomes the second''s. Returns the id of what remains, or null. IC004 when the first has a payment in flight';

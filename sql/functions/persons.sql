-- Persons by keyed hashes, and who may not be mailed.

CREATE FUNCTION incomplete_orders._person_keys(shop_id integer, customer_id text, email text, phone text) RETURNS bigint[]
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_person_keys_sql';
ALTER FUNCTION incomplete_orders._person_keys(integer, text, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._person_keys(integer, text, text, text) IS
	'Keyed hashes by which a person is found again: of the customer, of the address in lower case, of the digits of the phone; without those that are null or empty';

CREATE FUNCTION incomplete_orders._draw(shop_id integer, purpose text, email text) RETURNS double precision
LANGUAGE c STABLE STRICT SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_draw';
ALTER FUNCTION incomplete_orders._draw(integer, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._draw(integer, text, text) IS
	'A number between 0 and 1, as if by chance, that is always the same for a purpose and an address; nobody can compute it without our key';

CREATE FUNCTION incomplete_orders.suppress(email text, reason text DEFAULT 'suppressed', shop text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_suppress_sql';
ALTER FUNCTION incomplete_orders.suppress OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.suppress IS
	'No recovery message goes to that address any more, and what waits for it is cancelled. Reasons, from the weakest: suppressed, hard_bounce, unsubscribed, not_me, complaint, erased; a weaker one leaves a stronger one. Only a keyed hash of the address is kept. False when it was suppressed already';

CREATE FUNCTION incomplete_orders.unsuppress(email text, shop text DEFAULT NULL) RETURNS boolean
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_unsuppress';
ALTER FUNCTION incomplete_orders.unsuppress OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.unsuppress IS
	'That address may be mailed again, whatever the reason was; cancelled messages stay cancelled. False when it was not suppressed';

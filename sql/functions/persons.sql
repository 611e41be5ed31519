-- Persons by keyed hashes, and who may not be mailed.

CREATE FUNCTION incomplete_orders._person_keys(shop_id integer, customer_id text, email text, phone text) RETURNS bigint[]
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_person_keys_sql';
ALTER FUNCTION incomplete_orders._person_keys(integer, text, text, text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._person_keys(integer, text, text, text) IS
	'Keyed hashes by which a person is found again: of the customer, of the address in lower case, of the digits of the phone; without those that are null or empty';

-- What people are told of the settings of a shop, so that a page of staff can be made of
-- it: what each is for, what kind of value it takes, what it is and was at first.

-- In the order in which they are shown.  A setting that is not told of here is shown, too, as
-- far as its type tells.  parts: of an object with known keys, as name, kind, meaning.
CREATE FUNCTION incomplete_orders._setting_meanings() RETURNS TABLE (setting text, label text, section text, kind text, choices text[], parts text[], meaning text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
		('name', 'Name', 'Shop', 'text', '{}'::text[], '{}'::text[], 'What customers and staff read: in mails and on pages.'),
		('currency', 'Currency', 'Shop', 'currency', '{}', '{}', 'The currency of carts that name none, as three letters. Carts that are there keep theirs.'),
		('time_zone', 'Time zone', 'Shop', 'zone', '{}', '{}', 'Days of reports and quiet hours are meant in it.'),
		('locale', 'Language', 'Shop', 'locale', '{}', '{}', 'The language of mails for persons whose own is not known.'),
		('cut_off', 'Cut-off', 'Abandonment and expiry', 'span', '{}', '{}', 'After so long without activity a cart is abandoned, and its campaign begins.'),
		('attribution_window', 'Attribution window', 'Abandonment and expiry', 'span', '{}', '{}', 'Who pays within this time after a click has been recovered by the message.'),
		('expiry', 'Expiry', 'Abandonment and expiry', 'span', '{}', '{}', 'An incomplete order that is not continued ends after this time.'),
		('from_email', 'Sender', 'Mails', 'email', '{}', '{}', 'The sender of mails. Without it they leave only where the sending program has an address of its own.'),
		('reply_to', 'Answers go to', 'Mails', 'email', '{}', '{}', 'Where answers go; empty: to the sender.'),
		('postal_address', 'Postal address', 'Mails', 'lines', '{}', '{}', 'Stands below each mail. Many countries want it there.'),
		('logo_url', 'Logo', 'Mails', 'url', '{}', '{}', 'A picture above each mail.'),
		('colour', 'Colour', 'Mails', 'colour', '{}', '{}', 'Of buttons and links in mails and on the cart page.'),
		('words', 'Small words', 'Mails', 'object', '{}', '{}', 'Small words around the texts of mails, by language: total, more, one_more, was, unavailable, reference, link, unsubscribe, not_me, from, until.'),
		('min_gap', 'Time between two messages', 'Who gets mail, and when', 'span', '{}', '{}', 'So long at least lies between two messages to one person.'),
		('cap_per_episode', 'Messages for one abandonment', 'Who gets mail, and when', 'integer', '{}', '{}', 'At most so many messages for one abandonment; 0 sends nothing.'),
		('cap_per_person', 'Messages to one person', 'Who gets mail, and when', 'integer', '{}', '{}', 'At most so many messages to one person within 30 days; 0 sends nothing.'),
		('quiet_from', 'Quiet hours from', 'Who gets mail, and when', 'time', '{}', '{}', 'From this time on nothing is sent, in the person''s time zone where it is known, else in the shop''s.'),
		('quiet_to', 'Quiet hours until', 'Who gets mail, and when', 'time', '{}', '{}', 'Until this time nothing is sent. The same as the beginning: there are no quiet hours.'),
		('holdout', 'Holdout', 'Who gets mail, and when', 'share', '{}', '{}', 'This share of persons, chosen by chance, gets no messages, so that their effect can be measured.'),
		('exclusions', 'Exclusions', 'Who gets mail, and when', 'object', '{}', ARRAY[
			'minimum_value', 'number', 'Carts below this value are not mailed',
			'products', 'list', 'Products left out of mails: sku or product id',
			'domains', 'list', 'Mail domains that are not mailed, with those below them',
			'customers', 'list', 'Customers who are not mailed',
			'addresses', 'list', 'Addresses that are not mailed',
			'bots', 'switch', 'Bots get nothing, not even what is sent by hand'], 'What and who is left out of the campaigns.'),
		('consent_rule', 'Consent rule', 'Consent', 'choice', '{strict,none}', '{}', 'strict: only who agreed is mailed. none: everybody is, so your program must capture only the addresses to which you may write.'),
		('base_url', 'Address of the links', 'Links', 'url', '{}', '{}', 'Where the links in mails lead: the address at which the serving program is reached. Without it mails leave only where the sending program has one.'),
		('restore_url', 'Page that opens a cart again', 'Links', 'url', '{}', '{}', 'The page of the shop that opens a cart again; {token} or {id} in it is replaced. Without it the page of the mail shows the cart.'),
		('image_hosts', 'Image hosts', 'Links', 'list', '{}', '{}', 'From these hosts the admin''s pages show pictures, as https://images.shop.example or https://*.shop.example; from that of logo_url they do anyway.'),
		('publishable_key', 'Publishable key', 'Pages of the shop', 'key', '{}', '{}', 'By this key the shop''s pages are known. It is no secret: who has it can write the cart of a session that they know, and nothing else.'),
		('allowed_origins', 'Allowed origins', 'Pages of the shop', 'list', '{}', '{}', 'Pages of these origins may send carts, as https://shop.example; links and pictures of their lines are kept only from there.'),
		('page_prices', 'Prices from pages', 'Pages of the shop', 'choice', '{refuse,check,accept}', '{}', 'A page can say any price. refuse: pages may not send lines, only your program may. check: each line gets the price that the availability function says. accept: what the page says is believed.'),
		('availability', 'Availability', 'Functions of the shop', 'function', '{}', '{}', 'schema.function(text[]) that returns sku, available and unit_price: what can still be sold. It is called with the rights of the role that names it.'),
		('payment_state', 'State of a payment', 'Functions of the shop', 'function', '{}', '{}', 'schema.function(text) that returns the state of a payment, asked before an unpaid order is given up. It is called with the rights of the role that names it.'),
		('retention', 'Retention', 'Keeping and forgetting', 'span', '{}', '{}', 'Incomplete orders that ended longer ago are deleted, once a day. What was bought stays.')
$$;
COMMENT ON FUNCTION incomplete_orders._setting_meanings() IS 'What the settings of a shop are for, in the order in which they are shown';

CREATE FUNCTION incomplete_orders.list_settings(shop text DEFAULT NULL)
RETURNS TABLE (setting text, label text, section text, kind text, choices text[], parts jsonb, meaning text, value jsonb, default_value jsonb, note text)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 30 SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
	own_id CONSTANT integer := incomplete_orders._enter_shop('list_settings', shop, NULL);
	defaults jsonb;
	query text;
	own record;
BEGIN
	-- as they stand in the table's definition
	SELECT format('SELECT jsonb_build_object(%s)', string_agg(format('%L, %s', t.setting, coalesce(pg_get_expr(d.adbin, d.adrelid), 'NULL')), ', ')) INTO query
	FROM incomplete_orders._setting_types() t
	JOIN pg_attribute a ON a.attrelid = 'incomplete_orders.shops'::regclass AND a.attname = t.setting
	LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum;
	EXECUTE query INTO defaults;
	SELECT s.*, to_jsonb(s) AS settings INTO own FROM incomplete_orders.shops s WHERE s.shop_id = own_id;
	RETURN QUERY SELECT t.setting, coalesce(m.label, initcap(replace(t.setting, '_', ' '))), coalesce(m.section, 'Other'),
		coalesce(m.kind, CASE WHEN t.sql = 'interval' THEN 'span' WHEN t.sql IN ('time', 'integer') THEN t.sql WHEN t.json = 'array' THEN 'list'
			WHEN t.json = 'string' THEN 'text' ELSE t.json END),
		coalesce(m.choices, '{}'),
		(SELECT coalesce(jsonb_agg(jsonb_build_object('name', m.parts[i], 'kind', m.parts[i + 1], 'meaning', m.parts[i + 2]) ORDER BY i), '[]')
			FROM generate_series(1, cardinality(m.parts), 3) i),
		coalesce(m.meaning, ''), own.settings -> t.setting, defaults -> t.setting,
		CASE t.setting WHEN 'publishable_key' THEN CASE WHEN own.former_key_until > now()
				THEN format('The key before it is good until %s UTC.', to_char(own.former_key_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) END
			WHEN 'availability' THEN 'Called as role "' || own.availability_role || '".'
			WHEN 'payment_state' THEN 'Called as role "' || own.payment_state_role || '".' END
	FROM incomplete_orders._setting_types() WITH ORDINALITY t (setting, json, sql, n)
	LEFT JOIN incomplete_orders._setting_meanings() WITH ORDINALITY m (setting, label, section, kind, choices, parts, meaning, n) ON m.setting = t.setting
	ORDER BY m.n NULLS LAST, t.n;
END
$$;
ALTER FUNCTION incomplete_orders.list_settings(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_settings(text) IS
	'The settings of a shop as configure_shop() takes them, each with what it is for, what kind of value it takes (span: an interval; share: from 0 to 1; lines: text of several lines; list: array of texts; choice: one of choices; object: with the keys of parts, if they are known), and its default. IC002';

-- Settings: every one is checked in one place, whoever writes it.
\set VERBOSITY terse
SELECT incomplete_orders.create_shop('set', 'Settings') > 0 AS made;
SELECT key, value FROM jsonb_each(incomplete_orders.shop_settings('set')) ORDER BY key COLLATE "C";

-- Each key can be set and comes back; null brings back the default; what is not named stays.
CREATE TEMP TABLE good (settings jsonb);
INSERT INTO good VALUES ('{
	"name": "Café <& Söhne>", "currency": "JPY", "time_zone": "Asia/Tokyo", "locale": "de-AT", "words": {"fr": {"total": "Total", "more": "et %s autres"}, "pt-BR": {}}, "base_url": "https://shop.example:8443/a?b=c#d",
	"restore_url": "https://shop.example/cart?t={token}&o={id}", "from_email": "orders+x@shop.example", "reply_to": "Zoë@exämple.de",
	"postal_address": "1 Road\nTown", "logo_url": "http://[2001:db8::1]/logo.png", "colour": "#1A7f37", "cut_off": "00:10:00",
	"expiry": "1 mon", "retention": "2 years", "attribution_window": "00:00:00", "min_gap": "1 day", "cap_per_episode": 0,
	"cap_per_person": 2147483647, "quiet_from": "23:59:59", "quiet_to": "00:00:00", "holdout": 0.125, "consent_rule": "none",
	"exclusions": {"minimum_value": 5.5, "products": ["A-1"], "domains": ["example.com"], "customers": [], "addresses": ["a@example.com"], "bots": true},
	"availability": null, "payment_state": null, "allowed_origins": ["https://shop.example", "http://localhost:3000", "capacitor://localhost"], "image_hosts": ["https://images.shop.example", "https://*.cdn.example:8443"],
	"page_prices": "accept", "publishable_key": null}');
SELECT incomplete_orders.configure_shop('set', settings) FROM good;
SELECT incomplete_orders.shop_settings('set') = settings AS the_same FROM good;
SELECT incomplete_orders.configure_shop('set', '{"currency": "CHF"}');
SELECT incomplete_orders.shop_settings('set') - 'currency' = settings - 'currency' AS others_stayed FROM good;
SELECT incomplete_orders.configure_shop('set', incomplete_orders.shop_settings('set'));
SELECT incomplete_orders.configure_shop('set', '{}');
SELECT incomplete_orders.configure_shop('set', jsonb_object_agg(key, NULL) - 'name') FROM jsonb_object_keys((SELECT settings FROM good)) key;
SELECT incomplete_orders.shop_settings('set') - 'name' = incomplete_orders.shop_settings('default') - 'name' AS defaults_again;

-- Every bad value: the state, the setting's name and a hint, and nothing changed.
CREATE TEMP TABLE bad (n integer GENERATED ALWAYS AS IDENTITY, settings jsonb);
INSERT INTO bad (settings)
SELECT jsonb_build_object(key, value::jsonb) FROM (VALUES
	('name', 'null'), ('name', '""'), ('name', '1'), ('name', '"a\tb"'), ('name', to_json(repeat('x', 201))::text),
	('currency', '"eur"'), ('currency', '"EURO"'), ('currency', '"ÄÖÜ"'), ('currency', '["EUR"]'),
	('time_zone', '"Mars/Olympus"'), ('time_zone', '""'), ('time_zone', '"UTC+3"'), ('time_zone', '"../etc/passwd"'),
	('locale', '"german, please"'), ('locale', '""'), ('locale', '"de-"'), ('locale', '1'),
	('base_url', '"ftp://a.example/"'), ('base_url', '"javascript:alert(1)"'), ('base_url', '"https://"'), ('base_url', '"https:///x"'),
	('base_url', '"https://a b/"'), ('base_url', '"https://a.example/\""'), ('base_url', '"https://a.example/<x>"'),
	('base_url', '"https://a.example/\r\nX: y"'), ('base_url', '"https://user:secret@a.example/"'), ('base_url', '"https://a.example:port/"'),
	('base_url', '"https://a.example/{token}"'), ('base_url', '"//a.example/"'), ('base_url', to_json('https://a.example/' || repeat('x', 2048))::text),
	('logo_url', '"data:image/png;base64,AA"'), ('logo_url', '"https://a.example/''x''"'), ('logo_url', 'true'),
	('restore_url', '"https://a.example/cart"'), ('restore_url', '"https://{token}.example/"'), ('restore_url', '"https://a.example/{tok}"'),
	('restore_url', '"https://a.example/{token}{x}"'), ('restore_url', '"{token}"'), ('restore_url', '"https://a.example{id}"'),
	('from_email', '"Shop <a@b.example>"'), ('from_email', '"a@b.example, c@d.example"'), ('from_email', '"a@b@c"'), ('from_email', '"a"'),
	('from_email', '"@b"'), ('from_email', '"a@b\nBcc: c@d"'), ('from_email', '"\"a b\"@c"'), ('reply_to', '"a b@c"'), ('reply_to', '""'),
	('reply_to', to_json(repeat('x', 250) || '@b.example')::text),
	('postal_address', '""'), ('postal_address', '"a\u0007b"'), ('colour', '"red"'), ('colour', '"#12345"'), ('colour', '"#1234567"'),
	('cut_off', '"9 minutes 59 seconds"'), ('cut_off', '"1 mon"'), ('cut_off', '"-1 hour"'), ('cut_off', '"31 days"'), ('cut_off', '"30 days"'),
	('cut_off', '60'), ('cut_off', '"soon"'), ('cut_off', '""'), ('cut_off', '"2000000000 years"'),
	('expiry', '"59 minutes"'), ('expiry', '"101 years"'), ('expiry', '"0"'), ('retention', '"23 hours"'), ('retention', '"-1 day"'),
	('attribution_window', '"-1 second"'), ('min_gap', '"-1 second"'), ('cap_per_episode', '-1'), ('cap_per_episode', '1.5'),
	('cap_per_episode', '2147483648'), ('cap_per_episode', '"3"'), ('cap_per_person', '-1'), ('cap_per_person', '1e400'),
	('quiet_from', '"25:00"'), ('quiet_from', '21'), ('quiet_to', '"noon"'), ('holdout', '1.01'), ('holdout', '-0.1'), ('holdout', '"NaN"'),
	('consent_rule', '"lax"'), ('consent_rule', 'false'), ('exclusions', '[]'), ('exclusions', '"x"'), ('exclusions', '{"colour": 1}'),
	('exclusions', '{"minimum_value": -1}'), ('exclusions', '{"minimum_value": "5"}'), ('exclusions', '{"products": "A"}'),
	('exclusions', '{"products": ["A", 1]}'), ('exclusions', '{"domains": [""]}'), ('exclusions', '{"customers": {}}'),
	('exclusions', '{"addresses": null}'), ('exclusions', '{"bots": 1}'),
	('exclusions', jsonb_build_object('products', jsonb_build_array(repeat('x', 262144)))::text),
	('availability', '"no_schema"'), ('availability', '"no.such"'), ('availability', '"a.b.c"'), ('availability', '"x; DROP TABLE y"'),
	('availability', '"pg_catalog.now"'), ('payment_state', '""'), ('payment_state', '"pg_catalog.length"'), ('payment_state', '5'),
	('words', '[]'), ('words', '{"french": []}'), ('words', '{"fr": "Total"}'), ('words', '{"f r": {}}'), ('words', '{"de-AT": {}, "de_at": {}}'), ('words', '{"fr": {"totals": "x"}}'),
	('words', '{"fr": {"total": 1}}'), ('words', '{"fr": {"total": ""}}'), ('words', '{"fr": {"total": "a\nb"}}'), ('words', '{"fr": {"more": "et autres"}}'), ('words', '{"fr": {"more": "%s %s"}}'),
	('words', '{"fr": {"was": "%n"}}'),
	('page_prices', '"trust"'), ('page_prices', 'true'), ('publishable_key', '"pk_x"'), ('publishable_key', '1'),
	('image_hosts', '"https://a.example"'), ('image_hosts', '[null]'), ('image_hosts', '["*"]'), ('image_hosts', '["https://*"]'), ('image_hosts', '["http://a.example"]'),
	('image_hosts', '["https://a.example/"]'), ('image_hosts', '["https://a.example; script-src *"]'), ('image_hosts', '["https://a.example https://b.example"]'),
	('image_hosts', '["https://a.example,"]'), ('image_hosts', '["''self''"]'), ('image_hosts', '["https://a.example\n"]'), ('image_hosts', '[["https://a.example"]]'),
	('image_hosts', (SELECT jsonb_agg('https://a.example'::text) FROM generate_series(1, 21))::text),
	('allowed_origins', '"https://a.example"'), ('allowed_origins', '[1]'), ('allowed_origins', '[null]'), ('allowed_origins', '["*"]'),
	('allowed_origins', '["https://a.example/"]'), ('allowed_origins', '["https://u@a.example"]'), ('allowed_origins', '["null"]'),
	('allowed_origins', '["https://a.example\r\nx"]'), ('allowed_origins', '[["https://a.example"]]'),
	('allowed_origins', (SELECT jsonb_agg('https://a.example'::text) FROM generate_series(1, 101))::text),
	('shop', '"other"'), ('shop_id', '7'), ('availability_role', '"postgres"'), ('created_at', 'null'), ('', '1')
) v (key, value);
SELECT count(*) AS bad_settings FROM bad;
CREATE FUNCTION pg_temp.refusal(settings jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM incomplete_orders.configure_shop('set', settings);
	RETURN 'stored';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' ', SQLSTATE, message, CASE WHEN detail = '' THEN '(no detail)' END, CASE WHEN hint = '' THEN '(no hint)' END);
END
$$;
SELECT string_agg(left(settings::text, 60), E'\n' ORDER BY n) AS refused, answer
FROM (SELECT *, pg_temp.refusal(settings) AS answer FROM bad) b GROUP BY answer ORDER BY min(n);
SELECT incomplete_orders.configure_shop('set', '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.configure_shop('set', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT incomplete_orders.shop_settings('set') - 'name' = incomplete_orders.shop_settings('default') - 'name' AS unchanged;
-- The same check stands behind a direct write.
UPDATE incomplete_orders.shops SET cut_off = '1 minute' WHERE shop = 'set';
\echo :LAST_ERROR_SQLSTATE
UPDATE incomplete_orders.shops SET holdout = 'NaN' WHERE shop = 'set';
UPDATE incomplete_orders.shops SET allowed_origins = '{{https://a.example},{https://b.example}}' WHERE shop = 'set';
-- All or nothing: the first key is good.
SELECT incomplete_orders.configure_shop('set', '{"colour": "#000000", "holdout": 2}');
SELECT incomplete_orders.shop_settings('set') -> 'colour' AS colour;

-- What is said holds in a session with other settings too.
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET intervalstyle = 'sql_standard';
SELECT incomplete_orders.configure_shop('set', '{"base_url": "https://a.example/<"}');
SELECT incomplete_orders.configure_shop('set', '{"cut_off": "2 days", "base_url": "https://a.example/"}');
RESET standard_conforming_strings;
RESET escape_string_warning;
RESET intervalstyle;
SELECT incomplete_orders.shop_settings('set') -> 'cut_off' AS cut_off, incomplete_orders.shop_settings('set') -> 'base_url' AS base_url;

-- A capture uses the new currency and cut-off at once, in the same session and transaction; a shorter
-- cut-off counts for the carts that are there.
BEGIN;
SELECT incomplete_orders.capture_cart('set-1', '[{"sku":"A","quantity":1,"unit_price":"2"}]', shop => 'set') IS NOT NULL AS captured;
SELECT incomplete_orders.configure_shop('set', '{"currency": "SEK", "cut_off": "20 minutes"}');
SELECT incomplete_orders.capture_cart('set-2', '[{"sku":"A","quantity":1,"unit_price":"2"}]', shop => 'set') IS NOT NULL AS captured;
SELECT session_id, currency, next_action_at - created_at AS next_look FROM incomplete_orders.open_orders WHERE session_id LIKE 'set-_' ORDER BY 1;
ROLLBACK;

-- Hooks: an exact signature, and the right of the role that names it, which is remembered.
CREATE ROLE regress_set_admin;
CREATE ROLE regress_set_second;
SELECT incomplete_orders.grant_to('regress_set_admin', 'admin', 'set');
SELECT incomplete_orders.grant_to('regress_set_second', 'admin', 'set');
CREATE SCHEMA "Hooks";
CREATE FUNCTION "Hooks".stock(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric)
LANGUAGE sql AS $$ SELECT s, 1, 2.5 FROM unnest(skus) s $$;
CREATE FUNCTION "Hooks".no_table(skus text[]) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
CREATE FUNCTION "Hooks".one_row(skus text[], OUT sku text, OUT available integer, OUT unit_price numeric) LANGUAGE sql AS $$ SELECT 'x', 1, 1.0 $$;
CREATE FUNCTION "Hooks".bigger(skus text[]) RETURNS TABLE (sku text, available bigint, unit_price numeric) LANGUAGE sql AS $$ SELECT 'x', 1::bigint, 1.0 $$;
CREATE FUNCTION "Hooks".state(reference text) RETURNS text LANGUAGE sql AS $$ SELECT 'paid' $$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "Hooks" FROM PUBLIC;
SET ROLE regress_set_admin;
SELECT incomplete_orders.configure_shop('set', '{"availability": "\"Hooks\".stock"}');
RESET ROLE;
GRANT USAGE ON SCHEMA "Hooks" TO regress_set_admin, regress_set_second;
SET ROLE regress_set_admin;
SELECT incomplete_orders.configure_shop('set', '{"availability": "\"Hooks\".stock"}');
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA "Hooks" TO regress_set_admin;
SET ROLE regress_set_admin;
SELECT incomplete_orders.configure_shop('set', '{"availability": "hooks.stock"}');
SELECT incomplete_orders.configure_shop('set', '{"availability": "\"Hooks\".no_table"}');
SELECT incomplete_orders.configure_shop('set', '{"availability": "\"Hooks\".one_row"}');
SELECT incomplete_orders.configure_shop('set', '{"availability": "\"Hooks\".bigger"}');
SELECT incomplete_orders.configure_shop('set', '{"payment_state": "\"Hooks\".stock"}');
SELECT incomplete_orders.configure_shop('set', '{"availability": "\"Hooks\" . stock", "payment_state": "\"Hooks\".state"}');
RESET ROLE;
SELECT availability, availability_role, payment_state, payment_state_role FROM incomplete_orders.shops WHERE shop = 'set';
-- Another admin: other settings leave the role, another function needs a right of one's own, the same function stays with its role.
SET ROLE regress_set_second;
SELECT incomplete_orders.configure_shop('set', '{"colour": "#ffffff"}');
SELECT incomplete_orders.configure_shop('set', incomplete_orders.shop_settings('set'));
SELECT incomplete_orders.configure_shop('set', '{"availability": null}');
SELECT incomplete_orders.configure_shop('set', '{"availability": "\"Hooks\".stock"}');
RESET ROLE;
SELECT availability, availability_role, payment_state, payment_state_role FROM incomplete_orders.shops WHERE shop = 'set';
-- The role is dropped: who names the function again takes it over.
SELECT incomplete_orders.revoke_from('regress_set_admin', 'admin');
DROP OWNED BY regress_set_admin;
DROP ROLE regress_set_admin;
SELECT incomplete_orders.configure_shop('set', '{"colour": "#eeeeee"}');
SELECT incomplete_orders.configure_shop('set', '{"payment_state": "\"Hooks\".state"}');
SELECT payment_state, payment_state_role = current_user AS mine FROM incomplete_orders.shops WHERE shop = 'set';
-- Staff are told of each what it is for, and its value and default as configure_shop() takes them.
SELECT count(*) FILTER (WHERE meaning = '' OR section = 'Other') AS untold, jsonb_object_agg(setting, value) = incomplete_orders.shop_settings('set') AS whole
FROM incomplete_orders.list_settings('set');
SELECT setting, kind, value, default_value, note = format('Called as role "%s".', current_user) AS noted FROM incomplete_orders.list_settings('set') WHERE setting IN ('cut_off', 'colour', 'allowed_origins', 'holdout', 'payment_state');
SELECT setting, p ->> 'name' AS part, p ->> 'kind' AS kind FROM incomplete_orders.list_settings('set'), jsonb_array_elements(parts) p;
SELECT incomplete_orders.configure_shop('set', (SELECT jsonb_object_agg(setting, default_value) FROM incomplete_orders.list_settings('set') WHERE setting <> 'name'));
SELECT setting FROM incomplete_orders.list_settings('set') WHERE value IS DISTINCT FROM default_value;
SELECT count(*) AS deleted FROM incomplete_orders.delete_shop('set', false);
DROP OWNED BY regress_set_second;
DROP ROLE regress_set_second;
SET client_min_messages = warning;
DROP SCHEMA "Hooks" CASCADE;

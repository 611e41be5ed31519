-- Texts of recovery messages: defaults, a shop's own, what is refused, previews.
SET TIME ZONE 'UTC';
-- What a call says when it is refused; the position is in the detail.
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	code := 'accepted';
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN NEXT;
END
$$;
CREATE FUNCTION pg_temp.saving(field text, source text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE sql AS $$
	SELECT * FROM pg_temp.refusal(format('SELECT incomplete_orders.save_template(''cart_offer'', ''en'', %L)', jsonb_build_object(field, source)))
$$;
SELECT incomplete_orders.create_shop('t-other', 'Other') > 0 AS made;

-- the defaults: each text in each language, and each of them could be saved as it is
SELECT t.template, array_agg(t.locale ORDER BY t.locale) AS locales, bool_or(t.own) AS own, t.steps
FROM incomplete_orders.list_templates('default') t GROUP BY t.template, t.steps ORDER BY t.template;
SELECT count(*) AS fields, count(*) FILTER (WHERE f.value ~ '[{](ae|oe|ue|ss|Ae|Oe|Ue)[}]') AS letters_left
FROM incomplete_orders.list_templates('default') t CROSS JOIN LATERAL jsonb_each_text(to_jsonb(t)) f
CROSS JOIN LATERAL incomplete_orders._check_template(f.key, f.value)
WHERE f.key IN ('subject', 'preheader', 'headline', 'body', 'button', 'footer');
-- what one names the other names, too: nothing got lost in translation
SELECT e.template, e.key FROM
	(SELECT t.template, f.key, ARRAY(SELECT DISTINCT m[1] FROM regexp_matches(f.value, '{{([#^]?[a-z_]+)}}', 'g') m ORDER BY 1) AS names
	FROM incomplete_orders.list_templates('default') t CROSS JOIN LATERAL jsonb_each_text(to_jsonb(t)) f WHERE t.locale = 'en') e
JOIN (SELECT t.template, f.key, ARRAY(SELECT DISTINCT m[1] FROM regexp_matches(f.value, '{{([#^]?[a-z_]+)}}', 'g') m ORDER BY 1) AS names
	FROM incomplete_orders.list_templates('default') t CROSS JOIN LATERAL jsonb_each_text(to_jsonb(t)) f WHERE t.locale = 'de') d
	ON d.template = e.template AND d.key = e.key
WHERE e.names <> d.names;
SELECT t.subject, t.button FROM incomplete_orders.list_templates('default') t WHERE t.locale = 'de' AND t.template = 'cart_abandoned';
SELECT t.body, t.footer FROM incomplete_orders.list_templates('default') t WHERE t.locale = 'de' AND t.template = 'cart_final';
SELECT incomplete_orders._with_umlauts('{Ae}{oe}{ss} {{ue}} {ue}ber');

-- the variables: the one list
SELECT v.name, v.inside, v.kind, v.meaning FROM incomplete_orders.template_variables() v;
-- each example is what it says
SELECT v.name FROM incomplete_orders.template_variables() v
WHERE v.kind IN ('list', 'condition') AND (SELECT r.code FROM pg_temp.saving('body', 'x ' || v.example) r) <> 'accepted';
SELECT incomplete_orders.delete_template('cart_offer', 'en');

-- tags of languages
SELECT l, incomplete_orders._locale_tag(l) AS tag FROM unnest('{de,DE,de_AT,de-at,de_AT.UTF-8,de_DE@euro,zh_hans_cn,es-419,x,"",de-,-de,d1,"de at",abcdefghi,de-x_abcdefghi,C,"de\nAT"}'::text[]) l;

-- a shop's own text: the first save copies the default, later ones change what is given
SELECT incomplete_orders.save_template('cart_abandoned', 'de', '{"subject": "Dein Warenkorb bei {{shop_name}}"}', at => '2025-03-01');
SELECT t.shop, t.own, t.subject, t.button, t.changed_at FROM incomplete_orders.list_templates('*') t
WHERE t.template = 'cart_abandoned' AND t.locale = 'de' AND t.shop IN ('default', 't-other') ORDER BY t.shop;
SELECT incomplete_orders.save_template('cart_abandoned', 'de', '{"button": "Weiter", "preheader": ""}');
SELECT t.subject, t.button, t.preheader, t.headline FROM incomplete_orders.list_templates() t WHERE t.template = 'cart_abandoned' AND t.locale = 'de';
SELECT incomplete_orders.save_template('cart_abandoned', 'de', '{"button": null}');
SELECT t.subject, t.button FROM incomplete_orders.list_templates() t WHERE t.template = 'cart_abandoned' AND t.locale = 'de';
-- a country begins with the language's own text
SELECT incomplete_orders.save_template('cart_abandoned', 'de_at', '{"headline": "Servus!"}');
SELECT t.locale, t.subject, t.headline FROM incomplete_orders.list_templates() t WHERE t.template = 'cart_abandoned' AND t.own ORDER BY 1;
-- another language begins with nothing: half a text would be in two
SELECT * FROM pg_temp.refusal($$SELECT incomplete_orders.save_template('cart_abandoned', 'fr', '{"subject": "Votre panier", "body": "Bonjour"}')$$);
SELECT * FROM pg_temp.refusal($$SELECT incomplete_orders.save_template('cart_abandonned', 'en', '{"subject": "Your cart"}')$$);
SELECT incomplete_orders.save_template('cart_abandoned', 'fr', '{"subject": "Votre panier", "preheader": "", "headline": "Votre panier", "body": "Bonjour", "button": "Continuer", "footer": ""}');
-- a name of the shop's own
SELECT incomplete_orders.save_template('cart_vip', 'de', '{"subject": "Nur Sie", "preheader": "", "headline": "Nur Sie", "body": "Guten Tag", "button": "Weiter", "footer": ""}');

-- who reads what
SELECT l AS reader, p #>> '{message,locale}' AS locale, p #>> '{text,locale}' AS text, p #>> '{text,headline}' AS headline
FROM unnest('{de-AT,de_AT.utf8,de-CH,de,fr-CA,en-GB,it,??}'::text[]) l
CROSS JOIN LATERAL incomplete_orders.preview_message('cart_abandoned', incomplete_orders._locale_tag(l)) p;
-- part by part of the tag: zh-Hans-CN reads zh-Hans before zh, and begins a text of its own from it
SELECT count(incomplete_orders.save_template('cart_abandoned', l, jsonb_build_object('subject', l, 'preheader', '', 'headline', l, 'body', l, 'button', l, 'footer', '')))
FROM unnest('{zh,zh-Hans}'::text[]) l;
SELECT l AS reader, p #>> '{text,locale}' AS text FROM unnest('{zh-Hans-CN,zh-Hans,zh-Hant-TW,zh-CN,zh-x-hans,zha}'::text[]) l
CROSS JOIN LATERAL incomplete_orders.preview_message('cart_abandoned', l) p;
SELECT incomplete_orders.save_template('cart_abandoned', 'zh-Hans-CN', '{"button": "own"}');
SELECT p #>> '{text,headline}' AS headline, p #>> '{text,button}' AS button FROM incomplete_orders.preview_message('cart_abandoned', 'zh-Hans-CN') p;
SELECT bool_and(incomplete_orders.delete_template('cart_abandoned', l)) AS deleted FROM unnest('{zh-Hans-CN,zh-Hans,zh}'::text[]) l;
-- what a mail says around a text goes with that text: in its language, as its reader writes it
SELECT incomplete_orders.configure_shop('default', '{"words": {"fr": {"total": "Somme"}, "fr_ca": {"total": "Total (CA)"}, "de": {"total": "Gesamt"}, "it": {"total": "Totale"}}}');
SELECT l AS reader, p #>> '{text,locale}' AS text, p #> '{text,words}' AS words FROM unnest('{fr,fr-CA,fr-CH,de-AT,de,it,en}'::text[]) l
CROSS JOIN LATERAL incomplete_orders.preview_message('cart_abandoned', l) p;
SELECT incomplete_orders.configure_shop('default', '{"words": null}');
-- any text is better than none
SELECT p #>> '{text,subject}' AS subject FROM incomplete_orders.preview_message('cart_vip', 'en') p;
SELECT p #>> '{text,headline}' AS headline FROM incomplete_orders.preview_message('cart_abandoned', 'de-AT', shop => 't-other') p;

-- whose language is not known reads that of the shop, in its own way of writing it
SELECT incomplete_orders.configure_shop('t-other', '{"locale": "de_ch"}');
SELECT incomplete_orders.shop_settings('t-other') ->> 'locale' AS locale;
SELECT l AS reader, p #>> '{message,locale}' AS locale, p #>> '{text,locale}' AS text
FROM unnest('{NULL,it,en-GB}'::text[]) l CROSS JOIN LATERAL incomplete_orders.preview_message('cart_abandoned', l, shop => 't-other') p;

-- back to the default
SELECT incomplete_orders.delete_template('cart_abandoned', 'de-AT'), incomplete_orders.delete_template('cart_abandoned', 'de-AT') AS again;
SELECT p #>> '{text,headline}' AS headline FROM incomplete_orders.preview_message('cart_abandoned', 'de-AT') p;
SELECT incomplete_orders.delete_template('cart_abandoned', 'de', shop => 't-other') AS of_another_shop;
BEGIN;
UPDATE incomplete_orders.campaign_steps SET template = 'cart_vip' WHERE shop_id = 1 AND campaign = 'cart' AND step = 3;
SELECT * FROM pg_temp.refusal($$SELECT incomplete_orders.delete_template('cart_vip', 'de')$$);
SELECT steps FROM incomplete_orders.list_templates() WHERE template = 'cart_vip';
ROLLBACK;
SELECT incomplete_orders.delete_template('cart_vip', 'de'), incomplete_orders.delete_template('cart_abandoned', 'de'), incomplete_orders.delete_template('cart_abandoned', 'fr');
SELECT count(*) FROM incomplete_orders.templates t WHERE t.shop_id <> 0;

-- what is no template: field, line and column
SELECT s.source, r.* FROM (VALUES
	('body', 'Hello {{customer_name'), ('body', E'Hello,\n\nyour {{shop_name} is {{currency}}'), ('body', 'a {{{shop_name}} b'), ('body', '{{'), ('body', 'x {{}} y'),
	('body', 'x {{#items}}{{name}}'), ('body', E'x {{#items}}\n{{#variant}}\n{{/items}}{{/variant}}'), ('body', 'x {{/items}}'),
	('body', 'x {{=<% %>=}}'), ('body', 'x {{> footer}}'), ('body', E'\u00e4\u00f6\u00fc {{ \n> footer}}'),
	('body', 'Hello {{customer}}'), ('body', 'x {{name}}'), ('body', 'x {{^items}}{{name}}{{/items}}'), ('body', 'x {{items.name}}'), ('body', 'x {{.}}'),
	('body', 'x {{#items}}{{#items}}{{/items}}{{/items}}'), ('body', 'x {{items}}'), ('body', 'x {{one_day}}'),
	('body', 'x ' || repeat('{{#one_day}}', 9) || repeat('{{/one_day}}', 9)), ('subject', '{{discount_offer}}'), ('body', ' {{#items}}x{{/items}} {{! nothing }}'),
	('subject', E'two\nlines'), ('body', E'a bell \x07'), ('subject', repeat('x', 501)), ('body', repeat('x', 10001)), ('title', 'x'), ('subject', ''), ('button', ' ')
	) s (field, source) CROSS JOIN LATERAL (SELECT * FROM pg_temp.saving(s.field, s.source)) r WHERE length(s.source) < 300;
SELECT s.field, length(s.source), r.* FROM (VALUES ('subject', repeat('x', 501)), ('subject', repeat('x', 500)), ('body', repeat('x', 10001)), ('body', repeat('x', 10000)))
	s (field, source) CROSS JOIN LATERAL (SELECT * FROM pg_temp.saving(s.field, s.source)) r;
-- what is one
SELECT s.source, r.code FROM (VALUES
	('body', 'Hello {{ customer_name }}, {{&shop_name}} {{{currency}}} {{! with a comment {{ }}'), ('body', E'{{#items}}\n{{quantity}} {{name}}{{#variant}} ({{variant}}){{/variant}} {{shop_name}}\n{{/items}}\n{{^items}}-{{/items}} x'),
	('footer', ''), ('preheader', '{{discount_offer}}'), ('subject', '{{reference}}'), ('body', 'a } b { c {} d }} e'), ('body', E'a\r\n\tb'), ('body', 'x {{# one_day }}y{{/ one_day }}'))
	s (field, source) CROSS JOIN LATERAL (SELECT * FROM pg_temp.saving(s.field, s.source)) r;
-- and other arguments
SELECT c, r.* FROM (VALUES
	($$SELECT incomplete_orders.save_template('cart_offer', 'en', '[]')$$), ($$SELECT incomplete_orders.save_template('cart_offer', 'en', NULL)$$),
	($$SELECT incomplete_orders.save_template('cart_offer', 'en', '{"subject": 1}')$$), ($$SELECT incomplete_orders.save_template('cart_offer', 'en', '{"colour": null}')$$),
	($$SELECT incomplete_orders.save_template('cart_offer', 'english language', '{}')$$), ($$SELECT incomplete_orders.save_template('cart_offer', NULL, '{}')$$),
	($$SELECT incomplete_orders.save_template('Cart', 'en', '{}')$$), ($$SELECT incomplete_orders.delete_template(NULL, 'en')$$),
	($$SELECT incomplete_orders.save_template('cart_offer', 'en', '{}', 'no-such-shop')$$), ($$SELECT incomplete_orders.list_templates('no-such-shop')$$)
	) s (c) CROSS JOIN LATERAL (SELECT * FROM pg_temp.refusal(s.c)) r;
-- a refusal changes nothing
SELECT t.body FROM incomplete_orders.list_templates() t WHERE t.template = 'cart_offer' AND t.locale = 'en' AND t.own;

-- a preview of an order is what a claim gives for it, but for the message itself
SELECT incomplete_orders.capture_cart('t-1', '[{"sku":"A","name":"Blue shirt","quantity":2,"unit_price":"1234.50"},{"sku":"B","quantity":1,"unit_price":"3"}]',
	email => 'jane@shop.example', name => 'Jane Doe', context => '{"locale": "de_AT"}', at => now() - interval '3 days') AS order_id \gset
SELECT incomplete_orders.mark_abandoned(:'order_id');
SELECT incomplete_orders.configure_shop('default', '{"consent_rule": "none"}');
SELECT incomplete_orders.send_recovery_email(:'order_id', 'abandoned_cart') IS NOT NULL AS queued;
SELECT count(*) FROM incomplete_orders.messages;
CREATE TEMPORARY TABLE objects AS SELECT 'preview' AS made_by, incomplete_orders.preview_message('cart_abandoned', id => :'order_id') AS object;
SELECT count(*) AS still FROM incomplete_orders.messages;
INSERT INTO objects SELECT 'claim', c.message FROM incomplete_orders.claim_messages('w') c;
SELECT p.key, p.value = c.value AS alike FROM objects o CROSS JOIN LATERAL jsonb_each(o.object) p
	JOIN objects q ON q.made_by = 'claim' CROSS JOIN LATERAL jsonb_each(q.object) c
WHERE o.made_by = 'preview' AND c.key = p.key AND p.key NOT IN ('message', 'links') ORDER BY p.key;
SELECT ARRAY(SELECT jsonb_object_keys(o.object -> 'message') ORDER BY 1) AS message, ARRAY(SELECT jsonb_object_keys(o.object -> 'links') ORDER BY 1) AS links
FROM objects o GROUP BY 1, 2;
SELECT o.object #> '{message,locale}' AS locale, o.object #> '{text,locale}' AS text, o.object #> '{order,items,0,line_total}' AS line_total FROM objects o WHERE made_by = 'preview';
-- its links lead nowhere
SELECT r.code, r.message, r.detail FROM objects o CROSS JOIN LATERAL pg_temp.refusal(format('SELECT incomplete_orders.unsubscribe(%L)', o.object #>> '{links,unsubscribe}')) r
WHERE o.made_by = 'preview';
SELECT r.code FROM objects o CROSS JOIN LATERAL pg_temp.refusal(format('SELECT * FROM incomplete_orders.restore_cart(%L, ''t-2'')', o.object #>> '{links,restore}')) r
WHERE o.made_by = 'preview';
-- another language, another text, an instant
SELECT p #>> '{message,campaign}' AS campaign, p #>> '{message,step}' AS step, p #>> '{message,message_type}' AS type, p #>> '{text,locale}' AS text, p #>> '{order,days_until_expiry}' AS days
FROM incomplete_orders.preview_message('cart_final', 'en', :'order_id', 'default', now() + interval '10 days') p;
SELECT p #>> '{message,campaign}' AS campaign, p #>> '{message,step}' AS step, p #>> '{message,message_type}' AS type
FROM unnest('{cart_offer,payment_reminder,partial_final}'::text[]) t CROSS JOIN LATERAL incomplete_orders.preview_message(t) p;
-- a sample
SELECT jsonb_pretty((p -> 'order') - 'id' - 'expires_at') AS sample FROM incomplete_orders.preview_message('payment_abandoned', 'de') p;
SELECT incomplete_orders.configure_shop('t-other', '{"currency": "JPY"}');
SELECT p #>> '{order,kind}' AS kind, p #>> '{order,currency}' AS currency, p #>> '{order,total}' AS total FROM incomplete_orders.preview_message('partial_offer', shop => 't-other') p;
-- what cannot be shown
SELECT incomplete_orders.dismiss_order(:'order_id', 'test') IS NOT NULL AS dismissed;
SELECT r.code, replace(r.message, :'order_id', '...') AS message, r.detail, r.hint
FROM pg_temp.refusal(format('SELECT incomplete_orders.preview_message(''cart_final'', id => %L)', :'order_id')) r;
SELECT r.code FROM pg_temp.refusal(format('SELECT incomplete_orders.preview_message(''cart_final'', id => %L, shop => ''t-other'')', :'order_id')) r;
SELECT c, r.* FROM (VALUES ($$SELECT incomplete_orders.preview_message(NULL)$$), ($$SELECT incomplete_orders.preview_message('cart_vip')$$),
	($$SELECT incomplete_orders.preview_message('cart_final', '??')$$), ($$SELECT incomplete_orders.preview_message('cart_final', id => '00000000-0000-0000-0000-000000000000')$$))
	s (c) CROSS JOIN LATERAL (SELECT * FROM pg_temp.refusal(s.c)) r;

SELECT incomplete_orders.delete_template('cart_offer', 'en');
DROP TABLE objects;
DELETE FROM incomplete_orders.messages WHERE order_id = :'order_id';
SELECT count(*) > 0 AS gone FROM incomplete_orders.delete_shop('t-other', dry_run => false);
SELECT incomplete_orders.configure_shop('default', '{"consent_rule": "strict"}');

-- The texts of recovery messages: the defaults, in English and German, and those
-- that a shop has of its own.
--
-- Mustache templates over plain text; template_variables() has what they may name.
-- Nobody with a cart is told to pay, nobody is promised a discount (discount_offer
-- is empty unless there is one), and nothing is said that may not be true, such as
-- that something is about to be sold out.

-- The German texts say Sie: that is right for every shop, and the pages behind the
-- links say it too; a shop that says du saves texts of its own.  The letters that
-- not every encoding has are written {ae} here.
CREATE FUNCTION incomplete_orders._with_umlauts(ascii text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	letter text[];
	shown text := ascii;
BEGIN
	FOREACH letter SLICE 1 IN ARRAY '{{ae,c3a4},{oe,c3b6},{ue,c3bc},{Ae,c384},{Oe,c396},{Ue,c39c},{ss,c39f}}'::text[] LOOP
		BEGIN
			shown := replace(shown, '{' || letter[1] || '}', convert_from(decode(letter[2], 'hex'), 'UTF8'));
		EXCEPTION WHEN untranslatable_character THEN
			-- as one writes it where there is no such letter
			shown := replace(shown, '{' || letter[1] || '}', letter[1]);
		END;
	END LOOP;
	RETURN shown;
END
$$;
COMMENT ON FUNCTION incomplete_orders._with_umlauts(text) IS
	'"f{ue}r" with the letter that is meant, or as "fuer" where the encoding of the database has none';

CREATE FUNCTION incomplete_orders._default_texts_en()
RETURNS TABLE (template text, subject text, preheader text, headline text, body text, button text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
	('cart_abandoned',
		'Your cart at {{shop_name}} is still here',
		'We kept everything as you left it.',
		'You left something behind',
		E'You put together a cart at {{shop_name}} and did not finish the order. Nothing is lost: we kept it as you left it, and you can go on where you stopped.\n\nIf something did not work, please let us know.',
		'Back to my cart'),
	('cart_reminder',
		'Still interested? Your cart at {{shop_name}}',
		'It is one click away.',
		'Your cart is waiting',
		E'Your cart at {{shop_name}} is still there. If you would like to have what is in it, you can pick up where you left off.\n\nIf you have changed your mind, there is nothing you need to do.',
		'Look at my cart'),
	('cart_final',
		'Our last mail about your cart at {{shop_name}}',
		'After this one we will not remind you of it again.',
		'Shall we keep your cart?',
		E'This is the last time we write about your cart at {{shop_name}}.{{#days_until_expiry}} We keep it for {{days_until_expiry}} more {{#one_day}}day{{/one_day}}{{^one_day}}days{{/one_day}}; after that it is cleared.{{/days_until_expiry}}\n\nIf you still want it, it is ready for you.',
		'Back to my cart'),
	('cart_offer',
		'About your cart at {{shop_name}}',
		'It is still as you left it.',
		'Your cart, whenever you like',
		E'Your cart at {{shop_name}} is still there, and you can finish the order whenever it suits you.',
		'Back to my cart'),
	('payment_abandoned',
		'Your order at {{shop_name}} is placed, but not paid',
		'Your order {{reference}} waits for its payment.',
		'Your payment is missing',
		E'Thank you for your order {{reference}} at {{shop_name}}. It is placed, but the payment did not go through, or was not finished.\n\nYou can finish it here, also in another way than before. If you have paid already, please excuse this mail: payments can take a while to arrive.',
		'Finish the payment'),
	('payment_reminder',
		'Reminder: your order {{reference}} is not paid yet',
		'You can still finish the payment.',
		'Your order waits for its payment',
		E'Your order {{reference}} at {{shop_name}} is placed, and its payment is still open. If you still want it, you can finish the payment here.\n\nIf the payment causes trouble, please let us know. If you have paid already, please excuse this mail.',
		'Finish the payment'),
	('payment_final',
		'Last reminder: your order {{reference}} is not paid',
		'After this one we will not remind you of it again.',
		'Do you still want this order?',
		E'Your order {{reference}} at {{shop_name}} has not been paid.{{#days_until_expiry}} We keep it open for {{days_until_expiry}} more {{#one_day}}day{{/one_day}}{{^one_day}}days{{/one_day}}; after that it is closed.{{/days_until_expiry}}\n\nIf you no longer want it, there is nothing you need to do. If you do, you can still pay for it.',
		'Finish the payment'),
	('payment_offer',
		'About your unpaid order {{reference}} at {{shop_name}}',
		'You can still finish the payment.',
		'Your order is still open',
		E'Your order {{reference}} at {{shop_name}} is placed, but not paid. You can still finish the payment, if you want the order.',
		'Finish the payment'),
	('partial_abandoned',
		'The rest of your order at {{shop_name}}',
		'A part of order {{reference}} is still open.',
		'A part of your order is still open',
		E'A part of your order {{reference}} at {{shop_name}} is done. The rest is listed here, and has not been ordered yet.\n\nIf you would like to have it too, you can go on here. What is done already is not affected.',
		'See the rest of my order'),
	('partial_reminder',
		'Would you still like the rest of your order?',
		'What is left of order {{reference}} at {{shop_name}}.',
		'The rest of your order',
		E'What you see here is left of your order {{reference}} at {{shop_name}}, and has not been ordered yet. If you would still like to have it, it is ready for you.\n\nIf not, there is nothing you need to do.',
		'See the rest of my order'),
	('partial_final',
		'Our last mail about the rest of order {{reference}}',
		'After this one we will not remind you of it again.',
		'Shall we keep the rest?',
		E'This is the last time we write about the rest of your order {{reference}} at {{shop_name}}.{{#days_until_expiry}} We keep it for {{days_until_expiry}} more {{#one_day}}day{{/one_day}}{{^one_day}}days{{/one_day}}; after that only what is done already remains.{{/days_until_expiry}}\n\nIf you still want it, it is ready for you.',
		'See the rest of my order'),
	('partial_offer',
		'About the rest of your order {{reference}}',
		'It is still open.',
		'The rest of your order',
		E'The rest of your order {{reference}} at {{shop_name}} is still open, and you can order it whenever it suits you.',
		'See the rest of my order')
$$;
COMMENT ON FUNCTION incomplete_orders._default_texts_en() IS
	'The English texts, without what all of them have: for carts, unpaid orders and the rest of an order, four each';

CREATE FUNCTION incomplete_orders._default_texts_de()
RETURNS TABLE (template text, subject text, preheader text, headline text, body text, button text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES
	('cart_abandoned',
		'Ihr Warenkorb bei {{shop_name}} ist noch da',
		'Wir haben alles so gelassen, wie es war.',
		'Sie haben etwas liegen lassen',
		E'in Ihrem Warenkorb bei {{shop_name}} liegt noch etwas, die Bestellung ist nicht abgeschlossen. Es ist nichts verloren: Alles ist noch so, wie Sie es verlassen haben, und Sie k{oe}nnen dort weitermachen, wo Sie aufgeh{oe}rt haben.\n\nWenn etwas nicht funktioniert hat, sagen Sie uns bitte Bescheid.',
		'Zur{ue}ck zu meinem Warenkorb'),
	('cart_reminder',
		'Noch interessiert? Ihr Warenkorb bei {{shop_name}}',
		'Er ist nur einen Klick entfernt.',
		'Ihr Warenkorb wartet auf Sie',
		E'Ihr Warenkorb bei {{shop_name}} ist noch da. Wenn Sie haben m{oe}chten, was darin liegt, k{oe}nnen Sie einfach weitermachen.\n\nWenn Sie es sich anders {ue}berlegt haben, brauchen Sie nichts zu tun.',
		'Warenkorb ansehen'),
	('cart_final',
		'Unsere letzte Mail zu Ihrem Warenkorb bei {{shop_name}}',
		'Danach erinnern wir Sie nicht mehr daran.',
		'Sollen wir Ihren Warenkorb aufheben?',
		E'wir schreiben Ihnen zum letzten Mal wegen Ihres Warenkorbs bei {{shop_name}}.{{#days_until_expiry}} Wir heben ihn noch {{days_until_expiry}} {{#one_day}}Tag{{/one_day}}{{^one_day}}Tage{{/one_day}} auf, danach wird er geleert.{{/days_until_expiry}}\n\nWenn Sie ihn noch m{oe}chten, liegt er f{ue}r Sie bereit.',
		'Zur{ue}ck zu meinem Warenkorb'),
	('cart_offer',
		'Zu Ihrem Warenkorb bei {{shop_name}}',
		'Er ist noch so, wie Sie ihn verlassen haben.',
		'Ihr Warenkorb, wann immer Sie m{oe}chten',
		E'Ihr Warenkorb bei {{shop_name}} ist noch da. Sie k{oe}nnen die Bestellung abschlie{ss}en, wann es Ihnen passt.',
		'Zur{ue}ck zu meinem Warenkorb'),
	('payment_abandoned',
		'Ihre Bestellung bei {{shop_name}} ist aufgegeben, aber nicht bezahlt',
		'Ihre Bestellung {{reference}} wartet auf die Zahlung.',
		'Ihre Zahlung fehlt noch',
		E'vielen Dank f{ue}r Ihre Bestellung {{reference}} bei {{shop_name}}. Sie ist bei uns eingegangen, aber die Zahlung hat nicht geklappt oder wurde nicht abgeschlossen.\n\nHier k{oe}nnen Sie das nachholen, auch auf einem anderen Weg als zuvor. Wenn Sie schon bezahlt haben, entschuldigen Sie bitte diese Mail: Zahlungen brauchen manchmal eine Weile.',
		'Zahlung abschlie{ss}en'),
	('payment_reminder',
		'Erinnerung: Ihre Bestellung {{reference}} ist noch nicht bezahlt',
		'Sie k{oe}nnen die Zahlung noch abschlie{ss}en.',
		'Ihre Bestellung wartet auf die Zahlung',
		E'Ihre Bestellung {{reference}} bei {{shop_name}} ist bei uns eingegangen, die Zahlung ist noch offen. Wenn Sie die Bestellung noch m{oe}chten, k{oe}nnen Sie die Zahlung hier abschlie{ss}en.\n\nWenn es mit der Zahlung Schwierigkeiten gibt, sagen Sie uns bitte Bescheid. Wenn Sie schon bezahlt haben, entschuldigen Sie bitte diese Mail.',
		'Zahlung abschlie{ss}en'),
	('payment_final',
		'Letzte Erinnerung: Ihre Bestellung {{reference}} ist nicht bezahlt',
		'Danach erinnern wir Sie nicht mehr daran.',
		'M{oe}chten Sie diese Bestellung noch?',
		E'Ihre Bestellung {{reference}} bei {{shop_name}} ist nicht bezahlt.{{#days_until_expiry}} Wir halten sie noch {{days_until_expiry}} {{#one_day}}Tag{{/one_day}}{{^one_day}}Tage{{/one_day}} offen, danach wird sie geschlossen.{{/days_until_expiry}}\n\nWenn Sie die Bestellung nicht mehr m{oe}chten, brauchen Sie nichts zu tun. Wenn doch, k{oe}nnen Sie noch bezahlen.',
		'Zahlung abschlie{ss}en'),
	('payment_offer',
		'Zu Ihrer unbezahlten Bestellung {{reference}} bei {{shop_name}}',
		'Sie k{oe}nnen die Zahlung noch abschlie{ss}en.',
		'Ihre Bestellung ist noch offen',
		E'Ihre Bestellung {{reference}} bei {{shop_name}} ist bei uns eingegangen, aber nicht bezahlt. Wenn Sie die Bestellung m{oe}chten, k{oe}nnen Sie die Zahlung noch abschlie{ss}en.',
		'Zahlung abschlie{ss}en'),
	('partial_abandoned',
		'Der Rest Ihrer Bestellung bei {{shop_name}}',
		'Ein Teil der Bestellung {{reference}} ist noch offen.',
		'Ein Teil Ihrer Bestellung ist noch offen',
		E'ein Teil Ihrer Bestellung {{reference}} bei {{shop_name}} ist erledigt. Der Rest steht hier und ist noch nicht bestellt.\n\nWenn Sie auch ihn haben m{oe}chten, k{oe}nnen Sie hier weitermachen. Was schon erledigt ist, bleibt davon unber{ue}hrt.',
		'Rest der Bestellung ansehen'),
	('partial_reminder',
		'M{oe}chten Sie den Rest Ihrer Bestellung noch?',
		'Was von der Bestellung {{reference}} bei {{shop_name}} {ue}brig ist.',
		'Der Rest Ihrer Bestellung',
		E'was Sie hier sehen, ist von Ihrer Bestellung {{reference}} bei {{shop_name}} {ue}brig und noch nicht bestellt. Wenn Sie es noch haben m{oe}chten, liegt es f{ue}r Sie bereit.\n\nWenn nicht, brauchen Sie nichts zu tun.',
		'Rest der Bestellung ansehen'),
	('partial_final',
		'Unsere letzte Mail zum Rest der Bestellung {{reference}}',
		'Danach erinnern wir Sie nicht mehr daran.',
		'Sollen wir den Rest aufheben?',
		E'wir schreiben Ihnen zum letzten Mal wegen des Rests Ihrer Bestellung {{reference}} bei {{shop_name}}.{{#days_until_expiry}} Wir heben ihn noch {{days_until_expiry}} {{#one_day}}Tag{{/one_day}}{{^one_day}}Tage{{/one_day}} auf, danach bleibt nur, was schon erledigt ist.{{/days_until_expiry}}\n\nWenn Sie ihn noch m{oe}chten, liegt er f{ue}r Sie bereit.',
		'Rest der Bestellung ansehen'),
	('partial_offer',
		'Zum Rest Ihrer Bestellung {{reference}}',
		'Er ist noch offen.',
		'Der Rest Ihrer Bestellung',
		E'der Rest Ihrer Bestellung {{reference}} bei {{shop_name}} ist noch offen. Sie k{oe}nnen ihn bestellen, wann es Ihnen passt.',
		'Rest der Bestellung ansehen')
$$;
COMMENT ON FUNCTION incomplete_orders._default_texts_de() IS 'The same in German';

CREATE FUNCTION incomplete_orders._default_templates()
RETURNS TABLE (template text, locale text, subject text, preheader text, headline text, body text, button text, footer text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.template, l.locale, incomplete_orders._with_umlauts(t.subject), incomplete_orders._with_umlauts(t.preheader),
		incomplete_orders._with_umlauts(t.headline),
		l.greeting || '{{#customer_name}} {{customer_name}}{{/customer_name}},' || E'\n\n' || incomplete_orders._with_umlauts(t.body)
			|| CASE WHEN t.template LIKE '%\_offer' THEN E'{{#discount_offer}}\n\n{{discount_offer}}{{/discount_offer}}' ELSE '' END,
		incomplete_orders._with_umlauts(t.button), r.reason
	FROM (VALUES ('en', 'Hello'), ('de', 'Guten Tag')) l (locale, greeting)
	CROSS JOIN LATERAL (
		SELECT * FROM incomplete_orders._default_texts_en() WHERE l.locale = 'en'
		UNION ALL SELECT * FROM incomplete_orders._default_texts_de() WHERE l.locale = 'de'
	) t
	JOIN (VALUES
		('en', 'cart', 'You get this mail because you gave this address to {{shop_name}} and did not finish your order.'),
		('en', 'payment', 'You get this mail because an order at {{shop_name}} was placed with this address and has not been paid.'),
		('en', 'partial', 'You get this mail because an order at {{shop_name}} was placed with this address and part of it is still open.'),
		('de', 'cart', 'Sie erhalten diese Mail, weil Sie {{shop_name}} diese Adresse gegeben und Ihre Bestellung nicht abgeschlossen haben.'),
		('de', 'payment', 'Sie erhalten diese Mail, weil mit dieser Adresse bei {{shop_name}} etwas bestellt und noch nicht bezahlt wurde.'),
		('de', 'partial', 'Sie erhalten diese Mail, weil mit dieser Adresse bei {{shop_name}} etwas bestellt wurde und ein Teil davon noch offen ist.')
	) r (locale, kind, reason) ON r.locale = l.locale AND r.kind = split_part(t.template, '_', 1)
$$;
COMMENT ON FUNCTION incomplete_orders._default_templates() IS
	'The texts that this version has for recovery messages, in English and German: what differs between them, the greeting and the reason for the mail';

CREATE FUNCTION incomplete_orders._locale_tag(locale text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ico_locale_tag_sql';
COMMENT ON FUNCTION incomplete_orders._locale_tag(text) IS '"de_at.UTF-8" as "de-AT"; null when it cannot be the tag of a language';

CREATE FUNCTION incomplete_orders._check_template(field text, source text) RETURNS void
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'ico_check_template';
COMMENT ON FUNCTION incomplete_orders._check_template(text, text) IS
	'22023, with line and column, unless the source can be that field of a text: mustache without errors, and no variable that is not there';

CREATE FUNCTION incomplete_orders.template_variables()
RETURNS TABLE (name text, inside text, kind text, meaning text, example text)
LANGUAGE c STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_template_variables';
ALTER FUNCTION incomplete_orders.template_variables() OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.template_variables() IS
	'What the texts of recovery messages may name, with a meaning and an example each; inside: between {{#items}} and {{/items}} only. Conditions and lists are for sections. IC002';

-- Texts of a shop change one after the other.
CREATE FUNCTION incomplete_orders._enter_template(right_name text, template text, locale text, shop text, at timestamptz,
	OUT entered integer, OUT tag text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	entered := incomplete_orders._enter_shop(right_name, shop, at);
	IF template IS NULL OR template !~ '^[a-z][a-z0-9_]{0,62}$' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN template IS NULL THEN 'argument "template" must not be null'
				ELSE format('"%s" cannot be the name of a template', left(template, 100)) END,
			DETAIL = 'It has 1 to 63 of a-z, 0-9 and _, and begins with a letter.',
			HINT = 'incomplete_orders.list_templates() shows those that there are.';
	END IF;
	tag := incomplete_orders._locale_tag(locale);
	IF tag IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN locale IS NULL THEN 'argument "locale" must not be null'
				ELSE format('"%s" is not the tag of a language', left(locale, 100)) END,
			DETAIL = 'A language, and perhaps a country, as in de or de-AT.';
	END IF;
	PERFORM FROM incomplete_orders.shops s WHERE s.shop_id = entered FOR NO KEY UPDATE;
END
$$;
ALTER FUNCTION incomplete_orders._enter_template(text, text, text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders._enter_template(text, text, text, text, timestamptz) IS
	'The shop_id of shop, locked, if the acting role may use that function there, and locale as a tag; IC001, IC002, 22023';

CREATE FUNCTION incomplete_orders._check_fields(fields jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	field record;
BEGIN
	IF jsonb_typeof(fields) IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'argument "fields" must be an object',
			DETAIL = 'Its keys are fields of a text, its values texts.',
			HINT = 'As in {"subject": "Your cart at {{shop_name}}"}.';
	END IF;
	FOR field IN SELECT f.key, f.value FROM jsonb_each(fields) f LOOP
		IF jsonb_typeof(field.value) NOT IN ('string', 'null') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('field "%s" must be a text', left(field.key, 100)),
				DETAIL = format('It is of type %s.', jsonb_typeof(field.value)),
				HINT = 'null goes back to the default.';
		END IF;
		-- a wrong name is found in any case
		PERFORM incomplete_orders._check_template(field.key, coalesce(fields ->> field.key, 'default'));
	END LOOP;
END
$$;
COMMENT ON FUNCTION incomplete_orders._check_fields(jsonb) IS '22023 unless they can be fields of a text: texts that are templates without errors, or null';

CREATE FUNCTION incomplete_orders.save_template(template text, locale text, fields jsonb, shop text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	instant timestamptz := coalesce(save_template.at, now());
	entered integer;
	tag text;
	saved jsonb;
	preset jsonb;
	missing text;
BEGIN
	SELECT e.entered, e.tag INTO entered, tag
	FROM incomplete_orders._enter_template('save_template', save_template.template, save_template.locale, save_template.shop, instant) e;
	PERFORM incomplete_orders._check_fields(fields);
	-- what somebody of that language reads now: of another one no field is mixed in
	SELECT to_jsonb(t) INTO saved FROM incomplete_orders.templates t
	WHERE t.template = save_template.template AND t.shop_id IN (entered, 0) AND starts_with(tag || '-', t.locale || '-')
	ORDER BY length(t.locale) DESC, t.shop_id DESC LIMIT 1;
	SELECT to_jsonb(t) INTO preset FROM incomplete_orders.templates t
	WHERE t.template = save_template.template AND t.shop_id = 0 AND starts_with(tag || '-', t.locale || '-')
	ORDER BY length(t.locale) DESC LIMIT 1;
	SELECT jsonb_object_agg(n, CASE WHEN fields ? n THEN coalesce(fields ->> n, preset ->> n) ELSE saved ->> n END),
		string_agg(n, ', ' ORDER BY o) FILTER (WHERE CASE WHEN fields ? n THEN coalesce(fields ->> n, preset ->> n) ELSE saved ->> n END IS NULL)
	INTO saved, missing
	FROM unnest('{subject,preheader,headline,body,button,footer}'::text[]) WITH ORDINALITY f (n, o);
	IF missing IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('there is no text "%s" in "%s" to begin with', template, tag),
			DETAIL = format('Missing: %s.', missing),
			HINT = 'Give all of subject, preheader, headline, body, button and footer; or see incomplete_orders.list_templates() for texts that there are.';
	END IF;
	INSERT INTO incomplete_orders.templates AS t (shop_id, template, locale, subject, preheader, headline, body, button, footer, changed_at)
	VALUES (entered, save_template.template, tag, saved ->> 'subject', saved ->> 'preheader', saved ->> 'headline', saved ->> 'body',
		saved ->> 'button', saved ->> 'footer', instant)
	ON CONFLICT ON CONSTRAINT templates_pkey DO UPDATE
	SET subject = excluded.subject, preheader = excluded.preheader, headline = excluded.headline, body = excluded.body,
		button = excluded.button, footer = excluded.footer, changed_at = excluded.changed_at;
END
$$;
ALTER FUNCTION incomplete_orders.save_template(text, text, jsonb, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.save_template(text, text, jsonb, text, timestamptz) IS
	'A text of the shop''s own: changes the given ones of subject, preheader, headline, body, button, footer; null goes back to the default. The first save of a text copies what that language has (de for de-AT); a new name or language needs all six. A template that is none, or names an unknown variable, is refused with line and column. Messages that wait are sent with the new text. IC002, 22023';

CREATE FUNCTION incomplete_orders.delete_template(template text, locale text, shop text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	entered integer;
	tag text;
BEGIN
	SELECT e.entered, e.tag INTO entered, tag
	FROM incomplete_orders._enter_template('delete_template', delete_template.template, delete_template.locale, delete_template.shop,
		coalesce(delete_template.at, now())) e;
	DELETE FROM incomplete_orders.templates t
	WHERE t.shop_id = entered AND t.template = delete_template.template AND t.locale = tag;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	IF NOT EXISTS (SELECT FROM incomplete_orders.templates t WHERE t.shop_id IN (entered, 0) AND t.template = delete_template.template)
		AND (EXISTS (SELECT FROM incomplete_orders.campaign_steps c WHERE c.shop_id = entered AND c.template = delete_template.template)
			OR EXISTS (SELECT FROM incomplete_orders.step_variants c WHERE c.shop_id = entered AND c.template = delete_template.template)
			OR EXISTS (SELECT FROM incomplete_orders.messages m
				WHERE m.shop_id = entered AND m.status IN ('queued', 'sending') AND m.template = delete_template.template))
	THEN
		RAISE EXCEPTION USING ERRCODE = 'IC014',
			MESSAGE = format('template "%s" is in use', template),
			DETAIL = 'It is the last text of that name, and a step of a campaign or a message that waits needs it.',
			HINT = 'Give the step another template first.';
	END IF;
	RETURN true;
END
$$;
ALTER FUNCTION incomplete_orders.delete_template(text, text, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.delete_template(text, text, text, timestamptz) IS
	'Takes a text of the shop''s own away: the default is used again. Whether there was one. IC002, IC014 (the last one of a name that a campaign or a waiting message needs), 22023';

CREATE FUNCTION incomplete_orders.list_templates(shop text DEFAULT NULL)
RETURNS TABLE (shop text, template text, locale text, own boolean, subject text, preheader text, headline text, body text, button text,
	footer text, steps text[], changed_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- lateral and not pulled up: the door is passed first
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('list_templates', $1) AS shops OFFSET 0) v
	CROSS JOIN LATERAL (
		SELECT DISTINCT ON (s.shop, t.template, t.locale) s.shop, t.template, t.locale, t.shop_id <> 0,
			t.subject, t.preheader, t.headline, t.body, t.button, t.footer,
			ARRAY(SELECT c.campaign || ' ' || c.step FROM incomplete_orders.campaign_steps c
				WHERE c.shop_id = s.shop_id AND c.template = t.template
				UNION ALL SELECT concat_ws(' ', c.campaign, c.step, c.variant) FROM incomplete_orders.step_variants c
				WHERE c.shop_id = s.shop_id AND c.template = t.template ORDER BY 1), t.changed_at
		FROM incomplete_orders.shops s JOIN incomplete_orders.templates t ON t.shop_id IN (s.shop_id, 0)
		WHERE s.shop_id = ANY (v.shops)
		ORDER BY s.shop, t.template, t.locale, t.shop_id DESC
		OFFSET 0
	) d
$$;
ALTER FUNCTION incomplete_orders.list_templates(text) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.list_templates(text) IS
	'The texts of a shop''s messages in each language: its own where it has one, else the default; steps: where its campaigns use them (campaign, step and, where it is of one, variant). A reader gets the text of their language and country, else of their language (of zh-Hans-CN: zh-Hans, then zh), else English, and of each the shop''s own first. shop ''*'': all that the caller may see. IC002';

CREATE FUNCTION incomplete_orders.preview_message(template text, locale text DEFAULT NULL, id uuid DEFAULT NULL, shop text DEFAULT NULL,
	at timestamptz DEFAULT now()) RETURNS jsonb
LANGUAGE c SECURITY DEFINER AS 'MODULE_PATHNAME', 'ico_preview_message';
ALTER FUNCTION incomplete_orders.preview_message(text, text, uuid, text, timestamptz) OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.preview_message(text, text, uuid, text, timestamptz) IS
	'The object that claim_messages() would give for an open order, or for a sample, with that text; nothing is queued or written, its links lead nowhere, and the code of its coupon is none. The shop''s availability() is asked; where it fails a warning says so. locale: by default the order''s, else the shop''s. `incomplete-orders preview-mail` makes a mail of it. IC002, IC003, IC015 (the order is closed), 22023';

CREATE FUNCTION incomplete_orders.sender_settings(shop text DEFAULT NULL)
RETURNS TABLE (shop text, name text, from_email text, reply_to text, base_url text, postal_address text, campaigns text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- lateral and not pulled up: the door is passed first
	SELECT d.* FROM (SELECT incomplete_orders._visible_shops('sender_settings', $1) AS shops OFFSET 0) v
	CROSS JOIN LATERAL (
		SELECT s.shop, s.name, s.from_email, s.reply_to, s.base_url, s.postal_address,
			ARRAY(SELECT c.campaign FROM incomplete_orders.campaigns c WHERE c.shop_id = s.shop_id AND c.enabled ORDER BY c.campaign)
		FROM incomplete_orders.shops s
		WHERE s.shop_id = ANY (v.shops)
		ORDER BY s.shop
		OFFSET 0
	) d
$$;
ALTER FUNCTION incomplete_orders.sender_settings OWNER TO incomplete_orders_owner;
COMMENT ON FUNCTION incomplete_orders.sender_settings IS
	'What a shop''s mails need: sender, address of its pages, postal address; and which of its campaigns are on. shop ''*'': all that the caller may see. IC002';

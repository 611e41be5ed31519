-- The default texts of recovery messages, in English.
--
-- Mustache templates over plain text; the manual page of incomplete-orders names
-- the variables.  Nobody with a cart is told to pay, nobody is promised a discount
-- (discount_offer is empty unless there is one), and nothing is said that may not be
-- true, such as that something is about to be sold out.

CREATE FUNCTION incomplete_orders._default_templates()
RETURNS TABLE (template text, subject text, preheader text, headline text, body text, button text, footer text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.template, t.subject, t.preheader, t.headline,
		'Hello{{#customer_name}} {{customer_name}}{{/customer_name}},' || E'\n\n' || t.body
			|| CASE WHEN t.template LIKE '%\_offer' THEN E'{{#discount_offer}}\n\n{{discount_offer}}{{/discount_offer}}' ELSE '' END,
		t.button,
		CASE split_part(t.template, '_', 1)
			WHEN 'cart' THEN 'You get this mail because you gave this address to {{shop_name}} and did not finish your order.'
			WHEN 'payment' THEN 'You get this mail because an order at {{shop_name}} was placed with this address and has not been paid.'
			ELSE 'You get this mail because an order at {{shop_name}} was placed with this address and part of it is still open.'
		END
	FROM (VALUES
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
	) t (template, subject, preheader, headline, body, button)
$$;
COMMENT ON FUNCTION incomplete_orders._default_templates() IS
	'The texts that this version has for recovery messages: for carts, unpaid orders and the rest of an order, four each';

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

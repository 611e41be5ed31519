-- Odoo 17, website_sale: a cart is a draft sale order of a website; guests are the
-- website's public partner; notes, sections and the delivery are lines, too.
CREATE TABLE res_partner (
	id serial PRIMARY KEY,
	name varchar,
	email varchar,
	phone varchar,
	lang varchar,
	tz varchar,
	active boolean DEFAULT true
);
CREATE TABLE res_users (id serial PRIMARY KEY, login varchar NOT NULL UNIQUE, partner_id integer NOT NULL REFERENCES res_partner ON DELETE RESTRICT);
CREATE TABLE res_currency (id serial PRIMARY KEY, name varchar NOT NULL UNIQUE, symbol varchar NOT NULL, decimal_places integer, active boolean);
CREATE TABLE website (id serial PRIMARY KEY, name varchar NOT NULL, domain varchar, user_id integer NOT NULL REFERENCES res_users ON DELETE RESTRICT);
CREATE TABLE product_template (id serial PRIMARY KEY, name jsonb NOT NULL);
CREATE TABLE product_product (
	id serial PRIMARY KEY,
	default_code varchar,
	product_tmpl_id integer NOT NULL REFERENCES product_template ON DELETE CASCADE
);
CREATE TABLE sale_order (
	id serial PRIMARY KEY,
	name varchar NOT NULL,
	state varchar,
	website_id integer REFERENCES website ON DELETE SET NULL,
	partner_id integer NOT NULL REFERENCES res_partner ON DELETE RESTRICT,
	partner_invoice_id integer NOT NULL REFERENCES res_partner ON DELETE RESTRICT,
	partner_shipping_id integer NOT NULL REFERENCES res_partner ON DELETE RESTRICT,
	currency_id integer REFERENCES res_currency ON DELETE RESTRICT,
	access_token varchar,
	note text,
	require_payment boolean,
	amount_untaxed numeric,
	amount_tax numeric,
	amount_total numeric,
	date_order timestamp NOT NULL DEFAULT now(),
	create_date timestamp DEFAULT now(),
	write_date timestamp DEFAULT now(),
	cart_recovery_email_sent boolean
);
CREATE TABLE sale_order_line (
	id serial PRIMARY KEY,
	order_id integer NOT NULL REFERENCES sale_order ON DELETE CASCADE,
	sequence integer DEFAULT 10,
	product_id integer REFERENCES product_product ON DELETE RESTRICT,
	product_uom integer,
	display_type varchar,
	is_delivery boolean,
	name text NOT NULL,
	product_uom_qty numeric NOT NULL,
	price_unit numeric NOT NULL,
	discount numeric,
	price_subtotal numeric,
	price_total numeric,
	write_date timestamp DEFAULT now(),
	CONSTRAINT sale_order_line_accountable_required_fields CHECK (display_type IS NOT NULL OR product_id IS NOT NULL AND product_uom IS NOT NULL),
	CONSTRAINT sale_order_line_non_accountable_null_fields CHECK (display_type IS NULL OR product_id IS NULL AND price_unit = 0 AND product_uom_qty = 0 AND product_uom IS NULL)
);
CREATE INDEX sale_order_line_order_id_index ON sale_order_line (order_id);
INSERT INTO res_partner (name, email) VALUES ('Public user', 'public@shop.example'), ('My Company', 'info@shop.example');
INSERT INTO res_users (login, partner_id) VALUES ('public', 1);
INSERT INTO res_currency (name, symbol, decimal_places, active) VALUES ('EUR', E'\u20ac', 2, true), ('USD', '$', 2, true), ('JPY', E'\u00a5', 0, true), ('TND', 'DT', 3, true);
INSERT INTO website (name, domain, user_id) VALUES ('My Website', 'https://shop.example', 1);
INSERT INTO product_template (name) VALUES ('{"en_US": "Blue shirt"}'), ('{"en_US": "Socks \"warm\""}'), (jsonb_build_object('en_US', E'H\u00e4t\\')), ('{"en_US": "Plakat"}'), ('{"en_US": "Standard delivery"}');
INSERT INTO product_product (default_code, product_tmpl_id) VALUES ('SHIRT-M', 1), ('SOCKS', 2), ('HAT', 3), ('POSTER', 4), ('Delivery_007', 5);

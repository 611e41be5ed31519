-- django-oscar 3: baskets with a status, a guest's e-mail address only on the
-- order; the currency stands on the line.
CREATE TABLE auth_user (
	id serial PRIMARY KEY,
	username varchar(150) NOT NULL UNIQUE,
	email varchar(254) NOT NULL,
	first_name varchar(150) NOT NULL DEFAULT '',
	last_name varchar(150) NOT NULL DEFAULT ''
);
CREATE TABLE catalogue_product (
	id serial PRIMARY KEY,
	title varchar(255) NOT NULL,
	upc varchar(64) UNIQUE
);
CREATE TABLE partner_stockrecord (
	id serial PRIMARY KEY,
	partner_sku varchar(128) NOT NULL,
	price_currency varchar(12) NOT NULL,
	price numeric(12,2),
	product_id integer NOT NULL REFERENCES catalogue_product DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE basket_basket (
	id serial PRIMARY KEY,
	status varchar(128) NOT NULL,
	date_created timestamptz NOT NULL DEFAULT now(),
	date_merged timestamptz,
	date_submitted timestamptz,
	owner_id integer REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE basket_line (
	id bigserial PRIMARY KEY,
	line_reference varchar(128) NOT NULL,
	quantity integer NOT NULL CHECK (quantity >= 0),
	price_currency varchar(12) NOT NULL,
	price_excl_tax numeric(12,2),
	price_incl_tax numeric(12,2),
	tax_code varchar(64),
	date_created timestamptz NOT NULL DEFAULT now(),
	date_updated timestamptz NOT NULL DEFAULT now(),
	basket_id integer NOT NULL REFERENCES basket_basket DEFERRABLE INITIALLY DEFERRED,
	product_id integer NOT NULL REFERENCES catalogue_product DEFERRABLE INITIALLY DEFERRED,
	stockrecord_id integer NOT NULL REFERENCES partner_stockrecord DEFERRABLE INITIALLY DEFERRED,
	UNIQUE (basket_id, line_reference)
);
CREATE TABLE order_order (
	id serial PRIMARY KEY,
	number varchar(128) NOT NULL UNIQUE,
	currency varchar(12) NOT NULL,
	total_incl_tax numeric(12,2) NOT NULL,
	total_excl_tax numeric(12,2) NOT NULL,
	status varchar(100) NOT NULL,
	guest_email varchar(254) NOT NULL DEFAULT '',
	date_placed timestamptz NOT NULL DEFAULT now(),
	basket_id integer REFERENCES basket_basket DEFERRABLE INITIALLY DEFERRED,
	user_id integer REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX order_order_basket_id ON order_order (basket_id);
INSERT INTO catalogue_product (title) VALUES ('Blue shirt M'), ('Socks "warm"'), (E'H\u00e4t\\'), ('Plakat');
INSERT INTO partner_stockrecord (partner_sku, price_currency, price, product_id)
VALUES ('SHIRT-M', 'GBP', 19.90, 1), ('SOCKS', 'GBP', 4.50, 2), ('HAT', 'GBP', 120.00, 3), ('POSTER', 'GBP', 7.05, 4);

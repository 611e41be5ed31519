-- Sylius: Doctrine's tables, money in minor units, timestamps of whole seconds without
-- zone; a line gets its names when the checkout is completed.
CREATE TABLE sylius_customer (
	id serial PRIMARY KEY,
	email varchar(255) NOT NULL,
	email_canonical varchar(255) NOT NULL UNIQUE,
	first_name varchar(255),
	last_name varchar(255),
	phone_number varchar(255)
);
CREATE TABLE sylius_product (id serial PRIMARY KEY, code varchar(255) NOT NULL UNIQUE);
CREATE TABLE sylius_product_translation (
	id serial PRIMARY KEY,
	translatable_id integer NOT NULL REFERENCES sylius_product ON DELETE CASCADE,
	name varchar(255) NOT NULL,
	slug varchar(255) NOT NULL,
	locale varchar(255) NOT NULL,
	UNIQUE (translatable_id, locale)
);
CREATE TABLE sylius_product_variant (
	id serial PRIMARY KEY,
	product_id integer NOT NULL REFERENCES sylius_product ON DELETE CASCADE,
	code varchar(255) NOT NULL UNIQUE
);
CREATE TABLE sylius_product_variant_translation (
	id serial PRIMARY KEY,
	translatable_id integer NOT NULL REFERENCES sylius_product_variant ON DELETE CASCADE,
	name varchar(255),
	locale varchar(255) NOT NULL,
	UNIQUE (translatable_id, locale)
);
CREATE TABLE sylius_order (
	id serial PRIMARY KEY,
	channel_id integer,
	customer_id integer REFERENCES sylius_customer,
	number varchar(255) UNIQUE,
	notes text,
	state varchar(255) NOT NULL,
	checkout_completed_at timestamp(0),
	items_total integer NOT NULL,
	adjustments_total integer NOT NULL,
	total integer NOT NULL,
	created_at timestamp(0) NOT NULL,
	updated_at timestamp(0),
	currency_code varchar(3) NOT NULL,
	locale_code varchar(255) NOT NULL,
	checkout_state varchar(255) NOT NULL,
	payment_state varchar(255) NOT NULL,
	shipping_state varchar(255) NOT NULL,
	token_value varchar(255) UNIQUE,
	customer_ip varchar(255),
	created_by_guest boolean NOT NULL DEFAULT true
);
CREATE TABLE sylius_order_item (
	id serial PRIMARY KEY,
	order_id integer NOT NULL REFERENCES sylius_order ON DELETE CASCADE,
	variant_id integer NOT NULL REFERENCES sylius_product_variant,
	quantity integer NOT NULL,
	unit_price integer NOT NULL,
	original_unit_price integer,
	units_total integer NOT NULL,
	adjustments_total integer NOT NULL,
	total integer NOT NULL,
	is_immutable boolean NOT NULL,
	product_name varchar(255),
	variant_name varchar(255),
	version integer NOT NULL DEFAULT 1
);
CREATE INDEX idx_sylius_order_item_order ON sylius_order_item (order_id);
CREATE TABLE sylius_order_item_unit (
	id serial PRIMARY KEY,
	order_item_id integer NOT NULL REFERENCES sylius_order_item ON DELETE CASCADE,
	adjustments_total integer NOT NULL DEFAULT 0
);
INSERT INTO sylius_product (code) VALUES ('shirt'), ('socks'), ('hat'), ('poster');
INSERT INTO sylius_product_variant (product_id, code) VALUES (1, 'SHIRT-M'), (2, 'SOCKS'), (3, 'HAT'), (4, 'POSTER');
INSERT INTO sylius_product_translation (translatable_id, name, slug, locale)
VALUES (1, 'Blue shirt', 'shirt', 'en_US'), (1, 'Blaues Hemd', 'hemd', 'de_DE'), (2, 'Socks "warm"', 'socks', 'en_US'), (3, E'H\u00e4t\\', 'hat', 'en_US'), (4, 'Plakat', 'poster', 'en_US');

-- Saleor 3: Django's tables, a checkout is known by its uuid token and goes away
-- when it is completed; prices have three decimals and are filled in when read.
CREATE TABLE account_user (
	id serial PRIMARY KEY,
	email varchar(254) NOT NULL UNIQUE,
	first_name varchar(256) NOT NULL DEFAULT '',
	last_name varchar(256) NOT NULL DEFAULT '',
	language_code varchar(35) NOT NULL DEFAULT 'en'
);
CREATE TABLE product_product (
	id serial PRIMARY KEY,
	name varchar(250) NOT NULL,
	slug varchar(255) NOT NULL UNIQUE
);
CREATE TABLE product_productvariant (
	id serial PRIMARY KEY,
	sku varchar(255) UNIQUE,
	name varchar(255) NOT NULL,
	product_id integer NOT NULL REFERENCES product_product DEFERRABLE INITIALLY DEFERRED,
	track_inventory boolean NOT NULL DEFAULT true
);
CREATE TABLE checkout_checkout (
	token uuid PRIMARY KEY,
	created_at timestamptz NOT NULL DEFAULT now(),
	last_change timestamptz NOT NULL DEFAULT now(),
	completing_started_at timestamptz,
	price_expiration timestamptz NOT NULL DEFAULT now(),
	user_id integer REFERENCES account_user DEFERRABLE INITIALLY DEFERRED,
	email varchar(254),
	channel_id integer NOT NULL DEFAULT 1,
	currency varchar(3) NOT NULL,
	country varchar(2) NOT NULL DEFAULT 'US',
	language_code varchar(35) NOT NULL DEFAULT 'en',
	total_net_amount numeric(20,3) NOT NULL DEFAULT 0,
	total_gross_amount numeric(20,3) NOT NULL DEFAULT 0,
	subtotal_gross_amount numeric(20,3) NOT NULL DEFAULT 0,
	shipping_price_gross_amount numeric(20,3) NOT NULL DEFAULT 0,
	discount_amount numeric(20,3) NOT NULL DEFAULT 0,
	voucher_code varchar(255),
	note text NOT NULL DEFAULT '',
	authorize_status varchar(32) NOT NULL DEFAULT 'none',
	charge_status varchar(32) NOT NULL DEFAULT 'none',
	automatically_refundable boolean NOT NULL DEFAULT false
);
CREATE TABLE checkout_checkoutline (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	old_id integer UNIQUE,
	created_at timestamptz NOT NULL DEFAULT now(),
	checkout_id uuid NOT NULL REFERENCES checkout_checkout DEFERRABLE INITIALLY DEFERRED,
	variant_id integer NOT NULL REFERENCES product_productvariant DEFERRABLE INITIALLY DEFERRED,
	quantity integer NOT NULL CHECK (quantity >= 0),
	is_gift boolean NOT NULL DEFAULT false,
	price_override numeric(20,3),
	currency varchar(3) NOT NULL,
	undiscounted_unit_price_amount numeric(20,3) NOT NULL DEFAULT 0,
	total_price_net_amount numeric(20,3) NOT NULL DEFAULT 0,
	total_price_gross_amount numeric(20,3) NOT NULL DEFAULT 0,
	tax_rate numeric(5,4)
);
CREATE INDEX checkout_checkoutline_checkout_id ON checkout_checkoutline (checkout_id);
CREATE TABLE order_order (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	number varchar(64) NOT NULL UNIQUE,
	created_at timestamptz NOT NULL DEFAULT now(),
	status varchar(32) NOT NULL,
	user_id integer REFERENCES account_user DEFERRABLE INITIALLY DEFERRED,
	user_email varchar(254) NOT NULL,
	checkout_token varchar(36) NOT NULL DEFAULT '',
	currency varchar(3) NOT NULL,
	total_net_amount numeric(20,3) NOT NULL DEFAULT 0,
	total_gross_amount numeric(20,3) NOT NULL DEFAULT 0
);
CREATE SEQUENCE order_order_number_seq;
CREATE TABLE order_orderline (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	order_id uuid NOT NULL REFERENCES order_order DEFERRABLE INITIALLY DEFERRED,
	variant_id integer,
	product_sku varchar(255),
	quantity integer NOT NULL
);
INSERT INTO product_product (name, slug) VALUES ('Blue shirt', 'blue-shirt'), ('Socks "warm"', 'socks'), (E'H\u00e4t\\', 'hat'), ('Plakat', 'poster');
INSERT INTO product_productvariant (sku, name, product_id) VALUES ('SHIRT-M', 'M', 1), ('SOCKS', 'one size', 2), ('HAT', 'L', 3), (NULL, 'A1', 4);

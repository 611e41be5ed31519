-- Medusa 2: ids are prefixed texts, currencies lower case, money in major units
-- beside its raw form, rows are removed by deleted_at.
CREATE TABLE cart (
	id text PRIMARY KEY,
	region_id text,
	customer_id text,
	sales_channel_id text,
	email text,
	currency_code text NOT NULL,
	shipping_address_id text,
	billing_address_id text,
	metadata jsonb,
	locale text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,
	completed_at timestamptz
);
CREATE TABLE cart_address (
	id text PRIMARY KEY,
	customer_id text,
	first_name text,
	last_name text,
	address_1 text,
	city text,
	country_code text,
	phone text,
	deleted_at timestamptz
);
ALTER TABLE cart ADD FOREIGN KEY (shipping_address_id) REFERENCES cart_address ON UPDATE CASCADE ON DELETE SET NULL;
CREATE TABLE cart_line_item (
	id text PRIMARY KEY,
	cart_id text NOT NULL REFERENCES cart ON UPDATE CASCADE ON DELETE CASCADE,
	title text NOT NULL,
	subtitle text,
	thumbnail text,
	quantity integer NOT NULL,
	variant_id text,
	product_id text,
	product_title text,
	variant_sku text,
	variant_title text,
	requires_shipping boolean NOT NULL DEFAULT true,
	is_discountable boolean NOT NULL DEFAULT true,
	is_tax_inclusive boolean NOT NULL DEFAULT false,
	is_custom_price boolean NOT NULL DEFAULT false,
	is_giftcard boolean NOT NULL DEFAULT false,
	compare_at_unit_price numeric,
	unit_price numeric NOT NULL CHECK (unit_price >= 0),
	raw_unit_price jsonb NOT NULL,
	metadata jsonb,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
CREATE INDEX "IDX_line_item_cart_id" ON cart_line_item (cart_id) WHERE deleted_at IS NULL;
CREATE TABLE "order" (
	id text PRIMARY KEY,
	display_id serial,
	status text NOT NULL DEFAULT 'pending',
	region_id text,
	customer_id text,
	email text,
	currency_code text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	canceled_at timestamptz,
	deleted_at timestamptz
);
CREATE TABLE order_summary (
	id text PRIMARY KEY,
	order_id text NOT NULL REFERENCES "order" ON DELETE CASCADE,
	version integer NOT NULL DEFAULT 1,
	totals jsonb,
	deleted_at timestamptz
);
CREATE TABLE order_cart (
	order_id varchar(255) NOT NULL,
	cart_id varchar(255) NOT NULL,
	id varchar(255) NOT NULL,
	created_at timestamptz(0) NOT NULL DEFAULT now(),
	updated_at timestamptz(0) NOT NULL DEFAULT now(),
	deleted_at timestamptz(0),
	PRIMARY KEY (order_id, cart_id)
);
CREATE TABLE payment_session (
	id text PRIMARY KEY,
	cart_id text,
	provider_id text NOT NULL,
	status text NOT NULL DEFAULT 'pending',
	deleted_at timestamptz
);
CREATE TABLE shop_variant (id text PRIMARY KEY, sku text, product text NOT NULL, title text NOT NULL);
INSERT INTO shop_variant VALUES ('variant_1', 'SHIRT-M', 'Blue shirt', 'M'), ('variant_2', 'SOCKS', 'Socks "warm"', 'one size'), ('variant_3', 'HAT', E'H\u00e4t\\', 'L'),
	('variant_4', 'POSTER', 'Plakat', 'A1');

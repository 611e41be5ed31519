-- Spree 5: Rails' tables; the currency stands on order and line; a cart is known to the
-- browser by its token.
CREATE TABLE spree_users (id bigserial PRIMARY KEY, email varchar NOT NULL UNIQUE);
CREATE TABLE spree_products (id bigserial PRIMARY KEY, name varchar NOT NULL, slug varchar NOT NULL UNIQUE);
CREATE TABLE spree_variants (
	id bigserial PRIMARY KEY,
	sku varchar NOT NULL DEFAULT '',
	is_master boolean NOT NULL DEFAULT true,
	product_id bigint,
	deleted_at timestamp(6)
);
CREATE TABLE spree_orders (
	id bigserial PRIMARY KEY,
	number varchar(32) NOT NULL UNIQUE,
	item_total numeric(10,2) NOT NULL DEFAULT 0,
	total numeric(10,2) NOT NULL DEFAULT 0,
	state varchar,
	adjustment_total numeric(10,2) NOT NULL DEFAULT 0,
	user_id bigint,
	completed_at timestamp(6),
	payment_total numeric(10,2) DEFAULT 0,
	shipment_total numeric(10,2) NOT NULL DEFAULT 0,
	shipment_state varchar,
	payment_state varchar,
	email varchar,
	currency varchar,
	last_ip_address varchar,
	token varchar UNIQUE,
	item_count integer DEFAULT 0,
	store_id bigint,
	canceled_at timestamp(6),
	state_lock_version integer NOT NULL DEFAULT 0,
	created_at timestamp(6) NOT NULL DEFAULT now(),
	updated_at timestamp(6) NOT NULL DEFAULT now()
);
CREATE TABLE spree_line_items (
	id bigserial PRIMARY KEY,
	variant_id bigint,
	order_id bigint,
	quantity integer NOT NULL,
	price numeric(10,2) NOT NULL,
	currency varchar,
	cost_price numeric(10,2),
	adjustment_total numeric(10,2) DEFAULT 0,
	created_at timestamp(6) NOT NULL DEFAULT now(),
	updated_at timestamp(6) NOT NULL DEFAULT now()
);
CREATE INDEX index_spree_line_items_on_order_id ON spree_line_items (order_id);
CREATE TABLE spree_payments (
	id bigserial PRIMARY KEY,
	amount numeric(10,2) NOT NULL DEFAULT 0,
	order_id bigint,
	state varchar
);
INSERT INTO spree_products (name, slug) VALUES ('Blue shirt M', 'blue-shirt'), ('Socks "warm"', 'socks'), (E'H\u00e4t\\', 'hat'), ('Plakat', 'poster');
INSERT INTO spree_variants (sku, product_id) VALUES ('SHIRT-M', 1), ('SOCKS', 2), ('HAT', 3), ('POSTER', 4);

-- Solidus 4: Spree's cousin; the currency stands on the order only, the browser's token
-- is guest_token.
CREATE TABLE spree_users (id serial PRIMARY KEY, email varchar NOT NULL UNIQUE);
CREATE TABLE spree_products (id serial PRIMARY KEY, name varchar NOT NULL DEFAULT '', slug varchar NOT NULL UNIQUE);
CREATE TABLE spree_variants (
	id serial PRIMARY KEY,
	sku varchar NOT NULL DEFAULT '',
	is_master boolean DEFAULT false,
	product_id integer,
	deleted_at timestamp
);
CREATE TABLE spree_orders (
	id serial PRIMARY KEY,
	number varchar(32) UNIQUE,
	item_total numeric(10,2) NOT NULL DEFAULT 0,
	total numeric(10,2) NOT NULL DEFAULT 0,
	state varchar,
	adjustment_total numeric(10,2) NOT NULL DEFAULT 0,
	user_id integer,
	completed_at timestamp,
	payment_total numeric(10,2) DEFAULT 0,
	shipment_total numeric(10,2) NOT NULL DEFAULT 0,
	shipment_state varchar,
	payment_state varchar,
	email varchar,
	currency varchar,
	last_ip_address varchar,
	guest_token varchar,
	item_count integer DEFAULT 0,
	store_id integer,
	canceled_at timestamp,
	frontend_viewable boolean NOT NULL DEFAULT true,
	created_at timestamp(6),
	updated_at timestamp(6)
);
CREATE TABLE spree_line_items (
	id serial PRIMARY KEY,
	variant_id integer,
	order_id integer,
	quantity integer NOT NULL,
	price numeric(10,2) NOT NULL,
	cost_price numeric(10,2),
	adjustment_total numeric(10,2) DEFAULT 0,
	created_at timestamp(6),
	updated_at timestamp(6)
);
CREATE INDEX index_spree_line_items_on_order_id ON spree_line_items (order_id);
CREATE TABLE spree_payments (
	id serial PRIMARY KEY,
	amount numeric(10,2) NOT NULL DEFAULT 0,
	order_id integer,
	state varchar
);
INSERT INTO spree_products (name, slug) VALUES ('Blue shirt M', 'blue-shirt'), ('Socks "warm"', 'socks'), (E'H\u00e4t\\', 'hat'), ('Plakat', 'poster');
INSERT INTO spree_variants (sku, product_id) VALUES ('SHIRT-M', 1), ('SOCKS', 2), ('HAT', 3), ('POSTER', 4);

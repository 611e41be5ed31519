-- Vendure 3: TypeORM's tables, camel case, "order" reserved, timestamps without
-- zone, money in minor units.  A line's order may be null for a moment; what the
-- order comes to is not stored.
CREATE TABLE channel (
	id serial PRIMARY KEY,
	code varchar NOT NULL UNIQUE,
	token varchar NOT NULL UNIQUE,
	"defaultLanguageCode" varchar NOT NULL,
	"defaultCurrencyCode" varchar NOT NULL,
	"pricesIncludeTax" boolean NOT NULL
);
CREATE TABLE customer (
	id serial PRIMARY KEY,
	"createdAt" timestamp(6) NOT NULL DEFAULT now(),
	"updatedAt" timestamp(6) NOT NULL DEFAULT now(),
	"deletedAt" timestamp,
	title varchar,
	"firstName" varchar NOT NULL,
	"lastName" varchar NOT NULL,
	"phoneNumber" varchar,
	"emailAddress" varchar NOT NULL,
	"userId" integer
);
CREATE TABLE product_variant (
	id serial PRIMARY KEY,
	"createdAt" timestamp(6) NOT NULL DEFAULT now(),
	"updatedAt" timestamp(6) NOT NULL DEFAULT now(),
	"deletedAt" timestamp,
	enabled boolean NOT NULL DEFAULT true,
	sku varchar NOT NULL,
	"productId" integer
);
CREATE TABLE product_variant_translation (
	id serial PRIMARY KEY,
	"languageCode" varchar NOT NULL,
	name varchar NOT NULL,
	"baseId" integer REFERENCES product_variant ON DELETE CASCADE
);
CREATE TABLE "order" (
	id serial PRIMARY KEY,
	"createdAt" timestamp(6) NOT NULL DEFAULT now(),
	"updatedAt" timestamp(6) NOT NULL DEFAULT now(),
	type varchar NOT NULL DEFAULT 'Regular',
	code varchar NOT NULL UNIQUE,
	state varchar NOT NULL,
	active boolean NOT NULL DEFAULT true,
	"orderPlacedAt" timestamp,
	"couponCodes" text NOT NULL DEFAULT '',
	"shippingAddress" text NOT NULL DEFAULT '{}',
	"billingAddress" text NOT NULL DEFAULT '{}',
	"currencyCode" varchar NOT NULL,
	"aggregateOrderId" integer REFERENCES "order",
	"customerId" integer REFERENCES customer,
	"taxZoneId" integer,
	"subTotal" integer NOT NULL DEFAULT 0,
	"subTotalWithTax" integer NOT NULL DEFAULT 0,
	shipping integer NOT NULL DEFAULT 0,
	"shippingWithTax" integer NOT NULL DEFAULT 0
);
CREATE TABLE order_line (
	id serial PRIMARY KEY,
	"createdAt" timestamp(6) NOT NULL DEFAULT now(),
	"updatedAt" timestamp(6) NOT NULL DEFAULT now(),
	quantity integer NOT NULL,
	"orderPlacedQuantity" integer NOT NULL DEFAULT 0,
	"listPriceIncludesTax" boolean NOT NULL,
	adjustments text NOT NULL DEFAULT '[]',
	"taxLines" text NOT NULL DEFAULT '[]',
	"productVariantId" integer NOT NULL REFERENCES product_variant,
	"taxCategoryId" integer,
	"initialListPrice" integer,
	"listPrice" integer NOT NULL,
	"orderId" integer REFERENCES "order" ON DELETE CASCADE
);
CREATE INDEX "IDX_order_line_order" ON order_line ("orderId");
CREATE TABLE order_channels_channel (
	"orderId" integer NOT NULL REFERENCES "order" ON DELETE CASCADE ON UPDATE CASCADE,
	"channelId" integer NOT NULL REFERENCES channel ON DELETE CASCADE ON UPDATE CASCADE,
	PRIMARY KEY ("orderId", "channelId")
);
CREATE TABLE payment (
	id serial PRIMARY KEY,
	"createdAt" timestamp(6) NOT NULL DEFAULT now(),
	method varchar NOT NULL,
	amount integer NOT NULL,
	state varchar NOT NULL,
	"errorMessage" varchar,
	"transactionId" varchar,
	metadata text NOT NULL DEFAULT '{}',
	"orderId" integer REFERENCES "order"
);
CREATE TABLE session (
	id serial PRIMARY KEY,
	"createdAt" timestamp(6) NOT NULL DEFAULT now(),
	token varchar NOT NULL UNIQUE,
	expires timestamp NOT NULL,
	invalidated boolean NOT NULL DEFAULT false,
	"authenticationStrategy" varchar,
	"activeOrderId" integer REFERENCES "order",
	"activeChannelId" integer REFERENCES channel,
	type varchar NOT NULL,
	"userId" integer
);
INSERT INTO channel (code, token, "defaultLanguageCode", "defaultCurrencyCode", "pricesIncludeTax") VALUES ('__default_channel__', 'channel-token', 'en', 'USD', false);
INSERT INTO product_variant (sku) VALUES ('SHIRT-M'), ('SOCKS'), ('HAT'), ('POSTER');
INSERT INTO product_variant_translation ("languageCode", name, "baseId")
VALUES ('en', 'Blue shirt M', 1), ('de', 'Blaues Hemd M', 1), ('en', 'Socks "warm"', 2), ('en', E'H\u00e4t\\', 3), ('de', 'Plakat', 4);

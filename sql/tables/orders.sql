		CREATE SEQUENCE incomplete_orders.reference_seq;
		CREATE SEQUENCE incomplete_orders.order_number_seq START 100001;

		-- Hot and small.  Columns that every capture changes stand last and
		-- together (the quantities in items last too), because an update logs what
		-- lies between the common prefix and suffix of the row; none of them is
		-- indexed, so updates stay HOT.  To know
		-- that, every update compares every indexed column: those stand first, and
		-- of them those of fixed size, which are found without walking the row.
		CREATE TABLE incomplete_orders.open_orders (
			shop_id integer NOT NULL,
			id uuid NOT NULL,
			created_at timestamptz NOT NULL DEFAULT now(),
			next_action_at timestamptz NOT NULL,
			expires_at timestamptz NOT NULL,
			kind incomplete_orders.order_kind NOT NULL DEFAULT 'cart',
			status incomplete_orders.order_status NOT NULL DEFAULT 'pending',
			furthest_step incomplete_orders.checkout_step NOT NULL DEFAULT 'cart',
			root_id uuid NOT NULL,
			episode integer NOT NULL DEFAULT 1,
			recovery_attempts integer NOT NULL DEFAULT 0,
			bot boolean NOT NULL DEFAULT false,
			reference text NOT NULL,
			session_id text,
			customer_id text,
			email text,
			attachment integer,
			cart_key text,
			phone text,
			name text,
			currency text NOT NULL,
			shipping numeric NOT NULL DEFAULT 0,
			tax numeric NOT NULL DEFAULT 0,
			discount numeric NOT NULL DEFAULT 0,
			coupon_code text,
			coupon_discount numeric NOT NULL DEFAULT 0,
			last_recovery_at timestamptz,
			abandonment_reason text,
			address jsonb,
			context jsonb,
			abandoned_at timestamptz,
			lost_at timestamptz,
			payment_reference text,
			payment_deadline timestamptz,
			continues_id uuid,
			sequence_step integer NOT NULL DEFAULT 0,
			next_message_at timestamptz,
			items incomplete_orders.line_items NOT NULL,
			last_activity_at timestamptz NOT NULL DEFAULT now(),
			version integer NOT NULL DEFAULT 1,
			PRIMARY KEY (shop_id, id)
		) WITH (fillfactor = 70);
		CREATE UNIQUE INDEX open_orders_session ON incomplete_orders.open_orders (shop_id, session_id);
		CREATE UNIQUE INDEX open_orders_reference ON incomplete_orders.open_orders (shop_id, reference);
		CREATE UNIQUE INDEX open_orders_cart_key ON incomplete_orders.open_orders (shop_id, attachment, cart_key) WHERE cart_key IS NOT NULL;
		CREATE INDEX open_orders_email ON incomplete_orders.open_orders (shop_id, lower(email COLLATE "C")) WHERE email IS NOT NULL;
		CREATE INDEX open_orders_customer ON incomplete_orders.open_orders (shop_id, customer_id) WHERE customer_id IS NOT NULL;
		CREATE INDEX open_orders_phone ON incomplete_orders.open_orders (shop_id, translate(phone, ' ()-./+', '')) WHERE phone IS NOT NULL;
		CREATE INDEX open_orders_created ON incomplete_orders.open_orders (shop_id, created_at, id);
		-- lists of the states in which few orders are
		CREATE INDEX open_orders_rare ON incomplete_orders.open_orders (shop_id, created_at, id) WHERE status IN ('payment_pending', 'payment_failed');
		CREATE INDEX open_orders_due ON incomplete_orders.open_orders (shop_id, next_action_at);
		CREATE INDEX open_orders_message_due ON incomplete_orders.open_orders (shop_id, next_message_at) WHERE next_message_at IS NOT NULL;

		CREATE TABLE incomplete_orders.closed_orders (
			LIKE incomplete_orders.open_orders INCLUDING DEFAULTS,
			closed_at timestamptz NOT NULL,
			close_reason text,
			late boolean NOT NULL DEFAULT false,
			PRIMARY KEY (shop_id, id)
		) PARTITION BY RANGE (id);
		ALTER TABLE incomplete_orders.closed_orders ALTER COLUMN next_action_at DROP NOT NULL;
		CREATE INDEX closed_orders_session ON incomplete_orders.closed_orders (shop_id, session_id);
		CREATE INDEX closed_orders_reference ON incomplete_orders.closed_orders (shop_id, reference);
		CREATE INDEX closed_orders_email ON incomplete_orders.closed_orders (shop_id, lower(email COLLATE "C")) WHERE email IS NOT NULL;
		CREATE INDEX closed_orders_customer ON incomplete_orders.closed_orders (shop_id, customer_id) WHERE customer_id IS NOT NULL;
		CREATE INDEX closed_orders_phone ON incomplete_orders.closed_orders (shop_id, translate(phone, ' ()-./+', '')) WHERE phone IS NOT NULL;
		CREATE INDEX closed_orders_created ON incomplete_orders.closed_orders (shop_id, created_at, id);
		CREATE INDEX closed_orders_rare ON incomplete_orders.closed_orders (shop_id, created_at, id) WHERE status IN ('dismissed', 'deleted', 'reversed');
		CREATE INDEX closed_orders_cart_key ON incomplete_orders.closed_orders (shop_id, attachment, cart_key) WHERE cart_key IS NOT NULL;
		-- whether a month's retention is over; rows come in the order of closed_at
		CREATE INDEX closed_orders_closed ON incomplete_orders.closed_orders USING brin (closed_at);
		CREATE TABLE incomplete_orders.closed_orders_default PARTITION OF incomplete_orders.closed_orders DEFAULT;

		CREATE TABLE incomplete_orders.orders (
			shop_id integer NOT NULL,
			order_id uuid NOT NULL,
			order_number text NOT NULL,
			incomplete_order_id uuid,
			part integer NOT NULL DEFAULT 1,
			foreign_order text,
			currency text NOT NULL,
			shipping numeric NOT NULL DEFAULT 0,
			tax numeric NOT NULL DEFAULT 0,
			discount numeric NOT NULL DEFAULT 0,
			coupon_discount numeric NOT NULL DEFAULT 0,
			total numeric NOT NULL,
			paid boolean NOT NULL DEFAULT false,
			paid_at timestamptz,
			refunded numeric NOT NULL DEFAULT 0,
			converted_at timestamptz NOT NULL,
			late boolean NOT NULL DEFAULT false,
			idempotency_key text,
			request_hash bigint,
			PRIMARY KEY (shop_id, order_id)
		);
		CREATE UNIQUE INDEX orders_part ON incomplete_orders.orders (shop_id, incomplete_order_id, part);
		CREATE UNIQUE INDEX orders_number ON incomplete_orders.orders (shop_id, order_number) WHERE foreign_order IS NULL;
		CREATE UNIQUE INDEX orders_foreign ON incomplete_orders.orders (shop_id, foreign_order) WHERE foreign_order IS NOT NULL;

		CREATE TABLE incomplete_orders.order_items (
			shop_id integer NOT NULL,
			order_id uuid NOT NULL,
			line integer NOT NULL,
			sku text NOT NULL,
			name text,
			quantity integer NOT NULL,
			unit_price numeric NOT NULL,
			product_id text,
			variant text,
			image_url text,
			url text,
			extras jsonb,
			PRIMARY KEY (shop_id, order_id, line)
		);

		CREATE TABLE incomplete_orders.order_refunds (
			shop_id integer NOT NULL,
			order_id uuid NOT NULL,
			refund integer NOT NULL,
			amount numeric NOT NULL CHECK (amount > 0),
			idempotency_key text,
			refunded_at timestamptz NOT NULL,
			PRIMARY KEY (shop_id, order_id, refund)
		);
		CREATE UNIQUE INDEX order_refunds_key ON incomplete_orders.order_refunds (shop_id, order_id, idempotency_key);

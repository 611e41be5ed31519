		-- What runs by itself says here when it last did, and what it did.
		CREATE TABLE incomplete_orders.heartbeats (
			job text PRIMARY KEY,
			at timestamptz NOT NULL,
			report jsonb NOT NULL DEFAULT '{}'
		);

		-- A function that a shop named and that fails: its last failure.  A success
		-- removes the row.
		CREATE TABLE incomplete_orders.hook_failures (
			shop_id integer NOT NULL,
			hook text NOT NULL,
			failed_at timestamptz NOT NULL,
			failures bigint NOT NULL DEFAULT 1,
			sqlstate text NOT NULL,
			PRIMARY KEY (shop_id, hook)
		);

		CREATE SEQUENCE incomplete_orders.attachment_seq AS integer;

		-- A shop's own tables that are watched.  mapping is complete: the preset with
		-- what was overridden; read_query, list_query and key_queries are made of it.
		-- They run as the role of that name and oid in that cluster, never as us.
		-- list_*: how far a listing of all its carts is (attach_list.c).
		CREATE TABLE incomplete_orders.attached_tables (
			shop_id integer NOT NULL,
			attachment integer NOT NULL UNIQUE,
			name text NOT NULL,
			preset text,
			mapping jsonb NOT NULL,
			role_name text NOT NULL,
			role_oid oid NOT NULL,
			cluster_id bigint NOT NULL,
			tables jsonb NOT NULL,
			read_query text NOT NULL,
			list_query text NOT NULL,
			key_queries jsonb NOT NULL DEFAULT '{}',
			settle interval NOT NULL DEFAULT '5 seconds',
			always boolean NOT NULL DEFAULT false,
			restore_url text,
			state text NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'broken')),
			problem text,
			problem_sqlstate text,
			problem_at timestamptz,
			failures integer NOT NULL DEFAULT 0,
			retry_at timestamptz,
			attached_at timestamptz NOT NULL DEFAULT now(),
			list_phase smallint NOT NULL DEFAULT 0,
			list_after text,
			list_mark timestamptz,
			last_read_at timestamptz,
			PRIMARY KEY (shop_id, attachment),
			UNIQUE (shop_id, name)
		);

		-- Orders that continue one whose completion the shop took back; root_id is the first.
		CREATE TABLE incomplete_orders.continued_orders (
			shop_id integer NOT NULL,
			root_id uuid NOT NULL,
			order_id uuid NOT NULL,
			PRIMARY KEY (shop_id, root_id, order_id)
		);

		-- The carts that tick is to read.  key '': all of them; path -1: nobody acted,
		-- it is only told of again (attach, reconcile).
		CREATE TABLE incomplete_orders.due_carts (
			attachment integer NOT NULL,
			path smallint NOT NULL,
			key text NOT NULL,
			first_marked_at timestamptz NOT NULL,
			marked_at timestamptz NOT NULL,
			-- of a cart whose values cannot be captured
			retry_at timestamptz,
			sqlstate text,
			problem text,
			PRIMARY KEY (attachment, path, key)
		);

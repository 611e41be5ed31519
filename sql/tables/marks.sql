		-- Which carts of a shop's own tables changed: written by the trigger of
		-- attach(), read by tick.  No index, no key, never updated or deleted from: a
		-- partition that has come to rest is emptied by TRUNCATE.  xid is that of the
		-- whole transaction, xmin may be that of a savepoint.
		CREATE TABLE incomplete_orders.cart_marks (
			xid xid8 NOT NULL,
			marked_at timestamptz NOT NULL,
			attachment integer NOT NULL,
			path smallint NOT NULL,
			segment smallint NOT NULL,
			key text
		) PARTITION BY LIST (segment);
		FOR i IN 0 .. 3 LOOP
			-- TRUNCATE leaves nothing to be vacuumed
			EXECUTE format('CREATE TABLE incomplete_orders.cart_marks_%s PARTITION OF incomplete_orders.cart_marks FOR VALUES IN (%s)
				WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false)', i, i);
		END LOOP;
		-- What tick has read of a partition: everything that this snapshot saw, but
		-- for what drained_by itself wrote.  It holds in one database of one cluster.
		CREATE TABLE incomplete_orders.cart_mark_progress (
			segment smallint PRIMARY KEY,
			cluster_id bigint NOT NULL,
			database_oid oid NOT NULL,
			snapshot pg_snapshot NOT NULL,
			drained_by xid8 NOT NULL,
			drained_at timestamptz NOT NULL
		);

		-- Where a shop wants to hear what happens: one row for each address.  starts_at: what
		-- happened before it is not told.  failing_since, failures, retry_at: it did not
		-- answer the last time, since when, how often, and when it is tried again.
		CREATE TABLE incomplete_orders.webhooks (
			shop_id integer NOT NULL,
			webhook text NOT NULL CHECK (webhook ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
			url text NOT NULL,
			events text[] NOT NULL,
			contact boolean NOT NULL DEFAULT false,
			active boolean NOT NULL DEFAULT true,
			starts_at timestamptz NOT NULL,
			changed_at timestamptz NOT NULL,
			failing_since timestamptz,
			failures integer NOT NULL DEFAULT 0,
			retry_at timestamptz,
			PRIMARY KEY (shop_id, webhook)
		);
		-- What is to be told, and what was.  due_at: when it may be claimed; while it is
		-- sent, when the lease ends; at the end, since when.  token is that of the last
		-- claim.  facts: what happened, and nothing of a person: that is added when it
		-- is claimed.  problem is in words of ours.
		CREATE TABLE incomplete_orders.webhook_deliveries (
			shop_id integer NOT NULL,
			id uuid NOT NULL,
			webhook text NOT NULL,
			due_at timestamptz NOT NULL,
			status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sending', 'delivered', 'dead')),
			attempts integer NOT NULL DEFAULT 0,
			token bigint NOT NULL DEFAULT 0,
			event text NOT NULL,
			order_id uuid,
			event_id bigint,
			at timestamptz NOT NULL,
			queued_at timestamptz NOT NULL,
			give_up_at timestamptz,
			claimed_by text,
			http_status integer,
			problem text,
			facts jsonb NOT NULL,
			PRIMARY KEY (shop_id, id)
		) WITH (fillfactor = 80);
		CREATE INDEX webhook_deliveries_due ON incomplete_orders.webhook_deliveries (shop_id, webhook, due_at, id) WHERE status IN ('queued', 'sending');
		CREATE INDEX webhook_deliveries_dead ON incomplete_orders.webhook_deliveries (shop_id, id) WHERE status = 'dead';

		-- Secrets that a shop shares with others, never readable but by the owner.
		-- webhook: signs what goes to that address; mail_events: a mail service signs
		-- with it.  former: the one before, which is good until then.
		CREATE TABLE incomplete_orders.shop_secrets (
			shop_id integer NOT NULL,
			purpose text NOT NULL CHECK (purpose IN ('webhook', 'mail_events')),
			name text NOT NULL,
			secret bytea NOT NULL CHECK (octet_length(secret) = 32),
			former bytea,
			former_until timestamptz,
			PRIMARY KEY (shop_id, purpose, name)
		);


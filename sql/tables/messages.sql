		-- Which order is mailed what and when: one sequence for each kind of order.
		-- not_before: orders abandoned before it are not mailed by the campaign.
		CREATE TABLE incomplete_orders.campaigns (
			shop_id integer NOT NULL,
			campaign text NOT NULL,
			kind incomplete_orders.order_kind NOT NULL,
			enabled boolean NOT NULL DEFAULT false,
			not_before timestamptz,
			changed_at timestamptz,
			PRIMARY KEY (shop_id, campaign),
			UNIQUE (shop_id, kind),
			CHECK (NOT enabled OR not_before IS NOT NULL)
		);
		-- delay: after abandoned_at
		CREATE TABLE incomplete_orders.campaign_steps (
			shop_id integer NOT NULL,
			campaign text NOT NULL,
			step integer NOT NULL CHECK (step BETWEEN 1 AND 20),
			delay interval NOT NULL CHECK (delay >= interval '0' AND delay <= interval '365 days'),
			message_type text NOT NULL CHECK (message_type IN ('abandoned_cart', 'payment_reminder', 'final_reminder', 'discount_offer')),
			template text NOT NULL,
			PRIMARY KEY (shop_id, campaign, step),
			FOREIGN KEY (shop_id, campaign) REFERENCES incomplete_orders.campaigns ON DELETE CASCADE
		);
		-- What is tried against each other in a step, by weight; template null: that of
		-- the step.
		CREATE TABLE incomplete_orders.step_variants (
			shop_id integer NOT NULL,
			campaign text NOT NULL,
			step integer NOT NULL,
			variant text NOT NULL,
			weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0 AND 1000),
			template text,
			PRIMARY KEY (shop_id, campaign, step, variant),
			FOREIGN KEY (shop_id, campaign, step) REFERENCES incomplete_orders.campaign_steps ON DELETE CASCADE
		);
		-- The discount that comes with a step; former: what the step was without one.
		CREATE TABLE incomplete_orders.coupons (
			shop_id integer NOT NULL,
			campaign text NOT NULL,
			step integer NOT NULL,
			kind text NOT NULL CHECK (kind IN ('percentage', 'amount')),
			value numeric NOT NULL CHECK (value > 0 AND (kind = 'amount' OR value <= 100)),
			currency text NOT NULL,
			minimum_value numeric NOT NULL DEFAULT 0 CHECK (minimum_value >= 0),
			valid_for interval NOT NULL CHECK (valid_for >= interval '1 day' AND valid_for <= interval '365 days'),
			cool_down interval NOT NULL CHECK (cool_down >= interval '0' AND cool_down <= interval '365 days'),
			former_type text NOT NULL,
			former_template text NOT NULL,
			changed_at timestamptz NOT NULL,
			PRIMARY KEY (shop_id, campaign, step),
			FOREIGN KEY (shop_id, campaign, step) REFERENCES incomplete_orders.campaign_steps ON DELETE CASCADE
		);
		-- The coupons that messages were sent with, as they were promised: used_by is the
		-- incomplete order that was converted with it.
		CREATE TABLE incomplete_orders.issued_coupons (
			shop_id integer NOT NULL,
			code text NOT NULL,
			message_id uuid NOT NULL,
			root_id uuid NOT NULL,
			kind text NOT NULL CHECK (kind IN ('percentage', 'amount')),
			value numeric NOT NULL,
			currency text NOT NULL,
			minimum_value numeric NOT NULL,
			issued_at timestamptz NOT NULL,
			expires_at timestamptz NOT NULL,
			used_at timestamptz,
			used_by uuid,
			cost numeric,
			PRIMARY KEY (shop_id, code),
			UNIQUE (shop_id, message_id)
		);
		CREATE INDEX issued_coupons_root ON incomplete_orders.issued_coupons (shop_id, root_id);
		CREATE INDEX issued_coupons_issued ON incomplete_orders.issued_coupons (shop_id, issued_at, code);
		-- Whose they are, by the keys of _person_keys().
		CREATE TABLE incomplete_orders.coupon_persons (
			shop_id integer NOT NULL,
			person bigint NOT NULL,
			issued_at timestamptz NOT NULL,
			code text NOT NULL,
			PRIMARY KEY (shop_id, person, issued_at, code)
		);
		-- The text of a mail, as mustache templates; shop_id 0 holds the defaults of
		-- all shops, which setup() keeps as this version has them.
		CREATE TABLE incomplete_orders.templates (
			shop_id integer NOT NULL,
			template text NOT NULL,
			locale text NOT NULL DEFAULT 'en',
			subject text NOT NULL,
			preheader text NOT NULL DEFAULT '',
			headline text NOT NULL,
			body text NOT NULL,
			button text NOT NULL,
			footer text NOT NULL DEFAULT '',
			changed_at timestamptz,
			PRIMARY KEY (shop_id, template, locale)
		);

		-- One recovery message.  due_at: when it may be claimed; while it is being
		-- sent, when the lease ends; once it is dead, since when.  token is that of
		-- the last claim.  What is said of the message once it was sent stands behind.
		CREATE TABLE incomplete_orders.messages (
			shop_id integer NOT NULL,
			id uuid NOT NULL,
			due_at timestamptz NOT NULL,
			status incomplete_orders.message_status NOT NULL DEFAULT 'queued',
			attempts integer NOT NULL DEFAULT 0,
			token bigint NOT NULL DEFAULT 0,
			order_id uuid NOT NULL,
			root_id uuid NOT NULL,
			episode integer NOT NULL,
			step integer NOT NULL,
			ordinal integer NOT NULL DEFAULT 0,
			campaign text,
			variant text,
			message_type text NOT NULL,
			template text NOT NULL,
			subject text,
			recipient text NOT NULL,
			queued_at timestamptz NOT NULL,
			give_up_at timestamptz NOT NULL,
			claimed_by text,
			sent_at timestamptz,
			mail_message_id text,
			response text,
			reason text,
			idempotency_key text,
			delivered_at timestamptz,
			opened_at timestamptz,
			clicked_at timestamptz,
			replied_at timestamptz,
			bounced_at timestamptz,
			complained_at timestamptz,
			unsubscribed_at timestamptz,
			PRIMARY KEY (shop_id, id)
		) WITH (fillfactor = 80);
		CREATE UNIQUE INDEX messages_once ON incomplete_orders.messages (shop_id, root_id, episode, step, ordinal);
		-- the id too: a claim goes on behind the last one, also among many of one instant
		CREATE INDEX messages_due ON incomplete_orders.messages (shop_id, due_at, id) WHERE status IN ('queued', 'sending');
		CREATE INDEX messages_dead ON incomplete_orders.messages (shop_id, id) WHERE status = 'dead';

		-- The ledger: why a message was not sent.
		CREATE TABLE incomplete_orders.message_skips (
			shop_id integer NOT NULL,
			order_id uuid NOT NULL,
			skip_id bigint GENERATED BY DEFAULT AS IDENTITY,
			episode integer NOT NULL,
			campaign text,
			step integer NOT NULL,
			ordinal integer NOT NULL DEFAULT 0,
			message_id uuid,
			at timestamptz NOT NULL,
			reason text NOT NULL,
			PRIMARY KEY (shop_id, order_id, skip_id)
		);

		-- Keys of our own, never readable but by the owner.  person: keys of persons
		-- in suppressions and the tables person_*, and draws; link: signs the links in mails.
		CREATE TABLE incomplete_orders.secret_keys (
			purpose text NOT NULL CHECK (purpose IN ('person', 'link')),
			key_id integer NOT NULL CHECK (key_id BETWEEN 1 AND 32767),
			secret bytea NOT NULL CHECK (octet_length(secret) = 32),
			created_at timestamptz NOT NULL DEFAULT now(),
			PRIMARY KEY (purpose, key_id)
		);
		-- Who may not be mailed, by the keyed hash of the address (_person_keys).  Scope
		-- data: may be mailed, but stood in what was forgotten, and people share it:
		-- phones, further addresses.
		CREATE TABLE incomplete_orders.suppressions (
			shop_id integer NOT NULL,
			person bigint NOT NULL,
			scope text NOT NULL DEFAULT 'recovery' CHECK (scope IN ('recovery', 'all', 'data')),
			reason text NOT NULL,
			at timestamptz NOT NULL,
			message_id uuid,
			PRIMARY KEY (shop_id, person, scope)
		);
		CREATE INDEX suppressions_at ON incomplete_orders.suppressions (shop_id, at, person, scope);
		-- What a person agreed to, by the keyed hash of the address or customer: rows are
		-- only added, and the newest of a person and purpose is in force.
		CREATE TABLE incomplete_orders.consents (
			shop_id integer NOT NULL,
			person bigint NOT NULL,
			purpose text NOT NULL,
			at timestamptz NOT NULL,
			consent_id bigint GENERATED BY DEFAULT AS IDENTITY,
			status text NOT NULL CHECK (status IN ('granted', 'withdrawn')),
			text_version text,
			source text,
			PRIMARY KEY (shop_id, person, purpose, at, consent_id)
		);
		CREATE INDEX consents_at ON incomplete_orders.consents (shop_id, at, consent_id);
		-- Whom a message went to that retention has deleted: its unsubscribe link must
		-- work for as long as it is valid.
		CREATE TABLE incomplete_orders.past_recipients (
			shop_id integer NOT NULL,
			message_id uuid NOT NULL,
			person bigint NOT NULL,
			PRIMARY KEY (shop_id, message_id)
		);
		-- Which person ordered, and when, by keyed hashes of customer, address and
		-- phone: for as long as it can stop a message.
		CREATE TABLE incomplete_orders.person_orders (
			shop_id integer NOT NULL,
			person bigint NOT NULL,
			ordered_at timestamptz NOT NULL,
			order_id uuid NOT NULL,
			PRIMARY KEY (shop_id, person, ordered_at, order_id)
		);
		-- Which messages were queued to a person, and when, by the same keys: for as
		-- long as the gap between two or a cap can ask for it.
		CREATE TABLE incomplete_orders.person_messages (
			shop_id integer NOT NULL,
			person bigint NOT NULL,
			queued_at timestamptz NOT NULL,
			message_id uuid NOT NULL,
			PRIMARY KEY (shop_id, person, queued_at, message_id)
		);
		-- Who is held out of recovery and who is not, by the same keys, as it was drawn
		-- when a first message was decided on; none where the shop holds nobody out.
		-- drawn_for: the order it was drawn for, the same for all keys of one person;
		-- drawn_at: when; counted: its person is in rollup_arms, or with another key.
		CREATE TABLE incomplete_orders.person_arms (
			shop_id integer NOT NULL,
			person bigint NOT NULL,
			holdout boolean NOT NULL,
			assigned_at timestamptz NOT NULL,
			drawn_for uuid NOT NULL,
			drawn_at timestamptz NOT NULL,
			currency text NOT NULL,
			counted boolean NOT NULL DEFAULT false,
			PRIMARY KEY (shop_id, person, assigned_at)
		);
		CREATE INDEX person_arms_drawn ON incomplete_orders.person_arms (shop_id, drawn_for);
		CREATE INDEX person_arms_uncounted ON incomplete_orders.person_arms (shop_id, drawn_at) WHERE NOT counted;
	END IF;		-- schema version 1

	PERFORM incomplete_orders._make_partitions();

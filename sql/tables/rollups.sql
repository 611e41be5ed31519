
	IF found_version < 1 THEN
		-- What reports add up: one table for each question, folded from the events by
		-- tick.  Days are those of the shop's time zone.  kept: of events that retention or
		-- cleanup() deleted, or soon will; what is computed anew leaves these alone.

		-- How many orders that were begun on a day are in which state now, and what is
		-- in them.  In the columns pending and so on, step says how far they had come
		-- when they were last counted.
		CREATE TABLE incomplete_orders.rollup_states (
			shop_id integer NOT NULL,
			day date NOT NULL,
			currency text NOT NULL,
			bot boolean NOT NULL,
			step incomplete_orders.checkout_step NOT NULL,
			kept boolean NOT NULL DEFAULT false,
			pending bigint NOT NULL DEFAULT 0,
			payment_pending bigint NOT NULL DEFAULT 0,
			payment_failed bigint NOT NULL DEFAULT 0,
			abandoned bigint NOT NULL DEFAULT 0,
			converted bigint NOT NULL DEFAULT 0,
			expired bigint NOT NULL DEFAULT 0,
			dismissed bigint NOT NULL DEFAULT 0,
			deleted bigint NOT NULL DEFAULT 0,
			merged bigint NOT NULL DEFAULT 0,
			reversed bigint NOT NULL DEFAULT 0,
			payment_pending_value numeric NOT NULL DEFAULT 0,
			payment_failed_value numeric NOT NULL DEFAULT 0,
			abandoned_value numeric NOT NULL DEFAULT 0,
			converted_value numeric NOT NULL DEFAULT 0,
			expired_value numeric NOT NULL DEFAULT 0,
			dismissed_value numeric NOT NULL DEFAULT 0,
			days_to_abandon numeric NOT NULL DEFAULT 0,
			first_abandoned bigint NOT NULL DEFAULT 0,
			PRIMARY KEY (shop_id, day, currency, bot, step, kept)
		);
		-- Abandonments of a day and what became of them, by one question at a time:
		-- hour (of the week, Monday 0 o'clock is 0), value (lower bound), step, reason,
		-- device, source, minutes (to recover).  The columns created and direct count
		-- orders by the day they were begun.
		CREATE TABLE incomplete_orders.rollup_episodes (
			shop_id integer NOT NULL,
			question text NOT NULL,
			day date NOT NULL,
			currency text NOT NULL,
			bot boolean NOT NULL,
			bucket text NOT NULL,
			kept boolean NOT NULL DEFAULT false,
			created bigint NOT NULL DEFAULT 0,
			direct bigint NOT NULL DEFAULT 0,
			direct_value numeric NOT NULL DEFAULT 0,
			abandoned bigint NOT NULL DEFAULT 0,
			abandoned_value numeric NOT NULL DEFAULT 0,
			recoverable bigint NOT NULL DEFAULT 0,
			lost bigint NOT NULL DEFAULT 0,
			lost_value numeric NOT NULL DEFAULT 0,
			recovered bigint NOT NULL DEFAULT 0,
			recovered_value numeric NOT NULL DEFAULT 0,
			assisted bigint NOT NULL DEFAULT 0,
			assisted_value numeric NOT NULL DEFAULT 0,
			unaided bigint NOT NULL DEFAULT 0,
			unaided_value numeric NOT NULL DEFAULT 0,
			coupon_cost numeric NOT NULL DEFAULT 0,
			PRIMARY KEY (shop_id, question, day, currency, bot, bucket, kept)
		);
		-- Messages, by the day on which something happened to them; what people did,
		-- not machines.  Conversions by the day they were paid.
		CREATE TABLE incomplete_orders.rollup_messages (
			shop_id integer NOT NULL,
			day date NOT NULL,
			campaign text NOT NULL,
			step integer NOT NULL,
			variant text NOT NULL,
			currency text NOT NULL,
			kept boolean NOT NULL DEFAULT false,
			queued bigint NOT NULL DEFAULT 0,
			held_out bigint NOT NULL DEFAULT 0,
			sent bigint NOT NULL DEFAULT 0,
			failed bigint NOT NULL DEFAULT 0,
			delivered bigint NOT NULL DEFAULT 0,
			opened bigint NOT NULL DEFAULT 0,
			clicked bigint NOT NULL DEFAULT 0,
			replied bigint NOT NULL DEFAULT 0,
			unsubscribed bigint NOT NULL DEFAULT 0,
			bounced bigint NOT NULL DEFAULT 0,
			complained bigint NOT NULL DEFAULT 0,
			converted bigint NOT NULL DEFAULT 0,
			revenue numeric NOT NULL DEFAULT 0,
			coupon_cost numeric NOT NULL DEFAULT 0,
			PRIMARY KEY (shop_id, day, campaign, step, variant, currency, kept)
		);
		-- Persons by what they were drawn to be, and how many of them ordered, by the day
		-- of the draw; added once, when their time to order is over.
		CREATE TABLE incomplete_orders.rollup_arms (
			shop_id integer NOT NULL,
			day date NOT NULL,
			currency text NOT NULL,
			holdout boolean NOT NULL,
			persons bigint NOT NULL DEFAULT 0,
			converted bigint NOT NULL DEFAULT 0,
			PRIMARY KEY (shop_id, day, currency, holdout)
		);
		-- What an abandoned order that was paid counts as in the rollups: so that what
		-- is learned later of it (a click, a refund, a reversal) changes that.  One that the
		-- shop took back and those that continue it are one.
		CREATE TABLE incomplete_orders.order_outcomes (
			shop_id integer NOT NULL,
			root_id uuid NOT NULL,
			outcome text NOT NULL CHECK (outcome IN ('recovered', 'assisted', 'unaided')),
			currency text NOT NULL,
			bot boolean NOT NULL,
			day date NOT NULL,
			hour text NOT NULL,
			value text NOT NULL,
			step text NOT NULL,
			reason text NOT NULL,
			device text NOT NULL,
			source text NOT NULL,
			minutes text NOT NULL,
			revenue numeric NOT NULL,
			coupon_cost numeric NOT NULL,
			paid_day date NOT NULL,
			campaign text,
			message_step integer,
			variant text,
			products jsonb,
			kept boolean NOT NULL DEFAULT false,
			PRIMARY KEY (shop_id, root_id)
		);
		-- What lay in carts that were abandoned on a day; days 7: in the week that begins
		-- on that day, so that a report of many days reads less.  Added once, when the event is
		-- folded, and never computed anew: what a cart was is not known for ever.
		CREATE TABLE incomplete_orders.rollup_products (
			shop_id integer NOT NULL,
			days integer NOT NULL,
			day date NOT NULL,
			currency text NOT NULL,
			product text NOT NULL,
			abandoned bigint NOT NULL DEFAULT 0,
			quantity bigint NOT NULL DEFAULT 0,
			value numeric NOT NULL DEFAULT 0,
			PRIMARY KEY (shop_id, days, day, currency, product)
		);
		-- What was bought after all, by the day of the abandonment.
		CREATE TABLE incomplete_orders.rollup_recovered_products (
			shop_id integer NOT NULL,
			days integer NOT NULL,
			day date NOT NULL,
			currency text NOT NULL,
			product text NOT NULL,
			kept boolean NOT NULL DEFAULT false,
			recovered bigint NOT NULL DEFAULT 0,
			recovered_quantity bigint NOT NULL DEFAULT 0,
			recovered_value numeric NOT NULL DEFAULT 0,
			PRIMARY KEY (shop_id, days, day, currency, product, kept)
		);
		-- How each product was called last.
		CREATE TABLE incomplete_orders.product_names (
			shop_id integer NOT NULL,
			product text NOT NULL,
			name text NOT NULL,
			PRIMARY KEY (shop_id, product)
		);
	END IF;

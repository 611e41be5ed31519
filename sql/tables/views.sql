
	-- Columns are added at the end only: OR REPLACE can do no more, and views of
	-- others may stand on this one.  The security_barrier must be repeated here.
	CREATE OR REPLACE VIEW incomplete_orders.incomplete_orders WITH (security_barrier) AS
	SELECT o.shop_id, o.id, o.reference, o.kind, o.status, o.session_id, o.customer_id, o.email, o.phone, o.name,
		o.line_items::jsonb AS items, o.currency, o.shipping, o.tax, o.discount, o.coupon_code, o.coupon_discount,
		o.furthest_step, o.episode, o.recovery_attempts, o.last_recovery_at, o.abandonment_reason, o.address, o.context,
		o.version, o.created_at, o.last_activity_at, o.abandoned_at, o.lost_at, o.expires_at, o.next_action_at,
		o.payment_reference, o.payment_deadline, o.root_id, o.continues_id, o.bot, o.attachment, o.cart_key,
		o.closed_at, o.close_reason, o.late,
		s.shop,
		incomplete_orders._order_total(o.line_items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency) AS total,
		incomplete_orders.item_count(o.line_items) AS item_count,
		o.customer_id IS NULL AS is_guest,
		o.status = 'expired' OR o.closed_at IS NULL AND o.expires_at <= now() AS is_expired,
		floor(extract(epoch FROM now() - o.created_at) / 86400)::integer AS days_old,
		o.closed_at IS NULL AND o.expires_at > now() AND incomplete_orders.item_count(o.line_items) > 0 AS can_convert,
		(SELECT r.order_number FROM incomplete_orders.orders r
		 WHERE r.shop_id = o.shop_id AND r.incomplete_order_id = o.id ORDER BY r.part DESC LIMIT 1) AS order_number
	FROM (
		SELECT shop_id, id, reference, kind, status, session_id, customer_id, email, phone, name, items AS line_items,
			currency, shipping, tax, discount, coupon_code, coupon_discount, furthest_step, episode, recovery_attempts,
			last_recovery_at, abandonment_reason, address, context, version, created_at, last_activity_at, abandoned_at,
			lost_at, expires_at, next_action_at, payment_reference, payment_deadline, root_id, continues_id, bot,
			attachment, cart_key, NULL::timestamptz AS closed_at, NULL::text AS close_reason, false AS late
		FROM incomplete_orders.open_orders
		UNION ALL
		SELECT shop_id, id, reference, kind, status, session_id, customer_id, email, phone, name, items AS line_items,
			currency, shipping, tax, discount, coupon_code, coupon_discount, furthest_step, episode, recovery_attempts,
			last_recovery_at, abandonment_reason, address, context, version, created_at, last_activity_at, abandoned_at,
			lost_at, expires_at, next_action_at, payment_reference, payment_deadline, root_id, continues_id, bot,
			attachment, cart_key, closed_at, close_reason, late
		FROM incomplete_orders.closed_orders
	) o
	JOIN incomplete_orders.shops s USING (shop_id)
	-- a sub-select, so that it is asked once and not for every row
	WHERE o.shop_id = ANY ((SELECT incomplete_orders._visible_shops('incomplete_orders', '*'))::integer[]);

	-- An attachment whose role is gone is shown too: that is what it is broken by.
	CREATE OR REPLACE VIEW incomplete_orders.attachments WITH (security_barrier) AS
	SELECT a.name, s.shop, a.attachment, a.preset,
		ARRAY(SELECT t ->> 'table' FROM jsonb_array_elements(a.tables) t ORDER BY (t ->> 'path')::integer) AS tables,
		a.role_name AS role, a.state, a.problem, a.problem_at,
		(SELECT count(*) FROM incomplete_orders.due_carts d WHERE d.attachment = a.attachment) AS waiting,
		(SELECT min(d.first_marked_at) FROM incomplete_orders.due_carts d WHERE d.attachment = a.attachment) AS waiting_since,
		a.attached_at, a.last_read_at, a.mapping,
		(SELECT count(*) FROM incomplete_orders.due_carts d WHERE d.attachment = a.attachment AND d.problem IS NOT NULL) AS refused
	FROM incomplete_orders.attached_tables a JOIN incomplete_orders.shops s USING (shop_id)
	WHERE a.shop_id = ANY ((SELECT incomplete_orders._visible_shops('attachments', '*'))::integer[]);

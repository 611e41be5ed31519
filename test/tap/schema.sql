-- The schema as others rely on it: names, columns and arguments that are
-- promised, and the rules that every object keeps.
\set QUIET on
BEGIN;
SELECT no_plan();

-- Columns that others read.
CREATE TEMP TABLE promised (relation text, columns text);
INSERT INTO promised VALUES
	('open_orders', 'shop_id id reference kind status session_id customer_id email phone name items currency shipping tax discount coupon_code
		coupon_discount furthest_step episode recovery_attempts last_recovery_at abandonment_reason address context version
		created_at last_activity_at abandoned_at lost_at expires_at next_action_at payment_reference payment_deadline root_id continues_id bot
		attachment cart_key'),
	('closed_orders', 'shop_id id reference kind status session_id customer_id email phone name items currency shipping tax discount coupon_code
		coupon_discount furthest_step episode recovery_attempts last_recovery_at abandonment_reason address context version
		created_at last_activity_at abandoned_at lost_at expires_at next_action_at payment_reference payment_deadline root_id continues_id bot
		attachment cart_key closed_at close_reason late'),
	('incomplete_orders', 'shop_id id reference kind status session_id customer_id email phone name items currency shipping tax discount coupon_code
		coupon_discount furthest_step episode recovery_attempts last_recovery_at abandonment_reason address context version
		created_at last_activity_at abandoned_at lost_at expires_at next_action_at payment_reference payment_deadline root_id continues_id bot
		attachment cart_key closed_at close_reason late shop total item_count is_guest is_expired days_old can_convert order_number'),
	('attachments', 'name shop attachment preset tables role state problem problem_at waiting waiting_since attached_at last_read_at mapping refused'),
	('orders', 'shop_id order_id order_number incomplete_order_id part foreign_order total currency paid paid_at refunded converted_at'),
	('order_events', 'recorded_at event_id shop_id order_id root_id episode event at actor status_before status_after kind currency value item_count
		furthest_step reason_code device source bot created_at abandoned_at campaign step variant holdout message_id machine order_ref paid_amount
		refund_amount coupon_cost');
SELECT is_empty(
	$$SELECT relation, c FROM promised, regexp_split_to_table(columns, '\s+') c
	  WHERE NOT EXISTS (SELECT FROM pg_attribute
		WHERE attrelid = ('incomplete_orders.' || relation)::regclass AND attname = c AND NOT attisdropped)$$,
	'every promised column is there');
SELECT col_type_is('incomplete_orders', 'open_orders', 'items', 'incomplete_orders', 'line_items', 'items are line_items');
SELECT col_type_is('incomplete_orders', 'incomplete_orders', 'items', 'pg_catalog', 'jsonb', 'in the view they are jsonb');
SELECT enum_has_labels('incomplete_orders', 'order_kind', ARRAY['cart', 'payment', 'partial'], 'order_kind');
SELECT enum_has_labels('incomplete_orders', 'order_status', ARRAY['pending', 'payment_pending', 'payment_failed', 'abandoned',
	'converted', 'expired', 'dismissed', 'deleted', 'reversed'], 'order_status');
SELECT enum_has_labels('incomplete_orders', 'checkout_step', ARRAY['cart', 'contact', 'shipping', 'payment', 'review'], 'checkout_step');

-- Functions by name, with the names of their arguments in order; OUT columns behind the colon.
CREATE TEMP TABLE functions (name text, arguments text);
INSERT INTO functions VALUES
	('setup', ''),
	('remove', 'keep_orders dry_run : action object'),
	('schedule_jobs', ' : job schedule command state'),
	('unschedule_jobs', ' : job schedule command state'),
	('jobs', ' : job schedule command state'),
	('health', ' : check_name state value advice'),
	('create_shop', 'shop name currency time_zone'),
	('configure_shop', 'shop settings'),
	('shop_settings', 'shop'),
	('list_settings', 'shop : setting label section kind choices parts meaning value default_value note'),
	('list_rights', 'shop : object kind'),
	('list_members', 'shop : role purpose all_shops granted_at granted_by works mine'),
	('find_attachable', 'shop : preset schema tables missing refused attached'),
	('scheduler_status', ' : state ended_at every_seconds'),
	('export_shop', 'shop'),
	('delete_shop', 'shop dry_run'),
	('grant_to', 'role purpose shop'),
	('revoke_from', 'role purpose shop'),
	('rotate_publishable_key', 'shop keep at'),
	('list_image_hosts', ' : '),
	('shop_of_key', 'publishable_key : shop allowed_origins consent_rule page_prices valid_until'),
	('capture_cart', 'session_id items email phone customer_id name currency step kind shipping tax discount coupon_code coupon_discount address
		context shop at'),
	('capture_carts', 'carts shop at : n id error'),
	('capture_page_cart', 'session_id cart user_agent shop at'),
	('save_checkout', 'session_id form shop at'),
	('track_abandonment', 'session_id stage reason shop at'),
	('track_engagement', 'session_id views seconds scroll shop at'),
	('record_checkout_error', 'id error_kind reason at'),
	('identify_cart', 'session_id customer_id email shop at'),
	('merge_carts', 'from_session into_session strategy shop at'),
	('mark_payment_pending', 'id payment_reference deadline at'),
	('mark_payment_failed', 'id reason at'),
	('mark_abandoned', 'id reason dry_run at'),
	('dismiss_order', 'id reason dry_run at'),
	('delete_order', 'id reason dry_run at'),
	('add_note', 'id note at'),
	('mark_abandoned_many', 'ids reason dry_run at : id result reason'),
	('dismiss_orders', 'ids reason dry_run at : id result reason'),
	('delete_orders', 'ids reason dry_run at : id result reason'),
	('convert_orders', 'ids reason dry_run at : id result reason'),
	('edit_order', 'id changes expected_version at'),
	('can_convert', 'id : can reason'),
	('convert_order', 'id lines paid order_number idempotency_key at
		: order_id order_number incomplete_order_id part total currency paid converted_at'),
	('record_order', 'foreign_order id session_id customer_id total currency paid shop at
		: order_id order_number incomplete_order_id part total currency paid converted_at'),
	('attach', 'name preset mapping shop dry_run : check_name result'),
	('detach', 'name shop : action object'),
	('reconcile', 'name shop'),
	('sample_attachment', 'name n shop : cart_key state cart problem'),
	('attach_mapping', 'preset'),
	('record_payment', 'order_id at'),
	('record_refund', 'order_id amount idempotency_key at'),
	('claim_messages', 'worker batch lease : message_id token shop recipient message'),
	('ack_message', 'message_id token response'),
	('fail_message', 'message_id token permanent response'),
	('extend_message', 'message_id token lease untried'),
	('dead_messages', 'shop : message_id shop order_id recipient message_type attempts response reason dead_since'),
	('retry_message', 'message_id at'),
	('discard_message', 'message_id at'),
	('queue_status', 'shop : shop status messages oldest_due_at'),
	('configure_webhook', 'webhook url events contact active new_secret shop at'),
	('delete_webhook', 'webhook shop at'),
	('list_webhooks', 'shop : shop webhook url events contact active starts_at changed_at failing_since failures retry_at waiting dead'),
	('list_deliveries', 'webhook status shop cursor page_size
		: delivery_id shop webhook event order_id at status attempts due_at queued_at http_status problem cursor'),
	('ping_webhook', 'webhook shop at'),
	('retry_delivery', 'delivery_id at'),
	('claim_deliveries', 'worker batch lease : delivery_id token shop webhook url event body signed_at signature'),
	('ack_delivery', 'delivery_id token http_status'),
	('fail_delivery', 'delivery_id token http_status problem retry_after'),
	('release_delivery', 'delivery_id token'),
	('webhook_status', 'shop : shop webhook status deliveries oldest_due_at'),
	('rotate_mail_secret', 'shop at'),
	('receive_mail_events', 'body signed_at signature webhook_id shop : result recorded known unknown'),
	('receive_ses_event', 'body : recorded known unknown'),
	('sender_settings', 'shop : shop name from_email reply_to base_url postal_address campaigns'),
	('template_variables', ' : name inside kind meaning example'),
	('list_templates', 'shop : shop template locale own subject preheader headline body button footer steps changed_at'),
	('configure_coupon', 'campaign settings step shop at'),
	('remove_coupon', 'campaign step shop at'),
	('redeem_coupon', 'code id at : coupon_code coupon_discount currency total expires_at'),
	('save_template', 'template locale fields shop at'),
	('delete_template', 'template locale shop at'),
	('preview_message', 'template locale id shop at'),
	('suppress', 'email reason shop at'),
	('unsuppress', 'email shop'),
	('record_consent', 'email status purpose text_version source customer_id shop at'),
	('export_customer', 'email customer_id shop'),
	('forget_customer', 'email customer_id shop at : relation action n'),
	('unsubscribe', 'token scope at'),
	('rotate_link_key', ''),
	('preview_unsubscribe', 'token : message_id shop shop_name locale logo_url colour'),
	('preview_cart', 'token : message_id order_id shop shop_name locale reference status items total currency logo_url colour restore_url base_url removed changed'),
	('restore_cart', 'token session_id shop at : id items removed changed session'),
	('link_target', 'token line : message_id url'),
	('open_link', 'token'),
	('record_message_event', 'message_id event meta at'),
	('expire_orders', 'dry_run at : id result reason'),
	('cleanup', 'days dry_run at : action n examples'),
	('find_orders', 'search shop'),
	('list_orders', 'shop status kind since until expired guest attempts search sort after page_size bounded abandoned_since abandoned_until expires_since expires_until can_convert total_from total_to
		currency step device source contactable outcome'),
	('count_orders', 'shop status kind since until expired guest attempts search abandoned_since abandoned_until expires_since expires_until can_convert total_from total_to
		currency step device source contactable outcome : count capped'),
	('show_order', 'id'),
	('list_messages', 'shop id message_id status message_type since until after page_size campaign variant recipient
		: message_id shop order_id episode campaign step ordinal variant status message_type template subject recipient queued_at due_at attempts sent_at
		mail_message_id response reason delivered_at opened_at clicked_at replied_at bounced_at complained_at unsubscribed_at cursor'),
	('list_events', 'shop id events since until after page_size
		: event_id shop order_id at event who episode status_before status_after kind currency value item_count furthest_step reason campaign step variant holdout
		message_id machine completed_order_id paid_amount refund_amount coupon_cost changes cursor'),
	('list_items', 'shop id sku after page_size
		: order_id shop reference status created_at currency line sku name quantity unit_price total_price filled product_id variant image_url url extras cursor'),
	('list_conversions', 'id : order_id order_number part foreign_order currency shipping tax discount coupon_discount total paid paid_at refunded converted_at items refunds'),
	('list_suppressions', 'shop email after page_size : shop person scope reason at message_id cursor'),
	('list_consents', 'shop email customer_id after page_size : shop person purpose status at text_version source in_force cursor'),
	('list_shops', ' : shop name currency time_zone'),
	('list_coupons', 'shop : shop campaign step kind value currency minimum_value valid_for cool_down changed_at'),
	('order_history', 'id : at event who detail'),
	('orders_of', 'customer_id session_id shop'),
	('enable_campaign', 'campaign shop not_older_than at'),
	('disable_campaign', 'campaign shop at'),
	('send_recovery_emails', 'hours_after max_attempts dry_run shop at : order_id recipient message_type action reason'),
	('send_recovery_email', 'id message_type subject idempotency_key at'),
	('send_recovery_emails_many', 'ids message_type subject dry_run idempotency_key at : id result reason'),
	('preview_recovery', 'shop at campaigns not_older_than : due_at order_id recipient campaign step action reason variant'),
	('list_campaigns', 'shop : shop campaign enabled not_before step delay message_type template variants coupon missing'),
	('configure_step', 'campaign step settings shop at'),
	('remove_step', 'campaign step shop at'),
	('save_campaign', 'campaign steps shop dry_run at : numbers moved waiting queued'),
	('check_texts', 'fields : field line column problem hint'),
	('list_issued_coupons', 'shop state after page_size : shop code state campaign step order_id recipient kind value currency minimum_value issued_at expires_at used_at used_by cost cursor'),
	('count_skips', 'shop since until : campaign step reason meaning messages last_at'),
	('save_variant', 'campaign step variant template weight shop at'),
	('delete_variant', 'campaign step variant shop at'),
	('update_analytics', 'day : analytics_day changed'),
	('rebuild_analytics', ''),
	('statistics', 'shop since until : currency total pending payment_pending payment_failed abandoned converted expired dismissed total_value
		abandoned_value converted_value lost_value recovered_value recovery_attempts messages_sent recovered assisted unaided direct conversion_rate
		abandonment_rate checkout_abandonment_rate recovery_rate average_days_to_abandon median_time_to_recover p90_time_to_recover lift lift_low lift_high
		recoverable treated held_out lift_reason'),
	('statistics_of_bots', 'shop since until : currency total pending payment_pending payment_failed abandoned converted expired dismissed total_value abandoned_value converted_value'),
	('statistics_by_day', 'shop since until : day currency total converted converted_value conversion_rate direct direct_value episodes episode_value recoverable recovered recovered_value assisted assisted_value unaided unaided_value lost lost_value recovery_rate recovery_attempts messages_sent'),
	('statistics_by_hour', 'shop since until : weekday hour currency created direct direct_value episodes episode_value recoverable recovered recovered_value assisted assisted_value unaided unaided_value lost lost_value recovery_rate'),
	('statistics_by_value', 'shop since until : currency value_from value_before direct direct_value episodes episode_value recoverable recovered recovered_value assisted assisted_value unaided unaided_value lost lost_value recovery_rate'),
	('statistics_by_step', 'shop since until : step currency direct direct_value episodes episode_value recoverable recovered recovered_value assisted assisted_value unaided unaided_value lost lost_value recovery_rate'),
	('statistics_by_reason', 'shop since until : reason currency episodes episode_value recovered recovered_value assisted assisted_value unaided unaided_value recovered_share'),
	('statistics_by_device', 'shop since until : device currency created direct direct_value episodes episode_value recoverable recovered recovered_value assisted assisted_value unaided unaided_value lost lost_value recovery_rate'),
	('statistics_by_source', 'shop since until : source currency created direct direct_value episodes episode_value recoverable recovered recovered_value assisted assisted_value unaided unaided_value lost lost_value recovery_rate'),
	('statistics_by_product', 'shop since until : product name currency abandoned abandoned_quantity abandoned_value recovered recovered_quantity recovered_value recovered_share'),
	('statistics_by_campaign', 'shop since until : campaign step variant currency queued held_out sent failed delivered opened clicked replied unsubscribed bounced complained converted revenue coupon_cost open_rate click_rate conversion_rate unsubscribe_rate bounce_rate complaint_rate'),
	('statistics_by_cohort', 'shop since until : week currency days_old mature episodes episode_value recoverable recovered recovered_value assisted assisted_value unaided unaided_value lost lost_value recovery_rate'),
	('statistics_by_cohort_age', 'shop since until : week currency days_from days_before state mature episodes recoverable recovered recovered_value recovered_so_far recovered_value_so_far recovery_rate'),
	('statistics_by_recovery_time', 'shop since until : currency time_from time_before recovered recovered_value share share_before'),
	('funnel', 'shop since until : currency stage step orders share from_previous'),
	('list_variants', 'shop : shop campaign step variant weight template'),
	('why_not_sent', 'id : at step reason'),
	('total', 'items'),
	('item_count', 'items'),
	('unnest', 'items'),
	('diff', 'before after'),
	('shop_of', 'id');
-- What a function with these OUT columns says may be more, never less.
SELECT is_empty(
	$$WITH have AS (
		SELECT proname, string_agg(a.name, ' ' ORDER BY a.n) FILTER (WHERE coalesce(proargmodes[a.n], 'i') IN ('i', 'b', 'v')) AS arguments,
			string_agg(a.name, ' ' ORDER BY a.n) FILTER (WHERE proargmodes[a.n] IN ('o', 't')) AS columns
		FROM pg_proc LEFT JOIN LATERAL unnest(proargnames) WITH ORDINALITY a(name, n) ON true
		WHERE pronamespace = 'incomplete_orders'::regnamespace GROUP BY pg_proc.oid, proname)
	  SELECT f.name, regexp_replace(f.arguments, '\s+', ' ', 'g') AS promised, h.arguments || ' : ' || h.columns AS found
	  FROM functions f LEFT JOIN have h ON h.proname = f.name
	  WHERE h.proname IS NULL
		OR coalesce(h.arguments, '') <> btrim(regexp_replace(split_part(f.arguments, ':', 1), '\s+', ' ', 'g'))
		OR NOT starts_with(coalesce(h.columns, '') || ' ', btrim(regexp_replace(split_part(f.arguments, ':', 2), '\s+', ' ', 'g')))$$,
	'every promised function is there, with its arguments and columns');

-- Rules.
CREATE TEMP VIEW ours AS SELECT * FROM pg_proc WHERE pronamespace = 'incomplete_orders'::regnamespace;
CREATE TEMP VIEW public_ones AS SELECT * FROM ours WHERE NOT starts_with(proname, '_');
SELECT is_empty('SELECT proname, count(*) FROM ours GROUP BY proname HAVING count(*) > 1', 'nothing is overloaded');
SELECT is_empty($$SELECT proname FROM public_ones WHERE obj_description(oid, 'pg_proc') IS NULL$$, 'every public function has a comment');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'incomplete_orders'::regnamespace
	AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND obj_description(oid, 'pg_class') IS NULL$$, 'so has every table and view');
SELECT is_empty($$SELECT typname FROM pg_type WHERE typnamespace = 'incomplete_orders'::regnamespace AND typtype IN ('b', 'e', 'd')
	AND typelem = 0 AND obj_description(oid, 'pg_type') IS NULL$$, 'and every type');
SELECT is_empty($$SELECT proname FROM ours JOIN pg_language l ON l.oid = prolang
	WHERE lanname IN ('sql', 'plpgsql') AND prosqlbody IS NULL AND NOT coalesce(proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)$$,
	'functions in SQL and PL/pgSQL have a fixed search_path, or were bound when they were made');
SELECT is_empty($$SELECT proname FROM ours WHERE prosecdef AND proowner <> 'incomplete_orders_owner'::regrole$$,
	'SECURITY DEFINER functions belong to incomplete_orders_owner');
SELECT is_empty($$SELECT proname FROM ours WHERE NOT starts_with(proname, '_line_items_')
	AND proname NOT IN ('total', 'item_count', 'unnest', 'diff', 'shop_of') AND has_function_privilege('public', oid, 'EXECUTE')$$,
	'PUBLIC may execute the pure functions of the types only');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'incomplete_orders'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
	AND (relowner <> 'incomplete_orders_owner'::regrole OR EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0))$$,
	'tables, views and sequences belong to it, and PUBLIC has no right to them');
SELECT is_empty($$SELECT relname FROM pg_class c WHERE relnamespace = 'incomplete_orders'::regnamespace AND relkind IN ('r', 'p')
	AND relname !~ '^cart_marks(_[0-9]+)?$' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)$$,
	'every table has a primary key');
SELECT is_empty($$SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = 'incomplete_orders'::regnamespace
	AND indisprimary AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'shop_id')
	AND indkey[0] <> (SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attname = 'shop_id')
	AND c.relname !~ '^order_event'$$, 'which begins with the shop, where there is one');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'incomplete_orders'::regnamespace AND relkind = 'v'
	AND NOT coalesce(reloptions @> ARRAY['security_barrier=true'], false)$$, 'views are security barriers');
SELECT is_empty($$SELECT refclassid::regclass, objid FROM pg_depend JOIN pg_class c ON c.oid = objid AND classid = 'pg_class'::regclass
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND relnamespace = 'incomplete_orders'::regnamespace AND relkind <> 'c'$$,
	'no table is a member of the extension');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	WHERE relnamespace = 'incomplete_orders'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND atttypid::regtype::text LIKE 'reg%'$$,
	'no column holds a reg* type, which a dump could not move');

SELECT * FROM finish();
ROLLBACK;

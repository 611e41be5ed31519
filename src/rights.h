/*
 * rights.h
 *		The one role matrix: which purpose may use which function or view.
 *
 * grant_to() and revoke_from() are generated from it, every function asks it
 * before it acts, _role_matrix() shows it and a test prints it.  Purposes:
 *	app		the shop's own program: captures, converts, reads single orders
 *	sender	the sidecar that sends
 *	analyst	reports without personal data
 *	admin	staff of the shop: everything in it
 * What no purpose may do is left to superusers and members of
 * incomplete_orders_owner.
 */
#ifndef ICO_RIGHTS_H
#define ICO_RIGHTS_H

#define ICO_APP		0x01
#define ICO_SENDER	0x02
#define ICO_ANALYST	0x04
#define ICO_ADMIN	0x08
#define ICO_OWNER	0x80		/* superuser or member of the owner; never granted */

#define ICO_STAFF_OR_APP (ICO_APP | ICO_ADMIN)

/* F function, P procedure, V view; a new public object is a new line here */
#define ICO_RIGHTS(R) \
	R(F, setup, 0) \
	R(F, remove, 0) \
	R(F, create_shop, ICO_ADMIN) \
	R(F, configure_shop, ICO_ADMIN) \
	R(F, shop_settings, ICO_ADMIN) \
	R(F, list_settings, ICO_ADMIN) \
	R(F, list_members, ICO_ADMIN) \
	R(F, list_rights, ICO_ANALYST | ICO_ADMIN) \
	R(F, export_shop, ICO_ADMIN) \
	R(F, delete_shop, 0) \
	R(F, grant_to, 0) \
	R(F, revoke_from, 0) \
	R(F, rotate_publishable_key, ICO_ADMIN) \
	R(F, list_image_hosts, ICO_SENDER | ICO_ADMIN) \
	R(F, shop_of_key, ICO_STAFF_OR_APP) \
	R(F, capture_cart, ICO_STAFF_OR_APP) \
	R(F, capture_carts, ICO_STAFF_OR_APP) \
	R(F, capture_page_cart, ICO_STAFF_OR_APP) \
	R(F, save_checkout, ICO_STAFF_OR_APP) \
	R(F, track_abandonment, ICO_STAFF_OR_APP) \
	R(F, track_engagement, ICO_STAFF_OR_APP) \
	R(F, record_checkout_error, ICO_STAFF_OR_APP) \
	R(F, identify_cart, ICO_STAFF_OR_APP) \
	R(F, merge_carts, ICO_STAFF_OR_APP) \
	R(F, mark_payment_pending, ICO_STAFF_OR_APP) \
	R(F, mark_payment_failed, ICO_STAFF_OR_APP) \
	R(F, mark_abandoned, ICO_ADMIN) \
	R(F, dismiss_order, ICO_ADMIN) \
	R(F, delete_order, ICO_ADMIN) \
	R(F, add_note, ICO_ADMIN) \
	R(F, mark_abandoned_many, ICO_ADMIN) \
	R(F, dismiss_orders, ICO_ADMIN) \
	R(F, delete_orders, ICO_ADMIN) \
	R(F, convert_orders, ICO_ADMIN) \
	R(F, edit_order, ICO_ADMIN) \
	R(F, can_convert, ICO_STAFF_OR_APP) \
	R(F, convert_order, ICO_STAFF_OR_APP) \
	R(F, record_order, ICO_STAFF_OR_APP) \
	R(F, record_payment, ICO_STAFF_OR_APP) \
	R(F, record_refund, ICO_STAFF_OR_APP) \
	R(F, find_orders, ICO_ADMIN) \
	R(F, list_orders, ICO_ADMIN) \
	R(F, count_orders, ICO_ADMIN) \
	R(F, order_history, ICO_ADMIN) \
	R(F, show_order, ICO_STAFF_OR_APP) \
	R(F, list_messages, ICO_ADMIN) \
	R(F, list_events, ICO_ADMIN) \
	R(F, list_items, ICO_ADMIN) \
	R(F, list_conversions, ICO_ADMIN) \
	R(F, list_suppressions, ICO_ADMIN) \
	R(F, list_consents, ICO_ADMIN) \
	R(F, list_shops, ICO_ANALYST | ICO_ADMIN) \
	R(F, list_coupons, ICO_ADMIN) \
	R(F, list_issued_coupons, ICO_ADMIN) \
	R(F, orders_of, ICO_STAFF_OR_APP) \
	R(F, suppress, ICO_STAFF_OR_APP) \
	R(F, unsuppress, ICO_ADMIN) \
	R(F, record_consent, ICO_STAFF_OR_APP) \
	R(F, export_customer, ICO_ADMIN) \
	R(F, forget_customer, ICO_ADMIN) \
	R(F, preview_unsubscribe, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, preview_cart, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, restore_cart, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, link_target, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, open_link, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, record_message_event, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, unsubscribe, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, rotate_link_key, 0) \
	R(P, tick, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_marks, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_attachments, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_carts, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_batch, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_payments, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_campaigns, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_messages, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_retention, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_partitions, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_fold, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_heartbeat, ICO_SENDER | ICO_ADMIN) \
	R(F, expire_orders, ICO_ADMIN) \
	R(F, enable_campaign, ICO_ADMIN) \
	R(F, disable_campaign, ICO_ADMIN) \
	R(F, list_campaigns, ICO_ADMIN) \
	R(F, configure_step, ICO_ADMIN) \
	R(F, remove_step, ICO_ADMIN) \
	R(F, save_campaign, ICO_ADMIN) \
	R(F, send_recovery_emails, ICO_SENDER | ICO_ADMIN) \
	R(F, send_recovery_email, ICO_SENDER | ICO_ADMIN) \
	R(F, send_recovery_emails_many, ICO_SENDER | ICO_ADMIN) \
	R(F, preview_recovery, ICO_ADMIN) \
	R(F, why_not_sent, ICO_ADMIN) \
	R(F, count_skips, ICO_ADMIN) \
	R(F, cleanup, ICO_ADMIN) \
	R(F, update_analytics, ICO_SENDER | ICO_ADMIN) \
	R(F, rebuild_analytics, ICO_ADMIN) \
	R(F, statistics, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_of_bots, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_day, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_hour, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_value, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_step, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_reason, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_device, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_product, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_source, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_campaign, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_cohort, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_cohort_age, ICO_ANALYST | ICO_ADMIN) \
	R(F, statistics_by_recovery_time, ICO_ANALYST | ICO_ADMIN) \
	R(F, funnel, ICO_ANALYST | ICO_ADMIN) \
	R(F, schedule_jobs, ICO_SENDER | ICO_ADMIN) \
	R(F, unschedule_jobs, ICO_SENDER | ICO_ADMIN) \
	R(F, jobs, ICO_SENDER | ICO_ADMIN) \
	R(F, _wanted_jobs, ICO_SENDER | ICO_ADMIN) \
	R(F, _cron, ICO_SENDER | ICO_ADMIN) \
	R(F, _cron_jobs, ICO_SENDER | ICO_ADMIN) \
	R(F, health, ICO_SENDER | ICO_ADMIN) \
	R(F, scheduler_status, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_every, ICO_SENDER | ICO_ADMIN) \
	R(F, _tick_ended_at, ICO_SENDER | ICO_ADMIN) \
	R(F, _health_of_tables, ICO_SENDER | ICO_ADMIN) \
	R(F, _health_of_cron, ICO_SENDER | ICO_ADMIN) \
	R(F, _health_of_objects, ICO_SENDER | ICO_ADMIN) \
	R(F, _health_of_server, ICO_SENDER | ICO_ADMIN) \
	R(F, claim_messages, ICO_SENDER | ICO_ADMIN) \
	R(F, ack_message, ICO_SENDER | ICO_ADMIN) \
	R(F, fail_message, ICO_SENDER | ICO_ADMIN) \
	R(F, extend_message, ICO_SENDER | ICO_ADMIN) \
	R(F, dead_messages, ICO_SENDER | ICO_ADMIN) \
	R(F, retry_message, ICO_SENDER | ICO_ADMIN) \
	R(F, discard_message, ICO_SENDER | ICO_ADMIN) \
	R(F, queue_status, ICO_SENDER | ICO_ADMIN) \
	R(F, rotate_mail_secret, ICO_ADMIN) \
	R(F, receive_mail_events, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, receive_ses_event, ICO_APP | ICO_SENDER | ICO_ADMIN) \
	R(F, configure_webhook, ICO_ADMIN) \
	R(F, delete_webhook, ICO_ADMIN) \
	R(F, list_webhooks, ICO_ADMIN) \
	R(F, list_deliveries, ICO_ADMIN) \
	R(F, ping_webhook, ICO_ADMIN) \
	R(F, retry_delivery, ICO_ADMIN) \
	R(F, claim_deliveries, ICO_SENDER | ICO_ADMIN) \
	R(F, ack_delivery, ICO_SENDER | ICO_ADMIN) \
	R(F, fail_delivery, ICO_SENDER | ICO_ADMIN) \
	R(F, release_delivery, ICO_SENDER | ICO_ADMIN) \
	R(F, webhook_status, ICO_SENDER | ICO_ADMIN) \
	R(F, _next_delivery_due, ICO_SENDER | ICO_ADMIN) \
	R(F, sender_settings, ICO_SENDER | ICO_ADMIN) \
	R(F, save_variant, ICO_ADMIN) \
	R(F, delete_variant, ICO_ADMIN) \
	R(F, list_variants, ICO_ADMIN) \
	R(F, configure_coupon, ICO_ADMIN) \
	R(F, remove_coupon, ICO_ADMIN) \
	R(F, redeem_coupon, ICO_STAFF_OR_APP) \
	R(F, template_variables, ICO_ADMIN) \
	R(F, check_texts, ICO_ADMIN) \
	R(F, list_templates, ICO_ADMIN) \
	R(F, save_template, ICO_ADMIN) \
	R(F, delete_template, ICO_ADMIN) \
	R(F, preview_message, ICO_ADMIN) \
	R(F, _next_message_due, ICO_SENDER | ICO_ADMIN) \
	R(F, attach, ICO_ADMIN) \
	R(F, detach, ICO_ADMIN) \
	R(F, reconcile, ICO_ADMIN) \
	R(F, sample_attachment, ICO_ADMIN) \
	R(F, attach_mapping, ICO_ADMIN) \
	R(F, find_attachable, ICO_ADMIN) \
	R(F, _mark_cart, ICO_ADMIN) \
	R(V, attachments, ICO_ADMIN) \
	R(V, incomplete_orders, ICO_ADMIN) \
	R(F, _visible_shops, ICO_SENDER | ICO_ADMIN) \
	R(F, _order_total, ICO_ADMIN)

#define ICO_RIGHT_ENUM(kind, name, purposes) ICO_RIGHT_##name,
typedef enum IcoRight
{
	ICO_RIGHTS(ICO_RIGHT_ENUM)
	ICO_RIGHT_COUNT
} IcoRight;

typedef struct IcoRightRow
{
	char		kind;
	const char *name;
	int			purposes;
} IcoRightRow;

extern const IcoRightRow ico_rights[ICO_RIGHT_COUNT];
extern IcoRight ico_right_by_name(const char *name);
extern const char *ico_kind_name(char kind);

typedef struct IcoPurpose
{
	const char *name;
	int			bit;
} IcoPurpose;

#define ICO_PURPOSES 4
extern const IcoPurpose ico_purposes[ICO_PURPOSES];

#endif							/* ICO_RIGHTS_H */

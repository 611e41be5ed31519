/*
 * rest_lists.c
 *		Lists of what belongs to orders: lines, history, messages; and messages' state.
 */
#include "rest_schema.h"
#include "rest_sql.h"

static const RestField item[] = {
	{"order_id", TYPE_UUID, FIELD_NEEDED}, {"shop", TYPE_TEXT, FIELD_NEEDED}, {"reference", TYPE_TEXT, FIELD_NEEDED}, {"status", TYPE_TEXT, FIELD_NEEDED},
	{"created_at", TYPE_INSTANT, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED}, {"line", TYPE_INTEGER, FIELD_NEEDED}, {"sku", TYPE_TEXT, FIELD_NEEDED},
	{"name", TYPE_TEXT}, {"quantity", TYPE_INTEGER, FIELD_NEEDED}, {"unit_price", TYPE_NUMBER, FIELD_NEEDED}, {"total_price", TYPE_NUMBER, FIELD_NEEDED},
	{"filled", TYPE_INTEGER}, {"product_id", TYPE_TEXT}, {"variant", TYPE_TEXT}, {"image_url", TYPE_TEXT}, {"url", TYPE_TEXT}, {"extras", TYPE_OBJECT}, {NULL}
};
static const RestField event[] = {
	{"event_id", TYPE_INTEGER, FIELD_NEEDED}, {"shop", TYPE_TEXT, FIELD_NEEDED}, {"order_id", TYPE_UUID, FIELD_NEEDED}, {"at", TYPE_INSTANT, FIELD_NEEDED},
	{"event", TYPE_TEXT, FIELD_NEEDED}, {"who", TYPE_TEXT}, {"episode", TYPE_INTEGER}, {"status_before", TYPE_TEXT}, {"status_after", TYPE_TEXT}, {"kind", TYPE_TEXT},
	{"currency", TYPE_TEXT}, {"value", TYPE_NUMBER}, {"item_count", TYPE_INTEGER}, {"furthest_step", TYPE_TEXT}, {"reason", TYPE_TEXT}, {"campaign", TYPE_TEXT},
	{"step", TYPE_INTEGER}, {"variant", TYPE_TEXT}, {"holdout", TYPE_BOOLEAN}, {"message_id", TYPE_UUID}, {"machine", TYPE_BOOLEAN},
	{"completed_order_id", TYPE_UUID}, {"paid_amount", TYPE_NUMBER}, {"refund_amount", TYPE_NUMBER}, {"coupon_cost", TYPE_NUMBER}, {"changes", TYPE_OBJECT}, {NULL}
};
static const RestField message[] = {
	{"message_id", TYPE_UUID, FIELD_NEEDED}, {"shop", TYPE_TEXT, FIELD_NEEDED}, {"order_id", TYPE_UUID, FIELD_NEEDED}, {"episode", TYPE_INTEGER, FIELD_NEEDED},
	{"campaign", TYPE_TEXT}, {"step", TYPE_INTEGER, FIELD_NEEDED}, {"ordinal", TYPE_INTEGER, FIELD_NEEDED}, {"variant", TYPE_TEXT},
	{"status", TYPE_WORD, FIELD_NEEDED, "queued,sending,sent,cancelled,dead"}, {"message_type", TYPE_TEXT, FIELD_NEEDED}, {"template", TYPE_TEXT, FIELD_NEEDED},
	{"subject", TYPE_TEXT}, {"recipient", TYPE_TEXT, FIELD_NEEDED}, {"queued_at", TYPE_INSTANT, FIELD_NEEDED}, {"due_at", TYPE_INSTANT, FIELD_NEEDED},
	{"attempts", TYPE_INTEGER, FIELD_NEEDED}, {"sent_at", TYPE_INSTANT}, {"mail_message_id", TYPE_TEXT}, {"response", TYPE_TEXT}, {"reason", TYPE_TEXT},
	{"delivered_at", TYPE_INSTANT}, {"opened_at", TYPE_INSTANT}, {"clicked_at", TYPE_INSTANT}, {"replied_at", TYPE_INSTANT}, {"bounced_at", TYPE_INSTANT},
	{"complained_at", TYPE_INSTANT}, {"unsubscribed_at", TYPE_INSTANT}, {NULL}
};
static const RestField sending[] = {
	{"hours_after", TYPE_INTEGER, 0, NULL, "2 without it", "2"},
	{"max_attempts", TYPE_INTEGER, 0, NULL, "3 without it", "3"},
	{"dry_run", TYPE_BOOLEAN, 0, NULL, "Only say what would be", "true"},
	{NULL}
};
static const RestField sent[] = {
	{"order_id", TYPE_UUID, FIELD_NEEDED}, {"recipient", TYPE_TEXT}, {"message_type", TYPE_TEXT}, {"action", TYPE_TEXT, FIELD_NEEDED}, {"reason", TYPE_TEXT}, {NULL}
};
static const RestField skip[] = {
	{"campaign", TYPE_TEXT}, {"step", TYPE_INTEGER}, {"reason", TYPE_TEXT, FIELD_NEEDED}, {"meaning", TYPE_TEXT}, {"messages", TYPE_INTEGER, FIELD_NEEDED},
	{"last_at", TYPE_INSTANT, FIELD_NEEDED}, {NULL}
};
static const RestField preview[] = {
	{"due_at", TYPE_INSTANT}, {"order_id", TYPE_UUID, FIELD_NEEDED}, {"recipient", TYPE_TEXT}, {"campaign", TYPE_TEXT}, {"step", TYPE_INTEGER},
	{"action", TYPE_TEXT, FIELD_NEEDED}, {"reason", TYPE_TEXT}, {"variant", TYPE_TEXT}, {NULL}
};
static const RestField dead[] = {
	{"message_id", TYPE_UUID, FIELD_NEEDED}, {"shop", TYPE_TEXT, FIELD_NEEDED}, {"order_id", TYPE_UUID, FIELD_NEEDED}, {"recipient", TYPE_TEXT},
	{"message_type", TYPE_TEXT, FIELD_NEEDED}, {"attempts", TYPE_INTEGER, FIELD_NEEDED}, {"response", TYPE_TEXT}, {"reason", TYPE_TEXT},
	{"dead_since", TYPE_INSTANT, FIELD_NEEDED}, {NULL}
};
static const RestField queue[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"status", TYPE_TEXT, FIELD_NEEDED}, {"messages", TYPE_INTEGER, FIELD_NEEDED}, {"oldest_due_at", TYPE_INSTANT}, {NULL}
};
static const RestField changed[] = {{"changed", TYPE_BOOLEAN, FIELD_NEEDED, NULL, "false: it was so already, or in no such state"}, {NULL}};

const RestSchema list_schemas[] = {
	{"Item", item}, {"Event", event}, {"Message", message}, {"Sending", sending}, {"Sent", sent}, {"Skip", skip}, {"Preview", preview}, {"Dead", dead},
	{"Queue", queue}, {"Changed", changed},
	{NULL}
};

#define ITEMS(order) "list_items(q ->> 'shop', " order ", q ->> 'product', q ->> 'cursor', page_size + 1)"
#define EVENTS(order) "list_events(q ->> 'shop', " order ", " LISTED("action") ", " SINCE ", " UNTIL ", q ->> 'cursor', page_size + 1)"
#define MESSAGES(order) \
	"list_messages(q ->> 'shop', " order ", NULL, " LISTED("status") "::incomplete_orders.message_status[], q ->> 'email_type', " SINCE ", " UNTIL "," \
	" q ->> 'cursor', page_size + 1, q ->> 'campaign', q ->> 'variant', q ->> 'recipient')"
#define OF_ORDER "(q ->> 'incomplete_order')::uuid"

static const char message_sql[] =
ARGS " SELECT 200 AS status, (to_jsonb(l) - 'cursor')::text AS body FROM a, LATERAL incomplete_orders.list_messages('*', NULL, (p ->> 'message_id')::uuid) l"
" WHERE l.message_id IS NOT NULL";

const RestRoute list_routes[] = {
	GET("incomplete-order-items/", "list_items", PAGE(ITEMS(OF_ORDER), "order_id", ""), "incomplete_order,product,page_size,cursor", "A page of lines of carts", "Item+"),
	GET("incomplete-orders/{id}/items/", "list_items_of", PAGE(ITEMS(ID), "order_id", IF_VISIBLE), "product,page_size,cursor", "Its lines", "Item+"),
	GET("incomplete-order-history/", "list_events", PAGE(EVENTS(OF_ORDER), "event_id", ""), "incomplete_order,action,start_date,end_date,page_size,cursor",
		"A page of what happened, the newest order first", "Event+"),
	GET("incomplete-orders/{id}/events/", "list_events_of", PAGE(EVENTS(ID), "event_id", IF_VISIBLE), "action,start_date,end_date,page_size,cursor",
		"What happened to it, the newest first", "Event+"),
	GET("recovery-emails/", "list_messages", PAGE(MESSAGES(OF_ORDER), "message_id", ""),
		"incomplete_order,status,email_type,campaign,variant,recipient,start_date,end_date,page_size,cursor", "A page of messages, the newest first", "Message+"),
	GET("incomplete-orders/{id}/messages/", "list_messages_of", PAGE(MESSAGES(ID), "message_id", IF_VISIBLE),
		"email_type,start_date,end_date,page_size,cursor", "Its messages", "Message+"),
	GET("recovery-emails/{message_id}/", "show_message", message_sql, NULL, "One message", "Message"),
	POST_MAYBE("recovery-emails/send/", "send_recovery_emails",
			   ROWS("send_recovery_emails(coalesce((b ->> 'hours_after')::int4, 2), coalesce((b ->> 'max_attempts')::int4, 3), coalesce((b ->> 'dry_run')::boolean, false), q ->> 'shop')"),
			   "Queues a message for each order that is due, as the command of that name", "Sending", "Sent*"),
	GET("recovery-emails/preview/", "preview_recovery", ROWS("preview_recovery(q ->> 'shop', coalesce((q ->> 'at')::timestamptz, now()))"), "at",
		"Whom the campaigns would mail, or why not", "Preview*"),
	GET("recovery-emails/skips/", "count_skips", ROWS("count_skips(q ->> 'shop', coalesce(" SINCE ", now() - interval '30 days'), " UNTIL ")"), "start_date,end_date",
		"Why messages were not sent, and how many", "Skip*"),
	GET("queue/", "queue_status", ROWS("queue_status(q ->> 'shop')"), NULL, "How many messages wait, are being sent, are dead", "Queue*"),
	GET("queue/dead/", "dead_messages", ROWS("dead_messages(q ->> 'shop')"), NULL, "Messages that were given up", "Dead*"),
	POST_MAYBE("queue/dead/{message_id}/retry/", "retry_message", DONE("changed", "retry_message((p ->> 'message_id')::uuid)"), "Sends a dead message again", "Nothing", "Changed"),
	POST_MAYBE("queue/dead/{message_id}/discard/", "discard_message", DONE("changed", "discard_message((p ->> 'message_id')::uuid)"), "Gives a dead message up for good", "Nothing", "Changed"),
	{NULL}
};

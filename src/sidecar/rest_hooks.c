/*
 * rest_hooks.c
 *		Routes of webhooks: what mail services tell us, and whom shops have told.
 *
 * What a mail service says counts by its signature alone, so the body is not looked at
 * before that.
 */
#include <glib.h>
#include <string.h>

#include "problem.h"
#include "rest_schema.h"
#include "rest_sql.h"
#include "sns.h"

/* ---- in ---- */

static const char mail_events_sql[] =
"SELECT CASE r.result WHEN 'ok' THEN 200 ELSE 401 END AS status,"
" CASE r.result WHEN 'ok' THEN 'application/json' ELSE 'application/problem+json' END AS content_type,"
" CASE r.result WHEN 'ok' THEN pg_catalog.jsonb_build_object('recorded', r.recorded, 'known', r.known, 'unknown', r.unknown)"
"  ELSE pg_catalog.jsonb_build_object('type', 'about:blank', 'title', 'Unauthorized', 'status', 401, 'detail', CASE r.result"
"   WHEN 'unsigned' THEN 'The headers webhook-timestamp and webhook-signature must come with it.'"
"   WHEN 'stale' THEN 'It is older than five minutes, or of the future.' ELSE 'The signature is not that of this body.' END) END::text AS body"
" FROM (SELECT $1::jsonb AS r) a, LATERAL incomplete_orders.receive_mail_events($2, a.r #>> '{headers,webhook_timestamp}',"
" a.r #>> '{headers,webhook_signature}', a.r #>> '{headers,webhook_id}', a.r #>> '{query,shop}') r";

static const char ses_sql[] =
"SELECT 200 AS status, pg_catalog.jsonb_build_object('recorded', r.recorded, 'known', r.known, 'unknown', r.unknown)::text AS body"
" FROM incomplete_orders.receive_ses_event($2) r, (SELECT $1::text) a";

/* The shop wants the topic, or somebody else subscribed us to it. */
static void
take_subscription(RestCall *call, const char *url)
{
	bool		amazon = sns_is_amazon(url);
	LogLine		line;

	log_begin(&line, amazon ? "info" : "warn", "sns_subscription");
	log_text(&line, "url", url);
	log_end(&line);
	if (!amazon)
	{
		problem_refuse(call->request, HTTP_FORBIDDEN, "SubscribeURL is not an address of Amazon SNS.");
		return;
	}
	if (call->rest->sns_confirms)
		sns_confirm(url);
	rest_answer(call, HTTP_OK, json_pack("{s:b}", "confirmed", call->rest->sns_confirms));
}

static void
take_notification(RestCall *call)
{
	char	   *url;

	if (call->rest->sns == NULL)
	{
		problem_refuse(call->request, HTTP_NOT_FOUND, "There is nothing of that name.");
		return;
	}
	switch (sns_check(call->rest->sns, call->request->body, &url))
	{
		case SNS_NOTIFICATION:
			rest_ask(call);
			break;
		case SNS_SUBSCRIPTION:
			take_subscription(call, url);
			break;
		case SNS_UNSUBSCRIPTION:
			rest_answer(call, HTTP_OK, json_object());
			break;
		case SNS_MALFORMED:
			problem_refuse(call->request, HTTP_BAD_REQUEST, "It is no message of Amazon SNS.");
			break;
		case SNS_FOREIGN:
			problem_refuse(call->request, HTTP_FORBIDDEN, "Its topic is none of --sns-topics.");
			break;
		case SNS_FORGED:
			problem_refuse(call->request, HTTP_UNAUTHORIZED, "The signature is not that of this message.");
			break;
		case SNS_STALE:
			problem_refuse(call->request, HTTP_UNAUTHORIZED, "It is older than two hours, or of the future.");
			break;
	}
	g_free(url);
}

/* ---- out, for staff ---- */

static const char configure_webhook_sql[] =
ARGS ", d AS MATERIALIZED (SELECT incomplete_orders.configure_webhook(p ->> 'webhook', b ->> 'url', " TEXTS("events") ","
"  (b ->> 'contact')::boolean, (b ->> 'active')::boolean, coalesce((b ->> 'new_secret')::boolean, false), q ->> 'shop') AS secret FROM a)"
" SELECT CASE WHEN d.secret IS NULL THEN 200 ELSE 201 END AS status,"
" jsonb_strip_nulls(jsonb_build_object('webhook', a.p ->> 'webhook', 'secret', d.secret))::text AS body FROM a, d";

static const char retry_delivery_sql[] =
ARGS ", d AS MATERIALIZED (SELECT incomplete_orders.retry_delivery((p ->> 'delivery_id')::uuid) AS changed FROM a)"
" SELECT 200 AS status, jsonb_build_object('changed', d.changed)::text AS body FROM d";

const RestRoute hook_routes[] = {
	{"POST", "email-webhook/", "receive_mail_events", REST_OPEN, REST_BODY | REST_ANY_BODY | REST_WRITES, "shop", mail_events_sql,
		"What a mail service tells of messages, signed with the shop's secret", "MailEvents", "MailEventsRecorded",
	"webhook-id,webhook-timestamp,webhook-signature"},
	{"POST", "email-webhook/ses/", "receive_ses_event", REST_OPEN, REST_BODY | REST_ANY_BODY | REST_WRITES, NULL, ses_sql,
	"What Amazon SES tells of messages, through Amazon SNS", "SnsMessage", "MailEventsRecorded",.handler = take_notification},
	ACT("POST", "email-webhook/secret/", "rotate_mail_secret", DONE("secret", "rotate_mail_secret(q ->> 'shop')"), NULL,
		"A new secret for what mail services tell; the one before is good for a day", "Secret"),
	GET("webhooks/", "list_webhooks", ROWS("list_webhooks(q ->> 'shop')"), NULL, "The webhooks of a shop", "Webhook*"),
	PUT("webhooks/{webhook}/", "configure_webhook", configure_webhook_sql, "Makes or changes a webhook; its secret is shown when it is made", "WebhookSettings", "WebhookSecret"),
	ACT("DELETE", "webhooks/{webhook}/", "delete_webhook", CHANGED("delete_webhook(p ->> 'webhook', q ->> 'shop')"), NULL, "Takes a webhook away", NULL),
	ACT("POST", "webhooks/{webhook}/ping/", "ping_webhook", DONE("delivery_id", "ping_webhook(p ->> 'webhook', q ->> 'shop')"), NULL, "Queues a delivery to try a webhook", "DeliveryQueued"),
	GET("webhook-deliveries/", "list_deliveries", PAGE("list_deliveries(q ->> 'webhook', q ->> 'status', q ->> 'shop', q ->> 'cursor', page_size + 1)", "delivery_id", ""),
		"webhook,status,page_size,cursor", "A page of what webhooks were told and are to be told, the newest first", "Delivery+"),
	ACT("POST", "webhook-deliveries/{delivery_id}/retry/", "retry_delivery", retry_delivery_sql, NULL, "A delivery that was given up goes again", "Changed"),
	{NULL}
};

/* ---- what they are made of ---- */

static const RestField mail_events[] = {
	{"events", TYPE_LIST, 0, "MailEvent", "At most 1000; one event, or an array of them, may stand instead of this object"}, {NULL}
};
static const RestField mail_event[] = {
	{"message_id", TYPE_TEXT, FIELD_NEEDED, NULL, "Ours, or the Message-ID of the mail"},
	{"event", TYPE_WORD, FIELD_NEEDED, "delivered,opened,clicked,bounced,complained,replied,unsubscribed"},
	{"machine", TYPE_BOOLEAN, 0, NULL, "Of what was opened or clicked: a program did"},
	{"permanent", TYPE_BOOLEAN, 0, NULL, "Of what bounced; true without it"}, {NULL}
};
static const RestField recorded[] = {
	{"recorded", TYPE_INTEGER, 0, NULL, "How many were new"}, {"known", TYPE_INTEGER, 0, NULL, "How many were known already"},
	{"unknown", TYPE_INTEGER, 0, NULL, "How many are of no message"}, {"confirmed", TYPE_BOOLEAN, 0, NULL, "Of a subscription to a topic"}, {NULL}
};
static const RestField sns_message[] = {
	{"Type", TYPE_WORD, FIELD_NEEDED, "Notification,SubscriptionConfirmation,UnsubscribeConfirmation"}, {"MessageId", TYPE_TEXT, FIELD_NEEDED}, {"TopicArn", TYPE_TEXT, FIELD_NEEDED},
	{"Message", TYPE_TEXT, FIELD_NEEDED}, {"Timestamp", TYPE_INSTANT, FIELD_NEEDED}, {"SignatureVersion", TYPE_WORD, FIELD_NEEDED, "1,2"}, {"Signature", TYPE_TEXT, FIELD_NEEDED}, {NULL}
};
static const RestField secret[] = {{"secret", TYPE_TEXT, FIELD_NEEDED, NULL, "It is never shown again"}, {NULL}};
static const RestField webhook[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"webhook", TYPE_TEXT, FIELD_NEEDED}, {"url", TYPE_TEXT, FIELD_NEEDED}, {"events", TYPE_TEXTS, FIELD_NEEDED}, {"contact", TYPE_BOOLEAN, FIELD_NEEDED},
	{"active", TYPE_BOOLEAN, FIELD_NEEDED}, {"starts_at", TYPE_INSTANT, FIELD_NEEDED, NULL, "What happened before is not told"}, {"changed_at", TYPE_INSTANT, FIELD_NEEDED},
	{"failing_since", TYPE_INSTANT, 0, NULL, "It has not answered since"}, {"failures", TYPE_INTEGER, FIELD_NEEDED}, {"retry_at", TYPE_INSTANT},
	{"waiting", TYPE_INTEGER, FIELD_NEEDED}, {"dead", TYPE_INTEGER, FIELD_NEEDED, NULL, "Deliveries that were given up"}, {NULL}
};
static const RestField webhook_settings[] = {
	{"url", TYPE_TEXT, 0, NULL, "Needed when it is made", "\"https://crm.example.com/hook\""},
	{"events", TYPE_TEXTS, 0, NULL, "Of abandoned, returned, recovered and converted; all without it", "[\"abandoned\"]"},
	{"contact", TYPE_BOOLEAN, 0, NULL, "With the customer's address, phone and name"}, {"active", TYPE_BOOLEAN},
	{"new_secret", TYPE_BOOLEAN, 0, NULL, "Makes a new secret; the one before signs, too, for a day"}, {NULL}
};
static const RestField webhook_secret[] = {
	{"webhook", TYPE_TEXT, FIELD_NEEDED}, {"secret", TYPE_TEXT, 0, NULL, "Where one was made; it is never shown again"}, {NULL}
};
static const RestField delivery[] = {
	{"delivery_id", TYPE_UUID, FIELD_NEEDED}, {"shop", TYPE_TEXT, FIELD_NEEDED}, {"webhook", TYPE_TEXT, FIELD_NEEDED}, {"event", TYPE_TEXT, FIELD_NEEDED}, {"order_id", TYPE_UUID},
	{"at", TYPE_INSTANT, FIELD_NEEDED}, {"status", TYPE_WORD, FIELD_NEEDED, "queued,sending,delivered,dead"}, {"attempts", TYPE_INTEGER, FIELD_NEEDED},
	{"due_at", TYPE_INSTANT, FIELD_NEEDED}, {"queued_at", TYPE_INSTANT, FIELD_NEEDED}, {"http_status", TYPE_INTEGER}, {"problem", TYPE_TEXT}, {NULL}
};
static const RestField queued[] = {{"delivery_id", TYPE_UUID, FIELD_NEEDED}, {NULL}};

const RestSchema hook_schemas[] = {
	{"MailEvents", mail_events}, {"MailEvent", mail_event}, {"MailEventsRecorded", recorded}, {"SnsMessage", sns_message, SCHEMA_OPEN}, {"Secret", secret},
	{"Webhook", webhook}, {"WebhookSettings", webhook_settings}, {"WebhookSecret", webhook_secret}, {"Delivery", delivery}, {"DeliveryQueued", queued},
	{NULL}
};

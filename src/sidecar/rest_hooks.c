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
#include "rest.h"
#include "sns.h"

/* ---- in ---- */

static const char mail_events_sql[] =
"SELECT CASE r.result WHEN 'ok' THEN 200 ELSE 401 END AS status,"
" CASE r.result WHEN 'ok' THEN 'application/json' ELSE 'application/problem+json' END AS content_type,"
" CASE r.result WHEN 'ok' THEN pg_catalog.json_build_object('recorded', r.recorded, 'known', r.known, 'unknown', r.unknown)"
"  ELSE pg_catalog.json_build_object('type', 'about:blank', 'title', 'Unauthorized', 'status', 401, 'detail', CASE r.result"
"   WHEN 'unsigned' THEN 'The headers webhook-timestamp and webhook-signature must come with it.'"
"   WHEN 'stale' THEN 'It is older than five minutes, or of the future.' ELSE 'The signature is not that of this body.' END) END::text AS body"
" FROM (SELECT $1::jsonb AS r) a, LATERAL incomplete_orders.receive_mail_events($2, a.r #>> '{headers,webhook_timestamp}',"
" a.r #>> '{headers,webhook_signature}', a.r #>> '{headers,webhook_id}', a.r #>> '{query,shop}') r";

static const char ses_sql[] =
"SELECT 200 AS status, pg_catalog.json_build_object('recorded', r.recorded, 'known', r.known, 'unknown', r.unknown)::text AS body"
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

static const char list_webhooks_sql[] =
"SELECT 200 AS status, pg_catalog.jsonb_build_object('results', coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(w) ORDER BY w.shop, w.webhook), '[]'))::text AS body"
" FROM (SELECT $1::jsonb -> 'query' AS q, $2::text) a, LATERAL incomplete_orders.list_webhooks(a.q ->> 'shop') w";

static const char configure_webhook_sql[] =
"SELECT CASE WHEN r.secret IS NULL THEN 200 ELSE 201 END AS status,"
" pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('webhook', a.r #>> '{path,webhook}', 'secret', r.secret))::text AS body"
" FROM (SELECT $1::jsonb AS r, $2::jsonb AS b) a, LATERAL (SELECT incomplete_orders.configure_webhook(a.r #>> '{path,webhook}', a.b ->> 'url',"
" CASE WHEN pg_catalog.jsonb_typeof(a.b -> 'events') = 'array' THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(a.b -> 'events')) END,"
" (a.b ->> 'contact')::boolean, (a.b ->> 'active')::boolean, coalesce((a.b ->> 'new_secret')::boolean, false), a.r #>> '{query,shop}') AS secret OFFSET 0) r";

static const char delete_webhook_sql[] =
"SELECT 204 AS status, NULL::text AS body"
" FROM (SELECT $1::jsonb AS r, $2::text) a, LATERAL (SELECT incomplete_orders.delete_webhook(a.r #>> '{path,webhook}', a.r #>> '{query,shop}') AS gone OFFSET 0) d WHERE d.gone";

static const char ping_webhook_sql[] =
"SELECT 202 AS status, pg_catalog.jsonb_build_object('delivery_id',"
" incomplete_orders.ping_webhook(a.r #>> '{path,webhook}', a.r #>> '{query,shop}'))::text AS body FROM (SELECT $1::jsonb AS r, $2::text) a";

static const char list_deliveries_sql[] =
"WITH a AS MATERIALIZED (SELECT q, r ->> 'page' AS page, coalesce((q ->> 'page_size')::int, 20) AS page_size"
"  FROM (SELECT $1::jsonb AS r, $1::jsonb -> 'query' AS q, $2::text) x),"
" p AS MATERIALIZED (SELECT l.*, pg_catalog.row_number() OVER () AS n FROM a, LATERAL incomplete_orders.list_deliveries(q ->> 'webhook', q ->> 'status',"
"  q ->> 'shop', q ->> 'cursor', page_size + 1) l)"
" SELECT 200 AS status, pg_catalog.jsonb_build_object('next', (SELECT page || p.cursor FROM p WHERE p.n = page_size AND EXISTS (SELECT FROM p m WHERE m.n > page_size)),"
"  'previous', NULL, 'results', coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) - '{n,cursor}'::text[] ORDER BY p.n) FROM p WHERE p.n <= page_size), '[]'))::text AS body"
" FROM a";

static const char retry_delivery_sql[] =
"SELECT CASE WHEN r.queued THEN 202 ELSE 409 END AS status, CASE WHEN r.queued THEN 'application/json' ELSE 'application/problem+json' END AS content_type,"
" CASE WHEN r.queued THEN pg_catalog.jsonb_build_object('delivery_id', r.id) ELSE pg_catalog.jsonb_build_object('type', 'about:blank', 'title', 'Conflict',"
"  'status', 409, 'detail', 'It was not given up.') END::text AS body"
" FROM (SELECT d.id, incomplete_orders.retry_delivery(d.id) AS queued FROM (SELECT ($1::jsonb #>> '{path,id}')::uuid AS id, $2::text) d OFFSET 0) r";

const RestRoute hook_routes[] = {
	{"POST", "email-webhook/", "receive_mail_events", REST_OPEN, REST_BODY | REST_ANY_BODY | REST_WRITES, "shop", mail_events_sql,
		"What a mail service tells of messages, signed with the shop's secret", "MailEvents", "MailEventsRecorded",
	"webhook-id,webhook-timestamp,webhook-signature"},
	{"POST", "email-webhook/ses/", "receive_ses_event", REST_OPEN, REST_BODY | REST_ANY_BODY | REST_WRITES, NULL, ses_sql,
	"What Amazon SES tells of messages, through Amazon SNS", NULL, "MailEventsRecorded",.handler = take_notification},
	{"GET", "webhooks/", "list_webhooks", REST_STAFF, 0, NULL, list_webhooks_sql,
	"The webhooks of a shop", NULL, "Webhooks"},
	{"PUT", "webhooks/{webhook}/", "configure_webhook", REST_STAFF, REST_BODY | REST_WRITES, NULL, configure_webhook_sql,
	"Makes or changes a webhook; its secret is shown when it is made", "Webhook", "WebhookSecret"},
	{"DELETE", "webhooks/{webhook}/", "delete_webhook", REST_STAFF, REST_WRITES, NULL, delete_webhook_sql,
	"Takes a webhook away"},
	{"POST", "webhooks/{webhook}/ping/", "ping_webhook", REST_STAFF, REST_MAY_BODY | REST_WRITES, NULL, ping_webhook_sql,
	"Queues a delivery to try a webhook", NULL, "DeliveryQueued"},
	{"GET", "webhook-deliveries/", "list_deliveries", REST_STAFF, 0, "webhook,status,page_size,cursor", list_deliveries_sql,
	"What webhooks were told, and are to be told", NULL, "DeliveryPage"},
	{"POST", "webhook-deliveries/{id}/retry/", "retry_delivery", REST_STAFF, REST_MAY_BODY | REST_WRITES, NULL, retry_delivery_sql,
	"A delivery that was given up goes again", NULL, "DeliveryQueued"},
	{NULL}
};

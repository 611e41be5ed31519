/*
 * rest_staff.c
 *		Routes of shops and their settings, of persons and what they said, of health.
 *
 * Addresses stand in bodies and not in paths, which are logged.
 */
#include "rest_schema.h"
#include "rest_sql.h"

static const RestField shop[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"name", TYPE_TEXT, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED}, {"time_zone", TYPE_TEXT, FIELD_NEEDED}, {NULL}
};
static const RestField settings[] = {
	{"name", TYPE_TEXT, FIELD_CLEARS, NULL, NULL, "\"My shop\""}, {"cut_off", TYPE_SPAN, FIELD_CLEARS, NULL, "After this long without activity a cart is abandoned"}, {NULL}
};
static const RestField suppression[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"person", TYPE_TEXT, FIELD_NEEDED, NULL, "A keyed hash of the address"}, {"scope", TYPE_WORD, FIELD_NEEDED, "recovery,all,data"},
	{"reason", TYPE_TEXT, FIELD_NEEDED}, {"at", TYPE_INSTANT, FIELD_NEEDED}, {"message_id", TYPE_UUID}, {NULL}
};
static const RestField suppressing[] = {
	{"email", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"ann@example.com\""},
	{"reason", TYPE_WORD, 0, "suppressed,hard_bounce,unsubscribed,not_me,complaint,erased", "suppressed without it", NULL},
	{NULL}
};
static const RestField address[] = {{"email", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"ann@example.com\""}, {NULL}};
static const RestField consent[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"person", TYPE_TEXT, FIELD_NEEDED}, {"purpose", TYPE_TEXT, FIELD_NEEDED}, {"status", TYPE_WORD, FIELD_NEEDED, "granted,withdrawn"},
	{"at", TYPE_INSTANT, FIELD_NEEDED}, {"text_version", TYPE_TEXT}, {"source", TYPE_TEXT}, {"in_force", TYPE_BOOLEAN, FIELD_NEEDED}, {NULL}
};
static const RestField consenting[] = {
	{"email", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"ann@example.com\""}, {"status", TYPE_WORD, FIELD_NEEDED, "granted,withdrawn", NULL, "\"granted\""},
	{"purpose", TYPE_TEXT, 0, NULL, "recovery without it", NULL}, {"text_version", TYPE_TEXT}, {"source", TYPE_TEXT, 0, NULL, NULL, "\"phone\""}, {"customer_id", TYPE_TEXT}, {NULL}
};
static const RestField customer[] = {
	{"email", TYPE_TEXT, 0, NULL, "This, or customer_id, or both", "\"ann@example.com\""}, {"customer_id", TYPE_TEXT}, {NULL}
};
static const RestField forgotten[] = {{"relation", TYPE_TEXT, FIELD_NEEDED}, {"action", TYPE_TEXT, FIELD_NEEDED}, {"n", TYPE_INTEGER, FIELD_NEEDED}, {NULL}};
static const RestField anything[] = {{NULL}};
static const RestField check[] = {
	{"check_name", TYPE_TEXT, FIELD_NEEDED}, {"state", TYPE_WORD, FIELD_NEEDED, "ok,warn,alarm"}, {"value", TYPE_TEXT}, {"advice", TYPE_TEXT}, {NULL}
};
static const RestField attachment[] = {
	{"name", TYPE_TEXT, FIELD_NEEDED}, {"shop", TYPE_TEXT, FIELD_NEEDED}, {"attachment", TYPE_INTEGER, FIELD_NEEDED}, {"preset", TYPE_TEXT}, {"tables", TYPE_TEXTS},
	{"role", TYPE_TEXT}, {"state", TYPE_TEXT, FIELD_NEEDED}, {"problem", TYPE_TEXT}, {"problem_at", TYPE_INSTANT}, {"waiting", TYPE_INTEGER, FIELD_NEEDED},
	{"waiting_since", TYPE_INSTANT}, {"attached_at", TYPE_INSTANT}, {"last_read_at", TYPE_INSTANT}, {"mapping", TYPE_OBJECT}, {NULL}
};

const RestSchema staff_schemas[] = {
	{"Shop", shop}, {"Settings", settings, SCHEMA_OPEN, "The settings of a shop; null: as it was at first"}, {"Suppression", suppression}, {"Suppressing", suppressing},
	{"Address", address}, {"Consent", consent}, {"Consenting", consenting}, {"Customer", customer}, {"Forgotten", forgotten},
	{"CustomerData", anything, SCHEMA_OPEN, "All that is kept about a person"}, {"Check", check}, {"Attachment", attachment},
	{NULL}
};

static const char settings_sql[] = ARGS " SELECT 200 AS status, incomplete_orders.shop_settings(q ->> 'shop')::text AS body FROM a";
static const char configure_sql[] = VOID("configure_shop(q ->> 'shop', b)");
static const char health_sql[] =
"SELECT 200 AS status, jsonb_build_object('results', jsonb_agg(to_jsonb(h)))::text AS body FROM incomplete_orders.health() h";
static const char attachments_sql[] =
ARGS " SELECT 200 AS status, jsonb_build_object('results', coalesce((SELECT jsonb_agg(to_jsonb(t) ORDER BY t.shop, t.name) FROM incomplete_orders.attachments t"
" WHERE NOT q ? 'shop' OR q ->> 'shop' IN ('*', t.shop)), '[]'))::text AS body FROM a";
static const char export_customer_sql[] =
ARGS " SELECT 200 AS status, incomplete_orders.export_customer(b ->> 'email', b ->> 'customer_id', q ->> 'shop')::text AS body FROM a";

const RestRoute staff_routes[] = {
	GET("shops/", "list_shops", ROWS("list_shops()"), NULL, "The role's shops", "Shop*"),
	GET("settings/", "shop_settings", settings_sql, NULL, "The settings of a shop", "Settings"),
	{"PATCH", "settings/", "configure_shop", REST_STAFF, REST_BODY | REST_WRITES, NULL, configure_sql, "Changes settings of a shop", "Settings", NULL},
	GET("suppressions/", "list_suppressions", PAGE("list_suppressions(q ->> 'shop', q ->> 'email', q ->> 'cursor', page_size + 1)", "person", ""), "email,page_size,cursor",
		"A page of who may not be mailed, the newest first", "Suppression+"),
	POST("suppressions/", "suppress", DONE("changed", "suppress(b ->> 'email', coalesce(b ->> 'reason', 'suppressed'), q ->> 'shop')"), "No message to that address any more", "Suppressing", "Changed"),
	POST("suppressions/remove/", "unsuppress", DONE("changed", "unsuppress(b ->> 'email', q ->> 'shop')"), "That address may be mailed again", "Address", "Changed"),
	GET("consents/", "list_consents", PAGE("list_consents(q ->> 'shop', q ->> 'email', q ->> 'customer_id', q ->> 'cursor', page_size + 1)", "person", ""),
		"email,customer_id,page_size,cursor", "A page of what persons agreed to, the newest first", "Consent+"),
	POST("consents/", "record_consent", DONE("changed", "record_consent(b ->> 'email', b ->> 'status', coalesce(b ->> 'purpose', 'recovery'), b ->> 'text_version',"
											 " b ->> 'source', b ->> 'customer_id', q ->> 'shop')"), "Keeps that somebody agreed, or withdrew it", "Consenting", "Changed"),
	POST("customers/export/", "export_customer", export_customer_sql, "All that is kept about a person", "Customer", "CustomerData"),
	POST("customers/forget/", "forget_customer", ROWS("forget_customer(b ->> 'email', b ->> 'customer_id', q ->> 'shop')"), "Forgets a person", "Customer", "Forgotten*"),
	GET("health/", "health", health_sql, NULL, "What health() finds", "Check*"),
	GET("attachments/", "list_attachments", attachments_sql, NULL, "Tables of shops that are watched", "Attachment*"),
	{NULL}
};

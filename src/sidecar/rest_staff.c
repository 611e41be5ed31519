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
	{"waiting_since", TYPE_INSTANT}, {"attached_at", TYPE_INSTANT}, {"last_read_at", TYPE_INSTANT}, {"mapping", TYPE_OBJECT},
	{"refused", TYPE_INTEGER, FIELD_NEEDED, NULL, "Carts that cannot be captured as they are"}, {NULL}
};
static const RestField creating[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED, NULL, "Its key: 1 to 63 of a-z, 0-9, _ and -", "\"berlin\""}, {"name", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"Shop Berlin\""},
	{"currency", TYPE_TEXT, 0, NULL, "USD without it", "\"EUR\""}, {"time_zone", TYPE_TEXT, 0, NULL, "UTC without it", "\"Europe/Berlin\""}, {NULL}
};
static const RestField created[] = {{"shop", TYPE_TEXT, FIELD_NEEDED}, {"shop_id", TYPE_INTEGER, FIELD_NEEDED}, {NULL}};
static const RestField setting_part[] = {{"name", TYPE_TEXT, FIELD_NEEDED}, {"kind", TYPE_WORD, FIELD_NEEDED, "number,list,switch"}, {"meaning", TYPE_TEXT, FIELD_NEEDED}, {NULL}};
static const RestField setting[] = {
	{"setting", TYPE_TEXT, FIELD_NEEDED}, {"label", TYPE_TEXT, FIELD_NEEDED, NULL, "What people call it"}, {"section", TYPE_TEXT, FIELD_NEEDED, NULL, "What it is for"},
	{"kind", TYPE_TEXT, FIELD_NEEDED, NULL, "span, time, integer, number, share, choice, list, object, zone, url and so on"},
	{"choices", TYPE_TEXTS, FIELD_NEEDED}, {"parts", TYPE_LIST, FIELD_NEEDED, "SettingPart", "The keys of an object, where they are known"},
	{"meaning", TYPE_TEXT, FIELD_NEEDED}, {"value", TYPE_ANY}, {"default_value", TYPE_ANY}, {"note", TYPE_TEXT}, {NULL}
};
static const RestField rotating[] = {{"keep", TYPE_SPAN, 0, NULL, "How long the key before it is good; 7 days without it", "\"7 days\""}, {NULL}};
static const RestField key[] = {{"publishable_key", TYPE_TEXT, FIELD_NEEDED}, {NULL}};
static const RestField member[] = {
	{"role", TYPE_TEXT, FIELD_NEEDED}, {"purpose", TYPE_WORD, FIELD_NEEDED, "app,sender,analyst,admin"}, {"all_shops", TYPE_BOOLEAN, FIELD_NEEDED}, {"granted_at", TYPE_INSTANT, FIELD_NEEDED},
	{"granted_by", TYPE_TEXT, FIELD_NEEDED}, {"works", TYPE_BOOLEAN, FIELD_NEEDED, NULL, "The role is there still"}, {"mine", TYPE_BOOLEAN, FIELD_NEEDED, NULL, "Whoever asks has its rights"}, {NULL}
};
static const RestField attachable[] = {
	{"preset", TYPE_TEXT, FIELD_NEEDED}, {"schema", TYPE_TEXT, FIELD_NEEDED}, {"tables", TYPE_TEXTS, FIELD_NEEDED}, {"missing", TYPE_TEXTS, FIELD_NEEDED, NULL, "Tables and columns that are not there"},
	{"refused", TYPE_TEXTS, FIELD_NEEDED, NULL, "Tables that the role may not read or put a trigger on"}, {"attached", TYPE_TEXT, 0, NULL, "By this name they are already"}, {NULL}
};
static const RestField attaching[] = {
	{"preset", TYPE_TEXT, 0, NULL, "A shop that is known", "\"vendure\""}, {"mapping", TYPE_OBJECT, 0, NULL, "Or what differs from the preset", "{\"schema\": \"public\"}"},
	{"dry_run", TYPE_BOOLEAN, 0, NULL, "Only checks, and shows five carts", "true"}, {NULL}
};
static const RestField attach_check[] = {{"check_name", TYPE_TEXT, FIELD_NEEDED}, {"result", TYPE_TEXT}, {NULL}};
static const RestField sampled[] = {{"cart_key", TYPE_TEXT}, {"state", TYPE_TEXT}, {"cart", TYPE_OBJECT}, {"problem", TYPE_TEXT, 0, NULL, "Why it cannot be captured"}, {NULL}};
static const RestField done[] = {{"action", TYPE_TEXT, FIELD_NEEDED}, {"object", TYPE_TEXT, FIELD_NEEDED}, {NULL}};
static const RestField scheduler[] = {
	{"state", TYPE_WORD, FIELD_NEEDED, "ok,stopped,never,ahead"}, {"ended_at", TYPE_INSTANT}, {"every_seconds", TYPE_INTEGER, FIELD_NEEDED}, {NULL}
};
static const RestField job[] = {
	{"job", TYPE_TEXT, FIELD_NEEDED}, {"schedule", TYPE_TEXT, FIELD_NEEDED}, {"command", TYPE_TEXT, FIELD_NEEDED}, {"state", TYPE_TEXT, FIELD_NEEDED}, {"role", TYPE_TEXT},
	{"last_start", TYPE_INSTANT}, {"last_end", TYPE_INSTANT}, {"last_message", TYPE_TEXT}, {NULL}
};

const RestSchema staff_schemas[] = {
	{"Shop", shop}, {"Settings", settings, SCHEMA_OPEN, "The settings of a shop; null: as it was at first"}, {"Suppression", suppression}, {"Suppressing", suppressing},
	{"Address", address}, {"Consent", consent}, {"Consenting", consenting}, {"Customer", customer}, {"Forgotten", forgotten},
	{"CustomerData", anything, SCHEMA_OPEN, "All that is kept about a person"}, {"Check", check}, {"Attachment", attachment},
	{"NewShop", creating}, {"ShopCreated", created}, {"Setting", setting}, {"SettingPart", setting_part}, {"Rotating", rotating}, {"PublishableKey", key}, {"Member", member},
	{"Attachable", attachable}, {"Attaching", attaching}, {"AttachCheck", attach_check}, {"SampledCart", sampled}, {"Done", done}, {"Mapping", anything, SCHEMA_OPEN, "A mapping of attach()"}, {"Scheduler", scheduler}, {"Job", job},
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

static const char create_shop_sql[] =
ARGS " SELECT 201 AS status, jsonb_build_object('shop', b ->> 'shop', 'shop_id', incomplete_orders.create_shop(b ->> 'shop', b ->> 'name', b ->> 'currency', b ->> 'time_zone'))::text AS body FROM a";
static const char rotate_key_sql[] =
DONE("publishable_key", "rotate_publishable_key(q ->> 'shop', coalesce(b ->> 'keep', '7 days')::interval)");
static const char export_shop_sql[] =
ARGS " SELECT e::text || E'\n' AS row FROM a, LATERAL incomplete_orders.export_shop(q ->> 'shop') e";
/* No search_path is anybody's here, so a mapping says where its tables are. */
static const char attach_sql[] =
ROWS("attach(p ->> 'name', b ->> 'preset', coalesce(nullif(b -> 'mapping', 'null'), '{}'), q ->> 'shop', coalesce((b ->> 'dry_run')::boolean, false))");
static const char preset_sql[] = ARGS " SELECT 200 AS status, incomplete_orders.attach_mapping(p ->> 'preset')::text AS body FROM a";
static const char scheduler_sql[] = "SELECT 200 AS status, to_jsonb(s)::text AS body FROM incomplete_orders.scheduler_status() s";

const RestRoute staff_routes[] = {
	GET("shops/", "list_shops", ROWS("list_shops()"), NULL, "The role's shops", "Shop*"),
	GET("settings/", "shop_settings", settings_sql, NULL, "The settings of a shop", "Settings"),
	{"PATCH", "settings/", "configure_shop", REST_STAFF, REST_BODY | REST_WRITES, NULL, configure_sql, "Changes settings of a shop", "Settings", NULL},
	{"POST", "shops/", "create_shop", REST_STAFF, REST_BODY | REST_WRITES, NULL, create_shop_sql, "Makes a shop, for who is admin of all shops", "NewShop", "ShopCreated"},
	{"GET", "shops/export.ndjson", "export_shop", REST_STAFF, REST_STREAM, NULL, export_shop_sql,
	"Everything of a shop, a row a line, personal data included, its secrets not", NULL, NULL, NULL, "application/x-ndjson", NULL, 0, 3600},
	GET("settings/list/", "list_settings", ROWS("list_settings(q ->> 'shop')"), NULL, "The settings of a shop, each with what it is for and its default", "Setting*"),
	POST_MAYBE("settings/publishable-key/", "rotate_publishable_key", rotate_key_sql, "A new key for the pages of a shop", "Rotating", "PublishableKey"),
	GET("members/", "list_members", ROWS("list_members(q ->> 'shop')"), NULL, "Which roles work for a shop, and as what", "Member*"),
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
	GET("attachable/", "find_attachable", ROWS("find_attachable(q ->> 'shop')"), NULL, "Tables that look like those of a shop that is known", "Attachable*"),
	GET("presets/{preset}/", "attach_mapping", preset_sql, NULL, "How the tables of a shop that is known are read", "Mapping"),
	{"PUT", "attachments/{name}/", "attach", REST_STAFF, REST_BODY | REST_WRITES, NULL, attach_sql, "Captures carts from tables, or changes how; its mapping must name the schema", "Attaching", "AttachCheck*"},
	ACT("DELETE", "attachments/{name}/", "detach", ROWS("detach(p ->> 'name', q ->> 'shop')"), NULL, "Ends it; what was captured stays, and orders that are open are dismissed", "Done*"),
	ACT("POST", "attachments/{name}/reconcile/", "reconcile", VOID("reconcile(p ->> 'name', q ->> 'shop')"), NULL, "Has all open carts read again", NULL),
	GET("attachments/{name}/sample/", "sample_attachment", ROWS("sample_attachment(p ->> 'name', 5, q ->> 'shop')"), NULL, "Five open carts as they are read and understood", "SampledCart*"),
	GET("scheduler/", "scheduler_status", scheduler_sql, NULL, "Whether what is due is done", "Scheduler"),
	GET("scheduler/jobs/", "jobs", ROWS("jobs()"), NULL, "Jobs of this database in pg_cron, as far as the role may see them", "Job*"),
	{NULL}
};

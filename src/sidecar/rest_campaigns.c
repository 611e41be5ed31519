/*
 * rest_campaigns.c
 *		Routes of campaigns, their steps, variants and coupons, and of the texts.
 */
#include "rendering.h"
#include "rest_schema.h"
#include "rest_sql.h"
#include "trial.h"

#define TYPES "abandoned_cart,payment_reminder,final_reminder,discount_offer"

static const RestField campaign_row[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"campaign", TYPE_TEXT, FIELD_NEEDED}, {"enabled", TYPE_BOOLEAN, FIELD_NEEDED}, {"not_before", TYPE_INSTANT},
	{"step", TYPE_INTEGER}, {"delay", TYPE_SPAN}, {"message_type", TYPE_TEXT}, {"template", TYPE_TEXT}, {"variants", TYPE_INTEGER}, {"coupon", TYPE_TEXT},
	{"missing", TYPE_TEXTS, 0, NULL, "Settings of the shop without which no mail may leave"}, {NULL}
};
static const RestField enabling[] = {
	{"not_older_than", TYPE_SPAN, 0, NULL, "Whose carts were left longer ago are not mailed; 1 day without it", "\"1 day\""}, {NULL}
};
static const RestField step[] = {
	{"delay", TYPE_SPAN, 0, NULL, "How long after the abandonment", "\"2 hours\""},
	{"template", TYPE_TEXT, 0, NULL, "The text", "\"cart_abandoned\""},
	{"message_type", TYPE_WORD, 0, TYPES, NULL, NULL},
	{NULL}
};
static const RestField variant[] = {
	{"template", TYPE_TEXT, 0, NULL, "Without it that of the step", NULL},
	{"weight", TYPE_INTEGER, 0, NULL, "How often, beside the others; 1 without it", "1"},
	{NULL}
};
static const RestField variant_row[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"campaign", TYPE_TEXT, FIELD_NEEDED}, {"step", TYPE_INTEGER, FIELD_NEEDED}, {"variant", TYPE_TEXT, FIELD_NEEDED},
	{"weight", TYPE_INTEGER, FIELD_NEEDED}, {"template", TYPE_TEXT}, {NULL}
};
static const RestField coupon[] = {
	{"percentage", TYPE_NUMBER, 0, NULL, "This, or amount", "10"},
	{"amount", TYPE_NUMBER, 0, NULL, "In the shop's currency", NULL},
	{"minimum_value", TYPE_NUMBER, 0, NULL, "Of the cart", NULL},
	{"valid_for", TYPE_SPAN, 0, NULL, "7 days without it", NULL},
	{"cool_down", TYPE_SPAN, 0, NULL, "Nobody gets another one before; 30 days without it", NULL},
	{NULL}
};
static const RestField coupon_row[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"campaign", TYPE_TEXT, FIELD_NEEDED}, {"step", TYPE_INTEGER, FIELD_NEEDED}, {"kind", TYPE_TEXT, FIELD_NEEDED},
	{"value", TYPE_NUMBER, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED}, {"minimum_value", TYPE_NUMBER, FIELD_NEEDED}, {"valid_for", TYPE_SPAN, FIELD_NEEDED},
	{"cool_down", TYPE_SPAN, FIELD_NEEDED}, {"changed_at", TYPE_INSTANT, FIELD_NEEDED}, {NULL}
};
#define TEXT_FIELDS(flags) \
	{"subject", TYPE_TEXT, flags, NULL, NULL, "\"You left something, {{customer_name}}\""}, {"preheader", TYPE_TEXT, flags}, {"headline", TYPE_TEXT, flags}, \
	{"body", TYPE_TEXT, flags}, {"button", TYPE_TEXT, flags}, {"footer", TYPE_TEXT, flags}
static const RestField text[] = {TEXT_FIELDS(FIELD_CLEARS), {NULL}};
static const RestField text_row[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"template", TYPE_TEXT, FIELD_NEEDED}, {"locale", TYPE_TEXT, FIELD_NEEDED},
	{"own", TYPE_BOOLEAN, FIELD_NEEDED, NULL, "The shop's own, not the one that comes with the extension"}, TEXT_FIELDS(0),
	{"steps", TYPE_TEXTS}, {"changed_at", TYPE_INSTANT}, {NULL}
};
static const RestField template_variable[] = {
	{"name", TYPE_TEXT, FIELD_NEEDED}, {"inside", TYPE_TEXT}, {"kind", TYPE_TEXT, FIELD_NEEDED}, {"meaning", TYPE_TEXT, FIELD_NEEDED}, {"example", TYPE_TEXT}, {NULL}
};
#define UNSAVED {"fields", TYPE_OBJECT, 0, "Text", "Fields that are not saved, instead of those that are"}
static const RestField previewing[] = {
	{"locale", TYPE_TEXT, 0, NULL, "Language of the reader; else the order's, or the shop's", "\"en\""},
	{"id", TYPE_UUID, 0, NULL, "An open order; without it one is made up", NULL},
	UNSAVED,
	{NULL}
};
static const RestField text_problem[] = {
	{"field", TYPE_TEXT, FIELD_NEEDED}, {"line", TYPE_INTEGER}, {"column", TYPE_INTEGER}, {"problem", TYPE_TEXT, FIELD_NEEDED}, {"hint", TYPE_TEXT}, {NULL}
};
static const RestField rendered[] = {
	{"locale", TYPE_TEXT, FIELD_NEEDED}, {"subject", TYPE_TEXT}, {"html", TYPE_TEXT}, {"text", TYPE_TEXT}, {"sender", TYPE_TEXT},
	{"bytes", TYPE_INTEGER, 0, NULL, "Of the whole mail"}, {"reason", TYPE_TEXT, 0, NULL, "Why there is no mail"},
	{"problems", TYPE_LIST, FIELD_NEEDED, "TextProblem", "Why the fields cannot be saved"}, {NULL}
};
static const RestField sequence_variant[] = {
	{"variant", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"a\""}, {"weight", TYPE_INTEGER, 0, NULL, "How often, beside the others; 1 without it", "1"},
	{"template", TYPE_TEXT, 0, NULL, "Without it that of the step", NULL}, {NULL}
};
static const RestField sequence_step[] = {
	{"step", TYPE_INTEGER, 0, NULL, "The number that it has now; a new one has none", "1"},
	{"delay", TYPE_SPAN, FIELD_NEEDED, NULL, "How long after the abandonment", "\"2 hours\""},
	{"template", TYPE_TEXT, FIELD_NEEDED, NULL, "The text", "\"cart_abandoned\""},
	{"variants", TYPE_LIST, 0, "SequenceVariant", "None: the text of the step"},
	{"coupon", TYPE_OBJECT, 0, "Coupon", "None: no discount"},
	{NULL}
};
static const RestField sequence[] = {
	{"steps", TYPE_LIST, FIELD_NEEDED, "SequenceStep", "In the order in which they are sent"},
	{"dry_run", TYPE_BOOLEAN, 0, NULL, "Only say what would be", "true"},
	{NULL}
};
static const RestField saved[] = {
	{"numbers", TYPE_LIST, FIELD_NEEDED, NULL, "The numbers that the steps have then"}, {"moved", TYPE_INTEGER, FIELD_NEEDED, NULL, "Orders whose next message is due at another instant"},
	{"waiting", TYPE_INTEGER, FIELD_NEEDED, NULL, "Orders that wait for a message"}, {"queued", TYPE_INTEGER, FIELD_NEEDED, NULL, "Messages in the queue, which stay as they are"}, {NULL}
};
static const RestField reason_count[] = {{"action", TYPE_TEXT, FIELD_NEEDED}, {"reason", TYPE_TEXT}, {"n", TYPE_INTEGER, FIELD_NEEDED}, {NULL}};
static const RestField forecast[] = {
	{"at", TYPE_INSTANT, FIELD_NEEDED}, {"total", TYPE_INTEGER, FIELD_NEEDED, NULL, "Orders whose next step falls due until then"},
	{"mailed", TYPE_INTEGER, FIELD_NEEDED, NULL, "Of these: get a message, at once or later"}, {"reasons", TYPE_LIST, FIELD_NEEDED, "ReasonCount"},
	{"results", TYPE_LIST, FIELD_NEEDED, "Preview", "The first of them"}, {NULL}
};
static const RestField issued[] = {
	{"shop", TYPE_TEXT, FIELD_NEEDED}, {"code", TYPE_TEXT, FIELD_NEEDED}, {"state", TYPE_WORD, FIELD_NEEDED, "open,used,expired"}, {"campaign", TYPE_TEXT}, {"step", TYPE_INTEGER},
	{"order_id", TYPE_UUID}, {"recipient", TYPE_TEXT}, {"kind", TYPE_TEXT, FIELD_NEEDED}, {"value", TYPE_NUMBER, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED},
	{"minimum_value", TYPE_NUMBER, FIELD_NEEDED}, {"issued_at", TYPE_INSTANT, FIELD_NEEDED}, {"expires_at", TYPE_INSTANT, FIELD_NEEDED}, {"used_at", TYPE_INSTANT},
	{"used_by", TYPE_UUID}, {"cost", TYPE_NUMBER}, {NULL}
};
static const RestField trial[] = {
	{"to", TYPE_TEXT, FIELD_NEEDED, NULL, "Who gets it", "\"maria@shop.example\""},
	{"locale", TYPE_TEXT, 0, NULL, "Language of the reader; else the order's, or the shop's", NULL},
	{"id", TYPE_UUID, 0, NULL, "An open order; without it one is made up", NULL},
	UNSAVED,
	{NULL}
};
static const RestField tried[] = {
	{"recipient", TYPE_TEXT, FIELD_NEEDED}, {"result", TYPE_WORD, FIELD_NEEDED, "sent,rejected,deferred,untried"},
	{"response", TYPE_TEXT, 0, NULL, "What the mail server said"}, {NULL}
};
static const RestField message_preview[] = {{NULL}};

const RestSchema campaign_schemas[] = {
	{"CampaignStep", campaign_row, 0, "One row for each step of a campaign"}, {"Enabling", enabling}, {"Step", step}, {"Variant", variant}, {"VariantRow", variant_row},
	{"Coupon", coupon}, {"CouponRow", coupon_row}, {"Text", text, 0, "What is left out stays; null: as it comes with the extension"}, {"TextRow", text_row},
	{"TemplateVariable", template_variable}, {"Previewing", previewing}, {"Trial", trial}, {"Tried", tried},
	{"TextProblem", text_problem}, {"Rendered", rendered, 0, "A mail as it would be made"}, {"SequenceVariant", sequence_variant}, {"SequenceStep", sequence_step},
	{"Sequence", sequence}, {"SavedSequence", saved}, {"ReasonCount", reason_count}, {"Forecast", forecast}, {"IssuedCoupon", issued},
	{"MessagePreview", message_preview, SCHEMA_OPEN, "The message as a sender gets it, its texts filled in; its links are signed and lead nowhere"},
	{NULL}
};

#define CAMPAIGN "p ->> 'campaign'"
#define STEP "(p ->> 'step')::int4"
#define SHOP "q ->> 'shop'"

/* fields that are not saved stand in for those that are */
#define WITH_UNSAVED(message) \
	"jsonb_set(" message ", '{text}', (" message " -> 'text') || jsonb_strip_nulls(coalesce(nullif(b -> 'fields', 'null'), '{}')))"
#define MESSAGE " LATERAL incomplete_orders.preview_message(p ->> 'template', b ->> 'locale', (b ->> 'id')::uuid, " SHOP ") AS m (m)"

static const char preview_sql[] =
ARGS " SELECT 200 AS status, (" WITH_UNSAVED("m.m") ")::text AS body FROM a," MESSAGE;

static const char trial_sql[] =
ARGS " SELECT (" WITH_UNSAVED("m.m") ")::text AS object, m.m #>> '{shop,shop}' AS shop, b ->> 'to' AS recipient FROM a," MESSAGE;

static const char render_sql[] =
ARGS " SELECT (" WITH_UNSAVED("m.m") ")::text AS object, (SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]')"
" FROM incomplete_orders.check_texts(coalesce(nullif(b -> 'fields', 'null'), '{}')) c)::text AS problems FROM a," MESSAGE;

static const char save_sql[] =
ARGS " SELECT 200 AS status, to_jsonb(s)::text AS body FROM a,"
" LATERAL incomplete_orders.save_campaign(" CAMPAIGN ", b -> 'steps', " SHOP ", coalesce((b ->> 'dry_run')::boolean, false)) s";

/* not_older_than: as if it were turned on */
static const char forecast_sql[] =
ARGS ", t AS MATERIALIZED (SELECT coalesce((q ->> 'at')::timestamptz, now()) AS at FROM a),"
" l AS MATERIALIZED (SELECT l.*, row_number() OVER () AS n FROM a, t, LATERAL incomplete_orders.preview_recovery(" SHOP ", t.at,"
"  CASE WHEN q ->> 'not_older_than' IS NOT NULL THEN ARRAY[" CAMPAIGN "] END, coalesce((q ->> 'not_older_than')::interval, '1 day')) l WHERE l.campaign = " CAMPAIGN ")"
" SELECT 200 AS status, jsonb_build_object('at', t.at, 'total', (SELECT count(*) FROM l), 'mailed', (SELECT count(*) FROM l WHERE l.action <> 'skipped'),"
" 'reasons', (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.n DESC, r.reason), '[]') FROM (SELECT l.action, l.reason, count(*) AS n FROM l GROUP BY 1, 2) r),"
" 'results', (SELECT coalesce(jsonb_agg(to_jsonb(l) - 'n' ORDER BY l.n), '[]') FROM l WHERE l.n <= a.page_size))::text AS body FROM a, t"
" WHERE EXISTS (SELECT FROM incomplete_orders.list_campaigns(" SHOP ") c WHERE c.campaign = " CAMPAIGN ")";

const RestRoute campaign_routes[] = {
	GET("campaigns/", "list_campaigns", ROWS("list_campaigns(" SHOP ")"), NULL, "Campaigns, step by step", "CampaignStep*"),
	POST_MAYBE("campaigns/{campaign}/enable/", "enable_campaign",
			   VOID("enable_campaign(" CAMPAIGN ", " SHOP ", coalesce(b ->> 'not_older_than', '1 day')::interval)"), "Turns a campaign on", "Enabling", NULL),
	POST_MAYBE("campaigns/{campaign}/disable/", "disable_campaign", VOID("disable_campaign(" CAMPAIGN ", " SHOP ")"), "Turns a campaign off", "Nothing", NULL),
	PUT("campaigns/{campaign}/", "save_campaign", save_sql, "The whole sequence at once", "Sequence", "SavedSequence"),
	GET("campaigns/{campaign}/preview/", "forecast_campaign", forecast_sql, "at,not_older_than,page_size", "Who would get what until an instant, or why not", "Forecast"),
	PUT("campaigns/{campaign}/steps/{step}/", "configure_step", VOID("configure_step(" CAMPAIGN ", " STEP ", jsonb_strip_nulls(b), " SHOP ")"),
		"Makes or changes a step", "Step", NULL),
	ACT("DELETE", "campaigns/{campaign}/steps/{step}/", "remove_step", CHANGED("remove_step(" CAMPAIGN ", " STEP ", " SHOP ")"), NULL, "Removes a step", NULL),
	PUT("campaigns/{campaign}/steps/{step}/coupon/", "configure_coupon", VOID("configure_coupon(" CAMPAIGN ", jsonb_strip_nulls(b), " STEP ", " SHOP ")"),
		"The discount that comes with a step", "Coupon", NULL),
	ACT("DELETE", "campaigns/{campaign}/steps/{step}/coupon/", "remove_coupon", CHANGED("remove_coupon(" CAMPAIGN ", " STEP ", " SHOP ")"), NULL, "No discount any more", NULL),
	PUT("campaigns/{campaign}/steps/{step}/variants/{variant}/", "save_variant",
		VOID("save_variant(" CAMPAIGN ", " STEP ", p ->> 'variant', b ->> 'template', coalesce((b ->> 'weight')::int4, 1), " SHOP ")"), "Makes or changes a variant", "Variant", NULL),
	ACT("DELETE", "campaigns/{campaign}/steps/{step}/variants/{variant}/", "delete_variant",
		CHANGED("delete_variant(" CAMPAIGN ", " STEP ", p ->> 'variant', " SHOP ")"), NULL, "Removes a variant", NULL),
	GET("variants/", "list_variants", ROWS("list_variants(" SHOP ")"), NULL, "Variants of all steps", "VariantRow*"),
	GET("coupons/", "list_coupons", ROWS("list_coupons(" SHOP ")"), NULL, "Discounts of all steps", "CouponRow*"),
	GET("coupons/issued/", "list_issued_coupons", PAGE("list_issued_coupons(" SHOP ", q ->> 'state', q ->> 'cursor', page_size + 1)", "code", ""), "state,page_size,cursor",
		"A page of the coupons that went out with messages, the newest first", "IssuedCoupon+"),
	GET("templates/", "list_templates", ROWS("list_templates(" SHOP ")"), NULL, "The texts of messages", "TextRow*"),
	GET("templates/variables/", "template_variables", ROWS("template_variables()"), NULL, "What texts can name", "TemplateVariable*"),
	PUT("templates/{template}/{locale}/", "save_template", VOID("save_template(p ->> 'template', p ->> 'locale', b, " SHOP ")"), "Saves a text of the shop's own", "Text", NULL),
	ACT("DELETE", "templates/{template}/{locale}/", "delete_template", CHANGED("delete_template(p ->> 'template', p ->> 'locale', " SHOP ")"), NULL,
		"Back to the text that comes with the extension", NULL),
	POST_MAYBE("templates/{template}/preview/", "preview_message", preview_sql, "A message as it would be", "Previewing", "MessagePreview"),
	{"POST", "templates/{template}/render/", "render_message", REST_STAFF, REST_BODY, NULL, render_sql,
	"The mail that would be made, with what is wrong with its fields", "Previewing", "Rendered",.taker = rendering_take},
	{"POST", "templates/{template}/test/", "send_test_message", REST_STAFF, REST_BODY, NULL, trial_sql,
	"Sends a message to an address of yours, and says what the mail server said; nothing is counted", "Trial", "Tried",.taker = trial_take},
	{NULL}
};

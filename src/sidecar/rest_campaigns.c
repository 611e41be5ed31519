/*
 * rest_campaigns.c
 *		Routes of campaigns, their steps, variants and coupons, and of the texts.
 */
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
static const RestField previewing[] = {
	{"locale", TYPE_TEXT, 0, NULL, "Language of the reader; else the order's, or the shop's", "\"en\""},
	{"id", TYPE_UUID, 0, NULL, "An open order; without it one is made up", NULL},
	{NULL}
};
static const RestField trial[] = {
	{"to", TYPE_TEXT, FIELD_NEEDED, NULL, "Who gets it", "\"maria@shop.example\""},
	{"locale", TYPE_TEXT, 0, NULL, "Language of the reader; else the order's, or the shop's", NULL},
	{"id", TYPE_UUID, 0, NULL, "An open order; without it one is made up", NULL},
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
	{"MessagePreview", message_preview, SCHEMA_OPEN, "The message as a sender gets it, its texts filled in; its links are signed and lead nowhere"},
	{NULL}
};

#define CAMPAIGN "p ->> 'campaign'"
#define STEP "(p ->> 'step')::int4"
#define SHOP "q ->> 'shop'"

static const char preview_sql[] =
ARGS " SELECT 200 AS status, incomplete_orders.preview_message(p ->> 'template', b ->> 'locale', (b ->> 'id')::uuid, " SHOP ")::text AS body FROM a";

static const char trial_sql[] =
ARGS " SELECT m.m::text AS object, m.m #>> '{shop,shop}' AS shop, b ->> 'to' AS recipient FROM a,"
" LATERAL incomplete_orders.preview_message(p ->> 'template', b ->> 'locale', (b ->> 'id')::uuid, " SHOP ") AS m (m)";

const RestRoute campaign_routes[] = {
	GET("campaigns/", "list_campaigns", ROWS("list_campaigns(" SHOP ")"), NULL, "Campaigns, step by step", "CampaignStep*"),
	POST_MAYBE("campaigns/{campaign}/enable/", "enable_campaign",
			   VOID("enable_campaign(" CAMPAIGN ", " SHOP ", coalesce(b ->> 'not_older_than', '1 day')::interval)"), "Turns a campaign on", "Enabling", NULL),
	POST_MAYBE("campaigns/{campaign}/disable/", "disable_campaign", VOID("disable_campaign(" CAMPAIGN ", " SHOP ")"), "Turns a campaign off", "Nothing", NULL),
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
	GET("templates/", "list_templates", ROWS("list_templates(" SHOP ")"), NULL, "The texts of messages", "TextRow*"),
	GET("templates/variables/", "template_variables", ROWS("template_variables()"), NULL, "What texts can name", "TemplateVariable*"),
	PUT("templates/{template}/{locale}/", "save_template", VOID("save_template(p ->> 'template', p ->> 'locale', b, " SHOP ")"), "Saves a text of the shop's own", "Text", NULL),
	ACT("DELETE", "templates/{template}/{locale}/", "delete_template", CHANGED("delete_template(p ->> 'template', p ->> 'locale', " SHOP ")"), NULL,
		"Back to the text that comes with the extension", NULL),
	POST_MAYBE("templates/{template}/preview/", "preview_message", preview_sql, "A message as it would be", "Previewing", "MessagePreview"),
	{"POST", "templates/{template}/test/", "send_test_message", REST_STAFF, REST_BODY, NULL, trial_sql,
	"Sends a message to an address of yours, and says what the mail server said; nothing is counted", "Trial", "Tried",.taker = trial_take},
	{NULL}
};

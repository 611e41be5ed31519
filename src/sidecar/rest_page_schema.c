/*
 * rest_page_schema.c
 *		What the bodies and answers of a shop's page are made of, for the OpenAPI document.
 *
 * The bodies are not checked against it: a cart is not lost because of a member beside
 * it.  The database takes what it can, and "left_out" names the rest.
 */
#include "rest_schema.h"

#define PAGE_SESSION {"session_id", TYPE_TEXT, 0, NULL, "The visitor's session, where the header X-Session-Id cannot be sent", "\"f81d4fae7dec11d0a76500a0c91e6bf6\""}
#define PAGE_CONSENT {"consent", TYPE_OBJECT, 0, "PageConsent", "Without it contact fields are left out, unless the shop needs none", NULL}

static const RestField consent[] = {
	{"status", TYPE_WORD, FIELD_NEEDED, "granted,withdrawn"},
	{"at", TYPE_TEXT, 0, NULL, "When it was said; without it, before any withdrawal", "\"2026-01-31T10:00:00Z\""},
	{"text_version", TYPE_TEXT, 0, NULL, "To which text", NULL},
	{"source", TYPE_TEXT, 0, NULL, "Where; otherwise page", NULL},
	{NULL}
};

static const RestField page_cart[] = {
	PAGE_SESSION,
	{"items", TYPE_LIST, 0, "Line", "The lines of the cart, all of them, where the shop takes prices from its pages", NULL},
	{"currency", TYPE_TEXT, 0, NULL, NULL, "\"EUR\""},
	{"step", TYPE_WORD, 0, "cart,contact,shipping,payment,review"},
	{"coupon_code", TYPE_TEXT}, {"email", TYPE_TEXT}, {"phone", TYPE_TEXT}, {"name", TYPE_TEXT}, {"address", TYPE_OBJECT},
	{"shipping", TYPE_NUMBER}, {"tax", TYPE_NUMBER}, {"discount", TYPE_NUMBER}, {"coupon_discount", TYPE_NUMBER},
	{"context", TYPE_OBJECT, 0, NULL, "locale, time_zone, device, source, referrer and notes", NULL},
	PAGE_CONSENT,
	{NULL}
};

static const RestField page_checkout[] = {
	PAGE_SESSION, PAGE_CONSENT,
	{"email", TYPE_TEXT}, {"phone", TYPE_TEXT}, {"full_name", TYPE_TEXT}, {"first_name", TYPE_TEXT}, {"last_name", TYPE_TEXT}, {"company", TYPE_TEXT},
	{"address_line_1", TYPE_TEXT}, {"address_line_2", TYPE_TEXT}, {"city", TYPE_TEXT}, {"state", TYPE_TEXT}, {"postal_code", TYPE_TEXT},
	{"country", TYPE_TEXT}, {"delivery_instructions", TYPE_TEXT}, {"coupon_code", TYPE_TEXT}, {"notes", TYPE_TEXT}, {"address", TYPE_OBJECT},
	{"step", TYPE_WORD, 0, "cart,contact,shipping,payment,review"}, {"context", TYPE_OBJECT},
	{NULL}
};

static const RestField page_merge[] = {
	PAGE_SESSION,
	{"from_session_id", TYPE_TEXT, FIELD_NEEDED, NULL, "The visitor's other session, whose cart comes along", NULL},
	{"strategy", TYPE_WORD, 0, "keep_both,keep_latest"},
	{NULL}
};

static const RestField page_identify[] = {PAGE_SESSION, {"email", TYPE_TEXT, FIELD_NEEDED}, PAGE_CONSENT, {NULL}};
static const RestField page_coupon[] = {PAGE_SESSION, {"code", TYPE_TEXT, FIELD_NEEDED}, {NULL}};
static const RestField page_session[] = {PAGE_SESSION, {NULL}};

static const RestField departure[] = {
	PAGE_SESSION,
	{"stage", TYPE_WORD, 0, "cart,checkout,shipping,payment,session_timeout,browser_close", "Where; otherwise cart", NULL},
	{"reason", TYPE_TEXT},
	{NULL}
};

static const RestField engagement[] = {
	PAGE_SESSION,
	{"views", TYPE_INTEGER, 0, NULL, "How many pages were looked at; otherwise 1", NULL},
	{"seconds", TYPE_NUMBER, 0, NULL, "For how long", NULL},
	{"scroll", TYPE_NUMBER, 0, NULL, "How far down, in percent", NULL},
	{NULL}
};

static const RestField page_error[] = {
	PAGE_SESSION,
	{"error_kind", TYPE_WORD, FIELD_NEEDED, "payment_failed,inventory_error,shipping_error,validation_error,general"},
	{"reason", TYPE_TEXT},
	{NULL}
};

static const RestField page_captured[] = {
	{"id", TYPE_UUID, 0, NULL, "The id of the incomplete order; null where nothing was kept", NULL},
	{"left_out", TYPE_TEXTS, FIELD_NEEDED, NULL, "What was not taken", NULL},
	{NULL}
};

static const RestField own_cart[] = {
	{"id", TYPE_UUID, FIELD_NEEDED}, {"reference", TYPE_TEXT, FIELD_NEEDED}, {"status", TYPE_TEXT, FIELD_NEEDED}, {"kind", TYPE_TEXT, FIELD_NEEDED},
	{"items", TYPE_LIST, FIELD_NEEDED, "Line"}, {"item_count", TYPE_INTEGER, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED},
	{"total", TYPE_NUMBER, FIELD_NEEDED}, {"shipping", TYPE_NUMBER, FIELD_NEEDED}, {"tax", TYPE_NUMBER, FIELD_NEEDED}, {"discount", TYPE_NUMBER, FIELD_NEEDED},
	{"coupon_code", TYPE_TEXT}, {"coupon_discount", TYPE_NUMBER, FIELD_NEEDED}, {"furthest_step", TYPE_TEXT, FIELD_NEEDED}, {"version", TYPE_INTEGER, FIELD_NEEDED},
	{"created_at", TYPE_INSTANT, FIELD_NEEDED}, {"last_activity_at", TYPE_INSTANT, FIELD_NEEDED}, {"expires_at", TYPE_INSTANT, FIELD_NEEDED},
	{NULL}
};

static const RestField page_id[] = {{"id", TYPE_UUID, FIELD_NEEDED}, {NULL}};
static const RestField page_status[] = {{"status", TYPE_TEXT, FIELD_NEEDED}, {NULL}};

static const RestField page_redeemed[] = {
	{"coupon_code", TYPE_TEXT, FIELD_NEEDED}, {"coupon_discount", TYPE_NUMBER, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED},
	{"total", TYPE_NUMBER, FIELD_NEEDED}, {"expires_at", TYPE_INSTANT, FIELD_NEEDED},
	{NULL}
};

#define RESTORED \
	{"items", TYPE_LIST, FIELD_NEEDED, "Line"}, \
	{"removed", TYPE_LIST, FIELD_NEEDED, NULL, "What cannot be sold any more", NULL}, \
	{"changed", TYPE_LIST, FIELD_NEEDED, NULL, "What there is less of, or at another price", NULL}, \
	{"availability_failed", TYPE_BOOLEAN, 0, NULL, "The shop could not say what it can still sell", NULL}

static const RestField restored[] = {{"id", TYPE_UUID, FIELD_NEEDED}, RESTORED, {NULL}};
static const RestField preview[] = {
	{"reference", TYPE_TEXT, FIELD_NEEDED}, {"status", TYPE_TEXT, FIELD_NEEDED}, RESTORED,
	{"total", TYPE_NUMBER, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED},
	{NULL}
};

const RestSchema page_schemas[] = {
	{"PageCart", page_cart, SCHEMA_OPEN, "A cart, and what a page knows beside it; null says nothing, an empty text takes back"},
	{"PageCheckout", page_checkout, SCHEMA_OPEN, "A half-filled form; the names of HTML's autocomplete are taken, too"},
	{"PageConsent", consent, 0, NULL}, {"PageMerge", page_merge, SCHEMA_OPEN, NULL}, {"PageIdentify", page_identify, SCHEMA_OPEN, NULL},
	{"PageCoupon", page_coupon, SCHEMA_OPEN, NULL}, {"PageSession", page_session, SCHEMA_OPEN, NULL}, {"Departure", departure, SCHEMA_OPEN, NULL},
	{"Engagement", engagement, SCHEMA_OPEN, NULL}, {"PageError", page_error, SCHEMA_OPEN, NULL},
	{"PageCaptured", page_captured, 0, NULL}, {"OwnCart", own_cart, 0, NULL}, {"PageId", page_id, 0, NULL}, {"PageStatus", page_status, 0, NULL},
	{"PageRedeemed", page_redeemed, 0, NULL}, {"Restored", restored, 0, NULL}, {"RestorePreview", preview, 0, NULL},
	{NULL}
};

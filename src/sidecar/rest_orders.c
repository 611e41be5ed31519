/*
 * rest_orders.c
 *		Routes of incomplete orders, one by one, several at once, and all as CSV.
 *
 * Money is a JSON number with all its digits: read it as decimal, not as binary.
 */
#include "rest_schema.h"
#include "rest_sql.h"

/* ---------------------------------------------------------------------------
 * What they take and give
 */

#define KINDS "cart,payment,partial"
#define STEPS "cart,contact,shipping,payment,review"
#define STATES "pending,payment_pending,payment_failed,abandoned,converted,expired,dismissed,deleted,reversed"
#define LINE_EXAMPLE "[{\"sku\": \"MUG-1\", \"name\": \"Mug\", \"quantity\": 2, \"unit_price\": \"9.50\"}]"

static const RestField line[] = {
	{"sku", TYPE_TEXT, FIELD_NEEDED, NULL, "The article", "\"MUG-1\""},
	{"quantity", TYPE_INTEGER, FIELD_NEEDED, NULL, "How many", "2"},
	{"unit_price", TYPE_NUMBER, FIELD_NEEDED, NULL, "The price of one", "\"9.50\""},
	{"name", TYPE_TEXT, 0, NULL, NULL, "\"Mug\""},
	{"filled", TYPE_INTEGER, 0, NULL, "How many of them are ordered already", NULL},
	{"product_id", TYPE_TEXT, 0, NULL, NULL, NULL},
	{"variant", TYPE_TEXT, 0, NULL, NULL, NULL},
	{"image_url", TYPE_TEXT, 0, NULL, NULL, NULL},
	{"url", TYPE_TEXT, 0, NULL, NULL, NULL},
	{NULL}
};

#define CART_FIELDS \
	{"email", TYPE_TEXT, 0, NULL, NULL, "\"ann@example.com\""}, \
	{"phone", TYPE_TEXT, 0, NULL, NULL, NULL}, \
	{"customer_id", TYPE_TEXT, 0, NULL, "Without one it is a guest's", NULL}, \
	{"name", TYPE_TEXT, 0, NULL, NULL, "\"Ann Example\""}, \
	{"currency", TYPE_TEXT, 0, NULL, "ISO 4217; without it that of the shop", "\"EUR\""}, \
	{"step", TYPE_WORD, 0, STEPS, "How far the customer came", NULL}, \
	{"kind", TYPE_WORD, 0, KINDS, NULL, NULL}, \
	{"shipping", TYPE_NUMBER, 0, NULL, NULL, NULL}, \
	{"tax", TYPE_NUMBER, 0, NULL, NULL, NULL}, \
	{"discount", TYPE_NUMBER, 0, NULL, NULL, NULL}, \
	{"coupon_code", TYPE_TEXT, 0, NULL, NULL, NULL}, \
	{"coupon_discount", TYPE_NUMBER, 0, NULL, NULL, NULL}, \
	{"address", TYPE_OBJECT, 0, NULL, "first_name, last_name, company, address_line_1, address_line_2, city, state, postal_code, country, phone, email, delivery_instructions", NULL}, \
	{"shipping_address", TYPE_OBJECT, 0, NULL, "Another name of address", NULL}, \
	{"context", TYPE_OBJECT, 0, NULL, "locale, time_zone, consent, device, source, user_agent, ip, referrer and whatever else is to be kept", NULL}, \
	{NULL}

static const RestField new_order[] = {
	{"items", TYPE_LIST, FIELD_NEEDED, "Line", "The lines of the cart", LINE_EXAMPLE},
	{"session_id", TYPE_TEXT, 0, NULL, "The visitor's session; without it one is made up. A session has one open order: a second call changes it", "\"session-1\""},
	CART_FIELDS
};

static const RestField cart[] = {
	{"items", TYPE_LIST, FIELD_NEEDED, "Line", "The lines of the cart, all of them", LINE_EXAMPLE},
	CART_FIELDS
};

static const RestField edit[] = {
	{"expected_version", TYPE_INTEGER, 0, NULL, "The version that was read; or the header If-Match", "1"},
	{"items", TYPE_LIST, FIELD_CLEARS, "Line", NULL, NULL},
	{"email", TYPE_TEXT, FIELD_CLEARS, NULL, NULL, "\"ann@example.com\""},
	{"phone", TYPE_TEXT, FIELD_CLEARS, NULL, NULL, NULL},
	{"customer_id", TYPE_TEXT, FIELD_CLEARS, NULL, NULL, NULL},
	{"name", TYPE_TEXT, FIELD_CLEARS, NULL, NULL, NULL},
	{"currency", TYPE_TEXT, 0, NULL, NULL, NULL},
	{"shipping", TYPE_NUMBER, FIELD_CLEARS, NULL, NULL, NULL},
	{"tax", TYPE_NUMBER, FIELD_CLEARS, NULL, NULL, NULL},
	{"discount", TYPE_NUMBER, FIELD_CLEARS, NULL, NULL, NULL},
	{"coupon_code", TYPE_TEXT, FIELD_CLEARS, NULL, NULL, NULL},
	{"coupon_discount", TYPE_NUMBER, FIELD_CLEARS, NULL, NULL, NULL},
	{"address", TYPE_OBJECT, FIELD_CLEARS, NULL, NULL, NULL},
	{"context", TYPE_OBJECT, FIELD_CLEARS, NULL, NULL, NULL},
	{NULL}
};

static const RestField conversion[] = {
	{"lines", TYPE_LIST, 0, "Line", "Only these lines: a partial conversion", NULL},
	{"paid", TYPE_BOOLEAN, 0, NULL, "Whether it is paid; true without it", "true"},
	{"order_number", TYPE_TEXT, 0, NULL, "The number of the order; without it one is made", NULL},
	{"idempotency_key", TYPE_TEXT, 0, NULL, "Or the header Idempotency-Key", NULL},
	{NULL}
};

#define REASON_FIELDS \
	{"reason", TYPE_TEXT, 0, NULL, "For the history", "\"customer called\""}, \
	{"dry_run", TYPE_BOOLEAN, 0, NULL, "Only say what would be", NULL}, \
	{NULL}
static const RestField reason[] = {REASON_FIELDS};

static const RestField many[] = {
	{"ids", TYPE_UUIDS, FIELD_NEEDED, NULL, "At most 10000 incomplete orders", "[\"00000000-0000-7000-8000-000000000000\"]"},
	REASON_FIELDS
};

#define MAIL_FIELDS \
	{"email_type", TYPE_WORD, 0, "abandoned_cart,payment_reminder,final_reminder,discount_offer", "Without it that of the campaign's next step", "\"abandoned_cart\""}, \
	{"subject", TYPE_TEXT, 0, NULL, "Instead of the text's own", NULL}
static const RestField mail[] = {
	MAIL_FIELDS,
	{"idempotency_key", TYPE_TEXT, 0, NULL, "Or the header Idempotency-Key", NULL},
	{NULL}
};
static const RestField many_mails[] = {
	{"ids", TYPE_UUIDS, FIELD_NEEDED, NULL, "At most 10000 incomplete orders", "[\"00000000-0000-7000-8000-000000000000\"]"},
	MAIL_FIELDS,
	{"dry_run", TYPE_BOOLEAN, 0, NULL, "Only say what would be", NULL},
	{"idempotency_key", TYPE_TEXT, 0, NULL, "Or the header Idempotency-Key", NULL},
	{NULL}
};

static const RestField chosen[] = {
	{"ids", TYPE_UUIDS, FIELD_NEEDED, NULL, "At most 10000 incomplete orders", "[\"00000000-0000-7000-8000-000000000000\"]"},
	{NULL}
};

static const RestField note[] = {{"note", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"Called back, wants blue\""}, {NULL}};
static const RestField pending[] = {
	{"payment_reference", TYPE_TEXT, 0, NULL, "Of the payment provider", "\"pay_1\""},
	{"deadline", TYPE_INSTANT, 0, NULL, "Until then it is waited for", NULL},
	{NULL}
};
static const RestField checkout_error[] = {
	{"error_kind", TYPE_WORD, FIELD_NEEDED, "payment_failed,inventory_error,shipping_error,validation_error,general", NULL, "\"payment_failed\""},
	{"reason", TYPE_TEXT, 0, NULL, NULL, NULL},
	{NULL}
};
static const RestField coupon_code[] = {{"code", TYPE_TEXT, FIELD_NEEDED, NULL, "A coupon that came with a message", "\"K7Q2M9XWPF\""}, {NULL}};
static const RestField refund[] = {
	{"amount", TYPE_NUMBER, FIELD_NEEDED, NULL, "In the order's currency", "\"5.00\""},
	{"idempotency_key", TYPE_TEXT, 0, NULL, "Or the header Idempotency-Key", NULL},
	{NULL}
};
static const RestField foreign_order[] = {
	{"foreign_order", TYPE_TEXT, FIELD_NEEDED, NULL, "Its number or id in the shop", "\"WEB-1001\""},
	{"id", TYPE_UUID, 0, NULL, "The incomplete order that became it; or its session, or its customer", NULL},
	{"session_id", TYPE_TEXT, 0, NULL, NULL, NULL},
	{"customer_id", TYPE_TEXT, 0, NULL, NULL, NULL},
	{"total", TYPE_NUMBER, 0, NULL, NULL, "\"19.00\""},
	{"currency", TYPE_TEXT, 0, NULL, NULL, "\"USD\""},
	{"paid", TYPE_BOOLEAN, 0, NULL, "true without it", NULL},
	{NULL}
};
static const RestField merge[] = {
	{"from_session", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"session-1\""},
	{"into_session", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"session-2\""},
	{"strategy", TYPE_WORD, 0, "keep_both,keep_latest", NULL, NULL},
	{NULL}
};
static const RestField person[] = {
	{"customer_id", TYPE_TEXT, 0, NULL, NULL, "\"customer-7\""},
	{"email", TYPE_TEXT, 0, NULL, NULL, NULL},
	{NULL}
};
static const RestField expiring[] = {{"dry_run", TYPE_BOOLEAN, 0, NULL, "Only say what would be", "true"}, {NULL}};
static const RestField cleaning[] = {
	{"days_to_keep", TYPE_INTEGER, 0, NULL, "90 without it", "90"},
	{"dry_run", TYPE_BOOLEAN, 0, NULL, "Only count, with examples", "true"},
	{NULL}
};

#define ORDER_FIELDS \
	{"id", TYPE_UUID, FIELD_NEEDED}, {"reference", TYPE_TEXT, FIELD_NEEDED}, {"shop", TYPE_TEXT, FIELD_NEEDED}, \
	{"kind", TYPE_WORD, FIELD_NEEDED, KINDS}, {"status", TYPE_WORD, FIELD_NEEDED, STATES}, {"session_id", TYPE_TEXT}, {"customer_id", TYPE_TEXT}, \
	{"email", TYPE_TEXT}, {"phone", TYPE_TEXT}, {"name", TYPE_TEXT}, {"items", TYPE_LIST, FIELD_NEEDED, "Line"}, {"currency", TYPE_TEXT, FIELD_NEEDED}, \
	{"shipping", TYPE_NUMBER, FIELD_NEEDED}, {"tax", TYPE_NUMBER, FIELD_NEEDED}, {"discount", TYPE_NUMBER, FIELD_NEEDED}, {"coupon_code", TYPE_TEXT}, \
	{"coupon_discount", TYPE_NUMBER, FIELD_NEEDED}, {"total", TYPE_NUMBER, FIELD_NEEDED, NULL, "Lines, shipping and tax, less the discounts"}, \
	{"item_count", TYPE_INTEGER, FIELD_NEEDED}, {"furthest_step", TYPE_WORD, FIELD_NEEDED, STEPS}, {"episode", TYPE_INTEGER, FIELD_NEEDED}, \
	{"recovery_attempts", TYPE_INTEGER, FIELD_NEEDED}, {"last_recovery_at", TYPE_INSTANT}, {"abandonment_reason", TYPE_TEXT}, {"address", TYPE_OBJECT}, \
	{"context", TYPE_OBJECT}, {"version", TYPE_INTEGER, FIELD_NEEDED, NULL, "For expected_version"}, {"created_at", TYPE_INSTANT, FIELD_NEEDED}, \
	{"last_activity_at", TYPE_INSTANT, FIELD_NEEDED}, {"abandoned_at", TYPE_INSTANT}, {"lost_at", TYPE_INSTANT}, {"expires_at", TYPE_INSTANT, FIELD_NEEDED}, \
	{"next_action_at", TYPE_INSTANT}, {"payment_reference", TYPE_TEXT}, {"payment_deadline", TYPE_INSTANT}, {"root_id", TYPE_UUID, FIELD_NEEDED}, \
	{"continues_id", TYPE_UUID}, {"bot", TYPE_BOOLEAN, FIELD_NEEDED}, {"attachment", TYPE_INTEGER}, {"cart_key", TYPE_TEXT}, {"closed_at", TYPE_INSTANT}, \
	{"close_reason", TYPE_TEXT}, {"late", TYPE_BOOLEAN, FIELD_NEEDED}, {"is_guest", TYPE_BOOLEAN, FIELD_NEEDED}, {"is_expired", TYPE_BOOLEAN, FIELD_NEEDED}, \
	{"days_old", TYPE_INTEGER, FIELD_NEEDED}, {"can_convert", TYPE_BOOLEAN, FIELD_NEEDED}, {"order_number", TYPE_TEXT}

static const RestField order[] = {ORDER_FIELDS, {NULL}};
static const RestField order_detail[] = {
	ORDER_FIELDS,
	{"history", TYPE_LIST, 0, "HistoryEntry", "For staff"},
	{"orders", TYPE_LIST, 0, "Conversion", "For staff"},
	{NULL}
};
static const RestField history_entry[] = {
	{"at", TYPE_INSTANT, FIELD_NEEDED}, {"event", TYPE_TEXT, FIELD_NEEDED}, {"who", TYPE_TEXT}, {"detail", TYPE_OBJECT, FIELD_NEEDED}, {NULL}
};
static const RestField converted[] = {
	{"message", TYPE_TEXT}, {"order_id", TYPE_UUID, FIELD_NEEDED}, {"order_number", TYPE_TEXT, FIELD_NEEDED}, {"incomplete_order_id", TYPE_UUID},
	{"part", TYPE_INTEGER, FIELD_NEEDED}, {"total", TYPE_NUMBER, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED}, {"paid", TYPE_BOOLEAN, FIELD_NEEDED},
	{"converted_at", TYPE_INSTANT, FIELD_NEEDED}, {NULL}
};
static const RestField conversion_shown[] = {
	{"order_id", TYPE_UUID, FIELD_NEEDED}, {"order_number", TYPE_TEXT, FIELD_NEEDED}, {"part", TYPE_INTEGER, FIELD_NEEDED}, {"foreign_order", TYPE_TEXT},
	{"currency", TYPE_TEXT, FIELD_NEEDED}, {"shipping", TYPE_NUMBER, FIELD_NEEDED}, {"tax", TYPE_NUMBER, FIELD_NEEDED}, {"discount", TYPE_NUMBER, FIELD_NEEDED},
	{"coupon_discount", TYPE_NUMBER, FIELD_NEEDED}, {"total", TYPE_NUMBER, FIELD_NEEDED}, {"paid", TYPE_BOOLEAN, FIELD_NEEDED}, {"paid_at", TYPE_INSTANT},
	{"refunded", TYPE_NUMBER, FIELD_NEEDED}, {"converted_at", TYPE_INSTANT, FIELD_NEEDED}, {"items", TYPE_LIST}, {"refunds", TYPE_LIST}, {NULL}
};
static const RestField state[] = {{"id", TYPE_UUID, FIELD_NEEDED}, {"status", TYPE_WORD, 0, STATES}, {"message", TYPE_TEXT}, {NULL}};
static const RestField tab[] = {
	{"name", TYPE_TEXT, FIELD_NEEDED, NULL, "A state, or all, recovered (converted after a message brought the customer back), rescue (abandoned or not paid, can be converted and answered)"},
	{"count", TYPE_INTEGER, FIELD_NEEDED}, {"count_capped", TYPE_BOOLEAN, FIELD_NEEDED, NULL, "There may be more"}, {NULL}
};
static const RestField order_id[] = {{"id", TYPE_UUID, FIELD_NEEDED}, {"reference", TYPE_TEXT, FIELD_NEEDED}, {"customer", TYPE_TEXT}, {NULL}};
static const RestField order_ids[] = {{"next", TYPE_TEXT}, {"results", TYPE_LIST, FIELD_NEEDED, "OrderId"}, {NULL}};
static const RestField results[] = {{"id", TYPE_UUID, FIELD_NEEDED}, {"result", TYPE_TEXT, FIELD_NEEDED}, {"reason", TYPE_TEXT}, {NULL}};
static const RestField note_shown[] = {{"at", TYPE_INSTANT, FIELD_NEEDED}, {"who", TYPE_TEXT, FIELD_NEEDED}, {"note", TYPE_TEXT, FIELD_NEEDED}, {NULL}};
static const RestField why[] = {{"at", TYPE_INSTANT}, {"step", TYPE_INTEGER}, {"reason", TYPE_TEXT, FIELD_NEEDED}, {NULL}};
static const RestField may_convert[] = {{"can", TYPE_BOOLEAN, FIELD_NEEDED}, {"reason", TYPE_TEXT}, {NULL}};
static const RestField message_queued[] = {{"message_id", TYPE_UUID, FIELD_NEEDED}, {"message", TYPE_TEXT}, {NULL}};
static const RestField redeemed[] = {
	{"coupon_code", TYPE_TEXT, FIELD_NEEDED}, {"coupon_discount", TYPE_NUMBER, FIELD_NEEDED}, {"currency", TYPE_TEXT, FIELD_NEEDED},
	{"total", TYPE_NUMBER, FIELD_NEEDED}, {"expires_at", TYPE_INSTANT, FIELD_NEEDED}, {NULL}
};
static const RestField cleaned[] = {{"action", TYPE_TEXT, FIELD_NEEDED}, {"n", TYPE_INTEGER, FIELD_NEEDED}, {"examples", TYPE_TEXTS}, {NULL}};
static const RestField nothing[] = {{NULL}};
static const RestField paid[] = {{"changed", TYPE_BOOLEAN, FIELD_NEEDED}, {NULL}};
static const RestField refunded[] = {{"refunded", TYPE_NUMBER, FIELD_NEEDED, NULL, "All that was paid back of the order"}, {NULL}};

const RestSchema order_schemas[] = {
	{"Line", line, SCHEMA_OPEN, "A line of a cart; further members are kept"},
	{"NewOrder", new_order}, {"Cart", cart}, {"Edit", edit}, {"Conversion", conversion_shown}, {"ConvertOrder", conversion}, {"Reason", reason}, {"Many", many},
	{"Mail", mail}, {"ManyMails", many_mails}, {"Note", note}, {"PaymentPending", pending}, {"CheckoutError", checkout_error}, {"CouponCode", coupon_code},
	{"Refund", refund}, {"ForeignOrder", foreign_order}, {"Merge", merge}, {"Person", person}, {"Expiring", expiring}, {"Cleaning", cleaning},
	{"Order", order}, {"OrderDetail", order_detail}, {"HistoryEntry", history_entry}, {"Converted", converted}, {"State", state}, {"Result", results}, {"Tab", tab}, {"OrderId", order_id}, {"OrderIds", order_ids}, {"Chosen", chosen},
	{"NoteShown", note_shown}, {"Why", why}, {"CanConvert", may_convert}, {"MessageQueued", message_queued}, {"Redeemed", redeemed}, {"Cleaned", cleaned},
	{"Nothing", nothing}, {"Paid", paid}, {"Refunded", refunded},
	{NULL}
};

/* ---------------------------------------------------------------------------
 * Lists
 */

#define STATUS "CASE WHEN q ->> 'status' <> '' THEN " LISTED("status") "::incomplete_orders.order_status[] END"
#define FILTERS_WITH(status, expired) \
	"q ->> 'shop', " status ", (q ->> 'kind')::incomplete_orders.order_kind, " SINCE ", " UNTIL "," \
	" " expired ", (q ->> 'is_guest_order')::boolean, (q ->> 'recovery_attempts')::int4, q ->> 'search'"
#define FILTERS(expired) FILTERS_WITH(STATUS, expired)
/* those that list_orders() and count_orders() have at their end */
#define MORE_WITH(can_convert, contactable, outcome) \
	FROM("abandoned_start") ", " BEFORE("abandoned_end") ", " FROM("expires_start") ", " BEFORE("expires_end") ", " can_convert "," \
	" (q ->> 'total_min')::numeric, (q ->> 'total_max')::numeric, q ->> 'currency', (q ->> 'furthest_step')::incomplete_orders.checkout_step," \
	" q ->> 'device', q ->> 'source', " contactable ", " outcome
#define CAN_CONVERT "(q ->> 'can_convert')::boolean"
#define CONTACTABLE "(q ->> 'contactable')::boolean"
#define MORE MORE_WITH(CAN_CONVERT, CONTACTABLE, "q ->> 'outcome'")
#define LIST(expired) \
	ARGS ", l AS MATERIALIZED (SELECT l.*, row_number() OVER () AS n FROM a, LATERAL incomplete_orders.list_orders(" \
	FILTERS(expired) ", coalesce(q ->> 'ordering', '-created_at'), q ->> 'cursor', page_size + 1, true, " MORE ") l)," \
	" c AS MATERIALIZED (SELECT c.* FROM a, LATERAL incomplete_orders.count_orders(" \
	FILTERS(expired) ", " MORE ") c)," \
	" x AS MATERIALIZED (SELECT coalesce((SELECT l.cursor FROM l, a WHERE l.n = a.page_size AND EXISTS (SELECT FROM l m WHERE m.n > a.page_size))," \
	"  (SELECT l.cursor FROM l, a WHERE l.id IS NULL AND l.n <= a.page_size)) AS cursor)" \
	" SELECT 200 AS status, jsonb_build_object('count', c.count, 'count_capped', c.capped, 'next', (a.r ->> 'page') || x.cursor, 'previous', NULL," \
	" 'results', coalesce((SELECT jsonb_agg(to_jsonb(l) - '{n,cursor,shop_id}'::text[] ORDER BY l.n) FROM l" \
	"  WHERE l.id IS NOT NULL AND l.n <= a.page_size), '[]'))::text AS body FROM a, c, x"

#define EXPIRED "(q ->> 'expired')::boolean"
static const char list_sql[] = LIST(EXPIRED);
static const char expired_sql[] = LIST("true");

/*
 * Tabs of a list.  Which names stand for which states is said here once; rescue is
 * what somebody can still be asked about.
 */
static const char counts_sql[] =
ARGS " SELECT 200 AS status, jsonb_build_object('results', jsonb_agg(jsonb_build_object('name', t.name, 'count', c.count, 'count_capped', c.capped) ORDER BY t.n))::text AS body"
" FROM a, (VALUES (1, 'rescue', '{abandoned,payment_failed}'::incomplete_orders.order_status[], true, NULL), (2, 'all', NULL, NULL, NULL),"
"  (3, 'pending', '{pending}', NULL, NULL), (4, 'payment_pending', '{payment_pending}', NULL, NULL), (5, 'payment_failed', '{payment_failed}', NULL, NULL),"
"  (6, 'abandoned', '{abandoned}', NULL, NULL), (7, 'recovered', '{converted}', NULL, 'recovered'), (8, 'converted', '{converted}', NULL, NULL),"
"  (9, 'expired', '{expired}', NULL, NULL), (10, 'dismissed', '{dismissed}', NULL, NULL), (11, 'deleted', '{deleted}', NULL, NULL),"
"  (12, 'reversed', '{reversed}', NULL, NULL)) t (n, name, states, now, outcome),"
" LATERAL incomplete_orders.count_orders(" FILTERS_WITH("t.states", EXPIRED) ", "
MORE_WITH("coalesce(t.now, " CAN_CONVERT ")", "coalesce(t.now, " CONTACTABLE ")", "coalesce(t.outcome, q ->> 'outcome')") ") c";

/* Everything that is chosen, in few steps; a row without an id is only a cursor. */
static const char ids_sql[] =
ARGS ", l AS MATERIALIZED (SELECT l.id, l.reference, coalesce(l.name, l.email, l.phone) AS customer, l.cursor, row_number() OVER () AS n FROM a, LATERAL incomplete_orders.list_orders("
FILTERS(EXPIRED) ", coalesce(q ->> 'ordering', '-created_at'), q ->> 'cursor', 1000, true, " MORE ") l)"
" SELECT 200 AS status, jsonb_build_object('next', (SELECT (a.r ->> 'page') || l.cursor FROM l WHERE l.n = 1000 OR l.id IS NULL ORDER BY l.n DESC LIMIT 1),"
" 'results', coalesce((SELECT jsonb_agg(jsonb_build_object('id', l.id, 'reference', l.reference, 'customer', l.customer) ORDER BY l.n) FROM l WHERE l.id IS NOT NULL), '[]'))::text"
" AS body FROM a";

/* A cell; what a spreadsheet would compute gets an apostrophe before it. */
#define CELL(value) "coalesce('\"' || replace((" value ")::text, '\"', '\"\"') || '\"', '')"
#define TEXT_CELL(value) \
	CELL("CASE WHEN " value " ~ '^[=+@\\t\\r-]' AND " value " !~ '^[+][0-9 ()./-]*$' THEN '''' || " value " ELSE " value " END")
#define NEXT_CELL " || ',' || "

#define CSV \
" SELECT E'shop,id,reference,kind,status,created_at,last_activity_at,abandoned_at,expires_at,closed_at,customer_id,session_id,email,phone,name," \
"currency,total,shipping,tax,discount,coupon_code,coupon_discount,item_count,items,furthest_step,recovery_attempts,last_recovery_at," \
"abandonment_reason,close_reason,order_number\\r\\n' FROM v" \
" UNION ALL SELECT " CELL("o.shop") NEXT_CELL CELL("o.id") NEXT_CELL CELL("o.reference") NEXT_CELL CELL("o.kind") NEXT_CELL CELL("o.status") \
NEXT_CELL CELL("o.created_at") NEXT_CELL CELL("o.last_activity_at") NEXT_CELL CELL("o.abandoned_at") NEXT_CELL CELL("o.expires_at") NEXT_CELL CELL("o.closed_at") \
NEXT_CELL TEXT_CELL("o.customer_id") NEXT_CELL TEXT_CELL("o.session_id") NEXT_CELL TEXT_CELL("o.email") NEXT_CELL TEXT_CELL("o.phone") NEXT_CELL TEXT_CELL("o.name") \
NEXT_CELL CELL("o.currency") NEXT_CELL CELL("o.total") NEXT_CELL CELL("o.shipping") NEXT_CELL CELL("o.tax") NEXT_CELL CELL("o.discount") \
NEXT_CELL TEXT_CELL("o.coupon_code") NEXT_CELL CELL("o.coupon_discount") NEXT_CELL CELL("o.item_count") \
NEXT_CELL TEXT_CELL("(SELECT string_agg((i ->> 'quantity') || ' x ' || (i ->> 'sku'), '; ') FROM jsonb_array_elements(o.items) i)") \
NEXT_CELL CELL("o.furthest_step") NEXT_CELL CELL("o.recovery_attempts") NEXT_CELL CELL("o.last_recovery_at") NEXT_CELL TEXT_CELL("o.abandonment_reason") \
NEXT_CELL TEXT_CELL("o.close_reason") NEXT_CELL TEXT_CELL("o.order_number") " || E'\\r\\n'"

static const char export_sql[] =
ARGS ", v AS MATERIALIZED (SELECT incomplete_orders._visible_shops('list_orders', a.q ->> 'shop') AS shops, " SINCE " AS since, " UNTIL " AS until, a.q,"
" " FROM("abandoned_start") " AS abandoned_since, " BEFORE("abandoned_end") " AS abandoned_until, " FROM("expires_start") " AS expires_since,"
" " BEFORE("expires_end") " AS expires_until, " STATUS " AS states FROM a)"
CSV
" FROM v JOIN incomplete_orders.incomplete_orders o ON o.shop_id = ANY (v.shops)"
" WHERE o.created_at >= coalesce(v.since, '-infinity') AND o.created_at < coalesce(v.until, 'infinity') AND (v.states IS NULL OR o.status = ANY (v.states))"
" AND (NOT v.q ? 'kind' OR o.kind = (v.q ->> 'kind')::incomplete_orders.order_kind) AND (NOT v.q ? 'expired' OR o.is_expired = (v.q ->> 'expired')::boolean)"
" AND (NOT v.q ? 'is_guest_order' OR o.is_guest = (v.q ->> 'is_guest_order')::boolean)"
" AND (NOT v.q ? 'recovery_attempts' OR o.recovery_attempts = (v.q ->> 'recovery_attempts')::int4)"
" AND (v.abandoned_since IS NULL OR o.abandoned_at >= v.abandoned_since) AND (v.abandoned_until IS NULL OR o.abandoned_at < v.abandoned_until)"
" AND (v.expires_since IS NULL OR o.expires_at >= v.expires_since) AND (v.expires_until IS NULL OR o.expires_at < v.expires_until)"
" AND (NOT v.q ? 'can_convert' OR o.can_convert = (v.q ->> 'can_convert')::boolean) AND (NOT v.q ? 'currency' OR o.currency = v.q ->> 'currency')"
" AND (NOT v.q ? 'total_min' OR o.total >= (v.q ->> 'total_min')::numeric) AND (NOT v.q ? 'total_max' OR o.total <= (v.q ->> 'total_max')::numeric)"
" AND (NOT v.q ? 'furthest_step' OR o.furthest_step = (v.q ->> 'furthest_step')::incomplete_orders.checkout_step)"
" AND (NOT v.q ? 'device' OR o.context ->> 'device' = v.q ->> 'device') AND (NOT v.q ? 'source' OR o.context ->> 'source' = v.q ->> 'source')"
" AND (NOT v.q ? 'contactable' OR (o.email IS NOT NULL OR o.phone IS NOT NULL) = (v.q ->> 'contactable')::boolean)";

/* Those that are named, in no particular order; what the role may not see is not among them. */
static const char export_many_sql[] =
ARGS ", v AS MATERIALIZED (SELECT incomplete_orders._visible_shops('list_orders', '*') AS shops, ARRAY(SELECT DISTINCT jsonb_array_elements_text(b -> 'ids'))::uuid[] AS ids FROM a)"
CSV
" FROM v JOIN incomplete_orders.incomplete_orders o ON o.shop_id = ANY (v.shops) AND o.id = ANY (v.ids)";

/* ---------------------------------------------------------------------------
 * One order
 */

#define SHOW_AFTER(call, status) \
	ARGS ", d AS MATERIALIZED (SELECT incomplete_orders." call " AS done FROM a)," \
	" s AS MATERIALIZED (SELECT incomplete_orders.show_order(d.done) AS o FROM d WHERE d.done IS NOT NULL)" \
	" SELECT " status " AS status, s.o::text AS body, s.o ->> 'version' AS etag, (a.r ->> 'prefix') || '/api/v1/incomplete-orders/incomplete-orders/'" \
	" || (s.o ->> 'id') || '/' AS location FROM a, s"
#define CAPTURE(session, items) \
	"capture_cart(" session ", " items ", b ->> 'email', b ->> 'phone', b ->> 'customer_id', b ->> 'name', b ->> 'currency'," \
	" (b ->> 'step')::incomplete_orders.checkout_step, (b ->> 'kind')::incomplete_orders.order_kind, (b ->> 'shipping')::numeric, (b ->> 'tax')::numeric," \
	" (b ->> 'discount')::numeric, b ->> 'coupon_code', (b ->> 'coupon_discount')::numeric," \
	" coalesce(nullif(b -> 'address', 'null'), nullif(b -> 'shipping_address', 'null')), nullif(b -> 'context', 'null'), q ->> 'shop')"
/* what an order's state is after something was done to it */
#define STATE(call, said) \
	ARGS " SELECT 200 AS status, jsonb_build_object('id', " ID ", 'status', incomplete_orders." call ", 'message', '" said "')::text AS body FROM a"
#define REASON "b ->> 'reason', coalesce((b ->> 'dry_run')::boolean, false)"
#define IDS "(" TEXTS("ids") ")::uuid[]"

/* No page can name such a session (page.c has no /): who guesses a key does not get its cart. */
static const char create_sql[] =
SHOW_AFTER(CAPTURE("coalesce(b ->> 'session_id', 'key/' || encode(sha256(convert_to(h ->> 'idempotency_key', 'UTF8')), 'hex'), 'api-' || gen_random_uuid())", LINES("items")),
		   "CASE WHEN (s.o ->> 'version')::int4 = 1 THEN 201 ELSE 200 END");
static const char capture_sql[] =
SHOW_AFTER(CAPTURE("p ->> 'session_id'", LINES("items")), "CASE WHEN (s.o ->> 'version')::int4 = 1 THEN 201 ELSE 200 END");
static const char show_sql[] =
ARGS ", s AS MATERIALIZED (SELECT incomplete_orders.show_order(" ID ") AS o FROM a)"
" SELECT 200 AS status, s.o::text AS body, s.o ->> 'version' AS etag FROM s";
static const char edit_sql[] =
ARGS ", d AS MATERIALIZED (SELECT incomplete_orders.edit_order(" ID ", b - 'expected_version', coalesce((b ->> 'expected_version')::int4, (h ->> 'if_match')::int4)) AS version FROM a),"
" s AS MATERIALIZED (SELECT incomplete_orders.show_order((a.p ->> 'id')::uuid) AS o FROM a, d WHERE d.version IS NOT NULL)"
" SELECT 200 AS status, s.o::text AS body, s.o ->> 'version' AS etag FROM s";
static const char delete_sql[] =
ARGS ", d AS MATERIALIZED (SELECT incomplete_orders.delete_order(" ID ", q ->> 'reason') AS done FROM a) SELECT 204 AS status FROM d";
static const char convert_sql[] =
ARGS " SELECT 201 AS status, (to_jsonb(c) || jsonb_build_object('message', 'Converted to an order'))::text AS body FROM a, LATERAL incomplete_orders.convert_order("
ID ", " LINES("lines") ", coalesce((b ->> 'paid')::boolean, true), b ->> 'order_number', " KEY ") c";
static const char mail_sql[] =
ARGS " SELECT 202 AS status, jsonb_build_object('message_id', incomplete_orders.send_recovery_email(" ID ", b ->> 'email_type', b ->> 'subject', " KEY "),"
" 'message', 'The message is queued')::text AS body FROM a";
static const char add_note_sql[] =
ARGS ", d AS MATERIALIZED (SELECT incomplete_orders.add_note(" ID ", b ->> 'note') AS done FROM a)"
" SELECT 201 AS status, jsonb_build_object('at', now(), 'who', session_user, 'note', a.b ->> 'note')::text AS body FROM a, d WHERE d.done IS NOT NULL";
static const char notes_sql[] =
ARGS " SELECT 200 AS status, jsonb_build_object('results', coalesce((SELECT jsonb_agg(jsonb_build_object('at', h.at, 'who', h.who, 'note', h.detail ->> 'note') ORDER BY h.at)"
" FROM incomplete_orders.order_history(" ID ") h WHERE h.event = 'note'), '[]'))::text AS body FROM a";
static const char redeem_sql[] =
ARGS " SELECT 200 AS status, to_jsonb(c)::text AS body FROM a, LATERAL incomplete_orders.redeem_coupon(b ->> 'code', " ID ") c";
static const char can_convert_sql[] =
ARGS " SELECT 200 AS status, to_jsonb(c)::text AS body FROM a, LATERAL incomplete_orders.can_convert(" ID ") c";
static const char record_sql[] =
ARGS " SELECT 201 AS status, to_jsonb(c)::text AS body FROM a, LATERAL incomplete_orders.record_order(b ->> 'foreign_order', (b ->> 'id')::uuid, b ->> 'session_id',"
" b ->> 'customer_id', (b ->> 'total')::numeric, b ->> 'currency', coalesce((b ->> 'paid')::boolean, true), q ->> 'shop') c";

#define FEW_PARAMETERS \
	"kind,is_guest_order,recovery_attempts,start_date,end_date,expired,abandoned_start,abandoned_end,expires_start,expires_end,can_convert,total_min,total_max," \
	"currency,furthest_step,device,source,contactable"
#define COUNT_PARAMETERS FEW_PARAMETERS ",outcome,search"
#define LIST_PARAMETERS "status," COUNT_PARAMETERS ",ordering,page_size,cursor"
const RestRoute order_routes[] = {
	GET("incomplete-orders/", "list_orders", list_sql, LIST_PARAMETERS, "A page of incomplete orders, open and closed", "Order+"),
	POST("incomplete-orders/", "create_order", create_sql, "Creates an incomplete order, or changes that of the session", "NewOrder", "OrderDetail"),
	{"GET", "incomplete-orders/export.csv", "export_orders", REST_STAFF, REST_STREAM,
		"status," FEW_PARAMETERS, export_sql,
	"All incomplete orders that the filters leave, as CSV, in no particular order", NULL, NULL, NULL, "text/csv; charset=utf-8", NULL, 0, 3600},
	{"POST", "incomplete-orders/export.csv", "export_chosen", REST_STAFF, REST_STREAM | REST_BODY, NULL, export_many_sql,
	"The incomplete orders that are named, as CSV", "Chosen", NULL, NULL, "text/csv; charset=utf-8", NULL, 0, 3600},
	GET("incomplete-orders/counts/", "count_orders", counts_sql, COUNT_PARAMETERS, "How many there are in each state, and of what can be rescued", "Tab*"),
	GET("incomplete-orders/ids/", "list_order_ids", ids_sql, "status," COUNT_PARAMETERS ",ordering,cursor", "A page of 1000 ids, to choose all that a list shows", "OrderIds"),
	GET("incomplete-orders/expired/", "list_expired_orders", expired_sql,
		"kind,is_guest_order,recovery_attempts,start_date,end_date,abandoned_start,abandoned_end,expires_start,expires_end,can_convert,total_min,total_max,currency,"
		"furthest_step,device,source,contactable,outcome,search,ordering,page_size,cursor,status",
		"A page of incomplete orders whose time is over", "Order+"),
	POST_MAYBE("incomplete-orders/cleanup_expired/", "cleanup_expired", ROWS("cleanup(coalesce((b ->> 'days_to_keep')::int4, 90), coalesce((b ->> 'dry_run')::boolean, false))"),
			   "Deletes what retention does not ask for and is older; never the records of orders", "Cleaning", "Cleaned*"),
	POST_MAYBE("incomplete-orders/expire/", "expire_orders", ROWS("expire_orders(coalesce((b ->> 'dry_run')::boolean, false))"),
			   "Closes what is past its deadline now instead of with the next tick", "Expiring", "Result*"),
	POST("incomplete-orders/bulk/convert/", "convert_orders", ROWS("convert_orders(" IDS ", " REASON ")"), "Converts several", "Many", "Result*"),
	POST("incomplete-orders/bulk/mark_abandoned/", "mark_abandoned_many", ROWS("mark_abandoned_many(" IDS ", " REASON ")"), "Abandons several", "Many", "Result*"),
	POST("incomplete-orders/bulk/dismiss/", "dismiss_orders", ROWS("dismiss_orders(" IDS ", " REASON ")"), "Dismisses several", "Many", "Result*"),
	POST("incomplete-orders/bulk/delete/", "delete_orders", ROWS("delete_orders(" IDS ", " REASON ")"), "Deletes several", "Many", "Result*"),
	POST("incomplete-orders/bulk/send_recovery_email/", "send_recovery_emails_many", ROWS("send_recovery_emails_many(" IDS ", b ->> 'email_type', b ->> 'subject', coalesce((b ->> 'dry_run')::boolean, false), " KEY ")"),
		 "Queues a message for each of several", "ManyMails", "Result*"),
	GET("incomplete-orders/{id}/", "show_order", show_sql, NULL, "One incomplete order, with its lines, address, history and orders; its version is the ETag", "OrderDetail"),
	{"PATCH", "incomplete-orders/{id}/", "edit_order", REST_STAFF, REST_BODY | REST_WRITES, NULL, edit_sql,
	"Corrects an open order as it was read at expected_version; 409 when it is at another one", "Edit", "OrderDetail"},
	{"DELETE", "incomplete-orders/{id}/", "delete_order", REST_STAFF, REST_WRITES, "reason", delete_sql, "Closes an order whose cart is removed", NULL, NULL},
	POST_MAYBE("incomplete-orders/{id}/convert_to_order/", "convert_order", convert_sql, "Converts it, whole or only some lines", "ConvertOrder", "Converted"),
	GET("incomplete-orders/{id}/can_convert/", "can_convert", can_convert_sql, NULL, "Whether it can be converted, and why not", "CanConvert"),
	POST_MAYBE("incomplete-orders/{id}/mark_abandoned/", "mark_abandoned", STATE("mark_abandoned(" ID ", " REASON ")", "Abandoned"), "Abandons it before its time", "Reason", "State"),
	POST_MAYBE("incomplete-orders/{id}/dismiss/", "dismiss_order", STATE("dismiss_order(" ID ", " REASON ")", "Dismissed"), "Closes it; nothing more is sent", "Reason", "State"),
	POST_MAYBE("incomplete-orders/{id}/send_recovery_email/", "send_recovery_email", mail_sql, "Queues a message by hand", "Mail", "MessageQueued"),
	POST_MAYBE("incomplete-orders/{id}/mark_payment_pending/", "mark_payment_pending",
			   STATE("mark_payment_pending(" ID ", b ->> 'payment_reference', (b ->> 'deadline')::timestamptz)", "A payment is on its way"), "A payment is on its way", "PaymentPending", "State"),
	POST_MAYBE("incomplete-orders/{id}/mark_payment_failed/", "mark_payment_failed", STATE("mark_payment_failed(" ID ", b ->> 'reason')", "The payment did not come"),
			   "The payment did not come", "Reason", "State"),
	POST("incomplete-orders/{id}/record_checkout_error/", "record_checkout_error_of_order",
		 STATE("record_checkout_error(" ID ", b ->> 'error_kind', b ->> 'reason')", "Recorded"), "The checkout showed an error", "CheckoutError", "State"),
	POST("incomplete-orders/{id}/redeem_coupon/", "redeem_coupon_for_order", redeem_sql, "Takes a coupon that came with a message", "CouponCode", "Redeemed"),
	GET("incomplete-orders/{id}/history/", "order_history", ROWS("order_history(" ID ")"), NULL, "What happened to it, with notes and changes", "HistoryEntry*"),
	GET("incomplete-orders/{id}/notes/", "list_notes", notes_sql, NULL, "Notes of staff", "NoteShown*"),
	POST("incomplete-orders/{id}/notes/", "add_note", add_note_sql, "Keeps a note", "Note", "NoteShown"),
	GET("incomplete-orders/{id}/orders/", "list_conversions", ROWS("list_conversions(" ID ")"), NULL, "The orders that it became, with payments and refunds", "Conversion*"),
	GET("incomplete-orders/{id}/why_not_sent/", "why_not_sent", ROWS("why_not_sent(" ID ")"), NULL, "The ledger: why it was mailed, or not", "Why*"),
	POST("orders/", "record_order", record_sql, "An order that was placed in the shop itself", "ForeignOrder", "Converted"),
	POST_MAYBE("orders/{order_id}/payment/", "record_payment", DONE("changed", "record_payment((p ->> 'order_id')::uuid)"), "The order is paid", "Nothing", "Paid"),
	POST("orders/{order_id}/refunds/", "record_refund", DONE("refunded", "record_refund((p ->> 'order_id')::uuid, (b ->> 'amount')::numeric, " KEY ")"),
		 "Something was paid back", "Refund", "Refunded"),
	{"PUT", "carts/{session_id}/", "capture_cart", REST_STAFF, REST_BODY | REST_WRITES, NULL, capture_sql, "The session's cart as it is now", "Cart", "OrderDetail"},
	POST("carts/merge/", "merge_sessions", SHOW_AFTER("merge_carts(b ->> 'from_session', b ->> 'into_session', coalesce(b ->> 'strategy', 'keep_both'), q ->> 'shop')", "200"),
		 "Puts the cart of one session into another one's", "Merge", "OrderDetail"),
	POST("carts/{session_id}/identify/", "identify_session", SHOW_AFTER("identify_cart(p ->> 'session_id', b ->> 'customer_id', b ->> 'email', q ->> 'shop')", "200"),
		 "Says whose cart it is", "Person", "OrderDetail"),
	{NULL}
};

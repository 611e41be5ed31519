/*
 * rest_page.c
 *		What a shop's page may do: the open order of its own session, and the cart that a
 *		recovery link leads to.
 *
 * A publishable key is in the source of the shop's pages, so anybody has it.  With it and
 * a session one can write and read the cart of that session, and nothing else: never
 * another session's, never a closed order, never who the customer is to the shop
 * (customer_id) or in which state an order is.  Nothing that is answered has an address,
 * a name or a phone.  What is wrong with a session is not said: without an open order
 * it is 404.
 *
 * Prices are said by the page only where the shop accepts that (page_prices); what it
 * sells at is decided by whoever converts the order, which no page can.  Contact fields
 * are kept only with consent, or where the shop's consent_rule is none: the rest of
 * the request counts, and "left_out" names them.
 */
#include "page.h"

/*
 * $1 is the request, $2 the body; page.c put "visitor" there.  They are read once: each
 * statement is below FROM ASKED, where q.r and q.b are their JSON.
 */
#define ASKED "(SELECT $1::jsonb AS r, $2::jsonb AS b OFFSET 0) q"
#define SHOP "(q.r #>> '{visitor,shop}')"
#define SESSION "(q.r #>> '{visitor,session}')"
#define BODY "q.b"
#define TEXT(key) "(q.b ->> '" key "')"

#define CONSENT_STATUS "coalesce(" BODY " #>> '{consent,status}', " BODY " #>> '{context,consent,status}')"
/* whether contact fields may be kept */
#define CONSENT "(q.r #>> '{visitor,consent}' = 'none' OR coalesce(" CONSENT_STATUS " = 'granted', false))"
/* what is beside the form: capture_page_cart() takes of it what it may */
#define BESIDE \
	"incomplete_orders.capture_page_cart(" SESSION ", jsonb_build_object('step', " BODY " -> 'step', 'context', " BODY " -> 'context'," \
	" 'consent', " BODY " -> 'consent'), q.r #>> '{headers,user_agent}', " SHOP ") ->> 'id'"

#define IS_OBJECT "(jsonb_typeof(" BODY ") = 'object')"
#define PROBLEM(status, type, title, detail) \
	"jsonb_build_object('type', 'urn:incomplete-orders:" type "', 'title', '" title "', 'status', " status ", 'detail', '" detail "')::text"
#define NO_OBJECT PROBLEM("400", "body", "Bad Request", "The body is no JSON object.")
#define NO_CONSENT PROBLEM("403", "consent", "Forbidden", \
	"Contact fields are kept with consent only: \"consent\": {\"status\": \"granted\", \"at\": \"2026-01-31T10:00:00Z\"}.")

/* of the keys that were sent, those that are neither in the list nor said as nothing */
#define LEFT_OUT(known) \
	"(SELECT coalesce(jsonb_agg(k ORDER BY k), '[]') FROM jsonb_each(CASE WHEN " IS_OBJECT " THEN " BODY " END) e (k, v)" \
	" WHERE v <> 'null' AND NOT (" known "))"

/* the open order of the session */
#define OPEN_ORDER "incomplete_orders.orders_of(session_id => " SESSION ", shop => " SHOP ") o"
#define IS_OPEN "o.closed_at IS NULL AND NOT o.is_expired"

/* lines as a page may see them: not what else the shop keeps with them */
#define LINES(items) \
	"(SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('sku', l -> 'sku', 'product_id', l -> 'product_id', 'name', l -> 'name'," \
	" 'variant', l -> 'variant', 'quantity', l -> 'quantity', 'filled', l -> 'filled', 'unit_price', l -> 'unit_price'," \
	" 'unit_price_was', l -> 'unit_price_was', 'quantity_was', l -> 'quantity_was', 'image_url', l -> 'image_url', 'url', l -> 'url'))), '[]')" \
	" FROM jsonb_array_elements(" items ") l)"

/* One call, and nothing beside it: it is what pages ask most. */
static const char put_cart_sql[] =
"SELECT incomplete_orders.capture_page_cart(" SESSION ", " BODY ", q.r #>> '{headers,user_agent}', " SHOP ")::text AS body FROM " ASKED;

static const char get_cart_sql[] =
"SELECT jsonb_build_object('id', o.id, 'reference', o.reference, 'status', o.status, 'kind', o.kind, 'items', " LINES("o.items") ","
" 'item_count', o.item_count, 'currency', o.currency, 'total', o.total, 'shipping', o.shipping, 'tax', o.tax, 'discount', o.discount,"
" 'coupon_code', o.coupon_code, 'coupon_discount', o.coupon_discount, 'furthest_step', o.furthest_step, 'version', o.version,"
" 'created_at', o.created_at, 'last_activity_at', o.last_activity_at, 'expires_at', o.expires_at)::text AS body"
" FROM " ASKED ", LATERAL " OPEN_ORDER " WHERE " IS_OPEN " LIMIT 1";

/* Both sessions are secrets, so who names two is the visitor of both. */
static const char merge_sql[] =
"SELECT jsonb_build_object('id', m.id)::text AS body"
" FROM " ASKED ", LATERAL (SELECT CASE WHEN " TEXT("from_session_id") " ~ '^[A-Za-z0-9_.:~-]{16,128}$' THEN"
" incomplete_orders.merge_carts(" TEXT("from_session_id") ", " SESSION ", coalesce(" TEXT("strategy") ", 'keep_both'), " SHOP ") END AS id OFFSET 0) m WHERE m.id IS NOT NULL";

/* The shop's server says who has logged in; a page can say an address. */
static const char identify_sql[] =
"SELECT CASE WHEN NOT " CONSENT " THEN 403 ELSE 200 END AS status,"
" CASE WHEN NOT " CONSENT " THEN " NO_CONSENT " ELSE jsonb_build_object('id', i.id)::text END AS body"
" FROM " ASKED ", LATERAL (SELECT CASE WHEN " CONSENT " THEN incomplete_orders.identify_cart(" SESSION ", NULL, " TEXT("email") ", " SHOP ") END AS id OFFSET 0) i"
" WHERE i.id IS NOT NULL OR NOT " CONSENT;

static const char redeem_sql[] =
"SELECT jsonb_build_object('coupon_code', r.coupon_code, 'coupon_discount', r.coupon_discount, 'currency', r.currency, 'total', r.total,"
" 'expires_at', r.expires_at)::text AS body"
" FROM " ASKED ", LATERAL (SELECT o.id FROM " OPEN_ORDER " WHERE " IS_OPEN " LIMIT 1) o, LATERAL incomplete_orders.redeem_coupon(" TEXT("code") ", o.id) r";

/* A form by the names that HTML's autocomplete gives its fields, or by ours, which count more. */
#define FORM \
	"(SELECT coalesce(jsonb_object_agg(coalesce(m.field, e.k), e.v ORDER BY m.field IS NULL), '{}')" \
	" FROM jsonb_each(" BODY ") e (k, v) LEFT JOIN (VALUES ('tel', 'phone'), ('name', 'full_name'), ('given-name', 'first_name')," \
	" ('family-name', 'last_name'), ('organization', 'company'), ('address-line1', 'address_line_1'), ('address-line2', 'address_line_2')," \
	" ('address-level2', 'city'), ('address-level1', 'state'), ('postal-code', 'postal_code'), ('country-name', 'country')) m (name, field)" \
	" ON m.name = e.k WHERE e.k NOT IN ('session_id', 'consent', 'context', 'step'))"

/* Without consent there is nothing to keep, and no order begins. */
static const char save_checkout_sql[] =
"SELECT CASE WHEN " IS_OBJECT " THEN 200 ELSE 400 END AS status,"
" CASE WHEN NOT " IS_OBJECT " THEN " NO_OBJECT
" ELSE jsonb_build_object('id', coalesce(c.id, s.id::text), 'left_out', " LEFT_OUT(
"k IN ('session_id', 'consent', 'context', 'step') OR " CONSENT " AND k IN ('email', 'phone', 'full_name', 'first_name', 'last_name', 'company',"
" 'address_line_1', 'address_line_2', 'city', 'state', 'postal_code', 'country', 'delivery_instructions', 'coupon_code', 'notes', 'address', 'tel', 'name', 'given-name', 'family-name', 'organization',"
" 'address-line1', 'address-line2', 'address-level1', 'address-level2', 'postal-code', 'country-name')") ")::text END AS body"
" FROM " ASKED ", LATERAL (SELECT CASE WHEN " IS_OBJECT " AND " CONSENT " THEN"
" incomplete_orders.save_checkout(" SESSION ", " FORM ", " SHOP ") END AS id OFFSET 0) s,"
" LATERAL (SELECT CASE WHEN s.id IS NOT NULL THEN " BESIDE
/* who takes consent back is heard, where there is a cart to note it with */
" WHEN " CONSENT_STATUS " = 'withdrawn' AND EXISTS (SELECT FROM " OPEN_ORDER " WHERE " IS_OPEN ") THEN " BESIDE
" END AS id OFFSET 0) c";

static const char track_abandonment_sql[] =
"SELECT 204 AS status FROM " ASKED ", LATERAL (SELECT incomplete_orders.track_abandonment(" SESSION ", coalesce(" TEXT("stage") ", 'cart')::text,"
" " TEXT("reason") ", " SHOP ") AS id OFFSET 0) t WHERE t.id IS NOT NULL";

static const char track_engagement_sql[] =
"SELECT 204 AS status FROM " ASKED ", LATERAL (SELECT incomplete_orders.track_engagement(" SESSION ", coalesce(round(" TEXT("views") "::float8), 1)::int4,"
" round(" TEXT("seconds") "::float8)::int4, round(" TEXT("scroll") "::float8)::int4, " SHOP ") AS id OFFSET 0) t WHERE t.id IS NOT NULL";

/* Whether the money came is not a page's to say: a payment on its way stays so. */
static const char checkout_error_sql[] =
"SELECT CASE WHEN e.status IS NULL THEN 409 ELSE 200 END AS status,"
" CASE WHEN e.status IS NULL THEN " PROBLEM("409", "payment", "Conflict", "A payment is on its way; what becomes of it is for the shop''s server to say.")
" ELSE jsonb_build_object('status', e.status)::text END AS body"
" FROM " ASKED ", LATERAL (SELECT o.id, o.status FROM " OPEN_ORDER " WHERE " IS_OPEN " LIMIT 1) o,"
" LATERAL (SELECT CASE WHEN o.status <> 'payment_pending' OR " TEXT("error_kind") " IS DISTINCT FROM 'payment_failed' THEN"
" incomplete_orders.record_checkout_error(o.id, " TEXT("error_kind") ", " TEXT("reason") ") END AS status OFFSET 0) e";

static const char preview_restore_sql[] =
"SELECT jsonb_build_object('reference', p.reference, 'status', p.status, 'items', " LINES("p.items") ", 'total', p.total, 'currency', p.currency,"
" 'removed', " LINES("p.removed") ", 'changed', " LINES("p.changed") ", 'availability_failed', p.availability_failed)::text AS body"
" FROM " ASKED ", LATERAL incomplete_orders.preview_cart(q.r #>> '{path,token}') p WHERE p.shop = " SHOP;

static const char restore_sql[] =
"SELECT jsonb_build_object('id', r.id, 'items', " LINES("r.items") ", 'removed', " LINES("r.removed") ", 'changed', " LINES("r.changed") ","
" 'availability_failed', r.availability_failed)::text AS body"
" FROM " ASKED ", LATERAL incomplete_orders.restore_cart(q.r #>> '{path,token}', " SESSION ", " SHOP ") r";

#define KEY_QUERY "key"
/* a page's body: a cart and what is beside it */
#define PAGE_BODY 65536

const RestRoute page_routes[] = {
	{
		.method = "PUT",.pattern = "cart/",.name = "put_own_cart",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = put_cart_sql,.summary = "Captures the cart of this session",
			.body = "PageCart",.answer = "PageCaptured",.body_most = PAGE_BODY
	},
	{
		.method = "GET",.pattern = "cart/",.name = "get_own_cart",.access = REST_PAGE,.query = KEY_QUERY,.sql = get_cart_sql,
			.summary = "The cart of this session, without anything about a person",.answer = "OwnCart"
	},
	{
		.method = "POST",.pattern = "cart/merge/",.name = "merge_own_carts",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = merge_sql,.summary = "Brings the cart of another session of the visitor into this one",
			.body = "PageMerge",.answer = "PageId",.body_most = PAGE_BODY
	},
	{
		.method = "POST",.pattern = "cart/identify/",.name = "identify_visitor",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = identify_sql,.summary = "The visitor's address, with consent",
			.body = "PageIdentify",.answer = "PageId",.body_most = PAGE_BODY
	},
	{
		.method = "POST",.pattern = "cart/redeem-coupon/",.name = "redeem_own_coupon",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = redeem_sql,.summary = "Puts a message's coupon on the cart of this session",
			.body = "PageCoupon",.answer = "PageRedeemed",.body_most = PAGE_BODY
	},
	{
		.method = "POST",.pattern = "save-checkout-data/",.name = "save_checkout_data",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = save_checkout_sql,.summary = "Keeps a half-filled checkout form, with consent",
			.body = "PageCheckout",.answer = "PageCaptured",.body_most = PAGE_BODY
	},
	{
		.method = "POST",.pattern = "track-abandonment/",.name = "track_abandonment",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = track_abandonment_sql,.summary = "The visitor left the page, at this stage",
			.body = "Departure",.body_most = PAGE_BODY
	},
	{
		.method = "POST",.pattern = "track-engagement/",.name = "track_engagement",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = track_engagement_sql,.summary = "How much the visitor looked at the page",
			.body = "Engagement",.body_most = PAGE_BODY
	},
	{
		.method = "POST",.pattern = "record-checkout-error/",.name = "record_page_error",.access = REST_PAGE,.flags = REST_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = checkout_error_sql,.summary = "Something went wrong in the checkout",
			.body = "PageError",.answer = "PageStatus",.body_most = PAGE_BODY
	},
	{
		.method = "GET",.pattern = "restore/{token}/",.name = "preview_restore",.access = REST_PAGE,.flags = REST_NO_SESSION,
			.query = KEY_QUERY,.sql = preview_restore_sql,.summary = "The cart that a recovery link leads to; changes nothing",.answer = "RestorePreview"
	},
	{
		.method = "POST",.pattern = "restore/{token}/",.name = "restore_own_cart",.access = REST_PAGE,.flags = REST_MAY_BODY | REST_TEXT | REST_WRITES,
			.query = KEY_QUERY,.sql = restore_sql,.summary = "Brings the cart of a recovery link into this session",
			.body = "PageSession",.answer = "Restored",.body_most = PAGE_BODY
	},
	{NULL}
};

/*
 * capture_page.c
 *		capture_page_cart: what a shop's page says of a cart.
 *
 * Whoever has the page's source can say it, so this is a capture that trusts less: no
 * customer_id, no kind, no bot; of the context what a browser knows; lines and charges
 * where the shop takes prices from its pages (page_prices), e-mail, phone, name and
 * address with consent or where its consent_rule is none.  Lines that it may not say
 * are an error, for a cart without them is none; anything else is left out and named.
 *
 * Memory: the SPI context of the call, the answer the caller's.  Locks: as a capture.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "capture.h"
#include "cart_json.h"
#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "line_items.h"
#include "plan.h"
#include "tenant.h"

/* of the keys that are left out, how many are named, and how long */
#define NAMED_MOST 20
#define NAMED_BYTES 64
#define CONSENT_BYTES 255

PG_FUNCTION_INFO_V1(ico_capture_page_cart);

typedef enum Rule
{
	PAGE_FACT,					/* a page may say it */
	PAGE_CONTACT,				/* with consent */
	PAGE_CHARGE,				/* where its prices are taken */
	PAGE_OWN,					/* read here */
} Rule;

static const struct
{
	const char *key;
	Rule		rule;
}			page_keys[] = {
	{"session_id", PAGE_OWN}, {"items", PAGE_OWN}, {"context", PAGE_OWN}, {"consent", PAGE_OWN},
	{"currency", PAGE_FACT}, {"step", PAGE_FACT}, {"coupon_code", PAGE_FACT},
	{"email", PAGE_CONTACT}, {"phone", PAGE_CONTACT}, {"name", PAGE_CONTACT}, {"address", PAGE_CONTACT},
	{"shipping", PAGE_CHARGE}, {"tax", PAGE_CHARGE}, {"discount", PAGE_CHARGE}, {"coupon_discount", PAGE_CHARGE},
};

/* notes are somebody's words, so they are like a contact */
static const char *const context_keys[] = {"locale", "time_zone", "device", "source", "referrer", "notes"};
static const char *const consent_keys[] = {"status", "at", "source", "text_version"};

typedef struct PageCart
{
	IcoShop		shop;
	bool		contact;		/* may be kept */
	LineItems  *items;
	IcoFacts	facts;
	JsonbParseState *left_out;	/* NULL: nothing */
	int			named;
} PageCart;

/* The member of that name, or NULL when it is not there or null. */
static JsonbValue *
member(JsonbContainer *object, const char *key, JsonbValue *buffer)
{
	JsonbValue *found = object == NULL ? NULL : getKeyJsonValueFromContainer(object, key, strlen(key), buffer);

	return found != NULL && found->type != jbvNull ? found : NULL;
}

static JsonbContainer *
member_object(JsonbContainer *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *found = member(object, key, &buffer);

	return found != NULL && found->type == jbvBinary && JsonContainerIsObject(found->val.binary.data) ?
		found->val.binary.data : NULL;
}

static void
put(JsonbParseState **state, const char *key, JsonbValue *value)
{
	JsonbValue	name = {.type = jbvString};

	if (*state == NULL)
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &name);
	pushJsonbValue(state, WJB_VALUE, value);
}

static void
leave_out(PageCart *cart, const char *key, int len)
{
	JsonbValue	name = {.type = jbvString};

	if (cart->named++ >= NAMED_MOST)
		return;
	if (cart->left_out == NULL)
		pushJsonbValue(&cart->left_out, WJB_BEGIN_ARRAY, NULL);
	name.val.string.len = pg_mbcliplen(key, len, NAMED_BYTES);
	name.val.string.val = pnstrdup(key, name.val.string.len);
	pushJsonbValue(&cart->left_out, WJB_ELEM, &name);
}

/* ---- consent and context ---- */

static bool
is_status(JsonbContainer *consent, const char *word)
{
	JsonbValue	buffer;
	JsonbValue *status = member(consent, "status", &buffer);

	return status != NULL && status->type == jbvString && status->val.string.len == strlen(word) &&
		memcmp(status->val.string.val, word, strlen(word)) == 0;
}

/* The texts of a consent; NULL when it is none. */
static JsonbValue *
read_consent(JsonbContainer *given)
{
	JsonbParseState *state = NULL;
	JsonbValue	buffer;
	JsonbValue *value;

	if (!is_status(given, "granted") && !is_status(given, "withdrawn"))
		return NULL;
	for (int i = 0; i < lengthof(consent_keys); i++)
	{
		value = member(given, consent_keys[i], &buffer);
		if (value != NULL && value->type == jbvString && value->val.string.len <= CONSENT_BYTES)
			put(&state, consent_keys[i], value);
		else if (strcmp(consent_keys[i], "source") == 0)
		{
			buffer.type = jbvString;
			buffer.val.string.val = "page";
			buffer.val.string.len = strlen("page");
			put(&state, "source", &buffer);
		}
	}
	return pushJsonbValue(&state, WJB_END_OBJECT, NULL);
}

static void
read_context(PageCart *cart, JsonbContainer *root, JsonbContainer *consent, text *user_agent)
{
	JsonbContainer *given = member_object(root, "context");
	JsonbParseState *state = NULL;
	JsonbValue	buffer;
	JsonbValue *value;

	for (int i = 0; i < lengthof(context_keys); i++)
	{
		value = member(given, context_keys[i], &buffer);
		if (value != NULL && (cart->contact || strcmp(context_keys[i], "notes") != 0))
			put(&state, context_keys[i], value);
	}
	/* a page that says nothing of its visitor is not to be slowed down by it */
	if (given != NULL && user_agent != NULL)
	{
		buffer.type = jbvString;
		buffer.val.string.val = VARDATA_ANY(user_agent);
		buffer.val.string.len = VARSIZE_ANY_EXHDR(user_agent);
		put(&state, "user_agent", &buffer);
	}
	value = consent == NULL ? NULL : read_consent(consent);
	if (value != NULL)
		put(&state, "consent", value);
	if (state != NULL)
		(void) ico_read_json_fact(&cart->facts, "context", pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* ---- the cart ---- */

static void
read_items(PageCart *cart, JsonbValue *value)
{
	if (!cart->shop.page_prices)
		ereport(ERROR,
				(errcode(ICO_ERR_NOT_FROM_PAGES),
				 errmsg("this shop takes no lines from its pages"),
				 errdetail("They come with prices, and a page can say any."),
				 errhint("Its server can capture the cart. With the setting page_prices = accept its pages can, too.")));
	cart->items = ico_items_from_jsonb(value->type == jbvBinary ? value->val.binary.data : &JsonbValueToJsonb(value)->root);
}

static void
read_key(PageCart *cart, const JsonbValue *key, JsonbValue *value)
{
	for (int i = 0; i < lengthof(page_keys); i++)
	{
		Rule		rule = page_keys[i].rule;

		if (strlen(page_keys[i].key) != key->val.string.len ||
			memcmp(page_keys[i].key, key->val.string.val, key->val.string.len) != 0)
			continue;
		if (strcmp(page_keys[i].key, "items") == 0)
			read_items(cart, value);
		else if ((rule == PAGE_CONTACT && !cart->contact) || (rule == PAGE_CHARGE && !cart->shop.page_prices))
			break;
		else if (rule != PAGE_OWN)
			(void) ico_read_json_fact(&cart->facts, page_keys[i].key, value);
		return;
	}
	leave_out(cart, key->val.string.val, key->val.string.len);
}

static void
read_page(PageCart *cart, Jsonb *given, text *user_agent)
{
	JsonbIterator *it;
	JsonbContainer *consent;
	JsonbValue	key;
	JsonbValue	value;

	if (given == NULL || JB_ROOT_IS_SCALAR(given) || !JB_ROOT_IS_OBJECT(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a cart must be an object"),
				 errhint("For example {\"items\": [{\"sku\": \"A-1\", \"quantity\": 1, \"unit_price\": \"19.90\"}]}.")));
	consent = member_object(&given->root, "consent");
	if (consent == NULL)
		consent = member_object(member_object(&given->root, "context"), "consent");
	cart->contact = !cart->shop.strict_consent || is_status(consent, "granted");
	it = JsonbIteratorInit(&given->root);
	(void) JsonbIteratorNext(&it, &value, false);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type != jbvNull)
			read_key(cart, &key, &value);
	}
	read_context(cart, &given->root, consent, user_agent);
}

static Jsonb *
make_answer(const pg_uuid_t *id, PageCart *cart)
{
	JsonbParseState *state = NULL;
	JsonbValue	empty = {.type = jbvArray};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ico_put_string(&state, "id", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id))));
	put(&state, "left_out", cart->left_out == NULL ? &empty : pushJsonbValue(&cart->left_out, WJB_END_ARRAY, NULL));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* capture_page_cart(session_id, cart, user_agent, shop, at) -> jsonb */
Datum
ico_capture_page_cart(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	text	   *session_id = ico_require_key(fcinfo, 0, "session_id");
	PageCart	cart = {0};
	TimestampTz at;
	pg_uuid_t	id;
	Jsonb	   *answer;

	SPI_connect();
	ico_enter_shop(ICO_RIGHT_capture_page_cart, PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3), &cart.shop);
	at = ico_enter_at(fcinfo, 4, &cart.shop);
	read_page(&cart, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));
	ico_capture(&cart.shop, session_id, cart.items, &cart.facts, at, &id);
	MemoryContextSwitchTo(caller);
	answer = make_answer(&id, &cart);
	SPI_finish();
	PG_RETURN_JSONB_P(answer);
}

/*
 * capture_page.c
 *		capture_page_cart: what a shop's page says of a cart.
 *
 * Whoever has the page's source can say it, so this is a capture that trusts less: no
 * customer_id, no kind, no bot; of the context what a browser knows; e-mail, phone, name
 * and address with consent or where the shop's consent_rule is none.  Lines are taken at
 * the price that the shop's availability() says, or at any that the page says, or not at
 * all (page_prices).  Messages of the shop show them, so their links and pictures must be
 * on one of its origins.  Lines that it may not say are an error, for a cart without them
 * is none; anything else is left out and named.
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
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "capture.h"
#include "cart_json.h"
#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "hook.h"
#include "line_items.h"
#include "plan.h"
#include "stock.h"
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
	char	   *origins;		/* NULL: not looked up */
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
refuse_items(const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ICO_ERR_NOT_FROM_PAGES),
			 errmsg("this shop takes no lines from its pages"),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static void
leave_out_part(PageCart *cart, int n, const char *part)
{
	char	   *name = psprintf("items[%d]%s", n, part);

	leave_out(cart, name, strlen(name));
}

/* The shop's origins, one in a line. */
static char *
read_origins(const PageCart *cart)
{
	static IcoPlan plan = {
		"i",
		"SELECT pg_catalog.array_to_string(s.allowed_origins, pg_catalog.chr(10)) FROM incomplete_orders.shops s WHERE s.shop_id" EQ "$1"
	};
	Datum		value = Int32GetDatum(cart->shop.shop_id);
	bool		isnull;
	char	   *origins = ico_execute(&plan, &value, NULL) == 0 ? "" : TextDatumGetCString(ico_column(0, 1, &isnull));

	return origins;
}

static bool
is_on_origin(const char *origins, const char *url, int len)
{
	while (*origins != '\0')
	{
		int			line = strcspn(origins, "\n");

		if (len >= line && pg_strncasecmp(origins, url, line) == 0 && (len == line || strchr("/?#", url[line]) != NULL))
			return true;
		origins += line + (origins[line] == '\n');
	}
	return false;
}

/* Leaves out what must not stand in a shop's message. */
static void
check_url(PageCart *cart, int n, const char *part, const char **url, int *len)
{
	if (*url == NULL)
		return;
	if (cart->origins == NULL)
		cart->origins = read_origins(cart);
	if (is_on_origin(cart->origins, *url, *len))
		return;
	*url = NULL;
	*len = 0;
	leave_out_part(cart, n, part);
}

/* Asked before anything is locked. */
static IcoStock *
ask_prices(const PageCart *cart, LineItems *items)
{
	IcoStock   *stock;

	ico_refuse_in_hook();
	stock = ico_ask_stock(cart->shop.shop_id, &items, 1, GetActiveSnapshot());
	if (stock == NULL)
		refuse_items("Their prices would be those of the setting availability, and it names no function.",
					 "Set it, or capture the cart on the shop's server.");
	return stock;
}

/* What was ordered of a line is the shop's to say. */
static LineItems *
without_filled(LineItems *given)
{
	IcoItemsBuilder builder;
	IcoLineReader reader;
	IcoLine		line;

	ico_items_begin(&builder);
	ico_line_reader_init(&reader, given);
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		line.filled = 0;
		ico_items_add(&builder, &line);
	}
	return ico_items_finish(&builder);
}

/* The lines as they may be kept; NULL: nobody knows what they cost now. */
static LineItems *
check_lines(PageCart *cart, LineItems *given)
{
	IcoStock   *stock = cart->shop.page_prices == ICO_PRICES_CHECKED ? ask_prices(cart, given) : NULL;
	IcoItemsBuilder builder;
	IcoLineReader reader;
	IcoLine		line;

	if (stock != NULL)
		ico_note_stock(stock);
	if (stock != NULL && stock->failed)
	{
		leave_out(cart, "items", strlen("items"));
		return NULL;
	}
	ico_items_begin(&builder);
	ico_line_reader_init(&reader, given);
	for (int n = 0; ico_line_next(&reader, &line); n++)
	{
		CHECK_FOR_INTERRUPTS();
		check_url(cart, n, ".url", &line.url, &line.url_len);
		check_url(cart, n, ".image_url", &line.image_url, &line.image_url_len);
		if (stock == NULL || ico_stock_price(stock, line.sku, line.sku_len, &line.unit_price))
			ico_items_add(&builder, &line);
		else
			leave_out_part(cart, n, "");
	}
	return ico_items_finish(&builder);
}

static void
read_items(PageCart *cart, JsonbValue *value)
{
	if (cart->shop.page_prices == ICO_PRICES_REFUSED)
		refuse_items("They come with prices, and a page can say any.",
					 "Its server can capture the cart. With the setting page_prices = check or accept its pages can, too.");
	cart->items = check_lines(cart, without_filled(ico_items_from_jsonb(value->type == jbvBinary ? value->val.binary.data :
																		 &JsonbValueToJsonb(value)->root)));
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
		else if ((rule == PAGE_CONTACT && !cart->contact) || (rule == PAGE_CHARGE && cart->shop.page_prices != ICO_PRICES_ACCEPTED))
			break;
		else if (rule != PAGE_OWN)
			(void) ico_read_json_fact(&cart->facts, page_keys[i].key, value);
		return;
	}
	leave_out(cart, key->val.string.val, key->val.string.len);
}

/* The shop's prices are in its own currency, and so is a cart that has them. */
static void
check_currency(PageCart *cart)
{
	JsonbValue	value = {.type = jbvString};

	if (cart->shop.page_prices == ICO_PRICES_CHECKED && (cart->facts.given & ICO_FACT_BIT(ICO_F_CURRENCY)) &&
		strcmp(TextDatumGetCString(cart->facts.values[ICO_F_CURRENCY]), cart->shop.currency) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this shop's pages can capture carts in %s only", cart->shop.currency),
				 errdetail("The prices of its setting availability are in that currency.")));
	if (cart->shop.page_prices != ICO_PRICES_CHECKED || cart->items == NULL)
		return;
	value.val.string.val = cart->shop.currency;
	value.val.string.len = strlen(cart->shop.currency);
	(void) ico_read_json_fact(&cart->facts, "currency", &value);
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
	check_currency(cart);
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

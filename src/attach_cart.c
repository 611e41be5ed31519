/*
 * attach_cart.c
 *		What the values of a shop's cart are, in our terms.
 *
 * Shops keep things that an order cannot have, and a cart is not lost for them:
 *	- money in the smallest unit: divided by what the currency has
 *	- a quantity that is no whole number (1.5 m of cloth): one piece at the line's
 *	  price, with the measure as its variant
 *	- a negative price or quantity (a discount as a line): the cart's discount
 *	- a line of which there are 0: it is being added or removed
 *	- a line without a sku: known by its product, else by its name
 *	- names and links that are too long: cut, or left out
 * What has no price, no currency or more than fits is a fault: then nothing of the
 * cart is known for sure, and it waits.
 *
 * Memory: the current context.  No locks.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "attach.h"
#include "compat.h"
#include "facts.h"
#include "line_items.h"
#include "money.h"

#define SKU_BYTES 128
#define NAME_BYTES 1000
#define PRODUCT_BYTES 255
#define URL_BYTES 2048
#define KEY_BYTES 255
/* of a reference: what an index takes */
#define REFERENCE_BYTES 2000

/* --- numbers ------------------------------------------------------------------ */

/* What JSON says of a number, as a number or a text; false for anything else. */
static bool
number_of(const JsonbValue *value, Numeric *number)
{
	char	   *s;
	int			digits = 0;
	int			points = 0;

	if (value == NULL)
		return false;
	if (value->type == jbvNumeric)
	{
		*number = value->val.numeric;
		return !numeric_is_nan(*number) && !numeric_is_inf(*number);
	}
	if (value->type != jbvString || value->val.string.len > 64)
		return false;
	s = pnstrdup(value->val.string.val, value->val.string.len);
	for (char *p = s; *p != '\0'; p++)
	{
		if (*p >= '0' && *p <= '9')
			digits++;
		else if (*p == '.')
			points++;
		else if (*p != '-' || p != s)
			return false;
	}
	if (digits == 0 || points > 1)
		return false;
	*number = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(s), ObjectIdGetDatum(InvalidOid),
												  Int32GetDatum(-1)));
	return true;
}

static int
compare(Numeric a, int64 b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(int64_to_numeric(b))));
}

/* far below what int64 has, also times 10^6 */
static bool
is_moderate(Numeric number)
{
	return compare(number, INT64CONST(1000000000000)) < 0 && compare(number, INT64CONST(-1000000000000)) > 0;
}

static bool
is_whole(Numeric number)
{
	Datum		trunc = DirectFunctionCall2(numeric_trunc, NumericGetDatum(number), Int32GetDatum(0));

	return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number), trunc));
}

/* An amount without its last places, scaled by 10^6 and rounded to that. */
static bool
scale_amount(Numeric amount, int decimals, int64 *scaled)
{
	int64		factor = ICO_MONEY_SCALE;
	Datum		product;

	for (int i = 0; i < decimals; i++)
		factor /= 10;
	if (!is_moderate(amount))
		return false;
	product = DirectFunctionCall2(numeric_mul, NumericGetDatum(amount), NumericGetDatum(int64_to_numeric(factor)));
	product = DirectFunctionCall2(numeric_round, product, Int32GetDatum(0));
	*scaled = DatumGetInt64(DirectFunctionCall1(numeric_int8, product));
	return true;
}

/* --- lines --------------------------------------------------------------------- */

typedef struct Lines
{
	IcoItemsBuilder builder;
	int			decimals;		/* that the shop leaves out */
	int			n;
	int64		discount;		/* of negative lines */
	const char *fault;
} Lines;

/* A text or number of a line; false when there is none, or it is empty. */
static bool
line_text(const JsonbValue *value, const char **s, int *len)
{
	if (value == NULL)
		return false;
	if (value->type == jbvString)
	{
		*s = value->val.string.val;
		*len = value->val.string.len;
	}
	else if (value->type == jbvNumeric)
	{
		*s = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		*len = strlen(*s);
	}
	else
		return false;
	return *len > 0;
}

static JsonbValue *
member(JsonbContainer *line, const char *key)
{
	JsonbValue *buffer = palloc(sizeof(JsonbValue));

	return getKeyJsonValueFromContainer(line, key, strlen(key), buffer);
}

/* What the line is of. */
static bool
name_line(JsonbContainer *json, IcoLine *line)
{
	if (line_text(member(json, "name"), &line->name, &line->name_len))
		line->name_len = pg_mbcliplen(line->name, line->name_len, NAME_BYTES);
	if (!line_text(member(json, "product_id"), &line->product_id, &line->product_id_len) ||
		line->product_id_len > PRODUCT_BYTES)
		line->product_id = NULL;
	if (!line_text(member(json, "image_url"), &line->image_url, &line->image_url_len) ||
		line->image_url_len > URL_BYTES)
		line->image_url = NULL;
	if (!line_text(member(json, "sku"), &line->sku, &line->sku_len))
	{
		line->sku = line->product_id != NULL ? line->product_id : line->name;
		line->sku_len = line->product_id != NULL ? line->product_id_len : line->name_len;
	}
	if (line->sku == NULL)
		return false;
	line->sku_len = pg_mbcliplen(line->sku, line->sku_len, SKU_BYTES);
	return true;
}

/* A quantity that is no whole number: one of it, for the price of all. */
static void
measure_line(IcoLine *line, Numeric quantity)
{
	line->variant = DatumGetCString(DirectFunctionCall1(numeric_out,
														DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(quantity))));
	line->variant_len = strlen(line->variant);
	line->quantity = 1;
}

/* What a line costs: a negative one is taken off the cart. */
static void
price_line(Lines *lines, IcoLine *line, Numeric price)
{
	int64		scaled;

	if (!scale_amount(price, lines->decimals, &scaled) || scaled >= ICO_ITEM_PRICE_LIMIT ||
		-scaled > ICO_ITEM_PRICE_LIMIT / line->quantity)
		lines->fault = "a line costs too much";
	else if (scaled < 0)
		lines->discount = Min(lines->discount - scaled * line->quantity, ICO_ITEM_PRICE_LIMIT - 1);
	else if (lines->n == ICO_ITEMS_MAX_LINES)
		lines->fault = "it has more than 1,000 lines";
	else
	{
		line->unit_price = scaled;
		lines->n++;
		ico_items_add(&lines->builder, line);
	}
}

static void
add_line(Lines *lines, JsonbContainer *json)
{
	IcoLine		line;
	Numeric		quantity;
	Numeric		price;

	memset(&line, 0, sizeof(line));
	if (!number_of(member(json, "quantity"), &quantity) || !is_moderate(quantity))
		lines->fault = "a line has no quantity";
	else if (compare(quantity, 0) == 0)
		return;
	else if (!number_of(member(json, "unit_price"), &price) || !is_moderate(price))
		lines->fault = "a line has no price";
	else if (!name_line(json, &line))
		lines->fault = "a line has neither sku, product nor name";
	else if (compare(quantity, ICO_ITEM_MAX_QUANTITY) > 0)
		lines->fault = "a line has more than 1,000,000 pieces";
	if (lines->fault != NULL)
		return;
	if (compare(quantity, 0) > 0 && is_whole(quantity))
		line.quantity = DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(quantity)));
	else
	{
		price = DatumGetNumeric(DirectFunctionCall2(numeric_mul, NumericGetDatum(quantity), NumericGetDatum(price)));
		measure_line(&line, quantity);
	}
	price_line(lines, &line, price);
}

/* The lines of JSON text; faults are told, what the type itself refuses is its error. */
static LineItems *
read_lines(Lines *lines, text *json)
{
	Jsonb	   *jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(json))));
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbValue	value;

	if (JB_ROOT_IS_SCALAR(jsonb) || !JB_ROOT_IS_ARRAY(jsonb))
	{
		lines->fault = "its lines are no list";
		return NULL;
	}
	ico_items_begin(&lines->builder);
	(void) JsonbIteratorNext(&it, &value, false);
	while (lines->fault == NULL && JsonbIteratorNext(&it, &value, true) == WJB_ELEM)
	{
		CHECK_FOR_INTERRUPTS();
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			lines->fault = "a line is no object";
		else
			add_line(lines, value.val.binary.data);
	}
	return lines->fault == NULL ? ico_items_finish(&lines->builder) : NULL;
}

/* --- facts --------------------------------------------------------------------- */

static bool
read_currency(const IcoAttachment *attachment, text *given, char *code)
{
	const char *s = given == NULL ? attachment->shop.currency : VARDATA_ANY(given);
	int			len = given == NULL ? 3 : VARSIZE_ANY_EXHDR(given);

	while (len > 0 && s[len - 1] == ' ')
		len--;					/* character(n) */
	if (len == 0)
		return read_currency(attachment, NULL, code);
	if (len != 3)
		return false;
	for (int i = 0; i < 3; i++)
	{
		code[i] = pg_toupper((unsigned char) s[i]);
		if (code[i] < 'A' || code[i] > 'Z')
			return false;
	}
	code[3] = '\0';
	return true;
}

static void
give_text(IcoFacts *facts, IcoFact fact, text *given)
{
	JsonbValue	value;

	if (given == NULL)
		return;
	value.type = jbvString;
	value.val.string.val = VARDATA_ANY(given);
	value.val.string.len = VARSIZE_ANY_EXHDR(given);
	ico_read_told_fact(facts, fact, &value);
}

static void
push(JsonbParseState **state, const char *key, const char *s, int len)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	value.val.string.val = unconstify(char *, s);
	value.val.string.len = len;
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* What a column of consent says: a truth, or our own words. */
static const char *
consent_word(const text *given)
{
	char	   *s = text_to_cstring(given);
	bool		truth;

	if (strcmp(s, "granted") == 0 || strcmp(s, "withdrawn") == 0)
		return s;
	return parse_bool(s, &truth) ? (truth ? "granted" : "withdrawn") : NULL;
}

static void
give_context(IcoFacts *facts, const IcoCart *cart)
{
	text	   *locale = cart->texts[ICO_C_LOCALE];
	text	   *zone = cart->texts[ICO_C_TIME_ZONE];
	const char *consent = cart->texts[ICO_C_CONSENT] == NULL ? NULL : consent_word(cart->texts[ICO_C_CONSENT]);
	JsonbParseState *state = NULL;
	JsonbValue	value;

	if (locale == NULL && zone == NULL && consent == NULL)
		return;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (locale != NULL)
		push(&state, "locale", VARDATA_ANY(locale), VARSIZE_ANY_EXHDR(locale));
	if (zone != NULL)
		push(&state, "time_zone", VARDATA_ANY(zone), VARSIZE_ANY_EXHDR(zone));
	if (consent != NULL)
	{
		JsonbValue	key;

		key.type = jbvString;
		key.val.string.val = "consent";
		key.val.string.len = strlen("consent");
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		push(&state, "status", consent, strlen(consent));
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	value = *pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	ico_read_told_fact(facts, ICO_F_CONTEXT, &value);
}

static void
give_value(IcoFacts *facts, IcoFact fact, Datum value)
{
	facts->given |= ICO_FACT_BIT(fact);
	facts->values[fact] = value;
	facts->nulls[fact] = false;
}

/* A key that can be stored, or NULL. */
static text *
usable_key(text *given)
{
	if (given == NULL || VARSIZE_ANY_EXHDR(given) == 0 || VARSIZE_ANY_EXHDR(given) > KEY_BYTES)
		return NULL;
	for (int i = 0; i < VARSIZE_ANY_EXHDR(given); i++)
	{
		if ((unsigned char) VARDATA_ANY(given)[i] < ' ')
			return NULL;
	}
	return given;
}

static void
read_total(const text *given, int decimals, IcoCartValues *values)
{
	JsonbValue	value;
	Numeric		number;

	if (given == NULL)
		return;
	value.type = jbvString;
	value.val.string.val = VARDATA_ANY(given);
	value.val.string.len = VARSIZE_ANY_EXHDR(given);
	values->has_total = number_of(&value, &number) && scale_amount(number, decimals, &values->total) &&
		values->total >= 0 && values->total < ICO_ITEM_PRICE_LIMIT;
}

void
ico_cart_values(const IcoAttachment *attachment, const IcoCart *cart, IcoCartValues *values)
{
	Lines		lines = {.decimals = attachment->decimals};
	IcoFacts   *facts = &values->facts;
	char		code[4];

	memset(values, 0, sizeof(*values));
	if (!read_currency(attachment, cart->texts[ICO_C_CURRENCY], code))
	{
		values->fault = "its currency is no code of three letters";
		return;
	}
	if (lines.decimals < 0)
		lines.decimals = ico_currency_exponent(code);
	if (cart->texts[ICO_C_ITEMS] == NULL)
		values->items = ico_items_from_json("[]", 2);
	else
		values->items = read_lines(&lines, cart->texts[ICO_C_ITEMS]);
	values->fault = lines.fault;
	read_total(cart->texts[ICO_C_TOTAL], lines.decimals, values);
	values->session = usable_key(cart->texts[ICO_C_SESSION]);
	values->order_ref = cart->texts[ICO_C_ORDER_REF];
	if (values->order_ref != NULL && (VARSIZE_ANY_EXHDR(values->order_ref) == 0 || VARSIZE_ANY_EXHDR(values->order_ref) > REFERENCE_BYTES))
		values->order_ref = NULL;
	give_text(facts, ICO_F_EMAIL, cart->texts[ICO_C_EMAIL]);
	if (cart->texts[ICO_C_EMAIL] != NULL && !(facts->given & ICO_FACT_BIT(ICO_F_EMAIL)))
	{
		/* it is no address, and so nobody's: the former one is not theirs any more */
		facts->given |= ICO_FACT_BIT(ICO_F_EMAIL);
		facts->nulls[ICO_F_EMAIL] = true;
	}
	give_text(facts, ICO_F_PHONE, cart->texts[ICO_C_PHONE]);
	give_text(facts, ICO_F_CUSTOMER_ID, cart->texts[ICO_C_CUSTOMER]);
	give_text(facts, ICO_F_NAME, cart->texts[ICO_C_NAME]);
	give_context(facts, cart);
	give_value(facts, ICO_F_CURRENCY, CStringGetTextDatum(code));
	give_value(facts, ICO_F_DISCOUNT, NumericGetDatum(ico_amount_numeric(lines.discount, 0)));
}

/* --- two carts ---------------------------------------------------------------- */

typedef struct Piece
{
	IcoLine		line;
	int64		quantity;
} Piece;

static int
compare_bytes(const char *a, int a_len, const char *b, int b_len)
{
	int			order;

	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	order = memcmp(a, b, Min(a_len, b_len));
	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_pieces(const void *a, const void *b)
{
	const IcoLine *x = &((const Piece *) a)->line;
	const IcoLine *y = &((const Piece *) b)->line;
	int			order = compare_bytes(x->sku, x->sku_len, y->sku, y->sku_len);

	if (order == 0)
		order = compare_bytes(x->product_id, x->product_id_len, y->product_id, y->product_id_len);
	return order != 0 ? order : compare_bytes(x->variant, x->variant_len, y->variant, y->variant_len);
}

/* What is in a cart, whatever it costs: sorted, each once. */
static Piece *
pieces_of(const LineItems *items, int *n)
{
	Piece	   *pieces = palloc((ico_items_lines(items) + 1) * sizeof(Piece));
	IcoLineReader reader;
	int			all = 0;

	ico_line_reader_init(&reader, items);
	while (ico_line_next(&reader, &pieces[all].line))
	{
		CHECK_FOR_INTERRUPTS();
		pieces[all].quantity = pieces[all].line.quantity;
		all++;
	}
	qsort(pieces, all, sizeof(Piece), compare_pieces);
	*n = 0;
	for (int i = 0; i < all; i++)
	{
		if (*n > 0 && compare_pieces(&pieces[*n - 1], &pieces[i]) == 0)
			pieces[*n - 1].quantity += pieces[i].quantity;
		else
			pieces[(*n)++] = pieces[i];
	}
	return pieces;
}

bool
ico_same_lines(const LineItems *a, const LineItems *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

bool
ico_same_content(const LineItems *a, const LineItems *b)
{
	int			n_a;
	int			n_b;
	Piece	   *x;
	Piece	   *y;

	if (ico_same_lines(a, b))
		return true;
	x = pieces_of(a, &n_a);
	y = pieces_of(b, &n_b);
	if (n_a != n_b)
		return false;
	for (int i = 0; i < n_a; i++)
	{
		if (compare_pieces(&x[i], &y[i]) != 0 || x[i].quantity != y[i].quantity)
			return false;
	}
	return true;
}

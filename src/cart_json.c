/*
 * cart_json.c
 *		Lines of a cart as jsonb, as messages and restored carts show them.
 *
 * Amounts are texts with the decimals of their currency, because a double would
 * round them.  Keys are put in the order in which jsonb keeps them, shorter ones
 * first: it sorts them in any case, and what is sorted already costs it little.
 *
 * Memory: the caller's context.  No locks.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

#include "cart_json.h"
#include "money.h"

void
ico_put_bytes(JsonbParseState **state, const char *key, const char *s, int len)
{
	JsonbValue	v = {.type = jbvString};

	v.val.string.val = unconstify(char *, key);
	v.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &v);
	if (s == NULL)
		v.type = jbvNull;
	else
	{
		v.val.string.val = unconstify(char *, s);
		v.val.string.len = len;
	}
	pushJsonbValue(state, WJB_VALUE, &v);
}

void
ico_put_string(JsonbParseState **state, const char *key, const char *s)
{
	ico_put_bytes(state, key, s, s == NULL ? 0 : strlen(s));
}

void
ico_put_text(JsonbParseState **state, const char *key, const text *value)
{
	if (value == NULL)
		ico_put_bytes(state, key, NULL, 0);
	else
		ico_put_bytes(state, key, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

void
ico_put_int(JsonbParseState **state, const char *key, int64 value)
{
	JsonbValue	v = {.type = jbvString};

	v.val.string.val = unconstify(char *, key);
	v.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &v);
	v.type = jbvNumeric;
	v.val.numeric = int64_to_numeric(value);
	pushJsonbValue(state, WJB_VALUE, &v);
}

/* With the currency's decimals, or more where the amount has them. */
void
ico_put_money(JsonbParseState **state, const char *key, int64 scaled, int decimals)
{
	char	   *buffer = palloc(ICO_MONEY_BUFFER + ICO_MONEY_DECIMALS);
	int			len = ico_format_money(scaled, buffer);
	const char *point = memchr(buffer, '.', len);
	int			has = point == NULL ? 0 : len - (point - buffer) - 1;

	if (has == 0 && decimals > 0)
		buffer[len++] = '.';
	for (; has < decimals; has++)
		buffer[len++] = '0';
	ico_put_bytes(state, key, buffer, len);
}

void
ico_put_line(JsonbParseState **state, const IcoLine *line, const IcoLineChange *change, int number, int decimals)
{
	int32		quantity = line->quantity - line->filled;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	if (number > 0)
		ico_put_int(state, "line", number);
	ico_put_bytes(state, "sku", line->sku, line->sku_len);
	ico_put_bytes(state, "url", line->url, line->url_len);
	ico_put_bytes(state, "name", line->name, line->name_len);
	ico_put_bytes(state, "variant", line->variant, line->variant_len);
	ico_put_int(state, "quantity", quantity);
	ico_put_bytes(state, "image_url", line->image_url, line->image_url_len);
	ico_put_money(state, "line_total", line->unit_price * quantity, decimals);
	ico_put_money(state, "unit_price", line->unit_price, decimals);
	if (change != NULL && change->gone > 0)
		ico_put_int(state, "quantity_was", quantity + change->gone);
	if (change != NULL && change->repriced)
		ico_put_money(state, "unit_price_was", change->old_price, decimals);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

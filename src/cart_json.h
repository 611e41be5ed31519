/*
 * cart_json.h
 *		Lines of a cart as jsonb, as messages and restored carts show them.
 */
#ifndef ICO_CART_JSON_H
#define ICO_CART_JSON_H

#include "utils/jsonb.h"

#include "line_items.h"
#include "stock.h"

/* a key and its value; NULL: null */
extern void ico_put_bytes(JsonbParseState **state, const char *key, const char *s, int len);
extern void ico_put_string(JsonbParseState **state, const char *key, const char *s);
extern void ico_put_text(JsonbParseState **state, const char *key, const text *value);
extern void ico_put_int(JsonbParseState **state, const char *key, int64 value);
/* with the currency's decimals, or more where the amount has them */
extern void ico_put_money(JsonbParseState **state, const char *key, int64 scaled, int decimals);

/*
 * What is left of a line, and, unless change is NULL, as it was.  number: of the line
 * among those that are left, when the reader sees another one; else 0.
 */
extern void ico_put_line(JsonbParseState **state, const IcoLine *line, const IcoLineChange *change, int number, int decimals);

#endif							/* ICO_CART_JSON_H */

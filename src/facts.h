/*
 * facts.h
 *		What a capture may say of an order beside its lines, made fit to store.
 */
#ifndef ICO_FACTS_H
#define ICO_FACTS_H

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "line_items.h"

/* in the order of capture_cart's arguments, from email on; bot is derived */
typedef enum IcoFact
{
	ICO_F_EMAIL, ICO_F_PHONE, ICO_F_CUSTOMER_ID, ICO_F_NAME, ICO_F_CURRENCY, ICO_F_STEP, ICO_F_KIND,
	ICO_F_SHIPPING, ICO_F_TAX, ICO_F_DISCOUNT, ICO_F_COUPON_CODE, ICO_F_COUPON_DISCOUNT,
	ICO_F_ADDRESS, ICO_F_CONTEXT, ICO_F_BOT
} IcoFact;
#define ICO_FACTS 15
#define ICO_FACT_BIT(fact) (1 << (fact))

typedef struct IcoFacts
{
	int			given;			/* bits: this fact was given; null then clears it */
	Datum		values[ICO_FACTS];
	bool		nulls[ICO_FACTS];
} IcoFacts;

/*
 * Reads facts from a function's arguments, first..first+13.  A fact that cannot
 * be stored is cut or left out and named in a NOTICE, without its value; only a
 * malformed currency is an error (22023).
 */
extern void ico_read_facts(FunctionCallInfo fcinfo, int first, IcoFacts *facts);

/*
 * Reads one fact of that name from JSON, like an argument of capture_cart: null
 * leaves it.  False when no fact has that name.  facts->given is the caller's to
 * begin with.
 */
extern bool ico_read_json_fact(IcoFacts *facts, const char *name, JsonbValue *value);

/* the same of a fact that a table tells, without a NOTICE */
extern void ico_read_told_fact(IcoFacts *facts, IcoFact fact, JsonbValue *value);

/*
 * Reads the changes of edit_order: an object of the same facts by name, and
 * items.  Null and '' clear.  Whatever cannot be stored as given is an error
 * (22023) naming the key.  Returns the items, or NULL when they are not given.
 */
extern LineItems *ico_read_edit(Jsonb *changes, IcoFacts *facts);

/* an identifier that must be right: 22023 when null, empty, too long or with control characters */
extern text *ico_require_key(FunctionCallInfo fcinfo, int argument, const char *name);
extern text *ico_check_key(text *given, const char *name);
/* an optional one: null when absent or empty; too long or control characters: 22023 */
extern text *ico_optional_key(FunctionCallInfo fcinfo, int argument, const char *name);
/* the place of a word in a list; 22023 naming the argument when it is not there */
extern int	ico_word_argument(FunctionCallInfo fcinfo, int argument, const char *name, const char *const *words, int n,
							  const char *all);
extern pg_uuid_t *ico_require_id(FunctionCallInfo fcinfo, int argument, const char *name);
/* what is wrong with an address, or NULL */
extern const char *ico_email_fault(const char *s, int len);
extern text *ico_currency_code(text *given);

#endif							/* ICO_FACTS_H */

/*
 * facts.c
 *		What a capture may say of an order beside its lines, made fit to store.
 *
 * A cart is never lost because of a fact beside it: what cannot be stored is cut
 * or left out, and a NOTICE names it, never its value (it may be personal).
 * Results are palloc'd in the current context; no locks.
 */
#include "postgres.h"

#include <ctype.h>
#include <sys/socket.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/inet.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "compat.h"
#include "facts.h"
#include "money.h"
#include "plan.h"

#define KEY_BYTES 255
#define EMAIL_BYTES 254			/* RFC 5321 */
#define PHONE_BYTES 40
#define NAME_CHARS 200
#define CONTEXT_BYTES 16384

typedef enum Rule
{
	CUT,						/* text, cut to the limit of characters */
	ADDRESS_OF_HOST,			/* text that inet accepts */
	TIME_ZONE,					/* text that the server knows as a zone */
	TRUTH,						/* boolean */
	ANYTHING
} Rule;

typedef struct KeyRule
{
	const char *key;
	Rule		rule;
	int			limit;
} KeyRule;

static const KeyRule address_keys[] = {
	{"first_name", CUT, 100}, {"last_name", CUT, 100}, {"company", CUT, 200},
	{"address_line_1", CUT, 200}, {"address_line_2", CUT, 200}, {"city", CUT, 100},
	{"state", CUT, 100}, {"postal_code", CUT, 20}, {"country", CUT, 60},
	{"phone", CUT, PHONE_BYTES}, {"email", CUT, EMAIL_BYTES}, {"delivery_instructions", CUT, 2000},
};

static const KeyRule context_keys[] = {
	{"locale", CUT, 35}, {"time_zone", TIME_ZONE, 64}, {"consent", ANYTHING, 0},
	{"device", CUT, 40}, {"source", CUT, 100}, {"user_agent", CUT, 512},
	{"ip", ADDRESS_OF_HOST, 64}, {"referrer", CUT, 2048}, {"notes", CUT, 2000},
	{"bot", TRUTH, 0}, {"engagement", ANYTHING, 0},
};

/* set while an edit is read: its author can mend what a customer's page cannot */
static bool strict = false;
/* set while a table is read: nobody listens who could mend it */
static bool quiet = false;

static void
notice(const char *what, const char *fact, const char *why)
{
	if (strict)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fact \"%s\" cannot be stored", fact),
				 errdetail("%s", why)));
	if (quiet)
		return;
	ereport(NOTICE,
			(errmsg("fact \"%s\" was %s", fact, what),
			 errdetail("%s", why)));
}

static bool
has_control(const char *s, int len)
{
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) s[i] < ' ' || s[i] == 0x7f)
			return true;
	}
	return false;
}

static text *
trimmed(text *given)
{
	char	   *s = VARDATA_ANY(given);
	int			len = VARSIZE_ANY_EXHDR(given);

	while (len > 0 && isspace((unsigned char) s[len - 1]))
		len--;
	while (len > 0 && isspace((unsigned char) *s))
		s++, len--;
	return cstring_to_text_with_len(s, len);
}

/* Nothing that could end an SMTP command or a header; one @ with both sides. */
const char *
ico_email_fault(const char *s, int len)
{
	const char *at = memchr(s, '@', len);

	if (len > EMAIL_BYTES)
		return "An address has at most 254 bytes.";
	if (has_control(s, len) || memchr(s, '<', len) || memchr(s, '>', len) || memchr(s, ' ', len))
		return "An address has no control characters, blanks or angle brackets.";
	if (at == NULL || at == s || at == s + len - 1 || memchr(at + 1, '@', len - (at + 1 - s)))
		return "An address has one @ with something on both sides.";
	return NULL;
}

static const char *
short_text_fault(const char *s, int len, int limit)
{
	if (len > limit)
		return "It is too long.";
	if (has_control(s, len))
		return "It has control characters.";
	return NULL;
}

static const char *
text_fault(IcoFact fact, const char *s, int len)
{
	switch (fact)
	{
		case ICO_F_EMAIL:
			return ico_email_fault(s, len);
		case ICO_F_PHONE:
			return short_text_fault(s, len, PHONE_BYTES);
		default:
			return short_text_fault(s, len, KEY_BYTES);
	}
}

static void
set_fact(IcoFacts *facts, IcoFact fact, Datum value)
{
	facts->given |= ICO_FACT_BIT(fact);
	facts->values[fact] = value;
	facts->nulls[fact] = false;
}

static void
clear_fact(IcoFacts *facts, IcoFact fact)
{
	facts->given |= ICO_FACT_BIT(fact);
	facts->nulls[fact] = true;
}

static void
read_text(IcoFacts *facts, IcoFact fact, const char *name, text *given)
{
	text	   *value = trimmed(given);
	int			len = VARSIZE_ANY_EXHDR(value);
	const char *fault;

	if (len == 0)
	{
		clear_fact(facts, fact);
		return;
	}
	if (fact == ICO_F_NAME)
	{
		int			kept = pg_mbcharcliplen(VARDATA_ANY(value), len, NAME_CHARS);

		if (kept < len)
		{
			notice("cut", name, "It is longer than 200 characters.");
			value = cstring_to_text_with_len(VARDATA_ANY(value), kept);
		}
		for (char *s = VARDATA_ANY(value); s < VARDATA_ANY(value) + kept; s++)
		{
			if ((unsigned char) *s < ' ' || *s == 0x7f)
				*s = ' ';
		}
	}
	else if ((fault = text_fault(fact, VARDATA_ANY(value), len)) != NULL)
	{
		notice("left out", name, fault);
		return;
	}
	set_fact(facts, fact, PointerGetDatum(value));
}

static void
read_charge(IcoFacts *facts, IcoFact fact, const char *name, Datum given)
{
	int64		scaled;

	if (!ico_money_from_numeric(DatumGetNumeric(given), &scaled) || scaled < 0)
	{
		notice("left out", name, "An amount is at least 0, below 10^12, and has at most 6 decimals.");
		return;
	}
	set_fact(facts, fact, given);
}

static const KeyRule *
find_rule(const KeyRule *rules, int n, const JsonbValue *key)
{
	for (int i = 0; i < n; i++)
	{
		if (strlen(rules[i].key) == key->val.string.len &&
			memcmp(rules[i].key, key->val.string.val, key->val.string.len) == 0)
			return &rules[i];
	}
	return NULL;
}

/* Turns a number or truth value into its text; false for anything nested. */
static bool
scalar_text(JsonbValue *value)
{
	char	   *s;

	if (value->type == jbvString)
		return true;
	if (value->type == jbvNumeric)
		s = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	else if (value->type == jbvBool)
		s = value->val.boolean ? "true" : "false";
	else
		return false;
	value->type = jbvString;
	value->val.string.val = s;
	value->val.string.len = strlen(s);
	return true;
}

static bool
is_inet(const char *s)
{
	unsigned char bits[16];

	return pg_inet_net_pton(PGSQL_AF_INET, s, bits, -1) >= 0 ||
		pg_inet_net_pton(PGSQL_AF_INET6, s, bits, -1) >= 0;
}

static const char *
special_fault(const KeyRule *rule, JsonbValue *value)
{
	char	   *s = pnstrdup(value->val.string.val, value->val.string.len);

	if (rule->rule == ADDRESS_OF_HOST && !is_inet(s))
		return "It is not an IP address.";
	if (rule->rule == TIME_ZONE && pg_tzset(s) == NULL)
		return "It is not a time zone that the server knows.";
	return NULL;
}

/* Applies a rule in place; false: leave the key out (a NOTICE was given). */
static bool
fit_value(const KeyRule *rule, JsonbValue *value)
{
	const char *fault;
	int			kept;

	if (rule->rule == ANYTHING || value->type == jbvNull)
		return true;
	if (rule->rule == TRUTH)
	{
		bool		truth;

		if (value->type == jbvString && parse_bool_with_len(value->val.string.val, value->val.string.len, &truth))
		{
			value->type = jbvBool;
			value->val.boolean = truth;
		}
		if (value->type == jbvBool)
			return true;
		notice("left out", rule->key, "It is neither true nor false.");
		return false;
	}
	if (!scalar_text(value))
	{
		notice("left out", rule->key, "It is not a text.");
		return false;
	}
	kept = pg_mbcharcliplen(value->val.string.val, value->val.string.len, rule->limit);
	if (kept < value->val.string.len)
		notice("cut", rule->key, "It is too long.");
	value->val.string.len = kept;
	if ((fault = special_fault(rule, value)) != NULL)
	{
		notice("left out", rule->key, fault);
		return false;
	}
	if (kept == 0)
		value->type = jbvNull;	/* '' clears */
	return true;
}

/* Keeps what fits of an object; a null in the result clears a stored key. */
static Jsonb *
fit_object(Jsonb *given, const KeyRule *rules, int n, bool keep_others)
{
	JsonbIterator *it = JsonbIteratorInit(&given->root);
	JsonbParseState *state = NULL;
	JsonbValue	key;
	JsonbValue	value;
	JsonbIteratorToken token;

	(void) JsonbIteratorNext(&it, &value, false);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &key, true)) == WJB_KEY)
	{
		const KeyRule *rule = find_rule(rules, n, &key);

		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);
		if (rule == NULL && !keep_others)
		{
			notice("left out", "address", "It has a key that an address does not have.");
			continue;
		}
		if (rule != NULL && !fit_value(rule, &value))
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
read_bot(IcoFacts *facts, Jsonb *context)
{
	JsonbValue	buffer;
	JsonbValue *found = getKeyJsonValueFromContainer(&context->root, "bot", 3, &buffer);

	if (found != NULL && found->type == jbvBool)
		set_fact(facts, ICO_F_BOT, BoolGetDatum(found->val.boolean));
	else if (found != NULL)
		set_fact(facts, ICO_F_BOT, BoolGetDatum(false));
}

static void
read_object(IcoFacts *facts, IcoFact fact, const char *name, Jsonb *given)
{
	Jsonb	   *kept;

	if (JB_ROOT_IS_SCALAR(given) || !JB_ROOT_IS_OBJECT(given))
	{
		notice("left out", name, "It is not an object.");
		return;
	}
	if (VARSIZE_ANY(given) > CONTEXT_BYTES)
	{
		notice("left out", name, "It is larger than 16 KiB.");
		return;
	}
	if (fact == ICO_F_ADDRESS)
		kept = fit_object(given, address_keys, lengthof(address_keys), false);
	else
		kept = fit_object(given, context_keys, lengthof(context_keys), true);
	if (JB_ROOT_COUNT(kept) == 0)
		return;
	set_fact(facts, fact, PointerGetDatum(kept));
	if (fact == ICO_F_CONTEXT)
		read_bot(facts, kept);
}

text *
ico_currency_code(text *given)
{
	char	   *s = VARDATA_ANY(given);
	int			len = VARSIZE_ANY_EXHDR(given);
	char		code[3];

	for (int i = 0; i < len && i < 3; i++)
		code[i] = pg_toupper((unsigned char) s[i]);
	if (len != 3 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' || code[2] < 'A' || code[2] > 'Z')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"currency\" is not a currency code"),
				 errdetail("A currency is three letters, such as USD (ISO 4217).")));
	return cstring_to_text_with_len(code, 3);
}

static const char *const names[] = {
	"email", "phone", "customer_id", "name", "currency", "step", "kind",
	"shipping", "tax", "discount", "coupon_code", "coupon_discount", "address", "context"
};

void
ico_read_facts(FunctionCallInfo fcinfo, int first, IcoFacts *facts)
{
	strict = quiet = false;
	facts->given = 0;
	for (int fact = ICO_F_EMAIL; fact <= ICO_F_CONTEXT; fact++)
	{
		int			n = first + fact;

		if (PG_ARGISNULL(n))
			continue;
		switch (fact)
		{
			case ICO_F_CURRENCY:
				set_fact(facts, fact, PointerGetDatum(ico_currency_code(PG_GETARG_TEXT_PP(n))));
				break;
			case ICO_F_STEP:
			case ICO_F_KIND:
				set_fact(facts, fact, PG_GETARG_DATUM(n));
				break;
			case ICO_F_SHIPPING:
			case ICO_F_TAX:
			case ICO_F_DISCOUNT:
			case ICO_F_COUPON_DISCOUNT:
				read_charge(facts, fact, names[fact], PG_GETARG_DATUM(n));
				break;
			case ICO_F_ADDRESS:
			case ICO_F_CONTEXT:
				read_object(facts, fact, names[fact], PG_GETARG_JSONB_P(n));
				break;
			default:
				read_text(facts, fact, names[fact], PG_GETARG_TEXT_PP(n));
		}
	}
}

/* Digits with at most one point between or beside them, and a sign. */
static bool
is_plain_number(const char *s)
{
	int			digits = 0;
	int			points = 0;

	if (*s == '-' || *s == '+')
		s++;
	for (; *s != '\0'; s++)
	{
		if (*s == '.')
			points++;
		else if (*s >= '0' && *s <= '9')
			digits++;
		else
			return false;
	}
	return digits > 0 && digits < 64 && points <= 1;
}

static void
read_json_charge(IcoFacts *facts, IcoFact fact, JsonbValue *value)
{
	char	   *s = "0";

	if (value->type != jbvNull)
	{
		bool		scalar = value->type != jbvBool && scalar_text(value);

		if (scalar)
			s = pnstrdup(value->val.string.val, value->val.string.len);
		if (!scalar || !is_plain_number(s))
		{
			notice("left out", names[fact], "It is not an amount.");
			return;
		}
	}
	read_charge(facts, fact, names[fact],
				DirectFunctionCall3(numeric_in, CStringGetDatum(s), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/* A checkout_step or an order_kind. */
static void
read_json_label(IcoFacts *facts, IcoFact fact, JsonbValue *value)
{
	const char *const *labels = fact == ICO_F_STEP ? ico_step_names : ico_kind_names;
	int			n = fact == ICO_F_STEP ? ICO_STEPS : ICO_KINDS;

	if (strict)
		notice("left out", names[fact], "It is the customer's doing and cannot be edited.");
	for (int i = 0; value->type == jbvString && i < n; i++)
	{
		if (strlen(labels[i]) != value->val.string.len || memcmp(labels[i], value->val.string.val, strlen(labels[i])) != 0)
			continue;
		set_fact(facts, fact, fact == ICO_F_STEP ? ico_step_datum((IcoStep) i) : ico_kind_datum((IcoKind) i));
		return;
	}
	notice("left out", names[fact], "There is no such word for it.");
}

static void
read_json_fact(IcoFacts *facts, IcoFact fact, JsonbValue *value)
{
	switch (fact)
	{
		case ICO_F_STEP:
		case ICO_F_KIND:
			read_json_label(facts, fact, value);
			break;
		case ICO_F_SHIPPING:
		case ICO_F_TAX:
		case ICO_F_DISCOUNT:
		case ICO_F_COUPON_DISCOUNT:
			read_json_charge(facts, fact, value);
			break;
		case ICO_F_ADDRESS:
		case ICO_F_CONTEXT:
			if (value->type == jbvNull)
				clear_fact(facts, fact);
			else
				read_object(facts, fact, names[fact], JsonbValueToJsonb(value));
			break;
		default:
			if (value->type == jbvNull)
				value->type = jbvString, value->val.string.len = 0, value->val.string.val = "";
			if (!scalar_text(value))
				notice("left out", names[fact], "It is not a text.");
			else if (fact == ICO_F_CURRENCY)
				set_fact(facts, fact, PointerGetDatum(ico_currency_code(cstring_to_text_with_len(value->val.string.val,
																								 value->val.string.len))));
			else
				read_text(facts, fact, names[fact], cstring_to_text_with_len(value->val.string.val,
																			  value->val.string.len));
	}
}

/* The fact of that name, or ICO_FACTS. */
static int
fact_by_name(const char *name)
{
	int			fact = 0;

	while (fact < lengthof(names) && strcmp(names[fact], name) != 0)
		fact++;
	return fact < lengthof(names) ? fact : ICO_FACTS;
}

bool
ico_read_json_fact(IcoFacts *facts, const char *name, JsonbValue *value)
{
	int			fact = fact_by_name(name);

	strict = quiet = false;
	if (fact == ICO_FACTS)
		return false;
	if (value->type != jbvNull)
		read_json_fact(facts, (IcoFact) fact, value);
	return true;
}

void
ico_read_told_fact(IcoFacts *facts, IcoFact fact, JsonbValue *value)
{
	strict = false;
	quiet = true;
	read_json_fact(facts, fact, value);
	quiet = false;
}

LineItems *
ico_read_edit(Jsonb *changes, IcoFacts *facts)
{
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;
	LineItems  *items = NULL;

	strict = true;
	quiet = false;
	facts->given = 0;
	if (JB_ROOT_IS_SCALAR(changes) || !JB_ROOT_IS_OBJECT(changes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"changes\" must be an object"),
				 errhint("For example {\"email\": \"a@example.com\", \"shipping\": \"4.90\"}.")));
	it = JsonbIteratorInit(&changes->root);
	(void) JsonbIteratorNext(&it, &value, false);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		char	   *name = pnstrdup(key.val.string.val, key.val.string.len);
		int			fact = fact_by_name(name);

		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);
		if (fact != ICO_FACTS)
			read_json_fact(facts, (IcoFact) fact, &value);
		else if (strcmp(name, "items") == 0)
		{
			char	   *json = JsonbToCString(NULL, &JsonbValueToJsonb(&value)->root, -1);

			items = ico_items_from_json(json, strlen(json));
		}
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" cannot be edited", name),
					 errhint("What can: items, email, phone, customer_id, name, currency, shipping, tax, discount, coupon_code, coupon_discount, address, context.")));
	}
	return items;
}

static text *
checked_key(text *given, const char *name)
{
	const char *fault = short_text_fault(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), KEY_BYTES);

	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" cannot be used", name),
				 errdetail("%s", fault),
				 errhint("It has 1 to 255 bytes and no control characters.")));
	return given;
}

text *
ico_optional_key(FunctionCallInfo fcinfo, int argument, const char *name)
{
	text	   *given;

	if (PG_ARGISNULL(argument))
		return NULL;
	given = PG_GETARG_TEXT_PP(argument);
	return VARSIZE_ANY_EXHDR(given) == 0 ? NULL : checked_key(given, name);
}

text *
ico_require_key(FunctionCallInfo fcinfo, int argument, const char *name)
{
	return ico_check_key(PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument), name);
}

text *
ico_check_key(text *given, const char *name)
{
	if (given == NULL || VARSIZE_ANY_EXHDR(given) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be null or empty", name),
				 errhint("It has 1 to 255 bytes and no control characters.")));
	return checked_key(given, name);
}

pg_uuid_t *
ico_require_id(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be null", name)));
	return PG_GETARG_UUID_P(argument);
}

int
ico_word_argument(FunctionCallInfo fcinfo, int argument, const char *name, const char *const *words, int n, const char *all)
{
	char	   *given = PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));

	for (int i = 0; given != NULL && i < n; i++)
	{
		if (strcmp(given, words[i]) == 0)
			return i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" is not one of its words", name),
			 errdetail("There are %s.", all)));
	return 0;
}

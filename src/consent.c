/*
 * consent.c
 *		What a person agreed to: record_consent, and what is in force.
 *
 * A consent is a row of consents, under the keyed hash of the address and of the
 * customer (secret.c), never under the address itself.  Rows are only added; the
 * newest of a person and purpose is in force.  What a shop says in the context of
 * a capture (consent{status, at}) stays with that order and counts for it alone:
 * a capture writes no row here, because that would cost every capture an index
 * look-up, and because a box that is ticked in one cart is no answer for the next.
 * Of the two the newer one decides; one in a context without an instant is older
 * than any row.
 *
 * Locks: none but those of the rows written.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "facts.h"
#include "plan.h"
#include "secret.h"
#include "suppress.h"
#include "tenant.h"

#define PURPOSE_BYTES 63
#define WORDS_BYTES 255

PG_FUNCTION_INFO_V1(ico_record_consent);
PG_FUNCTION_INFO_V1(ico_has_consent);

static const char *const statuses[] = {"granted", "withdrawn"};

/* --- record_consent -------------------------------------------------------- */

typedef struct Consent
{
	IcoShop		shop;
	text	   *email;			/* or NULL */
	text	   *customer_id;	/* or NULL */
	bool		granted;
	text	   *purpose;
	text	   *text_version;	/* or NULL */
	text	   *source;			/* or NULL */
	TimestampTz at;
} Consent;

/* null when absent or empty */
static text *
words(FunctionCallInfo fcinfo, int argument, const char *name, int most)
{
	text	   *given = PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);

	if (given == NULL || VARSIZE_ANY_EXHDR(given) == 0)
		return NULL;
	if (VARSIZE_ANY_EXHDR(given) > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is longer than %d bytes", name, most)));
	return given;
}

static void
read_arguments(FunctionCallInfo fcinfo, Consent *consent)
{
	const char *fault = NULL;

	consent->email = PG_ARGISNULL(0) ? NULL : ico_normal_email(PG_GETARG_TEXT_PP(0));
	if (consent->email != NULL)
		fault = ico_email_fault(VARDATA_ANY(consent->email), VARSIZE_ANY_EXHDR(consent->email));
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"email\" is not an e-mail address"),
				 errdetail("%s", fault)));
	consent->granted = ico_word_argument(fcinfo, 1, "status", statuses, lengthof(statuses), "granted and withdrawn") == 0;
	consent->purpose = words(fcinfo, 2, "purpose", PURPOSE_BYTES);
	if (consent->purpose == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"purpose\" must not be null or empty"),
				 errdetail("Consent to recovery messages has the purpose recovery.")));
	consent->text_version = words(fcinfo, 3, "text_version", WORDS_BYTES);
	consent->source = words(fcinfo, 4, "source", WORDS_BYTES);
	consent->customer_id = ico_optional_key(fcinfo, 5, "customer_id");
	if (consent->email == NULL && consent->customer_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("neither \"email\" nor \"customer_id\" was given"),
				 errhint("Name the e-mail, the customer, or both.")));
}

/*
 * One row.  Said again with the same instant it is the same consent: nothing is
 * added.  True when it is in force now and something else was before.
 */
static bool
add_consent(const Consent *consent, int64 person)
{
	static IcoPlan plan = {
		"iItbttz",
		"WITH l AS (SELECT c.status, c.at FROM incomplete_orders.consents c"
		"  WHERE c.shop_id" EQ "$1 AND c.person" EQ "$2 AND c.purpose" EQ "$3"
		"  ORDER BY c.at DESC, c.consent_id DESC LIMIT 1),"
		" n (status) AS (SELECT CASE WHEN $4 THEN 'granted' ELSE 'withdrawn' END),"
		" i AS (INSERT INTO incomplete_orders.consents (shop_id, person, purpose, status, text_version, source, at)"
		"  SELECT $1, $2, $3, n.status, $5, $6, $7 FROM n WHERE NOT EXISTS (SELECT 1 FROM incomplete_orders.consents c"
		"   WHERE c.shop_id" EQ "$1 AND c.person" EQ "$2 AND c.purpose" EQ "$3 AND c.at" EQ "$7 AND c.status" EQ "n.status)"
		"  RETURNING 1)"
		" SELECT EXISTS (SELECT 1 FROM i) AND NOT EXISTS (SELECT 1 FROM l, n WHERE l.at" GT "$7 OR l.status" EQ "n.status)"
	};
	IcoArgs		args = {0};
	bool		isnull;

	ico_arg(&args, Int32GetDatum(consent->shop.shop_id));
	ico_arg(&args, Int64GetDatum(person));
	ico_arg(&args, PointerGetDatum(consent->purpose));
	ico_arg(&args, BoolGetDatum(consent->granted));
	ico_arg_text(&args, consent->text_version);
	ico_arg_text(&args, consent->source);
	ico_arg(&args, TimestampTzGetDatum(consent->at));
	(void) ico_execute(&plan, args.values, args.nulls);
	return DatumGetBool(ico_column(0, 1, &isnull));
}

/* record_consent(email, status, purpose, text_version, source, customer_id, shop, at) -> boolean */
Datum
ico_record_consent(PG_FUNCTION_ARGS)
{
	Consent		consent;
	int64		keys[ICO_PERSON_KEYS];
	int			n;
	bool		fresh = false;

	read_arguments(fcinfo, &consent);
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_record_consent, PG_ARGISNULL(6) ? NULL : PG_GETARG_TEXT_PP(6), &consent.shop);
	consent.at = ico_enter_at(fcinfo, 7, &consent.shop);
	n = ico_person_keys(consent.shop.shop_id, consent.customer_id, consent.email, NULL, keys);
	for (int i = 0; i < n; i++)
		fresh |= add_consent(&consent, keys[i]);
	if (consent.granted && VARSIZE_ANY_EXHDR(consent.purpose) == strlen("recovery") &&
		memcmp(VARDATA_ANY(consent.purpose), "recovery", strlen("recovery")) == 0)
		(void) ico_opt_in(consent.shop.shop_id, keys, n, consent.email, consent.at);
	SPI_finish();
	PG_RETURN_BOOL(fresh);
}

/* --- what is in force ------------------------------------------------------ */

/* Reads n digits; -1 when one of them is none. */
static int
digits(const char **s, const char *end, int n)
{
	int			value = 0;

	for (int i = 0; i < n; i++, (*s)++)
	{
		if (*s >= end || **s < '0' || **s > '9')
			return -1;
		value = value * 10 + (**s - '0');
	}
	return value;
}

static bool
skip(const char **s, const char *end, const char *one_of)
{
	if (*s >= end || strchr(one_of, **s) == NULL)
		return false;
	(*s)++;
	return true;
}

/*
 * An instant as ISO 8601 writes it, 2026-01-31T10:00:00Z; without a zone it is
 * UTC, whatever the session's is.  Nothing here may fail: what is no instant is
 * older than any.
 */
static TimestampTz
read_instant(const char *s, int len)
{
	const char *end = s + len;
	struct pg_tm tm = {0};
	fsec_t		fsec = 0;
	int			zone = 0;
	int			sign;
	Timestamp	result;

	tm.tm_year = digits(&s, end, 4);
	if (!skip(&s, end, "-") || (tm.tm_mon = digits(&s, end, 2)) < 1 || tm.tm_mon > 12 || !skip(&s, end, "-") ||
		(tm.tm_mday = digits(&s, end, 2)) < 1 || tm.tm_year < 1 || tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1])
		return DT_NOBEGIN;
	if (skip(&s, end, "T ") && ((tm.tm_hour = digits(&s, end, 2)) < 0 || tm.tm_hour > 23 || !skip(&s, end, ":") ||
								(tm.tm_min = digits(&s, end, 2)) < 0 || tm.tm_min > 59))
		return DT_NOBEGIN;
	if (skip(&s, end, ":") && ((tm.tm_sec = digits(&s, end, 2)) < 0 || tm.tm_sec > 60))
		return DT_NOBEGIN;
	if (skip(&s, end, "."))
	{
		int			unit = USECS_PER_SEC;

		for (int digit; (digit = digits(&s, end, 1)) >= 0;)
			fsec += digit * (unit /= 10);
	}
	sign = s < end && *s == '-' ? 1 : -1;
	if (skip(&s, end, "+-"))
	{
		int			hours = digits(&s, end, 2);
		int			minutes = s < end ? (skip(&s, end, ":"), digits(&s, end, 2)) : 0;

		if (hours < 0 || minutes < 0)
			return DT_NOBEGIN;
		zone = sign * (hours * SECS_PER_HOUR + minutes * SECS_PER_MINUTE);
	}
	else
		(void) skip(&s, end, "Zz");
	if (s != end || tm2timestamp(&tm, fsec, &zone, &result) != 0)
		return DT_NOBEGIN;
	return result;
}

static JsonbValue *
key_of(JsonbContainer *object, const char *key, JsonbValue *buffer)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key), buffer);
}

typedef enum Said
{
	SAID_NOTHING, SAID_YES, SAID_NO
} Said;

/* consent{status, at} in the context of an order */
static Said
read_context(Jsonb *context, TimestampTz *at)
{
	JsonbValue	buffer[3];
	JsonbValue *consent;
	JsonbValue *status;
	JsonbValue *instant;
	Said		said = SAID_NOTHING;

	*at = DT_NOBEGIN;
	if (JB_ROOT_IS_SCALAR(context) || !JB_ROOT_IS_OBJECT(context))
		return SAID_NOTHING;
	consent = key_of(&context->root, "consent", &buffer[0]);
	if (consent == NULL || consent->type != jbvBinary || !JsonContainerIsObject(consent->val.binary.data))
		return SAID_NOTHING;
	status = key_of(consent->val.binary.data, "status", &buffer[1]);
	if (status == NULL || status->type != jbvString)
		return SAID_NOTHING;
	for (int i = 0; i < lengthof(statuses); i++)
	{
		if (status->val.string.len == strlen(statuses[i]) &&
			memcmp(status->val.string.val, statuses[i], status->val.string.len) == 0)
			said = i == 0 ? SAID_YES : SAID_NO;
	}
	instant = key_of(consent->val.binary.data, "at", &buffer[2]);
	if (instant != NULL && instant->type == jbvString)
		*at = read_instant(instant->val.string.val, instant->val.string.len);
	/* nobody has agreed in the future: it would outlive every withdrawal */
	if (said == SAID_YES && *at > GetCurrentTimestamp() + USECS_PER_DAY)
		*at = DT_NOBEGIN;
	return said;
}

/*
 * _has_consent(shop_id, keys, context) -> boolean: whether the newest of what that
 * person said, in consents or in the context of this order, is granted; null when
 * nothing was said.
 */
Datum
ico_has_consent(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"iL",
		"SELECT c.status" EQ "'granted', c.at FROM pg_catalog.unnest($2) k (person) CROSS JOIN LATERAL"
		" (SELECT q.status, q.at, q.consent_id FROM incomplete_orders.consents q WHERE q.shop_id" EQ "$1"
		"  AND q.person" EQ "k.person AND q.purpose" EQ "'recovery' ORDER BY q.at DESC, q.consent_id DESC LIMIT 1) c"
		" ORDER BY c.at DESC, c.consent_id DESC LIMIT 1"
	};
	Datum		values[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	TimestampTz in_context;
	Said		said = PG_ARGISNULL(2) ? SAID_NOTHING : read_context(PG_GETARG_JSONB_P(2), &in_context);
	bool		isnull;
	bool		found;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	SPI_connect();
	found = ico_execute_read(&plan, values, NULL, GetActiveSnapshot()) > 0;
	if (found && (said == SAID_NOTHING || DatumGetTimestampTz(ico_column(0, 2, &isnull)) >= in_context))
		said = DatumGetBool(ico_column(0, 1, &isnull)) ? SAID_YES : SAID_NO;
	SPI_finish();
	if (said == SAID_NOTHING)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(said == SAID_YES);
}

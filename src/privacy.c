/*
 * privacy.c
 *		A person who was forgotten and is told of again.
 *
 * forget_customer() (sql/functions/privacy.sql) leaves one thing behind: the keyed
 * hashes of the address and of the customer, as suppressions with the reason
 * erased, and of phones and further addresses in their orders, as such that keep
 * nobody from being mailed (scope data), because they may be shared.  By them a source that is older than the erasure is recognised here.
 *
 * Locks: none.  Memory: the current context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#include "plan.h"
#include "privacy.h"
#include "secret.h"

static text *
text_of(const IcoFacts *facts, IcoFact fact)
{
	if (!(facts->given & ICO_FACT_BIT(fact)) || facts->nulls[fact])
		return NULL;
	return DatumGetTextPP(facts->values[fact]);
}

static bool
was_forgotten(int32 shop_id, const IcoFacts *facts, TimestampTz act)
{
	static IcoPlan plan = {
		"iLz",
		"SELECT 1 FROM incomplete_orders.suppressions s WHERE s.shop_id" EQ "$1 AND s.person" EQ "ANY ($2)"
		" AND s.reason" EQ "'erased' AND s.at" GT "$3 LIMIT 1"
	};
	int64		keys[ICO_PERSON_KEYS];
	Datum		elements[ICO_PERSON_KEYS];
	Datum		values[3] = {Int32GetDatum(shop_id), (Datum) 0, TimestampTzGetDatum(act)};
	int			n = ico_person_keys(shop_id, text_of(facts, ICO_F_CUSTOMER_ID), text_of(facts, ICO_F_EMAIL), NULL, keys);

	/* a phone says who it is only where nothing better does: people share one */
	if (n == 0)
		n = ico_person_keys(shop_id, NULL, NULL, text_of(facts, ICO_F_PHONE), keys);
	if (n == 0)
		return false;
	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(keys[i]);
	values[1] = PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return ico_execute(&plan, values, NULL) > 0;
}

static void
leave_out(IcoFacts *facts, IcoFact fact)
{
	facts->given &= ~ICO_FACT_BIT(fact);
	facts->values[fact] = (Datum) 0;
	facts->nulls[fact] = true;
}

bool
ico_leave_out_forgotten(int32 shop_id, LineItems **items, IcoFacts *facts, TimestampTz act)
{
	static const IcoFact personal[] = {
		ICO_F_EMAIL, ICO_F_PHONE, ICO_F_CUSTOMER_ID, ICO_F_NAME, ICO_F_ADDRESS
	};
	static IcoPlan strip = {
		"lj", "SELECT incomplete_orders._without_extras($1), incomplete_orders._impersonal_context($2)"
	};
	IcoArgs		args = {0};
	Datum		value;
	bool		isnull;

	if (!was_forgotten(shop_id, facts, act))
		return false;
	for (int i = 0; i < lengthof(personal); i++)
		leave_out(facts, personal[i]);
	ico_arg_text(&args, (text *) *items);
	if ((facts->given & ICO_FACT_BIT(ICO_F_CONTEXT)) && !facts->nulls[ICO_F_CONTEXT])
		ico_arg(&args, facts->values[ICO_F_CONTEXT]);
	else
		ico_arg_null(&args);
	(void) ico_execute(&strip, args.values, args.nulls);
	value = ico_column(0, 1, &isnull);
	if (!isnull)
		*items = (LineItems *) PG_DETOAST_DATUM_COPY(value);
	value = ico_column(0, 2, &isnull);
	if (isnull)
		leave_out(facts, ICO_F_CONTEXT);
	else
		facts->values[ICO_F_CONTEXT] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return true;
}

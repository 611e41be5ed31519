/*
 * suppress.c
 *		Who may not be mailed.
 *
 * A suppression is a keyed hash of the address (secret.c) and a reason; it stays
 * when the address is forgotten.  A claim looks for it after it has locked the
 * message, so one that commits first is never passed by.
 *
 * Locks: the waiting messages of the address in the order of their ids, then the
 * suppression's row; never an order's row.  Whoever suppresses takes them in
 * this order, or holds a message already and waits for no other (wait false), so
 * nobody waits in a circle.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "facts.h"
#include "plan.h"
#include "secret.h"
#include "suppress.h"
#include "tenant.h"

PG_FUNCTION_INFO_V1(ico_suppress_sql);
PG_FUNCTION_INFO_V1(ico_unsuppress);

/* from the weakest: what a machine said, what the person said, what the law says */
static const char *const reasons[] = {"suppressed", "hard_bounce", "unsubscribed", "not_me", "complaint", "erased"};
#define REASON_RANK(reason) \
	"pg_catalog.array_position(ARRAY['suppressed', 'hard_bounce', 'unsubscribed', 'not_me', 'complaint', 'erased'], " reason ")"

static bool
is_suppression(const char *reason)
{
	for (int i = 0; i < lengthof(reasons); i++)
	{
		if (strcmp(reason, reasons[i]) == 0)
			return true;
	}
	return false;
}

/*
 * A waiting message goes to the address that its order has when it is claimed, so
 * that is what counts.  The named message ($3) is locked in any state: its row is
 * to be written next.
 */
#define LOCK_MESSAGES(lock) \
	"SELECT m.id FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "ANY (ARRAY(" \
	"  SELECT x.id FROM incomplete_orders.open_orders o JOIN incomplete_orders.messages x" \
	"   ON x.shop_id" EQ "o.shop_id AND x.root_id" EQ "o.root_id AND x.order_id" EQ "o.id" \
	"  WHERE o.shop_id" EQ "$1 AND o.email IS NOT NULL AND pg_catalog.lower(o.email COLLATE pg_catalog.\"C\")" EQ "$2" \
	"   AND x.status" EQ "ANY ('{queued,sending}')" \
	"  UNION ALL SELECT $3 WHERE $3 IS NOT NULL)) ORDER BY m.id FOR UPDATE" lock

/*
 * Locks them all, in a statement of its own: a row that a join does not come to
 * would be locked later, behind the suppression, and two could wait for each other.
 * Their ids, or 0 when there are none.
 */
static Datum
lock_messages(int32 shop_id, text *address, const pg_uuid_t *message_id, bool wait)
{
	static IcoPlan waiting = {"itu", LOCK_MESSAGES("")};
	static IcoPlan skipping = {"itu", LOCK_MESSAGES(" SKIP LOCKED")};
	IcoArgs		args = {0};
	uint64		n;
	Datum	   *ids;
	bool		isnull;

	ico_arg(&args, Int32GetDatum(shop_id));
	ico_arg_text(&args, address);
	if (message_id == NULL)
		ico_arg_null(&args);
	else
		ico_arg(&args, UUIDPGetDatum(message_id));
	n = ico_execute(wait ? &waiting : &skipping, args.values, args.nulls);
	if (n == 0)
		return (Datum) 0;
	ids = palloc(n * sizeof(Datum));
	for (uint64 i = 0; i < n; i++)
		ids[i] = ico_column(i, 1, &isnull);
	return PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

static void
cancel_messages(int32 shop_id, text *address, Datum ids, const char *reason, TimestampTz at)
{
	static IcoPlan plan = {
		"iUttz",
		"WITH c AS (UPDATE incomplete_orders.messages c SET status = 'cancelled', reason = $4"
		"  FROM incomplete_orders.open_orders o WHERE c.shop_id" EQ "$1 AND c.id" EQ "ANY ($2)"
		"  AND c.status" EQ "ANY ('{queued,sending}') AND o.shop_id" EQ "$1 AND o.id" EQ "c.order_id"
		/* not in the words of its index: each message's order is found by its id, however many have the address */
		"  AND COALESCE(pg_catalog.lower(o.email COLLATE pg_catalog.\"C\"), '')" EQ "$3 RETURNING c.*)"
		" INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, ordinal, message_id, at, reason)"
		" SELECT c.shop_id, c.order_id, c.episode, c.campaign, c.step, c.ordinal, c.id, $5, $4 FROM c"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(shop_id));
	ico_arg(&args, ids);
	ico_arg_text(&args, address);
	ico_arg(&args, CStringGetTextDatum(reason));
	ico_arg(&args, TimestampTzGetDatum(at));
	(void) ico_execute(&plan, args.values, args.nulls);
}

bool
ico_suppress_person(int32 shop_id, int64 person, const char *scope, const char *reason, TimestampTz at,
					const pg_uuid_t *message_id)
{
	static IcoPlan plan = {
		"iIttzu",
		"INSERT INTO incomplete_orders.suppressions AS s (shop_id, person, scope, reason, at, message_id)"
		" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (shop_id, person, scope) DO UPDATE"
		" SET reason = EXCLUDED.reason, at = EXCLUDED.at, message_id = EXCLUDED.message_id"
		" WHERE " REASON_RANK("EXCLUDED.reason") GT REASON_RANK("s.reason")
	};
	IcoArgs		args = {0};

	Assert(is_suppression(reason));
	ico_arg(&args, Int32GetDatum(shop_id));
	ico_arg(&args, Int64GetDatum(person));
	ico_arg(&args, CStringGetTextDatum(scope));
	ico_arg(&args, CStringGetTextDatum(reason));
	ico_arg(&args, TimestampTzGetDatum(at));
	if (message_id == NULL)
		ico_arg_null(&args);
	else
		ico_arg(&args, UUIDPGetDatum(message_id));
	return ico_execute(&plan, args.values, args.nulls) > 0;
}

bool
ico_suppress(int32 shop_id, text *email, const char *scope, const char *reason, TimestampTz at,
			 const pg_uuid_t *message_id, bool wait)
{
	int64		keys[ICO_PERSON_KEYS];
	text	   *address = ico_normal_email(email);
	Datum		ids;

	if (ico_person_keys(shop_id, NULL, email, NULL, keys) == 0)
		return false;
	ids = lock_messages(shop_id, address, message_id, wait);
	if (DatumGetPointer(ids) != NULL)
		cancel_messages(shop_id, address, ids, reason, at);
	return ico_suppress_person(shop_id, keys[0], scope, reason, at, message_id);
}

static text *
email_argument(FunctionCallInfo fcinfo)
{
	text	   *email = PG_ARGISNULL(0) ? NULL : ico_normal_email(PG_GETARG_TEXT_PP(0));
	const char *fault = email == NULL ? "It is null." : ico_email_fault(VARDATA_ANY(email), VARSIZE_ANY_EXHDR(email));

	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"email\" is not an e-mail address"),
				 errdetail("%s", fault)));
	return email;
}

/* suppress(email, reason, shop, at) -> boolean */
Datum
ico_suppress_sql(PG_FUNCTION_ARGS)
{
	text	   *email = email_argument(fcinfo);
	char	   *reason = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	IcoShop		shop;
	TimestampTz at;
	bool		fresh;

	if (reason == NULL || !is_suppression(reason))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"reason\" is not one of its words"),
				 errdetail("There are suppressed, hard_bounce, unsubscribed, not_me, complaint and erased.")));
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_suppress, PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2), &shop);
	at = ico_enter_at(fcinfo, 3, &shop);
	fresh = ico_suppress(shop.shop_id, email, "recovery", reason, at, NULL, true);
	SPI_finish();
	PG_RETURN_BOOL(fresh);
}

/*
 * Customers who have an open order with that address: a customer who was forgotten
 * is suppressed by number, too, and may be known by the address only when that ends.
 */
#define CUSTOMERS_OF(address) \
	"(SELECT k.key FROM incomplete_orders.open_orders o CROSS JOIN LATERAL" \
	"  pg_catalog.unnest(incomplete_orders._person_keys(o.shop_id, o.customer_id, NULL, NULL)) k (key)" \
	"  WHERE o.shop_id" EQ "$1 AND o.email IS NOT NULL AND pg_catalog.lower(o.email COLLATE pg_catalog.\"C\")" EQ address \
	"  AND o.customer_id IS NOT NULL)"

bool
ico_opt_in(int32 shop_id, const int64 *keys, int n_keys, text *email, TimestampTz at)
{
	static IcoPlan plan = {
		"iLtz",
		"DELETE FROM incomplete_orders.suppressions s WHERE s.shop_id" EQ "$1 AND s.at" LE "$4 AND ("
		" s.person" EQ "ANY ($2) AND s.reason" EQ "ANY ('{unsubscribed,erased}')"
		" OR s.person" EQ "ANY (ARRAY" CUSTOMERS_OF("$3") ") AND s.reason" EQ "'erased')"
	};
	Datum	   *elements = palloc(n_keys * sizeof(Datum));
	IcoArgs		args = {0};

	for (int i = 0; i < n_keys; i++)
		elements[i] = Int64GetDatum(keys[i]);
	ico_arg(&args, Int32GetDatum(shop_id));
	ico_arg(&args, PointerGetDatum(construct_array(elements, n_keys, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
												   TYPALIGN_DOUBLE)));
	ico_arg_text(&args, email);
	ico_arg(&args, TimestampTzGetDatum(at));
	return ico_execute(&plan, args.values, args.nulls) > 0;
}

/* unsuppress(email, shop) -> boolean */
Datum
ico_unsuppress(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"iIt",
		"DELETE FROM incomplete_orders.suppressions s WHERE s.shop_id" EQ "$1 AND (s.person" EQ "$2"
		" OR s.person" EQ "ANY (ARRAY" CUSTOMERS_OF("$3") ") AND s.reason" EQ "'erased')"
	};
	text	   *email = email_argument(fcinfo);
	IcoShop		shop;
	int64		keys[ICO_PERSON_KEYS];
	IcoArgs		args = {0};
	bool		found;

	SPI_connect();
	ico_enter_shop(ICO_RIGHT_unsuppress, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &shop);
	(void) ico_person_keys(shop.shop_id, NULL, email, NULL, keys);
	ico_arg(&args, Int32GetDatum(shop.shop_id));
	ico_arg(&args, Int64GetDatum(keys[0]));
	ico_arg_text(&args, email);
	found = ico_execute(&plan, args.values, args.nulls) > 0;
	SPI_finish();
	PG_RETURN_BOOL(found);
}

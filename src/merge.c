/*
 * merge.c
 *		Two carts become one: merge_carts, and what a recovery link brings into a
 *		session.
 *
 * Both rows are locked, the smaller id first, so that merges in both directions
 * do not wait for each other in a circle, and what fell due before `at` is
 * written first.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "facts.h"
#include "hook.h"
#include "lifecycle.h"
#include "line_items.h"
#include "merge.h"
#include "plan.h"
#include "tenant.h"

#define MAX_TRIES 100

PG_FUNCTION_INFO_V1(ico_merge_carts);

typedef struct Merge
{
	IcoShop		shop;
	TimestampTz at;
	const pg_uuid_t *from_id;	/* or NULL: the order of */
	text	   *from_session;
	text	   *into_session;	/* NULL, with from_id only: it stays in its own */
	bool		latest;			/* strategy */
	bool		has_from;
	bool		has_into;
	IcoOrder	from;
	IcoOrder	into;
} Merge;

static bool
read_from(Merge *merge)
{
	int32		shop_id = merge->shop.shop_id;

	if (merge->from_id != NULL)
		return ico_read_open(shop_id, merge->from_id, false, &merge->from);
	return ico_read_session(shop_id, PointerGetDatum(merge->from_session), false, &merge->from);
}

/* An order that is there already is not merged into itself. */
static bool
read_into(Merge *merge)
{
	return merge->into_session != NULL &&
		ico_read_session(merge->shop.shop_id, PointerGetDatum(merge->into_session), false, &merge->into) &&
		!(merge->has_from && memcmp(&merge->into.id, &merge->from.id, sizeof(pg_uuid_t)) == 0);
}

static bool
is_session_of(const Merge *merge, text *session_id, bool exists, const IcoOrder *order)
{
	IcoOrder	now;

	if (!ico_read_session(merge->shop.shop_id, PointerGetDatum(session_id), false, &now))
		return !exists;
	return exists && memcmp(&now.id, &order->id, sizeof(pg_uuid_t)) == 0;
}

/* False when a session changed its order in the meantime. */
static bool
lock_pair(Merge *merge)
{
	int32		shop_id = merge->shop.shop_id;
	pg_uuid_t	from_id;
	pg_uuid_t	into_id;
	bool		into_first;

	merge->has_from = read_from(merge);
	merge->has_into = read_into(merge);
	from_id = merge->from.id;
	into_id = merge->into.id;
	into_first = merge->has_from && merge->has_into && memcmp(&into_id, &from_id, sizeof(pg_uuid_t)) < 0;
	if (into_first && !ico_read_open(shop_id, &into_id, true, &merge->into))
		return false;
	if (merge->has_from && !ico_read_open(shop_id, &from_id, true, &merge->from))
		return false;
	if (merge->has_into && !into_first && !ico_read_open(shop_id, &into_id, true, &merge->into))
		return false;
	/* a session that gets an order now is found by the unique index */
	if (merge->from_id != NULL)
		return !merge->has_into || is_session_of(merge, merge->into_session, true, &merge->into);
	return is_session_of(merge, merge->from_session, merge->has_from, &merge->from) &&
		is_session_of(merge, merge->into_session, merge->has_into, &merge->into);
}

static void
add_lines(IcoItemsBuilder *builder, const IcoOrder *order, bool filled, bool unfilled)
{
	IcoLineReader reader;
	IcoLine		line;

	ico_line_reader_init(&reader, DatumGetLineItemsP(order->items));
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (!unfilled)
			line.quantity = line.filled;
		if (!filled)
		{
			line.quantity -= line.filled;
			line.filled = 0;
		}
		if (line.quantity > 0)
			ico_items_add(builder, &line);
	}
}

static bool
has_filled(const IcoOrder *order)
{
	IcoLineReader reader;
	IcoLine		line;

	ico_line_reader_init(&reader, DatumGetLineItemsP(order->items));
	while (ico_line_next(&reader, &line))
	{
		if (line.filled > 0)
			return true;
	}
	return false;
}

static bool
same_text(Datum a, Datum b)
{
	return strcmp(TextDatumGetCString(a), TextDatumGetCString(b)) == 0;
}

/*
 * The lines after the merge.  What was ordered of either cart stays with its own
 * order; charges and currency go with the lines that they were reckoned for.
 */
static LineItems *
merged_lines(const Merge *merge, bool *take_charges)
{
	IcoItemsBuilder builder;
	bool		replace = merge->latest && merge->from.last_activity_at > merge->into.last_activity_at;
	bool		keep = merge->latest && !replace;

	*take_charges = replace || (!keep && merge->into.empty);
	if (keep)
		return DatumGetLineItemsP(merge->into.items);
	if (!merge->from.empty && !same_text(merge->from.currency, merge->into.currency) &&
		(!*take_charges || has_filled(&merge->into)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("carts in different currencies cannot be merged"),
				 errdetail("Their prices would be added up as if they were one currency."),
				 errhint("Use the strategy keep_latest, or capture the cart anew in one currency.")));
	ico_items_begin(&builder);
	add_lines(&builder, &merge->into, true, !replace);
	add_lines(&builder, &merge->from, false, true);
	return ico_items_finish(&builder);
}

/*
 * Whose facts two carts are: never those of another customer.  Who follows a
 * link need not be the one it was sent to, and takes the lines alone ($8).
 */
#define SAME_PERSON \
	"(NOT $8 AND (o.customer_id IS NULL OR f.customer_id IS NULL OR o.customer_id" EQ "f.customer_id))"
#define MISSING(column) \
	column " = CASE WHEN " SAME_PERSON " THEN COALESCE(o." column ", f." column ") ELSE o." column " END"
#define MISSING_KEYS(column) \
	column " = CASE WHEN o." column " IS NULL AND " SAME_PERSON " THEN f." column \
	" WHEN f." column " IS NOT NULL AND " SAME_PERSON " THEN f." column CONCAT "o." column " ELSE o." column " END"
#define WITH_LINES(column) \
	column " = CASE WHEN $5 THEN f." column " ELSE o." column " END"

static void
write_merged(const Merge *merge, LineItems *items, bool take_charges)
{
	static IcoPlan plan = {
		"iuulbzzb",
		"UPDATE incomplete_orders.open_orders o SET items = $4, "
		WITH_LINES("currency") ", " WITH_LINES("shipping") ", " WITH_LINES("tax") ", " WITH_LINES("discount") ", "
		WITH_LINES("coupon_code") ", " WITH_LINES("coupon_discount") ", "
		MISSING("email") ", " MISSING("phone") ", " MISSING("customer_id") ", " MISSING("name") ", "
		MISSING_KEYS("address") ", " MISSING_KEYS("context") ","
		" furthest_step = GREATEST(o.furthest_step, f.furthest_step),"
		" recovery_attempts = GREATEST(o.recovery_attempts, f.recovery_attempts),"
		" last_recovery_at = GREATEST(o.last_recovery_at, f.last_recovery_at),"
		" expires_at = GREATEST(o.expires_at, f.expires_at),"
		" last_activity_at = GREATEST(o.last_activity_at, f.last_activity_at, $6),"
		" next_action_at = LEAST(o.next_action_at, $7), version = o.version" PLUS "1"
		" FROM incomplete_orders.open_orders f"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 AND f.shop_id" EQ "$1 AND f.id" EQ "$3"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(merge->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&merge->into.id));
	ico_arg(&args, UUIDPGetDatum(&merge->from.id));
	ico_arg(&args, PointerGetDatum(items));
	ico_arg(&args, BoolGetDatum(take_charges));
	ico_arg(&args, TimestampTzGetDatum(merge->at));
	ico_arg(&args, TimestampTzGetDatum(merge->at + merge->shop.cut_off));
	ico_arg(&args, BoolGetDatum(merge->from_id != NULL));
	if (ico_execute(&plan, args.values, args.nulls) != 1)
		elog(ERROR, "open order vanished under its lock");
}

/*
 * Both carts are one person's, and nothing else says so of one that was left
 * without a name: forget_customer and export_customer find it by this row.
 * Its event_id is of no event, so no history shows it.
 */
static void
note_origin(const Merge *merge)
{
	static IcoPlan plan = {
		"iuu",
		"INSERT INTO incomplete_orders.order_changes (shop_id, order_id, event_id, changes)"
		" VALUES ($1, $2, pg_catalog.nextval('incomplete_orders.event_seq'::pg_catalog.regclass),"
		" pg_catalog.jsonb_build_object('merged', $3))"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(merge->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&merge->into.id));
	ico_arg(&args, UUIDPGetDatum(&merge->from.id));
	(void) ico_execute(&plan, args.values, args.nulls);
}

static void
merge_pair(Merge *merge)
{
	IcoEvent	event = {.event = "merged", .at = merge->at};
	LineItems  *items;
	bool		take_charges;

	/* its money may still come, and would then buy what is sold twice */
	if (merge->from.status == ICO_PAYMENT_PENDING)
		ereport(ERROR,
				(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("order %s has a payment in flight and cannot be merged",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&merge->from.id)))),
				 errdetail("The payment would find its order closed."),
				 errhint("Call mark_payment_failed() or convert_order() first.")));
	items = merged_lines(merge, &take_charges);
	ico_reanimate(&merge->into, &merge->shop, merge->at);
	write_merged(merge, items, take_charges);
	/* a link can be forwarded: then they are two persons' */
	if (merge->from_id == NULL)
		note_origin(merge);
	event.reason = event.reason_text = cstring_to_text("merged");
	ico_close(&merge->from, ICO_DELETED, false, &event);
}

static void
write_session(const Merge *merge)
{
	static IcoPlan plan = {
		"iutz",
		"UPDATE incomplete_orders.open_orders o SET session_id = COALESCE($3, o.session_id),"
		" last_activity_at = GREATEST(o.last_activity_at, $4), version = o.version" PLUS "1"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(merge->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&merge->from.id));
	ico_arg_text(&args, merge->into_session);
	ico_arg(&args, TimestampTzGetDatum(merge->at));
	if (ico_execute(&plan, args.values, args.nulls) != 1)
		elog(ERROR, "open order vanished under its lock");
}

static void
take_session(void *arg)
{
	Merge	   *merge = arg;

	ico_reanimate(&merge->from, &merge->shop, merge->at);
	write_session(merge);
}

/* The order of one session becomes that of the other; false when it got one meanwhile. */
static bool
move_session(Merge *merge)
{
	ErrorData  *error = ico_try(take_session, merge);

	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		ReThrowError(error);
	/* what came first cannot be seen by this transaction, however often it looks */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	return false;
}

/* The order that remains, or NULL; retry when it must be done again. */
static const pg_uuid_t *
try_merge(Merge *merge, bool *retry)
{
	*retry = !lock_pair(merge);
	if (*retry)
		return NULL;
	merge->has_from = merge->has_from && ico_settle(&merge->from, &merge->shop, merge->at);
	merge->has_into = merge->has_into && ico_settle(&merge->into, &merge->shop, merge->at);
	if (merge->has_from && merge->has_into)
		merge_pair(merge);
	else if (merge->from_id != NULL && !merge->has_from)
		return NULL;
	else if (merge->has_from)
	{
		*retry = !move_session(merge);
		return &merge->from.id;
	}
	return merge->has_into ? &merge->into.id : NULL;
}

static bool
merge_sessions(Merge *merge, pg_uuid_t *remains)
{
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		bool		retry;
		const pg_uuid_t *id;

		CHECK_FOR_INTERRUPTS();
		id = try_merge(merge, &retry);
		if (retry)
			continue;
		if (id != NULL)
			*remains = *id;
		return id != NULL;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not merge the carts: their sessions change too fast"),
			 errhint("Try again.")));
	return false;
}

bool
ico_bring_order(const IcoShop *shop, const pg_uuid_t *id, text *session_id, TimestampTz at, pg_uuid_t *remains)
{
	Merge		merge = {.shop = *shop, .at = at, .from_id = id, .into_session = session_id};

	return merge_sessions(&merge, remains);
}

/* merge_carts(from_session, into_session, strategy, shop, at) -> uuid */
Datum
ico_merge_carts(PG_FUNCTION_ARGS)
{
	static const char *const strategies[] = {"keep_both", "keep_latest"};
	Merge		merge = {0};
	pg_uuid_t  *result = palloc(sizeof(pg_uuid_t));
	bool		found;

	merge.from_session = ico_require_key(fcinfo, 0, "from_session");
	merge.into_session = ico_require_key(fcinfo, 1, "into_session");
	if (!PG_ARGISNULL(2))
		merge.latest = ico_word_argument(fcinfo, 2, "strategy", strategies, lengthof(strategies),
									 "keep_both and keep_latest") == 1;
	if (same_text(PointerGetDatum(merge.from_session), PointerGetDatum(merge.into_session)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a session cannot be merged into itself")));
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_merge_carts, PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3), &merge.shop);
	merge.at = ico_enter_at(fcinfo, 4, &merge.shop);
	found = merge_sessions(&merge, result);
	SPI_finish();
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(result);
}

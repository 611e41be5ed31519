/*
 * recount.c
 *		Facts of an order that changed without a change of its state.
 *
 * Rollups count an order by currency and bot, and, once it is not pending, by its
 * furthest step and with its value.  An event takes it out of the state that it
 * was in with the facts that it has now, so those that it was put in with must be
 * the same: where they changed meanwhile, two events "recounted" put that right.
 * The first, without status_after, has the old facts, the second, without
 * status_before, the new ones.
 *
 * The old facts are read from the history: they are what was counted, whatever
 * changed them.  An order of which nothing is there is counted for good.
 *
 * Memory: the caller's SPI context.  Locks: the caller has the order's row.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "lifecycle.h"
#include "plan.h"

#define FACTS(table) \
	"SELECT o.shop_id, o.id, o.root_id, o.episode, o.status, o.kind, o.items, o.furthest_step, o.context, o.bot," \
	" o.created_at, o.abandoned_at, COALESCE($4, o.currency) AS currency, COALESCE($5," \
	" incomplete_orders._order_total(o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency)) AS value" \
	" FROM incomplete_orders." table " o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"

/* What the orders made from an incomplete one come to, in that currency. */
Datum
ico_sum_of_parts(int32 shop_id, const pg_uuid_t *id, Datum currency)
{
	static IcoPlan plan = {
		"iut",
		"SELECT COALESCE(pg_catalog.sum(r.total), 0) FROM incomplete_orders.orders r"
		" WHERE r.shop_id" EQ "$1 AND r.incomplete_order_id" EQ "$2 AND r.currency" EQ "$3"
	};
	Datum		values[3] = {Int32GetDatum(shop_id), UUIDPGetDatum(id), currency};
	bool		isnull;

	(void) ico_execute(&plan, values, NULL);
	return ico_column(0, 1, &isnull);
}

static void
arg_or_null(IcoArgs *args, Datum value)
{
	if (value == (Datum) 0)
		ico_arg_null(args);
	else
		ico_arg(args, value);
}

void
ico_recount(int32 shop_id, const pg_uuid_t *id, TimestampTz at, Datum currency, Datum value, Datum paid)
{
	static IcoPlan plan = {
		"iuztnntss",
		"WITH f AS (" FACTS("open_orders") " UNION ALL " FACTS("closed_orders") "),"
		" l AS (SELECT c.status_after, c.currency, c.value, c.furthest_step, c.bot FROM incomplete_orders.order_events c"
		"  WHERE c.shop_id" EQ "$1 AND c.order_id" EQ "$2 AND c.status_after IS NOT NULL"
		"  AND (c.event" EQ "ANY ('{created,continued,recounted}') OR c.status_before" NE "c.status_after)"
		"  ORDER BY c.event_id DESC LIMIT 1),"
		" n AS (SELECT f.shop_id, f.id, f.root_id, f.episode, f.kind, f.items, f.context, f.created_at, f.abandoned_at, d.*"
		"  FROM f JOIN l ON l.status_after" EQ "f.status"
		"  CROSS JOIN LATERAL (VALUES (1, f.status, $9, l.currency, l.value, l.furthest_step, l.bot, NULL::pg_catalog.numeric),"
		"   (2, $9, f.status, f.currency, f.value, f.furthest_step, f.bot, $6)) d"
		"   (n, before, after, currency, value, furthest_step, bot, paid)"
		"  WHERE l.currency" NE "f.currency OR l.bot" NE "f.bot"
		"   OR f.status" NE "$8 AND (l.value" NE "f.value OR l.furthest_step" NE "f.furthest_step)"
		"  ORDER BY d.n), "
		ICO_EVENT_ROWS_OF("n", "'recounted'", "$3", "$7", "r.before", "r.after", "NULL", "r.currency", "r.value",
						  ", paid_amount", ", r.paid") ICO_EVENT_TAIL
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(shop_id));
	ico_arg(&args, UUIDPGetDatum(id));
	ico_arg(&args, TimestampTzGetDatum(at));
	arg_or_null(&args, currency);
	arg_or_null(&args, value);
	arg_or_null(&args, paid);
	ico_arg(&args, CStringGetTextDatum(ico_actor()));
	ico_arg(&args, ico_status_datum(ICO_PENDING));
	ico_arg_null(&args);
	(void) ico_execute(&plan, args.values, args.nulls);
}

/* Reports count an order with its new total; what was paid of the old one, too. */
void
ico_recount_adopted(int32 shop_id, const pg_uuid_t *id, const pg_uuid_t *order_id, TimestampTz at, Datum before)
{
	static IcoPlan plan = {
		"iun",
		"SELECT r.currency, CASE WHEN r.paid THEN r.total OPERATOR(pg_catalog.-) $3 END FROM incomplete_orders.orders r"
		" WHERE r.shop_id" EQ "$1 AND r.order_id" EQ "$2"
	};
	Datum		values[3] = {Int32GetDatum(shop_id), UUIDPGetDatum(order_id), before};
	Datum		currency;
	Datum		paid;
	bool		isnull;

	(void) ico_execute(&plan, values, NULL);
	currency = ico_column(0, 1, &isnull);
	paid = ico_column(0, 2, &isnull);
	ico_recount(shop_id, id, at, currency, ico_sum_of_parts(shop_id, id, currency), paid);
}

/*
 * reverse.c
 *		A completion that the shop takes back: a declined payment, an order that is a
 *		cart again.
 *
 * Only an attached shop does that.  The converted order is reversed; its row in
 * orders stays, as not paid.  What the conversion did to others is undone: the
 * person has not ordered, a coupon is not used.  A new open order continues it with
 * the same root and episode, so no step of the sequence that was mailed is mailed
 * again.
 *
 * Memory: the SPI context of the call.  Locks: the rows of the order, closed and
 * new.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "closing.h"
#include "plan.h"
#include "reverse.h"
#include "uuid7.h"

/* $1..$7 the event; what was paid is counted back in as given back */
static void
mark_reversed(const IcoOrder *order, TimestampTz at)
{
	static IcoPlan plan = {
		ICO_EVENT_ARGS,
		"WITH c AS (UPDATE incomplete_orders.closed_orders c SET status = 'reversed', closed_at = $4, version = c.version" PLUS "1"
		" WHERE c.shop_id" EQ "$1 AND c.id" EQ "$2 RETURNING c.*),"
		" paid AS (SELECT o.order_id, CASE WHEN o.paid THEN o.total END AS amount FROM incomplete_orders.orders o"
		"  WHERE o.shop_id" EQ "$1 AND o.incomplete_order_id" EQ "$2 AND o.foreign_order IS NOT NULL ORDER BY o.part DESC LIMIT 1),"
		" unpaid AS (UPDATE incomplete_orders.orders o SET paid = false, paid_at = NULL"
		"  WHERE o.shop_id" EQ "$1 AND o.incomplete_order_id" EQ "$2 AND o.foreign_order IS NOT NULL),"
		" back AS (UPDATE incomplete_orders.issued_coupons i SET used_at = NULL, used_by = NULL, cost = NULL"
		"  FROM c WHERE i.shop_id" EQ "$1 AND i.code" EQ "c.coupon_code AND i.used_by" EQ "$2),"
		" again AS (DELETE FROM incomplete_orders.person_orders p USING c, paid d WHERE p.shop_id" EQ "$1"
		"  AND p.person" EQ "ANY (incomplete_orders._person_keys(c.shop_id, c.customer_id, c.email, c.phone))"
		"  AND p.order_id" EQ "d.order_id), "
		ICO_EVENT_CTE("c", ", order_ref, refund_amount", ", (SELECT d.order_id FROM paid d), (SELECT d.amount FROM paid d)")
		ICO_EVENT_TAIL
	};
	IcoEvent	event = {.event = "reversed", .at = at};
	IcoArgs		args;

	ico_event_args(&args, order->shop_id, &order->id, &event, &order->status);
	(void) ico_execute(&plan, args.values, args.nulls);
}

/*
 * The continuing order has all columns of the closed one, a user's own included,
 * but for what is its own.
 */
static IcoPlan *
copy_plan(void)
{
	static IcoPlan plan = {"iujz", NULL};
	static uint64 made_for = 0;
	const char *columns;
	uint64		generation = ico_shared_columns(&columns);
	char	   *query;

	if (plan.query != NULL && made_for == generation)
		return &plan;
	query = psprintf("INSERT INTO incomplete_orders.open_orders (%sitems, status, next_action_at)"
					 " SELECT %sitems, 'pending', $4 FROM (SELECT n.* FROM incomplete_orders.closed_orders c"
					 "  CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(c, $3) n"
					 "  WHERE c.shop_id" EQ "$1 AND c.id" EQ "$2) n", columns, columns);
	ico_plan_free(&plan);
	if (plan.query != NULL)
		pfree(unconstify(char *, plan.query));
	plan.query = MemoryContextStrdup(TopMemoryContext, query);
	made_for = generation;
	return &plan;
}

/* What the continuing order has of its own; null clears. */
static Datum
own_facts(const IcoOrder *order, const IcoShop *shop, const pg_uuid_t *id, TimestampTz at)
{
	static IcoPlan plan = {
		"iuuzz",
		"SELECT pg_catalog.jsonb_build_object('id', $3, 'continues_id', $2, 'kind', 'cart', 'lost_at', NULL,"
		" 'payment_deadline', NULL, 'payment_reference', NULL, 'last_activity_at', GREATEST(c.last_activity_at, $4), 'expires_at', GREATEST(c.expires_at, $5),"
		" 'reference', incomplete_orders._reference_of(pg_catalog.nextval('incomplete_orders.reference_seq')),"
		" 'session_id', CASE WHEN NOT EXISTS (SELECT FROM incomplete_orders.open_orders o"
		"  WHERE o.shop_id" EQ "$1 AND o.session_id" EQ "c.session_id) THEN c.session_id END)"
		" FROM incomplete_orders.closed_orders c WHERE c.shop_id" EQ "$1 AND c.id" EQ "$2"
	};
	Datum		values[5] = {
		Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id), UUIDPGetDatum(id), TimestampTzGetDatum(at),
		TimestampTzGetDatum(at + shop->expiry)
	};
	bool		isnull;

	(void) ico_execute(&plan, values, NULL);
	return ico_column(0, 1, &isnull);
}

/* Reports count what became of them as of one order. */
static void
note_continued(const IcoOrder *order, const pg_uuid_t *id)
{
	static IcoPlan plan = {
		"iuu", "INSERT INTO incomplete_orders.continued_orders (shop_id, root_id, order_id) VALUES ($1, $2, $3)"
	};
	Datum		values[3] = {Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->root_id), UUIDPGetDatum(id)};

	(void) ico_execute(&plan, values, NULL);
}

static void
begin_again(const IcoOrder *order, const IcoShop *shop, TimestampTz at, pg_uuid_t *id)
{
	IcoEvent	event = {.event = "continued", .at = at};
	Datum		values[4];

	ico_uuid7_make(order->shop_id, id);
	values[2] = own_facts(order, shop, id, at);
	values[0] = Int32GetDatum(order->shop_id);
	values[1] = UUIDPGetDatum(&order->id);
	values[3] = TimestampTzGetDatum(Min(order->last_activity_at, at) + shop->cut_off);
	(void) ico_execute(copy_plan(), values, NULL);
	note_continued(order, id);
	ico_append_event(order->shop_id, id, &event);
}

void
ico_reverse(IcoOrder *converted, const IcoShop *shop, TimestampTz at, pg_uuid_t *id)
{
	ico_require_move(&converted->id, converted->status, ICO_REVERSED);
	/* it was counted with what the order came to, and leaves with what is in it */
	ico_recount(converted->shop_id, &converted->id, at, (Datum) 0, (Datum) 0, (Datum) 0);
	mark_reversed(converted, at);
	begin_again(converted, shop, at, id);
	converted->status = ICO_REVERSED;
}

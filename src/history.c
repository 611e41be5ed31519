/*
 * history.c
 *		The history of one order: its events, what edits changed, and notes.
 *
 * One statement by the primary keys of the three tables.  Everything is in the
 * caller's SPI context.  No locks but those of reading.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "compat.h"
#include "plan.h"
#include "tenant.h"

PG_FUNCTION_INFO_V1(ico_order_history);

static bool
order_exists(Datum *key)
{
	static IcoPlan plan = {
		"iu",
		"SELECT 1 FROM incomplete_orders.open_orders WHERE shop_id" EQ "$1 AND id" EQ "$2"
		" UNION ALL SELECT 1 FROM incomplete_orders.closed_orders WHERE shop_id" EQ "$1 AND id" EQ "$2"
	};

	return ico_execute_read(&plan, key, NULL, GetActiveSnapshot()) > 0;
}

/*
 * The cart as it was when it was abandoned is kept with the event that ends the
 * episode; what stands in the order's row is the cart of the last one.  So the
 * difference between two abandonments is that of two neighbours.
 */
#define SNAPSHOT(which, order) \
	"(SELECT s.changes OPERATOR(pg_catalog.->) 'abandoned_items' FROM incomplete_orders.order_changes s" \
	" WHERE s.shop_id" EQ "$1 AND s.order_id" EQ "$2 AND s.event_id" which "e.event_id" \
	" AND s.changes OPERATOR(pg_catalog.->) 'abandoned_items' IS NOT NULL ORDER BY s.event_id" order " LIMIT 1)"
#define CHANGED_SINCE \
	"incomplete_orders.diff(" SNAPSHOT(LT, " DESC") "::incomplete_orders.line_items," \
	" COALESCE(" SNAPSHOT(GT, "") "::incomplete_orders.line_items," \
	" (SELECT o.items FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2)," \
	" (SELECT o.items FROM incomplete_orders.closed_orders o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2)))"

Datum
ico_order_history(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"iu",
		"SELECT h.at, h.event, h.who, h.detail FROM ("
		"SELECT e.at, e.event, e.actor AS who, e.event_id, 0::pg_catalog.int8 AS note_id,"
		" pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object("
		"'status_before', e.status_before, 'status_after', e.status_after, 'reason', e.reason_code,"
		" 'value', e.value, 'currency', e.currency, 'item_count', e.item_count, 'furthest_step', e.furthest_step,"
		" 'kind', e.kind, 'episode', e.episode, 'campaign', e.campaign, 'step', e.step, 'variant', e.variant,"
		" 'holdout', e.holdout, 'message_id', e.message_id, 'machine', e.machine, 'order_id', e.order_ref,"
		" 'paid_amount', e.paid_amount, 'refund_amount', e.refund_amount, 'coupon_cost', e.coupon_cost))"
		CONCAT "CASE WHEN e.event" EQ "'abandoned' AND e.episode" GT "1"
		" THEN pg_catalog.jsonb_build_object('changes', pg_catalog.jsonb_build_object('items', " CHANGED_SINCE "))"
		" WHEN c.changes IS NULL OR e.event" EQ "'reanimated' THEN '{}'"
		" ELSE pg_catalog.jsonb_build_object('changes', c.changes) END AS detail"
		" FROM incomplete_orders.order_events e LEFT JOIN incomplete_orders.order_changes c"
		" ON c.shop_id" EQ "e.shop_id AND c.order_id" EQ "e.order_id AND c.event_id" EQ "e.event_id"
		/* what only reports need */
		" WHERE e.shop_id" EQ "$1 AND e.order_id" EQ "$2 AND e.event" NE "'recounted'"
		" UNION ALL SELECT n.at, 'note', n.actor, NULL, n.note_id, pg_catalog.jsonb_build_object('note', n.note)"
		" FROM incomplete_orders.order_notes n WHERE n.shop_id" EQ "$1 AND n.order_id" EQ "$2"
		") h ORDER BY h.at, h.event_id, h.note_id"
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IcoShop		shop;
	Datum		key[2];
	uint64		n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"id\" must not be null")));
	SPI_connect();
	ico_enter_order(ICO_RIGHT_order_history, PG_GETARG_UUID_P(0), &shop);
	key[0] = Int32GetDatum(shop.shop_id);
	key[1] = PG_GETARG_DATUM(0);
	if (!order_exists(key))
		ico_refuse_order(PG_GETARG_UUID_P(0));
	n = ico_execute_read(&plan, key, NULL, GetActiveSnapshot());
	for (uint64 i = 0; i < n; i++)
	{
		Datum		values[4];
		bool		nulls[4];

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

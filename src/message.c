/*
 * message.c
 *		Recovery messages: what ends them, what is told of them.
 *
 * Who waits for whom: a message's row is locked before its order's, or, while
 * the order's row is held, only if nobody else has it (SKIP LOCKED).  Claims
 * wait for neither.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "message.h"
#include "plan.h"

void
ico_cancel_messages(const IcoOrder *order, const char *reason, TimestampTz at)
{
	static IcoPlan plan = {
		"iuutz",
		"WITH m AS (SELECT m.id FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.root_id" EQ "$2"
		"  AND m.order_id" EQ "$3 AND m.status" EQ "ANY ('{queued,sending}') FOR UPDATE SKIP LOCKED),"
		" c AS (UPDATE incomplete_orders.messages c SET status = 'cancelled', reason = $4 FROM m"
		"  WHERE c.shop_id" EQ "$1 AND c.id" EQ "m.id RETURNING c.*)"
		" INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, ordinal, message_id, at, reason)"
		" SELECT c.shop_id, c.order_id, c.episode, c.campaign, c.step, c.ordinal, c.id, $5, $4 FROM c"
	};
	Datum		values[5] = {
		Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->root_id), UUIDPGetDatum(&order->id),
		CStringGetTextDatum(reason), TimestampTzGetDatum(at)
	};

	(void) ico_execute(&plan, values, NULL);
}

#define MESSAGE_ORDER(table) \
	"SELECT o.shop_id, o.id, o.root_id, m.episode, o.status, o.kind, o.currency, o.items, o.shipping, o.tax, o.discount," \
	" o.coupon_discount, o.furthest_step, o.context, o.bot, o.created_at, o.abandoned_at," \
	" m.campaign, m.step, m.variant, m.id AS message_id" \
	" FROM incomplete_orders.messages m JOIN incomplete_orders." table " o" \
	" ON o.shop_id" EQ "m.shop_id AND o.id" EQ "m.order_id WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2"

bool
ico_append_message_event(int32 shop_id, const pg_uuid_t *message_id, const IcoMessageEvent *event)
{
	static IcoPlan plan = {
		ICO_EVENT_ARGS "b",
		"WITH o AS (" MESSAGE_ORDER("open_orders") " UNION ALL " MESSAGE_ORDER("closed_orders") "), "
		ICO_EVENT_CTE("o", ", campaign, step, variant, message_id, machine", ", r.campaign, r.step, r.variant, r.message_id, $8")
		ICO_EVENT_TAIL
	};
	IcoEvent	row = {.event = event->event, .at = event->at, .by_clock = event->by_clock};
	IcoArgs		args;

	if (event->reason != NULL)
		row.reason = cstring_to_text(event->reason);
	ico_event_args(&args, shop_id, message_id, &row, NULL);
	if (event->machine == NULL)
		ico_arg_null(&args);
	else
		ico_arg(&args, BoolGetDatum(*event->machine));
	return ico_execute(&plan, args.values, args.nulls) > 0;
}

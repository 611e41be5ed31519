/*
 * life.c
 *		What staff and payment providers do to an open order: mark_abandoned,
 *		dismiss_order, delete_order, mark_payment_pending, mark_payment_failed,
 *		add_note, edit_order, and _expire_order behind expire_orders.
 *
 * Each locks the order's row, first writes what fell due before `at`, and then
 * makes its move; with dry_run nothing is locked or written and the answer is
 * the state that would follow.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "line_items.h"
#include "plan.h"
#include "tenant.h"

#define NOTE_BYTES 10000

PG_FUNCTION_INFO_V1(ico_mark_abandoned);
PG_FUNCTION_INFO_V1(ico_dismiss_order);
PG_FUNCTION_INFO_V1(ico_delete_order);
PG_FUNCTION_INFO_V1(ico_mark_payment_pending);
PG_FUNCTION_INFO_V1(ico_mark_payment_failed);
PG_FUNCTION_INFO_V1(ico_add_note);
PG_FUNCTION_INFO_V1(ico_edit_order);
PG_FUNCTION_INFO_V1(ico_expire_order);

typedef struct Call
{
	IcoShop		shop;
	IcoOrder	order;
	TimestampTz at;
	bool		dry_run;
} Call;

/* Reads and locks the order of argument 0 and settles it, or looks only. */
static void
enter(FunctionCallInfo fcinfo, IcoRight right, int at_argument, bool dry_run, Call *call)
{
	pg_uuid_t  *id = ico_require_id(fcinfo, 0, "id");

	ico_enter_order(right, id, &call->shop);
	call->at = ico_enter_at(fcinfo, at_argument, &call->shop);
	call->dry_run = dry_run;
	if (!ico_read_order(call->shop.shop_id, id, !dry_run, &call->order))
		ico_refuse_order(id);
	if (call->order.closed)
		return;
	if (dry_run)
		ico_preview(&call->order, &call->shop, call->at);
	else
		(void) ico_settle(&call->order, &call->shop, call->at);
}

static bool
bool_argument(FunctionCallInfo fcinfo, int argument)
{
	return !PG_ARGISNULL(argument) && PG_GETARG_BOOL(argument);
}

static text *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);
}

/* mark_abandoned(id, reason, dry_run, at) -> order_status */
Datum
ico_mark_abandoned(PG_FUNCTION_ARGS)
{
	Call		call;
	IcoEvent	event = {.event = "abandoned"};
	IcoStatus	before;

	SPI_connect();
	enter(fcinfo, ICO_RIGHT_mark_abandoned, 3, bool_argument(fcinfo, 2), &call);
	before = call.order.status;
	ico_require_move(&call.order.id, before, ICO_ABANDONED);
	if (before != ICO_ABANDONED)
	{
		if (call.order.empty)
			ereport(ERROR,
					(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
					 errmsg("an emptied cart is not abandoned"),
					 errdetail("Abandoned is what still holds something."),
					 errhint("Use dismiss_order or delete_order.")));
		call.order.status = ICO_ABANDONED;
		call.order.abandoned_at = event.at = call.at;
		ico_set_reason(&event, text_argument(fcinfo, 1));
		if (!call.dry_run)
			ico_write_change(&call.order, &call.shop, before, &event);
	}
	SPI_finish();
	PG_RETURN_DATUM(ico_status_datum(ICO_ABANDONED));
}

static Datum
close_by_hand(FunctionCallInfo fcinfo, IcoRight right, IcoStatus status)
{
	Call		call;
	IcoEvent	event = {.event = ico_status_names[status]};

	SPI_connect();
	enter(fcinfo, right, 3, bool_argument(fcinfo, 2), &call);
	if (!call.order.closed || call.order.status != status)
	{
		if (call.order.closed)
			ereport(ERROR,
					(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
					 errmsg("order %s cannot go from %s to %s",
							DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&call.order.id))),
							ico_status_names[call.order.status], ico_status_names[status]),
					 errdetail("It is closed."),
					 errhint("See incomplete_orders.order_history(id).")));
		event.at = call.at;
		ico_set_reason(&event, text_argument(fcinfo, 1));
		if (!call.dry_run)
			ico_close(&call.order, status, false, &event);
	}
	SPI_finish();
	PG_RETURN_DATUM(ico_status_datum(status));
}

/* dismiss_order(id, reason, dry_run, at) -> order_status */
Datum
ico_dismiss_order(PG_FUNCTION_ARGS)
{
	return close_by_hand(fcinfo, ICO_RIGHT_dismiss_order, ICO_DISMISSED);
}

/* delete_order(id, reason, dry_run, at) -> order_status */
Datum
ico_delete_order(PG_FUNCTION_ARGS)
{
	return close_by_hand(fcinfo, ICO_RIGHT_delete_order, ICO_DELETED);
}

/* _expire_order(id, at, dry_run) -> order_status: what is due is written, as tick would; null when it is gone */
Datum
ico_expire_order(PG_FUNCTION_ARGS)
{
	IcoShop		shop;
	IcoOrder	order = {0};
	pg_uuid_t  *id = ico_require_id(fcinfo, 0, "id");
	TimestampTz at;
	bool		dry_run = bool_argument(fcinfo, 2);

	SPI_connect();
	ico_enter_order(ICO_RIGHT_expire_orders, id, &shop);
	at = ico_enter_at(fcinfo, 1, &shop);
	if (!ico_read_open(shop.shop_id, id, !dry_run, &order))
	{
		SPI_finish();
		PG_RETURN_NULL();
	}
	if (dry_run)
		ico_preview(&order, &shop, at);
	else
		(void) ico_settle(&order, &shop, at);
	SPI_finish();
	PG_RETURN_DATUM(ico_status_datum(order.status));
}

static void
refuse_expired(const IcoOrder *order)
{
	if (order->closed && order->status == ICO_EXPIRED)
		ereport(ERROR,
				(errcode(ICO_ERR_EXPIRED),
				 errmsg("order %s is expired",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id)))),
				 errdetail("A payment cannot begin or fail any more."),
				 errhint("When it was paid all the same, call convert_order with paid => true.")));
}

/* The reference, and how far the customer came, without an event of its own. */
static void
note_payment(const Call *call, text *reference)
{
	static IcoPlan plan = {
		"iut",
		"UPDATE incomplete_orders.open_orders o SET payment_reference = COALESCE($3, o.payment_reference),"
		" furthest_step = GREATEST(o.furthest_step, 'payment') WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(call->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&call->order.id));
	ico_arg_text(&args, reference);
	(void) ico_execute(&plan, args.values, args.nulls);
}

/* mark_payment_pending(id, payment_reference, deadline, at) -> order_status */
Datum
ico_mark_payment_pending(PG_FUNCTION_ARGS)
{
	Call		call;
	IcoEvent	event = {.event = "payment_pending"};
	IcoStatus	before;
	text	   *reference = ico_optional_key(fcinfo, 1, "payment_reference");

	SPI_connect();
	enter(fcinfo, ICO_RIGHT_mark_payment_pending, 3, false, &call);
	refuse_expired(&call.order);
	if (!call.order.closed && call.order.status == ICO_ABANDONED)
		ico_reanimate(&call.order, &call.shop, call.at);
	before = call.order.status;
	ico_require_move(&call.order.id, before, ICO_PAYMENT_PENDING);
	if (!PG_ARGISNULL(2))
		call.order.payment_deadline = PG_GETARG_TIMESTAMPTZ(2);
	else if (call.order.payment_deadline == ICO_NONE || call.order.expires_at > call.at)
		call.order.payment_deadline = call.order.expires_at;
	/* else an awaited payment keeps it open beyond that, as it does already */
	if (TIMESTAMP_NOT_FINITE(call.order.payment_deadline) || call.order.payment_deadline <= call.at)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"deadline\" must be a finite instant in the future"),
				 errhint("Leave it out to wait as long as the order lives.")));
	note_payment(&call, reference);
	if (before != ICO_PENDING)
		ico_recount(call.shop.shop_id, &call.order.id, call.at, (Datum) 0, (Datum) 0, (Datum) 0);
	call.order.status = ICO_PAYMENT_PENDING;
	if (call.order.kind != ICO_PARTIAL)
		call.order.kind = ICO_PAYMENT;
	call.order.last_activity_at = Max(call.order.last_activity_at, call.at);
	event.at = call.at;
	ico_write_change(&call.order, &call.shop, before, &event);
	SPI_finish();
	PG_RETURN_DATUM(ico_status_datum(ICO_PAYMENT_PENDING));
}

/* mark_payment_failed(id, reason, at) -> order_status */
Datum
ico_mark_payment_failed(PG_FUNCTION_ARGS)
{
	Call		call;

	SPI_connect();
	enter(fcinfo, ICO_RIGHT_mark_payment_failed, 2, false, &call);
	refuse_expired(&call.order);
	ico_fail_payment(&call.order, &call.shop, call.at, text_argument(fcinfo, 1));
	SPI_finish();
	PG_RETURN_DATUM(ico_status_datum(ICO_PAYMENT_FAILED));
}

static int64
write_note(const Call *call, text *note)
{
	static IcoPlan plan = {
		"iuztt",
		"INSERT INTO incomplete_orders.order_notes (shop_id, order_id, at, actor, note) VALUES ($1, $2, $3, $4, $5)"
		" RETURNING note_id"
	};
	IcoArgs		args = {0};
	bool		isnull;

	ico_arg(&args, Int32GetDatum(call->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&call->order.id));
	ico_arg(&args, TimestampTzGetDatum(call->at));
	ico_arg(&args, CStringGetTextDatum(ico_actor()));
	ico_arg(&args, PointerGetDatum(note));
	(void) ico_execute(&plan, args.values, args.nulls);
	return DatumGetInt64(ico_column(0, 1, &isnull));
}

/* add_note(id, note, at) -> bigint */
Datum
ico_add_note(PG_FUNCTION_ARGS)
{
	Call		call = {0};
	pg_uuid_t  *id = ico_require_id(fcinfo, 0, "id");
	text	   *note = text_argument(fcinfo, 1);
	int64		note_id;

	if (note == NULL || VARSIZE_ANY_EXHDR(note) == 0 || VARSIZE_ANY_EXHDR(note) > NOTE_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"note\" must have 1 to %d bytes", NOTE_BYTES)));
	SPI_connect();
	ico_enter_order(ICO_RIGHT_add_note, id, &call.shop);
	call.at = ico_enter_at(fcinfo, 2, &call.shop);
	if (!ico_read_order(call.shop.shop_id, id, false, &call.order))
		ico_refuse_order(id);
	note_id = write_note(&call, note);
	SPI_finish();
	PG_RETURN_INT64(note_id);
}

/* The row's editable facts as one object, to compare before and after. */
static Datum
editable_facts(const IcoOrder *order)
{
	static IcoPlan plan = {
		"iu",
		"SELECT pg_catalog.to_jsonb(e) FROM (SELECT o.email, o.phone, o.customer_id, o.name, o.currency,"
		" o.items::pg_catalog.jsonb AS items, o.shipping, o.tax, o.discount, o.coupon_code, o.coupon_discount, o.address,"
		" o.context FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2) e"
	};
	Datum		values[2] = {Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id)};
	bool		isnull;

	if (ico_execute(&plan, values, NULL) != 1)
		elog(ERROR, "open order vanished under its lock");
	return ico_column(0, 1, &isnull);
}

/* Keeps old and new values with the "edited" event just written. */
static void
write_changes(const IcoOrder *order, Datum before, Datum after)
{
	static IcoPlan plan = {
		"iujj",
		"INSERT INTO incomplete_orders.order_changes (shop_id, order_id, event_id, changes)"
		" SELECT $1, $2, pg_catalog.currval('incomplete_orders.event_seq'),"
		" pg_catalog.jsonb_object_agg(k, CASE WHEN k" EQ "'items' THEN"
		"  incomplete_orders.diff(($3 OPERATOR(pg_catalog.->) k)::incomplete_orders.line_items,"
		"   ($4 OPERATOR(pg_catalog.->) k)::incomplete_orders.line_items)"
		" ELSE pg_catalog.jsonb_build_array($3 OPERATOR(pg_catalog.->) k, $4 OPERATOR(pg_catalog.->) k) END)"
		" FROM pg_catalog.jsonb_object_keys($4) k"
		" WHERE ($3 OPERATOR(pg_catalog.->) k)" NE "($4 OPERATOR(pg_catalog.->) k)"
	};
	Datum		values[4] = {Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id), before, after};

	(void) ico_execute(&plan, values, NULL);
}

static void
check_version(const IcoOrder *order, FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"expected_version\" must not be null"),
				 errhint("It is the version of the order that was read before it was edited.")));
	if (order->version != PG_GETARG_INT32(argument))
		ereport(ERROR,
				(errcode(ICO_ERR_STALE_VERSION),
				 errmsg("order %s has changed since it was read",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id)))),
				 errdetail("It is at version %d, the edit was made on version %d.",
						   order->version, PG_GETARG_INT32(argument)),
				 errhint("Read it again and repeat the edit.")));
}

/* edit_order(id, changes, expected_version, at) -> integer */
Datum
ico_edit_order(PG_FUNCTION_ARGS)
{
	Call		call;
	IcoFacts	facts;
	LineItems  *items;
	IcoEvent	event = {.event = "edited"};
	Datum		before;
	Datum		after;
	int32		version;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"changes\" must not be null")));
	items = ico_read_edit(PG_GETARG_JSONB_P(1), &facts);
	SPI_connect();
	enter(fcinfo, ICO_RIGHT_edit_order, 3, false, &call);
	if (call.order.closed)
		ereport(ERROR,
				(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("order %s is %s and cannot be edited",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&call.order.id))),
						ico_status_names[call.order.status]),
				 errdetail("Only open orders change."),
				 errhint("Add a note with add_note(id, note).")));
	check_version(&call.order, fcinfo, 2);
	before = editable_facts(&call.order);
	version = ico_write_edit(&call.order, &call.shop, items, &facts, call.at);
	after = editable_facts(&call.order);
	if (!DatumGetBool(DirectFunctionCall2(jsonb_eq, before, after)))
	{
		event.at = call.at;
		ico_append_event(call.shop.shop_id, &call.order.id, &event);
		write_changes(&call.order, before, after);
	}
	SPI_finish();
	PG_RETURN_INT32(version);
}

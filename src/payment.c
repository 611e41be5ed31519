/*
 * payment.c
 *		Money of completed orders: record_payment, record_refund.
 *
 * Both lock the order's row (FOR UPDATE), change it and append the event to the
 * life of the incomplete order behind it; an order that none stands behind has
 * no such life.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "money.h"
#include "plan.h"
#include "tenant.h"

PG_FUNCTION_INFO_V1(ico_record_payment);
PG_FUNCTION_INFO_V1(ico_record_refund);

typedef struct PaidOrder
{
	pg_uuid_t	order_id;
	bool		has_incomplete;
	pg_uuid_t	incomplete_id;
	Datum		total;
	bool		paid;
	int64		refunded;
	char		currency[4];
} PaidOrder;

static void
lock_paid_order(int32 shop_id, const pg_uuid_t *order_id, PaidOrder *order)
{
	static IcoPlan plan = {
		"iu",
		"SELECT r.incomplete_order_id, r.total, r.paid, r.refunded, r.currency FROM incomplete_orders.orders r"
		" WHERE r.shop_id" EQ "$1 AND r.order_id" EQ "$2 FOR UPDATE"
	};
	Datum		values[2] = {Int32GetDatum(shop_id), UUIDPGetDatum(order_id)};
	Datum		value;
	bool		isnull;

	if (ico_execute(&plan, values, NULL) == 0)
		ico_refuse_order(order_id);
	order->order_id = *order_id;
	value = ico_column(0, 1, &isnull);
	order->has_incomplete = !isnull;
	if (!isnull)
		order->incomplete_id = *DatumGetUUIDP(value);
	order->total = ico_column(0, 2, &isnull);
	order->paid = DatumGetBool(ico_column(0, 3, &isnull));
	order->refunded = ico_stored_money(ico_column(0, 4, &isnull));
	strlcpy(order->currency, TextDatumGetCString(ico_column(0, 5, &isnull)), sizeof(order->currency));
}

/* $8 the order, $9 what was paid, $10 what was given back, $11 in which currency */
static void
append_money_event(int32 shop_id, const PaidOrder *order, const IcoEvent *event, Datum paid, Datum refund)
{
	static IcoPlan plan = {
		ICO_EVENT_ARGS "unnt",
		"WITH o AS (" ICO_EVENT_ROW("open_orders") " UNION ALL " ICO_EVENT_ROW("closed_orders") "), "
		ICO_EVENT_ROWS_OF("o", "$3", "$4", "$5", "$6", "r.status", "$7", "$11", ICO_ROW_TOTAL,
						  ", order_ref, paid_amount, refund_amount", ", $8, $9, $10") ICO_EVENT_TAIL
	};
	IcoArgs		args;

	if (!order->has_incomplete)
		return;
	ico_event_args(&args, shop_id, &order->incomplete_id, event, NULL);
	ico_arg(&args, UUIDPGetDatum(&order->order_id));
	if (paid != (Datum) 0)
		ico_arg(&args, paid);
	else
		ico_arg_null(&args);
	if (refund != (Datum) 0)
		ico_arg(&args, refund);
	else
		ico_arg_null(&args);
	ico_arg(&args, CStringGetTextDatum(order->currency));
	(void) ico_execute(&plan, args.values, args.nulls);
}

bool
ico_mark_paid(int32 shop_id, const pg_uuid_t *order_id, TimestampTz at)
{
	static IcoPlan plan = {
		"iuz",
		"UPDATE incomplete_orders.orders SET paid = true, paid_at = $3 WHERE shop_id" EQ "$1 AND order_id" EQ "$2"
	};
	PaidOrder	order;
	IcoEvent	event = {.event = "paid", .at = at};
	Datum		values[3] = {Int32GetDatum(shop_id), UUIDPGetDatum(order_id), TimestampTzGetDatum(at)};

	lock_paid_order(shop_id, order_id, &order);
	if (order.paid)
		return false;
	(void) ico_execute(&plan, values, NULL);
	append_money_event(shop_id, &order, &event, order.total, (Datum) 0);
	return true;
}

Datum
ico_record_payment(PG_FUNCTION_ARGS)
{
	IcoShop		shop;
	pg_uuid_t  *order_id = ico_require_id(fcinfo, 0, "order_id");
	bool		newly;

	SPI_connect();
	ico_enter_order(ICO_RIGHT_record_payment, order_id, &shop);
	newly = ico_mark_paid(shop.shop_id, order_id, ico_enter_at(fcinfo, 1, &shop));
	SPI_finish();
	PG_RETURN_BOOL(newly);
}

/* True when this key was used before, with the same amount. */
static bool
refund_is_repeat(int32 shop_id, const pg_uuid_t *order_id, text *key, int64 amount)
{
	static IcoPlan plan = {
		"iut",
		"SELECT amount FROM incomplete_orders.order_refunds WHERE shop_id" EQ "$1 AND order_id" EQ "$2"
		" AND idempotency_key" EQ "$3"
	};
	Datum		values[3] = {Int32GetDatum(shop_id), UUIDPGetDatum(order_id), PointerGetDatum(key)};
	bool		isnull;

	if (key == NULL || ico_execute(&plan, values, NULL) == 0)
		return false;
	if (ico_stored_money(ico_column(0, 1, &isnull)) != amount)
		ereport(ERROR,
				(errcode(ICO_ERR_KEY_REUSED),
				 errmsg("idempotency key was used with another amount"),
				 errdetail("The first call with this key gave back another sum."),
				 errhint("Use a new key for a new refund.")));
	return true;
}

static void
check_refund(const PaidOrder *order, int64 amount)
{
	int64		unit = ICO_MONEY_SCALE;

	for (int i = ico_currency_exponent(order->currency); i > 0; i--)
		unit /= 10;
	if (!order->paid)
		ereport(ERROR,
				(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("an order that is not paid cannot be refunded"),
				 errdetail("There is nothing to give back."),
				 errhint("Call record_payment first.")));
	if (amount % unit != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amount\" is finer than the currency"),
				 errdetail("%s has %d decimals.", order->currency, ico_currency_exponent(order->currency))));
	if (amount > ico_stored_money(order->total) - order->refunded)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amount\" is more than is left of the order's total")));
}

static void
write_refund(int32 shop_id, const PaidOrder *order, Datum amount, text *key, TimestampTz at)
{
	static IcoPlan plan = {
		"iuntz",
		"WITH r AS (UPDATE incomplete_orders.orders SET refunded = refunded" PLUS "$3"
		" WHERE shop_id" EQ "$1 AND order_id" EQ "$2)"
		" INSERT INTO incomplete_orders.order_refunds (shop_id, order_id, refund, amount, idempotency_key, refunded_at)"
		" SELECT $1, $2, COALESCE(pg_catalog.max(f.refund), 0)" PLUS "1, $3, $4, $5"
		" FROM incomplete_orders.order_refunds f WHERE f.shop_id" EQ "$1 AND f.order_id" EQ "$2"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(shop_id));
	ico_arg(&args, UUIDPGetDatum(&order->order_id));
	ico_arg(&args, amount);
	ico_arg_text(&args, key);
	ico_arg(&args, TimestampTzGetDatum(at));
	(void) ico_execute(&plan, args.values, args.nulls);
}

Datum
ico_record_refund(PG_FUNCTION_ARGS)
{
	IcoShop		shop;
	PaidOrder	order;
	IcoEvent	event = {.event = "refunded"};
	pg_uuid_t  *order_id = ico_require_id(fcinfo, 0, "order_id");
	text	   *key = ico_optional_key(fcinfo, 2, "idempotency_key");
	int64		amount;
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext inner;
	Numeric		sum;

	if (PG_ARGISNULL(1) || !ico_money_from_numeric(PG_GETARG_NUMERIC(1), &amount) || amount <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amount\" is not a positive amount of money")));
	SPI_connect();
	ico_enter_order(ICO_RIGHT_record_refund, order_id, &shop);
	event.at = ico_enter_at(fcinfo, 3, &shop);
	lock_paid_order(shop.shop_id, order_id, &order);
	if (!refund_is_repeat(shop.shop_id, order_id, key, amount))
	{
		check_refund(&order, amount);
		write_refund(shop.shop_id, &order, PG_GETARG_DATUM(1), key, event.at);
		append_money_event(shop.shop_id, &order, &event, (Datum) 0, PG_GETARG_DATUM(1));
		order.refunded += amount;
	}
	inner = MemoryContextSwitchTo(outer);
	sum = ico_amount_numeric(order.refunded, ico_currency_exponent(order.currency));
	MemoryContextSwitchTo(inner);
	SPI_finish();
	PG_RETURN_NUMERIC(sum);
}

/*
 * tick_payments.c
 *		Payments that are due: the shop is asked what became of them.
 *
 * A batch of tick (_tick_payments) takes orders whose payment's deadline is over and
 * calls the shop's function for each, as the role that named it (hook.c).
 *
 * Locks: tick's advisory lock; the rows that are asked for, FOR UPDATE SKIP LOCKED.
 * Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "convert.h"
#include "hook.h"
#include "lifecycle.h"
#include "plan.h"
#include "tenant.h"
#include "tick.h"

PG_FUNCTION_INFO_V1(ico_tick_payments);

/* payments of one shop that one batch asks for */
#define PAYMENTS_PER_SHOP 5

typedef struct Asking
{
	char	   *function;
	char	   *role;
	text	   *reference;
	IcoShop		shop;
	IcoOrder	order;
	TimestampTz at;
	char	   *answer;
} Asking;

static void
forget_failure(int32 shop_id, const char *hook)
{
	static IcoPlan plan = {
		"it", "DELETE FROM incomplete_orders.hook_failures WHERE shop_id" EQ "$1 AND hook" EQ "$2"
	};
	Datum		values[2] = {Int32GetDatum(shop_id), CStringGetTextDatum(hook)};

	(void) ico_execute(&plan, values, NULL);
}

static void
act_on_answer(void *arg)
{
	Asking	   *asking = arg;
	IcoOrder	order;

	/* the hook may have changed it */
	if (!ico_read_open(asking->order.shop_id, &asking->order.id, true, &order) || order.status != ICO_PAYMENT_PENDING)
		return;
	if (strcmp(asking->answer, "paid") == 0)
		ico_convert_paid(&order, &asking->shop, asking->at);
	else
		ico_fail_payment(&order, &asking->shop, asking->at, NULL);
}

/*
 * Asks for one payment whose deadline is over, and does what the shop says:
 * paid, failed or pending.  Any other answer, an error and an order that cannot
 * be converted are failures of the hook; then the order waits.
 */
static void
ask_payment(Asking *asking)
{
	IcoOrder	copy = asking->order;
	IcoEvent	event;
	bool		pending = false;
	int			sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
	ErrorData  *error = NULL;
	bool		good;

	if (!ico_take_step(&copy, &asking->shop, asking->at, &event))
	{
		ico_look_again(&asking->order, event.at);
		return;
	}
	good = ico_call_text_hook(asking->order.shop_id, asking->function, asking->role, asking->reference,
							  &asking->answer, &sqlstate);
	if (good)
	{
		pending = asking->answer != NULL && strcmp(asking->answer, "pending") == 0;
		good = asking->answer != NULL &&
			(pending || strcmp(asking->answer, "paid") == 0 || strcmp(asking->answer, "failed") == 0);
		if (good && !pending)
			error = ico_try(act_on_answer, asking);
	}
	if (error != NULL)
	{
		good = false;
		sqlstate = error->sqlerrcode;
	}
	if (good)
		forget_failure(asking->order.shop_id, "payment_state");
	else
		ico_record_failure(asking->order.shop_id, "payment_state", sqlstate);
	if (pending || !good)
		ico_look_again(&asking->order, asking->at + ICO_TRY_AGAIN);
}

/* A row of the statement below as a question; false when it is gone. */
static bool
read_asking(SPITupleTable *due, uint64 row, TimestampTz at, Asking *asking)
{
	HeapTuple	tuple = due->vals[row];
	bool		isnull;
	Datum		reference = SPI_getbinval(tuple, due->tupdesc, 5, &isnull);
	int32		shop_id;

	asking->reference = isnull ? cstring_to_text("") : DatumGetTextPP(reference);
	asking->function = SPI_getvalue(tuple, due->tupdesc, 3);
	asking->role = SPI_getvalue(tuple, due->tupdesc, 4);
	asking->at = at;
	shop_id = DatumGetInt32(SPI_getbinval(tuple, due->tupdesc, 1, &isnull));
	return ico_shop_by_id(shop_id, &asking->shop) &&
		ico_read_open(shop_id, DatumGetUUIDP(SPI_getbinval(tuple, due->tupdesc, 2, &isnull)), true, &asking->order);
}

/* Asks for those rows; one hook that took too long is not called again in this batch. */
static void
ask_payments(SPITupleTable *due, uint64 n, TimestampTz at)
{
	int32		late_shop = 0;

	for (uint64 i = 0; i < n; i++)
	{
		Asking		asking;

		CHECK_FOR_INTERRUPTS();
		if (!read_asking(due, i, at, &asking))
			continue;
		if (asking.order.shop_id == late_shop)
		{
			ico_look_again(&asking.order, at + ICO_TRY_AGAIN);
			continue;
		}
		ask_payment(&asking);
		if (ico_hook_was_late())
			late_shop = asking.order.shop_id;
	}
}

/* _tick_payments(shops, at, most): how many payments were asked for; -1: busy */
Datum
ico_tick_payments(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"Aziis",
		"SELECT o.shop_id, o.id, s.payment_state, s.payment_state_role, o.payment_reference"
		" FROM incomplete_orders.shops s CROSS JOIN LATERAL (SELECT q.shop_id, q.id, q.payment_reference"
		"  FROM incomplete_orders.open_orders q WHERE q.shop_id" EQ "s.shop_id AND q.next_action_at" LE "$2"
		"  AND q.status" EQ "$5 ORDER BY q.next_action_at LIMIT $4 FOR UPDATE SKIP LOCKED) o"
		" WHERE s.shop_id" EQ "ANY ($1) AND s.payment_state IS NOT NULL LIMIT $3"
	};
	ArrayType  *shops = PG_GETARG_ARRAYTYPE_P_COPY(0);
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	Datum		values[5] = {PointerGetDatum(shops)};
	uint64		n_due;

	SPI_connect();
	ico_check_tick_right(shops, at);
	if (!ico_try_lock_tick())
	{
		SPI_finish();
		PG_RETURN_INT32(-1);
	}
	/* the shop can say nothing of a payment in the future */
	at = Min(at, GetCurrentTimestamp());
	values[1] = TimestampTzGetDatum(at);
	values[2] = PG_GETARG_DATUM(2);
	values[3] = Int32GetDatum(PAYMENTS_PER_SHOP);
	values[4] = ico_status_datum(ICO_PAYMENT_PENDING);
	n_due = ico_execute(&plan, values, NULL);
	ask_payments(SPI_tuptable, n_due, at);
	SPI_finish();
	PG_RETURN_INT32((int32) n_due);
}

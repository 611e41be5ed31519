/*
 * attach_sample.c
 *		A few carts of a shop, as tick would read them, for who attaches it.
 *
 * The same reader and the same words as in tick (attach_read.c, attach_cart.c),
 * but nothing is written, and the attachment need not be there yet.
 *
 * Memory: the SPI context of the call.  Locks: those of a SELECT.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "attach.h"
#include "compat.h"
#include "errors.h"
#include "lifecycle.h"
#include "money.h"
#include "plan.h"

PG_FUNCTION_INFO_V1(ico_sample_carts);

typedef struct Keys
{
	MemoryContext context;
	ArrayType  *array;
} Keys;

static void
read_keys(void *arg, uint64 rows)
{
	Keys	   *keys = arg;
	MemoryContext old = MemoryContextSwitchTo(keys->context);
	Datum	   *elements = palloc((rows + 1) * sizeof(Datum));
	bool		isnull;

	for (uint64 i = 0; i < rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		elements[i] = ico_column(i, 1, &isnull);
	}
	keys->array = construct_array(elements, rows, TEXTOID, -1, false, TYPALIGN_INT);
	MemoryContextSwitchTo(old);
}

static const char *
state_of(const IcoCart *cart, const IcoCartValues *values)
{
	if (cart->truths[ICO_C_COMPLETED])
		return "completed";
	if (cart->truths[ICO_C_DELETED])
		return "deleted";
	if (cart->truths[ICO_C_SUPERSEDED])
		return "superseded";
	if (cart->truths[ICO_C_IN_PROGRESS])
		return "in_progress";
	return values->items != NULL && ico_items_lines(values->items) > 0 ? "open" : "empty";
}

static void
put_cart(ReturnSetInfo *rsinfo, const IcoAttachment *attachment, const IcoCart *cart)
{
	static const IcoCartText texts[] = {
		ICO_C_SESSION, ICO_C_CUSTOMER, ICO_C_EMAIL, ICO_C_PHONE, ICO_C_NAME, ICO_C_LOCALE, ICO_C_TIME_ZONE, ICO_C_CONSENT, ICO_C_CURRENCY
	};
	IcoCartValues values;
	Datum		row[6 + lengthof(texts)] = {0};
	bool		nulls[6 + lengthof(texts)] = {false};

	ico_cart_values(attachment, cart, &values);
	row[0] = PointerGetDatum(cart->texts[ICO_C_KEY]);
	row[1] = CStringGetTextDatum(state_of(cart, &values));
	nulls[2] = values.fault == NULL;
	if (!nulls[2])
		row[2] = CStringGetTextDatum(values.fault);
	nulls[3] = values.items == NULL;
	row[3] = PointerGetDatum(values.items);
	nulls[4] = !values.has_total;
	if (!nulls[4])
		row[4] = NumericGetDatum(ico_amount_numeric(values.total, 2));
	nulls[5] = cart->updated_at == ICO_NONE;
	row[5] = TimestampTzGetDatum(cart->updated_at);
	for (int i = 0; i < lengthof(texts); i++)
	{
		nulls[6 + i] = cart->texts[texts[i]] == NULL;
		row[6 + i] = PointerGetDatum(cart->texts[texts[i]]);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, nulls);
}

/* _sample_carts(shop_id, name, role, role_oid, decimals, read_query, list_query, n) */
Datum
ico_sample_carts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IcoAttachment attachment = {
		.name = text_to_cstring(PG_GETARG_TEXT_PP(1)), .role = text_to_cstring(PG_GETARG_TEXT_PP(2)), .role_oid = PG_GETARG_OID(3),
		.decimals = PG_GETARG_INT32(4), .read_query = text_to_cstring(PG_GETARG_TEXT_PP(5)),
		.list_query = text_to_cstring(PG_GETARG_TEXT_PP(6))
	};
	Oid			types[2] = {TEXTOID, INT4OID};
	Datum		values[2] = {(Datum) 0, PG_GETARG_DATUM(7)};
	Keys		keys;
	IcoCart    *carts;
	IcoTrouble	trouble;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	keys.context = CurrentMemoryContext;
	if (!ico_shop_by_id(PG_GETARG_INT32(0), &attachment.shop))
		elog(ERROR, "shop %d does not exist", PG_GETARG_INT32(0));
	if (!ico_read_as(&attachment, attachment.list_query, 2, types, values, "n ", read_keys, &keys, &trouble) ||
		!ico_read_carts(&attachment, keys.array, &carts, &n, &trouble))
		ereport(ERROR,
				(errcode(ICO_ERR_BAD_MAPPING),
				 errmsg("the carts of attachment \"%s\" cannot be read", attachment.name),
				 errdetail("%s (%s)", trouble.message, unpack_sql_state(trouble.sqlstate)),
				 errhint("They are read as role \"%s\". incomplete_orders.attach() with dry_run => true shows what does not fit, and the same without it changes the mapping.",
						 attachment.role)));
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_cart(rsinfo, &attachment, &carts[i]);
	}
	SPI_finish();
	return (Datum) 0;
}

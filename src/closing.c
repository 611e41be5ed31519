/*
 * closing.c
 *		An open order's row leaves open_orders and enters closed_orders.
 *
 * The way of a conversion, where it must be quick: one plain statement for each
 * row.  A single data-modifying WITH does the same, but hands whole rows from
 * one part to the next, which costs more than the rows themselves.
 *
 * Both tables have the columns of open_orders, and a user may have added some to
 * both: so the INSERT is made of the columns that both have, by name, and made
 * anew when one of the tables changes.
 *
 * Between two of those statements the order is in neither table; nobody else can
 * see that, and the triggers of this transaction are told: ico_vouch_next().
 *
 * Memory: rows live in the caller's SPI context; the INSERT's plan and its map
 * of columns under TopMemoryContext.  Locks: the order's row, which is deleted.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "closing.h"
#include "compat.h"
#include "errors.h"
#include "lifecycle.h"
#include "line_items.h"
#include "money.h"
#include "plan.h"

/* what the conversion of a taken row reads, by position in it */
typedef enum TakenColumn
{
	T_ROOT_ID, T_KIND, T_STATUS, T_EPISODE, T_VERSION, T_LAST_ACTIVITY_AT, T_ABANDONED_AT, T_LOST_AT, T_EXPIRES_AT,
	T_PAYMENT_DEADLINE, T_ITEMS, T_CURRENCY, T_SHIPPING, T_TAX, T_DISCOUNT, T_COUPON_DISCOUNT, T_FURTHEST_STEP,
	T_CONTEXT, T_BOT, T_CREATED_AT, T_CUSTOMER_ID, T_EMAIL, T_PHONE, T_COUPON_CODE
} TakenColumn;
#define TAKEN_COLUMNS 24

static const char *const taken_names[TAKEN_COLUMNS] = {
	"root_id", "kind", "status", "episode", "version", "last_activity_at", "abandoned_at", "lost_at", "expires_at",
	"payment_deadline", "items", "currency", "shipping", "tax", "discount", "coupon_discount", "furthest_step",
	"context", "bot", "created_at", "customer_id", "email", "phone", "coupon_code"
};
static int	taken_positions[TAKEN_COLUMNS];

/*
 * The INSERT into closed_orders.  Its first parameters are the columns that both
 * tables have, but those that is_copied() leaves out; put_positions says which
 * column of the taken row each of them is.
 */
static IcoPlan put_plan;
static int	n_put = 0;
static int *put_positions = NULL;
static bool put_valid = false;
static bool names_valid = false;	/* of ico_shared_columns() */
static Oid	open_relid = InvalidOid;
static Oid	closed_relid = InvalidOid;

/* its parameters behind those */
typedef enum PutParameter
{
	PUT_ITEMS, PUT_STATUS, PUT_CLOSED_AT, PUT_REASON, PUT_LATE
} PutParameter;
#define PUT_PARAMETERS 5

static void
forget_columns(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == open_relid || relid == closed_relid)
		put_valid = names_valid = false;
}

void
ico_closing_init(void)
{
	CacheRegisterRelcacheCallback(forget_columns, (Datum) 0);
}

/* Lines and state are the closing's to say; nothing is due any more. */
static bool
is_copied(Form_pg_attribute att)
{
	const char *name = NameStr(att->attname);

	return !att->attisdropped && att->attgenerated == '\0' &&
		strcmp(name, "status") != 0 && strcmp(name, "next_action_at") != 0 && strcmp(name, "items") != 0 &&
		strcmp(name, "next_message_at") != 0 && strcmp(name, "sequence_step") != 0;
}

static bool
has_column(Relation relation, Form_pg_attribute wanted)
{
	for (int i = 0; i < relation->rd_att->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(relation->rd_att, i);

		if (is_copied(att) && att->atttypid == wanted->atttypid &&
			strcmp(NameStr(att->attname), NameStr(wanted->attname)) == 0)
			return true;
	}
	return false;
}

/*
 * Returns the list "a, b, " of the columns that both tables have, and fills
 * positions and types, where they are wanted; *n is their number.
 */
static char *
shared_columns(Relation open, int *positions, Oid *types, int *n)
{
	Relation	closed = table_open(closed_relid, AccessShareLock);
	StringInfoData columns;

	initStringInfo(&columns);
	*n = 0;
	for (int i = 0; i < open->rd_att->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(open->rd_att, i);

		if (!is_copied(att) || !has_column(closed, att))
			continue;
		if (positions != NULL)
		{
			positions[*n] = i;
			types[*n] = att->atttypid;
		}
		(*n)++;
		appendStringInfo(&columns, "%s, ", quote_identifier(NameStr(att->attname)));
	}
	table_close(closed, AccessShareLock);
	return columns.data;
}

static void
find_tables(void)
{
	open_relid = get_relname_relid("open_orders", ico_catalog()->schema);
	closed_relid = get_relname_relid("closed_orders", ico_catalog()->schema);
}

uint64
ico_shared_columns(const char **columns)
{
	static char *names = NULL;
	static uint64 generation = 0;

	if (names == NULL || !names_valid)
	{
		Relation	open;
		char	   *found;
		int			n;

		find_tables();
		names_valid = true;		/* what is invalidated from here on is read again */
		open = table_open(open_relid, AccessShareLock);
		found = shared_columns(open, NULL, NULL, &n);
		table_close(open, AccessShareLock);
		if (names == NULL || strcmp(names, found) != 0)
		{
			if (names != NULL)
				pfree(names);
			names = MemoryContextStrdup(TopMemoryContext, found);
			generation++;
		}
	}
	*columns = names;
	return generation;
}

static void
forget_put(void)
{
	ico_plan_free(&put_plan);
	if (put_plan.query != NULL)
		pfree(unconstify(char *, put_plan.query));
	if (put_plan.types != NULL)
		pfree(unconstify(Oid *, put_plan.types));
	if (put_positions != NULL)
		pfree(put_positions);
	memset(&put_plan, 0, sizeof(put_plan));
	put_positions = NULL;
}

static void
prepare_put(Relation open)
{
	MemoryContext old;
	StringInfoData query;
	Oid		   *types;
	char	   *columns;

	forget_put();
	old = MemoryContextSwitchTo(TopMemoryContext);
	put_positions = palloc(open->rd_att->natts * sizeof(int));
	types = palloc((open->rd_att->natts + PUT_PARAMETERS) * sizeof(Oid));
	columns = shared_columns(open, put_positions, types, &n_put);
	types[n_put + PUT_ITEMS] = ico_catalog()->line_items;
	types[n_put + PUT_STATUS] = ico_catalog()->status_type;
	types[n_put + PUT_CLOSED_AT] = TIMESTAMPTZOID;
	types[n_put + PUT_REASON] = TEXTOID;
	types[n_put + PUT_LATE] = BOOLOID;
	initStringInfo(&query);
	appendStringInfo(&query, "INSERT INTO incomplete_orders.closed_orders"
					 " (%sitems, status, closed_at, close_reason, late) VALUES ($1", columns);
	pfree(columns);
	for (int i = 2; i <= n_put + PUT_PARAMETERS; i++)
		appendStringInfo(&query, ", $%d", i);
	appendStringInfoChar(&query, ')');
	put_plan.types = types;
	put_plan.ntypes = n_put + PUT_PARAMETERS;
	put_plan.query = query.data;
	MemoryContextSwitchTo(old);
	for (int i = 0; i < TAKEN_COLUMNS; i++)
		taken_positions[i] = SPI_fnumber(open->rd_att, taken_names[i]) - 1;
}

/* open_orders, which the transaction has locked, with the plan made for it. */
static Relation
open_table(void)
{
	Relation	open;
	bool		current = put_valid && put_plan.plan != NULL;

	if (!current)
	{
		find_tables();
		put_valid = true;		/* what is invalidated from here on is read again */
	}
	open = table_open(open_relid, NoLock);
	if (!current)
		prepare_put(open);
	return open;
}

static TimestampTz
taken_instant(const IcoTaken *taken, TakenColumn column)
{
	int			i = taken_positions[column];

	return taken->nulls[i] ? ICO_NONE : DatumGetTimestampTz(taken->values[i]);
}

static Datum
taken_value(const IcoTaken *taken, TakenColumn column)
{
	return taken->values[taken_positions[column]];
}

static text *
taken_text(const IcoTaken *taken, TakenColumn column)
{
	int			i = taken_positions[column];

	return taken->nulls[i] ? NULL : DatumGetTextPP(taken->values[i]);
}

void
ico_taken_person(const IcoTaken *taken, text **customer_id, text **email, text **phone)
{
	*customer_id = taken_text(taken, T_CUSTOMER_ID);
	*email = taken_text(taken, T_EMAIL);
	*phone = taken_text(taken, T_PHONE);
}

text *
ico_taken_coupon(const IcoTaken *taken)
{
	return taken_text(taken, T_COUPON_CODE);
}

static void
read_taken(const IcoTaken *taken, int32 shop_id, const pg_uuid_t *id, IcoOrder *order)
{
	memset(order, 0, sizeof(*order));
	order->shop_id = shop_id;
	order->id = *id;
	order->root_id = *DatumGetUUIDP(taken_value(taken, T_ROOT_ID));
	order->kind = ico_kind_of(taken_value(taken, T_KIND));
	order->status = ico_status_of(taken_value(taken, T_STATUS));
	order->episode = DatumGetInt32(taken_value(taken, T_EPISODE));
	order->version = DatumGetInt32(taken_value(taken, T_VERSION));
	order->items = PointerGetDatum(DatumGetLineItemsP(taken_value(taken, T_ITEMS)));
	order->empty = ico_items_lines(DatumGetLineItemsP(order->items)) == 0;
	order->last_activity_at = taken_instant(taken, T_LAST_ACTIVITY_AT);
	order->abandoned_at = taken_instant(taken, T_ABANDONED_AT);
	order->lost_at = taken_instant(taken, T_LOST_AT);
	order->expires_at = taken_instant(taken, T_EXPIRES_AT);
	order->payment_deadline = taken_instant(taken, T_PAYMENT_DEADLINE);
	order->currency = taken_value(taken, T_CURRENCY);
	for (int i = 0; i < 4; i++)
		order->charges[i] = taken_value(taken, T_SHIPPING + i);
}

/*
 * The plan returns the whole row as one value, which is cheaper than 38 of them;
 * a name that no column has means the row.
 */
#define TAKE \
	"DELETE FROM incomplete_orders.open_orders taken_row" \
	" WHERE taken_row.shop_id" EQ "$1 AND taken_row.id" EQ "$2"

static bool
take(IcoPlan *plan, Datum *values, IcoTaken *taken)
{
	Relation	open;
	HeapTupleHeader row;
	HeapTupleData tuple;
	bool		isnull;

	ico_vouch_next();
	if (ico_execute(plan, values, NULL) != 1)
		return false;
	open = open_table();
	row = DatumGetHeapTupleHeader(ico_column(0, 1, &isnull));
	tuple.t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = row;
	taken->values = palloc(open->rd_att->natts * sizeof(Datum));
	taken->nulls = palloc(open->rd_att->natts * sizeof(bool));
	heap_deform_tuple(&tuple, open->rd_att, taken->values, taken->nulls);
	table_close(open, NoLock);
	return true;
}

bool
ico_take_ordinary(const IcoShop *shop, const pg_uuid_t *id, TimestampTz at, IcoTaken *taken, IcoOrder *order)
{
	static IcoPlan plan = {
		"iuzzz",
		TAKE " AND incomplete_orders._is_ordinary(taken_row.status, taken_row.kind, taken_row.last_activity_at,"
		" taken_row.expires_at, taken_row.next_action_at, $3, $4, $5) RETURNING taken_row"
	};
	Datum		values[5] = {
		Int32GetDatum(shop->shop_id), UUIDPGetDatum(id), TimestampTzGetDatum(at),
		TimestampTzGetDatum(at - shop->cut_off), TimestampTzGetDatum(at + shop->cut_off)
	};

	if (!take(&plan, values, taken))
		return false;
	read_taken(taken, shop->shop_id, id, order);
	return true;
}

void
ico_take_locked(const IcoOrder *order, IcoTaken *taken)
{
	static IcoPlan plan = {"iu", TAKE " RETURNING taken_row"};
	Datum		values[2] = {Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id)};

	if (!take(&plan, values, taken))
		ereport(ERROR,
				(errcode(ICO_ERR_INVARIANT),
				 errmsg("a row did not leave table \"open_orders\""),
				 errdetail("A trigger or rule on that table kept it there."),
				 errhint("Drop that trigger or rule, or let it pass deletions.")));
}

void
ico_require_rows(const char *table, uint64 written, uint64 wanted)
{
	if (written != wanted)
		ereport(ERROR,
				(errcode(ICO_ERR_INVARIANT),
				 errmsg("a row did not reach table \"%s\"", table),
				 errdetail("A trigger or rule on that table kept it out."),
				 errhint("An order's rows belong together: none may be left out.")));
}

void
ico_put_closed(const IcoTaken *taken, IcoStatus status, LineItems *items, const IcoEvent *event, bool late)
{
	Datum	   *values = palloc((n_put + PUT_PARAMETERS) * sizeof(Datum));
	char	   *nulls = palloc((n_put + PUT_PARAMETERS) * sizeof(char));

	for (int i = 0; i < n_put; i++)
	{
		values[i] = taken->values[put_positions[i]];
		nulls[i] = taken->nulls[put_positions[i]] ? 'n' : ' ';
	}
	memset(nulls + n_put, ' ', PUT_PARAMETERS);
	values[n_put + PUT_ITEMS] = items != NULL ? PointerGetDatum(items) : taken_value(taken, T_ITEMS);
	values[n_put + PUT_STATUS] = ico_status_datum(status);
	values[n_put + PUT_CLOSED_AT] = TimestampTzGetDatum(event->at);
	values[n_put + PUT_REASON] = PointerGetDatum(event->reason_text);
	if (event->reason_text == NULL)
		nulls[n_put + PUT_REASON] = 'n';
	values[n_put + PUT_LATE] = BoolGetDatum(late);
	/*
	 * What parts were made of before may have been changed by others since: no
	 * trigger watches the lines of an open order, as it would cost each capture.
	 */
	if (ico_kind_of(taken_value(taken, T_KIND)) != ICO_PARTIAL)
		ico_vouch_next();
	ico_require_rows("closed_orders", ico_execute(&put_plan, values, nulls), 1);
}

void
ico_put_closed_event(const IcoTaken *taken, const IcoOrder *order, LineItems *items, const IcoEvent *event,
					 IcoStatus after, const IcoSale *sale)
{
	Datum		stored = items != NULL ? PointerGetDatum(items) : taken_value(taken, T_ITEMS);
	IcoEventRow row = {
		.root_id = order->root_id,
		.episode = order->episode,
		.after = after,
		.kind = taken_value(taken, T_KIND),
		.currency = sale != NULL ? sale->currency : taken_value(taken, T_CURRENCY),
		.item_count = ico_items_count(DatumGetLineItemsP(stored)),
		.furthest_step = taken_value(taken, T_FURTHEST_STEP),
		.bot = DatumGetBool(taken_value(taken, T_BOT)),
		.created_at = taken_instant(taken, T_CREATED_AT),
		.abandoned_at = taken_instant(taken, T_ABANDONED_AT),
	};

	if (sale != NULL)
	{
		row.order_ref = sale->order_ref;
		row.paid_amount = sale->paid_amount;
		row.coupon_cost = sale->coupon_cost;
	}
	if (sale != NULL && sale->value != (Datum) 0)
		row.value = sale->value;
	else
		row.value = DirectFunctionCall6(ico_order_total_sql, stored, taken_value(taken, T_SHIPPING),
										taken_value(taken, T_TAX), taken_value(taken, T_DISCOUNT),
										taken_value(taken, T_COUPON_DISCOUNT), taken_value(taken, T_CURRENCY));
	if (!taken->nulls[taken_positions[T_CONTEXT]])
		row.context = taken_value(taken, T_CONTEXT);
	ico_put_event(order->shop_id, &order->id, event, &order->status, &row);
}

/*
 * invariants.c
 *		Triggers that hold the promises whoever writes, a superuser included.
 *
 * guard_move refuses changes of state that the transition table does not have;
 * check_order holds at commit what must be true of one incomplete order:
 *	- its id is in exactly one of open_orders and closed_orders, in a state that
 *	  belongs there
 *	- every order made from it stands on a converted (or reversed) one, or on a
 *	  partial one that carries those lines as filled (and perhaps more: what was
 *	  filled before it was captured); a converted one has orders
 *	- an order's total is the sum of its lines and charges
 *	- there is its shop: hot tables have no foreign key, and whoever waited for
 *	  delete_shop() finds it gone here
 * There are three exceptions, each named for the rest of one transaction: whole
 * orders that are deleted with everything made from them (_allow_purge:
 * delete_shop), closed orders whose time is over while the orders made from
 * them stay (_allow_retention: retention, cleanup), and consents of a person who
 * is forgotten (_allow_erasure); guard_consents refuses any other change of them.
 *
 * One statement queues several of these deferred triggers for one order; the
 * second and later ones find the first one's answer by id and command id.  What
 * statements of ours wrote that had computed it is not read again: ico_vouch_next().
 * No locks but those of reading; memory is the SPI context's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "errors.h"
#include "lifecycle.h"
#include "line_items.h"
#include "plan.h"
#include "tenant.h"

PG_FUNCTION_INFO_V1(ico_guard_move);
PG_FUNCTION_INFO_V1(ico_check_order);
PG_FUNCTION_INFO_V1(ico_refuse_truncate);
PG_FUNCTION_INFO_V1(ico_allow_purge);
PG_FUNCTION_INFO_V1(ico_allow_retention);
PG_FUNCTION_INFO_V1(ico_allow_erasure);
PG_FUNCTION_INFO_V1(ico_guard_consents);
PG_FUNCTION_INFO_V1(ico_filled_count);

/* the local transaction in which whole orders may be deleted */
static LocalTransactionId purging = InvalidLocalTransactionId;
/* the local transaction in which closed orders may be deleted */
static LocalTransactionId retiring = InvalidLocalTransactionId;
/* the local transaction in which consents may be deleted */
static LocalTransactionId erasing = InvalidLocalTransactionId;

/* what was found right last: nothing has been written since */
typedef struct Checked
{
	LocalTransactionId transaction;
	CommandId	command;
	pg_uuid_t	id;
} Checked;
static Checked checked_incomplete;
static Checked checked_total;

/*
 * Statements of ours in this transaction whose rows are right because they were
 * computed to be: no need to read them all again.  What else touches such rows
 * is a command of its own, and is checked.  A command id may be taken by another
 * statement after a savepoint was rolled back, but then the transaction id is
 * another one.
 */
typedef struct Vouched
{
	CommandId	command;
	TransactionId xid;
} Vouched;
static Vouched *vouched = NULL;		/* in TopTransactionContext */
static int	n_vouched = 0;
static int	vouched_size = 0;
static LocalTransactionId vouched_in = InvalidLocalTransactionId;

static bool
already_checked(const Checked *last, const pg_uuid_t *id)
{
	return last->transaction == ICO_LXID && last->command == GetCurrentCommandId(false) &&
		memcmp(&last->id, id, sizeof(pg_uuid_t)) == 0;
}

/*
 * Only after the check: one that failed inside a savepoint must fail again at
 * commit, and rolling back to the savepoint leaves the command id as it was.
 */
static void
remember_checked(Checked *last, const pg_uuid_t *id)
{
	last->transaction = ICO_LXID;
	/* used: whatever is written from here on gets a later command id */
	last->command = GetCurrentCommandId(true);
	last->id = *id;
}

void
ico_vouch_next(void)
{
	/* before a transaction id is asked for: a standby has none to give */
	PreventCommandDuringRecovery("INSERT");
	CommandCounterIncrement();
	if (vouched == NULL || vouched_in != ICO_LXID)
	{
		/* the former one went with its transaction */
		vouched_size = 16;
		vouched = MemoryContextAlloc(TopTransactionContext, vouched_size * sizeof(Vouched));
		n_vouched = 0;
		vouched_in = ICO_LXID;
	}
	if (n_vouched == vouched_size)
	{
		vouched_size *= 2;
		vouched = repalloc_huge(vouched, vouched_size * sizeof(Vouched));
	}
	vouched[n_vouched].command = GetCurrentCommandId(false);
	vouched[n_vouched++].xid = GetCurrentTransactionId();
}

/* They were added in the order of their command ids. */
static bool
find_vouched(TransactionId xid, CommandId command)
{
	int			low = 0;
	int			high = n_vouched;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (vouched[middle].command < command)
			low = middle + 1;
		else
			high = middle;
	}
	/* one that failed before its statement began left its id to the next one */
	for (; low < n_vouched && vouched[low].command == command; low++)
	{
		if (vouched[low].xid == xid)
			return true;
	}
	return false;
}

/*
 * Whether a command that was vouched for wrote what this event is about.  Not
 * when a trigger of somebody else's could have changed the row on its way.
 */
static bool
is_vouched(const TriggerData *trigger)
{
	const TriggerDesc *triggers = trigger->tg_relation->trigdesc;
	HeapTupleHeader row;

	if (vouched_in != ICO_LXID || trigger->tg_relation->rd_rel->relam != HEAP_TABLE_AM_OID ||
		triggers->trig_insert_before_row || triggers->trig_update_before_row || triggers->trig_delete_before_row)
		return false;
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		row = trigger->tg_trigtuple->t_data;
		return find_vouched(HeapTupleHeaderGetUpdateXid(row), HeapTupleHeaderGetCmax(row));
	}
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple->t_data : trigger->tg_trigtuple->t_data;
	return find_vouched(HeapTupleHeaderGetXmin(row), HeapTupleHeaderGetCmin(row));
}

Datum
ico_allow_purge(PG_FUNCTION_ARGS)
{
	purging = ICO_LXID;
	PG_RETURN_VOID();
}

Datum
ico_allow_retention(PG_FUNCTION_ARGS)
{
	retiring = ICO_LXID;
	PG_RETURN_VOID();
}

Datum
ico_allow_erasure(PG_FUNCTION_ARGS)
{
	erasing = ICO_LXID;
	PG_RETURN_VOID();
}

static TriggerData *
trigger_data(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by a trigger", function)));
	return (TriggerData *) fcinfo->context;
}

static void
refuse_consents(const TriggerData *trigger)
{
	ereport(ERROR,
			(errcode(ICO_ERR_INVARIANT),
			 errmsg("a consent is neither changed nor deleted"),
			 errdetail("Rows of table \"%s\" are only added.", RelationGetRelationName(trigger->tg_relation)),
			 errhint("Use incomplete_orders.record_consent() to withdraw it, or incomplete_orders.forget_customer().")));
}

Datum
ico_refuse_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, "_refuse_truncate");

	if (strcmp(RelationGetRelationName(trigger->tg_relation), "consents") == 0)
		refuse_consents(trigger);
	ereport(ERROR,
			(errcode(ICO_ERR_INVARIANT),
			 errmsg("table \"%s\" cannot be truncated", RelationGetRelationName(trigger->tg_relation)),
			 errdetail("TRUNCATE would leave orders without the rows that belong to them."),
			 errhint("Use incomplete_orders.cleanup(), incomplete_orders.delete_shop() or incomplete_orders.remove().")));
	return PointerGetDatum(NULL);
}

/* What was agreed to, and when, is a record: rows are added, and that is all. */
Datum
ico_guard_consents(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, "_guard_consents");

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) &&
		(purging == ICO_LXID || retiring == ICO_LXID || erasing == ICO_LXID))
		return PointerGetDatum(trigger->tg_trigtuple);
	refuse_consents(trigger);
	return PointerGetDatum(NULL);
}

static Datum
field(TriggerData *trigger, HeapTuple tuple, const char *name, bool *isnull)
{
	TupleDesc	desc = trigger->tg_relation->rd_att;

	return heap_getattr(tuple, SPI_fnumber(desc, name), desc, isnull);
}

Datum
ico_guard_move(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, "_guard_move");
	bool		isnull;
	pg_uuid_t  *old_id = DatumGetUUIDP(field(trigger, trigger->tg_trigtuple, "id", &isnull));
	pg_uuid_t  *new_id = DatumGetUUIDP(field(trigger, trigger->tg_newtuple, "id", &isnull));

	if (memcmp(old_id, new_id, sizeof(pg_uuid_t)) != 0 ||
		field(trigger, trigger->tg_trigtuple, "shop_id", &isnull) !=
		field(trigger, trigger->tg_newtuple, "shop_id", &isnull))
		ereport(ERROR,
				(errcode(ICO_ERR_INVARIANT),
				 errmsg("the id of an order never changes"),
				 errdetail("Its shop and the time it began are part of it."),
				 errhint("Change orders with the functions of incomplete_orders.")));
	ico_require_move(old_id,
					 ico_status_of(field(trigger, trigger->tg_trigtuple, "status", &isnull)),
					 ico_status_of(field(trigger, trigger->tg_newtuple, "status", &isnull)));
	return PointerGetDatum(NULL);
}

static void
violated(const pg_uuid_t *id, const char *what)
{
	ereport(ERROR,
			(errcode(ICO_ERR_INVARIANT),
			 errmsg("order %s %s", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id))), what),
			 errdetail("This must hold at every commit."),
			 errhint("Change orders with the functions of incomplete_orders.")));
}

Datum
ico_filled_count(PG_FUNCTION_ARGS)
{
	IcoLineReader reader;
	IcoLine		line;
	int64		filled = 0;

	ico_line_reader_init(&reader, PG_GETARG_LINE_ITEMS_P(0));
	while (ico_line_next(&reader, &line))
		filled += line.filled;
	PG_RETURN_INT64(filled);
}

typedef struct Facts
{
	bool		open;
	bool		closed;
	IcoStatus	status;
	IcoKind		kind;
	int64		filled;
	int64		items;
	int64		orders;
	int64		foreign;
	int64		ordered;		/* quantity in all lines of its orders */
} Facts;

static void
read_facts(int32 shop_id, const pg_uuid_t *id, Facts *facts)
{
	static IcoPlan plan = {
		"iu",
		"SELECT o.status, o.kind, incomplete_orders._filled_count(o.items), incomplete_orders.item_count(o.items),"
		" c.status, c.kind, incomplete_orders._filled_count(c.items), incomplete_orders.item_count(c.items),"
		" r.orders, r.foreign_orders, r.ordered"
		" FROM (SELECT pg_catalog.count(*) AS orders, pg_catalog.count(r.foreign_order) AS foreign_orders,"
		"  pg_catalog.sum((SELECT pg_catalog.sum(i.quantity) FROM incomplete_orders.order_items i"
		"   WHERE i.shop_id" EQ "r.shop_id AND i.order_id" EQ "r.order_id))::bigint AS ordered"
		"  FROM incomplete_orders.orders r WHERE r.shop_id" EQ "$1 AND r.incomplete_order_id" EQ "$2) r"
		" LEFT JOIN incomplete_orders.open_orders o ON o.shop_id" EQ "$1 AND o.id" EQ "$2"
		" LEFT JOIN incomplete_orders.closed_orders c ON c.shop_id" EQ "$1 AND c.id" EQ "$2"
	};
	Datum		values[2] = {Int32GetDatum(shop_id), UUIDPGetDatum(id)};
	bool		isnull;
	int			from;

	(void) ico_execute(&plan, values, NULL);
	memset(facts, 0, sizeof(*facts));
	(void) ico_column(0, 1, &isnull);
	facts->open = !isnull;
	(void) ico_column(0, 5, &isnull);
	facts->closed = !isnull;
	if (facts->open || facts->closed)
	{
		from = facts->open ? 1 : 5;
		facts->status = ico_status_of(ico_column(0, from, &isnull));
		facts->kind = ico_kind_of(ico_column(0, from + 1, &isnull));
		facts->filled = DatumGetInt64(ico_column(0, from + 2, &isnull));
		facts->items = DatumGetInt64(ico_column(0, from + 3, &isnull));
	}
	facts->orders = DatumGetInt64(ico_column(0, 9, &isnull));
	facts->foreign = DatumGetInt64(ico_column(0, 10, &isnull));
	facts->ordered = DatumGetInt64(ico_column(0, 11, &isnull));
	if (isnull)
		facts->ordered = 0;
	SPI_freetuptable(SPI_tuptable);
}

static void
check_incomplete(int32 shop_id, const pg_uuid_t *id)
{
	Facts		facts;

	if (already_checked(&checked_incomplete, id))
		return;
	read_facts(shop_id, id, &facts);
	if (facts.open && facts.closed)
		violated(id, "is both open and closed");
	if (!facts.open && !facts.closed)
	{
		if (purging == ICO_LXID && facts.orders == 0)
			return;
		violated(id, "is neither open nor closed");
	}
	if (!ico_shop_exists(shop_id))
		violated(id, "belongs to a shop that does not exist");
	if (facts.open != ico_status_is_open(facts.status))
		violated(id, facts.open ? "is open in a closed state" : "is closed in an open state");
	if (facts.status == ICO_CONVERTED || facts.status == ICO_REVERSED)
	{
		if (facts.orders == 0 && facts.status == ICO_CONVERTED)
			violated(id, "is converted but has no order");
		if (facts.foreign == 0 && facts.orders > 0 &&
			(facts.filled == 0 ? facts.ordered != facts.items : facts.ordered > facts.filled))
			violated(id, "is converted but its orders have other quantities");
	}
	else if (facts.orders > 0)
	{
		if (facts.kind != ICO_PARTIAL)
			violated(id, "has an order but is neither converted nor partial");
		if (facts.ordered > facts.filled)
			violated(id, "does not carry the lines of its orders as filled");
	}
	remember_checked(&checked_incomplete, id);
}

/* The order's total, and the incomplete order behind it. */
static void
check_total(int32 shop_id, const pg_uuid_t *order_id)
{
	static IcoPlan plan = {
		"iu",
		"SELECT r.incomplete_order_id, r.foreign_order" " IS NOT NULL,"
		/* half up also below zero: what has 6 decimals and a little more is no tie */
		" r.total" EQ "pg_catalog.round(i.lines" PLUS "r.shipping" PLUS "r.tax" MINUS "r.discount" MINUS "r.coupon_discount"
		PLUS "0.0000001, incomplete_orders._currency_exponent(r.currency)) AND r.total" GE "0, i.n"
		" FROM incomplete_orders.orders r, LATERAL (SELECT pg_catalog.count(*) AS n,"
		"  pg_catalog.sum(i.quantity::numeric OPERATOR(pg_catalog.*) i.unit_price) AS lines"
		"  FROM incomplete_orders.order_items i WHERE i.shop_id" EQ "$1 AND i.order_id" EQ "$2) i"
		" WHERE r.shop_id" EQ "$1 AND r.order_id" EQ "$2"
	};
	Datum		values[2] = {Int32GetDatum(shop_id), UUIDPGetDatum(order_id)};
	bool		no_incomplete,
				isnull,
				foreign,
				equal;
	pg_uuid_t	incomplete;
	Datum		value;

	if (already_checked(&checked_total, order_id))
		return;
	if (ico_execute(&plan, values, NULL) == 0)
	{
		if (purging != ICO_LXID)
			violated(order_id, "is gone, but something of it was written");
		return;
	}
	value = ico_column(0, 1, &no_incomplete);
	if (!no_incomplete)
		incomplete = *DatumGetUUIDP(value);
	foreign = DatumGetBool(ico_column(0, 2, &isnull));
	equal = DatumGetBool(ico_column(0, 3, &isnull)) && !isnull;
	if (!foreign && no_incomplete)
		violated(order_id, "has neither an incomplete order nor a foreign one");
	if (!foreign && DatumGetInt64(ico_column(0, 4, &isnull)) == 0)
		violated(order_id, "has no lines");
	if (!foreign && !equal)
		violated(order_id, "has a total other than its lines and charges");
	SPI_freetuptable(SPI_tuptable);
	if (!ico_shop_exists(shop_id))
		violated(order_id, "belongs to a shop that does not exist");
	if (!no_incomplete)
		check_incomplete(shop_id, &incomplete);
	remember_checked(&checked_total, order_id);
}

/* arg 0: column with the incomplete order's id, or ''; arg 1: with the order's */
static void
check_tuple(TriggerData *trigger, HeapTuple tuple)
{
	char	  **args = trigger->tg_trigger->tgargs;
	bool		isnull;
	int32		shop_id = DatumGetInt32(field(trigger, tuple, "shop_id", &isnull));
	Datum		id;

	if (trigger->tg_trigger->tgnargs > 1)
	{
		id = field(trigger, tuple, args[1], &isnull);
		check_total(shop_id, DatumGetUUIDP(id));
	}
	if (args[0][0] != '\0')
	{
		id = field(trigger, tuple, args[0], &isnull);
		if (!isnull)
			check_incomplete(shop_id, DatumGetUUIDP(id));
	}
}

/* Nobody vouches for the shop: whoever waited for delete_shop() finds it gone. */
static void
check_shop(TriggerData *trigger)
{
	bool		isnull;
	int32		shop_id = DatumGetInt32(field(trigger, trigger->tg_trigtuple, "shop_id", &isnull));

	AcceptInvalidationMessages();
	if (!ico_shop_exists(shop_id))
		ereport(ERROR,
				(errcode(ICO_ERR_INVARIANT),
				 errmsg("an order belongs to a shop that does not exist"),
				 errdetail("This must hold at every commit."),
				 errhint("The shop was deleted at the same time.")));
}

Datum
ico_check_order(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = trigger_data(fcinfo, "_check_order");

	/* nothing else of the order is looked at: it costs as much as the deletion */
	if (retiring == ICO_LXID && TRIGGER_FIRED_BY_DELETE(trigger->tg_event) &&
		SPI_fnumber(trigger->tg_relation->rd_att, "closed_at") > 0)
		return PointerGetDatum(NULL);
	SPI_connect();
	if (is_vouched(trigger))
		check_shop(trigger);
	else
	{
		check_tuple(trigger, trigger->tg_trigtuple);
		if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
			check_tuple(trigger, trigger->tg_newtuple);
	}
	SPI_finish();
	return PointerGetDatum(NULL);
}

/*
 * direct.c
 *		The ordinary capture without the executor.
 *
 * An UPDATE through the executor opens every index of the table and sets up a
 * projection of all its columns, only to leave both alone in the end: nine of
 * ten captures are HOT updates of one row.  Here that row is found by the index
 * on (shop_id, session_id) and updated by the table access method, which is what
 * the executor does in the end, too.
 *
 * Whatever this cannot do as the executor would is left to it (IMPOSSIBLE):
 * other isolation levels than READ COMMITTED, triggers that apply, rules, row
 * security, CHECKs, generated columns, children or partitions, an unusual replica
 * identity, logical decoding, a changed index column, a row that somebody else
 * has just changed.  That is decided once per relation cache entry, or before
 * anything is written.
 *
 * Locks: ROW EXCLUSIVE on open_orders until the end of the transaction, the
 * row, as an UPDATE.  Memory: the columns' numbers are static; everything else is
 * in the caller's context.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "direct.h"
#include "direct_row.h"
#include "lifecycle.h"
#include "plan.h"

/* columns that the decision reads or that every capture writes */
typedef enum Column
{
	C_ID, C_STATUS, C_KIND, C_EXPIRES_AT, C_NEXT_ACTION_AT, C_LAST_ACTIVITY_AT, C_VERSION, C_ITEMS
} Column;
#define COLUMNS 8
static const char *const column_names[COLUMNS] = {
	"id", "status", "kind", "expires_at", "next_action_at", "last_activity_at", "version", "items"
};
static const char *const fact_columns[ICO_FACTS] = {
	"email", "phone", "customer_id", "name", "currency", "furthest_step", "kind", "shipping", "tax", "discount",
	"coupon_code", "coupon_discount", "address", "context", "bot"
};

/* what the table allows, for one state of its relation cache entry */
static bool known = false;
static bool possible;
static Oid	table_oid = InvalidOid;
static Oid	index_oid = InvalidOid;
static AttrNumber columns[COLUMNS];
static AttrNumber facts_at[ICO_FACTS];

static void
forget_table(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == table_oid || relid == index_oid)
		known = false;
}

void
ico_direct_init(void)
{
	CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
}

/* what a capture writes */
static bool
is_written(AttrNumber attnum, const void *arg)
{
	if (attnum == columns[C_LAST_ACTIVITY_AT] || attnum == columns[C_VERSION] || attnum == columns[C_ITEMS])
		return true;
	for (int i = 0; i < ICO_FACTS; i++)
	{
		if (attnum == facts_at[i] && i != ICO_F_KIND)
			return true;
	}
	return false;
}

/* Opens the table; false (and closed again) when the executor has to do it. */
static bool
open_table(Relation *table)
{
	if (!known)
		table_oid = get_relname_relid("open_orders", ico_catalog()->schema);
	*table = table_open(table_oid, RowExclusiveLock);
	if (!known)
	{
		known = true;			/* what is invalidated from here on is looked at again */
		for (int i = 0; i < COLUMNS; i++)
			columns[i] = get_attnum(table_oid, column_names[i]);
		for (int i = 0; i < ICO_FACTS; i++)
			facts_at[i] = get_attnum(table_oid, fact_columns[i]);
		index_oid = ico_direct_index(*table, "session_id");
		possible = OidIsValid(index_oid) && ico_direct_allowed(*table, is_written, NULL);
	}
	if (!possible)
		table_close(*table, NoLock);
	return possible;
}

static Datum
merged_object(Datum stored, bool isnull, Datum given)
{
	if (isnull)
		stored = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	return DirectFunctionCall1(jsonb_strip_nulls, DirectFunctionCall2(jsonb_concat, stored, given));
}

static int
step_rank(Datum step)
{
	const IcoCatalog *catalog = ico_catalog();

	for (int i = 0; i < ICO_STEPS; i++)
	{
		if (catalog->step[i] == DatumGetObjectId(step))
			return i;
	}
	return -1;
}

/* Writes one fact; false when that is for the executor: an indexed column would
 * change, or somebody forbade null. */
static bool
put_fact(Relation table, const IcoFacts *facts, IcoFact fact, Datum *values, bool *nulls)
{
	int			i = facts_at[fact] - 1;
	Datum		given = facts->values[fact];
	bool		clears = facts->nulls[fact];

	if (clears && TupleDescAttr(RelationGetDescr(table), i)->attnotnull)
		return false;
	switch (fact)
	{
		case ICO_F_EMAIL:
		case ICO_F_PHONE:
		case ICO_F_CUSTOMER_ID:
			return clears ? nulls[i] :
				!nulls[i] && DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, values[i], given));
		case ICO_F_STEP:
			if (step_rank(given) > step_rank(values[i]))
				values[i] = given;
			return true;
		case ICO_F_ADDRESS:
		case ICO_F_CONTEXT:
			if (!clears)
				given = merged_object(values[i], nulls[i], given);
			break;
		default:
			break;
	}
	values[i] = given;
	nulls[i] = clears;
	return true;
}

static bool
put_values(Relation table, LineItems *items, const IcoFacts *facts, TimestampTz at, Datum *values, bool *nulls)
{
	values[columns[C_LAST_ACTIVITY_AT] - 1] = TimestampTzGetDatum(at);
	values[columns[C_VERSION] - 1] = Int32GetDatum(DatumGetInt32(values[columns[C_VERSION] - 1]) + 1);
	if (items != NULL)
		values[columns[C_ITEMS] - 1] = PointerGetDatum(items);
	for (int fact = 0; fact < ICO_FACTS; fact++)
	{
		if ((facts->given & ICO_FACT_BIT(fact)) && !put_fact(table, facts, (IcoFact) fact, values, nulls))
			return false;
	}
	return true;
}

static IcoDirect
update_row(Relation table, TupleTableSlot *old, LineItems *items, const IcoFacts *facts, TimestampTz at)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsVirtual);
	int			natts = slot->tts_tupleDescriptor->natts;
	IcoDirect	answer = ICO_DIRECT_IMPOSSIBLE;

	memcpy(slot->tts_values, old->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, old->tts_isnull, natts * sizeof(bool));
	if (put_values(table, items, facts, at, slot->tts_values, slot->tts_isnull) && ico_direct_write(table, old, slot))
		answer = ICO_DIRECT_DONE;
	ExecDropSingleTupleTableSlot(slot);
	return answer;
}

static bool
is_ordinary(const TupleTableSlot *row, const IcoShop *shop, TimestampTz at)
{
	const Datum *values = row->tts_values;

	return ico_ordinary(DatumGetObjectId(values[columns[C_STATUS] - 1]), DatumGetObjectId(values[columns[C_KIND] - 1]),
						DatumGetTimestampTz(values[columns[C_LAST_ACTIVITY_AT] - 1]),
						DatumGetTimestampTz(values[columns[C_EXPIRES_AT] - 1]),
						DatumGetTimestampTz(values[columns[C_NEXT_ACTION_AT] - 1]),
						at, at - shop->cut_off, at + shop->cut_off);
}

IcoDirect
ico_direct_update(const IcoShop *shop, Datum session_id, LineItems *items, const IcoFacts *facts, TimestampTz at,
				  pg_uuid_t *id)
{
	Relation	table;
	TupleTableSlot *old;
	IcoDirect	answer;

	/* a new kind fires check_order */
	if (IsolationUsesXactSnapshot() || XLogLogicalInfoActive() || (facts->given & ICO_FACT_BIT(ICO_F_KIND)) ||
		SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)
		return ICO_DIRECT_IMPOSSIBLE;
	PreventCommandIfReadOnly("UPDATE");
	PreventCommandIfParallelMode("UPDATE");
	if (!open_table(&table))
		return ICO_DIRECT_IMPOSSIBLE;
	PushActiveSnapshot(GetTransactionSnapshot());
	old = table_slot_create(table, NULL);
	if (!ico_direct_find(table, index_oid, shop->shop_id, F_TEXTEQ, session_id, old) || !is_ordinary(old, shop, at))
		answer = ICO_DIRECT_REFUSED;
	else
	{
		*id = *DatumGetUUIDP(old->tts_values[columns[C_ID] - 1]);
		answer = update_row(table, old, items, facts, at);
	}
	ExecDropSingleTupleTableSlot(old);
	PopActiveSnapshot();
	table_close(table, NoLock);
	return answer;
}

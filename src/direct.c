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

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
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

static bool
is_written(AttrNumber attnum)
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

/* Whether a trigger could fire for an update of what a capture writes. */
static bool
trigger_applies(const Trigger *trigger)
{
	if (trigger->tgenabled == TRIGGER_DISABLED || !TRIGGER_FOR_UPDATE(trigger->tgtype))
		return false;
	if (!TRIGGER_FOR_ROW(trigger->tgtype) || trigger->tgnattr == 0)
		return true;
	for (int i = 0; i < trigger->tgnattr; i++)
	{
		if (is_written(trigger->tgattr[i]))
			return true;
	}
	return TRIGGER_FOR_BEFORE(trigger->tgtype);	/* it locks the row, whatever its columns */
}

static bool
table_allows(Relation table)
{
	TupleConstr *constraints = table->rd_att->constr;

	if (table->rd_rel->relkind != RELKIND_RELATION || table->rd_rel->relispartition || table->rd_rel->relhassubclass ||
		table->rd_rel->relrowsecurity || table->rd_rules != NULL ||
		table->rd_rel->relreplident != REPLICA_IDENTITY_DEFAULT)
		return false;
	if (constraints != NULL && (constraints->num_check > 0 || constraints->has_generated_stored))
		return false;
	for (int i = 0; table->trigdesc != NULL && i < table->trigdesc->numtriggers; i++)
	{
		if (trigger_applies(&table->trigdesc->triggers[i]))
			return false;
	}
	return true;
}

/* The valid unique index on exactly (shop_id, session_id). */
static Oid
find_index(Relation table)
{
	AttrNumber	shop = get_attnum(table_oid, "shop_id");
	AttrNumber	session = get_attnum(table_oid, "session_id");
	List	   *indexes = RelationGetIndexList(table);
	ListCell   *cell;
	Oid			found = InvalidOid;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (form->indisunique && form->indisvalid && form->indnkeyatts == 2 &&
			form->indkey.values[0] == shop && form->indkey.values[1] == session &&
			RelationGetIndexPredicate(index) == NIL)
			found = lfirst_oid(cell);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
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
		index_oid = find_index(*table);
		possible = OidIsValid(index_oid) && table_allows(*table);
	}
	if (!possible)
		table_close(*table, NoLock);
	return possible;
}

/* The session's row into slot; false when there is none. */
static bool
find_row(Relation table, int32 shop_id, Datum session_id, Snapshot snapshot, TupleTableSlot *slot)
{
	Relation	index = index_open(index_oid, AccessShareLock);
	ScanKeyData keys[2];
	IndexScanDesc scan;
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(shop_id));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[1], F_TEXTEQ, session_id);
	scan = ico_index_beginscan(table, index, snapshot, 2);
	index_rescan(scan, keys, 2, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
		slot_getallattrs(slot);
	index_endscan(scan);
	index_close(index, NoLock);
	return found;
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

/* The update did not fit on its page: the new version needs its index entries. */
static void
insert_index_entries(Relation table, TupleTableSlot *slot, IcoUpdateIndexes indexes)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	InitResultRelInfo(result, table, 1, NULL, 0);
	ExecOpenIndices(result, false);
	list_free(ico_insert_index_tuples(result, slot, estate, indexes));
	ExecCloseIndices(result);
	FreeExecutorState(estate);
}

static IcoDirect
update_row(Relation table, TupleTableSlot *old, LineItems *items, const IcoFacts *facts, TimestampTz at, Snapshot snapshot)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsVirtual);
	int			natts = slot->tts_tupleDescriptor->natts;
	IcoDirect	answer = ICO_DIRECT_IMPOSSIBLE;

	memcpy(slot->tts_values, old->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, old->tts_isnull, natts * sizeof(bool));
	if (put_values(table, items, facts, at, slot->tts_values, slot->tts_isnull))
	{
		TM_FailureData failure;
		LockTupleMode mode;
		IcoUpdateIndexes indexes;

		ExecStoreVirtualTuple(slot);
		slot->tts_tableOid = RelationGetRelid(table);
		if (table_tuple_update(table, &old->tts_tid, slot, GetCurrentCommandId(true), snapshot, InvalidSnapshot,
							   true, &failure, &mode, &indexes) == TM_Ok)
		{
			if (indexes)
				insert_index_entries(table, slot, indexes);
			CommandCounterIncrement();
			answer = ICO_DIRECT_DONE;
		}
	}
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
	if (!find_row(table, shop->shop_id, session_id, GetActiveSnapshot(), old) || !is_ordinary(old, shop, at))
		answer = ICO_DIRECT_REFUSED;
	else
	{
		*id = *DatumGetUUIDP(old->tts_values[columns[C_ID] - 1]);
		answer = update_row(table, old, items, facts, at, GetActiveSnapshot());
	}
	ExecDropSingleTupleTableSlot(old);
	PopActiveSnapshot();
	table_close(table, NoLock);
	return answer;
}

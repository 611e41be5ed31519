/*
 * direct_row.c
 *		One row by its key, read and updated without the executor.
 *
 * An UPDATE of one row through the executor opens every index of the table, also
 * when none of them gets an entry, and sets up a projection of all columns: for
 * what happens once per mail that is most of its cost.  As in direct.c, whatever
 * cannot be done here as the executor would do it is left to it: other isolation
 * levels than READ COMMITTED, triggers that apply, rules, row security, CHECKs,
 * generated columns, children, an unusual replica identity, logical decoding, a
 * row that somebody else has just changed.
 *
 * Locks: ROW EXCLUSIVE on the table until the end of the transaction; the row, as
 * an UPDATE, when it is updated.  Memory: what was found out of a table is in its
 * static IcoRowTable, for one state of the relation cache entry; a row holds a
 * pin and a snapshot until it is closed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "direct_row.h"
#include "plan.h"

static IcoRowTable *tables = NULL;

static void
forget_table(Datum arg, Oid relid)
{
	for (IcoRowTable *table = tables; table != NULL; table = table->next)
	{
		if (relid == InvalidOid || relid == table->table_oid || relid == table->index_oid)
			table->known = false;
	}
}

void
ico_row_init(void)
{
	CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
}

/* ---- what direct.c does with its row, too ---- */

/* Whether a trigger could fire for an update of the columns that are written. */
static bool
trigger_applies(const Trigger *trigger, IcoIsWritten is_written, const void *arg)
{
	if (trigger->tgenabled == TRIGGER_DISABLED || !TRIGGER_FOR_UPDATE(trigger->tgtype))
		return false;
	if (!TRIGGER_FOR_ROW(trigger->tgtype) || trigger->tgnattr == 0)
		return true;
	for (int i = 0; i < trigger->tgnattr; i++)
	{
		if (is_written(trigger->tgattr[i], arg))
			return true;
	}
	return TRIGGER_FOR_BEFORE(trigger->tgtype);	/* it locks the row, whatever its columns */
}

bool
ico_direct_allowed(Relation table, IcoIsWritten is_written, const void *arg)
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
		if (trigger_applies(&table->trigdesc->triggers[i], is_written, arg))
			return false;
	}
	return true;
}

Oid
ico_direct_index(Relation table, const char *column)
{
	AttrNumber	shop = get_attnum(RelationGetRelid(table), "shop_id");
	AttrNumber	other = get_attnum(RelationGetRelid(table), column);
	List	   *indexes = RelationGetIndexList(table);
	ListCell   *cell;
	Oid			found = InvalidOid;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (form->indisunique && form->indisvalid && form->indnkeyatts == 2 &&
			form->indkey.values[0] == shop && form->indkey.values[1] == other && RelationGetIndexPredicate(index) == NIL)
			found = lfirst_oid(cell);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

bool
ico_direct_find(Relation table, Oid index_oid, int32 shop_id, RegProcedure equal, Datum value, TupleTableSlot *slot)
{
	Relation	index = index_open(index_oid, AccessShareLock);
	ScanKeyData keys[2];
	IndexScanDesc scan;
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(shop_id));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[1], equal, value);
	scan = ico_index_beginscan(table, index, GetActiveSnapshot(), 2);
	index_rescan(scan, keys, 2, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	if (found)
		slot_getallattrs(slot);
	index_endscan(scan);
	index_close(index, NoLock);
	return found;
}

/* Not a HOT update: the new version needs its index entries. */
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

bool
ico_direct_write(Relation table, TupleTableSlot *old, TupleTableSlot *slot)
{
	TM_FailureData failure;
	LockTupleMode mode;
	IcoUpdateIndexes indexes;

	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(table);
	if (table_tuple_update(table, &old->tts_tid, slot, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
						   true, &failure, &mode, &indexes) != TM_Ok)
		return false;
	if (indexes)
		insert_index_entries(table, slot, indexes);
	CommandCounterIncrement();
	return true;
}

/* ---- rows by their id ---- */

static bool
is_written(AttrNumber attnum, const void *arg)
{
	const IcoRowTable *table = arg;

	for (int column = 0; column < table->written; column++)
	{
		if (attnum == table->attnums[column])
			return true;
	}
	return false;
}

static void
look_at_table(IcoRowTable *table, Relation relation)
{
	bool		all = true;

	table->known = true;		/* what is invalidated from here on is looked at again */
	for (int i = 0; i < ICO_ROW_COLUMNS && table->columns[i] != NULL; i++)
	{
		table->attnums[i] = get_attnum(table->table_oid, table->columns[i]);
		all &= table->attnums[i] != InvalidAttrNumber;
	}
	table->index_oid = ico_direct_index(relation, "id");
	table->possible = all && OidIsValid(table->index_oid) && ico_direct_allowed(relation, is_written, table);
}

/* Opens the table; NULL when the executor has to do it. */
static Relation
open_table(IcoRowTable *table)
{
	Relation	relation;

	if (!table->known)
	{
		bool		listed = false;

		for (IcoRowTable *other = tables; other != NULL; other = other->next)
			listed |= other == table;
		if (!listed)
		{
			table->next = tables;
			tables = table;
		}
		table->table_oid = get_relname_relid(table->name, ico_catalog()->schema);
	}
	relation = table_open(table->table_oid, RowExclusiveLock);
	if (!table->known)
		look_at_table(table, relation);
	if (table->possible)
		return relation;
	table_close(relation, NoLock);
	return NULL;
}

bool
ico_row_fetch(IcoRowTable *table, int32 shop_id, const pg_uuid_t *id, IcoRow *row)
{
	if (IsolationUsesXactSnapshot() || XLogLogicalInfoActive() ||
		SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)
		return false;
	PreventCommandIfReadOnly("UPDATE");
	PreventCommandIfParallelMode("UPDATE");
	row->table = table;
	row->relation = open_table(table);
	if (row->relation == NULL)
		return false;
	PushActiveSnapshot(GetTransactionSnapshot());
	row->slot = table_slot_create(row->relation, NULL);
	if (ico_direct_find(row->relation, table->index_oid, shop_id, F_UUID_EQ, UUIDPGetDatum(id), row->slot))
		return true;
	ico_row_close(row);
	return false;
}

Datum
ico_row_value(const IcoRow *row, int column, bool *isnull)
{
	int			i = row->table->attnums[column] - 1;

	*isnull = row->slot->tts_isnull[i];
	return row->slot->tts_values[i];
}

bool
ico_row_update(IcoRow *row, const Datum *values, const bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(row->relation);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	bool		allowed = true;
	bool		written;

	memcpy(slot->tts_values, row->slot->tts_values, desc->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, row->slot->tts_isnull, desc->natts * sizeof(bool));
	for (int column = 0; column < row->table->written; column++)
	{
		int			i = row->table->attnums[column] - 1;

		slot->tts_values[i] = values[column];
		slot->tts_isnull[i] = nulls[column];
		/* somebody forbade null: the executor says so */
		allowed &= !(nulls[column] && TupleDescAttr(desc, i)->attnotnull);
	}
	written = allowed && ico_direct_write(row->relation, row->slot, slot);
	ExecDropSingleTupleTableSlot(slot);
	return written;
}

void
ico_row_close(IcoRow *row)
{
	ExecDropSingleTupleTableSlot(row->slot);
	PopActiveSnapshot();
	table_close(row->relation, NoLock);
}

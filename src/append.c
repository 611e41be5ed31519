/*
 * append.c
 *		Rows appended to a table without the executor.
 *
 * An INSERT of one row through the executor takes 90 thousand instructions, most
 * of them to set up what it then uses once: projections of all columns, the
 * routing to partitions, the result relation.  Here the row is formed, its
 * partition looked up, and both the row and its index entries are put in by what
 * the executor calls in the end, too.
 *
 * Whatever this cannot do as the executor would is left to it: triggers, rules,
 * row security, CHECKs, generated and identity columns, columns of others that
 * have a default or are not null, domains, partitions of partitions, another way
 * of partitioning.  That is decided once per relation cache entry.
 *
 * Locks: ROW EXCLUSIVE on the table and its partition until the end of the
 * transaction, as an INSERT.  Memory: what is known of a table is static and
 * linked in `tables`; everything else is in the caller's context.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "append.h"
#include "compat.h"
#include "plan.h"

static IcoAppend *tables = NULL;

static void
forget_tables(Datum arg, Oid relid)
{
	for (IcoAppend *append = tables; append != NULL; append = append->next)
	{
		if (relid == InvalidOid || relid == append->root || relid == append->leaf)
			append->known = false;
	}
}

void
ico_append_init(void)
{
	CacheRegisterRelcacheCallback(forget_tables, (Datum) 0);
}

/* Triggers, rules and row security stand on the table that is named, or on its partition. */
static bool
nobody_interferes(Relation table)
{
	if (table->rd_rel->relrowsecurity || table->rd_rules != NULL)
		return false;
	for (int i = 0; table->trigdesc != NULL && i < table->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &table->trigdesc->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) && trigger->tgenabled != TRIGGER_DISABLED)
			return false;
	}
	return true;
}

static bool
find_columns(IcoAppend *append, Relation leaf)
{
	TupleDesc	desc = RelationGetDescr(leaf);
	Bitmapset  *ours = NULL;

	for (int i = 0; i < append->ncolumns; i++)
	{
		append->attributes[i] = InvalidAttrNumber;
		if (append->columns[i] == NULL)
			continue;
		append->attributes[i] = get_attnum(append->leaf, append->columns[i]);
		if (append->attributes[i] == InvalidAttrNumber)
			return false;
		ours = bms_add_member(ours, append->attributes[i]);
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		if (attribute->attgenerated || attribute->attidentity)
			return false;
		if (!bms_is_member(i + 1, ours) &&
			(attribute->attnotnull || attribute->atthasdef || get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN))
			return false;
	}
	bms_free(ours);
	return true;
}

static bool
leaf_allows(IcoAppend *append, Relation leaf)
{
	TupleConstr *constraints = RelationGetDescr(leaf)->constr;

	return leaf->rd_rel->relkind == RELKIND_RELATION && nobody_interferes(leaf) &&
		(constraints == NULL || constraints->num_check == 0) && find_columns(append, leaf);
}

/* The partition for a value of the key; InvalidOid where the executor has to find it. */
static Oid
find_partition(Relation root, Datum value)
{
	PartitionKey key = RelationGetPartitionKey(root);
	PartitionDesc desc = RelationGetPartitionDesc(root, true);
	PartitionBoundInfo bounds = desc->boundinfo;
	bool		equal;
	int			i;

	if (key->strategy != PARTITION_STRATEGY_RANGE || key->partnatts != 1 || key->partattrs[0] == 0 || desc->nparts == 0)
		return InvalidOid;
	i = bounds->indexes[partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1, &value, &equal) + 1];
	if (i < 0)
		i = bounds->default_index;
	return i >= 0 && desc->is_leaf[i] ? desc->oids[i] : InvalidOid;
}

/* Opens the table that the row goes to; NULL where the executor has to do it. */
static Relation
open_leaf(IcoAppend *append, const Datum *values)
{
	Relation	root = table_open(append->root, RowExclusiveLock);
	Relation	leaf = root;
	Oid			leaf_oid = append->root;

	if (root->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		leaf_oid = find_partition(root, values[0]);
	if (leaf_oid != append->leaf)
	{
		append->leaf = leaf_oid;
		append->known = false;
	}
	if (leaf_oid == InvalidOid)
	{
		table_close(root, NoLock);
		return NULL;
	}
	if (leaf_oid != append->root)
		leaf = table_open(leaf_oid, RowExclusiveLock);
	if (!append->known)
	{
		append->known = true;	/* what is invalidated from here on is looked at again */
		append->possible = nobody_interferes(root) && leaf_allows(append, leaf);
	}
	if (leaf != root)
		table_close(root, NoLock);
	if (append->possible)
		return leaf;
	table_close(leaf, NoLock);
	return NULL;
}

/* Null where a value must be: the executor has the words for it. */
static bool
put_values(const IcoAppend *append, const Datum *values, const bool *nulls, TupleTableSlot *slot)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;

	memset(slot->tts_isnull, true, desc->natts * sizeof(bool));
	for (int i = 0; i < append->ncolumns; i++)
	{
		int			at = append->attributes[i] - 1;

		if (at < 0 || nulls[i])
			continue;
		slot->tts_values[at] = values[i];
		slot->tts_isnull[at] = false;
	}
	for (int i = 0; i < desc->natts; i++)
	{
		if (slot->tts_isnull[i] && TupleDescAttr(desc, i)->attnotnull)
			return false;
	}
	ExecStoreVirtualTuple(slot);
	return true;
}

static void
insert_row(Relation leaf, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	slot->tts_tableOid = RelationGetRelid(leaf);
	table_tuple_insert(leaf, slot, GetCurrentCommandId(true), 0, NULL);
	InitResultRelInfo(result, leaf, 1, NULL, 0);
	ExecOpenIndices(result, false);
	if (result->ri_NumIndices > 0)
		list_free(ico_insert_index_tuples(result, slot, estate, (IcoUpdateIndexes) true));
	ExecCloseIndices(result);
	FreeExecutorState(estate);
	CommandCounterIncrement();
}

bool
ico_append_row(IcoAppend *append, const Datum *values, const bool *nulls)
{
	Oid			root = get_relname_relid(append->table, ico_catalog()->schema);
	TupleTableSlot *slot;
	Relation	leaf;
	bool		good;

	if (!OidIsValid(root))
		return false;			/* who asks for the table by name says so */
	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	if (append->root == InvalidOid)
	{
		append->next = tables;
		tables = append;
	}
	if (append->root != root)
	{
		append->root = root;
		append->known = false;
	}
	leaf = open_leaf(append, values);
	if (leaf == NULL)
		return false;
	slot = MakeSingleTupleTableSlot(RelationGetDescr(leaf), &TTSOpsVirtual);
	good = put_values(append, values, nulls, slot);
	if (good)
		insert_row(leaf, slot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(leaf, NoLock);
	return good;
}

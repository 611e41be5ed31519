/*
 * mark.c
 *		The trigger on a shop's own tables: it leaves a mark of the cart that
 *		changed, and nothing else.
 *
 * It runs inside the shop's statements, so it must not fail, wait or be slow,
 * whatever happened to our tables, to the mapping or to the rights of the shop's
 * role: a mark is one row put into a heap without the executor, which asks for no
 * rights and fires nothing.  No error is caught here: there is none of ours, and
 * cancel, shutdown and serialization failures are the shop's.
 *
 * cart_marks has a few partitions without index.  Which one is written to follows
 * the clock, so that the others come to rest and tick can empty them.  Its lock is
 * taken only if it is free; else the next partition is taken.  If somebody has
 * locked them all, the backend keeps in mind that carts were missed, and its next
 * mark says that all of that attachment must be read.
 *
 * A mark without key says so, too: after TRUNCATE, where the key column is gone,
 * and for keys that no shop has (longer than MAX_KEY).
 *
 * Locks: ROW EXCLUSIVE on one partition until the end of the transaction, as an
 * INSERT.  Memory: what is known of a trigger is in `watches`, in CacheMemoryContext,
 * until a relation cache invalidation; which carts this transaction has marked is
 * in `marked`, in TopTransactionContext.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

#include "compat.h"
#include "mark.h"

/* bytes of a key; a longer one is none that a shop has */
#define MAX_KEY 255
/* of a value that is still to be turned into text */
#define MAX_VALUE 1024
/* marks that a transaction remembers; forgetting one costs a repeated mark */
#define MAX_MARKED 65536
/* attachments of which this backend could not write a mark */
#define MAX_MISSED 32
/* the cart, its lines and its order link have the cart's key: one mark for all three */
#define PATH_CART 0
#define PATH_WATCH 3

PG_FUNCTION_INFO_V1(ico_mark_cart);

/* columns of cart_marks, in their order */
typedef enum Column
{
	C_XID, C_MARKED_AT, C_ATTACHMENT, C_PATH, C_SEGMENT, C_KEY
} Column;
#define COLUMNS 6
static const Oid column_types[COLUMNS] = {XID8OID, TIMESTAMPTZOID, INT4OID, INT2OID, INT2OID, TEXTOID};

typedef struct Segment
{
	Oid			oid;
	bool		checked;		/* its columns are known to be ours */
} Segment;

static Segment segments[ICO_SEGMENTS];
static bool segments_known = false;

/* One trigger, on a table or on a partition of it. */
typedef struct Watch
{
	Oid			trigger;		/* the key */
	Oid			relation;
	bool		valid;
	bool		possible;		/* its arguments are ours */
	int32		attachment;
	int16		path;
	AttrNumber	column;			/* InvalidAttrNumber: it is gone */
	Oid			type;			/* without domains */
	FmgrInfo	output;
} Watch;

static HTAB *watches = NULL;

typedef struct Key
{
	int			len;			/* -1: all carts */
	const char *bytes;
} Key;

static const Key all_carts = {-1, NULL};

/*
 * What this transaction has marked.  Subtransactions nest and their ids rise, so
 * those of one that is rolled back are the last ones: the array is a stack, and so
 * is each chain of its hash table.
 */
typedef struct Marked
{
	SubTransactionId subid;
	int32		attachment;
	int32		next;			/* in the chain, -1 at its end */
	uint32		hash;
	int16		path;
	int16		len;
	char	   *bytes;
} Marked;

static LocalTransactionId marked_in = InvalidLocalTransactionId;
static Marked *marked = NULL;
static int	n_marked = 0;
static int	marked_size;
static int32 *chains;			/* marked_size of them, a power of two */
static int	last_segment;

static int32 missed[MAX_MISSED];
static int	n_missed = 0;
static bool missed_told = false;	/* this transaction has tried to mark them */

/* --- caches --- */

static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	Watch	   *watch;

	for (int i = 0; i < ICO_SEGMENTS; i++)
	{
		if (relid == InvalidOid || relid == segments[i].oid)
			segments_known = false;
	}
	if (watches == NULL)
		return;
	hash_seq_init(&scan, watches);
	while ((watch = hash_seq_search(&scan)) != NULL)
	{
		if (relid == InvalidOid || relid == watch->relation)
			watch->valid = false;
	}
}

static void
forget_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	segments_known = false;
}

int
ico_segment_at(TimestampTz at)
{
	int64		slice = at / ICO_SEGMENT_TIME;

	return (int) (((slice % ICO_SEGMENTS) + ICO_SEGMENTS) % ICO_SEGMENTS);
}

static void
find_segments(void)
{
	Oid			schema = get_namespace_oid("incomplete_orders", true);

	segments_known = OidIsValid(schema);
	for (int i = 0; i < ICO_SEGMENTS; i++)
	{
		char		name[NAMEDATALEN];

		snprintf(name, sizeof(name), "cart_marks_%d", i);
		segments[i].oid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
		segments[i].checked = false;
		if (!OidIsValid(segments[i].oid))
			segments_known = false; /* looked for again: setup() may come */
	}
}

Oid
ico_segment_oid(int segment)
{
	if (!segments_known)
		find_segments();
	return segments[segment].oid;
}

/* Whether its first columns are those that we write; others stay null. */
static bool
is_ours(Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION || desc->natts < COLUMNS)
		return false;
	for (int i = 0; i < COLUMNS; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped || TupleDescAttr(desc, i)->atttypid != column_types[i])
			return false;
	}
	return true;
}

/* --- where a mark goes --- */

static Relation
try_segment(int segment)
{
	Oid			oid = segments[segment].oid;
	Relation	relation;

	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, RowExclusiveLock))
		return NULL;
	/* the lock may have brought news of it */
	relation = try_relation_open(oid, NoLock);
	if (relation == NULL)
	{
		UnlockRelationOid(oid, RowExclusiveLock);
		return NULL;
	}
	if (!segments[segment].checked || !segments_known)
	{
		if (!is_ours(relation))
		{
			relation_close(relation, RowExclusiveLock);
			return NULL;
		}
		segments[segment].checked = true;
	}
	return relation;
}

/*
 * A partition whose lock is free, opened, or NULL.  A transaction stays with the
 * one that it has, so that a long one keeps only one from being emptied.
 */
static Relation
open_segment(TimestampTz now, int *segment)
{
	int			first = n_marked > 0 ? last_segment : ico_segment_at(now);

	if (!segments_known)
		find_segments();
	for (int i = 0; i < ICO_SEGMENTS; i++)
	{
		Relation	relation;

		*segment = (first + i) % ICO_SEGMENTS;
		relation = try_segment(*segment);
		if (relation != NULL)
			return relation;
	}
	return NULL;
}

/* Somebody has put an index on it, which must not miss the row. */
static void
insert_index_entries(Relation relation, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	InitResultRelInfo(result, relation, 1, NULL, 0);
	ExecOpenIndices(result, false);
	if (result->ri_NumIndices > 0)
		list_free(ico_insert_index_tuples(result, slot, estate, (IcoUpdateIndexes) true));
	ExecCloseIndices(result);
	FreeExecutorState(estate);
}

static void
insert_mark(Relation relation, int segment, TimestampTz now, int32 attachment, int16 path, const Key *key)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);

	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	memset(slot->tts_isnull, false, COLUMNS * sizeof(bool));
	slot->tts_values[C_XID] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	slot->tts_values[C_MARKED_AT] = TimestampTzGetDatum(now);
	slot->tts_values[C_ATTACHMENT] = Int32GetDatum(attachment);
	slot->tts_values[C_PATH] = Int16GetDatum(path);
	slot->tts_values[C_SEGMENT] = Int16GetDatum((int16) segment);
	slot->tts_isnull[C_KEY] = key->len < 0;
	if (key->len >= 0)
		slot->tts_values[C_KEY] = PointerGetDatum(cstring_to_text_with_len(key->bytes, key->len));
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(relation);
	table_tuple_insert(relation, slot, GetCurrentCommandId(true), 0, NULL);
	if (relation->rd_rel->relhasindex)
		insert_index_entries(relation, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/* --- what this transaction has marked already --- */

static uint32
hash_mark(int32 attachment, int16 path, const Key *key)
{
	uint32		hash = key->len < 0 ? 0 : hash_bytes((const unsigned char *) key->bytes, key->len);

	return hash_combine(hash, murmurhash32((uint32) attachment * PG_INT16_MAX + (uint32) path));
}

static void
begin_marks(void)
{
	if (marked_in == ICO_LXID)
		return;
	marked_in = ICO_LXID;
	n_marked = 0;
	marked = NULL;				/* gone with its transaction */
}

static bool
is_marked(int32 attachment, int16 path, const Key *key, uint32 hash)
{
	if (n_marked == 0)
		return false;
	for (int32 i = chains[hash & (marked_size - 1)]; i >= 0; i = marked[i].next)
	{
		const Marked *m = &marked[i];

		if (m->hash == hash && m->attachment == attachment && m->path == path && m->len == key->len &&
			(key->len <= 0 || memcmp(m->bytes, key->bytes, key->len) == 0))
			return true;
	}
	return false;
}

static void
chain_in(int32 i)
{
	int32	   *chain = &chains[marked[i].hash & (marked_size - 1)];

	marked[i].next = *chain;
	*chain = i;
}

static void
pop_marked(void)
{
	Marked	   *m = &marked[--n_marked];

	chains[m->hash & (marked_size - 1)] = m->next;
	if (m->bytes != NULL)
		pfree(m->bytes);
}

static void
make_room(void)
{
	if (marked == NULL)
	{
		marked_size = 16;
		marked = MemoryContextAlloc(TopTransactionContext, marked_size * sizeof(Marked));
		chains = MemoryContextAlloc(TopTransactionContext, marked_size * sizeof(int32));
	}
	else if (n_marked == MAX_MARKED)
	{
		while (n_marked > 0)
			pop_marked();
		return;
	}
	else if (n_marked == marked_size)
	{
		marked_size *= 2;
		marked = repalloc(marked, marked_size * sizeof(Marked));
		chains = repalloc(chains, marked_size * sizeof(int32));
	}
	else
		return;
	memset(chains, -1, marked_size * sizeof(int32));
	for (int32 i = 0; i < n_marked; i++)
		chain_in(i);
}

static void
remember_mark(int32 attachment, int16 path, const Key *key, uint32 hash)
{
	Marked	   *m;

	make_room();
	m = &marked[n_marked];
	m->subid = GetCurrentSubTransactionId();
	m->attachment = attachment;
	m->path = path;
	m->hash = hash;
	m->len = (int16) key->len;
	m->bytes = NULL;
	if (key->len > 0)
	{
		m->bytes = MemoryContextAlloc(TopTransactionContext, key->len);
		memcpy(m->bytes, key->bytes, key->len);
	}
	chain_in(n_marked++);
}

/* Marks of a subtransaction that is rolled back are gone, with those of its children. */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB || marked_in != ICO_LXID)
		return;
	while (n_marked > 0 && marked[n_marked - 1].subid >= subid)
		pop_marked();
}

/* --- marking --- */

/* No partition could be written to; without tables there is nothing to miss. */
static void
miss(int32 attachment)
{
	bool		exists = false;

	for (int i = 0; i < ICO_SEGMENTS; i++)
		exists = exists || OidIsValid(segments[i].oid);
	if (!exists)
		return;
	for (int i = 0; i < n_missed; i++)
	{
		if (missed[i] == attachment)
			return;
	}
	if (n_missed < MAX_MISSED)
		missed[n_missed++] = attachment;
	ereport(LOG,
			(errmsg("could not mark a cart of attachment %d", attachment),
			 errdetail("All partitions of incomplete_orders.cart_marks are locked or altered."),
			 errhint("The next mark of this session has all carts read; incomplete_orders.reconcile() does it at once.")));
}

static void
mark(int32 attachment, int16 path, const Key *key)
{
	uint32		hash = hash_mark(attachment, path, key);
	TimestampTz now;
	Relation	relation;
	int			segment;

	begin_marks();
	if (is_marked(attachment, path, key, hash))
		return;
	now = GetCurrentTimestamp();
	relation = open_segment(now, &segment);
	if (relation == NULL)
	{
		miss(attachment);
		return;
	}
	insert_mark(relation, segment, now, attachment, path, key);
	relation_close(relation, NoLock);
	last_segment = segment;
	remember_mark(attachment, path, key, hash);
}

/* What could not be marked before, until a transaction with that mark commits. */
static void
mark_missed(void)
{
	int			n = n_missed;
	int32		attachments[MAX_MISSED];

	missed_told = true;
	memcpy(attachments, missed, n * sizeof(int32));
	for (int i = 0; i < n; i++)
		mark(attachments[i], PATH_CART, &all_carts);
}

static void
end_transaction(XactEvent event, void *arg)
{
	int			left = 0;

	if (!missed_told || event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		return;
	missed_told = false;
	if (event != XACT_EVENT_COMMIT)
		return;
	for (int i = 0; i < n_missed; i++)
	{
		if (!is_marked(missed[i], PATH_CART, &all_carts, hash_mark(missed[i], PATH_CART, &all_carts)))
			missed[left++] = missed[i];
	}
	n_missed = left;
}

void
ico_mark_init(void)
{
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
	RegisterSubXactCallback(end_subtransaction, NULL);
	RegisterXactCallback(end_transaction, NULL);
}

/* --- what changed --- */

static bool
read_number(const char *text, int64 max, int64 *number)
{
	*number = 0;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return false;
		*number = *number * 10 + (*text - '0');
		if (*number > max)
			return false;
	}
	return true;
}

/*
 * The column in this relation.  root and column are those of the table that was
 * attached, which may be a parent; after a dump and restore the oid is another
 * one, and only the name is left.
 */
static AttrNumber
find_column(Relation relation, Oid root, AttrNumber column, const char *name)
{
	Oid			relid = RelationGetRelid(relation);

	if (relid == root)
	{
		TupleDesc	desc = RelationGetDescr(relation);

		if (column < 1 || column > desc->natts || TupleDescAttr(desc, column - 1)->attisdropped)
			return InvalidAttrNumber;
		return column;
	}
	if (relation->rd_rel->relispartition && list_member_oid(get_partition_ancestors(relid), root))
	{
		name = get_attname(root, column, true);
		if (name == NULL)
			return InvalidAttrNumber;
	}
	return get_attnum(relid, name);
}

static void
read_trigger(Watch *watch, const TriggerData *data)
{
	char	  **args = data->tg_trigger->tgargs;
	int64		attachment,
				path,
				root,
				column;
	Oid			output;
	bool		varlena;

	watch->relation = RelationGetRelid(data->tg_relation);
	watch->column = InvalidAttrNumber;
	watch->possible = data->tg_trigger->tgnargs == 5 &&
		read_number(args[0], PG_INT32_MAX, &attachment) && read_number(args[1], PG_INT16_MAX, &path) &&
		read_number(args[2], PG_UINT32_MAX, &root) && read_number(args[3], MaxHeapAttributeNumber, &column);
	watch->valid = true;		/* what is invalidated from here on is read again */
	if (!watch->possible)
		return;
	watch->attachment = (int32) attachment;
	watch->path = path < PATH_WATCH ? PATH_CART : (int16) path;
	watch->column = find_column(data->tg_relation, (Oid) root, (AttrNumber) column, args[4]);
	if (watch->column <= 0)
		return;
	watch->type = getBaseType(TupleDescAttr(RelationGetDescr(data->tg_relation), watch->column - 1)->atttypid);
	getTypeOutputInfo(watch->type, &output, &varlena);
	fmgr_info_cxt(output, &watch->output, CacheMemoryContext);
}

static Watch *
find_watch(const TriggerData *data)
{
	Oid			trigger = data->tg_trigger->tgoid;
	bool		found;
	Watch	   *watch;

	if (watches == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(Watch);
		watches = hash_create("incomplete_orders watches", 16, &control, HASH_ELEM | HASH_BLOBS);
	}
	watch = hash_search(watches, &trigger, HASH_ENTER, &found);
	if (!found)
		watch->valid = false;
	if (!watch->valid || watch->relation != RelationGetRelid(data->tg_relation))
	{
		watch->valid = false;
		read_trigger(watch, data);
	}
	return watch;
}

static Key
bytes_of_text(const Watch *watch, Datum value)
{
	struct varlena *packed;
	Key			key = all_carts;

	if (toast_raw_datum_size(value) - VARHDRSZ > MAX_KEY)
		return key;
	packed = PG_DETOAST_DATUM_PACKED(value);
	key.len = VARSIZE_ANY_EXHDR(packed);
	key.bytes = VARDATA_ANY(packed);
	/* as a cast to text would */
	while (watch->type == BPCHAROID && key.len > 0 && key.bytes[key.len - 1] == ' ')
		key.len--;
	return key;
}

/* The value as the cast to text gives it, in the current context. */
static Key
key_of(Watch *watch, Datum value)
{
	Key			key = all_carts;
	char	   *text;

	switch (watch->type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return bytes_of_text(watch, value);
		case INT4OID:
			text = palloc(12);
			key.len = pg_ltoa(DatumGetInt32(value), text);
			key.bytes = text;
			return key;
		case INT8OID:
			text = palloc(MAXINT8LEN + 1);
			key.len = pg_lltoa(DatumGetInt64(value), text);
			key.bytes = text;
			return key;
		default:
			if (get_typlen(watch->type) == -1 && toast_raw_datum_size(value) > MAX_VALUE)
				return key;
			text = OutputFunctionCall(&watch->output, value);
			if (strlen(text) > MAX_KEY)
				return key;
			key.len = (int) strlen(text);
			key.bytes = text;
			return key;
	}
}

static void
mark_row(Watch *watch, HeapTuple row, TupleDesc desc)
{
	Key			key = all_carts;
	bool		isnull = false;

	if (watch->column > 0)
	{
		Datum		value = heap_getattr(row, watch->column, desc, &isnull);

		if (!isnull)
			key = key_of(watch, value);
	}
	/* an empty text is nobody's cart: orders without one have it; as a key it would mean all */
	if (!isnull && key.len != 0)
		mark(watch->attachment, watch->path, &key);
}

/* Programs that save a whole object write rows that are as they were. */
static bool
is_unchanged(HeapTuple old, HeapTuple new)
{
	HeapTupleHeader o = old->t_data;
	HeapTupleHeader n = new->t_data;

	return new->t_len == old->t_len && n->t_hoff == o->t_hoff &&
		HeapTupleHeaderGetNatts(n) == HeapTupleHeaderGetNatts(o) &&
		((n->t_infomask ^ o->t_infomask) & ~HEAP_XACT_MASK) == 0 &&
		memcmp((char *) n + SizeofHeapTupleHeader, (char *) o + SizeofHeapTupleHeader, new->t_len - SizeofHeapTupleHeader) == 0;
}

/* _mark_cart(attachment, path, oid of the table, number of the key column, its name) */
Datum
ico_mark_cart(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	Watch	   *watch;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "_mark_cart")));
	if (!TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired after the event", "_mark_cart"),
				 errhint("incomplete_orders.attach() makes its triggers.")));
	watch = find_watch(data);
	if (!watch->possible)
		return PointerGetDatum(NULL);
	if (n_missed > 0)
		mark_missed();
	desc = RelationGetDescr(data->tg_relation);
	if (!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		mark(watch->attachment, watch->path, &all_carts);
	else if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
	{
		if (!is_unchanged(data->tg_trigtuple, data->tg_newtuple))
		{
			mark_row(watch, data->tg_trigtuple, desc);
			mark_row(watch, data->tg_newtuple, desc);
		}
	}
	else
		mark_row(watch, data->tg_trigtuple, desc);
	return PointerGetDatum(NULL);
}

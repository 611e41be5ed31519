/*
 * mark_drain.c
 *		From cart_marks to due_carts.
 *
 * Nothing is deleted from cart_marks, and its transactions commit in any order, so
 * what tick has taken over of a partition is remembered as the snapshot it was read
 * with: the next time, everything is new that this snapshot did not see.  A
 * snapshot knows whole transactions only, while a row's xmin may be that of a
 * savepoint; so the row names its whole transaction, too.  Neither alone would do:
 * after a dump and restore, or on a logical replica, the named one is that of
 * another server.  A mark counts as taken over only if both were seen, so a doubt
 * costs a repeat, which is harmless, and never a loss.
 *
 * A partition that is not written to any more (mark.c goes on to the next one every
 * minute) is emptied when nobody has a lock on it and nothing of it is new.  Under
 * the lock every transaction that wrote there has ended.  It waits a minute after
 * the last mark was taken over: TRUNCATE empties the table for older snapshots, too,
 * and pg_dump takes its snapshot before its locks, so it could otherwise find marks
 * neither here nor in due_carts.
 *
 * Locks: that of tick; ACCESS SHARE, and to empty it ACCESS EXCLUSIVE on a
 * partition, only if they are free, until the end of the transaction.  Memory: that
 * of the SPI calls.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "compat.h"
#include "hook.h"
#include "mark.h"
#include "plan.h"
#include "tick.h"

/* how long marks that were taken over stay: see above */
#define REST USECS_PER_MINUTE
/* a snapshot that is older cannot be compared with 32 bits */
#define MAX_AGE (UINT64CONST(1) << 30)

PG_FUNCTION_INFO_V1(ico_is_fresh_mark);
PG_FUNCTION_INFO_V1(ico_tick_marks);

/* --- what is new --- */

/* The 64 bits of a transaction that is not later than `next`. */
static FullTransactionId
widen(TransactionId xid, FullTransactionId next)
{
	uint64		wide = (U64FromFullTransactionId(next) & ~UINT64CONST(0xffffffff)) | xid;

	if (wide >= U64FromFullTransactionId(next) && wide > PG_UINT32_MAX)
		wide -= UINT64CONST(1) << 32;
	return FullTransactionIdFromU64(wide);
}

static bool
was_seen(FullTransactionId xid, Datum snapshot)
{
	return DatumGetBool(DirectFunctionCall2(pg_visible_in_snapshot, FullTransactionIdGetDatum(xid), snapshot));
}

/* _is_fresh_mark(inserted_by, top, snapshot, drained_by) */
Datum
ico_is_fresh_mark(PG_FUNCTION_ARGS)
{
	FullTransactionId *next = fcinfo->flinfo->fn_extra;
	TransactionId inserted_by = PG_GETARG_TRANSACTIONID(0);
	FullTransactionId top = PG_GETARG_FULLTRANSACTIONID(1);
	Datum		snapshot = PG_GETARG_DATUM(2);

	if (PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_BOOL(true);
	if (FullTransactionIdEquals(top, PG_GETARG_FULLTRANSACTIONID(3)))
		PG_RETURN_BOOL(true);
	if (next == NULL)
	{
		/* later than everything that the statement can see */
		next = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(FullTransactionId));
		*next = ReadNextFullTransactionId();
		fcinfo->flinfo->fn_extra = next;
	}
	/* a transaction that does not exist here says nothing */
	if (FullTransactionIdPrecedes(top, *next) && !was_seen(top, snapshot))
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(!was_seen(widen(inserted_by, *next), snapshot));
}

/* --- one partition --- */

/* What the statements know of a partition. */
typedef struct Progress
{
	Datum		values[4];		/* segment, snapshot, drained_by, this database */
	char		nulls[5];
	bool		rested;			/* the last mark was taken over so long ago */
} Progress;

static const Oid types[4] = {INT4OID, PG_SNAPSHOTOID, XID8OID, OIDOID};

/* The snapshot and who took it, unless they are of another database or too old. */
static void
read_progress(int segment, Progress *progress)
{
	static IcoPlan plan = {
		NULL,
		"SELECT p.snapshot, p.drained_by, p.drained_at FROM incomplete_orders.cart_mark_progress p"
		" WHERE p.segment" EQ "$1 AND p.cluster_id" EQ "incomplete_orders._cluster_id() AND p.database_oid" EQ "$4",
		NULL, NULL, types, lengthof(types)
	};
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz drained_at;
	FullTransactionId oldest;
	bool		isnull;

	progress->values[0] = Int32GetDatum(segment);
	progress->values[1] = progress->values[2] = (Datum) 0;
	progress->values[3] = ObjectIdGetDatum(MyDatabaseId);
	memcpy(progress->nulls, " nn ", 5);
	progress->rested = true;
	if (ico_execute(&plan, progress->values, progress->nulls) == 0)
		return;
	progress->values[1] = ico_column(0, 1, &isnull);
	progress->values[2] = ico_column(0, 2, &isnull);
	drained_at = DatumGetTimestampTz(ico_column(0, 3, &isnull));
	progress->rested = drained_at < now - REST || drained_at > now + REST;	/* the clock was set back */
	oldest = DatumGetFullTransactionId(DirectFunctionCall1(pg_snapshot_xmin, progress->values[1]));
	if (U64FromFullTransactionId(oldest) + MAX_AGE > U64FromFullTransactionId(ReadNextFullTransactionId()))
		memset(progress->nulls, ' ', 4);
}

#define FRESH " incomplete_orders._is_fresh_mark(m.xmin, m.xid, $2, $3)"

/*
 * Every key once, and the snapshot that this was read with.  Marks of what is
 * attached no more are left out.
 */
#define DRAIN(n) \
	"WITH fresh AS (SELECT m.attachment, m.path, coalesce(m.key, '') AS key, pg_catalog.min(m.marked_at) AS first_marked_at," \
	"  pg_catalog.max(m.marked_at) AS marked_at FROM incomplete_orders.cart_marks_" #n " m WHERE" FRESH " GROUP BY 1, 2, 3)," \
	" moved AS (INSERT INTO incomplete_orders.due_carts AS d (attachment, path, key, first_marked_at, marked_at)" \
	"  SELECT f.attachment, f.path, f.key, f.first_marked_at, f.marked_at FROM fresh f" \
	"  WHERE f.attachment" EQ "ANY (ARRAY(SELECT a.attachment FROM incomplete_orders.attached_tables a))" \
	"  ON CONFLICT (attachment, path, key) DO UPDATE" \
	"  SET first_marked_at = LEAST(d.first_marked_at, excluded.first_marked_at)," \
	"  marked_at = GREATEST(d.marked_at, excluded.marked_at), retry_at = NULL)" \
	" INSERT INTO incomplete_orders.cart_mark_progress (segment, cluster_id, database_oid, snapshot, drained_by, drained_at)" \
	" SELECT $1, incomplete_orders._cluster_id(), $4, pg_catalog.pg_current_snapshot(), pg_catalog.pg_current_xact_id()," \
	"  pg_catalog.clock_timestamp() WHERE EXISTS (SELECT FROM fresh)" \
	" ON CONFLICT (segment) DO UPDATE SET cluster_id = excluded.cluster_id, database_oid = excluded.database_oid," \
	"  snapshot = excluded.snapshot, drained_by = excluded.drained_by, drained_at = excluded.drained_at"
#define FIND(n) "SELECT FROM incomplete_orders.cart_marks_" #n " m WHERE" FRESH " LIMIT 1"
#define EMPTY(n) "TRUNCATE incomplete_orders.cart_marks_" #n

#define PLAN(statement) {NULL, statement, NULL, NULL, types, lengthof(types)}
#define PLANS(statement) {PLAN(statement(0)), PLAN(statement(1)), PLAN(statement(2)), PLAN(statement(3))}

/* Takes over what is new; whether there was anything. */
static bool
drain(int segment, Progress *progress)
{
	static IcoPlan plans[ICO_SEGMENTS] = PLANS(DRAIN);

	return ico_execute(&plans[segment], progress->values, progress->nulls) > 0;
}

static void
truncate_segment(void *arg)
{
	static IcoPlan plans[ICO_SEGMENTS] = {{"", EMPTY(0)}, {"", EMPTY(1)}, {"", EMPTY(2)}, {"", EMPTY(3)}};

	(void) ico_execute(&plans[*(int *) arg], NULL, NULL);
}

static void
empty_segment(int segment, Progress *progress)
{
	static IcoPlan plans[ICO_SEGMENTS] = PLANS(FIND);
	ErrorData  *error;

	/* what the transaction's snapshot does not see is still there to be taken over */
	if (IsolationUsesXactSnapshot() || segment == ico_segment_at(GetCurrentTimestamp()) ||
		!ConditionalLockRelationOid(ico_segment_oid(segment), AccessExclusiveLock))
		return;
	if (ico_execute(&plans[segment], progress->values, progress->nulls) > 0)
		return;
	error = ico_try(truncate_segment, &segment);
	if (error != NULL)
		ereport(LOG,
				(errmsg("could not empty partition %d of cart_marks", segment),
				 errdetail_internal("%s", error->message)));
}

/* Whether there may be marks.  False, too, while somebody has locked it: later, then. */
static bool
has_rows(int segment)
{
	Oid			oid = ico_segment_oid(segment);
	Relation	relation;
	bool		answer;

	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, AccessShareLock))
		return false;
	relation = try_relation_open(oid, NoLock);
	if (relation == NULL)
		return false;
	answer = RelationGetNumberOfBlocks(relation) > 0;
	relation_close(relation, NoLock);
	return answer;
}

/* _tick_marks(segment, rotate) */
Datum
ico_tick_marks(PG_FUNCTION_ARGS)
{
	int			segment = PG_GETARG_INT32(0);
	bool		rotate = PG_GETARG_BOOL(1);
	Progress	progress;
	bool		free;

	if (segment < 0 || segment >= ICO_SEGMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cart_marks has no partition %d", segment)));
	SPI_connect();
	free = ico_try_lock_tick();
	if (free && has_rows(segment))
	{
		read_progress(segment, &progress);
		if (!drain(segment, &progress) && rotate && progress.rested)
			empty_segment(segment, &progress);
	}
	SPI_finish();
	PG_RETURN_BOOL(free);
}

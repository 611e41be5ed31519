/*
 * tick.c
 *		The clock: what falls due by itself.
 *
 * tick() is a procedure without SECURITY DEFINER and without SET, because only
 * such a one may commit.  It goes through the shops that its caller may tick in
 * rounds: each batch (_tick_batch, which runs as incomplete_orders_owner) takes
 * a few due orders of many shops by the index on (shop_id, next_action_at) and
 * is committed by itself; shops that had more come again in the next round.  So
 * a shop with a million due orders delays nobody, and what is examined is what
 * is due.
 *
 * Locks: one transaction-level advisory lock per batch, so that two ticks do not
 * work at the same time; rows FOR UPDATE SKIP LOCKED.  Memory: the list of shops
 * lives in the procedure's context, everything else in that of a batch.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "campaign.h"
#include "closing.h"
#include "compat.h"
#include "errors.h"
#include "hook.h"
#include "lifecycle.h"
#include "line_items.h"
#include "mark.h"
#include "plan.h"
#include "tenant.h"
#include "tick.h"

/* orders in one batch, and so in one transaction */
#define BATCH_ORDERS 2000
/* of one shop, while others wait */
#define BATCH_PER_SHOP 100
/* shops that one batch looks at */
#define BATCH_SHOPS 1000
/* payments that one batch asks for, with their rows locked */
#define BATCH_PAYMENTS 20
/* events in one batch: large, because what they add up to is written once */
#define BATCH_EVENTS 100000
/* carts of an attached shop that are read at once */
#define BATCH_CARTS 500
/* advisory lock of tick: class and number, in this database */
#define TICK_LOCK 0x49434f01

PG_FUNCTION_INFO_V1(ico_due_step);
PG_FUNCTION_INFO_V1(ico_tick_batch);
PG_FUNCTION_INFO_V1(ico_tick);

static TimestampTz
instant_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? ICO_NONE : PG_GETARG_TIMESTAMPTZ(argument);
}

/* The step that ico_settle would make, as a row: for set-based statements. */
Datum
ico_due_step(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	IcoOrder	order = {0};
	IcoShop		shop = {0};
	IcoEvent	event;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	order.status = ico_status_of(PG_GETARG_DATUM(0));
	order.empty = PG_GETARG_BOOL(1);
	order.last_activity_at = instant_argument(fcinfo, 2);
	order.abandoned_at = instant_argument(fcinfo, 3);
	order.lost_at = instant_argument(fcinfo, 4);
	order.expires_at = instant_argument(fcinfo, 5);
	order.payment_deadline = instant_argument(fcinfo, 6);
	shop.cut_off = ico_span(PG_GETARG_DATUM(7));
	shop.attribution_window = ico_span(PG_GETARG_DATUM(8));
	(void) ico_take_step(&order, &shop, DT_NOEND - 1, &event);
	values[0] = CStringGetTextDatum(event.event);
	values[1] = TimestampTzGetDatum(event.at);
	nulls[2] = order.closed;
	values[2] = order.closed ? (Datum) 0 : TimestampTzGetDatum(ico_next_action(&order, &shop));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

bool
ico_try_lock_tick(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, TICK_LOCK, 0, 2);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* --- what fails ----------------------------------------------------------- */

void
ico_record_failure(int32 shop_id, const char *hook, int sqlstate)
{
	static IcoPlan plan = {
		"itzt",
		"INSERT INTO incomplete_orders.hook_failures AS f (shop_id, hook, failed_at, failures, sqlstate)"
		" VALUES ($1, $2, $3, 1, $4) ON CONFLICT (shop_id, hook) DO UPDATE"
		" SET failed_at = excluded.failed_at, failures = f.failures" PLUS "1, sqlstate = excluded.sqlstate"
	};
	Datum		values[4] = {
		Int32GetDatum(shop_id), CStringGetTextDatum(hook), TimestampTzGetDatum(GetCurrentTimestamp()),
		CStringGetTextDatum(unpack_sql_state(sqlstate))
	};

	(void) ico_execute(&plan, values, NULL);
}

void
ico_look_again(const IcoOrder *order, TimestampTz at)
{
	static IcoPlan plan = {
		"iuzs",
		"UPDATE incomplete_orders.open_orders SET next_action_at = $3 WHERE shop_id" EQ "$1 AND id" EQ "$2 AND status" EQ "$4"
	};
	Datum		values[4] = {
		Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id), TimestampTzGetDatum(at),
		ico_status_datum(order->status)
	};

	(void) ico_execute(&plan, values, NULL);
}

/* --- abandoned, lost, expired --------------------------------------------- */

/* what an event says of an order, of the row c */
#define EVENT_FACTS \
	"c.shop_id, c.id, c.root_id, c.episode, c.kind, c.currency, c.items, c.shipping, c.tax, c.discount," \
	" c.coupon_discount, c.furthest_step, c.context, c.bot, c.created_at, c.abandoned_at, c.abandonment_reason, c.before, c.step, c.due_at, "

/* whether the cart that the order o is of has changes in its shop that were not read yet */
#define UNREAD(o) \
	"(" o ".attachment IS NOT NULL AND EXISTS (SELECT FROM incomplete_orders.due_carts c WHERE c.attachment" EQ o ".attachment" \
	" AND c.path" EQ "ANY ('{-1,0,1,2}') AND c.key" EQ "ANY (ARRAY[" o ".cart_key, ''])))"

/*
 * One statement for a whole batch: take due rows, decide, write the changes,
 * close what expired, append the events, and count by shop.
 *	$1 shops  $2 at  $3 per shop  $4 most
 * A row whose payment is to be asked for is left to tick_payments().
 */
static IcoPlan *
batch_plan(void)
{
	static IcoPlan plan = {"Aziis", NULL};
	static uint64 made_for = 0;
	uint64		generation;
	const char *columns;
	char	   *query;

	generation = ico_shared_columns(&columns);
	if (plan.query != NULL && made_for == generation)
		return &plan;
	query = psprintf("WITH due AS MATERIALIZED (SELECT o.shop_id, o.ctid AS row, o.status AS before, d.step, d.due_at, d.next_at"
					 " FROM (SELECT s.shop_id, s.cut_off, s.attribution_window, s.payment_state FROM incomplete_orders.shops s"
					 "  WHERE s.shop_id" EQ "ANY ($1) ORDER BY s.shop_id) s"
					 " CROSS JOIN LATERAL (SELECT q.ctid, q.* FROM incomplete_orders.open_orders q"
					 "  WHERE q.shop_id" EQ "s.shop_id AND q.next_action_at" LE "$2"
					 "  AND (q.status" NE "$5 OR s.payment_state IS NULL)"
					 "  ORDER BY q.next_action_at LIMIT $3 FOR UPDATE SKIP LOCKED) o"
					 " CROSS JOIN LATERAL incomplete_orders._due_step(o.status, incomplete_orders.item_count(o.items)" EQ "0,"
					 "  o.last_activity_at, o.abandoned_at, o.lost_at, o.expires_at, o.payment_deadline,"
					 "  s.cut_off, s.attribution_window) n"
					 /* nothing falls due for a cart that is to be read again: look in a minute */
					 " CROSS JOIN LATERAL (SELECT n.step, n.next_at, CASE WHEN " UNREAD("o") " THEN $2" PLUS "interval '1 minute'"
					 "  ELSE n.due_at END AS due_at) d LIMIT $4),"
					 " changed AS (UPDATE incomplete_orders.open_orders o SET status = 'abandoned',"
					 "  abandoned_at = CASE WHEN d.step" EQ "'abandoned' THEN d.due_at ELSE o.abandoned_at END,"
					 "  lost_at = CASE WHEN d.step" EQ "'lost' THEN d.due_at ELSE o.lost_at END, next_action_at = d.next_at,"
					 "  next_message_at = CASE WHEN d.step" EQ "'abandoned' THEN "
					 ICO_FIRST_MESSAGE("o.shop_id", "o.kind", "d.due_at") " END"
					 "  FROM due d WHERE o.ctid" EQ "d.row AND d.due_at" LE "$2 AND d.step" NE "'expired'"
					 "  RETURNING o.*, d.before, d.step, d.due_at),"
					 " rearmed AS (UPDATE incomplete_orders.open_orders o SET next_action_at = d.due_at"
					 "  FROM due d WHERE o.ctid" EQ "d.row AND d.due_at" GT "$2),"
					 " gone AS (DELETE FROM incomplete_orders.open_orders o USING due d"
					 "  WHERE o.ctid" EQ "d.row AND d.due_at" LE "$2 AND d.step" EQ "'expired'"
					 "  RETURNING o.*, d.before, d.step, d.due_at),"
					 " closed AS (INSERT INTO incomplete_orders.closed_orders (%sitems, status, closed_at)"
					 "  SELECT %sitems, 'expired', due_at FROM gone),"
					 " cancelled AS (UPDATE incomplete_orders.messages m SET status = 'cancelled', reason = 'expired'"
					 "  FROM (SELECT q.shop_id, q.id, g.due_at FROM gone g CROSS JOIN LATERAL"
					 "   (SELECT w.shop_id, w.id FROM incomplete_orders.messages w WHERE w.shop_id" EQ "g.shop_id"
					 "    AND w.root_id" EQ "g.root_id AND w.order_id" EQ "g.id AND w.status" EQ "ANY ('{queued,sending}')"
					 "    AND g.before" EQ "'abandoned' FOR UPDATE SKIP LOCKED) q) g"
					 "  WHERE m.shop_id" EQ "g.shop_id AND m.id" EQ "g.id RETURNING m.*, g.due_at AS ended_at),"
					 " ledger AS (INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step,"
					 "  ordinal, message_id, at, reason) SELECT m.shop_id, m.order_id, m.episode, m.campaign, m.step,"
					 "  m.ordinal, m.id, m.ended_at, m.reason FROM cancelled m),"
					 " r AS (SELECT %s FROM changed c UNION ALL SELECT %s FROM gone c), "
					 ICO_EVENT_ROWS("r", "r.step", "r.due_at", "NULL", "r.before", "r.after",
									"CASE WHEN r.step" EQ "'abandoned' THEN " ICO_REASON_CODE("r.abandonment_reason") " END", "", "") ","
					 " t AS (" ICO_EVENT_TAIL ")"
					 " SELECT d.shop_id, pg_catalog.count(*)::integer,"
					 " (pg_catalog.count(*) FILTER (WHERE d.due_at" LE "$2 AND d.step" EQ "'abandoned'))::integer,"
					 " (pg_catalog.count(*) FILTER (WHERE d.due_at" LE "$2 AND d.step" EQ "'lost'))::integer,"
					 " (pg_catalog.count(*) FILTER (WHERE d.due_at" LE "$2 AND d.step" EQ "'expired'))::integer,"
					 " pg_catalog.bool_or(d.due_at" LE "$2 AND d.next_at" LE "$2) IS TRUE"
					 " FROM due d GROUP BY d.shop_id ORDER BY d.shop_id",
					 columns, columns,
					 EVENT_FACTS "'abandoned'::incomplete_orders.order_status AS after",
					 EVENT_FACTS "'expired'::incomplete_orders.order_status AS after");
	ico_plan_free(&plan);
	if (plan.query != NULL)
		pfree(unconstify(char *, plan.query));
	plan.query = MemoryContextStrdup(TopMemoryContext, query);
	made_for = generation;
	return &plan;
}

typedef struct Batch
{
	ArrayType  *shops;
	TimestampTz at;
	int			per_shop;
	int			most;
	ReturnSetInfo *rsinfo;		/* or NULL */
	bool		more;			/* some shop had more */
} Batch;

static void
put_batch_row(Batch *batch, const int32 *counts, bool more)
{
	Datum		values[6];
	bool		nulls[6] = {false};

	batch->more = batch->more || more;
	if (batch->rsinfo == NULL)
		return;
	values[0] = Int32GetDatum(counts[0]);
	for (int i = 1; i <= 3; i++)
		values[i] = Int32GetDatum(counts[i + 1]);
	values[4] = Int32GetDatum(counts[1]);
	values[5] = BoolGetDatum(more);
	tuplestore_putvalues(batch->rsinfo->setResult, batch->rsinfo->setDesc, values, nulls);
}

static void
batch_args(const Batch *batch, Datum *values)
{
	values[0] = PointerGetDatum(batch->shops);
	values[1] = TimestampTzGetDatum(batch->at);
	values[2] = Int32GetDatum(batch->per_shop);
	values[3] = Int32GetDatum(batch->most);
	values[4] = ico_status_datum(ICO_PAYMENT_PENDING);
}

/* Runs the statement for these shops. */
static void
run_batch(void *arg)
{
	Batch	   *batch = arg;
	Datum		values[5];
	int32	   *ids = (int32 *) ARR_DATA_PTR(batch->shops);
	int			n_ids = ArrayGetNItems(ARR_NDIM(batch->shops), ARR_DIMS(batch->shops));
	int			total = 0;
	int			reached = 0;
	uint64		n;

	batch_args(batch, values);
	ico_vouch_next();			/* the statement writes what the triggers would find right */
	n = ico_execute(batch_plan(), values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		int32		counts[5];
		bool		next_step;	/* some orders have another one due */
		bool		isnull;

		for (int column = 0; column < 5; column++)
			counts[column] = DatumGetInt32(ico_column(i, column + 1, &isnull));
		next_step = DatumGetBool(ico_column(i, 6, &isnull));
		total += counts[1];
		put_batch_row(batch, counts, next_step || counts[1] >= batch->per_shop || total >= batch->most);
		reached = counts[0];
	}
	/* the batch was full: shops behind the last one were not looked at */
	for (int i = 0; total >= batch->most && i < n_ids; i++)
	{
		int32		counts[5] = {ids[i]};

		if (ids[i] > reached)
			put_batch_row(batch, counts, true);
	}
}

/* One order, all its steps that are due; counts as in put_batch_row(). */
typedef struct Single
{
	IcoShop		shop;
	IcoOrder	order;
	TimestampTz at;
	int32		counts[5];
} Single;

static void
settle_single(void *arg)
{
	Single	   *single = arg;
	IcoOrder	copy = single->order;
	IcoEvent	event;

	while (!copy.closed && ico_take_step(&copy, &single->shop, single->at, &event))
		single->counts[copy.closed ? 4 : strcmp(event.event, "lost") == 0 ? 3 : 2]++;
	if (ico_settle(&single->order, &single->shop, single->at))
		ico_look_again(&single->order, ico_next_action(&single->order, &single->shop));
}

static void
postpone_single(void *arg)
{
	Single	   *single = arg;

	ico_look_again(&single->order, Min(single->at, GetCurrentTimestamp()) + ICO_TRY_AGAIN);
}

static void
take_single(Batch *batch, int32 shop_id, const pg_uuid_t *id)
{
	Single		single = {.at = batch->at, .counts = {shop_id, 1}};
	Single		before;
	ErrorData  *error;

	if (!ico_shop_by_id(shop_id, &single.shop) || !ico_read_open(shop_id, id, true, &single.order))
		return;
	before = single;
	error = ico_try(settle_single, &single);
	if (error == NULL)
	{
		/* there may be more than one batch takes */
		put_batch_row(batch, single.counts, true);
		return;
	}
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("tick could not move order %s on",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)))),
			 errdetail("%s", error->message),
			 errhint("It is tried again in a quarter of an hour.")));
	ico_record_failure(shop_id, "tick", error->sqlerrcode);
	(void) ico_try(postpone_single, &before);
	put_batch_row(batch, before.counts, false);
}

/*
 * A batch failed: something that a user added, a foreign key, a check, a trigger,
 * refuses one of its rows.  Then each of them is taken alone, and what is refused
 * waits, so that it holds up nobody else.
 */
static void
run_singly(Batch *batch)
{
	static IcoPlan plan = {
		"Aziis",
		"SELECT o.shop_id, o.id FROM (SELECT s.shop_id, s.payment_state FROM incomplete_orders.shops s"
		"  WHERE s.shop_id" EQ "ANY ($1) ORDER BY s.shop_id) s"
		" CROSS JOIN LATERAL (SELECT q.shop_id, q.id FROM incomplete_orders.open_orders q"
		"  WHERE q.shop_id" EQ "s.shop_id AND q.next_action_at" LE "$2 AND (q.status" NE "$5 OR s.payment_state IS NULL)"
		"  AND " UNREAD("q") " IS NOT TRUE ORDER BY q.next_action_at LIMIT $3 FOR UPDATE SKIP LOCKED) o LIMIT $4"
	};
	Datum		values[5];
	SPITupleTable *due;
	uint64		n;
	bool		isnull;

	batch_args(batch, values);
	n = ico_execute(&plan, values, NULL);
	due = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		take_single(batch, DatumGetInt32(SPI_getbinval(due->vals[i], due->tupdesc, 1, &isnull)),
					DatumGetUUIDP(SPI_getbinval(due->vals[i], due->tupdesc, 2, &isnull)));
	}
}

void
ico_settle_shop(int32 shop_id, TimestampTz at)
{
	Datum		element = Int32GetDatum(shop_id);
	Batch		batch = {
		construct_array(&element, 1, INT4OID, sizeof(int32), true, TYPALIGN_INT), at, BATCH_ORDERS, BATCH_ORDERS
	};

	do
	{
		CHECK_FOR_INTERRUPTS();
		batch.more = false;
		if (ico_try(run_batch, &batch) != NULL)
			run_singly(&batch);
	} while (batch.more);
}

static IcoRight
right_at(TimestampTz at)
{
	return at > GetCurrentTimestamp() ? ICO_RIGHT_mark_abandoned : ICO_RIGHT_tick;
}

bool
ico_may_tick(int32 shop_id, TimestampTz at)
{
	return !TIMESTAMP_NOT_FINITE(at) && ico_keep_permitted(right_at(at), &shop_id, 1) == 1;
}

/* Who may tick a shop may not make its future happen: that is for admins. */
void
ico_check_tick_right(ArrayType *shops, TimestampTz at)
{
	int			n = ArrayGetNItems(ARR_NDIM(shops), ARR_DIMS(shops));

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"at\" must be a finite instant"),
				 errhint("Leave it out for now().")));
	if (ARR_HASNULL(shops) || ico_keep_permitted(right_at(at), (int32 *) ARR_DATA_PTR(shops), n) != n)
		ereport(ERROR,
				(errcode(ICO_ERR_NO_SUCH_SHOP),
				 errmsg("no such shop, or no right to it"),
				 errhint("Only the purpose admin may tick at an instant in the future.")));
}

/* _tick_batch(shops, at, per_shop, most); shops are in rising order */
Datum
ico_tick_batch(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType  *shops = PG_GETARG_ARRAYTYPE_P_COPY(0);
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	int			n = ArrayGetNItems(ARR_NDIM(shops), ARR_DIMS(shops));

	InitMaterializedSRF(fcinfo, 0);
	if (n == 0)
		return (Datum) 0;
	SPI_connect();
	ico_check_tick_right(shops, at);
	if (ico_try_lock_tick())
	{
		Batch		batch = {shops, at, PG_GETARG_INT32(2), PG_GETARG_INT32(3), rsinfo};

		if (ico_try(run_batch, &batch) != NULL)
			run_singly(&batch);
	}
	else
	{
		Datum		values[6] = {0};
		bool		nulls[6] = {true, true, true, true, true, true};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/* --- the procedure ------------------------------------------------------- */

typedef struct Tick
{
	bool		nonatomic;		/* may commit */
	TimestampTz at;
	TimestampTz until;			/* by the wall clock */
	TimestampTz began;
	bool		busy;			/* another tick is at work */
	int32	   *shops;			/* to look at in this round */
	int			n_shops;
	int			n_again;		/* at the front: those of the next round */
	int64		abandoned;
	int64		lost;
	int64		expired;
	int64		queued;
	int64		skipped;
	int64		carts;			/* of attached shops, read */
	int64		refused;		/* of those */
	int64		payments;
	int64		folded;
	int64		purged;
	int64		partitions;
	int			batches;
} Tick;

/*
 * A new transaction, READ COMMITTED whatever the session's default: one that is
 * SERIALIZABLE would read the shops' tables, and their own writes could fail for it.
 */
static void
begin_batch(Tick *tick)
{
	if (!tick->nonatomic)
		return;
	SPI_commit();
	XactIsoLevel = XACT_READ_COMMITTED;
}

/* A batch is done: whatever comes later cannot undo it. */
static void
commit_batch(Tick *tick)
{
	tick->batches++;
	begin_batch(tick);
	CHECK_FOR_INTERRUPTS();
}

static bool
out_of_time(const Tick *tick)
{
	return GetCurrentTimestamp() >= tick->until;
}

static void
read_shops(Tick *tick, MemoryContext context)
{
	static IcoPlan plan = {"", "SELECT incomplete_orders._visible_shops('tick', '*')"};
	ArrayType  *array;
	bool		isnull;

	(void) ico_execute(&plan, NULL, NULL);
	array = DatumGetArrayTypeP(ico_column(0, 1, &isnull));
	tick->n_shops = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	tick->shops = MemoryContextAlloc(context, (tick->n_shops + 1) * sizeof(int32));
	memcpy(tick->shops, ARR_DATA_PTR(array), tick->n_shops * sizeof(int32));
}

static Datum
array_of_shops(const int32 *shops, int n)
{
	Datum	   *elements = palloc((n + 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(shops[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static int64
call_for_count(Tick *tick, IcoPlan *plan, Datum *values)
{
	bool		isnull;
	int64		n;

	(void) ico_execute(plan, values, NULL);
	n = DatumGetInt64(ico_column(0, 1, &isnull));
	commit_batch(tick);
	return n;
}

/* Several rows of one shop stand together. */
static void
come_again(Tick *tick, int32 shop_id)
{
	if (tick->n_again == 0 || tick->shops[tick->n_again - 1] != shop_id)
		tick->shops[tick->n_again++] = shop_id;
}

/* One batch over shops[first .. first + n); those with more go to the front. */
static void
tick_shops(Tick *tick, IcoPlan *plan, int64 *const *sums, int n_sums, int first, int n)
{
	Datum		values[4] = {
		array_of_shops(tick->shops + first, n), TimestampTzGetDatum(tick->at),
		Int32GetDatum(Max(BATCH_PER_SHOP, BATCH_ORDERS / n)), Int32GetDatum(BATCH_ORDERS)
	};
	uint64		rows = ico_execute(plan, values, NULL);
	bool		isnull;

	for (uint64 i = 0; i < rows; i++)
	{
		int32		shop_id = DatumGetInt32(ico_column(i, 1, &isnull));

		if (isnull)
		{
			tick->busy = true;
			return;
		}
		for (int sum = 0; sum < n_sums; sum++)
			*sums[sum] += DatumGetInt32(ico_column(i, sum + 3, &isnull));
		if (DatumGetBool(ico_column(i, 2, &isnull)))
			come_again(tick, shop_id);
	}
	commit_batch(tick);
}

/*
 * Rounds, until no shop has anything due or the time is over; the first one is
 * made in any case where `once` says so.  True: all done.
 */
static bool
tick_rounds(Tick *tick, IcoPlan *plan, int64 *const *sums, int n_sums, bool once)
{
	while (tick->n_shops > 0)
	{
		tick->n_again = 0;
		for (int first = 0; first < tick->n_shops; first += BATCH_SHOPS)
		{
			tick_shops(tick, plan, sums, n_sums, first, Min(BATCH_SHOPS, tick->n_shops - first));
			if (tick->busy || (!once && out_of_time(tick)))
				return false;
		}
		tick->n_shops = tick->n_again;
		if (tick->n_shops > 0 && out_of_time(tick))
			return false;
		once = false;
	}
	return true;
}

/* What changed in attached tables.  Where it cannot commit, no lock is held until somebody else does. */
static void
tick_marks(Tick *tick)
{
	static IcoPlan plan = {"ib", "SELECT incomplete_orders._tick_marks($1, $2)"};

	for (int segment = 0; segment < ICO_SEGMENTS && !tick->busy; segment++)
	{
		Datum		values[2] = {Int32GetDatum(segment), BoolGetDatum(tick->nonatomic)};
		bool		isnull;

		(void) ico_execute(&plan, values, NULL);
		tick->busy = !DatumGetBool(ico_column(0, 1, &isnull));
		commit_batch(tick);
	}
}

/* One batch of an attachment; false: another tick is at work. *more: it has others. */
static bool
tick_cart_batch(Tick *tick, int32 attachment, bool *more)
{
	static IcoPlan plan = {
		"izi", "SELECT c.free, c.carts, c.refused, c.more FROM incomplete_orders._tick_carts($1, $2, $3) c"
	};
	Datum		values[3] = {Int32GetDatum(attachment), TimestampTzGetDatum(tick->at), Int32GetDatum(BATCH_CARTS)};
	bool		isnull;

	(void) ico_execute(&plan, values, NULL);
	tick->busy = !DatumGetBool(ico_column(0, 1, &isnull));
	tick->carts += DatumGetInt32(ico_column(0, 2, &isnull));
	tick->refused += DatumGetInt32(ico_column(0, 3, &isnull));
	*more = DatumGetBool(ico_column(0, 4, &isnull));
	commit_batch(tick);
	return !tick->busy;
}

/*
 * The carts of attached shops, in rounds: each attachment has one batch in each.  They
 * have half of the time; whatever else is due must not wait for a backlog.
 */
static bool
tick_carts(Tick *tick, MemoryContext context)
{
	static IcoPlan plan = {"Az", "SELECT incomplete_orders._tick_attachments($1, $2)"};
	Datum		values[2] = {array_of_shops(tick->shops, tick->n_shops), TimestampTzGetDatum(tick->at)};
	TimestampTz until = tick->began + (tick->until - tick->began) / 2;
	ArrayType  *array;
	int32	   *attachments;
	int			n;
	bool		isnull;

	(void) ico_execute(&plan, values, NULL);
	array = DatumGetArrayTypeP(ico_column(0, 1, &isnull));
	n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	attachments = MemoryContextAlloc(context, (n + 1) * sizeof(int32));
	memcpy(attachments, ARR_DATA_PTR(array), n * sizeof(int32));
	while (n > 0)
	{
		int			again = 0;

		for (int i = 0; i < n; i++)
		{
			int32		attachment = attachments[i];
			bool		more;

			if (!tick_cart_batch(tick, attachment, &more))
				return false;
			if (more)
				attachments[again++] = attachment;
			if (GetCurrentTimestamp() >= until)
				return again == 0 && i == n - 1;
		}
		n = again;
	}
	return true;
}

static bool
tick_orders(Tick *tick)
{
	static IcoPlan plan = {
		"Azii",
		"SELECT b.shop_id, b.more, b.abandoned, b.lost, b.expired FROM incomplete_orders._tick_batch($1, $2, $3, $4) b"
		" ORDER BY b.shop_id"
	};
	int64	   *const sums[] = {&tick->abandoned, &tick->lost, &tick->expired};

	return tick_rounds(tick, &plan, sums, lengthof(sums), false);
}

/* What is abandoned is mailed even where abandoning took all the time there was. */
static bool
tick_messages(Tick *tick, MemoryContext context)
{
	static IcoPlan plan = {
		"Azii",
		"SELECT b.shop_id, b.more, b.queued, b.skipped FROM incomplete_orders._tick_messages($1, $2, $3, $4) b"
		" ORDER BY b.shop_id"
	};
	static IcoPlan arm = {"A", "SELECT incomplete_orders._tick_campaigns($1)"};
	int64	   *const sums[] = {&tick->queued, &tick->skipped};
	Datum		values[1];

	read_shops(tick, context);
	values[0] = array_of_shops(tick->shops, tick->n_shops);
	(void) call_for_count(tick, &arm, values);
	return tick_rounds(tick, &plan, sums, lengthof(sums), true);
}

/* Hooks are slow: they have a fifth of the time, or what the first batch takes. */
static void
tick_payments(Tick *tick, Datum shops)
{
	static IcoPlan plan = {"Azi", "SELECT incomplete_orders._tick_payments($1, $2, $3)::bigint"};
	Datum		values[3] = {shops, TimestampTzGetDatum(tick->at), Int32GetDatum(BATCH_PAYMENTS)};
	TimestampTz until = tick->began + (tick->until - tick->began) / 5;
	int64		n;

	do
	{
		n = call_for_count(tick, &plan, values);
		tick->payments += Max(n, 0);
	} while (n > 0 && GetCurrentTimestamp() < until);
	tick->busy = n < 0;
}

/* Reports read what is left from the tail, so nothing is wrong where the time is over. */
static bool
fold_events(Tick *tick)
{
	static IcoPlan plan = {"i", "SELECT incomplete_orders._tick_fold($1)"};
	Datum		values[1] = {Int32GetDatum(BATCH_EVENTS)};
	int64		n;

	do
	{
		n = call_for_count(tick, &plan, values);
		tick->folded += n;
	} while (n >= BATCH_EVENTS && !out_of_time(tick));
	return n < BATCH_EVENTS;
}

static void
keep_house(Tick *tick)
{
	static IcoPlan retention = {"zi", "SELECT incomplete_orders._tick_retention($1, $2)"};
	static IcoPlan partitions = {"z", "SELECT incomplete_orders._tick_partitions($1)::bigint"};
	Datum		values[2] = {TimestampTzGetDatum(tick->at), Int32GetDatum(BATCH_ORDERS)};
	int64		n;

	tick->partitions = call_for_count(tick, &partitions, values);
	do
	{
		n = call_for_count(tick, &retention, values);
		tick->purged += n;
	} while (n >= BATCH_ORDERS && !out_of_time(tick));
}

static Datum
report(const Tick *tick, bool finished)
{
	double		seconds = (GetCurrentTimestamp() - tick->began) / (double) USECS_PER_SEC;
	char	   *json = psprintf("{\"busy\":%s,\"finished\":%s,\"seconds\":%.3f,\"batches\":%d,"
								"\"abandoned\":" INT64_FORMAT ",\"lost\":" INT64_FORMAT ",\"expired\":" INT64_FORMAT
								",\"carts\":" INT64_FORMAT ",\"refused\":" INT64_FORMAT ",\"queued\":" INT64_FORMAT ",\"skipped\":" INT64_FORMAT
								",\"payments\":" INT64_FORMAT ",\"folded\":" INT64_FORMAT ",\"purged\":" INT64_FORMAT ",\"partitions\":" INT64_FORMAT "}",
								tick->busy ? "true" : "false", finished ? "true" : "false", seconds, tick->batches,
								tick->abandoned, tick->lost, tick->expired, tick->carts, tick->refused, tick->queued, tick->skipped, tick->payments,
								tick->folded, tick->purged, tick->partitions);

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

static void
beat(Tick *tick, Datum report)
{
	static IcoPlan plan = {"j", "SELECT incomplete_orders._tick_heartbeat($1)"};
	Datum		values[1] = {report};

	(void) ico_execute(&plan, values, NULL);
	commit_batch(tick);
}

/* tick(INOUT report, at, max_seconds) */
Datum
ico_tick(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext inner;
	TupleDesc	desc;
	Tick		tick = {0};
	bool		finished = false;
	Datum		values[1];
	bool		nulls[1] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	ico_refuse_in_hook();
	tick.nonatomic = call != NULL && IsA(call, CallContext) && !call->atomic;
	tick.began = GetCurrentTimestamp();
	tick.at = PG_ARGISNULL(1) ? tick.began : PG_GETARG_TIMESTAMPTZ(1);
	tick.until = tick.began + (int64) (PG_ARGISNULL(2) ? 50 : Max(PG_GETARG_INT32(2), 1)) * USECS_PER_SEC;
	SPI_connect_ext(tick.nonatomic ? SPI_OPT_NONATOMIC : 0);
	if (IsolationUsesXactSnapshot())
		begin_batch(&tick);
	read_shops(&tick, caller);
	tick_marks(&tick);
	if (!tick.busy)
		finished = tick_carts(&tick, caller);
	if (!tick.busy)
		tick_payments(&tick, array_of_shops(tick.shops, tick.n_shops));
	if (!tick.busy)
		finished = tick_orders(&tick) && finished;
	if (!tick.busy)
		finished = tick_messages(&tick, caller) && finished;
	if (!tick.busy)
	{
		finished = fold_events(&tick) && finished;
		keep_house(&tick);
		beat(&tick, report(&tick, finished));
	}
	inner = MemoryContextSwitchTo(caller);
	values[0] = report(&tick, finished);
	MemoryContextSwitchTo(inner);
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

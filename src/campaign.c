/*
 * campaign.c
 *		Which abandoned order is mailed next, and why one is not.
 *
 * An abandonment arms next_message_at where the shop's campaign for that kind of
 * order is on (ico_first_message).  _tick_messages takes what is due by the index
 * on it, decides, and in one statement moves the order on to its next step and
 * writes the message with its event, or the reason of the ledger.  A step that is
 * late pushes the later ones: they keep their distance from it.
 *
 * Locks: shops FOR SHARE, so that enable_campaign and disable_campaign, which lock
 * them too, wait for a batch and no batch decides by what they have just changed;
 * orders FOR UPDATE SKIP LOCKED.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/int.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "campaign.h"
#include "compat.h"
#include "guc.h"
#include "hook.h"
#include "message.h"
#include "secret.h"
#include "stock.h"
#include "tick.h"

PG_FUNCTION_INFO_V1(ico_later);
PG_FUNCTION_INFO_V1(ico_arm_orders);
PG_FUNCTION_INFO_V1(ico_tick_messages);
PG_FUNCTION_INFO_V1(ico_preview_recovery);

/* listeners are told that something was queued, and nothing else */
#define CHANNEL "incomplete_orders"

/*
 * at + span with days of 24 hours and months of 30 days, whatever the session's
 * time zone; at the bounds of time where it goes beyond.
 */
Datum
ico_later(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	int64		span = ico_span(PG_GETARG_DATUM(1));
	TimestampTz result;

	if (TIMESTAMP_NOT_FINITE(at))
		PG_RETURN_TIMESTAMPTZ(at);
	if (pg_add_s64_overflow(at, span, &result) || !IS_VALID_TIMESTAMP(result))
		result = span < 0 ? DT_NOBEGIN : DT_NOEND;
	PG_RETURN_TIMESTAMPTZ(result);
}

TimestampTz
ico_first_message(const IcoOrder *order)
{
	static IcoPlan plan = {"ikz", "SELECT " ICO_FIRST_MESSAGE("$1", "$2", "$3")};
	Datum		values[3] = {
		Int32GetDatum(order->shop_id), ico_kind_datum(order->kind), TimestampTzGetDatum(order->abandoned_at)
	};
	Datum		at;
	bool		isnull;

	(void) ico_execute(&plan, values, NULL);
	at = ico_column(0, 1, &isnull);
	return isnull ? ICO_NONE : DatumGetTimestampTz(at);
}

/* --- purchases ------------------------------------------------------------ */

void
ico_note_purchase(int32 shop_id, const pg_uuid_t *order_id, TimestampTz at, text *customer_id, text *email, text *phone)
{
#define NOTE "INSERT INTO incomplete_orders.person_orders (shop_id, person, ordered_at, order_id) VALUES "
#define PERSON(key) "($1, " key ", $2, $3)"
	static IcoPlan plans[ICO_PERSON_KEYS] = {
		{"izuI", NOTE PERSON("$4")},
		{"izuII", NOTE PERSON("$4") ", " PERSON("$5")},
		{"izuIII", NOTE PERSON("$4") ", " PERSON("$5") ", " PERSON("$6")}
	};
	int64		keys[ICO_PERSON_KEYS];
	Datum		values[3 + ICO_PERSON_KEYS] = {
		Int32GetDatum(shop_id), TimestampTzGetDatum(at), UUIDPGetDatum(order_id)
	};
	int			n;

	if (customer_id == NULL && email == NULL && phone == NULL)
		return;
	n = ico_person_keys(shop_id, customer_id, email, phone, keys);
	for (int i = 0; i < n; i++)
		values[3 + i] = Int64GetDatum(keys[i]);
	if (n > 0)
		(void) ico_execute(&plans[n - 1], values, NULL);
}

void
ico_note_purchase_of(int32 shop_id, const pg_uuid_t *id, const pg_uuid_t *order_id, TimestampTz at)
{
#define WHO(table) \
	"SELECT o.customer_id, o.email, o.phone FROM incomplete_orders." table " o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	static IcoPlan plan = {"iu", WHO("open_orders") " UNION ALL " WHO("closed_orders")};
	Datum		values[2] = {Int32GetDatum(shop_id), UUIDPGetDatum(id)};
	text	   *who[3];

	if (ico_execute(&plan, values, NULL) == 0)
		return;
	for (int i = 0; i < lengthof(who); i++)
	{
		bool		isnull;
		Datum		value = ico_column(0, i + 1, &isnull);

		who[i] = isnull ? NULL : DatumGetTextPP(value);
	}
	ico_note_purchase(shop_id, order_id, at, who[0], who[1], who[2]);
}

/* --- the sequence ---------------------------------------------------------- */

/*
 * _arm_orders(shop_id, campaign, waiting, others) -> bigint: the abandoned orders
 * that a campaign which is on should mail get the instant of their next step.
 * waiting: those that wait for one, because the steps may have changed; others:
 * those that do not, because it was off when they were abandoned.  Others alone:
 * not those whose sequence began, and which wait for nothing because it is over.
 */
Datum
ico_arm_orders(PG_FUNCTION_ARGS)
{
#define ARM(lock) \
	"WITH a AS MATERIALIZED (SELECT o.shop_id, o.id, GREATEST(" \
	ICO_STEP_DUE("o.abandoned_at", "n.delay", "l.queued_at", "COALESCE(b.delay, interval '0')") "," \
	"  incomplete_orders._later(l.by_hand_at, s.min_gap)) AS due_at" \
	" FROM incomplete_orders.campaigns c JOIN incomplete_orders.shops s ON s.shop_id" EQ "c.shop_id" \
	" JOIN incomplete_orders.open_orders o ON o.shop_id" EQ "c.shop_id" \
	"  AND o.kind" EQ "c.kind AND o.status" EQ "$3 AND o.lost_at IS NULL" \
	"  AND CASE WHEN o.next_message_at IS NULL THEN $5 AND ($4 OR o.sequence_step" EQ "0) ELSE $4 END" \
	"  AND o.abandoned_at" GE "c.not_before" \
	" CROSS JOIN LATERAL " ICO_STEP_BEHIND("c", "o.sequence_step") " n" \
	" LEFT JOIN incomplete_orders.campaign_steps b ON b.shop_id" EQ "c.shop_id AND b.campaign" EQ "c.campaign" \
	"  AND b.step" EQ "o.sequence_step" \
	" CROSS JOIN LATERAL (SELECT pg_catalog.max(m.queued_at) FILTER (WHERE m.ordinal" EQ "0) AS queued_at," \
	"  pg_catalog.max(m.queued_at) FILTER (WHERE m.ordinal" GT "0) AS by_hand_at FROM incomplete_orders.messages m" \
	"  WHERE m.shop_id" EQ "o.shop_id AND m.root_id" EQ "o.root_id AND m.episode" EQ "o.episode) l" \
	" WHERE c.shop_id" EQ "$1 AND c.campaign" EQ "$2 AND c.enabled" lock ")" \
	" UPDATE incomplete_orders.open_orders o SET next_message_at = a.due_at FROM a" \
	" WHERE o.shop_id" EQ "a.shop_id AND o.id" EQ "a.id AND o.status" EQ "$3 AND o.lost_at IS NULL" \
	" AND CASE WHEN o.next_message_at IS NULL THEN $5 ELSE $4 AND o.next_message_at" NE "a.due_at END"
	/* whoever turns it on waits for orders that others hold; tick leaves them to the next one */
	static IcoPlan anew = {"itsbb", ARM("")};
	static IcoPlan rest = {"itsbb", ARM(" FOR UPDATE OF o SKIP LOCKED")};
	Datum		values[5] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	uint64		n;

	SPI_connect();
	values[2] = ico_status_datum(ICO_ABANDONED);
	values[3] = PG_GETARG_DATUM(2);
	values[4] = PG_GETARG_DATUM(3);
	n = ico_execute(DatumGetBool(values[3]) ? &anew : &rest, values, NULL);
	SPI_finish();
	PG_RETURN_INT64((int64) n);
}

/* --- queueing in tick ------------------------------------------------------- */

/* what falls due for the order itself */
#define STEP_OF_LIFE ICO_LIFE("o", "s", "o.status", "o.abandoned_at", "o.lost_at")

/* reasons that end the sequence; with any other the next step is decided at its time */
#define FINAL "customer_returned,campaign_disabled,before_campaign,lost,expired"

/*
 * The decision on each row of the CTE `due`, at $2: reason, and wait_until, which
 * lets what has none wait.  Steps are looked up through their index, row by row:
 * the planner takes a CTE for few rows, and might join all due orders with all
 * steps of all shops by comparing each with each.
 */
#define DECIDED \
	ICO_CARTS("due") ", " ICO_BEATEN("$2", ICO_MAILED_UNTIL) "," \
	" d AS MATERIALIZED (SELECT o.*, c.campaign, n.step, n.delay, n.message_type," \
	"  COALESCE(va.template, n.template) AS template, va.variant, ha.holdout, f.delay AS following, p.keys," \
	"  GREATEST(w.awake_at, u.answer_at) AS wait_until, g.over_at" GT "$2 AS too_soon, w.awake_at" GT "$2 AS is_quiet," \
	"  CASE WHEN o.status" NE "'abandoned' THEN 'customer_returned'" \
	"   WHEN n.step IS NULL THEN NULL" \
	"   WHEN NOT c.enabled THEN 'campaign_disabled'" \
	"   WHEN o.abandoned_at" LT "c.not_before THEN 'before_campaign'" \
	"   WHEN o.next_action_at" LE "$2 AND (" STEP_OF_LIFE ").due_at" LE "$2 THEN (" STEP_OF_LIFE ").step" \
	"   " ICO_REFUSAL("o", "s", "p.keys", ICO_TOO_MANY("o", "s", " WHEN u.answer_at" GT "$2 THEN NULL") \
					  " WHEN w.awake_at" GT "$2 THEN NULL WHEN h.n" GE "s.cap_per_person THEN 'cap_per_person'" \
					  ICO_NOT_SOLD("o", "s") " WHEN ha.holdout THEN 'holdout'") \
	"  END AS reason" \
	" FROM due o JOIN incomplete_orders.shops s ON s.shop_id" EQ "o.shop_id" \
	" LEFT JOIN incomplete_orders.campaigns c ON c.shop_id" EQ "o.shop_id AND c.kind" EQ "o.kind" \
	" LEFT JOIN LATERAL " ICO_STEP_BEHIND("c", "o.sequence_step") " n ON true" \
	" LEFT JOIN LATERAL " ICO_STEP_BEHIND("c", "n.step") " f ON true" \
	" CROSS JOIN LATERAL (SELECT incomplete_orders._person_keys(o.shop_id, o.customer_id, o.email, o.phone) AS keys OFFSET 0) p" \
	ICO_TIMING("o", "s", "p.keys", "$2") \
	" CROSS JOIN LATERAL (SELECT incomplete_orders._answer_due(o.shop_id, $2) AS answer_at OFFSET 0) u" \
	ICO_ARM("o", "s", "p.keys") ICO_VARIANT("o") ")"

/*
 * One statement for a batch: take due rows, decide, move them on, write the
 * messages, their events and the ledger, and count by shop.
 *	$1 shops  $2 at  $3 per shop or the order  $4 most
 * What follows from a state that is not written yet is no message: the rounds
 * before this one may have run out of time.
 */
#define QUEUE(which, on_conflict) \
	"WITH due AS MATERIALIZED (SELECT o.* FROM pg_catalog.unnest($1) s (shop_id)" \
	"  CROSS JOIN LATERAL (SELECT " ICO_DUE_COLUMNS ", o.status, o.abandoned_at FROM incomplete_orders.open_orders o" \
	"   WHERE o.shop_id" EQ "s.shop_id AND o.next_message_at" LE "$2 " which " FOR UPDATE SKIP LOCKED) o LIMIT $4)," \
	DECIDED "," \
	/* a row that changed since the snapshot is not found again: the next round takes it */ \
	" moved AS (UPDATE incomplete_orders.open_orders o SET" \
	"  sequence_step = CASE WHEN d.goes_on THEN d.step ELSE o.sequence_step END," \
	"  next_message_at = CASE WHEN d.waits THEN d.wait_until WHEN d.goes_on AND d.following IS NOT NULL" \
	"   THEN " ICO_STEP_DUE("o.abandoned_at", "d.following", "$2", "d.delay") " END" \
	"  FROM (SELECT d.*, d.can AND NOT d.waits AS queues, d.step IS NOT NULL AND NOT d.waits" \
	"    AND (d.reason IS NULL OR d.reason" NE "ALL ('{" FINAL "}'::pg_catalog.text[])) AS goes_on" \
	"   FROM (SELECT d.*, d.can AND d.wait_until" GT "$2 AS waits" \
	"    FROM (SELECT d.*, d.reason IS NULL AND d.step IS NOT NULL AS can FROM d) d) d) d" \
	"  WHERE o.ctid" EQ "d.row RETURNING d.*)," \
	" k AS (INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, at, reason)" \
	"  SELECT d.shop_id, d.id, d.episode, d.campaign, COALESCE(d.step, d.sequence_step), $2, d.reason" \
	"  FROM moved d WHERE d.reason IS NOT NULL), " \
	ICO_QUEUED_CTES("NULL", on_conflict, "moved") \
	" SELECT d.shop_id, pg_catalog.count(*)::integer," \
	" (pg_catalog.count(*) FILTER (WHERE d.id" EQ "ANY (SELECT m.order_id FROM m)))::integer," \
	" pg_catalog.count(d.reason)::integer FROM d GROUP BY d.shop_id ORDER BY d.shop_id"

typedef struct Queueing
{
	ArrayType  *shops;
	TimestampTz at;
	int			per_shop;
	int			most;
	int			total;			/* orders looked at */
	int			queued;
	IcoStock  **stocks;			/* what shops can sell */
	int			n_stocks;
	ReturnSetInfo *rsinfo;
} Queueing;

/* counts: orders looked at, queued, skipped */
static void
put_row(Queueing *q, int32 shop_id, const int32 *counts, bool more)
{
	Datum		values[4] = {
		Int32GetDatum(shop_id), Int32GetDatum(counts[1]), Int32GetDatum(counts[2]), BoolGetDatum(more)
	};
	bool		nulls[4] = {false};

	tuplestore_putvalues(q->rsinfo->setResult, q->rsinfo->setDesc, values, nulls);
	q->total += counts[0];
	q->queued += counts[1];
}

static Datum
array_of(const int32 *shops, int n)
{
	Datum	   *elements = palloc((n + 1) * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(shops[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/*
 * Locks those shops that have something due, and leaves them in the array.  What
 * was locked by others is left to the next tick; a statement of its own, because
 * the next one must see what they committed.
 */
static bool
lock_shops(Queueing *q)
{
	static IcoPlan plan = {
		"Az",
		"SELECT s.shop_id FROM incomplete_orders.shops s WHERE s.shop_id" EQ "ANY ($1)"
		/* not EXISTS, which could become a scan of all orders */
		" AND (SELECT o.next_message_at FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "s.shop_id"
		"  AND o.next_message_at IS NOT NULL ORDER BY o.next_message_at LIMIT 1)" LE "$2"
		" ORDER BY s.shop_id FOR SHARE SKIP LOCKED"
	};
	Datum		values[2] = {PointerGetDatum(q->shops), TimestampTzGetDatum(q->at)};
	uint64		n = ico_execute(&plan, values, NULL);
	int32	   *found = palloc((n + 1) * sizeof(int32));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		found[i] = DatumGetInt32(ico_column(i, 1, &isnull));
	q->shops = DatumGetArrayTypeP(array_of(found, n));
	return n > 0;
}

/* What shops can sell of the carts that are due, and of others that may be better. */
static IcoStock *
ask_shop(int32 shop_id, TimestampTz at, int most)
{
	static IcoPlan plan = {
		"izi",
		"WITH due AS MATERIALIZED (SELECT o.* FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "$1 AND o.next_message_at" LE "$2"
		"  ORDER BY o.next_message_at LIMIT $3), " ICO_CARTS("due") " " ICO_ITEMS_OF_CARTS("due")
	};
	Datum		values[3] = {Int32GetDatum(shop_id), TimestampTzGetDatum(at), Int32GetDatum(most)};

	return ico_ask_for(shop_id, &plan, values, GetActiveSnapshot());
}

/* Takes a shop out of the batch; the next one looks at it. */
static void
leave_shop(Queueing *q, int32 shop_id)
{
	int32	   *ids = (int32 *) ARR_DATA_PTR(q->shops);
	int			n = ArrayGetNItems(ARR_NDIM(q->shops), ARR_DIMS(q->shops));
	int32	   *kept = palloc((n + 1) * sizeof(int32));
	int32		none[3] = {0};
	int			n_kept = 0;

	for (int i = 0; i < n; i++)
	{
		if (ids[i] != shop_id)
			kept[n_kept++] = ids[i];
	}
	q->shops = DatumGetArrayTypeP(array_of(kept, n_kept));
	put_row(q, shop_id, none, true);
}

/*
 * Asks those shops that name availability() and have something due, before anything is
 * locked: one after the other until that took as long as one of them may.  The
 * others are left for the next batch, which begins with them.
 */
static void
ask_shops(Queueing *q)
{
	static IcoPlan plan = {
		"Az",
		"SELECT s.shop_id FROM incomplete_orders.shops s WHERE s.shop_id" EQ "ANY ($1) AND s.availability IS NOT NULL"
		" AND (SELECT o.next_message_at FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "s.shop_id"
		"  AND o.next_message_at IS NOT NULL ORDER BY o.next_message_at LIMIT 1)" LE "$2 ORDER BY s.shop_id"
	};
	static int32 last_asked = 0;
	Datum		values[2] = {PointerGetDatum(q->shops), TimestampTzGetDatum(q->at)};
	TimestampTz began = GetCurrentTimestamp();
	int			n = (int) ico_execute(&plan, values, NULL);
	int32	   *ids = palloc((n + 1) * sizeof(int32));
	int			first = 0;
	bool		isnull;

	for (int i = 0; i < n; i++)
		ids[i] = DatumGetInt32(ico_column(i, 1, &isnull));
	while (first < n && ids[first] <= last_asked)
		first++;
	q->stocks = palloc((n + 1) * sizeof(IcoStock *));
	for (int i = 0; i < n; i++)
	{
		int32		shop_id = ids[(first + i) % n];
		IcoStock   *stock;

		if (i > 0 && GetCurrentTimestamp() - began >= (int64) ico_hook_timeout * 1000)
		{
			leave_shop(q, shop_id);
			continue;
		}
		last_asked = shop_id;
		stock = ask_shop(shop_id, q->at, Min(q->per_shop, q->most));
		if (stock != NULL)
			q->stocks[q->n_stocks++] = stock;
	}
}

static void
queue_batch(void *arg)
{
	static IcoPlan plan = {"Azii", QUEUE("ORDER BY o.next_message_at LIMIT $3", "")};
	Queueing   *q = arg;
	Datum		values[4] = {
		PointerGetDatum(q->shops), TimestampTzGetDatum(q->at), Int32GetDatum(q->per_shop), Int32GetDatum(q->most)
	};
	int32	   *ids = (int32 *) ARR_DATA_PTR(q->shops);
	int			n_ids = ArrayGetNItems(ARR_NDIM(q->shops), ARR_DIMS(q->shops));
	int32		reached = 0;
	int32		none[3] = {0};
	uint64		n = ico_execute(&plan, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		int32		counts[3];
		bool		isnull;

		reached = DatumGetInt32(ico_column(i, 1, &isnull));
		for (int column = 0; column < 3; column++)
			counts[column] = DatumGetInt32(ico_column(i, column + 2, &isnull));
		put_row(q, reached, counts, counts[0] >= q->per_shop || q->total + counts[0] >= q->most);
	}
	/* the batch was full: shops behind the last one were not looked at */
	for (int i = 0; q->total >= q->most && i < n_ids; i++)
	{
		if (ids[i] > reached)
			put_row(q, ids[i], none, true);
	}
}

/* One order alone. */
typedef struct Single
{
	int32		shop_id;
	pg_uuid_t	id;
	TimestampTz at;
	int32		counts[3];
} Single;

static void
queue_single(void *arg)
{
	static IcoPlan plan = {"Azui", QUEUE("AND o.id" EQ "$3", ICO_ONCE)};
	Single	   *single = arg;
	Datum		values[4] = {
		array_of(&single->shop_id, 1), TimestampTzGetDatum(single->at), UUIDPGetDatum(&single->id), Int32GetDatum(1)
	};
	bool		isnull;

	if (ico_execute(&plan, values, NULL) == 0)
		return;
	for (int column = 0; column < 3; column++)
		single->counts[column] = DatumGetInt32(ico_column(0, column + 2, &isnull));
}

static void
postpone_single(void *arg)
{
	static IcoPlan plan = {
		"iuz",
		"UPDATE incomplete_orders.open_orders SET next_message_at = $3 WHERE shop_id" EQ "$1 AND id" EQ "$2"
		" AND next_message_at IS NOT NULL"
	};
	Single	   *single = arg;
	Datum		values[3] = {
		Int32GetDatum(single->shop_id), UUIDPGetDatum(&single->id), TimestampTzGetDatum(single->at + ICO_TRY_AGAIN)
	};

	(void) ico_execute(&plan, values, NULL);
}

/*
 * A batch failed: something that a user added refuses one of its rows.  Then each
 * is taken alone, and what is refused waits, so that it holds up nobody else.
 */
static void
queue_singly(Queueing *q)
{
	static IcoPlan plan = {
		"Azii",
		"SELECT o.shop_id, o.id FROM pg_catalog.unnest($1) s (shop_id) CROSS JOIN LATERAL"
		" (SELECT q.shop_id, q.id FROM incomplete_orders.open_orders q WHERE q.shop_id" EQ "s.shop_id"
		"  AND q.next_message_at" LE "$2 ORDER BY q.next_message_at LIMIT $3 FOR UPDATE SKIP LOCKED) o LIMIT $4"
	};
	Datum		values[4] = {
		PointerGetDatum(q->shops), TimestampTzGetDatum(q->at), Int32GetDatum(q->per_shop), Int32GetDatum(q->most)
	};
	uint64		n = ico_execute(&plan, values, NULL);
	SPITupleTable *due = SPI_tuptable;
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		Single		single = {.at = q->at};
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		single.shop_id = DatumGetInt32(SPI_getbinval(due->vals[i], due->tupdesc, 1, &isnull));
		single.id = *DatumGetUUIDP(SPI_getbinval(due->vals[i], due->tupdesc, 2, &isnull));
		error = ico_try(queue_single, &single);
		if (error == NULL)
		{
			put_row(q, single.shop_id, single.counts, true);
			continue;
		}
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("tick could not queue a message for order %s",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&single.id)))),
				 errdetail("%s", error->message),
				 errhint("It is tried again in a quarter of an hour.")));
		ico_record_failure(single.shop_id, "tick", error->sqlerrcode);
		(void) ico_try(postpone_single, &single);
	}
}

static void
queue_due(void *arg)
{
	if (ico_try(queue_batch, arg) != NULL)
		queue_singly(arg);
}

/* _tick_messages(shops, at, per_shop, most); shops are in rising order */
Datum
ico_tick_messages(PG_FUNCTION_ARGS)
{
	Queueing	q = {
		PG_GETARG_ARRAYTYPE_P_COPY(0), PG_GETARG_TIMESTAMPTZ(1), PG_GETARG_INT32(2), PG_GETARG_INT32(3)
	};

	InitMaterializedSRF(fcinfo, 0);
	q.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	if (ArrayGetNItems(ARR_NDIM(q.shops), ARR_DIMS(q.shops)) == 0)
		return (Datum) 0;
	SPI_connect();
	ico_check_tick_right(q.shops, q.at);
	if (!ico_try_lock_tick())
	{
		Datum		values[4] = {0};
		bool		nulls[4] = {true, true, true, true};

		tuplestore_putvalues(q.rsinfo->setResult, q.rsinfo->setDesc, values, nulls);
	}
	else
	{
		ask_shops(&q);
		if (lock_shops(&q))
			ico_decide_by(q.stocks, q.n_stocks, queue_due, &q);
		for (int i = 0; i < q.n_stocks; i++)
			ico_note_stock(q.stocks[i]);
		if (q.queued > 0)
			Async_Notify(CHANNEL, "");
	}
	SPI_finish();
	return (Datum) 0;
}

/* --- the dry run -------------------------------------------------------------- */

typedef struct Preview
{
	FunctionCallInfo fcinfo;
	int32		shop_id;
	TimestampTz at;
	ErrorData  *error;
} Preview;

/* the orders that would be abandoned then */
#define AS_OF(message_at) \
	"SELECT " ICO_DUE_COLUMNS ", 'abandoned'::incomplete_orders.order_status AS status, v.abandoned_at, " message_at " AS message_at" \
	" FROM incomplete_orders.shops s JOIN incomplete_orders.open_orders o ON o.shop_id" EQ "s.shop_id" \
	" CROSS JOIN LATERAL (SELECT " ICO_ABANDONED_AS_OF("o", "s", "$2") " AS abandoned_at OFFSET 0) v" \
	" WHERE s.shop_id" EQ "$1 AND v.abandoned_at IS NOT NULL"
/* ... and get a message: those that wait for one and those that are not abandoned yet */
#define DUE_AS_OF \
	"WITH due AS MATERIALIZED (" AS_OF("o.next_message_at") " AND o.status" EQ "'abandoned' AND o.next_message_at" LE "$2" \
	"  UNION ALL SELECT q.* FROM (" AS_OF(ICO_FIRST_MESSAGE("o.shop_id", "o.kind", "v.abandoned_at")) \
	"   AND o.status" NE "'abandoned' AND o.next_action_at" LE "$2) q WHERE q.message_at" LE "$2),"

/*
 * What one tick at that instant would decide, by the same statement, over the
 * orders as they would be then.
 */
static void
put_preview(void *arg)
{
	static IcoPlan plan = {
		"iz",
		DUE_AS_OF DECIDED
		" SELECT CASE WHEN d.waits THEN d.wait_until ELSE d.message_at END, d.id, d.email, d.campaign, d.step,"
		"  CASE WHEN d.reason IS NOT NULL THEN 'skipped' WHEN d.waits THEN 'postponed' ELSE 'queued' END,"
		"  CASE WHEN NOT d.waits THEN d.reason WHEN d.too_soon THEN 'min_gap' WHEN d.is_quiet THEN 'quiet_hours' ELSE 'availability' END,"
		"  CASE WHEN d.reason IS NULL THEN d.variant END"
		" FROM (SELECT d.*, d.reason IS NULL AND d.wait_until" GT "$2 AS waits FROM d) d"
		" WHERE d.step IS NOT NULL OR d.reason IS NOT NULL ORDER BY 1, d.id"
	};
	Preview    *preview = arg;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) preview->fcinfo->resultinfo;
	Datum		values[2] = {Int32GetDatum(preview->shop_id), TimestampTzGetDatum(preview->at)};
	uint64		n = ico_execute(&plan, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		Datum		row[8];
		bool		nulls[8];

		CHECK_FOR_INTERRUPTS();
		for (int column = 0; column < lengthof(row); column++)
			row[column] = ico_column(i, column + 1, &nulls[column]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, nulls);
	}
}

/* As if those campaigns were on; whoever calls this rolls it back. */
static void
put_preview_with(void *arg)
{
	static IcoPlan plan = {
		"tTvz",
		"SELECT incomplete_orders.enable_campaign(c.campaign, $1, $3, LEAST($4, pg_catalog.now()))"
		" FROM pg_catalog.unnest($2) c (campaign)"
	};
	Preview    *preview = arg;
	IcoArgs		args = {0};
	FunctionCallInfo fcinfo = preview->fcinfo;

	ico_arg_text(&args, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0));
	ico_arg(&args, PG_GETARG_DATUM(2));
	if (PG_ARGISNULL(3))
		ico_arg_null(&args);
	else
		ico_arg(&args, PG_GETARG_DATUM(3));
	ico_arg(&args, TimestampTzGetDatum(preview->at));
	(void) ico_execute(&plan, args.values, args.nulls);
	put_preview(preview);
}

static void
put_preview_undone(void *arg)
{
	Preview    *preview = arg;

	preview->error = ico_try_undone(put_preview_with, preview);
}

/*
 * What the shop can sell of it.  It is asked before campaigns are turned on, which
 * locks: for all that may become due then.
 */
static IcoStock *
ask_for_preview(const Preview *preview, bool campaigns)
{
	static IcoPlan due = {"iz", DUE_AS_OF ICO_CARTS("due") " " ICO_ITEMS_OF_CARTS("due")};
	static IcoPlan all = {
		"iz", "WITH due AS MATERIALIZED (" AS_OF("o.next_message_at") "), " ICO_CARTS("due") " " ICO_ITEMS_OF_CARTS("due")
	};
	Datum		values[2] = {Int32GetDatum(preview->shop_id), TimestampTzGetDatum(preview->at)};
	IcoStock   *stock = ico_ask_for(preview->shop_id, campaigns ? &all : &due, values, GetActiveSnapshot());

	if (stock != NULL && stock->failed)
		ico_warn_of_stock(stock);
	return stock;
}

/* preview_recovery(shop, at, campaigns, not_older_than) */
Datum
ico_preview_recovery(PG_FUNCTION_ARGS)
{
	Preview		preview = {.fcinfo = fcinfo};
	bool		campaigns = !PG_ARGISNULL(2);
	IcoShop		shop;
	IcoStock   *stock;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_preview_recovery, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), &shop);
	preview.shop_id = shop.shop_id;
	preview.at = ico_enter_at(fcinfo, 1, &shop);
	stock = ask_for_preview(&preview, campaigns);
	ico_decide_by(&stock, stock != NULL ? 1 : 0, campaigns ? put_preview_undone : put_preview, &preview);
	if (preview.error != NULL)
		ReThrowError(preview.error);
	SPI_finish();
	return (Datum) 0;
}

/*
 * lifecycle.c
 *		The states of an incomplete order and the moves between them.
 *
 * An order is read under a row lock into an IcoOrder, changed there, and written
 * back by one statement that also appends its event to order_events and
 * order_event_tail: a change of state and its event cannot be parted.  Closing
 * moves the row to closed_orders: closing.c.
 *
 * Memory: everything here lives in the caller's SPI context.  Locks: FOR UPDATE
 * on the order's row.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "campaign.h"
#include "closing.h"
#include "compat.h"
#include "errors.h"
#include "lifecycle.h"
#include "line_items.h"
#include "message.h"

PG_FUNCTION_INFO_V1(ico_is_ordinary);

/* The usual rule of the trade: an order is lost 14 days after its last activity, when
 * the sequence (its last step 72 hours after the abandonment) and the
 * attribution window after it are over too */
#define LOST_IDLE (14 * USECS_PER_DAY)
#define SEQUENCE_LENGTH (3 * USECS_PER_DAY)

#define REASON_CHARS 500
#define REASON_CODE_BYTES 40	/* and in ICO_REASON_CODE */

/*
 * The transition table: moves[from] has a bit for every state that may follow.
 * Closed never reopens; a closed order that is paid late becomes converted, and
 * only an attached shop takes a completion back.
 */
#define TO(status) (1 << (status))
#define CLOSE (TO(ICO_CONVERTED) | TO(ICO_EXPIRED) | TO(ICO_DISMISSED) | TO(ICO_DELETED))
static const int moves[ICO_STATUSES] = {
	[ICO_PENDING] = TO(ICO_PAYMENT_PENDING) | TO(ICO_PAYMENT_FAILED) | TO(ICO_ABANDONED) | CLOSE,
	[ICO_PAYMENT_PENDING] = TO(ICO_PENDING) | TO(ICO_PAYMENT_FAILED) | TO(ICO_ABANDONED) | CLOSE,
	[ICO_PAYMENT_FAILED] = TO(ICO_PENDING) | TO(ICO_PAYMENT_PENDING) | TO(ICO_ABANDONED) | CLOSE,
	[ICO_ABANDONED] = TO(ICO_PENDING) | CLOSE,
	[ICO_CONVERTED] = TO(ICO_REVERSED),
	[ICO_EXPIRED] = TO(ICO_CONVERTED),
	[ICO_DISMISSED] = TO(ICO_CONVERTED),
	[ICO_DELETED] = TO(ICO_CONVERTED),
	[ICO_REVERSED] = 0,
};

bool
ico_status_is_open(IcoStatus status)
{
	return status <= ICO_ABANDONED;
}

bool
ico_move_allowed(IcoStatus from, IcoStatus to)
{
	return from == to || (moves[from] & TO(to)) != 0;
}

void
ico_require_move(const pg_uuid_t *id, IcoStatus from, IcoStatus to)
{
	if (ico_move_allowed(from, to))
		return;
	ereport(ERROR,
			(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
			 errmsg("order %s cannot go from %s to %s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id))),
					ico_status_names[from], ico_status_names[to]),
			 errdetail("%s", ico_status_is_open(from) ? "The life of an order has no such move."
					   : "A closed order never reopens."),
			 errhint("%s", ico_status_is_open(from) ? "See incomplete_orders.order_history(id)."
					 : "The next capture of that session starts a new order.")));
}

static TimestampTz
instant(int row, int column)
{
	bool		isnull;
	Datum		value = ico_column(row, column, &isnull);

	return isnull ? ICO_NONE : DatumGetTimestampTz(value);
}

void
ico_order_of_row(int row, int32 shop_id, bool closed, IcoOrder *order)
{
	bool		isnull;

	order->shop_id = shop_id;
	order->closed = closed;
	order->id = *DatumGetUUIDP(ico_column(row, 1, &isnull));
	order->root_id = *DatumGetUUIDP(ico_column(row, 2, &isnull));
	order->kind = ico_kind_of(ico_column(row, 3, &isnull));
	order->status = ico_status_of(ico_column(row, 4, &isnull));
	order->episode = DatumGetInt32(ico_column(row, 5, &isnull));
	order->version = DatumGetInt32(ico_column(row, 6, &isnull));
	order->empty = DatumGetBool(ico_column(row, 7, &isnull));
	order->last_activity_at = instant(row, 8);
	order->abandoned_at = instant(row, 9);
	order->lost_at = instant(row, 10);
	order->expires_at = instant(row, 11);
	order->payment_deadline = instant(row, 12);
	order->items = ico_column(row, 13, &isnull);
	order->currency = ico_column(row, 14, &isnull);
	for (int i = 0; i < lengthof(order->charges); i++)
		order->charges[i] = ico_column(row, 15 + i, &isnull);
	order->merged = DatumGetBool(ico_column(row, 19, &isnull)) && !isnull;
}

/* snapshot: NULL for the newest state */
static bool
read_row(IcoPlan *plan, int32 shop_id, Datum key, bool closed, Snapshot snapshot, IcoOrder *order)
{
	Datum		values[2] = {Int32GetDatum(shop_id), key};

	if ((snapshot == NULL ? ico_execute(plan, values, NULL) : ico_execute_read(plan, values, NULL, snapshot)) == 0)
		return false;
	ico_order_of_row(0, shop_id, closed, order);
	return true;
}

#define READ(table, key, merged, lock) \
	"SELECT " ICO_ORDER_COLUMNS ", " merged " FROM incomplete_orders." table " o WHERE o.shop_id" EQ "$1 AND o." key EQ "$2" lock

#define READ_CLOSED(lock) READ("closed_orders", "id", "o.close_reason" EQ "'merged'", lock)
static IcoPlan looking_open = {"iu", READ("open_orders", "id", "false", "")};
static IcoPlan looking_closed = {"iu", READ_CLOSED("")};

bool
ico_read_open(int32 shop_id, const pg_uuid_t *id, bool lock, IcoOrder *order)
{
	static IcoPlan locking = {"iu", READ("open_orders", "id", "false", " FOR UPDATE")};

	return read_row(lock ? &locking : &looking_open, shop_id, UUIDPGetDatum(id), false, NULL, order);
}

bool
ico_read_session(int32 shop_id, Datum session_id, bool lock, IcoOrder *order)
{
	static IcoPlan locking = {"it", READ("open_orders", "session_id", "false", " FOR UPDATE")};
	static IcoPlan looking = {"it", READ("open_orders", "session_id", "false", "")};

	return read_row(lock ? &locking : &looking, shop_id, session_id, false, NULL, order);
}

bool
ico_read_order(int32 shop_id, const pg_uuid_t *id, bool lock, IcoOrder *order)
{
	static IcoPlan locking = {"iu", READ_CLOSED(" FOR UPDATE")};

	/* whoever waited for a row that was moved finds it in the other table */
	return ico_read_open(shop_id, id, lock, order) ||
		read_row(lock ? &locking : &looking_closed, shop_id, UUIDPGetDatum(id), true, NULL, order);
}

bool
ico_look_at_order(int32 shop_id, const pg_uuid_t *id, Snapshot snapshot, IcoOrder *order)
{
	return read_row(&looking_open, shop_id, UUIDPGetDatum(id), false, snapshot, order) ||
		read_row(&looking_closed, shop_id, UUIDPGetDatum(id), true, snapshot, order);
}

/*
 * What falls due next, and when; to is the state it leads to.  A lost order
 * stays abandoned.  A pending payment is neither abandoned nor expired before
 * its deadline; one that failed was awaited until then, and an order that was
 * abandoned only after its own expiry, because of such a payment, expires then:
 * no step is earlier than the one before it.
 */
static TimestampTz
next_due(const IcoOrder *order, const IcoShop *shop, IcoStatus *to)
{
	TimestampTz due = order->expires_at;
	TimestampTz other = ICO_NONE;
	bool		awaited = order->payment_deadline != ICO_NONE &&
		(order->status == ICO_PAYMENT_PENDING || order->status == ICO_PAYMENT_FAILED);

	*to = ICO_EXPIRED;
	if (awaited)
		due = Max(due, order->payment_deadline);
	if (order->status == ICO_ABANDONED)
	{
		/* it has that instant, unless somebody wrote the state by hand */
		TimestampTz since = order->abandoned_at == ICO_NONE ? order->last_activity_at : order->abandoned_at;

		due = Max(due, since);
		if (order->lost_at == ICO_NONE)
			other = Max(since + SEQUENCE_LENGTH + shop->attribution_window,
						order->last_activity_at + LOST_IDLE);
	}
	else if (!order->empty)
	{
		other = order->last_activity_at + shop->cut_off;
		if (awaited)
			other = Max(other, order->payment_deadline);
	}
	if (other <= due && other != ICO_NONE)
	{
		due = other;
		*to = ICO_ABANDONED;
	}
	return due;
}

bool
ico_ordinary(Oid status, Oid kind, TimestampTz last_activity_at, TimestampTz expires_at, TimestampTz next_action_at,
			 TimestampTz at, TimestampTz idle_since, TimestampTz next)
{
	const IcoCatalog *catalog = ico_catalog();

	return status == catalog->status[ICO_PENDING] && kind != catalog->kind[ICO_PARTIAL] &&
		last_activity_at > idle_since && last_activity_at <= at && expires_at > at && next_action_at <= next;
}

/*
 * Whether an order takes a capture with nothing but the update of the fast path.
 * One function rather than five comparisons, each of which the executor would
 * have to set up in every call.
 */
Datum
ico_is_ordinary(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ico_ordinary(PG_GETARG_OID(0), PG_GETARG_OID(1), PG_GETARG_TIMESTAMPTZ(2), PG_GETARG_TIMESTAMPTZ(3),
								PG_GETARG_TIMESTAMPTZ(4), PG_GETARG_TIMESTAMPTZ(5), PG_GETARG_TIMESTAMPTZ(6),
								PG_GETARG_TIMESTAMPTZ(7)));
}

TimestampTz
ico_next_action(const IcoOrder *order, const IcoShop *shop)
{
	IcoStatus	to;

	return next_due(order, shop, &to);
}

bool
ico_take_step(IcoOrder *order, const IcoShop *shop, TimestampTz at, IcoEvent *event)
{
	IcoStatus	to;

	memset(event, 0, sizeof(*event));
	event->by_clock = true;
	event->at = next_due(order, shop, &to);
	if (event->at > at)
		return false;
	if (to == ICO_EXPIRED)
	{
		event->event = "expired";
		order->closed = true;
	}
	else if (order->status == ICO_ABANDONED)
	{
		event->event = "lost";
		order->lost_at = event->at;
	}
	else
	{
		event->event = "abandoned";
		order->abandoned_at = event->at;
	}
	order->status = to;
	return true;
}

bool
ico_settle(IcoOrder *order, const IcoShop *shop, TimestampTz at)
{
	IcoStatus	before = order->status;
	IcoEvent	event;

	while (ico_take_step(order, shop, at, &event))
	{
		if (order->closed)
		{
			order->status = before;
			ico_close(order, ICO_EXPIRED, false, &event);
			return false;
		}
		ico_write_change(order, shop, before, &event);
		before = order->status;
	}
	return true;
}

void
ico_preview(IcoOrder *order, const IcoShop *shop, TimestampTz at)
{
	IcoEvent	event;

	while (!order->closed && ico_take_step(order, shop, at, &event))
		;
}

void
ico_set_reason(IcoEvent *event, text *words)
{
	const char *s;
	int			len;

	if (words == NULL || VARSIZE_ANY_EXHDR(words) == 0)
		return;
	s = VARDATA_ANY(words);
	len = VARSIZE_ANY_EXHDR(words);
	event->reason_text = cstring_to_text_with_len(s, pg_mbcharcliplen(s, len, REASON_CHARS));
	for (int i = 0; i < len; i++)
	{
		if (len > REASON_CODE_BYTES ||
			!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '_'))
		{
			event->reason = cstring_to_text("other");
			return;
		}
	}
	event->reason = event->reason_text;
}

void
ico_event_args(IcoArgs *args, int32 shop_id, const pg_uuid_t *id, const IcoEvent *event, const IcoStatus *before)
{
	args->n = 0;
	ico_arg(args, Int32GetDatum(shop_id));
	ico_arg(args, UUIDPGetDatum(id));
	ico_arg(args, CStringGetTextDatum(event->event));
	ico_arg(args, TimestampTzGetDatum(event->at));
	if (event->by_clock)
		ico_arg_null(args);
	else
		ico_arg(args, CStringGetTextDatum(ico_actor()));
	if (before == NULL)
		ico_arg_null(args);
	else
		ico_arg(args, ico_status_datum(*before));
	ico_arg_text(args, event->reason);
}

static void
arg_instant(IcoArgs *args, TimestampTz at)
{
	if (at == ICO_NONE)
		ico_arg_null(args);
	else
		ico_arg(args, TimestampTzGetDatum(at));
}

void
ico_write_change(IcoOrder *order, const IcoShop *shop, IcoStatus before, const IcoEvent *event)
{
	static IcoPlan plan = {
		ICO_EVENT_ARGS "sizzzzkzztiz",
		"WITH o AS (UPDATE incomplete_orders.open_orders o SET status = $8, episode = $9, abandoned_at = $10,"
		" lost_at = $11, expires_at = $12, next_action_at = $13, kind = $14, payment_deadline = $15,"
		" last_activity_at = $16, version = $18, next_message_at = $19,"
		" sequence_step = CASE WHEN $11 IS NULL THEN 0 ELSE o.sequence_step END,"
		/* who came back has no reason any more */
		" abandonment_reason = COALESCE($17, CASE WHEN o.episode" EQ "$9 THEN o.abandonment_reason END)"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 RETURNING o.*), "
		ICO_EVENT_ROWS("o", "$3", "$4", "$5", "$6", "r.status",
					   "COALESCE($7, CASE WHEN $3" EQ "'abandoned' THEN " ICO_REASON_CODE("r.abandonment_reason") " END)", "", "")
		ICO_EVENT_TAIL
	};
	IcoArgs		args;

	/* the clock changes nothing that somebody could have edited meanwhile */
	if (!event->by_clock)
		order->version++;
	ico_event_args(&args, order->shop_id, &order->id, event, &before);
	ico_arg(&args, ico_status_datum(order->status));
	ico_arg(&args, Int32GetDatum(order->episode));
	arg_instant(&args, order->abandoned_at);
	arg_instant(&args, order->lost_at);
	arg_instant(&args, order->expires_at);
	arg_instant(&args, ico_next_action(order, shop));
	ico_arg(&args, ico_kind_datum(order->kind));
	arg_instant(&args, order->payment_deadline);
	arg_instant(&args, order->last_activity_at);
	ico_arg_text(&args, event->reason_text);
	ico_arg(&args, Int32GetDatum(order->version));
	arg_instant(&args, order->status == ICO_ABANDONED && order->lost_at == ICO_NONE ? ico_first_message(order) : ICO_NONE);
	ico_vouch_next();
	if (ico_execute(&plan, args.values, args.nulls) != 1)
		elog(ERROR, "open order vanished under its lock");
}

void
ico_close(IcoOrder *order, IcoStatus status, bool late, const IcoEvent *event)
{
	IcoTaken	taken;

	ico_require_move(&order->id, order->status, status);
	if (order->status == ICO_ABANDONED)
		ico_cancel_messages(order, ico_status_names[status], event->at);
	ico_take_locked(order, &taken);
	ico_put_closed(&taken, status, NULL, event, late);
	ico_put_closed_event(&taken, order, NULL, event, status, NULL);
	order->status = status;
	order->closed = true;
}

/* Keeps the cart as it was abandoned with the event just written, for the history. */
static void
keep_abandoned_items(const IcoOrder *order)
{
	static IcoPlan plan = {
		"iul",
		"INSERT INTO incomplete_orders.order_changes (shop_id, order_id, event_id, changes)"
		" VALUES ($1, $2, pg_catalog.currval('incomplete_orders.event_seq'),"
		" pg_catalog.jsonb_build_object('abandoned_items', $3::pg_catalog.jsonb))"
	};
	Datum		values[3] = {Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id), order->items};

	(void) ico_execute(&plan, values, NULL);
}

void
ico_reanimate(IcoOrder *order, const IcoShop *shop, TimestampTz at)
{
	IcoStatus	before = order->status;
	IcoEvent	event = {.at = at};

	if (before != ICO_ABANDONED && before != ICO_PAYMENT_FAILED)
		return;
	event.event = before == ICO_ABANDONED ? "reanimated" : "retried";
	if (before == ICO_ABANDONED)
	{
		ico_cancel_messages(order, "customer_returned", at);
		order->episode++;
		order->lost_at = ICO_NONE;
	}
	order->status = ICO_PENDING;
	order->last_activity_at = Max(order->last_activity_at, at);
	/* the customer is back: the order lives as long as a new one */
	order->expires_at = Max(order->expires_at, at + shop->expiry);
	ico_write_change(order, shop, before, &event);
	if (before == ICO_ABANDONED)
		keep_abandoned_items(order);
}

void
ico_fail_payment(IcoOrder *order, const IcoShop *shop, TimestampTz at, text *reason)
{
	IcoEvent	event = {.event = "payment_failed", .at = at};
	IcoStatus	before;

	if (order->status == ICO_PAYMENT_FAILED)
		return;
	if (order->status == ICO_ABANDONED)
		ico_reanimate(order, shop, at);
	before = order->status;
	ico_require_move(&order->id, before, ICO_PAYMENT_FAILED);
	order->status = ICO_PAYMENT_FAILED;
	if (order->kind == ICO_CART)
		order->kind = ICO_PAYMENT;
	/* it was awaited until now; the customer did nothing */
	order->payment_deadline = at;
	ico_set_reason(&event, reason);
	ico_write_change(order, shop, before, &event);
}

void
ico_append_event(int32 shop_id, const pg_uuid_t *id, const IcoEvent *event)
{
	static IcoPlan plan = {
		ICO_EVENT_ARGS,
		"WITH o AS (" ICO_EVENT_ROW("open_orders") " UNION ALL " ICO_EVENT_ROW("closed_orders") "), "
		ICO_EVENT_CTE("o", "", "") ICO_EVENT_TAIL
	};
	IcoArgs		args;

	ico_event_args(&args, shop_id, id, event, NULL);
	(void) ico_execute(&plan, args.values, args.nulls);
}

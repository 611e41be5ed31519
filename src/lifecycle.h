/*
 * lifecycle.h
 *		The states of an incomplete order and the moves between them.
 */
#ifndef ICO_LIFECYCLE_H
#define ICO_LIFECYCLE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "plan.h"
#include "tenant.h"

/* an instant that is not set */
#define ICO_NONE DT_NOEND

/* What the life of an order depends on: read under a row lock, changed in
 * place, written back by ico_write_change(). */
typedef struct IcoOrder
{
	int32		shop_id;
	pg_uuid_t	id;
	pg_uuid_t	root_id;
	IcoKind		kind;
	IcoStatus	status;
	bool		closed;
	int32		episode;
	int32		version;
	bool		empty;			/* no lines */
	bool		merged;			/* closed because its lines went into another order */
	TimestampTz last_activity_at;
	TimestampTz abandoned_at;
	TimestampTz lost_at;
	TimestampTz expires_at;
	TimestampTz payment_deadline;
	/* as stored; point into the caller's SPI context */
	Datum		items;
	Datum		currency;
	Datum		charges[4];		/* shipping, tax, discount, coupon_discount */
} IcoOrder;

/* One step of an order's life, as it goes to order_events. */
typedef struct IcoEvent
{
	const char *event;
	TimestampTz at;
	bool		by_clock;		/* no actor: it fell due */
	text	   *reason;			/* a code for reports, or NULL */
	text	   *reason_text;	/* somebody's words, kept with the order only, or NULL */
} IcoEvent;

extern bool ico_status_is_open(IcoStatus status);
extern bool ico_move_allowed(IcoStatus from, IcoStatus to);
extern void ico_require_move(const pg_uuid_t *id, IcoStatus from, IcoStatus to);

/*
 * What an IcoOrder is read from, of the row o; a truth follows, whether it was merged
 * into another one, and more columns may.
 */
#define ICO_ORDER_COLUMNS \
	"o.id, o.root_id, o.kind, o.status, o.episode, o.version, incomplete_orders.item_count(o.items)" EQ "0," \
	" o.last_activity_at, o.abandoned_at, o.lost_at, o.expires_at, o.payment_deadline," \
	" o.items, o.currency, o.shipping, o.tax, o.discount, o.coupon_discount"
#define ICO_ORDER_COLUMNS_COUNT 19
extern void ico_order_of_row(int row, int32 shop_id, bool closed, IcoOrder *order);

/*
 * Reads an order: open ones with FOR UPDATE when `lock`.  False when there is
 * none.  ico_read_order() looks among the closed ones too.
 */
extern bool ico_read_open(int32 shop_id, const pg_uuid_t *id, bool lock, IcoOrder *order);
extern bool ico_read_session(int32 shop_id, Datum session_id, bool lock, IcoOrder *order);
extern bool ico_read_order(int32 shop_id, const pg_uuid_t *id, bool lock, IcoOrder *order);
/* open or closed, as of a snapshot: for functions that only read */
extern bool ico_look_at_order(int32 shop_id, const pg_uuid_t *id, Snapshot snapshot, IcoOrder *order);

/* the earliest instant at which anything can be due for this order */
extern TimestampTz ico_next_action(const IcoOrder *order, const IcoShop *shop);
/* makes the next step that is due at `at`, in memory; false when none is, and
 * event->at then says when one will be */
extern bool ico_take_step(IcoOrder *order, const IcoShop *shop, TimestampTz at, IcoEvent *event);
/*
 * Whether an order is the ordinary case of a capture at `at`: pending, nothing
 * of it ordered yet, nothing due, nothing to be due earlier, no activity later.
 * idle_since is at - cut_off, next is at + cut_off.
 */
extern bool ico_ordinary(Oid status, Oid kind, TimestampTz last_activity_at, TimestampTz expires_at,
						 TimestampTz next_action_at, TimestampTz at, TimestampTz idle_since, TimestampTz next);
/*
 * Writes what fell due at or before `at`, each step at its exact instant.
 * False when that closed the order.
 */
extern bool ico_settle(IcoOrder *order, const IcoShop *shop, TimestampTz at);
/* the same without writing anything: what the order would be */
extern void ico_preview(IcoOrder *order, const IcoShop *shop, TimestampTz at);
/* words that are a code (lower case, digits, _) are the reason's code too */
extern void ico_set_reason(IcoEvent *event, text *words);

/* writes the fields of an open order and the event; counts the version on */
extern void ico_write_change(IcoOrder *order, const IcoShop *shop, IcoStatus before, const IcoEvent *event);
/* moves an open order to closed_orders with the event */
extern void ico_close(IcoOrder *order, IcoStatus status, bool late, const IcoEvent *event);
/* the customer acted: abandoned and failed orders are pending again */
extern void ico_reanimate(IcoOrder *order, const IcoShop *shop, TimestampTz at);
/* the payment did not come: from here on the order waits for the customer again */
extern void ico_fail_payment(IcoOrder *order, const IcoShop *shop, TimestampTz at, text *reason);
/* what an event's rows say of the order, of which the caller has all at hand */
typedef struct IcoEventRow
{
	pg_uuid_t	root_id;
	int32		episode;
	IcoStatus	after;
	Datum		kind;
	Datum		currency;
	Datum		value;
	int64		item_count;
	Datum		furthest_step;
	Datum		context;		/* or 0 */
	bool		bot;
	TimestampTz created_at;
	TimestampTz abandoned_at;
	const pg_uuid_t *order_ref; /* or NULL */
	Datum		paid_amount;	/* or 0 */
	Datum		coupon_cost;	/* or 0 */
	/* of the message that it is about, or NULL and 0 */
	const pg_uuid_t *message_id;
	text	   *campaign;
	int32		step;
	text	   *variant;
} IcoEventRow;

/* event.c: both rows of an event */
extern void ico_put_event(int32 shop_id, const pg_uuid_t *id, const IcoEvent *event, const IcoStatus *before,
						  const IcoEventRow *row);
/* an event that changes no state */
extern void ico_append_event(int32 shop_id, const pg_uuid_t *id, const IcoEvent *event);

/*
 * recount.c: reports count an order with the facts of the event that brought it
 * into its state.  Whoever changes those of an order otherwise calls this after
 * it; currency and value, where they are not 0, stand for those of its row, and
 * paid is what was paid more than the events say.
 */
extern void ico_recount(int32 shop_id, const pg_uuid_t *id, TimestampTz at, Datum currency, Datum value, Datum paid);
/* what the orders made from an incomplete one come to, in that currency */
extern Datum ico_sum_of_parts(int32 shop_id, const pg_uuid_t *id, Datum currency);
/* the order made from it has another total than before */
extern void ico_recount_adopted(int32 shop_id, const pg_uuid_t *id, const pg_uuid_t *order_id, TimestampTz at, Datum before);
/* notes that a completed order was paid, with its event; false when it was already */
extern bool ico_mark_paid(int32 shop_id, const pg_uuid_t *order_id, TimestampTz at);

/*
 * invariants.c: the rows that the next statement will write hold the invariants,
 * by themselves or with those of other statements that are vouched for; the
 * deferred triggers do not read them again.  The caller must make sure that it
 * wrote them all: a trigger could have kept some out.
 */
extern void ico_vouch_next(void);

/*
 * SQL of the two event rows, for statements whose first parameters are
 *	$1 shop_id  $2 id  $3 event  $4 at  $5 actor  $6 status_before  $7 reason_code
 * and whose CTE `source` has the order's row; `columns` and `values` add more.
 * It ends the WITH list and is the main query.
 */
#define ICO_EVENT_ARGS "iutztst"
#define ICO_EVENT_CTE(source, columns, values) \
	ICO_EVENT_ROWS(source, "$3", "$4", "$5", "$6", "r.status", "$7", columns, values)
/* the code of somebody's words, as ico_set_reason() says it, or null */
#define ICO_REASON_CODE(words) \
	"CASE WHEN " words " OPERATOR(pg_catalog.~) '^[a-z0-9_]{1,40}$' THEN " words \
	" WHEN " words " OPERATOR(pg_catalog.<>) '' THEN 'other' END"
#define ICO_EVENT_ROWS(source, event, at, actor, before, after, reason, columns, values) \
	ICO_EVENT_ROWS_OF(source, event, at, actor, before, after, reason, "r.currency", ICO_ROW_TOTAL, columns, values)
#define ICO_ROW_TOTAL \
	"incomplete_orders._order_total(r.items, r.shipping, r.tax, r.discount, r.coupon_discount, r.currency)"
#define ICO_EVENT_ROWS_OF(source, event, at, actor, before, after, reason, currency, value, columns, values) \
	"e AS (INSERT INTO incomplete_orders.order_events (recorded_at, event_id, shop_id, order_id, root_id, episode," \
	" event, at, actor, status_before, status_after, kind, currency, value, item_count, furthest_step, reason_code," \
	" device, source, bot, created_at, abandoned_at" columns ")" \
	" SELECT pg_catalog.clock_timestamp(), pg_catalog.nextval('incomplete_orders.event_seq'), r.shop_id, r.id," \
	" r.root_id, r.episode, " event ", " at ", " actor ", " before ", " after ", r.kind, " currency ", " value "," \
	" incomplete_orders.item_count(r.items), r.furthest_step, " reason ", r.context" ARROW_TEXT "'device'," \
	" r.context" ARROW_TEXT "'source', r.bot, r.created_at, r.abandoned_at" values \
	" FROM " source " r RETURNING *)"
#define ICO_EVENT_TAIL \
	" INSERT INTO incomplete_orders.order_event_tail (event_id, shop_id, order_id, root_id, episode, event, at," \
	" status_before, status_after, kind, currency, value, item_count, furthest_step, reason_code, device, source, bot, created_at," \
	" abandoned_at, campaign, step, variant, holdout, machine, paid_amount, refund_amount, coupon_cost)" \
	" SELECT e.event_id, e.shop_id, e.order_id, e.root_id, e.episode, e.event, e.at, e.status_before, e.status_after, e.kind," \
	" e.currency, e.value, e.item_count, e.furthest_step, e.reason_code, e.device, e.source, e.bot, e.created_at," \
	" e.abandoned_at, e.campaign, e.step, e.variant, e.holdout, e.machine, e.paid_amount, e.refund_amount, e.coupon_cost" \
	" FROM e"

/* ico_event_args() fills the seven parameters */
/* what ICO_EVENT_CTE reads of an order's row */
#define ICO_EVENT_ROW(table) \
	"SELECT shop_id, id, root_id, episode, status, kind, currency, items, shipping, tax, discount," \
	" coupon_discount, furthest_step, context, bot, created_at, abandoned_at" \
	" FROM incomplete_orders." table " WHERE shop_id" EQ "$1 AND id" EQ "$2"

extern void ico_event_args(IcoArgs *args, int32 shop_id, const pg_uuid_t *id, const IcoEvent *event,
						   const IcoStatus *before);

#endif							/* ICO_LIFECYCLE_H */

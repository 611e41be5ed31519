/*
 * event.c
 *		The two rows of an event: its history, and the tail that reports fold.
 *
 * Both are appended without the executor where their tables are as setup() made
 * them, and by INSERT where somebody has added what that must see.  Memory: the
 * caller's context.  Locks: those of append.c, or of an INSERT.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "append.h"
#include "lifecycle.h"
#include "plan.h"

/*
 * Values of an event: $1 is the first.  The columns are named for both tables,
 * NULL where the tail has none.
 */
#define EVENT_VALUES 29
#define EVENT_ARGS "zIiuuitztssktnIctttbzztituunn"

static const char *const history_columns[EVENT_VALUES] = {
	"recorded_at", "event_id", "shop_id", "order_id", "root_id", "episode", "event", "at", "actor", "status_before",
	"status_after", "kind", "currency", "value", "item_count", "furthest_step", "reason_code", "device", "source", "bot",
	"created_at", "abandoned_at", "campaign", "step", "variant", "message_id", "order_ref", "paid_amount", "coupon_cost"
};
static const char *const tail_columns[EVENT_VALUES] = {
	NULL, "event_id", "shop_id", "order_id", "root_id", "episode", "event", "at", NULL, "status_before",
	"status_after", "kind", "currency", "value", "item_count", "furthest_step", "reason_code", "device", "source", "bot",
	"created_at", "abandoned_at", "campaign", "step", "variant", NULL, NULL, "paid_amount", "coupon_cost"
};
static IcoAppend history = {.table = "order_events", .ncolumns = EVENT_VALUES, .columns = history_columns};
static IcoAppend tail = {.table = "order_event_tail", .ncolumns = EVENT_VALUES, .columns = tail_columns};

typedef struct EventValues
{
	int			n;
	Datum		values[EVENT_VALUES];
	bool		nulls[EVENT_VALUES];
} EventValues;

static void
put(EventValues *row, Datum value)
{
	Assert(row->n < EVENT_VALUES);
	row->nulls[row->n] = false;
	row->values[row->n++] = value;
}

static void
put_null(EventValues *row)
{
	Assert(row->n < EVENT_VALUES);
	row->nulls[row->n] = true;
	row->values[row->n++] = (Datum) 0;
}

static void
put_pointer(EventValues *row, const void *value)
{
	if (value == NULL)
		put_null(row);
	else
		put(row, PointerGetDatum(value));
}

static void
put_instant(EventValues *row, TimestampTz at)
{
	if (at == ICO_NONE)
		put_null(row);
	else
		put(row, TimestampTzGetDatum(at));
}

/* context ->> key */
static void
put_of_context(EventValues *row, const Jsonb *context, const char *key)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum		value;

	if (context == NULL)
	{
		put_null(row);
		return;
	}
	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(context);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = CStringGetTextDatum(key);
	fcinfo->args[1].isnull = false;
	value = jsonb_object_field_text(fcinfo);
	put_pointer(row, fcinfo->isnull ? NULL : DatumGetPointer(value));
}

/* in the order of history_columns */
static void
put_all(EventValues *values, int32 shop_id, const pg_uuid_t *id, const IcoEvent *event, const IcoStatus *before,
		const IcoEventRow *row)
{
	const Jsonb *context = DatumGetPointer(row->context) == NULL ? NULL : DatumGetJsonbP(row->context);

	put(values, TimestampTzGetDatum(GetCurrentTimestamp()));
	put(values, Int64GetDatum(nextval_internal(get_relname_relid("event_seq", ico_catalog()->schema), true)));
	put(values, Int32GetDatum(shop_id));
	put(values, UUIDPGetDatum(id));
	put(values, UUIDPGetDatum(&row->root_id));
	put(values, Int32GetDatum(row->episode));
	put(values, CStringGetTextDatum(event->event));
	put(values, TimestampTzGetDatum(event->at));
	put_pointer(values, event->by_clock ? NULL : cstring_to_text(ico_actor()));
	if (before == NULL)
		put_null(values);
	else
		put(values, ico_status_datum(*before));
	put(values, ico_status_datum(row->after));
	put(values, row->kind);
	put(values, row->currency);
	put(values, row->value);
	put(values, Int64GetDatum(row->item_count));
	put(values, row->furthest_step);
	put_pointer(values, event->reason);
	put_of_context(values, context, "device");
	put_of_context(values, context, "source");
	put(values, BoolGetDatum(row->bot));
	put_instant(values, row->created_at);
	put_instant(values, row->abandoned_at);
	put_pointer(values, row->campaign);
	if (row->message_id == NULL)
		put_null(values);
	else
		put(values, Int32GetDatum(row->step));
	put_pointer(values, row->variant);
	put_pointer(values, row->message_id);
	put_pointer(values, row->order_ref);
	put_pointer(values, DatumGetPointer(row->paid_amount));
	put_pointer(values, DatumGetPointer(row->coupon_cost));
	Assert(values->n == EVENT_VALUES);
}

static void
insert(IcoPlan *plan, const EventValues *row)
{
	char		nulls[EVENT_VALUES];

	for (int i = 0; i < EVENT_VALUES; i++)
		nulls[i] = row->nulls[i] ? 'n' : ' ';
	(void) ico_execute(plan, (Datum *) row->values, nulls);
}

void
ico_put_event(int32 shop_id, const pg_uuid_t *id, const IcoEvent *event, const IcoStatus *before, const IcoEventRow *row)
{
	static IcoPlan history_plan = {
		EVENT_ARGS,
		"INSERT INTO incomplete_orders.order_events (recorded_at, event_id, shop_id, order_id, root_id, episode, event, at,"
		" actor, status_before, status_after, kind, currency, value, item_count, furthest_step, reason_code, device, source,"
		" bot, created_at, abandoned_at, campaign, step, variant, message_id, order_ref, paid_amount, coupon_cost)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,"
		" $24, $25, $26, $27, $28, $29)"
	};
	static IcoPlan tail_plan = {
		EVENT_ARGS,
		"INSERT INTO incomplete_orders.order_event_tail (event_id, shop_id, order_id, root_id, episode, event, at,"
		" status_before, status_after, kind, currency, value, item_count, furthest_step, reason_code, device, source, bot,"
		" created_at, abandoned_at, campaign, step, variant, paid_amount, coupon_cost) VALUES ($2, $3, $4, $5, $6, $7, $8, $10, $11, $12, $13, $14,"
		" $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $28, $29)"
	};
	EventValues values = {0};

	put_all(&values, shop_id, id, event, before, row);
	if (!ico_append_row(&history, values.values, values.nulls))
		insert(&history_plan, &values);
	if (!ico_append_row(&tail, values.values, values.nulls))
		insert(&tail_plan, &values);
}

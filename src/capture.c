/*
 * capture.c
 *		capture_cart: one cart of one session, inserted or updated.
 *
 * The fast path is one UPDATE of the session's pending order; it writes nothing
 * but the row, keeps it HOT and takes no lock on anything shared.  Its WHERE
 * refuses whatever needs more: no order yet, a deadline that passed before `at`
 * (whose step is written first, at its exact instant), a customer who comes
 * back, a pending payment, a partly filled order, an `at` before the last
 * activity, a next action that must come earlier.  Those go the slow way, under
 * the row's lock.
 *
 * An update's SET list has only the facts that were given, so there is one kept
 * plan for each combination in use; Shapes live in CaptureContext under
 * TopMemoryContext, at most MAX_SHAPES of them.
 *
 * Locks: the order's row; two first captures of one session meet in the unique
 * index on (shop_id, session_id), and the second one updates what the first made.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "direct.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "line_items.h"
#include "money.h"
#include "plan.h"
#include "privacy.h"
#include "tenant.h"
#include "uuid7.h"

/* argument numbers of capture_cart */
#define ARG_SESSION 0
#define ARG_ITEMS 1
#define ARG_FACTS 2
#define ARG_SHOP 16
#define ARG_AT 17

#define MAX_SHAPES 64
#define MAX_TRIES 100

/* parts of a shape beside the facts' bits */
#define WITH_ITEMS (1 << ICO_FACTS)
#define BY_ID (1 << (ICO_FACTS + 1))
/* staff: the customer's last activity stays */
#define EDIT (1 << (ICO_FACTS + 2))

/* what reports count a pending order by */
#define COUNTED_FACTS (ICO_FACT_BIT(ICO_F_CURRENCY) | ICO_FACT_BIT(ICO_F_BOT))

/*
 * Parameters of every shape: $1 shop_id, $2 session or id, $3 items, $4 at,
 * $5 the latest instant of inactivity, $6 next action, $7... the facts.
 */
#define FACT_ARGS "ttttt" "ck" "nnn" "t" "n" "jj" "b"

/* Whose cart in a shop's own tables an order is. */
typedef struct Origin
{
	int32		attachment;
	text	   *cart_key;
	TimestampTz began;
} Origin;

static const char *const fact_sets[ICO_FACTS] = {
	[ICO_F_EMAIL] = "email = $7",
	[ICO_F_PHONE] = "phone = $8",
	[ICO_F_CUSTOMER_ID] = "customer_id = $9",
	[ICO_F_NAME] = "name = $10",
	[ICO_F_CURRENCY] = "currency = $11",
	[ICO_F_STEP] = "furthest_step = GREATEST(o.furthest_step, $12)",
	/* what has been filled stays partial */
	[ICO_F_KIND] = "kind = CASE WHEN o.kind" EQ "'partial' THEN o.kind ELSE $13 END",
	[ICO_F_SHIPPING] = "shipping = $14",
	[ICO_F_TAX] = "tax = $15",
	[ICO_F_DISCOUNT] = "discount = $16",
	[ICO_F_COUPON_CODE] = "coupon_code = $17",
	[ICO_F_COUPON_DISCOUNT] = "coupon_discount = $18",
	[ICO_F_ADDRESS] = "address = pg_catalog.jsonb_strip_nulls(COALESCE(o.address, '{}')" CONCAT "$19)",
	[ICO_F_CONTEXT] = "context = pg_catalog.jsonb_strip_nulls(COALESCE(o.context, '{}')" CONCAT "$20)",
	[ICO_F_BOT] = "bot = $21",
};

typedef struct Shape
{
	int			parts;
	IcoPlan		plan;
} Shape;

static MemoryContext CaptureContext = NULL;
static Shape *shapes[MAX_SHAPES];
static int	n_shapes = 0;

typedef struct Capture
{
	IcoShop		shop;
	Datum		session;
	LineItems  *items;			/* NULL: leave them */
	IcoFacts	facts;
	TimestampTz at;
} Capture;

PG_FUNCTION_INFO_V1(ico_capture_cart);

static char *
shape_query(int parts)
{
	StringInfoData q;

	initStringInfo(&q);
	appendStringInfoString(&q, "UPDATE incomplete_orders.open_orders o SET version = o.version" PLUS "1");
	if (parts & BY_ID)
		appendStringInfoString(&q, ", next_action_at = LEAST(o.next_action_at, $6)");
	if (!(parts & EDIT))
		appendStringInfoString(&q, (parts & BY_ID) ? ", last_activity_at = GREATEST(o.last_activity_at, $4)" :
							   ", last_activity_at = $4");
	if (parts & WITH_ITEMS)
		appendStringInfoString(&q, ", items = $3");
	for (int fact = 0; fact < ICO_FACTS; fact++)
	{
		if (parts & ICO_FACT_BIT(fact))
			appendStringInfo(&q, ", %s", fact_sets[fact]);
	}
	if (parts & BY_ID)
		appendStringInfoString(&q, " WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 RETURNING o.id");
	else
		/* what reports count it by does not change unnoticed */
		appendStringInfo(&q, " WHERE o.shop_id" EQ "$1 AND o.session_id" EQ "$2 AND"
							   " incomplete_orders._is_ordinary(o.status, o.kind, o.last_activity_at, o.expires_at,"
							   " o.next_action_at, $4, $5, $6)%s%s RETURNING o.id",
						 (parts & ICO_FACT_BIT(ICO_F_CURRENCY)) ? " AND o.currency" EQ "$11" : "",
						 (parts & ICO_FACT_BIT(ICO_F_BOT)) ? " AND o.bot" EQ "$21" : "");
	return q.data;
}

static void
forget_shapes(void)
{
	for (int i = 0; i < n_shapes; i++)
		ico_plan_free(&shapes[i]->plan);
	n_shapes = 0;
	MemoryContextReset(CaptureContext);
}

static IcoPlan *
shape_of(int parts)
{
	MemoryContext old;
	Shape	   *shape;

	for (int i = 0; i < n_shapes; i++)
	{
		if (shapes[i]->parts == parts)
			return &shapes[i]->plan;
	}
	if (CaptureContext == NULL)
		CaptureContext = AllocSetContextCreate(TopMemoryContext, "incomplete_orders capture",
											   ALLOCSET_SMALL_SIZES);
	if (n_shapes == MAX_SHAPES)
		forget_shapes();
	old = MemoryContextSwitchTo(CaptureContext);
	shape = palloc0(sizeof(Shape));
	shape->parts = parts;
	shape->plan.argtypes = (parts & BY_ID) ? "iulzzz" FACT_ARGS : "itlzzz" FACT_ARGS;
	shape->plan.query = shape_query(parts);
	MemoryContextSwitchTo(old);
	shapes[n_shapes++] = shape;
	return &shape->plan;
}

static void
fact_args(IcoArgs *args, const IcoFacts *facts)
{
	for (int fact = 0; fact < ICO_FACTS; fact++)
	{
		if ((facts->given & ICO_FACT_BIT(fact)) && !facts->nulls[fact])
			ico_arg(args, facts->values[fact]);
		else
			ico_arg_null(args);
	}
}

static bool
run_update(const Capture *capture, int how, Datum key, pg_uuid_t *id)
{
	IcoArgs		args;
	int			parts = capture->facts.given | how;
	bool		isnull;

	if (capture->items != NULL)
		parts |= WITH_ITEMS;
	args.n = 0;
	ico_arg(&args, Int32GetDatum(capture->shop.shop_id));
	ico_arg(&args, key);
	if (capture->items != NULL)
		ico_arg(&args, PointerGetDatum(capture->items));
	else
		ico_arg_null(&args);
	ico_arg(&args, TimestampTzGetDatum(capture->at));
	ico_arg(&args, TimestampTzGetDatum(capture->at - capture->shop.cut_off));
	ico_arg(&args, TimestampTzGetDatum(capture->at + capture->shop.cut_off));
	fact_args(&args, &capture->facts);
	if (parts & ICO_FACT_BIT(ICO_F_KIND))
		ico_vouch_next();		/* what is partial stays so */
	if (ico_execute(shape_of(parts), args.values, args.nulls) == 0)
		return false;
	*id = *DatumGetUUIDP(ico_column(0, 1, &isnull));
	return true;
}

static Datum
fact_or(const IcoFacts *facts, int fact, Datum other)
{
	return (facts->given & ICO_FACT_BIT(fact)) && !facts->nulls[fact] ? facts->values[fact] : other;
}

static void
put_created_event(const Capture *capture, TimestampTz at, const pg_uuid_t *id, const LineItems *items)
{
	const IcoFacts *facts = &capture->facts;
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	IcoEvent	event = {.event = "created", .at = at};
	IcoEventRow row = {
		.root_id = *id,
		.episode = 1,
		.after = ICO_PENDING,
		.kind = fact_or(facts, ICO_F_KIND, ico_kind_datum(ICO_CART)),
		.currency = fact_or(facts, ICO_F_CURRENCY, CStringGetTextDatum(capture->shop.currency)),
		.item_count = ico_items_count(items),
		.furthest_step = fact_or(facts, ICO_F_STEP, ico_step_datum(ICO_STEP_CART)),
		.context = fact_or(facts, ICO_F_CONTEXT, (Datum) 0),
		.bot = DatumGetBool(fact_or(facts, ICO_F_BOT, BoolGetDatum(false))),
		.created_at = at,
		.abandoned_at = ICO_NONE,
	};

	row.value = DirectFunctionCall6(ico_order_total_sql, PointerGetDatum(items),
									fact_or(facts, ICO_F_SHIPPING, zero), fact_or(facts, ICO_F_TAX, zero),
									fact_or(facts, ICO_F_DISCOUNT, zero), fact_or(facts, ICO_F_COUPON_DISCOUNT, zero),
									row.currency);
	ico_put_event(capture->shop.shop_id, id, &event, NULL, &row);
}

#define INSERT_ORDER(columns, last_activity, values) \
	"INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, reference, session_id, items," \
	" created_at, last_activity_at, expires_at, next_action_at, currency, email, phone, customer_id, name," \
	" furthest_step, kind, shipping, tax, discount, coupon_code, coupon_discount, address, context, bot" columns ")" \
	" VALUES ($1, $2, $2, incomplete_orders._reference_of(pg_catalog.nextval('incomplete_orders.reference_seq'))," \
	" $4, $5, $3, " last_activity ", $6, $7, COALESCE($13, $8), $9, $10, $11, $12, COALESCE($14, 'cart'), COALESCE($15, 'cart')," \
	" COALESCE($16, 0), COALESCE($17, 0), COALESCE($18, 0), $19, COALESCE($20, 0)," \
	" pg_catalog.jsonb_strip_nulls($21), pg_catalog.jsonb_strip_nulls($22), COALESCE($23, false)" values ")" \
	" ON CONFLICT DO NOTHING"

/*
 * False when that session, or that cart of the shop's, has an open order.  A new id
 * stands in no other table, so the row is vouched for: the deferred trigger need not
 * look there.
 */
static bool
insert_order(const Capture *capture, const Origin *origin, pg_uuid_t *id)
{
	static IcoPlan plain = {"iuztlzzt" FACT_ARGS, INSERT_ORDER("", "$3", "")};
	static IcoPlan attached = {
		"iuztlzzt" FACT_ARGS "itz", INSERT_ORDER(", attachment, cart_key", "$26", ", $24, $25")
	};
	IcoArgs		args = {0};
	LineItems  *items = capture->items;
	TimestampTz began = origin == NULL ? capture->at : origin->began;
	TimestampTz expires_at = capture->at + capture->shop.expiry;

	if (items == NULL)
		items = ico_items_from_json("[]", 2);
	ico_uuid7_make(capture->shop.shop_id, id);
	ico_arg(&args, Int32GetDatum(capture->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(id));
	ico_arg(&args, TimestampTzGetDatum(began));
	ico_arg_text(&args, (text *) DatumGetPointer(capture->session));
	ico_arg(&args, PointerGetDatum(items));
	ico_arg(&args, TimestampTzGetDatum(expires_at));
	ico_arg(&args, TimestampTzGetDatum(ico_items_lines(items) == 0 ? expires_at :
									   Min(expires_at, capture->at + capture->shop.cut_off)));
	ico_arg(&args, CStringGetTextDatum(capture->shop.currency));
	fact_args(&args, &capture->facts);
	if (origin != NULL)
	{
		ico_arg(&args, Int32GetDatum(origin->attachment));
		ico_arg(&args, PointerGetDatum(origin->cart_key));
		ico_arg(&args, TimestampTzGetDatum(capture->at));
	}
	ico_vouch_next();
	if (ico_execute(origin == NULL ? &plain : &attached, args.values, args.nulls) == 0)
		return false;
	put_created_event(capture, began, id, items);
	return true;
}

bool
ico_same_line(const IcoLine *a, const IcoLine *b)
{
#define SAME(field) \
	((a->field == NULL) == (b->field == NULL) && \
	 (a->field == NULL || (a->field##_len == b->field##_len && memcmp(a->field, b->field, a->field##_len) == 0)))
	return SAME(sku) && SAME(variant) && SAME(product_id) && a->unit_price == b->unit_price;
#undef SAME
}

/*
 * What was ordered in parts stays in the cart as filled, whatever the page sends
 * next: each new line has at least the filled quantity of its old one, and what
 * is missing comes back with just that quantity.
 */
static LineItems *
carry_filled(const LineItems *old, const LineItems *new)
{
	IcoItemsBuilder builder;
	IcoLineReader reader;
	IcoLine		line;
	IcoLine		other;
	int			n = ico_items_lines(old);
	IcoLine    *before = palloc((n + 1) * sizeof(IcoLine));

	ico_line_reader_init(&reader, old);
	for (int i = 0; i < n && ico_line_next(&reader, &before[i]); i++)
		;
	ico_items_begin(&builder);
	ico_line_reader_init(&reader, new);
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		other = line;
		other.filled = 0;
		for (int i = 0; i < n; i++)
		{
			if (before[i].filled == 0 || !ico_same_line(&before[i], &line))
				continue;
			other.filled += before[i].filled;
			before[i].filled = 0;
		}
		other.filled = Max(other.filled, line.filled);
		other.quantity = Max(other.quantity, other.filled);
		ico_items_add(&builder, &other);
	}
	for (int i = 0; i < n; i++)
	{
		if (before[i].filled == 0)
			continue;
		before[i].quantity = before[i].filled;
		ico_items_add(&builder, &before[i]);
	}
	return ico_items_finish(&builder);
}

void
ico_withdraw_payment(IcoOrder *order, const IcoShop *shop, TimestampTz at)
{
	IcoEvent	event = {.event = "payment_withdrawn", .at = at};
	IcoStatus	before = order->status;

	order->status = ICO_PENDING;
	order->payment_deadline = ICO_NONE;
	/* the payment may have kept it open beyond that */
	order->expires_at = Max(order->expires_at, at + shop->expiry);
	ico_write_change(order, shop, before, &event);
}

/* A payment in flight is ended by the shop alone; kind cart says that it was. */
static bool
is_withdrawal(const IcoOrder *order, const Capture *capture)
{
	return order->status == ICO_PAYMENT_PENDING && (capture->facts.given & ICO_FACT_BIT(ICO_F_KIND)) &&
		ico_kind_of(capture->facts.values[ICO_F_KIND]) == ICO_CART;
}

/* Reports count what is not pending by what is in it, and all by currency and bot. */
static void
recount_written(const IcoOrder *order, const Capture *capture, TimestampTz at)
{
	if (order->status != ICO_PENDING || (capture->facts.given & COUNTED_FACTS))
		ico_recount(order->shop_id, &order->id, at, (Datum) 0, (Datum) 0, (Datum) 0);
}

/* False when there is no open order of that session (any more). */
static bool
update_slowly(Capture *capture, pg_uuid_t *id)
{
	IcoOrder	order;
	LineItems  *given = capture->items;

	if (!ico_read_session(capture->shop.shop_id, capture->session, true, &order) ||
		!ico_settle(&order, &capture->shop, capture->at))
		return false;
	ico_reanimate(&order, &capture->shop, capture->at);
	if (is_withdrawal(&order, capture))
		ico_withdraw_payment(&order, &capture->shop, capture->at);
	if (order.kind == ICO_PARTIAL && given != NULL)
		capture->items = carry_filled(DatumGetLineItemsP(order.items), given);
	if (!run_update(capture, BY_ID, UUIDPGetDatum(&order.id), id))
		elog(ERROR, "open order vanished under its lock");
	recount_written(&order, capture, capture->at);
	capture->items = given;
	return true;
}

static int32
write_by_id(const IcoOrder *order, const IcoShop *shop, LineItems *items, const IcoFacts *facts, TimestampTz at,
			TimestampTz activity, int how)
{
	Capture		capture = {.shop = *shop, .items = items, .facts = *facts, .at = activity};
	pg_uuid_t	id;

	if (order->kind == ICO_PARTIAL && items != NULL)
		capture.items = carry_filled(DatumGetLineItemsP(order->items), items);
	if (!run_update(&capture, BY_ID | how, UUIDPGetDatum(&order->id), &id))
		elog(ERROR, "open order vanished under its lock");
	recount_written(order, &capture, at);
	return order->version + 1;
}

int32
ico_write_edit(const IcoOrder *order, const IcoShop *shop, LineItems *items, const IcoFacts *facts, TimestampTz at)
{
	return write_by_id(order, shop, items, facts, at, order->last_activity_at, EDIT);
}

void
ico_write_capture(IcoOrder *order, const IcoShop *shop, LineItems *items, const IcoFacts *facts, TimestampTz at)
{
	order->version = write_by_id(order, shop, items, facts, at, at, 0);
}

static bool
update_ordinary(const Capture *capture, pg_uuid_t *id)
{
	IcoDirect	answer = ico_direct_update(&capture->shop, capture->session, capture->items, &capture->facts,
										   capture->at, id);

	if (answer == ICO_DIRECT_IMPOSSIBLE)
		return run_update(capture, 0, capture->session, id);
	return answer == ICO_DIRECT_DONE;
}

static void
store(Capture *capture, pg_uuid_t *id)
{
	/* history that is replayed may be of somebody who was forgotten since; now() cannot */
	if (capture->at < GetCurrentTransactionStartTimestamp())
		(void) ico_leave_out_forgotten(capture->shop.shop_id, &capture->items, &capture->facts, capture->at);
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		/* more captures are the first of their session than need the slow way */
		if (update_ordinary(capture, id) ||
			insert_order(capture, NULL, id) ||
			update_slowly(capture, id))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not capture the cart: its session changes too fast"),
			 errhint("Try again.")));
}

void
ico_capture(const IcoShop *shop, text *session_id, LineItems *items, const IcoFacts *facts, TimestampTz at, pg_uuid_t *id)
{
	Capture		capture = {.shop = *shop, .items = items, .facts = *facts, .at = at};

	capture.session = PointerGetDatum(session_id);
	store(&capture, id);
}

bool
ico_begin_order(const IcoShop *shop, text *session_id, LineItems *items, const IcoFacts *facts, TimestampTz at,
				pg_uuid_t *id)
{
	Capture		capture = {.shop = *shop, .items = items, .facts = *facts, .at = at};

	capture.session = PointerGetDatum(session_id);
	return insert_order(&capture, NULL, id);
}

bool
ico_begin_attached(const IcoShop *shop, int32 attachment, text *cart_key, text *session_id, LineItems *items,
				   const IcoFacts *facts, TimestampTz began, TimestampTz at, pg_uuid_t *id)
{
	Capture		capture = {.shop = *shop, .items = items, .facts = *facts, .at = at};
	Origin		origin = {attachment, cart_key, began};

	capture.session = PointerGetDatum(session_id);
	return insert_order(&capture, &origin, id);
}

Datum
ico_capture_cart(PG_FUNCTION_ARGS)
{
	Capture		capture;
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	capture.session = PointerGetDatum(ico_require_key(fcinfo, ARG_SESSION, "session_id"));
	capture.items = PG_ARGISNULL(ARG_ITEMS) ? NULL : PG_GETARG_LINE_ITEMS_P(ARG_ITEMS);
	ico_read_facts(fcinfo, ARG_FACTS, &capture.facts);
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_capture_cart, PG_ARGISNULL(ARG_SHOP) ? NULL : PG_GETARG_TEXT_PP(ARG_SHOP),
				   &capture.shop);
	capture.at = ico_enter_at(fcinfo, ARG_AT, &capture.shop);
	store(&capture, id);
	SPI_finish();
	PG_RETURN_UUID_P(id);
}

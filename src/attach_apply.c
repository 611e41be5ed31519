/*
 * attach_apply.c
 *		What the carts of a shop's own tables become.
 *
 * An order is found by its cart: (attachment, cart_key) is unique among the open
 * ones.  In a batch what ends comes first, then what goes on, then what was bought,
 * so that lines which a merge moves from one cart to another are in one of them, and
 * a session that a cart left is free for the next one.
 *
 * Activity is what the customer does: other lines or quantities, contact, currency,
 * a payment begun or broken off.  Its instant is that of the mark.  Another price,
 * name or picture, a locale or a consent is written too and moves nothing: shops
 * fill those in by themselves.
 *
 * Locks: the orders' rows, never waited for while others are held: an order that
 * somebody else has is left for later.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attach.h"
#include "capture.h"
#include "compat.h"
#include "convert.h"
#include "errors.h"
#include "hook.h"
#include "lifecycle.h"
#include "line_items.h"
#include "plan.h"
#include "privacy.h"
#include "queue.h"
#include "reverse.h"
#include "secret.h"

/* why an order was closed, where the shop ended its cart */
#define REASON_GONE "cart_deleted"
#define REASON_MERGED "merged"
/* of a purchase whose order the shop has not linked yet */
#define PROVISIONAL "cart:"

/* how zones differ, at most by this, and how exact a shop's program is */
#define ZONE_STEP (15 * USECS_PER_MINUTE)
#define WIDEST_ZONE (14 * USECS_PER_HOUR)
#define ZONE_SLACK (30 * USECS_PER_SEC)

/* facts by which an order is somebody's */
#define CONTACTS (ICO_FACT_BIT(ICO_F_EMAIL) | ICO_FACT_BIT(ICO_F_PHONE) | ICO_FACT_BIT(ICO_F_CUSTOMER_ID) | \
				  ICO_FACT_BIT(ICO_F_NAME))
/* of those and others, what the customer has a hand in */
#define ACTS (CONTACTS | ICO_FACT_BIT(ICO_F_CURRENCY))

/* What we have of a cart: its open order, else the last that was closed. */
typedef struct Known
{
	IcoDueCart *due;
	bool		has_open;
	bool		has_closed;
	bool		taken;			/* it has an open order, and somebody else has that */
	IcoOrder	order;
	text	   *session;
	text	   *facts[ICO_F_NAME + 1];	/* email .. name */
	Jsonb	   *context;
	text	   *close_reason;
	text	   *foreign_order;	/* of what was made of it */
} Known;

typedef struct Batch
{
	const IcoAttachment *attachment;
	const IcoShop *shop;
	TimestampTz at;
	Known	   *known;			/* by key */
	int			n;
} Batch;

/* --- what we have -------------------------------------------------------------- */

#define PERSON_COLUMNS "o.cart_key, o.email, o.phone, o.customer_id, o.name, o.currency, o.context, o.session_id, o.discount"
#define FIRST_PERSON (ICO_ORDER_COLUMNS_COUNT + 1)
/* key by key: tables that were never analyzed look as if one scan for all keys were as good */
#define OPEN_CARTS(columns, lock) \
	"FROM pg_catalog.unnest($3) k (key) CROSS JOIN LATERAL (SELECT " columns " FROM incomplete_orders.open_orders q" \
	" WHERE q.shop_id" EQ "$1 AND q.attachment" EQ "$2 AND q.cart_key" EQ "k.key LIMIT 1" lock ") o"

static int
compare_known(const void *a, const void *b)
{
	return ico_compare_texts(((const Known *) a)->due->key, ((const Known *) b)->due->key);
}

static text *
text_at(int row, int column)
{
	bool		isnull;
	Datum		value = ico_column(row, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

static Known *
find_known(const Batch *batch, int row, int column)
{
	IcoDueCart	due = {.key = text_at(row, column)};
	Known		wanted = {.due = &due};

	return bsearch(&wanted, batch->known, batch->n, sizeof(Known), compare_known);
}

static void
read_known(Known *known, int row, int32 shop_id, bool closed)
{
	bool		isnull;
	Datum		context;

	ico_order_of_row(row, shop_id, closed, &known->order);
	known->facts[ICO_F_EMAIL] = text_at(row, FIRST_PERSON + 1);
	known->facts[ICO_F_PHONE] = text_at(row, FIRST_PERSON + 2);
	known->facts[ICO_F_CUSTOMER_ID] = text_at(row, FIRST_PERSON + 3);
	known->facts[ICO_F_NAME] = text_at(row, FIRST_PERSON + 4);
	context = ico_column(row, FIRST_PERSON + 6, &isnull);
	known->context = isnull ? NULL : DatumGetJsonbP(context);
	known->session = text_at(row, FIRST_PERSON + 7);
	if (closed)
	{
		known->close_reason = text_at(row, FIRST_PERSON + 9);
		known->foreign_order = text_at(row, FIRST_PERSON + 10);
	}
	known->has_open = !closed;
	known->has_closed = closed;
}

/* the keys of those of which nothing is known yet; returns how many */
static int
unknown_keys(const Batch *batch, Datum *keys)
{
	Datum	   *elements = palloc((batch->n + 1) * sizeof(Datum));
	int			n = 0;

	for (int i = 0; i < batch->n; i++)
	{
		if (!batch->known[i].has_open && !batch->known[i].taken)
			elements[n++] = PointerGetDatum(batch->known[i].due->key);
	}
	*keys = ico_array_of(elements, n, TEXTOID);
	return n;
}

static void
lock_open(Batch *batch)
{
	static IcoPlan lock = {
		"iiT",
		"SELECT " ICO_ORDER_COLUMNS ", false, " PERSON_COLUMNS " " OPEN_CARTS("q.*", " FOR UPDATE SKIP LOCKED")
	};
	static IcoPlan look = {"iiT", "SELECT o.cart_key " OPEN_CARTS("q.cart_key", "")};
	Datum		values[3] = {Int32GetDatum(batch->shop->shop_id), Int32GetDatum(batch->attachment->attachment)};
	uint64		n;

	if (unknown_keys(batch, &values[2]) == 0)
		return;
	n = ico_execute(&lock, values, NULL);
	for (uint64 i = 0; i < n; i++)
		read_known(find_known(batch, i, FIRST_PERSON), i, batch->shop->shop_id, false);
	if (unknown_keys(batch, &values[2]) == 0)
		return;
	n = ico_execute(&look, values, NULL);
	for (uint64 i = 0; i < n; i++)
		find_known(batch, i, 1)->taken = true;
}

static void
look_at_closed(Batch *batch)
{
	static IcoPlan plan = {
		"iiT",
		"SELECT " ICO_ORDER_COLUMNS ", o.close_reason" EQ "'merged', " PERSON_COLUMNS ", o.close_reason,"
		" (SELECT r.foreign_order FROM incomplete_orders.orders r WHERE r.shop_id" EQ "$1 AND r.incomplete_order_id" EQ "o.id"
		"  ORDER BY r.part DESC LIMIT 1)"
		" FROM pg_catalog.unnest($3) k (key) CROSS JOIN LATERAL (SELECT q.* FROM (SELECT c.* FROM incomplete_orders.closed_orders c"
		"  WHERE c.shop_id" EQ "$1 AND c.attachment" EQ "$2 AND c.cart_key" EQ "k.key OFFSET 0) q ORDER BY q.id DESC LIMIT 1) o"
	};
	Datum		values[3] = {Int32GetDatum(batch->shop->shop_id), Int32GetDatum(batch->attachment->attachment)};
	uint64		n;

	if (unknown_keys(batch, &values[2]) == 0)
		return;
	n = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < n; i++)
		read_known(find_known(batch, i, FIRST_PERSON), i, batch->shop->shop_id, true);
}

/* The order that is the cart's now, locked. */
static void
read_again(const Batch *batch, Known *known, const pg_uuid_t *id)
{
	static IcoPlan plan = {
		"iu",
		"SELECT " ICO_ORDER_COLUMNS ", false, " PERSON_COLUMNS " FROM incomplete_orders.open_orders o"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 FOR UPDATE"
	};
	Datum		values[2] = {Int32GetDatum(batch->shop->shop_id), UUIDPGetDatum(id)};

	if (ico_execute(&plan, values, NULL) == 0)
		elog(ERROR, "open order vanished under its lock");
	read_known(known, 0, batch->shop->shop_id, false);
}

/* --- what is different ----------------------------------------------------------- */

static bool
same_text(const IcoFacts *facts, IcoFact fact, const text *stored)
{
	bool		none = facts->nulls[fact];

	if (none || stored == NULL)
		return none == (stored == NULL);
	return ico_compare_texts(DatumGetTextPP(facts->values[fact]), stored) == 0;
}

static bool
is_known_fact(const Known *known, const IcoFacts *facts, IcoFact fact)
{
	switch (fact)
	{
		case ICO_F_CURRENCY:
			return same_text(facts, fact, DatumGetTextPP(known->order.currency));
		case ICO_F_DISCOUNT:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, facts->values[fact], known->order.charges[2]));
		case ICO_F_CONTEXT:
			return known->context != NULL && !facts->nulls[fact] &&
				DatumGetBool(DirectFunctionCall2(jsonb_contains, JsonbPGetDatum(known->context), facts->values[fact]));
		case ICO_F_BOT:
			return true;		/* comes with the context, which shops do not tell it in */
		default:
			return fact <= ICO_F_NAME && same_text(facts, fact, known->facts[fact]);
	}
}

/* Leaves what is new of the facts, and the lines or NULL. */
typedef struct Change
{
	LineItems  *items;			/* as they are now, or NULL: the same */
	IcoFacts	facts;
	bool		other_content;	/* of the lines */
	bool		acted;			/* by the customer */
} Change;

static void
find_change(const Known *known, LineItems *items, const IcoFacts *facts, Change *change)
{
	int			acts;

	memset(change, 0, sizeof(*change));
	change->facts = *facts;
	for (int fact = 0; fact < ICO_FACTS; fact++)
	{
		if ((facts->given & ICO_FACT_BIT(fact)) && is_known_fact(known, facts, (IcoFact) fact))
			change->facts.given &= ~ICO_FACT_BIT(fact);
	}
	if (items != NULL && !ico_same_lines(items, DatumGetLineItemsP(known->order.items)))
	{
		change->items = items;
		change->other_content = !ico_same_content(items, DatumGetLineItemsP(known->order.items));
	}
	acts = change->facts.given & ACTS;
	/* an address that is written otherwise is the same */
	if ((acts & ICO_FACT_BIT(ICO_F_EMAIL)) && !facts->nulls[ICO_F_EMAIL] && known->facts[ICO_F_EMAIL] != NULL &&
		ico_compare_texts(ico_normal_email(DatumGetTextPP(facts->values[ICO_F_EMAIL])),
						  ico_normal_email(known->facts[ICO_F_EMAIL])) == 0)
		acts &= ~ICO_FACT_BIT(ICO_F_EMAIL);
	change->acted = change->other_content || acts != 0;
}

/*
 * What is different, without a person who was forgotten: a table that still has them
 * does not tell of them again.  What they do afterwards, they do anew: other lines
 * say so, that the table repeats who they are does not.
 */
static void
find_change_of_person(const Batch *batch, const Known *known, LineItems **items, IcoFacts *facts, Change *change)
{
	const IcoDueCart *due = known->due;
	bool		known_before = known->has_open || known->has_closed;
	int			personal = CONTACTS | ICO_FACT_BIT(ICO_F_CONTEXT);
	bool		acted;

	memset(change, 0, sizeof(*change));
	if (known_before)
		find_change(known, *items, facts, change);
	if (((known->has_open ? change->facts.given : facts->given) & personal) == 0)
		return;
	acted = !due->repeated && *items != NULL && (!known_before || change->other_content);
	if (ico_leave_out_forgotten(batch->shop->shop_id, items, facts, acted ? due->marked_at : DT_NOBEGIN) && known_before)
		find_change(known, *items, facts, change);
}

/* --- instants --------------------------------------------------------------------- */

/* When the customer did what the table shows. */
static TimestampTz
act_instant(const Batch *batch, const Known *known)
{
	const IcoDueCart *due = known->due;
	TimestampTz at = Min(due->marked_at, batch->at);

	/* nobody marked it: what the shop says is better than nothing, as long as it is past */
	if (due->repeated && due->cart != NULL && due->cart->updated_at != ICO_NONE)
		at = Min(at, due->cart->updated_at);
	if (known->has_open)
	{
		at = Max(at, known->order.last_activity_at);
		if (known->order.status == ICO_ABANDONED && known->order.abandoned_at != ICO_NONE)
			at = Max(at, known->order.abandoned_at);
	}
	return at;
}

/* When it was bought: as the shop says, within what the marks allow. */
static TimestampTz
purchase_instant(const Batch *batch, const Known *known)
{
	const IcoDueCart *due = known->due;
	TimestampTz at = Min(due->marked_at, batch->at);
	TimestampTz said = due->cart->completed_at;

	if (said != ICO_NONE && said <= at && (due->repeated || said >= due->first_marked_at))
		at = said;
	if (known->has_open)
		at = Max(at, known->order.last_activity_at);
	return at;
}

/* --- sessions --------------------------------------------------------------------- */

/* Who has a session: nobody, somebody whose row could not be locked, or the order. */
typedef struct Holder
{
	bool		exists;
	bool		locked;
	pg_uuid_t	id;
	bool		attached;
	int32		attachment;
} Holder;

static void
find_holder(const Batch *batch, text *session, Holder *holder)
{
	static IcoPlan look = {
		"it", "SELECT o.id, o.attachment FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "$1 AND o.session_id" EQ "$2"
	};
	static IcoPlan lock = {
		"it",
		"SELECT o.id, o.attachment FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "$1 AND o.session_id" EQ "$2"
		" FOR UPDATE SKIP LOCKED"
	};
	Datum		values[2] = {Int32GetDatum(batch->shop->shop_id), PointerGetDatum(session)};
	bool		isnull;

	memset(holder, 0, sizeof(*holder));
	holder->exists = ico_execute(&look, values, NULL) > 0;
	if (!holder->exists || ico_execute(&lock, values, NULL) == 0)
		return;
	holder->locked = true;
	holder->id = *DatumGetUUIDP(ico_column(0, 1, &isnull));
	holder->attachment = DatumGetInt32(ico_column(0, 2, &isnull));
	holder->attached = !isnull;
}

static void
write_session(const Batch *batch, const pg_uuid_t *id, text *session)
{
	static IcoPlan plan = {
		"iut", "UPDATE incomplete_orders.open_orders o SET session_id = $3 WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(batch->shop->shop_id));
	ico_arg(&args, UUIDPGetDatum(id));
	ico_arg_text(&args, session);
	(void) ico_execute(&plan, args.values, args.nulls);
}

/* The shop's own calls captured this cart by its session: that order is the cart's. */
static void
adopt(const Batch *batch, Known *known, const pg_uuid_t *id)
{
	static IcoPlan plan = {
		"iuit",
		"UPDATE incomplete_orders.open_orders o SET attachment = $3, cart_key = $4 WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	Datum		values[4] = {
		Int32GetDatum(batch->shop->shop_id), UUIDPGetDatum(id), Int32GetDatum(batch->attachment->attachment),
		PointerGetDatum(known->due->key)
	};

	(void) ico_execute(&plan, values, NULL);
	read_again(batch, known, id);
}

/* The same cart, seen by the shop's calls too: what they said beside the lines stays. */
static void
absorb(const Batch *batch, Known *known, const pg_uuid_t *id, TimestampTz at)
{
	static IcoPlan plan = {
		"iuu",
		"UPDATE incomplete_orders.open_orders o SET email = COALESCE(o.email, f.email), phone = COALESCE(o.phone, f.phone),"
		" customer_id = COALESCE(o.customer_id, f.customer_id), name = COALESCE(o.name, f.name),"
		" address = COALESCE(f.address" CONCAT "o.address, o.address, f.address),"
		" context = COALESCE(f.context" CONCAT "o.context, o.context, f.context),"
		" furthest_step = GREATEST(o.furthest_step, f.furthest_step)"
		" FROM incomplete_orders.open_orders f WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 AND f.shop_id" EQ "$1 AND f.id" EQ "$3"
	};
	Datum		values[3] = {Int32GetDatum(batch->shop->shop_id), UUIDPGetDatum(&known->order.id), UUIDPGetDatum(id)};
	IcoEvent	event = {.event = "merged", .at = at};
	IcoOrder	other;

	(void) ico_execute(&plan, values, NULL);
	if (!ico_read_open(batch->shop->shop_id, id, true, &other))
		elog(ERROR, "open order vanished under its lock");
	event.reason = event.reason_text = cstring_to_text(REASON_MERGED);
	if (ico_settle(&other, batch->shop, at))
		ico_close(&other, ICO_DELETED, false, &event);
	read_again(batch, known, &known->order.id);
}

/*
 * Makes the session free for this cart, or leaves it out (*session NULL) where
 * another attachment's cart has it.  False: somebody has that order just now.
 */
static bool
claim_session(const Batch *batch, Known *known, text **session)
{
	Holder		holder;

	if (*session == NULL || (known->has_open && known->session != NULL && ico_compare_texts(known->session, *session) == 0))
		return true;
	find_holder(batch, *session, &holder);
	if (!holder.exists)
		return true;
	if (!holder.locked)
		return false;
	if (!holder.attached && !known->has_open)
		adopt(batch, known, &holder.id);
	else if (!holder.attached)
		absorb(batch, known, &holder.id, act_instant(batch, known));
	else if (holder.attachment == batch->attachment->attachment)
		write_session(batch, &holder.id, NULL);
	else
		*session = NULL;
	return true;
}

/* --- what goes on ------------------------------------------------------------------- */

static void
begin_order(const Batch *batch, Known *known, LineItems *items, const IcoFacts *facts, text *session)
{
	const IcoDueCart *due = known->due;
	TimestampTz at = act_instant(batch, known);
	TimestampTz began = due->repeated ? at : Min(due->first_marked_at, at);
	pg_uuid_t	id;

	if (!ico_begin_attached(batch->shop, batch->attachment->attachment, due->key, session, items, facts, began, at, &id))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("another transaction began an order for this cart at the same time")));
	read_again(batch, known, &id);
}

/*
 * A cart whose order is closed goes on as a new one when the customer did something,
 * or when it was the shop that had ended it and has it again.
 */
static bool
begins_anew(const Known *known, const Change *change)
{
	if (known->order.status == ICO_DELETED && known->close_reason != NULL)
	{
		char	   *reason = text_to_cstring(known->close_reason);

		if (strcmp(reason, REASON_GONE) == 0 || strcmp(reason, REASON_MERGED) == 0 || strcmp(reason, "detached") == 0)
			return true;
	}
	return change->acted;
}

/* A payment is under way in the shop: nobody is reminded until that is over.  Not of an abandoned one. */
static void
hold(const Batch *batch, IcoOrder *order, TimestampTz at)
{
	IcoEvent	event = {.event = "payment_pending", .at = at};
	IcoStatus	before;

	before = order->status;
	order->status = ICO_PAYMENT_PENDING;
	order->payment_deadline = order->expires_at;
	if (order->kind != ICO_PARTIAL)
		order->kind = ICO_PAYMENT;
	order->last_activity_at = Max(order->last_activity_at, at);
	ico_write_change(order, batch->shop, before, &event);
}

static void
give_step(IcoFacts *facts)
{
	facts->given |= ICO_FACT_BIT(ICO_F_STEP);
	facts->values[ICO_F_STEP] = ico_step_datum(ICO_STEP_PAYMENT);
	facts->nulls[ICO_F_STEP] = false;
}

/* Back in the cart: what was being paid is a cart again. */
static void
release(const Batch *batch, IcoOrder *order, TimestampTz at)
{
	if (order->kind == ICO_PAYMENT)
		order->kind = ICO_CART;
	ico_withdraw_payment(order, batch->shop, at);
}

/*
 * Writes what is different of an open order; false when it fell due to be closed
 * before the customer did that.
 */
static bool
write_open(const Batch *batch, Known *known, Change *change, bool in_progress)
{
	IcoOrder   *order = &known->order;
	TimestampTz at = act_instant(batch, known);
	bool		was_in_progress = order->status == ICO_PAYMENT_PENDING;

	/* a shop that does not say so may have called mark_payment_pending() */
	if (!batch->attachment->tells_progress)
		in_progress = was_in_progress;
	if (!change->acted && in_progress == was_in_progress)
	{
		if (change->items != NULL || change->facts.given != 0)
			(void) ico_write_edit(order, batch->shop, change->items, &change->facts, at);
		return true;
	}
	if (!ico_settle(order, batch->shop, at))
		return false;
	was_in_progress = order->status == ICO_PAYMENT_PENDING;
	if (in_progress && !was_in_progress)
	{
		/* first what is paid for: the event of the payment tells of that */
		if (order->status == ICO_ABANDONED)
			ico_reanimate(order, batch->shop, at);
		give_step(&change->facts);
		ico_write_capture(order, batch->shop, change->items, &change->facts, at);
		hold(batch, order, at);
		return true;
	}
	if (!in_progress && was_in_progress)
		release(batch, order, at);
	else
		ico_reanimate(order, batch->shop, at);
	ico_write_capture(order, batch->shop, change->items, &change->facts, at);
	return true;
}

static void
forget_open(Known *known)
{
	known->has_open = false;
	known->has_closed = true;
	known->close_reason = NULL;
	known->foreign_order = NULL;
}

/* The order of a cart that goes on; false: somebody else has an order that is in the way. */
static bool
capture(const Batch *batch, Known *known)
{
	IcoCartValues *values = &known->due->values;
	LineItems  *items = values->items;
	IcoFacts	facts = values->facts;
	text	   *session = values->session;
	bool		in_progress = known->due->cart->truths[ICO_C_IN_PROGRESS];
	Change		change;

	if (!known->has_open && ico_items_lines(items) == 0)
		return true;			/* shops have a cart for each visitor */
	if (!claim_session(batch, known, &session))
		return false;
	find_change_of_person(batch, known, &items, &facts, &change);
	if (known->has_open && !write_open(batch, known, &change, in_progress))
		forget_open(known);
	if (known->has_open)
	{
		if (session != NULL && (known->session == NULL || ico_compare_texts(known->session, session) != 0))
			write_session(batch, &known->order.id, session);
		return true;
	}
	if (ico_items_lines(items) == 0 || (known->has_closed && !begins_anew(known, &change)))
		return true;
	if (in_progress)
		give_step(&facts);
	begin_order(batch, known, items, &facts, session);
	if (in_progress)
		hold(batch, &known->order, act_instant(batch, known));
	return true;
}

/* --- what was taken back --------------------------------------------------------------- */

static bool
was_bought(const Known *known)
{
	return !known->has_open && known->has_closed && known->order.status == ICO_CONVERTED && known->foreign_order != NULL;
}

/*
 * The order that was made of the cart is no more: not when the shop still has it.  Of
 * a cart that is gone only a link to its order can say so.
 */
static bool
is_reversal(const Batch *batch, const Known *known)
{
	return was_bought(known) && known->due->values.order_ref == NULL &&
		(known->due->cart != NULL || batch->attachment->links_orders);
}

/* It was bought, but as another order: that one was taken back before. */
static bool
is_other_order(const Known *known)
{
	text	   *now = known->due->values.order_ref;
	text	   *before = known->foreign_order;

	return was_bought(known) && now != NULL && ico_compare_texts(now, before) != 0 &&
		!(VARSIZE_ANY_EXHDR(before) > strlen(PROVISIONAL) && memcmp(VARDATA_ANY(before), PROVISIONAL, strlen(PROVISIONAL)) == 0);
}

static bool
reverse(const Batch *batch, Known *known)
{
	TimestampTz at = Max(act_instant(batch, known), known->order.last_activity_at);
	pg_uuid_t	id;

	if (!ico_read_order(batch->shop->shop_id, &known->order.id, true, &known->order) ||
		known->order.status != ICO_CONVERTED)
		return false;
	ico_reverse(&known->order, batch->shop, at, &id);
	known->has_closed = false;
	read_again(batch, known, &id);
	return true;
}

/* --- what ends ----------------------------------------------------------------------- */

static void
end_cart(const Batch *batch, Known *known, const char *reason)
{
	TimestampTz at;
	IcoEvent	event = {.event = strcmp(reason, REASON_MERGED) == 0 ? "merged" : "deleted"};

	if (is_reversal(batch, known))
		(void) reverse(batch, known);
	at = event.at = act_instant(batch, known);
	if (!known->has_open || !ico_settle(&known->order, batch->shop, at))
		return;
	event.reason = event.reason_text = cstring_to_text(reason);
	ico_close(&known->order, ICO_DELETED, false, &event);
}

/* --- what was bought ------------------------------------------------------------------ */

/*
 * Whether it was bought since the shop is attached.  Many shops keep instants without
 * a zone, by a clock that nobody knows: one that lies between the marks but for quarters
 * of an hour, as zones differ, is of now, too.
 */
static bool
is_bought_now(const Batch *batch, const IcoDueCart *due)
{
	TimestampTz said = due->cart->completed_at;
	int64		zone;

	if (said == ICO_NONE)
		return false;
	if (said >= batch->attachment->attached_at)
		return true;
	zone = (due->marked_at - said + ZONE_STEP / 2) / ZONE_STEP * ZONE_STEP;
	return !due->repeated && zone <= WIDEST_ZONE && said + zone >= due->first_marked_at - ZONE_SLACK &&
		said + zone <= due->marked_at + ZONE_SLACK;
}

/*
 * A cart that was never seen open: bought within the time of settling, or missed.
 * One that was bought before the shop was attached is none of ours.
 */
static bool
begin_bought(const Batch *batch, Known *known)
{
	const IcoDueCart *due = known->due;
	LineItems  *items = due->values.items;
	IcoFacts	facts = due->values.facts;
	TimestampTz at = purchase_instant(batch, known);
	TimestampTz began = due->repeated ? at : Min(due->first_marked_at, at);
	Change		change;
	pg_uuid_t	id;

	if (!is_bought_now(batch, due))
		return false;
	find_change_of_person(batch, known, &items, &facts, &change);
	if (!ico_begin_attached(batch->shop, batch->attachment->attachment, due->key, NULL, items, &facts, began, at, &id))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("another transaction began an order for this cart at the same time")));
	read_again(batch, known, &id);
	return true;
}

/* The lines and facts with which it was bought; a cart that the shop emptied then had them before. */
static void
write_last(const Batch *batch, Known *known, TimestampTz at)
{
	LineItems  *items = known->due->values.items;
	IcoFacts	facts = known->due->values.facts;
	Change		change;

	if (ico_items_lines(items) == 0)
	{
		items = NULL;
		facts.given &= CONTACTS | ICO_FACT_BIT(ICO_F_CONTEXT);
	}
	find_change_of_person(batch, known, &items, &facts, &change);
	if (change.items == NULL && change.facts.given == 0)
		return;
	/* what the purchase itself brought is no return of the customer */
	(void) ico_write_edit(&known->order, batch->shop, change.items, &change.facts, at);
	read_again(batch, known, &known->order.id);
}

static text *
reference_of(const Known *known)
{
	if (known->due->values.order_ref != NULL)
		return known->due->values.order_ref;
	/* its order is not linked yet; when it is, the reference changes */
	return cstring_to_text(psprintf(PROVISIONAL "%s", text_to_cstring(known->due->key)));
}

static void
close_double(const Batch *batch, Known *known, TimestampTz at)
{
	IcoEvent	event = {.event = "merged", .at = at};

	if (!known->has_open || known->order.closed)
		return;
	event.reason = event.reason_text = cstring_to_text(REASON_MERGED);
	ico_close(&known->order, ICO_DELETED, false, &event);
}

static void
complete(const Batch *batch, Known *known)
{
	const IcoCartValues *values = &known->due->values;
	text	   *reference = reference_of(known);
	TimestampTz at = purchase_instant(batch, known);
	int64		total = values->has_total ? values->total : 0;
	bool		own_total = values->has_total;

	if (is_other_order(known))
		(void) reverse(batch, known);
	if (!known->has_open && known->has_closed)
	{
		if (known->order.merged || known->order.status == ICO_REVERSED ||
			(known->foreign_order != NULL && (values->order_ref == NULL ||
											  ico_compare_texts(known->foreign_order, reference) == 0)))
			return;
		/* nobody holds a lock on it yet */
		if (!ico_read_order(batch->shop->shop_id, &known->order.id, true, &known->order))
			return;
	}
	else if (!known->has_open && !begin_bought(batch, known))
		return;
	if (known->has_open)
	{
		if (ico_settle(&known->order, batch->shop, at))
			write_last(batch, known, at);
		/* the shop has its total; where it does not say it, no discount may make ours negative */
		if (!own_total)
			own_total = DatumGetInt32(DirectFunctionCall2(numeric_cmp, known->order.charges[2],
														  NumericGetDatum(ico_amount_numeric(ico_items_total(DatumGetLineItemsP(known->order.items)), 0)))) > 0;
	}
	if (!ico_complete(&known->order, batch->shop, reference, own_total ? &total : NULL, at))
		close_double(batch, known, at);
}

/* --- one batch --------------------------------------------------------------------------- */

typedef enum Pass
{
	PASS_ENDED, PASS_OPEN, PASS_BOUGHT
} Pass;
#define PASSES 3

static Pass
pass_of(const IcoDueCart *due)
{
	const IcoCart *cart = due->cart;

	if (cart == NULL)
		return PASS_ENDED;
	if (cart->truths[ICO_C_COMPLETED] && (due->values.order_ref != NULL || !cart->truths[ICO_C_DELETED]))
		return PASS_BOUGHT;
	if (cart->truths[ICO_C_DELETED] || cart->truths[ICO_C_SUPERSEDED])
		return PASS_ENDED;
	return PASS_OPEN;
}

/* The shop deletes what was bought, and has nothing else to say so. */
static void
complete_gone(const Batch *batch, Known *known)
{
	TimestampTz at = act_instant(batch, known);

	if (ico_settle(&known->order, batch->shop, at))
		(void) ico_complete(&known->order, batch->shop, reference_of(known), NULL, at);
}

static void
apply_cart(const Batch *batch, Known *known, Pass pass)
{
	IcoDueCart *due = known->due;

	if (due->cart == NULL && batch->attachment->gone_is_bought && known->has_open && !known->order.empty)
		complete_gone(batch, known);
	else if (pass == PASS_ENDED)
		end_cart(batch, known, due->cart != NULL && due->cart->truths[ICO_C_SUPERSEDED] && !due->cart->truths[ICO_C_DELETED] ?
				 REASON_MERGED : REASON_GONE);
	else if (pass == PASS_BOUGHT)
		complete(batch, known);
	else
	{
		if (is_reversal(batch, known) && !reverse(batch, known))
			due->later = true;
		else
			due->later = !capture(batch, known);
	}
}

/* These carts, in the order in which they must be taken. */
static void
apply(void *arg)
{
	Batch	   *batch = arg;

	for (int i = 0; i < batch->n; i++)
	{
		IcoDueCart *due = batch->known[i].due;

		memset(&batch->known[i], 0, sizeof(Known));
		batch->known[i].due = due;
		due->later = false;
		if (due->cart != NULL)
			ico_cart_values(batch->attachment, due->cart, &due->values);
	}
	lock_open(batch);
	look_at_closed(batch);
	for (int pass = 0; pass < PASSES; pass++)
	{
		for (int i = 0; i < batch->n; i++)
		{
			Known	   *known = &batch->known[i];

			CHECK_FOR_INTERRUPTS();
			if (pass_of(known->due) != pass || known->due->values.fault != NULL)
				continue;
			if (known->taken)
				known->due->later = true;
			else
				apply_cart(batch, known, (Pass) pass);
		}
	}
}

/*
 * All in one subtransaction, which costs next to nothing; only when that fails each
 * in its own.  A cart with later, values.fault or error set stays as it was.
 */
void
ico_apply_carts(const IcoAttachment *attachment, IcoDueCart *due, int n, TimestampTz at)
{
	Batch		batch = {.attachment = attachment, .shop = &attachment->shop, .at = at, .n = n};

	batch.known = palloc0((n + 1) * sizeof(Known));
	for (int i = 0; i < n; i++)
		batch.known[i].due = &due[i];
	qsort(batch.known, n, sizeof(Known), compare_known);
	if (n == 0 || ico_try(apply, &batch) == NULL)
		return;
	for (int pass = 0; pass < PASSES; pass++)
	{
		for (int i = 0; i < n; i++)
		{
			Batch		one = batch;

			if (pass_of(batch.known[i].due) != pass)
				continue;
			one.known = &batch.known[i];
			one.n = 1;
			batch.known[i].due->error = ico_try(apply, &one);
		}
	}
}

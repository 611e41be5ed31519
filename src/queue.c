/*
 * queue.c
 *		Claiming messages: what is due, fairly between shops, and still right.
 *
 * A claim locks messages that are due (FOR UPDATE SKIP LOCKED), then, in a new
 * statement and so under a new snapshot, their orders (FOR SHARE SKIP LOCKED),
 * and looks again whether each may still be sent.  A conversion therefore either
 * committed before, and is seen, or waits until the claim has.  That needs READ
 * COMMITTED.  A claim waits for nobody: what somebody else holds is left for
 * later.  What it claims is leased: due_at moves to the end of the lease, so that
 * a message whose sender died comes back by itself.
 *
 * Each backend keeps a list of the shops in which something is due, with the
 * place in each that it has reached.  The shops take turns, each with a share,
 * and a claim goes on behind the last one: index entries of messages that are
 * done, which stay there while an old snapshot is held open, are not walked over
 * again each time.  What comes in before that place is found when the list is
 * made anew: when it is used up, and every second.
 *
 * A shop that names availability() is asked before anything is locked, for the carts
 * of the messages that stand next in its queue; what turns up under the locks and
 * was not asked for is left for the next claim (stock.c).
 *
 * What must not be sent yet, by the distance of steps, the gap between two messages
 * to one person and the quiet hours, is moved (queue_timing.c).
 *
 * Memory: the list lives in QueueContext under TopMemoryContext, everything else
 * in the SPI context of the call.
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "attach.h"
#include "compat.h"
#include "coupon.h"
#include "errors.h"
#include "guc.h"
#include "hook.h"
#include "message.h"
#include "plan.h"
#include "queue.h"
#include "rules.h"
#include "secret.h"
#include "stock.h"
#include "tenant.h"

#define MAX_BATCH 10000
#define MAX_WORKER_BYTES 200
/* the list is made anew after this, and after so many times what making it took */
#define LIST_LIFE USECS_PER_SEC
#define LIST_COST 20
/* a scan that took longer than this is not repeated at once when the list is used up */
#define SLOW_SCAN (20 * 1000)

/* how long one waits for tick to read the cart that it is about */
#define CART_WAIT USECS_PER_MINUTE

/* a shop with something due, and the last place in its queue that was looked at */
typedef struct DueShop
{
	int32		shop_id;
	TimestampTz due_at;
	pg_uuid_t	id;
	bool		asks;			/* it names availability() */
	bool		attached;		/* it has attachments */
} DueShop;

static MemoryContext QueueContext = NULL;
static DueShop *due_shops = NULL;
static int	n_due_shops = 0;
static int	turn = 0;			/* whose it is */
static TimestampTz list_made_at = DT_NOBEGIN;
static int64 list_took = 0;		/* in us of the processor: a busy machine makes no scan a slow one */
static Oid	list_role = InvalidOid;

/* One call of claim_messages(). */
typedef struct Claiming
{
	text	   *worker;
	int			batch;
	TimestampTz now;
	int64		lease;
	TimestampTz until;			/* its end */
	IcoClaim  **claims;			/* those being looked at */
	int			n;
	int			size;
	int			claimed;		/* rows given back so far */
	bool		has_locks;		/* and so asks no shop any more */
	IcoStock  **stocks;			/* what shops can still sell */
	int			n_stocks;
	IcoTold		told;			/* carts that are as they were */
	ReturnSetInfo *rsinfo;
} Claiming;

PG_FUNCTION_INFO_V1(ico_claim_messages);
PG_FUNCTION_INFO_V1(ico_next_message_due);

#define WAITING "'{queued,sending}'::incomplete_orders.message_status[]"

/* ---- arrays for statements over many rows ---- */

Datum
ico_array_of(Datum *elements, int n, Oid type)
{
	int16		len;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &len, &by_value, &align);
	return PointerGetDatum(construct_array(elements, n, type, len, by_value, align));
}

static Datum
text_array(text **texts, int n)
{
	Datum	   *values = palloc((n + 1) * sizeof(Datum));
	bool	   *nulls = palloc((n + 1) * sizeof(bool));
	int			dims[1] = {n};
	int			bounds[1] = {1};

	for (int i = 0; i < n; i++)
	{
		values[i] = PointerGetDatum(texts[i]);
		nulls[i] = texts[i] == NULL;
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, bounds, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---- the list of shops ---- */

/*
 * The first message that waits in each shop: a scan that jumps from shop to shop
 * through the index, so that its cost is the number of shops.
 */
#define FIRST_WAITING(condition) \
	"(SELECT m.shop_id, m.due_at FROM incomplete_orders.messages m WHERE m.status" EQ "ANY (" WAITING ")" condition \
	" ORDER BY m.shop_id, m.due_at LIMIT 1)"
static IcoPlan first_plan = {
	"",
	"WITH RECURSIVE s AS (" FIRST_WAITING("") " UNION ALL SELECT n.shop_id, n.due_at FROM s CROSS JOIN LATERAL "
	FIRST_WAITING(" AND m.shop_id" GT "s.shop_id") " n) SELECT s.shop_id, s.due_at FROM s"
};

/* Those that the acting role may claim for, in rising order; from then on in n. */
static DueShop *
first_waiting(int *n)
{
	uint64		rows = ico_execute(&first_plan, NULL, NULL);
	DueShop    *found = palloc((rows + 1) * sizeof(DueShop));
	int			kept = 0;
	bool		isnull;

	for (uint64 i = 0; i < rows; i++)
	{
		DueShop    *shop = &found[kept];

		CHECK_FOR_INTERRUPTS();
		memset(shop, 0, sizeof(DueShop));
		shop->shop_id = DatumGetInt32(ico_column(i, 1, &isnull));
		shop->due_at = DatumGetTimestampTz(ico_column(i, 2, &isnull));
		kept += ico_keep_permitted(ICO_RIGHT_claim_messages, &(int32) {shop->shop_id}, 1);
	}
	*n = kept;
	return found;
}

/* Which of the shops in the list name availability(), and which are attached. */
static void
note_asking(void)
{
	static IcoPlan plan = {
		"A", "SELECT s.shop_id, s.availability IS NOT NULL,"
		" EXISTS (SELECT FROM incomplete_orders.attached_tables a WHERE a.shop_id" EQ "s.shop_id)"
		" FROM incomplete_orders.shops s WHERE s.shop_id" EQ "ANY ($1) ORDER BY s.shop_id"
	};
	Datum	   *ids = palloc((n_due_shops + 1) * sizeof(Datum));
	Datum		values[1];
	uint64		rows;
	bool		isnull;
	int			s = 0;

	if (n_due_shops == 0)
		return;
	for (int i = 0; i < n_due_shops; i++)
		ids[i] = Int32GetDatum(due_shops[i].shop_id);
	values[0] = ico_array_of(ids, n_due_shops, INT4OID);
	rows = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		int32		shop_id = DatumGetInt32(ico_column(i, 1, &isnull));

		while (due_shops[s].shop_id != shop_id)
			s++;
		due_shops[s].asks = DatumGetBool(ico_column(i, 2, &isnull));
		due_shops[s].attached = DatumGetBool(ico_column(i, 3, &isnull));
	}
}

static int64
processor_time(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0)
		return 0;
	return used.tv_sec * USECS_PER_SEC + used.tv_nsec / 1000;
}

static void
make_list(TimestampTz now)
{
	int64		began = processor_time();
	int			n;
	DueShop    *found = first_waiting(&n);

	if (QueueContext == NULL)
		QueueContext = AllocSetContextCreate(TopMemoryContext, "incomplete_orders queue", ALLOCSET_DEFAULT_SIZES);
	n_due_shops = 0;
	MemoryContextReset(QueueContext);
	due_shops = MemoryContextAlloc(QueueContext, (n + 1) * sizeof(DueShop));
	for (int i = 0; i < n; i++)
	{
		/* the place before the first one: no message has the id of zeros */
		if (found[i].due_at <= now)
			due_shops[n_due_shops++] = found[i];
	}
	note_asking();
	/* those who begin at the same time do not all begin with the same shop */
	turn = n_due_shops == 0 ? 0 : MyProcPid % n_due_shops;
	list_made_at = GetCurrentTimestamp();
	list_took = processor_time() - began;
	list_role = GetOuterUserId();
}

static bool
list_is_old(TimestampTz now)
{
	int64		age = now - list_made_at;

	if (list_role != GetOuterUserId() || age < 0)
		return true;
	if (n_due_shops == 0)
		return list_took < SLOW_SCAN || age > 5 * list_took;
	return age > Max(LIST_LIFE, LIST_COST * list_took);
}

/* ---- messages ---- */

static text *
text_column(int row, int column)
{
	bool		isnull;
	Datum		value = ico_column(row, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

static void
add_claim(Claiming *claiming, int row)
{
	IcoClaim   *c = palloc0(sizeof(IcoClaim));
	bool		isnull;

	c->row = *(ItemPointer) DatumGetPointer(ico_column(row, 1, &isnull));
	c->shop_id = DatumGetInt32(ico_column(row, 2, &isnull));
	c->id = *DatumGetUUIDP(ico_column(row, 3, &isnull));
	c->due_at = DatumGetTimestampTz(ico_column(row, 4, &isnull));
	c->attempts = DatumGetInt32(ico_column(row, 5, &isnull));
	c->token = DatumGetInt64(ico_column(row, 6, &isnull));
	c->order_id = *DatumGetUUIDP(ico_column(row, 7, &isnull));
	c->episode = DatumGetInt32(ico_column(row, 8, &isnull));
	c->step = DatumGetInt32(ico_column(row, 9, &isnull));
	c->campaign = text_column(row, 10);
	c->message_type = text_column(row, 11);
	c->template = text_column(row, 12);
	c->subject = text_column(row, 13);
	c->recipient = text_column(row, 14);
	c->mail_message_id = text_column(row, 15);
	c->queued_at = DatumGetTimestampTz(ico_column(row, 16, &isnull));
	c->give_up_at = DatumGetTimestampTz(ico_column(row, 17, &isnull));
	c->root_id = *DatumGetUUIDP(ico_column(row, 18, &isnull));
	c->variant = text_column(row, 19);
	if (c->attempts >= ICO_MAX_ATTEMPTS)
		c->reason = "attempts_exhausted";
	else if (c->give_up_at <= claiming->now)
		c->reason = "too_old";
	c->dead = c->reason != NULL;
	if (claiming->n == claiming->size)
	{
		claiming->size *= 2;
		claiming->claims = repalloc(claiming->claims, claiming->size * sizeof(IcoClaim *));
	}
	claiming->claims[claiming->n++] = c;
}

/* The shops of one round: the next ones in turn, no more than rows are wanted. */
static int
take_turns(int wanted, DueShop **shops)
{
	int			n = Min(wanted, n_due_shops);

	for (int i = 0; i < n; i++)
		shops[i] = &due_shops[(turn + i) % n_due_shops];
	return n;
}

/* Notes how far the shops came, and drops those that had less than their share. */
static void
note_places(Claiming *claiming, int first, DueShop **shops, int n, int share)
{
	int		   *rows = palloc0((n + 1) * sizeof(int));
	int			place = turn + n;
	int			kept = 0;
	int			s = 0;

	/* they come shop by shop */
	for (int c = first; c < claiming->n; c++)
	{
		const IcoClaim *claim = claiming->claims[c];

		while (shops[s]->shop_id != claim->shop_id)
			s = (s + 1) % n;
		shops[s]->due_at = claim->due_at;
		shops[s]->id = claim->id;
		rows[s]++;
	}
	for (int i = 0; i < n; i++)
	{
		if (rows[i] < share)
			shops[i]->shop_id = 0;
	}
	turn = 0;
	for (int i = 0; i < n_due_shops; i++)
	{
		if (i == place % n_due_shops)
			turn = kept;
		if (due_shops[i].shop_id != 0)
			due_shops[kept++] = due_shops[i];
	}
	n_due_shops = kept;
}

/* Locks messages of one round of shops; how many. */
static int
lock_round(Claiming *claiming, int wanted)
{
	static IcoPlan plan = {
		"AZUzi",
		"SELECT m.row, m.shop_id, m.id, m.due_at, m.attempts, m.token, m.order_id, m.episode, m.step, m.campaign,"
		" m.message_type, m.template, m.subject, m.recipient, m.mail_message_id, m.queued_at, m.give_up_at, m.root_id, m.variant"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) s (shop_id, due_at, id) CROSS JOIN LATERAL (SELECT q.ctid AS row, q.*"
		"  FROM incomplete_orders.messages q WHERE q.shop_id" EQ "s.shop_id AND q.status" EQ "ANY (" WAITING ")"
		"  AND ROW(q.due_at, q.id)" GT "ROW(s.due_at, s.id) AND q.due_at" LE "$4"
		"  ORDER BY q.due_at, q.id LIMIT $5 FOR UPDATE SKIP LOCKED) m"
	};
	DueShop   **shops = palloc((wanted + 1) * sizeof(DueShop *));
	int			n = take_turns(wanted, shops);
	int			share = wanted / n;
	Datum	   *ids = palloc(n * sizeof(Datum));
	Datum	   *places = palloc(n * sizeof(Datum));
	Datum	   *last = palloc(n * sizeof(Datum));
	Datum		values[5];
	int			first = claiming->n;
	uint64		rows;

	for (int i = 0; i < n; i++)
	{
		ids[i] = Int32GetDatum(shops[i]->shop_id);
		places[i] = TimestampTzGetDatum(shops[i]->due_at);
		last[i] = UUIDPGetDatum(&shops[i]->id);
	}
	values[0] = ico_array_of(ids, n, INT4OID);
	values[1] = ico_array_of(places, n, TIMESTAMPTZOID);
	values[2] = ico_array_of(last, n, UUIDOID);
	values[3] = TimestampTzGetDatum(claiming->now);
	values[4] = Int32GetDatum(share);
	rows = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < rows; i++)
		add_claim(claiming, i);
	note_places(claiming, first, shops, n, share);
	return (int) rows;
}

/* ---- what can still be sold ---- */

/* Asks a shop about the carts that are next in its queue. */
static IcoStock *
ask_shop(const Claiming *claiming, const DueShop *shop)
{
	static IcoPlan plan = {
		"izuzi",
		"SELECT incomplete_orders._mailed_items(o.items, s.exclusions) FROM incomplete_orders.shops s CROSS JOIN LATERAL"
		" (SELECT q.shop_id, q.order_id FROM incomplete_orders.messages q WHERE q.shop_id" EQ "s.shop_id AND q.status" EQ "ANY (" WAITING ")"
		"  AND ROW(q.due_at, q.id)" GT "ROW($2, $3) AND q.due_at" LE "$4 ORDER BY q.due_at, q.id LIMIT $5) m"
		" JOIN incomplete_orders.open_orders o ON o.shop_id" EQ "m.shop_id AND o.id" EQ "m.order_id WHERE s.shop_id" EQ "$1"
	};
	Datum		values[5];

	values[0] = Int32GetDatum(shop->shop_id);
	values[1] = TimestampTzGetDatum(shop->due_at);
	values[2] = UUIDPGetDatum(&shop->id);
	values[3] = TimestampTzGetDatum(claiming->now);
	values[4] = Int32GetDatum(claiming->batch);
	return ico_ask_for(shop->shop_id, &plan, values, GetActiveSnapshot());
}

/*
 * Asks the shops whose turn is next, one after the other until that took as long as
 * one of them may; those behind are left for another claim.  Nothing is locked yet.
 */
static void
ask_shops(Claiming *claiming)
{
	TimestampTz start = GetCurrentTimestamp();
	int			n = Min(claiming->batch, n_due_shops);
	bool		asked = false;

	claiming->stocks = repalloc(claiming->stocks, (claiming->n_stocks + n) * sizeof(IcoStock *));
	for (int i = 0; i < n; i++)
	{
		const DueShop *shop = &due_shops[(turn + i) % n_due_shops];
		IcoStock   *stock;

		if (GetCurrentTimestamp() - start >= (int64) ico_hook_timeout * 1000)
			continue;
		if (shop->attached)
			asked |= ico_ask_carts(shop->shop_id, &(IcoPlace) {shop->due_at, shop->id}, claiming->now, claiming->batch,
								   &claiming->told);
		if (!shop->asks)
			continue;
		stock = ask_shop(claiming, shop);
		if (stock == NULL)
			continue;
		claiming->stocks[claiming->n_stocks++] = stock;
		asked = true;
	}
	if (!asked)
		return;
	/* the lease does not begin before it is one */
	claiming->now = GetCurrentTimestamp();
	claiming->until = claiming->now + claiming->lease;
}

static IcoStock *
stock_of(const Claiming *claiming, int32 shop_id)
{
	/* the newest, where a shop was asked again */
	for (int i = claiming->n_stocks - 1; i >= 0; i--)
	{
		if (claiming->stocks[i]->shop_id == shop_id)
			return claiming->stocks[i];
	}
	return NULL;
}

/*
 * What nobody can say anything of waits: without a date where it was not asked for,
 * for a while where the shop's function failed.  What cannot be sold at all, or is too
 * little by what can, is not mailed.
 */
static void
apply_stock(Claiming *claiming)
{
	IcoClaim  **delayed = palloc((claiming->n + 1) * sizeof(IcoClaim *));
	int			n = 0;

	for (int i = 0; i < claiming->n; i++)
	{
		IcoClaim   *c = claiming->claims[i];

		if (!c->asks || c->reason != NULL || c->later)
			continue;
		c->stock = stock_of(claiming, c->shop_id);
		if (c->stock == NULL || !(c->stock->failed || ico_stock_knows(c->stock, DatumGetLineItemsP(c->items))))
			c->later = true;
		else if (c->stock->failed)
		{
			c->later = true;
			c->due_at = claiming->now + ICO_STOCK_WAIT;
			delayed[n++] = c;
		}
		else if (c->unsold != NULL)
			c->reason = text_to_cstring(c->unsold);
	}
	ico_move_claims(delayed, n);
}

/*
 * The cart of an attached shop that was not found as it is here waits: it was
 * bought or changed, or nobody could say.
 */
static void
apply_told(Claiming *claiming)
{
	IcoClaim  **delayed = palloc((claiming->n + 1) * sizeof(IcoClaim *));
	int			n = 0;

	for (int i = 0; i < claiming->n; i++)
	{
		IcoClaim   *c = claiming->claims[i];

		if (!c->attached || c->reason != NULL || c->later || ico_was_told(&claiming->told, &c->order_id))
			continue;
		c->later = true;
		c->due_at = claiming->now + CART_WAIT;
		delayed[n++] = c;
	}
	ico_move_claims(delayed, n);
}

/* ---- orders ---- */

static void
read_order(IcoClaim *c, int row)
{
	bool		isnull;
	bool		bot = DatumGetBool(ico_column(row, 5, &isnull));
	Datum		abandoned_at = ico_column(row, 17, &isnull);

	c->locked = true;
	c->abandoned_at = isnull ? DT_NOBEGIN : DatumGetTimestampTz(abandoned_at);
	c->email = text_column(row, 6);
	c->customer_id = text_column(row, 7);
	c->phone = text_column(row, 8);
	c->name = text_column(row, 9);
	c->reference = text_column(row, 10);
	c->kind = ico_column(row, 11, &isnull);
	c->currency = text_column(row, 12);
	c->items = ico_column(row, 13, &isnull);
	for (int i = 0; i < lengthof(c->charges); i++)
		c->charges[i] = ico_column(row, 18 + i, &isnull);
	c->expires_at = DatumGetTimestampTz(ico_column(row, 16, &isnull));
	c->locale = text_column(row, 14);
	c->unwanted = text_column(row, 22);
	c->awake_at = DatumGetTimestampTz(ico_column(row, 23, &isnull));
	c->min_gap = ico_span(ico_column(row, 24, &isnull));
	c->cap_per_episode = DatumGetInt32(ico_column(row, 25, &isnull));
	c->cap_per_person = DatumGetInt32(ico_column(row, 26, &isnull));
	c->left_out = DatumGetBool(ico_column(row, 27, &isnull));
	c->asks = DatumGetBool(ico_column(row, 28, &isnull));
	c->attached = DatumGetBool(ico_column(row, 29, &isnull));
	c->unsold = text_column(row, 30);
	if (ico_status_of(ico_column(row, 2, &isnull)) != ICO_ABANDONED ||
		DatumGetInt32(ico_column(row, 3, &isnull)) != c->episode)
		c->reason = "customer_returned";
	else if (DatumGetBool(ico_column(row, 4, &isnull)) && c->campaign != NULL)
		c->reason = "lost";		/* by hand a lost one may be mailed, too */
	else if (bot)
		c->reason = "bot";
	else if (c->email == NULL)
		c->reason = "no_recipient";
	else if (c->unwanted != NULL)
		c->reason = text_to_cstring(c->unwanted);
}

/* the arrays by which statements find the orders of claims: number, shop_id, id */
static int
order_arrays(Claiming *claiming, bool left, Datum *values)
{
	Datum	   *numbers = palloc((claiming->n + 1) * sizeof(Datum));
	Datum	   *shops = palloc((claiming->n + 1) * sizeof(Datum));
	Datum	   *ids = palloc((claiming->n + 1) * sizeof(Datum));
	int			n = 0;

	for (int i = 0; i < claiming->n; i++)
	{
		IcoClaim   *c = claiming->claims[i];

		if (c->reason != NULL || (left && c->locked))
			continue;
		numbers[n] = Int32GetDatum(i);
		shops[n] = Int32GetDatum(c->shop_id);
		ids[n++] = UUIDPGetDatum(&c->order_id);
	}
	values[0] = ico_array_of(numbers, n, INT4OID);
	values[1] = ico_array_of(shops, n, INT4OID);
	values[2] = ico_array_of(ids, n, UUIDOID);
	return n;
}

/*
 * What became of orders that could not be locked: closed, or gone, or open and
 * somebody has them.
 */
static void
ask_for_others(Claiming *claiming)
{
	static IcoPlan plan = {
		"AAU",
		"SELECT k.n, EXISTS (SELECT FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "k.shop_id AND o.id" EQ "k.id),"
		" (SELECT c.status::pg_catalog.text FROM incomplete_orders.closed_orders c"
		"  WHERE c.shop_id" EQ "k.shop_id AND c.id" EQ "k.id)"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) k (n, shop_id, id)"
	};
	Datum		values[3];
	uint64		rows;
	bool		isnull;

	if (order_arrays(claiming, true, values) == 0)
		return;
	rows = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		IcoClaim   *c = claiming->claims[DatumGetInt32(ico_column(i, 1, &isnull))];
		text	   *status = text_column(i, 3);

		c->later = DatumGetBool(ico_column(i, 2, &isnull));
		if (!c->later)
			c->reason = status == NULL ? "deleted" : text_to_cstring(status);
	}
}

static void
lock_orders(void *arg)
{
	static IcoPlan plan = {
		"AAUz",
		"SELECT k.n, o.status, o.episode, o.lost_at IS NOT NULL, o.bot, o.email, o.customer_id, o.phone, o.name,"
		" o.reference, o.kind, o.currency, incomplete_orders._mailed_items(o.items, s.exclusions), o.context" ARROW_TEXT "'locale', o.id, o.expires_at, o.abandoned_at,"
		" o.shipping, o.tax, o.discount, o.coupon_discount, "
		ICO_UNWANTED("o", "s", "incomplete_orders._person_keys(o.shop_id, o.customer_id, o.email, o.phone)") ", "
		ICO_AWAKE("o", "s", "$4") ", s.min_gap, s.cap_per_episode, s.cap_per_person,"
		" incomplete_orders.item_count(incomplete_orders._mailed_items(o.items, s.exclusions))" LT "incomplete_orders.item_count(o.items),"
		" s.availability IS NOT NULL, o.attachment IS NOT NULL,"
		" incomplete_orders._sale_fault(o.shop_id, o.currency, o.items, s.exclusions)"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) k (n, shop_id, id) CROSS JOIN LATERAL (SELECT q.*"
		"  FROM incomplete_orders.open_orders q WHERE q.shop_id" EQ "k.shop_id AND q.id" EQ "k.id"
		"  LIMIT 1 FOR SHARE SKIP LOCKED) o JOIN incomplete_orders.shops s ON s.shop_id" EQ "o.shop_id"
	};
	Claiming   *claiming = arg;
	Datum		values[4];
	int			wanted = order_arrays(claiming, false, values);
	uint64		rows;
	bool		isnull;

	if (wanted == 0)
		return;
	values[3] = TimestampTzGetDatum(claiming->now);
	rows = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < rows; i++)
		read_order(claiming->claims[DatumGetInt32(ico_column(i, 1, &isnull))], i);
	if (rows < wanted)
		ask_for_others(claiming);
}

/* ---- persons ---- */

typedef struct Keys
{
	int			n;
	Datum	   *numbers;
	Datum	   *shops;
	Datum	   *persons;
	Datum	   *since;
} Keys;

static void
make_keys(Keys *keys, int size)
{
	keys->n = 0;
	keys->numbers = palloc((size + 1) * sizeof(Datum));
	keys->shops = palloc((size + 1) * sizeof(Datum));
	keys->persons = palloc((size + 1) * sizeof(Datum));
	keys->since = palloc((size + 1) * sizeof(Datum));
}

static void
add_keys(Keys *keys, int number, const IcoClaim *c, const int64 *persons, int n)
{

	for (int i = 0; i < n; i++)
	{
		keys->numbers[keys->n] = Int32GetDatum(number);
		keys->shops[keys->n] = Int32GetDatum(c->shop_id);
		keys->persons[keys->n] = Int64GetDatum(persons[i]);
		keys->since[keys->n++] = TimestampTzGetDatum(c->abandoned_at);
	}
}

/* Whether the person is suppressed, by any key (a forgotten customer is by number), and has ordered since. */
static void
check_persons(Claiming *claiming)
{
	static IcoPlan plan = {
		"AALZ",
		"SELECT k.n, s.reason FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) k (n, shop_id, person)"
		" CROSS JOIN LATERAL (SELECT p.reason FROM incomplete_orders.suppressions p"
		"  WHERE p.shop_id" EQ "k.shop_id AND p.person" EQ "k.person AND p.scope" NE "'data' LIMIT 1) s"
		" UNION ALL SELECT k.n, 'ordered' FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4)) k (n, shop_id, person, since)"
		" CROSS JOIN LATERAL (SELECT FROM incomplete_orders.person_orders p"
		"  WHERE p.shop_id" EQ "k.shop_id AND p.person" EQ "k.person AND p.ordered_at" GE "k.since LIMIT 1) o"
	};
	Keys		person;
	Datum		values[4];
	uint64		rows;
	bool		isnull;

	make_keys(&person, claiming->n * ICO_PERSON_KEYS);
	for (int i = 0; i < claiming->n; i++)
	{
		IcoClaim   *c = claiming->claims[i];

		if (!c->locked || c->reason != NULL)
			continue;
		c->n_persons = ico_person_keys(c->shop_id, c->customer_id, c->email, c->phone, c->persons);
		add_keys(&person, i, c, c->persons, c->n_persons);
	}
	if (person.n == 0)
		return;
	values[0] = ico_array_of(person.numbers, person.n, INT4OID);
	values[1] = ico_array_of(person.shops, person.n, INT4OID);
	values[2] = ico_array_of(person.persons, person.n, INT8OID);
	values[3] = ico_array_of(person.since, person.n, TIMESTAMPTZOID);
	rows = ico_execute(&plan, values, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		IcoClaim   *c = claiming->claims[DatumGetInt32(ico_column(i, 1, &isnull))];

		/* that it is suppressed says more, and stands first */
		if (c->reason == NULL)
			c->reason = text_to_cstring(text_column(i, 2));
	}
}

/* ---- what is written ---- */

#define END_MESSAGES(set) \
	"WITH e AS (UPDATE incomplete_orders.messages m SET " set ", reason = k.reason" \
	"  FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) k (row, reason) WHERE m.ctid" EQ "k.row RETURNING m.*)" \
	" INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, ordinal, message_id, at, reason)" \
	" SELECT e.shop_id, e.order_id, e.episode, e.campaign, e.step, e.ordinal, e.id, $3, e.reason FROM e"

/* Those with a reason are cancelled, or dead; each with a row of the ledger. */
static void
end_messages(Claiming *claiming, bool dead)
{
	static IcoPlan cancel = {"RTz", END_MESSAGES("status = 'cancelled'")};
	static IcoPlan kill = {"RTz", END_MESSAGES("status = 'dead', due_at = $3")};
	Datum	   *rows = palloc((claiming->n + 1) * sizeof(Datum));
	text	  **reasons = palloc((claiming->n + 1) * sizeof(text *));
	Datum		values[3];
	int			n = 0;

	for (int i = 0; i < claiming->n; i++)
	{
		IcoClaim   *c = claiming->claims[i];

		if (c->reason == NULL || c->dead != dead)
			continue;
		rows[n] = PointerGetDatum(&c->row);
		reasons[n++] = cstring_to_text(c->reason);
	}
	if (n == 0)
		return;
	values[0] = ico_array_of(rows, n, TIDOID);
	values[1] = text_array(reasons, n);
	values[2] = TimestampTzGetDatum(claiming->now);
	(void) ico_execute(dead ? &kill : &cancel, values, NULL);
	for (int i = 0; dead && i < claiming->n; i++)
	{
		IcoClaim   *c = claiming->claims[i];
		IcoMessageEvent event = {.event = "message_failed", .at = claiming->now, .by_clock = true, .reason = c->reason};

		if (c->dead)
			(void) ico_append_message_event(c->shop_id, &c->id, &event);
	}
}

/* The lease. */
static void
lease_messages(Claiming *claiming, IcoClaim **claims, int n)
{
	static IcoPlan plan = {
		"RTTzt",
		"UPDATE incomplete_orders.messages m SET status = 'sending', due_at = $4, attempts = m.attempts" PLUS "1,"
		" token = m.token" PLUS "1, claimed_by = $5, recipient = k.recipient, mail_message_id = k.mail_message_id"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3)) k (row, recipient, mail_message_id) WHERE m.ctid" EQ "k.row"
	};
	Datum	   *rows = palloc((n + 1) * sizeof(Datum));
	text	  **recipients = palloc((n + 1) * sizeof(text *));
	text	  **mail_ids = palloc((n + 1) * sizeof(text *));
	Datum		values[5];

	for (int i = 0; i < n; i++)
	{
		rows[i] = PointerGetDatum(&claims[i]->row);
		recipients[i] = claims[i]->email;
		mail_ids[i] = claims[i]->mail_message_id;
	}
	values[0] = ico_array_of(rows, n, TIDOID);
	values[1] = text_array(recipients, n);
	values[2] = text_array(mail_ids, n);
	values[3] = TimestampTzGetDatum(claiming->until);
	values[4] = PointerGetDatum(claiming->worker);
	if (ico_execute(&plan, values, NULL) != n)
		elog(ERROR, "message vanished under its lock");
	ico_note_recipients(claims, n);
}

static void
give_back(Claiming *claiming, const IcoClaim *c)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = UUIDPGetDatum(&c->id);
	values[1] = Int64GetDatum(c->token + 1);
	values[2] = PointerGetDatum(ico_claim_shop(c));
	values[3] = PointerGetDatum(c->email);
	values[4] = PointerGetDatum(ico_claim_message(c));
	tuplestore_putvalues(claiming->rsinfo->setResult, claiming->rsinfo->setDesc, values, nulls);
	claiming->claimed++;
}

/* Looks again at what was locked, and settles all of it. */
static void
settle_lot(Claiming *claiming)
{
	IcoClaim  **good = palloc((claiming->n + 1) * sizeof(IcoClaim *));
	int			n = 0;

	ico_decide_by(claiming->stocks, claiming->n_stocks, lock_orders, claiming);
	check_persons(claiming);
	ico_time_claims(claiming->claims, claiming->n, claiming->now);
	apply_told(claiming);
	apply_stock(claiming);
	end_messages(claiming, false);
	end_messages(claiming, true);
	for (int i = 0; i < claiming->n; i++)
	{
		if (claiming->claims[i]->locked && claiming->claims[i]->reason == NULL && !claiming->claims[i]->later)
			good[n++] = claiming->claims[i];
	}
	if (n == 0)
		return;
	ico_claim_texts(good, n);
	ico_claim_coupons(good, n, claiming->now);
	lease_messages(claiming, good, n);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		give_back(claiming, good[i]);
	}
}

/* Locks up to a batch, settles it; again while nothing of it could be claimed. */
static void
claim_from_list(Claiming *claiming)
{
	while (claiming->claimed == 0 && n_due_shops > 0)
	{
		claiming->n = 0;
		while (claiming->n < claiming->batch && n_due_shops > 0)
		{
			CHECK_FOR_INTERRUPTS();
			if (!claiming->has_locks)
				ask_shops(claiming);
			if (lock_round(claiming, claiming->batch - claiming->n) > 0)
				claiming->has_locks = true;
		}
		if (claiming->n > 0)
			settle_lot(claiming);
	}
}

/* ---- the functions ---- */

static void
require_read_committed(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("claim_messages() works in READ COMMITTED only"),
				 errdetail("A message is claimed after a look at its order as it is now, and an older snapshot shows it as it was."),
				 errhint("Call it outside of transactions, or begin them with BEGIN ISOLATION LEVEL READ COMMITTED.")));
}

static void
read_arguments(FunctionCallInfo fcinfo, Claiming *claiming)
{
	int64		lease = PG_ARGISNULL(2) ? 0 : ico_span(PG_GETARG_DATUM(2));

	if (PG_ARGISNULL(0) || VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0 ||
		VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) > MAX_WORKER_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"worker\" must be a name of 1 to %d bytes", MAX_WORKER_BYTES),
				 errhint("Name the program and its host: it is kept with what it claims.")));
	if (PG_ARGISNULL(1) || PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"batch\" must be from 1 to %d", MAX_BATCH),
				 errhint("A hundred is a good number.")));
	if (lease < USECS_PER_SEC || lease > USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"lease\" must be from a second to a day"),
				 errhint("It is how long nobody else may send the message; extend_message() makes it longer.")));
	claiming->worker = PG_GETARG_TEXT_PP(0);
	claiming->batch = PG_GETARG_INT32(1);
	claiming->now = GetCurrentTimestamp();
	claiming->lease = lease;
	claiming->until = claiming->now + lease;
}

/* claim_messages(worker, batch, lease) */
Datum
ico_claim_messages(PG_FUNCTION_ARGS)
{
	Claiming	claiming = {0};
	bool		fresh;

	InitMaterializedSRF(fcinfo, 0);
	claiming.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	require_read_committed();
	ico_refuse_in_hook();
	read_arguments(fcinfo, &claiming);
	SPI_connect();
	ico_enter_any_shop(ICO_RIGHT_claim_messages);
	claiming.size = Min(claiming.batch, 1024);
	claiming.claims = palloc(claiming.size * sizeof(IcoClaim *));
	claiming.stocks = palloc(sizeof(IcoStock *));
	fresh = list_is_old(claiming.now);
	if (fresh)
		make_list(claiming.now);
	claim_from_list(&claiming);
	if (claiming.claimed == 0 && !fresh && list_is_old(claiming.now))
	{
		make_list(claiming.now);
		claim_from_list(&claiming);
	}
	for (int i = 0; i < claiming.n_stocks; i++)
		ico_note_stock(claiming.stocks[i]);
	SPI_finish();
	return (Datum) 0;
}

/* _next_message_due() */
Datum
ico_next_message_due(PG_FUNCTION_ARGS)
{
	TimestampTz next = DT_NOEND;
	DueShop    *found;
	int			n;

	SPI_connect();
	ico_enter_any_shop(ICO_RIGHT__next_message_due);
	found = first_waiting(&n);
	for (int i = 0; i < n; i++)
		next = Min(next, found[i].due_at);
	SPI_finish();
	if (next == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next);
}

/*
 * attach_claim.c
 *		A last look into a shop's own tables before a message leaves.
 *
 * Marks are read by tick, once a minute perhaps.  A cart that was bought ten seconds
 * ago is still an abandoned one here, and nobody wants to be reminded of what they
 * just bought.  So a claim reads the carts that are next in its queue, before it
 * locks anything, as the role that attached: only orders whose cart is in the shop
 * as it is here are mailed.  The others become due to be read by tick, and wait; so
 * do all while the shop's tables cannot be read.
 *
 * Locks: none while it reads.  Memory: the caller's context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "attach.h"
#include "facts.h"
#include "line_items.h"
#include "plan.h"
#include "queue.h"

/* An order that waits to be mailed. */
typedef struct Waiting
{
	pg_uuid_t	id;
	int32		attachment;
	text	   *key;
	LineItems  *items;
	text	   *email;
} Waiting;

static int
compare_waiting(const void *a, const void *b)
{
	const Waiting *x = a;
	const Waiting *y = b;

	if (x->attachment != y->attachment)
		return x->attachment < y->attachment ? -1 : 1;
	return ico_compare_texts(x->key, y->key);
}

static Waiting *
read_waiting(int32 shop_id, const IcoPlace *after, TimestampTz now, int most, int *n)
{
	static IcoPlan plan = {
		"izuzi",
		"SELECT o.id, o.attachment, o.cart_key, o.items, o.email FROM"
		" (SELECT q.order_id FROM incomplete_orders.messages q WHERE q.shop_id" EQ "$1"
		"  AND q.status" EQ "ANY ('{queued,sending}'::incomplete_orders.message_status[])"
		"  AND ROW(q.due_at, q.id)" GT "ROW($2, $3) AND q.due_at" LE "$4 ORDER BY q.due_at, q.id LIMIT $5) m"
		" JOIN incomplete_orders.open_orders o ON o.shop_id" EQ "$1 AND o.id" EQ "m.order_id"
		" WHERE o.attachment IS NOT NULL AND o.cart_key IS NOT NULL"
	};
	Datum		values[5] = {
		Int32GetDatum(shop_id), TimestampTzGetDatum(after->due_at), UUIDPGetDatum(&after->id), TimestampTzGetDatum(now),
		Int32GetDatum(most)
	};
	Waiting    *waiting;
	bool		isnull;

	*n = (int) ico_execute(&plan, values, NULL);
	waiting = palloc((*n + 1) * sizeof(Waiting));
	for (int i = 0; i < *n; i++)
	{
		Datum		email;

		waiting[i].id = *DatumGetUUIDP(ico_column(i, 1, &isnull));
		waiting[i].attachment = DatumGetInt32(ico_column(i, 2, &isnull));
		waiting[i].key = DatumGetTextPP(ico_column(i, 3, &isnull));
		waiting[i].items = DatumGetLineItemsP(ico_column(i, 4, &isnull));
		email = ico_column(i, 5, &isnull);
		waiting[i].email = isnull ? NULL : DatumGetTextPP(email);
	}
	qsort(waiting, *n, sizeof(Waiting), compare_waiting);
	return waiting;
}

/* Whether the shop has the cart as it is here: nothing was bought, added, taken out or handed over. */
static bool
is_unchanged(const IcoAttachment *attachment, const IcoCart *cart, const Waiting *waiting)
{
	IcoCartValues values;
	const IcoFacts *facts = &values.facts;

	if (cart == NULL)
		return false;
	for (int i = 0; i < ICO_C_TRUTHS; i++)
	{
		if (cart->truths[i])
			return false;
	}
	ico_cart_values(attachment, cart, &values);
	if (values.fault != NULL || ico_items_lines(values.items) == 0 || !ico_same_content(values.items, waiting->items))
		return false;
	return !(facts->given & ICO_FACT_BIT(ICO_F_EMAIL)) || facts->nulls[ICO_F_EMAIL] || waiting->email == NULL ||
		ico_compare_texts(DatumGetTextPP(facts->values[ICO_F_EMAIL]), waiting->email) == 0;
}

static void
add_told(IcoTold *told, const pg_uuid_t *id)
{
	if (told->n == told->size)
	{
		told->size = Max(64, told->size * 2);
		told->ids = told->ids == NULL ? palloc(told->size * sizeof(pg_uuid_t)) :
			repalloc(told->ids, told->size * sizeof(pg_uuid_t));
	}
	told->ids[told->n++] = *id;
}

/* Tick is to read it: nobody acted, as far as this knows. */
static void
make_due(const Waiting *waiting)
{
	static IcoPlan plan = {
		"itz",
		"INSERT INTO incomplete_orders.due_carts AS d (attachment, path, key, first_marked_at, marked_at) VALUES ($1, -1, $2, $3, $3)"
		" ON CONFLICT (attachment, path, key) DO NOTHING"
	};
	Datum		values[3] = {
		Int32GetDatum(waiting->attachment), PointerGetDatum(waiting->key), TimestampTzGetDatum(GetCurrentTimestamp())
	};

	(void) ico_execute(&plan, values, NULL);
}

/* The carts of one attachment. */
static void
ask_attachment(IcoTold *told, const Waiting *waiting, int n)
{
	IcoAttachment attachment;
	IcoTrouble	trouble;
	Datum	   *keys = palloc(n * sizeof(Datum));
	IcoCart    *carts;
	int			n_carts;
	int			next = 0;

	if (!ico_attachment(waiting[0].attachment, false, &attachment))
		return;
	for (int i = 0; i < n; i++)
		keys[i] = PointerGetDatum(waiting[i].key);
	if (!ico_read_carts(&attachment, DatumGetArrayTypeP(ico_array_of(keys, n, TEXTOID)), &carts, &n_carts, &trouble))
		return;					/* tick finds that too, and says so */
	for (int i = 0; i < n; i++)
	{
		IcoCart    *cart;

		CHECK_FOR_INTERRUPTS();
		while (next < n_carts && ico_compare_texts(carts[next].texts[ICO_C_KEY], waiting[i].key) < 0)
			next++;
		cart = next < n_carts && ico_compare_texts(carts[next].texts[ICO_C_KEY], waiting[i].key) == 0 ? &carts[next] : NULL;
		if (is_unchanged(&attachment, cart, &waiting[i]))
			add_told(told, &waiting[i].id);
		else
			make_due(&waiting[i]);
	}
}

bool
ico_ask_carts(int32 shop_id, const IcoPlace *after, TimestampTz now, int most, IcoTold *told)
{
	int			n;
	Waiting    *waiting = read_waiting(shop_id, after, now, most, &n);

	for (int first = 0; first < n;)
	{
		int			last = first;

		while (last < n && waiting[last].attachment == waiting[first].attachment)
			last++;
		ask_attachment(told, &waiting[first], last - first);
		first = last;
	}
	return n > 0;
}

bool
ico_was_told(const IcoTold *told, const pg_uuid_t *id)
{
	for (int i = 0; i < told->n; i++)
	{
		if (memcmp(&told->ids[i], id, sizeof(pg_uuid_t)) == 0)
			return true;
	}
	return false;
}

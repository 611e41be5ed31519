/*
 * attach_list.c
 *		All carts of an attachment become due: attach(), reconcile(), TRUNCATE.
 *
 * A row of due_carts with the key '' asks for it.  It is done in bounded batches:
 * first the carts that are open here, whatever became of them in the shop, then
 * those that are open in the shop, in the order of their ids.  How far it is
 * stands in attached_tables (list_phase, list_after), so it goes on after a crash
 * and in another session.  What asks again meanwhile is another listing.
 *
 * Each cart becomes a row of path -1: nobody acted, it is only told of again.
 *
 * Memory: the keys of one batch, in the caller's context.  Locks: those rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "attach.h"
#include "compat.h"
#include "plan.h"

#define BATCH 1000

typedef enum Phase
{
	NOT_BEGUN, OURS, THEIRS
} Phase;

/* One batch of keys. */
typedef struct Keys
{
	MemoryContext context;
	Datum	   *values;
	int			n;
} Keys;

static void
read_keys(void *arg, uint64 rows)
{
	Keys	   *keys = arg;
	MemoryContext old = MemoryContextSwitchTo(keys->context);
	bool		isnull;

	keys->values = palloc((rows + 1) * sizeof(Datum));
	for (uint64 i = 0; i < rows; i++)
	{
		Datum		value;

		CHECK_FOR_INTERRUPTS();
		value = ico_column(i, 1, &isnull);
		if (!isnull)
			keys->values[keys->n++] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	}
	MemoryContextSwitchTo(old);
}

static void
put_due(int32 attachment, const Keys *keys)
{
	static IcoPlan plan = {
		"iT", "INSERT INTO incomplete_orders.due_carts AS d (attachment, path, key, first_marked_at, marked_at)"
		" SELECT $1, -1, k.key, a.list_mark, a.list_mark FROM pg_catalog.unnest($2) AS k (key), incomplete_orders.attached_tables a"
		" WHERE a.attachment" EQ "$1 AND k.key" NE "''"
		" ON CONFLICT ON CONSTRAINT due_carts_pkey DO UPDATE SET marked_at = GREATEST(d.marked_at, excluded.marked_at)"
	};
	Datum		values[2] = {
		Int32GetDatum(attachment), PointerGetDatum(construct_array(keys->values, keys->n, TEXTOID, -1, false, TYPALIGN_INT))
	};

	if (keys->n > 0)
		(void) ico_execute(&plan, values, NULL);
}

/* What asked for a listing becomes one row; false: nothing did. */
static bool
begin_listing(int32 attachment)
{
	static IcoPlan gather = {
		"i", "WITH asked AS (DELETE FROM incomplete_orders.due_carts WHERE attachment" EQ "$1 AND key" EQ "''"
		"  RETURNING first_marked_at, marked_at)"
		" SELECT pg_catalog.min(first_marked_at), pg_catalog.max(marked_at) FROM asked HAVING pg_catalog.count(*)" GT "0"
	};
	static IcoPlan keep = {
		"izz", "INSERT INTO incomplete_orders.due_carts (attachment, path, key, first_marked_at, marked_at) VALUES ($1, -1, '', $2, $3)"
	};
	Datum		values[3] = {Int32GetDatum(attachment)};
	bool		isnull;

	if (ico_execute(&gather, values, NULL) == 0)
		return false;
	values[1] = ico_column(0, 1, &isnull);
	values[2] = ico_column(0, 2, &isnull);
	(void) ico_execute(&keep, values, NULL);
	return true;
}

static void
go_on(int32 attachment, Phase phase, Datum after)
{
	static IcoPlan plan = {
		"iit", "UPDATE incomplete_orders.attached_tables SET list_phase = $2, list_after = $3, list_mark = CASE WHEN $2" NE "1 OR $3 IS NOT NULL THEN list_mark"
		" ELSE (SELECT d.marked_at FROM incomplete_orders.due_carts d WHERE d.attachment" EQ "$1 AND d.path" EQ "-1 AND d.key" EQ "'') END"
		" WHERE attachment" EQ "$1"
	};
	Datum		values[3] = {Int32GetDatum(attachment), Int32GetDatum(phase), after};

	(void) ico_execute(&plan, values, after == (Datum) 0 ? "  n" : NULL);
}

/* True when something asks for another one. */
static bool
end_listing(int32 attachment)
{
	static IcoPlan done = {
		"i", "DELETE FROM incomplete_orders.due_carts d USING incomplete_orders.attached_tables a WHERE d.attachment" EQ "$1"
		" AND d.path" EQ "-1 AND d.key" EQ "'' AND a.attachment" EQ "$1 AND d.marked_at" EQ "a.list_mark"
	};
	static IcoPlan asked = {"i", "SELECT FROM incomplete_orders.due_carts WHERE attachment" EQ "$1 AND key" EQ "'' LIMIT 1"};
	Datum		values[1] = {Int32GetDatum(attachment)};

	(void) ico_execute(&done, values, NULL);
	go_on(attachment, NOT_BEGUN, (Datum) 0);
	return ico_execute(&asked, values, NULL) > 0;
}

bool
ico_list_carts(const IcoAttachment *attachment, TimestampTz at, bool *more, IcoTrouble *trouble)
{
	static IcoPlan where_plan = {"i", "SELECT list_phase::pg_catalog.int4, list_after FROM incomplete_orders.attached_tables WHERE attachment" EQ "$1"};
	static IcoPlan ours = {
		"iit", "SELECT cart_key FROM incomplete_orders.open_orders WHERE shop_id" EQ "$1 AND attachment" EQ "$2 AND cart_key IS NOT NULL"
		" AND ($3 IS NULL OR cart_key" GT "$3) ORDER BY cart_key LIMIT 1000"
	};
	Keys		keys = {CurrentMemoryContext, NULL, 0};
	Datum		values[3] = {Int32GetDatum(attachment->attachment)};
	Datum		after = (Datum) 0;
	Phase		phase;
	bool		isnull;

	*more = false;
	if (ico_execute(&where_plan, values, NULL) == 0)
		return true;
	phase = (Phase) DatumGetInt32(ico_column(0, 1, &isnull));
	values[0] = ico_column(0, 2, &isnull);
	if (!isnull)
		after = PointerGetDatum(PG_DETOAST_DATUM_COPY(values[0]));
	if (phase == NOT_BEGUN)
	{
		if (!begin_listing(attachment->attachment))
			return true;
		phase = OURS;
		after = (Datum) 0;
		go_on(attachment->attachment, phase, after);
	}
	if (phase == OURS)
	{
		values[0] = Int32GetDatum(attachment->shop.shop_id);
		values[1] = Int32GetDatum(attachment->attachment);
		values[2] = after;
		read_keys(&keys, ico_execute(&ours, values, after == (Datum) 0 ? "  n" : NULL));
	}
	else
	{
		Oid			types[2] = {TEXTOID, INT4OID};

		values[0] = after;
		values[1] = Int32GetDatum(BATCH);
		if (!ico_read_as(attachment, attachment->list_query, 2, types, values, after == (Datum) 0 ? "n " : "  ", read_keys, &keys, trouble))
			return false;
	}
	put_due(attachment->attachment, &keys);
	*more = true;
	if (keys.n == BATCH)
		go_on(attachment->attachment, phase, keys.values[keys.n - 1]);
	else if (phase == OURS)
		go_on(attachment->attachment, THEIRS, (Datum) 0);
	else
		*more = end_listing(attachment->attachment);
	return true;
}

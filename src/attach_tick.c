/*
 * attach_tick.c
 *		tick's share in attached shops: which carts are due, and reading them.
 *
 * A batch is one transaction and of one attachment, so that a slow or broken shop
 * holds up no other: tick goes round by round.  First "all of them" becomes a row for
 * each cart, then what is watched beside a cart becomes the carts that it is about,
 * then carts are read that have come to rest, or change for a minute already.
 *
 * Locks: tick's advisory lock; the attachment's row FOR SHARE, so that detach() and a
 * new mapping wait for the batch; those of applying (attach_apply.c).  Memory: the SPI
 * context of the call.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "attach.h"
#include "compat.h"
#include "hook.h"
#include "plan.h"
#include "queue.h"
#include "tick.h"

/* carts that change all the time are read nevertheless after this */
#define LONGEST_REST USECS_PER_MINUTE
/* keys that are listed, or looked up from what is watched, in one batch */
#define MANY_KEYS 5000

PG_FUNCTION_INFO_V1(ico_tick_attachments);
PG_FUNCTION_INFO_V1(ico_tick_carts);

/* Carts, and the keys by which they were found. */
typedef struct Keys
{
	MemoryContext context;
	Datum	   *carts;
	Datum	   *marked;
	int			n;
} Keys;

static void
read_keys(void *arg, uint64 rows)
{
	Keys	   *keys = arg;
	MemoryContext old = MemoryContextSwitchTo(keys->context);

	if (SPI_tuptable->tupdesc->natts < 2 || SPI_gettypeid(SPI_tuptable->tupdesc, 1) != TEXTOID ||
		SPI_gettypeid(SPI_tuptable->tupdesc, 2) != TEXTOID)
		elog(ERROR, "a query of keys gives something else");
	keys->carts = palloc((rows + 1) * sizeof(Datum));
	keys->marked = palloc((rows + 1) * sizeof(Datum));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		no_cart;
		bool		not_marked;
		Datum		cart = ico_column(i, 1, &no_cart);
		Datum		marked = ico_column(i, 2, &not_marked);

		CHECK_FOR_INTERRUPTS();
		if (no_cart || not_marked || VARSIZE_ANY_EXHDR(DatumGetPointer(cart)) == 0)
			continue;
		keys->carts[keys->n] = PointerGetDatum(PG_DETOAST_DATUM_COPY(cart));
		keys->marked[keys->n++] = PointerGetDatum(PG_DETOAST_DATUM_COPY(marked));
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
}

/* --- what is watched beside carts ---------------------------------------------------- */

/* The query that finds the carts for the keys of a path; NULL: they are the carts' own. */
static char *
key_query(const IcoAttachment *attachment, int path)
{
	char		name[16];
	JsonbValue	buffer;
	JsonbValue *found;

	snprintf(name, sizeof(name), "%d", path);
	found = getKeyJsonValueFromContainer(&attachment->key_queries->root, name, strlen(name), &buffer);
	return found == NULL || found->type != jbvString ? NULL : pnstrdup(found->val.string.val, found->val.string.len);
}

/*
 * Each cart has the instants of what it was found by; how a key is written there and
 * here may differ, then those of all of them.
 */
static void
put_due(const IcoAttachment *attachment, int path, Datum carts, Datum marked, TimestampTz first, TimestampTz last)
{
	static IcoPlan plan = {
		"iiTTzz",
		"INSERT INTO incomplete_orders.due_carts AS d (attachment, path, key, first_marked_at, marked_at)"
		" SELECT $1, 0, k.cart, pg_catalog.min(COALESCE(m.first_marked_at, $5)), pg_catalog.max(COALESCE(m.marked_at, $6))"
		" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) k (cart, marked) LEFT JOIN incomplete_orders.due_carts m"
		" ON m.attachment" EQ "$1 AND m.path" EQ "$2 AND m.key" EQ "k.marked GROUP BY k.cart"
		" ON CONFLICT (attachment, path, key) DO UPDATE SET first_marked_at = LEAST(d.first_marked_at, excluded.first_marked_at),"
		" marked_at = GREATEST(d.marked_at, excluded.marked_at), retry_at = NULL"
	};
	Datum		values[6] = {
		Int32GetDatum(attachment->attachment), Int32GetDatum(path), carts, marked, TimestampTzGetDatum(first),
		TimestampTzGetDatum(last)
	};

	(void) ico_execute(&plan, values, NULL);
}

/* Rows of one path become rows of carts; false when the shop's tables cannot be read. */
static bool
translate_path(const IcoAttachment *attachment, int path, Datum marked, TimestampTz first, TimestampTz last, IcoTrouble *trouble)
{
	static IcoPlan forget = {
		"iiTz",
		"DELETE FROM incomplete_orders.due_carts d WHERE d.attachment" EQ "$1 AND d.path" EQ "$2 AND d.key" EQ "ANY ($3)"
		" AND d.marked_at" LE "$4"
	};
	Datum		values[4] = {Int32GetDatum(attachment->attachment), Int32GetDatum(path), marked, TimestampTzGetDatum(last)};
	Keys		keys = {CurrentMemoryContext};
	char	   *query = key_query(attachment, path);
	Oid			type = TEXTARRAYOID;

	if (query == NULL)
		put_due(attachment, path, marked, marked, first, last);
	else if (!ico_read_as(attachment, query, 1, &type, &marked, NULL, read_keys, &keys, trouble))
		return false;
	else
		put_due(attachment, path, ico_array_of(keys.carts, keys.n, TEXTOID), ico_array_of(keys.marked, keys.n, TEXTOID), first, last);
	(void) ico_execute(&forget, values, NULL);
	return true;
}

static bool
translate_watched(const IcoAttachment *attachment, bool *more, IcoTrouble *trouble)
{
	static IcoPlan plan = {
		"ii",
		"SELECT d.path, pg_catalog.array_agg(d.key), pg_catalog.min(d.first_marked_at), pg_catalog.max(d.marked_at)"
		" FROM (SELECT q.* FROM incomplete_orders.due_carts q WHERE q.attachment" EQ "$1 AND q.path" GE "3 AND q.key" NE "''"
		"  LIMIT $2) d GROUP BY d.path"
	};
	Datum		values[2] = {Int32GetDatum(attachment->attachment), Int32GetDatum(MANY_KEYS)};
	uint64		n = ico_execute(&plan, values, NULL);
	SPITupleTable *rows = SPI_tuptable;
	uint64		keys = 0;
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		Datum		marked = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull);

		CHECK_FOR_INTERRUPTS();
		keys += ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(marked)), ARR_DIMS(DatumGetArrayTypeP(marked)));
		if (!translate_path(attachment, DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull)), marked,
							DatumGetTimestampTz(SPI_getbinval(rows->vals[i], rows->tupdesc, 3, &isnull)),
							DatumGetTimestampTz(SPI_getbinval(rows->vals[i], rows->tupdesc, 4, &isnull)), trouble))
			return false;
	}
	*more = *more || keys == MANY_KEYS;
	return true;
}

/* --- carts ---------------------------------------------------------------------------- */

/* rows that are about a cart itself */
#define CART_PATHS "ANY ('{-1,0,1,2}')"
#define IS_DUE(row, at) "(" row ".retry_at IS NULL OR " row ".retry_at" LE "GREATEST(pg_catalog.clock_timestamp(), " at "))"

typedef struct Due
{
	IcoDueCart *carts;
	int			n;
} Due;

static void
find_due(const IcoAttachment *attachment, TimestampTz at, int most, Due *due)
{
	static IcoPlan plan = {
		"iizzz",
		"SELECT d.key, pg_catalog.min(d.first_marked_at), pg_catalog.max(d.marked_at),"
		" pg_catalog.min(d.first_marked_at) FILTER (WHERE d.path" NE "-1), pg_catalog.max(d.marked_at) FILTER (WHERE d.path" NE "-1)"
		" FROM incomplete_orders.due_carts d WHERE d.attachment" EQ "$1 AND d.path" EQ CART_PATHS " AND d.key" NE "'' AND " IS_DUE("d", "$5")
		" GROUP BY d.key HAVING pg_catalog.max(d.marked_at)" LE "$3 OR pg_catalog.min(d.first_marked_at)" LE "$4"
		" ORDER BY 2 LIMIT $2"
	};
	Datum		values[5] = {
		Int32GetDatum(attachment->attachment), Int32GetDatum(most),
		TimestampTzGetDatum(at - attachment->settle), TimestampTzGetDatum(at - LONGEST_REST), TimestampTzGetDatum(at)
	};
	bool		isnull;

	due->n = (int) ico_execute(&plan, values, NULL);
	due->carts = palloc0((due->n + 1) * sizeof(IcoDueCart));
	for (int i = 0; i < due->n; i++)
	{
		IcoDueCart *cart = &due->carts[i];
		Datum		marked;

		cart->key = (text *) PG_DETOAST_DATUM_COPY(ico_column(i, 1, &isnull));
		cart->read_until = DatumGetTimestampTz(ico_column(i, 3, &isnull));
		marked = ico_column(i, 5, &cart->repeated);
		cart->marked_at = cart->repeated ? cart->read_until : DatumGetTimestampTz(marked);
		cart->first_marked_at = DatumGetTimestampTz(ico_column(i, cart->repeated ? 2 : 4, &isnull));
	}
}

/* Both are sorted by key. */
static void
give_carts(IcoDueCart *due, int n_due, IcoCart *carts, int n)
{
	int			next = 0;

	for (int i = 0; i < n_due; i++)
	{
		while (next < n && ico_compare_texts(carts[next].texts[ICO_C_KEY], due[i].key) < 0)
			next++;
		if (next < n && ico_compare_texts(carts[next].texts[ICO_C_KEY], due[i].key) == 0)
			due[i].cart = &carts[next];
	}
}

static int
compare_due(const void *a, const void *b)
{
	return ico_compare_texts(((const IcoDueCart *) a)->key, ((const IcoDueCart *) b)->key);
}

/* Whether a query failed by a value, of one cart perhaps, and not by what it asks for. */
static bool
by_a_value(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION;
}

/*
 * Reads carts; where a value of one of them makes the query fail, they are halved
 * until it stands alone, and is refused alone.  *readable counts the others.
 */
static bool
read_range(const IcoAttachment *attachment, IcoDueCart *due, int n, int *readable, IcoTrouble *trouble)
{
	Datum	   *keys = palloc((n + 1) * sizeof(Datum));
	IcoCart    *carts;
	int			n_carts;

	CHECK_FOR_INTERRUPTS();
	for (int i = 0; i < n; i++)
		keys[i] = PointerGetDatum(due[i].key);
	if (ico_read_carts(attachment, DatumGetArrayTypeP(ico_array_of(keys, n, TEXTOID)), &carts, &n_carts, trouble))
	{
		give_carts(due, n, carts, n_carts);
		*readable += n;
		return true;
	}
	if (!by_a_value(trouble->sqlstate))
		return false;
	if (n == 1)
	{
		due->values.fault = trouble->message;
		return true;
	}
	return read_range(attachment, due, n / 2, readable, trouble) &&
		read_range(attachment, due + n / 2, n - n / 2, readable, trouble);
}

static bool
read_due(const IcoAttachment *attachment, Due *due, IcoTrouble *trouble)
{
	int			readable = 0;

	qsort(due->carts, due->n, sizeof(IcoDueCart), compare_due);
	/* none of several can be read: that is the mapping's fault */
	return read_range(attachment, due->carts, due->n, &readable, trouble) && (readable > 0 || due->n == 1);
}

/* Those that are done are forgotten, unless they were marked again. */
static void
forget_due(const IcoAttachment *attachment, const Due *due)
{
	static IcoPlan plan = {
		"iTZ",
		/* row by row through the key: a table that was never analyzed looks as if a join were as good */
		"DELETE FROM incomplete_orders.due_carts d USING (SELECT q.row FROM"
		" ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) k (key, marked_at)"
		" CROSS JOIN pg_catalog.unnest('{-1,0,1,2}'::pg_catalog.int2[]) p (path) CROSS JOIN LATERAL"
		" (SELECT r.ctid AS row FROM incomplete_orders.due_carts r WHERE r.attachment" EQ "$1 AND r.path" EQ "p.path"
		"  AND r.key" EQ "k.key AND r.marked_at" LE "k.marked_at OFFSET 0) q) k WHERE d.ctid" EQ "k.row"
	};
	Datum	   *keys = palloc((due->n + 1) * sizeof(Datum));
	Datum	   *instants = palloc((due->n + 1) * sizeof(Datum));
	Datum		values[3] = {Int32GetDatum(attachment->attachment)};
	int			n = 0;

	for (int i = 0; i < due->n; i++)
	{
		const IcoDueCart *cart = &due->carts[i];

		if (cart->later || cart->error != NULL || cart->values.fault != NULL)
			continue;
		keys[n] = PointerGetDatum(cart->key);
		instants[n++] = TimestampTzGetDatum(cart->read_until);
	}
	if (n == 0)
		return;
	values[1] = ico_array_of(keys, n, TEXTOID);
	values[2] = ico_array_of(instants, n, TIMESTAMPTZOID);
	(void) ico_execute(&plan, values, NULL);
}

/* What the server says of a value could show it. */
static const char *
refusal(const IcoDueCart *cart)
{
	if (cart->error == NULL)
		return cart->values.fault;
	if (cart->error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE || ERRCODE_TO_CATEGORY(cart->error->sqlerrcode) == MAKE_SQLSTATE('I', 'C', '0', '0', '0'))
		return cart->error->message;
	return "its values are refused";
}

/* The others are tried again, and health() names them, by a hash of their key. */
static int
postpone_refused(const IcoAttachment *attachment, const Due *due)
{
	static IcoPlan plan = {
		"itztt",
		"UPDATE incomplete_orders.due_carts d SET retry_at = $3, sqlstate = $4, problem = $5"
		" WHERE d.attachment" EQ "$1 AND d.path" EQ CART_PATHS " AND d.key" EQ "$2"
	};
	int			n = 0;

	for (int i = 0; i < due->n; i++)
	{
		const IcoDueCart *cart = &due->carts[i];
		int			sqlstate = cart->error != NULL ? cart->error->sqlerrcode : ERRCODE_INVALID_PARAMETER_VALUE;
		Datum		values[5] = {Int32GetDatum(attachment->attachment), PointerGetDatum(cart->key)};

		CHECK_FOR_INTERRUPTS();
		if (cart->error == NULL && cart->values.fault == NULL)
			continue;
		values[2] = TimestampTzGetDatum(GetCurrentTimestamp() + ICO_TRY_AGAIN);
		values[3] = CStringGetTextDatum(unpack_sql_state(sqlstate));
		values[4] = CStringGetTextDatum(refusal(cart));
		(void) ico_execute(&plan, values, NULL);
		n++;
	}
	return n;
}

/* Somebody has their orders just now: in a moment. */
static void
postpone_taken(const IcoAttachment *attachment, const Due *due)
{
	static IcoPlan plan = {
		"itz",
		"UPDATE incomplete_orders.due_carts d SET retry_at = $3 WHERE d.attachment" EQ "$1 AND d.path" EQ CART_PATHS
		" AND d.key" EQ "$2"
	};

	for (int i = 0; i < due->n; i++)
	{
		Datum		values[3] = {
			Int32GetDatum(attachment->attachment), PointerGetDatum(due->carts[i].key),
			TimestampTzGetDatum(GetCurrentTimestamp() + USECS_PER_SEC)
		};

		if (due->carts[i].later)
			(void) ico_execute(&plan, values, NULL);
	}
}

typedef struct Outcome
{
	int			carts;
	int			refused;
	bool		more;
} Outcome;

/* One batch; false when the shop's tables could not be read. */
static bool
run_batch(const IcoAttachment *attachment, TimestampTz at, int most, Outcome *outcome, IcoTrouble *trouble)
{
	Due			due;

	if (!ico_list_carts(attachment, at, &outcome->more, trouble) || !translate_watched(attachment, &outcome->more, trouble))
		return false;
	find_due(attachment, at, most, &due);
	if (due.n == 0)
		return true;
	if (!read_due(attachment, &due, trouble))
		return false;
	ico_apply_carts(attachment, due.carts, due.n, at);
	forget_due(attachment, &due);
	outcome->refused = postpone_refused(attachment, &due);
	postpone_taken(attachment, &due);
	outcome->carts = due.n;
	outcome->more = outcome->more || due.n == most;
	return true;
}

/* The types of the shop's columns are not what they were when the queries were made. */
static void
renew(void *arg)
{
	static IcoPlan plan = {"i", "SELECT incomplete_orders._renew_queries($1)"};
	IcoAttachment *attachment = arg;
	Datum		values[1] = {Int32GetDatum(attachment->attachment)};
	bool		isnull;

	(void) ico_execute(&plan, values, NULL);
	attachment->renewed = DatumGetBool(ico_column(0, 1, &isnull));
}

/* The same again, where it failed and other queries may not. */
static bool
run_renewed(IcoAttachment *attachment, TimestampTz at, int most, Outcome *outcome, IcoTrouble *trouble)
{
	static IcoPlan plan = {
		"i", "UPDATE incomplete_orders.due_carts d SET retry_at = NULL WHERE d.attachment" EQ "$1 AND d.problem IS NOT NULL"
	};
	Datum		values[1] = {Int32GetDatum(attachment->attachment)};
	bool		done = run_batch(attachment, at, most, outcome, trouble);

	if ((done && outcome->refused == 0) || ico_try(renew, attachment) != NULL || !attachment->renewed ||
		!ico_attachment(attachment->attachment, true, attachment))
		return done;
	(void) ico_execute(&plan, values, NULL);
	memset(outcome, 0, sizeof(*outcome));
	return run_batch(attachment, at, most, outcome, trouble);
}

/* _tick_carts(attachment, at, most) -> (free, carts, refused, more); free is false while another tick is at work */
Datum
ico_tick_carts(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	IcoAttachment attachment;
	IcoTrouble	trouble;
	Outcome		outcome = {0};
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};
	bool		free;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	SPI_connect();
	free = ico_try_lock_tick();
	/* one of another shop is as one that is not there */
	if (free && ico_attachment(PG_GETARG_INT32(0), true, &attachment) && ico_may_tick(attachment.shop.shop_id, at))
	{
		if (run_renewed(&attachment, at, PG_GETARG_INT32(2), &outcome, &trouble))
			ico_note_read(&attachment, NULL);
		else
			ico_note_read(&attachment, &trouble);
	}
	SPI_finish();
	values[0] = BoolGetDatum(free);
	values[1] = Int32GetDatum(outcome.carts);
	values[2] = Int32GetDatum(outcome.refused);
	values[3] = BoolGetDatum(outcome.more);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* _tick_attachments(shops, at): those of these shops that have something to be read */
Datum
ico_tick_attachments(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"Az",
		"SELECT a.attachment FROM incomplete_orders.attached_tables a WHERE a.shop_id" EQ "ANY ($1)"
		" AND " IS_DUE("a", "$2")
		" AND EXISTS (SELECT FROM incomplete_orders.due_carts d WHERE d.attachment" EQ "a.attachment AND d.first_marked_at" LE "$2"
		"  AND " IS_DUE("d", "$2") ") ORDER BY 1"
	};
	ArrayType  *shops = PG_GETARG_ARRAYTYPE_P_COPY(0);
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	Datum		values[2] = {PointerGetDatum(shops), PG_GETARG_DATUM(1)};
	MemoryContext context = CurrentMemoryContext;
	Datum	   *elements;
	ArrayType  *result;
	uint64		n;
	bool		isnull;

	SPI_connect();
	ico_check_tick_right(shops, at);
	n = ico_execute(&plan, values, NULL);
	elements = MemoryContextAlloc(context, (n + 1) * sizeof(Datum));
	for (uint64 i = 0; i < n; i++)
		elements[i] = ico_column(i, 1, &isnull);
	SPI_finish();
	result = construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT);
	PG_RETURN_ARRAYTYPE_P(result);
}

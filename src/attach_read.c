/*
 * attach_read.c
 *		Reading the carts of a shop's own tables.
 *
 * The queries were made by attach() of the shop's mapping.  They run as the role
 * that attached, never as our owner: their predicates, and the policies, views and
 * functions behind the shop's tables, are the shop's code.  That role must still
 * exist, under the same name and oid, and be admin of the shop; whether it may read
 * the tables is asked by the server at every read.  hook.c holds the rest: a
 * restricted security context, a read-only subtransaction, a time limit.
 *
 * Only values come back, as texts, truths and instants.
 *
 * Memory: plans are kept for the backend's life, by the text of their query, at
 * most MAX_PLANS; the server makes them anew when the shop's tables change.  What
 * is read is in the caller's context.  Locks: those of a SELECT.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attach.h"
#include "compat.h"
#include "errors.h"
#include "hook.h"
#include "lifecycle.h"
#include "plan.h"

#define MAX_PLANS 64
#define PROBLEM_BYTES 300
/* a broken attachment is tried again after this, then after twice that, ... */
#define FIRST_PAUSE (5 * USECS_PER_SEC)
#define LONGEST_PAUSE (15 * USECS_PER_MINUTE)
/* so often it is written down that it can be read */
#define NOTE_EVERY (10 * USECS_PER_SEC)

typedef struct Kept
{
	int32		attachment;
	uint64		hash;			/* of the query */
	SPIPlanPtr	plan;
} Kept;

static Kept kept[MAX_PLANS];
static int	n_kept = 0;

#define ATTACHMENT(lock) \
	"SELECT a.shop_id, a.name, a.role_name, a.role_oid, a.cluster_id, a.read_query, a.list_query, a.key_queries," \
	" CASE WHEN a.mapping" ARROW_TEXT "'money'" EQ "'minor' THEN -1 WHEN a.mapping" ARROW_TEXT "'money'" EQ "'major' THEN 0" \
	" ELSE COALESCE((a.mapping" ARROW_TEXT "'money')::pg_catalog.int4, 0) END, a.settle, a.attached_at, a.state" EQ "'broken', a.failures," \
	" a.mapping" ARROW_TEXT "'in_progress' IS NOT NULL, a.mapping" ARROW_TEXT "'orders' IS NOT NULL," \
	" COALESCE(a.mapping" ARROW_TEXT "'on_delete'" EQ "'converted', false)" \
	" FROM incomplete_orders.attached_tables a WHERE a.attachment" EQ "$1" lock

bool
ico_attachment(int32 attachment, bool lock, IcoAttachment *found)
{
	static IcoPlan looking = {"i", ATTACHMENT("")};
	static IcoPlan locking = {"i", ATTACHMENT(" FOR SHARE SKIP LOCKED")};
	Datum		values[1] = {Int32GetDatum(attachment)};
	bool		isnull;

	if (ico_execute(lock ? &locking : &looking, values, NULL) == 0)
		return false;
	memset(found, 0, sizeof(*found));
	found->attachment = attachment;
	found->name = TextDatumGetCString(ico_column(0, 2, &isnull));
	found->role = TextDatumGetCString(ico_column(0, 3, &isnull));
	if (DatumGetInt64(ico_column(0, 5, &isnull)) == (int64) GetSystemIdentifier())
		found->role_oid = DatumGetObjectId(ico_column(0, 4, &isnull));
	found->read_query = TextDatumGetCString(ico_column(0, 6, &isnull));
	found->list_query = TextDatumGetCString(ico_column(0, 7, &isnull));
	found->key_queries = (Jsonb *) PG_DETOAST_DATUM_COPY(ico_column(0, 8, &isnull));
	found->decimals = DatumGetInt32(ico_column(0, 9, &isnull));
	found->settle = ico_span(ico_column(0, 10, &isnull));
	found->attached_at = DatumGetTimestampTz(ico_column(0, 11, &isnull));
	found->broken = DatumGetBool(ico_column(0, 12, &isnull));
	found->failures = DatumGetInt32(ico_column(0, 13, &isnull));
	found->tells_progress = DatumGetBool(ico_column(0, 14, &isnull));
	found->links_orders = DatumGetBool(ico_column(0, 15, &isnull));
	found->gone_is_bought = DatumGetBool(ico_column(0, 16, &isnull));
	return ico_shop_by_id(DatumGetInt32(ico_column(0, 1, &isnull)), &found->shop);
}

/* --- running a query --------------------------------------------------------- */

static SPIPlanPtr *
kept_plan(int32 attachment, const char *query)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) query, strlen(query), 0);
	Kept	   *free = &kept[n_kept % MAX_PLANS];

	for (int i = 0; i < Min(n_kept, MAX_PLANS); i++)
	{
		if (kept[i].attachment == attachment && kept[i].hash == hash)
			return &kept[i].plan;
	}
	if (free->plan != NULL)
		SPI_freeplan(free->plan);
	n_kept++;
	free->attachment = attachment;
	free->hash = hash;
	free->plan = NULL;
	return &free->plan;
}

/* Whether it is the parser or the check of rights that speaks, not code of the shop's. */
static bool
is_servers_own(const ErrorData *error)
{
	static const char *const files[] = {"parse_", "aclchk.c", "namespace.c", "utility.c", "attach_read.c"};
	const char *file = error->filename == NULL ? "" : error->filename;

	if (strrchr(file, '/') != NULL)
		file = strrchr(file, '/') + 1;
	for (int i = 0; i < lengthof(files); i++)
	{
		if (strncmp(file, files[i], strlen(files[i])) == 0)
			return true;
	}
	return false;
}

/*
 * What the server says of a name, a right or a type is told; what it says of a
 * value could show it.
 */
static bool
names_only(const ErrorData *error)
{
	if (!is_servers_own(error))
		return false;
	switch (error->sqlerrcode)
	{
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_INVALID_SCHEMA_NAME:
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
		case ERRCODE_DATATYPE_MISMATCH:
		case ERRCODE_AMBIGUOUS_COLUMN:
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
		case ICO_ERR_BAD_MAPPING:
			return true;
	}
	return false;
}

static void
tell(const IcoHook *hook, const IcoAttachment *attachment, IcoTrouble *trouble)
{
	const ErrorData *error = hook->error;

	if (error == NULL)
		trouble->message = psprintf("role \"%s\" is gone, renamed or no longer admin of the shop", attachment->role);
	else if (ico_hook_was_late())
		trouble->message = pstrdup("reading took longer than incomplete_orders.hook_timeout");
	else if (error->message != NULL && names_only(error))
		trouble->message = pnstrdup(error->message, pg_mbcliplen(error->message, strlen(error->message), PROBLEM_BYTES));
	else
		trouble->message = psprintf("the query failed with SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
}

bool
ico_read_as(const IcoAttachment *attachment, const char *query, int n, const Oid *types, const Datum *values,
			const char *nulls, void (*read) (void *arg, uint64 rows), void *arg, IcoTrouble *trouble)
{
	IcoHook		hook = {
		.shop_id = attachment->shop.shop_id, .role = attachment->role, .role_oid = attachment->role_oid,
		.query = query, .n_args = n, .reading = true, .read = read, .arg = arg
	};

	Assert(n <= ICO_HOOK_ARGS);
	memset(trouble, 0, sizeof(*trouble));
	if (!OidIsValid(attachment->role_oid))
	{
		trouble->sqlstate = ERRCODE_UNDEFINED_OBJECT;
		trouble->message = psprintf("role \"%s\" is that of another cluster", attachment->role);
		return false;
	}
	for (int i = 0; i < n; i++)
	{
		hook.types[i] = types[i];
		hook.values[i] = values[i];
		hook.nulls[i] = nulls == NULL ? ' ' : nulls[i];
	}
	hook.plan = kept_plan(attachment->attachment, query);
	if (ico_call_hook(&hook, &trouble->sqlstate))
		return true;
	tell(&hook, attachment, trouble);
	return false;
}

/* --- carts ------------------------------------------------------------------ */

static const char *const text_columns[ICO_C_TEXTS] = {
	[ICO_C_KEY] = "cart_key", [ICO_C_SESSION] = "session_id", [ICO_C_CUSTOMER] = "customer_id", [ICO_C_EMAIL] = "email",
	[ICO_C_PHONE] = "phone", [ICO_C_NAME] = "name", [ICO_C_LOCALE] = "locale", [ICO_C_TIME_ZONE] = "time_zone",
	[ICO_C_CONSENT] = "consent", [ICO_C_CURRENCY] = "currency", [ICO_C_TOTAL] = "total", [ICO_C_ITEMS] = "items",
	[ICO_C_ORDER_REF] = "order_ref"
};
static const char *const truth_columns[ICO_C_TRUTHS] = {
	[ICO_C_COMPLETED] = "completed", [ICO_C_IN_PROGRESS] = "in_progress", [ICO_C_SUPERSEDED] = "superseded",
	[ICO_C_DELETED] = "deleted"
};

/* Where the columns stand in the rows of a query; 0: it has none of that name. */
typedef struct Columns
{
	int			texts[ICO_C_TEXTS];
	int			truths[ICO_C_TRUTHS];
	int			updated_at;
	int			completed_at;
} Columns;

typedef struct Reading
{
	MemoryContext context;
	IcoCart    *carts;
	int			n;
} Reading;

static int
column_of(TupleDesc desc, const char *name, Oid type)
{
	int			n = SPI_fnumber(desc, name);

	if (n <= 0)
		return 0;
	if (SPI_gettypeid(desc, n) != type)
		ereport(ERROR,
				(errcode(ICO_ERR_BAD_MAPPING),
				 errmsg("column \"%s\" of the read query has another type", name)));
	return n;
}

static void
find_columns(TupleDesc desc, Columns *columns)
{
	for (int i = 0; i < ICO_C_TEXTS; i++)
		columns->texts[i] = column_of(desc, text_columns[i], TEXTOID);
	for (int i = 0; i < ICO_C_TRUTHS; i++)
		columns->truths[i] = column_of(desc, truth_columns[i], BOOLOID);
	columns->updated_at = column_of(desc, "updated_at", TIMESTAMPTZOID);
	columns->completed_at = column_of(desc, "completed_at", TIMESTAMPTZOID);
	if (columns->texts[ICO_C_KEY] == 0 || columns->texts[ICO_C_ITEMS] == 0)
		ereport(ERROR,
				(errcode(ICO_ERR_BAD_MAPPING),
				 errmsg("the read query has no column \"cart_key\" or no column \"items\"")));
}

static Datum
value_of(int row, int column, bool *isnull)
{
	*isnull = true;
	return column == 0 ? (Datum) 0 : ico_column(row, column, isnull);
}

static TimestampTz
instant_of(int row, int column)
{
	bool		isnull;
	Datum		value = value_of(row, column, &isnull);

	return isnull || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)) ? ICO_NONE : DatumGetTimestampTz(value);
}

static void
read_cart(const Columns *columns, int row, IcoCart *cart)
{
	bool		isnull;

	for (int i = 0; i < ICO_C_TEXTS; i++)
	{
		Datum		value = value_of(row, columns->texts[i], &isnull);

		cart->texts[i] = isnull ? NULL : (text *) PG_DETOAST_DATUM_COPY(value);
	}
	for (int i = 0; i < ICO_C_TRUTHS; i++)
	{
		Datum		value = value_of(row, columns->truths[i], &isnull);

		cart->truths[i] = !isnull && DatumGetBool(value);
	}
	cart->updated_at = instant_of(row, columns->updated_at);
	cart->completed_at = instant_of(row, columns->completed_at);
}

static void
read_rows(void *arg, uint64 rows)
{
	Reading    *reading = arg;
	Columns		columns;
	MemoryContext old;

	find_columns(SPI_tuptable->tupdesc, &columns);
	old = MemoryContextSwitchTo(reading->context);
	reading->carts = palloc0((rows + 1) * sizeof(IcoCart));
	for (uint64 i = 0; i < rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_cart(&columns, i, &reading->carts[reading->n]);
		if (reading->carts[reading->n].texts[ICO_C_KEY] != NULL)
			reading->n++;
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
}

static int
compare_carts(const void *a, const void *b)
{
	const text *x = ((const IcoCart *) a)->texts[ICO_C_KEY];
	const text *y = ((const IcoCart *) b)->texts[ICO_C_KEY];

	return ico_compare_texts(x, y);
}

bool
ico_read_carts(const IcoAttachment *attachment, ArrayType *keys, IcoCart **carts, int *n, IcoTrouble *trouble)
{
	Reading		reading = {.context = CurrentMemoryContext};
	Oid			type = TEXTARRAYOID;
	Datum		value = PointerGetDatum(keys);
	int			distinct = 0;

	if (!ico_read_as(attachment, attachment->read_query, 1, &type, &value, NULL, read_rows, &reading, trouble))
		return false;
	/* a join that finds two rows for one cart: one of them counts */
	qsort(reading.carts, reading.n, sizeof(IcoCart), compare_carts);
	for (int i = 0; i < reading.n; i++)
	{
		if (distinct == 0 || compare_carts(&reading.carts[distinct - 1], &reading.carts[i]) != 0)
			reading.carts[distinct++] = reading.carts[i];
	}
	*carts = reading.carts;
	*n = distinct;
	return true;
}

int
ico_compare_texts(const text *a, const text *b)
{
	int			a_len = VARSIZE_ANY_EXHDR(a);
	int			b_len = VARSIZE_ANY_EXHDR(b);
	int			order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(a_len, b_len));

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* --- what is known of an attachment ------------------------------------------ */

/*
 * What changed while it was broken may have left no mark, a column that was made
 * again for one: all of its carts are read.
 */
static void
read_all_again(const IcoAttachment *attachment, TimestampTz now)
{
	static IcoPlan plan = {
		"iz",
		"INSERT INTO incomplete_orders.due_carts AS d (attachment, path, key, first_marked_at, marked_at) VALUES ($1, -1, '', $2, $2)"
		" ON CONFLICT (attachment, path, key) DO UPDATE SET marked_at = GREATEST(d.marked_at, excluded.marked_at)"
	};
	Datum		values[2] = {Int32GetDatum(attachment->attachment), TimestampTzGetDatum(now)};

	(void) ico_execute(&plan, values, NULL);
}

static void
note_success(const IcoAttachment *attachment)
{
	static IcoPlan plan = {
		"iizz",
		"UPDATE incomplete_orders.attached_tables a SET state = 'ok', problem = NULL, problem_sqlstate = NULL,"
		" problem_at = NULL, failures = 0, retry_at = NULL, last_read_at = $3 WHERE a.shop_id" EQ "$1 AND a.attachment" EQ "$2"
		" AND (a.state" NE "'ok' OR a.last_read_at IS NULL OR a.last_read_at" LT "$4)"
	};
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[4] = {
		Int32GetDatum(attachment->shop.shop_id), Int32GetDatum(attachment->attachment), TimestampTzGetDatum(now),
		TimestampTzGetDatum(now - NOTE_EVERY)
	};

	(void) ico_execute(&plan, values, NULL);
	if (attachment->broken)
		read_all_again(attachment, now);
}

void
ico_note_read(const IcoAttachment *attachment, const IcoTrouble *trouble)
{
	static IcoPlan plan = {
		"iittzz",
		"UPDATE incomplete_orders.attached_tables a SET state = 'broken', problem = $3, problem_sqlstate = $4,"
		" problem_at = CASE WHEN a.state" EQ "'broken' THEN a.problem_at ELSE $5 END, failures = a.failures" PLUS "1, retry_at = $6"
		" WHERE a.shop_id" EQ "$1 AND a.attachment" EQ "$2"
	};
	TimestampTz now = GetCurrentTimestamp();
	int64		pause = FIRST_PAUSE;
	Datum		values[6];

	if (trouble == NULL)
	{
		note_success(attachment);
		return;
	}
	for (int i = 0; i < attachment->failures && pause < LONGEST_PAUSE; i++)
		pause *= 2;
	values[0] = Int32GetDatum(attachment->shop.shop_id);
	values[1] = Int32GetDatum(attachment->attachment);
	values[2] = CStringGetTextDatum(trouble->message);
	values[3] = CStringGetTextDatum(unpack_sql_state(trouble->sqlstate));
	values[4] = TimestampTzGetDatum(now);
	values[5] = TimestampTzGetDatum(now + Min(pause, LONGEST_PAUSE));
	(void) ico_execute(&plan, values, NULL);
}

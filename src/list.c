/*
 * list.c
 *		Pages of incomplete orders, how many there are, and searches.
 *
 * A page is one statement, so that an order which is just being closed stands in
 * it once.  Each shop and each of the two tables gives at most a page in the
 * wanted order, by its index on (shop_id, created_at, id) where it is sorted by
 * that; what costs (jsonb, the order number) is worked out for the rows of the
 * page only.  The next page begins after the last row's sort value and id: that
 * pair is the cursor, so pages neither skip nor repeat an order that stays put.
 *
 * Some filters have no index.  With one of them a page that is bounded looks only
 * so far behind its cursor, in every shop and table, as WINDOW rows reach; when it
 * is not full by then it ends with a row that is only a cursor.  Sorted by anything
 * but created_at it is refused when that is not everything.  A count is bounded
 * always, and says so.
 *
 * A search first collects ids, by one index for each kind of word that it can
 * be, and then lists them.
 *
 * There is one kept plan for each combination of filters in use ("shape"): text
 * made of the constants below, values always as parameters.  Shapes live in
 * ListContext under TopMemoryContext, at most MAX_SHAPES of them.  Everything
 * else is in the caller's SPI context.  No locks but those of reading.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "line_items.h"
#include "money.h"
#include "plan.h"
#include "search.h"
#include "tenant.h"

#define DEFAULT_PAGE 20
/* 20 and 100 rows, and one to see whether there are more */
#define SMALL_PAGE 21
#define MEDIUM_PAGE 101
#define MAX_PAGE 1000
#define MAX_FOUND 100			/* rows of find_orders */
#define MAX_MATCHES 10000		/* ids that a search hands on */
#define FEW_MATCHES 2000		/* ... to what is bounded: each is looked for in each month */
#define MAX_SHAPES 64

/* rows that a bounded page, or a count, looks at in each table of a shop, by the number of shops */
#define WINDOW 10000
#define WINDOW_OF_MANY 1000
#define WINDOW_OF_ALL 100
#define MANY_SHOPS 10
#define ALL_SHOPS 100

/* arguments of list_orders */
enum
{
	ARG_SHOP, ARG_STATUS, ARG_KIND, ARG_SINCE, ARG_UNTIL, ARG_EXPIRED, ARG_GUEST, ARG_ATTEMPTS,
	ARG_SEARCH, ARG_SORT, ARG_AFTER, ARG_PAGE_SIZE, ARG_BOUNDED, ARG_MORE
};

typedef enum SortKey
{
	BY_CREATED, BY_UPDATED, BY_TOTAL, BY_ATTEMPTS
} SortKey;
#define SORT_KEYS 4
#define TOTAL "incomplete_orders._order_total(o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency)"

static const struct
{
	const char *name;
	const char *expression;
	const char *argtypes;		/* those of a shape with this sort key */
}			sorts[SORT_KEYS] = {
#define SHAPE_ARGS(cursor) "Ai" cursor "uSkzzbbiUzu" "zzzzbnntcttbt"
	[BY_CREATED] = {"created_at", "o.created_at", SHAPE_ARGS("z")},
	[BY_UPDATED] = {"updated_at", "o.last_activity_at", SHAPE_ARGS("z")},
	[BY_TOTAL] = {"total_amount",
		TOTAL,
	SHAPE_ARGS("n")},
	[BY_ATTEMPTS] = {"recovery_attempts", "o.recovery_attempts", SHAPE_ARGS("i")},
};

typedef enum Filter
{
	F_STATUS, F_KIND, F_SINCE, F_UNTIL, F_EXPIRED, F_GUEST, F_ATTEMPTS, F_IDS, F_MORE
} Filter;
#define FILTERS 9

/* What fewer ask for is one filter, so that shapes stay few: what was not given is null. */
#define MORE_FILTERS 13
#define MORE(can_convert) \
	"($15 IS NULL OR o.abandoned_at" GE "$15) AND ($16 IS NULL OR o.abandoned_at" LT "$16)" \
	" AND ($17 IS NULL OR o.expires_at" GE "$17) AND ($18 IS NULL OR o.expires_at" LT "$18)" \
	" AND ($19 IS NULL OR (" can_convert ")" EQ "$19)" \
	" AND ($20 IS NULL OR " TOTAL GE "$20) AND ($21 IS NULL OR " TOTAL LE "$21)" \
	" AND ($22 IS NULL OR o.currency" EQ "$22) AND ($23 IS NULL OR o.furthest_step" EQ "$23)" \
	" AND ($24 IS NULL OR o.context OPERATOR(pg_catalog.->>) 'device'" EQ "$24)" \
	" AND ($25 IS NULL OR o.context OPERATOR(pg_catalog.->>) 'source'" EQ "$25)" \
	" AND ($26 IS NULL OR (o.email IS NOT NULL OR o.phone IS NOT NULL)" EQ "$26)" \
	" AND ($27 IS NULL OR EXISTS (SELECT FROM incomplete_orders.order_outcomes u WHERE u.shop_id" EQ "o.shop_id" \
	" AND u.root_id" EQ "o.root_id AND u.outcome" EQ "$27))"
/* all columns of those */
#define MORE_COLUMNS \
	", o.shop_id, o.root_id, o.abandoned_at, o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency," \
	" o.furthest_step, o.context, o.email, o.phone"

/*
 * Parameters of every shape: $1 shop_ids, $2 rows, $3 the cursor's sort value,
 * $4 its id, the filters up to F_IDS, $13 and $14 how far a bounded page goes,
 * $15 to $27 those of F_MORE.
 */
static const struct
{
	const char *open;
	const char *closed;
}			filters[FILTERS] = {
#define BOTH(condition) {condition, condition}
	[F_STATUS] = BOTH("o.status" EQ "ANY ($5)"),
	[F_KIND] = BOTH("o.kind" EQ "$6"),
	/* rows, because the planner would expect little between two ends that it does not know, and sort it */
	[F_SINCE] = BOTH("ROW(o.created_at, o.id)" GE "ROW($7, '00000000-0000-0000-0000-000000000000')"),
	[F_UNTIL] = BOTH("ROW(o.created_at, o.id)" LT "ROW($8, '00000000-0000-0000-0000-000000000000')"),
	[F_EXPIRED] = {"(o.expires_at" LE "pg_catalog.now())" EQ "$9", "(o.status" EQ "'expired')" EQ "$9"},
	[F_GUEST] = BOTH("(o.customer_id IS NULL)" EQ "$10"),
	[F_ATTEMPTS] = BOTH("o.recovery_attempts" EQ "$11"),
	[F_IDS] = BOTH("o.id" EQ "ANY ($12)"),
	[F_MORE] = {MORE("o.expires_at" GT "pg_catalog.now() AND incomplete_orders.item_count(o.items)" GT "0"), MORE("false")},
};

/* parts of a page's shape; the two lowest bits hold the sort key */
#define SORT_MASK 0x03
#define DESCENDING 0x04
#define FROM_OPEN 0x08
#define FROM_CLOSED 0x10
#define UP_TO_100 0x20
#define UP_TO_1000 0x40
#define AFTER 0x80
#define FILTER_BIT(filter) (0x100 << (filter))
#define RARE_OPEN 0x20000		/* the wanted states of the table have an index of their own */
#define RARE_CLOSED 0x40000
#define WITHIN 0x80000
#define MANY 0x100000
#define ALL 0x200000
#define COUNT_SHAPE 0x10000000	/* the other kinds of shapes */
#define BOUND_SHAPE 0x20000000
#define MATCH_SHAPE 0x40000000
#define MATCH_FEW 0x20000000	/* of those */

/* what an index leads to; the others are looked for row by row */
#define INDEXED (FILTER_BIT(F_SINCE) | FILTER_BIT(F_UNTIL) | FILTER_BIT(F_IDS))
#define LOOKED_FOR (FILTER_BIT(F_KIND) | FILTER_BIT(F_EXPIRED) | FILTER_BIT(F_GUEST) | FILTER_BIT(F_ATTEMPTS) | FILTER_BIT(F_MORE))

/*
 * Parameters of every search: $1 shop_ids, $2 e-mail or its beginning, $3 above
 * that beginning, $4 phone, $5 customer_id, $6 session_id, $7 reference,
 * $8 order number, $9 order_id
 */
#define MATCH_ARGS "Atttttttu"
#define INCOMPLETE(condition) \
	"SELECT o.id, o.created_at FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "t.shop_id AND " condition \
	" UNION ALL " \
	"SELECT o.id, o.created_at FROM incomplete_orders.closed_orders o WHERE o.shop_id" EQ "t.shop_id AND " condition
#define COMPLETE(condition) \
	"SELECT r.incomplete_order_id, r.converted_at FROM incomplete_orders.orders r WHERE r.shop_id" EQ "t.shop_id" \
	" AND r.incomplete_order_id IS NOT NULL AND " condition
#define EMAIL_KEY "pg_catalog.lower(o.email COLLATE pg_catalog.\"C\")"

static const char *const ways[ICO_WAYS] = {
	[W_EMAIL] = INCOMPLETE("o.email IS NOT NULL AND " EMAIL_KEY EQ "$2"),
	[W_EMAIL_PREFIX] = INCOMPLETE("o.email IS NOT NULL AND " EMAIL_KEY GE "$2 AND " EMAIL_KEY LT "$3"),
	[W_PHONE] = INCOMPLETE("o.phone IS NOT NULL AND pg_catalog.translate(o.phone, ' ()-./+', '')" EQ "$4"),
	[W_CUSTOMER] = INCOMPLETE("o.customer_id IS NOT NULL AND o.customer_id" EQ "$5"),
	[W_SESSION] = INCOMPLETE("o.session_id" EQ "$6"),
	[W_REFERENCE] = INCOMPLETE("o.reference" EQ "$7"),
	[W_NUMBER] = COMPLETE("r.foreign_order IS NULL AND r.order_number" EQ "$8")
	" UNION ALL " COMPLETE("r.foreign_order IS NOT NULL AND r.foreign_order" EQ "$8"),
	[W_ORDER_ID] = COMPLETE("r.order_id" EQ "$9"),
};

typedef struct Shape
{
	int			parts;
	IcoPlan		plan;
} Shape;

static MemoryContext ListContext = NULL;
static Shape *shapes[MAX_SHAPES];
static int	n_shapes = 0;

/* One request for a page. */
typedef struct ListPage
{
	int			parts;
	int			rows;
	Datum		shops;			/* int4[] */
	Datum		after;
	pg_uuid_t	after_id;
	Datum		filters[FILTERS];
	NullableDatum more[MORE_FILTERS];
	bool		bounded;
	bool		cut;			/* the search has more than it handed on */
	TimestampTz bound;			/* with WITHIN: the last row that is looked at */
	pg_uuid_t	bound_id;
} ListPage;

PG_FUNCTION_INFO_V1(ico_list_orders);
PG_FUNCTION_INFO_V1(ico_find_orders);
PG_FUNCTION_INFO_V1(ico_orders_of);
PG_FUNCTION_INFO_V1(ico_count_orders);

/* ---- statements ---- */

#define STORED \
	"o.shop_id, o.id, o.reference, o.kind, o.status, o.session_id, o.customer_id, o.email, o.phone, o.name, o.items," \
	" o.currency, o.shipping, o.tax, o.discount, o.coupon_code, o.coupon_discount, o.furthest_step, o.episode," \
	" o.recovery_attempts, o.last_recovery_at, o.abandonment_reason, o.address, o.context, o.version, o.created_at," \
	" o.last_activity_at, o.abandoned_at, o.lost_at, o.expires_at, o.next_action_at, o.payment_reference," \
	" o.payment_deadline, o.root_id, o.continues_id, o.bot, o.attachment, o.cart_key"

/* the view's columns, and the sort value; sql/tables/views.sql has the same */
#define SHOWN \
	"o.shop_id, o.id, o.reference, o.kind, o.status, o.session_id, o.customer_id, o.email, o.phone, o.name," \
	" o.items::pg_catalog.jsonb, o.currency, o.shipping, o.tax, o.discount, o.coupon_code, o.coupon_discount," \
	" o.furthest_step, o.episode, o.recovery_attempts, o.last_recovery_at, o.abandonment_reason, o.address, o.context," \
	" o.version, o.created_at, o.last_activity_at, o.abandoned_at, o.lost_at, o.expires_at, o.next_action_at," \
	" o.payment_reference, o.payment_deadline, o.root_id, o.continues_id, o.bot, o.attachment, o.cart_key," \
	" o.closed_at, o.close_reason, o.late, s.shop," \
	" " TOTAL "," \
	" incomplete_orders.item_count(o.items), o.customer_id IS NULL," \
	" o.status" EQ "'expired' OR o.closed_at IS NULL AND o.expires_at" LE "pg_catalog.now()," \
	" pg_catalog.floor(extract(epoch FROM pg_catalog.now()" MINUS "o.created_at) OPERATOR(pg_catalog./) 86400)" \
	"::pg_catalog.int4," \
	" o.closed_at IS NULL AND o.expires_at" GT "pg_catalog.now() AND incomplete_orders.item_count(o.items)" GT "0," \
	" (SELECT r.order_number FROM incomplete_orders.orders r WHERE r.shop_id" EQ "o.shop_id" \
	" AND r.incomplete_order_id" EQ "o.id ORDER BY r.part DESC LIMIT 1), o.sort_value"

static const char *
direction(int parts)
{
	return (parts & DESCENDING) ? " DESC" : "";
}

/* The rows of one table for one shop that satisfy those filters, and lie behind the cursor. */
static void
append_rows(StringInfo q, int parts, bool closed)
{
	appendStringInfo(q, " FROM incomplete_orders.%s o WHERE o.shop_id" EQ "t.shop_id", closed ? "closed_orders" : "open_orders");
	if (parts & (closed ? RARE_CLOSED : RARE_OPEN))
		appendStringInfo(q, " AND o.status IN (%s)", closed ? "'dismissed', 'deleted', 'reversed'" : "'payment_pending', 'payment_failed'");
	for (int filter = 0; filter < FILTERS; filter++)
	{
		if (parts & FILTER_BIT(filter))
			appendStringInfo(q, " AND %s", closed ? filters[filter].closed : filters[filter].open);
	}
	if (parts & AFTER)
		appendStringInfo(q, " AND ROW(%s, o.id)%sROW($3, $4)", sorts[parts & SORT_MASK].expression, (parts & DESCENDING) ? LT : GT);
	if (parts & WITHIN)
		appendStringInfo(q, " AND ROW(o.created_at, o.id)%sROW($13, $14)", (parts & DESCENDING) ? GE : LE);
}

/* Sorted, and no more than can be shown. */
static void
append_page(StringInfo q, int parts, bool closed)
{
	const char *sort = sorts[parts & SORT_MASK].expression;

	appendStringInfo(q, "(SELECT " STORED ", %s, %s AS sort_value",
					 closed ? "o.closed_at, o.close_reason, o.late" :
					 "NULL::pg_catalog.timestamptz AS closed_at, NULL::pg_catalog.text AS close_reason, false AS late", sort);
	append_rows(q, parts, closed);
	/* a limit that the planner can see: with a parameter it would expect a tenth of all rows */
	appendStringInfo(q, " ORDER BY %s%s, o.id%s LIMIT %d)", sort, direction(parts), direction(parts),
					 (parts & UP_TO_1000) ? MAX_PAGE : (parts & UP_TO_100) ? MEDIUM_PAGE : SMALL_PAGE);
}

static int
window_of(int parts)
{
	return (parts & ALL) ? WINDOW_OF_ALL : (parts & MANY) ? WINDOW_OF_MANY : WINDOW;
}

/* The first row behind the window. */
static void
append_bound(StringInfo q, int parts, bool closed)
{
	appendStringInfoString(q, "(SELECT o.created_at, o.id");
	append_rows(q, parts, closed);
	appendStringInfo(q, " ORDER BY o.created_at%s, o.id%s OFFSET %d LIMIT 1)", direction(parts), direction(parts), window_of(parts));
}

/* How many of the rows in the window satisfy the filters, and how many there are. */
static void
append_count(StringInfo q, int parts, bool closed)
{
	bool		filtered = false;

	appendStringInfoString(q, "(SELECT pg_catalog.count(*)");
	for (int filter = 0; filter < FILTERS; filter++)
	{
		if (!(parts & FILTER_BIT(filter) & ~INDEXED))
			continue;
		appendStringInfo(q, "%s%s", filtered ? " AND " : " FILTER (WHERE ", closed ? filters[filter].closed : filters[filter].open);
		filtered = true;
	}
	/* only columns of the index where that is enough */
	appendStringInfo(q, "%s AS n, pg_catalog.count(*) AS seen FROM (SELECT o.id%s%s", filtered ? ")" : "",
					 filtered ? ", o.status, o.kind, o.expires_at, o.customer_id, o.recovery_attempts" : "",
					 (parts & FILTER_BIT(F_MORE)) ? MORE_COLUMNS : "");
	append_rows(q, parts & ~LOOKED_FOR & ~FILTER_BIT(F_STATUS), closed);
	/* whichever they are when all count: the planner could choose to sort a range that is larger than it thinks */
	appendStringInfo(q, "%s LIMIT %d) o)", filtered ? " ORDER BY o.created_at DESC, o.id DESC" : "", window_of(parts) + 1);
}

/* Both tables, or the one that is wanted. */
static void
append_tables(StringInfo q, int parts, void (*append_table) (StringInfo q, int parts, bool closed))
{
	if (parts & FROM_OPEN)
		append_table(q, parts, false);
	if ((parts & FROM_OPEN) && (parts & FROM_CLOSED))
		appendStringInfoString(q, " UNION ALL ");
	if (parts & FROM_CLOSED)
		append_table(q, parts, true);
}

static char *
page_query(int parts)
{
	StringInfoData q;

	initStringInfo(&q);
	if (parts & COUNT_SHAPE)
	{
		appendStringInfoString(&q, "SELECT COALESCE(pg_catalog.sum(o.n), 0)::pg_catalog.int8, COALESCE(pg_catalog.max(o.seen), 0)"
							   " FROM pg_catalog.unnest($1) AS t (shop_id), LATERAL (");
		append_tables(&q, parts, append_count);
		appendStringInfoString(&q, ") AS o");
	}
	else if (parts & BOUND_SHAPE)
	{
		appendStringInfoString(&q, "SELECT o.created_at, o.id FROM pg_catalog.unnest($1) AS t (shop_id), LATERAL (");
		append_tables(&q, parts, append_bound);
		appendStringInfo(&q, ") AS o ORDER BY o.created_at%s, o.id%s LIMIT 1", direction(parts), direction(parts));
	}
	else
	{
		/* what is shown is made of the rows of the page alone, not of all that it is chosen from */
		appendStringInfoString(&q, "SELECT " SHOWN " FROM (SELECT o.* FROM pg_catalog.unnest($1) AS t (shop_id), LATERAL (");
		append_tables(&q, parts, append_page);
		appendStringInfo(&q, ") AS o ORDER BY o.sort_value%s, o.id%s LIMIT $2) AS o, incomplete_orders.shops s"
						 " WHERE s.shop_id" EQ "o.shop_id ORDER BY o.sort_value%s, o.id%s",
						 direction(parts), direction(parts), direction(parts), direction(parts));
	}
	return q.data;
}

static char *
match_query(int parts)
{
	StringInfoData q;
	bool		first = true;

	initStringInfo(&q);
	appendStringInfoString(&q, "SELECT m.id FROM pg_catalog.unnest($1) AS t (shop_id), LATERAL (");
	for (int way = 0; way < ICO_WAYS; way++)
	{
		if (!(parts & ICO_WAY_BIT(way)))
			continue;
		appendStringInfo(&q, "%s%s", first ? "" : " UNION ALL ", ways[way]);
		first = false;
	}
	appendStringInfo(&q, ") AS m (id, seen_at) GROUP BY m.id ORDER BY pg_catalog.max(m.seen_at) DESC, m.id DESC LIMIT %d",
					 (parts & MATCH_FEW) ? FEW_MATCHES : MAX_MATCHES);
	return q.data;
}

static void
forget_shapes(void)
{
	for (int i = 0; i < n_shapes; i++)
		ico_plan_free(&shapes[i]->plan);
	n_shapes = 0;
	MemoryContextReset(ListContext);
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
	if (ListContext == NULL)
		ListContext = AllocSetContextCreate(TopMemoryContext, "incomplete_orders list", ALLOCSET_DEFAULT_SIZES);
	if (n_shapes == MAX_SHAPES)
		forget_shapes();
	old = MemoryContextSwitchTo(ListContext);
	shape = palloc0(sizeof(Shape));
	shape->parts = parts;
	if (parts & MATCH_SHAPE)
	{
		shape->plan.argtypes = MATCH_ARGS;
		shape->plan.query = match_query(parts);
	}
	else
	{
		shape->plan.argtypes = sorts[parts & SORT_MASK].argtypes;
		shape->plan.query = page_query(parts);
		/*
		 * Of a range that is to be sorted by something else the planner must know how
		 * much it is: for any range it would read all orders rather than use the index.
		 * And of what was not asked for that it costs nothing.
		 */
		shape->plan.custom = (parts & FILTER_BIT(F_MORE)) != 0 ||
			((parts & SORT_MASK) != BY_CREATED && (parts & (FILTER_BIT(F_SINCE) | FILTER_BIT(F_UNTIL) | WITHIN)) != 0);
	}
	MemoryContextSwitchTo(old);
	shapes[n_shapes++] = shape;
	return &shape->plan;
}

/* ---- cursors: the sort key, the sort value and the id of a row, in hexadecimal ---- */

#define CURSOR_BYTES (1 + 8 + UUID_LEN)

static int64
value_to_int64(SortKey key, Datum value)
{
	switch (key)
	{
		case BY_ATTEMPTS:
			return DatumGetInt32(value);
		case BY_TOTAL:
			/* a total fits when scaled, and has no finer decimals */
			value = DirectFunctionCall2(numeric_mul, value, NumericGetDatum(int64_to_numeric(ICO_MONEY_SCALE)));
			return DatumGetInt64(DirectFunctionCall1(numeric_int8, value));
		default:
			return DatumGetTimestampTz(value);
	}
}

static Datum
int64_to_value(SortKey key, int64 value)
{
	switch (key)
	{
		case BY_ATTEMPTS:
			return Int32GetDatum((int32) value);
		case BY_TOTAL:
			return NumericGetDatum(ico_amount_numeric(value, 0));
		default:
			return TimestampTzGetDatum(value);
	}
}

static Datum
make_cursor(int parts, Datum value, const pg_uuid_t *id)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[CURSOR_BYTES];
	char		hex[2 * CURSOR_BYTES];
	uint64		bits = (uint64) value_to_int64(parts & SORT_MASK, value);

	raw[0] = parts & (SORT_MASK | DESCENDING);
	for (int i = 0; i < 8; i++)
		raw[1 + i] = (unsigned char) (bits >> (8 * (7 - i)));
	memcpy(raw + 9, id->data, UUID_LEN);
	for (int i = 0; i < CURSOR_BYTES; i++)
	{
		hex[2 * i] = digits[raw[i] >> 4];
		hex[2 * i + 1] = digits[raw[i] & 15];
	}
	return PointerGetDatum(cstring_to_text_with_len(hex, sizeof(hex)));
}

static void
read_cursor(text *given, ListPage *page)
{
	unsigned char raw[CURSOR_BYTES];
	uint64		bits = 0;

	if (!ico_read_hex(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), raw, CURSOR_BYTES) ||
		raw[0] != (page->parts & (SORT_MASK | DESCENDING)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"after\" is not a cursor of this list"),
				 errdetail("A cursor is the last column of a row of the page before, got with the same sort."),
				 errhint("Leave it out for the first page.")));
	for (int i = 0; i < 8; i++)
		bits = (bits << 8) | raw[1 + i];
	page->after = int64_to_value(page->parts & SORT_MASK, (int64) bits);
	memcpy(page->after_id.data, raw + 9, UUID_LEN);
	page->parts |= AFTER;
}

/* ---- a page ---- */

static Datum
shop_array(IcoRight right, text *shop, int *n)
{
	int32	   *shop_ids;
	Datum	   *elements;

	*n = ico_enter_shops(right, shop, &shop_ids);
	elements = palloc((*n + 1) * sizeof(Datum));
	for (int i = 0; i < *n; i++)
		elements[i] = Int32GetDatum(shop_ids[i]);
	return PointerGetDatum(construct_array(elements, *n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* The result's types are spelled out in list.sql: they must be the statement's. */
static void
check_columns(TupleDesc declared, TupleDesc found)
{
	bool		same = declared->natts == found->natts;

	for (int i = 0; same && i < found->natts - 1; i++)
		same = TupleDescAttr(declared, i)->atttypid == TupleDescAttr(found, i)->atttypid;
	if (!same)
		elog(ERROR, "the columns of a list are not those of its function");
}

/* Puts the statement's rows; the sort value in the last column becomes the cursor. */
static void
put_rows(ReturnSetInfo *rsinfo, int parts)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));

	check_columns(rsinfo->setDesc, desc);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(SPI_tuptable->vals[i], desc, values, nulls);
		values[desc->natts - 1] = make_cursor(parts, values[desc->natts - 1], DatumGetUUIDP(values[1]));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_freetuptable(SPI_tuptable);
}

static uint64
execute_shape(const ListPage *page, int parts)
{
	IcoArgs		args;

	args.n = 0;
	ico_arg(&args, page->shops);
	ico_arg(&args, Int32GetDatum(page->rows));
	if (parts & AFTER)
	{
		ico_arg(&args, page->after);
		ico_arg(&args, UUIDPGetDatum(&page->after_id));
	}
	else
	{
		ico_arg_null(&args);
		ico_arg_null(&args);
	}
	for (int filter = 0; filter <= F_IDS; filter++)
	{
		if (parts & FILTER_BIT(filter))
			ico_arg(&args, page->filters[filter]);
		else
			ico_arg_null(&args);
	}
	if (parts & WITHIN)
	{
		ico_arg(&args, TimestampTzGetDatum(page->bound));
		ico_arg(&args, UUIDPGetDatum(&page->bound_id));
	}
	else
	{
		ico_arg_null(&args);
		ico_arg_null(&args);
	}
	for (int i = 0; i < MORE_FILTERS; i++)
	{
		if ((parts & FILTER_BIT(F_MORE)) && !page->more[i].isnull)
			ico_arg(&args, page->more[i].value);
		else
			ico_arg_null(&args);
	}
	return ico_execute_read(shape_of(parts), args.values, args.nulls, GetActiveSnapshot());
}

/* Finds out how far a bounded page may go, unless indexes lead to all that is wanted. */
static void
bound_page(ListPage *page)
{
	bool		by_created = (page->parts & SORT_MASK) == BY_CREATED;
	int			parts = page->parts & ~LOOKED_FOR & ~FILTER_BIT(F_STATUS);
	bool		all_rare = (!(page->parts & FROM_OPEN) || (page->parts & RARE_OPEN)) &&
		(!(page->parts & FROM_CLOSED) || (page->parts & RARE_CLOSED));
	bool		isnull;

	if (by_created && !(page->parts & LOOKED_FOR) && (!(page->parts & FILTER_BIT(F_STATUS)) || all_rare))
		return;
	if (!by_created)
		parts &= ~(AFTER | SORT_MASK);
	if (execute_shape(page, (parts & ~(UP_TO_100 | UP_TO_1000)) | BOUND_SHAPE) == 0)
		return;
	if (!by_created)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too many orders to sort them by %s", sorts[page->parts & SORT_MASK].name),
				 errdetail("A bounded list can sort at most %d orders by anything but created_at.", window_of(page->parts)),
				 errhint("Narrow it by a search, by since and until, or by a rare status; or sort by created_at.")));
	page->bound = DatumGetTimestampTz(ico_column(0, 1, &isnull));
	memcpy(page->bound_id.data, DatumGetUUIDP(ico_column(0, 2, &isnull))->data, UUID_LEN);
	page->parts |= WITHIN;
}

/* The last row of a page that was not filled: from here on it goes on. */
static void
put_bound(ReturnSetInfo *rsinfo, const ListPage *page)
{
	int			natts = rsinfo->setDesc->natts;
	Datum	   *values = palloc0(natts * sizeof(Datum));
	bool	   *nulls = palloc(natts * sizeof(bool));

	memset(nulls, true, natts * sizeof(bool));
	nulls[natts - 1] = false;
	values[natts - 1] = make_cursor(page->parts, TimestampTzGetDatum(page->bound), &page->bound_id);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
run_page(FunctionCallInfo fcinfo, ListPage *page)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64		n;

	if (!(page->parts & (FROM_OPEN | FROM_CLOSED)))
		return;
	if (page->rows > MEDIUM_PAGE)
		page->parts |= UP_TO_1000;
	else if (page->rows > SMALL_PAGE)
		page->parts |= UP_TO_100;
	if (page->bounded)
		bound_page(page);
	n = execute_shape(page, page->parts & ~(MANY | ALL));
	put_rows(rsinfo, page->parts);
	if ((page->parts & WITHIN) && n < (uint64) page->rows)
		put_bound(rsinfo, page);
}

static void
set_filter(ListPage *page, Filter filter, Datum value)
{
	page->parts |= FILTER_BIT(filter);
	page->filters[filter] = value;
}

/* ---- searches ---- */

static void
text_arg(IcoArgs *args, text *value)
{
	if (value == NULL)
		ico_arg_null(args);
	else
		ico_arg(args, PointerGetDatum(value));
}

/* The ids of what matches, newest first; they become a filter of the page.  Whether there may be more. */
static bool
filter_matches(ListPage *page, const IcoMatch *match)
{
	IcoArgs		args;
	Datum	   *ids;
	int			n = 0;
	bool		isnull;

	args.n = 0;
	ico_arg(&args, page->shops);
	text_arg(&args, match->email);
	text_arg(&args, match->above);
	text_arg(&args, match->phone);
	text_arg(&args, match->customer_id);
	text_arg(&args, match->session_id);
	text_arg(&args, match->reference);
	text_arg(&args, match->number);
	ico_arg(&args, UUIDPGetDatum(&match->id));
	if (match->ways != 0)
		n = ico_execute_read(shape_of(match->ways | MATCH_SHAPE | (page->bounded ? MATCH_FEW : 0)), args.values, args.nulls, GetActiveSnapshot());
	ids = palloc((n + 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
		ids[i] = ico_column(i, 1, &isnull);
	if (match->is_id)
		ids[n++] = UUIDPGetDatum(&match->id);
	set_filter(page, F_IDS, PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)));
	return n >= (page->bounded ? FEW_MATCHES : MAX_MATCHES);
}

/* ---- arguments of list_orders ---- */

static int
read_sort(text *given)
{
	const char *name = text_to_cstring(given);
	int			parts = 0;

	if (*name == '-')
	{
		parts = DESCENDING;
		name++;
	}
	for (int key = 0; key < SORT_KEYS; key++)
	{
		if (strcmp(name, sorts[key].name) == 0)
			return parts | key;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"sort\" names no order of this list"),
			 errdetail("There are created_at, updated_at, total_amount and recovery_attempts; with a minus sign before it the greatest come first.")));
	return 0;
}

/* A table in which no wanted state occurs is not read; states that are rare have their own index. */
static int
tables_of(Datum statuses)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			parts = 0;
	int			often = 0;

	deconstruct_array(DatumGetArrayTypeP(statuses), ico_catalog()->status_type, sizeof(Oid), true, TYPALIGN_INT,
					  &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		IcoStatus	status;

		if (nulls[i])
			continue;
		status = ico_status_of(values[i]);
		parts |= status <= ICO_ABANDONED ? FROM_OPEN : FROM_CLOSED;
		if (status == ICO_PENDING || status == ICO_ABANDONED)
			often |= FROM_OPEN;
		else if (status == ICO_CONVERTED || status == ICO_EXPIRED)
			often |= FROM_CLOSED;
	}
	if (parts & ~often & FROM_OPEN)
		parts |= RARE_OPEN;
	if (parts & ~often & FROM_CLOSED)
		parts |= RARE_CLOSED;
	return parts;
}

static void
read_filter(ListPage *page, FunctionCallInfo fcinfo, int argument, Filter filter)
{
	if (!PG_ARGISNULL(argument))
		set_filter(page, filter, PG_GETARG_DATUM(argument));
}

/* What several functions take, their arguments in the order of Filter from `first` on, and from `more` on. */
static void
read_filters(ListPage *page, FunctionCallInfo fcinfo, int first, int more)
{
	for (int filter = F_STATUS; filter <= F_ATTEMPTS; filter++)
		read_filter(page, fcinfo, first + filter, filter);
	for (int i = 0; i < MORE_FILTERS; i++)
	{
		page->more[i] = fcinfo->args[more + i];
		if (!page->more[i].isnull)
			page->parts |= FILTER_BIT(F_MORE);
	}
	if (page->parts & FILTER_BIT(F_STATUS))
		page->parts |= tables_of(page->filters[F_STATUS]);
	else
		page->parts |= FROM_OPEN | FROM_CLOSED;
}

static void
read_page(FunctionCallInfo fcinfo, ListPage *page)
{
	page->parts |= PG_ARGISNULL(ARG_SORT) ? BY_CREATED | DESCENDING : read_sort(PG_GETARG_TEXT_PP(ARG_SORT));
	page->rows = PG_ARGISNULL(ARG_PAGE_SIZE) ? DEFAULT_PAGE : PG_GETARG_INT32(ARG_PAGE_SIZE);
	if (page->rows < 1 || page->rows > MAX_PAGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"page_size\" must be from 1 to %d", MAX_PAGE)));
	if (!PG_ARGISNULL(ARG_AFTER))
		read_cursor(PG_GETARG_TEXT_PP(ARG_AFTER), page);
	read_filters(page, fcinfo, ARG_STATUS, ARG_MORE);
}

/* The shops that the caller may see, and what the search leaves of them; false: nothing. */
static bool
enter_list(FunctionCallInfo fcinfo, IcoRight right, int search_argument, ListPage *page)
{
	text	   *shop = PG_ARGISNULL(ARG_SHOP) ? NULL : PG_GETARG_TEXT_PP(ARG_SHOP);
	text	   *search;
	IcoMatch	match;
	int			n;

	page->shops = shop_array(right, shop, &n);
	search = ico_optional_key(fcinfo, search_argument, "search");
	if (n == 0)
		return false;
	if (n > ALL_SHOPS)
		page->parts |= ALL;
	else if (n > MANY_SHOPS)
		page->parts |= MANY;
	if (search != NULL)
	{
		ico_read_search(search, &match);
		page->cut = filter_matches(page, &match);
	}
	return true;
}

Datum
ico_list_orders(PG_FUNCTION_ARGS)
{
	ListPage	page = {0};
	bool		any;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	page.bounded = !PG_ARGISNULL(ARG_BOUNDED) && PG_GETARG_BOOL(ARG_BOUNDED);
	any = enter_list(fcinfo, ICO_RIGHT_list_orders, ARG_SEARCH, &page);
	read_page(fcinfo, &page);
	if (any)
		run_page(fcinfo, &page);
	SPI_finish();
	return (Datum) 0;
}

#define COUNT_ARG_SEARCH 8
#define COUNT_ARG_MORE 9

Datum
ico_count_orders(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListPage	page = {.parts = BY_CREATED | DESCENDING,.bounded = true};
	Datum		values[2] = {Int64GetDatum(0), BoolGetDatum(false)};
	bool		nulls[2] = {false, false};
	int64		n;
	bool		isnull;
	bool		any;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	any = enter_list(fcinfo, ICO_RIGHT_count_orders, COUNT_ARG_SEARCH, &page);
	read_filters(&page, fcinfo, ARG_STATUS, COUNT_ARG_MORE);
	if (any && (page.parts & (FROM_OPEN | FROM_CLOSED)))
	{
		execute_shape(&page, page.parts | COUNT_SHAPE);
		n = DatumGetInt64(ico_column(0, 1, &isnull));
		values[0] = Int64GetDatum(Min(n, WINDOW));
		values[1] = BoolGetDatum(page.cut || n > WINDOW || DatumGetInt64(ico_column(0, 2, &isnull)) > window_of(page.parts));
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	SPI_finish();
	return (Datum) 0;
}

/* The newest of what matches. */
static void
run_matches(FunctionCallInfo fcinfo, IcoRight right, text *shop, const IcoMatch *match, int rows)
{
	ListPage	page;
	int			n;

	page.parts = BY_CREATED | DESCENDING | FROM_OPEN | FROM_CLOSED;
	page.rows = rows;
	page.bounded = false;
	page.shops = shop_array(right, shop, &n);
	if (n == 0)
		return;
	(void) filter_matches(&page, match);
	run_page(fcinfo, &page);
}

Datum
ico_find_orders(PG_FUNCTION_ARGS)
{
	IcoMatch	match;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_read_search(ico_require_key(fcinfo, 0, "search"), &match);
	run_matches(fcinfo, ICO_RIGHT_find_orders, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &match, MAX_FOUND);
	SPI_finish();
	return (Datum) 0;
}

Datum
ico_orders_of(PG_FUNCTION_ARGS)
{
	IcoMatch	match;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	memset(&match, 0, sizeof(match));
	match.customer_id = ico_optional_key(fcinfo, 0, "customer_id");
	match.session_id = ico_optional_key(fcinfo, 1, "session_id");
	if (match.customer_id != NULL)
		match.ways |= ICO_WAY_BIT(W_CUSTOMER);
	if (match.session_id != NULL)
		match.ways |= ICO_WAY_BIT(W_SESSION);
	if (match.ways == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("neither \"customer_id\" nor \"session_id\" was given"),
				 errhint("Name the customer, the session, or both.")));
	run_matches(fcinfo, ICO_RIGHT_orders_of, PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2), &match, MAX_PAGE);
	SPI_finish();
	return (Datum) 0;
}

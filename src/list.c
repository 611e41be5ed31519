/*
 * list.c
 *		Pages of incomplete orders, searches, and the history of one.
 *
 * A page is one statement, so that an order which is just being closed stands in
 * it once.  Each shop and each of the two tables gives at most a page in the
 * wanted order, by its index on (shop_id, created_at, id) where it is sorted by
 * that; what costs (jsonb, the order number) is worked out for the rows of the
 * page only.  The next page begins after the last row's sort value and id: that
 * pair is the cursor, so pages neither skip nor repeat an order that stays put.
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
#include "mb/pg_wchar.h"
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
#include "tenant.h"

#define DEFAULT_PAGE 20
#define SMALL_PAGE 20
#define MEDIUM_PAGE 100
#define MAX_PAGE 1000
#define MAX_FOUND 100			/* rows of find_orders */
#define MAX_MATCHES 10000		/* ids that a search hands on */
#define MIN_PREFIX 3
#define MAX_SHAPES 64

/* arguments of list_orders */
enum
{
	ARG_SHOP, ARG_STATUS, ARG_KIND, ARG_SINCE, ARG_UNTIL, ARG_EXPIRED, ARG_GUEST, ARG_ATTEMPTS,
	ARG_SEARCH, ARG_SORT, ARG_AFTER, ARG_PAGE_SIZE
};

typedef enum SortKey
{
	BY_CREATED, BY_UPDATED, BY_TOTAL, BY_ATTEMPTS
} SortKey;
#define SORT_KEYS 4

static const struct
{
	const char *name;
	const char *expression;
	const char *argtypes;		/* those of a shape with this sort key */
}			sorts[SORT_KEYS] = {
#define SHAPE_ARGS(cursor) "Ai" cursor "uSkzzbbiU"
	[BY_CREATED] = {"created_at", "o.created_at", SHAPE_ARGS("z")},
	[BY_UPDATED] = {"updated_at", "o.last_activity_at", SHAPE_ARGS("z")},
	[BY_TOTAL] = {"total_amount",
		"incomplete_orders._order_total(o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency)",
	SHAPE_ARGS("n")},
	[BY_ATTEMPTS] = {"recovery_attempts", "o.recovery_attempts", SHAPE_ARGS("i")},
};

typedef enum Filter
{
	F_STATUS, F_KIND, F_SINCE, F_UNTIL, F_EXPIRED, F_GUEST, F_ATTEMPTS, F_IDS
} Filter;
#define FILTERS 8

/*
 * Parameters of every shape: $1 shop_ids, $2 rows, $3 the cursor's sort value,
 * $4 its id, then the filters.
 */
static const struct
{
	const char *open;
	const char *closed;
}			filters[FILTERS] = {
#define BOTH(condition) {condition, condition}
	[F_STATUS] = BOTH("o.status" EQ "ANY ($5)"),
	[F_KIND] = BOTH("o.kind" EQ "$6"),
	[F_SINCE] = BOTH("o.created_at" GE "$7"),
	[F_UNTIL] = BOTH("o.created_at" LT "$8"),
	[F_EXPIRED] = {"(o.expires_at" LE "pg_catalog.now())" EQ "$9", "(o.status" EQ "'expired')" EQ "$9"},
	[F_GUEST] = BOTH("(o.customer_id IS NULL)" EQ "$10"),
	[F_ATTEMPTS] = BOTH("o.recovery_attempts" EQ "$11"),
	[F_IDS] = BOTH("o.id" EQ "ANY ($12)"),
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

/* what a search can be: the ways by which ids are collected */
typedef enum Way
{
	W_EMAIL, W_EMAIL_PREFIX, W_PHONE, W_CUSTOMER, W_SESSION, W_REFERENCE, W_NUMBER, W_ORDER_ID
} Way;
#define WAYS 8
#define WAY_BIT(way) (1 << (way))
#define MATCH_SHAPE 0x40000000	/* set in the parts of a search's shape */

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

static const char *const ways[WAYS] = {
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
} ListPage;

/* What to look for; a way that is not in `ways` has no value. */
typedef struct Match
{
	int			ways;
	text	   *email;
	text	   *above;
	text	   *phone;
	text	   *customer_id;
	text	   *session_id;
	text	   *reference;
	text	   *number;
	pg_uuid_t	id;
	bool		is_id;
} Match;

PG_FUNCTION_INFO_V1(ico_list_orders);
PG_FUNCTION_INFO_V1(ico_find_orders);
PG_FUNCTION_INFO_V1(ico_orders_of);
PG_FUNCTION_INFO_V1(ico_order_history);

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
	" incomplete_orders._order_total(o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency)," \
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

/* The rows of one table for one shop: sorted, and no more than can be shown. */
static void
append_branch(StringInfo q, int parts, bool closed)
{
	const char *sort = sorts[parts & SORT_MASK].expression;

	appendStringInfo(q, "(SELECT " STORED ", %s, %s AS sort_value FROM incomplete_orders.%s o WHERE o.shop_id" EQ "t.shop_id",
					 closed ? "o.closed_at, o.close_reason, o.late" :
					 "NULL::pg_catalog.timestamptz AS closed_at, NULL::pg_catalog.text AS close_reason, false AS late",
					 sort, closed ? "closed_orders" : "open_orders");
	for (int filter = 0; filter < FILTERS; filter++)
	{
		if (parts & FILTER_BIT(filter))
			appendStringInfo(q, " AND %s", closed ? filters[filter].closed : filters[filter].open);
	}
	if (parts & AFTER)
		appendStringInfo(q, " AND ROW(%s, o.id)%sROW($3, $4)", sort, (parts & DESCENDING) ? LT : GT);
	/* a limit that the planner can see: with a parameter it would expect a tenth of all rows */
	appendStringInfo(q, " ORDER BY %s%s, o.id%s LIMIT %d)", sort, direction(parts), direction(parts),
					 (parts & UP_TO_1000) ? MAX_PAGE : (parts & UP_TO_100) ? MEDIUM_PAGE : SMALL_PAGE);
}

static char *
page_query(int parts)
{
	StringInfoData q;

	initStringInfo(&q);
	appendStringInfoString(&q, "SELECT " SHOWN " FROM pg_catalog.unnest($1) AS t (shop_id), LATERAL (");
	if (parts & FROM_OPEN)
		append_branch(&q, parts, false);
	if ((parts & FROM_OPEN) && (parts & FROM_CLOSED))
		appendStringInfoString(&q, " UNION ALL ");
	if (parts & FROM_CLOSED)
		append_branch(&q, parts, true);
	appendStringInfo(&q, ") AS o, incomplete_orders.shops s WHERE s.shop_id" EQ "o.shop_id"
					 " ORDER BY o.sort_value%s, o.id%s LIMIT $2", direction(parts), direction(parts));
	return q.data;
}

static char *
match_query(int parts)
{
	StringInfoData q;
	bool		first = true;

	initStringInfo(&q);
	appendStringInfoString(&q, "SELECT m.id FROM pg_catalog.unnest($1) AS t (shop_id), LATERAL (");
	for (int way = 0; way < WAYS; way++)
	{
		if (!(parts & WAY_BIT(way)))
			continue;
		appendStringInfo(&q, "%s%s", first ? "" : " UNION ALL ", ways[way]);
		first = false;
	}
	appendStringInfo(&q, ") AS m (id, seen_at) GROUP BY m.id ORDER BY pg_catalog.max(m.seen_at) DESC, m.id DESC LIMIT %d",
					 MAX_MATCHES);
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

/* False unless s is exactly n bytes in hexadecimal. */
static bool
read_hex(const char *s, int len, unsigned char *out, int n)
{
	if (len != 2 * n)
		return false;
	memset(out, 0, n);
	for (int i = 0; i < len; i++)
	{
		int			digit;

		if (s[i] >= '0' && s[i] <= '9')
			digit = s[i] - '0';
		else if (s[i] >= 'a' && s[i] <= 'f')
			digit = s[i] - 'a' + 10;
		else if (s[i] >= 'A' && s[i] <= 'F')
			digit = s[i] - 'A' + 10;
		else
			return false;
		out[i / 2] = (out[i / 2] << 4) | digit;
	}
	return true;
}

static void
read_cursor(text *given, ListPage *page)
{
	unsigned char raw[CURSOR_BYTES];
	uint64		bits = 0;

	if (!read_hex(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), raw, CURSOR_BYTES) ||
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

static void
run_page(FunctionCallInfo fcinfo, ListPage *page)
{
	IcoArgs		args;

	if (!(page->parts & (FROM_OPEN | FROM_CLOSED)))
		return;
	if (page->rows > MEDIUM_PAGE)
		page->parts |= UP_TO_1000;
	else if (page->rows > SMALL_PAGE)
		page->parts |= UP_TO_100;
	args.n = 0;
	ico_arg(&args, page->shops);
	ico_arg(&args, Int32GetDatum(page->rows));
	if (page->parts & AFTER)
	{
		ico_arg(&args, page->after);
		ico_arg(&args, UUIDPGetDatum(&page->after_id));
	}
	else
	{
		ico_arg_null(&args);
		ico_arg_null(&args);
	}
	for (int filter = 0; filter < FILTERS; filter++)
	{
		if (page->parts & FILTER_BIT(filter))
			ico_arg(&args, page->filters[filter]);
		else
			ico_arg_null(&args);
	}
	ico_execute_read(shape_of(page->parts), args.values, args.nulls, GetActiveSnapshot());
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, page->parts);
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

/* The ids of what matches, newest first; they become a filter of the page. */
static void
filter_matches(ListPage *page, const Match *match)
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
		n = ico_execute_read(shape_of(match->ways | MATCH_SHAPE), args.values, args.nulls, GetActiveSnapshot());
	ids = palloc((n + 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
		ids[i] = ico_column(i, 1, &isnull);
	if (match->is_id)
		ids[n++] = UUIDPGetDatum(&match->id);
	set_filter(page, F_IDS, PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)));
}

/* Above every text that begins so, byte by byte. */
static text *
above_prefix(text *prefix)
{
	StringInfoData s;

	initStringInfo(&s);
	appendBinaryStringInfo(&s, VARDATA_ANY(prefix), VARSIZE_ANY_EXHDR(prefix));
	/* the last code point of all; in any other encoding no byte is above 0xff */
	appendStringInfoString(&s, GetDatabaseEncoding() == PG_UTF8 ? "\xf4\x8f\xbf\xbf" : "\xff");
	return cstring_to_text_with_len(s.data, s.len);
}

static void
match_email(Match *match, const char *word, int len)
{
	char	   *lower = pnstrdup(word, len);
	bool		prefix = len > MIN_PREFIX && word[len - 1] == '*';

	if (!prefix && memchr(word, '@', len) == NULL)
		return;
	if (prefix)
		len--;
	for (int i = 0; i < len; i++)
		lower[i] = pg_ascii_tolower((unsigned char) lower[i]);
	match->email = cstring_to_text_with_len(lower, len);
	if (prefix)
		match->above = above_prefix(match->email);
	match->ways |= WAY_BIT(prefix ? W_EMAIL_PREFIX : W_EMAIL);
}

static void
match_phone(Match *match, const char *word, int len)
{
	char	   *digits = palloc(len);
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		if (memchr(" ()-./+", word[i], 7) == NULL)
			digits[n++] = word[i];
	}
	if (n == 0 || digits[0] < '0' || digits[0] > '9')
		return;
	match->phone = cstring_to_text_with_len(digits, n);
	match->ways |= WAY_BIT(W_PHONE);
}

/* As Crockford's base32 is read aloud: any case, I and L are 1, O is 0. */
static void
match_reference(Match *match, const char *word, int len)
{
	char		out[14] = "INC-";
	int			n = 0;

	if (len >= 3 && pg_strncasecmp(word, "INC", 3) == 0 && len - 3 >= 10)
		word += 3, len -= 3;
	for (int i = 0; i < len; i++)
	{
		char		c = pg_ascii_toupper((unsigned char) word[i]);

		if (c == '-' || c == ' ')
			continue;
		if (c == 'I' || c == 'L')
			c = '1';
		else if (c == 'O')
			c = '0';
		if (n == 10 || strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c) == NULL)
			return;
		out[4 + n++] = c;
	}
	if (n != 10)
		return;
	match->reference = cstring_to_text_with_len(out, sizeof(out));
	match->ways |= WAY_BIT(W_REFERENCE);
}

/* An id of ours, or that of a completed order; written like any uuid. */
static void
match_id(Match *match, const char *word, int len)
{
	char		hex[2 * UUID_LEN];
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		if (word[i] == '-' || word[i] == '{' || word[i] == '}')
			continue;
		if (n == sizeof(hex))
			return;
		hex[n++] = word[i];
	}
	if (!read_hex(hex, n, match->id.data, UUID_LEN))
		return;
	match->is_id = true;
	match->ways |= WAY_BIT(W_ORDER_ID);
}

static void
read_search(text *search, Match *match)
{
	const char *word = VARDATA_ANY(search);
	int			len = VARSIZE_ANY_EXHDR(search);

	while (len > 0 && word[len - 1] == ' ')
		len--;
	while (len > 0 && *word == ' ')
		word++, len--;
	memset(match, 0, sizeof(*match));
	if (len == 0)
		return;
	match_email(match, word, len);
	match_phone(match, word, len);
	match_reference(match, word, len);
	match_id(match, word, len);
	match->customer_id = match->session_id = match->number = cstring_to_text_with_len(word, len);
	match->ways |= WAY_BIT(W_CUSTOMER) | WAY_BIT(W_SESSION) | WAY_BIT(W_NUMBER);
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

/* A table in which no wanted state occurs is not read. */
static int
tables_of(Datum statuses)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			parts = 0;

	deconstruct_array(DatumGetArrayTypeP(statuses), ico_catalog()->status_type, sizeof(Oid), true, TYPALIGN_INT,
					  &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			parts |= ico_status_of(values[i]) <= ICO_ABANDONED ? FROM_OPEN : FROM_CLOSED;
	}
	return parts;
}

static void
read_page(FunctionCallInfo fcinfo, ListPage *page)
{
	static const int arguments[] = {ARG_STATUS, ARG_KIND, ARG_SINCE, ARG_UNTIL, ARG_EXPIRED, ARG_GUEST, ARG_ATTEMPTS};

	page->parts = PG_ARGISNULL(ARG_SORT) ? BY_CREATED | DESCENDING : read_sort(PG_GETARG_TEXT_PP(ARG_SORT));
	page->rows = PG_ARGISNULL(ARG_PAGE_SIZE) ? DEFAULT_PAGE : PG_GETARG_INT32(ARG_PAGE_SIZE);
	if (page->rows < 1 || page->rows > MAX_PAGE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"page_size\" must be from 1 to %d", MAX_PAGE)));
	if (!PG_ARGISNULL(ARG_AFTER))
		read_cursor(PG_GETARG_TEXT_PP(ARG_AFTER), page);
	for (int filter = 0; filter < lengthof(arguments); filter++)
	{
		if (!PG_ARGISNULL(arguments[filter]))
			set_filter(page, filter, PG_GETARG_DATUM(arguments[filter]));
	}
	if (page->parts & FILTER_BIT(F_STATUS))
		page->parts |= tables_of(page->filters[F_STATUS]);
	else
		page->parts |= FROM_OPEN | FROM_CLOSED;
}

Datum
ico_list_orders(PG_FUNCTION_ARGS)
{
	ListPage	page;
	Match		match;
	text	   *search;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	page.shops = shop_array(ICO_RIGHT_list_orders, PG_ARGISNULL(ARG_SHOP) ? NULL : PG_GETARG_TEXT_PP(ARG_SHOP), &n);
	read_page(fcinfo, &page);
	search = ico_optional_key(fcinfo, ARG_SEARCH, "search");
	if (search != NULL && n > 0)
	{
		read_search(search, &match);
		filter_matches(&page, &match);
	}
	if (n > 0)
		run_page(fcinfo, &page);
	SPI_finish();
	return (Datum) 0;
}

/* The newest of what matches. */
static void
run_matches(FunctionCallInfo fcinfo, IcoRight right, text *shop, const Match *match, int rows)
{
	ListPage	page;
	int			n;

	page.parts = BY_CREATED | DESCENDING | FROM_OPEN | FROM_CLOSED;
	page.rows = rows;
	page.shops = shop_array(right, shop, &n);
	if (n == 0)
		return;
	filter_matches(&page, match);
	run_page(fcinfo, &page);
}

Datum
ico_find_orders(PG_FUNCTION_ARGS)
{
	Match		match;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	read_search(ico_require_key(fcinfo, 0, "search"), &match);
	run_matches(fcinfo, ICO_RIGHT_find_orders, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &match, MAX_FOUND);
	SPI_finish();
	return (Datum) 0;
}

Datum
ico_orders_of(PG_FUNCTION_ARGS)
{
	Match		match;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	memset(&match, 0, sizeof(match));
	match.customer_id = ico_optional_key(fcinfo, 0, "customer_id");
	match.session_id = ico_optional_key(fcinfo, 1, "session_id");
	if (match.customer_id != NULL)
		match.ways |= WAY_BIT(W_CUSTOMER);
	if (match.session_id != NULL)
		match.ways |= WAY_BIT(W_SESSION);
	if (match.ways == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("neither \"customer_id\" nor \"session_id\" was given"),
				 errhint("Name the customer, the session, or both.")));
	run_matches(fcinfo, ICO_RIGHT_orders_of, PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2), &match, MAX_PAGE);
	SPI_finish();
	return (Datum) 0;
}

/* ---- one order's life ---- */

static bool
order_exists(Datum *key)
{
	static IcoPlan plan = {
		"iu",
		"SELECT 1 FROM incomplete_orders.open_orders WHERE shop_id" EQ "$1 AND id" EQ "$2"
		" UNION ALL SELECT 1 FROM incomplete_orders.closed_orders WHERE shop_id" EQ "$1 AND id" EQ "$2"
	};

	return ico_execute_read(&plan, key, NULL, GetActiveSnapshot()) > 0;
}

/*
 * The cart as it was when it was abandoned is kept with the event that ends the
 * episode; what stands in the order's row is the cart of the last one.  So the
 * difference between two abandonments is that of two neighbours.
 */
#define SNAPSHOT(which, order) \
	"(SELECT s.changes OPERATOR(pg_catalog.->) 'abandoned_items' FROM incomplete_orders.order_changes s" \
	" WHERE s.shop_id" EQ "$1 AND s.order_id" EQ "$2 AND s.event_id" which "e.event_id" \
	" AND s.changes OPERATOR(pg_catalog.->) 'abandoned_items' IS NOT NULL ORDER BY s.event_id" order " LIMIT 1)"
#define CHANGED_SINCE \
	"incomplete_orders.diff(" SNAPSHOT(LT, " DESC") "::incomplete_orders.line_items," \
	" COALESCE(" SNAPSHOT(GT, "") "::incomplete_orders.line_items," \
	" (SELECT o.items FROM incomplete_orders.open_orders o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2)," \
	" (SELECT o.items FROM incomplete_orders.closed_orders o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2)))"

Datum
ico_order_history(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"iu",
		"SELECT h.at, h.event, h.who, h.detail FROM ("
		"SELECT e.at, e.event, e.actor AS who, e.event_id, 0::pg_catalog.int8 AS note_id,"
		" pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object("
		"'status_before', e.status_before, 'status_after', e.status_after, 'reason', e.reason_code,"
		" 'value', e.value, 'currency', e.currency, 'item_count', e.item_count, 'furthest_step', e.furthest_step,"
		" 'kind', e.kind, 'episode', e.episode, 'campaign', e.campaign, 'step', e.step, 'variant', e.variant,"
		" 'holdout', e.holdout, 'message_id', e.message_id, 'machine', e.machine, 'order_id', e.order_ref,"
		" 'paid_amount', e.paid_amount, 'refund_amount', e.refund_amount, 'coupon_cost', e.coupon_cost))"
		CONCAT "CASE WHEN e.event" EQ "'abandoned' AND e.episode" GT "1"
		" THEN pg_catalog.jsonb_build_object('changes', pg_catalog.jsonb_build_object('items', " CHANGED_SINCE "))"
		" WHEN c.changes IS NULL OR e.event" EQ "'reanimated' THEN '{}'"
		" ELSE pg_catalog.jsonb_build_object('changes', c.changes) END AS detail"
		" FROM incomplete_orders.order_events e LEFT JOIN incomplete_orders.order_changes c"
		" ON c.shop_id" EQ "e.shop_id AND c.order_id" EQ "e.order_id AND c.event_id" EQ "e.event_id"
		/* what only reports need */
		" WHERE e.shop_id" EQ "$1 AND e.order_id" EQ "$2 AND e.event" NE "'recounted'"
		" UNION ALL SELECT n.at, 'note', n.actor, NULL, n.note_id, pg_catalog.jsonb_build_object('note', n.note)"
		" FROM incomplete_orders.order_notes n WHERE n.shop_id" EQ "$1 AND n.order_id" EQ "$2"
		") h ORDER BY h.at, h.event_id, h.note_id"
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	IcoShop		shop;
	Datum		key[2];
	uint64		n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"id\" must not be null")));
	SPI_connect();
	ico_enter_order(ICO_RIGHT_order_history, PG_GETARG_UUID_P(0), &shop);
	key[0] = Int32GetDatum(shop.shop_id);
	key[1] = PG_GETARG_DATUM(0);
	if (!order_exists(key))
		ico_refuse_order(PG_GETARG_UUID_P(0));
	n = ico_execute_read(&plan, key, NULL, GetActiveSnapshot());
	for (uint64 i = 0; i < n; i++)
	{
		Datum		values[4];
		bool		nulls[4];

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}

/*
 * stock.c
 *		What a shop can still sell: its function availability(skus).
 *
 * The function is asked with the rights of the role that named it (hook.c), before
 * any lock is taken, for all skus of a batch at once.  A sku that it says nothing
 * of cannot be sold; available null is as many as anybody wants, unit_price null
 * the price as captured.  Prices are in the shop's currency: a cart in another one
 * keeps its own.
 *
 * Nothing is reserved: two carts that want the last one are both told that it is
 * there.
 *
 * What decides in SQL which cart is mailed reads the answers of its batch through
 * functions (rules.c): they are in force while that statement runs.
 *
 * Locks: none while it is asked.  Who notes its failure or success has an advisory
 * lock of the shop; who does not get that at once leaves it to the other.
 * Memory: the caller's context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "hook.h"
#include "plan.h"
#include "queue.h"
#include "stock.h"
#include "tick.h"

/* next to TICK_LOCK */
#define STOCK_LOCK 0x49434f02
#define HOOK "availability"

PG_FUNCTION_INFO_V1(ico_answer_due);

/* what the statements that are running decide by */
static IcoStock **deciding = NULL;
static int	n_deciding = 0;

static int
compare(const char *a, int a_len, const char *b, int b_len)
{
	int			order = memcmp(a, b, Min(a_len, b_len));

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_skus(const void *a, const void *b)
{
	text	   *left = ((const IcoSku *) a)->sku;
	text	   *right = ((const IcoSku *) b)->sku;

	return compare(VARDATA_ANY(left), VARSIZE_ANY_EXHDR(left), VARDATA_ANY(right), VARSIZE_ANY_EXHDR(right));
}

static IcoSku *
find_sku(const IcoStock *stock, const char *sku, int len)
{
	int			low = 0;
	int			high = stock->n;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		IcoSku	   *found = &stock->skus[middle];
		int			order = compare(sku, len, VARDATA_ANY(found->sku), VARSIZE_ANY_EXHDR(found->sku));

		if (order == 0)
			return found;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* ---- asking ---- */

/* The skus of what is left in these carts, each once. */
static void
collect_skus(IcoStock *stock, LineItems **carts, int n)
{
	int			size = 0;
	int			kept = 0;

	for (int i = 0; i < n; i++)
		size += ico_items_lines(carts[i]);
	stock->skus = palloc0((size + 1) * sizeof(IcoSku));
	for (int i = 0; i < n; i++)
	{
		IcoLineReader reader;
		IcoLine		line;

		ico_line_reader_init(&reader, carts[i]);
		while (ico_line_next(&reader, &line))
		{
			CHECK_FOR_INTERRUPTS();
			if (line.quantity > line.filled)
				stock->skus[stock->n++].sku = cstring_to_text_with_len(line.sku, line.sku_len);
		}
	}
	qsort(stock->skus, stock->n, sizeof(IcoSku), compare_skus);
	for (int i = 0; i < stock->n; i++)
	{
		if (kept == 0 || compare_skus(&stock->skus[kept - 1], &stock->skus[i]) != 0)
			stock->skus[kept++] = stock->skus[i];
	}
	stock->n = kept;
	for (int i = 0; i < kept; i++)
		stock->skus[i].unit_price = -1;
}

/* A row of the answer; the skus are set to nothing available before. */
static void
read_row(IcoStock *stock, bool *said, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	text	   *name = DatumGetTextPP(SPI_getbinval(row, desc, 1, &isnull));
	IcoSku	   *sku = find_sku(stock, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	Datum		value;

	if (sku == NULL)
		return;
	if (said[sku - stock->skus])
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("availability() has more than one row for a sku")));
	said[sku - stock->skus] = true;
	value = SPI_getbinval(row, desc, 2, &isnull);
	sku->available = isnull ? PG_INT64_MAX : Max(DatumGetInt32(value), 0);
	value = SPI_getbinval(row, desc, 3, &isnull);
	if (!isnull && (!ico_money_from_numeric(DatumGetNumeric(value), &sku->unit_price) ||
					sku->unit_price < 0 || sku->unit_price >= ICO_ITEM_PRICE_LIMIT))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("availability() gives a unit_price that is no price")));
}

static void
read_answer(void *arg, uint64 rows)
{
	IcoStock   *stock = arg;
	bool	   *said = palloc0(stock->n * sizeof(bool));

	for (uint64 i = 0; i < rows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_row(stock, said, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
}

static void
ask(IcoStock *stock, const char *function, const char *role)
{
	Datum	   *skus = palloc(stock->n * sizeof(Datum));
	IcoHook		hook = {.shop_id = stock->shop_id, .role = role, .n_args = 1, .types = {TEXTARRAYOID}, .read = read_answer, .arg = stock};

	for (int i = 0; i < stock->n; i++)
		skus[i] = PointerGetDatum(stock->skus[i].sku);
	hook.values[0] = ico_array_of(skus, stock->n, TEXTOID);
	hook.query = psprintf("SELECT a.sku::pg_catalog.text, a.available::pg_catalog.int4, a.unit_price::pg_catalog.numeric"
						  " FROM %s($1) a WHERE a.sku" EQ "ANY ($1)", function);
	/* one more shows that a sku is there twice */
	hook.most = stock->n + 1;
	stock->failed = !ico_call_hook(&hook, &stock->sqlstate);
}

/* Who is to be asked; NULL: nobody. */
static IcoStock *
find_function(int32 shop_id, Snapshot snapshot, char **function, char **role)
{
	static IcoPlan plan = {
		"i",
		"SELECT s.availability, s.availability_role, s.currency FROM incomplete_orders.shops s"
		" WHERE s.shop_id" EQ "$1 AND s.availability IS NOT NULL"
	};
	Datum		values[1] = {Int32GetDatum(shop_id)};
	IcoStock   *stock;
	bool		isnull;

	if (ico_execute_read(&plan, values, NULL, snapshot) == 0)
		return NULL;
	stock = palloc0(sizeof(IcoStock));
	stock->shop_id = shop_id;
	*function = TextDatumGetCString(ico_column(0, 1, &isnull));
	*role = TextDatumGetCString(ico_column(0, 2, &isnull));
	strlcpy(stock->currency, TextDatumGetCString(ico_column(0, 3, &isnull)), sizeof(stock->currency));
	return stock;
}

IcoStock *
ico_ask_stock(int32 shop_id, LineItems **carts, int n, Snapshot snapshot)
{
	char	   *function;
	char	   *role;
	IcoStock   *stock = find_function(shop_id, snapshot, &function, &role);

	if (stock == NULL)
		return NULL;
	collect_skus(stock, carts, n);
	if (stock->n > 0)
		ask(stock, function, role);
	return stock;
}

IcoStock *
ico_ask_for(int32 shop_id, IcoPlan *plan, Datum *values, Snapshot snapshot)
{
	char	   *function;
	char	   *role;
	IcoStock   *stock = find_function(shop_id, snapshot, &function, &role);
	LineItems **carts;
	uint64		rows;
	bool		isnull;

	if (stock == NULL)
		return NULL;
	rows = ico_execute_read(plan, values, NULL, snapshot);
	carts = palloc((rows + 1) * sizeof(LineItems *));
	for (uint64 i = 0; i < rows; i++)
		carts[i] = DatumGetLineItemsP(ico_column(i, 1, &isnull));
	collect_skus(stock, carts, (int) rows);
	if (stock->n > 0)
		ask(stock, function, role);
	return stock;
}

/* ---- the answer ---- */

bool
ico_stock_knows(const IcoStock *stock, const LineItems *items)
{
	IcoLineReader reader;
	IcoLine		line;

	ico_line_reader_init(&reader, items);
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (line.quantity > line.filled && find_sku(stock, line.sku, line.sku_len) == NULL)
			return false;
	}
	return true;
}

bool
ico_stock_price(const IcoStock *stock, const char *sku, int len, int64 *unit_price)
{
	const IcoSku *found = stock->failed ? NULL : find_sku(stock, sku, len);

	if (found == NULL || found->available == 0 || found->unit_price < 0)
		return false;
	*unit_price = found->unit_price;
	return true;
}

void
ico_stock_begin(IcoStockWalk *walk, IcoStock *stock, const char *currency)
{
	memset(walk, 0, sizeof(IcoStockWalk));
	if (stock == NULL || stock->failed)
		return;
	stock->walk++;
	walk->stock = stock;
	walk->prices = strcmp(stock->currency, currency) == 0;
}

bool
ico_stock_line(IcoStockWalk *walk, IcoLine *line, IcoLineChange *change)
{
	int64		left = line->quantity - line->filled;
	int64		sold = Max(left, 0);
	IcoSku	   *sku;

	memset(change, 0, sizeof(IcoLineChange));
	if (sold == 0 || walk->stock == NULL)
		return sold > 0;
	sku = find_sku(walk->stock, line->sku, line->sku_len);
	if (sku == NULL)
		return true;
	/* several lines may want the same */
	if (sku->walk != walk->stock->walk)
	{
		sku->walk = walk->stock->walk;
		sku->left = sku->available;
	}
	sold = Min(left, sku->left);
	sku->left -= sold;
	line->quantity -= left - sold;
	change->gone = left - sold;
	/* with a price by which the cart would cost more than one can, it keeps its own */
	if (walk->prices && sold > 0 && sku->unit_price >= 0 && sku->unit_price != line->unit_price &&
		sku->unit_price <= (ICO_ITEM_PRICE_LIMIT - walk->total) / sold)
	{
		walk->total += sku->unit_price * sold;
		change->repriced = true;
		change->old_price = line->unit_price;
		line->unit_price = sku->unit_price;
	}
	walk->changed |= change->gone > 0 || change->repriced;
	return sold > 0;
}

/* ---- decisions ---- */

void
ico_decide_by(IcoStock **stocks, int n, void (*step) (void *), void *arg)
{
	IcoStock  **before = deciding;
	int			n_before = n_deciding;

	deciding = stocks;
	n_deciding = n;
	PG_TRY();
	{
		step(arg);
	}
	PG_FINALLY();
	{
		deciding = before;
		n_deciding = n_before;
	}
	PG_END_TRY();
}

IcoStock *
ico_deciding_stock(int32 shop_id)
{
	for (int i = n_deciding - 1; i >= 0; i--)
	{
		if (deciding[i]->shop_id == shop_id)
			return deciding[i];
	}
	return NULL;
}

/* _answer_due(shop_id, at) -> timestamptz: later than at, where the shop was asked in vain */
Datum
ico_answer_due(PG_FUNCTION_ARGS)
{
	IcoStock   *stock = ico_deciding_stock(PG_GETARG_INT32(0));
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);

	PG_RETURN_TIMESTAMPTZ(stock != NULL && stock->failed ? at + ICO_STOCK_WAIT : at);
}

/* ---- health ---- */

void
ico_warn_of_stock(const IcoStock *stock)
{
	if (stock->n > 0)
		ereport(WARNING,
				(errcode(stock->sqlstate),
				 errmsg("the shop's availability() failed"),
				 errdetail("What it can still sell is not known; its error was %s.", unpack_sql_state(stock->sqlstate)),
				 errhint("Call the function as the role that named it to see why.")));
}

void
ico_note_stock(const IcoStock *stock)
{
	static IcoPlan forget = {
		"it", "DELETE FROM incomplete_orders.hook_failures WHERE shop_id" EQ "$1 AND hook" EQ "$2"
	};
	Datum		values[2] = {Int32GetDatum(stock->shop_id), CStringGetTextDatum(HOOK)};
	LOCKTAG		tag;

	if (stock->n == 0)
		return;					/* it was not asked */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, STOCK_LOCK, stock->shop_id, 2);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return;
	if (stock->failed)
		ico_record_failure(stock->shop_id, HOOK, stock->sqlstate);
	else
		(void) ico_execute(&forget, values, NULL);
}

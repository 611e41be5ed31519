/*
 * capture_batch.c
 *		capture_carts: many carts in one call.
 *
 * All of them are tried in one subtransaction, which costs next to nothing.
 * Only when one fails are they done again, each in a subtransaction of its own,
 * so that a bad cart costs its batch time but nobody else's cart.  What is not a
 * cart's fault (a cancel, a deadlock, a full disk) ends the call.
 *
 * Locks: the orders' rows, in the order of the sessions' bytes, so that two
 * batches with the same sessions do not wait for each other in a circle.
 * Memory: one context for the capture at hand, reset after each.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "hook.h"
#include "line_items.h"
#include "plan.h"
#include "privacy.h"
#include "tenant.h"

#define MAX_CARTS 1000
#define SHOWN_KEY_BYTES 64

/* The arguments of one capture, as an object says them. */
typedef struct Given
{
	text	   *session;
	LineItems  *items;
	IcoFacts	facts;
	text	   *shop;
	text	   *at;
	bool		backfill;
} Given;

typedef struct Cart
{
	int			n;				/* place in the array, from 1 */
	JsonbValue	value;
	const char *session;		/* to sort by; not terminated */
	int			session_len;
	pg_uuid_t	id;
	char	   *error;			/* NULL: captured */
} Cart;

typedef struct Batch
{
	IcoShop		shop;
	TimestampTz at;
	Cart	   *carts;			/* sorted by session */
	int			n;
	MemoryContext context;		/* of one capture */
} Batch;

PG_FUNCTION_INFO_V1(ico_capture_carts);

static void
refuse_key(const char *key, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("key \"%s\" %s", key, why),
			 errdetail("The keys of a cart are the arguments of capture_cart(), and backfill.")));
}

/* A string or a number as text; null is absent. */
static text *
text_value(const char *key, const JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	if (value->type == jbvString)
		return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
	if (value->type != jbvNumeric)
		refuse_key(key, "is not a text");
	return cstring_to_text(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
}

static LineItems *
items_value(JsonbValue *value)
{
	if (value->type == jbvNull)
		return NULL;
	return ico_items_from_jsonb(value->type == jbvBinary ? value->val.binary.data : &JsonbValueToJsonb(value)->root);
}

static void
read_key(const char *key, JsonbValue *value, Given *given)
{
	if (strcmp(key, "session_id") == 0)
		given->session = text_value(key, value);
	else if (strcmp(key, "items") == 0)
		given->items = items_value(value);
	else if (strcmp(key, "shop") == 0)
		given->shop = text_value(key, value);
	else if (strcmp(key, "at") == 0)
		given->at = text_value(key, value);
	else if (strcmp(key, "backfill") == 0)
	{
		if (value->type != jbvBool && value->type != jbvNull)
			refuse_key(key, "is neither true nor false");
		given->backfill = value->type == jbvBool && value->val.boolean;
	}
	else if (!ico_read_json_fact(&given->facts, key, value))
		refuse_key(pnstrdup(key, pg_mbcliplen(key, strlen(key), SHOWN_KEY_BYTES)), "is unknown");
}

static Given *
read_cart(const Cart *cart)
{
	Given	   *given = palloc0(sizeof(Given));
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;

	if (cart->value.type != jbvBinary || !JsonContainerIsObject(cart->value.val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a cart must be an object"),
				 errhint("For example {\"session_id\": \"s\", \"items\": []}.")));
	it = JsonbIteratorInit(cart->value.val.binary.data);
	(void) JsonbIteratorNext(&it, &value, false);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);
		read_key(pnstrdup(key.val.string.val, key.val.string.len), &value, given);
	}
	given->session = ico_check_key(given->session, "session_id");
	return given;
}

/* The server's own message would show the text, and a result of ours shows none. */
static TimestampTz
read_at(text *given)
{
	MemoryContext old = CurrentMemoryContext;
	volatile TimestampTz at = 0;

	PG_TRY();
	{
		at = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text_to_cstring(given)),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		if (geterrcode() == ERRCODE_OUT_OF_MEMORY)
			PG_RE_THROW();
		FlushErrorState();
		refuse_key("at", "is not an instant");
	}
	PG_END_TRY();
	return at;
}

static void
capture_one(const Batch *batch, Cart *cart)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	Given	   *given = read_cart(cart);
	IcoShop		shop = batch->shop;
	TimestampTz at = batch->at;

	SPI_connect();
	if (given->shop != NULL)
		ico_enter_shop(ICO_RIGHT_capture_carts, given->shop, &shop);
	if (given->at != NULL)
	{
		at = read_at(given->at);
		ico_check_at(at, &shop);
	}
	/* nobody did anything: whoever was forgotten, ever, stays so */
	if (given->backfill)
		(void) ico_leave_out_forgotten(shop.shop_id, &given->items, &given->facts, DT_NOBEGIN);
	ico_capture(&shop, given->session, given->items, &given->facts, at, &cart->id);
	SPI_finish();
	MemoryContextSwitchTo(old);
	MemoryContextReset(batch->context);
}

static void
capture_range(const Batch *batch, int from, int to)
{
	for (int i = from; i < to; i++)
	{
		CHECK_FOR_INTERRUPTS();
		capture_one(batch, &batch->carts[i]);
	}
}

/* Whether an error says something of the server rather than of the cart. */
static bool
is_grave(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('2', '5', '0', '0', '0'):	/* invalid transaction state */
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):	/* serialization failure, deadlock */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* insufficient resources */
		case MAKE_SQLSTATE('5', '5', '0', '0', '0'):	/* lock not available */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* cancel, shutdown */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system error */
		case MAKE_SQLSTATE('X', 'X', '0', '0', '0'):	/* internal error, corruption */
			return true;
	}
	return false;
}

/* Some of the carts of a batch. */
typedef struct Range
{
	const Batch *batch;
	int			from;
	int			to;
} Range;

static void
capture_some(void *arg)
{
	const Range *range = arg;

	capture_range(range->batch, range->from, range->to);
}

/* Captures carts[from..to) in a subtransaction; NULL, or the message of the failure. */
static char *
try_capture(const Batch *batch, int from, int to)
{
	Range		range = {batch, from, to};
	ErrorData  *error = ico_try(capture_some, &range);

	if (error == NULL)
		return NULL;
	if (is_grave(error->sqlerrcode))
		ReThrowError(error);
	MemoryContextReset(batch->context);
	return error->message;
}

static int
by_session(const void *a, const void *b)
{
	const Cart *x = a;
	const Cart *y = b;
	int			order = memcmp(x->session, y->session, Min(x->session_len, y->session_len));

	if (order == 0)
		order = (x->session_len > y->session_len) - (x->session_len < y->session_len);
	/* carts of one session stay in the order in which they were given */
	return order != 0 ? order : x->n - y->n;
}

static int
by_place(const void *a, const void *b)
{
	return ((const Cart *) a)->n - ((const Cart *) b)->n;
}

static void
find_session(Cart *cart)
{
	JsonbValue	buffer;
	JsonbValue *found = NULL;

	cart->session = "";
	cart->session_len = 0;
	if (cart->value.type == jbvBinary && JsonContainerIsObject(cart->value.val.binary.data))
		found = getKeyJsonValueFromContainer(cart->value.val.binary.data, "session_id", 10, &buffer);
	if (found != NULL && found->type == jbvString)
	{
		cart->session = found->val.string.val;
		cart->session_len = found->val.string.len;
	}
}

static void
read_carts(FunctionCallInfo fcinfo, Batch *batch)
{
	Jsonb	   *given = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	JsonbIterator *it;
	JsonbValue	value;

	if (given == NULL || JB_ROOT_IS_SCALAR(given) || !JB_ROOT_IS_ARRAY(given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"carts\" must be an array"),
				 errhint("For example [{\"session_id\": \"s\", \"items\": []}].")));
	if (JB_ROOT_COUNT(given) > MAX_CARTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"carts\" has %d elements, more than %d", (int) JB_ROOT_COUNT(given), MAX_CARTS),
				 errhint("Call it in batches.")));
	batch->carts = palloc0((JB_ROOT_COUNT(given) + 1) * sizeof(Cart));
	batch->n = 0;
	it = JsonbIteratorInit(&given->root);
	(void) JsonbIteratorNext(&it, &value, false);
	while (JsonbIteratorNext(&it, &value, true) == WJB_ELEM)
	{
		Cart	   *cart = &batch->carts[batch->n];

		cart->n = ++batch->n;
		cart->value = value;
		find_session(cart);
	}
	qsort(batch->carts, batch->n, sizeof(Cart), by_session);
}

static void
put_results(FunctionCallInfo fcinfo, Batch *batch)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	qsort(batch->carts, batch->n, sizeof(Cart), by_place);
	for (int i = 0; i < batch->n; i++)
	{
		Cart	   *cart = &batch->carts[i];
		Datum		values[3] = {Int32GetDatum(cart->n), UUIDPGetDatum(&cart->id), (Datum) 0};
		bool		nulls[3] = {false, cart->error != NULL, cart->error == NULL};

		if (cart->error != NULL)
			values[2] = CStringGetTextDatum(cart->error);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* capture_carts(carts, shop, at) -> (n, id, error) */
Datum
ico_capture_carts(PG_FUNCTION_ARGS)
{
	Batch		batch;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_capture_carts, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), &batch.shop);
	batch.at = ico_enter_at(fcinfo, 2, &batch.shop);
	SPI_finish();
	read_carts(fcinfo, &batch);
	batch.context = AllocSetContextCreate(CurrentMemoryContext, "incomplete_orders capture", ALLOCSET_DEFAULT_SIZES);
	if (try_capture(&batch, 0, batch.n) != NULL)
	{
		for (int i = 0; i < batch.n; i++)
			batch.carts[i].error = try_capture(&batch, i, i + 1);
	}
	put_results(fcinfo, &batch);
	return (Datum) 0;
}

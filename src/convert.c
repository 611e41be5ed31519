/*
 * convert.c
 *		Incomplete orders become orders: exactly once, in one statement.
 *
 * convert_order locks the row of the incomplete order and decides; then that row
 * is moved (or its lines are marked as filled), the order and its lines are
 * inserted and the event is appended, in one transaction.  An ordinary order's
 * row is taken out of open_orders at once; if it then cannot be converted, the
 * error puts it back.  Whoever calls again, or at the same time, waits for the
 * row and finds the order that was made.
 *
 * Memory: the SPI context of the call.  Locks: FOR UPDATE on the incomplete
 * order's row, open or closed; record_order also takes a transaction-level
 * advisory lock on the foreign reference, so that a webhook that comes twice at
 * once records one order.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "campaign.h"
#include "closing.h"
#include "compat.h"
#include "convert.h"
#include "convert_lines.h"
#include "coupon.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "line_items.h"
#include "message.h"
#include "money.h"
#include "plan.h"
#include "tenant.h"
#include "uuid7.h"

/* numbers of our own; a caller's may not look like one, so they never meet */
#define NUMBER_PREFIX "IO-"

PG_FUNCTION_INFO_V1(ico_convert_order);
PG_FUNCTION_INFO_V1(ico_record_order);
PG_FUNCTION_INFO_V1(ico_can_convert);

/* One conversion: what is asked, and what becomes of it. */
typedef struct Conversion
{
	IcoShop		shop;
	bool		paid;
	text	   *order_number;	/* or NULL */
	text	   *idempotency_key;	/* or NULL */
	int64		request_hash;
	text	   *foreign_order;	/* or NULL */
	TimestampTz at;

	pg_uuid_t	order_id;
	int32		part;
	IcoPart		chosen;			/* lines */
	bool		late;
	bool		again;			/* order_id is given: of the row that was taken back */
	bool		settled;		/* the payment came: nothing is refused */
	IcoCharges	charges;		/* that this part bears */
	int64		total;
	Datum		currency;
	Datum		value;			/* of all parts, where it is not what is in the order, or 0 */
	Datum		coupon_cost;	/* what a coupon of ours took off, or 0 */
} Conversion;

/*
 * $1..$7 the event, then $8 order_id  $9 order_number  $10 part  $11 foreign_order
 * $12 shipping  $13 tax  $14 discount  $15 coupon_discount  $16 total  $17 paid
 * $18 late  $19 idempotency_key  $20 request_hash  $21 lines  $22 items_after
 * $23 paid_amount  $24 currency  $25 coupon_cost  $26 value
 */
#define CONVERT_ARGS ICO_EVENT_ARGS "utitnnnnnbbtIllntnn"
#define CONVERT_TOTAL 15		/* index of $16 */
#define INSERT_ORDER \
	"INSERT INTO incomplete_orders.orders (shop_id, order_id, order_number, incomplete_order_id, part," \
	" foreign_order, shipping, tax, discount, coupon_discount, total, currency, paid, paid_at, converted_at, late," \
	" idempotency_key, request_hash)" \
	" VALUES ($1, $8, $9, $2, $10, $11, $12, $13, $14, $15, $16, $24, $17, CASE WHEN $17 THEN $4 END," \
	" $4, $18, $19, $20)"
#define INSERT_ITEMS(shop_id, order_id, lines) \
	"INSERT INTO incomplete_orders.order_items (shop_id, order_id, line, sku, name, quantity, unit_price," \
	" product_id, variant, image_url, url, extras)" \
	" SELECT " shop_id ", " order_id ", u.line, u.sku, u.name, u.quantity, u.unit_price, u.product_id, u.variant," \
	" u.image_url, u.url, u.extras FROM incomplete_orders.unnest(" lines ") u"
#define ORDER_CTES "r AS (" INSERT_ORDER "), i AS (" INSERT_ITEMS("$1", "$8", "$21") ")"
#define CONVERTED_EVENT(source) \
	ICO_EVENT_ROWS_OF(source, "$3", "$4", "$5", "$6", "r.status", "$7", "$24", "COALESCE($26, " ICO_ROW_TOTAL ")", \
					  ", order_ref, paid_amount, coupon_cost", ", $8, $23, $25") ICO_EVENT_TAIL

static int64
next_number(void)
{
	Oid			sequence = get_relname_relid("order_number_seq", ico_catalog()->schema);

	return nextval_internal(sequence, true);
}

static text *
order_number_of(const Conversion *c)
{
	if (c->order_number != NULL)
		return c->order_number;
	return cstring_to_text(psprintf(NUMBER_PREFIX INT64_FORMAT, next_number()));
}

static Datum
money(int64 scaled)
{
	return NumericGetDatum(ico_amount_numeric(scaled, 0));
}

static void
conversion_args(IcoArgs *args, const Conversion *c, const pg_uuid_t *id, const IcoStatus *before, bool closes,
				text *number)
{
	IcoEvent	event = {.event = closes ? "converted" : "partly_converted", .at = c->at};
	int			exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(c->currency)));
	Datum		total = NumericGetDatum(ico_amount_numeric(c->total, exponent));

	ico_event_args(args, c->shop.shop_id, id, &event, before);
	ico_arg(args, UUIDPGetDatum(&c->order_id));
	ico_arg(args, PointerGetDatum(number));
	ico_arg(args, Int32GetDatum(c->part));
	ico_arg_text(args, c->foreign_order);
	ico_arg(args, money(c->charges.shipping));
	ico_arg(args, money(c->charges.tax));
	ico_arg(args, money(c->charges.discount));
	ico_arg(args, money(c->charges.coupon_discount));
	ico_arg(args, total);
	ico_arg(args, BoolGetDatum(c->paid));
	ico_arg(args, BoolGetDatum(c->late));
	ico_arg_text(args, c->idempotency_key);
	ico_arg(args, Int64GetDatum(c->request_hash));
	if (c->chosen.lines == NULL)
		ico_arg_null(args);
	else
		ico_arg(args, PointerGetDatum(c->chosen.lines));
	if (c->chosen.items_after == NULL)
		ico_arg_null(args);
	else
		ico_arg(args, PointerGetDatum(c->chosen.items_after));
	if (c->paid)
		ico_arg(args, total);
	else
		ico_arg_null(args);
	ico_arg(args, c->currency);
	if (c->coupon_cost == (Datum) 0)
		ico_arg_null(args);
	else
		ico_arg(args, c->coupon_cost);
	if (c->value == (Datum) 0)
		ico_arg_null(args);
	else
		ico_arg(args, c->value);
}

/* A unique index that was in the way, said in the words of the caller. */
static void
rethrow_taken(MemoryContext context, text *number)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && error->constraint_name != NULL)
	{
		if (strcmp(error->constraint_name, "orders_number") == 0)
		{
			FlushErrorState();
			ereport(ERROR,
					(errcode(ICO_ERR_TAKEN),
					 errmsg("order number \"%s\" is taken", text_to_cstring(number)),
					 errdetail("Another order of this shop has it."),
					 errhint("Leave order_number out to get the next free one.")));
		}
		if (strcmp(error->constraint_name, "orders_foreign") == 0 || strcmp(error->constraint_name, "orders_part") == 0)
		{
			FlushErrorState();
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("another transaction recorded this order at the same time"),
					 errhint("Try again: the same call then returns that order.")));
		}
	}
	PG_RE_THROW();
}

static uint64
run_conversion(IcoPlan *plan, IcoArgs *args, text *number)
{
	MemoryContext context = CurrentMemoryContext;
	uint64		rows = 0;

	PG_TRY();
	{
		rows = ico_execute(plan, args->values, args->nulls);
	}
	PG_CATCH();
	{
		rethrow_taken(context, number);
	}
	PG_END_TRY();
	return rows;
}

/*
 * The whole order at once: its row is moved, and what it becomes is inserted,
 * with one plain statement for each table.
 */
static void
close_order(const Conversion *c, const IcoTaken *taken, const IcoOrder *order, text *number)
{
	static IcoPlan insert_order = {CONVERT_ARGS, INSERT_ORDER};
	static IcoPlan insert_items = {"iul", INSERT_ITEMS("$1", "$2", "$3")};
	Datum		items_args[3] = {
		Int32GetDatum(order->shop_id), UUIDPGetDatum(&c->order_id), PointerGetDatum(c->chosen.lines)
	};
	IcoArgs		args;
	IcoEvent	event = {.event = "converted", .at = c->at};
	IcoSale		sale = {&c->order_id, c->currency, c->value, (Datum) 0, c->coupon_cost};
	text	   *customer_id;
	text	   *email;
	text	   *phone;

	if (order->status == ICO_ABANDONED)
		ico_cancel_messages(order, "converted", c->at);
	conversion_args(&args, c, &order->id, &order->status, true, number);
	ico_put_closed(taken, ICO_CONVERTED, c->chosen.items_after, &event, c->late);
	ico_vouch_next();
	ico_require_rows("orders", run_conversion(&insert_order, &args, number), 1);
	ico_vouch_next();
	ico_require_rows("order_items", ico_execute(&insert_items, items_args, NULL), ico_items_lines(c->chosen.lines));
	if (c->paid)
		sale.paid_amount = args.values[CONVERT_TOTAL];
	ico_put_closed_event(taken, order, c->chosen.items_after, &event, ICO_CONVERTED, &sale);
	ico_taken_person(taken, &customer_id, &email, &phone);
	ico_note_purchase(order->shop_id, &c->order_id, c->at, customer_id, email, phone);
}

static void
return_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

#define RESULT_COLUMNS 8
#define RESULT_SELECT \
	"SELECT r.order_id, r.order_number, r.incomplete_order_id, r.part, r.total, r.currency, r.paid, r.converted_at," \
	" r.request_hash, r.foreign_order FROM incomplete_orders.orders r WHERE r.shop_id" EQ "$1 AND "

/* Returns the row that SPI has just read. */
static void
return_read(FunctionCallInfo fcinfo)
{
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS];

	for (int i = 0; i < RESULT_COLUMNS; i++)
		values[i] = ico_column(0, i + 1, &nulls[i]);
	return_row(fcinfo, values, nulls);
}

static void
return_made(FunctionCallInfo fcinfo, const Conversion *c, const pg_uuid_t *id, text *number)
{
	int			exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(c->currency)));
	Datum		values[RESULT_COLUMNS];
	bool		nulls[RESULT_COLUMNS] = {false};

	values[0] = UUIDPGetDatum(&c->order_id);
	values[1] = PointerGetDatum(number);
	nulls[2] = id == NULL;
	values[2] = id == NULL ? (Datum) 0 : UUIDPGetDatum(id);
	values[3] = Int32GetDatum(c->part);
	values[4] = NumericGetDatum(ico_amount_numeric(c->total, exponent));
	values[5] = c->currency;
	values[6] = BoolGetDatum(c->paid);
	values[7] = TimestampTzGetDatum(c->at);
	return_row(fcinfo, values, nulls);
}

/* The last part of an incomplete order, or the one of a key. */
static bool
find_part(const Conversion *c, const pg_uuid_t *id, bool by_key)
{
	static IcoPlan last = {
		"iu", RESULT_SELECT "r.incomplete_order_id" EQ "$2 ORDER BY r.part DESC LIMIT 1"
	};
	static IcoPlan keyed = {
		"iut", RESULT_SELECT "r.incomplete_order_id" EQ "$2 AND r.idempotency_key" EQ "$3"
	};
	Datum		values[3] = {Int32GetDatum(c->shop.shop_id), UUIDPGetDatum(id), PointerGetDatum(c->idempotency_key)};

	return ico_execute(by_key ? &keyed : &last, values, NULL) > 0;
}

/* Charges are borne by the first part, rounded to what the currency has. */
static void
compute_total(Conversion *c, const IcoOrder *order)
{
	int			exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(c->currency)));

	memset(&c->charges, 0, sizeof(c->charges));
	if (c->part == 1)
	{
		c->charges.shipping = ico_stored_money(order->charges[0]);
		c->charges.tax = ico_stored_money(order->charges[1]);
		c->charges.discount = ico_stored_money(order->charges[2]);
		c->charges.coupon_discount = ico_stored_money(order->charges[3]);
	}
	c->total = ico_order_total(ico_items_total(c->chosen.lines), &c->charges, exponent);
	if (c->total < 0)
		ereport(ERROR,
				(errcode(ICO_ERR_NEGATIVE_TOTAL),
				 errmsg("the total of order %s would be negative",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id)))),
				 errdetail("Its discounts are larger than its lines, shipping and tax."),
				 errhint("Correct discount and coupon_discount with capture_cart() or edit_order().")));
}

static int32
next_part(const Conversion *c, const IcoOrder *order)
{
	bool		isnull;

	if (order->kind != ICO_PARTIAL || !find_part(c, &order->id, false))
		return 1;
	return DatumGetInt32(ico_column(0, 4, &isnull)) + 1;
}

/* Refuses what a closed order cannot become. */
static void
require_late(const Conversion *c, const IcoOrder *order, const LineItems *asked)
{
	ico_require_move(&order->id, order->status, ICO_CONVERTED);
	if (order->merged)
		ereport(ERROR,
				(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("order %s was merged into another",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id)))),
				 errdetail("Its lines are in that one, and would be ordered twice."),
				 errhint("Convert the order that merge_carts() returned.")));
	if (!c->paid && c->foreign_order == NULL)
		ereport(ERROR,
				(errcode(order->status == ICO_EXPIRED ? ICO_ERR_EXPIRED : ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("order %s is %s and not paid",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id))),
						ico_status_names[order->status]),
				 errdetail("A closed order is converted only when it was paid: late, and flagged so."),
				 errhint("Call convert_order with paid => true once the money is there.")));
	if (asked != NULL)
		ereport(ERROR,
				(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("a closed order is converted whole"),
				 errdetail("Lines of it can no longer be left open."),
				 errhint("Leave the argument \"lines\" out.")));
}

static bool
same_currency(Datum a, Datum b)
{
	return strcmp(text_to_cstring(DatumGetTextPP(a)), text_to_cstring(DatumGetTextPP(b))) == 0;
}

/*
 * Where the shop said what the order comes to, or in which currency, or it was
 * ordered in parts, reports count it as all its parts come to; an order that was
 * not pending is counted so before it is taken out.
 */
static void
count_as_sold(Conversion *c, const IcoOrder *order)
{
	int			exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(c->currency)));
	Datum		total = NumericGetDatum(ico_amount_numeric(c->total, exponent));

	c->value = c->part == 1 ? total :
		DirectFunctionCall2(numeric_add, total, ico_sum_of_parts(c->shop.shop_id, &order->id, c->currency));
	if (order->status != ICO_PENDING || !same_currency(c->currency, order->currency))
		ico_recount(c->shop.shop_id, &order->id, c->at, c->currency, c->value, (Datum) 0);
}

/*
 * Makes the order: the incomplete one is locked (or taken), settled and may be
 * converted.  Returns its number.
 */
static text *
make_order(Conversion *c, IcoOrder *order, IcoTaken *taken, const LineItems *asked, const int64 *total)
{
	static IcoPlan keeping = {
		CONVERT_ARGS,
		"WITH o AS (UPDATE incomplete_orders.open_orders o SET items = $22, kind = 'partial', version = o.version" PLUS "1"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 RETURNING o.*), "
		ORDER_CTES ", " CONVERTED_EVENT("o")
	};
	static IcoPlan late = {
		CONVERT_ARGS,
		"WITH c AS (UPDATE incomplete_orders.closed_orders c SET status = 'converted', late = true, closed_at = $4,"
		" items = COALESCE($22, c.items), version = c.version" PLUS "1"
		" WHERE c.shop_id" EQ "$1 AND c.id" EQ "$2 RETURNING c.*), "
		ORDER_CTES ", " CONVERTED_EVENT("c")
	};
	IcoArgs		args;
	text	   *number;
	bool		closes;
	IcoStatus	before;

	if (c->currency == (Datum) 0)
		c->currency = order->currency;
	c->part = next_part(c, order);
	closes = ico_select_lines(order, asked, c->foreign_order != NULL, &c->chosen);
	if (total != NULL)
	{
		memset(&c->charges, 0, sizeof(c->charges));
		c->total = *total;
	}
	else
		compute_total(c, order);
	c->late = order->closed;
	/* what was paid, or ordered elsewhere, is ordered whatever its coupon */
	if (c->part == 1 && ico_stored_money(order->charges[3]) > 0)
		c->coupon_cost = ico_use_coupon(order, taken->values == NULL ? NULL : taken, c->at,
										!c->settled && !order->closed && c->foreign_order == NULL &&
										order->status != ICO_PAYMENT_PENDING);
	if (!closes)
		ico_reanimate(order, &c->shop, c->at);	/* whoever buys a part is back */
	if (total != NULL || (closes && c->chosen.items_after != NULL) || !same_currency(c->currency, order->currency))
		count_as_sold(c, order);
	if (!c->again)
		ico_uuid7_make(c->shop.shop_id, &c->order_id);
	before = order->status;
	number = order_number_of(c);
	if (closes && !order->closed)
	{
		if (taken->values == NULL)
			ico_take_locked(order, taken);
		close_order(c, taken, order, number);
	}
	else
	{
		conversion_args(&args, c, &order->id, &before, closes, number);
		(void) run_conversion(order->closed ? &late : &keeping, &args, number);
		ico_note_purchase_of(c->shop.shop_id, &order->id, &c->order_id, c->at);
	}
	return number;
}

void
ico_convert_paid(IcoOrder *order, const IcoShop *shop, TimestampTz at)
{
	Conversion	c = {.shop = *shop, .paid = true, .settled = true, .at = at};
	IcoTaken	taken = {0};

	(void) make_order(&c, order, &taken, NULL, NULL);
}

/* A number of the caller's: not one of ours, so the two never meet. */
static text *
read_order_number(FunctionCallInfo fcinfo, int argument)
{
	text	   *number = ico_optional_key(fcinfo, argument, "order_number");

	if (number != NULL && VARSIZE_ANY_EXHDR(number) > strlen(NUMBER_PREFIX) &&
		memcmp(VARDATA_ANY(number), NUMBER_PREFIX, strlen(NUMBER_PREFIX)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"order_number\" must not begin with \"%s\"", NUMBER_PREFIX),
				 errdetail("Numbers of that form are given out by incomplete_orders itself.")));
	return number;
}

static int64
hash_request(const Conversion *c, const LineItems *lines)
{
	uint64		hash = c->paid;

	if (lines != NULL)
		hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(lines), VARSIZE_ANY_EXHDR(lines), hash);
	if (c->order_number != NULL)
		hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(c->order_number),
								   VARSIZE_ANY_EXHDR(c->order_number), hash);
	return (int64) hash;
}

/* True when this call was made before: its order has been returned. */
static bool
return_repeat(FunctionCallInfo fcinfo, const Conversion *c, const IcoOrder *order, const LineItems *asked)
{
	bool		isnull;

	if (c->idempotency_key != NULL && find_part(c, &order->id, true))
	{
		if (DatumGetInt64(ico_column(0, 9, &isnull)) != c->request_hash)
			ereport(ERROR,
					(errcode(ICO_ERR_KEY_REUSED),
					 errmsg("idempotency key was used with other arguments"),
					 errdetail("The first call with this key named other lines, another order number or another payment."),
					 errhint("Use a new key for a new conversion.")));
		return_read(fcinfo);
		return true;
	}
	if (order->status != ICO_CONVERTED || !find_part(c, &order->id, false))
		return false;
	if (asked != NULL)
		ico_refuse_empty(&order->id, "All of it is ordered already.");
	return_read(fcinfo);
	return true;
}

Datum
ico_convert_order(PG_FUNCTION_ARGS)
{
	Conversion	c = {0};
	IcoTaken	taken = {0};
	IcoOrder	order;
	pg_uuid_t  *id = ico_require_id(fcinfo, 0, "id");
	LineItems  *asked = PG_ARGISNULL(1) ? NULL : PG_GETARG_LINE_ITEMS_P(1);

	c.paid = PG_ARGISNULL(2) ? true : PG_GETARG_BOOL(2);
	c.order_number = read_order_number(fcinfo, 3);
	c.idempotency_key = ico_optional_key(fcinfo, 4, "idempotency_key");
	c.request_hash = hash_request(&c, asked);
	if (asked != NULL && c.idempotency_key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("converting some lines needs an idempotency key"),
				 errdetail("Without one, a call that is repeated after a lost answer would order the lines twice."),
				 errhint("Give idempotency_key a value that is unique to this conversion.")));
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_order(ICO_RIGHT_convert_order, id, &c.shop);
	c.at = ico_enter_at(fcinfo, 5, &c.shop);
	/* an ordinary one has no parts, so this call cannot be a repeated one */
	if (asked == NULL && ico_take_ordinary(&c.shop, id, c.at, &taken, &order))
		return_made(fcinfo, &c, &order.id, make_order(&c, &order, &taken, NULL, NULL));
	else
	{
		if (!ico_read_order(c.shop.shop_id, id, true, &order))
			ico_refuse_order(id);
		if (!return_repeat(fcinfo, &c, &order, asked))
		{
			if (!order.closed)
				(void) ico_settle(&order, &c.shop, c.at);
			if (order.closed)
				require_late(&c, &order, asked);
			return_made(fcinfo, &c, &order.id, make_order(&c, &order, &taken, asked, NULL));
		}
	}
	SPI_finish();
	return (Datum) 0;
}

static bool
find_foreign(const Conversion *c)
{
	static IcoPlan plan = {"it", RESULT_SELECT "r.foreign_order" EQ "$2"};
	Datum		values[2] = {Int32GetDatum(c->shop.shop_id), PointerGetDatum(c->foreign_order)};

	return ico_execute(&plan, values, NULL) > 0;
}

/* Two calls with one reference at the same time: the second finds the first's. */
static void
lock_foreign(const Conversion *c)
{
	LOCKTAG		tag;
	uint32		hash = DatumGetUInt32(hash_any((unsigned char *) VARDATA_ANY(c->foreign_order),
											   VARSIZE_ANY_EXHDR(c->foreign_order)));

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) c->shop.shop_id, hash, 2);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* The incomplete order behind a session or customer: open, else closed unconverted. */
static bool
find_incomplete(const Conversion *c, text *session_id, text *customer_id, pg_uuid_t *id)
{
#define NEWEST(table, column, more) \
	"(SELECT o.id FROM incomplete_orders." table " o WHERE o.shop_id" EQ "$1 AND o." column EQ "$2" more \
	" ORDER BY o.last_activity_at DESC LIMIT 1)"
	static IcoPlan by_session = {
		"it",
		"SELECT f.id FROM (SELECT 1 AS rank, o.id FROM " NEWEST("open_orders", "session_id", "") " o"
		" UNION ALL SELECT 2, c.id FROM " NEWEST("closed_orders", "session_id", " AND o.status" NE "'reversed' AND COALESCE(o.close_reason, '')" NE "'merged'") " c)"
		" f ORDER BY f.rank LIMIT 1"
	};
	static IcoPlan by_customer = {"it", NEWEST("open_orders", "customer_id", "")};
	Datum		values[2] = {Int32GetDatum(c->shop.shop_id)};
	bool		isnull;

	for (int i = 0; i < 2; i++)
	{
		text	   *key = i == 0 ? session_id : customer_id;

		if (key == NULL)
			continue;
		values[1] = PointerGetDatum(key);
		if (ico_execute(i == 0 ? &by_session : &by_customer, values, NULL) > 0)
		{
			*id = *DatumGetUUIDP(ico_column(0, 1, &isnull));
			return true;
		}
	}
	return false;
}

/* An order of ours that the shop now knows under its own reference. */
static bool
adopt(FunctionCallInfo fcinfo, const Conversion *c, const IcoOrder *order, const int64 *total)
{
	static IcoPlan plan = {
		"iutn",
		"UPDATE incomplete_orders.orders r SET foreign_order = $3, total = COALESCE($4, r.total)"
		" WHERE r.shop_id" EQ "$1 AND r.order_id" EQ "$2 AND r.foreign_order IS NULL"
	};
	IcoArgs		args = {0};
	pg_uuid_t  *order_id;
	Datum		before;
	bool		isnull;

	if (order->status != ICO_CONVERTED || !find_part(c, &order->id, false))
		return false;
	/* a session lives on: what it bought long before this one is another order */
	if (PG_ARGISNULL(1) && DatumGetTimestampTz(ico_column(0, 8, &isnull)) <= c->at - c->shop.cut_off)
		return false;
	order_id = DatumGetUUIDP(ico_column(0, 1, &isnull));
	before = ico_column(0, 5, &isnull);
	ico_arg(&args, Int32GetDatum(c->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(order_id));
	ico_arg(&args, PointerGetDatum(c->foreign_order));
	if (total == NULL)
		ico_arg_null(&args);
	else
		ico_arg(&args, NumericGetDatum(ico_amount_numeric(*total,
														   ico_currency_exponent(text_to_cstring(DatumGetTextPP(order->currency))))));
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		return false;
	if (total != NULL)
		ico_recount_adopted(c->shop.shop_id, &order->id, order_id, c->at, before);
	if (c->paid)
		(void) ico_mark_paid(c->shop.shop_id, order_id, c->at);
	(void) find_foreign(c);
	return_read(fcinfo);
	return true;
}

/* An order of the shop's that no incomplete order stands behind. */
static void
record_alone(FunctionCallInfo fcinfo, Conversion *c, const int64 *total)
{
	static IcoPlan plan = {
		"iuttnbz",
		"INSERT INTO incomplete_orders.orders (shop_id, order_id, order_number, foreign_order, currency, total, paid,"
		" paid_at, converted_at) VALUES ($1, $2, $3, $3, $4, $5, $6, CASE WHEN $6 THEN $7 END, $7)"
	};
	IcoArgs		args = {0};
	int			exponent;

	if (total == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"total\" is needed for an order that no incomplete order stands behind")));
	if (c->currency == (Datum) 0)
		c->currency = CStringGetTextDatum(c->shop.currency);
	exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(c->currency)));
	c->total = *total;
	c->part = 1;
	ico_uuid7_make(c->shop.shop_id, &c->order_id);
	ico_arg(&args, Int32GetDatum(c->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&c->order_id));
	ico_arg(&args, PointerGetDatum(c->foreign_order));
	ico_arg(&args, c->currency);
	ico_arg(&args, NumericGetDatum(ico_amount_numeric(c->total, exponent)));
	ico_arg(&args, BoolGetDatum(c->paid));
	ico_arg(&args, TimestampTzGetDatum(c->at));
	(void) run_conversion(&plan, &args, c->foreign_order);
	ico_note_purchase(c->shop.shop_id, &c->order_id, c->at, ico_optional_key(fcinfo, 3, "customer_id"), NULL, NULL);
	return_made(fcinfo, c, NULL, c->foreign_order);
}

static bool
read_total(FunctionCallInfo fcinfo, int argument, int64 *total)
{
	if (PG_ARGISNULL(argument))
		return false;
	if (!ico_money_from_numeric(PG_GETARG_NUMERIC(argument), total) || *total < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"total\" is not an amount of money"),
				 errdetail("It must be at least 0, below 10^12, and have at most 6 decimals.")));
	return true;
}

/* The incomplete order that this one completes; false when there is none. */
static bool
read_incomplete(FunctionCallInfo fcinfo, const Conversion *c, IcoOrder *order)
{
	pg_uuid_t	id;

	if (!PG_ARGISNULL(1))
	{
		id = *PG_GETARG_UUID_P(1);
		if (ico_shop_of(&id) != c->shop.shop_id || !ico_read_order(c->shop.shop_id, &id, true, order))
			ico_refuse_order(&id);
		return true;
	}
	return find_incomplete(c, ico_optional_key(fcinfo, 2, "session_id"),
						   ico_optional_key(fcinfo, 3, "customer_id"), &id) &&
		ico_read_order(c->shop.shop_id, &id, true, order);
}

/* record_order(foreign_order, id, session_id, customer_id, total, currency, paid, shop, at) */
Datum
ico_record_order(PG_FUNCTION_ARGS)
{
	Conversion	c = {0};
	IcoTaken	taken = {0};
	IcoOrder	order;
	int64		total;
	bool		has_total = read_total(fcinfo, 4, &total);

	c.foreign_order = ico_require_key(fcinfo, 0, "foreign_order");
	c.order_number = c.foreign_order;
	c.currency = PG_ARGISNULL(5) ? (Datum) 0 : PointerGetDatum(ico_currency_code(PG_GETARG_TEXT_PP(5)));
	c.paid = PG_ARGISNULL(6) ? true : PG_GETARG_BOOL(6);
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_record_order, PG_ARGISNULL(7) ? NULL : PG_GETARG_TEXT_PP(7), &c.shop);
	c.at = ico_enter_at(fcinfo, 8, &c.shop);
	lock_foreign(&c);
	if (find_foreign(&c))
		return_read(fcinfo);
	else if (!read_incomplete(fcinfo, &c, &order))
		record_alone(fcinfo, &c, has_total ? &total : NULL);
	else if (!adopt(fcinfo, &c, &order, has_total ? &total : NULL))
	{
		if (!order.closed)
			(void) ico_settle(&order, &c.shop, c.at);
		if (order.status == ICO_CONVERTED || order.merged || !ico_move_allowed(order.status, ICO_CONVERTED))
			record_alone(fcinfo, &c, has_total ? &total : NULL);
		else
			return_made(fcinfo, &c, &order.id, make_order(&c, &order, &taken, NULL, has_total ? &total : NULL));
	}
	SPI_finish();
	return (Datum) 0;
}

/* --- orders of an attached shop ------------------------------------------------ */

/*
 * The shop completes again what it took back, under the same reference: that order's
 * row makes room for the new one, which has its id.
 */
static void
take_up(Conversion *c, const pg_uuid_t *order_id)
{
	static IcoPlan items = {"iu", "DELETE FROM incomplete_orders.order_items i WHERE i.shop_id" EQ "$1 AND i.order_id" EQ "$2"};
	static IcoPlan row = {"iu", "DELETE FROM incomplete_orders.orders r WHERE r.shop_id" EQ "$1 AND r.order_id" EQ "$2"};
	Datum		values[2] = {Int32GetDatum(c->shop.shop_id), UUIDPGetDatum(&c->order_id)};

	c->again = true;
	c->order_id = *order_id;
	(void) ico_execute(&items, values, NULL);
	(void) ico_execute(&row, values, NULL);
}

/* What was given back of an order before it was taken up again still was. */
static void
keep_refunds(const Conversion *c)
{
	static IcoPlan plan = {
		"iu",
		"UPDATE incomplete_orders.orders r SET refunded = f.amount"
		" FROM (SELECT pg_catalog.sum(q.amount) AS amount FROM incomplete_orders.order_refunds q"
		"  WHERE q.shop_id" EQ "$1 AND q.order_id" EQ "$2) f"
		" WHERE r.shop_id" EQ "$1 AND r.order_id" EQ "$2 AND f.amount IS NOT NULL"
	};
	Datum		values[2] = {Int32GetDatum(c->shop.shop_id), UUIDPGetDatum(&c->order_id)};

	(void) ico_execute(&plan, values, NULL);
}

/* The order that was made of it has this reference and total now. */
static void
rename_foreign(const Conversion *c, const IcoOrder *order, const int64 *total)
{
	static IcoPlan plan = {
		"iutn",
		"UPDATE incomplete_orders.orders r SET foreign_order = $3, total = COALESCE($4, r.total),"
		" order_number = CASE WHEN r.order_number" EQ "r.foreign_order THEN $3 ELSE r.order_number END"
		" WHERE r.shop_id" EQ "$1 AND r.order_id" EQ "$2"
	};
	IcoArgs		args = {0};
	pg_uuid_t  *order_id;
	Datum		before;
	bool		isnull;
	int			exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(order->currency)));

	if (!find_part(c, &order->id, false))
		return;
	order_id = DatumGetUUIDP(ico_column(0, 1, &isnull));
	before = ico_column(0, 5, &isnull);
	ico_arg(&args, Int32GetDatum(c->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(order_id));
	ico_arg(&args, PointerGetDatum(c->foreign_order));
	if (total == NULL)
		ico_arg_null(&args);
	else
		ico_arg(&args, NumericGetDatum(ico_amount_numeric(*total, exponent)));
	(void) ico_execute(&plan, args.values, args.nulls);
	if (total != NULL)
		ico_recount_adopted(c->shop.shop_id, &order->id, order_id, c->at, before);
}

/*
 * Who has the reference already: nobody, this order, one that was taken back (its
 * row is taken up), or another one.
 */
typedef enum Holder
{
	HELD_BY_NOBODY, HELD_BY_THIS, HELD_BY_OTHER
} Holder;

static Holder
find_holder(Conversion *c, const IcoOrder *order)
{
	IcoOrder	other;
	pg_uuid_t	order_id;
	pg_uuid_t	incomplete;
	Datum		value;
	bool		isnull;

	lock_foreign(c);
	if (!find_foreign(c))
		return HELD_BY_NOBODY;
	order_id = *DatumGetUUIDP(ico_column(0, 1, &isnull));
	value = ico_column(0, 3, &isnull);
	if (isnull)
	{
		/* recorded before anything was known of its cart */
		take_up(c, &order_id);
		return HELD_BY_NOBODY;
	}
	incomplete = *DatumGetUUIDP(value);
	if (memcmp(&incomplete, &order->id, sizeof(pg_uuid_t)) == 0)
		return HELD_BY_THIS;
	if (!ico_read_order(c->shop.shop_id, &incomplete, false, &other) || other.status != ICO_REVERSED)
		return HELD_BY_OTHER;
	take_up(c, &order_id);
	return HELD_BY_NOBODY;
}

bool
ico_complete(IcoOrder *order, const IcoShop *shop, text *foreign_order, const int64 *total, TimestampTz at)
{
	Conversion	c = {
		.shop = *shop, .paid = true, .settled = true, .foreign_order = foreign_order, .order_number = foreign_order, .at = at
	};
	IcoTaken	taken = {0};
	Holder		holder = find_holder(&c, order);

	if (holder != HELD_BY_NOBODY)
		return holder == HELD_BY_THIS;
	if (order->status == ICO_CONVERTED)
		rename_foreign(&c, order, total);
	else
	{
		if (order->closed)
			require_late(&c, order, NULL);
		(void) make_order(&c, order, &taken, NULL, total);
		if (c.again)
			keep_refunds(&c);
	}
	return true;
}

/* Why an order cannot be converted, paid for now; NULL when it can. */
static const char *
convert_fault(const IcoOrder *order, TimestampTz now)
{
	IcoCharges	charges;
	char	   *currency = text_to_cstring(DatumGetTextPP(order->currency));
	LineItems  *items = DatumGetLineItemsP(order->items);
	IcoLineReader reader;
	IcoLine		line;
	bool		remaining = false;
	int64		total;

	if (order->status == ICO_CONVERTED)
		return "it is converted already";
	if (order->merged)
		return "it was merged into another order";
	if (order->closed)
		return psprintf("it is %s; only convert_order with paid => true takes it", ico_status_names[order->status]);
	if (order->expires_at <= now && order->status != ICO_PAYMENT_PENDING)
		return "it is expired; only convert_order with paid => true takes it";
	ico_line_reader_init(&reader, items);
	while (ico_line_next(&reader, &line))
		remaining = remaining || line.filled < line.quantity;
	if (!remaining)
		return order->empty ? "it has no lines" : "all its lines are ordered already";
	charges.shipping = ico_stored_money(order->charges[0]);
	charges.tax = ico_stored_money(order->charges[1]);
	charges.discount = ico_stored_money(order->charges[2]);
	charges.coupon_discount = ico_stored_money(order->charges[3]);
	if (!ico_try_order_total(ico_items_total(items), &charges, ico_currency_exponent(currency), &total))
		return "its total is out of range";
	if (order->kind != ICO_PARTIAL && total < 0)
		return "its total would be negative";
	return order->kind == ICO_PARTIAL ? NULL : ico_coupon_fault(order, now);
}

Datum
ico_can_convert(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = PG_GETARG_UUID_P(0);
	IcoShop		shop;
	IcoOrder	order;
	Datum		values[2];
	bool		nulls[2] = {false};
	const char *fault;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_order(ICO_RIGHT_can_convert, id, &shop);
	if (!ico_read_order(shop.shop_id, id, false, &order))
		ico_refuse_order(id);
	fault = convert_fault(&order, GetCurrentTransactionStartTimestamp());
	values[0] = BoolGetDatum(fault == NULL);
	nulls[1] = fault == NULL;
	values[1] = fault == NULL ? (Datum) 0 : CStringGetTextDatum(fault);
	return_row(fcinfo, values, nulls);
	SPI_finish();
	return (Datum) 0;
}

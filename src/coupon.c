/*
 * coupon.c
 *		Coupons: given out with a claimed message, put on an order, used up.
 *
 * A code is made when its message is claimed for the first time (_issue_coupon),
 * after all that could still stop the message, so that none is out that nobody
 * got.  redeem_coupon() writes it on the order like any other code of the shop;
 * what uses it up is the conversion, which looks again whether it is valid.
 *
 * Locks: the order's row before the coupon's.  Memory: the caller's SPI context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "coupon.h"
#include "errors.h"
#include "facts.h"
#include "line_items.h"
#include "money.h"
#include "plan.h"
#include "secret.h"
#include "stock.h"
#include "tenant.h"

PG_FUNCTION_INFO_V1(ico_redeem_coupon);

#define TIMES " OPERATOR(pg_catalog.*) "
#define DIVIDED " OPERATOR(pg_catalog./) "

/* ---- with a message ---- */

static text *
text_or_null(int row, int column)
{
	bool		isnull;
	Datum		value = ico_column(row, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

/* An amount with its currency, in the way of the reader's language. */
static void
append_money(StringInfo line, int64 amount, const char *currency, bool german)
{
	char	   *digits = DatumGetCString(DirectFunctionCall1(numeric_out,
															 NumericGetDatum(ico_amount_numeric(amount, ico_currency_exponent(currency)))));

	for (char *p = digits; german && *p != '\0'; p++)
	{
		if (*p == '.')
			*p = ',';
	}
	appendStringInfo(line, "%s %s", digits, currency);
}

/* The shop's word in the language of the text, else ours. */
static const char *
word_of(const IcoClaim *claim, const char *word, const char *ours)
{
	const char *theirs = ico_claim_word(claim, word);

	return theirs != NULL ? theirs : ours;
}

/* As the text around it, "7K2QX9M4TB: -10 % (from 50.00 EUR, until 2024-05-01)" */
static text *
offer_line(const IcoCoupon *coupon, const IcoClaim *claim)
{
	const text *locale = ico_claim_language(claim);
	StringInfoData line;
	char	   *currency = text_to_cstring(coupon->currency);
	bool		german = locale != NULL && VARSIZE_ANY_EXHDR(locale) >= 2 && pg_strncasecmp(VARDATA_ANY(locale), "de", 2) == 0;
	struct pg_tm tm;
	fsec_t		fsec;

	initStringInfo(&line);
	appendStringInfo(&line, "%s: -", text_to_cstring(coupon->code));
	if (coupon->percentage)
	{
		char		digits[ICO_MONEY_BUFFER];
		int			len = ico_format_money(coupon->value, digits);

		for (int i = 0; german && i < len; i++)
		{
			if (digits[i] == '.')
				digits[i] = ',';
		}
		appendStringInfo(&line, "%.*s %%", len, digits);
	}
	else
		append_money(&line, coupon->value, currency, german);
	appendStringInfoString(&line, " (");
	if (coupon->minimum_value > 0)
	{
		appendStringInfo(&line, "%s ", word_of(claim, "from", german ? "ab" : "from"));
		append_money(&line, coupon->minimum_value, currency, german);
		appendStringInfoString(&line, ", ");
	}
	/* the last whole day, wherever the reader is */
	if (timestamp2tm(coupon->expires_at - USECS_PER_DAY, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "expiry of a coupon is out of range");
	appendStringInfo(&line, "%s %04d-%02d-%02d)", word_of(claim, "until", german ? "bis" : "until"), tm.tm_year, tm.tm_mon, tm.tm_mday);
	return cstring_to_text_with_len(line.data, line.len);
}

static Datum
exact(int64 scaled)
{
	return NumericGetDatum(ico_amount_numeric(scaled, 0));
}

static Datum
keys_array(const int64 *keys, int n)
{
	Datum		elements[ICO_PERSON_KEYS];

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(keys[i]);
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* What the goods are worth that the message shows. */
static int64
goods_of(const IcoClaim *claim)
{
	IcoStockWalk walk;
	IcoLineReader reader;
	IcoLine		line;
	IcoLineChange change;
	int64		value = 0;

	ico_stock_begin(&walk, claim->stock, text_to_cstring(claim->currency));
	ico_line_reader_init(&reader, DatumGetLineItemsP(claim->items));
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (ico_stock_line(&walk, &line, &change))
			value += line.unit_price * (line.quantity - line.filled);
	}
	return value;
}

static bool
is_offer(const IcoClaim *claim)
{
	const text *type = claim->message_type;

	return VARSIZE_ANY_EXHDR(type) == strlen("discount_offer") &&
		memcmp(VARDATA_ANY(type), "discount_offer", strlen("discount_offer")) == 0;
}

/* The coupon in the row that a plan returned. */
static void
take_coupon(IcoClaim *claim, int64 goods, TimestampTz now)
{
	IcoCoupon  *coupon = palloc(sizeof(IcoCoupon));
	bool		isnull;

	coupon->code = text_or_null(0, 1);
	coupon->percentage = DatumGetBool(ico_column(0, 2, &isnull));
	coupon->value = ico_stored_money(ico_column(0, 3, &isnull));
	coupon->currency = text_or_null(0, 4);
	coupon->minimum_value = ico_stored_money(ico_column(0, 5, &isnull));
	coupon->expires_at = DatumGetTimestampTz(ico_column(0, 6, &isnull));
	/* a mail that is tried again does not offer what has ended since, or is no longer for its cart */
	if (coupon->expires_at <= now || goods < coupon->minimum_value)
		return;
	claim->coupon = coupon;
	claim->discount_offer = offer_line(coupon, claim);
}

static void
claim_coupon(IcoClaim *claim, TimestampTz now)
{
	static IcoPlan plan = {
		"iuLnz",
		"SELECT c.code, c.kind" EQ "'percentage', c.value, c.currency, c.minimum_value, c.expires_at"
		" FROM incomplete_orders._issue_coupon($1, $2, $3, $4, $5) c"
	};
	int64		goods = goods_of(claim);
	Datum		values[5] = {
		Int32GetDatum(claim->shop_id), UUIDPGetDatum(&claim->id), keys_array(claim->persons, claim->n_persons), exact(goods),
		TimestampTzGetDatum(now)
	};

	if (ico_execute(&plan, values, NULL) > 0)
		take_coupon(claim, goods, now);
}

void
ico_claim_coupons(IcoClaim **claims, int n, TimestampTz now)
{
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_offer(claims[i]))
			claim_coupon(claims[i], now);
	}
}

void
ico_preview_coupon(IcoClaim *claim, TimestampTz at)
{
	static IcoPlan plan = {
		"iutiLnz",
		/* no code looks like that: it has an I */
		"SELECT 'PREVIEW'::pg_catalog.text, c.kind" EQ "'percentage', c.value, c.currency, c.minimum_value, c.expires_at"
		" FROM incomplete_orders._coupon_offer($1, $2, $3, $4, $5, $6, $7) c"
	};
	int64		goods = goods_of(claim);
	IcoArgs		args = {0};

	if (!is_offer(claim))
		return;
	ico_arg(&args, Int32GetDatum(claim->shop_id));
	ico_arg(&args, UUIDPGetDatum(&claim->order_id));
	ico_arg_text(&args, claim->campaign);
	ico_arg(&args, Int32GetDatum(claim->step));
	ico_arg(&args, keys_array(claim->persons, claim->n_persons));
	ico_arg(&args, exact(goods));
	ico_arg(&args, TimestampTzGetDatum(at));
	if (ico_execute(&plan, args.values, args.nulls) > 0)
		take_coupon(claim, goods, at);
}

/* ---- on an order ---- */

/* The coupon of an order, and whose that is. */
typedef struct Holder
{
	text	   *code;			/* or NULL */
	int			n_keys;
	int64		keys[ICO_PERSON_KEYS];
} Holder;

/* A coupon of ours, its row locked, as it is for that order. */
typedef struct Found
{
	text	   *code;			/* as it is kept */
	bool		valid;			/* theirs, unused, in time */
	bool		enough;			/* the goods have its minimum value */
	int64		worth;
	int64		minimum_value;
	Datum		expires_at;
} Found;

static void
read_holder(const IcoOrder *order, const IcoTaken *taken, Holder *holder)
{
#define HOLDER(table) \
	"SELECT o.coupon_code, o.customer_id, o.email, o.phone FROM incomplete_orders." table " o WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	static IcoPlan plan = {"iu", HOLDER("open_orders") " UNION ALL " HOLDER("closed_orders")};
	Datum		values[2] = {Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id)};
	text	   *customer_id;
	text	   *email;
	text	   *phone;

	if (taken != NULL)
	{
		holder->code = ico_taken_coupon(taken);
		ico_taken_person(taken, &customer_id, &email, &phone);
	}
	else
	{
		if (ico_execute(&plan, values, NULL) != 1)
			elog(ERROR, "order vanished under its lock");
		holder->code = text_or_null(0, 1);
		customer_id = text_or_null(0, 2);
		email = text_or_null(0, 3);
		phone = text_or_null(0, 4);
	}
	holder->n_keys = ico_person_keys(order->shop_id, customer_id, email, phone, holder->keys);
}

/*
 * Looks for a code among ours.
 *	$1 shop_id  $2 code  $3 at  $4 root_id  $5 keys  $6 goods  $7 decimals
 *	$8 other discount  $9 currency
 */
#define FIND \
	"SELECT i.code, i.used_at IS NULL AND i.expires_at" GT "$3" \
	" AND (i.currency" EQ "$9 OR (i.kind" EQ "'percentage' AND i.minimum_value" EQ "0))" \
	" AND (i.root_id" EQ "$4 OR EXISTS (SELECT FROM incomplete_orders.coupon_persons p WHERE p.shop_id" EQ "i.shop_id" \
	"  AND p.person" EQ "ANY ($5) AND p.issued_at" EQ "i.issued_at AND p.code" EQ "i.code))," \
	" $6" GE "i.minimum_value, LEAST(CASE WHEN i.kind" EQ "'percentage'" \
	"  THEN pg_catalog.round($6" TIMES "i.value" DIVIDED "100, $7) ELSE i.value END, GREATEST($6" MINUS "$8, 0))," \
	" i.minimum_value, i.expires_at" \
	" FROM incomplete_orders.issued_coupons i WHERE i.shop_id" EQ "$1 AND i.code" EQ "incomplete_orders._coupon_code($2)"

static bool
find_coupon(const IcoOrder *order, text *code, const Holder *holder, TimestampTz at, bool lock, Found *found)
{
	static IcoPlan locking = {"itzuLnint", FIND " FOR UPDATE"};
	static IcoPlan looking = {"itzuLnint", FIND};
	int			exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(order->currency)));
	Datum		values[9] = {
		Int32GetDatum(order->shop_id), PointerGetDatum(code), TimestampTzGetDatum(at), UUIDPGetDatum(&order->root_id),
		keys_array(holder->keys, holder->n_keys), exact(ico_items_total(DatumGetLineItemsP(order->items))),
		Int32GetDatum(exponent), order->charges[2], order->currency
	};
	bool		isnull;

	if (ico_execute(lock ? &locking : &looking, values, NULL) == 0)
		return false;
	found->code = text_or_null(0, 1);
	found->valid = DatumGetBool(ico_column(0, 2, &isnull));
	found->enough = DatumGetBool(ico_column(0, 3, &isnull));
	found->worth = ico_stored_money(ico_column(0, 4, &isnull));
	found->minimum_value = ico_stored_money(ico_column(0, 5, &isnull));
	found->expires_at = ico_column(0, 6, &isnull);
	return true;
}

/* One answer for all that somebody who guesses could want to know. */
#define NOT_THEIRS "It is unknown, used or expired, or it was given to somebody else."
#define TOO_MUCH "Its discount is more than the coupon gives for the goods as they are now."

static void
refuse_coupon(const IcoOrder *order, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ICO_ERR_BAD_COUPON),
			 errmsg("the coupon is not valid for order %s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id)))),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* What is wrong with it, or NULL. */
static const char *
fault_of(const IcoOrder *order, const Found *found)
{
	if (!found->valid)
		return NOT_THEIRS;
	if (!found->enough)
		return psprintf("It needs goods of at least %s %s.",
						DatumGetCString(DirectFunctionCall1(numeric_out, exact(found->minimum_value))),
						text_to_cstring(DatumGetTextPP(order->currency)));
	return NULL;
}

const char *
ico_coupon_fault(const IcoOrder *order, TimestampTz at)
{
	Holder		holder;
	Found		found;
	const char *fault;

	if (ico_stored_money(order->charges[3]) <= 0 || order->status == ICO_PAYMENT_PENDING)
		return NULL;
	read_holder(order, NULL, &holder);
	if (holder.code == NULL || !find_coupon(order, holder.code, &holder, at, false, &found))
		return NULL;
	fault = fault_of(order, &found);
	if (fault == NULL && ico_stored_money(order->charges[3]) > found.worth)
		fault = TOO_MUCH;
	return fault == NULL ? NULL : "its coupon is not valid, or its discount is too large";
}

Datum
ico_use_coupon(const IcoOrder *order, const IcoTaken *taken, TimestampTz at, bool strict)
{
	static IcoPlan use = {
		"itzun",
		"UPDATE incomplete_orders.issued_coupons i SET used_at = $3, used_by = $4, cost = $5"
		" WHERE i.shop_id" EQ "$1 AND i.code" EQ "$2 AND i.used_at IS NULL"
	};
	int64		discount = ico_stored_money(order->charges[3]);
	Holder		holder;
	Found		found;
	Datum		values[5];
	const char *fault;

	read_holder(order, taken, &holder);
	if (holder.code == NULL || !find_coupon(order, holder.code, &holder, at, true, &found))
		return (Datum) 0;
	fault = fault_of(order, &found);
	if (fault == NULL && discount > found.worth)
		fault = TOO_MUCH;
	if (fault != NULL && strict)
		refuse_coupon(order, fault, "Call redeem_coupon() again, or take coupon_code and coupon_discount off the order.");
	values[0] = Int32GetDatum(order->shop_id);
	values[1] = PointerGetDatum(found.code);
	values[2] = TimestampTzGetDatum(at);
	values[3] = UUIDPGetDatum(&order->id);
	values[4] = order->charges[3];
	(void) ico_execute(&use, values, NULL);
	return order->charges[3];
}

/* ---- redeem_coupon ---- */

/* Refuses where the price is no longer to be changed. */
static void
require_open(const IcoOrder *order)
{
	if (order->closed || order->status == ICO_PAYMENT_PENDING)
		ereport(ERROR,
				(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("order %s is %s and takes no coupon",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id))),
						ico_status_names[order->status]),
				 errdetail("A coupon changes what is to be paid, and that is settled."),
				 errhint("Redeem it before the customer goes to the payment.")));
}

/* A discount that is not of our codes stays alone, and so does one of a part. */
static void
require_free(const IcoOrder *order, const Holder *holder)
{
	static IcoPlan plan = {
		"itu",
		"SELECT $2 IS NOT NULL AND NOT EXISTS (SELECT FROM incomplete_orders.issued_coupons i WHERE i.shop_id" EQ "$1"
		"  AND i.code" EQ "incomplete_orders._coupon_code($2)),"
		" EXISTS (SELECT FROM incomplete_orders.orders r WHERE r.shop_id" EQ "$1 AND r.incomplete_order_id" EQ "$3)"
	};
	IcoArgs		args = {0};
	bool		isnull;
	bool		other;

	ico_arg(&args, Int32GetDatum(order->shop_id));
	ico_arg_text(&args, holder->code);
	ico_arg(&args, UUIDPGetDatum(&order->id));
	(void) ico_execute(&plan, args.values, args.nulls);
	other = DatumGetBool(ico_column(0, 1, &isnull)) || holder->code == NULL;
	if (other && ico_stored_money(order->charges[3]) > 0)
		refuse_coupon(order, "The order has another coupon already.", "Take that one off first: two are not added up.");
	if (DatumGetBool(ico_column(0, 2, &isnull)))
		refuse_coupon(order, "A part of it is ordered already, and discounts belong to the first part.",
					  "Give the discount for the rest by other means.");
}

/* The order's row and its event; returns the row of the answer. */
static void
write_coupon(const IcoOrder *order, const Found *found, TimestampTz at, Datum *row)
{
	static IcoPlan plan = {
		"iutn",
		"UPDATE incomplete_orders.open_orders o SET coupon_code = $3, coupon_discount = $4, version = o.version" PLUS "1"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 RETURNING o.coupon_code, o.coupon_discount, o.currency,"
		" incomplete_orders._order_total(o.items, o.shipping, o.tax, o.discount, o.coupon_discount, o.currency)"
	};
	IcoEvent	event = {.event = "coupon_redeemed", .at = at};
	int			exponent = ico_currency_exponent(text_to_cstring(DatumGetTextPP(order->currency)));
	Datum		values[4] = {
		Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id), PointerGetDatum(found->code),
		NumericGetDatum(ico_amount_numeric(found->worth, exponent))
	};
	bool		isnull;

	if (ico_execute(&plan, values, NULL) != 1)
		elog(ERROR, "open order vanished under its lock");
	for (int i = 0; i < 4; i++)
		row[i] = ico_column(0, i + 1, &isnull);
	row[4] = found->expires_at;
	ico_append_event(order->shop_id, &order->id, &event);
}

/* redeem_coupon(code, id, at) */
Datum
ico_redeem_coupon(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *code = ico_require_key(fcinfo, 0, "code");
	pg_uuid_t  *id = ico_require_id(fcinfo, 1, "id");
	IcoShop		shop;
	IcoOrder	order;
	Holder		holder;
	Found		found;
	TimestampTz at;
	Datum		row[5];
	bool		nulls[5] = {false};
	const char *fault = NOT_THEIRS;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_order(ICO_RIGHT_redeem_coupon, id, &shop);
	at = ico_enter_at(fcinfo, 2, &shop);
	if (!ico_read_order(shop.shop_id, id, true, &order))
		ico_refuse_order(id);
	if (!order.closed)
		(void) ico_settle(&order, &shop, at);
	require_open(&order);
	read_holder(&order, NULL, &holder);
	if (find_coupon(&order, code, &holder, at, true, &found))
		fault = fault_of(&order, &found);
	if (fault != NULL)
		refuse_coupon(&order, fault, "Compare the code with the message that it came with.");
	require_free(&order, &holder);
	ico_reanimate(&order, &shop, at);
	write_coupon(&order, &found, at, row);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, nulls);
	SPI_finish();
	return (Datum) 0;
}

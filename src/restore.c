/*
 * restore.c
 *		The cart behind a recovery link: preview_cart, link_target, restore_cart.
 *
 * preview_cart and link_target only read.  restore_cart is an act of the
 * customer.  An open order comes into the given session as merge.c brings it
 * there.  A closed one never reopens: its lines go into a new order, or into the
 * one that the session has, where each is raised to the quantity that it had
 * here, so that restoring again changes nothing.  Of a person nothing is copied:
 * who follows the link need not be the one it was sent to.  A cart of attached
 * tables stays where it is, in the shop: the visitor is sent there.
 *
 * Both carts show what the shop can still sell (stock.c), and name what they leave
 * out.  The order itself keeps its lines: what is sold out today may be there again
 * when the link is followed next, and the shop captures the cart that it makes of
 * this.  Where the shop's function fails nothing is known, and nothing left out: whoever
 * comes back finds the cart, and availability_failed tells the shop to look itself.
 *
 * Locks: the order's row, that of the session's order.  Memory: the SPI context
 * of the call; results are copied out of it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "cart_json.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "line_items.h"
#include "merge.h"
#include "money.h"
#include "plan.h"
#include "stock.h"
#include "token.h"

PG_FUNCTION_INFO_V1(ico_preview_cart);
PG_FUNCTION_INFO_V1(ico_link_target);
PG_FUNCTION_INFO_V1(ico_restore_cart);

#define MAX_TRIES 100
#define SESSION_PREFIX "restored-"

/* ---- reading ---- */

/* Whose order a message is of; refuses the token when one of both is gone. */
static void
look(const IcoToken *token, IcoOrder *order)
{
	static IcoPlan plan = {
		"iu", "SELECT m.order_id FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2"
	};
	Datum		values[2] = {Int32GetDatum(token->shop.shop_id), UUIDPGetDatum(&token->message_id)};
	Snapshot	snapshot = GetActiveSnapshot();
	pg_uuid_t	id;
	bool		isnull;

	if (ico_execute_read(&plan, values, NULL, snapshot) == 0)
		ico_refuse_token("Its message is not kept any more.");
	id = *DatumGetUUIDP(ico_column(0, 1, &isnull));
	if (!ico_look_at_order(token->shop.shop_id, &id, snapshot, order))
		ico_refuse_token("Its order is not kept any more.");
}

/* What became of a line: of one that cannot be sold what was wanted, of another both sides. */
static void
put_change(JsonbParseState **state, const IcoLine *line, const IcoLineChange *change, int decimals)
{
	int32		left = line->quantity - line->filled;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	ico_put_bytes(state, "sku", line->sku, line->sku_len);
	ico_put_bytes(state, "name", line->name, line->name_len);
	ico_put_bytes(state, "variant", line->variant, line->variant_len);
	ico_put_int(state, "quantity", left > 0 ? left : change->gone);
	if (left > 0)
	{
		ico_put_money(state, "unit_price", line->unit_price, decimals);
		ico_put_int(state, "quantity_was", left + change->gone);
		ico_put_money(state, "unit_price_was", change->repriced ? change->old_price : line->unit_price, decimals);
	}
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* The lists of a cart as its reader gets it. */
typedef struct CartLists
{
	Datum		items;
	Datum		removed;
	Datum		changed;
	Datum		total;
} CartLists;

static Datum
list_end(JsonbParseState **state)
{
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(state, WJB_END_ARRAY, NULL)));
}

/* What is left to buy and can be sold, as JSON, what it costs, and what differs. */
static void
remaining_lists(const IcoOrder *order, IcoStock *stock, CartLists *lists)
{
	const char *currency = TextDatumGetCString(order->currency);
	int			decimals = ico_currency_exponent(currency);
	IcoCharges	charges = {
		ico_stored_money(order->charges[0]), ico_stored_money(order->charges[1]),
		ico_stored_money(order->charges[2]), ico_stored_money(order->charges[3])
	};
	JsonbParseState *out[3] = {NULL};	/* items, removed, changed */
	IcoStockWalk walk;
	IcoLineReader reader;
	IcoLine		line;
	int64		sum = 0;

	for (int i = 0; i < lengthof(out); i++)
		pushJsonbValue(&out[i], WJB_BEGIN_ARRAY, NULL);
	ico_stock_begin(&walk, stock, currency);
	ico_line_reader_init(&reader, DatumGetLineItemsP(order->items));
	while (ico_line_next(&reader, &line))
	{
		IcoLineChange change;
		bool		left;

		CHECK_FOR_INTERRUPTS();
		left = ico_stock_line(&walk, &line, &change);
		/* the first part bore the charges, and none was made for another cart */
		if (line.filled > 0 || walk.changed)
			memset(&charges, 0, sizeof(charges));
		if (change.gone > 0 || change.repriced)
			put_change(&out[left ? 2 : 1], &line, &change, decimals);
		if (!left)
			continue;
		sum += line.unit_price * (line.quantity - line.filled);
		ico_put_line(&out[0], &line, NULL, 0, decimals);
	}
	lists->items = list_end(&out[0]);
	lists->removed = list_end(&out[1]);
	lists->changed = list_end(&out[2]);
	lists->total = NumericGetDatum(ico_total_numeric(sum, &charges, decimals));
}

/* What of this order can still be sold, and of that which the session has; NULL: all of it. */
static IcoStock *
ask_stock(const IcoToken *token, const IcoOrder *order, text *session_id)
{
	LineItems  *carts[2] = {DatumGetLineItemsP(order->items)};
	IcoOrder	into;
	int			n = 1;

	if (session_id != NULL && ico_read_session(token->shop.shop_id, PointerGetDatum(session_id), false, &into))
		carts[n++] = DatumGetLineItemsP(into.items);
	return ico_ask_stock(token->shop.shop_id, carts, n, GetActiveSnapshot());
}

/* The function's row, in the memory of its caller. */
static Datum
make_row(FunctionCallInfo fcinfo, MemoryContext caller, Datum *values, bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(caller);
	TupleDesc	desc;
	Datum		row;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	row = HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
	MemoryContextSwitchTo(old);
	return row;
}

static text *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);
}

/* preview_cart(token) -> the cart and how its shop looks */
Datum
ico_preview_cart(PG_FUNCTION_ARGS)
{
#define ORDER_FACTS(table) \
	"SELECT x.reference, x.context, x.attachment, x.cart_key, x.session_id FROM incomplete_orders." table " x WHERE x.shop_id" EQ "$1 AND x.id" EQ "$2"
	static IcoPlan plan = {
		"iu",
		"SELECT s.shop, s.name, COALESCE(o.context" ARROW_TEXT "'locale', s.locale), o.reference, s.logo_url, s.colour,"
		" COALESCE((SELECT CASE WHEN pg_catalog.strpos(a.restore_url, '{session}')" GT "0"
		"  THEN pg_catalog.replace(pg_catalog.replace(a.restore_url, '{id}', incomplete_orders._url_part(o.cart_key)), '{session}', incomplete_orders._url_part(o.session_id))"
		"  ELSE pg_catalog.replace(a.restore_url, '{id}', incomplete_orders._url_part(o.cart_key)) END"
		"  FROM incomplete_orders.attached_tables a WHERE a.shop_id" EQ "$1 AND a.attachment" EQ "o.attachment), s.restore_url),"
		" s.base_url FROM incomplete_orders.shops s,"
		" (" ORDER_FACTS("open_orders") " UNION ALL " ORDER_FACTS("closed_orders") " LIMIT 1) o WHERE s.shop_id" EQ "$1"
	};
	/* where each column of the plan goes */
	static const int places[] = {2, 3, 4, 5, 10, 11, 12, 13};
	MemoryContext caller = CurrentMemoryContext;
	IcoToken	token;
	IcoOrder	order;
	CartLists	lists;
	Datum		values[17];
	bool		nulls[17] = {false};
	IcoStock   *stock;
	Datum		keys[2];
	Datum		row;

	SPI_connect();
	ico_enter_token(ICO_RIGHT_preview_cart, text_argument(fcinfo, 0), ICO_LINK_BIT(ICO_LINK_RESTORE), &token);
	look(&token, &order);
	ico_preview(&order, &token.shop, GetCurrentTransactionStartTimestamp());
	values[0] = UUIDPGetDatum(&token.message_id);
	values[1] = UUIDPGetDatum(&order.id);
	values[6] = ico_status_datum(order.status);
	stock = ask_stock(&token, &order, NULL);
	remaining_lists(&order, stock, &lists);
	values[7] = lists.items;
	values[8] = lists.total;
	values[14] = lists.removed;
	values[15] = lists.changed;
	values[16] = BoolGetDatum(stock != NULL && stock->failed);
	values[9] = order.currency;
	keys[0] = Int32GetDatum(token.shop.shop_id);
	keys[1] = UUIDPGetDatum(&order.id);
	if (ico_execute_read(&plan, keys, NULL, GetActiveSnapshot()) == 0)
		ico_refuse_token("Its order is not kept any more.");
	for (int i = 0; i < lengthof(places); i++)
		values[places[i]] = ico_column(0, i + 1, &nulls[places[i]]);
	row = make_row(fcinfo, caller, values, nulls);
	SPI_finish();
	PG_RETURN_DATUM(row);
}

/* Only what a browser may be sent to. */
static bool
is_web_url(const char *url, int len)
{
	if (len < 9 || (pg_strncasecmp(url, "https://", 8) != 0 && pg_strncasecmp(url, "http://", 7) != 0))
		return false;
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) url[i] <= ' ' || url[i] == 0x7f || url[i] == '\\')
			return false;
	}
	return true;
}

/* The address of the nth line that is left, or NULL. */
static text *
url_of_line(const IcoOrder *order, int n)
{
	IcoLineReader reader;
	IcoLine		line;

	ico_line_reader_init(&reader, DatumGetLineItemsP(order->items));
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (line.quantity <= line.filled || --n > 0)
			continue;
		if (n == 0 && line.url != NULL && is_web_url(line.url, line.url_len))
			return cstring_to_text_with_len(line.url, line.url_len);
		break;
	}
	return NULL;
}

/* link_target(token, line) -> (message_id, url) */
Datum
ico_link_target(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	IcoToken	token;
	IcoOrder	order;
	text	   *url = NULL;
	Datum		values[2];
	bool		nulls[2] = {false};
	Datum		row;

	SPI_connect();
	ico_enter_token(ICO_RIGHT_link_target, text_argument(fcinfo, 0), ICO_LINK_BIT(ICO_LINK_CLICK), &token);
	look(&token, &order);
	if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) > 0)
		url = url_of_line(&order, PG_GETARG_INT32(1));
	if (url == NULL)
		url = cstring_to_text(psprintf("/r/%s", token.all.token[ICO_LINK_RESTORE]));
	values[0] = UUIDPGetDatum(&token.message_id);
	values[1] = PointerGetDatum(url);
	row = make_row(fcinfo, caller, values, nulls);
	SPI_finish();
	PG_RETURN_DATUM(row);
}

/* ---- restoring ---- */

typedef struct Restore
{
	IcoToken	token;
	text	   *session_id;		/* or NULL */
	TimestampTz at;
} Restore;

/* The lines that are left; parted when some were ordered. */
static LineItems *
remaining_lines(const IcoOrder *order, bool *parted)
{
	IcoItemsBuilder builder;
	IcoLineReader reader;
	IcoLine		line;

	*parted = false;
	ico_items_begin(&builder);
	ico_line_reader_init(&reader, DatumGetLineItemsP(order->items));
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		*parted |= line.filled > 0;
		line.quantity -= line.filled;
		line.filled = 0;
		if (line.quantity > 0)
			ico_items_add(&builder, &line);
	}
	return ico_items_finish(&builder);
}

/*
 * The lines of a cart, with at least these among them; NULL when it has them
 * all.
 */
static LineItems *
raised_lines(const LineItems *have, const LineItems *wanted)
{
	IcoItemsBuilder builder;
	IcoLineReader reader;
	IcoLine		line;
	int			n = ico_items_lines(wanted);
	IcoLine    *missing = palloc((n + 1) * sizeof(IcoLine));
	bool		changed = false;

	ico_line_reader_init(&reader, wanted);
	for (int i = 0; i < n && ico_line_next(&reader, &missing[i]); i++)
		;
	ico_items_begin(&builder);
	ico_line_reader_init(&reader, have);
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			int32		left = line.quantity - line.filled;

			if (missing[i].quantity == 0 || !ico_same_line(&missing[i], &line))
				continue;
			line.quantity += Max(missing[i].quantity - left, 0);
			changed |= missing[i].quantity > left;
			missing[i].quantity = 0;
		}
		ico_items_add(&builder, &line);
	}
	for (int i = 0; i < n; i++)
	{
		if (missing[i].quantity == 0)
			continue;
		ico_items_add(&builder, &missing[i]);
		changed = true;
	}
	return changed ? ico_items_finish(&builder) : NULL;
}

/* What goes with the lines into a cart that has none: the money, no person. */
static void
money_facts(const IcoOrder *order, bool parted, IcoFacts *facts)
{
	static const int charges[] = {ICO_F_SHIPPING, ICO_F_TAX, ICO_F_DISCOUNT, ICO_F_COUPON_DISCOUNT};

	facts->given |= ICO_FACT_BIT(ICO_F_CURRENCY);
	facts->values[ICO_F_CURRENCY] = order->currency;
	/* the first part bore the charges */
	for (int i = 0; i < lengthof(charges) && !parted; i++)
	{
		facts->given |= ICO_FACT_BIT(charges[i]);
		facts->values[charges[i]] = order->charges[i];
	}
}

static void
continue_order(int32 shop_id, const pg_uuid_t *id, const pg_uuid_t *closed_id, bool parted)
{
	static IcoPlan plan = {
		"iuub",
		"UPDATE incomplete_orders.open_orders o SET continues_id = c.id,"
		" coupon_code = CASE WHEN $4 THEN o.coupon_code ELSE c.coupon_code END"
		" FROM incomplete_orders.closed_orders c"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 AND c.shop_id" EQ "$1 AND c.id" EQ "$3"
	};
	Datum		values[4] = {
		Int32GetDatum(shop_id), UUIDPGetDatum(id), UUIDPGetDatum(closed_id), BoolGetDatum(parted)
	};

	(void) ico_execute(&plan, values, NULL);
}

static void
add_to_session(const Restore *restore, const IcoOrder *closed, const IcoOrder *into, pg_uuid_t *id)
{
	IcoFacts	facts = {0};
	bool		parted;
	LineItems  *wanted = remaining_lines(closed, &parted);

	if (into->empty)
		money_facts(closed, parted, &facts);
	else if (strcmp(TextDatumGetCString(into->currency), TextDatumGetCString(closed->currency)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("carts in different currencies cannot be merged"),
				 errdetail("Their prices would be added up as if they were one currency."),
				 errhint("Restore the cart into another session.")));
	ico_capture(&restore->token.shop, restore->session_id, raised_lines(DatumGetLineItemsP(into->items), wanted),
				&facts, restore->at, id);
}

/*
 * Brings the lines of a closed order into a session; *id is the order that has
 * them.  Where nobody named a session, as our own page does, it is one that only
 * this link leads to; what is there comes along when the shop names one.
 */
static void
restore_closed(Restore *restore, const IcoOrder *closed, pg_uuid_t *id)
{
	const IcoShop *shop = &restore->token.shop;
	char		name[ICO_TOKEN_CHARS + 1];
	text	   *own_session;

	ico_token_session(&restore->token, name);
	own_session = cstring_to_text(psprintf(SESSION_PREFIX "%s", name));
	if (restore->session_id == NULL)
		restore->session_id = own_session;

	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		IcoFacts	facts = {0};
		IcoOrder	into;
		LineItems  *items;
		bool		parted;

		CHECK_FOR_INTERRUPTS();
		if (ico_read_session(shop->shop_id, PointerGetDatum(restore->session_id), true, &into) &&
			ico_settle(&into, shop, restore->at))
		{
			add_to_session(restore, closed, &into, id);
			return;
		}
		if (ico_read_session(shop->shop_id, PointerGetDatum(own_session), false, &into) &&
			ico_bring_order(shop, &into.id, restore->session_id, restore->at, id))
			return;
		items = remaining_lines(closed, &parted);
		money_facts(closed, parted, &facts);
		if (ico_begin_order(shop, restore->session_id, items, &facts, restore->at, id))
		{
			continue_order(shop->shop_id, id, &closed->id, parted);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not restore the cart: its session changes too fast"),
			 errhint("Try again.")));
}

/* Whether the shop's own tables have the cart: then it is there, and nowhere else. */
static bool
is_attached(int32 shop_id, const pg_uuid_t *id)
{
#define ATTACHMENT_OF(table) "SELECT x.attachment FROM incomplete_orders." table " x WHERE x.shop_id" EQ "$1 AND x.id" EQ "$2"
	static IcoPlan plan = {
		"iu", "SELECT FROM (" ATTACHMENT_OF("open_orders") " UNION ALL " ATTACHMENT_OF("closed_orders") ") o,"
		" incomplete_orders.attached_tables a WHERE a.shop_id" EQ "$1 AND a.attachment" EQ "o.attachment"
	};
	Datum		values[2] = {Int32GetDatum(shop_id), UUIDPGetDatum(id)};

	return ico_execute(&plan, values, NULL) > 0;
}

static void
restore_order(Restore *restore, IcoOrder *order)
{
	int32		shop_id = restore->token.shop.shop_id;
	bool		attached = is_attached(shop_id, &order->id);
	pg_uuid_t	id;

	if (attached)
		restore->session_id = NULL;
	if (!ico_bring_order(&restore->token.shop, &order->id, restore->session_id, restore->at, &id))
	{
		id = order->id;
		if (!ico_read_order(shop_id, &id, false, order))
			ico_refuse_token("Its order is not kept any more.");
		/* whoever holds the link need not learn more than that */
		if (order->status == ICO_CONVERTED)
			ereport(ERROR,
					(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
					 errmsg("the cart of this link was ordered already"),
					 errdetail("What was ordered is not put into a cart again."),
					 errhint("The next capture of the session starts a new order.")));
		if (attached)
			return;
		restore_closed(restore, order, &id);
	}
	if (!ico_read_open(shop_id, &id, false, order))
		elog(ERROR, "open order vanished under its lock");
}

/* restore_cart(token, session_id, shop, at) -> (id, items, removed, changed, session, availability_failed) */
Datum
ico_restore_cart(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Restore		call = {.session_id = ico_optional_key(fcinfo, 1, "session_id")};
	IcoOrder	order;
	Datum		values[6];
	bool		nulls[6] = {false};
	IcoStock   *stock;
	CartLists	lists;
	Datum		row;

	SPI_connect();
	ico_enter_token(ICO_RIGHT_restore_cart, text_argument(fcinfo, 0), ICO_LINK_BIT(ICO_LINK_RESTORE), &call.token);
	if (!PG_ARGISNULL(2))
	{
		IcoShop		named;

		ico_enter_shop(ICO_RIGHT_restore_cart, PG_GETARG_TEXT_PP(2), &named);
		if (named.shop_id != call.token.shop.shop_id)
			ico_refuse_token(ICO_NOT_THAT_LINK);
	}
	call.at = ico_enter_at(fcinfo, 3, &call.token.shop);
	/* before anything is locked */
	look(&call.token, &order);
	stock = ask_stock(&call.token, &order, call.session_id);
	restore_order(&call, &order);
	if (stock != NULL)
		ico_note_stock(stock);
	remaining_lists(&order, stock, &lists);
	values[0] = UUIDPGetDatum(&order.id);
	values[1] = lists.items;
	values[2] = lists.removed;
	values[3] = lists.changed;
	nulls[4] = call.session_id == NULL;
	values[4] = PointerGetDatum(call.session_id);
	values[5] = BoolGetDatum(stock != NULL && stock->failed);
	row = make_row(fcinfo, caller, values, nulls);
	SPI_finish();
	PG_RETURN_DATUM(row);
}

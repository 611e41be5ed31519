/*
 * preview.c
 *		preview_message(): what a claim would give for an order, without a message.
 *
 * The object is made by queue_message.c, as that of a claim is.  The message in it
 * does not exist and never will: its id is used for nothing else, so that the
 * links, which are signed like all others, lead nowhere.  Whoever tries a mail
 * cannot unsubscribe a customer by it.
 *
 * Of an order the shop's availability() is asked as by a claim; where it fails, a
 * warning says so and all of the cart is shown.  A coupon is shown as it would be, but
 * none is given out: its code is no code.
 *
 * Nothing is written, no lock is taken.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "coupon.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "money.h"
#include "plan.h"
#include "queue.h"
#include "stock.h"
#include "template.h"
#include "tenant.h"
#include "uuid7.h"

PG_FUNCTION_INFO_V1(ico_preview_message);

/* what a preview reads of an order, or of the one that is made up */
#define ORDER_COLUMNS 12

static text *
text_column(int column)
{
	bool		isnull;
	Datum		value = ico_column(0, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

static void
take_order(IcoClaim *c)
{
	bool		isnull;

	c->name = text_column(1);
	c->reference = text_column(2);
	c->kind = ico_column(0, 3, &isnull);
	c->currency = text_column(4);
	c->items = ico_column(0, 5, &isnull);
	c->locale = text_column(6);
	c->expires_at = DatumGetTimestampTz(ico_column(0, 7, &isnull));
	for (int i = 0; i < lengthof(c->charges); i++)
		c->charges[i] = ico_column(0, ORDER_COLUMNS - 3 + i, &isnull);
	c->left_out = DatumGetBool(ico_column(0, 8, &isnull));
}

static void
read_order(IcoClaim *c)
{
	static IcoPlan plan = {
		"iu",
		"SELECT o.name, o.reference, o.kind, o.currency, m.items, o.context" ARROW_TEXT "'locale', o.expires_at,"
		" incomplete_orders.item_count(m.items)" LT "incomplete_orders.item_count(o.items),"
		" o.shipping, o.tax, o.discount, o.coupon_discount, o.customer_id, o.email, o.phone"
		" FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s ON s.shop_id" EQ "o.shop_id"
		" CROSS JOIN LATERAL (SELECT incomplete_orders._mailed_items(o.items, s.exclusions) AS items OFFSET 0) m"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	Datum		values[2] = {Int32GetDatum(c->shop_id), UUIDPGetDatum(&c->order_id)};
	IcoOrder	order;

	if (ico_execute(&plan, values, NULL) == 1)
	{
		take_order(c);
		c->n_persons = ico_person_keys(c->shop_id, text_column(ORDER_COLUMNS + 1), text_column(ORDER_COLUMNS + 2),
									   text_column(ORDER_COLUMNS + 3), c->persons);
		return;
	}
	if (!ico_read_order(c->shop_id, &c->order_id, false, &order))
		ico_refuse_order(&c->order_id);
	ereport(ERROR,
			(errcode(ICO_ERR_NOT_RECOVERABLE),
			 errmsg("order %s is closed", DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&c->order_id)))),
			 errdetail("%s", ico_status_names[order.status]),
			 errhint("Take an open one, or leave the id out for a sample.")));
}

/* An order of that kind as it might be, in the shop's currency. */
static void
make_sample(IcoClaim *c, const char *currency)
{
	static IcoPlan plan = {
		"ttzb",
		"SELECT 'Jane Doe'::pg_catalog.text, 'INC-0123456789'::pg_catalog.text,"
		" CASE WHEN pg_catalog.split_part($1, '_', 1)" EQ "ANY ('{payment,partial}'::pg_catalog.text[])"
		"  THEN pg_catalog.split_part($1, '_', 1) ELSE 'cart' END::incomplete_orders.order_kind,"
		" $2, CASE WHEN $4 THEN '[{\"sku\": \"SHIRT-M\", \"name\": \"Blue shirt\", \"variant\": \"M\", \"quantity\": 2, \"unit_price\": \"19.90\"},"
		" {\"sku\": \"LAMP\", \"name\": \"Reading lamp\", \"quantity\": 1, \"unit_price\": \"1234.50\"}]'"
		" ELSE '[{\"sku\": \"SHIRT-M\", \"name\": \"Blue shirt\", \"variant\": \"M\", \"quantity\": 2, \"unit_price\": \"1990\"},"
		" {\"sku\": \"LAMP\", \"name\": \"Reading lamp\", \"quantity\": 1, \"unit_price\": \"123450\"}]' END::incomplete_orders.line_items,"
		" NULL::pg_catalog.text, $3, false, 0::pg_catalog.numeric, 0::pg_catalog.numeric, 0::pg_catalog.numeric, 0::pg_catalog.numeric"
	};
	Datum		values[4];

	values[0] = PointerGetDatum(c->template);
	values[1] = CStringGetTextDatum(currency);
	values[2] = TimestampTzGetDatum(c->queued_at + 27 * USECS_PER_DAY);
	values[3] = BoolGetDatum(ico_currency_exponent(currency) > 0);
	ico_execute(&plan, values, NULL);
	take_order(c);
	c->discount_offer = cstring_to_text("SAVE10: -10 %");
}

/* The step that would send it; a template of no step is sent by hand. */
static void
find_step(IcoClaim *c)
{
	static IcoPlan plan = {
		"it",
		"SELECT c.campaign, c.message_type, c.step, NULL::pg_catalog.text FROM incomplete_orders.campaign_steps c"
		" WHERE c.shop_id" EQ "$1 AND c.template" EQ "$2"
		" UNION ALL SELECT c.campaign, c.message_type, c.step, v.variant FROM incomplete_orders.step_variants v"
		" JOIN incomplete_orders.campaign_steps c ON c.shop_id" EQ "v.shop_id AND c.campaign" EQ "v.campaign AND c.step" EQ "v.step"
		" WHERE v.shop_id" EQ "$1 AND v.template" EQ "$2"
		" UNION ALL SELECT NULL, CASE WHEN p.last" EQ "'reminder' THEN 'payment_reminder' WHEN p.last" EQ "'final' THEN 'final_reminder'"
		"  WHEN p.last" EQ "'offer' THEN 'discount_offer' ELSE 'abandoned_cart' END, 0, NULL"
		" FROM pg_catalog.split_part($2, '_', 2) p (last)"
		" ORDER BY 3 DESC LIMIT 1"
	};
	Datum		values[2] = {Int32GetDatum(c->shop_id), PointerGetDatum(c->template)};
	bool		isnull;

	ico_execute(&plan, values, NULL);
	c->campaign = text_column(1);
	c->message_type = text_column(2);
	c->step = DatumGetInt32(ico_column(0, 3, &isnull));
	c->variant = text_column(4);
}

static text *
required_template(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"template\" must not be null"),
				 errdetail("A preview is one of a text."),
				 errhint("list_templates() shows those that there are.")));
	return PG_GETARG_TEXT_PP(0);
}

static text *
locale_argument(FunctionCallInfo fcinfo)
{
	text	   *tag;

	if (PG_ARGISNULL(1))
		return NULL;
	tag = ico_locale_tag(PG_GETARG_TEXT_PP(1));
	if (tag == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"locale\" is not the tag of a language"),
				 errdetail("A language, and perhaps a country, as in de or de-AT.")));
	return tag;
}

/* Where an order is given its shop is that shop. */
static void
enter(FunctionCallInfo fcinfo, IcoClaim *c, IcoShop *shop)
{
	IcoShop		named;

	if (PG_ARGISNULL(2))
		ico_enter_shop(ICO_RIGHT_preview_message, PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3), shop);
	else
	{
		c->order_id = *PG_GETARG_UUID_P(2);
		ico_enter_order(ICO_RIGHT_preview_message, &c->order_id, shop);
		if (!PG_ARGISNULL(3))
		{
			ico_enter_shop(ICO_RIGHT_preview_message, PG_GETARG_TEXT_PP(3), &named);
			if (named.shop_id != shop->shop_id)
				ico_refuse_order(&c->order_id);
		}
	}
	c->shop_id = shop->shop_id;
}

/* preview_message(template, locale, id, shop, at) -> jsonb */
Datum
ico_preview_message(PG_FUNCTION_ARGS)
{
	IcoClaim   *c;
	IcoClaim	claim = {0};
	IcoShop		shop;
	text	   *locale;
	Jsonb	   *object;
	Jsonb	   *result;

	c = &claim;
	c->template = required_template(fcinfo);
	locale = locale_argument(fcinfo);
	SPI_connect();
	enter(fcinfo, c, &shop);
	c->queued_at = ico_enter_at(fcinfo, 4, &shop);
	c->give_up_at = c->queued_at + ICO_GIVE_UP_AFTER;
	ico_uuid7_make(c->shop_id, &c->id);
	find_step(c);
	if (PG_ARGISNULL(2))
	{
		ico_uuid7_make(c->shop_id, &c->order_id);
		make_sample(c, shop.currency);
	}
	else
	{
		LineItems  *items;

		read_order(c);
		items = DatumGetLineItemsP(c->items);
		c->stock = ico_ask_stock(c->shop_id, &items, 1, GetActiveSnapshot());
		if (c->stock != NULL && c->stock->failed)
			ico_warn_of_stock(c->stock);
	}
	if (locale != NULL)
		c->locale = locale;
	ico_claim_texts(&c, 1);
	if (!ico_claim_has_text(c))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no template \"%s\"", text_to_cstring(c->template)),
				 errdetail("Neither the shop nor this version has a text of that name."),
				 errhint("list_templates() shows those that there are.")));
	if (!PG_ARGISNULL(2))
		ico_preview_coupon(c, c->queued_at);
	object = ico_claim_message(c);
	result = SPI_palloc(VARSIZE(object));
	memcpy(result, object, VARSIZE(object));
	SPI_finish();
	PG_RETURN_JSONB_P(result);
}

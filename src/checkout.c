/*
 * checkout.c
 *		What a shop knows of a checkout beside the cart: save_checkout,
 *		track_abandonment, record_checkout_error, identify_cart.
 *
 * All of them work on the open order of a session (or on an order by its id)
 * and never make a second one.  Each locks the order's row and first writes what
 * fell due before `at`.
 * Memory: the SPI context of the call.
 */
#include "postgres.h"

#include <ctype.h>

#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "capture.h"
#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "line_items.h"
#include "plan.h"
#include "tenant.h"

#define NOTE_BYTES 10000
#define SHOWN_KEY_BYTES 64

PG_FUNCTION_INFO_V1(ico_save_checkout);
PG_FUNCTION_INFO_V1(ico_track_abandonment);
PG_FUNCTION_INFO_V1(ico_record_checkout_error);
PG_FUNCTION_INFO_V1(ico_identify_cart);

static text *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);
}

/*
 * Locks the open order of a session and writes what fell due before `at`.
 * False when there is none, or none any more.
 */
static bool
enter_session(const IcoShop *shop, text *session_id, TimestampTz at, IcoOrder *order)
{
	return ico_read_session(shop->shop_id, PointerGetDatum(session_id), true, order) &&
		ico_settle(order, shop, at);
}

static pg_uuid_t *
copied_id(const pg_uuid_t *id)
{
	pg_uuid_t  *copy = SPI_palloc(sizeof(pg_uuid_t));

	*copy = *id;
	return copy;
}

/* ---- save_checkout ---- */

/* what a form may hold beside the keys of an address */
#define FULL_NAME "full_name"

static const char *const address_keys[] = {
	"first_name", "last_name", "company", "address_line_1", "address_line_2", "city", "state", "postal_code",
	"country", "delivery_instructions"
};

typedef struct Form
{
	IcoFacts	facts;
	JsonbParseState *address;	/* NULL: no field of it */
	bool		has_line;		/* of the address */
	bool		has_contact;
	text	   *full_name;
	text	   *first_name;
	text	   *last_name;
	int			unknown;		/* keys left out */
	char	   *first_unknown;
} Form;

/* A field that is not filled in leaves what is stored. */
static bool
is_blank(const JsonbValue *value)
{
	if (value->type == jbvNull)
		return true;
	if (value->type != jbvString)
		return false;
	for (int i = 0; i < value->val.string.len; i++)
	{
		if (!isspace((unsigned char) value->val.string.val[i]))
			return false;
	}
	return true;
}

static void
set_string(JsonbValue *value, const char *s, int len)
{
	value->type = jbvString;
	value->val.string.val = (char *) s;
	value->val.string.len = len;
}

static void
text_fact(IcoFacts *facts, const char *name, text *given)
{
	JsonbValue	value;

	set_string(&value, VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given));
	(void) ico_read_json_fact(facts, name, &value);
}

static void
add_to_address(Form *form, const char *key, JsonbValue *value)
{
	JsonbValue	name;

	if (form->address == NULL)
		pushJsonbValue(&form->address, WJB_BEGIN_OBJECT, NULL);
	set_string(&name, key, strlen(key));
	pushJsonbValue(&form->address, WJB_KEY, &name);
	pushJsonbValue(&form->address, WJB_VALUE, value);
	if (strcmp(key, "address_line_1") == 0)
		form->has_line = true;
}

static bool
is_address_key(const char *key)
{
	for (int i = 0; i < lengthof(address_keys); i++)
	{
		if (strcmp(address_keys[i], key) == 0)
			return true;
	}
	return false;
}

static text *
trimmed_text(const JsonbValue *value)
{
	const char *s = value->val.string.val;
	int			len = value->val.string.len;

	while (len > 0 && isspace((unsigned char) s[len - 1]))
		len--;
	while (len > 0 && isspace((unsigned char) *s))
		s++, len--;
	return cstring_to_text_with_len(s, len);
}

/* The last word is the last name; who has one word only has a first name. */
static void
split_full_name(Form *form)
{
	const char *s = VARDATA_ANY(form->full_name);
	int			len = VARSIZE_ANY_EXHDR(form->full_name);
	int			last = len;
	int			first;
	JsonbValue	value;

	while (last > 0 && !isspace((unsigned char) s[last - 1]))
		last--;
	first = last;
	while (first > 0 && isspace((unsigned char) s[first - 1]))
		first--;
	if (first == 0)
		first = len;			/* one word */
	else
	{
		set_string(&value, s + last, len - last);
		add_to_address(form, "last_name", &value);
	}
	set_string(&value, s, first);
	add_to_address(form, "first_name", &value);
}

static void
leave_out(Form *form, const char *key)
{
	if (form->unknown++ == 0)
		form->first_unknown = pnstrdup(key, pg_mbcliplen(key, strlen(key), SHOWN_KEY_BYTES));
}

static void read_form(Form *form, JsonbContainer *object, bool in_address);

static void
read_field(Form *form, const char *key, JsonbValue *value, bool in_address)
{
	bool		contact = strcmp(key, "email") == 0 || strcmp(key, "phone") == 0;

	if (is_blank(value))
		return;
	if (value->type == jbvString && strcmp(key, "first_name") == 0)
		form->first_name = trimmed_text(value);
	else if (value->type == jbvString && strcmp(key, "last_name") == 0)
		form->last_name = trimmed_text(value);

	if (is_address_key(key) || (in_address && contact))
		add_to_address(form, key, value);
	else if (in_address)
		leave_out(form, key);
	else if (contact)
	{
		(void) ico_read_json_fact(&form->facts, key, value);
		form->has_contact = true;
	}
	else if (strcmp(key, "coupon_code") == 0)
		(void) ico_read_json_fact(&form->facts, key, value);
	else if (strcmp(key, "address") == 0 && value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data))
		read_form(form, value->val.binary.data, true);
	else if (strcmp(key, "notes") == 0)
	{
		JsonbParseState *state = NULL;
		JsonbValue	name;

		set_string(&name, key, strlen(key));
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, value);
		(void) ico_read_json_fact(&form->facts, "context", pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	}
	else if (strcmp(key, FULL_NAME) != 0 || value->type != jbvString)
		leave_out(form, key);
}

static void
read_form(Form *form, JsonbContainer *object, bool in_address)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	key;
	JsonbValue	value;

	(void) JsonbIteratorNext(&it, &value, false);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);
		read_field(form, pnstrdup(key.val.string.val, key.val.string.len), &value, in_address);
	}
}

static void
name_and_step(Form *form)
{
	text	   *step = NULL;

	if (form->full_name != NULL)
		text_fact(&form->facts, "name", form->full_name);
	else if (form->first_name != NULL && form->last_name != NULL)
		text_fact(&form->facts, "name", cstring_to_text(psprintf("%s %s", text_to_cstring(form->first_name),
																 text_to_cstring(form->last_name))));
	if (form->has_line)
		step = cstring_to_text("shipping");
	else if (form->has_contact)
		step = cstring_to_text("contact");
	if (step != NULL)
		text_fact(&form->facts, "step", step);
}

static void
read_checkout(Jsonb *given, Form *form)
{
	JsonbValue	buffer;
	JsonbValue *full_name;

	memset(form, 0, sizeof(*form));
	if (given == NULL || JB_ROOT_IS_SCALAR(given) || !JB_ROOT_IS_OBJECT(given))
	{
		ereport(NOTICE,
				(errmsg("fact \"form\" was left out"),
				 errdetail("It is not an object.")));
		return;
	}
	full_name = getKeyJsonValueFromContainer(&given->root, FULL_NAME, strlen(FULL_NAME), &buffer);
	if (full_name != NULL && full_name->type == jbvString && !is_blank(full_name))
	{
		form->full_name = trimmed_text(full_name);
		split_full_name(form);	/* first, so that fields of their own win */
	}
	read_form(form, &given->root, false);
	if (form->address != NULL)
		(void) ico_read_json_fact(&form->facts, "address", pushJsonbValue(&form->address, WJB_END_OBJECT, NULL));
	name_and_step(form);
	/* a form may hold what must not be kept: card numbers, passwords */
	if (form->unknown > 0)
		ereport(NOTICE,
				(errmsg_plural("%d field of the form was left out, \"%s\"",
							   "%d fields of the form were left out, \"%s\" and others",
							   form->unknown, form->unknown, form->first_unknown),
				 errdetail("Only the fields of a contact and an address are kept.")));
}

/* save_checkout(session_id, form, shop, at) -> uuid */
Datum
ico_save_checkout(PG_FUNCTION_ARGS)
{
	text	   *session_id = ico_require_key(fcinfo, 0, "session_id");
	IcoShop		shop;
	TimestampTz at;
	Form		form;
	pg_uuid_t	id;
	pg_uuid_t  *result;

	SPI_connect();
	ico_enter_shop(ICO_RIGHT_save_checkout, text_argument(fcinfo, 2), &shop);
	at = ico_enter_at(fcinfo, 3, &shop);
	read_checkout(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), &form);
	ico_capture(&shop, session_id, NULL, &form.facts, at, &id);
	result = copied_id(&id);
	SPI_finish();
	PG_RETURN_UUID_P(result);
}

/* ---- track_abandonment ---- */

typedef enum Stage
{
	STAGE_CART, STAGE_CHECKOUT, STAGE_SHIPPING, STAGE_PAYMENT, STAGE_SESSION_TIMEOUT, STAGE_BROWSER_CLOSE
} Stage;

static const char *const stages[] = {"cart", "checkout", "shipping", "payment", "session_timeout", "browser_close"};

/* how far the customer was, as far as a stage says it */
static void
arg_stage_step(IcoArgs *args, Stage stage)
{
	switch (stage)
	{
		case STAGE_CHECKOUT:
			ico_arg(args, ico_step_datum(ICO_STEP_CONTACT));
			break;
		case STAGE_SHIPPING:
			ico_arg(args, ico_step_datum(ICO_STEP_SHIPPING));
			break;
		case STAGE_PAYMENT:
			ico_arg(args, ico_step_datum(ICO_STEP_PAYMENT));
			break;
		default:
			ico_arg_null(args);
	}
}

static void
write_departure(const IcoOrder *order, Stage stage, text *reason, TimestampTz at)
{
	static IcoPlan plan = {
		"iuctz",
		"UPDATE incomplete_orders.open_orders o SET furthest_step = GREATEST(o.furthest_step, $3),"
		" abandonment_reason = COALESCE($4, o.abandonment_reason),"
		" last_activity_at = GREATEST(o.last_activity_at, $5), version = o.version" PLUS "1"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(order->shop_id));
	ico_arg(&args, UUIDPGetDatum(&order->id));
	arg_stage_step(&args, stage);
	ico_arg_text(&args, reason);
	if (stage == STAGE_SESSION_TIMEOUT)
		ico_arg_null(&args);
	else
		ico_arg(&args, TimestampTzGetDatum(at));
	if (ico_execute(&plan, args.values, args.nulls) != 1)
		elog(ERROR, "open order vanished under its lock");
	if (order->status != ICO_PENDING)
		ico_recount(order->shop_id, &order->id, at, (Datum) 0, (Datum) 0, (Datum) 0);
}

/* Whether this departure is in the history already: a page says it more than once. */
static bool
has_left(const IcoOrder *order, text *stage)
{
	static IcoPlan plan = {
		"iuit",
		"SELECT 1 FROM incomplete_orders.order_events e WHERE e.shop_id" EQ "$1 AND e.order_id" EQ "$2"
		" AND e.episode" EQ "$3 AND e.event" EQ "'left' AND e.reason_code" EQ "$4 LIMIT 1"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(order->shop_id));
	ico_arg(&args, UUIDPGetDatum(&order->id));
	ico_arg(&args, Int32GetDatum(order->episode));
	ico_arg_text(&args, stage);
	return ico_execute(&plan, args.values, args.nulls) > 0;
}

/* track_abandonment(session_id, stage, reason, shop, at) -> uuid */
Datum
ico_track_abandonment(PG_FUNCTION_ARGS)
{
	text	   *session_id = ico_require_key(fcinfo, 0, "session_id");
	Stage		stage = STAGE_CART;
	IcoShop		shop;
	TimestampTz at;
	IcoOrder	order;
	IcoEvent	event = {.event = "left"};
	IcoEvent	words = {0};
	pg_uuid_t  *result = NULL;

	if (!PG_ARGISNULL(1))
		stage = (Stage) ico_word_argument(fcinfo, 1, "stage", stages, lengthof(stages),
									  "cart, checkout, shipping, payment, session_timeout and browser_close");
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_track_abandonment, text_argument(fcinfo, 3), &shop);
	at = ico_enter_at(fcinfo, 4, &shop);
	if (enter_session(&shop, session_id, at, &order))
	{
		/* leaving a page is an act of the customer; that a session ran out is not */
		if (stage != STAGE_SESSION_TIMEOUT)
			ico_reanimate(&order, &shop, at);
		ico_set_reason(&words, text_argument(fcinfo, 2));
		write_departure(&order, stage, words.reason_text, at);
		event.at = at;
		event.reason = cstring_to_text(stages[stage]);
		if (!has_left(&order, event.reason))
			ico_append_event(shop.shop_id, &order.id, &event);
		result = copied_id(&order.id);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(result);
}

/* ---- record_checkout_error ---- */

static const char *const error_kinds[] = {
	"payment_failed", "inventory_error", "shipping_error", "validation_error", "general"
};

/* Words about an error may hold anything, so they are a note and no event. */
static void
note_error(const IcoOrder *order, TimestampTz at, text *words)
{
	static IcoPlan plan = {
		"iuztt",
		"INSERT INTO incomplete_orders.order_notes (shop_id, order_id, at, actor, note) VALUES ($1, $2, $3, $4, $5)"
	};
	IcoArgs		args = {0};

	if (words == NULL || VARSIZE_ANY_EXHDR(words) == 0)
		return;
	ico_arg(&args, Int32GetDatum(order->shop_id));
	ico_arg(&args, UUIDPGetDatum(&order->id));
	ico_arg(&args, TimestampTzGetDatum(at));
	ico_arg(&args, CStringGetTextDatum(ico_actor()));
	ico_arg_text(&args, cstring_to_text_with_len(VARDATA_ANY(words), pg_mbcliplen(VARDATA_ANY(words),
																				  VARSIZE_ANY_EXHDR(words), NOTE_BYTES)));
	(void) ico_execute(&plan, args.values, args.nulls);
}

/* What went wrong is why it is abandoned, if it is and nobody says anything else. */
static void
note_reason(const IcoOrder *order, text *reason)
{
	static IcoPlan plan = {
		"iut",
		"UPDATE incomplete_orders.open_orders o SET abandonment_reason = $3 WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	Datum		values[3] = {Int32GetDatum(order->shop_id), UUIDPGetDatum(&order->id), PointerGetDatum(reason)};

	(void) ico_execute(&plan, values, NULL);
}

/* record_checkout_error(id, error_kind, reason, at) -> order_status */
Datum
ico_record_checkout_error(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = ico_require_id(fcinfo, 0, "id");
	int			kind = ico_word_argument(fcinfo, 1, "error_kind", error_kinds, lengthof(error_kinds),
									 "payment_failed, inventory_error, shipping_error, validation_error and general");
	IcoShop		shop;
	IcoOrder	order;
	IcoEvent	event = {.event = "checkout_error"};

	SPI_connect();
	ico_enter_order(ICO_RIGHT_record_checkout_error, id, &shop);
	event.at = ico_enter_at(fcinfo, 3, &shop);
	if (!ico_read_order(shop.shop_id, id, true, &order))
		ico_refuse_order(id);
	if (!order.closed)
		(void) ico_settle(&order, &shop, event.at);
	event.reason = cstring_to_text(error_kinds[kind]);
	ico_append_event(shop.shop_id, &order.id, &event);
	if (kind == 0)
		ico_fail_payment(&order, &shop, event.at, NULL);
	if (!order.closed && order.status != ICO_ABANDONED)
		note_reason(&order, event.reason);
	note_error(&order, event.at, text_argument(fcinfo, 2));
	SPI_finish();
	PG_RETURN_DATUM(ico_status_datum(order.status));
}

/* ---- identify_cart ---- */

/* identify_cart(session_id, customer_id, email, shop, at) -> uuid */
Datum
ico_identify_cart(PG_FUNCTION_ARGS)
{
	text	   *session_id = ico_require_key(fcinfo, 0, "session_id");
	text	   *customer_id = text_argument(fcinfo, 1);
	text	   *email = text_argument(fcinfo, 2);
	IcoShop		shop;
	TimestampTz at;
	IcoOrder	order;
	IcoFacts	facts = {0};
	pg_uuid_t  *result = NULL;

	if (customer_id == NULL && email == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("neither \"customer_id\" nor \"email\" was given"),
				 errhint("Name the customer, the e-mail, or both.")));
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_identify_cart, text_argument(fcinfo, 3), &shop);
	at = ico_enter_at(fcinfo, 4, &shop);
	if (customer_id != NULL)
		text_fact(&facts, "customer_id", customer_id);
	if (email != NULL)
		text_fact(&facts, "email", email);
	/* under the row's lock, the capture finds the same order */
	if (enter_session(&shop, session_id, at, &order))
	{
		ico_capture(&shop, session_id, NULL, &facts, at, &order.id);
		result = copied_id(&order.id);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(result);
}

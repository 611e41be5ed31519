/*
 * checkout.c
 *		What a shop knows of a checkout beside the cart: save_checkout,
 *		track_abandonment, record_checkout_error, identify_cart, merge_carts.
 *
 * All of them work on the open order of a session (or on an order by its id)
 * and never make a second one.  Each locks the order's row and first writes what
 * fell due before `at`; merge_carts locks both rows, the smaller id first, so
 * that merges in both directions do not wait for each other in a circle.
 * Memory: the SPI context of the call.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/resowner.h"
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
#define MAX_TRIES 100

PG_FUNCTION_INFO_V1(ico_save_checkout);
PG_FUNCTION_INFO_V1(ico_track_abandonment);
PG_FUNCTION_INFO_V1(ico_record_checkout_error);
PG_FUNCTION_INFO_V1(ico_identify_cart);
PG_FUNCTION_INFO_V1(ico_merge_carts);

static text *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);
}

/* The place of a word in a list; 22023 naming the argument when it is not there. */
static int
word_argument(FunctionCallInfo fcinfo, int argument, const char *name, const char *const *words, int n, const char *all)
{
	char	   *given = PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));

	for (int i = 0; given != NULL && i < n; i++)
	{
		if (strcmp(given, words[i]) == 0)
			return i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" is not one of its words", name),
			 errdetail("There are %s.", all)));
	return 0;
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
		stage = (Stage) word_argument(fcinfo, 1, "stage", stages, lengthof(stages),
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

/* record_checkout_error(id, error_kind, reason, at) -> order_status */
Datum
ico_record_checkout_error(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = ico_require_id(fcinfo, 0, "id");
	int			kind = word_argument(fcinfo, 1, "error_kind", error_kinds, lengthof(error_kinds),
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

/* ---- merge_carts ---- */

static const char *const strategies[] = {"keep_both", "keep_latest"};

typedef struct Merge
{
	IcoShop		shop;
	TimestampTz at;
	text	   *from_session;
	text	   *into_session;
	bool		latest;			/* strategy */
	bool		has_from;
	bool		has_into;
	IcoOrder	from;
	IcoOrder	into;
} Merge;

static bool
is_session_of(const Merge *merge, text *session_id, bool exists, const IcoOrder *order)
{
	IcoOrder	now;

	if (!ico_read_session(merge->shop.shop_id, PointerGetDatum(session_id), false, &now))
		return !exists;
	return exists && memcmp(&now.id, &order->id, sizeof(pg_uuid_t)) == 0;
}

/* False when a session changed its order in the meantime. */
static bool
lock_pair(Merge *merge)
{
	int32		shop_id = merge->shop.shop_id;
	pg_uuid_t	from_id;
	pg_uuid_t	into_id;
	bool		into_first;

	merge->has_from = ico_read_session(shop_id, PointerGetDatum(merge->from_session), false, &merge->from);
	merge->has_into = ico_read_session(shop_id, PointerGetDatum(merge->into_session), false, &merge->into);
	from_id = merge->from.id;
	into_id = merge->into.id;
	into_first = merge->has_from && merge->has_into && memcmp(&into_id, &from_id, sizeof(pg_uuid_t)) < 0;
	if (into_first && !ico_read_open(shop_id, &into_id, true, &merge->into))
		return false;
	if (merge->has_from && !ico_read_open(shop_id, &from_id, true, &merge->from))
		return false;
	if (merge->has_into && !into_first && !ico_read_open(shop_id, &into_id, true, &merge->into))
		return false;
	return is_session_of(merge, merge->from_session, merge->has_from, &merge->from) &&
		is_session_of(merge, merge->into_session, merge->has_into, &merge->into);
}

static void
add_lines(IcoItemsBuilder *builder, const IcoOrder *order, bool filled, bool unfilled)
{
	IcoLineReader reader;
	IcoLine		line;

	ico_line_reader_init(&reader, DatumGetLineItemsP(order->items));
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (!unfilled)
			line.quantity = line.filled;
		if (!filled)
		{
			line.quantity -= line.filled;
			line.filled = 0;
		}
		if (line.quantity > 0)
			ico_items_add(builder, &line);
	}
}

static bool
has_filled(const IcoOrder *order)
{
	IcoLineReader reader;
	IcoLine		line;

	ico_line_reader_init(&reader, DatumGetLineItemsP(order->items));
	while (ico_line_next(&reader, &line))
	{
		if (line.filled > 0)
			return true;
	}
	return false;
}

static bool
same_text(Datum a, Datum b)
{
	return strcmp(TextDatumGetCString(a), TextDatumGetCString(b)) == 0;
}

/*
 * The lines after the merge.  What was ordered of either cart stays with its own
 * order; charges and currency go with the lines that they were reckoned for.
 */
static LineItems *
merged_lines(const Merge *merge, bool *take_charges)
{
	IcoItemsBuilder builder;
	bool		replace = merge->latest && merge->from.last_activity_at > merge->into.last_activity_at;
	bool		keep = merge->latest && !replace;

	*take_charges = replace || (!keep && merge->into.empty);
	if (keep)
		return DatumGetLineItemsP(merge->into.items);
	if (!merge->from.empty && !same_text(merge->from.currency, merge->into.currency) &&
		(!*take_charges || has_filled(&merge->into)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("carts in different currencies cannot be merged"),
				 errdetail("Their prices would be added up as if they were one currency."),
				 errhint("Use the strategy keep_latest, or capture the cart anew in one currency.")));
	ico_items_begin(&builder);
	add_lines(&builder, &merge->into, true, !replace);
	add_lines(&builder, &merge->from, false, true);
	return ico_items_finish(&builder);
}

/* Whose facts two carts are: never those of another customer. */
#define SAME_PERSON \
	"(o.customer_id IS NULL OR f.customer_id IS NULL OR o.customer_id" EQ "f.customer_id)"
#define MISSING(column) \
	column " = CASE WHEN " SAME_PERSON " THEN COALESCE(o." column ", f." column ") ELSE o." column " END"
#define MISSING_KEYS(column) \
	column " = CASE WHEN o." column " IS NULL AND " SAME_PERSON " THEN f." column \
	" WHEN f." column " IS NOT NULL AND " SAME_PERSON " THEN f." column CONCAT "o." column " ELSE o." column " END"
#define WITH_LINES(column) \
	column " = CASE WHEN $5 THEN f." column " ELSE o." column " END"

static void
write_merged(const Merge *merge, LineItems *items, bool take_charges)
{
	static IcoPlan plan = {
		"iuulbzz",
		"UPDATE incomplete_orders.open_orders o SET items = $4, "
		WITH_LINES("currency") ", " WITH_LINES("shipping") ", " WITH_LINES("tax") ", " WITH_LINES("discount") ", "
		WITH_LINES("coupon_code") ", " WITH_LINES("coupon_discount") ", "
		MISSING("email") ", " MISSING("phone") ", " MISSING("customer_id") ", " MISSING("name") ", "
		MISSING_KEYS("address") ", " MISSING_KEYS("context") ","
		" furthest_step = GREATEST(o.furthest_step, f.furthest_step),"
		" recovery_attempts = GREATEST(o.recovery_attempts, f.recovery_attempts),"
		" last_recovery_at = GREATEST(o.last_recovery_at, f.last_recovery_at),"
		" expires_at = GREATEST(o.expires_at, f.expires_at),"
		" last_activity_at = GREATEST(o.last_activity_at, f.last_activity_at, $6),"
		" next_action_at = LEAST(o.next_action_at, $7), version = o.version" PLUS "1"
		" FROM incomplete_orders.open_orders f"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 AND f.shop_id" EQ "$1 AND f.id" EQ "$3"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(merge->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&merge->into.id));
	ico_arg(&args, UUIDPGetDatum(&merge->from.id));
	ico_arg(&args, PointerGetDatum(items));
	ico_arg(&args, BoolGetDatum(take_charges));
	ico_arg(&args, TimestampTzGetDatum(merge->at));
	ico_arg(&args, TimestampTzGetDatum(merge->at + merge->shop.cut_off));
	if (ico_execute(&plan, args.values, args.nulls) != 1)
		elog(ERROR, "open order vanished under its lock");
}

static void
merge_pair(Merge *merge)
{
	IcoEvent	event = {.event = "merged", .at = merge->at};
	LineItems  *items;
	bool		take_charges;

	/* its money may still come, and would then buy what is sold twice */
	if (merge->from.status == ICO_PAYMENT_PENDING)
		ereport(ERROR,
				(errcode(ICO_ERR_MOVE_NOT_ALLOWED),
				 errmsg("order %s has a payment in flight and cannot be merged",
						DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&merge->from.id)))),
				 errdetail("The payment would find its order closed."),
				 errhint("Call mark_payment_failed() or convert_order() first.")));
	items = merged_lines(merge, &take_charges);
	ico_reanimate(&merge->into, &merge->shop, merge->at);
	write_merged(merge, items, take_charges);
	event.reason = event.reason_text = cstring_to_text("merged");
	ico_close(&merge->from, ICO_DELETED, false, &event);
}

static void
write_session(const Merge *merge)
{
	static IcoPlan plan = {
		"iutz",
		"UPDATE incomplete_orders.open_orders o SET session_id = $3,"
		" last_activity_at = GREATEST(o.last_activity_at, $4), version = o.version" PLUS "1"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2"
	};
	IcoArgs		args = {0};

	ico_arg(&args, Int32GetDatum(merge->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&merge->from.id));
	ico_arg_text(&args, merge->into_session);
	ico_arg(&args, TimestampTzGetDatum(merge->at));
	if (ico_execute(&plan, args.values, args.nulls) != 1)
		elog(ERROR, "open order vanished under its lock");
}

/* The order of one session becomes that of the other; false when it got one meanwhile. */
static bool
move_session(Merge *merge)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		ico_reanimate(&merge->from, &merge->shop, merge->at);
		write_session(merge);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		ReThrowError(error);
	/* what came first cannot be seen by this transaction, however often it looks */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	return false;
}

/* The order that remains, or NULL; retry when it must be done again. */
static const pg_uuid_t *
try_merge(Merge *merge, bool *retry)
{
	*retry = !lock_pair(merge);
	if (*retry)
		return NULL;
	merge->has_from = merge->has_from && ico_settle(&merge->from, &merge->shop, merge->at);
	merge->has_into = merge->has_into && ico_settle(&merge->into, &merge->shop, merge->at);
	if (merge->has_from && merge->has_into)
		merge_pair(merge);
	else if (merge->has_from)
	{
		*retry = !move_session(merge);
		return &merge->from.id;
	}
	return merge->has_into ? &merge->into.id : NULL;
}

static pg_uuid_t *
merge_sessions(Merge *merge)
{
	for (int tries = 0; tries < MAX_TRIES; tries++)
	{
		bool		retry;
		const pg_uuid_t *id;

		CHECK_FOR_INTERRUPTS();
		id = try_merge(merge, &retry);
		if (!retry)
			return id == NULL ? NULL : copied_id(id);
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not merge the carts: their sessions change too fast"),
			 errhint("Try again.")));
	return NULL;
}

/* merge_carts(from_session, into_session, strategy, shop, at) -> uuid */
Datum
ico_merge_carts(PG_FUNCTION_ARGS)
{
	Merge		merge = {0};
	pg_uuid_t  *result;

	merge.from_session = ico_require_key(fcinfo, 0, "from_session");
	merge.into_session = ico_require_key(fcinfo, 1, "into_session");
	if (!PG_ARGISNULL(2))
		merge.latest = word_argument(fcinfo, 2, "strategy", strategies, lengthof(strategies),
									 "keep_both and keep_latest") == 1;
	if (same_text(PointerGetDatum(merge.from_session), PointerGetDatum(merge.into_session)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a session cannot be merged into itself")));
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_merge_carts, text_argument(fcinfo, 3), &merge.shop);
	merge.at = ico_enter_at(fcinfo, 4, &merge.shop);
	result = merge_sessions(&merge);
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(result);
}

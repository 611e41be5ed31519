/*
 * link.c
 *		What the links in recovery messages do, and what is learned of a message
 *		after it was sent.
 *
 * The customer who follows a link is nobody to the database: the token names
 * message and shop, and the shop's program hands it in with a right of its own.
 * Nothing that is returned here holds an address or a name of a person: mails
 * are forwarded.
 *
 * Locks: those of suppress.c, and the message's row while what happened to it is
 * written; a suppression comes before that, because it takes its locks in an
 * order of its own.  Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "facts.h"
#include "message.h"
#include "plan.h"
#include "suppress.h"
#include "tenant.h"
#include "token.h"

PG_FUNCTION_INFO_V1(ico_open_link);
PG_FUNCTION_INFO_V1(ico_preview_unsubscribe);
PG_FUNCTION_INFO_V1(ico_unsubscribe);
PG_FUNCTION_INFO_V1(ico_record_message_event);

static void
message_args(IcoArgs *args, int32 shop_id, const pg_uuid_t *message_id)
{
	args->n = 0;
	ico_arg(args, Int32GetDatum(shop_id));
	ico_arg(args, UUIDPGetDatum(message_id));
}

/* Whom a message went to, or NULL when it is not kept any more. */
static text *
recipient_of(int32 shop_id, const pg_uuid_t *message_id)
{
	static IcoPlan plan = {
		"iu", "SELECT m.recipient FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2"
	};
	IcoArgs		args;
	bool		isnull;

	message_args(&args, shop_id, message_id);
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		return NULL;
	return DatumGetTextPP(ico_column(0, 1, &isnull));
}

/* The person that a deleted message went to: retention keeps that much of it. */
static bool
past_recipient(int32 shop_id, const pg_uuid_t *message_id, int64 *person)
{
	static IcoPlan plan = {
		"iu", "SELECT r.person FROM incomplete_orders.past_recipients r WHERE r.shop_id" EQ "$1 AND r.message_id" EQ "$2"
	};
	IcoArgs		args;
	bool		isnull;

	message_args(&args, shop_id, message_id);
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		return false;
	*person = DatumGetInt64(ico_column(0, 1, &isnull));
	return true;
}

static void
mark_unsubscribed(const IcoToken *token, TimestampTz at)
{
	static IcoPlan plan = {
		"iuz",
		"UPDATE incomplete_orders.messages m SET unsubscribed_at = $3"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.unsubscribed_at IS NULL"
	};
	IcoMessageEvent event = {.event = "message_unsubscribed", .at = at};
	IcoArgs		args;

	message_args(&args, token->shop.shop_id, &token->message_id);
	ico_arg(&args, TimestampTzGetDatum(at));
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		return;
	if (token->link == ICO_LINK_NOT_ME)
		event.reason = "not_me";
	(void) ico_append_message_event(token->shop.shop_id, &token->message_id, &event);
}

/* unsubscribe(token, scope, at) -> boolean */
Datum
ico_unsubscribe(PG_FUNCTION_ARGS)
{
	char	   *scope = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	IcoToken	token;
	const char *reason;
	text	   *recipient;
	int64		person;
	TimestampTz at;

	if (scope == NULL || (strcmp(scope, "recovery") != 0 && strcmp(scope, "all") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"scope\" is not one of its words"),
				 errdetail("There are recovery and all.")));
	SPI_connect();
	ico_enter_token(ICO_RIGHT_unsubscribe, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0),
					ICO_LINK_BIT(ICO_LINK_UNSUBSCRIBE) | ICO_LINK_BIT(ICO_LINK_NOT_ME), &token);
	at = ico_enter_at(fcinfo, 2, &token.shop);
	recipient = recipient_of(token.shop.shop_id, &token.message_id);
	reason = token.link == ICO_LINK_NOT_ME ? "not_me" : "unsubscribed";
	/* '' when the person was forgotten: then, too, what remains is the key */
	if (recipient != NULL && VARSIZE_ANY_EXHDR(recipient) > 0)
		(void) ico_suppress(token.shop.shop_id, recipient, scope, reason, at, &token.message_id, true);
	else if (past_recipient(token.shop.shop_id, &token.message_id, &person))
		(void) ico_suppress_person(token.shop.shop_id, person, scope, reason, at, &token.message_id);
	else
		ico_refuse_token("Its message is not kept any more.");
	if (recipient != NULL)
		mark_unsubscribed(&token, at);
	SPI_finish();
	PG_RETURN_BOOL(true);
}

/* preview_unsubscribe(token) -> whose messages end, before they do */
Datum
ico_preview_unsubscribe(PG_FUNCTION_ARGS)
{
#define LOCALE(table) \
	"(SELECT o.context" ARROW_TEXT "'locale' FROM incomplete_orders." table " o WHERE o.shop_id" EQ "$1 AND o.id" EQ "m.order_id)"
	static IcoPlan plan = {
		"iu",
		"SELECT m.id, s.shop, s.name, COALESCE(" LOCALE("open_orders") ", " LOCALE("closed_orders") ", s.locale), s.logo_url, s.colour"
		" FROM (SELECT q.id, q.order_id FROM incomplete_orders.messages q WHERE q.shop_id" EQ "$1 AND q.id" EQ "$2"
		"  UNION ALL SELECT r.message_id, NULL FROM incomplete_orders.past_recipients r"
		"  WHERE r.shop_id" EQ "$1 AND r.message_id" EQ "$2 LIMIT 1) m, incomplete_orders.shops s WHERE s.shop_id" EQ "$1"
	};
	MemoryContext caller = CurrentMemoryContext;
	TupleDesc	desc;
	IcoToken	token;
	IcoArgs		args;
	Datum		values[6];
	bool		nulls[6];
	Datum		row;

	SPI_connect();
	ico_enter_token(ICO_RIGHT_preview_unsubscribe, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0),
					ICO_LINK_BIT(ICO_LINK_UNSUBSCRIBE) | ICO_LINK_BIT(ICO_LINK_NOT_ME), &token);
	message_args(&args, token.shop.shop_id, &token.message_id);
	if (ico_execute_read(&plan, args.values, args.nulls, GetActiveSnapshot()) == 0)
		ico_refuse_token("Its message is not kept any more.");
	for (int i = 0; i < lengthof(values); i++)
		values[i] = ico_column(0, i + 1, &nulls[i]);
	MemoryContextSwitchTo(caller);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	row = HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
	SPI_finish();
	PG_RETURN_DATUM(row);
}

/* open_link(token) -> uuid */
Datum
ico_open_link(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"iu", "SELECT 1 FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2"
	};
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	IcoToken	token;
	IcoArgs		args;

	SPI_connect();
	ico_enter_token(ICO_RIGHT_open_link, PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0), ICO_LINK_BIT(ICO_LINK_OPEN),
					&token);
	message_args(&args, token.shop.shop_id, &token.message_id);
	if (ico_execute_read(&plan, args.values, args.nulls, GetActiveSnapshot()) == 0)
		ico_refuse_token("Its message is not kept any more.");
	*id = token.message_id;
	SPI_finish();
	PG_RETURN_UUID_P(id);
}

/* ---- record_message_event ---- */

typedef enum Happening
{
	DELIVERED, OPENED, CLICKED, BOUNCED, COMPLAINED, REPLIED, UNSUBSCRIBED
} Happening;

static const char *const happenings[] = {
	"delivered", "opened", "clicked", "bounced", "complained", "replied", "unsubscribed"
};

typedef struct Report
{
	IcoShop		shop;
	const pg_uuid_t *message_id;
	Happening	what;
	bool		machine;		/* of opened and clicked */
	bool		permanent;		/* of bounced */
	TimestampTz at;
} Report;

/* A truth value in meta; 22023 for anything else. */
static bool
truth_in(Jsonb *meta, const char *key, bool missing)
{
	JsonbValue	buffer;
	JsonbValue *value = meta == NULL ? NULL : getKeyJsonValueFromContainer(&meta->root, key, strlen(key), &buffer);

	if (value == NULL || value->type == jbvNull)
		return missing;
	if (value->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key \"%s\" of argument \"meta\" is neither true nor false", key)));
	return value->val.boolean;
}

static void
read_report(FunctionCallInfo fcinfo, Report *report)
{
	Jsonb	   *meta = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);

	report->message_id = ico_require_id(fcinfo, 0, "message_id");
	report->what = (Happening) ico_word_argument(fcinfo, 1, "event", happenings, lengthof(happenings),
												 "delivered, opened, clicked, bounced, complained, replied and unsubscribed");
	if (meta != NULL && (JB_ROOT_IS_SCALAR(meta) || !JB_ROOT_IS_OBJECT(meta)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"meta\" must be an object"),
				 errhint("For example {\"machine\": false}, or {\"permanent\": true} of a bounce.")));
	/* both are looked at in any case: a report is well formed or it is not */
	report->machine = truth_in(meta, "machine", false) && (report->what == OPENED || report->what == CLICKED);
	report->permanent = truth_in(meta, "permanent", true) && report->what == BOUNCED;
}

/* What the person, or the person's provider, will not have again. */
static const char *
suppression_of(const Report *report)
{
	switch (report->what)
	{
		case BOUNCED:
			return report->permanent ? "hard_bounce" : NULL;
		case COMPLAINED:
			return "complaint";
		case UNSUBSCRIBED:
			return "unsubscribed";
		default:
			return NULL;
	}
}

static void
event_of(const Report *report, IcoMessageEvent *event)
{
	memset(event, 0, sizeof(*event));
	event->event = psprintf("message_%s", happenings[report->what]);
	event->at = report->at;
	if (report->what == OPENED || report->what == CLICKED)
		event->machine = &report->machine;
	if (report->what == BOUNCED)
		event->reason = report->permanent ? "hard_bounce" : "soft_bounce";
}

/* Whether the history has it already, from the same kind of visitor, for the same reason. */
static bool
is_known(const Report *report, const IcoMessageEvent *event)
{
	static IcoPlan plan = {
		"iutbt",
		"SELECT 1 FROM incomplete_orders.messages m JOIN incomplete_orders.order_events e"
		" ON e.shop_id" EQ "m.shop_id AND e.order_id" EQ "m.order_id AND e.message_id" EQ "m.id"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND e.event" EQ "$3"
		" AND COALESCE(e.machine, false)" EQ "$4 AND ($5 IS NULL OR e.reason_code" EQ "$5) LIMIT 1"
	};
	IcoArgs		args;

	message_args(&args, report->shop.shop_id, report->message_id);
	ico_arg(&args, CStringGetTextDatum(event->event));
	ico_arg(&args, BoolGetDatum(report->machine));
	if (event->reason == NULL)
		ico_arg_null(&args);
	else
		ico_arg(&args, CStringGetTextDatum(event->reason));
	return ico_execute(&plan, args.values, args.nulls) > 0;
}

#define FIRST(happening) \
	happening "_at = CASE WHEN $3" EQ "'" happening "' THEN COALESCE(m." happening "_at, $4) ELSE m." happening "_at END"

/* The first instant of each; a machine's visit has none. */
static void
write_instant(const Report *report)
{
	static IcoPlan plan = {
		"iutz",
		"UPDATE incomplete_orders.messages m SET " FIRST("delivered") ", " FIRST("opened") ", " FIRST("clicked") ", "
		FIRST("bounced") ", " FIRST("complained") ", " FIRST("replied") ", " FIRST("unsubscribed")
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2"
	};
	IcoArgs		args;

	if (report->machine)
		return;
	message_args(&args, report->shop.shop_id, report->message_id);
	ico_arg(&args, CStringGetTextDatum(happenings[report->what]));
	ico_arg(&args, TimestampTzGetDatum(report->at));
	(void) ico_execute(&plan, args.values, args.nulls);
}

static void
lock_message(const Report *report)
{
	static IcoPlan plan = {
		"iu",
		"SELECT 1 FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 FOR UPDATE"
	};
	IcoArgs		args;

	message_args(&args, report->shop.shop_id, report->message_id);
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		ico_refuse_message(report->message_id);
}

/* record_message_event(message_id, event, meta, at) -> boolean */
Datum
ico_record_message_event(PG_FUNCTION_ARGS)
{
	Report		report;
	IcoMessageEvent event;
	const char *suppression;
	text	   *recipient;
	int64		person;
	bool		fresh = false;

	read_report(fcinfo, &report);
	SPI_connect();
	ico_enter_message(ICO_RIGHT_record_message_event, report.message_id, &report.shop);
	report.at = ico_enter_at(fcinfo, 3, &report.shop);
	recipient = recipient_of(report.shop.shop_id, report.message_id);
	if (recipient == NULL)
		ico_refuse_message(report.message_id);
	suppression = suppression_of(&report);
	if (suppression != NULL && VARSIZE_ANY_EXHDR(recipient) > 0)
		(void) ico_suppress(report.shop.shop_id, recipient, "recovery", suppression, report.at, report.message_id, true);
	else if (suppression != NULL && past_recipient(report.shop.shop_id, report.message_id, &person))
		(void) ico_suppress_person(report.shop.shop_id, person, "recovery", suppression, report.at, report.message_id);
	event_of(&report, &event);
	/* a flood of the same takes no lock; who waited for one looks again */
	if (!is_known(&report, &event))
	{
		lock_message(&report);
		fresh = !is_known(&report, &event);
	}
	if (fresh)
	{
		write_instant(&report);
		(void) ico_append_message_event(report.shop.shop_id, report.message_id, &event);
	}
	SPI_finish();
	PG_RETURN_BOOL(fresh);
}

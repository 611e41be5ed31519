/*
 * queue_answer.c
 *		What senders and staff say of a claimed message: sent, failed, not yet.
 *
 * Who answers shows the token of his claim.  Once somebody else has claimed the
 * message the token is stale: the answer changes nothing, and is counted in
 * heartbeats.  A lease that ended is no matter as long as nobody claimed again.
 * The last token stays good for an ack whatever became of the message meanwhile,
 * cancelled or dead: the mail did leave, and the history says so.
 *
 * Locks: the message's row, then, waiting, its order's.  Whoever holds an order
 * takes messages only where nobody else has them, so that is no circle.
 * Memory: the SPI context of the call.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "port.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "direct_row.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "line_items.h"
#include "message.h"
#include "plan.h"
#include "queue.h"
#include "suppress.h"
#include "tenant.h"

/* what is kept of a mail server's reply */
#define RESPONSE_CHARS 1000
/* the first wait after a failure, doubled each time, and the longest */
#define FIRST_WAIT USECS_PER_MINUTE
#define LONGEST_WAIT (6 * USECS_PER_HOUR)

PG_FUNCTION_INFO_V1(ico_ack_message);
PG_FUNCTION_INFO_V1(ico_fail_message);
PG_FUNCTION_INFO_V1(ico_extend_message);
PG_FUNCTION_INFO_V1(ico_retry_message);
PG_FUNCTION_INFO_V1(ico_discard_message);

/* Arguments that ack, fail and extend begin with. */
typedef struct Answer
{
	IcoShop		shop;
	pg_uuid_t	id;
	int64		token;
	text	   *response;		/* or NULL */
	TimestampTz now;
} Answer;

static text *
cut_response(FunctionCallInfo fcinfo, int argument)
{
	text	   *given;
	int			len;

	if (PG_ARGISNULL(argument))
		return NULL;
	given = PG_GETARG_TEXT_PP(argument);
	len = pg_mbcharcliplen(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), RESPONSE_CHARS);
	return cstring_to_text_with_len(VARDATA_ANY(given), len);
}

/* The caller is connected to SPI. */
static void
enter_answer(FunctionCallInfo fcinfo, IcoRight right, Answer *answer)
{
	answer->id = *ico_require_id(fcinfo, 0, "message_id");
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"token\" must not be null"),
				 errhint("It is the one that claim_messages() returned.")));
	answer->token = PG_GETARG_INT64(1);
	answer->now = GetCurrentTimestamp();
	ico_enter_message(right, &answer->id, &answer->shop);
}

static void
answer_args(IcoArgs *args, const Answer *answer)
{
	args->n = 0;
	ico_arg(args, Int32GetDatum(answer->shop.shop_id));
	ico_arg(args, UUIDPGetDatum(&answer->id));
	ico_arg(args, Int64GetDatum(answer->token));
	ico_arg(args, TimestampTzGetDatum(answer->now));
	ico_arg_text(args, answer->response);
}

/* Two senders thought that they had the same message: worth knowing. */
static void
count_stale(void)
{
	static IcoPlan plan = {
		"",
		"INSERT INTO incomplete_orders.heartbeats AS h (job, at, report)"
		" VALUES ('stale_tokens', pg_catalog.clock_timestamp(), '{\"n\": 1}') ON CONFLICT (job) DO UPDATE"
		" SET at = EXCLUDED.at, report = pg_catalog.jsonb_build_object('n',"
		" (h.report" ARROW_TEXT "'n')::pg_catalog.int8" PLUS "1)"
	};

	(void) ico_execute(&plan, NULL, NULL);
}

/* A message as it is now, its row locked. */
typedef struct Held
{
	char	   *status;
	int64		token;
	int32		attempts;
	TimestampTz give_up_at;
	text	   *recipient;
} Held;

static bool
hold_message(const Answer *answer, Held *held)
{
	static IcoPlan plan = {
		"iu",
		"SELECT m.status::pg_catalog.text, m.token, m.attempts, m.give_up_at, m.recipient"
		" FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 FOR UPDATE"
	};
	Datum		values[2] = {Int32GetDatum(answer->shop.shop_id), UUIDPGetDatum(&answer->id)};
	bool		isnull;

	if (ico_execute(&plan, values, NULL) == 0)
		return false;
	held->status = TextDatumGetCString(ico_column(0, 1, &isnull));
	held->token = DatumGetInt64(ico_column(0, 2, &isnull));
	held->attempts = DatumGetInt32(ico_column(0, 3, &isnull));
	held->give_up_at = DatumGetTimestampTz(ico_column(0, 4, &isnull));
	held->recipient = DatumGetTextPP(ico_column(0, 5, &isnull));
	return true;
}

/* Whether the answer is of the last claim; a stale one is counted. */
static bool
is_last_claim(const Answer *answer, Held *held)
{
	/* what was never claimed has no token */
	if (hold_message(answer, held) && held->token == answer->token && held->token > 0)
		return true;
	count_stale();
	return false;
}

/* ---- ack ---- */

/* The ordinary ack: the message is being sent, its order open. */
enum
{
	M_STATUS, M_SENT_AT, M_RESPONSE, M_REASON, M_TOKEN, M_ORDER_ID, M_EPISODE, M_CAMPAIGN, M_STEP, M_VARIANT
};
static IcoRowTable messages = {
	"messages", 4,
	{"status", "sent_at", "response", "reason", "token", "order_id", "episode", "campaign", "step", "variant"}
};
enum
{
	O_ATTEMPTS, O_LAST, O_ROOT_ID, O_STATUS, O_KIND, O_CURRENCY, O_ITEMS, O_SHIPPING, O_TAX, O_DISCOUNT,
	O_COUPON_DISCOUNT, O_FURTHEST_STEP, O_CONTEXT, O_BOT, O_CREATED_AT, O_ABANDONED_AT
};
static IcoRowTable open_orders = {
	"open_orders", 2,
	{"recovery_attempts", "last_recovery_at", "root_id", "status", "kind", "currency", "items", "shipping", "tax",
	"discount", "coupon_discount", "furthest_step", "context", "bot", "created_at", "abandoned_at"}
};

static Datum
status_label(const IcoRow *message, const char *label)
{
	Oid			type = TupleDescAttr(RelationGetDescr(message->relation), messages.attnums[M_STATUS] - 1)->atttypid;

	return ObjectIdGetDatum(GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(type),
											CStringGetDatum(label)));
}

static Datum
column(const IcoRow *row, int number)
{
	bool		isnull;
	Datum		value = ico_row_value(row, number, &isnull);

	return isnull ? (Datum) 0 : value;
}

static bool
write_message(const Answer *answer, IcoRow *message)
{
	Datum		values[4] = {
		status_label(message, "sent"), TimestampTzGetDatum(answer->now), PointerGetDatum(answer->response), (Datum) 0
	};
	bool		nulls[4] = {false, false, answer->response == NULL, true};

	return ico_row_update(message, values, nulls);
}

static bool
write_order(const Answer *answer, IcoRow *order)
{
	bool		isnull;
	TimestampTz last = DatumGetTimestampTz(ico_row_value(order, O_LAST, &isnull));
	Datum		values[2] = {
		Int32GetDatum(DatumGetInt32(column(order, O_ATTEMPTS)) + 1),
		TimestampTzGetDatum(isnull ? answer->now : Max(last, answer->now))
	};
	bool		nulls[2] = {false, false};

	return ico_row_update(order, values, nulls);
}

static void
write_event(const Answer *answer, const IcoRow *message, const IcoRow *order)
{
	IcoEvent	event = {.event = "message_sent", .at = answer->now, .by_clock = true};
	Datum		abandoned_at;
	bool		isnull;
	IcoEventRow row = {
		.root_id = *DatumGetUUIDP(column(order, O_ROOT_ID)),
		.episode = DatumGetInt32(column(message, M_EPISODE)),
		.after = ico_status_of(column(order, O_STATUS)),
		.kind = column(order, O_KIND),
		.currency = column(order, O_CURRENCY),
		.item_count = ico_items_count(DatumGetLineItemsP(column(order, O_ITEMS))),
		.furthest_step = column(order, O_FURTHEST_STEP),
		.context = column(order, O_CONTEXT),
		.bot = DatumGetBool(column(order, O_BOT)),
		.created_at = DatumGetTimestampTz(column(order, O_CREATED_AT)),
		.message_id = &answer->id,
		.campaign = (text *) DatumGetPointer(column(message, M_CAMPAIGN)),
		.step = DatumGetInt32(column(message, M_STEP)),
		.variant = (text *) DatumGetPointer(column(message, M_VARIANT)),
	};

	abandoned_at = ico_row_value(order, O_ABANDONED_AT, &isnull);
	row.abandoned_at = isnull ? ICO_NONE : DatumGetTimestampTz(abandoned_at);
	row.value = DirectFunctionCall6(ico_order_total_sql, column(order, O_ITEMS), column(order, O_SHIPPING),
									column(order, O_TAX), column(order, O_DISCOUNT), column(order, O_COUPON_DISCOUNT),
									row.currency);
	ico_put_event(answer->shop.shop_id, DatumGetUUIDP(column(message, M_ORDER_ID)), &event, NULL, &row);
}

typedef enum Sent
{
	SENT_NOT,					/* nothing is written */
	SENT_MESSAGE,				/* the message, but not its order and event */
	SENT_ALL
} Sent;

static Sent
mark_ordinary(const Answer *answer)
{
	IcoRow		message;
	IcoRow		order;
	Sent		sent = SENT_NOT;

	if (!ico_row_fetch(&messages, answer->shop.shop_id, &answer->id, &message))
		return SENT_NOT;
	if (DatumGetInt64(column(&message, M_TOKEN)) == answer->token &&
		column(&message, M_STATUS) == status_label(&message, "sending") &&
		ico_row_fetch(&open_orders, answer->shop.shop_id, DatumGetUUIDP(column(&message, M_ORDER_ID)), &order))
	{
		if (write_message(answer, &message))
			sent = SENT_MESSAGE;
		if (sent == SENT_MESSAGE && write_order(answer, &order))
		{
			write_event(answer, &message, &order);
			sent = SENT_ALL;
		}
		ico_row_close(&order);
	}
	ico_row_close(&message);
	return sent;
}

/*
 * The message, its order and both events in one statement.
 *	$1 shop_id  $2 message  $3 token  $4 now  $5 response
 */
#define SENT(message, table) \
	"WITH m AS (" message ")," \
	" o AS (UPDATE incomplete_orders." table " o SET recovery_attempts = o.recovery_attempts" PLUS "1," \
	"  last_recovery_at = GREATEST(o.last_recovery_at, $4) FROM m WHERE o.shop_id" EQ "$1 AND o.id" EQ "m.order_id" \
	"  RETURNING o.shop_id, o.id, o.root_id, m.episode, o.status, o.kind, o.currency, o.items, o.shipping, o.tax," \
	"  o.discount, o.coupon_discount, o.furthest_step, o.context, o.bot, o.created_at, o.abandoned_at," \
	"  m.campaign, m.step, m.variant, m.id AS message_id), " \
	ICO_EVENT_ROWS("o", "'message_sent'", "$4", "NULL", "NULL", "r.status", "NULL", \
				   ", campaign, step, variant, message_id", ", r.campaign, r.step, r.variant, r.message_id") \
	", t AS (" ICO_EVENT_TAIL " RETURNING 1)" \
	" SELECT EXISTS (SELECT FROM t) FROM m"

/* a reply may name the recipient, whom forget_customer() took away while the mail was on its way */
#define RESPONSE "CASE WHEN m.recipient" NE "'' THEN $5 END"

/* the message was written before */
#define SENT_MESSAGE_ROW \
	"SELECT m.* FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.token" EQ "$3"

/* False: there is no such message, or it was sent before. */
static bool
mark_sent(const Answer *answer)
{
	static IcoPlan open = {
		"iuIzt",
		SENT("UPDATE incomplete_orders.messages m SET status = 'sent', sent_at = $4, response = " RESPONSE ", reason = NULL"
			 " WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.token" EQ "$3 AND m.status" NE "'sent' RETURNING m.*",
			 "open_orders")
	};
	static IcoPlan rest = {"iuIzt", SENT(SENT_MESSAGE_ROW, "open_orders")};
	static IcoPlan closed = {"iuIzt", SENT(SENT_MESSAGE_ROW, "closed_orders")};
	IcoArgs		args;
	bool		isnull;
	Sent		sent = mark_ordinary(answer);

	if (sent == SENT_ALL)
		return true;
	answer_args(&args, answer);
	if (ico_execute(sent == SENT_MESSAGE ? &rest : &open, args.values, args.nulls) == 0)
		return false;
	/* closed, perhaps while we waited for its row: a new statement sees it where it is now */
	if (!DatumGetBool(ico_column(0, 1, &isnull)))
		(void) ico_execute(&closed, args.values, args.nulls);
	return true;
}

/* ack_message(message_id, token, response) */
Datum
ico_ack_message(PG_FUNCTION_ARGS)
{
	Answer		answer = {.response = cut_response(fcinfo, 2)};
	Held		held;
	bool		good;

	SPI_connect();
	enter_answer(fcinfo, ICO_RIGHT_ack_message, &answer);
	good = answer.token > 0 && mark_sent(&answer);
	if (!good)
		good = is_last_claim(&answer, &held);
	SPI_finish();
	PG_RETURN_BOOL(good);
}

/* ---- fail ---- */

/* 60 s, 120 s, ... 6 h, each by a quarter shorter to longer, so that not all come back at once. */
static TimestampTz
try_again_at(const Held *held, TimestampTz now)
{
	int64		wait = FIRST_WAIT;
	uint32		random = 0;

	for (int i = 1; i < held->attempts && wait < LONGEST_WAIT; i++)
		wait *= 2;
	wait = Min(wait, LONGEST_WAIT);
	if (!pg_strong_random(&random, sizeof(random)))
		random = UINT32_MAX / 2;
	return now + wait / 4 * 3 + (int64) (wait / 2 * (random / (double) UINT32_MAX));
}

/*
 * Whether a reply says that there is no such recipient: 5.1.x of RFC 3463 behind
 * the reply's number, but not those that speak of the sender's address or of
 * other mail servers (5.1.7 to 5.1.9).
 */
static bool
is_hard_bounce(const text *response)
{
	const char *s;
	int			len;
	int			detail = 0;
	int			digits = 0;

	if (response == NULL)
		return false;
	s = VARDATA_ANY(response);
	len = VARSIZE_ANY_EXHDR(response);
	if (len > 4 && s[0] == '5' && s[1] >= '0' && s[1] <= '9' && s[2] >= '0' && s[2] <= '9' && (s[3] == ' ' || s[3] == '-'))
	{
		s += 4;
		len -= 4;
	}
	if (len < 5 || memcmp(s, "5.1.", 4) != 0)
		return false;
	for (int i = 4; i < len && digits < 3 && s[i] >= '0' && s[i] <= '9'; i++, digits++)
		detail = detail * 10 + (s[i] - '0');
	return digits > 0 && !(detail >= 7 && detail <= 9);
}

static void
append_event(const Answer *answer, const char *event, const char *reason)
{
	IcoMessageEvent row = {.event = event, .at = answer->now, .by_clock = true, .reason = reason};

	(void) ico_append_message_event(answer->shop.shop_id, &answer->id, &row);
}

/* There is no such recipient: no other message is for that address either. */
static void
bounce(const Answer *answer, const Held *held)
{
	append_event(answer, "message_bounced", "hard_bounce");
	(void) ico_suppress(answer->shop.shop_id, held->recipient, "recovery", "hard_bounce", answer->now, &answer->id, false);
}

static void
kill_message(const Answer *answer, const Held *held, const char *reason)
{
	static IcoPlan plan = {
		"iuIztt",
		"WITH e AS (UPDATE incomplete_orders.messages m SET status = 'dead', due_at = $4, response = $5, reason = $6,"
		"  bounced_at = CASE WHEN $6" EQ "'hard_bounce' THEN $4 ELSE m.bounced_at END"
		"  WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.token" EQ "$3 RETURNING m.*)"
		" INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, ordinal, message_id, at, reason)"
		" SELECT e.shop_id, e.order_id, e.episode, e.campaign, e.step, e.ordinal, e.id, $4, $6 FROM e"
	};
	IcoArgs		args;

	answer_args(&args, answer);
	ico_arg(&args, CStringGetTextDatum(reason));
	(void) ico_execute(&plan, args.values, args.nulls);
	append_event(answer, "message_failed", reason);
	if (strcmp(reason, "hard_bounce") == 0)
		bounce(answer, held);
}

static void
put_back(const Answer *answer, const Held *held)
{
	static IcoPlan plan = {
		"iuIztz",
		"UPDATE incomplete_orders.messages m SET status = 'queued', due_at = $6, response = $5"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.token" EQ "$3"
	};
	IcoArgs		args;

	answer_args(&args, answer);
	ico_arg(&args, TimestampTzGetDatum(try_again_at(held, answer->now)));
	(void) ico_execute(&plan, args.values, args.nulls);
}

/* What was cancelled while it was being sent stays so, with the reply and what it says of the address. */
static void
note_response(const Answer *answer, const Held *held, bool bounced)
{
	static IcoPlan plan = {
		"iuIztb",
		"UPDATE incomplete_orders.messages m SET response = " RESPONSE ", bounced_at = CASE WHEN $6 THEN $4 ELSE m.bounced_at END"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.token" EQ "$3"
	};
	IcoArgs		args;

	answer_args(&args, answer);
	ico_arg(&args, BoolGetDatum(bounced));
	(void) ico_execute(&plan, args.values, args.nulls);
	if (bounced)
		bounce(answer, held);
}

static void
fail_sending(const Answer *answer, const Held *held, bool permanent)
{
	if (permanent)
		kill_message(answer, held, is_hard_bounce(answer->response) ? "hard_bounce" : "rejected");
	else if (held->attempts >= ICO_MAX_ATTEMPTS)
		kill_message(answer, held, "attempts_exhausted");
	else if (held->give_up_at <= answer->now)
		kill_message(answer, held, "too_old");
	else
		put_back(answer, held);
}

/* fail_message(message_id, token, permanent, response) */
Datum
ico_fail_message(PG_FUNCTION_ARGS)
{
	Answer		answer = {.response = cut_response(fcinfo, 3)};
	bool		permanent = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	Held		held;
	bool		good;

	SPI_connect();
	enter_answer(fcinfo, ICO_RIGHT_fail_message, &answer);
	good = is_last_claim(&answer, &held);
	if (good)
	{
		if (strcmp(held.status, "sending") == 0)
			fail_sending(&answer, &held, permanent);
		else if (strcmp(held.status, "cancelled") == 0)
			note_response(&answer, &held, permanent && is_hard_bounce(answer.response));
		else
			/* queued or dead: the same answer once more */
			good = strcmp(held.status, "sent") != 0;
	}
	SPI_finish();
	PG_RETURN_BOOL(good);
}

/* ---- extend ---- */

static bool
extend_lease(const Answer *answer, TimestampTz until, bool untried)
{
	static IcoPlan longer = {
		"iuIz",
		"UPDATE incomplete_orders.messages m SET due_at = $4"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.token" EQ "$3 AND m.status" EQ "'sending'"
	};
	static IcoPlan back = {
		"iuIz",
		"UPDATE incomplete_orders.messages m SET due_at = $4, status = 'queued', attempts = m.attempts" MINUS "1"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.token" EQ "$3 AND m.status" EQ "'sending'"
	};
	Datum		values[4] = {
		Int32GetDatum(answer->shop.shop_id), UUIDPGetDatum(&answer->id), Int64GetDatum(answer->token),
		TimestampTzGetDatum(until)
	};

	return ico_execute(untried ? &back : &longer, values, NULL) > 0;
}

/* extend_message(message_id, token, lease, untried); '0', or untried: given back, never tried */
Datum
ico_extend_message(PG_FUNCTION_ARGS)
{
	Answer		answer = {0};
	int64		lease = PG_ARGISNULL(2) ? -1 : ico_span(PG_GETARG_DATUM(2));
	bool		untried = lease == 0 || (!PG_ARGISNULL(3) && PG_GETARG_BOOL(3));
	Held		held;
	bool		good;

	if (lease < 0 || lease > USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"lease\" must be from 0 to a day"),
				 errhint("It counts from now; 0 gives the message back, and the attempt is not counted.")));
	SPI_connect();
	enter_answer(fcinfo, ICO_RIGHT_extend_message, &answer);
	good = answer.token > 0 && extend_lease(&answer, answer.now + lease, untried);
	if (!good)
	{
		/* given back before, or ended while it was being sent: only the first is what was asked for */
		good = is_last_claim(&answer, &held) && untried && strcmp(held.status, "queued") == 0;
	}
	SPI_finish();
	PG_RETURN_BOOL(good);
}

/* ---- staff ---- */

/* Whether the statement changed a dead message; IC003 when there is none of that id. */
static bool
change_dead(FunctionCallInfo fcinfo, IcoRight right, IcoPlan *plan)
{
	Answer		answer = {.id = *ico_require_id(fcinfo, 0, "message_id")};
	Datum		values[4];
	Held		held;
	TimestampTz at;
	bool		changed;

	SPI_connect();
	ico_enter_message(right, &answer.id, &answer.shop);
	at = ico_enter_at(fcinfo, 1, &answer.shop);
	values[0] = Int32GetDatum(answer.shop.shop_id);
	values[1] = UUIDPGetDatum(&answer.id);
	values[2] = TimestampTzGetDatum(at);
	values[3] = TimestampTzGetDatum(Max(at, GetCurrentTimestamp()) + ICO_GIVE_UP_AFTER);
	changed = ico_execute(plan, values, NULL) > 0;
	if (!changed && !hold_message(&answer, &held))
		ico_refuse_message(&answer.id);
	SPI_finish();
	return changed;
}

/* retry_message(message_id, at) */
Datum
ico_retry_message(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"iuzz",
		"UPDATE incomplete_orders.messages m SET status = 'queued', due_at = $3, attempts = 0, reason = NULL, give_up_at = $4"
		" WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.status" EQ "'dead'"
	};

	PG_RETURN_BOOL(change_dead(fcinfo, ICO_RIGHT_retry_message, &plan));
}

/* discard_message(message_id, at) */
Datum
ico_discard_message(PG_FUNCTION_ARGS)
{
	static IcoPlan plan = {
		"iuzz",
		"WITH e AS (UPDATE incomplete_orders.messages m SET status = 'cancelled', reason = 'discarded'"
		"  WHERE m.shop_id" EQ "$1 AND m.id" EQ "$2 AND m.status" EQ "'dead' RETURNING m.*)"
		" INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, ordinal, message_id, at, reason)"
		" SELECT e.shop_id, e.order_id, e.episode, e.campaign, e.step, e.ordinal, e.id, $3, e.reason FROM e"
	};

	PG_RETURN_BOOL(change_dead(fcinfo, ICO_RIGHT_discard_message, &plan));
}

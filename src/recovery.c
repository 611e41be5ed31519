/*
 * recovery.c
 *		Recovery messages by hand: send_recovery_emails, send_recovery_email.
 *
 * Neither needs a campaign that is on.  Both first write what is due for the
 * orders concerned, and then only queue: somebody who sends is told by tick, or
 * looks by himself.  What may not be mailed is decided as in tick (campaign.h).
 *
 * Locks: orders FOR UPDATE, of many SKIP LOCKED.  Memory: the SPI context of the
 * call.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "campaign.h"
#include "compat.h"
#include "errors.h"
#include "facts.h"
#include "lifecycle.h"
#include "plan.h"
#include "queue.h"
#include "stock.h"
#include "tenant.h"
#include "tick.h"
#include "uuid7.h"

PG_FUNCTION_INFO_V1(ico_enter_order_sql);
PG_FUNCTION_INFO_V1(ico_send_recovery_emails);
PG_FUNCTION_INFO_V1(ico_send_recovery_email);

#define MAX_HOURS (365 * 24)
#define MAX_ATTEMPTS 20
#define SUBJECT_CHARS 200

/* _enter_order(object, id) -> integer: the door of functions in PL/pgSQL */
Datum
ico_enter_order_sql(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = ico_require_id(fcinfo, 1, "id");
	IcoShop		shop;
	IcoOrder	order;

	SPI_connect();
	ico_enter_order(ico_right_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0))), id, &shop);
	if (!ico_read_order(shop.shop_id, id, false, &order))
		ico_refuse_order(id);
	SPI_finish();
	PG_RETURN_INT32(shop.shop_id);
}

/* --- the next step of many ------------------------------------------------- */

#define LIFE(field, status, abandoned_at, lost_at) \
	"(incomplete_orders._due_step(" status ", incomplete_orders.item_count(o.items)" EQ "0, o.last_activity_at, " \
	abandoned_at ", " lost_at ", o.expires_at, o.payment_deadline, s.cut_off, s.attribution_window))." field

/*
 * The orders that are abandoned at $2, written or not, and what becomes of them.
 *	$1 shop_id  $2 at  $3 idle since  $4 most attempts
 * The step is the one behind the last that was queued in this episode, or behind
 * as many as there were messages, by hand ones included.
 */
#define ABANDONED(which, lock) \
	"WITH x AS MATERIALIZED (SELECT " ICO_DUE_COLUMNS ", 'abandoned'::incomplete_orders.order_status AS status," \
	"  v.abandoned_at, o.lost_at IS NOT NULL" \
	"  OR " LIFE("due_at", "'abandoned'", "v.abandoned_at", "NULL") LE "$2 AS lost" \
	" FROM incomplete_orders.shops s JOIN incomplete_orders.open_orders o ON o.shop_id" EQ "s.shop_id" \
	" CROSS JOIN LATERAL (SELECT CASE WHEN o.status" EQ "'abandoned' THEN o.abandoned_at" \
	"  WHEN o.next_action_at" LE "$2 AND (o.status" NE "'payment_pending' OR s.payment_state IS NULL)" \
	"   AND " LIFE("step", "o.status", "o.abandoned_at", "o.lost_at") EQ "'abandoned'" \
	"   AND " LIFE("due_at", "o.status", "o.abandoned_at", "o.lost_at") LE "$2" \
	"   THEN " LIFE("due_at", "o.status", "o.abandoned_at", "o.lost_at") " END AS abandoned_at OFFSET 0) v" \
	" WHERE s.shop_id" EQ "$1 AND o.last_activity_at" LE "$3 AND v.abandoned_at IS NOT NULL" which \
	/* with lost_at given, what is due next is the expiry */ \
	" AND " LIFE("due_at", "'abandoned'", "v.abandoned_at", "v.abandoned_at") GT "$2" lock "), " ICO_CARTS("x")
#define DECIDE(which, lock) \
	ABANDONED(which, lock) ", " ICO_BEATEN("$2", "CASE WHEN b.last_activity_at" LE "$3 THEN 'infinity'::pg_catalog.timestamptz END") "," \
	" d AS MATERIALIZED (SELECT x.*, c.campaign, n.step, n.delay, n.message_type," \
	"  COALESCE(va.template, n.template) AS template, va.variant, ha.holdout, f.delay AS following," \
	"  COALESCE(n.step, q.step, 0) AS ledger_step, p.keys," \
	"  CASE WHEN q.attempts" GE "$4 OR n.step IS NULL THEN 'attempts_exhausted'" \
	"   WHEN x.lost THEN 'lost'" \
	"   " ICO_REFUSAL("x", "s", "p.keys", ICO_TOO_MANY("x", "s", "") \
					  " WHEN $2" LT "GREATEST(incomplete_orders._later(q.queued_at, GREATEST(n.delay" MINUS "b.delay, " \
					  ICO_LEAST_DISTANCE ")), incomplete_orders._later(q.by_hand_at, s.min_gap)) THEN 'not_due'" \
					  " WHEN g.over_at" GT "$2 THEN 'min_gap' WHEN w.awake_at" GT "$2 THEN 'quiet_hours'" \
					  " WHEN h.n" GE "s.cap_per_person THEN 'cap_per_person'" \
					  ICO_NOT_SOLD("x", "s") " WHEN ha.holdout THEN 'holdout'") \
	"  END AS reason" \
	" FROM x JOIN incomplete_orders.shops s ON s.shop_id" EQ "x.shop_id" \
	" LEFT JOIN incomplete_orders.campaigns c ON c.shop_id" EQ "x.shop_id AND c.kind" EQ "x.kind" \
	" CROSS JOIN LATERAL (SELECT pg_catalog.max(m.step) FILTER (WHERE m.ordinal" EQ "0) AS step," \
	"  (pg_catalog.count(*) FILTER (WHERE m.status" NE "'cancelled'))::integer AS attempts," \
	"  pg_catalog.max(m.queued_at) FILTER (WHERE m.ordinal" EQ "0) AS queued_at," \
	"  pg_catalog.max(m.queued_at) FILTER (WHERE m.ordinal" GT "0) AS by_hand_at" \
	"  FROM incomplete_orders.messages m WHERE m.shop_id" EQ "x.shop_id AND m.root_id" EQ "x.root_id" \
	"  AND m.episode" EQ "x.episode) q" \
	" LEFT JOIN LATERAL " ICO_STEP_BEHIND("c", "GREATEST(q.step, q.attempts)") " n ON true" \
	" LEFT JOIN incomplete_orders.campaign_steps b ON b.shop_id" EQ "c.shop_id AND b.campaign" EQ "c.campaign" \
	"  AND b.step" EQ "q.step" \
	" LEFT JOIN LATERAL " ICO_STEP_BEHIND("c", "GREATEST(n.step, x.sequence_step)") " f ON true" \
	" CROSS JOIN LATERAL (SELECT incomplete_orders._person_keys(x.shop_id, x.customer_id, x.email, x.phone) AS keys OFFSET 0) p" \
	ICO_TIMING("x", "s", "p.keys", "$2") ICO_ARM("x", "s", "p.keys") ICO_VARIANT("x") ")"

#define OUTCOME \
	" SELECT d.id, d.email, d.message_type, CASE WHEN d.reason IS NULL THEN 'queued' ELSE 'skipped' END, d.reason FROM d"

/* What the shop is asked about for that. */
static IcoPlan ask_plan = {"izz", ABANDONED("", "") " " ICO_ITEMS_OF_CARTS("x")};

/* What it would do: nothing is locked or written. */
static IcoPlan look_plan = {"izzi", DECIDE("", "") OUTCOME " ORDER BY d.id"};

/* What it does; $5 is the actor.  The ledger says the same thing of a step once. */
static IcoPlan queue_plan = {
	"izzit",
	DECIDE(" AND o.status" EQ "'abandoned'", " FOR UPDATE OF o SKIP LOCKED") ","
	" moved AS (UPDATE incomplete_orders.open_orders o SET sequence_step = GREATEST(o.sequence_step, d.step),"
	"  next_message_at = CASE WHEN o.next_message_at IS NOT NULL AND d.following IS NOT NULL"
	"   THEN " ICO_STEP_DUE("o.abandoned_at", "d.following", "$2", "d.delay") " END"
	"  FROM d WHERE o.ctid" EQ "d.row AND d.reason IS NULL RETURNING d.*, true AS queues),"
	" k AS (INSERT INTO incomplete_orders.message_skips (shop_id, order_id, episode, campaign, step, at, reason)"
	"  SELECT d.shop_id, d.id, d.episode, d.campaign, d.ledger_step, $2, d.reason FROM d WHERE d.reason" NE "ALL ('{not_due,min_gap,quiet_hours}'::pg_catalog.text[])"
	"  AND NOT EXISTS (SELECT 1 FROM incomplete_orders.message_skips s WHERE s.shop_id" EQ "d.shop_id"
	"   AND s.order_id" EQ "d.id AND s.episode" EQ "d.episode AND s.step" EQ "d.ledger_step AND s.reason" EQ "d.reason)), "
	ICO_QUEUED_CTES("$5", ICO_ONCE, "(SELECT d.*, false AS queues FROM d)")
	OUTCOME " WHERE d.reason IS NOT NULL OR d.id" EQ "ANY (SELECT m.order_id FROM m) ORDER BY d.id"
};

static int32
number_argument(FunctionCallInfo fcinfo, int argument, const char *name, int32 least, int32 most)
{
	if (PG_ARGISNULL(argument) || PG_GETARG_INT32(argument) < least || PG_GETARG_INT32(argument) > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between %d and %d", name, least, most)));
	return PG_GETARG_INT32(argument);
}

/* One call of send_recovery_emails(). */
typedef struct Mailing
{
	bool		dry_run;
	Datum		values[5];
	uint64		n;
} Mailing;

static void
decide(void *arg)
{
	Mailing    *mailing = arg;

	mailing->n = ico_execute(mailing->dry_run ? &look_plan : &queue_plan, mailing->values, NULL);
}

/* send_recovery_emails(hours_after, max_attempts, dry_run, shop, at) */
Datum
ico_send_recovery_emails(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		hours = number_argument(fcinfo, 0, "hours_after", 0, MAX_HOURS);
	int32		attempts = number_argument(fcinfo, 1, "max_attempts", 1, MAX_ATTEMPTS);
	Mailing		mailing = {.dry_run = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2)};
	IcoShop		shop;
	IcoStock   *stock;
	TimestampTz at;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	ico_enter_shop(ICO_RIGHT_send_recovery_emails, PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3), &shop);
	at = ico_enter_at(fcinfo, 4, &shop);
	mailing.values[0] = Int32GetDatum(shop.shop_id);
	mailing.values[1] = TimestampTzGetDatum(at);
	mailing.values[2] = TimestampTzGetDatum(at - hours * USECS_PER_HOUR);
	mailing.values[3] = Int32GetDatum(attempts);
	mailing.values[4] = CStringGetTextDatum(ico_actor());
	/* before anything is locked; where it fails, the claim asks again and lets the message wait */
	stock = ico_ask_for(shop.shop_id, &ask_plan, mailing.values, GetActiveSnapshot());
	if (!mailing.dry_run)
		ico_settle_shop(shop.shop_id, at);
	ico_decide_by(&stock, stock != NULL ? 1 : 0, decide, &mailing);
	for (uint64 i = 0; i < mailing.n; i++)
	{
		Datum		row[5];
		bool		nulls[5];

		CHECK_FOR_INTERRUPTS();
		for (int column = 0; column < lengthof(row); column++)
			row[column] = ico_column(i, column + 1, &nulls[column]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, nulls);
	}
	if (stock != NULL && !mailing.dry_run)
		ico_note_stock(stock);
	SPI_finish();
	return (Datum) 0;
}

/* --- one message by hand ------------------------------------------------------ */

typedef struct Sending
{
	IcoShop		shop;
	IcoOrder	order;
	TimestampTz at;
	text	   *message_type;	/* or NULL: by the attempts */
	text	   *subject;		/* or NULL: the template's */
	text	   *idempotency_key;	/* or NULL */
	text	   *template;
	int32		ordinal;
} Sending;

static const struct
{
	const char *type;
	const char *template;
}			types[] = {
	{"abandoned_cart", "abandoned"},
	{"payment_reminder", "reminder"},
	{"final_reminder", "final"},
	{"discount_offer", "offer"},
};

static text *
template_of(const IcoOrder *order, const char *message_type)
{
	for (int i = 0; i < lengthof(types); i++)
	{
		if (strcmp(message_type, types[i].type) == 0)
			return cstring_to_text(psprintf("%s_%s", ico_kind_names[order->kind], types[i].template));
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"message_type\" is not one of its words"),
			 errdetail("There are abandoned_cart, payment_reminder, final_reminder and discount_offer."),
			 errhint("Leave it out to take the type by the number of messages so far.")));
	return NULL;
}

static text *
read_subject(FunctionCallInfo fcinfo, int argument)
{
	text	   *subject = PG_ARGISNULL(argument) ? NULL : PG_GETARG_TEXT_PP(argument);
	const char *s;
	int			len;

	if (subject == NULL || VARSIZE_ANY_EXHDR(subject) == 0)
		return NULL;
	s = VARDATA_ANY(subject);
	len = VARSIZE_ANY_EXHDR(subject);
	if (pg_mbstrlen_with_len(s, len) > SUBJECT_CHARS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"subject\" is too long"),
				 errdetail("It may have %d characters.", SUBJECT_CHARS)));
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) s[i] < ' ' || s[i] == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"subject\" has control characters"),
					 errdetail("It is one line of text.")));
	}
	return subject;
}

/* The message that this key made before; IC008 when it was asked for otherwise. */
static bool
find_repeat(const Sending *sending, pg_uuid_t *id)
{
	static IcoPlan plan = {
		"iuuttt",
		"SELECT m.id, ($5 IS NULL OR m.message_type" EQ "$5) AND COALESCE(m.subject, '')" EQ "COALESCE($6, '')"
		" FROM incomplete_orders.messages m WHERE m.shop_id" EQ "$1 AND m.root_id" EQ "$2 AND m.order_id" EQ "$3"
		" AND m.idempotency_key" EQ "$4"
	};
	IcoArgs		args = {0};
	bool		isnull;

	if (sending->idempotency_key == NULL)
		return false;
	ico_arg(&args, Int32GetDatum(sending->shop.shop_id));
	ico_arg(&args, UUIDPGetDatum(&sending->order.root_id));
	ico_arg(&args, UUIDPGetDatum(&sending->order.id));
	ico_arg_text(&args, sending->idempotency_key);
	ico_arg_text(&args, sending->message_type);
	ico_arg_text(&args, sending->subject);
	if (ico_execute(&plan, args.values, args.nulls) == 0)
		return false;
	if (!DatumGetBool(ico_column(0, 2, &isnull)))
		ereport(ERROR,
				(errcode(ICO_ERR_KEY_REUSED),
				 errmsg("idempotency key was used with other arguments"),
				 errdetail("The first call with this key asked for another type or subject."),
				 errhint("Use a new key for a new message.")));
	*id = *DatumGetUUIDP(ico_column(0, 1, &isnull));
	return true;
}

static const char *
what_to_do(const char *reason)
{
	if (strcmp(reason, "not_abandoned") == 0)
		return "The customer is still there. Wait for the cut-off, or call mark_abandoned(id) first.";
	if (strcmp(reason, "no_recipient") == 0)
		return "The order has no e-mail address; edit_order() can give it one.";
	if (strcmp(reason, "empty") == 0)
		return "It holds nothing that is not ordered yet.";
	if (strcmp(reason, "ordered") == 0)
		return "That person has ordered since: there is nothing to recover.";
	if (strcmp(reason, "no_consent") == 0)
		return "The shop mails only those who agreed, and that person did not. Its setting consent_rule may be none where the law lets it.";
	if (strncmp(reason, "excluded_", 9) == 0 || strcmp(reason, "bot") == 0)
		return "The setting exclusions of the shop keeps it from being mailed.";
	for (int i = 0; i < ICO_STATUSES; i++)
	{
		if (strcmp(reason, ico_status_names[i]) == 0)
			return "A closed order is not mailed.";
	}
	return "That person may not be mailed. Where it was suppressed by mistake, unsuppress() takes that back.";
}

static void
refuse(const IcoOrder *order, const char *reason)
{
	ereport(ERROR,
			(errcode(ICO_ERR_NOT_RECOVERABLE),
			 errmsg("no recovery message may be sent for order %s",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&order->id)))),
			 errdetail("%s", reason),
			 errhint("%s", what_to_do(reason))));
}

/*
 * Why this order may not be mailed, or NULL; and what the message is to be.
 * Staff may know better than rules for a bot or for what was bought already, and
 * is bound by no gap, cap or quiet hours, and may mail somebody who is held out,
 * which the event says; what the person or the shop does not want holds for staff,
 * too.
 */
static const char *
look_at_order(Sending *sending)
{
	static IcoPlan plan = {
		"iu",
		"SELECT CASE WHEN o.email IS NULL THEN 'no_recipient'"
		" WHEN incomplete_orders.item_count(o.items)" LE "incomplete_orders._filled_count(o.items) THEN 'empty'"
		" ELSE COALESCE(" ICO_SUPPRESSION("o", "p.keys") ", " ICO_UNWANTED("o", "s", "p.keys") ","
		"  CASE WHEN " ICO_HAS_ORDERED("o", "p.keys") " THEN 'ordered' END) END,"
		" q.ordinal, n.message_type, n.template FROM incomplete_orders.open_orders o"
		" JOIN incomplete_orders.shops s ON s.shop_id" EQ "o.shop_id"
		" CROSS JOIN LATERAL (SELECT incomplete_orders._person_keys(o.shop_id, o.customer_id, o.email, o.phone) AS keys OFFSET 0) p"
		" CROSS JOIN LATERAL (SELECT pg_catalog.count(*) FILTER (WHERE m.status" NE "'cancelled') AS attempts,"
		"  COALESCE(pg_catalog.max(m.ordinal) FILTER (WHERE m.step" EQ "0), 0)" PLUS "1 AS ordinal"
		"  FROM incomplete_orders.messages m WHERE m.shop_id" EQ "o.shop_id AND m.root_id" EQ "o.root_id"
		"  AND m.episode" EQ "o.episode) q"
		/* the step of as many attempts, or the last one */
		" LEFT JOIN LATERAL (SELECT cs.message_type, cs.template, pg_catalog.row_number() OVER (ORDER BY cs.step) AS n"
		"  FROM incomplete_orders.campaigns c JOIN incomplete_orders.campaign_steps cs ON cs.shop_id" EQ "c.shop_id"
		"   AND cs.campaign" EQ "c.campaign WHERE c.shop_id" EQ "o.shop_id AND c.kind" EQ "o.kind) n"
		"  ON n.n" LE "(q.attempts" PLUS "1)"
		" WHERE o.shop_id" EQ "$1 AND o.id" EQ "$2 ORDER BY n.n DESC NULLS LAST LIMIT 1"
	};
	Datum		values[2] = {Int32GetDatum(sending->shop.shop_id), UUIDPGetDatum(&sending->order.id)};
	Datum		value;
	bool		isnull;

	if (sending->order.closed || sending->order.status != ICO_ABANDONED)
		return sending->order.closed ? ico_status_names[sending->order.status] : "not_abandoned";
	if (ico_execute(&plan, values, NULL) != 1)
		elog(ERROR, "open order vanished under its lock");
	value = ico_column(0, 1, &isnull);
	if (!isnull)
		return TextDatumGetCString(value);
	sending->ordinal = DatumGetInt32(ico_column(0, 2, &isnull));
	value = ico_column(0, 3, &isnull);
	if (sending->message_type != NULL)
		return NULL;
	if (isnull)
	{
		/* a kind without steps */
		sending->message_type = cstring_to_text(types[0].type);
		sending->template = template_of(&sending->order, types[0].type);
		return NULL;
	}
	sending->message_type = DatumGetTextPCopy(value);
	sending->template = DatumGetTextPCopy(ico_column(0, 4, &isnull));
	return NULL;
}

/* The message, its event, and the sequence that waits for at least the shop's gap. */
static void
queue_message(const Sending *sending, const pg_uuid_t *id)
{
	static IcoPlan plan = {
		ICO_EVENT_ARGS "uittttz",
		"WITH o AS (UPDATE incomplete_orders.open_orders o SET next_message_at = CASE WHEN o.next_message_at IS NOT NULL"
		"  THEN GREATEST(o.next_message_at, incomplete_orders._later($4, s.min_gap)) END"
		"  FROM incomplete_orders.shops s WHERE s.shop_id" EQ "o.shop_id AND o.shop_id" EQ "$1 AND o.id" EQ "$2 RETURNING o.*),"
		" q AS MATERIALIZED (SELECT o.*, p.keys, ha.holdout FROM o JOIN incomplete_orders.shops s ON s.shop_id" EQ "o.shop_id"
		"  CROSS JOIN LATERAL (SELECT incomplete_orders._person_keys(o.shop_id, o.customer_id, o.email, o.phone) AS keys OFFSET 0) p"
		ICO_ARM("o", "s", "p.keys") "),"
		" m AS (INSERT INTO incomplete_orders.messages (shop_id, id, due_at, order_id, root_id, episode, step, ordinal,"
		"  message_type, template, subject, recipient, queued_at, give_up_at, idempotency_key)"
		"  SELECT o.shop_id, $8, $4, o.id, o.root_id, o.episode, 0, $9, $10, $11, $12, o.email, $4, $14, $13 FROM o),"
		" pm AS (INSERT INTO incomplete_orders.person_messages (shop_id, person, queued_at, message_id)"
		"  SELECT DISTINCT q.shop_id, k.person, $4, $8 FROM q CROSS JOIN LATERAL pg_catalog.unnest(q.keys) k (person)), "
		ICO_ARM_ROWS("q", "$4") ", "
		ICO_EVENT_CTE("q", ", step, holdout, message_id", ", 0, r.holdout, $8") ICO_EVENT_TAIL
	};
	IcoEvent	event = {.event = "message_queued", .at = sending->at};
	IcoArgs		args;

	ico_event_args(&args, sending->shop.shop_id, &sending->order.id, &event, NULL);
	ico_arg(&args, UUIDPGetDatum(id));
	ico_arg(&args, Int32GetDatum(sending->ordinal));
	ico_arg_text(&args, sending->message_type);
	ico_arg_text(&args, sending->template);
	ico_arg_text(&args, sending->subject);
	ico_arg_text(&args, sending->idempotency_key);
	ico_arg(&args, TimestampTzGetDatum(GetCurrentTimestamp() + ICO_GIVE_UP_AFTER));
	if (ico_execute(&plan, args.values, args.nulls) != 1)
		elog(ERROR, "open order vanished under its lock");
}

/* send_recovery_email(id, message_type, subject, idempotency_key, at) -> uuid */
Datum
ico_send_recovery_email(PG_FUNCTION_ARGS)
{
	Sending		sending = {0};
	pg_uuid_t  *order_id = ico_require_id(fcinfo, 0, "id");
	pg_uuid_t	id;
	pg_uuid_t  *result;

	sending.message_type = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	sending.subject = read_subject(fcinfo, 2);
	sending.idempotency_key = ico_optional_key(fcinfo, 3, "idempotency_key");
	SPI_connect();
	ico_enter_order(ICO_RIGHT_send_recovery_email, order_id, &sending.shop);
	sending.at = ico_enter_at(fcinfo, 4, &sending.shop);
	if (!ico_read_order(sending.shop.shop_id, order_id, true, &sending.order))
		ico_refuse_order(order_id);
	if (sending.message_type != NULL)
		sending.template = template_of(&sending.order, text_to_cstring(sending.message_type));
	if (!find_repeat(&sending, &id))
	{
		const char *reason;

		if (!sending.order.closed)
			(void) ico_settle(&sending.order, &sending.shop, sending.at);
		reason = look_at_order(&sending);
		if (reason != NULL)
			refuse(&sending.order, reason);
		ico_uuid7_make(sending.shop.shop_id, &id);
		queue_message(&sending, &id);
	}
	result = SPI_palloc(sizeof(pg_uuid_t));
	*result = id;
	SPI_finish();
	PG_RETURN_UUID_P(result);
}

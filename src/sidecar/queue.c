/*
 * queue.c
 *		The queue in the database, as the command send uses it.
 *
 * Each statement is a transaction of its own and calls functions of the extension
 * only: claim_messages(), ack_message(), fail_message(), extend_message() and
 * queue_status().  What became of several messages is recorded at once.
 *
 * The queue decides: an answer with a token that is no longer the last one
 * changes nothing there, and is counted here.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <jansson.h>

#include "send.h"

#define RECORDS_AT_ONCE 500

const char *const queue_states[3] = {"queued", "sending", "dead"};

static bool
run(Db *db, const char *sql, Failure *failure)
{
	const Statement statement = {sql, 0, NULL, ANSWER_LIMIT, STOP_GRACE};
	PGresult   *result = db_query(db, &statement, failure);

	PQclear(result);
	return result != NULL;
}

/*
 * The database or the role may have other settings: claims need READ COMMITTED,
 * and a statement that outlives us would keep its locks.  A new connection hears
 * no notification of the time before it, so the next claim is due at once.
 */
bool
queue_connect(Sender *sender, Failure *failure)
{
	if (!db_connect(&sender->db, failure))
		return false;
	if (!run(&sender->db, "SELECT pg_catalog.set_config('default_transaction_isolation', 'read committed', false),"
			 " pg_catalog.set_config('default_transaction_read_only', 'off', false),"
			 " pg_catalog.set_config('statement_timeout', '50s', false)", failure) ||
		!run(&sender->db, "LISTEN incomplete_orders", failure))
	{
		db_close(&sender->db);
		return false;
	}
	sender->next_claim = 0;
	sender->next_webhook = 0;
	sender->empty = 0;
	return true;
}

/* Has the clock queued something?  Takes all notifications that have come. */
bool
queue_was_notified(Sender *sender)
{
	bool		notified = false;
	PGnotify   *notify;

	while ((notify = PQnotifies(sender->db.conn)) != NULL)
	{
		notified = true;
		PQfreemem(notify);
	}
	return notified;
}

/* How many messages it brought; -1: it failed. */
int
queue_claim(Sender *sender, int most, Failure *failure)
{
	char		worker[64];
	char		batch[16];
	char		lease[16];
	const char *values[] = {worker, batch, lease};
	const Statement statement = {
		"SELECT c.message_id, c.token, c.shop, c.recipient, c.message"
		" FROM incomplete_orders.claim_messages($1::pg_catalog.text, $2::pg_catalog.int4,"
		" pg_catalog.make_interval(secs => $3::pg_catalog.float8)) c",
		3, values, ANSWER_LIMIT, STOP_GRACE
	};
	int64_t		lease_end = loop_now() + sender->options->lease * SECOND;
	PGresult   *result;
	int			rows;

	snprintf(worker, sizeof(worker), "send %d", (int) getpid());
	snprintf(batch, sizeof(batch), "%d", most);
	snprintf(lease, sizeof(lease), "%d", sender->options->lease);
	result = db_query(&sender->db, &statement, failure);
	if (result == NULL)
		return -1;
	rows = PQntuples(result);
	for (int row = 0; row < rows; row++)
	{
		const char *columns[5];

		for (int column = 0; column < 5; column++)
			columns[column] = PQgetvalue(result, row, column);
		outbox_add(&sender->outbox, columns, lease_end);
	}
	PQclear(result);
	return rows;
}

/* ---- what became of them ---- */

static json_t *
record_of(const Parcel *parcel)
{
	return json_pack("{s:s, s:s, s:s, s:s?, s:f}", "id", parcel->id, "token", parcel->token, "what", parcel->verdict,
					 "response", parcel->response, "seconds", (double) parcel->later / SECOND);
}

static void
log_stale(const char *id, const char *what)
{
	LogLine		line;

	log_begin(&line, "warn", "stale");
	log_text(&line, "message_id", id);
	log_text(&line, "what", what);
	log_end(&line);
}

static PGresult *
tell(Sender *sender, json_t *records, Failure *failure)
{
	char	   *json = json_dumps(records, JSON_COMPACT);
	char		lease[16];
	const char *values[] = {json, lease};
	/* By id: two senders that tell of the same messages do not wait for each other in a circle. */
	const Statement statement = {
		"SELECT r.id, r.what, CASE r.what"
		" WHEN 'sent' THEN incomplete_orders.ack_message(r.id, r.token, r.response)"
		" WHEN 'back' THEN incomplete_orders.extend_message(r.id, r.token, pg_catalog.make_interval())"
		" WHEN 'later' THEN incomplete_orders.extend_message(r.id, r.token, pg_catalog.make_interval(secs => r.seconds), true)"
		" WHEN 'keep' THEN incomplete_orders.extend_message(r.id, r.token, pg_catalog.make_interval(secs => $2::pg_catalog.float8))"
		" ELSE incomplete_orders.fail_message(r.id, r.token, r.what OPERATOR(pg_catalog.=) 'rejected', r.response) END"
		" FROM pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb)"
		" r(id pg_catalog.uuid, token pg_catalog.int8, what pg_catalog.text, response pg_catalog.text, seconds pg_catalog.float8)"
		" ORDER BY r.id",
		2, values, ANSWER_LIMIT, STOP_GRACE
	};
	PGresult   *result = NULL;

	snprintf(lease, sizeof(lease), "%d", sender->options->lease);
	if (json == NULL)
		failure_set(failure, EX_OSERR, "out of memory");
	else
		result = db_query(&sender->db, &statement, failure);
	free(json);
	return result;
}

/* Messages whose token is no longer the last one. */
static void
count_stale(Sender *sender, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		if (strcmp(PQgetvalue(result, row, 2), "t") == 0)
			continue;
		sender->stale++;
		log_stale(PQgetvalue(result, row, 0), PQgetvalue(result, row, 1));
	}
}

/* One that cannot be recorded must not keep the others from it. */
static void
give_up_record(Sender *sender, const Failure *failure)
{
	GList	   *link = g_queue_pop_head_link(&sender->outbox.settled);
	Parcel	   *parcel = link->data;
	LogLine		line;

	log_begin(&line, "error", "not_recorded");
	log_text(&line, "message_id", parcel->id);
	log_text(&line, "what", parcel->verdict);
	log_failure(&line, failure);
	log_end(&line);
	parcel_free(parcel);
}

static bool
is_passing(const Sender *sender, const Failure *failure)
{
	return sender->db.conn == NULL || failure->code == EX_TEMPFAIL || failure->code == EX_UNAVAILABLE ||
		failure->code == EX_NOPERM || failure->code == EX_CONFIG;
}

/*
 * Tells the database what became of messages.  false: it could not be told; what
 * was not told stays in the list.
 */
bool
queue_record(Sender *sender, Failure *failure)
{
	GQueue	   *settled = &sender->outbox.settled;

	while (settled->length > 0)
	{
		json_t	   *records = json_array();
		guint		most = sender->one_by_one ? 1 : RECORDS_AT_ONCE;
		guint		n = 0;
		PGresult   *result;

		/* More may come while we wait: only these are told of. */
		for (GList *link = settled->head; link != NULL && n < most; link = link->next, n++)
			json_array_append_new(records, record_of(link->data));
		result = tell(sender, records, failure);
		json_decref(records);
		if (result == NULL)
		{
			if (is_passing(sender, failure))
				return false;
			if (sender->one_by_one)
				give_up_record(sender, failure);
			sender->one_by_one = true;
			continue;
		}
		count_stale(sender, result);
		PQclear(result);
		for (; n > 0; n--)
		{
			Parcel	   *parcel = g_queue_pop_head_link(settled)->data;

			/* It is due again, perhaps before what the queue said of its next one. */
			if (strcmp(parcel->verdict, "sent") != 0 && strcmp(parcel->verdict, "rejected") != 0)
				sender->next_claim = 0;
			parcel_free(parcel);
		}
	}
	sender->one_by_one = false;
	return true;
}

/* ---- leases ---- */

/* Half of it is over. */
static int64_t
extend_at(const Sender *sender, const Parcel *parcel)
{
	return parcel->lease_end - sender->options->lease * SECOND / 2;
}

/* When the first lease has to be made longer, or NEVER. */
int64_t
queue_extend_at(const Sender *sender)
{
	const GQueue *queues[] = {&sender->outbox.waiting, &sender->outbox.flying};
	int64_t		first = NEVER;

	for (size_t i = 0; i < G_N_ELEMENTS(queues); i++)
	{
		for (const GList *link = queues[i]->head; link != NULL; link = link->next)
		{
			int64_t		at = extend_at(sender, link->data);

			if (at < first)
				first = at;
		}
	}
	return first;
}

static Parcel *
find_parcel(const GQueue *queue, const char *id)
{
	for (GList *link = queue->head; link != NULL; link = link->next)
	{
		if (strcmp(((Parcel *) link->data)->id, id) == 0)
			return link->data;
	}
	return NULL;
}

/*
 * A lease that was not prolonged: the message was cancelled, or belongs to
 * somebody else.  What waits is dropped; what is on its way cannot be stopped.
 */
static void
take_answer(Sender *sender, const char *id, bool prolonged, int64_t lease_end)
{
	Parcel	   *waiting = find_parcel(&sender->outbox.waiting, id);
	Parcel	   *parcel = waiting != NULL ? waiting : find_parcel(&sender->outbox.flying, id);

	if (parcel == NULL)
		return;
	parcel->lease_end = lease_end;
	if (prolonged)
		return;
	sender->stale++;
	log_stale(id, "keep");
	if (waiting != NULL)
	{
		g_queue_unlink(&sender->outbox.waiting, &waiting->link);
		parcel_free(waiting);
	}
}

/* Prolongs all leases of which half is over. */
bool
queue_extend(Sender *sender, Failure *failure)
{
	const GQueue *queues[] = {&sender->outbox.waiting, &sender->outbox.flying};
	int64_t		now = loop_now();
	json_t	   *records = json_array();
	PGresult   *result;

	for (size_t i = 0; i < G_N_ELEMENTS(queues); i++)
	{
		for (GList *link = queues[i]->head; link != NULL; link = link->next)
		{
			const Parcel *parcel = link->data;

			if (extend_at(sender, parcel) <= now)
				json_array_append_new(records, json_pack("{s:s, s:s, s:s}", "id", parcel->id, "token", parcel->token, "what", "keep"));
		}
	}
	result = tell(sender, records, failure);
	json_decref(records);
	if (result == NULL)
		return false;
	for (int row = 0; row < PQntuples(result); row++)
		take_answer(sender, PQgetvalue(result, row, 0), strcmp(PQgetvalue(result, row, 2), "t") == 0,
					now + sender->options->lease * SECOND);
	PQclear(result);
	return true;
}

/* ---- what waits ---- */

/* When the next message is due, by loop_now(); NEVER: none waits. */
bool
queue_ask_next(Sender *sender, Failure *failure)
{
	const Statement statement = {
		"SELECT EXTRACT(epoch FROM incomplete_orders._next_message_due() OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp())::pg_catalog.float8",
		0, NULL, ANSWER_LIMIT, STOP_GRACE
	};
	PGresult   *result = db_query(&sender->db, &statement, failure);
	double		seconds;

	if (result == NULL)
		return false;
	seconds = atof(PQgetvalue(result, 0, 0));
	/* What is a day away is asked for again before. */
	if (PQgetisnull(result, 0, 0) || seconds > 86400)
		sender->next_due = NEVER;
	else
		sender->next_due = loop_now() + (int64_t) (seconds > 0 ? seconds * SECOND : 0);
	PQclear(result);
	return true;
}

const char queue_state_sql[] =
"SELECT q.status, pg_catalog.sum(q.messages)::pg_catalog.int8,"
" pg_catalog.max(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) q.oldest_due_at))::pg_catalog.float8"
" FROM incomplete_orders.queue_status('*') q GROUP BY q.status";

/* The answer to queue_state_sql, which was asked then. */
void
queue_take_state(QueueState *queue, const PGresult *result, int64_t began)
{
	memset(queue, 0, sizeof(*queue));
	for (int row = 0; row < PQntuples(result); row++)
	{
		for (size_t i = 0; i < G_N_ELEMENTS(queue_states); i++)
		{
			if (strcmp(PQgetvalue(result, row, 0), queue_states[i]) != 0)
				continue;
			queue->messages[i] = atoll(PQgetvalue(result, row, 1));
			queue->oldest[i] = (int64_t) (atof(PQgetvalue(result, row, 2)) * SECOND);
		}
	}
	queue->known = true;
	queue->at = loop_now();
	queue->took = queue->at - began;
}

bool
queue_ask_state(Sender *sender, Failure *failure)
{
	const Statement statement = {queue_state_sql, 0, NULL, ANSWER_LIMIT, STOP_GRACE};
	int64_t		began = loop_now();
	PGresult   *result = db_query(&sender->db, &statement, failure);

	if (result == NULL)
		return false;
	queue_take_state(&sender->queue, result, began);
	PQclear(result);
	return true;
}

/*
 * webhook_queue.c
 *		The queue of webhooks in the database, as the command send uses it.
 *
 * As queue.c: each statement is a transaction of its own and calls functions of the
 * extension only.  What is claimed is sent at once, and its lease is longer than that can
 * take, so leases are never made longer.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <jansson.h>

#include "send.h"

#define RECORDS_AT_ONCE 100
#define EMPTY_PAUSE SECOND

static const char webhook_state_sql[] =
"SELECT q.status, pg_catalog.sum(q.deliveries)::pg_catalog.int8,"
" pg_catalog.max(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) q.oldest_due_at))::pg_catalog.float8"
" FROM incomplete_orders.webhook_status('*') q GROUP BY q.status";

static bool
claim(Sender *sender, int most, int *claimed, Failure *failure)
{
	char		worker[64];
	char		batch[16];
	char		lease[16];
	const char *values[] = {worker, batch, lease};
	const Statement statement = {
		"SELECT c.delivery_id, c.token, c.shop, c.webhook, c.url, c.body, c.signed_at, c.signature"
		" FROM incomplete_orders.claim_deliveries($1::pg_catalog.text, $2::pg_catalog.int4,"
		" pg_catalog.make_interval(secs => $3::pg_catalog.float8)) c",
		3, values, ANSWER_LIMIT, STOP_GRACE
	};
	PGresult   *result;

	snprintf(worker, sizeof(worker), "send %d", (int) getpid());
	snprintf(batch, sizeof(batch), "%d", most);
	/* what one may take, what recording it may, and more */
	snprintf(lease, sizeof(lease), "%d", 2 * sender->options->webhook_timeout + 90);
	result = db_query(&sender->db, &statement, failure);
	if (result == NULL)
		return false;
	*claimed = PQntuples(result);
	for (int row = 0; row < *claimed; row++)
	{
		const char *columns[POST_COLUMNS];

		for (int column = 0; column < POST_COLUMNS; column++)
			columns[column] = PQgetvalue(result, row, column);
		webhooks_add(sender->webhooks, columns);
	}
	outbox_wake_guests(&sender->outbox);
	PQclear(result);
	return true;
}

/* When the next one is due, as far as we may know it. */
static bool
ask_next(Sender *sender, Failure *failure)
{
	const Statement statement = {
		"SELECT EXTRACT(epoch FROM incomplete_orders._next_delivery_due() OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp())::pg_catalog.float8",
		0, NULL, ANSWER_LIMIT, STOP_GRACE
	};
	PGresult   *result = db_query(&sender->db, &statement, failure);
	int64_t		next = loop_now() + sender->options->poll * SECOND;
	double		seconds;

	if (result == NULL)
		return false;
	seconds = PQgetisnull(result, 0, 0) ? 86400 : atof(PQgetvalue(result, 0, 0));
	PQclear(result);
	/* What is due and was not given to us is locked: soon, but not at once. */
	if (seconds < sender->options->poll)
		next = loop_now() + (seconds * SECOND > EMPTY_PAUSE ? (int64_t) (seconds * SECOND) : EMPTY_PAUSE);
	sender->next_webhook = next;
	return true;
}

/* ---- what became of them ---- */

static json_t *
record_of(const Post *post)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s?, s:o}", "id", post->id, "token", post->token, "shop", post->shop,
					 "webhook", post->webhook, "what", post->verdict, "status", post->status > 0 ? json_integer(post->status) : json_null(),
					 "problem", post->problem, "seconds", post->retry_after > 0 ? json_integer(post->retry_after) : json_null());
}

static PGresult *
tell(Sender *sender, json_t *records, Failure *failure)
{
	char	   *json = json_dumps(records, JSON_COMPACT);
	const char *values[] = {json};
	/* By webhook: two senders that tell of several do not wait for each other in a circle. */
	const Statement statement = {
		"SELECT r.id, CASE r.what"
		" WHEN 'delivered' THEN incomplete_orders.ack_delivery(r.id, r.token, r.status)"
		" WHEN 'back' THEN incomplete_orders.release_delivery(r.id, r.token)"
		" ELSE incomplete_orders.fail_delivery(r.id, r.token, r.status, r.problem, pg_catalog.make_interval(secs => r.seconds)) END"
		" FROM (SELECT q.* FROM pg_catalog.jsonb_to_recordset($1::pg_catalog.jsonb)"
		" q(id pg_catalog.uuid, token pg_catalog.int8, shop pg_catalog.text, webhook pg_catalog.text, what pg_catalog.text,"
		" status pg_catalog.int4, problem pg_catalog.text, seconds pg_catalog.float8)"
		" ORDER BY q.shop, q.webhook, q.id OFFSET 0) r",
		1, values, ANSWER_LIMIT, STOP_GRACE
	};
	PGresult   *result = NULL;

	if (json == NULL)
		failure_set(failure, EX_OSERR, "out of memory");
	else
		result = db_query(&sender->db, &statement, failure);
	free(json);
	return result;
}

static void
count_stale(Sender *sender, const PGresult *result)
{
	LogLine		line;

	for (int row = 0; row < PQntuples(result); row++)
	{
		if (strcmp(PQgetvalue(result, row, 1), "t") == 0)
			continue;
		sender->stale++;
		log_begin(&line, "warn", "stale");
		log_text(&line, "delivery_id", PQgetvalue(result, row, 0));
		log_end(&line);
	}
}

/* Tells the database what became of deliveries; false: it failed, and they stay in the list. */
bool
webhook_queue_record(Sender *sender, Failure *failure)
{
	GQueue	   *settled;

	if (sender->webhooks == NULL)
		return true;
	settled = webhooks_settled(sender->webhooks);
	while (settled->length > 0)
	{
		json_t	   *records = json_array();
		guint		n = 0;
		PGresult   *result;

		for (GList *link = settled->head; link != NULL && n < RECORDS_AT_ONCE; link = link->next, n++)
			json_array_append_new(records, record_of(link->data));
		result = tell(sender, records, failure);
		json_decref(records);
		if (result == NULL)
			return false;
		count_stale(sender, result);
		PQclear(result);
		for (; n > 0; n--)
			post_free(g_queue_pop_head_link(settled)->data);
		/* What failed is due again, and its webhook may have more. */
		sender->next_webhook = 0;
	}
	return true;
}

/* Claims as many as there is room for, if it is time. */
bool
webhook_queue_claim(Sender *sender, Failure *failure)
{
	int			room;
	int			claimed = 0;

	if (sender->webhooks == NULL || sender->next_webhook > loop_now())
		return true;
	room = webhooks_room(sender->webhooks);
	if (room <= 0)
		return true;
	if (!claim(sender, room, &claimed, failure))
		return false;
	if (claimed == room)
		return true;			/* there may be more when one of these is done */
	return ask_next(sender, failure);
}

bool
webhook_queue_state(Sender *sender, Failure *failure)
{
	const Statement statement = {webhook_state_sql, 0, NULL, ANSWER_LIMIT, STOP_GRACE};
	int64_t		began = loop_now();
	PGresult   *result;

	if (sender->webhooks == NULL)
		return true;
	result = db_query(&sender->db, &statement, failure);
	if (result == NULL)
		return false;
	queue_take_state(&sender->webhook_queue, result, began);
	PQclear(result);
	return true;
}

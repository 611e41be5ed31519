/*
 * pool.c
 *		Several connections to the database that are asked without waiting.
 *
 * Whoever waits for nobody may ask here: questions stand in one queue, each idle
 * connection takes the next one, and connections are made when the queue needs them.
 * A question has a time by which it is answered, waiting included; then it fails,
 * and what the server does for it is cancelled.  After a connection that could not
 * be made, questions fail at once until the next try, which comes by itself: the
 * server is looked for before somebody needs it.  A strict pool is a person's: who
 * asks hears why there is no connection, and it is tried again for the next question.
 *
 * Memory: a question is freed after its done() returned.  No threads, no locks:
 * everything happens in pool_ask() and pool_turn().  Whoever waits at the epoll socket calls
 * pool_listen() before he turns the pools.
 *
 * done() may ask again, so no slot is looked at after it was called.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>

#include "pool.h"

/* for the server's answer to a cancel */
#define CANCEL_LIMIT (5 * SECOND)
/* the longest pause between two tries: a shopper waits */
#define RETRY_MOST (5 * SECOND)

void
pool_init(Pool *pool, Loop *loop, const char *dbname, int size, int epoll_fd)
{
	memset(pool, 0, sizeof(*pool));
	pool->size = size < POOL_MOST ? size : POOL_MOST;
	pool->epoll_fd = epoll_fd;
	pool->last = &pool->first;
	backoff_init(&pool->backoff);
	for (int i = 0; i < pool->size; i++)
	{
		db_init(&pool->slots[i].db, loop, dbname);
		pool->slots[i].watched = -1;
	}
}

static void
free_ask(Ask *ask)
{
	for (int i = 0; i < ask->n; i++)
		free(ask->values[i]);
	free(ask);
}

static void
answer(Ask *ask, const PGresult *result, const Failure *failure)
{
	ask->done(ask->arg, result, failure);
	free_ask(ask);
}

static void
fail_ask(Ask *ask, int code, const char *message)
{
	Failure		failure = {0};

	failure_set(&failure, code, "%s", message);
	answer(ask, NULL, &failure);
	failure_clear(&failure);
}

/*
 * Notes which slots have something to read: of all pools that share the epoll socket, so
 * that nobody has to ask each of his connections at each turn.  What is not noted now
 * will be at the next turn.
 */
void
pool_listen(int epoll_fd)
{
	struct epoll_event events[64];
	int			n = epoll_wait(epoll_fd, events, 64, 0);

	for (int i = 0; i < n; i++)
	{
		if (events[i].data.ptr != NULL)
			((Slot *) events[i].data.ptr)->ready = true;
	}
}

/* Tells epoll which socket is meant and for what; a closed one is forgotten by itself. */
static void
watch(Pool *pool, Slot *slot, uint32_t events)
{
	struct epoll_event event = {.events = events,.data.ptr = slot};
	int			fd = slot->db.conn != NULL ? PQsocket(slot->db.conn) : -1;

	slot->watched = fd;
	if (fd >= 0 && epoll_ctl(pool->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
		(void) epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void
hang_up(Pool *pool, Slot *slot)
{
	/* Asked for, because a child that cancels may still have the socket. */
	if (slot->watched >= 0)
		(void) epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, slot->watched, NULL);
	db_close(&slot->db);
	slot->state = SLOT_DOWN;
	slot->watched = -1;
}

/* Everybody who waits hears why. */
static void
refuse_waiting(Pool *pool, const Failure *failure)
{
	Ask		   *ask = pool->first;

	/* Who asks again from done() waits in a new queue. */
	pool->first = NULL;
	pool->last = &pool->first;
	while (ask != NULL)
	{
		Ask		   *next = ask->next;

		answer(ask, NULL, failure);
		ask = next;
	}
}

/* Nobody is served before the next try. */
static void
give_up(Pool *pool, Slot *slot, const Failure *failure)
{
	int64_t		pause = pool->strict ? 0 : backoff_next(&pool->backoff);

	if (pause > RETRY_MOST)
		pause = RETRY_MOST;
	hang_up(pool, slot);
	if (pool->strict)
	{
		refuse_waiting(pool, failure);
		return;
	}
	pool->retry_at = loop_now() + pause;
	log_trouble(failure, "connect", pause);
	if (!pool->ever && (failure->code == EX_NOPERM || failure->code == EX_CONFIG))
		pool->lasting = failure->code;
}

static void
start(Pool *pool, Slot *slot)
{
	Failure		failure = {0};

	if (db_connect_begin(&slot->db, &slot->connecting, &failure))
	{
		slot->state = SLOT_CONNECTING;
		watch(pool, slot, EPOLLOUT);
	}
	else
		give_up(pool, slot, &failure);
	failure_clear(&failure);
}

static bool
is_ready(int fd, short events)
{
	struct pollfd pollfd = {fd, events, 0};

	return poll(&pollfd, 1, 0) > 0;
}

static void
go_on_connecting(Pool *pool, Slot *slot)
{
	Connecting *connecting = &slot->connecting;
	Failure		failure = {0};
	bool		late = loop_now() >= connecting->deadline;

	if (!late && !is_ready(connecting->fd, connecting->state == PGRES_POLLING_READING ? POLLIN : POLLOUT))
		return;
	if (db_connect_turn(&slot->db, connecting, late, &failure))
		watch(pool, slot, connecting->state == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT);
	else if (connecting->state == PGRES_POLLING_OK && (pool->admit == NULL || pool->admit(pool, slot->db.conn, &failure)))
	{
		slot->state = SLOT_IDLE;
		slot->born = slot->used = loop_now();
		memset(slot->prepared, 0, sizeof(slot->prepared));
		pool->backoff.failures = 0;
		pool->retry_at = 0;
		pool->ever = true;
		watch(pool, slot, EPOLLIN);
	}
	else
		give_up(pool, slot, &failure);
	failure_clear(&failure);
}

static bool
is_prepared(const Slot *slot, int statement)
{
	return (slot->prepared[statement / 64] >> (statement % 64)) & 1;
}

/* The types of what is prepared: so a statement need not use everything that it gets. */
static const Oid all_text[ASK_VALUES] = {25, 25, 25, 25};

/* If it cannot be sent, reading the answer says so. */
static void
send_question(Slot *slot)
{
	const Ask  *ask = slot->ask;
	const char *const *values = (const char *const *) ask->values;
	char		name[16];
	int			sent;

	slot->state = SLOT_BUSY;
	snprintf(name, sizeof(name), "s%d", ask->statement);
	if (ask->statement == 0)
		sent = PQsendQueryParams(slot->db.conn, ask->sql, ask->n, NULL, values, NULL, NULL, 0);
	else if (is_prepared(slot, ask->statement))
		sent = PQsendQueryPrepared(slot->db.conn, name, ask->n, values, NULL, NULL, 0);
	else
	{
		slot->state = SLOT_PREPARING;
		slot->preparing = ask->statement;
		sent = PQsendPrepare(slot->db.conn, name, ask->sql, ask->n, all_text);
	}
	slot->ready = !sent;
	if (slot->state == SLOT_BUSY && ask->row != NULL)
		(void) PQsetSingleRowMode(slot->db.conn);
}

/* Gives the first in the queue to an idle connection. */
static void
send_next(Pool *pool, Slot *slot)
{
	Ask		   *ask = pool->first;

	pool->first = ask->next;
	if (pool->first == NULL)
		pool->last = &pool->first;
	slot->ask = ask;
	slot->deadline = ask->deadline;
	send_question(slot);
}

/*
 * Takes the rows that are here.  The next result that is no row, NULL: it is still to
 * come, or nobody wants it now.
 */
static PGresult *
take_rows(Pool *pool, Slot *slot)
{
	while (!PQisBusy(slot->db.conn) && (slot->ask == NULL || !slot->ask->paused))
	{
		PGresult   *result = PQgetResult(slot->db.conn);

		if (result == NULL || PQresultStatus(result) != PGRES_SINGLE_TUPLE)
			return result;
		if (slot->ask != NULL && !slot->ask->row(slot->ask->arg, result) && slot->ask != NULL)
		{
			slot->ask->paused = true;
			watch(pool, slot, 0);
		}
		PQclear(result);
	}
	return NULL;
}

/*
 * Is the whole answer here?  A broken connection has one, too.  Rows that nobody wants any
 * more are taken one by one as well: asking for what is not here yet would block.
 */
static bool
is_complete(Pool *pool, Slot *slot, PGresult **result)
{
	*result = NULL;
	if (slot->ask != NULL && (slot->ask->row == NULL || slot->state != SLOT_BUSY))
	{
		if (PQisBusy(slot->db.conn))
			return false;
		*result = PQgetResult(slot->db.conn);
		return true;
	}
	*result = take_rows(pool, slot);
	return *result != NULL || PQstatus(slot->db.conn) == CONNECTION_BAD;
}

/* The answer is here, or the connection is gone. */
static void
finish(Pool *pool, Slot *slot, PGresult *result)
{
	Ask		   *ask = slot->ask;
	Failure		failure = {0};
	PGresult   *next;

	while ((next = PQgetResult(slot->db.conn)) != NULL)
		PQclear(next);
	if (slot->preparing != 0 && PQresultStatus(result) == PGRES_COMMAND_OK)
		slot->prepared[slot->preparing / 64] |= UINT64_C(1) << (slot->preparing % 64);
	slot->preparing = 0;
	if (slot->state == SLOT_PREPARING && PQresultStatus(result) == PGRES_COMMAND_OK)
	{
		PQclear(result);
		send_question(slot);
		return;
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		db_fail(&slot->db, result, &failure);
		PQclear(result);
		result = NULL;
	}
	slot->ask = NULL;
	slot->used = loop_now();
	if (PQstatus(slot->db.conn) == CONNECTION_BAD)
		hang_up(pool, slot);
	else
		slot->state = SLOT_IDLE;
	if (ask != NULL)
		answer(ask, result, &failure);
	PQclear(result);
	failure_clear(&failure);
}

/* The time is up: who asked is told, and the server too. */
static void
give_up_waiting(Pool *pool, Slot *slot)
{
	Ask		   *ask = slot->ask;

	db_cancel(&slot->db);
	watch(pool, slot, EPOLLIN);
	slot->ask = NULL;
	slot->state = SLOT_CANCELLING;
	slot->deadline = loop_now() + CANCEL_LIMIT;
	fail_ask(ask, EX_TEMPFAIL, "no answer in time");
}

/* When an idle connection is to be closed. */
static int64_t
closes_at(const Pool *pool, const Slot *slot)
{
	int64_t		unused = pool->idle_limit > 0 ? slot->used + pool->idle_limit : NEVER;
	int64_t		old = pool->age_limit > 0 ? slot->born + pool->age_limit : NEVER;

	return unused < old ? unused : old;
}

static void
turn_busy(Pool *pool, Slot *slot)
{
	PGresult   *result;

	/* What nobody reads now stays in the socket, and makes the server wait. */
	if (slot->ask != NULL && slot->ask->paused && loop_now() < slot->deadline)
		return;
	(void) PQconsumeInput(slot->db.conn);
	if (is_complete(pool, slot, &result))
		finish(pool, slot, result);
	else if (loop_now() >= slot->deadline)
	{
		if (slot->state != SLOT_CANCELLING)
			give_up_waiting(pool, slot);
		else
			hang_up(pool, slot);
	}
}

static void
turn_slot(Pool *pool, Slot *slot)
{
	switch (slot->state)
	{
		case SLOT_DOWN:
			break;
		case SLOT_CONNECTING:
			go_on_connecting(pool, slot);
			break;
		case SLOT_IDLE:
			if ((slot->ready && is_ready(slot->watched, POLLIN) && db_lost(&slot->db)) || loop_now() >= closes_at(pool, slot))
				hang_up(pool, slot);
			slot->ready = false;
			break;
		case SLOT_PREPARING:
		case SLOT_BUSY:
		case SLOT_CANCELLING:
			turn_busy(pool, slot);
			break;
	}
}

static int
count(const Pool *pool, SlotState state)
{
	int			n = 0;

	for (int i = 0; i < pool->size; i++)
		n += pool->slots[i].state == state;
	return n;
}

/* Is there no connection, and none to be expected before the next try? */
static bool
is_away(const Pool *pool)
{
	return pool->closed || (count(pool, SLOT_DOWN) == pool->size && loop_now() < pool->retry_at);
}

/* Questions that nobody can answer in time, or that nobody is there for. */
static void
fail_waiting(Pool *pool)
{
	while (pool->first != NULL && (is_away(pool) || loop_now() >= pool->first->deadline))
	{
		Ask		   *ask = pool->first;

		pool->first = ask->next;
		if (pool->first == NULL)
			pool->last = &pool->first;
		fail_ask(ask, EX_UNAVAILABLE, "the database is away");
	}
}

/* May the next question be answered without anybody waiting for it? */
bool
pool_is_free(const Pool *pool)
{
	return pool->first == NULL && count(pool, SLOT_IDLE) > 0;
}

/* Hands out what waits; a question without an idle connection has one made for it. */
static void
dispatch(Pool *pool)
{
	int			wanted = 0;

	if (pool->closed)
		return;
	for (int i = 0; i < pool->size && pool->first != NULL; i++)
	{
		Slot	   *slot = &pool->slots[i];

		if (slot->state == SLOT_IDLE && loop_now() >= closes_at(pool, slot))
			hang_up(pool, slot);
		if (slot->state == SLOT_IDLE)
			send_next(pool, slot);
	}
	for (Ask *ask = pool->first; ask != NULL && wanted < pool->size; ask = ask->next)
		wanted++;
	/* One is always kept, so that an outage is noticed before somebody asks. */
	if (count(pool, SLOT_DOWN) == pool->size && wanted == 0 && !pool->strict)
		wanted = 1;
	wanted -= count(pool, SLOT_CONNECTING);
	for (int i = 0; i < pool->size && wanted > 0 && loop_now() >= pool->retry_at; i++)
	{
		if (pool->slots[i].state == SLOT_DOWN)
		{
			start(pool, &pool->slots[i]);
			wanted--;
		}
	}
}

/* Does what can be done now; called after each wait, and when something was asked. */
void
pool_turn(Pool *pool)
{
	pool->again = false;
	for (int i = 0; i < pool->size; i++)
		turn_slot(pool, &pool->slots[i]);
	dispatch(pool);
	fail_waiting(pool);
}

/* Asks.  id, or NULL, gets the number by which it can be meant until done() is called. */
void
pool_put(Pool *pool, const Question *question, uint64_t *id)
{
	Ask		   *ask = calloc(1, sizeof(*ask));
	bool		whole = ask != NULL;

	if (id != NULL)
		*id = pool->last_id + 1;
	pool->last_id++;

	if (whole)
	{
		*ask = (Ask) {
			.id = pool->last_id,.sql = question->sql,.statement = question->statement,.n = question->n,.deadline = loop_now() + question->limit,
				.row = question->row,.done = question->done,.arg = question->arg
		};
		for (int i = 0; i < question->n; i++)
		{
			ask->values[i] = question->values[i] != NULL ? strdup(question->values[i]) : NULL;
			whole = whole && (ask->values[i] != NULL || question->values[i] == NULL);
		}
	}
	if (!whole)
	{
		Failure		failure = {.code = EX_OSERR};

		if (ask != NULL)
			free_ask(ask);
		question->done(question->arg, NULL, &failure);
		return;
	}
	*pool->last = ask;
	pool->last = &ask->next;
	dispatch(pool);
	fail_waiting(pool);
}

/* limit: microseconds until done() is called at the latest, but for what runs in between. */
void
pool_ask(Pool *pool, const char *sql, int n, const char *const *values, int64_t limit, AskDone done, void *arg)
{
	(void) pool_put(pool, &(Question) {.sql = sql,.n = n,.values = values,.limit = limit,.done = done,.arg = arg}, NULL);
}

static Slot *
slot_of(Pool *pool, uint64_t id)
{
	for (int i = 0; i < pool->size; i++)
	{
		if (pool->slots[i].ask != NULL && pool->slots[i].ask->id == id)
			return &pool->slots[i];
	}
	return NULL;
}

/* Its rows are wanted again.  What libpq has read already makes no socket ready. */
void
pool_go_on(Pool *pool, uint64_t id)
{
	Slot	   *slot = slot_of(pool, id);

	if (slot == NULL || !slot->ask->paused)
		return;
	slot->ask->paused = false;
	slot->ready = true;
	watch(pool, slot, EPOLLIN);
	pool->again = true;
}

/* Nobody waits for its answer any more; done() is not called. */
void
pool_forget(Pool *pool, uint64_t id)
{
	Slot	   *slot = slot_of(pool, id);
	Ask		  **at = &pool->first;
	Ask		   *ask;

	if (slot != NULL)
	{
		ask = slot->ask;
		db_cancel(&slot->db);
		slot->ask = NULL;
		slot->state = SLOT_CANCELLING;
		slot->deadline = loop_now() + CANCEL_LIMIT;
		slot->ready = true;
		watch(pool, slot, EPOLLIN);
		pool->again = true;
		free_ask(ask);
		return;
	}
	while (*at != NULL && (*at)->id != id)
		at = &(*at)->next;
	ask = *at;
	if (ask == NULL)
		return;
	*at = ask->next;
	if (ask->next == NULL)
		pool->last = at;
	free_ask(ask);
}

/* Is there no connection, and none being made? */
bool
pool_is_down(const Pool *pool)
{
	return count(pool, SLOT_DOWN) == pool->size;
}

int
pool_connections(const Pool *pool, int *busy)
{
	*busy = count(pool, SLOT_BUSY) + count(pool, SLOT_PREPARING) + count(pool, SLOT_CANCELLING);
	return *busy + count(pool, SLOT_IDLE);
}

int
pool_waiting(const Pool *pool)
{
	int			n = 0;

	for (const Ask *ask = pool->first; ask != NULL; ask = ask->next)
		n++;
	return n;
}

/* When pool_turn() has something to do although no socket is ready. */
int64_t
pool_deadline(const Pool *pool)
{
	int64_t		deadline = NEVER;
	bool		down = false;

	if (pool->closed)
		return NEVER;
	for (int i = 0; i < pool->size; i++)
	{
		const Slot *slot = &pool->slots[i];
		int64_t		own = NEVER;

		if (slot->state == SLOT_CONNECTING)
			own = slot->connecting.deadline;
		else if (slot->state == SLOT_IDLE)
			own = closes_at(pool, slot);
		else if (slot->state != SLOT_DOWN)
			own = slot->deadline;
		else
			down = true;
		if (own < deadline)
			deadline = own;
	}
	if (pool->first != NULL && pool->first->deadline < deadline)
		deadline = pool->first->deadline;
	if (pool->again)
		deadline = 0;
	if (down && (pool->first != NULL || (count(pool, SLOT_DOWN) == pool->size && !pool->strict)) && pool->retry_at < deadline)
		deadline = pool->retry_at;
	return deadline;
}

/* Who still waits is told; what runs is cancelled.  Whoever asks from now on is told at once. */
void
pool_close(Pool *pool)
{
	pool->closed = true;
	for (int i = 0; i < pool->size; i++)
	{
		Slot	   *slot = &pool->slots[i];
		Ask		   *ask = slot->ask;

		if (slot->state == SLOT_BUSY || slot->state == SLOT_PREPARING)
			db_cancel(&slot->db);
		slot->ask = NULL;
		hang_up(pool, slot);
		if (ask != NULL)
			fail_ask(ask, EX_TEMPFAIL, "stopped");
	}
	fail_waiting(pool);
}

/*
 * tick.c
 *		incomplete-orders tick: calls incomplete_orders.tick(), once or for ever.
 *
 * The procedure commits batch by batch, so it is called outside of a
 * transaction, and whoever ends it loses nothing but the batch that runs.
 * Asked to stop, we let it end for a few seconds, then cancel it.
 *
 * For ever means: through restarts of the server, with growing pauses.  What
 * only an administrator can mend (rights, a missing extension) ends the program;
 * a service manager starts it again.
 */
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "db.h"

/* what a running tick gets when we are asked to stop */
#define STOP_GRACE (5 * SECOND)
/* what it gets beyond max-seconds before we believe that it hangs */
#define ANSWER_GRACE (60 * SECOND)
#define REPORT_LIMIT (30 * SECOND)

typedef struct TickOptions
{
	CommonOptions common;
	int			every;			/* seconds; 0: once */
	int			max_seconds;
} TickOptions;

static const OptionDef tick_options[] = {
	{"every", 0, OPTION_SPAN, offsetof(TickOptions, every), "TIME", NULL, 1, 86400,
	"stay, and do it again and again, e.g. 60s (default: once)"},
	{"max-seconds", 0, OPTION_NUMBER, offsetof(TickOptions, max_seconds), "N", "50", 1, 86400,
	"end a tick after so many seconds; the next one goes on"},
	{NULL}
};

/* What a tick said. */
typedef struct Report
{
	bool		busy;			/* another one was at work */
	bool		finished;		/* nothing is due any more */
	bool		worked;			/* at least one row was changed */
} Report;

static bool
is_positive(const char *text)
{
	return text[0] >= '1' && text[0] <= '9';
}

static void
read_report(const PGresult *pairs, Report *report)
{
	memset(report, 0, sizeof(*report));
	for (int row = 0; row < PQntuples(pairs); row++)
	{
		const char *key = PQgetvalue(pairs, row, 0);
		const char *value = PQgetvalue(pairs, row, 1);

		if (strcmp(key, "busy") == 0)
			report->busy = strcmp(value, "true") == 0;
		else if (strcmp(key, "finished") == 0)
			report->finished = strcmp(value, "true") == 0;
		else if (strcmp(key, "seconds") != 0 && strcmp(key, "batches") != 0 && is_positive(value))
			report->worked = true;
	}
}

static void
log_report(const PGresult *pairs, const Report *report)
{
	LogLine		line;

	log_begin(&line, report->busy ? "warn" : "info", "tick");
	for (int row = 0; row < PQntuples(pairs); row++)
		log_text(&line, PQgetvalue(pairs, row, 0), PQgetvalue(pairs, row, 1));
	log_end(&line);
}

/* A tick that did nothing says nothing; one that had to give way does if it was the only one. */
static bool
is_worth_a_line(const Report *report, const TickOptions *options)
{
	if (options->common.verbose || report->worked)
		return true;
	return report->busy ? options->every == 0 : !report->finished;
}

/* The server takes its report apart: the keys that people look for come first. */
static PGresult *
ask_report(Db *db, const char *json, Failure *failure)
{
	const char *values[] = {json};
	const Statement statement = {
		"SELECT r.key, r.value FROM pg_catalog.jsonb_each_text($1::pg_catalog.jsonb) WITH ORDINALITY r(key, value, n)"
		" ORDER BY pg_catalog.array_position('{busy,finished,seconds,batches,abandoned,lost,expired}'::pg_catalog.text[], r.key), r.n",
		1, values, REPORT_LIMIT, STOP_GRACE
	};

	return db_query(db, &statement, failure);
}

static bool
tick_once(Db *db, const TickOptions *options, Report *report, Failure *failure)
{
	char		max_seconds[16];
	const char *values[] = {max_seconds};
	const Statement statement = {
		"CALL incomplete_orders.tick(NULL, pg_catalog.now(), $1::pg_catalog.int4)",
		1, values, options->max_seconds * SECOND + ANSWER_GRACE, STOP_GRACE
	};
	PGresult   *result;
	PGresult   *pairs;

	snprintf(max_seconds, sizeof(max_seconds), "%d", options->max_seconds);
	result = db_query(db, &statement, failure);
	if (result == NULL)
		return false;
	pairs = ask_report(db, PQgetvalue(result, 0, 0), failure);
	PQclear(result);
	if (pairs == NULL)
		return false;
	read_report(pairs, report);
	if (is_worth_a_line(report, options))
		log_report(pairs, report);
	PQclear(pairs);
	return true;
}

static bool
is_lasting(int code)
{
	return code == EX_USAGE || code == EX_NOPERM || code == EX_CONFIG;
}

static void
log_life(const char *event, const TickOptions *options)
{
	LogLine		line;

	log_begin(&line, "info", event);
	log_text(&line, "version", ICO_VERSION);
	log_seconds(&line, "every", options->every * SECOND);
	log_end(&line);
}

/* Sleeps; with a connection it wakes up early if the server goes away. */
static void
sleep_until(Db *db, int64_t deadline)
{
	while (db->loop->stops == 0)
	{
		int			fd = db->conn != NULL ? PQsocket(db->conn) : -1;

		if (loop_wait(db->loop, fd, POLLIN, deadline) != WAKE_READY || db_lost(db))
			return;
	}
}

/* The next beginning after now; ticks that were missed are not made up for. */
static int64_t
next_start(int64_t last, int64_t every)
{
	int64_t		now = loop_now();

	return last + every > now ? last + every : now;
}

/* Connects if need be, ticks, waits for the next time.  Returns an exit code, or -1 to go on. */
static int
turn(Db *db, const TickOptions *options, Backoff *backoff)
{
	Failure		failure = {0};
	Report		report;
	int64_t		start = loop_now();
	int64_t		pause;
	int			code;
	const char *event = db->conn == NULL ? "connect" : "tick";

	if (db->conn != NULL || db_connect(db, &failure))
	{
		event = "tick";
		if (tick_once(db, options, &report, &failure))
		{
			backoff->failures = 0;
			notify_status(&db->loop->notify, "The last tick %s.", report.busy ? "gave way to another one" :
						  report.finished ? "did all that was due" : "left some work to the next one");
			/* After an outage there is more than one tick can do: the next one follows. */
			if (report.finished || report.busy || !report.worked)
				sleep_until(db, next_start(start, options->every * SECOND));
			return -1;
		}
	}
	code = failure.code;
	if (db->loop->stops == 0)
	{
		pause = is_lasting(code) ? 0 : backoff_next(backoff);
		log_trouble(&failure, event, pause);
		notify_status(&db->loop->notify, "Trouble: %s", failure.message ? failure.message : "out of memory");
		if (pause > 0)
			sleep_until(db, loop_now() + pause);
	}
	failure_clear(&failure);
	return is_lasting(code) ? code : -1;
}

static int
tick_forever(Db *db, const TickOptions *options)
{
	Loop	   *loop = db->loop;
	Backoff		backoff;
	int			code = -1;

	backoff_init(&backoff);
	log_life("start", options);
	notify_send(&loop->notify, "READY=1\nSTATUS=Connecting.");
	while (code < 0 && loop->stops == 0)
		code = turn(db, options, &backoff);
	if (loop->stops > 0)
		code = EX_OK;
	notify_send(&loop->notify, "STOPPING=1");
	db_close(db);
	log_life("stop", options);
	return code;
}

static int
run_tick(const void *arg, Loop *loop)
{
	const TickOptions *options = arg;
	Failure		failure = {0};
	Report		report;
	Db			db;
	int			code = EX_OK;

	db_init(&db, loop, options->common.dbname);
	if (options->every > 0)
		return tick_forever(&db, options);
	if ((!db_connect(&db, &failure) || !tick_once(&db, options, &report, &failure)) && loop->stops == 0)
	{
		failure_print(&failure, "tick");
		code = failure.code;
	}
	db_close(&db);
	failure_clear(&failure);
	return code;
}

const Command tick_command = {
	"tick", "makes happen what is due: abandonment, expiry, retention", tick_options, sizeof(TickOptions), run_tick
};

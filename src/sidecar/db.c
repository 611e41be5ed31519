/*
 * db.c
 *		Connecting, asking, cancelling; and what an error of the server means.
 *
 * libpq decides where to: its environment variables, service and password
 * files, and the string behind -d as it is.  Everything waits in loop_wait(), so
 * that signals and the watchdog are served while a server does not answer.
 *
 * Memory: the connection belongs to the Db, a result to who asked, the texts of
 * a Failure to the Failure.
 *
 * Privacy: what an error says is shown only as far as it cannot quote a row.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "db.h"

/* for one host, where connect_timeout says nothing */
#define CONNECT_LIMIT (30 * SECOND)
/* for the answer to a cancel */
#define CANCEL_LIMIT (5 * SECOND)

#define BACKOFF_FIRST (2 * SECOND)
#define BACKOFF_MOST (60 * SECOND)

/* What an SQLSTATE, or how it begins, means to who started us; the first counts. */
static const struct
{
	const char *sqlstate;
	int			code;
}			meanings[] = {
	{"IC001", EX_CONFIG},		/* setup() was not called */
	{"IC002", EX_NOPERM},		/* no such shop, or no right to it */
	{"22023", EX_USAGE},		/* a malformed argument */
	{"28", EX_NOPERM},			/* authentication */
	{"42501", EX_NOPERM},
	{"3D000", EX_CONFIG},		/* no such database */
	{"3F000", EX_CONFIG},		/* no such schema: no extension */
	{"42883", EX_CONFIG},		/* no such function: another version of it */
	{"25006", EX_TEMPFAIL},		/* a standby */
	{"40", EX_TEMPFAIL},		/* serialization, deadlock */
	{"53", EX_TEMPFAIL},		/* out of connections, memory, disk */
	{"55P03", EX_TEMPFAIL},		/* lock not available */
	{"57", EX_TEMPFAIL},		/* cancelled, shutting down, starting up */
	{"08", EX_UNAVAILABLE},
};

static int
meaning_of(const char *sqlstate)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
	{
		if (strncmp(sqlstate, meanings[i].sqlstate, strlen(meanings[i].sqlstate)) == 0)
			return meanings[i].code;
	}
	return EX_SOFTWARE;
}

/* Errors of our own quote no data, by their rules. */
static bool
is_ours(const char *sqlstate)
{
	return strncmp(sqlstate, "IC", 2) == 0 || strcmp(sqlstate, "22023") == 0;
}

/* Data exceptions, and what a shop's own functions raise, may quote anything. */
static bool
may_quote(const char *sqlstate)
{
	return !is_ours(sqlstate) && (strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "P0", 2) == 0);
}

static void
trim(char *text)
{
	size_t		length = strlen(text);

	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
		text[--length] = '\0';
}

static char *
copy_of(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

static void
fail_from_result(const PGresult *result, const PGconn *conn, Failure *failure)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (sqlstate == NULL)
		sqlstate = "";
	if (may_quote(sqlstate))
		primary = "an error that may quote data; the server's log has it";
	if (primary == NULL)
		primary = PQresultErrorMessage(result);
	failure_set(failure, meaning_of(sqlstate), "%s", primary);
	/* What libpq adds to its own messages are guesses. */
	if (failure->message != NULL)
		failure->message[strcspn(failure->message, "\n")] = '\0';
	if (PQstatus(conn) == CONNECTION_BAD)
		failure->code = EX_UNAVAILABLE;
	if (strlen(sqlstate) == 5)
		memcpy(failure->sqlstate, sqlstate, 6);
	if (is_ours(sqlstate))
	{
		failure->detail = copy_of(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
		failure->field = copy_of(PQresultErrorField(result, PG_DIAG_COLUMN_NAME));
	}
	if (!may_quote(sqlstate))
		failure->hint = copy_of(PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
	/* The server's hints about functions and schemas are for who writes SQL. */
	if (failure->code == EX_CONFIG && !is_ours(sqlstate))
	{
		free(failure->hint);
		failure->hint = copy_of("In that database: CREATE EXTENSION incomplete_orders; SELECT incomplete_orders.setup();"
								" or, after an upgrade, ALTER EXTENSION incomplete_orders UPDATE;");
	}
}

/* Why this is no answer: an error of the server, or no result at all (NULL). */
void
db_fail(const Db *db, const PGresult *result, Failure *failure)
{
	if (result != NULL)
		fail_from_result(result, db->conn, failure);
	else
		failure_set(failure, EX_UNAVAILABLE, "%s", PQerrorMessage(db->conn));
}

/* Warnings are logged like errors; notices are for people at a prompt. */
static void
on_notice(void *arg, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	LogLine		line;

	if (severity == NULL || sqlstate == NULL || strcmp(severity, "WARNING") != 0)
		return;
	log_begin(&line, "warn", "server");
	log_text(&line, "sqlstate", sqlstate);
	if (!may_quote(sqlstate))
		log_text(&line, "message", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	log_end(&line);
}

void
db_init(Db *db, Loop *loop, const char *dbname)
{
	memset(db, 0, sizeof(*db));
	db->dbname = dbname;
	db->loop = loop;
}

void
db_close(Db *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
}

/* connect_timeout as libpq found it; it leaves obeying to who does not block. */
static int64_t
connect_limit(PGconn *conn)
{
	PQconninfoOption *options = PQconninfo(conn);
	int64_t		limit = CONNECT_LIMIT;

	for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
	{
		if (strcmp(option->keyword, "connect_timeout") == 0 && option->val != NULL && *option->val != '\0')
		{
			double		seconds = atof(option->val);

			limit = seconds <= 0 ? NEVER : seconds < 3600 ? (int64_t) (seconds * SECOND) : 3600 * SECOND;
		}
	}
	PQconninfoFree(options);
	return limit;
}

static int64_t
deadline_after(int64_t limit)
{
	return limit == NEVER ? NEVER : loop_now() + limit;
}

/*
 * The SQLSTATE in the text of a failed connection, which libpq gives in no
 * other way: "FATAL:  28P01: password ...".  Takes it out of the text, with
 * the place in the server's source that comes with it.
 */
static void
take_sqlstate(char *text, char *sqlstate)
{
	char	   *found = NULL;
	char	   *last_line;

	for (char *at = strstr(text, ":  "); at != NULL; at = strstr(at + 1, ":  "))
	{
		if (strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && at[8] == ':')
			found = at + 3;
	}
	if (found == NULL)
		return;
	memcpy(sqlstate, found, 5);
	sqlstate[5] = '\0';
	memmove(found, found + 7, strlen(found + 7) + 1);
	last_line = strrchr(text, '\n');
	if (last_line != NULL && strstr(last_line, ".c:") != NULL)
		*last_line = '\0';
}

static void
fail_from_connection(PGconn *conn, Failure *failure)
{
	char		sqlstate[6] = "";

	failure_set(failure, EX_UNAVAILABLE, "%s", PQerrorMessage(conn));
	if (failure->message == NULL)
		return;
	trim(failure->message);
	take_sqlstate(failure->message, sqlstate);
	trim(failure->message);
	if (sqlstate[0] != '\0')
		failure->code = meaning_of(sqlstate);
	if (PQconnectionNeedsPassword(conn))
	{
		failure->code = EX_NOPERM;
		failure->hint = copy_of("A password can stand in ~/.pgpass, or in the file that PGPASSFILE names.");
	}
	memcpy(failure->sqlstate, sqlstate, sizeof(sqlstate));
}

typedef struct ConnectParameters
{
	const char *keywords[7];
	const char *values[7];
	char	   *options;
} ConnectParameters;

static const char *
find_options(const PQconninfoOption *options)
{
	for (; options != NULL && options->keyword != NULL; options++)
	{
		if (strcmp(options->keyword, "options") == 0)
			return options->val;
	}
	return NULL;
}

/* The options of the connection string, or those of the environment and its service. */
static char *
given_options(const char *dbname)
{
	PQconninfoOption *named = dbname != NULL ? PQconninfoParse(dbname, NULL) : NULL;
	PQconninfoOption *defaults = PQconndefaults();
	const char *found = find_options(named);
	char	   *copy;

	if (found == NULL)
		found = find_options(defaults);
	copy = strdup(found != NULL ? found : "");
	PQconninfoFree(named);
	PQconninfoFree(defaults);
	return copy;
}

/* With the search_path that statements rely on behind them: the last one counts. */
static char *
options_with_path(const Db *db)
{
	char	   *given = given_options(db->dbname);
	char	   *options = NULL;

	if (given == NULL || asprintf(&options, "%s -c search_path=%s", given, db->search_path) < 0)
		options = NULL;
	free(given);
	return options;
}

static void
connect_parameters(const Db *db, ConnectParameters *parameters)
{
	int			n = 0;

	memset(parameters, 0, sizeof(*parameters));
	parameters->keywords[n] = "client_encoding";
	parameters->values[n++] = "UTF8";
	parameters->keywords[n] = "fallback_application_name";
	parameters->values[n++] = "incomplete-orders";
	if (db->dbname != NULL)
	{
		parameters->keywords[n] = "dbname";
		parameters->values[n++] = db->dbname;
	}
	/* Behind dbname, so that they win over what a connection string says. */
	if (db->user != NULL)
	{
		parameters->keywords[n] = "user";
		parameters->values[n++] = db->user;
		parameters->keywords[n] = "password";
		parameters->values[n++] = db->password;
	}
	if (db->search_path != NULL)
	{
		parameters->options = options_with_path(db);
		parameters->keywords[n] = "options";
		parameters->values[n++] = parameters->options;
	}
}

/*
 * Turns the crank of a connection that was started, once its socket is ready, or
 * late: its deadline has passed.  A host that does not answer in time is given up by
 * closing its socket behind libpq's back, which then goes on to the next host as for any
 * other that fails.  False: it failed, or it is made; state says which.
 */
bool
db_connect_turn(Db *db, Connecting *connecting, bool late, Failure *failure)
{
	if (late)
	{
		if (connecting->gave_up)
		{
			connecting->state = PGRES_POLLING_FAILED;
			failure_set(failure, EX_UNAVAILABLE, "the server does not answer");
			return false;
		}
		connecting->gave_up = true;
		(void) shutdown(connecting->fd, SHUT_RDWR);
		connecting->deadline = loop_now() + SECOND;
	}
	connecting->state = PQconnectPoll(db->conn);
	/* Another socket is another address. */
	if (PQsocket(db->conn) != connecting->fd)
	{
		connecting->fd = PQsocket(db->conn);
		connecting->gave_up = false;
		connecting->deadline = deadline_after(connecting->limit);
	}
	if (connecting->state == PGRES_POLLING_FAILED)
		fail_from_connection(db->conn, failure);
	return connecting->state == PGRES_POLLING_READING || connecting->state == PGRES_POLLING_WRITING;
}

/* Starts a connection that db_connect_turn() goes on with; false: it failed already. */
bool
db_connect_begin(Db *db, Connecting *connecting, Failure *failure)
{
	ConnectParameters parameters;

	connect_parameters(db, &parameters);
	if (db->search_path == NULL || parameters.options != NULL)
		db->conn = PQconnectStartParams(parameters.keywords, parameters.values, 1);
	if (db->conn == NULL)
	{
		free(parameters.options);
		failure_set(failure, EX_OSERR, "out of memory");
		return false;
	}
	(void) PQsetErrorVerbosity(db->conn, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(db->conn, on_notice, NULL);
	if (PQstatus(db->conn) == CONNECTION_BAD)
	{
		fail_from_connection(db->conn, failure);
		/* Was it tried at all? */
		if (PQpingParams(parameters.keywords, parameters.values, 1) == PQPING_NO_ATTEMPT)
			failure->code = EX_CONFIG;
		free(parameters.options);
		db_close(db);
		return false;
	}
	free(parameters.options);
	connecting->limit = connect_limit(db->conn);
	connecting->deadline = deadline_after(connecting->limit);
	connecting->fd = PQsocket(db->conn);
	connecting->gave_up = false;
	connecting->state = PGRES_POLLING_WRITING;
	return true;
}

bool
db_connect(Db *db, Failure *failure)
{
	Connecting	connecting;
	Wakeup		wakeup;
	bool		goes_on = db_connect_begin(db, &connecting, failure);

	if (!goes_on)
		return false;
	while (goes_on)
	{
		wakeup = loop_wait(db->loop, connecting.fd, connecting.state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
						   connecting.deadline);
		if (wakeup == WAKE_STOP)
		{
			failure_set(failure, EX_TEMPFAIL, "stopped while connecting");
			break;
		}
		goes_on = db_connect_turn(db, &connecting, wakeup == WAKE_TIMEOUT, failure);
	}
	if (!goes_on && connecting.state == PGRES_POLLING_OK)
		return true;
	db_close(db);
	return false;
}

/*
 * PQcancel() blocks until the server has closed its connection, for ever if the
 * server is frozen.  A child of its own may block, and dies by its alarm.
 */
void
db_cancel(Db *db)
{
	PGcancel   *handle = PQgetCancel(db->conn);

	if (handle == NULL)
		return;
	if (fork() == 0)
	{
		char		error[256];

		/* The pipe of the handlers is the parent's too. */
		signal(SIGINT, SIG_IGN);
		signal(SIGTERM, SIG_DFL);
		alarm(CANCEL_LIMIT / SECOND);
		_exit(PQcancel(handle, error, sizeof(error)) ? 0 : 1);
	}
	PQfreeCancel(handle);
}

typedef struct Waiting
{
	const Statement *statement;
	int64_t		deadline;
	const char *cancelled;		/* why, or NULL */
} Waiting;

/* Waits for the next bytes; false if no answer is to be expected any more. */
static bool
wait_for_answer(Db *db, Waiting *waiting)
{
	int64_t		grace;

	switch (loop_wait(db->loop, PQsocket(db->conn), POLLIN, waiting->deadline))
	{
		case WAKE_READY:
		case WAKE_NEWS:
			(void) PQconsumeInput(db->conn);
			break;
		case WAKE_STOP:
			/* Who asks twice is in a hurry. */
			grace = db->loop->stops > 1 ? 0 : waiting->statement->grace;
			if (waiting->cancelled == NULL && loop_now() + grace < waiting->deadline)
				waiting->deadline = loop_now() + grace;
			break;
		case WAKE_TIMEOUT:
			if (waiting->cancelled != NULL)
				return false;
			waiting->cancelled = db->loop->stops > 0 ? "stopped" : "no answer in time";
			waiting->deadline = loop_now() + CANCEL_LIMIT;
			db_cancel(db);
			break;
	}
	return true;
}

/*
 * Asks, and waits for the whole answer.  NULL: it failed, and failure says why.
 * A connection that is of no use any more is closed.
 */
PGresult *
db_query(Db *db, const Statement *statement, Failure *failure)
{
	int64_t		limit = db->loop->stops > 0 && statement->grace < statement->limit ? statement->grace : statement->limit;
	Waiting		waiting = {statement, deadline_after(limit), NULL};
	PGresult   *answer = NULL;
	bool		sent = PQsendQueryParams(db->conn, statement->sql, statement->n, NULL, statement->values, NULL, NULL, 0);

	while (sent)
	{
		PGresult   *next;

		while (PQstatus(db->conn) == CONNECTION_OK && PQisBusy(db->conn))
		{
			if (!wait_for_answer(db, &waiting))
			{
				PQclear(answer);
				failure_set(failure, EX_UNAVAILABLE, "the server does not answer");
				db_close(db);
				return NULL;
			}
		}
		next = PQgetResult(db->conn);
		if (next == NULL)
			break;
		if (answer != NULL && PQresultStatus(answer) == PGRES_FATAL_ERROR)
			PQclear(next);		/* the first error is the cause */
		else
		{
			PQclear(answer);
			answer = next;
		}
	}
	if (answer != NULL && (PQresultStatus(answer) == PGRES_TUPLES_OK || PQresultStatus(answer) == PGRES_COMMAND_OK))
		return answer;
	db_fail(db, answer, failure);
	if (answer != NULL && waiting.cancelled != NULL && strcmp(failure->sqlstate, "57014") == 0)
		failure_set(failure, EX_TEMPFAIL, "%s: cancelled", waiting.cancelled);
	PQclear(answer);
	if (PQstatus(db->conn) == CONNECTION_BAD)
		db_close(db);
	return NULL;
}

/* Has the server gone while nothing was asked?  Then the connection is closed. */
bool
db_lost(Db *db)
{
	if (PQconsumeInput(db->conn) && PQstatus(db->conn) == CONNECTION_OK)
		return false;
	db_close(db);
	return true;
}

/*
 * A command that asks one thing: connects, asks, hands the answer to use(), which
 * returns the exit code.
 */
int
db_run(const char *dbname, Loop *loop, const char *what, const Statement *statement,
	   int (*use) (const PGresult *result, const void *options), const void *options)
{
	Failure		failure = {0};
	PGresult   *result = NULL;
	Db			db;
	int			code;

	db_init(&db, loop, dbname);
	if (db_connect(&db, &failure))
		result = db_query(&db, statement, &failure);
	if (result != NULL)
		code = use(result, options);
	else
	{
		failure_print(&failure, what);
		code = failure.code;
	}
	PQclear(result);
	db_close(&db);
	failure_clear(&failure);
	return code;
}

void
backoff_init(Backoff *backoff)
{
	int64_t		now = loop_now();

	backoff->failures = 0;
	backoff->seed[0] = (unsigned short) getpid();
	backoff->seed[1] = (unsigned short) now;
	backoff->seed[2] = (unsigned short) time(NULL);
}

/*
 * Twice as long after each failure in a row, up to a minute; somewhere between
 * half of it and all, so that many clients do not return at the same instant.
 */
int64_t
backoff_next(Backoff *backoff)
{
	int64_t		whole = BACKOFF_FIRST;

	for (int i = 0; i < backoff->failures && whole < BACKOFF_MOST; i++)
		whole *= 2;
	if (whole > BACKOFF_MOST)
		whole = BACKOFF_MOST;
	backoff->failures++;
	return whole / 2 + (int64_t) (erand48(backoff->seed) * (double) (whole / 2));
}

/*
 * db.h
 *		The connection to the database.
 */
#ifndef ICO_DB_H
#define ICO_DB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "loop.h"

typedef struct Db
{
	PGconn	   *conn;			/* NULL: there is none */
	const char *dbname;			/* what -d says, or NULL */
	const char *user;			/* or NULL: as dbname and the environment say */
	const char *password;
	const char *search_path;	/* or NULL: the database's */
	Loop	   *loop;
} Db;

/* Values are never part of sql: they are its $1, $2, ... */
typedef struct Statement
{
	const char *sql;
	int			n;
	const char *const *values;
	int64_t		limit;			/* microseconds until it is cancelled, or NEVER */
	int64_t		grace;			/* the same, once we were asked to stop */
} Statement;

/* A connection that is being made, step by step. */
typedef struct Connecting
{
	int64_t		limit;			/* for one host */
	int64_t		deadline;		/* of the host that is being tried */
	int			fd;
	bool		gave_up;
	PostgresPollingStatusType state;
} Connecting;

/* How long to wait after a failure: longer each time. */
typedef struct Backoff
{
	int			failures;
	unsigned short seed[3];
} Backoff;

extern void db_init(Db *db, Loop *loop, const char *dbname);
extern bool db_connect(Db *db, Failure *failure);
extern bool db_connect_begin(Db *db, Connecting *connecting, Failure *failure);
extern bool db_connect_turn(Db *db, Connecting *connecting, bool late, Failure *failure);
extern PGresult *db_query(Db *db, const Statement *statement, Failure *failure);
extern bool db_lost(Db *db);
extern void db_close(Db *db);
extern void db_cancel(Db *db);
extern void db_fail(const Db *db, const PGresult *result, Failure *failure);
extern int	db_run(const char *dbname, Loop *loop, const char *what, const Statement *statement,
				   int (*use) (const PGresult *result, const void *options), const void *options);

extern void backoff_init(Backoff *backoff);
extern int64_t backoff_next(Backoff *backoff);

#endif							/* ICO_DB_H */

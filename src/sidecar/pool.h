/*
 * pool.h
 *		Several connections to the database that are asked without waiting.
 */
#ifndef ICO_POOL_H
#define ICO_POOL_H

#include "db.h"

#define POOL_MOST 16
#define ASK_VALUES 4
/* prepared statements are numbered up to this */
#define STATEMENTS_MOST 256

struct Pool;

/*
 * One question.  Its texts are copied; the answer comes to done(), exactly once, maybe
 * before pool_ask() returns: a result, or NULL and why there is none.  The result is
 * cleared afterwards.
 */
typedef void (*AskDone) (void *arg, const PGresult *result, const Failure *failure);

/*
 * Gets the rows one by one, before done() gets a result without any.  False: no more now,
 * until pool_go_on().
 */
typedef bool (*AskRow) (void *arg, const PGresult *row);

typedef struct Question
{
	const char *sql;			/* a constant */
	int			statement;		/* which of a program's constants it is, from 1; 0: it is not prepared */
	int			n;
	const char *const *values;
	int64_t		limit;			/* microseconds until done() is called at the latest */
	AskRow		row;			/* or NULL: done() gets them all */
	AskDone		done;
	void	   *arg;
} Question;

typedef struct Ask
{
	struct Ask *next;
	uint64_t	id;
	const char *sql;
	int			statement;
	int			n;
	char	   *values[ASK_VALUES];
	int64_t		deadline;
	AskRow		row;
	AskDone		done;
	void	   *arg;
	bool		paused;			/* its rows are not read now */
} Ask;

typedef enum SlotState
{
	SLOT_DOWN,
	SLOT_CONNECTING,
	SLOT_IDLE,
	SLOT_PREPARING,				/* its question's statement, which comes next */
	SLOT_BUSY,
	SLOT_CANCELLING,			/* nobody waits for its answer any more */
} SlotState;

typedef struct Slot
{
	SlotState	state;
	Db			db;
	Connecting	connecting;
	Ask		   *ask;
	int64_t		deadline;		/* of the question, or of the cancelling */
	int			watched;		/* the socket that epoll knows, or -1 */
	bool		ready;			/* there is something to read, or an error */
	int64_t		born;			/* when the connection was made */
	int64_t		used;			/* when it last had something to do */
	int			preparing;		/* the statement that is being prepared, or 0 */
	uint64_t	prepared[STATEMENTS_MOST / 64];
} Slot;

typedef struct Pool
{
	Slot		slots[POOL_MOST];
	int			size;
	int			epoll_fd;		/* of the caller */
	Ask		   *first;			/* who waits for a connection */
	Ask		  **last;
	uint64_t	last_id;
	bool		again;			/* a connection has something to do although its socket is not ready */
	Backoff		backoff;
	int64_t		retry_at;		/* no connection is tried before */
	bool		ever;			/* at least one was made */
	bool		closed;			/* nothing is asked any more */
	int			lasting;		/* exit code of an error that only an administrator mends */

	/* for pools that are somebody's: set after pool_init() */
	bool		strict;			/* who waits hears why there is no connection, and none is kept for nobody */
	int64_t		idle_limit;		/* an unused connection is closed after that; 0: never */
	int64_t		age_limit;		/* the same for any connection that is not in use */
	bool		(*admit) (struct Pool *pool, PGconn *conn, Failure *failure);	/* may this connection be used?  Or NULL */
	void	   *admit_arg;
} Pool;

extern void pool_init(Pool *pool, Loop *loop, const char *dbname, int size, int epoll_fd);
extern void pool_ask(Pool *pool, const char *sql, int n, const char *const *values, int64_t limit, AskDone done, void *arg);
extern void pool_put(Pool *pool, const Question *question, uint64_t *id);
extern bool pool_is_down(const Pool *pool);
extern void pool_go_on(Pool *pool, uint64_t id);
extern void pool_forget(Pool *pool, uint64_t id);
extern int	pool_connections(const Pool *pool, int *busy);
extern int	pool_waiting(const Pool *pool);
extern bool pool_is_free(const Pool *pool);
extern void pool_listen(int epoll_fd);
extern void pool_turn(Pool *pool);
extern int64_t pool_deadline(const Pool *pool);
extern void pool_close(Pool *pool);

#endif							/* ICO_POOL_H */

/*
 * pool.h
 *		Several connections to the database that are asked without waiting.
 */
#ifndef ICO_POOL_H
#define ICO_POOL_H

#include "db.h"

#define POOL_MOST 16
#define ASK_VALUES 4

/*
 * One question.  Its texts are copied; the answer comes to done(), exactly once, maybe
 * before pool_ask() returns: a result, or NULL and why there is none.  The result is
 * cleared afterwards.
 */
typedef void (*AskDone) (void *arg, const PGresult *result, const Failure *failure);

typedef struct Ask
{
	struct Ask *next;
	const char *sql;			/* a constant */
	int			n;
	char	   *values[ASK_VALUES];
	int64_t		deadline;
	AskDone		done;
	void	   *arg;
} Ask;

typedef enum SlotState
{
	SLOT_DOWN,
	SLOT_CONNECTING,
	SLOT_IDLE,
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
} Slot;

typedef struct Pool
{
	Slot		slots[POOL_MOST];
	int			size;
	int			epoll_fd;		/* of the caller */
	Ask		   *first;			/* who waits for a connection */
	Ask		  **last;
	Backoff		backoff;
	int64_t		retry_at;		/* no connection is tried before */
	bool		ever;			/* at least one was made */
	bool		closed;			/* nothing is asked any more */
	int			lasting;		/* exit code of an error that only an administrator mends */
} Pool;

extern void pool_init(Pool *pool, Loop *loop, const char *dbname, int size, int epoll_fd);
extern void pool_ask(Pool *pool, const char *sql, int n, const char *const *values, int64_t limit, AskDone done, void *arg);
extern bool pool_is_free(const Pool *pool);
extern void pool_turn(Pool *pool);
extern int64_t pool_deadline(const Pool *pool);
extern void pool_close(Pool *pool);

#endif							/* ICO_POOL_H */

/*
 * loop.h
 *		The one place where the program waits.
 */
#ifndef ICO_LOOP_H
#define ICO_LOOP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "notify.h"

#define SECOND INT64_C(1000000)
/* a deadline that never comes */
#define NEVER INT64_MAX

/*
 * Work that goes on whatever the program waits for.  wait() is poll() with
 * descriptors of its own added; it sets news when there is something that whoever
 * waits in loop_wait_news() should look at.
 */
typedef struct Company
{
	int			(*wait) (void *arg, struct pollfd *fds, int n, int timeout);
	void	   *arg;
	bool		news;
} Company;

typedef struct Loop
{
	Notify		notify;
	int			stops;			/* how often SIGTERM or SIGINT asked us to stop */
	int			hangups;		/* how often SIGHUP asked us to read our files again */
	int			children;		/* how often one ended, since loop_watch_children() */
	Company    *company;		/* or NULL */
} Loop;

typedef enum Wakeup
{
	WAKE_READY,
	WAKE_TIMEOUT,
	WAKE_STOP,					/* asked to stop, since this wait began */
	WAKE_NEWS,					/* our company has some, SIGHUP came, or a child ended */
} Wakeup;

extern bool loop_init(Loop *loop);
extern void loop_watch_children(Loop *loop);
extern int64_t loop_now(void);
extern Wakeup loop_wait(Loop *loop, int fd, short events, int64_t deadline);
extern Wakeup loop_wait_news(Loop *loop, int fd, short events, int64_t deadline);

#endif							/* ICO_LOOP_H */

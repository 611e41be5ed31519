/*
 * loop.h
 *		The one place where the program waits.
 */
#ifndef ICO_LOOP_H
#define ICO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "notify.h"

#define SECOND INT64_C(1000000)
/* a deadline that never comes */
#define NEVER INT64_MAX

typedef struct Loop
{
	Notify		notify;
	int			stops;			/* how often SIGTERM or SIGINT asked us to stop */
} Loop;

typedef enum Wakeup
{
	WAKE_READY,
	WAKE_TIMEOUT,
	WAKE_STOP,					/* asked to stop, since this wait began */
} Wakeup;

extern bool loop_init(Loop *loop);
extern int64_t loop_now(void);
extern Wakeup loop_wait(Loop *loop, int fd, short events, int64_t deadline);

#endif							/* ICO_LOOP_H */

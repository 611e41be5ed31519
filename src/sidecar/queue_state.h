/*
 * queue_state.h
 *		How many messages wait, for the metrics of send and of serve.
 */
#ifndef ICO_QUEUE_STATE_H
#define ICO_QUEUE_STATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* What waits in the queue; when we last asked. */
typedef struct QueueState
{
	bool		known;
	int64_t		messages[3];	/* queued, sending, dead */
	int64_t		oldest[3];		/* microseconds since it was due; negative: until it is */
	int64_t		at;
	int64_t		took;
} QueueState;

extern const char *const queue_states[3];
extern const char queue_state_sql[];

extern void queue_take_state(QueueState *queue, const PGresult *result, int64_t began);

#endif							/* ICO_QUEUE_STATE_H */

/*
 * traffic.h
 *		What was asked of serve, counted; and how serve does, for who watches it.
 */
#ifndef ICO_TRAFFIC_H
#define ICO_TRAFFIC_H

#include "queue_state.h"
#include "staff.h"

/* Belongs to serve; everything is passed by its pointer. */
typedef struct Traffic
{
	Pool	   *pool;
	Staff	   *staff;
	const Http *http;
	GHashTable *routes;			/* of "METHOD pattern", to their counts */
	QueueState	queue;
	bool		queue_denied;	/* our role may not see it */
	int64_t		queue_asked;	/* when */
	int64_t		scheduler_at;	/* when the scheduler was last asked for */
	bool		scheduler_stands;
	uint64_t	requests;
	uint64_t	aborted;		/* of them */
} Traffic;

extern void traffic_init(Traffic *traffic, Pool *pool, Staff *staff);
extern void traffic_free(Traffic *traffic);
extern void traffic_count(void *arg, const Request *request, int64_t took);
extern void traffic_metrics(Traffic *traffic, Request *request);
extern void traffic_scheduler(Traffic *traffic, Request *request);

#endif							/* ICO_TRAFFIC_H */

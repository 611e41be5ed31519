/*
 * visits.h
 *		Who follows a link: a person, or a program that looks at it first.
 */
#ifndef ICO_VISITS_H
#define ICO_VISITS_H

#include "http.h"
#include "pool.h"

typedef enum VisitKind
{
	VISIT_CLICK,				/* the message was clicked */
	VISIT_OPEN,					/* its picture was fetched */
	VISIT_LOOK,					/* nothing to record, but a link of that message */
} VisitKind;

typedef struct Hit Hit;

typedef struct Visits
{
	Pool	   *pool;
	Hit		   *first;			/* in the order in which they came */
	Hit		  **last;
	int			n;
	int			asked;			/* answers that are still to come */
	int			dropped;
	bool		stopping;
} Visits;

extern void visits_init(Visits *visits, Pool *pool);
extern const char *visit_sign(const Request *request, VisitKind kind);
extern void visits_add(Visits *visits, VisitKind kind, const char *token, const char *link, const char *message_id, const char *sign);
extern void visits_turn(Visits *visits);
extern int64_t visits_deadline(const Visits *visits);
extern void visits_stop(Visits *visits);
extern void visits_free(Visits *visits);

#endif							/* ICO_VISITS_H */

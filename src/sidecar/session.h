/*
 * session.h
 *		Staff who signed in on the admin's pages: cookies.
 */
#ifndef ICO_SESSION_H
#define ICO_SESSION_H

#include <glib.h>

#include "rest.h"

typedef struct Sessions
{
	GHashTable *table;			/* of the digest of a cookie's value */
	unsigned char key[32];		/* of these digests; made anew by each start */
	int64_t		idle_limit;		/* without a request of somebody's hand */
	int64_t		age_limit;
	int64_t		due;			/* nobody's time is over before */
} Sessions;

extern const RestRoute session_routes[];

extern bool sessions_init(Sessions *sessions, int idle_limit, int age_limit);
extern void sessions_turn(Sessions *sessions);
extern int64_t sessions_deadline(const Sessions *sessions);
extern void sessions_free(Sessions *sessions);

extern bool session_is_page(const RestCall *call);
extern bool session_admit(RestCall *call);
extern void session_lost(RestCall *call);
extern bool session_refuse(RestCall *call, const Failure *failure);

#endif							/* ICO_SESSION_H */

/*
 * staff.h
 *		Staff: roles of the database, logged in by HTTP Basic or a session.
 */
#ifndef ICO_STAFF_H
#define ICO_STAFF_H

#include "attempts.h"
#include "rest.h"

typedef struct Login Login;

typedef struct Staff
{
	Loop	   *loop;
	const char *dbname;
	int			epoll_fd;
	int			pool_size;		/* connections of one role */
	int64_t		idle_limit;		/* of a connection, set by serve; no password counts for longer unasked */
	unsigned char key[32];		/* of the digests; made anew by each start */
	Login	   *logins;
	int			n;				/* of them that no session holds */
	Attempts	by_address;
	Attempts	by_role;
	GHashTable *known;			/* "NETWORK ROLE" of logins that succeeded: they do not wait for others' tries */
	uint64_t	failed;			/* since the start, for the metrics */
	uint64_t	limited;
} Staff;

extern bool staff_init(Staff *staff, Loop *loop, const char *dbname, int epoll_fd);
extern void staff_turn(Staff *staff);
extern int64_t staff_deadline(const Staff *staff);
extern void staff_close(Staff *staff);
extern void staff_free(Staff *staff);
extern void staff_connections(const Staff *staff, int *open, int *busy, int *waiting);

extern void staff_admit(RestCall *call);
extern bool staff_refuse(RestCall *call, const Failure *failure);
extern void staff_leave(RestCall *call);

/* for sessions */
extern bool staff_log_in(RestCall *call, const char *role, const char *password);
extern void staff_use(RestCall *call, Login *login);
extern void staff_hold(Login *login);
extern void staff_let_go(Login *login);
extern bool staff_is_good(const Login *login);
extern const char *staff_role(const Login *login);

#endif							/* ICO_STAFF_H */

/*
 * relays.h
 *		Which mail server a shop's mails go to.
 */
#ifndef ICO_RELAYS_H
#define ICO_RELAYS_H

#include <glib.h>

#include "db.h"
#include "smtp.h"

/*
 * Counted: a mail that is on its way keeps the relay that it was given to, also
 * when the file no longer names it.
 */
typedef struct Relay
{
	char	   *shop;			/* NULL: the default one */
	char	   *url;
	char	   *from;			/* or NULL */
	char	   *shown;			/* host:port, for people */
	SmtpServer	server;
	int			strikes;		/* failures in a row */
	int64_t		paused_until;	/* 0: it is not paused */
	Backoff		backoff;
} Relay;

typedef struct Relays
{
	GPtrArray  *list;			/* of Relay; the default one, if there is one, comes first */
} Relays;

extern void relays_init(Relays *relays);
extern bool relays_load(Relays *relays, const char *default_url, const char *file, Failure *failure);
extern void relays_free(Relays *relays);
extern Relay *relays_find(const Relays *relays, const char *shop);
extern int64_t relays_paused_until(const Relays *relays);
extern bool relays_are_all_up(const Relays *relays);
extern bool relays_are_tested(const Relays *relays);
extern Relay *relay_hold(Relay *relay);
extern void relay_release(Relay *relay);

#endif							/* ICO_RELAYS_H */

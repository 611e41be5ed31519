/*
 * outbox.h
 *		Claimed messages: waiting, on their way, and what became of them.
 */
#ifndef ICO_OUTBOX_H
#define ICO_OUTBOX_H

#include <glib.h>

#include "loop.h"
#include "mail.h"
#include "rates.h"
#include "relays.h"
#include "smtp.h"

/* A message that we have claimed, or what is left of it. */
typedef struct Parcel
{
	char	   *id;
	char	   *token;
	char	   *shop;
	char	   *recipient;
	char	   *message;		/* JSON, until the mail is made */
	char	   *domain;
	int64_t		lease_end;		/* by loop_now() */
	Relay	   *relay;			/* held, while it is on its way */
	Mail		mail;
	SmtpMail	smtp;
	const char *verdict;		/* what the database is told: sent, rejected, deferred, back, later */
	int64_t		later;			/* how much, in microseconds */
	char	   *response;
	GList		link;			/* in one of the lists */
} Parcel;

typedef struct OutboxCounts
{
	uint64_t	sent;
	uint64_t	deferred;
	uint64_t	rejected;
	uint64_t	untried;
	int64_t		seconds;		/* microseconds of all mails that reached a server */
	uint64_t	measured;
	uint64_t	faster[8];		/* how many took no longer than outbox_bounds[] */
} OutboxCounts;

extern const double outbox_bounds[8];

/* Others who live in the same loop. */
typedef struct Guest
{
	int64_t		(*turn) (void *arg);	/* called at every turn; returns when it wants to be, at the latest */
	void	   *arg;
	int			fd;				/* readable when it wants to be at once */
	int64_t		at;
} Guest;

#define OUTBOX_GUESTS 2

typedef struct Outbox
{
	Loop	   *loop;
	Smtp	   *smtp;
	Rates		rates;
	Relays		relays;
	MailDefaults defaults;
	const char *save_dir;		/* NULL: they are sent */
	int64_t		reserve;		/* a mail needs so much of its lease to begin */
	bool		verbose;
	bool		stopping;		/* nothing begins any more */
	bool		unheard;		/* the database is away: nothing begins whose end could not be recorded */
	int64_t		last_turn;		/* of those that a rate put off */
	GQueue		waiting;
	GQueue		flying;
	GQueue		settled;		/* the database is to be told */
	OutboxCounts counts;
	Company		company;
	Guest		guests[OUTBOX_GUESTS];
	int			n_guests;
} Outbox;

extern void outbox_init(Outbox *outbox, Loop *loop);
extern void outbox_free(Outbox *outbox);
extern void outbox_invite(Outbox *outbox, int64_t (*turn) (void *arg), void *arg, int fd);
extern void outbox_wake_guests(Outbox *outbox);
extern void outbox_add(Outbox *outbox, const char *const *columns, int64_t lease_end);
extern void outbox_start(Outbox *outbox);
extern void outbox_give_back(Outbox *outbox);
extern void outbox_abort(Outbox *outbox);
extern void parcel_free(Parcel *parcel);

#endif							/* ICO_OUTBOX_H */

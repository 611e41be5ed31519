/*
 * send.h
 *		What the parts of the command send share.
 */
#ifndef ICO_SEND_H
#define ICO_SEND_H

#include "db.h"
#include "options.h"
#include "outbox.h"
#include "mailtext.h"
#include "queue_state.h"
#include "webhooks.h"

typedef struct SendOptions
{
	CommonOptions common;
	const char *smtp_url;
	const char *relays;
	const char *save;
	const char *from;
	const char *base_url;
	const char *netrc_file;
	const char *ca_file;
	int			starttls;
	int			timeout;
	int			connections;
	int			rate;
	int			rate_per_shop;
	int			rate_per_domain;
	int			batch;
	int			lease;
	int			poll;
	int			webhooks;
	int			webhook_connections;
	int			webhook_timeout;
	const char *metrics;
	bool		once;
	bool		dry_run;
	bool		check_config;
} SendOptions;

/* what a statement of ours may take, and what it gets when we are asked to stop */
#define ANSWER_LIMIT (60 * SECOND)
#define STOP_GRACE (5 * SECOND)

/* The program's view of the queue: one connection, and what it has claimed. */
typedef struct Sender
{
	const SendOptions *options;
	Db			db;
	Outbox		outbox;
	QueueState	queue;
	Webhooks   *webhooks;		/* or NULL */
	QueueState	webhook_queue;
	int64_t		next_webhook;	/* not before */
	uint64_t	stale;			/* answers that came too late */
	bool		one_by_one;		/* the last recording failed as a whole */
	int64_t		next_due;		/* when the queue's next message is, as of the last empty claim */
	int64_t		next_claim;		/* not before */
	int64_t		claimed_at;		/* the last claim that brought something */
	int			room;			/* how many to hold at once */
	int			empty;			/* claims in a row that brought nothing */
	int64_t		reconnect_at;	/* not before */
	int64_t		stop_at;		/* when what is on its way is not waited for any more */
	Backoff		backoff;
	int			hangups;		/* those that were heeded */
	uint64_t	told;			/* messages that a line was written of */
} Sender;

/* queue.c */
extern bool queue_connect(Sender *sender, Failure *failure);
extern bool queue_was_notified(Sender *sender);
extern int	queue_claim(Sender *sender, int most, Failure *failure);
extern bool queue_record(Sender *sender, Failure *failure);
extern bool queue_extend(Sender *sender, Failure *failure);
extern int64_t queue_extend_at(const Sender *sender);
extern bool queue_ask_next(Sender *sender, Failure *failure);
extern bool queue_ask_state(Sender *sender, Failure *failure);

/* webhook_queue.c */
extern bool webhook_queue_record(Sender *sender, Failure *failure);
extern bool webhook_queue_claim(Sender *sender, Failure *failure);
extern bool webhook_queue_state(Sender *sender, Failure *failure);

/* check.c */
extern int	send_check(const SendOptions *options, Loop *loop);
extern int	send_dry_run(const SendOptions *options, Loop *loop);

#endif							/* ICO_SEND_H */

/*
 * outbox.c
 *		Claimed messages: waiting, on their way, and what became of them.
 *
 * Knows nothing of the database: send.c puts in what it claimed, and takes out
 * what is to be recorded.  In between everything happens here, also while the
 * database is being waited for (loop.h, Company): connections are served, and one
 * that becomes free gets the next mail.
 *
 * Memory: a Parcel is in exactly one of the three lists, which own it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outbox.h"

/* mails that wait for a rate's next turn; the others wait in the queue */
#define LIMITED_HELD 8

const double outbox_bounds[8] = {0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30};

static int	outbox_wait(void *arg, struct pollfd *fds, int n, int timeout);

void
outbox_init(Outbox *outbox, Loop *loop)
{
	memset(outbox, 0, sizeof(*outbox));
	outbox->loop = loop;
	g_queue_init(&outbox->waiting);
	g_queue_init(&outbox->flying);
	g_queue_init(&outbox->settled);
	relays_init(&outbox->relays);
	outbox->company.wait = outbox_wait;
	outbox->company.arg = outbox;
	loop->company = &outbox->company;
}

void
parcel_free(Parcel *parcel)
{
	g_free(parcel->id);
	g_free(parcel->token);
	g_free(parcel->shop);
	g_free(parcel->recipient);
	g_free(parcel->message);
	g_free(parcel->domain);
	g_free(parcel->response);
	if (parcel->relay != NULL)
		relay_release(parcel->relay);
	mail_free(&parcel->mail);
	g_free(parcel);
}

static void
free_all(GQueue *queue)
{
	for (GList *link = g_queue_pop_head_link(queue); link != NULL; link = g_queue_pop_head_link(queue))
		parcel_free(link->data);
}

void
outbox_free(Outbox *outbox)
{
	outbox->loop->company = NULL;
	smtp_free(outbox->smtp);
	free_all(&outbox->waiting);
	free_all(&outbox->flying);
	free_all(&outbox->settled);
	relays_free(&outbox->relays);
	rates_free(&outbox->rates);
}

/* The columns of claim_messages(): id, token, shop, recipient, message. */
void
outbox_add(Outbox *outbox, const char *const *columns, int64_t lease_end)
{
	Parcel	   *parcel = g_new0(Parcel, 1);
	const char *at = strrchr(columns[3], '@');

	parcel->id = g_strdup(columns[0]);
	parcel->token = g_strdup(columns[1]);
	parcel->shop = g_strdup(columns[2]);
	parcel->recipient = g_strdup(columns[3]);
	parcel->message = g_strdup(columns[4]);
	parcel->domain = g_ascii_strdown(at != NULL ? at + 1 : "", -1);
	parcel->lease_end = lease_end;
	parcel->link.data = parcel;
	g_queue_push_tail_link(&outbox->waiting, &parcel->link);
}

/* It is in no list when this is called; a NULL response says nothing. */
static void
settle(Outbox *outbox, Parcel *parcel, const char *verdict, const char *response)
{
	parcel->verdict = verdict;
	parcel->response = g_strdup(response);
	g_clear_pointer(&parcel->message, g_free);
	g_queue_push_tail_link(&outbox->settled, &parcel->link);
	outbox->company.news = true;
}

/* ---- lines for an operator; never an address, and so no reply as it is ---- */

static void
log_parcel(const Outbox *outbox, const Parcel *parcel, const char *level, const char *event, const char *reason)
{
	LogLine		line;

	log_begin(&line, level, event);
	log_text(&line, "message_id", parcel->id);
	log_text(&line, "shop", parcel->shop);
	if (parcel->smtp.code[0] != '\0')
		log_text(&line, "reply", parcel->smtp.code);
	if (reason != NULL)
		log_text(&line, "reason", reason);
	if (parcel->relay != NULL)
		log_text(&line, "relay", parcel->relay->shown);
	if (parcel->smtp.ended > 0)
		log_seconds(&line, "seconds", parcel->smtp.ended - parcel->smtp.began);
	log_end(&line);
}

static void
refuse(Outbox *outbox, Parcel *parcel, bool for_ever, const char *reason)
{
	log_parcel(outbox, parcel, "warn", for_ever ? "rejected" : "deferred", reason);
	if (for_ever)
		outbox->counts.rejected++;
	else
		outbox->counts.deferred++;
	settle(outbox, parcel, for_ever ? "rejected" : "deferred", reason);
}

/* ---- relays that fail ---- */

static void
pause_relay(Outbox *outbox, Relay *relay, const char *why)
{
	int64_t		pause;
	LogLine		line;

	if (relay->paused_until > loop_now())
		return;
	pause = backoff_next(&relay->backoff);
	relay->paused_until = loop_now() + pause;
	log_begin(&line, "error", "relay_down");
	log_text(&line, "relay", relay->shown);
	log_text(&line, "message", why);
	log_seconds(&line, "retry_in", pause);
	log_end(&line);
}

static void
relay_works(Relay *relay)
{
	LogLine		line;

	if (relay->paused_until != 0)
	{
		log_begin(&line, "info", "relay_up");
		log_text(&line, "relay", relay->shown);
		log_end(&line);
	}
	relay->strikes = 0;
	relay->paused_until = 0;
	relay->backoff.failures = 0;
}

/*
 * The mail was not tried.  A kept connection that the server had closed says
 * nothing of the server: the next one is new.
 */
static void
take_back(Outbox *outbox, Parcel *parcel)
{
	Relay	   *relay = parcel->relay;

	outbox->counts.untried++;
	if (parcel->smtp.fresh)
	{
		relay->strikes++;
		pause_relay(outbox, relay, parcel->smtp.response);
	}
	g_clear_pointer(&parcel->relay, relay_release);
	g_queue_push_head_link(&outbox->waiting, &parcel->link);
	outbox->company.news = true;
}

/* ---- what became of a mail ---- */

static void
measure(Outbox *outbox, const SmtpMail *mail)
{
	outbox->counts.seconds += mail->ended - mail->began;
	outbox->counts.measured++;
	for (size_t i = 0; i < G_N_ELEMENTS(outbox->counts.faster); i++)
	{
		if ((double) (mail->ended - mail->began) / SECOND <= outbox_bounds[i])
			outbox->counts.faster[i]++;
	}
}

/* A reply may quote the address; figures may not.  Without a reply the words are ours. */
static const char *
reason_of(const SmtpMail *mail)
{
	return mail->code[0] != '\0' ? NULL : mail->response;
}

static void
finish(Outbox *outbox, SmtpMail *mail)
{
	Parcel	   *parcel = mail->owner;

	g_queue_unlink(&outbox->flying, &parcel->link);
	if (mail->result == SMTP_UNTRIED)
	{
		take_back(outbox, parcel);
		return;
	}
	measure(outbox, mail);
	if (mail->code[0] != '\0')
		relay_works(parcel->relay);
	switch (mail->result)
	{
		case SMTP_SENT:
			outbox->counts.sent++;
			if (outbox->verbose)
				log_parcel(outbox, parcel, "info", "sent", NULL);
			settle(outbox, parcel, "sent", mail->response);
			break;
		case SMTP_REJECTED:
			outbox->counts.rejected++;
			log_parcel(outbox, parcel, "warn", "rejected", reason_of(mail));
			settle(outbox, parcel, "rejected", mail->response);
			break;
		default:
			outbox->counts.deferred++;
			log_parcel(outbox, parcel, "warn", "deferred", reason_of(mail));
			settle(outbox, parcel, "deferred", mail->response);
			break;
	}
}

/* ---- beginning ---- */

/* Writes the mail beside its name first, so that a file is always a whole mail. */
static void
save(Outbox *outbox, Parcel *parcel)
{
	char	   *name = g_strdup_printf("%s/%s.eml", outbox->save_dir, g_strcanon(parcel->id, "0123456789abcdef-", '-'));
	char	   *draft = g_strdup_printf("%s.part", name);
	int			fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool		done = fd >= 0;
	size_t		written = 0;

	while (done && written < parcel->mail.length)
	{
		ssize_t		n = write(fd, parcel->mail.bytes + written, parcel->mail.length - written);

		done = n > 0;
		written += done ? (size_t) n : 0;
	}
	if (fd >= 0)
		done = close(fd) == 0 && done;
	done = done && rename(draft, name) == 0;
	if (done)
	{
		outbox->counts.sent++;
		if (outbox->verbose)
			log_parcel(outbox, parcel, "info", "sent", NULL);
		settle(outbox, parcel, "sent", "saved as a file");
	}
	else
		refuse(outbox, parcel, false, g_strerror(errno));
	g_free(draft);
	g_free(name);
}

/* false: it is settled, there will be no mail. */
static bool
make_mail(Outbox *outbox, Parcel *parcel, const Relay *relay)
{
	MailDefaults defaults = outbox->defaults;
	MailResult	result;

	if (relay != NULL && relay->from != NULL)
		defaults.relay_from = relay->from;
	if (parcel->mail.bytes != NULL)
		return true;
	result = mail_make(parcel->message, parcel->recipient, &defaults, &parcel->mail);
	if (result == MAIL_MADE)
		return true;
	refuse(outbox, parcel, result == MAIL_UNFIT, parcel->mail.reason);
	return false;
}

static void
begin(Outbox *outbox, Parcel *parcel, Relay *relay)
{
	SmtpMail   *mail = &parcel->smtp;

	rates_take(&outbox->rates, parcel->shop, parcel->domain, loop_now());
	memset(mail, 0, sizeof(*mail));
	mail->server = &relay->server;
	mail->sender = parcel->mail.sender;
	mail->recipient = parcel->mail.recipient;
	mail->bytes = parcel->mail.bytes;
	mail->length = parcel->mail.length;
	mail->owner = parcel;
	parcel->relay = relay_hold(relay);
	if (smtp_start(outbox->smtp, mail))
		g_queue_push_tail_link(&outbox->flying, &parcel->link);
	else
	{
		g_clear_pointer(&parcel->relay, relay_release);
		refuse(outbox, parcel, false, "out of memory");
	}
}

/*
 * It cannot go now, and others can: so that it is not in their way it goes back to
 * the queue, for a time at which it may be its turn.
 */
static void
put_off(Outbox *outbox, Parcel *parcel, int64_t until)
{
	g_queue_unlink(&outbox->waiting, &parcel->link);
	parcel->later = until - loop_now();
	if (parcel->later < SECOND)
		parcel->later = SECOND;
	settle(outbox, parcel, "later", NULL);
}

/* It may go. */
static void
send_one(Outbox *outbox, Parcel *parcel, Relay *relay)
{
	g_queue_unlink(&outbox->waiting, &parcel->link);
	/* It belongs to somebody else soon, or does already. */
	if (parcel->lease_end < loop_now() + outbox->reserve)
	{
		log_parcel(outbox, parcel, "warn", "lease_over", NULL);
		parcel_free(parcel);
	}
	else if (relay == NULL && outbox->save_dir == NULL)
		refuse(outbox, parcel, false, "the shop has no relay, and there is no --smtp-url");
	else if (make_mail(outbox, parcel, relay))
	{
		if (outbox->save_dir != NULL)
			save(outbox, parcel);
		else
			begin(outbox, parcel, relay);
	}
}

/*
 * Sends one, or puts it off, or leaves it waiting.  Returns when it may go; *limited
 * counts those that only have to wait for their turn.
 */
static int64_t
try_one(Outbox *outbox, Parcel *parcel, int *limited)
{
	int64_t		now = loop_now();
	Relay	   *relay = outbox->save_dir == NULL ? relays_find(&outbox->relays, parcel->shop) : NULL;
	int64_t		when = rates_when(&outbox->rates, parcel->shop, parcel->domain);

	if (relay != NULL && relay->paused_until > now)
	{
		if (relays_paused_until(&outbox->relays) <= now)
			put_off(outbox, parcel, relay->paused_until);
		return relay->paused_until;
	}
	if (when <= now)
		send_one(outbox, parcel, relay);
	else if (rates_are_single(&outbox->rates) && ++*limited > LIMITED_HELD)
	{
		outbox->last_turn = rates_reserve(&outbox->rates, parcel->shop, parcel->domain, now);
		put_off(outbox, parcel, outbox->last_turn);
	}
	return when;
}

/* Gives the free connections what may go.  Returns when the next one may. */
static int64_t
start_some(Outbox *outbox)
{
	int64_t		next = NEVER;
	GList	   *link = outbox->waiting.head;
	int			limited = 0;

	while (link != NULL && !outbox->stopping && !outbox->unheard && outbox->loop->stops == 0 && smtp_has_room(outbox->smtp))
	{
		GList	   *following = link->next;
		int64_t		when = try_one(outbox, link->data, &limited);

		if (when > loop_now() && when < next)
			next = when;
		link = following;
	}
	return smtp_has_room(outbox->smtp) ? next : NEVER;
}

void
outbox_start(Outbox *outbox)
{
	(void) start_some(outbox);
}

/* From now on it is called at every turn. */
void
outbox_invite(Outbox *outbox, int64_t (*turn) (void *arg), void *arg, int fd)
{
	outbox->guests[outbox->n_guests++] = (Guest) {turn, arg, fd, 0};
}

/* Something was given to them: they want to be called at once. */
void
outbox_wake_guests(Outbox *outbox)
{
	for (int i = 0; i < outbox->n_guests; i++)
		outbox->guests[i].at = 0;
}

/* poll() of the loop, and of ours. */
static int
outbox_wait(void *arg, struct pollfd *fds, int n, int timeout)
{
	Outbox	   *outbox = arg;
	bool		had_news = outbox->company.news;
	int64_t		next = start_some(outbox);
	int64_t		pause;
	struct pollfd all[2 + OUTBOX_GUESTS];
	SmtpMail   *mail;
	int			ready;

	for (int i = 0; i < outbox->n_guests; i++)
	{
		if (outbox->guests[i].at < next)
			next = outbox->guests[i].at;
	}
	pause = next == NEVER ? NEVER : (next - loop_now() + 999) / 1000;
	if (pause != NEVER && (timeout < 0 || pause < timeout))
		timeout = pause > 0 ? (int) pause : 0;
	/* What was settled without being sent is not to wait for what comes next. */
	if (outbox->company.news && !had_news)
		timeout = 0;
	memcpy(all, fds, (size_t) n * sizeof(fds[0]));
	for (int i = 0; i < outbox->n_guests; i++)
		all[n + i] = (struct pollfd) {outbox->guests[i].fd, POLLIN, 0};
	ready = smtp_poll(outbox->smtp, all, n + outbox->n_guests, timeout);
	memcpy(fds, all, (size_t) n * sizeof(fds[0]));
	while ((mail = smtp_next(outbox->smtp)) != NULL)
		finish(outbox, mail);
	(void) start_some(outbox);
	for (int i = 0; i < outbox->n_guests; i++)
		outbox->guests[i].at = outbox->guests[i].turn(outbox->guests[i].arg);
	return ready;
}

/* ---- ending ---- */

/* What has not begun is for others, at once. */
void
outbox_give_back(Outbox *outbox)
{
	for (GList *link = g_queue_pop_head_link(&outbox->waiting); link != NULL; link = g_queue_pop_head_link(&outbox->waiting))
		settle(outbox, link->data, "back", NULL);
}

/* What is on its way is not waited for any more. */
void
outbox_abort(Outbox *outbox)
{
	SmtpMail   *mail;

	while ((mail = smtp_abort_one(outbox->smtp)) != NULL)
	{
		Parcel	   *parcel = mail->owner;

		g_queue_unlink(&outbox->flying, &parcel->link);
		if (mail->result == SMTP_UNTRIED)
			settle(outbox, parcel, "back", NULL);
		else
			refuse(outbox, parcel, false, mail->response);
	}
}

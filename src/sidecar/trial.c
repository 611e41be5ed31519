/*
 * trial.c
 *		Messages that staff send to themselves, to see them.
 *
 * The database makes the message that a sender would get, the mail is made of it as
 * every other one is and goes to the shop's mail server at once; the answer to the
 * request is what that server said.  Nothing is queued, written or counted, and its
 * links lead nowhere.
 *
 * Mails fly beside everything else that the loop waits for (Company), a few at a time.
 *
 * Memory: a Flight lives from its start until its request is answered, in the list
 * of those that are in the air.  The request waits meanwhile, so its call stays.
 */
#include <glib.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "mail.h"
#include "problem.h"
#include "relays.h"
#include "trial.h"

#define RETRY_AFTER 5

typedef struct Flight
{
	RestCall   *call;
	Mail		mail;
	SmtpMail	sending;
} Flight;

struct Trials
{
	Loop	   *loop;
	Company		company;
	Smtp	   *smtp;
	Relays		relays;
	const char *from;
	const char *base_url;
	int			flying;
};

/* The loop's poll(); there are news when a mail has landed. */
static int
wait_for_mails(void *arg, struct pollfd *fds, int n, int timeout)
{
	Trials	   *trials = arg;
	int			ready = smtp_poll(trials->smtp, fds, n, timeout);

	/* What has landed is asked for by trials_turn(): it may be more than one. */
	trials->company.news = true;
	return ready;
}

Trials *
trials_new(const TrialSettings *settings, Loop *loop, Failure *failure)
{
	Trials	   *trials;

	if (settings->smtp_url == NULL && settings->relays == NULL)
		return NULL;
	trials = calloc(1, sizeof(*trials));
	if (trials == NULL || !mail_init())
	{
		free(trials);
		failure_set(failure, EX_OSERR, "out of memory");
		return NULL;
	}
	trials->loop = loop;
	trials->from = settings->from;
	trials->base_url = settings->base_url;
	trials->company.wait = wait_for_mails;
	trials->company.arg = trials;
	relays_init(&trials->relays);
	trials->smtp = smtp_new(&settings->smtp);
	if (trials->smtp == NULL)
		failure_set(failure, EX_OSERR, "out of memory");
	else if (relays_load(&trials->relays, settings->smtp_url, settings->relays, failure))
		return trials;
	trials_free(trials);
	return NULL;
}

static void
free_flight(Flight *flight)
{
	mail_free(&flight->mail);
	free(flight);
}

/* Answers with what became of the mail. */
static void
land(Trials *trials, Flight *flight)
{
	static const char *const became[] = {"sent", "rejected", "deferred", "untried"};
	const SmtpMail *sending = &flight->sending;

	rest_answer(flight->call, HTTP_OK, json_pack("{ss ss ss*}", "recipient", sending->recipient, "result", became[sending->result],
												 "response", sending->response[0] != '\0' ? sending->response : NULL));
	free_flight(flight);
	if (--trials->flying == 0)
		trials->loop->company = NULL;
}

void
trials_turn(Trials *trials)
{
	SmtpMail   *landed;

	if (trials == NULL || trials->flying == 0)
		return;
	trials->company.news = false;
	while ((landed = smtp_next(trials->smtp)) != NULL)
		land(trials, landed->owner);
}

void
trials_close(Trials *trials)
{
	while (trials != NULL && trials->flying > 0)
	{
		SmtpMail   *landed = smtp_next(trials->smtp);

		if (landed == NULL)
			landed = smtp_abort_one(trials->smtp);
		if (landed == NULL)
			break;
		land(trials, landed->owner);
	}
}

void
trials_free(Trials *trials)
{
	if (trials == NULL)
		return;
	if (trials->smtp != NULL)
		smtp_free(trials->smtp);
	relays_free(&trials->relays);
	free(trials);
}

/* Always false: why there is no mail. */
static bool
refuse(RestCall *call, int status, const char *detail, int retry_after)
{
	problem_answer(call->request, &(Problem) {.status = status,.detail = detail,.retry_after = retry_after});
	return false;
}

static bool
make(Trials *trials, Flight *flight, const char *object, const char *recipient, const Relay *relay)
{
	const MailDefaults defaults = {.from = trials->from,.relay_from = relay->from,.base_url = trials->base_url};
	MailResult	made = mail_make(object, recipient, &defaults, &flight->mail);

	if (made == MAIL_MADE)
		return true;
	return refuse(flight->call, made == MAIL_UNFIT ? HTTP_UNPROCESSABLE : HTTP_CONFLICT, flight->mail.reason, 0);
}

static bool
fly(Trials *trials, Flight *flight, const Relay *relay)
{
	flight->sending = (SmtpMail) {
		.server = &relay->server,.sender = flight->mail.sender,.recipient = flight->mail.recipient,
			.bytes = flight->mail.bytes,.length = flight->mail.length,.owner = flight
	};
	if (!smtp_start(trials->smtp, &flight->sending))
		return refuse(flight->call, HTTP_UNAVAILABLE, "The program is out of memory.", RETRY_AFTER);
	trials->flying++;
	trials->loop->company = &trials->company;
	return true;
}

void
trial_take(RestCall *call, const PGresult *row)
{
	Trials	   *trials = call->rest->trials;
	const char *object = PQgetvalue(row, 0, PQfnumber(row, "object"));
	const Relay *relay = trials != NULL ? relays_find(&trials->relays, PQgetvalue(row, 0, PQfnumber(row, "shop"))) : NULL;
	Flight	   *flight;

	if (relay == NULL)
	{
		(void) refuse(call, HTTP_CONFLICT, "There is no mail server for this shop: serve has --smtp-url and --relays.", 0);
		return;
	}
	if (!smtp_has_room(trials->smtp))
	{
		(void) refuse(call, HTTP_UNAVAILABLE, "Other messages are on their way.", RETRY_AFTER);
		return;
	}
	flight = calloc(1, sizeof(*flight));
	if (flight == NULL)
	{
		(void) refuse(call, HTTP_UNAVAILABLE, "The program is out of memory.", RETRY_AFTER);
		return;
	}
	flight->call = call;
	if (!make(trials, flight, object, PQgetvalue(row, 0, PQfnumber(row, "recipient")), relay) || !fly(trials, flight, relay))
		free_flight(flight);
}

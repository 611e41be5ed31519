/*
 * preview.c
 *		incomplete-orders preview-mail and test-mail: one mail, to look at.
 *
 * The database makes the object that a claim would give, of an order or of a
 * sample, and the mail is made of it as every other one is.  Nothing is queued or
 * written.  The links are signed and lead nowhere: whoever tries a mail cannot
 * unsubscribe a customer by it.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "db.h"
#include "mail.h"
#include "mailtext.h"
#include "relays.h"
#include "smtp.h"

/* what the database may take for its answer, and a mail that is on its way once we were asked to stop */
#define ANSWER_LIMIT (60 * SECOND)
#define FLIGHT_GRACE (10 * SECOND)

#define PREVIEW_FORMATS "text|html|eml"
typedef enum PreviewFormat
{
	PREVIEW_TEXT,
	PREVIEW_HTML,
	PREVIEW_EML,
} PreviewFormat;

typedef struct PreviewOptions
{
	CommonOptions common;
	const char *template;
	const char *locale;
	const char *order;
	const char *shop;
	const char *to;
	const char *from;
	const char *base_url;
	int			format;
	const char *smtp_url;
	const char *relays;
	int			starttls;
	const char *ca_file;
	const char *netrc_file;
	int			timeout;
} PreviewOptions;

/* The options that say which mail. */
#define WHICH_OPTIONS \
	{"template", 0, OPTION_TEXT, offsetof(PreviewOptions, template), "NAME", "cart_abandoned", 0, 0, \
	"the text, as in list_templates()"}, \
	{"locale", 0, OPTION_TEXT, offsetof(PreviewOptions, locale), "TAG", NULL, 0, 0, \
	"language of the reader, as in de-AT; else that of the order"}, \
	{"order", 0, OPTION_TEXT, offsetof(PreviewOptions, order), "ID", "sample", 0, 0, \
	"an open order, or sample for one that is made up"}, \
	{"shop", 0, OPTION_TEXT, offsetof(PreviewOptions, shop), "SHOP", NULL, 0, 0, \
	"the shop; without it the only one, else \"default\""}

static const OptionDef preview_options[] = {
	WHICH_OPTIONS,
	{"format", 0, OPTION_CHOICE, offsetof(PreviewOptions, format), PREVIEW_FORMATS, "text", 0, 0,
	"what is printed: one of its two texts, or all of it"},
	{NULL}
};

static const OptionDef test_options[] = {
	{"to", 0, OPTION_TEXT, offsetof(PreviewOptions, to), "ADDRESS", NULL, 0, 0,
	"who gets it"},
	WHICH_OPTIONS,
	{"smtp-url", 0, OPTION_TEXT, offsetof(PreviewOptions, smtp_url), "URL", NULL, 0, 0,
	"mail server: smtp://host:port or smtps://host:port"},
	{"relays", 0, OPTION_TEXT, offsetof(PreviewOptions, relays), "FILE", NULL, 0, 0,
	"mail servers of single shops, as for send"},
	{"from", 0, OPTION_TEXT, offsetof(PreviewOptions, from), "ADDRESS", NULL, 0, 0,
	"sender if the shop has no from_email"},
	{"base-url", 0, OPTION_TEXT, offsetof(PreviewOptions, base_url), "URL", NULL, 0, 0,
	"where the links lead if the shop has no base_url"},
	{"starttls", 0, OPTION_CHOICE, offsetof(PreviewOptions, starttls), STARTTLS, "try", 0, 0,
	"encrypt; require also checks the certificate"},
	{"ca-file", 0, OPTION_TEXT, offsetof(PreviewOptions, ca_file), "FILE", NULL, 0, 0,
	"certificates to trust, instead of the system's"},
	{"netrc-file", 0, OPTION_TEXT, offsetof(PreviewOptions, netrc_file), "FILE", NULL, 0, 0,
	"users and passwords; else SMTP_USER, SMTP_PASSWORD"},
	{"timeout", 0, OPTION_SPAN, offsetof(PreviewOptions, timeout), "TIME", "60s", 5, 600,
	"what the mail may take"},
	{NULL}
};

/* The object, and the key of its shop; NULL: failure says why. */
static PGresult *
ask(const PreviewOptions *options, Loop *loop, Failure *failure)
{
	const char *order = strcmp(options->order, "sample") == 0 ? NULL : options->order;
	const char *values[] = {options->template, options->locale, order, options->shop};
	const Statement statement = {
		"SELECT p.object, p.object OPERATOR(pg_catalog.#>>) '{shop,shop}' FROM incomplete_orders.preview_message("
		"$1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.uuid, $4::pg_catalog.text) p(object)",
		4, values, ANSWER_LIMIT, 0
	};
	PGresult   *result = NULL;
	Db			db;

	db_init(&db, loop, options->common.dbname);
	if (db_connect(&db, failure))
		result = db_query(&db, &statement, failure);
	db_close(&db);
	/* no such order, or one that is closed */
	if (strcmp(failure->sqlstate, "IC003") == 0 || strcmp(failure->sqlstate, "IC015") == 0)
		failure->code = EX_DATAERR;
	return result;
}

/* "sample", or the id of an order as the database writes it. */
static bool
is_order(const char *order)
{
	return strcmp(order, "sample") == 0 ||
		(strlen(order) == 36 && strspn(order, "0123456789abcdefABCDEF-") == 36);
}

static int
fail(const Command *command, Failure *failure)
{
	int			code = failure->code;

	failure_print(failure, command->name);
	failure_clear(failure);
	return code;
}

/* false: there is no mail, and failure says why. */
static bool
make(const PGresult *result, const char *to, const MailDefaults *defaults, Mail *mail, Failure *failure)
{
	MailResult	made;

	memset(mail, 0, sizeof(*mail));
	if (!mail_init())
	{
		failure_set(failure, EX_OSERR, "out of memory");
		return false;
	}
	made = mail_make(PQgetvalue(result, 0, 0), to, defaults, mail);
	if (made != MAIL_MADE)
		failure_set(failure, made == MAIL_UNFIT ? EX_DATAERR : EX_CONFIG, "%s", mail->reason);
	return made == MAIL_MADE;
}

/* ---- preview-mail ---- */

static void
print_mail(const Mail *mail, int format)
{
	if (format == PREVIEW_HTML)
		fputs(mail->html, stdout);
	else if (format == PREVIEW_EML)
		fwrite(mail->bytes, 1, mail->length, stdout);
	else
		printf("Subject: %s\n\n%s", mail->subject, mail->text);
}

/* A shop that is not set up yet can be looked at, too. */
static int
run_preview(const void *arg, Loop *loop)
{
	const PreviewOptions *options = arg;
	const MailDefaults defaults = {.from = "shop@shop.example", .base_url = "https://shop.example"};
	Failure		failure = {0};
	PGresult   *result;
	Mail		mail = {0};
	int			code = EX_OK;

	if (!is_order(options->order))
	{
		usage_error(&preview_mail_command, "--order is the id of an order, or sample");
		return EX_USAGE;
	}
	result = ask(options, loop, &failure);
	if (result != NULL && make(result, "jane@example.com", &defaults, &mail, &failure))
		print_mail(&mail, options->format);
	else
		code = fail(&preview_mail_command, &failure);
	mail_free(&mail);
	PQclear(result);
	return code;
}

const Command preview_mail_command = {
	"preview-mail", "prints a recovery message as it would be sent", preview_options, sizeof(PreviewOptions), run_preview
};

/* ---- test-mail ---- */

typedef struct Flight
{
	Smtp	   *smtp;
	Company		company;
	SmtpMail   *landed;			/* or NULL */
} Flight;

static int
flight_wait(void *arg, struct pollfd *fds, int n, int timeout)
{
	Flight	   *flight = arg;
	int			ready = smtp_poll(flight->smtp, fds, n, timeout);

	if (flight->landed == NULL)
		flight->landed = smtp_next(flight->smtp);
	flight->company.news = flight->landed != NULL;
	return ready;
}

/* Waits until something became of the mail. */
static void
fly(Flight *flight, Loop *loop)
{
	int64_t		until = NEVER;

	flight->company.wait = flight_wait;
	flight->company.arg = flight;
	loop->company = &flight->company;
	while (flight->landed == NULL)
	{
		if (loop->stops > 0 && until == NEVER)
			until = loop_now() + FLIGHT_GRACE;
		if (loop->stops > 1 || loop_now() >= until)
			flight->landed = smtp_abort_one(flight->smtp);
		else
			(void) loop_wait_news(loop, -1, 0, until);
	}
	loop->company = NULL;
}

static int
tell(const SmtpMail *mail, const Relay *relay)
{
	static const char *const became[] = {"was sent", "was rejected", "was deferred", "was not sent"};
	static const int codes[] = {EX_OK, EX_DATAERR, EX_TEMPFAIL, EX_UNAVAILABLE};

	printf("The mail to %s %s by %s: %s\n", mail->recipient, became[mail->result], relay->shown, mail->response);
	return codes[mail->result];
}

static int
send_mail(const PreviewOptions *options, Loop *loop, const Mail *mail, const Relay *relay, Failure *failure)
{
	const SmtpSettings settings = {1, options->starttls, options->ca_file, options->netrc_file, options->timeout};
	Flight		flight = {.smtp = smtp_new(&settings)};
	SmtpMail	sending = {
		.server = &relay->server, .sender = mail->sender, .recipient = mail->recipient, .bytes = mail->bytes, .length = mail->length
	};
	int			code = EX_OSERR;

	if (flight.smtp != NULL && smtp_start(flight.smtp, &sending))
	{
		fly(&flight, loop);
		code = tell(flight.landed, relay);
	}
	else
		failure_set(failure, EX_OSERR, "out of memory");
	if (flight.smtp != NULL)
		smtp_free(flight.smtp);
	return code;
}

/* The mail of a shop goes as all its mails go. */
static int
make_and_send(const PreviewOptions *options, Loop *loop, const PGresult *result, const Relays *relays, Failure *failure)
{
	const Relay *relay = relays_find(relays, PQgetvalue(result, 0, 1));
	MailDefaults defaults = {.from = options->from, .base_url = options->base_url};
	Mail		mail = {0};
	int			code = EX_CONFIG;

	if (relay == NULL)
		failure_set(failure, EX_CONFIG, "shop %s has no mail server in --relays, and there is no --smtp-url", PQgetvalue(result, 0, 1));
	else
	{
		defaults.relay_from = relay->from;
		if (make(result, options->to, &defaults, &mail, failure))
			code = send_mail(options, loop, &mail, relay, failure);
	}
	mail_free(&mail);
	return code;
}

static const char *
setting_problem(const PreviewOptions *options, const char **option)
{
	const char *why;
	char	   *address;

	*option = "to";
	if (options->to == NULL)
		return "says who gets the mail";
	address = text_address(options->to, &why);
	g_free(address);
	if (address == NULL)
		return why;
	*option = "order";
	if (!is_order(options->order))
		return "is the id of an order, or sample";
	*option = "smtp-url";
	if (options->smtp_url != NULL && (why = smtp_url_problem(options->smtp_url)) != NULL)
		return why;
	if (options->smtp_url == NULL && options->relays == NULL)
		return "or --relays says where mails go";
	*option = "base-url";
	if (options->base_url != NULL && !text_is_url(options->base_url))
		return "begins with http:// or https://";
	return NULL;
}

static int
run_test(const void *arg, Loop *loop)
{
	const PreviewOptions *options = arg;
	const char *option;
	const char *problem = setting_problem(options, &option);
	Failure		failure = {0};
	PGresult   *result = NULL;
	Relays		relays;
	int			code = EX_OK;

	if (problem != NULL)
	{
		usage_error(&test_mail_command, "--%s %s", option, problem);
		return EX_USAGE;
	}
	relays_init(&relays);
	if (relays_load(&relays, options->smtp_url, options->relays, &failure))
		result = ask(options, loop, &failure);
	if (result != NULL)
		code = make_and_send(options, loop, result, &relays, &failure);
	if (failure.message != NULL)
		code = fail(&test_mail_command, &failure);
	PQclear(result);
	relays_free(&relays);
	return code;
}

const Command test_mail_command = {
	"test-mail", "sends one recovery message to an address of yours", test_options, sizeof(PreviewOptions), run_test
};

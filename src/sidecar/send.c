/*
 * send.c
 *		incomplete-orders send: claims messages, sends them, says what became of them.
 *
 * One loop.  While it waits for the database, mails move on (outbox.c); while it
 * waits for mails, it hears notifications.  A notification is a hint: without any
 * the queue is asked every --poll seconds, and when its next message falls due.
 *
 * It holds little: about as much as it can send in two seconds, so that a message
 * which is claimed is sent at once, or given back.  Asked to stop, it finishes the
 * mails that are on their way and gives back the rest.
 *
 * Nobody's mail is lost when it is killed: what it had claimed is due again when
 * its lease ends.  A mail that the server had taken and that was not recorded is
 * then sent once more, with the same Message-ID.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "commands.h"
#include "metrics.h"
#include "send.h"

/* what mails that are on their way get when we are asked to stop */
#define FLIGHT_GRACE (10 * SECOND)
/* before a message that is due and locked is asked for again, and before the queue is counted again */
#define EMPTY_PAUSE SECOND
#define STATE_PAUSE (5 * SECOND)

static const OptionDef send_options[] = {
	{"smtp-url", 0, OPTION_TEXT, offsetof(SendOptions, smtp_url), "URL", NULL, 0, 0,
	"mail server: smtp://host:port or smtps://host:port"},
	{"relays", 0, OPTION_TEXT, offsetof(SendOptions, relays), "FILE", NULL, 0, 0,
	"mail servers of single shops: lines of SHOP URL [FROM]"},
	{"save", 0, OPTION_TEXT, offsetof(SendOptions, save), "DIR", NULL, 0, 0,
	"write each mail into a file there, instead of sending it"},
	{"from", 0, OPTION_TEXT, offsetof(SendOptions, from), "ADDRESS", NULL, 0, 0,
	"sender for shops that have no from_email"},
	{"base-url", 0, OPTION_TEXT, offsetof(SendOptions, base_url), "URL", NULL, 0, 0,
	"where the links lead for shops that have no base_url"},
	{"starttls", 0, OPTION_CHOICE, offsetof(SendOptions, starttls), STARTTLS, "try", 0, 0,
	"encrypt; require also checks the certificate"},
	{"ca-file", 0, OPTION_TEXT, offsetof(SendOptions, ca_file), "FILE", NULL, 0, 0,
	"certificates to trust, instead of the system's"},
	{"netrc-file", 0, OPTION_TEXT, offsetof(SendOptions, netrc_file), "FILE", NULL, 0, 0,
	"users and passwords; else SMTP_USER, SMTP_PASSWORD"},
	{"connections", 0, OPTION_NUMBER, offsetof(SendOptions, connections), "N", "8", 1, SMTP_CONNECTIONS,
	"how many at once"},
	{"rate", 0, OPTION_NUMBER, offsetof(SendOptions, rate), "N", NULL, 1, 100000,
	"no more mails than that in a second"},
	{"rate-per-shop", 0, OPTION_NUMBER, offsetof(SendOptions, rate_per_shop), "N", NULL, 1, 100000,
	"the same for each shop"},
	{"rate-per-domain", 0, OPTION_NUMBER, offsetof(SendOptions, rate_per_domain), "N", NULL, 1, 100000,
	"the same for each domain of recipients"},
	{"timeout", 0, OPTION_SPAN, offsetof(SendOptions, timeout), "TIME", "120s", 5, 600,
	"what one mail may take"},
	{"batch", 0, OPTION_NUMBER, offsetof(SendOptions, batch), "N", "100", 1, 1000,
	"claim no more at once"},
	{"lease", 0, OPTION_SPAN, offsetof(SendOptions, lease), "TIME", "5m", 10, 3600,
	"for how long; at least twice the timeout"},
	{"poll", 0, OPTION_SPAN, offsetof(SendOptions, poll), "TIME", "30s", 1, 3600,
	"ask the queue that often, whatever one hears"},
	{"webhooks", 0, OPTION_CHOICE, offsetof(SendOptions, webhooks), WEBHOOKS, "public", 0, 0,
	"where shops' webhooks may be"},
	{"webhook-connections", 0, OPTION_NUMBER, offsetof(SendOptions, webhook_connections), "N", "8", 1, 64,
	"how many at once"},
	{"webhook-timeout", 0, OPTION_SPAN, offsetof(SendOptions, webhook_timeout), "TIME", "15s", 1, 60,
	"what one may take"},
	{"once", 0, OPTION_FLAG, offsetof(SendOptions, once), NULL, NULL, 0, 0,
	"send everything that is due, and leave"},
	{"dry-run", 0, OPTION_FLAG, offsetof(SendOptions, dry_run), NULL, NULL, 0, 0,
	"show what waits; claim and send nothing"},
	{"check-config", 0, OPTION_FLAG, offsetof(SendOptions, check_config), NULL, NULL, 0, 0,
	"check database, rights, mail servers and shops, and leave"},
	{"metrics", 0, OPTION_TEXT, offsetof(SendOptions, metrics), "HOST:PORT", NULL, 0, 0,
	"answer Prometheus there, e.g. on 127.0.0.1:9188"},
	{NULL}
};

static const char *
setting_problem(const SendOptions *options, const char **option)
{
	const char *why;
	char	   *address;
	struct stat info;

	*option = "smtp-url";
	if (options->smtp_url != NULL && (why = smtp_url_problem(options->smtp_url)) != NULL)
		return why;
	if (options->save == NULL && options->smtp_url == NULL && options->relays == NULL && !options->dry_run)
		return "or --relays says where mails go";
	*option = "from";
	if (options->from != NULL)
	{
		address = text_address(options->from, &why);
		g_free(address);
		if (address == NULL)
			return why;
	}
	*option = "base-url";
	if (options->base_url != NULL && !text_is_url(options->base_url))
		return "begins with http:// or https://";
	*option = "lease";
	if (options->lease < 2 * options->timeout)
		return "is at least twice the --timeout: a mail that is on its way must not be claimed again";
	*option = "save";
	if (options->save != NULL && (stat(options->save, &info) != 0 || !S_ISDIR(info.st_mode)))
		return "names a folder that is there";
	return NULL;
}

/* ---- lines for an operator ---- */

static void
log_count(LogLine *line, const char *key, uint64_t n)
{
	char		figures[24];

	snprintf(figures, sizeof(figures), "%llu", (unsigned long long) n);
	log_text(line, key, figures);
}

static void
log_counts(const Sender *sender, const char *event)
{
	const OutboxCounts *counts = &sender->outbox.counts;
	LogLine		line;

	log_begin(&line, "info", event);
	log_text(&line, "version", ICO_VERSION);
	log_count(&line, "sent", counts->sent);
	log_count(&line, "deferred", counts->deferred);
	log_count(&line, "rejected", counts->rejected);
	log_count(&line, "stale", sender->stale);
	log_end(&line);
}

/* After a claim that brought nothing, if something was sent since the last such line. */
static void
log_progress(Sender *sender)
{
	OutboxCounts *counts = &sender->outbox.counts;
	uint64_t	done = counts->sent + counts->deferred + counts->rejected;

	if (done != sender->told)
		log_counts(sender, "drained");
	sender->told = done;
	notify_status(&sender->db.loop->notify, "Sent %llu, deferred %llu, rejected %llu.", (unsigned long long) counts->sent,
				  (unsigned long long) counts->deferred, (unsigned long long) counts->rejected);
}

/* ---- when ---- */

static int
held(const Sender *sender)
{
	return (int) sender->outbox.waiting.length + smtp_in_flight(sender->outbox.smtp);
}

/*
 * As much as two seconds' work, by what the last ones took; while no mail server
 * is known to work, one.
 */
static int
wanted(Sender *sender)
{
	const SendOptions *options = sender->options;
	int			room = sender->room;

	if (options->save == NULL && !relays_are_tested(&sender->outbox.relays))
		room = 1;
	if (options->rate > 0 && room > 2 * options->rate)
		room = 2 * options->rate;
	if (room > options->batch)
		room = options->batch;
	/* Not for single ones while there is enough to do. */
	return held(sender) * 2 <= room ? room - held(sender) : 0;
}

static void
adapt_room(Sender *sender, int claimed)
{
	int64_t		now = loop_now();
	int			least = 2 * sender->options->connections;

	if (claimed > 0 && sender->claimed_at > 0)
	{
		if (now - sender->claimed_at < SECOND)
			sender->room *= 2;
		else if (now - sender->claimed_at > 2 * SECOND)
			sender->room /= 2;
	}
	sender->claimed_at = claimed > 0 ? now : 0;
	if (sender->room > sender->options->batch)
		sender->room = sender->options->batch;
	if (sender->room < least)
		sender->room = least;
}

/* A claim brought nothing: when is the next one due? */
static int64_t
next_claim(const Sender *sender)
{
	int64_t		now = loop_now();
	int64_t		next = now + sender->options->poll * SECOND;
	/* What is due and was not given to us is locked: soon, but not at once, and then less often. */
	int64_t		soon = now + (EMPTY_PAUSE << (sender->empty < 5 ? sender->empty : 5));
	int64_t		due = sender->next_due > soon ? sender->next_due : sender->next_due <= now ? soon : sender->next_due;

	return due < next ? due : next;
}

/* ---- one turn ---- */

/* For the metrics; not so often where counting takes long. */
static bool
ask_state(Sender *sender, Failure *failure)
{
	int64_t		pause = 20 * sender->queue.took > STATE_PAUSE ? 20 * sender->queue.took : STATE_PAUSE;

	if (sender->options->metrics == NULL || sender->options->once || (sender->queue.known && loop_now() < sender->queue.at + pause))
		return true;
	return queue_ask_state(sender, failure) && webhook_queue_state(sender, failure);
}

static bool
claim(Sender *sender, Failure *failure)
{
	int			most = wanted(sender);
	int			claimed;

	if (most <= 0)
		return true;
	claimed = queue_claim(sender, most, failure);
	if (claimed < 0)
		return false;
	adapt_room(sender, claimed);
	if (claimed > 0)
	{
		sender->empty = 0;
		return true;
	}
	if (!queue_ask_next(sender, failure))
		return false;
	sender->next_claim = next_claim(sender);
	sender->empty++;
	return true;
}

/* All mail servers are away: nobody has anything from our holding messages. */
static int64_t
pause_for_relays(Sender *sender)
{
	int64_t		until = sender->options->save != NULL ? 0 : relays_paused_until(&sender->outbox.relays);

	if (until <= loop_now())
		return 0;
	outbox_give_back(&sender->outbox);
	return until;
}

/* What there is to do with the database; false: it failed. */
static bool
work(Sender *sender, Failure *failure)
{
	int64_t		paused;

	if (queue_was_notified(sender))
	{
		sender->next_claim = 0;
		sender->next_webhook = 0;
		sender->empty = 0;
	}
	outbox_start(&sender->outbox);
	paused = pause_for_relays(sender);
	if (!queue_record(sender, failure) || !webhook_queue_record(sender, failure))
		return false;
	if (!sender->outbox.stopping && !webhook_queue_claim(sender, failure))
		return false;
	if (queue_extend_at(sender) <= loop_now() && !queue_extend(sender, failure))
		return false;
	if (!ask_state(sender, failure))
		return false;
	if (paused > 0)
	{
		sender->next_claim = paused;
		return true;
	}
	if (!sender->outbox.stopping && sender->next_claim <= loop_now())
		return claim(sender, failure);
	return true;
}

static void
reload(Sender *sender)
{
	Failure		failure = {0};
	LogLine		line;

	if (sender->hangups == sender->db.loop->hangups)
		return;
	sender->hangups = sender->db.loop->hangups;
	if (relays_load(&sender->outbox.relays, sender->options->smtp_url, sender->options->relays, &failure))
	{
		log_begin(&line, "info", "reload");
		log_count(&line, "relays", sender->outbox.relays.list->len);
		log_end(&line);
	}
	else
		log_trouble(&failure, "reload", 0);
	failure_clear(&failure);
}

static int64_t
earliest(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
log_lost(void)
{
	LogLine		line;

	log_begin(&line, "warn", "lost");
	log_text(&line, "message", "the connection to the database ended");
	log_end(&line);
}

/* Waits for whatever comes next. */
static void
rest(Sender *sender)
{
	Db		   *db = &sender->db;
	int			fd = db->conn != NULL ? PQsocket(db->conn) : -1;
	int64_t		until = earliest(sender->stop_at, db->conn != NULL ? queue_extend_at(sender) : sender->reconnect_at);

	if (db->conn != NULL && !sender->outbox.stopping && wanted(sender) > 0)
		until = earliest(until, sender->next_claim);
	if (db->conn != NULL && !sender->outbox.stopping && sender->webhooks != NULL && webhooks_room(sender->webhooks) > 0)
		until = earliest(until, sender->next_webhook);
	if (db->conn != NULL && sender->options->metrics != NULL)
		until = earliest(until, loop_now() + STATE_PAUSE);
	if (sender->outbox.settled.length > 0 && db->conn != NULL)
		return;
	if (sender->webhooks != NULL && webhooks_settled(sender->webhooks)->length > 0 && db->conn != NULL)
		return;
	if (loop_wait_news(db->loop, fd, POLLIN, until) == WAKE_READY && db_lost(db))
		log_lost();
}

static bool
is_lasting(int code)
{
	return code == EX_USAGE || code == EX_NOPERM || code == EX_CONFIG;
}

/* The database failed: says so, and when it is asked again.  Returns an exit code, or -1 to go on. */
static int
take_failure(Sender *sender, Failure *failure, const char *event)
{
	Loop	   *loop = sender->db.loop;
	int			code = failure->code;
	int64_t		pause = 0;

	if (loop->stops == 0 && !is_lasting(code) && !sender->options->once)
		pause = backoff_next(&sender->backoff);
	log_trouble(failure, event, pause);
	notify_status(&loop->notify, "Trouble: %s", failure->message != NULL ? failure->message : "out of memory");
	/* Also what failed on a connection that lives is not repeated at once. */
	sender->reconnect_at = loop_now() + pause;
	if (sender->next_claim < sender->reconnect_at)
		sender->next_claim = sender->reconnect_at;
	if (sender->next_webhook < sender->reconnect_at)
		sender->next_webhook = sender->reconnect_at;
	failure_clear(failure);
	if (sender->db.conn != NULL && pause > 0)
		db_close(&sender->db);
	sender->outbox.unheard = sender->db.conn == NULL;
	return is_lasting(code) || sender->options->once ? code : -1;
}

/* Connects if need be, and works.  Returns an exit code, or -1 to go on. */
static int
turn(Sender *sender)
{
	Failure		failure = {0};

	/* What comes from here on is for the next turn. */
	sender->outbox.company.news = false;
	reload(sender);
	/* Mails move on while we connect. */
	sender->outbox.unheard = sender->db.conn == NULL;
	if (sender->db.conn == NULL)
	{
		if (loop_now() < sender->reconnect_at)
			return -1;
		if (!queue_connect(sender, &failure))
			return take_failure(sender, &failure, "connect");
		sender->outbox.unheard = false;
	}
	if (!work(sender, &failure))
		return take_failure(sender, &failure, "queue");
	sender->backoff.failures = 0;
	return -1;
}

/* ---- ending ---- */

/* Is nothing left of what webhooks are to be told now? */
static bool
webhooks_are_told(Sender *sender)
{
	if (sender->webhooks == NULL)
		return true;
	return webhooks_in_flight(sender->webhooks) == 0 && webhooks_settled(sender->webhooks)->length == 0 && sender->next_webhook > loop_now();
}

/* --once: is there nothing left that we could do? */
static int
once_code(Sender *sender)
{
	if (!webhooks_are_told(sender))
		return -1;
	if (held(sender) > 0 || sender->outbox.settled.length > 0)
		return -1;
	if (sender->options->save == NULL && relays_paused_until(&sender->outbox.relays) > 0)
		return EX_UNAVAILABLE;
	/* What is due and locked gets a second chance. */
	if (sender->empty == 0 || (sender->empty == 1 && sender->next_due <= loop_now()))
		return -1;
	/* What a rate holds back was due, and is not sent yet. */
	if (sender->next_due <= sender->outbox.last_turn + SECOND && loop_now() < sender->outbox.last_turn + 2 * SECOND)
		return -1;
	return sender->options->save != NULL || relays_are_all_up(&sender->outbox.relays) ? EX_OK : EX_UNAVAILABLE;
}

static void
begin_stopping(Sender *sender)
{
	if (sender->outbox.stopping)
		return;
	sender->outbox.stopping = true;
	sender->stop_at = loop_now() + FLIGHT_GRACE;
	notify_send(&sender->db.loop->notify, "STOPPING=1");
	outbox_give_back(&sender->outbox);
}

/* Has everything ended, or must it? */
static bool
has_stopped(Sender *sender)
{
	Loop	   *loop = sender->db.loop;

	if (loop->stops > 1 || loop_now() >= sender->stop_at)
	{
		outbox_abort(&sender->outbox);
		if (sender->webhooks != NULL)
			webhooks_abort(sender->webhooks);
	}
	/* What could not go because its connection was of no use. */
	outbox_give_back(&sender->outbox);
	if (smtp_in_flight(sender->outbox.smtp) > 0 || (sender->webhooks != NULL && webhooks_in_flight(sender->webhooks) > 0))
		return false;
	return sender->outbox.settled.length == 0 || loop->stops > 1 || loop_now() >= sender->stop_at;
}

/* Messages whose end we know and the database does not. */
static void
log_unrecorded(Sender *sender)
{
	uint64_t	n = 0;
	LogLine		line;

	for (const GList *link = sender->outbox.settled.head; link != NULL; link = link->next)
		n += strcmp(((const Parcel *) link->data)->verdict, "sent") == 0;
	if (n == 0)
		return;
	log_begin(&line, "error", "not_recorded");
	log_count(&line, "sent", n);
	log_text(&line, "message", "the database could not be told that these were sent; they will be sent again");
	log_end(&line);
}

static int
send_all(Sender *sender)
{
	Loop	   *loop = sender->db.loop;
	int			code = -1;

	for (;;)
	{
		if (loop->stops > 0)
			begin_stopping(sender);
		code = turn(sender);
		if (sender->outbox.stopping && has_stopped(sender))
		{
			Failure		failure = {0};

			/* What was just aborted, or settled a moment ago. */
			if (sender->db.conn != NULL && !(queue_record(sender, &failure) && webhook_queue_record(sender, &failure)))
				log_trouble(&failure, "queue", 0);
			failure_clear(&failure);
			code = EX_OK;
			break;
		}
		if (code < 0 && sender->options->once && !sender->outbox.stopping)
			code = once_code(sender);
		if (code >= 0)
			break;
		/* With --once the line at the end says it. */
		if (sender->empty > 0 && held(sender) == 0 && !sender->options->once)
			log_progress(sender);
		rest(sender);
	}
	return code;
}

static void
init_outbox(Sender *sender, Loop *loop)
{
	const SendOptions *options = sender->options;
	Outbox	   *outbox = &sender->outbox;
	const SmtpSettings settings = {options->connections, options->starttls, options->ca_file, options->netrc_file, options->timeout};

	outbox_init(outbox, loop);
	outbox->smtp = smtp_new(&settings);
	rates_init(&outbox->rates, options->rate, options->rate_per_shop, options->rate_per_domain);
	outbox->defaults.from = options->from;
	outbox->defaults.base_url = options->base_url;
	outbox->save_dir = options->save;
	outbox->reserve = options->timeout * SECOND;
	outbox->verbose = options->common.verbose;
}

/* --save is for looking at mails: nobody is told anything then.  False: out of memory. */
static bool
init_webhooks(Sender *sender)
{
	const SendOptions *options = sender->options;
	const WebhookSettings settings = {options->webhooks, options->webhook_timeout, options->webhook_connections, options->ca_file};

	if (options->webhooks == WEBHOOKS_OFF || options->save != NULL)
		return true;
	sender->webhooks = webhooks_new(&settings, &sender->outbox.company);
	if (sender->webhooks == NULL)
		return false;
	outbox_invite(&sender->outbox, webhooks_turn, sender->webhooks, webhooks_fd(sender->webhooks));
	return true;
}

/* A line at the end, if there were any. */
static void
log_webhooks(const Sender *sender)
{
	const WebhookCounts *counts = sender->webhooks != NULL ? webhooks_counts(sender->webhooks) : NULL;
	LogLine		line;

	if (counts == NULL || counts->delivered + counts->failed + counts->untried == 0)
		return;
	log_begin(&line, "info", "webhooks");
	log_count(&line, "delivered", counts->delivered);
	log_count(&line, "failed", counts->failed);
	log_count(&line, "untried", counts->untried);
	log_end(&line);
}

static int
run_sender(Sender *sender, Loop *loop)
{
	const SendOptions *options = sender->options;
	Failure		failure = {0};
	Metrics    *metrics = NULL;
	int			code = EX_OK;

	init_outbox(sender, loop);
	if (sender->outbox.smtp == NULL || !mail_init() || !init_webhooks(sender))
		failure_set(&failure, EX_OSERR, "out of memory");
	else if (relays_load(&sender->outbox.relays, options->smtp_url, options->relays, &failure) && options->metrics != NULL)
	{
		metrics = metrics_start(options->metrics, sender, &failure);
		if (metrics != NULL)
			outbox_invite(&sender->outbox, metrics_serve, metrics, metrics_fd(metrics));
	}
	if (failure.message != NULL)
	{
		failure_print(&failure, "send");
		code = failure.code;
	}
	else
	{
		if (!options->once)
			log_counts(sender, "start");
		notify_send(&loop->notify, "READY=1\nSTATUS=Connecting.");
		code = send_all(sender);
		log_unrecorded(sender);
		log_webhooks(sender);
		if (!options->once || sender->outbox.counts.sent + sender->outbox.counts.deferred + sender->outbox.counts.rejected > 0 ||
			options->common.verbose)
			log_counts(sender, "stop");
	}
	failure_clear(&failure);
	db_close(&sender->db);
	sender->outbox.n_guests = 0;
	metrics_stop(metrics);
	webhooks_free(sender->webhooks);
	outbox_free(&sender->outbox);
	return code;
}

static int
run_send(const void *arg, Loop *loop)
{
	const SendOptions *options = arg;
	const char *option;
	const char *problem = setting_problem(options, &option);
	Sender		sender = {.options = options, .stop_at = NEVER};

	if (problem != NULL)
	{
		usage_error(&send_command, "--%s %s", option, problem);
		return EX_USAGE;
	}
	if (options->dry_run)
		return send_dry_run(options, loop);
	if (options->check_config)
		return send_check(options, loop);
	sender.room = options->connections * 2;
	backoff_init(&sender.backoff);
	db_init(&sender.db, loop, options->common.dbname);
	return run_sender(&sender, loop);
}

const Command send_command = {
	"send", "sends the recovery messages that are due", send_options, sizeof(SendOptions), run_send
};

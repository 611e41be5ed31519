/*
 * serve.c
 *		incomplete-orders serve: the pages that the links in messages lead to, the REST API,
 *		and the admin's pages.
 *
 * One thread, one epoll socket over everything: libmicrohttpd's, and those of the
 * connections to the database, the program's own and those of staff.  Nothing in the loop waits for anything but that
 * socket, so a slow answer of the database delays nobody else.
 *
 * While the database is away, pages say so (503) and it is tried again and again.
 * What only an administrator can mend ends the program if it shows before the first
 * connection was made.  Asked to stop, it takes no new connection, lets requests
 * end, records the visits that are held, and is gone.
 */
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin_files.h"
#include "commands.h"
#include "page.h"
#include "proxy.h"
#include "rest.h"
#include "session.h"
#include "shopper.h"
#include "sns.h"
#include "staff.h"
#include "traffic.h"
#include "trial.h"

/* what requests get to end when we are asked to stop, and then the visits */
#define STOP_GRACE (10 * SECOND)
#define RECORD_GRACE (5 * SECOND)
#define HEALTH_LIMIT (2 * SECOND)
/* files that are no clients: connections to the database, listeners, logs */
#define FILES_BESIDE 400

typedef struct ServeOptions
{
	CommonOptions common;
	const char *listen;
	int			pool;
	const char *staff_dbname;
	int			staff_idle;
	int			session_idle;
	int			session_most;
	const char *prefix;
	const char *trusted_proxy;
	int			max_header;
	int			max_body;
	int			max_connections;
	int			per_address;
	int			idle_timeout;
	int			request_timeout;
	int			access_log;
	const char *metrics;
	PageLimits	page;
	const char *sns_certificate;
	const char *sns_topics;
	bool		sns_confirm;
	TrialSettings trial;
} ServeOptions;

/* the words of --access-log, in the order of HttpLog */
#define ACCESS_LOGS "off|errors|all"

static const OptionDef serve_options[] = {
	{"listen", 0, OPTION_TEXT, offsetof(ServeOptions, listen), "HOST:PORT", "127.0.0.1:8080", 0, 0,
	"where to answer HTTP; a proxy stands in front"},
	{"pool", 0, OPTION_NUMBER, offsetof(ServeOptions, pool), "N", "4", 1, POOL_MOST,
	"connections to the database"},
	{"staff-dbname", 0, OPTION_TEXT, offsetof(ServeOptions, staff_dbname), "NAME", NULL, 0, 0,
	"where staff log in, if elsewhere: it must ask for passwords"},
	{"staff-idle", 0, OPTION_SPAN, offsetof(ServeOptions, staff_idle), "TIME", "60s", 1, 3600,
	"age at which a connection of staff ends"},
	{"session-idle", 0, OPTION_SPAN, offsetof(ServeOptions, session_idle), "TIME", "30m", 1, 43200,
	"silence that signs staff out of the admin's pages"},
	{"session-most", 0, OPTION_SPAN, offsetof(ServeOptions, session_most), "TIME", "12h", 1, 43200,
	"the same of a session in any case"},
	{"prefix", 0, OPTION_TEXT, offsetof(ServeOptions, prefix), "PATH", NULL, 0, 0,
	"what a proxy puts before each path, e.g. /shop"},
	{"trusted-proxy", 0, OPTION_TEXT, offsetof(ServeOptions, trusted_proxy), "LIST", NULL, 0, 0,
	"proxies whose X-Forwarded-For counts: addresses, networks"},
	{"max-header", 0, OPTION_NUMBER, offsetof(ServeOptions, max_header), "BYTES", "16384", 4096, 1048576,
	"what the head of a request may take"},
	{"max-body", 0, OPTION_NUMBER, offsetof(ServeOptions, max_body), "BYTES", "1048576", 8192, 67108864,
	"the same for the body of a request to the API"},
	{"max-connections", 0, OPTION_NUMBER, offsetof(ServeOptions, max_connections), "N", "512", 1, 10000,
	"clients at once"},
	{"max-per-address", 0, OPTION_NUMBER, offsetof(ServeOptions, per_address), "N", NULL, 1, 10000,
	"the same for each address; behind a proxy all have one"},
	{"rate-per-key", 0, OPTION_NUMBER, offsetof(ServeOptions, page.per_key), "N", "500", 0, 1000000,
	"requests of one shop's pages in a second; 0: any number"},
	{"rate-per-session", 0, OPTION_NUMBER, offsetof(ServeOptions, page.per_session), "N", "10", 0, 1000000,
	"the same of one visitor's pages"},
	{"rate-per-address", 0, OPTION_NUMBER, offsetof(ServeOptions, page.per_address), "N", "50", 0, 1000000,
	"the same of the pages of one address; see --trusted-proxy"},
	{"idle-timeout", 0, OPTION_SPAN, offsetof(ServeOptions, idle_timeout), "TIME", "15s", 1, 3600,
	"silence that ends a connection"},
	{"request-timeout", 0, OPTION_SPAN, offsetof(ServeOptions, request_timeout), "TIME", "30s", 1, 3600,
	"what sending a request, and taking its answer, may take"},
	{"access-log", 0, OPTION_CHOICE, offsetof(ServeOptions, access_log), ACCESS_LOGS, "off", 0, 0,
	"a line for each request, or for those that failed"},
	{"metrics", 0, OPTION_TEXT, offsetof(ServeOptions, metrics), "HOST:PORT", NULL, 0, 0,
	"answer Prometheus there too; at --listen only this machine gets /metrics"},
	{"sns-certificate", 0, OPTION_TEXT, offsetof(ServeOptions, sns_certificate), "FILE", NULL, 0, 0,
	"Amazon's certificate: what SES tells through SNS is taken"},
	{"sns-topics", 0, OPTION_TEXT, offsetof(ServeOptions, sns_topics), "ARNS", NULL, 0, 0,
	"... of these topics, with commas between"},
	{"sns-confirm", 0, OPTION_FLAG, offsetof(ServeOptions, sns_confirm), NULL, NULL, 0, 0,
	"... and subscriptions to them are confirmed, not only logged"},
	{"smtp-url", 0, OPTION_TEXT, offsetof(ServeOptions, trial.smtp_url), "URL", NULL, 0, 0,
	"mail server of messages that staff try"},
	{"relays", 0, OPTION_TEXT, offsetof(ServeOptions, trial.relays), "FILE", NULL, 0, 0,
	"... those of single shops"},
	{"from", 0, OPTION_TEXT, offsetof(ServeOptions, trial.from), "ADDRESS", NULL, 0, 0,
	"... their sender if the shop has no from_email"},
	{"base-url", 0, OPTION_TEXT, offsetof(ServeOptions, trial.base_url), "URL", NULL, 0, 0,
	"... where links lead if the shop has none"},
	{"starttls", 0, OPTION_CHOICE, offsetof(ServeOptions, trial.smtp.starttls), STARTTLS, "try", 0, 0,
	"... encrypt; require also checks the certificate"},
	{"ca-file", 0, OPTION_TEXT, offsetof(ServeOptions, trial.smtp.ca_file), "FILE", NULL, 0, 0,
	"... certificates to trust, instead of the system's"},
	{"netrc-file", 0, OPTION_TEXT, offsetof(ServeOptions, trial.smtp.netrc_file), "FILE", NULL, 0, 0,
	"... users and passwords; else SMTP_USER, SMTP_PASSWORD"},
	{NULL}
};

/* of messages that staff try: few, and somebody waits for them */
#define TRIALS_AT_ONCE 4
#define TRIAL_LIMIT 20

typedef struct Server
{
	Loop	   *loop;
	int			epoll_fd;
	Http	   *http;
	Pool		pool;
	Visits		visits;
	Shopper		shopper;
	Staff		staff;
	Sessions	sessions;
	Proxies		proxies;
	Rest		rest;
	Traffic		traffic;
	Http	   *metrics;		/* the listener of --metrics, or NULL */
	bool		warned;			/* that our role is a superuser */
	Sns		   *sns;			/* or NULL */
	Trials	   *trials;			/* or NULL */
	Admin	   *admin;
} Server;

/* ---------------------------------------------------------------------------
 * Pages that are nobody's
 */

static const char icon[] =
"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><path fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2\""
" d=\"M1 2h2l2 8h8l2-6H4\"/><circle cx=\"6\" cy=\"13.5\" r=\"1.5\" fill=\"#0072b2\"/><circle cx=\"12\" cy=\"13.5\" r=\"1.5\" fill=\"#0072b2\"/></svg>";

static void
answer_text(Request *request, int status, const char *type, const char *text)
{
	http_answer(request, &(Answer) {
		.status = status,.type = type,.body = strdup(text),.length = strlen(text),
			.retry_after = status == HTTP_UNAVAILABLE ? 5 : 0
	});
}

static void
send_icon(Request *request)
{
	answer_text(request, HTTP_OK, "image/svg+xml", icon);
}

/* Links in messages are for who got them. */
static void
send_robots(Request *request)
{
	answer_text(request, HTTP_OK, "text/plain; charset=utf-8", "User-agent: *\nDisallow: /\n");
}

static const char page_script[] =
#include "page_js.inc"
;

/* Of what the text is: FNV-1a, to tell one version from another. */
static uint64_t
mark_of(const char *text)
{
	uint64_t	mark = UINT64_C(0xcbf29ce484222325);

	for (; *text != '\0'; text++)
		mark = (mark ^ (unsigned char) *text) * UINT64_C(0x100000001b3);
	return mark;
}

/* For the pages of shops; a new version of the program is seen within an hour. */
static void
send_script(Request *request)
{
	const char *known = http_header(request, "If-None-Match");
	char		etag[20];
	Answer		answer = {.status = HTTP_OK,.type = "text/javascript; charset=utf-8",.cache = "public, max-age=3600"};

	/* It is the same for everybody: pages that check its hash, or that let nothing in unasked, may have it. */
	http_add_header(request, "Access-Control-Allow-Origin", "*");
	http_add_header(request, "Cross-Origin-Resource-Policy", "cross-origin");
	snprintf(etag, sizeof(etag), "\"%016" PRIx64 "\"", mark_of(page_script));
	http_add_header(request, "ETag", etag);
	if (known != NULL && strstr(known, etag) != NULL)
		answer.status = HTTP_NOT_MODIFIED;
	else
	{
		answer.body = strdup(page_script);
		answer.length = answer.body != NULL ? strlen(answer.body) : 0;
	}
	http_answer(request, &answer);
}

static void
on_health(void *arg, const PGresult *result, const Failure *failure)
{
	if (result != NULL)
		answer_text(arg, HTTP_OK, "text/plain; charset=utf-8", "ok\n");
	else
		answer_text(arg, HTTP_UNAVAILABLE, "text/plain; charset=utf-8", "the database does not answer\n");
}

static void
send_health(Request *request)
{
	pool_ask(((Shopper *) request->context)->pool, "SELECT 1", 0, NULL, HEALTH_LIMIT, on_health, request);
}

static void
send_scheduler(Request *request)
{
	traffic_scheduler(((Shopper *) request->context)->traffic, request);
}

static void
send_metrics(Request *request)
{
	traffic_metrics(((Shopper *) request->context)->traffic, request);
}

/* For this machine: what a proxy passes on came from elsewhere. */
static void
send_metrics_here(Request *request)
{
	char		peer[64];

	http_peer(request, peer, sizeof(peer));
	if ((strcmp(peer, "127.0.0.1") == 0 || strcmp(peer, "::1") == 0) && http_header(request, "X-Forwarded-For") == NULL &&
		http_header(request, "Forwarded") == NULL && http_header(request, "Via") == NULL)
	{
		send_metrics(request);
		return;
	}
	request->refusal = HTTP_NOT_FOUND;
	refuse_request(request);
}

static void
refuse_plainly(Request *request)
{
	http_answer(request, &(Answer) {.status = request->refusal});
}

static const Route metrics_routes[] = {
	{"GET", "/metrics", send_metrics},
	{"GET", "/healthz", send_health},
	{"GET", "/healthz/scheduler", send_scheduler},
	{NULL}
};

static const Route routes[] = {
	{"GET", "/r/{}", show_cart},
	{"POST", "/r/{}", restore_cart},
	{"GET", "/c/{}/{}", follow_link},
	{"GET", "/o/{}", send_picture},
	{"GET", "/u/{}", ask_unsubscribe},
	{"POST", "/u/{}", unsubscribe},
	{"GET", "/n/{}", ask_unsubscribe},
	{"POST", "/n/{}", unsubscribe},
	{"GET", "/healthz", send_health},
	{"GET", "/healthz/scheduler", send_scheduler},
	{"GET", "/metrics", send_metrics_here},
	{"GET", "/assets/incomplete-orders.js", send_script},
	{"GET", "/favicon.ico", send_icon},
	{"GET", "/robots.txt", send_robots},
	{NULL}
};

/* ---------------------------------------------------------------------------
 * The loop
 */

static int64_t
sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Waits until there is something to do, at most until then, and does it. */
static void
turn(Server *server, int64_t deadline)
{
	deadline = sooner(deadline, http_deadline(server->http));
	deadline = sooner(deadline, pool_deadline(&server->pool));
	deadline = sooner(deadline, staff_deadline(&server->staff));
	deadline = sooner(deadline, sessions_deadline(&server->sessions));
	deadline = sooner(deadline, visits_deadline(&server->visits));
	if (server->metrics != NULL)
		deadline = sooner(deadline, http_deadline(server->metrics));
	(void) loop_wait_news(server->loop, server->epoll_fd, POLLIN, deadline);
	pool_listen(server->epoll_fd);
	pool_turn(&server->pool);
	sessions_turn(&server->sessions);
	staff_turn(&server->staff);
	visits_turn(&server->visits);
	trials_turn(server->trials);
	/* Last: it sends what the others have answered. */
	http_turn(server->http);
	if (server->metrics != NULL)
		http_turn(server->metrics);
}

static void
log_life(const char *event, const Server *server)
{
	LogLine		line;

	log_begin(&line, "info", event);
	log_text(&line, "version", ICO_VERSION);
	log_text(&line, "listen", http_address(server->http));
	if (server->metrics != NULL)
		log_text(&line, "metrics", http_address(server->metrics));
	log_end(&line);
}

static int
busy(const Server *server)
{
	return http_busy(server->http) + (server->metrics != NULL ? http_busy(server->metrics) : 0);
}

/* Lets end what has begun; who asks twice is in a hurry. */
static void
stop(Server *server)
{
	int64_t		deadline = loop_now() + STOP_GRACE;

	http_quiesce(server->http);
	while (busy(server) > 0 && server->loop->stops < 2 && loop_now() < deadline)
		turn(server, deadline);
	deadline = loop_now() + RECORD_GRACE;
	visits_stop(&server->visits);
	while (server->visits.asked > 0 && server->loop->stops < 2 && loop_now() < deadline)
		turn(server, deadline);
	/* Who still waits for the database is told, and may take a moment to hear it. */
	pool_close(&server->pool);
	staff_close(&server->staff);
	trials_close(server->trials);
	deadline = loop_now() + SECOND;
	turn(server, 0);
	while (busy(server) > 0 && loop_now() < deadline)
		turn(server, deadline);
	http_stop(server->http);
	if (server->metrics != NULL)
		http_stop(server->metrics);
	traffic_free(&server->traffic);
	sessions_free(&server->sessions);
	staff_free(&server->staff);
	page_free(server->rest.page);
	sns_free(server->sns);
	trials_free(server->trials);
	admin_free(server->admin);
	visits_free(&server->visits);
}

/* Whoever takes over a superuser's program has everything. */
static bool
look_at_own(Pool *pool, PGconn *conn, Failure *failure)
{
	Server	   *server = pool->admit_arg;
	const char *superuser = PQparameterStatus(conn, "is_superuser");
	LogLine		line;

	if (server->warned || superuser == NULL || strcmp(superuser, "on") != 0)
		return true;
	server->warned = true;
	log_begin(&line, "warn", "superuser");
	log_text(&line, "message", "the program's own role is a superuser");
	log_text(&line, "hint", "A role with the purpose sender is enough: SELECT incomplete_orders.grant_to(role, 'sender');");
	log_end(&line);
	return true;
}

static void
init_pools(Server *server, const ServeOptions *options)
{
	pool_init(&server->pool, server->loop, options->common.dbname, options->pool, server->epoll_fd);
	server->pool.admit = look_at_own;
	server->pool.admit_arg = server;
	for (int i = 0; i < server->pool.size; i++)
		server->pool.slots[i].db.search_path = REST_SEARCH_PATH;
	visits_init(&server->visits, &server->pool);
	traffic_init(&server->traffic, &server->pool, &server->staff);
	server->shopper = (Shopper) {&server->pool, &server->visits, &server->traffic};
	server->rest = (Rest) {
		.pool = &server->pool,.staff = &server->staff,.sessions = &server->sessions,.page = page_new(&options->page),.prefix = options->prefix != NULL ? options->prefix : "",
			.body_most = (size_t) options->max_body,.proxies = &server->proxies
	};
}

/* "/shop", "/a/b": what stands before our paths in links as well. */
static bool
is_prefix(const char *text)
{
	size_t		length = strlen(text);

	return text[0] == '/' && length > 1 && length < 200 && text[length - 1] != '/' && strstr(text, "//") == NULL &&
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/") == length;
}

static bool
are_good(Server *server, const ServeOptions *options, Failure *failure)
{
	if (!proxies_read(&server->proxies, options->trusted_proxy))
		failure_set(failure, EX_USAGE, "--trusted-proxy is addresses or networks with commas between, at most %d", PROXIES_MOST);
	else if (options->prefix != NULL && !is_prefix(options->prefix))
		failure_set(failure, EX_USAGE, "--prefix is a path such as /shop, without a slash at its end");
	else if ((options->sns_certificate == NULL) != (options->sns_topics == NULL))
		failure_set(failure, EX_USAGE, "--sns-certificate and --sns-topics need each other");
	else if (options->trial.smtp_url != NULL && smtp_url_problem(options->trial.smtp_url) != NULL)
		failure_set(failure, EX_USAGE, "--smtp-url %s", smtp_url_problem(options->trial.smtp_url));
	else
		return true;
	return false;
}

/* Files for every client, and what else there is; as many as may be. */
static void
want_files(int connections)
{
	struct rlimit limit;
	rlim_t		wanted = (rlim_t) connections + FILES_BESIDE;
	LogLine		line;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == wanted)
		return;
	log_begin(&line, "warn", "files");
	log_text(&line, "message", "fewer files may be open than --max-connections needs");
	log_text(&line, "hint", "Raise the limit (ulimit -n, LimitNOFILE=), or ask for fewer.");
	log_end(&line);
}

/* A listener of which the loop hears; NULL: failure says why. */
static Http *
listen_for(Server *server, const HttpSetup *setup, Failure *failure)
{
	struct epoll_event event = {.events = EPOLLIN};
	Http	   *http = http_start(setup, failure);

	if (http == NULL || epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, http_fd(http), &event) == 0)
		return http;
	failure_set(failure, EX_OSERR, "could not watch the listening socket");
	http_stop(http);
	return NULL;
}

/* Where messages go that staff try; true without any, too. */
static bool
init_trials(Server *server, const ServeOptions *options, Failure *failure)
{
	TrialSettings settings = options->trial;

	settings.smtp.connections = TRIALS_AT_ONCE;
	settings.smtp.timeout = TRIAL_LIMIT;
	server->trials = trials_new(&settings, server->loop, failure);
	server->rest.trials = server->trials;
	return server->trials != NULL || failure->message == NULL;
}

/* A Finder. */
static bool
find_page(void *arg, Request *request)
{
	Server	   *server = arg;

	return rest_find(&server->rest, request) || admin_find(server->admin, request);
}

static bool
listen_all(Server *server, const ServeOptions *options, Failure *failure)
{
	const HttpSetup setup = {
		.routes = routes,.refuse = refuse_request,.context = &server->shopper,
		.listen = options->listen,.prefix = options->prefix,
		.log = options->common.verbose ? HTTP_LOG_ALL : (HttpLog) options->access_log,
		.find = find_page,.find_arg = server,.completed = traffic_count,.completed_arg = &server->traffic,
		.limits = {options->max_header, options->idle_timeout, options->request_timeout, options->max_connections, options->per_address}
	};
	const HttpSetup metrics = {
		.routes = metrics_routes,.refuse = refuse_plainly,.context = &server->shopper,.listen = options->metrics
	};

	want_files(options->max_connections);
	server->http = listen_for(server, &setup, failure);
	if (server->http == NULL)
		return false;
	server->traffic.http = server->http;
	if (options->metrics == NULL)
		return true;
	server->metrics = listen_for(server, &metrics, failure);
	if (server->metrics == NULL)
		http_stop(server->http);
	return server->metrics != NULL;
}

static bool
start(Server *server, const ServeOptions *options, Failure *failure)
{
	const char *staff_dbname = options->staff_dbname != NULL ? options->staff_dbname : options->common.dbname;

	if (!are_good(server, options, failure))
		return false;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll_fd < 0)
	{
		failure_set(failure, EX_OSERR, "could not make an epoll socket");
		return false;
	}
	init_pools(server, options);
	server->admin = admin_new(server->rest.prefix, &server->pool);
	if (server->rest.page == NULL || server->admin == NULL)
	{
		failure_set(failure, EX_OSERR, "out of memory");
		return false;
	}
	if (!staff_init(&server->staff, server->loop, staff_dbname, server->epoll_fd) ||
		!sessions_init(&server->sessions, options->session_idle, options->session_most))
	{
		failure_set(failure, EX_OSERR, "there is no randomness");
		return false;
	}
	server->staff.idle_limit = options->staff_idle * SECOND;
	if (options->sns_certificate != NULL)
	{
		server->sns = sns_new(options->sns_certificate, options->sns_topics, failure);
		if (server->sns == NULL)
			return false;
		server->rest.sns = server->sns;
		server->rest.sns_confirms = options->sns_confirm;
	}
	return init_trials(server, options, failure) && listen_all(server, options, failure);
}

static int
run_serve(const void *arg, Loop *loop)
{
	const ServeOptions *options = arg;
	Failure		failure = {0};
	Server		server = {.loop = loop,.epoll_fd = -1};
	int			code;

	if (start(&server, options, &failure))
	{
		log_life("start", &server);
		notify_send(&loop->notify, "READY=1\nSTATUS=Serving.");
		pool_turn(&server.pool);
		while (loop->stops == 0 && server.pool.lasting == 0)
			turn(&server, NEVER);
		notify_send(&loop->notify, "STOPPING=1");
		code = server.pool.lasting;
		log_life("stop", &server);
		stop(&server);
	}
	else
	{
		failure_print(&failure, "serve");
		if (failure.code == EX_USAGE)
			fputs("Try \"incomplete-orders serve --help\".\n", stderr);
		code = failure.code;
		failure_clear(&failure);
	}
	if (server.epoll_fd >= 0)
		close(server.epoll_fd);
	return code;
}

const Command serve_command = {
	"serve", "answers over HTTP: links in messages, the REST API, the admin's pages", serve_options, sizeof(ServeOptions), run_serve
};

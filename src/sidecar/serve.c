/*
 * serve.c
 *		incomplete-orders serve: the pages that the links in messages lead to.
 *
 * One thread, one epoll socket over everything: libmicrohttpd's, and those of the
 * connections to the database.  Nothing in the loop waits for anything but that
 * socket, so a slow answer of the database delays nobody else.
 *
 * While the database is away, pages say so (503) and it is tried again and again.
 * What only an administrator can mend ends the program if it shows before the first
 * connection was made.  Asked to stop, it takes no new connection, lets requests
 * end, records the visits that are held, and is gone.
 */
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands.h"
#include "proxy.h"
#include "rest.h"
#include "shopper.h"
#include "staff.h"

/* what requests get to end when we are asked to stop, and then the visits */
#define STOP_GRACE (10 * SECOND)
#define RECORD_GRACE (5 * SECOND)
#define HEALTH_LIMIT (2 * SECOND)

typedef struct ServeOptions
{
	CommonOptions common;
	const char *listen;
	int			pool;
	const char *staff_dbname;
	const char *prefix;
	const char *trusted_proxy;
	int			max_header;
	int			max_body;
	int			max_connections;
	int			per_address;
	int			idle_timeout;
	int			request_timeout;
} ServeOptions;

static const OptionDef serve_options[] = {
	{"listen", 0, OPTION_TEXT, offsetof(ServeOptions, listen), "HOST:PORT", "127.0.0.1:8080", 0, 0,
	"where to answer HTTP; a proxy stands in front"},
	{"pool", 0, OPTION_NUMBER, offsetof(ServeOptions, pool), "N", "4", 1, POOL_MOST,
	"connections to the database"},
	{"staff-dbname", 0, OPTION_TEXT, offsetof(ServeOptions, staff_dbname), "NAME", NULL, 0, 0,
	"where staff log in, if not as --dbname says: a server that asks for passwords"},
	{"prefix", 0, OPTION_TEXT, offsetof(ServeOptions, prefix), "PATH", NULL, 0, 0,
	"what a proxy puts before each path, e.g. /shop"},
	{"trusted-proxy", 0, OPTION_TEXT, offsetof(ServeOptions, trusted_proxy), "ADDRESSES", NULL, 0, 0,
	"proxies whose X-Forwarded-For counts: addresses or networks, with commas"},
	{"max-header", 0, OPTION_NUMBER, offsetof(ServeOptions, max_header), "BYTES", "16384", 4096, 1048576,
	"what the head of a request may take"},
	{"max-body", 0, OPTION_NUMBER, offsetof(ServeOptions, max_body), "BYTES", "1048576", 8192, 67108864,
	"the same for the body of a request to the API"},
	{"max-connections", 0, OPTION_NUMBER, offsetof(ServeOptions, max_connections), "N", "512", 1, 10000,
	"clients at once"},
	{"max-per-address", 0, OPTION_NUMBER, offsetof(ServeOptions, per_address), "N", NULL, 1, 10000,
	"the same for each address; behind a proxy all have one"},
	{"idle-timeout", 0, OPTION_SPAN, offsetof(ServeOptions, idle_timeout), "TIME", "15s", 1, 3600,
	"silence that ends a connection"},
	{"request-timeout", 0, OPTION_SPAN, offsetof(ServeOptions, request_timeout), "TIME", "30s", 1, 3600,
	"what sending a request, and taking its answer, may take"},
	{NULL}
};

typedef struct Server
{
	Loop	   *loop;
	int			epoll_fd;
	Http	   *http;
	Pool		pool;
	Visits		visits;
	Shopper		shopper;
	Staff		staff;
	Proxies		proxies;
	Rest		rest;
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
	deadline = sooner(deadline, visits_deadline(&server->visits));
	(void) loop_wait(server->loop, server->epoll_fd, POLLIN, deadline);
	pool_turn(&server->pool);
	staff_turn(&server->staff);
	visits_turn(&server->visits);
	/* Last: it sends what the others have answered. */
	http_turn(server->http);
}

static void
log_life(const char *event, const Server *server)
{
	LogLine		line;

	log_begin(&line, "info", event);
	log_text(&line, "version", ICO_VERSION);
	log_text(&line, "listen", http_address(server->http));
	log_end(&line);
}

/* Lets end what has begun; who asks twice is in a hurry. */
static void
stop(Server *server)
{
	int64_t		deadline = loop_now() + STOP_GRACE;

	http_quiesce(server->http);
	while (http_busy(server->http) > 0 && server->loop->stops < 2 && loop_now() < deadline)
		turn(server, deadline);
	deadline = loop_now() + RECORD_GRACE;
	visits_stop(&server->visits);
	while (server->visits.asked > 0 && server->loop->stops < 2 && loop_now() < deadline)
		turn(server, deadline);
	/* Who still waits for the database is told, and may take a moment to hear it. */
	pool_close(&server->pool);
	staff_close(&server->staff);
	deadline = loop_now() + SECOND;
	do
		turn(server, deadline);
	while (http_busy(server->http) > 0 && loop_now() < deadline);
	http_stop(server->http);
	staff_free(&server->staff);
	visits_free(&server->visits);
}

static bool
start(Server *server, const ServeOptions *options, Failure *failure)
{
	struct epoll_event event = {.events = EPOLLIN};
	HttpSetup	setup = {
		.routes = routes,.refuse = refuse_request,.context = &server->shopper,
		.listen = options->listen,.prefix = options->prefix,.verbose = options->common.verbose,
		.find = rest_find,.find_arg = &server->rest,
		.limits = {options->max_header, options->idle_timeout, options->request_timeout, options->max_connections, options->per_address}
	};

	if (!proxies_read(&server->proxies, options->trusted_proxy))
	{
		failure_set(failure, EX_USAGE, "--trusted-proxy is addresses or networks with commas between, at most %d", PROXIES_MOST);
		return false;
	}

	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll_fd < 0)
	{
		failure_set(failure, EX_OSERR, "could not make an epoll socket");
		return false;
	}
	server->shopper = (Shopper) {&server->pool, &server->visits};
	pool_init(&server->pool, server->loop, options->common.dbname, options->pool, server->epoll_fd);
	for (int i = 0; i < server->pool.size; i++)
		server->pool.slots[i].db.search_path = REST_SEARCH_PATH;
	visits_init(&server->visits, &server->pool);
	server->rest = (Rest) {
		.pool = &server->pool,.staff = &server->staff,.prefix = options->prefix != NULL ? options->prefix : "",
			.body_most = (size_t) options->max_body,.proxies = &server->proxies
	};
	if (!staff_init(&server->staff, server->loop, options->staff_dbname != NULL ? options->staff_dbname : options->common.dbname, server->epoll_fd))
	{
		failure_set(failure, EX_OSERR, "there is no randomness");
		return false;
	}
	server->http = http_start(&setup, failure);
	if (server->http == NULL)
		return false;
	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, http_fd(server->http), &event) == 0)
		return true;
	failure_set(failure, EX_OSERR, "could not watch the listening socket");
	http_stop(server->http);
	return false;
}

static int
run_serve(const void *arg, Loop *loop)
{
	const ServeOptions *options = arg;
	Failure		failure = {0};
	Server		server = {.loop = loop};
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
	"serve", "answers the links in messages: carts, clicks, unsubscribing", serve_options, sizeof(ServeOptions), run_serve
};

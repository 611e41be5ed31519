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
#include "shopper.h"

/* what requests get to end when we are asked to stop, and then the visits */
#define STOP_GRACE (10 * SECOND)
#define RECORD_GRACE (5 * SECOND)
#define HEALTH_LIMIT (2 * SECOND)

typedef struct ServeOptions
{
	CommonOptions common;
	const char *listen;
	int			pool;
} ServeOptions;

static const OptionDef serve_options[] = {
	{"listen", 0, OPTION_TEXT, offsetof(ServeOptions, listen), "HOST:PORT", "127.0.0.1:8080", 0, 0,
	"where to answer HTTP; a proxy stands in front"},
	{"pool", 0, OPTION_NUMBER, offsetof(ServeOptions, pool), "N", "4", 1, POOL_MOST,
	"connections to the database"},
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
	deadline = sooner(deadline, visits_deadline(&server->visits));
	(void) loop_wait(server->loop, server->epoll_fd, POLLIN, deadline);
	pool_turn(&server->pool);
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
	deadline = loop_now() + SECOND;
	do
		turn(server, deadline);
	while (http_busy(server->http) > 0 && loop_now() < deadline);
	http_stop(server->http);
	visits_free(&server->visits);
}

static bool
start(Server *server, const ServeOptions *options, Failure *failure)
{
	struct epoll_event event = {.events = EPOLLIN};
	HttpSetup	setup = {
		.routes = routes,.refuse = refuse_request,.context = &server->shopper,
		.listen = options->listen,.verbose = options->common.verbose
	};

	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll_fd < 0)
	{
		failure_set(failure, EX_OSERR, "could not make an epoll socket");
		return false;
	}
	server->shopper = (Shopper) {&server->pool, &server->visits};
	pool_init(&server->pool, server->loop, options->common.dbname, options->pool, server->epoll_fd);
	visits_init(&server->visits, &server->pool);
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

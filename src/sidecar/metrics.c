/*
 * metrics.c
 *		Figures for Prometheus, over HTTP: GET /metrics.
 *
 * Runs in the program's own loop and only reads what the others count, so there
 * is nothing to lock.  What waits in the queue is as of the last time the program
 * asked for it, which is at least as often as --poll says while nothing is due.
 *
 * Memory: a page belongs to its response.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "metrics.h"

#define CONNECTIONS 16
#define SECONDS 10

struct Metrics
{
	struct MHD_Daemon *daemon;
	const Sender *sender;
};

static void
head(FILE *page, const char *name, const char *type, const char *help)
{
	fprintf(page, "# HELP incomplete_orders_%s %s\n# TYPE incomplete_orders_%s %s\n", name, help, name, type);
}

static void
put_queue(FILE *page, const QueueState *queue)
{
	if (!queue->known)
		return;
	head(page, "queue_messages", "gauge", "Messages of the queue by state.");
	for (size_t i = 0; i < G_N_ELEMENTS(queue_states); i++)
		fprintf(page, "incomplete_orders_queue_messages{state=\"%s\"} %lld\n", queue_states[i], (long long) queue->messages[i]);
	head(page, "queue_oldest_seconds", "gauge", "For how long the oldest message of a state has been due; 0: it is not yet.");
	for (size_t i = 0; i < G_N_ELEMENTS(queue_states); i++)
	{
		int64_t		age = queue->messages[i] > 0 ? queue->oldest[i] + (loop_now() - queue->at) : 0;

		fprintf(page, "incomplete_orders_queue_oldest_seconds{state=\"%s\"} %.3f\n", queue_states[i],
				age > 0 ? (double) age / SECOND : 0.0);
	}
	head(page, "queue_asked_seconds", "gauge", "How long ago the queue was asked.");
	fprintf(page, "incomplete_orders_queue_asked_seconds %.3f\n", (double) (loop_now() - queue->at) / SECOND);
}

static void
put_counts(FILE *page, const Sender *sender)
{
	const OutboxCounts *counts = &sender->outbox.counts;
	const struct
	{
		const char *result;
		uint64_t	n;
	}			results[] = {
		{"sent", counts->sent}, {"deferred", counts->deferred}, {"rejected", counts->rejected}, {"untried", counts->untried}
	};

	head(page, "messages_total", "counter", "Messages by what became of them; untried: the mail server was at fault.");
	for (size_t i = 0; i < G_N_ELEMENTS(results); i++)
		fprintf(page, "incomplete_orders_messages_total{result=\"%s\"} %llu\n", results[i].result, (unsigned long long) results[i].n);
	head(page, "stale_answers_total", "counter", "Answers that came after the message was somebody else's.");
	fprintf(page, "incomplete_orders_stale_answers_total %llu\n", (unsigned long long) sender->stale);
	head(page, "mail_seconds", "histogram", "How long mails took that a server got to see.");
	for (size_t i = 0; i < G_N_ELEMENTS(outbox_bounds); i++)
		fprintf(page, "incomplete_orders_mail_seconds_bucket{le=\"%g\"} %llu\n", outbox_bounds[i], (unsigned long long) counts->faster[i]);
	fprintf(page, "incomplete_orders_mail_seconds_bucket{le=\"+Inf\"} %llu\n", (unsigned long long) counts->measured);
	fprintf(page, "incomplete_orders_mail_seconds_sum %.6f\n", (double) counts->seconds / SECOND);
	fprintf(page, "incomplete_orders_mail_seconds_count %llu\n", (unsigned long long) counts->measured);
}

static void
put_now(FILE *page, const Sender *sender)
{
	int			down = 0;

	for (guint i = 0; i < sender->outbox.relays.list->len; i++)
		down += ((const Relay *) g_ptr_array_index(sender->outbox.relays.list, i))->paused_until != 0;
	head(page, "database_up", "gauge", "1: there is a connection to the database.");
	fprintf(page, "incomplete_orders_database_up %d\n", sender->db.conn != NULL);
	head(page, "relays_down", "gauge", "Mail servers that could not be reached the last time.");
	fprintf(page, "incomplete_orders_relays_down %d\n", down);
	head(page, "messages_held", "gauge", "Messages that this program has claimed and not yet finished.");
	fprintf(page, "incomplete_orders_messages_held{state=\"waiting\"} %u\n", sender->outbox.waiting.length);
	fprintf(page, "incomplete_orders_messages_held{state=\"flying\"} %u\n", sender->outbox.flying.length);
	fprintf(page, "incomplete_orders_messages_held{state=\"settled\"} %u\n", sender->outbox.settled.length);
}

static char *
make_page(const Sender *sender, size_t *length)
{
	char	   *text = NULL;
	FILE	   *page = open_memstream(&text, length);

	if (page == NULL)
		return NULL;
	put_queue(page, &sender->queue);
	put_counts(page, sender);
	put_now(page, sender);
	if (fclose(page) != 0)
	{
		free(text);
		return NULL;
	}
	return text;
}

static enum MHD_Result
answer(struct MHD_Connection *connection, unsigned int code, char *text, size_t length)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (response == NULL)
	{
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = MHD_queue_response(connection, code, response);
	MHD_destroy_response(response);
	return result;
}

/* The first call of a request only says that there is one: an answer there would close the connection. */
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
		   const char *upload, size_t *upload_size, void **state)
{
	static int	seen;
	const Metrics *metrics = arg;
	size_t		length = 0;
	char	   *text;

	if (*state == NULL)
	{
		*state = &seen;
		return MHD_YES;
	}
	if (*upload_size > 0)
		return MHD_NO;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, strdup("only GET\n"), 9);
	if (strcmp(url, "/metrics") != 0)
		return answer(connection, MHD_HTTP_NOT_FOUND, strdup("only /metrics\n"), 14);
	text = make_page(metrics->sender, &length);
	return text != NULL ? answer(connection, MHD_HTTP_OK, text, length) : MHD_NO;
}

/* ADDRESS:PORT, or [ADDRESS]:PORT; a bare port is that of 127.0.0.1. */
static bool
read_address(const char *text, struct sockaddr_storage *address)
{
	char		host[64] = "127.0.0.1";
	const char *colon = strrchr(text, ':');
	const char *port = colon != NULL ? colon + 1 : text;
	size_t		length = colon != NULL ? (size_t) (colon - text) : 0;
	struct sockaddr_in *v4 = (struct sockaddr_in *) address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) address;
	int			number = atoi(port);

	memset(address, 0, sizeof(*address));
	if (*port == '\0' || strspn(port, "0123456789") != strlen(port) || strlen(port) > 5 || number < 1 || number > 65535 ||
		length >= sizeof(host))
		return false;
	if (length > 1 && text[0] == '[' && text[length - 1] == ']')
		snprintf(host, sizeof(host), "%.*s", (int) length - 2, text + 1);
	else if (colon != NULL)
		snprintf(host, sizeof(host), "%.*s", (int) length, text);
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
	{
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t) number);
		return true;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1)
	{
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t) number);
		return true;
	}
	return false;
}

/* NULL: failure says why. */
Metrics *
metrics_start(const char *text, const Sender *sender, Failure *failure)
{
	Metrics    *metrics = g_new0(Metrics, 1);
	struct sockaddr_storage address;

	metrics->sender = sender;
	if (!read_address(text, &address))
	{
		failure_set(failure, EX_USAGE, "--metrics takes ADDRESS:PORT in figures, not \"%s\"", text);
		g_free(metrics);
		return NULL;
	}
	metrics->daemon = MHD_start_daemon(MHD_USE_EPOLL | (address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0), 0,
									   NULL, NULL, on_request, metrics,
									   MHD_OPTION_SOCK_ADDR, (struct sockaddr *) &address,
									   MHD_OPTION_CONNECTION_LIMIT, (unsigned int) CONNECTIONS,
									   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int) SECONDS,
									   MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
	if (metrics->daemon == NULL)
	{
		failure_set(failure, EX_UNAVAILABLE, "could not listen on %s", text);
		g_free(metrics);
		return NULL;
	}
	return metrics;
}

/* What the loop has to wait for, too. */
int
metrics_fd(const Metrics *metrics)
{
	return MHD_get_daemon_info(metrics->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

void
metrics_serve(void *metrics)
{
	(void) MHD_run(((Metrics *) metrics)->daemon);
}

void
metrics_stop(Metrics *metrics)
{
	if (metrics == NULL)
		return;
	MHD_stop_daemon(metrics->daemon);
	g_free(metrics);
}

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
#include <stdio.h>
#include <stdlib.h>

#include "http.h"
#include "metrics.h"

struct Metrics
{
	Http	   *http;
	const Sender *sender;
};

void
metrics_head(FILE *page, const char *name, const char *type, const char *help)
{
	fprintf(page, "# HELP incomplete_orders_%s %s\n# TYPE incomplete_orders_%s %s\n", name, help, name, type);
}

void
metrics_put_queue(FILE *page, const QueueState *queue)
{
	if (!queue->known)
		return;
	metrics_head(page, "queue_messages", "gauge", "Messages of the queue by state.");
	for (size_t i = 0; i < G_N_ELEMENTS(queue_states); i++)
		fprintf(page, "incomplete_orders_queue_messages{state=\"%s\"} %lld\n", queue_states[i], (long long) queue->messages[i]);
	metrics_head(page, "queue_oldest_seconds", "gauge", "For how long the oldest message of a state has been due; 0: it is not yet.");
	for (size_t i = 0; i < G_N_ELEMENTS(queue_states); i++)
	{
		int64_t		age = queue->messages[i] > 0 ? queue->oldest[i] + (loop_now() - queue->at) : 0;

		fprintf(page, "incomplete_orders_queue_oldest_seconds{state=\"%s\"} %.3f\n", queue_states[i],
				age > 0 ? (double) age / SECOND : 0.0);
	}
	metrics_head(page, "queue_asked_seconds", "gauge", "How long ago the queue was asked.");
	fprintf(page, "incomplete_orders_queue_asked_seconds %.3f\n", (double) (loop_now() - queue->at) / SECOND);
}

static void
put_webhooks(FILE *page, const Sender *sender)
{
	const WebhookCounts *counts = webhooks_counts(sender->webhooks);
	const QueueState *queue = &sender->webhook_queue;

	metrics_head(page, "webhook_posts_total", "counter", "Deliveries to webhooks by what became of them; untried: given back.");
	fprintf(page, "incomplete_orders_webhook_posts_total{result=\"delivered\"} %llu\n", (unsigned long long) counts->delivered);
	fprintf(page, "incomplete_orders_webhook_posts_total{result=\"failed\"} %llu\n", (unsigned long long) counts->failed);
	fprintf(page, "incomplete_orders_webhook_posts_total{result=\"untried\"} %llu\n", (unsigned long long) counts->untried);
	if (!queue->known)
		return;
	metrics_head(page, "webhook_deliveries", "gauge", "Deliveries to webhooks by state.");
	for (size_t i = 0; i < G_N_ELEMENTS(queue_states); i++)
		fprintf(page, "incomplete_orders_webhook_deliveries{state=\"%s\"} %lld\n", queue_states[i], (long long) queue->messages[i]);
	metrics_head(page, "webhook_oldest_seconds", "gauge", "For how long the oldest delivery of a state has been due; 0: it is not yet.");
	for (size_t i = 0; i < G_N_ELEMENTS(queue_states); i++)
	{
		int64_t		age = queue->messages[i] > 0 ? queue->oldest[i] + (loop_now() - queue->at) : 0;

		fprintf(page, "incomplete_orders_webhook_oldest_seconds{state=\"%s\"} %.3f\n", queue_states[i], age > 0 ? (double) age / SECOND : 0.0);
	}
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

	metrics_head(page, "messages_total", "counter", "Messages by what became of them; untried: the mail server was at fault.");
	for (size_t i = 0; i < G_N_ELEMENTS(results); i++)
		fprintf(page, "incomplete_orders_messages_total{result=\"%s\"} %llu\n", results[i].result, (unsigned long long) results[i].n);
	metrics_head(page, "stale_answers_total", "counter", "Answers that came after the message was somebody else's.");
	fprintf(page, "incomplete_orders_stale_answers_total %llu\n", (unsigned long long) sender->stale);
	metrics_head(page, "mail_seconds", "histogram", "How long mails took that a server got to see.");
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
	metrics_head(page, "database_up", "gauge", "1: there is a connection to the database.");
	fprintf(page, "incomplete_orders_database_up %d\n", sender->db.conn != NULL);
	metrics_head(page, "relays_down", "gauge", "Mail servers that could not be reached the last time.");
	fprintf(page, "incomplete_orders_relays_down %d\n", down);
	metrics_head(page, "messages_held", "gauge", "Messages that this program has claimed and not yet finished.");
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
	metrics_put_queue(page, &sender->queue);
	put_counts(page, sender);
	put_now(page, sender);
	if (sender->webhooks != NULL)
		put_webhooks(page, sender);
	if (fclose(page) != 0)
	{
		free(text);
		return NULL;
	}
	return text;
}

static void
on_metrics(Request *request)
{
	const Metrics *metrics = request->context;
	Answer		answer = {HTTP_OK, "text/plain; version=0.0.4; charset=utf-8"};

	answer.body = make_page(metrics->sender, &answer.length);
	if (answer.body == NULL)
		answer.status = HTTP_UNAVAILABLE;
	http_answer(request, &answer);
}

static void
on_refusal(Request *request)
{
	const Answer answer = {request->refusal, "text/plain; charset=utf-8"};

	http_answer(request, &answer);
}

static const Route routes[] = {
	{"GET", "/metrics", on_metrics},
	{NULL}
};

/* NULL: failure says why. */
Metrics *
metrics_start(const char *listen, const Sender *sender, Failure *failure)
{
	Metrics    *metrics = g_new0(Metrics, 1);
	const HttpSetup setup = {.routes = routes, .refuse = on_refusal, .context = metrics, .listen = listen};
	LogLine		line;

	metrics->sender = sender;
	metrics->http = http_start(&setup, failure);
	if (metrics->http == NULL)
	{
		g_free(metrics);
		return NULL;
	}
	log_begin(&line, "info", "metrics");
	log_text(&line, "listen", http_address(metrics->http));
	log_end(&line);
	return metrics;
}

/* What the loop has to wait for, too. */
int
metrics_fd(const Metrics *metrics)
{
	return http_fd(metrics->http);
}

int64_t
metrics_serve(void *metrics)
{
	http_turn(((Metrics *) metrics)->http);
	return http_deadline(((Metrics *) metrics)->http);
}

void
metrics_stop(Metrics *metrics)
{
	if (metrics == NULL)
		return;
	http_stop(metrics->http);
	g_free(metrics);
}

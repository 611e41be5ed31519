/*
 * traffic.c
 *		What was asked of serve, counted; and how serve does, for who watches it.
 *
 * Requests are counted by route, which is a pattern and never what was asked for, so
 * that there is nothing personal in it and no more lines than there are routes.
 *
 * /metrics asks the database for the queue at most every five seconds, and what the
 * scheduler does is looked at as seldom: who watches often costs nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "traffic.h"

#define QUEUE_PAUSE (5 * SECOND)
#define SCHEDULER_PAUSE (5 * SECOND)
#define ASK_LIMIT (2 * SECOND)
#define STATUSES_MOST 24

static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

#define BOUNDS (sizeof(bounds) / sizeof(bounds[0]))

typedef struct RouteCount
{
	char	   *method;
	char	   *pattern;
	int			statuses[STATUSES_MOST];
	uint64_t	counts[STATUSES_MOST];
	uint64_t	faster[BOUNDS];	/* than each bound */
	uint64_t	n;
	int64_t		took;
} RouteCount;

static void
free_count(gpointer arg)
{
	RouteCount *count = arg;

	g_free(count->method);
	g_free(count->pattern);
	g_free(count);
}

void
traffic_init(Traffic *traffic, Pool *pool, Staff *staff)
{
	memset(traffic, 0, sizeof(*traffic));
	traffic->pool = pool;
	traffic->staff = staff;
	traffic->routes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_count);
}

void
traffic_free(Traffic *traffic)
{
	if (traffic->routes != NULL)
		g_hash_table_destroy(traffic->routes);
	traffic->routes = NULL;
}

/* ---------------------------------------------------------------------------
 * Counting
 */

/* What clients call their methods is theirs: only the known ones are counted by name. */
static const char *
method_of(const Request *request)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
	{
		if (strcmp(request->method, known[i]) == 0)
			return known[i];
	}
	return "other";
}

static RouteCount *
count_of(Traffic *traffic, const Request *request)
{
	const char *pattern = request->label != NULL ? request->label : request->route != NULL ? request->route->pattern : "";
	const char *method = method_of(request);
	char		key[200];
	RouteCount *count;

	snprintf(key, sizeof(key), "%s %s", method, pattern);
	count = g_hash_table_lookup(traffic->routes, key);
	if (count == NULL)
	{
		count = g_new0(RouteCount, 1);
		count->method = g_strdup(method);
		count->pattern = g_strdup(pattern);
		g_hash_table_insert(traffic->routes, g_strdup(key), count);
	}
	return count;
}

/* A Completed: one more request was answered, or broken off. */
void
traffic_count(void *arg, const Request *request, int64_t took)
{
	Traffic    *traffic = arg;
	RouteCount *count = count_of(traffic, request);
	int			status = http_status(request);

	traffic->requests++;
	if (status <= 0)
	{
		traffic->aborted++;
		return;
	}
	for (int i = 0; i < STATUSES_MOST; i++)
	{
		if (count->statuses[i] != 0 && count->statuses[i] != status)
			continue;
		count->statuses[i] = status;
		count->counts[i]++;
		break;
	}
	for (size_t i = 0; i < BOUNDS; i++)
		count->faster[i] += took <= (int64_t) (bounds[i] * SECOND);
	count->n++;
	count->took += took;
}

/* ---------------------------------------------------------------------------
 * The page for Prometheus
 */

static void
put_requests(FILE *page, Traffic *traffic)
{
	GHashTableIter iter;
	gpointer	value;

	metrics_head(page, "http_requests_total", "counter", "Requests that were answered, by route and status.");
	g_hash_table_iter_init(&iter, traffic->routes);
	while (g_hash_table_iter_next(&iter, NULL, &value))
	{
		const RouteCount *count = value;

		for (int i = 0; i < STATUSES_MOST && count->statuses[i] != 0; i++)
			fprintf(page, "incomplete_orders_http_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %llu\n", count->method,
					count->pattern, count->statuses[i], (unsigned long long) count->counts[i]);
	}
	metrics_head(page, "http_request_seconds", "histogram", "How long requests took, from their head to the last byte of the answer.");
	g_hash_table_iter_init(&iter, traffic->routes);
	while (g_hash_table_iter_next(&iter, NULL, &value))
	{
		const RouteCount *count = value;
		char		labels[240];

		snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\"", count->method, count->pattern);
		for (size_t i = 0; i < BOUNDS; i++)
			fprintf(page, "incomplete_orders_http_request_seconds_bucket{%s,le=\"%g\"} %llu\n", labels, bounds[i],
					(unsigned long long) count->faster[i]);
		fprintf(page, "incomplete_orders_http_request_seconds_bucket{%s,le=\"+Inf\"} %llu\n", labels, (unsigned long long) count->n);
		fprintf(page, "incomplete_orders_http_request_seconds_sum{%s} %.6f\n", labels, (double) count->took / SECOND);
		fprintf(page, "incomplete_orders_http_request_seconds_count{%s} %llu\n", labels, (unsigned long long) count->n);
	}
	metrics_head(page, "http_aborted_total", "counter", "Requests whose client went before there was an answer.");
	fprintf(page, "incomplete_orders_http_aborted_total %llu\n", (unsigned long long) traffic->aborted);
}

static void
put_pool(FILE *page, const char *name, int open, int busy, int waiting)
{
	fprintf(page, "incomplete_orders_pool_connections{pool=\"%s\",state=\"busy\"} %d\n", name, busy);
	fprintf(page, "incomplete_orders_pool_connections{pool=\"%s\",state=\"idle\"} %d\n", name, open - busy);
	fprintf(page, "incomplete_orders_pool_connections{pool=\"%s\",state=\"wanted\"} %d\n", name, waiting);
}

static void
put_now(FILE *page, const Traffic *traffic)
{
	int			busy;
	int			waiting;
	int			open = pool_connections(traffic->pool, &busy);

	metrics_head(page, "database_up", "gauge", "1: there is a connection to the database.");
	fprintf(page, "incomplete_orders_database_up %d\n", open > 0);
	metrics_head(page, "pool_connections", "gauge", "Connections to the database; wanted: questions that wait for one.");
	put_pool(page, "own", open, busy, pool_waiting(traffic->pool));
	staff_connections(traffic->staff, &open, &busy, &waiting);
	put_pool(page, "staff", open, busy, waiting);
	metrics_head(page, "http_requests_open", "gauge", "Requests that have begun and are not answered to the last byte.");
	fprintf(page, "incomplete_orders_http_requests_open %d\n", http_busy(traffic->http));
	metrics_head(page, "staff_logins_open", "gauge", "Roles that are logged in with one password each.");
	fprintf(page, "incomplete_orders_staff_logins_open %d\n", traffic->staff->n);
	metrics_head(page, "staff_logins_failed_total", "counter", "Requests with a role or password that was refused.");
	fprintf(page, "incomplete_orders_staff_logins_failed_total %llu\n", (unsigned long long) traffic->staff->failed);
	metrics_head(page, "staff_logins_limited_total", "counter", "Requests that were to wait after too many wrong passwords.");
	fprintf(page, "incomplete_orders_staff_logins_limited_total %llu\n", (unsigned long long) traffic->staff->limited);
}

static void
answer_metrics(Traffic *traffic, Request *request)
{
	Answer		answer = {HTTP_OK, "text/plain; version=0.0.4; charset=utf-8"};
	FILE	   *page = open_memstream(&answer.body, &answer.length);

	if (page != NULL)
	{
		put_requests(page, traffic);
		put_now(page, traffic);
		metrics_put_queue(page, &traffic->queue);
		if (fclose(page) != 0)
		{
			free(answer.body);
			answer.body = NULL;
		}
	}
	if (answer.body == NULL)
		answer = (Answer) {.status = HTTP_UNAVAILABLE};
	http_answer(request, &answer);
}

static Traffic *
traffic_of(const Request *request)
{
	return request->own;
}

static void
on_queue(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	Traffic    *traffic = traffic_of(request);

	if (result != NULL)
		queue_take_state(&traffic->queue, result, traffic->queue_asked);
	else
		traffic->queue_denied = strcmp(failure->sqlstate, "42501") == 0;
	answer_metrics(traffic, request);
}

/* Answers with all figures; those of the queue are as old as the last question for them. */
void
traffic_metrics(Traffic *traffic, Request *request)
{
	int64_t		now = loop_now();
	int64_t		pause = 20 * traffic->queue.took > QUEUE_PAUSE ? 20 * traffic->queue.took : QUEUE_PAUSE;

	if (traffic->queue_denied || (traffic->queue_asked != 0 && now < traffic->queue_asked + pause))
	{
		answer_metrics(traffic, request);
		return;
	}
	traffic->queue_asked = now;
	request->own = traffic;
	pool_ask(traffic->pool, queue_state_sql, 0, NULL, ASK_LIMIT, on_queue, request);
}

/* ---------------------------------------------------------------------------
 * Does the scheduler stand?
 */

static void
answer_scheduler(const Traffic *traffic, Request *request)
{
	const char *text = traffic->scheduler_stands ? "ok\n" : "the last tick was long ago\n";

	http_answer(request, &(Answer) {
		.status = traffic->scheduler_stands ? HTTP_OK : HTTP_UNAVAILABLE,.type = "text/plain; charset=utf-8",
			.body = strdup(text),.length = strlen(text)
	});
}

static void
on_scheduler(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	Traffic    *traffic = traffic_of(request);
	bool		denied = strcmp(failure->sqlstate, "42501") == 0;
	const char *text = denied ? "our role may not see it: it needs the purpose sender\n" : "the database does not answer\n";

	if (result != NULL)
	{
		traffic->scheduler_at = loop_now();
		traffic->scheduler_stands = PQntuples(result) > 0 && strcmp(PQgetvalue(result, 0, 0), "ok") == 0;
		answer_scheduler(traffic, request);
		return;
	}
	http_answer(request, &(Answer) {
		.status = HTTP_UNAVAILABLE,.type = "text/plain; charset=utf-8",.body = strdup(text),.length = strlen(text)
	});
}

/* Answers whether ticks come as they should. */
void
traffic_scheduler(Traffic *traffic, Request *request)
{
	if (traffic->scheduler_at != 0 && loop_now() < traffic->scheduler_at + SCHEDULER_PAUSE)
	{
		answer_scheduler(traffic, request);
		return;
	}
	request->own = traffic;
	pool_ask(traffic->pool, "SELECT h.state FROM incomplete_orders.health() h WHERE h.check_name OPERATOR(pg_catalog.=) 'tick'", 0, NULL,
			 ASK_LIMIT, on_scheduler, request);
}

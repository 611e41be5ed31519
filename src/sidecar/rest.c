/*
 * rest.c
 *		The REST API's router: finds the route, checks the request, asks, answers.
 *
 * The way of a request: rest_find() when its head is there; begin() when its body is,
 * which refuses what is malformed; staff.c and page.c say who it is; rest_ask() asks the
 * database; on_answer() answers.  Each step answers by itself where it ends.
 *
 * Memory: a RestCall belongs to its Request (free_own) and is never freed while a
 * question of it is open: the request waits for its answer, and a stream's question is
 * given up when its client goes.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "page.h"
#include "problem.h"
#include "proxy.h"
#include "query.h"
#include "rest.h"
#include "rest_schema.h"
#include "session.h"
#include "staff.h"

/* what a statement may take */
#define REST_LIMIT 20

static const RestRoute *const tables[] = {
	order_routes,
	list_routes,
	campaign_routes,
	staff_routes,
	session_routes,
	statistics_routes,
	page_routes,
	hook_routes,
	document_routes,
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* ---------------------------------------------------------------------------
 * Finding a route
 */

/*
 * How well the path fits: 0 not at all, else more for each segment that is named and the
 * more the further left it is.  The end of both may lack its slash.
 */
static unsigned
fit(const char *pattern, const char *path)
{
	unsigned	score = 1;

	for (;;)
	{
		size_t		wanted = strcspn(pattern, "/");
		size_t		given = strcspn(path, "/");

		if (wanted == 0 || given == 0)
			return wanted == 0 && given == 0 && *pattern == '\0' && *path == '\0' ? score : 0;
		if (pattern[0] == '{')
			score = 2 * score;
		else if (wanted == given && strncmp(pattern, path, wanted) == 0)
			score = 2 * score + 1;
		else
			return 0;
		pattern += wanted + (pattern[wanted] == '/');
		path += given + (path[given] == '/');
	}
}

/* Calls use() for each route until it says false; how many there are. */
int
rest_each_route(bool (*use) (void *arg, const RestRoute *route), void *arg)
{
	int			n = 0;

	for (size_t i = 0; i < TABLES; i++)
	{
		for (const RestRoute *route = tables[i]; route->method != NULL; route++)
		{
			n++;
			if (!use(arg, route))
				return n;
		}
	}
	return n;
}

typedef struct Finding
{
	const char *path;
	const char *method;
	unsigned	best;
	const char *pattern;
	RestAccess	access;
	const RestRoute *route;
	int			statement;
	int			n;
} Finding;

static bool
look_at(void *arg, const RestRoute *route)
{
	Finding    *finding = arg;
	unsigned	score = fit(route->pattern, finding->path);

	finding->n++;
	if (score == 0 || score < finding->best)
		return true;
	if (score > finding->best)
	{
		finding->best = score;
		finding->pattern = route->pattern;
		finding->access = route->access;
		finding->route = NULL;
	}
	if (strcmp(route->method, finding->method) == 0 || (strcmp(route->method, "GET") == 0 && strcmp(finding->method, "HEAD") == 0))
	{
		finding->route = route;
		finding->statement = finding->n;
	}
	return true;
}

typedef struct Allowing
{
	const char *pattern;
	char		text[80];
} Allowing;

static bool
allow(void *arg, const RestRoute *route)
{
	Allowing   *allowing = arg;
	size_t		length = strlen(allowing->text);

	if (strcmp(route->pattern, allowing->pattern) == 0)
		snprintf(allowing->text + length, sizeof(allowing->text) - length, "%s%s", route->method,
				 strcmp(route->method, "GET") == 0 ? ", HEAD, " : ", ");
	return true;
}

/* "GET, HEAD, POST, OPTIONS": what may be done there. */
static void
add_allow(RestCall *call)
{
	Allowing	allowing = {call->pattern, ""};

	(void) rest_each_route(allow, &allowing);
	strncat(allowing.text, "OPTIONS", sizeof(allowing.text) - strlen(allowing.text) - 1);
	http_add_header(call->request, "Allow", allowing.text);
}

/* Cuts the values of the pattern's {} out of the path. */
static void
cut(RestCall *call, char *path)
{
	const char *pattern = call->pattern;
	int			n = 0;

	while (*pattern != '\0')
	{
		size_t		wanted = strcspn(pattern, "/");
		size_t		given = strcspn(path, "/");
		bool		last = path[given] == '\0';

		if (pattern[0] == '{' && n < REST_PATH_MOST)
		{
			call->segments[n++] = path;
			path[given] = '\0';
		}
		pattern += wanted + (pattern[wanted] == '/');
		path += given + !last;
	}
}

static void
free_call(void *own)
{
	RestCall   *call = own;

	if (call->ask != 0 && call->pool != NULL)
		pool_forget(call->pool, call->ask);
	if (call->login != NULL)
		staff_leave(call);
	json_decref(call->path);
	json_decref(call->query);
	json_decref(call->headers);
	free(call->asked);
	free(call);
}

static void begin(Request *request);

static void
set_route(RestCall *call, const Finding *finding)
{
	Request    *request = call->request;
	const RestRoute *route = finding->route;

	call->route = route;
	call->pattern = finding->pattern;
	call->access = finding->access;
	call->statement = finding->statement;
	request->label = finding->pattern;
	request->body_most = route != NULL && route->body_most > 0 ? route->body_most : call->rest->body_most;
	if (finding->pattern == NULL)
		request->label = REST_ROOT;
	else
		cut(call, request->path + strlen(REST_ROOT));
}

/* A Finder: everything below REST_ROOT is ours. */
bool
rest_find(void *arg, Request *request)
{
	Finding		finding = {.method = request->method};
	RestCall   *call;

	if (strncmp(request->path, REST_ROOT, strlen(REST_ROOT)) != 0)
		return false;
	call = calloc(1, sizeof(*call));
	if (call == NULL)
		return false;
	call->request = request;
	call->rest = arg;
	finding.path = request->path + strlen(REST_ROOT);
	(void) rest_each_route(look_at, &finding);
	request->own = call;
	request->free_own = free_call;
	request->handler = begin;
	set_route(call, &finding);
	proxy_client(call->rest->proxies, request, call->address, sizeof(call->address));
	return true;
}

/* ---------------------------------------------------------------------------
 * Is it well-formed?  Each of these answers where it says false.
 */

static bool
refuse(RestCall *call, int status, const char *detail)
{
	problem_refuse(call->request, status, detail);
	return false;
}

/* Is there such a word in "a,b,c"? */
static bool
is_listed(const char *list, const char *word)
{
	size_t		length = strlen(word);

	while (list != NULL && *list != '\0')
	{
		size_t		part = strcspn(list, ",");

		if (part == length && strncmp(list, word, length) == 0)
			return true;
		list += part + (list[part] == ',');
	}
	return false;
}

/* Names of the pattern's {} and what was in their place. */
static bool
read_path(RestCall *call)
{
	const char *at = call->route->pattern;

	call->path = json_object();
	for (int i = 0; i < REST_PATH_MOST && (at = strchr(at, '{')) != NULL; i++, at++)
	{
		char		name[32];
		char	   *value = query_decode(call->segments[i], false);

		if (value == NULL)
			return refuse(call, HTTP_NOT_FOUND, "There is nothing of that name.");
		snprintf(name, sizeof(name), "%.*s", (int) strcspn(at + 1, "}"), at + 1);
		(void) json_object_set_new(call->path, name, json_string(value));
		free(value);
	}
	return true;
}

static bool
use_argument(void *arg, const char *raw_name, const char *raw_value)
{
	RestCall   *call = arg;
	char	   *name = query_decode(raw_name, true);
	char	   *value = query_decode(raw_value != NULL ? raw_value : "", true);
	bool		known = name != NULL && (is_listed(call->route->query, name) || (call->route->access == REST_STAFF && strcmp(name, "shop") == 0));
	bool		good = false;

	if (name == NULL || value == NULL)
		(void) refuse(call, HTTP_BAD_REQUEST, "The query is not UTF-8, or not escaped as it should be.");
	else if (!known)
		problem_answer(call->request, &(Problem) {
			.status = HTTP_BAD_REQUEST,.detail = "There is no such parameter here.",
				.hint = call->route->query != NULL ? call->route->query : "It takes none."
		});
	else if (json_object_get(call->query, name) != NULL)
		(void) refuse(call, HTTP_BAD_REQUEST, "A parameter comes twice.");
	else
		good = json_object_set_new(call->query, name, json_string(value)) == 0;
	free(name);
	free(value);
	return good;
}

static bool
read_query(RestCall *call)
{
	call->query = json_object();
	if (!http_each_argument(call->request, use_argument, call))
		return false;
	call->shop = json_string_value(json_object_get(call->query, "shop"));
	return true;
}

static bool
is_plain(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ' || (unsigned char) *text >= 0x7f)
			return false;
	}
	return true;
}

static bool
put_header(RestCall *call, const char *header, const char *name)
{
	const char *value = http_header(call->request, header);

	if (value == NULL || *value == '\0')
		return true;
	/* Of what is no text nothing is kept. */
	(void) json_object_set_new(call->headers, name, json_string(value));
	return true;
}

/* The bare value of If-Match: "3", W/"3" and 3 are the same; * asks for nothing. */
static void
put_match(RestCall *call)
{
	const char *value = http_header(call->request, "If-Match");
	char		bare[64];

	if (value == NULL || strcmp(value, "*") == 0)
		return;
	if (strncmp(value, "W/", 2) == 0)
		value += 2;
	value += *value == '"';
	snprintf(bare, sizeof(bare), "%.*s", (int) strcspn(value, "\""), value);
	(void) json_object_set_new(call->headers, "if_match", json_string(bare));
}

static bool
read_headers(RestCall *call)
{
	const char *key = http_header(call->request, "Idempotency-Key");

	call->headers = json_object();
	if (key != NULL && (*key == '\0' || strlen(key) > REST_KEY_MOST || !is_plain(key)))
		return refuse(call, HTTP_BAD_REQUEST, "An Idempotency-Key has 1 to 255 characters of ASCII.");
	(void) put_header(call, "Idempotency-Key", "idempotency_key");
	(void) put_header(call, "User-Agent", "user_agent");
	put_match(call);
	for (const char *at = call->route->headers; at != NULL && *at != '\0';)
	{
		size_t		length = strcspn(at, ",");
		char		header[64];
		char		name[64];

		snprintf(header, sizeof(header), "%.*s", (int) length, at);
		for (size_t i = 0; i <= strlen(header); i++)
			name[i] = header[i] == '-' ? '_' : header[i];
		(void) put_header(call, header, name);
		at += length + (at[length] == ',');
	}
	return true;
}

/* What stands before a ";" in a header, compared without regard to case. */
static bool
is_type(const char *header, const char *type)
{
	size_t		length = strcspn(header, "; \t");

	return length == strlen(type) && strncasecmp(header, type, length) == 0;
}

static bool
read_body(RestCall *call)
{
	Request    *request = call->request;
	unsigned	flags = call->route->flags;
	const char *type = http_header(request, "Content-Type");

	if (request->body_length == 0)
		return !(flags & REST_BODY) || refuse(call, HTTP_BAD_REQUEST, "A body is asked for, in JSON.");
	if (!(flags & (REST_BODY | REST_MAY_BODY | REST_ANY_BODY)))
		return refuse(call, HTTP_BAD_REQUEST, "No body is asked for.");
	if (flags & REST_ANY_BODY)
		return true;
	/* page.c made JSON of a form */
	if (type == NULL || !(is_type(type, "application/json") ||
						  ((flags & REST_TEXT) && (is_type(type, "text/plain") || is_type(type, "application/x-www-form-urlencoded")))))
		return refuse(call, HTTP_UNSUPPORTED_TYPE, "The body's Content-Type is application/json.");
	if (memchr(request->body, '\0', request->body_length) != NULL || !query_is_utf8(request->body, request->body_length))
		return refuse(call, HTTP_BAD_REQUEST, "The body is not UTF-8.");
	return true;
}

/* Does the client take what we have?  Only who says so clearly does not. */
static bool
is_acceptable(RestCall *call)
{
	const char *accept = http_header(call->request, "Accept");
	const char *type = call->route->type != NULL ? call->route->type : "application/json";
	char		all[32];

	snprintf(all, sizeof(all), "%.*s/*", (int) strcspn(type, "/"), type);
	if (accept == NULL || *accept == '\0' || strstr(accept, "*/*") != NULL || strcasestr(accept, all) != NULL ||
		strcasestr(accept, call->route->type != NULL ? "text/csv" : "json") != NULL)
		return true;
	return refuse(call, HTTP_NOT_ACCEPTABLE, call->route->type != NULL ? "Here is text/csv only." : "Here is application/json only.");
}

static bool
answer_refusal(RestCall *call)
{
	Request    *request = call->request;

	if (request->refusal == HTTP_TOO_LARGE)
		return refuse(call, HTTP_TOO_LARGE, "The body is larger than is taken here.");
	if (call->pattern == NULL)
		return refuse(call, HTTP_NOT_FOUND, "There is nothing of that name.");
	if (call->route != NULL)
		return true;
	add_allow(call);
	if (strcmp(request->method, "OPTIONS") != 0)
		return refuse(call, HTTP_METHOD_NOT_ALLOWED, "The header Allow has what may be done here.");
	http_answer(request, &(Answer) {.status = HTTP_NO_CONTENT});
	return false;
}

/* Is it well-formed, and whose is it? */
static void
check(RestCall *call)
{
	if (!answer_refusal(call))
		return;
	if (call->access == REST_PAGE ? !page_read(call) : !read_path(call) || !read_query(call) || !read_headers(call))
		return;
	if (!read_body(call) || !schema_check(call) || !is_acceptable(call))
		return;
	if (call->access == REST_STAFF)
		staff_admit(call);
	else
	{
		call->pool = call->rest->pool;
		rest_go_on(call);
	}
}

static void
begin(Request *request)
{
	RestCall   *call = request->own;

	/* first, because a page of another origin is to read every answer */
	if (page_is_asking(call))
		page_admit(call, check);
	else
		check(call);
}

/* ---------------------------------------------------------------------------
 * Asking
 */

/* Who asks may ask. */
void
rest_go_on(RestCall *call)
{
	if (call->route->handler != NULL)
		call->route->handler(call);
	else
		rest_ask(call);
}

/* The URL of the same with another cursor, which comes behind it; to be freed with g_free(). */
static char *
make_page_url(const RestCall *call)
{
	GString    *url = g_string_new(call->rest->prefix);
	const char *name;
	json_t	   *value;

	g_string_append(url, REST_ROOT);
	for (const char *at = call->pattern; *at != '\0';)
	{
		size_t		length = strcspn(at, "/");

		if (*at == '{')
		{
			char		key[32];

			snprintf(key, sizeof(key), "%.*s", (int) strcspn(at + 1, "}/"), at + 1);
			g_string_append_uri_escaped(url, json_string_value(json_object_get(call->path, key)), NULL, false);
		}
		else
			g_string_append_len(url, at, (gssize) length);
		at += length;
		if (*at == '/')
			g_string_append_c(url, *at++);
	}
	g_string_append_c(url, '?');
	json_object_foreach(call->query, name, value)
	{
		if (strcmp(name, "cursor") == 0)
			continue;
		g_string_append(url, name);
		g_string_append_c(url, '=');
		g_string_append_uri_escaped(url, json_string_value(value), NULL, false);
		g_string_append_c(url, '&');
	}
	g_string_append(url, "cursor=");
	return g_string_free(url, false);
}

static char *
make_asked(const RestCall *call)
{
	char	   *page = is_listed(call->route->query, "cursor") ? make_page_url(call) : NULL;
	json_t	   *asked = json_pack("{sOsOsOss*ss*ssss*}", "path", call->path, "query", call->query, "headers", call->headers,
								  "shop", call->shop, "address", call->address[0] != '\0' ? call->address : NULL,
								  "prefix", call->rest->prefix, "page", page);
	char	   *text = asked != NULL ? json_dumps(asked, JSON_COMPACT) : NULL;

	json_decref(asked);
	g_free(page);
	return text;
}

static void on_answer(void *arg, const PGresult *result, const Failure *failure);
static bool on_row(void *arg, const PGresult *row);

static void
put_question(RestCall *call)
{
	const RestRoute *route = call->route;
	const char *values[2] = {call->asked, call->request->body_length > 0 ? call->request->body : NULL};

	pool_put(call->pool, &(Question) {
		.sql = route->sql,.statement = call->statement,.n = 2,.values = values,
			.limit = (route->limit > 0 ? route->limit : REST_LIMIT) * SECOND,
			.row = (route->flags & REST_STREAM) ? on_row : NULL,.done = on_answer,.arg = call
	}, &call->ask);
}

/* Asks the database what the route says. */
void
rest_ask(RestCall *call)
{
	free(call->asked);
	call->asked = call->access == REST_PAGE ? page_asked(call) : make_asked(call);
	if (call->asked == NULL)
		problem_refuse(call->request, HTTP_UNAVAILABLE, NULL);
	else
		put_question(call);
}

/* ---------------------------------------------------------------------------
 * Answering
 */

static const char *
column(const PGresult *row, const char *name)
{
	int			n = PQfnumber(row, name);

	return n < 0 || PQgetisnull(row, 0, n) ? NULL : PQgetvalue(row, 0, n);
}

/* Is that what the client has, by If-None-Match? */
static bool
is_known(const RestCall *call, const char *etag)
{
	const char *known = http_header(call->request, "If-None-Match");

	return known != NULL && strcmp(call->route->method, "GET") == 0 && strstr(known, etag) != NULL;
}

static void
answer_row(RestCall *call, const PGresult *row)
{
	const char *status = column(row, "status");
	const char *body = column(row, "body");
	const char *type = column(row, "content_type");
	const char *etag = column(row, "etag");
	const char *retry_after = column(row, "retry_after");
	Answer		answer = {.status = status != NULL ? atoi(status) : HTTP_OK,.location = column(row, "location")};

	if (etag != NULL)
	{
		char		quoted[80];

		snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
		http_add_header(call->request, "ETag", quoted);
		if (answer.status == HTTP_OK && is_known(call, quoted))
		{
			answer.status = HTTP_NOT_MODIFIED;
			body = NULL;
		}
	}
	if (column(row, "disposition") != NULL)
		http_add_header(call->request, "Content-Disposition", column(row, "disposition"));
	if (body != NULL)
	{
		answer.type = type != NULL ? type : answer.status >= HTTP_BAD_REQUEST ? "application/problem+json" : "application/json";
		answer.body = strdup(body);
		answer.length = answer.body != NULL ? strlen(answer.body) : 0;
	}
	answer.retry_after = retry_after != NULL ? atoi(retry_after) : 0;
	http_answer(call->request, &answer);
}

/* Answers with what was made here; takes the reference. */
void
rest_answer(RestCall *call, int status, json_t *body)
{
	char	   *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	http_answer(call->request, &(Answer) {
		.status = status,.type = text != NULL ? "application/json" : NULL,.body = text,.length = text != NULL ? strlen(text) : 0
	});
}

/*
 * Was nothing done, so that it may be asked once more?  What lost against another statement
 * was undone as a whole; after a connection that broke only who reads can be sure.
 */
static bool
may_retry(const RestCall *call, const Failure *failure)
{
	bool		broke = failure->code == EX_UNAVAILABLE && strcmp(call->route->method, "GET") == 0 && !(call->route->flags & REST_WRITES);

	if (call->retried || call->streaming)
		return false;
	return broke || strcmp(failure->sqlstate, "40001") == 0 || strcmp(failure->sqlstate, "40P01") == 0;
}

static void
on_room(void *arg)
{
	RestCall   *call = arg;

	if (call->ask != 0)
		pool_go_on(call->pool, call->ask);
}

static void
on_gone(void *arg)
{
	RestCall   *call = arg;

	if (call->ask != 0)
		pool_forget(call->pool, call->ask);
	call->ask = 0;
}

static bool
begin_stream(RestCall *call)
{
	Answer		answer = {.status = HTTP_OK,.type = call->route->type != NULL ? call->route->type : "application/json"};

	call->streaming = http_stream_begin(call->request, &answer, &(HttpStreamer) {on_room, on_gone, call});
	return call->streaming;
}

static void
end_stream(RestCall *call, const Failure *failure)
{
	if (failure != NULL && failure->code != 0)
		log_trouble(failure, "stream", 0);
	if (call->streaming || begin_stream(call))
		http_stream_end(call->request, !call->torn && (failure == NULL || failure->code == 0));
	else
		problem_refuse(call->request, HTTP_UNAVAILABLE, NULL);
}

/* One more piece of a stream; false: enough for now. */
static bool
on_row(void *arg, const PGresult *row)
{
	RestCall   *call = arg;

	/* Who asks for the head only gets it when it is clear that there is something. */
	if (http_is_head(call->request))
	{
		on_gone(call);
		end_stream(call, NULL);
		return true;
	}
	if (!call->streaming && !begin_stream(call))
		return true;
	if (!http_stream_write(call->request, PQgetvalue(row, 0, 0), (size_t) PQgetlength(row, 0, 0)))
		call->torn = true;
	return !http_stream_is_full(call->request);
}

static void
on_answer(void *arg, const PGresult *result, const Failure *failure)
{
	RestCall   *call = arg;

	call->ask = 0;
	if (call->streaming || (result != NULL && (call->route->flags & REST_STREAM)))
		end_stream(call, result == NULL ? failure : NULL);
	else if (result == NULL && may_retry(call, failure))
	{
		call->retried = true;
		put_question(call);
	}
	else if (result == NULL && call->login != NULL && staff_refuse(call, failure))
		return;
	else if (result == NULL && call->access == REST_PAGE)
		page_failure(call, failure);
	else if (result == NULL)
		problem_failure(call->request, failure);
	else if (PQntuples(result) == 0)
		problem_refuse(call->request, HTTP_NOT_FOUND, "There is nothing of that name, or it is not yours to see.");
	else if (call->route->taker != NULL)
		call->route->taker(call, result);
	else
		answer_row(call, result);
}

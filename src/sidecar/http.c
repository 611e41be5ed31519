/*
 * http.c
 *		An HTTP server: routes, requests, answers.  The one place for libmicrohttpd.
 *
 * libmicrohttpd runs without threads: it gives one epoll socket and a time, the
 * program waits for both beside its other sockets and calls http_turn().  Its
 * first callback for a request only makes the Request (an answer there would close
 * the connection), the last one calls the handler.  A handler that did not answer
 * yet leaves the connection suspended; http_answer() wakes it.
 *
 * Limits (HttpLimits): the head of a request, its body, silence, connections; and the
 * time for sending a request and, again, for taking its answer, which ends clients that
 * send or read one byte now and then.  While a client waits for us its time stands still;
 * of an answer in pieces each piece has it anew.
 *
 * An answer in pieces is held up to STREAM_MOST: whoever writes it is told when there is
 * room again, so a slow reader makes the database wait, not our memory grow.
 *
 * Memory: a Request lives until libmicrohttpd has completed it, also when its client
 * is gone; its texts belong to it.
 *
 * Privacy: the log has routes and the first characters of parameters, which are secrets;
 * no address of anybody, no header.
 */
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "framing.h"
#include "http.h"
#include "listen.h"
#include "loop.h"

#define CONNECTIONS_MOST 512
#define CONNECTION_MEMORY 16384
#define IDLE_LIMIT 15			/* seconds */
#define REQUEST_LIMIT 30		/* seconds */
/* of a body without a length that turned out too large: what is read to be able to say so */
#define DISCARD_MOST 65536
#define SWEEP_EVERY SECOND
/* of a body in pieces: what is sent at once, and what is held for a client that reads slowly */
#define STREAM_PIECE 32768
#define STREAM_MOST 262144
/* what the log shows of a parameter */
#define SHOWN_MOST 6

static const char nothing_allowed[] = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* A client's connection: since when we have been waiting for it. */
typedef struct Client
{
	int			fd;
	int64_t		since;
	bool		waits;			/* it waits for us */
	struct Client *next;
	struct Client *before;
} Client;

struct Http
{
	HttpSetup	setup;
	struct MHD_Daemon *daemon;
	int			fd;
	char		address[128];
	Client	   *clients;
	Request    *requests;
	int64_t		next_sweep;
	bool		left;			/* a client is gone since it was last looked at */
	int			old_socket;		/* the listening socket, after http_quiesce() */
};

/* ---------------------------------------------------------------------------
 * Routes
 */

/* Does the path fit?  Then its parameters are cut out of it. */
static bool
fits(const char *pattern, char *path, char **parameters)
{
	char	   *starts[HTTP_PARAMETERS];
	char	   *ends[HTTP_PARAMETERS];
	int			n = 0;

	while (*pattern != '\0')
	{
		if (pattern[0] == '{' && pattern[1] == '}')
		{
			size_t		length = strcspn(path, "/");

			if (length == 0 || n == HTTP_PARAMETERS)
				return false;
			starts[n] = path;
			path += length;
			ends[n++] = path;
			pattern += 2;
		}
		else if (*pattern++ != *path++)
			return false;
	}
	if (*path != '\0')
		return false;
	for (int i = 0; i < n; i++)
	{
		parameters[i] = starts[i];
		*ends[i] = '\0';
	}
	return true;
}

/* Without what a proxy puts before it; a proxy may take it off itself. */
static const char *
without_prefix(const Http *http, const char *path)
{
	size_t		length = http->setup.prefix != NULL ? strlen(http->setup.prefix) : 0;

	return length > 0 && strncmp(path, http->setup.prefix, length) == 0 && path[length] == '/' ? path + length : path;
}

static bool
is_method(const Route *route, const char *method)
{
	return strcmp(route->method, method) == 0 || (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* The route of a request; without one, why: 404, or 405 with a route of another method. */
static void
find_route(Request *request, const Route *routes)
{
	for (const Route *route = routes; route->method != NULL; route++)
	{
		/* The path is cut at most once: the patterns of all methods of one page are equal. */
		bool		same = request->route != NULL && strcmp(request->route->pattern, route->pattern) == 0;

		if (!same && (request->route != NULL || !fits(route->pattern, request->path, request->parameters)))
			continue;
		request->route = route;
		if (is_method(route, request->method))
		{
			request->refusal = 0;
			return;
		}
		request->refusal = HTTP_METHOD_NOT_ALLOWED;
	}
	if (request->route == NULL && (request->http->setup.find == NULL || !request->http->setup.find(request->http->setup.find_arg, request)))
		request->refusal = HTTP_NOT_FOUND;
}

/* "GET, HEAD, POST": what the page of a refused request allows. */
static void
add_allow(const Request *request, struct MHD_Response *response)
{
	char		allow[128] = "";
	size_t		length = 0;

	for (const Route *route = request->http->setup.routes; route->method != NULL; route++)
	{
		if (strcmp(route->pattern, request->route->pattern) != 0)
			continue;
		length += snprintf(allow + length, sizeof(allow) - length, "%s%s%s", length > 0 ? ", " : "", route->method,
						   strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
		if (length >= sizeof(allow))
			return;
	}
	(void) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
}

/* ---------------------------------------------------------------------------
 * Requests
 */

const char *
http_header(const Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

typedef struct Lines
{
	const char *name;
	char	   *text;
	bool		failed;
} Lines;

static enum MHD_Result
on_line(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Lines	   *lines = arg;
	size_t		length = lines->text != NULL ? strlen(lines->text) : 0;
	char	   *text;

	if (strcasecmp(name, lines->name) != 0 || value == NULL)
		return MHD_YES;
	text = realloc(lines->text, length + strlen(value) + 2);
	if (text == NULL)
	{
		lines->failed = true;
		return MHD_NO;
	}
	if (length > 0)
		text[length++] = ',';
	memcpy(text + length, value, strlen(value) + 1);
	lines->text = text;
	return MHD_YES;
}

/* All lines of a header in their order, with commas between, to be freed; NULL: there is none, or no memory. */
char *
http_header_lines(const Request *request, const char *name)
{
	Lines		lines = {.name = name};

	(void) MHD_get_connection_values(request->connection, MHD_HEADER_KIND, on_line, &lines);
	if (!lines.failed)
		return lines.text;
	free(lines.text);
	return NULL;
}

typedef struct Each
{
	bool		(*use) (void *arg, const char *name, const char *value);
	void	   *arg;
	bool		ended;
} Each;

static enum MHD_Result
on_each(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Each	   *each = arg;

	each->ended = !each->use(each->arg, name, value);
	return each->ended ? MHD_NO : MHD_YES;
}

/*
 * What stands behind the "?", each in its order until use() says false, and then so do we:
 * as it was sent, but + for blanks; value may be NULL.
 */
bool
http_each_argument(const Request *request, bool (*use) (void *arg, const char *name, const char *value), void *arg)
{
	Each		each = {use, arg, false};

	(void) MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, on_each, &each);
	return !each.ended;
}

/* An argument of the query, as it was sent. */
const char *
http_argument(const Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

int
http_status(const Request *request)
{
	return request->status;
}

/* Who is connected, "" if that cannot be said: a proxy, or the client. */
void
http_peer(const Request *request, char *address, size_t size)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	socklen_t	length;

	address[0] = '\0';
	if (info == NULL || info->client_addr == NULL)
		return;
	length = info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	if (getnameinfo(info->client_addr, length, address, size, NULL, 0, NI_NUMERICHOST) != 0)
		address[0] = '\0';
}

bool
http_is_head(const Request *request)
{
	return strcmp(request->method, "HEAD") == 0;
}

static Request *
make_request(Http *http, struct MHD_Connection *connection, const char *path, const char *method)
{
	Request    *request = calloc(1, sizeof(*request));

	if (request == NULL)
		return NULL;
	request->path = strdup(without_prefix(http, path));
	if (request->path == NULL)
	{
		free(request);
		return NULL;
	}
	request->http = http;
	request->context = http->setup.context;
	request->connection = connection;
	request->method = method;
	request->body_most = HTTP_BODY_MOST;
	request->began = loop_now();
	request->next = http->requests;
	if (request->next != NULL)
		request->next->before = request;
	http->requests = request;
	find_route(request, http->setup.routes);
	return request;
}

static void
free_request(Request *request)
{
	if (request->next != NULL)
		request->next->before = request->before;
	if (request->before != NULL)
		request->before->next = request->next;
	else
		request->http->requests = request->next;
	if (request->response != NULL)
		MHD_destroy_response(request->response);
	for (int i = 0; i < HTTP_PARAMETERS; i++)
		free(request->values[i]);
	for (int i = 0; i < request->headers; i++)
		free(request->header_values[i]);
	if (request->free_own != NULL)
		request->free_own(request->own);
	free(request->path);
	free(request->body);
	free(request);
}

static void end_of_stream(Request *request);

static bool
is_logged(const Request *request, bool whole)
{
	int			status = request->status;

	if (request->http->setup.log != HTTP_LOG_ERRORS)
		return request->http->setup.log == HTTP_LOG_ALL;
	return !whole || status == HTTP_UNAUTHORIZED || status == HTTP_FORBIDDEN || status == HTTP_TOO_MANY || status >= HTTP_INTERNAL_ERROR;
}

static void
log_request(const Request *request, bool whole)
{
	LogLine		line;
	char		path[256] = "";
	size_t		length = 0;
	int			parameter = 0;

	for (const char *p = request->route != NULL ? request->route->pattern : "-"; *p != '\0' && length + SHOWN_MOST + 1 < sizeof(path); p++)
	{
		if (p[0] == '{' && p[1] == '}')
		{
			length += snprintf(path + length, sizeof(path) - length, "%.*s", SHOWN_MOST, request->parameters[parameter++]);
			p++;
		}
		else
			path[length++] = *p;
	}
	path[length] = '\0';
	log_begin(&line, "info", "request");
	log_text(&line, "method", request->method);
	log_text(&line, "path", request->label != NULL ? request->label : path);
	if (line.stream != NULL)
		fprintf(line.stream, " status=%d ms=%.1f", request->status, (double) (loop_now() - request->began) / 1000);
	log_text(&line, "note", request->note);
	if (!whole)
		log_text(&line, "aborted", "true");
	log_end(&line);
}

/* Room for so much more of the body, and a 0 byte. */
static bool
make_room(Request *request, size_t size)
{
	size_t		room = request->body_room;
	char	   *body;

	if (request->body_length + size < room)
		return true;
	room = request->body_length + size + 1 > 2 * room ? request->body_length + size + 1 : 2 * room;
	if (room > request->body_most + 1)
		room = request->body_most + 1;
	body = realloc(request->body, room);
	if (body == NULL)
		return false;
	request->body = body;
	request->body_room = room;
	return true;
}

/* Keeps a piece of the body; a body that is too large is read on for a while, to answer. */
static bool
take_body(Request *request, const char *data, size_t size)
{
	if (request->refusal != 0 || size > request->body_most - request->body_length)
	{
		if (request->refusal == 0)
			request->refusal = HTTP_TOO_LARGE;
		request->discarded += size;
		return request->discarded <= DISCARD_MOST;
	}
	if (!make_room(request, size))
		return false;
	memcpy(request->body + request->body_length, data, size);
	request->body_length += size;
	request->body[request->body_length] = '\0';
	return true;
}

/* Says its length, and that it is too much? */
static bool
announces_too_much(const Request *request)
{
	const char *length = http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
	size_t		digits;

	if (length == NULL)
		return false;
	length += strspn(length, "0");
	digits = strspn(length, "0123456789");
	return digits > 9 || (size_t) atol(length) > request->body_most;
}

static enum MHD_Result
send_answer(Request *request)
{
	return MHD_queue_response(request->connection, (unsigned) request->status, request->response);
}

static Client *
client_of(const Request *request)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static void
suspend(Request *request)
{
	Client	   *client = client_of(request);

	request->waiting = true;
	if (client != NULL)
		client->waits = true;
	MHD_suspend_connection(request->connection);
}

static void
resume(Request *request)
{
	Client	   *client = client_of(request);

	request->waiting = false;
	if (client != NULL)
	{
		client->waits = false;
		client->since = loop_now();
	}
	MHD_resume_connection(request->connection);
}

/* What could be read in two ways is not read: the connection ends behind this answer. */
static enum MHD_Result
refuse_framing(Request *request, int status)
{
	static const char text[] = "This is not HTTP/1.1 as everybody reads it.\n";

	http_answer(request, &(Answer) {
		.status = status,.type = "text/plain; charset=utf-8",.body = strdup(text),.length = sizeof(text) - 1
	});
	return request->response != NULL ? send_answer(request) : MHD_NO;
}

static void
handle(Request *request)
{
	if (request->handler != NULL)
		request->handler(request);
	else if (request->refusal != 0)
		request->http->setup.refuse(request);
	else
		request->route->handler(request);
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method, const char *version,
		   const char *data, size_t *size, void **state)
{
	Request    *request = *state;

	if (request == NULL)
	{
		int			status = framing_refusal(connection, version);

		request = *state = make_request(arg, connection, path, method);
		if (request == NULL)
			return MHD_NO;
		if (status != 0)
			return refuse_framing(request, status);
		if (!announces_too_much(request))
			return MHD_YES;
		/* Nothing of it is read: the connection ends behind this answer. */
		request->refusal = HTTP_TOO_LARGE;
		handle(request);
		return request->response != NULL ? send_answer(request) : MHD_NO;
	}
	if (*size > 0)
	{
		bool		taken = take_body(request, data, *size);

		*size = 0;
		return taken ? MHD_YES : MHD_NO;
	}
	if (request->response == NULL && request->status == 0)
	{
		request->status = -1;
		handle(request);
		if (request->response == NULL && request->status == -1)
		{
			suspend(request);
			return MHD_YES;
		}
	}
	return request->response != NULL ? send_answer(request) : MHD_NO;
}

static void
on_completed(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode how)
{
	Http	   *http = arg;
	Request    *request = *state;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	if (info != NULL && info->socket_context != NULL)
		((Client *) info->socket_context)->since = loop_now();
	*state = NULL;
	if (request == NULL)
		return;
	if (request->stream != NULL)
		end_of_stream(request);
	if (is_logged(request, how == MHD_REQUEST_TERMINATED_COMPLETED_OK))
		log_request(request, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	if (http->setup.completed != NULL)
		http->setup.completed(http->setup.completed_arg, request, loop_now() - request->began);
	free_request(request);
}

/* ---------------------------------------------------------------------------
 * Answers
 */

static void
add_header(struct MHD_Response *response, const char *name, const char *value)
{
	/* Refuses line ends in a value. */
	(void) MHD_add_response_header(response, name, value);
}

static void
add_headers(const Request *request, const Answer *answer, struct MHD_Response *response)
{
	for (int i = 0; i < request->headers; i++)
		add_header(response, request->names[i], request->header_values[i]);
	add_header(response, "Cache-Control", answer->cache != NULL ? answer->cache : "no-store");
	add_header(response, "Content-Security-Policy", answer->policy != NULL ? answer->policy : nothing_allowed);
	add_header(response, "Referrer-Policy", "no-referrer");
	add_header(response, "X-Content-Type-Options", "nosniff");
	add_header(response, "X-Frame-Options", answer->framed ? "SAMEORIGIN" : "DENY");
	add_header(response, "X-Robots-Tag", "noindex, nofollow");
	/* Asked to stop: a connection that is kept would go on asking. */
	if (request->http->old_socket >= 0)
		add_header(response, "Connection", "close");
	if (answer->type != NULL)
		add_header(response, "Content-Type", answer->type);
	if (answer->location != NULL)
		add_header(response, "Location", answer->location);
	if (answer->retry_after > 0)
	{
		char		seconds[16];

		snprintf(seconds, sizeof(seconds), "%d", answer->retry_after);
		add_header(response, "Retry-After", seconds);
	}
	if (answer->status == HTTP_METHOD_NOT_ALLOWED && request->route != NULL)
		add_allow(request, response);
}

/* Without memory for an answer the connection is closed. */
void
http_answer(Request *request, const Answer *answer)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(answer->body != NULL ? answer->length : 0, answer->body,
																	MHD_RESPMEM_MUST_FREE);

	if (response == NULL)
		free(answer->body);
	else
		add_headers(request, answer, response);
	request->response = response;
	request->status = answer->status;
	if (request->waiting)
		resume(request);
}

/* A header of the answer to come; the name is a constant.  Those of security have no use for it. */
void
http_add_header(Request *request, const char *name, const char *value)
{
	if (request->headers == HTTP_HEADERS)
		return;
	request->names[request->headers] = name;
	request->header_values[request->headers] = strdup(value);
	if (request->header_values[request->headers] != NULL)
		request->headers++;
}

/* ---------------------------------------------------------------------------
 * Answers in pieces
 */

/* What was written and not yet sent. */
struct HttpStream
{
	HttpStreamer streamer;
	char	   *data;
	size_t		length;
	size_t		room;
	size_t		sent;			/* of data */
	bool		ended;
	bool		whole;
};

/* libmicrohttpd has room for so much. */
static ssize_t
read_stream(void *arg, uint64_t position, char *out, size_t most)
{
	Request    *request = arg;
	struct HttpStream *stream = request->stream;
	size_t		length = stream->length - stream->sent;

	if (length == 0 && stream->ended)
		return stream->whole ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
	if (length == 0)
	{
		suspend(request);
		return 0;
	}
	if (length > most)
		length = most;
	memcpy(out, stream->data + stream->sent, length);
	stream->sent += length;
	/* Who takes a piece shows that he lives. */
	if (client_of(request) != NULL)
		client_of(request)->since = loop_now();
	if (stream->sent == stream->length)
	{
		stream->sent = stream->length = 0;
		if (!stream->ended)
			stream->streamer.more(stream->streamer.arg);
	}
	return (ssize_t) length;
}

static void
end_of_stream(Request *request)
{
	struct HttpStream *stream = request->stream;

	request->stream = NULL;
	if (!stream->ended)
		stream->streamer.gone(stream->streamer.arg);
	free(stream->data);
	free(stream);
}

/* The head of an answer whose body comes in pieces; its body and length do not count. */
bool
http_stream_begin(Request *request, const Answer *answer, const HttpStreamer *streamer)
{
	struct HttpStream *stream = calloc(1, sizeof(*stream));
	struct MHD_Response *response = NULL;

	if (stream != NULL)
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_PIECE, read_stream, request, NULL);
	if (response == NULL)
	{
		free(stream);
		return false;
	}
	stream->streamer = *streamer;
	request->stream = stream;
	add_headers(request, answer, response);
	request->response = response;
	request->status = answer->status;
	if (request->waiting)
		resume(request);
	return true;
}

/* False: there is no memory for it. */
bool
http_stream_write(Request *request, const char *data, size_t length)
{
	struct HttpStream *stream = request->stream;

	if (stream->length + length > stream->room)
	{
		size_t		room = stream->length + length > 2 * stream->room ? stream->length + length : 2 * stream->room;
		char	   *more = realloc(stream->data, room);

		if (more == NULL)
			return false;
		stream->data = more;
		stream->room = room;
	}
	memcpy(stream->data + stream->length, data, length);
	stream->length += length;
	if (request->waiting)
		resume(request);
	return true;
}

/* Should no more be written before more() was called? */
bool
http_stream_is_full(const Request *request)
{
	return request->stream->length >= STREAM_MOST;
}

/* Not whole: the client learns by the connection's end that something is missing. */
void
http_stream_end(Request *request, bool whole)
{
	request->stream->ended = true;
	request->stream->whole = whole;
	if (request->waiting)
		resume(request);
}

/* ---------------------------------------------------------------------------
 * Connections
 */

static void
on_connection(void *arg, struct MHD_Connection *connection, void **socket_context, enum MHD_ConnectionNotificationCode how)
{
	Http	   *http = arg;
	Client	   *client = *socket_context;

	if (how == MHD_CONNECTION_NOTIFY_STARTED)
	{
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		client = calloc(1, sizeof(*client));
		*socket_context = client;
		if (client == NULL)
			return;
		client->fd = info != NULL ? info->connect_fd : -1;
		client->since = loop_now();
		client->next = http->clients;
		if (client->next != NULL)
			client->next->before = client;
		http->clients = client;
	}
	else if (client != NULL)
	{
		http->left = true;
		if (client->next != NULL)
			client->next->before = client->before;
		if (client->before != NULL)
			client->before->next = client->next;
		else
			http->clients = client->next;
		free(client);
		*socket_context = NULL;
	}
}

/* Ends clients that take too long, byte by byte. */
static void
sweep(Http *http)
{
	int64_t		now = loop_now();

	if (now < http->next_sweep)
		return;
	http->next_sweep = now + SWEEP_EVERY;
	for (Client *client = http->clients; client != NULL; client = client->next)
	{
		if (!client->waits && now - client->since > http->setup.limits.request * SECOND && client->fd >= 0)
			(void) shutdown(client->fd, SHUT_RDWR);
	}
}

/* Paths are taken as they were sent: nothing in them needs an escape. */
static size_t
leave_escaped(void *arg, struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

/* ---------------------------------------------------------------------------
 * The server
 */

static void
set_limits(HttpLimits *limits)
{
	if (limits->head == 0)
		limits->head = CONNECTION_MEMORY;
	if (limits->idle == 0)
		limits->idle = IDLE_LIMIT;
	if (limits->request == 0)
		limits->request = REQUEST_LIMIT;
	if (limits->connections == 0)
		limits->connections = CONNECTIONS_MOST;
}

/* NULL: it could not be started, and why. */
Http *
http_start(const HttpSetup *setup, Failure *failure)
{
	Http	   *http = calloc(1, sizeof(*http));
	int			fd;

	if (http == NULL)
	{
		failure_set(failure, EX_OSERR, "out of memory");
		return NULL;
	}
	http->setup = *setup;
	set_limits(&http->setup.limits);
	http->old_socket = -1;
	fd = listen_open(setup->listen, http->address, sizeof(http->address), failure);
	if (fd >= 0)
	{
		http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, http,
										MHD_OPTION_LISTEN_SOCKET, fd,
										MHD_OPTION_CONNECTION_LIMIT, (unsigned) http->setup.limits.connections,
										MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned) http->setup.limits.per_address,
										MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) http->setup.limits.head,
										MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) http->setup.limits.idle,
										MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
										MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
										MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
										MHD_OPTION_STRICT_FOR_CLIENT, 1,
										MHD_OPTION_END);
		if (http->daemon != NULL)
		{
			http->fd = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
			return http;
		}
		failure_set(failure, EX_OSERR, "libmicrohttpd could not be started");
		close(fd);
	}
	free(http);
	return NULL;
}

/* Where it listens, with the port that port 0 became. */
const char *
http_address(const Http *http)
{
	return http->address;
}

/* Readable when http_turn() has something to do. */
int
http_fd(const Http *http)
{
	return http->fd;
}

/* When it has something to do all the same. */
int64_t
http_deadline(const Http *http)
{
	MHD_UNSIGNED_LONG_LONG timeout;
	int64_t		deadline = http->clients != NULL ? http->next_sweep : NEVER;

	if (MHD_get_timeout(http->daemon, &timeout) == MHD_YES)
	{
		int64_t		own = timeout > 3600000 ? NEVER : loop_now() + (int64_t) timeout * 1000;

		if (own < deadline)
			deadline = own;
	}
	return deadline;
}

/*
 * At the limit of connections libmicrohttpd takes its eye off the listening socket, and at
 * the end of a turn in which a client has left it does not yet have it back: without one
 * more turn nothing would wake us for those who wait.
 */
void
http_turn(Http *http)
{
	do
	{
		http->left = false;
		(void) MHD_run(http->daemon);
	} while (http->left);
	sweep(http);
}

/* Takes no new connection. */
void
http_quiesce(Http *http)
{
	if (http->old_socket < 0)
		http->old_socket = MHD_quiesce_daemon(http->daemon);
}

/* Requests that have begun and are not answered to the last byte. */
int
http_busy(const Http *http)
{
	int			n = 0;

	for (const Request *request = http->requests; request != NULL; request = request->next)
		n++;
	return n;
}

/* No request may wait for its answer any more. */
void
http_stop(Http *http)
{
	MHD_stop_daemon(http->daemon);
	if (http->old_socket >= 0)
		close(http->old_socket);
	free(http);
}

/*
 * http.h
 *		An HTTP server: routes, requests, answers.  The one place for libmicrohttpd.
 *
 * A program lists its routes.  A handler gets a Request and answers it with
 * http_answer(), at once or later: until then the request waits and costs nothing.
 */
#ifndef ICO_HTTP_H
#define ICO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

#define HTTP_PARAMETERS 4
#define HTTP_HEADERS 12

/* the largest body that is read, unless a finder says otherwise */
#define HTTP_BODY_MOST 8192

typedef enum HttpStatus
{
	HTTP_OK = 200,
	HTTP_NO_CONTENT = 204,
	HTTP_FOUND = 302,
	HTTP_SEE_OTHER = 303,
	HTTP_NOT_MODIFIED = 304,
	HTTP_BAD_REQUEST = 400,
	HTTP_UNAUTHORIZED = 401,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD_NOT_ALLOWED = 405,
	HTTP_NOT_ACCEPTABLE = 406,
	HTTP_CONFLICT = 409,
	HTTP_GONE = 410,
	HTTP_TOO_LARGE = 413,
	HTTP_UNSUPPORTED_TYPE = 415,
	HTTP_UNPROCESSABLE = 422,
	HTTP_TOO_MANY = 429,
	HTTP_INTERNAL_ERROR = 500,
	HTTP_UNAVAILABLE = 503,
} HttpStatus;

struct Http;
struct Route;
struct MHD_Connection;
struct MHD_Response;

typedef struct Request
{
	struct Http *http;
	void	   *context;		/* what http_start() was given */
	const struct Route *route;	/* NULL: there is none */
	const char *method;
	char	   *path;			/* as it was sent, without the query; parameters point into it */
	char	   *parameters[HTTP_PARAMETERS];
	char	   *body;			/* NULL: none; ends with a 0 byte that does not count */
	size_t		body_length;
	const char *note;			/* a constant word for the log, or NULL */
	char	   *values[HTTP_PARAMETERS];	/* what a handler keeps; freed with the request */
	const char *label;			/* what the log calls its path; NULL: the pattern with its parameters cut */

	/* of a finder */
	void		(*handler) (struct Request *request);
	void		(*free_own) (void *own);
	void	   *own;
	size_t		body_most;

	/* of http.c */
	struct MHD_Connection *connection;
	struct MHD_Response *response;
	int			status;
	int			refusal;		/* a status, or 0 */
	int64_t		began;
	size_t		body_room;
	size_t		discarded;
	bool		waiting;
	struct HttpStream *stream;
	int			headers;
	const char *names[HTTP_HEADERS];	/* of the answer, constants */
	char	   *header_values[HTTP_HEADERS];
	struct Request *next;
	struct Request *before;
} Request;

typedef void (*Handler) (Request *request);

/* pattern: "/r/{}"; each {} is one non-empty segment, in parameters.  GET serves HEAD too. */
typedef struct Route
{
	const char *method;
	const char *pattern;
	Handler		handler;
} Route;

/*
 * An answer.  The body belongs to http_answer() from then on, made by malloc();
 * NULL: there is none.  policy: the Content-Security-Policy; NULL: nothing is allowed.
 */
typedef struct Answer
{
	int			status;
	const char *type;
	char	   *body;
	size_t		length;
	const char *policy;
	const char *location;
	int			retry_after;	/* seconds, or 0 */
	const char *cache;			/* Cache-Control; NULL: nobody keeps it */
	bool		framed;			/* by pages of ours, which the policy says as well */
} Answer;

/* Which requests get a line in the log. */
typedef enum HttpLog
{
	HTTP_LOG_NONE,
	HTTP_LOG_ERRORS,			/* 401, 403, 429, 500 and above, and what was broken off */
	HTTP_LOG_ALL,
} HttpLog;

/* What clients may take; 0: what http.c thinks right. */
typedef struct HttpLimits
{
	int			head;			/* bytes of a request's line and headers */
	int			idle;			/* seconds of silence */
	int			request;		/* seconds for sending a request, and for taking its answer */
	int			connections;
	int			per_address;	/* of them; 0: any number */
} HttpLimits;

/*
 * Looks for a route where the table has none: sets handler, and refusal, label, own
 * and body_most as they should be.  False: it has none either.
 */
typedef bool (*Finder) (void *arg, Request *request);
typedef void (*Completed) (void *arg, const Request *request, int64_t took);

typedef struct HttpSetup
{
	const Route *routes;		/* ends with a NULL method */
	Handler		refuse;			/* answers with request->refusal: no route, other methods, too large */
	void	   *context;
	const char *listen;			/* HOST:PORT */
	const char *prefix;			/* what a proxy puts before each path, "/shop", or NULL */
	HttpLimits	limits;
	Finder		find;			/* or NULL */
	void	   *find_arg;
	Completed	completed;		/* or NULL: hears of each request that was answered */
	void	   *completed_arg;
	HttpLog		log;
} HttpSetup;

/*
 * An answer that is written piece by piece.  more() is called when there is room again,
 * gone() when nobody reads any more, after which nothing may be written.
 */
typedef struct HttpStreamer
{
	void		(*more) (void *arg);
	void		(*gone) (void *arg);
	void	   *arg;
} HttpStreamer;

typedef struct Http Http;

extern Http *http_start(const HttpSetup *setup, Failure *failure);
extern const char *http_address(const Http *http);
extern int	http_fd(const Http *http);
extern int64_t http_deadline(const Http *http);
extern void http_turn(Http *http);
extern void http_quiesce(Http *http);
extern int	http_busy(const Http *http);
extern void http_stop(Http *http);

extern const char *http_header(const Request *request, const char *name);
extern char *http_header_lines(const Request *request, const char *name);
extern void http_answer(Request *request, const Answer *answer);
extern bool http_is_head(const Request *request);
extern int	http_status(const Request *request);
extern void http_add_header(Request *request, const char *name, const char *value);
extern bool http_each_argument(const Request *request, bool (*use) (void *arg, const char *name, const char *value), void *arg);
extern const char *http_argument(const Request *request, const char *name);
extern void http_peer(const Request *request, char *address, size_t size);

extern bool http_stream_begin(Request *request, const Answer *answer, const HttpStreamer *streamer);
extern bool http_stream_write(Request *request, const char *data, size_t length);
extern bool http_stream_is_full(const Request *request);
extern void http_stream_end(Request *request, bool whole);

#endif							/* ICO_HTTP_H */

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

/* the largest body that is read */
#define HTTP_BODY_MOST 8192

typedef enum HttpStatus
{
	HTTP_OK = 200,
	HTTP_FOUND = 302,
	HTTP_SEE_OTHER = 303,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD_NOT_ALLOWED = 405,
	HTTP_GONE = 410,
	HTTP_TOO_LARGE = 413,
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

	/* of http.c */
	struct MHD_Connection *connection;
	struct MHD_Response *response;
	int			status;
	int			refusal;		/* a status, or 0 */
	int64_t		began;
	size_t		discarded;
	bool		waiting;
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
} Answer;

typedef struct HttpSetup
{
	const Route *routes;		/* ends with a NULL method */
	Handler		refuse;			/* answers with request->refusal: no route, other methods, too large */
	void	   *context;
	const char *listen;			/* HOST:PORT */
	bool		verbose;
} HttpSetup;

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
extern void http_answer(Request *request, const Answer *answer);
extern bool http_is_head(const Request *request);

#endif							/* ICO_HTTP_H */

/*
 * rest.h
 *		The REST API: routes as tables, calls, answers.
 *
 * A route is one line of a table and one constant SQL text.  The router checks the
 * request, logs staff in, hands the text what was asked and answers with its row;
 * everything that decides is in the database.  The OpenAPI document is made from the
 * same tables.
 *
 * A statement gets
 *	$1	text: the request as JSON: {"path": {name: text}, "query": {name: text},
 *		"headers": {name: text}, "shop": text, "address": text, "prefix": text, "page": text};
 *		what was not sent is not in it, or null; prefix and "/api/v1/incomplete-orders/..."
 *		make a link of ours, page and a cursor the URL of another page of the same
 *	$2	text: the body as it was sent, or null
 * and returns no row (404), or one with any of the columns
 *	status		integer, else 200
 *	body		text: JSON, or what content_type says
 *	location, etag, content_type, disposition, retry_after: of the headers
 * Pages of shops get {"path": ..., "headers": {"user_agent": text}, "visitor": {"shop", "consent",
 * "session"}} as $1.  A route with REST_STREAM returns rows of one text column, sent as they come, with nothing
 * between them.
 */
#ifndef ICO_REST_H
#define ICO_REST_H

#include <jansson.h>

#include "http.h"
#include "pool.h"

#define REST_ROOT "/api/v1/incomplete-orders/"
#define REST_PATH_MOST 3
#define REST_SEARCH_PATH "pg_catalog,pg_temp"
#define REST_KEY_MOST 255

typedef enum RestAccess
{
	REST_OPEN,					/* anybody: what the route asks for proves who it is */
	REST_STAFF,					/* a role of the database, with its password */
	REST_PAGE,					/* the shop's page: publishable key and session */
} RestAccess;

#define REST_BODY		0x01	/* a JSON body must come */
#define REST_MAY_BODY	0x02	/* one may come */
#define REST_TEXT		0x04	/* ... also called text/plain, as sendBeacon() does */
#define REST_ANY_BODY	0x08	/* ... of any type, which need not be JSON */
#define REST_STREAM		0x10	/* many rows */
#define REST_WRITES		0x20	/* it changes something */
#define REST_NO_SESSION	0x40	/* of a page: it needs no visitor */
#define REST_SESSION	0x80	/* it is about a session of staff */

struct RestCall;
typedef void (*RestHandler) (struct RestCall *call);
typedef void (*RestTaker) (struct RestCall *call, const PGresult *row);

typedef struct RestRoute
{
	const char *method;			/* NULL ends a table */
	const char *pattern;		/* below REST_ROOT: "incomplete-orders/{id}/convert_to_order/" */
	const char *name;			/* the operationId */
	RestAccess	access;
	unsigned	flags;
	const char *query;			/* allowed parameters, "status,start_date"; shop is always allowed to staff */
	const char *sql;
	const char *summary;
	const char *body;			/* name of the body's schema, or NULL */
	const char *answer;			/* name of the answer's schema, or NULL */
	const char *headers;		/* further headers that sql gets, "x-session-id,origin", named with _ */
	const char *type;			/* of a stream; NULL: JSON */
	RestHandler handler;		/* instead of asking at once; it calls rest_ask() or an answer */
	size_t		body_most;		/* 0: what --max-body says */
	int			limit;			/* seconds that the statement may take; 0: REST_LIMIT */
	RestTaker	taker;			/* gets the statement's row, and answers by itself */
} RestRoute;

extern const RestRoute order_routes[];
extern const RestRoute list_routes[];
extern const RestRoute campaign_routes[];
extern const RestRoute staff_routes[];
extern const RestRoute statistics_routes[];
extern const RestRoute page_routes[];
extern const RestRoute hook_routes[];
extern const RestRoute document_routes[];

/* What the API needs of the program. */
typedef struct Rest
{
	Pool	   *pool;			/* the program's own */
	struct Staff *staff;
	struct Sessions *sessions;
	struct Trials *trials;		/* or NULL */
	struct Page *page;
	const char *prefix;			/* or "" */
	size_t		body_most;
	const struct Proxies *proxies;
	const struct Sns *sns;		/* NULL: Amazon SNS is not listened to */
	bool		sns_confirms;	/* subscriptions are confirmed */
} Rest;

/* Whose page asks, and for whom; of page.c. */
typedef struct Visitor
{
	char		shop[64];
	char		consent[16];
	char		session[129];
} Visitor;

/* One request on its way.  Belongs to its Request, which outlives every question. */
typedef struct RestCall
{
	Request    *request;
	Rest	   *rest;
	const RestRoute *route;		/* NULL: none of this method, or none at all */
	const char *pattern;		/* of any method */
	RestAccess	access;			/* of the pattern */
	int			statement;
	char	   *segments[REST_PATH_MOST];	/* values of the pattern's {}, as sent */
	json_t	   *path;
	json_t	   *query;
	json_t	   *headers;
	Visitor		visitor;		/* of a page, else empty */
	const char *shop;			/* part of query, or NULL */
	char		address[64];	/* of the client, as far as it can be known */
	Pool	   *pool;			/* whose rights count; set by who lets it in */
	struct Login *login;		/* of staff.c */
	bool		by_cookie;		/* of a session */
	char	   *asked;			/* $1 */
	uint64_t	ask;			/* what was asked of pool, or 0 */
	bool		retried;
	bool		streaming;
	bool		torn;			/* a piece of the stream was lost */
} RestCall;

extern bool rest_find(void *arg, Request *request);
extern void rest_ask(RestCall *call);
extern void rest_go_on(RestCall *call);
extern void rest_answer(RestCall *call, int status, json_t *body);
extern int	rest_each_route(bool (*use) (void *arg, const RestRoute *route), void *arg);

#endif							/* ICO_REST_H */

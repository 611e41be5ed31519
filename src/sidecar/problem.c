/*
 * problem.c
 *		Problem documents (RFC 9457), and what an SQLSTATE means to a client.
 *
 * What the server says is repeated only where the extension said it: errors of class IC
 * and 22023, which quote no data, name no table and hold no SQL.  Of any other the client
 * gets the status and a sentence of ours; the log has the rest as far as db.c lets it.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "problem.h"

/* seconds after which a client may ask again */
#define RETRY_SOON 1
#define RETRY_LATER 5

static const struct
{
	int			status;
	const char *title;
}			titles[] = {
	{HTTP_BAD_REQUEST, "Bad Request"},
	{HTTP_UNAUTHORIZED, "Unauthorized"},
	{HTTP_FORBIDDEN, "Forbidden"},
	{HTTP_NOT_FOUND, "Not Found"},
	{HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed"},
	{HTTP_NOT_ACCEPTABLE, "Not Acceptable"},
	{HTTP_CONFLICT, "Conflict"},
	{HTTP_GONE, "Gone"},
	{HTTP_TOO_LARGE, "Content Too Large"},
	{HTTP_UNSUPPORTED_TYPE, "Unsupported Media Type"},
	{HTTP_UNPROCESSABLE, "Unprocessable Content"},
	{HTTP_TOO_MANY, "Too Many Requests"},
	{HTTP_INTERNAL_ERROR, "Internal Server Error"},
	{HTTP_UNAVAILABLE, "Service Unavailable"},
};

/* What an SQLSTATE, or how it begins, means to a client; the first counts. */
static const struct
{
	const char *sqlstate;
	int			status;
	int			retry_after;
	const char *detail;			/* NULL: what the extension said */
}			meanings[] = {
	{"IC001", HTTP_UNAVAILABLE, RETRY_LATER, "The database is not set up."},
	{"IC002", HTTP_NOT_FOUND},	/* no such shop, or no right to it */
	{"IC003", HTTP_NOT_FOUND},
	{"IC006", HTTP_CONFLICT},
	{"IC007", HTTP_UNPROCESSABLE},
	{"IC010", HTTP_UNPROCESSABLE},
	{"IC011", HTTP_NOT_FOUND},	/* a token that is none */
	{"IC017", HTTP_FORBIDDEN},
	{"IC012", HTTP_INTERNAL_ERROR, 0, "Something that must always be true was not; nothing was changed."},
	{"IC", HTTP_CONFLICT},		/* it is in another state, stale, taken, in use */
	{"22023", HTTP_UNPROCESSABLE},
	{"22P02", HTTP_BAD_REQUEST, 0, "A value has not the form that is asked for."},
	{"22P05", HTTP_BAD_REQUEST, 0, "A text has a character that cannot be kept."},
	{"2203", HTTP_BAD_REQUEST, 0, "The JSON is not as it should be."},
	{"22", HTTP_UNPROCESSABLE, 0, "A value is out of range, or has not the form that is asked for."},
	{"23505", HTTP_CONFLICT, 0, "There is one already."},
	{"23", HTTP_UNPROCESSABLE, 0, "A value is not allowed."},
	{"28", HTTP_UNAUTHORIZED, 0, "There is no such role, or its password is another one."},
	{"42704", HTTP_NOT_FOUND, 0, "There is nothing of that name, or it is not yours to see."},
	{"42725", HTTP_CONFLICT, 0, "More than one shop has something of that name: say which shop."},
	{"42501", HTTP_FORBIDDEN, 0, "This role may not do that."},
	{"25006", HTTP_UNAVAILABLE, RETRY_LATER, "This database is a standby: it can be read only."},
	{"40", HTTP_UNAVAILABLE, RETRY_SOON, "Somebody else changed the same at the same time; nothing was done."},
	{"54", HTTP_UNPROCESSABLE, 0, "That is too much at once."},
	{"55P03", HTTP_UNAVAILABLE, RETRY_SOON, "Somebody else holds it; nothing was done."},
	{"57014", HTTP_UNAVAILABLE, RETRY_LATER, "It took too long; nothing was done."},
	{"53", HTTP_UNAVAILABLE, RETRY_LATER, "The database has no room for that now."},
	{"57P", HTTP_UNAVAILABLE, RETRY_LATER, "The database is being stopped or started."},
	{"08", HTTP_UNAVAILABLE, RETRY_LATER, "The database does not answer."},
	{"3D000", HTTP_UNAVAILABLE, RETRY_LATER, "The database is not set up."},
	{"3F000", HTTP_UNAVAILABLE, RETRY_LATER, "The database is not set up."},
};

static const char *
title_of(int status)
{
	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
	{
		if (titles[i].status == status)
			return titles[i].title;
	}
	return "Error";
}

static void
put(json_t *document, const char *key, const char *value)
{
	/* What is no UTF-8 is left out. */
	if (value != NULL)
		(void) json_object_set_new(document, key, json_string(value));
}

void
problem_answer(Request *request, const Problem *problem)
{
	json_t	   *document = json_object();
	char		type[80] = "about:blank";
	char	   *text = NULL;

	if (problem->type != NULL)
		snprintf(type, sizeof(type), "urn:incomplete-orders:%s", problem->type);
	put(document, "type", type);
	put(document, "title", title_of(problem->status));
	(void) json_object_set_new(document, "status", json_integer(problem->status));
	put(document, "detail", problem->detail);
	put(document, "code", problem->code);
	put(document, "hint", problem->hint);
	put(document, "field", problem->field);
	text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	http_answer(request, &(Answer) {
		.status = problem->status,.type = "application/problem+json",.body = text,.length = text != NULL ? strlen(text) : 0,
			.retry_after = problem->retry_after
	});
}

void
problem_refuse(Request *request, int status, const char *detail)
{
	problem_answer(request, &(Problem) {.status = status,.detail = detail});
}

/* What says which function to call, or which statement to give, is for who sits at SQL. */
static const char *
for_clients(const char *text)
{
	return text == NULL || strstr(text, "incomplete_orders.") != NULL || strstr(text, "SELECT ") != NULL ? NULL : text;
}

/* "message: detail", as far as the extension said it; to be freed. */
static char *
own_words(const Failure *failure)
{
	char	   *text = NULL;

	if (failure->message == NULL)
		return NULL;
	if (for_clients(failure->detail) == NULL)
		return strdup(failure->message);
	if (asprintf(&text, "%s: %s", failure->message, failure->detail) < 0)
		return NULL;
	return text;
}

static void
answer_unknown(Request *request, const Failure *failure)
{
	if (failure->code == EX_UNAVAILABLE || failure->code == EX_TEMPFAIL)
	{
		problem_answer(request, &(Problem) {
			.status = HTTP_UNAVAILABLE,.retry_after = RETRY_LATER,
				.detail = failure->code == EX_TEMPFAIL ? "No answer came in time." : "The database does not answer."
		});
		return;
	}
	log_trouble(failure, "request", 0);
	problem_answer(request, &(Problem) {.status = HTTP_INTERNAL_ERROR,.detail = "The log of the program says more."});
}

/* Answers with why the database did not do it. */
void
problem_failure(Request *request, const Failure *failure)
{
	const char *sqlstate = failure->sqlstate;

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
	{
		bool		ours = strncmp(sqlstate, "IC", 2) == 0;
		char	   *words;

		if (sqlstate[0] == '\0' || strncmp(sqlstate, meanings[i].sqlstate, strlen(meanings[i].sqlstate)) != 0)
			continue;
		words = meanings[i].detail == NULL ? own_words(failure) : NULL;
		if (meanings[i].status >= HTTP_INTERNAL_ERROR)
			log_trouble(failure, "request", 0);
		problem_answer(request, &(Problem) {
			.status = meanings[i].status,.detail = words != NULL ? words : meanings[i].detail,.type = ours ? sqlstate : NULL,
				.code = sqlstate,.hint = meanings[i].detail == NULL ? for_clients(failure->hint) : NULL,
				.field = meanings[i].detail == NULL ? failure->field : NULL,.retry_after = meanings[i].retry_after
		});
		free(words);
		return;
	}
	answer_unknown(request, failure);
}

/*
 * shopper.c
 *		What the links in a message lead to.
 *
 *	GET  /r/{token}		the cart, and a button; records a click
 *	POST /r/{token}		restores it: to the shop's restore_url, or shows it
 *	GET  /c/{token}/{n}	to the page of line n of the order; records a click
 *	GET  /o/{token}		a picture that nobody sees; records that the message was opened
 *	GET  /u/{token}		a button; POST unsubscribes (RFC 8058, or by the button)
 *	GET  /n/{token}		the same for "this was not meant for me"
 *
 * A GET changes nothing but those records.  Where to go never comes from the request:
 * the database looks it up by the token.  Nobody is logged in, no cookie is set,
 * nothing about a person is shown.
 *
 * Everything that decides is in the database; an error there becomes a page that
 * says what to do.  A request is answered in the callbacks of its questions (pool.h).
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "pages.h"
#include "shopper.h"

#define TOKEN_LENGTH 43
/* characters that the tokens of one message share */
#define MESSAGE_LENGTH 21
#define ASK_LIMIT (5 * SECOND)

/* The columns are those of CartColumn. */
static const char cart_sql[] =
"SELECT p.message_id, p.shop_name, p.locale, p.reference, p.status, p.total, p.currency, p.logo_url, p.colour, p.restore_url,"
" coalesce(nullif(i.name, ''), i.sku), i.variant, i.quantity, i.unit_price OPERATOR(pg_catalog.*) i.quantity, i.image_url, i.url"
" FROM incomplete_orders.preview_cart($1) p LEFT JOIN LATERAL ("
"SELECT l.n, l.sku, l.name, l.variant, l.quantity OPERATOR(pg_catalog.-) coalesce(l.filled, 0) AS quantity, l.unit_price, l.image_url, l.url"
" FROM ROWS FROM (pg_catalog.jsonb_to_recordset(p.items) AS (sku pg_catalog.text, name pg_catalog.text, variant pg_catalog.text,"
" quantity pg_catalog.int4, filled pg_catalog.int4, unit_price pg_catalog.numeric, image_url pg_catalog.text, url pg_catalog.text))"
" WITH ORDINALITY AS l(sku, name, variant, quantity, filled, unit_price, image_url, url, n)"
" WHERE l.quantity OPERATOR(pg_catalog.>) coalesce(l.filled, 0)) i ON true ORDER BY i.n";

/* Names of what is gone and of what is different, as text. */
static const char restore_sql[] =
"SELECT r.id,"
" (SELECT pg_catalog.string_agg(coalesce(x.value OPERATOR(pg_catalog.->>) 'name', x.value OPERATOR(pg_catalog.->>) 'sku'), ', ')"
" FROM pg_catalog.jsonb_array_elements(r.removed) x),"
" (SELECT pg_catalog.string_agg(coalesce(x.value OPERATOR(pg_catalog.->>) 'name', x.value OPERATOR(pg_catalog.->>) 'sku'), ', ')"
" FROM pg_catalog.jsonb_array_elements(r.changed) x)"
" FROM incomplete_orders.restore_cart($1, NULL) r";

static const char target_sql[] = "SELECT t.message_id, t.url FROM incomplete_orders.link_target($1, $2::pg_catalog.int4) t";
/* The columns are those of LinkColumn. */
static const char link_sql[] =
"SELECT p.message_id, p.shop_name, p.locale, p.logo_url, p.colour FROM incomplete_orders.preview_unsubscribe($1) p";
static const char unsubscribe_sql[] = "SELECT incomplete_orders.unsubscribe($1, $2)";

/* A GIF of one transparent pixel. */
static const unsigned char pixel[43] = {
	'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff,
	0x21, 0xf9, 4, 1, 0, 0, 0, 0, 0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0, 0x3b
};

typedef enum LinkColumn
{
	LINK_MESSAGE_ID,
	LINK_SHOP_NAME,
	LINK_LOCALE,
	LINK_LOGO_URL,
	LINK_COLOUR,
} LinkColumn;

/* what request->values holds between restoring and answering */
enum
{
	KEPT_ID,
	KEPT_REMOVED,
	KEPT_CHANGED,
};

/* ---------------------------------------------------------------------------
 * Answers that all of them give
 */

static bool
is_token(const char *text)
{
	return strlen(text) == TOKEN_LENGTH &&
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == TOKEN_LENGTH;
}

/* Nothing is known of the shop, only what the browser says. */
static Look
plain_look(const Request *request)
{
	return (Look) {.language = language_of(NULL, http_header(request, "Accept-Language"))};
}

static void
answer_plainly(Request *request, int status, Text title, Text text)
{
	Look		look = plain_look(request);

	page_message(request, status, &look, title, text);
}

static void
answer_bad_link(Request *request)
{
	answer_plainly(request, HTTP_NOT_FOUND, T_LINK_BAD_TITLE, T_LINK_BAD_TEXT);
}

static void
answer_failure(Request *request, const Failure *failure)
{
	const char *sqlstate = failure->sqlstate;

	if (strcmp(sqlstate, "IC011") == 0)
	{
		if (failure->detail != NULL && strstr(failure->detail, "expired") != NULL)
			answer_plainly(request, HTTP_GONE, T_LINK_EXPIRED_TITLE, T_LINK_EXPIRED_TEXT);
		else if (failure->detail != NULL && strstr(failure->detail, "not kept any more") != NULL)
			answer_plainly(request, HTTP_GONE, T_CLOSED_TITLE, T_CLOSED_TEXT);
		else
			answer_bad_link(request);
	}
	/* There is no such order any more, it may not be moved, or it has expired. */
	else if (strcmp(sqlstate, "IC003") == 0 || strcmp(sqlstate, "IC004") == 0 || strcmp(sqlstate, "IC006") == 0)
		answer_plainly(request, HTTP_GONE, T_CLOSED_TITLE, T_CLOSED_TEXT);
	else if (failure->code == EX_UNAVAILABLE || failure->code == EX_TEMPFAIL)
		answer_plainly(request, HTTP_UNAVAILABLE, T_AWAY_TITLE, T_AWAY_TEXT);
	else
	{
		log_trouble(failure, "request", 0);
		answer_plainly(request, HTTP_INTERNAL_ERROR, T_ERROR_TITLE, T_ERROR_TEXT);
	}
}

/* Is there something to show?  If not, the request is answered. */
static bool
has_row(Request *request, const PGresult *result, const Failure *failure)
{
	if (result == NULL)
		answer_failure(request, failure);
	else if (PQntuples(result) == 0)
		answer_bad_link(request);
	else
		return true;
	return false;
}

static Pool *
pool_of(const Request *request)
{
	return ((Shopper *) request->context)->pool;
}

/* Asks with the token, unless it cannot be one. */
static void
ask_by_token(Request *request, const char *sql, const char *second, AskDone done)
{
	const char *values[] = {request->parameters[0], second};

	if (is_token(request->parameters[0]))
		pool_ask(pool_of(request), sql, second != NULL ? 2 : 1, values, ASK_LIMIT, done, request);
	else
		answer_bad_link(request);
}

static void
note_visit(Request *request, VisitKind kind, const char *link, const char *message_id)
{
	const char *sign = visit_sign(request, kind);

	request->note = sign != NULL ? sign : "human";
	visits_add(((Shopper *) request->context)->visits, kind, request->parameters[0], link, message_id, sign);
}

/* ---------------------------------------------------------------------------
 * The cart
 */

static const char *
value_of(const PGresult *result, int column)
{
	return PQgetisnull(result, 0, column) ? NULL : PQgetvalue(result, 0, column);
}

static Look
look_of(const Request *request, const PGresult *cart)
{
	return (Look) {
		.language = language_of(value_of(cart, CART_LOCALE), http_header(request, "Accept-Language")),
			.shop_name = value_of(cart, CART_SHOP_NAME),
			.logo_url = value_of(cart, CART_LOGO_URL),
			.colour = value_of(cart, CART_COLOUR),
	};
}

/* The page of an order of which nothing is left to restore; false: it is none of those. */
static bool
answer_settled(Request *request, const Look *look, const PGresult *cart)
{
	const char *status = PQgetvalue(cart, 0, CART_STATUS);

	if (strcmp(status, "converted") == 0)
		page_message(request, HTTP_OK, look, T_CONVERTED_TITLE, T_CONVERTED_TEXT);
	else if (strcmp(status, "payment_pending") == 0)
		page_message(request, HTTP_OK, look, T_PENDING_TITLE, T_PENDING_TEXT);
	else
		return false;
	return true;
}

static void
on_cart(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	Look		look;

	if (!has_row(request, result, failure))
		return;
	look = look_of(request, result);
	note_visit(request, VISIT_CLICK, "r", PQgetvalue(result, 0, CART_MESSAGE_ID));
	if (!answer_settled(request, &look, result))
		page_cart(request, &look, result);
}

void
show_cart(Request *request)
{
	ask_by_token(request, cart_sql, NULL, on_cart);
}

/* Writes a value into a URL. */
static void
put_escaped(FILE *out, const char *value)
{
	for (; *value != '\0'; value++)
	{
		unsigned char c = (unsigned char) *value;

		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", c) != NULL)
			fputc(c, out);
		else
			fprintf(out, "%%%02X", c);
	}
}

/*
 * The URL as a header may have it, with {token} and {id} filled in where these are
 * not NULL.  NULL: it is no web address.  To be freed.
 */
static char *
location_of(const char *url, const char *token, const char *id)
{
	char	   *text = NULL;
	size_t		length;
	FILE	   *out = is_web_url(url) ? open_memstream(&text, &length) : NULL;

	if (out == NULL)
		return NULL;
	for (const char *p = url; *p != '\0'; p++)
	{
		if (token != NULL && strncmp(p, "{token}", 7) == 0)
		{
			put_escaped(out, token);
			p += 6;
		}
		else if (id != NULL && strncmp(p, "{id}", 4) == 0)
		{
			put_escaped(out, id);
			p += 3;
		}
		else if (strchr("\"<>^`{|}", *p) != NULL || (unsigned char) *p >= 0x80)
			fprintf(out, "%%%02X", (unsigned char) *p);
		else
			fputc(*p, out);
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static void
redirect(Request *request, int status, char *location)
{
	http_answer(request, &(Answer) {.status = status,.location = location});
	free(location);
}

static void
on_restored_cart(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	char	   *location;
	Look		look;

	if (!has_row(request, result, failure))
		return;
	location = location_of(value_of(result, CART_RESTORE_URL), request->parameters[0], request->values[KEPT_ID]);
	look = look_of(request, result);
	if (location != NULL)
		redirect(request, HTTP_SEE_OTHER, location);
	else
		page_restored(request, &look, result, request->values[KEPT_REMOVED], request->values[KEPT_CHANGED]);
}

/* It was refused, because of what became of the order meanwhile: that is what to show. */
static void
on_refused_cart(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	Look		look;

	if (!has_row(request, result, failure))
		return;
	look = look_of(request, result);
	if (!answer_settled(request, &look, result))
		page_message(request, HTTP_GONE, &look, T_CLOSED_TITLE, T_CLOSED_TEXT);
}

static void
on_restored(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;

	if (result == NULL && strcmp(failure->sqlstate, "IC004") == 0)
	{
		ask_by_token(request, cart_sql, NULL, on_refused_cart);
		return;
	}
	if (!has_row(request, result, failure))
		return;
	for (int i = KEPT_ID; i <= KEPT_CHANGED; i++)
		request->values[i] = PQgetisnull(result, 0, i) ? NULL : strdup(PQgetvalue(result, 0, i));
	/* In its new state, in a statement of its own. */
	ask_by_token(request, cart_sql, NULL, on_restored_cart);
}

void
restore_cart(Request *request)
{
	ask_by_token(request, restore_sql, NULL, on_restored);
}

/* ---------------------------------------------------------------------------
 * Links and the picture
 */

/* Is the target our own restore page for the message of that token?  Its token, or NULL. */
static const char *
restore_token(const char *url, const char *token)
{
	size_t		length = url != NULL ? strlen(url) : 0;
	const char *own;

	if (length < TOKEN_LENGTH + 3)
		return NULL;
	own = url + length - TOKEN_LENGTH;
	if (strncmp(own - 3, "/r/", 3) == 0 && is_token(own) && strncmp(own, token, MESSAGE_LENGTH) == 0)
		return own;
	return NULL;
}

static void
on_target(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	const char *url;
	const char *token;
	char		own[TOKEN_LENGTH + 16];
	char		link[16];
	char	   *location;

	if (!has_row(request, result, failure))
		return;
	url = PQgetisnull(result, 0, 1) ? NULL : PQgetvalue(result, 0, 1);
	token = restore_token(url, request->parameters[0]);
	snprintf(link, sizeof(link), "c%s", request->parameters[1]);
	note_visit(request, VISIT_CLICK, token != NULL ? "r" : link, PQgetvalue(result, 0, 0));
	/* Relative: it works behind any prefix that a proxy takes away. */
	snprintf(own, sizeof(own), "../../r/%s", token != NULL ? token : "");
	location = token != NULL ? strdup(own) : location_of(url, NULL, NULL);
	if (location != NULL)
		redirect(request, HTTP_FOUND, location);
	else
		answer_bad_link(request);
}

void
follow_link(Request *request)
{
	const char *line = request->parameters[1];
	size_t		digits = strspn(line, "0123456789");

	if (line[digits] != '\0' || digits > 4 || *line == '0')
		answer_bad_link(request);
	else
		ask_by_token(request, target_sql, line, on_target);
}

/* Always the same answer: there is nothing to learn from it, and nothing to wait for. */
void
send_picture(Request *request)
{
	char	   *body = malloc(sizeof(pixel));

	if (is_token(request->parameters[0]))
		note_visit(request, VISIT_OPEN, "o", NULL);
	if (body != NULL)
		memcpy(body, pixel, sizeof(pixel));
	http_answer(request, &(Answer) {.status = HTTP_OK,.type = "image/gif",.body = body,.length = sizeof(pixel)});
}

/* ---------------------------------------------------------------------------
 * No more messages
 */

/* Two pages that differ in words and in how much they end. */
typedef struct Ending
{
	const char *link;
	const char *scope;
	Text		title;
	Text		text;
	Text		button;
	Text		done_title;
	Text		done_text;
} Ending;

static const Ending unsubscribing = {
	"u", "recovery", T_UNSUBSCRIBE_TITLE, T_UNSUBSCRIBE_TEXT, T_UNSUBSCRIBE_BUTTON, T_UNSUBSCRIBED_TITLE, T_UNSUBSCRIBED_TEXT
};
static const Ending not_me = {
	"n", "all", T_NOT_ME_TITLE, T_NOT_ME_TEXT, T_NOT_ME_BUTTON, T_NOT_ME_DONE_TITLE, T_NOT_ME_DONE_TEXT
};

static const Ending *
ending_of(const Request *request)
{
	return strcmp(request->route->pattern, "/n/{}") == 0 ? &not_me : &unsubscribing;
}

static Look
look_of_link(const Request *request, const PGresult *link)
{
	return (Look) {
		.language = language_of(value_of(link, LINK_LOCALE), http_header(request, "Accept-Language")),
			.shop_name = value_of(link, LINK_SHOP_NAME),
			.logo_url = value_of(link, LINK_LOGO_URL),
			.colour = value_of(link, LINK_COLOUR),
	};
}

static void
on_link(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	const Ending *ending = ending_of(request);
	Look		look;

	if (!has_row(request, result, failure))
		return;
	look = look_of_link(request, result);
	note_visit(request, VISIT_LOOK, ending->link, PQgetvalue(result, 0, LINK_MESSAGE_ID));
	page_confirm(request, &look, ending->title, ending->text, ending->button);
}

void
ask_unsubscribe(Request *request)
{
	ask_by_token(request, link_sql, NULL, on_link);
}

/* It is done, whether we can say in whose name or not. */
static void
on_unsubscribed_link(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	const Ending *ending = ending_of(request);
	Look		look = result != NULL && PQntuples(result) > 0 ? look_of_link(request, result) : plain_look(request);

	page_message(request, HTTP_OK, &look, ending->done_title, ending->done_text);
}

static void
on_unsubscribed(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;

	if (result == NULL)
		answer_failure(request, failure);
	else
		ask_by_token(request, link_sql, NULL, on_unsubscribed_link);
}

/* RFC 8058 has its own body, our button another one: whoever posts here means it. */
void
unsubscribe(Request *request)
{
	ask_by_token(request, unsubscribe_sql, ending_of(request)->scope, on_unsubscribed);
}

/* ---------------------------------------------------------------------------
 * What is no request for any of them
 */

void
refuse_request(Request *request)
{
	switch (request->refusal)
	{
		case HTTP_METHOD_NOT_ALLOWED:
			answer_plainly(request, request->refusal, T_METHOD_TITLE, T_METHOD_TEXT);
			break;
		case HTTP_TOO_LARGE:
			answer_plainly(request, request->refusal, T_TOO_LARGE_TITLE, T_TOO_LARGE_TEXT);
			break;
		default:
			answer_plainly(request, HTTP_NOT_FOUND, T_NOT_FOUND_TITLE, T_NOT_FOUND_TEXT);
	}
}

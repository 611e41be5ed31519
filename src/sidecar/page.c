/*
 * page.c
 *		Letting a shop's page in: publishable key, origin, limits, session.
 *
 * A page says which shop it is of (X-Publishable-Key or ?key=, for a beacon has no
 * headers) and whose cart it means (X-Session-Id, or session_id in the body; never in
 * a URL, which ends up in logs).  The key is no secret.  The session is: who knows it may do
 * what the customer may, so it must be long enough not to be guessed.
 *
 * Browsers say where a page is from (Origin).  Only what the shop lists in
 * allowed_origins is let in, whatever the request is: what a browser asks before
 * (OPTIONS) and what it sends without asking.  There is no cookie here and none is
 * asked for (no Access-Control-Allow-Credentials), so nobody else's page can use a
 * visitor's login or session: it would have to know the session.
 *
 * What a key stands for is asked of the database once in KEY_KEPT; it is also the time
 * after which a changed setting or a withdrawn key counts.
 *
 * Memory: KEYS_MOST keys, three tables of buckets.  A request that waits for its key is
 * continued in the callback of that question.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "loop.h"
#include "page.h"
#include "problem.h"
#include "proxy.h"
#include "query.h"

#define KEY_LENGTH 46			/* pk_ and 43 characters */
#define KEYS_MOST 256			/* each in one of two places */
#define KEY_KEPT (60 * SECOND)
/* a key that is nobody's is asked for again sooner: it may be new */
#define UNKNOWN_KEPT (5 * SECOND)
#define KEY_LIMIT (5 * SECOND)
#define SESSION_LEAST 16
#define SESSION_MOST 128
/* what a browser may remember of an answer to OPTIONS, seconds */
#define PREFLIGHT_KEPT "600"
/* how many seconds' worth may come at once */
#define BURST 5

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/* not the blank, the quote and the like, which ask for mistakes */
static const char session_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:~";

/* The columns are those of KeyColumn. */
static const char key_sql[] =
"SELECT k.shop, array_to_string(k.allowed_origins, E'\\n'), k.consent_rule,"
" CASE WHEN isfinite(k.valid_until) THEN greatest(0, least(60, extract(epoch FROM k.valid_until - now())))::int4 ELSE 60 END"
" FROM incomplete_orders.shop_of_key($1) k";

typedef enum KeyColumn
{
	KEY_SHOP,
	KEY_ORIGINS,
	KEY_CONSENT,
	KEY_SECONDS,
} KeyColumn;

typedef struct Key
{
	char		key[KEY_LENGTH + 1];
	int64_t		until;			/* what is here counts */
	char	   *shop;			/* NULL: it is nobody's */
	char	   *origins;		/* one in a line */
	char		consent[16];
} Key;

struct Page
{
	Key			keys[KEYS_MOST];
	Buckets		per_key;
	Buckets		per_session;
	Buckets		per_address;
};

/* What a request waits for its key with. */
typedef struct Waiting
{
	RestCall   *call;
	void		(*go_on) (RestCall *call);
	char		key[KEY_LENGTH + 1];
} Waiting;

Page *
page_new(const PageLimits *limits)
{
	Page	   *page = calloc(1, sizeof(*page));

	if (page == NULL)
		return NULL;
	buckets_init(&page->per_key, limits->per_key, BURST * limits->per_key);
	buckets_init(&page->per_session, limits->per_session, BURST * limits->per_session);
	buckets_init(&page->per_address, limits->per_address, BURST * limits->per_address);
	return page;
}

static void
clear_key(Key *key)
{
	free(key->shop);
	free(key->origins);
	memset(key, 0, sizeof(*key));
}

void
page_free(Page *page)
{
	if (page == NULL)
		return;
	for (int i = 0; i < KEYS_MOST; i++)
		clear_key(&page->keys[i]);
	buckets_free(&page->per_key);
	buckets_free(&page->per_session);
	buckets_free(&page->per_address);
	free(page);
}

/* ---------------------------------------------------------------------------
 * Refusing
 */

static bool
refuse(RestCall *call, int status, const char *type, const char *detail, const char *hint)
{
	problem_answer(call->request, &(Problem) {.status = status,.type = type,.detail = detail,.hint = hint});
	return false;
}

static bool
may_go_on(RestCall *call, Buckets *buckets, const char *who, const char *detail)
{
	int			wait = buckets_take(buckets, who, loop_now());

	if (wait == 0)
		return true;
	problem_answer(call->request, &(Problem) {
		.status = HTTP_TOO_MANY,.type = "too-many-requests",.detail = detail,.retry_after = wait
	});
	return false;
}

/* ---------------------------------------------------------------------------
 * Origin
 */

/* Is it one of the lines? */
static bool
is_allowed(const char *origins, const char *origin)
{
	size_t		length = strlen(origin);

	while (*origins != '\0')
	{
		size_t		line = strcspn(origins, "\n");

		if (line == length && strncasecmp(origins, origin, length) == 0)
			return true;
		origins += line + (origins[line] == '\n');
	}
	return false;
}

/* What a page of that origin may read of the answer, whatever it will be. */
static void
add_cors(RestCall *call, const char *origin)
{
	http_add_header(call->request, "Access-Control-Allow-Origin", origin);
	http_add_header(call->request, "Access-Control-Expose-Headers", "Retry-After");
}

static bool
check_origin(RestCall *call, const Key *key)
{
	const char *origin = http_header(call->request, "Origin");

	/* What is answered depends on it, also when there is none. */
	http_add_header(call->request, "Vary", "Origin");
	if (origin == NULL)
		return true;
	if (!is_allowed(key->origins, origin))
		return refuse(call, HTTP_FORBIDDEN, "origin", "The shop does not list the origin of this page.",
					  "The shop's setting allowed_origins lists them; a change counts within a minute.");
	add_cors(call, origin);
	return true;
}

/* What a browser asks before it sends a request that is not plain. */
static void
answer_preflight(RestCall *call)
{
	http_add_header(call->request, "Access-Control-Allow-Methods", "GET, PUT, POST");
	http_add_header(call->request, "Access-Control-Allow-Headers", "Content-Type, X-Publishable-Key, X-Session-Id");
	http_add_header(call->request, "Access-Control-Max-Age", PREFLIGHT_KEPT);
	http_answer(call->request, &(Answer) {.status = HTTP_NO_CONTENT});
}

/* ---------------------------------------------------------------------------
 * Session
 */

static bool
hex_is(const char *text, char *byte)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *high = text[0] != '\0' ? strchr(digits, text[0]) : NULL;
	const char *low = high != NULL && text[1] != '\0' ? strchr(digits, text[1]) : NULL;

	if (low == NULL)
		return false;
	*byte = (char) ((high - digits) % 16 * 16 + (low - digits) % 16);
	return true;
}

/* Decodes a part of a form in place. */
static bool
decode(char *text)
{
	char	   *to = text;

	for (; *text != '\0'; text++)
	{
		if (*text == '%')
		{
			if (!hex_is(text + 1, to) || *to++ == '\0')
				return false;
			text += 2;
		}
		else
			*to++ = *text == '+' ? ' ' : *text;
	}
	*to = '\0';
	return true;
}

/* Puts a.b=1 as {"a": {"b": "1"}}. */
static bool
put_field(json_t *form, char *name, const char *value)
{
	char	   *inner = strchr(name, '.');
	json_t	   *object = form;

	if (inner != NULL)
	{
		*inner++ = '\0';
		object = json_object_get(form, name);
		if (!json_is_object(object))
		{
			object = json_object();
			if (json_object_set_new(form, name, object) != 0)
				return false;
		}
		name = inner;
	}
	return json_object_set_new(object, name, json_string(value)) == 0;
}

/* a=1&b.c=2 as {"a": "1", "b": {"c": "2"}}; NULL: it is no such form. */
static json_t *
read_form(char *text)
{
	json_t	   *form = json_object();

	for (char *part = strsep(&text, "&"); part != NULL; part = strsep(&text, "&"))
	{
		char	   *value = part + strcspn(part, "=");

		if (*value == '=')
			*value++ = '\0';
		if (*part == '\0')
			continue;
		if (!decode(part) || !decode(value) || !put_field(form, part, value))
		{
			json_decref(form);
			return NULL;
		}
	}
	return form;
}

static bool
is_form(const RestCall *call)
{
	const char *type = http_header(call->request, "Content-Type");
	static const char form[] = "application/x-www-form-urlencoded";

	return type != NULL && strncasecmp(type, form, strlen(form)) == 0 && strchr("; \t", type[strlen(form)]) != NULL;
}

/* A form is read as JSON from here on. */
static json_t *
turn_form(RestCall *call)
{
	Request    *request = call->request;
	json_t	   *form = memchr(request->body, '\0', request->body_length) == NULL ? read_form(request->body) : NULL;
	char	   *text = form != NULL ? json_dumps(form, JSON_COMPACT) : NULL;

	if (text == NULL)
	{
		json_decref(form);
		return NULL;
	}
	free(request->body);
	request->body = text;
	request->body_length = strlen(text);
	return form;
}

static bool
is_session(const char *session)
{
	size_t		length = strlen(session);

	return length >= SESSION_LEAST && length <= SESSION_MOST && strspn(session, session_letters) == length;
}

/* Where the session is said, its header before the body. */
static bool
read_session(RestCall *call)
{
	Request    *request = call->request;
	const char *session = http_header(request, "X-Session-Id");
	json_t	   *body = NULL;

	if (request->body_length > 0 && is_form(call))
	{
		body = turn_form(call);
		if (body == NULL)
			return refuse(call, HTTP_BAD_REQUEST, NULL, "The form is not escaped as it should be.", NULL);
	}
	else if (session == NULL && request->body_length > 0)
		body = json_loadb(request->body, request->body_length, 0, NULL);
	if (session == NULL)
		session = json_string_value(json_object_get(body, "session_id"));
	if (session != NULL && is_session(session))
		snprintf(call->visitor.session, sizeof(call->visitor.session), "%s", session);
	json_decref(body);
	if (call->visitor.session[0] != '\0' || (call->route->flags & REST_NO_SESSION))
		return true;
	return refuse(call, HTTP_BAD_REQUEST, "session", "The visitor's session is missing, or is none.",
				  "X-Session-Id, or session_id in the body, has 16 to 128 letters, digits and . : _ ~ -, and nobody can guess it.");
}

/* ---------------------------------------------------------------------------
 * Key
 */

static const char *
said_key(const RestCall *call)
{
	const char *key = http_header(call->request, "X-Publishable-Key");

	return key != NULL ? key : http_argument(call->request, "key");
}

static bool
is_key(const char *key)
{
	return key != NULL && strlen(key) == KEY_LENGTH && strncmp(key, "pk_", 3) == 0 && strspn(key + 3, letters) == KEY_LENGTH - 3;
}

/* Where a key is kept, or may be; its characters are as good as random. */
static Key *
place_of(Page *page, const char *key, int64_t now)
{
	unsigned	at = 0;
	Key		   *first;
	Key		   *second;

	for (int i = 3; i < 11; i++)
		at = 31 * at + (unsigned char) key[i];
	first = &page->keys[at % KEYS_MOST];
	second = &page->keys[(at + 1) % KEYS_MOST];
	if (strcmp(first->key, key) == 0)
		return first;
	if (strcmp(second->key, key) == 0)
		return second;
	/* What is nobody's, or has run out, makes room. */
	return first->shop == NULL || first->until <= now || second->shop != NULL ? first : second;
}

/* Answers where it says false. */
static bool
enter(RestCall *call, const Key *key)
{
	Page	   *page = call->rest->page;

	if (key->shop == NULL)
		return refuse(call, HTTP_UNAUTHORIZED, "key", "No shop has that publishable key.",
					  "It is one of the shop's settings; one that was replaced is not valid for ever.");
	if (!check_origin(call, key) || !may_go_on(call, &page->per_key, key->key, "The pages of this shop ask too much."))
		return false;
	if (call->route == NULL)
		return true;
	snprintf(call->visitor.shop, sizeof(call->visitor.shop), "%s", key->shop);
	snprintf(call->visitor.consent, sizeof(call->visitor.consent), "%s", key->consent);
	return read_session(call);
}

static bool
limit_session(RestCall *call)
{
	char		who[sizeof(Visitor)];

	if (call->visitor.session[0] == '\0')
		return true;
	/* of two shops the same session is of two visitors */
	snprintf(who, sizeof(who), "%s/%s", call->visitor.shop, call->visitor.session);
	return may_go_on(call, &call->rest->page->per_session, who, "This visitor's page asks too often.");
}

static void
come_in(RestCall *call, const Key *key, void (*go_on) (RestCall *call))
{
	if (!enter(call, key))
		return;
	if (call->route == NULL)
		answer_preflight(call);
	else if (limit_session(call))
		go_on(call);
}

static char *
copy_column(const PGresult *result, KeyColumn column)
{
	return strdup(PQgetisnull(result, 0, column) ? "" : PQgetvalue(result, 0, column));
}

static void
keep(Key *place, const char *key, const PGresult *result)
{
	clear_key(place);
	memcpy(place->key, key, KEY_LENGTH + 1);
	place->until = loop_now() + UNKNOWN_KEPT;
	if (PQntuples(result) == 0)
		return;
	place->origins = copy_column(result, KEY_ORIGINS);
	if (place->origins == NULL)
		return;
	place->shop = copy_column(result, KEY_SHOP);
	snprintf(place->consent, sizeof(place->consent), "%s", PQgetvalue(result, 0, KEY_CONSENT));
	place->until = loop_now() + atoi(PQgetvalue(result, 0, KEY_SECONDS)) * SECOND;
}

static void
on_key(void *arg, const PGresult *result, const Failure *failure)
{
	Waiting    *waiting = arg;
	Key		   *place;

	if (result == NULL)
		page_failure(waiting->call, failure);
	else
	{
		place = place_of(waiting->call->rest->page, waiting->key, loop_now());
		keep(place, waiting->key, result);
		come_in(waiting->call, place, waiting->go_on);
	}
	free(waiting);
}

static void
ask_for_key(RestCall *call, const char *key, void (*go_on) (RestCall *call))
{
	Waiting    *waiting = calloc(1, sizeof(*waiting));
	const char *values[] = {key};

	if (waiting == NULL)
	{
		(void) refuse(call, HTTP_UNAVAILABLE, NULL, NULL, NULL);
		return;
	}
	waiting->call = call;
	waiting->go_on = go_on;
	memcpy(waiting->key, key, KEY_LENGTH + 1);
	pool_ask(call->rest->pool, key_sql, 1, values, KEY_LIMIT, on_key, waiting);
}

/* Is it a request of a page, or what a browser asks before one? */
bool
page_is_asking(const RestCall *call)
{
	if (call->pattern == NULL || call->access != REST_PAGE || call->request->refusal == HTTP_TOO_LARGE)
		return false;
	return call->route != NULL ||
		(strcmp(call->request->method, "OPTIONS") == 0 && http_header(call->request, "Access-Control-Request-Method") != NULL);
}

/* ---------------------------------------------------------------------------
 * What the database is asked
 */

static bool
use_argument(void *arg, const char *name, const char *value)
{
	bool	   *only_key = arg;

	if (strcmp(name, "key") != 0)
		*only_key = false;
	return *only_key;
}

/* Is there nothing in the address but what may be? */
bool
page_read(RestCall *call)
{
	bool		only_key = true;

	(void) http_each_argument(call->request, use_argument, &only_key);
	if (!only_key)
		return refuse(call, HTTP_BAD_REQUEST, NULL, "There is no such parameter here.", "A page says its key here, and everything else in the body.");
	/* the tokens of links, and of nothing else, are made of these */
	if (call->segments[0] != NULL && strspn(call->segments[0], letters) != strlen(call->segments[0]))
		return refuse(call, HTTP_NOT_FOUND, NULL, "There is nothing of that name, or it is not yours to see.", NULL);
	return true;
}

/* Text as JSON; what is no plain ASCII is left out, which no browser sends here. */
static void
put_text(char **to, const char *end, const char *text)
{
	char	   *at = *to;

	*at++ = '"';
	for (; *text != '\0' && at < end - 3; text++)
	{
		if ((unsigned char) *text < ' ' || (unsigned char) *text >= 0x7f)
			continue;
		if (*text == '"' || *text == '\\')
			*at++ = '\\';
		*at++ = *text;
	}
	*at++ = '"';
	*at = '\0';
	*to = at;
}

/*
 * The request as JSON, in one piece without a tree: it is made for each cart that a page
 * sends.  Shop, session and token are of characters that need no escape.
 */
char *
page_asked(const RestCall *call)
{
	const char *agent = http_header(call->request, "User-Agent");
	const char *token = call->segments[0] != NULL ? call->segments[0] : "";
	size_t		room = sizeof(Visitor) + strlen(token) + 1200;
	char	   *text = malloc(room);
	char	   *at;

	if (text == NULL)
		return NULL;
	at = text + snprintf(text, room, "{\"path\":{\"token\":\"%s\"},\"visitor\":{\"shop\":\"%s\",\"consent\":\"%s\"%s%s%s},\"headers\":{\"user_agent\":",
						 token, call->visitor.shop, call->visitor.consent, call->visitor.session[0] != '\0' ? ",\"session\":\"" : "",
						 call->visitor.session, call->visitor.session[0] != '\0' ? "\"" : "");
	/* facts.c keeps no more of it */
	put_text(&at, at + 520, agent != NULL ? agent : "");
	snprintf(at, room - (size_t) (at - text), "}}");
	return text;
}

/*
 * Answers with why the database did not do it.  What it says of roles and of shops is
 * not for everybody.
 */
void
page_failure(RestCall *call, const Failure *failure)
{
	Failure		public = *failure;

	/* What the program's role may not do is not the page's fault. */
	if (strcmp(failure->sqlstate, "42501") == 0)
	{
		log_trouble(failure, "page", 0);
		problem_refuse(call->request, HTTP_UNAVAILABLE, "The shop's pages cannot be served now; the log of the program says why.");
		return;
	}
	if (strcmp(failure->sqlstate, "IC002") == 0 || strcmp(failure->sqlstate, "IC003") == 0)
		public.detail = public.hint = NULL;
	problem_failure(call->request, &public);
}

/*
 * Lets a request in and calls go_on(), or answers it; call->route NULL: it is what a
 * browser asks before.
 */
void
page_admit(RestCall *call, void (*go_on) (RestCall *call))
{
	Page	   *page = call->rest->page;
	const char *key = said_key(call);
	int64_t		now = loop_now();
	Key		   *place;
	char		network[64];

	call->pool = call->rest->pool;
	proxy_network(call->address, network, sizeof(network));
	if (call->address[0] != '\0' && !may_go_on(call, &page->per_address, network, "Too many requests come from this address."))
		return;
	if (!is_key(key))
	{
		(void) refuse(call, HTTP_UNAUTHORIZED, "key", "The shop's publishable key is missing, or is none.",
					  "It is the parameter key of the query, or the header X-Publishable-Key; pages of another origin need the parameter.");
		return;
	}
	place = place_of(page, key, now);
	if (strcmp(place->key, key) == 0 && now < place->until)
		come_in(call, place, go_on);
	else
		ask_for_key(call, key, go_on);
}

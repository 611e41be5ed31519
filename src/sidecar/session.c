/*
 * session.c
 *		Staff who signed in on the admin's pages: cookies.
 *
 * Who signs in says role and password once (POST session/).  The database checks them as it
 * does with HTTP Basic, by a connection of that role, and what is asked afterwards is asked
 * over such connections: a session is nothing but a login of staff.c that is held, under
 * 256 random bits that only the browser has; here is their digest.  A password that was
 * changed ends the session when the next connection is made, staff_idle later at most.
 *
 * A browser sends the cookie with whatever a page makes it send, so each request that
 * changes something, signing in and out among them, must come from a page of ours (what the
 * browser says of it: Sec-Fetch-Site, else Origin, one of which must be there) and, once
 * signed in, bring the session's CSRF token, which only our pages can read.  A request that
 * says Authorization is one of a program: its cookie is not looked at.
 *
 * A session ends by signing out, after idle_limit without a request of somebody's hand (the
 * header X-Background says that a request is not), and after age_limit in any case.  A role
 * has at most SESSIONS_PER_ROLE, of which the one unused for longest makes room.
 *
 * Memory: a Session belongs to the table.  With the last session of a login that login is
 * let go, and its password is overwritten when no request uses it any more.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "loop.h"
#include "problem.h"
#include "proxy.h"
#include "rest_schema.h"
#include "session.h"
#include "staff.h"

#define COOKIE "incomplete_orders_session"
#define SECRET_SIZE 32
/* as base64url, without the end of it */
#define SECRET_LENGTH 43
#define SESSIONS_MOST 1024
#define SESSIONS_PER_ROLE 16
#define ROLE_LENGTH 63
#define PASSWORD_LENGTH 1000
#define FULL_PAUSE 60

typedef struct Session
{
	unsigned char digest[32];
	char		csrf_token[SECRET_LENGTH + 1];
	struct Login *login;
	int64_t		made;
	int64_t		used;
} Session;

/* ---------------------------------------------------------------------------
 * The table
 */

static guint
hash_digest(gconstpointer digest)
{
	guint		hash;

	memcpy(&hash, digest, sizeof(hash));
	return hash;
}

static gboolean
equal_digests(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, 32) == 0;
}

static void
end_session(gpointer arg)
{
	Session    *session = arg;

	staff_let_go(session->login);
	explicit_bzero(session, sizeof(*session));
	g_free(session);
}

/* What was read as JSON may have been a password. */
static void
free_wiped(void *memory)
{
	if (memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

/* Seconds; false: there is no randomness. */
bool
sessions_init(Sessions *sessions, int idle_limit, int age_limit)
{
	json_set_alloc_funcs(malloc, free_wiped);
	sessions->table = g_hash_table_new_full(hash_digest, equal_digests, NULL, end_session);
	sessions->idle_limit = idle_limit * SECOND;
	sessions->age_limit = age_limit * SECOND;
	sessions->due = NEVER;
	return getrandom(sessions->key, sizeof(sessions->key), 0) == sizeof(sessions->key);
}

void
sessions_free(Sessions *sessions)
{
	if (sessions->table != NULL)
		g_hash_table_destroy(sessions->table);
	sessions->table = NULL;
	explicit_bzero(sessions->key, sizeof(sessions->key));
}

static int64_t
end_of(const Sessions *sessions, const Session *session)
{
	int64_t		idle = session->used + sessions->idle_limit;
	int64_t		age = session->made + sessions->age_limit;

	return idle < age ? idle : age;
}

static gboolean
is_over(gpointer key, gpointer value, gpointer arg)
{
	Sessions   *sessions = arg;
	const Session *session = value;
	int64_t		end = end_of(sessions, session);

	if (end <= loop_now() || !staff_is_good(session->login))
		return true;
	if (end < sessions->due)
		sessions->due = end;
	return false;
}

/* Ends those whose time is over, so that nothing of them is kept. */
void
sessions_turn(Sessions *sessions)
{
	if (loop_now() < sessions->due)
		return;
	sessions->due = NEVER;
	(void) g_hash_table_foreach_remove(sessions->table, is_over, sessions);
}

int64_t
sessions_deadline(const Sessions *sessions)
{
	return sessions->due;
}

static gboolean
has_login(gpointer key, gpointer value, gpointer login)
{
	return ((const Session *) value)->login == login;
}

static void
make_digest(const Sessions *sessions, const char *secret, unsigned char *digest)
{
	GHmac	   *hmac = g_hmac_new(G_CHECKSUM_SHA256, sessions->key, sizeof(sessions->key));
	gsize		length = 32;

	g_hmac_update(hmac, (const guchar *) secret, SECRET_LENGTH);
	g_hmac_get_digest(hmac, digest, &length);
	g_hmac_unref(hmac);
}

static bool
make_secret(char *text)
{
	unsigned char bytes[SECRET_SIZE];
	char	   *encoded;

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return false;
	encoded = g_base64_encode(bytes, sizeof(bytes));
	for (int i = 0; i < SECRET_LENGTH; i++)
		text[i] = (char) (encoded[i] == '+' ? '-' : encoded[i] == '/' ? '_' : encoded[i]);
	text[SECRET_LENGTH] = '\0';
	explicit_bzero(bytes, sizeof(bytes));
	explicit_bzero(encoded, strlen(encoded));
	g_free(encoded);
	return true;
}

/* One more for that role: the one that was not used for longest goes. */
static void
make_room(Sessions *sessions, const struct Login *login)
{
	Session    *oldest = NULL;
	GHashTableIter iter;
	gpointer	value;
	int			n = 0;

	g_hash_table_iter_init(&iter, sessions->table);
	while (g_hash_table_iter_next(&iter, NULL, &value))
	{
		Session    *session = value;

		if (strcmp(staff_role(session->login), staff_role(login)) != 0)
			continue;
		n++;
		if (oldest == NULL || session->used < oldest->used)
			oldest = session;
	}
	if (n >= SESSIONS_PER_ROLE)
		(void) g_hash_table_remove(sessions->table, oldest->digest);
}

/* A session of that login, whose secret comes into secret; NULL: there is no room, or no randomness. */
static Session *
make_session(Sessions *sessions, struct Login *login, char *secret)
{
	Session    *session;

	make_room(sessions, login);
	if (g_hash_table_size(sessions->table) >= SESSIONS_MOST)
		return NULL;
	session = g_new0(Session, 1);
	if (!make_secret(secret) || !make_secret(session->csrf_token))
	{
		g_free(session);
		return NULL;
	}
	make_digest(sessions, secret, session->digest);
	session->login = login;
	session->made = session->used = loop_now();
	staff_hold(login);
	(void) g_hash_table_insert(sessions->table, session->digest, session);
	if (end_of(sessions, session) < sessions->due)
		sessions->due = end_of(sessions, session);
	return session;
}

/* ---------------------------------------------------------------------------
 * The cookie
 */

/*
 * Its value, to be freed; NULL: there is none, or there are two, of which one may be set by
 * another host of the same domain.  said: it came at all.
 */
static char *
read_cookie(const Request *request, bool *said)
{
	char	   *lines = http_header_lines(request, "Cookie");
	char	   *rest = lines;
	char	   *value = NULL;

	*said = false;
	for (char *part = strsep(&rest, ";,"); part != NULL; part = strsep(&rest, ";,"))
	{
		size_t		length = strlen(COOKIE);

		part += strspn(part, " \t");
		if (strncmp(part, COOKIE, length) != 0 || part[length] != '=')
			continue;
		if (*said)
		{
			g_free(value);
			value = NULL;
			break;
		}
		*said = true;
		value = g_strdup(part + length + 1);
	}
	free(lines);
	return value;
}

static void
set_cookie_of(const RestCall *call, const char *path, const char *value)
{
	char	   *text = g_strdup_printf(COOKIE "=%s; Path=%s%s; HttpOnly; SameSite=Strict%s", value, path, *value == '\0' ? "; Max-Age=0" : "",
									   proxy_is_https(call->rest->proxies, call->request) ? "; Secure" : "");

	http_add_header(call->request, "Set-Cookie", text);
	explicit_bzero(text, strlen(text));
	g_free(text);
}

/* Empty: the browser forgets it.  One that was set before there was a prefix would come as well: it goes. */
static void
set_cookie(const RestCall *call, const char *value)
{
	bool		below = *call->rest->prefix != '\0';

	set_cookie_of(call, below ? call->rest->prefix : "/", value);
	if (below)
		set_cookie_of(call, "/", "");
}

/* The session of the cookie, which may be over; NULL: none. */
static Session *
find_session(const RestCall *call, bool *said)
{
	Sessions   *sessions = call->rest->sessions;
	unsigned char digest[32];
	char	   *value = read_cookie(call->request, said);
	Session    *session = NULL;

	if (value != NULL && strlen(value) == SECRET_LENGTH)
	{
		make_digest(sessions, value, digest);
		session = g_hash_table_lookup(sessions->table, digest);
		if (session != NULL && (end_of(sessions, session) <= loop_now() || !staff_is_good(session->login)))
		{
			(void) g_hash_table_remove(sessions->table, digest);
			session = NULL;
		}
	}
	g_free(value);
	return session;
}

/* ---------------------------------------------------------------------------
 * Is it a page of ours?
 */

/* Is it a page that asks, which shows what went wrong by itself? */
bool
session_is_page(const RestCall *call)
{
	bool		said;
	char	   *value = read_cookie(call->request, &said);

	g_free(value);
	return said || (call->route->flags & REST_SESSION) || http_header(call->request, "X-Requested-With") != NULL;
}

/* No page can forge what the browser says of where it is from. */
static bool
is_ours(const RestCall *call)
{
	const char *site = http_header(call->request, "Sec-Fetch-Site");
	const char *origin = http_header(call->request, "Origin");
	const char *host = http_header(call->request, "Host");
	const char *name;

	if (site != NULL)
		return strcmp(site, "same-origin") == 0;
	if (origin == NULL || host == NULL)
		return false;
	name = strstr(origin, "://");
	if (name == NULL || strcasecmp(name + 3, host) != 0)
		return false;
	return strncmp(origin, "https:", 6) == 0 || !proxy_is_https(call->rest->proxies, call->request);
}

/* Answers where it says false. */
static bool
may_write(RestCall *call, const Session *session)
{
	const char *token = http_header(call->request, "X-CSRF-Token");
	unsigned char different = 0;

	if (!is_ours(call))
	{
		problem_answer(call->request, &(Problem) {.status = HTTP_FORBIDDEN,.type = "origin",.detail = "This did not come from a page of this address."});
		return false;
	}
	if (session == NULL)
		return true;
	if (token != NULL && strlen(token) == SECRET_LENGTH)
	{
		/* in a time that does not tell how much of it is right */
		for (int i = 0; i < SECRET_LENGTH; i++)
			different |= (unsigned char) (token[i] ^ session->csrf_token[i]);
		if (different == 0)
			return true;
	}
	problem_answer(call->request, &(Problem) {
		.status = HTTP_FORBIDDEN,.type = "csrf-token",.detail = "The session's CSRF token is missing, or it is another one.",
			.hint = "The page may be older than the session: load it anew."
	});
	return false;
}

static void
touch(const RestCall *call, Session *session)
{
	if (http_header(call->request, "X-Background") == NULL)
		session->used = loop_now();
}

/* Lets the call go on in the name of the cookie's session, or answers; false: it has none. */
bool
session_admit(RestCall *call)
{
	bool		said;
	Session    *session = find_session(call, &said);

	if (session == NULL)
	{
		if (said)
			set_cookie(call, "");
		return false;
	}
	if (((call->route->flags & REST_WRITES) || strcmp(call->route->method, "GET") != 0) && !may_write(call, session))
		return true;
	touch(call, session);
	call->by_cookie = true;
	staff_use(call, session->login);
	rest_go_on(call);
	return true;
}

/* The login of the call is refused from now on: its sessions are over. */
void
session_lost(RestCall *call)
{
	(void) g_hash_table_foreach_remove(call->rest->sessions->table, has_login, call->login);
	if (call->by_cookie)
		set_cookie(call, "");
}

/* ---------------------------------------------------------------------------
 * Signing in, looking, signing out
 */

/* Answers, if the role is one that may do nothing here. */
bool
session_refuse(RestCall *call, const Failure *failure)
{
	if (!(call->route->flags & REST_SESSION) || (failure != NULL && strcmp(failure->sqlstate, "42501") != 0))
		return false;
	problem_answer(call->request, &(Problem) {
		.status = HTTP_FORBIDDEN,.type = "no-staff",.detail = "This role is not one of a shop's staff.",
			.hint = "An administrator makes it one: grant_to() with the purpose admin or analyst."
	});
	return true;
}

/* What the database said of the role, with what is known here; takes the reference. */
static void
answer_session(RestCall *call, const Session *session, json_t *body)
{
	int64_t		left = end_of(call->rest->sessions, session) - loop_now();
	GDateTime  *now = g_date_time_new_now_utc();
	GDateTime  *end = g_date_time_add(now, left);
	char	   *text = g_date_time_format(end, "%Y-%m-%dT%H:%M:%SZ");

	(void) json_object_set_new(body, "csrf_token", json_string(session->csrf_token));
	(void) json_object_set_new(body, "idle_seconds", json_integer(call->rest->sessions->idle_limit / SECOND));
	(void) json_object_set_new(body, "expires_at", json_string(text));
	g_free(text);
	g_date_time_unref(end);
	g_date_time_unref(now);
	rest_answer(call, HTTP_OK, body);
}

/* What the role is; NULL: it is of no shop, or there is no memory, and that was answered. */
static json_t *
read_row(RestCall *call, const PGresult *row)
{
	json_t	   *body = json_loads(PQgetvalue(row, 0, 0), 0, NULL);

	if (body != NULL && json_array_size(json_object_get(body, "shops")) > 0)
		return body;
	if (body != NULL)
		(void) session_refuse(call, NULL);
	else
		problem_refuse(call->request, HTTP_UNAVAILABLE, NULL);
	json_decref(body);
	return NULL;
}

/* Role and password are right. */
static void
on_signed_in(RestCall *call, const PGresult *row)
{
	char		secret[SECRET_LENGTH + 1];
	json_t	   *body = read_row(call, row);
	bool		said;
	Session    *before;
	Session    *session;

	if (body == NULL)
		return;
	/* Whoever knew the cookie of before knows nothing of this one. */
	before = find_session(call, &said);
	if (before != NULL)
		(void) g_hash_table_remove(call->rest->sessions->table, before->digest);
	session = make_session(call->rest->sessions, call->login, secret);
	if (session == NULL)
	{
		json_decref(body);
		problem_answer(call->request, &(Problem) {.status = HTTP_UNAVAILABLE,.detail = "Too many people are signed in.",.retry_after = FULL_PAUSE});
		return;
	}
	set_cookie(call, secret);
	explicit_bzero(secret, sizeof(secret));
	answer_session(call, session, body);
}

/* Could the server have such a role and password?  libpq would look for another one, or the server would cut it. */
static bool
is_possible(const char *role, const char *password)
{
	return *role != '\0' && strlen(role) <= ROLE_LENGTH && *password != '\0' && strlen(password) <= PASSWORD_LENGTH;
}

static void
sign_in(RestCall *call)
{
	Request    *request = call->request;
	json_t	   *body = may_write(call, NULL) ? json_loadb(request->body, request->body_length, 0, NULL) : NULL;
	const char *role = json_string_value(json_object_get(body, "role"));
	const char *password = json_string_value(json_object_get(body, "password"));
	bool		in = false;

	/* The database is not told; it is asked with the password, not for it. */
	explicit_bzero(request->body, request->body_length);
	request->body_length = 0;
	if (body == NULL)
		return;
	if (is_possible(role, password))
		in = staff_log_in(call, role, password);
	else
		problem_refuse(request, HTTP_UNAUTHORIZED, "There is no such role, or its password is another one.");
	explicit_bzero((char *) password, strlen(password));
	json_decref(body);
	if (in)
		rest_ask(call);
}

static void
on_looked(RestCall *call, const PGresult *row)
{
	bool		said;
	Session    *session = find_session(call, &said);
	json_t	   *body;

	/* It may have ended while the database was asked. */
	if (session == NULL)
	{
		set_cookie(call, "");
		rest_answer(call, HTTP_NO_CONTENT, NULL);
		return;
	}
	body = read_row(call, row);
	if (body != NULL)
		answer_session(call, session, body);
}

/* Nobody is signed in: no error, it is the first thing that the pages ask. */
static void
look(RestCall *call)
{
	bool		said = false;
	Session    *session = http_header(call->request, "Authorization") == NULL ? find_session(call, &said) : NULL;

	if (session == NULL)
	{
		if (said)
			set_cookie(call, "");
		rest_answer(call, HTTP_NO_CONTENT, NULL);
		return;
	}
	touch(call, session);
	call->by_cookie = true;
	staff_use(call, session->login);
	rest_ask(call);
}

static void
sign_out(RestCall *call)
{
	bool		said = false;
	Session    *session = http_header(call->request, "Authorization") == NULL ? find_session(call, &said) : NULL;

	if (!may_write(call, session))
		return;
	if (session != NULL)
		(void) g_hash_table_remove(call->rest->sessions->table, session->digest);
	if (said)
		set_cookie(call, "");
	rest_answer(call, HTTP_NO_CONTENT, NULL);
}

/* Without ?shop= what the role may do in any of its shops. */
static const char session_sql[] =
"WITH l AS MATERIALIZED (SELECT s.* FROM incomplete_orders.list_shops() s),"
" a AS (SELECT $1::jsonb #>> '{query,shop}' AS shop, $2::text IS NULL),"
" w AS MATERIALIZED (SELECT CASE WHEN a.shop IS NULL THEN '*' WHEN a.shop = '*' OR EXISTS (SELECT FROM l WHERE l.shop = a.shop) THEN a.shop END AS shop FROM a),"
" m AS MATERIALIZED (SELECT r.object FROM w, LATERAL incomplete_orders.list_rights(w.shop) r WHERE w.shop IS NOT NULL)"
" SELECT jsonb_build_object('role', current_user,"
" 'may', coalesce((SELECT jsonb_object_agg(p.proname, true) FROM pg_proc p"
"  WHERE p.pronamespace = 'incomplete_orders'::regnamespace AND p.proname = ANY (ARRAY(SELECT m.object FROM m)) AND has_function_privilege(p.oid, 'EXECUTE')), '{}'),"
" 'shops', coalesce((SELECT jsonb_agg(to_jsonb(l) ORDER BY l.shop) FROM l), '[]'))::text AS body";

static const RestField signing_in[] = {
	{"role", TYPE_TEXT, FIELD_NEEDED, NULL, "A role of the database", "\"anna\""}, {"password", TYPE_TEXT, FIELD_NEEDED, NULL, NULL, "\"correct horse\""}, {NULL}
};
static const RestField session_fields[] = {
	{"role", TYPE_TEXT, FIELD_NEEDED}, {"csrf_token", TYPE_TEXT, FIELD_NEEDED, NULL, "For the header X-CSRF-Token of what changes something"},
	{"idle_seconds", TYPE_INTEGER, FIELD_NEEDED, NULL, "Without a request for so long the session ends"}, {"expires_at", TYPE_INSTANT, FIELD_NEEDED, NULL, "When it ends if nothing is asked"},
	{"may", TYPE_OBJECT, FIELD_NEEDED, NULL, "Functions that the role may use, each true: in ?shop=, else in any of its shops"}, {"shops", TYPE_LIST, FIELD_NEEDED, "Shop"}, {NULL}
};

const RestSchema session_schemas[] = {{"SigningIn", signing_in}, {"Session", session_fields}, {NULL}};

const RestRoute session_routes[] = {
	{"POST", "session/", "sign_in", REST_OPEN, REST_BODY | REST_WRITES | REST_SESSION, "shop", session_sql, "Signs in on the admin's pages: sets a cookie", "SigningIn", "Session",
		.handler = sign_in,.body_most = 8192,.taker = on_signed_in},
	{"GET", "session/", "show_session", REST_OPEN, REST_SESSION, "shop", session_sql, "Who is signed in by the cookie; 204: nobody", NULL, "Session",
		.handler = look,.taker = on_looked},
	{"DELETE", "session/", "sign_out", REST_OPEN, REST_WRITES | REST_SESSION, NULL, NULL, "Ends the cookie's session", NULL, NULL,
		.handler = sign_out},
	{NULL}
};

/*
 * staff.c
 *		Staff: roles of the database, logged in by HTTP Basic or a session.
 *
 * A login is a role with one password, and a small pool of connections that were opened
 * with it; whatever is done with them, the role's own rights count.  The database alone
 * knows passwords.  Whether a request brings that of an open login is decided by a digest
 * with a key of this process.  A connection is closed after idle_limit, in use or not, so
 * that a password which was changed, or a role that may not log in any more, is noticed
 * by the next connection.
 *
 * A login counts only if the server asked for the password: under trust, peer or a
 * certificate any password would do.  Superusers are refused.  Failed tries make their
 * address, and their role, wait; but neither an open login nor a role from where it has
 * logged in before waits for what others try with its name: nobody can lock out who works.
 *
 * A session of session.c holds a login, which then keeps its password without any
 * connection; what a connection must be like is looked at again each time.
 *
 * Memory: a Login lives until no request uses it, no session holds it and its connections
 * are closed; with the last session they are closed at once.  Its password is overwritten
 * before it is freed.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>

#include "problem.h"
#include "proxy.h"
#include "session.h"
#include "staff.h"

#define LOGINS_MOST 64
#define POOL_SIZE 4
#define ROLE_MOST 63
#define PASSWORD_MOST 1000
/* failed tries that cost no waiting */
#define FREE_BY_ADDRESS 5
#define FREE_BY_ROLE 10
#define FULL_PAUSE 5
#define KNOWN_MOST 10000

typedef enum LoginState
{
	LOGIN_NEW,
	LOGIN_OPEN,					/* the server has taken the password */
	LOGIN_REFUSED,				/* it has not */
	LOGIN_UNASKED,				/* it did not ask for it */
	LOGIN_SUPERUSER,
} LoginState;

struct Login
{
	Login	   *next;
	Staff	   *staff;
	LoginState	state;
	char		role[ROLE_MOST + 1];
	char	   *password;
	unsigned char digest[32];
	char		address[64];	/* the network of who opened it */
	int			users;			/* requests */
	int			sessions;
	bool		ending;			/* its last session is over */
	bool		counted;		/* as a try */
	Pool		pool;
};

/* ---------------------------------------------------------------------------
 * Logins
 */

bool
staff_init(Staff *staff, Loop *loop, const char *dbname, int epoll_fd)
{
	memset(staff, 0, sizeof(*staff));
	staff->loop = loop;
	staff->dbname = dbname;
	staff->epoll_fd = epoll_fd;
	staff->pool_size = POOL_SIZE;
	attempts_init(&staff->by_address, FREE_BY_ADDRESS);
	attempts_init(&staff->by_role, FREE_BY_ROLE);
	staff->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	return getrandom(staff->key, sizeof(staff->key), 0) == sizeof(staff->key);
}

static void
make_digest(const Staff *staff, const char *role, const char *password, unsigned char *digest)
{
	GHmac	   *hmac = g_hmac_new(G_CHECKSUM_SHA256, staff->key, sizeof(staff->key));
	gsize		length = 32;

	/* With the 0 byte between them, which neither has. */
	g_hmac_update(hmac, (const guchar *) role, (gssize) strlen(role) + 1);
	g_hmac_update(hmac, (const guchar *) password, (gssize) strlen(password));
	g_hmac_get_digest(hmac, digest, &length);
	g_hmac_unref(hmac);
}

/* In a time that does not tell how much of it is right. */
static bool
is_same(const unsigned char *a, const unsigned char *b)
{
	unsigned char different = 0;

	for (int i = 0; i < 32; i++)
		different |= a[i] ^ b[i];
	return different == 0;
}

static void
remember(Staff *staff, const char *network, const char *role)
{
	if (g_hash_table_size(staff->known) >= KNOWN_MOST)
		g_hash_table_remove_all(staff->known);
	(void) g_hash_table_add(staff->known, g_strdup_printf("%s %s", network, role));
}

static bool
is_known(const Staff *staff, const char *network, const char *role)
{
	char		key[64 + ROLE_MOST + 2];

	snprintf(key, sizeof(key), "%s %s", network, role);
	return g_hash_table_contains(staff->known, key);
}

/* What a connection must be like to be one of staff. */
static bool
admit(Pool *pool, PGconn *conn, Failure *failure)
{
	Login	   *login = pool->admit_arg;
	const char *superuser = PQparameterStatus(conn, "is_superuser");

	if (!PQconnectionUsedPassword(conn))
	{
		login->state = LOGIN_UNASKED;
		failure_set(failure, EX_NOPERM, "the server did not ask role \"%s\" for its password", login->role);
		log_trouble(failure, "login", 0);
		return false;
	}
	if (superuser == NULL || strcmp(superuser, "off") != 0)
	{
		login->state = LOGIN_SUPERUSER;
		failure_set(failure, EX_NOPERM, "a superuser tried to log in");
		log_trouble(failure, "login", 0);
		return false;
	}
	login->state = LOGIN_OPEN;
	if (login->counted)
	{
		attempts_take_back(&login->staff->by_address, login->address);
		attempts_take_back(&login->staff->by_role, login->role);
		remember(login->staff, login->address, login->role);
		login->counted = false;
	}
	return true;
}

static Login *
find_login(const Staff *staff, const unsigned char *digest)
{
	for (Login *login = staff->logins; login != NULL; login = login->next)
	{
		if (login->state <= LOGIN_OPEN && is_same(login->digest, digest))
			return login;
	}
	return NULL;
}

static Login *
make_login(Staff *staff, const char *role, const char *password, const unsigned char *digest, const char *address)
{
	Login	   *login = staff->n < LOGINS_MOST ? calloc(1, sizeof(*login)) : NULL;

	if (login == NULL)
		return NULL;
	login->password = strdup(password);
	if (login->password == NULL)
	{
		free(login);
		return NULL;
	}
	login->staff = staff;
	snprintf(login->role, sizeof(login->role), "%s", role);
	proxy_network(address, login->address, sizeof(login->address));
	memcpy(login->digest, digest, sizeof(login->digest));
	pool_init(&login->pool, staff->loop, staff->dbname, staff->pool_size, staff->epoll_fd);
	login->pool.strict = true;
	login->pool.idle_limit = login->pool.age_limit = staff->idle_limit;
	login->pool.admit = admit;
	login->pool.admit_arg = login;
	for (int i = 0; i < login->pool.size; i++)
	{
		login->pool.slots[i].db.user = login->role;
		login->pool.slots[i].db.password = login->password;
		login->pool.slots[i].db.search_path = REST_SEARCH_PATH;
	}
	login->next = staff->logins;
	staff->logins = login;
	staff->n++;
	return login;
}

static void
free_login(Login *login)
{
	pool_close(&login->pool);
	explicit_bzero(login->password, strlen(login->password));
	free(login->password);
	free(login);
}

/* ---------------------------------------------------------------------------
 * Answers
 */

static void
refuse_login(RestCall *call, const char *detail)
{
	/* A browser would ask for a password by itself, and send it from then on. */
	if (!session_is_page(call))
		http_add_header(call->request, "WWW-Authenticate", "Basic realm=\"incomplete-orders\", charset=\"UTF-8\"");
	problem_refuse(call->request, HTTP_UNAUTHORIZED, detail);
}

/* Answers, if the login is what failed. */
bool
staff_refuse(RestCall *call, const Failure *failure)
{
	Login	   *login = call->login;
	bool		wrong = strncmp(failure->sqlstate, "28", 2) == 0;

	if (session_refuse(call, failure))
		return true;
	if (wrong || login->state > LOGIN_OPEN)
		session_lost(call);
	if (login->state == LOGIN_UNASKED)
		problem_answer(call->request, &(Problem) {
			.status = HTTP_FORBIDDEN,.type = "password-not-asked",
				.detail = "The database does not ask this role for its password, so that a password proves nothing.",
				.hint = "An administrator has pg_hba.conf ask for one (scram-sha-256) where this program connects."
		});
	else if (login->state == LOGIN_SUPERUSER)
		problem_answer(call->request, &(Problem) {
			.status = HTTP_FORBIDDEN,.type = "superuser",.detail = "Superusers do not log in here.",
			.hint = "Use a role to which grant_to() gave the purpose admin or analyst."
		});
	else if (wrong)
		refuse_login(call, "There is no such role, or its password is another one.");
	else
	{
		/* Nobody was wrong: the server could not be asked. */
		if (login->state == LOGIN_NEW && login->counted)
		{
			attempts_take_back(&login->staff->by_address, login->address);
			attempts_take_back(&login->staff->by_role, login->role);
			login->counted = false;
		}
		return false;
	}
	if (login->state <= LOGIN_OPEN)
		login->state = LOGIN_REFUSED;
	login->staff->failed++;
	return true;
}

/* ---------------------------------------------------------------------------
 * Who is it?
 */

/* Role and password of "Basic ...", to be freed with wipe(); false: there is none. */
static char *
read_basic(const char *header, const char **role, const char **password)
{
	gsize		length = 0;
	char	   *text;
	char	   *colon;

	if (header == NULL || g_ascii_strncasecmp(header, "Basic ", 6) != 0 || strlen(header) > 2 * (ROLE_MOST + PASSWORD_MOST))
		return NULL;
	text = (char *) g_base64_decode(header + 6, &length);
	if (text == NULL)
		return NULL;
	text = g_realloc(text, length + 1);
	text[length] = '\0';
	colon = strchr(text, ':');
	/* Names that are too long would be cut by the server; an empty password makes libpq look for another one. */
	if (strlen(text) == length && g_utf8_validate(text, (gssize) length, NULL) && colon != NULL && colon > text &&
		colon - text <= ROLE_MOST && colon[1] != '\0' && strlen(colon + 1) <= PASSWORD_MOST)
	{
		*colon = '\0';
		*role = text;
		*password = colon + 1;
		return text;
	}
	explicit_bzero(text, length);
	g_free(text);
	return NULL;
}

static bool
must_wait(RestCall *call, const char *role)
{
	Staff	   *staff = call->rest->staff;
	char		network[64];
	int			wait;
	int			other;

	proxy_network(call->address, network, sizeof(network));
	wait = attempts_wait(&staff->by_address, network);
	other = is_known(staff, network, role) ? 0 : attempts_wait(&staff->by_role, role);
	if (other > wait)
		wait = other;
	if (wait == 0)
		return false;
	staff->limited++;
	problem_answer(call->request, &(Problem) {
		.status = HTTP_TOO_MANY,.detail = "Too many passwords were wrong.",.retry_after = wait
	});
	return true;
}

static Login *
login_as(RestCall *call, const char *role, const char *password)
{
	Staff	   *staff = call->rest->staff;
	unsigned char digest[32];
	Login	   *login;

	make_digest(staff, role, password, digest);
	login = find_login(staff, digest);
	if (login != NULL)
		return login;
	if (must_wait(call, role))
		return NULL;
	login = make_login(staff, role, password, digest, call->address);
	if (login == NULL)
	{
		problem_answer(call->request, &(Problem) {
			.status = HTTP_UNAVAILABLE,.detail = "Too many people log in.",.retry_after = FULL_PAUSE
		});
		return NULL;
	}
	login->counted = true;
	attempts_add(&staff->by_address, login->address);
	attempts_add(&staff->by_role, role);
	return login;
}

/*
 * A browser sends a password that it has kept with whatever another site makes it send.
 * What changes something must come from a page of ours, or from no page at all.
 */
static bool
is_from_elsewhere(const RestCall *call)
{
	const char *site = http_header(call->request, "Sec-Fetch-Site");
	const char *origin = http_header(call->request, "Origin");
	const char *host = http_header(call->request, "Host");
	const char *name;

	if (!(call->route->flags & REST_WRITES) && strcmp(call->route->method, "GET") == 0)
		return false;
	/* No page can forge it; older browsers do not say it, but where the page is from. */
	if (site != NULL)
		return strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
	if (origin == NULL)
		return false;
	name = strstr(origin, "://");
	return name == NULL || host == NULL || strcasecmp(name + 3, host) != 0;
}

/* Whoever is the role gets in; false: nobody, and that was answered. */
bool
staff_log_in(RestCall *call, const char *role, const char *password)
{
	Login	   *login = login_as(call, role, password);

	if (login == NULL)
		return false;
	staff_use(call, login);
	return true;
}

/* The call is asked in the name of that login. */
void
staff_use(RestCall *call, Login *login)
{
	login->users++;
	login->ending = false;
	call->login = login;
	call->pool = &login->pool;
}

/* One more session of it. */
void
staff_hold(Login *login)
{
	if (login->sessions++ == 0)
		login->staff->n--;
}

/* One session less. */
void
staff_let_go(Login *login)
{
	if (--login->sessions > 0)
		return;
	login->staff->n++;
	login->ending = true;
}

/* Was it taken, when it was last asked? */
bool
staff_is_good(const Login *login)
{
	return login->state <= LOGIN_OPEN;
}

const char *
staff_role(const Login *login)
{
	return login->role;
}

/* Finds out in whose name the call is, and lets it go on, or answers. */
void
staff_admit(RestCall *call)
{
	const char *role;
	const char *password;
	char	   *text;
	bool		in;

	if (is_from_elsewhere(call))
	{
		problem_refuse(call->request, HTTP_FORBIDDEN, "This came from a page of another site.");
		return;
	}
	/* Who says who he is means it: his cookie is not looked at. */
	if (http_header(call->request, "Authorization") == NULL && session_admit(call))
		return;
	text = read_basic(http_header(call->request, "Authorization"), &role, &password);
	if (text == NULL)
	{
		refuse_login(call, "A role of the database and its password are asked for (HTTP Basic).");
		return;
	}
	in = staff_log_in(call, role, password);
	explicit_bzero((char *) password, strlen(password));
	g_free(text);
	if (in)
		rest_go_on(call);
}

void
staff_leave(RestCall *call)
{
	((Login *) call->login)->users--;
	call->login = NULL;
}

/* ---------------------------------------------------------------------------
 * The loop
 */

static bool
is_over(const Login *login)
{
	if (login->users > 0 || login->sessions > 0 || pool_waiting(&login->pool) > 0)
		return false;
	return login->state > LOGIN_OPEN || login->ending || pool_is_down(&login->pool);
}

void
staff_turn(Staff *staff)
{
	Login	  **at = &staff->logins;

	while (*at != NULL)
	{
		Login	   *login = *at;

		pool_turn(&login->pool);
		if (!is_over(login))
		{
			at = &login->next;
			continue;
		}
		*at = login->next;
		staff->n--;
		free_login(login);
	}
}

int64_t
staff_deadline(const Staff *staff)
{
	int64_t		deadline = NEVER;

	for (const Login *login = staff->logins; login != NULL; login = login->next)
	{
		int64_t		own = pool_deadline(&login->pool);

		if (own < deadline)
			deadline = own;
	}
	return deadline;
}

/* Whoever still waits is told. */
void
staff_close(Staff *staff)
{
	for (Login *login = staff->logins; login != NULL; login = login->next)
		pool_close(&login->pool);
}

/* No request uses any of it any more. */
void
staff_free(Staff *staff)
{
	while (staff->logins != NULL)
	{
		Login	   *login = staff->logins;

		staff->logins = login->next;
		free_login(login);
	}
	attempts_clear(&staff->by_address);
	attempts_clear(&staff->by_role);
	if (staff->known != NULL)
		g_hash_table_destroy(staff->known);
	explicit_bzero(staff->key, sizeof(staff->key));
}

void
staff_connections(const Staff *staff, int *open, int *busy, int *waiting)
{
	*open = *busy = *waiting = 0;
	for (const Login *login = staff->logins; login != NULL; login = login->next)
	{
		int			used;

		*open += pool_connections(&login->pool, &used);
		*busy += used;
		*waiting += pool_waiting(&login->pool);
	}
}

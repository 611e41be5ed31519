/*
 * admin_files.c
 *		The admin's pages, as files that are part of the program.
 *
 * Three things are answered below /admin/:
 *
 *		assets/DIGEST/NAME	a file that never changes, for the digest is that of all of them
 *		frame.html			a document that shows a mail: it may run one script of ours, in an
 *							origin of its own, and is framed by our pages only
 *		anything else		index.html, whose script reads the path
 *
 * Names are looked up in a table that was made with the program: no path of a request
 * ever gets to a file system.  Nobody is asked who he is: nothing here is anybody's, and
 * all that the pages show they ask the REST API for.
 *
 * The policy of both documents names the hosts from which shops have their pictures (the
 * setting image_hosts), asked of the database once in HOSTS_KEPT.  Without an answer the
 * documents are sent all the same, with those that were known.
 *
 * A file is sent as brotli where the browser takes that, else as gzip, else as it is.
 *
 * Memory: the files are constants, compressed; the two documents are made once, with the
 * prefix and the digest in their places.
 */
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin_files.h"
#include "loop.h"

typedef struct AdminFile
{
	const char *name;			/* "vendor/preact.js" */
	const unsigned char *brotli;
	size_t		brotli_size;
	const unsigned char *gzip;
	size_t		gzip_size;
	size_t		length;			/* of neither */
} AdminFile;

#include "admin_files.inc"

#define ASSETS "assets/"
#define FRAME "frame.html"
#define YEAR "public, max-age=31536000, immutable"
#define HOSTS_KEPT (60 * SECOND)
#define HOSTS_LIMIT (2 * SECOND)
/* after a question without an answer */
#define HOSTS_PAUSE (5 * SECOND)
/* bytes of a header: proxies give up on long ones */
#define HOSTS_MOST 3000

static const char hosts_sql[] = "SELECT h FROM incomplete_orders.list_image_hosts() h (h)";

struct Admin
{
	Pool	   *pool;
	int64_t		ask_at;			/* for the hosts, when a document is sent */
	char	   *prefix;
	char	   *index;
	char	   *frame;
	char	   *index_policy;
	char	   *frame_policy;
	char		index_etag[32];
	char		frame_etag[32];
};

/* ---------------------------------------------------------------------------
 * Files
 */

static const AdminFile *
find_file(const char *name)
{
	for (const AdminFile *file = admin_files; file->name != NULL; file++)
	{
		if (strcmp(file->name, name) == 0)
			return file;
	}
	return NULL;
}

/* A file as it was, with a 0 byte behind it, made by malloc(); NULL: no memory. */
static char *
unpack(const AdminFile *file)
{
	GConverter *converter = G_CONVERTER(g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP));
	char	   *text = malloc(file->length + 1);
	gsize		taken;
	gsize		given;

	if (text != NULL)
	{
		text[file->length] = '\0';
		if (g_converter_convert(converter, file->gzip, file->gzip_size, text, file->length + 1, G_CONVERTER_INPUT_AT_END, &taken, &given, NULL) != G_CONVERTER_FINISHED ||
			given != file->length)
		{
			free(text);
			text = NULL;
		}
	}
	g_object_unref(converter);
	return text;
}

static char *
copy(const unsigned char *bytes, size_t size)
{
	char	   *data = malloc(size);

	if (data != NULL)
		memcpy(data, bytes, size);
	return data;
}

static const char *
type_of(const char *name)
{
	static const struct
	{
		const char *ending;
		const char *type;
	}			types[] = {
		{".js", "text/javascript; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".svg", "image/svg+xml"},
		{".html", "text/html; charset=utf-8"},
		{NULL, "application/octet-stream"}
	};
	const char *ending = strrchr(name, '.');
	int			i = 0;

	while (types[i].ending != NULL && (ending == NULL || strcmp(ending, types[i].ending) != 0))
		i++;
	return types[i].type;
}

/* ---------------------------------------------------------------------------
 * Documents
 */

/* @prefix@ and @assets@ in their places; NULL: there is no such document, or no memory. */
static char *
make_document(const char *name, const char *prefix)
{
	const AdminFile *file = find_file(name);
	char	   *raw = file != NULL ? unpack(file) : NULL;
	GString    *text;

	if (raw == NULL)
		return NULL;
	text = g_string_new(NULL);
	for (const char *at = raw; *at != '\0';)
	{
		if (strncmp(at, "@prefix@", 8) == 0)
			g_string_append(text, prefix);
		else if (strncmp(at, "@assets@", 8) == 0)
			g_string_append_printf(text, "%s" ADMIN_ROOT ASSETS ADMIN_DIGEST, prefix);
		else
		{
			g_string_append_c(text, *at++);
			continue;
		}
		at += 8;
	}
	free(raw);
	return g_string_free(text, false);
}

/* Of document and policy: a browser that has the one keeps the other with it. */
static void
set_etag(char *etag, size_t size, const char *text, const char *policy)
{
	char	   *both = g_strconcat(text, policy, NULL);
	char	   *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, both, -1);

	snprintf(etag, size, "\"%.16s\"", digest);
	g_free(digest);
	g_free(both);
}

/* hosts: what stands behind img-src, each with a blank before it. */
static void
set_policies(Admin *admin, const char *hosts)
{
	g_free(admin->index_policy);
	g_free(admin->frame_policy);
	admin->index_policy = g_strdup_printf("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:%s; connect-src 'self';"
										  " frame-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'", hosts);
	admin->frame_policy = g_strdup_printf("default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:%s; base-uri 'none';"
										  " form-action 'none'; sandbox allow-scripts; frame-ancestors 'self'", hosts);
	set_etag(admin->index_etag, sizeof(admin->index_etag), admin->index, admin->index_policy);
	set_etag(admin->frame_etag, sizeof(admin->frame_etag), admin->frame, admin->frame_policy);
}

/* NULL: there is no memory. */
Admin *
admin_new(const char *prefix, Pool *pool)
{
	Admin	   *admin = calloc(1, sizeof(*admin));

	if (admin == NULL)
		return NULL;
	admin->pool = pool;
	admin->ask_at = loop_now();
	admin->prefix = g_strdup(prefix);
	admin->index = make_document("index.html", prefix);
	admin->frame = make_document(FRAME, prefix);
	if (admin->index == NULL || admin->frame == NULL)
	{
		admin_free(admin);
		return NULL;
	}
	set_policies(admin, "");
	return admin;
}

void
admin_free(Admin *admin)
{
	if (admin == NULL)
		return;
	g_free(admin->prefix);
	g_free(admin->index);
	g_free(admin->frame);
	g_free(admin->index_policy);
	g_free(admin->frame_policy);
	free(admin);
}

/* ---------------------------------------------------------------------------
 * Answers
 */

/* Does "br, gzip;q=0.5" take gzip?  With q=0 it does not. */
static bool
takes(const char *header, const char *encoding)
{
	while (header != NULL && *header != '\0')
	{
		size_t		length;

		header += strspn(header, ", \t");
		length = strcspn(header, ",; \t");
		if (length == strlen(encoding) && strncasecmp(header, encoding, length) == 0)
		{
			header += length + strspn(header + length, "; \t");
			return strncasecmp(header, "q=", 2) != 0 || strtod(header + 2, NULL) > 0;
		}
		header += strcspn(header, ",");
	}
	return false;
}

/* Has the client this one already?  Then the answer has no body. */
static bool
is_known(const Request *request, const char *etag)
{
	const char *known = http_header(request, "If-None-Match");

	return known != NULL && strstr(known, etag) != NULL;
}

static void
send_asset(Request *request)
{
	const AdminFile *file = request->own;
	const char *accepted = http_header(request, "Accept-Encoding");
	const char *encoding = takes(accepted, "br") ? "br" : takes(accepted, "gzip") ? "gzip" : NULL;
	char		etag[32];
	Answer		answer = {.status = HTTP_OK,.type = type_of(file->name),.cache = YEAR};

	snprintf(etag, sizeof(etag), "\"" ADMIN_DIGEST "%s%s\"", encoding != NULL ? "-" : "", encoding != NULL ? encoding : "");
	http_add_header(request, "ETag", etag);
	http_add_header(request, "Vary", "Accept-Encoding");
	if (is_known(request, etag))
	{
		answer.status = HTTP_NOT_MODIFIED;
		http_answer(request, &answer);
		return;
	}
	if (encoding == NULL)
	{
		answer.body = unpack(file);
		answer.length = file->length;
	}
	else
	{
		bool		brotli = encoding[0] == 'b';

		http_add_header(request, "Content-Encoding", encoding);
		answer.length = brotli ? file->brotli_size : file->gzip_size;
		answer.body = copy(brotli ? file->brotli : file->gzip, answer.length);
	}
	if (answer.body == NULL)
		answer = (Answer) {.status = HTTP_UNAVAILABLE};
	http_answer(request, &answer);
}

/* Asked for each time, and sent when it is another one: it leads to the files of its version. */
static void
send_document(Request *request, const char *text, const char *policy, const char *etag, bool framed)
{
	Answer		answer = {.status = HTTP_OK,.type = "text/html; charset=utf-8",.cache = "no-cache",.policy = policy,.framed = framed};

	http_add_header(request, "ETag", etag);
	if (is_known(request, etag))
		answer.status = HTTP_NOT_MODIFIED;
	else
	{
		answer.body = strdup(text);
		answer.length = strlen(text);
		if (answer.body == NULL)
			answer = (Answer) {.status = HTTP_UNAVAILABLE};
	}
	http_answer(request, &answer);
}

static void
send_now(Request *request)
{
	const Admin *admin = request->own;

	if (strcmp(request->path + strlen(ADMIN_ROOT), FRAME) == 0)
		send_document(request, admin->frame, admin->frame_policy, admin->frame_etag, true);
	else
		send_document(request, admin->index, admin->index_policy, admin->index_etag, false);
}

/* Can it stand in a policy?  The database has seen to it, and is not the last to look. */
static bool
is_host(const char *text)
{
	size_t		length = strlen(text);

	return strncmp(text, "https://", 8) == 0 && strspn(text + 8, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-:*") == length - 8;
}

static void
on_hosts(void *arg, const PGresult *result, const Failure *failure)
{
	Request    *request = arg;
	Admin	   *admin = request->own;
	GString    *hosts;

	admin->ask_at = loop_now() + (result != NULL ? HOSTS_KEPT : HOSTS_PAUSE);
	if (result != NULL)
	{
		hosts = g_string_new(NULL);
		for (int i = 0; i < PQntuples(result); i++)
		{
			const char *host = PQgetvalue(result, i, 0);

			if (is_host(host) && hosts->len + strlen(host) < HOSTS_MOST)
				g_string_append_printf(hosts, " %s", host);
		}
		set_policies(admin, hosts->str);
		g_string_free(hosts, true);
	}
	send_now(request);
}

static void
send_page(Request *request)
{
	Admin	   *admin = request->own;

	if (loop_now() < admin->ask_at)
		send_now(request);
	else
		pool_ask(admin->pool, hosts_sql, 0, NULL, HOSTS_LIMIT, on_hosts, request);
}

static void
send_there(Request *request)
{
	char	   *there = g_strconcat(((const Admin *) request->own)->prefix, ADMIN_ROOT, NULL);

	http_answer(request, &(Answer) {.status = HTTP_FOUND,.location = there});
	g_free(there);
}

static void
refuse(Request *request)
{
	static const char text[] = "There is nothing of that name.\n";

	if (request->refusal == HTTP_METHOD_NOT_ALLOWED)
		http_add_header(request, "Allow", "GET, HEAD");
	http_answer(request, &(Answer) {
		.status = request->refusal,.type = "text/plain; charset=utf-8",
			.body = request->refusal == HTTP_NOT_FOUND ? strdup(text) : NULL,.length = sizeof(text) - 1
	});
}

/* The files of this version only: a page of another one is to be loaded anew. */
static void
find_asset(Request *request, const char *path)
{
	static const char digest[] = ADMIN_DIGEST "/";

	request->label = ADMIN_ROOT ASSETS;
	request->own = strncmp(path, digest, strlen(digest)) == 0 ? (void *) find_file(path + strlen(digest)) : NULL;
	if (request->own != NULL)
		request->handler = send_asset;
	else
	{
		request->refusal = HTTP_NOT_FOUND;
		request->handler = refuse;
	}
}

/* Everything below /admin/ is ours. */
bool
admin_find(Admin *admin, Request *request)
{
	const char *path;
	bool		root = strcmp(request->path, "/admin") == 0;

	if (!root && strncmp(request->path, ADMIN_ROOT, strlen(ADMIN_ROOT)) != 0)
		return false;
	path = request->path + strlen(ADMIN_ROOT) - root;
	request->own = admin;
	request->label = ADMIN_ROOT;
	if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0)
	{
		request->refusal = HTTP_METHOD_NOT_ALLOWED;
		request->handler = refuse;
	}
	else if (root)
		request->handler = send_there;
	else if (strncmp(path, ASSETS, strlen(ASSETS)) == 0)
		find_asset(request, path + strlen(ASSETS));
	else
		request->handler = send_page;
	return true;
}

/*
 * webhooks.c
 *		Tells shops' webhooks: libcurl's multi interface, driven by the loop.
 *
 * An address is somebody's of a shop, so it must not lead to what only we can reach:
 * what is connected to is looked at when the name is resolved (on_socket), redirects are
 * not followed, no proxy and no netrc of ours is used, and of the answer only its status
 * is kept.
 *
 * libcurl says which sockets to watch and when it wants to be called; both are in one
 * epoll descriptor and one deadline, which the loop waits for.
 *
 * Memory: a Post and its work belong to Webhooks from webhooks_add() until whoever
 * records it takes it from webhooks_settled().
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"
#include "webhooks.h"

#define CONNECT_SECONDS 10
/* of an answer's body, which nobody reads */
#define ANSWER_BYTES (64 * 1024)

typedef struct PostWork
{
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *body;
	int			mode;
	bool		plain;			/* http, not https */
	bool		forbidden;		/* its address is one that we do not connect to */
	size_t		received;
} PostWork;

struct Webhooks
{
	CURLM	   *multi;
	WebhookSettings settings;
	Company    *company;
	int			epoll;
	int64_t		deadline;		/* when libcurl wants to be called */
	GQueue		flying;
	GQueue		settled;
	WebhookCounts counts;
};

/* ---- where we connect to ---- */

typedef enum Reach
{
	REACH_PUBLIC, REACH_LOOPBACK, REACH_PRIVATE
} Reach;

/* What is neither ours, nor private, nor of no single host. */
static Reach
reach_of_ipv4(uint32_t address)
{
	static const struct
	{
		uint32_t	net;
		int			bits;
	}			closed[] = {
		{0x00000000, 8}, {0x0a000000, 8}, {0x64400000, 10}, {0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24},
		{0xc0000200, 24}, {0xc0586300, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 3}
	};

	if (address >> 24 == 127)
		return REACH_LOOPBACK;
	for (size_t i = 0; i < G_N_ELEMENTS(closed); i++)
	{
		if ((address ^ closed[i].net) >> (32 - closed[i].bits) == 0)
			return REACH_PRIVATE;
	}
	return REACH_PUBLIC;
}

static uint32_t
ipv4_in(const uint8_t *bytes)
{
	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

/* Of IPv6 only 2000::/3 is the Internet's; in some of it lies an IPv4 address. */
static Reach
reach_of_ipv6(const uint8_t *bytes)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t loopback[16] = {[15] = 1};

	if (memcmp(bytes, loopback, 16) == 0)
		return REACH_LOOPBACK;
	if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, translated, 12) == 0)
		return reach_of_ipv4(ipv4_in(bytes + 12));
	if (bytes[0] == 0x20 && bytes[1] == 0x02)
		return reach_of_ipv4(ipv4_in(bytes + 2)) == REACH_PUBLIC ? REACH_PUBLIC : REACH_PRIVATE;
	/* 2001::/23 is for protocols, 2001:db8::/32 for examples */
	if (bytes[0] == 0x20 && bytes[1] == 0x01 && (bytes[2] < 2 || (bytes[2] == 0x0d && bytes[3] == 0xb8)))
		return REACH_PRIVATE;
	return bytes[0] >> 5 == 1 ? REACH_PUBLIC : REACH_PRIVATE;
}

static bool
may_connect(const PostWork *work, const struct sockaddr *address)
{
	Reach		reach = REACH_PRIVATE;

	if (address->sa_family == AF_INET)
		reach = reach_of_ipv4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	else if (address->sa_family == AF_INET6)
		reach = reach_of_ipv6(((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr);
	switch (work->mode)
	{
		case WEBHOOKS_ANY:
			return true;
		case WEBHOOKS_LOOPBACK:
			return reach == REACH_LOOPBACK || (reach == REACH_PUBLIC && !work->plain);
		default:
			return reach == REACH_PUBLIC && !work->plain;
	}
}

static curl_socket_t
on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	PostWork   *work = arg;

	if (purpose != CURLSOCKTYPE_IPCXN || !may_connect(work, &address->addr))
	{
		work->forbidden = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- what libcurl waits for ---- */

static int
on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	Webhooks   *webhooks = arg;
	struct epoll_event event = {.data.fd = fd};

	if (what == CURL_POLL_REMOVE)
	{
		/* It may be closed already. */
		(void) epoll_ctl(webhooks->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = ((what & CURL_POLL_IN) ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0);
	if (epoll_ctl(webhooks->epoll, EPOLL_CTL_MOD, fd, &event) != 0)
		(void) epoll_ctl(webhooks->epoll, EPOLL_CTL_ADD, fd, &event);
	return 0;
}

static int
on_timer(CURLM *multi, long milliseconds, void *arg)
{
	Webhooks   *webhooks = arg;

	webhooks->deadline = milliseconds < 0 ? NEVER : loop_now() + milliseconds * (SECOND / 1000);
	return 0;
}

/* ---- one delivery ---- */

static size_t
on_answer(char *data, size_t size, size_t n, void *arg)
{
	PostWork   *work = arg;

	work->received += size * n;
	return work->received > ANSWER_BYTES ? 0 : size * n;
}

static void
work_free(Webhooks *webhooks, PostWork *work)
{
	if (work == NULL)
		return;
	if (work->easy != NULL)
	{
		curl_multi_remove_handle(webhooks->multi, work->easy);
		curl_easy_cleanup(work->easy);
	}
	curl_slist_free_all(work->headers);
	g_free(work->body);
	g_free(work);
}

void
post_free(Post *post)
{
	g_free(post->id);
	g_free(post->token);
	g_free(post->shop);
	g_free(post->webhook);
	g_free(post->problem);
	g_free(post);
}

static void
log_post(const Post *post, const char *level, const char *event)
{
	LogLine		line;

	log_begin(&line, level, event);
	log_text(&line, "delivery_id", post->id);
	log_text(&line, "shop", post->shop);
	log_text(&line, "webhook", post->webhook);
	if (post->problem != NULL)
		log_text(&line, "problem", post->problem);
	log_end(&line);
}

/* Takes over problem. */
static void
settle(Webhooks *webhooks, Post *post, const char *verdict, char *problem)
{
	work_free(webhooks, post->work);
	post->work = NULL;
	post->verdict = verdict;
	post->problem = problem;
	if (strcmp(verdict, "delivered") == 0)
		webhooks->counts.delivered++;
	else if (strcmp(verdict, "failed") == 0)
	{
		webhooks->counts.failed++;
		log_post(post, "warn", "undelivered");
	}
	else
		webhooks->counts.untried++;
	g_queue_push_tail_link(&webhooks->settled, &post->link);
	webhooks->company->news = true;
}

static bool
add_header(PostWork *work, const char *name, const char *value)
{
	char	   *header = g_strdup_printf("%s: %s", name, value);
	struct curl_slist *longer = curl_slist_append(work->headers, header);

	g_free(header);
	if (longer != NULL)
		work->headers = longer;
	return longer != NULL;
}

static bool
set_options(const Webhooks *webhooks, Post *post, const char *url)
{
	PostWork   *work = post->work;
	CURL	   *easy = work->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, post);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, work->mode == WEBHOOKS_PUBLIC ? "https" : "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	/* An empty name: none, whatever the environment says. */
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long) MIN(webhooks->settings.timeout, CONNECT_SECONDS));
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long) webhooks->settings.timeout);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, work);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, work);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "incomplete-orders/" ICO_VERSION);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, work->body);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(work->body));
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, work->headers);
	if (webhooks->settings.ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, webhooks->settings.ca_file);
	return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
}

/* It begins at once. */
void
webhooks_add(Webhooks *webhooks, const char *const *columns)
{
	Post	   *post = g_new0(Post, 1);
	PostWork   *work = g_new0(PostWork, 1);

	post->link.data = post;
	post->id = g_strdup(columns[0]);
	post->token = g_strdup(columns[1]);
	post->shop = g_strdup(columns[2]);
	post->webhook = g_strdup(columns[3]);
	post->work = work;
	work->body = g_strdup(columns[5]);
	work->mode = webhooks->settings.mode;
	work->plain = g_ascii_strncasecmp(columns[4], "http:", 5) == 0;
	if (work->plain && work->mode == WEBHOOKS_PUBLIC)
	{
		settle(webhooks, post, "failed", g_strdup("its address is not https"));
		return;
	}
	work->easy = curl_easy_init();
	if (work->easy == NULL || !add_header(work, "Content-Type", "application/json") || !add_header(work, "Expect", "") ||
		!add_header(work, "webhook-id", columns[0]) || !add_header(work, "webhook-timestamp", columns[6]) ||
		!add_header(work, "webhook-signature", columns[7]) || !set_options(webhooks, post, columns[4]) ||
		curl_multi_add_handle(webhooks->multi, work->easy) != CURLM_OK)
	{
		settle(webhooks, post, "back", g_strdup("out of memory"));
		return;
	}
	g_queue_push_tail_link(&webhooks->flying, &post->link);
}

/* libcurl is done with it. */
static void
finish(Webhooks *webhooks, CURL *easy, CURLcode code)
{
	Post	   *post = NULL;
	curl_off_t	retry_after = 0;
	bool		answered;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &post);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &post->status);
	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
	g_queue_unlink(&webhooks->flying, &post->link);
	/* We end an answer that is too long; its status is known. */
	answered = code == CURLE_OK || (code == CURLE_WRITE_ERROR && post->work->received > ANSWER_BYTES);
	if (answered && post->status >= 200 && post->status <= 299)
		settle(webhooks, post, "delivered", NULL);
	else if (answered)
	{
		post->retry_after = retry_after;
		settle(webhooks, post, "failed", g_strdup_printf("it answered with status %ld", post->status));
	}
	else
	{
		bool		forbidden = post->work->forbidden;

		post->status = 0;
		settle(webhooks, post, "failed", forbidden ? g_strdup("its address is one that --webhooks does not allow") :
			   g_strdup_printf("no answer: %s", curl_easy_strerror(code)));
	}
}

static void
take_finished(Webhooks *webhooks)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(webhooks->multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE)
			finish(webhooks, message->easy_handle, message->data.result);
	}
}

/* ---- the whole ---- */

/* NULL: out of memory. */
Webhooks *
webhooks_new(const WebhookSettings *settings, Company *company)
{
	Webhooks   *webhooks = g_new0(Webhooks, 1);

	webhooks->settings = *settings;
	webhooks->company = company;
	webhooks->deadline = NEVER;
	webhooks->epoll = epoll_create1(EPOLL_CLOEXEC);
	webhooks->multi = curl_multi_init();
	if (webhooks->epoll < 0 || webhooks->multi == NULL)
	{
		webhooks_free(webhooks);
		return NULL;
	}
	curl_multi_setopt(webhooks->multi, CURLMOPT_SOCKETFUNCTION, on_watch);
	curl_multi_setopt(webhooks->multi, CURLMOPT_SOCKETDATA, webhooks);
	curl_multi_setopt(webhooks->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(webhooks->multi, CURLMOPT_TIMERDATA, webhooks);
	curl_multi_setopt(webhooks->multi, CURLMOPT_MAXCONNECTS, (long) settings->connections);
	return webhooks;
}

void
webhooks_free(Webhooks *webhooks)
{
	GList	   *link;

	if (webhooks == NULL)
		return;
	webhooks_abort(webhooks);
	while ((link = g_queue_pop_head_link(&webhooks->settled)) != NULL)
		post_free(link->data);
	if (webhooks->multi != NULL)
		curl_multi_cleanup(webhooks->multi);
	if (webhooks->epoll >= 0)
		close(webhooks->epoll);
	g_free(webhooks);
}

/* Readable when webhooks_turn() has something to do. */
int
webhooks_fd(const Webhooks *webhooks)
{
	return webhooks->epoll;
}

/* Moves all on.  Returns when it is to be called again, whatever happens. */
int64_t
webhooks_turn(void *arg)
{
	Webhooks   *webhooks = arg;
	struct epoll_event events[16];
	int			n = epoll_wait(webhooks->epoll, events, G_N_ELEMENTS(events), 0);
	int			running;

	for (int i = 0; i < n; i++)
	{
		int			what = ((events[i].events & EPOLLIN) ? CURL_CSELECT_IN : 0) | ((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
			((events[i].events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);

		curl_multi_socket_action(webhooks->multi, events[i].data.fd, what, &running);
	}
	if (webhooks->deadline <= loop_now())
	{
		webhooks->deadline = NEVER;
		curl_multi_socket_action(webhooks->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	take_finished(webhooks);
	return webhooks->deadline;
}

int
webhooks_in_flight(const Webhooks *webhooks)
{
	return (int) webhooks->flying.length;
}

int
webhooks_room(const Webhooks *webhooks)
{
	return webhooks->settings.connections - (int) webhooks->flying.length;
}

/* What is on its way is not waited for any more. */
void
webhooks_abort(Webhooks *webhooks)
{
	GList	   *link;

	while ((link = g_queue_pop_head_link(&webhooks->flying)) != NULL)
		settle(webhooks, link->data, "back", NULL);
}

/* What became known; whoever takes one frees it. */
GQueue *
webhooks_settled(Webhooks *webhooks)
{
	return &webhooks->settled;
}

const WebhookCounts *
webhooks_counts(const Webhooks *webhooks)
{
	return &webhooks->counts;
}

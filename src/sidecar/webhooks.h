/*
 * webhooks.h
 *		What shops' webhooks are told: POSTs of JSON, some at once, in the loop.
 */
#ifndef ICO_WEBHOOKS_H
#define ICO_WEBHOOKS_H

#include <glib.h>

#include "loop.h"

/* the words of --webhooks, in this order */
#define WEBHOOKS "public|loopback|any|off"
typedef enum WebhookMode
{
	WEBHOOKS_PUBLIC,			/* https to addresses of the Internet */
	WEBHOOKS_LOOPBACK,			/* and http or https to this machine */
	WEBHOOKS_ANY,				/* http or https to anywhere */
	WEBHOOKS_OFF,
} WebhookMode;

typedef struct WebhookSettings
{
	int			mode;
	int			timeout;		/* seconds for one */
	int			connections;
	const char *ca_file;		/* NULL: those of the system */
} WebhookSettings;

/* A delivery that was claimed, and what became of it. */
typedef struct Post Post;

/* The first part is for whoever records it. */
struct Post
{
	char	   *id;
	char	   *token;
	char	   *shop;
	char	   *webhook;
	const char *verdict;		/* delivered, failed, back */
	long		status;			/* of HTTP, or 0 */
	int64_t		retry_after;	/* seconds, or 0 */
	char	   *problem;		/* in our words, or NULL */
	struct PostWork *work;		/* while it is on its way */
	GList		link;
};

typedef struct WebhookCounts
{
	uint64_t	delivered;
	uint64_t	failed;
	uint64_t	untried;
} WebhookCounts;

typedef struct Webhooks Webhooks;

/* columns: id, token, shop, webhook, url, body, timestamp, signature */
#define POST_COLUMNS 8

extern Webhooks *webhooks_new(const WebhookSettings *settings, Company *company);
extern void webhooks_free(Webhooks *webhooks);
extern int	webhooks_fd(const Webhooks *webhooks);
extern int64_t webhooks_turn(void *webhooks);
extern int	webhooks_room(const Webhooks *webhooks);
extern int	webhooks_in_flight(const Webhooks *webhooks);
extern void webhooks_add(Webhooks *webhooks, const char *const *columns);
extern void webhooks_abort(Webhooks *webhooks);
extern GQueue *webhooks_settled(Webhooks *webhooks);
extern const WebhookCounts *webhooks_counts(const Webhooks *webhooks);
extern void post_free(Post *post);

#endif							/* ICO_WEBHOOKS_H */

/*
 * rates.c
 *		No more than so many mails in a second: of all, of a shop, to a domain.
 *
 * Each limit is a time before which its next mail does not go: mails are evenly
 * spread, and there is no burst after a pause.
 *
 * Memory: one entry for each shop and domain of the last seconds; those that
 * limit nothing any more are dropped once there are many.
 */
#include "loop.h"
#include "rates.h"

#define MANY 10000
#define LONGEST_RESERVATION (3600 * SECOND)

/* of one shop, or of one domain */
typedef struct Limit
{
	int64_t		next;			/* when its next mail may go */
	int64_t		reserved;		/* the last turn that was given to one that was put off */
} Limit;

void
rates_init(Rates *rates, int all, int per_shop, int per_domain)
{
	rates->all = all;
	rates->per_shop = per_shop;
	rates->per_domain = per_domain;
	rates->next = 0;
	rates->shops = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	rates->domains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void
rates_free(Rates *rates)
{
	g_hash_table_unref(rates->shops);
	g_hash_table_unref(rates->domains);
}

static int64_t
next_of(GHashTable *table, const char *key)
{
	const Limit *limit = g_hash_table_lookup(table, key);

	return limit != NULL ? limit->next : 0;
}

/* From when on a mail of that shop to that domain may go. */
int64_t
rates_when(const Rates *rates, const char *shop, const char *domain)
{
	int64_t		when = rates->all > 0 ? rates->next : 0;
	int64_t		next;

	if (rates->per_shop > 0 && (next = next_of(rates->shops, shop)) > when)
		when = next;
	if (rates->per_domain > 0 && (next = next_of(rates->domains, domain)) > when)
		when = next;
	return when;
}

static gboolean
is_past(gpointer key, gpointer value, gpointer now)
{
	const Limit *limit = value;

	return limit->next <= *(int64_t *) now && limit->reserved <= *(int64_t *) now;
}

/* A loop wakes up a little late: that much is made up for. */
static int64_t
step(int64_t next, int rate, int64_t now)
{
	return (next + SECOND / 20 >= now ? next : now) + SECOND / rate;
}

static Limit *
limit_of(GHashTable *table, const char *key, int64_t now)
{
	Limit	   *limit = g_hash_table_lookup(table, key);

	if (limit != NULL)
		return limit;
	if (g_hash_table_size(table) >= MANY)
		g_hash_table_foreach_remove(table, is_past, &now);
	limit = g_new0(Limit, 1);
	g_hash_table_insert(table, g_strdup(key), limit);
	return limit;
}

static void
take(GHashTable *table, const char *key, int rate, int64_t now)
{
	Limit	   *limit;

	if (rate <= 0)
		return;
	limit = limit_of(table, key, now);
	limit->next = step(limit->next, rate, now);
}

/* The turn behind the last one that was given away. */
static int64_t
reserve(GHashTable *table, const char *key, int rate, int64_t now)
{
	Limit	   *limit;

	if (rate <= 0)
		return now;
	limit = limit_of(table, key, now);
	if (limit->reserved < limit->next)
		limit->reserved = limit->next;
	limit->reserved += SECOND / rate;
	if (limit->reserved > now + LONGEST_RESERVATION)
		limit->reserved = now + LONGEST_RESERVATION;
	return limit->reserved;
}

/* When it may be the turn of a mail that is put off: each gets a turn of its own. */
int64_t
rates_reserve(Rates *rates, const char *shop, const char *domain, int64_t now)
{
	int64_t		by_shop = reserve(rates->shops, shop, rates->per_shop, now);
	int64_t		by_domain = reserve(rates->domains, domain, rates->per_domain, now);

	return by_shop > by_domain ? by_shop : by_domain;
}

/* Is there a limit that may stop one mail, and not another? */
bool
rates_are_single(const Rates *rates)
{
	return rates->per_shop > 0 || rates->per_domain > 0;
}

void
rates_take(Rates *rates, const char *shop, const char *domain, int64_t now)
{
	if (rates->all > 0)
		rates->next = step(rates->next, rates->all, now);
	take(rates->shops, shop, rates->per_shop, now);
	take(rates->domains, domain, rates->per_domain, now);
}

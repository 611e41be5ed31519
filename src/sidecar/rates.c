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
	const int64_t *next = g_hash_table_lookup(table, key);

	return next != NULL ? *next : 0;
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
	return *(int64_t *) value <= *(int64_t *) now;
}

/* A loop wakes up a little late: that much is made up for. */
static int64_t
step(int64_t next, int rate, int64_t now)
{
	return (next + SECOND / 20 >= now ? next : now) + SECOND / rate;
}

static void
take(GHashTable *table, const char *key, int rate, int64_t now)
{
	int64_t    *next;

	if (rate <= 0)
		return;
	if (g_hash_table_size(table) >= MANY)
		g_hash_table_foreach_remove(table, is_past, &now);
	next = g_new(int64_t, 1);
	*next = step(next_of(table, key), rate, now);
	g_hash_table_replace(table, g_strdup(key), next);
}

void
rates_take(Rates *rates, const char *shop, const char *domain, int64_t now)
{
	if (rates->all > 0)
		rates->next = step(rates->next, rates->all, now);
	take(rates->shops, shop, rates->per_shop, now);
	take(rates->domains, domain, rates->per_domain, now);
}

/*
 * attempts.c
 *		How often somebody tried, and how long to wait before the next try.
 *
 * A try counts when it begins and is taken back when it succeeds, so that many at the
 * same time count as many.  Who has used up what is free waits, twice as long after
 * each further failure.  What was failed is forgotten after a quarter of an hour.
 *
 * Memory: one entry for each who; the table is swept when it has grown, so that it
 * cannot be made to grow without end.
 */
#include "attempts.h"
#include "loop.h"

#define WAIT_MOST 300			/* seconds */
#define FORGET_AFTER (900 * SECOND)
#define ENTRIES_MOST 10000

typedef struct Entry
{
	int			failures;
	int64_t		last;
	int64_t		until;			/* no try before */
} Entry;

void
attempts_init(Attempts *attempts, int free)
{
	attempts->table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	attempts->free = free;
}

void
attempts_clear(Attempts *attempts)
{
	if (attempts->table != NULL)
		g_hash_table_destroy(attempts->table);
	attempts->table = NULL;
}

/* Seconds, 0: now. */
int
attempts_wait(const Attempts *attempts, const char *who)
{
	const Entry *entry = g_hash_table_lookup(attempts->table, who);
	int64_t		now = loop_now();

	return entry == NULL || entry->until <= now ? 0 : (int) ((entry->until - now + SECOND - 1) / SECOND);
}

static gboolean
is_stale(gpointer key, gpointer value, gpointer age)
{
	return loop_now() - ((const Entry *) value)->last > *(const int64_t *) age;
}

/* Room for one more: what is stale goes, and if that is not enough, what is older than ever shorter ages. */
static void
sweep(Attempts *attempts)
{
	int64_t		age = FORGET_AFTER;

	while (g_hash_table_size(attempts->table) >= ENTRIES_MOST)
	{
		(void) g_hash_table_foreach_remove(attempts->table, is_stale, &age);
		if (age == 0)
			g_hash_table_remove_all(attempts->table);
		age /= 2;
	}
}

void
attempts_add(Attempts *attempts, const char *who)
{
	Entry	   *entry = g_hash_table_lookup(attempts->table, who);
	int64_t		now = loop_now();

	if (entry == NULL)
	{
		sweep(attempts);
		entry = g_new0(Entry, 1);
		g_hash_table_insert(attempts->table, g_strdup(who), entry);
	}
	else if (now - entry->last > FORGET_AFTER)
		entry->failures = 0;
	entry->failures++;
	entry->last = now;
	if (entry->failures > attempts->free)
	{
		int			over = entry->failures - attempts->free - 1;
		int64_t		seconds = over < 9 ? 1 << over : WAIT_MOST;

		entry->until = now + (seconds < WAIT_MOST ? seconds : WAIT_MOST) * SECOND;
	}
}

/* The try succeeded. */
void
attempts_take_back(Attempts *attempts, const char *who)
{
	Entry	   *entry = g_hash_table_lookup(attempts->table, who);

	if (entry == NULL)
		return;
	entry->failures--;
	entry->until = 0;
	if (entry->failures <= 0)
		(void) g_hash_table_remove(attempts->table, who);
}

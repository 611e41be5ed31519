/*
 * attempts.h
 *		How often somebody tried, and how long to wait before the next try.
 */
#ifndef ICO_ATTEMPTS_H
#define ICO_ATTEMPTS_H

#include <glib.h>
#include <stdint.h>

typedef struct Attempts
{
	GHashTable *table;			/* of who, to what is known of him */
	int			free;			/* tries that cost no waiting */
} Attempts;

extern void attempts_init(Attempts *attempts, int free);
extern void attempts_clear(Attempts *attempts);
extern int	attempts_wait(const Attempts *attempts, const char *who);
extern void attempts_add(Attempts *attempts, const char *who);
extern void attempts_take_back(Attempts *attempts, const char *who);

#endif							/* ICO_ATTEMPTS_H */

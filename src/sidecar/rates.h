/*
 * rates.h
 *		No more than so many mails in a second.
 */
#ifndef ICO_RATES_H
#define ICO_RATES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Rates
{
	int			all;			/* mails in a second; 0: any number */
	int			per_shop;
	int			per_domain;
	int64_t		next;			/* when the next mail may go */
	GHashTable *shops;			/* name -> Limit */
	GHashTable *domains;
} Rates;

extern void rates_init(Rates *rates, int all, int per_shop, int per_domain);
extern void rates_free(Rates *rates);
extern int64_t rates_when(const Rates *rates, const char *shop, const char *domain);
extern int64_t rates_reserve(Rates *rates, const char *shop, const char *domain, int64_t now);
extern bool rates_are_single(const Rates *rates);
extern void rates_take(Rates *rates, const char *shop, const char *domain, int64_t now);

#endif							/* ICO_RATES_H */

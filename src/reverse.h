/*
 * reverse.h
 *		A completion that the shop takes back.
 */
#ifndef ICO_REVERSE_H
#define ICO_REVERSE_H

#include "lifecycle.h"

/*
 * The attached shop took back the completion of a converted order, at `at`: that
 * one is reversed, and a new open one continues it, with the same root and episode:
 * *id.  The converted one is locked, and its cart has no open order.
 */
extern void ico_reverse(IcoOrder *converted, const IcoShop *shop, TimestampTz at, pg_uuid_t *id);

#endif							/* ICO_REVERSE_H */

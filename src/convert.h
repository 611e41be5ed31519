/*
 * convert.h
 *		Conversion, for whoever learns otherwise that an order was paid.
 */
#ifndef ICO_CONVERT_H
#define ICO_CONVERT_H

#include "lifecycle.h"

/* Converts a locked, settled open order whole and paid; errors as convert_order. */
extern void ico_convert_paid(IcoOrder *order, const IcoShop *shop, TimestampTz at);

/*
 * The attached shop completed an order under a reference of its own, at a total of
 * its own (NULL: that of the lines): as record_order().  The order is locked, and
 * settled or closed.  Converted before, it has that reference now; one that the
 * shop took back and completes again is the same order.  False when another
 * incomplete order has the reference.
 */
extern bool ico_complete(IcoOrder *order, const IcoShop *shop, text *foreign_order, const int64 *total, TimestampTz at);

#endif							/* ICO_CONVERT_H */

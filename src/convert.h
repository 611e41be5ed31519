/*
 * convert.h
 *		Conversion, for whoever learns otherwise that an order was paid.
 */
#ifndef ICO_CONVERT_H
#define ICO_CONVERT_H

#include "lifecycle.h"

/* Converts a locked, settled open order whole and paid; errors as convert_order. */
extern void ico_convert_paid(IcoOrder *order, const IcoShop *shop, TimestampTz at);

#endif							/* ICO_CONVERT_H */

/*
 * compat.h
 *		Differences between PostgreSQL 14 and 18, and nothing else.
 */
#ifndef ICO_COMPAT_H
#define ICO_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 140000 || PG_VERSION_NUM >= 190000
#error "incomplete_orders needs PostgreSQL 14 to 18"
#endif

#endif							/* ICO_COMPAT_H */

/*
 * direct.h
 *		The ordinary capture without the executor.
 */
#ifndef ICO_DIRECT_H
#define ICO_DIRECT_H

#include "facts.h"
#include "line_items.h"
#include "tenant.h"

typedef enum IcoDirect
{
	ICO_DIRECT_DONE,			/* updated; *id is set */
	ICO_DIRECT_REFUSED,			/* no order of that session, or not an ordinary one */
	ICO_DIRECT_IMPOSSIBLE		/* ask the executor */
} IcoDirect;

extern void ico_direct_init(void);

/* Does what the UPDATE of capture.c does for an ordinary order; items may be NULL. */
extern IcoDirect ico_direct_update(const IcoShop *shop, Datum session_id, LineItems *items, const IcoFacts *facts,
								   TimestampTz at, pg_uuid_t *id);

#endif							/* ICO_DIRECT_H */

/*
 * merge.h
 *		An order comes into a session.
 */
#ifndef ICO_MERGE_H
#define ICO_MERGE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "tenant.h"

/*
 * The customer brings an open order into a session (NULL: stays in its own): it
 * moves there, or, where that session has another one, gives it its lines, and
 * nothing that says whose it was.  *remains is the order that has them now; false
 * when the order is not open (any more).
 */
extern bool ico_bring_order(const IcoShop *shop, const pg_uuid_t *id, text *session_id, TimestampTz at,
							pg_uuid_t *remains);

#endif							/* ICO_MERGE_H */

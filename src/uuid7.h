/*
 * uuid7.h
 *		Ids that are ordered in time and know their shop.
 *
 * UUIDv7: 48 bits of milliseconds since 1970, 4 bits of version, 12 bits of the
 * fraction of the millisecond, 2 bits of variant, 32 bits of shop_id, 30 random.
 */
#ifndef ICO_UUID7_H
#define ICO_UUID7_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

extern void ico_uuid7_make(int32 shop_id, pg_uuid_t *id);
/* the shop_id in an id; 0 when the id is not a version 7 uuid */
extern int32 ico_shop_of(const pg_uuid_t *id);

#endif							/* ICO_UUID7_H */

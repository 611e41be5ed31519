/*
 * mark.h
 *		Marks of changed carts: what the trigger on a shop's tables leaves, and
 *		what tick makes of it.
 */
#ifndef ICO_MARK_H
#define ICO_MARK_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* partitions of cart_marks; the one that is written to changes with the minute */
#define ICO_SEGMENTS 4
#define ICO_SEGMENT_TIME USECS_PER_MINUTE

extern void ico_mark_init(void);
/* the partition to write to at that instant */
extern int	ico_segment_at(TimestampTz at);
/* InvalidOid where setup() did not make it */
extern Oid	ico_segment_oid(int segment);

#endif							/* ICO_MARK_H */

/*
 * convert_lines.h
 *		Which lines of an incomplete order become an order.
 */
#ifndef ICO_CONVERT_LINES_H
#define ICO_CONVERT_LINES_H

#include "lifecycle.h"
#include "line_items.h"

typedef struct IcoPart
{
	LineItems  *lines;			/* what is ordered */
	LineItems  *items_after;	/* the incomplete order's lines with filled moved on; untouched where they stay */
} IcoPart;

/*
 * Chooses the lines of this part: those asked for, or all that remain.  True when
 * nothing remains after it.  An order that was never filled, here or before it was
 * captured, and is converted whole keeps its lines as they stand.  or_none: an
 * order without lines is no error (IC005).
 */
extern bool ico_select_lines(const IcoOrder *order, const LineItems *asked, bool or_none, IcoPart *part);
/* IC005: there is nothing to convert, and why */
extern void ico_refuse_empty(const pg_uuid_t *id, const char *why);

#endif							/* ICO_CONVERT_LINES_H */

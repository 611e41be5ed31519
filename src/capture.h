/*
 * capture.h
 *		Writing the facts of an open order, for whoever else changes them.
 */
#ifndef ICO_CAPTURE_H
#define ICO_CAPTURE_H

#include "facts.h"
#include "lifecycle.h"
#include "line_items.h"

/*
 * An edit by staff of a locked order: the same as a capture, but last_activity_at
 * stays.  items may be NULL (leave them).  Returns the new version.
 */
extern int32 ico_write_edit(const IcoOrder *order, const IcoShop *shop, LineItems *items, const IcoFacts *facts);

#endif							/* ICO_CAPTURE_H */

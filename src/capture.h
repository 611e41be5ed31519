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
 * What capture_cart does once its arguments are read and its caller has entered
 * the shop: one cart, inserted or updated.  items may be NULL (leave them).
 */
extern void ico_capture(const IcoShop *shop, text *session_id, LineItems *items, const IcoFacts *facts,
						TimestampTz at, pg_uuid_t *id);

/* A new order of that session; false when it has an open one. */
extern bool ico_begin_order(const IcoShop *shop, text *session_id, LineItems *items, const IcoFacts *facts,
							TimestampTz at, pg_uuid_t *id);

/* whether two lines are of the same thing at the same price */
extern bool ico_same_line(const IcoLine *a, const IcoLine *b);

/*
 * An edit by staff of a locked order: the same as a capture, but last_activity_at
 * stays.  items may be NULL (leave them).  Returns the new version.
 */
extern int32 ico_write_edit(const IcoOrder *order, const IcoShop *shop, LineItems *items, const IcoFacts *facts);

#endif							/* ICO_CAPTURE_H */

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

/*
 * The same for a cart of a shop's own tables, without or in a session, that began
 * before the last activity `at`; false also when that cart has an open order.
 */
extern bool ico_begin_attached(const IcoShop *shop, int32 attachment, text *cart_key, text *session_id, LineItems *items,
							   const IcoFacts *facts, TimestampTz began, TimestampTz at, pg_uuid_t *id);

/* whether two lines are of the same thing at the same price */
extern bool ico_same_line(const IcoLine *a, const IcoLine *b);

/*
 * An edit by staff of a locked order: the same as a capture, but last_activity_at
 * stays.  items may be NULL (leave them).  Returns the new version.
 */
extern int32 ico_write_edit(const IcoOrder *order, const IcoShop *shop, LineItems *items, const IcoFacts *facts,
							TimestampTz at);

/* the customer did it, at that instant: the order is locked, settled and pending, or awaits a payment */
extern void ico_write_capture(IcoOrder *order, const IcoShop *shop, LineItems *items, const IcoFacts *facts,
							  TimestampTz at);
/* a pending payment was taken back: the cart is the customer's again */
extern void ico_withdraw_payment(IcoOrder *order, const IcoShop *shop, TimestampTz at);

#endif							/* ICO_CAPTURE_H */

/*
 * privacy.h
 *		A person who was forgotten and is told of again.
 */
#ifndef ICO_PRIVACY_H
#define ICO_PRIVACY_H

#include "datatype/timestamp.h"

#include "facts.h"
#include "line_items.h"

/*
 * What is told of a cart loses its personal data when its customer or address was
 * forgotten after `act`: facts that say who and where, the context but for what
 * says nothing of a person, the extras of lines.  The cart itself is captured, so
 * that numbers stay right.
 *
 *	act	when the customer did this.  What somebody did after being forgotten is a
 *		new act, and they are a customer again; so a capture passes its `at`.  A
 *		source that only repeats what it has passes DT_NOBEGIN: no act at all.
 *		Of a shop's own tables that are read: a cart that was not known before or
 *		whose lines differ is an act at the instant of its mark; one that is read
 *		because all are (reconcile, a first import), or in which nothing but
 *		personal data differs, is none.  Compare lines after this function, because
 *		what is stored has no extras any more.
 *
 * The session stays: without it there is no cart.  Who is it, is asked of the
 * customer and the address, and of the phone where there is neither.  Nothing is
 * left out any more once record_consent() or unsuppress() ended the suppression.
 *
 * items may point to NULL.  True when something was left out.  The caller is
 * connected to SPI and runs as incomplete_orders_owner.
 */
extern bool ico_leave_out_forgotten(int32 shop_id, LineItems **items, IcoFacts *facts, TimestampTz act);

#endif							/* ICO_PRIVACY_H */

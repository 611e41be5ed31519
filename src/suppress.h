/*
 * suppress.h
 *		Who may not be mailed.
 */
#ifndef ICO_SUPPRESS_H
#define ICO_SUPPRESS_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/*
 * From the commit of this transaction on, nothing is claimed for that address.
 * Messages that wait for orders with that address are cancelled, each with a row
 * of the ledger, the reason being that of the suppression.
 *
 *	scope	"recovery" or "all"
 *	reason	suppressed, hard_bounce, unsubscribed, not_me, complaint or erased; a weaker one does not replace a stronger
 *	message_id	the message that it came of, or NULL; its row is locked too
 *	wait	wait for message rows that others hold.  Only for callers that hold no
 *			row of a message or an order; the others leave those messages to
 *			the claim, which finds the suppression.
 *
 * True when that is new, or a stronger reason than before.
 */
extern bool ico_suppress(int32 shop_id, text *email, const char *scope, const char *reason, TimestampTz at,
						 const pg_uuid_t *message_id, bool wait);

/* the same of a person whose address is not known any more: what waits is left to the claim */
extern bool ico_suppress_person(int32 shop_id, int64 person, const char *scope, const char *reason, TimestampTz at,
								const pg_uuid_t *message_id);

/*
 * That person agrees to be mailed: what stood against it because they were
 * forgotten or had unsubscribed before `at` is lifted; what a machine, another
 * person or staff said is not.  email may be NULL.  True when something was lifted.
 */
extern bool ico_opt_in(int32 shop_id, const int64 *keys, int n_keys, text *email, TimestampTz at);

#endif							/* ICO_SUPPRESS_H */

/*
 * rules.h
 *		What a shop's settings say of who may be mailed, and when.
 */
#ifndef ICO_RULES_H
#define ICO_RULES_H

#include "plan.h"

/*
 * In SQL, o has the columns of an open order and s those of its shop; keys is
 * _person_keys() of the order.
 *
 * Why the shop does not want this person or this cart to be mailed, or null.
 * Asked of every message, also by hand and when it is claimed.
 */
#define ICO_UNWANTED(o, s, keys) \
	"COALESCE(CASE WHEN incomplete_orders._has_consent(" o ".shop_id, " keys ", " o ".context) IS NOT TRUE" \
	"  AND (" s ".consent_rule" EQ "'strict' OR incomplete_orders._has_consent(" o ".shop_id, " keys ", " o ".context) IS FALSE)" \
	" THEN 'no_consent' END," \
	" incomplete_orders._exclusion(" s ".exclusions, " o ".items, " o ".customer_id, " o ".email, " o ".context, " o ".bot))"

/* the first instant from `at` on at which it is not quiet where that person lives */
#define ICO_AWAKE(o, s, at) \
	"incomplete_orders._awake(" at ", " o ".context, " o ".address, " s ".time_zone, " s ".quiet_from, " s ".quiet_to)"

/* messages that count for gap and caps: they were sent, or will be */
#define ICO_COUNTED "'{queued,sending,sent}'::incomplete_orders.message_status[]"
/* messages to one person are counted for so long */
#define ICO_CAP_WINDOW "interval '30 days'"

#endif							/* ICO_RULES_H */

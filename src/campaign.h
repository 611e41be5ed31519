/*
 * campaign.h
 *		When an abandoned order is mailed next, and why it is not mailed.
 */
#ifndef ICO_CAMPAIGN_H
#define ICO_CAMPAIGN_H

#include "lifecycle.h"
#include "plan.h"

/* when the first message of an order that was just abandoned is due, or ICO_NONE */
extern TimestampTz ico_first_message(const IcoOrder *order);
/* the same in SQL: a scalar sub-select, of three expressions */
#define ICO_FIRST_MESSAGE(shop_id, kind, abandoned_at) \
	"(SELECT incomplete_orders._later(" abandoned_at ", cs.delay) FROM incomplete_orders.campaigns cc" \
	" JOIN incomplete_orders.campaign_steps cs ON cs.shop_id" EQ "cc.shop_id AND cs.campaign" EQ "cc.campaign" \
	" WHERE cc.shop_id" EQ shop_id " AND cc.kind" EQ kind " AND cc.enabled AND cc.not_before" LE abandoned_at \
	" ORDER BY cs.step LIMIT 1)"

/*
 * Why a person is not mailed, in SQL.  o is a row of open_orders, or one with
 * its columns; keys is _person_keys() of its customer, address and phone.
 *
 * A suppression of that person: its reason, or null.
 */
#define ICO_SUPPRESSION(o, keys) \
	"(SELECT su.reason FROM incomplete_orders.suppressions su WHERE su.shop_id" EQ o ".shop_id" \
	" AND su.person" EQ "ANY (" keys ") ORDER BY su.at LIMIT 1)"
/*
 * Whether that person ordered since this episode of the order began: by another
 * order than this one, of which a part may have been ordered.
 */
#define ICO_HAS_ORDERED(o, keys) \
	"EXISTS (SELECT 1 FROM incomplete_orders.person_orders po WHERE po.shop_id" EQ o ".shop_id" \
	" AND po.person" EQ "ANY (" keys ") AND po.ordered_at" GT o ".created_at" \
	" AND (" o ".episode" EQ "1 OR po.ordered_at" GE o ".last_activity_at OR po.ordered_at" GE \
	"(SELECT pg_catalog.max(pe.at) FROM incomplete_orders.order_events pe WHERE pe.shop_id" EQ o ".shop_id" \
	"  AND pe.order_id" EQ o ".id AND pe.event" EQ "'reanimated'))" \
	" AND NOT EXISTS (SELECT 1 FROM incomplete_orders.orders pr WHERE pr.shop_id" EQ "po.shop_id" \
	"  AND pr.order_id" EQ "po.order_id AND pr.incomplete_order_id" EQ o ".id))"
/*
 * Whether the order was opened within the attribution window after a purchase of
 * that person and holds nothing that the bought order lacked: the shop left its
 * cart behind, or the customer looked at it again.
 */
#define ICO_ALREADY_BOUGHT(o, keys, attribution_window) \
	"EXISTS (SELECT 1 FROM incomplete_orders.person_orders po WHERE po.shop_id" EQ o ".shop_id" \
	" AND po.person" EQ "ANY (" keys ") AND po.ordered_at" LE o ".created_at" \
	" AND incomplete_orders._later(po.ordered_at, " attribution_window ")" GT o ".created_at" \
	" AND NOT EXISTS (SELECT 1 FROM incomplete_orders.unnest(" o ".items) pu WHERE pu.filled" LT "pu.quantity" \
	"  AND NOT EXISTS (SELECT 1 FROM incomplete_orders.order_items pi WHERE pi.shop_id" EQ "po.shop_id" \
	"   AND pi.order_id" EQ "po.order_id AND pi.sku" EQ "pu.sku)))"

/* a conversion: that person ordered, as far as it is known who it is */
extern void ico_note_purchase(int32 shop_id, const pg_uuid_t *order_id, TimestampTz at, text *customer_id, text *email,
							  text *phone);
/* the same of the incomplete order behind it, open or closed */
extern void ico_note_purchase_of(int32 shop_id, const pg_uuid_t *id, const pg_uuid_t *order_id, TimestampTz at);

#endif							/* ICO_CAMPAIGN_H */

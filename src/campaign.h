/*
 * campaign.h
 *		When an abandoned order is mailed next, and why it is not mailed.
 */
#ifndef ICO_CAMPAIGN_H
#define ICO_CAMPAIGN_H

#include "lifecycle.h"
#include "plan.h"
#include "rules.h"

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
	" AND su.person" EQ "ANY (" keys ") AND su.scope" NE "'data' ORDER BY su.at LIMIT 1)"
/*
 * po: what that person bought, key by key.  With ANY (keys) and a bound on
 * ordered_at the planner prefers to read all that the shop sold in that time.
 */
#define ICO_PURCHASES(o, keys, bound) \
	"pg_catalog.unnest(" keys ") pk (person) CROSS JOIN LATERAL (SELECT pp.* FROM incomplete_orders.person_orders pp" \
	" WHERE pp.shop_id" EQ o ".shop_id AND pp.person" EQ "pk.person AND " bound " OFFSET 0) po"
/* the purchase po is not a part of the order itself */
#define ICO_OF_ANOTHER(o) \
	" AND NOT EXISTS (SELECT 1 FROM incomplete_orders.orders pr WHERE pr.shop_id" EQ "po.shop_id" \
	"  AND pr.order_id" EQ "po.order_id AND pr.incomplete_order_id" EQ o ".id)"
/*
 * Whether that person ordered since this episode of the order began.
 */
#define ICO_HAS_ORDERED(o, keys) \
	"EXISTS (SELECT 1 FROM " ICO_PURCHASES(o, keys, "pp.ordered_at" GT o ".created_at") \
	" WHERE true" \
	" AND (" o ".episode" EQ "1 OR po.ordered_at" GE o ".last_activity_at OR po.ordered_at" GE \
	"(SELECT pg_catalog.max(pe.at) FROM incomplete_orders.order_events pe WHERE pe.shop_id" EQ o ".shop_id" \
	"  AND pe.order_id" EQ o ".id AND pe.event" EQ "'reanimated'))" \
	ICO_OF_ANOTHER(o) ")"
/*
 * Whether the order was opened within the attribution window after a purchase of
 * that person and holds nothing that the bought order lacked: the shop left its
 * cart behind, or the customer looked at it again.
 */
#define ICO_ALREADY_BOUGHT(o, keys, attribution_window) \
	"EXISTS (SELECT 1 FROM " ICO_PURCHASES(o, keys, "pp.ordered_at" LE o ".created_at") \
	" WHERE incomplete_orders._later(po.ordered_at, " attribution_window ")" GT o ".created_at" ICO_OF_ANOTHER(o) \
	" AND NOT EXISTS (SELECT 1 FROM incomplete_orders.unnest(" o ".items) pu WHERE pu.filled" LT "pu.quantity" \
	"  AND NOT EXISTS (SELECT 1 FROM incomplete_orders.order_items pi WHERE pi.shop_id" EQ "po.shop_id" \
	"   AND pi.order_id" EQ "po.order_id AND pi.sku" EQ "pu.sku)))"

/*
 * All of it, as branches of a CASE with what decides first in front: only null
 * means that a message may be queued.  s has the settings of the shop;
 * `otherwise` is a last branch.  What has to be asked of a message before it is
 * sent belongs here.
 */
#define ICO_REFUSAL(o, s, keys, otherwise) \
	"WHEN " o ".bot THEN 'bot'" \
	" WHEN " o ".email IS NULL THEN 'no_recipient'" \
	" WHEN incomplete_orders.item_count(" o ".items)" LE "incomplete_orders._filled_count(" o ".items) THEN 'empty'" \
	" ELSE COALESCE(" ICO_SUPPRESSION(o, keys) "," \
	"  " ICO_UNWANTED(o, s, keys) "," \
	"  CASE WHEN " ICO_HAS_ORDERED(o, keys) " THEN 'ordered'" \
	"   WHEN " ICO_ALREADY_BOUGHT(o, keys, s ".attribution_window") " THEN 'already_bought' " otherwise " END)"

/* --- the person's other carts and messages, in SQL --- */

/* what falls due next for an order that would have these */
#define ICO_LIFE(o, s, status, abandoned_at, lost_at) \
	"incomplete_orders._due_step(" status ", incomplete_orders.item_count(" o ".items)" EQ "0, " o ".last_activity_at, " \
	abandoned_at ", " lost_at ", " o ".expires_at, " o ".payment_deadline, " s ".cut_off, " s ".attribution_window)"
/*
 * Since when the order is abandoned, written or not, if at the instant `at` it is
 * and is neither lost nor expired; else null.
 */
#define ICO_ABANDONED_AS_OF(o, s, at) \
	"CASE WHEN " o ".status" EQ "'abandoned'" \
	"  THEN CASE WHEN " o ".lost_at IS NULL AND (" o ".next_action_at" GT at " OR (" \
	ICO_LIFE(o, s, "'abandoned'", o ".abandoned_at", "NULL") ").due_at" GT at ") THEN " o ".abandoned_at END" \
	" WHEN " o ".next_action_at" LE at " AND (" o ".status" NE "'payment_pending' OR " s ".payment_state IS NULL)" \
	"  AND (" ICO_LIFE(o, s, o ".status", o ".abandoned_at", o ".lost_at") ").step" EQ "'abandoned'" \
	"  AND (" ICO_LIFE(o, s, o ".status", o ".abandoned_at", o ".lost_at") ").due_at" LE at \
	"  AND (" ICO_LIFE(o, s, "'abandoned'", "(" ICO_LIFE(o, s, o ".status", o ".abandoned_at", o ".lost_at") ").due_at", "NULL") \
	").due_at" GT at \
	"  THEN (" ICO_LIFE(o, s, o ".status", o ".abandoned_at", o ".lost_at") ").due_at END"

/*
 * CTEs behind `due`, of orders with the columns ICO_DUE_COLUMNS: `carts` has them and all
 * other open orders of their persons, each once for everything by which it is that
 * person's (who).  The indexes find what is written alike.
 */
#define ICO_WHO_PHONE(o) "pg_catalog.translate(" o ".phone, ' ()-./+', '')"
#define ICO_WHO_EMAIL(o) "pg_catalog.lower(" o ".email COLLATE pg_catalog.\"C\")"
#define ICO_CARTS(due) \
	"carts AS MATERIALIZED (SELECT w.shop_id, ('c' " CONCAT " w.who) COLLATE pg_catalog.\"C\" AS who, b.id" \
	"  FROM (SELECT DISTINCT o.shop_id, o.customer_id AS who FROM " due " o WHERE o.customer_id IS NOT NULL) w" \
	"  CROSS JOIN LATERAL (SELECT c.id FROM incomplete_orders.open_orders c WHERE c.shop_id" EQ "w.shop_id" \
	"   AND c.customer_id" EQ "w.who OFFSET 0) b" \
	" UNION ALL SELECT w.shop_id, ('e' " CONCAT " w.who) COLLATE pg_catalog.\"C\", b.id" \
	"  FROM (SELECT DISTINCT o.shop_id, " ICO_WHO_EMAIL("o") " AS who FROM " due " o WHERE o.email IS NOT NULL) w" \
	"  CROSS JOIN LATERAL (SELECT c.id FROM incomplete_orders.open_orders c WHERE c.shop_id" EQ "w.shop_id AND c.email IS NOT NULL" \
	"   AND " ICO_WHO_EMAIL("c") EQ "w.who OFFSET 0) b" \
	/* a phone without a digit is nobody's */ \
	" UNION ALL SELECT w.shop_id, ('p' " CONCAT " w.who) COLLATE pg_catalog.\"C\", b.id" \
	"  FROM (SELECT DISTINCT o.shop_id, " ICO_WHO_PHONE("o") " AS who FROM " due " o WHERE o.phone OPERATOR(pg_catalog.~) '[0-9]') w" \
	"  CROSS JOIN LATERAL (SELECT c.id FROM incomplete_orders.open_orders c WHERE c.shop_id" EQ "w.shop_id AND c.phone IS NOT NULL" \
	"   AND " ICO_WHO_PHONE("c") EQ "w.who OFFSET 0) b)"
/* the lines of all these that a shop is asked about */
#define ICO_ITEMS_OF_CARTS(due) \
	"SELECT incomplete_orders._mailed_items(b.items, s.exclusions)" \
	" FROM (SELECT o.shop_id, o.id FROM " due " o UNION SELECT c.shop_id, c.id FROM carts c) x" \
	" CROSS JOIN LATERAL (SELECT z.items FROM incomplete_orders.open_orders z WHERE z.shop_id" EQ "x.shop_id AND z.id" EQ "x.id LIMIT 1) b" \
	" JOIN incomplete_orders.shops s ON s.shop_id" EQ "x.shop_id"
/*
 * ... and behind it: `beaten` has the ids of those orders whose person has a better
 * cart that is abandoned, may be mailed, and is: mailed_until is an expression over
 * b, its row, and bv.abandoned_at, since when it is abandoned; not before the other
 * one was.  Carts are compared by what can be sold of them, then by the latest
 * activity; where they are in different currencies, which nobody can compare, that
 * counts in which the person was active last.  That order is total, so of two that
 * see each other exactly one is beaten.  One pass over the carts of a person, in
 * their order, finds all.
 */
#define ICO_BEATEN(at, mailed_until) \
	"rivals AS MATERIALIZED (SELECT x.shop_id, x.id, x.whos, b.currency, b.last_activity_at, bv.abandoned_at," \
	"  incomplete_orders._left_value(b.shop_id, b.currency, b.items, s.exclusions) AS value," \
	"  CASE WHEN bv.abandoned_at IS NULL THEN NULL" \
	"   WHEN (SELECT CASE " ICO_REFUSAL("b", "s", "bk.keys", "") " END" \
	"    FROM (SELECT incomplete_orders._person_keys(b.shop_id, b.customer_id, b.email, b.phone) AS keys OFFSET 0) bk) IS NOT NULL THEN NULL" \
	"   WHEN incomplete_orders._sale_fault(b.shop_id, b.currency, b.items, s.exclusions) IS NOT NULL THEN NULL" \
	"   ELSE " mailed_until " END AS mailed_until" \
	"  FROM (SELECT n.shop_id, n.id, pg_catalog.array_agg(n.who) AS whos" \
	"   FROM (SELECT q.*, pg_catalog.count(*) OVER (PARTITION BY q.shop_id, q.who) AS n FROM carts q) n" \
	"   WHERE n.n" GT "1 GROUP BY n.shop_id, n.id) x" \
	"  CROSS JOIN LATERAL (SELECT z.* FROM incomplete_orders.open_orders z WHERE z.shop_id" EQ "x.shop_id AND z.id" EQ "x.id LIMIT 1) b" \
	"  JOIN incomplete_orders.shops s ON s.shop_id" EQ "x.shop_id" \
	"  CROSS JOIN LATERAL (SELECT " ICO_ABANDONED_AS_OF("b", "s", at) " AS abandoned_at OFFSET 0) bv)," \
	" beaten AS MATERIALIZED (SELECT r.id FROM (SELECT r.*, pg_catalog.max(r.mailed_until) OVER (PARTITION BY r.shop_id, r.who" \
	"   ORDER BY r.latest DESC NULLS LAST, r.currency, r.value DESC, r.last_activity_at DESC, r.id DESC" \
	"   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS better_until" \
	"  FROM (SELECT r.*, w.who, pg_catalog.max(r.last_activity_at) FILTER (WHERE r.mailed_until IS NOT NULL)" \
	"    OVER (PARTITION BY r.shop_id, w.who, r.currency) AS latest" \
	"   FROM rivals r CROSS JOIN LATERAL pg_catalog.unnest(r.whos) w (who)) r) r" \
	"  WHERE r.better_until" GE "COALESCE(r.abandoned_at, '-infinity'))"
/* ... a message of the campaign waits for it, or so long ago it got the last one */
#define ICO_MAILED_UNTIL \
	"CASE WHEN CASE WHEN b.status" EQ "'abandoned' THEN b.next_message_at" \
	" ELSE " ICO_FIRST_MESSAGE("b.shop_id", "b.kind", "bv.abandoned_at") " END IS NOT NULL THEN 'infinity'" \
	" ELSE (SELECT pg_catalog.max(bm.queued_at) FROM incomplete_orders.messages bm WHERE bm.shop_id" EQ "b.shop_id AND bm.root_id" EQ "b.root_id" \
	"  AND bm.status" EQ "ANY (" ICO_COUNTED ")) END"

/* a row: when a message to that person was queued last, and how many were of late */
#define ICO_HISTORY(o, s, keys, at) \
	"(SELECT pg_catalog.max(ph.queued_at) AS last_at, (pg_catalog.count(DISTINCT ph.message_id)" \
	"  FILTER (WHERE ph.queued_at" GT "incomplete_orders._later(" at ", interval '0'" MINUS ICO_CAP_WINDOW "))) AS n" \
	" FROM pg_catalog.unnest(" keys ") pk (person) CROSS JOIN LATERAL (SELECT pm.queued_at, pm.message_id" \
	"  FROM incomplete_orders.person_messages pm WHERE pm.shop_id" EQ o ".shop_id AND pm.person" EQ "pk.person" \
	"  AND pm.queued_at" LE at " AND pm.queued_at" GT "incomplete_orders._later(" at ", interval '0'" MINUS \
	"GREATEST(" ICO_CAP_WINDOW ", " s ".min_gap)) OFFSET 0) ph" \
	" CROSS JOIN LATERAL (SELECT FROM incomplete_orders.messages hm WHERE hm.shop_id" EQ o ".shop_id AND hm.id" EQ "ph.message_id" \
	"  AND hm.status" EQ "ANY (" ICO_COUNTED ") LIMIT 1) hm)"
/* how many messages the order had in this episode */
#define ICO_EPISODE_MESSAGES(o) \
	"(SELECT pg_catalog.count(*) FROM incomplete_orders.messages em WHERE em.shop_id" EQ o ".shop_id AND em.root_id" EQ o ".root_id" \
	" AND em.episode" EQ o ".episode AND em.status" EQ "ANY (" ICO_COUNTED "))"
/*
 * Laterals h, g and w: that history, when the gap is over, and when it is not
 * quiet either.
 */
#define ICO_TIMING(o, s, keys, at) \
	" CROSS JOIN LATERAL " ICO_HISTORY(o, s, keys, at) " h" \
	" CROSS JOIN LATERAL (SELECT GREATEST(" at ", incomplete_orders._later(h.last_at, " s ".min_gap)) AS over_at OFFSET 0) g" \
	" CROSS JOIN LATERAL (SELECT " ICO_AWAKE(o, s, "g.over_at") " AS awake_at OFFSET 0) w"
/* the last branches of ICO_REFUSAL for messages that nobody asked for by hand; waits is another one in front of the choice among carts */
#define ICO_TOO_MANY(o, s, waits) \
	" WHEN " ICO_EPISODE_MESSAGES(o) GE s ".cap_per_episode THEN 'cap_per_episode'" waits \
	" WHEN " o ".id" EQ "ANY (SELECT bt.id FROM beaten bt) THEN 'other_cart'"
/* ... and once it may leave: that of the cart which can be sold is too little */
#define ICO_NOT_SOLD(o, s) \
	" WHEN incomplete_orders._sale_fault(" o ".shop_id, " o ".currency, " o ".items, " s ".exclusions) IS NOT NULL" \
	" THEN incomplete_orders._sale_fault(" o ".shop_id, " o ".currency, " o ".items, " s ".exclusions)"

/* --- steps, in SQL --- */

/* what of an order is needed to decide and to tell of it, but status and abandoned_at */
#define ICO_DUE_COLUMNS \
	"o.ctid AS row, o.shop_id, o.id, o.root_id, o.episode, o.kind, o.currency, o.items, o.shipping, o.tax, o.discount," \
	" o.coupon_discount, o.furthest_step, o.context, o.bot, o.created_at, o.lost_at, o.next_action_at," \
	" o.last_activity_at, o.expires_at, o.payment_deadline, o.customer_id, o.email, o.phone, o.address, o.sequence_step"

/* two messages of one order are never nearer than this, whatever the steps say */
#define ICO_LEAST_DISTANCE "interval '1 hour'"

/*
 * When a step is due: delay after the abandonment, and as far behind the step
 * before it, which was done at `done`, as the campaign has them apart.
 */
#define ICO_STEP_DUE(abandoned_at, delay, done, delay_before) \
	"GREATEST(incomplete_orders._later(" abandoned_at ", " delay ")," \
	" incomplete_orders._later(" done ", GREATEST(" delay MINUS delay_before ", " ICO_LEAST_DISTANCE ")))"

/* the first step of the order's campaign behind the step `behind` */
#define ICO_STEP_BEHIND(campaign, behind) \
	"(SELECT cs.step, cs.delay, cs.message_type, cs.template FROM incomplete_orders.campaign_steps cs" \
	" WHERE cs.shop_id" EQ campaign ".shop_id AND cs.campaign" EQ campaign ".campaign AND cs.step" GT behind \
	" ORDER BY cs.step LIMIT 1)"

/* --- experiments, in SQL --- */

/*
 * Lateral ha: whether that person is held out, null where the shop holds nobody
 * out.  The arm that was written first holds, whatever the share is now.
 */
#define ICO_ARM(o, s, keys) \
	" CROSS JOIN LATERAL (SELECT CASE WHEN " s ".holdout" GT "0 THEN COALESCE((SELECT pa.holdout" \
	"  FROM pg_catalog.unnest(" keys ") pk (person) CROSS JOIN LATERAL (SELECT pr.holdout, pr.assigned_at" \
	"   FROM incomplete_orders.person_arms pr WHERE pr.shop_id" EQ o ".shop_id AND pr.person" EQ "pk.person OFFSET 0) pa" \
	"  ORDER BY pa.assigned_at, pa.holdout LIMIT 1)," \
	"  incomplete_orders._draw(" o ".shop_id, 'holdout', " o ".email)" LT s ".holdout) END AS holdout OFFSET 0) ha"
/*
 * Lateral va: the variant of the step n that this person gets.  Each variant has
 * its own draw and the highest ln(draw) / weight wins: shares are as the weights,
 * and who changes when a variant or a weight does is only who has to.
 */
#define ICO_VARIANT(o) \
	" LEFT JOIN LATERAL (SELECT sv.variant, sv.template FROM incomplete_orders.step_variants sv" \
	"  WHERE sv.shop_id" EQ "c.shop_id AND sv.campaign" EQ "c.campaign AND sv.step" EQ "n.step AND sv.weight" GT "0" \
	"  ORDER BY pg_catalog.ln(incomplete_orders._draw(" o ".shop_id," \
	"   pg_catalog.concat_ws(' ', 'variant', sv.campaign, sv.step, sv.variant), " o ".email)) OPERATOR(pg_catalog./) sv.weight DESC," \
	"   sv.variant LIMIT 1) va ON true"
/*
 * The arms of the rows of `who` that have one, for keys that have none yet.  What
 * others have not committed is no conflict, because the instant is part of the
 * row: nobody waits for a transaction that somebody left open, and the older row
 * holds.
 */
#define ICO_ARM_ROWS(who, at) \
	"pa AS (INSERT INTO incomplete_orders.person_arms (shop_id, person, holdout, assigned_at)" \
	"  SELECT DISTINCT ON (r.shop_id, k.person) r.shop_id, k.person, r.holdout, " at " FROM " who " r" \
	"  CROSS JOIN LATERAL pg_catalog.unnest(r.keys) k (person) WHERE r.holdout IS NOT NULL" \
	"  AND (SELECT pr.person FROM incomplete_orders.person_arms pr WHERE pr.shop_id" EQ "r.shop_id AND pr.person" EQ "k.person LIMIT 1) IS NULL" \
	"  ORDER BY r.shop_id, k.person ON CONFLICT (shop_id, person, assigned_at) DO NOTHING)"

/* a step that was queued in this episode already is not queued again; costs each message a little */
#define ICO_ONCE " ON CONFLICT (shop_id, root_id, episode, step, ordinal) DO NOTHING"

/*
 * The CTEs behind `moved`, which has the orders that were moved on, with the
 * columns of an event, and campaign, step, variant, message_type, template, email,
 * the person's keys, holdout and whether the row queues a message: that message and
 * its event; of the rows of `held` with the reason holdout an event too, once an
 * episode; and the arms of their persons.  $2 is at.  What
 * was written is looked up in a hash: the planner takes a CTE that writes for one
 * row, and would join it by a loop in a loop.
 */
#define ICO_QUEUED_CTES(actor, on_conflict, held) \
	"w AS MATERIALIZED (SELECT d.*, incomplete_orders._new_id(d.shop_id) AS message_id FROM moved d WHERE d.queues)," \
	" m AS (INSERT INTO incomplete_orders.messages (shop_id, id, due_at, order_id, root_id, episode, step, campaign," \
	"  message_type, template, recipient, queued_at, give_up_at, variant)" \
	"  SELECT d.shop_id, d.message_id, $2, d.id, d.root_id, d.episode, d.step, d.campaign," \
	"  d.message_type, d.template, d.email, $2, pg_catalog.clock_timestamp()" PLUS "interval '120 hours', d.variant" \
	"  FROM w d" on_conflict " RETURNING id, order_id)," \
	" r AS (SELECT d.*, 'message_queued' AS event FROM w d WHERE (d.message_id" EQ "ANY (SELECT m.id FROM m)) IS TRUE" \
	"  UNION ALL SELECT d.*, NULL, 'holdout' FROM " held " d WHERE d.reason" EQ "'holdout'" \
	/* not EXISTS, which could become a scan of all events */ \
	"   AND (SELECT he.event_id FROM incomplete_orders.order_events he WHERE he.shop_id" EQ "d.shop_id AND he.order_id" EQ "d.id" \
	"    AND he.event" EQ "'holdout' AND he.episode" EQ "d.episode LIMIT 1) IS NULL)," \
	" pm AS (INSERT INTO incomplete_orders.person_messages (shop_id, person, queued_at, message_id)" \
	"  SELECT DISTINCT r.shop_id, k.person, $2, r.message_id FROM r CROSS JOIN LATERAL pg_catalog.unnest(r.keys) k (person)" \
	"  WHERE r.message_id IS NOT NULL), " ICO_ARM_ROWS("r", "$2") ", " \
	ICO_EVENT_ROWS("r", "r.event", "$2", actor, "NULL", "r.status", "NULL", ", campaign, step, variant, holdout, message_id", \
				   ", r.campaign, r.step, CASE WHEN r.message_id IS NOT NULL THEN r.variant END, r.holdout, r.message_id") "," \
	" t AS (" ICO_EVENT_TAIL ")"

/* a conversion: that person ordered, as far as it is known who it is */
extern void ico_note_purchase(int32 shop_id, const pg_uuid_t *order_id, TimestampTz at, text *customer_id, text *email,
							  text *phone);
/* the same of the incomplete order behind it, open or closed */
extern void ico_note_purchase_of(int32 shop_id, const pg_uuid_t *id, const pg_uuid_t *order_id, TimestampTz at);

#endif							/* ICO_CAMPAIGN_H */

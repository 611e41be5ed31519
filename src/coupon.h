/*
 * coupon.h
 *		Coupons that messages go out with, and their use.
 */
#ifndef ICO_COUPON_H
#define ICO_COUPON_H

#include "closing.h"
#include "lifecycle.h"
#include "queue.h"

/* What a message promises; money as everywhere, a percentage scaled alike. */
typedef struct IcoCoupon
{
	text	   *code;
	bool		percentage;		/* value is one, else an amount */
	int64		value;
	text	   *currency;
	int64		minimum_value;
	TimestampTz expires_at;
} IcoCoupon;

/* gives the claims that are offers their coupon, where there is one for them */
extern void ico_claim_coupons(IcoClaim **claims, int n, TimestampTz now);
/* the one that a message like this would have at that instant; nothing is given out */
extern void ico_preview_coupon(IcoClaim *claim, TimestampTz at);

/*
 * An order with a coupon_discount is converted; taken is its row, or NULL where
 * that is still in its table.  Uses up a coupon of ours and returns what it took
 * off, 0 for other codes.  One that is not valid is refused only when strict.
 */
extern Datum ico_use_coupon(const IcoOrder *order, const IcoTaken *taken, TimestampTz at, bool strict);

/* why the coupon on an open order would be refused now, or NULL */
extern const char *ico_coupon_fault(const IcoOrder *order, TimestampTz at);

#endif							/* ICO_COUPON_H */

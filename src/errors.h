/*
 * errors.h
 *		Every SQLSTATE of our own: class IC.
 *
 * The one place for them.  Each has a test in test/sql/errors.sql; malformed
 * values of arguments use the server's 22023 (invalid_parameter_value).
 */
#ifndef ICO_ERRORS_H
#define ICO_ERRORS_H

#define ICO_SQLSTATE(d3, d4, d5) MAKE_SQLSTATE('I', 'C', d3, d4, d5)

#define ICO_ERR_NOT_SET_UP			ICO_SQLSTATE('0', '0', '1')
#define ICO_ERR_NO_SUCH_SHOP		ICO_SQLSTATE('0', '0', '2')
#define ICO_ERR_NO_SUCH_ORDER		ICO_SQLSTATE('0', '0', '3')
#define ICO_ERR_MOVE_NOT_ALLOWED	ICO_SQLSTATE('0', '0', '4')
#define ICO_ERR_NOTHING_TO_CONVERT	ICO_SQLSTATE('0', '0', '5')
#define ICO_ERR_EXPIRED				ICO_SQLSTATE('0', '0', '6')
#define ICO_ERR_NEGATIVE_TOTAL		ICO_SQLSTATE('0', '0', '7')
#define ICO_ERR_KEY_REUSED			ICO_SQLSTATE('0', '0', '8')
#define ICO_ERR_STALE_VERSION		ICO_SQLSTATE('0', '0', '9')
/* a mapping of attach does not fit the shop's tables */
#define ICO_ERR_BAD_MAPPING			ICO_SQLSTATE('0', '1', '0')
/* a link that is forged, expired, or of another kind or shop */
#define ICO_ERR_BAD_TOKEN			ICO_SQLSTATE('0', '1', '1')
/* a deferred invariant does not hold at commit */
#define ICO_ERR_INVARIANT			ICO_SQLSTATE('0', '1', '2')
/* an order number, reference or shop name is taken */
#define ICO_ERR_TAKEN				ICO_SQLSTATE('0', '1', '3')
/* rows that must stay are in the way (a shop in use), or that need it (a template) */
#define ICO_ERR_IN_USE				ICO_SQLSTATE('0', '1', '4')

/* no recovery message may be sent for an order; the detail is the reason */
#define ICO_ERR_NOT_RECOVERABLE		ICO_SQLSTATE('0', '1', '5')
/* a coupon of ours that this order cannot have */
#define ICO_ERR_BAD_COUPON			ICO_SQLSTATE('0', '1', '6')
#define ICO_ERR_NOT_FROM_PAGES		ICO_SQLSTATE('0', '1', '7')

#endif							/* ICO_ERRORS_H */

/*
 * money.h
 *		Exact money: int64 scaled by ICO_MONEY_SCALE, and the currencies' exponents.
 */
#ifndef ICO_MONEY_H
#define ICO_MONEY_H

#include "fmgr.h"
#include "utils/numeric.h"

#define ICO_MONEY_DECIMALS 6
#define ICO_MONEY_SCALE INT64CONST(1000000)
/* amounts that a caller gives are below this, in whole units */
#define ICO_MONEY_LIMIT INT64CONST(1000000000000)

typedef struct IcoCharges
{
	int64		shipping;
	int64		tax;
	int64		discount;
	int64		coupon_discount;
} IcoCharges;

/* decimal places of a currency by ISO 4217; two when it is not in the list */
extern int	ico_currency_exponent(const char *currency);
/* false when the amount is NaN, infinite, beyond the limit or finer than 10^-6 */
extern bool ico_money_from_numeric(Numeric amount, int64 *scaled);
/* of a stored charge, which is within the limits; errors otherwise */
extern int64 ico_stored_money(Datum amount);
/* exact and without trailing zeros, as "19.9"; returns the length, writes no NUL */
#define ICO_MONEY_BUFFER 32
extern int	ico_format_money(int64 scaled, char *buffer);
/* with so many decimals, and more only where the amount has them */
extern Numeric ico_amount_numeric(int64 scaled, int decimals);
/* lines + shipping + tax - discounts, rounded half up to the exponent; 22003 on overflow */
extern bool ico_try_order_total(int64 lines, const IcoCharges *charges, int exponent, int64 *total);	/* false: overflow */
extern int64 ico_order_total(int64 lines, const IcoCharges *charges, int exponent);
/*
 * The same as numeric, also for a cart whose total no order can have: it can
 * still be stored and shown, or one such cart would break every list of its shop.
 */
extern Numeric ico_total_numeric(int64 lines, const IcoCharges *charges, int exponent);
/* the SQL function: of a cart's columns, and for totals that no order can have too */
extern Datum ico_order_total_sql(PG_FUNCTION_ARGS);

#endif							/* ICO_MONEY_H */

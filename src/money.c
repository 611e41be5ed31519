/*
 * money.c
 *		Exact money: int64 scaled by ICO_MONEY_SCALE, and the currencies' exponents.
 *
 * Results are palloc'd in the current context; no locks.
 */
#include "postgres.h"

#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "compat.h"
#include "currencies.h"
#include "money.h"

PG_FUNCTION_INFO_V1(ico_currency_exponent_sql);

int
ico_currency_exponent(const char *currency)
{
	for (const IcoCurrency *known = ico_currencies; known->code[0] != '\0'; known++)
	{
		if (strcmp(known->code, currency) == 0)
			return known->exponent;
	}
	return 2;
}

Datum
ico_currency_exponent_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(ico_currency_exponent(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

bool
ico_money_from_numeric(Numeric amount, int64 *scaled)
{
	Numeric		product;
	Numeric		whole;

	if (numeric_is_nan(amount) || numeric_is_inf(amount))
		return false;
	/* most charges are: a zero has no digits, only its header of two bytes */
	if (VARSIZE_ANY_EXHDR(amount) == sizeof(uint16))
	{
		*scaled = 0;
		return true;
	}
	/* bounded before it is multiplied: a numeric may have 131,072 digits */
	if (DatumGetInt32(DirectFunctionCall2(numeric_cmp,
										  DirectFunctionCall1(numeric_abs, NumericGetDatum(amount)),
										  NumericGetDatum(int64_to_numeric(ICO_MONEY_LIMIT)))) >= 0)
		return false;
	product = DatumGetNumeric(DirectFunctionCall2(numeric_mul, NumericGetDatum(amount),
												  NumericGetDatum(int64_to_numeric(ICO_MONEY_SCALE))));
	whole = DatumGetNumeric(DirectFunctionCall2(numeric_trunc, NumericGetDatum(product), Int32GetDatum(0)));
	if (DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(product), NumericGetDatum(whole))) != 0)
		return false;
	*scaled = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(whole)));
	return true;
}

int64
ico_stored_money(Datum amount)
{
	int64		scaled;

	if (!ico_money_from_numeric(DatumGetNumeric(amount), &scaled))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a charge is not below 10^12 with at most 6 decimals")));
	return scaled;
}

int
ico_format_money(int64 amount, char *buf)
{
	int64		fraction = amount % ICO_MONEY_SCALE;
	int64		whole = amount / ICO_MONEY_SCALE;
	char	   *p = buf;

	if (amount < 0)
	{
		*p++ = '-';
		whole = -whole;
		fraction = -fraction;
	}
	p += pg_ulltoa_n((uint64) whole, p);
	if (fraction != 0)
	{
		*p++ = '.';
		for (int64 unit = ICO_MONEY_SCALE / 10; fraction != 0; unit /= 10)
		{
			*p++ = '0' + (char) (fraction / unit);
			fraction %= unit;
		}
	}
	return p - buf;
}

Numeric
ico_amount_numeric(int64 scaled, int decimals)
{
	int			kept = ICO_MONEY_DECIMALS;

	while (kept > decimals && scaled % 10 == 0)
	{
		scaled /= 10;
		kept--;
	}
	return kept == 0 ? int64_to_numeric(scaled) : int64_div_fast_to_numeric(scaled, kept);
}

bool
ico_try_order_total(int64 lines, const IcoCharges *charges, int exponent, int64 *result)
{
	int64		total = lines;
	int64		unit = ICO_MONEY_SCALE;
	int64		rest;

	for (int i = 0; i < exponent; i++)
		unit /= 10;
	if (pg_add_s64_overflow(total, charges->shipping, &total) ||
		pg_add_s64_overflow(total, charges->tax, &total) ||
		pg_sub_s64_overflow(total, charges->discount, &total) ||
		pg_sub_s64_overflow(total, charges->coupon_discount, &total) ||
		pg_add_s64_overflow(total, unit / 2, &total))
		return false;
	rest = total % unit;
	if (rest < 0)
		rest += unit;			/* floor, also below zero */
	*result = total - rest;
	return true;
}

int64
ico_order_total(int64 lines, const IcoCharges *charges, int exponent)
{
	int64		total;

	if (!ico_try_order_total(lines, charges, exponent, &total))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the order's total is out of range"),
				 errdetail("It must stay below 9.2 * 10^12.")));
	return total;
}

Numeric
ico_total_numeric(int64 lines, const IcoCharges *charges, int exponent)
{
	const int64 terms[] = {charges->shipping, charges->tax, -charges->discount, -charges->coupon_discount};
	int64		total;
	Datum		sum;

	if (ico_try_order_total(lines, charges, exponent, &total))
		return ico_amount_numeric(total, exponent);
	/* large and positive: numeric's rounding is half up too */
	sum = NumericGetDatum(ico_amount_numeric(lines, ICO_MONEY_DECIMALS));
	for (int i = 0; i < lengthof(terms); i++)
		sum = DirectFunctionCall2(numeric_add, sum,
								  NumericGetDatum(ico_amount_numeric(terms[i], ICO_MONEY_DECIMALS)));
	return DatumGetNumeric(DirectFunctionCall2(numeric_round, sum, Int32GetDatum(exponent)));
}

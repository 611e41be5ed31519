/*
 * currencies.h
 *		ISO 4217: every currency whose minor unit is not the hundredth.
 *
 * Shared by the extension and the program beside it.
 */
#ifndef ICO_CURRENCIES_H
#define ICO_CURRENCIES_H

typedef struct IcoCurrency
{
	char		code[4];
	int			exponent;
} IcoCurrency;

/* ends with an empty code */
static const IcoCurrency ico_currencies[] = {
	{"BIF", 0}, {"CLP", 0}, {"DJF", 0}, {"GNF", 0}, {"ISK", 0}, {"JPY", 0},
	{"KMF", 0}, {"KRW", 0}, {"PYG", 0}, {"RWF", 0}, {"UGX", 0}, {"UYI", 0},
	{"VND", 0}, {"VUV", 0}, {"XAF", 0}, {"XOF", 0}, {"XPF", 0},
	{"BHD", 3}, {"IQD", 3}, {"JOD", 3}, {"KWD", 3}, {"LYD", 3}, {"OMR", 3}, {"TND", 3},
	{"CLF", 4}, {"UYW", 4},
	{"", 2}
};

#endif							/* ICO_CURRENCIES_H */

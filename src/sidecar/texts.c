/*
 * texts.c
 *		Which language a shopper reads, and money in it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../currencies.h"
#include "texts.h"

static const char *const texts[][LANGUAGES] = {
#define ICO_TEXT_ROW(key, english, german) {english, german},
	ICO_TEXTS(ICO_TEXT_ROW)
};

static const char *const tags[LANGUAGES] = {"en", "de"};

const char *
text_of(Language language, Text text)
{
	return texts[text][language];
}

const char *
language_tag(Language language)
{
	return tags[language];
}

/* The language of "de", "de-AT" or "de_AT.UTF-8", or -1. */
static int
language_of_tag(const char *tag, size_t length)
{
	size_t		primary = strcspn(tag, "-_.@");

	if (primary > length)
		primary = length;
	for (int i = 0; i < LANGUAGES; i++)
	{
		if (strlen(tags[i]) == primary && strncasecmp(tag, tags[i], primary) == 0)
			return i;
	}
	return -1;
}

/* The q of ";q=0.8" in thousandths; without one 1000. */
static int
quality(const char *parameters, size_t length)
{
	const char *q = memchr(parameters, '=', length);
	double		value;

	if (q == NULL)
		return 1000;
	value = atof(q + 1);
	return value >= 1 ? 1000 : value > 0 ? (int) (value * 1000) : 0;
}

/* That of the message, else the one that the browser likes best, else English. */
Language
language_of(const char *locale, const char *accept_language)
{
	int			best = -1;
	int			best_quality = 0;

	if (locale != NULL)
		best = language_of_tag(locale, strlen(locale));
	if (best >= 0 || accept_language == NULL)
		return best >= 0 ? (Language) best : LANGUAGE_EN;
	for (const char *p = accept_language; *p != '\0';)
	{
		size_t		length;
		size_t		tag;
		int			language;
		int			q;

		p += strspn(p, ", \t");
		length = strcspn(p, ",");
		tag = strcspn(p, ";, \t");
		language = language_of_tag(p, tag);
		q = tag < length ? quality(p + tag, length - tag) : 1000;
		if (language >= 0 && q > best_quality)
		{
			best = language;
			best_quality = q;
		}
		p += length;
	}
	return best >= 0 ? (Language) best : LANGUAGE_EN;
}

static int
exponent_of(const char *currency)
{
	for (const IcoCurrency *known = ico_currencies; known->code[0] != '\0'; known++)
	{
		if (strcmp(known->code, currency) == 0)
			return known->exponent;
	}
	return 2;
}

/*
 * "1234.5" as "1.234,50" or "1,234.50": with at least so many decimals, and more
 * unless they are zeros, because nothing is rounded here.  What is no number is
 * not made to look like one: false, and it is as it was.
 */
static bool
number_text(char *buffer, size_t size, Language language, const char *amount, size_t least)
{
	bool		german = language == LANGUAGE_DE;
	const char *sign = *amount == '-' ? "-" : "";
	const char *whole = amount + strlen(sign);
	size_t		n = strcspn(whole, ".");
	const char *fraction = whole[n] == '.' ? whole + n + 1 : "";
	size_t		shown = strlen(fraction);
	char		number[96];
	size_t		length = 0;

	if (n == 0 || n > 30 || shown > 20 || strspn(whole, "0123456789") != n || strspn(fraction, "0123456789") != shown)
	{
		snprintf(buffer, size, "%s", amount);
		return false;
	}
	while (shown > least && fraction[shown - 1] == '0')
		shown--;
	for (size_t i = 0; i < n; i++)
	{
		if (i > 0 && (n - i) % 3 == 0)
			number[length++] = german ? '.' : ',';
		number[length++] = whole[i];
	}
	if (shown > 0 || least > 0)
		number[length++] = german ? ',' : '.';
	for (size_t i = 0; i < shown || i < least; i++)
		number[length++] = i < shown ? fraction[i] : '0';
	number[length] = '\0';
	snprintf(buffer, size, "%s%s", sign, number);
	return true;
}

void
amount_text(char *buffer, size_t size, Language language, const char *amount, const char *currency)
{
	(void) number_text(buffer, size, language, amount, (size_t) exponent_of(currency));
}

void
count_text(char *buffer, size_t size, Language language, const char *count)
{
	(void) number_text(buffer, size, language, count, 0);
}

/* With the currency and a hard space: "1.234,50 EUR" or "EUR 1,234.50". */
void
money_text(char *buffer, size_t size, Language language, const char *amount, const char *currency)
{
	char		number[192];

	if (!number_text(number, sizeof(number), language, amount, (size_t) exponent_of(currency)))
		snprintf(buffer, size, "%s %s", number, currency);
	else if (language == LANGUAGE_DE)
		snprintf(buffer, size, "%s\u00a0%s", number, currency);
	else
		snprintf(buffer, size, "%s\u00a0%s", currency, number);
}

/*
 * query.c
 *		Text as it comes in URLs: %-escapes, UTF-8.
 *
 * Nothing is guessed: an escape that is none, a 0 byte and what is no UTF-8 are
 * refused, so that what is checked and logged is what the database gets.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "query.h"

bool
query_is_utf8(const char *text, size_t length)
{
	return g_utf8_validate(text, (gssize) length, NULL);
}

/* The text that is meant, to be freed; plus: + is a blank.  NULL: it is none. */
char *
query_decode(const char *text, bool plus)
{
	char	   *decoded = malloc(strlen(text) + 1);
	size_t		n = 0;

	if (decoded == NULL)
		return NULL;
	for (; *text != '\0'; text++)
	{
		int			c = (unsigned char) *text;

		if (c == '%')
		{
			int			high = g_ascii_xdigit_value(text[1]);
			int			low = high >= 0 ? g_ascii_xdigit_value(text[2]) : -1;

			c = low >= 0 ? 16 * high + low : 0;
			if (c == 0)
			{
				free(decoded);
				return NULL;
			}
			text += 2;
		}
		else if (c == '+' && plus)
			c = ' ';
		decoded[n++] = (char) c;
	}
	decoded[n] = '\0';
	if (query_is_utf8(decoded, n))
		return decoded;
	free(decoded);
	return NULL;
}

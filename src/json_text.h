/*
 * json_text.h
 *		Finding what is special in a JSON text, for reader and writer.
 */
#ifndef ICO_JSON_TEXT_H
#define ICO_JSON_TEXT_H

#include "port/pg_bitutils.h"

#define EACH_BYTE(c)	(UINT64CONST(0x0101010101010101) * (c))
/* the high bit of the lowest byte that is zero, or below n; more above it */
#define ZERO_BYTE(w)	(((w) - EACH_BYTE(1)) & ~(w) & EACH_BYTE(0x80))
#define BYTE_BELOW(w, n) (((w) - EACH_BYTE(n)) & ~(w) & EACH_BYTE(0x80))

/* The first quote, backslash or control character, or the end. */
static inline const char *
ico_skip_plain(const char *s, const char *end)
{
#ifndef WORDS_BIGENDIAN
	/* eight bytes at once: strings are most of what there is to read */
	while (end - s >= 8)
	{
		uint64		w;
		uint64		special;

		memcpy(&w, s, 8);
		special = ZERO_BYTE(w ^ EACH_BYTE('"')) | ZERO_BYTE(w ^ EACH_BYTE('\\')) | BYTE_BELOW(w, 0x20);
		if (special)
			return s + pg_rightmost_one_pos64(special) / 8;
		s += 8;
	}
#endif
	while (s < end && (unsigned char) *s >= 0x20 && *s != '"' && *s != '\\')
		s++;
	return s;
}

#endif							/* ICO_JSON_TEXT_H */

/*
 * search.c
 *		What a word that somebody searches for can be: an e-mail or its beginning, a
 *		phone, a reference, an id, a customer, a session, an order number.
 *
 * Reads the word only; list.c looks it up.  Memory: the caller's context.  No locks.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "search.h"

#define MIN_PREFIX 3

/* False unless s is exactly n bytes in hexadecimal. */
bool
ico_read_hex(const char *s, int len, unsigned char *out, int n)
{
	if (len != 2 * n)
		return false;
	memset(out, 0, n);
	for (int i = 0; i < len; i++)
	{
		int			digit;

		if (s[i] >= '0' && s[i] <= '9')
			digit = s[i] - '0';
		else if (s[i] >= 'a' && s[i] <= 'f')
			digit = s[i] - 'a' + 10;
		else if (s[i] >= 'A' && s[i] <= 'F')
			digit = s[i] - 'A' + 10;
		else
			return false;
		out[i / 2] = (out[i / 2] << 4) | digit;
	}
	return true;
}

/* Above every text that begins so, byte by byte. */
static text *
above_prefix(text *prefix)
{
	StringInfoData s;

	initStringInfo(&s);
	appendBinaryStringInfo(&s, VARDATA_ANY(prefix), VARSIZE_ANY_EXHDR(prefix));
	/* the last code point of all; in any other encoding no byte is above 0xff */
	appendStringInfoString(&s, GetDatabaseEncoding() == PG_UTF8 ? "\xf4\x8f\xbf\xbf" : "\xff");
	return cstring_to_text_with_len(s.data, s.len);
}

static void
match_email(IcoMatch *match, const char *word, int len)
{
	char	   *lower = pnstrdup(word, len);
	bool		prefix = len > MIN_PREFIX && word[len - 1] == '*';

	if (!prefix && memchr(word, '@', len) == NULL)
		return;
	if (prefix)
		len--;
	for (int i = 0; i < len; i++)
		lower[i] = pg_ascii_tolower((unsigned char) lower[i]);
	match->email = cstring_to_text_with_len(lower, len);
	if (prefix)
		match->above = above_prefix(match->email);
	match->ways |= ICO_WAY_BIT(prefix ? W_EMAIL_PREFIX : W_EMAIL);
}

static void
match_phone(IcoMatch *match, const char *word, int len)
{
	char	   *digits = palloc(len);
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		if (memchr(" ()-./+", word[i], 7) == NULL)
			digits[n++] = word[i];
	}
	if (n == 0 || digits[0] < '0' || digits[0] > '9')
		return;
	match->phone = cstring_to_text_with_len(digits, n);
	match->ways |= ICO_WAY_BIT(W_PHONE);
}

/* As Crockford's base32 is read aloud: any case, I and L are 1, O is 0. */
static void
match_reference(IcoMatch *match, const char *word, int len)
{
	char		out[14] = "INC-";
	int			n = 0;

	if (len >= 3 && pg_strncasecmp(word, "INC", 3) == 0 && len - 3 >= 10)
		word += 3, len -= 3;
	for (int i = 0; i < len; i++)
	{
		char		c = pg_ascii_toupper((unsigned char) word[i]);

		if (c == '-' || c == ' ')
			continue;
		if (c == 'I' || c == 'L')
			c = '1';
		else if (c == 'O')
			c = '0';
		if (n == 10 || strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c) == NULL)
			return;
		out[4 + n++] = c;
	}
	if (n != 10)
		return;
	match->reference = cstring_to_text_with_len(out, sizeof(out));
	match->ways |= ICO_WAY_BIT(W_REFERENCE);
}

/* An id of ours, or that of a completed order; written like any uuid. */
static void
match_id(IcoMatch *match, const char *word, int len)
{
	char		hex[2 * UUID_LEN];
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		if (word[i] == '-' || word[i] == '{' || word[i] == '}')
			continue;
		if (n == sizeof(hex))
			return;
		hex[n++] = word[i];
	}
	if (!ico_read_hex(hex, n, match->id.data, UUID_LEN))
		return;
	match->is_id = true;
	match->ways |= ICO_WAY_BIT(W_ORDER_ID);
}

void
ico_read_search(text *search, IcoMatch *match)
{
	const char *word = VARDATA_ANY(search);
	int			len = VARSIZE_ANY_EXHDR(search);

	while (len > 0 && word[len - 1] == ' ')
		len--;
	while (len > 0 && *word == ' ')
		word++, len--;
	memset(match, 0, sizeof(*match));
	if (len == 0)
		return;
	match_email(match, word, len);
	match_phone(match, word, len);
	match_reference(match, word, len);
	match_id(match, word, len);
	match->customer_id = match->session_id = match->number = cstring_to_text_with_len(word, len);
	match->ways |= ICO_WAY_BIT(W_CUSTOMER) | ICO_WAY_BIT(W_SESSION) | ICO_WAY_BIT(W_NUMBER);
}

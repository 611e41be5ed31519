/*
 * line_items_json.c
 *		line_items from JSON.
 *
 * A pull loop: no tree, no callbacks.  Ordinary tokens are cut by hand; what
 * is unusual (literals, exponents, anything malformed) is left to the server's
 * json_lex, which decides what JSON is.  Texts without escapes go from the
 * input straight into the builder; decoded ones through one buffer as large as
 * the input, because no escape is shorter than what it stands for.
 *
 * Errors give the line, the key or the position, never what stands there: the
 * server's own JSON errors quote the input, and a cart is personal data.
 * Every function that returns bool returns false after a soft error.
 *
 * Memory: everything in the current context; nothing is kept.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "json_text.h"
#include "line_items.h"

#define MAX_DEPTH		32		/* of the value of an extra key */
#define MAX_KEY_SHOWN	64		/* bytes of an unknown key in an error */

/*
 * Numbers in extras are kept as they were written.  jsonb and numeric must be
 * able to take them later, and must not blow up on them (1e131071 becomes
 * 131,072 digits).
 */
#define MAX_NUMBER_BYTES	1000
#define MAX_EXPONENT		400

/* a member of an object in extras: where its text stands in the buffer */
typedef struct Member
{
	int			start;			/* of the quoted key */
	int			key_len;		/* without quotes, as written by us */
	int			end;			/* behind the value */
} Member;

typedef struct ItemsParser
{
	const char *input;
	const char *end;
	const char *start;			/* of the token */
	const char *next;			/* behind the token */
	JsonTokenType token;
	bool		escaped;		/* string token holds a backslash */
	JsonLexContext *lex;		/* NULL until needed */
	char	   *decoded;		/* free part of the buffer; NULL until needed */
	StringInfoData extras;		/* of the line being read; data NULL until needed */
	Member	   *members;		/* stack: of all objects that are open */
	int			nmembers;
	int			members_size;
	IcoItemsBuilder builder;
} ItemsParser;

static bool write_value(ItemsParser *p, int depth);

/* ---- refusals ---- */

static bool
refuse_syntax(ItemsParser *p, const char *detail)
{
	errsave(p->builder.escontext,
			(errcode(p->builder.sqlstate),
			 errmsg("invalid JSON in line items at byte %d", (int) (p->start - p->input) + 1),
			 errdetail("%s", detail)));
	return false;
}

/* Only for keys: one that we do not know is shown, but cut. */
static bool
refuse_key(ItemsParser *p, const char *key, int len, const char *rule)
{
	errsave(p->builder.escontext,
			(errcode(p->builder.sqlstate),
			 errmsg("line item %d: key \"%.*s\" %s", p->builder.given + 1,
					pg_mbcliplen(key, len, MAX_KEY_SHOWN), key, rule)));
	return false;
}

static bool
refuse_extra(ItemsParser *p, const char *rule)
{
	errsave(p->builder.escontext,
			(errcode(p->builder.sqlstate),
			 errmsg("line item %d: %s", p->builder.given + 1, rule)));
	return false;
}

/* ---- tokens ---- */

static bool
scan_string(ItemsParser *p)
{
	const char *s = p->start + 1;

	p->escaped = false;
	while ((s = ico_skip_plain(s, p->end)) < p->end)
	{
		if (*s == '"')
		{
			p->token = JSON_TOKEN_STRING;
			p->next = s + 1;
			return true;
		}
		if (*s != '\\' || s + 1 == p->end)
			return false;
		/* whether it is a valid escape is seen when it is decoded */
		p->escaped = true;
		s += 2;
	}
	return false;
}

/* Digits with an optional fraction; false for anything else. */
static bool
scan_number(ItemsParser *p)
{
	const char *s = p->start;
	const char *digits;

	if (*s == '-')
		s++;
	digits = s;
	while (s < p->end && *s >= '0' && *s <= '9')
		s++;
	if (s == digits || (*digits == '0' && s - digits > 1))
		return false;
	if (s < p->end && *s == '.')
	{
		digits = ++s;
		while (s < p->end && *s >= '0' && *s <= '9')
			s++;
		if (s == digits)
			return false;
	}
	if (s < p->end && *s != ',' && *s != '}' && *s != ']' && *s != ' ' &&
		*s != '\n' && *s != '\r' && *s != '\t')
		return false;
	p->token = JSON_TOKEN_NUMBER;
	p->next = s;
	return true;
}

static bool
lex_token(ItemsParser *p)
{
	if (p->lex == NULL)
		p->lex = ico_make_json_lexer(p->input, p->end - p->input);
	p->lex->token_terminator = (char *) p->start;
	if (json_lex(p->lex) != JSON_SUCCESS)
		return refuse_syntax(p, "No JSON value looks like this.");
	p->start = p->lex->token_start;
	p->next = p->lex->token_terminator;
	p->token = p->lex->token_type;
	p->escaped = p->token == JSON_TOKEN_STRING && memchr(p->start, '\\', p->next - p->start) != NULL;
	return true;
}

static bool
next_token(ItemsParser *p)
{
	const char *s = p->next;

	while (s < p->end && (*s == ' ' || *s == '\n' || *s == '\r' || *s == '\t'))
		s++;
	p->start = s;
	p->next = s + 1;
	if (s == p->end)
	{
		p->token = JSON_TOKEN_END;
		p->next = s;
		return true;
	}
	switch (*s)
	{
		case '{':
			p->token = JSON_TOKEN_OBJECT_START;
			return true;
		case '}':
			p->token = JSON_TOKEN_OBJECT_END;
			return true;
		case '[':
			p->token = JSON_TOKEN_ARRAY_START;
			return true;
		case ']':
			p->token = JSON_TOKEN_ARRAY_END;
			return true;
		case ',':
			p->token = JSON_TOKEN_COMMA;
			return true;
		case ':':
			p->token = JSON_TOKEN_COLON;
			return true;
		case '"':
			if (scan_string(p))
				return true;
			break;
		case '-':
		case '0':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			if (scan_number(p))
				return true;
			break;
		default:
			break;
	}
	return lex_token(p);
}

/* Refuse a token that begins no value. */
static bool
expect_value(ItemsParser *p)
{
	switch (p->token)
	{
		case JSON_TOKEN_STRING:
		case JSON_TOKEN_NUMBER:
		case JSON_TOKEN_OBJECT_START:
		case JSON_TOKEN_ARRAY_START:
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
		case JSON_TOKEN_NULL:
			return true;
		default:
			return refuse_syntax(p, "Expected a value.");
	}
}

/* ---- strings ---- */

/* Four hexadecimal digits, or -1. */
static int
read_hex4(const char *s, const char *end)
{
	int			value = 0;

	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = s[i];

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + (c - 'a') + 10;
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + (c - 'A') + 10;
		else
			return -1;
	}
	return value;
}

/*
 * What follows \u: a character, or a pair of surrogates with the second \u
 * between.  Returns NULL unless it is one that a text can hold.
 */
static const char *
decode_unicode(ItemsParser *p, const char *s, const char *end)
{
	unsigned char buf[MAX_UNICODE_EQUIVALENT_STRING + 1];
	int			c = read_hex4(s, end);
	int			used = 4;
	int			len;

	if (c >= 0xD800 && c <= 0xDBFF)
	{
		int			low = -1;

		if (end - s >= 10 && s[4] == '\\' && s[5] == 'u')
			low = read_hex4(s + 6, end);
		if (low < 0xDC00 || low > 0xDFFF)
			return NULL;
		c = 0x10000 + ((c & 0x3FF) << 10) + (low & 0x3FF);
		used = 10;
	}
	else if (c <= 0 || (c >= 0xDC00 && c <= 0xDFFF))
		return NULL;

	if (c < 0x80)
	{
		buf[0] = (unsigned char) c;
		len = 1;
	}
	else if (GetDatabaseEncoding() == PG_UTF8)
	{
		unicode_to_utf8(c, buf);
		len = pg_utf_mblen(buf);
	}
	else
	{
		pg_unicode_to_server(c, buf);
		len = strlen((char *) buf);
		if (len > used)			/* the buffer counts on it */
			return NULL;
	}
	memcpy(p->decoded, buf, len);
	p->decoded += len;
	return s + used;
}

/* Replace a text that holds escapes by what it stands for. */
static bool
decode_string(ItemsParser *p, const char **text, int *len)
{
	const char *s = *text;
	const char *end = s + *len;

	if (p->decoded == NULL)
		p->decoded = palloc(p->end - p->input);
	*text = p->decoded;
	while (s < end)
	{
		const char *backslash = memchr(s, '\\', end - s);
		int			plain = (backslash ? backslash : end) - s;

		memcpy(p->decoded, s, plain);
		p->decoded += plain;
		s += plain;
		if (s == end)
			break;

		switch (s + 1 < end ? s[1] : '\0')
		{
			case '"':
			case '\\':
			case '/':
				*p->decoded++ = s[1];
				break;
			case 'b':
				*p->decoded++ = '\b';
				break;
			case 'f':
				*p->decoded++ = '\f';
				break;
			case 'n':
				*p->decoded++ = '\n';
				break;
			case 'r':
				*p->decoded++ = '\r';
				break;
			case 't':
				*p->decoded++ = '\t';
				break;
			case 'u':
				s = decode_unicode(p, s + 2, end);
				if (s == NULL)
					return refuse_syntax(p, "This string holds an invalid \\u escape, half a surrogate pair, or \\u0000.");
				continue;
			default:
				return refuse_syntax(p, "This string holds an invalid escape.");
		}
		s += 2;
	}
	*len = p->decoded - *text;
	return true;
}

/* The text of a string or number token. */
static inline bool
token_text(ItemsParser *p, const char **s, int *len)
{
	if (p->token != JSON_TOKEN_STRING)
	{
		*s = p->start;
		*len = p->next - p->start;
		return true;
	}
	*s = p->start + 1;
	*len = p->next - p->start - 2;
	return !p->escaped || decode_string(p, s, len);
}

/* ---- numbers ---- */

static bool
parse_whole(const char *s, int len, int32 *value)
{
	int32		result = 0;

	if (len < 1)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (s[i] < '0' || s[i] > '9')
			return false;
		result = result * 10 + (s[i] - '0');
		if (result > ICO_ITEM_MAX_QUANTITY)
			return false;
	}
	*value = result;
	return true;
}

/* The exponent at the end of a number, cut to what surely is out of bounds. */
static bool
parse_exponent(const char *s, const char *end, int *exponent)
{
	bool		negative = false;
	int			value = 0;

	if (s < end && (*s == '+' || *s == '-'))
		negative = *s++ == '-';
	if (s == end)
		return false;
	for (; s < end; s++)
	{
		if (*s < '0' || *s > '9')
			return false;
		if (value < ICO_ITEMS_MAX_JSON * 2)
			value = value * 10 + (*s - '0');
	}
	*exponent = negative ? -value : value;
	return true;
}

/*
 * A price, scaled by 10^6, exactly or not at all.  Only the digits from the
 * first to the last that is not zero are ever multiplied, at most 18 of them:
 * 1e131071 costs nothing.
 */
static bool
parse_price(const char *s, int len, int64 *price)
{
	const char *end = s + len;
	uint64		digits = 0;		/* from the first to the last nonzero digit */
	int			ndigits = 0;
	int			zeros = 0;		/* since the last nonzero digit */
	int			whole = 0;		/* digits before the point */
	int			seen = 0;
	int			last = 0;		/* which digit is the last nonzero one */
	int			exponent = 0;
	bool		negative = false;
	bool		point = false;
	int			shift;

	if (s < end && *s == '-')
	{
		negative = true;
		s++;
	}
	for (; s < end; s++)
	{
		if (*s == '.' && !point && seen > 0)
		{
			point = true;
			whole = seen;
			continue;
		}
		if (*s < '0' || *s > '9')
			break;
		seen++;
		if (*s == '0')
		{
			zeros += ndigits > 0;
			continue;
		}
		if (ndigits + zeros + 1 > 18)
			return false;
		for (int i = 0; i <= zeros; i++)
			digits *= 10;
		digits += *s - '0';
		ndigits += zeros + 1;
		zeros = 0;
		last = seen;
	}
	if (!point)
		whole = seen;
	if (seen == 0 || (point && seen == whole))
		return false;
	if (s < end && ((*s != 'e' && *s != 'E') || !parse_exponent(s + 1, end, &exponent)))
		return false;

	*price = 0;
	if (digits == 0)
		return true;
	shift = whole - last + exponent + ICO_MONEY_DECIMALS;
	if (negative || shift < 0 || ndigits + shift > 18)
		return false;
	while (shift-- > 0)
		digits *= 10;
	*price = (int64) digits;
	return true;
}

/* ---- extras ---- */

static void
append_raw(ItemsParser *p, const char *s, int len)
{
	appendBinaryStringInfo(&p->extras, s, len);
}

static bool
write_number(ItemsParser *p)
{
	int			len = p->next - p->start;
	int			exponent = 0;

	for (const char *s = p->start; s < p->next; s++)
	{
		if (*s == 'e' || *s == 'E')
			(void) parse_exponent(s + 1, p->next, &exponent);
	}
	if (len > MAX_NUMBER_BYTES || exponent > MAX_EXPONENT || exponent < -MAX_EXPONENT)
		return refuse_extra(p, "a number in an extra key is too long or has too large an exponent");
	append_raw(p, p->start, len);
	return true;
}

/* The key, which is the current token, has been decoded. */
static void
begin_member(ItemsParser *p, const char *key, int len)
{
	Member	   *member;

	if (p->nmembers == p->members_size)
	{
		p->members_size = Max(16, p->members_size * 2);
		p->members = p->members == NULL ?
			palloc(p->members_size * sizeof(Member)) :
			repalloc(p->members, p->members_size * sizeof(Member));
	}
	member = &p->members[p->nmembers++];
	member->start = p->extras.len;
	ico_append_json_string(&p->extras, key, len);
	member->key_len = p->extras.len - member->start - 2;
	appendStringInfoChar(&p->extras, ':');
}

static int
compare_members(const void *a, const void *b, void *arg)
{
	const Member *x = a;
	const Member *y = b;
	const char *data = arg;
	int			result = memcmp(data + x->start + 1, data + y->start + 1, Min(x->key_len, y->key_len));

	return result != 0 ? result : x->key_len - y->key_len;
}

/* Close the object whose members are those from the first on: sort them. */
static bool
finish_object(ItemsParser *p, int first)
{
	Member	   *members = p->members + first;
	int			n = p->nmembers - first;
	bool		sorted = true;

	for (int i = 1; i < n && sorted; i++)
		sorted = compare_members(&members[i - 1], &members[i], p->extras.data) < 0;
	if (!sorted)
	{
		int			start = members[0].start;
		char	   *copy = palloc(p->extras.len - start);

		memcpy(copy, p->extras.data + start, p->extras.len - start);
		qsort_arg(members, n, sizeof(Member), compare_members, p->extras.data);
		for (int i = 1; i < n; i++)
		{
			if (compare_members(&members[i - 1], &members[i], p->extras.data) == 0)
				return refuse_key(p, p->extras.data + members[i].start + 1, members[i].key_len,
								  "is given twice");
		}
		p->extras.len = start;
		for (int i = 0; i < n; i++)
		{
			if (i > 0)
				append_raw(p, ",", 1);
			append_raw(p, copy + members[i].start - start, members[i].end - members[i].start);
		}
		pfree(copy);
	}
	append_raw(p, "}", 1);
	p->nmembers = first;
	return true;
}

static bool
write_object(ItemsParser *p, int depth)
{
	int			first = p->nmembers;

	append_raw(p, "{", 1);
	if (!next_token(p))
		return false;
	while (p->token != JSON_TOKEN_OBJECT_END)
	{
		const char *key;
		int			len;

		if (p->token != JSON_TOKEN_STRING)
			return refuse_syntax(p, "Expected a key.");
		if (!token_text(p, &key, &len))
			return false;
		begin_member(p, key, len);
		if (!next_token(p))
			return false;
		if (p->token != JSON_TOKEN_COLON)
			return refuse_syntax(p, "Expected \":\".");
		if (!next_token(p) || !write_value(p, depth + 1))
			return false;
		p->members[p->nmembers - 1].end = p->extras.len;
		if (!next_token(p))
			return false;
		if (p->token == JSON_TOKEN_OBJECT_END)
			break;
		if (p->token != JSON_TOKEN_COMMA)
			return refuse_syntax(p, "Expected \",\" or \"}\".");
		append_raw(p, ",", 1);
		if (!next_token(p))
			return false;
		if (p->token != JSON_TOKEN_STRING)
			return refuse_syntax(p, "Expected a key.");
	}
	return finish_object(p, first);
}

static bool
write_array(ItemsParser *p, int depth)
{
	append_raw(p, "[", 1);
	if (!next_token(p))
		return false;
	while (p->token != JSON_TOKEN_ARRAY_END)
	{
		if (!write_value(p, depth + 1) || !next_token(p))
			return false;
		if (p->token == JSON_TOKEN_ARRAY_END)
			break;
		if (p->token != JSON_TOKEN_COMMA)
			return refuse_syntax(p, "Expected \",\" or \"]\".");
		append_raw(p, ",", 1);
		if (!next_token(p) || !expect_value(p))
			return false;
	}
	append_raw(p, "]", 1);
	return true;
}

/* The value that begins with the current token, compact and canonical. */
static bool
write_value(ItemsParser *p, int depth)
{
	const char *s;
	int			len;

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	if (depth >= MAX_DEPTH && (p->token == JSON_TOKEN_OBJECT_START || p->token == JSON_TOKEN_ARRAY_START))
		return refuse_extra(p, "an extra key is nested too deeply");
	switch (p->token)
	{
		case JSON_TOKEN_STRING:
			if (!token_text(p, &s, &len))
				return false;
			ico_append_json_string(&p->extras, s, len);
			return true;
		case JSON_TOKEN_NUMBER:
			return write_number(p);
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
		case JSON_TOKEN_NULL:
			append_raw(p, p->start, p->next - p->start);
			return true;
		case JSON_TOKEN_OBJECT_START:
			return write_object(p, depth);
		case JSON_TOKEN_ARRAY_START:
			return write_array(p, depth);
		default:
			return expect_value(p);	/* refuses */
	}
}

static bool
read_extra(ItemsParser *p, const char *key, int len)
{
	if (p->extras.data == NULL)
		initStringInfo(&p->extras);
	if (p->nmembers == 0)
		resetStringInfo(&p->extras);
	append_raw(p, p->nmembers == 0 ? "{" : ",", 1);
	begin_member(p, key, len);
	if (!write_value(p, 0))
		return false;
	p->members[p->nmembers - 1].end = p->extras.len;
	return true;
}

/* ---- lines ---- */

/* Lengths first: no key is compared with more than three. */
static IcoItemKey
find_key(const char *key, int len)
{
#define IS(literal) (memcmp(key, literal, sizeof(literal) - 1) == 0)
	switch (len)
	{
		case 3:
			return IS("sku") ? ICO_KEY_SKU : IS("qty") ? ICO_KEY_QUANTITY : IS("url") ? ICO_KEY_URL : ICO_KEY_EXTRA;
		case 4:
			return IS("name") ? ICO_KEY_NAME : ICO_KEY_EXTRA;
		case 5:
			return IS("price") ? ICO_KEY_UNIT_PRICE : ICO_KEY_EXTRA;
		case 6:
			return IS("filled") ? ICO_KEY_FILLED : ICO_KEY_EXTRA;
		case 7:
			return IS("variant") ? ICO_KEY_VARIANT : ICO_KEY_EXTRA;
		case 8:
			return IS("quantity") ? ICO_KEY_QUANTITY : ICO_KEY_EXTRA;
		case 9:
			return IS("image_url") ? ICO_KEY_IMAGE_URL : ICO_KEY_EXTRA;
		case 10:
			return IS("unit_price") ? ICO_KEY_UNIT_PRICE : IS("product_id") ? ICO_KEY_PRODUCT_ID : ICO_KEY_EXTRA;
		case 11:
			return IS("product_sku") ? ICO_KEY_SKU : ICO_KEY_EXTRA;
		case 12:
			return IS("product_name") ? ICO_KEY_NAME : IS("variant_name") ? ICO_KEY_VARIANT : ICO_KEY_EXTRA;
		default:
			return ICO_KEY_EXTRA;
	}
#undef IS
}

static bool
read_text(ItemsParser *p, IcoItemKey key, bool number_too, const char **s, int *len)
{
	if (p->token == JSON_TOKEN_STRING || (number_too && p->token == JSON_TOKEN_NUMBER))
		return token_text(p, s, len);
	return ico_items_refuse_key(&p->builder, key);
}

/* The value of a known key, which begins with the current token. */
static bool
read_known(ItemsParser *p, IcoItemKey key, IcoLine *line)
{
	const char *s;
	int			len;

	if (p->token == JSON_TOKEN_NULL && key != ICO_KEY_SKU &&
		key != ICO_KEY_QUANTITY && key != ICO_KEY_UNIT_PRICE)
		return true;
	switch (key)
	{
		case ICO_KEY_SKU:
			return read_text(p, key, true, &line->sku, &line->sku_len);
		case ICO_KEY_NAME:
			return read_text(p, key, false, &line->name, &line->name_len);
		case ICO_KEY_PRODUCT_ID:
			return read_text(p, key, true, &line->product_id, &line->product_id_len);
		case ICO_KEY_VARIANT:
			return read_text(p, key, true, &line->variant, &line->variant_len);
		case ICO_KEY_IMAGE_URL:
			return read_text(p, key, false, &line->image_url, &line->image_url_len);
		case ICO_KEY_URL:
			return read_text(p, key, false, &line->url, &line->url_len);
		case ICO_KEY_QUANTITY:
			if (!read_text(p, key, true, &s, &len))
				return false;
			return parse_whole(s, len, &line->quantity) || ico_items_refuse_key(&p->builder, key);
		case ICO_KEY_FILLED:
			if (!read_text(p, key, true, &s, &len))
				return false;
			return parse_whole(s, len, &line->filled) || ico_items_refuse_key(&p->builder, key);
		case ICO_KEY_UNIT_PRICE:
			if (!read_text(p, key, true, &s, &len))
				return false;
			return parse_price(s, len, &line->unit_price) || ico_items_refuse_key(&p->builder, key);
		case ICO_KEY_EXTRA:
			break;
	}
	elog(ERROR, "unknown line item key %d", (int) key);
	return false;				/* not reached */
}

/* A key, its colon and its value; seen has a bit for each known key. */
static bool
read_member(ItemsParser *p, IcoLine *line, uint32 *seen)
{
	const char *name;
	int			len;
	IcoItemKey	key;

	if (p->token != JSON_TOKEN_STRING)
		return refuse_syntax(p, "Expected a key.");
	if (!token_text(p, &name, &len) || !next_token(p))
		return false;
	if (p->token != JSON_TOKEN_COLON)
		return refuse_syntax(p, "Expected \":\".");
	if (!next_token(p) || !expect_value(p))
		return false;

	key = find_key(name, len);
	if (key == ICO_KEY_EXTRA)
		return read_extra(p, name, len);
	if (*seen & (1 << key))
	{
		name = ico_item_key_name(key);
		return refuse_key(p, name, strlen(name), "is given twice, by its name or another name for it");
	}
	*seen |= 1 << key;
	return read_known(p, key, line);
}

static bool
finish_line(ItemsParser *p, IcoLine *line, uint32 seen)
{
	static const IcoItemKey required[] = {ICO_KEY_SKU, ICO_KEY_QUANTITY, ICO_KEY_UNIT_PRICE};

	for (int i = 0; i < lengthof(required); i++)
	{
		if (!(seen & (1 << required[i])))
		{
			const char *name = ico_item_key_name(required[i]);

			return refuse_key(p, name, strlen(name), "is missing");
		}
	}
	if (p->nmembers > 0)
	{
		if (!finish_object(p, 0))
			return false;
		line->extras = p->extras.data;
		line->extras_len = p->extras.len;
	}
	return ico_items_try_add(&p->builder, line);
}

/* The object that begins with the current token. */
static bool
read_line(ItemsParser *p)
{
	IcoLine		line;
	uint32		seen = 0;

	if (p->token != JSON_TOKEN_OBJECT_START)
		return expect_value(p) && refuse_extra(p, "not a JSON object");
	memset(&line, 0, sizeof(line));
	if (!next_token(p))
		return false;
	while (p->token != JSON_TOKEN_OBJECT_END)
	{
		if (!read_member(p, &line, &seen) || !next_token(p))
			return false;
		if (p->token == JSON_TOKEN_OBJECT_END)
			break;
		if (p->token != JSON_TOKEN_COMMA)
			return refuse_syntax(p, "Expected \",\" or \"}\".");
		if (!next_token(p))
			return false;
		if (p->token != JSON_TOKEN_STRING)
			return refuse_syntax(p, "Expected a key.");
	}
	return finish_line(p, &line, seen);
}

static bool
read_array(ItemsParser *p)
{
	if (!next_token(p))
		return false;
	if (p->token != JSON_TOKEN_ARRAY_START)
	{
		if (!expect_value(p))
			return false;
		errsave(p->builder.escontext,
				(errcode(p->builder.sqlstate),
				 errmsg("line items must be a JSON array")));
		return false;
	}
	if (!next_token(p))
		return false;
	if (p->token != JSON_TOKEN_ARRAY_END)
	{
		for (;;)
		{
			if (!read_line(p) || !next_token(p))
				return false;
			if (p->token == JSON_TOKEN_ARRAY_END)
				break;
			if (p->token != JSON_TOKEN_COMMA)
				return refuse_syntax(p, "Expected \",\" or \"]\".");
			if (!next_token(p))
				return false;
		}
	}
	if (!next_token(p))
		return false;
	if (p->token != JSON_TOKEN_END)
		return refuse_syntax(p, "Expected the end.");
	return true;
}

/* NULL only after a soft error. */
LineItems *
ico_items_try_from_json(const char *json, int len, int sqlstate, struct Node *escontext)
{
	ItemsParser p;

	p.input = p.next = p.start = json;
	p.end = json + len;
	p.lex = NULL;
	p.decoded = NULL;
	p.extras.data = NULL;
	p.members = NULL;
	p.nmembers = p.members_size = 0;
	ico_items_begin(&p.builder);
	p.builder.sqlstate = sqlstate;
	p.builder.escontext = escontext;

	if (len > ICO_ITEMS_MAX_JSON)
	{
		ico_items_refuse_size(&p.builder);
		return NULL;
	}
	if (!read_array(&p))
		return NULL;
	return ico_items_try_finish(&p.builder);
}

LineItems *
ico_items_from_json(const char *json, int len)
{
	return ico_items_try_from_json(json, len, ERRCODE_INVALID_PARAMETER_VALUE, NULL);
}

/* ---- output ---- */

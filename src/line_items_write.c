/*
 * line_items_write.c
 *		Canonical JSON from line_items.
 *
 * One cart has one spelling: known keys in their order, then the extras, no
 * white space, prices as texts without trailing zeros.  Memory: the caller's
 * StringInfo.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "json_text.h"
#include "line_items.h"

static char
short_escape(unsigned char c)
{
	switch (c)
	{
		case '"':
		case '\\':
			return c;
		case '\b':
			return 'b';
		case '\f':
			return 'f';
		case '\n':
			return 'n';
		case '\r':
			return 'r';
		case '\t':
			return 't';
		default:
			return 0;
	}
}

/* One text has one spelling: only what must be escaped is, the short way. */
void
ico_append_json_string(StringInfo out, const char *s, int len)
{
	const char *end = s + len;

	appendStringInfoCharMacro(out, '"');
	while (s < end)
	{
		const char *plain = s;

		s = ico_skip_plain(s, end);
		appendBinaryStringInfo(out, plain, s - plain);
		if (s < end)
		{
			char		escape = short_escape(*s);

			if (escape)
			{
				appendStringInfoCharMacro(out, '\\');
				appendStringInfoCharMacro(out, escape);
			}
			else
				appendStringInfo(out, "\\u%04x", (unsigned char) *s);
			s++;
		}
	}
	appendStringInfoCharMacro(out, '"');
}

static void
append_int(StringInfo out, int32 value)
{
	char		buf[16];

	appendBinaryStringInfo(out, buf, pg_ultoa_n((uint32) value, buf));
}

static void
append_text(StringInfo out, const char *key, int key_len, const char *s, int len)
{
	if (s == NULL)
		return;
	appendBinaryStringInfo(out, key, key_len);
	ico_append_json_string(out, s, len);
}

#define APPEND(out, literal) appendBinaryStringInfo(out, literal, sizeof(literal) - 1)
#define APPEND_TEXT(out, key, s, len) append_text(out, ",\"" key "\":", sizeof(key) + 3, s, len)

static void
append_line(StringInfo out, const IcoLine *line)
{
	char		price[ICO_MONEY_BUFFER];
	int			price_len = ico_format_money(line->unit_price, price);

	APPEND(out, "{\"sku\":");
	ico_append_json_string(out, line->sku, line->sku_len);
	APPEND_TEXT(out, "name", line->name, line->name_len);
	APPEND(out, ",\"quantity\":");
	append_int(out, line->quantity);
	APPEND(out, ",\"unit_price\":\"");
	appendBinaryStringInfo(out, price, price_len);
	APPEND(out, "\"");
	if (line->filled > 0)
	{
		APPEND(out, ",\"filled\":");
		append_int(out, line->filled);
	}
	APPEND_TEXT(out, "product_id", line->product_id, line->product_id_len);
	APPEND_TEXT(out, "variant", line->variant, line->variant_len);
	APPEND_TEXT(out, "image_url", line->image_url, line->image_url_len);
	APPEND_TEXT(out, "url", line->url, line->url_len);
	if (line->extras)
	{
		/* the members without the braces around them */
		APPEND(out, ",");
		appendBinaryStringInfo(out, line->extras + 1, line->extras_len - 2);
	}
	APPEND(out, "}");
}

void
ico_items_to_json(const LineItems *items, StringInfo out)
{
	IcoLineReader reader;
	IcoLine		line;
	bool		first = true;

	ico_line_reader_init(&reader, items);
	enlargeStringInfo(out, VARSIZE_ANY_EXHDR(items) + 100 * reader.left + 2);
	appendStringInfoCharMacro(out, '[');
	while (ico_line_next(&reader, &line))
	{
		CHECK_FOR_INTERRUPTS();
		if (!first)
			appendStringInfoCharMacro(out, ',');
		append_line(out, &line);
		first = false;
	}
	appendStringInfoCharMacro(out, ']');
}

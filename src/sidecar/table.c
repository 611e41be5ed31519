/*
 * table.c
 *		Prints a result as an aligned table, or as the JSON that the server made.
 *
 * Whatever is in it cannot move the cursor: control characters are replaced.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"

/* Types that stand at the right: int4, int8, numeric. */
static bool
is_number(const PGresult *result, int column)
{
	Oid			type = PQftype(result, column);

	return type == 23 || type == 20 || type == 1700;
}

/* The character at text, which is moved behind it; what is no UTF-8 is a byte. */
static unsigned int
next_character(const char **text)
{
	const unsigned char *at = (const unsigned char *) *text;
	int			more = at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : at[0] >= 0xc0 ? 1 : 0;
	unsigned int c = more == 0 ? at[0] : at[0] & (0x3fu >> more);

	for (int i = 1; i <= more; i++)
	{
		if ((at[i] & 0xc0) != 0x80)
		{
			*text += 1;
			return at[0];
		}
		c = c << 6 | (at[i] & 0x3fu);
	}
	*text += 1 + more;
	return c;
}

/* Moves the cursor, or what follows in the line to its left. */
static bool
is_control(unsigned int c)
{
	return c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e)
		|| (c >= 0x2066 && c <= 0x2069);
}

/* Accents that stand on the character before, and scripts whose characters are wide. */
static int
cells_of(unsigned int c)
{
	if ((c >= 0x300 && c < 0x370) || c == 0x200b || c == 0x200c || c == 0x200d || (c >= 0xfe00 && c < 0xfe10))
		return 0;
	return (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0 && c != 0x303f) || (c >= 0xac00 && c < 0xd7a4)
		|| (c >= 0xf900 && c < 0xfb00) || (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61)
		|| (c >= 0xffe0 && c < 0xffe7) || (c >= 0x1f300 && c < 0x1f650) || (c >= 0x1f680 && c < 0x1f700)
		|| (c >= 0x1f900 && c < 0x1fa00) || (c >= 0x20000 && c < 0x40000) ? 2 : 1;
}

/* Columns of a terminal. */
int
table_width(const char *text)
{
	int			width = 0;

	while (*text != '\0')
	{
		unsigned int c = next_character(&text);

		width += is_control(c) ? 1 : cells_of(c);
	}
	return width;
}

/* How many bytes of a text fit into so many columns. */
size_t
table_cut(const char *text, int width)
{
	const char *at = text;
	const char *end = text;

	while (*at != '\0')
	{
		unsigned int c = next_character(&at);

		width -= is_control(c) ? 1 : cells_of(c);
		if (width < 0)
			break;
		end = at;
	}
	return (size_t) (end - text);
}

/* Where the locale has no UTF-8, another character is as many ? as it is wide. */
void
table_put_in(const char *text, bool utf8)
{
	while (*text != '\0')
	{
		const char *from = text;
		unsigned int c = next_character(&text);

		if (is_control(c))
			putchar('?');
		else if (c < 0x80 || utf8)
			fwrite(from, 1, (size_t) (text - from), stdout);
		else
		{
			for (int i = 0; i < cells_of(c); i++)
				putchar('?');
		}
	}
}

void
table_put(const char *text)
{
	table_put_in(text, true);
}

/* JSON means the same whether a character of a string is escaped or not. */
void
table_put_json(const char *json)
{
	while (*json != '\0')
	{
		const char *from = json;
		unsigned int c = next_character(&json);

		if (is_control(c) && c != '\n')
			printf("\\u%04x", c);
		else
			fwrite(from, 1, (size_t) (json - from), stdout);
	}
}

static const char *
colour_of(const char *state)
{
	if (strcmp(state, "ok") == 0)
		return "\033[32m";
	if (strcmp(state, "warn") == 0)
		return "\033[33m";
	return "\033[31m";
}

static void
put_cell(const char *text, int width, bool right, bool last, const char *colour)
{
	int			pad = width - table_width(text);

	if (right && pad > 0)
		printf("%*s", pad, "");
	if (colour != NULL)
		fputs(colour, stdout);
	table_put(text);
	if (colour != NULL)
		fputs("\033[0m", stdout);
	if (last)
		putchar('\n');
	else
		printf("%*s", 2 + (right || pad < 0 ? 0 : pad), "");
}

/* Nothing behind the last cell that has something in it. */
static int
last_cell(const PGresult *result, int row, int columns)
{
	int			column = columns - 1;

	while (column > 0 && PQgetvalue(result, row, column)[0] == '\0')
		column--;
	return column;
}

static void
print_text(const PGresult *result, int columns, int state_column)
{
	bool		colours = state_column >= 0 && isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	int			widths[16] = {0};

	for (int column = 0; column < columns; column++)
	{
		widths[column] = table_width(PQfname(result, column));
		for (int row = 0; row < PQntuples(result); row++)
		{
			int			width = table_width(PQgetvalue(result, row, column));

			if (width > widths[column])
				widths[column] = width;
		}
	}
	for (int column = 0; column < columns; column++)
		put_cell(PQfname(result, column), widths[column], is_number(result, column), column == columns - 1, NULL);
	for (int row = 0; row < PQntuples(result); row++)
	{
		int			last = last_cell(result, row, columns);

		for (int column = 0; column <= last; column++)
		{
			const char *text = PQgetvalue(result, row, column);

			put_cell(text, widths[column], is_number(result, column), column == last,
					 colours && column == state_column ? colour_of(text) : NULL);
		}
	}
}

static void
print_json(const PGresult *result, int column)
{
	int			rows = PQntuples(result);

	fputs("[\n", stdout);
	for (int row = 0; row < rows; row++)
	{
		table_put_json(PQgetvalue(result, row, column));
		puts(row < rows - 1 ? "," : "");
	}
	fputs("]\n", stdout);
}

/* columns is at most 16; state_column: -1 if there is none. */
void
table_print(const PGresult *result, int columns, int format, int state_column)
{
	if (format == FORMAT_JSON)
		print_json(result, columns);
	else
		print_text(result, columns, state_column);
}

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

/* Characters, not bytes: what continues one in UTF-8 is not counted. */
int
table_width(const char *text)
{
	int			width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char) *text & 0xc0) != 0x80;
	return width;
}

void
table_put(const char *text)
{
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		/* 0xc2 with 0x80 to 0x9f are control characters as well */
		if (c == 0xc2 && (unsigned char) text[1] >= 0x80 && (unsigned char) text[1] < 0xa0)
		{
			putchar('?');
			text++;
		}
		else
			putchar(c < ' ' || c == 0x7f ? '?' : c);
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
		printf("%s%s\n", PQgetvalue(result, row, column), row < rows - 1 ? "," : "");
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

/*
 * figures.c
 *		Numbers, money, shares, bars and sparklines as people read them.
 *
 * What the server computed is only written here, never added up; the one thing
 * that is computed is the change against the period before.
 *
 * Memory: a text that is returned belongs to who asked, and is NULL without memory,
 * which is then shown as nothing.
 */
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../currencies.h"
#include "figures.h"
#include "table.h"

#define BAR_WIDTH 16
#define LEAST_BAR 6
#define MOST_BAR 30
/* where the terminal is narrow: words are cut to the first, columns left out, words cut to the second */
#define SHORT_WORD 20
#define LEAST_WORD 10
#define MOST_FIGURES 16
#define GREEN "\033[32m"
#define RED "\033[31m"
#define BOLD "\033[1m"
#define FAINT "\033[2m"
#define PLAIN "\033[0m"

Look
look_of_terminal(void)
{
	locale_t	locale = newlocale(LC_CTYPE_MASK, "", (locale_t) 0);
	struct winsize size;
	Look		look;

	look.utf8 = locale != (locale_t) 0 && strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
	look.colours = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	look.width = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
	if (locale != (locale_t) 0)
		freelocale(locale);
	return look;
}

static void
title_print(const Look *look, const char *title, const char *currency)
{
	printf("\n%s%s, ", look->colours ? BOLD : "", title);
	table_put_in(currency, look->utf8);
	puts(look->colours ? PLAIN : "");
}

static int
exponent_of(const char *currency)
{
	const IcoCurrency *known = ico_currencies;

	while (known->code[0] != '\0' && strcmp(known->code, currency) != 0)
		known++;
	return known->exponent;
}

/* 1234567.5 with two decimals: 1,234,567.50; digits are never rounded away. */
static char *
grouped(const char *value, int decimals)
{
	size_t		sign = value[0] == '-';
	size_t		whole = strcspn(value + sign, ".");
	const char *fraction = value[sign + whole] == '.' ? value + sign + whole + 1 : "";
	size_t		given = strlen(fraction);
	size_t		size = sign + whole + whole / 3 + given + (size_t) decimals + 3;
	char	   *text;
	char	   *at;

	while (given > (size_t) decimals && fraction[given - 1] == '0')
		given--;
	text = at = malloc(size);
	if (text == NULL)
		return NULL;
	if (sign)
		*at++ = '-';
	for (size_t i = 0; i < whole; i++)
	{
		if (i > 0 && (whole - i) % 3 == 0)
			*at++ = ',';
		*at++ = value[sign + i];
	}
	if (given > 0 || decimals > 0)
		*at++ = '.';
	for (size_t i = 0; i < given || i < (size_t) decimals; i++)
		*at++ = i < given ? fraction[i] : '0';
	*at = '\0';
	return text;
}

/* "1 day 02:03:00" or "26:03:00" as 1d 2h 3m. */
static char *
span_text(const char *value)
{
	long		days = 0;
	long		hours = 0;
	long		minutes = 0;
	const char *clock = strrchr(value, ' ');
	char	   *text;

	if (strstr(value, "day") != NULL)
		days = atol(value);
	clock = clock != NULL ? clock + 1 : value;
	if (strchr(clock, ':') != NULL)
	{
		hours = atol(clock);
		minutes = atol(strchr(clock, ':') + 1);
	}
	days += hours / 24;
	hours %= 24;
	if (days > 0 && hours > 0)
		return asprintf(&text, "%ldd %ldh", days, hours) < 0 ? NULL : text;
	if (days > 0)
		return asprintf(&text, "%ldd", days) < 0 ? NULL : text;
	if (hours > 0 && minutes > 0)
		return asprintf(&text, "%ldh %ldm", hours, minutes) < 0 ? NULL : text;
	if (hours > 0)
		return asprintf(&text, "%ldh", hours) < 0 ? NULL : text;
	return asprintf(&text, "%ldm", minutes) < 0 ? NULL : text;
}

/* What at points to is large enough; returns where the next part goes. */
static char *
add(char *at, const char *part)
{
	size_t		length = strlen(part);

	memcpy(at, part, length + 1);
	return at + length;
}

/* In UTF-8 to an eighth of a character, else of # signs; what is not 0 is seen. */
static char *
bar_text(const Look *look, double value, double most, int width)
{
	static const char *const parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	int			steps = look->utf8 ? 8 : 1;
	int			length = most > 0 && value > 0 ? (int) (value / most * width * steps + 0.5) : 0;
	char	   *text = calloc((size_t) width + 1, 3);
	char	   *at = text;

	if (text == NULL)
		return NULL;
	if (length == 0 && value > 0)
		length = 1;
	if (length > width * steps)
		length = width * steps;
	for (int i = 0; i < length / steps; i++)
		at = add(at, look->utf8 ? "█" : "#");
	(void) add(at, parts[length % steps]);
	return text;
}

/* One value; "-": there is none. */
static char *
figure_text(FigureKind kind, const char *value, const char *currency)
{
	char	   *text;

	if (value[0] == '\0')
		return strdup("-");
	switch (kind)
	{
		case FIGURE_COUNT:
			return grouped(value, 0);
		case FIGURE_MONEY:
			return grouped(value, exponent_of(currency));
		case FIGURE_SHARE:
			return asprintf(&text, "%.1f %%", atof(value) * 100) < 0 ? NULL : text;
		case FIGURE_POINTS:
			return asprintf(&text, "%+.1f pts", atof(value) * 100) < 0 ? NULL : text;
		case FIGURE_SPAN:
			return span_text(value);
		default:
			return strdup(value);
	}
}

/* Percent for amounts, points for shares, nothing where nothing can be compared. */
static char *
change_text(FigureKind kind, const char *value, const char *before)
{
	double		was = atof(before);
	double		change = atof(value) - was;
	char	   *text;

	if (value[0] == '\0' || before[0] == '\0' || (kind != FIGURE_SHARE && kind != FIGURE_COUNT && kind != FIGURE_MONEY))
		return strdup("");
	if (kind == FIGURE_SHARE)
		return asprintf(&text, "%+.1f pts", change * 100) < 0 ? NULL : text;
	if (was == 0)
		return strdup(change > 0 ? "new" : "");
	/* decimals of what is several times as much say nothing */
	return asprintf(&text, fabs(change / was) >= 10 ? "%+.0f %%" : "%+.1f %%", change / fabs(was) * 100) < 0 ? NULL : text;
}

/* A character for each value; what is not 0 is higher than what is. */
static char *
sparkline(const Look *look, const double *values, int n, double most)
{
	static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const signs[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
	char	   *text = calloc((size_t) n + 1, 3);
	char	   *at = text;

	if (text == NULL)
		return NULL;
	for (int i = 0; i < n; i++)
	{
		int			level = most > 0 && values[i] > 0 ? 1 + (int) (values[i] / most * 6 + 0.5) : 0;

		at = add(at, (look->utf8 ? blocks : signs)[level]);
	}
	return text;
}

static double
largest_of(const double *values, int n)
{
	double		most = 0;

	for (int i = 0; i < n; i++)
		most = values[i] > most ? values[i] : most;
	return most;
}

/* --- results, whose rows are sorted by currency --- */

static const char *
value_of(const PGresult *result, int row, const char *column)
{
	int			number = PQfnumber(result, column);

	return row < 0 || number < 0 ? "" : PQgetvalue(result, row, number);
}

static const char *
currency_of(const PGresult *result, int row)
{
	return value_of(result, row, "currency");
}

/* The row behind the last one of the same currency. */
static int
end_of_currency(const PGresult *result, int row)
{
	int			end = row + 1;

	while (end < PQntuples(result) && strcmp(currency_of(result, end), currency_of(result, row)) == 0)
		end++;
	return end;
}

static int
row_of(const PGresult *result, const char *currency)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		if (strcmp(currency_of(result, row), currency) == 0)
			return row;
	}
	return -1;
}

static void
put_padded(const Look *look, const char *text, int width, bool right, const char *colour)
{
	int			pad = width - table_width(text);

	if (right && pad > 0)
		printf("%*s", pad, "");
	if (colour != NULL && look->colours)
		fputs(colour, stdout);
	table_put_in(text, look->utf8);
	if (colour != NULL && look->colours)
		fputs(PLAIN, stdout);
	if (!right && pad > 0)
		printf("%*s", pad, "");
}

/* --- tables --- */

/* The rows of one currency, from first to before end. */
typedef struct Table
{
	const Look *look;
	const PGresult *result;
	const Figure *figures;
	int			n;
	int			first;
	int			end;
	int			left_out;
	bool		hidden[MOST_FIGURES];
	int			widths[MOST_FIGURES];
	char	  **cells;			/* n of each row; all NULL where it is left out */
} Table;

static bool
stands_left(FigureKind kind)
{
	return kind == FIGURE_WORD || kind == FIGURE_BAR;
}

/* Whether anything was counted. */
static bool
has_something(const Table *table)
{
	for (int row = table->first; row < table->end; row++)
	{
		for (int i = 0; i < table->n; i++)
		{
			if (table->figures[i].kind == FIGURE_COUNT && !table->figures[i].numbers
				&& atof(value_of(table->result, row, table->figures[i].column)) != 0)
				return true;
		}
	}
	return false;
}

static bool
fill_cells(Table *table, const char *unless, int most)
{
	int			taken = 0;

	table->cells = calloc((size_t) (table->end - table->first) * table->n + 1, sizeof(char *));
	for (int row = table->first; table->cells != NULL && row < table->end; row++)
	{
		if (unless != NULL && strcmp(value_of(table->result, row, unless), "0") == 0)
			continue;
		if (most > 0 && taken++ >= most)
		{
			table->left_out++;
			continue;
		}
		for (int i = 0; i < table->n; i++)
		{
			const Figure *figure = &table->figures[i];

			table->cells[(row - table->first) * table->n + i] = figure->kind == FIGURE_BAR ? strdup("")
				: figure_text(figure->kind, value_of(table->result, row, figure->column), currency_of(table->result, row));
		}
	}
	return table->cells != NULL;
}

static char *
cell_of(const Table *table, int row, int column)
{
	return table->cells[(row - table->first) * table->n + column];
}

static void
measure_columns(Table *table)
{
	for (int i = 0; i < table->n; i++)
	{
		table->widths[i] = table->figures[i].kind == FIGURE_BAR ? LEAST_BAR : table_width(table->figures[i].label);
		for (int row = table->first; row < table->end; row++)
		{
			const char *text = cell_of(table, row, i);

			if (text != NULL && table_width(text) > table->widths[i])
				table->widths[i] = table_width(text);
		}
	}
}

static int
width_of_row(const Table *table)
{
	int			width = 0;

	for (int i = 0; i < table->n; i++)
		width += table->hidden[i] ? 0 : 2 + table->widths[i];
	return width;
}

/* The column that is missed least; -1 when all that is left must stay. */
static int
least_column(const Table *table)
{
	int			least = -1;

	for (int i = 0; i < table->n; i++)
	{
		if (!table->hidden[i] && table->figures[i].rank > 0 && (least < 0 || table->figures[i].rank > table->figures[least].rank))
			least = i;
	}
	return least;
}

/* The widest column of words that is wider than that; -1 when there is none. */
static int
widest_word(const Table *table, int than)
{
	int			widest = -1;

	for (int i = 0; i < table->n; i++)
	{
		if (!table->hidden[i] && table->figures[i].kind == FIGURE_WORD && table->widths[i] > than
			&& (widest < 0 || table->widths[i] > table->widths[widest]))
			widest = i;
	}
	return widest;
}

/* No line is longer than the terminal is wide, and bars take what is left of it. */
static void
fit_columns(Table *table)
{
	int			room = table->look->width - 1;
	int			column;

	while (room > 0 && width_of_row(table) > room)
	{
		if ((column = widest_word(table, SHORT_WORD)) >= 0)
			table->widths[column]--;
		else if ((column = least_column(table)) >= 0)
			table->hidden[column] = true;
		else if ((column = widest_word(table, LEAST_WORD)) >= 0)
			table->widths[column]--;
		else
			break;
	}
	for (int i = 0; i < table->n; i++)
	{
		if (table->figures[i].kind == FIGURE_BAR && !table->hidden[i])
		{
			int			width = room > 0 ? table->widths[i] + room - width_of_row(table) : BAR_WIDTH;

			table->widths[i] = width > MOST_BAR ? MOST_BAR : width;
		}
	}
}

static void
draw_bars(Table *table, int column)
{
	const char *name = table->figures[column].column;
	double		most = 0;

	for (int row = table->first; row < table->end; row++)
		most = fmax(most, atof(value_of(table->result, row, name)));
	for (int row = table->first; row < table->end; row++)
	{
		char	  **cell = &table->cells[(row - table->first) * table->n + column];

		if (*cell == NULL)
			continue;
		free(*cell);
		*cell = bar_text(table->look, atof(value_of(table->result, row, name)), most, table->widths[column]);
	}
}

/* A word that is too long ends with a sign for it. */
static void
put_cell(const Table *table, int column, const char *text, bool last, const char *colour)
{
	const char *more = table->look->utf8 ? "…" : "~";
	int			width = table->widths[column];
	bool		left = stands_left(table->figures[column].kind);
	char	   *shorter;

	if (table_width(text) > width)
	{
		if (asprintf(&shorter, "%.*s%s", (int) table_cut(text, width - 1), text, more) < 0)
			return;
		put_padded(table->look, shorter, last ? 0 : width, false, colour);
		free(shorter);
	}
	else
		put_padded(table->look, text, left && last ? 0 : width, !left, colour);
}

/* row -1: the headings. */
static void
print_row(const Table *table, int row)
{
	int			last = -1;

	for (int i = 0; i < table->n; i++)
	{
		const char *text = row < 0 ? table->figures[i].label : cell_of(table, row, i);

		if (!table->hidden[i] && text != NULL && text[0] != '\0')
			last = i;
	}
	for (int i = 0; i <= last; i++)
	{
		const char *text = row < 0 ? table->figures[i].label : cell_of(table, row, i);

		if (table->hidden[i])
			continue;
		fputs("  ", stdout);
		put_cell(table, i, text != NULL ? text : "", i == last, row < 0 ? FAINT : NULL);
	}
	putchar('\n');
}

static void
print_table(Table *table, const char *unless, int most)
{
	if (!fill_cells(table, unless, most))
		return;
	measure_columns(table);
	fit_columns(table);
	for (int i = 0; i < table->n; i++)
	{
		if (table->figures[i].kind == FIGURE_BAR && !table->hidden[i])
			draw_bars(table, i);
	}
	print_row(table, -1);
	for (int row = table->first; row < table->end; row++)
	{
		if (cell_of(table, row, 0) != NULL)
			print_row(table, row);
	}
	if (table->left_out > 0)
		printf("  and %d more\n", table->left_out);
	for (int i = 0; i < (table->end - table->first) * table->n; i++)
		free(table->cells[i]);
	free(table->cells);
}

/*
 * A table of at most 16 figures for each currency.  Rows without what unless names, and
 * those beyond most (0: no limit), are left out; and currencies of which nothing was counted.
 * False: that was all of them.
 */
bool
figures_print(const Look *look, const char *title, const PGresult *result, const Figure *figures, int n, const char *unless, int most)
{
	bool		shown = false;

	for (int row = 0, end; row < PQntuples(result); row = end)
	{
		Table		table = {look, result, figures, n, row, 0, 0, {false}, {0}, NULL};

		table.end = end = end_of_currency(result, row);
		if (!has_something(&table))
			continue;
		title_print(look, title, currency_of(result, row));
		print_table(&table, unless, most);
		shown = true;
	}
	return shown;
}

/* --- the hours of the week --- */

/* A line for each day of the week, a character for each hour, all on one scale; false: there is nothing. */
bool
hours_print(const Look *look, const char *title, const PGresult *result, const char *column)
{
	static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	bool		shown = false;

	for (int row = 0, end; row < PQntuples(result); row = end)
	{
		double		values[7 * 24] = {0};
		double		most;

		end = end_of_currency(result, row);
		for (int i = 0; i < 7 * 24 && row + i < end; i++)
			values[i] = atof(value_of(result, row + i, column));
		most = largest_of(values, 7 * 24);
		if (most == 0)
			continue;
		title_print(look, title, currency_of(result, row));
		printf("%s       0     6     12    18%s\n", look->colours ? FAINT : "", look->colours ? PLAIN : "");
		for (int day = 0; day < 7; day++)
		{
			char	   *line = sparkline(look, values + day * 24, 24, most);

			printf("  %s  %s\n", days[day], line != NULL ? line : "");
			free(line);
		}
		shown = true;
	}
	return shown;
}

/* --- the overview --- */

/* What stands below each other; a figure that is not known may say why, all over the columns behind it. */
typedef struct Overview
{
	const Look *look;
	const PGresult *now;
	const PGresult *before;
	int			row;
	int			row_before;
	int			label;			/* widths */
	int			value;
	int			value_before;
	bool		with_before;	/* on a narrow terminal that goes first, */
	bool		with_change;	/* and that next */
} Overview;

#define NOW_LABEL "these days"
#define BEFORE_LABEL "as many before"
#define CHANGE_LABEL "change"
#define CHANGE_WIDTH 10

static char *
overview_text(const PGresult *result, int row, const Figure *figure)
{
	return row < 0 ? strdup("") : figure_text(figure->kind, value_of(result, row, figure->column), currency_of(result, row));
}

/* Why there is no value, or NULL. */
static const char *
reason_of(const Overview *overview, const Figure *figure)
{
	const char *reason = figure->reason == NULL ? "" : value_of(overview->now, overview->row, figure->reason);

	return reason[0] != '\0' && value_of(overview->now, overview->row, figure->column)[0] == '\0' ? reason : NULL;
}

/* Parts of a figure that is not known are not shown. */
static bool
is_shown(const Overview *overview, const Figure *figure)
{
	return figure->kind != FIGURE_POINTS || figure->reason != NULL || value_of(overview->now, overview->row, figure->column)[0] != '\0';
}

static int
wider(int width, char *text)
{
	int			own = text == NULL ? 0 : table_width(text);

	free(text);
	return own > width ? own : width;
}

static void
measure_overview(Overview *overview, const Figure *figures, int n)
{
	overview->value = table_width(NOW_LABEL);
	overview->value_before = table_width(BEFORE_LABEL);
	for (int i = 0; i < n; i++)
	{
		overview->label = wider(overview->label, strdup(figures[i].label));
		if (figures[i].kind == FIGURE_WORD)
			continue;
		overview->value = wider(overview->value, overview_text(overview->now, overview->row, &figures[i]));
		overview->value_before = wider(overview->value_before, overview_text(overview->before, overview->row_before, &figures[i]));
	}
	overview->with_before = overview->with_change = overview->row_before >= 0;
	if (overview->look->width > 0)
	{
		int			left = overview->look->width - 1 - (2 + overview->label + 2 + overview->value + 2 + CHANGE_WIDTH);

		overview->with_before = overview->with_before && left >= 2 + overview->value_before;
		overview->with_change = overview->with_change && left >= 0;
	}
}

static const char *
colour_of_change(const Figure *figure, const char *change)
{
	if (figure->good == 0 || (change[0] != '+' && change[0] != '-') || atof(change) == 0)
		return NULL;
	return (change[0] == '+') == (figure->good > 0) ? GREEN : RED;
}

static void
print_overview_line(const Overview *overview, const Figure *figure)
{
	const Look *look = overview->look;
	const char *reason = reason_of(overview, figure);
	char	   *text = overview_text(overview->now, overview->row, figure);
	char	   *before = overview_text(overview->before, overview->row_before, figure);
	char	   *change = !overview->with_change ? strdup("")
		: change_text(figure->kind, value_of(overview->now, overview->row, figure->column),
					  value_of(overview->before, overview->row_before, figure->column));

	fputs("  ", stdout);
	put_padded(look, figure->label, overview->label, false, NULL);
	fputs("  ", stdout);
	if (reason != NULL)
		put_padded(look, reason, overview->value, true, NULL);
	else if (text != NULL && before != NULL && change != NULL)
	{
		put_padded(look, text, overview->value, true, NULL);
		if (overview->with_before && before[0] != '\0')
		{
			fputs("  ", stdout);
			put_padded(look, before, overview->value_before, true, FAINT);
		}
		if (overview->with_change && change[0] != '\0')
		{
			fputs("  ", stdout);
			put_padded(look, change, CHANGE_WIDTH, true, colour_of_change(figure, change));
		}
	}
	putchar('\n');
	free(text);
	free(before);
	free(change);
}

/* Orders begun, as a line; where the days do not fit, so many of them make one character. */
static void
print_days(const Overview *overview, const PGresult *days)
{
	const char *currency = currency_of(overview->now, overview->row);
	int			most = overview->look->width > 0 ? overview->look->width - overview->label - 5 : 92;
	int			from = row_of(days, currency);
	int			n = from < 0 ? 0 : end_of_currency(days, from) - from;
	int			each = most > 0 ? (n + most - 1) / most : 1;
	double	   *values = calloc((size_t) n + 1, sizeof(double));
	char	   *label = NULL;
	char	   *line = NULL;
	int			length = each > 0 ? (n + each - 1) / each : 0;

	for (int i = 0; values != NULL && i < n; i++)
		values[i / each] += atof(value_of(days, from + i, "total"));
	if (values != NULL && length > 1 && largest_of(values, length) > 0)
		line = sparkline(overview->look, values, length, largest_of(values, length));
	if (line != NULL && (each == 1 ? asprintf(&label, "  by day") : asprintf(&label, "  by %d days", each)) >= 0)
	{
		fputs("  ", stdout);
		put_padded(overview->look, label, overview->label, false, NULL);
		printf("  %s\n", line);
		free(label);
	}
	free(line);
	free(values);
}

static void
print_overview_head(const Overview *overview)
{
	const Look *look = overview->look;

	putchar('\n');
	put_padded(look, currency_of(overview->now, overview->row), overview->label + 2, false, BOLD);
	fputs("  ", stdout);
	put_padded(look, NOW_LABEL, overview->value, true, FAINT);
	if (overview->with_before)
	{
		fputs("  ", stdout);
		put_padded(look, BEFORE_LABEL, overview->value_before, true, FAINT);
	}
	if (overview->with_change)
	{
		fputs("  ", stdout);
		put_padded(look, CHANGE_LABEL, CHANGE_WIDTH, true, FAINT);
	}
	putchar('\n');
}

/* For each currency: a figure in each line, what it was in the period before, and how it changed. */
void
overview_print(const Look *look, const PGresult *now, const PGresult *before, const PGresult *days, const Figure *figures, int n)
{
	for (int row = 0; row < PQntuples(now); row++)
	{
		Overview	overview = {look, now, before, row, row_of(before, currency_of(now, row)), 0, 0, 0, false, false};

		measure_overview(&overview, figures, n);
		print_overview_head(&overview);
		for (int i = 0; i < n; i++)
		{
			/* a word stands between two groups, or for the line of the days */
			if (figures[i].kind == FIGURE_BAR)
				print_days(&overview, days);
			else if (figures[i].kind == FIGURE_WORD)
				putchar('\n');
			else if (is_shown(&overview, &figures[i]))
				print_overview_line(&overview, &figures[i]);
		}
	}
}

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
#include <unistd.h>

#include "../currencies.h"
#include "figures.h"
#include "table.h"

#define BAR_WIDTH 16
#define CHANGE_WIDTH 10
#define DAYS_LABEL "Orders begun, by day"
#define GREEN "\033[32m"
#define RED "\033[31m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

Look
look_of_terminal(void)
{
	locale_t	locale = newlocale(LC_CTYPE_MASK, "", (locale_t) 0);
	Look		look;

	look.utf8 = locale != (locale_t) 0 && strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
	look.colours = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	if (locale != (locale_t) 0)
		freelocale(locale);
	return look;
}

void
title_print(const Look *look, const char *title)
{
	printf("\n%s%s%s\n", look->colours ? BOLD : "", title, look->colours ? PLAIN : "");
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
bar_text(const Look *look, double value, double most)
{
	static const char *const parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	int			steps = look->utf8 ? 8 : 1;
	int			length = most > 0 && value > 0 ? (int) (value / most * BAR_WIDTH * steps + 0.5) : 0;
	char	   *text = calloc(BAR_WIDTH + 1, 3);
	char	   *at = text;

	if (text == NULL)
		return NULL;
	if (length == 0 && value > 0)
		length = 1;
	if (length > BAR_WIDTH * steps)
		length = BAR_WIDTH * steps;
	for (int i = 0; i < length / steps; i++)
		at = add(at, look->utf8 ? "█" : "#");
	(void) add(at, parts[length % steps]);
	return text;
}

/* One value; most is the largest of its column where it is a bar.  "-": there is none. */
char *
figure_text(const Look *look, FigureKind kind, const char *value, const char *currency, double most)
{
	char	   *text;

	if (kind == FIGURE_BAR)
		return bar_text(look, atof(value), most);
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
		case FIGURE_SPAN:
			return span_text(value);
		default:
			return strdup(value);
	}
}

/* Percent for amounts, points for shares, nothing where nothing can be compared. */
char *
change_text(FigureKind kind, const char *value, const char *before)
{
	double		was = atof(before);
	double		change = atof(value) - was;
	char	   *text;

	if (value[0] == '\0' || before[0] == '\0' || kind == FIGURE_SPAN || kind == FIGURE_WORD)
		return strdup("");
	if (kind == FIGURE_SHARE)
		return asprintf(&text, "%+.1f pts", change * 100) < 0 ? NULL : text;
	if (was == 0)
		return strdup(change > 0 ? "new" : "");
	return asprintf(&text, "%+.1f %%", change / fabs(was) * 100) < 0 ? NULL : text;
}

char *
sparkline(const Look *look, const double *values, int n)
{
	static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const signs[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
	char	   *text = calloc((size_t) n + 1, 3);
	char	   *at = text;
	double		most = 0;

	if (text == NULL)
		return NULL;
	for (int i = 0; i < n; i++)
		most = values[i] > most ? values[i] : most;
	for (int i = 0; i < n; i++)
	{
		int			level = most > 0 && values[i] > 0 ? 1 + (int) (values[i] / most * 6 + 0.5) : 0;

		at = add(at, (look->utf8 ? blocks : signs)[level]);
	}
	return text;
}

static const char *
value_of(const PGresult *result, int row, const char *column)
{
	int			number = PQfnumber(result, column);

	return row < 0 || number < 0 ? "" : PQgetvalue(result, row, number);
}

static bool
same_currency(const PGresult *result, int one, int other)
{
	return strcmp(value_of(result, one, "currency"), value_of(result, other, "currency")) == 0;
}

static double
largest(const PGresult *result, int row, const char *column)
{
	double		most = 0;

	for (int i = 0; i < PQntuples(result); i++)
	{
		double		value = same_currency(result, i, row) ? atof(value_of(result, i, column)) : 0;

		most = value > most ? value : most;
	}
	return most;
}

static void
put_padded(const char *text, int width, bool right, const char *colour)
{
	int			pad = width - table_width(text);

	if (right && pad > 0)
		printf("%*s", pad, "");
	if (colour != NULL)
		fputs(colour, stdout);
	table_put(text);
	if (colour != NULL)
		fputs(PLAIN, stdout);
	if (!right && pad > 0)
		printf("%*s", pad, "");
}

/* Rows without what unless names, and those beyond most of a currency (0: no limit), are left out. */
static bool *
chosen_rows(const PGresult *result, const char *unless, int most, int *left_out)
{
	int			rows = PQntuples(result);
	bool	   *chosen = calloc((size_t) rows + 1, sizeof(bool));
	int			taken = 0;

	for (int row = 0; chosen != NULL && row < rows; row++)
	{
		if (row > 0 && !same_currency(result, row, row - 1))
			taken = 0;
		chosen[row] = unless == NULL || strcmp(value_of(result, row, unless), "0") != 0;
		if (chosen[row] && most > 0 && taken++ >= most)
		{
			chosen[row] = false;
			(*left_out)++;
		}
	}
	return chosen;
}

static char *
cell_text(const Look *look, const PGresult *result, int row, const Figure *figure)
{
	return figure_text(look, figure->kind, value_of(result, row, figure->column), value_of(result, row, "currency"),
					   figure->kind == FIGURE_BAR ? largest(result, row, figure->column) : 0);
}

static bool
stands_left(FigureKind kind)
{
	return kind == FIGURE_WORD || kind == FIGURE_BAR;
}

/* A column: all of its cells, the heading first; returns the width of the widest. */
static int
fill_column(const Look *look, const PGresult *result, const Figure *figure, const bool *chosen, char **cells, int step)
{
	int			width = table_width(figure->label);

	for (int row = 0; row < PQntuples(result); row++)
	{
		char	   *text;

		if (!chosen[row])
			continue;
		text = cells[row * step] = cell_text(look, result, row, figure);
		if (text != NULL && table_width(text) > width)
			width = table_width(text);
	}
	return width;
}

static void
print_row(const Figure *figures, int n, const int *widths, char *const *cells)
{
	int			last = n - 1;

	while (last > 0 && (cells == NULL ? figures[last].label[0] == '\0' : cells[last] == NULL || cells[last][0] == '\0'))
		last--;
	for (int column = 0; column <= last; column++)
	{
		const char *text = cells == NULL ? figures[column].label : cells[column];
		bool		left = stands_left(figures[column].kind);

		fputs("  ", stdout);
		put_padded(text != NULL ? text : "", left && column == last ? 0 : widths[column], !left, NULL);
	}
	putchar('\n');
}

/* An aligned table of at most 16 figures of every row. */
void
figures_print(const Look *look, const PGresult *result, const Figure *figures, int n, const char *unless, int most)
{
	int			rows = PQntuples(result);
	int			left_out = 0;
	int			shown = 0;
	int			printed = -1;
	int			widths[16] = {0};
	bool	   *chosen = chosen_rows(result, unless, most, &left_out);
	char	  **cells = calloc((size_t) rows * n + 1, sizeof(char *));

	for (int row = 0; chosen != NULL && row < rows; row++)
		shown += chosen[row];
	if (chosen != NULL && cells != NULL && shown > 0)
	{
		for (int column = 0; column < n; column++)
			widths[column] = fill_column(look, result, &figures[column], chosen, cells + column, n);
		print_row(figures, n, widths, NULL);
		for (int row = 0; row < rows; row++)
		{
			if (!chosen[row])
				continue;
			if (printed >= 0 && !same_currency(result, row, printed))
				putchar('\n');
			print_row(figures, n, widths, cells + (size_t) row * n);
			printed = row;
		}
	}
	else
		puts("  nothing");
	if (left_out > 0)
		printf("  and %d more\n", left_out);
	for (int i = 0; cells != NULL && i < rows * n; i++)
		free(cells[i]);
	free(cells);
	free(chosen);
}

static int
row_of(const PGresult *result, const char *currency)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		if (strcmp(value_of(result, row, "currency"), currency) == 0)
			return row;
	}
	return -1;
}

/* Orders begun on each day of one currency. */
static void
print_days(const Look *look, const PGresult *days, const char *currency, int width)
{
	double	   *values = calloc((size_t) PQntuples(days) + 1, sizeof(double));
	char	   *line = NULL;
	int			n = 0;

	for (int row = 0; values != NULL && row < PQntuples(days); row++)
	{
		if (strcmp(value_of(days, row, "currency"), currency) == 0)
			values[n++] = atof(value_of(days, row, "total"));
	}
	/* more would not fit into a line */
	if (values != NULL && n > 1 && n <= 92)
		line = sparkline(look, values, n);
	if (line != NULL)
	{
		fputs("  ", stdout);
		put_padded(DAYS_LABEL, width, false, NULL);
		printf("  %s\n", line);
	}
	free(line);
	free(values);
}

static const char *
colour_of_change(const Look *look, const Figure *figure, const char *change)
{
	if (!look->colours || figure->good == 0 || (change[0] != '+' && change[0] != '-') || atof(change) == 0)
		return NULL;
	return (change[0] == '+') == (figure->good > 0) ? GREEN : RED;
}

/* The widest label and the widest value of a currency. */
static void
measure_overview(const Look *look, const PGresult *now, int row, const Figure *figures, int n, int *label, int *width)
{
	for (int i = 0; i < n; i++)
	{
		char	   *text = cell_text(look, now, row, &figures[i]);

		if (table_width(figures[i].label) > *label)
			*label = table_width(figures[i].label);
		if (text != NULL && table_width(text) > *width)
			*width = table_width(text);
		free(text);
	}
}

static void
print_overview_line(const Look *look, const Figure *figure, const char *text, const char *change, int label, int width)
{
	fputs("  ", stdout);
	put_padded(figure->label, label, false, NULL);
	fputs("  ", stdout);
	put_padded(text, width, true, NULL);
	if (change[0] != '\0')
	{
		fputs("  ", stdout);
		put_padded(change, CHANGE_WIDTH, true, colour_of_change(look, figure, change));
	}
	putchar('\n');
}

/* For each currency: a figure in each line, and how it changed against the period before. */
void
overview_print(const Look *look, const PGresult *now, const PGresult *before, const PGresult *days, const Figure *figures, int n)
{
	for (int row = 0; row < PQntuples(now); row++)
	{
		const char *currency = value_of(now, row, "currency");
		int			then = row_of(before, currency);
		int			label = table_width(DAYS_LABEL);
		int			width = 0;

		measure_overview(look, now, row, figures, n, &label, &width);
		title_print(look, currency);
		print_days(look, days, currency, label);
		for (int i = 0; i < n; i++)
		{
			char	   *text = cell_text(look, now, row, &figures[i]);
			char	   *change = change_text(figures[i].kind, value_of(now, row, figures[i].column),
											 value_of(before, then, figures[i].column));

			print_overview_line(look, &figures[i], text != NULL ? text : "", change != NULL ? change : "", label, width);
			free(text);
			free(change);
		}
	}
}

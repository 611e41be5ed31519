/*
 * options.c
 *		Reads the options of a command, and prints them.
 *
 * Memory: texts point into argv or into the tables; nothing is copied.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static const OptionDef common_options[] = {
	{"dbname", 'd', OPTION_TEXT, offsetof(CommonOptions, dbname), "NAME", NULL, 0, 0,
	"database, or a connection string for libpq"},
	{"verbose", 'v', OPTION_FLAG, offsetof(CommonOptions, verbose), NULL, NULL, 0, 0,
	"say something even if there was nothing to do"},
	{"help", '?', OPTION_FLAG, offsetof(CommonOptions, help), NULL, NULL, 0, 0,
	"this text, of one command after its name"},
	{NULL}
};

void
usage_error(const Command *command, const char *format,...)
{
	va_list		args;

	fputs("incomplete-orders: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	if (command != NULL)
		fprintf(stderr, "\nTry \"incomplete-orders %s --help\".\n", command->name);
	else
		fputs("\nTry \"incomplete-orders --help\".\n", stderr);
}

/* The digits at the start of text, and where they end; -1: none, or too many. */
static int
read_digits(const char *text, const char **end)
{
	int			value = 0;

	*end = text;
	while (**end >= '0' && **end <= '9')
	{
		int			digit = *(*end)++ - '0';

		if (value > (INT_MAX - digit) / 10)
			return -1;
		value = value * 10 + digit;
	}
	return *end == text ? -1 : value;
}

static bool
read_number(const char *text, int *value)
{
	const char *end;

	*value = read_digits(text, &end);
	return *value >= 0 && *end == '\0';
}

static bool
read_span(const char *text, int *value)
{
	const char *end;
	int			unit;

	*value = read_digits(text, &end);
	if (*value < 0)
		return false;
	if (strcmp(end, "") == 0 || strcmp(end, "s") == 0)
		unit = 1;
	else if (strcmp(end, "m") == 0 || strcmp(end, "min") == 0)
		unit = 60;
	else if (strcmp(end, "h") == 0)
		unit = 3600;
	else
		return false;
	if (*value > INT_MAX / unit)
		return false;
	*value *= unit;
	return true;
}

/* Which of the words in "a|b|c"; -1: none. */
static int
read_choice(const char *text, const char *words)
{
	size_t		length = strlen(text);

	for (int i = 0;; i++)
	{
		size_t		word = strcspn(words, "|");

		if (word == length && strncmp(words, text, length) == 0)
			return i;
		if (words[word] == '\0')
			return -1;
		words += word + 1;
	}
}

/* Puts a value into its field; false if it is none of that kind. */
static bool
store(const OptionDef *option, const char *text, void *values)
{
	void	   *field = (char *) values + option->offset;
	int			number = 0;

	switch (option->kind)
	{
		case OPTION_FLAG:
			*(bool *) field = true;
			return true;
		case OPTION_TEXT:
			*(const char **) field = text;
			return true;
		case OPTION_NUMBER:
			if (!read_number(text, &number) || number < option->min || number > option->max)
				return false;
			break;
		case OPTION_SPAN:
			if (!read_span(text, &number) || number < option->min || number > option->max)
				return false;
			break;
		case OPTION_CHOICE:
			number = read_choice(text, option->argument);
			if (number < 0)
				return false;
			break;
	}
	*(int *) field = number;
	return true;
}

static void
bad_value(const Command *command, const OptionDef *option, const char *text)
{
	switch (option->kind)
	{
		case OPTION_NUMBER:
			usage_error(command, "--%s takes a number from %d to %d, not \"%s\"", option->name, option->min, option->max, text);
			break;
		case OPTION_SPAN:
			usage_error(command, "--%s takes a time from %d to %d seconds, as in 90s, 5m or 1h, not \"%s\"",
						option->name, option->min, option->max, text);
			break;
		default:
			usage_error(command, "--%s is one of %s, not \"%s\"", option->name, option->argument, text);
			break;
	}
}

/* The option that an argument names; *value points to "=value" behind it, or is NULL. */
static const OptionDef *
find_option(const OptionDef *list, const char *argument, const char **value)
{
	bool		is_long = argument[1] == '-';
	size_t		length = strcspn(argument + 2, "=");

	for (; list->name != NULL; list++)
	{
		if (is_long && strlen(list->name) == length && strncmp(list->name, argument + 2, length) == 0)
		{
			*value = argument[2 + length] == '=' ? argument + 3 + length : NULL;
			return list;
		}
		if (!is_long && list->letter != 0 && argument[1] == list->letter)
		{
			*value = argument[2] != '\0' ? argument + 2 : NULL;
			return list;
		}
	}
	return NULL;
}

static void
set_presets(const OptionDef *list, void *values)
{
	for (; list->name != NULL; list++)
	{
		if (list->preset != NULL)
			(void) store(list, list->preset, values);
	}
}

/*
 * Fills values, which the caller has cleared, from the arguments behind the
 * command.  After a mistake it has said so, and returns false.
 */
bool
options_parse(const Command *command, int argc, char **argv, void *values)
{
	set_presets(command->options, values);
	for (int i = 0; i < argc; i++)
	{
		const OptionDef *option;
		const char *value = NULL;

		if (argv[i][0] != '-' || argv[i][1] == '\0')
		{
			usage_error(command, "unexpected argument \"%s\"", argv[i]);
			return false;
		}
		option = find_option(command->options, argv[i], &value);
		if (option == NULL)
			option = find_option(common_options, argv[i], &value);
		if (option == NULL)
		{
			usage_error(command, "%s has no option \"%s\"", command->name, argv[i]);
			return false;
		}
		if (option->kind == OPTION_FLAG && value != NULL)
		{
			usage_error(command, "--%s takes no value", option->name);
			return false;
		}
		if (option->kind != OPTION_FLAG && value == NULL)
		{
			if (i + 1 == argc)
			{
				usage_error(command, "--%s needs a value", option->name);
				return false;
			}
			value = argv[++i];
		}
		if (!store(option, value, values))
		{
			bad_value(command, option, value);
			return false;
		}
	}
	return true;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* YYYY-MM-DD, and a day of the calendar. */
bool
date_is_written(const char *text)
{
	static const char pattern[] = "dddd-dd-dd";
	int			year;
	int			month;
	int			day;

	for (size_t i = 0; i < sizeof(pattern) - 1; i++)
	{
		if (pattern[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != pattern[i])
			return false;
	}
	if (text[sizeof(pattern) - 1] != '\0')
		return false;
	year = atoi(text);
	month = atoi(text + 5);
	day = atoi(text + 8);
	return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days_of_month(year, month);
}

#define HELP_COLUMN 28
#define HELP_WIDTH 79

/* Many choices take several lines; returns the column behind the last. */
static int
print_argument(FILE *out, const char *argument, int column)
{
	int			indent = column;

	while (*argument != '\0')
	{
		int			length = (int) strcspn(argument, "|");

		length += argument[length] == '|';
		if (column > indent && column + length > HELP_WIDTH)
			column = fprintf(out, "\n%*s", indent, "") - 1;
		column += fprintf(out, "%.*s", length, argument);
		argument += length;
	}
	return column;
}

static void
print_option(FILE *out, const OptionDef *option)
{
	char		letter[8] = "    ";
	int			column;

	if (option->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	column = fprintf(out, "  %s--%s%s", letter, option->name, option->argument ? "=" : "");
	if (option->argument != NULL)
		column = print_argument(out, option->argument, column);
	if (column >= HELP_COLUMN && column + (int) strlen(option->help) >= HELP_WIDTH)
		column = fprintf(out, "\n") - 1;
	fprintf(out, "%*s%s", column < HELP_COLUMN ? HELP_COLUMN - column : 1, "", option->help);
	if (option->preset != NULL)
		fprintf(out, " (default: %s)", option->preset);
	fputc('\n', out);
}

void
options_help(FILE *out, const Command *command)
{
	fprintf(out, "%s: %s\n", command->name, command->summary);
	for (const OptionDef *option = command->options; option->name != NULL; option++)
		print_option(out, option);
}

void
options_help_common(FILE *out)
{
	fputs("Options of every command:\n", out);
	for (const OptionDef *option = common_options; option->name != NULL; option++)
		print_option(out, option);
}

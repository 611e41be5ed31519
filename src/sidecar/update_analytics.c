/*
 * update_analytics.c
 *		incomplete-orders update-analytics: computes one day of the reports anew.
 *
 * One call of incomplete_orders.update_analytics(), which decides everything and is
 * one transaction: when we are stopped, nothing was changed.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "db.h"
#include "table.h"

typedef struct UpdateOptions
{
	CommonOptions common;
	const char *date;
	int			format;
} UpdateOptions;

static const OptionDef update_options[] = {
	{"date", 0, OPTION_TEXT, offsetof(UpdateOptions, date), "YYYY-MM-DD", NULL, 0, 0,
	"the day; without it the last one that is over"},
	{"format", 0, OPTION_CHOICE, offsetof(UpdateOptions, format), FORMATS, "text", 0, 0,
	"how the result is printed"},
	{NULL}
};

static int
show(const PGresult *result, const void *arg)
{
	const UpdateOptions *options = arg;

	if (options->format == FORMAT_JSON)
		table_print(result, 2, options->format, -1);
	else if (PQntuples(result) == 0)
		puts("There is no shop, so there is no day.");
	else if (strcmp(PQgetvalue(result, 0, 1), "0") == 0)
		printf("%s: every figure was right.\n", PQgetvalue(result, 0, 0));
	else
	{
		bool		one = strcmp(PQgetvalue(result, 0, 1), "1") == 0;

		printf("%s: %s figure%s wrong and %s corrected.\n", PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1),
			   one ? " was" : "s were", one ? "is" : "are");
	}
	return EX_OK;
}

static int
run_update(const void *arg, Loop *loop)
{
	const UpdateOptions *options = arg;
	const char *values[] = {options->date};
	const Statement statement = {
		"SELECT pg_catalog.to_char(u.analytics_day, 'YYYY-MM-DD'), u.changed, pg_catalog.to_json(u)"
		" FROM incomplete_orders.update_analytics($1::pg_catalog.date) u",
		1, values, NEVER, 0
	};

	if (options->date != NULL && !date_is_written(options->date))
	{
		usage_error(&update_analytics_command, "--date is a day as in 2026-06-30, not \"%s\"", options->date);
		return EX_USAGE;
	}
	return db_run(options->common.dbname, loop, "update-analytics", &statement, show, options);
}

const Command update_analytics_command = {
	"update-analytics", "computes a day of the reports anew and says what was wrong", update_options, sizeof(UpdateOptions), run_update
};

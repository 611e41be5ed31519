/*
 * health.c
 *		incomplete-orders health: is everything that should happen happening?
 *
 * Prints incomplete_orders.health() and turns the worst state into an exit code
 * as monitoring programs expect it.
 */
#include <stddef.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "db.h"
#include "table.h"

#define HEALTH_LIMIT (60 * SECOND)
#define STATE_COLUMN 1

#define EXIT_WARN 1
#define EXIT_ALARM 2

typedef struct HealthOptions
{
	CommonOptions common;
	int			format;
	bool		warn;
} HealthOptions;

static const OptionDef health_options[] = {
	{"format", 0, OPTION_CHOICE, offsetof(HealthOptions, format), FORMATS, "text", 0, 0,
	"how the checks are printed"},
	{"warn", 0, OPTION_FLAG, offsetof(HealthOptions, warn), NULL, NULL, 0, 0,
	"exit with 1 on a warning too; an alarm is always 2"},
	{NULL}
};

/* A state that we do not know is one to look at. */
static int
show(const PGresult *result, const void *arg)
{
	const HealthOptions *options = arg;
	int			code = EX_OK;

	table_print(result, 4, options->format, STATE_COLUMN);
	for (int row = 0; row < PQntuples(result); row++)
	{
		const char *state = PQgetvalue(result, row, STATE_COLUMN);

		if (strcmp(state, "ok") == 0)
			continue;
		if (strcmp(state, "warn") != 0)
			return EXIT_ALARM;
		if (options->warn)
			code = EXIT_WARN;
	}
	return code;
}

static int
run_health(const void *arg, Loop *loop)
{
	const HealthOptions *options = arg;
	const Statement statement = {
		"SELECT h.check_name AS \"check\", h.state, h.value, h.advice, pg_catalog.to_json(h)"
		" FROM incomplete_orders.health() h",
		0, NULL, HEALTH_LIMIT, 0
	};

	return db_run(options->common.dbname, loop, "health", &statement, show, options);
}

const Command health_command = {
	"health", "shows what is well and what is not; exits with 2 on an alarm", health_options, sizeof(HealthOptions), run_health
};

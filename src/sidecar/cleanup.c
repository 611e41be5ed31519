/*
 * cleanup.c
 *		incomplete-orders cleanup: removes closed orders that nobody needs.
 *
 * One call of incomplete_orders.cleanup(), which decides everything and is one
 * transaction: when we are stopped, nothing was removed.
 */
#include <stddef.h>
#include <stdio.h>
#include <sysexits.h>

#include "commands.h"
#include "db.h"
#include "table.h"

typedef struct CleanupOptions
{
	CommonOptions common;
	int			days;
	bool		dry_run;
	int			format;
} CleanupOptions;

static const OptionDef cleanup_options[] = {
	{"days", 0, OPTION_NUMBER, offsetof(CleanupOptions, days), "N", "90", 1, 36500,
	"remove what has been closed for so many days"},
	{"dry-run", 0, OPTION_FLAG, offsetof(CleanupOptions, dry_run), NULL, NULL, 0, 0,
	"count, show examples, change nothing"},
	{"format", 0, OPTION_CHOICE, offsetof(CleanupOptions, format), FORMATS, "text", 0, 0,
	"how the list is printed"},
	{NULL}
};

static int
show(const PGresult *result, const void *arg)
{
	const CleanupOptions *options = arg;

	table_print(result, 3, options->format, -1);
	if (options->dry_run && options->format == FORMAT_TEXT)
		puts("Nothing was changed: this was a dry run.");
	return EX_OK;
}

static int
run_cleanup(const void *arg, Loop *loop)
{
	const CleanupOptions *options = arg;
	char		days[16];
	const char *values[] = {days, options->dry_run ? "true" : "false"};
	const Statement statement = {
		"SELECT c.action, c.n, pg_catalog.array_to_string(c.examples, ', ') AS examples, pg_catalog.to_json(c)"
		" FROM incomplete_orders.cleanup($1::pg_catalog.int4, $2::pg_catalog.bool) c",
		2, values, NEVER, 0
	};

	snprintf(days, sizeof(days), "%d", options->days);
	return db_run(options->common.dbname, loop, "cleanup", &statement, show, options);
}

const Command cleanup_command = {
	"cleanup", "removes closed incomplete orders; completed orders stay", cleanup_options, sizeof(CleanupOptions), run_cleanup
};

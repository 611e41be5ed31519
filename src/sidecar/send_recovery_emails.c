/*
 * send_recovery_emails.c
 *		incomplete-orders send-recovery-emails: queues the next message of every
 *		order that was abandoned long enough ago, without any campaign.
 *
 * One call of incomplete_orders.send_recovery_emails(), which decides everything
 * and is one transaction.  It queues; `incomplete-orders send` sends.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "db.h"
#include "table.h"

typedef struct QueueOptions
{
	CommonOptions common;
	int			hours_after;
	int			max_attempts;
	bool		dry_run;
	const char *shop;
	int			format;
} QueueOptions;

static const OptionDef queue_options[] = {
	{"hours-after", 0, OPTION_NUMBER, offsetof(QueueOptions, hours_after), "N", "2", 0, 8760,
	"orders whose customer has been away for so many hours"},
	{"max-attempts", 0, OPTION_NUMBER, offsetof(QueueOptions, max_attempts), "N", "3", 1, 20,
	"no more than so many messages since an order was abandoned"},
	{"dry-run", 0, OPTION_FLAG, offsetof(QueueOptions, dry_run), NULL, NULL, 0, 0,
	"show who would get what, and who not and why; change nothing"},
	{"shop", 0, OPTION_TEXT, offsetof(QueueOptions, shop), "SHOP", NULL, 0, 0,
	"the shop; without it the only one, else \"default\""},
	{"format", 0, OPTION_CHOICE, offsetof(QueueOptions, format), FORMATS, "text", 0, 0,
	"how the list is printed"},
	{NULL}
};

static int
show(const PGresult *result, const void *arg)
{
	const QueueOptions *options = arg;
	int			queued = 0;

	for (int row = 0; row < PQntuples(result); row++)
		queued += strcmp(PQgetvalue(result, row, 3), "queued") == 0;
	table_print(result, 5, options->format, -1);
	if (options->format != FORMAT_TEXT)
		return EX_OK;
	printf("%d queued, %d skipped.\n", queued, PQntuples(result) - queued);
	if (options->dry_run)
		puts("Nothing was changed: this was a dry run.");
	return EX_OK;
}

static int
run_queue(const void *arg, Loop *loop)
{
	const QueueOptions *options = arg;
	char		hours_after[16];
	char		max_attempts[16];
	const char *values[] = {hours_after, max_attempts, options->dry_run ? "true" : "false", options->shop};
	const Statement statement = {
		"SELECT r.order_id, r.recipient, r.message_type, r.action, r.reason, pg_catalog.to_json(r)"
		" FROM incomplete_orders.send_recovery_emails($1::pg_catalog.int4, $2::pg_catalog.int4, $3::pg_catalog.bool,"
		" $4::pg_catalog.text) r",
		4, values, NEVER, 0
	};

	snprintf(hours_after, sizeof(hours_after), "%d", options->hours_after);
	snprintf(max_attempts, sizeof(max_attempts), "%d", options->max_attempts);
	return db_run(options->common.dbname, loop, "send-recovery-emails", &statement, show, options);
}

const Command send_recovery_emails_command = {
	"send-recovery-emails", "queues recovery messages by hand, without a campaign", queue_options, sizeof(QueueOptions), run_queue
};

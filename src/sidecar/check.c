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
#include <unistd.h>

#include "send.h"
#include "table.h"

/* ---- --dry-run ---- */

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
		" FROM incomplete_orders.queue_status('*') q",
		0, NULL, ANSWER_LIMIT, 0
	};

	return db_run(options->common.dbname, loop, "send", &statement, show_queue, options);
}

/* ---- --check-config ---- */

typedef struct Check
{
	const SendOptions *options;
	Db			db;
	Relays		relays;
	int			code;			/* of the first thing that is not well */
} Check;

static void report(Check *check, int code, const char *what, const char *format,...)
			__attribute__((format(printf, 4, 5)));

/* code EX_OK: it is well; below 0: it is, but not as it should be. */
static void
report(Check *check, int code, const char *what, const char *format,...)
{
	va_list		args;

	printf("%-7s%s: ", code == EX_OK ? "ok" : code < 0 ? "warn" : "failed", what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	if (code > 0 && check->code == EX_OK)
		check->code = code;
}

static void
report_failure(Check *check, const char *what, Failure *failure)
{
	report(check, failure->code, what, "%s%s%s", failure->message != NULL ? failure->message : "out of memory",
		   failure->hint != NULL ? "; " : "", failure->hint != NULL ? failure->hint : "");
	failure_clear(failure);
}

static PGresult *
ask(Check *check, const char *what, const char *sql)
{
	const Statement statement = {sql, 0, NULL, ANSWER_LIMIT, 0};
	Failure		failure = {0};
	PGresult   *result = check->db.conn != NULL ? db_query(&check->db, &statement, &failure) : NULL;

	if (result == NULL && failure.message != NULL)
		report_failure(check, what, &failure);
	return result;
}

static void
check_database(Check *check)
{
	Failure		failure = {0};
	PGresult   *result;

	if (!db_connect(&check->db, &failure))
	{
		report_failure(check, "database", &failure);
		return;
	}
	result = ask(check, "database", "SELECT pg_catalog.current_database(), CURRENT_USER, pg_catalog.current_setting('server_version')");
	if (result != NULL)
		report(check, EX_OK, "database", "%s as %s, PostgreSQL %s", PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
	PQclear(result);
	result = ask(check, "notifications", "LISTEN incomplete_orders");
	if (result != NULL)
		report(check, EX_OK, "notifications", "may be heard");
	PQclear(result);
}

/* One line for all that is well, one for each function that is not. */
static void
check_rights(Check *check)
{
	PGresult   *result = ask(check, "rights",
							 "SELECT f.name, pg_catalog.to_regprocedure(f.name) IS NULL,"
							 " pg_catalog.has_function_privilege(pg_catalog.to_regprocedure(f.name), 'EXECUTE')"
							 " FROM pg_catalog.unnest('{incomplete_orders.claim_messages(text\\,integer\\,interval),"
							 "incomplete_orders.ack_message(uuid\\,bigint\\,text),"
							 "incomplete_orders.fail_message(uuid\\,bigint\\,boolean\\,text),"
							 "incomplete_orders.extend_message(uuid\\,bigint\\,interval\\,boolean),"
							 "incomplete_orders._next_message_due(),incomplete_orders.queue_status(text),"
							 "incomplete_orders.claim_deliveries(text\\,integer\\,interval),incomplete_orders.ack_delivery(uuid\\,bigint\\,integer),"
							 "incomplete_orders.fail_delivery(uuid\\,bigint\\,integer\\,text\\,interval),"
							 "incomplete_orders.release_delivery(uuid\\,bigint),incomplete_orders._next_delivery_due(),"
							 "incomplete_orders.sender_settings(text)}'::pg_catalog.text[]) f(name)");
	bool		well = result != NULL;

	for (int row = 0; result != NULL && row < PQntuples(result); row++)
	{
		if (strcmp(PQgetvalue(result, row, 1), "t") == 0)
			report(check, EX_CONFIG, "rights", "there is no function %s; CREATE EXTENSION incomplete_orders, or ALTER EXTENSION incomplete_orders UPDATE", PQgetvalue(result, row, 0));
		else if (strcmp(PQgetvalue(result, row, 2), "t") != 0)
			report(check, EX_NOPERM, "rights", "no right to %s; SELECT incomplete_orders.grant_to('the role', 'sender')", PQgetvalue(result, row, 0));
		else
			continue;
		well = false;
	}
	if (well)
		report(check, EX_OK, "rights", "may claim and answer");
	PQclear(result);
}

static void
check_relays(Check *check)
{
	const SendOptions *options = check->options;
	const SmtpSettings settings = {1, options->starttls, options->ca_file, options->netrc_file, options->timeout < 30 ? options->timeout : 30};

	for (guint i = 0; i < check->relays.list->len; i++)
	{
		const Relay *relay = g_ptr_array_index(check->relays.list, i);
		char	   *problem = smtp_try_server(&settings, &relay->server);

		if (problem != NULL)
			report(check, EX_UNAVAILABLE, "mail server", "%s%s%s: %s", relay->shown, relay->shop != NULL ? " of shop " : "",
				   relay->shop != NULL ? relay->shop : "", problem);
		else
			report(check, EX_OK, "mail server", "%s answers%s", relay->shown, relay->server.user != NULL ? ", and lets us in" : "");
		free(problem);
	}
	if (options->save != NULL && access(options->save, W_OK | X_OK) != 0)
		report(check, EX_CANTCREAT, "folder", "cannot write into %s", options->save);
}

static const char *
first_of(const char *a, const char *b, const char *c)
{
	return a != NULL && *a != '\0' ? a : b != NULL && *b != '\0' ? b : c != NULL ? c : "";
}

static void
check_shop(Check *check, const PGresult *result, int row)
{
	const char *shop = PQgetvalue(result, row, 0);
	const Relay *relay = relays_find(&check->relays, shop);
	const char *from = first_of(relay != NULL ? relay->from : NULL, PQgetvalue(result, row, 1), check->options->from);
	const char *reply_to = PQgetvalue(result, row, 2);
	const char *base_url = first_of(PQgetvalue(result, row, 3), check->options->base_url, NULL);
	const char *why = NULL;
	char	   *what = g_strdup_printf("shop %s", shop);
	char	   *sender = text_address(from, &why);
	char	   *answers = *reply_to != '\0' ? text_address(reply_to, &why) : NULL;
	/* Where nothing is on, only what somebody sends by hand is missing something. */
	int			bad = strcmp(PQgetvalue(result, row, 5), "t") == 0 ? EX_CONFIG : -1;
	int			before = check->code;
	bool		well = true;

#define SHOP_CHECK(condition, code, ...) \
	do { if (condition) { report(check, code, what, __VA_ARGS__); well = false; } } while (0)

	SHOP_CHECK(*from == '\0', bad, "has no from_email, and there is no --from");
	SHOP_CHECK(*from != '\0' && sender == NULL, bad, "from_email: %s", why);
	SHOP_CHECK(*reply_to != '\0' && answers == NULL, bad, "reply_to: %s", why);
	SHOP_CHECK(*base_url == '\0', bad, "has no base_url, and there is no --base-url");
	SHOP_CHECK(*base_url != '\0' && !text_is_url(base_url), bad, "base_url is no address of a web site");
	SHOP_CHECK(relay == NULL && check->options->save == NULL, bad, "has no mail server in --relays, and there is no --smtp-url");
	SHOP_CHECK(g_str_has_prefix(base_url, "http://"), -1, "base_url is not https: mail readers will not offer to unsubscribe with one click");
	SHOP_CHECK(*PQgetvalue(result, row, 4) == '\0', -1, "has no postal_address, which many countries want in such mails");
	if (well && check->code == before)
		report(check, EX_OK, what, "from %s, links to %s", from, base_url);
	g_free(answers);
	g_free(sender);
	g_free(what);
}

static void
check_shops(Check *check)
{
	PGresult   *result = ask(check, "shops", "SELECT s.shop, s.from_email, s.reply_to, s.base_url, s.postal_address,"
							 " s.campaigns OPERATOR(pg_catalog.<>) '{}' FROM incomplete_orders.sender_settings('*') s");

	for (int row = 0; result != NULL && row < PQntuples(result); row++)
		check_shop(check, result, row);
	PQclear(result);
}

int
send_check(const SendOptions *options, Loop *loop)
{
	Check		check = {.options = options, .code = EX_OK};
	Failure		failure = {0};

	db_init(&check.db, loop, options->common.dbname);
	relays_init(&check.relays);
	check_database(&check);
	check_rights(&check);
	if (!relays_load(&check.relays, options->smtp_url, options->relays, &failure))
		report_failure(&check, "relays", &failure);
	check_relays(&check);
	check_shops(&check);
	db_close(&check.db);
	relays_free(&check.relays);
	return check.code;
}

/*
 * report.c
 *		incomplete-orders report: the statistics of a shop, to read or to work with.
 *
 * The database computes everything; all of it is read in one transaction, so the
 * sections agree.  The text is for people (figures.c); csv and json are the rows of
 * the functions as they are.
 *
 * Memory: an answer lives until its section is printed; those of the overview until
 * its end.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "commands.h"
#include "db.h"
#include "figures.h"
#include "table.h"

#define REPORT_LIMIT (120 * SECOND)
/* products, for each currency; all of them are in csv and json */
#define MOST_PRODUCTS 10
#define COUNT_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define REPORT_FORMATS "text|csv|json"
typedef enum ReportFormat
{
	REPORT_TEXT,
	REPORT_CSV,
	REPORT_JSON,
} ReportFormat;

/* "all", and then the sections in their order */
#define SECTIONS "all|overview|funnel|days|reasons|campaigns|products|times"

typedef struct ReportOptions
{
	CommonOptions common;
	const char *shop;
	const char *from;
	const char *to;
	int			section;
	int			format;
} ReportOptions;

static const OptionDef report_options[] = {
	{"shop", 0, OPTION_TEXT, offsetof(ReportOptions, shop), "SHOP", NULL, 0, 0,
	"the shop, or * for all; without it the only one, else \"default\""},
	{"from", 0, OPTION_TEXT, offsetof(ReportOptions, from), "YYYY-MM-DD", NULL, 0, 0,
	"first day; without it a month of thirty days, up to the last one"},
	{"to", 0, OPTION_TEXT, offsetof(ReportOptions, to), "YYYY-MM-DD", NULL, 0, 0,
	"last day, included; without it today"},
	{"section", 0, OPTION_CHOICE, offsetof(ReportOptions, section), SECTIONS, "all", 0, 0,
	"only this"},
	{"format", 0, OPTION_CHOICE, offsetof(ReportOptions, format), REPORT_FORMATS, "text", 0, 0,
	"how it is printed"},
	{NULL}
};

static const Figure overview_figures[] = {
	{"total", "Orders begun", FIGURE_COUNT, 0},
	{"total_value", "  worth", FIGURE_MONEY, 0},
	{"converted", "Bought by now", FIGURE_COUNT, 1},
	{"converted_value", "  worth", FIGURE_MONEY, 1},
	{"direct", "  before ever abandoned", FIGURE_COUNT, 1},
	{"conversion_rate", "Conversion", FIGURE_SHARE, 1},
	{"checkout_abandonment_rate", "Checkouts abandoned", FIGURE_SHARE, -1},
	{"pending", "Still open", FIGURE_COUNT, 0},
	{"abandoned", "Abandoned by now", FIGURE_COUNT, -1},
	{"abandoned_value", "  worth", FIGURE_MONEY, -1},
	{"lost_value", "Given up, worth", FIGURE_MONEY, -1},
	{"messages_sent", "Messages sent", FIGURE_COUNT, 0},
	{"recovered", "Recovered by a message", FIGURE_COUNT, 1},
	{"recovered_value", "  paid, less refunds", FIGURE_MONEY, 1},
	{"recovery_rate", "  of those written to", FIGURE_SHARE, 1},
	{"assisted", "Came back after a mail", FIGURE_COUNT, 0},
	{"unaided", "Came back unaided", FIGURE_COUNT, 0},
	{"median_time_to_recover", "Half recovered within", FIGURE_SPAN, 0},
	{"p90_time_to_recover", "Nine of ten within", FIGURE_SPAN, 0},
	{"lift", "Lift of the messages", FIGURE_SHARE, 1},
	{"lift_low", "  at least (95 %)", FIGURE_SHARE, 0},
	{"lift_high", "  at most", FIGURE_SHARE, 0},
};

static const Figure funnel_figures[] = {
	{"currency", "", FIGURE_WORD}, {"step", "Step", FIGURE_WORD}, {"orders", "Orders", FIGURE_COUNT},
	{"share", "Of all", FIGURE_SHARE}, {"from_previous", "Of the step before", FIGURE_SHARE}, {"orders", "", FIGURE_BAR},
};

static const Figure day_figures[] = {
	{"currency", "", FIGURE_WORD}, {"day", "Day", FIGURE_WORD}, {"total", "Begun", FIGURE_COUNT}, {"converted", "Bought", FIGURE_COUNT},
	{"conversion_rate", "Share", FIGURE_SHARE}, {"episodes", "Abandoned", FIGURE_COUNT}, {"episode_value", "Worth", FIGURE_MONEY},
	{"recovered", "Recovered", FIGURE_COUNT}, {"recovered_value", "Paid", FIGURE_MONEY}, {"messages_sent", "Mails", FIGURE_COUNT},
	{"total", "", FIGURE_BAR},
};

static const Figure reason_figures[] = {
	{"currency", "", FIGURE_WORD}, {"reason", "Reason", FIGURE_WORD}, {"episodes", "Abandoned", FIGURE_COUNT},
	{"episode_value", "Worth", FIGURE_MONEY}, {"recovered", "Recovered", FIGURE_COUNT}, {"recovered_value", "Paid", FIGURE_MONEY},
	{"recovered_share", "Share", FIGURE_SHARE}, {"episodes", "", FIGURE_BAR},
};

static const Figure campaign_figures[] = {
	{"currency", "", FIGURE_WORD}, {"campaign", "Campaign", FIGURE_WORD}, {"step", "Step", FIGURE_COUNT}, {"variant", "Variant", FIGURE_WORD},
	{"sent", "Sent", FIGURE_COUNT}, {"opened", "Opened", FIGURE_COUNT}, {"clicked", "Clicked", FIGURE_COUNT},
	{"unsubscribed", "Left", FIGURE_COUNT}, {"converted", "Bought", FIGURE_COUNT}, {"conversion_rate", "Share", FIGURE_SHARE},
	{"revenue", "Paid", FIGURE_MONEY}, {"revenue", "", FIGURE_BAR},
};

static const Figure product_figures[] = {
	{"currency", "", FIGURE_WORD}, {"product", "Product", FIGURE_WORD}, {"name", "Name", FIGURE_WORD},
	{"abandoned", "Abandoned", FIGURE_COUNT}, {"abandoned_value", "Worth", FIGURE_MONEY}, {"recovered", "Recovered", FIGURE_COUNT},
	{"recovered_value", "Paid", FIGURE_MONEY}, {"recovered_share", "Share", FIGURE_SHARE}, {"abandoned", "", FIGURE_BAR},
};

static const Figure time_figures[] = {
	{"currency", "", FIGURE_WORD}, {"time_from", "From", FIGURE_SPAN}, {"time_before", "Before", FIGURE_SPAN},
	{"recovered", "Recovered", FIGURE_COUNT}, {"share", "Share", FIGURE_SHARE}, {"share_before", "Up to here", FIGURE_SHARE},
	{"recovered", "", FIGURE_BAR},
};

typedef struct Section
{
	const char *name;
	const char *title;
	const char *rows;			/* $1 the shop, $2 the first day, $3 the one behind the last */
	const char *objects;		/* the same as one array */
	const Figure *figures;
	int			n;
	const char *unless;			/* rows where this is 0 are not in the text */
	int			most;
} Section;

/* The rows in the order of people: by currency first. */
#define QUERY(function, order) \
	"SELECT * FROM incomplete_orders." function "($1::pg_catalog.text, $2::pg_catalog.date, $3::pg_catalog.date) r ORDER BY " order, \
	"SELECT coalesce(pg_catalog.json_agg(r), '[]') FROM (SELECT * FROM incomplete_orders." function \
	"($1::pg_catalog.text, $2::pg_catalog.date, $3::pg_catalog.date) r ORDER BY " order ") r"

static const Section sections[] = {
	{"overview", NULL, QUERY("statistics", "r.currency"), overview_figures, COUNT_OF(overview_figures), NULL, 0},
	{"funnel", "How far they came", QUERY("funnel", "r.currency, r.stage"), funnel_figures, COUNT_OF(funnel_figures), NULL, 0},
	{"days", "By day", QUERY("statistics_by_day", "r.currency, r.day"), day_figures, COUNT_OF(day_figures), NULL, 0},
	{"reasons", "Why they were abandoned", QUERY("statistics_by_reason", "r.currency, r.episodes DESC, r.reason"),
	reason_figures, COUNT_OF(reason_figures), NULL, 0},
	{"campaigns", "What the messages did", QUERY("statistics_by_campaign", "r.currency, r.campaign, r.step, r.variant"),
	campaign_figures, COUNT_OF(campaign_figures), NULL, 0},
	{"products", "What was left behind", QUERY("statistics_by_product", "r.currency, r.abandoned DESC, r.product"),
	product_figures, COUNT_OF(product_figures), NULL, MOST_PRODUCTS},
	{"times", "How long until they paid", QUERY("statistics_by_recovery_time", "r.currency, r.time_from"),
	time_figures, COUNT_OF(time_figures), "recovered", 0},
};

#define DAYS_SECTION 2

/* A report that is being made. */
typedef struct Report
{
	const ReportOptions *options;
	Db		   *db;
	Failure    *failure;
	Look		look;
	const char *values[3];		/* shop, first day, the one behind the last */
	const char *before[3];		/* the same of as many days before */
} Report;

static PGresult *
ask(Report *report, const char *sql, int n, const char *const *values)
{
	const Statement statement = {sql, n, values, REPORT_LIMIT, 0};

	return db_query(report->db, &statement, report->failure);
}

static bool
tell(Report *report, const char *sql)
{
	PGresult   *result = ask(report, sql, 0, NULL);

	PQclear(result);
	return result != NULL;
}

/* first, behind, earlier, last, days: what "from" and "to" mean for this shop today. */
static PGresult *
find_days(Report *report)
{
	const char *values[] = {report->options->shop, report->options->from, report->options->to};

	return ask(report,
			   "SELECT d.first, d.behind, d.first OPERATOR(pg_catalog.-) (d.behind OPERATOR(pg_catalog.-) d.first),"
			   " d.behind OPERATOR(pg_catalog.-) 1, d.behind OPERATOR(pg_catalog.-) d.first FROM ("
			   "SELECT pg_catalog.min(s.day) AS first, pg_catalog.max(s.day) OPERATOR(pg_catalog.+) 1 AS behind"
			   " FROM incomplete_orders.statistics_by_day($1::pg_catalog.text,"
			   " coalesce($2::pg_catalog.date, $3::pg_catalog.date OPERATOR(pg_catalog.-) 29),"
			   " coalesce($3::pg_catalog.date OPERATOR(pg_catalog.+) 1,"
			   " CASE WHEN $2::pg_catalog.date IS NOT NULL THEN"
			   " (SELECT pg_catalog.max(t.day) OPERATOR(pg_catalog.+) 1 FROM incomplete_orders.statistics_by_day($1::pg_catalog.text, NULL, NULL) t) END)"
			   ") s) d",
			   3, values);
}

static void
print_csv_cell(const char *text)
{
	if (strpbrk(text, ",\"\r\n") == NULL)
	{
		fputs(text, stdout);
		return;
	}
	putchar('"');
	for (; *text != '\0'; text++)
	{
		if (*text == '"')
			putchar('"');
		putchar(*text);
	}
	putchar('"');
}

static void
print_csv(const PGresult *result)
{
	int			columns = PQnfields(result);

	for (int column = 0; column < columns; column++)
		printf("%s%s", column > 0 ? "," : "", PQfname(result, column));
	putchar('\n');
	for (int row = 0; row < PQntuples(result); row++)
	{
		for (int column = 0; column < columns; column++)
		{
			if (column > 0)
				putchar(',');
			print_csv_cell(PQgetvalue(result, row, column));
		}
		putchar('\n');
	}
}

static bool
print_overview(Report *report)
{
	PGresult   *now = ask(report, sections[0].rows, 3, report->values);
	PGresult   *before = now == NULL ? NULL : ask(report, sections[0].rows, 3, report->before);
	PGresult   *days = before == NULL ? NULL : ask(report, sections[DAYS_SECTION].rows, 3, report->values);
	bool		done = days != NULL;

	if (done)
		overview_print(&report->look, now, before, days, sections[0].figures, sections[0].n);
	PQclear(now);
	PQclear(before);
	PQclear(days);
	return done;
}

/* As text, or as csv, which has its name above it where it is not the only one. */
static bool
print_section(Report *report, const Section *section)
{
	PGresult   *result;

	if (report->options->format == REPORT_TEXT && section->title == NULL)
		return print_overview(report);
	result = ask(report, section->rows, 3, report->values);
	if (result == NULL)
		return false;
	if (report->options->format == REPORT_CSV)
	{
		if (report->options->section == 0)
			printf("%s# %s\n", section == sections ? "" : "\n", section->name);
		print_csv(result);
	}
	else
	{
		title_print(&report->look, section->title);
		figures_print(&report->look, result, section->figures, section->n, section->unless, section->most);
	}
	PQclear(result);
	return true;
}

static bool
print_objects(Report *report, const Section *section)
{
	PGresult   *result = ask(report, section->objects, 3, report->values);

	if (result == NULL)
		return false;
	printf(",\n\"%s\": %s", section->name, PQgetvalue(result, 0, 0));
	PQclear(result);
	return true;
}

static bool
print_sections(Report *report)
{
	for (int i = 0; i < COUNT_OF(sections); i++)
	{
		const Section *section = &sections[i];

		if (report->options->section != 0 && report->options->section != i + 1)
			continue;
		if (!(report->options->format == REPORT_JSON ? print_objects : print_section) (report, section))
			return false;
	}
	return true;
}

/* What is above the figures. */
static void
print_head(const Report *report, const PGresult *days)
{
	const char *last = PQgetvalue(days, 0, 3);
	const char *n = PQgetvalue(days, 0, 4);

	if (report->options->format == REPORT_JSON)
		printf("{\"from\": \"%s\", \"to\": \"%s\"", report->values[1], last);
	else if (report->options->format == REPORT_TEXT)
	{
		fputs("Incomplete orders", stdout);
		if (report->options->shop != NULL)
		{
			fputs(" of ", stdout);
			table_put(strcmp(report->options->shop, "*") == 0 ? "all shops" : report->options->shop);
		}
		printf(", %s to %s (%s day%s)", report->values[1], last, n, strcmp(n, "1") == 0 ? "" : "s");
		puts(report->options->section <= 1 ? ", and the change against as many days before" : "");
	}
}

static bool
make_report(Report *report)
{
	PGresult   *days = NULL;
	bool		done;

	if (tell(report, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
		&& tell(report, "SELECT pg_catalog.set_config('datestyle', 'ISO, YMD', true), pg_catalog.set_config('intervalstyle', 'postgres', true)"))
		days = find_days(report);
	done = days != NULL;
	if (done && PQgetisnull(days, 0, 0))
	{
		failure_set(report->failure, EX_NOPERM, "there is no shop to report on");
		done = false;
	}
	else if (done)
	{
		report->values[0] = report->before[0] = report->options->shop;
		report->values[1] = report->before[2] = PQgetvalue(days, 0, 0);
		report->values[2] = PQgetvalue(days, 0, 1);
		report->before[1] = PQgetvalue(days, 0, 2);
		print_head(report, days);
		done = print_sections(report);
		/* cut short, it must not look whole */
		if (done && report->options->format == REPORT_JSON)
			puts("\n}");
	}
	PQclear(days);
	return done && tell(report, "COMMIT");
}

static bool
is_day(const char *name, const char *text)
{
	if (text == NULL || date_is_written(text))
		return true;
	usage_error(&report_command, "--%s is a day as in 2026-06-30, not \"%s\"", name, text);
	return false;
}

static int
run_report(const void *arg, Loop *loop)
{
	const ReportOptions *options = arg;
	Failure		failure = {0};
	Db			db;
	Report		report = {options, &db, &failure, look_of_terminal()};
	int			code = EX_OK;

	if (!is_day("from", options->from) || !is_day("to", options->to))
		return EX_USAGE;
	db_init(&db, loop, options->common.dbname);
	if (!db_connect(&db, &failure) || !make_report(&report))
	{
		failure_print(&failure, "report");
		code = failure.code;
	}
	db_close(&db);
	failure_clear(&failure);
	return code;
}

const Command report_command = {
	"report", "the statistics of a shop: what was abandoned, why, and what came back", report_options, sizeof(ReportOptions), run_report
};

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
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "commands.h"
#include "db.h"
#include "figures.h"
#include "table.h"

#define REPORT_LIMIT (120 * SECOND)
/* rows of what there may be many of, for each currency; all of them are in csv and json */
#define MOST_WORDS 10
/* of the type text; the others cannot begin with what a spreadsheet takes for a formula */
#define TEXT_TYPE 25
#define COUNT_OF(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define REPORT_FORMATS "text|csv|json"
typedef enum ReportFormat
{
	REPORT_TEXT,
	REPORT_CSV,
	REPORT_JSON,
} ReportFormat;

/* "all", and then the sections in their order */
#define SECTIONS "all|overview|funnel|days|hours|values|steps|reasons|devices|sources|campaigns|products|cohorts|times"

/* a longer report has a row for each month in the text */
#define MOST_DAYS 92

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
	"first day; without it thirty days, up to the last one"},
	{"to", 0, OPTION_TEXT, offsetof(ReportOptions, to), "YYYY-MM-DD", NULL, 0, 0,
	"last day, included; without it today"},
	{"section", 0, OPTION_CHOICE, offsetof(ReportOptions, section), SECTIONS, "all", 0, 0,
	"only this part"},
	{"format", 0, OPTION_CHOICE, offsetof(ReportOptions, format), REPORT_FORMATS, "text", 0, 0,
	"for people, or the rows as they are"},
	{NULL}
};

static const Figure overview_figures[] = {
	{"total", "Orders begun", FIGURE_COUNT, 0},
	{"", "", FIGURE_BAR},
	{"total_value", "  worth", FIGURE_MONEY, 0},
	{"converted", "Bought by now", FIGURE_COUNT, 1},
	{"converted_value", "  worth", FIGURE_MONEY, 1},
	{"direct", "  before ever abandoned", FIGURE_COUNT, 1},
	{"conversion_rate", "  of all", FIGURE_SHARE, 1},
	{"checkout_abandonment_rate", "Checkouts abandoned", FIGURE_SHARE, -1},
	{"pending", "Still open", FIGURE_COUNT, 0},
	{"", "", FIGURE_WORD},
	{"abandoned", "Abandoned by now", FIGURE_COUNT, -1},
	{"abandoned_value", "  worth", FIGURE_MONEY, -1},
	{"lost_value", "Given up, worth", FIGURE_MONEY, -1},
	{"", "", FIGURE_WORD},
	{"messages_sent", "Messages sent", FIGURE_COUNT, 0},
	{"recoverable", "Recoverable", FIGURE_COUNT, 0},
	{"recovered", "  recovered by a message", FIGURE_COUNT, 1},
	{"recovered_value", "  paid, less refunds", FIGURE_MONEY, 1},
	{"recovery_rate", "  of the recoverable", FIGURE_SHARE, 1},
	{"median_time_to_recover", "  half paid within", FIGURE_SPAN, 0},
	{"p90_time_to_recover", "  nine of ten within", FIGURE_SPAN, 0},
	{"assisted", "Came back after a mail", FIGURE_COUNT, 0},
	{"unaided", "Came back unaided", FIGURE_COUNT, 0},
	{"lift", "Lift of the messages", FIGURE_POINTS, 0, .reason = "lift_reason"},
	{"lift_low", "  at least (95 %)", FIGURE_POINTS, 0},
	{"lift_high", "  at most", FIGURE_POINTS, 0},
};

static const Figure funnel_figures[] = {
	{"step", "Step", FIGURE_WORD}, {"orders", "Orders", FIGURE_COUNT}, {"share", "Of all", FIGURE_SHARE},
	{"from_previous", "Of the step before", FIGURE_SHARE}, {"orders", "", FIGURE_BAR, .rank = 1},
};

#define DAY_FIGURES(label) \
	{"day", label, FIGURE_WORD}, {"total", "Begun", FIGURE_COUNT}, {"converted", "Bought", FIGURE_COUNT}, \
	{"conversion_rate", "Share", FIGURE_SHARE, .rank = 2}, {"episodes", "Abandoned", FIGURE_COUNT}, {"episode_value", "Worth", FIGURE_MONEY}, \
	{"recovered", "Recovered", FIGURE_COUNT}, {"recovered_value", "Paid", FIGURE_MONEY, .rank = 1}, \
	{"messages_sent", "Mails", FIGURE_COUNT, .rank = 4}, {"total", "", FIGURE_BAR, .rank = 3}

static const Figure day_figures[] = {DAY_FIGURES("Day")};
static const Figure month_figures[] = {DAY_FIGURES("Month")};

/* of each question that has the same figures */
#define EPISODE_FIGURES(label, kind, share) \
	{"word", label, kind}, {"episodes", "Abandoned", FIGURE_COUNT}, {"episode_value", "Worth", FIGURE_MONEY}, \
	{"recovered", "Recovered", FIGURE_COUNT}, {"recovered_value", "Paid", FIGURE_MONEY}, {"share", share, FIGURE_SHARE, .rank = 2}, \
	{"assisted", "After a mail", FIGURE_COUNT, .rank = 4}, {"unaided", "Unaided", FIGURE_COUNT, .rank = 3}, \
	{"episodes", "", FIGURE_BAR, .rank = 5}

static const Figure value_figures[] = {EPISODE_FIGURES("From", FIGURE_MONEY, "Rate")};
static const Figure step_figures[] = {EPISODE_FIGURES("Step", FIGURE_WORD, "Rate")};
static const Figure reason_figures[] = {EPISODE_FIGURES("Reason", FIGURE_WORD, "Share")};
static const Figure device_figures[] = {EPISODE_FIGURES("Device", FIGURE_WORD, "Rate")};
static const Figure source_figures[] = {EPISODE_FIGURES("Source", FIGURE_WORD, "Rate")};
static const Figure cohort_figures[] = {EPISODE_FIGURES("Week from", FIGURE_WORD, "Rate")};

static const Figure campaign_figures[] = {
	{"campaign", "Campaign", FIGURE_WORD}, {"step", "Step", FIGURE_COUNT, .numbers = true}, {"variant", "Variant", FIGURE_WORD},
	{"sent", "Sent", FIGURE_COUNT}, {"opened", "Opened", FIGURE_COUNT, .rank = 1}, {"clicked", "Clicked", FIGURE_COUNT},
	{"unsubscribed", "Left", FIGURE_COUNT, .rank = 2}, {"converted", "Bought", FIGURE_COUNT}, {"conversion_rate", "Share", FIGURE_SHARE},
	{"revenue", "Paid", FIGURE_MONEY}, {"held_out", "Held out", FIGURE_COUNT, .rank = 3}, {"converted", "", FIGURE_BAR, .rank = 4},
};

static const Figure product_figures[] = {
	{"product", "Product", FIGURE_WORD}, {"name", "Name", FIGURE_WORD}, {"abandoned", "Abandoned", FIGURE_COUNT},
	{"abandoned_value", "Worth", FIGURE_MONEY}, {"recovered", "Recovered", FIGURE_COUNT}, {"recovered_value", "Paid", FIGURE_MONEY, .rank = 1},
	{"recovered_share", "Share", FIGURE_SHARE, .rank = 2}, {"abandoned", "", FIGURE_BAR, .rank = 3},
};

static const Figure time_figures[] = {
	{"time_from", "From", FIGURE_SPAN}, {"time_before", "Before", FIGURE_SPAN}, {"recovered", "Recovered", FIGURE_COUNT},
	{"share", "Share", FIGURE_SHARE}, {"share_before", "Up to here", FIGURE_SHARE}, {"recovered", "", FIGURE_BAR, .rank = 1},
};

typedef struct Section
{
	const char *name;
	const char *title;
	const char *rows;			/* $1 the shop, $2 the first day, $3 the one behind the last */
	const char *objects;		/* the same as one array */
	const char *words;			/* what the text names the rows by, where that is no column */
	const Figure *figures;
	int			n;
	const char *unless;			/* rows where this is 0 are not in the text */
	int			most;
} Section;

#define ARGUMENTS "($1::pg_catalog.text, $2::pg_catalog.date, $3::pg_catalog.date)"

/* The rows in the order of people: by currency first. */
#define QUERY(function, order) \
	"SELECT * FROM incomplete_orders." function ARGUMENTS " r ORDER BY " order, \
	"SELECT coalesce(pg_catalog.json_agg(r), '[]') FROM (SELECT * FROM incomplete_orders." function ARGUMENTS " r ORDER BY " order ") r"

/* The same for EPISODE_FIGURES: word is what the rows are named by, share the column of that name. */
#define WORDS(function, word, share, order) \
	"SELECT " word " AS word, r." share " AS share, r.* FROM incomplete_orders." function ARGUMENTS " r ORDER BY " order

/* Each month as statistics_by_day() has its days. */
#define MONTHS \
	"SELECT m.*, CASE WHEN m.total OPERATOR(pg_catalog.>) 0 THEN m.converted OPERATOR(pg_catalog./) m.total END AS conversion_rate FROM (" \
	"SELECT pg_catalog.to_char(r.day, 'YYYY-MM') AS day, r.currency, pg_catalog.sum(r.total) AS total, pg_catalog.sum(r.converted) AS converted," \
	" pg_catalog.sum(r.episodes) AS episodes, pg_catalog.sum(r.episode_value) AS episode_value, pg_catalog.sum(r.recovered) AS recovered," \
	" pg_catalog.sum(r.recovered_value) AS recovered_value, pg_catalog.sum(r.messages_sent) AS messages_sent" \
	" FROM incomplete_orders.statistics_by_day" ARGUMENTS " r GROUP BY 1, 2) m ORDER BY m.currency, m.day"

static const Section sections[] = {
	{"overview", NULL, QUERY("statistics", "r.currency"), NULL, overview_figures, COUNT_OF(overview_figures), NULL, 0},
	{"funnel", "How far they came", QUERY("funnel", "r.currency, r.stage"), NULL, funnel_figures, COUNT_OF(funnel_figures), NULL, 0},
	{"days", "By day", QUERY("statistics_by_day", "r.currency, r.day"), NULL, day_figures, COUNT_OF(day_figures), NULL, 0},
	{"hours", "When they left: abandonments, by hour of the week", QUERY("statistics_by_hour", "r.currency, r.weekday, r.hour"), NULL, NULL, 0, NULL, 0},
	{"values", "What was in them", QUERY("statistics_by_value", "r.currency, r.value_from"),
	WORDS("statistics_by_value", "r.value_from", "recovery_rate", "r.currency, r.value_from"), value_figures, COUNT_OF(value_figures), "episodes", 0},
	{"steps", "Where they left", QUERY("statistics_by_step", "r.currency, r.step"),
	WORDS("statistics_by_step", "r.step", "recovery_rate", "r.currency, r.step"), step_figures, COUNT_OF(step_figures), "episodes", 0},
	{"reasons", "Why they left", QUERY("statistics_by_reason", "r.currency, r.episodes DESC, r.reason"),
	WORDS("statistics_by_reason", "coalesce(r.reason, 'not told')", "recovered_share", "r.currency, r.episodes DESC, r.reason"),
	reason_figures, COUNT_OF(reason_figures), "episodes", 0},
	{"devices", "With which device", QUERY("statistics_by_device", "r.currency, r.created DESC, r.device"),
	WORDS("statistics_by_device", "coalesce(r.device, 'not told')", "recovery_rate", "r.currency, r.created DESC, r.device"),
	device_figures, COUNT_OF(device_figures), "episodes", MOST_WORDS},
	{"sources", "Where they came from", QUERY("statistics_by_source", "r.currency, r.created DESC, r.source"),
	WORDS("statistics_by_source", "coalesce(r.source, 'not told')", "recovery_rate", "r.currency, r.created DESC, r.source"),
	source_figures, COUNT_OF(source_figures), "episodes", MOST_WORDS},
	{"campaigns", "What the messages did", QUERY("statistics_by_campaign", "r.currency, r.campaign, r.step, r.variant"), NULL,
	campaign_figures, COUNT_OF(campaign_figures), NULL, 0},
	{"products", "What was left behind", QUERY("statistics_by_product", "r.currency, r.abandoned DESC, r.product"), NULL,
	product_figures, COUNT_OF(product_figures), NULL, MOST_WORDS},
	{"cohorts", "Week by week: whole weeks, * may still grow", QUERY("statistics_by_cohort", "r.currency, r.week"),
	WORDS("statistics_by_cohort", "pg_catalog.concat(r.week, CASE WHEN NOT r.mature THEN ' *' END)", "recovery_rate", "r.currency, r.week"),
	cohort_figures, COUNT_OF(cohort_figures), NULL, 0},
	{"times", "How long until they paid", QUERY("statistics_by_recovery_time", "r.currency, r.time_from"), NULL,
	time_figures, COUNT_OF(time_figures), "recovered", 0},
};

#define DAYS_SECTION 2
#define HOURS_SECTION 3

/* A report that is being made. */
typedef struct Report
{
	const ReportOptions *options;
	Db		   *db;
	Failure    *failure;
	Look		look;
	const char *values[3];		/* shop, first day, the one behind the last */
	const char *before[3];		/* the same of as many days before */
	int			n_days;
	bool		empty[COUNT_OF(sections)];	/* sections whose text would be nothing */
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

/* A spreadsheet would compute it.  Anybody may have put it into a cart. */
static bool
is_formula(const char *text)
{
	return text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
}

static void
print_csv_cell(const char *text, bool is_text, bool to_terminal)
{
	const char *guard = is_text && is_formula(text) ? "'" : "";

	if (to_terminal)
	{
		/* to look at: nothing in it moves the cursor */
		fputs(guard, stdout);
		table_put(text);
	}
	else if (strpbrk(text, ",\"\r\n") == NULL)
		printf("%s%s", guard, text);
	else
	{
		printf("\"%s", guard);
		for (; *text != '\0'; text++)
		{
			if (*text == '"')
				putchar('"');
			putchar(*text);
		}
		putchar('"');
	}
}

static void
print_csv(const PGresult *result)
{
	int			columns = PQnfields(result);
	bool		to_terminal = isatty(STDOUT_FILENO) != 0;

	for (int column = 0; column < columns; column++)
		printf("%s%s", column > 0 ? "," : "", PQfname(result, column));
	putchar('\n');
	for (int row = 0; row < PQntuples(result); row++)
	{
		for (int column = 0; column < columns; column++)
		{
			if (column > 0)
				putchar(',');
			print_csv_cell(PQgetvalue(result, row, column), PQftype(result, column) == TEXT_TYPE, to_terminal);
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
	const char *rows = section->rows;
	const char *title = section->title;
	const Figure *figures = section->figures;
	PGresult   *result;

	if (report->options->format == REPORT_TEXT && section->title == NULL)
		return print_overview(report);
	if (report->options->format == REPORT_TEXT && section->words != NULL)
		rows = section->words;
	else if (report->options->format == REPORT_TEXT && section == &sections[DAYS_SECTION] && report->n_days > MOST_DAYS)
	{
		rows = MONTHS;
		title = "By month";
		figures = month_figures;
	}
	result = ask(report, rows, 3, report->values);
	if (result == NULL)
		return false;
	if (report->options->format == REPORT_CSV)
	{
		if (report->options->section == 0)
			printf("%s# %s\n", section == sections ? "" : "\n", section->name);
		print_csv(result);
	}
	else if (section == &sections[HOURS_SECTION])
		report->empty[section - sections] = !hours_print(&report->look, title, result, "episodes");
	else
		report->empty[section - sections] = !figures_print(&report->look, title, result, figures, section->n, section->unless, section->most);
	PQclear(result);
	return true;
}

static bool
print_objects(Report *report, const Section *section)
{
	PGresult   *result = ask(report, section->objects, 3, report->values);

	if (result == NULL)
		return false;
	printf(",\n\"%s\": ", section->name);
	table_put_json(PQgetvalue(result, 0, 0));
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

/* Below the others, so that what there is stands together. */
static void
print_empty(const Report *report)
{
	int			width = report->look.width > 0 && report->look.width < 80 ? report->look.width : 80;
	int			column = 0;

	for (int i = 0; i < COUNT_OF(sections); i++)
	{
		if (!report->empty[i])
			continue;
		if (column == 0)
			column = printf("\nNothing to show: ") - 1;
		else if (column + (int) strlen(sections[i].name) > width - 6)
		{
			puts(",");
			column = printf("  ");
		}
		else
			column += printf(", ");
		column += printf("%s", sections[i].name);
	}
	if (column > 0)
		putchar('\n');
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
		printf(", %s to %s (%s day%s)\n", report->values[1], last, n, strcmp(n, "1") == 0 ? "" : "s");
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
		report->n_days = atoi(PQgetvalue(days, 0, 4));
		print_head(report, days);
		done = print_sections(report);
		if (done)
			print_empty(report);
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
	Report		report = {.options = options, .db = &db, .failure = &failure, .look = look_of_terminal()};
	int			code = EX_OK;

	if (!is_day("from", options->from) || !is_day("to", options->to))
		return EX_USAGE;
	/* written so, days sort as texts do */
	if (options->from != NULL && options->to != NULL && strcmp(options->from, options->to) > 0)
	{
		usage_error(&report_command, "--to is the last day and cannot be before --from: %s, %s", options->from, options->to);
		return EX_USAGE;
	}
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

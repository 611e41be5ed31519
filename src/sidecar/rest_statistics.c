/*
 * rest_statistics.c
 *		Routes of statistics: the reports, one result per row of theirs.
 *
 * Both dates are days of the shop, and both are counted.
 */
#include "rest_schema.h"
#include "rest_sql.h"

#define DAYS "(q ->> 'shop', (q ->> 'start_date')::date, (q ->> 'end_date')::date + 1)"
#define REPORT(name, summary, answer) GET("incomplete-orders/" name "/", name, ROWS_FROM(DAY_ARGS, name DAYS), "start_date,end_date", summary, answer)

#define N(name) {name, TYPE_INTEGER, FIELD_NEEDED}
#define MONEY(name) {name, TYPE_NUMBER, FIELD_NEEDED}
#define RATE(name) {name, TYPE_NUMBER}
#define CURRENCY {"currency", TYPE_TEXT, FIELD_NEEDED}
#define EPISODES \
	N("episodes"), MONEY("episode_value"), N("recoverable"), N("recovered"), MONEY("recovered_value"), N("assisted"), MONEY("assisted_value"), \
	N("unaided"), MONEY("unaided_value"), N("lost"), MONEY("lost_value"), RATE("recovery_rate")
#define STATES \
	CURRENCY, N("total"), N("pending"), N("payment_pending"), N("payment_failed"), N("abandoned"), N("converted"), N("expired"), N("dismissed"), \
	MONEY("total_value"), MONEY("abandoned_value"), MONEY("converted_value")

static const RestField statistics[] = {
	STATES, MONEY("lost_value"), MONEY("recovered_value"), N("recovery_attempts"), N("messages_sent"), N("recovered"), N("assisted"), N("unaided"), N("direct"),
	RATE("conversion_rate"), RATE("abandonment_rate"), RATE("checkout_abandonment_rate"), RATE("recovery_rate"), RATE("average_days_to_abandon"),
	{"median_time_to_recover", TYPE_SPAN}, {"p90_time_to_recover", TYPE_SPAN}, RATE("lift"), RATE("lift_low"), RATE("lift_high"), N("recoverable"),
	N("treated"), N("held_out"), {"lift_reason", TYPE_TEXT}, {NULL}
};
static const RestField of_bots[] = {STATES, {NULL}};
static const RestField by_day[] = {
	{"day", TYPE_DATE, FIELD_NEEDED}, CURRENCY, N("total"), N("converted"), MONEY("converted_value"), RATE("conversion_rate"), N("direct"), MONEY("direct_value"),
	EPISODES, N("recovery_attempts"), N("messages_sent"), {NULL}
};
static const RestField by_hour[] = {
	N("weekday"), N("hour"), CURRENCY, N("created"), N("direct"), MONEY("direct_value"), EPISODES, {NULL}
};
static const RestField by_value[] = {
	CURRENCY, RATE("value_from"), RATE("value_before"), N("direct"), MONEY("direct_value"), EPISODES, {NULL}
};
static const RestField by_step[] = {
	{"step", TYPE_TEXT}, CURRENCY, N("direct"), MONEY("direct_value"), EPISODES, {NULL}
};
static const RestField by_reason[] = {
	{"reason", TYPE_TEXT}, CURRENCY, N("episodes"), MONEY("episode_value"), N("recovered"), MONEY("recovered_value"), N("assisted"), MONEY("assisted_value"),
	N("unaided"), MONEY("unaided_value"), RATE("recovered_share"), {NULL}
};
static const RestField by_device[] = {
	{"device", TYPE_TEXT}, CURRENCY, N("created"), N("direct"), MONEY("direct_value"), EPISODES, {NULL}
};
static const RestField by_source[] = {
	{"source", TYPE_TEXT}, CURRENCY, N("created"), N("direct"), MONEY("direct_value"), EPISODES, {NULL}
};
static const RestField by_product[] = {
	{"product", TYPE_TEXT, FIELD_NEEDED}, {"name", TYPE_TEXT}, CURRENCY, N("abandoned"), N("abandoned_quantity"), MONEY("abandoned_value"), N("recovered"),
	N("recovered_quantity"), MONEY("recovered_value"), RATE("recovered_share"), {NULL}
};
static const RestField by_campaign[] = {
	{"campaign", TYPE_TEXT}, {"step", TYPE_INTEGER}, {"variant", TYPE_TEXT}, CURRENCY, N("queued"), N("held_out"), N("sent"), N("failed"), N("delivered"), N("opened"),
	N("clicked"), N("replied"), N("unsubscribed"), N("bounced"), N("complained"), N("converted"), MONEY("revenue"), MONEY("coupon_cost"), RATE("open_rate"),
	RATE("click_rate"), RATE("conversion_rate"), RATE("unsubscribe_rate"), RATE("bounce_rate"), RATE("complaint_rate"), {NULL}
};
static const RestField by_cohort[] = {
	{"week", TYPE_DATE, FIELD_NEEDED}, CURRENCY, {"days_old", TYPE_INTEGER}, {"mature", TYPE_BOOLEAN}, EPISODES, {NULL}
};
static const RestField by_cohort_age[] = {
	{"week", TYPE_DATE, FIELD_NEEDED}, CURRENCY, N("days_from"), {"days_before", TYPE_INTEGER}, {"state", TYPE_WORD, FIELD_NEEDED, "to come,growing,over"},
	{"mature", TYPE_BOOLEAN}, N("episodes"), N("recoverable"), N("recovered"), MONEY("recovered_value"), N("recovered_so_far"), MONEY("recovered_value_so_far"),
	RATE("recovery_rate"), {NULL}
};
static const RestField by_recovery_time[] = {
	CURRENCY, {"time_from", TYPE_SPAN}, {"time_before", TYPE_SPAN}, N("recovered"), MONEY("recovered_value"), RATE("share"), RATE("share_before"), {NULL}
};
static const RestField funnel[] = {
	CURRENCY, N("stage"), {"step", TYPE_TEXT, FIELD_NEEDED}, N("orders"), RATE("share"), RATE("from_previous"), {NULL}
};
static const RestField counting[] = {{"date", TYPE_DATE, 0, NULL, "This day only", "\"2026-01-31\""}, {NULL}};
static const RestField counted[] = {{"analytics_day", TYPE_DATE}, {"changed", TYPE_INTEGER, FIELD_NEEDED}, {NULL}};

const RestSchema statistics_schemas[] = {
	{"Statistics", statistics}, {"StatisticsOfBots", of_bots}, {"StatisticsByDay", by_day}, {"StatisticsByHour", by_hour}, {"StatisticsByValue", by_value},
	{"StatisticsByStep", by_step}, {"StatisticsByReason", by_reason}, {"StatisticsByDevice", by_device}, {"StatisticsBySource", by_source},
	{"StatisticsByProduct", by_product}, {"StatisticsByCampaign", by_campaign}, {"StatisticsByCohort", by_cohort}, {"StatisticsByCohortAge", by_cohort_age},
	{"StatisticsByRecoveryTime", by_recovery_time}, {"Funnel", funnel}, {"Counting", counting}, {"Counted", counted},
	{NULL}
};

/* there may be as many as the shop sells */
static const char products_sql[] =
DAY_ARGS " SELECT 200 AS status, jsonb_build_object('results', coalesce((SELECT jsonb_agg(to_jsonb(l) - '{row_n,rank}'::text[] ORDER BY l.row_n)"
" FROM (SELECT row_number() OVER () AS row_n, row_number() OVER (PARTITION BY s.currency ORDER BY s.abandoned DESC, s.product COLLATE \"C\") AS rank, s.*"
"  FROM incomplete_orders.statistics_by_product" DAYS " s) l WHERE l.rank <= (a.q ->> 'page_size')::int4 OR NOT a.q ? 'page_size'), '[]'))::text AS body FROM a";

static const char analytics_sql[] =
DAY_ARGS ", l AS MATERIALIZED (SELECT s.*, row_number() OVER (ORDER BY s.day DESC, s.currency) AS n FROM a, LATERAL incomplete_orders.statistics_by_day" DAYS " s)"
" SELECT 200 AS status, jsonb_build_object('count', (SELECT count(*) FROM l), 'count_capped', false, 'next', NULL, 'previous', NULL,"
" 'results', coalesce((SELECT jsonb_agg(to_jsonb(l) - 'n' ORDER BY l.n) FROM l), '[]'))::text AS body FROM a";

const RestRoute statistics_routes[] = {
	REPORT("statistics", "Counts, values and rates, one result per currency; the last 30 days unless dates say otherwise", "Statistics*"),
	REPORT("statistics_of_bots", "What robots left, which counts nowhere else", "StatisticsOfBots*"),
	REPORT("statistics_by_day", "By day", "StatisticsByDay*"),
	REPORT("statistics_by_hour", "By weekday (Monday is 1) and hour", "StatisticsByHour*"),
	REPORT("statistics_by_value", "By value of the cart", "StatisticsByValue*"),
	REPORT("statistics_by_step", "By the furthest step of the checkout", "StatisticsByStep*"),
	REPORT("statistics_by_reason", "By reason of abandonment", "StatisticsByReason*"),
	REPORT("statistics_by_device", "By device", "StatisticsByDevice*"),
	REPORT("statistics_by_source", "By source", "StatisticsBySource*"),
	GET("incomplete-orders/statistics_by_product/", "statistics_by_product", products_sql, "start_date,end_date,page_size",
		"By product, the most often abandoned first; all of them, or with page_size only that many of each currency", "StatisticsByProduct*"),
	REPORT("statistics_by_campaign", "By campaign, step and variant", "StatisticsByCampaign*"),
	REPORT("statistics_by_cohort", "By week of abandonment", "StatisticsByCohort*"),
	REPORT("statistics_by_cohort_age", "By week of abandonment, and by how many days later it was paid", "StatisticsByCohortAge*"),
	REPORT("statistics_by_recovery_time", "By time until recovery", "StatisticsByRecoveryTime*"),
	REPORT("funnel", "How many orders came how far", "Funnel*"),
	GET("analytics/", "list_analytics", analytics_sql, "start_date,end_date", "Day by day, the newest first", "StatisticsByDay+"),
	GET("analytics/summary/", "analytics_summary", ROWS_FROM(DAY_ARGS, "statistics" DAYS), "start_date,end_date", "The same days as one result per currency", "Statistics*"),
	POST_MAYBE("analytics/update/", "update_analytics", ROWS("update_analytics((b ->> 'date')::date)"),
			   "Counts anew what has changed, which tick does by itself", "Counting", "Counted*"),
	{NULL}
};

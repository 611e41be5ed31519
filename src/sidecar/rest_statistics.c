/*
 * rest_statistics.c
 *		Routes of statistics.
 */
#include "rest.h"

static const char statistics_sql[] =
"SELECT 200 AS status, pg_catalog.jsonb_build_object('results',"
" coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) ORDER BY s.currency), '[]'))::text AS body"
" FROM (SELECT $1::jsonb -> 'query' AS q) a,"
" LATERAL incomplete_orders.statistics(q ->> 'shop', (q ->> 'start_date')::date, (q ->> 'end_date')::date) s";

const RestRoute statistics_routes[] = {
	{"GET", "incomplete-orders/statistics/", "statistics", REST_STAFF, 0, "start_date,end_date", statistics_sql,
	"Counts, values and rates, one result per currency", NULL, "Statistics"},
	{NULL}
};

/*
 * rest_orders.c
 *		Routes of incomplete orders.
 *
 * Money is text in JSON: a number would be rounded by who reads it as binary.
 */
#include "rest.h"

/*
 * A page, and whether there is more behind it: one row more than was asked for is read.
 * count stops at 1000.
 */
static const char list_sql[] =
"WITH a AS MATERIALIZED (SELECT q, r ->> 'page' AS page, coalesce((q ->> 'page_size')::int, 20) AS page_size,"
"  CASE WHEN q ? 'status' THEN pg_catalog.string_to_array(q ->> 'status', ',')::incomplete_orders.order_status[] END AS status,"
"  coalesce(q ->> 'ordering', '-created_at') AS sort"
"  FROM (SELECT $1::jsonb AS r, $1::jsonb -> 'query' AS q) x),"
" p AS MATERIALIZED (SELECT l.*, pg_catalog.row_number() OVER () AS n FROM a, LATERAL incomplete_orders.list_orders(q ->> 'shop', a.status, NULL,"
"  (q ->> 'start_date')::timestamptz, (q ->> 'end_date')::timestamptz, (q ->> 'expired')::boolean, (q ->> 'is_guest_order')::boolean,"
"  (q ->> 'recovery_attempts')::int, q ->> 'search', a.sort, q ->> 'cursor', page_size + 1) l),"
" c AS MATERIALIZED (SELECT pg_catalog.count(*) AS n FROM a, LATERAL incomplete_orders.list_orders(q ->> 'shop', a.status, NULL,"
"  (q ->> 'start_date')::timestamptz, (q ->> 'end_date')::timestamptz, (q ->> 'expired')::boolean, (q ->> 'is_guest_order')::boolean,"
"  (q ->> 'recovery_attempts')::int, q ->> 'search', a.sort, NULL, 1000) l)"
" SELECT 200 AS status, pg_catalog.jsonb_build_object('count', c.n, 'count_capped', c.n >= 1000,"
"  'next', (SELECT page || p.cursor FROM p WHERE p.n = page_size AND EXISTS (SELECT FROM p m WHERE m.n > page_size)), 'previous', NULL,"
"  'results', coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(p) - '{n,cursor,shop_id}'::text[] ORDER BY p.n) FROM p WHERE p.n <= page_size), '[]'))::text AS body"
" FROM a, c";

const RestRoute order_routes[] = {
	{"GET", "incomplete-orders/", "list_orders", REST_STAFF, 0,
		"status,is_guest_order,recovery_attempts,start_date,end_date,expired,search,ordering,page_size,cursor", list_sql,
	"A page of incomplete orders, open and closed", NULL, "OrderPage"},
	{NULL}
};

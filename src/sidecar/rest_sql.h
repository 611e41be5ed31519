/*
 * rest_sql.h
 *		What the statements of staff's routes have in common.
 */
#ifndef ICO_REST_SQL_H
#define ICO_REST_SQL_H

/*
 * The request, taken apart: r all of it, q query, p path, h headers, b body; page_size;
 * tz the shop's time zone where a date is to be read in it.  Without a date the planner
 * finds that out by itself, so that who may not see the settings is not asked for that right.
 */
#define ARGS_WITH(more) \
	"WITH a AS MATERIALIZED (SELECT x.r, x.q, x.r -> 'path' AS p, x.r -> 'headers' AS h, x.b, coalesce((x.q ->> 'page_size')::int4, 20) AS page_size" more \
	" FROM (SELECT $1::jsonb AS r, $1::jsonb -> 'query' AS q, $2::jsonb AS b) x)"
#define ARGS \
	ARGS_WITH(", CASE WHEN jsonb_path_exists(x.q, '$.keyvalue() ? (@.key like_regex \"_(date|start|end)$\" && @.value like_regex \"^.{10}$\")') THEN CASE x.q ->> 'shop' WHEN '*' THEN 'UTC'" \
			  "  ELSE incomplete_orders.shop_settings(x.q ->> 'shop') ->> 'time_zone' END END AS tz")
/* for who may not see the settings, and needs no instants */
#define DAY_ARGS ARGS_WITH("")

/* A date is a whole day in the shop's time zone, both ends included; an instant is itself. */
#define FROM(name) \
	"CASE WHEN q ->> '" name "' ~ '^.{10}$' THEN (q ->> '" name "')::date::timestamp AT TIME ZONE tz ELSE (q ->> '" name "')::timestamptz END"
#define BEFORE(name) \
	"CASE WHEN q ->> '" name "' ~ '^.{10}$' THEN ((q ->> '" name "')::date + 1)::timestamp AT TIME ZONE tz ELSE (q ->> '" name "')::timestamptz END"
#define SINCE FROM("start_date")
#define UNTIL BEFORE("end_date")
/* what comes with commas between */
#define LISTED(name) "string_to_array(q ->> '" name "', ',')"
/* an array of texts in the body; null without it */
#define TEXTS(name) "CASE WHEN jsonb_typeof(b -> '" name "') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(b -> '" name "')) END"
/* lines of the body; null without them */
#define LINES(name) "nullif(b -> '" name "', 'null')::incomplete_orders.line_items"
#define ID "(p ->> 'id')::uuid"
#define KEY "coalesce(b ->> 'idempotency_key', h ->> 'idempotency_key')"
#define IF_VISIBLE " AND EXISTS (SELECT FROM incomplete_orders.incomplete_orders o WHERE o.id = (a.p ->> 'id')::uuid)"

/*
 * A page of a list function, asked for one row more than the page has; `key` is null in
 * the row that is only a cursor.  Counts what the page shows.
 */
#define PAGE(call, key, condition) \
	ARGS ", l AS MATERIALIZED (SELECT l.*, row_number() OVER () AS n FROM a, LATERAL incomplete_orders." call " l)," \
	" x AS MATERIALIZED (SELECT coalesce((SELECT l.cursor FROM l, a WHERE l.n = a.page_size AND EXISTS (SELECT FROM l m WHERE m.n > a.page_size))," \
	"  (SELECT l.cursor FROM l, a WHERE l." key " IS NULL AND l.n <= a.page_size)) AS cursor)" \
	" SELECT 200 AS status, jsonb_build_object('count', (SELECT count(*) FROM l WHERE l." key " IS NOT NULL AND l.n <= a.page_size)," \
	" 'count_capped', x.cursor IS NOT NULL OR a.q ? 'cursor', 'next', (a.r ->> 'page') || x.cursor, 'previous', NULL," \
	" 'results', coalesce((SELECT jsonb_agg(to_jsonb(l) - '{n,cursor}'::text[] ORDER BY l.n) FROM l" \
	"  WHERE l." key " IS NOT NULL AND l.n <= a.page_size), '[]'))::text AS body FROM a, x WHERE true" condition

/* All rows of a function. */
#define ROWS(call) ROWS_FROM(ARGS, call)
#define ROWS_FROM(args, call) \
	args " SELECT 200 AS status, jsonb_build_object('results', coalesce((SELECT jsonb_agg(to_jsonb(l) - 'row_n' ORDER BY l.row_n)" \
	" FROM (SELECT row_number() OVER () AS row_n, s.* FROM incomplete_orders." call " s) l), '[]'))::text AS body FROM a"

/* What something that is done says, as one member of an object. */
#define DONE(name, call) \
	ARGS " SELECT 200 AS status, jsonb_build_object('" name "', incomplete_orders." call ")::text AS body FROM a"
/* the same of what says nothing */
#define VOID(call) \
	ARGS ", d AS MATERIALIZED (SELECT incomplete_orders." call " AS done FROM a) SELECT 204 AS status FROM d"
/* of what says whether it changed something: 404 when it did not */
#define CHANGED(call) \
	ARGS ", d AS MATERIALIZED (SELECT incomplete_orders." call " AS done FROM a) SELECT 204 AS status FROM d WHERE d.done"

/* lines of route tables */
#define GET(pattern, name, sql, query, summary, answer) {"GET", pattern, name, REST_STAFF, 0, query, sql, summary, NULL, answer}
#define POST(pattern, name, sql, summary, body, answer) {"POST", pattern, name, REST_STAFF, REST_BODY | REST_WRITES, NULL, sql, summary, body, answer}
/* a body may come, and needs not */
#define POST_MAYBE(pattern, name, sql, summary, body, answer) \
	{"POST", pattern, name, REST_STAFF, REST_MAY_BODY | REST_WRITES, NULL, sql, summary, body, answer}

/* the same without a body */
#define ACT(method, pattern, name, sql, query, summary, answer) {method, pattern, name, REST_STAFF, REST_WRITES, query, sql, summary, NULL, answer}
#define PUT(pattern, name, sql, summary, body, answer) {"PUT", pattern, name, REST_STAFF, REST_BODY | REST_WRITES, NULL, sql, summary, body, answer}

#endif							/* ICO_REST_SQL_H */

#!/usr/bin/python3
"""PostgREST over the extension's own view and functions: the statements that it sends, as it sends them.

A request is one transaction: the role of the token and the request itself are
set for the transaction only, then one statement with one row: rows as JSON,
their number, and the status. Reads are READ ONLY. No server of PostgREST is
needed for that; directly, and through pgbouncer in transaction mode, where it
runs with db-prepared-statements = false.
"""

import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

import psycopg
from psycopg import sql
from pooler import Pooler

AUTHENTICATOR, WORD = "rest_authenticator", "rest-word"
SCHEMA = "incomplete_orders"
CART = [{"sku": "A-1", "name": "Blue shirt", "quantity": 2, "unit_price": "19.90"}]
ROLES = {  # name: purposes, shop
    "rest_anon": ([], None),
    "rest_app": (["app"], "rest-north"),
    "rest_staff": (["admin"], "rest-north"),
    "rest_south": (["app", "admin"], "rest-south"),
}
done = failed = 0


def ok(good, what, *why):
    global done, failed
    done += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {done} - {what}", flush=True)
    if not good:
        print("# " + "\n".join(map(str, why)).replace("\n", "\n# "), file=sys.stderr)


class Refused(Exception):
    pass


class Rest:
    """What PostgREST does with a request of a role; port leads to the server or a pooler."""

    def __init__(self, port):
        self.conn = psycopg.connect(host="127.0.0.1", port=port, user=AUTHENTICATOR, password=WORD, autocommit=True, prepare_threshold=None)
        self.types = {}

    def request(self, role, statement, values, read_only, claims=None, before=None):
        claims = {"role": role, "email": f"{role}@staff.example", **(claims or {})}
        settings = {
            "search_path": f'"{SCHEMA}", "public"',
            "role": role,
            "request.jwt.claims": json.dumps(claims),
            "request.method": "GET" if read_only else "POST",
            "request.path": "/",
            "request.headers": json.dumps({"accept": "*/*", "user-agent": "curl/7.88.1"}),
            "request.cookies": "{}",
        }
        try:
            self.conn.execute("BEGIN ISOLATION LEVEL READ COMMITTED " + ("READ ONLY" if read_only else "READ WRITE"))
            self.conn.execute(
                "select " + ", ".join(f"set_config('{name}', %s, true)" for name in settings), list(settings.values()))
            if before:
                self.conn.execute(f'select "public"."{before}"()')
            row = self.conn.execute(statement, values).fetchone()
            self.conn.execute("COMMIT")
        except psycopg.Error as error:
            self.conn.execute("ROLLBACK")
            raise Refused(error.sqlstate) from error
        return row

    def get(self, role, relation, where=(), order="", limit=None, offset=0, columns="*", exact=False):
        """GET /relation?column=operator.value&order=...&limit=..., Prefer: count=exact."""
        target = sql.Identifier(SCHEMA, relation)
        conditions = [sql.SQL("{}.{} {} (%s)").format(target, sql.Identifier(c), sql.SQL(o)) for c, o, _ in where]
        filters = sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if where else sql.SQL("")
        chosen = sql.SQL(", ").join(sql.SQL("{}.{}").format(target, sql.SQL("*") if c == "*" else sql.Identifier(c)) for c in columns.split(","))
        sorting = sql.SQL(" ORDER BY " + ", ".join(f'"{SCHEMA}"."{relation}"."{c.split(".")[0]}" {c.split(".")[1].upper()}' for c in order.split(","))) if order else sql.SQL("")
        window = sql.SQL(" LIMIT {} OFFSET {}").format(sql.SQL("ALL" if limit is None else str(int(limit))), sql.SQL(str(int(offset))))
        count = sql.SQL(", pgrst_source_count AS (SELECT 1 FROM {}{})").format(target, filters) if exact else sql.SQL("")
        total = sql.SQL("(SELECT pg_catalog.count(*) FROM pgrst_source_count)" if exact else "null::bigint")
        statement = sql.SQL(
            "WITH pgrst_source AS ( SELECT {} FROM {}{}{}{} ) {} "
            "SELECT {} AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, "
            "coalesce(json_agg(_postgrest_t), '[]') AS body, "
            "nullif(current_setting('response.headers', true), '') AS response_headers, "
            "nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted "
            "FROM ( SELECT * FROM pgrst_source ) _postgrest_t"
        ).format(chosen, target, filters, sorting, window, count, total)
        values = [v for _, _, v in where] * (2 if exact else 1)
        row = self.request(role, statement, values, True)
        return row[2] if not exact else (row[2], row[0])

    def load(self, admin):
        """The part of its schema cache that calls need: arguments with types, what is returned, whether it may write."""
        for name, volatile, returns_set, composite, overloads, arguments in admin.execute(
            "SELECT p.proname, p.provolatile = 'v', p.proretset, t.typtype = 'c' OR (p.proargmodes IS NOT NULL AND p.proargmodes && '{t,b,o}'), "
            "count(*) OVER (PARTITION BY p.proname), "
            "coalesce((SELECT jsonb_object_agg(a.name, format_type(a.type, NULL)) FROM unnest(p.proargnames, "
            "  coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes) AS a (name, type, mode) "
            "  WHERE coalesce(a.mode, 'i') IN ('i', 'b', 'v') AND a.name IS NOT NULL), '{}') "
            "FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype WHERE p.pronamespace = %s::regnamespace AND p.prokind = 'f' "
            "AND t.typname NOT IN ('trigger', 'event_trigger', 'internal', 'language_handler', 'fdw_handler')", (SCHEMA,)):
            self.types[name] = (volatile, returns_set, composite, overloads, arguments)

    def rpc(self, role, function, arguments, get=False, limit=None, claims=None, before=None):
        """POST /rpc/function with a JSON object; with get, GET /rpc/function?argument=value, which it makes an object of."""
        volatile, returns_set, composite, _, known = self.types[function]
        names = list(arguments)
        target = sql.Identifier(SCHEMA, function)
        fields = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(known[n])) for n in names)
        passed = sql.SQL(", ").join(sql.SQL("{} := pgrst_args.{}").format(sql.Identifier(n), sql.Identifier(n)) for n in names)
        payload = sql.SQL(
            "(SELECT %s::json AS json_data) pgrst_payload, "
            "LATERAL (SELECT {} FROM json_to_record(pgrst_payload.json_data) AS _({})) pgrst_args, LATERAL "
        ).format(sql.SQL(", ").join(map(sql.Identifier, names)), fields) if names else sql.SQL("")
        source = sql.SQL("SELECT {} FROM {}{}({}) pgrst_call{}").format(
            sql.SQL("pgrst_call.*" if composite else "pgrst_call"), payload, target, passed,
            sql.SQL("" if limit is None else f" LIMIT {int(limit)}"))
        element = "_postgrest_t" if composite else "_postgrest_t.pgrst_call"
        body = f"coalesce(json_agg({element}), '[]')" if returns_set else f"coalesce((json_agg({element})->0)::text, 'null')::json"
        statement = sql.SQL(
            "WITH pgrst_source AS ({}) SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, "
            + body + " AS body, nullif(current_setting('response.headers', true), '') AS response_headers, "
            "nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted "
            "FROM (SELECT * FROM pgrst_source) _postgrest_t").format(source)
        if get and volatile:
            raise AssertionError(f"{function} may not be called by GET")
        return self.request(role, statement, [json.dumps(arguments)] if names else None, get, claims, before)[2]

    def refused(self, *arguments, method="rpc", **options):
        try:
            getattr(self, method)(*arguments, **options)
        except Refused as refused:
            return str(refused)
        return "not refused"


def prepare(admin):
    admin.execute(f"CREATE ROLE {AUTHENTICATOR} LOGIN NOINHERIT PASSWORD '{WORD}'")
    for shop in ("rest-north", "rest-south"):
        admin.execute("SELECT incomplete_orders.create_shop(%s, 'A shop')", (shop,))
    for name, (purposes, shop) in ROLES.items():
        admin.execute(f"CREATE ROLE {name} NOLOGIN")
        admin.execute(f"GRANT {name} TO {AUTHENTICATOR}")
        for purpose in purposes:
            admin.execute("SELECT incomplete_orders.grant_to(%s, %s, %s)", (name, purpose, shop))
    # As the README shows it: the history names the person of the token.
    admin.execute("""CREATE FUNCTION public.name_staff() RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
        $$SELECT set_config('incomplete_orders.staff', coalesce(current_setting('request.jwt.claims', true)::json ->> 'email', ''), true)$$""")


def clean(admin):
    admin.execute("DROP FUNCTION public.name_staff()")
    for name, (purposes, shop) in ROLES.items():
        for purpose in purposes:
            admin.execute("SELECT incomplete_orders.revoke_from(%s, %s, %s)", (name, purpose, shop))
        admin.execute(f"DROP ROLE {name}")
    admin.execute(f"DROP ROLE {AUTHENTICATOR}")


def play(rest, how):
    n = how.replace(" ", "-")
    order = rest.rpc("rest_app", "capture_cart", {"session_id": f"{n}-1", "items": CART, "email": "jane@rest.example"})
    ok(isinstance(order, str) and len(order) == 36, f"{how}: POST /rpc/capture_cart with an object of items", order)
    again = rest.rpc("rest_app", "capture_cart", {"session_id": f"{n}-1", "items": CART, "shipping": "4.90", "context": {"locale": "de"}, "step": "shipping"})
    ok(again == order, f"{how}: again, with a sum, an object and an enum: the same order", again)
    rest.rpc("rest_app", "capture_cart", {"session_id": f"{n}-2", "items": CART, "email": "jo@rest.example"})
    rest.rpc("rest_app", "capture_cart", {"session_id": f"{n}-3", "items": [{"sku": "B", "quantity": 1, "unit_price": 1}]})
    rest.rpc("rest_south", "capture_cart", {"session_id": f"{n}-1", "items": CART})

    rows = rest.get("rest_staff", "incomplete_orders", [("status", "=", "pending"), ("session_id", "like", f"{n}-%")], order="created_at.desc,id.desc", limit=2)
    ok([r["session_id"] for r in rows] == [f"{n}-3", f"{n}-2"] and rows[0]["items"][0]["sku"] == "B", f"{how}: GET the view: filter, order, limit", rows)
    rows, total = rest.get("rest_staff", "incomplete_orders", [("session_id", "like", f"{n}-%")], order="created_at.asc", limit=1, offset=1, columns="reference,total,items,status", exact=True)
    ok(total == 3 and len(rows) == 1 and set(rows[0]) == {"reference", "total", "items", "status"}, f"{how}: chosen columns, the second page, count=exact", rows, total)
    rows = rest.get("rest_staff", "incomplete_orders", [("id", "=", order)])
    ok(rows[0]["total"] == 44.70 and rows[0]["context"]["locale"] == "de" and rows[0]["can_convert"], f"{how}: one row by its id, its total with the shipping", rows)
    rows = rest.get("rest_staff", "incomplete_orders", [("id", "= ANY", "{" + order + "}")])
    ok(len(rows) == 1, f"{how}: id=in.(...)", rows)
    rows = rest.get("rest_staff", "incomplete_orders", [("total", ">", "40"), ("session_id", "like", f"{n}-%"), ("email", "ilike", "JANE@%")])
    ok(len(rows) == 1, f"{how}: compared sums, ilike", rows)

    rows = rest.rpc("rest_staff", "list_orders", {"status": ["pending"], "search": f"{n}-1"}, get=True)
    ok([r["id"] for r in rows] == [order], f"{how}: GET /rpc/list_orders, an array of an enum, in a READ ONLY transaction", rows)
    rows = rest.rpc("rest_app", "orders_of", {"session_id": f"{n}-1"}, get=True)
    ok([r["id"] for r in rows] == [order], f"{how}: GET /rpc/orders_of of a program", rows)
    row = rest.rpc("rest_app", "convert_order", {"id": order, "order_number": f"{n}-A1"})
    row = row[0] if isinstance(row, list) else row
    ok(row["order_number"] == f"{n}-A1" and row["total"] == 44.70, f"{how}: POST /rpc/convert_order", row)
    row = rest.rpc("rest_app", "convert_order", {"id": order})
    row = row[0] if isinstance(row, list) else row
    ok(row["order_number"] == f"{n}-A1", f"{how}: the same order again", row)
    results = rest.rpc("rest_staff", "dismiss_orders", {"ids": [r["id"] for r in rest.rpc("rest_staff", "list_orders", {"status": ["pending"]}, get=True)], "reason": "test"}, before="name_staff")
    ok(len(results) == 2, f"{how}: a bulk action with a list of ids", results)
    history = rest.rpc("rest_staff", "order_history", {"id": results[0]["id"]}, get=True)
    ok(any(h["event"] == "dismissed" and "rest_staff@staff.example" in (h["who"] or "") for h in history), f"{how}: the history names the person of the token", history)

    # --- what may not be ----------------------------------------------------
    ok(rest.refused("rest_anon", "capture_cart", {"session_id": "x", "items": CART}) == "42501", f"{how}: a role without purpose may nothing")
    ok(rest.refused("rest_anon", "incomplete_orders", method="get") == "42501", f"{how}: nor see the view")
    ok(rest.refused("rest_app", "list_orders", {}) == "42501", f"{how}: a program is no staff")
    ok(rest.refused("rest_app", "capture_cart", {"session_id": "x", "items": CART, "shop": "rest-south"}) == "IC002", f"{how}: another shop by name: IC002")
    ok(rest.refused("rest_south", "convert_order", {"id": order}) == "IC003", f"{how}: an order of another shop does not exist")
    ok(rest.get("rest_south", "incomplete_orders", [("id", "=", order)]) == [], f"{how}: nor in the view")
    ok(rest.refused("rest_app", "capture_cart", {"session_id": "x", "items": [{"sku": "A", "quantity": 0, "unit_price": 1}]}) == "22023", f"{how}: a malformed cart: 22023")
    ok(rest.refused("postgres", "capture_cart", {"session_id": "x", "items": CART}) == "42501", f"{how}: a token cannot name a role that the authenticator is no member of")
    left = rest.conn.execute("SELECT current_user, current_setting('request.jwt.claims', true), current_setting('incomplete_orders.staff', true)").fetchone()
    ok(left[0] == AUTHENTICATOR and not left[1] and not left[2], f"{how}: nothing of a request stays on the connection", left)


def main():
    with psycopg.connect(autocommit=True) as admin:
        prepare(admin)
        rest = Rest(os.environ["PGPORT"])
        rest.load(admin)
        twice = [name for name, known in rest.types.items() if known[3] > 1 and not name.startswith("_")]
        ok(not twice, "no function has two forms, among which a call by named arguments could not choose", twice)
        play(rest, "directly")
        rest.conn.close()
        if Pooler.program:
            with Pooler({AUTHENTICATOR: WORD}, connections=1) as port:
                pooled = Rest(port)
                pooled.types = rest.types
                play(pooled, "pooled")
                pooled.conn.close()
        else:
            print(f"ok {done + 1} # SKIP pgbouncer is not installed")
        clean(admin)
    print(f"1..{done}")


main()
sys.exit(1 if failed else 0)

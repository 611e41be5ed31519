#!/usr/bin/python3
"""What the clock costs.  Started by test/bench/run with the part tick.

tick.py DIR [PART ...]: DIR is the folder of the private server, and the parts are
proportional, fair, by_hand and retention.  It prints a table, writes
DIR/results.json, and ends with 1 when something that must hold does not.

Ratios are those of measurements that take turns in one run.  QUICK measures on a
tenth of the rows.
"""

import json
import os
import sys
import time
from pathlib import Path
from statistics import median

import psycopg

QUICK = bool(os.environ.get("QUICK"))
SCALE = 10 if QUICK else 1
SMALL, BIG, DUE = 50_000, 5_000_000 // SCALE, 1_000
SHOPS, CROWD = 20_000 // SCALE, 1_000_000 // SCALE
BATCH = 40_000 // (2 if QUICK else 1)  # orders of one comparison
ROUNDS = 4 if QUICK else 8
MONTHS = (2_000, 500_000 // SCALE)  # closed orders of the months that are dropped

# n orders of a shop, last active two hours ago; due (by the hour that is over) or not.
MAKE = """CREATE FUNCTION make_orders(shop integer, n integer, due boolean, status text DEFAULT 'pending') RETURNS void LANGUAGE sql AS $$
    INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, reference, session_id, items, status, created_at,
        last_activity_at, abandoned_at, lost_at, expires_at, next_action_at, currency, email, context)
    SELECT shop, i, i, incomplete_orders._reference_of(nextval('incomplete_orders.reference_seq')), 's' || i,
        ('[{"sku":"' || k || '","name":"A blue shirt with stripes","quantity":2,"unit_price":"19.90","image_url":"https://shop.example/media/'
            || k || '.jpg"},{"sku":"B-2","name":"Socks","quantity":3,"unit_price":"4.99"}]')::incomplete_orders.line_items,
        status::incomplete_orders.order_status, t - interval '2 hours', t - interval '2 hours',
        CASE status WHEN 'abandoned' THEN t - interval '1 hour' END, CASE status WHEN 'abandoned' THEN t END,
        t + CASE status WHEN 'abandoned' THEN interval '0' ELSE interval '30 days' END,
        CASE WHEN due THEN CASE status WHEN 'abandoned' THEN t ELSE t - interval '1 hour' END ELSE t + interval '20 days' END,
        'USD', 'c' || k || '@mail.example', '{"device": "mobile", "source": "newsletter"}'
    FROM (SELECT incomplete_orders._new_id(shop) AS i, k, now() AS t FROM generate_series(1, n) k) x
$$"""

EVENTS = """e AS (INSERT INTO incomplete_orders.order_events (recorded_at, event_id, shop_id, order_id, root_id, episode, event, at,
        status_before, status_after, kind, currency, value, item_count, furthest_step, device, source, bot, created_at, abandoned_at)
    SELECT clock_timestamp(), nextval('incomplete_orders.event_seq'), shop_id, id, root_id, episode, '{event}', {at}, '{before}', '{event}',
        kind, currency, incomplete_orders._order_total(items, shipping, tax, discount, coupon_discount, currency),
        incomplete_orders.item_count(items), furthest_step, context ->> 'device', context ->> 'source', bot, created_at, abandoned_at
    FROM u RETURNING *)
    INSERT INTO incomplete_orders.order_event_tail (event_id, shop_id, order_id, root_id, episode, event, at, status_before, kind,
        currency, value, item_count, furthest_step, device, source, bot, created_at, abandoned_at)
    SELECT event_id, shop_id, order_id, root_id, episode, event, at, status_before, kind, currency, value, item_count,
        furthest_step, device, source, bot, created_at, abandoned_at FROM e"""

# The same rows changed, and the same events written, by one statement.
ABANDON = """WITH u AS (UPDATE incomplete_orders.open_orders o SET status = 'abandoned', abandoned_at = o.last_activity_at + s.cut_off,
        next_action_at = greatest(o.last_activity_at + s.cut_off + s.attribution_window + interval '3 days', o.last_activity_at + interval '14 days')
    FROM incomplete_orders.shops s WHERE s.shop_id = o.shop_id AND o.next_action_at <= now() RETURNING o.*), """ + EVENTS.format(
    event="abandoned", at="abandoned_at", before="pending")
CLOSE = """WITH u AS (DELETE FROM incomplete_orders.open_orders o WHERE o.next_action_at <= now() RETURNING o.*),
    c AS (INSERT INTO incomplete_orders.closed_orders ({columns}, status, closed_at) SELECT {columns}, 'expired', expires_at FROM u), """ + EVENTS.format(
    event="expired", at="expires_at", before="abandoned")
UPDATE = "UPDATE incomplete_orders.open_orders SET status = 'expired', next_action_at = 'infinity' WHERE next_action_at <= now()"
DELETE = "DELETE FROM incomplete_orders.open_orders WHERE next_action_at <= now()"


def say(text):
    print(text, flush=True)


class Database:
    """One with the extension and shops of its own."""

    def __init__(self, name, shops=1):
        with psycopg.connect("dbname=postgres", autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}")
        self.conn = psycopg.connect(f"dbname={name}", autocommit=True)
        self.run("CREATE EXTENSION incomplete_orders")
        self.run("SELECT incomplete_orders.setup()")
        self.run(MAKE)
        if shops > 1:
            self.run("INSERT INTO incomplete_orders.shops (shop, name) SELECT 'shop-' || n, 'Shop ' || n FROM generate_series(2, %s) n", shops)
        self.shops = [row[0] for row in self.run("SELECT shop_id FROM incomplete_orders.shops ORDER BY 1").fetchall()]

    def run(self, query, *args):
        return self.conn.execute(query, args or None)

    def value(self, query, *args):
        return self.run(query, *args).fetchone()[0]

    def make(self, shop, n, due, status="pending"):
        self.run("SET session_replication_role = replica")
        for first in range(0, n, 250_000):
            self.run("SELECT make_orders(%s, %s, %s, %s)", shop, min(250_000, n - first), due, status)
        self.run("SET session_replication_role = origin")

    def clear(self):
        self.run("SET session_replication_role = replica")
        for table in ("open_orders", "closed_orders", "order_events", "order_event_tail"):
            self.run(f"DELETE FROM incomplete_orders.{table}")
        self.run("SET session_replication_role = origin")
        self.run("VACUUM (ANALYZE) incomplete_orders.open_orders, incomplete_orders.closed_orders, incomplete_orders.order_events,"
                 " incomplete_orders.order_event_tail")

    def tick(self, *args):
        return self.value("CALL incomplete_orders.tick(" + ", ".join(args) + ")")

    def read_so_far(self):
        """Rows and index entries of open_orders that were read, and scans of all of it."""
        self.run("SELECT pg_stat_force_next_flush()")
        return self.run("""SELECT t.idx_tup_fetch + t.seq_tup_read, t.seq_scan,
            (SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'open_orders_due')
            FROM pg_stat_user_tables t WHERE relname = 'open_orders'""").fetchone()


def timed(what, *args):
    began = time.perf_counter()
    result = what(*args)
    return time.perf_counter() - began, result


class Bench:
    title = "the clock"

    def __init__(self):
        self.rows = []  # what, measured, bound, holds
        self.results = {}

    def note(self, what, value, bound="", holds=True, unit=""):
        self.rows.append((what, f"{value:,.2f}{unit}" if isinstance(value, float) else f"{value:,}{unit}", bound, holds))
        self.results[what] = value

    def proportional(self):
        """1,000 due among few and among many: what is examined, and how long it takes."""
        say(f"Making {SMALL:,} and {BIG:,} open orders")
        sides = {}
        for size in (SMALL, BIG):
            side = sides[size] = Database(f"tick_{size}")
            side.make(1, size, False)
            side.run("VACUUM (ANALYZE) incomplete_orders.open_orders")
            side.ids = side.run("SELECT array_agg(id) FROM (SELECT id FROM incomplete_orders.open_orders TABLESAMPLE BERNOULLI (%s)) x",
                                min(100, 100 * DUE * (ROUNDS + 4) * 1.5 / size)).fetchone()[0]
        say(f"Ticks with {DUE:,} of them due")
        times, read = {s: [] for s in sides}, {s: [] for s in sides}
        for turn in range(ROUNDS + 2):
            for size in sorted(sides, reverse=turn % 2):
                side = sides[size]
                chosen, side.ids = side.ids[:DUE], side.ids[DUE:]
                side.run("UPDATE incomplete_orders.open_orders SET next_action_at = now() WHERE shop_id = 1 AND id = ANY (%s)", chosen)
                before = side.read_so_far()
                seconds, report = timed(side.tick)
                after = side.read_so_far()
                assert report["abandoned"] == DUE, report
                if turn >= 2:  # plans and caches are warm
                    times[size].append(seconds * 1000)
                    read[size].append([b - a for a, b in zip(before, after)])
        rows, scans, entries = (max(r[i] for r in read[BIG]) for i in range(3))
        # those that are due, and those that the last tick left behind
        self.note(f"due-index entries read by a tick, {DUE:,} due of {BIG:,}", entries, f"≤ {11 * DUE // 5:,}", entries <= 11 * DUE // 5)
        # each is read by the index, and again to be changed
        self.note("rows of open_orders read", rows, f"≤ {4 * DUE:,}", rows <= 4 * DUE)
        self.note("scans of the whole table", scans, "0", scans == 0)
        self.note(f"ms of that tick, {SMALL:,} open orders", median(times[SMALL]))
        self.note(f"ms of that tick, {BIG:,} open orders", median(times[BIG]))
        ratio = median(b / a for a, b in zip(times[SMALL], times[BIG]))
        self.note("ratio of the two", ratio, "≤ 2.00", ratio <= 2)
        for side in sides.values():
            side.conn.close()

    def fair(self):
        """Everybody is served within one tick, though one shop has very much to do."""
        say(f"{SHOPS:,} shops, one of which has {CROWD:,} due")
        side = Database("tick_fair", SHOPS)
        crowded = side.shops[SHOPS // 2]
        side.make(crowded, CROWD, True)
        side.run("SET session_replication_role = replica")
        side.run("SELECT make_orders(s, 1, true) FROM unnest(%s::integer[]) s WHERE s <> %s", side.shops, crowded)
        side.run("VACUUM (ANALYZE) incomplete_orders.open_orders")
        side.run("SET session_replication_role = origin")
        report = side.tick("max_seconds => 50")
        waiting = side.value("SELECT count(*) FROM incomplete_orders.open_orders WHERE status = 'pending' AND shop_id <> %s", crowded)
        self.note(f"shops not served by one tick, of {SHOPS:,}, one with {CROWD:,} due", waiting, "0", waiting == 0)
        self.note("seconds of that tick", float(report["seconds"]), "≤ 55", report["seconds"] <= 55, " s")
        self.note("orders abandoned in it", report["abandoned"])
        # a tick that finds nothing to do: one look at each shop
        while side.value("SELECT count(*) FROM incomplete_orders.open_orders WHERE status = 'pending'"):
            side.tick()
        self.note(f"ms of a tick with nothing due in {SHOPS:,} shops", median(timed(side.tick)[0] * 1000 for _ in range(5)))
        side.conn.close()

    def by_hand(self):
        """Each variant on fresh rows, taking turns."""
        side = Database("tick_hand")
        columns = ", ".join(row[0] for row in side.run("""SELECT attname FROM pg_attribute
            WHERE attrelid = 'incomplete_orders.open_orders'::regclass AND attnum > 0 AND NOT attisdropped
            AND attname NOT IN ('status', 'next_action_at') ORDER BY attnum"""))
        variants = {
            "abandon": ("pending", side.tick, True),
            "abandon by hand": ("pending", lambda: side.run(ABANDON), False),
            "close": ("abandoned", side.tick, True),
            "close by hand": ("abandoned", lambda: side.run(CLOSE.format(columns=columns)), False),
            "update": ("abandoned", lambda: side.run(UPDATE), False),
            "delete": ("abandoned", lambda: side.run(DELETE), False),
        }
        say(f"{BATCH:,} orders abandoned, and closed, by tick and by hand")
        micros = {name: [] for name in variants}
        for turn in range(ROUNDS):
            for name in sorted(variants, reverse=turn % 2):
                status, act, guarded = variants[name]
                side.clear()
                side.make(1, BATCH, True, status)
                side.run("VACUUM (ANALYZE) incomplete_orders.open_orders")
                side.run("CHECKPOINT")
                if not guarded:  # a plain statement on a table without triggers, as tick's batch is vouched for
                    side.run("SET session_replication_role = replica")
                seconds, _ = timed(act)
                side.run("SET session_replication_role = origin")
                left = side.value("SELECT count(*) FROM incomplete_orders.open_orders WHERE next_action_at <= now()")
                assert left == 0, f"{name} left {left}"
                micros[name].append(seconds / BATCH * 1e6)

        def rate(name, base):
            return median(b / a for a, b in zip(micros[name], micros[base]))

        for name in variants:
            self.note(f"µs an order: {name}", median(micros[name]))
        ratio = rate("abandon", "abandon by hand")
        self.note("abandoning to one statement that does the same, orders a second", ratio, "≥ 0.70", ratio >= 0.7)
        self.note("closing to one statement that does the same, orders a second", rate("close", "close by hand"))
        self.note("closing to UPDATE of the state alone, orders a second", rate("close", "update"))
        self.note("closing to DELETE alone, orders a second", rate("close", "delete"))
        side.conn.close()

    def retention(self):
        """A month goes with its partition, however much it holds; and nobody is waited for."""
        say(f"Dropping months of {MONTHS[0]:,} and {MONTHS[1]:,} closed orders")
        side = Database("tick_month")
        took = []
        for turn, n in enumerate(MONTHS * 3):
            month = f"{2010 + turn}-01-01"
            side.run("SELECT incomplete_orders._make_partition('closed_orders', %s)", month)
            side.clear()
            side.make(1, n, True)
            side.run("SET session_replication_role = replica")
            columns = side.value("""SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = 'incomplete_orders.open_orders'::regclass
                AND attnum > 0 AND attname NOT IN ('id', 'status')""")
            # ids of that month
            side.run(f"""INSERT INTO incomplete_orders.closed_orders (id, status, closed_at, {columns})
                SELECT overlay(id::text PLACING left(incomplete_orders._id_at(%s::timestamptz + random() * interval '27 days')::text, 13)
                    FROM 1 FOR 13)::uuid, 'expired', %s, {columns}
                FROM incomplete_orders.open_orders""", month, month)
            side.run("DELETE FROM incomplete_orders.open_orders")
            side.run("SET session_replication_role = origin")
            side.run("VACUUM incomplete_orders.closed_orders, incomplete_orders.open_orders")  # as autovacuum would have, years ago
            side.run("BEGIN")
            seconds, report = timed(side.tick)
            assert report["partitions"] >= 1 and not side.value("SELECT count(*) FROM incomplete_orders.closed_orders"), report
            took.append((seconds * 1000, timed(side.run, "COMMIT")[0] * 1000))
        (few, _), (many, removing) = (map(median, zip(*took[i::2])) for i in (0, 1))
        self.note(f"ms of a tick that drops a month of {MONTHS[0]:,}", few)
        self.note(f"ms of a tick that drops a month of {MONTHS[1]:,}", many)
        self.note("more ms for the larger month", many - few, "≤ 50", many - few <= 50)
        self.note("ms in which the file system removes its files, at commit", removing)
        # a report that runs on the table: tick gives up soon and goes on
        side.run("SELECT incomplete_orders._make_partition('closed_orders', '2009-01-01')")
        with psycopg.connect("dbname=tick_month") as reader:
            reader.execute("SELECT count(*) FROM incomplete_orders.closed_orders")
            seconds, _ = timed(side.tick)
        self.note("ms of a tick while somebody reads that month", seconds * 1000, "≤ 1,000", seconds <= 1)
        assert side.tick()["partitions"] == 1
        side.conn.close()

    def write(self, out):
        out.write(f"| {self.title} | measured | to reach | reached |\n|---|---:|---:|---:|\n")
        for what, value, bound, holds in self.rows:
            out.write(f"| {what} | {value} | {bound} | {('yes' if holds else '**no**') if bound else ''} |\n")


def main():
    folder, parts = Path(sys.argv[1]), sys.argv[2:] or ["proportional", "fair", "by_hand", "retention"]
    bench = Bench()
    for part in parts:
        getattr(bench, part)()
    (folder / "results.json").write_text(json.dumps({"tick": bench.results}, indent=1) + "\n")
    say("")
    bench.write(sys.stdout)
    return 0 if all(row[3] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())

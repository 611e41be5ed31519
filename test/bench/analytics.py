#!/usr/bin/python3
"""What reports cost, and folding.  Started by test/bench/run with the part analytics.

analytics.py DIR [PART ...]: DIR is the folder of the private server, and the parts are
reports and capture.  Two databases, one with ten times the orders of the other, have
300 days of 50 shops: orders with their carts, every event, and the rollups as tick
made them, day after day.  ORDERS is how many the larger one has (ten million; QUICK:
200,000).  It prints a table, writes DIR/results.json, and ends with 1 when something that
must hold does not.
"""

import json
import os
import sys
import threading
from pathlib import Path
from statistics import median

import psycopg

from machine import QUICK, machine
from tick import Bench, Database, say, timed

PARTS = ["reports", "capture"]
ORDERS = int(os.environ.get("ORDERS") or (200_000 if QUICK else 10_000_000))
DAYS, SHOPS, PRODUCTS = 300, 50, 300
TAIL = min(100_000, ORDERS // 20)
BATCH = 100_000
ROUNDS = 5 if QUICK else 9
REPORTS = ["statistics", "statistics_of_bots", "statistics_by_day", "statistics_by_hour", "statistics_by_value", "statistics_by_step",
           "statistics_by_reason", "statistics_by_device", "statistics_by_source", "statistics_by_product", "statistics_by_campaign",
           "statistics_by_cohort", "statistics_by_recovery_time", "funnel"]

# Carts of three products; those with a small number are put into more of them.
CARTS = """CREATE TABLE bench_carts AS
    SELECT n, incomplete_orders.total(i) AS value, i AS items FROM (
        SELECT n, (SELECT jsonb_agg(jsonb_build_object('sku', 'P-' || p, 'name', 'Product number ' || p, 'quantity', 1 + (n + p) %% 3,
                'unit_price', 5 + p %% 90 + 0.99)) FROM (SELECT DISTINCT least(%s, 1 + floor(%s * power(random(), 2)))::integer AS p
                FROM generate_series(1, 3) WHERE n > 0) x)::incomplete_orders.line_items AS i
        FROM generate_series(1, 2000) n) c"""

# The orders of a day, and what became of them: three in ten are bought at once.  Of those
# abandoned six in ten get a message; some come back by its link, some by themselves.
MAKE = """
CREATE UNLOGGED TABLE bench_orders (shop_id integer, id uuid, t timestamptz, fate integer, r double precision, cart integer,
    value numeric, step incomplete_orders.checkout_step, device text, source text, reason text, bot boolean, email text);
CREATE UNLOGGED TABLE bench_events (shop_id integer, order_id uuid, at timestamptz, event text, episode integer,
    before incomplete_orders.order_status, after incomplete_orders.order_status, reason text, abandoned_at timestamptz, paid numeric,
    campaign text, step integer, message_id uuid);
CREATE FUNCTION bench_day(day timestamptz, n integer, shops integer[]) RETURNS bigint LANGUAGE plpgsql SET synchronous_commit = off SET work_mem = '64MB' AS $f$
DECLARE
    made bigint;
BEGIN
    TRUNCATE bench_orders, bench_events;
    INSERT INTO bench_orders
    SELECT shops[1 + k % cardinality(shops)], overlay(gen_random_uuid()::text PLACING left(incomplete_orders._id_at(x.t)::text, 13) FROM 1 FOR 13)::uuid, x.t,
        floor(100 * random()), random(), c.n, c.value, ('{cart,contact,shipping,payment,review}'::incomplete_orders.checkout_step[])[1 + floor(5 * random())],
        ('{mobile,desktop,tablet}'::text[])[1 + floor(3 * random())], ('{newsletter,ads,search,direct,social}'::text[])[1 + floor(5 * random())],
        CASE WHEN random() < 0.2 THEN ('{shipping_cost,payment_error,just_looking}'::text[])[1 + floor(3 * random())] END, random() < 0.02,
        'c' || k || '@mail.example'
    FROM (SELECT k, day + k * interval '1 day' / n AS t, 1 + floor(2000 * random())::integer AS cart FROM generate_series(1, n) k) x
    JOIN bench_carts c ON c.n = x.cart;
    -- fate: up to 29 bought, 30 to 35 recovered, 36 to 39 unaided, up to 75 with a message but lost, lost
    INSERT INTO bench_events
    SELECT o.shop_id, o.id, v.at, v.event, v.episode, v.before::incomplete_orders.order_status, v.after::incomplete_orders.order_status, v.reason, v.abandoned_at,
        v.paid, v.campaign, CASE WHEN v.campaign IS NOT NULL THEN 1 END, CASE WHEN v.campaign IS NOT NULL THEN o.id END
    FROM bench_orders o
    CROSS JOIN LATERAL (SELECT o.t + interval '80 minutes' AS a, o.t + interval '3 hours' + o.r * interval '2 days' AS p) i
    CROSS JOIN LATERAL (VALUES
        (o.t, 'created', 1, NULL, 'pending', NULL, NULL::timestamptz, NULL::numeric, NULL, true),
        (o.t + o.r * interval '1 hour', 'converted', 1, 'pending', 'converted', NULL, NULL, o.value, NULL, o.fate < 30),
        (i.a, 'abandoned', 1, 'pending', 'abandoned', o.reason, i.a, NULL, NULL, o.fate >= 30),
        (i.a + interval '1 hour', 'message_queued', 1, 'abandoned', 'abandoned', 'first', i.a, NULL, 'cart', o.fate BETWEEN 30 AND 75),
        (i.a + interval '61 minutes', 'message_sent', 1, 'abandoned', 'abandoned', NULL, i.a, NULL, 'cart', o.fate BETWEEN 30 AND 75),
        (i.a + interval '62 minutes', 'message_delivered', 1, 'abandoned', 'abandoned', NULL, i.a, NULL, 'cart', o.fate BETWEEN 30 AND 70),
        (i.a + interval '90 minutes', 'message_opened', 1, 'abandoned', 'abandoned', NULL, i.a, NULL, 'cart', o.fate BETWEEN 30 AND 50),
        (i.p, 'message_clicked', 1, 'abandoned', 'abandoned', NULL, i.a, NULL, 'cart', o.fate BETWEEN 30 AND 37),
        (i.p + interval '1 minute', 'reanimated', 2, 'abandoned', 'pending', NULL, i.a, NULL, NULL, o.fate BETWEEN 30 AND 39),
        (i.p + interval '9 minutes', 'converted', 2, 'pending', 'converted', NULL, i.a, o.value, NULL, o.fate BETWEEN 30 AND 39),
        (i.a + interval '8 days', 'lost', 1, 'abandoned', 'abandoned', NULL, i.a, NULL, NULL, o.fate >= 40),
        (o.t + interval '30 days', 'expired', 1, 'abandoned', 'expired', NULL, i.a, NULL, NULL, o.fate >= 40)
    ) v (at, event, episode, before, after, reason, abandoned_at, paid, campaign, happens)
    WHERE v.happens AND v.at <= now();
    SET LOCAL session_replication_role = replica;
    WITH done AS (
        SELECT o.*, e.at AS closed_at, e.after FROM bench_orders o JOIN bench_events e ON e.order_id = o.id AND e.event IN ('converted', 'expired')
    )
    INSERT INTO incomplete_orders.closed_orders (shop_id, id, root_id, created_at, last_activity_at, expires_at, reference, session_id, email, currency, items,
        status, furthest_step, bot, closed_at)
    SELECT o.shop_id, o.id, o.id, o.t, o.t, o.t + interval '30 days', 'B-' || o.id, 's' || o.id, o.email, 'EUR', c.items, o.after, o.step, o.bot, o.closed_at
    FROM done o JOIN bench_carts c ON c.n = o.cart;
    INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, created_at, last_activity_at, next_action_at, expires_at, reference, session_id, email,
        currency, items, status, furthest_step, bot, abandoned_at)
    SELECT o.shop_id, o.id, o.id, o.t, o.t, CASE WHEN a.at IS NULL THEN o.t + interval '80 minutes' ELSE o.t + interval '30 days' END, o.t + interval '30 days',
        'B-' || o.id, 's' || o.id, o.email, 'EUR', c.items, CASE WHEN a.at IS NULL THEN 'pending' ELSE 'abandoned' END::incomplete_orders.order_status, o.step, o.bot, a.at
    FROM bench_orders o JOIN bench_carts c ON c.n = o.cart
    LEFT JOIN bench_events a ON a.order_id = o.id AND a.event = 'abandoned'
    WHERE NOT EXISTS (SELECT FROM bench_events e WHERE e.order_id = o.id AND e.event IN ('converted', 'expired'));
    INSERT INTO incomplete_orders.orders (shop_id, order_id, order_number, incomplete_order_id, currency, total, paid, paid_at, converted_at)
    SELECT o.shop_id, o.id, 'B-' || o.id, o.id, 'EUR', o.value, true, o.t, o.t FROM bench_orders o
    WHERE EXISTS (SELECT FROM bench_events e WHERE e.order_id = o.id AND e.event = 'converted');
    INSERT INTO incomplete_orders.order_items (shop_id, order_id, line, sku, name, quantity, unit_price)
    SELECT o.shop_id, o.id, i.line, i.sku, i.name, i.quantity, i.unit_price FROM bench_orders o JOIN bench_carts c ON c.n = o.cart
    CROSS JOIN LATERAL incomplete_orders.unnest(c.items) i WHERE EXISTS (SELECT FROM bench_events e WHERE e.order_id = o.id AND e.event = 'converted');
    WITH e AS (
        INSERT INTO incomplete_orders.order_events (recorded_at, event_id, shop_id, order_id, root_id, episode, event, at, status_before, status_after, kind,
            currency, value, item_count, furthest_step, reason_code, device, source, bot, created_at, abandoned_at, campaign, step, message_id, paid_amount)
        SELECT e.at, nextval('incomplete_orders.event_seq'), e.shop_id, e.order_id, e.order_id, e.episode, e.event, e.at, e.before, e.after, 'cart',
            'EUR', o.value, 3, o.step, e.reason, o.device, o.source, o.bot, o.t, e.abandoned_at, e.campaign, e.step, e.message_id, e.paid
        FROM (SELECT * FROM bench_events ORDER BY at) e JOIN bench_orders o ON o.id = e.order_id
        RETURNING *
    )
    INSERT INTO incomplete_orders.order_event_tail (event_id, shop_id, order_id, root_id, episode, event, at, status_before, status_after, kind, currency, value,
        item_count, furthest_step, reason_code, device, source, bot, created_at, abandoned_at, campaign, step, paid_amount)
    SELECT event_id, shop_id, order_id, root_id, episode, event, at, status_before, status_after, kind, currency, value, item_count, furthest_step, reason_code,
        device, source, bot, created_at, abandoned_at, campaign, step, paid_amount FROM e;
    GET DIAGNOSTICS made = ROW_COUNT;
    SET LOCAL session_replication_role = origin;
    RETURN made;
END
$f$"""


class Shops(Database):
    """Fifty shops and their orders; folded as days pass, but for the newest events."""

    def __init__(self, orders):
        super().__init__(f"analytics_{orders}", SHOPS)
        self.orders, self.seconds, self.folded = orders, 0.0, 0
        self.run("UPDATE incomplete_orders.shops SET time_zone = ('{UTC,Europe/Berlin,America/New_York,Asia/Tokyo,Europe/London}'::text[])[1 + shop_id %% 5] WHERE shop_id > %s", 0)
        self.run(CARTS, PRODUCTS, PRODUCTS)
        self.run(MAKE)
        self.run("SELECT incomplete_orders._make_partition(t, m::date) FROM unnest('{order_events,closed_orders}'::text[]) t,"
                 " generate_series(date_trunc('month', now() - make_interval(days => %s)), date_trunc('month', now()) - interval '1 month', interval '1 month') m", DAYS + 1)

    def fill(self):
        each = self.orders // DAYS
        for ago in range(DAYS, 0, -1):
            self.run("SELECT bench_day(now() - make_interval(days => %s), %s, %s)", ago, each, self.shops)
            if ago > 40:
                self.fold("infinity")
            if ago % 10 == 0:  # as autovacuum does
                self.run("VACUUM incomplete_orders.order_event_tail")
        cut = self.value("SELECT min(at) FROM (SELECT at FROM incomplete_orders.order_event_tail ORDER BY at DESC LIMIT %s) t", TAIL)
        self.fold(cut)
        self.run("VACUUM FULL incomplete_orders.order_event_tail")  # all of it was made within minutes
        self.run("VACUUM ANALYZE")
        self.left = self.value("SELECT count(*) FROM incomplete_orders.order_event_tail")

    def fold(self, before):
        """As tick does, but only what happened before; plans are made anew for each batch there, too."""
        while True:
            seconds, n = timed(self.value, """SELECT incomplete_orders._fold('SELECT q.ctid FROM incomplete_orders.order_event_tail q
                WHERE q.at < ' || quote_literal(%s::timestamptz) || ' LIMIT $1', %s, NULL, NULL)""", before, BATCH)
            if n >= BATCH // 5:  # with less, what a statement costs by itself is most
                self.seconds += seconds
                self.folded += n
            if n < BATCH:
                return

    def report(self, name, shop):
        until = self.value("SELECT current_date + 1")
        return timed(lambda: self.run(f"SELECT * FROM incomplete_orders.{name}(%s, %s::date - 90, %s::date)", shop, until, until).fetchall())[0] * 1000


class Analytics(Bench):
    title = "reports and folding"

    def reports(self):
        sides = {}
        for orders in (ORDERS // 10, ORDERS):
            say(f"Making {orders:,} orders of {DAYS} days and {SHOPS} shops")
            side = sides[orders] = Shops(orders)
            seconds, _ = timed(side.fill)
            if side.folded:
                rate = side.folded / side.seconds
                self.note(f"events folded a second, {orders:,} orders, batches of {BATCH // 5:,} to {BATCH:,}", round(rate), "≥ 100,000", rate >= 100_000)
            self.note(f"rows of all rollups, {orders:,} orders", side.value("""SELECT sum(reltuples)::bigint FROM pg_class
                WHERE relnamespace = 'incomplete_orders'::regnamespace AND relkind = 'r' AND relname LIKE 'rollup%%'"""))
            say(f"{seconds:.0f} s, {side.left:,} events are left in the tail")
        shop = sides[ORDERS].value("SELECT shop FROM incomplete_orders.shops ORDER BY shop_id DESC LIMIT 1")
        for who, name, bound in ((shop, "a shop", 50), ("*", "all shops", 250)):
            say(f"Reports of {name}, 90 days")
            for report in REPORTS:
                times = {orders: [] for orders in sides}
                for turn in range(ROUNDS + 2):
                    for orders in sorted(sides, reverse=turn % 2):
                        took = sides[orders].report(report, who)
                        if turn >= 2:  # caches are warm
                            times[orders].append(took)
                small, big = (median(times[orders]) for orders in sorted(sides))
                self.note(f"ms of {report}, {name}, {ORDERS // 10:,} orders", small, f"≤ {bound}", small <= bound)
                self.note(f"ms of {report}, {name}, {ORDERS:,} orders", big, f"≤ {bound}", big <= bound)
                ratio = median(b / a for a, b in zip(times[ORDERS // 10], times[ORDERS]))
                self.note(f"ratio of the two, {report}, {name}", ratio, "≤ 1.30", ratio <= 1.3)
        for side in sides.values():
            side.conn.close()

    def capture(self):
        """Captures of carts, which write no events but the first of each session, while another connection folds, and while none does."""
        side = Database("analytics_capture")
        cart = '[{"sku":"A","name":"A blue shirt","quantity":%s,"unit_price":"19.90"}]'
        n = 10_000 if QUICK else 30_000  # a second and more

        def captures():
            for i in range(n):
                side.run("SELECT incomplete_orders.capture_cart(%s, %s::incomplete_orders.line_items)", f"s{i % 100}", cart % (i % 9 + 1))

        captures()
        stop = threading.Event()

        def ticks():
            with psycopg.connect("dbname=analytics_capture", autocommit=True) as conn:
                while not stop.wait(0.5):
                    conn.execute("CALL incomplete_orders.tick()")

        alone, beside = [], []
        for turn in range(ROUNDS):
            alone.append(timed(captures)[0])
            stop.clear()
            thread = threading.Thread(target=ticks)
            thread.start()
            beside.append(timed(captures)[0])
            stop.set()
            thread.join()
        self.note("captures a second, nobody folds", round(n / median(alone)))
        ratio = median(a / b for a, b in zip(alone, beside))
        self.note("captures a second while tick folds twice a second, ratio", ratio, "≥ 0.95", ratio >= 0.95)
        side.conn.close()


def main():
    folder, parts = Path(sys.argv[1]), sys.argv[2:] or PARTS
    bench = Analytics()
    for part in parts:
        getattr(bench, part)()
    (folder / "results.json").write_text(json.dumps({"analytics": bench.results, "machine": machine()}, indent=1) + "\n")
    say("")
    bench.write(sys.stdout)
    return 0 if all(row[3] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())

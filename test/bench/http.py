#!/usr/bin/python3
"""What HTTP costs.  Started by test/bench/run with the part http.

http.py DIR [PART ...]: DIR is the folder of the private server, and the parts are
cart, list and load.  It prints a table, writes DIR/results.json, and ends with 1 when
something that must hold does not.

wrk asks over connections that are kept; carts take turns with pgbench, in slots of one
run, in changing order.  QUICK makes a tenth of the orders; ORDERS=n makes so many.
"""

import base64
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psycopg

from machine import QUICK, machine
from report import table

HERE = Path(__file__).resolve().parent
ROOT = "/api/v1/incomplete-orders/"
CARTS = 2000
CLIENTS = 8
SLOT = 2 if QUICK else 3  # seconds
ROUNDS = 3 if QUICK else 10
ORDERS = int(os.environ.get("ORDERS") or (500_000 if QUICK else 5_000_000))
DAYS = 300
LOAD = 15 if QUICK else 60  # seconds
STAFF, WORD = "bench_staff", "bench-word"

# What both sides capture: 850 bytes, three lines, another quantity each time.
LINES = ('[{"sku":"SKU-100@N","name":"A blue shirt with stripes, long sleeves","product_id":"100@N","variant":"L / blue","quantity":@Q,"unit_price":"19.90",'
         '"image_url":"https://shop.example/media/cache/products/100@N/large.jpg","url":"https://shop.example/products/blue-shirt-with-stripes"},'
         '{"sku":"SKU-2001","name":"Socks, a pack of three","product_id":"2001","variant":"42","quantity":1,"unit_price":"4.99",'
         '"image_url":"https://shop.example/media/cache/products/2001/large.jpg","url":"https://shop.example/products/socks"},'
         '{"sku":"SKU-3001","name":"Trousers, dark grey, wool","product_id":"3001","variant":"32/34","quantity":2,"unit_price":"59.50",'
         '"image_url":"https://shop.example/media/cache/products/3001/large.jpg","url":"https://shop.example/products/trousers"}]')


def lines(n, q, quote=""):
    """Those lines; with a quote, as an expression of SQL over n and q."""
    if quote:
        n, q = (f"{quote} || {v} || {quote}" for v in (n, q))
    return quote + LINES.replace("@N", str(n)).replace("@Q", str(q)) + quote


SQL = {
    "capture_cart": "SELECT incomplete_orders.capture_cart('bench-session-' || :s, (" + lines(1, ":q", "'") + ")::incomplete_orders.line_items)",
    "capture_page_cart": """SELECT incomplete_orders.capture_page_cart('bench-session-' || :s, ('{"items":' || """ + lines(1, ":q", "'") + " || '}')::jsonb, 'wrk', 'default')",
}

# n orders of a day: those of the last thirty days may be open, the others are closed.
MAKE = """CREATE FUNCTION bench_day(day timestamptz, n integer, part double precision) RETURNS void LANGUAGE plpgsql SET synchronous_commit = off AS $f$
BEGIN
    SET LOCAL session_replication_role = replica;
    CREATE TEMP TABLE IF NOT EXISTS made (id uuid, k integer, t timestamptz, r double precision);
    TRUNCATE made;
    INSERT INTO made SELECT overlay(gen_random_uuid()::text PLACING left(incomplete_orders._id_at(x.t)::text, 13) FROM 1 FOR 13)::uuid, k, x.t, random()
    FROM (SELECT k, day + k * interval '1 day' / n AS t FROM generate_series(1, n) k) x;
    INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, created_at, last_activity_at, next_action_at, expires_at, reference, session_id, customer_id, email,
        currency, items, status, furthest_step, abandoned_at, context)
    SELECT 1, id, id, t, t, t + interval '30 days', t + interval '30 days', 'B-' || id, 's-' || id, 'c' || k, 'c' || k || '@mail.example', 'USD', (@ITEMS)::incomplete_orders.line_items,
        CASE WHEN r < part / 4 THEN 'pending' ELSE 'abandoned' END::incomplete_orders.order_status, 'contact', t, '{"device": "mobile"}' FROM made WHERE r < part;
    INSERT INTO incomplete_orders.closed_orders (shop_id, id, root_id, created_at, last_activity_at, expires_at, reference, session_id, customer_id, email, currency, items,
        status, furthest_step, closed_at, context)
    SELECT 1, id, id, t, t, t + interval '30 days', 'B-' || id, 's-' || id, 'c' || k, 'c' || k || '@mail.example', 'USD', (@ITEMS)::incomplete_orders.line_items,
        CASE WHEN r < 0.5 THEN 'converted' ELSE 'expired' END::incomplete_orders.order_status, 'payment', t + interval '1 hour', '{"device": "mobile"}' FROM made WHERE r >= part;
    SET LOCAL session_replication_role = origin;
END
$f$"""

PAGES = {  # what a list is asked for; without an index only so many can be sorted
    "the newest": "",
    "of two states": "?status=pending,abandoned",
    "of one state, closed": "?status=converted",
    "of a time": "?start_date={since}&end_date={until}",
    "guests that were never mailed": "?is_guest_order=false&recovery_attempts=0",
    "of six hours, by total": "?ordering=-total_amount&start_date={recently}",
    "of six hours, by last activity": "?ordering=-updated_at&start_date={recently}",
    "search of an address": "?search=c77@mail.example",
    # what the page of orders asks for beside it
    "that can be rescued": "?status=abandoned,payment_failed&can_convert=true&contactable=true",
    "... of six hours, by total": "?status=abandoned,payment_failed&can_convert=true&contactable=true&ordering=-total_amount&start_date={recently}",
    "that were recovered": "?status=converted&outcome=recovered",
    "of a currency, a step and a total": "?currency=USD&furthest_step=payment&total_min=50",
    "search of a beginning": "?search=c77*",
    "counts of all tabs": "counts/",
    "counts of all tabs, filtered": "counts/?total_min=50&currency=USD",
    "1,000 ids": "ids/?status=abandoned",
}


def say(text):
    print(text, flush=True)


def cpu(pids):
    """Milliseconds of processor time that they have had."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        except FileNotFoundError:  # a connection of staff lives for a minute
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


class Serve:
    def __init__(self, folder, database, *options):
        self.log = open(folder / "serve.log", "a+", encoding="utf-8")
        self.process = subprocess.Popen(
            ["incomplete-orders", "serve", "--listen=127.0.0.1:0", "--rate-per-key=0", "--rate-per-session=0", "--rate-per-address=0",
             f"--staff-dbname=host=127.0.0.1 port={os.environ['PGPORT']} dbname={database}", *options],
            env={**os.environ, "PGUSER": "bench_sidecar", "PGDATABASE": database}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        self.url = None
        for _ in range(600):
            found = re.findall(r"event=start .*listen=(\S+)", (folder / "serve.log").read_text(encoding="utf-8"))
            if found:
                self.url = "http://" + found[-1]
                break
            time.sleep(0.1)
        if self.url is None or self.process.poll() is not None:
            raise SystemExit("bench: serve does not start: " + (folder / "serve.log").read_text(encoding="utf-8")[-2000:])
        (folder / "serve.log").write_text("", encoding="utf-8")

    def rss(self):
        """Kilobytes."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii"))[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()


class Bench:
    def __init__(self, folder):
        self.dir = Path(folder)
        self.results = {"machine": machine()}
        self.rows = []  # what, value, bound, whether it holds
        self.tables = []
        with psycopg.connect("dbname=postgres", autocommit=True) as conn:
            conn.execute("CREATE DATABASE http_bench")
            conn.execute("CREATE ROLE bench_sidecar LOGIN")
            conn.execute(f"CREATE ROLE {STAFF} LOGIN PASSWORD '{WORD}'")
        self.conn = psycopg.connect("dbname=http_bench", autocommit=True)
        for statement in ("CREATE EXTENSION incomplete_orders", "SELECT incomplete_orders.setup()",
                          f"SELECT incomplete_orders.grant_to('bench_sidecar', 'app'), incomplete_orders.grant_to('bench_sidecar', 'sender'), incomplete_orders.grant_to('{STAFF}', 'admin')",
                          """SELECT incomplete_orders.configure_shop('default', '{"page_prices": "accept"}')"""):
            self.conn.execute(statement)
        self.key = self.conn.execute("SELECT incomplete_orders.rotate_publishable_key('default')").fetchone()[0]
        self.results["machine"]["server"] = self.conn.execute("SHOW server_version").fetchone()[0]
        for n in range(CARTS):
            self.conn.execute("SELECT incomplete_orders.capture_cart(%s, %s)", (f"bench-session-{10000 + n}", lines(1, 1)))
        self.conn.execute("VACUUM ANALYZE")
        self.staff = "Authorization: Basic " + base64.b64encode(f"{STAFF}:{WORD}".encode()).decode()

    def file(self, name, lines):
        path = self.dir / name
        path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
        return str(path)

    def put_cart(self, n):
        rng = random.Random(n)
        for _ in range(n):
            body = '{"items":' + lines(1, rng.randrange(1, 10)) + "}"
            yield "PUT", ROOT + "cart/", body, f"X-Session-Id: bench-session-{10000 + rng.randrange(CARTS)}"

    def wrk(self, serve, file, clients, seconds, *headers):
        """(per second, p50 µs, p95 µs); nothing may have failed."""
        done = subprocess.run(["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "load.lua"), serve.url, "--", file, *headers],
                              capture_output=True, text=True)
        found = re.search(r"^measured\t(.*)$", done.stdout, re.MULTILINE)
        if not found:
            raise SystemExit(f"bench: wrk: {done.stdout} {done.stderr}")
        n, took, p50, p95, refused, errors = map(float, found[1].split("\t"))
        if refused or errors:
            raise SystemExit(f"bench: {refused:.0f} requests were refused, {errors:.0f} failed, of {n:.0f}")
        return n / took, p50, p95

    def pgbench(self, script, clients, seconds):
        done = subprocess.run(["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds), "-f", script, "http_bench"],
                              capture_output=True, text=True, env={**os.environ, "PGUSER": "bench_sidecar"})
        if done.returncode != 0:
            raise SystemExit("bench: " + done.stderr)
        return float(re.search(r"tps = ([0-9.]+)", done.stdout)[1])

    # ---- carts ----

    def cart(self):
        self.results["cart"] = []
        sent = self.file("carts.tsv", self.put_cart(4000))
        headers = [f"X-Publishable-Key: {self.key}", "Content-Type: application/json"]
        scripts = {}
        for name, statement in SQL.items():
            path = self.dir / f"{name}.pgbench"
            path.write_text(f"\\set s random(10000, {10000 + CARTS - 1})\n\\set q random(1, 9)\n{statement};\n", encoding="utf-8")
            scripts[name] = str(path)
        for sync in ("on", "off"):
            self.conn.execute(f"ALTER DATABASE http_bench SET synchronous_commit = {sync}")
            serve = Serve(self.dir, "http_bench", f"--pool={CLIENTS}")
            sides = {"http": lambda: self.wrk(serve, sent, CLIENTS, SLOT, *headers)[0], **{name: lambda s=script: self.pgbench(s, CLIENTS, SLOT) for name, script in scripts.items()}}
            for side in sides.values():
                side()
            say(f"PUT cart, {CLIENTS} clients, synchronous_commit = {sync}")
            slots = {name: [] for name in sides}
            for n in range(ROUNDS):
                order = list(sides)
                order = order[n % len(order):] + order[:n % len(order)]
                for name in order:
                    slots[name].append(sides[name]())
            _, p50, p95 = self.wrk(serve, sent, CLIENTS, SLOT, *headers)
            one = self.wrk(serve, sent, 1, SLOT, *headers)
            serve.stop()
            ratios = {name: median(h / s for h, s in zip(slots["http"], slots[name])) for name in scripts}
            self.results["cart"].append({"synchronous_commit": sync, "tps": {k: median(v) for k, v in slots.items()}, "ratios": ratios, "p50_us": p50, "p95_us": p95, "one": one})
            what = "durable" if sync == "on" else "asynchronous commit"
            self.rows.append((f"PUT cart to capture_cart by pgbench, carts a second, {CLIENTS} clients, {what}", f"{ratios['capture_cart']:.2f}", "≥ 0.60", ratios["capture_cart"] >= 0.6))
            self.tables.append([what, *(f"{median(slots[name]):,.0f}" for name in ("capture_cart", "capture_page_cart", "http")), f"{ratios['capture_cart']:.2f}",
                                f"{ratios['capture_page_cart']:.2f}", f"{p50 / 1000:.2f}", f"{p95 / 1000:.2f}", f"{one[1] / 1000:.2f}"])
        self.conn.execute("ALTER DATABASE http_bench RESET synchronous_commit")

    # ---- lists ----

    def fill(self):
        say(f"Making {ORDERS:,} orders of {DAYS} days")
        self.conn.execute(MAKE.replace("@ITEMS", lines("1 + k % 9", "1 + k % 5", "'")))
        self.conn.execute("SELECT incomplete_orders._make_partition('closed_orders', m::date) FROM"
                          " generate_series(date_trunc('month', now() - make_interval(days => %s)), date_trunc('month', now()) - interval '1 month', interval '1 month') m", (DAYS + 1,))
        began = time.monotonic()
        for ago in range(DAYS, 0, -1):
            self.conn.execute("SELECT bench_day(now() - make_interval(days => %s), %s, %s)", (ago, ORDERS // DAYS, 0.9 if ago < 30 else 0.0))
        self.conn.execute("VACUUM (ANALYZE) incomplete_orders.open_orders, incomplete_orders.closed_orders")
        self.results["fill"] = time.monotonic() - began
        say(f"... in {self.results['fill']:.0f} s")

    def list(self):
        self.fill()
        self.results["list"] = {}
        serve = Serve(self.dir, "http_bench")
        times = dict(zip(("since", "until", "recently"), self.conn.execute(
            "SELECT (now() - interval '100 days')::date::text, (now() - interval '70 days')::date::text, to_char(now() - interval '6 hours', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')").fetchone()))
        rows = []
        for name, query in PAGES.items():
            file = self.file("page.tsv", [("GET", ROOT + "incomplete-orders/" + query.format(**times), "")])
            self.wrk(serve, file, 1, 1, self.staff)
            pids = [serve.process.pid, *(pid for pid, in self.conn.execute("SELECT pid FROM pg_stat_activity WHERE usename = %s", (STAFF,)))]
            before = cpu(pids)
            rate, p50, p95 = self.wrk(serve, file, 1, SLOT, self.staff)
            if not rate:
                raise SystemExit(f"bench: no page in {SLOT} seconds: {name}")
            work = (cpu(pids) - before) / (rate * SLOT)
            many, many_p50, _ = self.wrk(serve, file, CLIENTS, SLOT, self.staff)
            self.results["list"][name] = {"p50_us": p50, "p95_us": p95, "cpu_ms": work, "rate": rate, "rate_8": many, "p50_8_us": many_p50}
            rows.append([name, f"{p50 / 1000:.2f}", f"{p95 / 1000:.2f}", f"{work:.2f}", f"{rate:,.0f}", f"{many:,.0f}", f"{many_p50 / 1000:.2f}"])
        self.pages = rows
        newest = self.results["list"]["the newest"]["p50_us"] / 1000
        self.rows.append((f"list of 20 of {ORDERS:,} orders, p50 at the client, ms", f"{newest:.2f}", "≤ 5", newest <= 5))
        worst = max(v["p50_us"] for name, v in self.results["list"].items() if " by " not in name) / 1000
        self.rows.append(("... the slowest of its filters", f"{worst:.2f}", "≤ 5", worst <= 5))
        serve.stop()

    # ---- everything at once ----

    def load(self):
        serve = Serve(self.dir, "http_bench", f"--pool={CLIENTS}")
        lines = []
        for n, line in enumerate(self.put_cart(2000)):
            lines.append(line + (f"X-Publishable-Key: {self.key}", "Content-Type: application/json"))
            if n % 4 == 0:
                lines.append(("GET", ROOT + "cart/", "", line[3], f"X-Publishable-Key: {self.key}"))
            if n % 20 == 0:
                lines.append(("GET", ROOT + "incomplete-orders/?page_size=20", "", self.staff))
        file = self.file("load.tsv", lines)
        say(f"{LOAD} s of carts, reads and lists by 32 clients")
        self.wrk(serve, file, 32, 5)  # warm: all connections, all statements
        before, samples = serve.rss(), []
        wrk = subprocess.Popen(["wrk", "-t1", "-c32", f"-d{LOAD}s", "--timeout", "10s", "-s", str(HERE / "load.lua"), serve.url, "--", file], stdout=subprocess.PIPE, text=True)
        while wrk.poll() is None:
            samples.append(serve.rss())
            time.sleep(1)
        n, took, p50, p95, refused, errors = map(float, re.search(r"^measured\t(.*)$", wrk.stdout.read(), re.MULTILINE)[1].split("\t"))
        third = len(samples) // 3
        grown = median(samples[-third:]) / median(samples[:third])
        self.results["load"] = {"requests": n, "seconds": took, "p50_us": p50, "p95_us": p95, "refused": refused, "errors": errors, "rss_before_kb": before, "rss_kb": samples}
        self.rows.append((f"{LOAD} s at full load, {n / took:,.0f} requests a second by 32 clients: answers of 400 and more, and errors", f"{refused + errors:.0f}", "0", refused + errors == 0))
        self.rows.append((f"... memory in its last third to that in its first ({before:,} kB at the beginning, {samples[-1]:,} at the end)", f"{grown:.3f}", "≤ 1.02", grown <= 1.02))
        serve.stop()

    def write(self, out):
        table(out, ["HTTP", "measured", "to reach", "reached"], [[what, value, bound, "yes" if holds else "**no**"] for what, value, bound, holds in self.rows])
        if self.tables:
            table(out, ["carts a second, 8 clients", "pgbench: capture_cart", "capture_page_cart", "PUT", "ratio to the first", "to the second", "PUT: p50, ms", "p95", "p50, 1 client"], self.tables)
        if self.results.get("list"):
            table(out, ["a page of 20 orders", "p50, ms", "p95, ms", "CPU of both programs, ms", "a second, 1 client", "a second, 8 clients", "p50, ms"], self.pages)


def main():
    bench = Bench(sys.argv[1])
    for part in sys.argv[2:] or ["cart", "list", "load"]:
        getattr(bench, part)()
    (Path(sys.argv[1]) / "results.json").write_text(json.dumps(bench.results, indent=1) + "\n")
    say("")
    bench.write(sys.stdout)
    return 0 if all(row[3] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())

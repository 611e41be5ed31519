#!/usr/bin/python3
"""Measures, prints a table and writes DIR/results.json.  Started by test/bench/run.

bench.py DIR [PART ...]: DIR is the folder of the private server; it also holds
client (client.c) and count.so (count.c, only where there is valgrind).
"""

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psycopg

import callgrind
import report
from carts import Carts, read_catalog, session
from machine import QUICK, machine
from statements import BATCH, BY_HAND_TABLES, CAPTURE, CONVERT, FACTS, PLAIN, PLAIN_TABLE, conversion_by_hand

HERE = Path(__file__).resolve().parent
PARTS = ["storage", "capture", "batch", "convert", "instructions"]

N_CARTS = 2000  # so few that all stays in memory
SLOT = "0.25"  # seconds
ROUNDS = 6 if QUICK else 40
CONVERT_ROUNDS = 6 if QUICK else 30
CONVERSIONS = 30  # of each connection in a slot
WARM_UP, COUNTED = (1500, 200) if QUICK else (6000, 1000)
CONVERT_WARM_UP, CONVERT_COUNTED = (30, 50) if QUICK else (60, 200)
LOADS = [(1, "off"), (2, "off"), (8, "off"), (1, "on"), (2, "on"), (8, "on")]


def say(text):
    print(text, flush=True)


class Bench:
    def __init__(self, folder):
        self.dir = Path(folder)
        self.carts = Carts(read_catalog(HERE.parent / "data" / "catalog.csv"), N_CARTS)
        self.variants = {}  # name -> statement, file of parameter sets
        self.results = {"machine": machine()}
        self.stocks = 0

    def connect(self):
        return psycopg.connect("", autocommit=True)

    def add_variant(self, name, statement, rows):
        path = self.dir / f"{name}.tsv"
        with open(path, "w", encoding="utf-8") as file:
            for row in rows:
                file.write("\t".join(row) + "\n")
        self.variants[name] = (statement, str(path))

    # ---- what is captured ----

    def clicks(self, n, facts=False):
        rng = random.Random(2)
        for _ in range(n):
            i = rng.randrange(N_CARTS)
            row = [session(i), self.carts.change(i)]
            if facts:
                context = {"locale": "de-DE", "device": "mobile", "source": "newsletter"}
                row += [f"customer{i}@mail.example", json.dumps(context)]
            yield row

    def first_clicks(self, n):
        """Each of a session that is new."""
        for i in range(n):
            yield [f"first-{i:08d}", self.carts.change(i % N_CARTS)]

    def batches(self, n, size):
        rng = random.Random(3)
        for _ in range(n):
            chosen = rng.sample(range(N_CARTS), size)
            carts = [f'{{"session_id":"{session(i)}","items":{self.carts.change(i)}}}' for i in chosen]
            yield ["[" + ",".join(carts) + "]"]

    def set_up(self):
        say("Making 2,000 carts")
        with self.connect() as conn:
            conn.execute("CREATE EXTENSION incomplete_orders")
            conn.execute("SELECT incomplete_orders.setup()")
            conn.execute(PLAIN_TABLE)
            for i in range(N_CARTS):
                cart = self.carts.change(i)
                conn.execute("INSERT INTO plain_carts VALUES (1, %s, %s, NULL, now())", [session(i), cart])
                conn.execute("SELECT incomplete_orders.capture_cart(%s, %s)", [session(i), cart])
            conn.execute("VACUUM ANALYZE")
            self.results["machine"]["server"] = conn.execute("SHOW server_version").fetchone()[0]
        self.add_variant("plain", PLAIN, self.clicks(20000))
        self.add_variant("capture", CAPTURE, self.clicks(20000))
        self.add_variant("facts", FACTS, self.clicks(20000, True))
        self.add_variant("batch", BATCH, self.batches(2000, 10))
        self.add_variant("plain_first", PLAIN, self.first_clicks(2000))
        self.add_variant("first", CAPTURE, self.first_clicks(2000))

    # ---- time ----

    def measure(self, names, clients, rounds, amount, sync):
        """name -> a list of (transactions per second, median latency, 95th percentile), one for each round."""
        command = [str(self.dir / "client"), str(clients), str(rounds + 1), amount, f"SET synchronous_commit = {sync}"]
        for name in names:
            command += [name, *self.variants[name]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: {done.stderr.strip()}")
        slots = {name: [] for name in names}
        for row in done.stdout.splitlines():
            name, _, n, seconds, p50, p95, _ = row.split("\t")
            slots[name].append((int(n) / float(seconds), float(p50), float(p95)))
        return slots

    def compare(self, names, clients, rounds, amount, sync):
        """Medians over all rounds; the ratios are those of slots in the same round."""
        slots = self.measure(names, clients, rounds, amount, sync)
        base = slots[names[0]]
        compared = {"clients": clients, "synchronous_commit": sync}
        for name in names:
            pairs = list(zip(slots[name], base))
            compared[name] = {
                "tps": median(s[0] for s in slots[name]),
                "p50_us": median(s[1] for s in slots[name]),
                "p95_us": median(s[2] for s in slots[name]),
                "tps_ratio": median(s[0] / b[0] for s, b in pairs),
                "p50_ratio": median(s[1] / b[1] for s, b in pairs),
                "p95_ratio": median(s[2] / b[2] for s, b in pairs),
            }
        return compared

    def capture(self):
        self.results["capture"] = []
        for clients, sync in LOADS:
            say(f"Capture, {report.load(clients, sync)}")
            self.results["capture"].append(self.compare(["plain", "capture", "facts"], clients, ROUNDS, SLOT, sync))

    def batch(self):
        self.results["batch"] = []
        for clients, sync in ((1, "off"), (8, "off"), (1, "on"), (8, "on")):
            say(f"Ten carts in one call, {report.load(clients, sync)}")
            self.results["batch"].append(self.compare(["capture", "batch"], clients, ROUNDS // 2, SLOT, sync))

    # ---- conversion ----

    def stock(self, n):
        """New orders for one measurement: n of ours, and copies of them for each conversion by hand."""
        with self.connect() as conn:
            if conn.execute("SELECT to_regnamespace('by_hand')").fetchone()[0] is None:
                conn.execute(BY_HAND_TABLES)
            self.stocks += 1
            conn.execute("CREATE TEMP TABLE stock (session_id text, cart text)")
            with conn.cursor().copy("COPY stock FROM STDIN") as copy:
                for i in range(n):
                    copy.write_row([f"stock-{self.stocks}-{i:08d}", self.carts.change(i % N_CARTS)])
            ids = {"convert": [str(row[0]) for row in conn.execute("""
                SELECT incomplete_orders.capture_cart(session_id, cart::incomplete_orders.line_items) FROM stock""")]}
            for name in ("cte", "cte_events"):
                conn.execute("""CREATE TEMP TABLE copy AS SELECT o.* FROM incomplete_orders.open_orders o
                    JOIN stock s ON s.session_id = o.session_id WHERE o.shop_id = 1""")
                conn.execute(f"""UPDATE copy SET id = incomplete_orders._new_id(1), reference = reference || '{name}',
                    session_id = session_id || '{name}'""")
                conn.execute("INSERT INTO by_hand.open_orders SELECT * FROM copy")
                ids[name] = [str(row[0]) for row in conn.execute("SELECT id FROM copy ORDER BY id")]
                conn.execute("DROP TABLE copy")
            columns = [row[0] for row in conn.execute("""SELECT attname FROM pg_attribute
                WHERE attrelid = 'incomplete_orders.open_orders'::regclass AND attnum > 0 AND NOT attisdropped
                AND attname NOT IN ('status', 'next_action_at') ORDER BY attnum""")]
            conn.execute("VACUUM ANALYZE")
        for name, statement in (("convert", CONVERT), ("cte", conversion_by_hand(columns, False)),
                                ("cte_events", conversion_by_hand(columns, True))):
            self.add_variant(name, statement, ([id] for id in ids[name]))

    def convert(self):
        self.results["convert"] = []
        for clients, sync in ((1, "off"), (8, "off"), (8, "on")):
            say(f"Conversion, {report.load(clients, sync)}")
            self.stock((CONVERT_ROUNDS + 1) * CONVERSIONS * clients)
            self.results["convert"].append(
                self.compare(["cte", "convert", "cte_events"], clients, CONVERT_ROUNDS, f"{CONVERSIONS}x", sync))

    # ---- size ----

    def storage(self):
        say("Bytes")
        with self.connect() as conn:
            carts = [self.carts.change(i) for i in range(N_CARTS)]
            row = conn.execute("""SELECT avg(octet_length(c)), avg(pg_column_size(c::jsonb)),
                avg(pg_column_size(c::incomplete_orders.line_items)) FROM unnest(%s::text[]) c""", [carts]).fetchone()
            stored = dict(zip(("text", "jsonb", "line_items"), map(float, row)))
        self.results["storage"] = {"bytes": stored, "wal": {name: self.wal(name) for name in ("plain", "capture", "facts")}}

    def wal(self, name, n=4000):
        """Bytes of WAL per transaction, without and with the full pages after a checkpoint."""
        with self.connect() as conn:
            call = self.caller(conn, name)
            call(n)
            taken = []
            for checkpoint in (False, True):
                if checkpoint:
                    conn.execute("CHECKPOINT")
                start = conn.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
                call(n)
                sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)"
                taken.append(float(conn.execute(sql, [start]).fetchone()[0]) / n)
        return {"plain": taken[0], "after_checkpoint": taken[1]}

    def caller(self, conn, name):
        return callgrind.caller(conn, name, *self.variants[name])

    # ---- instructions ----

    def count(self, name, warm_up, n):
        with self.connect() as conn:
            return callgrind.count(self.dir, conn, name, self.caller(conn, name), warm_up, n)

    def instructions(self):
        if not callgrind.present(self.dir):
            say("Instructions: not counted, there is no valgrind here")
            return
        say("Instructions, on a server under callgrind")
        self.stock(CONVERT_WARM_UP + CONVERT_COUNTED + 20)
        with callgrind.server(self.dir):
            counts = {name: self.count(name, WARM_UP, COUNTED) for name in ("plain", "capture", "facts")}
            counts["batch"] = self.count("batch", WARM_UP // 10, COUNTED // 10) / 10
            for name in ("cte", "convert", "cte_events", "plain_first", "first"):
                counts[name] = self.count(name, CONVERT_WARM_UP, CONVERT_COUNTED)
        self.results["instructions"] = counts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dir")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {' '.join(PARTS)}; none means all")
    options = parser.parse_args()
    if not set(options.parts) <= set(PARTS):
        parser.error(f"there are the parts {' '.join(PARTS)}")
    bench = Bench(options.dir)
    began = time.monotonic()
    bench.set_up()
    for part in PARTS:
        if part in options.parts or not options.parts:
            getattr(bench, part)()
    bench.results["machine"]["seconds"] = round(time.monotonic() - began)
    (bench.dir / "results.json").write_text(json.dumps(bench.results, indent=1) + "\n")
    say("")
    report.write(bench.results, sys.stdout)


main()

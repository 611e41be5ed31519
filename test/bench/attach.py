#!/usr/bin/python3
"""What a shop pays for being attached.  Started by test/bench/run with the part attach.

attach.py DIR [PART ...]: DIR is the folder of the private server, and the parts are
cost, wal, steady and instructions (the last one).  It prints tables, writes DIR/results.json, and ends
with 1 when something that must hold does not.

A shop has two sets of the same tables: plain ones, and attached ones.  Its transactions run
on both in short slots that take turns on the same connections (client.c); pgbench would
open new ones for each slot, and pay for their caches.  In the long run the shop is pgbench.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psycopg

import callgrind
from machine import QUICK, machine
from report import load, table
from tick import Database, say

PARTS = ["cost", "wal", "steady", "instructions"]
CARTS = 10_000  # of three lines each
ROUNDS, SLOT = (10 if QUICK else 80), "0.25"  # seconds
WARM_UP, COUNTED = (50, 100) if QUICK else (300, 500)
WAL_TRANSACTIONS = 2000
MARKS = 10_000  # a second
MINUTES = (2, 2) if QUICK else (7, 7)  # without and with an old snapshot

TABLES = """
CREATE TABLE {cart} (id integer PRIMARY KEY, code text NOT NULL, state text NOT NULL DEFAULT 'AddingItems', email text, currency text NOT NULL DEFAULT 'EUR',
    subtotal integer NOT NULL DEFAULT 0, shipping integer NOT NULL DEFAULT 0, created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now(),
    completed_at timestamp) WITH (fillfactor = 70);
CREATE TABLE {line} (id integer PRIMARY KEY, cart_id integer NOT NULL REFERENCES {cart} ON DELETE CASCADE, sku text NOT NULL, name text NOT NULL,
    quantity integer NOT NULL, unit_price integer NOT NULL, created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now())
    WITH (fillfactor = 70);
CREATE INDEX ON {line} (cart_id);
INSERT INTO {cart} (id, code, email) SELECT i, 'T_' || i, 'c' || i || '@mail.example' FROM generate_series(1, {n}) i;
INSERT INTO {line} (id, cart_id, sku, name, quantity, unit_price)
    SELECT i, (i - 1) / 3 + 1, 'SKU-' || i, 'A blue shirt with stripes', 1, 1990 FROM generate_series(1, {n} * 3) i;
"""
MAPPING = {
    "cart": {"table": "cart", "id": "id", "currency": "currency", "email": "email"},
    "lines": {"table": "line", "id": "id", "cart": "cart_id", "sku": "sku", "name": "name", "quantity": "quantity", "unit_price": "unit_price"},
    "money": "minor", "completed": "cart.completed_at IS NOT NULL",
}
# What a shop does when a quantity changes, and the least that it could do; same: a whole
# object is saved that is as it was.  $1 is the cart, $2 the line, $3 the quantity.
TRANSACTIONS = {
    "call": ["BEGIN", "SELECT id, state, currency FROM {cart} WHERE id = $1::integer",
             "UPDATE {line} SET quantity = $3::integer, updated_at = now() WHERE id = $2::integer AND $1::integer > 0",
             "SELECT sum(quantity * unit_price) AS subtotal FROM {line} WHERE cart_id = $1::integer",
             "UPDATE {cart} SET subtotal = $3::integer * 1990 + $2::integer, updated_at = now() WHERE id = $1::integer", "COMMIT"],
    "single": ["UPDATE {line} SET quantity = $3::integer WHERE id = $2::integer AND $1::integer > 0"],
    "same": ["UPDATE {line} SET quantity = quantity, name = name WHERE id = $2::integer AND $1::integer > 0"],
}
NAMES = {
    "call": "two reads, a line and its cart updated, one transaction",
    "single": "a line updated, nothing else",
    "same": "a line saved as it was",
}
# loss of transactions a second and of the median latency that is allowed, for "call"
BOUNDS = {"on": 0.05, "off": 0.12}
# twenty carts in a transaction: marks at that rate need no thousands of commits
CROWD = """\\set first random(0, {n} / 20 - 1) * 20
UPDATE line SET quantity = 1 + (quantity + 1) % 9 WHERE id IN (SELECT (:first + i) * 3 + 1 FROM generate_series(0, 19) i);
"""


class Bench:
    def __init__(self, folder):
        self.dir = Path(folder)
        self.rows = []  # what, measured, bound, holds
        self.results = {"machine": machine()}
        self.calls = 0
        say(f"A shop of {CARTS:,} carts, twice, and one of the two attached")
        self.db = Database("shop")
        for cart, line in (("plain_cart", "plain_line"), ("cart", "line")):
            self.db.run(TABLES.format(cart=cart, line=line, n=CARTS))
        self.db.run("SELECT * FROM incomplete_orders.attach('bench', mapping => %s::jsonb)", json.dumps(MAPPING))
        self.db.run("VACUUM ANALYZE")
        rng = random.Random(1)
        with open(self.dir / "calls.tsv", "w", encoding="utf-8") as file:
            for _ in range(50_000):
                cart = rng.randint(1, CARTS)
                file.write(f"{cart}\t{(cart - 1) * 3 + rng.randint(1, 3)}\t{rng.randint(1, 1000)}\n")
        (self.dir / "crowd.sql").write_text(CROWD.format(n=CARTS))

    def statements(self, name, side):
        prefix = "plain_" if side == "plain" else ""
        return [statement.format(cart=prefix + "cart", line=prefix + "line") for statement in TRANSACTIONS[name]]

    def note(self, what, value, bound="", holds=True):
        self.rows.append((what, f"{value:,.3f}" if isinstance(value, float) else f"{value:,}", bound, holds))
        self.results.setdefault("attach", {})[what] = value

    # ---- time ----

    def measure(self, name, sync):
        """side -> (transactions per second, median and 95th percentile of their latency in µs) of each round."""
        command = [str(self.dir / "client"), "8", str(ROUNDS + 1), SLOT, f"SET synchronous_commit = {sync}"]
        for side in ("plain", "attached"):
            command += [f"{side}@shop", "\nthen:\n".join(self.statements(name, side)), str(self.dir / "calls.tsv")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: {done.stderr.strip()}")
        slots = {"plain": [], "attached": []}
        for row in done.stdout.splitlines():
            side, _, n, seconds, p50, p95, _ = row.split("\t")
            slots[side].append((int(n) / float(seconds), float(p50), float(p95)))
        return slots

    def take(self):
        """As tick does once a minute, outside of what is measured."""
        self.db.run("SELECT incomplete_orders._tick_marks(i, true) FROM generate_series(0, 3) i")

    def cost(self):
        """The same transactions on both sets of tables, in turn."""
        self.results["cost"] = []
        for name in ("call", "single", "same"):
            for sync in ("on", "off"):
                say(f"{NAMES[name]}: {load(8, sync)}")
                slots = self.measure(name, sync)
                self.take()
                pairs = list(zip(slots["attached"], slots["plain"]))
                entry = {"what": name, "clients": 8, "synchronous_commit": sync}
                for i, key in enumerate(("tps", "p50_us", "p95_us")):
                    entry[key] = median(a[i] for a, _ in pairs)
                    entry["plain_" + key] = median(p[i] for _, p in pairs)
                    entry[key + "_ratio"] = median(a[i] / p[i] for a, p in pairs)
                self.results["cost"].append(entry)
                if name == "call":
                    bound = BOUNDS[sync]
                    self.note(f"transactions/s with the trigger to without, {load(8, sync)}", entry["tps_ratio"], f"≥ {1 - bound:.2f}", entry["tps_ratio"] >= 1 - bound)
                    self.note(f"p50 with the trigger to without, {load(8, sync)}", entry["p50_us_ratio"], f"≤ {1 + bound:.2f}", entry["p50_us_ratio"] <= 1 + bound)

    # ---- what does not depend on the machine ----

    def rewrite(self):
        """What was measured before has left both sides' tables in other states."""
        self.db.run("VACUUM (FULL, ANALYZE) plain_cart, plain_line, cart, line")

    def caller(self, conn, name, side):
        libpq = conn.pgconn
        prepared = []
        for i, statement in enumerate(self.statements(name, side)):
            key = f"{name}_{side}_{i}".encode()
            callgrind.check(libpq.prepare(key, statement.encode()), name)
            prepared.append((key, max((k for k in (1, 2, 3) if f"${k}" in statement), default=0)))
        cart = 0

        def call(n):
            nonlocal cart
            for _ in range(n):
                cart = cart % CARTS + 1
                self.calls += 1  # never the quantity that is there already
                values = [str(cart).encode(), str(cart * 3).encode(), str(self.calls % 10_007 + 1).encode()]
                for key, used in prepared:
                    callgrind.check(libpq.exec_prepared(key, values[:used]), name)

        return call

    def instructions(self):
        """Of a backend, for a transaction, with everything between message and answer."""
        if not callgrind.present(self.dir):
            say("Instructions: not counted, there is no valgrind here")
            return
        say("Instructions, on a server under callgrind")
        self.rewrite()
        self.db.conn.close()
        counts = self.results["instructions"] = {}
        with callgrind.server(self.dir):
            for name in TRANSACTIONS:
                for side in ("plain", "attached"):
                    with psycopg.connect("dbname=shop", autocommit=True) as conn:
                        counts[f"{name} {side}"] = callgrind.count(self.dir, conn, f"{name}_{side}", self.caller(conn, name, side), WARM_UP, COUNTED)

    def wal(self):
        """Bytes of WAL for a transaction."""
        say("WAL")
        bytes_of = self.results["wal"] = {}
        for name in TRANSACTIONS:
            for side in ("plain", "attached"):
                self.rewrite()
                call = self.caller(self.db.conn, name, side)
                call(CARTS // 4)
                self.db.run("CHECKPOINT")
                call(CARTS // 4)  # each page of these is in the WAL once
                before = self.db.value("SELECT pg_current_wal_insert_lsn()")
                call(WAL_TRANSACTIONS)
                bytes_of[f"{name} {side}"] = float(self.db.value("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before)) / WAL_TRANSACTIONS
        # a whole object that is saved as it was leaves no mark
        extra = bytes_of["same attached"] - bytes_of["same plain"]
        self.note("bytes of WAL that the trigger adds to a row saved as it was", round(extra), "≤ 8", extra <= 8)

    # ---- in the long run ----

    def sample(self, began):
        return {
            "seconds": round(time.monotonic() - began),
            "bytes": int(self.db.value("SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'incomplete_orders.cart_marks'::regclass")),
            "due": self.db.value("SELECT count(*) FROM incomplete_orders.due_carts"),
            "due_bytes": self.db.value("SELECT pg_total_relation_size('incomplete_orders.due_carts')"),
        }

    def steady(self):
        """So many marks a second, while tick runs every five seconds."""
        samples = self.results["steady"] = {}
        for phase, minutes in zip(("free", "held"), MINUTES):
            say(f"{MARKS:,} marks a second for {minutes} minutes" + (", with an old snapshot" if phase == "held" else ""))
            with psycopg.connect("dbname=shop") as holder:
                if phase == "held":
                    holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                    holder.execute("SELECT count(*) FROM line")
                samples[phase] = self.play(minutes)
        for phase, entry in samples.items():
            words = ", with an old snapshot" if phase == "held" else ""
            # the old snapshot makes the shop's own updates slower and slower
            bound = f"≥ {MARKS:,}" if phase == "free" else ""
            self.note(f"marks written a second{words}", entry["marks"], bound, not bound or entry["marks"] >= MARKS)
            bound = f"≥ {entry['marks'] * 0.98:,.0f}"
            self.note(f"of them taken over a second{words}", entry["taken"], bound, entry["taken"] >= entry["marks"] * 0.98)
            self.note(f"seconds a tick took{words}, median", entry["tick_seconds"])
            half = [s["bytes"] for s in entry["samples"]]
            first, last = max(half[: len(half) // 2]), max(half[len(half) // 2:])
            self.note(f"MB of cart_marks at most{words}", last / 1e6)
            if not QUICK:  # a partition is written to again after four minutes
                self.note(f"that to the most in the first half{words}", last / first, "≤ 1.25", last / first <= 1.25)

    def play(self, minutes):
        """The shop at that rate, and tick beside it."""
        rate = MARKS / 20
        began = time.monotonic()
        shop = subprocess.Popen(["pgbench", "-n", "-M", "prepared", "-c", "4", "-j", "1", f"--rate={rate * 1.02}", "-T", str(minutes * 60), "-f", str(self.dir / "crowd.sql"), "shop"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PGOPTIONS": "-c synchronous_commit=off"})
        entry = {"samples": [], "ticks": []}
        while shop.poll() is None:
            tick = time.monotonic()
            self.db.tick()
            entry["ticks"].append(time.monotonic() - tick)
            entry["samples"].append(self.sample(began))
            time.sleep(max(0, 5 - (time.monotonic() - tick)))
        out, err = shop.communicate()
        if shop.returncode != 0:
            raise SystemExit(f"bench: {err.strip()}")
        transactions = next(int(line.rsplit(" ", 1)[1].split("/")[0]) for line in out.splitlines() if "transactions actually processed" in line)
        self.db.tick()
        entry["marks"] = round(transactions * 20 / (minutes * 60))
        # nothing is left that tick has not taken over
        waiting = sum(self.db.value(
            f"""SELECT count(*) FROM incomplete_orders.cart_marks_{i} m LEFT JOIN incomplete_orders.cart_mark_progress p ON p.segment = {i}
                WHERE incomplete_orders._is_fresh_mark(m.xmin, m.xid, p.snapshot, p.drained_by)""") for i in range(4))
        entry["taken"] = round((transactions * 20 - waiting) / (minutes * 60))
        entry["tick_seconds"] = median(entry["ticks"])
        return entry

    # ---- tables ----

    def write(self, out):
        table(out, ["attach", "measured", "to reach", "reached"],
              [[what, value, bound, ("yes" if holds else "**no**") if bound else ""] for what, value, bound, holds in self.rows])
        if "cost" in self.results:
            table(out, ["a shop's transaction", "load", "p50, µs", "with the trigger", "ratio", "p95 ratio", "per second", "with the trigger", "ratio"],
                  [[NAMES[e["what"]], load(e["clients"], e["synchronous_commit"]), f"{e['plain_p50_us']:,.0f}", f"{e['p50_us']:,.0f}", f"{e['p50_us_ratio']:.2f}",
                    f"{e['p95_us_ratio']:.2f}", f"{e['plain_tps']:,.0f}", f"{e['tps']:,.0f}", f"{e['tps_ratio']:.2f}"] for e in self.results["cost"]])
        for key, words in (("instructions", "instructions of the backend"), ("wal", "bytes of WAL")):
            counts = self.results.get(key)
            if counts:
                table(out, [words, "plain", "with the trigger", "difference", "ratio"],
                      [[NAMES[name], f"{counts[name + ' plain']:,.0f}", f"{counts[name + ' attached']:,.0f}",
                        f"{counts[name + ' attached'] - counts[name + ' plain']:,.0f}", f"{counts[name + ' attached'] / counts[name + ' plain']:.2f}"] for name in TRANSACTIONS])
        for phase, entry in self.results.get("steady", {}).items():
            every = max(1, len(entry["samples"]) // 14)
            table(out, ["seconds" + (", with an old snapshot" if phase == "held" else ""), "MB of cart_marks", "due carts", "MB of due_carts"],
                  [[str(s["seconds"]), f"{s['bytes'] / 1e6:,.1f}", f"{s['due']:,}", f"{s['due_bytes'] / 1e6:,.1f}"] for s in entry["samples"][::every]])


def main():
    folder, parts = Path(sys.argv[1]), sys.argv[2:] or PARTS
    bench = Bench(folder)
    began = time.monotonic()
    for part in parts:
        getattr(bench, part)()
    bench.results["machine"]["seconds"] = round(time.monotonic() - began)
    (folder / "results.json").write_text(json.dumps(bench.results, indent=1) + "\n")
    say("")
    bench.write(sys.stdout)
    return 0 if all(row[3] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""What the queue of messages costs.  Started by test/bench/run with the part queue.

claims.py DIR [PART ...]: DIR is the folder of the private server, and the parts are
lease, snapshot, enqueue and instructions.  It prints tables, writes DIR/results.json, and ends with
1 when something that must hold does not.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psycopg

import callgrind
from machine import QUICK, machine
from messages import SENT, Mailing
from report import load, table
from tick import say, timed

PARTS = ["lease", "snapshot", "enqueue", "instructions"]
SHOPS = (1, 200)
ROUNDS = 4 if QUICK else 16
# batch, clients -> claims of each client in a slot
CLAIMS = {(10, 1): 20, (10, 8): 10, (100, 1): 3, (100, 8): 2}
HELD_ROUNDS, HELD_CLAIMS = (6, 20) if QUICK else (20, 25)
DUE = 10_000 if QUICK else 50_000
TICKS = 3 if QUICK else 7

# The plain limit: a table with nothing but what a lease needs, and the message ready in it.
PLAIN_TABLE = """CREATE TABLE plain_messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, due_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'queued', payload jsonb NOT NULL) WITH (fillfactor = 80);
    CREATE INDEX ON plain_messages (due_at) WHERE status IN ('queued', 'sending')"""
PLAIN_CLAIM = """UPDATE plain_messages m SET due_at = now() + interval '5 min', status = 'sending'
    FROM (SELECT id FROM plain_messages WHERE status IN ('queued', 'sending') AND due_at <= now() ORDER BY due_at LIMIT {batch}
        FOR UPDATE SKIP LOCKED) c
    WHERE m.id = c.id AND $1::text IS NOT NULL RETURNING m.id, m.payload"""
PLAIN_ACK = "UPDATE plain_messages SET status = 'sent' WHERE id = $1"
CLAIM = "SELECT message_id, token, shop, recipient, message FROM incomplete_orders.claim_messages($1, {batch})"
ACK = "SELECT incomplete_orders.ack_message($1, $2, '250 2.0.0 Ok: queued as 4cXq1R0vNbz1b')"


def processor_time(conn):
    """Seconds of a core that the backend has used so far."""
    fields = Path(f"/proc/{conn.info.backend_pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Queue(Mailing):
    """Ours and the plain table beside each other."""

    def __init__(self, name, shops=1):
        super().__init__(name, shops)
        self.name = name
        self.run(PLAIN_TABLE)
        self.run("CREATE UNLOGGED TABLE payloads (n integer PRIMARY KEY, payload jsonb)")
        self.make(1000, True)
        # what ours returns is what the plain table has ready
        self.run("""INSERT INTO payloads SELECT row_number() OVER () - 1, message
            FROM incomplete_orders.claim_messages('sample', 500)""")
        self.bytes = self.value("SELECT avg(octet_length(payload::text)) FROM payloads")

    def stock(self, n):
        self.run("TRUNCATE plain_messages")
        self.run("""INSERT INTO plain_messages (due_at, status, payload)
            SELECT now() - interval '30 days' * random(), 'sent', payload FROM generate_series(1, %s) k
            JOIN payloads p ON p.n = k %% (SELECT count(*) FROM payloads)""", SENT)
        self.run("""INSERT INTO plain_messages (due_at, payload)
            SELECT now() - interval '1 hour' + k * interval '30 minutes' / %s, payload FROM generate_series(1, %s) k
            JOIN payloads p ON p.n = k %% (SELECT count(*) FROM payloads) ORDER BY k""", n, n)
        self.make(n, True)


class Bench:
    def __init__(self, folder):
        self.dir = Path(folder)
        self.rows = []  # what, measured, bound, holds
        self.results = {"machine": machine()}
        self.databases = {}
        worker = self.dir / "worker.tsv"
        worker.write_text("bench\n" * 20000)
        self.worker = str(worker)

    def note(self, what, value, bound="", holds=True):
        self.rows.append((what, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}", bound, holds))
        self.results.setdefault("queue", {})[what] = value

    def database(self, shops):
        if shops not in self.databases:
            say(f"A database with {shops} shop{'s' if shops > 1 else ''}")
            self.databases[shops] = Queue(f"queue_{shops}", shops)
        return self.databases[shops]

    def measure(self, variants, clients, rounds, claims, sync):
        """name -> (messages per second, median of a claim in µs, messages) of each round; variants: name -> claim, ack."""
        command = [str(self.dir / "client"), str(clients), str(rounds + 1), f"{claims}x", f"SET synchronous_commit = {sync}"]
        for name, (claim, ack) in variants.items():
            command += [name, f"{claim}\nfor each:\n{ack}", self.worker]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench: {done.stderr.strip()}")
        slots = {name.split("@")[0]: [] for name in variants}
        for row in done.stdout.splitlines():
            name, _, _, seconds, p50, _, messages = row.split("\t")
            slots[name].append((int(messages) / float(seconds), float(p50), int(messages)))
        return slots

    def lease(self):
        """Claim and ack, against a lease on the plain table."""
        lines = []
        for shops in SHOPS:
            side = self.database(shops)
            for sync in ("on", "off"):
                for (batch, clients), claims in CLAIMS.items():
                    say(f"Claim and ack, batches of {batch}, {load(clients, sync)}, {shops} shop{'s' if shops > 1 else ''}")
                    side.stock(clients * claims * batch * (ROUNDS + 2))
                    variants = {f"plain@{side.name}": (PLAIN_CLAIM.format(batch=batch), PLAIN_ACK),
                                f"ours@{side.name}": (CLAIM.format(batch=batch), ACK)}
                    slots = self.measure(variants, clients, ROUNDS, claims, sync)
                    full = clients * claims * batch
                    assert all(s[2] == full for s in slots["plain"]), "the plain side ran dry"
                    pairs = list(zip(slots["ours"], slots["plain"]))
                    lines.append({
                        "shops": shops, "batch": batch, "clients": clients, "synchronous_commit": sync,
                        "plain": median(s[0] for s in slots["plain"]), "ours": median(s[0] for s in slots["ours"]),
                        "ratio": median(o[0] / p[0] for o, p in pairs), "claim_ratio": median(o[1] / p[1] for o, p in pairs),
                        "plain_claim_us": median(s[1] for s in slots["plain"]), "claim_us": median(s[1] for s in slots["ours"]),
                        "filled": sum(s[2] for s in slots["ours"]) / full / len(slots["ours"]),
                    })
        self.results["lease"] = {"payload_bytes": float(side.bytes), "rows": lines}
        for line in lines:
            if line["synchronous_commit"] == "on":
                self.note(f"claim and ack to plain, messages/s, batches of {line['batch']}, {load(line['clients'], 'on')}, "
                          f"{line['shops']} shop{'s' if line['shops'] > 1 else ''}", line["ratio"], "≥ 0.85", line["ratio"] >= 0.85)

    def snapshot(self):
        """The same in two databases, in one of which somebody holds an old snapshot."""
        sides = [Queue("snapshot_free"), Queue("snapshot_held")]
        self.results["snapshot"] = []
        for clients in (1, 8):
            n = HELD_CLAIMS * 10 * (HELD_ROUNDS + 2) * clients
            say(f"Old snapshot, {n:,} messages pass, {load(clients, 'off')}")
            variants = {}
            for side in sides:
                side.stock(n)
                variants[f"plain_{side.name}@{side.name}"] = (PLAIN_CLAIM.format(batch=10), PLAIN_ACK)
                variants[f"ours_{side.name}@{side.name}"] = (CLAIM.format(batch=10), ACK)
            with psycopg.connect(f"dbname={sides[1].name}") as holder:
                holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                holder.execute("SELECT count(*) FROM incomplete_orders.shops")
                slots = self.measure(variants, clients, HELD_ROUNDS, HELD_CLAIMS, "off")
                fresh = [self.first_claim(side) for side in sides]
            entry = {"clients": clients, "messages": n, "first_claim_us": fresh[1], "first_claim_free_us": fresh[0]}
            for name in ("plain", "ours"):
                pairs = list(zip(slots[f"{name}_snapshot_held"], slots[f"{name}_snapshot_free"]))
                entry[name] = {"claim_us": median(h[1] for h, _ in pairs), "claim_free_us": median(f[1] for _, f in pairs),
                               "ratio": median(h[1] / f[1] for h, f in pairs), "last": median(h[1] / f[1] for h, f in pairs[-5:]),
                               "rate": median(f[0] / h[0] for h, f in pairs)}
            self.results["snapshot"].append(entry)
            self.note(f"claim of 10 with an old snapshot to one without, µs, {load(clients, 'off')}, last rounds", entry["ours"]["last"], "≤ 3.00",
                      entry["ours"]["last"] <= 3)
            self.note(f"the same of the plain lease, {load(clients, 'off')}", entry["plain"]["last"])
            self.note(f"claim and ack, slower with an old snapshot, {load(clients, 'off')}, all rounds", entry["ours"]["rate"])
        for side in sides:
            side.conn.close()

    def first_claim(self, side):
        """µs of the first claim on a new connection, which knows nothing of what others have passed."""
        with psycopg.connect(f"dbname={side.name}", autocommit=True) as conn:
            return timed(conn.execute, "SELECT count(*) FROM incomplete_orders.claim_messages('bench', 10)")[0] * 1e6

    def enqueue(self):
        """Messages come into being in tick."""
        for shops in SHOPS:
            side = self.database(shops)
            for row in side.run("SELECT shop FROM incomplete_orders.shops").fetchall():
                side.run("SELECT incomplete_orders.enable_campaign('cart', %s)", row[0])
            say(f"{DUE:,} messages queued by tick, {shops} shop{'s' if shops > 1 else ''}")
            rates, busy = [], []
            for turn in range(TICKS + 1):
                side.make(DUE, False)
                before = processor_time(side.conn)
                seconds, report = timed(side.tick)
                used = processor_time(side.conn) - before
                queued = side.value("SELECT count(*) FROM incomplete_orders.messages WHERE status = 'queued'")
                assert queued == DUE, (queued, report)
                if turn > 0:
                    rates.append(queued / seconds)
                    busy.append(queued / used)
            self.note(f"messages queued a second by one CALL tick(), {DUE:,} due, {shops} shop{'s' if shops > 1 else ''}",
                      round(median(rates)), "≥ 20,000", median(rates) >= 20000)
            self.note(f"the same in a second of the backend's processor time, {shops} shop{'s' if shops > 1 else ''}", round(median(busy)))

    def instructions(self):
        """Of a backend, for a message: its share of a claim of ten or a hundred, and its ack."""
        if not callgrind.present(self.dir):
            say("Instructions: not counted, there is no valgrind here")
            return
        warm_up, counted = (5, 5) if QUICK else (30, 20)
        side = self.database(1)
        side.stock(2 * (warm_up + counted + 25) * 110)
        say("Instructions, on a server under callgrind")
        for other in self.databases.values():
            other.conn.close()
        self.databases.clear()
        counts = self.results["instructions"] = {}
        with callgrind.server(self.dir):
            for batch in (10, 100):
                for name, claim, ack in (("plain", PLAIN_CLAIM, PLAIN_ACK), ("ours", CLAIM, ACK)):
                    with psycopg.connect(f"dbname={side.name}", autocommit=True) as conn:
                        claimed = []
                        libpq = conn.pgconn
                        callgrind.check(libpq.prepare(b"claim", claim.format(batch=batch).encode()), name)
                        callgrind.check(libpq.prepare(b"ack", ack.encode()), name)

                        def claims(n):
                            for _ in range(n):
                                rows = callgrind.check(libpq.exec_prepared(b"claim", [b"bench"]), name)
                                assert rows.ntuples == batch, f"{name}: {rows.ntuples} messages"
                                claimed.extend([rows.get_value(i, j) for j in range(1 if name == "plain" else 2)] for i in range(batch))

                        def acks(n):
                            for _ in range(n):
                                callgrind.check(libpq.exec_prepared(b"ack", claimed.pop()), name)

                        counts[f"{name} claim of {batch}"] = callgrind.count(
                            self.dir, conn, f"{name}_claim_{batch}", claims, warm_up, counted) / batch
                        if batch == 10:
                            counts[f"{name} ack"] = callgrind.count(
                                self.dir, conn, f"{name}_ack", acks, warm_up * batch // 2, counted * batch // 2)

    def write(self, out):
        table(out, ["the queue", "measured", "to reach", "reached"],
              [[what, value, bound, ("yes" if holds else "**no**") if bound else ""] for what, value, bound, holds in self.rows])
        lines = self.results.get("lease")
        if lines:
            out.write(f"A message is {lines['payload_bytes']:,.0f} bytes of JSON.\n\n")
            table(out, ["claim and ack", "shops", "batch", "plain, messages/s", "ours", "ratio", "plain claim, µs", "ours", "ratio"],
                  [[load(r["clients"], r["synchronous_commit"]), str(r["shops"]), str(r["batch"]), f"{r['plain']:,.0f}", f"{r['ours']:,.0f}",
                    f"{r['ratio']:.2f}", f"{r['plain_claim_us']:,.0f}", f"{r['claim_us']:,.0f}", f"{r['claim_ratio']:.2f}"]
                   for r in lines["rows"]])
        counts = self.results.get("instructions")
        if counts:
            table(out, ["instructions for a message", "plain", "ours", "ratio"],
                  [[what, f"{counts['plain ' + what]:,.0f}", f"{counts['ours ' + what]:,.0f}", f"{counts['ours ' + what] / counts['plain ' + what]:.2f}"]
                   for what in ("claim of 10", "claim of 100", "ack")])


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

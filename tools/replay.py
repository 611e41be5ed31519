#!/usr/bin/python3
"""Replays real shop sessions through incomplete_orders, and checks what came of them.

Reads test/data/cart_events.csv.gz in the order of time. Every addition sends the
session's whole cart so far through capture_cart; a purchase converts the order; and
every hour of the file's time tick() is called, as a scheduler would. All times are
shifted so that the last event happens now. Then the stored orders are compared with
what follows from the file alone: sums in exact decimal arithmetic, and who came back
when.

With --mail-days the campaigns are enabled so many days before the end, and every tick
after that waits until its mails are sent: `incomplete-orders send` must be running.
The file names no addresses; mails_of_file.py says who is given one, and who must get
which mail.

The connection comes from the environment (PGHOST, PGPORT, PGUSER, PGDATABASE); it
must be an administrator's, because only those may pass another time than now.
"""

import argparse
import csv
import gzip
import json
import logging
import shutil
import sys
import time
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row

from mails_of_file import address_of, mails_of
from statistics_of_file import statistics_of

CAPTURE = """SELECT incomplete_orders.capture_cart(
    session_id => %b::text, items => %b::incomplete_orders.line_items,
    email => %b::text, customer_id => %b::text, name => %b::text, at => %b::timestamptz)"""
CONVERT = """SELECT order_id, incomplete_order_id, total, currency
    FROM incomplete_orders.convert_order(id => %b::uuid, at => %b::timestamptz)"""

TICK = "CALL incomplete_orders.tick(at => %b::timestamptz)"
# The data says nothing of consent.  Weeks pass in minutes: by the sender's clock, the real one, all mails are of today.
RULES = {"consent_rule": "none", "min_gap": "0", "cap_per_person": 1000, "quiet_from": "00:00", "quiet_to": "00:00"}
ENABLE = "SELECT incomplete_orders.enable_campaign(campaign => %s, at => %s)"
UNSENT = "SELECT count(*) FROM incomplete_orders.messages WHERE status IN ('queued', 'sending')"
DISAGREES = 3  # exit code: replayed to the end, but not all agrees with the file
PATIENCE = 60  # seconds in which no mail is sent, then the replay gives up

CURRENCY = "USD"  # of the shop that setup() makes; the file names none
HOUR = timedelta(hours=1)
CUT_OFF = timedelta(minutes=60)  # of that shop
LOST = timedelta(days=14)
EXPIRY = timedelta(days=21)  # shorter than the default, so that some carts expire within the file


def read_events(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def sums_of_file(path):
    """What must come out: session -> (bought, sum), from the file and nothing else."""
    sums = defaultdict(Decimal)
    bought = set()
    last = {}
    for event in read_events(path):
        session = event["session"]
        if session in bought:
            raise SystemExit(f"replay: session {session} goes on after its purchase")
        if event["event"] == "purchase":
            bought.add(session)
        else:
            sums[session] += Decimal(event["unit_price"]) * int(event["quantity"])
        last = event
    cents = {s: (s in bought, v.quantize(Decimal("0.01"), ROUND_HALF_UP)) for s, v in sums.items()}
    return cents, datetime.fromisoformat(last["at"])


def lives_of_file(path):
    """What becomes of each session by the end of the file: session ->
    (status, episode, last abandoned, times abandoned, came back, lost, converted after an abandonment)."""
    times, bought = defaultdict(list), set()
    for event in read_events(path):
        times[event["session"]].append(datetime.fromisoformat(event["at"]))
        if event["event"] == "purchase":
            bought.add(event["session"])
    end = max(t[-1] for t in times.values())
    lives = {}
    for session, seen in times.items():
        # whoever pauses for the cut-off has left, and the next step is another episode
        pauses = [(a, b) for a, b in zip(seen, seen[1:]) if b - a >= CUT_OFF]
        after = bool(pauses) and session in bought and pauses[-1][1] == seen[-1]
        back = len(pauses) - after
        left = [a + CUT_OFF for a, _ in pauses]
        status, lost = "converted", False
        if session not in bought:
            status = "pending"
            if seen[-1] + CUT_OFF <= end:
                status = "abandoned"
                left.append(seen[-1] + CUT_OFF)
                lost = seen[-1] + LOST <= end
            if max([seen[0]] + [b for _, b in pauses]) + EXPIRY <= end:
                status = "expired"
        lives[session] = (status, 1 + back, left[-1] if left else None, len(left), back, lost, after)
    return lives


class Progress:
    """A bar on a terminal, a line for every tenth elsewhere."""

    def __init__(self, total, out=sys.stdout):
        self.total, self.out = total, out
        self.began = self.drawn = time.monotonic()
        self.bar = out.isatty()
        self.tenth = 0

    def show(self, done):
        now = time.monotonic()
        rate = done / max(now - self.began, 0.001)
        share = done / self.total
        if self.bar and (now - self.drawn > 0.1 or done == self.total):
            self.drawn = now
            width = max(10, min(40, shutil.get_terminal_size().columns - 50))
            full = int(width * share)
            left = (self.total - done) / max(rate, 1)
            line = f"\r  {'█' * full}{'░' * (width - full)} {share:4.0%}  {done:,} of {self.total:,}  {rate:,.0f}/s"
            line += f"  {left:.0f} s left " if done < self.total else "            \n"
            self.out.write(line)
            self.out.flush()
        elif not self.bar and int(share * 10) > self.tenth:
            self.tenth = int(share * 10)
            print(f"  {share:4.0%}  {done:,} of {self.total:,} events, {rate:,.0f} a second", file=self.out, flush=True)


class Replay:
    """The shop: carts as its customers see them, and the calls it makes."""

    def __init__(self, conn, clock, batch, mails_from):
        self.conn, self.clock, self.batch = conn, clock, batch
        self.mails_from = mails_from  # when the campaigns are enabled, or None
        self.mailing = False
        self.carts = defaultdict(dict)  # session -> sku -> line
        self.ids = {}  # session -> id of its incomplete order
        self.waiting = []  # (kind, session, cursor) of calls whose results are not read yet
        self.orders = {}  # session -> row of convert_order
        self.captures = self.converts = 0
        self.ticks = []  # when, in the time of the database
        self.ticking = self.sending = 0.0  # seconds

    def add(self, event, at):
        cart = self.carts[event["session"]]
        line = cart.get(event["sku"])
        if line:
            line["quantity"] += int(event["quantity"])
        else:
            cart[event["sku"]] = {
                "sku": event["sku"],
                "name": event["name"],
                "quantity": int(event["quantity"]),
                "unit_price": event["unit_price"],
            }
        items = json.dumps(list(cart.values()), ensure_ascii=False, separators=(",", ":"))
        email, name = address_of(event["visitor"])
        cursor = self.conn.execute(CAPTURE, (event["session"], items, email, event["visitor"], name, at), prepare=True)
        self.waiting.append(("add", event["session"], cursor))
        self.captures += 1

    def purchase(self, event, at, pipeline):
        session = event["session"]
        if session not in self.ids:  # its capture is still on the way
            self.read_results(pipeline)
        cursor = self.conn.execute(CONVERT, (self.ids[session], at), prepare=True)
        self.waiting.append(("purchase", session, cursor))
        self.converts += 1

    def read_results(self, pipeline):
        pipeline.sync()
        for kind, session, cursor in self.waiting:
            row = cursor.fetchone()
            if kind == "add":
                self.ids[session] = row[0]
            else:
                self.orders[session] = row
        self.waiting.clear()

    def wait_until_sent(self):
        """The sender's clock is the real one, in which a day of the file takes a second: it must
        keep up, or customers would be back before their mail left."""
        began = progress = time.monotonic()
        before = None
        while unsent := self.clock.execute(UNSENT, prepare=True).fetchone()[0]:
            if unsent != before:
                before, progress = unsent, time.monotonic()
            elif time.monotonic() - progress > PATIENCE:
                raise SystemExit(f"replay: {unsent} mails wait, and none was sent for {PATIENCE} s: is incomplete-orders send running?")
            time.sleep(0.005)
        self.sending += time.monotonic() - began

    def tick(self, at):
        if self.mails_from and not self.mailing and at >= self.mails_from:
            for kind in "cart", "payment", "partial":
                self.clock.execute(ENABLE, (kind, self.mails_from))
            self.mailing = True
        began = time.monotonic()
        report = self.clock.execute(TICK, (at,), prepare=True).fetchone()[0]
        if not report["finished"]:
            raise SystemExit(f"replay: tick at {at} did not finish: {report}")
        self.ticks.append(at)
        self.ticking += time.monotonic() - began
        if self.mailing:
            self.wait_until_sent()

    def run(self, events, shift, progress):
        with self.conn.pipeline() as pipeline:
            next_tick = datetime.fromisoformat(events[0]["at"]) + shift + HOUR
            for n, event in enumerate(events, 1):
                at = datetime.fromisoformat(event["at"]) + shift
                if next_tick <= at:
                    self.read_results(pipeline)
                    self.conn.commit()
                    while next_tick <= at:
                        self.tick(next_tick)
                        next_tick += HOUR
                if event["event"] == "purchase":
                    self.purchase(event, at, pipeline)
                else:
                    self.add(event, at)
                if n % self.batch == 0 or n == progress.total:
                    self.read_results(pipeline)
                    self.conn.commit()
                    progress.show(n)
        self.tick(at)


class Check:
    """Compares, and remembers whether everything agreed."""

    def __init__(self):
        self.failed = False

    def equal(self, text, found, expected):
        if found == expected:
            print(f"  ok      {text}")
        else:
            self.failed = True
            print(f"  NOT OK  {text}: found {found}, the file says {expected}")

    def same(self, text, found, expected):
        """Two dictionaries; names the first keys that differ."""
        wrong = [k for k in sorted(found.keys() | expected.keys()) if found.get(k) != expected.get(k)]
        if not wrong:
            print(f"  ok      {text}")
            return
        self.failed = True
        print(f"  NOT OK  {text}: {len(wrong):,} differ, such as")
        for key in wrong[:3]:
            print(f"          {key}: found {found.get(key)}, the file says {expected.get(key)}")


def value_of(rows):
    sums = defaultdict(Decimal)
    for total, currency in rows:
        sums[currency] += total
    return dict(sums)


def money(sums, currency):
    return f"{sums.get(currency, Decimal(0)):,.2f}"


def story_of_events(conn):
    """session -> (times abandoned, came back, lost, converted after an abandonment), from the events."""
    return {row[0]: tuple(row[1:]) for row in conn.execute(
        """SELECT i.session_id, count(*) FILTER (WHERE e.event = 'abandoned'), count(*) FILTER (WHERE e.event = 'reanimated'),
            bool_or(e.event = 'lost'), bool_or(e.event = 'converted' AND e.status_before = 'abandoned')
        FROM incomplete_orders.order_events e JOIN incomplete_orders.incomplete_orders i ON (i.shop_id, i.id) = (e.shop_id, e.order_id)
        GROUP BY 1""")}


def verify(conn, replay, expected, lives, shift):
    """Every row as it is stored now, against the file. Returns whether all agreed, and the rows."""
    incomplete = conn.execute(
        "SELECT id, session_id, status::text, total, currency::text, episode, abandoned_at FROM incomplete_orders.incomplete_orders"
    ).fetchall()
    orders = conn.execute(
        "SELECT order_id, incomplete_order_id, total, currency::text FROM incomplete_orders.orders"
    ).fetchall()
    session_of = {row[0]: row[1] for row in incomplete}
    bought = {s: v for s, (b, v) in expected.items() if b}
    left = {s: v for s, (b, v) in expected.items() if not b}
    whole = f"{CURRENCY} {sum(bought.values(), Decimal(0)):,.2f}"

    check = Check()
    check.equal(f"{len(expected):,} sessions, one incomplete order each",
                (len(incomplete), len(set(session_of.values()))), (len(expected), len(expected)))
    check.equal(f"{len(bought):,} purchases, each converted exactly once",
                (len(orders), len({o[1] for o in orders}), sum(r[2] == "converted" for r in incomplete)),
                (len(bought),) * 3)
    check.same("convert_order answered with the orders that are stored",
               {s: tuple(r) for s, r in replay.orders.items()},
               {session_of[o[1]]: tuple(o) for o in orders})
    check.same(f"each order's total is the sum of its lines: together {whole}",
               {session_of[o[1]]: (o[2], o[3]) for o in orders}, {s: (v, CURRENCY) for s, v in bought.items()})
    check.same("so is the total of every cart that was left",
               {r[1]: (r[3], r[4]) for r in incomplete if r[2] != "converted"},
               {s: (v, CURRENCY) for s, v in left.items()})
    stories = story_of_events(conn)
    check.same("each cart was abandoned, reanimated and bought when its session's pauses say so",
               {r[1]: (*(r[5:]), *stories[r[1]]) for r in incomplete},
               {s: (v[1], v[2] and v[2] + shift, *v[3:]) for s, v in lives.items()})
    check.same("... and has the state that it should have by now",
               {r[1]: r[2] for r in incomplete}, {s: v[0] for s, v in lives.items()})
    return check, incomplete, orders, stories


def verify_mails(conn, check, replay, events, shift):
    """Each mail and each row of the ledger, against the file. Returns the reasons of the ledger with their numbers."""
    session = "JOIN incomplete_orders.incomplete_orders i ON (i.shop_id, i.id) = (m.shop_id, m.order_id)"
    found = {tuple(row[:3]): (row[3], row[4] - shift, row[5]) for row in conn.execute(
        f"""SELECT i.session_id, m.episode, m.step, m.recipient, m.queued_at, m.status::text
        FROM incomplete_orders.messages m {session} WHERE m.ordinal = 0""")}
    ledger = [((row[0], row[1], row[2]), row[3]) for row in conn.execute(
        f"SELECT i.session_id, m.episode, m.step, m.reason FROM incomplete_orders.message_skips m {session}")]
    mails, refused, _ = mails_of(events, [t - shift for t in replay.ticks], replay.mails_from - shift, CUT_OFF)
    check.same(f"{len(mails):,} mails were queued, each when it should be, and sent to the right person",
               found, {key: (*value, "sent") for key, value in mails.items()})
    check.same(f"{len(refused):,} were not, each for the right reason, which is in the ledger once",
               dict(ledger), refused)
    check.equal("... and no message has two entries there", len(ledger), len(dict(ledger)))
    check.equal("nobody gets mails for two carts at once", len({value[:2] for value in found.values()}), len(found))
    reasons = defaultdict(int)
    for _, reason in ledger:
        reasons[reason] += 1
    return found, reasons


def figures_of(row, names):
    """Those of a report that are not nothing; what the file does not speak of must be nothing."""
    return {name: row[name] for name in names if row[name]}


def verify_statistics(conn, check, replay, events, lives, shift):
    """Every figure of the reports of all days, against the file."""
    zone = ZoneInfo(conn.execute("SELECT time_zone FROM incomplete_orders.shops").fetchone()[0])
    first, end = (datetime.fromisoformat(events[n]["at"]) for n in (0, -1))
    mails, _, _ = mails_of(events, [t - shift for t in replay.ticks], replay.mails_from - shift, CUT_OFF)
    expected, days, steps = statistics_of(events, lives, mails, CUT_OFF, end, zone, shift)
    span = ((first + shift).astimezone(zone).date(), datetime.now(zone).date() + timedelta(days=1))

    with conn.cursor(row_factory=dict_row) as cursor:
        def report(name):
            return [r for r in cursor.execute(f"SELECT * FROM incomplete_orders.{name}('default', %s, %s)", span)]

        (row,) = report("statistics")
        compared = set(row) - {"currency", "recovery_rate", "lift_reason"}
        check.same(f"statistics() says what the file says, in {len(compared)} figures",
                   figures_of(row, compared), {k: v for k, v in expected.items() if v})
        compared = set(report("statistics_by_day")[0]) - {
            "day", "currency", "conversion_rate", "recovery_rate", "unaided_value", "direct_value", "lost", "messages_sent"}
        check.same(f"... and statistics_by_day() of every day of them, in {len(compared)} figures",
                   {r["day"]: f for r in report("statistics_by_day") if (f := figures_of(r, compared))},
                   {day: f for day, c in days.items() if (f := {k: v for k, v in c.items() if v})})
        check.same("... and statistics_by_campaign() of the mails of each step",
                   {r["step"]: (r["queued"], r["sent"], r["clicked"], r["converted"]) for r in report("statistics_by_campaign")},
                   {step: (n, n, 0, 0) for step, n in steps.items()})
        check.same("... and funnel() of how many began and bought",
                   {r["step"]: r["orders"] for r in report("funnel") if r["step"] in ("cart", "converted")},
                   {"cart": expected["total"], "converted": expected["converted"]})


REASONS = {
    "no_recipient": "nobody told an address for the cart",
    "ordered": "the person ordered something in the meantime",
    "already_bought": "the person had just bought what is in it",
    "other_cart": "the person left a better cart, which is mailed",
    "customer_returned": "the customer was back at the cart",
    "converted": "the cart had been bought",
}


def summarize_mails(replay, mails, reasons):
    days = (replay.ticks[-1] - replay.mails_from).days
    print(f"\nRecovery mails, in the last {days} days\n")
    print(f"  sent                 {len(mails):>8,}  to {len({m[0] for m in mails.values()}):,} people")
    for step, name in (1, "1 hour after"), (2, "24 hours after"), (3, "72 hours after"):
        print(f"    {name:<18} {sum(key[2] == step for key in mails):>8,}")
    print(f"  not sent             {sum(reasons.values()):>8,}")
    for reason, number in sorted(reasons.items(), key=lambda r: -r[1])[:5]:
        print(f"    {reason:<18} {number:>8,}  {REASONS.get(reason, '')}")
    print(f"  {replay.sending:.1f} s were spent waiting for the mails of each tick to be sent")


def summarize(incomplete, orders, stories, replay, seconds):
    statuses = defaultdict(int)
    for row in incomplete:
        statuses[row[2]] += 1
    converted = statuses.pop("converted", 0)
    n = len(incomplete)
    print("\nWhat happened\n")
    after = sum(s[3] for s in stories.values())
    print(f"  sessions             {n:>8,}")
    print(f"  converted            {converted:>8,}  {converted / n:6.1%}")
    print(f"    direct             {converted - after:>8,}")
    print(f"    after abandonment  {after:>8,}")
    print(f"  not converted        {n - converted:>8,}  {(n - converted) / n:6.1%}")
    for status, count in sorted(statuses.items(), key=lambda s: -s[1]):
        lost = sum(stories[r[1]][2] for r in incomplete if r[2] == status)
        print(f"    {status:<18} {count:>8,}" + (f"  of them lost, 14 days idle: {lost:,}" if status == "abandoned" else ""))
    print(f"\n  abandonments         {sum(s[0] for s in stories.values()):>8,}")
    print(f"  reanimated           {sum(s[1] for s in stories.values()):>8,}")
    won = value_of((o[2], o[3]) for o in orders)
    left = value_of((r[3], r[4]) for r in incomplete if r[2] != "converted")
    print(f"\n  {'value':<12} {'converted':>16} {'not converted':>16}")
    for currency in sorted(won.keys() | left.keys()):
        print(f"  {currency:<12} {money(won, currency):>16} {money(left, currency):>16}")
    calls = replay.captures + replay.converts
    seconds -= replay.ticking + replay.sending
    print(f"\n  {calls:,} calls in {seconds:.1f} s: {calls / seconds:,.0f} a second from one client")
    print(f"  ({replay.captures:,} captures, {replay.converts:,} conversions; not waiting for the disk)")
    ticks = len(replay.ticks)
    print(f"  {ticks:,} ticks, one an hour, in {replay.ticking:.1f} s: {replay.ticking / ticks * 1000:.0f} ms each")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("file", help="cart_events.csv.gz")
    parser.add_argument("--batch", type=int, default=500, help="calls in one transaction (default 500)")
    parser.add_argument("--mail-days", type=int, help="enable the campaigns so many days before the end (default: not at all)")
    options = parser.parse_args()

    sys.stdout.reconfigure(errors="replace")  # a terminal without block characters
    expected, last = sums_of_file(options.file)
    events = list(read_events(options.file))
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # the error itself is reported
    lives = lives_of_file(options.file)
    with (psycopg.connect(application_name="incomplete_orders replay") as conn,
          psycopg.connect(application_name="incomplete_orders replay, the clock", autocommit=True) as clock):
        # A crash may lose the last moments of a replay; a shop's own sessions leave this on.
        conn.execute("SET synchronous_commit = off")
        conn.execute("SELECT incomplete_orders.configure_shop('default', %s)", (
            json.dumps({"expiry": f"{EXPIRY.days} days", **RULES}),))
        conn.commit()
        clock.execute("SET synchronous_commit = off")
        shift = datetime.now(timezone.utc) - last
        mails_from = last + shift - timedelta(days=options.mail_days) if options.mail_days else None
        replay = Replay(conn, clock, options.batch, mails_from)
        began = time.monotonic()
        replay.run(events, shift, Progress(len(events)))
        seconds = time.monotonic() - began
        conn.execute("SET synchronous_commit = on")
        conn.commit()
        print("\nChecked against the file, summed there in exact decimals\n")
        check, incomplete, orders, stories = verify(conn, replay, expected, lives, shift)
        if mails_from:
            mails, reasons = verify_mails(conn, check, replay, events, shift)
            verify_statistics(conn, check, replay, events, lives, shift)
        summarize(incomplete, orders, stories, replay, seconds)
        if mails_from:
            summarize_mails(replay, mails, reasons)
    return DISAGREES if check.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except psycopg.Error as error:
        sys.exit(f"replay: {error}")

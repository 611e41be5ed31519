#!/usr/bin/python3
"""Every figure of every report, on the sessions of the file, against reports.py.

The days of the file are moved to October 2025, so that clocks are set back in Europe and
America; the reports are compared in several time zones, over several periods, before
and after the rollups are computed anew.  See README.md.
"""

import csv
import gzip
import heapq
import json
import os
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import dict_row

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../../tools")]
from mails_of_file import address_of, mails_of
from reports import KEYS, NAMES, Reports
from story import CUT_OFF, EXPIRY, MINUTE, deliver, fates_of, leaves, orders_of, takes_part, with_returns

FILE = os.path.join(HERE, "../data/cart_events.csv.gz")
FIRST_DAY = datetime.fromisoformat("2025-10-05T22:30:00+00:00")  # of the file, as replayed
EVERY = timedelta(hours=2)
WHOLE = ("2025-10-01", "2025-11-30")
ZONES = (
    ("America/New_York", WHOLE, ("2025-10-27", "2025-11-03"), ("2025-11-02", "2025-11-03")),
    ("Asia/Kolkata", ("2025-10-06", "2025-10-07")),
    ("Australia/Lord_Howe", ("2025-10-05", "2025-10-06")),
    ("UTC", WHOLE, ("2025-10-20", "2025-10-23")),
)
LIVE_ZONE = "Europe/Berlin"
SETTINGS = {"time_zone": LIVE_ZONE, "expiry": f"{EXPIRY.days} days", "consent_rule": "none", "min_gap": "0", "cap_per_person": 1000,
            "quiet_from": "00:00", "quiet_to": "00:00", "holdout": 0.3}
CAPTURE = """SELECT incomplete_orders.capture_cart(session_id => %b::text, items => %b::incomplete_orders.line_items, email => %b::text,
    customer_id => %b::text, currency => %b::text, step => %b::text::incomplete_orders.checkout_step, context => %b::text::jsonb, at => %b::timestamptz)"""
CALLS = {
    "timeout": "SELECT incomplete_orders.track_abandonment(%b::text, 'session_timeout', %b::text, at => %b::timestamptz)",
    "convert": "SELECT c.order_id FROM incomplete_orders.convert_order(%b::uuid, paid => %b::text::boolean, at => %b::timestamptz) c",
    "pay": "SELECT incomplete_orders.record_payment(%b::uuid, at => %b::timestamptz)",
    "refund": "SELECT incomplete_orders.record_refund(%b::uuid, %b::text::numeric, at => %b::timestamptz)",
    "dismiss": "SELECT incomplete_orders.dismiss_order(%b::uuid, at => %b::timestamptz)",
    "pending": "SELECT incomplete_orders.mark_payment_pending(%b::uuid, at => %b::timestamptz)",
    "fate": "SELECT incomplete_orders.record_message_event(%b::uuid, %b::text, %b::text::jsonb, at => %b::timestamptz)",
}
REDEEM = "SELECT r.total FROM incomplete_orders.redeem_coupon(%b::text, %b::uuid, at => %b::timestamptz) r"
# The sender's clock is the real one. What it wrote is put to the time of the tick, as if the mail had left then.
SENT = ("UPDATE incomplete_orders.order_events SET at = %s WHERE event = 'message_sent' AND at > %s",
        "UPDATE incomplete_orders.order_event_tail SET at = %s WHERE event = 'message_sent' AND at > %s",
        "UPDATE incomplete_orders.messages SET sent_at = %s WHERE sent_at > %s")

tests = failures = 0


def ok(passed, text, *notes):
    global tests, failures
    tests += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {tests} - {text}", flush=True)
    for note in notes if not passed else ():
        print(f"# {note}", flush=True)


class Replay:
    def __init__(self, conn, events, orders, shift, ticks):
        self.conn, self.orders, self.ticks = conn, orders, ticks
        self.began = conn.execute("SELECT now()").fetchone()[0]
        self.coupons, self.codes = set(), {}  # messages that brought one; session -> the last code
        self.ids, self.bought, self.carts = {}, {}, {}  # by session
        self.additions = Counter()
        self.actions, self.number = [], 0
        for event in events:
            at = datetime.fromisoformat(event["at"]) + shift
            self.plan(at, "buy" if event["event"] == "purchase" else "add", event["session"], event)
        for order in orders.values():
            self.plan_order(order)

    def plan(self, at, kind, *facts):
        self.number += 1
        heapq.heappush(self.actions, (at, self.number, kind, facts))

    def plan_order(self, order):
        for episode in order.episodes:
            if episode.reason:
                self.plan(episode.abandoned - 15 * MINUTE, "timeout", order.key, episode.reason)
        if order.paid_at and order.paid_at > order.bought_at:
            self.plan(order.paid_at, "pay", order.key)
        if order.refund:
            self.plan(order.refund[0], "refund", order.key, str(order.refund[1]))
        if order.dismissed_at:
            self.plan(order.dismissed_at, "dismiss", order.key)
        if order.payment_at:
            self.plan(order.payment_at, "pending", order.key)

    def run(self):
        for tick in self.ticks[:-1]:
            self.act_before(tick)
            self.tick(tick)
        self.act_before(self.ticks[-1], and_then=True)
        self.tick(self.ticks[-1])
        self.act_before(None)  # what is not folded when the reports are read

    def act_before(self, tick, and_then=False):
        waiting = []
        with self.conn.pipeline() as pipeline, self.conn.transaction():
            while self.actions and (tick is None or self.actions[0][0] < tick or and_then and self.actions[0][0] == tick):
                at, _, kind, facts = heapq.heappop(self.actions)
                if kind not in ("add", "timeout", "fate") and (facts[0] not in self.ids or kind in ("pay", "refund") and facts[0] not in self.bought):
                    self.collect(pipeline, waiting)
                waiting.append((kind, facts[0], self.call(kind, at, *facts)))
            self.collect(pipeline, waiting)

    def collect(self, pipeline, waiting):
        pipeline.sync()
        for kind, key, cursor in waiting:
            if kind == "add":
                self.ids[key] = cursor.fetchone()[0]
            elif kind == "buy":
                self.bought[key] = cursor.fetchone()[0]
        waiting.clear()

    def call(self, kind, at, key, *facts):
        if kind == "add":
            return self.add(at, key, facts[0])
        if kind == "buy":
            if key in self.codes and self.orders[key].redeems():
                self.conn.execute(REDEEM, (self.codes[key], self.ids[key], at), prepare=True)
            return self.conn.execute(CALLS["convert"], (self.ids[key], "true" if self.orders[key].paid_at == at else "false", at), prepare=True)
        subject = {"timeout": key, "fate": key, "pay": self.bought.get(key), "refund": self.bought.get(key)}.get(kind, self.ids.get(key))
        return self.conn.execute(CALLS[kind], (subject, *facts, at), prepare=True)

    def add(self, at, key, event):
        order, cart = self.orders[key], self.carts.setdefault(key, [])
        line = next((line for line in cart if line["sku"] == event["sku"]), None)
        if line:
            line["quantity"] += int(event["quantity"])
        else:
            cart.append({"sku": event["sku"], "name": event["name"], "quantity": int(event["quantity"]), "unit_price": event["unit_price"]})
        step = order.step_of(self.additions[key]) if order.k % 6 else None
        self.additions[key] += 1
        return self.conn.execute(CAPTURE, (key, json.dumps(cart), address_of(order.visitor)[0], order.visitor, order.currency, step,
                                           json.dumps(order.context()), at), prepare=True)

    def tick(self, at):
        report = self.conn.execute("CALL incomplete_orders.tick(at => %b::timestamptz)", (at,), prepare=True).fetchone()[0]
        if not report["finished"]:
            raise SystemExit(f"tick at {at} did not finish: {report}")
        while claimed := self.conn.execute("SELECT c.message_id, c.token, c.message FROM incomplete_orders.claim_messages('figures', 1000) c").fetchall():
            with self.conn.pipeline():
                for message_id, token, _ in claimed:
                    self.conn.execute("SELECT incomplete_orders.ack_message(%s, %s)", (message_id, token), prepare=True)
            for statement in SENT:
                self.conn.execute(statement, (at, self.began), prepare=True)
            codes = {message_id: message["order"]["coupon"]["code"] for message_id, _, message in claimed if message["order"].get("coupon")}
            for message_id, session, episode, step in self.conn.execute(
                    """SELECT m.id, i.session_id, m.episode, m.step FROM incomplete_orders.messages m JOIN incomplete_orders.incomplete_orders i
                    ON i.shop_id = m.shop_id AND i.id = m.order_id WHERE m.id = ANY (%s)""", ([c[0] for c in claimed],)).fetchall():
                if message_id in codes:
                    self.coupons.add((session, episode, step))
                    self.codes[session] = codes[message_id]
                for when, event, machine in fates_of(self.orders[session].visitor, step, at):
                    meta = {"machine": machine} if machine else {"permanent": False} if event == "bounced" else {}
                    self.plan(when, "fate", message_id, event, json.dumps(meta))


def compare(conn, orders, held_out, zone, since, until, when, counted=None):
    """Every row and every column of every report."""
    expected = Reports(orders, held_out, ZoneInfo(zone), since, until, counted)
    wrong, figures = [], 0
    for name in NAMES:
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(f"SELECT * FROM incomplete_orders.{name}('default', %s, %s)", (since, until)).fetchall()

        def key(row):
            return tuple(str(v) for n, v in sorted(row.items()) if n in KEYS)
        found, right = {key(r): r for r in rows}, {key(r): r for r in getattr(expected, name)()}
        if len(found) != len(rows):
            wrong.append(f"{name}: two rows for one key")
        figures += sum(len(r) for r in right.values())
        for k in sorted(found.keys() | right.keys()):
            f, r = found.get(k), right.get(k)
            if f != r:
                wrong.append(f"{name} {k}: " + ("no row should be there" if r is None else "the row is missing" if f is None else ", ".join(
                    f"{c} is {f.get(c, 'missing')}, not {r.get(c, 'there')}" for c in sorted(f.keys() | r.keys()) if f.get(c) != r.get(c) or (c in f) != (c in r))))
    ok(not wrong, f"{figures:,} figures, {since} to before {until}, {zone}, {when}", f"{len(wrong)} rows differ, such as", *wrong[:40])


def main():
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
        events = with_returns([e for e in csv.DictReader(file) if takes_part(e["visitor"])])
    first, last = (datetime.fromisoformat(events[n]["at"]) for n in (0, -1))
    shift = FIRST_DAY - first
    end = last + shift
    ticks = [FIRST_DAY + n * EVERY for n in range(1, (end - FIRST_DAY) // EVERY + 1)] + [end]
    orders = orders_of(events, end, shift)
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")
        conn.execute("SELECT incomplete_orders.configure_shop('default', %s)", (json.dumps(SETTINGS),))
        conn.execute("SELECT incomplete_orders.enable_campaign('cart', at => %s)", (FIRST_DAY,))
        conn.execute("SELECT incomplete_orders.configure_coupon('cart', '{\"percentage\": 10, \"valid_for\": \"30 days\", \"cool_down\": \"0\"}')")
        replay = Replay(conn, events, orders, shift, ticks)
        replay.run()

        # The server draws who is held out; everything else follows from the file.
        held_out = {row[0] for row in conn.execute(
            """SELECT i.customer_id FROM incomplete_orders.order_events e JOIN incomplete_orders.incomplete_orders i
            ON i.shop_id = e.shop_id AND i.id = e.order_id WHERE e.event = 'holdout'""")}
        mails, refused, withheld = mails_of(events, [t - shift for t in ticks], first, CUT_OFF, held_out, leaves)
        found = {tuple(row[:3]): row[3] - shift for row in conn.execute(
            """SELECT i.session_id, m.episode, m.step, m.queued_at FROM incomplete_orders.messages m
            JOIN incomplete_orders.incomplete_orders i ON i.shop_id = m.shop_id AND i.id = m.order_id WHERE m.status = 'sent'""")}
        right = {key: at for key, (_, at) in mails.items()}
        wrong = [f"{k}: {found.get(k)}, not {right.get(k)}" for k in sorted(found.keys() | right.keys()) if found.get(k) != right.get(k)]
        ok(not wrong, f"{len(right):,} mails were sent when they should be", f"{len(wrong)} differ", *wrong[:5])
        deliver(orders, mails, withheld, replay.coupons, shift)

        def compare_all(zone, periods, when):
            for since, until in periods:
                compare(conn, orders, held_out, zone, date.fromisoformat(since), date.fromisoformat(until), when,
                        None if zone == LIVE_ZONE else (ZoneInfo(LIVE_ZONE), end))

        ok(sum(o.redeemed is not None for o in orders.values()) > 20, f"{len(replay.coupons)} coupons were sent, and some redeemed")
        ok(conn.execute("SELECT count(*) FROM incomplete_orders.order_event_tail").fetchone()[0] > 0, "some of it is not folded yet")
        compare_all(LIVE_ZONE, (WHOLE, ("2025-10-13", "2025-10-27"), ("2025-10-26", "2025-10-27"), ("2024-01-01", "2024-01-03")), "as it was folded")
        changed = conn.execute("SELECT incomplete_orders.rebuild_analytics()").fetchone()[0]
        ok(changed == 0, "computed anew, the rollups are the same", f"{changed} figures were others")
        compare_all(LIVE_ZONE, (WHOLE,), "computed anew")
        for zone, *periods in ZONES:
            conn.execute("SELECT incomplete_orders.configure_shop('default', %s)", (json.dumps({"time_zone": zone}),))
            compare_all(zone, periods, "moved there")


main()
print(f"1..{tests}")
sys.exit(failures > 0)

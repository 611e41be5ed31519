#!/usr/bin/python3
"""Random shops, people, carts and clocks for a month of a server with a clock of ours.

t/071_rules.pl starts that server; its clock stands still at what is in the file
CLOCK.  Customers act, tick runs, senders claim and answer, all at random instants,
over nights and changes of the clocks; then ten days without tick and senders, and
one tick.  After each step what the database says was queued, skipped, claimed and
sent is held against a plain model of the rules (rules_model.py), which knows the
actions from here.

FUZZ_SEED and FUZZ_DAYS may be set.
"""
import json
import math
import os
import random
import sys
import time
import traceback
from datetime import datetime, timezone

import psycopg

from rules_model import DAY, HOUR, STEP_WAIT, STOCK_WAIT, Message, Order, Shop, keys_of

SEED = int(os.environ.get("FUZZ_SEED", "1"))
DAYS = int(os.environ.get("FUZZ_DAYS", "30"))
CLOCK = os.environ["CLOCK"]
# clocks are set forward and back in both: in spring in New York, Berlin and (back) the Chatham
# Islands, in autumn in Lord Howe (forward, by half an hour), Berlin and New York
BEGINS = ("2026-03-07 09:00", "2026-10-03 09:00")
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "Australia/Lord_Howe", "UTC"]
QUIET = [("21:00", "08:00")] * 4 + [("00:00", "00:00"), ("02:30", "03:30"), ("00:30", "02:30"), ("12:00", "14:30"), ("22:15", "06:45")]
STEPS = [[(1, HOUR), (2, 24 * HOUR), (3, 72 * HOUR)]] * 2 + [[(1, 1200), (2, 2 * HOUR), (3, 30 * HOUR), (5, 50 * HOUR)], [(1, 3 * HOUR), (2, 3 * HOUR), (3, 20 * HOUR)]]
SKUS = {"A": 5, "B": 12, "C": 30, "X": 100}
PAGE = "https://shop.example/"

rng = random.Random(SEED)


class Wrong(Exception):
    pass


def instant(at):
    return datetime.fromtimestamp(at, timezone.utc)


def seconds(value):
    if value is None:
        return None
    if value.microsecond:
        raise Wrong(f"an instant between two seconds: {value}")
    return int(value.timestamp())


def of_day(text):
    return int(text[:2]) * 3600 + int(text[3:]) * 60


class Person:
    """Two addresses, a customer, a phone, some browsers; the world learns of them by and by."""

    def __init__(self, shop, number):
        name = f"p{number}.{shop.name}"
        domain = rng.choice(["one.example", "two.example", "mail.bad.example"])
        self.emails = [f"{name}@{domain}", f"{name}.work@two.example"]
        self.customer, self.phone = f"c-{name}", f"+49 30 {number:03d}-{shop.number:02d}"
        self.sessions = [f"{name}.{n}" for n in range(3)]
        self.zone, self.country = rng.choice(ZONES + [None] * 2), rng.choice(["DE", "NP", "JP", "US", None])
        self.agrees = rng.random() < 0.9
        self.currency = shop.currency if rng.random() < 0.8 else rng.choice(["USD", "EUR", "JPY"])


class World:
    def __init__(self):
        self.now = seconds(datetime.fromisoformat(BEGINS[SEED % 2]).replace(tzinfo=timezone.utc))
        self.begin = self.now
        self.set_clock(self.now)
        self.db = psycopg.connect(autocommit=True)
        self.db.execute("SET timezone = 'UTC'")
        self.shops, self.messages, self.claims = [], {}, {}  # claims: message -> token
        # nothing may be another time but by the seed: who is held out, too
        self.db.execute("UPDATE incomplete_orders.secret_keys SET secret = sha256(%s) WHERE purpose = 'person'", (str(SEED).encode(),))
        self.seen_skips = 0
        self.db.execute("CREATE TABLE public.stock (shop text, sku text, available integer, unit_price numeric); CREATE TABLE public.broken (shop text, broken boolean)")
        self.counts, self.reasons, self.learned, self.variants = {}, {}, {}, {}
        self.purchases = 0
        self.sending = self.ticking = True
        for number in range(5):
            self.make_shop(number)

    def set_clock(self, at):
        with open(CLOCK + ".new", "w") as file:
            file.write(instant(at).strftime("%Y-%m-%d %H:%M:%S\n"))
        os.rename(CLOCK + ".new", CLOCK)

    def call(self, query, *args, row=False):
        found = self.db.execute(query, args).fetchone()
        return found if row or found is None else found[0]

    # --- shops -----------------------------------------------------------------

    def make_shop(self, number):
        shop = Shop(f"s{number}")
        shop.number, shop.currency, shop.zone = number, rng.choice(["EUR", "USD"]), rng.choice(ZONES)
        quiet = rng.choice(QUIET)
        shop.quiet = tuple(of_day(t) for t in quiet)
        shop.cut_off, shop.expiry = rng.choice([600, 3600, 3 * HOUR]), rng.choice([30 * DAY, 30 * DAY, 9 * DAY])
        shop.min_gap = rng.choice([0, 6 * HOUR, 16 * HOUR, 16 * HOUR, 40 * HOUR])
        shop.cap_per_episode, shop.cap_per_person = rng.choice([1, 2, 3, 3, 5]), rng.choice([1, 3, 6, 6])
        shop.holdout = rng.choice([0, 0.3])
        shop.consent_rule = rng.choice(["strict", "none"])
        shop.exclusions = {key: value for key, value in {
            "minimum_value": 11, "products": ["X"], "domains": ["bad.example"], "customers": [f"c-p1.{shop.name}"],
            "addresses": [f"p2.{shop.name}@one.example", f"p2.{shop.name}@two.example"], "bots": True}.items() if rng.random() < 0.4}
        shop.steps, shop.enabled = rng.choice(STEPS), {"cart", "payment"} if rng.random() < 0.6 else {"cart"}
        shop.not_before = self.now - DAY
        shop.id = self.call("SELECT incomplete_orders.create_shop(%s, %s, %s, %s)", shop.name, shop.name, shop.currency, shop.zone)
        self.configure(shop, quiet_from=quiet[0], quiet_to=quiet[1], cut_off=f"{shop.cut_off} s", expiry=f"{shop.expiry} s",
                       min_gap=f"{shop.min_gap} s", cap_per_episode=shop.cap_per_episode, cap_per_person=shop.cap_per_person,
                       holdout=shop.holdout, consent_rule=shop.consent_rule, exclusions=shop.exclusions,
                       from_email="shop@shop.example", base_url=PAGE)
        for campaign in ("cart", "payment"):
            self.db.execute("DELETE FROM incomplete_orders.campaign_steps WHERE shop_id = %s AND campaign = %s", (shop.id, campaign))
            for step, delay in shop.steps:
                self.db.execute("INSERT INTO incomplete_orders.campaign_steps VALUES (%s, %s, %s, %s * interval '1 s', 'abandoned_cart', 'cart_reminder')",
                                (shop.id, campaign, step, delay))
        for campaign in shop.enabled:
            self.db.execute("SELECT incomplete_orders.enable_campaign(%s, %s)", (campaign, shop.name))
        for variant in "abc"[:rng.choice([0, 2, 3])]:
            self.db.execute("SELECT incomplete_orders.save_variant('cart', 1, %s, weight => %s, shop => %s)", (variant, rng.randrange(1, 4), shop.name))
        shop.offer = None
        if rng.random() < 0.9:
            offer = {rng.choice(["percentage", "amount"]): 10, "minimum_value": rng.choice([0, 20]), "valid_for": f"{rng.choice([1, 1, 7])} days",
                     "cool_down": f"{rng.choice([0, 10, 30])} days"}
            shop.offer = {"step": rng.choice([1, 1, 2, 3]), "minimum": offer["minimum_value"], "kind": next(iter(offer)),
                          "valid_for": int(offer["valid_for"][:2]) * DAY, "cool_down": int(offer["cool_down"][:2]) * DAY}
            self.db.execute("SELECT incomplete_orders.configure_coupon('cart', %s, %s, %s)", (json.dumps(offer), shop.offer["step"], shop.name))
        if rng.random() < 0.5:
            shop.stock = {sku: (9, price) for sku, price in SKUS.items()}
            self.db.execute(f"CREATE FUNCTION public.stock_{number}(skus text[]) RETURNS TABLE (sku text, available integer, unit_price numeric) LANGUAGE plpgsql AS $$"
                            f" BEGIN IF (SELECT broken FROM public.broken WHERE shop = '{shop.name}') THEN RAISE EXCEPTION 'the shop is away'; END IF;"
                            f" RETURN QUERY SELECT s.sku, s.available, s.unit_price FROM public.stock s WHERE s.shop = '{shop.name}' AND s.sku = ANY (skus); END $$")
            self.db.execute("INSERT INTO public.broken VALUES (%s, false)", (shop.name,))
            self.write_stock(shop)
            self.configure(shop, availability=f"public.stock_{number}")
        shop.people = [Person(shop, n) for n in range(9)]
        self.shops.append(shop)

    def configure(self, shop, **settings):
        self.db.execute("SELECT incomplete_orders.configure_shop(%s, %s)", (shop.name, json.dumps(settings)))

    def write_stock(self, shop):
        self.db.execute("DELETE FROM public.stock WHERE shop = %s", (shop.name,))
        for sku, (available, price) in shop.stock.items():
            self.db.execute("INSERT INTO public.stock VALUES (%s, %s, %s, %s)", (shop.name, sku, available, price))

    # --- time ------------------------------------------------------------------

    def pass_time(self, most=None):
        """Mostly minutes, sometimes to an instant that matters or next to it."""
        then = self.now + rng.choice([2, 10, 60, rng.randrange(60, 1200), rng.randrange(60, 2400)])
        if rng.random() < 0.3:
            soon = sorted({t for s in self.shops for o in s.open() for t in (o.next, o.due()[0]) if t and self.now + 2 < t < self.now + 6 * HOUR})
            soon += [m.due for m in self.messages.values() if m.counts and self.now + 2 < m.due < self.now + 6 * HOUR]
            if soon:
                then = max(self.now + 2, rng.choice(soon[:8]) + rng.choice([-1, 0, 1]))
        self.now = then if most is None else min(then, most)
        self.set_clock(self.now)

    # --- people ----------------------------------------------------------------

    def some_shop(self):
        return rng.choice(self.shops)

    def some_order(self, shop, status=None):
        orders = [o for o in shop.open() if status is None or o.status == status]
        return rng.choice(orders) if orders else None

    def current(self, shop, session):
        order = shop.live.get(session)
        if order:
            order.settle(self.now)
            if order.closed:
                del shop.live[session]
                return None
        return order

    def capture(self):
        shop = self.some_shop()
        person = rng.choice(shop.people)
        if rng.random() < 0.05:
            other = rng.choice(shop.people)
        else:
            other = person
        session = rng.choice(person.sessions)
        order = self.current(shop, session)
        items = {sku: (rng.randrange(1, 4), SKUS[sku]) for sku in rng.sample(sorted(SKUS), rng.choice([0, 1, 1, 1, 2, 2, 3]))}
        if order and rng.random() < 0.3:
            items = None
        facts = {"email": rng.choice(other.emails) if rng.random() < 0.65 else None,
                 "customer_id": person.customer if rng.random() < 0.2 else None,
                 "phone": person.phone if rng.random() < 0.15 else None}
        if facts["email"] and rng.random() < 0.2:
            facts["email"] = facts["email"].title()
        kind = "payment" if rng.random() < 0.15 else None
        context, address = {}, {}
        if person.zone and rng.random() < 0.8:
            context["time_zone"] = person.zone
        if person.country and rng.random() < 0.8:
            address["country"] = person.country
        if rng.random() < 0.7:
            context["consent"] = {"status": "granted" if person.agrees and rng.random() < 0.97 else "withdrawn"}
            if rng.random() < 0.5:
                context["consent"]["at"] = instant(self.now).strftime("%Y-%m-%dT%H:%M:%SZ")
        if rng.random() < 0.02:
            context["bot"] = True
        if rng.random() < 0.03:
            context["user_agent"] = "ExampleBot/1.0"
        if not order:
            order = Order(shop, session, self.now, person.currency)
            shop.orders.append(order)
            shop.live[session] = order
        else:
            order.reanimate(self.now)
        order.active = max(order.active, self.now)
        if items is not None:
            order.items = items
        order.kind = kind or order.kind
        order.email, order.customer, order.phone = facts["email"] or order.email, facts["customer_id"] or order.customer, facts["phone"] or order.phone
        order.zone, order.country = context.get("time_zone", order.zone), address.get("country", order.country)
        order.agent, order.bot = context.get("user_agent", order.agent), context.get("bot", order.bot)
        if "consent" in context:
            said = context["consent"]
            at = self.now if "at" in said else None
            order.consent = (said["status"] == "granted", at)
        found = self.call(
            "SELECT incomplete_orders.capture_cart(%s, %s::text::incomplete_orders.line_items, email => %s, customer_id => %s, phone => %s, context => %s,"
            " address => %s, currency => %s, kind => %s::text::incomplete_orders.order_kind, shop => %s)", session,
            None if items is None else json.dumps([{"sku": s, "quantity": q, "unit_price": p} for s, (q, p) in items.items()]),
            facts["email"], facts["customer_id"], facts["phone"], json.dumps(context), json.dumps(address), order.currency, kind, shop.name)
        if order.id not in (None, found):
            raise Wrong(f"session {session} got order {found}, the model has {order.id}")
        order.id = found

    def identify(self):
        shop = self.some_shop()
        person = rng.choice(shop.people)
        session = rng.choice(person.sessions)
        order = self.current(shop, session)
        email, customer = rng.choice([(rng.choice(person.emails), None), (None, person.customer), (person.emails[0], person.customer)])
        found = self.call("SELECT incomplete_orders.identify_cart(%s, customer_id => %s, email => %s, shop => %s)", session, customer, email, shop.name)
        if found != (order and order.id):
            raise Wrong(f"identify_cart says {found}, the model {order and order.id}")
        if order:
            order.reanimate(self.now)
            order.active = max(order.active, self.now)
            order.email, order.customer = email or order.email, customer or order.customer

    def edit(self):
        """Staff writes down what the customer said on the phone."""
        shop = self.some_shop()
        order = self.some_order(shop, "abandoned")
        if not order:
            return
        order.settle(self.now)
        if order.closed:
            return
        person = next((p for p in shop.people if order.session in p.sessions), rng.choice(shop.people))
        changes = rng.choice([{"email": rng.choice(person.emails)}, {"phone": person.phone}, {"customer_id": person.customer}])
        self.call("SELECT incomplete_orders.edit_order(o.id, %s, o.version) FROM incomplete_orders.open_orders o WHERE o.shop_id = %s AND o.id = %s",
                  json.dumps(changes), shop.id, order.id)
        order.email, order.phone = changes.get("email", order.email), changes.get("phone", order.phone)
        order.customer = changes.get("customer_id", order.customer)

    def convert(self):
        shop = self.some_shop()
        order = self.some_order(shop)
        if not order:
            return
        order.settle(self.now)
        if order.closed or not order.items:
            return
        try:
            order_id, total = self.call("SELECT order_id, total FROM incomplete_orders.convert_order(%s, paid => %s)", order.id, rng.random() < 0.5, row=True)
        except psycopg.Error as error:
            if error.sqlstate not in ("IC016", "IC007") or not order.coupon:
                raise
            self.note("refused coupon")
            return
        shop.purchases.append((order.keys, self.now, order, set(order.items)))
        order.close("converted", self.now)
        if order.coupon:
            self.used_coupon(shop, order, order_id)

    def buy_elsewhere(self):
        shop = self.some_shop()
        person = rng.choice(shop.people)
        self.purchases += 1
        for order in shop.open():
            if order.customer == person.customer:
                order.settle(self.now)
        closed = self.call("SELECT incomplete_order_id FROM incomplete_orders.record_order(%s, customer_id => %s, total => 5, shop => %s)",
                           f"till-{self.purchases}", person.customer, shop.name)
        order = next((o for o in shop.orders if o.id == closed), None)
        keys = {"c:" + person.customer}
        if order:
            if order.customer != person.customer:
                raise Wrong(f"an order of customer {person.customer} closed {closed}, which is of {order.customer}")
            keys |= order.keys
            order.close("converted", self.now)
        shop.purchases.append((keys, self.now, order, set(order.items) if order else set()))

    def dismiss(self):
        shop = self.some_shop()
        order = self.some_order(shop)
        if order:
            order.settle(self.now)
            if not order.closed:
                what = rng.choice(["dismiss", "delete"])
                self.db.execute(f"SELECT incomplete_orders.{what}_order(%s)", (order.id,))
                order.close("dismissed" if what == "dismiss" else "deleted", self.now)

    def some_mail(self):
        sent = [m for m in self.messages.values() if m.claims and m.recipient and m.tokens]
        return rng.choice(sent[-30:]) if sent else None

    def unsubscribe(self):
        mail = self.some_mail()
        if not mail:
            return
        shop = mail.order.shop
        if rng.random() < 0.6:
            self.call("SELECT incomplete_orders.unsubscribe(%s)", mail.tokens["unsubscribe"])
            shop.suppress("e:" + mail.recipient.lower(), "unsubscribed", self.now)
        else:
            what = rng.choice([("bounced", "hard_bounce"), ("complained", "complaint"), ("unsubscribed", "unsubscribed")])
            self.call("SELECT incomplete_orders.record_message_event(%s, %s)", mail.id, what[0])
            shop.suppress("e:" + mail.recipient.lower(), what[1], self.now)

    def suppress(self):
        shop = self.some_shop()
        email = rng.choice(rng.choice(shop.people).emails)
        if rng.random() < 0.4:
            self.call("SELECT incomplete_orders.suppress(%s, shop => %s)", email, shop.name)
            shop.suppress("e:" + email, "suppressed", self.now)
        else:
            self.call("SELECT incomplete_orders.unsuppress(%s, %s)", email, shop.name)
            shop.suppressed.pop("e:" + email, None)
            self.forget_erasure(shop, email)

    def forget_erasure(self, shop, email):
        for order in shop.open():
            if order.email and order.email.lower() == email and order.customer and shop.suppressed.get("c:" + order.customer, ("",))[0] == "erased":
                del shop.suppressed["c:" + order.customer]

    def consent(self):
        shop = self.some_shop()
        person = rng.choice(shop.people)
        email, customer = rng.choice([(person.emails[0], None), (person.emails[1], None), (None, person.customer), (person.emails[0], person.customer)])
        granted = rng.random() < 0.65
        self.call("SELECT incomplete_orders.record_consent(%s, %s, customer_id => %s, shop => %s)", email, "granted" if granted else "withdrawn", customer, shop.name)
        for key in keys_of(customer, email, None):
            shop.consents.setdefault(key, []).append((self.now, granted))
            if granted and shop.suppressed.get(key, ("",))[0] in ("unsubscribed", "erased"):
                del shop.suppressed[key]
        if granted and email:
            self.forget_erasure(shop, email)

    def forget(self):
        shop = self.some_shop()
        person = rng.choice(shop.people)
        by_email = rng.random() < 0.6
        who = rng.choice(person.emails) if by_email else person.customer
        key = ("e:" if by_email else "c:") + who
        named = [o for o in shop.orders if key in o.keys]
        self.db.execute(f"SELECT incomplete_orders.forget_customer({'email' if by_email else 'customer_id'} => %s, shop => %s)", (who, shop.name))
        # whose carts those were is told by the database, as browsers and phones lead from one to another
        left = {row[0]: row[1:] for row in self.db.execute(
            "SELECT id, email, customer_id, phone, session_id FROM incomplete_orders.open_orders WHERE shop_id = %s UNION ALL"
            " SELECT id, email, customer_id, phone, session_id FROM incomplete_orders.closed_orders WHERE shop_id = %s", (shop.id, shop.id))}
        customers = {k for o in named for k in o.keys if k[0] == "c"} if by_email else {key}
        addresses = {key} if by_email else set()
        gone, erased = {key}, []
        for order in shop.orders:
            if left[order.id] == (None, None, None, None) and (order.keys or order.session):
                erased.append(order)
        for order in erased:
            gone |= order.keys
            if not by_email and order.customer == who and order.email:
                addresses.add("e:" + order.email.lower())
        if any(o not in erased for o in named):
            raise Wrong(f"an order of {who} was not forgotten")
        for k in addresses:
            shop.suppress(k, "erased", self.now)
        for k in {k for o in erased for k in o.keys if k[0] == "c"} & (customers if not by_email else gone) | customers:
            shop.suppressed[k] = ("erased", self.now)
        for kind, keys in (("addresses", addresses), ("customers", customers)):
            if kind in shop.exclusions:
                shop.exclusions[kind] = [w for w in shop.exclusions[kind] if f"{kind[0].replace('a', 'e')}:{w}" not in keys]
        forgotten = {k for k in gone if k[0] == "p"} | addresses | customers | {key}
        for k in forgotten:
            shop.arms.pop(k, None)
            shop.consents.pop(k, None)
        for message in shop.messages:
            message.keys -= forgotten
        for c in shop.coupons:
            c["keys"] -= forgotten
        shop.purchases = [(keys - forgotten if keys & forgotten else keys, at, of, skus) for keys, at, of, skus in shop.purchases]
        for order in erased:
            if shop.live.get(order.session) is order:
                del shop.live[order.session]
            order.forgotten = True
            order.email = order.customer = order.phone = order.session = order.zone = order.country = order.agent = order.consent = order.coupon = None

    def by_hand(self):
        shop = self.some_shop()
        order = self.some_order(shop, "abandoned")
        if not order:
            return
        order.settle(self.now)
        if order.closed:
            return
        allowed = bool(order.email and order.items) and not shop.suppressions(order.keys) and not shop.unwanted(order) and not shop.has_ordered(order)
        try:
            ident = self.call("SELECT incomplete_orders.send_recovery_email(%s)", order.id)
        except psycopg.Error as error:
            if error.sqlstate != "IC015" or allowed:
                raise
            return
        if not allowed:
            raise Wrong(f"a message by hand was allowed for {order.id}")
        self.add_message(shop, order, ident, 0)
        if order.next is not None:
            order.next = max(order.next, self.now + shop.min_gap)
        if shop.holdout:
            self.learn_arm(shop, order, None)

    def learn_arm(self, shop, order, held_out):
        """The arm as it was drawn for somebody who had none; by hand it is not shown."""
        if any(k in shop.arms for k in order.keys):
            known = min(shop.arms[k] for k in order.keys if k in shop.arms)[1]
            shop.assign(order, known, self.now)
            return
        draw = (shop.name, order.email.lower())
        written = self.call("SELECT a.holdout FROM unnest(incomplete_orders._person_keys(%s, NULL, %s, NULL)) k JOIN incomplete_orders.person_arms a"
                            " ON a.person = k AND a.shop_id = %s ORDER BY a.assigned_at LIMIT 1", shop.id, order.email, shop.id)
        held_out = written if held_out is None else held_out
        if written != held_out:
            raise Wrong(f"{order.email} of {shop.name} is treated as {'held out' if held_out else 'not held out'}, and written down as {written}")
        if self.learned.setdefault(draw, held_out) != held_out:
            raise Wrong(f"{order.email} was drawn again and is in another arm")
        shop.assign(order, held_out, self.now)

    def change_shop(self):
        shop = self.some_shop()
        if shop.stock is not None and rng.random() < 0.7:
            if rng.random() < 0.5:
                shop.broken = not shop.broken and rng.random() < 0.6
                self.db.execute("UPDATE public.broken SET broken = %s WHERE shop = %s", (shop.broken, shop.name))
            else:
                shop.stock = {sku: (rng.choice([0, 1, 9]), price) for sku, price in SKUS.items() if rng.random() < 0.9}
                self.write_stock(shop)
        elif rng.random() < 0.3:
            shop.min_gap = rng.choice([0, 6 * HOUR, 16 * HOUR, 40 * HOUR])
            self.configure(shop, min_gap=f"{shop.min_gap} s")
        elif rng.random() < 0.3:
            shop.cap_per_person = rng.choice([1, 3, 6])
            self.configure(shop, cap_per_person=shop.cap_per_person)

    # --- coupons ---------------------------------------------------------------

    def redeem(self):
        shops = [s for s in self.shops if s.coupons]
        if not shops:
            return
        shop = rng.choice(shops)
        coupon = rng.choice(shop.coupons[-10:])
        order = coupon["order"] if not coupon["order"].closed and rng.random() < 0.5 else self.some_order(shop)
        if not order:
            return
        order.settle(self.now)
        if order.closed:
            return
        if rng.random() < 0.3:
            # something was taken out
            self.call("SELECT incomplete_orders.edit_order(o.id, %s, o.version) FROM incomplete_orders.open_orders o WHERE o.shop_id = %s AND o.id = %s",
                      json.dumps({"items": [{"sku": "A", "quantity": 1, "unit_price": SKUS["A"]}]}), shop.id, order.id)
            order.items = {"A": (1, SKUS["A"])}
            # or put into a cart that was empty, whose customer went away long ago
            order.settle(self.now)
        theirs = order is coupon["order"] or bool(order.keys & coupon["keys"])
        fits = order.currency == shop.currency or coupon["kind"] == "percentage" and not coupon["minimum"]
        good = theirs and fits and coupon["used"] is None and coupon["expires"] > self.now and order.goods() >= coupon["minimum"]
        # a forgotten order has a discount without its code
        other = order.discount and (order.coupon is None or order.coupon["code"] != coupon["code"])
        try:
            discount = self.call("SELECT coupon_discount FROM incomplete_orders.redeem_coupon(%s, %s)", coupon["code"].lower(), order.id)
        except psycopg.Error as error:
            if error.sqlstate != "IC016":
                raise
            if good and not other:
                raise Wrong(f"coupon {coupon} was refused for {order.id}: {error}")
            return
        if not good:
            raise Wrong(f"coupon {coupon} was redeemed for {order.id} with goods of {order.goods()}")
        order.reanimate(self.now)
        order.coupon, order.discount = coupon, discount
        self.note("redeemed coupon")
        if discount > order.goods():
            raise Wrong(f"coupon {coupon} takes off {discount} of {order.goods()}")

    def used_coupon(self, shop, order, order_id):
        coupon = order.coupon
        discount = self.call("SELECT coupon_discount FROM incomplete_orders.closed_orders WHERE shop_id = %s AND id = %s", shop.id, order.id)
        if not discount:
            return
        if coupon["used"] is not None or coupon["expires"] <= self.now or order.goods() < coupon["minimum"]:
            raise Wrong(f"{order.id} was converted with {coupon} for goods of {order.goods()}")
        coupon["used"] = self.now
        self.note("used coupon")

    def check_coupon(self, shop, message, given, now):
        """What a claimed message brings, and whether it may, and whether it must."""
        order, offer = message.order, shop.offer
        if message.coupon:
            still = message.coupon["expires"] > now and order.value() >= message.coupon["minimum"]
            if (given and given["code"]) != (message.coupon["code"] if still else None):
                raise Wrong(f"message {message.id} comes with coupon {given} at a later attempt; it had {message.coupon}")
            return
        asked = offer and order.kind == "cart" and (message.step == offer["step"] or message.by_hand and message.type == "discount_offer")
        mine = [c for c in shop.coupons if c["order"] is order or c["keys"] & order.keys]
        recent = any(c["issued"] > now - offer["cool_down"] or c["used"] is not None and c["used"] > now - offer["cool_down"] or
                     c["used"] is None and c["expires"] > now for c in mine) if asked else None
        fits = asked and (order.currency == shop.currency or offer["kind"] == "percentage" and not offer["minimum"])
        may = bool(asked and fits and not recent and not order.discount and order.value() >= offer["minimum"])
        if bool(given) != may:
            raise Wrong(f"message {message.id} (step {message.step}) comes with coupon {given}; asked {asked}, fits {fits}, recent {recent}")
        if given:
            if seconds(datetime.fromisoformat(given["expires_at"])) != now + offer["valid_for"]:
                raise Wrong(f"coupon {given} does not expire when it should")
            message.coupon = {"code": given["code"], "keys": set(order.keys), "order": order, "issued": now, "kind": offer["kind"],
                              "expires": now + offer["valid_for"], "used": None, "minimum": offer["minimum"]}
            if any(c["code"] == given["code"] for s in self.shops for c in s.coupons):
                raise Wrong(f"coupon {given['code']} was given twice")
            shop.coupons.append(message.coupon)
            self.note("coupons")

    # --- tick ------------------------------------------------------------------

    def note(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def add_message(self, shop, order, ident, step):
        message = Message(order, ident, step, self.now, order.keys)
        message.type = self.call("SELECT message_type FROM incomplete_orders.messages WHERE shop_id = %s AND id = %s", shop.id, ident)
        message.number = len(self.messages)
        message.tokens, message.looked, message.failed_at, message.first_recipient = None, None, None, order.email
        shop.messages.append(message)
        self.messages[ident] = message
        return message

    def tick(self):
        said = {}
        if rng.random() < 0.5:
            then = self.now + rng.choice([0, 60, rng.randrange(2, 5 * HOUR), rng.randrange(2, 2 * DAY) if rng.random() < 0.1 else 0])
            shop = self.some_shop()
            said[shop] = self.preview(shop, then)
            if then > self.now:
                self.now = then
                self.set_clock(then)
        plans = {}
        for shop in self.shops:
            for order in shop.open():
                order.settle(self.now)
            plans[shop] = {o: shop.decide(o, self.now) for o in shop.open() if o.next is not None and o.next <= self.now
                           and shop.step_behind(o.kind, o.step)}
        self.call("CALL incomplete_orders.tick(NULL)")
        self.compare(plans, said)

    def preview(self, shop, then):
        return {row[0]: row[1:] for row in self.db.execute(
            "SELECT order_id, step, action, reason, due_at, variant FROM incomplete_orders.preview_recovery(%s, %s)", (shop.name, instant(then)))}

    def compare(self, plans, said):
        """What tick did, what preview_recovery() had said, and what the model says."""
        queued = {row[0]: row[1:] for row in self.db.execute(
            "SELECT order_id, id, step, variant, recipient FROM incomplete_orders.messages WHERE queued_at = %s AND ordinal = 0", (instant(self.now),))
            if row[1] not in self.messages}
        skipped = {}
        for skip, order, step, at, reason, message in self.db.execute(
                "SELECT skip_id, order_id, step, at, reason, message_id FROM incomplete_orders.message_skips WHERE skip_id > %s ORDER BY 1", (self.seen_skips,)):
            self.seen_skips = skip
            if message is None:
                skipped[order] = (step, reason)
        for shop, plan in plans.items():
            rows = {row[0]: row[1:] for row in self.db.execute(
                "SELECT id, status::text, episode, sequence_step, next_message_at, abandoned_at, email FROM incomplete_orders.open_orders WHERE shop_id = %s", (shop.id,))}
            if rows.keys() != {o.id for o in shop.open()}:
                raise Wrong(f"open orders of {shop.name}: only found {rows.keys() - {o.id for o in shop.open()}}, only in the model"
                            f" {[vars(o) for o in shop.open() if o.id not in rows]}")
            for order, (what, reasons, until, step) in plan.items():
                did = self.what_was_done(shop, order, queued, skipped, rows[order.id], step)
                if what == "drawn":
                    what = "skipped" if did[0] == "skipped" else "queued"
                if did[0] != what or what == "skipped" and did[1] not in reasons or what == "postponed" and not until <= did[1] <= until + HOUR:
                    raise Wrong(f"tick: order {order.id} of {shop.name}, step {step}: {did}; the model says {what} {reasons} {until and instant(until)}")
                self.apply(shop, order, what, did, step, plan[order][0] == "drawn")
                if shop in said:
                    self.compare_preview(order, said[shop].pop(order.id, None), what, did, step, plan[order])
            if said.get(shop):
                raise Wrong(f"preview_recovery says of orders that nothing was decided on: {said[shop]}")
            for order in shop.open():
                row = rows[order.id]
                mine = (order.status, order.episode, order.step, order.next, order.status == "abandoned" and order.abandoned or None)
                found = (row[0], row[1], row[2], seconds(row[3]), seconds(row[4]) if order.status == "abandoned" else None)
                if mine != found:
                    raise Wrong(f"order {order.id} of {shop.name} is {found}, the model says {mine}")
        if queued or skipped:
            raise Wrong(f"tick: decided what the model did not: {queued} {skipped}")

    def what_was_done(self, shop, order, queued, skipped, row, step):
        if order.id in queued:
            return ("queued",) + queued.pop(order.id)
        if order.id in skipped:
            return "skipped", skipped.pop(order.id)[1]
        return "postponed", seconds(row[3])

    def apply(self, shop, order, what, did, step, drawn):
        self.reasons[did[1] if what == "skipped" else what] = self.reasons.get(did[1] if what == "skipped" else what, 0) + 1
        if what == "queued":
            message = self.add_message(shop, order, did[1], step[0])
            if did[2] != step[0] or did[4] != order.email:
                raise Wrong(f"message {message.id} is step {did[2]} to {did[4]}, not {step[0]} to {order.email}")
            if did[3] is not None:
                person = (shop.name, order.kind, step[0], order.email.lower())
                if self.variants.setdefault(person, did[3]) != did[3]:
                    raise Wrong(f"{order.email} got variant {did[3]} after {self.variants[person]}")
        if shop.holdout and (what == "queued" or what == "skipped" and did[1] == "holdout"):
            if what == "queued" or drawn or getattr(order, "held", None) != order.episode:
                self.learn_arm(shop, order, what == "skipped")
            if what == "skipped":
                order.held = order.episode
        shop.move_on(order, what, did[1] if what == "postponed" else None, step, self.now)

    def compare_preview(self, order, said, what, did, step, plan):
        if said is None:
            raise Wrong(f"preview_recovery did not say that order {order.id} would be {what}")
        reason = did[1] if what == "skipped" else None if what == "queued" else said[2] if said[2] in plan[1] else next(iter(plan[1]))
        if said[:3] != (step[0], what, reason) or what == "postponed" and seconds(said[3]) != did[1] or what == "queued" and said[4] != did[3]:
            raise Wrong(f"preview_recovery said {said} of order {order.id}; then it was {what}: {did}")
        self.note("previewed")

    # --- senders ---------------------------------------------------------------

    def claim(self):
        batch, lease = rng.choice([1, 2, 3, 10, 100]), rng.choice([60, 300, 3600])
        empty = 0
        while True:
            rows = self.db.execute("SELECT message_id, token, shop, recipient, message FROM incomplete_orders.claim_messages('property', %s, %s * interval '1 s')",
                                   (batch, lease)).fetchall()
            self.sync()
            for ident, token, name, recipient, text in rows:
                self.claimed(ident, token, name, recipient, text, lease)
            if not rows:
                # a shop that could not be asked any more is left for the next claim
                empty += 1
                if empty > 3 or not any(m.status in ("queued", "sending") and m.due <= self.now for m in self.messages.values()):
                    break
            for ident, token, *_ in sorted(rows, key=lambda r: self.messages[r[0]].number):
                self.answer(ident, token)
        self.check_waiting()

    def claimed(self, ident, token, name, recipient, text, lease):
        message = self.messages[ident]
        shop, order = message.order.shop, message.order
        never, wait = shop.must_not(message, self.now), shop.must_wait(message, self.now)
        if never or wait or shop.name != name:
            raise Wrong(f"message {ident} (step {message.step}, queued {instant(message.queued)}) was claimed: {never} {wait}")
        if recipient != order.email:
            raise Wrong(f"message {ident} goes to {recipient}, the order has {order.email}")
        if shop.stock is not None:
            if shop.broken:
                raise Wrong(f"message {ident} was claimed though the shop could not say what it has")
            self.check_stock(shop, message, text)
        elif {i["sku"] for i in text["order"]["items"]} != order.left().keys():
            raise Wrong(f"message {ident} shows {text['order']['items']}, the cart is {order.left()}")
        self.check_coupon(shop, message, text["order"].get("coupon"), self.now)
        message.recipient, message.tokens, message.due = recipient, text["links"], self.now + lease
        message.keys |= order.keys if recipient.lower() != message.first_recipient.lower() else set()
        message.status = "sending"
        message.claims.append(self.now)
        self.claims[ident] = token
        self.note("claimed")

    def check_stock(self, shop, message, text):
        shown = {i["sku"]: i["quantity"] for i in text["order"]["items"]}
        right = {sku: min(quantity, shop.stock[sku][0]) for sku, (quantity, _) in message.order.left().items() if shop.stock.get(sku, (0,))[0] > 0}
        if shown != right:
            raise Wrong(f"message {message.id} offers {shown}, there is {right}")

    def answer(self, ident, token):
        if self.chance(ident) < 0.06:
            self.note("sender died")
            return  # the lease ends
        self.finish(ident, token)

    def chance(self, ident):
        """In whatever order they were claimed."""
        message = self.messages[ident]
        message.asked = getattr(message, "asked", 0) + 1
        return random.Random(f"{SEED} {message.number} {message.asked}").random()

    def finish(self, ident, token):
        message = self.messages[ident]
        self.claims.pop(ident, None)
        message.failed_at = self.now
        chance = self.chance(ident)
        if chance < 0.84:
            if self.call("SELECT incomplete_orders.ack_message(%s, %s, '250 ok')", ident, token) and message.status != "sent":
                message.status, message.sent = "sent", self.now
                self.note("sent")
        elif chance < 0.94:
            if self.call("SELECT incomplete_orders.fail_message(%s, %s, false, '451 4.3.0 later')", ident, token):
                # as long as it was given, but not by chance
                message.looked = self.now + 60
                self.db.execute("UPDATE incomplete_orders.messages SET due_at = %s WHERE id = %s AND status = 'queued' AND due_at BETWEEN %s AND %s",
                                (instant(self.now + 60), ident, instant(self.now + 30), instant(self.now + 6 * HOUR)))
        elif chance < 0.97:
            self.call("SELECT incomplete_orders.fail_message(%s, %s, true, '550 5.1.1 no such user')", ident, token)
            if not message.order.forgotten:
                message.order.shop.suppress("e:" + message.recipient.lower(), "hard_bounce", self.now)
        elif chance < 0.98:
            self.call("SELECT incomplete_orders.fail_message(%s, %s, true, '554 5.7.1 no')", ident, token)
        else:
            self.call("SELECT incomplete_orders.extend_message(%s, %s, interval '0')", ident, token)
        self.sync()

    def late_answer(self):
        """A sender that was thought dead."""
        if self.claims:
            ident = rng.choice(sorted(self.claims, key=lambda i: self.messages[i].number))
            self.finish(ident, self.claims[ident])

    # --- what the database says of messages ------------------------------------

    def sync(self):
        """Reads how messages stand, and asks the model whether they may have ended so."""
        waiting = [m for m in self.messages.values() if m.status in ("queued", "sending")]
        if not waiting:
            return
        rows = self.db.execute("SELECT id, status::text, reason, due_at, give_up_at, sent_at, attempts FROM incomplete_orders.messages WHERE id = ANY (%s)",
                               ([m.id for m in waiting],)).fetchall()
        if len(rows) != len(waiting):
            raise Wrong(f"{len(waiting) - len(rows)} messages vanished")
        for ident, status, reason, due, give_up, sent, attempts in rows:
            message = self.messages[ident]
            message.attempts = attempts
            if status in ("cancelled", "dead"):
                self.check_end(message, status, reason)
            if status == "sent" and message.status != "sent":
                raise Wrong(f"message {ident} is sent, and nobody said so")
            if status == "sending" and message.status == "queued":
                continue  # claimed() follows
            message.status, message.reason, message.due, message.give_up = status, reason, math.ceil(due.timestamp()), seconds(give_up)

    def check_end(self, message, status, reason):
        self.reasons["ended: " + reason if reason else "ended: refused"] = self.reasons.get("ended: " + (reason or "refused"), 0) + 1
        if status == "dead" and (reason is None or reason == "rejected" or reason == "attempts_exhausted" and message.attempts >= 15):
            if message.attempts:
                return
        agreed = message.order.shop.must_not(message, self.now)
        if reason not in agreed:
            raise Wrong(f"message {message.id} (step {message.step}) of {message.order.shop.name} ended as {status} {reason}; the model knows {agreed or 'no reason'}")

    def check_waiting(self):
        """After senders took all that they could get: what waits has to."""
        for message in self.messages.values():
            if message.status not in ("queued", "sending") or message.due > self.now and message.due == message.looked:
                continue
            shop, order = message.order.shop, message.order
            if message.status == "sending" and message.due > self.now:
                continue
            latest = shop.may_wait_until(message, self.now)
            if shop.stock is not None and shop.broken:
                latest = max(latest, self.now + STOCK_WAIT)
            if message.failed_at == self.now:
                latest = max(latest, self.now + 6 * HOUR)
            latest += STEP_WAIT + (HOUR if order.awake(self.now) > self.now else 0)
            if message.due <= self.now or message.due > latest:
                raise Wrong(f"message {message.id} (step {message.step}, {message.status}) of {shop.name} waits until {instant(message.due)};"
                            f" the model says {instant(latest)}; {shop.must_not(message, self.now)}")
            message.looked = message.due

    # --- all of it -------------------------------------------------------------

    def step(self):
        kinds = ([self.capture] * 16 + [self.identify] * 2 + [self.edit, self.buy_elsewhere, self.dismiss, self.suppress, self.change_shop] +
                 [self.convert] * 2 + [self.consent, self.unsubscribe] + [self.by_hand] * 2 + [self.redeem] * 3)
        if self.ticking:
            kinds += [self.tick] * 10
        if self.sending:
            kinds += [self.claim] * 9 + [self.late_answer]
        if rng.random() < 0.006:
            kinds = [self.forget]
        act = rng.choice(kinds)
        self.doing = act.__name__
        act()
        if act.__name__ != "claim":
            self.sync()

    def run_until(self, end):
        while self.now < end:
            self.pass_time(end)
            self.step()
            self.steps += 1

    def run(self):
        self.steps, self.doing = 0, ""
        month = self.begin + DAYS * DAY
        away = self.begin + rng.randrange(5, max(6, DAYS - 12)) * DAY
        self.run_until(away)
        self.sending = False  # steps come together in the queue
        self.run_until(min(month, away + rng.choice([2, 6]) * DAY))
        self.sending = True
        self.run_until(month)
        # ten days without tick and senders, then one tick
        self.sending = self.ticking = False
        self.run_until(month + 10 * DAY if rng.random() < 0.5 else month + DAY)
        self.now = max(self.now, month + 10 * DAY)
        self.set_clock(self.now)
        self.doing = "the tick after ten days"
        self.tick()
        self.sync()
        self.sending = True
        self.drain(self.now + 12 * DAY)
        # three in ten; by chance none or all of so many once in thousands of seeds
        if len(self.learned) >= 30 and len(set(self.learned.values())) == 1:
            raise Wrong(f"of {len(self.learned)} persons none was held out, or all were")

    def drain(self, end):
        """Only senders, until nothing waits."""
        for shop in self.shops:
            if shop.broken:
                shop.broken = False
                self.db.execute("UPDATE public.broken SET broken = false WHERE shop = %s", (shop.name,))
        while any(m.status in ("queued", "sending") for m in self.messages.values()):
            self.doing = "claim"
            self.claim()
            due = [m.due for m in self.messages.values() if m.status in ("queued", "sending")]
            if self.now > end:
                raise Wrong(f"{len(due)} messages are left in the queue")
            self.now = max([self.now + 2] + [min(due)] if due else [self.now + 2])
            self.set_clock(self.now)


def main():
    world, failed, began = World(), None, time.monotonic()
    try:
        world.run()
    except Exception as error:
        failed = error
        traceback.print_exc()
    good = failed is None
    print(("" if good else "not ") + f"ok 1 - {DAYS} days and an outage of ten: no rule was broken, nothing that was due forgotten")
    if not good:
        print(f"# step {world.steps} ({world.doing}) at {instant(world.now)}: {failed}")
        print(f"# to see it again: FUZZ_SEED={SEED} FUZZ_DAYS={DAYS}")
    print(f"# seed {SEED}: {world.steps} steps, {time.monotonic() - began:.0f} s; {sum(len(s.orders) for s in world.shops)} orders; {world.counts}")
    print(f"# {world.reasons}")
    print("1..1")
    return not good


if __name__ == "__main__":
    sys.exit(main())

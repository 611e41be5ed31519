"""What the rules of campaigns mean, in plain words: no SQL, no clock of its own.

A Shop holds what happened, as the test did it and as the database says messages
went.  decide() says what one tick makes of an order; may_send() what speaks
against a message that was just claimed, holds() how long one may wait.
Instants are seconds.  The order's life is a small part of the model in fuzz/life.
"""
import math
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

HOUR, DAY = 3600, 86400
WINDOW = 30 * DAY  # of the cap per person
SEQUENCE, LOST_IDLE = 3 * DAY, 14 * DAY
ATTRIBUTION = 5 * DAY
STEP_WAIT = 5  # how long a message waits for the one before it, and then again
STOCK_WAIT = 15 * 60
GIVE_UP = 120 * HOUR
COUNTED = ("queued", "sending", "sent")
RANKS = ["suppressed", "hard_bounce", "unsubscribed", "not_me", "complaint", "erased"]
ENDS_SEQUENCE = ("customer_returned", "campaign_disabled", "before_campaign", "lost", "expired")


def is_quiet(at, zone, quiet):
    """quiet: (from, to), seconds of the day."""
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    clock, (begin, end) = local.hour * 3600 + local.minute * 60 + local.second, quiet
    if begin == end:
        return False
    return begin <= clock < end if begin < end else clock >= begin or clock < end


def first_awake(at, zone, quiet):
    """The first instant from at on that is not quiet: looked for, not computed."""
    if not is_quiet(at, zone, quiet):
        return at
    step = at - at % 900 + 900  # clocks are set, and quiet hours end, at quarters of an hour
    while is_quiet(step, zone, quiet):
        step += 900
    return step


def keys_of(customer, email, phone):
    keys = set()
    if customer:
        keys.add("c:" + customer)
    if email:
        keys.add("e:" + email.strip().lower())
    digits = "".join(c for c in phone or "" if c.isdigit())
    if digits:
        keys.add("p:" + digits)
    return keys


class Order:
    def __init__(self, shop, session, at, currency):
        self.shop, self.session, self.currency = shop, session, currency
        self.id = None
        self.status, self.kind, self.episode = "pending", "cart", 1
        self.created = self.active = at
        self.expires = at + shop.expiry
        self.abandoned = self.lost = self.closed = self.reanimated = None
        self.email = self.customer = self.phone = self.zone = self.country = self.agent = None
        self.consent = None  # (granted, at or None)
        self.bot = self.forgotten = False
        self.items = {}  # sku -> (quantity, price)
        self.step, self.next = 0, None
        self.coupon, self.discount = None, 0

    @property
    def keys(self):
        return keys_of(self.customer, self.email, self.phone)

    def due(self):
        if self.status == "abandoned":
            expires = max(self.expires, self.abandoned)
            other = (max(self.abandoned + SEQUENCE + self.shop.attribution, self.active + LOST_IDLE), "lost")
            return (expires, "expired") if self.lost or expires < other[0] else other
        if not self.items or self.expires < self.active + self.shop.cut_off:
            return self.expires, "expired"
        return self.active + self.shop.cut_off, "abandoned"

    def settle(self, now):
        while not self.closed and self.due()[0] <= now:
            when, what = self.due()
            if what == "abandoned":
                self.status, self.abandoned = "abandoned", when
                steps = self.shop.steps_of(self.kind)
                self.next = when + steps[0][1] if steps and self.shop.not_before <= when else None
            elif what == "lost":
                self.lost, self.next = when, None
            else:
                self.close("expired", when)

    def close(self, status, at):
        self.status, self.closed, self.next = status, at, None

    def reanimate(self, at):
        if self.status == "abandoned":
            self.episode += 1
            self.status, self.lost, self.next, self.step, self.reanimated = "pending", None, None, 0, at
            self.active = max(self.active, at)
            self.expires = max(self.expires, at + self.shop.expiry)

    def left(self):
        """Lines that a mail may show."""
        banned = self.shop.exclusions.get("products", ())
        return {sku: line for sku, line in self.items.items() if sku not in banned}

    def worth(self):
        return sum(quantity * price for quantity, price in self.left().values())

    def value(self):
        """Of what can be sold; the shops of the test have the prices of the carts."""
        return sum((quantity if self.shop.stock is None else min(quantity, self.shop.stock.get(sku, (0,))[0])) * price
                   for sku, (quantity, price) in self.left().items())

    def goods(self):
        return sum(quantity * price for quantity, price in self.items.values())

    def awake(self, at):
        return first_awake(at, self.zone or self.country and COUNTRIES.get(self.country) or self.shop.zone, self.shop.quiet)

    def is_quiet(self, at):
        return is_quiet(at, self.zone or self.country and COUNTRIES.get(self.country) or self.shop.zone, self.shop.quiet)


# those that the test uses; the United States have several clocks
COUNTRIES = {"DE": "Europe/Berlin", "NP": "Asia/Kathmandu", "JP": "Asia/Tokyo"}


class Message:
    def __init__(self, order, ident, step, at, keys):
        self.order, self.id, self.step, self.queued = order, ident, step, at
        self.episode, self.keys = order.episode, set(keys)
        self.status, self.reason = "queued", None
        self.by_hand = step == 0
        self.give_up = at + GIVE_UP
        self.due = at
        self.sent = None
        self.claims = []  # instants
        self.attempts = 0
        self.recipient = order.email
        self.coupon = None

    @property
    def counts(self):
        return self.status in COUNTED


class Shop:
    def __init__(self, name):
        self.name = name
        self.orders, self.live = [], {}  # all of them; by session, open ones only
        self.messages = []
        self.suppressed = {}  # key -> (reason, at)
        self.consents = {}  # key -> [(at, granted)]
        self.purchases = []  # (keys, at, order, skus)
        self.arms = {}  # key -> (at, held out)
        self.stock = None  # sku -> (available, price), where the shop tells it
        self.broken = False  # its function fails
        self.coupons = []  # [code, keys, issued, expires, used, minimum]
        self.attribution = ATTRIBUTION

    def steps_of(self, kind):
        return self.steps if kind in self.enabled else None

    def step_behind(self, kind, step):
        return next((s for s in self.steps_of(kind) or () if s[0] > step), None)

    def open(self):
        return [o for o in self.orders if not o.closed]

    # --- why not ---------------------------------------------------------------

    def suppressions(self, keys):
        return {self.suppressed[k][0] for k in keys if k in self.suppressed}

    def suppress(self, key, reason, at):
        if key not in self.suppressed or RANKS.index(reason) > RANKS.index(self.suppressed[key][0]):
            self.suppressed[key] = (reason, at)

    def has_consent(self, order):
        said = [(at, granted) for key in order.keys for at, granted in self.consents.get(key, ())]
        newest = max(said, key=lambda s: s[0]) if said else None
        if order.consent and (newest is None or order.consent[1] is not None and order.consent[1] > newest[0]):
            return order.consent[0]
        return newest[1] if newest else None

    def unwanted(self, order):
        granted = self.has_consent(order)
        if granted is False or granted is None and self.consent_rule == "strict":
            return "no_consent"
        rules, email = self.exclusions, (order.email or "").lower()
        if rules.get("bots") and (order.bot or order.agent and "bot" in order.agent.lower()):
            return "bot"
        if email in rules.get("addresses", ()):
            return "excluded_address"
        domain = email.partition("@")[2]
        if any(domain == d or domain.endswith("." + d) for d in rules.get("domains", ())):
            return "excluded_domain"
        if order.customer in rules.get("customers", ()):
            return "excluded_customer"
        if not order.left():
            return "excluded_products"
        return "excluded_value" if order.worth() < rules.get("minimum_value", 0) else None

    def has_ordered(self, order):
        for keys, at, of, _ in self.purchases:
            if keys & order.keys and of is not order and at > order.created and (order.episode == 1 or at >= order.reanimated):
                return True
        return False

    def has_bought(self, order):
        for keys, at, of, skus in self.purchases:
            if keys & order.keys and of is not order and at <= order.created < at + self.attribution and set(order.items) <= skus:
                return True
        return False

    def refusals(self, order):
        """The reasons that the database may give, of which any is right; empty: none."""
        if order.bot:
            return {"bot"}
        if not order.email:
            return {"no_recipient"}
        if not order.items:
            return {"empty"}
        reasons = self.suppressions(order.keys)
        if reasons:
            return reasons
        unwanted = self.unwanted(order)
        if unwanted:
            return {unwanted}
        if self.has_ordered(order):
            return {"ordered"}
        return {"already_bought"} if self.has_bought(order) else set()

    def unsold(self, order):
        """What the shop can sell of it is nothing, or too little."""
        if self.stock is None:
            return None
        if not self.sellable(order):
            return "unavailable"
        return "excluded_value" if order.value() < self.exclusions.get("minimum_value", 0) else None

    def mailed_until(self, order):
        """None: nobody is mailed for that cart."""
        if order.status != "abandoned" or order.lost or self.refusals(order) or self.unsold(order):
            return None
        if order.next is not None:
            return math.inf
        return max((m.queued for m in self.messages if m.order is order and m.counts), default=None)

    def has_better_cart(self, order):
        """By any of the person's keys: a cart that is worth more, of the currency used last, and is mailed."""
        for key in order.keys:
            carts = [o for o in self.open() if key in o.keys]
            mailed = {o: self.mailed_until(o) for o in carts}
            latest = {}
            for o in carts:
                if mailed[o] is not None:
                    latest[o.currency] = max(latest.get(o.currency, 0), o.active)

            def rank(o):
                # of two currencies used last at the same instant the one that comes first in the alphabet
                return latest.get(o.currency, 0), [-ord(c) for c in o.currency], o.value(), o.active, o.id.int
            if any(mailed[o] is not None and mailed[o] >= order.abandoned and rank(o) > rank(order) for o in carts if o is not order):
                return True
        return False

    # --- what tick does --------------------------------------------------------

    def decide(self, order, now):
        """(what, reasons, until, drawn): what is queued, skipped or postponed; of an
        order that was settled.  drawn: the person's arm is not known yet."""
        step = self.step_behind(order.kind, order.step)
        reasons = self.refusals(order)
        if not reasons and sum(m.order is order and m.episode == order.episode and m.counts for m in self.messages) >= self.cap_per_episode:
            reasons = {"cap_per_episode"}
        if not reasons and not self.broken and self.has_better_cart(order):
            reasons = {"other_cart"}
        if reasons:
            return "skipped", reasons, None, step
        before = [m.queued for m in self.messages if m.counts and m.keys & order.keys]
        over = max([now] + [at + self.min_gap for at in before])
        awake = order.awake(over)
        until = max(awake, now + STOCK_WAIT if self.broken else now)
        if until > now:
            return "postponed", {"min_gap" if over > now else "quiet_hours" if awake > now else "availability"}, until, step
        if sum(at > now - WINDOW for at in before) >= self.cap_per_person:
            return "skipped", {"cap_per_person"}, None, step
        if self.unsold(order):
            return "skipped", {self.unsold(order)}, None, step
        if self.holdout:
            known = [self.arms[k] for k in order.keys if k in self.arms]
            if not known:
                return "drawn", {"holdout"}, None, step
            if min(known)[1]:
                return "skipped", {"holdout"}, None, step
        return "queued", set(), None, step

    def move_on(self, order, what, until, step, now):
        if what == "postponed":
            order.next = until
            return
        order.step = step[0]
        following = self.step_behind(order.kind, step[0])
        order.next = following and max(order.abandoned + following[1], now + max(following[1] - step[1], HOUR))

    def assign(self, order, held_out, now):
        for key in order.keys:
            self.arms.setdefault(key, (now, held_out))

    # --- what a sender gets ----------------------------------------------------

    def others(self, message):
        return [m for m in self.messages if m is not message and m.keys & (message.keys | message.order.keys)]

    def sellable(self, order):
        return any(self.stock.get(sku, (0,))[0] > 0 for sku in order.left())

    def must_not(self, message, now):
        """The stops that hold a message back for ever; a set of words of the ledger."""
        order, found = message.order, set()
        if order.closed:
            found.add(order.status)
        if order.status != "abandoned" or order.episode != message.episode:
            found.add("customer_returned")
        if order.lost and not message.by_hand:
            found.add("lost")
        if order.forgotten:
            found.add("erased")
        if order.bot:
            found.add("bot")
        if not order.email:
            found.add("no_recipient")
        found |= self.suppressions(order.keys)
        if order.items and order.email and self.unwanted(order):
            found.add(self.unwanted(order))
        if order.abandoned is not None and any(keys & order.keys and at >= order.abandoned and of is not order
                                               for keys, at, of, _ in self.purchases):
            found.add("ordered")
        if not order.left() or self.unsold(order):
            found.add(self.unsold(order) or "excluded_products")
        if now >= message.give_up:
            found.add("too_old")
        if not message.by_hand:
            sent = [m for m in self.others(message) if m.status == "sent"]
            if sum(m.order is order and m.episode == message.episode for m in sent) >= self.cap_per_episode:
                found.add("cap_per_episode")
            if sum(m.sent > now - WINDOW for m in sent) >= self.cap_per_person:
                found.add("cap_per_person")
        return found

    def must_wait(self, message, now):
        """Why a message may not leave yet: words."""
        order, found = message.order, []
        if message.by_hand:
            return found
        if order.is_quiet(now):
            found.append("quiet_hours")
        for m in self.others(message):
            if m.status == "sent" and now - m.sent < self.min_gap:
                found.append(f"min_gap after {m.id}")
            if m.status == "sending" and m.due > now and self.min_gap:
                found.append(f"{m.id} is on its way")
            if m.order is order and m.episode == message.episode and 0 < m.step < message.step and m.status == "sent" \
                    and now < m.sent + message.queued - m.queued:
                found.append(f"distance to {m.id}")
        return found

    def may_wait_until(self, message, now):
        """No later than this, by what there is now; now: it must have been claimed."""
        order, until = message.order, now
        if message.by_hand:
            return until
        until = max(until, order.awake(now))
        for m in self.others(message):
            if m.status == "sent":
                if self.min_gap and m.sent + self.min_gap > now:
                    until = max(until, m.sent + self.min_gap)
                if m.order is order and m.episode == message.episode and 0 < m.step < message.step:
                    until = max(until, m.sent + message.queued - m.queued)
            elif m.counts and (self.min_gap or m.order is order):
                if m.queued <= message.queued or m.by_hand or m.status == "sending":
                    until = max(until, max(m.due, now) + STEP_WAIT)
        return until

"""What happens in the shop of the test: the sessions of the file, and what the file does
not tell, by rules of arithmetic on the number of the visitor.

No SQL here, and nothing of how the extension counts.  Times are those of the file,
moved by shift.  What the rules are is said in README.md.
"""

from bisect import bisect_right
from collections import Counter
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from mails_of_file import address_of, episodes_of, sessions_of

CENT = Decimal("0.01")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CUT_OFF = HOUR
LOST = 14 * DAY
EXPIRY = 21 * DAY
STEPS = ("cart", "contact", "shipping", "payment", "review")
# message events: (event, whether it is of a machine, minutes after the mail was sent, of whom)
FATES = (
    ("delivered", False, 1, lambda k, step: k % 10 != 9),
    ("bounced", False, 1, lambda k, step: k % 10 == 9),
    ("opened", True, 2, lambda k, step: k % 3 == 0),
    ("clicked", True, 3, lambda k, step: k % 5 == 1),
    ("opened", False, 10, lambda k, step: k % 2 == 0),
    ("clicked", False, 20, lambda k, step: k % 4 == step),
    ("replied", False, 25, lambda k, step: k % 50 == 7),
    ("unsubscribed", False, 30, lambda k, step: k % 25 == 11),
    ("complained", False, 31, lambda k, step: k % 50 == 21),
)


def number_of(visitor):
    return int(visitor) // 4


def takes_part(visitor):
    """Half of the visitors: those with an address, and as many without."""
    return int(visitor) % 4 < 2


def leaves(visitor):
    """Whoever does this is mailed no more after the first mail."""
    return number_of(visitor) % 25 == 11 or number_of(visitor) % 50 == 21


def fates_of(visitor, step, sent_at):
    """(when, event, by a machine) of a mail."""
    k = number_of(visitor)
    return [(sent_at + minutes * MINUTE, event, machine) for event, machine, minutes, whom in FATES if whom(k, step)]


# In the file hardly anybody comes back to what was left: here one in six does to buy it, so much later, and one in six to leave it again.
RETURNS = (2 * HOUR, 20 * HOUR, 27 * HOUR, 80 * HOUR, 6 * DAY, 10 * DAY, 16 * DAY)


def with_returns(events):
    """The events, and those of who comes back: to buy, one in three of them with something more, or only to add something."""
    last, bought, end = {}, set(), datetime.fromisoformat(events[-1]["at"])
    for event in events:
        if event["event"] == "purchase":
            bought.add(event["session"])
        else:
            last[event["session"]] = event
    more = []
    for session, event in last.items():
        k = number_of(event["visitor"])
        # a second to tell it from every other instant
        at = datetime.fromisoformat(event["at"]) + RETURNS[k // 6 % 7] + timedelta(seconds=1)
        buys = k % 6 == 1
        if session in bought or not buys and k % 6 != 4 or at > end:
            continue
        if not buys or k % 18 == 13:
            added = {"sku": "WRAP", "name": "Gift wrapping", "unit_price": "2.95", "quantity": "2"}
            more.append({**event, **added, "at": (at - 10 * MINUTE).isoformat()})
        if buys:
            more.append({**event, "event": "purchase", "at": at.isoformat()})
    return sorted(events + more, key=lambda e: datetime.fromisoformat(e["at"]))


class Episode:
    def __init__(self, number, abandoned, value, items, step, reason, lost):
        self.number, self.abandoned, self.value, self.items, self.step, self.reason = number, abandoned, value, items, step, reason
        self.lost = lost


class Order:
    """A session and what becomes of it by the end."""

    def __init__(self, key, session, lines, end, shift):
        k = self.k = number_of(session.visitor)
        self.key, self.visitor = key, session.visitor
        self.has_address = address_of(session.visitor)[0] is not None
        self.bot = not self.has_address and k % 50 == 5
        self.currency = "EUR" if k % 5 == 2 else "USD"
        self.device = ("mobile", "desktop", "tablet", None)[k % 4]
        self.source = ("newsletter", "search", None)[k % 3]
        self.times = [at + shift for at in session.times]
        self.lines = lines  # what each addition adds: (sku, name, quantity, price)
        self.bought_at = session.bought_at and session.bought_at + shift
        self.created_at, self.value = self.times[0], session.values[-1].quantize(CENT, ROUND_HALF_UP)
        self.episodes = []
        returns = [self.created_at]
        for number, begin, abandoned, ended in episodes_of(session, CUT_OFF):
            abandoned += shift
            if abandoned <= end:
                additions = bisect_right(self.times[:len(lines)], abandoned)
                reason = self.reason_of(number) if abandoned - 15 * MINUTE <= end else None
                self.episodes.append(Episode(number, abandoned, session.value_at(abandoned - shift).quantize(CENT, ROUND_HALF_UP),
                                             self.items(additions), self.step_of(additions - 1), reason,
                                             (ended + shift if ended else end) - abandoned >= LOST - CUT_OFF))
            returns.append(begin + shift)
        self.furthest_step = self.step_of(len(lines) - 1)
        self.decide_status(returns[-1] if not self.bought_at else None, end)
        self.decide_money()
        self.messages = []  # Message, in the order of time
        self.redeemed = None  # (message, what its coupon took off)

    def redeems(self):
        """Whether the coupon of a message is used, if one came: by some of those who come back late."""
        return self.bought_at and self.k // 6 % 7 in (3, 4)

    def context(self):
        told = {"device": self.device, "source": self.source, "bot": self.bot or None}
        return {name: value for name, value in told.items() if value is not None}

    def items(self, additions):
        """sku -> [quantity, value, name] of the cart after so many additions."""
        cart = {}
        for sku, name, quantity, price in self.lines[:additions]:
            line = cart.setdefault(sku, [0, Decimal(0), name])
            line[0] += quantity
            line[1] += quantity * price
        return cart

    def step_of(self, addition):
        """How far the customer came with this addition; one in six tells of no step."""
        return STEPS[min(addition + self.k % 6 - 1, 4)] if self.k % 6 else "cart"

    def reason_of(self, number):
        return ("too_expensive", "shipping_costs", None)[self.k % 3] if number % 2 else None

    def decide_status(self, returned, end):
        last = self.times[-1]
        self.dismissed_at = self.payment_at = None
        if self.bought_at:
            self.status = "converted"
        elif not self.has_address and self.k % 31 == 9 and returned == self.created_at and end - 10 * DAY < last <= end - MINUTE:
            self.status, self.payment_at = "payment_pending", last + MINUTE
            self.furthest_step = STEPS[max(STEPS.index(self.furthest_step), STEPS.index("payment"))]
            self.episodes = []
        elif not self.has_address and self.k % 31 == 8 and last + 5 * HOUR <= end:
            self.status, self.dismissed_at = "dismissed", last + 5 * HOUR
        elif returned + EXPIRY <= end:
            self.status = "expired"
        else:
            self.status = "abandoned" if last + CUT_OFF <= end else "pending"
        if self.status == "dismissed":
            self.episodes[-1].lost = False

    def decide_money(self):
        self.paid_at, self.refund = None, None
        if self.bought_at and self.k % 20 != 13:
            self.paid_at = self.bought_at + (6 * HOUR if self.k % 20 == 3 else 0 * HOUR)
            if self.k % 7 == 4:
                self.refund = (self.paid_at + DAY, (self.value / 4).quantize(CENT, ROUND_HALF_UP))

    def redeem(self, message):
        cost = (self.value / 10).quantize(CENT, ROUND_HALF_UP)
        self.redeemed = (message, cost)
        self.value -= cost


class Message:
    def __init__(self, order, episode, step, at, held_out):
        self.order, self.episode, self.step, self.at, self.held_out = order, episode, step, at, held_out
        self.first = False  # of its episode
        self.fates = [] if held_out else fates_of(order.visitor, step, at)

    def times_of(self, event):
        """When a person did it."""
        return [at for at, what, machine in self.fates if what == event and not machine]


def orders_of(events, end, shift):
    """session -> Order."""
    lines = {}
    for event in events:
        if event["event"] == "add":
            lines.setdefault(event["session"], []).append(
                (event["sku"], event["name"], int(event["quantity"]), Decimal(event["unit_price"])))
    return {key: Order(key, session, lines[key], end, shift) for key, session in sessions_of(events).items()}


def deliver(orders, mails, withheld, with_coupon, shift):
    """Gives each order its messages, and those withheld because the person is held out; with_coupon:
    (session, episode, step) of mails that brought a coupon of a tenth."""
    decided = [(at + shift, key, False) for key, (_, at) in mails.items()] + [(at + shift, key, True) for key, at in withheld.items()]
    seen = Counter()
    for at, (session, episode, step), held_out in sorted(decided):
        message = Message(orders[session], episode, step, at, held_out)
        message.first = not seen[session, episode]
        seen[session, episode] += 1
        orders[session].messages.append(message)
        if (session, episode, step) in with_coupon and message.order.redeems():
            message.order.redeem(message)

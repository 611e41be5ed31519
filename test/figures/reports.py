"""What every report must say, from the orders of story.py and nothing else.

This follows the README's definitions in the plainest way: each figure is counted over
all orders, abandonments or messages, without sums that are kept.
"""

import math
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from story import DAY, MINUTE, STEPS

WINDOW = 5 * DAY
TO_ORDER = 8 * DAY  # of a person, after the draw
SHOP_CURRENCY = "USD"
CAMPAIGN = "cart"
AGES = (0, 1, 2, 3, 5, 7, 14, 30)
BOUNDS = [0, 15, 30, 60, 120, 240, 480, 720, 1440, 2880, 4320, 5760, 7200, 10080, 20160, 43200]
BUCKETS = [0, 1, 2, 5] + [n * 10 ** e for e in range(1, 6) for n in (1, 2, 5)] + [1_000_000]
STATES = ("pending", "payment_pending", "payment_failed", "abandoned", "converted", "expired", "dismissed")


def rate(part, whole):
    return rounded(Fraction(part, whole)) if whole else None


def rounded(share, places=4):
    scale = 10 ** places
    share = Fraction(share) * scale
    whole = (abs(share.numerator) * 2 + share.denominator) // (share.denominator * 2)
    return Decimal(whole if share >= 0 else -whole) / scale


class Left:
    """An abandonment, and what came of it."""

    def __init__(self, order, episode):
        self.order, self.at, self.value, self.step, self.reason = order, episode.abandoned, episode.value, episode.step, episode.reason
        self.items = episode.items
        self.currency, self.device, self.source = order.currency, order.device, order.source
        self.recoverable = any(m.first and m.episode == episode.number for m in order.messages)
        self.last = episode is order.episodes[-1]
        self.lost = episode.lost
        self.outcome = self.click = None
        # paid only, and by the abandonment before the payment
        if order.paid_at and order.episodes and self.last:
            recent = [m for m in order.messages if not m.held_out]
            clicks = [(at, m) for m in recent for at in m.times_of("clicked") if order.paid_at - WINDOW <= at <= order.paid_at]
            mailed = [m for m in recent if order.paid_at - WINDOW <= m.at <= order.paid_at and not m.times_of("bounced")]
            if order.redeemed:
                clicks.append((order.bought_at, order.redeemed[0]))
            self.outcome = "recovered" if clicks else "assisted" if mailed else "unaided"
            if clicks:
                self.click = max(clicks, key=lambda c: c[0])[1]
            self.paid = order.value - (order.refund[1] if order.refund else 0)
            self.minutes = (order.paid_at - self.at) // MINUTE


class Reports:
    """counted: the zone and the instant of what was added up for good before the shop moved to
    this zone: carts that were left, and persons whose time to order was over. Their days stay."""

    def __init__(self, orders, held_out_visitors, zone, since, until, counted=None):
        self.zone, self.since, self.until = zone, since, until
        self.counted_zone, self.counted_at = counted or (zone, None)
        people = [o for o in orders.values() if not o.bot]
        self.bots = [o for o in orders.values() if o.bot and self.within(o.created_at)]
        self.orders = [o for o in people if self.within(o.created_at)]
        self.all_left = [Left(o, e) for o in people for e in o.episodes]
        self.left = [x for x in self.all_left if self.within(x.at)]
        self.messages = [m for o in people for m in o.messages]
        self.people, self.held_out_visitors = people, held_out_visitors
        self.currencies = sorted({o.currency for o in people})

    def local(self, at):
        return at.astimezone(self.zone)

    def day(self, at):
        return self.local(at).date()

    def within(self, at):
        return self.since <= self.day(at) < self.until

    def was_within(self, at):
        return self.since <= at.astimezone(self.counted_zone).date() < self.until

    def hour(self, at):
        local = self.local(at)
        return local.isoweekday(), local.hour

    # --- what several reports have ---

    def outcomes(self, left):
        row = {"recoverable": sum(x.recoverable for x in left)}
        for what in "recovered", "assisted", "unaided":
            row[what] = sum(x.outcome == what for x in left)
            row[what + "_value"] = sum((x.paid for x in left if x.outcome == what), Decimal(0))
        row["lost"] = sum(x.lost for x in left)
        row["lost_value"] = sum((x.value for x in left if x.lost), Decimal(0))
        row["recovery_rate"] = rate(row["recovered"], row["recoverable"])
        return row

    def episodes(self, left):
        return {"episodes": len(left), "episode_value": sum((x.value for x in left), Decimal(0)), **self.outcomes(left)}

    @staticmethod
    def direct(orders):
        bought = [o for o in orders if o.bought_at and not o.episodes]
        return {"direct": len(bought), "direct_value": sum((o.value for o in bought), Decimal(0))}

    def states(self, orders):
        row = {"total": len(orders), **{state: sum(o.status == state for o in orders) for state in STATES}}
        for name, state in ("total_value", None), ("abandoned_value", "abandoned"), ("converted_value", "converted"):
            row[name] = sum((o.value for o in orders if state in (None, o.status)), Decimal(0))
        return row

    def grouped(self, key_of_order, key_of_left, figures):
        """(key, currency) -> row, of each that has something."""
        groups = defaultdict(lambda: ([], []))
        for o in self.orders if key_of_order else ():
            groups[key_of_order(o), o.currency][0].append(o)
        for x in self.left:
            groups[key_of_left(x), x.currency][1].append(x)
        return {key: figures(orders, left) for key, (orders, left) in groups.items()}

    # --- the reports: a list of rows each ---

    def statistics(self):
        rows = []
        for currency in self.currencies:
            if currency != SHOP_CURRENCY and not any(
                    [o for o in self.orders if o.currency == currency] + [x for x in self.left if x.currency == currency and (x.outcome or x.lost)]
                    + [m for m in self.messages if m.order.currency == currency and self.active(m)] + self.arms(currency)):
                continue
            orders = [o for o in self.orders if o.currency == currency]
            left = [x for x in self.left if x.currency == currency]
            row = {"currency": currency, **self.states(orders), **self.outcomes(left), "direct": self.direct(orders)["direct"]}
            for name in "assisted_value", "unaided_value", "lost":
                del row[name]
            sent = [m for m in self.messages if m.order.currency == currency and not m.held_out and self.within(m.at)]
            row["recovery_attempts"] = row["messages_sent"] = len(sent)
            row["conversion_rate"] = rate(row["converted"], row["total"])
            row["abandonment_rate"] = None if not orders else 1 - row["conversion_rate"]
            beyond = [o for o in orders if o.furthest_step != "cart" and o.status != "pending"]
            row["checkout_abandonment_rate"] = 1 - rate(sum(o.status == "converted" for o in beyond), len(beyond)) if beyond else None
            first = [o for o in orders if o.episodes]
            microseconds = sum((o.episodes[0].abandoned - o.created_at) // timedelta(microseconds=1) for o in first)
            row["average_days_to_abandon"] = rate(microseconds, 86_400_000_000 * len(first))
            minutes = sorted(x.minutes for x in left if x.outcome == "recovered")
            for name, tenths in ("median_time_to_recover", 5), ("p90_time_to_recover", 9):
                row[name] = next((m * MINUTE for n, m in enumerate(minutes, 1) if n * 10 >= len(minutes) * tenths), None)
            row.update(self.lift(currency))
            rows.append(row)
        return rows

    def active(self, message):
        return self.within(message.at) or any(self.within(at) for at, _, machine in message.fates if not machine)

    def statistics_of_bots(self):
        return [{"currency": c, **self.states([o for o in self.bots if o.currency == c])} for c in sorted({o.currency for o in self.bots})]

    def statistics_by_day(self):
        shown = {r["currency"] for r in self.statistics()} | {x.currency for x in self.left}
        rows = []
        for currency in sorted(shown):
            orders, left, sent = defaultdict(list), defaultdict(list), defaultdict(int)
            for o in self.orders:
                if o.currency == currency:
                    orders[self.day(o.created_at)].append(o)
            for x in self.left:
                if x.currency == currency:
                    left[self.day(x.at)].append(x)
            for m in self.messages:
                if m.order.currency == currency and not m.held_out:
                    sent[self.day(m.at)] += 1
            for n in range((self.until - self.since).days):
                day = self.since + n * DAY
                states = self.states(orders[day])
                rows.append({"day": day, "currency": currency, **{c: states[c] for c in ("total", "converted", "converted_value")},
                             "conversion_rate": rate(states["converted"], states["total"]), **self.direct(orders[day]),
                             **self.episodes(left[day]), "recovery_attempts": sent[day], "messages_sent": sent[day]})
        return rows

    def statistics_by_hour(self):
        found = self.grouped(lambda o: self.hour(o.created_at), lambda x: self.hour(x.at), lambda orders, left: (orders, left))
        rows = []
        for currency in sorted({c for _, c in found} | {SHOP_CURRENCY}):
            for weekday in range(1, 8):
                for hour in range(24):
                    orders, left = found.get(((weekday, hour), currency), ([], []))
                    rows.append({"weekday": weekday, "hour": hour, "currency": currency, "created": len(orders), **self.direct(orders), **self.episodes(left)})
        return rows

    @staticmethod
    def bucket(value):
        return max(n for n, bound in enumerate(BUCKETS) if bound <= value)

    def statistics_by_value(self):
        found = self.grouped(lambda o: self.bucket(o.value), lambda x: self.bucket(x.value),
                             lambda orders, left: {**self.direct(orders), **self.episodes(left)})
        return [{"currency": c, "value_from": BUCKETS[n], "value_before": BUCKETS[n + 1] if n + 1 < len(BUCKETS) else None, **row}
                for (n, c), row in found.items() if row["direct"] or row["episodes"]]

    def statistics_by_step(self):
        found = self.grouped(lambda o: o.furthest_step, lambda x: x.step, lambda orders, left: {**self.direct(orders), **self.episodes(left)})
        return [{"step": step, "currency": c, **row} for (step, c), row in found.items() if row["direct"] or row["episodes"]]

    def statistics_by_reason(self):
        rows = []
        for (reason, currency), row in self.grouped(None, lambda x: x.reason, lambda _, left: self.episodes(left)).items():
            kept = {n: v for n, v in row.items() if n not in ("recoverable", "lost", "lost_value", "recovery_rate")}
            rows.append({"reason": reason, "currency": currency, **kept, "recovered_share": rate(row["recovered"], row["episodes"])})
        return rows

    def by_word(self, word):
        found = self.grouped(lambda o: getattr(o, word), lambda x: getattr(x, word),
                             lambda orders, left: {"created": len(orders), **self.direct(orders), **self.episodes(left)})
        return [{word: key, "currency": c, **row} for (key, c), row in found.items()]

    def statistics_by_device(self):
        return self.by_word("device")

    def statistics_by_source(self):
        return self.by_word("source")

    def statistics_by_product(self):
        rows = {}
        for x in self.all_left:
            recovered = x.outcome == "recovered" and self.within(x.at)
            for of, items in (("abandoned", x.items if self.was_within(x.at) else {}),
                              ("recovered", x.order.items(len(x.order.lines)) if recovered else {})):
                for sku, (quantity, value, name) in items.items():
                    row = rows.setdefault((sku, x.currency), {"product": sku, "name": name, "currency": x.currency, **{
                        what + part: 0 for what in ("abandoned", "recovered") for part in ("", "_quantity", "_value")}})
                    row[of] += 1
                    row[of + "_quantity"] += quantity
                    row[of + "_value"] += value
        return [{**row, "recovered_share": rate(row["recovered"], row["abandoned"])} for row in rows.values()]

    def statistics_by_campaign(self):
        rows = defaultdict(lambda: dict.fromkeys(
            ["queued", "held_out", "sent", "failed", "delivered", "opened", "clicked", "replied", "unsubscribed", "bounced", "complained", "converted",
             "revenue", "coupon_cost"], 0))
        for m in self.messages:
            key = m.step, m.order.currency
            if self.within(m.at) and (m.first or not m.held_out):
                for what in ("held_out",) if m.held_out else ("queued", "sent"):
                    rows[key][what] += 1
            for at, what, machine in m.fates:
                if not machine and self.within(at):
                    rows[key][what] += 1
        for x in self.all_left:
            if x.outcome == "recovered" and self.within(x.order.paid_at):
                row = rows[x.click.step, x.currency]
                row["converted"] += 1
                row["revenue"] += x.paid
                row["coupon_cost"] += x.order.redeemed[1] if x.order.redeemed else 0
        return [{"campaign": CAMPAIGN, "step": step, "variant": None, "currency": currency, **row, **{
            name: rate(row[of], row["sent"]) for name, of in (
                ("open_rate", "opened"), ("click_rate", "clicked"), ("conversion_rate", "converted"), ("unsubscribe_rate", "unsubscribed"),
                ("bounce_rate", "bounced"), ("complaint_rate", "complained"))}} for (step, currency), row in rows.items()]

    def statistics_by_cohort(self):
        def monday(day):
            return day - day.weekday() * DAY
        whole = Reports.__new__(Reports)
        whole.__dict__.update(self.__dict__, since=monday(self.since), until=monday(self.until - DAY) + 7 * DAY)
        whole.left = [x for x in self.all_left if whole.within(x.at)]
        today = datetime.now(self.zone).date()
        # the file is years old: three days and the attribution window are long over
        return [{"week": week, "currency": c, "days_old": (today - week).days - 6, "mature": True, **row}
                for (week, c), row in whole.grouped(None, lambda x: monday(self.day(x.at)), lambda _, left: self.episodes(left)).items()]

    def statistics_by_cohort_age(self):
        rows = []
        for cohort in self.statistics_by_cohort():
            until = cohort["week"] + 7 * DAY
            ages = [(x.minutes // 1440, x.paid) for x in self.all_left if x.outcome == "recovered" and x.currency == cohort["currency"]
                    and cohort["week"] <= self.day(x.at) < until]
            for n, bound in enumerate(AGES):
                before = AGES[n + 1] if n + 1 < len(AGES) else None
                those = [paid for age, paid in ages if bound <= age and (before is None or age < before)]
                so_far = [paid for age, paid in ages if before is None or age < before]
                rows.append({"week": cohort["week"], "currency": cohort["currency"], "days_from": bound, "days_before": before, "state": "over", "mature": True,
                             "episodes": cohort["episodes"], "recoverable": cohort["recoverable"], "recovered": len(those), "recovered_value": sum(those, Decimal(0)),
                             "recovered_so_far": len(so_far), "recovered_value_so_far": sum(so_far, Decimal(0)), "recovery_rate": rate(len(so_far), cohort["recoverable"])})
        return rows

    def statistics_by_recovery_time(self):
        rows = []
        for currency in self.currencies:
            times = [x for x in self.left if x.outcome == "recovered" and x.currency == currency]
            for n, bound in enumerate(BOUNDS if times else []):
                before = BOUNDS[n + 1] if n + 1 < len(BOUNDS) else None
                those = [x for x in times if bound <= x.minutes and (before is None or x.minutes < before)]
                shorter = [x for x in times if before is None or x.minutes < before]
                rows.append({"currency": currency, "time_from": bound * MINUTE, "time_before": None if before is None else before * MINUTE,
                             "recovered": len(those), "recovered_value": sum((x.paid for x in those), Decimal(0)),
                             "share": rate(len(those), len(times)), "share_before": rate(len(shorter), len(times))})
        return rows

    def funnel(self):
        rows = []
        for currency in sorted({o.currency for o in self.orders} | {SHOP_CURRENCY}):
            orders = [o for o in self.orders if o.currency == currency]
            counts = [sum(o.status == "converted" or STEPS.index(o.furthest_step) >= n for o in orders) for n in range(5)]
            counts.append(sum(o.status == "converted" for o in orders))
            for n, (step, count) in enumerate(zip(STEPS + ("converted",), counts)):
                rows.append({"currency": currency, "stage": n + 1, "step": step, "orders": count, "share": rate(count, counts[0]),
                             "from_previous": rate(count, counts[n - 1]) if n else None})
        return rows

    # --- lift: by person, as drawn ---

    def arms(self, currency):
        """(held out, ordered in time) of each person drawn in the period."""
        drawn, bought = {}, defaultdict(list)
        for m in sorted(self.messages, key=lambda m: m.at):
            drawn.setdefault(m.order.visitor, (m.at, m.order.currency))
        for o in self.people:
            if o.bought_at:
                bought[o.visitor].append(o.bought_at)
        return [(visitor in self.held_out_visitors, any(at <= b <= at + TO_ORDER for b in bought[visitor]))
                for visitor, (at, c) in drawn.items() if c == currency
                and (self.was_within if self.counted_at and at + TO_ORDER <= self.counted_at else self.within)(at)]

    def lift(self, currency):
        arms = self.arms(currency)
        n, y = [[sum(a[0] == held and (a[1] or not only) for a in arms) for held in (False, True)] for only in (False, True)]
        row = {"treated": n[0], "held_out": n[1], "lift": None, "lift_low": None, "lift_high": None, "lift_reason": "not enough data"}
        if min(n) >= 100:
            (p1, low1, high1), (p2, low2, high2) = (wilson(y[i], n[i]) for i in (0, 1))
            row.update(lift_reason=None, lift=places(p1 - p2), lift_low=places(p1 - p2 - math.hypot(p1 - low1, high2 - p2)),
                       lift_high=places(p1 - p2 + math.hypot(high1 - p1, p2 - low2)))
        return row


def places(value):
    return Decimal(repr(value)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def wilson(part, whole):
    """A share and its 95 % score interval, as Wilson (1927) gives it: the roots of a quadratic equation."""
    z2 = 1.959963984540054 ** 2
    a, b, c = whole + z2, 2 * part + z2, part * part / whole
    root = math.sqrt(b * b - 4 * a * c)
    return part / whole, (b - root) / (2 * a), (b + root) / (2 * a)


NAMES = ("statistics", "statistics_of_bots", "statistics_by_day", "statistics_by_hour", "statistics_by_value", "statistics_by_step", "statistics_by_reason",
         "statistics_by_device", "statistics_by_source", "statistics_by_product", "statistics_by_campaign", "statistics_by_cohort",
         "statistics_by_cohort_age", "statistics_by_recovery_time", "funnel")
# what tells the rows of a report apart
KEYS = {"day", "weekday", "hour", "value_from", "step", "reason", "device", "source", "product", "campaign", "week", "days_from", "time_from", "stage", "currency"}

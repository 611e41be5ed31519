"""Who must get which recovery mail, and when: from the sessions of the file and nothing else.

This follows what the README says of campaigns, in the plainest way, and knows nothing of
how the extension does it. All times are those of the file.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

HOUR = timedelta(hours=1)
DELAYS = (HOUR, 24 * HOUR, 72 * HOUR)  # of the three steps, after the abandonment
NOT_OLDER = timedelta(days=1)  # carts left longer before the campaign was enabled are not mailed
WINDOW = timedelta(days=5)  # within which a cart like what was just bought is no new one

# The file has no addresses and no names. One visitor in four is given both.
SHARE = 4
FIRST_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Elif", "Fatima", "George", "Hanna", "İnci", "João", "Katja", "Łukasz", "Mei")
LAST_NAMES = ("Andersson", "Brontë", "Çelik", "Dvořák", "Evans", "Fischer", "García", "Hoang", "Ivanova", "Jones", "Kowalski")


def address_of(visitor):
    """(address, name) of a visitor, (None, None) of those who never told."""
    number = int(visitor)
    if number % SHARE:
        return None, None
    number //= SHARE
    return (f"visitor-{visitor}@example.com",
            f"{FIRST_NAMES[number % len(FIRST_NAMES)]} {LAST_NAMES[number % len(LAST_NAMES)]}")


class Session:
    def __init__(self, visitor, number):
        self.visitor, self.number, self.times, self.skus, self.bought_at = visitor, number, [], set(), None
        self.values = []  # of the cart, at each of the times

    def value_at(self, instant):
        return self.values[bisect_right(self.times, instant) - 1]


def sessions_of(events):
    sessions = {}
    for event in events:
        session = sessions.setdefault(event["session"], Session(event["visitor"], len(sessions)))
        session.times.append(datetime.fromisoformat(event["at"]))
        value = session.values[-1] if session.values else Decimal(0)
        if event["event"] == "purchase":
            session.bought_at = session.times[-1]
        else:
            session.skus.add(event["sku"])
            value += Decimal(event["unit_price"]) * int(event["quantity"])
        session.values.append(value)
    return sessions


def episodes_of(session, cut_off):
    """(number, begin, abandoned, ended or None) of each time that the session was left."""
    begin, number = session.times[0], 1
    for last, following in zip(session.times, session.times[1:] + [None]):
        if following is None and last == session.bought_at:
            return
        if following is None or following - last >= cut_off:
            yield number, begin, last + cut_off, following
            begin, number = following, number + 1


class Episode:
    """One time that a cart was left, and when each step of its sequence is decided."""

    def __init__(self, key, session, number, begin, abandoned, ended):
        self.key, self.session, self.number = key, session, number
        self.begin, self.abandoned, self.ended = begin, abandoned, ended
        self.decided = []  # one instant for each step, as far as it came
        self.mailed = []

    def rank(self, cut_off):
        """The best of a person's carts is the most valuable one, then the one used last."""
        used = self.abandoned - cut_off
        return self.session.value_at(used), used, self.session.number


def mails_of(events, ticks, enabled, cut_off, held_out=frozenset(), leaves=lambda visitor: False):
    """(session, episode, step) -> (address, when it is queued), -> the reason why it is not,
    and -> when it was withheld because the person is held out.

    ticks: when the clock was called, the last of them after the last event and every
    other one before an event of the same instant.  held_out: visitors that are never
    mailed, to measure what mails do; leaves: whether that visitor unsubscribes at the
    first mail.
    """
    sessions = sessions_of(events)
    purchases = defaultdict(list)  # visitor -> (when, what)
    episodes = defaultdict(list)  # visitor -> those that the campaign is for
    for key, session in sessions.items():
        if session.bought_at:
            purchases[session.visitor].append((session.bought_at, session.skus))
        for number, begin, abandoned, ended in episodes_of(session, cut_off):
            if abandoned >= enabled - NOT_OLDER:
                episodes[session.visitor].append(Episode(key, session, number, begin, abandoned, ended))

    def happened(instant, tick):
        return instant is not None and (instant < tick or tick is ticks[-1])

    def refusal(session, begin, tick):
        """Why nothing is sent to this person at that tick, or None."""
        bought = [(at, skus) for at, skus in purchases[session.visitor] if happened(at, tick)]
        if address_of(session.visitor)[0] is None:
            return "no_recipient"
        if left.get(session.visitor, tick) < tick:
            return "unsubscribed"
        if any(at > begin for at, _ in bought):
            return "ordered"
        opened = session.times[0]
        if any(at <= opened < at + WINDOW and session.skus <= skus for at, skus in bought):
            return "already_bought"
        return None

    def decide_steps(episode):
        done = None
        for step, delay in enumerate(DELAYS, 1):
            due = episode.abandoned + delay
            if done:  # a late step makes the next ones later
                due = max(due, done + delay - DELAYS[step - 2])
            at = bisect_left(ticks, max(due, enabled))
            if at == len(ticks) or happened(episode.ended, ticks[at]):
                break
            done = ticks[at]
            episode.decided.append(done)

    def stands_back(episode, tick):
        """Whether the person left a better cart, for which a mail waits or was sent since this one was left."""
        return any(
            other.session is not episode.session
            and other.abandoned <= tick and not happened(other.ended, tick)
            and other.rank(cut_off) > episode.rank(cut_off)
            and (sum(done < tick for done in other.decided) < len(DELAYS) or any(at >= episode.abandoned for at in other.mailed))
            and refusal(other.session, other.begin, tick) is None
            for other in episodes[episode.session.visitor])

    mails, refused, withheld, left = {}, {}, {}, {}
    for of_visitor in episodes.values():
        for episode in of_visitor:
            decide_steps(episode)
        decisions = ((tick, step, episode) for episode in of_visitor for step, tick in enumerate(episode.decided, 1))
        for tick, step, episode in sorted(decisions, key=lambda decision: decision[0]):
            reason = refusal(episode.session, episode.begin, tick)
            if reason is None and stands_back(episode, tick):
                reason = "other_cart"
            key, visitor = (episode.key, episode.number, step), episode.session.visitor
            if reason is None and visitor in held_out:
                reason, withheld[key] = "holdout", tick
            if reason:  # of this step; the next one is decided anew
                refused[key] = reason
            else:
                mails[key] = (address_of(visitor)[0], tick)
                episode.mailed.append(tick)
                if leaves(visitor):
                    left.setdefault(visitor, tick)
    return mails, refused, withheld

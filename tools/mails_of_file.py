"""Who must get which recovery mail, and when: from the sessions of the file and nothing else.

This follows what the README says of campaigns, in the plainest way, and knows nothing of
how the extension does it. All times are those of the file.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from datetime import datetime, timedelta

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
    def __init__(self, visitor):
        self.visitor, self.times, self.skus, self.bought_at = visitor, [], set(), None


def sessions_of(events):
    sessions = {}
    for event in events:
        session = sessions.setdefault(event["session"], Session(event["visitor"]))
        session.times.append(datetime.fromisoformat(event["at"]))
        if event["event"] == "purchase":
            session.bought_at = session.times[-1]
        else:
            session.skus.add(event["sku"])
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


def mails_of(events, ticks, enabled, cut_off, stood_back):
    """(session, episode, step) -> (address, when it is queued), and -> the reason why it is not.

    ticks: when the clock was called, the last of them after the last event and every
    other one before an event of the same instant. stood_back: (session, episode, step) that
    gave way to a better cart of the same person; taken as true of whoever has several.
    """
    sessions = sessions_of(events)
    purchases = defaultdict(list)  # visitor -> (when, what)
    sessions_per_visitor = Counter(session.visitor for session in sessions.values())
    for session in sessions.values():
        if session.bought_at:
            purchases[session.visitor].append((session.bought_at, session.skus))

    def happened(instant, tick):
        return instant is not None and (instant < tick or tick is ticks[-1])

    def refusal(session, begin, tick):
        """Why nothing is sent to this person at that tick, or None."""
        bought = [(at, skus) for at, skus in purchases[session.visitor] if happened(at, tick)]
        if address_of(session.visitor)[0] is None:
            return "no_recipient"
        if any(at > begin for at, _ in bought):
            return "ordered"
        opened = session.times[0]
        if any(at <= opened < at + WINDOW and session.skus <= skus for at, skus in bought):
            return "already_bought"
        return None

    mails, refused = {}, {}
    for key, session in sessions.items():
        for number, begin, abandoned, ended in episodes_of(session, cut_off):
            if abandoned < enabled - NOT_OLDER:
                continue
            done = None
            for step, delay in enumerate(DELAYS, 1):
                due = abandoned + delay
                if done:  # a late step makes the next ones later
                    due = max(due, done + delay - DELAYS[step - 2])
                at = bisect_left(ticks, max(due, enabled))
                if at == len(ticks) or happened(ended, ticks[at]):
                    break
                done = ticks[at]
                reason = refusal(session, begin, done)
                if reason is None and (key, number, step) in stood_back and sessions_per_visitor[session.visitor] > 1:
                    reason = "other_cart"
                if reason:  # of this step; the next one is decided anew
                    refused[key, number, step] = reason
                else:
                    mails[key, number, step] = (address_of(session.visitor)[0], done)
    return mails, refused

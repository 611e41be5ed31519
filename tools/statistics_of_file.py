"""What the reports must say of a replay: from the sessions of the file and nothing else.

This follows what the README says of the figures, in the plainest way, and knows nothing of
how the extension adds them up. All times are those of the file, moved by shift.
Nobody clicks in a mail, and the sender's clock is the real one: every mail is sent after
the last purchase, so whoever came back did so unaided.
"""

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from mails_of_file import episodes_of, sessions_of

CENT = Decimal("0.01")


def rounded(share, places=4):
    """A share or a mean as numeric rounds it."""
    scale = 10 ** places
    return Decimal((share.numerator * scale * 2 + share.denominator) // (share.denominator * 2)) / scale


def statistics_of(events, lives, mails, cut_off, end, zone, shift):
    """(figures of statistics(), day -> figures of statistics_by_day(), step -> queued)."""
    figures, days = Counter(), defaultdict(Counter)
    first_abandoned, time_to_abandon = 0, timedelta(0)
    mailed = {key[:2] for key in mails}

    def day_of(at):
        return days[(at + shift).astimezone(zone).date()]

    for key, session in sessions_of(events).items():
        value = session.values[-1].quantize(CENT, ROUND_HALF_UP)
        status, lost, bought = lives[key][0], lives[key][5], session.bought_at is not None
        left = [e for e in episodes_of(session, cut_off) if e[2] <= end]
        begun = day_of(session.times[0])
        for counter in figures, begun:
            counter["total"] += 1
            counter["converted"] += bought
            counter["converted_value"] += value if bought else 0
            counter["direct"] += bought and not left
        figures[status] += status != "converted"
        figures["total_value"] += value
        figures["abandoned_value"] += value if status == "abandoned" else 0
        if left:
            first_abandoned += 1
            time_to_abandon += left[0][2] - session.times[0]
        for number, _, abandoned, _ in left:
            day = day_of(abandoned)
            day["episodes"] += 1
            day["episode_value"] += session.value_at(abandoned).quantize(CENT, ROUND_HALF_UP)
            for counter in figures, day:
                counter["recoverable"] += (key, number) in mailed
        if left:
            for counter in figures, day_of(left[-1][2]):
                counter["unaided"] += bought
                counter["lost_value"] += value if lost else 0
    for _, queued in mails.values():
        for counter in figures, day_of(queued):
            counter["recovery_attempts"] += 1
    figures["messages_sent"] = len(mails)
    figures["conversion_rate"] = rounded(Fraction(figures["converted"], figures["total"]))
    figures["abandonment_rate"] = 1 - figures["conversion_rate"]
    figures["average_days_to_abandon"] = rounded(Fraction(time_to_abandon // timedelta(microseconds=1), 86_400_000_000 * first_abandoned))
    return dict(figures), {day: dict(counter) for day, counter in days.items()}, Counter(key[2] for key in mails)

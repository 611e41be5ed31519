#!/usr/bin/python3
"""Reads every mail that the demo kept, with Python's own parser, and asks of each what a
shop relies on. Prints "ok NAME" or "not ok NAME: detail" for each question.

Arguments: the folder of the mails, the events of the replay, and a file with one line for
each message of the database: its Message-ID, session, episode, step and recipient, and in
the first line the instant of the last event of the replay. Who bought what is taken from
the events, not from the database.
"""

import csv
import email
import email.policy
import gzip
import re
import sys
from collections import Counter, defaultdict
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

POSTAL_ADDRESS = "1 Example Street"
faults = defaultdict(list)
questions = []


def question(text):
    questions.append(text)
    return text


PARSES = question("every mail parses without a defect")
KNOWN = question("every mail is one of the database's, to its recipient")
ONCE = question("no mail came twice, and none of one step twice")
HEADERS = question("every mail has From, Reply-To, Date and Subject")
UNSUBSCRIBE = question("every mail says how to unsubscribe")
PARTS = question("every mail has a text part and then an HTML part, each with link and postal address")
NAMES = question("every mail is about a cart whose products it names")
BOUGHT = question("nobody was mailed who had bought since they left the cart")


def read_sessions(path):
    """session -> (visitor, [instants], names of products), visitor -> [instants of purchases]"""
    times, visitors, names, purchases = defaultdict(list), {}, defaultdict(set), defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for event in csv.DictReader(file):
            at = datetime.fromisoformat(event["at"])
            times[event["session"]].append(at)
            visitors[event["session"]] = event["visitor"]
            if event["event"] == "purchase":
                purchases[event["visitor"]].append(at)
            else:
                names[event["session"]].add(event["name"])
    return times, visitors, names, purchases


def squeezed(text):
    return re.sub(r"\s+", " ", text)


def check_parts(mail, say):
    kinds = [part.get_content_type() for part in mail.iter_parts()]
    if mail.get_content_type() != "multipart/alternative" or kinds != ["text/plain", "text/html"]:
        say(PARTS, f"{mail.get_content_type()} of {kinds}")
        return ""
    for part in mail.iter_parts():
        content = part.get_content()
        if POSTAL_ADDRESS not in squeezed(content):
            say(PARTS, f"no postal address in {part.get_content_type()}")
        if not re.search(r"http://127\.0\.0\.1:\d+/[rc]/[A-Za-z0-9_-]{43}", content):
            say(PARTS, f"no link to the cart in {part.get_content_type()}")
    return next(mail.iter_parts()).get_content()


def check_headers(mail, say):
    for name in "From", "Reply-To", "Date", "Subject":
        if len(mail.get_all(name, [])) != 1 or not str(mail[name]).strip():
            say(HEADERS, name)
    if "orders@example.com" not in str(mail["From"]):
        say(HEADERS, f"From: {mail['From']}")
    if not re.fullmatch(r"<http://127\.0\.0\.1:\d+/u/[A-Za-z0-9_-]{43}>(, <mailto:[^>]+>)?", squeezed(str(mail["List-Unsubscribe"] or ""))):
        say(UNSUBSCRIBE, f"List-Unsubscribe: {mail['List-Unsubscribe']}")
    # RFC 8058 wants https for one click, which a server on loopback has not.
    if mail["List-Unsubscribe-Post"] is not None:
        say(UNSUBSCRIBE, f"List-Unsubscribe-Post: {mail['List-Unsubscribe-Post']}")


def main(folder, events, messages):
    times, visitors, names, purchases = read_sessions(events)
    with open(messages, encoding="utf-8", newline="") as file:
        last = datetime.fromisoformat(file.readline().strip())
        known = {row[0]: row[1:] for row in csv.reader(file)}
    shift = last - max(instants[-1] for instants in times.values())
    seen = Counter()
    for path in sorted(Path(folder).glob("*.eml")):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)

        def say(text, detail):
            faults[text].append(f"{path.name}: {detail}")

        check_headers(mail, say)
        text = check_parts(mail, say)
        # only now: what was not read or decoded yet has shown no defect
        defects = [str(d) for part in mail.walk() for d in (*part.defects, *(d for h in part.values() for d in h.defects))]
        if defects:
            say(PARSES, defects[0])
        row = known.get(str(mail["Message-ID"]).strip())
        if not row or [a.addr_spec for a in mail["To"].addresses] != [row[3]]:
            say(KNOWN, f"{mail['Message-ID']} to {mail['To']}")
            continue
        session, episode, step, recipient = row
        seen[session, episode, step] += 1
        if seen[session, episode, step] > 1:
            say(ONCE, f"session {session}, episode {episode}, step {step}")
        if session not in visitors:  # not of the replay: made by hand
            continue
        if recipient != f"visitor-{visitors[session]}@example.com":
            say(KNOWN, f"session {session} belongs to visitor {visitors[session]}, mail to {recipient}")
        if not any(squeezed(name) in squeezed(text) for name in names[session]):
            say(NAMES, f"session {session}")
        sent = parsedate_to_datetime(mail["Date"]) - shift
        left = max(t for t in times[session] if t <= sent)
        if any(left <= at <= sent for at in purchases[visitors[session]]):
            say(BOUGHT, f"visitor {visitors[session]}, session {session}")
    if not seen:
        for text in questions:
            faults[text].append("there is no mail")
    for text in questions:
        print(f"not ok {text}: {len(faults[text])}, such as {'; '.join(faults[text][:3])}" if faults[text] else f"ok {text}")


main(*sys.argv[1:])

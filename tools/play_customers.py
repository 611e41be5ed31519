#!/usr/bin/python3
"""Plays some of the customers whom the demo has mailed: they open their mail, follow its link and buy.

The replayed file knows of no mails, so nobody in it can answer one, and what recovery
earns would stay empty. Of each six people who were mailed one opens the mail; of these
two in three press the button of the page that its link leads to; and of these two in
three buy. Which ones follows from their addresses alone. They do it as a browser would,
over HTTP; everything after that is what a shop would do.

    tools/play_customers.py MAIL-FOLDER

The connection comes from the environment (PGHOST, PGPORT, PGUSER, PGDATABASE).
"""

import email
import email.policy
import re
import sys
import time
import urllib.request
import zlib
from pathlib import Path

import psycopg

# Seconds that a person looks at a mail, and at a cart: who is faster is taken for a program.
READING = 3

BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml",
    "Accept-Language": "en-GB,en;q=0.5",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


def visit(url, data=None, **headers):
    request = urllib.request.Request(url, data=data, headers={**BROWSER, **headers})
    # Loopback only, whatever proxy the environment names.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return answer.read().decode(errors="replace")


def last_mail_of_each(folder):
    """(address, HTML part) of the newest mail to each person."""
    mails = {}
    for file in sorted(folder.glob("[0-9]*.eml")):
        with file.open("rb") as source:
            to = email.message_from_binary_file(source, policy=email.policy.default)["To"].addresses[0].addr_spec
        mails[to] = file.with_suffix(".html")
    return sorted((to, html.read_text()) for to, html in mails.items())


def link(kind, html):
    return re.search(rf"http://127\.0\.0\.1:\d+/{kind}/[A-Za-z0-9_-]+", html).group()


def main():
    mails = [(zlib.crc32(to.encode()), html) for to, html in last_mail_of_each(Path(sys.argv[1]))]
    readers = [(chance // 6, html) for chance, html in mails if chance % 6 == 0]
    for _, html in readers:
        visit(link("o", html), Accept="image/*", **{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"})
    time.sleep(READING)
    buyers = []
    restored = 0
    for chance, html in readers:
        if chance % 3 == 0:
            continue
        reference = re.search(r"Reference (INC-\w+)", visit(link("r", html)))
        if reference is None:  # bought or gone in the meantime: the page says so
            continue
        visit(link("r", html), data=b"")
        restored += 1
        if chance // 3 % 3:
            buyers.append(reference.group(1))
    time.sleep(READING)
    with psycopg.connect(autocommit=True) as conn:
        bought = conn.execute(
            "SELECT count(*) FROM incomplete_orders.incomplete_orders o, incomplete_orders.convert_order(o.id)"
            " WHERE o.reference = ANY (%s) AND o.can_convert",
            (buyers,),
        ).fetchone()[0]
    print(f"  {len(readers)} people open their last mail, {restored} press the button behind its link, {bought} buy")


main()

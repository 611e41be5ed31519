#!/usr/bin/python3
"""What customers and staff do while messages go out, for the test of chaos.

    shoppers.py SEED LOG

Again and again somebody buys, buys under another session, unsubscribes, comes back or is dismissed: an
order that nobody touched yet, every other time one whose message is just being sent.  What
was done is a JSON line in LOG once its commit was seen: {"order", "action", "before", "after"}.
A lost connection makes the outcome unknown: {"order", "action", "unknown": true}, and the order is left alone.
It ends when it is asked to (SIGTERM), between two of these, or with whoever started it.
"""
import json
import os
import random
import signal
import sys
import time

import psycopg

CART = '[{"sku":"A","quantity":1,"unit_price":"19.90"}]'
ACTIONS = {
    "convert": "SELECT order_id FROM incomplete_orders.convert_order(%(id)s)",
    "elsewhere": "SELECT order_id FROM incomplete_orders.convert_order(incomplete_orders.capture_cart('other-' || %(session)s, %(cart)s, email => %(email)s))",
    "unsubscribe": "SELECT incomplete_orders.unsubscribe((incomplete_orders._link_tokens(id, queued_at)).unsubscribe)"
                   " FROM incomplete_orders.messages WHERE order_id = %(id)s",
    "capture": "SELECT incomplete_orders.capture_cart(%(session)s, %(cart)s)",
    "dismiss": "SELECT incomplete_orders.dismiss_order(%(id)s, 'test')",
}
PICK = {
    "any": "SELECT id, session_id, email FROM incomplete_orders.open_orders WHERE id = %s",
    "now": "SELECT o.id, o.session_id, o.email FROM incomplete_orders.messages m JOIN incomplete_orders.open_orders o ON o.id = m.order_id"
           " WHERE m.status = 'sending' OR m.status = 'queued' AND m.due_at <= now() ORDER BY m.status = 'sending' DESC, m.due_at LIMIT 40",
}


def main(seed, log):
    rng = random.Random(int(seed))
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    touched, ids, db = set(), None, None
    stop, parent = [], os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    while not stop and os.getppid() == parent:
        time.sleep(rng.random() * 0.03)
        what = None
        try:
            if not db:
                db = psycopg.connect("", autocommit=True)
            ids = ids or [row[0] for row in db.execute("SELECT DISTINCT order_id FROM incomplete_orders.messages")]
            if rng.random() < 0.5:
                rows = db.execute(PICK["now"]).fetchall()
            else:
                rows = db.execute(PICK["any"], [rng.choice(ids)]).fetchall()
            rows = [row for row in rows if row[0] not in touched]
            if not rows:
                continue
            order, session, email = rng.choice(rows)
            touched.add(order)
            what = {"order": str(order), "action": rng.choice(list(ACTIONS)), "before": time.time()}
            db.execute(ACTIONS[what["action"]], {"id": order, "session": session, "email": email, "cart": CART}).fetchone()
            what["after"] = time.time()
        except psycopg.OperationalError:
            db = None
            if what:
                what["unknown"] = True
            time.sleep(0.1)
        if what:
            os.write(out, (json.dumps(what) + "\n").encode())


main(*sys.argv[1:])

#!/usr/bin/python3
"""Random lives of carts in each shop, with ticks at random instants, transactions
that stay open meanwhile, and others that are rolled back: after the last settle
what is captured is what the shop's tables say, and nobody is mailed wrongly.

At last several threads write at once while tick runs all the time.

ATTACH_SEED, ATTACH_STEPS and ATTACH_SHOPS may be set.
"""
import os
import random
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shops
from shops import ok

SEED = int(os.environ.get("ATTACH_SEED") or random.SystemRandom().randrange(1_000_000))
STEPS = int(os.environ.get("ATTACH_STEPS") or 120)
wanted = os.environ.get("ATTACH_SHOPS", "").split()
print(f"# ATTACH_SEED={SEED}")


class Open:
    """A transaction of the shop that is not over yet: it has changed a line."""

    def __init__(self, shop, key, line, rng):
        self.conn = shops.connect(shop.db, shop.app)
        self.key = key
        column = "product_uom_qty" if shop.schema == "odoo" else "quantity"
        table = shop.LINES.split(" FROM ")[1].split()[0]
        self.conn.execute("BEGIN")
        savepoints = rng.random() < 0.5
        if savepoints:
            self.conn.execute("SAVEPOINT a")
        self.conn.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [rng.randint(1, 9), line])
        if savepoints and rng.random() < 0.5:
            self.conn.execute("ROLLBACK TO a")
            self.conn.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [rng.randint(10, 19), line])

    def end(self, commit):
        self.conn.execute("COMMIT" if commit else "ROLLBACK")
        self.conn.close()


def step(shop, rng, waiting, said):
    oracle = shop.oracle()
    busy = {str(w.key) for w in waiting}
    carts = {k: v["state"] for k, v in oracle.items() if k not in busy and (shop.mine is None or k in shop.mine)}
    open_ones = [k for k, v in carts.items() if v in ("open", "empty")]
    held = [k for k, v in carts.items() if v == "held"]
    full = [k for k in open_ones if carts[k] == "open"]
    email = f"p{rng.randint(1, 5)}.{shop.number // 1000}@shop.example"

    def merges(key):
        """A login may touch any cart of that person: none of which a transaction holds."""
        return not waiting

    choices = [(3, "create", open_ones or [None])]
    if open_ones:
        choices += [(4, "add", open_ones), (2, "touch", open_ones), (2, "contact", open_ones), (1, "discard", open_ones)]
        if merges(None):
            choices.append((2, "login", open_ones))
    if full:
        choices += [(3, "change", full), (2, "remove", full), (1, "pay", full), (2, "complete", full), (1, "hold", full)]
        if not shop.holds:
            choices.append((1, "decline", full))
        if shop.schema == "medusa":
            choices += [(2, "region", full), (2, "slow decline", full)]
        if shop.schema == "odoo":
            choices += [(1, "note", full), (1, "delivery", full)]
        if shop.schema == "saleor":
            choices.append((2, "look", full))
    if held:
        choices += [(3, "decline", held), (2, "complete", held)]
    if waiting:
        choices.append((4, "end", waiting))
    _, what, among = rng.choices(choices, [c[0] for c in choices])[0]
    if what == "create":
        said.append(f"create {shop.create(quantity=rng.randint(1, 3))}")
        return
    if what == "end":
        w = waiting.pop(rng.randrange(len(waiting)))
        commit = rng.random() < 0.7
        w.end(commit)
        said.append(f"{'commit' if commit else 'rollback'} {w.key}")
        return
    key = rng.choice(among)
    said.append(f"{what} {key}")
    if what == "add":
        shop.add(key, None, rng.randint(1, 3))
    elif what in ("change", "remove", "hold"):
        line = rng.choice(shop.lines(key))
        if what == "change":
            shop.change(key, line, rng.randint(1, 9))
        elif what == "remove":
            shop.remove(key, line)
        else:
            waiting.append(Open(shop, key, line, rng))
    elif what in ("contact", "login"):
        getattr(shop, what)(key, email)
        said[-1] += f" {email}"
    elif what == "region":
        shop.region(key, rng.choice(list(shop.REGIONS)))
    elif what == "slow decline":
        order = shop.place(key)
        if rng.random() < 0.7:
            shop.tick("6 seconds")
            said.append("tick in between")
        shop.undo(key, order)
    elif what == "note":
        shop.note(key, "a note")
    else:
        getattr(shop, what)(key)


def play(kind):
    rng = random.Random(f"{SEED} {kind.schema}")
    shop = kind(seed=rng.random(), name=f"random_{kind.schema}")
    waiting, said = [], []
    good = True
    try:
        for n in range(STEPS):
            step(shop, rng, waiting, said)
            if rng.random() < 0.3:
                later = rng.choice(["0", "3 seconds", "5 seconds", "6 seconds", "70 seconds"])
                said.append(f"tick {later}")
                shop.tick(later)
            if not waiting and rng.random() < 0.08:
                shop.tick("70 seconds")
                wrong = shop.differences()
                if wrong:
                    good = ok(False, f"{kind.schema}: after {len(said)} steps", *wrong[:6], "; ".join(said[-40:]))
                    return
        for w in waiting:
            w.end(True)
        waiting.clear()
        shop.tick("70 seconds")
        wrong = shop.differences()
        good = ok(not wrong, f"{kind.schema}: {STEPS} steps, {len(shop.keys)} carts: all is captured", *wrong[:6], "; ".join(said[-60:]) if wrong else "")
        shop.tick("3 hours")
        oracle = shop.oracle()
        wrong = [k for k in shop.mails() if oracle.get(k, {"state": "gone"})["state"] != "open"]
        ok(not wrong, f"{kind.schema}: nobody is mailed who bought, pays, has nothing or is gone", wrong)
    except Exception as error:
        if os.environ.get("ATTACH_TRACE"):
            raise
        ok(False, f"{kind.schema}: comes to its end", f"{type(error).__name__}: {error}", "; ".join(said[-40:]))
    finally:
        for w in waiting:
            w.end(False)
        shop.close()


def storm(kind):
    """Threads of the shop, each with carts of its own, and tick, as fast as they can."""
    shop = kind(name=f"storm_{kind.schema}")
    clerks = [shop.clerk(n) for n in range(3)]
    trouble = []

    def work(n):
        rng = random.Random(f"{SEED} {kind.schema} {n}")
        waiting, said = [], []
        try:
            for _ in range(STEPS // 2):
                step(clerks[n], rng, waiting, said)
        except Exception as error:
            trouble.append(f"{type(error).__name__}: {error} after {said[-5:]}")
        finally:
            for w in waiting:
                w.end(True)

    threads = [threading.Thread(target=work, args=[n]) for n in range(len(clerks))]
    ticks = 0
    try:
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            shop.tick(("0", "3 seconds", "6 seconds")[ticks % 3])
            ticks += 1
        shop.tick("70 seconds")
        shop.keys.update(*(c.mine for c in clerks))
        wrong = trouble + shop.differences()
        ok(not wrong, f"{kind.schema}: three threads and tick: all is captured", f"{ticks} ticks, {len(shop.keys)} carts", *wrong[:8])
    except Exception as error:
        ok(False, f"{kind.schema}: three threads and tick", f"{type(error).__name__}: {error}")
    finally:
        for t in threads:
            t.join()
        for c in clerks:
            for conn in c.pool:
                conn.close()
        shop.close()


for kind in shops.SHOPS:
    if not wanted or kind.schema in wanted:
        play(kind)
        storm(kind)
shops.finish()

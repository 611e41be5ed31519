#!/usr/bin/python3
"""Boots one real shop, attaches to its tables, plays its customers and compares what was
captured with the shop's own tables after every round.

	check.py SHOP FOLDER

FOLDER holds the installed shop (test/shops/SHOP and node_modules). The environment
leads to a private server as its superuser (PGHOST, PGPORT, PGUSER); the shop gets a
database, a role and a port of its own. SHOPS_SEED repeats a run.
"""

import importlib
import json
import os
import random
import re
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

import web

HERE = os.path.dirname(os.path.abspath(__file__))
SHOP, FOLDER = sys.argv[1], os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(HERE, SHOP))
players = importlib.import_module("customers")

SEED = os.environ.get("SHOPS_SEED") or str(random.SystemRandom().randrange(10**6))
PATIENCE = int(os.environ.get("SHOPS_PATIENCE", 40))           # seconds until what was captured must equal the shop
WORKERS = 4             # customers that act at the same time
LOG = os.path.join(FOLDER, "shop.log")
SERVER_LOG = os.path.join(os.path.dirname(os.environ["PGHOST"]), "log", "server.log")

COMMANDS = {
    "vendure": {"fill": [["node", "server.js", "fill"]], "migrate": [], "serve": ["node", "server.js", "serve"]},
    "medusa": {
        "fill": [["node_modules/.bin/medusa", "db:migrate"], ["node_modules/.bin/medusa", "exec", "./src/fill.js"]],
        "migrate": [["node_modules/.bin/medusa", "db:migrate"]],
        "serve": ["node_modules/.bin/medusa", "start", "--host", "127.0.0.1"],
    },
}[SHOP]

# Who attaches: a role that has SELECT and TRIGGER on the shop's tables and no more, or the shop's own.
ATTACHER = {"vendure": "keeper", "medusa": "medusa"}[SHOP]
# Medusa completes a cart and takes that back when the payment is declined: soon enough read, both are seen.
MAPPING = {"vendure": {}, "medusa": {"settle": "100 milliseconds"}}[SHOP]

passed = failed = 0


def say(text):
    print(text, flush=True)


def check(good, what, detail=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
    say(f"{'ok' if good else 'not ok'} - {SHOP}: {what}")
    if not good and detail:
        say("".join(f"#   {line}\n" for line in str(detail).splitlines()[:60]).rstrip())
    return good


# ---------------------------------------------------------------------------
# The shop


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Shop:
    """The shop's programs, as a process group of their own, with nothing of ours in their environment."""

    def __init__(self):
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self.process = None
        self.log = open(LOG, "a")
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": FOLDER, "TMPDIR": os.environ.get("TMPDIR", "/tmp"), "LANG": "C.UTF-8",
            "NODE_ENV": "production", "PORT": str(self.port), "SHOP_SECRET": secrets.token_urlsafe(24),
            "VENDURE_DISABLE_TELEMETRY": "true", "MEDUSA_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1",
            "PGHOST": "127.0.0.1", "PGPORT": os.environ["PGPORT"], "PGDATABASE": SHOP, "PGUSER": SHOP, "PGPASSWORD": self.password,
        }

    def run(self, *commands):
        for command in commands:
            done = subprocess.run(command, cwd=FOLDER, env=self.environment, stdin=subprocess.DEVNULL,
                                  stdout=self.log, stderr=self.log, timeout=300)
            if done.returncode != 0:
                raise SystemExit(f"{SHOP}: {' '.join(command)} failed:\n" + tail(LOG))

    def start(self):
        self.process = subprocess.Popen(COMMANDS["serve"], cwd=FOLDER, env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            try:
                web.Browser(self.port).call("GET", "/health")
                return
            except (OSError, web.Refused, ValueError):
                if self.serves():
                    return
                time.sleep(0.2)
        raise SystemExit(f"{SHOP} does not start:\n" + tail(LOG))

    def serves(self):
        """/health of Medusa answers "OK", which is not JSON."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process is None:
            return
        for number, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(patience)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                pass
        self.process = None


def tail(path, lines=40):
    with open(path, errors="replace") as file:
        return "".join(file.readlines()[-lines:])


def connect(user=None, password=None):
    """As the superuser through the socket, or as a role with its password."""
    if user:
        return psycopg.connect(host="127.0.0.1", dbname=SHOP, user=user, password=password, autocommit=True, row_factory=dict_row)
    return psycopg.connect(dbname=SHOP, autocommit=True, row_factory=dict_row)


# ---------------------------------------------------------------------------
# What was captured, and what the shop has


def number(value):
    return None if value is None else Decimal(str(value)).normalize()


def state_of(row):
    """A row of either query, made comparable."""
    items = json.loads(row["items"], parse_float=Decimal) if isinstance(row["items"], str) else row["items"]
    bought = row["state"] == "bought"
    return {
        "state": row["state"],
        "items": sorted((sku, name, number(quantity), number(price)) for sku, name, quantity, price in items),
        "email": (row["email"] or "").lower(),
        "customer": row["customer"] or "",
        "name": row["name"] or "",
        "phone": re.sub(r"\D", "", row["phone"] or ""),
        "currency": row["currency"],
        "order": row["order_ref"] if bought else None,
        "total": number(row["total"]) if bought else None,
    }


class Comparison:
    def __init__(self, superuser):
        self.superuser = superuser
        with open(os.path.join(HERE, SHOP, "oracle.sql")) as file:
            self.oracle = file.read()
        with open(os.path.join(HERE, "captured.sql")) as file:
            self.captured = file.read()
        self.had_lines = set()      # carts that the shop had with lines in an earlier round
        self.sold_before = set()    # carts that were orders already when we attached
        self.shop = {}

    def differences(self):
        """{cart: (shop, captured)} where they differ, and all carts of the shop, of one snapshot."""
        with self.superuser.transaction():
            self.superuser.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            shop = {row["cart"]: state_of(row) for row in self.superuser.execute(self.oracle)}
            ours = {row["cart"]: state_of(row) for row in self.superuser.execute(self.captured, {"name": SHOP})}
        found = {}
        for cart in shop.keys() | ours.keys():
            theirs, mine = shop.get(cart), ours.get(cart)
            if theirs is None:
                equal = mine["state"] == "gone"
            elif mine is None:
                # a cart that never held anything need not be known, nor an old order
                equal = cart in self.sold_before or not theirs["items"] and theirs["state"] == "open" and cart not in self.had_lines
            else:
                if theirs["state"] == "bought" and theirs["total"] is None:
                    mine["total"] = None            # the shop no longer has what was paid
                equal = theirs == mine
            if not equal:
                found[cart] = (theirs, mine)
        return found, shop

    def wait(self):
        """Until nothing differs, at most PATIENCE seconds."""
        until = time.monotonic() + PATIENCE
        while True:
            found, shop = self.differences()
            if not found or time.monotonic() > until:
                self.had_lines.update(cart for cart, state in shop.items() if state["items"])
                self.shop = shop
                return found, shop
            time.sleep(0.3)


def explain(found):
    lines = []
    for cart, (theirs, mine) in sorted(found.items()):
        if theirs is None or mine is None:
            lines.append(f"{cart}: shop {theirs}, captured {mine}")
        else:
            lines += [f"{cart}: {key}: shop {theirs[key]}, captured {mine[key]}" for key in theirs if theirs[key] != mine[key]]
    return "\n".join(lines)


# ---------------------------------------------------------------------------
# Tick, as the scheduler would call it


class Ticker(threading.Thread):
    def __init__(self, password):
        super().__init__(daemon=True)
        self.connection = connect(ATTACHER, password)
        self.over = threading.Event()
        self.turn = threading.Lock()        # whoever has it ticks; two at once share the work
        self.trouble = []
        self.turns = 0

    def run(self):
        while not self.over.is_set():
            try:
                with self.turn:
                    self.connection.execute("CALL incomplete_orders.tick()")
            except psycopg.Error as error:
                self.trouble.append(str(error))
            self.turns += 1
            self.over.wait(0.3)

    def stop(self):
        self.over.set()
        self.join()
        self.connection.close()


# ---------------------------------------------------------------------------


def play(sessions, troubles):
    """One round: every session's next step, several at a time; the sessions that go on."""
    def step(session):
        name, steps = session
        try:
            next(steps)
            return session
        except StopIteration:
            return None
        except (web.Refused, OSError) as error:
            troubles.append(f"{name}: {error}")
            return None
    with ThreadPoolExecutor(WORKERS) as pool:
        return [session for session in pool.map(step, sessions) if session]


def schema():
    """The shop's schema, its triggers and rights included."""
    text = subprocess.run(["pg_dump", "--schema-only", "--schema=public", SHOP], check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*\n", "", text, flags=re.M)


def triggers(superuser):
    return [row["name"] for row in superuser.execute(
        "SELECT tgrelid::regclass || '.' || tgname AS name FROM pg_trigger WHERE NOT tgisinternal"
        " AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace) ORDER BY 1")]


def cost(shop, superuser):
    """The median of a request that writes, with and without the triggers, in turns; nobody ticks meanwhile."""
    tables = {row["name"] for row in superuser.execute(
        "SELECT DISTINCT tgrelid::regclass::text AS name FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE 'incomplete_orders%'")}
    customer = players.Customer(shop.port, "meter")
    customer.add("TEA-1")
    times = {"ENABLE": [], "DISABLE": []}
    until = time.monotonic() + 40
    for block in range(16):
        # ABBA, so that whatever grows weighs on both
        if block % 4 == 0 and time.monotonic() > until:
            break
        mode = ["ENABLE", "DISABLE"][block % 2 ^ block // 2 % 2]
        for table in tables:
            superuser.execute(f"ALTER TABLE {table} {mode} TRIGGER USER")
        customer.adjust("TEA-1", 1)
        for turn in range(10):
            began = time.monotonic()
            customer.adjust("TEA-1", 2 + turn)
            times[mode].append(time.monotonic() - began)
    for table in tables:
        superuser.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    # the last one, seen by the triggers, makes up for what they did not see
    customer.adjust("TEA-1", 1)
    on, off = (statistics.median(times[mode]) * 1000 for mode in ("ENABLE", "DISABLE"))
    say(f"# {SHOP}: changing a quantity takes {off:.1f} ms without the triggers, {on:.1f} ms with them ({(on / off - 1) * 100:+.1f} %, {len(times['ENABLE'])} requests each)")


def prepare(superuser, shop, password):
    superuser.execute(f"CREATE ROLE {SHOP} LOGIN PASSWORD '{shop.password}'")
    superuser.execute(f"CREATE DATABASE {SHOP} OWNER {SHOP}")
    if ATTACHER != SHOP:
        superuser.execute(f"CREATE ROLE {ATTACHER} LOGIN PASSWORD '{password}'")


def main():
    superuser = psycopg.connect(dbname="postgres", autocommit=True, row_factory=dict_row)
    shop = Shop()
    password = shop.password if ATTACHER == SHOP else secrets.token_urlsafe(12)
    say(f"# {SHOP}: seed {SEED}")
    prepare(superuser, shop, password)
    superuser.close()
    superuser = connect()
    ticker = None
    try:
        superuser.execute("CREATE EXTENSION incomplete_orders")
        superuser.execute("SELECT incomplete_orders.setup()")
        superuser.execute("SELECT incomplete_orders.grant_to(%s, 'admin', 'default')", (ATTACHER,))
        shop.run(*COMMANDS["fill"])
        if ATTACHER != SHOP:
            # the least that attach asks for; the shop's own role then has no right on anything of ours
            superuser.execute(f"GRANT SELECT, TRIGGER ON ALL TABLES IN SCHEMA public TO {ATTACHER}")
        before = schema()
        shop.start()
        players.Customer.secret = shop.environment["SHOP_SECRET"]
        if hasattr(players, "prepare"):
            players.prepare(superuser)
        ticker, comparison = run_rounds(superuser, shop, password)
        look_back(superuser, ticker)
        idle(superuser, shop)
        mail(superuser, comparison, ticker)
        with ticker.turn:
            cost(shop, superuser)
        found, _ = comparison.wait()
        check(not found, "captured equals the shop after that, too", explain(found))
        ticker.stop()
        leave(superuser, shop, before, password)
    finally:
        if ticker:
            ticker.over.set()
        shop.stop()
    check_logs()
    say(f"# {SHOP}: the run is repeated by SHOPS_SEED={SEED}")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def attach(password):
    """Three commands, as in README: look, look at samples, attach."""
    with connect(ATTACHER, password) as keeper:
        report = keeper.execute("SELECT * FROM incomplete_orders.attach(%s, %s, %s, dry_run => true)", (SHOP, SHOP, Jsonb(MAPPING))).fetchall()
        for row in report:
            say(f"#   {' | '.join(str(value) for value in row.values())}"[:160])
        keeper.execute("SELECT * FROM incomplete_orders.attach(%s, %s, %s)", (SHOP, SHOP, Jsonb(MAPPING)))
        samples = keeper.execute("SELECT * FROM incomplete_orders.sample_attachment(%s)", (SHOP,)).fetchall()
        check(samples, "sample_attachment shows carts")


def run_rounds(superuser, shop, password):
    chance = random.Random(SEED)
    sessions = players.customers(shop.port, chance)
    count, troubles = len(sessions), []
    comparison = Comparison(superuser)

    sessions = play(sessions, troubles)             # these carts are there before we are
    comparison.sold_before = {cart for cart, state in comparison.differences()[1].items() if state["state"] == "bought"}
    attach(password)
    ticker = Ticker(password)
    ticker.start()
    rounds = 1
    while True:
        found, carts = comparison.wait()
        check(not found, f"round {rounds}: captured equals the shop in {len(carts) - len(found)} of {len(carts)} carts", explain(found))
        if not sessions:
            break
        if rounds == 2:
            marks = triggers(superuser)
            shop.stop()
            shop.run(*COMMANDS["migrate"])
            shop.start()
            check(triggers(superuser) == marks and marks, "its start compares its schema with ours on it, and leaves our triggers alone",
                  triggers(superuser))
        sessions = play(sessions, troubles)
        rounds += 1
    check(not troubles, "the shop served every request as it should", "\n".join(troubles))
    check(count >= 60, f"{count} sessions were played, {rounds} rounds")
    hit = [name for name, keys in players.carts_of.items() if keys & found.keys()]
    check(not hit, f"captured equals the shop's own tables in {count - len(hit)} of {count} sessions", ", ".join(hit))
    return ticker, comparison


def look_back(superuser, ticker):
    """Beyond the last state: every sale once, nobody mailed who bought, nothing broken on the way."""
    check(not ticker.trouble, f"tick ran {ticker.turns} times without an error", "\n".join(ticker.trouble[:5]))
    row = superuser.execute("SELECT state, problem FROM incomplete_orders.attachments WHERE name = %s", (SHOP,)).fetchone()
    check(row and row["state"] == "ok", "the attachment is ok", row)
    doubled = superuser.execute("SELECT foreign_order, count(*) FROM incomplete_orders.orders GROUP BY 1 HAVING count(*) > 1").fetchall()
    check(not doubled, "no order of the shop was taken twice", doubled)
    say("# " + ", ".join(f"{row['status']} {row['count']}" for row in superuser.execute(
        "SELECT status, count(*) FROM incomplete_orders.incomplete_orders GROUP BY 1 ORDER BY 1")))


def idle(superuser, shop):
    """Looking at a cart moves nothing, whatever the shop writes meanwhile."""
    customer = players.Customer(shop.port, "looks-only")
    customer.add("TEA-1")
    (cart,) = players.carts_of["looks-only"]

    def seen():
        return superuser.execute("SELECT version, last_activity_at FROM incomplete_orders.open_orders WHERE cart_key = %s", (cart,)).fetchone()
    until = time.monotonic() + PATIENCE
    while not seen() and time.monotonic() < until:
        time.sleep(0.2)
    before = seen()
    for _ in range(5):
        customer.look()
    # what the shop wrote is read together with this, or before it
    customer = players.Customer(shop.port, "looks-after")
    customer.add("TEA-1")
    (after,) = players.carts_of["looks-after"]
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not superuser.execute(
            "SELECT FROM incomplete_orders.open_orders WHERE cart_key = %s", (after,)).fetchone():
        time.sleep(0.2)
    check(before and seen() == before, "who only looks at a cart is not active", f"{before} {seen()}")


def mail(superuser, comparison, ticker):
    """Three hours pass: who left goods behind is mailed, who bought is not."""
    superuser.execute("""SELECT incomplete_orders.configure_shop('default', '{"consent_rule":"none","quiet_from":"00:00","quiet_to":"00:00"}')""")
    superuser.execute("SELECT incomplete_orders.enable_campaign('cart')")
    with ticker.turn:
        report = superuser.execute("CALL incomplete_orders.tick(at => now() + interval '3 hours')").fetchone()
    comparison.wait()
    left = {cart for cart, state in comparison.shop.items() if state["state"] == "open" and state["items"]}
    abandoned = {row["cart_key"] for row in superuser.execute(
        "SELECT cart_key FROM incomplete_orders.open_orders WHERE status = 'abandoned'")}
    check(abandoned == left, f"three hours later the {len(left)} carts with goods are abandoned, the empty ones not", sorted(abandoned ^ left))
    # the session "has two carts" bought with the other one
    wanted = {state["email"] for state in comparison.shop.values()
              if state["state"] == "open" and state["items"] and state["email"] and not state["email"].startswith("has-two-carts")}
    mailed = {row["recipient"].lower() for row in superuser.execute("SELECT recipient FROM incomplete_orders.messages")}
    check(mailed == wanted, f"{len(wanted)} people are to be mailed, nobody of them who bought", f"wrongly: {sorted(mailed - wanted)}\nnot: {sorted(wanted - mailed)}\n{report}")


def leave(superuser, shop, before, password):
    with connect(ATTACHER, password) as keeper:
        report = [tuple(row.values()) for row in keeper.execute("SELECT * FROM incomplete_orders.detach(%s)", (SHOP,))]
    # a role that may create triggers on another's tables may not drop them: detach says what the owner has to do
    left = [re.search(r"DROP TRIGGER .*", thing) for action, thing in report if action == "left"]
    check(len(left) == len(triggers(superuser)) and all(left), "detach names every trigger that only the tables' owner can drop", report)
    players.Customer(shop.port, "between").add("TEA-1")
    with connect(SHOP, shop.password) as owner:
        for statement in left:
            owner.execute(statement[0])
    check(not triggers(superuser), "then no trigger is left", triggers(superuser))
    after = schema()
    check(before == after, "the shop's schema is what it was before attach", difference(before, after))
    customer = players.Customer(shop.port, "later")
    customer.add("MUG-2")
    check(True, "the shop goes on without us")


def difference(one, two):
    old, new = set(one.splitlines()), set(two.splitlines())
    return "\n".join([f"- {line}" for line in one.splitlines() if line not in new] + [f"+ {line}" for line in two.splitlines() if line not in old])


def check_logs():
    with open(LOG, errors="replace") as file:
        ours = [line for line in file if "incomplete_orders" in line.replace(FOLDER, "") or "cart_marks" in line]
    check(not ours, "the shop's log names nothing of ours", "".join(ours[:10]))
    bad = []
    with open(SERVER_LOG, errors="replace") as file:
        for line in file:
            if f"user={SHOP} " in line and re.search(r"(ERROR|FATAL|PANIC|WARNING):", line):
                bad.append(line)
    blamed = [line for line in bad if "incomplete_orders" in line]
    check(not blamed, f"none of the {len(bad)} errors and warnings that the shop met in its database is ours", "".join(blamed[:10]))
    for line in sorted({re.sub(r"^.*?(ERROR|FATAL|PANIC|WARNING)", r"\1", line.strip())[:120] for line in bad})[:8]:
        say(f"#   {line}")


if __name__ == "__main__":
    sys.exit(main())

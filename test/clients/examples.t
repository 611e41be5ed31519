#!/usr/bin/python3
"""The programs of examples/, each with its driver: directly, and all at once through pgbouncer in transaction mode."""

import os
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

import psycopg
from pooler import Pooler

EXAMPLES = Path(__file__).parent / "../../examples"
PROGRAMS = {
    "psycopg": ["/usr/bin/python3", "cart.py"],
    "node-postgres": ["node", "cart.js"],
    "JDBC": ["java", "-XX:-UsePerfData", "-Djava.io.tmpdir=" + os.environ.get("TMPDIR", "/tmp"), "-cp", os.environ["CLASSPATH"], "Cart.java"],
    "PDO": ["php", "cart.php"],
}
SAYS = """\
captured INC- pending 44.80 USD
refused 22023 line item 1: "quantity" must be a whole number from 1 to 1000000
ordered 44.80
again the same order
"""
ROLE, WORD = "example_webshop", "example-word"

done = failed = 0


def ok(good, what, *why):
    global done, failed
    done += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {done} - {what}", flush=True)
    if not good:
        print("# " + "\n".join(map(str, why)).replace("\n", "\n# "), file=sys.stderr)


def start(name, port, session):
    environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": ROLE, "PGPASSWORD": WORD}
    return subprocess.Popen([*PROGRAMS[name], session], cwd=EXAMPLES, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check(name, process, what):
    out, err = process.communicate(timeout=300)
    ok(process.returncode == 0 and out == SAYS, f"{name}, {what}", f"exit code {process.returncode}", out, err)


def main():
    with psycopg.connect(autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{WORD}'")
        admin.execute("SELECT incomplete_orders.create_shop('examples', 'Examples'), incomplete_orders.grant_to(%s, 'app', 'examples')", (ROLE,))
        for name in PROGRAMS:
            check(name, start(name, os.environ["PGPORT"], f"{name}-direct"), "directly")
        with Pooler({ROLE: WORD}, connections=1) as port:
            # Two of each, so that their transactions take turns on the one connection.
            running = [(name, start(name, port, f"{name}-pooled-{n}")) for n in (1, 2) for name in PROGRAMS]
            for name, process in running:
                check(name, process, "through pgbouncer in transaction mode, beside seven others on one connection")
        orders = admin.execute(
            "SELECT count(*), count(DISTINCT order_number), count(*) FILTER (WHERE status = 'converted' AND total = 44.80 AND name = 'Jane Doe') "
            "FROM incomplete_orders.incomplete_orders WHERE shop = 'examples'"
        ).fetchone()
        ok(orders == (12, 12, 12), "every run made one order", orders)
        admin.execute("SELECT incomplete_orders.revoke_from(%s, 'app', 'examples')", (ROLE,))
        admin.execute(f"DROP ROLE {ROLE}")
    print(f"1..{done}")


if not Pooler.program:
    print("1..0 # SKIP pgbouncer is not installed")
    sys.exit(0)
main()
sys.exit(1 if failed else 0)

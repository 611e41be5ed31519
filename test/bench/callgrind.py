"""Counts the instructions of a backend, on a server under callgrind."""

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager

import psycopg
from psycopg.pq import ExecStatus


def present(folder):
    return (folder / "count.so").exists()


@contextmanager
def server(folder):
    """The private server in folder, started again under callgrind."""
    subprocess.run(["tools/private-pg", "stop", folder], check=True)
    binary = (folder / "bin").read_text().strip() + "/postgres"
    with open(folder / "callgrind.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no", "--separate-recs=4",
             f"--callgrind-out-file={folder}/callgrind.%p", binary, "-D", str(folder / "data"),
             "-p", os.environ["PGPORT"], "-c", "autovacuum=off"], stdout=log, stderr=log)
    try:
        wait_for(process, folder)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def wait_for(process, folder):
    for _ in range(300):
        try:
            psycopg.connect("").close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    raise SystemExit("bench: the server under callgrind does not start: " + (folder / "callgrind.log").read_text()[-2000:])


def check(result, name):
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise SystemExit(f"bench: {name}: {result.error_message.decode()}")
    return result


def caller(conn, name, statement, path):
    """A function that runs the next n transactions, their parameters, bound as text, from a file."""
    libpq = conn.pgconn
    check(libpq.prepare(name.encode(), statement.encode()), name)
    with open(path, "rb") as file:
        sets = iter([line.rstrip(b"\n").split(b"\t") for line in file])

    def call(n):
        for _ in range(n):
            check(libpq.exec_prepared(name.encode(), next(sets)), name)

    return call


def count(folder, conn, name, call, warm_up, n):
    """Instructions of the backend per transaction, the message from and to the client included."""
    for function in ("count_on", "count_off"):
        conn.execute(f"CREATE OR REPLACE FUNCTION {function}() RETURNS void LANGUAGE c AS '{folder}/count.so'")
    call(warm_up)
    for counted in (20, n):
        conn.execute("SELECT count_on()")
        call(counted)
        conn.execute("SELECT count_off()")
    files = sorted(folder.glob(f"callgrind.{conn.pgconn.backend_pid}.*"), key=lambda f: int(f.suffix[1:]))
    total = re.search(r"^(?:summary|totals): (\d+)", files[-1].read_text(), re.MULTILINE)
    files[-1].rename(folder / f"profile.{name}")
    return int(total.group(1)) / n

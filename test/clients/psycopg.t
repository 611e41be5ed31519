#!/usr/bin/python3
"""calls.txt through psycopg 3, as a Python program would call: values bound as Python's own types."""

import os
import re
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
import json

CLIENT = "psycopg"
MAKE = {
    "text": str,
    "other": str,
    "int": int,
    "bool": lambda v: v == "true",
    "numeric": Decimal,
    "uuid": UUID,
    "uuids": lambda v: [UUID(u) for u in v.split(",")],
    "time": datetime.fromisoformat,
    "json": lambda v: Jsonb(json.loads(v)),
    "null": lambda v: None,
}


def read_calls(path):
    """Lines of calls.txt as a list of calls; what the words mean stands at its head."""
    calls = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            calls[-1]["sql"] += " " + line.strip()
            continue
        word, _, rest = line.partition(" ")
        if word == "call":
            calls.append({"name": rest, "bind": [], "expect": [], "save": [], "error": None})
        elif word in ("sql", "error"):
            calls[-1][word] = rest
        else:
            calls[-1][word].append(rest.split(" ", 1))
    return calls


def as_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def run(conn, call, saved):
    """Returns what is wrong, or nothing."""
    def fill(text):
        return re.sub(r"<(\w+)>", lambda m: saved[m[1]], text)

    values = {f"p{n}": MAKE[kind[0]](fill(kind[1]) if len(kind) > 1 else "") for n, kind in enumerate(call["bind"], 1)}
    sql = re.sub(r"\$(\d+)", r"%(p\1)s", call["sql"].replace("%", "%%"))
    try:
        cursor = conn.execute(sql, values)
    except psycopg.Error as error:
        if error.sqlstate != call["error"]:
            return f"{error.sqlstate}: {error}"
        return None
    if call["error"]:
        return f"no error, expected {call['error']}"
    row = cursor.fetchone() if cursor.description else None
    if row is None:
        return "no row" if call["expect"] or call["save"] else None
    columns = {c.name: as_text(v) for c, v in zip(cursor.description, row)}
    for column, name in call["save"]:
        saved[name] = columns[column]
    for column, value in call["expect"]:
        if columns[column] != fill(value):
            return f"{column} is {columns[column]}, expected {fill(value)}"
    return None


def main():
    calls = read_calls(Path(__file__).with_name("calls.txt"))
    saved = {"client": CLIENT}
    failed = 0
    print(f"1..{len(calls)}")
    with psycopg.connect(host="127.0.0.1", autocommit=True, application_name=f"{CLIENT} {os.getpid()}") as conn:
        for n, call in enumerate(calls, 1):
            wrong = run(conn, call, saved)
            print(f"{'not ok' if wrong else 'ok'} {n} - {call['name']}")
            if wrong:
                failed += 1
                print("# " + wrong.replace("\n", "\n# "), file=sys.stderr)
    return 1 if failed else 0


sys.exit(main())

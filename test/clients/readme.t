#!/usr/bin/python3
"""Every SQL function that the README calls is called by all clients: it stands in calls.txt."""

import re
import sys
from pathlib import Path

here = Path(__file__).parent
CALL = re.compile(r"incomplete_orders\.([a-z]\w*)\s*\(")
readme = (here / "../../README.md").read_text(encoding="utf-8")
blocks = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
wanted = {name for block in blocks for name in CALL.findall(block)}
called = set(CALL.findall((here / "calls.txt").read_text(encoding="utf-8")))
missing = sorted(wanted - called)
print("1..2")
print(f"{'ok' if wanted else 'not ok'} 1 - the README shows SQL")
print(f"{'not ok' if missing else 'ok'} 2 - all clients call the functions that it shows")
if missing:
    print("# not in calls.txt: " + ", ".join(missing), file=sys.stderr)
sys.exit(1 if missing or not wanted else 0)

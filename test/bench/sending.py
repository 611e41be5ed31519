#!/usr/bin/python3
"""What sending costs.  Started by test/bench/run with the part send.

sending.py DIR: DIR is the folder of the private server; it also holds smtp_loop
(smtp_loop.c).  incomplete-orders send --once and smtp_loop take turns in sending the same
mails to one smtp-sink on loopback, over as many connections; once more with one that
takes a second for each mail.  It prints a table, writes DIR/results.json, and ends with 1 when something that must hold does not.
"""

import atexit
import glob
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from machine import QUICK, machine
from messages import Mailing
from report import table
from tick import say

MAILS = 2_000 if QUICK else 5_000
ROUNDS = 3 if QUICK else 8
SAMPLE = 200  # mails that smtp_loop sends over and over
CONNECTIONS = (16, 4)
# a mail server that takes a second for each mail, as many do that look at it first
SLOW_MAILS, SLOW_ROUNDS = 64, 2


def wait_until(what, seconds=30):
    for _ in range(seconds * 50):
        if what():
            return
        time.sleep(0.02)
    raise SystemExit("bench: waited in vain")


class Sink:
    """postfix's smtp-sink, which throws mails away, or keeps them in a folder."""

    def __init__(self, folder=None, seconds=0):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        program = shutil.which("smtp-sink", path=os.environ["PATH"] + ":/usr/sbin")
        self.process = subprocess.Popen([program, *(["-d", f"{folder}/mail."] if folder else []), *(["-w", str(seconds)] if seconds else []), f"127.0.0.1:{self.port}", "500"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.stop)
        self.url = f"smtp://127.0.0.1:{self.port}"
        wait_until(self.answers)

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        atexit.unregister(self.stop)
        self.process.terminate()
        self.process.wait()


def run(*command):
    """Seconds, seconds of processor time of the program, its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command[0]}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


class Bench:
    def __init__(self, folder):
        self.dir = Path(folder)
        self.rows = []
        self.results = {"machine": machine(), "send": []}
        self.program = Path((self.dir / "bin").read_text().strip()) / "incomplete-orders"
        self.side = Mailing("sending")
        os.environ["PGDATABASE"] = "sending"

    def send(self, sink, connections):
        return run(self.program, "send", "--once", f"--smtp-url={sink.url}", f"--connections={connections}")

    def sample(self):
        """Mails as they went over the wire, without the lines that smtp-sink puts before them."""
        folder = self.dir / "mails"
        folder.mkdir(exist_ok=True)
        self.side.make(SAMPLE, True)
        sink = Sink(folder)
        self.send(sink, 4)
        sink.stop()
        files = glob.glob(f"{folder}/mail.*")
        assert len(files) == SAMPLE, f"{len(files)} mails of {SAMPLE} arrived"
        sizes = []
        for name in files:
            head, body = Path(name).read_bytes().split(b"\n\n", 1)
            lines = head.split(b"\n")
            while lines[0].startswith((b"X-Client-", b"X-Helo-", b"X-Mail-", b"X-Rcpt-", b"Received:", b"\t", b" ")):
                del lines[0]
            text = (b"\n".join(lines) + b"\n\n" + body).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            Path(name).write_bytes(text)
            sizes.append(len(text))
        self.results["bytes"] = round(sum(sizes) / len(sizes))
        return files

    def compare(self, files, connections, mails=MAILS, rounds=ROUNDS, slow=0):
        server = ", a mail server that takes a second" if slow else ""
        say(f"{mails:,} mails over {connections} connections{server}")
        sink = Sink(seconds=slow)
        times = {"loop": [], "send": []}
        cpu = {"loop": [], "send": [], "sink of loop": [], "sink of send": []}
        for turn in range(rounds + 1):
            for name in sorted(times, reverse=turn % 2):
                if name == "send":
                    self.side.make(mails, True)
                before = sink.cpu()
                seconds, used, said = (self.send(sink, connections) if name == "send" else
                                       run(self.dir / "smtp_loop", sink.url, connections, mails, *files))
                if name == "send":
                    sent = self.side.value("SELECT count(*) FROM incomplete_orders.messages WHERE sent_at > now() - interval '10 minutes' AND token > 0")
                    assert sent >= mails, f"{sent} of {mails} were sent: {said}"
                if turn > 0:
                    times[name].append(mails / (float(said) if name == "loop" else seconds))
                    cpu[name].append(used / mails * 1e6)
                    cpu[f"sink of {name}"].append((sink.cpu() - before) / mails * 1e6)
        sink.stop()
        ratio = median(s / b for s, b in zip(times["send"], times["loop"]))
        self.results["send"].append({
            "connections": connections, "mails": mails, "server_seconds": slow, "loop": median(times["loop"]), "send": median(times["send"]), "ratio": ratio,
            "cpu_us": {name: median(values) for name, values in cpu.items()},
        })
        self.rows.append((f"send --once to a bare libcurl loop, mails a second, {connections} connections{server}", ratio, "≥ 0.80", ratio >= 0.8))

    def write(self, out):
        table(out, ["sending", "measured", "to reach", "reached"],
              [[what, f"{value:.2f}", bound, "yes" if holds else "**no**"] for what, value, bound, holds in self.rows])
        out.write(f"A mail is {self.results['bytes']:,} bytes.\n\n")
        table(out, ["connections", "bare loop, mails/s", "send --once", "ratio", "CPU µs a mail: loop", "sink", "send", "sink"],
              [[str(r["connections"]) + (", slow server" if r["server_seconds"] else ""), f"{r['loop']:,.0f}", f"{r['send']:,.0f}", f"{r['ratio']:.2f}"] +
               [f"{r['cpu_us'][name]:.0f}" for name in ("loop", "sink of loop", "send", "sink of send")] for r in self.results["send"]])


def main():
    folder = Path(sys.argv[1])
    bench = Bench(folder)
    files = bench.sample()
    for connections in CONNECTIONS:
        bench.compare(files, connections)
    bench.compare(files, CONNECTIONS[0], SLOW_MAILS, SLOW_ROUNDS, 1)
    (folder / "results.json").write_text(json.dumps(bench.results, indent=1) + "\n")
    say("")
    bench.write(sys.stdout)
    return 0 if all(row[3] for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(main())

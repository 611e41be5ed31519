"""Attacks on the API of `incomplete-orders serve`; run by 095_attacks.pl.

Every byte that the program answers is kept and searched at the end for what must not
be in an answer. Lines "ok - ..." and "not ok - ..." are the tests; "done" is the last.
"""

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import time
import uuid

import psycopg

ROOT = "/api/v1/incomplete-orders/"
ORDERS = ROOT + "incomplete-orders/"
PORT = os.environ["PGPORT"]
DATABASE = os.environ["PGDATABASE"]
MARK = "zqhostilezq"  # stands in whatever must never become SQL
seen = []
failed = 0


def ok(good, what, *why):
    global failed
    failed += not good
    print(f"{'ok' if good else 'not ok'} - {what}", flush=True)
    if not good:
        print("# " + "\n".join(str(w) for w in why)[:2000].replace("\n", "\n# "), flush=True)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


# ---------------------------------------------------------------------------
# The program


class Serve:
    def __init__(self, *options, user="attacked_sidecar"):
        environment = {**os.environ, "PGUSER": user}
        self.process = subprocess.Popen(
            ["incomplete-orders", "serve", "--listen=127.0.0.1:0", "--verbose",
             f"--staff-dbname=host=127.0.0.1 port={PORT} dbname={DATABASE}", *options],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        self.log = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()
        if not until(lambda: any("event=start" in line for line in self.log)):
            raise SystemExit("serve does not start: " + "".join(self.log))
        self.port = int(re.search(r"listen=127\.0\.0\.1:(\d+)", "".join(self.log))[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.reader.join(10)

    def connect(self, timeout=30):
        s = socket.create_connection(("127.0.0.1", self.port), timeout)
        return s

    def raw(self, data, timeout=30, half=False):
        """Sends it all and reads to the end, or to the first silence of a connection that stays open."""
        out = b""
        try:
            with self.connect(timeout) as s:
                s.sendall(data)
                if half:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    out += piece
        except socket.timeout:
            out += b"<silence>"
        except ConnectionError:
            pass
        seen.append(out)
        return out

    def ask(self, method, path, headers=None, body=None, who=None, timeout=30):
        """(status, headers, body as bytes) of one request on a connection of its own."""
        head = {"Host": "shop.example", "Connection": "close", **(headers or {})}
        if who:
            head["Authorization"] = basic(*who)
        if body is not None:
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
            head.setdefault("Content-Length", str(len(body)))
            head.setdefault("Content-Type", "application/json")
        text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n"
        return parse(self.raw(text.encode("utf-8", "surrogateescape") + (body or b""), timeout))

    def alive(self):
        return self.process.poll() is None and self.ask("GET", "/healthz")[0] == 200

    def memory(self):
        """Resident, in kB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def parse(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    match = re.match(r"HTTP/1\.1 (\d{3})", lines[0])
    return (int(match[1]) if match else 0, {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}, body)


def statuses(answer):
    return [int(s) for s in re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.MULTILINE)]


def basic(role, password):
    return "Basic " + base64.b64encode(f"{role}:{password}".encode()).decode()


# ---------------------------------------------------------------------------
# What is there to be attacked

NORTH, SOUTH = ("attacked_north", "north-word"), ("attacked_south", "south-word")
SQL = {}


def prepare(db):
    db.execute("CREATE EXTENSION incomplete_orders")
    db.execute("SELECT incomplete_orders.setup()")
    db.execute("SELECT incomplete_orders.create_shop('north', 'North'), incomplete_orders.create_shop('south', 'South')")
    db.execute("CREATE ROLE attacked_sidecar LOGIN")
    db.execute("SELECT incomplete_orders.grant_to('attacked_sidecar', 'app'), incomplete_orders.grant_to('attacked_sidecar', 'sender')")
    for role, word in (NORTH, SOUTH, ("trusted", "trusted-word"), ("nobody", "nobody-word")):
        db.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{word}'")
    db.execute("CREATE ROLE asleep NOLOGIN PASSWORD 'asleep-word'")
    db.execute("CREATE ROLE above LOGIN SUPERUSER PASSWORD 'above-word'")
    db.execute("SELECT incomplete_orders.grant_to('attacked_north', 'admin', 'north'), incomplete_orders.grant_to('attacked_south', 'admin', 'south'),"
               " incomplete_orders.grant_to('trusted', 'admin', 'north'), incomplete_orders.grant_to('above', 'admin')")
    for shop in ("north", "south"):
        SQL[shop] = [db.execute(
            "SELECT incomplete_orders.capture_cart(session_id => %s, items => %s, email => %s, shop => %s)",
            (f"{shop}-{n}", json.dumps([{"sku": "A", "name": "Shirt", "quantity": 1, "unit_price": "19.90"}]), f"c{n}@{shop}.example", shop)
        ).fetchone()[0] for n in range(30)]


# ---------------------------------------------------------------------------
# Where does a request end?


def smuggling(serve):
    second = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"

    def post(*lines, body=b""):
        return b"POST " + ROOT.encode() + b"save-checkout-data/ HTTP/1.1\r\nHost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body + second

    refused = {
        "a length and chunks": post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "chunks and a length": post(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=b"0\r\n\r\nX"),
        "two lengths": post(b"Content-Length: 0", b"Content-Length: 35"),
        "the same length twice": post(b"Content-Length: 0", b"Content-Length: 0"),
        "two lengths in one line": post(b"Content-Length: 0, 35"),
        "a length with a sign": post(b"Content-Length: +0"),
        "a length below zero": post(b"Content-Length: -1"),
        "a length in base 16": post(b"Content-Length: 0x10"),
        "a length of 30 digits": post(b"Content-Length: 999999999999999999999999999999"),
        "an empty length": post(b"Content-Length: "),
        "a blank before the colon of a length": post(b"Content-Length : 35"),
        "a blank before the colon of chunks": post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
        "an unknown coding": post(b"Transfer-Encoding: xchunked"),
        "two codings": post(b"Transfer-Encoding: chunked, identity"),
        "two codings in two lines": post(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "chunked with a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
        "chunks in HTTP/1.0": post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0", 1),
        "a folded header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n Content-Length: 5\r\n\r\n" + second,
        "a header that begins with a blank": b"GET /healthz HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n" + second,
        "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + second,
        "no host": b"GET /healthz HTTP/1.1\r\n\r\n" + second,
        "a header without a colon": b"GET /healthz HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n" + second,
        "a chunk with an extension that goes on": post(b"Transfer-Encoding: chunked", body=b"1;a=\"b\r\n\"\r\nx\r\n0\r\n\r\n"),
        "a chunk of less than nothing": post(b"Transfer-Encoding: chunked", body=b"-1\r\nx\r\n0\r\n\r\n"),
        "a chunk of 2^68 bytes": post(b"Transfer-Encoding: chunked", body=b"ffffffffffffffff1\r\nx\r\n0\r\n\r\n"),
        "a chunk in 0x": post(b"Transfer-Encoding: chunked", body=b"0x1\r\nx\r\n0\r\n\r\n"),
        "a chunk that is longer than it says": post(b"Transfer-Encoding: chunked", body=b"1\r\nxy0\r\n\r\n"),
        "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n" + second,
        "HTTP/0.9": b"GET /healthz\r\n" + second,
    }
    for name, data in refused.items():
        answer = serve.raw(data)
        codes = statuses(answer)
        # Refused, closed, and what stood behind it was not taken for a request.
        ok(codes and all(400 <= c < 500 or c in (501, 505) for c in codes) and b"ok\n" not in answer and not answer.endswith(b"<silence>"),
           f"{name}: refused, and the connection ends", answer)
    # Served, but in one way only.
    answer = serve.raw(post(b"Transfer-Encoding: chunked", b"Content-Type: application/json", body=b"2;x=y\r\n{}\r\n0\r\nHost: evil\r\nContent-Length: 7\r\n\r\n"), timeout=3)
    codes = statuses(answer)
    ok(codes in ([codes[0], 200], [codes[0]]) and b"evil" not in answer, "headers behind chunks say nothing", answer)
    answer = serve.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", timeout=3)
    ok(statuses(answer) == [200], "no upgrade to another protocol", answer)
    for method in ("TRACE", "CONNECT", "PROPFIND", "get", "G\tT"):
        answer = serve.raw(f"{method} {ORDERS} HTTP/1.1\r\nHost: a\r\nCookie: {MARK}\r\nConnection: close\r\n\r\n".encode())
        ok(statuses(answer) and 400 <= statuses(answer)[0] < 500 and MARK.encode() not in answer, f"method {method!r} is refused and echoes nothing", answer)
    # Two requests at once, each answered for itself.
    answer = serve.raw(second * 20 + b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    ok(statuses(answer) == [200] * 20 + [404], "requests behind one another are answered in their order", statuses(answer))


# ---------------------------------------------------------------------------
# Too large, too slow, too many


def sizes(serve):
    big = b"a" * 70000
    for name, data, wanted in (
        ("an address", b"GET /" + big + b" HTTP/1.1\r\n\r\n", (414, 431)),
        ("a query", b"GET " + ORDERS.encode() + b"?search=" + big + b" HTTP/1.1\r\n\r\n", (414, 431)),
        ("a header", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + big + b"\r\n\r\n", (431, 413)),
        ("many headers", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: a\r\n" % i for i in range(5000)) + b"\r\n", (431, 413)),
        ("a method", b"A" * 20000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", (400, 414, 431)),
    ):
        answer = serve.raw(data)
        ok(statuses(answer) and statuses(answer)[0] in wanted, f"{name} that is too large: {wanted[0]}", answer[:200])
    before = serve.memory()
    post = ("POST", ORDERS)
    status, headers, _ = serve.ask(*post, {"Content-Length": "2000000000"}, b"", who=NORTH)
    ok(status == 413 and headers.get("connection") == "close", "a body of 2 GB that is announced is not waited for", status)
    status, _, _ = serve.ask(*post, {"Content-Length": "1200000"}, b'"' + b"a" * 1199998 + b'"', who=NORTH)
    ok(status == 413, "a body above the limit: 413", status)

    def chunks(n):
        return (f"POST {ORDERS} HTTP/1.1\r\nHost: a\r\nAuthorization: {basic(*NORTH)}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                + (b"10000\r\n" + b"a" * 65536 + b"\r\n") * n + b"0\r\n\r\n")

    answer = serve.raw(chunks(17))
    ok(statuses(answer) in ([413], []), "a body without a length that grows above it", answer[:200])
    serve.raw(chunks(300))
    ok(serve.alive() and serve.memory() < before + 20000, "and none of them is kept", before, serve.memory())


def slow(db):
    with Serve("--idle-timeout=1s", "--request-timeout=3s") as serve:
        clients = []

        def drip(data, name):
            began = time.monotonic()
            with serve.connect() as s:
                s.settimeout(30)
                ended = None
                try:
                    for byte in data:
                        s.sendall(bytes([byte]))
                        s.settimeout(0.3)
                        try:
                            if not s.recv(1):
                                ended = True
                                break
                        except socket.timeout:
                            pass
                        if time.monotonic() - began > 20:
                            break
                except ConnectionError:
                    ended = True
            clients.append((name, ended, time.monotonic() - began))

        head = b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 1000
        body = f"POST {ORDERS} HTTP/1.1\r\nHost: a\r\nAuthorization: {basic(*NORTH)}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode()
        threads = [threading.Thread(target=drip, args=(head, "a head")) for _ in range(5)]
        threads += [threading.Thread(target=drip, args=(body + b" " * 990, "a head and a body")) for _ in range(5)]

        def after(data, name):
            """The head at once, the body byte by byte."""
            began, ended = time.monotonic(), None
            with serve.connect() as s:
                s.sendall(data)
                try:
                    while time.monotonic() - began < 20:
                        s.sendall(b" ")
                        time.sleep(0.2)
                except ConnectionError:
                    ended = True
            clients.append((name, ended, time.monotonic() - began))

        threads += [threading.Thread(target=after, args=(body, "a body")) for _ in range(5)]
        for t in threads:
            t.start()
        began = time.monotonic()
        status = serve.ask("GET", ORDERS, who=NORTH)[0]
        ok(status == 200 and time.monotonic() - began < 10, "others are served meanwhile", status)
        for t in threads:
            t.join()
        ok(all(ended and seconds < 15 for _, ended, seconds in clients), "who sends byte by byte is ended by the time for a request", clients)
        with serve.connect() as s:
            began = time.monotonic()
            s.settimeout(20)
            silent = s.recv(1) == b""
            ok(silent and time.monotonic() - began < 15, "who says nothing is ended by the time for silence")

        # Answers that nobody reads: asked for again and again on one connection.
        before = serve.memory()
        readers = []
        for _ in range(20):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.connect(("127.0.0.1", serve.port))
            s.settimeout(5)
            request = f"GET {ORDERS}?page_size=100 HTTP/1.1\r\nHost: a\r\nAuthorization: {basic(*NORTH)}\r\n\r\n".encode()
            try:
                s.sendall(request * 200)
            except (socket.timeout, ConnectionError):
                pass
            readers.append(s)
        ok(serve.ask("GET", ORDERS, who=NORTH)[0] == 200, "who reads nothing delays nobody")
        ok(serve.memory() < before + 50000, "nor is more kept for him than a few answers", before, serve.memory())

        def is_closed(s):
            try:
                s.setblocking(False)
                s.sendall(b"x" * 10)
                return False
            except BlockingIOError:
                return False
            except OSError:
                return True

        ok(until(lambda: all(is_closed(s) for s in readers), 40), "and his connections end")
        for s in readers:
            s.close()
        ok(serve.alive(), "alive behind slow clients")


def many(db):
    with Serve("--max-connections=20", "--idle-timeout=5s") as serve:
        held = [serve.connect() for _ in range(60)]
        ok(serve.ask("GET", "/healthz", timeout=2)[0] == 0, "above the limit of connections one waits")
        for s in held:
            s.close()
        # Nothing else wakes the program than those who leave.
        ok(serve.ask("GET", "/healthz", timeout=10)[0] == 200, "and is served as soon as the others are gone")
    with Serve("--max-per-address=5", "--idle-timeout=5s") as serve:
        held = [serve.connect() for _ in range(20)]
        time.sleep(0.3)
        closed = 0
        for s in held:
            s.settimeout(0.3)
            try:
                closed += s.recv(1) == b""
            except socket.timeout:
                pass
            except ConnectionError:
                closed += 1
            s.close()
        ok(closed >= 14, "connections of one address above its limit are closed", closed)
        ok(until(serve.alive), "and there is room again")


# ---------------------------------------------------------------------------
# What is no text, no path, no JSON


def encodings(serve):
    for name, path in {
        "a 0 byte in the path": ORDERS + "%00/",
        "a 0 byte in the query": ORDERS + "?search=%00",
        "no UTF-8 in the path": ORDERS + "%ff%fe/",
        "no UTF-8 in the query": ORDERS + "?search=%c3%28",
        "a surrogate": ORDERS + "?search=%ed%a0%80",
        "an overlong slash": ORDERS + "%c0%af/",
        "half an escape": ORDERS + "?search=%4",
        "no escape": ORDERS + "?search=%zz",
        "an unknown parameter": ORDERS + "?shop_id=1",
        "a parameter twice": ORDERS + "?search=a&search=b",
        "a page size that is none": ORDERS + "?page_size=1e9",
        "a page size below zero": ORDERS + "?page_size=-1",
        "a huge page size": ORDERS + "?page_size=99999999999999999999",
        "SQL for an ordering": ORDERS + f"?ordering=created_at;DROP%20TABLE%20{MARK}",
        "a quote in a status": ORDERS + f"?status='{MARK}",
        "a date that is none": ORDERS + f"?start_date=2026-13-45{MARK}",
        "a cursor that is none": ORDERS + f"?cursor={MARK}'--",
        "a forged cursor": ORDERS + "?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    }.items():
        status, _, body = serve.ask("GET", path, who=NORTH)
        ok(status in (400, 404, 422), f"{name}: refused", status, body)
    for name, path in {
        "SQL in a search": ORDERS + f"?search={MARK}'%20OR%201=1--",
        "SQL in another search": ORDERS + f"?search={MARK}');DROP%20TABLE%20incomplete_orders.orders;--",
    }.items():
        status, _, body = serve.ask("GET", path, who=NORTH)
        ok(status == 200 and json.loads(body)["results"] == [], f"{name} finds nothing", status, body)
    raw = f"GET {ORDERS}?search=\0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    ok(statuses(serve.raw(raw))[0] in (400, 401), "a bare 0 byte in the query")
    for name, path in {
        "..": ROOT + "../../healthz", "escaped ..": ROOT + "%2e%2e/%2e%2e/healthz", "escaped slashes": ROOT + "..%2f..%2fetc%2fpasswd",
        ".. in the root": "/../../../../etc/passwd", "backslashes": "/..\\..\\etc\\passwd", "two slashes": "//etc/passwd",
        "a dot": ROOT + "./incomplete-orders/x", "the assets' folder": "/assets/../src/sidecar/rest.c", "escaped in the assets": "/assets/%2e%2e/%2e%2e/etc/passwd",
        "an absolute address": f"http://127.0.0.1:{PORT}{ROOT}x", "a parameter of a segment": ROOT + "incomplete-orders;x=y/", "a fragment": ROOT + "nothing#/healthz",
    }.items():
        status, _, body = serve.ask("GET", path, who=NORTH)
        ok(status in (400, 404, 405) and b"root:" not in body, f"path with {name}: nothing there", status, body)
    deep = b'{"items":' + b"[" * 20000 + b"]" * 20000 + b"}"
    good = {"session_id": "a", "items": [{"sku": "A", "quantity": 1, "unit_price": "1"}]}
    bodies = {
        "no JSON": b"{", "nothing but blanks": b"   ", "a number": b"1", "a list": b"[]", "null": b"null", "a text": b'"x"', "a byte order mark": b"\xef\xbb\xbf{}",
        "no UTF-8": b'{"session_id":"\xff"}', "half a surrogate": b'{"session_id":"\\ud800"}', "an escaped 0 byte": b'{"session_id":"\\u0000"}', "a 0 byte": b'{"session_id":"\0"}',
        "20,000 levels": deep, "a number of 120,000 digits": b'{"session_id":"a","items":[{"sku":"A","quantity":1,"unit_price":1e131071}]}',
        "too many digits": b'{"session_id":"a","items":[{"sku":"A","quantity":1,"unit_price":' + b"9" * 100000 + b"}]}",
        "not a number": b'{"session_id":"a","items":[{"sku":"A","quantity":NaN,"unit_price":1}]}',
        "a quantity in text": {**good, "items": [{"sku": "A", "quantity": f"1;{MARK}", "unit_price": "1"}]},
        "a price below zero": {**good, "items": [{"sku": "A", "quantity": 1, "unit_price": "-1"}]},
        "SQL for items": {**good, "items": f"'); DROP TABLE {MARK}; --"},
        "an enum that is none": {**good, "step": f"{MARK}'--"},
        "a date that is none": {**good, "at": f"{MARK}"},
        "SQL for an address": {**good, "shipping_address": f"{MARK}'"},
    }
    for name, body in bodies.items():
        status, _, answer = serve.ask("POST", ORDERS, body=body, who=NORTH)
        # What is only odd may be taken; it must not break anything.
        ok(status in (400, 405, 409, 413, 422) or (status in (200, 201) and name in ("SQL for an address", "an enum that is none", "a date that is none")),
           f"POST of {name}: refused, not broken", status, answer)
    for kind in ("text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", ""):
        status, _, answer = serve.ask("POST", ORDERS, {"Content-Type": kind}, b"{}", who=NORTH)
        ok(status in (400, 405, 415), f"a body of type \"{kind}\": refused", status, answer)
    status, _, answer = serve.ask("GET", ORDERS, {"Idempotency-Key": "é" * 300}, who=NORTH)
    ok(status == 400, "an Idempotency-Key that is too long", status)
    status, headers, answer = serve.ask("GET", "/%0d%0aSet-Cookie:%20a=b", who=NORTH)
    ok("set-cookie" not in headers and b"Set-Cookie" not in answer, "an escaped line end in the path makes no header")
    status, headers, answer = serve.ask("GET", ORDERS + "?search=%0d%0aSet-Cookie:a=b&page_size=1", who=NORTH)
    ok("set-cookie" not in headers, "nor one in a parameter")


# ---------------------------------------------------------------------------
# Who is it?


def logins(db):
    with Serve("--trusted-proxy=127.0.0.1") as serve:
        def ask(role, word, address, path=ORDERS, headers=None):
            return serve.ask("GET", path, {"X-Forwarded-For": address, **(headers or {})}, who=(role, word))

        status, headers, _ = serve.ask("GET", ORDERS)
        ok(status == 401 and headers.get("www-authenticate", "").startswith("Basic "), "nobody: 401", status)
        ok(ask(*NORTH, "192.0.2.1")[0] == 200, "a role with its password")
        ok(ask(NORTH[0], SOUTH[1], "192.0.2.2")[0] == 401, "with another's password, while its connections are open: 401")
        ok(ask(NORTH[0], NORTH[1] + "x", "192.0.2.2")[0] == 401, "with more than its password")
        ok(ask(NORTH[0], NORTH[1][:-1], "192.0.2.2")[0] == 401, "with less of it")
        for n, word in enumerate(("", "x", "trusted-word", "' OR 1=1")):
            status, _, body = ask("trusted", word, f"192.0.2.{10 + n}")
            ok(status in (401, 403) and b"results" not in body, f"under trust no password counts, not even \"{word}\"", status, body)
        status, _, body = ask("above", "above-word", "192.0.2.20")
        ok(status == 403, "a superuser with his password is refused", status, body)
        ok(ask("postgres", "postgres", "192.0.2.21")[0] in (401, 403), "so is postgres")
        ok(ask("asleep", "asleep-word", "192.0.2.22")[0] == 401, "a role that may not log in: 401")
        unknown, wrong = ask("no_such_role", "x", "192.0.2.23"), ask("nobody", "x", "192.0.2.24")
        ok(unknown[0] == wrong[0] == 401 and unknown[2] == wrong[2], "a role that there is not, and a wrong password: the same answer", unknown, wrong)
        status, _, body = ask("nobody", "nobody-word", "192.0.2.25")
        ok(status in (403, 404), "a role without a purpose may do nothing", status, body)
        for n, value in enumerate(("Basic", "Basic ", "Basic !!!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Basic " + base64.b64encode(b":x").decode(),
                                   "Basic " + base64.b64encode(b"a\0b:x").decode(), "Basic " + base64.b64encode(b"\xff\xfe:x").decode(), "Basic " + "QUFB" * 3000,
                                   "Bearer " + basic(*NORTH)[6:], basic(NORTH[0] + " user=postgres", NORTH[1]), basic("host=evil dbname=x", "x"),
                                   basic("x" * 64 + NORTH[0], NORTH[1]), basic(NORTH[0].upper(), NORTH[1]), basic("attacked_north\nuser=above", "x"))):
            status, _, body = serve.ask("GET", ORDERS, {"X-Forwarded-For": f"192.0.2.{40 + n}", "Authorization": value})
            ok(status in (400, 401, 403), f"Authorization: {value[:30]}: refused", status, body)

        # Many tries: ever slower for their address, and not to be had by asking at once.
        answers = [ask(SOUTH[0], f"guess-{n}", "198.51.100.1") for n in range(30)]
        codes = [a[0] for a in answers]
        ok(codes.count(401) <= 15 and codes[-1] == 429 and int(answers[-1][1]["retry-after"]) > 0, "wrong passwords in a row: 429 with Retry-After", codes)
        ok(ask(*SOUTH, "198.51.100.1")[0] == 429, "then the right one has to wait, too")
        ok(ask(*NORTH, "192.0.2.1")[0] == 200, "who is logged in does not notice")
        results = []
        threads = [threading.Thread(target=lambda n=n: results.append(ask("nobody", f"guess-{n}", "198.51.100.2")[0])) for n in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        ok(results.count(401) <= 15 and 429 in results, "forty at once are limited as well", sorted(results))
        # Spread over addresses: limited by role.
        codes = [ask("trusted_other", f"guess-{n}", f"203.0.113.{n}")[0] for n in range(40)]
        ok(codes[-1] == 429 and codes.count(401) <= 20, "of many addresses for one role: limited, too", codes)
        # What a client says of itself does not help.
        codes = [serve.ask("GET", ORDERS, {"X-Forwarded-For": f"10.1.{n}.1, 198.51.100.3"}, who=(f"guessed_{n}", "x"))[0] for n in range(30)]
        ok(codes[-1] == 429, "another X-Forwarded-For each time: the address before the proxy counts", codes)
        codes = [serve.ask("GET", ORDERS, {"X-Forwarded-For": f"10.2.{n}.1\r\nX-Forwarded-For: 198.51.100.4"}, who=(f"guessed_{n}", "x"))[0] for n in range(12)]
        ok(codes[-1] == 429, "a line of X-Forwarded-For before that of the proxy: its own counts", codes)
        codes = [ask(f"guessed_{n}", "x", f"::ffff:198.51.101.{n}")[0] for n in range(12)]
        ok(set(codes) == {401}, "IPv4 that a proxy writes as IPv6: they are not one network", codes)

        # --- a password that is changed, a role that is gone
        ok(ask(*NORTH, "192.0.2.1")[0] == 200, "before a change of password")
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'attacked_north'")
        db.execute("ALTER ROLE attacked_north PASSWORD 'another-word'")
        ok(until(lambda: ask(*NORTH, "192.0.2.60")[0] in (401, 429), 20), "the old password ends with its connections")
        ok(ask(NORTH[0], "another-word", "192.0.2.61")[0] == 200, "and the new one is taken")
        db.execute(f"ALTER ROLE attacked_north PASSWORD '{NORTH[1]}'")
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'attacked_north'")
        # --- a right that is taken away is gone at once, on open connections
        ok(ask(*NORTH, "192.0.2.62")[0] == 200, "a right, before")
        db.execute("SELECT incomplete_orders.revoke_from('attacked_north', 'admin', 'north')")
        ok(ask(*NORTH, "192.0.2.62")[0] in (403, 404), "a right that is taken away is gone at once")
        db.execute("SELECT incomplete_orders.grant_to('attacked_north', 'admin', 'north')")

        # --- what a browser is made to send
        for name, headers in (("another site's page", {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}), ("its form", {"Origin": "null"}),
                              ("a site beside us", {"Sec-Fetch-Site": "same-site", "Origin": "https://blog.shop.example"})):
            status, _, body = serve.ask("POST", ORDERS + f"{SQL['north'][0]}/convert_to_order/", {"X-Forwarded-For": "192.0.2.1", **headers}, {}, who=NORTH)
            ok(status in (403, 404, 405), f"a password that the browser keeps, sent by {name}: refused", status, body)
        ok(db.execute("SELECT count(*) FROM incomplete_orders.orders WHERE incomplete_order_id = %s", (SQL["north"][0],)).fetchone()[0] == 0, "and nothing is ordered")
        ok(serve.alive(), "alive behind logins")


def shops(serve):
    mine, theirs, nobodys = SQL["north"][0], SQL["south"][0], uuid.uuid4()
    status, _, body = serve.ask("GET", ORDERS + "?page_size=100", who=NORTH)
    rows = json.loads(body)["results"]
    ok(status == 200 and len(rows) == 30 and {r["shop"] for r in rows} == {"north"}, "a list has the role's shop only", status, len(rows))
    there, not_there = serve.ask("GET", ORDERS + "?shop=south", who=NORTH), serve.ask("GET", ORDERS + "?shop=nowhere", who=NORTH)
    ok(there[0] == not_there[0] and there[0] in (403, 404) and there[2].replace(b"south", b"") == not_there[2].replace(b"nowhere", b""),
       "a shop of others and one that there is not: the same answer", there, not_there)
    status, _, body = serve.ask("GET", ORDERS + "?shop=*", who=NORTH)
    ok(status != 200 or {r["shop"] for r in json.loads(body)["results"]} == {"north"}, "all shops are those of the role", status)
    for method, path, body in (("GET", "", None), ("PATCH", "", {"email": "x@evil.example"}), ("DELETE", "", None), ("POST", "convert_to_order/", {}), ("POST", "mark_abandoned/", {}),
                               ("POST", "send_recovery_email/", {}), ("GET", "history/", None), ("POST", "notes/", {"text": "x", "note": "x"}), ("POST", "dismiss/", {})):
        a, b = (serve.ask(method, f"{ORDERS}{id}/{path}", body=body, who=NORTH) for id in (theirs, nobodys))
        ok(a[0] == b[0] and 400 <= a[0] < 500 and a[2].replace(str(theirs).encode(), b"") == b[2].replace(str(nobodys).encode(), b""),
           f"{method} {path or 'an order'} of another shop: as of one that there is not ({a[0]})", a, b)
    for word in (f"c0@south.example", "south-0", str(theirs)):
        status, _, body = serve.ask("GET", f"{ORDERS}?search={word}", who=NORTH)
        ok(status == 200 and json.loads(body)["count"] == 0, f"a search for {word} finds nothing of another shop", status, body)
    ok(b"south" not in serve.ask("GET", ORDERS + "statistics/", who=NORTH)[2], "statistics count one shop")
    return mine


# ---------------------------------------------------------------------------
# Pages: a key that everybody has, a session that one must know

MINE, OTHERS = "visitor-session-aaaaaaaa", "visitor-session-bbbbbbbb"
CART = {"items": [{"sku": "A", "name": "Shirt", "quantity": 1, "unit_price": "19.90"}]}


def page(serve, method, path, key, session=None, body=None, headers=None):
    return serve.ask(method, ROOT + path, {**({"X-Publishable-Key": key} if key else {}), **({"X-Session-Id": session} if session else {}), **(headers or {})}, body)


def pages(serve, db):
    north, south = (db.execute("SELECT incomplete_orders.rotate_publishable_key(%s)", (shop,)).fetchone()[0] for shop in ("north", "south"))
    SQL["former key"] = north
    db.execute("""SELECT incomplete_orders.configure_shop('north', '{"page_prices": "accept", "allowed_origins": ["https://north.example"]}'),
        incomplete_orders.configure_shop('south', '{"page_prices": "accept", "allowed_origins": ["https://south.example"]}')""")
    status, _, body = page(serve, "PUT", "cart/", north, MINE, CART, {"Origin": "https://north.example"})
    ok(status == 200, "a page captures the cart of its session", status, body)
    order = json.loads(body)["id"]

    def row(columns, id=order):
        return db.execute(f"SELECT {columns} FROM incomplete_orders.incomplete_orders WHERE id = %s", (id,)).fetchone()

    # --- keys
    for name, key in (("no key", None), ("a key that is none", "pk_" + "A" * 43), ("half a key", north[:20]), ("a key with a 0 byte behind it", north + "%00"), ("SQL for a key", f"pk_' OR {MARK}--"),
                      ("a very long key", "pk_" + "x" * 4000), ("a key in capitals", north.upper()), ("the name of the shop", "north")):
        status, _, body = page(serve, "GET", "cart/", key, MINE)
        ok(status == 401, f"{name}: 401", status, body)
    ok(serve.ask("GET", f"{ROOT}cart/?key={south}", {"X-Publishable-Key": north, "X-Session-Id": OTHERS})[0] == 404, "two keys are not two shops")
    # --- sessions
    ok(page(serve, "GET", "cart/", north, MINE)[0] == 200, "one's own cart")
    for name, session in (("another's", OTHERS), ("none", None), ("a short one", "abc"), ("one with %", MINE[:-1] + "%"), ("one with _ for any character", MINE[:-1] + "_"), ("a long one", "a" * 5000),
                          ("one with a quote", MINE + "'"), ("one in capitals", MINE.upper()), ("the number of the order", order)):
        status, _, body = page(serve, "GET", "cart/", north, session)
        ok(status in (400, 404) and b"Shirt" not in body, f"the cart of a session, {name}: not to be had", status, body)
    # What staff's program sent without a session has one made of its key, which may be guessed.
    status, _, body = serve.ask("POST", ORDERS, {"Idempotency-Key": "4711"}, {"items": [{"sku": "SHIRT", "name": "Shirt", "quantity": 1, "unit_price": "19.90"}]}, who=NORTH)
    ok(status == 201, "staff capture a cart under a key", status, body)
    for prefix in ("key-", "key/"):
        status, _, body = page(serve, "GET", "cart/", north, prefix + hashlib.sha256(b"4711").hexdigest())
        ok(status in (400, 404) and b"Shirt" not in body, f"the cart that staff captured under a key, as session {prefix}: not to be had", status, body)
    a, b = page(serve, "GET", "cart/", south, MINE), page(serve, "GET", "cart/", south, OTHERS)
    ok(a[0] == b[0] == 404 and a[2] == b[2], "the same session at another shop: as one that there is not", a, b)
    ok(serve.ask("GET", f"{ROOT}cart/?key={north}&session_id={MINE}")[0] == 400, "a session in an address is refused: it would stand in logs")
    # --- what a page may not say
    for name, extra in (("another shop", {"shop": "south"}), ("a state", {"status": "converted"}), ("who the customer is", {"customer_id": "4711"}), ("an instant", {"at": "2020-01-01T00:00:00Z"}),
                        ("an order", {"id": str(SQL["north"][1])}), ("a total", {"total": "0.01"}), ("a bill", {"paid": True})):
        status, _, body = page(serve, "PUT", "cart/", north, MINE, {**CART, **extra})
        ok(status in (200, 400, 422) and row("status::text, customer_id, total::text, shop, created_at > now() - interval '1 hour'") == ("pending", None, "19.90", "north", True),
           f"a page that says {name} changes nothing by it", status, body, row("*"))
    ok(page(serve, "PUT", "cart/", north, MINE, {"items": [{"sku": "A", "quantity": 1, "unit_price": "-5"}]})[0] == 422, "a price below zero")
    db.execute("""SELECT incomplete_orders.configure_shop('south', '{"page_prices": "refuse"}')""")
    ok(page(serve, "PUT", "cart/", south, OTHERS, CART)[0] == 403, "prices of a page, where the shop does not take them: 403")
    status, _, body = page(serve, "POST", "cart/merge/", north, OTHERS, {"from_session_id": "north-0"})
    ok(status in (400, 404, 422) and row("status::text", SQL["north"][0]) == ("pending",), "a cart of a short session of the shop's own cannot be merged away", status, body)
    a = page(serve, "POST", "cart/redeem-coupon/", north, OTHERS, {"code": "GUESS"})
    ok(a[0] in (404, 409), "a coupon without a cart", a)
    # --- staff's routes with a page's key
    for path in ("incomplete-orders/", f"incomplete-orders/{order}/", "incomplete-orders/export.csv", "settings/", "customers/export/"):
        ok(page(serve, "POST" if "customers" in path else "GET", path, north, MINE, {} if "customers" in path else None)[0] == 401, f"a page at {path}: 401")
    # --- other sites
    for origin in ("https://evil.example", "https://north.example.evil.example", "https://north.example:444", "http://north.example", "null", "https://NORTH.example@evil.example", "https://south.example"):
        status, headers, _ = page(serve, "PUT", "cart/", north, MINE, CART, {"Origin": origin})
        ok(status == 403 and headers.get("access-control-allow-origin") != origin, f"from a page of {origin}: 403", status, headers)
        status, headers, _ = serve.ask("OPTIONS", f"{ROOT}cart/?key={north}", {"Origin": origin, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-session-id"})
        ok("access-control-allow-origin" not in headers, f"and what its browser asks before is not allowed ({status})", headers)
    _, headers, _ = page(serve, "GET", "cart/", north, MINE, None, {"Origin": "https://north.example"})
    ok(headers.get("access-control-allow-origin") == "https://north.example" and "access-control-allow-credentials" not in headers and "Origin" in headers.get("vary", ""),
       "the shop's own page is allowed, without credentials", headers)
    # --- after the order is made
    db.execute("SELECT incomplete_orders.convert_order(%s)", (order,))
    ok(page(serve, "GET", "cart/", north, MINE)[0] == 404, "what was ordered is no cart any more")
    status, _, body = page(serve, "PUT", "cart/", north, MINE, CART)
    ok(status == 200 and json.loads(body)["id"] != order and row("status::text") == ("converted",), "a late capture begins another", status, body)
    for path, body in (("track-abandonment/", {"stage": "payment"}), ("save-checkout-data/", {"email": "x@evil.example", "consent": {"status": "granted", "at": "2026-01-31T10:00:00Z"}}), ("record-checkout-error/", {"error_kind": "payment_failed"})):
        page(serve, "POST", path, north, MINE, body)
    ok(row("status::text, email") == ("converted", None), "nothing that a page sends reaches the order that was made", row("status, email"))


def tokens(serve, db):
    key = {shop: db.execute("SELECT incomplete_orders.rotate_publishable_key(%s)", (shop,)).fetchone()[0] for shop in ("north", "south")}
    message = db.execute("""INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, order_id, root_id, episode, step, message_type, template, recipient, queued_at, give_up_at, sent_at)
        SELECT shop_id, incomplete_orders._new_id(shop_id), now(), 'sent', id, id, 1, 1, 'abandoned_cart', 'cart_abandoned', email, now(), now() + interval '5 days', now()
        FROM incomplete_orders.open_orders WHERE id = %s RETURNING id""", (SQL["north"][2],)).fetchone()[0]
    true = db.execute("SELECT to_jsonb(t) FROM incomplete_orders._link_tokens(%s, now()) t", (message,)).fetchone()[0]
    old = db.execute("SELECT to_jsonb(t) FROM incomplete_orders._link_tokens(%s, now() - interval '3 years') t", (message,)).fetchone()[0]

    def preview(token, shop="north"):
        return page(serve, "GET", f"restore/{token}/", key[shop])

    ok(preview(true["restore"])[0] == 200, "a true token shows its cart")
    data = bytearray(base64.urlsafe_b64decode(true["restore"] + "="))
    answers = []
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        answers.append(preview(base64.urlsafe_b64encode(data).rstrip(b"=").decode())[0])
        data[bit // 8] ^= 1 << bit % 8
    ok(set(answers) <= {404, 410} and len(answers) == 256, "with any one bit changed it is none", sorted(set(answers)))
    for name, token in (("of another link", true["click"]), ("of unsubscribing", true["unsubscribe"]), ("cut", true["restore"][:-1]), ("longer", true["restore"] + "A"), ("in other letters", true["restore"].swapcase()),
                        ("with =", true["restore"] + "="), ("nothing but A", "A" * 43), ("a number", str(message)), ("SQL", f"'{MARK}"), ("a 0 byte", "%00" * 43), ("expired", old["restore"])):
        for method in ("GET", "POST"):
            status, _, body = page(serve, method, f"restore/{token}/", key["north"], MINE, {} if method == "POST" else None)
            ok(400 <= status < 500 and b"Shirt" not in body, f"{method} with a token {name}: refused ({status})", status, body)
    status, _, body = preview(true["restore"], "south")
    ok(status == 404 and b"Shirt" not in body, "a token of another shop: 404", status, body)
    status, _, _ = page(serve, "POST", f"restore/{true['restore']}/", key["south"], OTHERS, {})
    ok(status in (404, 422) and db.execute("SELECT session_id FROM incomplete_orders.open_orders WHERE id = %s", (SQL["north"][2],)).fetchone() == ("north-2",), "nor is it restored there", status)
    for _ in range(3):
        preview(true["restore"])
        serve.ask("HEAD", f"{ROOT}restore/{true['restore']}/", {"X-Publishable-Key": key["north"]})
    ok(db.execute("SELECT version FROM incomplete_orders.open_orders WHERE id = %s", (SQL["north"][2],)).fetchone() == (1,), "looking changes nothing")
    # --- what only a mail service may say
    event = [{"message_id": str(message), "event": "bounced"}]
    secret = db.execute("SELECT incomplete_orders.rotate_mail_secret('north')").fetchone()[0]
    now = str(int(time.time()))
    forged = base64.b64encode(b"x" * 32).decode()
    for name, headers in (("nothing", {}), ("a signature of others", {"webhook-timestamp": now, "webhook-signature": "v1," + forged}), ("no time", {"webhook-signature": "v1," + forged}),
                          ("an empty signature", {"webhook-timestamp": now, "webhook-signature": ""}), ("another kind of signature", {"webhook-timestamp": now, "webhook-signature": "v0," + forged}),
                          ("a time that is none", {"webhook-timestamp": f"{MARK}'", "webhook-signature": "v1," + forged}), ("the secret itself", {"webhook-timestamp": now, "webhook-signature": secret})):
        status, _, body = serve.ask("POST", ROOT + "email-webhook/?shop=north", {"webhook-id": "m1", **headers}, event)
        ok(status in (400, 401) and secret.encode() not in body, f"a mail event signed by {name}: refused", status, body)
    ok(db.execute("SELECT count(*) FROM incomplete_orders.suppressions").fetchone() == (0,), "and nobody is suppressed by it")
    # --- the same Idempotency-Key of two shops, and of two bodies
    key_header = {"Idempotency-Key": "the-same-key"}
    a, b = (serve.ask("POST", ORDERS, key_header, {"items": CART["items"], "email": f"x@{who[0]}.example"}, who=who) for who in (NORTH, SOUTH))
    ok(a[0] in (200, 201) and b[0] in (200, 201) and json.loads(a[2])["id"] != json.loads(b[2])["id"] and b"attacked_north" not in b[2], "the same Idempotency-Key at another shop is another's", a[0], b[0])


def rotation(serve, db):
    """At the end, because a key is known for a minute."""
    former = SQL["former key"]
    new = db.execute("SELECT incomplete_orders.rotate_publishable_key('north', interval '0')").fetchone()[0]
    ok(page(serve, "GET", "cart/", new, OTHERS)[0] == 404, "a new key counts at once")
    ok(until(lambda: page(serve, "GET", "cart/", former, MINE)[0] == 401, 75), "a key that was replaced twice is none, a minute later at the latest")


# ---------------------------------------------------------------------------
# At the end

LEAK = re.compile(rb"SELECT |INSERT |UPDATE |DELETE FROM|ERROR:|PL/pgSQL|plpgsql|pg_catalog|relation \"|SQLSTATE|syntax error|CONTEXT:|LINE \d|incomplete_orders\.(?!grant_to\(\))|search_path|"
                  rb"function .* does not exist|invalid input syntax|libpq|server closed|/tmp/|\.c:\d|stack|password authentication|pg_hba\.conf entry|FATAL")


def leaks(log):
    # One sentence for administrators names the file that they have to change.
    found = [m.group(0) + b" in " + a[:600] for a in seen for m in LEAK.finditer(a)]
    ok(not found, f"none of {len(seen)} answers has a word of SQL or of the server's insides", *found[:5])
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    # A statement may go over several lines; a parameter stands in a DETAIL line of its own.
    entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", text, flags=re.MULTILINE)
    as_sql = [e for e in entries if MARK in e and not re.search(r" (DETAIL|CONTEXT|HINT):  ", e) and re.search(r"(statement|execute [^:]*|parse [^:]*|STATEMENT): .*" + MARK, e, re.DOTALL)]
    ok(MARK in text, "what was hostile reached the server as a parameter")
    ok(not as_sql, "and never as SQL", *as_sql[:3])


# ---------------------------------------------------------------------------
# Who is signed in on the admin's pages?


def sign_in(serve, role, word, headers=None, body=None):
    """((status, headers, body), cookie, CSRF token)"""
    answer = serve.ask("POST", f"{ROOT}session/", {"Origin": "http://shop.example", **(headers or {})}, body if body is not None else {"role": role, "password": word})
    cookie = re.match(r"incomplete_orders_session=([\w-]{43});", answer[1].get("set-cookie", ""))
    return answer, cookie and cookie[1], answer[0] == 200 and json.loads(answer[2])["csrf_token"]


def sessions(serve, db):
    _, north, token = sign_in(serve, *NORTH)
    _, south, south_token = sign_in(serve, *SOUTH)
    mine, theirs = SQL["north"][5], SQL["south"][5]

    def ask(method, path, cookie=north, body=None, **headers):
        return serve.ask(method, path if path.startswith("/") else ROOT + path, {"Cookie": f"incomplete_orders_session={cookie}", "Origin": "http://shop.example", "X-CSRF-Token": token,
                                                                                   **{k.replace("_", "-"): v for k, v in headers.items()}}, body)

    ok(north and south and north != south and ask("GET", f"incomplete-orders/{mine}/")[0] == 200, "two are signed in")
    # --- another shop's, and another session's
    for method, path, body in (("GET", f"incomplete-orders/{theirs}/", None), ("POST", f"incomplete-orders/{theirs}/notes/", {"note": "x"}), ("DELETE", f"incomplete-orders/{theirs}/", None),
                               ("GET", "settings/?shop=south", None), ("PATCH", "settings/?shop=south", {"name": "x"})):
        status, _, answer = ask(method, path, body=body)
        ok(status in (403, 404) and b"south.example" not in answer, f"{method} {path[:20]} of the other shop: refused", status, answer)
    ok(ask("POST", f"incomplete-orders/{mine}/notes/", body={"note": "x"}, X_CSRF_Token=south_token)[0] == 403, "the other session's token: 403")
    ok(ask("POST", f"incomplete-orders/{mine}/notes/", cookie=south, body={"note": "x"})[0] == 403, "the other session's cookie with this one's token: 403")
    ok(ask("PUT", "cart/", body={"items": []})[0] == 401, "staff's cookie opens no page of a shop")
    # --- a read that would write
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        ask("GET", f"incomplete-orders/{mine}/", **{name: "DELETE", "X-CSRF-Token": ""})
        ask("POST", f"incomplete-orders/{mine}/?_method=DELETE", **{name: "DELETE", "X-CSRF-Token": ""})
    ok(db.execute("SELECT count(*) FROM incomplete_orders.open_orders WHERE id = %s", (mine,)).fetchone()[0] == 1, "no header makes a write of a read")
    for headers in ({"Origin": "http://shop.example.evil.example"}, {"Origin": "http://shop.example@evil.example"}, {"Origin": "http://shop.example:80.evil.example"}, {"Origin": "shop.example"}, {"Origin": "://"},
                    {"Origin": "http://evil.example http://shop.example"}, {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}, {"Origin": "http://evil.example", "Forwarded": "host=evil.example"},
                    {"Origin": "http://evil.example", "Referer": "http://shop.example/"}, {"Sec-Fetch-Site": "same-origin, cross-site"}, {"Sec-Fetch-Site": ""}):
        ok(ask("POST", f"incomplete-orders/{mine}/notes/", body={"note": "x"}, **headers)[0] in (400, 403), f"a write with {headers}: refused")
    ok(not db.execute("SELECT count(*) FROM incomplete_orders.order_notes").fetchone()[0], "none of them has written")
    # --- cookies
    for value in ("", "A" * 43, north[:-1], north + "=", north.swapcase(), "../../etc/passwd", "' OR 1=1 --", "%s" * 20, "A" * 8000, "\x7f\x80", f"{north}; incomplete_orders_session={south}", f"{south}, incomplete_orders_session={north}"):
        ok(ask("GET", ORDERS, cookie=value)[0] in (400, 401, 413, 431), f"cookie {value[:40]!r}: refused")
    guesses = [ask("GET", ORDERS, cookie=base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))[0] for _ in range(200)]
    ok(set(guesses) == {401}, "two hundred guesses: 401", set(guesses))
    ok(ask("GET", ORDERS, Cookie=f"{'a=b; ' * 50}incomplete_orders_session={north}")[0] == 200, "among fifty others")
    ok(ask("GET", ORDERS, Cookie=f"{'a=b; ' * 500}incomplete_orders_session={north}")[0] in (0, 200, 400, 413, 431), "among five hundred others")
    # --- signing in
    for role, word in (("attacked_north user=above", "north-word"), ("host=evil dbname=x", "x"), ("attacked_north\nuser=above", "x"), ("attacked_north\u0000above", "north-word"), ("postgres", ""), ("postgres", "postgres"),
                       ("' OR 1=1 --", "x"), ("attacked_north", "north-word' "), ("above", "above-word"), ("trusted", "x"), ("asleep", "asleep-word"), ("nobody", "nobody-word")):
        answer, cookie, _ = sign_in(serve, role, word)
        ok(answer[0] in (400, 401, 403, 422, 429) and cookie is None, f"signing in as {role!r}: refused", answer)
    for body in (b"", b"{", b"[]", b"null", b'{"role": "a"}', b'{"role": 1, "password": 2}', b"[" * 8000, b'{"role": "a", "password": "b", "role": "c"}', b'{"role":"\xff","password":"x"}', b"role=a&password=b", b"A" * 20000):
        answer, cookie, _ = sign_in(serve, None, None, body=body)
        ok(400 <= answer[0] < 500 and cookie is None, f"signing in with {body[:30]!r}: refused", answer)
    for shop in ("'", "%27%20OR%201=1", "%00", "south", "*'%20--"):
        status, _, answer = ask("GET", f"session/?shop={shop}")
        ok(status in (200, 400) and b"South" not in answer, f"the session of shop {shop}: nothing of others", status, answer)
    # --- the pages
    index = ask("GET", "/admin/")[2]
    ok(b"<base href=" in index, "the page")
    for path in ("/admin/assets/../../../../etc/passwd", "/admin/../../etc/passwd", "/admin//etc/passwd", "/admin/assets/%2e%2e/%2e%2e/etc/passwd", "/admin/assets/..%5c..%5cetc", "/admin/%00", "/admin/<script>alert(1)</script>",
                 "/admin/\"><script>", "/admin/frame.html/../x", "/admin/frame.html?html=<script>", "http://evil.example/admin/", "/admin/assets/" + "a/" * 2000, "/admin/{prefix}@prefix@@assets@"):
        status, headers, body = serve.ask("GET", path)
        ok(status in (400, 404, 414, 431) or body == index or b"frame.js" in body, f"{path[:40]}: nothing but our own", status, body[:200])
        ok("root:" not in body.decode("latin-1") and b"alert(1)" not in body and "evil" not in str(headers), f"{path[:40]}: and nothing of it comes back", body[:200], headers)
    ok(ask("DELETE", "session/")[0] == 204 and ask("GET", ORDERS)[0] == 401, "signed out is out")


def main():
    with psycopg.connect(autocommit=True) as db:
        prepare(db)
        with Serve() as serve:
            ok(serve.ask("GET", ORDERS, who=NORTH)[0] == 200, "it serves")
            for part in (smuggling, sizes, encodings, shops):
                part(serve)
                ok(serve.alive(), f"alive behind {part.__name__}")
            sessions(serve, db)
            ok(serve.alive(), "alive behind sessions")
        with Serve("--rate-per-key=0", "--rate-per-session=0", "--rate-per-address=0") as serve:
            for part in (pages, tokens, rotation):
                part(serve, db)
                ok(serve.alive(), f"alive behind {part.__name__}")
        answers = [s for a in seen for s in statuses(a)]
        ok(not [s for s in answers if s >= 500 and s not in (501, 505)], "no server error among all these answers", sorted(set(answers)))
        logins(db)
        slow(db)
        many(db)
    leaks(os.environ["SERVER_LOG"])


main()
print("done")

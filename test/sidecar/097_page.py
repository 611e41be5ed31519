"""A shop's page asks `incomplete-orders serve`; run by 097_page.pl.

Everything that is answered is kept, and searched at the end for what nobody may be told.
Lines "ok - ..." and "not ok - ..." are the tests; "done" is the last.
"""

import http.client
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse

import psycopg

ROOT = "/api/v1/incomplete-orders/"
LINES = [{"sku": "L-1", "name": "Lamp", "quantity": 2, "unit_price": "19.90", "purchase_price": "zqcost"}]
GRANTED = {"status": "granted", "at": "2026-01-31T10:00:00Z", "text_version": "7"}
answers = []


def ok(good, what, *why):
    print(f"{'ok' if good else 'not ok'} - {what}", flush=True)
    if not good:
        print("# " + "\n".join(str(w) for w in why)[:2000].replace("\n", "\n# "), flush=True)


def same(got, wanted, what):
    ok(got == wanted, what, f"got    {got!r}", f"wanted {wanted!r}")


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


db = psycopg.connect(os.environ["ICO_SUPERUSER"], autocommit=True)


def one(text, *values):
    row = db.execute(text, values or None).fetchone()
    return row[0] if row else None


def order(session, shop="lamps"):
    """The open order of a session, as it is stored."""
    return one("SELECT to_jsonb(o) || jsonb_build_object('items', o.items::jsonb) FROM incomplete_orders.open_orders o"
               " JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = %s AND o.session_id = %s", shop, session)


def rotate(shop, keep="7 days"):
    return one("SELECT incomplete_orders.rotate_publishable_key(%s, %s)", shop, keep)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.json = json.loads(body) if body and "json" in (headers.get("Content-Type") or "") else None
        answers.append(f"{status}\n{headers}\n{body}")

    def problem(self):
        return (self.json or {}).get("type", "").rpartition(":")[2]

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body}"


class Serve:
    def __init__(self, *options, role=os.environ["SIDECAR_ROLE"]):
        self.process = subprocess.Popen(["incomplete-orders", "serve", "--listen=127.0.0.1:0", "--verbose", *options],
                                        env={**os.environ, "PGUSER": role},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        if not until(lambda: any("event=start" in line for line in self.log)):
            raise SystemExit("serve does not start: " + "".join(self.log))
        self.address = re.search(r"listen=(\S+)", "".join(self.log))[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def ask(self, method, path, body=None, key=None, session=None, origin=None, type_="application/json", headers=(), query=True):
        headers = dict(headers)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if body is not None and type_:
            headers["Content-Type"] = type_
        if session:
            headers["X-Session-Id"] = session
        if origin:
            headers["Origin"] = origin
        if key and not query:
            headers["X-Publishable-Key"] = key
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request(method, (path if path.startswith("/") else ROOT + path) + (f"?key={key}" if key and query else ""),
                           body.encode() if isinstance(body, str) else body, headers)
        answer = connection.getresponse()
        got = Answer(answer.status, answer.headers, answer.read().decode())
        connection.close()
        return got


def keys(serve, lamps, books):
    refused = [serve.ask("GET", "cart/", key=key, session="visitor-0000000001") for key in
               (None, "x", "pk_", lamps[:-1], lamps + "A", lamps.upper(), "pk_" + "A" * 43, lamps[:-1] + ("A" if lamps[-1] != "A" else "B"))]
    same([a.status for a in refused], [401] * len(refused), "no key, or one that is none: 401")
    same({a.problem() for a in refused}, {"key"}, "which says that it is the key")
    good = [serve.ask("PUT", "cart/", {"items": LINES}, key=lamps, session="visitor-0000000001", query=query).status for query in (True, False)]
    same(good, [200, 200], "a key is taken from the query and from the header")
    before, after = lamps, rotate("lamps")
    same([serve.ask("GET", "cart/", key=key, session="visitor-0000000001").status for key in (before, after)], [200, 200], "while a key is replaced both are valid")
    last = rotate("lamps", "0")
    unseen = rotate("lamps", "0")
    same(serve.ask("GET", "cart/", key=last, session="visitor-0000000001").status, 401, "one that was withdrawn is not")
    new = rotate("lamps")
    same(serve.ask("GET", "cart/", key=unseen, session="visitor-0000000001").status, 200, "the former one still is")
    with Serve() as fresh:
        same(fresh.ask("GET", "cart/", key=before, session="visitor-0000000001").status, 401, "one that was replaced long ago is not")
    return new


def sessions(serve, key):
    refused = [serve.ask("PUT", "cart/", {"items": LINES}, key=key, session=session) for session in
               (None, "short", "a" * 15, "a" * 129, "with blank in the middle", "quote'quote'quote'quote", "ümlaut-ümlaut-ümlaut".encode().decode("latin-1"))]
    same([(a.status, a.problem()) for a in refused], [(400, "session")] * len(refused), "a session that is missing or can be guessed: 400")
    said = [serve.ask("PUT", "cart/", {"session_id": session}, key=key).status for session in (1, None, [], {"a": 1}, "short")]
    same(said, [400] * 5, "the same in the body")
    same(serve.ask("GET", f"cart/?session_id=visitor-0000000001&key={key}").status, 400, "it is not taken from the address")
    same(serve.ask("PUT", "cart/", {"session_id": "visitor-0000000002", "step": "contact"}, key=key).status, 200, "it is from the body")
    serve.ask("PUT", "cart/", {"session_id": "visitor-0000000002", "step": "payment"}, key=key, session="visitor-0000000003")
    same([order(s)["furthest_step"] for s in ("visitor-0000000002", "visitor-0000000003")], ["contact", "payment"], "and the header counts more")


def cart(serve, key, books):
    session = "visitor-cart-00000001"
    said = {"items": LINES, "currency": "eur", "step": "contact", "coupon_code": "TEN", "shipping": "4.90", "email": "zqmail@example.com", "phone": "+1 555",
            "name": "Zqname", "address": {"city": "Zqtown"}, "consent": GRANTED, "customer_id": "zqcustomer", "kind": "payment", "shop": "books", "at": "2020-01-01",
            "context": {"locale": "de", "bot": True, "device": "phone"}}
    put = serve.ask("PUT", "cart/", said, key=key, session=session)
    same((put.status, sorted(put.json["left_out"])), (200, ["at", "customer_id", "kind", "shop"]), "PUT cart: what a page may not say is left out, and named")
    stored = order(session)
    same([stored[k] for k in ("email", "name", "customer_id", "kind", "bot", "currency", "furthest_step")],
         ["zqmail@example.com", "Zqname", None, "cart", False, "EUR", "contact"], "the rest is stored")
    same((stored["context"]["consent"], stored["context"]["locale"]), (GRANTED | {"source": "page"}, "de"), "with the consent and its instant")
    same(order(session, "books"), None, "in the shop of the key")
    get = serve.ask("GET", "cart/", key=key, session=session)
    same((get.json["id"], get.json["total"], get.json["items"][0]["sku"], get.json["furthest_step"]), (put.json["id"], 44.7, "L-1", "contact"), "GET cart gives it back")
    ok(not {"email", "phone", "name", "address", "context", "customer_id", "session_id"} & set(get.json), "without anything of a person", get)
    same(serve.ask("HEAD", "cart/", key=key, session=session).status, 200, "HEAD does, too")

    session = "visitor-cart-00000002"
    put = serve.ask("PUT", "cart/", {"items": LINES, "email": "zqmail@example.com", "address": {"city": "Zqtown"}}, key=key, session=session)
    same((put.status, put.json["left_out"], order(session)["email"], order(session)["address"]), (200, ["email", "address"], None, None), "without consent the cart counts, and no contact is kept")

    session = "visitor-book-00000001"
    put = serve.ask("PUT", "cart/", {"items": LINES}, key=books, session=session)
    same((put.status, put.json["code"], order(session, "books")), (403, "IC017", None), "a shop that takes no prices from its pages takes no lines")
    put = serve.ask("PUT", "cart/", {"email": "zqmail@example.com", "discount": "100"}, key=books, session=session)
    same((put.status, put.json["left_out"], order(session, "books")["email"]), (200, ["discount"], "zqmail@example.com"), "but a contact, where the shop needs no consent")


def checkout(serve, key):
    session = "visitor-form-00000001"
    save = serve.ask("POST", "save-checkout-data/", {"email": "zqmail@example.com", "full_name": "Ann Zqname"}, key=key, session=session)
    same((save.status, save.json, order(session)), (200, {"id": None, "left_out": ["email", "full_name"]}, None), "a form without consent begins no order")
    save = serve.ask("POST", "save-checkout-data/", json.dumps({"session_id": session, "consent": GRANTED, "email": "zqmail@example.com", "given-name": "Ann", "family-name": "Zqname",
                     "address-line1": "Zqstreet 1", "address-level2": "Zqtown", "postal-code": "12345", "country": "DE", "country-name": "Germany", "tel": "+49 30 1", "cc-number": "4111"}),
                     key=key, type_="text/plain;charset=UTF-8")
    stored = order(session)
    same((save.status, save.json["left_out"]), (200, ["cc-number"]), "a beacon is text; what is no field of a contact is left out")
    same((stored["email"], stored["name"], stored["phone"], stored["address"]["city"], stored["address"]["country"], stored["context"]["consent"]["at"]),
         ("zqmail@example.com", "Ann Zqname", "+49 30 1", "Zqtown", "DE", GRANTED["at"]), "by the names of autocomplete")
    form = urllib.parse.urlencode({"session_id": session, "consent.status": "granted", "full_name": "Bob Zqname & Söhne", "step": "shipping"})
    save = serve.ask("POST", "save-checkout-data/", form, key=key, type_="application/x-www-form-urlencoded")
    same((save.status, order(session)["name"], order(session)["furthest_step"]), (200, "Bob Zqname & Söhne", "shipping"), "a form is taken as a form is sent")
    serve.ask("POST", "save-checkout-data/", {"consent": {"status": "withdrawn", "at": "2026-02-01T10:00:00Z"}, "email": "other@example.com"}, key=key, session=session)
    same((order(session)["email"], order(session)["context"]["consent"]["status"]), ("zqmail@example.com", "withdrawn"), "consent that is taken back is noted")
    save = serve.ask("POST", "save-checkout-data/", {"consent": {"status": "withdrawn"}}, key=key, session="visitor-form-00000002")
    same(order("visitor-form-00000002"), None, "which begins no order either")
    same([serve.ask("POST", "cart/identify/", {"email": "new@example.com", **consent}, key=key, session=session).status for consent in ({}, {"consent": GRANTED})], [403, 200], "identify: with consent")
    same(order(session)["email"], "new@example.com", "says the address")
    same(serve.ask("POST", "cart/identify/", {"email": "new@example.com", "consent": GRANTED}, key=key, session="visitor-none-0000001").status, 404, "of a session that has an order")


def tracking(serve, key):
    session = "visitor-left-00000001"
    id = serve.ask("PUT", "cart/", {"items": LINES}, key=key, session=session).json["id"]
    for _ in range(3):
        left = serve.ask("POST", "track-abandonment/", json.dumps({"session_id": session, "stage": "payment", "reason": "too_slow"}), key=key, type_="text/plain")
    same((left.status, left.body), (204, ""), "leaving is told by a beacon")
    same((one("SELECT count(*) FROM incomplete_orders.order_events WHERE order_id = %s AND event = 'left'", id), order(session)["furthest_step"], order(session)["status"]),
         (1, "payment", "pending"), "three times is once, and abandons nothing")
    seen = [serve.ask("POST", "track-engagement/", body, key=key, type_=type_).status for body, type_ in
            ((json.dumps({"session_id": session, "seconds": 12.4, "scroll": 50.5}), "text/plain"), (f"session_id={session}&seconds=3&scroll=20", "application/x-www-form-urlencoded"))]
    same((seen, order(session)["context"]["engagement"]), ([204, 204], {"views": 2, "seconds": 15, "scroll": 50}), "engagement is added up")
    same(serve.ask("POST", "track-abandonment/", {"stage": "nowhere"}, key=key, session=session).status, 422, "a stage that there is not: 422")
    same([serve.ask("POST", "track-engagement/", {"seconds": v}, key=key, session=session).status for v in (-1, 1e9, "1e131071", "x", [1])], [422, 422, 422, 400, 400], "seconds that there are not")
    error = serve.ask("POST", "record-checkout-error/", {"error_kind": "payment_failed", "reason": "declined"}, key=key, session=session)
    same(error.status, 200 if order(session)["status"] == "payment_failed" else 409, "an error in the checkout is recorded")
    same(serve.ask("POST", "record-checkout-error/", {"error_kind": "general"}, key=key, session=session).status, 200, "of another kind, too")
    one("SELECT incomplete_orders.mark_payment_pending(%s)", id)
    same([serve.ask("POST", "record-checkout-error/", {"error_kind": kind}, key=key, session=session).status for kind in ("payment_failed", "general")], [409, 200],
         "what becomes of a payment on its way is not a page's to say")
    same(order(session)["status"], "payment_pending", "it stays so")


def merging(serve, key, books):
    for session, sku in (("visitor-guest-0000001", "G"), ("visitor-known-0000001", "K")):
        serve.ask("PUT", "cart/", {"items": [{"sku": sku, "quantity": 1, "unit_price": "2"}]}, key=key, session=session)
    merged = serve.ask("POST", "cart/merge/", {"from_session_id": "visitor-guest-0000001"}, key=key, session="visitor-known-0000001")
    same((merged.status, sorted(line["sku"] for line in order("visitor-known-0000001")["items"]), order("visitor-guest-0000001")), (200, ["G", "K"], None), "merge: a guest logs in")
    same([serve.ask("POST", "cart/merge/", {"from_session_id": s}, key=key, session="visitor-none-0000001").status for s in ("short", "visitor-none-0000002", None, 1)], [404] * 4, "none of both has an order: 404")
    same(serve.ask("POST", "cart/merge/", {"from_session_id": "visitor-known-0000001"}, key=books, session="visitor-none-0000001").status, 404, "not across shops")
    same([serve.ask("POST", "cart/redeem-coupon/", {"code": "K7Q2M9XWPF"}, key=key, session=s).status for s in ("visitor-known-0000001", "visitor-none-0000001")], [409, 404], "a coupon that is none; no order")


def strangers(serve, key, books):
    session = "visitor-mine-00000001"
    id = serve.ask("PUT", "cart/", {"items": LINES, "email": "zqmail@example.com", "consent": GRANTED}, key=key, session=session).json["id"]
    one("SELECT incomplete_orders.capture_cart('visitor-both-00000001', '[]', shop => 'books')")
    before = order(session)
    calls = (("GET", "cart/", None), ("POST", "cart/merge/", {"from_session_id": "visitor-none-0000002"}), ("POST", "cart/identify/", {"email": "e@example.com", "consent": GRANTED}),
             ("POST", "cart/redeem-coupon/", {"code": "X"}), ("POST", "track-abandonment/", {}), ("POST", "track-engagement/", {}), ("POST", "record-checkout-error/", {"error_kind": "general"}))
    other_shop = [serve.ask(method, path, body, key=books, session=session) for method, path, body in calls]
    nobody = [serve.ask(method, path, body, key=books, session="visitor-none-0000001") for method, path, body in calls]
    same([a.status for a in other_shop], [404] * len(calls), "with the key of another shop the session has no order")
    same([a.body for a in other_shop], [a.body for a in nobody], "and nothing tells that it has one elsewhere")
    serve.ask("PUT", "cart/", {"step": "review"}, key=books, session=session)
    same(order(session), before, "nothing of it was changed")
    one("SELECT incomplete_orders.dismiss_order(%s)", id)
    closed = [serve.ask(method, path, body, key=key, session=session) for method, path, body in calls]
    same([(a.status, a.body) for a in closed], [(a.status, a.body) for a in nobody], "a closed order is as none")
    again = serve.ask("PUT", "cart/", {"items": LINES}, key=key, session=session)
    ok(again.status == 200 and again.json["id"] != id, "the next cart of that session is a new order", again)
    same(one("SELECT status::text FROM incomplete_orders.closed_orders WHERE id = %s", id), "dismissed", "the closed one stays closed")
    same([serve.ask(method, "cart/", key=key, session=session).status for method in ("DELETE", "PATCH", "POST")], [405] * 3, "nothing else can be done with a cart")
    same(serve.ask("GET", "incomplete-orders/", key=key, session=session, query=False).status, 401, "a key is no login for staff's routes")


def restoring(serve, key, books):
    one("SELECT incomplete_orders.configure_shop('lamps', '{\"consent_rule\": \"none\"}')")
    one("SELECT incomplete_orders.capture_cart('visitor-sent-00000001', %s, email => 'zqmail@example.com', name => 'Zqname', shop => 'lamps', at => now() - interval '3 hours')", json.dumps(LINES))
    id = order("visitor-sent-00000001")["id"]
    one("SELECT incomplete_orders.mark_abandoned(%s)", id)
    message = one("SELECT incomplete_orders.send_recovery_email(%s)", id)
    token, click = db.execute("SELECT t.restore, t.click FROM incomplete_orders._link_tokens(%s, now()) t", [message]).fetchone()
    before = one("SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM incomplete_orders.export_shop('lamps') e")
    preview = serve.ask("GET", f"restore/{token}/", key=key)
    same((preview.status, [line["sku"] for line in preview.json["items"]], preview.json["total"]), (200, ["L-1"], 39.8), "a link's cart can be looked at without a session")
    same(one("SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM incomplete_orders.export_shop('lamps') e"), before, "which changes nothing at all")
    wrong = [token[:-1] + ("A" if token[-1] != "A" else "B"), click, "x", "%2e%2e"]
    refused = [serve.ask(method, f"restore/{t}/", key=k, session="visitor-back-00000001") for method in ("GET", "POST") for t, k in [(token, books)] + [(w, key) for w in wrong]]
    same([a.status for a in refused], [404] * len(refused), "forged, of another kind, and with the key of another shop: 404")
    same(order("visitor-sent-00000001")["session_id"], "visitor-sent-00000001", "nothing moved")
    same(serve.ask("POST", f"restore/{token}/", key=key).status, 400, "restoring needs a session")
    restored = serve.ask("POST", f"restore/{token}/", key=key, session="visitor-back-00000001")
    same((restored.status, restored.json["id"], [line["sku"] for line in restored.json["items"]]), (200, id, ["L-1"]), "POST restores the cart")
    same((order("visitor-back-00000001")["id"], order("visitor-sent-00000001")), (id, None), "into that session")
    same(serve.ask("POST", f"restore/{token}/", key=key, session="visitor-back-00000001").json["id"], id, "again: the same")
    one("SELECT incomplete_orders.configure_shop('lamps', '{\"consent_rule\": \"strict\"}')")


def origins(serve, key):
    session = "visitor-from-00000001"
    good, bad = "https://lamps.example", ("https://evil.example", "https://lamps.example.evil", "http://lamps.example", "https://lamps.example:444", "null", "https://books.example", "https://lamps.example\t", "*")
    answer = serve.ask("PUT", "cart/", {"items": LINES}, key=key, session=session, origin=good)
    same((answer.status, answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]), (200, good, "Origin"), "a listed origin may read the answer")
    same(serve.ask("GET", "cart/", key=key, session=session, origin="http://localhost:3000").headers["Access-Control-Allow-Origin"], "http://localhost:3000", "any of the list")
    refused = [serve.ask("PUT", "cart/", {"step": "review"}, key=key, session=session, origin=origin) for origin in bad]
    same([(a.status, a.problem(), a.headers["Access-Control-Allow-Origin"], a.headers["Vary"]) for a in refused], [(403, "origin", None, "Origin")] * len(bad), "another one is refused, and cannot read that")
    beacons = [serve.ask("POST", "track-abandonment/", json.dumps({"session_id": session}), key=key, type_="text/plain", origin=origin).status for origin in bad]
    same(beacons, [403] * len(bad), "also where no browser asks before")
    same(order(session)["furthest_step"], "cart", "nothing was changed by it")
    asks = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-session-id,content-type"}
    before = serve.ask("OPTIONS", "cart/", key=key, origin=good, headers=asks)
    same((before.status, before.headers["Access-Control-Allow-Origin"], "PUT" in before.headers["Access-Control-Allow-Methods"], "X-Session-Id" in before.headers["Access-Control-Allow-Headers"]),
         (204, good, True, True), "what a browser asks before is answered")
    refused = [serve.ask("OPTIONS", "cart/", key=k, origin=o, headers=asks) for k, o in ((key, "https://evil.example"), (None, good), ("pk_" + "A" * 43, good))]
    same([(a.status, a.headers["Access-Control-Allow-Origin"]) for a in refused], [(403, None), (401, None), (401, None)], "or refused")
    same(serve.ask("GET", "cart/", key=key, session="visitor-none-0000001", origin=good).headers["Access-Control-Allow-Origin"], good, "errors can be read, too")
    same(serve.ask("PUT", "cart/", "{", key=key, session=session, origin=good).headers["Access-Control-Allow-Origin"], good, "of malformed requests as well")
    same(serve.ask("GET", "cart/", key=key, session=session).headers["Vary"], "Origin", "caches know that the answer depends on it")
    ok(not any("Access-Control-Allow-Credentials" in a for a in answers), "credentials are never asked for")


def bodies(serve, key):
    session = "visitor-body-00000001"

    def status(body, type_="application/json", path="cart/", method="PUT"):
        return serve.ask(method, path, body, key=key, session=session, type_=type_).status

    same([status(b) for b in ("{", "", "nil", '{"a":1}x', b'{"email":"\xff"}', b'{"a":"\x00"}', '{"a":"\\u0000"}', "[" * 5000)], [400, 400, 400, 400, 400, 400, 400, 400], "what is no JSON: 400")
    same([status(b) for b in ("[]", "1", '"text"', "null")], [422] * 4, "what is no object")
    same([status({"items": b}) for b in ("x", {}, [1], [{"sku": "A"}], [{"sku": "A", "quantity": -1, "unit_price": "1"}], [{"sku": "A", "quantity": 1, "unit_price": "x"}])], [422] * 6, "lines that are none: 422")
    same(status('{"items": [{"sku": "A", "quantity": 1, "unit_price": 1e131071}]}'), 422, "a number of 131071 digits")
    same(status({"currency": "EURO"}), 422, "a currency that is none")
    same([status(json.dumps({"items": LINES}), t) for t in ("application/xml", "multipart/form-data; boundary=x", "text/html", None)], [415] * 4, "other types: 415")
    same([status({"pad": "x" * n}) for n in (60000, 70000)], [200, 413], "64 KiB is the most")
    same([status(form, "application/x-www-form-urlencoded", "track-engagement/", "POST") for form in ("seconds=%zz", "seconds=%00", "a=%ff", "a=%", "a=%4", "a=%+1")], [400] * 6, "a form that is none: 400")
    ok(order(session)["items"] == [], "and nothing of all that was stored", order(session))
    same(status({"items": LINES, "email": ["zq"], "phone": {"a": 1}, "step": "nowhere", "shipping": "x", "context": 3, "consent": GRANTED}), 200, "a cart is not lost because of a fact beside it")
    stored = order(session)
    same((len(stored["items"]), stored["email"], stored["phone"], stored["furthest_step"], float(stored["shipping"])), (1, None, None, "cart", 0), "which is not stored")


def limits(key):
    with Serve("--rate-per-session=2", "--rate-per-address=0", "--rate-per-key=0") as serve:
        got = [serve.ask("GET", "cart/", key=key, session="visitor-fast-00000001") for _ in range(40)]
        late = [a for a in got if a.status == 429]
        ok(late and all(a.status == 404 for a in got[:10]), "a visitor gets five seconds' worth at once, and then 429", [a.status for a in got])
        same({(a.headers["Retry-After"], a.problem()) for a in late}, {("1", "too-many-requests")}, "which says how long to wait")
        same(serve.ask("GET", "cart/", key=key, session="visitor-fast-00000002").status, 404, "another visitor is not held up")
        ok(until(lambda: serve.ask("GET", "cart/", key=key, session="visitor-fast-00000001").status == 404), "later it goes on")
    with Serve("--rate-per-session=0", "--rate-per-address=2", "--rate-per-key=0") as serve:
        got = [serve.ask("GET", "cart/", key="pk_" + f"{n:043d}", session=f"visitor-{n:020d}").status for n in range(40)]
        same(sorted(set(got)), [401, 429], "who guesses keys and sessions is stopped by the address")
    with Serve("--rate-per-session=0", "--rate-per-address=0", "--rate-per-key=2") as serve:
        got = [serve.ask("GET", "cart/", key=key, session=f"visitor-{n:020d}").status for n in range(40)]
        same(sorted(set(got)), [404, 429], "a shop's pages together have a limit")


def rights(key):
    with Serve(role="zq_other") as serve:
        refused = serve.ask("GET", "cart/", key=key, session="visitor-0000000001")
        same(refused.status, 503, "a program whose role may not serve pages says that it cannot")
        ok(until(lambda: "42501" in "".join(serve.log)), "and in its log why", serve.log)


def script(serve):
    got = serve.ask("GET", "/assets/incomplete-orders.js")
    same((got.status, got.headers["Content-Type"]), (200, "text/javascript; charset=utf-8"), "the script is served")
    ok(len(got.body.encode()) < 3000 and "(() => {" in got.body, f"in less than 3 kB ({len(got.body.encode())})")
    same(serve.ask("GET", "/assets/incomplete-orders.js", headers={"If-None-Match": got.headers["ETag"]}).status, 304, "and not again to who has it")
    same(serve.ask("GET", "/assets/incomplete-orders.js", headers={"If-None-Match": '"0000"'}).status, 200, "but to who has another one")
    ok("max-age" in got.headers["Cache-Control"], "it may be kept for a while", got)


def main():
    with Serve("--rate-per-session=0", "--rate-per-address=0", "--rate-per-key=0") as serve:
        lamps, books = (one("SELECT publishable_key FROM incomplete_orders.shops WHERE shop = %s", shop) for shop in ("lamps", "books"))
        lamps = keys(serve, lamps, books)
        sessions(serve, lamps)
        cart(serve, lamps, books)
        checkout(serve, lamps)
        tracking(serve, lamps)
        merging(serve, lamps, books)
        strangers(serve, lamps, books)
        restoring(serve, lamps, books)
        origins(serve, lamps)
        bodies(serve, lamps)
        script(serve)
        log = "".join(serve.log)
    limits(lamps)
    rights(lamps)
    everything = "\n".join(answers)
    found = [word for word in ("zq", "Zq", "sidecar", "SELECT", "open_orders", "capture_page", "PL/pgSQL", "other@example") if word in everything]
    same(found, [], "no answer had anything of a person, of roles, or of SQL")
    ok(not re.search(r"visitor-|pk_[A-Za-z0-9]|zqmail", log), "nor has the log")


main()
print("done", flush=True)

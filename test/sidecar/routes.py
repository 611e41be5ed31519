"""The REST API of `incomplete-orders serve` for staff; run by 096_routes.pl.

The OpenAPI document that it serves is the list of what is tested: each operation has
one good request here, whose answer must be as the document says, and the same request
is made wrongly, without a login, by a role without rights and by staff of another shop.
Lines "ok - ..." and "not ok - ..." are the tests; "done" is the last.
"""

import base64
import csv
import datetime
import http.client
import io
import itertools
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

import jsonschema
import psycopg
from aiosmtpd.controller import Controller

ROOT = "/api/v1/incomplete-orders"
PORT = os.environ["PGPORT"]
DATABASE = os.environ["PGDATABASE"]
LOGINS = {"boss": "b-1", "app": "p-1", "other": "o-1", "nobody": "n-1", "analyst": "a-1"}
NO_ID = "00000000-0000-7000-8000-000000000000"
failed = 0


def ok(good, what, *why):
    global failed
    failed += not good
    print(f"{'ok' if good else 'not ok'} - {what}", flush=True)
    if not good:
        print("# " + "\n".join(str(w) for w in why)[:2000].replace("\n", "\n# "), flush=True)


def same(got, wanted, what):
    ok(got == wanted, what, f"got {got!r}, wanted {wanted!r}")


# ---------------------------------------------------------------------------
# Program, database, requests


class Serve:
    def __init__(self, *options):
        self.process = subprocess.Popen(
            ["incomplete-orders", "serve", "--listen=127.0.0.1:0", "--verbose",
             f"--staff-dbname=host=127.0.0.1 port={PORT} dbname={DATABASE}", *options],
            env={**os.environ, "PGUSER": "routes_sidecar"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        self.log = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()
        end = time.monotonic() + 60
        while not any("event=start" in line for line in self.log):
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit("serve does not start: " + "".join(self.log))
            time.sleep(0.05)
        self.port = int(re.search(r"listen=127\.0\.0\.1:(\d+)", "".join(self.log))[1])

    def stop(self):
        self.process.terminate()
        code = self.process.wait(60)
        self.reader.join(10)
        return code


db = psycopg.connect(f"dbname={DATABASE}", autocommit=True)


def sql(query, *values):
    return db.execute(query, values or None).fetchall()


def one(query, *values):
    return sql(query, *values)[0][0]


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.raw = response.read()
        self.type = (response.getheader("Content-Type") or "").split(";")[0]
        self.text = self.raw.decode()
        self.json = json.loads(self.text) if self.type.endswith(("/json", "+json")) else None

    def __repr__(self):
        return f"{self.status} {self.type} {self.text[:600]}"


def request(method, path, body=None, user="boss", headers=None, query=None):
    sent = dict(headers or {})
    if user:
        sent["Authorization"] = "Basic " + base64.b64encode(f"routes_{user}:{LOGINS[user]}".encode()).decode()
    if body is not None and not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    if query:
        path += "?" + urllib.parse.urlencode(query)
    connection = http.client.HTTPConnection("127.0.0.1", serve.port, timeout=60)
    connection.request(method, path if path.startswith("/api") else ROOT + path, body, sent)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


# ---------------------------------------------------------------------------
# What the requests are about

db.execute("CREATE EXTENSION incomplete_orders")
db.execute("SELECT incomplete_orders.setup()")
db.execute("SELECT incomplete_orders.create_shop('other', 'Other')")
for role, password in LOGINS.items():
    db.execute(f"CREATE ROLE routes_{role} LOGIN PASSWORD '{password}'")
db.execute("CREATE ROLE routes_sidecar LOGIN")
for role, purpose, shop in (("boss", "admin", "default"), ("app", "app", "default"), ("other", "admin", "other"), ("analyst", "analyst", "default"), ("sidecar", "app", None), ("sidecar", "sender", None)):
    db.execute("SELECT incomplete_orders.grant_to(%s, %s, %s)", (f"routes_{role}", purpose, shop))
db.execute("UPDATE incomplete_orders.shops SET consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00', from_email = 'shop@example.com',"
           " base_url = 'https://shop.example', postal_address = 'Street 1'")


class Sink:
    """A mail server that refuses one address."""
    mails = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.rcpt_tos, envelope.content.decode()))
        return "250 2.0.0 taken"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


sink = Controller(Sink(), hostname="127.0.0.1", port=free_port())
sink.start()
serve = Serve(f"--smtp-url=smtp://127.0.0.1:{sink.port}", "--starttls=never")
made = 0


def cart(shop="default", **more):
    """A new order; its e-mail is a mark that nobody else may see."""
    global made
    made += 1
    facts = {"items": [{"sku": "MUG", "name": "Mug", "quantity": 2, "unit_price": "9.50"}, {"sku": "CUP", "quantity": 1, "unit_price": "4"}],
             "email": f"victim{made}@example.com", "customer_id": f"victim-{made}", "session_id": f"s-{made}", **more}
    order = one("SELECT incomplete_orders.capture_cart(%s, %s::jsonb::incomplete_orders.line_items, email => %s, customer_id => %s, shop => %s)",
                facts["session_id"], json.dumps(facts["items"]), facts["email"], facts["customer_id"], shop)
    return str(order)


def session_of(order):
    return one("SELECT session_id FROM incomplete_orders.open_orders WHERE id = %s", order)


def left():
    order = cart()
    one("SELECT incomplete_orders.mark_abandoned(%s)", order)
    return order


def sold():
    return str(one("SELECT (incomplete_orders.convert_order(%s, paid => false)).order_id", cart()))


def message(status):
    """A message that was made by hand, in that state."""
    sent = str(one("SELECT incomplete_orders.send_recovery_email(%s)", left()))
    db.execute("UPDATE incomplete_orders.messages SET status = %s::incomplete_orders.message_status, response = 'no' WHERE id = %s", (status, sent))
    return sent


def coupon_for(order):
    """A coupon that came with a message for that order."""
    code = "K7Q2M9" + f"{made:04d}".replace("0", "X")
    sent = one("SELECT incomplete_orders.send_recovery_email(%s)", order)
    db.execute("""INSERT INTO incomplete_orders.issued_coupons (shop_id, code, message_id, root_id, kind, value, currency, minimum_value, issued_at, expires_at)
        SELECT shop_id, %s, %s, id, 'percentage', 10, 'USD', 0, now(), now() + interval '7 days' FROM incomplete_orders.open_orders WHERE id = %s""", (code, sent, order))
    return code


# ---------------------------------------------------------------------------
# One good request for each operation: path, query, body, status


def good(status=200, body=None, query=None, **path):
    return {"status": status, "body": body, "query": query or {}, "path": path}


def many(**more):
    return good(body={"ids": [left(), left()], **more})


def webhook():
    one("SELECT incomplete_orders.configure_webhook('erp', 'https://erp.example/hook')")
    return "erp"


def delivery():
    webhook()
    sent = str(one("SELECT incomplete_orders.ping_webhook('erp')"))
    db.execute("UPDATE incomplete_orders.webhook_deliveries SET status = 'dead' WHERE id = %s", (sent,))
    return sent


numbers = itertools.count()
MAPPING = {"schema": "own", "cart": {"table": "carts", "id": "id"}, "lines": {"table": "lines", "cart": "cart", "sku": "sku", "quantity": "quantity", "unit_price": "price"},
           "money": "major", "completed": "cart.done"}


def tables():
    """Tables of a shop of its own, which the boss owns."""
    if not one("SELECT to_regclass('own.carts') IS NOT NULL"):
        db.execute("""CREATE SCHEMA own AUTHORIZATION routes_boss CREATE TABLE carts (id integer PRIMARY KEY, done boolean)
            CREATE TABLE lines (cart integer, sku text, quantity integer, price numeric); INSERT INTO own.carts VALUES (1, false); INSERT INTO own.lines VALUES (1, 'X', 2, 3);
            ALTER TABLE own.carts OWNER TO routes_boss; ALTER TABLE own.lines OWNER TO routes_boss""")
    return True


def attached():
    tables()
    db.execute("SET ROLE routes_boss")
    db.execute("SELECT incomplete_orders.attach('main', mapping => %s)", (json.dumps(MAPPING),))
    db.execute("RESET ROLE")
    return "main"


SCENARIOS = {
    "list_orders": lambda: good(query={"status": "pending,abandoned", "search": "victim1@example.com", "page_size": 5}),
    "create_order": lambda: good(201, {"items": [{"sku": "A", "quantity": 1, "unit_price": "3.00"}], "email": "new@example.com",
                                       "shipping_address": {"first_name": "Ann", "city": "Oslo"}}),
    "export_orders": lambda: good(query={"status": "pending"}),
    "export_chosen": lambda: many(),
    "count_orders": lambda: good(query={"start_date": "2026-01-01", "currency": "USD", "search": "victim1@example.com"}),
    "list_order_ids": lambda: good(query={"status": "pending", "total_min": "1", "contactable": "true"}),
    "list_expired_orders": lambda: good(),
    "cleanup_expired": lambda: good(body={"days_to_keep": 90, "dry_run": True}),
    "expire_orders": lambda: good(body={"dry_run": True}),
    "convert_orders": lambda: many(),
    "mark_abandoned_many": lambda: good(body={"ids": [cart(), cart()]}),
    "dismiss_orders": lambda: many(reason="spam"),
    "delete_orders": lambda: many(dry_run=True),
    "send_recovery_emails_many": lambda: many(email_type="abandoned_cart", subject="Still there"),
    "show_order": lambda: good(id=cart()),
    "edit_order": lambda: good(body={"expected_version": 1, "name": "Ann", "phone": None}, id=cart()),
    "delete_order": lambda: good(204, id=cart(), query={"reason": "twice"}),
    "convert_order": lambda: good(201, {"paid": True, "idempotency_key": "k-1"}, id=cart()),
    "can_convert": lambda: good(id=cart()),
    "mark_abandoned": lambda: good(body={"reason": "left"}, id=cart()),
    "dismiss_order": lambda: good(body={"reason": "spam"}, id=cart()),
    "send_recovery_email": lambda: good(202, {"email_type": "final_reminder"}, id=left()),
    "mark_payment_pending": lambda: good(body={"payment_reference": "pay-1", "deadline": "2999-01-01T00:00:00Z"}, id=cart()),
    "mark_payment_failed": lambda: good(body={"reason": "declined"}, id=cart()),
    "record_checkout_error_of_order": lambda: good(body={"error_kind": "payment_failed", "reason": "declined"}, id=cart()),
    "redeem_coupon_for_order": lambda: (lambda order: good(body={"code": coupon_for(order)}, id=order))(left()),
    "order_history": lambda: good(id=left()),
    "list_notes": lambda: good(id=cart()),
    "add_note": lambda: good(201, {"note": "called"}, id=cart()),
    "list_conversions": lambda: good(id=str(one("SELECT incomplete_order_id FROM incomplete_orders.orders WHERE order_id = %s", sold()))),
    "why_not_sent": lambda: good(id=left()),
    "list_items_of": lambda: good(id=cart()),
    "list_events_of": lambda: good(id=left()),
    "list_messages_of": lambda: good(id=str(one("SELECT order_id FROM incomplete_orders.messages WHERE id = %s", message("sent")))),
    "record_order": lambda: good(201, {"foreign_order": f"WEB-{made}", "session_id": session_of(cart()), "total": "23.00", "currency": "USD"}),
    "record_payment": lambda: good(order_id=sold()),
    "record_refund": lambda: good(body={"amount": "1.50", "idempotency_key": "r-1"}, order_id=str(one("SELECT (incomplete_orders.convert_order(%s)).order_id", cart()))),
    "capture_cart": lambda: good(201, {"items": [{"sku": "A", "quantity": 1, "unit_price": 3}], "step": "payment"}, session_id=f"put-{made}"),
    "merge_sessions": lambda: good(body={"from_session": session_of(cart()), "into_session": session_of(cart())}),
    "identify_session": lambda: good(body={"customer_id": "victim-x"}, session_id=session_of(cart())),
    "list_items": lambda: good(query={"product": "MUG", "page_size": 3}),
    "list_events": lambda: good(query={"action": "created,abandoned", "start_date": "2020-01-01", "page_size": 3}),
    "list_messages": lambda: good(query={"status": "sent,queued", "email_type": "abandoned_cart", "campaign": "cart", "variant": "b", "recipient": "a@example.com"}),
    "show_message": lambda: good(message_id=message("queued")),
    "send_recovery_emails": lambda: good(body={"hours_after": 1, "dry_run": True}),
    "preview_recovery": lambda: good(query={"at": "2999-01-01T00:00:00Z"}),
    "count_skips": lambda: good(query={"start_date": "2020-01-01"}),
    "queue_status": lambda: good(),
    "dead_messages": lambda: message("dead") and good(),
    "retry_message": lambda: good(message_id=message("dead")),
    "discard_message": lambda: good(message_id=message("dead")),
    "list_campaigns": lambda: good(),
    "enable_campaign": lambda: good(204, {"not_older_than": "2 hours"}, campaign="cart"),
    "disable_campaign": lambda: good(204, campaign="cart"),
    "save_campaign": lambda: good(body={"steps": [{"step": 1, "delay": "1 hour", "template": "cart_abandoned"}, {"delay": "2 days", "template": "cart_reminder",
                                                  "variants": [{"variant": "a", "weight": 1}], "coupon": {"percentage": 10}}]}, campaign="partial"),
    "forecast_campaign": lambda: left() and good(query={"at": "2999-01-01T00:00:00Z", "not_older_than": "1 day", "page_size": 5}, campaign="cart"),
    "configure_step": lambda: good(204, {"delay": "100 hours", "template": "cart_abandoned"}, campaign="cart", step=4),
    "remove_step": lambda: db.execute("SELECT incomplete_orders.configure_step('cart', 5, '{\"delay\": \"300 hours\", \"template\": \"cart_final\"}')") and good(204, campaign="cart", step=5),
    "configure_coupon": lambda: good(204, {"percentage": 10, "valid_for": "5 days"}, campaign="cart", step=3),
    "remove_coupon": lambda: db.execute("SELECT incomplete_orders.configure_coupon('payment', '{\"percentage\": 10}')") and good(204, campaign="payment", step=3),
    "save_variant": lambda: good(204, {"weight": 2, "template": "cart_final"}, campaign="cart", step=1, variant="b"),
    "delete_variant": lambda: db.execute("SELECT incomplete_orders.save_variant('cart', 2, 'c')") and good(204, campaign="cart", step=2, variant="c"),
    "list_variants": lambda: good(),
    "list_coupons": lambda: good(),
    "list_issued_coupons": lambda: coupon_for(left()) and good(query={"state": "open", "page_size": 2}),
    "list_templates": lambda: good(),
    "template_variables": lambda: good(),
    "save_template": lambda: good(204, {"subject": "You left {{total_items}} things"}, template="cart_abandoned", locale="en"),
    "delete_template": lambda: db.execute("SELECT incomplete_orders.save_template('cart_final', 'de', '{\"subject\": \"Noch da\"}')") and good(204, template="cart_final", locale="de"),
    "render_message": lambda: good(body={"id": left(), "locale": "en", "fields": {"subject": "Hello {{nobody}}"}}, template="cart_abandoned"),
    "preview_message": lambda: good(body={"id": left(), "locale": "en"}, template="cart_abandoned"),
    "send_test_message": lambda: good(body={"to": "maria@example.com", "id": left()}, template="cart_abandoned"),
    "list_shops": lambda: good(),
    "shop_settings": lambda: good(),
    "configure_shop": lambda: good(204, {"colour": "#123456", "cut_off": "2 hours"}),
    "list_suppressions": lambda: db.execute("SELECT incomplete_orders.suppress('gone@example.com')") and good(query={"email": "gone@example.com"}),
    "suppress": lambda: good(body={"email": "victim-s@example.com", "reason": "complaint"}),
    "unsuppress": lambda: good(body={"email": "gone@example.com"}),
    "list_consents": lambda: db.execute("SELECT incomplete_orders.record_consent('yes@example.com', 'granted')") and good(),
    "record_consent": lambda: good(body={"email": "yes@example.com", "status": "withdrawn", "source": "phone"}),
    "export_customer": lambda: good(body={"email": "victim1@example.com"}),
    "forget_customer": lambda: good(body={"email": f"victim{made}@example.com"}),
    "health": lambda: good(),
    "create_shop": lambda: good(201, {"shop": f"made-{next(numbers)}", "name": "Made"}),
    "export_shop": lambda: good(),
    "list_settings": lambda: good(),
    "rotate_publishable_key": lambda: good(body={"keep": "2 days"}),
    "list_members": lambda: good(),
    "find_attachable": lambda: good(),
    "attach_mapping": lambda: good(preset="vendure"),
    "attach": lambda: tables() and good(name="main", body={"mapping": MAPPING}),
    "detach": lambda: good(name=attached()),
    "reconcile": lambda: good(204, name=attached()),
    "sample_attachment": lambda: good(name=attached()),
    "scheduler_status": lambda: good(),
    "jobs": lambda: good(),
    "list_attachments": lambda: good(),
    "list_analytics": lambda: good(query={"start_date": "2026-01-01", "end_date": "2026-01-31"}),
    "analytics_summary": lambda: good(),
    "update_analytics": lambda: good(),
    "list_webhooks": lambda: webhook() and good(),
    "configure_webhook": lambda: good(201, {"url": "https://crm.example/hook", "events": ["abandoned"]}, webhook="crm"),
    "delete_webhook": lambda: good(204, webhook=webhook()),
    "ping_webhook": lambda: good(webhook=webhook()),
    "rotate_mail_secret": lambda: good(),
    "list_deliveries": lambda: good(),
    "retry_delivery": lambda: good(delivery_id=delivery()),
}
for report in ("statistics", "statistics_of_bots", "funnel", *(f"statistics_by_{by}" for by in
               "day hour value step reason device source product campaign cohort cohort_age recovery_time".split())):
    SCENARIOS[report] = lambda: good(query={"start_date": "2026-01-01", "end_date": "2026-12-31"})

# what needs no order of the shop and tells nothing of it
NOBODYS = {"template_variables", "list_shops", "health", "list_attachments"}
# works for the caller's shops, whichever they are, and takes no shop
ALL_SHOPS = {"create_shop", "attach_mapping", "scheduler_status", "jobs", "cleanup_expired", "expire_orders", "update_analytics", "template_variables", "list_shops", "health"}
# counts what tick counts, of all shops
COUNTS = {"update_analytics"}
ANALYST = {name for name in SCENARIOS if name.startswith("statistics") or name in ("funnel", "list_analytics", "analytics_summary", "list_shops")}


# ---------------------------------------------------------------------------
# The document


def check_document(document):
    same(document["openapi"], "3.1.0", "it is OpenAPI 3.1")
    ok({"title", "version"} <= set(document["info"]), "it says what it is", document["info"])
    faults = []
    names = []
    references = re.findall(r'"\$ref": "#/([^"]*)"', json.dumps(document))
    for path in sorted(set(references)):
        at = document
        for part in path.split("/"):
            at = at.get(part) if isinstance(at, dict) else None
        if at is None:
            faults.append(f"nothing at {path}")
    for name, schema in document["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            faults.append(f"{name}: {error.message}")
        for example in schema.get("examples", []):
            faults += [f"the example of {name}: {error.message}" for error in validator(schema).iter_errors(example)]
    for path, item in document["paths"].items():
        in_path = re.findall(r"{(\w+)}", path)
        for method, operation in item.items():
            names.append(operation["operationId"])
            parameters = operation.get("parameters", [])
            declared = [p["name"] for p in parameters if p["in"] == "path"]
            if method not in ("get", "put", "post", "patch", "delete"):
                faults.append(f"{path} has a {method}")
            if sorted(declared) != sorted(in_path) or not all(p.get("required") for p in parameters if p["in"] == "path"):
                faults.append(f"{method} {path} declares {declared}")
            if len({(p["name"], p["in"]) for p in parameters}) != len(parameters):
                faults.append(f"{method} {path} declares a parameter twice")
            if not all("schema" in p for p in parameters) or not operation.get("responses") or not operation.get("summary"):
                faults.append(f"{method} {path} lacks something")
            if not all("description" in r or "$ref" in r for r in operation["responses"].values()):
                faults.append(f"{method} {path} has an answer without words")
            for security in operation.get("security", []):
                faults += [f"{path} asks for {s}" for s in security if s not in document["components"]["securitySchemes"]]
    same(faults, [], "the document keeps the rules of OpenAPI 3.1")
    same(sorted(n for n in set(names) if names.count(n) > 1), [], "every operation has a name of its own")


def validator(schema):
    resolver = jsonschema.RefResolver("", document)
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def faults_of(operation, answer):
    """What of an answer is not as the document says."""
    contents = operation["responses"]["2XX"].get("content")
    if contents is None:
        return [] if answer.raw == b"" else [f"a body, although none is told of: {answer}"]
    if answer.type not in contents:
        return [f"{answer.type} is not one of {list(contents)}"]
    if answer.json is None:
        return []
    return [f"{list(e.path)} {e.message}"[:300] for e in validator(contents[answer.type]["schema"]).iter_errors(answer.json)]


def is_problem(answer, status):
    return (answer.status == status and answer.type == "application/problem+json" and answer.json["status"] == status
            and {"type", "title"} <= set(answer.json) and not re.search(r"(?i)\bselect\b|\binsert\b|pg_catalog|open_orders|line \d|_sql\b|at character", answer.text))


# ---------------------------------------------------------------------------
# The same for each operation


def fill(path, values):
    return re.sub(r"{(\w+)}", lambda m: urllib.parse.quote(str(values[m[1]]), safe=""), path)


def state():
    return one("SELECT pg_catalog.md5(pg_catalog.string_agg(e::text, '' ORDER BY e::text)) FROM incomplete_orders.export_shop('default') e")


def bad_requests(operation, method, path, wanted):
    """Requests that are refused whatever the database holds: what, arguments, status."""
    there = fill(path, wanted["path"])
    yield "an unknown parameter", (method, there, wanted["body"]), {"query": {"nonsense": "1"}}, 400
    for parameter in operation["parameters"]:
        kind = parameter["schema"].get("type")
        wrong = {"integer": "x", "boolean": "perhaps", "number": "1e3"}.get(kind[0] if isinstance(kind, list) else kind)
        if parameter["in"] == "query" and wrong:
            yield f"{parameter['name']}={wrong}", (method, there, wanted["body"]), {"query": {parameter["name"]: wrong}}, 400
        if parameter["in"] == "query" and parameter["name"] == "cursor":
            yield "a cursor that is none", (method, there, wanted["body"]), {"query": {"cursor": "x"}}, 422
        if parameter["in"] == "path" and parameter["schema"].get("format") == "uuid":
            yield "a word for an id", (method, fill(path, {**wanted["path"], parameter["name"]: "x"}), wanted["body"]), {}, 404
            yield "an id that is none", (method, fill(path, {**wanted["path"], parameter["name"]: NO_ID}), wanted["body"]), {}, 404
    body = operation.get("requestBody")
    if not body:
        yield "a body that is not asked for", (method, there, {"x": 1}), {}, 400
        return
    schema = body["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"].get(schema.get("$ref", "").split("/")[-1], {})
    if body.get("required"):
        yield "no body", (method, there, None), {}, 400
    if schema:
        yield "a body that is no JSON", (method, there, "{"), {}, 400
        yield "a list for a body", (method, there, "[]"), {}, 400
        yield "a body of another type", (method, there, "a=1"), {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415
    if schema.get("additionalProperties") is False:
        yield "a member that is not known", (method, there, {**(wanted["body"] or {}), "nonsense": 1}), {}, 400
    for name in schema.get("required", []):
        yield f"no {name}", (method, there, {k: v for k, v in wanted["body"].items() if k != name}), {}, 400
        yield f"{name} of another type", (method, there, {**wanted["body"], name: "x" if schema["properties"][name].get("type") == "array" else []}), {}, 400


def try_operation(operation, method, path):
    name = operation["operationId"]
    wanted = SCENARIOS[name]()
    there = fill(path, wanted["path"])
    arguments = (method, there, wanted["body"])
    query = wanted["query"]

    # nobody, and a role without rights
    answer = request(*arguments, user=None, query=query)
    ok(is_problem(answer, 401) and "Basic" in answer.headers["WWW-Authenticate"], f"{name}: without a login", answer)
    answer = request(*arguments, user="nobody", query=query)
    ok(answer.status in (403, 404) and is_problem(answer, answer.status), f"{name}: a role without rights", answer)
    answer = request(*arguments, user="analyst", query=query)
    if name in ANALYST:
        ok(answer.status == 200, f"{name}: an analyst", answer)
    else:
        ok(answer.status in (403, 404) and is_problem(answer, answer.status), f"{name}: an analyst may not", answer)

    # staff of another shop: as if nothing of it were there, and it stays as it is
    before = state()
    if name not in ALL_SHOPS:
        answer = request(*arguments, user="other", query={**query, "shop": "default"})
        refused = answer.text.count("\n") == 1 if answer.type == "text/csv" and answer.status == 200 else \
            all(r["result"] == "refused" for r in answer.json["results"]) if "ids" in (wanted["body"] or {}) and answer.status == 200 else \
            answer.status == 404 and is_problem(answer, 404)
        ok(refused or name in NOBODYS and answer.json["results"] == [], f"{name}: staff of another shop, by its name", answer)
    answer = request(*arguments, user="other", query=query)
    told = answer.text
    for said in [wanted["body"], query]:  # what the caller said itself
        for word in re.findall(r"victim[\w@.-]*", json.dumps(said)):
            told = told.replace(word, "")
    ok("victim" not in told and answer.status < 500, f"{name}: staff of another shop see nothing", answer)
    ok(state() == before or name in COUNTS, f"{name}: and change nothing")
    before = state()

    for what, call, more, status in bad_requests(operation, method, path, wanted):
        answer = request(*call, **more)
        ok(is_problem(answer, status), f"{name}: {what}", f"wanted {status}", call, answer)
    same(state(), before, f"{name}: what is refused changes nothing")

    answer = request(*arguments, query=query)
    same((answer.status, [] if answer.status >= 400 else faults_of(operation, answer)), (wanted["status"], []), f"{name}: done, and as the document says")
    if answer.status >= 400:
        print(f"# {answer}", flush=True)


answer = request("GET", "/openapi.json", user=None)
document = answer.json
same((answer.status, answer.type), (200, "application/json"), "the document is served to everybody")
check_document(document)
operations = [(operation, method.upper(), path) for path, item in document["paths"].items() for method, operation in item.items()]
staffs = [o for o in operations if {"role": []} in o[0].get("security", [])]
same(sorted(o[0]["operationId"] for o in staffs if o[0]["operationId"] not in SCENARIOS), [], "every operation of staff has its request here")
same(sorted(set(SCENARIOS) - {o[0]["operationId"] for o in staffs}), [], "and every request its operation")
for each in staffs:
    if each[0]["operationId"] == "create_shop":
        one("SELECT incomplete_orders.grant_to('routes_boss', 'admin')")
    if each[0]["operationId"] in SCENARIOS:
        try_operation(*each)
    if each[0]["operationId"] == "create_shop":
        one("SELECT incomplete_orders.revoke_from('routes_boss', 'admin')")
        one("SELECT incomplete_orders.grant_to('routes_boss', 'admin', 'default')")


# ---------------------------------------------------------------------------
# What the operations mean


def get(path, **query):
    answer = request("GET", path, query=query)
    ok(answer.status == 200, f"GET {path} {query or ''}", answer)
    return answer.json


def post(path, body=None, status=200, headers=None, method="POST"):
    answer = request(method, path, body, headers=headers)
    ok(answer.status == status, f"{method} {path}: {status}", answer)
    return answer.json


one("SELECT incomplete_orders.create_shop('pages', 'Pages')")
one("SELECT incomplete_orders.grant_to('routes_boss', 'admin', 'pages')")
one("SELECT incomplete_orders.configure_shop('pages', '{\"time_zone\": \"Pacific/Auckland\"}')")


def day(n):
    """The nth day of those that the orders of the shop pages are of."""
    return (datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=12 - n)).isoformat()


def try_settings():
    listed = {s["setting"]: s for s in get("/settings/list/")["results"]}
    same({name: s["value"] for name, s in listed.items()}, get("/settings/"), "the list has every setting with its value")
    same([s["setting"] for s in listed.values() if not s["meaning"] or s["section"] == "Other"], [], "and says what each is for")
    same((listed["cut_off"]["kind"], listed["cut_off"]["default_value"], listed["page_prices"]["choices"], listed["allowed_origins"]["default_value"]),
         ("span", "01:00:00", ["refuse", "check", "accept"], []), "with its kind and default")
    before = post("/settings/publishable-key/")["publishable_key"]
    after = post("/settings/publishable-key/", {"keep": "1 day"})["publishable_key"]
    key = {s["setting"]: s for s in get("/settings/list/")["results"]}["publishable_key"]
    ok(after != before and key["value"] == after and "good until" in key["note"], "a key is rotated, and the one before it is good for a while", key)
    same({(m["role"], m["purpose"], m["all_shops"], m["mine"]) for m in get("/members/")["results"] if m["role"] in ("routes_boss", "routes_analyst", "routes_sidecar", "routes_other")},
         {("routes_boss", "admin", False, True), ("routes_analyst", "analyst", False, False), ("routes_sidecar", "app", True, False), ("routes_sidecar", "sender", True, False)},
         "the members of a shop are those of all shops and its own")
    answer = request("POST", "/shops/", {"shop": "third", "name": "Third"})
    ok(is_problem(answer, 403), "who is admin of one shop makes no other", answer)
    lines = [json.loads(line) for line in request("GET", "/shops/export.ndjson").text.splitlines()]
    same((len(lines), "shop_secrets" in {r["table"] for r in lines}), (one("SELECT count(*) FROM incomplete_orders.export_shop('default')"), False), "a shop is exported row by row")


def try_scheduler():
    db.execute("DELETE FROM incomplete_orders.heartbeats WHERE job = 'tick'")
    same(get("/scheduler/"), {"state": "never", "ended_at": None, "every_seconds": 60}, "tick has not run")
    for state, ago in (("stopped", "150 seconds"), ("ok", "90 seconds"), ("ahead", "-2 minutes")):
        db.execute("INSERT INTO incomplete_orders.heartbeats (job, at, report) VALUES ('tick', now() - %s::interval, '{}') ON CONFLICT (job) DO UPDATE SET at = excluded.at", (ago,))
        same(get("/scheduler/")["state"], state, f"{ago} ago is {state}")
    db.execute("DELETE FROM incomplete_orders.heartbeats WHERE job = 'tick'")


def try_attach():
    request("DELETE", "/attachments/main/")
    ok(is_problem(request("POST", "/attachments/main/reconcile/"), 404), "there is no such attachment")
    found = post("/attachments/main/", {"mapping": MAPPING, "dry_run": True}, method="PUT")["results"]
    ok(any(r["check_name"] == "sample 1" and '"sku"' in r["result"] for r in found), "before anything is on there are samples", found)
    same(get("/attachments/")["results"], [], "and nothing is on")
    faults = post("/attachments/main/", {"mapping": {**MAPPING, "completed": "cart.bought"}, "dry_run": True}, method="PUT")["results"]
    ok(any(r["check_name"] == "completed" and r["result"].startswith("FAULT") for r in faults), "a fault is named", faults)
    answer = request("PUT", "/attachments/main/", {"mapping": {**MAPPING, "completed": "cart.bought"}})
    ok(answer.status in (409, 422) and is_problem(answer, answer.status) and "bought" in answer.json["detail"], "and stops it", answer)
    post("/attachments/main/", {"mapping": MAPPING}, method="PUT")
    own = get("/attachments/")["results"]
    same([(a["name"], a["tables"], a["state"], a["refused"]) for a in own], [("main", ["own.carts", "own.lines"], "ok", 0)], "then it is on")
    same([(c["cart_key"], c["cart"]["items"][0]["sku"], c["problem"]) for c in get("/attachments/main/sample/")["results"]], [("1", "X", None)], "a sample is what would be captured")
    gone = request("DELETE", "/attachments/main/")
    same((gone.status, [d["action"] for d in gone.json["results"]][-1], get("/attachments/")["results"]), (200, "delete", []), "and off")
    db.execute("CREATE SCHEMA shopware AUTHORIZATION routes_boss CREATE TABLE cart (id text, deleted_at timestamptz) CREATE TABLE cart_line_item (id text, cart_id text)")
    found = [f for f in get("/attachable/")["results"] if f["preset"] == "medusa"]
    ok(len(found) == 1 and found[0]["schema"] == "shopware" and "shopware.order_cart.cart_id" in found[0]["missing"], "tables that look like a known shop's are found, with what is missing", found)
    db.execute("DROP SCHEMA shopware CASCADE")


def try_pages():
    orders = [str(one("""SELECT incomplete_orders.capture_cart(%s, '[{"sku":"P","quantity":1,"unit_price":2}]', email => %s, customer_id => %s, shop => 'pages',
        at => %s::timestamptz)""", f"page-{i}", f"page{i}@example.com", None if i % 2 else f"c{i}", f"{day(i // 5)} 10:{i % 5:02}:00Z")) for i in range(23)]
    newest = orders[::-1]
    walked, path, sizes = [], "/incomplete-orders/?shop=pages&page_size=10", []
    while path:
        page = get(path)
        walked += [o["id"] for o in page["results"]]
        sizes.append(len(page["results"]))
        ok(page["count"] == 23 and page["count_capped"] is False, "a page knows how many there are")
        path = page["next"]
    same((walked, sizes), (newest, [10, 10, 3]), "next leads through all of them, the newest first, and ends")
    page = get("/incomplete-orders/", shop="pages", page_size=23)
    same((len(page["results"]), page["next"]), (23, None), "a page that is full and the last one has no next")
    for ordering, key in (("created_at", "created_at"), ("-updated_at", "last_activity_at"), ("total_amount", "total"), ("-recovery_attempts", "recovery_attempts")):
        values = [o[key] for o in get("/incomplete-orders/", shop="pages", ordering=ordering, page_size=100)["results"]]
        same((len(values), values), (23, sorted(values, reverse=ordering[0] == "-")), f"ordered by {ordering}")

    def found(**query):
        page = get("/incomplete-orders/", shop="pages", page_size=100, **query)
        same(page["count"], len(page["results"]), "count is how many there are")
        return [orders.index(o["id"]) for o in page["results"]]

    same(found(is_guest_order="true"), [i for i in range(22, -1, -1) if i % 2], "only guests")
    same(found(search="page7@example.com"), [7], "by e-mail")
    same(found(search="c4"), [4], "by customer")
    same(found(search=get(f"/incomplete-orders/{orders[3]}/")["reference"].lower()), [3], "by reference")
    same(found(search="nobody"), [], "by what nobody is")
    # 10:00 in UTC is the evening of the same day in Auckland
    same(found(start_date=day(1), end_date=day(2)), list(range(14, 4, -1)), "dates are whole days, the last one too")
    same(found(start_date=f"{day(1)}T10:01:00Z", end_date=f"{day(1)}T10:04:00Z"), [8, 7, 6], "instants are what they are")
    one("SELECT incomplete_orders.capture_cart('page-late', '[]', shop => 'pages', at => %s::timestamptz)", f"{day(1)} 12:30:00Z")
    late = get("/incomplete-orders/", shop="pages", start_date=day(2), end_date=day(2), page_size=100)["results"]
    ok("page-late" in [o["session_id"] for o in late], "past midnight in Auckland is the next day")
    one("SELECT incomplete_orders.dismiss_order(%s)", orders[0])
    same(found(status="dismissed"), [0], "a state")
    same(sorted(found(status="dismissed,converted", recovery_attempts=0)), [0], "states")
    both = get("/incomplete-orders/", shop="*", page_size=100, search="page7@example.com")["results"]
    same([o["shop"] for o in both], ["pages"], "a search in all shops")
    for path in ("/incomplete-order-items/", "/incomplete-order-history/"):
        walked, link = [], f"{path}?shop=pages&page_size=7"
        while link:
            page = get(link)
            walked += [(r["order_id"], r.get("line"), r.get("event_id")) for r in page["results"]]
            link = page["next"]
        same((len(walked) >= 23, len(set(walked))), (True, len(walked)), f"{path}: next leads through all of them")
    same(found(total_min="1000000"), [], "none with so high a total")
    same([o["session_id"] for o in get("/incomplete-orders/", shop="pages", contactable="false")["results"]], ["page-late"], "nobody knows who that is")
    tabs = {t["name"]: (t["count"], t["count_capped"]) for t in get("/incomplete-orders/counts/", shop="pages", start_date=day(0), end_date=day(1))["results"]}
    same((tabs["all"], tabs["pending"], tabs["dismissed"], tabs["rescue"], tabs["recovered"]), ((10, False), (9, False), (1, False), (0, False), (0, False)), "how many in each state")
    ids = get("/incomplete-orders/ids/", shop="pages", status="pending", is_guest_order="true")
    same((len(ids["results"]), ids["next"], sorted(ids["results"][0])), (len(set(o["id"] for o in ids["results"])), None, ["customer", "id", "reference"]), "the ids of all that match")
    for wrong, more in (("total_min", "1e3"), ("furthest_step", "door"), ("outcome", "lost"), ("abandoned_start", "yesterday"), ("contactable", "maybe"), ("ordering", "email"), ("page_size", "101"), ("status", "open"), ("start_date", "yesterday"), ("start_date", "2026-02-31"), ("is_guest_order", "maybe"),
                        ("recovery_attempts", "9999999999"), ("cursor", "' OR 1=1"), ("shop", "nowhere"), ("search", "x" * 300)):
        answer = request("GET", "/incomplete-orders/", query={wrong: more})
        ok(400 <= answer.status < 500 and is_problem(answer, answer.status), f"{wrong}={more[:20]} is refused", answer)


def try_large():
    """Too many to sort by what has no index; a filter without one gives short pages."""
    db.execute("SET session_replication_role = replica")
    db.execute("""INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, reference, currency, created_at, expires_at, next_action_at, items, customer_id)
        SELECT s.shop_id, x.id, x.id, 'L' || x.n, 'USD', now() - make_interval(secs => x.n), now() + interval '1 day', now(), '[{"sku":"A","quantity":1,"unit_price":1}]',
            CASE WHEN x.n IN (10, 10500) THEN 'rare' END
        FROM incomplete_orders.shops s, LATERAL (SELECT n, incomplete_orders._new_id(s.shop_id) AS id FROM generate_series(1, 10600) n OFFSET 0) x WHERE s.shop = 'pages'""")
    db.execute("SET session_replication_role = origin")
    page = get("/incomplete-orders/", shop="pages")
    same((page["count"], page["count_capped"], len(page["results"])), (10000, True, 20), "a count is capped, and says so")
    answer = request("GET", "/incomplete-orders/", query={"shop": "pages", "ordering": "total_amount"})
    ok(is_problem(answer, 422) and "too many" in answer.json["detail"], "too many to sort them by total", answer)
    first = get("/incomplete-orders/", shop="pages", is_guest_order="false", start_date=day(11))
    ok(len(first["results"]) == 1 and first["next"] and first["count_capped"], "a page that looked long enough ends, and leads on", first["next"])
    second = get(first["next"])
    same((len(second["results"]), second["next"]), (1, None), "to the rest")


def try_edit():
    order = cart()
    shown = request("GET", f"/incomplete-orders/{order}/")
    same((shown.headers["ETag"], shown.json["version"], [h["event"] for h in shown.json["history"]]), ('"1"', 1, ["created"]), "a version is the ETag")
    same(request("GET", f"/incomplete-orders/{order}/", headers={"If-None-Match": '"1"'}).status, 304, "and known to who has it")
    edited = post(f"/incomplete-orders/{order}/", {"name": "Ann", "items": [{"sku": "X", "quantity": 3, "unit_price": "2.00"}]}, headers={"If-Match": '"1"'}, method="PATCH")
    same((edited["version"], edited["name"], edited["total"], edited["last_activity_at"]), (2, "Ann", 6, shown.json["last_activity_at"]), "edited, and the customer did nothing")
    stale = request("PATCH", f"/incomplete-orders/{order}/", {"expected_version": 1, "name": "Bob"})
    ok(is_problem(stale, 409) and stale.json["code"] == "IC009" and "version 2" in stale.json["detail"], "a stale edit is told the version", stale)
    same(request("PATCH", f"/incomplete-orders/{order}/", {"name": "Bob"}).status, 422, "an edit must say what it read")
    for wrong in ({"status": "converted"}, {"total": 1}, {"items": [{"sku": "X", "quantity": -1, "unit_price": 1}]}, {"shipping": "NaN"}, {"shipping": "1e9"}, {"phone": 5}, {"email": ["x"]}):
        answer = request("PATCH", f"/incomplete-orders/{order}/", {"expected_version": 2, **wrong})
        ok(answer.status in (400, 422) and is_problem(answer, answer.status), f"{wrong} is refused", answer)
    same(get(f"/incomplete-orders/{order}/")["version"], 2, "and changed nothing")


def try_convert():
    order = cart()
    part = post(f"/incomplete-orders/{order}/convert_to_order/", {"lines": [{"sku": "MUG", "quantity": 1, "unit_price": "9.50"}], "idempotency_key": "part-1"}, 201)
    same((part["part"], part["total"], part["paid"]), (1, 9.5, True), "a part")
    again = post(f"/incomplete-orders/{order}/convert_to_order/", {"lines": [{"sku": "MUG", "quantity": 1, "unit_price": "9.50"}]}, 201, {"Idempotency-Key": "part-1"})
    same(again["order_id"], part["order_id"], "the same key, in the header, is the same order")
    ok(is_problem(request("POST", f"/incomplete-orders/{order}/convert_to_order/", {"idempotency_key": "part-1"}), 409), "but not for something else")
    rest = post(f"/incomplete-orders/{order}/convert_to_order/", None, 201)
    same((rest["part"], rest["total"]), (2, 13.5), "and the rest")
    over = post(f"/incomplete-orders/{order}/convert_to_order/", None, 201)
    same(over["order_id"], rest["order_id"], "once more makes no other order")
    ok(is_problem(request("POST", f"/incomplete-orders/{order}/mark_abandoned/"), 409), "what is converted is not abandoned")
    shown = get(f"/incomplete-orders/{order}/")
    same((shown["status"], [o["part"] for o in shown["orders"]], shown["can_convert"]), ("converted", [1, 2], False), "both orders are shown")
    post(f"/orders/{rest['order_id']}/refunds/", {"amount": "3.50"}, headers={"Idempotency-Key": "back-1"})
    post(f"/orders/{rest['order_id']}/refunds/", {"amount": "3.50"}, headers={"Idempotency-Key": "back-1"})
    same([o["refunded"] for o in get(f"/incomplete-orders/{order}/orders/")["results"]], [0, 3.5], "one key pays back once")
    ok(request("POST", f"/orders/{rest['order_id']}/refunds/", {"amount": "100"}).status in (409, 422), "nobody gets back more than was paid")
    empty = post("/incomplete-orders/", {"items": []}, 201)["id"]
    answer = request("POST", f"/incomplete-orders/{empty}/convert_to_order/")
    ok(is_problem(answer, 409) and answer.json["code"] == "IC005", "an empty cart is not converted", answer)
    same(get(f"/incomplete-orders/{empty}/can_convert/")["can"], False, "and says so before")


def try_app():
    """The shop's own program: carts and orders, nothing of staff."""
    put = request("PUT", "/carts/app-1/", {"items": [{"sku": "A", "quantity": 1, "unit_price": 2}], "email": "app@example.com"}, user="app")
    same((put.status, put.json["total"], "history" in put.json), (201, 2, False), "a program puts a cart")
    same(request("GET", f"/incomplete-orders/{put.json['id']}/", user="app").json["email"], "app@example.com", "and reads one order")
    sold = request("POST", f"/incomplete-orders/{put.json['id']}/convert_to_order/", {"idempotency_key": "app-1"}, user="app")
    same((sold.status, sold.json["total"]), (201, 2), "and converts it")
    for path in ("/incomplete-orders/", f"/incomplete-orders/{put.json['id']}/history/", "/incomplete-orders/export.csv", "/recovery-emails/", "/settings/"):
        answer = request("GET", path, user="app")
        ok(answer.status in (403, 404) and is_problem(answer, answer.status), f"but not {path}", answer)


def try_many():
    fresh, gone, other = cart(), cart(), cart("other")
    one("SELECT incomplete_orders.dismiss_order(%s)", gone)
    results = post("/incomplete-orders/bulk/convert/", {"ids": [fresh, gone, other, NO_ID]})["results"]
    same(([r["id"] for r in results], [r["result"] for r in results]), ([fresh, gone, other, NO_ID], ["converted", "refused", "refused", "refused"]), "each has its result")
    same(results[2]["reason"].replace(other, ""), results[3]["reason"].replace(NO_ID, ""), "another shop's is as one that is not there")
    same(one("SELECT status::text FROM incomplete_orders.incomplete_orders WHERE id = %s", other), "pending", "and stays as it is")
    same(post("/incomplete-orders/bulk/dismiss/", {"ids": []})["results"], [], "none is none")
    ok(is_problem(request("POST", "/incomplete-orders/bulk/dismiss/", {"ids": ["x"]}), 400), "ids are ids")
    mailed = [left(), left(), cart()]
    looked = post("/incomplete-orders/bulk/send_recovery_email/", {"ids": mailed, "dry_run": True})["results"]
    same([(r["result"], r["reason"]) for r in looked], [("queued", None), ("queued", None), ("refused", "not_abandoned")], "what would be sent")
    same(one("SELECT count(*) FROM incomplete_orders.messages WHERE order_id = ANY (%s::uuid[])", mailed), 0, "and is not")
    for _ in range(2):
        post("/incomplete-orders/bulk/send_recovery_email/", {"ids": mailed}, headers={"Idempotency-Key": "bulk-1"})
    same(one("SELECT count(*) FROM incomplete_orders.messages WHERE order_id = ANY (%s::uuid[])", mailed), 2, "one key sends to each once")
    csv = request("POST", "/incomplete-orders/export.csv", {"ids": [fresh, other, fresh, NO_ID]})
    same((csv.status, csv.text.count("\r\n"), fresh in csv.text, other in csv.text), (200, 2, True, False), "the CSV of those that are named and the role's own")


def try_create():
    first = request("POST", "/incomplete-orders/", {"items": [{"sku": "A", "quantity": 1, "unit_price": 1}]}, headers={"Idempotency-Key": "new-1"})
    again = request("POST", "/incomplete-orders/", {"items": [{"sku": "A", "quantity": 1, "unit_price": 1}]}, headers={"Idempotency-Key": "new-1"})
    same((first.status, again.json["id"]), (201, first.json["id"]), "one key makes one order")
    same(get(first.headers["Location"])["id"], first.json["id"], "Location leads to it")
    put = request("PUT", "/carts/put%20%C3%BC/", {"items": [{"sku": "A", "quantity": 1, "unit_price": "1.10"}], "email": "put@example.com"})
    over = request("PUT", "/carts/put%20%C3%BC/", {"items": [{"sku": "A", "quantity": 3, "unit_price": "1.10"}]})
    same((put.status, put.json["session_id"], over.status, over.json["id"] == put.json["id"], over.json["total"], over.json["email"]),
         (201, "put \u00fc", 200, True, 3.3, "put@example.com"), "a session has one cart, and what is not said stays")
    for body in ('{"items": [], "items": []}', '{"items": [' + '[' * 50 + ']' * 50 + ']}', '{"items": [{"sku": "A\\u0000", "quantity": 1, "unit_price": 1}]}', '{"items": [{"sku":"A","quantity":1e400,"unit_price":1}]}',
                 '{"items": [{"sku": "A"}]}', '{"items": {}}', '{"items": "[]"}', b'{"items": [], "name": "\xff"}', '{"items": [], "currency": "EURO"}', '{"items": [], "step": "paid"}', '{"items": [], "shipping": "0x10"}'):
        answer = request("POST", "/incomplete-orders/", body)
        ok(answer.status in (400, 422) and is_problem(answer, answer.status), f"{body[:60]} is refused", answer)


def try_csv():
    for name in ('=HYPERLINK("http://evil")', "@cmd", "+1+1", "-2", 'with "quotes", and commas', "plain"):
        post("/incomplete-orders/?shop=pages", {"items": [{"sku": "=1+1", "quantity": 1, "unit_price": "2.00"}], "name": name, "phone": "+1 555 0100", "email": "csv@example.com"}, 201)
    answer = request("GET", "/incomplete-orders/export.csv", query={"shop": "pages", "start_date": day(0), "status": "pending"})
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    same((answer.status, answer.type, len(rows)), (200, "text/csv", one("""SELECT count(*) FROM incomplete_orders.incomplete_orders
        WHERE shop = 'pages' AND status = 'pending' AND created_at >= %s::timestamp AT TIME ZONE 'Pacific/Auckland'""", day(0))), "all rows come as CSV")
    named = {row["name"]: row for row in rows if row["email"] == "csv@example.com"}
    same(sorted(named), sorted(["'=HYPERLINK(\"http://evil\")", "'@cmd", "'+1+1", "'-2", 'with "quotes", and commas', "plain"]), "no name is a formula")
    same({k: named["plain"][k] for k in ("phone", "total", "item_count", "items", "status")},
         {"phone": "+1 555 0100", "total": "2.00", "item_count": "1", "items": "1 x =1+1", "status": "pending"}, "the cells are what they should be")
    ok(all("L" not in row["reference"][:1] or row["total"] == "1.00" for row in rows), "and of all orders")
    same(request("GET", "/incomplete-orders/export.csv", query={"shop": "nowhere"}).status, 404, "no shop, no file")
    same(request("GET", "/incomplete-orders/export.csv", query={"status": "x"}).status, 400, "no such state")


def try_mail():
    order = left()
    sent = post(f"/incomplete-orders/{order}/send_recovery_email/", {"email_type": "abandoned_cart", "subject": "Still there"}, 202, {"Idempotency-Key": "mail-1"})
    again = post(f"/incomplete-orders/{order}/send_recovery_email/", {"email_type": "abandoned_cart", "subject": "Still there"}, 202, {"Idempotency-Key": "mail-1"})
    same(again["message_id"], sent["message_id"], "one key queues one message")
    row = get(f"/recovery-emails/{sent['message_id']}/")
    same((row["order_id"], row["status"], row["subject"], row["sent_at"]), (order, "queued", "Still there", None), "what is queued is not called sent")
    same([m["message_id"] for m in get("/recovery-emails/", incomplete_order=order)["results"]], [sent["message_id"]], "the list of an order's messages")
    same([m["message_id"] for m in get("/recovery-emails/", recipient=row["recipient"].upper(), page_size=1)["results"]], [sent["message_id"]], "messages by recipient, in any case")
    same(get("/recovery-emails/", recipient=row["recipient"], campaign="nothing")["results"], [], "and by campaign")
    post(f"/incomplete-orders/{order}/dismiss/", {"reason": "no"})
    why = [w["reason"] for w in get(f"/incomplete-orders/{order}/why_not_sent/")["results"]]
    ok("dismissed" in why, "the ledger says why it was not sent", why)
    converted = cart()
    one("SELECT (incomplete_orders.convert_order(%s)).order_id", converted)
    ok(is_problem(request("POST", f"/incomplete-orders/{converted}/send_recovery_email/", {}), 409), "a converted order is not mailed")
    notes = f"/incomplete-orders/{order}/notes/"
    post(notes, {"note": "first"}, 201)
    post(notes, {"note": "second"}, 201)
    same([(n["note"], n["who"]) for n in get(notes)["results"]], [("first", "routes_boss"), ("second", "routes_boss")], "notes are kept with who wrote them")
    preview = post("/templates/cart_abandoned/preview/", {"locale": "en"})
    ok(isinstance(preview, dict) and preview, "a text can be looked at")
    queued = one("SELECT count(*) FROM incomplete_orders.messages")
    before = len(Sink.mails)
    tried = post("/templates/cart_abandoned/test/", {"to": "maria@example.com", "locale": "en"})
    same((tried["recipient"], tried["result"], "taken" in tried["response"]), ("maria@example.com", "sent", True), "a text can be tried")
    ok(len(Sink.mails) == before + 1 and Sink.mails[-1][0] == ["maria@example.com"] and "Subject:" in Sink.mails[-1][1], "and arrives")
    tried = post("/templates/cart_abandoned/test/", {"to": "nobody@example.com"})
    same((tried["result"], tried["response"][:3]), ("rejected", "550"), "what the mail server says is told")
    for wrong in ("nobody", "a@b.example\r\nBcc: c@d.example", "a@b.example, c@d.example", ""):
        ok(is_problem(request("POST", "/templates/cart_abandoned/test/", {"to": wrong}), 422), f"no mail to {wrong!r}")
    ok(is_problem(request("POST", "/templates/nothing/test/", {"to": "maria@example.com"}), 422), "there is no such text")
    many = [threading.Thread(target=lambda: statuses.append(request("POST", "/templates/cart_abandoned/test/", {"to": "maria@example.com"}).status)) for _ in range(8)]
    statuses = []
    for thread in many:
        thread.start()
    for thread in many:
        thread.join()
    ok(set(statuses) <= {200, 503} and 200 in statuses, "many at once are sent, or told to wait", statuses)
    same(one("SELECT count(*) FROM incomplete_orders.messages"), queued, "nothing is queued by it")


def try_readme():
    """The examples of the README, as they stand there."""
    readme = (pathlib.Path(__file__).parent / "../../README.md").read_text(encoding="utf-8")
    chapter = readme.split("\n### What staff can call\n")[1].split("\n## ")[0]
    commands = [c for block in re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL) for c in block.strip().split("\n") if c.startswith("curl ")]
    ok(len(commands) >= 10, "the README shows how to call it")
    environment = {**os.environ, "API": f"http://127.0.0.1:{serve.port}{ROOT}", "LOGIN": "routes_boss:b-1", "ORDER": cart(), "OTHER": cart()}
    environment.pop("http_proxy", None)
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            ran = subprocess.run(["sh", "-c", "curl() { command curl -q -sS --fail --noproxy '*' \"$@\"; }; " + command], cwd=folder, env=environment, capture_output=True, text=True)
            ok(ran.returncode == 0 and (ran.stdout.startswith("{") or "-o " in command), command, ran.stdout[:300], ran.stderr)
        ok((pathlib.Path(folder) / "orders.csv").read_text().startswith("shop,id,"), "the file is there")


for trial in (try_readme, try_settings, try_scheduler, try_attach, try_pages, try_large, try_edit, try_convert, try_app, try_many, try_create, try_csv, try_mail):
    trial()

same(serve.stop(), 0, "it stops")
sink.stop()
ok(not any("level=error" in line for line in serve.log), "and nothing went wrong", *serve.log[-5:])
print("done", flush=True)

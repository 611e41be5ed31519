"""Eight shops, each played as its own code writes to its own tables.

A Shop has a database of its own with the extension, the tables of schemas/, two
roles (one owns the tables and attaches, one only writes to them and has no right
to anything of ours) and several connections, because shops have several.  Its
methods are what a customer or the shop does; each commits what the shop would
commit, and where it would.  ORACLE asks the shop's own tables what must be
captured, written by hand from what the shop's columns mean.
"""
import copy
import json
import os
import random
import re
import uuid
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal

import psycopg

HERE = os.path.dirname(os.path.abspath(__file__))
PRODUCTS = [("SHIRT-M", Decimal("19.90")), ("SOCKS", Decimal("4.50")), ("HAT", Decimal("120.00")), ("POSTER", Decimal("7.05"))]
checks = failures = 0


def ok(good, what, *details):
    global checks, failures
    checks += 1
    failures += not good
    print(("" if good else "not ") + f"ok {checks} - {what}", flush=True)
    for detail in () if good else details:
        for line in str(detail).splitlines():
            print(f"# {line}", flush=True)
    return bool(good)


def same(found, wanted, what):
    return ok(found == wanted, what, f"wanted {wanted!r}", f"found  {found!r}")


def finish():
    print(f"1..{checks}")
    raise SystemExit(1 if failures else 0)


def connect(dbname, user=None, **options):
    return psycopg.connect(dbname=dbname, user=user, autocommit=True, **options)


class Shop:
    preset = schema = None
    holds = True  # has a state in which somebody pays
    merges = True
    currency = "USD"

    def __init__(self, seed=1, name=None, attach=True, mapping=None, extra=None):
        self.rng = random.Random(seed)
        self.products = PRODUCTS
        self.db = "attach_" + (name or self.schema)
        self.owner, self.app = self.db + "_owner", self.db + "_app"
        self.label = self.preset
        self.number = 0
        self.keys = set()
        # carts that were bought before the shop was attached
        self.foregone = set()
        # the carts that a clerk works on
        self.mine = None
        with connect(os.environ["PGDATABASE"]) as c:
            for role in (self.owner, self.app):
                c.execute(f"CREATE ROLE {role} LOGIN")
            c.execute(f"CREATE DATABASE {self.db}")
            c.execute(f"GRANT CREATE ON DATABASE {self.db} TO {self.owner}")
        self.admin = connect(self.db)
        self.admin.execute("CREATE EXTENSION incomplete_orders")
        self.admin.execute("SELECT incomplete_orders.setup()")
        self.admin.execute(
            "SELECT incomplete_orders.configure_shop('default', %s)",
            [json.dumps({"currency": self.currency, "from_email": "hello@shop.example", "postal_address": "Shop Ltd, 1 Main Street, Springfield",
                         "base_url": "https://mail.shop.example/", "restore_url": "https://shop.example/cart?restore={token}",
                         "consent_rule": "none", "min_gap": "0", "quiet_from": "0:00", "quiet_to": "0:00"})])
        self.admin.execute("SELECT incomplete_orders.enable_campaign('cart')")
        self.admin.execute("SELECT incomplete_orders.enable_campaign('payment')")
        self.admin.execute(f"SELECT incomplete_orders.grant_to('{self.owner}', 'admin', 'default')")
        self.admin.execute(f"CREATE SCHEMA shop AUTHORIZATION {self.owner}")
        for role in (self.owner, self.app):
            self.admin.execute(f"ALTER ROLE {role} IN DATABASE {self.db} SET search_path = shop")
            self.admin.execute(f"ALTER ROLE {role} IN DATABASE {self.db} SET TimeZone = 'UTC'")
        self.owned = connect(self.db, self.owner)
        if extra:
            self.owned.execute(extra)
        else:
            with open(f"{HERE}/schemas/{self.schema}.sql", encoding="utf-8") as f:
                self.owned.execute(f.read())
        self.owned.execute(f"GRANT USAGE ON SCHEMA shop TO {self.app}")
        self.owned.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO {self.app}")
        self.owned.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA shop TO {self.app}")
        self.pool = [connect(self.db, self.app) for _ in range(3)]
        self.prepare()
        if attach:
            self.attach(mapping)

    def prepare(self):
        pass

    def attach(self, mapping=None):
        self.owned.execute("SELECT * FROM incomplete_orders.attach('web', %s, %s)", [self.preset, json.dumps(mapping or {})])

    def clerk(self, seed):
        """The same shop with connections, chance and a memory of its own, for a thread."""
        other = copy.copy(self)
        other.rng = random.Random(seed)
        other.pool = [connect(self.db, self.app) for _ in range(2)]
        other.keys = other.mine = set()
        other.number = self.number + 1000 * (seed + 1)
        return other

    def close(self):
        wrong = self.report_differences()
        ok(not wrong, f"{self.label}: reports count each cart once, with what it came to", *wrong[:8])
        for c in self.pool + [self.owned, self.admin]:
            c.close()
        with connect(os.environ["PGDATABASE"]) as c:
            c.execute(f"DROP DATABASE {self.db}")
            for role in (self.owner, self.app):
                c.execute(f"DROP ROLE IF EXISTS {role}")

    # --- what the shop's program does ---

    @contextmanager
    def tx(self):
        """One transaction of the shop, on any of its connections."""
        conn = self.rng.choice(self.pool)
        with conn.transaction():
            yield conn.cursor()

    def run(self, sql, *args):
        """One statement in a transaction of its own; its only value, if it returns one."""
        with self.tx() as c:
            return self.one(c, sql, *args)

    @staticmethod
    def one(c, sql, *args):
        c.execute(sql, args or None)
        row = c.fetchone() if c.description else None
        return row[0] if row else None

    def next(self):
        self.number += 1
        return self.number

    def product(self, n=None):
        """(number from 1, sku, price)"""
        n = n or self.rng.randint(1, len(self.products))
        return (n, *self.products[n - 1])

    def lines(self, key):
        with self.pool[0].cursor() as c:
            return [r[0] for r in c.execute(self.LINES, [key]).fetchall()]

    def person(self, key, email):
        """Somebody who can be mailed."""
        self.contact(key, email)

    def open_carts(self):
        return [r["cart_key"] for r in self.oracle().values() if r["state"] in ("open", "empty")]

    def known(self, key):
        self.keys.add(str(key))
        return key

    # --- what must be there ---

    def rows(self, sql, *args, conn=None):
        with (conn or self.admin).cursor(row_factory=psycopg.rows.dict_row) as c:
            return c.execute(sql, args or None).fetchall()

    def value(self, sql, *args, conn=None):
        row = (conn or self.admin).execute(sql, args or None).fetchone()
        return row[0] if row else None

    def backdate(self, key):
        """It was bought a month ago."""
        for sql in self.BACKDATE:
            self.owned.execute(sql, [key])

    @staticmethod
    def ordered(items):
        return sorted(items, key=lambda i: (i[0], i[1] or "", i[3], i[2]))

    def oracle(self):
        found = {}
        for r in self.rows(self.ORACLE, conn=self.owned):
            # a cart has one line for what is sold under one sku, name and price
            sums = {}
            for i in r["items"] or []:
                what = (i["sku"], i["name"], Decimal(str(i["unit_price"])))
                sums[what] = sums.get(what, 0) + int(i["quantity"])
            items = self.ordered((sku, name, quantity, price) for (sku, name, price), quantity in sums.items())
            found[r["cart_key"]] = dict(r, items=items)
            if self.mine is None:
                self.keys.add(r["cart_key"])
        return found

    def captured(self):
        found = {}
        for r in self.rows("""
                SELECT DISTINCT ON (o.cart_key) o.cart_key, o.id, o.status::text, o.close_reason, o.email, o.customer_id, o.session_id, o.currency,
                    o.items, r.foreign_order, r.total, r.currency AS order_currency
                FROM incomplete_orders.incomplete_orders o
                LEFT JOIN incomplete_orders.orders r ON (r.shop_id, r.incomplete_order_id) = (o.shop_id, o.id)
                WHERE o.attachment IS NOT NULL AND o.status <> 'reversed'
                ORDER BY o.cart_key, o.closed_at IS NOT NULL, o.created_at DESC, o.id DESC"""):
            r["items"] = self.ordered((i["sku"], i.get("name"), int(i["quantity"]), Decimal(str(i["unit_price"]))) for i in r["items"])
            found[r["cart_key"]] = r
        return found

    FACTS = ("email", "customer_id", "session_id", "currency", "items")
    OPEN = ("pending", "abandoned", "payment_failed")

    def differences(self):
        wrong = []
        oracle, captured = self.oracle(), self.captured()
        for key in sorted(self.keys | set(captured)):
            w, f = oracle.get(key), captured.get(key)
            state = w["state"] if w else "gone"
            status = f["status"] if f else "absent"
            if state == "open":
                good, facts = status in self.OPEN, self.FACTS
            elif state == "held":
                good, facts = status == "payment_pending", self.FACTS
            elif state == "empty":
                good, facts = status == "absent" or status in self.OPEN + ("deleted",), ("items",)
            elif state == "converted" and key in self.foregone:
                good, facts = status == "absent", ()
            elif state == "converted":
                good, facts = status == "converted", ("items", "currency") if w["items"] else ()  # the shop may clean up later
                if good and (f["foreign_order"] != w["order_ref"] or w["total"] is not None and f["total"] != w["total"] or f["order_currency"] != w["currency"]):
                    wrong.append(f"{key}: order is {f['foreign_order']} {f['total']} {f['order_currency']}, not {w['order_ref']} {w['total']} {w['currency']}")
            elif state == "closed":
                good, facts = status in ("absent", "deleted"), ()
            else:
                good, facts = status in ("absent", "deleted"), ()
            if not good:
                wrong.append(f"{key}: is {state} in the shop, captured as {status}")
            elif f and status not in ("absent", "deleted"):
                for fact in facts:
                    wanted, have = w[fact], f[fact]
                    if fact == "email" and wanted and have:
                        wanted, have = wanted.lower(), have.lower()
                    if wanted != have and not (fact == "items" and state == "empty" and not have):
                        wrong.append(f"{key} ({state}): {fact} is {have!r}, not {wanted!r}")
        for n, ref in self.rows_of("SELECT count(*), foreign_order FROM incomplete_orders.orders WHERE foreign_order IS NOT NULL GROUP BY 2 HAVING count(*) > 1"):
            wrong.append(f"order {ref} is there {n} times")
        wrong += self.order_differences()
        wrong += [r[0] for r in self.rows_of(VIOLATIONS)]
        return wrong

    def rows_of(self, sql, *args, conn=None):
        return (conn or self.admin).execute(sql, args or None).fetchall()

    def order_differences(self):
        """The shop's orders are those that were recorded, but for reversed ones."""
        wanted = {r[0] for r in self.rows_of(self.ORDERS, conn=self.owned)}
        wanted -= {w["order_ref"] for k, w in self.oracle().items() if k in self.foregone}
        found = {r[0] for r in self.rows_of("""
            SELECT r.foreign_order FROM incomplete_orders.orders r LEFT JOIN incomplete_orders.closed_orders o ON (o.shop_id, o.id) = (r.shop_id, r.incomplete_order_id)
            WHERE o.status IS DISTINCT FROM 'reversed' AND r.foreign_order IS NOT NULL""")}
        return [f"order {r} of the shop is missing" for r in sorted(wanted - found)] + [f"order {r} is none of the shop's" for r in sorted(found - wanted)]

    def report_differences(self):
        """Reports count every order in its state with its worth; computed anew nothing is another."""
        changed = self.rows_of("SELECT incomplete_orders.rebuild_analytics()")[0][0]
        wanted, found = Counter(), Counter()
        for state, currency, valued, value in self.rows_of("""
            SELECT CASE WHEN o.status = 'deleted' AND o.close_reason = 'merged' THEN 'merged' ELSE o.status::text END, coalesce(r.currency, o.currency),
                o.status NOT IN ('pending', 'deleted', 'reversed'), coalesce(r.total, o.total)
            FROM incomplete_orders.incomplete_orders o
            LEFT JOIN incomplete_orders.orders r ON (r.shop_id, r.incomplete_order_id) = (o.shop_id, o.id) AND o.status = 'converted'"""):
            wanted[state, currency] += 1
            wanted[state + "_value", currency] += value if valued else 0
        for row in self.rows("SELECT * FROM incomplete_orders.rollup_states"):
            for name, value in row.items():
                if isinstance(value, (int, Decimal)) and name not in ("shop_id", "bot", "kept", "days_to_abandon", "first_abandoned"):
                    found[name, row["currency"]] += value
        return ([f"{changed} rows of reports are others computed anew"] if changed else []) + [
            f"reports: {found[key]} {' '.join(key)}, should be {wanted[key]}" for key in sorted(wanted.keys() | found.keys()) if wanted[key] != found[key]]

    def tick(self, later="6 seconds"):
        """A tick of which the marks made until now have settled."""
        return self.admin.execute(f"CALL incomplete_orders.tick(at => clock_timestamp() + interval '{later}')").fetchone()[0]

    def agrees(self, what):
        """Reads what was marked, and compares."""
        self.tick()
        wrong = self.differences()
        return ok(not wrong, f"{self.label}: {what}", *wrong[:8], *self.troubles(wrong))

    def troubles(self, wrong):
        return [] if not wrong else [f"{r['name']}: {r['state']} {r['problem']}" for r in self.rows("SELECT * FROM incomplete_orders.attachments") if r["state"] != "ok"]

    def events(self, key):
        return [r[0] for r in self.rows_of("""
            SELECT e.event FROM incomplete_orders.order_events e JOIN incomplete_orders.incomplete_orders o ON o.id = e.order_id
            WHERE o.cart_key = %s ORDER BY e.event_id""", str(key))]

    def status(self, key):
        row = self.captured().get(str(key))
        return row["status"] if row else None

    def mails(self):
        """Keys of the carts for which a message waits or has left."""
        return {r[0] for r in self.rows_of("""
            SELECT o.cart_key FROM incomplete_orders.messages m JOIN incomplete_orders.incomplete_orders o ON o.id = m.order_id WHERE m.status <> 'cancelled'""")}


with open(f"{HERE}/../t/Invariants.pm", encoding="utf-8") as _f:
    VIOLATIONS = re.search(r"my \$query = q\{(.*?)\};\n", _f.read(), re.S).group(1)


class Vendure(Shop):
    preset = schema = "vendure"
    holds = False
    BACKDATE = ["""UPDATE "order" SET "orderPlacedAt" = "orderPlacedAt" - interval '30 days' WHERE id = %s"""]
    LINES = 'SELECT id FROM order_line WHERE "orderId" = %s ORDER BY id'
    ORDERS = 'SELECT code FROM "order" WHERE "orderPlacedAt" IS NOT NULL'
    ORACLE = """
        SELECT o.id::text AS cart_key, o.code AS order_ref, c."emailAddress" AS email, o."customerId"::text AS customer_id,
            (SELECT encode(sha256(s.token::bytea), 'hex') FROM session s WHERE s."activeOrderId" = o.id ORDER BY s.id LIMIT 1) AS session_id, o."currencyCode" AS currency,
            (o."subTotalWithTax" + o."shippingWithTax") / 100.0 AS total, l.items,
            CASE WHEN o."orderPlacedAt" IS NOT NULL AND NOT o.active THEN 'converted' WHEN NOT o.active THEN 'closed' WHEN l.items IS NULL THEN 'empty' ELSE 'open' END AS state
        FROM "order" o LEFT JOIN customer c ON c.id = o."customerId"
        LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('sku', v.sku, 'quantity', l.quantity, 'unit_price', l."listPrice" / 100.0,
                'name', (SELECT t.name FROM product_variant_translation t WHERE t."baseId" = v.id ORDER BY t."languageCode" <> 'en', t."languageCode" LIMIT 1))) AS items
            FROM order_line l JOIN product_variant v ON v.id = l."productVariantId" WHERE l."orderId" = o.id AND l.quantity > 0) l ON true"""

    def totals(self, c, key):
        c.execute("""UPDATE "order" SET "subTotal" = s, "subTotalWithTax" = s, "updatedAt" = now()
            FROM (SELECT coalesce(sum(quantity * "listPrice"), 0) AS s FROM order_line WHERE "orderId" = %s) t WHERE id = %s""", [key, key])

    def create(self, product=None, quantity=1):
        """The first product: the order, its channel, the line, all in one call; then the session learns of it."""
        token = f"session-{self.next()}"
        with self.tx() as c:
            session = self.one(c, "INSERT INTO session (token, expires, type) VALUES (%s, now() + interval '1 year', 'AnonymousSession') RETURNING id", token)
            with c.connection.transaction():
                key = self.one(c, 'INSERT INTO "order" (code, state, "currencyCode") VALUES (%s, %s, %s) RETURNING id', f"CODE{self.number}", "AddingItems", self.currency)
                c.execute('INSERT INTO order_channels_channel VALUES (%s, 1)', [key])
            c.execute('UPDATE session SET "activeOrderId" = %s WHERE id = %s', [key, session])
            self._add(c, key, product, quantity)
        return self.known(key)

    def _add(self, c, key, product=None, quantity=1):
        n, _, price = self.product(product)
        with c.connection.transaction():
            line = self.one(c, 'SELECT id FROM order_line WHERE "orderId" = %s AND "productVariantId" = %s', key, n)
            if line is None:
                line = self.one(c, """INSERT INTO order_line (quantity, "listPriceIncludesTax", "productVariantId", "initialListPrice", "listPrice", "orderId")
                    VALUES (0, true, %s, %s, %s, NULL) RETURNING id""", n, int(price * 100), int(price * 100))
                with c.connection.transaction():
                    c.execute('UPDATE order_line SET "orderId" = %s WHERE id = %s', [key, line])
            c.execute('UPDATE order_line SET quantity = quantity + %s, "updatedAt" = now() WHERE id = %s', [quantity, line])
        self.totals(c, key)

    def add(self, key, product=None, quantity=1):
        with self.tx() as c:
            self._add(c, key, product, quantity)

    def change(self, key, line, quantity):
        with self.tx() as c:
            c.execute('UPDATE order_line SET quantity = %s WHERE id = %s', [quantity, line])
            self.totals(c, key)

    def remove(self, key, line):
        with self.tx() as c:
            c.execute('UPDATE order_line SET "orderId" = NULL WHERE id = %s', [line])
            self.totals(c, key)
            c.execute('DELETE FROM order_line WHERE id = %s', [line])

    def user(self, email):
        """A customer; in Vendure guests are, too."""
        found = self.run('SELECT id FROM customer WHERE "emailAddress" = %s', email)
        return found or self.run('INSERT INTO customer ("firstName", "lastName", "emailAddress") VALUES (%s, %s, %s) RETURNING id', "Jo", "Doe", email)

    def contact(self, key, email):
        user = self.user(email)
        self.run('UPDATE "order" SET "customerId" = %s, "updatedAt" = now() WHERE id = %s', user, key)

    def login(self, key, email):
        user = self.user(email)
        with self.tx() as c:
            old = self.one(c, 'SELECT id FROM "order" WHERE "customerId" = %s AND active AND id <> %s ORDER BY id DESC LIMIT 1', user, key)
            if old is None:
                c.execute('UPDATE "order" SET "customerId" = %s WHERE id = %s', [user, key])
                return key
            lines = c.execute('SELECT "productVariantId", quantity FROM order_line WHERE "orderId" = %s ORDER BY id', [key]).fetchall()
            c.execute('UPDATE session SET "activeOrderId" = %s WHERE "activeOrderId" = %s', [old, key])
            c.execute('DELETE FROM payment WHERE "orderId" = %s', [key])
            with c.connection.transaction():
                c.execute('DELETE FROM "order" WHERE id = %s', [key])
            for n, quantity in lines:
                self._add(c, old, n, quantity)
        return old

    def touch(self, key):
        self.run('UPDATE "order" SET "updatedAt" = clock_timestamp(), "shippingAddress" = %s WHERE id = %s', '{"city":"Oslo"}', key)

    def pay(self, key):
        self.run("""UPDATE "order" SET state = 'ArrangingPayment' WHERE id = %s""", key)

    def decline(self, key):
        with self.tx() as c:
            c.execute("""INSERT INTO payment (method, amount, state, "errorMessage", "orderId") VALUES ('card', 100, 'Declined', 'no', %s)""", [key])
            c.execute('UPDATE "order" SET "updatedAt" = clock_timestamp() WHERE id = %s', [key])

    def complete(self, key):
        with self.tx() as c:
            c.execute("""INSERT INTO payment (method, amount, state, "transactionId", "orderId") VALUES ('card', 100, 'Settled', 'T', %s)""", [key])
            with c.connection.transaction():
                c.execute('UPDATE order_line SET "orderPlacedQuantity" = quantity WHERE "orderId" = %s', [key])
                c.execute("""UPDATE "order" SET state = 'PaymentSettled', active = false, "orderPlacedAt" = now(), "shippingWithTax" = 500 WHERE id = %s""", [key])
            c.execute('UPDATE session SET "activeOrderId" = NULL WHERE "activeOrderId" = %s', [key])

    def discard(self, key):
        with self.tx() as c:
            c.execute('UPDATE session SET "activeOrderId" = NULL WHERE "activeOrderId" = %s', [key])
            c.execute('DELETE FROM payment WHERE "orderId" = %s', [key])
            c.execute('DELETE FROM "order" WHERE id = %s', [key])


class Medusa(Shop):
    preset = schema = "medusa"
    holds = merges = False
    BACKDATE = ["""UPDATE cart SET completed_at = completed_at - interval '30 days' WHERE id = %s"""]
    LINES = "SELECT id FROM cart_line_item WHERE cart_id = %s AND deleted_at IS NULL ORDER BY created_at, id"
    ORDERS = """SELECT l.order_id FROM order_cart l JOIN cart c ON c.id = l.cart_id WHERE l.deleted_at IS NULL AND c.completed_at IS NOT NULL"""
    ORACLE = """
        SELECT c.id AS cart_key, l.order_id AS order_ref, c.email, c.customer_id, NULL AS session_id, upper(c.currency_code) AS currency,
            (SELECT (s.totals ->> 'original_order_total')::numeric FROM order_summary s WHERE s.order_id = l.order_id) AS total, i.items,
            CASE WHEN c.completed_at IS NOT NULL THEN 'converted' WHEN c.deleted_at IS NOT NULL THEN 'closed' WHEN i.items IS NULL THEN 'empty' ELSE 'open' END AS state
        FROM cart c LEFT JOIN order_cart l ON l.cart_id = c.id AND l.deleted_at IS NULL
        LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('sku', variant_sku, 'name', product_title, 'quantity', quantity, 'unit_price', unit_price)) AS items
            FROM cart_line_item i WHERE i.cart_id = c.id AND i.deleted_at IS NULL) i ON true"""
    # an euro is so many of the currency
    REGIONS = {"usd": 1, "eur": 1, "jpy": 100, "kwd": Decimal("0.305")}

    def id(self, prefix):
        return f"{prefix}_01{uuid.UUID(int=self.rng.getrandbits(128)).hex[:20].upper()}"

    def price(self, n, currency):
        price = self.product(n)[2] * self.REGIONS[currency]
        return price.quantize({"jpy": Decimal("1"), "kwd": Decimal("0.001")}.get(currency, Decimal("0.01")))

    def create(self, product=None, quantity=1):
        key = self.known(self.id("cart"))
        self.run("INSERT INTO cart (id, region_id, sales_channel_id, currency_code) VALUES (%s, 'reg_usd', 'sc_1', 'usd')", key)
        self.add(key, product, quantity)
        return key

    def add(self, key, product=None, quantity=1):
        n, sku, _ = self.product(product)
        line = self.run("SELECT id FROM cart_line_item WHERE cart_id = %s AND variant_id = %s AND deleted_at IS NULL", key, f"variant_{n}")
        if line:
            self.run("UPDATE cart_line_item SET quantity = quantity + %s, updated_at = now() WHERE id = %s", quantity, line)
            return
        price = self.price(n, self.run("SELECT currency_code FROM cart WHERE id = %s", key))
        title = self.run("SELECT product FROM shop_variant WHERE id = %s", f"variant_{n}")
        self.run("""INSERT INTO cart_line_item (id, cart_id, title, product_title, variant_id, variant_sku, quantity, unit_price, raw_unit_price)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""", self.id("cali"), key, title, title, f"variant_{n}", sku, quantity, price, json.dumps({"value": str(price), "precision": 20}))

    def change(self, key, line, quantity):
        self.run("UPDATE cart_line_item SET quantity = %s, updated_at = now() WHERE id = %s", quantity, line)

    def remove(self, key, line):
        self.run("UPDATE cart_line_item SET deleted_at = now() WHERE id = %s", line)

    def contact(self, key, email):
        self.run("UPDATE cart SET email = %s, updated_at = now() WHERE id = %s", email, key)

    def login(self, key, email):
        """The cart becomes the customer's; their older one stays as it is."""
        self.run("UPDATE cart SET customer_id = %s, email = %s, updated_at = now() WHERE id = %s", "cus_" + email.split("@")[0], email, key)
        return key

    def region(self, key, currency):
        """First the currency is committed, then the prices."""
        self.run("UPDATE cart SET currency_code = %s, region_id = %s, updated_at = now() WHERE id = %s", currency, f"reg_{currency}", key)
        for line in self.lines(key):
            n = int(self.run("SELECT variant_id FROM cart_line_item WHERE id = %s", line)[-1])
            price = self.price(n, currency)
            self.run("UPDATE cart_line_item SET unit_price = %s, raw_unit_price = %s WHERE id = %s", price, json.dumps({"value": str(price), "precision": 20}), line)

    def touch(self, key):
        self.run("UPDATE cart SET updated_at = clock_timestamp(), metadata = %s WHERE id = %s", json.dumps({"seen": self.next()}), key)

    def pay(self, key):
        self.run("INSERT INTO payment_session (id, cart_id, provider_id) VALUES (%s, %s, 'pp_card')", self.id("payses"), key)

    def place(self, key):
        """Order, link and completed_at, each committed by itself."""
        order = self.id("order")
        self.run("""INSERT INTO "order" (id, customer_id, email, currency_code) SELECT %s, customer_id, email, currency_code FROM cart WHERE id = %s""", order, key)
        self.run("""INSERT INTO order_summary (id, order_id, totals) SELECT %s, %s, jsonb_build_object('original_order_total', sum(quantity * unit_price) + 5)
            FROM cart_line_item WHERE cart_id = %s AND deleted_at IS NULL""", self.id("ordsum"), order, key)
        self.run("INSERT INTO order_cart (order_id, cart_id, id) VALUES (%s, %s, %s)", order, key, self.id("ordercart"))
        self.run("UPDATE cart SET completed_at = now(), updated_at = now() WHERE id = %s", key)
        return order

    def undo(self, key, order):
        """What a declined payment does to an order that was placed already."""
        self.run("UPDATE cart SET completed_at = NULL WHERE id = %s", key)
        self.run("UPDATE order_cart SET deleted_at = now() WHERE order_id = %s", order)
        self.run("""DELETE FROM "order" WHERE id = %s""", order)

    def decline(self, key):
        self.undo(key, self.place(key))

    def complete(self, key):
        self.place(key)

    def discard(self, key):
        self.run("UPDATE cart SET deleted_at = now() WHERE id = %s", key)
        self.run("UPDATE cart_line_item SET deleted_at = now() WHERE cart_id = %s", key)


class Saleor(Shop):
    preset = schema = "saleor"
    merges = False
    BACKDATE = ["""UPDATE order_order SET created_at = created_at - interval '30 days' WHERE checkout_token = %s"""]
    LINES = "SELECT id FROM checkout_checkoutline WHERE checkout_id = %s ORDER BY created_at, id"
    ORDERS = "SELECT id::text FROM order_order WHERE checkout_token <> ''"
    # a variant without sku is known by its id
    ORACLE = """
        SELECT k.token::text AS cart_key, NULL AS order_ref, k.email, k.user_id::text AS customer_id, NULL AS session_id, k.currency, NULL::numeric AS total, i.items,
            CASE WHEN i.items IS NULL THEN 'empty' WHEN k.completing_started_at IS NOT NULL THEN 'held' ELSE 'open' END AS state
        FROM checkout_checkout k
        LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('sku', coalesce(v.sku, v.id::text), 'name', p.name, 'quantity', l.quantity,
                'unit_price', coalesce(l.price_override, l.undiscounted_unit_price_amount))) AS items
            FROM checkout_checkoutline l JOIN product_productvariant v ON v.id = l.variant_id JOIN product_product p ON p.id = v.product_id
            WHERE l.checkout_id = k.token AND l.quantity > 0) i ON true
        UNION ALL SELECT checkout_token, id::text, NULL, NULL, NULL, currency, total_gross_amount, NULL, 'converted' FROM order_order
        WHERE checkout_token <> '' AND NOT EXISTS (SELECT FROM checkout_checkout k WHERE k.token::text = checkout_token)"""

    def create(self, product=None, quantity=1):
        key = self.known(str(uuid.UUID(int=self.rng.getrandbits(128))))
        with self.tx() as c:
            c.execute("INSERT INTO checkout_checkout (token, currency) VALUES (%s, %s)", [key, self.currency])
            self._add(c, key, product, quantity)
        self.look(key)
        return key

    def _add(self, c, key, product, quantity):
        n = self.product(product)[0]
        line = self.one(c, "SELECT id FROM checkout_checkoutline WHERE checkout_id = %s AND variant_id = %s FOR UPDATE", key, n)
        if line:
            c.execute("UPDATE checkout_checkoutline SET quantity = quantity + %s WHERE id = %s", [quantity, line])
        else:
            c.execute("INSERT INTO checkout_checkoutline (checkout_id, variant_id, quantity, currency) VALUES (%s, %s, %s, %s)", [key, n, quantity, self.currency])
        c.execute("UPDATE checkout_checkout SET last_change = now(), price_expiration = now() WHERE token = %s", [key])

    def add(self, key, product=None, quantity=1):
        with self.tx() as c:
            self._add(c, key, product, quantity)

    def look(self, key):
        """Somebody reads the checkout: then its prices are filled in."""
        with self.tx() as c:
            for line, n in c.execute("SELECT id, variant_id FROM checkout_checkoutline WHERE checkout_id = %s", [key]).fetchall():
                price = self.product(n)[2]
                c.execute("UPDATE checkout_checkoutline SET undiscounted_unit_price_amount = %s, total_price_gross_amount = quantity * %s WHERE id = %s", [price, price, line])
            c.execute("""UPDATE checkout_checkout SET price_expiration = now() + interval '1 hour', total_gross_amount =
                (SELECT coalesce(sum(total_price_gross_amount), 0) FROM checkout_checkoutline WHERE checkout_id = token) WHERE token = %s""", [key])

    def change(self, key, line, quantity):
        self.run("UPDATE checkout_checkoutline SET quantity = %s WHERE id = %s", quantity, line)

    def remove(self, key, line):
        self.run("DELETE FROM checkout_checkoutline WHERE id = %s", line)

    def contact(self, key, email):
        self.run("UPDATE checkout_checkout SET email = %s, last_change = now() WHERE token = %s", email, key)

    def login(self, key, email):
        user = self.run("SELECT id FROM account_user WHERE email = %s", email) or self.run("INSERT INTO account_user (email) VALUES (%s) RETURNING id", email)
        self.run("UPDATE checkout_checkout SET user_id = %s, email = %s, last_change = now() WHERE token = %s", user, email, key)
        return key

    def touch(self, key):
        self.run("UPDATE checkout_checkout SET last_change = clock_timestamp(), country = 'DE' WHERE token = %s", key)

    def pay(self, key):
        self.run("UPDATE checkout_checkout SET completing_started_at = now() WHERE token = %s", key)

    def decline(self, key):
        self.run("UPDATE checkout_checkout SET completing_started_at = NULL WHERE token = %s", key)

    def complete(self, key):
        """The order is made, and the checkout goes."""
        with self.tx() as c:
            c.execute("UPDATE checkout_checkout SET email = coalesce(email, 'guest@shop.example') WHERE token = %s", [key])
            order = self.one(c, """INSERT INTO order_order (number, status, user_id, user_email, checkout_token, currency, total_gross_amount)
                SELECT nextval('order_order_number_seq'), 'unfulfilled', user_id, email, token::text, currency, total_gross_amount FROM checkout_checkout WHERE token = %s RETURNING id""", key)
            c.execute("""INSERT INTO order_orderline (order_id, variant_id, quantity) SELECT %s, variant_id, quantity FROM checkout_checkoutline WHERE checkout_id = %s""", [order, key])
            c.execute("DELETE FROM checkout_checkoutline WHERE checkout_id = %s", [key])
            c.execute("DELETE FROM checkout_checkout WHERE token = %s", [key])
        return str(order)

    def discard(self, key):
        """The job that deletes expired checkouts."""
        with self.tx() as c:
            c.execute("DELETE FROM checkout_checkoutline WHERE checkout_id = ANY (%s)", [[key]])
            c.execute("DELETE FROM checkout_checkout WHERE token = ANY (%s)", [[key]])


class Oscar(Shop):
    preset = "django-oscar"
    schema = "oscar"
    currency = "GBP"
    BACKDATE = [
        """UPDATE order_order SET date_placed = date_placed - interval '30 days' WHERE basket_id = %s""",
        """UPDATE basket_basket SET date_submitted = date_submitted - interval '30 days' WHERE id = %s""",
    ]
    LINES = "SELECT id FROM basket_line WHERE basket_id = %s ORDER BY date_created, id"
    ORDERS = "SELECT o.number FROM order_order o JOIN basket_basket b ON b.id = o.basket_id WHERE b.status = 'Submitted'"
    ORACLE = """
        SELECT b.id::text AS cart_key, o.number AS order_ref, u.email, b.owner_id::text AS customer_id, NULL AS session_id, i.currency, o.total_incl_tax AS total, i.items,
            CASE WHEN b.status = 'Submitted' THEN 'converted' WHEN b.status = 'Merged' THEN 'closed' WHEN i.items IS NULL THEN 'empty'
                WHEN b.status = 'Frozen' THEN 'held' ELSE 'open' END AS state
        FROM basket_basket b LEFT JOIN auth_user u ON u.id = b.owner_id LEFT JOIN order_order o ON o.basket_id = b.id
        LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('sku', s.partner_sku, 'name', p.title, 'quantity', l.quantity, 'unit_price', l.price_incl_tax)) AS items,
                min(l.price_currency) AS currency
            FROM basket_line l JOIN partner_stockrecord s ON s.id = l.stockrecord_id JOIN catalogue_product p ON p.id = l.product_id
            WHERE l.basket_id = b.id AND l.quantity > 0) i ON true"""

    def create(self, product=None, quantity=1):
        key = self.known(self.run("INSERT INTO basket_basket (status) VALUES ('Open') RETURNING id"))
        self.add(key, product, quantity)
        return key

    def add(self, key, product=None, quantity=1):
        n, _, price = self.product(product)
        with self.tx() as c:
            line = self.one(c, "SELECT id FROM basket_line WHERE basket_id = %s AND line_reference = %s", key, f"{n}_{n}")
            if line:
                c.execute("UPDATE basket_line SET quantity = quantity + %s, date_updated = now() WHERE id = %s", [quantity, line])
            else:
                c.execute("""INSERT INTO basket_line (line_reference, quantity, price_currency, price_excl_tax, price_incl_tax, basket_id, product_id, stockrecord_id)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)""", [f"{n}_{n}", quantity, self.currency, price, price, key, n, n])

    def change(self, key, line, quantity):
        self.run("UPDATE basket_line SET quantity = %s, date_updated = now() WHERE id = %s", quantity, line)

    def remove(self, key, line):
        self.run("DELETE FROM basket_line WHERE id = %s", line)

    def user(self, email):
        return self.run("SELECT id FROM auth_user WHERE email = %s", email) or self.run(
            "INSERT INTO auth_user (username, email) VALUES (%s, %s) RETURNING id", email, email)

    def contact(self, key, email):
        """A guest's address stays in the session until the order is there."""
        self.touch(key)

    def person(self, key, email):
        self.login(key, email)

    def login(self, key, email):
        user = self.user(email)
        with self.tx() as c:
            old = self.one(c, "SELECT id FROM basket_basket WHERE owner_id = %s AND status = 'Open' AND id <> %s ORDER BY id LIMIT 1", user, key)
            if old is None:
                c.execute("UPDATE basket_basket SET owner_id = %s WHERE id = %s", [user, key])
                return key
            for line, reference, quantity in c.execute("SELECT id, line_reference, quantity FROM basket_line WHERE basket_id = %s ORDER BY id", [key]).fetchall():
                there = self.one(c, "SELECT id FROM basket_line WHERE basket_id = %s AND line_reference = %s", old, reference)
                if there:
                    c.execute("UPDATE basket_line SET quantity = quantity + %s WHERE id = %s", [quantity, there])
                    c.execute("DELETE FROM basket_line WHERE id = %s", [line])
                else:
                    c.execute("UPDATE basket_line SET basket_id = %s WHERE id = %s", [old, line])
            c.execute("UPDATE basket_basket SET status = 'Merged', date_merged = now() WHERE id = %s", [key])
        return old

    def touch(self, key):
        self.run("UPDATE basket_basket SET date_created = date_created - interval '1 second' WHERE id = %s", key)

    def pay(self, key):
        self.run("UPDATE basket_basket SET status = 'Frozen' WHERE id = %s", key)

    def decline(self, key):
        self.run("UPDATE basket_basket SET status = 'Open' WHERE id = %s", key)

    def complete(self, key):
        number = str(100000 + self.next())
        with self.tx() as c:
            c.execute("""INSERT INTO order_order (number, currency, total_incl_tax, total_excl_tax, status, guest_email, basket_id, user_id)
                SELECT %s, %s, t + 5, t + 5, 'Pending', CASE WHEN b.owner_id IS NULL THEN 'guest@shop.example' ELSE '' END, b.id, b.owner_id
                FROM basket_basket b, (SELECT sum(quantity * price_incl_tax) AS t FROM basket_line WHERE basket_id = %s) l WHERE b.id = %s""", [number, self.currency, key, key])
            c.execute("UPDATE basket_basket SET status = 'Submitted', date_submitted = now() WHERE id = %s", [key])
        return number

    def discard(self, key):
        with self.tx() as c:
            c.execute("DELETE FROM basket_line WHERE basket_id = %s", [key])
            c.execute("DELETE FROM basket_basket WHERE id = %s", [key])


class Spree(Shop):
    preset = schema = "spree"
    holds = False
    token, line_currency = "token", True
    BACKDATE = ["""UPDATE spree_orders SET completed_at = completed_at - interval '30 days' WHERE id = %s"""]
    LINES = "SELECT id FROM spree_line_items WHERE order_id = %s ORDER BY created_at, id"
    ORDERS = "SELECT number FROM spree_orders WHERE completed_at IS NOT NULL"

    @property
    def ORACLE(self):
        return f"""
        SELECT o.id::text AS cart_key, o.number AS order_ref, o.email, o.user_id::text AS customer_id, o.{self.token} AS session_id, o.currency, o.total, i.items,
            CASE WHEN o.completed_at IS NOT NULL THEN 'converted' WHEN i.items IS NULL THEN 'empty' ELSE 'open' END AS state
        FROM spree_orders o
        LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('sku', v.sku, 'name', p.name, 'quantity', l.quantity, 'unit_price', l.price)) AS items
            FROM spree_line_items l JOIN spree_variants v ON v.id = l.variant_id JOIN spree_products p ON p.id = v.product_id
            WHERE l.order_id = o.id AND l.quantity > 0) i ON true"""

    def totals(self, c, key):
        c.execute("""UPDATE spree_orders SET item_total = t, total = t + shipment_total, item_count = n, updated_at = now()
            FROM (SELECT coalesce(sum(quantity * price), 0) AS t, coalesce(sum(quantity), 0) AS n FROM spree_line_items WHERE order_id = %s) l WHERE id = %s""", [key, key])

    def create(self, product=None, quantity=1):
        n = self.next()
        key = self.known(self.run(f"""INSERT INTO spree_orders (number, state, currency, {self.token}, created_at, updated_at) VALUES (%s, 'cart', %s, %s, now(), now()) RETURNING id""",
                                  f"R{n:09}", self.currency, f"token-{n}"))
        self.add(key, product, quantity)
        return key

    def _add(self, c, key, product, quantity):
        n, _, price = self.product(product)
        line = self.one(c, "SELECT id FROM spree_line_items WHERE order_id = %s AND variant_id = %s", key, n)
        if line:
            c.execute("UPDATE spree_line_items SET quantity = quantity + %s, updated_at = now() WHERE id = %s", [quantity, line])
        else:
            more = (", currency", ", %s", [self.currency]) if self.line_currency else ("", "", [])
            c.execute(f"""INSERT INTO spree_line_items (variant_id, order_id, quantity, price, created_at, updated_at{more[0]}) VALUES (%s, %s, %s, %s, now(), now(){more[1]})""",
                      [n, key, quantity, price] + more[2])
        self.totals(c, key)

    def add(self, key, product=None, quantity=1):
        with self.tx() as c:
            self._add(c, key, product, quantity)

    def change(self, key, line, quantity):
        with self.tx() as c:
            c.execute("UPDATE spree_line_items SET quantity = %s, updated_at = now() WHERE id = %s", [quantity, line])
            self.totals(c, key)

    def remove(self, key, line):
        with self.tx() as c:
            c.execute("DELETE FROM spree_line_items WHERE id = %s", [line])
            self.totals(c, key)

    def contact(self, key, email):
        self.run("UPDATE spree_orders SET email = %s, state = 'address', updated_at = now() WHERE id = %s", email, key)

    def user(self, email):
        return self.run("SELECT id FROM spree_users WHERE email = %s", email) or self.run("INSERT INTO spree_users (email) VALUES (%s) RETURNING id", email)

    def move(self, c, key, old):
        """Spree re-points the lines that the other cart does not have."""
        for line, n, quantity in c.execute("SELECT id, variant_id, quantity FROM spree_line_items WHERE order_id = %s ORDER BY id", [key]).fetchall():
            there = self.one(c, "SELECT id FROM spree_line_items WHERE order_id = %s AND variant_id = %s", old, n)
            if there:
                c.execute("UPDATE spree_line_items SET quantity = quantity + %s WHERE id = %s", [quantity, there])
            else:
                c.execute("UPDATE spree_line_items SET order_id = %s WHERE id = %s", [old, line])

    def login(self, key, email):
        user = self.user(email)
        with self.tx() as c:
            old = self.one(c, "SELECT id FROM spree_orders WHERE user_id = %s AND completed_at IS NULL AND id <> %s ORDER BY id DESC LIMIT 1", user, key)
            if old is None:
                c.execute("UPDATE spree_orders SET user_id = %s, email = %s, updated_at = now() WHERE id = %s", [user, email, key])
                return key
            self.move(c, key, old)
            self.totals(c, old)
            c.execute("DELETE FROM spree_line_items WHERE order_id = %s", [key])
            c.execute("DELETE FROM spree_payments WHERE order_id = %s", [key])
            c.execute("DELETE FROM spree_orders WHERE id = %s", [key])
        return old

    def touch(self, key):
        self.run("UPDATE spree_orders SET updated_at = clock_timestamp(), last_ip_address = '127.0.0.1' WHERE id = %s", key)

    def pay(self, key):
        self.run("UPDATE spree_orders SET state = 'payment', updated_at = now() WHERE id = %s", key)

    def decline(self, key):
        self.run("INSERT INTO spree_payments (order_id, amount, state) VALUES (%s, 1, 'failed')", key)
        self.run("UPDATE spree_orders SET payment_state = 'failed', updated_at = now() WHERE id = %s", key)

    def complete(self, key):
        with self.tx() as c:
            c.execute("UPDATE spree_orders SET shipment_total = 5 WHERE id = %s", [key])
            self.totals(c, key)
            c.execute("UPDATE spree_orders SET state = 'complete', completed_at = now(), payment_state = 'paid', email = coalesce(email, 'guest@shop.example') WHERE id = %s", [key])

    def discard(self, key):
        with self.tx() as c:
            c.execute("DELETE FROM spree_line_items WHERE order_id = %s", [key])
            c.execute("DELETE FROM spree_payments WHERE order_id = %s", [key])
            c.execute("DELETE FROM spree_orders WHERE id = %s", [key])


class Solidus(Spree):
    preset = schema = "solidus"
    token, line_currency = "guest_token", False

    def move(self, c, key, old):
        """Solidus copies the lines."""
        for n, quantity in c.execute("SELECT variant_id, quantity FROM spree_line_items WHERE order_id = %s ORDER BY id", [key]).fetchall():
            self._add(c, old, n, quantity)


class Sylius(Shop):
    preset = schema = "sylius"
    holds = merges = False
    BACKDATE = ["""UPDATE sylius_order SET checkout_completed_at = checkout_completed_at - interval '30 days' WHERE id = %s"""]
    LINES = "SELECT id FROM sylius_order_item WHERE order_id = %s ORDER BY id"
    ORDERS = "SELECT number FROM sylius_order WHERE checkout_completed_at IS NOT NULL"
    ORACLE = """
        SELECT o.id::text AS cart_key, o.number AS order_ref, c.email, o.customer_id::text, o.token_value AS session_id, o.currency_code AS currency, o.total / 100.0 AS total, i.items,
            CASE WHEN o.checkout_completed_at IS NOT NULL AND o.state <> 'cart' THEN 'converted' WHEN i.items IS NULL THEN 'empty' ELSE 'open' END AS state
        FROM sylius_order o LEFT JOIN sylius_customer c ON c.id = o.customer_id
        LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('sku', v.code, 'name',
                coalesce(i.product_name, (SELECT t.name FROM sylius_product_translation t WHERE t.translatable_id = v.product_id AND t.locale = o.locale_code)), 'quantity', i.quantity, 'unit_price', i.unit_price / 100.0)) AS items
            FROM sylius_order_item i JOIN sylius_product_variant v ON v.id = i.variant_id WHERE i.order_id = o.id AND i.quantity > 0) i ON true"""

    def totals(self, c, key):
        c.execute("UPDATE sylius_order_item SET units_total = quantity * unit_price, total = quantity * unit_price WHERE order_id = %s", [key])
        c.execute("""UPDATE sylius_order SET items_total = t, total = t + adjustments_total, updated_at = now()
            FROM (SELECT coalesce(sum(total), 0) AS t FROM sylius_order_item WHERE order_id = %s) l WHERE id = %s""", [key, key])

    def create(self, product=None, quantity=1):
        with self.tx() as c:
            key = self.one(c, """INSERT INTO sylius_order (state, items_total, adjustments_total, total, created_at, currency_code, locale_code, checkout_state, payment_state, shipping_state, token_value)
                VALUES ('cart', 0, 0, 0, now(), %s, 'en_US', 'cart', 'cart', 'cart', %s) RETURNING id""", self.currency, f"token-{self.next()}")
            self._add(c, key, product, quantity)
        return self.known(key)

    def units(self, c, line, quantity):
        c.execute("DELETE FROM sylius_order_item_unit WHERE order_item_id = %s", [line])
        c.execute("INSERT INTO sylius_order_item_unit (order_item_id) SELECT %s FROM generate_series(1, %s)", [line, quantity])

    def _add(self, c, key, product, quantity):
        n, _, price = self.product(product)
        row = c.execute("SELECT id, quantity FROM sylius_order_item WHERE order_id = %s AND variant_id = %s", [key, n]).fetchone()
        if row:
            line, quantity = row[0], row[1] + quantity
            c.execute("UPDATE sylius_order_item SET quantity = %s, version = version + 1 WHERE id = %s", [quantity, line])
        else:
            line = self.one(c, """INSERT INTO sylius_order_item (order_id, variant_id, quantity, unit_price, units_total, adjustments_total, total, is_immutable)
                VALUES (%s, %s, %s, %s, 0, 0, 0, false) RETURNING id""", key, n, quantity, int(price * 100))
        self.units(c, line, quantity)
        self.totals(c, key)

    def add(self, key, product=None, quantity=1):
        with self.tx() as c:
            self._add(c, key, product, quantity)

    def change(self, key, line, quantity):
        with self.tx() as c:
            c.execute("UPDATE sylius_order_item SET quantity = %s, version = version + 1 WHERE id = %s", [quantity, line])
            self.units(c, line, quantity)
            self.totals(c, key)

    def remove(self, key, line):
        with self.tx() as c:
            c.execute("DELETE FROM sylius_order_item WHERE id = %s", [line])
            self.totals(c, key)

    def user(self, email):
        return self.run("SELECT id FROM sylius_customer WHERE email_canonical = lower(%s)", email) or self.run(
            "INSERT INTO sylius_customer (email, email_canonical) VALUES (%s, lower(%s)) RETURNING id", email, email)

    def contact(self, key, email):
        user = self.user(email)
        self.run("UPDATE sylius_order SET customer_id = %s, checkout_state = 'addressed', updated_at = now() WHERE id = %s", user, key)

    def login(self, key, email):
        self.run("UPDATE sylius_order SET customer_id = %s, created_by_guest = false WHERE id = %s", self.user(email), key)
        return key

    def touch(self, key):
        self.run("UPDATE sylius_order SET updated_at = clock_timestamp(), checkout_state = 'shipping_selected' WHERE id = %s", key)

    def pay(self, key):
        self.run("UPDATE sylius_order SET checkout_state = 'payment_selected' WHERE id = %s", key)

    def decline(self, key):
        """Sylius completes first: a payment that fails later leaves the order."""
        self.touch(key)

    def complete(self, key):
        with self.tx() as c:
            c.execute("""UPDATE sylius_order_item i SET product_name = (SELECT t.name FROM sylius_product_translation t WHERE t.translatable_id = v.product_id AND t.locale = 'en_US'), variant_name = 'One', is_immutable = true
                FROM sylius_product_variant v WHERE v.id = i.variant_id AND i.order_id = %s""", [key])
            c.execute("""UPDATE sylius_order SET adjustments_total = 500, total = items_total + 500, state = 'new', number = lpad(id::text, 9, '0'), checkout_state = 'completed',
                payment_state = 'awaiting_payment', checkout_completed_at = now(), updated_at = now() WHERE id = %s""", [key])

    def discard(self, key):
        """sylius:remove-expired-carts; the lines cascade."""
        self.run("DELETE FROM sylius_order WHERE id = %s", key)


class Odoo(Shop):
    preset = schema = "odoo"
    currency = "EUR"
    BACKDATE = ["""UPDATE sale_order SET date_order = date_order - interval '30 days' WHERE id = %s"""]
    LINES = "SELECT id FROM sale_order_line WHERE order_id = %s AND display_type IS NULL AND NOT coalesce(is_delivery, false) ORDER BY id"
    ORDERS = "SELECT id::text FROM sale_order WHERE website_id IS NOT NULL AND state = 'sale'"
    # the public partner is nobody
    ORACLE = """
        SELECT o.id::text AS cart_key, o.id::text AS order_ref, CASE WHEN o.partner_id <> 1 THEN p.email END AS email,
            CASE WHEN o.partner_id <> 1 THEN o.partner_id::text END AS customer_id, o.access_token AS session_id, y.name AS currency, o.amount_total AS total, i.items,
            CASE WHEN o.state = 'sale' THEN 'converted' WHEN o.state = 'cancel' THEN 'closed' WHEN i.items IS NULL THEN 'empty' WHEN o.state = 'sent' THEN 'held' ELSE 'open' END AS state
        FROM sale_order o JOIN res_partner p ON p.id = o.partner_id JOIN res_currency y ON y.id = o.currency_id
        LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('sku', d.default_code, 'name', l.name, 'quantity', l.product_uom_qty, 'unit_price', l.price_unit)) AS items
            FROM sale_order_line l JOIN product_product d ON d.id = l.product_id
            WHERE l.order_id = o.id AND l.display_type IS NULL AND l.is_delivery IS NOT TRUE AND l.product_uom_qty > 0) i ON true
        WHERE o.website_id IS NOT NULL"""

    def totals(self, c, key):
        c.execute("""UPDATE sale_order SET amount_untaxed = t, amount_total = t, write_date = now()
            FROM (SELECT coalesce(sum(product_uom_qty * price_unit), 0) AS t FROM sale_order_line WHERE order_id = %s) l WHERE id = %s""", [key, key])

    def create(self, product=None, quantity=1, website=1, partner=1):
        n = self.next()
        with self.tx() as c:
            key = self.one(c, """INSERT INTO sale_order (name, state, website_id, partner_id, partner_invoice_id, partner_shipping_id, currency_id, access_token)
                VALUES (%s, 'draft', %s, %s, %s, %s, (SELECT id FROM res_currency WHERE name = %s), %s) RETURNING id""", f"S{n:05}", website, partner, partner, partner, self.currency, f"access-{n}")
            self._add(c, key, product, quantity)
        return self.known(key) if website else key

    def _add(self, c, key, product, quantity):
        n, sku, price = self.product(product)
        line = self.one(c, "SELECT id FROM sale_order_line WHERE order_id = %s AND product_id = %s", key, n)
        if line:
            c.execute("UPDATE sale_order_line SET product_uom_qty = product_uom_qty + %s, write_date = now() WHERE id = %s", [quantity, line])
        else:
            c.execute("""INSERT INTO sale_order_line (order_id, product_id, product_uom, name, product_uom_qty, price_unit) VALUES (%s, %s, 1, %s, %s, %s)""",
                      [key, n, f"[{sku}] Product {n}", quantity, price])
        self.totals(c, key)

    def add(self, key, product=None, quantity=1):
        with self.tx() as c:
            self._add(c, key, product, quantity)

    def change(self, key, line, quantity):
        with self.tx() as c:
            c.execute("UPDATE sale_order_line SET product_uom_qty = %s WHERE id = %s", [quantity, line])
            self.totals(c, key)

    def remove(self, key, line):
        with self.tx() as c:
            c.execute("DELETE FROM sale_order_line WHERE id = %s", [line])
            self.totals(c, key)

    def note(self, key, text):
        self.run("""INSERT INTO sale_order_line (order_id, display_type, name, product_uom_qty, price_unit) VALUES (%s, 'line_note', %s, 0, 0)""", key, text)

    def delivery(self, key):
        with self.tx() as c:
            c.execute("DELETE FROM sale_order_line WHERE order_id = %s AND is_delivery", [key])
            c.execute("""INSERT INTO sale_order_line (order_id, product_id, product_uom, is_delivery, name, product_uom_qty, price_unit) VALUES (%s, 5, 1, true, 'Delivery', 1, 5)""", [key])
            self.totals(c, key)

    def partner(self, email):
        return self.run("SELECT id FROM res_partner WHERE email = %s", email) or self.run("INSERT INTO res_partner (name, email, lang) VALUES (%s, %s, 'en_US') RETURNING id", "Jo Doe", email)

    def contact(self, key, email):
        partner = self.run("INSERT INTO res_partner (name, email, lang) VALUES (%s, %s, 'en_US') RETURNING id", "Jo Doe", email)
        self.run("UPDATE sale_order SET partner_id = %s, partner_invoice_id = %s, partner_shipping_id = %s WHERE id = %s", partner, partner, partner, key)

    def login(self, key, email):
        """The older cart of that partner is merged by hand of the customer: its lines move, it is cancelled."""
        partner = self.partner(email)
        with self.tx() as c:
            old = self.one(c, "SELECT id FROM sale_order WHERE partner_id = %s AND state = 'draft' AND website_id IS NOT NULL AND id <> %s ORDER BY id DESC LIMIT 1", partner, key)
            c.execute("UPDATE sale_order SET partner_id = %s, partner_invoice_id = %s, partner_shipping_id = %s WHERE id = %s", [partner, partner, partner, key])
            if old is not None:
                c.execute("UPDATE sale_order_line SET order_id = %s WHERE order_id = %s", [key, old])
                self.totals(c, key)
                self.totals(c, old)
                c.execute("UPDATE sale_order SET state = 'cancel' WHERE id = %s", [old])
        return key

    def touch(self, key):
        self.run("UPDATE sale_order SET write_date = clock_timestamp(), cart_recovery_email_sent = false, note = 'x' WHERE id = %s", key)

    def pay(self, key):
        self.run("UPDATE sale_order SET state = 'sent' WHERE id = %s", key)

    def decline(self, key):
        self.run("UPDATE sale_order SET state = 'draft' WHERE id = %s", key)

    def complete(self, key):
        with self.tx() as c:
            c.execute("UPDATE sale_order SET state = 'sale', date_order = now() WHERE id = %s", [key])
            self.totals(c, key)

    def discard(self, key):
        self.run("DELETE FROM sale_order WHERE id = %s", key)


class Own(Shop):
    """A shop of nobody's making: its tables and its mapping are given."""
    LINES = ORDERS = "SELECT NULL::text WHERE false"
    holds = False

    def __init__(self, name, tables, mapping, oracle, orders=None, **more):
        self.ORACLE = oracle
        if orders:
            self.ORDERS = orders
        super().__init__(name=name, mapping=mapping, extra=tables, **more)
        self.label = name


SHOPS = [Vendure, Medusa, Saleor, Oscar, Spree, Solidus, Sylius, Odoo]

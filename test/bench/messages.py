"""A database with shops, abandoned orders and their recovery messages."""

import json
from pathlib import Path

from carts import Carts, read_catalog
from tick import Database

N_CARTS = 2000
PERSONS, SUPPRESSED, SENT = 100_000, 20_000, 50_000  # who ordered lately; who may not be mailed; what was sent before

CONTEXT = json.dumps({
    "locale": "en-GB", "time_zone": "Europe/London", "device": "mobile", "source": "newsletter", "ip": "198.51.100.17",
    "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148",
    "consent": {"status": "granted", "at": "2026-10-01T10:00:00Z", "source": "checkout", "text_version": "3"},
})
ADDRESS = json.dumps({
    "first_name": "Ada", "last_name": "Lovelace", "address_line_1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH",
    "country": "GB",
})

SHOP_TEXTS = """UPDATE incomplete_orders.shops SET base_url = 'https://' || shop || '.example', from_email = 'orders@' || shop || '.example',
    restore_url = 'https://' || shop || '.example/cart', reply_to = 'help@' || shop || '.example',
    postal_address = '1 High Street, London W1', logo_url = 'https://' || shop || '.example/logo.png', colour = '#14507a',
    consent_rule = 'none', min_gap = '0', quiet_from = '0:00', quiet_to = '0:00'"""

# Who else is on record: nobody whom a message of the measurement is for.
OTHERS = """
INSERT INTO incomplete_orders.person_orders (shop_id, person, ordered_at, order_id)
SELECT (%(shops)s::integer[])[1 + n %% cardinality(%(shops)s::integer[])], (random() * 9e18)::bigint, now() - random() * interval '30 days', gen_random_uuid()
FROM generate_series(1, %(persons)s) n;
INSERT INTO incomplete_orders.suppressions (shop_id, person, reason, at)
SELECT (%(shops)s::integer[])[1 + n %% cardinality(%(shops)s::integer[])], (random() * 9e18)::bigint, 'unsubscribed', now() - random() * interval '300 days'
FROM generate_series(1, %(suppressed)s) n"""

# n carts abandoned two hours ago, one after the other within half an hour, among the
# shops in turn.  message: its first message waits in the queue; else the clock has to queue it.
MAKE = """
INSERT INTO incomplete_orders.open_orders (shop_id, id, root_id, reference, session_id, customer_id, email, phone, name, items, status,
    furthest_step, created_at, last_activity_at, abandoned_at, expires_at, next_action_at, currency, shipping, address, context,
    sequence_step, next_message_at)
SELECT shop, i, i, incomplete_orders._reference_of(nextval('incomplete_orders.reference_seq')), 's' || i, 'customer-' || k,
    'customer.' || k || '@mail.example', '+44 20 7946 ' || k, 'Ada Lovelace', c.items, 'abandoned', 'shipping', t - interval '90 minutes',
    t - interval '1 hour', t, t + interval '30 days', t + interval '8 days', 'USD', 4.90, a.address, a.context,
    CASE WHEN %(message)s THEN 1 ELSE 0 END, CASE WHEN %(message)s THEN t + interval '1 day' ELSE t + interval '1 hour' END
FROM (SELECT incomplete_orders._new_id(shop) AS i, shop, k, now() - interval '2 hours' + k * interval '30 minutes' / %(n)s AS t
    FROM (SELECT (%(shops)s::integer[])[1 + k %% cardinality(%(shops)s::integer[])] AS shop, k FROM generate_series(1, %(n)s) k) x) x
    JOIN carts c ON c.n = k %% %(carts)s CROSS JOIN addresses a"""
MAKE_MESSAGES = """
INSERT INTO incomplete_orders.messages (shop_id, id, due_at, order_id, root_id, episode, step, campaign, message_type, template,
    recipient, queued_at, give_up_at)
SELECT shop_id, incomplete_orders._new_id(shop_id), abandoned_at + interval '1 hour', id, root_id, episode, 1, 'cart', 'abandoned_cart',
    'cart_abandoned', email, now(), now() + interval '5 days'
FROM incomplete_orders.open_orders ORDER BY abandoned_at"""
MAKE_SENT = """
INSERT INTO incomplete_orders.messages (shop_id, id, due_at, status, attempts, token, order_id, root_id, episode, step, campaign,
    message_type, template, recipient, queued_at, give_up_at, claimed_by, sent_at, mail_message_id, response)
SELECT shop, incomplete_orders._new_id(shop), t, 'sent', 1, 1, i, i, 1, 1, 'cart', 'abandoned_cart', 'cart_abandoned',
    'customer.' || i || '@mail.example', t, t + interval '5 days', 'incomplete-orders', t, '<' || i || '@shop.example>', '250 2.0.0 Ok'
FROM (SELECT (%(shops)s::integer[])[1 + n %% cardinality(%(shops)s::integer[])] AS shop, now() - random() * interval '30 days' AS t,
    gen_random_uuid() AS i FROM generate_series(1, %(sent)s) n) x"""

TABLES = ("open_orders", "messages", "message_skips", "order_events", "order_event_tail")


class Mailing(Database):
    """Shops that mail, and who else is on record there."""

    def __init__(self, name, shops=1):
        super().__init__(name, shops)
        carts = Carts(read_catalog(Path(__file__).resolve().parent.parent / "data" / "catalog.csv"), N_CARTS)
        self.run("CREATE UNLOGGED TABLE carts (n integer PRIMARY KEY, items incomplete_orders.line_items)")
        with self.conn.cursor().copy("COPY carts FROM STDIN") as copy:
            for n in range(N_CARTS):
                copy.write_row([n, carts.change(n)])
        self.run("CREATE UNLOGGED TABLE addresses (address jsonb, context jsonb)")
        self.run("INSERT INTO addresses VALUES (%s, %s)", ADDRESS, CONTEXT)
        self.fill(SHOP_TEXTS)
        for statement in OTHERS.split(";"):
            self.fill(statement, persons=PERSONS, suppressed=SUPPRESSED)

    def fill(self, statement, **values):
        """Rows are put in as they are: without triggers."""
        self.run("SET session_replication_role = replica")
        self.conn.execute(statement, dict(values, shops=self.shops) if "%(" in statement else None)
        self.run("SET session_replication_role = origin")

    def make(self, n, message):
        """New orders instead of the old ones."""
        self.run("SET session_replication_role = replica")
        self.run("TRUNCATE " + ", ".join(f"incomplete_orders.{table}" for table in TABLES))
        self.run("SET session_replication_role = origin")
        self.fill(MAKE, n=n, message=message, carts=N_CARTS)
        self.fill(MAKE_SENT, sent=SENT)
        if message:
            self.fill(MAKE_MESSAGES)
        self.run("VACUUM ANALYZE")
        self.run("CHECKPOINT")

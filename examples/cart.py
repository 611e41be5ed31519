#!/usr/bin/env python3
"""A cart with psycopg 3: captured, completed, bought.

    pip install psycopg          (Debian: python3-psycopg)
    PGHOST=localhost PGDATABASE=shop PGUSER=webshop PGPASSWORD=... ./cart.py SESSION

The role needs the purpose app: SELECT incomplete_orders.grant_to('webshop', 'app').
"""

import sys

import psycopg
from psycopg.types.json import Jsonb

session = sys.argv[1] if len(sys.argv) > 1 else "example-psycopg"
cart = [
    {"sku": "A-1", "name": "Blue shirt", "quantity": 2, "unit_price": "19.90"},
    {"sku": "B-7", "name": "Socks", "quantity": 1, "unit_price": "5.00"},
]

# prepare_threshold=None: no prepared statements, which a pooler in transaction
# mode may lose.  Without a pooler leave it out: repeated calls are prepared.
with psycopg.connect(prepare_threshold=None, autocommit=True) as conn:
    # Whenever the cart changes, with all of it.  The same session is the same order.
    (order,) = conn.execute(
        "SELECT incomplete_orders.capture_cart(session_id => %s, items => %s, email => %s)",
        (session, Jsonb(cart), "jane@shop.example"),
    ).fetchone()
    conn.execute(
        "SELECT incomplete_orders.save_checkout(session_id => %s, form => %s)",
        (session, Jsonb({"full_name": "Jane Doe", "city": "Berlin", "country": "DE"})),
    )
    row = conn.execute(
        "SELECT reference, status, total, currency FROM incomplete_orders.orders_of(session_id => %s) WHERE id = %s",
        (session, order),
    ).fetchone()
    print("captured", row[0][:4], row[1], row[2], row[3])

    # What is refused says why; the SQLSTATE tells programs.
    try:
        conn.execute(
            "SELECT incomplete_orders.capture_cart(session_id => %s, items => %s)",
            (session, Jsonb([{"sku": "A-1", "quantity": 0, "unit_price": "19.90"}])),
        )
    except psycopg.Error as error:
        print("refused", error.sqlstate, error.diag.message_primary)

    # One transaction, together with whatever your own tables need.
    with conn.transaction():
        number, total = conn.execute(
            "SELECT order_number, total FROM incomplete_orders.convert_order(id => %s)", (order,)
        ).fetchone()
    print("ordered", total)

    # A repeat, after a lost connection say, is the same order.
    (again,) = conn.execute("SELECT order_number FROM incomplete_orders.convert_order(id => %s)", (order,)).fetchone()
    print("again", "the same order" if again == number else "another order")

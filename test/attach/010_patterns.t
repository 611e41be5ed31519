#!/usr/bin/python3
"""Every write pattern of eight shops: what is captured is what the shop's own
tables say, after each of them.

ATTACH_SHOPS may name some of the shops.
"""
import os
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shops
from shops import ok, same


def facts(shop, key):
    """What a change without content must not move."""
    return shop.rows("SELECT last_activity_at, version, episode, status::text FROM incomplete_orders.open_orders WHERE cart_key = %s", str(key))


def events(shop):
    return shop.value("SELECT count(*) FROM incomplete_orders.order_events")


def common(shop):
    """What all shops have: the life of carts."""
    name = shop.preset
    a = shop.create(1, 2)
    shop.agrees("the first product")
    shop.add(a, 2)
    shop.agrees("another product")
    shop.add(a, 1)
    shop.agrees("the first once more")
    shop.change(a, shop.lines(a)[0], 5)
    shop.agrees("a quantity")
    shop.remove(a, shop.lines(a)[1])
    shop.agrees("a line removed")
    shop.contact(a, "Anna@Shop.example")
    shop.agrees("who it is")

    before, told = facts(shop, a), events(shop)
    shop.touch(a)
    shop.agrees("a change without content")
    same(facts(shop, a), before, f"{name}: ... is no activity")
    same(events(shop), told, f"{name}: ... and no event")
    shop.tick()
    same(events(shop), told, f"{name}: another tick finds nothing to do")

    for line in shop.lines(a):
        shop.remove(a, line)
    shop.agrees("emptied")
    same(shop.status(a), "pending", f"{name}: an emptied cart stays")
    shop.add(a, 3)
    shop.agrees("filled again")

    shop.pay(a)
    shop.agrees("on the way to pay")
    if shop.holds:
        same(shop.status(a), "payment_pending", f"{name}: a payment holds the cart")
    shop.decline(a)
    shop.agrees("declined")
    shop.add(a, 4)
    shop.agrees("something more after that")
    shop.pay(a)
    shop.complete(a)
    shop.agrees("bought")
    same(shop.events(a)[-1], "converted", f"{name}: the last event is the conversion")
    same(shop.events(a).count("converted"), 1, f"{name}: ... of which there is one")
    told = events(shop)
    shop.tick()
    shop.agrees("and ticked again")
    same(events(shop), told, f"{name}: ... which does nothing more")

    b = shop.create(2)
    shop.add(b, 1, 3)
    shop.complete(b)
    shop.agrees("bought before it was ever read")

    c = shop.create(1)
    shop.tick()
    shop.add(c, 3, 2)
    shop.remove(c, shop.lines(c)[0])
    shop.complete(c)
    shop.agrees("changed and bought before it was read again")

    d = shop.create(1)
    shop.tick()
    shop.discard(d)
    shop.agrees("deleted by the shop")
    same(shop.value("SELECT count(*) FROM incomplete_orders.orders r JOIN incomplete_orders.closed_orders o ON o.id = r.incomplete_order_id WHERE cart_key = %s", str(d)), 0,
         f"{name}: ... is no conversion")
    shop.discard(shop.create(1))
    shop.agrees("made and deleted before it was read")


def people(shop):
    """Logins, with an older cart and without."""
    name = shop.preset
    a = shop.create(1, 2)
    shop.login(a, "bert@shop.example")
    shop.agrees("a login")
    b = shop.create(1)
    shop.add(b, 3)
    shop.agrees("a guest again")
    kept = shop.login(b, "bert@shop.example")
    shop.agrees("a login that finds the older cart")
    gone = {str(a), str(b)} - {str(kept)}
    if shop.merges:
        for key in gone:
            same(shop.status(key), "deleted", f"{name}: ... which or its successor is closed")
        same(sorted(i[0] for i in shop.captured()[str(kept)]["items"] if i[0] != "HAT"), ["SHIRT-M"], f"{name}: ... and the lines are in one")
    c = shop.create(4)
    kept = shop.login(c, "bert@shop.example")
    shop.complete(kept)
    shop.agrees("merged and bought before it was read")


def mailed(shop):
    """Nothing is mailed to what is bought, being paid, superseded, emptied or gone."""
    name = shop.preset
    left = {who: shop.create(n % 4 + 1) for n, who in enumerate(("left", "bought", "paying", "emptied", "gone", "merged", "back", "later"))}
    for who, key in left.items():
        if who != "later":
            shop.person(key, f"{who}@shop.example")
    shop.tick()
    shop.complete(left["bought"])
    shop.pay(left["paying"])
    for line in shop.lines(left["emptied"]):
        shop.remove(left["emptied"], line)
    shop.discard(left["gone"])
    other = shop.create(1)
    kept = shop.login(other, "merged@shop.example")
    shop.tick()
    wrong = shop.differences()
    ok(not wrong, f"{name}: several carts at once", *wrong[:5])
    shop.tick("3 hours")
    wanted = {str(left["left"]), str(left["back"])} | (set() if shop.holds else {str(left["paying"])})
    best = {str(kept)} if shop.merges else {str(other), str(left["merged"])}
    found = shop.mails() & {str(k) for k in left.values()} | shop.mails() & {str(other)}
    ok(wanted <= found, f"{name}: who left is mailed", f"not mailed: {wanted - found}")
    ok(found - wanted <= best and len(found - wanted) == 1, f"{name}: ... and of the cart that was merged what remains, nobody else",
       f"also mailed: {found - wanted}, best: {best}")
    # a mail that waits is not sent once the cart is bought, deleted or held
    shop.complete(left["back"])
    shop.tick()
    ok(str(left["back"]) not in shop.mails(), f"{name}: bought while the message waited: it is cancelled")
    shop.discard(left["left"])
    shop.tick()
    ok(str(left["left"]) not in shop.mails(), f"{name}: deleted while the message waited: it is cancelled")


def before(kind):
    """What was there before: open carts are taken over, what was bought is no sale of ours."""
    shop = kind(name="before_" + kind.schema, attach=False)
    name = shop.preset
    try:
        left, emptied, paying, bought, gone = (shop.create(n % 4 + 1) for n in range(5))
        shop.person(left, "left@shop.example")
        shop.remove(emptied, shop.lines(emptied)[0])
        shop.pay(paying)
        shop.complete(bought)
        shop.discard(gone)
        shop.foregone.add(str(bought))
        seen = shop.rows("SELECT * FROM incomplete_orders.attach('web', %s, dry_run => true)", shop.preset, conn=shop.owned)
        ok(any(r["check_name"].startswith("sample") for r in seen), f"{name}: a dry run shows carts", seen)
        same(shop.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'incomplete_orders%%'", conn=shop.owned), 0, f"{name}: ... and does nothing")
        shop.backdate(bought)
        shop.attach()
        shop.agrees("what was there before")
        told = events(shop)
        if name != "saleor":
            shop.touch(bought)
        shop.agrees("an old order that staff work on")
        same(events(shop), told, f"{name}: ... is nothing new")
        shop.add(left, 3)
        shop.complete(left)
        shop.agrees("an older cart that is bought now")
        # the trigger sees nothing: the cart is found by reading all
        new, other = shop.create(1), shop.create(2)
        shop.tick()
        tables = [r[0] for r in shop.rows_of("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'incomplete\\_orders%'", conn=shop.owned)]
        for table in tables:
            shop.owned.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        missed = shop.create(3)
        shop.add(new, 4)
        shop.complete(other)
        for table in tables:
            shop.owned.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        shop.owned.execute("SELECT incomplete_orders.reconcile('web')")
        shop.agrees("reconciled after the triggers were off")
        shop.discard(missed)
        shop.tick()
        shop.owned.execute("SELECT * FROM incomplete_orders.detach('web')")
        same(shop.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'incomplete\\_orders%'", conn=shop.owned), 0, f"{name}: detached, no trigger remains")
        shop.add(new, 2)
        shop.tick("3 hours")
        ok(str(new) not in shop.mails(), f"{name}: ... and what nobody reads is not mailed")
    finally:
        shop.close()


def vendure(shop):
    key = shop.create(1)
    shop.tick()
    # a savepoint that is rolled back leaves what was before
    with shop.tx() as c:
        try:
            with c.connection.transaction():
                shop._add(c, key, 2, 7)
                raise ValueError
        except ValueError:
            pass
        c.execute('UPDATE "order" SET "updatedAt" = now() WHERE id = %s', [key])
    shop.agrees("a product whose savepoint was rolled back")
    with shop.tx() as c:
        shop._add(c, key, 2, 1)
        try:
            with c.connection.transaction():
                shop._add(c, key, 3, 1)
                raise ValueError
        except ValueError:
            pass
    shop.agrees("a product before, another in a savepoint that was rolled back")
    shop.user("old@shop.example")
    shop.contact(key, "old@shop.example")
    shop.agrees("the customer")
    shop.run("""UPDATE customer SET "emailAddress" = 'new@shop.example' WHERE "emailAddress" = 'old@shop.example'""")
    shop.agrees("the customer's address, in another table")


    # a session goes from order to order, and an order may have two of them
    a, b = shop.create(1), shop.create(2)
    shop.tick()
    shop.run('UPDATE session SET "activeOrderId" = %s WHERE "activeOrderId" = %s', b, a)
    shop.tick()
    same(shop.captured()[str(a)]["status"], "pending", "vendure: an order that lost its session stays")
    shop.run('UPDATE session SET "activeOrderId" = %s WHERE id = (SELECT max(id) FROM session)', a)
    shop.add(a, 3)
    shop.add(b, 4)
    shop.agrees("two orders that exchange their sessions")
    session = shop.run('SELECT id FROM session WHERE "activeOrderId" = %s', a)
    shop.complete(a)
    with shop.tx() as c:
        key = shop.known(shop.one(c, """INSERT INTO "order" (code, state, "currencyCode") VALUES ('AGAIN', 'AddingItems', 'USD') RETURNING id"""))
        c.execute('UPDATE session SET "activeOrderId" = %s WHERE id = %s', [key, session])
        shop._add(c, key, 1)
    shop.agrees("bought, and the next order in the same session, both read at once")
    gone = shop.create(1)
    shop.tick()
    session = shop.run('SELECT id FROM session WHERE "activeOrderId" = %s', gone)
    shop.discard(gone)
    with shop.tx() as c:
        key = shop.known(shop.one(c, """INSERT INTO "order" (code, state, "currencyCode") VALUES ('ONCE MORE', 'AddingItems', 'USD') RETURNING id"""))
        c.execute('UPDATE session SET "activeOrderId" = %s WHERE id = %s', [key, session])
        shop._add(c, key, 1)
    shop.agrees("deleted, and the next order in the same session")
    # staff make drafts and cancel orders; a marketplace splits what was bought
    draft = shop.known(shop.run("""INSERT INTO "order" (code, state, active, type, "currencyCode") VALUES ('DRAFT', 'Draft', false, 'Regular', 'USD') RETURNING id"""))
    shop.add(draft, 1)
    shop.run("""INSERT INTO "order" (code, state, active, type, "currencyCode", "orderPlacedAt") VALUES ('PART', 'PaymentSettled', false, 'Seller', 'USD', now())""")
    shop.tick()
    same(shop.value("SELECT count(*) FROM incomplete_orders.orders WHERE foreign_order = 'PART'"), 0, "vendure: a seller's part is no order of its own")
    same(shop.status(draft), None, "vendure: what staff draft is nobody's cart")
    shop.owned.execute("""DELETE FROM "order" WHERE code = 'PART'""")
    shop.run("""UPDATE "order" SET state = 'Cancelled', active = false WHERE id = %s""", key)
    shop.agrees("a cart that staff cancel")


def medusa(shop):
    key = shop.create(1)
    for currency in ("eur", "jpy", "kwd", "usd"):
        shop.region(key, currency)
        shop.agrees(f"the region with {currency}")
    # the currency is there before the prices: tick in between reads nothing yet
    shop.run("UPDATE cart SET currency_code = 'jpy' WHERE id = %s", key)
    shop.admin.execute("CALL incomplete_orders.tick()")
    same(shop.captured()[key]["currency"], "USD", "medusa: a currency before its prices is not read while it settles")
    shop.region(key, "jpy")
    shop.agrees("... and then with them")
    shop.contact(key, "cora@shop.example")

    # declined 0.6 s later: each step is a commit, and tick may come between any two
    steps = []
    order = shop.id("order")
    steps.append(lambda: shop.run("""INSERT INTO "order" (id, currency_code) VALUES (%s, 'jpy')""", order))
    steps.append(lambda: shop.run("INSERT INTO order_cart (order_id, cart_id, id) VALUES (%s, %s, 'l1')", order, key))
    steps.append(lambda: shop.run("UPDATE cart SET completed_at = now() WHERE id = %s", key))
    steps.append(lambda: shop.run("UPDATE cart SET completed_at = NULL WHERE id = %s", key))
    steps.append(lambda: shop.run("UPDATE order_cart SET deleted_at = now() WHERE cart_id = %s", key))
    steps.append(lambda: shop.run("""DELETE FROM "order" WHERE id = %s""", order))
    shop.tick()
    for step in steps:
        step()
        shop.admin.execute("CALL incomplete_orders.tick()")
    shop.agrees("completed and declined within the settle time")
    same([e for e in shop.events(key) if e in ("converted", "reversed")], [], "medusa: ... was never a conversion")

    # a decline that comes after it was read
    root = shop.rows("SELECT root_id, episode FROM incomplete_orders.open_orders WHERE cart_key = %s", key)
    order = shop.place(key)
    shop.agrees("completed")
    shop.undo(key, order)
    shop.agrees("... and taken back after that was read")
    same(shop.rows("SELECT root_id, episode FROM incomplete_orders.open_orders WHERE cart_key = %s", key), root, "medusa: what continues is the same episode")
    same([e for e in shop.events(key) if e in ("converted", "reversed")], ["converted", "reversed"], "medusa: ... converted, reversed")
    shop.add(key, 2)
    shop.agrees("... and filled further")
    shop.complete(key)
    shop.agrees("... and completed for good")
    same(shop.value("""SELECT count(*) FROM incomplete_orders.orders r JOIN incomplete_orders.closed_orders o ON (o.shop_id, o.id) = (r.shop_id, r.incomplete_order_id)
        WHERE o.cart_key = %s AND o.status = 'converted'""", key), 1, "medusa: ... one order")
    shop.discard(key)
    shop.agrees("... which remains when the cart is cleaned away")

    # all of that between two reads
    key = shop.create(1)
    order = shop.place(key)
    shop.tick()
    shop.undo(key, order)
    shop.add(key, 3)
    shop.complete(key)
    shop.agrees("taken back, changed and bought again between two reads")
    same([e for e in shop.events(key) if e in ("converted", "reversed")], ["converted", "reversed", "converted"], "medusa: ... converted, reversed, converted")
    key = shop.create(1)
    order = shop.place(key)
    shop.tick()
    shop.undo(key, order)
    shop.discard(key)
    shop.agrees("taken back and deleted between two reads")
    key = shop.create(1)
    order = shop.place(key)
    shop.tick()
    shop.undo(key, order)
    for line in shop.lines(key):
        shop.remove(key, line)
    shop.agrees("taken back and emptied between two reads")

    # nothing is mailed while it is bought, and after the reversal the sequence goes on
    key = shop.create(3)
    shop.contact(key, "dora@shop.example")
    shop.tick("2 hours")
    ok(key in shop.mails(), "medusa: who leaves is mailed")
    order = shop.place(key)
    shop.tick("2 hours")
    ok(key not in shop.mails(), "medusa: not any more once they bought")
    shop.undo(key, order)
    shop.tick("2 hours 1 minute")
    same(shop.value("SELECT count(*) FROM incomplete_orders.messages m JOIN incomplete_orders.open_orders o ON o.root_id = m.root_id WHERE o.cart_key = %s AND m.status <> 'cancelled'", key), 0,
         "medusa: ... and the same episode is not mailed twice after the decline")
    wrong = shop.differences()
    ok(not wrong, "medusa: ... but the cart is open again", *wrong)

    # several connections in one call, interleaved
    key = shop.create(1)
    a, b = shop.pool[0], shop.pool[1]
    with a.transaction():
        a.execute("UPDATE cart_line_item SET quantity = 3 WHERE cart_id = %s", [key])
        with b.transaction():
            b.execute("UPDATE cart SET email = 'eve@shop.example' WHERE id = %s", [key])
        shop.tick()
        same(shop.captured()[key]["email"], "eve@shop.example", "medusa: one of two open transactions has committed: it is read")
    shop.agrees("... and then the other")


def saleor(shop):
    key = shop.known(str(uuid.UUID(int=shop.rng.getrandbits(128))))
    with shop.tx() as c:
        c.execute("INSERT INTO checkout_checkout (token, currency) VALUES (%s, %s)", [key, shop.currency])
        shop._add(c, key, 1, 2)
    shop.agrees("a checkout whose prices nobody has read yet")
    before = facts(shop, key)[0]["last_activity_at"]
    shop.look(key)
    shop.agrees("... and then filled in")
    same(facts(shop, key)[0]["last_activity_at"], before, "saleor: ... which is nobody's activity")
    shop.run("UPDATE checkout_checkoutline SET price_override = 3.125 WHERE checkout_id = %s", key)
    shop.agrees("a price of three places, set by hand")
    other = shop.create(4)
    shop.agrees("a variant without sku")
    old = shop.create(1)
    shop.contact(old, "old@shop.example")
    shop.tick()
    shop.discard(old)
    shop.agrees("an old checkout that the shop deletes")
    same(shop.events(old)[-1], "deleted", "saleor: ... is deleted")
    shop.pay(other)
    order = shop.complete(other)
    shop.agrees("a checkout that becomes an order")
    same(shop.captured()[other]["foreign_order"], order, "saleor: ... which it is linked to")
    # orders of the sales team, and what was imported, have no checkout
    shop.tick()
    for token in ("", "legacy-123", ""):
        shop.run("INSERT INTO order_order (number, status, user_email, checkout_token, currency) VALUES (nextval('order_order_number_seq'), 'draft', 'x@shop.example', %s, 'USD')", token)
    same(shop.value("SELECT count(*) FROM incomplete_orders.cart_marks WHERE key = ''"), 0, "saleor: an empty key is nobody's cart")
    key = shop.create(2)
    shop.tick()
    same(shop.status(key), "pending", "saleor: keys that are none hold up nobody")
    same(shop.value("SELECT state FROM incomplete_orders.attachments"), "ok", "saleor: ... nor do they break the attachment")
    shop.owned.execute("DELETE FROM order_order WHERE status = 'draft'")
    fresh = shop.create(1)
    order = shop.complete(fresh)
    shop.agrees("made and bought before it was read")


def oscar(shop):
    key = shop.create(1)
    shop.tick()
    same(shop.captured()[str(key)]["email"], None, "oscar: a guest has no address")
    shop.complete(key)
    shop.agrees("a guest who buys")
    # a line is re-pointed: the cart it leaves, and the one it comes to
    a, b = shop.create(1), shop.create(2)
    shop.tick()
    line = shop.lines(a)[0]
    shop.run("UPDATE basket_line SET basket_id = %s WHERE id = %s", b, line)
    shop.agrees("a line that goes over to another basket")
    shop.pay(b)
    shop.tick()
    shop.tick("1 day")
    same(shop.status(b), "payment_pending", "oscar: a frozen basket is held for as long as it is frozen")
    shop.decline(b)
    shop.agrees("thawed")


def odoo(shop):
    key = shop.create(1)
    shop.note(key, "please wrap")
    shop.delivery(key)
    shop.agrees("a note and the delivery")
    same([i[0] for i in shop.captured()[str(key)]["items"]], ["SHIRT-M"], "odoo: ... are no lines of the cart")
    partner = shop.partner("b2b@shop.example")
    quotation = shop.create(2, website=None, partner=partner)
    shop.agrees("a quotation of the sales team")
    same(shop.status(quotation), None, "odoo: ... is no cart")
    shop.run("UPDATE sale_order SET state = 'sale' WHERE id = %s", quotation)
    shop.agrees("... nor is it one when it is won")
    same(shop.value("SELECT count(*) FROM incomplete_orders.incomplete_orders WHERE email = 'public@shop.example' OR customer_id = '1'"), 0, "odoo: the public partner is nobody")
    shop.remove(key, shop.lines(key)[0])
    shop.agrees("only note and delivery remain")
    shop.add(key, 1)
    shop.contact(key, "first@shop.example")
    shop.agrees("a guest who gives an address")
    shop.run("UPDATE res_partner SET email = 'second@shop.example' WHERE email = 'first@shop.example'")
    shop.agrees("... and corrects it")
    shop.run("UPDATE sale_order_line SET product_uom_qty = 1.5 WHERE order_id = %s AND product_id = 1", key)
    shop.tick()
    same([(i[2], i[3]) for i in shop.captured()[str(key)]["items"]], [(1, shops.Decimal("29.85"))], "odoo: a metre and a half is one piece at its price")
    shop.run("UPDATE sale_order SET state = 'cancel' WHERE id = %s", key)
    shop.agrees("cancelled")


def sylius(shop):
    key = shop.create(1)
    shop.contact(key, "First@shop.example")
    shop.tick()
    shop.run("UPDATE sylius_customer SET email = 'second@shop.example', email_canonical = 'second@shop.example' WHERE email_canonical = 'first@shop.example'")
    shop.agrees("the customer's address, in another table")
    shop.discard(key)
    shop.agrees("an expired cart, whose lines cascade")


def spree(shop):
    key = shop.create(1)
    shop.tick()
    same(shop.captured()[str(key)]["session_id"], "token-%d" % shop.number, f"{shop.preset}: the browser's token is the session")
    shop.complete(key)
    shop.run("UPDATE spree_orders SET state = 'canceled', canceled_at = now() WHERE id = %s", key)
    shop.agrees("bought, and cancelled by staff later")


special = {"vendure": vendure, "medusa": medusa, "saleor": saleor, "oscar": oscar, "spree": spree, "solidus": spree, "sylius": sylius, "odoo": odoo}
wanted = os.environ.get("ATTACH_SHOPS", "").split()
for kind in shops.SHOPS:
    if wanted and kind.schema not in wanted:
        continue
    shop = None
    try:
        before(kind)
    except Exception as error:
        if os.environ.get("ATTACH_TRACE"):
            raise
        ok(False, f"{kind.schema}: before comes to its end", f"{type(error).__name__}: {error}")
    try:
        shop = kind()
        for part in (common, people, special[kind.schema], mailed):
            try:
                part(shop)
            except Exception as error:  # the other parts and shops have something to say
                if os.environ.get("ATTACH_TRACE"):
                    raise
                ok(False, f"{kind.schema}: {part.__name__} comes to its end", f"{type(error).__name__}: {error}")
    except Exception as error:
        if os.environ.get("ATTACH_TRACE"):
            raise
        ok(False, f"{kind.schema}: attaches", f"{type(error).__name__}: {error}")
    finally:
        if shop:
            shop.close()
shops.finish()

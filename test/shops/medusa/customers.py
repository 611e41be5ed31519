"""The customers of the Medusa: each a generator over its store API. What lies between two
yields happens in one round, overlapping with what all other customers do in it."""

import threading
from random import Random
from zlib import crc32

import web

SKUS = ["TEA-1", "MUG-2", "POT-3", "SPN-4", "GFT-5"]

carts_of = {}       # session: the carts it had


def prepare(superuser):
    """The key that the storefront sends, as its builder would copy it from the admin pages."""
    Customer.key = superuser.execute("SELECT token FROM api_key WHERE title = 'Storefront'").fetchone()["token"]


class Customer:
    """One browser in the shop; the storefront keeps the cart's id in a cookie."""

    key = None          # of the storefront; the driver reads it from the shop
    regions = {}
    variants = {}

    def __init__(self, port, name, currency="eur"):
        self.name = name
        self.email = f"{name}@customers.example"
        self.phone = f"+49 30 {crc32(name.encode()) % 10**8:08}"      # one phone, one person
        self.currency = currency
        self.browser = web.Browser(port)
        self.browser.headers["x-publishable-api-key"] = Customer.key
        self.cart = None

    def call(self, method, path, body=None):
        return self.browser.call(method, path, body)

    def region(self, currency):
        if not Customer.regions:
            found = self.call("GET", "/store/regions")["regions"]
            Customer.regions.update({r["currency_code"]: r["id"] for r in found})
        return Customer.regions[currency]

    def variant(self, sku):
        if not Customer.variants:
            found = self.call("GET", "/store/products?fields=*variants")["products"]
            Customer.variants.update({v["sku"]: v["id"] for product in found for v in product["variants"]})
        return Customer.variants[sku]

    def post(self, path, body):
        answer = self.call("POST", f"/store/carts/{self.cart['id']}{path}", body)
        self.cart = answer.get("cart") or answer.get("parent") or self.cart
        carts_of.setdefault(self.name, set()).add(self.cart["id"])
        return answer

    def add(self, sku, quantity=1):
        if self.cart is None:
            self.cart = self.call("POST", "/store/carts", {"region_id": self.region(self.currency)})["cart"]
        self.post("/line-items", {"variant_id": self.variant(sku), "quantity": quantity})

    def line(self, sku):
        return next(i["id"] for i in self.cart["items"] if i["variant_sku"] == sku)

    def adjust(self, sku, quantity):
        self.post(f"/line-items/{self.line(sku)}", {"quantity": quantity})

    def remove(self, sku):
        self.cart = self.call("DELETE", f"/store/carts/{self.cart['id']}/line-items/{self.line(sku)}")["parent"]

    def look(self):
        self.cart = self.call("GET", f"/store/carts/{self.cart['id']}")["cart"]

    def give_email(self, email=None):
        self.post("", {"email": email or self.email})

    def move(self, currency):
        """Another region: other currency, other prices, the same goods."""
        self.post("", {"region_id": self.region(currency)})

    def address(self):
        place = {"eur": "de", "jpy": "jp", "kwd": "kw"}[self.cart["currency_code"]]
        where = {"first_name": "Ada", "last_name": "O'Müller-李", "address_1": "Street 1", "city": "Town",
                 "postal_code": "12345", "country_code": place, "phone": self.phone}
        self.post("", {"shipping_address": where, "billing_address": where})
        options = self.call("GET", f"/store/shipping-options?cart_id={self.cart['id']}")["shipping_options"]
        self.post("/shipping-methods", {"option_id": options[0]["id"]})

    def choose_card(self, card):
        collection = self.call("POST", "/store/payment-collections", {"cart_id": self.cart["id"]})["payment_collection"]
        self.call("POST", f"/store/payment-collections/{collection['id']}/payment-sessions",
                  {"provider_id": "pp_card_card", "data": {"card": card}})

    def complete(self, good=True):
        """A declined payment is an error, or the cart again."""
        try:
            answer = self.call("POST", f"/store/carts/{self.cart['id']}/complete", {})
        except web.Refused as refused:
            if good or "not authorized" not in refused.body:
                raise
            return
        if (answer["type"] == "order") != good:
            raise web.Refused(f"{self.name}: completed with a card that is {'good' if good else 'bad'}", 200, str(answer))
        if good:
            self.cart = None

    def pay(self, card="good"):
        self.choose_card(card)
        self.complete(card == "good")

    def register(self, password="correct horse"):
        token = self.call("POST", "/auth/customer/emailpass/register", {"email": self.email, "password": password})["token"]
        self.browser.headers["Authorization"] = f"Bearer {token}"
        self.call("POST", "/store/customers", {"email": self.email, "first_name": "Reg", "last_name": "Istered"})
        del self.browser.headers["Authorization"]

    def login(self, password="correct horse"):
        token = self.call("POST", "/auth/customer/emailpass", {"email": self.email, "password": password})["token"]
        self.browser.headers["Authorization"] = f"Bearer {token}"
        if self.cart:
            self.post("/customer", {})

    def logout(self):
        self.browser.headers.pop("Authorization", None)
        self.cart = None


def customers(port, random):
    """All sessions: (name, generator). Three of each kind, with other goods and quantities."""
    made = []

    def kind(function):
        for turn in range(3):
            name = f"{function.__name__}{turn}".replace("_", "-")
            goods = random.sample(SKUS[:4], 3)
            counts = [random.randint(1, 9) for _ in goods]
            made.append((name, function(name, list(zip(goods, counts)), turn)))

    def new(name, currency="eur"):
        return Customer(port, name, currency)

    @kind
    def leaves_unknown(name, goods, turn):
        me = new(name)
        for sku, count in goods[:turn + 1]:
            me.add(sku, count)
        yield

    @kind
    def leaves_an_address(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        yield
        me.give_email()
        yield
        me.add(*goods[1])
        me.address()

    @kind
    def changes(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.add(*goods[1])
        yield
        me.adjust(goods[0][0], 12)
        me.give_email()
        yield
        me.add(*goods[0])
        me.adjust(goods[1][0], 3)
        yield
        me.add("GFT-5")

    @kind
    def removes(name, goods, turn):
        me = new(name)
        for good in goods:
            me.add(*good)
        me.give_email()
        yield
        me.remove(goods[turn][0])
        yield
        me.adjust(goods[(turn + 1) % 3][0], 0)

    @kind
    def empties(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        yield
        me.remove(goods[0][0])

    @kind
    def empties_and_refills(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.add(*goods[1])
        me.give_email()
        yield
        me.remove(goods[0][0])
        me.remove(goods[1][0])
        if turn:
            yield
        me.add(*goods[2])
        yield
        me.look()

    @kind
    def buys(name, goods, turn):
        me = new(name)
        for good in goods:
            me.add(*good)
        if turn:
            yield
        me.give_email()
        me.address()
        if turn == 2:
            yield
        me.pay()

    @kind
    def buys_twice(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.address()
        me.pay()
        if turn:
            yield
        me.add(*goods[1])
        me.give_email()
        yield
        if turn == 2:
            me.address()
            me.pay()

    @kind
    def is_declined_and_leaves(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.address()
        me.pay(["bad", "slow", "slow"][turn])
        yield
        if turn == 2:
            me.add(*goods[1])
            me.pay("slow")

    @kind
    def is_declined_and_buys(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.address()
        me.pay("slow")
        if turn:
            yield
        me.pay("bad")
        if turn == 2:
            yield
        me.pay()

    @kind
    def stops_at_the_payment(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.address()
        me.choose_card("good")
        yield
        if turn:
            me.adjust(goods[0][0], 5)
        yield
        if turn == 2:
            me.choose_card("good")

    @kind
    def logs_in_with_a_cart(name, goods, turn):
        me = new(name)
        me.register()
        me.add(*goods[0])
        yield
        me.login()
        yield
        if turn:
            me.address()
            me.pay()

    @kind
    def logs_in_with_two_carts(name, goods, turn):
        """Medusa merges nothing: a storefront puts the lines of the guest's cart into the customer's."""
        before, now = new(name), new(name)
        before.register()
        before.add(*goods[0])
        before.login()
        yield
        now.add(*goods[1])
        now.add(*goods[2])
        yield
        old = before.cart
        guest = now.cart
        now.login()
        now.cart = old
        for item in guest["items"]:
            now.add(item["variant_sku"], item["quantity"])
        now.cart = guest
        for item in list(guest["items"]):
            now.remove(item["variant_sku"])
        yield
        now.cart = old
        if turn == 2:
            now.look()
            now.address()
            now.pay()

    @kind
    def logs_out(name, goods, turn):
        me = new(name)
        me.register()
        me.login()
        me.add(*goods[0])
        me.post("/customer", {})
        yield
        me.logout()
        me.add(*goods[1])
        yield
        if turn:
            me.login()

    @kind
    def has_two_carts(name, goods, turn):
        desk, phone = new(name), new(name)
        desk.add(*goods[0])
        desk.give_email()
        yield
        phone.add(*goods[1])
        phone.give_email()
        yield
        buyer = [desk, phone, phone][turn]
        buyer.address()
        buyer.pay()
        yield
        if turn == 2:
            desk.add(*goods[2])

    @kind
    def corrects_the_address(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email(f"{name}.typo@customers.example")
        yield
        me.give_email(f"{name}.Right@Customers.Example")
        if turn:
            me.address()

    @kind
    def moves_to_another_region(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.add(*goods[1])
        me.give_email()
        yield
        me.move(["jpy", "kwd", "jpy"][turn])
        yield
        if turn == 2:
            me.move("eur")
        me.address()
        yield
        if turn:
            me.pay()

    @kind
    def shops_abroad(name, goods, turn):
        me = new(name, ["jpy", "kwd", "kwd"][turn])
        for good in goods:
            me.add(*good)
        me.give_email()
        yield
        if turn == 2:
            me.address()
            me.pay()

    @kind
    def clicks_twice(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        twins = []
        for sku, count in goods[1:]:
            twin = new(name)
            twin.cart = me.cart
            twins.append(threading.Thread(target=quiet, args=(twin.add, sku, count)))
        for thread in twins:
            thread.start()
        for thread in twins:
            thread.join()
        yield
        me.look()
        me.give_email()

    @kind
    def completes_twice(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.address()
        me.choose_card(["good", "slow", "good"][turn])
        yield
        twin = new(name)
        twin.cart = me.cart
        thread = threading.Thread(target=quiet, args=(twin.call, "POST", f"/store/carts/{me.cart['id']}/complete", {}))
        thread.start()
        quiet(me.call, "POST", f"/store/carts/{me.cart['id']}/complete", {})
        thread.join()

    @kind
    def wanders(name, goods, turn):
        """Whatever comes to mind, by the seed."""
        chance = Random(str(goods))
        me = new(name)
        for step in range(12):
            have = [item["variant_sku"] for item in (me.cart or {}).get("items", [])]
            what = chance.choice(["add", "add", "add", "adjust", "remove", "email", "move", "decline", "rest"])
            if what == "add" or not have and what in ("adjust", "remove"):
                me.add(chance.choice(SKUS), chance.randint(1, 5))
            elif what == "adjust":
                me.adjust(chance.choice(have), chance.randint(0, 5))
            elif what == "remove":
                me.remove(chance.choice(have))
            elif what == "email" and me.cart:
                me.give_email(f"{name}.{step}@customers.example")
            elif what == "move" and me.cart:
                me.move(chance.choice(["eur", "jpy", "kwd"]))
            elif what == "decline" and have:
                me.give_email()
                me.address()
                me.pay("slow")
            elif what == "rest":
                yield

    @kind
    def keeps_ordering_more(name, goods, turn):
        me = new(name)
        for step in range(5):
            me.add(*goods[step % 3])
            me.look()
        me.give_email()
        yield
        for step in range(5):
            me.adjust(goods[step % 3][0], step + 1)
        yield
        me.remove(goods[0][0])
        me.add(*goods[0])

    return made


def quiet(call, *arguments):
    """A request that may lose a race inside the shop; what it leaves in its tables counts, not its answer."""
    try:
        call(*arguments)
    except web.Refused:
        pass

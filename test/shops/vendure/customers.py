"""The customers of the Vendure: each a generator over its shop API. What lies between two
yields happens in one round, overlapping with what all other customers do in it."""

import threading
from random import Random
from zlib import crc32

import web

SKUS = ["TEA-1", "MUG-2", "POT-3", "SPN-4", "GFT-5"]

ERROR = "... on ErrorResult { errorCode message }"
ORDER = "... on Order { id code active state lines { id quantity productVariant { sku } } }"
ADDRESS = {"fullName": "Ada Müller", "streetLine1": "Street 1", "city": "Town", "postalCode": "12345", "countryCode": "DE"}


carts_of = {}       # session: the carts it had


class Customer:
    """One browser in the shop; its token is what the shop knows it by."""

    variants = {}
    secret = None       # of the shop's owner

    def __init__(self, port, name, channel=None):
        self.name = name
        self.email = f"{name}@customers.example"
        self.phone = f"+49 30 {crc32(name.encode()) % 10**8:08}"      # one phone, one person
        self.browser = web.Browser(port)
        self.channel = channel
        if channel:
            self.browser.headers["vendure-token"] = channel
        self.order = None

    def administer(self, query, **variables):
        answer = self.ask(query, "/admin-api", **variables)
        if "errorCode" in str(answer):
            raise web.Refused(query.split("(")[0], 200, str(answer))

    def ask(self, query, api="/shop-api", **variables):
        def keep(headers):
            token = headers.get("vendure-auth-token")
            if token:
                self.browser.headers["Authorization"] = f"Bearer {token}"
        answer = self.browser.call("POST", api, {"query": query, "variables": variables}, keep)
        if answer.get("errors"):
            raise web.Refused(query.split("(")[0], 200, str(answer["errors"]))
        return answer["data"]

    def do(self, query, allow=None, **variables):
        """A mutation that answers with an order; `allow` names the error that is expected instead."""
        (answer,) = self.ask(query, **variables).values()
        if answer.get("errorCode") and answer["errorCode"] != allow:
            raise web.Refused(self.name + " " + query.split("{")[1].split("(")[0].strip(), 200, str(answer))
        if allow and not answer.get("errorCode"):
            raise web.Refused(f"{self.name}: {allow} was expected", 200, str(answer))
        if "lines" in answer:
            self.order = answer
            carts_of.setdefault(self.name, set()).add(answer["id"])
        return answer

    def variant(self, sku):
        if not Customer.variants:
            found = self.ask("{ products(options: {take: 50}) { items { variants { id sku } } } }")["products"]["items"]
            Customer.variants.update({v["sku"]: v["id"] for product in found for v in product["variants"]})
        return Customer.variants[sku]

    def add(self, sku, quantity=1):
        return self.do("mutation ($v: ID!, $q: Int!) { addItemToOrder(productVariantId: $v, quantity: $q) { %s %s } }" % (ORDER, ERROR),
                       v=self.variant(sku), q=quantity)

    def line(self, sku):
        return next(l["id"] for l in self.order["lines"] if l["productVariant"]["sku"] == sku)

    def adjust(self, sku, quantity):
        return self.do("mutation ($l: ID!, $q: Int!) { adjustOrderLine(orderLineId: $l, quantity: $q) { %s %s } }" % (ORDER, ERROR),
                       l=self.line(sku), q=quantity)

    def remove(self, sku):
        return self.do("mutation ($l: ID!) { removeOrderLine(orderLineId: $l) { %s %s } }" % (ORDER, ERROR), l=self.line(sku))

    def clear(self):
        return self.do("mutation { removeAllOrderLines { %s %s } }" % (ORDER, ERROR))

    def look(self):
        """Also what a page load does: Vendure checks and may re-price the order."""
        self.order = self.ask("{ activeOrder { id code active state lines { id quantity productVariant { sku } } } }")["activeOrder"]
        if self.order:
            carts_of.setdefault(self.name, set()).add(self.order["id"])

    def give_email(self, email=None, first="Ada", last="O'Müller-李"):
        return self.do("mutation ($i: CreateCustomerInput!) { setCustomerForOrder(input: $i) { %s %s } }" % (ORDER, ERROR),
                       i={"emailAddress": email or self.email, "firstName": first, "lastName": last, "phoneNumber": self.phone})

    def address(self):
        self.do("mutation ($i: CreateAddressInput!) { setOrderShippingAddress(input: $i) { %s %s } }" % (ORDER, ERROR),
                i=dict(ADDRESS, countryCode="JP" if self.channel else "DE"))
        methods = self.ask("{ eligibleShippingMethods { id } }")["eligibleShippingMethods"]
        self.do("mutation ($m: [ID!]!) { setOrderShippingMethod(shippingMethodId: $m) { %s %s } }" % (ORDER, ERROR), m=[methods[0]["id"]])

    def go(self, state):
        return self.do("mutation ($s: String!) { transitionOrderToState(state: $s) { %s ... on OrderStateTransitionError "
                       "{ errorCode message transitionError } } }" % ORDER, s=state)

    def checkout(self):
        self.address()
        self.go("ArrangingPayment")

    def pay(self, card="good"):
        metadata = {"good": {}, "bad": {"shouldDecline": True}, "broken": {"shouldError": True}}[card]
        allow = {"good": None, "bad": "PAYMENT_DECLINED_ERROR", "broken": "PAYMENT_FAILED_ERROR"}[card]
        return self.do("mutation ($i: PaymentInput!) { addPaymentToOrder(input: $i) { %s %s } }" % (ORDER, ERROR), allow,
                       i={"method": "card", "metadata": metadata})

    def register(self, password="correct horse"):
        answer = self.ask("mutation ($i: RegisterCustomerInput!) { registerCustomerAccount(input: $i) { __typename %s } }" % ERROR,
                          i={"emailAddress": self.email, "firstName": "Reg", "lastName": "Istered", "password": password})
        if answer["registerCustomerAccount"]["__typename"] != "Success":
            raise web.Refused("register", 200, str(answer))

    def login(self, email=None, password="correct horse"):
        answer = self.ask("mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { __typename %s } }" % ERROR,
                          u=email or self.email, p=password)
        if answer["login"]["__typename"] != "CurrentUser":
            raise web.Refused("login", 200, str(answer))
        self.look()

    def logout(self):
        self.ask("mutation { logout { success } }")


def customers(port, random):
    """All sessions: (name, generator). Three of each kind, with other goods and quantities."""
    made = []

    def kind(function):
        for turn in range(3):
            name = f"{function.__name__}{turn}".replace("_", "-")
            goods = random.sample(SKUS[:4], 3)
            counts = [random.randint(1, 9) for _ in goods]
            made.append((name, function(name, list(zip(goods, counts)), turn)))

    def new(name, channel=None):
        return Customer(port, name, channel)

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
        me.remove(goods[0][0]) if turn else me.clear()

    @kind
    def empties_and_refills(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.add(*goods[1])
        me.give_email()
        yield
        me.clear()
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
        me.checkout()
        if turn == 2:
            yield
        me.pay()

    @kind
    def buys_twice(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.checkout()
        me.pay()
        if turn:
            yield
        me.add(*goods[1])
        me.give_email()
        yield
        if turn == 2:
            me.checkout()
            me.pay()

    @kind
    def is_declined_and_leaves(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.checkout()
        me.pay(["bad", "broken", "bad"][turn])
        yield
        if turn == 2:
            me.go("AddingItems")
            me.add(*goods[1])

    @kind
    def is_declined_and_buys(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.checkout()
        me.pay("bad")
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
        me.checkout()
        yield
        if turn:
            me.go("AddingItems")
            me.adjust(goods[0][0], 5)
        yield
        if turn == 2:
            me.go("ArrangingPayment")

    @kind
    def logs_in_with_a_cart(name, goods, turn):
        me = new(name)
        me.register()
        me.add(*goods[0])
        yield
        me.login()
        yield
        if turn:
            me.checkout()
            me.pay()

    @kind
    def logs_in_and_merges(name, goods, turn):
        before = new(name)
        before.register()
        before.login()
        before.add(*goods[0])
        if turn:
            before.add(*goods[1])
        yield
        now = new(name)
        now.add(*goods[1])
        now.add(*goods[2])
        yield
        now.login()
        yield
        if turn == 2:
            now.checkout()
            now.pay()

    @kind
    def logs_out(name, goods, turn):
        me = new(name)
        me.register()
        me.login()
        me.add(*goods[0])
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
        buyer.checkout()
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
        me.give_email(f"{name}.Right@Customers.Example", "Grace", "Hopper")
        if turn:
            me.checkout()

    @kind
    def shops_in_yen(name, goods, turn):
        me = new(name, "japan")
        me.add(*goods[0])
        me.add(*goods[1])
        me.give_email()
        yield
        if turn:
            me.remove(goods[0][0])
        if turn == 2:
            me.checkout()
            me.pay()

    @kind
    def clicks_twice(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        twins = []
        for sku, count in goods[1:]:
            twin = new(name)
            twin.browser.headers.update(me.browser.headers)
            twins.append(threading.Thread(target=quiet, args=(twin.add, sku, count)))
        for thread in twins:
            thread.start()
        for thread in twins:
            thread.join()
        yield
        me.look()
        me.give_email()

    @kind
    def is_cancelled_by_the_shop(name, goods, turn):
        me = new(name)
        me.add(*goods[0])
        me.give_email()
        me.checkout()
        me.pay()
        number = me.order["id"]
        yield
        owner = new(name)
        owner.administer("mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { __typename } }",
                         u="owner", p=Customer.secret)
        owner.administer("mutation ($o: ID!) { cancelOrder(input: {orderId: $o, reason: \"sold out\"}) { __typename ... on ErrorResult "
                         "{ errorCode message } } }", o=number)
        if turn:
            me.add(*goods[1])

    @kind
    def wanders(name, goods, turn):
        """Whatever comes to mind, by the seed."""
        chance = Random(str(goods))
        me = new(name)
        for step in range(16):
            have = [l["productVariant"]["sku"] for l in (me.order or {}).get("lines", [])]
            what = chance.choice(["add", "add", "add", "adjust", "remove", "clear", "email", "look", "rest"])
            if what == "add" or what in ("adjust", "remove") and not have:
                me.add(chance.choice(SKUS), chance.randint(1, 5))
            elif what == "adjust":
                me.adjust(chance.choice(have), chance.randint(0, 5))
            elif what == "remove":
                me.remove(chance.choice(have))
            elif what == "clear" and have:
                me.clear()
            elif what == "email" and me.order:
                me.give_email(f"{name}.{step}@customers.example")
            elif what == "look":
                me.look()
            elif what == "rest":
                yield

    @kind
    def keeps_ordering_more(name, goods, turn):
        me = new(name)
        for round_ in range(5):
            me.add(*goods[round_ % 3])
            me.look()
        me.give_email()
        yield
        for round_ in range(5):
            me.adjust(goods[round_ % 3][0], round_ + 1)
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

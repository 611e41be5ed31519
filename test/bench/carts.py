"""The carts that the benchmark captures: three lines, about 850 bytes as jsonb."""

import csv
import json
import random

SHOP = "https://shop.example"
VARIANTS = ["Black / S", "Black / M", "White / L", "Navy / 42", "Sand / One size"]


def read_catalog(path):
    """Products that have a category: about one in three of the shop's."""
    with open(path, encoding="utf-8", newline="") as file:
        return [product for product in csv.DictReader(file) if product["category"]]


def session(i):
    return f"5f0c9a7e-{i:08d}"


class Carts:
    """n sessions with three products each, whose quantities change from one capture to the next."""

    def __init__(self, catalog, n, seed=1):
        self.random = random.Random(seed)
        self.carts = [[self.line(product) for product in self.random.sample(catalog, 3)] for _ in range(n)]

    def line(self, product):
        sku = product["sku"]
        return {
            "sku": sku,
            "name": product["name"],
            "quantity": self.random.randint(1, 9),
            "unit_price": product["unit_price"],
            "product_id": str(int(sku) * 7919 % 10**10),
            "variant": self.random.choice(VARIANTS),
            "image_url": f"{SHOP}/media/{product['category'].replace('.', '/')}/{sku}.jpg",
            "url": f"{SHOP}/products/{sku}",
        }

    def change(self, i):
        """The cart of session i after the next click, as JSON.stringify writes it."""
        line = self.random.choice(self.carts[i])
        line["quantity"] = line["quantity"] % 9 + 1
        return json.dumps(self.carts[i], ensure_ascii=False, separators=(",", ":"))

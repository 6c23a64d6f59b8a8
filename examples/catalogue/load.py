"""Loads products in categories, with their stock."""

from __future__ import annotations

from random import Random

from catalogue import system
from frame.client import Client, put_all
from frame.draw import Zipf

PRODUCTS = Zipf(400)
CATEGORIES = Zipf(20)


def sku(random: Random) -> str:
    return f"sku-{PRODUCTS.draw(random)}"


def category(random: Random) -> str:
    return f"category-{CATEGORIES.draw(random)}"


def load(db: Client, random: Random) -> None:
    system.create(db)
    products = [
        {
            "sku": f"sku-{number}",
            "category": f"category-{number % 20}",
            "title": f"Product {number}",
            "price": random.randrange(100, 10_000),
            "description": "description " * random.randrange(20, 80),
        }
        for number in range(400)
    ]
    put_all(db, system.PRODUCTS, products)
    put_all(db, system.STOCK, ({"sku": product["sku"], "pieces": random.randrange(50, 200)} for product in products))
    put_all(db, system.CATEGORIES, ({"category": f"category-{number}", "title": f"Category {number}"} for number in range(20)))

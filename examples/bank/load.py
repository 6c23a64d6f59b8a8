"""Loads accounts, shops and products."""

from __future__ import annotations

from random import Random

from bank import system
from frame.client import Client, put_all
from frame.draw import Zipf

CUSTOMERS = Zipf(200)
SHOPS = 10
PRODUCTS = Zipf(100)


def customer(random: Random) -> str:
    return f"customer-{CUSTOMERS.draw(random)}"


def product(random: Random) -> str:
    return f"product-{PRODUCTS.draw(random)}"


def shop_of(name: str) -> str:
    return f"shop-{int(name.rpartition('-')[2]) % SHOPS}"


def load(db: Client, random: Random) -> None:
    system.create(db)
    names = [*(f"customer-{number}" for number in range(200)), *(f"shop-{number}" for number in range(SHOPS))]
    put_all(db, system.TABLE, (system.account_item(name, 100_000) for name in names))
    products = (system.product_item(f"product-{number}", random.randrange(1, 100) * 100, 1000) for number in range(100))
    put_all(db, system.TABLE, products)

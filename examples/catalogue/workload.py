"""Visitors look at products, listings and wish lists. One operation in twelve is a sale, one in fifty a new price."""

from __future__ import annotations

from catalogue import system
from catalogue.load import category, sku
from frame.client import Client
from frame.turn import Mix, Turn


def show_product(db: Client, turn: Turn) -> None:
    shown = sku(turn.random)
    system.product(db, shown)
    system.stock(db, shown)


def show_category(db: Client, turn: Turn) -> None:
    system.categories(db)
    system.cheapest(db, category(turn.random))


def show_wish_list(db: Client, turn: Turn) -> None:
    system.products(db, [sku(turn.random) for _ in range(12)])


def sell(db: Client, turn: Turn) -> None:
    system.sell(db, sku(turn.random))


def change_price(db: Client, turn: Turn) -> None:
    """Up or down by a tenth, from the price that was seen."""
    found = system.product(db, sku(turn.random))
    if found:
        system.change_price(db, found["sku"], found["price"], round(found["price"] * turn.random.choice([9, 11]) / 10))


def describe(db: Client, turn: Turn) -> None:
    system.describe(db, sku(turn.random), f"description {turn.number}")


MIX: Mix = {show_product: 45, show_category: 28, show_wish_list: 15, sell: 8, change_price: 2, describe: 2}

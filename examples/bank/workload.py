"""People look at products, balances and statements; one operation in ten moves money."""

from __future__ import annotations

from contextlib import suppress

from bank import system
from bank.load import customer, product, shop_of
from frame.client import Client
from frame.turn import Mix, Turn


def look_at_product(db: Client, turn: Turn) -> None:
    system.product(db, product(turn.random))


def look_at_account(db: Client, turn: Turn) -> None:
    name = customer(turn.random)
    system.balance(db, name)
    system.statement(db, name)


def transfer(db: Client, turn: Turn) -> None:
    payer, payee = customer(turn.random), customer(turn.random)
    if payer != payee:
        with suppress(system.Refused):
            system.transfer(db, f"transfer-{turn.number}", turn.number, payer, payee, turn.random.randrange(1, 5_000))


def buy(db: Client, turn: Turn) -> None:
    """At the price that the cache shows, which the transaction compares."""
    name = product(turn.random)
    price = int(system.product(db, name)["price"])
    with suppress(system.Refused):
        system.buy(db, f"buy-{turn.number}", turn.number, customer(turn.random), shop_of(name), name, price)


MIX: Mix = {look_at_product: 50, look_at_account: 40, transfer: 5, buy: 5}

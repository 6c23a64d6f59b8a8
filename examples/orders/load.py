"""Loads orders of many customers, most of them delivered."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from orders import system

CUSTOMERS = Zipf(200, 0.5)
ORDERS = 2000
WAITING = 150
"""The newest orders, which are not delivered yet."""


def customer(random: Random) -> str:
    return f"customer-{CUSTOMERS.draw(random)}"


def number(count: int) -> str:
    return f"order-{count}"


def placed_at(count: int) -> str:
    return (datetime(2026, 1, 1) + timedelta(seconds=count)).isoformat()


def total(random: Random) -> Decimal:
    return Decimal(random.randrange(500, 50_000)) / 100


def load(db: Client, random: Random) -> None:
    system.create(db)
    put_all(db, system.TABLE, (_order(count, random) for count in range(ORDERS)))


def _order(count: int, random: Random) -> system.Order:
    order = system.new_order(number(count), customer(random), placed_at(count), total(random))
    if count < ORDERS - WAITING:
        del order["status"]
    else:
        order["status"] = random.choice(system.STATUSES)
    return order

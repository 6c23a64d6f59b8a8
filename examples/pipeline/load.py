"""Loads orders into both tables, as if the move had come to the step at which reads are from the new one."""

from __future__ import annotations

from random import Random

from frame.client import Client
from frame.draw import Zipf
from pipeline import system

CUSTOMERS = Zipf(60)
ORDERS = 400


def customer(random: Random) -> str:
    return f"customer-{CUSTOMERS.draw(random)}"


def cents(random: Random) -> int:
    return random.randrange(100, 50_000)


def load(db: Client, random: Random) -> None:
    system.create(db)
    orders = [
        {"customer": customer(random), "number": f"number-{number:05}", "version": 1, "cents": cents(random)}
        for number in range(ORDERS)
    ]
    for table in (system.OLD, system.NEW):
        system.write_all(db, table, orders)
    system.sum_up(db, system.OLD)
    system.switch(db, "new")

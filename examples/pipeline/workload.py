"""Live traffic while both tables are written and the new one is read. Now and then the pipeline runs beside it."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from pipeline import system
from pipeline.load import ORDERS, cents, customer


def list_orders(db: Client, turn: Turn) -> None:
    """A customer's orders, and one of them."""
    orders = system.orders_of(db, customer(turn.random))
    if orders:
        chosen = turn.random.choice(orders)
        system.order(db, chosen["customer"], chosen["number"])


def show_total(db: Client, turn: Turn) -> None:
    system.total_of(db, customer(turn.random))


def place(db: Client, turn: Turn) -> None:
    number = f"number-{ORDERS + turn.number:05}"
    system.save(db, {"customer": customer(turn.random), "number": number, "version": 1, "cents": cents(turn.random)})


def change(db: Client, turn: Turn) -> None:
    """Changes the newest order of a customer, from the version that was seen."""
    for found in system.orders_of(db, customer(turn.random))[-1:]:
        system.save(db, found | {"version": found["version"] + 1, "cents": cents(turn.random)})


def sum_up(db: Client, turn: Turn) -> None:
    system.sum_up(db, system.NEW)


MIX: Mix = {list_orders: 50, show_total: 38, place: 5, change: 6, sum_up: 1}

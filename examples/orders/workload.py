"""Customers look at their orders, the warehouse at its lists; one operation in eight places or moves an order."""

from __future__ import annotations

from frame.client import Client
from frame.draw import Zipf
from frame.turn import Mix, Turn
from orders import system
from orders.load import ORDERS, customer, number, placed_at, total

RECENT = Zipf(600)
"""The newest orders are looked at most."""


def look_at_order(db: Client, turn: Turn) -> None:
    system.order(db, number(ORDERS - 1 - RECENT.draw(turn.random)))


def look_at_own_orders(db: Client, turn: Turn) -> None:
    system.orders_of(db, customer(turn.random))


def look_at_list(db: Client, turn: Turn) -> None:
    system.waiting(db, turn.random.choice(system.STATUSES))


def place(db: Client, turn: Turn) -> None:
    count = ORDERS + turn.number
    system.place(db, number(count), customer(turn.random), placed_at(count), total(turn.random))


def work(db: Client, turn: Turn) -> None:
    """Takes an order off a list, and moves it on."""
    status = turn.random.choice(system.STATUSES)
    orders = system.waiting(db, status)
    if orders:
        system.advance(db, orders[turn.random.randrange(len(orders))]["id"], status)


MIX: Mix = {look_at_order: 45, look_at_own_orders: 35, look_at_list: 8, place: 6, work: 6}

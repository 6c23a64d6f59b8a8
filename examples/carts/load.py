"""Loads customers with sessions and carts."""

from __future__ import annotations

import time
from random import Random

from carts import system
from frame.client import Client, put_all
from frame.draw import Zipf

NOW = int(time.time())
"""One moment for the whole run, so that the workload does the same with and without the cache."""

SESSIONS = Zipf(300)
CUSTOMERS = 150
SKUS = Zipf(200)


def session(random: Random) -> int:
    return SESSIONS.draw(random)


def customer(session: int) -> str:
    """Every customer has two sessions: a phone and a laptop."""
    return f"customer-{session % CUSTOMERS}"


def sku(random: Random) -> str:
    return f"sku-{SKUS.draw(random)}"


def load(db: Client, random: Random) -> None:
    system.create(db)
    # Some are in the second half of their life.
    left = [random.randrange(system.LIFE * 2 // 5, system.LIFE) for _ in range(300)]
    sessions = ({"id": f"session-{n}", "customer": customer(n), "expires": NOW + seconds} for n, seconds in enumerate(left))
    put_all(db, system.SESSIONS, sessions)
    lines = {(customer(number), sku(random)): 1 for number in range(CUSTOMERS) for _ in range(5)}
    put_all(db, system.CARTS, ({"cart": cart, "sku": sku, "quantity": quantity} for (cart, sku), quantity in lines.items()))

"""Every request reads its session. One in five looks at a cart, and one in eight changes one."""

from __future__ import annotations

from carts import system
from carts.load import NOW, customer, session, sku
from frame.client import Client
from frame.turn import Mix, Turn


def browse(db: Client, turn: Turn) -> None:
    _session(db, turn)


def view_cart(db: Client, turn: Turn) -> None:
    system.cart_of(db, _session(db, turn))


def add(db: Client, turn: Turn) -> None:
    system.add(db, _session(db, turn), sku(turn.random))


def remove(db: Client, turn: Turn) -> None:
    """Takes the first line out of the cart, as seen on the page of the cart."""
    cart = _session(db, turn)
    for found in list(system.cart_of(db, cart))[:1]:
        system.remove(db, cart, found)


def visit_and_sign_in(db: Client, turn: Turn) -> None:
    """A visitor fills a cart before the customer's name is known."""
    visitor, name = f"visitor-{turn.number}", customer(session(turn.random))
    system.start_session(db, visitor, NOW)
    for _ in range(2):
        system.add(db, visitor, sku(turn.random))
    system.sign_in(db, visitor, name, NOW)
    system.cart_of(db, name)


def list_sessions(db: Client, turn: Turn) -> None:
    system.sessions_of(db, customer(session(turn.random)))


def _session(db: Client, turn: Turn) -> str:
    """Reads and extends a session, as every request does, and returns its customer."""
    found = system.session_of(db, f"session-{session(turn.random)}", NOW)
    assert found is not None, "sessions of the load live longer than the run"
    system.touch(db, found, NOW)
    return found["customer"]


MIX: Mix = {browse: 62, view_cart: 20, add: 10, remove: 2, visit_and_sign_in: 2, list_sessions: 4}

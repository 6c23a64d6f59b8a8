"""Everybody looks at counts and maps; one operation in nine is a like or a booking."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from seats import system
from seats.load import SEATS, post, show, user


def look_at_post(db: Client, turn: Turn) -> None:
    """Its count, and whether the user likes it."""
    shown = post(turn.random)
    system.likes(db, shown)
    system.likes_it(db, shown, user(turn.random))


def like(db: Client, turn: Turn) -> None:
    system.like(db, post(turn.random), user(turn.random))


def look_at_seats(db: Client, turn: Turn) -> None:
    system.seat_map(db, show(turn.random))


def book(db: Client, turn: Turn) -> None:
    """Some seats are sold meanwhile, and then the condition fails."""
    system.book(db, show(turn.random), turn.random.choice(SEATS), user(turn.random))


MIX: Mix = {look_at_post: 45, look_at_seats: 44, like: 7, book: 4}

"""People open channels and scroll back; one operation in five is a message or a mark of what was read."""

from __future__ import annotations

from chat import system
from chat.load import MESSAGES_A_DAY, TODAY, channel, org, text, user
from frame.client import Client
from frame.turn import Mix, Turn

NOW = TODAY * system.DAY + MESSAGES_A_DAY


def open_channel(db: Client, turn: Turn) -> None:
    system.messages(db, org(turn.random), channel(turn.random), TODAY)


def scroll_back(db: Client, turn: Turn) -> None:
    place = org(turn.random), channel(turn.random)
    for days_ago in range(1, turn.random.randint(2, 3)):
        system.messages(db, *place, TODAY - days_ago)


def open_sidebar(db: Client, turn: Turn) -> None:
    """The channels of a user, and how far she has read in each."""
    place, reader = org(turn.random), user(turn.random)
    system.read_until(db, place, reader, system.channels(db, place, reader))


def send(db: Client, turn: Turn) -> None:
    system.send(db, org(turn.random), channel(turn.random), user(turn.random), NOW + turn.number, text(turn.random))


def mark_read(db: Client, turn: Turn) -> None:
    system.mark_read(db, org(turn.random), channel(turn.random), user(turn.random), NOW + turn.number)


def join(db: Client, turn: Turn) -> None:
    system.join(db, org(turn.random), channel(turn.random), user(turn.random))


MIX: Mix = {open_channel: 40, scroll_back: 15, open_sidebar: 25, send: 12, mark_read: 7, join: 1}

"""Loads organisations with channels, members, and three days of messages."""

from __future__ import annotations

from random import Random

from chat import system
from frame.client import Client, put_all
from frame.draw import Zipf

ORGS = Zipf(12)
CHANNELS = Zipf(6)
USERS = 20
JOINED = 3
TODAY = 20_000
MESSAGES_A_DAY = 800


def org(random: Random) -> str:
    return f"org-{ORGS.draw(random)}"


def channel(random: Random) -> str:
    return f"channel-{CHANNELS.draw(random)}"


def user(random: Random) -> str:
    return f"user-{random.randrange(USERS)}"


def text(random: Random) -> str:
    return " ".join(random.choices(["ship", "review", "lunch", "build", "green", "red", "later", "thanks"], k=15))


def load(db: Client, random: Random) -> None:
    system.create(db)
    times = [day * system.DAY + second for day in range(TODAY - 2, TODAY + 1) for second in range(MESSAGES_A_DAY)]
    sent = (system.message_item(org(random), channel(random), user(random), at, text(random)) for at in times)
    put_all(db, system.TABLE, sent)
    joined = {
        (f"org-{number}", channel(random), f"user-{member}")
        for number in range(12)
        for member in range(USERS)
        for _ in range(JOINED)
    }
    put_all(db, system.TABLE, (system.membership_item(*names) for names in sorted(joined)))

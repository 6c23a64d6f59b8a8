"""Loads players with their scores in a few games. Few are good: one score in thirty is in the highest tier."""

from __future__ import annotations

from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from leaderboards import system

GAMES = Zipf(5)
PLAYERS = 150


def game(random: Random) -> str:
    return f"game-{GAMES.draw(random)}"


def player(random: Random) -> str:
    return f"player-{random.randrange(PLAYERS)}"


def score(random: Random) -> int:
    return int(10_000 * random.random() ** 3)


def load(db: Client, random: Random) -> None:
    system.create(db)
    scores = [
        system.score_item(f"game-{number}", f"player-{who}", score(random)) for number in range(5) for who in range(PLAYERS)
    ]
    put_all(db, system.SCORES, scores)

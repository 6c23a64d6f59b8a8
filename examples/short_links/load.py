"""Loads links, half of them for each of the two ways to count clicks."""

from __future__ import annotations

from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from short_links import system

LINKS = Zipf(400)
OWNERS = 40


def link(random: Random) -> int:
    return LINKS.draw(random)


def owner(way: str, link: int) -> str:
    return f"{way}-owner-{link % OWNERS}"


def load(db: Client, random: Random) -> None:
    system.create(db)
    links = [
        {
            "code": f"{way}-{number}",
            "target": f"https://example.com/{way}/{number}/" + "x" * random.randrange(100),
            "owner": owner(way, number),
            "created": f"2026-01-{1 + number % 28:02}",
        }
        for way in ("beside", "inside")
        for number in range(400)
    ]
    put_all(db, system.LINKS, links)

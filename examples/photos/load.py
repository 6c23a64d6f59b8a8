"""Loads users who follow a few authors, and photos that are in the feeds of the followers already."""

from __future__ import annotations

from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from photos import system

AUTHORS = Zipf(60)
USERS = Zipf(200, 0.7)
FOLLOWED = 4
POSTS = 150


def author(random: Random) -> str:
    return f"user-{AUTHORS.draw(random)}"


def user(random: Random) -> str:
    return f"user-{USERS.draw(random)}"


def load(db: Client, random: Random) -> None:
    system.create(db)
    names = [f"user-{number}" for number in range(200)]
    put_all(db, system.PHOTOS, (system.profile_item(name, "about " * 10) for name in names))
    followers: dict[str, set[str]] = {}
    for name in names:
        for _ in range(FOLLOWED):
            followers.setdefault(author(random), set()).add(name)
    edges = [system.follow_item(name, followed) for followed, those in followers.items() for name in sorted(those)]
    put_all(db, system.PHOTOS, edges)
    posters = [author(random) for _ in range(POSTS)]
    put_all(db, system.PHOTOS, (system.photo_item(poster, at, "caption " * 10) for at, poster in enumerate(posters)))
    feeds = (system.feed_items(sorted(followers.get(poster, ())), poster, at) for at, poster in enumerate(posters))
    put_all(db, system.PHOTOS, (item for items in feeds for item in items))

"""Loads authors with posts, and readers who follow a few of them."""

from __future__ import annotations

from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from microblog import system

AUTHORS = Zipf(200)
TAGS = Zipf(20)
READERS = 300
FOLLOWED = 4
POSTS = 1500


def author(random: Random) -> str:
    return f"author-{AUTHORS.draw(random)}"


def tag(random: Random) -> str:
    return f"tag-{TAGS.draw(random)}"


def reader(random: Random) -> str:
    return f"reader-{random.randrange(READERS)}"


def text(random: Random) -> str:
    return " ".join(random.choices(["cache", "table", "key", "page", "write", "read", "hit", "miss"], k=25))


def load(db: Client, random: Random) -> None:
    system.create(db)
    posts = [item for at in range(POSTS) for item in system.items_of(author(random), at, text(random), [tag(random)])]
    put_all(db, system.TABLE, posts)
    follows = {(f"READER#reader-{number}", author(random)) for number in range(READERS) for _ in range(FOLLOWED)}
    put_all(db, system.TABLE, ({"pk": pk, "sk": sk} for pk, sk in sorted(follows)))

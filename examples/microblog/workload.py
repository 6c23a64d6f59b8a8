"""Readers look at timelines most of the time; one operation in twelve is a new post."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from microblog import system
from microblog.load import POSTS, author, reader, tag, text


def read_home(db: Client, turn: Turn) -> None:
    system.home_timeline(db, reader(turn.random))


def read_author(db: Client, turn: Turn) -> None:
    """Opens the author's newest posts, and one of them."""
    posts = system.author_timeline(db, author(turn.random))
    if posts:
        chosen = posts[0]
        system.post(db, chosen["author"], int(chosen["at"]))


def read_tag(db: Client, turn: Turn) -> None:
    system.tag_timeline(db, tag(turn.random))


def publish(db: Client, turn: Turn) -> None:
    system.publish(db, author(turn.random), POSTS + turn.number, text(turn.random), [tag(turn.random)])


def follow(db: Client, turn: Turn) -> None:
    system.follow(db, reader(turn.random), author(turn.random))


MIX: Mix = {read_home: 40, read_author: 35, read_tag: 15, publish: 8, follow: 2}

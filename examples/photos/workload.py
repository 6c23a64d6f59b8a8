"""Users look at authors and at feeds, made in both ways. One operation in 25 is a new photo, and half of those are pushed as well."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from photos import system
from photos.load import POSTS, author, user


def pull_feed(db: Client, turn: Turn) -> None:
    system.pulled_feed(db, user(turn.random))


def push_feed(db: Client, turn: Turn) -> None:
    system.pushed_feed(db, user(turn.random))


def look(db: Client, turn: Turn) -> None:
    """Opens an author's page, and the likes of the newest photo."""
    name = author(turn.random)
    for photo in system.photos_of(db, name)[:1]:
        system.likes_of(db, name, int(photo["sk"]))


def show_profile(db: Client, turn: Turn) -> None:
    system.profile(db, user(turn.random))


def like(db: Client, turn: Turn) -> None:
    name = author(turn.random)
    for photo in system.photos_of(db, name)[:1]:
        system.like(db, user(turn.random), name, int(photo["sk"]))


def post(db: Client, turn: Turn) -> None:
    system.post(db, author(turn.random), POSTS + turn.number, "caption " * 10)


def post_and_push(db: Client, turn: Turn) -> None:
    name, at = author(turn.random), POSTS + turn.number
    system.post(db, name, at, "caption " * 10)
    system.push(db, name, at)


def follow(db: Client, turn: Turn) -> None:
    system.follow(db, user(turn.random), author(turn.random))


MIX: Mix = {pull_feed: 16, push_feed: 16, look: 35, show_profile: 20, like: 8, post: 2, post_and_push: 2, follow: 1}

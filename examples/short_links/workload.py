"""Clicks, and now and then an owner who looks at the links: the same for links that count beside and inside themselves."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from short_links import system
from short_links.load import link, owner


def follow_beside(db: Client, turn: Turn) -> None:
    system.follow(db, f"beside-{link(turn.random)}", turn.random.randrange(system.SHARDS))


def follow_inside(db: Client, turn: Turn) -> None:
    system.follow_counting_inside(db, f"inside-{link(turn.random)}")


def preview(db: Client, turn: Turn) -> None:
    """A messenger that shows where a link leads to: no click."""
    system.target_of(db, f"beside-{link(turn.random)}")


def guess(db: Client, turn: Turn) -> None:
    system.target_of(db, f"unknown-{link(turn.random)}")


def overview_beside(db: Client, turn: Turn) -> None:
    """An owner's links, and the clicks of the newest."""
    for found in system.links_of(db, owner("beside", link(turn.random)))[:1]:
        system.clicks_of(db, found["code"])


def overview_inside(db: Client, turn: Turn) -> None:
    system.links_of(db, owner("inside", link(turn.random)))


def shorten(db: Client, turn: Turn) -> None:
    system.shorten(db, f"new-{turn.number}", "https://example.com/new", owner("beside", link(turn.random)), "2026-02-01")


MIX: Mix = {
    follow_beside: 30,
    follow_inside: 30,
    preview: 15,
    guess: 4,
    overview_beside: 10,
    overview_inside: 10,
    shorten: 1,
}

"""Loads posts with some likes, and shows with free seats."""

from __future__ import annotations

from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from seats import system

POSTS = Zipf(200)
USERS = Zipf(150)
LIKES = 1500
SHOWS = Zipf(30)
SEATS = [f"{row}{number:02d}" for row in "ABCDE" for number in range(1, 13)]


def post(random: Random) -> str:
    return f"post-{POSTS.draw(random)}"


def user(random: Random) -> str:
    return f"user-{USERS.draw(random)}"


def show(random: Random) -> str:
    return f"show-{SHOWS.draw(random)}"


def load(db: Client, random: Random) -> None:
    system.create(db)
    likes = sorted({(post(random), user(random)) for _ in range(LIKES)})
    put_all(db, system.LIKES, ({"post": liked, "user": by} for liked, by in likes))
    counts = {liked: sum(1 for other, _ in likes if other == liked) for liked, _ in likes}
    put_all(db, system.LIKES, ({"post": liked, "user": system.COUNT, "likes": count} for liked, count in counts.items()))
    seats = ({"show": f"show-{number}", "seat": seat} for number in range(30) for seat in SEATS)
    put_all(db, system.SEATS, seats)

"""Dashboards look at the latest values and the last hours; one operation in six is a reading."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from sensors import system
from sensors.load import HOURS, KEPT_SECONDS, NOW, sensor, value


def look_at_dashboard(db: Client, turn: Turn) -> None:
    """One of ten dashboards, with six sensors each."""
    first = turn.random.randrange(10) * 6
    system.dashboard(db, [f"sensor-{number}" for number in range(first, first + 6)], NOW)


def look_at_latest(db: Client, turn: Turn) -> None:
    system.latest(db, sensor(turn.random), NOW)


def look_at_last_hour(db: Client, turn: Turn) -> None:
    system.history(db, sensor(turn.random), NOW - 3600, NOW + turn.number, NOW)


def look_at_all(db: Client, turn: Turn) -> None:
    system.history(db, sensor(turn.random), NOW - HOURS * 3600, NOW + turn.number, NOW)


def record(db: Client, turn: Turn) -> None:
    at = NOW + turn.number
    system.record(db, f"sensor-{turn.random.randrange(60)}", at, value(turn.random), at + KEPT_SECONDS)


MIX: Mix = {look_at_dashboard: 30, look_at_latest: 25, look_at_last_hour: 20, look_at_all: 8, record: 17}

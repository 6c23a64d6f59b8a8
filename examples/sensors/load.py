"""Loads a few hours of readings, one every five minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from sensors import system

SENSORS = Zipf(60)
HOURS = 6
EVERY_SECONDS = 300

NOW = int(time.time()) // system.BUCKET_SECONDS * system.BUCKET_SECONDS + system.BUCKET_SECONDS // 2
"""Half past some hour, so that each run has as full a bucket. Readings expire by the real time, hence close to it."""

KEPT_SECONDS = 7 * 86400


def sensor(random: Random) -> str:
    return f"sensor-{SENSORS.draw(random)}"


def value(random: Random) -> Decimal:
    return Decimal(random.randrange(150, 250)) / 10


def load(db: Client, random: Random) -> None:
    system.create(db)
    put_all(db, system.TABLE, _readings(random))


def _readings(random: Random) -> Iterator[system.Reading]:
    for number in range(60):
        name = f"sensor-{number}"
        for at in range(NOW - HOURS * 3600, NOW, EVERY_SECONDS):
            reading, latest = system.items_of(name, at, value(random), at + KEPT_SECONDS)
            yield reading
        yield latest

"""Every access pattern of the sensors, how fresh it is at another client, and that nothing expired is a hit."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from frame.check import World
from sensors import system

HOUR = system.BUCKET_SECONDS
NOW = int(time.time())
LATER = NOW + 86400


def a_reading_is_the_latest_at_another_client_at_once(world: World) -> None:
    def value() -> Any:
        reading = system.latest(world.there, "s1", NOW)
        return reading and reading["value"]

    assert world.warm(value) is None
    for at, degrees in ((1, Decimal("20.5")), (2, Decimal("21"))):
        system.record(world.here, "s1", at, degrees, LATER)
        assert value() == degrees
        assert world.hits(value) == degrees


def a_reading_shows_in_the_history_and_leaves_full_hours_in_memory(world: World) -> None:
    for hour in range(3):
        system.record(world.here, "s2", hour * HOUR + 10, Decimal(hour), LATER)

    def values() -> list[int]:
        return [int(reading["value"]) for reading in system.history(world.there, "s2", 0, 3 * HOUR, NOW)]

    assert world.warm(values) == [0, 1, 2]
    system.record(world.here, "s2", 2 * HOUR + 20, Decimal(7), LATER)
    sources = world.sources(lambda: system.history(world.there, "s2", 0, 3 * HOUR, NOW))
    assert [source == "hit" for source in sources] == ([False] * 3 if world.mode == "uncached" else [True, True, False])
    assert values() == [0, 1, 2, 7]


def a_history_that_ends_now_is_a_hit_a_second_later(world: World) -> None:
    for second in range(5):
        system.record(world.here, "s3", second, Decimal(second), LATER)
    assert len(world.warm(lambda: system.history(world.there, "s3", 0, 3, NOW))) == 3
    assert len(world.hits(lambda: system.history(world.there, "s3", 1, 5, NOW + 1))) == 4


def a_dashboard_fetches_only_what_has_changed(world: World) -> None:
    sensors = [f"d{number}" for number in range(4)]
    for sensor in sensors:
        system.record(world.here, sensor, 1, Decimal(1), LATER)

    def shown() -> dict[str, Decimal]:
        return system.dashboard(world.there, sensors, NOW)

    assert world.warm(shown) == dict.fromkeys(sensors, Decimal(1))
    system.record(world.here, "d2", 2, Decimal(2), LATER)
    sources = world.sources(shown)
    if world.mode == "cached":
        assert sources == ["hit=4,miss=0"], "the write has stored the item"
    if world.mode == "fleet":
        assert sources == ["hit=3,miss=1"]
    assert shown() == dict.fromkeys(sensors, Decimal(1)) | {"d2": Decimal(2)}


def a_reading_that_has_expired_is_never_a_hit(world: World) -> None:
    """Reads until well after the expiry. The reader passes a `now` of long ago, so that only the cache can leave the reading out."""
    expires = int(time.time()) + 2
    system.record(world.here, "s4", HOUR, Decimal(1), expires)

    def key() -> bool:
        return system.latest(world.there, "s4", 0) is not None

    def page() -> bool:
        return bool(system.history(world.there, "s4", HOUR, HOUR + 1, 0))

    for read in (key, page):
        assert world.warm(read), "it is a hit while it lives"
    while (begun := time.time()) < expires + 2:
        for read in (key, page):
            found: list[bool] = []
            sources = world.sources(lambda: found.append(read()))
            if begun >= expires + 1 and found[0]:
                assert sources != ["hit"], f"{read.__name__} was a hit {begun - expires:.3f} s after the expiry"


def an_expired_reading_is_left_out_before_it_is_deleted(world: World) -> None:
    system.record(world.here, "s5", HOUR, Decimal(1), LATER)
    assert system.latest(world.there, "s5", LATER - 1)
    assert not system.latest(world.there, "s5", LATER)
    assert not system.dashboard(world.there, ["s5"], LATER)
    assert not system.history(world.there, "s5", HOUR, HOUR + 1, LATER)

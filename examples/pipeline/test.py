"""The pipeline and each step of the move, beside writers at both clients."""

from __future__ import annotations

from typing import Any

from frame.check import World
from frame.client import Client
from pipeline import system


class Throttled:
    """A client whose BatchWriteItem takes at most `room` items of a request, as a throttled table does."""

    def __init__(self, db: Client, room: int) -> None:
        self._db, self._room = db, room

    def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> dict[str, Any]:
        ((table, requests),) = RequestItems.items()
        taken, left = requests[: self._room], requests[self._room :]
        if taken:
            self._db.batch_write_item(RequestItems={table: taken})
        return {"UnprocessedItems": {table: left} if left else {}}


def what_a_batch_leaves_unprocessed_is_written_after_all(world: World) -> None:
    rows: list[system.Order] = [{"customer": f"batch-{number}", "cents": number} for number in range(60)]
    requests = system.write_all(Throttled(world.here, 20), system.TOTALS, rows)  # type: ignore[arg-type]
    assert requests == 3
    assert [system.total_of(world.there, row["customer"]) for row in rows] == list(range(60))
    try:
        system.write_all(Throttled(world.here, 0), system.TOTALS, rows, attempts=3)  # type: ignore[arg-type]
    except RuntimeError as error:
        assert "60 are not written" in str(error)
    else:
        raise AssertionError("a table that takes nothing must be an error")


def a_parallel_scan_sums_every_order_once(world: World) -> None:
    _load(world.here, 80)
    assert world.warm(lambda: system.total_of(world.there, "customer-3")) == 0
    totals = system.sum_up(world.there, system.OLD)
    assert totals == {f"customer-{number}": sum(range(number, 80, 8)) for number in range(8)}
    assert world.misses(lambda: system.total_of(world.there, "customer-3")) == totals["customer-3"]


def an_order_is_fresh_in_each_step_and_the_switch_is_seen_at_once(world: World) -> None:
    version = 2
    assert world.warm(lambda: system.step_of(world.there)) == "old"
    for step in ("old", "both", "new", "done"):
        system.switch(world.here, step)
        assert system.step_of(world.there) == step
        if step == "both":
            system.backfill(world.here)
        assert (system.order(world.there, "customer-1", "n-01") or {})["version"] == version - 1
        assert system.save(world.here, _order(1, version))
        assert not system.save(world.there, _order(1, version)), "the same write again changes nothing"
        assert world.warm(lambda: system.order(world.there, "customer-1", "n-01")) == _order(1, version)
        assert [found["number"] for found in system.orders_of(world.there, "customer-1")][:2] == ["n-01", "n-09"]
        version += 1
    assert "miss" not in world.sources(lambda: system.step_of(world.there)) or world.mode == "uncached"
    _back_to_old(world.here)


def a_backfill_overwrites_nothing_newer_and_brings_nothing_back(world: World) -> None:
    _load(world.here, 40)
    system.switch(world.here, "both")

    def write() -> None:
        for number in range(0, 40, 2):
            assert system.save(world.there, _order(number, 100))
        for number in range(1, 40, 4):
            assert system.delete(world.there, f"customer-{number % 8}", f"n-{number:02}", 100)

    world.at_once(lambda: system.backfill(world.here), write)
    system.backfill(world.here)
    assert system.verify(world.there) == []
    system.switch(world.here, "new")
    for number in range(40):
        expected = 100 if number % 2 == 0 else None if number % 4 == 1 else 1
        found = system.order(world.there, f"customer-{number % 8}", f"n-{number:02}")
        assert (found["version"] if found else None) == expected, number
    _back_to_old(world.here)


def verification_finds_a_write_that_reached_one_table_only(world: World) -> None:
    _load(world.here, 16)
    system.backfill(world.here)
    assert system.verify(world.there) == []
    world.here.put_item(TableName=system.OLD, Item=_order(7, 2))
    assert world.bypasses(lambda: system.read_all(world.there, system.OLD, [_order(7, 1)])) == [_order(7, 2)]
    assert system.verify(world.there) == ["n-07"]
    assert system.backfill(world.here) == 1, "only that one is copied"
    assert system.verify(world.there) == []


def orders_of_one_customer_leave_those_of_others_in_memory(world: World) -> None:
    system.switch(world.here, "done")
    for number in range(16):
        system.save(world.here, _order(number, 200))
    world.warm(lambda: system.orders_of(world.there, "customer-1"))
    world.warm(lambda: system.orders_of(world.there, "customer-2"))
    system.save(world.here, _order(1, 201))
    assert world.misses(lambda: system.orders_of(world.there, "customer-1"))[0]["version"] == 201
    world.hits(lambda: system.orders_of(world.there, "customer-2"))


def _order(number: int, version: int) -> system.Order:
    return {"customer": f"customer-{number % 8}", "number": f"n-{number:02}", "version": version, "cents": number}


def _load(db: Client, count: int) -> None:
    """Empties both tables and fills the old one."""
    for table in (system.OLD, system.NEW):
        keys = [system.key_of(table, found) for found in system.scan(db, table)]
        for first in range(0, len(keys), 25):
            db.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": key}} for key in keys[first : first + 25]]})
    system.write_all(db, system.OLD, (_order(number, 1) for number in range(count)))


def _back_to_old(db: Client) -> None:
    db.delete_item(TableName=system.SWITCHES, Key={"switch": "migration"})

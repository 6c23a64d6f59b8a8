"""Every access pattern of the orders, and how fresh it is at another client."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from frame.check import World
from orders import system


def a_new_order_is_found_by_number_customer_and_status_at_once(world: World) -> None:
    def found() -> list[Any]:
        order = system.order(world.there, "a1")
        pages = system.orders_of(world.there, "ada"), system.waiting(world.there, "placed")
        return [order and order["id"], *("a1" in _ids(page) for page in pages)]

    assert world.warm(found) == [None, False, False]
    _place(world, "a1", "ada")
    assert found() == ["a1", True, True]
    assert world.hits(found) == ["a1", True, True]


def an_order_is_a_hit_where_it_was_placed(world: World) -> None:
    _place(world, "h1", "jan")
    assert world.hits(lambda: system.order(world.here, "h1"))


def an_order_number_is_used_once(world: World) -> None:
    _place(world, "b1", "bob")
    assert not system.place(world.there, "b1", "cyd", "2026-01-02", Decimal(1))
    assert world.warm(lambda: _order(world, "b1"))["customer"] == "bob"
    assert world.warm(lambda: system.orders_of(world.there, "cyd")) == []


def a_customers_newest_orders_come_first(world: World) -> None:
    for minute in range(system.PAGE + 3):
        _place(world, f"c{minute}", "dan", minute)
    assert _ids(world.warm(lambda: system.orders_of(world.there, "dan"))) == [f"c{minute}" for minute in range(22, 2, -1)]


def an_order_moves_from_list_to_list_and_leaves_the_last(world: World) -> None:
    _place(world, "d1", "eve")

    def lists() -> list[bool]:
        return ["d1" in _ids(system.waiting(world.there, status)) for status in system.STATUSES]

    for number, status in enumerate(system.STATUSES):
        assert world.warm(lists) == [number == place for place in range(len(system.STATUSES))]
        assert system.advance(world.here, "d1", status)
        assert not system.advance(world.there, "d1", status), "an order leaves a status once"
    assert lists() == [False, False, False]
    assert "status" not in world.warm(lambda: _order(world, "d1"))
    assert _ids(world.warm(lambda: system.orders_of(world.there, "eve"))) == ["d1"]


def a_move_leaves_the_lists_in_memory_that_it_does_not_concern(world: World) -> None:
    _place(world, "e1", "fay")
    _place(world, "e2", "gus")
    reads = (lambda: system.waiting(world.there, "packed"), lambda: system.orders_of(world.there, "gus"))
    for read in reads:
        world.warm(read)
    system.advance(world.here, "e1", "placed")
    for read in reads:
        if world.mode == "cached":
            # A node before a remote upstream invalidates whole indexes in its first minute.
            world.hits(read)
        read()
    assert system.orders_of(world.there, "fay")[0]["status"] == "paid"


def a_note_shows_with_the_order_and_leaves_the_list_without_notes_in_memory(world: World) -> None:
    _place(world, "f1", "hal")

    def note() -> list[Any]:
        return [_order(world, "f1").get("note"), system.orders_of(world.there, "hal")[0].get("note")]

    assert world.warm(note) == [None, None]
    world.warm(lambda: system.waiting(world.there, "placed"))
    system.annotate(world.here, "f1", "ring twice")
    assert note() == ["ring twice", "ring twice"]
    assert world.hits(note) == ["ring twice", "ring twice"]
    if world.mode == "cached":
        world.hits(lambda: system.waiting(world.there, "placed"))


def two_workers_never_take_the_same_order(world: World) -> None:
    for number in range(8):
        _place(world, f"g{number}", "ida")

    def takes(db) -> list[bool]:
        return [system.advance(db, f"g{number}", "placed") for number in range(8)]

    taken = world.at_once(lambda: takes(world.here), lambda: takes(world.there))
    assert all(one != other for one, other in zip(*taken)), f"each order is taken once: {taken}"
    assert {order["status"] for order in system.orders_of(world.there, "ida")} == {"paid"}


def _place(world: World, number: str, customer: str, minute: int = 0) -> None:
    assert system.place(world.here, number, customer, f"2026-01-01T00:{minute:02d}", Decimal("9.50"))


def _order(world: World, number: str) -> system.Order:
    order = system.order(world.there, number)
    assert order is not None, f"there is no order {number}"
    return order


def _ids(orders: list[system.Order]) -> list[Any]:
    return [order["id"] for order in orders]

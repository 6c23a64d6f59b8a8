"""Every access pattern of likes and seats, how fresh it is at another client, and who wins when many want the same."""

from __future__ import annotations

from frame.check import World
from seats import system

SEATS = ["A1", "A2", "A3", "A4"]


def a_like_counts_once_and_shows_at_once(world: World) -> None:
    def shown() -> tuple[int, bool]:
        return system.likes(world.there, "p1"), system.likes_it(world.there, "p1", "ada")

    assert world.warm(shown) == (0, False)
    assert system.like(world.here, "p1", "ada")
    assert world.misses(shown) == (1, True)
    world.hits(shown)
    assert not system.like(world.there, "p1", "ada"), "she likes it already"
    assert shown() == (1, True)
    assert system.unlike(world.here, "p1", "ada")
    assert shown() == (0, False)
    assert not system.unlike(world.there, "p1", "ada")
    assert shown() == (0, False)


def a_like_leaves_other_likes_in_memory(world: World) -> None:
    system.like(world.here, "p2", "bob")
    world.warm(lambda: system.likes_it(world.there, "p2", "bob"))
    world.warm(lambda: system.likes(world.there, "p3"))
    system.like(world.here, "p2", "cyd")
    assert world.hits(lambda: system.likes_it(world.there, "p2", "bob"))
    assert world.hits(lambda: system.likes(world.there, "p3")) == 0
    assert world.misses(lambda: system.likes(world.there, "p2")) == 2


def many_likes_at_once_are_all_counted(world: World) -> None:
    users = [f"user-{number}" for number in range(12)]

    def like_all(db: system.Client) -> int:
        return sum(system.like(db, "p4", user) for user in users)

    counted = world.at_once(*(lambda db=db: like_all(db) for db in (world.here, world.there, world.here, world.there)))
    assert sum(counted) == len(users), f"each like counts for one caller: {counted}"
    for db in (world.here, world.there):
        assert world.warm(lambda: system.likes(db, "p4")) == len(users)


def a_booking_shows_on_the_map_at_once_and_leaves_other_shows_in_memory(world: World) -> None:
    system.open_show(world.here, "s1", SEATS)
    system.open_show(world.here, "s2", SEATS)

    def shown() -> tuple[dict[str, str | None], str | None]:
        return system.seat_map(world.there, "s1"), system.guest_of(world.there, "s1", "A2")

    assert world.warm(shown) == (dict.fromkeys(SEATS), None)
    world.warm(lambda: system.seat_map(world.there, "s2"))
    assert system.book(world.here, "s1", "A2", "ada")
    assert world.misses(shown) == (dict.fromkeys(SEATS) | {"A2": "ada"}, "ada")
    world.hits(shown)
    world.hits(lambda: system.seat_map(world.there, "s2"))


def a_seat_is_a_hit_where_it_was_booked(world: World) -> None:
    system.open_show(world.here, "s6", SEATS)
    system.book(world.here, "s6", "A1", "ada")
    assert world.hits(lambda: system.guest_of(world.here, "s6", "A1")) == "ada"


def a_booking_that_is_rejected_invalidates_only_before_a_remote_upstream(world: World) -> None:
    system.open_show(world.here, "s7", SEATS)
    system.book(world.here, "s7", "A1", "ada")
    shown = world.warm(lambda: system.seat_map(world.there, "s7"))
    assert not system.book(world.there, "s7", "A1", "bob")
    if world.mode == "cached":
        world.hits(lambda: system.seat_map(world.there, "s7"))
    else:
        world.misses(lambda: system.seat_map(world.there, "s7"))
    assert system.seat_map(world.there, "s7") == shown


def a_sold_seat_is_not_sold_again_whatever_the_map_said(world: World) -> None:
    system.open_show(world.here, "s3", SEATS)
    assert world.warm(lambda: system.guest_of(world.there, "s3", "A1")) is None
    assert system.book(world.here, "s3", "A1", "ada")
    assert not system.book(world.there, "s3", "A1", "bob")
    assert system.guest_of(world.there, "s3", "A1") == "ada"
    assert not system.book(world.there, "s3", "Z9", "bob"), "there is no such seat"


def only_its_guest_gives_a_seat_back(world: World) -> None:
    system.open_show(world.here, "s4", SEATS)
    system.book(world.here, "s4", "A1", "ada")
    assert not system.give_back(world.there, "s4", "A1", "bob")
    assert world.warm(lambda: system.guest_of(world.there, "s4", "A1")) == "ada"
    assert system.give_back(world.here, "s4", "A1", "ada")
    assert system.guest_of(world.there, "s4", "A1") is None
    assert system.book(world.there, "s4", "A1", "bob")


def of_many_guests_who_want_the_same_seats_each_seat_has_one(world: World) -> None:
    """Each guest takes what the map shows as free, as people do, until nothing is."""
    seats = [f"B{number:02d}" for number in range(16)]
    system.open_show(world.here, "s5", seats)

    def buy(guest: str, db: system.Client) -> list[str]:
        mine: list[str] = []
        while free := [seat for seat, by in system.seat_map(db, "s5").items() if by is None]:
            if system.book(db, "s5", free[0], guest):
                mine.append(free[0])
        return mine

    places = (("ada", world.here), ("bob", world.there), ("cyd", world.here), ("dan", world.there))
    bought = world.at_once(*(lambda guest=guest, db=db: buy(guest, db) for guest, db in places))
    assert sorted(seat for mine in bought for seat in mine) == seats, f"each seat is sold once: {bought}"
    owners = {seat: guest for (guest, _), mine in zip(places, bought) for seat in mine}
    for db in (world.here, world.there):
        assert world.warm(lambda: system.seat_map(db, "s5")) == owners

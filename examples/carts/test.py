"""Every access pattern of sessions and carts, and how fresh it is at another client."""

from __future__ import annotations

import time
from typing import Any

from carts import system
from frame.check import World

NOW = int(time.time())


def a_session_is_read_from_memory_and_its_start_is_seen_at_once(world: World) -> None:
    def read() -> dict[str, Any] | None:
        return system.session_of(world.there, "s1", NOW)

    assert world.warm(read) is None, "its absence is cached"
    system.start_session(world.here, "s1", NOW)
    assert read() == {"id": "s1", "expires": NOW + system.LIFE}
    world.hits(read)


def a_session_is_extended_only_in_the_second_half_of_its_life(world: World) -> None:
    system.start_session(world.here, "s2", NOW)
    found = world.warm(lambda: system.session_of(world.there, "s2", NOW))
    assert found is not None
    assert not system.touch(world.here, found, NOW)
    world.hits(lambda: system.session_of(world.there, "s2", NOW))
    later = NOW + system.LIFE // 2
    assert system.touch(world.here, found, later)
    extended = system.session_of(world.there, "s2", later)
    assert extended is not None and extended["expires"] == later + system.LIFE


def an_expired_session_is_none_and_no_hit(world: World) -> None:
    def read() -> dict[str, Any] | None:
        return system.session_of(world.there, "s3", NOW)

    system.start_session(world.here, "s3", NOW - 2 * system.LIFE)
    assert read() is None
    # It may be there until it is removed, and the cache serves no item past its expiry.
    answer = world.there.get_item(TableName=system.SESSIONS, Key={"id": "s3"})
    assert "Item" not in answer or answer["ResponseMetadata"]["HTTPHeaders"].get("x-nearside-cache") != "hit"
    assert not system.touch(world.here, {"id": "s3", "expires": NOW - system.LIFE}, NOW)


def what_is_added_to_a_cart_is_seen_at_once_and_leaves_other_carts_alone(world: World) -> None:
    system.add(world.here, "s4", "tea", 2)
    system.add(world.here, "s5", "milk")
    assert world.warm(lambda: system.cart_of(world.there, "s4")) == {"tea": 2}
    assert world.warm(lambda: system.cart_of(world.there, "s5")) == {"milk": 1}
    assert system.add(world.here, "s4", "tea", 3)
    assert world.misses(lambda: system.cart_of(world.there, "s4")) == {"tea": 5}
    assert world.hits(lambda: system.cart_of(world.there, "s5")) == {"milk": 1}
    system.remove(world.here, "s4", "tea")
    assert world.misses(lambda: system.cart_of(world.there, "s4")) == {}


def a_line_does_not_grow_over_its_limit(world: World) -> None:
    assert system.add(world.here, "s6", "tea", system.LINE_MAX)
    assert not system.add(world.here, "s6", "tea")
    assert system.cart_of(world.there, "s6") == {"tea": system.LINE_MAX}


def two_who_add_at_once_lose_nothing(world: World) -> None:
    adds = [lambda db=db: [system.add(db, "s7", "tea") for _ in range(10)] for db in (world.here, world.there)]
    assert all(map(all, world.at_once(*adds)))
    for db in (world.here, world.there):
        assert system.cart_of(db, "s7") == {"tea": 20}


def who_signs_in_takes_the_cart_along(world: World) -> None:
    system.start_session(world.here, "s8", NOW)
    system.add(world.here, "s8", "tea", 2)
    system.add(world.here, "s8", "milk")
    system.add(world.here, "ada", "tea")
    assert world.warm(lambda: system.cart_of(world.there, "s8")) == {"tea": 2, "milk": 1}
    assert world.warm(lambda: system.cart_of(world.there, "ada")) == {"tea": 1}
    system.sign_in(world.here, "s8", "ada", NOW)
    assert system.cart_of(world.there, "s8") == {}
    assert world.misses(lambda: system.cart_of(world.there, "ada")) == {"tea": 3, "milk": 1}


def a_merge_beside_adding_neither_loses_nor_doubles(world: World) -> None:
    for number in range(30):
        system.add(world.here, "s9", f"sku-{number}")
    more = [lambda: [system.add(world.there, "s9", f"sku-{number}") for number in range(30)]]
    world.at_once(*more, lambda: system.merge(world.here, "s9", "bob", attempts=100))
    system.merge(world.here, "s9", "bob")
    for db in (world.here, world.there):
        assert system.cart_of(db, "s9") == {}
        assert system.cart_of(db, "bob") == {f"sku-{number}": 2 for number in range(30)}


def sessions_of_a_customer_are_found_and_ended(world: World) -> None:
    for session in ("s10", "s11"):
        system.start_session(world.here, session, NOW)
    assert world.warm(lambda: system.sessions_of(world.there, "cyd")) == []
    system.sign_in(world.here, "s10", "cyd", NOW)
    system.sign_in(world.here, "s11", "cyd", NOW)
    assert world.misses(lambda: system.sessions_of(world.there, "cyd")) == ["s10", "s11"]
    world.hits(lambda: system.sessions_of(world.there, "cyd"))
    system.add(world.here, "cyd", "tea")
    world.hits(lambda: system.sessions_of(world.there, "cyd"))
    system.sign_out_everywhere(world.here, "cyd")
    assert world.misses(lambda: system.sessions_of(world.there, "cyd")) == []
    assert system.session_of(world.there, "s10", NOW) is None

"""Every access pattern of the URL shortener, and how fresh it is at another client."""

from __future__ import annotations

from frame.check import World
from short_links import system


def an_unknown_code_is_remembered_and_forgotten_when_it_is_taken(world: World) -> None:
    def read() -> str | None:
        return system.target_of(world.there, "a1")

    assert world.warm(read) is None
    assert system.shorten(world.here, "a1", "https://example.com/1", "ada", "2026-01-01")
    assert read() == "https://example.com/1"
    world.hits(read)


def a_code_is_taken_once(world: World) -> None:
    both = world.at_once(*(lambda db=db: system.shorten(db, "a2", "x", "ada", "2026-01-02") for db in (world.here, world.there)))
    assert sorted(both) == [False, True]


def a_new_target_and_a_deletion_are_seen_at_once(world: World) -> None:
    system.shorten(world.here, "a3", "https://example.com/old", "bob", "2026-01-03")
    system.shorten(world.here, "a4", "https://example.com/other", "bob", "2026-01-04")
    assert world.warm(lambda: system.target_of(world.there, "a3")) == "https://example.com/old"
    world.warm(lambda: system.target_of(world.there, "a4"))
    system.retarget(world.here, "a3", "https://example.com/new")
    assert system.target_of(world.there, "a3") == "https://example.com/new"
    world.hits(lambda: system.target_of(world.there, "a4"))
    system.delete(world.here, "a3")
    assert system.target_of(world.there, "a3") is None


def a_click_beside_the_link_leaves_it_and_its_owners_page_in_memory(world: World) -> None:
    system.shorten(world.here, "a5", "https://example.com/5", "cyd", "2026-01-05")
    assert [link["code"] for link in world.warm(lambda: system.links_of(world.there, "cyd"))] == ["a5"]
    world.warm(lambda: system.target_of(world.there, "a5"))
    assert system.follow(world.here, "a5", shard=0) == "https://example.com/5"
    world.hits(lambda: system.target_of(world.there, "a5"))
    world.hits(lambda: system.links_of(world.there, "cyd"))


def a_click_inside_the_link_invalidates_its_owners_page(world: World) -> None:
    system.shorten(world.here, "a6", "https://example.com/6", "dan", "2026-01-06")
    world.warm(lambda: system.links_of(world.there, "dan"))
    assert system.follow_counting_inside(world.here, "a6") == "https://example.com/6"
    assert world.misses(lambda: system.links_of(world.there, "dan"))[0]["clicks"] == 1


def clicks_of_all_shards_are_summed_up_at_once(world: World) -> None:
    system.shorten(world.here, "a7", "https://example.com/7", "eve", "2026-01-07")
    assert world.warm(lambda: system.clicks_of(world.there, "a7")) == 0
    for click in range(20):
        system.follow(world.here, "a7", click % system.SHARDS)
    assert system.clicks_of(world.there, "a7") == 20
    world.hits(lambda: system.clicks_of(world.there, "a7"))
    system.follow(world.here, "a7", 3)
    # In the fleet the other node fetches the one shard that changed; at the node of the write it is in memory already.
    expected = {"cached": ["hit=8,miss=0"], "fleet": ["hit=7,miss=1"]}.get(world.mode)
    assert expected is None or world.sources(lambda: system.clicks_of(world.there, "a7")) == expected
    assert system.clicks_of(world.there, "a7") == 21


def clicks_at_once_are_all_counted(world: World) -> None:
    system.shorten(world.here, "a8", "https://example.com/8", "fay", "2026-01-08")
    clicks = [lambda db=db: [system.follow(db, "a8", click % 2) for click in range(15)] for db in (world.here, world.there)]
    world.at_once(*clicks)
    assert {system.clicks_of(db, "a8") for db in (world.here, world.there)} == {30}


def an_owner_sees_new_links_first_and_another_owners_page_stays(world: World) -> None:
    def codes(owner: str) -> list[str]:
        return [link["code"] for link in system.links_of(world.there, owner)]

    system.shorten(world.here, "b1", "x", "gus", "2026-02-01")
    system.shorten(world.here, "b2", "x", "hal", "2026-02-01")
    assert world.warm(lambda: codes("gus")) == ["b1"]
    assert world.warm(lambda: codes("hal")) == ["b2"]
    system.shorten(world.here, "b3", "x", "gus", "2026-02-02")
    assert world.misses(lambda: codes("gus")) == ["b3", "b1"]
    if world.mode == "cached":
        # In its first minute a node before a remote upstream invalidates indexes as a whole.
        world.hits(lambda: codes("hal"))
    assert codes("hal") == ["b2"]

"""Every access pattern of the microblog, and how fresh it is at another client."""

from __future__ import annotations

from typing import Any

from frame.check import World
from microblog import system


def a_new_post_is_read_by_another_client_at_once(world: World) -> None:
    def read():
        return system.post(world.there, "ada", 1)

    assert world.warm(read) is None, "its absence is cached"
    system.publish(world.here, "ada", 1, "hello", [])
    assert world.misses(read)["text"] == "hello", "a transaction invalidates the items that it names"
    world.hits(read)


def a_new_post_tops_its_authors_timeline_and_leaves_others_alone(world: World) -> None:
    for at in range(12):
        system.publish(world.here, "bob", at, f"number {at}", [])
    system.publish(world.here, "cyd", 5, "other", [])

    def texts(author: str) -> list[Any]:
        return [post["text"] for post in system.author_timeline(world.there, author)]

    assert world.warm(lambda: texts("bob")) == [f"number {at}" for at in range(11, 1, -1)]
    assert world.warm(lambda: texts("cyd")) == ["other"]
    system.publish(world.here, "bob", 12, "number 12", [])
    assert world.misses(lambda: texts("bob"))[:2] == ["number 12", "number 11"]
    assert world.hits(lambda: texts("cyd")) == ["other"]


def a_home_timeline_shows_a_followed_authors_new_post(world: World) -> None:
    system.publish(world.here, "dan", 1, "one", [])
    system.publish(world.here, "eve", 2, "two", [])
    system.follow(world.here, "fay", "dan")
    system.follow(world.here, "fay", "eve")

    def home() -> list[Any]:
        return [post["text"] for post in system.home_timeline(world.there, "fay")]

    assert world.warm(home) == ["two", "one"]
    system.publish(world.here, "dan", 3, "three", [])
    assert world.misses(home) == ["three", "two", "one"]
    world.hits(lambda: system.following(world.there, "fay"))
    world.hits(lambda: system.author_timeline(world.there, "eve"))


def followers_of_one_author_share_a_page(world: World) -> None:
    system.publish(world.here, "gus", 1, "shared", [])
    for reader in ("hal", "ida"):
        system.follow(world.here, reader, "gus")
        world.warm(lambda: system.following(world.there, reader))
    system.home_timeline(world.there, "hal")
    assert [post["text"] for post in world.hits(lambda: system.home_timeline(world.there, "ida"))] == ["shared"]


def a_follow_and_its_end_are_seen_at_once(world: World) -> None:
    def followed() -> list[str]:
        return system.following(world.there, "jan")

    assert world.warm(followed) == []
    system.follow(world.here, "jan", "kim")
    assert world.misses(followed) == ["kim"]
    world.hits(followed)
    system.publish(world.here, "jan", 1, "a reader's own post does not change whom she follows", [])
    world.hits(followed)
    system.unfollow(world.here, "jan", "kim")
    assert world.misses(followed) == []


def a_post_with_a_tag_invalidates_one_shard_of_it(world: World) -> None:
    for at in range(16):
        system.publish(world.here, "lee", at, f"number {at}", ["tea"])

    def tagged() -> list[Any]:
        return [post["text"] for post in system.tag_timeline(world.there, "tea")]

    assert world.warm(tagged) == [f"number {at}" for at in range(15, 5, -1)]
    system.publish(world.here, "lee", 16, "number 16", ["tea"])
    assert world.sources(tagged).count("hit") == (0 if world.mode == "uncached" else system.SHARDS - 1)
    assert tagged()[0] == "number 16"


def a_withdrawn_post_is_gone_everywhere_at_once(world: World) -> None:
    system.publish(world.here, "max", 1, "oops", ["regret"])
    reads = (
        lambda: system.author_timeline(world.there, "max"),
        lambda: system.tag_timeline(world.there, "regret"),
        lambda: system.post(world.there, "max", 1),
    )
    for read in reads:
        assert world.warm(read)
    system.withdraw(world.here, "max", 1, ["regret"])
    for read in reads:
        assert not world.misses(read)

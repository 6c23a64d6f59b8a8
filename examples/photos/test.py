"""Every access pattern of the photo network, and how fresh it is at another client."""

from __future__ import annotations

from typing import Any

from frame.check import World
from photos import system


def a_profile_stays_in_memory_while_its_user_posts_and_follows(world: World) -> None:
    def read() -> dict[str, Any] | None:
        return system.profile(world.there, "ada")

    world.here.put_item(TableName=system.PHOTOS, Item=system.profile_item("ada", "old"))
    assert (world.warm(read) or {})["about"] == "old"
    system.post(world.here, "ada", 1, "tree")
    system.follow(world.here, "ada", "bob")
    world.hits(read)
    world.here.put_item(TableName=system.PHOTOS, Item=system.profile_item("ada", "new"))
    assert (read() or {})["about"] == "new"


def a_follow_shows_at_both_ends_at_once_and_so_does_its_end(world: World) -> None:
    assert world.warm(lambda: system.followed_by(world.there, "cyd")) == []
    assert world.warm(lambda: system.followers_of(world.there, "dan")) == []
    system.follow(world.here, "cyd", "dan")
    assert world.misses(lambda: system.followed_by(world.there, "cyd")) == ["dan"]
    assert world.misses(lambda: system.followers_of(world.there, "dan")) == ["cyd"]
    world.hits(lambda: system.followers_of(world.there, "dan"))
    system.unfollow(world.here, "cyd", "dan")
    assert world.misses(lambda: system.followed_by(world.there, "cyd")) == []
    assert world.misses(lambda: system.followers_of(world.there, "dan")) == []


def a_post_leaves_followers_and_the_pages_of_other_authors(world: World) -> None:
    system.follow(world.here, "fay", "eve")
    system.post(world.here, "gus", 1, "other")
    assert _captions(world.warm(lambda: system.photos_of(world.there, "gus"))) == ["other"]
    assert world.warm(lambda: system.photos_of(world.there, "eve")) == []
    world.warm(lambda: system.followers_of(world.there, "eve"))
    system.post(world.here, "eve", 2, "cat")
    assert _captions(world.misses(lambda: system.photos_of(world.there, "eve"))) == ["cat"]
    world.hits(lambda: system.photos_of(world.there, "gus"))
    if world.mode == "cached":
        world.hits(lambda: system.followers_of(world.there, "eve"))


def both_feeds_show_a_new_photo_at_once(world: World) -> None:
    for author in ("hal", "ida"):
        system.follow(world.here, "jan", author)
    for at, author in enumerate(("hal", "ida", "hal")):
        system.post(world.here, author, at, f"number {at}")
        system.push(world.here, author, at)
    feeds = (system.pulled_feed, system.pushed_feed)
    for feed in feeds:
        assert _captions(world.warm(lambda: feed(world.there, "jan"))) == ["number 2", "number 1", "number 0"]
    system.post(world.here, "ida", 3, "number 3")
    system.push(world.here, "ida", 3)
    for feed in feeds:
        assert _captions(world.misses(lambda: feed(world.there, "jan")))[:2] == ["number 3", "number 2"]


def followers_of_an_author_share_the_pulled_page_and_none_shares_a_pushed_one(world: World) -> None:
    system.post(world.here, "kim", 1, "sea")
    for user in ("lee", "max"):
        system.follow(world.here, user, "kim")
    system.push(world.here, "kim", 1)
    world.warm(lambda: system.pulled_feed(world.there, "lee"))
    world.warm(lambda: system.pushed_feed(world.there, "lee"))
    pulled = world.sources(lambda: system.pulled_feed(world.there, "max"))
    pushed = world.sources(lambda: system.pushed_feed(world.there, "max"))
    if world.mode != "uncached":
        assert pulled == ["miss", "hit"], "whom max follows is a miss, and the photos of kim are a hit"
        assert pushed == ["miss", "hit=1,miss=0"], "the feed of max is a miss, and the photo in it is a hit"


def a_like_counts_once_and_leaves_the_photo(world: World) -> None:
    system.post(world.here, "ned", 1, "hill")
    assert world.warm(lambda: system.likes_of(world.there, "ned", 1)) == 0
    world.warm(lambda: system.photos_of(world.there, "ned"))
    assert system.like(world.here, "oda", "ned", 1)
    assert world.misses(lambda: system.likes_of(world.there, "ned", 1)) == 1
    assert not system.like(world.there, "oda", "ned", 1)
    assert system.likes_of(world.there, "ned", 1) == 1
    world.hits(lambda: system.photos_of(world.there, "ned"))


def many_likes_at_once_are_all_counted(world: World) -> None:
    likes = [lambda db=db, n=n: system.like(db, f"user-{n}", "pat", 1) for n in range(8) for db in (world.here, world.there)]
    assert world.at_once(*likes).count(True) == 8, "each user once, through whichever client"
    assert {system.likes_of(db, "pat", 1) for db in (world.here, world.there)} == {8}


def _captions(photos: list[dict[str, Any]]) -> list[str]:
    return [photo["caption"] for photo in photos]

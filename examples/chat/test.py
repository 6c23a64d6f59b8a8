"""Every access pattern of the chat, and how fresh it is at another client."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from chat import system
from frame.check import World


def a_message_is_seen_by_another_client_at_once(world: World) -> None:
    def texts() -> list[Any]:
        return [message["text"] for message in system.messages(world.there, "acme", "general", 7)]

    assert world.warm(texts) == []
    system.send(world.here, "acme", "general", "ada", 7 * system.DAY + 1, "hello")
    assert world.misses(texts) == ["hello"]
    system.send(world.here, "acme", "general", "bob", 7 * system.DAY + 2, "hi")
    assert world.misses(texts) == ["hi", "hello"]
    world.hits(texts)


def a_message_leaves_other_days_channels_and_organisations_in_memory(world: World) -> None:
    system.send(world.here, "acme", "ops", "ada", 6 * system.DAY, "yesterday")
    others = [("acme", "ops", 6), ("acme", "lunch", 7), ("globex", "ops", 7)]
    for place in others:
        world.warm(lambda: system.messages(world.there, *place))
    system.send(world.here, "acme", "ops", "ada", 7 * system.DAY, "today")
    for place in others:
        world.hits(lambda: system.messages(world.there, *place))
    assert world.misses(lambda: system.messages(world.there, "acme", "ops", 7))[0]["text"] == "today"


def a_channel_shows_its_newest_messages_first(world: World) -> None:
    for second in range(system.PAGE + 5):
        system.send(world.here, "acme", "busy", "ada", second, f"number {second}")
    shown = world.warm(lambda: system.messages(world.there, "acme", "busy", 0))
    assert [message["text"] for message in shown] == [f"number {second}" for second in range(24, 4, -1)]


def an_edit_is_seen_at_once_and_only_of_a_message_that_is_there(world: World) -> None:
    def read() -> Any:
        return system.messages(world.there, "acme", "edits", 0)[0]["text"]

    system.send(world.here, "acme", "edits", "ada", 1, "teh")
    assert world.warm(read) == "teh"
    system.edit(world.here, "acme", "edits", "ada", 1, "the")
    assert world.misses(read) == "the"
    try:
        system.edit(world.here, "acme", "edits", "ada", 2, "nothing")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"
    else:
        raise AssertionError("a message that is not there was edited")
    assert len(system.messages(world.there, "acme", "edits", 0)) == 1


def joining_and_leaving_show_on_both_sides_at_once(world: World) -> None:
    def sides() -> tuple[list[str], list[str]]:
        return system.members(world.there, "acme", "tea"), system.channels(world.there, "acme", "cyd")

    assert world.warm(sides) == ([], [])
    system.join(world.here, "acme", "tea", "cyd")
    assert world.misses(sides) == (["cyd"], ["tea"])
    world.hits(sides)
    system.leave(world.here, "acme", "tea", "cyd")
    assert world.misses(sides) == ([], [])


def joining_leaves_the_channels_of_others_in_memory(world: World) -> None:
    world.warm(lambda: system.channels(world.there, "acme", "eve"))
    system.join(world.here, "acme", "coffee", "dan")
    if world.mode == "cached":
        # A node before a remote upstream invalidates whole indexes in its first minute.
        world.hits(lambda: system.channels(world.there, "acme", "eve"))
    assert system.channels(world.there, "acme", "eve") == []


def organisations_have_users_of_the_same_name(world: World) -> None:
    system.join(world.here, "acme", "red", "fay")
    system.join(world.here, "globex", "blue", "fay")
    assert world.warm(lambda: system.channels(world.there, "acme", "fay")) == ["red"]
    assert world.warm(lambda: system.channels(world.there, "globex", "fay")) == ["blue"]


def a_mark_of_what_was_read_is_seen_at_once_and_changes_no_page_of_messages(world: World) -> None:
    names = ["one", "two"]

    def marks() -> dict[str, int]:
        return system.read_until(world.there, "acme", "gus", names)

    def page() -> list[system.Message]:
        return system.messages(world.there, "acme", "one", 0)

    system.send(world.here, "acme", "one", "ada", 1, "read me")
    world.warm(page)
    assert world.warm(marks) == {}
    system.mark_read(world.here, "acme", "one", "gus", 1)
    assert marks() == {"one": 1}
    assert world.hits(marks) == {"one": 1}
    world.hits(page)


def a_mark_is_a_hit_where_it_was_set(world: World) -> None:
    system.mark_read(world.here, "acme", "one", "ida", 1)
    assert world.hits(lambda: system.read_until(world.here, "acme", "ida", ["one"])) == {"one": 1}


def a_batch_of_marks_fetches_only_those_that_changed(world: World) -> None:
    if world.mode != "fleet":
        return  # At the node that wrote, a PutItem stores the item, and nothing is to be fetched.
    names = ["a", "b", "c"]
    for name in names:
        system.mark_read(world.here, "acme", name, "hal", 1)
    world.warm(lambda: system.read_until(world.there, "acme", "hal", names))
    system.mark_read(world.here, "acme", "b", "hal", 2)
    assert world.sources(lambda: system.read_until(world.there, "acme", "hal", names)) == ["hit=2,miss=1"]

"""Every access pattern of the documents, how fresh it is at another client, and what a noisy tenant does to a quiet one."""

from __future__ import annotations

from frame.check import World
from tenants import system


def a_document_is_fresh_at_once(world: World) -> None:
    def title() -> str | None:
        found = system.document(world.there, "ada", "d1")
        return found["title"] if found else None

    assert world.warm(title) is None
    system.save(world.here, "ada", "d1", "draft", "one", "text")
    assert title() == "one"
    world.hits(title)
    system.save(world.here, "ada", "d1", "draft", "two", "text")
    assert title() == "two"


def the_start_page_and_the_states_show_a_change_at_once(world: World) -> None:
    for number in range(3):
        system.save(world.here, "bob", f"d{number}", "draft", f"title {number}", "text")
    assert world.warm(lambda: system.start_page(world.there, "bob")) == ["title 0", "title 1", "title 2"]
    assert world.warm(lambda: system.in_state(world.there, "bob", "draft")) == ["d0", "d1", "d2"]
    assert world.warm(lambda: system.in_state(world.there, "bob", "done")) == []
    assert system.move(world.here, "bob", "d1", "done")
    assert world.misses(lambda: system.in_state(world.there, "bob", "draft")) == ["d0", "d2"]
    assert world.misses(lambda: system.in_state(world.there, "bob", "done")) == ["d1"]
    system.save(world.here, "bob", "d0", "draft", "renamed", "text")
    assert world.misses(lambda: system.start_page(world.there, "bob"))[0] == "renamed"
    assert not system.move(world.here, "bob", "nothing", "done")


def the_writes_of_a_tenant_leave_the_pages_of_others(world: World) -> None:
    for tenant in ("quiet", "noisy"):
        system.save(world.here, tenant, "d1", "draft", "title", "text")
    reads = [lambda: system.document(world.there, "quiet", "d1"), lambda: system.start_page(world.there, "quiet")]
    if world.mode == "cached":
        # In its first minute a node before a remote upstream invalidates indexes as a whole.
        reads.append(lambda: system.in_state(world.there, "quiet", "draft"))
    for read in reads:
        world.warm(read)
    for number in range(50):
        system.save(world.here, "noisy", f"d{number}", "draft", "title", "text")
        system.move(world.here, "noisy", f"d{number}", "done")
    for read in reads:
        world.hits(read)


def the_exports_and_scans_of_a_tenant_leave_what_is_cached_of_others(world: World) -> None:
    for number in range(200):
        system.save(world.here, "bulk", f"d{number:03}", "done", f"title {number}", "x" * 400)
    system.save(world.here, "calm", "d1", "draft", "title", "text")
    for read in (lambda: system.document(world.there, "calm", "d1"), lambda: system.start_page(world.there, "calm")):
        world.warm(read)
        assert sum(1 for _ in system.export(world.there, "bulk")) == 200
        assert system.search(world.there, "bulk", "title 19")[0] == "d019"
        world.hits(read)


def an_export_shows_a_document_that_was_saved_just_now(world: World) -> None:
    def names() -> list[str]:
        return [found["document"] for found in system.export(world.there, "exp", page_items=3)]

    for number in range(7):
        system.save(world.here, "exp", f"d{number}", "draft", f"title {number}", "text")
    assert world.warm(names) == [f"d{number}" for number in range(7)]
    system.save(world.here, "exp", "d7", "draft", "title 7", "text")
    assert world.misses(names)[-1] == "d7"


def a_search_is_fresh_and_is_cached_only_when_it_is_repeated(world: World) -> None:
    def search() -> list[str]:
        return system.search(world.there, "sue", "needle")

    system.save(world.here, "sue", "d1", "draft", "a needle", "text")
    assert world.misses(search) == ["d1"]
    assert world.misses(search) == ["d1"], "most scans are made once, so a page is stored when it is asked for again"
    assert world.hits(search) == ["d1"]
    system.save(world.here, "other", "d1", "draft", "title", "text")
    assert world.misses(search) == ["d1"], "a write of any tenant changes the table that a Scan reads"

"""Every access pattern of the graph, and how fresh it is at another client."""

from __future__ import annotations

from frame.check import World
from graph import system
from graph.system import person, project


def a_node_is_fresh_at_once_and_its_edges_leave_it_in_memory(world: World) -> None:
    def read() -> str | None:
        found = system.node(world.there, person("ada"))
        return found["about"] if found else None

    assert world.warm(read) is None
    _nodes(world, "ada", "bob")
    assert read() == "about ada"
    world.hits(read)
    world.here.put_item(TableName=system.GRAPH, Item={"node": person("ada"), "edge": project("x"), "job": "lead"})
    world.hits(read)
    system.add_node(world.here, person("ada"), "changed")
    assert read() == "changed"


def an_edge_shows_at_both_ends_at_once_and_so_does_its_end(world: World) -> None:
    _nodes(world, "cyd", "dan")
    system.add_node(world.here, project("moon"), "a base")
    assert world.warm(lambda: system.projects_of(world.there, person("cyd"))) == {}
    assert world.warm(lambda: system.members_of(world.there, project("moon"))) == []
    assert system.join(world.here, person("cyd"), project("moon"), "lead")
    assert world.misses(lambda: system.projects_of(world.there, person("cyd"))) == {project("moon"): "lead"}
    assert world.misses(lambda: system.members_of(world.there, project("moon"))) == [person("cyd")]
    system.leave(world.here, person("cyd"), project("moon"))
    assert world.misses(lambda: system.projects_of(world.there, person("cyd"))) == {}
    assert world.misses(lambda: system.members_of(world.there, project("moon"))) == []


def no_edge_leads_to_a_node_that_does_not_exist(world: World) -> None:
    _nodes(world, "eve")
    assert not system.join(world.here, person("eve"), project("nowhere"), "lead")
    assert not system.befriend(world.here, person("eve"), person("nobody"))
    assert system.projects_of(world.there, person("eve")) == {}
    assert system.friends_of(world.there, person("eve")) == []


def a_friendship_has_both_edges_or_none(world: World) -> None:
    _nodes(world, "fay", "gus")
    for name in ("fay", "gus"):
        assert world.warm(lambda: system.friends_of(world.there, person(name))) == []
    both = [lambda db=db: system.befriend(db, person("fay"), person("gus")) for db in (world.here, world.there)]
    assert sorted(world.at_once(*both)) == [False, True]
    for db in (world.here, world.there):
        assert system.friends_of(db, person("fay")) == [person("gus")]
        assert system.friends_of(db, person("gus")) == [person("fay")]
    system.unfriend(world.here, person("fay"), person("gus"))
    for name in ("fay", "gus"):
        assert world.misses(lambda: system.friends_of(world.there, person(name))) == []


def colleagues_are_found_over_two_hops_and_a_new_one_costs_one_page(world: World) -> None:
    _nodes(world, "hal", "ida", "jan")
    for name in ("mars", "venus"):
        system.add_node(world.here, project(name), name)
        system.join(world.here, person("hal"), project(name), "lead")
    system.join(world.here, person("ida"), project("mars"), "crew")
    assert world.warm(lambda: system.colleagues_of(world.there, person("hal"))) == [person("ida")]
    system.join(world.here, person("jan"), project("venus"), "crew")
    sources = world.sources(lambda: system.colleagues_of(world.there, person("hal")))
    if world.mode == "cached":
        assert sources == ["hit", "hit", "miss"], "a transaction is exact before the local backend"
    assert system.colleagues_of(world.there, person("hal")) == [person("ida"), person("jan")]
    assert [found["about"] for found in system.nodes(world.there, [person("jan"), person("ida")])] == ["about ida", "about jan"]


def an_edge_leaves_the_pages_of_other_nodes(world: World) -> None:
    _nodes(world, "kim", "lee", "max")
    world.warm(lambda: system.projects_of(world.there, person("max")))
    world.warm(lambda: system.friends_of(world.there, person("max")))
    system.befriend(world.here, person("kim"), person("lee"))
    world.hits(lambda: system.projects_of(world.there, person("max")))
    world.hits(lambda: system.friends_of(world.there, person("max")))


def _nodes(world: World, *names: str) -> None:
    for name in names:
        system.add_node(world.here, person(name), f"about {name}")

"""Loads people, projects, and the edges between them."""

from __future__ import annotations

from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from graph import system
from graph.system import person, project

PEOPLE = Zipf(200)
PROJECTS = Zipf(40)
ROLES = ("lead", "crew", "guest")


def anybody(random: Random) -> str:
    return person(f"{PEOPLE.draw(random):03}")


def any_project(random: Random) -> str:
    return project(f"{PROJECTS.draw(random):02}")


def load(db: Client, random: Random) -> None:
    system.create(db)
    people = [person(f"{number:03}") for number in range(200)]
    names = people + [project(f"{number:02}") for number in range(40)]
    put_all(db, system.GRAPH, (system.node_item(name, "about " * 10) for name in names))
    members = {(one, any_project(random)): random.choice(ROLES) for one in people for _ in range(3)}
    put_all(db, system.GRAPH, ({"node": one, "edge": task, "job": role} for (one, task), role in members.items()))
    friends = {(one, other) for one in people for other in random.sample(people, 2) if one != other}
    both = friends | {(other, one) for one, other in friends}
    put_all(db, system.GRAPH, ({"node": one, "edge": other} for one, other in sorted(both)))

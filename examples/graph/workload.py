"""People look at profiles, projects and colleagues. One operation in twenty changes an edge."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from graph import system
from graph.load import ROLES, any_project, anybody


def show_person(db: Client, turn: Turn) -> None:
    shown = anybody(turn.random)
    system.node(db, shown)
    system.projects_of(db, shown)


def show_friends(db: Client, turn: Turn) -> None:
    """The friends, each with the profile."""
    system.nodes(db, system.friends_of(db, anybody(turn.random)))


def show_project(db: Client, turn: Turn) -> None:
    shown = any_project(turn.random)
    system.node(db, shown)
    system.members_of(db, shown)


def show_colleagues(db: Client, turn: Turn) -> None:
    system.colleagues_of(db, anybody(turn.random))


def join(db: Client, turn: Turn) -> None:
    system.join(db, anybody(turn.random), any_project(turn.random), turn.random.choice(ROLES))


def leave(db: Client, turn: Turn) -> None:
    """Leaves one of the projects, as seen on the page of the person."""
    member = anybody(turn.random)
    for task in list(system.projects_of(db, member))[:1]:
        system.leave(db, member, task)


def befriend(db: Client, turn: Turn) -> None:
    one, other = anybody(turn.random), anybody(turn.random)
    if one != other:
        system.befriend(db, one, other)


MIX: Mix = {show_person: 40, show_friends: 20, show_project: 20, show_colleagues: 15, join: 2, leave: 1, befriend: 2}

"""Quiet tenants read most of the time. The noisy one imports, exports and scans: three quarters of all writes are its own."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from tenants import system
from tenants.load import STATES, document, noisy_document, tenant, text


def quiet_open(db: Client, turn: Turn) -> None:
    system.document(db, tenant(turn.random), document(turn.random))


def quiet_start(db: Client, turn: Turn) -> None:
    system.start_page(db, tenant(turn.random))


def quiet_list(db: Client, turn: Turn) -> None:
    system.in_state(db, tenant(turn.random), turn.random.choice(STATES))


def quiet_save(db: Client, turn: Turn) -> None:
    system.save(db, tenant(turn.random), document(turn.random), "draft", f"title {turn.number}", text(turn.random))


def noisy_open(db: Client, turn: Turn) -> None:
    system.document(db, "noisy", noisy_document(turn.random))


def noisy_start(db: Client, turn: Turn) -> None:
    system.start_page(db, "noisy")


def noisy_import(db: Client, turn: Turn) -> None:
    system.save(db, "noisy", noisy_document(turn.random), "draft", f"title {turn.number}", text(turn.random))


def noisy_export(db: Client, turn: Turn) -> None:
    for _ in system.export(db, "noisy"):
        pass


def noisy_search(db: Client, turn: Turn) -> None:
    system.search(db, "noisy", str(turn.random.randrange(100)))


MIX: Mix = {
    quiet_open: 40,
    quiet_start: 20,
    quiet_list: 10,
    quiet_save: 4,
    noisy_open: 8,
    noisy_start: 4,
    noisy_import: 12,
    noisy_export: 1,
    noisy_search: 1,
}

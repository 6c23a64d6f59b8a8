"""Loads twenty quiet tenants and a noisy one, which has as many documents as all of them."""

from __future__ import annotations

from random import Random

from frame.client import Client, put_all
from frame.draw import Zipf
from tenants import system

TENANTS = Zipf(20)
DOCUMENTS = Zipf(30)
NOISY_DOCUMENTS = 600
STATES = ("draft", "review", "done")


def tenant(random: Random) -> str:
    return f"quiet-{TENANTS.draw(random)}"


def document(random: Random) -> str:
    return f"document-{DOCUMENTS.draw(random):03}"


def noisy_document(random: Random) -> str:
    return f"document-{random.randrange(NOISY_DOCUMENTS):03}"


def text(random: Random) -> str:
    return "text " * random.randrange(40, 160)


def load(db: Client, random: Random) -> None:
    system.create(db)
    sizes = {f"quiet-{number}": 30 for number in range(20)} | {"noisy": NOISY_DOCUMENTS}
    documents = [
        system.document_item(name, f"document-{number:03}", random.choice(STATES), f"title {number}", text(random))
        for name, count in sizes.items()
        for number in range(count)
    ]
    put_all(db, system.DOCUMENTS, documents)

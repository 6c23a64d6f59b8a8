"""Every access pattern of the bank, how fresh it is at another client, and that no money appears or is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from botocore.exceptions import ClientError

from bank import system
from frame.check import World


def a_transfer_shows_in_both_balances_and_statements_at_once(world: World) -> None:
    _open(world, {"ada": 100, "bob": 0})

    def shown() -> list[Any]:
        balances = [system.balance(world.there, name) for name in ("ada", "bob")]
        return balances + [[int(entry["cents"]) for entry in system.statement(world.there, name)] for name in ("ada", "bob")]

    assert world.warm(shown) == [100, 0, [], []]
    system.transfer(world.here, _token(world), 1, "ada", "bob", 30)
    assert world.misses(shown) == [70, 30, [-30], [30]]
    world.hits(shown)


def a_transfer_leaves_other_accounts_in_memory(world: World) -> None:
    _open(world, {"cyd": 100, "dan": 0, "eve": 5})
    world.warm(lambda: system.balance(world.there, "eve"))
    world.warm(lambda: system.statement(world.there, "eve"))
    system.transfer(world.here, _token(world), 1, "cyd", "dan", 1)
    assert world.hits(lambda: system.balance(world.there, "eve")) == 5
    world.hits(lambda: system.statement(world.there, "eve"))
    assert world.misses(lambda: system.balance(world.there, "dan")) == 1


def a_transfer_without_money_or_payee_changes_nothing(world: World) -> None:
    _open(world, {"fay": 10, "gus": 0})
    for payee, cents in (("gus", 11), ("nobody", 1)):
        assert _is_refused(lambda: system.transfer(world.here, _token(world), 1, "fay", payee, cents))
        assert system.balance(world.there, "fay") == 10
        assert system.statement(world.there, "fay") == []


def a_transfer_that_is_sent_again_happens_once(world: World) -> None:
    _open(world, {"hal": 100, "ida": 0})
    token = _token(world)
    for db in (world.here, world.there, world.here):
        system.transfer(db, token, 1, "hal", "ida", 40)
    assert world.warm(lambda: system.balance(world.there, "hal")) == 60
    system.transfer(world.here, token, 1, "hal", "ida", 40)
    assert world.misses(lambda: system.balance(world.there, "hal")) == 60, "the cache does not know that nothing happened"
    assert len(system.statement(world.there, "ida")) == 1


def a_token_is_not_for_two_transfers(world: World) -> None:
    _open(world, {"jan": 100, "kim": 0})
    token = _token(world)
    system.transfer(world.here, token, 1, "jan", "kim", 40)
    try:
        system.transfer(world.there, token, 1, "jan", "kim", 41)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "IdempotentParameterMismatchException"
    else:
        raise AssertionError("one token, two transfers")
    assert system.balance(world.there, "kim") == 40


def a_purchase_takes_money_and_stock_together(world: World) -> None:
    _open(world, {"lee": 50, "shop": 0})
    system.stock_product(world.here, "tea", 20, 2)

    def shown() -> list[int]:
        balances = [system.balance(world.there, name) for name in ("lee", "shop")]
        return [*balances, int(system.product(world.there, "tea")["stock"])]

    def buy(price: int) -> None:
        system.buy(world.here, _token(world), 1, "lee", "shop", "tea", price)

    assert world.warm(shown) == [50, 0, 2]
    assert _is_refused(lambda: buy(19)), "the price was 20"
    buy(20)
    assert shown() == [30, 20, 1]
    buy(20)
    assert shown() == [10, 40, 0]
    assert _is_refused(lambda: buy(20)), "sold out, and she has no money"
    assert shown() == [10, 40, 0]
    assert world.hits(shown) == [10, 40, 0]


def the_last_piece_is_sold_once(world: World) -> None:
    guests = [f"guest-{number}" for number in range(6)]
    _open(world, dict.fromkeys(guests, 10) | {"store": 0})
    system.stock_product(world.here, "lamp", 10, 2)
    tokens = {guest: _token(world) for guest in guests}

    def buys(guest: str, db: system.Client) -> bool:
        return not _is_refused(lambda: system.buy(db, tokens[guest], 1, guest, "store", "lamp", 10))

    places = zip(guests, [world.here, world.there] * 3)
    bought = world.at_once(*(lambda guest=guest, db=db: buys(guest, db) for guest, db in places))
    assert sum(bought) == 2, f"there were two: {bought}"
    assert world.warm(lambda: system.product(world.there, "lamp"))["stock"] == 0
    assert world.warm(lambda: system.balance(world.there, "store")) == 20


def money_is_neither_made_nor_lost_by_transfers_at_once(world: World) -> None:
    names = [f"account-{number}" for number in range(8)]
    _open(world, dict.fromkeys(names, 100))
    transfers = [[(_token(world), *world.random.sample(names, 2), world.random.randrange(1, 90)) for _ in range(15)] for _ in range(4)]

    def move(share: list[tuple[str, str, str, int]], db: system.Client) -> None:
        for token, payer, payee, cents in share:
            _is_refused(lambda: system.transfer(db, token, 1, payer, payee, cents))
            assert world.bypasses(lambda: system.total(db, names)) == 800, "a transaction sees all transfers whole"
            assert system.balance(db, payer) >= 0

    works = zip(transfers, [world.here, world.there] * 2)
    world.at_once(*(lambda share=share, db=db: move(share, db) for share, db in works))
    for db in (world.here, world.there):
        balances = [world.warm(lambda: system.balance(db, name)) for name in names]
        assert sum(balances) == 800, f"through the cache: {balances}"
        entries = [world.warm(lambda: system.statement(db, name)) for name in names]
        assert all(
            100 + sum(int(entry["cents"]) for entry in page) == cents
            for page, cents in zip(entries, balances)
            if len(page) < 20
        ), "statements agree with balances"


def _open(world: World, accounts: dict[str, int]) -> None:
    for name, cents in accounts.items():
        system.open_account(world.here, name, cents)


def _token(world: World) -> str:
    return str(UUID(int=world.random.getrandbits(128)))


def _is_refused(act: Callable[[], None]) -> bool:
    try:
        act()
    except system.Refused:
        return True
    return False

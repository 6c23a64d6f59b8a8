"""Every access pattern of the catalogue, and how fresh it is at another client."""

from __future__ import annotations

from decimal import Decimal

from catalogue import system
from frame.check import World


def a_price_is_fresh_at_once_in_the_product_the_wish_list_and_the_listing(world: World) -> None:
    _products(world, "tea", 3)
    skus = ["tea-2", "tea-0", "tea-1"]
    assert _prices(world.warm(lambda: system.products(world.there, skus))) == [12, 10, 11]
    assert _prices(world.warm(lambda: system.cheapest(world.there, "tea"))) == [10, 11, 12]
    assert system.change_price(world.here, "tea-0", Decimal(10), Decimal("12.5"))
    found = system.product(world.there, "tea-0")
    assert found is not None and found["price"] == Decimal("12.5")
    assert _prices(system.products(world.there, skus)) == [12, Decimal("12.5"), 11]
    assert _prices(world.misses(lambda: system.cheapest(world.there, "tea"))) == [11, 12, Decimal("12.5")]


def a_price_is_not_changed_over_a_newer_one(world: World) -> None:
    _products(world, "mug", 1)
    changes = world.at_once(
        lambda: system.change_price(world.here, "mug-0", Decimal(10), Decimal(20)),
        lambda: system.change_price(world.there, "mug-0", Decimal(10), Decimal(30)),
    )
    assert sorted(changes) == [False, True]
    seen = [system.product(db, "mug-0") for db in (world.here, world.there)]
    assert seen[0] == seen[1] and seen[0] is not None and seen[0]["price"] in (20, 30)


def a_batch_fetches_only_what_is_not_in_memory(world: World) -> None:
    _products(world, "pen", 6)
    first = [f"pen-{number}" for number in range(4)]
    world.warm(lambda: system.products(world.there, first))
    more = [f"pen-{number}" for number in range(6)]
    if world.mode == "fleet":
        assert world.sources(lambda: system.products(world.there, more)) == ["hit=4,miss=2"]
    assert len(system.products(world.there, [*more, "pen-9", "pen-0"])) == 7, "one is missing, and one is asked for twice"
    world.hits(lambda: system.products(world.there, more))


def more_products_than_one_batch_takes_are_read(world: World) -> None:
    _products(world, "nut", 120)
    assert len(system.products(world.there, [f"nut-{number}" for number in range(120)])) == 120


def a_price_leaves_the_listings_of_other_categories(world: World) -> None:
    _products(world, "cup", 2)
    _products(world, "hat", 2)
    world.warm(lambda: system.cheapest(world.there, "hat"))
    world.warm(lambda: system.product(world.there, "hat-1"))
    system.change_price(world.here, "cup-0", Decimal(10), Decimal(5))
    world.hits(lambda: system.product(world.there, "hat-1"))
    if world.mode == "cached":
        # In its first minute a node before a remote upstream invalidates indexes as a whole.
        world.hits(lambda: system.cheapest(world.there, "hat"))


def a_sale_changes_the_stock_and_nothing_else(world: World) -> None:
    _products(world, "fan", 1)
    world.here.put_item(TableName=system.STOCK, Item={"sku": "fan-0", "pieces": 2})
    assert world.warm(lambda: system.stock(world.there, "fan-0")) == 2
    world.warm(lambda: system.product(world.there, "fan-0"))
    world.warm(lambda: system.cheapest(world.there, "fan"))
    assert system.sell(world.here, "fan-0")
    assert system.stock(world.there, "fan-0") == 1
    world.hits(lambda: system.product(world.there, "fan-0"))
    world.hits(lambda: system.cheapest(world.there, "fan"))


def the_last_piece_is_sold_once(world: World) -> None:
    world.here.put_item(TableName=system.STOCK, Item={"sku": "last", "pieces": 3})
    sales = [lambda db=db: system.sell(db, "last") for db in (world.here, world.there) for _ in range(4)]
    assert world.at_once(*sales).count(True) == 3
    assert [system.stock(db, "last") for db in (world.here, world.there)] == [0, 0]


def a_description_is_fresh_in_the_product(world: World) -> None:
    _products(world, "bag", 1)
    world.warm(lambda: system.product(world.there, "bag-0"))
    world.warm(lambda: system.cheapest(world.there, "bag"))
    system.describe(world.here, "bag-0", "new words")
    found = system.product(world.there, "bag-0")
    assert found is not None and found["description"] == "new words"
    if world.mode == "cached":
        world.hits(lambda: system.cheapest(world.there, "bag"))


def the_categories_are_in_memory_after_the_second_scan_and_a_new_title_is_seen_at_once(world: World) -> None:
    def title() -> str | None:
        return system.categories(world.there).get("toys")

    system.rename_category(world.here, "toys", "Toys")
    title()
    assert world.warm(title) == "Toys"
    _products(world, "toy", 1)
    assert world.hits(title) == "Toys", "products are another table"
    system.rename_category(world.here, "toys", "Toys and games")
    assert world.misses(title) == "Toys and games"


def _products(world: World, category: str, count: int) -> None:
    for number in range(count):
        item = {"sku": f"{category}-{number}", "category": category, "title": category, "price": 10 + number}
        world.here.put_item(TableName=system.PRODUCTS, Item=item)


def _prices(found: list[dict[str, Decimal]]) -> list[Decimal]:
    return [item["price"] for item in found]

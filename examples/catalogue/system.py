"""A product catalogue: products with an index by category, stock beside them, and a small table of categories."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from boto3.dynamodb.conditions import Key

from frame.client import Client

PRODUCTS, STOCK, CATEGORIES, BY_PRICE = "Products", "Stock", "Categories", "byPrice"
BATCH = 100  # keys that one BatchGetItem takes


def create(db: Client) -> None:
    db.create_table(
        TableName=PRODUCTS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "sku", "AttributeType": "S"},
            {"AttributeName": "category", "AttributeType": "S"},
            {"AttributeName": "price", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "sku", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": BY_PRICE,
                "KeySchema": [{"AttributeName": "category", "KeyType": "HASH"}, {"AttributeName": "price", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]},
            }
        ],
    )
    for table, key in ((STOCK, "sku"), (CATEGORIES, "category")):
        db.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        )


def product(db: Client, sku: str) -> dict[str, Any] | None:
    return db.get_item(TableName=PRODUCTS, Key={"sku": sku}).get("Item")


def products(db: Client, skus: Sequence[str]) -> list[dict[str, Any]]:
    """Products in the order of the skus, as a wish list shows them. BatchGetItem keeps no order, and may leave keys for later."""
    found: dict[str, dict[str, Any]] = {}
    # A key may stand in a batch only once.
    keys = [{"sku": sku} for sku in dict.fromkeys(skus)]
    for first in range(0, len(keys), BATCH):
        waiting = {PRODUCTS: {"Keys": keys[first : first + BATCH]}}
        while waiting:
            answer = db.batch_get_item(RequestItems=waiting)
            found |= {item["sku"]: item for item in answer["Responses"].get(PRODUCTS, [])}
            waiting = answer["UnprocessedKeys"]
    return [found[sku] for sku in skus if sku in found]


def cheapest(db: Client, category: str) -> list[dict[str, Any]]:
    """The first page of a category, by price."""
    page = db.query(TableName=PRODUCTS, IndexName=BY_PRICE, KeyConditionExpression=Key("category").eq(category), Limit=20)
    return page["Items"]


def categories(db: Client) -> dict[str, str]:
    """All categories with their titles. A Scan is right here: the table is small, and all of it is shown."""
    return {item["category"]: item["title"] for item in db.scan(TableName=CATEGORIES)["Items"]}


def stock(db: Client, sku: str) -> int:
    return int(db.get_item(TableName=STOCK, Key={"sku": sku}).get("Item", {}).get("pieces", 0))


def change_price(db: Client, sku: str, old: Decimal, new: Decimal) -> bool:
    """Sets a price if it is still the one that was seen."""
    try:
        db.update_item(
            TableName=PRODUCTS,
            Key={"sku": sku},
            UpdateExpression="SET price = :new",
            ConditionExpression="price = :old",
            ExpressionAttributeValues={":new": new, ":old": old},
        )
    except db.exceptions.ConditionalCheckFailedException:
        return False
    return True


def describe(db: Client, sku: str, text: str) -> None:
    """The description is not in the index, so no listing changes."""
    db.update_item(
        TableName=PRODUCTS,
        Key={"sku": sku},
        UpdateExpression="SET description = :text",
        ConditionExpression="attribute_exists(sku)",
        ExpressionAttributeValues={":text": text},
    )


def sell(db: Client, sku: str, pieces: int = 1) -> bool:
    """Takes pieces from the stock if there are enough. Stock is a table of its own: a sale leaves products and listings cached."""
    try:
        db.update_item(
            TableName=STOCK,
            Key={"sku": sku},
            UpdateExpression="SET pieces = pieces - :pieces",
            ConditionExpression="pieces >= :pieces",
            ExpressionAttributeValues={":pieces": pieces},
        )
    except db.exceptions.ConditionalCheckFailedException:
        return False
    return True


def rename_category(db: Client, category: str, title: str) -> None:
    db.put_item(TableName=CATEGORIES, Item={"category": category, "title": title})

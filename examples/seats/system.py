"""Likes that count once and seats that are sold once: conditions decide, and the cache never does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from frame.client import Client

LIKES = "Likes"
SEATS = "Seats"

COUNT = "#count"
"""The sort key of a post's counter, which is no user's name."""


def create(db: Client) -> None:
    for table, partition, sort in ((LIKES, "post", "user"), (SEATS, "show", "seat")):
        db.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (partition, sort)],
            KeySchema=[{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}],
        )
        db.get_waiter("table_exists").wait(TableName=table)


def like(db: Client, post: str, user: str) -> bool:
    """False if the user likes the post already. The like and its count are written together or not at all."""
    put = {"TableName": LIKES, "Item": {"post": post, "user": user}, "ConditionExpression": "attribute_not_exists(post)"}
    return _succeeds(lambda: db.transact_write_items(TransactItems=[{"Put": put}, {"Update": _count(post, 1)}]))


def unlike(db: Client, post: str, user: str) -> bool:
    key = {"post": post, "user": user}
    delete = {"TableName": LIKES, "Key": key, "ConditionExpression": "attribute_exists(post)"}
    return _succeeds(lambda: db.transact_write_items(TransactItems=[{"Delete": delete}, {"Update": _count(post, -1)}]))


def likes(db: Client, post: str) -> int:
    item = db.get_item(TableName=LIKES, Key={"post": post, "user": COUNT}).get("Item")
    return int(item["likes"]) if item else 0


def likes_it(db: Client, post: str, user: str) -> bool:
    return "Item" in db.get_item(TableName=LIKES, Key={"post": post, "user": user})


def open_show(db: Client, show: str, seats: list[str]) -> None:
    for seat in seats:
        db.put_item(TableName=SEATS, Item={"show": show, "seat": seat})


def book(db: Client, show: str, seat: str, guest: str) -> bool:
    """False if the seat is sold, or if there is no such seat. It does not matter how old the map was that the guest saw."""
    return _succeeds(
        lambda: db.update_item(
            TableName=SEATS,
            Key={"show": show, "seat": seat},
            UpdateExpression="SET guest = :guest",
            ConditionExpression=Attr("show").exists() & Attr("guest").not_exists(),
            ExpressionAttributeValues={":guest": guest},
        )
    )


def give_back(db: Client, show: str, seat: str, guest: str) -> bool:
    """False if the seat is not this guest's."""
    return _succeeds(
        lambda: db.update_item(
            TableName=SEATS,
            Key={"show": show, "seat": seat},
            UpdateExpression="REMOVE guest",
            ConditionExpression=Attr("guest").eq(guest),
        )
    )


def seat_map(db: Client, show: str) -> dict[str, str | None]:
    """Each seat of a show with its guest."""
    answer = db.query(TableName=SEATS, KeyConditionExpression=Key("show").eq(show))
    return {item["seat"]: item.get("guest") for item in answer["Items"]}


def guest_of(db: Client, show: str, seat: str) -> str | None:
    return db.get_item(TableName=SEATS, Key={"show": show, "seat": seat}).get("Item", {}).get("guest")


def _count(post: str, change: int) -> dict[str, Any]:
    return {
        "TableName": LIKES,
        "Key": {"post": post, "user": COUNT},
        "UpdateExpression": "ADD likes :change",
        "ExpressionAttributeValues": {":change": change},
    }


def _succeeds(write: Callable[[], object]) -> bool:
    """False if a condition failed. Every other error is the caller's."""
    try:
        write()
    except ClientError as error:
        reasons = {reason["Code"] for reason in error.response.get("CancellationReasons", [])}
        if "ConditionalCheckFailed" in reasons or error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True

"""Orders: by key, by customer and by status, with two global indexes; the one by status is sparse."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from frame.client import Client

TABLE = "Orders"
BY_CUSTOMER = "byCustomer"
BY_STATUS = "byStatus"

STATUSES = ("placed", "paid", "packed")
"""An order that was delivered has no status, so it leaves the index of work to do."""

PAGE = 20

Order = dict[str, Any]


def create(db: Client) -> None:
    db.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "customer", "placed_at", "status")],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": BY_CUSTOMER,
                "KeySchema": _keys("customer", "placed_at"),
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": BY_STATUS,
                "KeySchema": _keys("status", "placed_at"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["total"]},
            },
        ],
    )
    db.get_waiter("table_exists").wait(TableName=TABLE)


def new_order(number: str, customer: str, placed_at: str, total: Decimal) -> Order:
    return {"id": number, "customer": customer, "placed_at": placed_at, "status": STATUSES[0], "total": total}


def place(db: Client, number: str, customer: str, placed_at: str, total: Decimal) -> bool:
    """False if there is an order with this number already."""
    return _succeeds(
        lambda: db.put_item(
            TableName=TABLE,
            Item=new_order(number, customer, placed_at, total),
            ConditionExpression=Attr("id").not_exists(),
        )
    )


def order(db: Client, number: str) -> Order | None:
    return db.get_item(TableName=TABLE, Key={"id": number}).get("Item")


def orders_of(db: Client, customer: str) -> list[Order]:
    """The newest orders of a customer."""
    condition = Key("customer").eq(customer)
    return db.query(
        TableName=TABLE, IndexName=BY_CUSTOMER, KeyConditionExpression=condition, ScanIndexForward=False, Limit=PAGE
    )["Items"]


def waiting(db: Client, status: str) -> list[Order]:
    """The orders that have waited longest in a status, with their totals only."""
    condition = Key("status").eq(status)
    return db.query(TableName=TABLE, IndexName=BY_STATUS, KeyConditionExpression=condition, Limit=PAGE)["Items"]


def advance(db: Client, number: str, status: str) -> bool:
    """Moves an order out of this status into the next one. False if somebody else has done so."""
    following = STATUSES[STATUSES.index(status) + 1 :]
    change = {"UpdateExpression": "SET #status = :next"} if following else {"UpdateExpression": "REMOVE #status"}
    values = {":now": status} | ({":next": following[0]} if following else {})
    return _succeeds(
        lambda: db.update_item(
            TableName=TABLE,
            Key={"id": number},
            ConditionExpression="#status = :now",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=values,
            **change,
        )
    )


def annotate(db: Client, number: str, note: str) -> None:
    """Changes an attribute that the index by status does not have."""
    db.update_item(
        TableName=TABLE,
        Key={"id": number},
        UpdateExpression="SET note = :note",
        ExpressionAttributeValues={":note": note},
    )


def _succeeds(write: Callable[[], object]) -> bool:
    try:
        write()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]

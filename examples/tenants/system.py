"""Documents of many tenants in one table: the tenant is the partition key, so no Query goes from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from frame.client import Client

DOCUMENTS, BY_STATE = "Documents", "byState"


def create(db: Client) -> None:
    names = ("tenant", "document", "tenant_state")
    db.create_table(
        TableName=DOCUMENTS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[{"AttributeName": "tenant", "KeyType": "HASH"}, {"AttributeName": "document", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": BY_STATE,
                # The tenant is part of the index's key, too: each page belongs to one tenant, and so do its invalidations.
                "KeySchema": [
                    {"AttributeName": "tenant_state", "KeyType": "HASH"},
                    {"AttributeName": "document", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )


def document_item(tenant: str, name: str, state: str, title: str, text: str) -> dict[str, Any]:
    return {"tenant": tenant, "document": name, "tenant_state": f"{tenant}#{state}", "title": title, "body": text}


def document(db: Client, tenant: str, name: str) -> dict[str, Any] | None:
    return db.get_item(TableName=DOCUMENTS, Key={"tenant": tenant, "document": name}).get("Item")


def start_page(db: Client, tenant: str) -> list[str]:
    """The titles of the tenant's first 20 documents."""
    of_tenant = Key("tenant").eq(tenant)
    page = db.query(TableName=DOCUMENTS, KeyConditionExpression=of_tenant, ProjectionExpression="title", Limit=20)
    return [found["title"] for found in page["Items"]]


def in_state(db: Client, tenant: str, state: str) -> list[str]:
    of_state = Key("tenant_state").eq(f"{tenant}#{state}")
    page = db.query(TableName=DOCUMENTS, IndexName=BY_STATE, KeyConditionExpression=of_state)
    return [found["document"] for found in page["Items"]]


def save(db: Client, tenant: str, name: str, state: str, title: str, text: str) -> None:
    db.put_item(TableName=DOCUMENTS, Item=document_item(tenant, name, state, title, text))


def move(db: Client, tenant: str, name: str, state: str) -> bool:
    """Gives a document another state; says False if there is none."""
    try:
        db.update_item(
            TableName=DOCUMENTS,
            Key={"tenant": tenant, "document": name},
            UpdateExpression="SET tenant_state = :state",
            ConditionExpression="attribute_exists(tenant)",
            ExpressionAttributeValues={":state": f"{tenant}#{state}"},
        )
    except db.exceptions.ConditionalCheckFailedException:
        return False
    return True


def export(db: Client, tenant: str, page_items: int = 100) -> Iterator[dict[str, Any]]:
    """Every document of a tenant, page by page."""
    return _pages(db.query, KeyConditionExpression=Key("tenant").eq(tenant), Limit=page_items)


def search(db: Client, tenant: str, word: str) -> list[str]:
    """A Scan of the whole table with a filter. It reads the documents of all tenants: the mistake of the noisy one."""
    matches = Attr("tenant").eq(tenant) & Attr("title").contains(word)
    return sorted(found["document"] for found in _pages(db.scan, FilterExpression=matches))


def _pages(read: Any, **request: Any) -> Iterator[dict[str, Any]]:
    while True:
        page = read(TableName=DOCUMENTS, **request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

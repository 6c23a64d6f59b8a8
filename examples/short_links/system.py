"""A URL shortener: links that are read all the time, and their clicks, counted beside them in shards."""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from frame.client import Client

LINKS, CLICKS, BY_OWNER = "Links", "Clicks", "byOwner"
SHARDS = 8  # items that share the clicks of a link: DynamoDB takes at most 1,000 writes a second of one item


def create(db: Client) -> None:
    db.create_table(
        TableName=LINKS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("code", "owner", "created")],
        KeySchema=[{"AttributeName": "code", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": BY_OWNER,
                "KeySchema": [
                    {"AttributeName": "owner", "KeyType": "HASH"},
                    {"AttributeName": "created", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    db.create_table(
        TableName=CLICKS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "counter", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "counter", "KeyType": "HASH"}],
    )


def shorten(db: Client, code: str, target: str, owner: str, created: str) -> bool:
    """Creates a link; says False if the code is taken."""
    link = {"code": code, "target": target, "owner": owner, "created": created}
    try:
        db.put_item(TableName=LINKS, Item=link, ConditionExpression=Attr("code").not_exists())
    except db.exceptions.ConditionalCheckFailedException:
        return False
    return True


def target_of(db: Client, code: str) -> str | None:
    """Where the code leads to. The cache also keeps that a code leads nowhere, which helps against those who guess codes."""
    link = db.get_item(TableName=LINKS, Key={"code": code}).get("Item")
    return link["target"] if link else None


def follow(db: Client, code: str, shard: int) -> str | None:
    """Reads a link and counts the click beside it. The caller draws the shard, so that clicks spread over all of them."""
    target = target_of(db, code)
    if target:
        db.update_item(TableName=CLICKS, Key={"counter": f"{code}/{shard}"}, **_one_more())
    return target


def follow_counting_inside(db: Client, code: str) -> str | None:
    """The same with a counter in the link's own item: each click changes the link, and every page that shows it."""
    target = target_of(db, code)
    if target:
        db.update_item(TableName=LINKS, Key={"code": code}, **_one_more())
    return target


def clicks_of(db: Client, code: str) -> int:
    """All clicks: one BatchGetItem over the shards. Those that nobody has clicked since are hits."""
    waiting = {CLICKS: {"Keys": [{"counter": f"{code}/{shard}"} for shard in range(SHARDS)]}}
    clicks = 0
    while waiting:
        answer = db.batch_get_item(RequestItems=waiting)
        clicks += sum(int(item["clicks"]) for item in answer["Responses"].get(CLICKS, []))
        waiting = answer["UnprocessedKeys"]
    return clicks


def links_of(db: Client, owner: str) -> list[dict[str, Any]]:
    """The latest links of an owner, the newest first."""
    return db.query(
        TableName=LINKS,
        IndexName=BY_OWNER,
        KeyConditionExpression=Key("owner").eq(owner),
        ScanIndexForward=False,
        Limit=20,
    )["Items"]


def retarget(db: Client, code: str, target: str) -> None:
    db.update_item(
        TableName=LINKS,
        Key={"code": code},
        UpdateExpression="SET target = :target",
        ConditionExpression="attribute_exists(code)",
        ExpressionAttributeValues={":target": target},
    )


def delete(db: Client, code: str) -> None:
    db.delete_item(TableName=LINKS, Key={"code": code})


def _one_more() -> dict[str, Any]:
    return {"UpdateExpression": "ADD clicks :one", "ExpressionAttributeValues": {":one": 1}}

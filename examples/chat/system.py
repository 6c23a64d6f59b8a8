"""Chat: channels of many organisations in one table, history in daily buckets, members by an inverted index."""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.conditions import Key

from frame.client import Client

TABLE = "Chat"
BY_MEMBER = "byMember"

DAY = 86400
PAGE = 20

Message = dict[str, Any]


def create(db: Client) -> None:
    db.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "member", "channel")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": BY_MEMBER,
                "KeySchema": [
                    {"AttributeName": "member", "KeyType": "HASH"},
                    {"AttributeName": "channel", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    db.get_waiter("table_exists").wait(TableName=TABLE)


def message_item(org: str, channel: str, author: str, at: int, text: str) -> Message:
    return {**message_key(org, channel, author, at), "author": author, "at": at, "text": text}


def message_key(org: str, channel: str, author: str, at: int) -> dict[str, str]:
    return {"pk": _bucket(org, channel, at // DAY), "sk": f"{at:012d}#{author}"}


def membership_item(org: str, channel: str, user: str) -> dict[str, str]:
    """Only memberships have `member` and `channel`, so nothing else is in the index."""
    return {"pk": f"{org}#MEMBERS#{channel}", "sk": user, "member": f"{org}#{user}", "channel": channel}


def send(db: Client, org: str, channel: str, author: str, at: int, text: str) -> None:
    db.put_item(TableName=TABLE, Item=message_item(org, channel, author, at, text))


def edit(db: Client, org: str, channel: str, author: str, at: int, text: str) -> None:
    """Changes a message that is there."""
    db.update_item(
        TableName=TABLE,
        Key=message_key(org, channel, author, at),
        UpdateExpression="SET #text = :text, edited = :yes",
        ConditionExpression="attribute_exists(pk)",
        ExpressionAttributeNames={"#text": "text"},
        ExpressionAttributeValues={":text": text, ":yes": True},
    )


def messages(db: Client, org: str, channel: str, day: int) -> list[Message]:
    """The newest messages of a day, newest first."""
    condition = Key("pk").eq(_bucket(org, channel, day))
    return db.query(TableName=TABLE, KeyConditionExpression=condition, ScanIndexForward=False, Limit=PAGE)["Items"]


def join(db: Client, org: str, channel: str, user: str) -> None:
    db.put_item(TableName=TABLE, Item=membership_item(org, channel, user))


def leave(db: Client, org: str, channel: str, user: str) -> None:
    db.delete_item(TableName=TABLE, Key={"pk": f"{org}#MEMBERS#{channel}", "sk": user})


def members(db: Client, org: str, channel: str) -> list[str]:
    answer = db.query(TableName=TABLE, KeyConditionExpression=Key("pk").eq(f"{org}#MEMBERS#{channel}"))
    return [item["sk"] for item in answer["Items"]]


def channels(db: Client, org: str, user: str) -> list[str]:
    """The channels of a user, by the inverted index."""
    condition = Key("member").eq(f"{org}#{user}")
    return [item["channel"] for item in db.query(TableName=TABLE, IndexName=BY_MEMBER, KeyConditionExpression=condition)["Items"]]


def mark_read(db: Client, org: str, channel: str, user: str, at: int) -> None:
    """Remembers how far a user has read. In a partition of the user: it changes nothing that others look at."""
    db.put_item(TableName=TABLE, Item={"pk": f"{org}#READ#{user}", "sk": channel, "at": at})


def read_until(db: Client, org: str, user: str, channel_names: list[str]) -> dict[str, int]:
    """How far a user has read in each of these channels."""
    if not channel_names:
        return {}
    keys = [{"pk": f"{org}#READ#{user}", "sk": channel} for channel in channel_names]
    answer = db.batch_get_item(RequestItems={TABLE: {"Keys": keys}})
    return {item["sk"]: int(item["at"]) for item in answer["Responses"][TABLE]}


def _bucket(org: str, channel: str, day: int) -> str:
    """Every partition begins with the organisation, by which rights can be limited (leading_keys)."""
    return f"{org}#CHANNEL#{channel}#{day}"

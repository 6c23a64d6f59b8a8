"""Microblog: posts, follows, home timelines that are put together when they are read, and tags spread over shards."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from boto3.dynamodb.conditions import Key

from frame.client import Client

TABLE = "Microblog"

SHARDS = 4
"""Partitions of a tag. A popular tag takes more writes than one partition may, so its posts are spread."""

PAGE = 10

Post = dict[str, Any]


def create(db: Client) -> None:
    db.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    db.get_waiter("table_exists").wait(TableName=TABLE)


def items_of(author: str, at: int, text: str, tags: list[str]) -> list[Post]:
    """A post as it is stored: once with its author, and once in a shard of each of its tags."""
    post: Post = {"author": author, "at": at, "text": text, "tags": tags}
    sort = f"{at:015d}#{author}"
    shard = crc32(sort.encode()) % SHARDS
    places = [_author(author), *(_tag(tag, shard) for tag in tags)]
    return [{"pk": place, "sk": sort, **post} for place in places]


def publish(db: Client, author: str, at: int, text: str, tags: list[str]) -> None:
    """Writes a post to all of its places, or to none."""
    puts = [{"Put": {"TableName": TABLE, "Item": item}} for item in items_of(author, at, text, tags)]
    db.transact_write_items(TransactItems=puts)


def withdraw(db: Client, author: str, at: int, tags: list[str]) -> None:
    keys = [{"pk": item["pk"], "sk": item["sk"]} for item in items_of(author, at, "", tags)]
    db.transact_write_items(TransactItems=[{"Delete": {"TableName": TABLE, "Key": key}} for key in keys])


def post(db: Client, author: str, at: int) -> Post | None:
    return db.get_item(TableName=TABLE, Key={"pk": _author(author), "sk": f"{at:015d}#{author}"}).get("Item")


def author_timeline(db: Client, author: str) -> list[Post]:
    """The newest posts of an author."""
    return _newest(db, _author(author))


def tag_timeline(db: Client, tag: str) -> list[Post]:
    """The newest posts with a tag: the newest of each shard, merged."""
    return _merge([_newest(db, _tag(tag, shard)) for shard in range(SHARDS)])


def home_timeline(db: Client, reader: str) -> list[Post]:
    """The newest posts of those whom the reader follows. Every follower of an author asks for the same page."""
    return _merge([author_timeline(db, author) for author in following(db, reader)])


def follow(db: Client, reader: str, author: str) -> None:
    db.put_item(TableName=TABLE, Item={"pk": _reader(reader), "sk": author})


def unfollow(db: Client, reader: str, author: str) -> None:
    db.delete_item(TableName=TABLE, Key={"pk": _reader(reader), "sk": author})


def following(db: Client, reader: str) -> list[str]:
    """Whom a reader follows. In a partition of its own: a post of the reader does not change it."""
    answer = db.query(TableName=TABLE, KeyConditionExpression=Key("pk").eq(_reader(reader)))
    return [item["sk"] for item in answer["Items"]]


def _newest(db: Client, place: str) -> list[Post]:
    answer = db.query(TableName=TABLE, KeyConditionExpression=Key("pk").eq(place), ScanIndexForward=False, Limit=PAGE)
    return answer["Items"]


def _merge(pages: list[list[Post]]) -> list[Post]:
    return sorted((item for page in pages for item in page), key=lambda item: item["sk"], reverse=True)[:PAGE]


def _author(author: str) -> str:
    return f"AUTHOR#{author}"


def _reader(reader: str) -> str:
    return f"READER#{reader}"


def _tag(tag: str, shard: int) -> str:
    return f"TAG#{tag}#{shard}"

"""A photo network in one table: users, photos, followers, likes, and a feed made in two ways.

pushed  a post is copied into the feed of each follower: one Query reads a feed, and a post is as many writes as there are followers
pulled  a feed is merged from the latest photos of those whom one follows: a post is one write, and all followers read its page
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from boto3.dynamodb.conditions import Key

from frame.client import Client, put_all

PHOTOS, BY_TARGET = "Photos", "byTarget"
FEED = 10  # photos in a feed


def create(db: Client) -> None:
    db.create_table(
        TableName=PHOTOS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "target")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                # Sparse: only who follows whom has a target, so no other write changes the index.
                "IndexName": BY_TARGET,
                "KeySchema": [{"AttributeName": "target", "KeyType": "HASH"}, {"AttributeName": "pk", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )


def profile_item(user: str, about: str) -> dict[str, Any]:
    return {"pk": f"USER#{user}", "sk": "PROFILE", "about": about}


def photo_item(author: str, at: int, caption: str) -> dict[str, Any]:
    """The sort key is the time, so the latest photos are the end of the partition."""
    return {"pk": f"PHOTOS#{author}", "sk": f"{at:010}", "author": author, "caption": caption}


def follow_item(user: str, author: str) -> dict[str, Any]:
    return {"pk": f"FOLLOWS#{user}", "sk": author, "target": author}


def feed_items(users: Iterable[str], author: str, at: int) -> Iterable[dict[str, Any]]:
    return ({"pk": f"FEED#{user}", "sk": f"{at:010}#{author}"} for user in users)


def profile(db: Client, user: str) -> dict[str, Any] | None:
    return db.get_item(TableName=PHOTOS, Key={"pk": f"USER#{user}", "sk": "PROFILE"}).get("Item")


def follow(db: Client, user: str, author: str) -> None:
    db.put_item(TableName=PHOTOS, Item=follow_item(user, author))


def unfollow(db: Client, user: str, author: str) -> None:
    db.delete_item(TableName=PHOTOS, Key={"pk": f"FOLLOWS#{user}", "sk": author})


def followed_by(db: Client, user: str) -> list[str]:
    page = db.query(TableName=PHOTOS, KeyConditionExpression=Key("pk").eq(f"FOLLOWS#{user}"))
    return [edge["sk"] for edge in page["Items"]]


def followers_of(db: Client, author: str) -> list[str]:
    """The same edges from the other end."""
    page = db.query(TableName=PHOTOS, IndexName=BY_TARGET, KeyConditionExpression=Key("target").eq(author))
    return [edge["pk"].removeprefix("FOLLOWS#") for edge in page["Items"]]


def post(db: Client, author: str, at: int, caption: str) -> None:
    db.put_item(TableName=PHOTOS, Item=photo_item(author, at, caption))


def push(db: Client, author: str, at: int) -> None:
    """Puts a posted photo into the feed of each follower, in batches."""
    put_all(db, PHOTOS, feed_items(followers_of(db, author), author, at))


def photos_of(db: Client, author: str) -> list[dict[str, Any]]:
    """The author's latest photos, the newest first: a page that all followers share."""
    return _latest(db, f"PHOTOS#{author}")


def pulled_feed(db: Client, user: str) -> list[dict[str, Any]]:
    newest = (photo for author in followed_by(db, user) for photo in photos_of(db, author))
    return heapq.nlargest(FEED, newest, key=_moment)


def pushed_feed(db: Client, user: str) -> list[dict[str, Any]]:
    """One Query for the feed, and one BatchGetItem for its photos, which are items that all readers share."""
    entries = [entry["sk"].split("#") for entry in _latest(db, f"FEED#{user}")]
    waiting = {PHOTOS: {"Keys": [{"pk": f"PHOTOS#{author}", "sk": at} for at, author in entries]}} if entries else {}
    found: list[dict[str, Any]] = []
    while waiting:
        answer = db.batch_get_item(RequestItems=waiting)
        found += answer["Responses"].get(PHOTOS, [])
        waiting = answer["UnprocessedKeys"]
    return sorted(found, key=_moment, reverse=True)


def like(db: Client, user: str, author: str, at: int) -> bool:
    """Each user once. The count is an item of its own, so a like changes neither the photo nor a page that shows it."""
    photo = f"{author}/{at:010}"
    liked = {"Item": {"pk": f"LIKES#{photo}", "sk": user}, "ConditionExpression": "attribute_not_exists(pk)"}
    counted = {"Key": {"pk": f"COUNT#{photo}", "sk": "LIKES"}, "UpdateExpression": "ADD likes :one"}
    counted |= {"ExpressionAttributeValues": {":one": 1}}
    try:
        db.transact_write_items(TransactItems=[{"Put": {"TableName": PHOTOS} | liked}, {"Update": {"TableName": PHOTOS} | counted}])
    except db.exceptions.TransactionCanceledException:
        return False
    return True


def likes_of(db: Client, author: str, at: int) -> int:
    key = {"pk": f"COUNT#{author}/{at:010}", "sk": "LIKES"}
    return int(db.get_item(TableName=PHOTOS, Key=key).get("Item", {}).get("likes", 0))


def _latest(db: Client, partition: str) -> list[dict[str, Any]]:
    page = db.query(TableName=PHOTOS, KeyConditionExpression=Key("pk").eq(partition), ScanIndexForward=False, Limit=FEED)
    return page["Items"]


def _moment(photo: dict[str, Any]) -> tuple[str, str]:
    return photo["sk"], photo["author"]

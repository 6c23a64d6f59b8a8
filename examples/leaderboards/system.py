"""Leaderboards of many games: one table, and three indexes that answer "the best ten" at different prices for writes.

whole   every score of a game in one partition of the index: one Query, and each new score changes its page
bucket  the players of a game spread over BUCKETS partitions: as many queries, merged; a new score changes one of the pages
tier    a partition for each range of scores: the best are read from the highest tier down, and few new scores reach that
"""

from __future__ import annotations

import heapq
from typing import Any
from zlib import crc32

from boto3.dynamodb.conditions import Key

from frame.client import Client

SCORES = "Scores"
BUCKETS = 4
TIER = 1000  # points of one tier
TOP_TIER = 9  # scores of TIER * TOP_TIER and more

Entry = tuple[int, str]  # a score and its player


def create(db: Client) -> None:
    keys = ("game", "player", "game_bucket", "game_tier")
    indexes = (("byScore", "game"), ("byBucket", "game_bucket"), ("byTier", "game_tier"))
    db.create_table(
        TableName=SCORES,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys]
        + [{"AttributeName": "score", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "player", "KeyType": "HASH"}, {"AttributeName": "game", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}, {"AttributeName": "score", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for index, key in indexes
        ],
    )


def score_item(game: str, player: str, score: int) -> dict[str, Any]:
    """A score with its partition in each index."""
    bucket, tier = crc32(player.encode()) % BUCKETS, min(score // TIER, TOP_TIER)
    places = {"game_bucket": f"{game}#{bucket}", "game_tier": f"{game}#{tier}"}
    return {"player": player, "game": game, "score": score} | places


def report(db: Client, game: str, player: str, score: int) -> bool:
    """Stores a score if it is the player's best so far.

    Most are not, and the read in front finds that out, usually from memory. It may be late without harm: a best only grows,
    so whatever an old one excludes, the present one does. The condition is for two reports at once.
    """
    best = best_of(db, game, player)
    if best is not None and best >= score:
        return False
    new = score_item(game, player, score)
    try:
        db.update_item(
            TableName=SCORES,
            Key={"player": player, "game": game},
            UpdateExpression="SET score = :score, game_bucket = :bucket, game_tier = :tier",
            ConditionExpression="attribute_not_exists(score) OR score < :score",
            ExpressionAttributeValues={":score": score, ":bucket": new["game_bucket"], ":tier": new["game_tier"]},
        )
    except db.exceptions.ConditionalCheckFailedException:
        return False
    return True


def best_of(db: Client, game: str, player: str) -> int | None:
    found = db.get_item(TableName=SCORES, Key={"player": player, "game": game}).get("Item")
    return int(found["score"]) if found else None


def games_of(db: Client, player: str) -> dict[str, int]:
    page = db.query(TableName=SCORES, KeyConditionExpression=Key("player").eq(player))
    return {found["game"]: int(found["score"]) for found in page["Items"]}


def top_by_whole(db: Client, game: str, count: int = 10) -> list[Entry]:
    return _page(db, "byScore", "game", game, count)


def top_by_buckets(db: Client, game: str, count: int = 10) -> list[Entry]:
    """Each bucket's best, merged: the best of all are among them."""
    pages = [_page(db, "byBucket", "game_bucket", f"{game}#{bucket}", count) for bucket in range(BUCKETS)]
    return heapq.nsmallest(count, (entry for page in pages for entry in page), key=_place)


def top_by_tiers(db: Client, game: str, count: int = 10) -> list[Entry]:
    """From the highest tier down until there are enough."""
    found: list[Entry] = []
    for tier in range(TOP_TIER, -1, -1):
        found += _page(db, "byTier", "game_tier", f"{game}#{tier}", count)
        if len(found) >= count:
            break
    return found[:count]


def rank(db: Client, game: str, player: str) -> int | None:
    """The player's place, from 1 on: a count of those with more points. It reads that part of the index."""
    score = best_of(db, game, player)
    if score is None:
        return None
    above = {"IndexName": "byScore", "KeyConditionExpression": Key("game").eq(game) & Key("score").gt(score)}
    return db.query(TableName=SCORES, Select="COUNT", **above)["Count"] + 1


def _page(db: Client, index: str, key: str, value: str, count: int) -> list[Entry]:
    answer = db.query(
        TableName=SCORES,
        IndexName=index,
        KeyConditionExpression=Key(key).eq(value),
        ScanIndexForward=False,
        Limit=count,
    )
    return sorted(((int(found["score"]), found["player"]) for found in answer["Items"]), key=_place)


def _place(entry: Entry) -> tuple[int, str]:
    score, player = entry
    return -score, player

"""Sensors: readings in buckets of an hour, the latest of each sensor, and a time to live."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from boto3.dynamodb.conditions import Key

from frame.client import Client

TABLE = "Sensors"

BUCKET_SECONDS = 3600

Reading = dict[str, Any]


def create(db: Client) -> None:
    db.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "bucket", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "bucket", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
    )
    db.get_waiter("table_exists").wait(TableName=TABLE)
    db.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})


def items_of(sensor: str, at: int, value: Decimal, expires: int) -> list[Reading]:
    """A reading as it is stored: in the bucket of its hour, and as the sensor's latest."""
    reading: Reading = {"sensor": sensor, "value": value, "expires": expires}
    return [{"bucket": _bucket(sensor, at), "at": at, **reading}, {**_latest(sensor), "measured": at, **reading}]


def record(db: Client, sensor: str, at: int, value: Decimal, expires: int) -> None:
    """Two writes and no transaction: if the second fails, the next reading of the sensor repairs it."""
    for item in items_of(sensor, at, value, expires):
        db.put_item(TableName=TABLE, Item=item)


def latest(db: Client, sensor: str, now: int) -> Reading | None:
    """The last reading, unless it has expired. DynamoDB may take days to delete what has expired."""
    item = db.get_item(TableName=TABLE, Key=_latest(sensor)).get("Item")
    return item if item and item["expires"] > now else None


def dashboard(db: Client, sensors: list[str], now: int) -> dict[str, Decimal]:
    """The last value of each of these sensors."""
    answer = db.batch_get_item(RequestItems={TABLE: {"Keys": [_latest(sensor) for sensor in sensors]}})
    return {item["sensor"]: item["value"] for item in answer["Responses"][TABLE] if item["expires"] > now}


def history(db: Client, sensor: str, since: int, until: int, now: int) -> list[Reading]:
    """The readings from `since` up to before `until`: whole buckets are asked for, and the ends are cut off here.

    The request does not contain the time of day, so the next one is the same and may be a hit. That is also why expired readings are
    filtered here and not with a FilterExpression.
    """
    readings: list[Reading] = []
    for start in range(since - since % BUCKET_SECONDS, until, BUCKET_SECONDS):
        readings += _hour(db, sensor, start)
    return [reading for reading in readings if since <= reading["at"] < until and reading["expires"] > now]


def _hour(db: Client, sensor: str, start: int) -> list[Reading]:
    """All readings of an hour. They fit into one page: 3,600 of 100 bytes."""
    condition = Key("bucket").eq(_bucket(sensor, start))
    return db.query(TableName=TABLE, KeyConditionExpression=condition)["Items"]


def _bucket(sensor: str, at: int) -> str:
    return f"{sensor}#{at // BUCKET_SECONDS}"


def _latest(sensor: str) -> dict[str, Any]:
    return {"bucket": f"{sensor}#latest", "at": 0}

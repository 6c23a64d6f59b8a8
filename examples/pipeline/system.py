"""Batch work beside live traffic: orders summed up in parallel, and moved to a table with another key while they are used.

The old table has an order's number as its key. The new one has the customer first, so that one Query lists a customer's orders.
The item `migration` in the table of switches says how far the move is. Every operation reads it, so it is nearly always a hit.

step   writes go to               reads come from
old    the old table              the old one
both   both, the old one first    the old one       (backfill and verification run now)
new    both, the new one first    the new one       (there is still a way back)
done   the new table              the new one
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from frame.client import Client

OLD, NEW, TOTALS, SWITCHES = "OrdersByNumber", "OrdersByCustomer", "Totals", "Switches"
SEGMENTS = 4
BATCH_WRITE, BATCH_GET = 25, 100  # items that one request takes

Order = dict[str, Any]  # customer, number, version, cents; `deleted` if it is


def create(db: Client) -> None:
    for table, keys in ((OLD, ["number"]), (NEW, ["customer", "number"]), (TOTALS, ["customer"]), (SWITCHES, ["switch"])):
        db.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))],
        )


def step_of(db: Client) -> str:
    return db.get_item(TableName=SWITCHES, Key={"switch": "migration"}).get("Item", {}).get("step", "old")


def switch(db: Client, step: str) -> None:
    """Goes one step on or back. A write that has read the former step may still be in flight: wait for those before the next."""
    db.put_item(TableName=SWITCHES, Item={"switch": "migration", "step": step})


def order(db: Client, customer: str, number: str) -> Order | None:
    table = OLD if step_of(db) in ("old", "both") else NEW
    found = db.get_item(TableName=table, Key=key_of(table, {"customer": customer, "number": number})).get("Item")
    return None if found is None or "deleted" in found else found


def orders_of(db: Client, customer: str) -> list[Order]:
    """The access pattern that the move is for: until reads are switched, only a Scan answers it."""
    if step_of(db) in ("old", "both"):
        found = [item for item in scan(db, OLD) if item["customer"] == customer]
    else:
        found = db.query(TableName=NEW, KeyConditionExpression=Key("customer").eq(customer))["Items"]
    return sorted((item for item in found if "deleted" not in item), key=lambda item: item["number"])


def save(db: Client, changed: Order) -> bool:
    """Stores an order of a higher version than the stored one; says False if it is not higher.

    The first table decides. In the second one a backfill may have put the order already, and the condition makes a repeated or
    overtaken write harmless. A write that fails between the two leaves the second one behind: repeat it, or let `verify` find
    it and `backfill` repair it.
    """
    tables = {"old": [OLD], "both": [OLD, NEW], "new": [NEW, OLD], "done": [NEW]}[step_of(db)]
    return [_put_newer(db, table, changed) for table in tables][0]


def delete(db: Client, customer: str, number: str, version: int) -> bool:
    """Leaves a tombstone. Without one, a backfill that has read the order before would bring it back."""
    return save(db, {"customer": customer, "number": number, "version": version, "deleted": True})


def scan(db: Client, table: str, segment: int = 0, segments: int = 1) -> Iterator[Order]:
    request: dict[str, Any] = {"TableName": table, "Segment": segment, "TotalSegments": segments}
    while True:
        page = db.scan(**request)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def write_all(db: Client, table: str, items: Iterable[dict[str, Any]], attempts: int = 8) -> int:
    """Writes items in batches, and once more those that a batch leaves unprocessed. Returns the number of requests."""
    waiting = [{"PutRequest": {"Item": item}} for item in items]
    requests = failures = 0
    while waiting:
        batch, waiting = waiting[:BATCH_WRITE], waiting[BATCH_WRITE:]
        left = db.batch_write_item(RequestItems={table: batch})["UnprocessedItems"].get(table, [])
        waiting = left + waiting
        requests += 1
        failures = failures + 1 if left else 0
        if failures == attempts:
            raise RuntimeError(f"{table} left items unprocessed {attempts} times in a row; {len(waiting)} are not written")
        if left:
            # The table is throttled, and an immediate repetition would be throttled, too.
            time.sleep(min(0.01 * 2**failures, 1.0))
    return requests


def read_all(db: Client, table: str, orders: Iterable[Order]) -> list[Order]:
    """The same orders as they are in a table, strongly consistent. Those that are not there are missing."""
    waiting = [key_of(table, item) for item in orders]
    found: list[Order] = []
    while waiting:
        batch, waiting = waiting[:BATCH_GET], waiting[BATCH_GET:]
        answer = db.batch_get_item(RequestItems={table: {"Keys": batch, "ConsistentRead": True}})
        found += answer["Responses"].get(table, [])
        waiting += answer["UnprocessedKeys"].get(table, {}).get("Keys", [])
    return found


def sum_up(db: Client, table: str) -> dict[str, int]:
    """The pipeline: extract by a parallel Scan, sum the cents of each customer, load the sums in batches."""

    def summed(segment: int) -> Counter[str]:
        cents: Counter[str] = Counter()
        for item in scan(db, table, segment, SEGMENTS):
            if "deleted" not in item:
                cents[item["customer"]] += int(item["cents"])
        return cents

    with ThreadPoolExecutor(SEGMENTS) as threads:
        totals: Counter[str] = sum(threads.map(summed, range(SEGMENTS)), Counter())
    write_all(db, TOTALS, ({"customer": customer, "cents": cents} for customer, cents in totals.items()))
    return dict(totals)


def total_of(db: Client, customer: str) -> int:
    return int(db.get_item(TableName=TOTALS, Key={"customer": customer}).get("Item", {}).get("cents", 0))


def backfill(db: Client) -> int:
    """Copies what is newer in the old table than in the new one. It may run beside writers, and again. Returns how many it copied."""

    def copied(segment: int) -> int:
        return sum(_put_newer(db, NEW, item) for item in scan(db, OLD, segment, SEGMENTS))

    with ThreadPoolExecutor(SEGMENTS) as threads:
        return sum(threads.map(copied, range(SEGMENTS)))


def verify(db: Client) -> list[str]:
    """The numbers of the orders that differ between the tables. While there are writers, ask again for those."""
    differing: list[str] = []
    for segment in range(SEGMENTS):
        old = {item["number"]: item for item in read_all(db, OLD, scan(db, OLD, segment, SEGMENTS))}
        new = {item["number"]: item for item in read_all(db, NEW, old.values())}
        differing += [number for number, item in old.items() if new.get(number) != item]
    return sorted(differing)


def _put_newer(db: Client, table: str, item: Order) -> bool:
    newer = Attr("version").not_exists() | Attr("version").lt(item["version"])
    try:
        db.put_item(TableName=table, Item=item, ConditionExpression=newer)
    except db.exceptions.ConditionalCheckFailedException:
        return False
    return True


def key_of(table: str, item: Order) -> dict[str, str]:
    return {name: item[name] for name in (("number",) if table == OLD else ("customer", "number"))}

"""A boto3 client that records of each call how long it took and whether the cache answered it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BATCH_WRITE_ITEMS_MAX = 25


@dataclass(frozen=True)
class Call:
    """One request: its operation, the header x-nearside-cache of its answer, and the time until boto3 returned."""

    operation: str
    source: str
    seconds: float

    def hits_and_misses(self) -> tuple[int, int]:
        """How many reads the cache answered, and how many it did not. Each key of a BatchGetItem is a read."""
        if "=" in self.source:
            counts = {name: int(count) for name, count in (part.split("=") for part in self.source.split(","))}
            return counts.get("hit", 0), counts.get("miss", 0)
        return (1, 0) if self.source == "hit" else (0, 1)

    @property
    def is_write(self) -> bool:
        """By the operation, since an endpoint without a cache reports no source."""
        return not self.operation.startswith(("get_", "batch_get_", "transact_get_", "query", "scan"))

    @property
    def is_hit(self) -> bool:
        return not self.is_write and self.hits_and_misses()[1] == 0


_recorded = threading.local()


@contextmanager
def recording() -> Iterator[list[Call]]:
    """Collects the calls that this thread makes meanwhile, through whichever client."""
    calls: list[Call] = []
    before = getattr(_recorded, "calls", None)
    _recorded.calls = calls
    try:
        yield calls
    finally:
        _recorded.calls = before


class Client:
    """Behaves as the client of boto3's DynamoDB resource: plain Python values in and out, numbers as Decimal.

    It never sends a request twice, so that a test sees every error, and each call is one request.
    """

    def __init__(self, endpoint: str) -> None:
        resource = boto3.session.Session().resource(
            "dynamodb",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=64),
        )
        self._client = resource.meta.client
        self._operations = frozenset(self._client.meta.method_to_api_mapping)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name not in self._operations:
            return attribute

        def call(**arguments: Any) -> Any:
            begun = time.perf_counter()
            try:
                answer = attribute(**arguments)
            except ClientError as error:
                _record(name, error.response, begun)
                raise
            _record(name, answer, begun)
            return answer

        return call


def _record(operation: str, answer: dict[str, Any], begun: float) -> None:
    seconds = time.perf_counter() - begun
    calls = getattr(_recorded, "calls", None)
    if calls is not None:
        headers = answer["ResponseMetadata"].get("HTTPHeaders", {})
        calls.append(Call(operation, headers.get("x-nearside-cache", "none"), seconds))


def put_all(db: Client, table: str, items: Iterable[dict[str, Any]]) -> None:
    """Writes many items of one table, in batches."""
    batch: list[dict[str, Any]] = []

    def flush() -> None:
        requests = {table: [{"PutRequest": {"Item": item}} for item in batch]}
        while requests:
            requests = db.batch_write_item(RequestItems=requests)["UnprocessedItems"]
        batch.clear()

    for item in items:
        batch.append(item)
        if len(batch) == BATCH_WRITE_ITEMS_MAX:
            flush()
    if batch:
        flush()

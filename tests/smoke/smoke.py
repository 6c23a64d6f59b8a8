"""Drives a nearside binary with boto3: tables, items, expressions, batches, pages, errors, streams, expiry, hits, health and shutdown.

With --through, a second nearside stands behind the first as its remote upstream, and everything passes through both.
"""

import decimal
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import boto3
import botocore.config
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(binary, *upstream):
    port, admin = free_port(), free_port()
    listeners = ["--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}"]
    process = subprocess.Popen(
        [binary, *listeners, *(upstream or ["--in-memory"])],
        env=os.environ | {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"},
    )
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz").close()
            return process, port, admin
        except OSError:
            if process.poll() is not None:
                sys.exit(f"nearside ended with {process.returncode}")
            time.sleep(0.01)
    sys.exit("nearside does not listen")


def client_of(port, service="dynamodb"):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def source_of(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-nearside-cache"]


def fails_with(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response["Error"]
        return error.response
    raise AssertionError(f"expected {code}")


def tables(db):
    made = db.create_table(
        TableName="Orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "customer", "AttributeType": "S"},
            {"AttributeName": "number", "AttributeType": "N"},
            {"AttributeName": "state", "AttributeType": "S"},
            {"AttributeName": "placed", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "customer", "KeyType": "HASH"},
            {"AttributeName": "number", "KeyType": "RANGE"},
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "byPlaced",
                "KeySchema": [
                    {"AttributeName": "customer", "KeyType": "HASH"},
                    {"AttributeName": "placed", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "byState",
                "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    assert made["TableDescription"]["TableName"] == "Orders"
    db.get_waiter("table_exists").wait(TableName="Orders")
    assert db.list_tables()["TableNames"] == ["Orders"]
    fails_with("ResourceInUseException", db.create_table, TableName="Orders", BillingMode="PAY_PER_REQUEST",
               AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
               KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}])


def items(db, port):
    table = boto3.resource("dynamodb", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
                           aws_access_key_id="local", aws_secret_access_key="local").Table("Orders")
    key = {"customer": "ada", "number": 1}
    whole = dict(key, state="open", placed="2026-01-01", amount=decimal.Decimal("12.50"), tags={"a", "b"},
                 entries=[{"sku": "x", "count": 2}], note=None, paid=False, raw=b"\x00\x01")
    assert source_of(table.put_item(Item=whole)) == "write"
    first = table.get_item(Key=key)
    assert first["Item"] == whole, first["Item"]
    assert source_of(first) == "hit", "a write installs its after-image"
    assert "age" in first["ResponseMetadata"]["HTTPHeaders"]
    assert source_of(table.get_item(Key=key, ConsistentRead=True)) == "bypass"

    updated = table.update_item(Key=key, UpdateExpression="SET #s = :done, amount = amount + :more REMOVE note",
                                ExpressionAttributeNames={"#s": "state"},
                                ExpressionAttributeValues={":done": "done", ":more": 1}, ReturnValues="ALL_NEW")
    assert updated["Attributes"]["amount"] == decimal.Decimal("13.5")
    second = table.get_item(Key=key, ProjectionExpression="#s, entries[0].sku, note", ExpressionAttributeNames={"#s": "state"})
    assert second["Item"] == {"state": "done", "entries": [{"sku": "x"}]}, second["Item"]
    assert source_of(second) == "hit"
    silent = table.update_item(Key=key, UpdateExpression="SET paid = :yes", ExpressionAttributeValues={":yes": True})
    assert "Attributes" not in silent, "what only the cache asked for stays inside"
    third = table.get_item(Key=key, ReturnConsumedCapacity="TOTAL")
    assert third["Item"]["paid"] is True and source_of(third) == "hit"
    assert third["ConsumedCapacity"]["CapacityUnits"] == 0

    refused = fails_with("ConditionalCheckFailedException", db.put_item, TableName="Orders",
                         Item={"customer": {"S": "ada"}, "number": {"N": "1.0"}},
                         ConditionExpression="attribute_not_exists(customer)",
                         ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert refused["Item"]["amount"] == {"N": "13.5"}
    missing = {"customer": "nobody", "number": 1}
    assert "Item" not in table.get_item(Key=missing)
    absent = table.get_item(Key=missing)
    assert "Item" not in absent and source_of(absent) == "hit", "absence is cached too"
    table.put_item(Item=missing)
    assert table.get_item(Key=missing)["Item"] == missing
    table.delete_item(Key=missing)
    assert "Item" not in table.get_item(Key=missing)
    return table


def batches_and_pages(db, table):
    with table.batch_writer() as batch:
        for number in range(2, 102):
            batch.put_item(Item={"customer": "ada", "number": number, "state": "open", "placed": f"2026-02-{number:03}"})
    keys = [{"customer": {"S": "ada"}, "number": {"N": str(number)}} for number in range(1, 51)]
    asked = db.batch_get_item(RequestItems={"Orders": {"Keys": keys}})
    assert len(asked["Responses"]["Orders"]) == 50
    again = db.batch_get_item(RequestItems={"Orders": {"Keys": keys}})
    assert source_of(again) == "hit=50,miss=0", source_of(again)
    assert sorted(map(str, again["Responses"]["Orders"])) == sorted(map(str, asked["Responses"]["Orders"]))

    page = table.query(KeyConditionExpression=Key("customer").eq("ada") & Key("number").between(10, 20),
                       FilterExpression=Attr("state").eq("open"), ScanIndexForward=False)
    assert [int(item["number"]) for item in page["Items"]] == list(range(20, 9, -1))
    by_state = table.query(IndexName="byState", KeyConditionExpression=Key("state").eq("open"), Select="COUNT")
    assert by_state["Count"] == 100, by_state["Count"]
    by_placed = table.query(IndexName="byPlaced", KeyConditionExpression=Key("customer").eq("ada") & Key("placed").begins_with("2026-02-00"))
    assert by_placed["Count"] == 8, by_placed["Count"]
    seen = [item for page in db.get_paginator("scan").paginate(TableName="Orders", PaginationConfig={"PageSize": 7})
            for item in page["Items"]]
    assert len(seen) == 101, len(seen)
    parts = [db.scan(TableName="Orders", Segment=segment, TotalSegments=4)["Count"] for segment in range(4)]
    assert sum(parts) == 101, parts


def errors(db):
    fails_with("ResourceNotFoundException", db.get_item, TableName="Nothing", Key={"a": {"S": "a"}})
    fails_with("ValidationException", db.get_item, TableName="Orders", Key={"customer": {"S": "a"}})
    fails_with("ValidationException", db.query, TableName="Orders", KeyConditionExpression="customer = :c",
               ExpressionAttributeValues={":x": {"S": "a"}})
    fails_with("ValidationException", db.put_item, TableName="Orders",
               Item={"customer": {"S": "a"}, "number": {"N": "1"}, "big": {"S": "x" * 410_000}})
    fails_with("ValidationException", db.update_item, TableName="Orders", Key={"customer": {"S": "a"}, "number": {"N": "1"}},
               UpdateExpression="SET " + "(" * 1000 + "a" + ")" * 1000 + " = :v", ExpressionAttributeValues={":v": {"S": "a"}})


def records_of(streams, arn):
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    found = []
    for shard in shards:
        iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        page = {"Records": [None]}
        while iterator and page["Records"]:
            page = streams.get_records(ShardIterator=iterator)
            found += page["Records"]
            iterator = page.get("NextShardIterator")
    return found


def streams_and_expiry(db, streams, owner):
    """`owner` is the node that has the tables; what expires there is known there at once."""
    made = db.create_table(
        TableName="Sessions",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    arn = made["TableDescription"]["LatestStreamArn"]
    assert [stream["StreamArn"] for stream in streams.list_streams(TableName="Sessions")["Streams"]] == [arn]
    db.update_time_to_live(TableName="Sessions", TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    key = {"id": {"S": "1"}}
    db.put_item(TableName="Sessions", Item=key | {"until": {"N": str(int(time.time()) - 10)}})
    for _ in range(1000):
        if "Item" not in owner.get_item(TableName="Sessions", Key=key):
            break
        time.sleep(0.01)
    assert "Item" not in owner.get_item(TableName="Sessions", Key=key)
    put, removal = records_of(streams, arn)
    assert (put["eventName"], removal["eventName"]) == ("INSERT", "REMOVE"), (put, removal)
    assert removal["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}, removal
    assert removal["dynamodb"]["OldImage"] == put["dynamodb"]["NewImage"], (put, removal)
    db.delete_table(TableName="Sessions")
    assert streams.describe_stream(StreamArn=arn)["StreamDescription"]["StreamStatus"] == "DISABLED"
    fails_with("ResourceNotFoundException", streams.describe_stream, StreamArn=arn + "0")


def admin_pages(admin):
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read().decode()
    assert re.search(r'nearside_requests_total\{.*op="GetItem".*source="hit".*\} [1-9]', metrics), metrics
    assert re.search(r"nearside_stale_observed_total\S* 0\b", metrics), metrics
    assert "ada" not in metrics, "no user data in metrics"
    for page in ("livez", "readyz"):
        assert urllib.request.urlopen(f"http://127.0.0.1:{admin}/{page}").status == 200


def main():
    binary, *mode = sys.argv[1:]
    processes = [start(binary)]
    if mode == ["--through"]:
        processes.append(start(binary, "--upstream", f"http://127.0.0.1:{processes[0][1]}"))
    process, port, admin = processes[-1]
    try:
        db = client_of(port)
        tables(db)
        table = items(db, port)
        batches_and_pages(db, table)
        errors(db)
        streams_and_expiry(db, client_of(port, "dynamodbstreams"), client_of(processes[0][1]))
        admin_pages(admin)
        db.delete_table(TableName="Orders")
        db.get_waiter("table_not_exists").wait(TableName="Orders")
        fails_with("ResourceNotFoundException", table.get_item, Key={"customer": "ada", "number": 1})
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, process.returncode
    finally:
        for process, _, _ in processes:
            process.kill()
    print("smoke: all well")


main()

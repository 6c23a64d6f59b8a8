"""A table, an order, and reads of it: the header x-nearside-cache says who answered each request.

    python examples/first_hit.py [SECONDS]

With SECONDS, it goes on for that long to read twenty orders, of which it writes one now and then, for the console to show.

Needs boto3 from 1.28.0 on. Where the node is, which keys and which region, is for the AWS_… variables to say: see README.md.
"""

import random
import sys
import time

import boto3

client = boto3.client("dynamodb")


def source_of(answer):
    """Who answered: hit, miss, bypass, write and so on. Nothing, if it was not Nearside."""
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-nearside-cache")


def say(what, answer):
    print(f"{what:34} {source_of(answer)}")


# Before the first write: without the variables this client would write to a table of a real account.
tables = client.list_tables()
if source_of(tables) is None:
    raise SystemExit(f"{client.meta.endpoint_url} is not Nearside, so nothing is written: see docs/clients.md")
if "Orders" not in tables["TableNames"]:
    client.create_table(
        TableName="Orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )

one = {"id": {"S": "1"}}
two = {"id": {"S": "2"}}
query = {
    "TableName": "Orders",
    "KeyConditionExpression": "id = :id",
    "ExpressionAttributeValues": {":id": {"S": "1"}},
}
say("put order 1", client.put_item(TableName="Orders", Item=one | {"total": {"N": "12.50"}}))
say("get order 1", client.get_item(TableName="Orders", Key=one))
say("get order 1, consistent", client.get_item(TableName="Orders", Key=one, ConsistentRead=True))
say("get order 2, which is not there", client.get_item(TableName="Orders", Key=two))
say("get order 2 again", client.get_item(TableName="Orders", Key=two))
say("query order 1", client.query(**query))
say("query order 1 again", client.query(**query))
say("put order 1 anew", client.put_item(TableName="Orders", Item=one | {"total": {"N": "13.50"}}))
say("query order 1 once more", client.query(**query))
say("get order 1 once more", client.get_item(TableName="Orders", Key=one))

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0
if seconds:
    print(f"Reads and writes for {seconds:g} seconds: look at the console. Ctrl-C ends it.")
end = time.monotonic() + seconds
try:
    while time.monotonic() < end:
        key = {"id": {"S": str(random.randint(1, 20))}}
        if random.random() < 0.05:
            client.put_item(TableName="Orders", Item=key | {"total": {"N": f"{random.randint(100, 9999) / 100:.2f}"}})
        else:
            client.get_item(TableName="Orders", Key=key)
        time.sleep(0.02)
except KeyboardInterrupt:
    pass

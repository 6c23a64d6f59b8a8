"""A program that uses DynamoDB, as yours does: nothing in it knows of Nearside. Its endpoint and keys are variables."""

import os
import random
import time

import boto3

TABLE = "Orders"
# None: until it is stopped.
ROUNDS = int(os.environ["ROUNDS"]) if "ROUNDS" in os.environ else None


def create_table(client):
    try:
        client.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
    except client.exceptions.ResourceInUseException:
        pass
    client.get_waiter("table_exists").wait(TableName=TABLE)


def one_round(client):
    """A write and ten reads. Returns how many of them were hits."""
    order = str(random.randrange(100))
    client.put_item(TableName=TABLE, Item={"id": {"S": order}, "total": {"N": str(random.randrange(10_000))}})
    reads = [client.get_item(TableName=TABLE, Key={"id": {"S": str(random.randrange(100))}}) for _ in range(10)]
    return sum(read["ResponseMetadata"]["HTTPHeaders"].get("x-nearside-cache") == "hit" for read in reads)


def main():
    client = boto3.client("dynamodb")
    create_table(client)
    done = hits = 0
    while ROUNDS is None or done < ROUNDS:
        hits += one_round(client)
        done += 1
        if done % 50 == 0:
            print(f"{done} writes, {done * 10} reads, {hits} of them hits", flush=True)
        # A load that a laptop does not notice.
        time.sleep(0.1 if ROUNDS is None else 0)
    print(f"ended: {done} writes, {done * 10} reads, {hits} of them hits", flush=True)


if __name__ == "__main__":
    main()

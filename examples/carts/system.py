"""Sessions and shopping carts: two tables, and an index that finds the sessions of a customer."""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from frame.client import Client

SESSIONS, CARTS, BY_CUSTOMER = "Sessions", "Carts", "byCustomer"
LIFE = 1800  # seconds that a session lives after it was last touched
LINE_MAX = 99  # the largest quantity of one line
MERGE_LINES = 50  # a line takes two of the 100 actions of a transaction


def create(db: Client) -> None:
    db.create_table(
        TableName=SESSIONS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "customer")],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": BY_CUSTOMER,
                "KeySchema": [{"AttributeName": "customer", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    db.update_time_to_live(TableName=SESSIONS, TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True})
    db.create_table(
        TableName=CARTS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("cart", "sku")],
        KeySchema=[{"AttributeName": "cart", "KeyType": "HASH"}, {"AttributeName": "sku", "KeyType": "RANGE"}],
    )


def start_session(db: Client, session: str, now: int) -> None:
    db.put_item(TableName=SESSIONS, Item={"id": session, "expires": now + LIFE}, ConditionExpression=Attr("id").not_exists())


def session_of(db: Client, session: str, now: int) -> dict[str, Any] | None:
    """The session, unless it has expired: DynamoDB removes it only some time after that."""
    found = db.get_item(TableName=SESSIONS, Key={"id": session}).get("Item")
    return found if found and found["expires"] > now else None


def touch(db: Client, found: dict[str, Any], now: int) -> bool:
    """Extends a session that has passed half of its life. To extend it at each request would make each request a write."""
    if found["expires"] - now > LIFE // 2:
        return False
    try:
        db.update_item(
            TableName=SESSIONS,
            Key={"id": found["id"]},
            UpdateExpression="SET expires = :until",
            ConditionExpression="expires > :now",
            ExpressionAttributeValues={":until": now + LIFE, ":now": now},
        )
    except db.exceptions.ConditionalCheckFailedException:
        return False  # It expired, or somebody signed out.
    return True


def sign_in(db: Client, session: str, customer: str, now: int) -> None:
    """Gives the session to a customer, and the lines of its cart to the customer's."""
    db.update_item(
        TableName=SESSIONS,
        Key={"id": session},
        UpdateExpression="SET customer = :customer",
        ConditionExpression="expires > :now",
        ExpressionAttributeValues={":customer": customer, ":now": now},
    )
    merge(db, session, customer)


def sessions_of(db: Client, customer: str) -> list[str]:
    page = db.query(TableName=SESSIONS, IndexName=BY_CUSTOMER, KeyConditionExpression=Key("customer").eq(customer))
    return sorted(item["id"] for item in page["Items"])


def sign_out_everywhere(db: Client, customer: str) -> None:
    for session in sessions_of(db, customer):
        db.delete_item(TableName=SESSIONS, Key={"id": session})


def cart_of(db: Client, cart: str) -> dict[str, int]:
    """The quantity of each sku in the cart of a session or a customer."""
    page = db.query(TableName=CARTS, KeyConditionExpression=Key("cart").eq(cart))
    return {line["sku"]: int(line["quantity"]) for line in page["Items"]}


def add(db: Client, cart: str, sku: str, count: int = 1) -> bool:
    """Adds to a line; says False if it would grow over LINE_MAX. DynamoDB computes the sum, so no read comes before it."""
    try:
        db.update_item(TableName=CARTS, **_added(cart, sku, count, LINE_MAX))
    except db.exceptions.ConditionalCheckFailedException:
        return False
    return True


def remove(db: Client, cart: str, sku: str) -> None:
    db.delete_item(TableName=CARTS, Key={"cart": cart, "sku": sku})


def merge(db: Client, source: str, target: str, attempts: int = 5) -> None:
    """Moves the lines of one cart into another, each line once.

    The read may come from the cache. The condition on each quantity rejects a line that has changed since, and the next
    attempt reads the new one.
    """
    for _ in range(attempts):
        lines = list(cart_of(db, source).items())[:MERGE_LINES]
        if not lines:
            return
        moves: list[dict[str, Any]] = []
        for sku, quantity in lines:
            taken = {"TableName": CARTS, "Key": {"cart": source, "sku": sku}, "ConditionExpression": "quantity = :seen"}
            moves.append({"Delete": taken | {"ExpressionAttributeValues": {":seen": quantity}}})
            # Two full lines make one of twice the size, since to lose what somebody wants to buy is worse.
            moves.append({"Update": {"TableName": CARTS, **_added(target, sku, quantity, LINE_MAX * 2)}})
        try:
            db.transact_write_items(TransactItems=moves)
        except db.exceptions.TransactionCanceledException:
            continue
    if cart_of(db, source):
        raise RuntimeError(f"the cart {source} was not merged in {attempts} attempts")


def _added(cart: str, sku: str, count: int, most: int) -> dict[str, Any]:
    return {
        "Key": {"cart": cart, "sku": sku},
        "UpdateExpression": "ADD quantity :count",
        "ConditionExpression": "attribute_not_exists(quantity) OR quantity <= :room",
        "ExpressionAttributeValues": {":count": count, ":room": most - count},
    }

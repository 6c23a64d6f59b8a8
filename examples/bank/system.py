"""Bank: transfers and purchases as transactions that may be sent twice and happen once; balances are read through the cache."""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

from frame.client import Client

TABLE = "Bank"


class Refused(Exception):
    """A condition of the transaction failed, so nothing of it happened."""


def create(db: Client) -> None:
    db.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    db.get_waiter("table_exists").wait(TableName=TABLE)


def account_item(name: str, cents: int) -> dict[str, Any]:
    return {**_account(name), "cents": cents}


def product_item(name: str, price: int, stock: int) -> dict[str, Any]:
    return {**_product(name), "price": price, "stock": stock}


def open_account(db: Client, name: str, cents: int) -> None:
    db.put_item(TableName=TABLE, Item=account_item(name, cents), ConditionExpression="attribute_not_exists(pk)")


def stock_product(db: Client, name: str, price: int, stock: int) -> None:
    db.put_item(TableName=TABLE, Item=product_item(name, price, stock))


def balance(db: Client, name: str) -> int:
    return int(db.get_item(TableName=TABLE, Key=_account(name))["Item"]["cents"])


def statement(db: Client, name: str) -> list[dict[str, Any]]:
    """The newest entries of an account."""
    condition = Key("pk").eq(_entries(name))
    return db.query(TableName=TABLE, KeyConditionExpression=condition, ScanIndexForward=False, Limit=20)["Items"]


def product(db: Client, name: str) -> dict[str, Any]:
    return db.get_item(TableName=TABLE, Key=_product(name))["Item"]


def transfer(db: Client, token: str, at: int, payer: str, payee: str, cents: int) -> None:
    """Moves money, or raises Refused. Sent again with the same token within ten minutes, it changes nothing and succeeds."""
    _transact(
        db,
        token,
        [
            _take(payer, cents),
            _give(payee, cents),
            _put(payer, at, token, {"cents": -cents, "with": payee}),
            _put(payee, at, token, {"cents": cents, "with": payer}),
        ],
    )


def buy(db: Client, token: str, at: int, customer: str, shop: str, name: str, price: int) -> None:
    """Pays the price and takes one piece off the stock, or raises Refused: without money, without stock, or at another price."""
    take = {
        "TableName": TABLE,
        "Key": _product(name),
        "UpdateExpression": "SET stock = stock - :one",
        "ConditionExpression": "stock >= :one AND price = :price",
        "ExpressionAttributeValues": {":one": 1, ":price": price},
    }
    bought = {"cents": -price, "with": shop, "bought": name}
    _transact(db, token, [{"Update": take}, _take(customer, price), _give(shop, price), _put(customer, at, token, bought)])


def total(db: Client, names: list[str]) -> int:
    """The money of up to 100 accounts at one moment. A sum of single balances may see a transfer half."""
    gets = [{"Get": {"TableName": TABLE, "Key": _account(name)}} for name in names]
    answers = db.transact_get_items(TransactItems=gets)["Responses"]
    return sum(int(answer["Item"]["cents"]) for answer in answers)


def _transact(db: Client, token: str, items: list[dict[str, Any]]) -> None:
    try:
        db.transact_write_items(TransactItems=items, ClientRequestToken=token)
    except ClientError as error:
        reasons = {reason["Code"] for reason in error.response.get("CancellationReasons", [])}
        if "ConditionalCheckFailed" in reasons:
            raise Refused from error
        raise


def _take(name: str, cents: int) -> dict[str, Any]:
    change = {
        "TableName": TABLE,
        "Key": _account(name),
        "UpdateExpression": "SET cents = cents - :cents",
        "ConditionExpression": "cents >= :cents",
        "ExpressionAttributeValues": {":cents": cents},
    }
    return {"Update": change}


def _give(name: str, cents: int) -> dict[str, Any]:
    change = {
        "TableName": TABLE,
        "Key": _account(name),
        "UpdateExpression": "SET cents = cents + :cents",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeValues": {":cents": cents},
    }
    return {"Update": change}


def _put(name: str, at: int, token: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {"Put": {"TableName": TABLE, "Item": {"pk": _entries(name), "sk": f"{at:012d}#{token}", **entry}}}


def _account(name: str) -> dict[str, str]:
    return {"pk": f"ACCOUNT#{name}", "sk": "BALANCE"}


def _entries(name: str) -> str:
    return f"ENTRIES#{name}"


def _product(name: str) -> dict[str, str]:
    return {"pk": f"PRODUCT#{name}", "sk": "STOCK"}

"""A graph of people and projects in one table: an adjacency list, read backwards by an inverted index.

A node is an item whose sort key is its own name. An edge is an item from one node to another.
Membership goes from a person to a project and is stored once. Friendship goes both ways: two items, written in one transaction.
"""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.conditions import Key

from frame.client import Client

GRAPH, INVERTED = "Graph", "inverted"


def create(db: Client) -> None:
    key = [{"AttributeName": "node", "KeyType": "HASH"}, {"AttributeName": "edge", "KeyType": "RANGE"}]
    inverted = [{"AttributeName": "edge", "KeyType": "HASH"}, {"AttributeName": "node", "KeyType": "RANGE"}]
    db.create_table(
        TableName=GRAPH,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("node", "edge")],
        KeySchema=key,
        GlobalSecondaryIndexes=[{"IndexName": INVERTED, "KeySchema": inverted, "Projection": {"ProjectionType": "ALL"}}],
    )


def person(name: str) -> str:
    return f"PERSON#{name}"


def project(name: str) -> str:
    return f"PROJECT#{name}"


def node_item(name: str, about: str) -> dict[str, Any]:
    return {"node": name, "edge": name, "about": about}


def add_node(db: Client, name: str, about: str) -> None:
    db.put_item(TableName=GRAPH, Item=node_item(name, about))


def node(db: Client, name: str) -> dict[str, Any] | None:
    return db.get_item(TableName=GRAPH, Key={"node": name, "edge": name}).get("Item")


def nodes(db: Client, names: list[str]) -> list[dict[str, Any]]:
    """Up to 100 nodes, those that exist, by name."""
    waiting = {GRAPH: {"Keys": [{"node": name, "edge": name} for name in names]}} if names else {}
    found: list[dict[str, Any]] = []
    while waiting:
        answer = db.batch_get_item(RequestItems=waiting)
        found += answer["Responses"].get(GRAPH, [])
        waiting = answer["UnprocessedKeys"]
    return sorted(found, key=lambda item: item["node"])


def join(db: Client, member: str, task: str, role: str) -> bool:
    """A person becomes a member of a project; says False if either does not exist, or the edge already does."""
    return _connect(db, [member, task], [{"node": member, "edge": task, "job": role}])


def leave(db: Client, member: str, task: str) -> None:
    db.delete_item(TableName=GRAPH, Key={"node": member, "edge": task})


def befriend(db: Client, one: str, other: str) -> bool:
    """Both edges, or none."""
    return _connect(db, [one, other], [{"node": one, "edge": other}, {"node": other, "edge": one}])


def unfriend(db: Client, one: str, other: str) -> None:
    keys = ({"node": one, "edge": other}, {"node": other, "edge": one})
    db.transact_write_items(TransactItems=[{"Delete": {"TableName": GRAPH, "Key": key}} for key in keys])


def projects_of(db: Client, member: str) -> dict[str, str]:
    """The projects of a person, each with the person's role."""
    page = db.query(TableName=GRAPH, KeyConditionExpression=Key("node").eq(member) & Key("edge").begins_with("PROJECT#"))
    return {edge["edge"]: edge["job"] for edge in page["Items"]}


def friends_of(db: Client, member: str) -> list[str]:
    page = db.query(TableName=GRAPH, KeyConditionExpression=Key("node").eq(member) & Key("edge").begins_with("PERSON#"))
    return [edge["edge"] for edge in page["Items"] if edge["edge"] != member]


def members_of(db: Client, task: str) -> list[str]:
    """The same edges as `projects_of`, from the other end: the project is the partition of the inverted index."""
    backwards = Key("edge").eq(task) & Key("node").begins_with("PERSON#")
    page = db.query(TableName=GRAPH, IndexName=INVERTED, KeyConditionExpression=backwards)
    return [edge["node"] for edge in page["Items"]]


def colleagues_of(db: Client, member: str) -> list[str]:
    """Two hops: everybody on one of the person's projects."""
    return sorted({other for task in projects_of(db, member) for other in members_of(db, task)} - {member})


def _connect(db: Client, ends: list[str], edges: list[dict[str, Any]]) -> bool:
    there = {"TableName": GRAPH, "ConditionExpression": "attribute_exists(edge)"}
    absent = {"TableName": GRAPH, "ConditionExpression": "attribute_not_exists(edge)"}
    checks = [{"ConditionCheck": there | {"Key": {"node": end, "edge": end}}} for end in ends]
    try:
        db.transact_write_items(TransactItems=checks + [{"Put": absent | {"Item": edge}} for edge in edges])
    except db.exceptions.TransactionCanceledException:
        return False
    return True

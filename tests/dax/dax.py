"""Drives a node with the DAX clients for Python and JavaScript, and compares each answer with that of boto3 over HTTP on the same node.

Every call is made three times, each client on tables of its own that are made alike, so all three must see the same. Random calls come
from a seed, which is printed: run it again with that seed behind the folder, and with more random calls by their number behind that.
"""

import atexit
import base64
import decimal
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import amazondax
import boto3
import botocore.config
import botocore.session
from botocore.exceptions import ClientError

REGION = "us-east-1"
KEY, SECRET = "AKIDEXAMPLE", "secret"
# How each client's tables begin.
HTTP, PYTHON, JAVASCRIPT = "h", "p", "j"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """A node with listeners for HTTP and DAX."""

    def __init__(self, binary, data, config="", ports=None, flags=()):
        self.binary, self.data, self.config, self.flags = binary, data, config, flags
        self.http, self.admin, self.dax, self.daxs = ports or [free_port() for _ in range(4)]
        self.start()

    def start(self):
        file = pathlib.Path(self.data) / "nearside.toml"
        file.write_text(self.config)
        flags = ["--config", file, "--listen", f"127.0.0.1:{self.http}", "--admin-listen", f"127.0.0.1:{self.admin}"]
        flags += ["--dax-listen", f"127.0.0.1:{self.dax}", "--data-dir", str(pathlib.Path(self.data) / "data")]
        if "[server.tls]" in self.config:
            flags += ["--dax-tls-listen", f"127.0.0.1:{self.daxs}", "--tls-listen", "127.0.0.1:0"]
        flags += self.flags
        self.process = subprocess.Popen([self.binary, *map(str, flags)])
        # A run that fails leaves nobody behind who keeps its output open.
        atexit.register(self.process.kill)
        for _ in range(1000):
            try:
                socket.create_connection(("127.0.0.1", self.dax)).close()
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz").close()
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"nearside ended with {self.process.returncode}")
                time.sleep(0.01)
        sys.exit("nearside does not listen")

    def stop(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        return self.process.wait(60)

    def metric(self, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics").read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def boto(self):
        return boto3.client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{self.http}",
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )

    def python(self, endpoint=None, secret=SECRET, **more):
        session = botocore.session.get_session()
        session.set_credentials(KEY, secret)
        return amazondax.AmazonDaxClient(
            session, region_name=REGION, endpoints=[endpoint or f"127.0.0.1:{self.dax}"], **more
        )


class JavaScript:
    """The client for JavaScript in a process of its own."""

    def __init__(self, folder, endpoint, secret=SECRET, **environment):
        here = pathlib.Path(__file__).parent
        self.process = subprocess.Popen(
            ["node", here / "client.cjs", folder, endpoint, REGION],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"DAX_KEY": KEY, "DAX_SECRET": secret} | environment,
        )
        atexit.register(self.process.kill)

    def ask(self, call, arguments):
        self.process.stdin.write(json.dumps({"call": call, "input": arguments}, default=bytes_as_json) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the client for JavaScript has ended in {call}"
        return json.loads(line, object_hook=bytes_of_json)

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def bytes_as_json(value):
    return {"$bytes": base64.b64encode(value).decode()}


def bytes_of_json(value):
    return base64.b64decode(value["$bytes"]) if set(value) == {"$bytes"} else value


# The tables: name, partition type, sort type.
TABLES = [("s", "S", None), ("n", "N", None), ("b", "B", None), ("ss", "S", "S"), ("sn", "S", "N"), ("sb", "S", "B")]
TABLES += [("nn", "N", "N"), ("ns", "N", "S"), ("bn", "B", "N"), ("bb", "B", "B")]


def create_tables(db):
    for owner in (HTTP, PYTHON, JAVASCRIPT):
        for name, partition, sort in TABLES:
            types, keys = {"pk": partition}, [{"AttributeName": "pk", "KeyType": "HASH"}]
            indexes = {}
            if sort:
                types["sk"] = sort
                keys.append({"AttributeName": "sk", "KeyType": "RANGE"})
            if name == "sn":
                types |= {"gpk": "S", "gsk": "N", "lsk": "S"}
                indexes["GlobalSecondaryIndexes"] = [index("all", "gpk", "gsk", "ALL"), index("keys", "gpk", None, "KEYS_ONLY")]
                indexes["LocalSecondaryIndexes"] = [index("local", "pk", "lsk", "ALL")]
            attributes = [{"AttributeName": name, "AttributeType": of} for name, of in types.items()]
            db.create_table(
                TableName=f"{owner}-{name}",
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=attributes,
                KeySchema=keys,
                **indexes,
            )


def index(name, partition, sort, projection):
    keys = [{"AttributeName": partition, "KeyType": "HASH"}]
    keys += [{"AttributeName": sort, "KeyType": "RANGE"}] if sort else []
    return {"IndexName": name, "KeySchema": keys, "Projection": {"ProjectionType": projection}}


def of_owner(value, owner):
    """The same arguments for the tables of a client: @name stands for a table."""
    if isinstance(value, dict):
        return {of_owner(key, owner): of_owner(inner, owner) for key, inner in value.items()}
    if isinstance(value, list):
        return [of_owner(inner, owner) for inner in value]
    if isinstance(value, str) and value.startswith("@"):
        return f"{owner}-{value[1:]}"
    return value


def plain(value, owner):
    """An answer in one form: numbers by value, sets in order, tables without their owner, and nothing of the transport."""
    if isinstance(value, dict):
        if set(value) == {"N"}:
            return {"N": number(value["N"])}
        for kind in ("SS", "BS", "NS"):
            if set(value) == {kind}:
                members = [number(member) if kind == "NS" else plain(member, owner) for member in value[kind]]
                return {kind: sorted(members)}
        shown = {key: inner for key, inner in value.items() if key not in ("ResponseMetadata", "$metadata")}
        return {plain(key, owner): plain(inner, owner) for key, inner in shown.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [plain(inner, owner) for inner in value]
    if isinstance(value, str) and value.startswith(f"{owner}-"):
        return f"@{value[2:]}"
    if isinstance(value, (bytearray, bytes)):
        return bytes(value).hex()
    if isinstance(value, decimal.Decimal):
        return number(value)
    return value


def number(text):
    value = decimal.Decimal(str(text))
    return str(value.normalize()) if value else "0"


def without_what_differs(call, answer):
    """What the clients are known to show in their own way."""
    answer = dict(answer)
    # Asked for, and left out where there is nothing: the clients for DAX put in empty ones.
    for key in ("UnprocessedKeys", "UnprocessedItems", "ItemCollectionMetrics", "ConsumedCapacity"):
        if not answer.get(key):
            answer.pop(key, None)
    if call == "BatchGetItem":
        by_key = lambda item: json.dumps(item, sort_keys=True)
        answer["Responses"] = {table: sorted(rows, key=by_key) for table, rows in answer.get("Responses", {}).items()}
    return answer


class Twins:
    """The three clients, and how many of their answers were compared."""

    def __init__(self, node, folder):
        self.boto, self.python = node.boto(), node.python()
        self.javascript = JavaScript(folder, f"dax://127.0.0.1:{node.dax}")
        self.count, self.differing = 0, []

    def assert_same(self, what):
        """Ends the run if any answers have differed."""
        if self.differing:
            sys.exit(f"{len(self.differing)} answers differ:\n\n" + "\n\n".join(self.differing[:20]))
        print(f"{self.count} calls are the same by all clients: {what}", flush=True)

    def ask(self, call, arguments):
        answers = [
            (HTTP, of_python(self.boto, call, of_owner(arguments, HTTP))),
            (PYTHON, of_python(self.python, call, of_owner(arguments, PYTHON))),
            (JAVASCRIPT, self.javascript.ask(call, of_owner(arguments, JAVASCRIPT))),
        ]
        shown = {owner: plain(answer, owner) for owner, answer in answers}
        for owner in shown:
            if "ok" in shown[owner]:
                shown[owner] = without_what_differs(call, shown[owner]["ok"])
            else:
                shown[owner] = {"error": shown[owner]["error"].removesuffix("Exception")}
        for owner in (PYTHON, JAVASCRIPT):
            if shown[owner] != shown[HTTP]:
                raw = dict(answers)
                self.differing.append(
                    f"{call} {arguments}\nover HTTP: {shown[HTTP]}\nby {owner}:      {shown[owner]}\n"
                    f"as they were: {raw[HTTP]}\n              {raw[owner]}"
                )
        self.count += 1
        return shown[HTTP]

    def close(self):
        self.javascript.close()
        self.python.close()


def of_python(client, call, arguments):
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in call).lstrip("_")
    try:
        return {"ok": getattr(client, method)(**arguments)}
    except ClientError as error:
        return {"error": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}


def S(value):
    return {"S": value}


def N(value):
    return {"N": str(value)}


ALL_TYPES = {
    "s": S("hé wörld 😀"),
    "empty": S(""),
    "n": N("1.5"),
    "zero": N("0"),
    "negative": N("-32768"),
    "tiny": N("1E-130"),
    "huge": N("9.9999999999999999999999999999999999999E+125"),
    "digits": N("12345678901234567890123456789012345678"),
    "fraction": N("3.14159265358979"),
    "b": {"B": b"\x00\x01\xff"},
    "t": {"BOOL": True},
    "f": {"BOOL": False},
    "null": {"NULL": True},
    "l": {"L": [S("x"), N(1), {"L": []}, {"M": {}}, {"M": {"k": S("v")}}]},
    "m": {"M": {"q": N(7), "n": {"M": {"z": {"BOOL": True}}}}},
    "ss": {"SS": ["a", "b"]},
    "ns": {"NS": ["1", "2.5", "-3"]},
    "bs": {"BS": [b"a", b"b"]},
}


def fixed(twins):
    """One call of each kind that the clients have, in the order in which they build on each other."""
    ask = twins.ask
    item = {"pk": S("all"), "sk": N("1.5"), **ALL_TYPES}
    key = {"pk": S("all"), "sk": N("1.5")}
    ask("PutItem", {"TableName": "@sn", "Item": item})
    ask("GetItem", {"TableName": "@sn", "Key": key})
    ask("GetItem", {"TableName": "@sn", "Key": key, "ConsistentRead": True, "ReturnConsumedCapacity": "TOTAL"})
    ask("GetItem", {"TableName": "@sn", "Key": {"pk": S("nobody"), "sk": N(0)}})
    projection = "s, #n, m.n.z, l[4].k, l[0], nowhere, pk"
    ask("GetItem", {"TableName": "@sn", "Key": key, "ProjectionExpression": projection, "ExpressionAttributeNames": {"#n": "n"}})
    ask("GetItem", {"TableName": "@sn", "Key": key, "ProjectionExpression": "nowhere"})
    ask("GetItem", {"TableName": "@sn", "Key": key, "AttributesToGet": ["s", "pk"]})
    ask("PutItem", {"TableName": "@s", "Item": {"pk": S("only")}})
    ask("GetItem", {"TableName": "@s", "Key": {"pk": S("only")}})
    ask("PutItem", {"TableName": "@sn", "Item": key | {"x": N(1)}, "ReturnValues": "ALL_OLD"})
    ask("PutItem", {"TableName": "@sn", "Item": key | {"x": N(1)}, "ConditionExpression": "attribute_not_exists(pk)"})
    names = {"#p": "pk"}
    condition = {"ConditionExpression": "attribute_exists(#p) AND x = :one", "ExpressionAttributeNames": names}
    ask("PutItem", {"TableName": "@sn", "Item": key | {"x": N(2)}, **condition, "ExpressionAttributeValues": {":one": N(1)}})
    ask("PutItem", {"TableName": "@sn", "Item": key | {"x": N(3)}, "Expected": {"x": {"Value": N(2)}}})
    updates(ask)
    conditions(ask)
    pages(ask)
    batches(ask)
    transactions(ask)
    keys(ask)
    errors(ask)


def updates(ask):
    key = {"pk": S("u"), "sk": N(1)}
    base = {"TableName": "@sn", "Key": key}
    ask("UpdateItem", base | {"UpdateExpression": "SET a = :one, m = :m, l = :l", "ExpressionAttributeValues": {
        ":one": N(1), ":m": {"M": {"q": N(7)}}, ":l": {"L": [N(1), N(2), N(3)]}}})
    one = {":one": N(1)}
    for returned in ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"):
        ask("UpdateItem", base | {"UpdateExpression": "SET a = a + :one, m.q = m.q - :one, l[1] = :one",
                                  "ExpressionAttributeValues": one, "ReturnValues": returned})
    ask("UpdateItem", base | {"UpdateExpression": "SET l = list_append(l, :l), b = if_not_exists(b, :s) REMOVE l[0], nothing ADD c :one, t :ss DELETE u :ss",
                              "ExpressionAttributeValues": {":l": {"L": [S("end")]}, ":s": S("new"), ":one": N(1), ":ss": {"SS": ["x"]}},
                              "ReturnValues": "ALL_NEW"})
    ask("UpdateItem", base | {"UpdateExpression": "SET d = :v, e = :v", "ExpressionAttributeValues": {":v": N(5)}, "ReturnValues": "ALL_NEW"})
    ask("UpdateItem", base | {"UpdateExpression": "SET a = :one", "ConditionExpression": "a = :two",
                              "ExpressionAttributeValues": {":one": N(1), ":two": N(99)}})
    ask("UpdateItem", base | {"AttributeUpdates": {"a": {"Action": "ADD", "Value": N(5)}, "z": {"Value": S("z")}, "d": {"Action": "DELETE"}},
                              "ReturnValues": "ALL_NEW"})
    ask("UpdateItem", {"TableName": "@sn", "Key": {"pk": S("u"), "sk": N(2)}})
    ask("UpdateItem", {"TableName": "@sn", "Key": {"pk": S("u"), "sk": N(3)}, "UpdateExpression": "SET #d = :v",
                       "ExpressionAttributeNames": {"#d": "with.a.dot"}, "ExpressionAttributeValues": {":v": N(5)}, "ReturnValues": "UPDATED_NEW"})
    ask("UpdateItem", base | {"UpdateExpression": "SET #s.a = :v", "ExpressionAttributeNames": {"#s": "b"},
                              "ExpressionAttributeValues": {":v": N(1)}})
    for table in ("sn", "s"):
        key = {"pk": S("u"), "sk": N(1)} if table == "sn" else {"pk": S("gone")}
        for returned in ("NONE", "ALL_OLD"):
            ask("DeleteItem", {"TableName": f"@{table}", "Key": key, "ReturnValues": returned})


def conditions(ask):
    key = {"pk": S("c"), "sk": N(1)}
    ask("PutItem", {"TableName": "@sn", "Item": key | {"a": N(5), "s": S("hello"), "l": {"L": [N(1)]}, "ss": {"SS": ["x", "y"]}}})
    values = {":a": N(5), ":b": N(9), ":h": S("he"), ":x": S("x"), ":t": S("N"), ":two": N(2)}
    for condition in (
        "a = :a", "a <> :a", "a < :b", "a <= :a", "a > :b", "a >= :a", "NOT a = :b", "a BETWEEN :a AND :b", "a IN (:b, :a)",
        "attribute_exists(a)", "attribute_not_exists(a)", "attribute_type(a, :t)", "begins_with(s, :h)", "contains(ss, :x)",
        "contains(s, :h)", "size(l) < :two", "a = :a AND s = :h OR a = :a", "a = :b OR a = :a OR a = :a", "a = :a AND NOT (a = :b OR s = :h)",
        "size(ss) = :two AND l[0] < :b",
    ):
        used = {name: value for name, value in values.items() if name in condition.replace("(", " ").replace(")", " ").replace(",", " ").split()}
        more = {"ExpressionAttributeValues": used} if used else {}
        ask("UpdateItem", {"TableName": "@sn", "Key": key, "ConditionExpression": condition, "UpdateExpression": "REMOVE gone", **more})
    deep = " OR ".join(["a = :b"] * 60 + ["a = :a"])
    ask("DeleteItem", {"TableName": "@sn", "Key": key, "ConditionExpression": deep, "ExpressionAttributeValues": {":a": N(5), ":b": N(9)}})


def pages(ask):
    for number in range(12):
        item = {"pk": S("q"), "sk": N(number), "v": N(number * number), "tag": S("even" if number % 2 == 0 else "odd")}
        item |= {"gpk": S("g"), "gsk": N(100 - number), "lsk": S(f"l{number % 5}")}
        ask("PutItem", {"TableName": "@sn", "Item": item})
    of = {"TableName": "@sn", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": S("q")}}
    ask("Query", of)
    ask("Query", of | {"ScanIndexForward": False, "Limit": 5, "ReturnConsumedCapacity": "INDEXES"})
    ask("Query", of | {"ConsistentRead": True, "ProjectionExpression": "sk, v"})
    ask("Query", of | {"Select": "COUNT"})
    between = of | {"KeyConditionExpression": "pk = :p AND sk BETWEEN :a AND :b", "FilterExpression": "#t = :t",
                    "ExpressionAttributeNames": {"#t": "tag"},
                    "ExpressionAttributeValues": {":p": S("q"), ":a": N(2), ":b": N(9), ":t": S("even")}}
    ask("Query", between)
    for limit in (1, 4, 100):
        every_page(ask, "Query", of | {"Limit": limit})
        on_index = {"TableName": "@sn", "IndexName": "all", "KeyConditionExpression": "gpk = :g", "ExpressionAttributeValues": {":g": S("g")}}
        every_page(ask, "Query", on_index | {"Limit": limit})
        every_page(ask, "Query", on_index | {"Limit": limit, "IndexName": "keys"})
        on_local = of | {"IndexName": "local", "Limit": limit}
        every_page(ask, "Query", on_local)
        every_page(ask, "Scan", {"TableName": "@sn", "Limit": limit})
        every_page(ask, "Scan", {"TableName": "@sn", "IndexName": "all", "Limit": limit})
    ask("Query", of | {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": S("none")}})
    ask("Query", {"TableName": "@sn", "KeyConditions": {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [S("q")]},
                                                        "sk": {"ComparisonOperator": "GT", "AttributeValueList": [N(8)]}}})
    ask("Scan", {"TableName": "@sn", "FilterExpression": "v > :v", "ExpressionAttributeValues": {":v": N(50)}, "ReturnConsumedCapacity": "TOTAL"})
    ask("Scan", {"TableName": "@sn", "FilterExpression": "v > :v", "ExpressionAttributeValues": {":v": N(5000)}})
    ask("Scan", {"TableName": "@sn", "Select": "COUNT", "ConsistentRead": True})
    ask("Scan", {"TableName": "@sn", "ScanFilter": {"tag": {"ComparisonOperator": "EQ", "AttributeValueList": [S("odd")]}}})
    for segment in range(3):
        ask("Scan", {"TableName": "@sn", "Segment": segment, "TotalSegments": 3})


def every_page(ask, call, arguments):
    start = {}
    for _ in range(100):
        answer = ask(call, arguments | start)
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    raise AssertionError("pages without end")


def batches(ask):
    puts = [{"PutRequest": {"Item": {"pk": S("b"), "sk": N(number), "v": S("x" * number)}}} for number in range(20)]
    ask("BatchWriteItem", {"RequestItems": {"@sn": puts, "@s": [{"PutRequest": {"Item": {"pk": S("b"), "n": N(1)}}}]}})
    keys = [{"pk": S("b"), "sk": N(number)} for number in range(25)]
    ask("BatchGetItem", {"RequestItems": {"@sn": {"Keys": keys}, "@s": {"Keys": [{"pk": S("b")}, {"pk": S("absent")}]}}})
    ask("BatchGetItem", {"RequestItems": {"@sn": {"Keys": keys[:3], "ProjectionExpression": "v, sk", "ConsistentRead": True}}})
    ask("BatchGetItem", {"RequestItems": {"@s": {"Keys": [{"pk": S("absent")}]}}})
    deletes = [{"DeleteRequest": {"Key": key}} for key in keys[:5]]
    ask("BatchWriteItem", {"RequestItems": {"@sn": deletes + [{"PutRequest": {"Item": {"pk": S("b"), "sk": N(30)}}}]}})
    ask("BatchGetItem", {"RequestItems": {"@sn": {"Keys": keys}}})


def transactions(ask):
    put = {"Put": {"TableName": "@sn", "Item": {"pk": S("tx"), "sk": N(1), "v": N(1)}, "ConditionExpression": "attribute_not_exists(pk)"}}
    update = {"Update": {"TableName": "@sn", "Key": {"pk": S("tx"), "sk": N(2)}, "UpdateExpression": "SET v = :v",
                         "ExpressionAttributeValues": {":v": N(2)}}}
    check = {"ConditionCheck": {"TableName": "@s", "Key": {"pk": S("absent")}, "ConditionExpression": "attribute_not_exists(pk)"}}
    delete = {"Delete": {"TableName": "@s", "Key": {"pk": S("only")}}}
    ask("TransactWriteItems", {"TransactItems": [put, update, check, delete], "ClientRequestToken": "@token-1"})
    ask("TransactWriteItems", {"TransactItems": [put, update, check, delete], "ClientRequestToken": "@token-1"})
    ask("TransactWriteItems", {"TransactItems": [update], "ClientRequestToken": "@token-1"})
    ask("TransactWriteItems", {"TransactItems": [put, update], "ClientRequestToken": "@token-2"})
    gets = [{"Get": {"TableName": "@sn", "Key": {"pk": S("tx"), "sk": N(number)}}} for number in (1, 2, 3)]
    gets.append({"Get": {"TableName": "@sn", "Key": {"pk": S("q"), "sk": N(4)}, "ProjectionExpression": "tag, sk"}})
    ask("TransactGetItems", {"TransactItems": gets})
    ask("TransactGetItems", {"TransactItems": gets[2:3]})


NUMBERS = ["0", "1", "-1", "5", "10", "100", "1000", "1.5", "3.14", "0.00001", "-0.1", "12345", "-123", "-32768", "1700000000123"]
NUMBERS += ["18446744073709551615", "-18446744073709551616", "1E60", "1E61", "-1E61", "1E-63", "1E-64", "1E-130", "-1E125", "1E125"]
NUMBERS += ["99999999999999999999999999999999999999", "12345678901234567890123456789012345678", "9007199254740993", "1E20", "0.1"]
KEYS = {"S": [S("a"), S("é"), S("k\x00v"), S("x" * 300)], "N": [N(text) for text in NUMBERS], "B": [{"B": b"\x00"}, {"B": b"\xff\x00abc"}]}


def keys(ask):
    """Every type of key, and numbers as sort keys in their order."""
    for name, partition, sort in TABLES:
        for number, value in enumerate(KEYS[partition][:6]):
            key = {"pk": value} | ({"sk": KEYS[sort][number % len(KEYS[sort])]} if sort else {})
            ask("PutItem", {"TableName": f"@{name}", "Item": key | {"v": N(number)}})
            ask("GetItem", {"TableName": f"@{name}", "Key": key})
            ask("DeleteItem", {"TableName": f"@{name}", "Key": key, "ReturnValues": "ALL_OLD"})
    for number in NUMBERS:
        ask("PutItem", {"TableName": "@nn", "Item": {"pk": N(7), "sk": N(number), "v": N(number)}})
    of = {"TableName": "@nn", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": N("7.0")}}
    for forward in (True, False):
        every_page(ask, "Query", of | {"ScanIndexForward": forward, "Limit": 7})
    for text in ("1", "1.0", "1E0", "10E-1"):
        ask("PutItem", {"TableName": "@n", "Item": {"pk": N(text), "v": S(text)}})
        ask("GetItem", {"TableName": "@n", "Key": {"pk": N("1")}})
    ask("Scan", {"TableName": "@n", "Select": "COUNT"})


def errors(ask):
    ask("GetItem", {"TableName": "@none", "Key": {"pk": S("a")}})
    ask("Query", {"TableName": "@sn", "IndexName": "none", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": S("q")}})
    ask("Query", {"TableName": "@sn", "KeyConditionExpression": "v = :p", "ExpressionAttributeValues": {":p": S("q")}})
    ask("UpdateItem", {"TableName": "@sn", "Key": {"pk": S("q"), "sk": N(1)}, "UpdateExpression": "SET pk = :v",
                       "ExpressionAttributeValues": {":v": S("x")}})
    ask("UpdateItem", {"TableName": "@sn", "Key": {"pk": S("q"), "sk": N(1)}, "UpdateExpression": "SET a = b + :v",
                       "ExpressionAttributeValues": {":v": N(1)}})
    ask("PutItem", {"TableName": "@s", "Item": {"pk": S("big"), "v": S("x" * 410_000)}})
    ask("Scan", {"TableName": "@sn", "Segment": 3, "TotalSegments": 2})


class Random:
    """Calls at random over a few keys, so that they meet."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def value(self, depth=0):
        pick = self.random
        kinds = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS"] + (["L", "M"] if depth < 4 else [])
        kind = pick.choice(kinds)
        if kind == "S":
            return S("".join(pick.choices("abcé😀 ", k=pick.randrange(6))))
        if kind == "N":
            return N(self.number())
        if kind == "B":
            return {"B": pick.randbytes(pick.randrange(1, 5))}
        if kind in ("BOOL", "NULL"):
            return {kind: True if kind == "NULL" else pick.random() < 0.5}
        if kind == "SS":
            return {kind: pick.sample(["a", "b", "c", "dé"], pick.randrange(1, 4))}
        if kind == "NS":
            return {kind: pick.sample(["1", "2.5", "-3", "1E20", "7"], pick.randrange(1, 4))}
        if kind == "BS":
            return {kind: pick.sample([b"a", b"b", b"\xff"], pick.randrange(1, 3))}
        if kind == "L":
            return {kind: [self.value(depth + 1) for _ in range(pick.randrange(4))]}
        return {kind: {name: self.value(depth + 1) for name in pick.sample("abcdef", pick.randrange(4))}}

    def number(self):
        pick = self.random
        digits = str(pick.randrange(10 ** pick.randrange(1, 38)))
        exponent = pick.choice(["", "", "", f"E{pick.randrange(-60, 60)}"])
        point = pick.choice(["", "", f"{digits[:-1] or '0'}.{digits[-1]}"]) if not exponent else ""
        sign, text = pick.choice(["", "-"]), (point or digits) + exponent
        # The client for Python cannot send a zero with a sign.
        return sign + text if decimal.Decimal(text) else text

    def key(self):
        return {"pk": S(self.random.choice("xyz")), "sk": N(self.random.randrange(4))}

    def attributes(self):
        names = self.random.sample(["a", "b", "c", "d", "lsk", "gpk"], self.random.randrange(4))
        of_index = lambda name: S(self.random.choice("mn"))
        return {name: of_index(name) if name in ("lsk", "gpk") else self.value() for name in names}

    def condition(self):
        pick = self.random
        if pick.random() < 0.6:
            return {}
        leaf = lambda: pick.choice(["attribute_exists(a)", "attribute_not_exists(b)", "a = :v", "b <> :v", "size(c) > :n", "attribute_exists(c.a)"])
        text = leaf()
        for _ in range(pick.randrange(3)):
            text = f"{text} {pick.choice(['AND', 'OR', 'AND NOT'])} {leaf()}"
        values = {name: value for name, value in ((":v", self.value()), (":n", N(1))) if name in text}
        return {"ConditionExpression": text} | ({"ExpressionAttributeValues": values} if values else {})

    def call(self):
        pick, table = self.random, {"TableName": "@sn"}
        kind = pick.randrange(12)
        if kind < 3:
            more = pick.choice([{}, {"ReturnValues": "ALL_OLD"}])
            return "PutItem", table | {"Item": self.key() | self.attributes()} | more | self.condition()
        if kind < 5:
            more = pick.choice([{}, {}, {"ConsistentRead": True}, {"ProjectionExpression": "a, b, c.a, sk"}])
            return "GetItem", table | {"Key": self.key()} | more
        if kind == 5:
            return "DeleteItem", table | {"Key": self.key()} | pick.choice([{}, {"ReturnValues": "ALL_OLD"}]) | self.condition()
        if kind in (6, 7):
            update = pick.choice(["SET a = :u", "SET a = :u REMOVE b", "REMOVE a, c", "SET d = if_not_exists(a, :u)", "SET c.a = :u"])
            condition = self.condition()
            values = condition.pop("ExpressionAttributeValues", {}) | ({":u": self.value()} if ":u" in update else {})
            more = {"ExpressionAttributeValues": values} if values else {}
            returned = pick.choice(["NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"])
            return "UpdateItem", table | {"Key": self.key(), "UpdateExpression": update, "ReturnValues": returned} | more | condition
        if kind == 8:
            of = table | {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": S(pick.choice("xyz"))}}
            return "Query", of | pick.choice([{}, {"ScanIndexForward": False}, {"Limit": 2}, {"Select": "COUNT"}, {"IndexName": "local"}])
        if kind == 9:
            return "Scan", table | pick.choice([{}, {"Limit": 3}, {"ProjectionExpression": "a, pk"}, {"IndexName": "all"}])
        if kind == 10:
            keys = [json.loads(text) for text in {json.dumps(self.key()) for _ in range(5)}]
            return "BatchGetItem", {"RequestItems": {"@sn": {"Keys": sorted(keys, key=json.dumps)}}}
        items = {json.dumps(key): key for key in (self.key() for _ in range(3))}
        requests = [pick.choice([{"PutRequest": {"Item": key | self.attributes()}}, {"DeleteRequest": {"Key": key}}])
                    for _, key in sorted(items.items())]
        return "BatchWriteItem", {"RequestItems": {"@sn": requests}}


def many_shapes(node):
    """More lists of attributes than a client keeps, and all of them still known after a restart."""
    client = node.python()
    for first in range(0, 1200, 25):
        requests = [{"PutRequest": {"Item": {"pk": S(f"shape-{n}"), f"name{n}": N(n), "common": S("c")}}} for n in range(first, first + 25)]
        client.batch_write_item(RequestItems={"p-s": requests})
    node.stop()
    node.start()
    fresh = node.python()
    for reader in (client, fresh):
        for n in range(0, 1200, 37):
            item = reader.get_item(TableName="p-s", Key={"pk": S(f"shape-{n}")})["Item"]
            assert item == {"pk": S(f"shape-{n}"), f"name{n}": N(n), "common": S("c")}, item
    client.close()
    fresh.close()


def restarts(node, folder):
    """Clients go on after a restart: that for Python without a word, that for JavaScript with a new connection at the latest."""
    python, javascript = node.python(), JavaScript(folder, f"dax://127.0.0.1:{node.dax}")
    key = {"pk": S("restart")}
    python.put_item(TableName="p-s", Item=key | {"before": N(1)})
    assert "ok" in javascript.ask("GetItem", {"TableName": "p-s", "Key": key})
    node.stop(signal.SIGKILL)
    node.start()
    python.put_item(TableName="p-s", Item=key | {"before": N(2)})
    assert python.get_item(TableName="p-s", Key=key)["Item"] == key | {"before": N(2)}
    javascript.process.kill()
    again = JavaScript(folder, f"dax://127.0.0.1:{node.dax}")
    assert again.ask("GetItem", {"TableName": "p-s", "Key": key})["ok"]["Item"] == key | {"before": N(2)}
    again.close()
    python.close()


def large(node):
    """An item of nearly 400 KB, pages of a megabyte, and a batch of many megabytes."""
    client = node.python()
    text = {"S": "x" * 390_000}
    client.put_item(TableName="p-ss", Item={"pk": S("large"), "sk": S("0"), "text": text})
    assert client.get_item(TableName="p-ss", Key={"pk": S("large"), "sk": S("0")})["Item"]["text"] == text
    for first in range(1, 41, 20):
        items = [{"pk": S("large"), "sk": S(f"{n:02}"), "text": {"S": "y" * 300_000}} for n in range(first, first + 20)]
        answer = client.batch_write_item(RequestItems={"p-ss": [{"PutRequest": {"Item": item}} for item in items]})
        assert not answer.get("UnprocessedItems"), "left undone"
    seen, more = 0, {}
    while True:
        page = client.query(TableName="p-ss", KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": S("large")}, **more)
        assert all(len(item["text"]["S"]) >= 300_000 for item in page["Items"])
        seen += page["Count"]
        if "LastEvaluatedKey" not in page:
            break
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert seen == 41, seen
    keys = [{"pk": S("large"), "sk": S(f"{n:02}")} for n in range(1, 41)]
    assert len(client.batch_get_item(RequestItems={"p-ss": {"Keys": keys}})["Responses"]["p-ss"]) == 40
    client.close()


def at_once(node):
    """Many threads with one client: a connection for each, and every answer is its own."""
    client, wrong = node.python(), []

    def work(thread):
        for turn in range(20):
            key = {"pk": S(f"thread-{thread}")}
            client.put_item(TableName="p-s", Item=key | {"turn": N(turn)})
            if client.get_item(TableName="p-s", Key=key)["Item"] != key | {"turn": N(turn)}:
                wrong.append((thread, turn))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong, wrong
    client.close()


def hits(node):
    """Reads of one item are hits, whichever way they come, and a write by the other way is seen at once."""
    boto, dax, key = node.boto(), node.python(), {"pk": S("hit")}
    for number in range(5):
        boto.put_item(TableName="p-s", Item=key | {"n": N(number)})
        assert dax.get_item(TableName="p-s", Key=key)["Item"]["n"] == N(number)
        dax.put_item(TableName="p-s", Item=key | {"n": N(number + 100)})
        assert boto.get_item(TableName="p-s", Key=key)["Item"]["n"] == N(number + 100)
    name = 'nearside_requests_total{op="GetItem",source="hit",table="p-s"}'
    before = node.metric(name)
    for _ in range(10):
        dax.get_item(TableName="p-s", Key=key)
    assert node.metric(name) - before == 10, (before, node.metric(name))
    dax.close()


def authorization(binary, folder):
    """Signatures are verified, and a principal's rights hold."""
    with tempfile.TemporaryDirectory() as data:
        secret = pathlib.Path(data) / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        rights = 'tables = ["p-s"]\nactions = ["GetItem", "PutItem", "CreateTable"]\n'
        key = f'[[auth.keys]]\naccess_key_id = "{KEY}"\nsecret_file = "{secret}"\n'
        node = Node(binary, data, f'[auth]\nmode = "sigv4"\n{key}{rights}')
        node.boto().create_table(
            TableName="p-s",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        python, javascript = node.python(), JavaScript(folder, f"dax://127.0.0.1:{node.dax}")
        item = {"pk": S("mine"), "n": N(1)}
        python.put_item(TableName="p-s", Item=item)
        assert python.get_item(TableName="p-s", Key={"pk": S("mine")})["Item"] == item
        assert javascript.ask("GetItem", {"TableName": "p-s", "Key": {"pk": S("mine")}})["ok"]["Item"] == item
        denied = of_python(python, "DeleteItem", {"TableName": "p-s", "Key": {"pk": S("mine")}})
        assert denied["error"] == "AccessDeniedException", denied
        denied = javascript.ask("DeleteItem", {"TableName": "p-s", "Key": {"pk": S("mine")}})
        assert denied["error"] == "AccessDeniedException", denied
        denied = of_python(python, "GetItem", {"TableName": "other", "Key": {"pk": S("mine")}})
        assert denied["error"] == "AccessDeniedException", denied
        before = node.metric('nearside_auth_denied_total{reason="signature"}')
        try:
            node.python(secret="wrong")
            raise AssertionError("a wrong secret was accepted")
        except Exception as error:
            assert "AssertionError" not in type(error).__name__, error
        assert node.metric('nearside_auth_denied_total{reason="signature"}') > before
        javascript.close()
        python.close()
        assert node.stop() == 0


def over_tls(binary, folder):
    """The same over TLS: the certificate names the host that clients are configured with."""
    certificates = pathlib.Path(__file__).parent.parent / "certificates"
    with tempfile.TemporaryDirectory() as data:
        key = pathlib.Path(data) / "server.key"
        key.write_bytes((certificates / "server.key").read_bytes())
        key.chmod(0o600)
        node = Node(binary, data, f'[server.tls]\ncert = "{certificates / "server.pem"}"\nkey = "{key}"\n')
        create_tables(node.boto())
        authority = str(certificates / "authority.pem")
        os.environ["SSL_CERT_FILE"] = authority
        python = node.python(f"daxs://127.0.0.1:{node.daxs}")
        javascript = JavaScript(folder, f"daxs://127.0.0.1:{node.daxs}", NODE_EXTRA_CA_CERTS=authority)
        item = {"pk": S("tls"), "n": N(1)}
        python.put_item(TableName="p-s", Item=item)
        assert python.get_item(TableName="p-s", Key={"pk": S("tls")})["Item"] == item
        answer = javascript.ask("GetItem", {"TableName": "p-s", "Key": {"pk": S("tls")}})
        assert answer["ok"]["Item"] == item, answer
        del os.environ["SSL_CERT_FILE"]
        javascript.close()
        python.close()
        assert node.stop() == 0


class Bus:
    """A server for a fleet's log, which looks as if it were in use for long: at a new one, nodes wait whether there are others."""

    def __init__(self, program):
        self.port = free_port()
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL, cwd="/"
        )
        atexit.register(self.process.kill)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as link:
                    link.sendall(b"INFO server\r\n")
                    run = next(line[7:] for line in link.makefile() if line.startswith("run_id:")).strip()
                    link.sendall(f"HSET {{ns:nearside:0}}:general run {run} since 1\r\n".encode())
                    link.recv(100)
                    return
            except ConnectionRefusedError:
                time.sleep(0.01)


def in_a_fleet(binary, folder):
    """A client that knows one node of a fleet uses all that are there, for reads and for writes, and soon forgets one that has ended."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if not program:
        raise SystemExit("no server for a fleet's bus is installed: tests/fleet/install")
    bus = Bus(program)
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        secret = root / "secret"
        secret.write_text("0123456789abcdef0123456789abcdef")
        secret.chmod(0o600)
        folders = [root / name for name in ("behind", "a", "b")]
        [folder.mkdir() for folder in folders]
        behind = Node(binary, folders[0])
        create_tables(behind.boto())
        nodes = []
        for data in folders[1:]:
            ports = [free_port() for _ in range(4)]
            config = f'[dax]\nadvertise = ["127.0.0.1:{ports[2]}"]\nstate = "{data / "lists"}"\n'
            config += f'[fleet]\nurl = "redis://127.0.0.1:{bus.port}"\nnode = "{data.name}"\nsecret_file = "{secret}"\n'
            nodes.append(Node(binary, data, config, ports, ["--upstream", f"http://127.0.0.1:{behind.http}"]))
        says = lambda node: urllib.request.urlopen(f"http://127.0.0.1:{node.admin}/api/fleet").read().decode().count("dax=")
        until("both nodes know of both", lambda: all(says(node) == 2 for node in nodes))
        asked = lambda method: [node.metric(f'nearside_dax_requests_total{{method="{method}",outcome="ok"}}') for node in nodes]
        python, javascript = nodes[0].python(), JavaScript(folder, f"dax://127.0.0.1:{nodes[0].dax}")
        key = {"pk": S("fleet")}
        until("Python uses both", lambda: len(python._cluster._router.all_routes) == 2)
        for call in (lambda call, arguments: of_python(python, call, arguments), javascript.ask):
            before = {call: asked(call) for call in ("GetItem", "PutItem")}
            for number in range(200):
                assert "ok" in call("PutItem", {"TableName": "p-s", "Item": key | {"n": N(number)}})
                item = call("GetItem", {"TableName": "p-s", "Key": key})["ok"]["Item"]
                assert int(item["n"]["N"]) <= number, item
            last = key | {"n": N(199)}
            until("the last write is seen at both", lambda: all(
                call("GetItem", {"TableName": "p-s", "Key": key})["ok"]["Item"] == last for _ in range(20)))
            for method in before:
                used = [now - then for now, then in zip(asked(method), before[method])]
                # Both at random, so that each hardly ever gets fewer than a fourth.
                assert min(used) > 50, (method, used)
        javascript.close()
        assert nodes[1].stop() == 0
        # Until then, calls of it may fail that go to the other one.
        until("it is told no more", lambda: len(python._cluster._router.all_routes) == 1)
        for _ in range(50):
            assert python.get_item(TableName="p-s", Key=key)["Item"] == last
            python.put_item(TableName="p-s", Item=last)
        python.close()
        assert nodes[0].stop() == 0 and behind.stop() == 0
    bus.process.kill()


def until(what, is_so):
    end = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > end:
            sys.exit(f"it never came: {what}")
        time.sleep(0.05)


def main():
    binary, folder = sys.argv[1:3]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 400
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as data:
        node = Node(binary, data)
        create_tables(node.boto())
        twins = Twins(node, folder)
        fixed(twins)
        twins.assert_same("one of each kind")
        calls = Random(seed)
        for done in range(count):
            twins.ask(*calls.call())
            if done % 10_000 == 9_999:
                twins.assert_same(f"at random, of {count}")
        twins.assert_same("at random")
        twins.close()
        for check in (hits, large, at_once, many_shapes):
            check(node)
            print(f"{check.__name__}: {check.__doc__}", flush=True)
        restarts(node, folder)
        print(f"restarts: {restarts.__doc__}", flush=True)
        assert node.stop() == 0
    for check in (authorization, over_tls, in_a_fleet):
        check(binary, folder)
        print(f"{check.__name__}: {check.__doc__}", flush=True)


main()

"""Nodes to look at, load for them, and a reverse proxy that puts one below a path."""

import http.client
import http.server
import json
import os
import re
import subprocess
import tempfile
import threading
import time

TOKEN = "console-token-0123456789"
AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"


class Node:
    """A nearside with tables in memory. Its ports are free ones, unless `admin` names the port of the admin listener."""

    def __init__(self, binary, token=True, admin="127.0.0.1:0", config="", environment=None):
        self.folder = tempfile.TemporaryDirectory(prefix="console-node-")
        path = os.path.join(self.folder.name, "nearside.toml")
        lines = ["[admin]", f'listen = "{admin}"']
        if token:
            file = os.path.join(self.folder.name, "token")
            with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
                out.write(TOKEN)
            lines.append(f'token_file = "{file}"')
        with open(path, "w") as out:
            out.write("\n".join([*lines, config]))
        self.log = os.path.join(self.folder.name, "log")
        self.process = subprocess.Popen([binary, "--config", path, "--in-memory", "--listen", "127.0.0.1:0"], stdout=subprocess.DEVNULL,
                                        stderr=open(self.log, "w"), env={**os.environ, **(environment or {})})
        end = time.monotonic() + 60
        while "listens on" not in (text := open(self.log).read()):
            assert self.process.poll() is None and time.monotonic() < end, f"the node does not start:\n{text}"
            time.sleep(0.05)
        self.address = re.search(r"listens on http://([\d.:]+)", text).group(1)
        self.admin = re.search(r"http://([\d.:]+)/(metrics)?", text[text.index(self.address) + len(self.address):]).group(1)
        self.url = f"http://{self.admin}/"

    def call(self, operation, body, connection=None):
        connection = connection or http.client.HTTPConnection(self.address, timeout=30)
        connection.request("POST", "/", json.dumps(body), {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}", "X-Amz-Date": "20260101T000000Z", "Authorization": AUTHORIZATION,
            "Content-Type": "application/x-amz-json-1.0"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def must(self, operation, body):
        status, output = self.call(operation, body)
        assert status == 200, f"{operation}: {status} {output}"
        return output

    def api(self, path, token=TOKEN):
        """The status and the answer of GET api/…"""
        connection = http.client.HTTPConnection(self.admin, timeout=30)
        connection.request("GET", f"/api/{path}", headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if answer.status == 200 else body.decode()

    def seconds_used(self):
        """The processor time that the node has taken, in seconds."""
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def fill(node):
    """Tables as a shop has them, and one that is empty."""
    on_demand = {"BillingMode": "PAY_PER_REQUEST"}
    names = [("customer", "S"), ("placed", "N"), ("status", "S")]
    key = lambda *attributes: [{"AttributeName": name, "KeyType": kind} for name, kind in zip(attributes, ("HASH", "RANGE"))]
    node.must("CreateTable", {"TableName": "Orders", **on_demand, "KeySchema": key("customer", "placed"),
              "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind} for name, kind in names],
              "GlobalSecondaryIndexes": [{"IndexName": "byStatus", "KeySchema": key("status", "placed"), "Projection": {"ProjectionType": "ALL"}}]})
    for name in ("Customers", "Sessions", "Empty"):
        node.must("CreateTable", {"TableName": name, **on_demand, "KeySchema": key("id"), "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]})
    for number in range(160):
        node.must("PutItem", {"TableName": "Orders", "Item": {
            "customer": {"S": f"customer-{number // 8:02}"}, "placed": {"N": str(1767225600 + number * 977)},
            "status": {"S": ("open", "paid", "shipped")[number % 3]}, "total": {"N": f"{number * 7 % 400}.{number % 90 + 10}"},
            "lines": {"L": [{"M": {"sku": {"S": f"SKU-{100 + number}"}, "quantity": {"N": str(number % 9 + 1)}}}]}, "gift": {"BOOL": number % 5 == 0}}})
    for number in range(40):
        node.must("PutItem", {"TableName": "Customers", "Item": {"id": {"S": f"customer-{number:02}"}, "name": {"S": f"Customer {number}"}, "tags": {"SS": ["eu", "gold"]}}})


class Load:
    """Requests to the tables of fill(), until it is stopped: hot keys, queries, a few writes, keys that are not there."""

    def __init__(self, node, pause=0.001):
        self.node, self.pause, self.running = node, pause, True
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(2)]
        for thread in self.threads:
            thread.start()

    def run(self, seed):
        connection = http.client.HTTPConnection(self.node.address, timeout=30)
        number = seed
        while self.running:
            number = (number * 1103515245 + 12345) % (1 << 31)
            chance, low = number >> 16, (number >> 8) % 40
            rank = int(40 ** ((chance % 1000) / 1000)) - 1
            if chance % 20 == 0:
                body = {"TableName": "Customers", "Item": {"id": {"S": f"customer-{low:02}"}, "name": {"S": f"Customer {number}"}, "tags": {"SS": ["eu", "gold"]}}}
                self.node.call("PutItem", body, connection)
            elif chance % 20 < 5:
                body = {"TableName": "Orders", "KeyConditionExpression": "customer = :c", "ExpressionAttributeValues": {":c": {"S": f"customer-{rank % 20:02}"}}}
                self.node.call("Query", body, connection)
            elif chance % 20 < 10:
                body = {"TableName": "Sessions", "Key": {"id": {"S": f"session-{int(20000 ** ((number % 997) / 997)) + number % 89}"}}}
                self.node.call("GetItem", body, connection)
            else:
                self.node.call("GetItem", {"TableName": "Customers", "Key": {"id": {"S": f"customer-{rank:02}"}}}, connection)
            time.sleep(self.pause)

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()


class Prefix:
    """A reverse proxy that offers a node below a path, and nothing beside it."""

    def __init__(self, node, prefix):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def forward(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                if not self.path.startswith(prefix):
                    status, headers, data = 404, [], b"nothing beside the prefix"
                else:
                    connection = http.client.HTTPConnection(node.admin, timeout=30)
                    connection.request(self.command, "/" + self.path.removeprefix(prefix), body, dict(self.headers))
                    answer = connection.getresponse()
                    status, headers, data = answer.status, answer.getheaders(), answer.read()
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "connection", "date", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = forward

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{prefix}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

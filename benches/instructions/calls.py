"""The requests that are counted: whole, as an SDK sends them, and the same in every run."""

import hashlib
import hmac
import json
import socket
import time

ITEMS = 500
PAGES = 50
PAGE_ITEMS = 10
BATCH = 25
# For a part of an answer.
SECONDS_MAX = 60


HOST = "127.0.0.1:8000"
CONTENT_TYPE = "application/x-amz-json-1.0"
REGION = "us-east-1"
KEY_ID, SECRET = "AKIDBENCH", "the-secret-of-the-bench-0123456789abcdef"


def request(operation, body):
    """A request whose signature nobody verifies."""
    return whole(operation, body, "20261121T040000Z", "local", "0123456789abcdef" * 4)


def signed(operation, body):
    """The same with a signature that is good for some minutes from now on."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = f"DynamoDB_20120810.{operation}"
    canonical = (
        f"POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{HOST}\nx-amz-date:{now}\nx-amz-target:{target}\n\n"
        f"content-type;host;x-amz-date;x-amz-target\n{sha256(compact(body))}"
    )
    text = f"AWS4-HMAC-SHA256\n{now}\n{now[:8]}/{REGION}/dynamodb/aws4_request\n{sha256(canonical.encode())}"
    key = b"AWS4" + SECRET.encode()
    for part in [now[:8], REGION, "dynamodb", "aws4_request", text]:
        key = hmac.digest(key, part.encode(), "sha256")
    return whole(operation, body, now, KEY_ID, key.hex())


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def compact(body):
    return json.dumps(body, separators=(",", ":")).encode()


def whole(operation, body, time, key_id, signature):
    body = compact(body)
    head = (
        f"POST / HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: identity\r\n"
        f"X-Amz-Target: DynamoDB_20120810.{operation}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        "User-Agent: Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.7\r\n"
        f"X-Amz-Date: {time}\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={key_id}/{time[:8]}/{REGION}/dynamodb/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
        f"Signature={signature}\r\n"
        "amz-sdk-invocation-id: 01234567-89ab-cdef-0123-456789abcdef\r\namz-sdk-request: attempt=1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def key(number):
    return {"id": {"S": f"customer#{number:011}"}}


def item(number):
    """300 bytes, as DynamoDB counts them."""
    text = "x" * (300 - 20 - 2 - 4 - 8 - 6 - 5 - 4)
    number = number % 1000
    return {**key(number), "name": {"S": f"Name {number:03}"}, "amount": {"N": f"{number}.5"}, "text": {"S": text}}


def in_page(page, number):
    return {**item(page), "sk": {"N": str(number)}}


def create_table(name, sort_key, make=request):
    keys = {"id": "S", "sk": "N"} if sort_key else {"id": "S"}
    return make("CreateTable", {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": type} for key, type in keys.items()],
        "KeySchema": [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ["HASH", "RANGE"])],
    })


def batch_write(table, items, make=request):
    puts = [{"PutRequest": {"Item": item}} for item in items]
    return [make("BatchWriteItem", {"RequestItems": {table: puts[at:at + BATCH]}}) for at in range(0, len(puts), BATCH)]


def setup():
    """Makes the tables and their items. What is cached of them is read by the requests that are counted, before they are."""
    pages = [in_page(page, number) for page in range(PAGES) for number in range(PAGE_ITEMS)]
    return [
        create_table("Bench", sort_key=False),
        create_table("Pages", sort_key=True),
        *batch_write("Bench", map(item, range(ITEMS))),
        *batch_write("Pages", pages),
    ]


def setup_signed():
    """Makes what callers that are verified read."""
    return [create_table("Bench", sort_key=False, make=signed), *batch_write("Bench", map(item, range(ITEMS)), make=signed)]


def get(number, make=request, **more):
    return make("GetItem", {"TableName": "Bench", "Key": key(number), **more})


def query(page):
    return request("Query", {
        "TableName": "Pages",
        "KeyConditionExpression": "#id = :id",
        "ExpressionAttributeNames": {"#id": "id"},
        "ExpressionAttributeValues": {":id": key(page)["id"]},
    })


def batch_get(number):
    keys = [key((number + 37 * place) % ITEMS) for place in range(BATCH)]
    return request("BatchGetItem", {"RequestItems": {"Bench": {"Keys": keys}}})


def put(number):
    return request("PutItem", {"TableName": "Bench", "Item": item(number)})


class Client:
    """One connection that is kept alive."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request):
        """Sends a request and returns its whole answer, which must be a success."""
        self.socket.sendall(request)
        answer = b""
        while True:
            read = self.socket.recv(1 << 20)
            if not read:
                raise SystemExit(f"the server has closed the connection after {answer!r}")
            answer += read
            head, end, body = answer.partition(b"\r\n\r\n")
            if end and len(body) >= int(header(head, b"content-length")):
                break
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"not a success: {answer!r}")
        return answer

    def source(self, answer):
        """What the cache says of the answer."""
        return header(answer.partition(b"\r\n\r\n")[0], b"x-nearside-cache")


def header(head, name):
    for line in head.split(b"\r\n")[1:]:
        if line.lower().startswith(name + b": "):
            return line.split(b": ", 1)[1]
    return b""

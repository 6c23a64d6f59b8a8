"""What the documents promise of the image, tried on its file system: container.py PATH/TO/nearside"""
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import namespaces
from image import ROOT, Image, assemble, size

SIZE_MAX = 40_000_000
# Of that, all but the program: other builds than the one that is shipped are larger.
BASE_SIZE_MAX = 16_500_000
START_SECONDS_MAX = 20
NAMESPACES = pathlib.Path(namespaces.__file__)


class Container:
    """A program that runs in the image's file system."""

    def __init__(self, image, root, volume, command):
        settings = {
            "command": command,
            "environment": image.environment,
            "user": image.user,
            "group": image.group,
            "volume": image.volume,
        }
        arguments = [sys.executable, NAMESPACES, root, volume, json.dumps(settings)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.id = int(self.process.stdout.readline())

    def status(self):
        lines = pathlib.Path(f"/proc/{self.id}/status").read_text().splitlines()
        return {name: value.split() for name, value in (line.split(":", 1) for line in lines)}


def request(connection, operation, body):
    credential = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
    headers = {
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "X-Amz-Date": "20260101T000000Z",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": credential,
    }
    connection.request("POST", "/", json.dumps(body), headers)
    answer = connection.getresponse()
    return answer, json.loads(answer.read())


def call(operation, body):
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
    answer, read = request(connection, operation, body)
    assert answer.status == 200, f"{operation}: {answer.status} {read}"
    return answer.headers.get("x-nearside-cache"), read


def answers_item():
    key = [{"AttributeName": "id", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "id", "AttributeType": "S"}]
    call("CreateTable", {"TableName": "Orders", "BillingMode": "PAY_PER_REQUEST", "KeySchema": key, "AttributeDefinitions": attributes})
    item = {"id": {"S": "a"}, "n": {"N": "1"}}
    call("PutItem", {"TableName": "Orders", "Item": item})
    source, read = call("GetItem", {"TableName": "Orders", "Key": {"id": {"S": "a"}}})
    assert (source, read["Item"]) == ("hit", item), (source, read)


def has_no_privileges(container, image):
    status = container.status()
    assert status["Uid"] == [str(image.user)] * 4 and status["Gid"] == [str(image.group)] * 4, status["Uid"]
    assert image.user > 0 and status["Groups"] == [], status["Groups"]
    for capabilities in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]:
        assert int(status[capabilities][0], 16) == 0, f"{capabilities} {status[capabilities]}"
    assert status["NoNewPrivs"] == ["1"]


def writes_nothing_but_its_volume(container, image, volume):
    for place in ["/", "/tmp/", "/home/nonroot/", "/etc/"]:
        try:
            os.open(f"/proc/{container.id}/root{place}new", os.O_CREAT | os.O_WRONLY)
            raise AssertionError(f"{place} can be written")
        except OSError as error:
            assert error.strerror == "Read-only file system", error
    files = [path for path in volume.rglob("*") if path.is_file()]
    assert files and all(path.stat().st_uid == image.user for path in files), files


def drains(container, image):
    """The stop signal while a request is half sent: it is answered, and the program ends with 0."""
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
    body = json.dumps({"TableName": "Orders", "Key": {"id": {"S": "a"}}}).encode()
    connection.putrequest("POST", "/")
    for name, value in {
        "X-Amz-Target": "DynamoDB_20120810.GetItem",
        "X-Amz-Date": "20260101T000000Z",
        "Content-Type": "application/x-amz-json-1.0",
        "Content-Length": str(len(body)),
        "Expect": "100-continue",
        "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    # The program asks for the body, so it has read the head: the request is in flight.
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 100"), "no 100 Continue"
    os.kill(container.id, getattr(signal, image.stop_signal))
    until("new connections are refused", is_refused)
    connection.send(body)
    answer = connection.getresponse()
    assert answer.status == 200 and b'"Item"' in answer.read(), answer.status
    assert container.process.wait(timeout=10) == 0, f"exit code {container.process.returncode}"


def is_refused():
    try:
        http.client.HTTPConnection("127.0.0.1", 8000, timeout=1).connect()
        return False
    except ConnectionRefusedError:
        return True


def until(what, is_so):
    end = time.monotonic() + START_SECONDS_MAX
    while not is_so():
        assert time.monotonic() < end, f"not within {START_SECONDS_MAX} seconds: {what}"
        time.sleep(0.05)


def main(program):
    image = Image(ROOT / "Dockerfile")
    namespaces.enter_network()
    with tempfile.TemporaryDirectory() as folder:
        root, volume = pathlib.Path(folder, "root"), pathlib.Path(folder, "volume")
        os.chmod(folder, 0o755)
        root.mkdir()
        assemble(image, program, root)
        bytes_used, of_program = size(root), os.path.getsize(program)
        assert bytes_used - of_program <= BASE_SIZE_MAX, f"all but the program takes {bytes_used - of_program} bytes"
        is_shipped = pathlib.Path(program).parent.name == "dist"
        assert bytes_used <= SIZE_MAX or not is_shipped, f"the file system takes {bytes_used} bytes"
        volume.mkdir(mode=0o700)
        os.chown(volume, image.user, image.group)

        def is_healthy():
            return Container(image, root, volume, image.health).process.wait() == 0

        assert not is_healthy(), "the health check passes without a server"
        container = Container(image, root, volume, image.entrypoint)
        try:
            until("the health check passes", is_healthy)
            has_no_privileges(container, image)
            answers_item()
            writes_nothing_but_its_volume(container, image, volume)
            drains(container, image)
        finally:
            container.process.kill()
            container.process.wait()
        assert not is_healthy(), "the health check passes after the end"
    print(f"the image's file system takes {bytes_used:,} bytes, {of_program:,} of them the program; all checks passed")


main(sys.argv[1])

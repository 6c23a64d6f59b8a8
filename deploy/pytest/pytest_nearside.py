"""Fixtures that run tests against Nearside: DynamoDB in memory, behind a cache, without a container.

Put this file beside the conftest.py at the root of your repository, and name it there:

    pytest_plugins = ["pytest_nearside"]

Then a test asks for `nearside` and has an empty DynamoDB. The program is that of NEARSIDE_BINARY, or `nearside` on the PATH.
Only the standard library is needed.
"""

import json
import os
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

# How long a start, an end, or one call may take, in seconds.
TIMEOUT = 30


class Nearside:
    """A node that runs, and what an SDK needs to find it."""

    region = "us-east-1"

    def __init__(self, binary, arguments=()):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARSIDE_")}
        free_ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [binary, "--in-memory", *free_ports, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        greeting = self._process.stderr.readline()
        found = re.search(r"listens on (http://[^;]+);.*metrics on (http://[^;]+)/metrics", greeting)
        if not found:
            self._process.kill()
            raise RuntimeError(f"{binary} does not start: {greeting}{self._process.communicate()[1]}")
        self.endpoint, self.admin = found.groups()
        # A log that nobody reads would fill its pipe.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    @property
    def client_arguments(self):
        """For boto3: boto3.client("dynamodb", **nearside.client_arguments)."""
        return {
            "endpoint_url": self.endpoint,
            "region_name": self.region,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }

    def call(self, operation, body):
        """Sends one request of DynamoDB's JSON API, and returns its answer."""
        scope = f"test/20260101/{self.region}/dynamodb/aws4_request"
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "X-Amz-Date": "20260101T000000Z",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }
        request = urllib.request.Request(self.endpoint, json.dumps(body).encode(), headers, method="POST")
        try:
            # Proxies of the environment have no business on loopback.
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{operation}: {error.code} {error.read().decode()}") from None

    def reset(self):
        """Deletes every table, and with it everything that is cached."""
        while names := self.call("ListTables", {})["TableNames"]:
            for name in names:
                self.call("DeleteTable", {"TableName": name})

    def stop(self):
        """Ends the node."""
        self._process.terminate()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="session")
def nearside_binary():
    """The program. Override this fixture to name another one."""
    binary = os.environ.get("NEARSIDE_BINARY") or shutil.which("nearside")
    if not binary:
        pytest.fail("there is no program nearside: set NEARSIDE_BINARY, or put it on the PATH")
    return binary


@pytest.fixture(scope="session")
def nearside_arguments():
    """More arguments of the program, such as ["--config", "tests/nearside.toml"]. Override this fixture to give some."""
    return []


@pytest.fixture(scope="session")
def nearside_node(nearside_binary, nearside_arguments):
    """One node for all tests of the session. Its tables stay; most tests want the fixture `nearside`."""
    node = Nearside(nearside_binary, nearside_arguments)
    yield node
    node.stop()


@pytest.fixture
def nearside(nearside_node, monkeypatch):
    """An empty DynamoDB. SDKs that are made during the test find it by the environment."""
    nearside_node.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", nearside_node.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", nearside_node.endpoint)
    monkeypatch.setenv("AWS_REGION", Nearside.region)
    monkeypatch.setenv("AWS_DEFAULT_REGION", Nearside.region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return nearside_node

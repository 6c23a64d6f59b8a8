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
import time
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
        try:
            self._process = subprocess.Popen(
                [binary, "--in-memory", *free_ports, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                text=True,
            )
        except OSError as error:
            raise RuntimeError(f"{binary} cannot be run: {error.strerror}; NEARSIDE_BINARY names the program, if it is set") from None
        self.endpoint, self.admin = self._addresses(binary)
        # A log that nobody reads would fill its pipe.
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    def _addresses(self, binary):
        """Waits for the greeting and reads the addresses in it. Warnings may come before it."""
        log = []
        watchdog = threading.Timer(TIMEOUT, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stderr:
                if found := re.search(r"listens on (http://[^;]+);.*metrics on (http://[^;]+)/metrics", line):
                    return found.groups()
                log.append(line)
        finally:
            watchdog.cancel()
        self._process.wait()
        raise RuntimeError(f"{binary} does not start: {''.join(log)}")

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
        """Deletes every table, and with it everything that is cached. Waits for tables that are being created or deleted."""
        end = time.monotonic() + TIMEOUT
        while names := self.call("ListTables", {})["TableNames"]:
            for name in names:
                self._delete(name)
            if time.monotonic() > end:
                raise RuntimeError(f"{', '.join(names)}: not deleted within {TIMEOUT} s")

    def _delete(self, name):
        """Begins to delete a table, or waits a moment if its status does not permit that yet."""
        try:
            table = self.call("DescribeTable", {"TableName": name})["Table"]
            if table["TableStatus"] != "ACTIVE":
                time.sleep(0.05)
                return
            if table.get("DeletionProtectionEnabled"):
                self.call("UpdateTable", {"TableName": name, "DeletionProtectionEnabled": False})
                return
            self.call("DeleteTable", {"TableName": name})
        except RuntimeError as error:
            # A status may change between two calls.
            if "ResourceInUseException" not in str(error) and "ResourceNotFoundException" not in str(error):
                raise

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
    # A token of the environment does not belong to these keys, and this switch would send the test to AWS itself.
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        monkeypatch.delenv(name, raising=False)
    return nearside_node

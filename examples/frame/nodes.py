"""Starts and stops the processes: nodes, the bus of a fleet, and the delay before an upstream."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PATIENCE_SECONDS = 60.0

FLEET = {
    "NEARSIDE_FLEET_ACK": "all",
    # Longer than a busy machine keeps a node from its heartbeat, so that a test which expects a hit does not depend on the load.
    "NEARSIDE_FLEET_LEASE": "5s",
    "NEARSIDE_FLEET_ACK_TIMEOUT": "10s",
    # The upstream is a local backend, whose indexes do not lag. With the default a test would wait 5 seconds for each hit of an index.
    "NEARSIDE_CACHE_GSI_QUARANTINE": "0s",
}


class NotStarted(Exception):
    """A program that is to be started cannot be, or ends at once."""


@dataclass(frozen=True)
class Node:
    """A process of Nearside that is ready."""

    endpoint: str
    admin: str
    started: float

    def metric(self, name: str) -> float:
        """The sum of a metric over all of its labels."""
        text = _get(f"{self.admin}/metrics")
        values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))


class Machine:
    """Owns all processes of a run and the folder of their files, and ends them when it is left."""

    def __init__(self, binary: Path) -> None:
        self.binary = binary
        self._directory = Path(tempfile.mkdtemp(prefix="nearside-examples-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[Path] = []

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # In the order in which a write passes them: a fleet's nodes leave while their bus is there.
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if error is not None:
            self._show_logs()
        shutil.rmtree(self._directory)

    def backend(self, *, cached: bool) -> Node:
        """A node with a DynamoDB of its own, in memory."""
        return self._node({"NEARSIDE_IN_MEMORY": "true", "NEARSIDE_CACHE_MODE": "on" if cached else "off"})

    def cache(self, upstream: str, settings: dict[str, str] | None = None) -> Node:
        """A node before another endpoint, with the defaults of its cache unless `settings` has others."""
        return self._node({"NEARSIDE_UPSTREAM": upstream} | (settings or {}))

    def fleet(self, upstream: str) -> list[Node]:
        """Two nodes before one upstream that report their writes to each other. Call `wait_until_fresh` before they are used."""
        secret = self._directory / "fleet.key"
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_hex(32))
        settings = FLEET | {"NEARSIDE_FLEET_URL": self._bus(), "NEARSIDE_FLEET_SECRET_FILE": str(secret)}
        return [self.cache(upstream, settings | {"NEARSIDE_FLEET_NODE": name}) for name in ("a", "b")]

    def delay(self, upstream: str, milliseconds: float) -> str:
        """An endpoint that leads to the upstream and takes this much longer for each request."""
        command = [sys.executable, "-m", "frame.delay", upstream.removeprefix("http://"), str(milliseconds)]
        (address,) = self._start("delay", command, {}, r"^ready (\S+)$")
        return f"http://{address}"

    def _bus(self) -> str:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            sys.exit("The fleet needs redis-server or valkey-server: apt-get install redis-server")
        # Redis cannot choose a port by itself, so it gets one that was free a moment ago.
        port = _free_port()
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--maxmemory-policy", "noeviction"]
        self._start("bus", [*command, "--dir", str(self._directory)], {}, r"(Ready to accept connections)")
        return f"redis://127.0.0.1:{port}"

    def _node(self, settings: dict[str, str]) -> Node:
        command = [str(self.binary), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-level", "warn"]
        pattern = r"listens on (http://[^;\s]+);[\s\S]*?metrics on (http://[^;\s]+)/metrics"
        endpoint, admin = self._start("node", command, settings, pattern)
        wait_until(lambda: _answers(f"{admin}/readyz"), f"the node at {endpoint} to be ready")
        return Node(endpoint, admin, time.monotonic())

    def _start(self, name: str, command: list[str], settings: dict[str, str], pattern: str) -> tuple[str, ...]:
        """Starts a process and waits until its output has the pattern, whose groups it returns."""
        log = self._directory / f"{name}-{len(self._processes)}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("NEARSIDE_")}
        environment |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"} | settings
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(command, env=environment, cwd=self._directory, stdout=output, stderr=output)
        except OSError as error:
            raise NotStarted(f"{command[0]} cannot be run: {error.strerror}") from None
        self._processes.append(process)
        self._logs.append(log)
        found: list[re.Match[str]] = []

        def is_ready() -> bool:
            if process.poll() is not None:
                words = log.read_text().strip() or "it printed nothing; is it nearside?"
                raise NotStarted(f"{command[0]} ended with {process.returncode}: {words}")
            found.extend(re.finditer(pattern, log.read_text(), re.MULTILINE))
            return bool(found)

        wait_until(is_ready, f"{command[0]} to be ready")
        return found[0].groups()

    def _show_logs(self) -> None:
        for log in self._logs:
            text = log.read_text()
            if log.name.startswith("node") and re.search("WARN|ERROR", text):
                print(f"--- {log.name}\n{text[-4000:]}", file=sys.stderr)


def wait_until_fresh(fleet: list[Node]) -> None:
    """Waits until every node of a fleet knows the others and serves all that it has cached."""
    for node in fleet:
        wait_until(lambda: node.metric("nearside_fleet_members") == len(fleet), f"the fleet's members at {node.endpoint}")
        wait_until(lambda: _answers(f"{node.admin}/readyz?fleet"), f"the fleet's node at {node.endpoint} to be fresh")


def wait_until(happened: Callable[[], bool], event: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS:.0f} s for {event}")
        time.sleep(0.01)


def _answers(url: str) -> bool:
    try:
        _get(url)
    except urllib.error.URLError:
        return False
    return True


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
        return answer.read().decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

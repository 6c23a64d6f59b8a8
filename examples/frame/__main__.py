"""The command behind examples/run: starts the nodes, tests the systems, and measures their workloads."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType

from frame import report
from frame.check import Mode, World, run_tests, tests_of
from frame.client import Client
from frame.measure import Figures, Run, run_workload
from frame.nodes import Machine, Node, NotStarted, wait_until_fresh

EXAMPLES = Path(__file__).parent.parent

DELAY_MS = 4.0

YOUNG_SECONDS = 63.0
"""In its first minute a node reads everything strongly, at twice the price: it does not know what was written before it started."""


@dataclass(frozen=True)
class System:
    """A folder of examples/, with its four programs."""

    name: str
    system: ModuleType
    load: ModuleType
    workload: ModuleType
    test: ModuleType


def systems(names: list[str]) -> list[System]:
    """The systems of these names, or all."""
    there = sorted(path.parent.name for path in EXAMPLES.glob("*/system.py"))
    for name in names:
        if name not in there:
            sys.exit(f"There is no system {name}. There are: {', '.join(there)}")
    parts = ("system", "load", "workload", "test")
    return [System(name, *(importlib.import_module(f"{name}.{part}") for part in parts)) for name in names or there]


@dataclass(frozen=True)
class Measured:
    """Two upstreams with the same data, and a cache before one of them."""

    cached_upstream: Node
    uncached_upstream: Node
    cache: Node
    uncached_endpoint: str

    @staticmethod
    def start(machine: Machine) -> Measured:
        upstreams = machine.backend(cached=False), machine.backend(cached=False)
        cached, uncached = (machine.delay(upstream.endpoint, DELAY_MS) for upstream in upstreams)
        return Measured(*upstreams, machine.cache(cached), uncached)

    def load(self, system: System, seed: int) -> None:
        """Fills both upstreams past the cache, as if the tables had been there for long."""
        for upstream in (self.cached_upstream, self.uncached_upstream):
            system.load.load(Client(upstream.endpoint), Random(f"{seed}/{system.name}/load"))

    def run(self, system: System, operations: int, seed: int) -> Figures:
        def run_at(warm_up: str, counted: str, upstream: Node) -> Run:
            clients = Client(warm_up), Client(counted)
            return run_workload(system.name, system.workload.MIX, *clients, upstream, operations, seed)

        cached = run_at(self.cache.endpoint, self.cache.endpoint, self.cached_upstream)
        # Without a cache there is nothing to warm. The operations only have to happen, so they need not wait.
        uncached = run_at(self.uncached_upstream.endpoint, self.uncached_endpoint, self.uncached_upstream)
        return Figures(system.name, operations, cached, uncached)


def test_all(chosen: list[System], mode: Mode, here: str, there: str, seed: int) -> list[str]:
    """Runs the tests of each system in a mode. Returns the failures."""
    failures = []
    world = World(mode, Client(here), Client(there))
    for system in chosen:
        with timed(f"{system.name:<16} {mode:<8} {len(tests_of(system.test)):>3} tests"):
            failures += run_tests(system.name, system.system.create, system.test, world, seed)
    return failures


def measure_all(chosen: list[System], measured: Measured, arguments: argparse.Namespace) -> None:
    time.sleep(max(0.0, measured.cache.started + YOUNG_SECONDS - time.monotonic()))
    figures = []
    for system in chosen:
        with timed(f"{system.name:<16} workload"):
            figures.append(measured.run(system, arguments.operations, arguments.seed))
        print(report.operations(figures[-1]))
    table, caption = report.table(figures), report.caption(DELAY_MS, arguments.seed)
    print(f"\n{table}\n\n{caption}")
    if arguments.write:
        report.write(f"{table}\n\n{caption}")


@contextmanager
def timed(title: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    print(f"{title:<48} {time.monotonic() - begun:6.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="examples/run")
    parser.add_argument("binary", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--test-only", action="store_true", help="run the tests and not the workloads")
    parser.add_argument("--write", action="store_true", help="put the table into examples/README.md")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=800, help="how many of each workload are counted")
    arguments = parser.parse_intermixed_args()
    if arguments.write and (arguments.names or arguments.test_only):
        parser.error("--write needs the workloads of all systems: leave the names and --test-only out")
    chosen, seed = systems(arguments.names), arguments.seed
    print(f"seed {seed}", flush=True)
    # Without this, a run that is terminated would leave its nodes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with timed("all"), Machine(arguments.binary) as machine:
        # What has to grow old comes first.
        measured = None if arguments.test_only else Measured.start(machine)
        fleet = machine.fleet(machine.backend(cached=False).endpoint)
        cached, uncached = machine.backend(cached=True).endpoint, machine.backend(cached=False).endpoint
        if measured is not None:
            for system in chosen:
                with timed(f"{system.name:<16} load"):
                    measured.load(system, seed)
        failures = test_all(chosen, "cached", cached, cached, seed)
        failures += test_all(chosen, "uncached", uncached, uncached, seed)
        wait_until_fresh(fleet)
        failures += test_all(chosen, "fleet", fleet[0].endpoint, fleet[1].endpoint, seed)
        if failures:
            sys.exit("\n".join(["", *failures, f"{len(failures)} tests failed, seed {seed}"]))
        if measured is not None:
            measure_all(chosen, measured, arguments)


if __name__ == "__main__":
    try:
        main()
    except NotStarted as error:
        sys.exit(str(error))

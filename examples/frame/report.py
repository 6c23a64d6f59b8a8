"""Writes the figures of the workloads as a table, for the terminal and for examples/README.md."""

from __future__ import annotations

import datetime
import os
import platform
import re
from pathlib import Path

from frame.measure import WORKERS, Figures, Run, hit_ratio, percentile

RATE = 1000
"""Operations a second for which the money is computed."""

READ_MILLION_USD, WRITE_MILLION_USD = 0.125, 0.625
"""On demand, us-east-1, standard table class, since November 2024: the defaults of Nearside's section [prices]."""

MONTH_SECONDS = 30 * 86400

README = Path(__file__).parent.parent / "README.md"

HEADS = [
    "system",
    "operations",
    "hit ratio",
    "read units: without",
    "with",
    "write units",
    "a month: without",
    "with",
    "of it writes",
    "hit p50 / p99 ms",
    "miss p50 / p99 ms",
]


def table(figures: list[Figures]) -> str:
    lines = [HEADS, *map(_row, figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    padded = [" | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)) for line in lines]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in [padded[0], rule, *padded[1:]])


def operations(figures: Figures) -> str:
    """The hit ratio of each operation that reads, with the number of its requests: for the terminal only."""
    ratios = [(name, hit_ratio(calls), len(calls)) for name, calls in figures.cached.calls.items()]
    return "\n".join(f"    {name:<24} {ratio:>4.0%} of {count:>6,} requests" for name, ratio, count in ratios if ratio is not None)


def caption(delay_ms: float, seed: int) -> str:
    """How the figures came about: without it they mean nothing."""
    return (
        f"Measured {datetime.date.today().isoformat()} on {os.cpu_count()} cores ({_processor()}) by `examples/run`, seed {seed}; "
        f"the load average of the machine was {os.getloadavg()[0]:.0f}.\n\n"
        f"- **Where.** Everything runs on one machine. The upstream is Nearside's own backend behind a delay of {delay_ms:g} ms, about\n"
        f"  the time that DynamoDB takes in the same region.\n"
        f"- **Time** is that of boto3's calls in a program with {WORKERS} threads. Nearly all of the time of a hit is boto3's own.\n"
        f"- **Operations** are access patterns, of one request or more. As many came before to warm the cache, and are not counted.\n"
        f"- **Hit ratio**: the part of the reads that the cache answered. Each key of a BatchGetItem is a read.\n"
        f"- **Units** are those that the upstream charged.\n"
        f"- **Money** is for {RATE:,} operations a second around the clock for 30 days, at ${READ_MILLION_USD:g} for a million read\n"
        f"  units and ${WRITE_MILLION_USD:g} for a million write units.\n"
        f"- **The savings are rather too low**, except for [tenants](tenants/), which pays more with the cache: see there. A workload\n"
        f"  lasts seconds, so much is read for the first time. For a minute after a write, misses of what it has changed are strong\n"
        f"  reads, at twice the price; for five seconds pages of a changed index are not cached."
    )


def write(text: str) -> None:
    """Puts the text between the two marks of examples/README.md."""
    begin, end = "<!-- begin of the table -->", "<!-- end of the table -->"
    after, count = re.subn(f"{begin}.*{end}", lambda _: f"{begin}\n\n{text}\n\n{end}", README.read_text(), flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{README} must have one {begin} with one {end} after it")
    README.write_text(after)


def _row(figures: Figures) -> list[str]:
    cached, uncached = figures.cached, figures.uncached
    return [
        f"[{figures.system}]({figures.system}/)",
        f"{figures.operations:,}",
        f"{cached.hit_ratio:.0%}",
        f"{uncached.read_units:,.0f}",
        f"{cached.read_units:,.0f}",
        f"{cached.write_units:,.0f}",
        f"${_reads(uncached, figures.operations) + _writes(uncached, figures.operations):,.0f}",
        f"${_reads(cached, figures.operations) + _writes(cached, figures.operations):,.0f}",
        f"${_writes(cached, figures.operations):,.0f}",
        _percentiles(cached.milliseconds(hits=True)),
        _percentiles(cached.milliseconds(hits=False)),
    ]


def _reads(run: Run, operations: int) -> float:
    return run.read_units / operations * RATE * MONTH_SECONDS / 1e6 * READ_MILLION_USD


def _writes(run: Run, operations: int) -> float:
    return run.write_units / operations * RATE * MONTH_SECONDS / 1e6 * WRITE_MILLION_USD


def _percentiles(ordered: list[float]) -> str:
    middle, high = percentile(ordered, 0.5), percentile(ordered, 0.99)
    return "none" if middle is None or high is None else f"{middle:.1f} / {high:.1f}"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.machine()

"""What was checked, a line each, and what is wrong."""

import sys
import time


class Report:
    def __init__(self):
        self.began = time.monotonic()
        self.failures = []
        self.count = 0

    def check(self, name, fault=None):
        """Notes a check: `fault` says what is wrong, if anything is."""
        self.count += 1
        print(f"{'FAILED' if fault else 'ok'}  {name}", flush=True)
        if fault:
            self.failures.append(name)
            print("\n".join(f"        {line}" for line in str(fault).strip().splitlines()), flush=True)

    def left_out(self, name, reason):
        print(f"LEFT OUT  {name}: {reason}", flush=True)

    def end(self):
        took = time.monotonic() - self.began
        print(f"{self.count} checks, {len(self.failures)} failed, in {took:.0f} s")
        sys.exit(1 if self.failures else 0)

"""Compares the labels and kinds of the metrics on the standard input with docs/metrics.md: labels.py docs/metrics.md <METRICS"""

import re
import sys

documented = {}
for row in open(sys.argv[1], encoding="utf-8"):
    if found := re.match(r"\| `(nearside_\w+)(?:\{([\w,]+)\})?` \| (.*) \|$", row):
        documented[found[1]] = (set((found[2] or "").split(",")) - {""}, found[3])

faults = set()
kinds = {}
for line in sys.stdin:
    if found := re.match(r"# TYPE (nearside_\w+) (\w+)", line):
        kinds[found[1]] = found[2]
        words = documented.get(found[1], (None, ""))[1]
        # A name that ends in _total is a counter; anything else says what it is, if it is no plain gauge.
        if (found[2] == "histogram") != words.startswith("histogram"):
            faults.add(f"{found[1]} is a {found[2]}; its row says: {words}")
        if (found[2] == "counter") != found[1].endswith("_total"):
            faults.add(f"{found[1]} is a {found[2]}")
    elif found := re.match(r"(nearside_\w+?)(?:\{(.*)\})? [^ ]+$", line):
        name, labels = found[1], set(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', found[2] or "")) - {"le"}
        if name not in kinds:
            name = re.sub("_(bucket|sum|count)$", "", name)
        if name not in documented:
            faults.add(f"{name} has no row")
        elif labels != documented[name][0]:
            faults.add(f"{name} has the labels {sorted(labels)}; its row says {sorted(documented[name][0])}")
if not kinds:
    sys.exit("there are no metrics on the standard input")
if faults:
    sys.exit("docs/metrics.md differs from what is shown:\n" + "\n".join(sorted(faults)))
print(f"docs/metrics.md has the labels and kinds of {len(kinds)} metrics")

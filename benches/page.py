"""Puts the figures of benches/report into docs/performance.md, between its two marks, and the plots into docs/images.

    benches/page.py FOLDER
"""

import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/performance.md"
IMAGES = ROOT / "docs/images"
BEGIN, END = "<!-- figures of benches/report -->", "<!-- end of the figures -->"

# The plots that are shown: the section that each stands in, and what it shows.
PLOTS = {
    "beside the floor": ("floor", "Bars: CPU of the servers for each request, beside bare HTTP servers"),
    "beside others": ("others", "Bars: CPU of the servers for each request, beside other databases"),
    "YCSB": ("ycsb", "Bars: CPU of the servers for each operation of YCSB's workloads"),
}


def sections(text):
    """The run's conditions, and for each section its name and lines."""
    first, *others = text.split("\n== ")
    named = []
    for section in others:
        name, _, lines = section.partition("\n")
        named.append((name.strip(), lines.splitlines()))
    return first.splitlines(), named


def markdown(folder, name, lines):
    table = [" | ".join(cell.strip() for cell in line.strip("| ").split("|")) for line in lines if line.startswith("| ")]
    notes = [line for line in lines if line and not line.startswith(("|", "drawn: ", "measured in "))]
    # The program's path is of the machine, and its profile stands above.
    notes = [note.partition(", ")[2] if " rounds of " in note else note for note in notes]
    written = [f"### {name[0].upper()}{name[1:]}", ""]
    # A section has its columns' names as often as the benchmark was started.
    head, *rows = table
    rows = [row for row in rows if row != head]
    columns = head.count("|") + 3
    written += [f"| | | {head.lstrip('| ')} |", "|" + "---|" * columns, *(f"| {row} |" for row in rows), ""]
    if name in PLOTS and (folder / f"{PLOTS[name][0]}.svg").exists():
        plot, shown = PLOTS[name]
        written += [f"![{shown}](images/performance-{plot}.svg)", ""]
    written += [f"- {note}" for note in notes] + [""]
    return written


def main():
    folder = pathlib.Path(sys.argv[1])
    conditions, named = sections((folder / "figures.txt").read_text())
    written = [BEGIN, "", *(f"- {line}" for line in conditions if line), ""]
    for name, lines in named:
        written += markdown(folder, name, lines)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + "\n".join(written) + END + after)
    for plot, _ in PLOTS.values():
        if (folder / f"{plot}.svg").exists():
            shutil.copy(folder / f"{plot}.svg", IMAGES / f"performance-{plot}.svg")
    print(f"written: {PAGE}")


main()

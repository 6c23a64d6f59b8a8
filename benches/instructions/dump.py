"""What callgrind has written down: how many instructions, and how many of them for what is not a request's.

The format: https://valgrind.org/docs/manual/cl-format.html
"""

import re

# What the process does by itself four times a second, whatever is asked of it: it would grow with the time that a busy machine takes.
BACKGROUND = "nearside::server::caches::Caches::sweep"

# Accesses are noted for the hot keys up to so many a second, so by the time that passes and not by the request.
SAMPLED = {"nearside::insight::hot::HotKeys::note_item", "nearside::insight::hot::HotKeys::note_query"}

FUNCTION = re.compile(r"(c?)fn=\((\d+)\)(?: (.*))?")


def totals(file):
    """The user instructions of a dump without those of the background and of samples; and those of the background, `None` if there was none."""
    names, function, called = {}, None, None
    everything, background, sampled = 0, None, 0
    is_cost_of_call = False
    for line in file:
        if line.startswith("totals: "):
            everything = int(line.split()[1])
        elif match := FUNCTION.match(line):
            is_called, number, name = match.groups()
            # A name is written once, and its number stands for it from then on.
            if name is not None:
                names[number] = name.strip()
            if is_called:
                called = number
            else:
                function = number
        elif line.startswith("calls="):
            is_cost_of_call = True
        elif is_cost_of_call:
            is_cost_of_call = False
            if names[called] in SAMPLED:
                sampled += int(line.split()[1])
            elif names[called] == BACKGROUND != names[function]:
                background = (background or 0) + int(line.split()[1])
    return everything - (background or 0) - sampled, background

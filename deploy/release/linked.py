"""The packages that are linked into the program as it is shipped, as cargo knows them."""
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def metadata():
    """All that cargo says of the program's packages on this machine's target, the program's own first, and then those linked by name."""
    host = re.search("host: (.*)", run("rustc", "-vV"))[1]
    read = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host))
    # The metadata also have what only features that are off, tests and builds need. The tree does not.
    tree = run("cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}")
    wanted = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    packages = [package for package in read["packages"] if (package["name"], "v" + package["version"]) in wanted]
    packages.sort(key=lambda package: (package["source"] is not None, package["name"], package["version"]))
    nodes = {node["id"]: node for node in read["resolve"]["nodes"]}
    return packages[0], packages[1:], nodes

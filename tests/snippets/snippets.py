"""Runs what docs/clients.md and README.md tell their readers to run, word for word but for the port, and looks whether the node was asked.

    tests/snippets/run PATH/TO/nearside
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENDPOINT = "127.0.0.1:8000"
# Without an endpoint here, and without anything of the machine's own: a client that ignores its setting has nowhere to go.
NOTHING = {
    "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}
KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
REGION = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def blocks(page, heading, language):
    """The code blocks of a language below a heading, up to the next heading of any level."""
    text = (ROOT / page).read_text()
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.DOTALL | re.MULTILINE)
    if not section:
        sys.exit(f"{page} has no heading {heading!r}")
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)


class Node:
    def __init__(self, binary):
        self.port, self.admin = free_port(), free_port()
        listeners = ["--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin}"]
        self.process = subprocess.Popen([binary, *listeners, "--in-memory"], env=NOTHING)
        for _ in range(500):
            try:
                self.text("readyz")
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"nearside ended with {self.process.returncode}")
                time.sleep(0.01)
        sys.exit("nearside does not listen")

    def text(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{path}") as answer:
            return answer.read().decode()

    def reads(self):
        """How many requests for an item the node has answered."""
        counts = re.findall(r'^nearside_requests_total\{op="GetItem"[^}]*\} (\d+)', self.text("metrics"), re.MULTILINE)
        return sum(map(int, counts))

    def here(self, text):
        """The text with this node's port in the place of the documents'."""
        if ENDPOINT not in text:
            sys.exit(f"nothing names {ENDPOINT} here:\n{text}")
        return text.replace(ENDPOINT, f"127.0.0.1:{self.port}")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if code := self.process.wait(timeout=30):
            sys.exit(f"nearside ended with {code}")


class Run:
    """Runs texts in a folder and counts what failed."""

    def __init__(self, node, folder):
        self.node, self.folder = node, folder
        self.passed = self.failed = 0

    def __call__(self, name, before, command, environment, expected):
        """Runs a command behind some lines of shell; the node must be asked for an item, and the output must have some words."""
        reads = self.node.reads()
        script = f"set -eu\n{before}\n{command}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=NOTHING | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        missing = [word for word in expected if word not in done.stdout]
        asked = self.node.reads() - reads
        if done.returncode == 0 and asked > 0 and not missing:
            self.passed += 1
            print(f"ok      {name}")
            return
        self.failed += 1
        print(f"failed  {name}: exit code {done.returncode}, {asked} reads at the node, without {missing}\n{script}\n{done.stdout}")


def client_examples(run, node, folder):
    variables = node.here("\n".join(blocks("docs/clients.md", "By variable", "sh")))
    [file] = blocks("docs/clients.md", "By the shared config file", "ini")
    (folder / "config").write_text(node.here(file))
    languages = [
        ("Python", "python", "py", "python FILE", ["13.5", "hit"]),
        ("AWS CLI", "sh", "sh", "bash FILE", ["13.5"]),
        ("JavaScript", "js", "mjs", "node FILE", ["13.5"]),
    ]
    for heading, language, suffix, command, expected in languages:
        outside, inside = blocks("docs/clients.md", heading, language)
        for name, text, before, environment in [
            ("by variable", outside, variables, {}),
            ("by the shared config file", outside, "", KEYS | {"AWS_CONFIG_FILE": str(folder / "config")}),
            ("in code", node.here(inside), "", KEYS | REGION),
        ]:
            file = folder / f"snippet.{suffix}"
            file.write_text(text)
            run(f"{heading}, {name}", before, command.replace("FILE", str(file)), environment, expected)


def first_hit(run, node):
    """The README's way to a first hit, after the node is built and boto3 installed."""
    lines = [line for block in blocks("README.md", "Start", "sh") for line in block.split("\n")]
    [variables] = [line for line in lines if "AWS_ENDPOINT_URL_DYNAMODB" in line]
    [example] = re.findall(r"^python (\S+)", "\n".join(lines), re.MULTILINE)
    expected = ["get order 1                        hit", "query order 1 again                hit", "query order 1 once more            miss"]
    run("README", node.here(variables), f"python {ROOT / example}", {}, expected)


def main():
    binary, modules = sys.argv[1:]
    node = Node(binary)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            # Node.js looks for packages beside the file.
            (folder / "node_modules").symlink_to(pathlib.Path(modules) / "node_modules")
            run = Run(node, folder)
            first_hit(run, node)
            client_examples(run, node, folder)
    finally:
        node.end()
    print(f"{run.passed} passed, {run.failed} failed")
    sys.exit(1 if run.failed or run.passed < 10 else 0)


main()

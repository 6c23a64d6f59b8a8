"""Nearside under callgrind, on one processor and with one worker, and the instructions that it has executed."""

import os
import socket
import subprocess
import time
import urllib.request

import calls
import dump

# What the environment could change is left out or set. Pools and tables are sized by the number of processors, which is one here.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C",
    "TOKIO_WORKER_THREADS": "1",
    "MIMALLOC_USE_NUMA_NODES": "1",
}
# Nothing expires, nothing is logged, and nothing is done by itself that can be left.
CONFIG = """
[log]
level = "off"
slow = "0s"
[local]
in_memory = true
ttl_sweep = "0s"
[cache]
item_ttl = "never"
query_ttl = "never"
"""
# Callers are verified, and one of them may do everything.
VERIFIED = f"""
[auth]
mode = "sigv4"
[[auth.keys]]
access_key_id = "{calls.KEY_ID}"
secret_env = "BENCH_SECRET"
tables = ["*"]
actions = ["dynamodb:*"]
"""
START_SECONDS_MAX = 120
IDLE_SECONDS_MAX = 60


class Server:
    """A running process. `address` is for DynamoDB's clients, `dax_address` for DAX's."""

    def __init__(self, program, folder, config=""):
        self.folder = folder
        self.address, self.dax_address, admin = free_address(), free_address(), free_address()
        with open(f"{folder}/nearside.toml", "w") as file:
            file.write(CONFIG + config)
        processor = min(os.sched_getaffinity(0))
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--vgdb-prefix={folder}/vgdb"]
        command += [program, "--config", f"{folder}/nearside.toml"]
        command += ["--listen", "%s:%d" % self.address, "--admin-listen", "%s:%d" % admin]
        command += ["--dax-listen", "%s:%d" % self.dax_address]
        self.log = open(f"{folder}/log", "w+")
        self.process = subprocess.Popen(
            command, cwd=folder, env={**ENVIRONMENT, "BENCH_SECRET": calls.SECRET, "HOME": folder, "TMPDIR": folder}, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, preexec_fn=lambda: os.sched_setaffinity(0, {processor}),
        )
        self.dumps = 0
        self.wait_until_ready("http://%s:%d/readyz" % admin)

    def wait_until_ready(self, url):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        self.process.kill()
        self.log.seek(0)
        raise SystemExit(f"the program does not start under valgrind:\n{self.log.read()}")

    def instructions(self):
        """User instructions since the last call, without those of the background, and the latter. What valgrind does to count them is not
        among them."""
        self.dumps += 1
        control = ["vgdb", f"--pid={self.process.pid}", f"--vgdb-prefix={self.folder}/vgdb", "dump", str(self.dumps)]
        subprocess.run(control, env=ENVIRONMENT, check=True, capture_output=True, timeout=60)
        with open(f"{self.folder}/out.{self.dumps}") as file:
            return dump.totals(file)

    def wait_until_idle(self):
        """Waits until every thread sleeps, and one of them for sockets. Then the last request has been paid for, and the next one finds the
        server as every other one does, however busy the machine is."""
        tasks, deadline = f"/proc/{self.process.pid}/task", time.monotonic() + IDLE_SECONDS_MAX
        while not is_idle(tasks):
            if time.monotonic() > deadline:
                raise SystemExit(f"the program is still at work {IDLE_SECONDS_MAX} s after a request")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def is_idle(tasks):
    waits_for_sockets = False
    for task in os.listdir(tasks):
        try:
            with open(f"{tasks}/{task}/stat") as stat, open(f"{tasks}/{task}/wchan") as wchan:
                state, place = stat.read().rpartition(")")[2].split()[0], wchan.read()
        except (FileNotFoundError, ProcessLookupError):
            # The thread has ended meanwhile.
            return False
        if state != "S":
            return False
        # Some kernels do not say what a thread waits for.
        waits_for_sockets |= "poll" in place or place == "0"
    return waits_for_sockets


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()

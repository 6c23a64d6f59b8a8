"""The unit of systemd, run by systemd itself: as process 1 of a namespace that has this unit and no other."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from . import runs, static

SYSTEMD = Path("/lib/systemd/systemd")
START_SECONDS = 30

# A group of processes of its own in each hierarchy, so that systemd arranges nothing on the machine: the one of version 2, or those of
# version 1. A cpuset of version 1 takes no process before it is filled in, and systemd does not use it.
JOIN = r"""
set -eu
for root in $(findmnt --noheadings --raw --types cgroup,cgroup2 --output TARGET | grep -v cpuset); do
  mkdir -p "$root/nearside-checks"
  echo 0 > "$root/nearside-checks/cgroup.procs"
  mount --bind "$root/nearside-checks" "$root"
done
exec unshare --cgroup sh -c "$@"
"""

# What the service writes to, and where it is installed, are layers in memory. Targets that the unit names are empty ones.
BOOT = r"""
set -eu
place=$1 binary=$2 deploy=$3
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
for directory in etc usr/bin; do
  mkdir -p "/run/layers/$directory/upper" "/run/layers/$directory/work"
  layer=/run/layers/$directory
  mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$layer/upper,workdir=$layer/work" "/$directory"
done
mount -t tmpfs tmpfs /var/lib
cp "$binary" /usr/bin/nearside
mkdir -p /etc/nearside /run/units
cp "$deploy/../config/nearside.toml" /etc/nearside/nearside.toml
cp "$deploy/systemd/nearside.service" /run/units/nearside.service
for target in sysinit basic shutdown network-online; do
  printf '[Unit]\nDefaultDependencies=no\n' > "/run/units/$target.target"
done
printf '[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nWants=nearside.service\n' > /run/units/boot.target
# systemd must never clean those of the machine.
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
export container=checks SYSTEMD_UNIT_PATH=/run/units
exec /lib/systemd/systemd --system --unit=boot.target --log-target=console --show-status=no
"""


class Systemd:
    """systemd in namespaces of its own, but in the network of the checks."""

    def __init__(self, world):
        words = ["unshare", "--pid", "--mount", "--propagation", "private", "--ipc", "--uts", "--fork", "--kill-child"]
        self.log = open(world.place / "systemd.log", "w+")
        self.process = subprocess.Popen(
            [*words, "sh", "-c", JOIN, "sh", BOOT, "sh", world.place, world.binary, static.DEPLOY],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def run(self, *command):
        """A command beside the service. Returns its exit code and what it says."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        words = ["nsenter", "--target", children[0], "--mount", "--pid", "--ipc", "--uts", "--", *command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def output(self):
        return Path(self.log.name).read_text(errors="replace")[-2000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        # A group can be removed when its processes have ended, which they do a moment after they are killed.
        end = time.monotonic() + 5
        while (groups := left_groups()) and time.monotonic() < end:
            for group in groups:
                subprocess.run(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], stderr=subprocess.DEVNULL)
            time.sleep(0.05)


def left_groups():
    return [path for pattern in ("nearside-checks", "*/nearside-checks") for path in Path("/sys/fs/cgroup").glob(pattern)]


def is_ready_in_time(systemd):
    """None, or what is wrong."""
    end = time.monotonic() + START_SECONDS
    while (found := runs.answer("http://127.0.0.1:8100/readyz"))[0] != 200:
        if time.monotonic() > end or systemd.process.poll() is not None:
            return f"not after {START_SECONDS} s: {found}"
        time.sleep(0.1)
    return None


def check_process(report, systemd):
    _, words = systemd.run("systemctl", "show", "nearside", "--property=MainPID", "--value")
    _, status = systemd.run("cat", f"/proc/{words.strip()}/status")
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
    found = dict(re.findall(r"^(\w+):\s+(\S+)", status, re.MULTILINE))
    differing = {name: found.get(name) for name, value in wanted.items() if found.get(name) != value}
    is_root = found.get("Uid", "0") == "0"
    report.check("systemd/nearside.service: no privileges, seccomp, not root", str(differing) if differing or is_root else None)
    metrics = runs.answer("http://127.0.0.1:8100/metrics")[1]
    names = ["process_start_time_seconds", "process_resident_memory_bytes", "process_open_fds"]
    values = {name: re.search(rf"^{name} (\S+)", metrics, re.MULTILINE) for name in names}
    missing = [name for name, value in values.items() if not value or float(value[1]) <= 0]
    report.check("systemd/nearside.service: the process can measure itself", ", ".join(missing))


def check_all(report, world):
    if not SYSTEMD.exists() or not shutil.which("systemctl") or not os.path.isdir("/sys/fs/cgroup"):
        report.left_out("systemd/nearside.service by systemd", "systemd is missing; apt-get install systemd")
        return
    with Systemd(world) as systemd:
        fault = is_ready_in_time(systemd)
        report.check("systemd/nearside.service: systemd starts it, and it is ready", fault and f"{fault}\n{systemd.output()}")
        if fault:
            return
        check_process(report, systemd)
        runs.create_orders("http://127.0.0.1:8000")
        report.check("systemd/nearside.service: a client writes and reads", runs.attempted(runs.use, "http://127.0.0.1:8000"))
        code, words = systemd.run("ls", "/var/lib/nearside/nearside-data")
        report.check("systemd/nearside.service: tables are in the state directory", None if code == 0 and words else words)
        for verb in ("reload", "stop"):
            code, words = systemd.run("systemctl", verb, "nearside")
            report.check(f"systemd/nearside.service: systemctl {verb}", None if code == 0 else words)
        _, words = systemd.run("systemctl", "show", "nearside", "--property=ActiveState", "--property=Result")
        ended = "ActiveState=inactive" in words and "Result=success" in words
        report.check("systemd/nearside.service: it ends well", None if ended else words)

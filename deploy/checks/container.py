"""A container without a container engine: a root of its own, its user, no privileges, and the network that all checks share."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

# Mounts what is listed below a new root, makes it read-only, and becomes the program. Its process id stays the same.
START = r"""
set -eu
root=$1 user=$2 group=$3 groups=$4; shift 4
mount -t tmpfs -o mode=0755 tmpfs "$root"
for directory in usr lib lib64 proc dev; do
  [ -e "/$directory" ] || continue
  mkdir "$root/$directory"
  mount --rbind "/$directory" "$root/$directory"
done
mkdir -p "$root/etc" "$root/tmp"
while [ "$1" != -- ]; do
  mkdir -p "$(dirname "$root$2")"
  if [ -d "$1" ]; then mkdir -p "$root$2"; else : > "$root$2"; fi
  mount --bind "$1" "$root$2"
  shift 2
done
shift
mount -o remount,ro,bind "$root"
exec /usr/sbin/chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$group" --groups "$groups" --no-new-privs \
  --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
"""

START_SECONDS = 30


class Container:
    """One container of a manifest. `mounts` are pairs of a place here and one inside."""

    def __init__(self, command, variables, mounts, user="65532:65532", groups="65532"):
        self.user, self.group = user.split(":")
        self.groups = groups
        self.variables = {"PATH": "/usr/bin", "HOSTNAME": "node-1", **variables}
        self.root = tempfile.mkdtemp(prefix="nearside-root-")
        self.log = tempfile.NamedTemporaryFile(prefix="nearside-log-")
        places = [str(place) for pair in mounts for place in pair]
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", START, "sh", self.root, self.user, self.group, groups]
        self.process = subprocess.Popen(
            [*words, *places, "--", *command],
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def run_inside(self, command):
        """A command in the running container, as a probe is. Returns its exit code and what it says."""
        within = ["nsenter", "--target", str(self.process.pid), "--mount", "--root", "/usr/bin/setpriv"]
        rights = ["--reuid", self.user, "--regid", self.group, "--groups", self.groups, "--no-new-privs", "--bounding-set=-all"]
        done = subprocess.run([*within, *rights, *command], env=self.variables, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    def wait_until(self, is_true):
        """Asks again and again. Returns what is wrong: the process has ended, or the time is over."""
        end = time.monotonic() + START_SECONDS
        while not (answer := is_true())[0]:
            if self.process.poll() is not None:
                return f"it ended with {self.process.returncode}: {self.output()}"
            if time.monotonic() > end:
                return f"not after {START_SECONDS} s: {answer[1]}\n{self.output()}"
            time.sleep(0.05)
        return None

    def wait_for_the_end(self, seconds):
        """The exit code, or None if it still runs."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self):
        """SIGTERM, as every engine does. Returns what is wrong with the end."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return "it did not end within 30 seconds of SIGTERM"
        shutil.rmtree(self.root, ignore_errors=True)
        return None if self.process.returncode == 0 else f"it ended with {self.process.returncode}: {self.output()}"

    def output(self):
        return Path(self.log.name).read_text(errors="replace")[-8000:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.path.isdir(self.root) and shutil.rmtree(self.root, ignore_errors=True)

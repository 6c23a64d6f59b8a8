"""The Python packages that the checks need, and the namespaces that they run in."""

import ctypes
import fcntl
import hashlib
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

# helm-python-sdk is Helm's own library in Go (v4.2.3) behind ctypes, since the program helm is not in a registry of packages.
PACKAGES = [
    "boto3==1.44.8",
    "cfn-lint==1.58.0",
    "check-jsonschema==0.39.0",
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.0",
    "pytest==9.2.0",
    "yamllint==1.38.0",
]

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def run_with_packages():
    """Goes on in a virtual environment that has the packages. It is made once."""
    digest = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment = cache / "nearside" / f"deploy-{digest}"
    python = environment / "bin" / "python"
    if Path(sys.prefix) == environment:
        os.environ["PATH"] = f"{environment / 'bin'}:{os.environ['PATH']}"
        return
    if not (environment / "complete").exists():
        print(f"Installing {len(PACKAGES)} Python packages into {environment}.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
        (environment / "complete").touch()
    os.execv(python, [python, *sys.argv])


def enter_namespaces_once():
    """Leaves the network and the mounts of the machine, so that ports are free and nothing outside is asked."""
    if os.geteuid() != 0:
        sys.exit("deploy/validate starts nodes in namespaces of their own, which needs root: sudo deploy/validate PATH/TO/nearside")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        sys.exit(f"cannot leave the machine's namespaces: {os.strerror(ctypes.get_errno())}")
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))

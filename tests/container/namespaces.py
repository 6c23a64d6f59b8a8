"""A container without an engine: namespaces, a read-only root, one user, no capabilities, no new privileges.

As a program it is the process between the test and the container: namespaces.py ROOT VOLUME-ON-THE-HOST JSON, where the last has
command, environment, user, group and volume. It writes the container's process id on the standard output, and ends as the container does.
"""
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS, NEW_PROCESSES, NEW_IPC, NEW_NAMES, NEW_NETWORK = 0x20000, 0x20000000, 0x8000000, 0x4000000, 0x40000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXECUTION, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DROP_FROM_BOUNDING_SET, SET_NO_NEW_PRIVILEGES, DIE_WITH_PARENT = 24, 38, 1
INTERFACE_UP, SET_INTERFACE_FLAGS = 1, 0x8914
LAST_CAPABILITY = int(open("/proc/sys/kernel/cap_last_cap").read())


def call(name, *arguments):
    """A call of the C library that must succeed."""
    if getattr(LIBC, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}{arguments}: {os.strerror(error)}")


def mount(source, target, kind, flags):
    call("mount", os.fsencode(source), os.fsencode(target), kind.encode(), flags, None)


def enter_network():
    """Moves this process into a network of its own that has nothing but loopback, as the containers of one pod share it."""
    call("unshare", NEW_NETWORK)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, struct.pack("16sh14x", b"lo", INTERFACE_UP))


def enter_root(root, volume, mounted):
    """Makes `root` the root of this process, read-only but for the volume."""
    mount("none", "/", "", RECURSIVE | PRIVATE)
    mount(root, root, "", BIND)
    mount("proc", f"{root}/proc", "proc", NO_SUID | NO_DEVICES | NO_EXECUTION)
    mount("tmpfs", f"{root}/dev", "tmpfs", NO_SUID)
    for device in ["null", "zero", "random", "urandom"]:
        open(f"{root}/dev/{device}", "x").close()
        mount(f"/dev/{device}", f"{root}/dev/{device}", "", BIND)
    mount(volume, root + mounted, "", BIND)
    mount("none", root, "", BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEVICES)
    os.chroot(root)
    os.chdir("/")


def drop_privileges(user, group):
    for capability in range(LAST_CAPABILITY + 1):
        # One that this process does not have cannot come back.
        LIBC.prctl(DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    call("prctl", SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def main(root, volume, settings):
    settings = json.loads(settings)
    call("unshare", NEW_MOUNTS | NEW_PROCESSES | NEW_IPC | NEW_NAMES)
    child = os.fork()
    if child == 0:
        call("prctl", DIE_WITH_PARENT, 9, 0, 0, 0)
        enter_root(root, volume, settings["volume"])
        drop_privileges(settings["user"], settings["group"])
        os.dup2(2, 1)
        os.execve(settings["command"][0], settings["command"], settings["environment"])
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    main(*sys.argv[1:])

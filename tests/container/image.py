"""The file system and the settings of the image, from the last stage of the Dockerfile.

Where the Dockerfile copies from the stage that builds, the files are those of the program at hand. The base image cannot be fetched
everywhere, so it is made of the Debian packages that it consists of, as this machine has them installed.
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
# gcr.io/distroless/base-nossl-debian12. It leaves out manuals and translations.
BASE = {"gcr.io/distroless/base-nossl-debian12:nonroot": ["base-files", "ca-certificates", "libc6", "netbase", "tzdata"]}
LEFT_OUT = re.compile(r"^/usr/share/(man|locale|lintian|info|doc/[^/]+/(?!copyright))|^/usr/sbin/")
LINKED = {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1"}


class Image:
    """What an engine would read from the image."""

    def __init__(self, dockerfile):
        text = dockerfile.read_text().replace("\\\n", " ")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        stages = [at for at, line in enumerate(lines) if line.startswith("FROM ")]
        self.instructions = [line.split(" ", 1) for line in lines[stages[-1] :]]
        self.base = self.words("FROM")[0]
        self.user, self.group = map(int, self.words("USER")[0].split(":"))
        self.environment = dict(word.split("=", 1) for word in self.words("ENV"))
        self.entrypoint = json.loads(" ".join(self.words("ENTRYPOINT")))
        self.health = json.loads(re.search(r"CMD (\[.*\])", self.last("HEALTHCHECK"))[1])
        self.volume = self.words("VOLUME")[0]
        self.stop_signal = self.words("STOPSIGNAL")[0]

    def last(self, instruction):
        return [rest for name, rest in self.instructions if name == instruction][-1]

    def words(self, instruction):
        return self.last(instruction).split()

    def copies(self):
        """Each COPY: where from, where to, and for whom."""
        for name, rest in self.instructions:
            if name == "COPY":
                words = shlex.split(rest)
                options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
                assert options["from"] == "build", f"COPY {rest}: only the stage that builds is known here"
                source, target = [word for word in words if not word.startswith("--")]
                owner = tuple(map(int, options.get("chown", "0:0").split(":")))
                yield source, target, owner


def shared_libraries(program):
    """The libraries that the program is linked with, by their names; the loader has none."""
    lines = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = {line.split()[0]: (line.split() + [None] * 3)[2] for line in lines}
    return {name: path for name, path in found.items() if not name.startswith("/")}


def assemble(image, program, folder):
    """Writes the image's file system into a folder."""
    for package in BASE[image.base]:
        listed = subprocess.run(["dpkg", "-L", package], check=True, stdout=subprocess.PIPE, text=True).stdout
        for name in listed.splitlines():
            # Folders come with their files. /lib is one in the package, and may be a link on this machine.
            if not os.path.isdir(name) and os.path.lexists(name) and not LEFT_OUT.match(name):
                put(name, folder, name)
    put("/etc/ssl/certs/ca-certificates.crt", folder, "/etc/ssl/certs/ca-certificates.crt")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")
    (folder / "etc/group").write_text("root:x:0:\nnonroot:x:65532:\n")
    for name in ["dev", "proc", "tmp", "home/nonroot"]:
        (folder / name).mkdir(parents=True, exist_ok=True)

    libraries = shared_libraries(program)
    assert set(libraries) <= LINKED, f"linked with more than the C library: {set(libraries) - LINKED}"
    licenses = folder.parent / "licenses"
    licenses.mkdir()
    shutil.copy(ROOT / "LICENSE", licenses)
    with open(licenses / "THIRD-PARTY.txt", "w") as file:
        subprocess.run([ROOT / "deploy/release/third-party"], check=True, stdout=file)
    data = folder.parent / "empty"
    data.mkdir(mode=0o700)
    built = {"/nearside": program, "/libgcc_s.so.1": os.path.realpath(libraries["libgcc_s.so.1"]), "/licenses": licenses, "/data": data}
    for source, target, owner in image.copies():
        put(built[source], folder, target)
        os.chown(str(folder) + target, *owner)


def put(source, folder, target):
    """Copies a file, a link or a folder."""
    place = pathlib.Path(str(folder) + target)
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.islink(source):
        place.symlink_to(os.readlink(source))
    elif os.path.isdir(source):
        shutil.copytree(source, place)
    else:
        shutil.copy(source, place)


def size(folder):
    """The bytes of all files."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() or path.is_symlink())

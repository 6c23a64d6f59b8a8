"""The settings of a node as its manifest has them: variables before the config, and the defaults of config/nearside.toml."""

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

DEFAULTS = tomllib.loads((Path(__file__).resolve().parents[2] / "config/nearside.toml").read_text())
UNITS = {"": 1, "B": 1, "k": 10**3, "M": 10**6, "G": 10**9}
UNITS |= {f"{letter}i{b}": 1024**power for power, letter in enumerate("KMG", 1) for b in ("", "B")}
# docs/sizing.md: the process, its words, and requests that wait. A tenth more than the sum is left.
OTHER_BYTES = 168 * 1024**2
SPARE = 1.1


def size_in_bytes(text):
    """A size of Nearside ("64MiB") or of Kubernetes ("768Mi")."""
    number, unit = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(text)).groups()
    return float(number) * UNITS[unit]


def seconds(text):
    number, unit = re.fullmatch(r"([0-9.]+)(ms|s|m|h)", text).groups()
    return float(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def port_of_url(url, others):
    return urlsplit(url).port or others[urlsplit(url).scheme]


class Settings:
    def __init__(self, variables, config=""):
        self.variables, self.config = variables, tomllib.loads(config)

    def text(self, section, key, *names):
        """A key by its variable, or those of other names, by the config, or by the defaults."""
        for name in (*names, f"NEARSIDE_{section}_{key}".upper()):
            if name in self.variables:
                return self.variables[name]
        return self.config.get(section, {}).get(key) or DEFAULTS.get(section, {}).get(key)

    def listen_port(self):
        return port_of(self.text("server", "listen", "NEARSIDE_LISTEN"))

    def admin_port(self):
        return port_of(self.text("admin", "listen"))

    def drain_seconds(self):
        return seconds(self.text("server", "drain_timeout"))

    def needed_bytes(self):
        """The least limit of memory."""
        cache, bodies = (size_in_bytes(self.text(*key)) for key in (("cache", "max_bytes"), ("server", "bodies_bytes_max")))
        return SPARE * (cache + 4 * bodies + OTHER_BYTES)

    def egress_ports(self, bus_url):
        """The ports that it connects to: AWS, an upstream of its own, and the bus, whose placeholder stands for `bus_url`."""
        ports = {443}
        upstream = self.variables.get("NEARSIDE_UPSTREAM", "aws")
        if upstream != "aws":
            ports.add(port_of_url(upstream, {"http": 80, "https": 443}))
        if url := self.text("fleet", "url"):
            ports.add(port_of_url(url if "://" in url else bus_url, {"redis": 6379, "rediss": 6379}))
        return ports

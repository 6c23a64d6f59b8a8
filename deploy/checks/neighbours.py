"""What must agree between files that are not of Kubernetes: each beside the defaults, and beside the file that it refers to."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from . import static
from .settings import Settings, port_of, seconds

REGION = "REPLACE WITH YOUR REGION"
LAYER_CONFIG = "/opt/nearside/nearside.toml"
# In Lambda and ECS, memory is in MiB.
MEBIBYTE = 1024**2
# A runtime with an SDK needs this much of a function's memory.
FUNCTION_BYTES = 96 * MEBIBYTE


def read(path):
    return (static.DEPLOY / path).read_text()


def template(path):
    return yaml.load(read(path), Loader=static.CloudFormation)["Resources"]


def rights(statements):
    """The actions of DynamoDB by the last part of what they are allowed on: a table, or its indexes too."""
    allowed = (s for s in statements if s["Effect"] == "Allow")
    return {(action, len(s["Resource"]) if isinstance(s["Resource"], list) else 1) for s in allowed for action in s["Action"]}


def documented_rights():
    text = (static.DEPLOY.parent / "docs/remote-upstream.md").read_text()
    policy = next(text for text in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if "NearsideItself" in text)
    return rights(json.loads(policy)["Statement"])


def check_ecs(report):
    task = json.loads(read("ecs/task-definition.json"))
    stack = template("ecs/cloudformation.yaml")
    properties = static.small(stack["Task"]["Properties"])
    pairs = list(zip(task["containerDefinitions"], properties["containerDefinitions"], strict=True))
    faults = []
    for one, other in pairs:
        own = ("image", "logConfiguration", "environment")
        faults += [f"{one['name']}: {key}" for key in one.keys() | other.keys() if key not in own and one.get(key) != other.get(key)]
        wanted = {v["name"]: v["value"].replace(REGION, "!Ref") for v in one["environment"]}
        found = {v["name"]: v["value"] if isinstance(v["value"], str) else "!Ref" for v in other["environment"]}
        found = {name: re.sub(r"^!Ref.*", "!Ref", value) for name, value in found.items()}
        faults += [f"{one['name']}: {wanted} and {found}"] if wanted != found else []
    keys = ("requiresCompatibilities", "networkMode", "cpu", "memory", "runtimePlatform")
    faults += [key for key in keys if task[key] != properties[key]]
    report.check("ecs: both files have the same task", "\n".join(faults))

    node, app = task["containerDefinitions"]
    settings = Settings({v["name"]: v["value"] for v in node["environment"]})
    faults = []
    if app.get("dependsOn") != [{"containerName": node["name"], "condition": "HEALTHY"}]:
        faults.append(f"the program depends on {app.get('dependsOn')}, and not on a healthy node")
    if not (node.get("essential") and app.get("essential")):
        faults.append("the task does not end with either container")
    if node["stopTimeout"] <= app["stopTimeout"] + settings.drain_seconds():
        faults.append("the node's stopTimeout does not outlast the program's and drain_timeout")
    if node["memory"] * MEBIBYTE < settings.needed_bytes() or node["memory"] >= int(task["memory"]):
        faults.append(f"the node's memory is {node['memory']}, and docs/sizing.md has {settings.needed_bytes() / MEBIBYTE:.0f}")
    report.check("ecs: the program waits for the node and ends before it; memory and times suffice", "\n".join(faults))

    statements = [s for policy in stack["TaskRole"]["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    differing = rights(statements) ^ documented_rights()
    report.check("ecs/cloudformation.yaml: the rights are those of docs/remote-upstream.md", str(sorted(differing)) if differing else None)


def check_lambda(report):
    resources = template("lambda/template.yaml")
    function = resources["Function"]["Properties"]
    variables = function["Environment"]["Variables"]
    settings = Settings({}, read("lambda/nearside.toml"))
    faults = []
    if variables["AWS_ENDPOINT_URL_DYNAMODB"] != f"http://{settings.text('server', 'listen')}":
        faults.append(f"the program asks {variables['AWS_ENDPOINT_URL_DYNAMODB']}, the node is at {settings.text('server', 'listen')}")
    if variables["NEARSIDE_CONFIG"] != LAYER_CONFIG:
        faults.append(f"the config is {LAYER_CONFIG}, and NEARSIDE_CONFIG names {variables['NEARSIDE_CONFIG']}")
    needed = settings.needed_bytes() + FUNCTION_BYTES
    if function["MemorySize"] * MEBIBYTE < needed:
        faults.append(f"MemorySize is {function['MemorySize']}; the node and the function need {needed / MEBIBYTE:.0f}")
    report.check("lambda: the template and the layer's config agree, and the memory suffices", "\n".join(faults))
    itself = {action for action, tables in documented_rights() if tables == 1}
    statements = [s for policy in function["Policies"] for s in policy.get("Statement", [])]
    found = {action for action, _ in rights(statements)}
    report.check("lambda/template.yaml: the node's own rights", None if found == itself else f"{found} and {itself}")


def check_monitoring(report):
    services = yaml.safe_load(read("compose.yaml"))["services"]
    source = yaml.safe_load(read("grafana/provisioning/datasources/prometheus.yaml"))["datasources"][0]
    url = urlsplit(source["url"])
    ports = [int(port.rsplit(":", 1)[1]) for port in services.get(url.hostname, {}).get("ports", [])]
    report.check("grafana: the data source is Prometheus of compose.yaml", None if url.port in ports else f"{source['url']}; {ports}")

    default = Settings({}).text("admin", "listen")
    scraped = yaml.safe_load(read("prometheus/prometheus.yml"))["scrape_configs"]
    targets = [target for job in scraped for found in job["static_configs"] for target in found["targets"]]
    is_right = targets == [default] and [job["job_name"] for job in scraped] == ["nearside"]
    report.check("prometheus/prometheus.yml: scrapes the admin listener", None if is_right else f"{targets} and {default}")

    variables = {name: service.get("environment", {}) for name, service in services.items()}
    admin = {name: port_of(own["NEARSIDE_ADMIN_LISTEN"]) for name, own in variables.items() if "NEARSIDE_ADMIN_LISTEN" in own}
    job = yaml.safe_load(read("compose/prometheus.yml"))["scrape_configs"][0]
    found = {int(target.rsplit(":", 1)[1]) for group in job["static_configs"] for target in group["targets"]}
    found |= {sd["port"] for sd in job["dns_sd_configs"]}
    report.check("compose/prometheus.yml: scrapes every node", None if found == set(admin.values()) else f"{found} and {admin}")
    check_nodes_of_compose(report, services)


def check_nodes_of_compose(report, services):
    faults = []
    for name, service in services.items():
        variables = service.get("environment", {})
        if "NEARSIDE_LISTEN" not in variables:
            continue
        publisher = services[service["network_mode"].removeprefix("service:")] if "network_mode" in service else service
        published = {port.split(":", 1)[1] for port in publisher["ports"]}
        for key in ("NEARSIDE_LISTEN", "NEARSIDE_ADMIN_LISTEN"):
            port = port_of(variables[key])
            if f"{port}:{port}" not in published:
                faults.append(f"{name}: {key} {variables[key]} is not published: {published}")
        if float(service["mem_limit"].removesuffix("m")) * MEBIBYTE < Settings(variables).needed_bytes():
            faults.append(f"{name}: mem_limit {service['mem_limit']}")
        if seconds(service["stop_grace_period"]) <= Settings(variables).drain_seconds():
            faults.append(f"{name}: stop_grace_period {service['stop_grace_period']}")
    report.check("compose.yaml: ports, memory and times suit the nodes", "\n".join(faults))


def check_service(report):
    """The unit, and the scripts of the package, which are run with a program `adduser` and `rm` that only write down their words."""
    unit = dict(re.findall(r"^(\w+)=(.*)$", read("systemd/nearside.service"), re.MULTILINE))
    drain = Settings({}).drain_seconds()
    fault = None if float(unit["TimeoutStopSec"]) > drain else f"{unit['TimeoutStopSec']} s, and drain_timeout is {drain:.0f} s"
    report.check("systemd/nearside.service: TimeoutStopSec outlasts drain_timeout", fault)
    cargo = static.DEPLOY.parent / "Cargo.toml"
    assets = re.findall(r'dest = "(etc/[^"]+)", mode = "(\d+)"', cargo.read_text())
    wanted = [("etc/nearside/nearside.toml", "644"), (unit["EnvironmentFile"].lstrip("-/"), "600")]
    is_named = unit["ExecStart"].endswith(f"--config /{wanted[0][0]}")
    fault = None if assets == wanted and is_named else str(assets)
    report.check("package: the files that the unit names, and only root reads variables", fault)
    home = f"/var/lib/{unit['StateDirectory']}"
    account = ["adduser", "--quiet", "--system", "--group", "--no-create-home", "--home", home, unit["User"]]
    scripts = {
        ("postinst", "configure"): [account],
        ("postinst", "abort-upgrade"): [],
        ("postrm", "purge"): [["rm", "-rf", home, f"/var/lib/private/{unit['StateDirectory']}"]],
        ("postrm", "remove"): [],
    }
    for (script, action), expected in scripts.items():
        code, called, said = run_script(static.DEPLOY / "debian" / script, action)
        fault = None if (code, called) == (0, expected) else f"exit code {code}: {said}\n{called}\n{expected}"
        report.check(f"debian/{script} {action}: does what the unit needs", fault)


def run_script(script, action):
    """Runs a script of the package with no other programs than two that write down their words."""
    with tempfile.TemporaryDirectory() as place:
        for name in ("adduser", "rm"):
            program = Path(place) / name
            program.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" "" >> {place}/called\n')
            program.chmod(0o755)
        done = subprocess.run(["/bin/sh", script, action], env={"PATH": place}, capture_output=True, text=True, timeout=30)
        called = Path(place) / "called"
        calls = called.read_text().split("\n\n")[:-1] if called.exists() else []
        return done.returncode, [call.split("\n") for call in calls], done.stdout + done.stderr


def check_all(report):
    check_ecs(report)
    check_lambda(report)
    check_monitoring(report)
    check_service(report)

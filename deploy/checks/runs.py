"""Starts each node as its manifest says, asks its probes, and reads and writes through it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import botocore.config
import yaml

from . import static, workloads
from .container import Container
from .world import REGION

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start(world, node, extra_mounts=()):
    """The container of a node whose placeholders are replaced."""
    mounts = world.mounts() + list(extra_mounts)
    mounts += [(world.directory("volume", files), place) for place, files in node.files.items()]
    if node.data:
        data = Path(tempfile.mkdtemp(prefix="data-", dir=world.place))
        os.chown(data, 65532, 65532)
        mounts.append((data, "/data"))
    return Container(["/nearside", *node.arguments], {**world.variables(), **node.variables}, mounts)


def answer(url):
    """The status that a path answers with, and the words."""
    try:
        with DIRECT.open(url, timeout=5) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


def admin_of(node):
    """Where the admin listener of a node is."""
    listen = node.variables.get("NEARSIDE_ADMIN_LISTEN", "127.0.0.1:8100")
    return f"http://127.0.0.1:{listen.rsplit(':', 1)[1]}"


def client(endpoint, key=("any", "any"), region=REGION):
    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        config=botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10),
    )


def create_orders(endpoint):
    dynamodb = client(endpoint)
    if "Orders" not in dynamodb.list_tables()["TableNames"]:
        dynamodb.create_table(
            TableName="Orders",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )


def use_as_program(node, key=None):
    """Uses a node as the program of its manifest does: with its endpoint, and with the region that boto3 finds in its variables."""
    if node.variables.get("NEARSIDE_UPSTREAM") is None and node.data:
        create_orders(node.endpoint())
    return use(node.endpoint(), key or node.key, node.program["AWS_DEFAULT_REGION"])


def use(endpoint, key=("any", "any"), region=REGION):
    """Writes and reads an item. Returns what is wrong: another value, or the second read is no hit."""
    dynamodb = client(endpoint, key, region)
    order = {"id": {"S": endpoint}, "total": {"N": "1250"}}
    dynamodb.put_item(TableName="Orders", Item=order)
    reads = [dynamodb.get_item(TableName="Orders", Key={"id": order["id"]}) for _ in range(2)]
    if any(read["Item"] != order for read in reads):
        return f"read {reads}"
    source = reads[1]["ResponseMetadata"]["HTTPHeaders"].get("x-nearside-cache")
    return None if source == "hit" else f"the second read is a {source}"


def attempted(action, *words):
    """What an action says is wrong, or the error that it raises."""
    try:
        return action(*words)
    except Exception as error:  # noqa: BLE001: every failure of a client is a finding
        return f"{type(error).__name__}: {error}"


def check_node(report, world, node):
    ready_node = node.replaced(world.bus_password)
    with start(world, ready_node) as container:
        admin = admin_of(ready_node)
        fault = container.wait_until(lambda: ((found := answer(f"{admin}/readyz"))[0] == 200, found))
        report.check(f"{node.name}: starts as user 65532 on a read-only root, and is ready", fault)
        if fault:
            return
        for probe, command in ready_node.commands.items():
            code, words = container.run_inside(command)
            report.check(f"{node.name}: {probe}: {' '.join(command)}", None if code == 0 else f"exit code {code}: {words}")
        for probe, path in ready_node.paths.items():
            status, words = answer(admin + path)
            report.check(f"{node.name}: {probe}: GET {path}", None if status == 200 else f"{status}: {words}")
        report.check(f"{node.name}: a client writes and reads", attempted(use_as_program, ready_node))
        if ready_node.key[0] != "any":
            words = attempted(use_as_program, ready_node, ("SHOP1", "wrong")) or "it is served"
            report.check(f"{node.name}: a wrong secret is rejected", None if "InvalidSignatureException" in words else words)
        code, words = container.run_inside(["/nearside", "stats"])
        report.check(f"{node.name}: nearside stats", None if code == 0 and "Orders" in words else f"exit code {code}: {words}")
        warnings = [line for line in container.output().splitlines() if "WARN" in line or "unknown variable" in line]
        report.check(f"{node.name}: its log has no warning", "\n".join(warnings))
        report.check(f"{node.name}: SIGTERM ends it", container.stop())


def check_chart_test(report, world):
    """The pod of `helm test`, beside a node."""
    objects = static.rendered(static.values_of("shared"))
    pod = next(document for document in objects if document["kind"] == "Pod")
    node = next(node for node in workloads.nodes() if node.name == "helm (shared)").replaced(world.bus_password)
    with start(world, node) as container:
        container.wait_until(lambda: ((found := answer("http://127.0.0.1:8100/readyz"))[0] == 200, found))
        with Container(pod["spec"]["containers"][0]["command"], world.variables(), world.mounts()) as test:
            code = test.wait_for_the_end(10)
            report.check("helm (shared): the pod of helm test", None if code == 0 else f"exit code {code}: {test.output()}")


def check_compose_fleet(report, world):
    """Everything of compose.yaml that Nearside is part of: the node, the program, and the fleet of two before it."""
    services = yaml.safe_load((static.DEPLOY / "compose.yaml").read_text())["services"]
    secret = Path(tempfile.mkdtemp(prefix="fleet-", dir=world.place))
    secret.chmod(0o755)
    user, group = services["fleet-secret"]["user"].split(":")
    mounts = [(secret, "/run/fleet")]
    with Container(services["fleet-secret"]["command"], {}, world.mounts() + mounts, f"{user}:{group}", group) as job:
        code = job.wait_for_the_end(10)
        has_secret = code == 0 and len((secret / "secret").read_bytes()) == 64
        report.check("compose.yaml: fleet-secret makes a secret", None if has_secret else f"exit code {code}: {job.output()}")
    command = services["bus"]["command"]
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    bus = subprocess.Popen(
        [program, "--port", "6390", *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    node, a, b = (workloads.of_compose(name) for name in ("nearside", "node-a", "node-b"))
    for other in (a, b):
        # The port of the other checks' bus is taken.
        other.variables["NEARSIDE_FLEET_URL"] = other.variables["NEARSIDE_FLEET_URL"].replace("6379", "6390")
    try:
        with start(world, node) as upstream:
            upstream.wait_until(lambda: ((found := answer("http://127.0.0.1:8100/readyz"))[0] == 200, found))
            check_app(report, world, services["app"])
            with start_prometheus(world, services["prometheus"]) as prometheus:
                check_nodes_of_fleet(report, world, a, b, mounts)
                if prometheus:
                    check_prometheus(report, prometheus)
                else:
                    report.left_out("compose.yaml (prometheus)", "prometheus is missing; apt-get install prometheus")
    finally:
        bus.kill()
        bus.wait()


def check_nodes_of_fleet(report, world, a, b, mounts):
    with start(world, a, mounts) as first, start(world, b, mounts) as second:
        for name, container, admin in (("node-a", first, admin_of(a)), ("node-b", second, admin_of(b))):
            fault = container.wait_until(lambda admin=admin: knows_both(admin))
            report.check(f"compose.yaml ({name}): both are members of the fleet", fault)
            code, words = container.run_inside(["/nearside", "healthcheck"])
            report.check(f"compose.yaml ({name}): healthcheck", None if code == 0 else words)
        report.check("compose.yaml (node-a): a client writes and reads", attempted(use_as_program, a))
        report.check("compose.yaml (node-b): a client writes and reads", attempted(use_as_program, b))
        report.check("compose.yaml: SIGTERM ends both", first.stop() or second.stop())


def start_prometheus(world, service):
    """Prometheus with its command, user and files, but that it scrapes each second. The program is named by the image."""
    program = shutil.which("prometheus")
    if not program:
        return contextlib.nullcontext()
    data = Path(tempfile.mkdtemp(prefix="prometheus-", dir=world.place))
    user, group = service["user"].split(":")
    os.chown(data, int(user), int(group))
    mounts = [(data, "/prometheus")]
    for mount in service["volumes"]:
        if mount.startswith("./"):
            source, place, _ = mount.split(":")
            files = {"file": (static.DEPLOY / source).read_text().replace(": 15s", ": 1s")}
            mounts.append((world.directory("prometheus", files, int(group)) / "file", place))
    return Container([program, *service["command"]], {}, world.mounts() + mounts, service["user"], group)


def check_prometheus(report, container):
    def is_up():
        status, words = answer("http://127.0.0.1:9090/api/v1/query?query=up%7Bjob%3D%22nearside%22%7D")
        return status == 200 and any(found["value"][1] == "1" for found in json.loads(words)["data"]["result"]), words

    report.check("compose.yaml (prometheus): it scrapes the node", container.wait_until(is_up))
    status, words = answer("http://127.0.0.1:9090/api/v1/rules")
    rules = [rule for found in json.loads(words)["data"]["groups"] for rule in found["rules"]] if status == 200 else []
    report.check("compose.yaml (prometheus): it has the alerts", None if len(rules) > 20 else words[:500])


def knows_both(admin):
    """Whether a node says that it and the other one are members, and the words."""
    status, words = answer(f"{admin}/api/fleet")
    return status == 200 and {member["node"] for member in json.loads(words)["members"]} == {"a", "b"}, words


def check_app(report, world, service):
    """The example program, with its own variables. Its host is a name in the network of Compose."""
    hosts = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], "ROUNDS": "30"}
    variables = {name: value.replace("//nearside:", "//127.0.0.1:") for name, value in service["environment"].items()}
    done = subprocess.run(
        [sys.executable, static.DEPLOY / "compose/app.py"], env={**variables, **hosts}, capture_output=True, text=True, timeout=60
    )
    hits = int(done.stdout.rsplit("reads, ", 1)[1].split()[0]) if done.returncode == 0 else 0
    fault = None if hits > 0 else (done.stdout + done.stderr)[-600:]
    report.check("compose.yaml (app): the program runs, and its reads are hits", fault)


def check_all(report, world):
    create_orders("http://127.0.0.1:8090")
    for node in workloads.nodes():
        check_node(report, world, node)
    check_chart_test(report, world)
    check_compose_fleet(report, world)

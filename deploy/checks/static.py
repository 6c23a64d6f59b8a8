"""Each file by what reads it: schemas, linters, and what must agree between files. No node of a manifest is started."""

import atexit
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

from . import agreement

DEPLOY = Path(__file__).resolve().parent.parent
CHART = DEPLOY / "helm" / "nearside"
KUBERNETES = ["1.30", "1.32", "1.34"]
EXPOSURE_MAX = 2.0

YAMLLINT = """
extends: default
ignore: [helm/nearside/templates/]
rules:
  line-length: {max: 220}
  document-start: disable
  comments: {min-spaces-from-content: 1}
  braces: {max-spaces-inside: 0}
  octal-values: disable
  truthy: {check-keys: false}
"""


def command(*words, **options):
    """What a command says if it fails, else None."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=DEPLOY, **options)
    return None if done.returncode == 0 else done.stdout + done.stderr


def values_of(mode):
    return yaml.safe_load((CHART / "ci" / f"{mode}-values.yaml").read_text())


@functools.cache
def copied_chart():
    """The chart with the file in the place of the link to it. Helm follows links too, but says so each time."""
    place = tempfile.TemporaryDirectory(prefix="nearside-chart-")
    atexit.register(place.cleanup)
    return shutil.copytree(CHART, Path(place.name) / CHART.name)


def open_values():
    """The tier for everybody who reaches it, with neither config nor secret nor fleet."""
    values = {key: value for key, value in values_of("shared").items() if key not in ("config", "secretName")}
    return values | {"fleet": {"enabled": False}, "shared": {"acceptUnauthenticated": True}}


def rendered(values, name="prod", namespace="apps"):
    """The objects that the chart makes of values."""
    with helm_python.Chart.load(copied_chart()) as chart:
        files = chart.render(values, name=name, namespace=namespace)
    texts = (text for path, text in files.items() if path.endswith(".yaml"))
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def manifests():
    """The objects of the manifests, by the file that they are in."""
    files = [DEPLOY / "kubernetes" / "sidecar.yaml", *sorted((DEPLOY / "kubernetes" / "shared").glob("*.yaml"))]
    return {
        file.relative_to(DEPLOY): [document for document in yaml.safe_load_all(file.read_text()) if document]
        for file in files
        if file.name != "kustomization.yaml"
    }


def by_application():
    """The objects of the manifests that are applied together."""
    together = {}
    for file, objects in manifests().items():
        together.setdefault(f"kubernetes/{'shared' if file.parent.name == 'shared' else file.name}", []).extend(objects)
    return together


def check_objects(report, name, objects):
    faults = []
    for document in objects:
        kind, version = document["kind"], document["apiVersion"]
        # Objects of Prometheus' operator have no schema here.
        if version.startswith("monitoring.coreos.com/"):
            continue
        for release in KUBERNETES:
            try:
                kubernetes_validate.validate(document, release, strict=True)
            except kubernetes_validate.ValidationError as error:
                faults.append(f"{kind} with Kubernetes {release}: {error.message} at {list(error.path)}")
    report.check(f"{name}: schemas of Kubernetes {', '.join(KUBERNETES)}, strict", "\n".join(faults))
    report.check(f"{name}: the standard restricted for pods", "\n".join(unrestricted(objects)))
    report.check(f"{name}: names, ports, selectors, memory and times agree", "\n".join(agreement.faults(objects)))


def unrestricted(objects):
    """What Pod Security's standard restricted, and our own rule of a read-only root, reject."""
    for name, _, pod in agreement.pods_of(objects):
        security = pod.get("securityContext", {})
        if not security.get("runAsNonRoot") or not security.get("runAsUser"):
            yield f"{name}: runs as root"
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name}: no profile of seccomp"
        for container in pod.get("initContainers", []) + pod["containers"]:
            wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            if container.get("securityContext") != wanted:
                yield f"{name}/{container['name']}: securityContext is not {wanted}"
            if "limits" not in container.get("resources", {}) and container["name"] != "app":
                yield f"{name}/{container['name']}: no limit of memory"


def check_kubernetes(report):
    for name, objects in by_application().items():
        check_objects(report, name, objects)
    listed = yaml.safe_load((DEPLOY / "kubernetes/shared/kustomization.yaml").read_text())["resources"]
    there = sorted(path.name for path in (DEPLOY / "kubernetes/shared").glob("*.yaml") if path.name != "kustomization.yaml")
    fault = None if sorted(listed) == there else f"{listed} and {there}"
    report.check("kubernetes/shared/kustomization.yaml: lists every file", fault)
    if shutil.which("kubectl"):
        report.check("kubernetes/shared: kubectl kustomize", command("kubectl", "kustomize", "kubernetes/shared"))


def check_chart(report):
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    rules = [document for document in rendered(values_of("shared")) if document["kind"] == "PrometheusRule"]
    is_same = [rule["spec"]["groups"] for rule in rules] == [groups]
    report.check("helm: its alerts are those of deploy/prometheus", None if is_same else str(rules)[:500])
    every = {"metrics": {"enabled": True, "serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
    cases = {
        "shared": values_of("shared"),
        "shared, open": open_values(),
        "sidecar": values_of("sidecar"),
        "sidecar with metrics": values_of("sidecar") | every,
        "shared without fleet and autoscaling": values_of("shared")
        | {"fleet": {"enabled": False}, "shared": {"autoscaling": {"enabled": False}, "networkPolicy": {"enabled": False}}},
    }
    for name, values in cases.items():
        found = helm_python.lint(copied_chart(), values, strict=True, kube_version="v1.32.0")
        faults = [message for message in found["messages"] if message["severity"] > 1] + found["errors"]
        report.check(f"helm ({name}): helm lint --strict of Helm {helm_python.helm_sdk_version()}", "\n".join(map(str, faults)))
        check_objects(report, f"helm ({name})", rendered(values))
    keys = set(yaml.safe_load((CHART / "values.yaml").read_text()))
    known = set(json.loads((CHART / "values.schema.json").read_text())["properties"]) - {"global"}
    report.check("helm: values and their schema have the same keys", None if keys == known else f"{keys ^ known}")


def check_documented_installs(report):
    """The commands `helm install` of docs/deploy.md: the values that they set make a chart."""
    text = (DEPLOY.parent / "docs/deploy.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^helm install .*$", text, re.MULTILINE)
    for words in commands:
        values = {}
        for expression in re.findall(r"--set (\S+)", words):
            merge(values, helm_python.parse_set_string(expression))
        if "--set-file config=" in words:
            values["config"] = values_of("shared")["config"]
        objects = rendered(values)
        kinds = {document["kind"] for document in objects}
        report.check(f"docs/deploy.md: {words.split(' --')[0]}", None if "Deployment" in kinds else str(kinds))
    report.check("docs/deploy.md: both modes are installed", None if len(commands) == 2 else str(commands))


def merge(values, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.setdefault(key, {}), dict):
            merge(values[key], value)
        else:
            values[key] = value


def check_ecs(report):
    said = command("cfn-lint", "--non-zero-exit-code", "warning", "ecs/cloudformation.yaml")
    report.check("ecs/cloudformation.yaml: cfn-lint", said)
    task = json.loads((DEPLOY / "ecs/task-definition.json").read_text())
    import boto3
    import botocore.validate

    model = boto3.client("ecs", region_name="eu-central-1").meta.service_model.operation_model("RegisterTaskDefinition")
    report.check(
        "ecs/task-definition.json: parameters of RegisterTaskDefinition",
        botocore.validate.ParamValidator().validate(task, model.input_shape).generate_report(),
    )


def small(value):
    """Keys of CloudFormation as the API of ECS has them."""
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: small(item) for key, item in value.items()}
    return [small(item) for item in value] if isinstance(value, list) else value


class CloudFormation(yaml.SafeLoader):
    """YAML with the tags of CloudFormation, each as its text."""


CloudFormation.add_multi_constructor("!", lambda loader, tag, node: f"!{tag}")


def check_compose(report):
    report.check(
        "compose.yaml: the schema of Compose",
        command("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"),
    )
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    faults = []
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                faults.append(f"{name}: {port} is published beyond this machine")
        closed = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
        if not closed.items() <= service.items():
            faults.append(f"{name}: not read_only, or with privileges")
        is_root = service.get("user", "0").split(":")[0] == "0"
        if is_root and name != "fleet-secret":
            faults.append(f"{name}: runs as root")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith(".") and not (DEPLOY / source).exists():
                faults.append(f"{name}: {source} is not there")
            if not source.startswith(".") and source not in compose["volumes"]:
                faults.append(f"{name}: the volume {source} is not declared")
        for wanted in service.get("depends_on", {}):
            if wanted not in compose["services"]:
                faults.append(f"{name}: depends on {wanted}")
    report.check("compose.yaml: loopback, no privileges, no root, files", "\n".join(faults))


def check_monitoring(report):
    board = (DEPLOY / "grafana/nearside.json").read_text()
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    variables = {variable["name"]: variable for variable in json.loads(board)["templating"]["list"]}
    uids = set(re.findall(r'"uid": *"([^"]*)"', board)) - {"-- Grafana --", json.loads(board)["uid"]}
    fits = uids == {"${datasource}"} and variables["datasource"]["query"] == source["type"] and source["isDefault"]
    report.check("grafana: the board uses the data source that is provisioned", None if fits else f"{uids} and {source}")
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/nearside.yaml").read_text())["providers"][0]
    mounts = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    is_there = any(provider["options"]["path"] + "/nearside.json" == mount.split(":")[1] for mount in mounts)
    report.check("grafana: the provider finds the board", None if is_there else str(mounts))
    if not shutil.which("promtool"):
        report.left_out("prometheus", "promtool is missing; apt-get install prometheus")
        return
    report.check("prometheus/prometheus.yml: promtool", command("promtool", "check", "config", "prometheus/prometheus.yml"))
    # The container has alerts.yml beside it.
    text = (DEPLOY / "compose/prometheus.yml").read_text().replace("[alerts.yml]", f"[{DEPLOY}/prometheus/alerts.yml]")
    report.check("compose/prometheus.yml: promtool", command("promtool", "check", "config", "/dev/stdin", input=text))


def check_systemd(report):
    if not shutil.which("systemd-analyze"):
        report.left_out("systemd", "systemd-analyze is missing; apt-get install systemd")
        return
    unit = "systemd/nearside.service"
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, cwd=DEPLOY)
    # The program is not installed where the checks run.
    faults = [line for line in said.stderr.splitlines() if "nearside" in line and "/usr/bin/nearside is not executable" not in line]
    report.check(f"{unit}: systemd-analyze verify", "\n".join(faults))
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True, cwd=DEPLOY
    )
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said.stdout)
    exposure = float(found[1]) if found else 10.0
    fault = None if exposure < EXPOSURE_MAX else said.stdout + said.stderr
    report.check(f"{unit}: exposure {exposure}, below {EXPOSURE_MAX}", fault)


def check_lambda(report, binary):
    report.check("lambda/template.yaml: cfn-lint", command("cfn-lint", "--non-zero-exit-code", "warning", "lambda/template.yaml"))
    region = {**os.environ, "AWS_REGION": "eu-central-1"}
    report.check("lambda/nearside.toml: nearside check", command(binary, "check", "lambda/nearside.toml", env=region))
    with tempfile.TemporaryDirectory() as directory:
        layer = f"{directory}/layer.zip"
        # The runtime's C library is not the machine's.
        fault = command("lambda/layer", binary, layer, env={**os.environ, "GLIBC_MAX": "9"})
        report.check("lambda/layer: makes a layer", fault)
        if fault:
            return
        check_layers_that_fail(report, binary, directory)
        with zipfile.ZipFile(layer) as content:
            modes = {file.filename: file.external_attr >> 16 & 0o777 for file in content.infolist() if not file.is_dir()}
        expected = {"extensions/nearside": 0o755, "nearside/nearside.toml": 0o644}
        report.check("lambda/layer: has the program, executable, and the config", None if modes == expected else str(modes))


def check_layers_that_fail(report, binary, directory):
    text, config = Path(directory) / "text", Path(directory) / "unknown.toml"
    text.write_text("no program, but NEARSIDE_CONFIG\n")
    config.write_text("[cache]\nmax_bites = \"64MiB\"\n")
    cases = {
        "is no program": (text, "text.zip"),
        "is not nearside": ("/bin/ls", "ls.zip"),
        "does not end in .zip": (binary, "out"),
        "max_bites": (binary, "unknown.zip", config),
    }
    for wanted, (program, layer, *more) in cases.items():
        said = command("lambda/layer", program, f"{directory}/{layer}", *more, env={**os.environ, "GLIBC_MAX": "9"})
        is_left = any((Path(directory) / name).exists() for name in (layer, f"{layer}.zip"))
        fault = f"{said}" if is_left or wanted not in (said or "") else None
        report.check(f"lambda/layer: an error says: {wanted}", fault)


def check_fixture(report, binary):
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "pytest"]
    said = command(sys.executable, *words, env={**os.environ, "NEARSIDE_BINARY": str(binary)})
    report.check("pytest/pytest_nearside.py: its tests", said)


def check_all(report, binary):
    report.check("yamllint", command("yamllint", "--strict", "--config-data", YAMLLINT, "."))
    check_kubernetes(report)
    check_chart(report)
    check_documented_installs(report)
    check_ecs(report)
    check_lambda(report, binary)
    check_fixture(report, binary)
    check_compose(report)
    check_monitoring(report)
    check_systemd(report)

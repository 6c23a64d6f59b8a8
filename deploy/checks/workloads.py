"""The nodes that the manifests describe, each as one thing: what is started, with which variables and files, and how it is probed."""

import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import yaml

from . import agreement, static
from .neighbours import template
from .world import BUS_URL, REGION

# What is put in the place of each placeholder. Those of images stay: no image is pulled here.
REPLACEMENTS = {
    "REPLACE WITH YOUR REGION": REGION,
    "REPLACE WITH THE URL OF YOUR BUS": BUS_URL,
    "REPLACE: openssl rand -base64 30": "c2VjcmV0IG9mIHRoZSBzaG9wIGZvciBjaGVja3M=",
    "REPLACE: openssl rand -hex 32": "0123456789abcdef" * 4,
}


@dataclass
class Node:
    """A node as a manifest has it. `files` are by the path of their directory; `program` has the variables of the program before it."""

    name: str
    arguments: list
    variables: dict
    files: dict = field(default_factory=dict)
    commands: dict = field(default_factory=dict)
    paths: dict = field(default_factory=dict)
    program: dict = field(default_factory=dict)
    key: tuple = ("any", "any")
    data: bool = False

    def placeholders(self):
        """Every text of the node that is to be replaced, with what it stands for."""
        found = {f"the variable {name}": text for name, text in self.variables.items() if "REPLACE" in text}
        for directory, files in self.files.items():
            for file, text in files.items():
                if file.endswith(".toml"):
                    lines = (line.strip() for line in text.splitlines())
                    found |= {f"the key {line.split(' ')[0]}": line.split('"')[1] for line in lines if "REPLACE" in line}
                elif "REPLACE" in text:
                    found[f"the file {directory}/{file}"] = text
        return found

    def replaced(self, password, but=None):
        """The node with everything replaced, but for one."""
        replacements = {**REPLACEMENTS, "REPLACE\nwith the password of the bus\n": password}

        def of(place, text):
            if place == but:
                return text
            for placeholder, value in replacements.items():
                text = text.replace(placeholder, value)
            return text

        def of_config(text):
            return "\n".join(of(f"the key {line.strip().split(' ')[0]}", line) for line in text.splitlines())

        files = {
            directory: {
                file: of_config(text) if file.endswith(".toml") else of(f"the file {directory}/{file}", text)
                for file, text in of_directory.items()
            }
            for directory, of_directory in self.files.items()
        }
        variables = {name: of(f"the variable {name}", text) for name, text in self.variables.items()}
        program = {name: of(f"the program's variable {name}", text) for name, text in self.program.items()}
        return Node(**{**self.__dict__, "variables": variables, "files": files, "program": program})

    def endpoint(self):
        """Where the program finds the node: its host is a name in another network."""
        return f"http://127.0.0.1:{urlsplit(self.program['AWS_ENDPOINT_URL_DYNAMODB']).port}"


def of_kubernetes(name, objects, **options):
    """The container nearside of the deployment among some objects."""
    by_kind = {document["kind"]: document for document in objects}
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    container = next(c for c in agreement.containers_of(pod) if c["name"] == "nearside")
    programs = [agreement.variables_of(c) for c in pod["containers"] if c["name"] != "nearside"]
    sources = {
        "config": by_kind.get("ConfigMap", {}).get("data", {}),
        "secrets": by_kind.get("Secret", {}).get("stringData", {}),
    }
    probes = {probe: container[probe] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    return Node(
        name,
        container.get("args", []),
        {variable["name"]: variable["value"] for variable in container["env"]},
        files={mount["mountPath"]: dict(sources[mount["name"]]) for mount in container.get("volumeMounts", [])},
        commands={probe: p["exec"]["command"] for probe, p in probes.items() if "exec" in p},
        paths={probe: p["httpGet"]["path"] for probe, p in probes.items() if "httpGet" in p},
        program=programs[0] if programs else program_of_service(objects, container),
        **options,
    )


def program_of_service(objects, container):
    """The variables of a program elsewhere, to which the Service is the port of the pod that it leads to."""
    services = [d["spec"]["ports"][0] for d in objects if d["kind"] == "Service" and d["spec"].get("clusterIP") != "None"]
    port = agreement.ports_of(container)[services[0]["targetPort"]]
    return {"AWS_ENDPOINT_URL_DYNAMODB": f"http://nearside:{port}", "AWS_DEFAULT_REGION": REGION}


def of_ecs():
    task = json.loads((static.DEPLOY / "ecs/task-definition.json").read_text())
    node = task["containerDefinitions"][0]
    variables, program = ({v["name"]: v["value"] for v in c["environment"]} for c in task["containerDefinitions"])
    check = node["healthCheck"]["command"]
    assert check[0] == "CMD"
    return Node("ecs/task-definition.json", node["command"], variables, commands={"healthCheck": check[1:]}, program=program)


def of_lambda():
    """The extension, as Lambda would start it: without words, with the variables of the function, and with the layer in /opt."""
    function = template("lambda/template.yaml")["Function"]["Properties"]
    program = {name: str(text) for name, text in function["Environment"]["Variables"].items()}
    # Lambda itself sets them.
    program |= {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    files = {"/opt/nearside": {"nearside.toml": (static.DEPLOY / "lambda/nearside.toml").read_text()}}
    return Node("lambda/template.yaml", [], program, files=files, program=program)


def of_compose(service):
    services = yaml.safe_load((static.DEPLOY / "compose.yaml").read_text())["services"]
    compose = services[service]
    check = compose["healthcheck"]["test"]
    assert check[0] == "CMD"
    variables = compose["environment"]
    program = services["app"]["environment"]
    if service != "nearside":
        # Programs of the fleet are on the machine, where the node's port is published.
        program = {**program, "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{variables['NEARSIDE_LISTEN'].rsplit(':', 1)[1]}"}
    return Node(
        f"compose.yaml ({service})",
        compose.get("command", []),
        variables,
        commands={"healthcheck": check[1:]},
        paths={"the console": "/", "metrics": "/metrics"},
        program=program,
        data=any(mount.endswith(":/data") for mount in compose.get("volumes", [])),
    )


def nodes():
    """Each node of a manifest that stands alone. Those of the fleet in compose.yaml need each other."""
    manifests = static.manifests()
    shared = [document for file, objects in manifests.items() if file.parent.name == "shared" for document in objects]
    sidecar = next(objects for file, objects in manifests.items() if file.name == "sidecar.yaml")
    key = ("SHOP1", REPLACEMENTS["REPLACE: openssl rand -base64 30"])
    charts = {mode: static.rendered(static.values_of(mode)) for mode in ("shared", "sidecar")}
    observed = static.rendered(static.values_of("sidecar") | {"metrics": {"enabled": True}})
    # The secret of the chart is the operator's own.
    secret = {"kind": "Secret", "stringData": next(d for d in shared if d["kind"] == "Secret")["stringData"]}
    return [
        of_kubernetes("kubernetes/sidecar.yaml", sidecar),
        of_kubernetes("kubernetes/shared", shared, key=key),
        of_kubernetes("helm (shared)", [*charts["shared"], secret], key=key),
        of_kubernetes("helm (shared, open)", static.rendered(static.open_values())),
        of_kubernetes("helm (sidecar)", charts["sidecar"]),
        of_kubernetes("helm (sidecar with metrics)", observed),
        of_ecs(),
        of_lambda(),
        of_compose("nearside"),
    ]

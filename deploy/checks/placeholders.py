"""Each placeholder that is left as it is must be an error at once, and name itself or its place."""

import json
import re

import botocore.session
import helm_python
import yaml

from . import runs, static, workloads

END_SECONDS = 10


def check_nodes(report, world):
    seen = 0
    for node in workloads.nodes():
        for place, text in node.placeholders().items():
            seen += 1
            with runs.start(world, node.replaced(world.bus_password, but=place)) as container:
                code = container.wait_for_the_end(END_SECONDS)
                words = container.output()
                names = [text, place.split(" ")[-1], text.split("\n")[0]]
                is_loud = code not in (0, None) and any(name in words for name in names)
                report.check(f"{node.name}: {place} left as it is", None if is_loud else f"exit code {code}: {words}")
    report.check("placeholders of nodes are found", None if seen >= 8 else f"only {seen}")


def check_images(report):
    """The name of an image has no capitals where it has no host: container engines reject it without asking anybody."""
    names = set()
    for file in (*static.DEPLOY.glob("kubernetes/**/*.yaml"), static.DEPLOY / "ecs/task-definition.json"):
        names |= set(re.findall(r"\bimage\"?: \"?([^\s\",]+)", file.read_text()))
    left = {name for name in names if "REPLACE" in name}
    faults = [name for name in left if "/" in name or name == name.lower()]
    report.check(f"images {', '.join(sorted(left))}: invalid as names", "\n".join(faults) or (None if len(left) == 2 else str(names)))


def check_roles(report):
    """The pattern is that of IAM's API for ARNs of roles."""
    task = json.loads((static.DEPLOY / "ecs/task-definition.json").read_text())
    arns = [task["taskRoleArn"], task["executionRoleArn"]]
    fits = [arn for arn in arns if re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/.+", arn)]
    report.check("ecs/task-definition.json: the ARNs of roles are invalid as they are", "\n".join(fits))


def check_programs(report):
    """The program has the region, too: an SDK rejects it."""
    faults = []
    for file in ("kubernetes/sidecar.yaml", "ecs/task-definition.json"):
        region = re.search(r"REPLACE WITH YOUR REGION", (static.DEPLOY / file).read_text())[0]
        try:
            botocore.session.Session().create_client("dynamodb", region_name=region)
            faults.append(f"{file}: boto3 takes the region")
        except Exception as error:  # noqa: BLE001
            if region not in str(error):
                faults.append(f"{file}: {error}")
    report.check("the region of the program left as it is: boto3 names it", "\n".join(faults))


def check_chart(report):
    """What the chart needs and has no default for."""
    shared, sidecar = static.values_of("shared"), static.values_of("sidecar")
    region = {"region": "REPLACE WITH YOUR REGION"}
    role = {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::ACCOUNT:role/nearside"}}}
    cases = {
        "image.repository": {**shared, "image": {}},
        "region": {**shared, "region": ""},
        "/region": {**shared, **region},
        "secretName": {**shared, "secretName": ""},
        "config": {**shared, "config": ""},
        "sigv4": {**shared, "config": "[cache]\n"},
        "fleet.url": {**shared, "fleet": {}},
        "/fleet/url": {**shared, "fleet": {"url": "rediss://REPLACE"}},
        "/config": {**shared, "config": "region = 'REPLACE'"},
        "sidecar.app.image": {**sidecar, "sidecar": {}},
        "role-arn": {**sidecar, **role},
        "/imagee": {**sidecar, "imagee": {}},
    }
    for name, values in cases.items():
        try:
            with helm_python.Chart.load(static.copied_chart()) as chart:
                chart.validate_schema(values)
            static.rendered(values)
            report.check(f"helm: {name} missing or wrong is an error", "it is rendered")
        except helm_python.HelmError as error:
            wanted = name.strip("/").replace("imagee", "additional properties 'imagee'")
            report.check(f"helm: {name} missing or wrong is an error", None if wanted in str(error) else str(error))


def check_rest(report):
    """No other file has a placeholder, so that none is forgotten here."""
    known = {"kubernetes/sidecar.yaml", "ecs/task-definition.json"}
    known |= {f"kubernetes/shared/{name}.yaml" for name in ("kustomization", "config", "secret", "deployment")}
    found = set()
    for directory in ("kubernetes", "ecs", "helm", "systemd", "compose", "prometheus", "grafana/provisioning"):
        for path in (static.DEPLOY / directory).rglob("*"):
            if path.is_file() and "REPLACE" in path.read_text() and path.name != "values.schema.json":
                found.add(str(path.relative_to(static.DEPLOY)))
    report.check("every file with a placeholder is known", None if found == known else f"{sorted(found ^ known)}")
    text = (static.DEPLOY / "ecs/cloudformation.yaml").read_text()
    parameters = yaml.load(text, Loader=static.CloudFormation)["Parameters"]
    open_ones = [name for name, p in parameters.items() if "Default" in p or re.fullmatch(p["AllowedPattern"], "REPLACE WITH …")]
    report.check("ecs/cloudformation.yaml: parameters have no default, and reject placeholders", ", ".join(open_ones))


def check_all(report, world):
    check_nodes(report, world)
    check_images(report)
    check_roles(report)
    check_programs(report)
    check_chart(report)
    check_rest(report)

"""What must agree between the objects of Kubernetes that are applied together: names, ports, selectors, rights, memory and times."""

import os

from .settings import Settings, size_in_bytes
from .world import BUS_URL

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
DNS = [("TCP", 53), ("UDP", 53)]
POD_IDENTITY = "169.254.170.23/32"
SECRET_MODE = 0o440


def pods_of(objects):
    for document in objects:
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], document["metadata"], document["spec"]
        elif document["kind"] == "Deployment":
            template = document["spec"]["template"]
            yield document["metadata"]["name"], template["metadata"], template["spec"]


def containers_of(pod):
    return pod.get("initContainers", []) + pod["containers"]


def named(objects, kind, name):
    return next((document for document in objects if document["kind"] == kind and document["metadata"]["name"] == name), None)


def variables_of(container):
    return {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}


def ports_of(container):
    return {port["name"]: port["containerPort"] for port in container.get("ports", [])}


def faults(objects):
    """Every disagreement, as a line. Objects that refer to none of these pods are compared where all of them are together."""
    if not list(pods_of(objects)):
        return
    for name, metadata, pod in pods_of(objects):
        yield from (f"{name}: {fault}" for fault in of_pod(objects, metadata, pod))
        for container in containers_of(pod):
            yield from (f"{name}/{container['name']}: {fault}" for fault in of_container(pod, container))
            if container["name"] == "nearside":
                yield from (f"{name}/nearside: {fault}" for fault in of_node(objects, metadata, pod, container))
    of_kind = {
        "Deployment": of_deployment,
        "Service": of_service,
        "PodDisruptionBudget": of_selector,
        "NetworkPolicy": of_policy,
        "HorizontalPodAutoscaler": of_autoscaler,
        "ServiceMonitor": of_service_monitor,
        "PodMonitor": of_pod_monitor,
    }
    for document in objects:
        if document["kind"] in of_kind:
            name = f"{document['kind']} {document['metadata']['name']}"
            yield from (f"{name}: {fault}" for fault in of_kind[document["kind"]](objects, document))


def of_pod(objects, metadata, pod):
    account = pod.get("serviceAccountName")
    if account and not named(objects, "ServiceAccount", account):
        yield f"there is no ServiceAccount {account}"
    for spread in pod.get("topologySpreadConstraints", []):
        if not spread["labelSelector"]["matchLabels"].items() <= metadata["labels"].items():
            yield f"the spread over {spread['topologyKey']} selects other pods"
    for volume in pod.get("volumes", []):
        config, secret = volume.get("configMap"), volume.get("secret")
        if config and not named(objects, "ConfigMap", config["name"]):
            yield f"there is no ConfigMap {config['name']}"
        if secret and secret.get("defaultMode") != SECRET_MODE:
            yield f"the secret has the mode {secret.get('defaultMode')}, and not 0440: nodes reject a file that everybody may read"
        has_secrets = any(document["kind"] == "Secret" for document in objects)
        if secret and has_secrets and not named(objects, "Secret", secret["secretName"]):
            yield f"there is no Secret {secret['secretName']}"
    if any(c["name"] == "nearside" and c.get("restartPolicy") != "Always" for c in pod.get("initContainers", [])):
        yield "the node is no sidecar: an init container without restartPolicy: Always must end before the program starts"


def of_container(pod, container):
    ports = ports_of(container)
    for probe in PROBES:
        port = container.get(probe, {}).get("httpGet", {}).get("port")
        if port is not None and port not in ports:
            yield f"{probe} asks the port {port}, which is not named"
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"there is no volume {mount['name']}"


def config_of(objects, pod, container):
    """The text of the config that the container's variable names: None if it is not mounted there."""
    path = variables_of(container).get("NEARSIDE_CONFIG")
    if path is None:
        return ""
    mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
    volume = next((v for v in pod.get("volumes", []) if v["name"] == mounts.get(os.path.dirname(path))), {})
    config = named(objects, "ConfigMap", volume.get("configMap", {}).get("name"))
    return config and config["data"].get(os.path.basename(path))


def of_node(objects, metadata, pod, container):
    config = config_of(objects, pod, container)
    if config is None:
        yield "NEARSIDE_CONFIG names a file that is not mounted"
        return
    settings, ports = Settings(variables_of(container), config), ports_of(container)
    for name, port in (("dynamodb", settings.listen_port()), ("admin", settings.admin_port())):
        if ports.get(name, port) != port:
            yield f"the port {name} is {ports[name]}, and the node listens at {port}"
    for probe in PROBES:
        asked = container[probe].get("httpGet")
        if asked and asked["port"] != "admin":
            yield f"{probe} asks the port {asked['port']}, and not admin"
        if asked and asked["path"] != ("/livez" if probe == "livenessProbe" else "/readyz"):
            yield f"{probe} asks {asked['path']}"
    notes = metadata.get("annotations", {})
    if "prometheus.io/scrape" in notes:
        found = notes.get("prometheus.io/port"), notes.get("prometheus.io/path")
        if found != (str(settings.admin_port()), "/metrics"):
            yield f"Prometheus is sent to {found}, and the metrics are at {settings.admin_port()} /metrics"
    limit = container["resources"].get("limits", {}).get("memory")
    if limit is None or size_in_bytes(limit) < settings.needed_bytes():
        yield f"its limit of memory is {limit}, and docs/sizing.md has {settings.needed_bytes() / 1024**2:.0f}Mi for its settings"
    pre_stop = sum(c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for c in containers_of(pod))
    # The program beside a sidecar ends first, and has as long as Kubernetes gives by default.
    program = 30 if container in pod.get("initContainers", []) else 0
    if pod["terminationGracePeriodSeconds"] <= pre_stop + program + settings.drain_seconds():
        yield f"terminationGracePeriodSeconds does not outlast preStop, the program and drain_timeout ({settings.drain_seconds():.0f}s)"


def nodes_by(objects, selector):
    """The pods with a node that a selector finds, each as its metadata, its spec and the node's container."""
    for _, metadata, pod in pods_of(objects):
        if selector.items() <= metadata["labels"].items():
            yield from ((metadata, pod, c) for c in containers_of(pod) if c["name"] == "nearside")


def of_selector(objects, document):
    spec = document["spec"]
    selector = spec.get("selector", spec.get("podSelector"))
    if not list(nodes_by(objects, selector.get("matchLabels", selector))):
        yield "selects no node"


def of_deployment(objects, document):
    if not document["spec"]["selector"]["matchLabels"].items() <= document["spec"]["template"]["metadata"]["labels"].items():
        yield "selects other pods than its own"


def of_service(objects, document):
    yield from of_selector(objects, document)
    for _, _, container in nodes_by(objects, document["spec"]["selector"]):
        for port in document["spec"]["ports"]:
            if port["name"] != port["targetPort"] or port["targetPort"] not in ports_of(container):
                yield f"the port {port['name']} leads to {port['targetPort']}"
            if port["name"] == "admin" and port["port"] != ports_of(container).get("admin"):
                yield f"its admin port is {port['port']}; it is headless, so clients reach the pods' port"


def of_policy(objects, document):
    yield from of_selector(objects, document)
    spec = document["spec"]
    if sorted(spec["policyTypes"]) != ["Egress", "Ingress"]:
        yield f"policyTypes are {spec['policyTypes']}"
    for _, pod, container in nodes_by(objects, spec["podSelector"]["matchLabels"]):
        ports = ports_of(container)
        admitted = [(port["port"], peer) for rule in spec["ingress"] for port in rule["ports"] for peer in rule.get("from", [{}])]
        for name in ports.keys() - {port for port, _ in admitted}:
            yield f"nobody may reach the port {name}"
        for port, peer in admitted:
            yield from of_peer(port, peer, ports)
        rules = [(rule.get("to"), {(p.get("protocol"), p["port"]) for p in rule["ports"]}) for rule in spec["egress"]]
        open_ports = set().union(*(found for to, found in rules if to is None))
        settings = Settings(variables_of(container), config_of(objects, pod, container) or "")
        wanted = {*DNS, *(("TCP", port) for port in settings.egress_ports(BUS_URL))}
        if open_ports != wanted:
            yield f"egress is open to {sorted(open_ports)}; the node's settings need {sorted(wanted)}"
        if ([{"ipBlock": {"cidr": POD_IDENTITY}}], {("TCP", 80)}) not in rules:
            yield "the agent of EKS Pod Identity cannot be reached"


def of_peer(port, peer, ports):
    """Clients are pods with a label, in any namespace; metrics are for a namespace, or for pods of the own one."""
    namespaces, labels = peer.get("namespaceSelector"), peer.get("podSelector", {}).get("matchLabels")
    if port not in ports:
        yield f"the port {port} is admitted, and no container has it"
    if port.startswith("dynamodb") and (namespaces is None or not labels):
        yield f"clients at {port} are {peer}, and not labelled pods of any namespace"
    if port == "admin" and not (labels if namespaces is None else namespaces.get("matchLabels")):
        yield f"metrics are for {peer}, and not for a namespace by its name"


def of_autoscaler(objects, document):
    target = document["spec"]["scaleTargetRef"]
    found = named(objects, target["kind"], target["name"])
    if not found or found["apiVersion"] != target["apiVersion"]:
        yield f"scales {target}, which is not there"
    elif "replicas" in found["spec"]:
        yield "its target has replicas of its own, which each `apply` sets back"
    if document["spec"]["minReplicas"] > document["spec"]["maxReplicas"]:
        yield "minReplicas is above maxReplicas"


def of_service_monitor(objects, document):
    selector = document["spec"]["selector"]["matchLabels"]
    services = [d for d in objects if d["kind"] == "Service" and selector.items() <= d["metadata"]["labels"].items()]
    ports = [port["name"] for service in services for port in service["spec"]["ports"]]
    for endpoint in document["spec"]["endpoints"]:
        if ports.count(endpoint["port"]) != 1 or endpoint["path"] != "/metrics":
            yield f"scrapes {endpoint['port']}{endpoint['path']} of services with the ports {ports}"


def of_pod_monitor(objects, document):
    found = list(nodes_by(objects, document["spec"]["selector"]["matchLabels"]))
    for endpoint in document["spec"]["podMetricsEndpoints"]:
        if not found or any(endpoint["port"] not in ports_of(c) for _, _, c in found) or endpoint["path"] != "/metrics":
            yield f"scrapes {endpoint['port']}{endpoint['path']} of {len(found)} pods"

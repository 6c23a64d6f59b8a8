"""Values of the chart that do not fit each other: each is an error, or the objects fit them."""

import helm_python

from . import agreement, static

TLS = '[server.tls]\ncert = "/run/secrets/nearside/tls.crt"\nkey = "/run/secrets/nearside/tls.key"\n'
DIGEST = "registry.example/nearside@sha256:" + "0" * 64


def with_more(mode, more):
    """The example of a mode with other values in it, at any depth."""
    values = static.values_of(mode)
    static.merge(values, more)
    return values


def valid(values):
    """The objects, after the schema has seen the values as `helm install` does."""
    with helm_python.Chart.load(static.copied_chart()) as chart:
        chart.validate_schema(values)
    return static.rendered(values)


def check_misfits(report):
    config = static.values_of("shared")["config"]
    cases = {
        "a sigv4 behind a #": ("auth.mode", {"config": '[auth]\n# mode = "sigv4"\n'}),
        "TLS in the config only": ("shared.tls.enabled", {"config": config + TLS}),
        "TLS in the values only": ("[server.tls]", {"shared": {"tls": {"enabled": True}}}),
        "TLS at the port without": ("shared.tls.port", {"config": config + TLS, "shared": {"tls": {"enabled": True, "port": 8000}}}),
        "fewer nodes at most than at least": ("minReplicas", {"shared": {"autoscaling": {"minReplicas": 9, "maxReplicas": 2}}}),
        "a cache over the limit": ("resources.limits.memory", {"cacheMaxBytes": "4GiB"}),
        "bodies over the limit": ("resources.limits.memory", {"bodiesBytesMax": "1GiB"}),
        "a limit of a few bytes": ("resources.limits.memory", {"resources": {"limits": {"memory": 768}}}),
        "drain_timeout in the config": ("drainSeconds", {"config": config + '[server]\ndrain_timeout = "120s"\n'}),
        "a label of the selector": ("podLabels", {"podLabels": {"app.kubernetes.io/component": "other"}}),
        "a variable that the chart sets": ("NEARSIDE_AUTH_MODE", {"env": [{"name": "NEARSIDE_AUTH_MODE", "value": "none"}]}),
        "a bus in the config only": ("fleet.url", {"config": f'{config}[fleet]\nurl = "rediss://a@b:1"\n', "fleet": {"enabled": False}}),
        "a digest and a tag": ("image.tag", {"image": {"repository": DIGEST, "tag": "1"}}),
        "half a digest": ("/image/repository", {"image": {"repository": DIGEST[:-1]}}),
        "no secret": ("admin-token", {"secretName": ""}),
    }
    for name, (wanted, more) in cases.items():
        try:
            valid(with_more("shared", more))
            fault = "it is rendered"
        except helm_python.HelmError as error:
            fault = None if wanted in str(error) else str(error)
        report.check(f"helm: {name} is an error that names {wanted}", fault)


def one(objects, kind):
    return next(document for document in objects if document["kind"] == kind)


def egress(objects):
    return [port["port"] for port in one(objects, "NetworkPolicy")["spec"]["egress"][1]["ports"]]


def check_fits(report):
    """Objects that follow from values elsewhere."""
    config = static.values_of("shared")["config"]
    found = egress(valid(with_more("shared", {"upstream": "http://dynamodb-local:8000/", "fleet": {"url": "rediss://a@[::1]:6380"}})))
    report.check("helm: the network policy has the ports of the URLs", None if found == [443, 8000, 6380] else str(found))
    more = {"shared": {"networkPolicy": {"egressPorts": [4318, 443]}}}
    found = egress(valid(with_more("shared", {"upstream": "http://proxy", "fleet": {"url": "rediss://a@bus.example"}, **more})))
    fault = None if found == [443, 80, 6379, 4318] else str(found)
    report.check("helm: the network policy has the ports that URLs leave out, and more", fault)

    objects = valid(with_more("shared", {"config": config + TLS, "shared": {"tls": {"enabled": True, "port": 9443}}}))
    ports = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"]
    served = {(port["port"], port["targetPort"]) for port in one(objects, "Service")["spec"]["ports"]}
    admitted = {port["port"] for port in one(objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"]}
    is_open = {"name": "dynamodb-tls", "containerPort": 8443} in ports and (9443, "dynamodb-tls") in served and "dynamodb-tls" in admitted
    report.check("helm: TLS has a port at the pods, the Service and the policy", None if is_open else f"{ports} {served} {admitted}")

    for mode, kind, endpoints in (("shared", "ServiceMonitor", "endpoints"), ("sidecar", "PodMonitor", "podMetricsEndpoints")):
        values = with_more(mode, {"nameOverride": "cache", "metrics": {"enabled": True, "serviceMonitor": {"enabled": True}}})
        scraped = one(valid(values), kind)["spec"][endpoints][0]
        is_named = scraped["relabelings"] == [{"targetLabel": "job", "replacement": "nearside"}]
        report.check(f"helm ({mode}): the job is nearside, as the alerts ask, under any name", None if is_named else str(scraped))
        pod = one(valid(with_more(mode, {"drainSeconds": 120})), "Deployment")["spec"]["template"]["spec"]
        times = agreement.faults(valid(with_more(mode, {"drainSeconds": 120})))
        is_longer = pod["terminationGracePeriodSeconds"] > 120
        report.check(f"helm ({mode}): the grace period follows drainSeconds", "\n".join(times) if is_longer else str(pod))
    # The template reads text and no TOML, so the variable must win where it is mistaken.
    mistaken = valid(with_more("shared", {"config": '[auth]\nmode = "none"\naudit = "mode = \'sigv4\'"\n'}))
    node = one(mistaken, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    mode = agreement.variables_of(node).get("NEARSIDE_AUTH_MODE")
    report.check("helm: a tier verifies its callers whatever the config has", None if mode == "sigv4" else str(mode))
    image = one(valid(with_more("shared", {"image": {"repository": DIGEST}})), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    report.check("helm: an image by digest", None if image["image"] == DIGEST else image["image"])


def check_all(report):
    check_misfits(report)
    check_fits(report)

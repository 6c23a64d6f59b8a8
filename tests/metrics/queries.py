"""Runs every query of the board and of the alerts against a Prometheus that scrapes loaded nodes: queries.py PATH/TO/nearside

Two nodes run: one with the bundled backend, and one in front of it, over TLS as well, so that the figures of a remote upstream
and of a certificate are there. Each query must work and each panel must show something, apart from what EXCEPTIONS names. Needs
Prometheus (Debian's package) and Python's standard library. Exits with 1 and the faults, if there are any.
"""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOARD = ROOT / "deploy/grafana/nearside.json"
RULES = ROOT / "deploy/prometheus/alerts.yml"

# What has no data here, and why. A query or a selector that has one of these in it may show nothing.
EXCEPTIONS = {
    "nearside_fleet_": "needs a fleet, which needs a bus",
    "nearside_realms_": "needs `share = false`",
    'code=~"InternalServerError|ServiceUnavailableException"': "no node fails here",
}

# How long all of it may take: a node that hangs must not hang the one who waits.
PATIENCE_SECONDS = 180

SCRAPE_SECONDS = 1

# A rate needs two scrapes. With one more, a series has changed between two.
SCRAPES = 3

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
)

# What Grafana would put in.
VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1m",
    "$instance": ".*",
    "$table": ".*",
    "${datasource}": "prometheus",
}


def wait_for_line(process, log, pattern, began):
    """Reads a process's log until a line of it matches."""
    while True:
        text = pathlib.Path(log).read_text(encoding="utf-8", errors="replace")
        if found := re.search(pattern, text):
            return found
        if process.poll() is not None or time.monotonic() - began > PATIENCE_SECONDS:
            sys.exit(f"{process.args[0]} did not start:\n{text}")
        time.sleep(0.05)


@contextlib.contextmanager
def started(command, log):
    """Runs a program until the end of the block."""
    with open(log, "wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()


def call(address, operation, body):
    """One call of the API; errors are answers."""
    request = urllib.request.Request(address, data=json.dumps(body).encode(), method="POST")
    for name, value in (
        ("X-Amz-Target", f"DynamoDB_20120810.{operation}"),
        ("X-Amz-Date", "20260101T000000Z"),
        ("Content-Type", "application/x-amz-json-1.0"),
        ("Authorization", AUTHORIZATION),
    ):
        request.add_header(name, value)
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def create_table(address, table):
    call(
        address,
        "CreateTable",
        {
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "status", "AttributeType": "S"},
            ],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "byStatus",
                    "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        },
    )


def load(address, turn):
    """A few requests of every kind that a panel shows: hits, misses, writes, pages, bypasses, errors."""
    key = lambda number: {"id": {"S": f"{turn}-{number}"}}
    query = {
        "TableName": "Orders",
        "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": {"S": f"{turn}-0"}},
    }
    by_status = {
        "TableName": "Orders",
        "IndexName": "byStatus",
        "KeyConditionExpression": "#s = :s",
        "ExpressionAttributeNames": {"#s": "status"},
        "ExpressionAttributeValues": {":s": {"S": "open"}},
    }
    for number in range(3):
        call(address, "PutItem", {"TableName": "Orders", "Item": {**key(number), "status": {"S": "open"}}})
    for _ in range(4):
        for number in range(5):
            call(address, "GetItem", {"TableName": "Orders", "Key": key(number)})
        call(address, "Query", query)
        call(address, "Query", by_status)
        call(address, "BatchGetItem", {"RequestItems": {"Orders": {"Keys": [key(1), key(7)]}}})
    call(address, "GetItem", {"TableName": "Orders", "Key": key(0), "ConsistentRead": True})
    call(address, "Scan", {"TableName": "Orders"})
    call(address, "GetItem", {"TableName": "Orders", "Key": {}})
    for _ in range(2):
        call(address, "GetItem", {"TableName": "Shadowed", "Key": key(0)})


class Prometheus:
    """A Prometheus that answers."""

    def __init__(self, address):
        self.address = address

    def get(self, path, **parameters):
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def values(self, query):
        """The values of a query that are numbers, or the reason for which there are none."""
        answer = self.get("query", query=query)
        if answer["status"] != "success":
            return None, answer["error"]
        samples = answer["data"]["result"]
        return [sample["value"][1] for sample in samples if sample["value"][1] != "NaN"], None


def board_queries(board):
    """Title, query and legend of all that the board shows, and the queries of its variables."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]


def filled(query):
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def selectors(query):
    """Every selector of a query, without its range."""
    return re.findall(r"\b(?:(?:nearside|process)_[a-z_]+|up)\b(?:\{[^}]*\})?", query)


def is_excused(query):
    return any(name in query for name in EXCEPTIONS)


def check_board(prometheus, board, faults):
    for title, expression, legend in board_queries(board):
        values, error = prometheus.values(filled(expression))
        if error:
            faults.append(f"Board, {title}: {error}: {expression}")
        elif not values and not is_excused(expression):
            faults.append(f"Board, {title}: shows nothing: {expression}")
        # A legend names labels that the query keeps.
        kept = re.search(r"\bby \(([^)]*)\)", expression)
        for label in re.findall(r"{{(\w+)}}", legend):
            if not kept or label not in re.split(r",\s*", kept[1]):
                faults.append(f"Board, {title}: the legend names {label}, which the query drops: {expression}")
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            answer = prometheus.get(f"label/{label}/values", **{"match[]": filled(series)})
            if not answer.get("data"):
                faults.append(f"Board, variable {variable['name']}: has no values: {answer}")


def check_form(board, faults):
    """What Grafana needs to import the board, and a reader to understand it."""
    panels = board["panels"]
    ids = [panel["id"] for panel in panels]
    if len(ids) != len(set(ids)):
        faults.append("Board: two panels share an id")
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    if rows != ["Is it healthy?", "Is it right?", "Is it worth it?", "What is hot?"]:
        faults.append(f"Board: its rows are {rows}")
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if x >= 24 or taken.setdefault((x, y), panel["title"]) != panel["title"]:
                    faults.append(f"Board, {panel['title']}: lies over {taken.get((x, y), 'the edge')}")
        if panel["type"] in ("row", "text"):
            continue
        if not panel.get("description", "").endswith("."):
            faults.append(f"Board, {panel['title']}: has no description")
        if not panel["fieldConfig"]["defaults"].get("unit"):
            faults.append(f"Board, {panel['title']}: has no unit")
        if panel["datasource"]["uid"] != "${datasource}":
            faults.append(f"Board, {panel['title']}: is bound to a data source")


def check_rules(prometheus, faults):
    """Every rule works, all that it names is there, and a node in good health has no critical alert."""
    rules = [rule for group in prometheus.get("rules")["data"]["groups"] for rule in group["rules"]]
    for rule in rules:
        name, query = rule["name"], rule["query"]
        if rule["health"] != "ok":
            faults.append(f"{name}: {rule['health']} {rule.get('lastError', '')}: {query}")
        if rule["state"] == "firing" and rule["labels"]["severity"] == "critical":
            faults.append(f"{name}: fires on a node in good health: {query}")
        # A rule shows something only when it fires, so each selector of it is asked.
        for selector in selectors(query):
            values, error = prometheus.values(f"count({selector})")
            if error or not values and not is_excused(selector):
                faults.append(f"{name}: nothing is {selector}: {error or 'no data'}")
    return rules


def check_names(texts, faults):
    """A name that is misspelt would be excused where its metric is."""
    documented = set(re.findall(r"^\| `(nearside_[a-z_]+)", (ROOT / "docs/metrics.md").read_text(encoding="utf-8"), re.M))
    for name in sorted(set(re.findall(r"nearside_[a-z_]+", "\n".join(texts)))):
        if re.sub("_bucket$", "", name) not in documented:
            faults.append(f"{name} is not in docs/metrics.md")


def check_exceptions(prometheus, texts, faults):
    """An exception is needed, and for a reason that still holds."""
    for name in EXCEPTIONS:
        if any(metric.startswith(name) for metric in prometheus.get("label/__name__/values")["data"]):
            faults.append(f"{name} has data: take it from EXCEPTIONS")
    text = "".join(texts)
    for name in EXCEPTIONS:
        if name not in text:
            faults.append(f"{name} is in no query: take it from EXCEPTIONS")


def node(program, arguments, log, began, stack):
    """Starts a node; gives the addresses for clients and for Prometheus."""
    command = [program, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *arguments]
    process = stack.enter_context(started(command, log))
    found = wait_for_line(process, log, r"listens on (http://[^;,\s]+).*metrics on http://([^;/]+)/metrics", began)
    return found[1], found[2]


def loaded_prometheus(program, directory, stack):
    """Two nodes under load and a Prometheus that has scraped them."""
    began = time.monotonic()
    local, local_admin = node(program, ["--in-memory"], directory / "local.log", began, stack)
    certificates = ROOT / "tests/certificates"
    key = directory / "server.key"
    key.write_bytes((certificates / "server.key").read_bytes())
    key.chmod(0o600)
    tls = ["--tls-listen", "127.0.0.1:0", "--tls-cert", str(certificates / "server.pem"), "--tls-key", str(key)]
    tls += ["--tls-client-ca", str(certificates / "authority.pem")]
    # Every hit of the second node is verified, and one of its tables is in shadow mode.
    settings = directory / "nearside.toml"
    settings.write_text('[cache]\nverify_sample = 1.0\n[tables.Shadowed]\nmode = "shadow"\n', encoding="utf-8")
    arguments = ["--config", str(settings), "--upstream", local, *tls]
    remote, remote_admin = node(program, arguments, directory / "remote.log", began, stack)
    for table in ("Orders", "Shadowed"):
        create_table(local, table)
    for address in (local, remote):
        load(address, "first")

    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "nearside", "static_configs": [{"targets": [local_admin, remote_admin]}]}],
    }
    (directory / "prometheus.json").write_text(json.dumps(config), encoding="utf-8")
    command = ["prometheus", f"--config.file={directory}/prometheus.json", f"--storage.tsdb.path={directory}/data"]
    command += ["--web.listen-address=127.0.0.1:0"]
    log = directory / "prometheus.log"
    process = stack.enter_context(started(command, log))
    address = wait_for_line(process, log, r'msg="Listening on" address=(\S+)', began)[1]
    wait_for_line(process, log, "Server is ready to receive web requests", began)
    prometheus = Prometheus(f"http://{address}")

    # The load goes on while Prometheus scrapes, so that every counter grows between two scrapes.
    turn = 0
    while True:
        for place in (local, remote):
            load(place, turn)
        turn += 1
        scrapes = prometheus.values('count_over_time(up{job="nearside"}[10m])')[0] or []
        rules = [rule for group in prometheus.get("rules")["data"]["groups"] for rule in group["rules"]]
        are_evaluated = all(rule["health"] != "unknown" for rule in rules)
        if len(scrapes) == 2 and min(map(int, scrapes)) >= SCRAPES and are_evaluated:
            return prometheus
        if time.monotonic() - began > PATIENCE_SECONDS:
            sys.exit(f"Prometheus has scraped {scrapes} times.\n{log.read_text(encoding='utf-8')}")


def main():
    program = shutil.which(sys.argv[1]) or sys.exit(f"{sys.argv[1]} is not there")
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    faults = []
    check_form(board, faults)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        prometheus = loaded_prometheus(program, pathlib.Path(directory), stack)
        check_board(prometheus, board, faults)
        rules = check_rules(prometheus, faults)
        queries = [query for _, query, _ in board_queries(board)]
        texts = queries + [rule["query"] for rule in rules]
        check_names(texts, faults)
        check_exceptions(prometheus, texts, faults)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(queries)} queries of the board and {len(rules)} rules work, on two nodes under load")


main()

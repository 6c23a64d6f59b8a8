"""What stands around a node, on loopback: DynamoDB in a region, the credentials of a task or pod, a bus with TLS, and names."""

import http.server
import json
import secrets
import subprocess
import tempfile
import threading
import time
from pathlib import Path

REGION = "eu-central-1"
DYNAMODB = f"dynamodb.{REGION}.amazonaws.com"
BUS = "bus.example"
BUS_URL = f"rediss://nearside@{BUS}:6379"
CREDENTIALS_PORT = 8099
# What nodes and services are called in the manifests.
NAMES = [DYNAMODB, f"streams.{DYNAMODB}", BUS, "nearside", "fleet", "prod-nearside-admin", "localhost"]


class World:
    def __init__(self, binary):
        self.binary = binary
        self.place = Path(tempfile.mkdtemp(prefix="nearside-world-"))
        self.place.chmod(0o755)
        self.processes = []
        self.bus_password = secrets.token_hex(16)
        (self.place / "hosts").write_text(f"127.0.0.1 {' '.join(NAMES)}\n")
        (self.place / "resolv.conf").write_text("")
        (self.place / "nsswitch.conf").write_text("hosts: files\n")
        self.make_certificates()

    def __enter__(self):
        self.start_dynamodb()
        self.start_bus()
        self.start_credentials()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        self.credentials.shutdown()
        self.credentials.server_close()
        subprocess.run(["rm", "-rf", self.place], check=True)

    def make_certificates(self):
        def openssl(*words):
            subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.place)

        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=checks")
        openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
        names = ",".join(f"DNS:{name}" for name in (DYNAMODB, BUS))
        (self.place / "names").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
        openssl(
            "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "server.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
        (self.place / "ca.pem").chmod(0o644)

    def start_dynamodb(self):
        """A node with its own backend, in the place of the service."""
        (self.place / "dynamodb.toml").write_text(
            f'[server]\nlisten = "127.0.0.1:8090"\nhosts = ["{DYNAMODB}"]\n[server.tls]\nlisten = "127.0.0.1:443"\n'
            f'cert = "{self.place}/server.pem"\nkey = "{self.place}/server.key"\n[admin]\nlisten = "127.0.0.1:8091"\n'
            f'[local]\nin_memory = true\n[upstream]\nregion = "{REGION}"\n'
        )
        self.spawn("dynamodb", [self.binary, "--config", self.place / "dynamodb.toml"])
        self.wait_for([self.binary, "healthcheck", "--admin", "127.0.0.1:8091"], "dynamodb")

    def start_bus(self):
        rights = "~{ns:prod:0}:* -@all +eval +evalsha +script|load +info +time +get +set +del +exists +hget +hset +xadd +xread"
        rights += " +xrevrange +zadd +zrem +zcard +zscore +zrange +zrangebyscore +zremrangebyscore"
        (self.place / "bus.conf").write_text(
            f"port 0\ntls-port 6379\nbind 127.0.0.1\nsave \"\"\nmaxmemory-policy noeviction\ndir {self.place}\n"
            f"tls-cert-file {self.place}/server.pem\ntls-key-file {self.place}/server.key\ntls-ca-cert-file {self.place}/ca.pem\n"
            f"tls-auth-clients no\nuser default off\nuser nearside on >{self.bus_password} resetchannels {rights}\n"
        )
        self.spawn("bus", ["redis-server", self.place / "bus.conf"])

    def start_credentials(self):
        """What ECS and EKS Pod Identity answer a container that asks for its role's credentials."""
        answer = json.dumps(
            {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "example", "Token": "example", "Expiration": "2099-01-01T00:00:00Z"}
        ).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.credentials = http.server.ThreadingHTTPServer(("127.0.0.1", CREDENTIALS_PORT), Handler)
        threading.Thread(target=self.credentials.serve_forever, daemon=True).start()

    def spawn(self, name, words):
        with open(self.place / f"{name}.log", "w") as log:
            self.processes.append(
                subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.place)
            )

    def wait_for(self, words, name):
        end = time.monotonic() + 20
        while subprocess.run([str(word) for word in words], capture_output=True).returncode != 0:
            if time.monotonic() > end or self.processes[-1].poll() is not None:
                raise RuntimeError(f"{name} does not start: {(self.place / f'{name}.log').read_text()}")
            time.sleep(0.05)

    def variables(self):
        """What AWS and the image add to the variables of a manifest, and where the certificates of this world are."""
        return {
            "NEARSIDE_DATA_DIR": "/data",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{CREDENTIALS_PORT}/",
            "SSL_CERT_FILE": "/etc/ca.pem",
            "AWS_CA_BUNDLE": "/etc/ca.pem",
        }

    def mounts(self):
        """What every container has: the program, and the names of this world."""
        files = ["hosts", "resolv.conf", "nsswitch.conf", "ca.pem"]
        return [(self.binary, "/nearside"), *((self.place / file, f"/etc/{file}") for file in files)]

    def directory(self, name, files, group=65532, mode=0o440):
        """A directory as a volume is: files of root that a group may read."""
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.place))
        directory.chmod(0o755)
        for file, text in files.items():
            (directory / file).write_text(text)
            subprocess.run(["chown", f"0:{group}", directory / file], check=True)
            (directory / file).chmod(mode)
        return directory

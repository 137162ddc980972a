"""Everything under deploy/ against the tools that will read it, and against a gateway that runs.

Each step prints one line; the first failure of each is printed whole, and the script ends with 1 if
there was any.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kubernetes_validate
import yaml
from helm_python import chart as helm

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROGRAM = Path(os.environ.get("TOLLGATE", ROOT / "target/debug/tollgate")).resolve()

# The Kubernetes whose schemas count, and the exposure that systemd may see, in tenths.
KUBERNETES = "1.34"
MOST_EXPOSED = 16

# Seconds between two looks of Prometheus, and what a panel looks at.
SCRAPE_SECONDS = 1
WINDOW = "15s"


def run(*words, **more):
    """Runs a command; what it says if it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def dockerfile():
    run("hadolint", DEPLOY / "Dockerfile")
    text = (DEPLOY / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), f"COPY {name}: it is not there"
        allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
        assert f"!{name}" in allowed, f"{name} is not let into the build"
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.M), "the image runs as root"
    toolchain = re.search(r"^FROM rust:(\d+)\.(\d+)", text, re.M).groups()
    least = re.search(r'^rust-version = "(\d+)\.(\d+)"', (ROOT / "Cargo.toml").read_text(), re.M).groups()
    assert tuple(map(int, toolchain)) >= tuple(map(int, least)), f"rust {toolchain} is older than {least}"
    return f"hadolint, {len(copied)} COPY lines"


def composed(name):
    """The services of a compose file, once what all of these files have to be is checked."""
    run("docker-compose", "--file", DEPLOY / name, "config", "--quiet", cwd=DEPLOY)
    services = yaml.safe_load((DEPLOY / name).read_text())["services"]
    mounts = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    for path in mounts:
        if path.startswith("."):
            assert (DEPLOY / path).exists(), f"{path} is not there"
    for port in [port for service in services.values() for port in service.get("ports", [])]:
        assert port.startswith("127.0.0.1:"), f"{port} is open to others"
    help_text = run(PROGRAM, "demo", "--help")
    for service in services.values():
        command = service.get("command", [])
        for flag in [word for word in command if word.startswith("--") and command[0] == "demo"]:
            assert flag in help_text, f"the demo has no {flag}"
    return services


def compose():
    return f"docker-compose config, {len(composed('compose.yaml'))} services"


def compose_cluster(directory, postgres):
    services = composed("compose.cluster.yaml")
    gateways = {name: service for name, service in services.items() if name.startswith("gateway-")}
    assert len(gateways) == 3, list(gateways)
    journals = [volume for service in gateways.values() for volume in service["volumes"] if volume.endswith(":/var/lib/tollgate")]
    assert len(set(journals)) == len(gateways), f"two gateways have one journal: {journals}"
    text = (DEPLOY / "cluster/gateway/gateway.yaml").read_text()
    config = yaml.safe_load(text)
    for service in gateways.values():
        needed = set(re.findall(r"\$\{env:(\w+)\}", text))
        assert needed <= set(service["environment"]), f"a gateway has no {needed - set(service['environment'])}"
    for host in [*config["store"]["postgres"]["hosts"], *(name.split(":")[0] for name in config["upstreams"]["lookup"]["servers"])]:
        assert host in services, f"{host} is no service"
    (directory / "compose.yaml").write_text(text.replace("hosts: [primary, standby]", f"hosts: [{postgres.directory / 'primary'}]"))
    run(PROGRAM, "check", "--config", directory / "compose.yaml", env={**os.environ, "DATABASE_PASSWORD": "a"})
    # What is written in the primary is in its standby a moment later.
    postgres.ask("CREATE TABLE seen (number INTEGER)")
    postgres.start_standby()
    wait_for("the standby", lambda: "seen" in postgres.ask("SELECT relname FROM pg_class", standby=True))
    assert postgres.ask("SELECT pg_is_in_recovery()", standby=True).strip() == "t", "the standby follows nobody"
    return f"docker-compose config, {len(services)} services, a primary and a standby"


class Postgres:
    """A PostgreSQL that is made as the primary of compose.cluster.yaml, and its standby: each with a socket alone, in a
    directory of its own."""

    def __init__(self):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        self.bin = found[-1].parent
        self.directory = Path(tempfile.mkdtemp(prefix="tollgate-deploy-pg-"))
        self.processes = []
        try:
            self.directory.chmod(0o755)
            for name in ["primary", "standby"]:
                (self.directory / name).mkdir()
                (self.directory / name / "data").mkdir()
                if os.getuid() == 0:
                    run("chown", "-R", "postgres:postgres", self.directory / name)
            self.script("/dev/null", "primary", "initdb", "--auth=trust", "--no-sync", "--username=postgres")
            self.start("primary")
            self.script(DEPLOY / "cluster/postgres/primary.sh", "primary", GATEWAY_PASSWORD="a", STANDBY_PASSWORD="b")
        except BaseException:
            self.close()
            raise

    def words(self, *words):
        """PostgreSQL does not run as root."""
        who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        return [*who, *map(str, words)]

    def surroundings(self, which, **more):
        path = f"{self.directory}:{self.bin}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PGDATA": f"{self.directory / which}/data", "PGHOST": f"{self.directory / which}", **more}

    def script(self, script, which, *words, **more):
        """Runs a command, or a script that PostgreSQL's user need not be able to open."""
        with open(script) as text:
            run(*self.words(*words or ["sh", "-s"]), stdin=text, cwd=self.directory, env=self.surroundings(which, **more))

    def start(self, which):
        words = self.words(self.bin / "postgres", "-c", "listen_addresses=", "-c", "fsync=off", "-k", self.directory / which)
        with (self.directory / "log").open("a") as log:
            started = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.directory, env=self.surroundings(which))
        self.processes.append(started)
        wait_for(f"PostgreSQL, {which}", lambda: self.ask("SELECT 1", standby=which == "standby"))

    def start_standby(self):
        """Runs the standby's own script; what the image would do then is done here."""
        entrypoint = self.directory / "docker-entrypoint.sh"
        entrypoint.write_text("#!/bin/sh\n")
        entrypoint.chmod(0o755)
        self.script(DEPLOY / "cluster/postgres/standby.sh", "standby", PRIMARY=str(self.directory / "primary"))
        self.start("standby")

    def ask(self, statement, standby=False):
        """What a statement answers; nothing if there is no server."""
        which = "standby" if standby else "primary"
        words = [self.bin / "psql", "--no-psqlrc", "-Atq", "--username=postgres", "--command", statement]
        env = self.surroundings(which)
        return subprocess.run(self.words(*words), capture_output=True, text=True, timeout=60, cwd=self.directory, env=env).stdout

    def settings(self):
        """The gateways' database, as `store.postgres` names it."""
        return {"hosts": [str(self.directory / "primary")], "database": "tollgate", "user": "tollgate"}

    def close(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGINT)
            process.wait(30)
        shutil.rmtree(self.directory)


def systemd(directory):
    unit = (DEPLOY / "systemd/tollgate.service").read_text()
    # The program is not installed here.
    (directory / "tollgate.service").write_text(unit.replace("/usr/local/bin/tollgate", str(PROGRAM)))
    said = run("systemd-analyze", "verify", "--man=no", directory / "tollgate.service")
    assert not said.strip(), said
    rated = run(
        "systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", directory / "tollgate.service"
    )
    run("systemd-sysusers", "--dry-run", DEPLOY / "systemd/tollgate.sysusers")
    return re.search(r"exposure level .*", rated).group(0)


def prometheus_files():
    folder = DEPLOY / "prometheus"
    run("promtool", "check", "config", folder / "prometheus.yml")
    run("promtool", "check", "rules", "--lint-fatal", folder / "alerts.yml")
    run("promtool", "test", "rules", folder / "alerts_test.yml")
    alerts = alert_rules()
    tested = (folder / "alerts_test.yml").read_text()
    untested = [name for name in alerts if name not in tested]
    assert not untested, f"no test is about {untested}"
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.M)
    assert headings == list(alerts), f"docs/runbooks.md has other headings: {set(headings) ^ set(alerts)}"
    for group in yaml.safe_load((folder / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            url = rule["annotations"]["runbook_url"]
            assert url.endswith(f"docs/runbooks.md#{rule['alert'].lower()}"), f"{rule['alert']} leads to {url}"
    return f"promtool, {len(alerts)} alerts, each with a test"


def alert_rules():
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


# ---- Kubernetes ----

WITH_LEDGER = {
    "ledger": {"enabled": True, "storageClass": "fast"},
    "accounts": {"acme": {"rate": {"limit": "150/min"}, "credits": {"phone": 1000}}},
    "tlsSecret": "backend-ca",
    "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "backend", "key": "key"}}}],
    "networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
}

# Everything that can be chosen, without a ledger.
WITH_ALL = {
    "fullnameOverride": "edge",
    "autoscaling": {"enabled": True},
    "ingress": {"enabled": True, "className": "nginx", "tls": [{"secretName": "api-tls", "hosts": ["api.example.com"]}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "serviceAccount": {"create": True, "annotations": {"example.com/role": "edge"}},
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
}

# Several gateways that share credits.
WITH_CLUSTER = {
    "replicaCount": 3,
    "ledger": {"enabled": True, "storageClass": "fast"},
    "accounts": WITH_LEDGER["accounts"],
    "config": {
        "store": {"postgres": {"hosts": ["db.example.com"], "database": "tollgate", "user": "tollgate", "password": "${env:DATABASE_PASSWORD}"}},
        "cluster": {"time_to_live": "2m"},
    },
    "env": [{"name": "DATABASE_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}],
}
WITH_GROWING_CLUSTER = {**WITH_ALL, **WITH_CLUSTER, "config": {**WITH_CLUSTER["config"], "cluster": {}}}

# What the chart has to refuse, and the word that its refusal has.
REFUSED = [
    ({"replicaCount": "two"}, "replicaCount"),
    ({"config": {"listen": "127.0.0.1:1"}}, "config"),
    ({"sevrice": {}}, "sevrice"),
    ({"replicas": 2}, "replicas"),
    ({"ledger": {"enabled": True}, "replicaCount": 2}, "set replicaCount to 1"),
    ({"ledger": {"enabled": True}, "autoscaling": {"enabled": True}}, "set autoscaling.enabled to false"),
    ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas"),
    ({"ledger": {"enabled": True}, "replicaCount": 2, "config": {"store": {"postgres": {}}}}, "config.cluster"),
    ({"ledger": {"enabled": True}, "replicaCount": 2, "config": {"cluster": {}}}, "set config.store.postgres"),
    ({"ledger": {"enabled": True}, "config": {"store": {"sqlite": "a.db"}, "cluster": {}}}, "set config.store.postgres"),
    ({"replicaCount": 2, "config": WITH_CLUSTER["config"]}, "set ledger.enabled to true"),
    ({**WITH_CLUSTER, "config": {**WITH_CLUSTER["config"], "cluster": True}}, "cluster"),
]


def rendered(values):
    """The manifests of the chart, in the order of their files, and their text."""
    with helm.Chart.load(str(DEPLOY / "helm/tollgate")) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="tollgate", namespace="default")
    manifests = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    texts = [text.strip() + "\n" for text in manifests if text.strip()]
    return [yaml.safe_load(text) for text in texts], "---\n" + "---\n".join(texts)


def chart(directory, postgres):
    report = helm.lint(str(DEPLOY / "helm/tollgate"), strict=True)
    bad = [message for message in report["messages"] if message["severity"] > 1]
    assert not bad and not report["errors"], report
    kinds = {}
    for name, values in [
        ("as it is", {}),
        ("with a ledger", WITH_LEDGER),
        ("with all", WITH_ALL),
        ("of a cluster", WITH_CLUSTER),
        ("of a growing cluster", WITH_GROWING_CLUSTER),
    ]:
        documents, _ = rendered(values)
        for document in documents:
            # Kubernetes itself has no schema of the operator's kinds.
            if not document["apiVersion"].startswith("monitoring.coreos.com/"):
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
        kinds[name] = sorted(document["kind"] for document in documents)
        check_config(directory, documents, name, postgres)
    always = ["ConfigMap", "Deployment", "NetworkPolicy", "Secret", "Service", "ServiceAccount"]
    more = ["HorizontalPodAutoscaler", "Ingress", "PodDisruptionBudget", "Service", "ServiceMonitor"]
    assert kinds["as it is"] == always, kinds
    assert kinds["with a ledger"] == sorted([*always, "PersistentVolumeClaim"]), kinds
    assert kinds["with all"] == sorted([*always, *more]), kinds
    shared = sorted({*always, "StatefulSet", "PodDisruptionBudget"} - {"Deployment"})
    assert kinds["of a cluster"] == sorted([*shared, "Service"]), kinds
    assert kinds["of a growing cluster"] == sorted([*shared, "HorizontalPodAutoscaler", "Ingress", "Service", "ServiceMonitor"]), kinds
    monitored(rendered(WITH_ALL)[0])
    monitored(rendered(WITH_GROWING_CLUSTER)[0])
    for values in [WITH_CLUSTER, WITH_GROWING_CLUSTER]:
        clustered(rendered(values)[0])
    for wrong, word in REFUSED:
        try:
            rendered(wrong)
        except Exception as error:  # The library has a type of error for each of its functions.
            assert word in str(error), f"the chart refuses {wrong} without the word {word}: {error}"
            continue
        raise AssertionError(f"the chart takes {wrong}")
    manifests = DEPLOY / "kubernetes/tollgate.yaml"
    head = "# The Helm chart as it is, for those who do without Helm: change the chart, and then\n" \
        "#   deploy/check/run --write\n"
    text = head + rendered({})[1]
    if "--write" in sys.argv:
        manifests.write_text(text)
    assert manifests.read_text() == text, "kubernetes/tollgate.yaml is not what the chart renders; run with --write"
    counts = ", ".join(f"{len(found)} manifests {name}" for name, found in kinds.items())
    return f"helm lint and render, Kubernetes {KUBERNETES}: {counts}, {len(REFUSED)} refusals"


def monitored(documents):
    """What the ServiceMonitor selects has to be there: a service, and its port."""
    [monitor] = [document for document in documents if document["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [document for document in documents if document["kind"] == "Service"]
    found = [service for service in services if wanted <= service["metadata"]["labels"].items()]
    assert len(found) == 1, f"the ServiceMonitor selects {len(found)} services"
    names = {port["name"] for port in found[0]["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= names, names


def clustered(documents):
    """Each gateway of a StatefulSet keeps its name and its journal, and what is said of the set is said of all of it."""
    [gateways] = [document for document in documents if document["kind"] == "StatefulSet"]
    spec, labels = gateways["spec"], gateways["spec"]["template"]["metadata"]["labels"]
    name = {"apiVersion": gateways["apiVersion"], "kind": "StatefulSet", "name": gateways["metadata"]["name"]}
    [governing] = [document for document in documents if document["kind"] == "Service" and document["metadata"]["name"] == spec["serviceName"]]
    assert governing["spec"]["clusterIP"] == "None", "the pods have no names of their own"
    [claim] = spec["volumeClaimTemplates"]
    mounts = {mount["mountPath"]: mount["name"] for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["/var/lib/tollgate"] == claim["metadata"]["name"], mounts
    shared = [volume["name"] for volume in spec["template"]["spec"]["volumes"]]
    assert claim["metadata"]["name"] not in shared, "the journal's volume is every pod's"
    # A StatefulSet refuses other claims than those that it was made with, so that no release may change them.
    assert not re.search(r"version|helm.sh", json.dumps(claim["metadata"])), claim["metadata"]
    selectors = [spec["selector"]["matchLabels"], governing["spec"]["selector"]]
    selectors += [document["spec"]["selector"]["matchLabels"] for document in documents if document["kind"] == "PodDisruptionBudget"]
    selectors += [spread["labelSelector"]["matchLabels"] for spread in spec["template"]["spec"]["topologySpreadConstraints"]]
    assert len(selectors) == 5 and all(selector.items() <= labels.items() for selector in selectors), selectors
    scaled = [document["spec"]["scaleTargetRef"] for document in documents if document["kind"] == "HorizontalPodAutoscaler"]
    assert all(target == name for target in scaled), scaled
    assert ("replicas" in spec) != bool(scaled), "two have a say in how many there are"


def check_config(directory, documents, name, postgres):
    """The configuration that a pod would find, as the gateway itself reads it."""
    folder = directory / name.replace(" ", "-")
    accounts = folder / "accounts"
    accounts.mkdir(parents=True)
    for document in documents:
        if document["kind"] in ("ConfigMap", "Secret"):
            target = folder if document["kind"] == "ConfigMap" else accounts
            for file, text in (document.get("data") or document["stringData"]).items():
                text = text.replace("/etc/tollgate-accounts", str(accounts))
                if file == "gateway.yaml" and name != "as it is" and name != "with all":
                    # A price, so that the account's credits mean something.
                    price = "credits: { hold: [{ add: 1 }], price: [{ add: 1 }] }"
                    text = text.replace("    upstream: lookup", f"    upstream: lookup\n    {price}")
                # The database is asked for accounts.
                text = text.replace("db.example.com", str(postgres.directory / "primary"))
                (target / file).write_text(text)
    run(PROGRAM, "check", "--config", folder / "gateway.yaml", env={**os.environ, "DATABASE_PASSWORD": "a"})


# ---- Grafana, and a gateway that runs ----


def panels():
    dashboard = json.loads((DEPLOY / "grafana/dashboards/tollgate.json").read_text())
    return dashboard, [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def dashboard():
    document, shown = panels()
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids)), "two panels have one id"
    names = {variable["name"] for variable in document["templating"]["list"]}
    taken = {}
    for panel in document["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, f"{panel['title']} stands out"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other == panel["title"], f"{panel['title']} lies on {other}"
    for panel in shown:
        assert panel["description"].endswith("."), f"{panel['title']} has no description"
        assert panel["fieldConfig"]["defaults"]["unit"], f"{panel['title']} has no unit"
        for target in panel["targets"]:
            used = set(re.findall(r"\$\{?(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= names, f"{panel['title']} uses {used - names}"
            assert target["datasource"]["uid"] == "${datasource}", f"{panel['title']} has a source of its own"
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/tollgate.yml").read_text())
    mounted = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    path = provisioned["providers"][0]["options"]["path"]
    assert any(f":{path}:" in volume for volume in mounted), f"nothing is mounted at {path}"
    return f"{len(shown)} panels, {sum(len(panel['targets']) for panel in shown)} queries"


class Backend(BaseHTTPRequestHandler):
    """A lookup backend: numbers that end in 9 fail."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = not json.loads(body)["number"].endswith("9")
        answer = b'{"result":{"phone_type":"Mobile","confidence":"Verified"}}' if good else b"no"
        self.send_response(200 if good else 500)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def wait_for(what, holds):
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.1)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None


def ask(port, token, body):
    headers = {"Auth-Token": token, "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/phone/validate/v2", body.encode(), headers)
    try:
        urllib.request.urlopen(request, timeout=5).read()
    except urllib.error.HTTPError as error:
        error.read()


# A gateway with everything that has metrics.
MORE_KEYS = """
ledger: { file: ledger.db }
store: { postgres: POSTGRES }
cluster: { replica_lag: 0s }
billing: { url: http://127.0.0.1:9/ }
alerts: { mail: { server: 'smtp://127.0.0.1:9', from: a@example.com } }
journal: { directory: journal }
metrics: { by_account: true }
jwt:
  company:
    issuer: https://id.example.com
    audience: [a]
    algorithms: [ES256]
    jwks: { url: 'http://127.0.0.1:9/keys' }
    account_claim: sub
    token: t
"""


def running(directory, postgres):
    """Prometheus scrapes a gateway of a cluster with some traffic: every query has an answer."""
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    clients, admin, proxied, prometheus = free_ports(4)
    beside = ["demo.md", *(file.name for file in (ROOT / "config").glob("*.schema.json"))]
    for name in beside:
        shutil.copy(ROOT / "config" / name, directory / name)
    text = (ROOT / "config/demo.yaml").read_text()
    for old, new in [
        ("listen: 127.0.0.1:8080", f"listen: 127.0.0.1:{clients}"),
        (
            "admin: 127.0.0.1:9901",
            f"admin: 127.0.0.1:{admin}\n"
            f"listeners: [{{ address: 127.0.0.1:{proxied}, proxy_protocol: {{ from: [127.0.0.1] }} }}]",
        ),
        ("servers: [127.0.0.1:9001]", f"servers: [127.0.0.1:{backend.server_port}]\n    concurrency_limit: {{}}"),
        ("ledger: { volatile: true }", MORE_KEYS.replace("POSTGRES", json.dumps(postgres.settings()))),
        # A token that works and ends some day.
        ("expires: 2024-12-31", "expires: 2099-12-31"),
    ]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (directory / "demo.yaml").write_text(text)
    # What seals answers that are kept is the same for all gateways, so that none makes it.
    (directory / "portal.key").write_text("0f" * 32)
    (directory / "portal.key").chmod(0o600)
    # A candidate that lets the account of demo-live ask once.
    candidate = text.replace("rate: { limit: 150/min, burst: 150 }", "rate: { limit: 1/min, burst: 1 }", 1)
    (directory / "candidate.yaml").write_text(candidate)
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{admin}"]}]
    config["rule_files"] = [str(DEPLOY / "prometheus/alerts.yml")]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    output = (directory / "output.txt").open("w")
    processes = [
        subprocess.Popen([PROGRAM, "run", "--config", directory / "demo.yaml"], stdout=output, stderr=output),
        subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{prometheus}",
                "--log.level=error",
            ],
            stdout=output,
            stderr=output,
        ),
    ]
    try:
        wait_for("the gateway", lambda: answers(f"http://127.0.0.1:{admin}/readyz"))
        wait_for("Prometheus", lambda: answers(f"http://127.0.0.1:{prometheus}/-/ready"))
        run(PROGRAM, "shadow", "start", "--config", directory / "candidate.yaml")
        until = time.monotonic() + 12
        while time.monotonic() < until:
            for token in ["demo-live", "demo-metered", "demo-throttled", "nobody"]:
                for number in ["+44 7400 123456", "9"]:
                    ask(clients, token, json.dumps({"number": number}))
            # No PROXY header, so that the connection is closed.
            with socket.create_connection(("127.0.0.1", proxied)) as wrong:
                wrong.sendall(b"GET / HTTP/1.1\r\n\r\n")
            time.sleep(0.05)
        return judge(answers(f"http://127.0.0.1:{admin}/metrics"), f"http://127.0.0.1:{prometheus}")
    except AssertionError as error:
        output.flush()
        raise AssertionError(f"{error}\n{(directory / 'output.txt').read_text()[-2000:]}") from error
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        output.close()
        backend.shutdown()


NAMES = re.compile(r"\b(?:tollgate|process)_[a-z0-9_]+\b")
OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")


def judge(metrics, prometheus):
    linted = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, timeout=60)
    assert not linted.stdout + linted.stderr and linted.returncode == 0, f"promtool check metrics: {linted.stdout}{linted.stderr}"
    known = set(re.findall(r"^# TYPE (\S+)", metrics, re.M))
    known |= {f"{name}_total" for name in known}
    queries = {}
    for panel in panels()[1]:
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", WINDOW).replace("$instance", ".*").replace("$product", ".*")
            queries[f"{panel['title']} {target['refId']}"] = expr
    alerts = alert_rules()
    wrong = []
    for name, expr in [*queries.items(), *alerts.items()]:
        unknown = [used for used in NAMES.findall(expr) if OF_HISTOGRAMS.sub("", used) not in known and used not in known]
        wrong += [f"{name}: the gateway has no metric {used}" for used in unknown]
    for name, expr in [*queries.items(), *alerts.items()]:
        url = f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expr})
        told = answers(url)
        if told is None:
            wrong.append(f"{name}: Prometheus refuses {expr}")
        elif name in queries:
            values = [sample["value"][1] for sample in json.loads(told)["data"]["result"]]
            if not values:
                wrong.append(f"{name}: nothing to show for {expr}")
            elif all(value == "NaN" for value in values):
                wrong.append(f"{name}: only NaN for {expr}")
    rules = json.loads(answers(f"{prometheus}/api/v1/rules"))["data"]["groups"]
    ill = [rule["name"] for group in rules for rule in group["rules"] if rule["health"] != "ok"]
    wrong += [f"the alert {name} cannot be evaluated" for name in ill]
    assert not wrong, "\n".join(wrong)
    return f"{len(queries)} queries and {len(alerts)} alerts against Prometheus and a gateway"


def yaml_files():
    files = [path for end in ("yml", "yaml") for path in DEPLOY.rglob(f"*.{end}") if "templates" not in path.parts]
    for path in files:
        list(yaml.safe_load_all(path.read_text()))
    scripts = [path for path in DEPLOY.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!")]
    run("shellcheck", *scripts)
    return f"{len(files)} files, {len(scripts)} scripts"


def main():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tollgate-deploy-") as name, contextlib.closing(Postgres()) as postgres:
        directory = Path(name)
        for step, check in [
            ("yaml", yaml_files),
            ("Dockerfile", dockerfile),
            ("compose", compose),
            ("cluster", lambda: compose_cluster(directory, postgres)),
            ("systemd", lambda: systemd(directory)),
            ("prometheus", prometheus_files),
            ("kubernetes", lambda: chart(directory, postgres)),
            ("dashboard", dashboard),
            ("running", lambda: running(directory, postgres)),
        ]:
            try:
                print(f"{step:<12}{check()}", flush=True)
            except Exception as error:  # Whatever a step ends with, the others are worth a look.
                failed += 1
                print(f"{step:<12}FAILED: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""Everything under deploy/ against the tools that will read it, and against a gateway that runs.

Each step prints one line; the first failure of each is printed whole, and the script ends with 1 if
there was any.
"""

import json
import os
import re
import shutil
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


def compose():
    run("docker-compose", "--file", DEPLOY / "compose.yaml", "config", "--quiet", cwd=DEPLOY)
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    mounts = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    for path in mounts:
        if path.startswith("."):
            assert (DEPLOY / path).exists(), f"{path} is not there"
    help_text = run(PROGRAM, "demo", "--help")
    for flag in [word for word in services["gateway"]["command"] if word.startswith("--")]:
        assert flag in help_text, f"the demo has no {flag}"
    return f"docker-compose config, {len(services)} services"


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

# What the chart has to refuse, and the word that its refusal has.
REFUSED = [
    ({"replicaCount": "two"}, "replicaCount"),
    ({"config": {"listen": "127.0.0.1:1"}}, "config"),
    ({"sevrice": {}}, "sevrice"),
    ({"replicas": 2}, "replicas"),
    ({"ledger": {"enabled": True}, "replicaCount": 2}, "set replicaCount to 1"),
    ({"ledger": {"enabled": True}, "autoscaling": {"enabled": True}}, "set autoscaling.enabled to false"),
    ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas"),
]


def rendered(values):
    """The manifests of the chart, in the order of their files, and their text."""
    with helm.Chart.load(str(DEPLOY / "helm/tollgate")) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="tollgate", namespace="default")
    manifests = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    texts = [text.strip() + "\n" for text in manifests if text.strip()]
    return [yaml.safe_load(text) for text in texts], "---\n" + "---\n".join(texts)


def chart(directory):
    report = helm.lint(str(DEPLOY / "helm/tollgate"), strict=True)
    bad = [message for message in report["messages"] if message["severity"] > 1]
    assert not bad and not report["errors"], report
    kinds = {}
    for name, values in [("as it is", {}), ("with a ledger", WITH_LEDGER), ("with all", WITH_ALL)]:
        documents, _ = rendered(values)
        for document in documents:
            # Kubernetes itself has no schema of the operator's kinds.
            if not document["apiVersion"].startswith("monitoring.coreos.com/"):
                kubernetes_validate.validate(document, KUBERNETES, strict=True)
        kinds[name] = sorted(document["kind"] for document in documents)
        check_config(directory, documents, name)
    always = ["ConfigMap", "Deployment", "NetworkPolicy", "Secret", "Service", "ServiceAccount"]
    more = ["HorizontalPodAutoscaler", "Ingress", "PodDisruptionBudget", "Service", "ServiceMonitor"]
    assert kinds["as it is"] == always, kinds
    assert kinds["with a ledger"] == sorted([*always, "PersistentVolumeClaim"]), kinds
    assert kinds["with all"] == sorted([*always, *more]), kinds
    monitored(rendered(WITH_ALL)[0])
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


def check_config(directory, documents, name):
    """The configuration that a pod would find, as the gateway itself reads it."""
    folder = directory / name.replace(" ", "-")
    accounts = folder / "accounts"
    accounts.mkdir(parents=True)
    for document in documents:
        if document["kind"] in ("ConfigMap", "Secret"):
            target = folder if document["kind"] == "ConfigMap" else accounts
            for file, text in (document.get("data") or document["stringData"]).items():
                text = text.replace("/etc/tollgate-accounts", str(accounts))
                if name == "with a ledger" and file == "gateway.yaml":
                    # A price, so that the account's credits mean something.
                    price = "credits: { hold: [{ add: 1 }], price: [{ add: 1 }] }"
                    text = text.replace("    upstream: lookup", f"    upstream: lookup\n    {price}")
                (target / file).write_text(text)
    run(PROGRAM, "check", "--config", folder / "gateway.yaml")


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


def running(directory):
    """Prometheus scrapes a gateway with some traffic: every query has an answer."""
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
        ("ledger: { volatile: true }", "ledger: { file: ledger.db }\nstore: { sqlite: store.db }\nbilling: { url: http://127.0.0.1:9/ }\nalerts: { mail: { server: 'smtp://127.0.0.1:9', from: a@example.com } }\njournal: { directory: journal }\nmetrics: { by_account: true }\njwt: { company: { issuer: 'https://id.example.com', audience: [a], algorithms: [ES256], jwks: { url: 'http://127.0.0.1:9/keys' }, account_claim: sub, token: t } }"),
        # A token that works and ends some day.
        ("expires: 2024-12-31", "expires: 2099-12-31"),
    ]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (directory / "demo.yaml").write_text(text)
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
    with tempfile.TemporaryDirectory(prefix="tollgate-deploy-") as name:
        directory = Path(name)
        for step, check in [
            ("yaml", yaml_files),
            ("Dockerfile", dockerfile),
            ("compose", compose),
            ("systemd", lambda: systemd(directory)),
            ("prometheus", prometheus_files),
            ("kubernetes", lambda: chart(directory)),
            ("dashboard", dashboard),
            ("running", lambda: running(directory)),
        ]:
            try:
                print(f"{step:<12}{check()}", flush=True)
            except Exception as error:  # Whatever a step ends with, the others are worth a look.
                failed += 1
                print(f"{step:<12}FAILED: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

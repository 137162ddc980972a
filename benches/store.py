#!/usr/bin/env python3
"""What a store of many accounts costs the program itself: importing and exporting them by the command line, starting with
them, beside the same accounts in files, and how long it takes from a change that is sent to the management API to the
first refused request; and what looking at all of them for alerts costs.

`make bench-store`, with ACCOUNTS and CHANGES. Accounts have one token each; the backend answers at once.
"""

import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

ACCOUNTS = int(os.environ.get("ACCOUNTS", 1_000_000))
CHANGES = int(os.environ.get("CHANGES", 1000))
# How long it is looked at what a process needs that nobody asks anything.
IDLE_SECONDS = 60
ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("PROGRAM", str(ROOT / "target" / "release" / "tollgate"))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def backend():
    """Answers each request with one and the same lookup."""
    body = b'{"result":{}}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(stream):
        while stream.recv(4096):
            stream.sendall(answer)

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def run(words, stdout=subprocess.DEVNULL):
    """Runs a command; its seconds, processor seconds and the most memory in MB."""
    began = time.monotonic()
    process = subprocess.Popen([PROGRAM, *words], stdout=stdout, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def say(what, figures):
    seconds, processor, memory = figures
    print(f"{what}: {seconds:.1f} s, {processor:.1f} s of processor time, {memory:.0f} MB at the most", flush=True)


def percentile(times, percent):
    return sorted(times)[min(len(times) * percent // 100, len(times) - 1)] * 1e3


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="tollgate-store-"))
    try:
        bench(directory)
    finally:
        shutil.rmtree(directory)


def started(config):
    """A gateway that serves clients, the seconds until it did, and its memory in MB."""
    began = time.monotonic()
    words = [PROGRAM, "run", "--config", str(config)]
    gateway = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    gateway.stdout.readline()
    seconds = time.monotonic() - began
    status = pathlib.Path(f"/proc/{gateway.pid}/status").read_text()
    return gateway, seconds, next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def processor_seconds(gateway):
    """The processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{gateway.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share_of_a_core(gateway):
    """How much of a core a process needs that nobody asks anything."""
    before = processor_seconds(gateway)
    time.sleep(IDLE_SECONDS)
    return 100 * (processor_seconds(gateway) - before) / IDLE_SECONDS


def bench(directory):
    config, lines, export = directory / "gateway.yaml", directory / "accounts.jsonl", directory / "export.jsonl"
    of_files, of_alerts = directory / "files.yaml", directory / "alerts.yaml"
    listen, admin, api = free_port(), free_port(), free_port()
    base = (
        f"listen: 127.0.0.1:{listen}\nadmin: 127.0.0.1:{admin}\npublic_url: https://api.example.com\n"
        f"upstreams: {{ lookup: {{ servers: [127.0.0.1:{backend()}] }} }}\n"
        "products:\n  phone:\n    upstream: lookup\n    routes: [POST /lookup]\n    token_headers: [Auth-Token]\n"
    )
    store = f"ledger: {{ file: ledger.db }}\nstore: {{ sqlite: tollgate.db }}\napi: {{ listen: 127.0.0.1:{api} }}\n"
    config.write_text(base + store)
    of_files.write_text(f"{base}ledger: {{ file: files.db }}\ninclude: [accounts.jsonl]\n")
    # Nobody is there to be told.
    of_alerts.write_text(
        f"{base}{store}alerts: {{ token_days: 14, mail: {{ server: 'smtp://127.0.0.1:{free_port()}', from: a@example.com }} }}\n"
    )
    with lines.open("w") as out:
        for number in range(ACCOUNTS):
            digest = hashlib.sha256(b"token-%d" % number).hexdigest()
            token = {"name": "t", "hash": f"sha256:{digest}", "products": ["phone"]}
            json.dump({"name": f"account {number}", "rate": {"limit": "100000/s"}, "tokens": [token]}, out)
            out.write("\n")
    of_config = ["--config", str(config)]
    print(f"{ACCOUNTS} accounts, {lines.stat().st_size / 1e6:.0f} MB as lines", flush=True)
    say("import, dry run", run(["accounts", "import", *of_config, "--dry-run", str(lines)]))
    say("import", run(["accounts", "import", *of_config, str(lines)]))
    print(f"the store's file: {(directory / 'tollgate.db').stat().st_size / 1e6:.0f} MB", flush=True)
    with export.open("wb") as out:
        say("export", run(["accounts", "export", *of_config], out))
    gateway, seconds, from_files = started(of_files)
    gateway.terminate()
    gateway.wait()
    print(f"start from files: {seconds:.1f} s, {from_files:.0f} MB", flush=True)
    lines.unlink()
    key = json.loads(subprocess.check_output([PROGRAM, "keys", "create", *of_config, "--json", "ann", "--operator", "admin"]))

    gateway, seconds, resident = started(config)
    try:
        more = resident / from_files
        print(f"start: {seconds:.1f} s until clients are served, {resident:.0f} MB, {more:.2f} of files", flush=True)
        changes(listen, api, key["secret"])
        idle = share_of_a_core(gateway)
    finally:
        gateway.terminate()
        gateway.wait()
    gateway, _, _ = started(of_alerts)
    try:
        looking = share_of_a_core(gateway)
    finally:
        gateway.terminate()
        gateway.wait()
    print(f"idle: {idle:.1f} % of a core, and {looking:.1f} % with alerts", flush=True)


def changes(listen, api, key):
    lookups, management = http.client.HTTPConnection("127.0.0.1", listen), http.client.HTTPConnection("127.0.0.1", api)

    def ask(method, path, body=None):
        headers = {"Authorization": f"Bearer {key}", "If-Match": "*"}
        management.request(method, f"/api/v1{path}", body, headers)
        answer = management.getresponse()
        found = json.load(answer)
        assert answer.status == 200, found
        return found

    def lookup(number):
        lookups.request("POST", "/lookup", b"", {"Auth-Token": f"token-{number}"})
        answer = lookups.getresponse()
        answer.read()
        return answer.status

    times, late, own = [], 0, []
    for change in range(CHANGES):
        number = change * 2_654_435_761 % ACCOUNTS
        account = ask("GET", f"/accounts?limit=1&name=account%20{number}")["items"][0]["id"]
        token = ask("GET", f"/accounts/{account}/tokens")["items"][0]["id"]
        assert lookup(number) == 200
        began = time.monotonic()
        ask("POST", f"/accounts/{account}/tokens/{token}/disable")
        own.append(time.monotonic() - began)
        late += lookup(number) != 403
        times.append(time.monotonic() - began)
    print(
        f"{CHANGES} tokens disabled by the API: p50 {percentile(times, 50):.1f} ms, p99 {percentile(times, 99):.1f} ms from "
        f"the request to the refused lookup (the answer itself: p50 {percentile(own, 50):.1f}, p99 {percentile(own, 99):.1f}); "
        f"{late} lookups were not refused at once",
        flush=True,
    )
    assert late == 0


if __name__ == "__main__":
    main()

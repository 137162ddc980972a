#!/usr/bin/env python3
"""What counting credits costs: CPU time a request, of the same lookup paid for and free, in one run.

Needs the release build, wrk and haproxy (as the backend: its answer costs next to nothing), and two
cores: the gateway has one, with the thread that writes its ledger, the load and the backend have the
other. One gateway serves both tokens, so that nothing differs but the account. Rounds alternate; the
figures are medians.

    make bench-metering
"""

import hashlib
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("PROGRAM", str(ROOT / "target/release/tollgate"))
ROUNDS = int(os.environ.get("ROUNDS", "9"))
SECONDS = int(os.environ.get("SECONDS_A_ROUND", "4"))
ANSWER = '{"result":{"number":"+44 7400 123456","validated_phone_number":"+447400123456",' \
    '"formatted_phone_number":"+44 7400 123456","phone_type":"Mobile","confidence":"Verified"}}'
BODY = '{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7}'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing listens on {port}")


def configuration(directory, backend, listen, admin, durability):
    text = (ROOT / "config/demo.yaml").read_text()
    head = text[: text.index("# Credits begin anew")]
    head = head.replace("127.0.0.1:9001", f"127.0.0.1:{backend}")
    head = re.sub(r"listen: .*", f"listen: 127.0.0.1:{listen}\nworkers: 1", head)
    head = re.sub(r"admin: .*", f"admin: 127.0.0.1:{admin}", head)
    accounts = f"ledger: {{ file: ledger.db, durability: {durability} }}\naccounts:\n"
    for name, credits in (("paying", 1_000_000_000), ("free", "unmetered")):
        digest = hashlib.sha256(name.encode()).hexdigest()
        accounts += (
            f"  {name}:\n    rate: {{ limit: 1_000_000/s, burst: 1000000 }}\n"
            f"    credits: {{ phone: {credits} }}\n"
            f'    tokens: [{{ name: {name}, hash: "sha256:{digest}", products: [phone] }}]\n'
        )
    (directory / "tollgate.yaml").write_text(head + accounts)
    for named in [*(ROOT / "config").glob("*.json"), ROOT / "config/demo.md"]:
        (directory / named.name).write_text(named.read_text())


def cpu_ns(pid):
    """CPU time of all threads, from the scheduler's own clock."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            pass
    return total


def load(directory, listen, token):
    script = directory / f"{token}.lua"
    script.write_text(
        'wrk.method = "POST"\n'
        f"wrk.body = '{BODY}'\n"
        'wrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Auth-Token"] = "{token}"\n'
    )
    out = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{SECONDS}s", "-s", str(script),
         f"http://127.0.0.1:{listen}/phone/validate/v2"],
        capture_output=True, text=True, check=True,
    ).stdout
    if "Non-2xx" in out:
        sys.exit(out)
    return int(re.search(r"(\d+) requests in", out).group(1))


def measure(durability):
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        backend, listen, admin = free_port(), free_port(), free_port()
        (directory / "haproxy.cfg").write_text(
            "global\n  maxconn 4000\n  nbthread 1\ndefaults\n  mode http\n  timeout client 60s\n"
            "  timeout server 60s\n  timeout connect 5s\n"
            f"frontend f\n  bind 127.0.0.1:{backend}\n"
            f"  http-request return status 200 content-type application/json string '{ANSWER}'\n"
        )
        configuration(directory, backend, listen, admin, durability)
        haproxy = subprocess.Popen(["taskset", "-c", "1", "haproxy", "-q", "-db", "-f", str(directory / "haproxy.cfg")])
        gateway = subprocess.Popen(
            ["taskset", "-c", "0", PROGRAM, "run", "--config", str(directory / "tollgate.yaml")],
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for(backend)
            wait_for(listen)
            load(directory, listen, "free")
            figures = {"free": [], "paying": []}
            for round_number in range(ROUNDS):
                order = ("free", "paying") if round_number % 2 == 0 else ("paying", "free")
                for token in order:
                    before = cpu_ns(gateway.pid)
                    requests = load(directory, listen, token)
                    # The last charges are written a moment later.
                    time.sleep(0.1)
                    figures[token].append(((cpu_ns(gateway.pid) - before) / requests / 1000, requests / SECONDS))
            ratios = [paying[0] / free[0] for free, paying in zip(figures["free"], figures["paying"])]
            print(f"durability: {durability}, {ROUNDS} rounds of {SECONDS} s each")
            for token, rounds in figures.items():
                cpu, rate = (statistics.median(column) for column in zip(*rounds))
                print(f"  {token:<8}{cpu:8.2f} us CPU a request {rate:10.0f} requests/s")
            print(f"  ratio   {statistics.median(ratios):8.3f} (lowest {min(ratios):.3f}, highest {max(ratios):.3f})")
        finally:
            for process in (gateway, haproxy):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    for kind in sys.argv[1:] or ["batch"]:
        measure(kind)

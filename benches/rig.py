"""What the scripts that measure one gateway share: ports, a backend, a configuration, load, and CPU time.

The gateway has one core, the load and the backend have the other; all traffic is on loopback.
"""

import hashlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("TOLLGATE", str(ROOT / "target/release/tollgate"))
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


def cpu_ns(pid):
    """CPU time of all threads, from the scheduler's own clock."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            pass
    return total


def configure(directory, backend, listen, admin, rest):
    """The demo's products in front of a backend, for one worker, with other accounts and whatever else is asked for."""
    text = (ROOT / "config/demo.yaml").read_text()
    head = text[: text.index("# Credits begin anew")]
    head = head.replace("127.0.0.1:9001", f"127.0.0.1:{backend}")
    head = re.sub(r"listen: .*", f"listen: 127.0.0.1:{listen}\nworkers: 1", head)
    head = re.sub(r"admin: .*", f"admin: 127.0.0.1:{admin}", head)
    (directory / "tollgate.yaml").write_text(head + rest)
    for named in [*(ROOT / "config").glob("*.json"), ROOT / "config/demo.md"]:
        (directory / named.name).write_text(named.read_text())


def one_account():
    """An account with the token `live`, which pays nothing and has a limit that it never meets."""
    digest = hashlib.sha256(b"live").hexdigest()
    return (
        "ledger: { volatile: true }\naccounts:\n  main:\n    rate: { limit: 1_000_000/s, burst: 1000000 }\n"
        "    credits: { phone: unmetered }\n"
        f'    tokens: [{{ name: live, hash: "sha256:{digest}", products: [phone] }}]\n'
    )


def start_backend(directory, port):
    """A backend that is far faster than the gateway: HAProxy with one fixed answer."""
    (directory / "haproxy.cfg").write_text(
        "global\n  maxconn 4000\n  nbthread 1\ndefaults\n  mode http\n  timeout client 60s\n"
        "  timeout server 60s\n  timeout connect 5s\n"
        f"frontend f\n  bind 127.0.0.1:{port}\n"
        f"  http-request return status 200 content-type application/json string '{ANSWER}'\n"
    )
    return subprocess.Popen(["taskset", "-c", "1", "haproxy", "-q", "-db", "-f", str(directory / "haproxy.cfg")])


def start_gateway(directory, stderr=None):
    command = ["taskset", "-c", "0", PROGRAM, "run", "--config", str(directory / "tollgate.yaml")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)


def stop(processes):
    for process in processes:
        process.terminate()
        process.wait()


def start_load(arguments):
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-d{SECONDS}s", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def start_lookups(directory, listen, token):
    script = directory / f"{token}.lua"
    script.write_text(
        'wrk.method = "POST"\n'
        f"wrk.body = '{BODY}'\n"
        'wrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Auth-Token"] = "{token}"\n'
    )
    return start_load(["-c64", "-s", str(script), f"http://127.0.0.1:{listen}/phone/validate/v2"])


def finish(load, refused=False):
    """How many requests a load has sent; each must have been answered well, or each refused."""
    out, _ = load.communicate()
    if load.returncode:
        sys.exit(f"wrk ended with {load.returncode}")
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if (int(errors.group(1)) if errors else 0) != (requests if refused else 0):
        sys.exit(out)
    return requests


def load(directory, listen, token, refused=False):
    """How many requests a load of one token has sent."""
    return finish(start_lookups(directory, listen, token), refused)


def counters(admin, *names):
    """Counters of the gateway, by their names without what is the same in all."""
    with socket.create_connection(("127.0.0.1", admin)) as wire:
        wire.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: wire.recv(65536), b"")).decode()
    return [int(re.search(rf"tollgate_{name}_total (\d+)", text).group(1)) for name in names]

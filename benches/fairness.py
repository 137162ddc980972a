#!/usr/bin/env python3
"""One noisy account and 99 quiet ones in front of a backend that works on 40 requests at a time: how long the quiet ones
wait, and how many of their requests are refused, with fair sharing and first come first served.

Needs the release build, rustc and haproxy, and two cores: the gateway has one, the loads and the backend have the other.
The backend takes 30 to 50 ms for a request and has a queue of its own for more than 40, as a pool of database
connections has; so it becomes slower, and not more productive, when it gets more than that. Each quiet account sends 3
requests a second, whatever the answers do, and the noisy one as many as the backend can do and half as many again.
Times count from when a request was due.

    make bench-fairness
"""

import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import rig
from rig import free_port, wait_for

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = int(os.environ.get("SECONDS_A_ROUND", "20"))
WORKERS = 40
TAKES_MS = (30, 50)
QUIET, QUIET_RATE = 99, 3
NOISY_RATE = 1500
NOISY_CONNECTIONS = 500
QUEUE = 200
OPENLOOP = rig.ROOT / "target/openloop"

FAIR = f"concurrency_limit: {{ max: 400, max_queue: {QUEUE}, max_wait: 2s }}"
CONTESTANTS = {
    "fair": FAIR,
    "first come first served, everything is sent": None,
    f"first come first served, {WORKERS} at a time": f"max_requests: {WORKERS}",
}


def start_backend(directory, port):
    """A backend with so many workers: what comes beyond them waits in HAProxy's queue."""
    inner = free_port()
    low, high = TAKES_MS
    (directory / "work.lua").write_text(
        "core.register_action('work', {'http-req'}, function(txn)\n"
        f"  core.msleep(math.random({low}, {high}))\nend)\n"
    )
    (directory / "haproxy.cfg").write_text(
        f"global\n  maxconn 8000\n  nbthread 1\n  lua-load {directory}/work.lua\ndefaults\n  mode http\n"
        "  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n  timeout queue 60s\n"
        f"frontend f\n  bind 127.0.0.1:{port}\n  default_backend workers\n"
        f"backend workers\n  server s 127.0.0.1:{inner} maxconn {WORKERS}\n"
        f"frontend work\n  bind 127.0.0.1:{inner}\n  http-request lua.work\n"
        f"  http-request return status 200 content-type application/json string '{rig.ANSWER}'\n"
    )
    return subprocess.Popen(["taskset", "-c", "1", "haproxy", "-q", "-db", "-f", str(directory / "haproxy.cfg")])


def configure(directory, backend, listen, admin, limit):
    accounts = "accounts:\n"
    for name in ["noisy", *(f"quiet-{number}" for number in range(QUIET))]:
        digest = hashlib.sha256(name.encode()).hexdigest()
        accounts += (
            f"  {name}:\n    rate: {{ unlimited: true }}\n    credits: {{ phone: unmetered }}\n"
            f'    tokens: [{{ name: {name}, hash: "sha256:{digest}", products: [phone] }}]\n'
        )
    rig.configure(directory, backend, listen, admin, accounts)
    written = directory / "tollgate.yaml"
    servers = f"servers: [127.0.0.1:{backend}]"
    instead = servers
    if limit and limit.startswith("max_requests"):
        instead = f"servers: [{{ address: 127.0.0.1:{backend}, {limit} }}]"
    elif limit:
        instead = f"{servers}\n    {limit}"
    written.write_text(written.read_text().replace(servers, instead))


def start_load(directory, listen, name, tokens, rate, connections, seconds):
    """Requests at a steady rate, of these tokens in turns."""
    request, listed = directory / "request", directory / f"{name}.tokens"
    request.write_bytes(
        b"POST /phone/validate/v2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Auth-Token: @TOKEN@\r\nContent-Length: %d\r\n\r\n%s" % (len(rig.BODY), rig.BODY.encode())
    )
    listed.write_text("\n".join(tokens))
    command = [
        "taskset", "-c", "1", OPENLOOP, f"127.0.0.1:{listen}", str(rate), str(seconds), str(connections), request, listed
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(load):
    out, _ = load.communicate()
    if load.returncode:
        raise SystemExit(f"openloop ended with {load.returncode}")
    return json.loads(out)


def run(directory, listen, with_noise, seconds=SECONDS):
    """What the quiet accounts and the noisy one got."""
    noisy = None
    if with_noise:
        noisy = start_load(directory, listen, "noisy", ["noisy"], NOISY_RATE, NOISY_CONNECTIONS, seconds + 2)
        time.sleep(1)
    tokens = [f"quiet-{number}" for number in range(QUIET)]
    quiet = finish(start_load(directory, listen, "quiet", tokens, QUIET * QUIET_RATE, QUIET, seconds))
    return quiet, noisy and finish(noisy)


def tell(what, quiet, noisy):
    def median(key):
        return statistics.median(figures[key] for figures in quiet) / 1000

    line = f"  {what:<48}p50 {median('p50_us'):7.1f} ms  p99 {median('p99_us'):7.1f} ms"
    refused, sent = sum(figures["failed"] for figures in quiet), sum(figures["requests"] for figures in quiet)
    line += f"  refused {refused} of {sent}"
    if noisy:
        refused, sent = sum(figures["failed"] for figures in noisy), sum(figures["requests"] for figures in noisy)
        seconds = sum(figures["seconds"] for figures in noisy)
        line += f"; the noisy one: {(sent - refused) / seconds:.0f} a second served, {refused} of {sent} refused"
    print(line, flush=True)


def measure(limit, rounds):
    """Rounds without and with noise, in turns, in front of one gateway."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        backend, listen, admin = free_port(), free_port(), free_port()
        configure(directory, backend, listen, admin, limit)
        # Its log says of each account that is refused that it is.
        gateway = rig.start_gateway(directory, stderr=subprocess.DEVNULL)
        backend_process = start_backend(directory, backend)
        try:
            wait_for(backend)
            wait_for(listen)
            # The limit is learnt before anything counts.
            run(directory, listen, True, 10)
            alone, beside, noisy = [], [], []
            for _ in range(rounds):
                alone.append(run(directory, listen, False)[0])
                quiet, noise = run(directory, listen, True)
                beside.append(quiet)
                noisy.append(noise)
            return alone, beside, noisy
        finally:
            rig.stop((gateway, backend_process))


def main():
    subprocess.run(["rustc", "-O", "--edition", "2024", "-o", OPENLOOP, rig.ROOT / "benches/peers/openloop.rs"], check=True)
    print(f"{QUIET} quiet accounts with {QUIET_RATE} requests a second each; one noisy one with {NOISY_RATE}")
    for what, limit in CONTESTANTS.items():
        alone, beside, noisy = measure(limit, ROUNDS if limit == FAIR else 1)
        print(what)
        tell("quiet accounts alone", alone, None)
        tell("beside the noisy one", beside, noisy)
        ratios = [with_noise["p99_us"] / without["p99_us"] for without, with_noise in zip(alone, beside)]
        medians = [with_noise["p50_us"] / without["p50_us"] for without, with_noise in zip(alone, beside)]
        print(
            f"  ratio of p99 {statistics.median(ratios):.3f} (lowest {min(ratios):.3f}, highest {max(ratios):.3f}), "
            f"of p50 {statistics.median(medians):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

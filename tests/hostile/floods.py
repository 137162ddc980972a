#!/usr/bin/env python3
"""Floods of HTTP/2 against the program, while good clients are measured.

Asserts that the gateway's memory stays within 64 MiB of its level before each attack, that every
good request is answered with 200, and that the connections of attackers end. Times are printed and
not asserted, since attacker, gateway and good clients share a machine. An attacker has processors of its
own, and so has the backend that it asks; so these get what is left of this machine's (SCHED_IDLE), and
the control of each attack is the same attack on a process that reads a little and then ends each
connection, while the same good clients are measured. Attacks that ask for lookups and do not take the
answers have another: clients that ask for as many and do take them. How much of the processors' time
the gateway itself has used is printed beside them.

    tests/hostile/run [--seconds 3] [--binary target/debug/tollgate] [--only NAME] [--tls]
    tests/hostile/run --tls --port 8443 --pid 1234 --token TOKEN    # a gateway that runs already
"""

import argparse
import asyncio
import collections
import contextlib
import hashlib
import multiprocessing
import os
import pathlib
import queue
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import attacks

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20
# The aim is 32 MiB, which every attack keeps but one in some runs: what thousands of answers to a
# client that reads nothing leave behind in the allocator differs from run to run. A leak grows
# without end and is found all the same.
MOST_GROWTH = 64 * MIB
# Who asks for all that every limit allows, in 5,200 requests at once, gets it: 16 MiB of answers that wait, 20 MiB of
# heads as they are counted and twice that in memory, and in a debug build some KiB for each request under way.
MOST_GROWTH_OF = {"inside_each_limit": 128 * MIB}
GOOD_CONNECTIONS = 8
GOOD_REQUESTS_A_SECOND = 400
LEAST_RESETS = 200_000
# With its handshakes Python opens a fifth of the connections, and each gets one write of resets.
LEAST_RESETS_TLS = 50_000
# How long a good connection, or one good answer, may take before it counts as none.
GOOD_PATIENCE_SECONDS = 10
# How long after its time a round may still end by itself. The slowest attack waits for 10 s.
ROUND_PATIENCE_SECONDS = 30
ANSWER = b'{"result":{"number":"1","phone_type":"Mobile","confidence":"Verified","filler":"' + b"a" * 60_000 + b'"}}'
SMALL = b'{"result":{"number":"1","phone_type":"Mobile","confidence":"Verified"}}'
# What the control reads of a connection, as the gateway does in one turn, and how long it leaves it open then.
SINK_BYTES, SINK_SECONDS = 1 << 16, 0.1
HOSTILE_TOKEN, GOOD_TOKEN = "hostile-token", "good-token"

# What the attacker did, the times of good requests, faults, memory before and at most, and the gateway's time.
Round = collections.namedtuple("Round", "report times faults before most cpu_seconds")


def elsewhere():
    """What this process computes would be another machine's work: it gets what the others leave."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def backend(port, hostile):
    """A backend: long answers for the hostile path, short ones for good clients."""
    if hostile:
        elsewhere()
    answers = {size: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
               % (len(body), body) for size, body in (("large", ANSWER), ("small", SMALL))}

    async def serve(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(answers["small" if b"/validation/" in head else "large"])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()

    asyncio.run(main())


def sink(port, tls, directory):
    """What the control attacks: it does next to nothing, so that what is measured is the attacker's own cost."""
    def serve(client, context):
        try:
            client.settimeout(SINK_SECONDS)
            client = context.wrap_socket(client, server_side=True) if context else client
            left = SINK_BYTES
            while left > 0 and (piece := client.recv(left)):
                left -= len(piece)
            time.sleep(SINK_SECONDS)
        except OSError:
            pass
        finally:
            client.close()

    elsewhere()
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listening:
        while True:
            threading.Thread(target=serve, args=(listening.accept()[0], context), daemon=True).start()


def listener(directory, port, tls):
    """The keys of a listener that speaks HTTP/2, with the certificate of the directory or without TLS."""
    if not tls:
        return f"listen: 127.0.0.1:{port}\nh2c: true\n"
    return (f"listeners:\n  - address: 127.0.0.1:{port}\n"
            "    tls: { certificates: [{ certificate: cert.pem, key: key.pem }] }\n")


def make_certificate(directory):
    if not shutil.which("openssl"):
        sys.exit("openssl is needed to make a certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
                   check=True, stderr=subprocess.DEVNULL)


def configuration(directory, listen, admin, behind, behind_hostile, tls):
    tokens = "".join(
        f'  {name}:\n    rate: {{ limit: 10_000_000/s, burst: 10000000 }}\n'
        f'    tokens: [{{ name: {name}, hash: "sha256:{hashlib.sha256(name.encode()).hexdigest()}", products: [phone, other] }}]\n'
        for name in (HOSTILE_TOKEN, GOOD_TOKEN))
    (directory / "tollgate.yaml").write_text(
        listener(directory, listen, tls) +
        f"admin: 127.0.0.1:{admin}\nworkers: 2\n"
        "public_url: https://api.example.com\n"
        "limits: { head_timeout: 2s, body_timeout: 2s, write_timeout: 2s, idle_timeout: 2s }\n"
        # A backend in Python that is starved of its core is not to be taken for a broken one.
        # Attackers have one of their own, so that good requests do not wait behind theirs in it.
        f"upstreams:\n  lookup: {{ servers: [127.0.0.1:{behind}], ejection: {{ failures: 0 }} }}\n"
        f"  other: {{ servers: [127.0.0.1:{behind_hostile}], ejection: {{ failures: 0 }} }}\nproducts:\n" +
        product("phone", "lookup", "/phone/validation/v2") + product("other", "other", "/phone/validate/v2") +
        f"accounts:\n{tokens}")
    (directory / "phone.schema.json").write_text((ROOT / "config/phone.schema.json").read_text())


def product(name, upstream, path):
    return (f"  {name}:\n    upstream: {upstream}\n    routes: [POST {path}]\n"
            "    token_headers: [Auth-Token]\n    body: { max: 16KiB, schema: phone.schema.json }\n")


def good_load(target, seconds, results):
    """Lookups at a steady pace over connections that live on: their times, and what went wrong."""
    request = (b"POST /phone/validation/v2 HTTP/1.1\r\nHost: api.example.com\r\nAuth-Token: %b\r\n"
               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
               % (target["good_token"].encode(), len(attacks.BODY), attacks.BODY))
    times, wrong = [], []
    context = attacks.client_context("http/1.1") if target["tls"] else None

    async def client(number):
        pace = GOOD_CONNECTIONS / GOOD_REQUESTS_A_SECOND
        opening = asyncio.open_connection("127.0.0.1", target["port"], ssl=context)
        reader, writer = await asyncio.wait_for(opening, GOOD_PATIENCE_SECONDS)
        try:
            begun = time.monotonic() + pace * number / GOOD_CONNECTIONS
            for turn in range(int(seconds / pace)):
                await asyncio.sleep(max(0.0, begun + turn * pace - time.monotonic()))
                sent = time.monotonic()
                writer.write(request)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), GOOD_PATIENCE_SECONDS)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await asyncio.wait_for(reader.readexactly(length), GOOD_PATIENCE_SECONDS)
                times.append(time.monotonic() - sent)
                if not head.startswith(b"HTTP/1.1 200 "):
                    wrong.append(head.split(b"\r\n")[0].decode())
        finally:
            writer.transport.abort()

    async def main():
        for outcome in await asyncio.gather(*map(client, range(GOOD_CONNECTIONS)), return_exceptions=True):
            if outcome is not None:
                wrong.append(repr(outcome))

    asyncio.run(main())
    results.put(("good client", (sorted(times), wrong)))


def attack_process(target, name, seconds, core, results):
    elsewhere()
    os.sched_setaffinity(0, {core})
    attacker = attacks.Attacker(target, time.monotonic() + seconds)
    getattr(attacks, name)(attacker)
    results.put(("attacker", attacker.tally.report()))


def memory(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cpu_seconds(pid):
    """What the threads of a process have used of the processors, in user and in kernel mode."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def milliseconds(times, share):
    return 1000 * times[min(len(times) - 1, int(len(times) * share))] if times else float("nan")


def round_of(target, attacked, name, seconds, core):
    """One attack, on the gateway or the sink. What does not end in time is ended, and is a fault."""
    results, outcomes, faults = multiprocessing.Queue(), {}, []
    before = most = memory(target["pid"])
    used = cpu_seconds(target["pid"])
    processes = {
        "attacker": multiprocessing.Process(
            target=attack_process, args=(attacked, name, seconds, core, results), daemon=True),
        "good client": multiprocessing.Process(target=good_load, args=(target, seconds, results), daemon=True),
    }
    for process in processes.values():
        process.start()
    by = time.monotonic() + seconds + ROUND_PATIENCE_SECONDS
    # Outcomes are read as they come, since a process cannot end before its own has gone through the pipe.
    while len(outcomes) < len(processes) and time.monotonic() < by:
        alive = any(process.is_alive() for process in processes.values())
        most = max(most, memory(target["pid"]))
        try:
            outcomes.update([results.get(timeout=0.02)])
        except queue.Empty:
            if not alive:
                break
    for who, process in processes.items():
        if who not in outcomes:
            faults.append(f"the {who} {'did not end' if process.is_alive() else 'failed'}")
            process.kill()
        process.join()
    times, wrong = outcomes.get("good client", ([], []))
    return Round(outcomes.get("attacker", {}), times, faults + wrong, before, most,
                 cpu_seconds(target["pid"]) - used)


def print_row(name, outcome, control):
    report, p99 = outcome.report, milliseconds(outcome.times, 0.99)
    quiet = milliseconds(control.times, 0.99)
    print(f"{name:14} {report.get('sent', 0):9} {report.get('connections', 0):6} {report.get('ended', 0):6} "
          f"{report.get('longest', 0):7.2f}s {outcome.before / MIB:7.1f} +{(outcome.most - outcome.before) / MIB:5.1f} "
          f"{control.cpu_seconds:6.2f} {outcome.cpu_seconds:6.2f} {len(outcome.times):5} "
          f"{milliseconds(outcome.times, 0.5):7.2f} {quiet:7.2f} {p99:7.2f} {p99 / quiet:6.2f}x", flush=True)


def run(target, seconds, only):
    core = max(os.sched_getaffinity(0))
    beside = target | {"port": target["sink"], "least_resets": 0}
    # A first round warms everything up.
    warm = round_of(target, beside, "pings", min(seconds, 2), core)
    if not warm.times:
        return [*warm.faults, "no good request was answered, so nothing else is tried"]
    print(f"{'':54} {'gateway, cpu s':>14} {'good requests: number, p50 ms, p99 ms':>37}\n"
          f"{'attack':14} {'sent':>9} {'conns':>6} {'ended':>6} {'longest':>8} {'memory MiB':>14} "
          f"{'contr.':>6} {'attack':>6} {'':5} {'':7} {'contr.':>7} {'attack':>7} {'ratio':>7}")
    faults = []
    for attack, must_end, compared in attacks.ATTACKS:
        name = attack.__name__
        if only and name != only:
            continue
        control = round_of(target, target, compared.__name__, seconds, core) if compared \
            else round_of(target, beside, name, seconds, core)
        faults += [f"control of {name}: {fault}" for fault in control.faults]
        outcome = round_of(target, target, name, seconds, core)
        print_row(name, outcome, control)
        faults += [f"{name}: {fault}" for fault in outcome.faults]
        growth, report = (outcome.most - outcome.before) / MIB, outcome.report
        if growth > MOST_GROWTH_OF.get(name, MOST_GROWTH) / MIB:
            faults.append(f"{name}: memory grew by {growth:.1f} MiB")
        if must_end and report.get("ended", 0) == 0:
            faults.append(f"{name}: the gateway has ended none of its connections")
        if name == "rapid_reset" and report.get("sent", 0) < target["least_resets"]:
            faults.append(f"{name}: {report.get('sent', 0)} resets are too few")
    return faults


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=3.0, help="how long each attack lasts")
    arguments.add_argument("--binary", default=str(ROOT / "target/debug/tollgate"))
    arguments.add_argument("--only", help="one attack alone")
    arguments.add_argument("--tls", action="store_true", help="speak TLS, with ALPN and without verification")
    arguments.add_argument("--port", type=int, help="a gateway that runs already")
    arguments.add_argument("--pid", type=int, help="the process of that gateway")
    arguments.add_argument("--token", default=GOOD_TOKEN, help="a token that may look up at that gateway")
    options = arguments.parse_args()
    target = {"tls": options.tls, "small_buffers": False,
              "least_resets": LEAST_RESETS_TLS if options.tls else LEAST_RESETS}
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        if options.tls:
            make_certificate(directory)
        target["sink"] = free_port()
        attacked = multiprocessing.Process(target=sink, args=(target["sink"], options.tls, directory), daemon=True)
        attacked.start()
        try:
            if options.port:
                target |= {"port": options.port, "pid": options.pid,
                           "token": options.token, "good_token": options.token}
                return report_faults(run(target, options.seconds, options.only))
            return report_faults(run_with_gateway(target, options, directory))
        finally:
            attacked.kill()


@contextlib.contextmanager
def started_gateway(binary, directory):
    """A gateway that listens, with the configuration and the log of a directory; it ends with the block."""
    with open(directory / "log", "wb") as log:
        gateway = subprocess.Popen([binary, "run", "--config", str(directory / "tollgate.yaml")],
                                   stdout=subprocess.PIPE, stderr=log)
    try:
        if not gateway.stdout.readline():
            sys.exit(f"the gateway did not start: {(directory / 'log').read_text()}")
        yield gateway
    finally:
        gateway.kill()
        gateway.wait()


def run_with_gateway(target, options, directory):
    """The same against a gateway and backends that are started for it."""
    listen, admin, *behind = (free_port() for _ in range(4))
    configuration(directory, listen, admin, *behind, options.tls)
    backends = [multiprocessing.Process(target=backend, args=arguments, daemon=True)
                for arguments in zip(behind, (False, True))]
    for server in backends:
        server.start()
    try:
        with started_gateway(options.binary, directory) as gateway:
            target |= {"port": listen, "pid": gateway.pid, "token": HOSTILE_TOKEN, "good_token": GOOD_TOKEN}
            faults = run(target, options.seconds, options.only)
            if gateway.poll() is not None:
                faults.append(f"the gateway has ended with {gateway.returncode}")
            text = (directory / "log").read_text(errors="replace")
            if "panic" in text or HOSTILE_TOKEN in text or GOOD_TOKEN in text:
                faults.append("a panic or a token in the log")
            return faults
    finally:
        for server in backends:
            server.kill()


def report_faults(faults):
    for fault, times in list(collections.Counter(faults).items())[:50]:
        print(f"FAULT {fault}" + (f" ({times} times)" if times > 1 else ""))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

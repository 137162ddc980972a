#!/usr/bin/env python3
"""Floods of HTTP/2 against the program, while good clients are measured.

Asserts that the gateway's memory stays within 64 MiB of its level before each attack, that every
good request is answered with 200, and that the connections of attackers end. Times are printed and
not asserted, since attacker, gateway and good clients share a machine: the control is the same load
while a process burns the attacker's core against nothing.

    tests/hostile/run [--seconds 3] [--binary target/debug/tollgate] [--only NAME]
    tests/hostile/run --tls --port 8443 --pid 1234 --token TOKEN    # a gateway that runs already
"""

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import pathlib
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import attacks

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 1 << 20
# The aim is 32 MiB, which every attack keeps but one in some runs: what thousands of answers to a
# client that reads nothing leave behind in the allocator differs from run to run. A leak grows
# without end and is found all the same.
MOST_GROWTH = 64 * MIB
GOOD_CONNECTIONS = 8
GOOD_REQUESTS_A_SECOND = 160
LEAST_RESETS = 200_000
# How long one good answer may take before it counts as none.
GOOD_PATIENCE_SECONDS = 10
ANSWER = b'{"result":{"number":"1","phone_type":"Mobile","confidence":"Verified","filler":"' + b"a" * 60_000 + b'"}}'
SMALL = b'{"result":{"number":"1","phone_type":"Mobile","confidence":"Verified"}}'
HOSTILE_TOKEN, GOOD_TOKEN = "hostile-token", "good-token"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def backend(port):
    """A backend for both: long answers for the hostile path, short ones for good clients."""
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


def configuration(directory, listen, admin, behind):
    tokens = "".join(
        f'  {name}:\n    rate: {{ limit: 10_000_000/s, burst: 10000000 }}\n'
        f'    tokens: [{{ name: {name}, hash: "sha256:{hashlib.sha256(name.encode()).hexdigest()}", products: [phone] }}]\n'
        for name in (HOSTILE_TOKEN, GOOD_TOKEN))
    (directory / "tollgate.yaml").write_text(
        f"listen: 127.0.0.1:{listen}\nadmin: 127.0.0.1:{admin}\nh2c: true\nworkers: 2\n"
        "public_url: https://api.example.com\n"
        "limits: { head_timeout: 2s, body_timeout: 2s, write_timeout: 2s, idle_timeout: 2s }\n"
        # A backend in Python that is starved of its core is not to be taken for a broken one.
        f"upstreams:\n  lookup: {{ servers: [127.0.0.1:{behind}], ejection: {{ failures: 0 }} }}\n"
        "products:\n  phone:\n    upstream: lookup\n"
        "    routes: [POST /phone/validate/v2, POST /phone/validation/v2]\n"
        "    token_headers: [Auth-Token]\n    body: { max: 16KiB, schema: phone.schema.json }\n"
        f"accounts:\n{tokens}")
    (directory / "phone.schema.json").write_text((ROOT / "config/phone.schema.json").read_text())


def good_load(target, seconds, results):
    """Lookups at a steady pace over connections that live on: their times, and what went wrong."""
    request = (b"POST /phone/validation/v2 HTTP/1.1\r\nHost: api.example.com\r\nAuth-Token: %b\r\n"
               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
               % (target["good_token"].encode(), len(attacks.BODY), attacks.BODY))
    times, wrong = [], []

    async def client(number):
        context = None
        if target["tls"]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["http/1.1"])
        pace = GOOD_CONNECTIONS / GOOD_REQUESTS_A_SECOND
        reader, writer = await asyncio.open_connection("127.0.0.1", target["port"], ssl=context)
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
        writer.close()

    async def main():
        for outcome in await asyncio.gather(*map(client, range(GOOD_CONNECTIONS)), return_exceptions=True):
            if outcome is not None:
                wrong.append(repr(outcome))

    asyncio.run(main())
    results.put((sorted(times), wrong))


def attack_process(target, name, seconds, core, results):
    os.sched_setaffinity(0, {core})
    attacker = attacks.Attacker(target, time.monotonic() + seconds)
    if name is None:
        while attacker.running():
            pass
    else:
        getattr(attacks, name)(attacker)
    results.put(attacker.tally.report())


def memory(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def milliseconds(times, share):
    return 1000 * times[min(len(times) - 1, int(len(times) * share))] if times else float("nan")


def round_of(target, name, seconds, core):
    """One attack, or the control: what the attacker did, good times, faults, and memory."""
    hostile, good = multiprocessing.Queue(), multiprocessing.Queue()
    before = most = memory(target["pid"])
    attacker = multiprocessing.Process(target=attack_process, args=(target, name, seconds, core, hostile))
    client = multiprocessing.Process(target=good_load, args=(target, seconds, good))
    attacker.start()
    client.start()
    while attacker.is_alive() or client.is_alive():
        most = max(most, memory(target["pid"]))
        time.sleep(0.02)
    faults = [] if attacker.exitcode == 0 else ["the attacker failed"]
    report = hostile.get(timeout=10) if attacker.exitcode == 0 else {}
    times, wrong = good.get(timeout=10) if client.exitcode == 0 else ([], ["the good client failed"])
    return report, times, faults + wrong, before, most


def run(target, seconds, only):
    core = max(os.sched_getaffinity(0))
    # A first round warms everything up; the second is what the others are compared with.
    round_of(target, None, min(seconds, 2), core)
    _, times, faults, _, _ = round_of(target, None, seconds, core)
    control = milliseconds(times, 0.99)
    print(f"{'attack':14} {'sent':>9} {'conns':>6} {'ended':>6} {'longest':>8} {'memory MiB':>16} "
          f"{'good':>5} {'p50 ms':>7} {'p99 ms':>7} {'to control':>10}")
    print(f"{'(control)':14} {'':48} {len(times):5} {milliseconds(times, 0.5):7.2f} {control:7.2f}")
    faults = [f"control: {fault}" for fault in faults]
    for attack, must_end in attacks.ATTACKS:
        name = attack.__name__
        if only and name != only:
            continue
        report, times, wrong, before, most = round_of(target, name, seconds, core)
        p99 = milliseconds(times, 0.99)
        print(f"{name:14} {report.get('sent', 0):9} {report.get('connections', 0):6} {report.get('ended', 0):6} "
              f"{report.get('longest', 0):7.2f}s {before / MIB:7.1f} +{(most - before) / MIB:5.1f}   "
              f"{len(times):5} {milliseconds(times, 0.5):7.2f} {p99:7.2f} {p99 / control:9.2f}x", flush=True)
        faults += [f"{name}: {fault}" for fault in wrong]
        if most - before > MOST_GROWTH:
            faults.append(f"{name}: memory grew by {(most - before) / MIB:.1f} MiB")
        if must_end and report.get("ended", 0) == 0:
            faults.append(f"{name}: the gateway has ended none of its connections")
        if name == "rapid_reset" and report.get("sent", 0) < LEAST_RESETS:
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
    target = {"tls": options.tls, "small_buffers": False, "least_resets": LEAST_RESETS}
    if options.port:
        target |= {"port": options.port, "pid": options.pid, "token": options.token, "good_token": options.token}
        return report_faults(run(target, options.seconds, options.only))
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        listen, admin, behind = free_port(), free_port(), free_port()
        configuration(directory, listen, admin, behind)
        server = multiprocessing.Process(target=backend, args=(behind,), daemon=True)
        server.start()
        with open(directory / "log", "wb") as log:
            gateway = subprocess.Popen([options.binary, "run", "--config", str(directory / "tollgate.yaml")],
                                       stdout=subprocess.PIPE, stderr=log)
            try:
                if not gateway.stdout.readline():
                    sys.exit(f"the gateway did not start: {(directory / 'log').read_text()}")
                target |= {"port": listen, "pid": gateway.pid, "token": HOSTILE_TOKEN, "good_token": GOOD_TOKEN}
                faults = run(target, options.seconds, options.only)
                if gateway.poll() is not None:
                    faults.append(f"the gateway has ended with {gateway.returncode}")
                text = (directory / "log").read_text(errors="replace")
                if "panic" in text or HOSTILE_TOKEN in text or GOOD_TOKEN in text:
                    faults.append("a panic or a token in the log")
            finally:
                gateway.kill()
                gateway.wait()
                server.kill()
    return report_faults(faults)


def report_faults(faults):
    for fault in faults[:50]:
        print(f"FAULT {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

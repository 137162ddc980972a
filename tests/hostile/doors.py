#!/usr/bin/env python3
"""Attacks before the first request, and some behind it that need no HTTP/2, while good clients are measured.

  proxy_silent, proxy_drip, proxy_garbage   connections to a listener of the PROXY protocol that state nobody
  hellos, half_handshakes                   ClientHellos without end, over one listener of TLS
  patterns                                  bodies whose names are long, for a schema of hostile patterns
  upgrade                                   an upgrade while requests, half requests and silent connections are under way
  timing                                    how long answers to tokens take, by what the gateway knows of them

Each is compared with the same good clients without it. Memory may grow by 64 MiB, every good request has to be
answered with 200, and times must not tell a token whose digest is near a known one from any other unknown one.
Times are printed and not asserted, since everybody shares a machine.

    tests/hostile/run doors [--seconds 3] [--tries 3000] [--only NAME] [--binary target/debug/tollgate]
"""

import argparse
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import pathlib
import queue
import random
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

import floods
from floods import MIB, MOST_GROWTH, cpu_seconds, free_port, memory, milliseconds

GOOD, HOSTILE, DISABLED = "good-token", "hostile-token", "disabled-token"
PLAIN_BODY = b'{"number":"+44 7400 123456"}'
# Connections that an attack holds at a time.
HELD = 400
GOOD_CONNECTIONS, GOOD_REQUESTS_A_SECOND, PATIENCE = 8, 200, 10
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# How far the chance that one time is longer than the other may be from one half.
MOST_EFFECT = 0.03
# Schemas that engines which go back would never end with. Here they are refused or linear.
PATTERNS = ["^(a|a)*$", "^(a+)+$", "(x+x+)+y", "^([a-z]{1,60}){1,3}$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$",
            "[a-z]{1,100}(b[a-z]{1,100})?$", "^(.*a){12}"]


def digest(token):
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def configuration(directory, ports):
    floods.make_certificate(directory)
    tokens = "".join(
        f"  {name}:\n    rate: {{ limit: 10_000_000/s, burst: 10000000 }}\n    tokens: [{{ name: {name}, hash: "
        f'"{digest(name)}", products: [phone, wide]{", disabled: true" if name == DISABLED else ""} }}]\n'
        for name in (GOOD, HOSTILE, DISABLED))
    certificate = "certificates: [{ certificate: cert.pem, key: key.pem }]"
    schema = {"type": "object", "patternProperties": {pattern: {"patternProperties": {
        other: {"type": ["object", "integer"]} for other in PATTERNS}} for pattern in PATTERNS}}
    (directory / "wide.json").write_text(json.dumps(schema))
    (directory / "tollgate.yaml").write_text(
        f"listeners:\n  - address: 127.0.0.1:{ports['plain']}\n  - {{ address: 127.0.0.1:{ports['proxy']}, "
        f"proxy_protocol: {{ from: [127.0.0.1] }} }}\n  - {{ address: 127.0.0.1:{ports['tls']}, tls: {{ {certificate} }} }}\n"
        f"admin: 127.0.0.1:{ports['admin']}\nworkers: 2\npublic_url: https://api.example.com\n"
        "limits: { head_timeout: 2s, body_timeout: 2s, write_timeout: 2s, idle_timeout: 2s, handshake_timeout: 2s }\n"
        "grace: 5s\n"
        f"upstreams: {{ lookup: {{ servers: [127.0.0.1:{ports['backend']}], ejection: {{ failures: 0 }} }} }}\n"
        "products:\n" + floods.product("phone", "lookup", "/phone/validation/v2").replace(
            "schema: phone.schema.json", "schema: { type: object }") +
        floods.product("wide", "lookup", "/wide/validation/").replace("phone.schema.json", "wide.json") +
        f"accounts:\n{tokens}")


def request(token, path="/phone/validation/v2", body=PLAIN_BODY, more=""):
    return (f"POST {path} HTTP/1.1\r\nHost: a\r\nAuth-Token: {token}\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def connect(port, timeout=PATIENCE):
    sock = socket.create_connection(("127.0.0.1", port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_answer(sock):
    """The status of an answer, and whether the connection lives on; `None` where it ended before one."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1 << 16)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        piece = sock.recv(1 << 16)
        if not piece:
            return None
        body += piece
    return int(head[9:12]), b"connection: close" not in head.lower()


def good_client(port, seconds, number, results):
    """Requests at a pace over a connection that is made anew when the gateway says so, as clients do."""
    times, wrong, sock = [], [], None
    pace = GOOD_CONNECTIONS / GOOD_REQUESTS_A_SECOND
    begun = time.monotonic() + pace * number / GOOD_CONNECTIONS
    for turn in range(int(seconds / pace)):
        time.sleep(max(0.0, begun + turn * pace - time.monotonic()))
        sent = time.monotonic()
        try:
            fresh = sock is None
            sock = sock or connect(port)
            sock.sendall(request(GOOD))
            answer = read_answer(sock)
            # An idle connection may end at the very moment of a request, which nobody has seen then.
            if answer is None and not fresh:
                sock = connect(port)
                sock.sendall(request(GOOD))
                answer = read_answer(sock)
        except OSError as error:
            answer = (repr(error), False)
        times.append(time.monotonic() - sent)
        if answer is None or answer[0] != 200:
            wrong.append(f"a good request got {answer and answer[0]}")
        if answer is None or not answer[1]:
            sock = None
    results.put(("good", (times, wrong)))


def as_usual():
    """A part of the gateway gets its share of the machine, whoever starts it."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Doer:
    """What an attack has done."""

    def __init__(self, ports, until):
        self.ports, self.until = ports, until
        self.sent = self.ended = self.longest = 0

    def running(self):
        return time.monotonic() < self.until


def held(doer, port, begin, go_on):
    """Connections that are held, as many as there may be, and opened anew when the gateway ends them."""
    socks = []
    while doer.running():
        while len(socks) < HELD and doer.running():
            try:
                sock = connect(port, 1)
                sock.sendall(begin())
                sock.setblocking(False)
                socks.append((sock, time.monotonic()))
                doer.sent += 1
            except OSError:
                break
        for entry in list(socks):
            sock, opened = entry
            try:
                go_on(sock)
                gone = not sock.recv(4096)
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if gone:
                doer.ended += 1
                doer.longest = max(doer.longest, time.monotonic() - opened)
                sock.close()
                socks.remove(entry)
        time.sleep(0.02)


def proxy_silent(doer):
    held(doer, doer.ports["proxy"], lambda: b"", lambda sock: None)


def proxy_drip(doer):
    """A header that announces all that it may, and comes byte by byte."""
    begin = SIGNATURE + b"\x21\x11" + struct.pack(">H", 4096)
    held(doer, doer.ports["proxy"], lambda: begin, lambda sock: sock.send(b"\0"))


def proxy_garbage(doer):
    """Headers of every wrong kind, one connection after the other."""
    kinds = itertools.cycle([b"PROXY TCP4 1.2.3.4\r\n", b"GET / HTTP/1.1\r\n\r\n", SIGNATURE + b"\x21\x11\xff\xff",
                             b"PROXY " + b"A" * 200, b"\x16\x03\x01" + b"\0" * 40, SIGNATURE + b"\x2f\xff\0\0"])
    while doer.running():
        try:
            sock = connect(doer.ports["proxy"], 1)
            sock.sendall(next(kinds))
            doer.sent += 1
            doer.ended += sock.recv(16) == b""
            sock.close()
        except OSError:
            doer.ended += 1


def client_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def hellos(doer):
    """The gateway's whole part of a handshake, a signature included, for 500 bytes and a hang-up."""
    hello = client_hello()
    while doer.running():
        try:
            sock = connect(doer.ports["tls"], 1)
            sock.sendall(hello)
            sock.recv(4096)
            doer.sent += 1
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        except OSError:
            doer.ended += 1


def half_handshakes(doer):
    hello = client_hello()
    held(doer, doer.ports["tls"], lambda: hello, lambda sock: None)


def patterns(doer):
    """Whole bodies of names that the patterns match for long, each in an object of its own."""
    random.seed(7)
    names = ["a" * 60 + "!", "xx" * 40, "ab" * 30, "a" * 90, "Aa" * 20 + "1"]
    members = {f"{random.choice(names)}{number}": {name: number for name in names} for number in range(30)}
    body = json.dumps(members, separators=(",", ":")).encode()[:16 * 1024]
    sock = None
    while doer.running():
        try:
            sock = sock or connect(doer.ports["plain"])
            sock.sendall(request(HOSTILE, "/wide/validation/", body))
            answer = read_answer(sock)
            doer.sent += 1
            doer.ended += answer is not None and answer[0] == 400
            sock = sock if answer and answer[1] else None
        except OSError:
            sock = None


def upgrade(doer):
    """Silent connections, halves of requests and handshakes, while the gateway is followed by its successor."""
    hello, kinds = client_hello(), itertools.cycle(["plain", "half", "tls", "proxy"])
    begins = {"plain": (b"", "plain"), "half": (request(HOSTILE)[:-5], "plain"), "tls": (hello, "tls"),
              "proxy": (SIGNATURE, "proxy")}
    socks, asked, half = [], None, (time.monotonic() + doer.until) / 2
    while doer.running():
        if len(socks) < HELD:
            begin, name = begins[next(kinds)]
            try:
                sock = connect(doer.ports[name], 1)
                sock.sendall(begin)
                socks.append(sock)
                doer.sent += 1
            except OSError:
                pass
        if asked is None and (len(socks) >= HELD / 2 or time.monotonic() > half):
            asked = subprocess.Popen([doer.ports["binary"], "upgrade", "--config", doer.ports["config"]],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=as_usual)
        time.sleep(0.001)
    if asked is None or asked.wait(2 * PATIENCE) != 0:
        raise RuntimeError(f"the upgrade failed: {asked and asked.stderr.read().decode()}")
    doer.ended = 1


ATTACKS = [proxy_silent, proxy_drip, proxy_garbage, hellos, half_handshakes, patterns, upgrade]


def attack_process(name, ports, seconds, results):
    floods.elsewhere()
    doer = Doer(ports, time.monotonic() + seconds)
    try:
        globals()[name](doer)
    except Exception as error:  # What an attack dies of is a fault of the round.
        results.put(("fault", f"the attacker failed: {error!r}"))
    results.put(("attack", (doer.sent, doer.ended, doer.longest)))


def members(directory):
    """The gateway and its successors: whoever runs with this configuration."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except (OSError, NotADirectoryError):
            continue
        if process.name.isdigit() and str(directory / "tollgate.yaml").encode() in words and b"run" in words:
            found.append(int(process.name))
    return found


def most_memory(directory):
    total = 0
    for pid in members(directory):
        try:
            total = max(total, memory(pid))
        except (OSError, IndexError):
            pass
    return total


def round_of(name, ports, directory, seconds):
    """Good clients, beside an attack or not: its outcome, times, faults, memory before and at most."""
    results = multiprocessing.Queue()
    port = ports["plain"]
    processes = [multiprocessing.Process(target=good_client, args=(port, seconds, number, results), daemon=True)
                 for number in range(GOOD_CONNECTIONS)]
    if name:
        processes.append(multiprocessing.Process(target=attack_process, args=(name, ports, seconds, results), daemon=True))
    before = most = most_memory(directory)
    for process in processes:
        process.start()
    attack, times, faults, left = (0, 0, 0.0), [], [], len(processes)
    by = time.monotonic() + seconds + 30
    while left and time.monotonic() < by:
        most = max(most, most_memory(directory))
        try:
            kind, told = results.get(timeout=0.05)
        except queue.Empty:
            continue
        if kind == "fault":
            faults.append(told)
            continue
        if kind == "attack" and told[0] == 0:
            faults.append("nothing was sent")
        left -= 1
        if kind == "attack":
            attack = told
        else:
            times += told[0]
            faults += told[1]
    if left:
        faults.append(f"{left} of the clients did not end")
    for process in processes:
        process.kill()
    return attack, sorted(times), faults, before, most


def near(known):
    """A token that is not known, whose digest begins with the two bytes of one that is."""
    begin = hashlib.sha256(known.encode()).digest()[:2]
    for number in itertools.count():
        token = f"unknown-{number:016d}"
        if hashlib.sha256(token.encode()).digest()[:2] == begin:
            return token


def effect(one, other):
    """The chance that a time of the one is longer than one of the other, and the p of the test by Mann and Whitney
    that it is one half (ties counted half, by the normal distribution)."""
    tagged = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks, at, ties = 0.0, 0, 0.0
    while at < len(tagged):
        end = at
        while end < len(tagged) and tagged[end][0] == tagged[at][0]:
            end += 1
        ranks += (at + 1 + end) / 2 * sum(1 for entry in tagged[at:end] if entry[1] == 0)
        ties += (end - at) ** 3 - (end - at)
        at = end
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    whole = n + m
    deviation = math.sqrt(n * m / 12 * (whole + 1 - ties / (whole * (whole - 1))))
    return u / (n * m), math.erfc(abs(u - n * m / 2) / deviation / math.sqrt(2))


def timing(ports, tries):
    """Times of answers by what is known of the token, in an order of chance over one connection."""
    base = f"unknown-{0:016d}"
    kinds = {
        "unknown": itertools.cycle([base]),
        "unknown, other each time": (f"unknown-{number:016d}" for number in itertools.count(1 << 40)),
        "unknown, near a known digest": itertools.cycle([near(GOOD)]),
        "unknown, near a disabled digest": itertools.cycle([near(DISABLED)]),
        "disabled": itertools.cycle([DISABLED]),
        "known, refused behind its token": itertools.cycle([GOOD]),
    }
    statuses = {"disabled": 403, "known, refused behind its token": 415}
    # One that was never asked for before is in no cache, the client's own included, whatever the gateway knows.
    told = {*statuses, "unknown, other each time"}
    times = {kind: [] for kind in kinds}
    order = [kind for kind in kinds for _ in range(tries // len(kinds) + 1)]
    random.shuffle(order)
    sock, faults = None, []
    for kind in order:
        token = next(kinds[kind])
        text = request(token).replace(b"application/json", b"application/text")
        while True:
            sock = sock or connect(ports["plain"])
            sent = time.perf_counter_ns()
            sock.sendall(text)
            answer = read_answer(sock)
            taken = time.perf_counter_ns() - sent
            if answer:
                break
            sock = None
        if answer[0] != statuses.get(kind, 401):
            faults.append(f"timing: {kind} got {answer[0]}")
        times[kind].append(taken)
        sock = sock if answer[1] else None
    print(f"\n{len(order)} tokens: time of an answer against that of an unknown token"
          f"\n{'kind':34} {'p50 us':>8} {'p90 us':>8} {'chance':>7} {'p':>9}")
    for kind, found in times.items():
        found_sorted = sorted(found)
        chance, p = effect(found, times["unknown"])
        print(f"{kind:34} {found_sorted[len(found) // 2] / 1000:8.1f} {found_sorted[len(found) * 9 // 10] / 1000:8.1f} "
              f"{chance:7.3f} {p:9.2g}", flush=True)
        # Fewer tries tell less: three standard deviations of chance are let pass.
        most = MOST_EFFECT + 3 / math.sqrt(6 * len(found))
        if kind not in told and abs(chance - 0.5) > most:
            faults.append(f"timing: {kind} can be told from any other unknown token ({chance:.3f})")
    return faults


def run(options, directory):
    ports = {name: free_port() for name in ("plain", "proxy", "tls", "admin", "backend")}
    ports |= {"binary": options.binary, "config": str(directory / "tollgate.yaml")}
    configuration(directory, ports)
    backend = multiprocessing.Process(target=floods.backend, args=(ports["backend"], False), daemon=True)
    backend.start()
    with open(directory / "log", "wb") as log:
        gateway = subprocess.Popen([options.binary, "run", "--config", ports["config"]], stdout=subprocess.PIPE, stderr=log)
    faults = []
    try:
        if not gateway.stdout.readline():
            sys.exit(f"the gateway did not start: {(directory / 'log').read_text()}")
        round_of(None, ports, directory, 1)
        if not options.only or options.only != "timing":
            print(f"{'attack':16} {'sent':>8} {'ended':>7} {'longest':>8} {'memory MiB':>14} {'good':>5} {'p50 ms':>7} "
                  f"{'p99 ms, without':>15} {'with':>8} {'ratio':>6}")
        for attack in ATTACKS:
            name = attack.__name__
            if options.only and options.only != name:
                continue
            _, quiet, wrong, _, _ = round_of(None, ports, directory, options.seconds)
            faults += [f"without {name}: {fault}" for fault in wrong]
            (sent, ended, longest), times, wrong, before, most = round_of(name, ports, directory, options.seconds)
            faults += [f"{name}: {fault}" for fault in wrong]
            p99, without = milliseconds(times, 0.99), milliseconds(quiet, 0.99)
            print(f"{name:16} {sent:8} {ended:7} {longest:7.2f}s {before / MIB:7.1f} +{(most - before) / MIB:5.1f} {len(times):5} "
                  f"{milliseconds(times, 0.5):7.2f} {without:15.2f} {p99:8.2f} {p99 / without:5.2f}x", flush=True)
            if most - before > MOST_GROWTH:
                faults.append(f"{name}: memory grew by {(most - before) / MIB:.1f} MiB")
        if not options.only or options.only == "timing":
            faults += timing(ports, options.tries)
        text = (directory / "log").read_text(errors="replace")
        if "panic" in text or any(token in text for token in (GOOD + '"', "unknown-0")):
            faults.append("a panic or a token in the log")
        if not members(directory):
            faults.append("nobody serves any more")
        return faults
    finally:
        for pid in members(directory):
            os.kill(pid, 9)
        gateway.wait()
        backend.kill()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=3.0, help="how long each attack lasts")
    arguments.add_argument("--tries", type=int, default=3000, help="tokens whose answers are timed")
    arguments.add_argument("--only", help="one attack alone, or timing")
    arguments.add_argument("--binary", default=str(floods.ROOT / "target/debug/tollgate"))
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return floods.report_faults(run(options, pathlib.Path(name)))


if __name__ == "__main__":
    sys.exit(main())

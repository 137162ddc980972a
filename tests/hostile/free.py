#!/usr/bin/env python3
"""Answers for nothing: clients that read what an answer costs, or a part of it, and give it up.

Each try asks for a lookup that costs a credit and leaves at a moment of its kind. When all have been made, the
account must have been charged for every 200 of which a byte was seen, and for each once. Exits with 1 otherwise. On a
machine that is very busy some lookups are refused, which costs nothing: they are not among those that were seen.

    tests/hostile/run free [--tries 2000] [--binary target/debug/tollgate]
"""

import argparse
import hashlib
import json
import multiprocessing
import pathlib
import socket
import struct
import sys
import tempfile
import time
import urllib.request

import hpack

import attacks
import floods
from attacks import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame

TOKEN = "paying-token"
# Lookups that are asked for at a time, and on one connection: one that gives up more than 256 is ended.
BATCH, A_CONNECTION = 50, 200
PATIENCE_SECONDS = 20
# Lookups that are asked for at most, for each try: where nearly all are refused, it ends.
MOST_ASKED = 4
# The line `:status: 200` by its place in the static table (RFC 7541, appendix A), with which a head begins.
STATUS_200 = 0x88


class Frames:
    """A connection of HTTP/2 whose streams have no window."""

    def __init__(self, target):
        self.sock = connect(target, "h2")
        self.input = b""
        window = struct.pack(">HI", 4, 0)
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, window))

    def until(self, kinds, count):
        """Reads until so many frames of some kinds have come; how many of them are the head of a 200."""
        priced = 0
        while count:
            while len(self.input) < 9 or len(self.input) < 9 + int.from_bytes(self.input[:3], "big"):
                piece = self.sock.recv(1 << 16)
                if not piece:
                    raise OSError("the gateway has ended the connection")
                self.input += piece
            length = 9 + int.from_bytes(self.input[:3], "big")
            count -= self.input[3] in kinds
            priced += self.input[3] == HEADERS and self.input[9] == STATUS_200
            self.input = self.input[length:]
        return priced


def connect(target, protocol):
    sock = socket.create_connection(("127.0.0.1", target["tls" if target["over_tls"] else "clear"]), PATIENCE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if target["over_tls"]:
        sock = attacks.client_context(protocol).wrap_socket(sock, server_hostname="localhost")
    return sock


def over_http2(target, tries, leave):
    """Asks for lookups, waits for their heads, and leaves them by `leave`; how many heads were seen."""
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/phone/validation/v2"),
            ("auth-token", TOKEN), ("content-type", "application/json"), ("content-length", str(len(attacks.BODY)))]
    block = hpack.Encoder().encode([(*line, True) for line in head])
    seen = asked = 0
    while seen < tries and asked < MOST_ASKED * tries:
        frames = Frames(target)
        for first in range(1, 2 * A_CONNECTION, 2 * BATCH):
            streams = range(first, first + 2 * BATCH, 2)
            frames.sock.sendall(b"".join(
                frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, attacks.BODY) for s in streams))
            asked += BATCH
            seen += frames.until({HEADERS}, BATCH)
            leave(frames, streams)
            if frames.sock is None or seen >= tries:
                break
        if frames.sock:
            frames.sock.close()
    return seen


def resets(streams):
    return b"".join(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)) for stream in streams)


def head_alone(frames, streams):
    frames.sock.sendall(resets(streams))


def all_but_a_byte(frames, streams):
    grant = struct.pack(">I", len(floods.SMALL) - 1)
    frames.sock.sendall(b"".join(frame(WINDOW_UPDATE, 0, stream, grant) for stream in streams))
    # On a machine that is very busy the gateway may have waited for the windows for too long.
    frames.until({DATA, RST_STREAM}, BATCH)
    frames.sock.sendall(resets(streams))


def hang_up(frames, _streams):
    frames.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    frames.sock.close()
    frames.sock = None


def half_close(frames, _streams):
    frames.sock.shutdown(socket.SHUT_WR)
    try:
        while frames.sock.recv(1 << 16):
            pass
    except OSError:
        pass  # TLS minds an end without a goodbye.
    frames.sock.close()
    frames.sock = None


def over_http1(target, tries, version):
    """Takes the first byte of each answer and resets the connection; how many of the answers were 200."""
    request = (b"POST /phone/validation/v2 HTTP/%b\r\nHost: a\r\nAuth-Token: %b\r\nContent-Type: application/json\r\n"
               b"Content-Length: %d\r\n\r\n%b" % (version, TOKEN.encode(), len(attacks.BODY), attacks.BODY))
    seen = asked = 0
    while seen < tries and asked < MOST_ASKED * tries:
        asked += 1
        sock = connect(target, "http/1.1")
        sock.sendall(request)
        # What follows the first byte has left the gateway with it, and tells only whether there was a price.
        answer = sock.recv(1)
        while answer and len(answer) < len(b"HTTP/1.1 200"):
            answer += sock.recv(1)
        seen += answer.endswith(b" 200")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    return seen


# Each with the part of the tries that it makes: connections of their own are dear.
KINDS = [
    ("head, then RST_STREAM", 1, lambda target, tries: over_http2(target, tries, head_alone)),
    ("all but a byte, then RST_STREAM", 1, lambda target, tries: over_http2(target, tries, all_but_a_byte)),
    ("head, then a reset of TCP", 1, lambda target, tries: over_http2(target, tries, hang_up)),
    ("head, then a half-close", 1, lambda target, tries: over_http2(target, tries, half_close)),
    ("HTTP/1.1, a byte, then a reset", 0.1, lambda target, tries: over_http1(target, tries, b"1.1")),
    ("HTTP/1.0, a byte, then a reset", 0.1, lambda target, tries: over_http1(target, tries, b"1.0")),
]


def statement(target):
    with urllib.request.urlopen(f"http://127.0.0.1:{target['admin']}/accounts/acme/credits/phone") as answer:
        return json.load(answer)


def settled(target):
    """What is spent once nothing is held any more."""
    by = time.monotonic() + PATIENCE_SECONDS
    while (told := statement(target))["held"] and time.monotonic() < by:
        time.sleep(0.02)
    return told


def configuration(directory, target, backend):
    prices = (floods.ROOT / "config/gateway.yaml").read_text()
    prices = prices[prices.index("    credits:\n      hold:"):]
    prices = prices[:prices.index("    # How long browsers")]
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    (directory / "tollgate.yaml").write_text(
        f"listeners:\n  - {{ address: 127.0.0.1:{target['clear']}, h2c: true }}\n"
        f"  - address: 127.0.0.1:{target['tls']}\n"
        "    tls: { certificates: [{ certificate: cert.pem, key: key.pem }] }\n"
        f"admin: 127.0.0.1:{target['admin']}\nworkers: 2\npublic_url: https://api.example.com\n"
        "ledger: { volatile: true }\n"
        f"upstreams:\n  lookup: {{ servers: [127.0.0.1:{backend}], ejection: {{ failures: 0 }} }}\nproducts:\n" +
        floods.product("phone", "lookup", "/phone/validation/v2") +
        prices + "accounts:\n  acme:\n    rate: { unlimited: true }\n    credits: { phone: 1000000000 }\n"
        f'    tokens: [{{ name: t, hash: "sha256:{digest}", products: [phone] }}]\n')
    (directory / "phone.schema.json").write_text((floods.ROOT / "config/phone.schema.json").read_text())


def run(target, tries):
    faults = []
    print(f"{'kind':34} {'TLS':5} {'seen':>8} {'charged':>8} {'free':>6} {'seconds':>8}")
    for over_tls in (False, True):
        for name, part, attack in KINDS:
            before, begun = statement(target)["spent"], time.monotonic()
            seen = attack(target | {"over_tls": over_tls}, max(BATCH, int(tries * part)))
            told = settled(target)
            charged = told["spent"] - before
            print(f"{name:34} {'yes' if over_tls else 'no':5} {seen:8} {charged:8} {max(0, seen - charged):6} "
                  f"{time.monotonic() - begun:8.1f}", flush=True)
            if charged != seen or told["held"]:
                faults.append(f"{name}, TLS {over_tls}: {seen} seen, {charged} charged, {told['held']} held")
            if told["granted"] != told["balance"] + told["held"] + told["spent"]:
                faults.append(f"{name}: the books do not add up: {told}")
    return faults


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tries", type=int, default=2000, help="tries of each kind over HTTP/2")
    arguments.add_argument("--binary", default=str(floods.ROOT / "target/debug/tollgate"))
    options = arguments.parse_args()
    target = {name: floods.free_port() for name in ("clear", "tls", "admin")}
    behind = floods.free_port()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        floods.make_certificate(directory)
        configuration(directory, target, behind)
        backend = multiprocessing.Process(target=floods.backend, args=(behind, False), daemon=True)
        backend.start()
        try:
            with floods.started_gateway(options.binary, directory):
                return floods.report_faults(run(target, options.tries))
        finally:
            backend.kill()


if __name__ == "__main__":
    sys.exit(main())

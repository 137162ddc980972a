#!/usr/bin/env python3
"""What the times of the Self Service Portal tell about who is a user: guesses of passwords, links to sign in, and links for
a new password, for users and for addresses that are nobody's, in an order of chance.

A user with a password, one without, one who is disabled, and nobody have to be answered alike: the chance that one
time is longer than another's may be off one half by little. The answers themselves are compared by tests of the portal.

    tests/hostile/run people [--tries 1000] [--binary target/debug/tollgate]
"""

import argparse
import contextlib
import http.client
import itertools
import math
import pathlib
import random
import re
import socketserver
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import doors
from floods import free_port

PASSWORD = "four plain words here"
# Guesses of one user, and messages to one address, before the limits refuse.
GUESSES, MESSAGES = 9, 2
KINDS = ("a user", "without a password", "disabled", "nobody")


class Mailbox(socketserver.StreamRequestHandler):
    """Takes every message, and keeps none."""

    def handle(self):
        self.wfile.write(b"220 here\r\n")
        in_data = False
        # The gateway is killed at the end.
        with contextlib.suppress(ConnectionError):
            for line in self.rfile:
                if in_data and line != b".\r\n":
                    continue
                in_data = line.upper().startswith(b"DATA")
                said = b"354 go on" if in_data else b"221 bye" if line.startswith(b"QUIT") else b"250 good"
                self.wfile.write(said + b"\r\n")


def configure(directory, ports):
    (directory / "gateway.yaml").write_text(
        f"listeners: [{{ address: 127.0.0.1:{ports['plain']} }}]\nadmin: 127.0.0.1:{ports['admin']}\npublic_url: https://api.example.com\n"
        "upstreams: { lookup: { servers: [127.0.0.1:9] } }\n"
        "products: { phone: { upstream: lookup, routes: [GET /phone], token_in: [bearer] } }\n"
        "store: { sqlite: store.db }\nledger: { volatile: true }\ntrusted_proxies: [127.0.0.1]\n"
        f"alerts: {{ mail: {{ server: 'smtp://127.0.0.1:{ports['mail']}', from: portal@example.com }} }}\n"
        f"portal: {{ listen: '127.0.0.1:{ports['portal']}' }}\n")


class Browser:
    """A connection to the portal; each request comes from another address of the network behind the proxy."""

    def __init__(self, port):
        self.port, self.connection = port, None
        self.addresses = (f"10.{a}.{b}.{c}" for a, b, c in itertools.product(range(256), range(256), range(1, 255)))

    def post(self, path, form):
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin",
                   "X-Forwarded-For": next(self.addresses)}
        body = urllib.parse.urlencode(form)
        for _ in range(2):
            self.connection = self.connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                begun = time.perf_counter_ns()
                self.connection.request("POST", path, body, headers)
                answer = self.connection.getresponse()
                answer.read()
                return answer.status, time.perf_counter_ns() - begun
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.connection = None
        raise SystemExit(f"{path} gets no answer")


def people(directory, binary, ports, count):
    """So many users of each kind: one is invited and chooses a password, the others have the same hash."""
    config = str(directory / "gateway.yaml")
    told = subprocess.run([binary, "portal", "invite", "--config", config, "--operator", "ann@example.com"],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    path = "/invitation/" + re.search(r"/invitation/([0-9a-f]{64})", told).group(1)
    status, _ = Browser(ports["portal"]).post(path, {"password": PASSWORD, "again": PASSWORD})
    if status != 303:
        sys.exit(f"the invitation was answered with {status}")
    database = sqlite3.connect(directory / "store.db", timeout=30)
    columns = [row[1] for row in database.execute("PRAGMA table_info(app_user)")]
    ann = dict(zip(columns, database.execute("SELECT * FROM app_user").fetchone()))
    emails = {kind: [] for kind in KINDS}
    with database:
        for number, kind in itertools.product(range(count), KINDS):
            email = f"{kind.replace(' ', '-')}-{number:06}@example.com"
            emails[kind].append(email)
            if kind == "nobody":
                continue
            row = ann | {"id": f"{KINDS.index(kind)}{number:031x}", "email": email, "operator": None,
                         "password": None if kind == "without a password" else ann["password"],
                         "state": "disabled" if kind == "disabled" else "active"}
            marks = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO app_user ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    database.close()
    return emails


def measure(name, browser, path, form, emails, tries, each, statuses):
    order = [kind for kind in KINDS for _ in range(tries)]
    random.shuffle(order)
    turns = {kind: itertools.chain.from_iterable(itertools.repeat(email, each) for email in found)
             for kind, found in emails.items()}
    times, faults = {kind: [] for kind in KINDS}, []
    for kind in order:
        status, taken = browser.post(path, form | {"email": next(turns[kind])})
        times[kind].append(taken)
        if status != statuses:
            faults.append(f"{name}: {kind} got {status}")
    for kind, found in times.items():
        found_sorted = sorted(found)
        chance, p = doors.effect(found, times["nobody"])
        print(f"{name:22} {kind:20} {found_sorted[len(found) // 2] / 1e6:8.2f} {found_sorted[len(found) * 9 // 10] / 1e6:8.2f} "
              f"{chance:7.3f} {p:9.2g}", flush=True)
        # Three standard deviations of chance, and a little, are let pass.
        if kind != "nobody" and abs(chance - 0.5) > doors.MOST_EFFECT + 3 / math.sqrt(6 * len(found)):
            faults.append(f"{name}: {kind} can be told from nobody ({chance:.3f})")
    return faults


def run(options, directory):
    ports = {name: free_port() for name in ("plain", "admin", "portal")}
    mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox)
    mail.daemon_threads = True
    threading.Thread(target=mail.serve_forever, daemon=True).start()
    ports["mail"] = mail.server_address[1]
    configure(directory, ports)
    with open(directory / "log", "wb") as log:
        gateway = subprocess.Popen([options.binary, "run", "--config", str(directory / "gateway.yaml")],
                                   stdout=subprocess.PIPE, stderr=log)
    try:
        if not gateway.stdout.readline():
            sys.exit(f"the gateway did not start: {(directory / 'log').read_text()}")
        emails = people(directory, options.binary, ports, options.tries // MESSAGES + 1)
        browser = Browser(ports["portal"])
        print(f"{options.tries} tries of each: the time of an answer against that for nobody\n"
              f"{'what':22} {'of':20} {'p50 ms':>8} {'p90 ms':>8} {'chance':>7} {'p':>9}")
        faults = measure("a wrong password", browser, "/sign-in", {"password": "not the right one"}, emails, options.tries,
                         GUESSES, 403)
        faults += measure("a link by mail", browser, "/sign-in/link", {}, emails, options.tries, MESSAGES, 200)
        # The limit of messages to an address is one for both kinds: one is left to each.
        faults += measure("a forgotten password", browser, "/sign-in/forgotten", {}, emails, options.tries // MESSAGES, 1, 200)
    finally:
        gateway.kill()
        gateway.wait()
        mail.shutdown()
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--binary", default="target/debug/tollgate")
    options = parser.parse_args()
    options.binary = str(pathlib.Path(options.binary).resolve())
    with tempfile.TemporaryDirectory() as directory:
        faults = run(options, pathlib.Path(directory))
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Counts the system calls of one request and compares them with what they may be.

They are most of what a request costs, and unlike times they can be compared on a busy machine. The program
runs with one worker; requests come one after the other over one kept connection, towards a backend that
keeps its own. Each request is told to the gateway and to the backend in one piece, so that two receives
and two sends are what a lookup needs, and one of each a refusal.

    tests/guards/syscalls.py [PROGRAM]
"""

import hashlib
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# What one request may call, which is what it calls today.
MOST = {
    "accepted": {"receive": 2, "send": 2, "wait": 2, "other": 0},
    "401": {"receive": 1, "send": 1, "wait": 1, "other": 0},
}
# Other threads have their turns by the clock, not by the request. Some calls are theirs alone, and of
# the others they may have a few meanwhile.
BY_THE_CLOCK = {"clock_nanosleep", "restart_syscall", "statx"}
MEANWHILE = 0.2
KINDS = {
    "receive": {"recvfrom", "recvmsg", "read", "readv"},
    "send": {"sendto", "sendmsg", "write", "writev"},
    "wait": {"epoll_wait", "epoll_pwait", "epoll_pwait2"},
}
WARM_UP = 100
REQUESTS = 2000
SECONDS = 10
BODY = b'{"number":"+44 7400 123456","cache_value_days":7}'
ANSWER = b'{"result":{"number":"1","phone_type":"Mobile","confidence":"Verified"}}'
CONFIGURATION = """
listen: 127.0.0.1:{port}
admin: 127.0.0.1:{admin}
workers: 1
public_url: https://api.example.com
upstreams:
  lookup: {{ servers: [127.0.0.1:{backend}] }}
products:
  phone:
    upstream: lookup
    routes: [POST /phone/validate/v2]
    token_headers: [Auth-Token]
    body: {{ schema: {schema} }}
accounts:
  acme:
    rate: {{ unlimited: true }}
    tokens: [{{ name: one, hash: "sha256:{digest}", products: [phone] }}]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def backend(listener):
    """Answers each request on each connection with the same lookup."""
    def serve(connection):
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
        data = b""
        while piece := connection.recv(65536):
            data += piece
            if data.endswith(BODY):
                connection.sendall(answer)
                data = b""

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def connect(port):
    for _ in range(SECONDS * 20):
        try:
            return socket.create_connection(("127.0.0.1", port), SECONDS)
        except OSError:
            time.sleep(0.05)
    sys.exit("the gateway does not listen")


def ask(connection, token, status, times):
    request = (b"POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com\r\nAuth-Token: %s\r\n"
               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (token, len(BODY), BODY))
    for _ in range(times):
        connection.sendall(request)
        answer = connection.recv(65536)
        # Every answer ends like this, and comes in one piece or is waited for.
        while answer and not answer.endswith(b"}}"):
            answer += connection.recv(65536)
        if not answer.startswith(b"HTTP/1.1 %d " % status):
            sys.exit(f"instead of {status}: {answer[:500]}")


def traced(pid, requests):
    """How often each system call was made while `requests` ran."""
    strace = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    said = strace.stderr.readline()
    if "attached" not in said:
        rest = said + strace.stderr.read()
        if "Operation not permitted" in rest:
            print("SKIPPED: this machine does not let one process trace another (ptrace)")
            sys.exit(0)
        sys.exit(f"strace: {rest}")
    # All threads are attached at once; the call that each is in at that moment is lost.
    time.sleep(0.3)
    requests()
    strace.send_signal(signal.SIGINT)
    table = strace.communicate(timeout=SECONDS)[1]
    return {name: int(calls) for calls, name in re.findall(r"^\s*(\d+)\s+([a-z0-9_]+)$", table, re.MULTILINE) if name != "total"}


def judge(name, calls):
    """Prints what was counted; whether it is as little as it was."""
    counted = dict.fromkeys([*KINDS, "other"], 0)
    for call, times in calls.items():
        if call in BY_THE_CLOCK:
            continue
        counted[next((kind for kind, calls in KINDS.items() if call in calls), "other")] += times
    fine = True
    for kind, times in counted.items():
        a_request, most = times / REQUESTS, MOST[name][kind]
        too_many = a_request > most + MEANWHILE
        fine &= not too_many
        print(f"{name:<9}{kind:<8}{a_request:8.3f} a request, at most {most}" + ("  TOO MANY" if too_many else ""))
    print(f"{'':<9}" + ", ".join(f"{call} {times}" for call, times in sorted(calls.items(), key=lambda item: -item[1])))
    return fine


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/tollgate"
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=backend, args=(listener,), daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        configuration = pathlib.Path(directory) / "gateway.yaml"
        configuration.write_text(CONFIGURATION.format(
            port=port, admin=free_port(), backend=listener.getsockname()[1],
            schema=ROOT / "config/phone.schema.json", digest=hashlib.sha256(b"one").hexdigest(),
        ))
        gateway = subprocess.Popen([program, "run", "--config", configuration], stdout=subprocess.DEVNULL)
        try:
            connection = connect(port)
            fine = True
            for name, token, status in (("accepted", b"one", 200), ("401", b"nobody", 401)):
                ask(connection, token, status, WARM_UP)
                fine &= judge(name, traced(gateway.pid, lambda: ask(connection, token, status, REQUESTS)))
        finally:
            gateway.terminate()
            gateway.wait(SECONDS)
    sys.exit(0 if fine else "more system calls than there were; lower them, or say in the guard why they are needed")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What it costs to see requests: CPU time a request, of the same lookup and of the same 401, with
everything off, as shipped, and with everything on, in one run.

Needs the release build, wrk and haproxy (as the backend: its answer costs next to nothing), and two
cores: each gateway has one, with all its threads, the load, the backend and the collector have the
other. Three gateways run side by side and only one of them has requests at a time. Rounds go through
them in turn; the figures are medians, and the ratios are those of single rounds.

    off      no traceparent, no access log, no spans (figures cannot be switched off)
    shipped  the defaults: figures and traceparent
    on       a line for each request in a file, figures by account and token, and spans of one request
             in a hundred to a collector (SPANS=1 for all)

    make bench-sight
"""

import http.server
import os
import pathlib
import statistics
import tempfile
import threading
import time

import rig
from rig import ROUNDS, SECONDS, cpu_ns, free_port, load, wait_for

SPANS = os.environ.get("SPANS", "0.01")
LOADS = {"lookup": "live", "401": "nobody"}


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A gateway that ends breaks its connection off."""


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans and forgets them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def seen(name, collector):
    """The part of the configuration that differs."""
    if name == "off":
        return "tracing: { traceparent: false }\n"
    if name == "shipped":
        return ""
    return (
        "metrics: { by_account: true, by_token: true }\naccess_log: { file: access.log }\n"
        f'tracing: {{ otlp: {{ endpoint: "http://127.0.0.1:{collector}", sample: {SPANS} }} }}\n'
    )


def configuration(directory, name, backend, listen, admin, collector):
    directory.mkdir()
    rig.configure(directory, backend, listen, admin, seen(name, collector) + rig.one_account())


def dropped(admin):
    """Lines and spans that were dropped so far."""
    return rig.counters(admin, "access_log_dropped", "otlp_dropped")


def measure(directory, gateways):
    figures = {load_name: {name: [] for name in gateways} for load_name in LOADS}
    names = list(gateways)
    for name, (_, listen, _) in gateways.items():
        load(directory, listen, "live")
    for round_number in range(ROUNDS):
        turn = round_number % len(names)
        for load_name, token in LOADS.items():
            for name in names[turn:] + names[:turn]:
                process, listen, _ = gateways[name]
                before = cpu_ns(process.pid)
                requests = load(directory, listen, token, refused=load_name == "401")
                # The last lines and spans go out a moment later.
                time.sleep(0.2)
                figures[load_name][name].append(((cpu_ns(process.pid) - before) / requests / 1000, requests / SECONDS))
                # The file would fill the disk.
                log = directory / name / "access.log"
                if log.exists():
                    os.truncate(log, 0)
    return figures


def report(figures):
    print(f"{ROUNDS} rounds of {SECONDS} s each, {SPANS} of requests with spans where everything is on")
    for load_name, by_name in figures.items():
        print(load_name)
        for name, rounds in by_name.items():
            cpu, rate = (statistics.median(column) for column in zip(*rounds))
            ratios = [own[0] / off[0] for own, off in zip(rounds, by_name["off"])]
            print(
                f"  {name:<8}{cpu:8.2f} us CPU a request {rate:10.0f} requests/s   {statistics.median(ratios):.3f} of off"
                f" (lowest {min(ratios):.3f}, highest {max(ratios):.3f})"
            )


def main():
    collector = Server(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    os.sched_setaffinity(0, {1})
    processes = []
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        backend = free_port()
        try:
            processes.append(rig.start_backend(directory, backend))
            wait_for(backend)
            gateways = {}
            for name in ("off", "shipped", "on"):
                listen, admin = free_port(), free_port()
                configuration(directory / name, name, backend, listen, admin, collector.server_port)
                process = rig.start_gateway(directory / name)
                processes.append(process)
                wait_for(listen)
                gateways[name] = (process, listen, admin)
            figures = measure(directory, gateways)
            lines, spans = dropped(gateways["on"][2])
            report(figures)
            print(f"dropped: {lines} lines, spans of {spans} requests")
        finally:
            rig.stop(processes)


if __name__ == "__main__":
    main()

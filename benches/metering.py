#!/usr/bin/env python3
"""What counting credits costs: CPU time a request, of the same lookup paid for and free, in one run.

Needs the release build, wrk and haproxy (as the backend: its answer costs next to nothing), and two
cores: the gateway has one, with the thread that writes its ledger, the load and the backend have the
other. One gateway serves both tokens, so that nothing differs but the account. Rounds alternate; the
figures are medians.

    make bench-metering
"""

import hashlib
import pathlib
import statistics
import sys
import tempfile
import time

import rig
from rig import ROUNDS, SECONDS, cpu_ns, free_port, load, wait_for


def configuration(directory, backend, listen, admin, durability):
    accounts = f"ledger: {{ file: ledger.db, durability: {durability} }}\naccounts:\n"
    for name, credits in (("paying", 1_000_000_000), ("free", "unmetered")):
        digest = hashlib.sha256(name.encode()).hexdigest()
        accounts += (
            f"  {name}:\n    rate: {{ limit: 1_000_000/s, burst: 1000000 }}\n"
            f"    credits: {{ phone: {credits} }}\n"
            f'    tokens: [{{ name: {name}, hash: "sha256:{digest}", products: [phone] }}]\n'
        )
    rig.configure(directory, backend, listen, admin, accounts)


def measure(durability):
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        backend, listen, admin = free_port(), free_port(), free_port()
        configuration(directory, backend, listen, admin, durability)
        haproxy, gateway = rig.start_backend(directory, backend), rig.start_gateway(directory)
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
            rig.stop((gateway, haproxy))


if __name__ == "__main__":
    for kind in sys.argv[1:] or ["batch"]:
        measure(kind)

#!/usr/bin/env python3
"""What traffic on the pages costs lookups: CPU time a lookup, with and without readers of pages, in one run.

Needs the release build, wrk and haproxy (as the backend), and two cores: the gateway has one, the load and the backend
have the other. Each round has three parts: lookups alone, pages alone, and both at once. What a page costs alone is taken
off the part with both, and the rest is the lookups'. Rounds are compared with themselves; the figures are medians.

    make bench-pages
"""

import pathlib
import statistics
import tempfile
import time

import metering
import rig
from rig import ROUNDS, SECONDS, cpu_ns, free_port, wait_for

PAGE = "/problems/rate-exceeded"


def lookups(directory, listen):
    return rig.start_lookups(directory, listen, "free")


def readers(listen):
    return rig.start_load(["-c8", "-H", "Accept-Encoding: gzip", f"http://127.0.0.1:{listen}{PAGE}"])


def part(pid, *loads):
    """CPU time in microseconds, and the requests of each load."""
    before = cpu_ns(pid)
    counts = [rig.finish(load) for load in loads]
    return (cpu_ns(pid) - before) / 1000, counts


def main():
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        backend, listen, admin = free_port(), free_port(), free_port()
        metering.configuration(directory, backend, listen, admin, "batch")
        haproxy, gateway = rig.start_backend(directory, backend), rig.start_gateway(directory)
        try:
            wait_for(backend)
            wait_for(listen)
            rig.finish(lookups(directory, listen))
            alone, pages, beside, shares = [], [], [], []
            for _ in range(ROUNDS):
                cpu, (looked_up,) = part(gateway.pid, lookups(directory, listen))
                alone.append(cpu / looked_up)
                cpu, (read,) = part(gateway.pid, readers(listen))
                pages.append(cpu / read)
                cpu, (looked_up, read) = part(gateway.pid, lookups(directory, listen), readers(listen))
                beside.append((cpu - read * pages[-1]) / looked_up)
                shares.append(read / looked_up)
                time.sleep(0.1)
            ratios = [with_pages / without for with_pages, without in zip(beside, alone)]
            print(f"{ROUNDS} rounds of 3 x {SECONDS} s")
            print(f"  a lookup alone          {statistics.median(alone):8.2f} us CPU")
            print(f"  a page alone            {statistics.median(pages):8.2f} us CPU")
            print(f"  a lookup beside pages   {statistics.median(beside):8.2f} us CPU, {statistics.median(shares):.2f} pages a lookup")
            print(f"  ratio                   {statistics.median(ratios):8.3f} (lowest {min(ratios):.3f}, highest {max(ratios):.3f})")
        finally:
            rig.stop((gateway, haproxy))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What a shadow costs a lookup.

Needs the release build, wrk and haproxy (as the backend: its answer costs next to nothing), and two cores: each gateway
has one, with all its threads, the load and the backend have the other. Two gateways run side by side, one with a candidate
beside it that is the same configuration, and only one of them has requests at a time. Rounds go through them in turn;
figures are medians, and ratios are those of single rounds. A gateway's CPU time is told twice: of the threads that serve
requests, and of all, with the one that judges, which gives way to them.

    make bench-shadow
"""

import json
import os
import pathlib
import shutil
import tempfile
import urllib.request

import rig
from journal import measure, report
from rig import free_port, wait_for


def configuration(directory, backend, listen, admin):
    directory.mkdir()
    rig.configure(directory, backend, listen, admin, rig.one_account())


def shadow(admin, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{admin}{path}", data=data)) as answer:
        return json.load(answer)


def main():
    os.sched_setaffinity(0, {1})
    processes = []
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        backend = free_port()
        try:
            processes.append(rig.start_backend(directory, backend))
            wait_for(backend)
            gateways = {}
            for which in ("off", "shadow"):
                listen, admin = free_port(), free_port()
                configuration(directory / which, backend, listen, admin)
                process = rig.start_gateway(directory / which)
                processes.append(process)
                wait_for(listen)
                gateways[which] = (process, listen, admin)
            admin = gateways["shadow"][2]
            candidate = directory / "shadow" / "candidate.yaml"
            shutil.copy(directory / "shadow" / "tollgate.yaml", candidate)
            shadow(admin, "/shadow/start", {"config": str(candidate)})
            report(measure(directory, gateways))
            found = shadow(admin, "/shadow")
            print({name: found[name] for name in ("state", "decisions", "same", "undecided", "lost")})
        finally:
            rig.stop(processes)


if __name__ == "__main__":
    main()

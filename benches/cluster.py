#!/usr/bin/env python3
"""What a lookup costs that is paid from a lease, beside one that is paid from a ledger alone.

Needs the release build, wrk, haproxy (as the backend: its answer costs next to nothing) and PostgreSQL, and two cores: each
gateway has one, with all its threads, the load, the backend and the database have the other. Both gateways have a ledger in a
file and an account that pays for each lookup, and the same store; one of them has its credits on lease. Only one has requests at a
time. Rounds go through them in turn; figures are medians, and ratios are those of single rounds. A gateway's CPU time is told
twice: of the threads that serve requests, and of all, with those that write the ledger and talk to the database.

    make bench-cluster
"""

import hashlib
import os
import pathlib
import sys
import tempfile

import rig
from journal import measure, report
from rig import free_port, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "chaos"))
import common  # noqa: E402
import database  # noqa: E402

CREDITS = 1_000_000_000


def rest(directory, more):
    digest = hashlib.sha256(b"live").hexdigest()
    return (
        f"ledger: {{ file: {directory}/ledger.db }}\n{more}accounts:\n  main:\n    rate: {{ limit: 1_000_000/s, burst: 1000000 }}\n"
        f"    credits: {{ phone: {CREDITS} }}\n"
        f'    tokens: [{{ name: live, hash: "sha256:{digest}", products: [phone] }}]\n'
    )


def main():
    os.sched_setaffinity(0, {1})
    processes = []
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        backend = free_port()
        started = common.Processes()
        try:
            server = database.Database(started, common.Ports(), directory / "database", lambda *_, **__: None).primary
            processes.append(rig.start_backend(directory, backend))
            wait_for(backend)
            gateways = {}
            store = (
                f"store: {{ postgres: {{ hosts: ['127.0.0.1:{server.port}'], database: {database.DATABASE}, "
                f"user: {database.USER}, tls: off }} }}\n"
            )
            for which, more in (("off", store), ("cluster", store + "cluster: { replica_lag: 0s }\n")):
                own = directory / which
                own.mkdir()
                (own / "portal.key").write_text("5a" * 32)
                (own / "portal.key").chmod(0o600)
                listen, admin = free_port(), free_port()
                rig.configure(own, backend, listen, admin, rest(own, more))
                process = rig.start_gateway(own)
                processes.append(process)
                wait_for(listen)
                gateways[which] = (process, listen, admin)
            report(measure(directory, gateways))
            acquisitions, reports, failures = rig.counters(
                gateways["cluster"][2], "lease_acquisitions", "lease_reports", "lease_failures"
            )
            print(f"{acquisitions} acquisitions, {reports} reports, {failures} failures")
        finally:
            rig.stop(processes)
            started.end_all()


if __name__ == "__main__":
    main()

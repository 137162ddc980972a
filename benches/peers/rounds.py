"""The rounds: who is measured when.

Contestants take turns within each round, and begin one later in each, so that whatever else the machine
does meets all of them. Ratios are made within a round.
"""

import contextlib
import sys

from contestants import CONTESTANTS, Tollgate
from contestants.base import Unfit
from probes import let_through, verify
from settings import MILLION, ONLY, ROUNDS, WORKLOADS
from workloads import all_of_them


class Results:
    """What was measured, and of whom."""

    def __init__(self):
        self.rows = []
        self.workloads = []
        self.versions = {}
        self.let_through = {}
        self.unfit = {}


def run(bench):
    workloads, peaks = all_of_them()
    unknown = [name for name in WORKLOADS if name not in [workload.name for workload in workloads]]
    unknown += [name for name in ONLY if name not in CONTESTANTS]
    if unknown:
        sys.exit(f"no such workload or contestant: {', '.join(unknown)}; there are "
                 f"{', '.join(workload.name for workload in workloads)} of {', '.join(CONTESTANTS)}")
    results = Results()
    with contextlib.ExitStack() as running:
        started = start(bench, running, results)
        for workload in workloads:
            if WORKLOADS and workload.name not in WORKLOADS:
                continue
            results.workloads.append(workload)
            measure(bench, workload, started, results)
            if workload.name == "accepted":
                peaks.update(peaks_of(results.rows))
    return results


def start(bench, running, results):
    """Starts everybody who was asked for, and looks at what they let through."""
    started = {}
    for name, kind in CONTESTANTS.items():
        if ONLY and name not in ONLY:
            continue
        try:
            contestant = bench.backend if name == "direct" else running.enter_context(kind(name, bench))
            verify(contestant)
        except Unfit as reason:
            results.unfit[name] = str(reason)
            say(f"{name} is not measured: {reason}")
            continue
        results.versions[name] = contestant.version()
        if contestant.has_policy:
            results.let_through[name] = let_through(contestant)
        started[name] = contestant
        say(f"{name}: {results.versions[name]}")
    return started


def measure(bench, workload, started, results):
    with contextlib.ExitStack() as extra:
        fit = {name: contestant for name, contestant in started.items() if workload.takes(name, type(contestant))}
        if workload.contestants and "tollgate-1m" in workload.contestants and "tollgate" in fit:
            say(f"{workload.name}: loading {MILLION:,} tokens")
            fit["tollgate-1m"] = extra.enter_context(Tollgate("tollgate-1m", bench, MILLION))
            results.versions["tollgate-1m"] = results.versions["tollgate"]
        for number in range(1, ROUNDS + 1):
            say(f"{workload.name}: round {number} of {ROUNDS}")
            names = list(fit)
            turn = number % len(names) if names else 0
            for name in names[turn:] + names[:turn]:
                try:
                    results.rows.append(once(bench, workload, fit[name], number))
                except Unfit as reason:
                    say(f"{name} is measured no more in {workload.name}: {reason}")
                    results.unfit[f"{name}, {workload.name}"] = str(reason)
                    del fit[name]


def once(bench, workload, contestant, number):
    if workload.fresh and contestant is not bench.backend:
        with type(contestant)(contestant.name, bench) as fresh:
            return workload.measure(fresh, number)
    return workload.measure(contestant, number)


def peaks_of(rows):
    peaks = {}
    for row in rows:
        if row.workload == "accepted":
            peaks.setdefault(row.contestant, []).append(row.per_second)
    return {name: sorted(seen)[len(seen) // 2] for name, seen in peaks.items()}


def say(text):
    print(text, file=sys.stderr, flush=True)

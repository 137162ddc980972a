#!/usr/bin/env python3
"""What the journal costs a lookup, and how fast it is judged again.

Needs the release build, wrk and haproxy (as the backend: its answer costs next to nothing), and two cores: each gateway
has one, with all its threads, the load and the backend have the other. Two gateways run side by side, one with a journal,
and only one of them has requests at a time. Rounds go through them in turn; figures are medians, and ratios are those of
single rounds. A gateway's CPU time is told twice: of the threads that serve requests, and of all, with the one that
writes the journal, which gives way to them.

Then a journal of DECISIONS (1,000,000) decisions is made of what was written, and judged again.

    make bench-journal
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import rig
from rig import PROGRAM, ROUNDS, SECONDS, free_port, load, wait_for

DECISIONS = int(os.environ.get("DECISIONS", "1000000"))
LOADS = {"lookup": "live", "401": "nobody"}
KEY = "000102030405060708090a0b0c0d0e0f"


def configuration(directory, with_journal, backend, listen, admin):
    journal = f"journal: {{ directory: journal, key: {KEY} }}\n" if with_journal else ""
    directory.mkdir()
    rig.configure(directory, backend, listen, admin, journal + rig.one_account())


def cpu_ns(pid):
    """CPU time of the threads that do not give way, and of all."""
    serving = total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            used = int((task / "schedstat").read_text().split()[0])
            nice = int((task / "stat").read_text().rsplit(")", 1)[1].split()[16])
        except OSError:
            continue
        total += used
        serving += used if nice < 10 else 0
    return serving, total


def counts(admin):
    return rig.counters(admin, "journal_decisions", "journal_lost")


def measure(directory, gateways):
    figures = {name: {which: [] for which in gateways} for name in LOADS}
    names = list(gateways)
    for which, (_, listen, _) in gateways.items():
        load(directory, listen, "live")
    for number in range(ROUNDS):
        turn = number % len(names)
        for name, token in LOADS.items():
            for which in names[turn:] + names[:turn]:
                process, listen, _ = gateways[which]
                before = cpu_ns(process.pid)
                requests = load(directory, listen, token, refused=name == "401")
                # The last frame goes out a moment later, and what is copied for a candidate is judged.
                time.sleep(1.3)
                after = cpu_ns(process.pid)
                used = [(now - then) / requests / 1000 for then, now in zip(before, after)]
                figures[name][which].append((*used, requests / SECONDS))
    return figures


def report(figures):
    print(f"{ROUNDS} rounds of {SECONDS} s each")
    for name, by_gateway in figures.items():
        print(name)
        for which, rounds in by_gateway.items():
            serving, total, rate = (statistics.median(column) for column in zip(*rounds))
            of_off = lambda index: statistics.median(
                own[index] / off[index] for own, off in zip(rounds, by_gateway["off"])
            )
            print(
                f"  {which:<8}{serving:8.2f} us CPU a request of those who serve ({of_off(0):.3f} of off), {total:8.2f} of all"
                f" ({of_off(1):.3f} of off){rate:10.0f} requests/s ({of_off(2):.3f} of off)"
            )


def made_up(journal, target):
    """A journal of DECISIONS decisions, which are those that were written, with later and later times."""
    text = b"".join(
        subprocess.run(["zstdcat", file], capture_output=True, check=True).stdout for file in sorted(journal.iterdir())
    )
    lines = text.splitlines(keepends=True)
    before = [line for line in lines if not line.startswith(b'{"time"')]
    decisions = [line for line in lines if line.startswith(b'{"time"')]
    begin = 1_795_600_800
    with subprocess.Popen(["zstd", "-q", "-1", "-o", target], stdin=subprocess.PIPE) as zstd:
        zstd.stdin.write(b"".join(before))
        for number in range(DECISIONS):
            at = begin + number * 60 / DECISIONS
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e9):09d}Z"
            line = decisions[number % len(decisions)]
            zstd.stdin.write(b'{"time":"' + stamp.encode() + b'"' + line[line.index(b",") :])
        zstd.stdin.close()
    return target


def replay(config, journal):
    """Seconds, and the megabytes that it took at the most."""
    begin = time.monotonic()
    command = ["/usr/bin/time", "-f", "%M", PROGRAM, "replay", "--json", "--config", config, journal]
    if not pathlib.Path(command[0]).exists():
        command = command[3:]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - begin
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
    told = re.search(r'"decisions": (\d+)', done.stdout).group(1)
    memory = done.stderr.strip().splitlines()[-1:] if command[0] == "/usr/bin/time" else []
    print(
        f"replay: {told} decisions in {seconds:.1f} s, {int(told) / seconds * 60:,.0f} a minute"
        + "".join(f", {int(kib) / 1024:.0f} MiB" for kib in memory)
    )


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
            for which in ("off", "journal"):
                listen, admin = free_port(), free_port()
                configuration(directory / which, which == "journal", backend, listen, admin)
                process = rig.start_gateway(directory / which)
                processes.append(process)
                wait_for(listen)
                gateways[which] = (process, listen, admin)
            report(measure(directory, gateways))
            written, lost = counts(gateways["journal"][2])
            journal = directory / "journal" / "journal"
            size = sum(file.stat().st_size for file in journal.iterdir())
            print(f"{written} decisions were written, {lost} lost, {size / written:.0f} bytes each")
        finally:
            rig.stop(processes)
        os.sched_setaffinity(0, {0, 1})
        first = directory / "first"
        first.mkdir()
        sorted(journal.iterdir())[0].rename(first / "decisions.jsonl.zst")
        replay(directory / "off" / "tollgate.yaml", made_up(first, directory / "made-up.jsonl.zst"))


if __name__ == "__main__":
    main()

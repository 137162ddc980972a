#!/usr/bin/env python3
"""Gateways that share credits by leases, and whatever can go wrong between them and their database: kill -9, partitions,
failovers, lost disks and much else, under load. After each round everything is compared: what clients have received, what
each gateway has written, and what the database knows. README.md says what has to hold, and what may be given away.

    chaos/run [--nemesis kill,failover] [--rounds 20] [--seed 7] [--seconds 20]
    chaos/run --short
    chaos/run --measure last-credits|outage|failover
"""

import argparse
import json
import os
import random
import signal
import sys
import time

import measure
import nemesis
from common import PROGRAM, Fault
from world import World

# How long a round is expected to have load, for what its accounts are granted.
EXPECTED = {"stop": 20, "outage": 15, "partition": 25, "restore": 15, "failover-lost": 8}
# What the short campaign plays: faults that are fenced after the same wait are in one round.
SHORT = [
    ["kill"], ["database-kill", "restart", "upgrade"], ["stop"], ["partition"], ["failover"], ["failover-lost"],
    ["clone", "full-disk"], ["clock"], ["lost-disk", "outage", "restore"],
]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nemesis", default=",".join(nemesis.ALL),
                        help="some of: " + ", ".join(nemesis.ALL) + "; one+other for one round with both")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds; each has one to three of the nemeses")
    parser.add_argument("--most", type=float, metavar="SECONDS", help="begin no round after so many seconds")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=20, help="the length of a round of kills")
    parser.add_argument("--short", action="store_true", help="every nemesis once, within eight minutes")
    parser.add_argument("--measure", choices=sorted(measure.ALL))
    parser.add_argument("--turns", type=int, default=50, help="of a measure")
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--durability", choices=["batch", "each", "mixed"], default="mixed")
    parser.add_argument("--time-to-live", type=int, default=10, metavar="SECONDS")
    parser.add_argument("--replica-lag", type=int, default=2, metavar="SECONDS")
    parser.add_argument("--rate", type=float, default=90, help="lookups a second, of all clients together")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--delay", type=float, default=0.01, metavar="SECONDS", help="how long the backend takes")
    parser.add_argument("--kill-pause", type=float, default=0.3, metavar="SECONDS", help="between two kills, on average")
    parser.add_argument("--kill-in-gap", action="store_true", help="with --short: kill in the gap of a failover as well")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="write the totals there")
    found = parser.parse_args()
    found.nemesis = found.nemesis.split(",")
    unknown = {name for names in found.nemesis for name in names.split("+")} - set(nemesis.ALL)
    if unknown:
        parser.error(f"no such nemesis: {', '.join(sorted(unknown))}")
    return found


def plan(found):
    """The nemeses of each round."""
    if found.short:
        wanted = [[name for name in names if name in found.nemesis] for names in SHORT]
        return [names for names in wanted if names]
    # Each round has another one first, and some have more beside it.
    choice, rounds = random.Random(found.seed), []
    for number in range(found.rounds):
        names = found.nemesis[number % len(found.nemesis)].split("+")
        others = [name for name in found.nemesis if "+" not in name and name not in names]
        while others and len(names) < 3 and choice.random() < 0.35:
            names.append(others.pop(choice.randrange(len(others))))
        rounds.append(names)
    return rounds


def expected_seconds(names, found):
    return 5 + sum(found.seconds if name == "kill" else EXPECTED.get(name, 10) for name in names)


def campaign(found):
    """Plays all rounds. Returns the totals, and what has failed."""
    names = plan(found)
    world = World(found, [(one, expected_seconds(one, found)) for one in names])
    began, failures, played, kept = time.monotonic(), [], 0, False
    try:
        world.start()
        for round_ in world.rounds:
            if found.most and time.monotonic() - began > found.most:
                break
            failures = world.play(round_, nemesis.ALL)
            played += 1
            if failures:
                where = f"seed {found.seed}, round {round_.number} ({', '.join(round_.names)})"
                failures = [f"{where}: {failure}" for failure in failures]
                world.keep(failures)
                break
        failures = failures or world.finish()
    except Fault as fault:
        failures = [str(fault)]
    except (KeyboardInterrupt, SystemExit):
        failures = []
        raise
    except BaseException:
        kept = True
        raise
    finally:
        kept = kept or bool(failures)
        world.end()
        if kept:
            print(f"kept: {world.directory}", file=sys.stderr)
        else:
            world.remove()
    totals = {"rounds": played, "seconds": round(time.monotonic() - began), **world.totals}
    if totals.get("rounds with kill"):
        totals["kills a minute, in rounds of kills"] = round(
            60 * totals["kills in rounds of kills"] / (totals["rounds with kill"] * found.seconds))
    return totals, failures


def show(title, figures):
    print(f"\n{title}")
    for name, figure in figures.items():
        shown = f"{figure:.2f}" if isinstance(figure, float) else str(figure)
        print(f"  {name:<44}{shown:>12}")


def main():
    found = options()
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"{PROGRAM} is not there; build it, or name another by TOLLGATE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if found.measure:
        failures, totals = [], measure.ALL[found.measure](found)
        show(found.measure, totals)
    else:
        totals, failures = campaign(found)
        show(f"seed {found.seed}", totals)
    if found.json:
        with open(found.json, "w") as out:
            json.dump({"seed": found.seed, "failures": failures, "totals": totals}, out, indent=1)
            out.write("\n")
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)

#!/usr/bin/env python3
"""Counts the instructions of single steps with callgrind and compares them with those that are committed.

The steps are benches/instructions.rs. The gateway's own code is built for it as for a release, but without
optimisation across crates, and its dependencies as they are for the tests, so that nothing but this crate
has to be compiled, and in one piece, since in many it depends on all other code which functions are inlined:
counts are compared with each other, not with what a release needs. What could make
them vary from run to run is kept still: addresses (no randomisation), the environment, and time, which is
an argument of each step. One thing cannot be: hash tables have a random seed, and what they free in which
order decides whether the allocator has a piece of the right size at hand later (one run in ten needs 6 %
more for a body). So each step is counted in two runs, in more where these are not what is committed, and the
fewest instructions are its count.

    tests/guards/instructions.py            compare
    tests/guards/instructions.py --update   write what is counted into benches/instructions.json
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMMITTED = ROOT / "benches/instructions.json"
# Of the committed count. A count that is lower by more is to be committed as well, lest it be lost again.
TOLERANCE = 0.05
# Of each step, and of one whose count is not as committed, or is to be.
RUNS, RUNS_IN_DOUBT = 2, 5
BUILD = ["cargo", "bench", "--locked", "--no-run", "--profile", "dev", "--bench", "instructions", "--message-format", "json",
         "--config", "profile.dev.package.tollgate.opt-level=3",
         "--config", "profile.dev.package.tollgate.codegen-units=1",
         "--config", "profile.dev.package.tollgate.debug-assertions=false",
         "--config", "profile.dev.package.tollgate.overflow-checks=false"]
# Steps that may need no more than so much of another one, however the committed counts change.
AT_MOST = {("route: one of 10,000", "route: one of 10"): 1.05,
           ("admit: a token as Bearer", "admit: a route without parameters"): 1.05}
# By its name; the compiler puts a hash behind it.
COUNTED = "instructions::counted*"


def build():
    out = subprocess.run(BUILD, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return next(message["executable"] for message in messages
                if message.get("target", {}).get("name") == "instructions" and message.get("executable"))


def count(program, step):
    with tempfile.TemporaryDirectory() as directory:
        profile = pathlib.Path(directory) / "callgrind.out"
        command = ["setarch", "-R", "valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={COUNTED}",
                   f"--callgrind-out-file={profile}", program, step]
        done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{step}: {done.stderr}")
        # `summary` has the sums over everything that was collected; instructions are its only column.
        instructions = int(re.search(r"^(?:summary|totals): (\d+)", profile.read_text(), re.MULTILINE)[1])
        return instructions or sys.exit(f"{step}: nothing was counted; is there still a function {COUNTED}?")


def fewest(program, steps, runs):
    """The fewest instructions of each step in so many runs."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = [pool.map(lambda step: count(program, step), steps) for _ in range(runs)]
        return {step: min(same) for step, *same in zip(steps, *counted)}


def differs(instructions, committed):
    return abs(instructions / committed - 1) > TOLERANCE


def main():
    program = build()
    steps = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    committed = {} if "--update" in sys.argv else json.loads(COMMITTED.read_text())["instructions"]
    counts = fewest(program, steps, RUNS)
    in_doubt = [step for step in steps if step not in committed or differs(counts[step], committed[step])]
    for step, instructions in fewest(program, in_doubt, RUNS_IN_DOUBT).items():
        counts[step] = min(counts[step], instructions)
    compiler = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split(" (")[0]
    if "--update" in sys.argv:
        COMMITTED.write_text(json.dumps({"compiler": compiler, "instructions": counts}, indent=2) + "\n")
    before = json.loads(COMMITTED.read_text())
    wrong = compare(counts, before["instructions"])
    for (step, other), most in AT_MOST.items():
        if counts[step] > most * counts[other]:
            sys.exit(f"{step}: {counts[step] / counts[other]:.3f} of {other}; at most {most} is allowed")
    if wrong:
        sys.exit(f"not within {TOLERANCE:.0%} of benches/instructions.json: {', '.join(wrong)}\n"
                 f"Those were counted with {before['compiler']}, these with {compiler}.\n"
                 "If that is as it should be: tests/guards/instructions.py --update, and say why in the commit.")


def compare(counts, committed):
    """Prints the counts; the steps that are not as they were."""
    wrong = sorted(set(committed) ^ set(counts))
    for step, instructions in counts.items():
        change = instructions / committed.get(step, 1) - 1
        if differs(instructions, committed.get(step, 1)) and step not in wrong:
            wrong.append(step)
        print(f"{step:<34}{instructions:>9,} instructions, {change:+7.2%}" + ("  <--" if step in wrong else ""))
    return wrong


if __name__ == "__main__":
    main()

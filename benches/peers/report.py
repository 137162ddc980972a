"""Medians and ratios of the rounds, as a table for the terminal and Markdown, and as JSON."""

import dataclasses
import json
import os
import pathlib
import platform
import statistics

from contestants import CONTESTANTS
from settings import LOG, ROUNDS, SECONDS

US = "tollgate"
# A field of a row, its title, how it is written, and whether ratios are made of it.
COLUMNS = [
    ("cpu_us", "CPU µs a request", "{:.1f}"),
    ("due_per_second", "due/s", "{:,.0f}"),
    ("per_second", "requests/s", "{:,.0f}"),
    ("p50_us", "p50 µs", "{:,.0f}"),
    ("p99_us", "p99 µs", "{:,.0f}"),
    ("p999_us", "p99.9 µs", "{:,.0f}"),
    ("resident_mib", "resident MiB", "{:.1f}"),
    ("idle_kib", "KiB a connection", "{:.1f}"),
]
# What the ratios of a workload are made of, if not of CPU time.
RATIO_OF = {"idle": "resident_mib"}
# Whom ratios would say nothing of.
WITHOUT_RATIO = {US, "direct"}
# The gateway against itself: here the ratio is the other way round.
AGAINST_US = {"tollgate-1m"}


def summary(results):
    """For each workload and contestant the medians, and our ratios to it round by round."""
    return {workload.name: of_workload(results.rows, workload.name) for workload in results.workloads}


def of_workload(rows, workload):
    field = RATIO_OF.get(workload, "cpu_us")
    by_name = {}
    for row in rows:
        if row.workload == workload:
            by_name.setdefault(row.contestant, {})[row.round] = row
    found = {}
    # In the order of the contestants, not of the turns that they had.
    places = [*CONTESTANTS, *AGAINST_US]
    for name, rounds in sorted(by_name.items(), key=lambda item: places.index(item[0])):
        found[name] = {
            column: statistics.median(getattr(row, column) for row in rounds.values())
            for column, _, _ in COLUMNS
            if all(getattr(row, column) is not None for row in rounds.values())
        }
        ours = by_name.get(US, {})
        ratios = sorted(getattr(ours[number], field) / getattr(rounds[number], field) for number in rounds if number in ours)
        if name in AGAINST_US:
            ratios = sorted(1 / ratio for ratio in ratios)
        if ratios and name not in WITHOUT_RATIO:
            found[name]["ratio"] = {"median": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1]}
    return found


def machine():
    processor = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), platform.machine())
    return {"processor": processor, "cores": os.cpu_count(), "kernel": platform.release()}


def as_json(results):
    return json.dumps({
        "machine": machine(),
        "rounds": ROUNDS,
        "seconds": SECONDS,
        "access_log": LOG,
        "versions": results.versions,
        "summary": summary(results),
        "let_through": results.let_through,
        "unfit": results.unfit,
        "rows": [{key: value for key, value in dataclasses.asdict(row).items() if value is not None} for row in results.rows],
    }, indent=1) + "\n"


def table(title, figures):
    """One workload as Markdown."""
    columns = [column for column in COLUMNS if any(column[0] in figure for figure in figures.values())]
    against = f"it ÷ {US}" if AGAINST_US & set(figures) else f"{US} ÷ it"
    lines = [[title, *(name for _, name, _ in columns), against + " (lowest to highest)"]]
    for name, figure in figures.items():
        cells = [form.format(figure[field]) if field in figure else "" for field, _, form in columns]
        ratio = figure.get("ratio")
        cells.append("{median:.2f} ({lowest:.2f} to {highest:.2f})".format(**ratio) if ratio else "")
        lines.append([name, *cells])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    def row(cells):
        return "| " + " | ".join(cell.ljust(width) if place == 0 else cell.rjust(width)
                                 for place, (cell, width) in enumerate(zip(cells, widths))) + " |"
    rule = "|" + "|".join("-" * (width + 2) if place == 0 else "-" * (width + 1) + ":" for place, width in enumerate(widths)) + "|"
    return "\n".join([row(lines[0]), rule, *map(row, lines[1:])])


def tables(results):
    figures = summary(results)
    return "\n\n".join(f"{workload.about[0].upper() + workload.about[1:]}:\n\n{table(workload.name, figures[workload.name])}"
                       for workload in results.workloads if figures[workload.name])


def as_markdown(results):
    about = machine()
    parts = [
        "# Side by side",
        f"{ROUNDS} rounds of {SECONDS:g} s for each workload and contestant, in turns; medians, and medians of the ratios "
        f"within each round. {about['processor']}, {about['cores']} cores, Linux {about['kernel']}; each contestant on one core, "
        f"load and backend on another. Access log: {'JSON, everywhere' if LOG else 'as each is shipped for the gateway, none for the others'}.",
        "\n".join(f"* {name}: {version}" for name, version in results.versions.items()),
        tables(results),
        "## What is not the same",
        *(f"**{name}**\n\n" + "\n".join(f"* {difference}" for difference in CONTESTANTS[name].differs)
          for name in results.versions if name in CONTESTANTS),
        "## What the contract refuses and who answers it otherwise",
        let_through_table(results.let_through),
    ]
    if results.unfit:
        parts += ["## Not measured", "\n".join(f"* {name}: {reason.splitlines()[0]}" for name, reason in results.unfit.items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def let_through_table(let_through):
    names = list(let_through)
    probes = []
    for found in let_through.values():
        probes += [probe for probe in found if probe not in probes]
    if not probes:
        return "Nothing."
    rows = [["", *names]] + [[probe, *(let_through[name].get(probe, "as asked") for name in names)] for probe in probes]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)

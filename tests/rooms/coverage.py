"""Prints the share of a room's lines that were run, by file, and the lines that were not; fails where there are too few.

Lines of tests do not count: files of tests, and what stands behind `#[cfg(test)]` at the end of a file.

    coverage.py ROOM SOURCE LCOV
"""

import collections
import pathlib
import sys

LEAST_PERCENT = 97.0


def is_test(path):
    # `ledger/lease/model` is the world in which tests explore leases.
    return path.name.endswith("tests.rs") or path.name == "samples.rs" or not {"tests", "model"}.isdisjoint(path.parts)


def end_of_code(path):
    """The line at which the tests of a file begin."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        following = lines[number] if number < len(lines) else ""
        if line == "#[cfg(test)]" and following.startswith(("mod ", "#[path")):
            return number
    return len(lines) + 1


def main(room, source, report):
    source, path = pathlib.Path(source).resolve(), None
    found = collections.defaultdict(dict)
    for line in pathlib.Path(report).read_text().splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            path = pathlib.Path(rest)
        elif kind == "DA":
            number, count = map(int, rest.split(",")[:2])
            found[path][number] = max(count, found[path].get(number, 0))
    run = lines_in_all = 0
    for path, lines in sorted(found.items()):
        if not path.is_relative_to(source) or is_test(path):
            continue
        name = path.relative_to(source)
        if name.parts[0].removesuffix(".rs") != room:
            continue
        end = end_of_code(path)
        code = {number: count for number, count in lines.items() if number < end}
        missed = sorted(number for number, count in code.items() if count == 0)
        run, lines_in_all = run + len(code) - len(missed), lines_in_all + len(code)
        if code:
            print(f"{str(name):44} {len(code):5} {100 * (len(code) - len(missed)) / len(code):6.1f} %  "
                  f"{' '.join(map(str, missed[:24]))}")
    percent = 100 * run / lines_in_all if lines_in_all else 0.0
    print(f"{room + '/':44} {lines_in_all:5} {percent:6.1f} %\n")
    if percent < LEAST_PERCENT:
        print(f"{room}/ has less than {LEAST_PERCENT} %")
    return percent < LEAST_PERCENT


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

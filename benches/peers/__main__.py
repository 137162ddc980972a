"""The gateway side by side with HAProxy, nginx and Envoy. `make bench`; see ../README.md."""

import os
import sys

import install
import picture
import report
import rounds
from bench import Bench
from settings import OUT, TOLLGATE


def main():
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for who is measured, one for the load")
    if not TOLLGATE.exists():
        sys.exit(f"there is no {TOLLGATE}: cargo build --release")
    install.everything()
    with Bench() as bench:
        # What this program does itself must not disturb who is measured.
        os.sched_setaffinity(0, {1})
        results = rounds.run(bench)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "peers.json").write_text(report.as_json(results))
    (OUT / "peers.md").write_text(report.as_markdown(results))
    drawn = picture.draw(report.summary(results))
    if drawn:
        (OUT / "peers.svg").write_text(drawn)
    print(report.tables(results))
    print(f"\nwritten: {OUT}/peers.json, peers.md" + (", peers.svg" if drawn else ""))
    if results.unfit:
        sys.exit("not measured: " + ", ".join(results.unfit))


if __name__ == "__main__":
    main()

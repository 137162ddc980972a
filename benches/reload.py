#!/usr/bin/env python3
"""What reloads do to the requests beside them: how long requests at a steady rate take while the
configuration changes again and again, and while the same files are written and nobody is told.

Each change is a real one: a line of the accounts and a rule of a product, written beside the file and
renamed over it, and SIGHUP. Half of the seconds belong to the control, in turns. Needs the release
build, rustc and haproxy (as the backend); nothing is bound to a core.

    make bench-reload                                       # 1,000 reloads, 4 a second
    make bench-reload RELOADS=200 RELOADS_A_SECOND=20
"""

import hashlib
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import rig

RELOADS = int(os.environ.get("RELOADS", "1000"))
RELOADS_A_SECOND = float(os.environ.get("RELOADS_A_SECOND", "4"))
REQUESTS_A_SECOND = int(os.environ.get("REQUESTS_A_SECOND", "5000"))
TURNS = 5
ACCOUNTS = 1000
CONNECTIONS = 16
OPENLOOP = rig.ROOT / "target/openloop"


def account(number, limit):
    digest = hashlib.sha256(f"token-{number}".encode()).hexdigest()
    return json.dumps({"name": f"a{number}", "rate": {"limit": f"{limit}/s", "burst": limit}, "credits": {"phone": "unmetered"},
                       "tokens": [{"name": "t", "hash": f"sha256:{digest}", "products": ["phone"]}]}) + "\n"


def write(directory, listen, admin, backend):
    """The configuration in two ways, of which the first is in force."""
    rig.configure(directory, backend, listen, admin, "ledger: { volatile: true }\ninclude: [accounts.jsonl]\n")
    main = directory / "tollgate.yaml"
    lines = [account(number, 1_000_000) for number in range(ACCOUNTS)]
    first = {main: main.read_text(), directory / "accounts.jsonl": "".join(lines)}
    second = {main: first[main].replace("max: 16KiB", "max: 15KiB", 1),
              directory / "accounts.jsonl": "".join([*lines[:-1], account(ACCOUNTS - 1, 999_999)])}
    if first[main] == second[main]:
        sys.exit("the demo's configuration has no body of 16KiB any more; mend this script")
    for path, text in first.items():
        path.write_text(text)
    return first, second


def change(texts, directory):
    for path, text in texts.items():
        (directory / "new").write_text(text)
        os.rename(directory / "new", path)


def load(directory, listen, seconds):
    command = [OPENLOOP, f"127.0.0.1:{listen}", str(REQUESTS_A_SECOND), str(seconds), str(CONNECTIONS),
               directory / "request", directory / "tokens"]
    counted = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    if counted["failed"]:
        sys.exit(f"{counted['failed']} requests of {counted['requests']} have failed")
    return counted


def reloads(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as answer:
        text = answer.read().decode()
    done, failed = (int(re.search(rf"tollgate_config_{name}_total (\d+)", text).group(1))
                    for name in ("reloads", "reload_failures"))
    if failed:
        sys.exit(f"{failed} reloads have failed")
    return done


def turn(directory, listen, process, ways, told):
    """One turn of load beside changes, or beside writes that change nothing."""
    seconds = max(1, round(RELOADS / TURNS / RELOADS_A_SECOND))
    # The control writes all the same, where nobody looks.
    target = directory if told else directory / "elsewhere"
    ways = [{target / path.name: text for path, text in way.items()} for way in ways]
    over = threading.Event()

    def keep_changing():
        begun = time.monotonic()
        for number in range(round(seconds * RELOADS_A_SECOND)):
            change(ways[1 - number % 2], target)
            os.kill(process.pid, signal.SIGHUP if told else 0)
            if over.wait(max(0.0, begun + (number + 1) / RELOADS_A_SECOND - time.monotonic())):
                return

    thread = threading.Thread(target=keep_changing)
    thread.start()
    counted = load(directory, listen, seconds)
    over.set()
    thread.join()
    return counted


def report(figures, done):
    total = sum(counted["requests"] for counted in figures["reloads"])
    print(f"{done} reloads, {RELOADS_A_SECOND:g} a second; {total} requests beside them, none failed")
    for name, turns in figures.items():
        print(f"  {name:<8}", *(f"{key} {statistics.median(turn[f'{key}_us'] for turn in turns):7.1f} us  "
                                for key in ("p50", "p99", "p999")))
    ratios = [own["p99_us"] / control["p99_us"] for own, control in zip(figures["reloads"], figures["control"])]
    print(f"  p99 beside reloads {statistics.median(ratios):.2f} of the control's "
          f"(lowest {min(ratios):.2f}, highest {max(ratios):.2f})")


def main():
    subprocess.run(["rustc", "-O", "--edition", "2024", "-o", OPENLOOP, rig.ROOT / "benches/peers/openloop.rs"], check=True)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        (directory / "elsewhere").mkdir()
        backend, listen, admin = (rig.free_port() for _ in range(3))
        ways = write(directory, listen, admin, backend)
        (directory / "tokens").write_text("".join(f"token-{number}\n" for number in range(ACCOUNTS)))
        (directory / "request").write_text(
            "POST /phone/validate/v2 HTTP/1.1\r\nHost: a\r\nAuth-Token: @TOKEN@\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(rig.BODY)}\r\n\r\n{rig.BODY}")
        processes = [rig.start_backend(directory, backend)]
        try:
            rig.wait_for(backend)
            subprocess.run([rig.PROGRAM, "check", "--config", directory / "tollgate.yaml"], stdout=subprocess.DEVNULL, check=True)
            gateway = [rig.PROGRAM, "run", "--config", directory / "tollgate.yaml"]
            with open(directory / "log", "wb") as log:
                processes.append(subprocess.Popen(gateway, stdout=subprocess.DEVNULL, stderr=log))
            rig.wait_for(listen)
            load(directory, listen, 2)
            figures = {"control": [], "reloads": []}
            for _ in range(TURNS):
                for told, turns in enumerate(figures.values()):
                    turns.append(turn(directory, listen, processes[1], ways, told))
            time.sleep(0.5)
            report(figures, reloads(admin))
        finally:
            rig.stop(processes)


if __name__ == "__main__":
    main()

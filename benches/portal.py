#!/usr/bin/env python3
"""What a flood on the Self Service Portal does to lookups: how long requests at a steady rate take while many clients
open its sign-in page and guess passwords as fast as they are answered, and while the same clients do the same to another
server.

The gateway, with all of its threads, has one core; the load, the backend and the flood have the other, and the flood gets
of it what the rest does not need. Turns of both kinds alternate, and each is compared with the one before it. Needs the
release build, rustc, wrk, and haproxy (as the backend and as the other server).

    make bench-portal
"""

import hashlib
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import rig

TURNS = rig.ROUNDS
SECONDS = rig.SECONDS
REQUESTS_A_SECOND = 4000
CONNECTIONS = 16
OPENLOOP = rig.ROOT / "target/openloop"
TOKEN = "token-of-the-benchmark"
ACCOUNT = ('accounts:\n  a:\n    rate: { limit: 1000000/s, burst: 1000000 }\n    credits: { phone: unmetered }\n'
           f'    tokens: [{{ name: t, hash: "sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}", products: [phone] }}]\n')
# Each client opens the page, and guesses a password, in turns.
FLOOD = """
local page = wrk.format("GET", "/sign-in")
local guess = wrk.format("POST", "/sign-in", { ["Content-Type"] = "application/x-www-form-urlencoded" },
                         "email=ann%40example.com&password=guessed-by-the-flood")
local number = 0
request = function()
  number = number + 1
  if number % 2 == 0 then return page end
  return guess
end
"""


def write(directory, backend, listen, admin, portal):
    rest = f"store: {{ sqlite: tollgate.db }}\nledger: {{ volatile: true }}\nportal: {{ listen: '127.0.0.1:{portal}' }}\n"
    rig.configure(directory, backend, listen, admin, rest + ACCOUNT)
    (directory / "flood.lua").write_text(FLOOD)
    (directory / "tokens").write_text(TOKEN + "\n")
    (directory / "request").write_text(
        "POST /phone/validate/v2 HTTP/1.1\r\nHost: a\r\nAuth-Token: @TOKEN@\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(rig.BODY)}\r\n\r\n{rig.BODY}")


def lookups(directory, listen):
    command = ["taskset", "-c", "1", OPENLOOP, f"127.0.0.1:{listen}", str(REQUESTS_A_SECOND), str(SECONDS), str(CONNECTIONS),
               directory / "request", directory / "tokens"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def flood(directory, port):
    command = ["taskset", "-c", "1", "nice", "-n", "19", "wrk", "-t1", "-c64", f"-d{SECONDS + 1}s", "-s", directory / "flood.lua",
               f"http://127.0.0.1:{port}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def turn(directory, listen, flooded):
    """Lookups beside a flood, and how many requests that had answered."""
    running = flood(directory, flooded)
    time.sleep(0.5)
    counted = lookups(directory, listen)
    told, _ = running.communicate()
    return counted, int(re.search(r"(\d+) requests in", told)[1])


def main():
    subprocess.run(["rustc", "-O", "--edition", "2024", "-o", OPENLOOP, rig.ROOT / "benches/peers/openloop.rs"], check=True)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        backend, listen, admin, portal = (rig.free_port() for _ in range(4))
        write(directory, backend, listen, admin, portal)
        haproxy, gateway = rig.start_backend(directory, backend), rig.start_gateway(directory)
        try:
            for port in (backend, listen, portal):
                rig.wait_for(port)
            turn(directory, listen, portal)
            floods, ratios, failed = [], [], 0
            shown = {"beside a flood elsewhere": [], "beside a flood of the portal": []}
            for _ in range(TURNS):
                control, _ = turn(directory, listen, backend)
                own, answered = turn(directory, listen, portal)
                floods.append(answered / (SECONDS + 1))
                ratios.append(own["p99_us"] / control["p99_us"])
                failed += own["failed"] + control["failed"]
                for counted, figures in zip((control, own), shown.values()):
                    figures.append(counted)
            print(f"{TURNS} turns of 2 x {SECONDS} s, {REQUESTS_A_SECOND} lookups a second, {failed} failed; "
                  f"the portal answered {statistics.median(floods):.0f} requests of the flood a second")
            for name, figures in shown.items():
                print(f"  {name:<29}", *(f"{key} {statistics.median(one[f'{key}_us'] for one in figures):7.1f} us  "
                                         for key in ("p50", "p99", "p999")))
            print(f"  p99: {statistics.median(ratios):.2f} (lowest {min(ratios):.2f}, highest {max(ratios):.2f})")
        finally:
            rig.stop((gateway, haproxy))


if __name__ == "__main__":
    main()

"""The load: wrk, h2load and our own open-loop generator, each on its core, and what they report."""

import dataclasses
import json
import re
import subprocess

import lookups
from contestants.base import Unfit
from policy import SLOW_LIMIT_PER_MINUTE, write
from settings import CONNECTIONS, LOAD_CORE, TARGET

# Streams at a time on each of the connections of HTTP/2.
H2_CONNECTIONS = 16
H2_STREAMS = 4
# Of all requests; a connection that was lost now and then is no reason to throw a round away.
ERRORS_ALLOWED = 0.01
# Answers of a flood that are no refusals: a rate that is used up lets one through again now and then.
LET_THROUGH = SLOW_LIMIT_PER_MINUTE

# Sends the requests of a template with the tokens in turns. Printing is by `done` alone.
WRK_SCRIPT = """
local before, after = %s, %s
local requests, turn = {}, 0
for token in io.lines(%s) do requests[#requests + 1] = before .. token .. after end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("JSON{\\"requests\\":%%d,\\"micros\\":%%d,\\"refused\\":%%d,\\"errors\\":%%d,\\"p50_us\\":%%.1f,\\"p99_us\\":%%.1f,\\"p999_us\\":%%.1f}\\n",
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclasses.dataclass(frozen=True)
class Load:
    """What a generator has counted."""

    requests: int
    per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    # Of an open loop alone.
    due_per_second: float | None = None


def wrk(directory, port, template, tokens, seconds, refused, scheme="http"):
    """As many requests as 64 connections get answered. `refused` is whether they must be."""
    before, after = template.split("@TOKEN@") if "@TOKEN@" in template else (template, "")
    if "@TOKEN@" not in template:
        tokens = [""]
    listed = write(directory / "tokens.txt", "".join(f"{token}\n" for token in tokens))
    script = write(directory / "load.lua", WRK_SCRIPT % (json.dumps(before), json.dumps(after), json.dumps(str(listed))))
    out = output("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, f"{scheme}://127.0.0.1:{port}/")
    told = json.loads(re.search(r"JSON(.*)", out)[1])
    wrong = told["requests"] - told["refused"] if refused else told["refused"]
    if wrong > (LET_THROUGH if refused else 0) or told["requests"] == 0 or told["errors"] > told["requests"] * ERRORS_ALLOWED:
        raise Unfit(f"wrk on {port}: {wrong} answers are not what they must be\n{out}")
    return Load(told["requests"], told["requests"] / told["micros"] * 1e6, *(told[f"{p}_us"] for p in ("p50", "p99", "p999")))


def h2load(directory, port, token, seconds):
    """Accepted requests over HTTP/2 without TLS."""
    headers = [f"-H{name}: {value}" for name, value in lookups.headers(token, Host=None).items()]
    body = write(directory / "body.json", lookups.GOOD_BODY)
    log = write(directory / "h2load.log", "")
    out = output("h2load", "-t1", f"-c{H2_CONNECTIONS}", f"-m{H2_STREAMS}", f"-D{seconds}", f"-d{body}",
                 f"--log-file={log}", *headers, f"http://127.0.0.1:{port}{lookups.ROUTES[0]}")
    good, bad = (int(re.search(pattern, out)[1]) for pattern in (r"status codes: (\d+) 2xx", r"(\d+) failed"))
    if not good or bad > good * ERRORS_ALLOWED:
        raise Unfit(f"h2load on {port}:\n{out}")
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    if any(status != "200" for _, status, _ in rows):
        raise Unfit(f"h2load on {port}: not everything is a 200\n{out}")
    micros = sorted(int(row[2]) for row in rows)
    return Load(good, good / seconds, *percentiles(micros))


def openloop(directory, port, template, tokens, seconds, rate):
    """Requests at a steady rate."""
    request = write(directory / "request.txt", template)
    listed = write(directory / "tokens.txt", "".join(f"{token}\n" for token in tokens))
    out = output(TARGET / "openloop", f"127.0.0.1:{port}", f"{rate:.0f}", seconds, CONNECTIONS, request, listed)
    told = json.loads(out)
    if told["failed"] or not told["requests"]:
        raise Unfit(f"open loop on {port}: {told}")
    return Load(told["requests"], told["requests"] / told["seconds"], told["p50_us"], told["p99_us"], told["p999_us"])


def percentiles(sorted_micros):
    return [sorted_micros[int(len(sorted_micros) * share)] for share in (0.5, 0.99, 0.999)]



def output(*command):
    pinned = ["taskset", "-c", LOAD_CORE, *map(str, command)]
    done = subprocess.run(pinned, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unfit(f"{command[0]} has failed:\n{done.stdout}{done.stderr}")
    return done.stdout

"""The workloads: what is asked of each contestant, and what one round of it measures."""

import dataclasses
import socket
import time

import load
import lookups
from policy import SLOW_TOKEN, UNKNOWN_TOKEN, in_use
from probes import read_answer, verify
from settings import IDLE_CONNECTIONS, MILLION, SECONDS, TOKENS_IN_USE

# Between opening the idle connections and looking at memory.
SETTLE_SECONDS = 1.0
# How long a peak is looked for where no round has shown it yet.
PEAK_SECONDS = 2
OPEN_LOOP_SHARE = 0.5


@dataclasses.dataclass
class Row:
    """One contestant in one round of one workload. What a workload does not measure is None."""

    workload: str
    contestant: str
    round: int
    cpu_us: float | None = None
    # What an open loop asks for; answers a second are fewer when it could not be kept up.
    due_per_second: float | None = None
    per_second: float | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    p999_us: float | None = None
    resident_mib: float | None = None
    idle_kib: float | None = None


class Workload:
    """A workload by its name in reports and in WORKLOADS."""

    policy_only = False
    transport = "plain"
    # Contestants, if not all that can.
    contestants = None
    # A process of its own for each round.
    fresh = False

    def __init__(self, name, about):
        self.name = name
        self.about = about

    def takes(self, name, contestant_class):
        return (
            (self.contestants is None or name in self.contestants)
            and self.transport in contestant_class.transports
            and (contestant_class.has_policy or not self.policy_only)
        )

    def measure(self, contestant, number):
        """One round: checks that the contestant is what it should be, loads it, and takes its CPU time."""
        verify(contestant)
        before = contestant.cpu_seconds()
        counted = self.run(contestant)
        cpu = contestant.cpu_seconds() - before
        return Row(self.name, contestant.name, number, cpu_us=cpu / counted.requests * 1e6,
                   resident_mib=contestant.resident_mib(), **{k: v for k, v in dataclasses.asdict(counted).items() if k != "requests"})

    def run(self, contestant):
        raise NotImplementedError


class Closed(Workload):
    """64 connections, each with its next request as soon as it has its answer."""

    def __init__(self, name, about, token="@TOKEN@", body=lookups.GOOD_BODY, refused=False, transport="plain", **headers):
        super().__init__(name, about)
        self.template = lookups.request(token, body, **headers).decode()
        self.policy_only = refused
        self.transport = transport

    def run(self, contestant):
        tokens = in_use(getattr(contestant, "tokens", contestant.bench.tokens))
        scheme = "https" if self.transport == "tls" else "http"
        return load.wrk(contestant.directory, contestant.ports[self.transport], self.template, tokens, SECONDS,
                        self.policy_only, scheme)


class Million(Closed):
    """Accepted requests of the gateway with a thousand tokens, and with a million."""

    contestants = ("tollgate", "tollgate-1m")


class Http2(Workload):
    transport = "h2c"

    def run(self, contestant):
        return load.h2load(contestant.directory, contestant.ports["h2c"], contestant.bench.tokens[0], SECONDS)


class OpenLoop(Workload):
    """A steady rate, half of what each contestant has at most."""

    def __init__(self, name, about, peaks):
        super().__init__(name, about)
        self.template = lookups.request("@TOKEN@").decode()
        self.peaks = peaks

    def run(self, contestant):
        tokens, port = contestant.bench.tokens, contestant.ports["plain"]
        if contestant.name not in self.peaks:
            peak = load.wrk(contestant.directory, port, self.template, tokens, PEAK_SECONDS, refused=False)
            self.peaks[contestant.name] = peak.per_second
        rate = self.peaks[contestant.name] * OPEN_LOOP_SHARE
        # The generator counts no requests of its first half second, which cost CPU time all the same.
        counted = load.openloop(contestant.directory, port, self.template, tokens, SECONDS, rate)
        return dataclasses.replace(counted, requests=round(rate * SECONDS), due_per_second=rate)


class Idle(Workload):
    """Memory with many connections that have had one request each and now wait."""

    fresh = True

    def measure(self, contestant, number):
        verify(contestant)
        before = contestant.resident_mib()
        connections = []
        try:
            for place in range(IDLE_CONNECTIONS):
                connection = socket.create_connection(("127.0.0.1", contestant.ports["plain"]))
                connections.append(connection)
                tokens = contestant.bench.tokens
                connection.sendall(lookups.request(tokens[place % len(tokens)]))
                answer = read_answer(connection)
                assert answer and answer.status == 200, f"{contestant.name}: {answer}"
            time.sleep(SETTLE_SECONDS)
            resident = contestant.resident_mib()
        finally:
            for connection in connections:
                connection.close()
        return Row(self.name, contestant.name, number, resident_mib=resident,
                   idle_kib=(resident - before) * 1024 / IDLE_CONNECTIONS)


def all_of_them():
    """In the order in which they are run. The open loop needs the peaks of the accepted requests."""
    peaks = {}
    return [
        Closed("accepted", "accepted lookups: 64 keep-alive connections, 1,000 tokens in turns"),
        Closed("401", "a flood with a token that nobody has", token=UNKNOWN_TOKEN, refused=True),
        Closed("429", "a flood of one token whose rate is used up", token=SLOW_TOKEN, refused=True),
        Closed("malformed", "a flood of bodies that are cut short", body=lookups.MALFORMED_BODY, refused=True),
        Million("million", f"accepted lookups with {MILLION:,} tokens loaded, {TOKENS_IN_USE:,} of them in turns, against 1,000"),
        Http2("http2", f"accepted lookups over HTTP/2 without TLS: {load.H2_CONNECTIONS} connections, {load.H2_STREAMS} streams each"),
        Closed("tls", "accepted lookups, each over a new connection with a full handshake (TLS 1.3, P-256)",
               transport="tls", Connection="close"),
        OpenLoop("open-loop", "accepted lookups at a steady rate, half of each contestant's own peak; times count from when a request was due", peaks),
        Idle("idle", f"memory with {IDLE_CONNECTIONS:,} idle keep-alive connections, each after one lookup"),
    ], peaks

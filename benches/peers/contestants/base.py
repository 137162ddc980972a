"""What all contestants have in common: ports, a process on its core, and what that uses."""

import os
import pathlib
import re
import socket
import subprocess
import time

from policy import error_object
from settings import CONTESTANT_CORE

# Until a contestant listens; a million tokens take their time to load.
START_SECONDS = 120
STOP_SECONDS = 10


class Unfit(Exception):
    """A contestant that cannot be measured, and why."""


class Contestant:
    """One program with the policy, started with `with`: it listens inside and is gone afterwards."""

    # Which transports it is measured over: plain, h2c, tls.
    transports = ("plain", "h2c", "tls")
    # Whether it has the policy, or only passes requests on.
    has_policy = True
    core = CONTESTANT_CORE
    # What it cannot say of the policy, or says in another way; for the report.
    differs = ()

    def __init__(self, name, bench):
        self.name = name
        self.bench = bench
        self.directory = bench.directory / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = {transport: bench.free_port() for transport in self.transports}
        self.process = None

    def command(self):
        """Writes the configuration; the program and its arguments."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def __enter__(self):
        # What it prints goes to a file, as its access log does if it has one.
        self.output = open(self.directory / "output.txt", "wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", self.core, *map(str, self.command())],
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT, cwd=self.directory,
        )
        try:
            for port in self.ports.values():
                self.wait_for(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()

    def wait_for(self, port):
        for _ in range(START_SECONDS * 20):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        said = (self.directory / "output.txt").read_text(errors="replace")[-2000:]
        raise Unfit(f"{self.name} does not listen on {port}\n{said}")

    def pids(self):
        """The process and all its children."""
        found = [self.process.pid]
        for pid in found:
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                found.extend(int(child) for child in task.read_text().split())
        return found

    def cpu_seconds(self):
        """CPU time of all threads so far, by the scheduler's own clock."""
        nanoseconds = 0
        for pid in self.pids():
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                try:
                    nanoseconds += int((task / "schedstat").read_text().split()[0])
                except OSError:
                    pass  # A thread that has just ended.
        return nanoseconds / 1e9

    def resident_mib(self):
        """Resident memory, of all processes together."""
        pages = 0
        for pid in self.pids():
            pages += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def with_errors(text, instance, quote=lambda body: body):
    """A configuration with its `@ERROR slug@` filled in by error objects. `instance` is how it says
    the path of the request, `quote` how it says a text in single quotes."""
    return re.sub(r"@ERROR ([a-z-]+)@", lambda found: quote(error_object(found[1], instance)), text)


def first_line(*command):
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    return (out.stdout + out.stderr).strip().splitlines()[0].strip()

"""What the modules of the campaign share: ports, processes that end with it, waiting, HTTP to one gateway, and the log."""

import asyncio
import ctypes
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("TOLLGATE", str(ROOT / "target/debug/tollgate"))
# Of prctl(2).
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None, use_errno=True)


class Fault(Exception):
    """Something that has to be does not come to be."""


class Log:
    """What happens, with seconds since the beginning: on the terminal, and in a file of the campaign's directory."""

    def __init__(self, path, quiet=False):
        self.began, self.file, self.quiet = time.monotonic(), path.open("w"), quiet

    def __call__(self, text, loud=False):
        line = f"{time.monotonic() - self.began:8.2f}  {text}"
        self.file.write(line + "\n")
        self.file.flush()
        if loud or not self.quiet:
            print(line, flush=True)


class Ports:
    """Ports below those that the kernel gives to outgoing connections, each once."""

    FIRST, COUNT = 10_000, 22_000

    def __init__(self):
        self.next = os.getpid() * 331

    def free(self):
        while True:
            self.next += 1
            port = self.FIRST + self.next % self.COUNT
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port


class Processes:
    """Processes that were started here, by their ids, and whatever they have started: orphans become children of this
    process, so that they can be waited for and ended too."""

    def __init__(self):
        self.owner = threading.get_ident()
        LIBC.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, command, **more):
        """Starts a process in the main thread alone: it ends with the thread that has started it."""
        assert threading.get_ident() == self.owner
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent, **more)
        # It is waited for by its id, as orphans are.
        process.returncode = 0
        return process.pid

    def end_all(self):
        """Kills all children, and those that become children by that."""
        for _ in range(100):
            found = children(os.getpid())
            if not found:
                return
            for child in found:
                kill(child, signal.SIGKILL)
                # One that is stopped dies of it as well.
                wait_for_end(child, 1)


def _end_with_parent():
    LIBC.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def children(pid):
    """The children of all threads of a process."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            pass
    return found


def kill(pid, number):
    """Sends a signal; whether there was somebody to get it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def has_ended(pid):
    """Whether a process has ended with all its threads, so that its sockets and locks are free. A child is collected."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        # Somebody else's child, or nobody's any more.
        pass
    try:
        threads = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
        return state in "ZX" and len(threads) <= 1
    except OSError:
        return True


def wait_for_end(pid, seconds):
    began = time.monotonic()
    while not has_ended(pid):
        if time.monotonic() - began > seconds:
            return False
        time.sleep(0.005)
    return True


def until(what, holds, seconds, every=0.05):
    """Waits until something holds, and returns what it is; after these seconds it is a fault."""
    began = time.monotonic()
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() - began > seconds:
            raise Fault(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)


def fetch(port, method, path, seconds=2):
    """Asks an HTTP server on this machine: the status and the body, or nothing where there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, headers={"Host": "localhost"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Loop:
    """An event loop in a thread of its own, for the backend, the load, and whatever stands before the database."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def begin(self, task):
        """Runs a coroutine there, and waits for nothing."""
        return asyncio.run_coroutine_threadsafe(task, self.loop)

    def call(self, task, seconds=None):
        """Runs a coroutine there, and waits for what it returns."""
        return self.begin(task).result(seconds)

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

"""What is looked at beside a round, in threads of their own: the disk, and what has to hold at every moment."""

import os
import threading
import time

# Between two looks at what has to hold at every moment.
PAUSE = 2.0


class Disk:
    """How long the disk takes for a page, at most: others may use it as well."""

    def __init__(self, path):
        self.longest, self.path, self.stopping = 0.0, path, threading.Event()
        self.thread = threading.Thread(target=self._measure, daemon=True)
        self.thread.start()

    def _measure(self):
        with self.path.open("wb", buffering=0) as file:
            while not self.stopping.wait(0.1):
                began = time.monotonic()
                file.write(bytes(4096))
                os.fdatasync(file.fileno())
                self.longest = max(self.longest, time.monotonic() - began)

    def stop(self):
        self.stopping.set()
        self.thread.join()


class Watch:
    """Looks again and again at what has to hold at every moment, whatever goes on."""

    def __init__(self, world):
        self.world, self.found, self.stopping = world, [], threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.stopping.wait(PAUSE):
            broken = self.world.database.broken(self.world.restored)
            if broken:
                self.found.append(f"3: at one moment (account, granted, allotted, deficit, on lease, spent, open): {broken}")

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return self.found[:3]

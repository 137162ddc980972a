"""The backend itself: what everybody forwards to, and what the load reaches without a gateway."""

from contestants.base import Contestant, first_line
from policy import ANSWER, write
from settings import LOAD_CORE, fill


class Direct(Contestant):
    transports = ("plain",)
    has_policy = False
    # The one contestant that shares its core with the load.
    core = LOAD_CORE
    differs = ("no gateway at all: the load and the backend alone, on one core",)

    def command(self):
        text = fill("backend.conf", self.directory, BACKEND=self.ports["plain"], ANSWER=ANSWER)
        return ["nginx", "-c", write(self.directory / "backend.conf", text)]

    def version(self):
        return first_line("nginx", "-v")

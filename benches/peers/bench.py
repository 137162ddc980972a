"""What a run shares: a directory, free ports, a certificate, the tokens, and the backend."""

import contextlib
import pathlib
import resource
import socket
import tempfile

import install
from contestants.direct import Direct
from policy import tokens
from settings import THOUSAND


class Bench(contextlib.ExitStack):
    """The surroundings of all contestants, for as long as they are measured."""

    def __init__(self):
        super().__init__()
        # Thousands of connections, here and in what is started from here.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.given_ports = set()
        self.directory = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
        # nginx has its worker run as somebody else.
        self.directory.chmod(0o755)
        self.certificate, self.key, self.certificate_with_key = install.certificate(self.directory)
        self.tokens = tokens(THOUSAND)
        self.backend = self.enter_context(Direct("direct", self))

    @property
    def backend_port(self):
        return self.backend.ports["plain"]

    def free_port(self):
        """A port that nobody has, and that nobody else of this run will get."""
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            if port not in self.given_ports:
                self.given_ports.add(port)
                return port

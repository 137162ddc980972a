"""A bare `ProxyHttp` of Pingora, which judges nothing."""

from contestants.base import Contestant
from settings import ROOT


class PassThrough(Contestant):
    transports = ("plain",)
    has_policy = False
    differs = ("judges nothing and changes nothing: what the usual way to build on Pingora costs by itself",)

    def command(self):
        program = ROOT / "target/release/passthrough"
        return [program, f"127.0.0.1:{self.ports['plain']}", f"127.0.0.1:{self.bench.backend_port}"]

    def version(self):
        return "pingora-proxy 0.9.1"

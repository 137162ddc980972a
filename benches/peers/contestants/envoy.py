"""Envoy from PyPI: its own filters for rates and JSON, Lua for the rest."""

from contestants.base import Contestant, first_line, with_errors
from policy import BODY_MAX_BYTES, DAYS_MAX, EXPOSED_HEADERS, HOSTS, LIMIT_PER_SECOND, PARENT_DOMAIN, PROBLEMS, ROUTES, SLOW_LIMIT_PER_MINUTE, SLOW_TOKEN, error_object, network_bounds, write
from settings import LOG, TARGET, fill

ENVOY = TARGET / "venv/bin/envoy"


class Envoy(Contestant):
    differs = (
        "the rate is judged behind Accept, Content-Type and the other headers, since Lua is one filter",
        "the limits are told by the third draft's X-RateLimit headers; there are no RateLimit and X-Rate-Limit headers",
        "networks of IPv6 are not in its list, and there is one list of networks and domains for all tokens",
        "repeated keys of a body are not noticed, nor is nesting limited",
        "a connection is closed after its body was refused",
        "weights in Accept (q=0) are not understood",
        "a deadline for the answer of the backend, not for the request as a whole",
        "what it refuses by itself (malformed heads, limits) is plain text or empty",
        "tokens are in memory as they are, without a digest",
    )

    def command(self):
        problems = {
            slug: (f'status = "{problem.status}"', error_object(slug, "@").split('"@"')[0])
            for slug, problem in PROBLEMS.items()
        }
        words = {
            "PROBLEMS_LUA": table(f'["{slug}"] = {{ {status}, before = {text(before)} }}' for slug, (status, before) in problems.items()),
            "ROUTES_LUA": table(f"[ {text(route)} ] = true" for route in ROUTES),
            "TOKENS_LUA": table(f"[ {text(token)} ] = true" for token in (*self.bench.tokens, SLOW_TOKEN)),
            "NETWORKS_LUA": table(f"{{ {first}, {last} }}" for first, last in network_bounds()),
            "HOSTS_LUA": table(f"[ {text(host)} ] = true" for host in HOSTS),
            "PARENT": PARENT_DOMAIN, "EXPOSED": EXPOSED_HEADERS, "BODY_MAX": BODY_MAX_BYTES, "DAYS_MAX": DAYS_MAX,
        }
        for script in ("envoy-head.lua", "envoy-body.lua"):
            write(self.directory / script, fill(script, self.directory, **words))
        config = fill("envoy.yaml", self.directory, LISTENERS=self.listeners(), BACKEND=self.bench.backend_port)
        config = with_errors(config, "%PATH(NQ:PATH)%", lambda body: body.replace("'", "''"))
        return [ENVOY, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id",
                "-c", write(self.directory / "envoy.yaml", config)]

    def listeners(self):
        """One listener for each transport, with the same filters."""
        descriptors = "".join(
            f"              - {{ entries: [{{ key: token, value: '{token}' }}], token_bucket: {bucket} }}\n"
            for token, bucket in [
                *((token, bucket(LIMIT_PER_SECOND, "1s")) for token in self.bench.tokens),
                (SLOW_TOKEN, bucket(SLOW_LIMIT_PER_MINUTE, "60s")),
            ]
        )
        tls = fill("envoy-transport.yaml", self.directory, CERTIFICATE=self.bench.certificate, KEY=self.bench.key)
        return "".join(
            fill(
                "envoy-listener.yaml", self.directory, NAME=name, PORT=port, DESCRIPTORS=descriptors,
                LOG=fill("envoy-log.yaml", self.directory) if LOG else "", TRANSPORT=tls if name == "tls" else "",
            )
            for name, port in self.ports.items()
        )

    def version(self):
        return "Envoy " + first_line(ENVOY, "--version").split("version:")[-1].strip().split("/")[1]


def bucket(count, interval):
    return f"{{ max_tokens: {count}, tokens_per_fill: {count}, fill_interval: {interval} }}"


def table(items):
    return "{ " + ", ".join(items) + " }"


def text(value):
    """A string of Lua in a long bracket, in which nothing has a meaning."""
    return f"[==[{value}]==]"

"""HAProxy from Debian, with nothing but its own configuration."""

from contestants.base import Contestant, first_line, with_errors
from policy import BODY_MAX_BYTES, EXPOSED_HEADERS, HOSTS, LIMIT_PER_SECOND, NETWORKS, PARENT_DOMAIN, ROUTES, SLOW_LIMIT_PER_MINUTE, SLOW_TOKEN, write
from settings import LOG, fill


class HAProxy(Contestant):
    differs = (
        "JSON is not parsed: members are looked for in the text, so that most malformed bodies pass as long as they begin and end with braces",
        "one list of networks and domains for all tokens",
        "weights in Accept (q=0) are not understood",
        "a deadline for the answer of the backend, not for the request as a whole",
        "what it refuses by itself (malformed heads, limits) are its own HTML pages",
        "tokens are in memory as they are, without a digest",
        "the rate is a count in a sliding minute",
    )

    def command(self):
        limit = LIMIT_PER_SECOND * 60
        lines = [f"{token} {limit}" for token in self.bench.tokens] + [f"{SLOW_TOKEN} {SLOW_LIMIT_PER_MINUTE}"]
        text = fill(
            "haproxy.cfg", self.directory,
            LOG=fill("haproxy-log.cfg", self.directory) if LOG else "",
            TOKENS=write(self.directory / "tokens.map", "\n".join(lines) + "\n"),
            NETWORKS=write(self.directory / "networks.lst", "\n".join(NETWORKS) + "\n"),
            HOSTS=write(self.directory / "hosts.lst", "\n".join(HOSTS) + "\n"),
            ROUTES=" ".join(ROUTES), PARENT=PARENT_DOMAIN, EXPOSED=EXPOSED_HEADERS, BODY_MAX=BODY_MAX_BYTES,
            BACKEND=self.bench.backend_port, CERTIFICATE_WITH_KEY=self.bench.certificate_with_key,
            **{name.upper(): port for name, port in self.ports.items()},
        )
        # Within single quotes nothing but their end has a meaning, as in a shell.
        text = with_errors(text, "%[var(txn.instance)]", lambda body: body.replace("'", "'\\''"))
        return ["haproxy", "-db", "-f", write(self.directory / "haproxy.cfg", text)]

    def version(self):
        return first_line("haproxy", "-v")

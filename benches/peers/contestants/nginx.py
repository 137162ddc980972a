"""nginx from Debian: its directives for the head, njs for the body."""

import json

from contestants.base import Contestant, first_line, with_errors
from policy import BODY_MAX_BYTES, DAYS_MAX, EXPOSED_HEADERS, HOSTS, LIMIT_PER_SECOND, NETWORKS, PARENT_DOMAIN, PROBLEMS, ROUTES, SLOW_LIMIT_PER_MINUTE, SLOW_TOKEN, error_object, write
from settings import LOG, fill


class Nginx(Contestant):
    differs = (
        "the rate cannot be told: there are no X-Rate-Limit and RateLimit headers, and limits are fixed for each zone",
        "the rate is judged behind Accept, Content-Type and the other headers, since limit_req comes behind rewriting",
        "Timeout-Seconds is checked and has no effect: proxy_read_timeout takes no variable",
        "one list of networks and domains for all tokens",
        "repeated keys of a body are not noticed, nor bytes that are no UTF-8",
        "weights in Accept (q=0) are not understood",
        "the Transaction-Id is no UUID",
        "what it refuses by itself (malformed heads, limits) are its own HTML pages",
        "tokens are in memory as they are, without a digest",
    )

    def command(self):
        def lines(name, rows):
            return write(self.directory / name, "".join(f"{row};\n" for row in rows))

        problems = {
            slug: {"status": problem.status, "before": error_object(slug, "@").split('"@"')[0]}
            for slug, problem in PROBLEMS.items()
        }
        script = fill("nginx.js", self.directory, PROBLEMS_JSON=json.dumps(problems), DAYS_MAX=DAYS_MAX)
        write(self.directory / "nginx.js", script)
        text = fill(
            "nginx.conf", self.directory,
            LOG=fill("nginx-log.conf", self.directory) if LOG else "    access_log off;",
            LOCATIONS="".join(fill("nginx-location.conf", self.directory, ROUTE=route) for route in ROUTES),
            TOKENS=lines("tokens.map", [f"{token} fast" for token in self.bench.tokens] + [f"{SLOW_TOKEN} slow"]),
            NETWORKS=lines("networks.geo", [f"{network} inside" for network in NETWORKS]),
            HOSTS=lines("hosts.map", [f"{host} inside" for host in (*HOSTS, f"*.{PARENT_DOMAIN}")]),
            LIMIT=LIMIT_PER_SECOND, SLOW=SLOW_LIMIT_PER_MINUTE, BODY_MAX=BODY_MAX_BYTES, EXPOSED=EXPOSED_HEADERS,
            CERTIFICATE=self.bench.certificate, KEY=self.bench.key, BACKEND=self.bench.backend_port,
            **{name.upper(): port for name, port in self.ports.items()},
        )
        text = with_errors(text, "$instance", lambda body: body.replace("'", "\\'"))
        return ["nginx", "-c", write(self.directory / "nginx.conf", text)]

    def version(self):
        return first_line("nginx", "-v")

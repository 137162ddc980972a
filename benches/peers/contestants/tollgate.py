"""The gateway of this project, as it is shipped."""

import hashlib
import json

from contestants.base import Contestant, Unfit, first_line
from policy import HOSTS, LIMIT_PER_SECOND, NETWORKS, PARENT_DOMAIN, ROUTES, SLOW_LIMIT_PER_MINUTE, SLOW_TOKEN, tokens, write
from settings import LOG, ROOT, THOUSAND, TOLLGATE, fill


class Tollgate(Contestant):
    differs = ("networks and domains are each token's own, and tokens are kept as SHA-256 digests",)

    def __init__(self, name, bench, token_count=THOUSAND):
        super().__init__(name, bench)
        self.tokens = tokens(token_count)

    def command(self):
        with open(self.directory / "accounts.jsonl", "w") as accounts:
            for place, token in enumerate(self.tokens):
                rate = {"limit": f"{LIMIT_PER_SECOND}/s", "burst": LIMIT_PER_SECOND}
                accounts.write(account(f"a{place}", token, rate))
            accounts.write(account("slow", SLOW_TOKEN, {"limit": f"{SLOW_LIMIT_PER_MINUTE}/min"}))
        text = fill(
            "tollgate.yaml", self.directory, ADMIN=self.bench.free_port(), BACKEND=self.bench.backend_port,
            ROUTES=", ".join(f"POST {route}" for route in ROUTES), SCHEMA=ROOT / "config/phone.schema.json",
            CERTIFICATE=self.bench.certificate, KEY=self.bench.key, LOG=access_log() if LOG else "",
            **{name.upper(): port for name, port in self.ports.items()},
        )
        return [TOLLGATE, "run", "--config", write(self.directory / "tollgate.yaml", text)]

    def version(self):
        return first_line(TOLLGATE, "--version")


def account(name, token, rate):
    digest = hashlib.sha256(token.encode()).hexdigest()
    return json.dumps({
        "name": name,
        "rate": rate,
        "tokens": [{
            "name": name, "hash": f"sha256:{digest}", "products": ["phone"], "networks": NETWORKS,
            "domains": [*HOSTS, f"*.{PARENT_DOMAIN}"], "absent": "allow",
        }],
    }) + "\n"


def access_log():
    """The lines that turn the access log on; a round with logs is no comparison without them."""
    text = fill("tollgate-log.yaml", "")
    if not any(line and not line.startswith("#") for line in text.splitlines()):
        raise Unfit("configs/tollgate-log.yaml does not turn an access log on")
    return text

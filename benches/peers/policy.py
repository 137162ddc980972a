"""The one policy that every contestant is given, in the terms of the contract: route, tokens, networks,
domains, rates, headers, body, and the words of the refusals.

How each of them says it is under configs/; what a request is that keeps or breaks it, in lookups.py.
"""

import dataclasses
import hashlib
import http
import ipaddress
import json
import pathlib
import random

from settings import TOKENS_IN_USE

PUBLIC_URL = "https://api.example.com"
ROUTES = ("/phone/validate/v2", "/phone/validation/v2")
# The tokens may be used from here alone. Probes come from 127.9.9.9 as well, which is outside.
NETWORKS = ("127.0.0.0/16", "10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32")
HOSTS = ("app.example.com", "www.example.com")
PARENT_DOMAIN = "shop.example.com"
BODY_MAX_BYTES = 16384
DAYS_MAX = 30
# More than any machine can use up; what counts is that it is counted.
LIMIT_PER_SECOND = 1_000_000
# The token of the 429s: this many a minute.
SLOW_LIMIT_PER_MINUTE = 2

ANSWER = json.dumps({
    "result": {
        "number": "+44 7400 123456",
        "validated_phone_number": "+447400123456",
        "formatted_phone_number": "+44 7400 123456",
        "phone_type": "Mobile",
        "confidence": "Verified",
    }
})

EXPOSED_HEADERS = (
    "Reference-Id, Transaction-Id, X-Rate-Limit-Limit, X-Rate-Limit-Remaining, X-Rate-Limit-Reset, "
    "RateLimit, RateLimit-Policy, Retry-After"
)


def tokens(count):
    """So many tokens, the same ones in each run."""
    generator = random.Random(1)
    return [f"{generator.getrandbits(128):032x}" for _ in range(count)]


SLOW_TOKEN = hashlib.sha256(b"the slow one").hexdigest()[:32]
UNKNOWN_TOKEN = hashlib.sha256(b"nobody's").hexdigest()[:32]


def in_use(all_tokens):
    """The tokens that requests of a workload have, in turns: spread over all that there are."""
    return all_tokens[:: max(1, len(all_tokens) // TOKENS_IN_USE)][:TOKENS_IN_USE]


@dataclasses.dataclass(frozen=True)
class Problem:
    """One refusal of the policy."""

    status: int
    detail: str

    @property
    def title(self):
        return http.HTTPStatus(self.status).phrase


# In order of precedence, in the gateway's own words.
PROBLEMS = {
    "endpoint-unknown": Problem(404, "There is no such endpoint. Check the path and the method; if the path exists with another method, the Allow header names it."),
    "token-missing": Problem(400, "The request has no token. Send your token in the header Auth-Token."),
    "token-unknown": Problem(401, "The token is not known. Check that it was copied whole and belongs to this service."),
    "ip-not-allowed": Problem(403, "The token may not be used from this network address. Send the request from an allowed network, or have the token's list changed."),
    "domain-not-allowed": Problem(403, "The token may not be used from this web domain. Send the request from an allowed domain, or have the token's list changed."),
    "rate-exceeded": Problem(429, "Too many requests. Send the request again after the number of seconds in the Retry-After header."),
    "accept-unsupported": Problem(406, "The Accept header allows nothing that can be served here. Accept application/json."),
    "content-type-unsupported": Problem(415, "The body's media type is not supported. Send it as application/json in UTF-8, without a Content-Encoding."),
    "timeout-invalid": Problem(400, "The header Timeout-Seconds is not valid. Send one whole number of seconds from 2 to 15."),
    "reference-id-invalid": Problem(400, "The header Reference-ID is too long, is empty or has a character that is not allowed. Use 1 to 256 letters, digits, spaces or any of _-/:.,()."),
    "body-too-large": Problem(400, "The body is too large. Send at most 16384 bytes."),
    "body-empty": Problem(400, "The request has no body. Send one JSON document."),
    "body-malformed": Problem(400, "The body is not one well-formed JSON document. Check its syntax, its UTF-8 encoding, and that no key stands twice in one object."),
    "number-missing": Problem(400, "The body has no number. Send the phone number as a non-empty string in the member number."),
    "cache-days-unsupported": Problem(400, "The member cache_value_days must be a whole number from 0 to 30."),
    "deadline-exceeded": Problem(408, "There was no answer within the time allowed. Send the request again, or allow more time with the header Timeout-Seconds."),
    "upstream-unavailable": Problem(503, "The lookup service is not available at the moment. Send the request again later; nothing was charged."),
    "upstream-failed": Problem(500, "The lookup service did not give a usable answer. Send the request again later; nothing was charged."),
}


def error_object(slug, instance):
    """The body of a refusal; `instance` is put in as it is, since each contestant has its own word for it."""
    problem = PROBLEMS[slug]
    return json.dumps({
        "error": {
            "type": f"{PUBLIC_URL}/problems/{slug}",
            "title": problem.title,
            "detail": problem.detail,
            "instance": "@",
        }
    }, separators=(",", ":")).replace('"@"', f'"{instance}"')


def network_bounds():
    """The IPv4 networks as first and last address, for a contestant that has no networks of its own."""
    blocks = [ipaddress.ip_network(text) for text in NETWORKS]
    return [(int(block[0]), int(block[-1])) for block in blocks if block.version == 4]


def write(path, text):
    """Writes a file of a run, and gives its path back."""
    path = pathlib.Path(path)
    path.write_text(text)
    return path

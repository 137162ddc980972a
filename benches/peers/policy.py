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


# In order of precedence, in the gateway's own words, without where to go for more.
PROBLEMS = {
    "endpoint-unknown": Problem(404, "There is no such endpoint. Check the path and the method; if the path exists with other methods, the Allow header lists them."),
    "token-missing": Problem(400, "The request has no token. Send your token in the header Auth-Token."),
    "token-unknown": Problem(401, "The token is not valid. Check that it was copied completely and belongs to this API."),
    "ip-not-allowed": Problem(403, "The token cannot be used from this IP address. Send the request from an allowed address, or have this one added to the token's list."),
    "domain-not-allowed": Problem(403, "The token cannot be used from this web domain. Send the request from an allowed domain, or have this one added to the token's list."),
    "rate-exceeded": Problem(429, "Too many requests. Wait for the number of seconds in the Retry-After header, then send the request again."),
    "accept-unsupported": Problem(406, "None of the formats in the Accept header is supported. Send Accept: application/json, or leave the header out."),
    "content-type-unsupported": Problem(415, "The format of the body is missing or not supported. Send the header Content-Type: application/json and the body in UTF-8, without compression."),
    "timeout-invalid": Problem(400, "The header Timeout-Seconds is not valid. Send a whole number of seconds from 2 to 15, or leave the header out."),
    "reference-id-invalid": Problem(400, "The header Reference-ID is not valid. Use 1 to 256 of these characters: letters without accents, digits, spaces and _-/:.,()."),
    "body-too-large": Problem(400, "The body is too large. Send at most 16384 bytes."),
    "body-empty": Problem(400, "The request has no body. Send one JSON document."),
    "body-malformed": Problem(400, "The body is not valid JSON. Send one JSON document in UTF-8, without duplicate names in an object, nested at most 32 levels deep."),
    "number-missing": Problem(400, "The body has no number. Send the phone number as a non-empty string in the member number."),
    "cache-days-unsupported": Problem(400, "The member cache_value_days must be a whole number from 0 to 30."),
    "deadline-exceeded": Problem(408, "The lookup took longer than the time allowed. Send the request again, or allow more time with the header Timeout-Seconds. Nothing was charged."),
    "upstream-unavailable": Problem(503, "The lookup service is temporarily unavailable. Try again later; nothing was charged."),
    "upstream-failed": Problem(500, "The lookup failed because of an error on our side. Try again later; nothing was charged."),
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

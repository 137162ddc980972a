"""Requests as bytes: the one that keeps the policy, and those that break it in one way each."""

from policy import ROUTES, SLOW_TOKEN, UNKNOWN_TOKEN

GOOD_BODY = '{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7}'
# Cut short: what every contestant can find out, even one that looks for members in the text alone.
MALFORMED_BODY = '{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7'


def headers(token, **changes):
    """The header lines of an accepted request; None leaves one out. Underscores in names are dashes."""
    lines = {
        "Host": "api.example.com",
        "Auth-Token": token,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Origin": "https://app.example.com",
        "Reference-ID": "order 17/4",
        "Timeout-Seconds": "5",
    }
    lines.update({name.replace("_", "-"): value for name, value in changes.items()})
    return {name: value for name, value in lines.items() if value is not None}


def request(token, body=GOOD_BODY, path=ROUTES[0], method="POST", **changes):
    """A whole request of HTTP/1.1."""
    payload = body if isinstance(body, bytes) else body.encode()
    lines = headers(token, **changes)
    lines.setdefault("Content-Length", str(len(payload)))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + payload


def accepted(tokens):
    return [request(token) for token in tokens]


def unknown(_tokens):
    return [request(UNKNOWN_TOKEN)]


def slowed(_tokens):
    return [request(SLOW_TOKEN)]


def malformed(tokens):
    return [request(token, MALFORMED_BODY) for token in tokens]

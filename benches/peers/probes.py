"""Whether a contestant enforces the policy: one request for each rule, and what must come back.

REQUIRED is what is measured; whoever gets one of these wrong is not measured at all. STRICT is what
the contract asks for beyond that; what a contestant lets through of it is listed beside its figures.
"""

import dataclasses
import json
import socket

from contestants.base import Unfit
from policy import ANSWER, BODY_MAX_BYTES, PROBLEMS, SLOW_LIMIT_PER_MINUTE, SLOW_TOKEN
from lookups import GOOD_BODY, MALFORMED_BODY, request
from settings import TARGET

OUTSIDE = "127.9.9.9"
SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    def problem(self):
        """The slug of an error object that is exactly as the contract has it, else None."""
        try:
            document = json.loads(self.body)
            error = document["error"]
        except (ValueError, KeyError, TypeError):
            return None
        whole = list(document) == ["error"] and sorted(error) == ["detail", "instance", "title", "type"]
        texts = whole and all(isinstance(text, str) for text in error.values())
        is_json = self.headers.get("content-type", "").startswith("application/json")
        return error["type"].rsplit("/", 1)[-1] if texts and is_json else None


def required(token):
    """Name, request, status and slug; the address that it comes from."""
    good = lambda **changes: request(token, **changes)  # noqa: E731
    rows = [
        ("accepted", good(), 200, None),
        ("accepted, other path", good(path="/phone/validation/v2"), 200, None),
        ("accepted, no Origin", good(Origin=None), 200, None),
        ("accepted, subdomain", good(Origin="https://a.shop.example.com:8443"), 200, None),
        ("accepted, least headers", good(Origin=None, Accept=None, Reference_ID=None, Timeout_Seconds=None), 200, None),
        ("accepted, charset", good(Content_Type="application/json; charset=utf-8"), 200, None),
        ("accepted, list", good(Accept="text/html, application/json;q=0.5"), 200, None),
        ("accepted, no days", good(body='{"number":"+1"}'), 200, None),
        ("path", good(path="/phone/validate/v3"), 404, "endpoint-unknown"),
        ("method", good(method="PUT"), 404, "endpoint-unknown"),
        ("no token", good(Auth_Token=None), 400, "token-missing"),
        ("unknown token", request("0" * 32), 401, "token-unknown"),
        ("domain", good(Origin="https://evil.example"), 403, "domain-not-allowed"),
        ("parent domain", good(Origin="https://shop.example.com"), 403, "domain-not-allowed"),
        ("Accept", good(Accept="text/html"), 406, "accept-unsupported"),
        ("Content-Type", good(Content_Type="text/plain"), 415, "content-type-unsupported"),
        ("Content-Encoding", good(Content_Encoding="gzip"), 415, "content-type-unsupported"),
        ("Timeout-Seconds 16", good(Timeout_Seconds="16"), 400, "timeout-invalid"),
        ("Timeout-Seconds 1", good(Timeout_Seconds="1"), 400, "timeout-invalid"),
        ("Timeout-Seconds +5", good(Timeout_Seconds="+5"), 400, "timeout-invalid"),
        ("Reference-ID", good(Reference_ID="<b>"), 400, "reference-id-invalid"),
        ("no body", good(body=""), 400, "body-empty"),
        ("large body", good(body=GOOD_BODY + " " * BODY_MAX_BYTES), 400, "body-too-large"),
        ("malformed body", good(body=MALFORMED_BODY), 400, "body-malformed"),
        ("no number", good(body='{"cache_value_days":7}'), 400, "number-missing"),
        ("empty number", good(body='{"number":""}'), 400, "number-missing"),
        ("31 days", good(body='{"number":"+1","cache_value_days":31}'), 400, "cache-days-unsupported"),
        ("-1 days", good(body='{"number":"+1","cache_value_days":-1}'), 400, "cache-days-unsupported"),
        ("7.5 days", good(body='{"number":"+1","cache_value_days":7.5}'), 400, "cache-days-unsupported"),
    ]
    return [(*row, "127.0.0.1") for row in rows] + [("network", good(), 403, "ip-not-allowed", OUTSIDE)]


def strict(token):
    """Name, request, and the slug that the contract has for it."""
    good = lambda **changes: request(token, **changes)  # noqa: E731
    body = lambda text: good(body=text)  # noqa: E731
    return [
        ("JSON with an error in its middle", body('{"number":"+1","cache_value_days" 7}'), "body-malformed"),
        ("text behind the JSON", body('{"number":"+1"} {}'), "body-malformed"),
        ("a repeated key", body('{"number":"+1","number":"+2"}'), "body-malformed"),
        ("bytes that are no UTF-8", body(b'{"number":"+1\xff"}'), "body-malformed"),
        ("nesting over 32", body('{"number":"+1","x":' + "[" * 40 + "]" * 40 + "}"), "body-malformed"),
        ("a number that is no string", body('{"number":7}'), "body-invalid"),
        ("Accept with q=0", good(Accept="application/json;q=0"), "accept-unsupported"),
        ("a charset but UTF-8", good(Content_Type="application/json; charset=latin1"), "content-type-unsupported"),
        ("Origin with userinfo", good(Origin="https://app.example.com@evil.example"), "domain-not-allowed"),
        ("Origin null", good(Origin="null"), "domain-not-allowed"),
        ("Content-Length with Transfer-Encoding", good(Transfer_Encoding="chunked"), "malformed-request"),
        ("an empty Reference-ID", good(Reference_ID=""), "reference-id-invalid"),
        ("a request line of garbage", b"\x01\x02\x03 / HTTP/1.1\r\n\r\n", "malformed-request"),
        ("CONNECT", b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "malformed-request"),
        ("100 header lines", good(**{f"x{place}": "1" for place in range(100)}), "malformed-request"),
        ("no Host", good(Host=None), "malformed-request"),
    ]


def ask(port, message, source="127.0.0.1"):
    """Sends one request over a connection of its own; its answer, or None if there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS, (source, 0)) as connection:
            connection.sendall(message)
            return read_answer(connection)
    except OSError:
        return None


def read_answer(connection):
    """Reads one whole answer; None if the connection ends before it does."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length")
    chunked = "chunked" in headers.get("transfer-encoding", "")
    while (length is not None and len(body) < int(length)) or (chunked and not body.endswith(b"0\r\n\r\n")):
        piece = connection.recv(65536)
        if not piece:
            return None
        body += piece
    if chunked:
        body = unchunked(body)
    return Answer(int(first.split()[1]), headers, body)


def unchunked(data):
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2:]
    return body


def verify(contestant):
    """Raises Unfit unless every required probe comes out as it must."""
    port = contestant.ports["plain"]
    if not contestant.has_policy:
        answer = ask(port, request(contestant.bench.tokens[0]))
        if not answer or answer.status != 200 or answer.body != ANSWER.encode():
            raise Unfit(f"{contestant.name} does not pass the backend's answer on")
        return
    wrong = [fault for row in required(contestant.bench.tokens[0]) if (fault := judge(port, *row))]
    for _ in range(SLOW_LIMIT_PER_MINUTE + 1):
        answer = ask(port, request(SLOW_TOKEN))
    if not answer or answer.status != 429 or answer.problem() != "rate-exceeded" or "retry-after" not in answer.headers:
        wrong.append(f"rate: {answer}")
    if wrong:
        raise Unfit(f"{contestant.name} does not enforce the policy:\n  " + "\n  ".join(wrong))


def judge(port, name, message, status, slug, source):
    """What is wrong with the answer to a required probe; None if nothing is."""
    answer = ask(port, message, source)
    if answer is None:
        return f"{name}: no answer"
    if answer.status != status:
        return f"{name}: {answer.status} instead of {status}: {answer.body[:200]}"
    if slug is None and answer.body != ANSWER.encode():
        return f"{name}: not the backend's answer: {answer.body[:200]}"
    if slug is not None and answer.problem() != slug:
        return f"{name}: not the error object of {slug}: {answer.body[:300]}"
    reference = answer.headers.get("reference-id")
    sent = b"Reference-ID: order 17/4" in message
    if not reference or (sent and reference != "order 17/4") or "transaction-id" not in answer.headers:
        return f"{name}: no Reference-ID or Transaction-Id: {answer.headers}"
    return None


def let_through(contestant):
    """The strict probes that do not come out as the contract says, and what was answered instead."""
    found = {}
    for name, message, slug in strict(contestant.bench.tokens[0]):
        answer = ask(contestant.ports["plain"], message)
        if answer is None:
            found[name] = "no answer"
        elif answer.problem() != slug:
            expected = PROBLEMS[slug].status if slug in PROBLEMS else 400
            other = answer.problem() or ("accepted" if answer.status == 200 else "no error object")
            found[name] = f"{answer.status}, {other}" + ("" if answer.status == expected or answer.status == 200 else f" instead of {expected}")
    return found

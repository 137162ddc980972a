"""Writes inputs to begin with into target/seeds: those of the gateway's own files, and of the public corpora of
`../shared`, if they are beside the repository. None of them is committed; seeds/ has those that are."""

import base64
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SHARED = ROOT.parent / "shared" / "corpora"
LONGEST = 8192


def write(target, number, data):
    if len(data) <= LONGEST:
        directory = HERE / "target" / "seeds" / target
        directory.mkdir(parents=True, exist_ok=True)
        (directory / str(number)).write_bytes(data)


def corpus(name):
    path = SHARED / name
    if path.is_file():
        for line in path.read_text().splitlines():
            case = json.loads(line)
            if "b64" in case:
                yield base64.b64decode(case["b64"])


def with_token(request):
    """The request, let in: so that more of it is looked at than its head."""
    lines = request.split(b"\r\n", 1)
    words = lines[0].split(b" ")
    if len(lines) < 2 or len(words) != 3:
        return request
    words[1] = b"/lookup" if words[0] == b"POST" else b"/plain"
    return b" ".join(words) + b"\r\nAuth-Token: t\r\nContent-Type: application/json\r\n" + lines[1]


def main():
    for target in (HERE / "seeds").iterdir():
        (HERE / "target" / "seeds" / target.name).mkdir(parents=True, exist_ok=True)
    requests = [*corpus("http11probe.jsonl"), *corpus("llhttp_requests_host.jsonl")]
    for number, request in enumerate(requests):
        write("heads", number, b"\x07" + request)
        write("connections", number, request)
        write("connections", f"{number}-let-in", with_token(request))
        _, separator, body = request.partition(b"\r\n\r\n")
        if separator and body:
            write("chunked", number, b"\x07" + body)
    for number, document in enumerate(corpus("jsontestsuite.jsonl")):
        write("bodies", number, document)
        write("bodies", f"{number}-judged", b'{"type":"object","required":["a"]}\0' + document)
        write("yaml", f"json-{number}", document)
    for number, path in enumerate(sorted((ROOT / "config").glob("*.yaml"))):
        write("yaml", f"config-{number}", path.read_bytes())
    mistakes = ROOT / "src" / "config" / "mistakes"
    for number, path in enumerate(sorted(mistakes.glob("*/base.yaml"))):
        write("yaml", f"base-{number}", path.read_bytes())
    for number, path in enumerate(sorted((ROOT / "config").glob("*.schema.json"))):
        write("bodies", f"schema-{number}", path.read_bytes() + b'\0{"number":"+44 7400 123456"}')


main()

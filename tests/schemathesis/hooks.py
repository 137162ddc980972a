"""A key of a lookup that may be sent again belongs to one request: each gets a key of its own in place of a good one."""

import re
import uuid

import schemathesis

HEADER = "Idempotency-Key"
GOOD = re.compile(r'"?[!#-\[\]-~]{1,255}"?')


@schemathesis.hook
def before_call(context, case, kwargs):
    for name in [name for name in case.headers or {} if name.lower() == HEADER.lower()]:
        if GOOD.fullmatch(str(case.headers[name])):
            case.headers[name] = str(uuid.uuid4())

"""The backend of lookups. It answers each with the same, after a delay, and remembers the Transaction-Id of each: so it
is known what was asked for on whose behalf, whatever gateways have written."""

import asyncio
import collections

ANSWER = (
    b'{"result":{"number":"+44 7400 123456","validated_phone_number":"+447400123456",'
    b'"formatted_phone_number":"+44 7400 123456","phone_type":"Mobile","confidence":"Verified"}}'
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
)


def fields(head):
    """The headers of a message, by their names in lower case."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines if name}


class Backend:
    """Listens on a port of this machine from the beginning to the end."""

    def __init__(self, loop, port, delay):
        self.port, self.delay = port, delay
        # How often each Transaction-Id was seen.
        self.seen = collections.Counter()
        loop.call(self._listen())

    async def _listen(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = fields(head[:-4])
                await reader.readexactly(int(found.get(b"content-length", 0)))
                self.seen[found.get(b"transaction-id", b"").decode()] += 1
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(RESPONSE)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

"""Clients: they send lookups to gateways at random, and write down what became of each."""

import asyncio
import collections
import json
import random
import time

from backend import fields
from gateways import token

BODY = b'{"number":"+44 7400 123456","output_format":"E164","cache_value_days":7}'
# How long a client waits for an answer. What becomes of the lookup afterwards is not known to it.
PATIENCE = 20.0
# After at most so many seconds a client is gone that does not wait.
GONE_AFTER = 0.02
# What a client sees that gets no whole answer: nobody was there, so that nothing was sent, or the connection ended, or it
# has lost patience.
REFUSED, BROKEN, LATE = "nobody", "broken", "late"

Answer = collections.namedtuple("Answer", "gateway account sent done status row transaction charged")


def request(account):
    return (
        f"POST /phone/validate/v2 HTTP/1.1\r\nHost: api.example.com\r\nAuth-Token: {token(account)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY


def row_of(status, body):
    """The row of the table of problems that an answer has."""
    if status == 200:
        return "answered"
    try:
        return json.loads(body)["error"]["type"].rpartition("/")[2]
    except (ValueError, KeyError, TypeError):
        return "no problem of the table"


class Client:
    """Keeps one connection to each gateway, as long as that lasts."""

    def __init__(self, answers):
        self.answers, self.connections = answers, {}

    async def ask(self, gateway, account, patience=PATIENCE):
        """Sends one lookup, and writes down what became of it."""
        sent, outcome = time.monotonic(), (0, REFUSED, "", 0)
        try:
            connection = self.connections.get(gateway)
            if connection is None:
                connection = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", gateway.port), 5)
                self.connections[gateway] = connection
            outcome = (0, BROKEN, "", 0)
            connection[1].write(request(account))
            outcome, ends = await asyncio.wait_for(self._read(connection[0]), patience)
            if ends:
                self.close(gateway)
        except asyncio.TimeoutError:
            outcome = outcome if outcome[1] == REFUSED else (0, LATE, "", 0)
            self.close(gateway)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.close(gateway)
        except asyncio.CancelledError:
            # It was sent, and nobody waits for it any more.
            self.answers.append(Answer(gateway, account, sent, time.monotonic(), *outcome))
            self.close(gateway)
            raise
        answer = Answer(gateway, account, sent, time.monotonic(), *outcome)
        self.answers.append(answer)
        return answer

    async def _read(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        found, status = fields(head[:-4]), int(head[9:12])
        body = await reader.readexactly(int(found.get(b"content-length", 0)))
        transaction, charged = found.get(b"transaction-id", b"").decode(), int(found.get(b"x-credits-charged", 0))
        ends = found.get(b"connection", b"").lower() == b"close"
        return (status, row_of(status, body), transaction, charged), ends

    def close(self, gateway):
        connection = self.connections.pop(gateway, None)
        if connection:
            connection[1].transport.abort()

    def close_all(self):
        for gateway in list(self.connections):
            self.close(gateway)


class Load:
    """Clients that send so many lookups a second together, from the beginning until they are stopped."""

    def __init__(self, loop, gateways, round_, options, gone=0.0):
        self.loop, self.gateways, self.accounts = loop, list(gateways), round_.accounts
        self.pause = options.clients / options.rate
        self.random = random.Random(f"{options.seed}-{round_.number}")
        # The part of lookups whose client does not wait for an answer.
        self.gone = gone
        self.answers, self.stopping = round_.answers, False
        # Of the clients, no more than so many wait for one gateway, so that one that is silent does not end all load.
        self.waiting, self.most = collections.Counter(), max(2, options.clients // (len(self.gateways) + 1))
        self.tasks = [loop.begin(self._client(number / options.clients)) for number in range(options.clients)]

    def join(self, gateway):
        """Another gateway gets lookups as well."""
        self.gateways.append(gateway)

    def leave(self, gateway):
        if gateway in self.gateways:
            self.gateways.remove(gateway)

    async def _client(self, phase):
        client = Client(self.answers)
        await asyncio.sleep(phase * self.pause)
        names, weights = list(self.accounts), list(self.accounts.values())
        try:
            while not self.stopping:
                began = time.monotonic()
                gateway = self.random.choice(self.gateways)
                if self.waiting[gateway] < self.most:
                    self.waiting[gateway] += 1
                    try:
                        await client.ask(gateway, self.random.choices(names, weights)[0], self._patience())
                    finally:
                        self.waiting[gateway] -= 1
                pause = self.pause * self.random.uniform(0.2, 1.8)
                await asyncio.sleep(max(0.001, began + pause - time.monotonic()))
        finally:
            client.close_all()

    def _patience(self):
        return self.random.uniform(0, GONE_AFTER) if self.random.random() < self.gone else PATIENCE

    def stop(self):
        """Ends it, after the answers to what was sent."""
        self.stopping = True
        for task in self.tasks:
            task.result(PATIENCE + 10)


class Buyer:
    """Buys one lookup after the other, for whoever looks at each answer."""

    def __init__(self, loop, answers):
        self.loop, self.client = loop, Client(answers)

    def buy(self, gateway, account):
        return self.loop.call(self.client.ask(gateway, account))

    def buy_many(self, gateways, account, count, beside=8):
        """Sends so many lookups, some at a time, until one is not answered with 200."""
        return self.loop.call(self._many(gateways, account, count, beside))

    async def _many(self, gateways, account, count, beside):
        left, answers = [count], self.client.answers

        async def buy(gateway):
            client = Client(answers)
            while left[0] > 0:
                left[0] -= 1
                if (await client.ask(gateway, account)).status != 200:
                    break
            client.close_all()

        await asyncio.gather(*(buy(gateways[number % len(gateways)]) for number in range(beside)))

    def close(self):
        async def close():
            self.client.close_all()

        self.loop.call(close())

"""What stands between one gateway and one server of the database, and can be told to let nothing pass.

    stall    connections stay, and bytes of one or of both directions wait: for a late delivery, or to be lost
    cut      connections are ended, and new ones as soon as they are made

Bytes that wait here were accepted by this machine, so that the sender's kernel does not notice: to a gateway it is a
server that accepts and says nothing.
"""

import asyncio

TO_SERVER, TO_GATEWAY = "to the server", "to the gateway"


class Proxy:
    """Listens on a port from the beginning to the end, and connects to another one."""

    def __init__(self, loop, port, target):
        self.loop, self.port, self.target = loop, port, target
        self.is_cut = False
        self.links = set()
        loop.call(self._listen())

    async def _listen(self):
        self.gates = {TO_SERVER: asyncio.Event(), TO_GATEWAY: asyncio.Event()}
        for gate in self.gates.values():
            gate.set()
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _accept(self, reader, writer):
        if self.is_cut:
            return writer.transport.abort()
        try:
            onwards = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return writer.transport.abort()
        writers = (writer, onwards[1])
        self.links.add(writers)
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, onwards[1], TO_SERVER)),
                asyncio.create_task(self._pump(onwards[0], writer, TO_GATEWAY)),
            ]
            # Where one side ends, the other one is told.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
        finally:
            self.links.discard(writers)
            for one in writers:
                one.close()

    async def _pump(self, reader, writer, direction):
        try:
            while True:
                piece = await reader.read(1 << 16)
                # The end of a connection does not pass either.
                await self.gates[direction].wait()
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass

    def stall(self, *directions):
        self.loop.call(self._stall(directions))

    async def _stall(self, directions):
        for direction in directions:
            self.gates[direction].clear()

    def cut(self):
        self.loop.call(self._cut())

    async def _cut(self):
        self.is_cut = True
        self._drop()

    def _drop(self):
        for writers in list(self.links):
            for writer in writers:
                writer.transport.abort()

    def heal(self, late):
        """Lets everything pass again. What was waiting is delivered late, or lost together with its connection."""
        self.loop.call(self._heal(late))

    async def _heal(self, late):
        if not late and not all(gate.is_set() for gate in self.gates.values()):
            self._drop()
            # Before what was waiting can be written.
            await asyncio.sleep(0.05)
        self.is_cut = False
        for gate in self.gates.values():
            gate.set()

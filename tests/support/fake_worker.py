"""A worker that does as a test tells it: ZMTP 3.0 (NULL mechanism) and MessagePack, written from
their specifications and not from the project's code. Standard library only, plus libxxhash.
"""
import ctypes
import socket
import struct
import time
import uuid

VERSION = "0.1.0"
PROTO = 2
HELLO, READY, GOLDEN, RESULTS, HEARTBEAT, RETURN, FAILED, BYE = range(1, 9)
WHO, WELCOME, GRANT, ACK, STOP, REJECT = range(64, 70)


def pack(value):
    """MessagePack of the types that the protocol has."""
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if value < 0:
            return struct.pack(">bh", -47, value)
        if value < 128:
            return bytes([value])
        return b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return b"\xda" + struct.pack(">H", len(raw)) + raw
    if isinstance(value, bytes):
        return b"\xc5" + struct.pack(">H", len(value)) + value
    body = b"".join(pack(v) for v in value)
    return (bytes([0x90 + len(value)]) if len(value) < 16
            else b"\xdc" + struct.pack(">H", len(value))) + body


def unpack(raw, at=0):
    """(value, next offset) of one MessagePack object."""
    tag = raw[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if 0x90 <= tag < 0xa0 or tag in (0xdc, 0xdd):
        if tag < 0xa0:
            count = tag - 0x90
        else:
            size = 2 if tag == 0xdc else 4
            count = int.from_bytes(raw[at:at + size], "big")
            at += size
        items = []
        for _ in range(count):
            value, at = unpack(raw, at)
            items.append(value)
        return items, at
    if 0xa0 <= tag < 0xc0:
        return raw[at:at + tag - 0xa0].decode(), at + tag - 0xa0
    if tag in (0xc2, 0xc3):
        return tag == 0xc3, at
    if tag in (0xcc, 0xcd, 0xce, 0xcf):
        size = 1 << (tag - 0xcc)
        return int.from_bytes(raw[at:at + size], "big"), at + size
    if tag in (0xd0, 0xd1, 0xd2, 0xd3):
        size = 1 << (tag - 0xd0)
        return int.from_bytes(raw[at:at + size], "big", signed=True), at + size
    if tag == 0xcb:
        return struct.unpack(">d", raw[at:at + 8])[0], at + 8
    size = {0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4}[tag]
    length = int.from_bytes(raw[at:at + size], "big")
    body = raw[at + size:at + size + length]
    return (body.decode() if tag >= 0xd9 else body), at + size + length


def record(sdc=0, critical=0):
    """An encoded trial record: ten inputs, `sdc` of them silently wrong."""
    head = struct.pack("<4B5I2Q4d7Q", 1, 2 if sdc else 0, critical, 0, 10, 10 - sdc, 0, sdc, 0, 10,
                       sdc, 1 - sdc / 10, 0.5, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 7)
    xxhash = ctypes.CDLL("libxxhash.so.0")
    xxhash.XXH3_64bits.restype = ctypes.c_uint64
    xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return head + struct.pack("<Q", xxhash.XXH3_64bits(head, len(head)))


class FakeWorker:
    """One connection to a coordinator's ROUTER."""

    def __init__(self, endpoint, threads=1, version=VERSION):
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.inbox = b"", []
        self.uuid = str(uuid.uuid4())
        self.boot_ms = int(time.time() * 1000)
        self.threads, self.version, self.sequence = threads, version, 0
        self.fingerprint = bytes(32)
        self.socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
        self._take(64)
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
        self.socket.sendall(bytes([4, len(ready)]) + ready)

    def close(self):
        self.socket.close()

    def _take(self, size):
        while len(self.buffer) < size:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the coordinator closed the connection")
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def frame(self):
        """The next message frame; answers the heartbeats of ZMTP on the way."""
        while True:
            flags = self._take(1)[0]
            size = struct.unpack(">Q", self._take(8))[0] if flags & 2 else self._take(1)[0]
            body = self._take(size)
            if not flags & 4:
                return body
            if body.startswith(b"\x04PING"):
                pong = b"\x04PONG" + body[7:]
                self.socket.sendall(bytes([4, len(pong)]) + pong)

    def receive(self, wanted=None, timeout=10):
        """The next message of a type (None: any) as a list without its version; others are kept."""
        deadline = time.time() + timeout
        for message in self.inbox:
            if wanted is None or message[0] == wanted:
                self.inbox.remove(message)
                return message
        while True:
            self.socket.settimeout(max(0.01, deadline - time.time()))
            message = unpack(self.frame())[0][1:]
            if wanted is None or message[0] == wanted:
                return message
            self.inbox.append(message)

    def send_raw(self, frame):
        head = bytes([0, len(frame)]) if len(frame) < 256 else b"\x02" + struct.pack(">Q", len(frame))
        self.socket.sendall(head + frame)

    def send(self, kind, *fields):
        self.send_raw(pack([PROTO, kind, *fields]))

    def hello(self, leases=()):
        self.send(HELLO, self.uuid, self.boot_ms, "fake", 1, self.threads, "fake", self.version,
                  self.fingerprint, [list(lease) for lease in leases], 0)

    def join(self):
        """HELLO, WELCOME, READY; returns the WELCOME."""
        self.hello()
        welcome = self.receive(WELCOME)
        self.fingerprint = welcome[1]
        self.send(READY, self.fingerprint)
        return welcome

    def grant(self):
        """The next lease: (id, cell, first, count)."""
        return tuple(self.receive(GRANT)[1])

    def heartbeat(self, *leases):
        self.send(HEARTBEAT, list(leases), 0, 0)

    def golden(self, checksum=0, rows=0, bounds=0):
        self.send(GOLDEN, 0, 1.0, 0.0, 100, checksum, 0, rows, 0, bounds)

    def results(self, lease, results, last=0, cost_us=1000):
        """Sends (trial, record) pairs of a lease; returns their sequence number."""
        self.sequence += 1
        self.send(RESULTS, lease[0], self.sequence, lease[1], last, cost_us,
                  [list(result) for result in results])
        return self.sequence

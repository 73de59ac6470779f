"""Compressed messages that inflate to a thousand times their size, by bare sockets: `python3 deflate_bomb.py ECHO_SERVER
WS [MEBIBYTES]`. To our server, then to our client.

Their memory may grow by that many MiB, where nothing is said by 17: the largest message they take, and 1 MiB.
"""

import base64
import contextlib
import hashlib
import os
import socket
import struct
import subprocess
import sys
import zlib

from peers import echo_server, run, skip

ECHO_SERVER, WS = sys.argv[1:3]
GROWTH = int(sys.argv[3]) << 10 if len(sys.argv) > 3 else 17 << 10  # KiB
TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88
RSV1 = 0x40
OFFER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
PIECE = 64 << 20
GIGABYTES = 6


def bomb():
    """GIGABYTES * 10^9 zeros and more, in 6 MB: one compressed piece after the other, each of which needs nothing of
    those before it. The last goes without its tail (RFC 7692 7.2.1)."""
    packer = zlib.compressobj(9, wbits=-15)
    zeros = bytes(1 << 20)
    piece = b"".join(packer.compress(zeros) for _ in range(PIECE >> 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return (piece * (GIGABYTES * 10**9 // PIECE + 1))[:-4]


BOMB = bomb()
assert 5 << 20 < len(BOMB) < 7 << 20, len(BOMB)


class Peer:
    """An open connection, as `masks` or not; the bytes behind the head."""

    def __init__(self, connected, masks):
        self.socket = connected
        self.socket.settimeout(20)
        self.masks = masks
        self.input = connected.makefile("rb")

    def head(self):
        lines = iter(lambda: self.input.readline().strip(), b"")
        return {name.lower(): value.strip() for name, _, value in (line.decode().partition(":") for line in lines)}

    def send(self, first, payload):
        """Where it masks it does so with zero. A peer that has ended the connection isn't this side's fault."""
        bit = 0x80 if self.masks else 0
        size = len(payload)
        if size < 126:
            length = struct.pack(">B", bit | size)
        elif size < 1 << 16:
            length = struct.pack(">BH", bit | 126, size)
        else:
            length = struct.pack(">BQ", bit | 127, size)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(bytes([first]) + length + (bytes(4) if self.masks else b"") + payload)

    def frame(self):
        first, length = self.input.read(2)
        masked, length = length & 0x80, length & 0x7F
        if length > 125:
            length = int.from_bytes(self.input.read(2 if length == 126 else 8), "big")
        mask = self.input.read(4) if masked else bytes(4)
        return first, bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.input.read(length)))

    def message(self):
        first, payload = self.frame()
        if first & RSV1:
            payload = zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff")
        return first & ~RSV1, payload

    def close(self):
        self.input.close()
        self.socket.close()


@contextlib.contextmanager
def as_client_of(server):
    peer = Peer(socket.create_connection(("127.0.0.1", server.port), 20), masks=True)
    peer.socket.sendall(("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                         f"Sec-WebSocket-Extensions: {OFFER}\r\n\r\n").encode())
    assert peer.head()["sec-websocket-extensions"] == OFFER
    try:
        yield peer, server.process.pid
    finally:
        peer.close()


@contextlib.contextmanager
def as_server_of_ws():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        port = listening.getsockname()[1]
        command = [WS, "--deflate", "--timeout", "30", "--quiet", f"ws://127.0.0.1:{port}/"]
        # Its input is kept open: it would close soon after the end.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ws:
            peer = Peer(listening.accept()[0], masks=False)
            request = peer.head()
            assert "permessage-deflate" in request["sec-websocket-extensions"], request
            key = request["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
            peer.socket.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: {OFFER}\r\n\r\n").encode())
            try:
                yield peer, ws
            finally:
                peer.close()
                ws.kill()


def memory(pid, field):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))


@contextlib.contextmanager
def bounded_memory(pid, what):
    """Fails where the peak of resident memory grows by more than GROWTH."""
    with open(f"/proc/{pid}/clear_refs", "w") as clear:
        clear.write("5")  # sets the peak back
    before = memory(pid, "VmRSS")
    yield
    grown = memory(pid, "VmHWM") - before
    print(f"       {what}: {grown} KiB more")
    assert grown <= GROWTH, f"{what}: {grown} KiB"


def fragments(message):
    """As one frame, and as many: only the first has RSV1 (RFC 7692 6.1)."""
    yield "in one frame", [(BINARY | RSV1, message)]
    size = 4096
    first, *rest = [message[at : at + size] for at in range(0, len(message), size)]
    yield "in fragments", [(RSV1 | 0x02, first), *((0x00, each) for each in rest[:-1]), (0x80, rest[-1])]


def explode(peer, pid, what, frames):
    with bounded_memory(pid, what):
        for first, payload in frames:
            peer.send(first, payload)
        first, payload = peer.frame()
        assert (first, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big")), (first, payload)
        peer.send(CLOSE, payload[:2])


def the_server_closes_with_1009():
    for what, frames in fragments(BOMB):
        # A server of its own each time: memory that the first one has taken might serve the second.
        with echo_server(ECHO_SERVER, "--deflate") as server:
            with as_client_of(server) as (peer, pid):
                hello = zlib.compressobj(wbits=-15)
                peer.send(TEXT | RSV1, (hello.compress(b"Hello") + hello.flush(zlib.Z_SYNC_FLUSH))[:-4])
                assert peer.message() == (TEXT, b"Hello")
                explode(peer, pid, what, frames)
            with as_client_of(server) as (peer, _):
                peer.send(TEXT, b"still there?")
                assert peer.message() == (TEXT, b"still there?")
            assert server.stop() == 0


def the_client_closes_with_1009():
    for what, frames in fragments(BOMB):
        with as_server_of_ws() as (peer, ws):
            peer.send(TEXT, b"Hello")
            assert ws.stdout.readline() == b"Hello\n"
            explode(peer, ws.pid, what, frames)
            peer.close()  # RFC 6455 7.1.1: the server's turn
            assert ws.wait(20) == 1
            said = ws.stderr.read()
            assert b"limits::message_bytes" in said, said


if not os.path.exists("/proc/self/clear_refs"):
    skip("this system does not tell a process's peak of memory")
run([the_server_closes_with_1009, the_client_closes_with_1009], lambda case: case())

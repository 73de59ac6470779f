"""What no decent client sends, by bare sockets to our echo server: `python3 raw_abuse.py ECHO_SERVER [MEBIBYTES]`.

The server's memory may grow by that many MiB, 8 where nothing is said, in each of the cases that try to make it grow.
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time

from peers import echo_server, run

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3
HEAD = f"""GET /path HTTP/1.1
Host: localhost
Upgrade: websocket
Connection: keep-alive, Upgrade
Sec-WebSocket-Key: {KEY}
Sec-WebSocket-Version: 13
"""
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
FLAT = 8 << 10  # KiB

server = None


def frame(first, payload=b"", announced=None):
    """A client's frame whose mask is zero; `announced` lies about its length."""
    size = len(payload) if announced is None else announced
    if size < 126:
        length = struct.pack(">B", 0x80 | size)
    elif size < 1 << 16:
        length = struct.pack(">BH", 0x80 | 126, size)
    else:
        length = struct.pack(">BQ", 0x80 | 127, size)
    return bytes([first]) + length + bytes(4) + payload


class Client:
    def __init__(self, to=None):
        self.socket = socket.create_connection(("127.0.0.1", (to or server).port), 20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends; a server that has ended the connection isn't this side's fault."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def take(self, size):
        while len(self.buffer) < size:
            got = self.socket.recv(1 << 16)
            if not got:
                raise EOFError(f"the connection ended behind {self.buffer!r}")
            self.buffer += got
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def head(self):
        """The answer's status and its head."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.take(1)
        return int(head.split()[1]), head

    def frame(self):
        first, length = self.take(2)
        if length == 126:
            length = int.from_bytes(self.take(2), "big")
        elif length == 127:
            length = int.from_bytes(self.take(8), "big")
        return first, self.take(length)

    def close_code(self):
        """The code of the next Close, what comes before it left aside; then the connection must end."""
        first = None
        while first != CLOSE:
            first, payload = self.frame()
        self.send(frame(CLOSE, payload[:2]))
        assert not self.socket.recv(1)
        return int.from_bytes(payload[:2], "big")


def lines(text):
    return text.replace("\n", "\r\n").encode() + b"\r\n"


def opened():
    client = Client()
    client.send(lines(HEAD))
    status, head = client.head()
    assert status == 101 and ACCEPT in head, head
    return client


def status_of(request, to=None):
    with Client(to) as client:
        client.send(request if isinstance(request, bytes) else lines(request))
        return client.head()[0]


def memory(field):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":"))


@contextlib.contextmanager
def flat_memory(what):
    """Fails where the server's peak of resident memory grows by more than FLAT."""
    if not os.path.exists("/proc/self/clear_refs"):
        yield
        return
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as clear:
        clear.write("5")  # sets the peak back
    before = memory("VmRSS")
    yield
    grown = memory("VmHWM") - before
    print(f"       {what}: {grown} KiB more")
    assert grown < FLAT, f"{what}: {grown} KiB"


def requests_get_the_status_that_names_their_fault():
    def without(name):
        return "".join(line for line in HEAD.splitlines(True) if not line.startswith(name))

    for expected, what, request in [
        (101, "as it should be", HEAD),
        (101, "names and tokens in any case", HEAD.replace("Upgrade: websocket", "uPGRADE: WebSocket")),
        (101, "an extension called constructor", HEAD + "Sec-WebSocket-Extensions: constructor, toString\n"),
        (400, "no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        (400, "no Host", without("Host")),
        (400, "two Hosts", HEAD + "Host: other\n"),
        (400, "no Connection", without("Connection")),
        (400, "Connection without upgrade", HEAD.replace("keep-alive, Upgrade", "keep-alive")),
        (400, "no key", without("Sec-WebSocket-Key")),
        (400, "two keys", HEAD + f"Sec-WebSocket-Key: {KEY}\n"),
        (400, "a short key", HEAD.replace(KEY, "c2hvcnQ=")),
        (400, "a key that is no base64", HEAD.replace(KEY, "!" * 24)),
        (400, "a body", HEAD + "Content-Length: 5\n"),
        (400, "a chunked body", HEAD + "Transfer-Encoding: chunked\n"),
        (400, "a folded header", HEAD + "X: a\n b\n"),
        (400, "a space before the colon", HEAD + "X : a\n"),
        (400, "NUL in a header", HEAD + "X: a\0b\n"),
        (400, "bare line feeds", (HEAD + "\n").encode()),
        (400, "a subprotocol that is no token", HEAD + "Sec-WebSocket-Protocol: a/b\n"),
        (405, "POST", HEAD.replace("GET", "POST")),
        (505, "HTTP/1.0", HEAD.replace("HTTP/1.1", "HTTP/1.0")),
        (505, "HTTP/2.0", HEAD.replace("HTTP/1.1", "HTTP/2.0")),
    ]:
        status = status_of(request)
        assert status == expected, f"{what}: {status}"


def a_426_names_the_version_that_the_server_speaks():
    for request in [
        HEAD.replace("Version: 13", "Version: 8"),
        HEAD.replace("Version: 13", "Version: 014"),
        "GET / HTTP/1.1\nHost: localhost\n",
    ]:
        with Client() as client:
            client.send(lines(request))
            status, head = client.head()
            assert status == 426 and b"Sec-WebSocket-Version: 13\r\n" in head, head


def heads_have_limits():
    with flat_memory("heads beyond the limits"):
        assert status_of(HEAD.replace("/path", "/" + "a" * 65536)) == 414
        assert status_of(HEAD + "X: a\n" * 10_000) == 431
        for name in ["Key", "Version", "Protocol", "Extensions"]:
            for what in [" ", ",", " ,", "a;", '"']:
                assert status_of(HEAD + f"Sec-WebSocket-{name}: {what * 65536}\n") == 431, (name, what)
        with Client() as client:
            client.send(lines(HEAD)[:-2] + b"X: ")
            for _ in range(200):
                client.send(b"a" * 100_000)
            # The server need not read all of this to say so.
            with contextlib.suppress(ConnectionResetError, EOFError):
                assert client.head()[0] == 431


def origins_are_compared_whole():
    with echo_server(sys.argv[1], "--origin", "https://example.com") as strict:
        for expected, origin in [
            (101, "https://example.com"),
            (101, "HTTPS://EXAMPLE.COM:443"),
            (403, "https://evil-example.com"),
            (403, "https://example.com.evil"),
            (403, "https://example.com:444"),
            (403, "http://example.com"),
            (403, "https://example.com/path"),
            (403, "null"),
            (403, ""),
        ]:
            assert status_of(HEAD + f"Origin: {origin}\n", strict) == expected, origin
        assert status_of(HEAD, strict) == 101


def bytes_behind_the_request_belong_to_the_websocket():
    with Client() as client:
        client.send(lines(HEAD) + frame(TEXT, b"early") + frame(CLOSE, b"\x03\xe8"))
        assert client.head()[0] == 101
        assert client.frame() == (TEXT, b"early")
        assert client.close_code() == 1000
    with Client() as client:
        client.send(lines(HEAD) * 2)
        assert client.head()[0] == 101
        assert client.close_code() == 1002


def a_handshake_may_come_byte_by_byte():
    with Client() as client:
        for byte in lines(HEAD) + frame(TEXT, b"slow"):
            client.send(bytes([byte]))
        assert client.head()[0] == 101
        assert client.frame() == (TEXT, b"slow")


def frames_may_be_cut_anywhere():
    sent = (
        frame(TEXT, "grüße".encode())
        + frame(0x01, b"\xf0\x9f")
        + frame(PING, b"?")
        + frame(0x80, b"\x8e\x89")
        + frame(BINARY, bytes(126))
        + frame(BINARY, b"\xff" * 65536)
        + frame(CLOSE, b"\x0b\xb9bye")
    )
    expected = [(TEXT, "grüße".encode()), (TEXT, "🎉".encode()), (BINARY, bytes(126)), (BINARY, b"\xff" * 65536)]

    def check(client):
        got = [client.frame() for _ in range(len(expected) + 1)]
        # RFC 6455 5.4: control frames may overtake.
        got.remove((PONG, b"?"))
        assert got == expected
        assert client.close_code() == 3001

    places = [*range(1, 190), *range(len(sent) - 16, len(sent))]
    for cut in places:
        with opened() as client:
            client.send(sent[:cut])
            time.sleep(0.0005)
            client.send(sent[cut:])
            check(client)
    # Byte by byte, and ended within each frame.
    with opened() as client:
        for byte in sent[:200]:
            client.send(bytes([byte]))
        client.send(sent[200:])
        check(client)
    for cut in places:
        with opened() as client:
            client.send(sent[:cut])


def requests_may_be_cut_off_anywhere():
    whole = lines(HEAD)
    for cut in range(len(whole)):
        with Client() as client:
            client.send(whole[:cut])


def an_announced_length_costs_nothing():
    with flat_memory("2^40 bytes announced"):
        with opened() as client:
            client.send(frame(BINARY, b"0123456789", announced=1 << 40))
            assert client.close_code() == 1009
        with contextlib.ExitStack() as stack:
            for _ in range(50):
                stack.enter_context(opened()).send(frame(BINARY, b"0123456789", announced=15 << 20))


def a_million_fragments_cost_nothing():
    for size, what in [(0, "empty"), (1, "one-byte")]:
        with flat_memory(f"1,000,000 {what} fragments"), opened() as client:
            client.send(frame(0x02))
            client.send(frame(0x00, b"x" * size) * 1_000_000)
            assert client.close_code() == 1008


def pings_flood_a_server_whose_answers_are_not_read():
    with flat_memory("pings without end"), opened() as client:
        client.socket.settimeout(1)
        pings = frame(PING, b"p" * 125) * 1000
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                client.socket.sendall(pings)


def echoes_that_are_not_read_stop_the_reading():
    with flat_memory("messages without end"), opened() as client:
        client.socket.settimeout(1)
        messages = frame(BINARY, bytes(1000)) * 1000
        stalled = False
        try:
            for _ in range(100):
                client.socket.sendall(messages)
        except TimeoutError:
            stalled = True
        assert stalled, "100 MB were taken and nobody reads the answers"


def a_handshake_has_a_deadline():
    # One client has said nothing since the beginning, the other says a byte now and then.
    while not select.select([silent.socket], [], [], 0.5)[0]:
        slow.send(b"a")
    assert silent.head()[0] == 408
    # Bytes that crossed the server's answer may reset the connection before it is read.
    with contextlib.suppress(ConnectionResetError):
        assert slow.head()[0] == 408
    silent.socket.close()
    slow.socket.close()


def the_server_still_serves():
    with opened() as client:
        client.send(frame(TEXT, b"still there?"))
        assert client.frame() == (TEXT, b"still there?")
        server.process.terminate()
        assert client.close_code() == 1001
    assert server.process.wait(20) == 0


CASES = [
    requests_get_the_status_that_names_their_fault,
    a_426_names_the_version_that_the_server_speaks,
    heads_have_limits,
    origins_are_compared_whole,
    bytes_behind_the_request_belong_to_the_websocket,
    a_handshake_may_come_byte_by_byte,
    frames_may_be_cut_anywhere,
    requests_may_be_cut_off_anywhere,
    an_announced_length_costs_nothing,
    a_million_fragments_cost_nothing,
    pings_flood_a_server_whose_answers_are_not_read,
    echoes_that_are_not_read_stop_the_reading,
    a_handshake_has_a_deadline,
    the_server_still_serves,
]

if __name__ == "__main__":
    if len(sys.argv) > 2:
        FLAT = int(sys.argv[2]) << 10
    with echo_server(sys.argv[1]) as server, Client() as silent, Client() as slow:
        slow.send(b"GET / HTTP/1.1\r\nX: ")
        run(CASES, lambda case: case())

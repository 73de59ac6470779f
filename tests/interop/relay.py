"""A TCP relay that looks at the WebSocket frames which pass through it, in both directions."""

import asyncio
import contextlib


class Frames:
    """What one direction has carried: the HTTP head, then how many frames of which kind. No payload is looked at."""

    def __init__(self):
        self.head = None
        self.plain = 0
        self.compressed = 0
        self.wrong = []  # first bytes that have RSV1 where RFC 7692 6 has none
        self._buffer = b""
        self._skip = 0

    def feed(self, data):
        self._buffer += data
        if self.head is None:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self.head, self._buffer = head.decode(), rest
        at = 0
        while size := self._take_frame(at):
            at += size
        self._buffer = self._buffer[at:]

    def _take_frame(self, at):
        """The bytes of the frame, or of its rest, that begins there; 0 where more must come first."""
        left = len(self._buffer) - at
        if self._skip != 0:
            skipped = min(self._skip, left)
            self._skip -= skipped
            return skipped
        if left < 2:
            return 0
        first, second = self._buffer[at : at + 2]
        length, extended = second & 0x7F, {126: 2, 127: 8}.get(second & 0x7F, 0)
        if left < 2 + extended:
            return 0
        if extended:
            length = int.from_bytes(self._buffer[at + 2 : at + 2 + extended], "big")
        if first & 0x30 or (first & 0x40 and first & 0x0F not in (1, 2)):
            self.wrong.append(first)
        if first & 0x40:
            self.compressed += 1
        elif first & 0x0F in (1, 2):
            self.plain += 1
        self._skip = (4 if second & 0x80 else 0) + length
        return 2 + extended

    def extensions(self):
        """The parameters of permessage-deflate that stand there, in order; None where there is no such extension."""
        for line in self.head.split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "sec-websocket-extensions":
                extension, *parameters = [each.strip() for each in value.split(";")]
                assert extension == "permessage-deflate", value
                return sorted(parameters)
        return None


class Relay:
    """To a port of this machine; remembers what the last connection carried."""

    def __init__(self, port):
        self._to = port
        self.client = self.server = None  # the Frames that each of them sent

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        self.client, self.server = Frames(), Frames()
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._pass(reader, to_writer, self.client), self._pass(to_reader, writer, self.server))

    @staticmethod
    async def _pass(reader, writer, frames):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                frames.feed(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    def check(self, agreed):
        """Both sides have sent compressed frames and none with a bit that it must not have; the server has agreed to
        just these parameters."""
        assert self.server.extensions() == sorted(agreed), (self.server.extensions(), agreed)
        for name, frames in [("client", self.client), ("server", self.server)]:
            assert frames.compressed > 0, f"RSV1 was not seen from the {name} in {frames.plain} messages"
            assert not frames.wrong, (name, [hex(first) for first in frames.wrong])
        return f"{self.client.compressed} and {self.server.compressed} compressed"

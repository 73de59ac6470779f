"""python-websockets as a client of our echo server: `python3 python_websockets_client.py ECHO_SERVER`."""

import asyncio
import sys

from peers import echo_server, run, skip

try:
    import websockets
except ImportError:
    skip("the Python package websockets is not installed")

LIMIT = 2 << 20


def connect(server, **options):
    return websockets.connect(server.url, max_size=None, **options)


async def echo_of(socket, data):
    await socket.send(data)
    return await socket.recv()


async def echoes_every_kind_and_length(server):
    async with connect(server) as socket:
        for text in ["", "grüße, 世界 🎉", "\0", "x" * (1 << 20)]:
            assert await echo_of(socket, text) == text
        for size in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]:
            data = (bytes(range(256)) * (size // 256 + 1))[:size]
            assert await echo_of(socket, data) == data, size


async def puts_fragments_together(server):
    async with connect(server) as socket:
        assert await echo_of(socket, ["frag", "", "ments 🎉"]) == "fragments 🎉"
        assert await echo_of(socket, [b"\xff"] * 1000) == b"\xff" * 1000


async def answers_pings_of_every_length(server):
    async with connect(server) as socket:
        for size in [0, 1, 125]:
            await (await socket.ping(b"p" * size))


async def keeps_the_order_of_many_messages(server):
    async with connect(server) as socket:

        async def send():
            for i in range(10_000):
                await socket.send(str(i))

        sending = asyncio.ensure_future(send())
        for i in range(10_000):
            assert await socket.recv() == str(i)
        await sending


async def agrees_on_a_subprotocol(server):
    async with connect(server, subprotocols=["chat.v1", "other", "chat.v2"]) as socket:
        assert socket.subprotocol == "chat.v2"
    async with connect(server, subprotocols=["other"]) as socket:
        assert socket.subprotocol is None


async def answers_a_close_with_its_code(server):
    for code, reason in [(1000, ""), (1001, "gone"), (1011, ""), (3001, "grüße 🎉"), (4999, "r" * 123)]:
        async with connect(server) as socket:
            await socket.close(code, reason)
            assert socket.close_code == code


async def refuses_what_breaks_the_rules(server):
    # The mask is zero.
    for code, what, sent in [
        (1002, "unmasked", b"\x81\x01x"),
        (1002, "reserved bit", b"\xc1\x81\0\0\0\0x"),
        (1002, "reserved opcode", b"\x83\x80\0\0\0\0"),
        (1002, "fragmented ping", b"\x09\x80\0\0\0\0"),
        (1002, "close with 1005", b"\x88\x82\0\0\0\0\x03\xed"),
        (1007, "not UTF-8", b"\x81\x81\0\0\0\0\xff"),
        (1009, "announced too big", b"\x82\xff\0\0\0\0\0\x20\0\x01\0\0\0\0"),
    ]:
        async with connect(server) as socket:
            socket.transport.write(sent)
            await socket.wait_closed()
            assert socket.close_code == code, (what, socket.close_code)


async def refuses_a_message_that_is_too_big(server):
    async with connect(server) as socket:
        assert await echo_of(socket, bytes(LIMIT)) == bytes(LIMIT)
        await socket.send(bytes(LIMIT + 1))
        await socket.wait_closed()
        assert socket.close_code == 1009


async def says_going_away_when_stopped(server):
    async with connect(server) as socket:
        stopped = asyncio.get_running_loop().run_in_executor(None, server.stop)
        await socket.wait_closed()
        assert socket.close_code == 1001
        assert await stopped == 0


CASES = [
    echoes_every_kind_and_length,
    puts_fragments_together,
    answers_pings_of_every_length,
    keeps_the_order_of_many_messages,
    agrees_on_a_subprotocol,
    answers_a_close_with_its_code,
    refuses_what_breaks_the_rules,
    refuses_a_message_that_is_too_big,
    says_going_away_when_stopped,
]

if __name__ == "__main__":
    print("       websockets", websockets.__version__)
    options = ["--subprotocol", "chat.v2", "--subprotocol", "chat.v1", "--max-message", LIMIT]
    with echo_server(sys.argv[1], *options) as started:
        run(CASES, lambda case: asyncio.run(case(started)))

"""permessage-deflate with python-websockets: `python3 python_websockets_deflate.py ECHO_SERVER WS`. It as a client of
our echo server and as a server of our client; what travels is looked at on the way."""

import asyncio
import itertools
import random
import sys

from peers import echo_server, run, skip
from relay import Relay

try:
    import websockets
    from websockets.extensions import permessage_deflate as peer
except ImportError:
    skip("the Python package websockets is not installed")

ECHO_SERVER, WS = sys.argv[1:3]
MESSAGES = 1000
WORDS = ["id", "name", "price", "grüße", "世界", "🎉", "null", "true", '{"', '":"', '","', "[0,1,2]", " ", "temperature"]
SNCT, CNCT = "server_no_context_takeover", "client_no_context_takeover"


def size_of(chance):
    """Most are short, some need a length of two bytes, a few one of eight."""
    return chance.choice([chance.randrange(300), chance.randrange(3000), int(2 ** chance.uniform(0, 16))])


TEXT = "".join(random.Random(0).choices(WORDS, k=1 << 17))


def text_of(chance):
    begin = chance.randrange(1 << 17)
    return TEXT[begin : begin + size_of(chance)]


def bytes_of(chance, without=b""):
    size = size_of(chance)
    made = chance.choice([chance.randbytes, lambda n: (chance.randbytes(7) * n)[:n], bytes])(size)
    return made.replace(without, b"") if without else made


def messages(seed):
    chance = random.Random(seed)
    return [chance.choice([text_of, bytes_of])(chance) for _ in range(MESSAGES)]


def their_client():
    """Every set of parameters that both know, under a server that keeps windows and one that does not."""

    async def talk(relay, seed, agreed, **offer):
        sent = messages(seed)
        options = {"compression": None, "max_size": None, "extensions": [peer.ClientPerMessageDeflateFactory(**offer)]}
        async with websockets.connect(relay.url, **options) as socket:

            async def send():
                for message in sent:
                    await socket.send(message)

            sending = asyncio.ensure_future(send())
            for i, message in enumerate(sent):
                assert await socket.recv() == message, f"message {i} of {len(message)}"
            await sending
        print("      ", "; ".join(agreed) or "nothing special", ":", relay.check(agreed))

    async def talk_of_everything(server, keeps):
        async with Relay(server.port) as relay:
            asks = [(), (SNCT,), (SNCT, CNCT)] if keeps else [()]
            for i, (bits, ask) in enumerate(itertools.product([None, 9, 12, 15], asks)):
                agreed = list(ask) if keeps else [SNCT, CNCT]
                offer = dict.fromkeys(ask, True)
                if bits:
                    offer.update(server_max_window_bits=bits, client_max_window_bits=bits)
                    agreed.append(f"server_max_window_bits={bits}")
                    if bits != 15:
                        agreed.append(f"client_max_window_bits={bits}")
                await talk(relay, i, agreed, **offer)

    for how in ["takeover", "no-takeover"]:
        with echo_server(ECHO_SERVER, f"--deflate={how}") as server:
            asyncio.run(talk_of_everything(server, how == "takeover"))


async def our_client(relay, lines, *options):
    """The messages that our client prints when it sends these lines; each, as each comes back once."""
    client = await asyncio.create_subprocess_exec(
        WS, "--quiet", "--timeout", "30", "--count", str(len(lines)), *options, relay.url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(client.communicate(b"\n".join(lines) + b"\n"), 40)
    assert client.returncode == 0
    return output.split(b"\n")[:-1]


def their_server():
    """What they send back is text and binary by turns where it came as text: our client prints the latter in
    hexadecimal."""

    async def echo(socket, _path=None):
        binary = False
        async for message in socket:
            binary = not binary
            await socket.send(message.encode() if binary and isinstance(message, str) else message)

    def expected(lines, kind):
        return [line if kind == "text" and i % 2 else line.hex().encode() for i, line in enumerate(lines)]

    async def talk(seed, how, agreed, **theirs):
        extensions = [peer.ServerPerMessageDeflateFactory(**theirs)]
        chance = random.Random(seed)
        options = {"compression": None, "max_size": None, "extensions": extensions}
        async with websockets.serve(echo, "127.0.0.1", 0, **options) as server:
            async with Relay(next(iter(server.sockets)).getsockname()[1]) as relay:
                texts = [text_of(chance).encode() for _ in range(MESSAGES // 2)]
                assert await our_client(relay, texts, f"--deflate={how}") == expected(texts, "text")
                relay.check(agreed)
                blobs = [bytes_of(chance, b"\n") for _ in range(MESSAGES // 2)]
                assert await our_client(relay, blobs, f"--deflate={how}", "--binary") == expected(blobs, "binary")
                print("      ", "; ".join(agreed) or "nothing special", ":", relay.check(agreed))

    async def talk_of_everything():
        for i, (how, bits) in enumerate(itertools.product(["takeover", "no-takeover"], [None, 9, 12, 15])):
            agreed = [SNCT, CNCT] if how == "no-takeover" else []
            theirs = {}
            if bits:
                theirs.update(server_max_window_bits=bits, client_max_window_bits=bits)
                agreed += [f"server_max_window_bits={bits}", f"client_max_window_bits={bits}"]
            await talk(i, how, agreed, **theirs)
        # A server may want less than it is offered.
        await talk(100, "takeover", [SNCT, CNCT], server_no_context_takeover=True, client_no_context_takeover=True)
        await talk(101, "takeover", [SNCT], server_no_context_takeover=True)
        await talk(102, "takeover", [CNCT, "client_max_window_bits=10"], client_no_context_takeover=True,
                   client_max_window_bits=10)

    asyncio.run(talk_of_everything())


def nothing_is_compressed_where_one_side_does_not_want_it():
    async def talk(port, compression):
        async with Relay(port) as relay:
            async with websockets.connect(relay.url, compression=compression) as socket:
                await socket.send("x" * 1000)
                assert await socket.recv() == "x" * 1000
            assert relay.server.extensions() is None
            assert (relay.client.compressed, relay.server.compressed) == (0, 0)
            assert relay.client.plain == relay.server.plain == 1

    with echo_server(ECHO_SERVER) as plain, echo_server(ECHO_SERVER, "--deflate") as compressing:
        asyncio.run(talk(plain.port, "deflate"))
        asyncio.run(talk(compressing.port, None))


print("       websockets", websockets.__version__)
run([their_client, their_server, nothing_is_compressed_where_one_side_does_not_want_it], lambda case: case())

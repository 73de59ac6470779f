"""Our client against a server of python-websockets: `python3 python_websockets_server.py CLIENT_DRIVER`."""

import asyncio
import http
import sys

from peers import run, skip

try:
    import websockets
except ImportError:
    skip("the Python package websockets is not installed")

REFUSAL = "who are you? 🎉\n"


async def echo(peer):
    async for message in peer:
        await peer.send(message)


async def fragments(peer):
    await peer.send(["cut ", "", "🎉 here"])
    assert await peer.recv() == "cut 🎉 here"


async def large(peer):
    data = bytes(range(256)) * (1 << 14)
    await peer.send(data)
    assert await peer.recv() == data


async def pings(peer):
    for size in [0, 1, 125]:
        await (await peer.ping(b"p" * size))


async def close(peer):
    await peer.close(4001, "grüße 🎉")


async def masked(peer):
    peer.transport.write(b"\x81\x81\1\2\3\4\x79")
    await peer.wait_closed()


async def not_utf8(peer):
    peer.transport.write(b"\x81\x01\xff")
    await peer.wait_closed()


async def cut(peer):
    peer.transport.abort()


PATHS = {"/" + each.__name__: each for each in [echo, fragments, large, pings, close, masked, not_utf8, cut]}


def path_of(peer):
    return peer.path if hasattr(peer, "path") else peer.request.path  # the latter since websockets 14


def refuse(*args):
    """Answers one path with 401; takes and gives what websockets before 14 and since then want."""
    if isinstance(args[0], str):
        return (http.HTTPStatus.UNAUTHORIZED, [], REFUSAL.encode()) if args[0] == "/refuse" else None
    connection, request = args
    return connection.respond(http.HTTPStatus.UNAUTHORIZED, REFUSAL) if request.path == "/refuse" else None


async def drive(mode, path, *protocols):
    """The lines that our client prints, the server's close code, and what failed there."""
    seen = {"code": None, "failure": None}

    async def serve(peer, _path=None):
        try:
            await PATHS[path_of(peer)](peer)
            await peer.close()
        except AssertionError as error:
            seen["failure"] = error
        except websockets.ConnectionClosed:
            pass
        finally:
            seen["code"] = peer.close_code

    # Since websockets 14 a server with subprotocols takes no client without one.
    spoken = ["chat"] if protocols else None
    async with websockets.serve(
        serve, "127.0.0.1", 0, subprotocols=spoken, max_size=None, process_request=refuse
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = await asyncio.create_subprocess_exec(
            sys.argv[1], mode, f"ws://127.0.0.1:{port}{path}", *protocols, stdout=asyncio.subprocess.PIPE
        )
        try:
            output, _ = await asyncio.wait_for(client.communicate(), 20)
        finally:
            if client.returncode is None:
                client.kill()
    assert client.returncode == 0
    assert seen["failure"] is None, seen
    return [line.rstrip() for line in output.decode().splitlines()], seen["code"]


async def gets_everything_back():
    lines, code = await drive("send", "/echo")
    assert lines[:2] == ["open", "echoed 11"] and lines[2].startswith("close 3001 clean") and len(lines) == 3, lines
    assert code == 3001


async def puts_fragments_together():
    lines, _ = await drive("mirror", "/fragments")
    assert lines == ["open", "text 13 cut 🎉 here", "close 1000 clean"], lines


async def takes_a_large_message():
    lines, _ = await drive("mirror", "/large")
    assert lines == ["open", f"binary {4 << 20}", "close 1000 clean"], lines


async def answers_pings_of_every_length():
    lines, _ = await drive("mirror", "/pings")
    assert lines == ["open", "close 1000 clean"], lines


async def answers_a_close():
    lines, code = await drive("mirror", "/close")
    assert lines == ["open", "close 4001 clean grüße 🎉"], lines
    assert code == 4001


async def agrees_on_a_subprotocol():
    assert (await drive("mirror", "/close", "other", "chat"))[0][0] == "open chat"


async def shows_a_refusal_with_its_body():
    lines, _ = await drive("mirror", "/refuse")
    assert lines[0].endswith(": server answered 401 Unauthorized: " + REFUSAL.strip()), lines
    assert lines[1:] == ["response 401 " + REFUSAL.strip(), "", "close 1006 unclean"], lines


async def fails_a_server_that_breaks_the_rules():
    for path, expected in [("/masked", 1002), ("/not_utf8", 1007)]:
        lines, code = await drive("mirror", path)
        assert [line.split()[0] for line in lines] == ["open", "error", "close"], lines
        assert code == expected, (path, code)


async def notices_that_the_connection_is_lost():
    lines, _ = await drive("mirror", "/cut")
    assert [line.split()[0] for line in lines] == ["open", "error", "close"], lines
    assert lines[-1] == "close 1006 unclean", lines


CASES = [
    gets_everything_back,
    puts_fragments_together,
    takes_a_large_message,
    answers_pings_of_every_length,
    answers_a_close,
    agrees_on_a_subprotocol,
    shows_a_refusal_with_its_body,
    fails_a_server_that_breaks_the_rules,
    notices_that_the_connection_is_lost,
]

if __name__ == "__main__":
    print("       websockets", websockets.__version__)
    run(CASES, lambda case: asyncio.run(case()))

"""TLS with other people's: `python3 wss.py ECHO_SERVER WS`. Our server under curl, openssl s_client and
python-websockets, our client against python-websockets."""

import asyncio
import base64
import shutil
import ssl
import subprocess
import sys
import tempfile

from certificates import Certificates
from peers import echo_server, run, skip

try:
    import websockets
except ImportError:
    skip("the Python package websockets is not installed")

ECHO_SERVER, WS = sys.argv[1:3]
scratch = tempfile.TemporaryDirectory(prefix="duplex-interop-")
made = Certificates(scratch.name)


def trusting():
    return ssl.create_default_context(cafile=made.authority)


def our_server():
    return echo_server(ECHO_SERVER, "--tls", made.certificate, made.key)


def url_of(server, host="localhost"):
    assert server.url.startswith("wss://"), server.url
    return f"wss://{host}:{server.port}/"


def python_client():
    async def talk(url):
        async with websockets.connect(url, ssl=trusting(), max_size=None) as peer:
            for data in ["", "Hello", "grüße 🎉", bytes(range(256)) * (1 << 13), "x" * 16384, b"\0" * 70000]:
                await peer.send(data)
                assert await peer.recv() == data
            await peer.close(1000, "bye")
            assert peer.close_code == 1000

    with our_server() as server:
        for host in ["localhost", "127.0.0.1"]:
            asyncio.run(talk(url_of(server, host)))
        assert server.stop() == 0


def python_client_of_tls_1_2():
    async def talk(url):
        context = trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with websockets.connect(url, ssl=context) as peer:
            await peer.send("Hello")
            assert await peer.recv() == "Hello"

    with our_server() as server:
        asyncio.run(talk(url_of(server)))


def many_python_clients_at_once():
    async def talk(url):
        async with websockets.connect(url, ssl=trusting()) as peer:
            for i in range(20):
                await peer.send(str(i) * 100)
                assert await peer.recv() == str(i) * 100

    async def all_of(url):
        await asyncio.gather(*(talk(url) for _ in range(30)))

    with our_server() as server:
        asyncio.run(all_of(url_of(server)))


def s_client(server, *options):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", made.authority,
               "-verify_return_error", "-servername", "localhost", *options]
    return subprocess.run(command, input=b"", capture_output=True, timeout=20)


def openssl_s_client():
    with our_server() as server:
        said = s_client(server, "-alpn", "h2,http/1.1", "-verify_hostname", "localhost")
        assert said.returncode == 0, said.stderr
        assert b"ALPN protocol: http/1.1" in said.stdout, said.stdout
        assert b"Verify return code: 0 (ok)" in said.stdout
        # RFC 7301 3.2: nobody here speaks that
        assert s_client(server, "-alpn", "h2").returncode != 0
        assert s_client(server, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0").returncode != 0


def curl_upgrades():
    if not shutil.which("curl"):
        print("       curl is not installed, left out")
        return
    with our_server() as server:
        key = base64.b64encode(bytes(16)).decode()
        command = ["curl", "--silent", "--include", "--http1.1", "--cacert", made.authority, "--max-time", "5",
                   "--header", "Connection: Upgrade", "--header", "Upgrade: websocket",
                   "--header", f"Sec-WebSocket-Key: {key}", "--header", "Sec-WebSocket-Version: 13",
                   f"https://localhost:{server.port}/"]
        # It goes on waiting for a body that never ends.
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline().startswith(b"HTTP/1.1 101"), "no upgrade"
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def ws(url, *options):
    return subprocess.run([WS, "--timeout", "20", *options, url], input="Hello\n", capture_output=True, text=True,
                          timeout=30)


def our_client():
    async def echo(peer):
        async for message in peer:
            await peer.send(message)

    async def serve():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.key)
        async with websockets.serve(echo, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            call = asyncio.get_running_loop().run_in_executor
            good = await call(None, lambda: ws(f"wss://localhost:{port}/", "--cacert", made.authority, "--count", "1"))
            assert (good.returncode, good.stdout) == (0, "Hello\n"), good
            unknown = await call(None, lambda: ws(f"wss://localhost:{port}/"))
            assert unknown.returncode == 1 and "not in the trusted store" in unknown.stderr, unknown
            wrong = await call(None, lambda: ws(f"wss://127.0.0.2:{port}/", "--cacert", made.authority))
            assert wrong.returncode == 1, wrong
            anyhow = await call(None, lambda: ws(f"wss://localhost:{port}/", "--insecure", "--count", "1"))
            assert (anyhow.returncode, anyhow.stdout) == (0, "Hello\n"), anyhow
            plain = await call(None, lambda: ws(f"ws://localhost:{port}/"))
            assert plain.returncode == 1, plain

    asyncio.run(serve())


run([python_client, python_client_of_tls_1_2, many_python_clients_at_once, openssl_s_client, curl_upgrades,
     our_client], lambda case: case())

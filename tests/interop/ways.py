"""Our client on its way through other people's programs to our server: `python3 ways.py ECHO_SERVER WS`. nginx (TLS,
proxy_pass, refusals), tinyproxy (CONNECT) and microsocks (SOCKS5); those that aren't installed are left out."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from certificates import Certificates
from peers import echo_server, run, skip

ECHO_SERVER, WS = sys.argv[1:3]
PROGRAMS = {name: shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin") for name in
            ["nginx", "tinyproxy", "microsocks"]}
if not any(PROGRAMS.values()):
    skip("nginx, tinyproxy and microsocks are not installed")
scratch = tempfile.TemporaryDirectory(prefix="duplex-interop-")
made = Certificates(scratch.name)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def running(command, port):
    """A server that is up once its port takes connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def ws(url, *options, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run([WS, "--timeout", "20", *options, url], input="Hello\n", capture_output=True, text=True,
                          timeout=30, env={**clean, **environment})


def good(said):
    assert (said.returncode, said.stdout) == (0, "Hello\n"), said


def needs(name):
    if not PROGRAMS[name]:
        print(f"       {name} is not installed, left out")
    return PROGRAMS[name]


def nginx():
    if not needs("nginx"):
        return
    port, secure = free_port(), free_port()
    with echo_server(ECHO_SERVER) as server:
        configuration = Path(scratch.name, "nginx.conf")
        configuration.write_text(f"""
            daemon off; master_process off; pid {scratch.name}/nginx.pid; error_log {scratch.name}/nginx.log;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path {scratch.name}/body; proxy_temp_path {scratch.name}/proxy;
                fastcgi_temp_path {scratch.name}/fastcgi; uwsgi_temp_path {scratch.name}/uwsgi;
                scgi_temp_path {scratch.name}/scgi;
                server {{
                    listen 127.0.0.1:{port};
                    listen 127.0.0.1:{secure} ssl;
                    ssl_certificate {made.certificate}; ssl_certificate_key {made.key};
                    location / {{
                        proxy_pass http://127.0.0.1:{server.port};
                        proxy_http_version 1.1;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection "upgrade";
                    }}
                    location /401 {{ add_header WWW-Authenticate "Basic realm=x" always; return 401 "who?"; }}
                    location /403 {{ return 403 "never"; }}
                    location /302 {{ return 302 /elsewhere; }}
                    location /to/here {{ return 308 /; }}
                    location /to/there {{ return 301 http://127.0.0.1:{port}/to/here; }}
                    location /to/secure {{ return 307 https://localhost:{secure}/to/here; }}
                    location /to/circle {{ return 303 /to/circle; }}
                }}
            }}""")
        with running([PROGRAMS["nginx"], "-c", str(configuration), "-p", scratch.name], secure):
            good(ws(f"ws://127.0.0.1:{port}/", "--count", "1"))
            good(ws(f"wss://localhost:{secure}/", "--cacert", made.authority, "--count", "1"))
            for status, words in [(401, "who?"), (403, "never"), (302, "Location")]:
                said = ws(f"wss://localhost:{secure}/{status}", "--cacert", made.authority)
                assert said.returncode == 1 and str(status) in said.stderr and words in said.stderr, said
                assert "phase: upgrade" in said.stderr and f"server answered {status} " in said.stderr, said

            def sent_on(url, redirects):
                return ws(url, "--redirects", str(redirects), "--cacert", made.authority, "--count", "1")

            for url, redirects in [(f"ws://127.0.0.1:{port}/to/here", 1), (f"ws://127.0.0.1:{port}/to/there", 2),
                                   (f"ws://127.0.0.1:{port}/to/secure", 2)]:
                good(sent_on(url, redirects))
                said = sent_on(url, redirects - 1)
                assert said.returncode == 1 and "server answered 30" in said.stderr, said
            for url, words in [(f"ws://127.0.0.1:{port}/to/circle", "max_redirects"),
                               (f"wss://localhost:{secure}/to/there", "from wss to ws")]:
                said = sent_on(url, 5)
                assert said.returncode == 1 and words in said.stderr, said


def through_proxy(port, scheme, login=""):
    """ws and wss through a proxy, by the environment."""
    with echo_server(ECHO_SERVER) as server:
        good(ws(f"ws://127.0.0.1:{server.port}/", "--count", "1", ws_proxy=f"{scheme}://{login}127.0.0.1:{port}"))
        around = ws(f"ws://127.0.0.1:{server.port}/", "--count", "1", ws_proxy=f"{scheme}://127.0.0.1:1",
                    no_proxy="127.0.0.0/8")
        good(around)
    with echo_server(ECHO_SERVER, "--tls", made.certificate, made.key) as server:
        good(ws(f"wss://localhost:{server.port}/", "--cacert", made.authority, "--count", "1",
                all_proxy=f"{scheme}://{login}127.0.0.1:{port}"))


def tinyproxy():
    if not needs("tinyproxy"):
        return
    for login in ["", "user:secret@"]:
        port = free_port()
        configuration = Path(scratch.name, "tinyproxy.conf")
        configuration.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\n" +
                                 ("BasicAuth user secret\n" if login else ""))
        with running([PROGRAMS["tinyproxy"], "-d", "-c", str(configuration)], port):
            through_proxy(port, "http", login)
            if login:
                said = ws("ws://127.0.0.1:1/", http_proxy=f"http://127.0.0.1:{port}")
                assert said.returncode == 1 and "407" in said.stderr, said


def microsocks():
    if not needs("microsocks"):
        return
    for login in ["", "user:secret@"]:
        port = free_port()
        options = ["-u", "user", "-P", "secret"] if login else []
        with running([PROGRAMS["microsocks"], "-i", "127.0.0.1", "-p", str(port), *options], port):
            through_proxy(port, "socks5h", login)
            if login:
                said = ws("ws://127.0.0.1:1/", all_proxy=f"socks5://127.0.0.1:{port}")
                assert said.returncode == 1 and "proxy" in said.stderr, said


run([nginx, tinyproxy, microsocks], lambda case: case())

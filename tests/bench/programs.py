"""The programs that compare.py runs: starting them on their core, finding who listens, counting what they do."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_SECONDS = 30
ROOT = Path(__file__).resolve().parent.parent.parent


class Problem(Exception):
    """What keeps a run from being made: it ends the comparison and is shown to the user as it is."""


class Failure(Exception):
    """What a program did wrong in a run: a wrong echo, a lost connection, no progress."""


class Build:
    """What a build tree holds: bench.json, written by CMake."""

    def __init__(self, directory):
        found = [p for p in (directory, directory / "tests" / "bench") if (p / "bench.json").is_file()]
        if not found:
            raise Problem(
                f"no bench.json in {directory}: build with cmake -S {ROOT} -B {directory} -DDUPLEX_BUILD_BENCH=ON "
                f"-DDUPLEX_BUILD_TESTS=OFF -DDUPLEX_BUILD_EXAMPLES=OFF && cmake --build {directory}, or name the tree "
                "with --build"
            )
        made = json.loads((found[0] / "bench.json").read_text())
        self.load = made["load"]
        self.commands = {"server": {}, "tls_server": {}, "deflate_server": {}, "client": {}}
        for each in made["programs"]:
            self.commands[each["kind"]][each["name"]] = each["command"]
        self.left_out = made["left_out"]
        self.without_tls = self.left_out.get("everything over TLS")
        self.without_deflate = self.left_out.get("everything with compression")
        self.environment = {"DUPLEX_BENCH_NODE_PATH": made["node_path"]} if made["node_path"] else {}

    def why_not(self, kind, name):
        """Why there is no such program."""
        twin = {"tls_server": f"{name} over TLS", "deflate_server": f"{name} with compression"}.get(kind)
        keys = [twin, name] if twin else [name]
        others = f"there is no such {kind}; there are {', '.join(self.commands[kind]) or 'none'}"
        return next((self.left_out[key] for key in keys if key in self.left_out), others)

    def command(self, kind, name):
        """The command of a program, or why there is none."""
        if name not in self.commands[kind]:
            raise Problem(f"{kind} {name}: {self.why_not(kind, name)}")
        command = self.commands[kind][name]
        for part in (command[0], self.load):
            if not Path(part).exists() and not shutil.which(part):
                raise Problem(f"{kind} {name} is not built: there is no {part}")
        return command


def need_descriptors(count):
    """Raises the limit of open descriptors for what is started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Problem(f"descriptor limit too low: {hard} (ulimit -Hn), {wanted} are needed for {count} connections")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def is_free(port):
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Certificate:
    """A key and a certificate that signs itself, which `openssl` makes when they are first wanted."""

    def __init__(self):
        self.directory = None

    @staticmethod
    def why_not(build):
        """Why nothing can be measured over TLS, if that is so."""
        if build.without_tls:
            return f"the benchmarks were built without TLS: {build.without_tls}"
        return None if shutil.which("openssl") else "there is no program openssl, which makes the certificate"

    def files(self):
        """By the names of their placeholders."""
        if self.directory is None:
            directory = tempfile.TemporaryDirectory(prefix="duplex-bench-")
            self.made = {name: str(Path(directory.name) / f"{name}.pem") for name in ("cert", "key")}
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                       self.made["key"], "-out", self.made["cert"], "-days", "30", "-subj", "/CN=localhost",
                       "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode != 0:
                raise Problem(f"openssl makes no certificate: {done.stderr.strip() or 'it says nothing'}")
            self.directory = directory
        return self.made


class Ports:
    """A free port for each server: the given one, or one after the other."""

    def __init__(self, fixed):
        self.fixed = fixed
        self.at = 20000

    def take(self):
        if self.fixed:
            if not is_free(self.fixed):
                raise Problem(f"port {self.fixed} is taken")
            return self.fixed
        for _ in range(1000):
            self.at = 20000 + (self.at - 19999) % 10000
            if is_free(self.at):
                return self.at
        raise Problem("no free port from 20000 to 29999")


def pinned(core):
    """What a child does to run on one core."""
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[core % len(cores)]})


def family(pid):
    """The process and all that it has started."""
    yield pid
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in tasks.read_text().split():
            yield from family(int(child))


def listener(port, root):
    """Who among the family of `root` listens on the port."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                parts = line.split()
                if parts[3] == "0A" and int(parts[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{parts[9]}]")
    for pid in family(root):
        with contextlib.suppress(OSError):
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(fd) in inodes:
                        return pid
    return None


class Counting:
    """A tool that a program runs under, and what it counts: user instructions or system calls."""

    def __init__(self, what):
        self.what = what
        self.file = Path(tempfile.mkdtemp(prefix="duplex-bench-")) / "count"
        self.tool = self.choose()

    def choose(self):
        if self.what == "syscalls":
            if self.perf_counts("raw_syscalls:sys_enter"):
                return "perf"
            if shutil.which("strace"):
                return "strace"
            raise Problem("--syscalls needs strace, or a perf that may count raw_syscalls:sys_enter")
        if self.perf_counts("instructions:u"):
            return "perf"
        if shutil.which("valgrind"):
            return "callgrind"
        raise Problem("--instructions needs valgrind, or a perf that counts instructions:u")

    def perf_counts(self, event):
        """True where perf is there and the machine counts the event; many virtual ones don't."""
        if not shutil.which("perf"):
            return False
        subprocess.run(["perf", "stat", "-x,", "-e", event, "-o", self.file, "true"], stderr=subprocess.DEVNULL)
        return self.file.exists() and bool(re.search(r"^[1-9]\d*,", self.file.read_text(), re.MULTILINE))

    def around(self, command):
        event = "raw_syscalls:sys_enter" if self.what == "syscalls" else "instructions:u"
        if self.tool == "perf":
            return ["perf", "stat", "-x,", "-e", event, "-o", str(self.file), *command]
        if self.tool == "strace":
            return ["strace", "-c", "-f", "-o", str(self.file), *command]
        return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.file}", *command]

    def result(self):
        text = self.file.read_text()
        if self.tool == "perf":
            return int(re.search(r"^(\d+),", text, re.MULTILINE)[1])
        if self.tool == "strace":
            return int(re.search(r"^\S+\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", text, re.MULTILINE)[1])
        return int(re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)[1])


class Server:
    """A running server, on the first core (or another), for the length of a `with`."""

    def __init__(self, command, port, mode="echo", environment=None, counting=None, core=0, certificate=None):
        files = certificate or {}
        filled = [part.format(port=port, mode=mode, **files) for part in command]
        if not any("{port}" in part for part in command):
            filled += [str(port), mode, *files.values()]
        self.port = port
        self.counting = counting
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            counting.around(filled) if counting else filled, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=self.errors, preexec_fn=pinned(core), env={**os.environ, **(environment or {})},
        )
        self.pid = None

    def __enter__(self):
        end = time.monotonic() + START_SECONDS
        while self.pid is None:
            self.pid = listener(self.port, self.process.pid)
            if self.pid is None and (self.process.poll() is not None or time.monotonic() > end):
                self.__exit__()
                self.errors.seek(0)
                said = self.errors.read().decode(errors="replace").strip()
                raise Problem(f"{self.process.args[0]} does not listen on port {self.port}: {said or 'it says nothing'}")
            if self.pid is None:
                time.sleep(0.01)
        return self

    def __exit__(self, *_):
        # The tool round a server writes its count when the server ends.
        with contextlib.suppress(ProcessLookupError):
            if self.process.poll() is None:
                os.kill(self.pid or self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=START_SECONDS if self.counting else 3)
        except subprocess.TimeoutExpired:
            for pid in reversed(list(family(self.process.pid))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def private_bytes(self):
        """Memory of its own: resident pages that no file backs."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024

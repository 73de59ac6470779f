#!/usr/bin/env python3
"""Measures WebSocket servers and clients beside each other.

Every work point is run once a round for each server in turn, each time on a freshly started one: the server on one core,
the load generator on another. What counts is the CPU time of the server for a message, user and system together, since
that is what a machine runs out of; rates depend on the load generator's core as well.

  tests/bench/compare.py --build build/bench
  tests/bench/compare.py --build build/bench --servers duplex,beast --points echo-64x16x64,idle --rounds 9
  tests/bench/compare.py --build build/bench --points echo-64x1x64 --syscalls --instructions
  tests/bench/compare.py --build build/bench --external 'mine=/path/to/server --port {port} --{mode}'

Any server can be put beside the others by --external: {port} stands for the port to listen on (127.0.0.1), {mode} for
echo, broadcast, deflate or deflate-takeover. A server whose command has no {mode} takes no part in the broadcasts and in
deflate. It must answer a message with one frame, in deflate also with several, and in a broadcast send each message to every
connection, the sender included. A command with {cert} and {key}, files in PEM, is that of a server with TLS: it takes part in
the wss points and in no others, one without in the others only; one of each may have the same name.

Each of --rounds runs takes --seconds; a table shows the medians of the runs, the ratio x of each to the baseline's, and
how far the CPU times of the runs lie apart, in percent of their median. bytes/connection is memory of the server's own
(RssAnon) by connection, before and after each has had one message; idle-wss has all of OpenSSL's in it. wss is echo over TLS:
1.3 with TLS_AES_128_GCM_SHA256, which all servers share, and a certificate (EC, P-256) that is made for the run. In `client`
points a client's CPU time is measured, against the floor: a bare epoll loop that echoes frames, which as a server shows what
the kernel alone costs.

deflate is echo of messages in JSON by permessage-deflate, compressed both ways with windows of 32 KiB, each by itself or, with
-takeover, as the continuation of those before it; a server that agrees only to the other way fails. Those that let their level
be chosen take 1. Harder work makes shorter replies: bytes/reply is their mean payload, so compare servers that have the same.

The counts are of programs that are compiled before they run; name the others away with --servers. Where perf can't count
them, instructions come from callgrind and system calls from strace, which both slow a server down. How many connections
one wait finds ready is chance: system calls are the median of several counts.

Points: echo, wss, broadcast, client and a size as CONNECTIONSxIN_FLIGHTxBYTES, with -text or -unicode for text messages;
deflate and a size as above, with -takeover or without; handshakes-UNDER_WAY; idle-CONNECTIONS, idle-wss-CONNECTIONS and
idle-deflate-CONNECTIONS, the last with -takeover or without. A kind alone stands for all its usual points, `all` for every
usual point.
"""

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from programs import Build, Certificate, Counting, Failure, Ports, Problem, Server, need_descriptors, pinned

SIZES = ["1x1x64", "64x1x64", "64x16x64", "64x1x1024", "64x1x16384", "8x1x1048576", "1000x1x128"]
USUAL = {
    "echo": [f"echo-{size}{kind}" for size in SIZES for kind in ("", "-text")],
    "handshakes": ["handshakes-16"],
    "broadcast": ["broadcast-1000x1x128", "broadcast-1000x8x128"],
    "idle": ["idle-10000"],
    "client": ["client-1x1x64", "client-64x16x64", "client-8x1x16384"],
    "wss": ["wss-64x1x1024", "wss-64x16x64", "wss-8x1x1048576", "wss-64x1x16384"],
    "idle-wss": ["idle-wss-2000"],
    "deflate": [f"deflate-64x1x{size}{kind}" for size in (1024, 16384) for kind in ("", "-takeover")],
    "idle-deflate": ["idle-deflate-1000", "idle-deflate-1000-takeover"],
}
# Of a run: (key, column, digits, whether the ratio to the baseline is shown).
COLUMNS = [
    ("cpu_ns", "CPU ns/message", 0, True),
    ("rate", "messages/s", 0, True),
    ("p50_us", "p50 us", 1, True),
    ("p99_us", "p99 us", 1, False),
    ("p999_us", "p99.9 us", 1, False),
    ("reply_bytes", "bytes/reply", 0, True),
    ("idle_bytes", "bytes/connection", 0, True),
    ("used_bytes", "after a message", 0, True),
    ("syscalls", "system calls/message", 2, True),
    ("instructions", "user instructions/message", 0, True),
]
# What is counted on request, and how often.
COUNTS = {"syscalls": 5, "instructions": 1}


class Point:
    """One kind of work of one size."""

    def __init__(self, name):
        sized = re.fullmatch(r"(echo|wss|broadcast|client)-(\d+)x(\d+)x(\d+)(?:-(text|unicode))?", name)
        counted = re.fullmatch(r"(handshakes|idle-wss|idle)-(\d+)", name)
        if not sized and not counted:
            sized = re.fullmatch(r"(deflate)-(\d+)x(\d+)x(\d+)(?:-(takeover))?", name)
            counted = re.fullmatch(r"(idle-deflate)-(\d+)(?:-(takeover))?", name)
        if not sized and not counted:
            raise Problem(f"there is no point {name}; a point is one of {', '.join(USUAL)} or like echo-64x16x64-text")
        self.name = name
        self.kind = (sized or counted)[1]
        self.connections = int((sized or counted)[2])
        self.in_flight = int(sized[3]) if sized else 1
        self.size = int(sized[4]) if sized else 1024 if self.deflate else 128
        if not 1 <= self.connections <= 50_000 or not 1 <= self.in_flight <= 10_000 or not 1 <= self.size <= 2**27:
            raise Problem(f"{name}: 1 to 50000 connections, 1 to 10000 messages in flight and 1 to 2^27 bytes can be asked for")
        variant = sized[5] if sized else counted[3] if self.deflate else None
        self.takeover = variant == "takeover"
        self.payload = (not self.deflate and variant) or "binary"

    @property
    def tls(self):
        return self.kind in ("wss", "idle-wss")

    @property
    def deflate(self):
        return self.kind in ("deflate", "idle-deflate")

    @property
    def idle(self):
        return self.kind in ("idle", "idle-wss", "idle-deflate")

    @property
    def program(self):
        """What kind of program is measured."""
        if self.deflate:
            return "deflate_server"
        return "client" if self.kind == "client" else "tls_server" if self.tls else "server"

    @property
    def mode(self):
        if self.deflate:
            return "deflate-takeover" if self.takeover else "deflate"
        return "broadcast" if self.kind == "broadcast" else "echo"

    def load(self, port):
        """Arguments of the load generator."""
        kind = {"wss": "echo", "deflate": "echo", "idle-wss": "idle", "idle-deflate": "idle"}.get(self.kind, self.kind)
        deflate = ("takeover" if self.takeover else "no-takeover") if self.deflate else "none"
        return [kind, port, "tls", int(self.tls), "deflate", deflate, "connections", self.connections, "in_flight", self.in_flight,
                "size", self.size, "kind", self.payload]

    def few_messages(self):
        """A number of messages that suffices to count something of each, in whole rounds of what is in flight."""
        together = self.connections * self.in_flight
        if self.kind == "handshakes":
            return 2000
        if self.kind == "broadcast":  # deliveries
            return 8 * together
        wanted = min(20000, max(4_000_000 // self.size, 16))
        return together * max(2, wanted // together)


def points_of(names):
    out = []
    for name in names:
        out += sum(USUAL.values(), []) if name == "all" else USUAL.get(name, [name])
    return [Point(name) for name in out]


class Comparison:
    def __init__(self, options, build):
        self.options = options
        self.build = build
        self.ports = Ports(options.port)
        self.certificate = Certificate()
        self.external = {"server": {}, "tls_server": {}, "client": {}}
        self.external["deflate_server"] = self.external["server"]  # told by {mode} to compress
        for text in options.external:
            self.add_external(text)
        self.failures = []

    def add_external(self, text):
        name, _, command = text.partition("=")
        held = set(re.findall(r"\{(.*?)\}", command))
        if not name or "port" not in held:
            raise Problem(f"--external is NAME=COMMAND with {{port}} in the command, not {text}")
        if unknown := held - {"port", "mode", "cert", "key"}:
            raise Problem(f"--external {name}: there is no {{{sorted(unknown)[0]}}}, but {{port}}, {{mode}}, {{cert}} and {{key}}")
        if len(held & {"cert", "key"}) == 1:
            raise Problem(f"--external {name}: a server with TLS takes both {{cert}} and {{key}}")
        try:
            self.external["tls_server" if "cert" in held else "server"][name] = shlex.split(command)
        except ValueError as error:
            raise Problem(f"--external {name}: {error} in the command")

    def names(self, point):
        """Who takes part in a point."""
        if point.kind == "client":
            return self.options.clients or list(self.build.commands["client"])
        asked = self.options.servers or list(self.build.commands[point.program])
        if point.tls or point.deflate:
            without = set(self.build.commands["server"]) - set(self.build.commands[point.program])
            asked = [n for n in asked if n not in without]
        external = self.external[point.program]
        without_mode = [n for n, c in external.items() if not any("{mode}" in part for part in c)]
        return [n for n in [*asked, *external] if point.mode == "echo" or n not in without_mode]

    def command(self, point, name):
        if name in self.external.get(point.program, {}):
            return self.external[point.program][name]
        return self.build.command(point.program, name)

    def takes_place(self, point):
        """False, and it is said why, for a point of `all` that there is nobody for."""
        why = point.tls and self.certificate.why_not(self.build) or point.deflate and self.why_without_deflate()
        if not why and self.names(point):
            return True
        why = why or (self.without(point.program) if point.tls or point.deflate else "nobody takes part")
        if {point.name, point.kind} & set(self.options.points):
            raise Problem(f"{point.name}: {why}")
        print(f"  left out: {point.name}: {why}", file=sys.stderr)
        return False

    def why_without_deflate(self):
        without = self.build.without_deflate
        return without and f"the benchmarks were built without compression: {without}"

    def without(self, kind):
        """Who has no TLS or no compression, and why."""
        what, held = ("TLS", "{cert} and {key}") if kind == "tls_server" else ("compression", "{mode}")
        why = [f"{n}: {self.build.why_not(kind, n)}" for n in self.options.servers]
        why += [f"{n}: its command has no {held}" for n in self.external["server"]]
        return "; ".join(why) or f"no server with {what} was built"

    def check(self, points):
        """Finds what is missing before anything is measured."""
        if not points:
            raise Problem("no point is asked for")
        points[:] = [point for point in points if self.takes_place(point)]
        if not points:
            raise Problem("nobody takes part in any point that is asked for")
        taking_part = list(dict.fromkeys(name for point in points for name in self.names(point)))
        if self.options.baseline is None:
            self.options.baseline = "duplex" if "duplex" in taking_part else taking_part[0]
        if self.options.baseline not in taking_part:
            raise Problem(f"--baseline {self.options.baseline} takes part in no point; {', '.join(taking_part)} do")
        for point in points:
            need_descriptors(point.connections)
            for name in self.names(point):
                self.command(point, name)
            if point.kind == "client":
                self.build.command("server", "floor")

    def server(self, point, name, counting=None):
        files = self.certificate.files() if point.tls else None
        return Server(self.command(point, name), self.ports.take(), point.mode, self.build.environment, counting,
                      certificate=files)

    def run(self, command, core):
        """Runs a program that prints one line of JSON."""
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              preexec_fn=pinned(core), text=True)
        line = done.stdout.strip().rpartition("\n")[2]
        said = json.loads(line) if line.startswith("{") else {"error": f"it ended with {done.returncode}"}
        if done.returncode != 0 or "error" in said:
            raise Failure(said.get("error", f"it ended with {done.returncode}"))
        return said

    def load(self, point, server, *more):
        return self.run([self.build.load, *point.load(server.port), *more], core=1)

    def measure(self, point, name):
        """One run; gives what it measured by column."""
        if point.idle:
            return self.measure_idle(point, name)
        if point.kind == "client":
            return self.measure_client(point, name)
        with self.server(point, name) as server:
            said = self.load(point, server, "seconds", self.options.seconds, "server", server.pid)
        said["cpu_ns"] /= said["messages"]
        return said

    def measure_idle(self, point, name):
        with self.server(point, name) as server:
            before = server.private_bytes()
            command = [self.build.load, *point.load(server.port)]
            load = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                    stderr=subprocess.DEVNULL, preexec_fn=pinned(1))
            grown = []
            for order in (None, "message\n"):
                if order:
                    load.stdin.write(order)
                    load.stdin.flush()
                said = json.loads(load.stdout.readline() or '{"error": "it ended"}')
                if "error" in said:
                    load.wait()
                    raise Failure(said["error"])
                grown.append((server.private_bytes() - before) / point.connections)
            load.stdin.close()
            load.wait()
        return {"idle_bytes": grown[0], "used_bytes": grown[1]}

    def client_run(self, point, name, messages, counting=None):
        with Server(self.build.command("server", "floor"), self.ports.take(), core=1) as server:
            command = [*self.command(point, name), server.port, point.connections, point.in_flight, point.size, messages]
            return self.run(counting.around([str(c) for c in command]) if counting else command, core=0)

    def measure_client(self, point, name):
        first = self.client_run(point, name, 10 * point.few_messages())
        said = self.client_run(point, name, max(100, int(first["rate"] * self.options.seconds)))
        said["cpu_ns"] /= said["messages"]
        return said

    def count(self, what, point, name):
        """System calls or instructions a message."""
        return {what: statistics.median(self.counted(what, point, name) for _ in range(COUNTS[what]))}

    def counted(self, what, point, name):
        """The difference of a long and a short run, so that starting, opening and closing fall out."""
        counted = []
        few = point.few_messages()
        for messages in (few, 3 * few):
            counting = Counting(what)
            if point.kind == "client":
                self.client_run(point, name, messages, counting)
            else:
                with self.server(point, name, counting) as server:
                    self.load(point, server, "messages", messages, "patience", 120)
            counted.append(counting.result())
        return (counted[1] - counted[0]) / (2 * few)

    def attempt(self, point, name, how):
        try:
            return how()
        except Failure as failure:
            self.failures.append(f"{point.name}: {name}: {failure}")
            print(f"  {name}: failed: {failure}", file=sys.stderr)
            return None

    def samples(self, point):
        """All runs of a point: by name a list."""
        found = {name: [] for name in self.names(point)}
        for turn in range(1 if point.idle else self.options.rounds):
            for name, runs in found.items():
                said = self.attempt(point, name, lambda name=name: self.measure(point, name))
                if said:
                    runs.append(said)
            print(f"  {point.name}: round {turn + 1}", file=sys.stderr)
        for what in COUNTS:
            if not getattr(self.options, what) or point.idle:
                continue
            for name, runs in found.items():
                said = self.attempt(point, name, lambda name=name: self.count(what, point, name))
                if said:
                    runs.append(said)
            print(f"  {point.name}: {what}", file=sys.stderr)
        return found


def medians(runs):
    return {key: statistics.median(values) for key, *_ in COLUMNS if (values := [r[key] for r in runs if key in r])}


def spread(runs):
    """How far the runs lie apart in CPU time, in percent."""
    values = [r["cpu_ns"] for r in runs if "cpu_ns" in r]
    return (max(values) - min(values)) / statistics.median(values) * 100 if len(values) > 1 else None


def table(point, found, baseline):
    """The medians of a point as a markdown table."""
    rows = {name: medians(runs) for name, runs in found.items()}
    columns = [c for c in COLUMNS if any(c[0] in row for row in rows.values())]
    base = rows.get(baseline, {})
    lines = [f"### {point.name}", ""]
    heads = [""]
    for key, head, _, compared in columns:
        heads += [head, "x"] if compared and base.get(key) else [head]
    spreads = {name: spread(runs) for name, runs in found.items()}
    if any(s is not None for s in spreads.values()):
        heads.append("CPU spread")
    lines += ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    for name, row in rows.items():
        cells = [name]
        for key, _, digits, compared in columns:
            value = row.get(key)
            cells.append("failed" if value is None else f"{value:,.{digits}f}")
            if compared and base.get(key):
                cells.append("" if value is None else f"{value / base[key]:.2f}")
        if "CPU spread" in heads:
            cells.append("" if spreads[name] is None else f"{spreads[name]:.0f} %")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def listed(text):
    return [part for part in text.split(",") if part]


def within(kind, least, most):
    """For an option: a number from `least` to `most`."""

    def parsed(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is no number from {least:g} to {most:g}")
        return value

    return parsed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=Path("build/bench"), help="build tree (build/bench)")
    parser.add_argument("--servers", type=listed, default=[], help="servers, by commas (all that are built)")
    parser.add_argument("--clients", type=listed, default=[], help="clients, by commas (all that are built)")
    parser.add_argument("--external", action="append", default=[], metavar="NAME=COMMAND", help="another server")
    parser.add_argument("--points", type=listed, default=["all"], help="points, by commas (all)")
    parser.add_argument("--rounds", type=within(int, 0, 1000), default=5, help="timed runs of each point and server (5); 0: only counts")
    parser.add_argument("--seconds", type=within(float, 0.05, 3600), default=2, help="length of a run (2)")
    parser.add_argument("--baseline", help="whom the ratios compare to (duplex, or the first)")
    parser.add_argument("--syscalls", action="store_true", help="count system calls, with perf or strace")
    parser.add_argument("--instructions", action="store_true", help="count user instructions, with perf or callgrind")
    parser.add_argument("--port", type=within(int, 0, 65535), default=0, help="port of the servers (any free one)")
    parser.add_argument("--json", type=Path, help="write all runs to a file")
    options = parser.parse_args()
    try:
        comparison = Comparison(options, Build(options.build))
        points = points_of(options.points)
        comparison.check(points)
        for name, why in comparison.build.left_out.items():
            unasked = (name.endswith(" over TLS") and not any(point.tls for point in points)
                       or name.endswith(" with compression") and not any(point.deflate for point in points))
            if not unasked:
                print(f"  left out: {name}: {why}", file=sys.stderr)
        results = {}
        for point in points:
            results[point.name] = comparison.samples(point)
    except Problem as problem:
        sys.exit(f"compare.py: {problem}")
    print("\n".join(table(point, results[point.name], options.baseline) for point in points))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if comparison.failures:
        sys.exit("failed:\n  " + "\n  ".join(comparison.failures))


if __name__ == "__main__":
    main()

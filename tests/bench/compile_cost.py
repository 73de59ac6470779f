#!/usr/bin/env python3
"""What it costs to compile a small program: seconds, peak memory, and the size of the stripped result.

The programs are in compile_cost/; one whose library is not installed is left out. The least of several runs counts.

  tests/bench/compile_cost.py
  tests/bench/compile_cost.py --compiler clang++ --runs 1 --flags "-O2 -I/opt/asio/include"
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include"

# As users of duplex::compiled compile, and what the library is made of.
COMPILED = ["-DDUPLEX_COMPILED", "-DASIO_SEPARATE_COMPILATION"]
PARTS = ["duplex/impl/server.hpp", "duplex/impl/tcp_connection.hpp", "duplex/impl/websocket.hpp", "asio/impl/src.hpp"]

# Program, what it shows, its standard, and the header without which it can't be compiled.
PROGRAMS = [
    ("duplex_server", "duplex, echo server", "c++20", "asio.hpp"),
    ("duplex_client", "duplex, client", "c++20", "asio.hpp"),
    ("duplex_server", "duplex::compiled, echo server", "c++20", "asio.hpp"),
    ("duplex_client", "duplex::compiled, client", "c++20", "asio.hpp"),
    ("beast_server", "Boost.Beast, echo server", "c++20", "boost/beast/websocket.hpp"),
    ("websocketpp_server", "websocketpp, echo server", "c++17", "websocketpp/server.hpp"),
    ("asio_server", "Asio alone, echo of bytes", "c++20", "asio.hpp"),
]


def has_header(compiler, flags, header):
    command = [*compiler, *flags, "-std=c++20", "-x", "c++", "-E", "-o", os.devnull, "-"]
    program = f"#if !__has_include(<{header}>)\n#error\n#endif\n"
    return subprocess.run(command, input=program, text=True, stderr=subprocess.DEVNULL).returncode == 0


def measured(command):
    """Seconds and peak memory in MiB of a command and its children."""
    begin = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"compile_cost.py: failed: {shlex.join(command)}")
    return time.monotonic() - begin, used.ru_maxrss / 1024


def cost(compiler, flags, name, standard, runs, directory, library=()):
    made, program = directory / f"{name}.o", directory / name
    command = [*compiler, f"-std={standard}", *flags, "-c", str(HERE / "compile_cost" / f"{name}.cpp"), "-o", str(made)]
    least = [min(values) for values in zip(*(measured(command) for _ in range(runs)))]
    measured([*compiler, str(made), *library, "-s", "-pthread", "-Wl,--gc-sections", "-o", str(program)])
    return *least, program.stat().st_size / 1024


def build_library(compiler, flags, directory):
    """The objects of duplex::compiled, and what they cost together, once a project."""
    objects, seconds, memory = [], 0, 0
    for part in PARTS:
        source = directory / f"{part.replace('/', '_')}.cpp"
        source.write_text(f"#include <{part}>\n")
        made = source.with_suffix(".o")
        sections = ["-ffunction-sections", "-fdata-sections"]
        took, used = measured([*compiler, "-std=c++20", *flags, *COMPILED, *sections, "-c", str(source), "-o", str(made)])
        objects.append(str(made))
        seconds, memory = seconds + took, max(memory, used)
    archive = directory / "duplex_compiled.a"
    measured(["ar", "rcs", str(archive), *objects])
    return [str(archive)], seconds, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", type=shlex.split, default=["g++"], help="(g++)")
    parser.add_argument("--flags", type=shlex.split, default=["-O2"], help="(-O2)")
    parser.add_argument("--runs", type=int, default=3, help="compilations of each program (3)")
    options = parser.parse_args()
    flags = [*options.flags, "-DASIO_STANDALONE", f"-I{INCLUDE}"]
    print("| program | seconds | memory MiB | stripped KiB |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="duplex-bench-") as directory:
        library = []
        for name, title, standard, header in PROGRAMS:
            if not has_header(options.compiler, flags, header):
                print(f"left out: {title}: there is no {header}", file=sys.stderr)
                continue
            more = []
            if "compiled" in title:
                more = COMPILED
                if not library:
                    library, seconds, memory = build_library(options.compiler, flags, Path(directory))
                    print(f"| duplex::compiled itself, once | {seconds:.2f} | {memory:.0f} | |", flush=True)
            seconds, memory, size = cost(options.compiler, [*flags, *more], name, standard, options.runs, Path(directory),
                                         library if more else [])
            print(f"| {title} | {seconds:.2f} | {memory:.0f} | {size:.0f} |", flush=True)


if __name__ == "__main__":
    main()

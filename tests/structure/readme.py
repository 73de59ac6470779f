"""Checks README.md: `readme.py ROOT` prints what is wrong and ends with 1, or prints nothing. `readme.py --notices
DIRECTORY` shows in a copy of a small tree that each check notices.

Each block of C++ must stand line by line in a program of examples/, which is compiled; the tables of limits, timeouts
and presets must say what core/limits.hpp and core/presets.hpp say; one line, no more, must run the tests; and each test
that is named as a proof must exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```cpp\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.DOTALL | re.MULTILINE)
SIZE = re.compile(r"std::size_t (\w+) = (?:std::size_t\{(\d+)\} << (\d+)|(\d+));")
DURATION = re.compile(r"duration (\w+)\{([\d']+)\};")
TITLE = re.compile(r'^(?:TEMPLATE_)?TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"', re.MULTILINE)
PRESET = re.compile(r"^inline constexpr preset (\w+)\{\n?(.*?)\};$", re.DOTALL | re.MULTILINE)
CHOSEN = re.compile(r"\.(\w+) =\s+(?:std::size_t\{(\d+)\} << (\d+)|std::chrono::seconds\{(\d+)\}|(\d+))")
UNITS = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "s": 1000, "": 1}


def code(root):
    """Every block of C++ is part of an example."""
    readme = (root / "README.md").read_text()
    programs = [path.read_text() for path in sorted((root / "examples").glob("*.cpp"))]
    whole = 0
    for match in BLOCK.finditer(readme):
        line = readme.count("\n", 0, match.start()) + 1
        if not any("\n" + match[1] in "\n" + program for program in programs):
            yield f"README.md:{line}: this code stands in no program of examples/"
        whole += match[1] in programs
    if whole < 2:
        yield "README.md: the server and the client are not there as whole programs"


def all_defaults(root):
    """Every struct of core/limits.hpp, with the values in it."""
    header = (root / "include" / "duplex" / "core" / "limits.hpp").read_text()
    for struct, body in STRUCT.findall(header):
        values = {name: int(plain) if plain else int(base) << int(shift)
                  for name, base, shift, plain in SIZE.findall(body)}
        values.update({name: int(value.replace("'", "")) for name, value in DURATION.findall(body)})
        yield struct, values


def number_of(shown):
    """The number that a cell of a table shows; none where it shows something else."""
    number, _, unit = shown.replace("off", "0").partition(" ")
    return int(number) * UNITS[unit] if number.isdigit() and unit in UNITS else None


def defaults(root):
    """The tables name every limit and timeout with its value."""
    readme = (root / "README.md").read_text()
    for struct, values in all_defaults(root):
        if not values:
            yield f"core/limits.hpp: no values found in {struct}"
        table = re.search(rf"^\| `{struct}` \|.*\n\|[-|]*\|\n((?:\|.*\n)*)", readme, re.MULTILINE)
        shown = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", table[1] if table else "", re.MULTILINE))
        for name, value in values.items():
            if number_of(shown.pop(name, "nothing")) != value:
                yield f"README.md: {struct}::{name} is {value}, the table says something else"
        for name in shown:
            yield f"README.md: there is no {struct}::{name}"


def presets(root):
    """The table of presets names all that a preset has, with the values of each."""
    readme = (root / "README.md").read_text()
    header = (root / "include" / "duplex" / "core" / "presets.hpp").read_text()
    common = {name: value for _, values in all_defaults(root) for name, value in values.items()}
    all_presets = []
    for name, body in PRESET.findall(header):
        chosen = {key: int(base) << int(shift) if base else 1000 * int(seconds) if seconds else int(plain)
                  for key, base, shift, seconds, plain in CHOSEN.findall(body)}
        all_presets.append((name, {**common, **chosen}))
    head = "".join(rf" `{name}`[^|]* \|" for name, _ in all_presets)
    table = re.search(rf"^\| `presets` \|{head}\n\|[-|]*\|\n((?:\|.*\n)*)", readme, re.MULTILINE)
    rows = {}
    for line in table[1].splitlines() if table else []:
        key, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[key.strip("`")] = [number_of(cell) for cell in cells]
    for key in sorted(common.keys() | rows.keys()):
        if rows.get(key) != [values.get(key) for _, values in all_presets]:
            yield f"README.md: the table of presets says something else of {key} than core/presets.hpp"


def test_line(root):
    """The line that runs the tests can be found, and stands alone."""
    lines = [line for line in (root / "README.md").read_text().splitlines() if "cmake -P cmake/test.cmake" in line]
    if len(lines) != 1 or not lines[0].startswith("    sudo apt-get update && "):
        yield "README.md: exactly one line must have 'cmake -P cmake/test.cmake', and start with apt-get update"


def proofs(root):
    """What happens when ...: each answer names tests that exist."""
    titles = set()
    for path in (root / "tests").glob("*/*_test.cpp"):
        titles.update(TITLE.findall(re.sub(r'"\s*\n\s*"', "", path.read_text())))
    rows = 0
    section = False
    for number, line in enumerate((root / "README.md").read_text().splitlines(), 1):
        if line.startswith("## "):
            section = line.startswith("## What happens when")
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not section or not line.startswith("|") or cells[0] in ("...", "---"):
            continue
        rows += 1
        names = [name.strip() for name in cells[2].split(";")] if len(cells) == 3 else []
        if not names or "" in names:
            yield f"README.md:{number}: an answer needs its question and its proof"
        for name in names:
            if name and name not in titles:
                yield f"README.md:{number}: no test '{name}'"
    if not rows:
        yield "README.md: nothing says what happens when ..."


def problems(root):
    return [problem for check in (code, defaults, presets, test_line, proofs) for problem in check(root)]


def notices(directory):
    root = Path(__file__).resolve().parents[2]
    limits = "include/duplex/core/limits.hpp"
    a_test = "tests/net/connection_run_test.cpp"
    presets_header = "include/duplex/core/presets.hpp"
    broken = [
        (None, "", "", None),
        ("README.md", "server.start();", "server.begin();", "stands in no program"),
        ("README.md", "session.receive(received);\n", "\n", "stands in no program"),
        ("examples/ten_line_client.cpp", "Hello", "Hallo", "stands in no program"),
        ("README.md", "| `message_bytes` | 16 MiB |", "| `message_bytes` | 16 KiB |", "limits::message_bytes is 16777216"),
        ("README.md", "| `idle` | off |", "| `idle` | 1 s |", "timeouts::idle is 0"),
        ("README.md", "| `header_count` |", "| `header_counts` |", "http_limits::header_count is 100"),
        (limits, "duration close{10'000};", "duration close{20'000};", "timeouts::close is 20000"),
        ("README.md", "| `pong` | 20 s | 5 s |", "| `pong` | 20 s | 6 s |", "something else of pong"),
        ("README.md", "| `tls` | 10 s | 3 s | 20 s |\n", "", "something else of tls"),
        (presets_header, ".header_count = 40", ".header_count = 41", "something else of header_count"),
        ("README.md", "cmake -P cmake/test.cmake", "cmake -P cmake/tests.cmake", "exactly one line"),
        ("README.md", "\n## Changes", "\n`cmake -P cmake/test.cmake`\n\n## Changes", "exactly one line"),
        ("README.md", "| a callback may destroy its connection;", "| a callback destroys its connection;", "no test 'a callback d"),
        ("README.md", "| a callback may destroy its connection;", "| ;", "needs its question and its proof"),
        ("README.md", "| ... | then | proved by |", "## Other things\n| ... | then | proved by |", "nothing says what happens"),
        (a_test, "a callback may destroy its connection", "one may", "no test 'a callback may destroy its connection'"),
    ]
    failures = 0
    for file, before, after, message in broken:
        shutil.rmtree(directory, ignore_errors=True)
        (directory / limits).parent.mkdir(parents=True)
        shutil.copytree(root / "examples", directory / "examples")
        shutil.copytree(root / "tests", directory / "tests", ignore=shutil.ignore_patterns("corpus", "bench", "interop"))
        for name in ("README.md", limits, presets_header):
            shutil.copy(root / name, directory / name)
        if file:
            text = (directory / file).read_text()
            (directory / file).write_text(text.replace(before, after, 1))
        command = [sys.executable, __file__, str(directory)]
        result = subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)
        good = result.returncode == (1 if file else 0) and (message is None or message in result.stdout)
        print("noticed" if good else "NOT AS EXPECTED", ":", message or "the tree as it is", result.stdout.splitlines())
        failures += not good
    return 1 if failures else 0


if __name__ == "__main__":
    if sys.argv[1] == "--notices":
        sys.exit(notices(Path(sys.argv[2]).resolve()))
    found = problems(Path(sys.argv[1]).resolve())
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)

"""Checks of duplex's source tree: `checks.py CHECK ROOT` prints what is wrong and ends with 1, or prints nothing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

# Of permessage-deflate everybody sees what does without zlib, which is optional.
DEFLATE = {"deflate/params.hpp", "deflate/message_codec.hpp"}

# What the headers of each folder may include: folders or files of duplex, and kinds of headers from outside.
LAYERS = {
    "core": ({"core"}, {"std", "simd"}),
    "http": ({"http", "core"}, {"std"}),
    "deflate": ({"deflate", "core"}, {"std", "zlib", "libdeflate"}),
    "protocol": ({"protocol", "core"} | DEFLATE, {"std"}),
    "handshake": ({"handshake", "core", "http", "deflate/params.hpp"}, {"std"}),
    "net": ({"net", "core", "http", "protocol", "handshake"} | DEFLATE, {"std", "asio", "system"}),
    # OpenSSL is optional, so nothing else may come to include it.
    "tls": ({"tls", "net", "core", "http", "protocol", "handshake"} | DEFLATE, {"std", "asio", "openssl"}),
    "test": ({"test", "core", "net"}, {"std", "asio"}),
    # What the headers of the application floor are made of.
    "detail": ({"detail", "core", "http", "protocol", "handshake", "net"} | DEFLATE, {"std", "asio"}),
    "impl": ({"impl", ".", "detail", "core", "http", "protocol", "handshake", "net"} | DEFLATE, {"std", "asio"}),
    ".": ({".", "impl", "detail", "core", "http", "protocol", "handshake", "net"} | DEFLATE, {"std", "asio"}),
}

# Randomness comes from the operating system, wherever it is needed.
FILES = {"core/random.hpp": {"system"}}

# What a program includes that wants TLS or compression, above all floors.
ABOVE = {"tls.hpp": {"tls"}, "deflate.hpp": {"deflate"}}

# Headers that cost every user too much, and those which only the floors with callbacks may include.
HEAVY = {"iostream", "regex"}
CALLBACKS = {"functional"}
WITH_CALLBACKS = {"net", "tls", "test", "detail", "impl", "."}

TOP_LEVEL = {"include", "tests", "examples", "cmake", "CMakeLists.txt", "README.md", "LICENSE"}
MOST_LINES = 500
SOURCES = {".hpp", ".cpp", ".h", ".ipp", ".inl"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"([^()\s\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.[^'\n]*|[^'\\\n])'""", re.DOTALL
)
SLEEP = re.compile(r"\b(sleep_for|sleep_until|(?:sleep|usleep|nanosleep|clock_nanosleep)\s*(?=\())")
EXCEPTION = re.compile(r"\b(throw|try|catch)\b")


def sources(directory):
    return sorted(p for p in directory.rglob("*") if p.suffix in SOURCES) if directory.is_dir() else []


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def without_comments(text, strings=True):
    """The text with its comments (and strings) blanked out, every line where it was."""

    def blank(match):
        keep = match[0][0] != "/" and not strings
        return match[0] if keep else re.sub(r"[^\n]", " ", match[0])

    return TEXT.sub(blank, text)


def kind_of(header):
    """The kind of a header from outside of duplex."""
    if header == "asio/ssl.hpp" or header.startswith(("openssl/", "asio/ssl/")):
        return "openssl"
    if header == "asio.hpp" or header.startswith("asio/"):
        return "asio"
    if header in ("zlib.h", "zconf.h"):
        return "zlib"
    if header == "libdeflate.h":
        return "libdeflate"
    if re.fullmatch(r"[a-z]*intrin\.h|arm_neon\.h|cpuid\.h", header):
        return "simd"
    if re.fullmatch(r"[a-z0-9_]+", header):
        return "std"
    return "system" if header.endswith(".h") else "other"


def layers(root):
    """The layer rules: which folder of include/duplex may include what."""
    base = root / "include" / "duplex"
    for path in sources(base):
        name = path.relative_to(root)
        parts = path.relative_to(base).parts
        folder = parts[0] if len(parts) > 1 else "."
        if folder not in LAYERS:
            yield f"{name}: the folder {folder}/ has no rule in tests/structure/checks.py"
            continue
        own, outside = LAYERS[folder]
        own = own | ABOVE.get(path.relative_to(base).as_posix(), set())
        outside = outside | FILES.get(path.relative_to(base).as_posix(), set())
        text = without_comments(path.read_text(), strings=False)
        for match in INCLUDE.finditer(text):
            where, header = f"{name}:{line_of(text, match.start())}", match[2]
            target = None
            if header.startswith("duplex/"):
                target = Path(header).relative_to("duplex")
            elif match[1] == '"':
                target = Path(*(path.parent / header).resolve().parts[len(base.resolve().parts):])
            if target is not None:
                floor = target.parts[0] if len(target.parts) > 1 else "."
                # What every floor may know: the version.
                if floor not in own and target.as_posix() not in own | {"version.hpp"}:
                    yield f"{where}: {folder}/ may not include <duplex/{target.as_posix()}>"
            elif header == "asio.hpp":
                yield f"{where}: <asio.hpp> is never included, only the headers of Asio that are used"
            elif kind_of(header) not in outside:
                yield f"{where}: {folder}/ may not include <{header}>"
            elif header in HEAVY or (header in CALLBACKS and folder not in WITH_CALLBACKS):
                yield f"{where}: <{header}> is too heavy for {folder}/"


def test_files(root):
    """Each public header has its test file."""
    base = root / "include" / "duplex"
    for path in sorted(base.rglob("*.hpp")):
        header = path.relative_to(base)
        if {"detail", "impl"} & set(header.parts) or header.as_posix() in ("duplex.hpp", "version.hpp"):
            continue
        floor = next(iter(ABOVE.get(header.as_posix(), {"app"})))
        folder = header.parent if len(header.parts) > 1 else Path(floor)
        test = Path("tests") / folder / f"{header.stem}_test.cpp"
        if not (root / test).is_file():
            yield f"{path.relative_to(root)}: its test {test} is missing"


def sleeps(root):
    """No test waits for the clock."""
    for path in sources(root / "tests"):
        name = path.relative_to(root)
        if name.parts[1] in ("interop", "bench"):
            continue
        text = without_comments(path.read_text())
        for match in SLEEP.finditer(text):
            yield f"{name}:{line_of(text, match.start())}: {match[1].strip()} in a test"


def length(root):
    """No file of the library is long."""
    for path in sources(root / "include"):
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES:
            yield f"{path.relative_to(root)}: {lines} lines, {MOST_LINES} are the most"


def top_level(root):
    """The top level holds only what belongs there: what git tracks, or where there is no git all but build trees."""
    names = None
    if (root / ".git").exists() and shutil.which("git"):
        git = ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z"]
        listed = subprocess.run(git, stdout=subprocess.PIPE, check=True).stdout.decode()
        names = {file.split("/")[0] for file in listed.split("\0") if file}
    else:
        names = {path.name for path in root.iterdir() if not path.name.startswith("build")}
    for name in sorted(names):
        if name not in TOP_LEVEL and not name.startswith("."):
            yield f"{name}: does not belong in the top level"


def exceptions(root):
    """The library compiles without exceptions: throw, try and catch stand only under an #if that asks for them.

    g++ accepts them in templates even with -fno-exceptions, so compiling alone doesn't tell.
    """
    for path in sources(root / "include"):
        stack = []
        for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1):
            directive = re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)", line)
            if not directive:
                found = EXCEPTION.search(line) if not any(stack) and not line.lstrip().startswith("#") else None
                if found:
                    yield f"{path.relative_to(root)}:{number}: {found[1]} outside of an #if about exceptions"
            elif directive[1].startswith("if"):
                stack.append("exceptions" in directive[2].lower())
            elif directive[1] == "endif" and stack:
                stack.pop()


def rules(root):
    """Each test that the table of rules names exists in the files of its row."""
    table = root / "tests" / "RFC6455.md"
    for number, line in enumerate(table.read_text().splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 4 or not line.startswith("|") or cells[0] in ("section", "---"):
            continue
        titles = set()
        for file in re.findall(r"`([^`]+\.cpp)`", cells[2]):
            path = root / "tests" / file
            text = path.read_text() if path.is_file() else ""
            titles.update(re.findall(r'TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"', re.sub(r'"\s*\n\s*"', "", text)))
        for title in (title.strip() for title in cells[3].split(";")):
            if title and title != "reference" and not title.startswith("`") and title not in titles:
                yield f"tests/RFC6455.md:{number}: no test '{title}' in {cells[2]}"


CHECKS = {check.__name__: check for check in (layers, test_files, sleeps, length, top_level, exceptions, rules)}

if __name__ == "__main__":
    problems = list(CHECKS[sys.argv[1]](Path(sys.argv[2]).resolve()))
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(1 if problems else 0)

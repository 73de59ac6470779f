"""Shows that a check notices: `broken_trees.py CHECK DIRECTORY` makes small trees in DIRECTORY, a good one that the
check must pass and then, for each case, one with a single fault that the check must name."""

import shutil
import subprocess
import sys
from pathlib import Path

GOOD = {
    "README.md": "",
    "LICENSE": "",
    "CMakeLists.txt": "",
    ".gitignore": "/build*/\n",
    "cmake/demo.cmake": "",
    "examples/ws.cpp": "",
    "include/duplex/duplex.hpp": "#include <duplex/client.hpp>\n",
    "include/duplex/version.hpp": "",
    "include/duplex/client.hpp": "#include <duplex/net/connect.hpp>\n#include <functional>\n",
    "include/duplex/core/utf8.hpp": "#include <duplex/core/error.hpp>\n#include <immintrin.h>\n#include <span>\n",
    "include/duplex/core/error.hpp": "// <asio.hpp> and throw in a comment\n#include <system_error>\n",
    "include/duplex/core/random.hpp": "#include <sys/random.h>\n",
    "include/duplex/deflate/params.hpp": '#include "duplex/core/error.hpp"\n',
    "include/duplex/deflate/inflater.hpp": "#include <zlib.h>\n",
    "include/duplex/deflate/message_codec.hpp": "",
    "include/duplex/deflate.hpp": "#include <duplex/deflate/inflater.hpp>\n",
    "include/duplex/handshake/accept_key.hpp": "#include <duplex/deflate/params.hpp>\n",
    "include/duplex/protocol/session.hpp": '#include "../core/utf8.hpp"\n#include <duplex/deflate/message_codec.hpp>\n#include <duplex/version.hpp>\n',
    "include/duplex/net/connect.hpp": "#include <asio/buffer.hpp>\n#include <sys/epoll.h>\n",
    "include/duplex/net/detail/guard.hpp": "#if defined(__cpp_exceptions)\n#else\nthrow 1;\n#endif\nint try_read();\n",
    "include/duplex/net/impl/connect.hpp": "\n" * 500,
    "include/duplex/tls/tls_context.hpp": "#include <duplex/net/connect.hpp>\n#include <openssl/ssl.h>\n",
    "include/duplex/test/stream.hpp": "#include <duplex/net/connect.hpp>\n",
    "tests/app/client_test.cpp": '// sleep_for\nauto s = "usleep(1)"; int asleep(int);\n',
    "tests/core/utf8_test.cpp": 'TEST_CASE("one") {}\nTEST_CASE("a long "\n          "name") {}\n',
    "tests/RFC6455.md": "| section | rule | file | test |\n|---|---|---|---|\n| 8.1 | UTF-8 | `core/utf8_test.cpp` | one; a long name |\n",
    "tests/core/error_test.cpp": "",
    "tests/core/random_test.cpp": "",
    "tests/deflate/params_test.cpp": "",
    "tests/deflate/deflate_test.cpp": "",
    "tests/deflate/inflater_test.cpp": "",
    "tests/deflate/message_codec_test.cpp": "",
    "tests/handshake/accept_key_test.cpp": "",
    "tests/protocol/session_test.cpp": "",
    "tests/net/connect_test.cpp": "",
    "tests/test/stream_test.cpp": "",
    "tests/tls/tls_context_test.cpp": "",
    "tests/bench/load.cpp": "std::this_thread::sleep_for(1s);\n",
    "tests/interop/peer.cpp": "usleep(1);\n",
}

# For each check: the file to write (None as text: to leave out) and what the check must say then.
BROKEN = {
    "rules": [
        ("tests/core/utf8_test.cpp", 'TEST_CASE("one") {}\n', "tests/RFC6455.md:3: no test 'a long name'"),
        ("tests/core/utf8_test.cpp", 'TEST_CASE("a long name") {}\n', "no test 'one' in `core/utf8_test.cpp`"),
    ],
    "layers": [
        ("include/duplex/core/a.hpp", "#include <asio/buffer.hpp>\n", "core/a.hpp:1: core/ may not include <asio/buffer"),
        ("include/duplex/core/a.hpp", "\n#include <duplex/http/uri.hpp>\n", "a.hpp:2: core/ may not include <duplex/http"),
        ("include/duplex/core/a.hpp", '#include "../http/uri.hpp"\n', "core/ may not include <duplex/http/uri.hpp>"),
        ("include/duplex/core/a.hpp", "#include <duplex/client.hpp>\n", "core/ may not include <duplex/client.hpp>"),
        ("include/duplex/core/a.hpp", "#include <unistd.h>\n", "core/ may not include <unistd.h>"),
        ("include/duplex/core/a.hpp", "#include <iostream>\n", "<iostream> is too heavy for core/"),
        ("include/duplex/http/a.hpp", "#include <functional>\n", "<functional> is too heavy for http/"),
        ("include/duplex/net/a.hpp", "#  include <regex>\n", "<regex> is too heavy for net/"),
        ("include/duplex/http/a.hpp", "#include <duplex/handshake/b.hpp>\n", "http/ may not include <duplex/handshake/"),
        ("include/duplex/protocol/a.hpp", "#include <duplex/handshake/b.hpp>\n", "protocol/ may not include <duplex/hand"),
        ("include/duplex/handshake/a.hpp", "#include <duplex/protocol/b.hpp>\n", "handshake/ may not include <duplex/pro"),
        ("include/duplex/handshake/a.hpp", "#include <duplex/deflate/inflater.hpp>\n", "handshake/ may not include"),
        ("include/duplex/protocol/a.hpp", "#include <duplex/deflate/inflater.hpp>\n", "protocol/ may not include <duplex/defl"),
        ("include/duplex/net/a.hpp", "#include <duplex/deflate/inflater.hpp>\n", "net/ may not include <duplex/deflate/"),
        ("include/duplex/server.hpp", "#include <duplex/deflate/inflater.hpp>\n", "./ may not include <duplex/deflate/"),
        ("include/duplex/net/a.hpp", "#include <zlib.h>\n", "net/ may not include <zlib.h>"),
        ("include/duplex/net/a.hpp", "#include <libdeflate.h>\n", "net/ may not include <libdeflate.h>"),
        ("include/duplex/protocol/a.hpp", "#include <asio/buffer.hpp>\n", "protocol/ may not include <asio/buffer.hpp>"),
        ("include/duplex/net/a.hpp", "#include <boost/asio.hpp>\n", "net/ may not include <boost/asio.hpp>"),
        ("include/duplex/net/a.hpp", "#include <asio.hpp>\n", "<asio.hpp> is never included"),
        ("include/duplex/server.hpp", "#include <asio.hpp>\n", "<asio.hpp> is never included"),
        ("include/duplex/net/a.hpp", "#include <openssl/ssl.h>\n", "net/ may not include <openssl/ssl.h>"),
        ("include/duplex/net/a.hpp", "#include <asio/ssl/stream.hpp>\n", "net/ may not include <asio/ssl/stream.hpp>"),
        ("include/duplex/net/a.hpp", "#include <duplex/tls/tls_context.hpp>\n", "net/ may not include <duplex/tls/"),
        ("include/duplex/server.hpp", "#include <duplex/tls/tls_context.hpp>\n", "./ may not include <duplex/tls/"),
        ("include/duplex/tls/a.hpp", "#include <duplex/server.hpp>\n", "tls/ may not include <duplex/server.hpp>"),
        ("include/duplex/net/a.hpp", "#include <duplex/server.hpp>\n", "net/ may not include <duplex/server.hpp>"),
        ("include/duplex/net/impl/a.hpp", "#include <duplex/test/stream.hpp>\n", "net/ may not include <duplex/test/str"),
        ("include/duplex/extra/a.hpp", "", "the folder extra/ has no rule"),
    ],
    "test_files": [
        ("tests/deflate/deflate_test.cpp", None, "deflate.hpp: its test tests/deflate/deflate_test.cpp is missing"),
        ("tests/core/utf8_test.cpp", None, "include/duplex/core/utf8.hpp: its test tests/core/utf8_test.cpp is missing"),
        ("tests/app/client_test.cpp", None, "client.hpp: its test tests/app/client_test.cpp is missing"),
        ("include/duplex/test/fail_count.hpp", "", "its test tests/test/fail_count_test.cpp is missing"),
    ],
    "sleeps": [
        ("tests/net/a_test.cpp", "\nstd::this_thread::sleep_for(1ms);\n", "tests/net/a_test.cpp:2: sleep_for in a test"),
        ("tests/net/a_test.cpp", "std::this_thread::sleep_until(t);\n", "sleep_until in a test"),
        ("tests/support/a.hpp", "usleep (1);\n", "tests/support/a.hpp:1: usleep in a test"),
        ("tests/core/a_test.cpp", "::nanosleep(&t, nullptr);\n", "nanosleep in a test"),
        ("tests/core/a_test.cpp", "sleep(1);\n", "sleep in a test"),
    ],
    "length": [
        ("include/duplex/net/a.hpp", "\n" * 501, "include/duplex/net/a.hpp: 501 lines, 500 are the most"),
    ],
    "top_level": [
        ("NOTES.md", "", "NOTES.md: does not belong in the top level"),
        ("tools/run.sh", "", "tools: does not belong in the top level"),
    ],
    "exceptions": [
        ("include/duplex/net/a.hpp", "char c = '\"';\nvoid f() { throw 1; }\n", "include/duplex/net/a.hpp:2: throw outside of an #if"),
        ("include/duplex/core/a.hpp", "try {} catch (...) {}\n", "a.hpp:1: try outside of an #if"),
        ("include/duplex/core/a.hpp", "#if defined(__cpp_exceptions)\n#endif\nthrow 1;\n", "a.hpp:3: throw outside"),
    ],
}


def make_tree(root, change=None, git=False):
    shutil.rmtree(root, ignore_errors=True)
    for name, text in {**GOOD, **(change or {})}.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    if git:
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        subprocess.run(["git", "-C", str(root), "add", "-A"], check=True)
        (root / "untracked.txt").write_text("")


def run(check, root):
    command = [sys.executable, str(Path(__file__).with_name("checks.py")), check, str(root)]
    return subprocess.run(command, stdout=subprocess.PIPE, universal_newlines=True)


def main(check, directory):
    failures = 0
    # The top level is what git tracks where there is git, so that check is shown both kinds of tree.
    for git in [False, True] if check == "top_level" and shutil.which("git") else [False]:
        for file, text, message in [(None, None, None)] + BROKEN[check]:
            make_tree(directory, {file: text} if file else None, git)
            result = run(check, directory)
            problems = result.stdout.splitlines()
            if file is None:
                as_expected = result.returncode == 0 and not problems
            else:
                as_expected = result.returncode == 1 and len(problems) == 1 and message in problems[0]
            print("noticed" if as_expected else "NOT AS EXPECTED", ":", message or "a good tree", problems)
            failures += not as_expected
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]).resolve()))

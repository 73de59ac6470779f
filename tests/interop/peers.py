"""What the interop tests in Python share: each is run as `python3 TEST PROGRAM`. Standard library only."""

import contextlib
import signal
import subprocess
import sys
import traceback

HARD_LIMIT = 60  # seconds


def skip(why):
    """Ends this program as skipped, which ctest tells from passed by the 77."""
    print(f"skipped: {why}")
    sys.exit(77)


class EchoServer:
    """Our echo server on a free port."""

    def __init__(self, program, *options):
        command = [program, "--host", "127.0.0.1", "--port", "0", *map(str, options)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline().split()
        if line[:2] != ["listening", "on"]:
            self.process.kill()
            raise RuntimeError("the echo server has not started")
        self.url = line[2]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self):
        """Asks it to end; gives its exit code."""
        self.process.terminate()
        return self.process.wait(20)


@contextlib.contextmanager
def echo_server(program, *options):
    server = EchoServer(program, *options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        server.process.stdout.close()


def run(cases, call):
    """Runs `call(case)` for one case after the other within the hard limit, and ends this program."""

    def give_up(*_):
        raise SystemExit(f"FAILED: not done within {HARD_LIMIT} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HARD_LIMIT)
    failures = 0
    for case in cases:
        name = case.__name__.replace("_", " ")
        try:
            call(case)
            print("ok    ", name, flush=True)
        except Exception:
            failures += 1
            print("FAILED", name, traceback.format_exc(), flush=True)
    sys.exit(1 if failures else 0)

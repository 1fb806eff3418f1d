"""Running the command line in tests: piped, on a terminal of a given width, and cases that print ok lines."""
import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
BIN = os.environ.get("KELPIE_BIN") or os.path.join(HERE, "../../../build-dev/bin")
KELPIE = os.path.join(BIN, "kelpie")
SINCE = ["--since", "2024-03-04T10:00:00Z", "--until", "2024-03-04T11:00:00Z"]


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("KELPIE_") and k not in (
        "NO_COLOR", "COLUMNS", "VISUAL", "EDITOR")}
    # a sanitizer's reports belong on stderr, and must fail the test
    # nobody's history is touched: nothing can be made there
    return {**env, "TZ": "UTC", "TERM": "xterm", "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": "/proc/none", **more}


class Result:
    def __init__(self, code, out, err=""):
        self.code, self.out, self.err = code, out, err


def run(*args, width=None, stdin=None, program=None, **env):
    if width:
        env["COLUMNS"] = str(width)
    done = subprocess.run([program or KELPIE, *args], env=environment(**env), capture_output=True,
                          input=stdin, timeout=30, stdin=subprocess.DEVNULL if stdin is None else None)
    return Result(done.returncode, done.stdout.decode("utf-8", "surrogateescape"),
                  done.stderr.decode("utf-8", "surrogateescape"))


def on_terminal(*args, width=80, height=24, keys=(), seconds=30, **env):
    """Stdin, stdout and stderr are a terminal. keys: (text, bytes): what is typed when the text has come
    since the keys before."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            time.sleep(0.05)
            os.execve(KELPIE, [KELPIE, *args], environment(**env))
        finally:
            os._exit(127)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    out, start, keys, seen = b"", time.monotonic(), list(keys), 0
    while time.monotonic() - start < seconds:
        at = out.find(keys[0][0].encode(), seen) if keys else -1
        if at >= 0:
            seen = at + len(keys[0][0].encode())
            os.write(fd, keys.pop(0)[1])
        if select.select([fd], [], [], 0.05)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                break
            if not data:
                break
            out += data
    else:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    attrs = None
    os.close(fd)
    return Result(code, out.decode("utf-8", "surrogateescape").replace("\r\n", "\n"), attrs)


class Folder:
    """A directory of the test's own, short enough for sockets."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="kelpie-cli.")
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Cases:
    def __init__(self):
        self.failed = 0

    def run(self, cases, *args):
        for name, fn in cases:
            if not name.startswith("test_"):
                continue
            try:
                fn(*args)
                print(f"ok {name}", flush=True)
            except Exception as problem:  # pylint: disable=broad-except
                import traceback
                self.failed += 1
                traceback.print_exc(file=sys.stdout)
                print(f"not ok {name}: {problem}", flush=True)
        return 1 if self.failed else 0


def expect(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what}\n got: {got!r}\nwant: {want!r}")


def expect_in(part, whole):
    if part not in whole:
        raise AssertionError(f"{part!r} is not in {whole!r}")

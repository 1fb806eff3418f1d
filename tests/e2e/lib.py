"""What the end-to-end tests share: processes by pid, private ports, Kelpie itself, loads and truth.

Environment: KELPIE_BIN and KELPIE_TEST_BIN name the folders of the programs (ctest sets them);
KELPIE_E2E_SCALE multiplies the number of exchanges (1 is what CI runs, 50 gives the full counts).
"""
import atexit
import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("KELPIE_BIN", os.path.join(TOP, "build", "bin"))
TOOLS = os.environ.get("KELPIE_TEST_BIN", os.path.join(os.path.dirname(BIN), "tests"))
SCALE = float(os.environ.get("KELPIE_E2E_SCALE", "1"))
SKIPPED = 77

# The columns of the truth, read from a row. The request's number is in its User-Agent, the
# answer's own in its Content-Type, so that a row put together from two exchanges shows.
ROWS_SQL = """SELECT CAST(substr(user_agent, 13) AS INTEGER) AS seq, method, path, version,
 status_code AS status, client_addr, client_port, server_addr, server_port,
 request_bytes, request_body_bytes, response_bytes, response_body_bytes, trace_id, outcome,
 CASE WHEN content_type LIKE 'application/x-seq.%' THEN substr(content_type, 19) END AS response_seq
 FROM http WHERE user_agent LIKE 'kelpie-load/%'"""


class Area:
    """A throw-away directory and everything that was started in it."""

    def __init__(self, name):
        self.name = name
        self.path = tempfile.mkdtemp(prefix=f"kelpie-e2e-{name}.")
        self.processes = []
        self.mounts = []
        self.failed = []
        self.used_ports = set()
        atexit.register(self.close)
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sig, lambda *_: sys.exit(1))

    def file(self, name):
        return os.path.join(self.path, name)

    def check(self, name, ok, detail=""):
        print(("ok " if ok else "not ok ") + f"{self.name}__{name}", flush=True)
        if not ok:
            self.failed.append(name)
            for line in str(detail).rstrip().splitlines():
                print("# " + line, flush=True)
        return ok

    def note(self, text):
        for line in str(text).rstrip().splitlines():
            print("# " + line, flush=True)

    def port(self):
        """A free port that can be no client's own end (below the ephemeral range)."""
        while True:
            port = random.randrange(20000, 32000)
            if port in self.used_ports:
                continue
            with socket.socket(socket.AF_INET6) as s:
                try:
                    s.bind(("::", port))
                except OSError:
                    continue
            self.used_ports.add(port)
            return port

    def start(self, argv, **kw):
        p = Process(self, argv, **kw)
        self.processes.append(p)
        return p

    def close(self):
        for p in reversed(self.processes):
            p.stop()
        for path in reversed(self.mounts):
            subprocess.run(["umount", path])
        if self.failed and os.environ.get("KELPIE_E2E_KEEP"):
            print(f"# kept {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def finish(self):
        sys.exit(1 if self.failed else 0)


class Process:
    def __init__(self, area, argv, log=None, env=None, cwd=None):
        number = len(area.processes)
        self.argv = argv
        self.log_path = log or area.file(f"{number}-{os.path.basename(argv[0])}.log")
        with open(self.log_path, "wb") as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          env=dict(os.environ, **(env or {})), cwd=cwd or area.path,
                                          start_new_session=True)
        self.pid = self.popen.pid

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def alive(self):
        return self.popen.poll() is None

    def wait(self, seconds):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, sig=signal.SIGTERM, seconds=8):
        """Returns the exit status, None when it had to be killed."""
        if not self.alive():
            return self.popen.returncode
        self.popen.send_signal(sig)
        status = self.wait(seconds)
        if status is None:
            self.popen.kill()
            self.wait(5)
        return status


def wait_until(what, seconds, every=0.05):
    """Waits until what() is true; returns its last value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(every)


def listening(port):
    """Asks the kernel's table: connecting could reach the prober's own end."""
    want = f":{port:04X}"
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(path) as f:
            next(f)
            for line in f:
                word = line.split()
                if word[1].endswith(want) and word[3] == "0A":
                    return True
    return False


def start_server(area, argv, port, **kw):
    p = area.start(argv, **kw)
    if not wait_until(lambda: listening(port) or not p.alive(), 20) or not p.alive():
        raise RuntimeError(f"{argv[0]} does not listen on {port}:\n{p.log()}")
    return p


class Echo:
    """kelpie-echo with its truth."""

    def __init__(self, area, *args, listen="127.0.0.1"):
        self.port = area.port()
        self.address = f"{listen}:{self.port}"
        self.truth = area.file(f"echo-{self.port}.csv")
        self.process = start_server(area, [os.path.join(TOOLS, "kelpie-echo"), "--listen",
                                           self.address, "--truth", self.truth, *args], self.port)

    def stop(self):
        self.process.stop()
        return json.loads(self.process.log().splitlines()[-1])


class Load:
    """kelpie-load; numbers of several loads of one test do not overlap."""

    next_seq = 1

    def __init__(self, area, address, count, *args, name="load", **kw):
        self.count = int(count)
        self.truth = area.file(f"{name}-{Load.next_seq}.csv")
        self.process = area.start(
            [os.path.join(TOOLS, "kelpie-load"), "--connect", address, "--count", str(self.count),
             "--first-seq", str(Load.next_seq), "--truth", self.truth, *args], **kw)
        Load.next_seq += max(self.count, 1) + 1000

    def finish(self, seconds=110):
        """Returns (exit status, the numbers it printed)."""
        status = self.process.wait(seconds)
        if status is None:
            self.process.stop()
        lines = [x for x in self.process.log().splitlines() if x.startswith("{")]
        return status, json.loads(lines[-1]) if lines else {}


def compare(truths, rows, *args):
    """kelpie-truth. Returns (equal, its table, the numbers of the table)."""
    argv = [os.path.join(TOOLS, "kelpie-truth"), "--rows", rows, *args]
    for t in truths:
        argv += ["--truth", t]
    done = subprocess.run(argv, capture_output=True, text=True)
    numbers = {}
    for line in done.stdout.splitlines():
        words = line.rsplit(None, 1)
        if len(words) == 2 and words[1].isdigit() and not line.startswith("  "):
            numbers[words[0].strip()] = int(words[1])
    return done.returncode == 0, done.stdout + done.stderr, numbers


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


def need_root():
    if os.geteuid() != 0:
        print("skip (needs root)")
        sys.exit(SKIPPED)

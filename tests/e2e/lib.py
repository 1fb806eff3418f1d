"""What the end-to-end tests share: processes by pid, private ports, Kelpie itself, loads and truth.

Environment: KELPIE_BIN and KELPIE_TEST_BIN name the folders of the programs (ctest sets them);
KELPIE_E2E_SCALE multiplies the number of exchanges (1 is what CI runs, 50 gives the full counts).
KELPIE_E2E_RUNG=RUNG/READS (rawtp/probe, …) lets every Kelpie of a test capture that way.
"""
import atexit
import csv
import io
import json
import os
import random
import re
import shlex
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
RUNG, _, READS = os.environ.get("KELPIE_E2E_RUNG", "auto/auto").partition("/")
SKIPPED = 77
PAGE_ROWS = 100000  # of one answer: all their columns stay well below its 64 MiB

# Numbers from here on are those of exchanges before the measured ones (--warm); see load.c.
# The columns of the truth, read from a row. The request's number is in its User-Agent, the
# answer's own in its Content-Type, so that a row put together from two exchanges shows.
ROWS_SQL = """SELECT CAST(substr(user_agent, 13) AS INTEGER) AS seq, method, path, version,
 status_code AS status, client_addr, client_port, server_addr, server_port,
 request_bytes, request_body_bytes, response_bytes, response_body_bytes, trace_id, outcome,
 CASE WHEN content_type LIKE 'application/x-seq.%' THEN substr(content_type, 19) END AS response_seq
 FROM http WHERE user_agent LIKE 'kelpie-load/%' AND CAST(substr(user_agent, 13) AS INTEGER) < 1 << 36"""


class Area:
    """A throw-away directory and everything that was started in it."""

    def __init__(self, name):
        self.name = name
        self.path = tempfile.mkdtemp(prefix=f"kelpie-e2e-{name}.")
        os.chmod(self.path, 0o755)  # the store works in it as another user
        self.processes = []
        self.mounts, self.cgroups = [], []
        self.home = self.own = None  # control groups: where this test came from, and its own; see apart()
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

    def cgroup(self, name=""):
        """A control group for processes of this test: (its path, a command that runs another in it)."""
        path = os.path.join(cgroup_top(), os.path.basename(self.path) + name)
        os.mkdir(path)
        self.cgroups.append(path)
        return path, ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', path)

    def apart(self):
        """Arguments of an agent that watches this test and what it starts from now on, and nothing else of
        the machine: its other traffic is not captured, and none of its losses is the test's."""
        if self.home is None:
            with open("/proc/self/cgroup") as f:
                self.home = next(line[3:].strip() for line in f if line.startswith("0::")).lstrip("/")
            self.own, _ = self.cgroup(".apart")
            enter_cgroup(self.own)
        return ["--cgroup", self.own]

    def close(self):
        for p in reversed(self.processes):
            p.stop()
        if self.home is not None:
            enter_cgroup(os.path.join(cgroup_top(), self.home))
        for path in self.cgroups:
            os.rmdir(path)
        for path in reversed(self.mounts):
            subprocess.run(["umount", path])
        if self.failed and os.environ.get("KELPIE_E2E_KEEP"):
            print(f"# kept {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def finish(self):
        sys.exit(1 if self.failed else 0)


class Process:
    """stop_signal: what ends it in good order."""

    def __init__(self, area, argv, log=None, env=None, cwd=None, stop_signal=signal.SIGTERM):
        self.stop_signal = stop_signal
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

    def stop(self, sig=None, seconds=8):
        """Returns the exit status, None when it had to be killed."""
        if not self.alive():
            return self.popen.returncode
        self.popen.send_signal(sig or self.stop_signal)
        status = self.wait(seconds)
        if status is None:
            self.popen.kill()
            self.wait(5)
        return status


def cgroup_top():
    """Where cgroup v2 is mounted."""
    with open("/proc/self/mountinfo") as f:
        mounts = [line.split() for line in f]
    return next(m[4] for m in mounts if m[m.index("-") + 1] == "cgroup2")


def enter_cgroup(path):
    with open(os.path.join(path, "cgroup.procs"), "w") as f:
        f.write(str(os.getpid()))


def wait_until(what, seconds, every=0.05):
    """Waits until what() is true; returns its last value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(every)


def listening(port, pid="self"):
    """Asks the kernel's table: connecting could reach the prober's own end. That of the process's
    network namespace."""
    want = f":{port:04X}"
    for path in (f"/proc/{pid}/net/tcp", f"/proc/{pid}/net/tcp6"):
        with open(path) as f:
            next(f)
            for line in f:
                word = line.split()
                if word[1].endswith(want) and word[3] == "0A":
                    return True
    return False


def start_server(area, argv, port, seconds=20, **kw):
    p = area.start(argv, **kw)
    if not wait_until(lambda: not p.alive() or listening(port, p.pid), seconds) or not p.alive():
        raise RuntimeError(f"{argv[0]} does not listen on {port}:\n{p.log()}")
    return p


class Echo:
    """kelpie-echo with its truth; under: a command that runs it (`ip netns exec`)."""

    def __init__(self, area, *args, listen="127.0.0.1", under=()):
        self.port = area.port()
        self.address = f"{listen}:{self.port}"
        self.truth = area.file(f"echo-{self.port}.csv")
        self.process = start_server(area, [*under, os.path.join(TOOLS, "kelpie-echo"), "--listen",
                                           self.address, "--truth", self.truth, *args], self.port)

    def stop(self):
        self.process.stop()
        return json.loads(self.process.log().splitlines()[-1])


class Load:
    """kelpie-load; numbers of several loads of one test do not overlap."""

    next_seq = 1

    def __init__(self, area, address, count, *args, name="load", log=True, under=()):
        self.count = int(count)
        self.truth = area.file(f"{name}-{Load.next_seq}.csv")
        self.process = area.start(
            [*under, os.path.join(TOOLS, "kelpie-load"), "--connect", address, "--count",
             str(self.count), "--first-seq", str(Load.next_seq), *(["--truth", self.truth] if log else []), *args])
        Load.next_seq += max(self.count, 1) + 1000

    def finish(self, seconds=110):
        """Returns (exit status, the numbers it printed)."""
        status = self.process.wait(seconds)
        if status is None:
            self.process.stop()
        lines = [x for x in self.process.log().splitlines() if x.startswith("{")]
        return status, json.loads(lines[-1]) if lines else {}


def ask(server, *args, seconds=60):
    """A command against the collector at that address: (status, stdout, stderr)."""
    try:
        done = subprocess.run([os.path.join(BIN, "kelpie"), *args], capture_output=True, text=True,
                              timeout=seconds, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, KELPIE_SERVER=server))
    except subprocess.TimeoutExpired:
        return None, "", f"no answer within {seconds} s"
    return done.returncode, done.stdout, done.stderr


class Kelpie:
    """`kelpie run` on a data directory and socket of its own. The limits of queries are wide, so that
    a test may ask for every row; config is added to that, plain leaves everything at its default."""

    CONFIG = "query:\n  rows: 10000000\n  timeout: 120s\n  memory: 2GiB\n"

    def __init__(self, area, *args, data=None, config="", plain=False, wait=True, rung=None,
                 reads=None, agent_args=()):
        self.area, self.agent_args = area, list(agent_args)
        self.dir = tempfile.mkdtemp(prefix="kelpie.", dir=area.path)
        os.chmod(self.dir, 0o755)
        self.data = data or os.path.join(self.dir, "data")
        self.server = f"unix:{self.dir}/kelpie.sock"
        self.rung, self.reads = rung or RUNG, reads or READS
        self.argv = [*self.private_tracefs(), os.path.join(self.programs(), "kelpie"), "run",
                     "--data-dir", self.data, "--listen", self.server]
        if not plain:
            path = os.path.join(self.dir, "kelpie.yaml")
            with open(path, "w") as f:
                f.write(self.CONFIG + config)
            self.argv += ["--config", path]
        self.argv += args
        self.start(wait)

    def private_tracefs(self):
        """The rung `tracepoint` needs tracefs, which not every machine has mounted: here it is, for
        this Kelpie alone. The process keeps its number."""
        if self.rung != "tracepoint":
            return []
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                "[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing && "
                "exec \"$@\"", "sh"]

    def programs(self):
        """The folder of the programs; one whose agent has the wanted options beside `kelpie run`'s."""
        if self.reads not in ("", "auto"):
            self.agent_args += ["--reads", self.reads]
        if not self.agent_args:
            return BIN
        path = os.path.join(self.dir, "bin")
        os.mkdir(path)
        for name in ("kelpie", "kelpie-collector"):
            shutil.copy2(os.path.join(BIN, name), path)
        agent = os.path.join(path, "kelpie-agent")
        with open(agent, "w") as f:
            f.write(f"#!/bin/sh\nexec {BIN}/kelpie-agent {shlex.join(self.agent_args)} \"$@\"\n")
        os.chmod(agent, 0o755)
        return path

    def start(self, wait=True):
        started = time.monotonic()
        env = {} if self.rung == "auto" else {"KELPIE_CAPTURE_HOOK": self.rung}
        self.process = self.area.start(self.argv, env=env)
        if wait:
            self.wait_ready()
        self.ready_after = time.monotonic() - started

    def is_ready(self):
        return re.search(r"^ready\b|\bready\b.*unix:", self.process.log(), re.M)

    def wait_ready(self, seconds=20):
        if not wait_until(lambda: self.is_ready() or not self.process.alive(), seconds) or \
                not self.process.alive():
            self.skip_without_rung()
            raise RuntimeError(f"kelpie run is not ready:\n{self.process.log()}")

    def skip_without_rung(self):
        """Ends the test as skipped when the kernel lacks what the wanted rung needs, and says what."""
        lacks = re.search(rf"cannot capture: ({self.rung}: no \w+ .*|{self.rung}/{self.reads}: this "
                          "kernel cannot be read that way)", self.process.log())
        if lacks and self.rung != "auto":
            print(f"skip ({lacks[1]})")
            sys.exit(SKIPPED)

    def captures_with(self):
        """RUNG/READS as the agent says it."""
        return self.sql("SELECT value FROM kelpie_status WHERE key = 'capture'")[0]["value"]

    def command(self, *args, seconds=60):
        """A command against this instance: (status, stdout, stderr)."""
        return ask(self.server, *args, seconds=seconds)

    def sql(self, text, seconds=60):
        """Rows as dictionaries of text; raises when the query fails."""
        status, out, err = self.command("sql", "-o", "csv", text, seconds=seconds)
        if status != 0:
            raise RuntimeError(f"status {status} for {text}\n{err}")
        return read_csv(out)

    def value(self, text):
        """The one number that is asked for, 0 for NULL: a line without anything, which is read as no row."""
        rows = self.sql(text)
        return int(next(iter(rows[0].values())) or 0) if rows else 0

    def rows_to_file(self, where, path, table="http", seconds=110):
        """All rows, in parts of the requests' numbers: an answer ends at 64 MiB."""
        rows = ROWS_SQL.replace("FROM http", f"FROM {table}") + f" AND {where}"
        first, last = self.sql(f"SELECT min(seq) AS a, max(seq) AS b FROM ({rows})", seconds)[0].values()
        first, last = int(first or 0), int(last or 0)
        with open(path, "w") as out:
            for at in range(first, last + 1, PAGE_ROWS):
                part = f"SELECT * FROM ({rows}) WHERE seq BETWEEN {at} AND {at + PAGE_ROWS - 1}"
                header = ["--no-headers"] if at > first else []
                status, text, err = self.command("sql", "-o", "csv", *header, part, seconds=seconds)
                if status != 0 or "cut at a limit" in err:
                    raise RuntimeError(f"status {status} for the rows\n{err}")
                out.write(text)

    def wait_rows(self, where, want, seconds=15, patience=4):
        """Waits for `want` rows; gives up early when the number has not moved for `patience` s."""
        last, moved = -1, time.monotonic()

        def enough():
            nonlocal last, moved
            n = self.value(f"SELECT count(*) FROM http WHERE {where}")
            if n != last:
                last, moved = n, time.monotonic()
            return n >= want or time.monotonic() - moved > patience

        wait_until(enough, seconds, 0.2)
        return last

    def unbalanced(self):
        return [r for r in self.sql("SELECT * FROM kelpie_ledger_balance")
                if int(r["difference"] or 0) != 0]

    def wait_balance(self, seconds=10):
        """The lines of the ledger that do not close, after time to come to rest."""
        rest = []

        def closed():
            rest[:] = self.unbalanced()
            return not rest

        wait_until(closed, seconds, 0.3)
        return rest

    def losses(self):
        """What was lost by accident."""
        return self.sql("SELECT hop, stage, counter, unit, value FROM kelpie_ledger "
                        "WHERE kind = 'loss' AND intentional = 0 AND value > 0")

    def check_whole(self, name=""):
        """Checks that the ledger closes and that nothing was lost; says which connections lack bytes."""
        self.area.check(f"{name}ledger_closes", not (rest := self.wait_balance()), rest)
        lost = self.losses()
        lacking = lost and self.sql("SELECT * FROM connections WHERE bytes_lost > 0")
        self.area.check(f"{name}nothing_lost", not lost, "\n".join(map(str, [*lost, *lacking])))

    def family(self):
        return family(self.process.pid)

    def agent(self):
        """The agent's processes: without the collector and `kelpie run` itself."""
        attacher = find(self, "attacher")
        return family(attacher) if attacher else []

    def stop(self, seconds=8):
        """SIGTERM: (exit status, seconds it took)."""
        started = time.monotonic()
        status = self.process.stop(seconds=seconds)
        return status, time.monotonic() - started


def family(pid):
    """The process and its living descendants."""
    found = [pid]
    for parent in found:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as f:
                    found += [int(child) for child in f.read().split()]
        except OSError:
            continue
    return [p for p in found if os.path.exists(f"/proc/{p}/task")]


def find_children(pid, comm):
    """Descendants of that name (as the kernel cuts it)."""
    found = []
    for child in family(pid):
        try:
            with open(f"/proc/{child}/comm") as f:
                if f.read().strip() == comm[:15]:
                    found.append(child)
        except OSError:
            pass
    return found


def role(pid):
    """What a process of the family is, by its name and what it was started as."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            comm = f.read().strip()
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            program = os.path.basename(f.read().split(b"\0")[0].decode(errors="replace"))
    except OSError:
        return ""
    for word in ("query", "parser", "store", "collector"):
        if word in comm or word in program:
            return word
    return "attacher" if program == "kelpie-agent" else "run"


def find(kelpie, name):
    return next((p for p in kelpie.family() if role(p) == name), None)


def exists(pid):
    """Whether the process still runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def bpf_objects():
    """Identifiers of all programs, maps and links of the machine."""
    found = set()
    for kind in ("prog", "map", "link"):
        done = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True,
                              env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
        for entry in json.loads(done.stdout or "[]"):
            found.add((kind, entry["id"]))
    return found


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

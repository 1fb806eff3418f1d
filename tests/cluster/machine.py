"""The machines of the test cluster: network, mount and UTS namespaces that one process holds, and a control
group for everything that runs in them.

All of it lies in the control groups below TOP, so what there is of a cluster, also of one that was only
half started, is found there and ended there; the namespaces, with their links, bridges and mounts, end with
the last process. Nothing is changed in the host's namespaces.
"""
import fcntl
import os
import shutil
import subprocess
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from lib import wait_until  # noqa: E402

TOP = "kelpie-cluster"  # the control group, in every hierarchy
STATE = os.environ.get("KELPIE_CLUSTER_STATE", "/var/tmp/kelpie-cluster")
LOCK = "/run/lock/kelpie-cluster"
STEP_S = 60  # one command inside a machine
END_S = 30  # everything to be gone
PRIVATE = ["var/lib", "var/log", "run"]  # each machine has its own


class Trouble(Exception):
    """What went wrong, for the one who called."""


# ---- control groups ----


def hierarchies():
    """(where it is mounted, its controllers; none: version 2)."""
    found = []
    with open("/proc/self/mounts") as f:
        for _, path, kind, options, *_ in map(str.split, f):
            if kind in ("cgroup", "cgroup2"):
                found.append((path, options.split(",") if kind == "cgroup" else []))
    return found


def unified():
    """The directory of version 2, in which processes are counted and ended."""
    for path, controllers in hierarchies():
        if not controllers:
            return path
    raise Trouble("no cgroup v2 is mounted")


def make_groups(name):
    """For the kubelet, which wants its root group in every hierarchy. A cpuset's members need processors."""
    for path, controllers in hierarchies():
        for level in (TOP, f"{TOP}/{name}"):
            group = os.path.join(path, level)
            os.makedirs(group, exist_ok=True)
            if "cpuset" in controllers:
                for file in ("cpuset.cpus", "cpuset.mems"):
                    with open(os.path.join(path, file)) as f, open(os.path.join(group, file), "w") as out:
                        out.write(f.read())


def processes(name=""):
    """The pids below a group."""
    pids = []
    for folder, _, _ in os.walk(os.path.join(unified(), TOP, name)):
        try:
            with open(os.path.join(folder, "cgroup.procs")) as f:
                pids += map(int, f.read().split())
        except OSError:
            pass  # it was removed meanwhile
    return pids


def remove_groups():
    """True when none is left. Those of containers have some below them."""
    for path, _ in hierarchies():
        for folder, _, _ in os.walk(os.path.join(path, TOP), topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass
    return not any(os.path.exists(os.path.join(path, TOP)) for path, _ in hierarchies())


# ---- a machine ----


class Machine:
    def __init__(self, name):
        self.name = name
        self.dir = os.path.join(STATE, name)
        self.holders = os.path.join(unified(), TOP, name, "holder")

    def held_by(self, program):
        """It is there, and past what `unshare` does before it becomes that."""
        try:
            return os.readlink(f"/proc/{self.pid}/exe") == program
        except (OSError, Trouble):
            return False

    @property
    def pid(self):
        """Of the process that holds the namespaces."""
        try:
            with open(os.path.join(self.holders, "cgroup.procs")) as f:
                return int(f.readline())
        except (OSError, ValueError):
            raise Trouble(f"{self.name} is not up") from None

    def create(self, holder):
        """holder: the program of pause.c."""
        make_groups(self.name)
        for group in (self.holders, self.group()):
            os.mkdir(group)
        self._start(self.holders, "holder",
                    ["unshare", "--net", "--mount", "--uts", "--propagation", "private", holder])
        if not wait_until(lambda: self.held_by(holder), 10, 0.01):
            raise Trouble(f"{self.name} did not start: {self.log('holder')}")
        for path in PRIVATE:
            os.makedirs(os.path.join(self.dir, path), exist_ok=True)
        binds = "".join(f"mount --bind {self.dir}/{path} /{path}\n" for path in PRIVATE)
        self.sh(f"hostname {self.name}\nip link set lo up\n{binds}mount --make-rshared /\n")

    def group(self):
        return os.path.join(unified(), TOP, self.name, "system")

    def inside(self):
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--uts", "--"]

    def sh(self, script):
        done = subprocess.run([*self.inside(), "sh", "-euc", script], capture_output=True, text=True,
                              timeout=STEP_S)
        if done.returncode:
            raise Trouble(f"{self.name}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _start(self, group, name, argv):
        os.makedirs(os.path.join(self.dir, "log"), exist_ok=True)
        with open(self.log_path(name), "ab") as log:
            enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', group]
            subprocess.Popen([*enter, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                             start_new_session=True)

    def start(self, name, argv):
        """A program that stays."""
        self._start(self.group(), name, [*self.inside(), *argv])

    def log_path(self, name):
        return os.path.join(self.dir, "log", f"{name}.log")

    def log(self, name, lines=15):
        try:
            with open(self.log_path(name), errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def logs(self):
        """The ends of all, for a report."""
        names = sorted(n[:-4] for n in os.listdir(os.path.join(self.dir, "log")))
        return "".join(f"-- {self.name} {name}\n{self.log(name)}" for name in names)


# ---- one cluster at a time ----


def lock():
    """Held by whoever starts or stops the cluster, as long as the answer is kept."""
    f = open(LOCK, "w")
    fcntl.flock(f, fcntl.LOCK_EX)
    return f


def tear_down():
    """Ends what runs in the control groups, and removes them and the state."""
    top = os.path.join(unified(), TOP)
    if os.path.exists(top):
        with open(os.path.join(top, "cgroup.kill"), "w") as f:
            f.write("1")
    if not wait_until(lambda: not processes() and remove_groups(), END_S):
        raise Trouble(f"still there after {END_S} s: processes {processes()}, control groups {TOP}")
    shutil.rmtree(STATE, ignore_errors=True)

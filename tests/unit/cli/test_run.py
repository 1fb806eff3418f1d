#!/usr/bin/env python3
"""`kelpie run` around stand-ins for its two programs that say what happens to them: order of start and
stop, restarts, second instances, SIGHUP, kill -9. Needs root, as run does.
"""
import os
import shutil
import signal
import subprocess
import sys
import time

import clilib
from clilib import environment, expect, expect_in, run

STAND_IN = r"""#!/usr/bin/env python3
import os, signal, sys, time
name, args = os.path.basename(sys.argv[0]), sys.argv[1:]
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
def note(text):
    with open(f"{folder}/log", "a") as f:
        f.write(f"{name} {text}\n")
def stop(*_):
    if os.path.exists(f"{folder}/{name}.deaf"):
        return
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, lambda *_: note("interrupted"))
signal.signal(signal.SIGHUP, lambda *_: note("reload"))
note("start " + " ".join(a for i, a in enumerate(args) if a != "--ready-fd" and args[i - 1] != "--ready-fd"))
with open(f"{folder}/{name}.pid", "w") as f:
    f.write(str(os.getpid()))
if os.path.exists(f"{folder}/{name}.refuse"):
    sys.exit(3)
os.write(int(args[args.index("--ready-fd") + 1]), b"ready\n")
while True:
    time.sleep(60)
"""


class Run:
    """A kelpie run in a folder with stand-ins beside a copy of the program."""

    def __init__(self, folder, *args):
        self.folder, self.data = folder, os.path.join(folder, "data")
        self.program = os.path.join(folder, "kelpie")
        shutil.copy(clilib.KELPIE, self.program)
        for name in ("kelpie-collector", "kelpie-agent"):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(STAND_IN)
            os.chmod(os.path.join(folder, name), 0o755)
        self.args, self.process, self.err = args, None, b""

    def start(self, ready=True):
        self.err = b""
        self.process = subprocess.Popen(
            [self.program, "run", "--data-dir", self.data, "--listen", f"unix:{self.folder}/api.sock",
             *self.args], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment())
        os.set_blocking(self.process.stderr.fileno(), False)
        if ready:
            self.wait(lambda: b"ready unix:" in self.stderr(), "ready")

    def stderr(self):
        self.err += self.process.stderr.read() or b""
        return self.err

    def wait(self, what, name, seconds=10):
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                raise AssertionError(f"no {name} after {seconds} s: {self.stderr()!r} {self.log()}")
            time.sleep(0.02)

    def log(self):
        try:
            with open(os.path.join(self.folder, "log"), encoding="utf-8") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def pid(self, name):
        with open(os.path.join(self.folder, f"{name}.pid"), encoding="utf-8") as f:
            return int(f.read())

    def stop(self, signo=signal.SIGTERM):
        start = time.monotonic()
        self.process.send_signal(signo)
        code = self.process.wait(10)
        return code, time.monotonic() - start

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process:
            self.process.stderr.close()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def with_run(fn, *args, ready=True, prepare=None):
    with clilib.Folder() as folder:
        r = Run(folder, *args)
        try:
            if prepare:
                prepare(r)
            r.start(ready)
            fn(r)
        finally:
            r.end()


def test_run_starts_and_stops():
    def body(r):
        log = r.log()
        expect_in("kelpie-collector start", log[0])
        expect_in(f"--agents unix:{r.data}/agent.sock", log[0])
        expect_in(f"--listen unix:{r.folder}/api.sock", log[0])
        expect_in("kelpie-agent start", log[1])
        expect_in(f"--data-dir {r.data}", log[1])
        expect_in(f"--collector unix:{r.data}/agent.sock", log[1])
        expect_in("--hook sysexit", log[1])
        code, seconds = r.stop()
        expect(code, 0)
        expect(seconds < 5, True, "stops within 5 s")
        expect(r.log()[2:], ["kelpie-agent stop", "kelpie-collector stop"])
    with_run(body, "--hook", "sysexit")


def test_run_interrupt_reaches_only_the_parent():
    def body(r):
        expect(r.stop(signal.SIGINT)[0], 0)
        expect([l for l in r.log() if "interrupted" in l], [])
    with_run(body)


def test_run_restarts_what_crashed():
    def body(r):
        for name in ("kelpie-agent", "kelpie-collector"):
            old = r.pid(name)
            os.kill(old, signal.SIGKILL)
            r.wait(lambda name=name, old=old: alive(r.pid(name)) and r.pid(name) != old, "restart", 3)
            expect_in(f"{name} was ended by signal 9".encode(), r.stderr())
        expect(r.stop()[0], 0)
    with_run(body)


def test_run_backs_off():
    def body(r):
        open(os.path.join(r.folder, "kelpie-agent.refuse"), "w", encoding="utf-8").close()
        os.kill(r.pid("kelpie-agent"), signal.SIGKILL)
        time.sleep(2.5)
        starts = sum("kelpie-agent start" in l for l in r.log()) - 1
        # 0.2, 0.4, 0.8, 1.6 s
        expect(2 <= starts <= 4, True, f"{starts} restarts in 2.5 s")
        expect(r.stop()[0], 0)
    with_run(body)


def test_run_refusal_at_start_ends_it():
    def refuse(r):
        open(os.path.join(r.folder, "kelpie-agent.refuse"), "w", encoding="utf-8").close()

    def body(r):
        expect(r.process.wait(10), 1)
        expect_in(b"kelpie-agent ended before it was ready (status 3)", r.stderr())
        expect(alive(r.pid("kelpie-collector")), False)
    with_run(body, ready=False, prepare=refuse)


def test_run_second_instance():
    def body(r):
        second = run("run", "--data-dir", r.data, "--listen", f"unix:{r.folder}/b.sock", program=r.program)
        expect(second.code, 1)
        expect_in(f"another kelpie run, pid {r.process.pid} uses {r.data}", second.err)
        expect(r.stop()[0], 0)
        r.start()
        expect(r.stop()[0], 0)
    with_run(body)


def test_run_data_dir_asks_the_live_instance():
    def body(r):
        # nobody listens there: the message names the socket, not the directory
        asked = run("sql", "SELECT 1", "--data-dir", r.data)
        expect(asked.code, 5)
        expect_in(f"unix:{r.folder}/api.sock", asked.err)
    with_run(body)


def test_run_kill_9_leaves_no_orphan():
    def body(r):
        pids = [r.pid("kelpie-agent"), r.pid("kelpie-collector")]
        r.process.kill()
        r.process.wait()
        r.wait(lambda: not any(alive(p) for p in pids), "end of the children", 2)
        expect(sorted(l for l in r.log() if l.endswith("stop")),
               ["kelpie-agent stop", "kelpie-collector stop"])
    with_run(body)


def test_run_stops_the_deaf():
    def body(r):
        open(os.path.join(r.folder, "kelpie-agent.deaf"), "w", encoding="utf-8").close()
        code, seconds = r.stop()
        expect(code, 0)
        expect(seconds < 5, True, f"{seconds} s")
        expect_in(b"kelpie-agent did not end in time; killed", r.stderr())
    with_run(body)


def test_run_reload():
    with clilib.Folder() as other:
        path = os.path.join(other, "k.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("log: {level: warn}\n")

        def body(r):
            expect_in(f"--config {path}", r.log()[0])
            def starts():
                return sum("kelpie-agent start" in l for l in r.log())

            r.process.send_signal(signal.SIGHUP)
            r.wait(lambda: "kelpie-collector reload" in r.log(), "reload")
            expect(starts(), 1, "nothing changed for the agent")
            with open(path, "w", encoding="utf-8") as f:
                f.write("capture: {deny: [sshd]}\n")
            r.process.send_signal(signal.SIGHUP)
            r.wait(lambda: starts() == 2, "new start of the agent", 3)
            expect_in("kelpie-agent stop", r.log())
            with open(path, "w", encoding="utf-8") as f:
                f.write("log: {level: loud}\n")
            r.process.send_signal(signal.SIGHUP)
            r.wait(lambda: b"not read again" in r.stderr(), "refusal")
            expect_in(f"{path}:1: log.level: 'loud' is not one of".encode(), r.stderr())
            expect(sum("reload" in l for l in r.log()), 2)
            expect(r.stop()[0], 0)
        with_run(body, "--config", path)


def test_run_bad_input():
    with clilib.Folder() as folder:
        r = Run(folder)
        os.unlink(os.path.join(folder, "kelpie-agent"))
        try:
            r.start(ready=False)
            expect(r.process.wait(10), 1)
            expect_in(b"it belongs beside the program kelpie", r.stderr())
        finally:
            r.end()
        done = run("run", "--data-dir", "/proc/nowhere", program=r.program)
        expect(done.code, 1)
        expect_in("cannot make the data directory /proc/nowhere", done.err)
        done = run("run", "--listen", "nowhere", "--data-dir", folder, program=r.program)
        expect(done.code, 2)
        expect_in("is no address", done.err)
        here = os.getcwd()
        os.chdir(folder)
        try:
            r = Run(folder)
            r.data = "relative"
            r.start()
            r.wait(lambda: len(r.log()) >= 2, "both programs")
            expect_in(f"--agents unix:{folder}/relative/agent.sock", r.log()[-2])
            expect_in(f"--data-dir {folder}/relative", r.log()[-1])
        finally:
            r.end()
            os.chdir(here)
        deep = os.path.join(folder, "x" * 90)
        done = run("run", "--data-dir", deep, program=r.program)
        expect(done.code, 1)
        expect_in("too long for the socket", done.err)


def main():
    if os.geteuid() != 0:
        print("skip: kelpie run needs root")
        return 77
    return clilib.Cases().run(list(globals().items()))


if __name__ == "__main__":
    sys.exit(main())

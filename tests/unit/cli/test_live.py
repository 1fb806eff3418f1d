#!/usr/bin/env python3
"""Views in place, as somebody at a terminal has them: keys in, what stands on the screen out."""
import base64
import re
import signal
import sys
import time

import clilib
import fixture
from clilib import SINCE, expect, expect_in
from termlib import Session

SIZES = ((80, 24), (40, 10), (132, 50), (60, 12), (20, 8))
VIEWS = {"top": ["top"], "statement": ["top", "--by", "statement"], "pair": ["top", "--by", "pair"],
         "endpoint": ["top", "--by", "endpoint"], "slow": ["slow", "-f"], "errors": ["errors", "-f"],
         "conns": ["conns", "-f"], "tap": ["tap", "-f"]}
UP, DOWN, PAGE_DOWN, END, HOME = "\x1b[A", "\x1bOB", "\x1b[6~", "\x1b[F", "\x1b[1~"


def session(server, view, **size):
    return Session(*VIEWS[view], *SINCE, "--server", server.address, **size)


def row(s):
    """The marked line."""
    marked = [line for line in s.term.lines() if line.startswith("> ")]
    expect(len(marked), 1, s.term.text())
    return marked[0]


def left_well(s, code=0):
    expect(s.end(), code, s.term.main)
    expect(s.term.modes, {7, 25}, "the terminal's modes")
    expect(s.attributes(), s.before, "the terminal's attributes")


def test_live_sizes(server):
    """Every view at every size: nothing wraps, nothing scrolls, nothing hostile comes through (the
    terminal of the tests refuses all three)."""
    for view in VIEWS:
        for width, height in SIZES:
            with session(server, view, width=width, height=height) as s:
                s.wait("q quit")
                expect(s.term.lines()[0].startswith("kelpie "), True, s.term.text())
                expect(len([l for l in s.term.lines() if l]) >= min(height, 5), True, s.term.text())
                row(s)
                s.keys("\x1b[F").keys("q")
                left_well(s)


def test_live_moves(server):
    with session(server, "slow", height=12) as s:
        s.wait("q quit")
        first = row(s)
        s.keys("j").until(lambda: row(s) != first, "second row")
        s.keys(DOWN + DOWN + UP + "k")
        s.keys("k").until(lambda: row(s) == first, "first row")
        s.keys(PAGE_DOWN).until(lambda: row(s) != first, "next screen")
        s.keys(END).until(lambda: row(s) == [l for l in s.term.lines() if re.match("[> ] +[0-9]", l)][-1], "end")
        s.keys(HOME).until(lambda: row(s) == first, "beginning")
        s.keys("qq")
        left_well(s)


def test_live_opens(server):
    with session(server, "top", NO_COLOR="1") as s:
        s.wait("SERVICE", "orders")
        s.keys("/orders\r").wait("/orders: 1 of").keys("\r")
        s.wait("LATENCY", "kelpie sql").keys("y").wait("copied")
        expect_in("WHERE server_name = '\\''orders'\\''", base64.b64decode(s.term.copied).decode())
        expect("shop" in s.term.text(), False, s.term.text())
        s.keys("\r").wait("kelpie show n1-5f-", "request ", "response ", "####")
        s.keys(END).wait("x-evil: \\x1b[31m").keys("\x1b").wait("LATENCY")
        s.keys("\x7f").wait("SERVICE").keys("\x1b").keys("q")
        left_well(s)
        expect(s.term.sgr, False, "NO_COLOR")
    with session(server, "statement") as s:
        s.wait("STATEMENT", "SELECT * FROM s").keys("\r").wait("LATENCY", "postgres").keys("\r")
        # the statement in full, its lines as they were written, long ones broken
        s.wait("kelpie show n1-5f-sql").keys("G").wait("  FROM stock, shelf", "database", "sqlstate")
        s.keys("qq")
        left_well(s)
    with session(server, "conns") as s:
        s.wait("STATE").keys("G\r").wait("kelpie show c-").keys("h").wait("STATE").keys("\x04")
        left_well(s)


def test_live_filters(server):
    with session(server, "slow") as s:
        s.wait("q quit").keys("/--status 5xx\r").wait("slow --status 5xx", "503 !")
        expect("200" in s.term.text(), False, s.term.text())
        s.keys("/").wait("/--status 5xx_")
        s.keys("\x15--stauts 1\r").wait("did you mean --status?", "slow --status 5xx")
        s.keys("/\x15--min-latency 'no time'\r").wait("is no duration")
        s.keys("/\x15" + "GET shop" + "\r").wait("/GET shop:")
        for line in s.term.lines():
            if re.match("[> ] +[0-9]", line):
                expect("GET" in line and "shop" in line, True, line)
        s.keys("\x1b").wait_gone("/GET shop").keys("/typed é\x7f\x1b").wait_gone("typed")
        # what is pasted is no command
        s.keys("\x1b[200~qqq\x1b[201~").keys("/\x1b[200~pas\nted\x1b[201~").wait("/pasted_").keys("\x1b").wait_gone("pasted")
        s.keys("q")
        left_well(s)


def test_live_sorts_and_pauses(server):
    with session(server, "top") as s:
        s.wait("q quit").keys("s").wait("by rate_per_s").keys("ssss").wait("by the view's own order")
        s.keys("p").wait("paused · kelpie top")
        asked = len(server.asked)
        time.sleep(2.3)
        expect(len(server.asked), asked, "a paused view asks nothing")
        s.keys(" ").wait_gone("paused")
        s.keys("?").wait("copy the command").keys("?").wait("SERVICE").keys("?").wait("Ctrl-Z").keys("\x1b")
        s.wait("SERVICE").keys("q")
        left_well(s)


def test_live_copies(server):
    with session(server, "slow") as s:
        s.wait("q quit").keys("y").wait("copied: kelpie slow --since 2024")
        want = f"kelpie slow --since {SINCE[1]} --until {SINCE[3]} --follow --server {server.address}"
        expect(base64.b64decode(s.term.copied).decode(), want)
        s.keys("q")
        left_well(s)
        expect_in(want, s.term.main)
    # a value out of somebody's traffic is quoted for shells, and harmless to terminals
    with session(server, "errors", height=40) as s:
        s.wait("q quit").keys("/evil\r").wait("/evil:").keys("\r").wait("kelpie show n1-5f-evil").keys("y")
        s.wait("copied").keys("q")
        left_well(s)
    with session(server, "endpoint", height=40) as s:
        s.wait("q quit").keys("/evil\r").wait("/evil:").keys("\ry").wait("copied: kelpie sql")
        got = base64.b64decode(s.term.copied).decode()
        expect_in("\\x1b[2J\\x1b]0;owned\\x07\\xc2\\x9b31m", got)
        expect(got.isprintable(), True, got)
        s.keys("q")
        left_well(s)


def test_live_copied_command_works(server):
    """What y gives asks for the same rows, through a shell."""
    import subprocess
    with session(server, "endpoint") as s:
        s.wait("q quit").keys("/POST shop\r").wait("/POST shop: 1 of").keys("\ry").wait("copied: kelpie sql")
        got = base64.b64decode(s.term.copied).decode()
        s.keys("q")
        left_well(s)
    done = subprocess.run(["bash", "-c", got.replace("kelpie sql", f"{clilib.KELPIE} sql -o jsonl", 1)],
                          capture_output=True, text=True, timeout=30, env=clilib.environment())
    expect(done.returncode, 0, done.stderr)
    expect(len(done.stdout.splitlines()) > 10, True, done.stdout + got)
    for line in done.stdout.splitlines():
        expect_in('"server_name":"shop"', line)
        expect_in('"method":"POST"', line)


def test_live_follows_rows(server):
    """The chosen row stays chosen when others come before it."""
    with session(server, "tap") as s:
        first = row(s.wait("q quit"))
        s.keys("j").until(lambda: row(s) != first, "second row")
        second = row(s)
        with server.lock:
            server.db.execute("INSERT INTO requests SELECT * FROM requests WHERE id = 'n1-5f-5'")
            server.db.execute("UPDATE requests SET end_time = end_time + ?, server_name = 'newcomer' "
                              "WHERE rowid = (SELECT max(rowid) FROM requests)", (1000 * fixture.SECOND,))
        s.wait("newcomer")
        expect(row(s), second)
        s.keys("q")
        left_well(s)
    with server.lock:
        server.db.execute("DELETE FROM requests WHERE server_name = 'newcomer'")


def test_live_tells_what_was_not_shown(server):
    """What came between two pages and found no room on the second is counted."""
    with Session("tap", "-f", "--server", server.address) as s:
        s.wait("q quit")
        time.sleep(1.2)  # rows are counted from a second before the first page on
        expect("not shown" in s.term.text(), False, s.term.text())
        with server.lock:
            server.db.executemany(
                "INSERT INTO requests (id, end_time, time, method, resource, status, server_name, client_name) "
                "VALUES (?, ?, 1, 'GET', '/crowd', '200', 'crowd', 'crowd')",
                [(f"crowd-{n}", time.time_ns()) for n in range(450)])
        s.wait("250 requests not shown: too many for the screen; / and flags filter")
        s.keys("/--status 5xx\r").until(lambda: "not shown" not in s.term.text(), "counted anew")
        s.keys("q")
        left_well(s)
    with server.lock:
        server.db.execute("DELETE FROM requests WHERE server_name = 'crowd'")


def test_live_resizes(server):
    with session(server, "slow") as s:
        s.wait("q quit")
        for width, height in ((40, 10), (132, 40), (20, 8), (80, 24)):
            s.resize(width, height)
            s.until(lambda: "q quit" in s.term.lines()[-1], "the last line")
        s.keys("\r").wait("kelpie show")
        s.resize(40, 10)
        s.wait("q quit")
        s.keys("q")
        left_well(s)


def test_live_signals(server):
    """However it ends, the terminal is as it was."""
    for signo, code in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGHUP, 0),
                        (signal.SIGSEGV, -signal.SIGSEGV), (signal.SIGABRT, -signal.SIGABRT),
                        (signal.SIGQUIT, -signal.SIGQUIT)):
        with session(server, "top") as s:
            s.wait("q quit").signal(signo)
            left_well(s, code)
    with session(server, "top") as s:
        s.wait("q quit").keys("\x03")
        left_well(s)
    with session(server, "top") as s:
        s.wait("q quit").keys("\x1a").until(lambda: s.term.modes == {7, 25}, "the shell's screen")
        s.until(lambda: s.attributes() == s.before, "the shell's attributes")
        s.term.resize(80, 24)
        s.signal(signal.SIGCONT).wait("q quit").keys("q")
        left_well(s)


def test_live_trouble(server):
    """A server that refuses for a while ends nothing."""
    with session(server, "slow") as s:
        s.wait("q quit")
        with server.lock:
            server.db.execute("ALTER TABLE requests RENAME TO gone")
        s.wait("no such table")
        with server.lock:
            server.db.execute("ALTER TABLE gone RENAME TO requests")
        s.wait_gone("no such table").keys("q")
        left_well(s)
    with Session("slow", "-f", "--service", "nobody", *SINCE, "--server", server.address) as s:
        s.wait("nothing matches these filters").keys("\r").wait("nothing behind").keys("q")
        left_well(s)
    with Session("top", "--server", "unix:/nonexistent/x.sock") as s:
        expect(s.end(), 5)
        expect_in("is `kelpie run` running?", s.term.main)
        expect(s.term.modes, {7, 25})


def main():
    with clilib.Folder() as folder:
        return clilib.Cases().run(list(globals().items()), fixture.start(folder))


if __name__ == "__main__":
    sys.exit(main())

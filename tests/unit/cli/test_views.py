#!/usr/bin/env python3
"""The views against golden outputs: piped and on terminals of 60, 80 and 132 columns, with and without
colour. UPDATE=1 writes the golden files anew.
"""
import os
import re
import shutil
import subprocess
import sys
import unicodedata

import clilib
import fixture
from clilib import SINCE, expect, expect_in, on_terminal, run

GOLDEN = os.path.join(clilib.HERE, "golden")
VIEWS = {
    "top": ["top", *SINCE],
    "top-endpoint": ["top", "--by", "endpoint", *SINCE],
    "top-pair": ["top", "--by", "pair", "--service", "orders", *SINCE],
    "slow": ["slow", "--limit", "6", *SINCE],
    "errors": ["errors", "--limit", "8", *SINCE],
    "conns": ["conns", *SINCE],
    "tap-past": ["tap", "--last", "5", *SINCE],
    "status": ["status"],
    "sql": ["sql", "SELECT server_name, count(*) AS n, p99(latency_ns) AS p99_ns FROM http GROUP BY 1"],
    "top-statement": ["top", "--by", "statement", *SINCE],
    "slow-sql": ["slow", "--protocol", "pgsql", "--limit", "4", *SINCE],
    "errors-sql": ["errors", "--status", "42P01", *SINCE],
    "show": ["show", "n1-5f-evil"],
    "show-sql": ["show", "n1-5f-sql3"],
    "schema": ["schema", "connections"],
}
SGR = re.compile(r"\x1b\[[0-9;]*m")


def columns(line):
    wide = 0
    for c in line:
        if unicodedata.combining(c):
            continue
        wide += 2 if unicodedata.east_asian_width(c) in "WF" else 1
    return wide


def clean(text, server):
    return text.replace(server.address, "unix:API")


def golden(name, got):
    path = os.path.join(GOLDEN, name)
    if os.environ.get("UPDATE"):
        os.makedirs(GOLDEN, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(got)
        return
    with open(path, encoding="utf-8") as f:
        expect(got, f.read(), name)


def only_printable(text, sgr=False):
    if sgr:
        text = SGR.sub("", text)
    for c in text.replace("\n", ""):
        bad = ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0 or 0xdc80 <= ord(c) <= 0xdcff \
            or unicodedata.category(c) in ("Cf", "Cc", "Co", "Cs", "Zl", "Zp")
        if bad:
            raise AssertionError(f"U+{ord(c):04x} reaches the terminal: {text!r}")


def test_views_piped(server):
    for name, args in VIEWS.items():
        for width in (60, 80, 132):
            source = [] if name == "schema" else ["--server", server.address]
            done = run(*args, *source, width=width)
            expect(done.code, 0, f"{name}: {done.err}")
            expect(SGR.search(done.out), None, f"{name}: no colour in a pipe")
            only_printable(done.out)
            only_printable(done.err)
            if not name.startswith("show"):
                for line in done.out.splitlines():
                    if columns(line) > width:
                        raise AssertionError(f"{name}: {columns(line)} columns, {width} wide: {line!r}")
            golden(f"{name}-{width}.txt", clean(done.out, server))
    # without $COLUMNS a pipe has 80
    done = run(*VIEWS["errors"], "--server", server.address)
    golden("errors-80.txt", clean(done.out, server))


def test_views_ports_stay(server):
    """A cut name keeps its port: it may be all that tells two servers of one program apart."""
    sql = "SELECT 'a-very-long-payment-service-name:18080' AS server, 'x' || printf('%90s', '') AS b"
    done = run("sql", "--server", server.address, sql, width=60)
    expect_in("\u2026:18080  ", done.out)
    done = run("sql", "--server", server.address, sql.replace(":18080", ":http"), width=60)
    expect("\u2026:http" in done.out, False, done.out)


def test_views_footer(server):
    done = run(*VIEWS["top"], "--server", server.address)
    golden("top-footer.txt", clean(done.err, server))
    done = run("slow", "--limit", "1", "--since", "2024-03-04T10:00:00Z", "--server", server.address)
    expect_in("1 request · last ", done.err)
    expect("--limit" in done.err, False, done.err)
    # a view that shows no more than so many says so
    done = run("slow", "--since", "2024-03-04T10:00:00Z", "--server", server.address)
    expect_in("20 requests · last ", done.err)
    expect_in("these are the first 20, there may be more: --limit N", done.err)
    # the column that rows are ordered by is there, however narrow
    for column, head in (("total_ns", "TOTAL"), ("-requests", "REQUESTS"), ("max_ns", "MAX")):
        done = run(*VIEWS["top"], "--sort-by", column, "--server", server.address, width=50)
        expect_in(f" {head} ", done.out.replace("\n", " "))
    # on a terminal no line is wider than it, and no word is broken
    narrow = on_terminal(*VIEWS["slow"], "--server", server.address, width=40)
    for line in narrow.out.replace("\r", "").splitlines():
        if columns(SGR.sub("", line)) > 40:
            raise AssertionError(f"wider than 40: {line!r}")
    expect_in("2024-03-04T11:00:00Z", narrow.out)


def test_views_terminal(server):
    for name in ("top", "errors", "conns"):
        extra = ["--once"] if name == "top" else []
        for width in (60, 132):
            done = on_terminal(*VIEWS[name], *extra, "--server", server.address, width=width)
            expect(done.code, 0, done.out)
            only_printable(done.out, sgr=True)
            golden(f"{name}-tty-{width}.txt", clean(done.out, server))
        plain = on_terminal(*VIEWS[name], *extra, "--server", server.address, NO_COLOR="1")
        expect(SGR.search(plain.out), None, "NO_COLOR")
        expect(SGR.search(on_terminal(*VIEWS[name], *extra, "--color", "never", "--server",
                                      server.address).out), None, "--color never")
    forced = run(*VIEWS["errors"], "--color", "always", "--server", server.address)
    expect_in("\x1b[31m503 !\x1b[0m", forced.out)
    expect_in("\x1b[33m404 ~\x1b[0m", forced.out)


def test_views_wide_and_no_headers(server):
    done = run(*VIEWS["slow"], "-o", "wide", "--server", server.address)
    expect_in("n1-5f-wide", done.out)
    only_printable(done.out)
    bare = run(*VIEWS["slow"], "--no-headers", "--server", server.address)
    expect(len(bare.out.splitlines()), 6)


def test_views_tap(server):
    server.taps.clear()
    done = run("tap", "--limit", "3", "--status", ">=500", "--not", "--path", "/a b/*", "--server",
               server.address)
    expect(done.code, 0, done.err)
    expect(len(done.out.splitlines()), 4)
    expect(server.taps, ["/api/v1/tap?status=%3E%3D500&path=!%2Fa%20b%2F%2A&format=ndjson"])


def test_views_tap_limit(server):
    """The newest of many, oldest first."""
    done = run("tap", "--limit", "3", *SINCE, "-o", "name", "--not", "--failed", "--server", server.address)
    expect(done.out.splitlines(), ["n1-5f-c6", "n1-5f-c7", "n1-5f-wide"])
    slow = run("slow", "--last", "3", *SINCE, "-o", "name", "--not", "--failed", "--server", server.address)
    expect(sorted(slow.out.splitlines()), ["n1-5f-c6", "n1-5f-c7", "n1-5f-wide"])


def test_views_empty(server):
    done = run("slow", "--service", "nobody", *SINCE, "--server", server.address)
    expect((done.code, done.out), (0, ""))
    expect_in("nothing matches these filters", done.err)
    server.coverage = dict(fixture.COMPLETE, notes=["no row in the range; the newest is 3 h old"])
    done = run("slow", "--service", "nobody", *SINCE, "--server", server.address)
    server.coverage = fixture.COMPLETE
    expect_in("no row in the range; the newest is 3 h old", done.err)


    # why it is empty is no reason to doubt it
    server.coverage = dict(fixture.COMPLETE, complete=False, begins_late=True, notes=["no row matches"])
    done = run("slow", "--service", "nobody", *SINCE, "--server", server.address)
    server.coverage = fixture.COMPLETE
    expect("INCOMPLETE" in done.err, False, done.err)
    expect_in("complete since capturing began", done.err)


def test_views_incomplete(server):
    server.coverage = dict(fixture.COMPLETE, complete=False, lost=14,
                           nodes={"ok": 1, "missing": ["node-2\x1b[31m"]})
    done = run(*VIEWS["slow"], "--server", server.address)
    strict = run(*VIEWS["slow"], "--require-complete", "--server", server.address)
    server.coverage = fixture.COMPLETE
    expect(done.code, 0)
    expect_in("INCOMPLETE: 14 lost, no answer from node-2\\x1b[31m", done.err)
    expect(strict.code, 3)
    server.coverage = dict(fixture.COMPLETE, complete=False, begins_late=True)
    done = run(*VIEWS["slow"], "--server", server.address)
    server.coverage = fixture.COMPLETE
    expect_in("complete since capturing began", done.err)


def test_views_usage(server):
    at = ["--server", server.address]
    for args, code, part in (
            (["top", "--stats", "5xx"], 2, "did you mean --status?"),
            (["tpo"], 2, "did you mean top?"),
            ([], 2, "Usage: kelpie COMMAND"),
            (["top", "--by", "colour", *at], 2, "none of: service"),
            (["slow", "--sort-by", "colour", *at], 2, "--sort-by 'colour' is none of"),
            (["slow", "--since", "later", *at], 2, "is no time"),
            (["slow", "-o", "xml", *at], 2, "is none of table"),
            (["conns", "--status", "5xx", *at], 2, "no meaning for connections"),
            (["tap", "--port", "x", *at], 2, "is no such number"),
            (["tap", "--status", "5x/abc", *at], 2, "is no status; write 404, 5xx"),
            (["slow", "--since", "now", *at], 2, "'now' is not before now"),
            (["slow", "--since", "0s", *at], 2, "'0s' is not before now"),
            (["sql", "SELEC 1", *at], 1, "see kelpie schema"),
            (["sql", "SELECT 1 -- raise busy", *at], 1, "too many queries; ask again later"),
            (["show", "nope", *at], 1, "no request or connection 'nope'"),
            (["top", "--server", "unix:/nonexistent/x.sock"], 5, "is `kelpie run` running?"),
            (["top", "--server", "nonsense"], 2, "is no address"),
            (["sql", "SELECT 1", "--data-dir", "/nonexistent"], 1, "No such file"),
            (["purge", *at], 2, "say --yes"),
            (["record"], 2, "-w FILE"),
            (["record", "-w", "x.kev", "--for", "-1s"], 2, "is no time; write 10s"),
            (["record", "-w", "x.kev", "--port", "99999"], 2, "is no port"),
            (["sql", " \n", *at], 2, "the statement is empty"),
            (["sql", "-f", "/", *at], 1, "Is a directory"),
            (["slow", "--data-dir", ""], 2, "--data-dir is empty"),
            (["config", "edit"], 2, "neither show nor check"),
            (["completion", "tcsh"], 2, "bash, zsh or fish"),
            (["replay", "/nonexistent.pcap"], 1, "cannot read /nonexistent.pcap")):
        done = run(*args)
        expect(done.code, code, f"{args}: {done.err}")
        expect_in(part, done.err)
        expect(done.out, "", str(args))


def test_views_points_at_the_place(server):
    done = run("sql", "SELECT 1,\n  \t'\u6ce8' nope x FROM http", "--server", server.address)
    expect(done.code, 1)
    expect_in("\n    \\t'\u6ce8' nope x FROM http\n           ^\n", done.err)


def test_views_as_kubectl_plugin(server):
    plugin = clilib.os.path.join(clilib.BIN, "kubectl-kelpie")
    expect(run("version", program=plugin).out, run("version").out)
    expect(run("top", *SINCE, "--server", server.address, program=plugin).code, 0)


def test_views_controls(server):
    server.controls.clear()
    for verb in (["pause"], ["resume"], ["purge", "--yes"]):
        expect(run(*verb, "--server", server.address).code, 0)
    expect(server.controls, ["pause", "resume", "purge"])


def test_views_explain(server):
    del server
    done = run("errors", "--explain", "--status", "5xx", "--service", "it's")
    expect(done.code, 0)
    expect_in("client_name = 'it''s'", done.out)


def test_views_completion(server):
    del server
    for shell in ("bash", "zsh", "fish"):
        done = run("completion", shell)
        expect(done.code, 0)
        for word in ("doctor", "min-latency", "kelpie"):
            expect_in(word, done.out)
        expect("simulate" in done.out, False, "hidden flags stay hidden")
        if not shutil.which(shell):
            print(f"skip test_views_completion: {shell} is not installed")
            continue
        with clilib.Folder() as folder:
            script = os.path.join(folder, "script")
            with open(script, "w", encoding="utf-8") as f:
                f.write(done.out)
            read = subprocess.run([shell, "-n", script], capture_output=True, text=True, timeout=30)
            expect((read.returncode, read.stderr), (0, ""), shell)


def completed(folder, *words):
    """What bash offers for the last of the words."""
    program = os.path.join(folder, "kelpie")
    if not os.path.exists(program):
        with open(program, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nprintf '%s\\n' orders \"\\$(touch $0.owned)\" '`id`' 'a b' stock:80\n")
        os.chmod(program, 0o755)
        with open(os.path.join(folder, "script"), "w", encoding="utf-8") as f:
            f.write(run("completion", "bash").out + 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kelpie; '
                    'printf "%s\n" "${COMPREPLY[@]}"\n')
    env = clilib.environment(PATH=f"{folder}:{os.environ['PATH']}")
    done = subprocess.run(["bash", os.path.join(folder, "script"), *words], capture_output=True, text=True,
                          timeout=30, env=env)
    expect(done.stderr, "")
    return done.stdout.split("\n")[:-1]


def test_views_completion_offers(server):
    del server
    with clilib.Folder() as folder:
        for words, want in ((("kelpie", "t"), ["top", "tap"]),
                            (("kelpie", "top", "--by", "s"), ["service", "statement"]),
                            (("kelpie", "slow", "--protocol", "p"), ["pgsql"]),
                            (("kelpie", "schema", "pg"), ["pgsql"]),
                            (("kelpie", "completion", "f"), ["fish"]),
                            (("kelpie", "slow", "--failed", "--res"), ["--resource"]),
                            (("kelpie", "slow", "--limit", ""), [""]),
                            # other people's names are never evaluated, and what is not plain is left out
                            (("kelpie", "slow", "--service", ""), ["orders", "stock:80"])):
            expect(completed(folder, *words), want, str(words))
        expect(sorted(os.listdir(folder)), ["kelpie", "script"])


def main():
    with clilib.Folder() as folder:
        return clilib.Cases().run(list(globals().items()), fixture.start(folder))


if __name__ == "__main__":
    sys.exit(main())

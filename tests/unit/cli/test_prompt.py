#!/usr/bin/env python3
"""The prompt of `kelpie sql` on a terminal: statements over lines, its commands, history, completion,
Ctrl-C and Ctrl-D, an editor."""
import os
import re
import stat
import sys

import clilib
import fixture
from clilib import expect, expect_in, on_terminal

PROMPT, MORE = "kelpie> ", "     -> "


def session(server, *keys, **env):
    """What is on the terminal after the keys, each typed at a prompt."""
    done = on_terminal("sql", "--server", server.address, keys=[(k if isinstance(k, tuple) else (PROMPT, k))
                                                               for k in keys], **env)
    done.out = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.out)
    return done


def test_prompt_statements(server):
    done = session(server, b"SELECT count(*) AS n\n", (MORE, b"FROM http;\n"), b"SELECT 1 AS a; SELECT 22 AS b;\n",
                   b"SELECT ';' AS semi -- not yet;\n", (MORE, b", 'x\n"), (MORE, b"y;' AS two;\n"), b"\n", b"\\q\n")
    expect(done.code, 0, done.out)
    for part in ("202", "a\n1", "b\n22", "semi  two", ";     x\\ny;"):
        expect_in(part, done.out.replace("\r", ""))
    for word in (b"quit\n", b"exit\n", b"\x04"):
        expect(session(server, word).code, 0)


def test_prompt_commands(server):
    done = session(server, b"\\x\n", b"\\timing\n", b"SELECT id FROM http WHERE id = 'n1-5f-evil';\n", b"\\d http\n",
                   b"\\d\n", b"\\nope\n", b"\\o csv\n", b"\\x\n", b"SELECT 1 AS a, 'b,c' AS d;\n", b"\\o xml\n", b"\\?\n",
                   b"\\q\n")
    expect(done.code, 0, done.out)
    for part in ("id  n1-5f-evil", "took ", "request_headers", "no command \\nope", "pgsql", '1,"b,c"',
                 "\\o table, wide", "\\watch [SECONDS]", "Ctrl-D leaves"):
        expect_in(part, done.out)


def test_prompt_watch(server):
    done = session(server, b"\\watch\n", b"SELECT 'tick' AS t;\n", b"\\watch forever\n", b"\\watch 0.1\n",
                   ("tick", b""), ("tick", b""), ("tick", b"\x03"), b"SELECT 'on' AS going;\n", b"\\q\n")
    expect(done.code, 0, done.out)
    for part in ("nothing was asked yet", "takes seconds from 0.1", "going"):
        expect_in(part, done.out)
    expect(done.out.count("tick\n") >= 3, True, done.out)


def test_prompt_cancels(server):
    done = session(server, b"SELECT 'dropped'\n", (MORE, b"\x03"), b"SELECT 'kept' AS k;\n", b"half a line\x03",
                   b"SELECT 2 AS two;\n", b"\x04")
    expect(done.code, 0, done.out)
    expect(server.asked[-2]["sql"], "SELECT 'kept' AS k;")
    expect(server.asked[-1]["sql"], "SELECT 2 AS two;")


def test_prompt_history(server):
    with clilib.Folder() as folder:
        env = {"XDG_STATE_HOME": folder}
        done = session(server, b"SELECT 'first' AS a;\n", b"SELECT 'two'\n", (MORE, b"AS lines;\n"), b"\\q\n", **env)
        expect(done.code, 0, done.out)
        path = os.path.join(folder, "kelpie", "history")
        expect(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        expect(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
        expect(os.listdir(os.path.dirname(path)), ["history"])
        asked = len(server.asked)
        # up: \q, the statement of two lines as one, the first one
        done = session(server, b"\x1b[A\x1b[A\n", b"\x1b[A\x1b[A\x1b[A\x1b[A\n", b"\\q\n", **env)
        expect([a["sql"] for a in server.asked[asked:]],
               ["SELECT 'two' AS lines;", "SELECT 'first' AS a;"], done.out)
    # a history that cannot be kept is no obstacle, and another's file is not followed
    done = session(server, b"SELECT 3 AS three;\n", b"\\q\n", XDG_STATE_HOME="/proc/none")
    expect(done.code, 0, done.out)


def test_prompt_completes(server):
    asked = len(server.asked)
    done = session(server, b"SEL\tcount(*) FR\treq\tWHERE server_na\t= 'shop';\n", b"\\d pg\t\n", b"\\tim\t\n",
                   b"SELECT sta\t\t\x15SELECT 1;\n", b"\\q\n")
    expect(done.code, 0, done.out)
    expect(server.asked[asked]["sql"], "SELECT count(*) FROM requests WHERE server_name= 'shop';", done.out)
    for part in ("sqlstate", "timing: on", "status  status_code"):
        expect_in(part, done.out)


def test_prompt_edits(server):
    with clilib.Folder() as folder:
        editor = os.path.join(folder, "my editor")
        with open(editor, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n[ \"$1\" = --flag ] && echo \"SELECT 'edited' AS e,\n'$(cat \"$2\" | tr -d \"';\")' AS old\" "
                    ">\"$2.new\" && mv \"$2.new\" \"$2\"\n")
        os.chmod(editor, 0o755)
        env = {"EDITOR": f"'{editor}' --flag", "TMPDIR": folder}
        done = session(server, b"SELECT 'before' AS b;\n", b"\\e\n", b"\\q\n", **env)
        expect_in("edited  SELECT before AS b", done.out)
        expect(os.listdir(folder), ["my editor"])
        asked = len(server.asked)
        done = session(server, b"SELECT 'before' AS b;\n", b"\\e\n", b"\\q\n", EDITOR="false", TMPDIR=folder)
        expect_in("'false' did not end well", done.out)
        expect(len(server.asked), asked + 1)
        done = session(server, b"\\e\n", b"\\q\n", TMPDIR="/proc/none")
        expect_in("cannot write /proc/none", done.out)


def test_prompt_signals(server):
    import signal
    from termlib import Session
    for signo in (signal.SIGTERM, signal.SIGHUP):
        with Session("sql", "--server", server.address, TERM="dumb") as s:
            s.wait_main(PROMPT).signal(signo)
            expect(s.end(), 0)
            expect(s.attributes(), s.before)


def main():
    with clilib.Folder() as folder:
        return clilib.Cases().run(list(globals().items()), fixture.start(folder))


if __name__ == "__main__":
    sys.exit(main())

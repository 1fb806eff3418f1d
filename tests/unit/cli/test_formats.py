#!/usr/bin/env python3
"""json, jsonl, csv and name: read back by python3's own readers and compared with the rows, hostile texts
included; and what of them a terminal gets.
"""
import csv
import io
import json
import os
import re
import sys
import unicodedata

import clilib
import fixture
from clilib import expect, expect_in, on_terminal, run

COLUMNS = ["id", "time", "latency_ns", "failed", "resource", "error", "request_headers", "x", "n", "e"]
SQL = ("SELECT id, time, latency_ns, failed, resource, error, request_headers, 1.5 AS x, NULL AS n, '' AS e "
       "FROM http ORDER BY id")


def rows(server):
    with server.lock:
        return server.db.execute(SQL).fetchall()


def expected(row):
    row = list(row)
    row[1] = fixture.rfc3339(row[1])
    row[6] = json.loads(row[6])
    return row


def test_formats_json(server):
    done = run("sql", SQL, "-o", "json", "--server", server.address)
    expect(done.code, 0, done.err)
    answer = json.loads(done.out)
    expect([c["name"] for c in answer["columns"]], COLUMNS)
    expect(answer["columns"][1]["unit"], "time")
    expect(answer["columns"][2], {"name": "latency_ns", "type": "INTEGER", "unit": "ns"})
    expect(answer["rows"], [expected(r) for r in rows(server)])
    expect(answer["coverage"]["complete"], True)
    printable(done.out)


def test_formats_jsonl(server):
    done = run("sql", SQL, "-o", "jsonl", "--server", server.address)
    lines = [json.loads(line) for line in done.out.splitlines()]
    expect(lines, [dict(zip(COLUMNS, expected(r))) for r in rows(server)])
    printable(done.out)


def test_formats_csv(server):
    """Texts exactly with --csv-exact; without, only a ' in front of what looks like a formula."""
    exact = run("sql", SQL, "-o", "csv", "--csv-exact", "--server", server.address)
    safe = run("sql", SQL, "-o", "csv", "--server", server.address)
    for done, guard in ((exact, False), (safe, True)):
        expect(done.code, 0, done.err)
        got = list(csv.reader(io.StringIO(done.out, newline="")))
        expect(got[0], COLUMNS)
        for have, row in zip(got[1:], rows(server)):
            want = ["" if v is None else fixture.rfc3339(v) if i == 1 else str(v) for i, v in enumerate(row)]
            if guard and want[5].startswith("="):
                want[5] = "'" + want[5]
            # headers are an object, written again
            expect(json.loads(have[6]), json.loads(want[6]))
            have[6] = want[6]
            expect(have, want)
    if '\n' in safe.out.split('\n', 1)[0] or '\r\n' in safe.out.split('\n', 1)[0]:
        raise AssertionError("lines end with LF")
    expect_in(',"",', (safe.out + ",").replace("\n", ",\n"))
    bare = run("sql", "SELECT 1 AS a", "-o", "csv", "--no-headers", "--server", server.address)
    expect(bare.out, "1\n")


def test_formats_null_and_empty(server):
    done = run("sql", "SELECT NULL AS a, '' AS b, 0 AS c, 'x,y' AS d, 'q\"q' AS e", "-o", "csv",
               "--server", server.address)
    expect(done.out, 'a,b,c,d,e\n,"",0,"x,y","q""q"\n')


def test_formats_formulas(server):
    done = run("sql", "SELECT '=1+1' AS a, '+1' AS b, '-1' AS c, '@x' AS d, -1 AS e, '\t' AS f", "-o", "csv",
               "--server", server.address)
    expect(done.out, "a,b,c,d,e,f\n'=1+1,'+1,'-1,'@x,-1,'\t\n")


def test_formats_name(server):
    done = run("errors", "-o", "name", *clilib.SINCE, "--limit", "3", "--server", server.address)
    expect(done.out.splitlines(), ["n1-5f-evil", "n1-5f-b4", "n1-5f-sqlb"])
    expect(done.err, "")


def test_formats_views(server):
    for verb in ("top", "slow", "errors", "conns"):
        done = run(verb, "-o", "json", *clilib.SINCE, "--server", server.address)
        answer = json.loads(done.out)
        names = [c["name"] for c in answer["columns"]]
        expect(all(len(r) == len(names) for r in answer["rows"]), True)
        printable(done.out)
    top = json.loads(run("top", "-o", "json", *clilib.SINCE, "--server", server.address).out)
    names = [c["name"] for c in top["columns"]]
    orders = dict(zip(names, next(r for r in top["rows"] if r[0] == "orders")))
    expect((orders["requests"], orders["errors"], orders["error_pct"]), (100, 10, 10.0))


def test_formats_numbers(server):
    """Integers of 64 bits and doubles come through unchanged."""
    done = run("sql", "SELECT 9223372036854775807 AS a, -9223372036854775808 AS b, 0.1 AS c, 1e300 AS d, "
               "1.0 AS e", "-o", "jsonl", "--server", server.address)
    expect(json.loads(done.out), {"a": 2 ** 63 - 1, "b": -2 ** 63, "c": 0.1, "d": 1e300, "e": 1.0})


def printable(text):
    for c in text.replace("\n", ""):
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            raise AssertionError(f"U+{ord(c):04x} reaches the terminal")


def test_formats_terminal(server):
    for output in ("table", "wide", "json", "jsonl", "csv", "name"):
        done = on_terminal("sql", SQL, "-o", output, "--server", server.address)
        expect(done.code, 0, done.out)
        printable(re.sub(r"\x1b\[[0-9;]*m", "", done.out))


def test_formats_statement_sources(server):
    with clilib.Folder() as folder:
        path = os.path.join(folder, "a.sql")
        with open(path, "w", encoding="utf-8") as f:
            f.write("SELECT 42 AS answer\n")
        want = "answer\n42\n"
        expect(run("sql", "-f", path, "-o", "csv", "--server", server.address).out, want)
    expect(run("sql", "-", "-o", "csv", "--server", server.address, stdin=b"SELECT 42 AS answer").out, want)
    expect(run("sql", "-o", "csv", "--server", server.address, stdin=b"SELECT 42 AS answer").out, want)


def test_formats_asks_as_documented(server):
    server.asked.clear()
    run("slow", "--service", "o*", "--since", "2024-03-04T10:00:00Z", "--server", server.address)
    asked = server.asked[-1]
    expect(asked["since"], "2024-03-04T10:00:00.000000000Z")
    expect(asked["params"], {"p1": "o*", "p2": "o*"})
    expect("until" in asked, False)
    server.asked.clear()
    run("sql", "SELECT 1", "--server", server.address)
    expect({k: server.asked[-1][k] for k in ("sql", "params", "format")},
           {"sql": "SELECT 1", "params": {}, "format": "ndjson"})
    expect("since" in server.asked[-1], False)


def test_formats_config(server):
    del server
    with clilib.Folder() as folder:
        path = os.path.join(folder, "k.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write("log:\n  level: warn\n")
        done = run("config", "show", "-o", "jsonl", "--config", path, "--data-dir", "/flag",
                   KELPIE_QUERY_ROWS="7")
        shown = {r["key"]: (r["value"], r["origin"]) for r in map(json.loads, done.out.splitlines())}
        expect(shown["log.level"], ("warn", f"{path}:2"))
        expect(shown["dataDir"], ('"/flag"', "flag"))
        expect(shown["query.rows"], ("7", "KELPIE_QUERY_ROWS"))
        expect(shown["log.format"], ("logfmt", "default"))
        expect(run("config", "check", "--config", path).out, f"{path}: ok\n")
        expect(run("config", "check", path).out, f"{path}: ok\n")
        with open(path, "a", encoding="utf-8") as f:
            f.write("  levl: x\n")
        done = run("config", "check", "--config", path)
        expect(done.code, 1)
        expect_in(f"{path}:3: log.levl: no such key; did you mean log.level?", done.err)


def main():
    with clilib.Folder() as folder:
        return clilib.Cases().run(list(globals().items()), fixture.start(folder))


if __name__ == "__main__":
    sys.exit(main())

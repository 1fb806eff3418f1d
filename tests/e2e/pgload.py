"""pgbench against a PostgreSQL of dbservers.py, and its statements counted three times: by pgbench, by the
server (pg_stat_statements) and by the rows of Kelpie.

    server = counting_postgres(area)
    prepare(server)
    check_mode(area, kelpie, server, "prepared", each=500)      # 4 clients, 500 transactions each
"""
import os
import re
import subprocess

import dbservers
from lib import SCALE, wait_until

CLIENTS = 4
MODES = ("simple", "extended", "prepared")
# of the transaction of TPC-B: a statement's verb, how often it comes
TPCB = {"BEGIN": 1, "UPDATE": 3, "SELECT": 1, "INSERT": 1, "COMMIT": 1}
# pgbench asks for the table's size and its partitions before it begins
OWN = "(statement LIKE '%pgbench_%' AND method IN ('UPDATE', 'INSERT') OR method IN ('BEGIN', 'COMMIT') OR " \
      "statement LIKE 'SELECT abalance FROM pgbench_accounts%' AND method = 'SELECT')"
COUNTED = ("SELECT replace(upper(split_part(query, ' ', 1)), 'END', 'COMMIT'), sum(calls), sum(rows) FROM "
           "pg_stat_statements WHERE query ~ '^(BEGIN|END|UPDATE pgbench_|INSERT INTO pgbench_|SELECT abalance FROM)' "
           "GROUP BY 1")


def counting_postgres(area):
    server = dbservers.postgres(area, "shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_utility=on")
    server.run("-c", "CREATE EXTENSION pg_stat_statements")
    return server


def pgbench(server, *args, unix=False):
    """argv"""
    return [dbservers.program("pgbench", "/usr/lib/postgresql/*/bin/pgbench"), "-h",
            server.directory if unix else "127.0.0.1", "-p", str(server.port), "-U", server.user, *args, server.database]


def bench(server, *args, unix=False, seconds=110):
    """Runs it: how many transactions it says it did."""
    done = subprocess.run(pgbench(server, *args, unix=unix), capture_output=True, text=True, timeout=seconds,
                          env=dict(os.environ, **server.client_env))
    if done.returncode:
        raise RuntimeError(done.stderr)
    processed = re.search(r"actually processed: (\d+)", done.stdout)
    return int(processed[1]) if processed else 0


def prepare(server):
    bench(server, "-i", "-q")


def counted_by(server):
    """{verb: (calls, rows)} as the server has counted them since the last time, which begins anew."""
    done = server.run("-At", "-F", " ", "-c", COUNTED)
    server.run("-c", "SELECT pg_stat_statements_reset()")
    return {verb: (int(calls), int(rows)) for verb, calls, rows in (line.split() for line in done.stdout.splitlines())}


def wrong_rows(rows, counters, done, prepared):
    """What differs between the three totals, as lines."""
    wrong = []
    for verb, times in TPCB.items():
        want = done * times
        r = rows.get(verb, {"n": 0})
        numbers = [int(r.get(k) or 0) for k in ("n", "ok", "complete", "degraded", "prepared")]
        if numbers != [want, want, want, 0, want * prepared]:
            wrong.append(f"{verb}: want {want}, got n, ok, complete, degraded, prepared {numbers}")
        calls, affected = counters.get(verb, (0, 0))
        # PostgreSQL 15 counts a prepared utility statement only when it runs first.
        if calls != want and not (prepared and verb in ("BEGIN", "COMMIT")):
            wrong.append(f"{verb}: the server counted {calls} of {want}")
        if verb not in ("BEGIN", "COMMIT") and (int(r.get("rows") or 0) != affected or affected != want):
            wrong.append(f"{verb}: {r.get('rows')} rows, the server counted {affected}")
    return wrong


def check_mode(area, kelpie, server, mode, each, unix=False, name=""):
    """One run of pgbench in this mode: pgbench's, the server's and Kelpie's totals are equal."""
    counted_by(server)
    first = kelpie.value("SELECT max(end_time) + 0 FROM pgsql")
    done = bench(server, "-n", "-M", mode, "-c", str(CLIENTS), "-t", str(each), "-j", "2", unix=unix,
                 seconds=60 + 60 * SCALE)
    counters = counted_by(server)
    end = f"server_addr = 'unix:{server.socket}'" if unix else f"server_port = {server.port}"
    where = f"{end} AND client_comm = 'pgbench' AND end_time > {first} AND kind = 'request'"
    want = done * sum(TPCB.values())
    wait_until(lambda: kelpie.value(f"SELECT count(*) FROM pgsql WHERE {where} AND {OWN}") >= want, 15 + 10 * SCALE, 0.2)
    rows = {r["method"]: r for r in kelpie.sql(
        "SELECT method, count(*) AS n, sum(status = 'OK') AS ok, sum(rows) AS rows, sum(prepared) AS prepared, "
        f"sum(complete) AS complete, sum(degraded) AS degraded FROM pgsql WHERE {where} AND {OWN} GROUP BY method")}
    wrong = wrong_rows(rows, counters, done, mode == "prepared")
    area.check(f"{name}{mode}_rows", done == CLIENTS * each and not wrong, "\n".join(wrong))
    parses = kelpie.value(f"SELECT count(*) FROM pgsql WHERE {where} AND method = 'PARSE'")
    area.check(f"{name}{mode}_parses", parses == (7 * CLIENTS if mode == "prepared" else 0), parses)
    area.note(f"{name}{mode}: {done} transactions, {want} statements")

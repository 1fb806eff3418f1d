"""A collector's API over a Unix socket, just enough of it for tests of the command line: SQLite answers
the statements on rows that are made up here, and hostile ones on purpose.
"""
import http.server
import json
import os
import re
import socketserver
import sqlite3
import threading

# a fixed instant of a past year, so that tables show it whole: 2024-03-04T10:20:30Z
T0 = 1709547630 * 10**9
SECOND = 10**9
MS = 10**6

# what no terminal may ever obey, in one text: CSI, OSC, a C1 control, a bidirectional override, a NUL
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u009b31m\u202eevil\x00\r\n\t\u200bend"

REQUEST_COLUMNS = """id time end_time latency_ns ttfb_ns request_ns protocol kind role method resource status
status_code failed client_error outcome error request_bytes response_bytes trace_id client_name client_addr
client_port client_pid client_namespace client_pod client_workload client_workload_kind client_service
client_node client_comm client_container server_name server_addr server_port server_pid server_namespace
server_pod server_workload server_workload_kind server_service server_node server_comm server_container
node is_primary path request_headers response_headers request_body response_body""".split()
PGSQL_COLUMNS = REQUEST_COLUMNS[:-5] + "database user statement rows sqlstate message".split()
CONN_COLUMNS = """conn_id opened closed end_time state protocol why_unreadable client_name client_addr client_port
client_pid client_namespace client_pod client_workload client_workload_kind client_service client_node
client_comm client_container server_name server_addr server_port server_pid server_namespace server_pod
server_workload server_workload_kind server_service server_node server_comm server_container bytes_sent
bytes_received bytes_skipped bytes_lost requests open_requests rtt_ns retransmits error pid comm
node""".split()
UNITS = {"time": "time", "end_time": "time", "opened": "time", "closed": "time", "failed": "bool",
         "client_error": "bool", "request_headers": "json", "response_headers": "json",
         "requests": "count", "open_requests": "count", "retransmits": "count"}


class Quantile:
    part = 0.5

    def __init__(self):
        self.values = []

    def step(self, value):
        if value is not None:
            self.values.append(value)

    def finalize(self):
        if not self.values:
            return None
        self.values.sort()
        return self.values[min(len(self.values) - 1, int(self.part * len(self.values)))]


def insert(db, table, row):
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
               list(row.values()))


def database():
    db = sqlite3.connect(":memory:", check_same_thread=False)
    for name, part in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        db.create_aggregate(name, 1, type(name, (Quantile,), {"part": part}))
    for table in ("requests", "http", "observations"):
        db.execute(f"CREATE TABLE {table} ({', '.join(REQUEST_COLUMNS)})")
    db.execute(f"CREATE TABLE pgsql ({', '.join(PGSQL_COLUMNS)})")
    db.execute(f"CREATE TABLE connections ({', '.join(CONN_COLUMNS)})")
    rows = []
    for i in range(200):
        service, code = (("orders", 503 if i % 20 == 0 else 200), ("shop", 404 if i % 25 == 1 else 200))[i % 2]
        rows.append(dict(
            id=f"n1-5f-{i:x}", time=T0 + i * 100 * MS, end_time=T0 + i * 100 * MS + (i % 17 + 1) * 3 * MS,
            latency_ns=(i % 17 + 1) * 3 * MS, ttfb_ns=(i % 17 + 1) * MS, request_ns=1000, protocol="http",
            kind="request", role="server", method="POST" if i % 3 else "GET", resource=f"/{service}/{{id}}",
            path=f"/{service}/{i}", status=str(code), status_code=code, failed=int(code >= 500),
            client_error=int(400 <= code < 500), outcome="ok", request_bytes=200 + i, response_bytes=4000,
            client_name="nginx", server_name=service, client_addr="127.0.0.1", server_addr="127.0.0.1",
            client_port=40000 + i, server_port=8080 + i % 2, client_pid=100, server_pid=200 + i % 2,
            client_comm="nginx", server_comm=service, node="n1", is_primary=1,
            request_headers='{"host":"shop","x-evil":"\\u001b[31m"}', response_headers="{}"))
    rows.append(dict(rows[0], id="n1-5f-evil", time=T0 + 21 * SECOND, end_time=T0 + 21 * SECOND + MS,
                     resource=HOSTILE, path=HOSTILE, client_name=HOSTILE, server_name=HOSTILE, method=HOSTILE,
                     status=HOSTILE, status_code=None, error=HOSTILE, outcome="reset", failed=1,
                     latency_ns=None, server_addr=None))
    rows.append(dict(rows[0], id="n1-5f-wide", time=T0 + 22 * SECOND, end_time=T0 + 22 * SECOND + 2 * MS,
                     resource="/注文/価格/\u00e9te\u0301", server_name="注文サービス", status="200", status_code=200,
                     failed=0, error='=HYPERLINK("x")', latency_ns=90 * SECOND))
    for row in rows:
        for table in ("requests", "http", "observations"):
            insert(db, table, row)
    for i in range(12):
        failed = i % 4 == 3
        row = dict(rows[0], id=f"n1-5f-sql{i:x}", time=T0 + (5 + i) * SECOND, path=None, protocol="pgsql",
                   end_time=T0 + (5 + i) * SECOND + (i + 1) * 7 * MS, latency_ns=(i + 1) * 7 * MS, method="SELECT",
                   resource="SELECT * FROM stock, shelf WHERE item IN (?, ?) AND name LIKE ?", failed=0,
                   status="42P01" if failed else "OK", status_code=None, client_error=int(failed),
                   error="relation ? does not exist" if failed else None, client_name="orders",
                   server_name="postgres", server_port=5432)
        insert(db, "requests", {k: v for k, v in row.items() if not k.endswith(("headers", "body"))})
        insert(db, "observations", row)
        insert(db, "pgsql", dict({k: v for k, v in row.items() if k in PGSQL_COLUMNS}, database="shop", user="shop",
                                 statement="SELECT *\n  FROM stock, shelf\n WHERE item IN (?, ?) AND name LIKE ? -- "
                                 + "a long remark " * 12, rows=i, sqlstate="42P01" if failed else "00000"))
    for conn in (
            dict(conn_id="c-open", opened=T0, end_time=T0 + 20 * SECOND, state="open", protocol="http",
                 client_name="nginx", server_name="orders", server_port=8080, bytes_sent=123456,
                 bytes_received=7890123, requests=100, open_requests=1, rtt_ns=230000, retransmits=0,
                 bytes_lost=0, node="n1"),
            dict(conn_id="c-refused", opened=T0 + SECOND, end_time=T0 + SECOND, state="failed",
                 client_name="nginx", server_name="billing", server_port=9, requests=0, open_requests=0,
                 error="refused", retransmits=2, bytes_lost=0, node="n1"),
            dict(conn_id="c-tls", opened=None, end_time=T0 + 20 * SECOND, state="open", protocol="tls",
                 client_name="curl", server_name="external", server_port=443, requests=0, open_requests=0,
                 why_unreadable="TLS", bytes_sent=10, bytes_received=20, retransmits=0, bytes_lost=0,
                 node="n1")):
        insert(db, "connections", conn)
    return db


def rfc3339(ns):
    import datetime
    seconds, rest = divmod(ns, SECOND)
    at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest:09d}Z"


def unit_of(name):
    return UNITS.get(name) or ("ns" if name.endswith("_ns") else "bytes" if name.endswith("_bytes") or
                               name.startswith("bytes_") else "")


STATUS = {"version": "0.1.0", "ready": True, "nodes": {"ok": 1, "missing": []}, "agents": [{
    "node": "n1", "epoch": "95", "connected": True, "responding": True, "seen": "2024-03-04T10:20:30Z",
    "pid": 4242, "version": "0.1.0",
    "status": {"capture": {"rung": "socklen/btf", "paused": False}, "storage": {"bytes": 123456789}},
    "ledger": [{"hop": 1, "stage": "data", "counter": "in", "kind": "in", "intentional": 0,
                "unit": "bytes", "value": 1000}],
    "balance": [{"hop": 1, "stage": "data", "unit": "bytes", "in": 1000, "out": 990, "held": 0, "loss": 10,
                 "difference": 0}]}],
    "collector": {"pid": 1, "listen": "unix:x"}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def reply(self, status, body, kind="application/json"):
        data = body.encode("utf-8") if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, code, message, hint="", position=-1):
        self.reply(status, json.dumps({"error": {"code": code, "message": message, "hint": hint,
                                                 "position": position}}))

    def ask(self, sql, params, coverage):
        if "raise busy" in sql:
            return self.error(429, "busy", "too many queries", "ask again later")
        try:
            with self.server.lock:
                cursor = self.server.db.execute(sql, params)
                names = [d[0] for d in cursor.description]
                rows = cursor.fetchall()
        except sqlite3.Error as problem:
            return self.error(400, "syntax", str(problem), "see kelpie schema", sql.encode().find(b"nope"))
        units = [unit_of(n) for n in names]
        kinds = ["INTEGER" if any(isinstance(r[i], int) for r in rows) else
                 "REAL" if any(isinstance(r[i], float) for r in rows) else "TEXT" for i in range(len(names))]
        lines = [{"type": "schema", "columns": [{"name": n, "type": k, "unit": u}
                                                for n, k, u in zip(names, kinds, units)]}]
        for row in rows:
            lines.append({"type": "row", "values": [
                rfc3339(v) if u == "time" and isinstance(v, int) else v for u, v in zip(units, row)]})
        lines.append({"type": "coverage", "coverage": dict(coverage, rows=len(rows))})
        return self.reply(200, "".join(json.dumps(l, ensure_ascii=False) + "\n" for l in lines),
                          "application/x-ndjson")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.startswith("/api/v1/control/"):
            self.server.controls.append(self.path.rsplit("/", 1)[1])
            return self.reply(200, '{"nodes":[{"node":"n1","ok":true,"message":""}]}')
        request = json.loads(body)
        self.server.asked.append(request)
        return self.ask(request["sql"], request.get("params", {}), self.server.coverage)

    def do_GET(self):
        if self.path == "/api/v1/status":
            return self.reply(200, json.dumps(STATUS))
        if self.path.startswith("/api/v1/tap"):
            self.server.taps.append(self.path)
            return self.ask("SELECT * FROM requests ORDER BY end_time LIMIT 5", {}, self.server.coverage)
        return self.error(404, "not_found", "no such page")


COMPLETE = {"complete": True, "from": None, "to": None, "nodes": {"ok": 1, "missing": []}, "lost": 0,
            "sampled": 0, "truncated": False, "approximate": [], "notes": []}


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path):
        self.db = database()
        self.lock = threading.Lock()
        self.asked, self.taps, self.controls = [], [], []
        self.coverage = COMPLETE
        super().__init__(path, Handler)

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)


def start(folder):
    """A server in a thread; server.address is what --server takes."""
    path = os.path.join(folder, "api.sock")
    server = Server(path)
    server.address = f"unix:{path}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    import sys
    import time
    print(start(sys.argv[1]).address, flush=True)
    while not re.search("never", time.ctime()):
        time.sleep(1)

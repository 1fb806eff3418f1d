"""The three readers of test_differential: Kelpie live, Kelpie's replay and tshark, as rows of one form; and
the capture that the latter two read.

A row is a dictionary of values by column of `http`; a connection one of values by column of
`connections`. Rows carry `conn` (client address and port, server port, and the how manyeth connection
between these) and `order` (which request of the connection), which name an exchange in all three.
"""
import json
import os
import re
import signal
import subprocess

from lib import BIN, wait_until

TEXTS = ["method", "path", "query", "host", "status", "version", "user_agent", "content_type", "trace_id",
         "span_id", "parent_span_id", "resource", "outcome", "request_headers", "response_headers"]
NUMBERS = ["status_code", "request_bytes", "response_bytes", "request_body_bytes", "response_body_bytes",
           "failed", "client_error", "complete", "truncated", "degraded", "request_offset"]
ENDS = ["client_addr", "client_port", "server_addr", "server_port"]
TIMES = ["time", "end_time", "latency_ns", "ttfb_ns", "request_ns"]
ROW_COLUMNS = TEXTS + NUMBERS + ENDS + TIMES
CONN_COLUMNS = ["state", "initiator", "protocol", "why_unreadable", "bytes_sent", "bytes_received", "requests",
                "open_requests", "bytes_lost", "error", *ENDS]


def rows_sql(ports):
    # Expressions have no unit: times come as numbers, header maps as the text that is stored.
    columns = [f"{c} + 0 AS {c}" if c in TIMES else f"{c} || '' AS {c}" if c.endswith("_headers") else c
               for c in ROW_COLUMNS]
    return (f"SELECT conn_id, {', '.join(columns)} FROM http WHERE server_port IN ({ports}) "
            "ORDER BY time, request_offset")


def conns_sql(ports):
    return (f"SELECT conn_id, opened + 0 AS opened, {', '.join(CONN_COLUMNS)} FROM connections "
            f"WHERE local_port IN ({ports}) ORDER BY opened")


def from_json(text):
    answer = json.loads(text)
    names = [c["name"] for c in answer["columns"]]
    return [dict(zip(names, row)) for row in answer["rows"]]


def live(kelpie, sql):
    status, out, err = kelpie.command("sql", "-o", "json", sql)
    if status != 0:
        raise RuntimeError(f"status {status} for {sql}\n{err}")
    return from_json(out)


class Capture:
    """What goes to and from these ports of the loopback interface, TCP and UDP, by dumpcap."""

    def __init__(self, area, name, ports):
        self.name = name
        self.file = area.file(f"{name}.pcapng")
        what = " or ".join(f"port {p}" for p in ports)
        self.process = area.start(["dumpcap", "-q", "-i", "lo", "-s", "0", "-B", "256",
                                   "-f", what, "-w", self.file])
        # It says its file's name when the socket is open.
        wait_until(lambda: "File:" in self.process.log() or not self.process.alive(), 10)

    def stop(self):
        """Returns (packets, lost) as dumpcap counts them."""
        self.process.stop(signal.SIGINT)
        found = re.search(r"received/dropped on interface '[^']*': (\d+)/(\d+) \(pcap:(\d+)/dumpcap:(\d+)",
                          self.process.log())
        if not found:
            raise RuntimeError(f"dumpcap said nothing of packets:\n{self.process.log()}")
        return int(found[1]), sum(int(x) for x in found.groups()[1:])

    def has(self, text):
        """Whether the text, and so all that came before it, has been written."""
        with open(self.file, "rb") as f:
            return text.encode() in f.read()


class Replay:
    """`kelpie replay` into a data directory; said: what it printed of packets and bytes."""

    def __init__(self, area, file):
        self.dir = area.file(f"replay-{os.path.basename(file)}")
        self.config = area.file("replay.yaml")
        with open(self.config, "w") as f:
            f.write("query:\n  rows: 1000000\n")
        self.said = ""
        self.rows = self.run("replay", file, "--data-dir", self.dir, "--sql", "SELECT count(*) FROM http")

    def run(self, *args):
        done = subprocess.run([os.path.join(BIN, "kelpie"), *args, "-o", "json"], capture_output=True, text=True,
                              env=dict(os.environ, KELPIE_CONFIG=self.config), timeout=60,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"kelpie {args}: status {done.returncode}\n{done.stderr}")
        self.said += done.stderr
        return from_json(done.stdout)

    def sql(self, text):
        return self.run("sql", "--data-dir", self.dir, text)


def name_connections(conns):
    """Gives each its name: ends, and the how manyeth between them by time of opening. Returns names by
    conn_id, which a connection has when its beginning was seen."""
    seen = {}
    for c in sorted(conns, key=lambda c: c["opened"] or 0):
        ends = (c["client_addr"], int(c["client_port"]), int(c["server_port"]))
        seen[ends] = seen.get(ends, -1) + 1
        c["conn"] = (*ends, seen[ends])
    return {c["conn_id"]: c["conn"] for c in conns if c["conn_id"]}


def name_rows(rows, names):
    """Rows of Kelpie: the connection by its hash, the order by position."""
    orders = {}
    for r in sorted(rows, key=lambda r: r["request_offset"]):
        r["conn"] = names.get(r["conn_id"]) or (r["client_addr"], int(r["client_port"]),
                                                int(r["server_port"]), 0)
        r["order"] = orders[r["conn"]] = orders.get(r["conn"], -1) + 1
    return rows


# ---- tshark ----

FRAME_FIELDS = ["frame.number", "frame.len", "frame.time_epoch", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport",
                "ip.dst", "ipv6.dst", "tcp.dstport", "tcp.seq", "tcp.len", "tcp.flags"]
FIN, SYN, RST, ACK = 1, 2, 4, 16
CLIENT, SERVER = 0, 1
NUM = re.compile(r'<field name="num" [^>]* value="([0-9a-f]+)"')
FIELD = re.compile(r"<field ([^>]*)>")
ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


def tshark(file, ports, *args):
    argv = ["tshark", "-n", "-r", file, "-o", "http.decompress_body:FALSE", "-o",
            "tcp.reassemble_out_of_order:TRUE"]
    for port in ports:
        argv += ["-d", f"tcp.port=={port},http"]
    done = subprocess.run([*argv, *args], capture_output=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"tshark: status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode("utf-8", "surrogateescape")


def address(text):
    return text.removeprefix("::ffff:") if text else text


class Stream:
    """A connection as its packets show it."""

    def __init__(self, frame):
        client_first = not (frame["flags"] & SYN and frame["flags"] & ACK)
        self.client = (frame["src"] if client_first else frame["dst"])
        self.server = (frame["dst"] if client_first else frame["src"])
        self.segments = ([], [])  # position, length, time of each direction
        self.ends = []  # who, "fin" or "reset", in order
        self.messages = ([], [])

    def take(self, frame):
        who = CLIENT if frame["src"] == self.client else SERVER
        if frame["len"]:
            self.segments[who].append((frame["seq"] - 1, frame["len"], frame["time"]))
        for flag, what in ((FIN, "fin"), (RST, "reset")):
            if frame["flags"] & flag and (who, what) not in self.ends:
                self.ends.append((who, what))
        return who

    def time_of(self, who, position):
        return next((t for at, n, t in self.segments[who] if at <= position < at + n), None)

    def bytes(self, who):
        return max((at + n for at, n, _ in self.segments[who]), default=0)


def read_frames(file, ports):
    """Frame number -> (stream, who sent it); and the streams."""
    streams, frames = {}, {}
    args = [x for f in FRAME_FIELDS for x in ("-e", f)]
    for line in tshark(file, ports, "-Y", "tcp", "-T", "fields", "-E", "separator=,", *args).splitlines():
        f = dict(zip(FRAME_FIELDS, line.split(",")))
        seconds, _, part = f["frame.time_epoch"].partition(".")
        frame = {"time": int(seconds) * 10**9 + int(part.ljust(9, "0")[:9]), "seq": int(f["tcp.seq"]),
                 "src": (address(f["ip.src"] or f["ipv6.src"]), int(f["tcp.srcport"])),
                 "dst": (address(f["ip.dst"] or f["ipv6.dst"]), int(f["tcp.dstport"])),
                 "len": int(f["tcp.len"]), "payload": int(f["frame.len"]) - int(f["tcp.len"]), "flags": int(f["tcp.flags"], 16)}
        stream = streams.setdefault(f["tcp.stream"], None) or Stream(frame)
        streams[f["tcp.stream"]] = stream
        frames[int(f["frame.number"])] = (stream, stream.take(frame), frame)
    return frames, list(streams.values())


class Message:
    """One `http` layer of tshark: a request, a response or what it takes for neither. The layer begins with
    the message and ends where its packet does; the head ends with the empty line, the body follows."""

    def __init__(self, text, frame):
        attributes = dict(ATTRIBUTE.findall(text[:text.index(">")]))
        self.bytes, self.pos = int(attributes["size"]), int(attributes["pos"])
        self.frame = frame
        self.body = 0
        self.fields = {}
        self.headers = []
        head = framed = 0
        for tag in FIELD.findall(text):
            a = dict(ATTRIBUTE.findall(tag))
            name, show, size = a.get("name"), a.get("show", ""), int(a.get("size", 0))
            if name in ("http.request.line", "http.response.line"):
                header, _, v = bytes.fromhex(a["value"]).partition(b":")
                self.headers.append((header.lower(), v.strip(b" \t\r\n")))
            elif name == "http.file_data":
                self.body = size
            elif name:
                self.fields.setdefault(name, bytes.fromhex(a.get("value", "")))
            elif show in ("\\r\\n", "\\n") and not head:
                head = int(a["pos"]) + size - self.pos
            elif show.startswith("Content-encoded entity body"):
                self.body = size
            elif show == "HTTP chunked response":
                framed = size
        if head:
            self.bytes = head + (framed or self.body)

    def raw(self, name):
        return as_text(self.fields[name]) if name in self.fields else None

    def header(self, name):
        return next((as_text(v) for n, v in self.headers if n == name), None)

    @property
    def is_request(self):
        return "http.request.method" in self.fields

    @property
    def status(self):
        return int(self.fields["http.response.code"]) if "http.response.code" in self.fields else None


def as_text(value):
    """Bytes as Kelpie's JSON shows them."""
    return value.decode("utf-8", "backslashreplace")


def read_messages(file, ports, frames):
    """Puts the messages into their streams."""
    number = 0
    for part in re.split(r"(?=<packet>|<proto )", tshark(file, ports, "-Y", "http", "-T", "pdml", "-J", "http")):
        if part.startswith('<proto name="geninfo"'):
            number = int(NUM.search(part)[1], 16)
        if part.startswith('<proto name="http"'):
            stream, who, frame = frames[number]
            stream.messages[who].append(Message(part, frame))


# ---- tshark's messages as rows: the rules of docs/internals and docs/query.md, written a second time ----

QUERY_KEPT = {"page", "per_page", "page_size", "limit", "offset", "sort", "order", "format", "lang", "locale",
              "fields", "include", "expand", "version", "v", "watch", "api-version"}
W3C = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$")
B3 = re.compile(r"([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-[01d](?:-([0-9a-f]{16}))?)?$")


def plain_key(key):
    digits = sum(c.isdigit() for c in key)
    return (len(key) <= 48 and re.fullmatch(r"[A-Za-z0-9_.\[\]$%~:-]*", key) is not None and
            (digits <= 4 or digits * 2 < len(key)))


def redact_query(query):
    """The keys, values as `?` except those of a few harmless ones."""
    out = ""
    for part in re.split("([&;])", query):
        key, equals, value = part.partition("=")
        if part in ("", "&", ";"):
            out += part
        elif not plain_key(key) or not equals:
            out += (key if plain_key(key) and len(key) <= 24 else "?") + ("=?" if equals else "")
        else:
            out += key + "=" + (value if key.lower() in QUERY_KEPT else "?" if value else "")
    return out


def split_target(method, uri):
    """(host or None, path, query or None) of a request target."""
    if method == "CONNECT":
        return uri, uri, None
    if uri == "*":
        return None, uri, None
    host = None
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)", uri)
    if found:
        host = found[1].rpartition("@")[2]
        uri = uri[found.end():]
    path, mark, query = uri.partition("#")[0].partition("?")
    return host, path or "/", redact_query(query) if mark else None


def trace_of(request):
    found = W3C.match(request.header(b"traceparent") or "")
    if found and (not found[4] or found[1] != "00"):
        return found[2], found[3], None
    found = B3.match(request.header(b"b3") or "")
    if found:
        return found[1].rjust(32, "0"), found[2], found[3]
    names = (b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid")
    trace, span, parent = (request.header(n) for n in names)
    return trace and trace.rjust(32, "0"), span, parent


def outcome_of(stream):
    """How an exchange without its answer ended: with the first direction's end, unless there was a reset."""
    if any(what == "reset" for _, what in stream.ends):
        who = next(who for who, what in stream.ends if what == "reset")
        return "reset", 1 if who == SERVER else None
    if not stream.ends:
        return None, None
    return ("closed_by_server", 1) if stream.ends[0][0] == SERVER else ("closed_by_client", None)


def answer_columns(stream, response):
    if response is None:
        outcome, failed = outcome_of(stream)
        return {"outcome": outcome, "failed": failed, "client_error": failed and 0, "complete": 0, "status": None,
                "status_code": None, "content_type": None, "response_bytes": None, "response_body_bytes": None}
    code = response.status
    return {"outcome": "ok", "failed": int(code >= 500), "client_error": int(400 <= code < 500), "complete": 1,
            "status": str(code), "status_code": code, "content_type": response.header(b"content-type"),
            "response_bytes": response.bytes, "response_body_bytes": response.body,
            "response_lines": response.headers}


def row_of(stream, conn, order, request, response):
    method = request.raw("http.request.method")
    authority, path, query = split_target(method, request.raw("http.request.uri"))
    trace, span, parent = trace_of(request)
    start = request.offset
    row = {"conn": conn, "order": order, "method": method, "path": path, "query": query,
           "host": authority or request.header(b"host"), "user_agent": request.header(b"user-agent"),
           "version": request.raw("http.request.version").removeprefix("HTTP/"), "trace_id": trace, "span_id": span,
           "parent_span_id": parent, "request_bytes": request.bytes, "request_body_bytes": request.body,
           "request_offset": start, "client_addr": stream.client[0], "client_port": stream.client[1],
           "server_addr": stream.server[0], "server_port": stream.server[1], "request_lines": request.headers,
           "time": stream.time_of(CLIENT, start), **answer_columns(stream, response)}
    if response is not None:
        row["end_time"] = stream.time_of(SERVER, response.offset + response.bytes - 1)
    return row


def pairs(requests, answers):
    """Requests with their answers: by the number that the load's messages carry, else in order."""
    numbered = {}
    for a in answers:
        found = re.match(r"application/x-seq\.(\d+)$", a.header(b"content-type") or "")
        if found:
            numbered[found[1]] = a
    for i, r in enumerate(requests):
        found = re.match(r"kelpie-load/(\d+)$", r.header(b"user-agent") or "")
        yield r, numbered.get(found[1]) if found else answers[i] if i < len(answers) else None


def place(stream, who):
    """Gives each message its position: behind the one before, or further on by its packet, where tshark
    has left out what it does not understand."""
    at = 0
    for m in stream.messages[who]:
        by_packet = m.frame["seq"] - 1 + m.pos - m.frame["payload"]
        m.offset = max(at, by_packet) if m.pos >= m.frame["payload"] else at
        at = m.offset + m.bytes


def read_tshark(file, ports):
    """(rows, connections)"""
    frames, streams = read_frames(file, ports)
    read_messages(file, ports, frames)
    conns, rows, seen = [], [], {}
    for s in streams:
        ends = (*s.client, s.server[1])
        seen[ends] = seen.get(ends, -1) + 1
        conn = (*ends, seen[ends])
        place(s, CLIENT)
        place(s, SERVER)
        requests = [m for m in s.messages[CLIENT] if m.is_request]
        answers = [m for m in s.messages[SERVER] if m.status and (m.status >= 200 or m.status == 101)]
        rows += [row_of(s, conn, i, *pair) for i, pair in enumerate(pairs(requests, answers))]
        neither = sum(not m.is_request for m in s.messages[CLIENT]) + sum(
            m.status is None for m in s.messages[SERVER])
        conns.append({"conn": conn, "client_addr": s.client[0], "client_port": s.client[1],
                      "server_addr": s.server[0], "server_port": s.server[1], "bytes_sent": s.bytes(SERVER),
                      "bytes_received": s.bytes(CLIENT), "requests": len(requests), "neither": neither,
                      "error": "reset" if any(what == "reset" for _, what in s.ends) else None,
                      "state": "closed" if len({who for who, _ in s.ends}) == 2 or any(
                          what == "reset" for _, what in s.ends) else "open"})
    return rows, conns

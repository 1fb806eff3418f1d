"""A PostgreSQL client of the tests' own: it puts together every message itself, and writes down what
each exchange was and what came back, so that the rows can be compared one by one.

    with Wire(server) as w:
        w.simple(("SELECT 1 AS one", "SELECT ? AS one"))     # statements, and the same without literals
        w.batch(w.prepare("s1", ...), w.execute("s1", ...))  # one Sync behind it

`truth` has one entry for each exchange in the order of requests: method, statement, status, rows, tag,
prepared. SCRAM-SHA-256 after RFC 5802 and RFC 7677.
"""
import base64
import hashlib
import hmac
import os
import socket
import struct
import time

CALL = 65536  # bytes


def text(s):
    return s.encode() + b"\0"


def message(tag, body=b""):
    return tag.encode() + struct.pack(">I", 4 + len(body)) + body


# What a client may ask before it starts a session.
QUESTIONS = {"ssl": 80877103, "gss": 80877104}
CANCEL = 80877102


def packet(code, body=b""):
    """A message of the beginning, which has no tag."""
    return struct.pack(">II", 8 + len(body), code) + body


class Wire:
    """where: the SQL condition that is true for the rows of this connection. ask: "ssl" or "gss", which
    the server must refuse."""

    def __init__(self, server, unix=False, ask=None, **options):
        self.server, self.truth, self.buffer = server, [], b""
        self.pushes = []  # (tag, fields or channel) of what nobody asked for
        self.statements = {}  # prepared: name -> (method, statement)
        self.where = (f"server_addr = 'unix:{server.socket}' AND client_pid = {os.getpid()} AND time >= {time.time_ns()}"
                      if unix else f"server_port = {server.port}")
        self.sock = socket.socket(socket.AF_UNIX) if unix else socket.socket()
        self.sock.connect(server.socket if unix else ("127.0.0.1", server.port))
        self.sock.settimeout(20)
        if not unix:
            self.client_port = str(self.sock.getsockname()[1])
            self.where += f" AND client_port = {self.client_port}"
        if ask:
            self.send(packet(QUESTIONS[ask]))
            if self.sock.recv(1) != b"N":
                raise RuntimeError(f"the server has {ask}")
        self.login(options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.sendall(message("X"))
        self.sock.close()

    # ---- bytes ----

    def send(self, *messages):
        """In calls of a size that is captured whole."""
        data = b"".join(messages)
        for at in range(0, len(data), CALL):
            self.sock.sendall(data[at:at + CALL])

    def receive(self):
        """(tag, body) of the next message."""
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack(">I", self.buffer[1:5])[0]:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError("the server has closed")
            self.buffer += more
        end = 1 + struct.unpack(">I", self.buffer[1:5])[0]
        tag, body = chr(self.buffer[0]), self.buffer[5:end]
        self.buffer = self.buffer[end:]
        return tag, body

    def login(self, options):
        user = dict(user=self.server.user, database=self.server.database, **options)
        self.send(packet(3 << 16, b"".join(text(k) + text(v) for k, v in user.items()) + b"\0"))
        while True:
            tag, body = self.receive()
            if tag == "K":
                self.key = body
            if tag == "Z":
                return
            if tag == "E":
                raise PermissionError(fields(body))
            if tag == "R" and struct.unpack(">I", body[:4])[0] in (10, 11):
                self.scram(struct.unpack(">I", body[:4])[0], body[4:].decode())

    def scram(self, step, words):
        if step == 10:
            self.first = "n=,r=" + base64.b64encode(os.urandom(18)).decode()
            hello = ("n,," + self.first).encode()
            self.send(message("p", text("SCRAM-SHA-256") + struct.pack(">I", len(hello)) + hello))
            return
        part = dict(word.split("=", 1) for word in words.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.server.password.encode(),
                                     base64.b64decode(part["s"]), int(part["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c=biws,r={part['r']}"
        said = ",".join((self.first, words, last)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.send(message("p", (last + ",p=" + base64.b64encode(proof).decode()).encode()))

    # ---- what is expected of the answers ----

    def expect(self, statement, prepared="0", method=None):
        row = {"method": method or (statement.split() or [""])[0].rstrip(";").upper(),
               "statement": statement, "prepared": prepared, "kind": "request", "status": "",
               "sqlstate": "", "rows": "", "command_tag": ""}
        self.truth.append(row)
        return row

    @staticmethod
    def told(row, tag, body, rows):
        """What the server has said in answer to an exchange becomes its row."""
        row["status"] = "OK"
        if tag == "C":
            words = body.rstrip(b"\0").decode().split()
            count = words.pop() if words[-1].isdigit() else str(rows) if rows else ""
            row["rows"], row["command_tag"] = count, " ".join(w for w in words if not w.isdigit())
        elif tag == "E":
            row["status"] = row["sqlstate"] = fields(body)["C"]
        elif tag == "s":
            row["rows"] = str(rows)

    def answers(self, waiting, ends):
        """Reads up to ReadyForQuery; ends(row): the tags that end an exchange's answer."""
        rows = 0
        while True:
            tag, body = self.receive()
            rows += tag == "D"
            if tag == "Z":
                return
            if tag in "NA":
                self.pushes.append((tag, fields(body) if tag == "N" else body[4:body.index(b"\0", 4)].decode()))
            if tag == "G":
                self.copy_in()
            if tag == "E" and not waiting:
                continue  # a commit that failed
            if waiting and (tag == "E" or tag in ends(waiting[0])):
                self.told(waiting.pop(0), tag, body, rows)
                rows = 0
                if tag == "E":
                    waiting.clear()

    def copy_in(self):
        self.send(*(message("d", line) for line in self.data), message("c"))
        if self.again:
            self.send(message("S"))

    # ---- exchanges ----

    def simple(self, *statements, data=()):
        """One query message; statements: (text, text without literals)."""
        self.data, self.again = data, False
        waiting = [self.expect(masked) for _, masked in statements]
        self.send(message("Q", text("; ".join(sent for sent, _ in statements))))
        self.answers(waiting, lambda row: "CI")

    def prepare(self, name, sql, masked):
        """Parse and Describe, a row of their own."""
        self.statements[name] = masked
        row = self.expect(masked, prepared="", method="PARSE")
        return (message("P", text(name) + text(sql) + b"\0\0") + message("D", b"S" + text(name)),
                row, "Tn")

    def execute(self, name, *values, portal="", most=0):
        masked = self.statements[name]
        return self.bind(name, values, portal) + message("E", text(portal) + struct.pack(">I", most)), \
            self.expect(masked, prepared="1"), "CIs"

    def once(self, sql, masked, *values):
        """Parse, Bind, Describe and Execute in one."""
        return message("P", text("") + text(sql) + b"\0\0") + self.bind("", values) + \
            message("D", b"P" + text("")) + message("E", text("") + b"\0\0\0\0"), \
            self.expect(masked), "CIs"

    def more(self, name, portal, most=0):
        """Goes on with a portal that was suspended."""
        return message("E", text(portal) + struct.pack(">I", most)), \
            self.expect(self.statements[name], prepared="1"), "CIs"

    def cancel(self):
        """Asks for what this session is doing to be cancelled, on a connection of its own: its port."""
        with socket.create_connection(("127.0.0.1", self.server.port), 20) as s:
            s.sendall(packet(CANCEL, self.key))
            s.recv(1)
            return s.getsockname()[1]

    def call(self, oid, *numbers):
        """Calls a function of the server with int4 arguments."""
        row = self.expect("", prepared="", method="FUNCTION CALL")
        self.data, self.again = (), False
        self.send(message("F", struct.pack(">IHHH", oid, 1, 1, len(numbers)) + b"".join(
            struct.pack(">Ii", 4, n) for n in numbers) + struct.pack(">H", 1)))
        self.answers([row], lambda _: "V")

    def close(self, name):
        row = self.expect(self.statements[name], prepared="", method="CLOSE")
        return message("C", b"S" + text(name)), row, "3"

    @staticmethod
    def bind(name, values, portal=""):
        data = b"".join(struct.pack(">I", len(str(v))) + str(v).encode() for v in values)
        return message("B", text(portal) + text(name) + struct.pack(">HH", 0, len(values)) + data + b"\0\0")

    def batch(self, *exchanges, data=()):
        """Exchanges with one Sync behind them."""
        self.data, self.again = data, True
        ends = {id(row): tags for _, row, tags in exchanges}
        self.send(*(sent for sent, _, _ in exchanges), message("S"))
        self.answers([row for _, row, _ in exchanges], lambda row: ends[id(row)])

    def pipeline(self, *exchanges):
        """Each exchange with a Sync of its own, all sent before the first answer is read."""
        self.data, self.again = (), False
        self.send(*(sent + message("S") for sent, _, _ in exchanges))
        for _, row, tags in exchanges:
            self.answers([row], lambda _, tags=tags: tags)


def fields(body):
    """Of an error or notice."""
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}

"""A client of MySQL's protocol of our own, on plain sockets: it sends what it is told to and counts what
comes back, so that a test knows every exchange to the packet. Shares nothing with the product.

    c = Connection(port, user, password, database, flags=MULTI | DEPRECATE_EOF)
    c.query("SELECT 1; DO 2")   # [Result(rows=1), Result(affected=0)]
"""
import ctypes
import hashlib
import socket
import struct
import zlib

CONNECT_DB, LOCAL_FILES, PROTOCOL_41, TRANSACTIONS, SECURE = 8, 0x80, 0x200, 0x2000, 0x8000
MULTI, MULTI_RESULTS, PS_MULTI, PLUGIN = 0x10000, 0x20000, 0x40000, 0x80000
TRACK, DEPRECATE_EOF = 0x800000, 0x1000000
PACKED = {"zlib": 0x20, "zstd": 0x4000000}
PACK_MIN, ZSTD_LEVEL = 50, 3  # bytes of a packet that is worth it
MORE, CURSOR, LAST_ROW = 8, 0x40, 0x80
BULK = 4  # MariaDB's own flags
FULL = 0xffffff
ANSWER_SECONDS = 30


class Result:
    def __init__(self, rows=None, affected=None, error=None, status=0):
        self.rows, self.affected, self.error, self.status = rows, affected, error, status

    def __repr__(self):
        return f"Result(rows={self.rows}, affected={self.affected}, error={self.error})"


class Refused(Exception):
    """The server's answer to the login was an error; args[0] is its number."""


def lenenc(data, at):
    first = data[at]
    if first < 0xfb:
        return first, at + 1
    width = {0xfc: 2, 0xfd: 3, 0xfe: 8}[first]
    return int.from_bytes(data[at + 1:at + 1 + width], "little"), at + 1 + width


def native(password, salt):
    """mysql_native_password."""
    if not password:
        return b""
    one = hashlib.sha1(password.encode()).digest()
    two = hashlib.sha1(salt + hashlib.sha1(one).digest()).digest()
    return bytes(a ^ b for a, b in zip(one, two))


def caching_sha2(password, salt):
    """caching_sha2_password, of a password that the server remembers."""
    one = hashlib.sha256(password.encode()).digest()
    two = hashlib.sha256(hashlib.sha256(one).digest() + salt).digest()
    return bytes(a ^ b for a, b in zip(one, two))


PLUGINS = {"mysql_native_password": native, "caching_sha2_password": caching_sha2}


class Zstd:
    """zlib's interface for the system's libzstd."""

    def __init__(self):
        self.lib = ctypes.CDLL("libzstd.so.1")
        for name in ("ZSTD_compress", "ZSTD_decompress", "ZSTD_compressBound"):
            getattr(self.lib, name).restype = ctypes.c_size_t

    def compress(self, data):
        out = ctypes.create_string_buffer(self.lib.ZSTD_compressBound(ctypes.c_size_t(len(data))))
        n = self.lib.ZSTD_compress(out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)), ZSTD_LEVEL)
        return out.raw[:n]

    def decompress(self, data, plain):
        out = ctypes.create_string_buffer(plain)
        n = self.lib.ZSTD_decompress(out, ctypes.c_size_t(plain), data, ctypes.c_size_t(len(data)))
        return out.raw[:n]


class Packer:
    """Compressed packets: (bytes to send) of plain ones, and back."""

    def __init__(self, name):
        self.codec = Zstd() if name == "zstd" else None
        self.seq = 0

    def pack(self, data, first):
        out, self.seq = [], 0 if first else self.seq
        for at in range(0, len(data), FULL):
            part = data[at:at + FULL]
            packed = (self.codec or zlib).compress(part) if len(part) >= PACK_MIN else part
            plain = len(part) if len(packed) < len(part) else 0
            body = packed if plain else part
            out.append(len(body).to_bytes(3, "little") + bytes([self.seq & 255]) + plain.to_bytes(3, "little") + body)
            self.seq += 1
        return b"".join(out)

    def unpack(self, head, take):
        plain = int.from_bytes(head[4:7], "little")
        body, self.seq = take(int.from_bytes(head[:3], "little")), head[3] + 1
        if not plain:
            return body
        return self.codec.decompress(body, plain) if self.codec else zlib.decompress(body)


class Connection:
    """packed: "zlib" or "zstd", as far as the server can."""

    def __init__(self, port, user, password, database="", flags=MULTI | DEPRECATE_EOF, path=None, packed=None):
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.settimeout(ANSWER_SECONDS)
        self.socket.connect(path or ("127.0.0.1", port))
        if not path:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.port = self.socket.getsockname()[1]
        self.buffer, self.seq, self.packer, self.plain = b"", 0, None, b""
        greeting = self.packet()
        at = greeting.index(0, 1) + 5
        salt, at = greeting[at:at + 8], at + 9
        offered = int.from_bytes(greeting[at:at + 2], "little") | \
            int.from_bytes(greeting[at + 5:at + 7], "little") << 16
        salt += greeting[at + 18:at + 30]
        self.plugin = greeting[at + 31:].split(b"\0")[0].decode()
        self.plugin = self.plugin if self.plugin in PLUGINS else "mysql_native_password"
        want = flags | PROTOCOL_41 | TRANSACTIONS | SECURE | MULTI_RESULTS | PS_MULTI | PLUGIN | LOCAL_FILES
        want |= PACKED.get(packed, 0)
        self.flags = (want & offered) | (CONNECT_DB if database else 0)
        proof = PLUGINS[self.plugin](password, salt)
        body = struct.pack("<IIB19xI", self.flags, 1 << 30, 45, BULK) + user.encode() + b"\0"
        body += bytes([len(proof)]) + proof
        body += database.encode() + b"\0" if database else b""
        body += self.plugin.encode() + b"\0"
        self.send(body + (bytes([ZSTD_LEVEL]) if packed == "zstd" else b""), self.seq)
        self.login(password)
        if self.flags & PACKED.get(packed, 0):
            self.packer = Packer(packed)

    def login(self, password):
        while True:
            answer = self.packet()
            if answer[0] == 0:
                return
            if answer[0] == 0xff:
                raise Refused(int.from_bytes(answer[1:3], "little"))
            if answer[0] == 0xfe:
                salt = answer[answer.index(0) + 1:].rstrip(b"\0")
                self.send(PLUGINS[self.plugin](password, salt), self.seq)

    # ---- packets ----

    def send(self, payload, seq=0):
        out, first = [], seq == 0
        while True:
            part, payload = payload[:FULL], payload[FULL:]
            out.append(len(part).to_bytes(3, "little") + bytes([seq & 255]) + part)
            seq += 1
            if len(part) < FULL:
                break
        data = b"".join(out)
        self.socket.sendall(self.packer.pack(data, first) if self.packer else data)

    def take(self, n):
        """The next n bytes, out of compressed packets when there are such."""
        if not self.packer:
            return self.take_wire(n)
        while len(self.plain) < n:
            self.plain += self.packer.unpack(self.take_wire(7), self.take_wire)
        out, self.plain = self.plain[:n], self.plain[n:]
        return out

    def take_wire(self, n):
        while len(self.buffer) < n:
            more = self.socket.recv(max(65536, n - len(self.buffer)))
            if not more:
                raise ConnectionError("the server has closed")
            self.buffer += more
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def packet(self):
        payload = b""
        while True:
            head = self.take(4)
            n, self.seq = int.from_bytes(head[:3], "little"), head[3] + 1
            payload += self.take(n)
            if n < FULL:
                return payload

    # ---- replies ----

    def ok(self, data):
        affected, at = lenenc(data, 1)
        _, at = lenenc(data, at)
        return Result(affected=affected, status=int.from_bytes(data[at:at + 2], "little"))

    @staticmethod
    def error(data):
        return Result(error=int.from_bytes(data[1:3], "little"))

    def end(self, data):
        """The status in what ends rows."""
        if len(data) == 5:
            return int.from_bytes(data[3:5], "little")
        return self.ok(data).status

    def rows(self):
        n = 0
        while True:
            data = self.packet()
            if data[0] == 0xff:
                return self.error(data)
            if data[0] == 0xfe and len(data) < FULL:
                return Result(rows=n, status=self.end(data))
            n += 1

    def result(self, content=b""):
        data = self.packet()
        if data[0] == 0:
            return self.ok(data)
        if data[0] == 0xff:
            return self.error(data)
        if data[0] == 0xfb:
            for at in range(0, len(content), 1000):
                self.send(content[at:at + 1000], self.seq)
                self.seq += 1
            self.send(b"", self.seq)
            return self.result()
        for _ in range(lenenc(data, 0)[0]):
            self.packet()
        if not self.flags & DEPRECATE_EOF:
            status = self.end(self.packet())
            if status & CURSOR:
                return Result(rows=0, status=status)
        return self.rows()

    def results(self, content=b""):
        found = []
        while True:
            found.append(self.result(content))
            if found[-1].error or not found[-1].status & MORE:
                return found

    # ---- commands ----

    def query(self, text, content=b""):
        self.send(b"\x03" + (text if isinstance(text, bytes) else text.encode()))
        return self.results(content)

    def simple(self, command, body=b""):
        self.send(bytes([command]) + body)
        data = self.packet()
        if data[0] == 0xff:
            return self.error(data)
        return self.ok(data) if data[0] == 0 else Result(status=self.end(data))

    def statistics(self):
        self.send(b"\x09")
        return self.packet()

    def field_list(self, table):
        self.send(b"\x04" + table.encode() + b"\0%")
        return self.rows()

    def prepare(self, text):
        """The statement's number, or a Result with an error."""
        self.send(b"\x16" + text.encode())
        data = self.packet()
        if data[0] == 0xff:
            return self.error(data)
        statement, columns, params = struct.unpack("<IHH", data[1:9])
        for n in (params, columns):
            for _ in range(n):
                self.packet()
            if n and not self.flags & DEPRECATE_EOF:
                self.packet()
        return statement

    @staticmethod
    def bound(values):
        """Parameters of an execute, all as text."""
        if not values:
            return b""
        out = bytes((len(values) + 7) // 8) + b"\x01" + b"\xfd\0" * len(values)
        for v in values:
            data = str(v).encode()
            out += bytes([len(data)]) + data if len(data) < 0xfb else \
                b"\xfd" + len(data).to_bytes(3, "little") + data
        return out

    def execute(self, statement, *values, cursor=False, sent_ahead=False):
        body = struct.pack("<IBI", statement, 1 if cursor else 0, 1)
        # of what was sent ahead only the type is bound
        body += b"\0\x01\xfc\0" if sent_ahead else self.bound(values)
        self.send(b"\x17" + body)
        return self.results()

    def fetch(self, statement, n):
        self.send(b"\x1c" + struct.pack("<II", statement, n))
        return self.rows()

    def long_data(self, statement, data):
        self.send(b"\x18" + struct.pack("<IH", statement, 0) + data)

    def bulk(self, statement, values):
        body = struct.pack("<IH", statement, 128) + b"\xfd\0"
        for v in values:
            body += b"\0" + bytes([len(str(v))]) + str(v).encode()
        self.send(b"\xfa" + body)
        return self.results()

    def change_user(self, user, password, database=""):
        """With an empty proof: the server asks for another."""
        self.send(b"\x11" + user.encode() + b"\0\0" + database.encode() + b"\0" + struct.pack("<H", 45) +
                  self.plugin.encode() + b"\0")
        self.login(password)

    def close_statement(self, statement):
        self.send(b"\x19" + struct.pack("<I", statement))

    def quit(self):
        self.send(b"\x01")
        while self.socket.recv(100):
            pass
        self.socket.close()

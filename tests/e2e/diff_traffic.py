"""The traffic of test_differential: HTTP/1 of every shape, each piece with a name.

Conversations play both ends of a connection in one thread: a list of steps, each sent by one end and
received by the other before the next begins, so that the order of packets is the same in each run.
"""
import os
import shutil
import socket
import struct
import subprocess

from lib import Echo, Load, start_server, wait_until

V4, V6, MAPPED = "127.0.0.1", "::1", "::ffff:127.0.0.1"
PATH = os.environ.get("PATH", "") + ":/usr/sbin"
ONE_MIB = ["--split", "1048576"]
# For pipelines: all that keeps or ends its connection, but HEAD and 304 (tshark loses count of the
# answers, see the conversations pipelined_head and pipelined_304).
PIPELINE = ("get=300,post=150,query=30,trace=30,empty=50,chunked=120,trailers=80,medium=20,204=40,method=60,"
            "status=60,star=10,continue=10,hints=20,untilclose=5,http10=5,close=5,connect=5,upgrade=5,sse=1,"
            "longpoll=1")

# For small pieces: no chunks (tshark loses count, see chunks_bytewise) and no methods that tshark does not know.
PIECES = "get=30,post=15,query=3,trace=3,empty=5,medium=2,head=4,204=4,304=4,status=6,hints=2"

# name, exchanges, options of the load, of the server, the client's idea of the server's address
LOADS = [
    ("corners", 600, ["--mix", "corners", "--rate", "1500", "--connections", "8", "--warm", "3"], [], V4),
    ("pipelined", 800, ["--mix", PIPELINE, "--depth", "16", "--rate", "800", "--connections", "6"], [], V4),
    ("split", 200, ["--mix", PIECES, "--split", "9", "--rate", "300"], ["--split", "333"], V4),
    ("ipv6", 400, ["--mix", PIPELINE, "--depth", "4", "--rate", "800"], [], V6),
    ("mapped", 200, ["--mix", "corners", "--per-conn", "1", "--rate", "400"], [], MAPPED),
    ("sendfile", 200, ["--mix", "get=20,medium=5,head=2", "--rate", "800"], ["--send", "sendfile"], V4),
    ("failures", 200, ["--mix", "failures", "--rate", "400", "--connections", "8"], [], V4),
    ("large", 12, ["--mix", "large,upload,largechunked", "--rate", "12", "--warm", "3", "--connections",
                   "4", *ONE_MIB], ONE_MIB, V4),
]
MIDDLE = ("middle", 300, ["--mix", PIECES, "--warm", "3", "--rate", "1000", "--connections", "6"], [], V4)


# Methods of the IANA registry, of UPnP and of caches.
METHODS = ("GET POST PUT DELETE OPTIONS TRACE PATCH ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK "
           "LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH "
           "QUERY REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL "
           "M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE").split()


class Client:
    """Bytes of the client, then of the server; `pieces` cuts them into single sends."""

    def __init__(self, data, pieces=None):
        self.data = data
        self.pieces = pieces


class Server(Client):
    pass


class Unread(Client):
    """Sent by the client and not read by the server."""


class End:
    """One end stops: `how` is fin (shut down for writing), close or reset."""

    def __init__(self, who, how):
        self.who = who
        self.how = how


def get(path="/", extra=b"", method=b"GET", version=b"1.1", body=b""):
    path = path if isinstance(path, bytes) else path.encode()
    return (method + b" " + path + b" HTTP/" + version + b"\r\nHost: odd.test\r\n" + extra + b"\r\n" + body)


def ok(body=b"yes", extra=b"", status=b"200 OK", version=b"1.1"):
    return (b"HTTP/" + version + b" " + status + b"\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(body) +
            body)


def simple(request, response=None):
    return [Client(request), Server(ok() if response is None else response)]


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSES = [End("server", "close"), End("client", "close")]


def request_heads():
    """Requests that differ in their head alone."""
    return {
        "path_params": get("/a;v=1/b;c"), "path_double_slash": get("//double//slash"),
        "path_dots": get("/a/../b/./c"), "path_percent": get("/caf%C3%A9/%2F%20x"),
        "path_utf8": get("/café/ü".encode()), "path_latin1": get(b"/caf\xe9"),
        "path_long": get("/" + "long/" * 1500), "path_one_segment": get("/" + "a" * 6000),
        "path_pipe": get("/a|b{c}[d]^`\"<>"), "path_colon": get("/a:b@c"), "path_tilde": get("/~user/x"),
        "path_secret": get("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
                           "_XgL0n3I9PlFUP0THsR8U/x"),
        "path_digits": get("/orders/4111111111111111/x"), "path_mail": get("/users/alice@example.org/x"),
        "path_uuid": get("/v1/3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        "query_empty": get("/q?"), "query_only": get("/?x"), "query_two_marks": get("/q?a=b?c=d"),
        "query_kept": get("/q?page=2&limit=10&sort=name"), "query_values": get("/q?user=alice&token=abc"),
        "query_semicolons": get("/q?a=1;b=2;page=3"), "query_amps": get("/q?&&a=1&&"),
        "query_no_value": get("/q?flag&a=&=b"), "query_long_key": get("/q?" + "k" * 60 + "=1"),
        "query_percent": get("/q?page=%31&n%61me=x"), "query_digits": get("/q?12345678=1&1234=2"),
        "query_utf8": get("/q?größe=1&page=ü".encode()), "fragment": get("/q?page=1#part"),
        "fragment_no_query": get("/q#part?x=1"),
        "absolute": get("http://other.test:8080/abs?page=1"),
        "absolute_bare": get("http://other.test"), "absolute_query": get("http://other.test?page=1"),
        "absolute_user": get("http://user:secret@other.test/abs"),
        "absolute_upper": get("HTTP://OTHER.test/abs"), "absolute_ipv6": get("http://[::1]:80/abs"),
        "options_star": get("*", method=b"OPTIONS"),
        "host_port": b"GET /h HTTP/1.1\r\nHost: odd.test:8080\r\n\r\n",
        "host_none": b"GET /h HTTP/1.0\r\n\r\n", "host_empty": b"GET /h HTTP/1.1\r\nHost:\r\n\r\n",
        "host_twice": b"GET /h HTTP/1.1\r\nHost: one.test\r\nHost: two.test\r\n\r\n",
        "host_ipv6": b"GET /h HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "names_lower": b"GET /n HTTP/1.1\r\nhost:odd.test\r\nuser-agent:odd/1\r\n\r\n",
        "names_upper": b"GET /n HTTP/1.1\r\nHOST: odd.test\r\nUSER-AGENT: ODD/1\r\n\r\n",
        "spaces": b"GET /n HTTP/1.1\r\nHost: \t odd.test \t\r\nUser-Agent:   odd/1   \r\n\r\n",
        "bare_lf": b"GET /n HTTP/1.1\nHost: odd.test\nUser-Agent: odd/1\n\n",
        "leading_crlf": b"\r\n\r\n" + get("/n"),
        "folded": get("/n", b"User-Agent: odd/1\r\n\t(folded)\r\nX-Folded: a\r\n b\r\n  c\r\n"),
        "agent_twice": get("/n", b"User-Agent: odd/1\r\nUser-Agent: odd/2\r\n"),
        "agent_empty": get("/n", b"User-Agent:\r\n"), "agent_utf8": get("/n", "User-Agent: ödd\r\n".encode()),
        "agent_latin1": get("/n", b"User-Agent: \xf6dd\r\n"),
        "agent_long": get("/n", b"User-Agent: " + b"odd " * 60 + b"\r\n"),
        "agent_mail": get("/n", b"User-Agent: bot (+mailto:bot@example.org)\r\n"),
        "value_empty": get("/n", b"X-Empty:\r\nX-Blank: \r\n"),
        "value_quotes": get("/n", b"Accept: a;q=\"0.5\\\"\", b\r\n"),
        "header_long": get("/n", b"Accept: " + b"text/html, " * 400 + b"\r\n"),
        "headers_many": get("/n", b"".join(b"X-H%d: %d\r\n" % (i, i) for i in range(120))),
        "names_odd": get("/n", b"X_under: 1\r\nX.dot: 2\r\n!#$%&'*+-^`|~: 3\r\n"),
        "secret_headers": get("/n", b"Authorization: Basic dTpw\r\nCookie: a=b; c=d\r\nX-Api-Key: 12\r\n"),
        "version_10": get("/n", version=b"1.0"), "version_12": get("/n", version=b"1.2"),
        "method_short": get("/n", method=b"X"), "method_lower": get("/n", method=b"get"),
        "method_odd": get("/n", method=b"a1!#$%&'*+-.^_`|~"), "method_long": get("/n", method=b"LONG" * 20),
        "method_search": get("/n", method=b"M-SEARCH"), "method_propfind": get("/n", method=b"PROPFIND"),
        "traceparent": get("/t", b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"),
        "traceparent_upper": get(
            "/t", b"Traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01\r\n"),
        "b3": get("/t", b"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90\r\n"),
        "b3_short": get("/t", b"b3: 64fe8b2a57d3eff7-e457b5a2e4d86bd1\r\n"),
        "b3_multi": get("/t", b"X-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7\r\n"
                        b"X-B3-SpanId: e457b5a2e4d86bd1\r\nX-B3-ParentSpanId: 05e3ac9a4f6e3b90\r\n"),
        "trace_both": get("/t", b"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1\r\n"
                          b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"),
    }


def request_bodies():
    return {
        "body_get": get("/b", b"Content-Length: 3\r\n", body=b"abc"),
        "body_empty": get("/b", b"Content-Length: 0\r\n", b"POST"),
        "body_none": get("/b", method=b"POST"),
        "body_delete": get("/b", b"Content-Length: 3\r\n", b"DELETE", body=b"abc"),
        "length_zeros": get("/b", b"Content-Length: 0003\r\n", b"POST", body=b"abc"),
        "length_list": get("/b", b"Content-Length: 3, 3\r\n", b"POST", body=b"abc"),
        "length_twice": get("/b", b"Content-Length: 3\r\nContent-Length: 3\r\n", b"POST", body=b"abc"),
        "length_spaces": get("/b", b"Content-Length:  3 \r\n", b"POST", body=b"abc"),
        "chunks": get("/b", CHUNKED, b"POST", body=b"3\r\nabc\r\n0\r\n\r\n"),
        "chunks_hex": get("/b", CHUNKED, b"POST", body=b"00A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n"),
        "chunks_extension": get("/b", CHUNKED, b"POST", body=b"3;a=b;c=\"d;e\"\r\nabc\r\n0;x\r\n\r\n"),
        "chunks_space": get("/b", CHUNKED, b"POST", body=b"3 ;a=b\r\nabc\r\n0\r\n\r\n"),
        "chunks_trailers": get("/b", CHUNKED + b"Trailer: X-Sum\r\n", b"POST",
                               body=b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Also: 2\r\n\r\n"),
        "chunks_none": get("/b", CHUNKED, b"POST", body=b"0\r\n\r\n"),
        "chunks_upper": get("/b", b"TRANSFER-ENCODING: CHUNKED\r\n", b"POST", body=b"3\r\nabc\r\n0\r\n\r\n"),
        "chunks_coded": get("/b", b"Transfer-Encoding: gzip, chunked\r\n", b"POST",
                            body=b"3\r\nabc\r\n0\r\n\r\n"),
        "chunks_and_length": get("/b", CHUNKED + b"Content-Length: 99\r\n", b"POST",
                                 body=b"3\r\nabc\r\n0\r\n\r\n"),
        "chunks_like_http": get("/b", CHUNKED, b"POST",
                                body=b"21\r\n\r\n\r\nGET /not/a/request HTTP/1.1\r\n\r\n0\r\n\r\n"),
        "body_like_http": get("/b", b"Content-Length: 42\r\n", b"POST",
                              body=b"GET /not/a/request HTTP/1.1\r\nHost: x.y\r\n\r\n"),
        "body_gzip": get("/b", b"Content-Encoding: gzip\r\nContent-Length: 23\r\n", b"POST",
                         body=bytes.fromhex("1f8b08000000000000034b4c4a060 0c241243503000000".replace(" ", ""))),
        "form": get("/b", b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n", b"POST",
                    body=b"user=alice&pin=1"),
        "json": get("/b", b"Content-Type: application/json\r\nContent-Length: 8\r\n", b"POST", body=b'{"a": 1}'),
        "xml": get("/b", b"Content-Type: text/xml\r\nContent-Length: 4\r\n", b"POST", body=b"<a/>"),
    }


def responses():
    """Name: (request, response)."""
    head = get("/r", method=b"HEAD")
    return {
        "reason_none": (get("/r"), b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
        "reason_blank": (get("/r"), b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
        "reason_utf8": (get("/r"), "HTTP/1.1 200 Alles schön\r\nContent-Length: 2\r\n\r\nok".encode()),
        "status_299": (get("/r"), ok(status=b"299 Odd")), "status_999": (get("/r"), ok(status=b"999 Odd")),
        "status_500": (get("/r"), ok(status=b"500 Oh")), "status_404": (get("/r"), ok(status=b"404 No")),
        "answer_10": (get("/r"), ok(version=b"1.0")), "answer_lf": (get("/r"), b"HTTP/1.1 200 OK\nContent-Length"
                                                                   b": 2\n\nok"),
        "status_205": (get("/r"), b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"),
        "status_206": (get("/r", b"Range: bytes=0-1\r\n"),
                       b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nab"),
        "status_204": (get("/r"), b"HTTP/1.1 204 None\r\n\r\n"),
        "status_204_length": (get("/r"), b"HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n"),
        "status_304": (get("/r", b"If-None-Match: \"a\"\r\n"), b"HTTP/1.1 304 Same\r\nETag: \"a\"\r\n\r\n"),
        "status_304_length": (get("/r"), b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n"),
        "status_304_chunked": (get("/r"), b"HTTP/1.1 304 Same\r\n" + CHUNKED + b"\r\n"),
        "head_length": (head, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        "head_chunked": (head, b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n"),
        "head_none": (head, b"HTTP/1.1 200 OK\r\n\r\n"),
        "chunked_answer": (get("/r"), b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        "chunked_trailer": (get("/r"), b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2;x=y\r\nab\r\n0\r\nX-T: 1\r\n"
                            b"\r\n"),
        "chunked_lf": (get("/r"), b"HTTP/1.1 200 OK\n" + b"Transfer-Encoding: chunked\n\n2\nab\n0\n\n"),
        "interim": (get("/r"), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hint"
                    b"s\r\nLink: </a>\r\n\r\n" + ok()),
        "type_params": (get("/r"), ok(extra=b"Content-Type: text/html; charset=\"utf-8\"\r\n")),
        "type_upper": (get("/r"), ok(extra=b"CONTENT-TYPE: Text/HTML\r\n")),
        "type_long": (get("/r"), ok(extra=b"Content-Type: multipart/mixed; boundary=\"" + b"-" * 200 + b"\"\r\n")),
        "type_twice": (get("/r"), ok(extra=b"Content-Type: text/a\r\nContent-Type: text/b\r\n")),
        "cookies": (get("/r"), ok(extra=b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n")),
        "gzip_answer": (get("/r"), ok(bytes.fromhex("1f8b08000000000000034b4c4a0600c241243503000000"),
                                      b"Content-Encoding: gzip\r\n")),
        "multipart": (get("/r"), ok(b"--b\r\n\r\nHTTP/1.1 500 x\r\n\r\n--b--\r\n",
                                    b"Content-Type: multipart/mixed; boundary=b\r\n")),
        "json_answer": (get("/r"), ok(b'{"a":[1,2]}', b"Content-Type: application/json\r\n")),
        "html_answer": (get("/r"), ok(b"<html></html>", b"Content-Type: text/html\r\n")),
        "png_answer": (get("/r"), ok(b"\x89PNG\r\n\x1a\n" + bytes(20), b"Content-Type: image/png\r\n")),
        "large_number": (get("/r"), ok(b"", b"Content-Type: text/x\r\n")),
    }


def switches():
    """Tunnels and upgrades, taken and refused."""
    upgrade = get("/ws", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    h2c = get("/", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
    connect = b"CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n"
    frame = b"\x81\x02hi"
    return {
        "websocket": [Client(get("/before")), Server(ok()), Client(upgrade),
                      Server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
                      Client(b"\x81\x82\0\0\0\0hi"), Server(frame)],
        "websocket_at_once": [Client(upgrade),
                              Server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                                     b"Upgrade\r\n\r\n" + frame), Client(b"\x81\x82\0\0\0\0hi")],
        "upgrade_refused": [Client(upgrade), Server(ok()), Client(get("/after")), Server(ok())],
        "upgrade_required": [Client(get("/u")), Server(ok(status=b"426 Upgrade", extra=b"Upgrade: h2c\r\n")),
                             Client(get("/after")), Server(ok())],
        "h2c_ignored": [Client(h2c), Server(ok()), Client(get("/after")), Server(ok())],
        "connect": [Client(connect), Server(b"HTTP/1.1 200 Connected\r\n\r\n"), Client(b"\x16\x03\x01\0\x02hi"),
                    Server(b"\x16\x03\x01\0\x02ho"), End("client", "close"), End("server", "close")],
        "connect_http": [Client(connect), Server(b"HTTP/1.1 200 Connected\r\n\r\n"), Client(get("/inside")),
                         Server(ok())],
        "connect_refused": [Client(connect), Server(ok(status=b"403 No")), Client(get("/after")), Server(ok())],
    }


def orders():
    """What depends on who speaks or stops when."""
    many = b"".join(get(f"/p/{i}") for i in range(20))
    answers = b"".join(ok(b"%d" % i) for i in range(20))
    one, two = get("/o/1"), get("/o/2")
    expect = get("/o", b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"POST")
    big = b"x" * 70000
    return {
        "bytewise": [Client(get("/o", b"User-Agent: odd/1\r\n"), 1), Server(ok(), 1)],
        "chunks_bytewise": [Client(get("/o", CHUNKED, b"POST", body=b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"), 1),
                            Server(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2\r\nab\r\n0\r\n\r\n", 1)],
        "pipelined_20": [Client(many), Server(answers)],
        "pipelined_cut": [Client(many, 37), Server(answers, 23)],
        "pipelined_one_by_one": [Client(many)] + [Server(ok(b"%d" % i)) for i in range(20)],
        "pipelined_head": [Client(one + get("/o/h", method=b"HEAD") + two),
                           Server(ok() + b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + ok(b"two"))],
        "pipelined_304": [Client(one + get("/o/h") + two),
                          Server(ok() + b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n" + ok(b"two"))],
        "pipelined_overlap": [Client(one + two[:10]), Server(ok()), Client(two[10:]), Server(ok(b"two"))],
        "pipelined_chunks": [Client(get("/o/c", CHUNKED, b"POST", body=b"3\r\nabc\r\n0\r\n\r\n") * 3),
                             Server((b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n2\r\nab\r\n0\r\n\r\n") * 3)],
        "continue": [Client(expect), Server(b"HTTP/1.1 100 Continue\r\n\r\n"), Client(b"abc"), Server(ok())],
        "continue_skipped": [Client(expect + b"abc"), Server(ok())],
        "continue_refused": [Client(expect), Server(ok(status=b"417 No", extra=b"Connection: close\r\n")), *CLOSES],
        "early_answer": [Client(get("/o", b"Content-Length: 6\r\n", b"POST", body=b"abc")), Server(ok()),
                         Client(b"def"), Client(two), Server(ok())],
        "early_close": [Client(get("/o", b"Content-Length: 6\r\n", b"POST", body=b"abc")),
                        Server(ok(status=b"413 Large", extra=b"Connection: close\r\n")), *CLOSES],
        "half_close": [Client(one), End("client", "fin"), Server(ok())],
        "half_close_pipelined": [Client(one + two), End("client", "fin"), Server(ok() + ok())],
        "until_close": [Client(one), Server(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 500), Server(b"z" * 10), *CLOSES],
        "until_close_empty": [Client(one), Server(b"HTTP/1.0 200 OK\r\n\r\n"), *CLOSES],
        "until_close_reset": [Client(one), Server(b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * 500), End("server", "reset")],
        "identity": [Client(one), Server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc"), *CLOSES],
        "keep_alive_10": [Client(get("/o", b"Connection: keep-alive\r\n", version=b"1.0")),
                          Server(ok(extra=b"Connection: keep-alive\r\n", version=b"1.0")),
                          Client(get("/o/2", version=b"1.0")), Server(ok(version=b"1.0")), *CLOSES],
        "no_answer": [Client(one), End("server", "close"), End("client", "close")],
        "no_answer_second": [Client(one), Server(ok()), Client(two), *CLOSES],
        "no_answer_half": [Client(one), Server(b"HTTP/1.1 200 OK\r\nContent-Le"), *CLOSES],
        "no_answer_body_cut": [Client(one), Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), *CLOSES],
        "no_answer_chunk_cut": [Client(one), Server(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n9\r\nabc"), *CLOSES],
        "gave_up": [Client(one), End("client", "close"), End("server", "close")],
        "gave_up_reset": [Client(one), End("client", "reset"), End("server", "close")],
        "gave_up_body": [Client(one), Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
                         End("client", "close"), End("server", "close")],
        "gave_up_answered_late": [Client(one), End("client", "close"), Server(ok()), End("server", "close")],
        "server_reset": [Client(one), End("server", "reset"), End("client", "close")],
        "server_reset_second": [Client(one), Server(ok()), Client(two), End("server", "reset"),
                                End("client", "close")],
        "request_cut": [Client(one[:20]), End("client", "close"), End("server", "close")],
        "request_cut_second": [Client(one), Server(ok()), Client(two[:20]), End("client", "close"),
                               End("server", "close")],
        "request_body_cut": [Client(get("/o", b"Content-Length: 9\r\n", b"POST", body=b"abc")),
                             End("client", "close"), End("server", "close")],
        "answered_408": [Client(one), Server(ok()), Server(ok(status=b"408 Slow", extra=b"Connection: close\r\n")),
                         *CLOSES],
        "silent": [End("client", "close"), End("server", "close")],
        "silent_server": [End("server", "close"), End("client", "close")],
        "bodies_70000": [Client(get("/o", b"Content-Length: 70000\r\n", b"POST", body=big)), Server(ok(big)),
                         Client(two), Server(ok())],
        "bodies_cut": [Client(get("/o", b"Content-Length: 70000\r\n", b"POST", body=big), 1448),
                       Server(ok(big), 1448)],
        "body_behind": [Client(get("/o", b"Content-Length: 3\r\n", b"POST")), Client(b"abc"), Server(ok(b"")),
                        Client(two), Server(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), Server(b"abc")],
        "crlf_between": [Client(one + b"\r\n"), Server(ok()), Client(two), Server(ok())],
        "crlf_behind_post": [Client(get("/o", b"Content-Length: 3\r\n", b"POST", body=b"abc\r\n")), Server(ok()),
                             Client(two), Server(ok())],
        "unread": [Client(one), Server(ok()), Unread(two), End("server", "close"), End("client", "close")],
        "many": [step for i in range(30) for step in simple(get(f"/m/{i}"), ok(b"%d" % i))],
    }


def conversations():
    found = {name: simple(data) for name, data in {**request_heads(), **request_bodies()}.items()}
    found.update({name: simple(*pair) for name, pair in responses().items()})
    found.update({f"method_{m}": simple(get("/m", method=m.encode())) for m in METHODS})
    found.update(switches())
    found.update(orders())
    return found


def send(sender, receiver, data, pieces):
    """All of data, and all of it read at the other end before this returns."""
    step = pieces or max(len(data), 1)
    for at in range(0, len(data), step):
        sender.sendall(data[at:at + step])
        got = 0
        while got < len(data[at:at + step]):
            got += len(receiver.recv(min(65536, len(data[at:at + step]) - got)))


def end(sock, how):
    if how == "fin":
        sock.shutdown(socket.SHUT_WR)
        return
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def play(listener, address, steps):
    """One conversation. Returns the client's port."""
    client = socket.create_connection(address)
    server, _ = listener.accept()
    port = client.getsockname()[1]
    for s in (client, server):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.settimeout(10)
    ends = {"client": client, "server": server}
    for step in steps:
        if isinstance(step, End):
            end(ends[step.who], step.how)
            continue
        sender, receiver = (server, client) if isinstance(step, Server) else (client, server)
        try:
            if receiver.fileno() < 0 or isinstance(step, Unread):
                sender.sendall(step.data)
            else:
                send(sender, receiver, step.data, step.pieces)
        except OSError:
            break  # the other end is gone: part of the conversation
    client.close()
    server.close()
    return port


class Conversations:
    """All conversations, each on a connection of its own, over the listener's address."""

    def __init__(self, area, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address = (address, area.port())
        self.listener = socket.create_server(self.address, family=family)
        self.port = self.address[1]
        self.name = "conversation"
        self.names = {}

    def run(self):
        for name, steps in conversations().items():
            self.names[play(self.listener, self.address, steps)] = name


class PreparedLoad:
    """A load and the echo server that it will talk to."""

    def __init__(self, area, name, count, client, server, address):
        self.area, self.name, self.count, self.client, self.address = area, name, count, client, address
        self.echo = Echo(area, *server, listen=V4 if address == V4 else "[::]")
        self.port = self.echo.port

    def run(self, between=None):
        """between: called when the connections are open and used, before the measured exchanges. Returns
        what went wrong, "" when nothing did."""
        start = self.area.file(f"start-{self.name}")
        address = self.address if self.address == V4 else f"[{self.address}]"
        load = Load(self.area, f"{address}:{self.port}", self.count, "--wait-start", start, *self.client,
                    name=self.name)
        wait_until(lambda: "warm" in load.process.log(), 10)
        if between:
            between()
        open(start, "w").close()
        status, numbers = load.finish()
        seen = self.echo.stop()
        return "" if status == 0 else f"{self.name}: {numbers} {seen}"


NGINX_CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; user root;
events {{ worker_connections 256; }}
http {{
 client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi;
 uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; sendfile on; access_log off;
 types {{ text/html html; text/plain txt; }} client_max_body_size 1m; gzip on; gzip_min_length 1;
 server {{
  listen {port}; listen [::]:{port} ipv6only=on; root {dir}/www;
  location /list/ {{ autoindex on; }}
  location /empty {{ return 204; }}
  location /moved {{ return 301 /index.html; }}
  location /made {{ return 201 "made\\n"; }}
  # The whole body is read before the answer, so that neither can come first.
  location /post {{ proxy_pass http://127.0.0.1:{port}/made; proxy_pass_request_body off;
                    proxy_set_header Content-Length ""; }}
  location /broken {{ return 503; }}
  location /dropped {{ return 444; }}
  location /behind/ {{ proxy_pass http://127.0.0.1:{behind}; }}
  location /behind11/ {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://127.0.0.1:{behind}; }}
 }}
}}
"""


def start_nginx(area, behind):
    """nginx with files and a proxy to `behind`. Returns its port, None when it is not installed."""
    program = shutil.which("nginx", path=PATH)
    if not program:
        return None
    port = area.port()
    os.makedirs(area.file("www/list"), exist_ok=True)
    for name, text in (("index.html", "<p>still water</p>\n" * 40), ("large.txt", "deep water\n" * 40000),
                       ("list/a.txt", "a"), ("empty.txt", "")):
        with open(area.file(f"www/{name}"), "w") as f:
            f.write(text)
    with open(area.file("nginx.conf"), "w") as f:
        f.write(NGINX_CONF.format(dir=area.path, port=port, behind=behind))
    start_server(area, [program, "-p", area.path, "-c", area.file("nginx.conf"), "-e",
                        area.file("nginx-error.log")], port)
    return port


def run_curl(port):
    base = f"http://127.0.0.1:{port}"
    small, big = "x=1&y=2", "@/dev/stdin"
    calls = [
        ["/", "/index.html", "/large.txt", "/none", "/moved", "/empty", "/list/", "/broken"],  # one connection
        ["-I", "/", "/large.txt", "/none"], ["-0", "/", "/list/"], ["-L", "/moved"],
        ["--compressed", "/", "/large.txt"], ["-r", "0-9", "/large.txt"], ["-r", "0-3,8-9", "/large.txt"],
        ["-r", "999999999-", "/large.txt"], ["-z", "2100-01-01", "/index.html"],
        ["-d", small, "/post", "/none"], ["-T", "-", "/post"], ["-F", "a=b", "/post"],
        ["-d", big, "-H", "Expect: 100-continue", "/post"], ["-X", "DELETE", "/post"], ["-X", "OPTIONS", "/"],
        ["-H", "Transfer-Encoding: chunked", "-d", small, "/post"], ["--http2", "/"],
        ["-H", "Connection: close", "/"], ["--path-as-is", "/a/../b//c"], ["-G", "-d", "page=2", "-d", "q=s", "/"],
        ["/dropped"], ["-A", "", "/"], ["-e", base, "/"], ["-u", "user:secret", "/"], ["-b", "a=b", "/"],
        ["-H", "Host: a.test:81", "/"], ["-x", base, "http://absolute.test/index.html?page=1"],
        ["-p", "-x", base, "http://tunnel.test/"], ["/behind/a", "/behind/b?page=1"], ["/behind11/a", "/behind11/b"],
    ]
    for call in calls:
        argv = [base + x if x[:1] == "/" else x for x in call]
        outs = [y for x in argv if x.startswith("http://") and x != base for y in ("-o", "/dev/null")]
        subprocess.run(["curl", "-q", "-s", "--noproxy", "" if "-x" in call else "*", "--max-time", "10", *argv,
                        *outs], input=b"z" * 150000, timeout=20, check=False)


def run_python_client(port):
    """Python's own client, over IPv6 and with connections that are used again."""
    import http.client
    c = http.client.HTTPConnection("::1", port, timeout=10)
    for method, path, body, headers in [
            ("GET", "/index.html", None, {}), ("HEAD", "/large.txt", None, {}), ("GET", "/large.txt", None, {}),
            ("POST", "/post", b"abc", {}), ("POST", "/post", iter([b"ab", b"c" * 5000]), {}),
            ("PUT", "/none", b"", {"Content-Type": "text/x"}), ("GET", "/empty", None, {}),
            ("GET", "/list/", None, {"User-Agent": "python/\xe9"}), ("GET", "/?q=%20&page=3", None, {})]:
        c.request(method, path, body, headers, encode_chunked=hasattr(body, "__next__"))
        c.getresponse().read()
    c.close()

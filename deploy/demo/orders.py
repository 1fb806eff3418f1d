#!/usr/bin/env python3
"""The demo's orders service: JSON over HTTP/1.1, sometimes slow, sometimes failing. What it knows is
in shop.py.

usage: orders.py PORT
"""
import ctypes
import json
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import shop


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "orders/1"

    def reply(self, status, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self, parts):
        """A chunked answer whose parts come one after the other."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(parts):
            part = f"line {number}\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/api/reports/"):
            self.reply(200, {"report": path.rsplit("/", 1)[1], "best": shop.report()})
        elif path.startswith("/api/cart/"):
            number = int(path.rsplit("/", 1)[1])
            self.reply(200, {"visitor": shop.visitor(number % 50), "lines": shop.cart(number)})
        elif path == "/api/feed":
            self.stream(5)
        elif path.startswith("/api/orders/"):
            number = path.rsplit("/", 1)[1]
            if number.endswith("7"):
                self.reply(404, {"error": f"no order '{number}'"})
            else:
                time.sleep(random.uniform(0.001, 0.015))
                self.reply(200, {"order": number, "state": "sent"})
        else:
            self.reply(200, {"orders": list(range(10))})

    do_HEAD = do_GET

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        if self.path.startswith("/api/payments"):
            time.sleep(random.uniform(0.03, 0.08))
            try:
                shop.pay(random.randrange(1, shop.CARTS + 1), "4000000000000002")
            except shop.Failed as problem:
                self.reply(500, {"error": str(problem)})
                return
        else:
            shop.order(random.randrange(1, shop.PRODUCTS + 1))
        self.reply(201, {"accepted": length})

    def do_DELETE(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that went away is no news


def main():
    ctypes.CDLL(None).prctl(15, b"orders", 0, 0, 0)  # PR_SET_NAME: the name people see
    shop.prepare()
    Server(("127.0.0.1", int(sys.argv[1])), Orders).serve_forever()


if __name__ == "__main__":
    main()

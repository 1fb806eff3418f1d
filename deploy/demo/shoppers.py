#!/usr/bin/env python3
"""The demo's shoppers: a few keep-alive connections that ask at a bounded rate until they are stopped.

usage: shoppers.py PORT [REQUESTS_PER_SECOND]
"""
import ctypes
import http.client
import random
import sys
import threading
import time

SHOPPERS = 4
WEIGHTED = [  # weight, method, path with {n} for a number, body
    (20, "GET", "/", None),
    (12, "GET", "/products/{n}.html", None),
    (14, "GET", "/api/orders/{n}", None),
    (12, "GET", "/api/cart/{n}", None),
    (8, "GET", "/api/orders?page=2&token=s3cr3t", None),
    (8, "POST", "/api/orders", b'{"product":7,"amount":2}'),
    (8, "POST", "/api/payments", b'{"card":"4000000000000002"}'),
    (4, "DELETE", "/api/orders/{n}", None),
    (3, "HEAD", "/api/orders/{n}", None),
    (5, "GET", "/api/reports/{n}", None),
    (3, "GET", "/api/feed", None),
    (2, "GET", "/export/catalogue.csv", None),
    (3, "GET", "/legacy/stock", None),
    (2, "GET", "/account", None),
    (2, "GET", "/old-shop", None),
]


def ask(connection):
    _, method, path, body = random.choices(WEIGHTED, [w[0] for w in WEIGHTED])[0]
    connection.request(method, path.format(n=random.randrange(1, 400)), body,
                       {"User-Agent": "shopper/1", "Authorization": "Bearer s3cr3t"})
    connection.getresponse().read()


def shop(port, pause):
    """One shopper: a new connection now and then, and after each failure."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            for _ in range(random.randrange(5, 60)):
                ask(connection)
                time.sleep(random.uniform(0.5, 1.5) * pause)
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
        finally:
            connection.close()


def main():
    port = int(sys.argv[1])
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 40.0
    ctypes.CDLL(None).prctl(15, b"shopper", 0, 0, 0)  # PR_SET_NAME: the name people see
    for _ in range(SHOPPERS):
        threading.Thread(target=shop, args=(port, SHOPPERS / rate), daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()

"""An HTTP server that logs each answer as a line of CSV: server PORT LOG."""
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG = open(sys.argv[2], "w", buffering=1 << 16)
LOG.write("seq,method,path,status,request_body_bytes,response_body_bytes,client_addr,client_port\n")
LOCK = threading.Lock()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def answer(self):
        received = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        seq = int(self.headers["X-Seq"])
        body = b"" if self.command == "HEAD" else b"python " * (seq % 500)
        status = 500 if seq % 97 == 0 else 404 if seq % 41 == 0 else 200
        self.send_response(status)
        self.send_header("X-Seq", str(seq))
        self.send_header("Content-Type", f"application/x-seq.{seq}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with LOCK:
            LOG.write(f"{seq},{self.command},{self.path},{status},{received},{len(body)},"
                      f"{self.client_address[0]},{self.client_address[1]}\n")

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def stop(*_):
    with LOCK:
        LOG.flush()
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
Server(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()

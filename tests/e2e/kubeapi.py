"""The smallest API server that an agent can watch: the pods of a node, as JSON, to list and to watch, over TLS
and for a token."""
import http.server
import json
import os
import ssl
import subprocess
import threading
import urllib.parse


class KubeApi:
    """put() and gone() change what it has; stop() and start() take it away and bring it back. Its authority and
    the token are files of the folder, the token one that root alone may read."""

    def __init__(self, port, folder):
        self.port, self.version = port, 100
        self.ca, self.token = os.path.join(folder, "api.crt"), os.path.join(folder, "token")
        self.key, self.refused = os.path.join(folder, "api.key"), 0
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.key, "-out", self.ca, "-days", "2", "-subj", "/CN=api",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        self.secret = ""
        self.new_token("first")
        self.pods, self.log = {}, []  # by uid; (version, type, object)
        self.change = threading.Condition()
        self.asked, self.up = [], False
        self.start()

    def new_token(self, secret):
        """As a kubelet does it: another file in its place."""
        self.secret = secret
        with open(os.open(self.token + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(secret + "\n")
        os.rename(self.token + ".new", self.token)

    def start(self):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                api.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.up = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        with self.change:
            self.up = False
            self.change.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def put(self, pod):
        self._record("MODIFIED" if pod["metadata"]["uid"] in self.pods else "ADDED", pod)

    def gone(self, pod):
        self._record("DELETED", pod)

    def _record(self, kind, pod):
        with self.change:
            self.version += 1
            pod = json.loads(json.dumps(pod))
            pod["metadata"]["resourceVersion"] = str(self.version)
            if kind == "DELETED":
                self.pods.pop(pod["metadata"]["uid"], None)
            else:
                self.pods[pod["metadata"]["uid"]] = pod
            self.log.append((self.version, kind, pod))
            self.change.notify_all()

    def answer(self, request):
        url = urllib.parse.urlparse(request.path)
        args = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
        try:
            if request.headers.get("Authorization") != "Bearer " + self.secret:
                self.refused += 1
                self.reply(request, 401, self.status(401, "Unauthorized"))
                return
            self.asked.append((url.path, args))
            if url.path != "/api/v1/pods":
                self.reply(request, 404, self.status(404, "NotFound"))
            elif "sendInitialEvents" in args:  # an older server
                self.reply(request, 422, self.status(422, "Invalid"))
            elif args.get("watch") in ("1", "true"):
                self.watch(request, int(args.get("resourceVersion") or 0))
            else:
                with self.change:
                    body = {"kind": "PodList", "apiVersion": "v1",
                            "metadata": {"resourceVersion": str(self.version)},
                            "items": list(self.pods.values())}
                self.reply(request, 200, body)
        except OSError:
            pass

    @staticmethod
    def status(code, reason):
        return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                "message": "resourceVersionMatch is forbidden for watch"}

    @staticmethod
    def reply(request, status, body):
        data = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def watch(self, request, since):
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while True:
            with self.change:
                self.change.wait_for(lambda: not self.up or self.log and self.log[-1][0] > since, 60)
                if not self.up:
                    request.close_connection = True
                    return
                new = [entry for entry in self.log if entry[0] > since]
            for version, kind, pod in new:
                line = json.dumps({"type": kind, "object": {"kind": "Pod", "apiVersion": "v1", **pod}}).encode() + b"\n"
                request.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                request.wfile.flush()
                since = version

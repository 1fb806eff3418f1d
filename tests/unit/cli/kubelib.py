"""A cluster as kubectl sees it, just enough of one: an API server that knows one service, Kelpie's, and
proxies to a collector's Unix socket; and a kubectl that is none, for what a real one is not made to say.
"""
import http.client
import http.server
import json
import os
import socket
import socketserver
import threading
import urllib.parse

SERVICE = "/api/v1/namespaces/kelpie/services/https:kelpie-collector:https/proxy"
LISTED = {"kind": "ServiceList", "apiVersion": "v1", "metadata": {}, "items": [
    {"metadata": {"name": "kelpie-collector", "namespace": "kelpie"}, "spec": {"ports": []}}]}
KNOWN = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "services", "singularName": "service", "namespaced": True, "kind": "Service",
         "shortNames": ["svc"], "verbs": ["get", "list"]}]},
    "/api/v1/services": LISTED,
    "/api/v1/namespaces/kelpie/services": LISTED,
    "/api/v1/namespaces/empty/services": dict(LISTED, items=[]),
}


class Collector(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("collector")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def status(code, reason, message):
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
            "message": message, "metadata": {}}


def refused(code, error):
    """An error of the collector as it answers one to the service proxy."""
    reason = {400: "BadRequest", 403: "Forbidden", 429: "TooManyRequests"}.get(code, "InternalError")
    place = f" (at byte {error['position']})" if error.get("position", -1) >= 0 else ""
    return status(code, reason, "kelpie: " + "; ".join(filter(None, (error["message"], error["hint"]))) + place)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, data):
        data = json.dumps(data).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def pass_on(self, body):
        collector = Collector(self.server.socket_path)
        collector.request(self.command, self.path[len(SERVICE):], body, {"Host": "localhost"})
        answer = collector.getresponse()
        if answer.status >= 400:
            data = json.loads(answer.read())
            return self.answer(answer.status, data if "kind" in data else refused(answer.status, data["error"]))
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            piece = answer.read1(65536)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            if not piece:
                return None

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while (n := int(self.rfile.readline(), 16)):
                body += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
        path = urllib.parse.urlsplit(self.path).path
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if path in self.server.failing:
            return self.answer(*self.server.failing[path])
        if path.startswith(SERVICE):
            return self.pass_on(body)
        if path in KNOWN:
            return self.answer(200, KNOWN[path])
        return self.answer(404, status(404, "NotFound", "the server could not find the requested resource"))

    do_GET = do_POST = serve


class ApiServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, socket_path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket_path, self.seen, self.failing = socket_path, [], {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


def kubeconfig(folder, url, namespace="shop"):
    path = os.path.join(folder, "kubeconfig")
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "prod",
                   "clusters": [{"name": "c", "cluster": {"server": url}}],
                   "users": [{"name": "u", "user": {}}],
                   "contexts": [{"name": "prod", "context": context}]}, f)
    return path


FAKE = r'''#!/usr/bin/env python3
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
words = sys.argv[1:]
with open(os.path.join(here, "calls"), "a") as f:
    f.write(json.dumps(words) + "\n")
plain = [w for w in words if not w.startswith("--") or w == "--raw"]
with open(os.path.join(here, "answers.json")) as f:
    answer = json.load(f).get(" ".join(plain[:2]))
if not answer:
    sys.exit("error: nothing to say to " + " ".join(plain))
if plain[:2] == ["create", "--raw"]:
    answer = dict(answer, out=answer.get("out", "").replace("BODY", str(len(sys.stdin.read()))))
sys.stdout.write(answer.get("out", ""))
sys.stdout.flush()
sys.stderr.write(answer.get("err", ""))
time.sleep(answer.get("sleep", 0))
sys.exit(answer.get("status", 1 if answer.get("err") else 0))
'''


class FakeKubectl:
    """Says what it is told to, by its first two words that are no flags, and keeps what it was called with."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "bin")
        os.makedirs(self.folder, exist_ok=True)
        program = os.path.join(self.folder, "kubectl")
        with open(program, "w", encoding="utf-8") as f:
            f.write(FAKE)
        os.chmod(program, 0o755)
        self.path = self.folder + os.pathsep + os.environ["PATH"]

    def says(self, **more):
        answers = {"config view": {"out": "prod\nshop"}, "get services": {"out": "kelpie kelpie-collector\n"},
                   "get --raw": {"out": "{}"}, "create --raw": {"out": ""}}
        answers.update({key.replace("__", " --").replace("_", " "): value for key, value in more.items()})
        with open(os.path.join(self.folder, "answers.json"), "w", encoding="utf-8") as f:
            json.dump(answers, f)
        with open(os.path.join(self.folder, "calls"), "w", encoding="utf-8"):
            pass

    def calls(self):
        with open(os.path.join(self.folder, "calls"), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

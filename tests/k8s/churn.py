"""Objects of every kind that is watched are made, changed and deleted at random, through the API server. A node
that has no kubelet holds the pods."""
import http.client
import json
import random
import ssl

APIS = {"pods": "/api/v1", "services": "/api/v1", "nodes": "/api/v1", "namespaces": "/api/v1",
        "endpointslices": "/apis/discovery.k8s.io/v1", "jobs": "/apis/batch/v1"}
NAMESPACE = "churn"
NODE = "churn-node"


class Churn:
    def __init__(self, host, port, ca, token, seed):
        context = ssl.create_default_context(cafile=ca)
        self.http = http.client.HTTPSConnection(host, port, context=context, timeout=30)
        self.token = token
        self.random = random.Random(seed)
        self.prefix = f"s{seed}"
        self.names = {kind: [] for kind in APIS}
        self.n = 0

    def call(self, method, path, body=None, kind="application/json"):
        self.http.request(method, path, json.dumps(body) if body else None,
                          {"Content-Type": kind, "Authorization": f"Bearer {self.token}"})
        answer = self.http.getresponse()
        text = answer.read()
        assert answer.status < 300 or answer.status in (404, 409), f"{method} {path}: {answer.status} {text[:300]}"
        return answer.status

    def path(self, kind, name="", sub=""):
        space = "" if kind in ("nodes", "namespaces") else f"/namespaces/{NAMESPACE}"
        return f"{APIS[kind]}{space}/{kind}" + (f"/{name}" if name else "") + sub

    def body(self, kind, name):
        r = self.random
        o = {"metadata": {"name": name, "labels": {"app": r.choice("abc")},
                          "annotations": {"kelpie.io/capture": "o<n & \"\u00e9"}}}
        if kind == "pods":
            o["metadata"]["labels"]["pod-template-hash"] = "5d8f"
            o["spec"] = {"nodeName": NODE, "hostNetwork": r.random() < 0.3, "terminationGracePeriodSeconds": 0,
                         "containers": [{"name": f"c{i}", "image": f"i:{i}"} for i in range(r.randint(1, 3))],
                         "initContainers": [{"name": "init", "image": "x"},
                                            {"name": "side", "image": "y", "restartPolicy": "Always"}]}
        elif kind == "services":
            o["spec"] = {"type": r.choice(["ClusterIP", "NodePort"]), "externalIPs": ["192.0.2.7"],
                         "ports": [{"name": f"p{i}", "port": 80 + i} for i in range(r.randint(1, 3))]}
            if r.random() < 0.2:
                o["spec"] = {"clusterIP": "None", "ports": [{"port": 5432}]}
            elif r.random() < 0.1:
                o["spec"] = {"type": "ExternalName", "externalName": "db.example"}
        elif kind == "endpointslices":
            o["metadata"]["labels"]["kubernetes.io/service-name"] = "web"
            o |= {"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
                  "endpoints": [{"addresses": [f"10.9.{i}.{r.randint(1, 200)}"], "nodeName": NODE,
                                 "conditions": {"ready": r.random() < 0.7},
                                 "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": f"p{i}", "uid": "u"}}
                                for i in range(r.randint(0, 120))]}
        elif kind == "nodes":
            o["spec"] = {"podCIDR": f"10.{r.randint(100, 120)}.{r.randint(0, 255)}.0/24"}
        elif kind == "jobs":
            once = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
            o["spec"] = {"suspend": True, "template": {"spec": once}}
        return o

    def create(self, kind):
        self.n += 1
        name = f"{self.prefix}-{kind[:2]}{self.n}"
        if self.call("POST", self.path(kind), self.body(kind, name)) < 300:
            self.names[kind].append(name)

    def status(self, name):
        r = self.random
        running = {"running": {"startedAt": "2026-05-01T10:00:05Z"}}
        ended = {"terminated": {"exitCode": 0, "startedAt": "2026-05-01T10:00:05Z",
                                "finishedAt": "2026-05-01T10:00:09Z"}}
        ip = f"10.8.{r.randint(0, 3)}.{r.randint(1, 250)}"
        said = [{"name": "c0", "image": "i", "imageID": "i", "ready": True, "restartCount": r.randint(0, 9),
                 "containerID": f"containerd://{r.getrandbits(256):064x}", "state": r.choice([running, ended])}]
        self.call("PATCH", self.path("pods", name, "/status"),
                  {"status": {"phase": r.choice(["Running", "Succeeded"]), "podIP": ip, "hostIP": "10.0.0.9",
                              "podIPs": [{"ip": ip}], "startTime": "2026-05-01T10:00:01Z", "containerStatuses": said}},
                  "application/merge-patch+json")

    def step(self):
        r = self.random
        kind = r.choices(list(APIS), [6, 2, 1, 1, 2, 1])[0]
        names = self.names[kind]
        act = r.random()
        if not names or act < 0.4:
            self.create(kind)
        elif act < 0.7 and kind == "pods":
            self.status(r.choice(names))
        elif act < 0.8:
            self.call("PATCH", self.path(kind, r.choice(names)), {"metadata": {"labels": {"app": str(r.random())}}},
                      "application/merge-patch+json")
        else:
            name = names.pop(r.randrange(len(names)))
            self.call("DELETE", self.path(kind, name),
                      {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})

    def run(self, steps):
        self.call("POST", self.path("namespaces"), {"metadata": {"name": NAMESPACE}})
        self.call("POST", self.path("nodes"), {"metadata": {"name": NODE}})
        for _ in range(steps):
            self.step()

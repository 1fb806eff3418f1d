"""Starts the cluster as a whole, and asks it."""
import json
import os
import subprocess
import time

import control
import images
import node
from machine import STATE, Machine, Trouble, processes, tear_down, wait_until
from pki import Pki
from topology import API, CONTROL, DNS_SERVICE, DOMAIN, NODES

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD_S = 3500  # of tests/cluster/build where nothing is cached
READY_S = 120  # of one step, on a busy machine
CANNOT = 3
NEEDED = {"containerd": "containerd", "runc": "runc", "/usr/lib/cni/bridge": "containernetworking-plugins",
          images.BUSYBOX: "busybox-static", "nft": "nftables"}
READY = os.path.join(STATE, "ready")
BIN = os.environ.get("KELPIE_BIN", os.path.join(images.TOP, "build", "bin"))


class Cannot(Trouble):
    """There can be no cluster on this machine, and why."""


class Busy(Trouble):
    """One is up already."""


def programs():
    """The folder of Kubernetes' programs."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    for name, package in NEEDED.items():
        if not any(os.access(os.path.join(folder, name), os.X_OK) for folder in path.split(":")):
            raise Cannot(f"{package} is not installed; run: scripts/deps cluster")
    done = subprocess.run([os.path.join(HERE, "build")], stdout=subprocess.PIPE, text=True, timeout=BUILD_S)
    if done.returncode:
        raise Cannot(done.stdout.strip())
    return os.path.join(done.stdout.strip(), "bin")


class Cluster:
    """One that is up, or is being started."""

    def __init__(self):
        self.programs = programs()
        self.control = Machine(CONTROL)
        self.nodes = {name: Machine(name) for name in NODES}
        self.started = time.monotonic()

    # ---- asking ----

    def command(self, argv):
        """argv as it runs beside the API server, with kubectl, its plug-in, helm and the administrator's rights."""
        kubeconfig = os.path.join(STATE, "pki", "admin.kubeconfig")
        return ["nsenter", f"--target={self.control.pid}", "--net", "--", "env", f"KUBECONFIG={kubeconfig}",
                f"PATH={self.programs}:{BIN}:{os.environ['PATH']}", f"HELM_CACHE_HOME={STATE}/helm", *argv]

    def run(self, *argv, text=None, seconds=60):
        return subprocess.run(self.command(argv), input=text, capture_output=True, text=True, timeout=seconds)

    def kubectl(self, *args, text=None, seconds=60):
        """What it prints; Trouble with what it complained about."""
        done = self.run("kubectl", *args, text=text, seconds=seconds)
        if done.returncode:
            raise Trouble(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *args):
        return json.loads(self.kubectl("get", "-o", "json", *args))

    def apply(self, name, **words):
        """A file of manifests/, in which $WORD stands for a value."""
        with open(os.path.join(HERE, "manifests", name)) as f:
            text = f.read()
        for word, value in words.items():
            text = text.replace(f"${word}", str(value))
        return self.kubectl("apply", "-f", "-", text=text)

    def logs(self):
        return "".join(m.logs() for m in (self.control, *self.nodes.values()) if os.path.isdir(m.dir))

    def memory_mb(self):
        """Of everything that runs in it, by program: proportional sizes."""
        sizes = {}
        for pid in processes():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as f:
                    kib = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
                with open(f"/proc/{pid}/comm") as f:
                    name = f.read().strip()
            except (OSError, StopIteration):
                continue  # it ended
            sizes[name] = sizes.get(name, 0) + kib / 1024
        return {name: round(size) for name, size in sorted(sizes.items(), key=lambda item: -item[1])}

    # ---- starting ----

    def await_(self, what, ready):
        if not wait_until(ready, READY_S):
            raise Trouble(f"{what}: not after {READY_S} s\n{self.logs()}")
        print(f"{time.monotonic() - self.started:5.1f} s {what}", flush=True)

    def start_control(self, pki, pause):
        self.control.create(pause)
        control.issue(pki)
        control.start_api(self.control, self.programs, pki)
        node.issue(pki)
        self.await_("API server ready", lambda: self.run("kubectl", "get", "--raw", "/readyz").returncode == 0)
        control.start_controllers(self.control, self.programs, pki)
        self.kubectl("create", "-f", "-", text=json.dumps(node.objects()))

    def start_nodes(self, pki, pause, tars):
        for name, number in NODES.items():
            machine = self.nodes[name]
            machine.create(pause)
            node.join(machine, number, self.control)
            node.start_runtime(machine, number, tars)
            node.start(machine, number, self.programs, pki)
        self.await_(f"{len(NODES)} nodes ready", lambda: self.ready_nodes() == sorted(NODES))

    def ready_nodes(self):
        return sorted(n["metadata"]["name"] for n in self.get("nodes")["items"]
                      for c in n["status"].get("conditions", [])
                      if (c["type"], c["status"]) == ("Ready", "True"))

    def start(self):
        """What was left of another one goes first."""
        if os.path.exists(READY) and processes():
            raise Busy("a cluster is up already; stop it with tests/cluster/down")
        tear_down()
        os.makedirs(STATE, mode=0o755)
        pause = images.compile_pause(STATE)
        pki = Pki(os.path.join(STATE, "pki"), API)
        self.start_control(pki, pause)
        self.start_nodes(pki, pause, images.make(STATE, self.programs, pause))
        self.apply("coredns.yaml", DNS_SERVICE=DNS_SERVICE, DOMAIN=DOMAIN)
        self.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", f"--timeout={READY_S}s",
                     seconds=READY_S + 10)
        self.await_("DNS ready", lambda: True)
        with open(READY, "w"):
            pass

    def load_kelpie(self):
        """The image of BIN's programs, as localhost/kelpie:test."""
        tar = images.make_kelpie(STATE, BIN)
        for machine in self.nodes.values():
            machine.sh(f"ctr -n k8s.io images import {tar}")

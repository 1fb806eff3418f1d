"""A real API server with its etcd, as tests/cluster/build makes them, in the network namespace of the caller: no
node, no controller. An administrator's token; everybody else is a service account."""
import glob
import json
import os
import subprocess
import sys
import time

ADDRESS, PORT = "10.203.0.1", 26443  # of a bridge in the namespace: it advertises no loopback address
ETCD = "http://127.0.0.1:22379"
ISSUER = "https://issuer.test"
PROGRAMS = ("etcd", "kube-apiserver", "kubectl")
ADMIN = "token-of-the-administrator"


def find_programs():
    """None when `make test-cluster` has not built them."""
    for folder in sorted(glob.glob(os.path.expanduser("~/.cache/kelpie/cluster/*/bin")), reverse=True):
        if all(os.access(os.path.join(folder, p), os.X_OK) for p in PROGRAMS):
            return folder
    return None


class ApiServer:
    def __init__(self, programs, folder):
        self.programs, self.dir = programs, folder
        self.url = f"https://{ADDRESS}:{PORT}"
        self.ca = os.path.join(folder, "certs", "apiserver.crt")
        self.token_file = self.file("admin.token", ADMIN)
        self.users = self.file("users.csv", f"{ADMIN},admin,1,system:masters\n")
        self.key = self.file("tokens.key")
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True)
        for words in ("link set lo up", "link add br0 type bridge", f"addr add {ADDRESS}/24 dev br0",
                      "link set br0 up"):
            subprocess.run(["ip", *words.split()], check=True)
        self.children = [self.spawn("etcd", f"--data-dir={self.file('etcd')}", "--log-level=error",
                                    f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}",
                                    "--unsafe-no-fsync", "--listen-peer-urls=http://127.0.0.1:22380")]
        self.start()

    def file(self, name, text=None):
        path = os.path.join(self.dir, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return path

    def spawn(self, program, *args):
        with open(self.file(f"{program}.log"), "ab") as log:
            return subprocess.Popen([os.path.join(self.programs, program), *args], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)

    def start(self, *more):
        self.server = self.spawn(
            "kube-apiserver", f"--etcd-servers={ETCD}", f"--cert-dir={self.file('certs')}",
            f"--token-auth-file={self.users}", "--authorization-mode=RBAC", f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.key}", f"--service-account-signing-key-file={self.key}",
            "--service-cluster-ip-range=10.202.0.0/16", f"--bind-address={ADDRESS}", f"--secure-port={PORT}",
            "--disable-admission-plugins=ServiceAccount", *more)
        until = time.monotonic() + 90
        while self.kubectl("get", "--raw", "/readyz", check=False).returncode:
            if time.monotonic() > until or self.server.poll() is not None:
                with open(self.file("kube-apiserver.log"), encoding="utf-8", errors="replace") as f:
                    sys.exit("no API server:\n" + f.read()[-2000:])
            time.sleep(0.3)

    def stop(self):
        """At once: it would take a minute to say good-bye."""
        self.server.kill()
        self.server.wait()

    def close(self):
        self.stop()
        for child in self.children:
            child.kill()
            child.wait()

    def kubectl(self, *args, stdin="", check=True):
        argv = [os.path.join(self.programs, "kubectl"), "--kubeconfig=/dev/null", f"--server={self.url}",
                f"--certificate-authority={self.ca}", f"--token={ADMIN}", f"--cache-dir={self.file('cache')}", *args]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=check)

    def get(self, *args):
        return json.loads(self.kubectl("get", "-o", "json", *args).stdout)

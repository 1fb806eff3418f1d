"""The cluster's certificates, keys and kubeconfigs, made with openssl (P-256; one RSA key signs tokens)."""
import base64
import json
import os
import subprocess
import tempfile

DAYS = "2"


def openssl(*args, text=None):
    done = subprocess.run(["openssl", *args], input=text, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


class Pki:
    def __init__(self, directory, server):
        """server: the API's URL, for kubeconfigs."""
        self.dir, self.server = directory, server
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for authority in ("ca", "front-ca"):
            self._key(authority)
            openssl("req", "-x509", "-new", "-key", self.key(authority), "-subj", f"/CN={authority}", "-days", DAYS,
                    "-out", self.cert(authority))
        openssl("genrsa", "-out", self.key("tokens"), "2048")
        openssl("rsa", "-in", self.key("tokens"), "-pubout", "-out", self.cert("tokens"))

    def key(self, name):
        return os.path.join(self.dir, name + ".key")

    def cert(self, name):
        return os.path.join(self.dir, name + ".crt")

    def kubeconfig(self, name):
        return os.path.join(self.dir, name + ".kubeconfig")

    def _key(self, name):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key(name))

    def issue(self, name, user, group=None, hosts=(), authority="ca"):
        """hosts: as openssl has them, "DNS:…" or "IP:…"."""
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        extensions = "keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"
        if hosts:
            extensions += "subjectAltName=" + ",".join(hosts) + "\n"
        self._key(name)
        request = openssl("req", "-new", "-key", self.key(name), "-subj", subject)
        with tempfile.NamedTemporaryFile("w", suffix=".ext") as f:
            f.write(extensions)
            f.flush()
            openssl("x509", "-req", "-CA", self.cert(authority), "-CAkey", self.key(authority), "-CAcreateserial",
                    "-days", DAYS, "-extfile", f.name, "-out", self.cert(name), text=request)

    def issue_client(self, name, user, group=None):
        """A certificate, and the kubeconfig that uses it."""
        self.issue(name, user, group)

        def inline(path):
            with open(path, "rb") as f:
                return base64.b64encode(f.read()).decode()

        cluster = {"server": self.server, "certificate-authority-data": inline(self.cert("ca"))}
        credentials = {"client-certificate-data": inline(self.cert(name)), "client-key-data": inline(self.key(name))}
        with open(self.kubeconfig(name), "w") as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "kelpie-test",
                       "clusters": [{"name": "kelpie-test", "cluster": cluster}],
                       "users": [{"name": user, "user": credentials}],
                       "contexts": [{"name": "kelpie-test",
                                     "context": {"cluster": "kelpie-test", "user": user}}]}, f)

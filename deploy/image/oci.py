"""Writes an OCI image of one layer as one tar file (image-spec 1.0: image layout, manifest, configuration).

The same files give the same bytes, whoever writes them and when: names are sorted, everything is root's and
of the year 1970, and what compresses is told no time.
"""
import gzip
import hashlib
import io
import json
import os
import platform
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # by uname -m
MEDIA = "application/vnd.oci.image"


class Tree:
    """The files of a layer by their path in the image, without the leading slash."""

    def __init__(self):
        self.entries = {}

    def _add(self, path, kind, mode, data=b"", link=""):
        path = path.strip("/")
        if os.path.dirname(path):
            self.directory(os.path.dirname(path))
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
        self.entries[path] = (info, data)

    def directory(self, path, mode=0o755):
        if path.strip("/") not in self.entries:
            self._add(path, tarfile.DIRTYPE, mode)

    def file(self, path, data, mode=0o644):
        self._add(path, tarfile.REGTYPE, mode, data)

    def text(self, path, text):
        self.file(path, text.encode())

    def program(self, source, path):
        with open(source, "rb") as f:
            self.file(path, f.read(), 0o755)

    def link(self, path, target):
        self._add(path, tarfile.SYMTYPE, 0o777, link=target)

    def tar(self):
        return write_tar(self.entries[path] for path in sorted(self.entries))


def write_tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def write_image(path, reference, tree, config, level=9):
    """config: the object of that name of the image configuration (Entrypoint, User, …); level: of gzip. Returns
    the image's digest."""
    blobs = {}

    def put(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    def put_json(kind, value):
        return put(kind, json.dumps(value, sort_keys=True).encode())

    layer = tree.tar()
    described = put_json("config.v1+json", {
        "architecture": ARCHITECTURES[platform.machine()], "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}})
    packed = put("layer.v1.tar+gzip", gzip.compress(layer, level, mtime=0))
    manifest = put_json("manifest.v1+json", {
        "schemaVersion": 2, "mediaType": f"{MEDIA}.manifest.v1+json", "config": described, "layers": [packed]})
    # the first name is containerd's, the second the specification's
    manifest["annotations"] = {"io.containerd.image.name": reference,
                               "org.opencontainers.image.ref.name": reference.rpartition(":")[2]}
    files = Tree()
    files.text("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}))
    files.text("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    for name, data in blobs.items():
        files.file(name, data)
    with open(path + ".new", "wb") as f:
        f.write(files.tar())
    os.replace(path + ".new", path)
    return manifest["digest"]

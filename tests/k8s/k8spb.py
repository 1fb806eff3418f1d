"""Kubernetes' protobuf, written by hand from JSON objects: what the fake API server answers with, and the
bytes of tests/golden/k8s. Field numbers as in Kubernetes' .proto files; what is not listed is left out,
unless as an unknown field that a decoder must skip."""
import calendar
import json
import pathlib
import struct
import sys
import time

TIME = "time"
TYPES = {
    "ObjectMeta": {"name": (1, "s"), "generateName": (2, "s"), "namespace": (3, "s"), "uid": (5, "s"),
                   "resourceVersion": (6, "s"), "generation": (7, "i"), "creationTimestamp": (8, TIME),
                   "deletionTimestamp": (9, TIME), "labels": (11, "m"), "annotations": (12, "m"),
                   "ownerReferences": (13, "*Owner"), "managedFields": (17, "*Managed")},
    "Managed": {"manager": (1, "s"), "operation": (2, "s")},
    "Owner": {"kind": (1, "s"), "name": (3, "s"), "uid": (4, "s"), "apiVersion": (5, "s"),
              "controller": (6, "b")},
    "ListMeta": {"resourceVersion": (2, "s"), "continue": (3, "s"), "remainingItemCount": (4, "i")},
    "Cause": {"reason": (1, "s"), "message": (2, "s")},
    "Details": {"causes": (4, "*Cause"), "retryAfterSeconds": (5, "i")},
    "Status": {"metadata": (1, "ListMeta"), "status": (2, "s"), "message": (3, "s"), "reason": (4, "s"),
               "details": (5, "Details"), "code": (6, "i")},
    "Port": {"name": (1, "s"), "hostPort": (2, "i"), "containerPort": (3, "i"), "protocol": (4, "s")},
    "Container": {"name": (1, "s"), "image": (2, "s"), "ports": (6, "*Port"), "restartPolicy": (24, "s")},
    "PodSpec": {"containers": (2, "*Container"), "restartPolicy": (3, "s"), "nodeName": (10, "s"),
                "hostNetwork": (11, "b"), "initContainers": (20, "*Container"),
                "ephemeralContainers": (34, "*Ephemeral")},
    "Running": {"startedAt": (1, TIME)},
    "Terminated": {"exitCode": (1, "i"), "reason": (3, "s"), "startedAt": (5, TIME), "finishedAt": (6, TIME)},
    "State": {"running": (2, "Running"), "terminated": (3, "Terminated")},
    "ContainerStatus": {"name": (1, "s"), "state": (2, "State"), "lastState": (3, "State"), "ready": (4, "b"),
                        "restartCount": (5, "i"), "image": (6, "s"), "containerID": (8, "s")},
    "IP": {"ip": (1, "s"), "hostname": (2, "s")},
    "PodStatus": {"phase": (1, "s"), "hostIP": (5, "s"), "podIP": (6, "s"), "startTime": (7, TIME),
                  "containerStatuses": (8, "*ContainerStatus"),
                  "initContainerStatuses": (10, "*ContainerStatus"), "podIPs": (12, "*IP"),
                  "ephemeralContainerStatuses": (13, "*ContainerStatus")},
    "Pod": {"metadata": (1, "ObjectMeta"), "spec": (2, "PodSpec"), "status": (3, "PodStatus")},
    "ServicePort": {"name": (1, "s"), "protocol": (2, "s"), "port": (3, "i"), "nodePort": (5, "i")},
    "ServiceSpec": {"ports": (1, "*ServicePort"), "selector": (2, "m"), "clusterIP": (3, "s"), "type": (4, "s"),
                    "externalIPs": (5, "*s"), "externalName": (10, "s"), "clusterIPs": (18, "*s")},
    "Balancer": {"ingress": (1, "*IP")},
    "ServiceStatus": {"loadBalancer": (1, "Balancer")},
    "Service": {"metadata": (1, "ObjectMeta"), "spec": (2, "ServiceSpec"), "status": (3, "ServiceStatus")},
    "Conditions": {"ready": (1, "b"), "serving": (2, "b"), "terminating": (3, "b")},
    "Ref": {"kind": (1, "s"), "namespace": (2, "s"), "name": (3, "s"), "uid": (4, "s")},
    "Endpoint": {"addresses": (1, "*s"), "conditions": (2, "Conditions"), "targetRef": (4, "Ref"),
                 "nodeName": (6, "s"), "zone": (7, "s")},
    "SlicePort": {"name": (1, "s"), "protocol": (2, "s"), "port": (3, "i")},
    "EndpointSlice": {"metadata": (1, "ObjectMeta"), "endpoints": (2, "*Endpoint"), "ports": (3, "*SlicePort"),
                      "addressType": (4, "s")},
    "NodeAddress": {"type": (1, "s"), "address": (2, "s")},
    "NodeInfo": {"kernelVersion": (4, "s"), "osImage": (5, "s"), "containerRuntimeVersion": (6, "s"),
                 "kubeletVersion": (7, "s")},
    "NodeSpec": {"podCIDR": (1, "s"), "providerID": (3, "s"), "podCIDRs": (7, "*s")},
    "NodeStatus": {"addresses": (5, "*NodeAddress"), "nodeInfo": (7, "NodeInfo")},
    "Node": {"metadata": (1, "ObjectMeta"), "spec": (2, "NodeSpec"), "status": (3, "NodeStatus")},
    "Namespace": {"metadata": (1, "ObjectMeta")},
    "PartialObjectMetadata": {"metadata": (1, "ObjectMeta")},
}
TYPES["Ephemeral"] = {"targetContainerName": (2, "s")}
TYPES["Job"] = TYPES["PartialObjectMetadata"]
MAGIC = b"k8s\0"


def varint(v):
    v &= (1 << 64) - 1
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7f | 0x80])
        v >>= 7
    return out + bytes([v])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def text(number, s):
    return field(number, s.encode())


def seconds(stamp):
    return calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))


def value(number, kind, v):
    if kind.startswith("*"):
        return b"".join(value(number, kind[1:], e) for e in v)
    if kind == "s":
        return text(number, v)
    if kind in ("i", "b"):
        return varint(number << 3) + varint(int(v))
    if kind == TIME:
        return field(number, varint(1 << 3) + varint(seconds(v)) + varint(2 << 3) + varint(0))
    if kind == "m":
        return b"".join(field(number, text(1, k) + text(2, v[k])) for k in v)
    return field(number, message(kind, v))


def message(kind, obj):
    """An object as a message; fields in the order of their numbers, as Go writes them."""
    out = []
    if kind == "Ephemeral":
        out.append((1, field(1, message("Container", obj))))
    for name, (number, sub) in TYPES[kind].items():
        if obj.get(name) is not None:
            out.append((number, value(number, sub, obj[name])))
    return b"".join(b for _, b in sorted(out, key=lambda e: e[0]))


def envelope(api_version, kind, raw):
    return MAGIC + field(1, text(1, api_version) + text(2, kind)) + field(2, raw) + text(3, "") + text(4, "")


def whole(obj, kind=None):
    """With its envelope."""
    kind = kind or obj["kind"]
    return envelope(obj.get("apiVersion", "v1"), kind, message(kind, obj))


def listing(api_version, kind, items, meta):
    raw = field(1, message("ListMeta", meta))
    raw += b"".join(field(2, message(kind, item)) for item in items)
    return envelope(api_version, kind + "List", raw)


def event(name, obj, kind=None):
    body = text(1, name) + field(2, field(1, whole(obj, kind)))
    return struct.pack(">I", len(body)) + body


def main():
    """k8spb.py: writes NAME.pb beside each NAME.json of tests/golden/k8s, but what an API server wrote."""
    for path in sorted((pathlib.Path(__file__).parent.parent / "golden" / "k8s").glob("*.json")):
        if path.stem.endswith("_recorded"):
            continue
        obj = json.loads(path.read_text())
        path.with_suffix(".pb").write_bytes(whole(obj))


if __name__ == "__main__":
    sys.exit(main())

"""What tests/k8s/show.c prints of an object, made from kubectl's JSON: the other half of a comparison."""
import calendar
import time

LABELS = {"template_hash": "pod-template-hash", "slice_service": "kubernetes.io/service-name"}
ANNOTATIONS = {"config_hash": "kubernetes.io/config.hash", "service_name": "resource.opentelemetry.io/service.name",
               "capture": "kelpie.io/capture"}


def ns_of(stamp):
    return calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")) * 10**9 if stamp else 0


def words(**named):
    return [f"{name}={value}" for name, value in named.items() if value]


def many(name, values):
    return [f"{name}={v}" for v in dict.fromkeys(v for v in values if v)]


def meta(m):
    owner = next((o for o in m.get("ownerReferences", []) if o.get("controller")), {})
    labels, notes = m.get("labels") or {}, m.get("annotations") or {}
    found = {name: notes.get(key) for name, key in ANNOTATIONS.items()}
    return words(ns=m.get("namespace"), name=m["name"], uid=m["uid"], version=m["resourceVersion"],
                 created=ns_of(m.get("creationTimestamp")), deleted=ns_of(m.get("deletionTimestamp")),
                 owner_kind=owner.get("kind"), owner_name=owner.get("name"), owner_api=owner.get("apiVersion"),
                 template_hash=labels.get(LABELS["template_hash"]), **found,
                 slice_service=labels.get(LABELS["slice_service"]))


def ports(listed):
    for p in listed or []:
        yield f"port={p.get('name', '')}/{p.get('protocol', '')}/{p['port']}"
        yield from words(node_port=p.get("nodePort"))


def pod(o):
    spec, status = o["spec"], o.get("status", {})
    out = words(node=spec.get("nodeName"), phase=status.get("phase"), host_ip=status.get("hostIP"))
    out += many("ip", [status.get("podIP"), *(i["ip"] for i in status.get("podIPs", []))])
    out += words(started=ns_of(status.get("startTime")), host_network=int(spec.get("hostNetwork", False)))
    said = {s["name"]: s for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
            for s in status.get(key, [])}
    kinds = [("main", c) for c in spec["containers"]]
    kinds += [("sidecar" if c.get("restartPolicy") == "Always" else "init", c)
              for c in spec.get("initContainers", [])]
    kinds += [("ephemeral", c) for c in spec.get("ephemeralContainers", [])]
    for kind, c in sorted(kinds, key=lambda k: ("main", "init", "sidecar", "ephemeral").index(k[0])):
        s = said.get(c["name"], {})
        state = s.get("state", {})
        ended = state.get("terminated") or {}
        out += words(**{kind: c["name"]}, image=c["image"], id=s.get("containerID", "").partition("://")[2],
                     restarts=s.get("restartCount"),
                     since=ns_of((state.get("running") or ended).get("startedAt")),
                     until=ns_of(ended.get("finishedAt")))
    return out


def service(o):
    spec, status = o["spec"], o.get("status", {})
    ips = [spec.get("clusterIP"), *spec.get("clusterIPs", [])]
    ingress = [i.get("ip") for i in (status.get("loadBalancer") or {}).get("ingress", [])]
    return words(type=spec.get("type"), external_name=spec.get("externalName")) + \
        many("cluster_ip", [i for i in ips if i != "None"]) + \
        many("other_ip", [*spec.get("externalIPs", []), *ingress]) + list(ports(spec.get("ports"))) + \
        words(headless=int("None" in ips))


def endpoint_slice(o):
    out = words(addr_type=o["addressType"])
    for e in o.get("endpoints") or []:
        conditions, ref = e.get("conditions") or {}, e.get("targetRef") or {}
        ref = ref if ref.get("kind") == "Pod" else {}
        ready = conditions.get("ready") is not False
        serving = conditions.get("serving", ready)
        for address in e["addresses"]:
            out += words(addr=address, on=e.get("nodeName"), pod_ns=ref.get("namespace"), pod=ref.get("name"),
                         pod_uid=ref.get("uid"))
            out.append(("ready" if ready else "unready") + (",serving" if serving else "") +
                       (",terminating" if conditions.get("terminating") else ""))
    return out + list(ports(o.get("ports")))


def node(o):
    spec, status = o["spec"], o["status"]
    info = status.get("nodeInfo", {})
    addresses = [a["address"] for a in status.get("addresses", []) if a["type"] in ("InternalIP", "ExternalIP")]
    return many("addr", addresses) + many("cidr", [spec.get("podCIDR"), *spec.get("podCIDRs", [])]) + \
        words(kernel=info.get("kernelVersion"), os=info.get("osImage"), runtime=info.get("containerRuntimeVersion"),
              kubelet=info.get("kubeletVersion"))


KINDS = {"pod": ("pods", pod), "service": ("services", service), "endpoint_slice": ("endpointslices", endpoint_slice),
         "node": ("nodes", node), "namespace": ("namespaces", lambda o: []), "job": ("jobs", lambda o: [])}


def line(kind, o):
    return " ".join([kind, *meta(o["metadata"]), *KINDS[kind][1](o)])

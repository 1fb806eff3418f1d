"""A node: containerd, the kubelet and kube-proxy, in a machine that is joined to the control plane's bridge.

The kubelet would set a few sysctls for the whole host; files of its own lie over them in the machine.
"""
import json
import os

from control import BRIDGE
from machine import TOP, Trouble, wait_until
from topology import API_HOST, DNS_SERVICE, DOMAIN, NODES, PODS, node_address, node_pods

SYSCTLS = {"vm/overcommit_memory": 1, "kernel/panic": 10, "kernel/panic_on_oops": 1,
           "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}
CNI_PLUGINS = "/usr/lib/cni"  # Debian's
CONTAINERD = "/run/containerd/containerd.sock"
CONTAINERD_TOML = """version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
	"io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
restrict_oom_score_adj = true
disable_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{conf}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def issue(pki):
    for name, number in NODES.items():
        pki.issue_client(name, f"system:node:{name}", "system:nodes")
        pki.issue(f"{name}-server", f"system:node:{name}", "system:nodes",
                  [f"DNS:{name}", f"IP:{node_address(number)}"])


def objects():
    """The Node objects, made before their kubelets come: a node's pod addresses are given, not allocated."""
    return {"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
         "spec": {"podCIDR": node_pods(n), "podCIDRs": [node_pods(n)]}} for name, n in NODES.items()]}


def pod_network(number):
    """Of the CNI plugins. Pods keep their addresses between nodes."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": node_pods(number)}]], "routes": [{"dst": "0.0.0.0/0"}]}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}}]}


def kubelet_config(machine, pki, number):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": node_address(number), "readOnlyPort": 0, "healthzBindAddress": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": pki.cert("ca")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.cert(f"{machine.name}-server"), "tlsPrivateKeyFile": pki.key(f"{machine.name}-server"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{TOP}/{machine.name}", "failCgroupV1": False,
        "failSwapOn": False, "oomScoreAdj": 0, "maxOpenFiles": 20000,
        "clusterDNS": [DNS_SERVICE], "clusterDomain": DOMAIN, "resolvConf": "",
        "staticPodPath": os.path.join(machine.dir, "manifests"),
        "volumePluginDir": os.path.join(machine.dir, "volume-plugins"),
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99}


def proxy_config(pki, name):
    """conntrack's limits belong to the host: 0 leaves them alone."""
    return {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
            "clientConnection": {"kubeconfig": pki.kubeconfig("kube-proxy")}, "clusterCIDR": PODS,
            "hostnameOverride": name, "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "linux": {"oomScoreAdj": 0, "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s",
                                                      "tcpCloseWaitTimeout": "0s"}}}


def write(machine, name, content):
    """The path of a configuration file."""
    path = os.path.join(machine.dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(content if isinstance(content, str) else json.dumps(content))
    return path


def cover_sysctls(machine):
    for name, value in SYSCTLS.items():
        if os.path.exists(f"/proc/sys/{name}"):
            path = write(machine, f"sysctl/{name}", f"{value}\n")
            machine.sh(f"mount --bind {path} /proc/sys/{name}")


def join(machine, number, control):
    """A link to the control plane's bridge, and routes to everybody's pods."""
    control.sh(f"ip link add {machine.name} type veth peer name eth0 netns {machine.pid};"
               f"ip link set {machine.name} master {BRIDGE} up;")
    machine.sh(f"ip addr add {node_address(number)}/24 dev eth0; ip link set eth0 up;"
               f"ip route add default via {API_HOST}; echo 1 >/proc/sys/net/ipv4/ip_forward")
    control.sh(f"ip route add {node_pods(number)} via {node_address(number)}")
    for other in set(NODES.values()) - {number}:
        machine.sh(f"ip route add {node_pods(other)} via {node_address(other)}")


def start_runtime(machine, number, images):
    write(machine, "cni/10-pods.conflist", pod_network(number))
    toml = CONTAINERD_TOML.format(plugins=CNI_PLUGINS, conf=os.path.join(machine.dir, "cni"))
    machine.start("containerd", ["containerd", "--config", write(machine, "containerd.toml", toml)])

    def answers():
        try:
            return machine.sh("ctr version >&2 && echo yes")
        except Trouble:
            return None

    if not wait_until(answers, 30):
        raise Trouble(f"containerd does not answer on {machine.name}: {machine.log('containerd')}")
    for image in images:
        machine.sh(f"ctr -n k8s.io images import {image}")


def start(machine, number, programs, pki):
    os.makedirs(os.path.join(machine.dir, "manifests"), exist_ok=True)
    cover_sysctls(machine)
    kubelet = write(machine, "kubelet.json", kubelet_config(machine, pki, number))
    machine.start("kubelet", [f"{programs}/kubelet", f"--config={kubelet}",
                              f"--kubeconfig={pki.kubeconfig(machine.name)}", f"--node-ip={node_address(number)}"])
    proxy = write(machine, "proxy.json", proxy_config(pki, machine.name))
    machine.start("proxy", [f"{programs}/kube-proxy", f"--config={proxy}"])

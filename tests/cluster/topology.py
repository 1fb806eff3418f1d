"""Names and addresses of the cluster."""
API_HOST = "10.200.0.1"  # of the control plane, on the bridge in its network namespace
API = f"https://{API_HOST}:6443"
SERVICES, API_SERVICE, DNS_SERVICE = "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
PODS = "10.244.0.0/16"
DOMAIN = "cluster.local"
CONTROL = "control"
NODES = {"node1": 1, "node2": 2}


def node_address(number):
    return f"10.200.0.{10 + number}"


def node_pods(number):
    return f"10.244.{number}.0/24"

"""The control plane: etcd, the API server, the controllers and the scheduler, in a machine of their own."""
import os

from topology import API_HOST, API_SERVICE, DOMAIN, PODS, SERVICES

BRIDGE = "kelpie-br"
ETCD = "http://127.0.0.1:2379"
ISSUER = f"https://kubernetes.default.svc.{DOMAIN}"
RATE = {"kube-api-qps": 500, "kube-api-burst": 1000}  # the defaults make a test wait


def flags(**options):
    """--word-word=value; True alone."""
    words = {name.replace("_", "-"): value for name, value in options.items()}
    return [f"--{name}" if value is True else f"--{name}={value}" for name, value in words.items()]


def issue(pki):
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]
    pki.issue("apiserver", "kube-apiserver",
              hosts=[f"DNS:{n}" for n in names] + [f"IP:{a}" for a in (API_HOST, API_SERVICE, "127.0.0.1")])
    pki.issue("kubelet-client", "kube-apiserver", "system:masters")
    pki.issue("front", "front-proxy", authority="front-ca")
    pki.issue_client("admin", "admin", "system:masters")
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        pki.issue_client(name, f"system:{name}")


def etcd():
    return flags(listen_client_urls=ETCD, advertise_client_urls=ETCD, log_level="warn", unsafe_no_fsync=True)


def apiserver(pki):
    return flags(
        etcd_servers=ETCD, bind_address=API_HOST, advertise_address=API_HOST, service_cluster_ip_range=SERVICES,
        client_ca_file=pki.cert("ca"), tls_cert_file=pki.cert("apiserver"),
        tls_private_key_file=pki.key("apiserver"), authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction", allow_privileged=True,
        service_account_issuer=ISSUER, service_account_key_file=pki.cert("tokens"),
        service_account_signing_key_file=pki.key("tokens"),
        kubelet_client_certificate=pki.cert("kubelet-client"), kubelet_client_key=pki.key("kubelet-client"),
        kubelet_certificate_authority=pki.cert("ca"), kubelet_preferred_address_types="InternalIP",
        requestheader_client_ca_file=pki.cert("front-ca"), requestheader_allowed_names="front-proxy",
        requestheader_username_headers="X-Remote-User", requestheader_group_headers="X-Remote-Group",
        requestheader_extra_headers_prefix="X-Remote-Extra-", proxy_client_cert_file=pki.cert("front"),
        proxy_client_key_file=pki.key("front"), enable_aggregator_routing=True)


def with_kubeconfig(pki, name, **options):
    kubeconfig = pki.kubeconfig(name)
    return flags(kubeconfig=kubeconfig, authentication_kubeconfig=kubeconfig, authorization_kubeconfig=kubeconfig,
                 bind_address="127.0.0.1", leader_elect="false", **RATE, **options)


def controllers(pki):
    return with_kubeconfig(
        pki, "kube-controller-manager", service_account_private_key_file=pki.key("tokens"),
        root_ca_file=pki.cert("ca"), cluster_signing_cert_file=pki.cert("ca"), cluster_signing_key_file=pki.key("ca"),
        use_service_account_credentials=True, allocate_node_cidrs="false", cluster_cidr=PODS)


def start_api(machine, programs, pki):
    machine.sh(f"ip link add {BRIDGE} type bridge; ip addr add {API_HOST}/24 dev {BRIDGE}; ip link set {BRIDGE} up")
    machine.start("etcd", [f"{programs}/etcd", f"--data-dir={os.path.join(machine.dir, 'etcd')}", *etcd()])
    machine.start("apiserver", [f"{programs}/kube-apiserver", *apiserver(pki)])


def start_controllers(machine, programs, pki):
    """Once the API server has its roles: one that is refused its configuration ends."""
    machine.start("controllers", [f"{programs}/kube-controller-manager", *controllers(pki)])
    machine.start("scheduler", [f"{programs}/kube-scheduler", *with_kubeconfig(pki, "kube-scheduler")])

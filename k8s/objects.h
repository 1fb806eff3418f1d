/* What Kelpie keeps of the objects of a cluster: the decoders' output, protobuf and JSON alike.
 *
 * All texts are slices of the buffer that was decoded: they live until the callback that was given the
 * object returns; who keeps one copies it. Empty = absent. Times are unix ns, 0 = absent. An array that
 * would overflow its bound is cut and counted (`cut`); nothing is dropped in silence.
 * Field numbers and meanings: Kubernetes API v1, apps/v1, batch/v1, discovery.k8s.io/v1.
 */
#ifndef K8S_OBJECTS_H
#define K8S_OBJECTS_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define K8S_ADDRS_MAX	   8   /* addresses of one object: pod IPs, cluster IPs, external ones */
#define K8S_CONTAINERS_MAX 32  /* containers of one pod, all kinds */
#define K8S_PORTS_MAX	   32  /* ports of one service or slice */
#define K8S_ENDPOINTS_MAX  128 /* endpoints of one slice; the controller's own bound is 100 */

enum k8s_kind {
	K8S_POD = 1,
	K8S_SERVICE,
	K8S_ENDPOINT_SLICE,
	K8S_NODE,
	K8S_NAMESPACE,
	K8S_JOB, /* metadata only: for the way from a pod to its CronJob */
	_K8S_KIND_MAX,
};

/* The controller among the owner references (controller == true). */
struct k8s_owner {
	struct slice kind, name, api_version;
};

struct k8s_meta {
	struct slice name, ns, uid, resource_version;
	int64_t created_ns, deleted_ns; /* deleted: deletionTimestamp, the object may still run */
	struct k8s_owner owner;
	struct slice template_hash; /* label pod-template-hash */
	struct slice
		config_hash; /* annotation kubernetes.io/config.hash: a static pod's uid in cgroups */
	struct slice service_name;  /* annotation resource.opentelemetry.io/service.name */
	struct slice capture;	    /* annotation kelpie.io/capture */
	struct slice slice_service; /* label kubernetes.io/service-name, of an endpoint slice */
};

enum k8s_container_kind { K8S_MAIN, K8S_INIT, K8S_SIDECAR, K8S_EPHEMERAL };

struct k8s_container {
	struct slice name, image, id;	 /* id: 64 hex digits without the runtime's scheme */
	int64_t started_ns, finished_ns; /* of its present state; finished: it has terminated */
	uint32_t restarts;
	enum k8s_container_kind kind;
};

struct k8s_pod {
	struct slice node, phase, host_ip;
	struct slice ips[K8S_ADDRS_MAX];
	struct k8s_container containers[K8S_CONTAINERS_MAX]; /* in no order */
	int64_t started_ns;
	uint8_t n_ips, n_containers;
	bool host_network;
};

struct k8s_port {
	struct slice name, protocol;
	uint16_t port, node_port;
};

struct k8s_service {
	struct slice type, external_name;
	struct slice cluster_ips[K8S_ADDRS_MAX]; /* without "None" */
	struct slice other_ips[K8S_ADDRS_MAX];	 /* external and load balancer's */
	struct k8s_port ports[K8S_PORTS_MAX];
	uint8_t n_cluster_ips, n_other_ips, n_ports;
	bool headless;
};

struct k8s_endpoint {
	struct slice addr, node;
	struct slice pod_ns, pod_name, pod_uid; /* targetRef of kind Pod */
	bool ready, serving, terminating;
};

struct k8s_endpoint_slice {
	struct k8s_endpoint endpoints[K8S_ENDPOINTS_MAX]; /* one per address */
	struct k8s_port ports[K8S_PORTS_MAX];
	struct slice addr_type; /* IPv4, IPv6 or FQDN */
	uint8_t n_endpoints, n_ports;
};

struct k8s_node {
	struct slice addrs[K8S_ADDRS_MAX]; /* InternalIP and ExternalIP */
	struct slice pod_cidrs[K8S_ADDRS_MAX];
	struct slice kernel, os_image, runtime, kubelet;
	uint8_t n_addrs, n_pod_cidrs;
};

struct k8s_object {
	enum k8s_kind kind;
	uint32_t cut; /* elements left out for want of room */
	struct k8s_meta meta;
	union {
		struct k8s_pod pod;
		struct k8s_service service;
		struct k8s_endpoint_slice slice;
		struct k8s_node node;
	};
};

#endif

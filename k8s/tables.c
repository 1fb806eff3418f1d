/* The tables of k8s/fields.h. Numbers: the .proto files of Kubernetes' API v1, batch/v1,
 * discovery.k8s.io/v1 and meta/v1; names: the same fields in JSON.
 */
#include "base/util.h"
#include "k8s/fields.h"

#define ROW(num, kind, json, type_, member)                                                        \
	{                                                                                          \
		.number = (num), .type = (kind), .name = (json), .offset = offsetof(type_, member) \
	}
#define SUB(num, json, off, table)                                                                 \
	{                                                                                          \
		.number = (num), .type = FIELD_MESSAGE, .name = (json), .offset = (off),           \
		.of = (table)                                                                      \
	}
#define EACH(num, kind, json, table, fn)                                                           \
	{                                                                                          \
		.number = (num), .type = (kind), .name = (json), .of = (table), .add = (fn)        \
	}
#define TABLE(name_, size_, ...)                                                                   \
	static const struct field name_##_rows[] = { __VA_ARGS__ };                                \
	static const struct fields name_ = { name_##_rows, ARRAY_SIZE(name_##_rows), size_ }
#define PUBLIC_TABLE(name_, size_, ...)                                                            \
	static const struct field name_##_rows[] = { __VA_ARGS__ };                                \
	const struct fields name_ = { name_##_rows, ARRAY_SIZE(name_##_rows), size_ }

/* Adds a text once. Whether there was room for it. */
static bool add_once(struct slice *list, uint8_t *n, size_t max, struct slice v)
{
	for (size_t i = 0; i < *n; i++)
		if (slice_eq(list[i], v))
			return true;
	if (*n == max)
		return false;
	list[(*n)++] = v;
	return true;
}

static void add_addr(struct k8s_object *o, struct slice *list, uint8_t *n, struct slice v)
{
	if (v.n > 0 && !add_once(list, n, K8S_ADDRS_MAX, v))
		o->cut++;
}

/* Maps: what is read of labels and annotations. */
PUBLIC_TABLE(k8s_pair_fields, sizeof(struct field_pair),
	     ROW(1, FIELD_TEXT, NULL, struct field_pair, key),
	     ROW(2, FIELD_TEXT, NULL, struct field_pair, value));

struct known_key {
	const char *key;
	size_t offset; /* in struct k8s_meta */
};

static void add_known(struct k8s_meta *m, const struct field_pair *p, const struct known_key *known,
		      size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq_str(p->key, known[i].key))
			memcpy((uint8_t *)m + known[i].offset, &p->value, sizeof(p->value));
}

static void add_label(void *base, const void *element)
{
	static const struct known_key known[] = {
		{ "pod-template-hash", offsetof(struct k8s_meta, template_hash) },
		{ "kubernetes.io/service-name", offsetof(struct k8s_meta, slice_service) },
	};

	add_known(base, element, known, ARRAY_SIZE(known));
}

static void add_annotation(void *base, const void *element)
{
	static const struct known_key known[] = {
		{ "kubernetes.io/config.hash", offsetof(struct k8s_meta, config_hash) },
		{ "resource.opentelemetry.io/service.name",
		  offsetof(struct k8s_meta, service_name) },
		{ "kelpie.io/capture", offsetof(struct k8s_meta, capture) },
	};

	add_known(base, element, known, ARRAY_SIZE(known));
}

struct owner_part {
	struct k8s_owner owner;
	bool controller;
};

static void add_owner(void *base, const void *element)
{
	const struct owner_part *p = element;

	if (p->controller)
		((struct k8s_meta *)base)->owner = p->owner;
}

TABLE(owner_fields, sizeof(struct owner_part),
      ROW(1, FIELD_TEXT, "kind", struct owner_part, owner.kind),
      ROW(3, FIELD_TEXT, "name", struct owner_part, owner.name),
      ROW(5, FIELD_TEXT, "apiVersion", struct owner_part, owner.api_version),
      ROW(6, FIELD_BOOL, "controller", struct owner_part, controller));

TABLE(meta_fields, 0, ROW(1, FIELD_TEXT, "name", struct k8s_meta, name),
      ROW(3, FIELD_TEXT, "namespace", struct k8s_meta, ns),
      ROW(5, FIELD_TEXT, "uid", struct k8s_meta, uid),
      ROW(6, FIELD_TEXT, "resourceVersion", struct k8s_meta, resource_version),
      ROW(8, FIELD_TIME, "creationTimestamp", struct k8s_meta, created_ns),
      ROW(9, FIELD_TIME, "deletionTimestamp", struct k8s_meta, deleted_ns),
      EACH(11, FIELD_MAP, "labels", &k8s_pair_fields, add_label),
      EACH(12, FIELD_MAP, "annotations", &k8s_pair_fields, add_annotation),
      EACH(13, FIELD_EACH, "ownerReferences", &owner_fields, add_owner));

#define META SUB(1, "metadata", offsetof(struct k8s_object, meta), &meta_fields)

TABLE(meta_only, 0, META);

/* Pods. A container's parts stand in two lists; its name is the only one of the pod. */
struct container_part {
	struct slice name, image, id, restart;
	int64_t started_ns, finished_ns;
	uint32_t restarts;
};

static struct k8s_container *container_named(struct k8s_pod *pod, struct slice name)
{
	for (size_t i = 0; i < pod->n_containers; i++)
		if (slice_eq(pod->containers[i].name, name))
			return &pod->containers[i];
	if (pod->n_containers == K8S_CONTAINERS_MAX)
		return NULL;
	pod->containers[pod->n_containers].name = name;
	return &pod->containers[pod->n_containers++];
}

static void add_spec(struct k8s_object *o, const struct container_part *p,
		     enum k8s_container_kind kind)
{
	struct k8s_container *c = container_named(&o->pod, p->name);

	if (!c) {
		o->cut++;
		return;
	}
	c->kind = kind;
	if (p->image.n > 0)
		c->image = p->image;
}

static void add_main(void *base, const void *element)
{
	add_spec(base, element, K8S_MAIN);
}

static void add_init(void *base, const void *element)
{
	const struct container_part *p = element;

	add_spec(base, p, slice_eq_str(p->restart, "Always") ? K8S_SIDECAR : K8S_INIT);
}

static void add_ephemeral(void *base, const void *element)
{
	add_spec(base, element, K8S_EPHEMERAL);
}

/* RUNTIME://ID, the id of 64 hexadecimal digits; any other is none that a cgroup would have. */
static struct slice bare_id(struct slice id)
{
	size_t at = slice_find(id, ':');

	if (at == id.n)
		return slice_of(NULL, 0);
	id = slice_from(id, at + 3);
	for (size_t i = 0; i < id.n; i++)
		if (!((id.p[i] >= '0' && id.p[i] <= '9') || (id.p[i] >= 'a' && id.p[i] <= 'f')))
			return slice_of(NULL, 0);
	return id.n == 64 ? id : slice_of(NULL, 0);
}

/* What has no room here had none in the spec and was counted there. */
static void add_status(struct k8s_pod *pod, const struct container_part *p,
		       enum k8s_container_kind kind)
{
	uint8_t before = pod->n_containers;
	struct k8s_container *c = container_named(pod, p->name);

	if (!c)
		return;
	if (pod->n_containers > before)
		c->kind = kind;
	if (c->image.n == 0)
		c->image = p->image;
	c->id = bare_id(p->id);
	c->restarts = p->restarts;
	c->started_ns = p->started_ns;
	c->finished_ns = p->finished_ns;
}

static void add_main_status(void *base, const void *element)
{
	add_status(&((struct k8s_object *)base)->pod, element, K8S_MAIN);
}

static void add_init_status(void *base, const void *element)
{
	add_status(&((struct k8s_object *)base)->pod, element, K8S_INIT);
}

static void add_ephemeral_status(void *base, const void *element)
{
	add_status(&((struct k8s_object *)base)->pod, element, K8S_EPHEMERAL);
}

static void add_pod_ip(void *base, const void *element)
{
	struct k8s_object *o = base;

	add_addr(o, o->pod.ips, &o->pod.n_ips, *(const struct slice *)element);
}

TABLE(container_fields, sizeof(struct container_part),
      ROW(1, FIELD_TEXT, "name", struct container_part, name),
      ROW(2, FIELD_TEXT, "image", struct container_part, image),
      ROW(24, FIELD_TEXT, "restartPolicy", struct container_part, restart));

/* What ephemeral containers have in common with the others is a message of its own in protobuf. */
TABLE(ephemeral_fields, sizeof(struct container_part), SUB(1, NULL, 0, &container_fields),
      ROW(0, FIELD_TEXT, "name", struct container_part, name),
      ROW(0, FIELD_TEXT, "image", struct container_part, image));

TABLE(running_fields, 0, ROW(1, FIELD_TIME, "startedAt", struct container_part, started_ns));
TABLE(terminated_fields, 0, ROW(5, FIELD_TIME, "startedAt", struct container_part, started_ns),
      ROW(6, FIELD_TIME, "finishedAt", struct container_part, finished_ns));
TABLE(state_fields, 0, SUB(2, "running", 0, &running_fields),
      SUB(3, "terminated", 0, &terminated_fields));
TABLE(container_status_fields, sizeof(struct container_part),
      ROW(1, FIELD_TEXT, "name", struct container_part, name), SUB(2, "state", 0, &state_fields),
      ROW(5, FIELD_U32, "restartCount", struct container_part, restarts),
      ROW(6, FIELD_TEXT, "image", struct container_part, image),
      ROW(8, FIELD_TEXT, "containerID", struct container_part, id));

TABLE(pod_ip_fields, sizeof(struct slice),
      { .number = 1, .type = FIELD_TEXT, .name = "ip", .offset = 0 });

TABLE(pod_spec_fields, 0, EACH(2, FIELD_EACH, "containers", &container_fields, add_main),
      ROW(10, FIELD_TEXT, "nodeName", struct k8s_object, pod.node),
      ROW(11, FIELD_BOOL, "hostNetwork", struct k8s_object, pod.host_network),
      EACH(20, FIELD_EACH, "initContainers", &container_fields, add_init),
      EACH(34, FIELD_EACH, "ephemeralContainers", &ephemeral_fields, add_ephemeral));

TABLE(pod_status_fields, 0, ROW(1, FIELD_TEXT, "phase", struct k8s_object, pod.phase),
      ROW(5, FIELD_TEXT, "hostIP", struct k8s_object, pod.host_ip),
      EACH(6, FIELD_TEXTS, "podIP", NULL, add_pod_ip),
      ROW(7, FIELD_TIME, "startTime", struct k8s_object, pod.started_ns),
      EACH(8, FIELD_EACH, "containerStatuses", &container_status_fields, add_main_status),
      EACH(10, FIELD_EACH, "initContainerStatuses", &container_status_fields, add_init_status),
      EACH(12, FIELD_EACH, "podIPs", &pod_ip_fields, add_pod_ip),
      EACH(13, FIELD_EACH, "ephemeralContainerStatuses", &container_status_fields,
	   add_ephemeral_status));

TABLE(pod_fields, 0, META, SUB(2, "spec", 0, &pod_spec_fields),
      SUB(3, "status", 0, &pod_status_fields));

/* Services. */
static void add_cluster_ip(void *base, const void *element)
{
	struct k8s_object *o = base;
	const struct slice *ip = element;

	if (slice_eq_str(*ip, "None"))
		o->service.headless = true;
	else
		add_addr(o, o->service.cluster_ips, &o->service.n_cluster_ips, *ip);
}

static void add_other_ip(void *base, const void *element)
{
	struct k8s_object *o = base;

	add_addr(o, o->service.other_ips, &o->service.n_other_ips, *(const struct slice *)element);
}

static void add_port(struct k8s_object *o, struct k8s_port *list, uint8_t *n, const void *element)
{
	if (*n == K8S_PORTS_MAX)
		o->cut++;
	else
		memcpy(&list[(*n)++], element, sizeof(*list));
}

static void add_service_port(void *base, const void *element)
{
	struct k8s_object *o = base;

	add_port(o, o->service.ports, &o->service.n_ports, element);
}

TABLE(service_port_fields, sizeof(struct k8s_port),
      ROW(1, FIELD_TEXT, "name", struct k8s_port, name),
      ROW(2, FIELD_TEXT, "protocol", struct k8s_port, protocol),
      ROW(3, FIELD_PORT, "port", struct k8s_port, port),
      ROW(5, FIELD_PORT, "nodePort", struct k8s_port, node_port));

TABLE(service_spec_fields, 0, EACH(1, FIELD_EACH, "ports", &service_port_fields, add_service_port),
      EACH(3, FIELD_TEXTS, "clusterIP", NULL, add_cluster_ip),
      ROW(4, FIELD_TEXT, "type", struct k8s_object, service.type),
      EACH(5, FIELD_TEXTS, "externalIPs", NULL, add_other_ip),
      ROW(10, FIELD_TEXT, "externalName", struct k8s_object, service.external_name),
      EACH(18, FIELD_TEXTS, "clusterIPs", NULL, add_cluster_ip));

TABLE(ingress_fields, sizeof(struct slice),
      { .number = 1, .type = FIELD_TEXT, .name = "ip", .offset = 0 });
TABLE(balancer_fields, 0, EACH(1, FIELD_EACH, "ingress", &ingress_fields, add_other_ip));
TABLE(service_status_fields, 0, SUB(1, "loadBalancer", 0, &balancer_fields));
TABLE(service_fields, 0, META, SUB(2, "spec", 0, &service_spec_fields),
      SUB(3, "status", 0, &service_status_fields));

/* Endpoint slices. */
struct ref_part {
	struct slice kind, ns, name, uid;
};

struct endpoint_part {
	struct slice addrs[K8S_ADDRS_MAX];
	struct slice node;
	struct ref_part ref;
	uint32_t cut;
	uint8_t n_addrs, ready, serving, terminating; /* the last three: enum field_tri */
};

_Static_assert(sizeof(struct endpoint_part) <= FIELD_ELEMENT_MAX, "an element is read in place");

static void add_endpoint_addr(void *base, const void *element)
{
	struct endpoint_part *p = base;

	if (p->n_addrs == K8S_ADDRS_MAX)
		p->cut++;
	else
		p->addrs[p->n_addrs++] = *(const struct slice *)element;
}

/* An unknown condition: ready is to be taken for true, serving for ready, terminating for false. */
static void add_endpoint(void *base, const void *element)
{
	const struct endpoint_part *p = element;
	struct k8s_object *o = base;
	struct k8s_endpoint e = { .node = p->node,
				  .ready = p->ready != FIELD_FALSE,
				  .terminating = p->terminating == FIELD_TRUE };

	e.serving = p->serving == FIELD_ABSENT ? e.ready : p->serving == FIELD_TRUE;
	if (slice_eq_str(p->ref.kind, "Pod")) {
		e.pod_ns = p->ref.ns;
		e.pod_name = p->ref.name;
		e.pod_uid = p->ref.uid;
	}
	o->cut += p->cut;
	for (size_t i = 0; i < p->n_addrs; i++) {
		e.addr = p->addrs[i];
		if (o->slice.n_endpoints == K8S_ENDPOINTS_MAX)
			o->cut++;
		else
			o->slice.endpoints[o->slice.n_endpoints++] = e;
	}
}

static void add_slice_port(void *base, const void *element)
{
	struct k8s_object *o = base;

	add_port(o, o->slice.ports, &o->slice.n_ports, element);
}

TABLE(slice_port_fields, sizeof(struct k8s_port), ROW(1, FIELD_TEXT, "name", struct k8s_port, name),
      ROW(2, FIELD_TEXT, "protocol", struct k8s_port, protocol),
      ROW(3, FIELD_PORT, "port", struct k8s_port, port));

TABLE(condition_fields, 0, ROW(1, FIELD_TRI, "ready", struct endpoint_part, ready),
      ROW(2, FIELD_TRI, "serving", struct endpoint_part, serving),
      ROW(3, FIELD_TRI, "terminating", struct endpoint_part, terminating));

TABLE(ref_fields, 0, ROW(1, FIELD_TEXT, "kind", struct ref_part, kind),
      ROW(2, FIELD_TEXT, "namespace", struct ref_part, ns),
      ROW(3, FIELD_TEXT, "name", struct ref_part, name),
      ROW(4, FIELD_TEXT, "uid", struct ref_part, uid));

TABLE(endpoint_fields, sizeof(struct endpoint_part),
      EACH(1, FIELD_TEXTS, "addresses", NULL, add_endpoint_addr),
      SUB(2, "conditions", 0, &condition_fields),
      SUB(4, "targetRef", offsetof(struct endpoint_part, ref), &ref_fields),
      ROW(6, FIELD_TEXT, "nodeName", struct endpoint_part, node));

TABLE(slice_fields, 0, META, EACH(2, FIELD_EACH, "endpoints", &endpoint_fields, add_endpoint),
      EACH(3, FIELD_EACH, "ports", &slice_port_fields, add_slice_port),
      ROW(4, FIELD_TEXT, "addressType", struct k8s_object, slice.addr_type));

/* Nodes. */
static void add_cidr(void *base, const void *element)
{
	struct k8s_object *o = base;

	add_addr(o, o->node.pod_cidrs, &o->node.n_pod_cidrs, *(const struct slice *)element);
}

static void add_node_addr(void *base, const void *element)
{
	const struct field_pair *p = element;
	struct k8s_object *o = base;

	if (slice_eq_str(p->key, "InternalIP") || slice_eq_str(p->key, "ExternalIP"))
		add_addr(o, o->node.addrs, &o->node.n_addrs, p->value);
}

TABLE(node_addr_fields, sizeof(struct field_pair),
      ROW(1, FIELD_TEXT, "type", struct field_pair, key),
      ROW(2, FIELD_TEXT, "address", struct field_pair, value));

TABLE(node_info_fields, 0, ROW(4, FIELD_TEXT, "kernelVersion", struct k8s_object, node.kernel),
      ROW(5, FIELD_TEXT, "osImage", struct k8s_object, node.os_image),
      ROW(6, FIELD_TEXT, "containerRuntimeVersion", struct k8s_object, node.runtime),
      ROW(7, FIELD_TEXT, "kubeletVersion", struct k8s_object, node.kubelet));

TABLE(node_spec_fields, 0, EACH(1, FIELD_TEXTS, "podCIDR", NULL, add_cidr),
      EACH(7, FIELD_TEXTS, "podCIDRs", NULL, add_cidr));
TABLE(node_status_fields, 0, EACH(5, FIELD_EACH, "addresses", &node_addr_fields, add_node_addr),
      SUB(7, "nodeInfo", 0, &node_info_fields));
TABLE(node_fields, 0, META, SUB(2, "spec", 0, &node_spec_fields),
      SUB(3, "status", 0, &node_status_fields));

const struct fields *k8s_object_fields(enum k8s_kind kind)
{
	static const struct fields *const tables[_K8S_KIND_MAX] = {
		[K8S_POD] = &pod_fields,
		[K8S_SERVICE] = &service_fields,
		[K8S_ENDPOINT_SLICE] = &slice_fields,
		[K8S_NODE] = &node_fields,
	};

	return tables[kind] ? tables[kind] : &meta_only;
}

/* What is around them. */
PUBLIC_TABLE(k8s_list_meta_fields, 0,
	     ROW(2, FIELD_TEXT, "resourceVersion", struct k8s_list_meta, resource_version),
	     ROW(3, FIELD_TEXT, "continue", struct k8s_list_meta, cont));

static void add_cause(void *base, const void *element)
{
	if (slice_eq_str(*(const struct slice *)element, "ResourceVersionTooLarge"))
		((struct k8s_status *)base)->too_large = true;
}

TABLE(cause_fields, sizeof(struct slice),
      { .number = 1, .type = FIELD_TEXT, .name = "reason", .offset = 0 });
TABLE(details_fields, 0, EACH(4, FIELD_EACH, "causes", &cause_fields, add_cause),
      ROW(5, FIELD_U32, "retryAfterSeconds", struct k8s_status, retry_after_s));
PUBLIC_TABLE(k8s_status_fields, 0, ROW(3, FIELD_TEXT, "message", struct k8s_status, message),
	     ROW(4, FIELD_TEXT, "reason", struct k8s_status, reason),
	     SUB(5, "details", 0, &details_fields),
	     ROW(6, FIELD_U32, "code", struct k8s_status, code));

TABLE(raw_fields, 0, ROW(1, FIELD_RAW, NULL, struct k8s_watch_event, object));
PUBLIC_TABLE(k8s_watch_event_fields, 0, ROW(1, FIELD_TEXT, "type", struct k8s_watch_event, type),
	     SUB(2, NULL, 0, &raw_fields),
	     ROW(0, FIELD_RAW, "object", struct k8s_watch_event, object));

TABLE(type_meta_fields, 0, ROW(1, FIELD_TEXT, NULL, struct k8s_envelope, api_version),
      ROW(2, FIELD_TEXT, NULL, struct k8s_envelope, kind));
PUBLIC_TABLE(k8s_envelope_fields, 0, SUB(1, NULL, 0, &type_meta_fields),
	     ROW(2, FIELD_RAW, NULL, struct k8s_envelope, raw),
	     ROW(3, FIELD_TEXT, NULL, struct k8s_envelope, encoding));

static void add_mark(void *base, const void *element)
{
	const struct field_pair *p = element;

	if (slice_eq_str(p->key, "k8s.io/initial-events-end") && slice_eq_str(p->value, "true"))
		((struct k8s_bookmark *)base)->initial_end = true;
}

TABLE(bookmark_meta_fields, 0,
      ROW(6, FIELD_TEXT, "resourceVersion", struct k8s_bookmark, resource_version),
      EACH(12, FIELD_MAP, "annotations", &k8s_pair_fields, add_mark));
PUBLIC_TABLE(k8s_bookmark_fields, 0, SUB(1, "metadata", 0, &bookmark_meta_fields));

#include "tests/k8s/show.h"

static const char *const kinds[_K8S_KIND_MAX] = {
	[K8S_POD] = "pod",   [K8S_SERVICE] = "service",	    [K8S_ENDPOINT_SLICE] = "endpoint_slice",
	[K8S_NODE] = "node", [K8S_NAMESPACE] = "namespace", [K8S_JOB] = "job",
};

const char *show_kind(enum k8s_kind kind)
{
	return kinds[kind];
}

enum k8s_kind show_kind_named(struct slice name)
{
	for (size_t i = 1; i < _K8S_KIND_MAX; i++)
		if (slice_starts(name, slice_str(kinds[i])))
			return (enum k8s_kind)i;
	return (enum k8s_kind)0;
}

static void text(struct strbuf *out, const char *name, struct slice v)
{
	if (v.n == 0)
		return;
	strbuf_addf(out, " %s=", name);
	strbuf_add(out, v.p, v.n);
}

static void num(struct strbuf *out, const char *name, int64_t v)
{
	if (v)
		strbuf_addf(out, " %s=%lld", name, (long long)v);
}

static void texts(struct strbuf *out, const char *name, const struct slice *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		text(out, name, v[i]);
}

static void ports(struct strbuf *out, const struct k8s_port *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		strbuf_addf(out, " port=%.*s/%.*s/%u", (int)p[i].name.n, (const char *)p[i].name.p,
			    (int)p[i].protocol.n, (const char *)p[i].protocol.p, p[i].port);
		num(out, "node_port", p[i].node_port);
	}
}

static void meta(struct strbuf *out, const struct k8s_meta *m)
{
	text(out, "ns", m->ns);
	text(out, "name", m->name);
	text(out, "uid", m->uid);
	text(out, "version", m->resource_version);
	num(out, "created", m->created_ns);
	num(out, "deleted", m->deleted_ns);
	text(out, "owner_kind", m->owner.kind);
	text(out, "owner_name", m->owner.name);
	text(out, "owner_api", m->owner.api_version);
	text(out, "template_hash", m->template_hash);
	text(out, "config_hash", m->config_hash);
	text(out, "service_name", m->service_name);
	text(out, "capture", m->capture);
	text(out, "slice_service", m->slice_service);
}

static void container(struct strbuf *out, const char *kind, const struct k8s_container *c)
{
	text(out, kind, c->name);
	text(out, "image", c->image);
	text(out, "id", c->id);
	num(out, "restarts", c->restarts);
	num(out, "since", c->started_ns);
	num(out, "until", c->finished_ns);
}

/* JSON has the containers in another order than protobuf. */
static void pod(struct strbuf *out, const struct k8s_pod *p)
{
	static const char *const names[] = { "main", "init", "sidecar", "ephemeral" };

	text(out, "node", p->node);
	text(out, "phase", p->phase);
	text(out, "host_ip", p->host_ip);
	texts(out, "ip", p->ips, p->n_ips);
	num(out, "started", p->started_ns);
	num(out, "host_network", p->host_network);
	for (int kind = K8S_MAIN; kind <= K8S_EPHEMERAL; kind++)
		for (size_t i = 0; i < p->n_containers; i++)
			if (p->containers[i].kind == (enum k8s_container_kind)kind)
				container(out, names[kind], &p->containers[i]);
}

static void service(struct strbuf *out, const struct k8s_service *s)
{
	text(out, "type", s->type);
	text(out, "external_name", s->external_name);
	texts(out, "cluster_ip", s->cluster_ips, s->n_cluster_ips);
	texts(out, "other_ip", s->other_ips, s->n_other_ips);
	ports(out, s->ports, s->n_ports);
	num(out, "headless", s->headless);
}

static void slice(struct strbuf *out, const struct k8s_endpoint_slice *s)
{
	text(out, "addr_type", s->addr_type);
	for (size_t i = 0; i < s->n_endpoints; i++) {
		const struct k8s_endpoint *e = &s->endpoints[i];

		text(out, "addr", e->addr);
		text(out, "on", e->node);
		text(out, "pod_ns", e->pod_ns);
		text(out, "pod", e->pod_name);
		text(out, "pod_uid", e->pod_uid);
		strbuf_addf(out, " %s%s%s", e->ready ? "ready" : "unready",
			    e->serving ? ",serving" : "", e->terminating ? ",terminating" : "");
	}
	ports(out, s->ports, s->n_ports);
}

static void node(struct strbuf *out, const struct k8s_node *n)
{
	texts(out, "addr", n->addrs, n->n_addrs);
	texts(out, "cidr", n->pod_cidrs, n->n_pod_cidrs);
	text(out, "kernel", n->kernel);
	text(out, "os", n->os_image);
	text(out, "runtime", n->runtime);
	text(out, "kubelet", n->kubelet);
}

void show_object(struct strbuf *out, const struct k8s_object *o)
{
	strbuf_adds(out, kinds[o->kind]);
	meta(out, &o->meta);
	if (o->kind == K8S_POD)
		pod(out, &o->pod);
	if (o->kind == K8S_SERVICE)
		service(out, &o->service);
	if (o->kind == K8S_ENDPOINT_SLICE)
		slice(out, &o->slice);
	if (o->kind == K8S_NODE)
		node(out, &o->node);
	num(out, "cut", o->cut);
}

#include "k8s/identity.h"

#include "base/util.h"
#include "k8s/entities.h"

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool k8s_uid_parse(struct slice text, struct k8s_uid *ret)
{
	struct k8s_uid uid = { { 0 } };
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		int d = hex_digit(text.p[i]);

		if (d < 0 && (text.p[i] == '-' || text.p[i] == '_'))
			continue;
		if (d < 0 || n == 32)
			return false;
		uid.bytes[n / 2] = (uint8_t)(uid.bytes[n / 2] << 4 | d);
		n++;
	}
	if (n != 32)
		return false;
	*ret = uid;
	return true;
}

bool k8s_uid_is(const struct k8s_uid *a, const struct k8s_uid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool k8s_uid_none(const struct k8s_uid *u)
{
	static const struct k8s_uid none;

	return k8s_uid_is(u, &none);
}

void k8s_workload_of(const struct k8s_meta *pod, struct slice *ret_kind, struct slice *ret_name)
{
	const struct k8s_owner *o = &pod->owner;
	struct slice hash = pod->template_hash;

	*ret_kind = o->kind;
	*ret_name = o->name;
	if (!slice_eq_str(o->kind, "ReplicaSet") ||
	    !slice_starts(o->api_version, SLICE_LIT("apps/")))
		return;
	if (!hash.n || o->name.n < hash.n + 2 || o->name.p[o->name.n - hash.n - 1] != '-' ||
	    !slice_eq(slice_from(o->name, o->name.n - hash.n), hash))
		return;
	*ret_kind = SLICE_LIT("Deployment");
	*ret_name = slice_head(o->name, o->name.n - hash.n - 1);
}

/* What is no name, or longer than to, is left out. */
static void put(char *to, size_t cap, struct slice text)
{
	*to = 0;
	if (!k8s_name_ok(text) || text.n >= cap)
		return;
	memcpy(to, text.p, text.n);
	to[text.n] = 0;
}

static bool is_container_id(const char *id)
{
	for (size_t i = 0; i < K8S_CONTAINER_HEX; i++)
		if (hex_digit((uint8_t)id[i]) < 0)
			return false;
	return id[K8S_CONTAINER_HEX] == 0;
}

static void put_containers(const struct k8s_pod *pod, struct k8s_identity *ret)
{
	for (size_t i = 0; i < pod->n_containers && i < K8S_CONTAINERS_MAX; i++) {
		struct k8s_identity_container *c = &ret->containers[ret->n_containers];

		put(c->name, sizeof(c->name), pod->containers[i].name);
		put(c->id, sizeof(c->id), pod->containers[i].id);
		if (c->id[0] && !is_container_id(c->id))
			c->id[0] = 0;
		if (c->name[0])
			ret->n_containers++;
	}
}

/* A pod in its node's network has no address of its own, a finished one has it no more. */
static void put_addresses(const struct k8s_pod *pod, int64_t now_ns, struct k8s_identity *ret)
{
	ret->host_network = pod->host_network;
	ret->from_ns = pod->started_ns;
	if (slice_eq_str(pod->phase, "Succeeded") || slice_eq_str(pod->phase, "Failed"))
		ret->to_ns = now_ns;
	for (size_t i = 0; !pod->host_network && i < pod->n_ips && i < K8S_ADDRS_MAX; i++)
		ret->n_ips += k8s_addr_parse(pod->ips[i], ret->ips[ret->n_ips]);
}

bool k8s_identity_of(const struct k8s_object *o, int64_t now_ns, struct k8s_identity *ret)
{
	struct slice kind, name;

	memset(ret, 0, sizeof(*ret));
	if (o->kind != K8S_POD || !k8s_uid_parse(o->meta.uid, &ret->uid))
		return false;
	(void)k8s_uid_parse(o->meta.config_hash, &ret->config_hash);
	put(ret->ns, sizeof(ret->ns), o->meta.ns);
	put(ret->name, sizeof(ret->name), o->meta.name);
	k8s_workload_of(&o->meta, &kind, &name);
	put(ret->workload_kind, sizeof(ret->workload_kind), kind);
	put(ret->workload, sizeof(ret->workload), name);
	put(ret->service, sizeof(ret->service), o->meta.service_name);
	put(ret->node, sizeof(ret->node), o->pod.node);
	ret->capture_off = slice_eq_str(o->meta.capture, "false");
	put_addresses(&o->pod, now_ns, ret);
	put_containers(&o->pod, ret);
	return ret->ns[0] && ret->name[0];
}

static bool text_ok(const char *text, size_t cap)
{
	size_t n = strnlen(text, cap);

	return n < cap && (n == 0 || k8s_name_ok(slice_of(text, n)));
}

bool k8s_identity_ok(const struct k8s_identity *id)
{
	const uint8_t *flags[] = { (const uint8_t *)&id->capture_off,
				   (const uint8_t *)&id->host_network };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (*flags[i] > 1)
			return false;
	if (k8s_uid_none(&id->uid) || !id->ns[0] || !id->name[0] || id->n_ips > K8S_ADDRS_MAX ||
	    id->n_containers > K8S_CONTAINERS_MAX || !text_ok(id->ns, sizeof(id->ns)) ||
	    !text_ok(id->name, sizeof(id->name)) ||
	    !text_ok(id->workload_kind, sizeof(id->workload_kind)) ||
	    !text_ok(id->workload, sizeof(id->workload)) ||
	    !text_ok(id->service, sizeof(id->service)) || !text_ok(id->node, sizeof(id->node)))
		return false;
	for (size_t i = 0; i < id->n_containers; i++)
		if ((id->containers[i].id[0] && !is_container_id(id->containers[i].id)) ||
		    !text_ok(id->containers[i].name, sizeof(id->containers[i].name)))
			return false;
	return true;
}

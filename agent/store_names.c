/* The store's part of who is who: it writes the table of addresses that the parser reads, from the pods of
 * this node, which the attacher tells of, and from what the collector says of the cluster.
 */
#include "agent/store_int.h"
#include "base/clock.h"

#include <errno.h>
#include <sys/mman.h>

int store_names_open(struct store_proc *sp)
{
	void *memory;

	if (sp->args->entities_fd < 0)
		return 0;
	memory = mmap(NULL, k8s_entities_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
		      sp->args->entities_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	close(sp->args->entities_fd);
	pthread_mutex_init(&sp->names_lock, NULL);
	return k8s_entities_open(&sp->names, memory);
}

/* As the cluster's objects and the paths of cgroups spell it, the same bytes. */
static struct slice uid_bytes(struct slice text, struct k8s_uid *buf)
{
	return k8s_uid_parse(text, buf) ? slice_of(buf->bytes, sizeof(buf->bytes)) : text;
}

static void put_pod(struct k8s_entities_writer *w, const struct k8s_identity *pod, uint64_t now_ns)
{
	struct k8s_entity e = {
		.kind = K8S_ENTITY_POD,
		.uid = slice_of(pod->uid.bytes, sizeof(pod->uid.bytes)),
		.ns = slice_str(pod->ns),
		.name = slice_str(pod->name),
		.workload_kind = slice_str(pod->workload_kind),
		.workload = slice_str(pod->workload),
		.service = slice_str(pod->service),
		.node = slice_str(pod->node),
		.from_ns = (uint64_t)MAX(pod->from_ns, INT64_C(0)),
	};

	k8s_entities_leave(w, e.uid, pod->ips, pod->to_ns ? 0 : pod->n_ips, now_ns);
	for (size_t i = 0; !pod->to_ns && i < pod->n_ips; i++) {
		memcpy(e.addr, pod->ips[i], sizeof(e.addr));
		(void)k8s_entities_put(w, K8S_FROM_NODE, &e,
				       now_ns); /* refusals are counted there */
	}
}

void store_names_pod(struct store_proc *sp, const struct agent_pod_msg *m)
{
	uint64_t now_ns = clock_unix_ns();

	if (!sp->names.image || !k8s_identity_ok(&m->pod))
		return;
	pthread_mutex_lock(&sp->names_lock);
	if (m->over)
		k8s_entities_leave(&sp->names, slice_of(m->pod.uid.bytes, sizeof(m->pod.uid.bytes)),
				   NULL, 0, now_ns);
	else
		put_pod(&sp->names, &m->pod, now_ns);
	pthread_mutex_unlock(&sp->names_lock);
}

/* IPv4, IPv6, or none for a port of every node. */
static bool take_addr(const ProtobufCBinaryData *from, uint8_t to[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(to, 0, 16);
	if (from->len == 4) {
		memcpy(to, mapped, sizeof(mapped));
		memcpy(to + sizeof(mapped), from->data, 4);
	} else if (from->len == 16) {
		memcpy(to, from->data, 16);
	}
	return from->len == 0 || from->len == 4 || from->len == 16;
}

static void put_entity(struct k8s_entities_writer *w, const Kelpie__Entity *from, uint64_t now_ns)
{
	struct k8s_uid uid;
	struct k8s_entity e = {
		.port = (uint16_t)from->port,
		.proto = (uint8_t)from->proto,
		.kind = (uint8_t)from->kind,
		.uid = uid_bytes(slice_str(from->uid), &uid),
		.ns = slice_str(from->ns),
		.name = slice_str(from->name),
		.workload_kind = slice_str(from->workload_kind),
		.workload = slice_str(from->workload),
		.service = slice_str(from->service),
		.node = slice_str(from->node),
		.from_ns = from->from_ns,
		.to_ns = from->to_ns,
		.covered = from->covered,
	};
	bool any_node = from->kind == KELPIE__ENTITY_KIND__ENTITY_NODEPORT;

	if (from->port > UINT16_MAX || from->proto > UINT8_MAX ||
	    (uint32_t)from->kind >= _K8S_ENTITY_KIND_MAX || !take_addr(&from->addr, e.addr) ||
	    any_node != (from->addr.len == 0))
		return;
	(void)k8s_entities_put(w, K8S_FROM_CLUSTER, &e, now_ns);
}

bool store_names_cluster(void *ctx, const Kelpie__Names *m)
{
	struct store_proc *sp = ctx;
	uint64_t now_ns = clock_unix_ns();

	if (!sp->names.image || !m)
		return sp->names.image != NULL;
	pthread_mutex_lock(&sp->names_lock);
	if (m->first)
		k8s_entities_replace_begin(&sp->names, K8S_FROM_CLUSTER);
	/* One at a time: the parser does not wait for a whole set. */
	for (size_t i = 0; i < m->n_entities; i++)
		put_entity(&sp->names, m->entities[i], now_ns);
	if (m->last)
		k8s_entities_replace_end(&sp->names, K8S_FROM_CLUSTER, now_ns);
	pthread_mutex_unlock(&sp->names_lock);
	return true;
}

void store_names_state(const struct store_proc *sp, struct store_kubernetes *ret)
{
	static const char *const states[] = { [KUBERNETES_OFF] = "off",
					      [KUBERNETES_STARTING] = "starting",
					      [KUBERNETES_WAITING] = "waiting",
					      [KUBERNETES_SYNCED] = "synced" };
	struct ledger_attacher *l = &sp->ledger->attacher;
	uint32_t state = atomic_load(&l->kubernetes);

	_Static_assert(sizeof(ret->why) == sizeof(l->kubernetes_why), "the same text");
	*ret = (struct store_kubernetes){
		.on = state != KUBERNETES_OFF,
		.state = states[MIN(state, (uint32_t)KUBERNETES_SYNCED)],
		.pods = atomic_load(&l->pods),
		.addresses = sp->names.image ? k8s_entities_count(sp->names.image).open : 0,
	};
	/* Another process's text: it is ended here. */
	memcpy(ret->why, l->kubernetes_why, sizeof(ret->why));
	ret->why[sizeof(ret->why) - 1] = 0;
}

#include "agent/pods.h"

#include <errno.h>

/* What is there of an identity: its last containers are not. */
static size_t bytes_of(const struct k8s_identity *id)
{
	return offsetof(struct k8s_identity, containers) +
	       id->n_containers * sizeof(id->containers[0]);
}

static uint64_t key_of(const struct k8s_uid *uid)
{
	uint64_t word[2];

	memcpy(word, uid->bytes, sizeof(word));
	return word[0] ^ hash_u64(word[1]);
}

void pods_init(struct pods *p)
{
	*p = (struct pods){ 0 };
	hashmap_init(&p->by_uid, (size_t)2 * PODS_MAX);
}

void pods_heard(struct pods *p, struct pod_entry *e, unsigned int listener)
{
	p->n_waiting[listener] -= !(e->heard >> listener & 1);
	e->heard = (uint8_t)(e->heard | 1u << listener);
}

/* A change: all are to hear it. */
static void unheard(struct pods *p, struct pod_entry *e)
{
	for (unsigned int i = 0; i < PODS_LISTENERS; i++)
		p->n_waiting[i] += e->heard >> i & 1;
	e->heard = 0;
}

/* A static pod's API object is made anew under another uid, with the hash of the one before. */
static void unlist(struct pods *p, const struct k8s_uid *uid, const struct pod_entry *e)
{
	uint64_t at;

	if (hashmap_get(&p->by_uid, key_of(uid), &at) && &p->entries[at - 1] == e)
		(void)hashmap_del(&p->by_uid, key_of(uid));
}

static void list(struct pods *p, const struct k8s_uid *uid, const struct pod_entry *e)
{
	if (!k8s_uid_none(uid))
		(void)hashmap_put(&p->by_uid, key_of(uid), (uint64_t)(e - p->entries) + 1);
}

/* The hash is an annotation, that whoever makes a pod may write: it takes nothing from the uid of a pod, nor
 * from another pod that is there. */
static bool may_have_hash(const struct pods *p, const struct k8s_identity *id)
{
	uint64_t key = key_of(&id->config_hash), at;
	const struct pod_entry *e;

	if (!hashmap_get(&p->by_uid, key, &at))
		return true;
	e = &p->entries[at - 1];
	return key_of(&e->id->uid) != key &&
	       (e->gone || (strcmp(e->id->ns, id->ns) == 0 && strcmp(e->id->name, id->name) == 0));
}

static void drop(struct pods *p, struct pod_entry *e)
{
	unlist(p, &e->id->uid, e);
	unlist(p, &e->id->config_hash, e);
	p->n--;
	p->n_gone -= e->gone != 0;
	for (unsigned int i = 0; i < PODS_LISTENERS; i++)
		pods_heard(p, e, i);
	free(e->id);
	*e = (struct pod_entry){ 0 };
}

void pods_done(struct pods *p)
{
	for (size_t i = 0; i < PODS_MAX; i++)
		if (p->entries[i].id)
			drop(p, &p->entries[i]);
	hashmap_done(&p->by_uid);
}

static struct pod_entry *find(const struct pods *p, const struct k8s_uid *uid)
{
	uint64_t at;
	struct pod_entry *e;

	if (k8s_uid_none(uid) || !hashmap_get(&p->by_uid, key_of(uid), &at))
		return NULL;
	e = (struct pod_entry *)(uintptr_t)&p->entries[at - 1];
	return k8s_uid_is(&e->id->uid, uid) || k8s_uid_is(&e->id->config_hash, uid) ? e : NULL;
}

/* A free place, or the one of the pod that went first, which all know. */
static struct pod_entry *place(struct pods *p)
{
	struct pod_entry *oldest = NULL;

	for (size_t i = 0; i < PODS_MAX; i++) {
		struct pod_entry *e = &p->entries[i];

		if (!e->id)
			return e;
		if (e->gone && e->heard == (1 << PODS_LISTENERS) - 1 &&
		    (!oldest || e->gone < oldest->gone))
			oldest = e;
	}
	if (oldest)
		drop(p, oldest);
	return oldest;
}

int pods_put(struct pods *p, const struct k8s_identity *id)
{
	struct k8s_identity *copy;
	struct pod_entry *e;

	if (!k8s_identity_ok(id))
		return -EINVAL;
	copy = malloc(bytes_of(id));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, id, bytes_of(id));
	e = find(p, &id->uid);
	if (e)
		drop(p, e);
	else
		e = place(p);
	if (!e) {
		p->refused++;
		free(copy);
		return -ENOSPC;
	}
	e->id = copy;
	e->round = p->round;
	e->heard = (1 << PODS_LISTENERS) - 1;
	unheard(p, e);
	p->n++;
	list(p, &id->uid, e);
	if (may_have_hash(p, id))
		list(p, &id->config_hash, e);
	return 0;
}

static void go(struct pods *p, struct pod_entry *e)
{
	if (e->gone)
		return;
	e->gone = ++p->order;
	p->n_gone++;
	unheard(p, e);
}

void pods_gone(struct pods *p, const struct k8s_uid *uid)
{
	struct pod_entry *e = find(p, uid);

	if (e)
		go(p, e);
}

void pods_replace_begin(struct pods *p)
{
	p->round++;
}

void pods_replace_end(struct pods *p)
{
	for (size_t i = 0; i < PODS_MAX; i++)
		if (p->entries[i].id && p->entries[i].round != p->round)
			go(p, &p->entries[i]);
}

struct pod_entry *pods_waiting(struct pods *p, unsigned int listener)
{
	for (size_t i = 0; p->n_waiting[listener] && i < PODS_MAX; i++)
		if (p->entries[i].id && !(p->entries[i].heard & 1 << listener))
			return &p->entries[i];
	return NULL;
}

void pods_copy(const struct pod_entry *e, struct k8s_identity *ret)
{
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, e->id, bytes_of(e->id));
}

void pods_tell_again(struct pods *p, unsigned int listener)
{
	for (size_t i = 0; i < PODS_MAX; i++) {
		struct pod_entry *e = &p->entries[i];

		p->n_waiting[listener] += e->heard >> listener & 1;
		e->heard = (uint8_t)(e->heard & ~(1u << listener));
	}
}

const struct k8s_identity *pods_find(const struct pods *p, const struct k8s_uid *uid)
{
	const struct pod_entry *e = find(p, uid);

	return e ? e->id : NULL;
}

const char *pods_container(const struct k8s_identity *pod, const char *id)
{
	for (size_t i = 0; id[0] && i < pod->n_containers; i++)
		if (strcmp(pod->containers[i].id, id) == 0)
			return pod->containers[i].name;
	return "";
}
